/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's back end: asynchronous reads and writes of a byte range of an image.
 *
 * The owner (a virtio block device) opens it on the loop's thread, submits requests there, and gets
 * each completion there, in any order. A request and its buffers belong to the back end from
 * block_submit() until `done`, which is never called from inside block_submit() and may submit
 * again, but not close. block_close() waits for what is under way (each request completes, at worst
 * with -ECANCELED). Offsets and lengths are checked by the back end: an access past the end, or one
 * that is not of whole 512-byte sectors, completes with -EINVAL, a change to a read-only disk with
 * -EROFS. Requests under way at the same time have no order.
 *
 * A full host disk (-ENOSPC) is not told to the guest: the request is kept, on_full is called, and
 * block_resume() submits it again, so that a machine can be paused and lose nothing.
 *
 * A disk may have limits (block_set_limits()): requests beyond them wait, in order.
 */
#ifndef HOSPES_STORAGE_BLOCK_H
#define HOSPES_STORAGE_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"

enum block_operation {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,        /* completes when every write completed before it is on stable storage */
    BLOCK_DISCARD,      /* the range may read as anything; sparse images give the space back */
    BLOCK_WRITE_ZEROES, /* the range reads as zeroes; allocates nothing where the image can */
};

struct block_request {
    enum block_operation operation;
    bool unmap;      /* BLOCK_WRITE_ZEROES: may deallocate */
    uint64_t offset; /* bytes; a multiple of 512 */
    uint64_t length; /* bytes; a multiple of 512; of reads and writes: the sum of the iovecs */
    const struct iovec *iov; /* reads and writes; stays valid until done */
    unsigned iov_count;
    /* Loop's thread. result: 0 or -errno. */
    void (*done)(struct block_request *request, int result);
    struct block_request *next; /* the back end's */
    void *private;              /* the back end's */
    uint64_t progress;          /* the back end's: bytes done of a short transfer */
    int result;                 /* the back end's */
};

struct block_options {
    const char *path;
    bool read_only;
    bool ephemeral; /* changes go to an unnamed overlay that is gone at the end */
    bool no_uring;  /* thread pool even where io_uring works */
    /* For the threads that there may be; NULL: none. Outlives the disk. */
    const struct thread_guard *guard;
    /* The host has no room (-ENOSPC or -EDQUOT); `path` names the image, or the directory of the
     * temporary file of an ephemeral disk. Called once until block_resume(). Loop's thread; may
     * resume, but not close. */
    void (*on_full)(void *ctx, const char *path);
    void *on_full_ctx;
};

/* What may pass in a second, reads and writes together; 0: no limit. The bursts say how much of it
 * at once after a silence. A flush and a discard are requests of no bytes; what is already kept for
 * a full host, or of an impossible form, is not counted. */
struct block_limits {
    uint64_t requests;
    uint64_t request_burst;
    uint64_t bytes;
    uint64_t byte_burst;
};

/* What was done since the disk was opened, by requests as the guest made them. */
struct block_counters {
    uint64_t reads, read_bytes;
    uint64_t writes, written_bytes;
    uint64_t flushes;
    uint64_t discards; /* and zeroes that were written by their number */
    uint64_t failed;   /* of all kinds; those that a reset took back are not counted at all */
};

struct block;

/* Opens and locks the image: a writer excludes everybody, readers exclude a writer; the locks are
 * open-file-description locks, so that two machines in one process exclude each other too.
 * Errors name the path and the next step: missing, a directory, no permission, in use (and by
 * whom where that can be told), empty, not a multiple of 512 bytes. */
int block_open(struct block **block, struct loop *loop, const struct block_options *options,
               const struct log *log, struct error *error) MUST_CHECK;
void block_close(struct block *block);

/* Bytes; a multiple of 512. */
uint64_t block_size(const struct block *block);
bool block_read_only(const struct block *block);
/* Whether discard and write-zeroes give space back. */
bool block_can_discard(const struct block *block);

void block_submit(struct block *block, struct block_request *request);
/* What makes the system calls: "io_uring" or "threads"; static storage. */
const char *block_engine_name(const struct block *block);

/* Loop's thread. */
struct block_counters block_count(const struct block *block);

/* After on_full: tries what was kept once more. */
void block_resume(struct block *block);

/* From now on, for those that wait too; none at first. Loop's thread. */
void block_set_limits(struct block *block, const struct block_limits *limits);
/* Those that wait for a limit complete with -ECANCELED, later as always: nobody wants them any
 * more, and a driver's reset is not to wait for as long as they would. */
void block_cancel_waiting(struct block *block);

#endif
