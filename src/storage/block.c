/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk: turns a request into system calls, one after the other, until it is done.
 *
 * Invariants (all state belongs to the loop's thread)
 *  B1  A request is in exactly one place: waiting (for a limit), under way (a job in the engine),
 *      kept (the host is full), or finished (its done() is to be called).
 *  B2  done() is never called from inside block_submit(), block_resume(), block_set_limits() or
 *      block_cancel_waiting().
 *  B3  A job has one io in the engine at a time; `progress` grows with each and never falls.
 *  B4  With an overlay, the base is never written, and a sector is marked only after its bytes are
 *      in the overlay's file.
 *
 *  submit -> [waiting] -> block_cancel_waiting(), block_close() -> done(-ECANCELED)
 *                |
 *                v
 *           [under way] -> short, EINTR, EAGAIN, next method -> [under way]
 *                |-> ENOSPC -> [kept] -> block_resume() -> [under way]
 *                |                  |-> block_close() -> done(-ECANCELED)
 *                '-> done(result)
 */
#include "storage/block.h"

#include <errno.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/block_open.h"
#include "storage/disk_file.h"
#include "storage/io_engine.h"
#include "storage/limit.h"
#include "storage/overlay.h"

/* Enough to keep an NVMe disk and its page cache busy; more only adds contention. */
#define POOL_THREADS 4
/* What is written where zeroes cannot be had otherwise: this many bytes, this often at once. */
#define ZEROES_SIZE  65536u
#define ZEROES_COUNT 16u

/* The ways to clear a range, tried from the first to the last. */
enum method {
    METHOD_PUNCH,      /* a hole; reads as zeroes */
    METHOD_ZERO_RANGE, /* zeroes, the space stays ours */
    METHOD_DISCARD,    /* a block device's discard; reads as anything */
    METHOD_WRITE,      /* zeroes, written */
    METHOD_NOTHING,    /* a discard is only a hint */
    METHOD_COUNT,
};

struct job {
    struct io io;
    struct block *block;
    struct block_request *request;
    /* Where request->progress is in the iovecs. */
    unsigned iov_index;
    size_t iov_offset;
    struct iovec piece; /* a part of one iovec */
    unsigned tried;     /* 1 << method that cannot serve this request */
    enum method method;
    uint64_t step; /* bytes that the io in the engine is to do */
};

struct block {
    struct loop *loop;
    struct io_engine *engine;
    struct io_engine *discards; /* makes IO_DISCARD; NULL: engine does, or there are none */
    struct disk_file file;
    struct overlay overlay;
    bool ephemeral; /* the overlay is there */
    bool read_only; /* to the guest */
    bool closing;
    bool full;       /* on_full was called and block_resume() not yet */
    unsigned lacks;  /* 1 << method that the image does not have */
    unsigned active; /* jobs in the engine */
    struct limit limit;
    struct block_counters counters;
    struct block_request *kept, **kept_tail;
    struct block_request *finished, **finished_tail;
    struct deferred finish;
    struct block_options options;
    char *path;
    struct iovec zeroes[ZEROES_COUNT];
};

static const uint8_t zeroes[ZEROES_SIZE];

/* ---- ends of a request ---- */

static void request_append(struct block_request ***tail, struct block_request *request)
{
    request->next = NULL;
    **tail = request;
    *tail = &request->next;
}

static void request_count(struct block_counters *counters, const struct block_request *request,
                          int result)
{
    if (result) {
        counters->failed += result != -ECANCELED;
        return;
    }
    switch (request->operation) {
    case BLOCK_READ:
        counters->reads++;
        counters->read_bytes += request->length;
        break;
    case BLOCK_WRITE:
        counters->writes++;
        counters->written_bytes += request->length;
        break;
    case BLOCK_FLUSH:
        counters->flushes++;
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        counters->discards++;
        break;
    }
}

/* Completes a request that has no job, but not at once (B2). */
static void block_finish_later(struct block *block, struct block_request *request, int result)
{
    request_count(&block->counters, request, result);
    request->result = result;
    request_append(&block->finished_tail, request);
    loop_post(block->loop, &block->finish);
}

static void block_run_finished(void *ctx)
{
    struct block *block = ctx;

    /* done() may add more; those are of the next turn, unless this is block_close(). */
    struct block_request *request = block->finished;

    loop_unpost(block->loop, &block->finish);
    block->finished = NULL;
    block->finished_tail = &block->finished;
    while (request) {
        struct block_request *next = request->next;

        request->done(request, request->result);
        request = next;
    }
}

/* From the engine's completions, so that calling done() at once is allowed. */
static void job_finish(struct job *job, int result)
{
    struct block_request *request = job->request;
    struct block *block = job->block;

    if (!result && block->ephemeral &&
        (request->operation == BLOCK_WRITE || request->operation == BLOCK_WRITE_ZEROES))
        overlay_mark(&block->overlay, request->offset, request->length);
    block->active--;
    free(job);
    request_count(&block->counters, request, result);
    request->done(request, result);
}

static void job_keep(struct job *job)
{
    struct block_request *request = job->request;
    struct block *block = job->block;

    if (block->closing) {
        job_finish(job, -ECANCELED);
        return;
    }
    block->active--;
    free(job);
    request_append(&block->kept_tail, request);
    if (block->full)
        return;
    block->full = true;
    if (block->options.on_full)
        block->options.on_full(block->options.on_full_ctx,
                               block->ephemeral ? block->overlay.directory : block->path);
}

/* ---- one step of a request ---- */

/* Finds the place of request->progress in the iovecs anew. */
static void job_seek(struct job *job)
{
    uint64_t left = job->request->progress;

    job->iov_index = 0;
    /* Empty iovecs are stepped over too, so that the next one has something to do. */
    while (job->iov_index < job->request->iov_count &&
           left >= job->request->iov[job->iov_index].iov_len)
        left -= job->request->iov[job->iov_index++].iov_len;
    job->iov_offset = left;
}

/* Chooses iovecs for at most `limit` bytes: as many whole ones as fit, or a part of one. No
 * allocation, so that nothing can fail half-way through a request. Returns the bytes. */
static uint64_t job_choose_iov(struct job *job, uint64_t limit)
{
    const struct iovec *iov = job->request->iov + job->iov_index;
    unsigned room = job->request->iov_count - job->iov_index;
    uint64_t bytes = 0;
    unsigned count = 0;

    if (job->iov_offset || iov->iov_len > limit) {
        uint64_t left = iov->iov_len - job->iov_offset;

        job->piece.iov_base = (uint8_t *)iov->iov_base + job->iov_offset;
        job->piece.iov_len = left < limit ? left : limit;
        job->io.iov = &job->piece;
        job->io.iov_count = 1;
        return job->piece.iov_len;
    }
    while (count < room && count < IOV_MAX && iov[count].iov_len <= limit - bytes)
        bytes += iov[count++].iov_len;
    job->io.iov = iov;
    job->io.iov_count = count;
    return bytes;
}

static uint64_t job_choose_zeroes(struct job *job, uint64_t limit)
{
    struct block *block = job->block;

    if (limit < ZEROES_SIZE) {
        job->piece = (struct iovec){.iov_base = block->zeroes[0].iov_base, .iov_len = limit};
        job->io.iov = &job->piece;
        job->io.iov_count = 1;
        return limit;
    }
    job->io.iov = block->zeroes;
    job->io.iov_count =
        limit / ZEROES_SIZE < ZEROES_COUNT ? (unsigned)(limit / ZEROES_SIZE) : ZEROES_COUNT;
    return (uint64_t)job->io.iov_count * ZEROES_SIZE;
}

/* Which methods serve the request at all. */
static unsigned job_methods(const struct job *job)
{
    const struct block *block = job->block;

    if (job->request->operation == BLOCK_DISCARD)
        return 1 << METHOD_PUNCH | (block->file.is_device ? 1 << METHOD_DISCARD : 0) |
               1 << METHOD_NOTHING;
    /* Nobody counts on the space of an overlay, so a hole is as good there. */
    if (job->request->unmap || block->ephemeral)
        return 1 << METHOD_PUNCH | 1 << METHOD_ZERO_RANGE | 1 << METHOD_WRITE;
    return 1 << METHOD_ZERO_RANGE | 1 << METHOD_WRITE;
}

/* Prepares the first method that is not known to fail. */
static void job_choose_method(struct job *job, uint64_t limit)
{
    unsigned methods = job_methods(job) & ~(job->tried | job->block->lacks);

    job->method = (enum method)__builtin_ctz(methods);
    job->io.length = limit;
    job->step = limit;
    switch (job->method) {
    case METHOD_PUNCH:
        job->io.kind = IO_ALLOCATE;
        job->io.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        break;
    case METHOD_ZERO_RANGE:
        job->io.kind = IO_ALLOCATE;
        job->io.mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
        break;
    case METHOD_DISCARD:
        job->io.kind = IO_DISCARD;
        break;
    case METHOD_WRITE:
        job->io.kind = IO_WRITE;
        job->step = job_choose_zeroes(job, limit);
        break;
    case METHOD_NOTHING:
    case METHOD_COUNT:
        break;
    }
}

static void job_step(struct job *job)
{
    struct block_request *request = job->request;
    struct block *block = job->block;
    uint64_t left = request->length - request->progress;
    bool present = block->ephemeral;

    job->io.offset = request->offset + request->progress;
    switch (request->operation) {
    case BLOCK_READ:
        if (block->ephemeral)
            left = overlay_run(&block->overlay, job->io.offset, left, &present);
        job->io.kind = IO_READ;
        job->step = job_choose_iov(job, left);
        break;
    case BLOCK_WRITE:
        job->io.kind = IO_WRITE;
        job->step = job_choose_iov(job, left);
        break;
    case BLOCK_FLUSH:
        job->io.kind = IO_SYNC;
        job->step = 0;
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        job_choose_method(job, left);
        if (job->method == METHOD_NOTHING) {
            block->active--;
            free(job);
            block_finish_later(block, request, 0);
            return;
        }
        break;
    }
    job->io.fd = present ? block->overlay.fd : block->file.fd;
    io_submit(job->io.kind == IO_DISCARD && block->discards ? block->discards : block->engine,
              &job->io);
}

/* A method that the image or its file system does not have leads to the next one. Returns whether
 * there is one. */
static bool job_next_method(struct job *job, int code)
{
    switch (code) {
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOTTY:
    case ENODEV:
        job->block->lacks |= 1u << job->method;
        return true;
    case EINVAL:
        /* This range only: a block device clears whole blocks of its own size. */
        job->tried |= 1u << job->method;
        return true;
    default:
        return false;
    }
}

static void job_failed(struct job *job, int code)
{
    enum block_operation operation = job->request->operation;
    bool clears = operation == BLOCK_DISCARD || operation == BLOCK_WRITE_ZEROES;
    bool full = code == ENOSPC || code == EDQUOT;

    if (clears && job->method != METHOD_WRITE && job_next_method(job, code)) {
        job_step(job);
        return;
    }
    /* A flush that finds no room has lost what it was to write (fsync(2)): trying again would
     * succeed and be a lie. A discard that finds none has only missed a chance. */
    if (full && (operation == BLOCK_WRITE || operation == BLOCK_WRITE_ZEROES)) {
        job_keep(job);
        return;
    }
    job_finish(job, full && operation == BLOCK_DISCARD ? 0 : -code);
}

static void job_done(struct io *io, int result)
{
    struct job *job = container_of(io, struct job, io);
    struct block_request *request = job->request;
    bool moves = io->kind == IO_READ || io->kind == IO_WRITE;

    if (result == -EINTR || result == -EAGAIN) {
        job_step(job);
        return;
    }
    if (result < 0) {
        job_failed(job, -result);
        return;
    }
    if (request->operation == BLOCK_FLUSH) {
        job_finish(job, 0);
        return;
    }
    if (moves && !result) {
        /* Nothing moved: somebody made the file shorter under us. */
        job_finish(job, -EIO);
        return;
    }
    request->progress += moves ? (uint64_t)result : job->step;
    if (request->progress >= request->length) {
        job_finish(job, 0);
        return;
    }
    if (request->iov)
        job_seek(job);
    job_step(job);
}

/* ---- requests ---- */

/* 0 or -errno. */
static int request_check(const struct block *block, const struct block_request *request)
{
    uint64_t sum = 0;
    unsigned i;

    if (request->operation == BLOCK_FLUSH)
        return 0;
    if (request->offset % SECTOR_SIZE || request->length % SECTOR_SIZE ||
        request->offset > block->file.size || request->length > block->file.size - request->offset)
        return -EINVAL;
    if (request->operation == BLOCK_READ || request->operation == BLOCK_WRITE) {
        for (i = 0; i < request->iov_count; i++)
            if (__builtin_add_overflow(sum, request->iov[i].iov_len, &sum))
                return -EINVAL;
        if (sum != request->length)
            return -EINVAL;
    }
    return request->operation != BLOCK_READ && block->read_only ? -EROFS : 0;
}

static void block_start(struct block *block, struct block_request *request)
{
    struct job *job = calloc(1, sizeof(*job));

    if (!job) {
        block_finish_later(block, request, -ENOMEM);
        return;
    }
    job->block = block;
    job->request = request;
    job->io.done = job_done;
    block->active++;
    if (request->iov)
        job_seek(job);
    job_step(job);
}

/* The limits let it pass. */
static void block_begin(void *ctx, struct block_request *request)
{
    struct block *block = ctx;
    bool flush = request->operation == BLOCK_FLUSH;

    /* Nothing of an overlay outlives us, so there is nothing to make safe. */
    if (flush ? block->ephemeral : !request->length)
        block_finish_later(block, request, 0);
    else
        block_start(block, request);
}

void block_submit(struct block *block, struct block_request *request)
{
    int r = block->closing ? -ECANCELED : request_check(block, request);

    request->progress = 0;
    if (request->operation != BLOCK_READ && request->operation != BLOCK_WRITE)
        request->iov = NULL;
    if (r)
        block_finish_later(block, request, r);
    else if (limit_pass(&block->limit, request))
        block_begin(block, request);
}

struct block_counters block_count(const struct block *block)
{
    return block->counters;
}

void block_set_limits(struct block *block, const struct block_limits *limits)
{
    limit_set(&block->limit, limits);
}

void block_cancel_waiting(struct block *block)
{
    struct block_request *request = limit_cancel(&block->limit);

    while (request) {
        struct block_request *next = request->next;

        block_finish_later(block, request, -ECANCELED);
        request = next;
    }
}

void block_resume(struct block *block)
{
    struct block_request *request = block->kept;

    block->kept = NULL;
    block->kept_tail = &block->kept;
    block->full = false;
    while (request) {
        struct block_request *next = request->next;

        block_start(block, request);
        request = next;
    }
}

/* ---- open and close ---- */

static void block_cancel_kept(struct block *block)
{
    while (block->kept) {
        struct block_request *request = block->kept;

        block->kept = request->next;
        if (!block->kept)
            block->kept_tail = &block->kept;
        request->done(request, -ECANCELED);
    }
}

void block_close(struct block *block)
{
    if (!block)
        return;
    block->closing = true;
    block_cancel_waiting(block);
    while (block->kept || block->active || block->finished) {
        block_cancel_kept(block);
        io_drain(block->engine);
        if (block->discards)
            io_drain(block->discards);
        block_run_finished(block);
    }
    loop_unpost(block->loop, &block->finish);
    limit_release(&block->limit);
    io_engine_free(block->discards);
    io_engine_free(block->engine);
    if (block->ephemeral)
        overlay_release(&block->overlay);
    close(block->file.fd);
    free(block->path);
    free(block);
}

static int block_choose_engine(struct block *block, const struct log *log, struct error *error)
{
    int r = -ENOSYS;

    if (!block->engine && !block->options.no_uring) {
        r = uring_new(&block->engine, block->loop);
        if (r)
            log_say(log, LOG_INFO, "io_uring is not available (%s): disks use threads",
                    error_words(-r));
    }
    if (!block->engine) {
        r = thread_pool_new(&block->engine, block->loop, POOL_THREADS, block->options.guard);
        if (r)
            return error_set(error, -r, "cannot open disk \"%s\": no thread for it: %s",
                             block->path, error_words(-r));
    }
    /* Best effort: without it a discard is the hint that it is allowed to be. */
    if (block->file.is_device && block->file.can_discard && !block->ephemeral &&
        thread_pool_new(&block->discards, block->loop, 1, block->options.guard))
        block->lacks |= 1u << METHOD_DISCARD;
    return 0;
}

int block_open_with(struct block **out, struct loop *loop, const struct block_options *options,
                    struct io_engine *engine, const struct log *log, struct error *error)
{
    struct block *block = calloc(1, sizeof(*block));
    unsigned i;
    int r;

    if (!block) {
        io_engine_free(engine);
        return error_set(error, ENOMEM, "cannot open disk \"%s\": out of memory", options->path);
    }
    block->loop = loop;
    block->engine = engine;
    block->options = *options;
    block->ephemeral = options->ephemeral && !options->read_only;
    block->read_only = options->read_only;
    block->kept_tail = &block->kept;
    block->finished_tail = &block->finished;
    deferred_init(&block->finish, block_run_finished, block);
    limit_init(&block->limit, loop, block_begin, block);
    for (i = 0; i < ZEROES_COUNT; i++)
        block->zeroes[i] = (struct iovec){.iov_base = (void *)zeroes, .iov_len = ZEROES_SIZE};

    r = disk_file_open(&block->file, options->path, !options->read_only && !options->ephemeral, log,
                       error);
    if (r)
        goto free_block;
    block->path = strdup(options->path);
    if (!block->path) {
        r = error_set(error, ENOMEM, "cannot open disk \"%s\": out of memory", options->path);
        goto close_file;
    }
    if (block->ephemeral) {
        r = overlay_init(&block->overlay, block->file.size, log, error);
        if (r)
            goto free_path;
    }
    r = block_choose_engine(block, log, error);
    if (r)
        goto release_overlay;
    *out = block;
    return 0;

release_overlay:
    if (block->ephemeral)
        overlay_release(&block->overlay);
free_path:
    free(block->path);
close_file:
    close(block->file.fd);
free_block:
    io_engine_free(block->engine);
    free(block);
    return r;
}

int block_open(struct block **block, struct loop *loop, const struct block_options *options,
               const struct log *log, struct error *error)
{
    return block_open_with(block, loop, options, NULL, log, error);
}

uint64_t block_size(const struct block *block)
{
    return block->file.size;
}

bool block_read_only(const struct block *block)
{
    return block->read_only;
}

bool block_can_discard(const struct block *block)
{
    return block->ephemeral || block->file.can_discard;
}

const char *block_engine_name(const struct block *block)
{
    return block->engine->type->name;
}
