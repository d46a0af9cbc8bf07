/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine that fails on demand: it makes each system call itself, on the loop's next turn, but
 * first asks a rule what is to happen instead.
 */
#ifndef HOSPES_TESTS_BLOCK_FAULTY_H
#define HOSPES_TESTS_BLOCK_FAULTY_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/io_engine.h"

struct faulty {
    struct io_engine engine;
    struct loop *loop;
    struct deferred turn;
    struct io *head, **tail;
    unsigned calls[IO_DISCARD + 1]; /* made or failed, by kind */
    /* Returns a negative errno value to fail with, or the most bytes to move (UINT32_MAX: all). */
    int64_t (*rule)(struct faulty *faulty, const struct io *io);
    uint64_t state; /* the rule's */
};

static inline int faulty_move(const struct io *io, uint64_t limit)
{
    uint64_t moved = 0;
    unsigned i;

    for (i = 0; i < io->iov_count && moved < limit; i++) {
        size_t part = io->iov[i].iov_len < limit - moved ? io->iov[i].iov_len : limit - moved;
        off_t at = (off_t)(io->offset + moved);
        ssize_t n = io->kind == IO_READ ? pread(io->fd, io->iov[i].iov_base, part, at)
                                        : pwrite(io->fd, io->iov[i].iov_base, part, at);

        if (n < 0)
            return -errno;
        moved += (uint64_t)n;
        if ((size_t)n < part)
            break;
    }
    return (int)moved;
}

static inline int faulty_call(struct faulty *faulty, const struct io *io)
{
    int64_t limit = faulty->rule(faulty, io);

    faulty->calls[io->kind]++;
    if (limit < 0)
        return (int)limit;
    switch (io->kind) {
    case IO_READ:
    case IO_WRITE:
        return faulty_move(io, (uint64_t)limit);
    case IO_SYNC:
        return fdatasync(io->fd) < 0 ? -errno : 0;
    case IO_ALLOCATE:
        return fallocate(io->fd, io->mode, (off_t)io->offset, (off_t)io->length) < 0 ? -errno : 0;
    case IO_DISCARD:
        break;
    }
    return -ENOTTY;
}

static inline void faulty_turn(void *ctx)
{
    struct faulty *faulty = ctx;
    struct io *io = faulty->head;

    faulty->head = NULL;
    faulty->tail = &faulty->head;
    while (io) {
        struct io *next = io->next;

        io->done(io, faulty_call(faulty, io));
        io = next;
    }
}

static inline void faulty_submit(struct io_engine *engine, struct io *io)
{
    struct faulty *faulty = container_of(engine, struct faulty, engine);

    io->next = NULL;
    *faulty->tail = io;
    faulty->tail = &io->next;
    loop_post(faulty->loop, &faulty->turn);
}

static inline void faulty_drain(struct io_engine *engine)
{
    struct faulty *faulty = container_of(engine, struct faulty, engine);

    while (faulty->head)
        faulty_turn(faulty);
}

static inline void faulty_free(struct io_engine *engine)
{
    struct faulty *faulty = container_of(engine, struct faulty, engine);

    loop_unpost(faulty->loop, &faulty->turn);
    free(faulty);
}

/* The block device that it is handed to frees it. */
static inline struct faulty *faulty_new(struct loop *loop,
                                        int64_t (*rule)(struct faulty *faulty, const struct io *io))
{
    static const struct io_engine_type type = {
        .name = "faulty",
        .submit = faulty_submit,
        .drain = faulty_drain,
        .free = faulty_free,
    };
    struct faulty *faulty = calloc(1, sizeof(*faulty));

    if (!faulty)
        abort();
    faulty->engine.type = &type;
    faulty->loop = loop;
    faulty->rule = rule;
    faulty->tail = &faulty->head;
    faulty->state = 88172645463325252ull;
    deferred_init(&faulty->turn, faulty_turn, faulty);
    return faulty;
}

#endif
