/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of a disk does what disks need and nothing else, whoever writes to its queue. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "storage/io_engine.h"

#define ENTRIES 128 /* as many as the engine's */

/* The descriptor of the only ring of this process. */
static int find_ring(void)
{
    char path[64], target[64];

    for (int fd = 0; fd < 64; fd++) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = 0;
        if (!strcmp(target, "anon_inode:[io_uring]"))
            return fd;
    }
    return -1;
}

static int result_of(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    int r = io_uring_submit_and_wait(ring, 1);

    if (r < 0)
        return r;
    assert_int_equal(io_uring_peek_cqe(ring, &cqe), 0);
    r = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return r;
}

static void test_other_operations(void **state)
{
    struct io_uring_params params = {0};
    struct io_uring like, ring;
    struct io_engine *engine;
    struct loop *loop;
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    int fd, zero = open("/dev/zero", O_RDONLY);

    assert_int_equal(loop_new(&loop), 0);
    if (uring_new(&engine, loop)) {
        print_message("this host has no io_uring\n");
        loop_free(loop);
        skip();
    }
    fd = find_ring();
    assert_true(fd >= 0);
    /* Where things are in a ring of that size. */
    assert_int_equal(io_uring_queue_init_params(ENTRIES, &like, &params), 0);
    assert_int_equal(io_uring_queue_mmap(fd, &params, &ring), 0);

    io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
    assert_int_equal(result_of(&ring), -EACCES);
    io_uring_prep_connect(io_uring_get_sqe(&ring), zero, NULL, 0);
    assert_int_equal(result_of(&ring), -EACCES);
    io_uring_prep_unlink(io_uring_get_sqe(&ring), "/etc/passwd/none", 0);
    assert_int_equal(result_of(&ring), -EACCES);
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    assert_int_equal(result_of(&ring), -EACCES);
    io_uring_prep_readv(io_uring_get_sqe(&ring), zero, &iov, 1, 0);
    assert_int_equal(result_of(&ring), 1);

    io_engine_free(engine);
    loop_free(loop);
    close(zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_other_operations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
