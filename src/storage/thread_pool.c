/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"
#include "storage/io_engine.h"

/* First in, first out. */
struct io_list {
    struct io *head;
    struct io **tail;
};

struct thread_pool {
    struct io_engine engine;
    struct loop *loop;
    const struct thread_guard *guard;
    struct deferred reap;
    unsigned outstanding; /* loop's thread: submitted and not yet done() */
    unsigned room;        /* of threads[] */

    struct mutex lock;
    struct condition work;     /* something is queued, or stop */
    struct condition finished; /* something is done */
    struct io_list queued GUARDED_BY(lock);
    struct io_list done GUARDED_BY(lock);
    unsigned queued_count GUARDED_BY(lock);
    unsigned idle GUARDED_BY(lock); /* threads that wait for work */
    bool stop GUARDED_BY(lock);

    unsigned count;      /* loop's thread: of threads[] */
    pthread_t threads[]; /* loop's thread */
};

static void list_append(struct io_list *list, struct io *io)
{
    io->next = NULL;
    *list->tail = io;
    list->tail = &io->next;
}

static struct io *list_take_all(struct io_list *list)
{
    struct io *all = list->head;

    list->head = NULL;
    list->tail = &list->head;
    return all;
}

/* The one system call. Reads and writes are made by number: their buffers are guest memory, which
 * the guest's CPUs use at the same time as they please, and the wrappers of libc would have
 * ThreadSanitizer report that as a race of ours. */
static int io_perform(const struct io *io)
{
    uint64_t range[2] = {io->offset, io->length};
    long r = -1;

    switch (io->kind) {
    case IO_READ:
        /* A 64-bit kernel takes the whole offset in the low half. */
        r = syscall(SYS_preadv, io->fd, io->iov, (unsigned long)io->iov_count,
                    (unsigned long)io->offset, 0ul);
        break;
    case IO_WRITE:
        r = syscall(SYS_pwritev, io->fd, io->iov, (unsigned long)io->iov_count,
                    (unsigned long)io->offset, 0ul);
        break;
    case IO_SYNC:
        r = fdatasync(io->fd);
        break;
    case IO_ALLOCATE:
        r = fallocate(io->fd, io->mode, (off_t)io->offset, (off_t)io->length);
        break;
    case IO_DISCARD:
        r = ioctl(io->fd, BLKDISCARD, range);
        break;
    }
    /* The kernel moves at most 2 GiB less a page at once. */
    return r < 0 ? -errno : (int)r;
}

static void *pool_thread(void *ctx)
{
    struct thread_pool *pool = ctx;

    mutex_lock(&pool->lock);
    for (;;) {
        struct io *io = pool->queued.head;

        if (!io) {
            if (pool->stop)
                break;
            pool->idle++;
            condition_wait(&pool->work, &pool->lock);
            pool->idle--;
            continue;
        }
        pool->queued.head = io->next;
        if (!pool->queued.head)
            pool->queued.tail = &pool->queued.head;
        pool->queued_count--;
        mutex_unlock(&pool->lock);

        io->result = io_perform(io);

        mutex_lock(&pool->lock);
        list_append(&pool->done, io);
        condition_signal(&pool->finished);
        mutex_unlock(&pool->lock);
        /* free() joins this thread before it takes a post back, so the pool and the loop are there
         * until this returns, also when drain() has the result already. */
        loop_post(pool->loop, &pool->reap);
        mutex_lock(&pool->lock);
    }
    mutex_unlock(&pool->lock);
    return NULL;
}

static int pool_start_thread(struct thread_pool *pool)
{
    int r = thread_start_guarded(&pool->threads[pool->count], pool->guard, THREAD_DISK, "disk-io",
                                 pool_thread, pool);

    if (!r)
        pool->count++;
    return r;
}

static void pool_submit(struct io_engine *engine, struct io *io)
{
    struct thread_pool *pool = container_of(engine, struct thread_pool, engine);
    bool grow;

    pool->outstanding++;
    mutex_lock(&pool->lock);
    list_append(&pool->queued, io);
    pool->queued_count++;
    grow = pool->queued_count > pool->idle;
    condition_signal(&pool->work);
    mutex_unlock(&pool->lock);
    /* Not to get another thread is no failure: those there are do it. */
    if (grow && pool->count < pool->room)
        (void)!pool_start_thread(pool);
}

static void pool_reap(void *ctx)
{
    struct thread_pool *pool = ctx;
    struct io *io, *next;

    mutex_lock(&pool->lock);
    io = list_take_all(&pool->done);
    mutex_unlock(&pool->lock);
    for (; io; io = next) {
        next = io->next;
        pool->outstanding--;
        io->done(io, io->result);
    }
}

static void pool_drain(struct io_engine *engine)
{
    struct thread_pool *pool = container_of(engine, struct thread_pool, engine);

    while (pool->outstanding) {
        mutex_lock(&pool->lock);
        while (!pool->done.head)
            condition_wait(&pool->finished, &pool->lock);
        mutex_unlock(&pool->lock);
        pool_reap(pool);
    }
}

static void pool_free(struct io_engine *engine)
{
    struct thread_pool *pool = container_of(engine, struct thread_pool, engine);
    unsigned i;

    BUG_ON(pool->outstanding);
    mutex_lock(&pool->lock);
    pool->stop = true;
    condition_broadcast(&pool->work);
    mutex_unlock(&pool->lock);
    for (i = 0; i < pool->count; i++)
        pthread_join(pool->threads[i], NULL);
    loop_unpost(pool->loop, &pool->reap);
    condition_release(&pool->finished);
    condition_release(&pool->work);
    mutex_release(&pool->lock);
    free(pool);
}

static const struct io_engine_type thread_pool_type = {
    .name = "threads",
    .submit = pool_submit,
    .drain = pool_drain,
    .free = pool_free,
};

int thread_pool_new(struct io_engine **engine, struct loop *loop, unsigned threads,
                    const struct thread_guard *guard)
{
    struct thread_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    int r;

    if (!pool)
        return -ENOMEM;
    pool->engine.type = &thread_pool_type;
    pool->loop = loop;
    pool->guard = guard;
    pool->room = threads;
    mutex_init(&pool->lock);
    condition_init(&pool->work);
    condition_init(&pool->finished);
    mutex_lock(&pool->lock);
    pool->queued.tail = &pool->queued.head;
    pool->done.tail = &pool->done.head;
    mutex_unlock(&pool->lock);
    deferred_init(&pool->reap, pool_reap, pool);
    r = pool_start_thread(pool);
    if (r) {
        pool_free(&pool->engine);
        return r;
    }
    *engine = &pool->engine;
    return 0;
}
