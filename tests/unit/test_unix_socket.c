/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets in the file system: modes, what is in the way, paths that are too long. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unix_socket.h"

static char directory[64];
static char path[80];

static int setup(void **state)
{
    strcpy(directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    assert_int_equal(rmdir(directory), 0);
    return 0;
}

static void listen_and_connect(void **state)
{
    int listener, fd, client;
    struct stat st;
    mode_t mask = umask(0);

    assert_int_equal(unix_socket_connect(path), -ENOENT);
    listener = unix_socket_listen(path, 0);
    umask(mask);
    assert_true(listener >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    client = unix_socket_connect(path);
    assert_true(client >= 0);
    assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
    /* Not waited for: there is one in the queue already. */
    assert_int_equal(unix_socket_connect(path), -EAGAIN);
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    close(fd);
    close(client);
    close(listener);
}

static void stale_and_alive(void **state)
{
    int first = unix_socket_listen(path, 1), second;

    assert_true(first >= 0);
    assert_int_equal(unix_socket_listen(path, 1), -EADDRINUSE);
    close(first);
    assert_int_equal(unix_socket_connect(path), -ECONNREFUSED);
    second = unix_socket_listen(path, 1);
    assert_true(second >= 0);
    first = unix_socket_connect(path);
    assert_true(first >= 0);
    close(first);
    close(second);
}

static void other_files(void **state)
{
    char other[90];
    struct stat st;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unix_socket_listen(path, 1), -EADDRINUSE);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    unlink(path);
    /* A link to a stale socket is no socket. */
    snprintf(other, sizeof(other), "%s2", path);
    fd = unix_socket_listen(other, 1);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(unix_socket_listen(path, 1), -EADDRINUSE);
    assert_int_equal(unlink(other), 0);
}

static void long_paths(void **state)
{
    char text[UNIX_SOCKET_PATH_MAX + 2];
    int fd;

    memset(text, 'x', sizeof(text));
    text[UNIX_SOCKET_PATH_MAX + 1] = 0;
    assert_int_equal(unix_socket_listen(text, 1), -ENAMETOOLONG);
    assert_int_equal(unix_socket_connect(text), -ENAMETOOLONG);
    memcpy(text, directory, strlen(directory));
    text[strlen(directory)] = '/';
    text[UNIX_SOCKET_PATH_MAX] = 0;
    fd = unix_socket_listen(text, 1);
    assert_true(fd >= 0);
    close(fd);
    fd = unix_socket_connect(text);
    assert_int_equal(fd, -ECONNREFUSED);
    assert_int_equal(unlink(text), 0);
    snprintf(text, sizeof(text), "%s/none/socket", directory);
    assert_int_equal(unix_socket_listen(text, 1), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(listen_and_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_and_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files, setup, teardown),
        cmocka_unit_test_setup_teardown(long_paths, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
