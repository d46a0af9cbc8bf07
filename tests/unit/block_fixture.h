/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of disks share: a loop, image files that are gone at the end, and requests that
 * are waited for.
 */
#ifndef HOSPES_TESTS_BLOCK_FIXTURE_H
#define HOSPES_TESTS_BLOCK_FIXTURE_H

/* cmocka.h needs these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/block.h"

#define UNUSED_RESULT 12345 /* no result of a request */

struct fixture {
    struct loop *loop;
    char directory[64];
    char path[96]; /* of an image in the directory */
    unsigned pending;
    unsigned full_calls;
    char full_path[256];
    bool stop_when_full;
};

/* A request with its buffer and who waits for it. */
struct waiter {
    struct block_request request;
    struct iovec iov[8];
    struct fixture *fixture;
    int result;
    unsigned calls;
};

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || loop_new(&f->loop))
        return -1;
    strcpy(f->directory, "/var/tmp/hospes-test-XXXXXX");
    if (!mkdtemp(f->directory))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/disk.raw", f->directory);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    rmdir(f->directory);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* A sparse image of `size` bytes; `fill` of them from the start on hold a pattern. */
static inline void fixture_make_image(struct fixture *f, uint64_t size, uint64_t fill)
{
    int fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t i;

    assert_true(fd >= 0);
    for (i = 0; i < fill; i += 512) {
        uint8_t sector[512];

        memset(sector, (int)(i / 512 % 251 + 1), sizeof(sector));
        assert_int_equal(pwrite(fd, sector, sizeof(sector), (off_t)i), sizeof(sector));
    }
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static inline void fixture_full(void *ctx, const char *path)
{
    struct fixture *f = ctx;

    f->full_calls++;
    snprintf(f->full_path, sizeof(f->full_path), "%s", path);
    if (f->stop_when_full)
        loop_stop(f->loop, 1);
}

static inline struct block_options fixture_options(struct fixture *f)
{
    return (struct block_options){.path = f->path, .on_full = fixture_full, .on_full_ctx = f};
}

static inline void waiter_done(struct block_request *request, int result)
{
    struct waiter *w = container_of(request, struct waiter, request);

    w->result = result;
    w->calls++;
    if (!--w->fixture->pending)
        loop_stop(w->fixture->loop, 0);
}

static inline void waiter_submit(struct fixture *f, struct block *block, struct waiter *w,
                                 enum block_operation operation, uint64_t offset, uint64_t length)
{
    w->fixture = f;
    w->result = UNUSED_RESULT;
    w->calls = 0;
    w->request.operation = operation;
    w->request.offset = offset;
    w->request.length = length;
    w->request.iov = w->iov;
    w->request.done = waiter_done;
    f->pending++;
    block_submit(block, &w->request);
    assert_int_equal(w->result, UNUSED_RESULT); /* never from inside */
}

/* One request, waited for. */
static inline int fixture_do(struct fixture *f, struct block *block, enum block_operation operation,
                             uint64_t offset, void *buffer, uint64_t length)
{
    struct waiter w = {.iov = {{.iov_base = buffer, .iov_len = length}},
                       .request = {.iov_count = 1, .unmap = true}};

    waiter_submit(f, block, &w, operation, offset, length);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(w.calls, 1);
    return w.result;
}

/* 512-byte blocks that the file has on its disk. */
static inline uint64_t file_blocks(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks;
}

#endif
