/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"
#include "storage/io_engine.h"

/* As many as a virtio queue of the usual size holds. The completion queue is made twice as long by
 * the kernel, so with at most this many under way it cannot overflow. */
#define URING_DEPTH 128
/* How long to wait when the kernel has no memory for a submission just now. */
#define URING_RETRY_NS 1000000

struct uring {
    struct io_engine engine;
    struct loop *loop;
    struct io_uring ring;
    int event;             /* eventfd: a completion is there */
    struct deferred flush; /* one submission for all that a turn of the loop asked for */
    struct timer retry;
    unsigned in_flight; /* in the ring, submitted or not */
    struct io *waiting; /* not yet in the ring, in order */
    struct io **waiting_tail;
};

static void uring_prepare(struct io_uring_sqe *sqe, struct io *io)
{
    switch (io->kind) {
    case IO_READ:
        io_uring_prep_readv(sqe, io->fd, io->iov, io->iov_count, io->offset);
        break;
    case IO_WRITE:
        io_uring_prep_writev(sqe, io->fd, io->iov, io->iov_count, io->offset);
        break;
    case IO_SYNC:
        io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
        break;
    case IO_ALLOCATE:
        io_uring_prep_fallocate(sqe, io->fd, io->mode, (off_t)io->offset, (off_t)io->length);
        break;
    case IO_DISCARD:
        BUG_ON(true);
    }
    io_uring_sqe_set_data(sqe, io);
}

/* Moves what waits into the ring and tells the kernel. Returns false when the kernel took nothing
 * although there was something: try again later. */
static bool uring_push(struct uring *u)
{
    do {
        int n;

        while (u->waiting && u->in_flight < URING_DEPTH) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
            struct io *io = u->waiting;

            if (!sqe)
                break;
            u->waiting = io->next;
            if (!u->waiting)
                u->waiting_tail = &u->waiting;
            u->in_flight++;
            uring_prepare(sqe, io);
        }
        if (!io_uring_sq_ready(&u->ring))
            return true;
        n = io_uring_submit(&u->ring);
        if (n <= 0 && n != -EINTR)
            return false;
    } while (io_uring_sq_ready(&u->ring) || (u->waiting && u->in_flight < URING_DEPTH));
    return true;
}

static void uring_flush(void *ctx)
{
    struct uring *u = ctx;

    if (!uring_push(u))
        timer_set(&u->retry, monotonic_ns() + URING_RETRY_NS);
}

static void uring_reap(struct uring *u)
{
    struct io_uring_cqe *cqe;

    while (!io_uring_peek_cqe(&u->ring, &cqe)) {
        struct io *io = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        /* Give the slot back first: done() may submit. */
        io_uring_cqe_seen(&u->ring, cqe);
        u->in_flight--;
        io->done(io, result);
    }
    if (u->waiting)
        loop_post(u->loop, &u->flush);
}

static void uring_ready(void *ctx, int fd, uint32_t events)
{
    struct uring *u = ctx;
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0)
        BUG_ON(errno != EAGAIN && errno != EINTR);
    uring_reap(u);
}

static void uring_submit(struct io_engine *engine, struct io *io)
{
    struct uring *u = container_of(engine, struct uring, engine);

    io->next = NULL;
    *u->waiting_tail = io;
    u->waiting_tail = &io->next;
    loop_post(u->loop, &u->flush);
}

static void uring_drain(struct io_engine *engine)
{
    struct uring *u = container_of(engine, struct uring, engine);
    const struct timespec pause = {.tv_nsec = URING_RETRY_NS};

    while (u->in_flight || u->waiting) {
        struct io_uring_cqe *cqe;

        if (!uring_push(u))
            nanosleep(&pause, NULL);
        else if (u->in_flight)
            io_uring_wait_cqe(&u->ring, &cqe); /* -EINTR: the loop comes back */
        uring_reap(u);
    }
}

static void uring_free(struct io_engine *engine)
{
    struct uring *u = container_of(engine, struct uring, engine);

    BUG_ON(u->in_flight || u->waiting);
    loop_unpost(u->loop, &u->flush);
    timer_cancel(&u->retry);
    loop_remove_fd(u->loop, u->event);
    io_uring_queue_exit(&u->ring);
    close(u->event);
    free(u);
}

static const struct io_engine_type uring_type = {
    .name = "io_uring",
    .submit = uring_submit,
    .drain = uring_drain,
    .free = uring_free,
};

/*
 * The ring does what uring_prepare() asks for and nothing else, for as long as it is there: a
 * system call filter does not see what goes through a ring, and who could write to its queue would
 * open files and sockets past it.
 */
static int uring_restrict(struct io_uring *ring)
{
    static const uint8_t operations[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
                                         IORING_OP_FALLOCATE};
    struct io_uring_restriction rows[ARRAY_SIZE(operations)] = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
        rows[i].opcode = IORING_RESTRICTION_SQE_OP;
        rows[i].sqe_op = operations[i];
    }
    /* By number: liburing 2.3 declares its functions for these and does not export them. */
    if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, rows,
                ARRAY_SIZE(rows)) < 0 ||
        syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        return -errno;
    return 0;
}

int uring_new(struct io_engine **engine, struct loop *loop)
{
    struct uring *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return -ENOMEM;
    u->engine.type = &uring_type;
    u->loop = loop;
    u->waiting_tail = &u->waiting;
    deferred_init(&u->flush, uring_flush, u);
    timer_init(&u->retry, loop, uring_flush, u);
    u->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->event < 0) {
        r = -errno;
        goto free_u;
    }
    r = io_uring_queue_init(URING_DEPTH, &u->ring, IORING_SETUP_R_DISABLED);
    if (r < 0)
        goto close_event;
    r = io_uring_register_eventfd(&u->ring, u->event);
    if (r < 0)
        goto exit_ring;
    r = uring_restrict(&u->ring);
    if (r < 0)
        goto exit_ring;
    r = loop_add_fd(loop, u->event, EPOLLIN, uring_ready, u);
    if (r < 0)
        goto exit_ring;
    *engine = &u->engine;
    return 0;

exit_ring:
    io_uring_queue_exit(&u->ring);
close_event:
    close(u->event);
free_u:
    free(u);
    return r;
}
