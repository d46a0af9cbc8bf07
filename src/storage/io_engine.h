/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a disk's back end gets a system call made without waiting for it.
 *
 * An engine takes one `struct io` at a time on the loop's thread, makes exactly one system call for
 * it somewhere else, and hands the bare result back on the loop's thread: bytes moved (which may be
 * fewer than asked for) or -errno. What a short transfer, -EINTR or -EAGAIN means is the caller's
 * business. Calls complete in any order. The io and the memory it names belong to the engine from
 * submit() until done(), which may submit again at once.
 */
#ifndef HOSPES_STORAGE_IO_ENGINE_H
#define HOSPES_STORAGE_IO_ENGINE_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "base/thread.h"

enum io_kind {
    IO_READ,     /* preadv */
    IO_WRITE,    /* pwritev */
    IO_SYNC,     /* fdatasync */
    IO_ALLOCATE, /* fallocate */
    IO_DISCARD,  /* ioctl BLKDISCARD; io_uring cannot make it */
};

struct io {
    enum io_kind kind;
    int fd;
    int mode;                /* IO_ALLOCATE: FALLOC_FL_* */
    uint64_t offset;         /* bytes */
    uint64_t length;         /* bytes; IO_ALLOCATE and IO_DISCARD */
    const struct iovec *iov; /* IO_READ and IO_WRITE; stays valid until done */
    unsigned iov_count;      /* 1..IOV_MAX */
    void (*done)(struct io *io, int result);
    struct io *next; /* the engine's */
    int result;      /* the engine's */
};

struct io_engine {
    const struct io_engine_type *type;
};

/* All hooks are mandatory and run on the loop's thread (or while the loop does not run), with no
 * lock held. */
struct io_engine_type {
    const char *name;
    /* Never calls done() from inside. */
    void (*submit)(struct io_engine *engine, struct io *io);
    /* Waits until nothing is under way; calls done() from inside, also for what they submit. */
    void (*drain)(struct io_engine *engine);
    /* Only when nothing is under way. */
    void (*free)(struct io_engine *engine);
};

static inline void io_submit(struct io_engine *engine, struct io *io)
{
    engine->type->submit(engine, io);
}

static inline void io_drain(struct io_engine *engine)
{
    engine->type->drain(engine);
}

static inline void io_engine_free(struct io_engine *engine)
{
    if (engine)
        engine->type->free(engine);
}

/* Linux io_uring. Returns 0 or -errno; -ENOSYS and -EPERM where the host does not permit it, and
 * then a thread pool does. */
int uring_new(struct io_engine **engine, struct loop *loop) MUST_CHECK;
/* At most `threads` threads, started as they are needed; at least one exists. Returns 0 or
 * -errno. */
int thread_pool_new(struct io_engine **engine, struct loop *loop, unsigned threads,
                    const struct thread_guard *guard) MUST_CHECK;

#endif
