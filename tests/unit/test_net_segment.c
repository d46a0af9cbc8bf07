/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a network come, go and die; what they send each other, and what others do. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "network/net.h"
#include "network/segment.h"

struct fixture {
    char root[32];
    char path[512];
    uint8_t frame[NET_FRAME_MAX];
    uint64_t sender;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    strcpy(f->root, "/tmp/hospes-test-XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/.net/lab", f->root);
    *state = f;
    return 0;
}

/* Nothing is left, whatever the test did: a network that nobody is in is not there. */
static int teardown(void **state)
{
    struct fixture *f = *state;
    int r = rmdir(f->root);

    free(f);
    return r;
}

static void join(struct segment *segment, const char *path, enum segment_kind kind,
                 const char *name, unsigned index)
{
    struct error error = ERROR_INIT;

    if (segment_join(segment, path, kind, name, index, &error))
        fail_msg("%s", error.message);
}

/* As if its process was killed. */
static void die(struct segment *segment)
{
    close(segment->socket);
    close(segment->directory);
    free(segment->path);
    *segment = (struct segment){.directory = -1, .socket = -1};
}

static void test_names(void **state)
{
    static const char *const good[] = {"a", "lab", "lab-2", "0", "users"};
    static const char *const bad[] = {"",     "user", "none", "tap", "Lab", "-lab",
                                      "lab-", "la b", "a.b",  "a/b", "..",  "a_b"};
    char name[SEGMENT_NAME_MAX + 2];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(segment_name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(segment_name_is_valid(bad[i]));
    memset(name, 'x', sizeof(name));
    name[SEGMENT_NAME_MAX + 1] = 0;
    assert_false(segment_name_is_valid(name));
    name[SEGMENT_NAME_MAX] = 0;
    assert_true(segment_name_is_valid(name));
}

static void check_exchange(struct fixture *f, struct segment *from, struct segment *to)
{
    struct segment_members members;
    uint8_t frame[60];
    int fd = -1;

    memset(frame, 0x5a, sizeof(frame));
    assert_int_equal(segment_list(from, &members), 0);
    for (unsigned i = 0; i < members.count; i++)
        if (members.members[i].id == to->self.id)
            fd = segment_connect(from, &members.members[i]);
    assert_true(fd >= 0);
    assert_int_equal(segment_send(from, fd, frame, sizeof(frame)), 0);
    assert_int_equal(segment_receive(to, f->frame, &f->sender), sizeof(frame));
    assert_memory_equal(f->frame, frame, sizeof(frame));
    assert_true(f->sender == from->self.id);
    assert_int_equal(segment_receive(to, f->frame, &f->sender), -EAGAIN);
    close(fd);
}

static void test_members(void **state)
{
    struct fixture *f = *state;
    struct segment one, two, ear;
    struct segment_members members;
    struct stat status;

    join(&one, f->path, SEGMENT_PORT, "one", 0);
    assert_string_equal(one.network, "lab");
    assert_int_equal(segment_list(&one, &members), 0);
    assert_int_equal(members.count, 0);
    join(&two, f->path, SEGMENT_PORT, "two.x_Y", 3);
    join(&ear, f->path, SEGMENT_LISTENER, "capture", 12345);
    assert_int_equal(one.subnet, two.subnet);
    assert_true(one.host && two.host && one.host != two.host && !ear.host);
    assert_int_equal(segment_list(&one, &members), 0);
    assert_int_equal(members.count, 2);
    check_exchange(f, &one, &two);
    check_exchange(f, &two, &one);
    check_exchange(f, &one, &ear);
    /* Nobody else's. */
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(fstatat(one.directory, "port.0.one", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    segment_leave(&two);
    assert_int_equal(segment_list(&one, &members), 0);
    assert_int_equal(members.count, 1);
    segment_leave(&one);
    assert_int_equal(stat(f->path, &status), 0);
    segment_leave(&ear);
}

static void test_paths_longer_than_an_address(void **state)
{
    struct fixture *f = *state;
    struct segment one, two;
    char name[LEASE_NAME_MAX + 1];
    size_t root = strlen(f->root);

    memset(name, 'x', LEASE_NAME_MAX);
    name[LEASE_NAME_MAX] = 0;
    /* Each length around the 107 bytes of a socket's path. */
    for (size_t length = root + 10; length < 130; length++) {
        memset(f->path + root, 'n', length - root);
        f->path[root] = '/';
        f->path[length] = 0;
        join(&one, f->path, SEGMENT_PORT, "one", 0);
        join(&two, f->path, SEGMENT_PORT, name, 0);
        check_exchange(f, &one, &two);
        segment_leave(&one);
        segment_leave(&two);
        /* The one above is gone as well, since nothing else was there. */
        assert_int_equal(mkdir(f->root, 0700), 0);
    }
}

/* The process of a machine cannot be dumped, and then files of /proc/PID are root's; its own
 * descriptors it reaches all the same. Where it stands is not moved. */
static void test_long_paths_of_a_jailed_process(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t child;

    snprintf(f->path, sizeof(f->path), "%s/%0100d", f->root, 1);
    if (geteuid() == 0)
        assert_int_equal(chown(f->root, 65534, 65534), 0);
    child = fork();
    if (!child) {
        struct segment one, two;
        char before[256], after[256];
        bool good;

        if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
            _exit(1);
        if (prctl(PR_SET_DUMPABLE, 0) || !getcwd(before, sizeof(before)))
            _exit(2);
        if (segment_join(&one, f->path, SEGMENT_PORT, "one", 0, NULL))
            _exit(3);
        if (segment_join(&two, f->path, SEGMENT_PORT, "two", 0, NULL))
            _exit(4);
        status = segment_connect(&one, &two.self);
        good = status >= 0;
        segment_leave(&one);
        segment_leave(&two);
        _exit(!good ? 5 : !getcwd(after, sizeof(after)) || strcmp(before, after) ? 6 : 0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status) {
        rmdir(f->path);
        assert_int_equal(rmdir(f->root), 0);
    }
    assert_int_equal(mkdir(f->root, 0700), 0);
    assert_int_equal(status, 0);
}

static void test_one_of_a_name(void **state)
{
    struct fixture *f = *state;
    struct segment one, twin, second;
    struct error error = ERROR_INIT;

    join(&one, f->path, SEGMENT_PORT, "one", 0);
    assert_int_equal(segment_join(&twin, f->path, SEGMENT_PORT, "one", 0, &error), -EADDRINUSE);
    assert_string_equal(error.message,
                        "a machine \"one\" is in network \"lab\" already; give this one another "
                        "name");
    error_release(&error);
    join(&second, f->path, SEGMENT_PORT, "one", 1);
    assert_int_not_equal(one.host, second.host);
    segment_leave(&second);
    /* The first one is as it was. */
    join(&second, f->path, SEGMENT_PORT, "two", 0);
    check_exchange(f, &second, &one);
    segment_leave(&second);
    segment_leave(&one);
}

/* One that is dead is in nobody's way, and its address is kept for it. */
static void test_the_dead(void **state)
{
    struct fixture *f = *state;
    struct segment one, two;
    struct segment_members members;
    struct stat status;
    uint8_t host, frame[60] = {0};
    int fd;

    join(&one, f->path, SEGMENT_PORT, "one", 0);
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    assert_int_equal(segment_list(&one, &members), 0);
    fd = segment_connect(&one, &members.members[0]);
    host = two.host;
    die(&two);
    assert_int_equal(segment_send(&one, fd, frame, sizeof(frame)), -ECONNREFUSED);
    assert_int_equal(segment_connect(&one, &members.members[0]), -ECONNREFUSED);
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    assert_int_equal(two.host, host);
    /* It lives again: nothing is buried. */
    segment_bury(&one, &members.members[0]);
    assert_int_equal(fstatat(one.directory, "port.0.two", &status, 0), 0);
    die(&two);
    segment_bury(&one, &members.members[0]);
    assert_int_equal(fstatat(one.directory, "port.0.two", &status, 0), -1);
    assert_int_equal(segment_connect(&one, &members.members[0]), -ENOENT);
    close(fd);
    /* Who leaves sees whether it was the last that lives. */
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    die(&two);
    segment_leave(&one);
}

static void test_look(void **state)
{
    struct fixture *f = *state;
    struct segment_view view;
    struct segment one, two;

    assert_int_equal(segment_look(f->path, &view), -ENOENT);
    join(&one, f->path, SEGMENT_PORT, "one", 0);
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    die(&two);
    assert_int_equal(segment_look(f->path, &view), 0);
    assert_int_equal(view.members.count, 1);
    assert_string_equal(view.members.members[0].name, "one");
    assert_int_equal(view.leases.subnet, one.subnet);
    assert_int_equal(lease_find(&view.leases, "one", 0), one.host);
    assert_int_equal(faccessat(one.directory, "port.0.two", F_OK, 0), -1);
    die(&one);
    assert_int_equal(segment_look(f->path, &view), -ENOENT);
    assert_int_equal(access(f->path, F_OK), -1);
}

/* While somebody else is at work nothing is removed, and nothing waits. */
static void test_look_while_it_is_locked(void **state)
{
    struct fixture *f = *state;
    struct segment_members members;
    struct segment_view view;
    struct segment one, two;
    int lock;

    join(&one, f->path, SEGMENT_PORT, "one", 0);
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    assert_int_equal(segment_list(&one, &members), 0);
    die(&two);
    lock = open(f->path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(segment_look(f->path, &view), 0);
    assert_int_equal(view.members.count, 1);
    segment_bury(&one, &members.members[0]);
    assert_int_equal(faccessat(one.directory, "port.0.two", F_OK, 0), 0);
    assert_int_equal(segment_join(&two, f->path, SEGMENT_PORT, "two", 0, NULL), -EBUSY);
    close(lock);
    segment_leave(&one);
}

static void test_full(void **state)
{
    struct fixture *f = *state;
    struct segment all[SEGMENT_MEMBERS_MAX], more;

    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++)
        join(&all[i], f->path, SEGMENT_PORT, "one", i);
    assert_int_equal(segment_join(&more, f->path, SEGMENT_PORT, "two", 0, NULL), -ENOSPC);
    die(&all[5]);
    join(&more, f->path, SEGMENT_PORT, "two", 0);
    segment_leave(&more);
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++)
        if (i != 5)
            segment_leave(&all[i]);
}

static void test_networks_have_subnets_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct segment one, two;
    struct lease_table table;
    char other[64];

    snprintf(other, sizeof(other), "%s/.net/other", f->root);
    join(&one, f->path, SEGMENT_PORT, "one", 0);
    /* As if the hash of both names were the same. */
    assert_int_equal(lease_read(one.directory, &table), 0);
    table.subnet = lease_subnet("other", 0);
    assert_int_equal(lease_write(one.directory, &table), 0);
    join(&two, other, SEGMENT_PORT, "one", 0);
    assert_int_equal(two.subnet, lease_subnet("other", 1));
    segment_leave(&one);
    segment_leave(&two);
}

static void test_directory_of_somebody_else(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct segment one;
    char above[64];

    snprintf(above, sizeof(above), "%s/.net", f->root);
    assert_int_equal(mkdir(above, 0700), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(chmod(f->path, 0750), 0);
    assert_int_equal(segment_join(&one, f->path, SEGMENT_PORT, "one", 0, &error), -EPERM);
    assert_non_null(strstr(error.message, "not a directory of yours alone"));
    error_release(&error);
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(symlink("/tmp", f->path), 0);
    assert_int_not_equal(segment_join(&one, f->path, SEGMENT_PORT, "one", 0, NULL), 0);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(rmdir(above), 0);
}

/* What is in the directory that no member made is not looked at. */
static void test_other_files(void **state)
{
    static const char *const names[] = {"port.0.file", "port.00.x", "port.x.y", "pork.0.x",
                                        "port.0."};
    struct fixture *f = *state;
    struct segment_members members;
    struct segment one;

    join(&one, f->path, SEGMENT_PORT, "one", 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        close(openat(one.directory, names[i], O_WRONLY | O_CREAT, 0600));
    assert_int_equal(segment_list(&one, &members), 0);
    assert_int_equal(members.count, 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(unlinkat(one.directory, names[i], 0), 0);
    segment_leave(&one);
}

static void send_raw(int fd, const void *data, size_t length)
{
    assert_int_equal(send(fd, data, length, 0), length);
}

static void test_datagrams_that_are_none(void **state)
{
    struct fixture *f = *state;
    static uint8_t data[SEGMENT_HEADER + NET_FRAME_MAX + 1];
    struct segment_members members;
    struct segment one, two;
    int fd, passed, size = 1 << 20;
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct iovec iov = {data, SEGMENT_HEADER + 60};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    join(&one, f->path, SEGMENT_PORT, "one", 0);
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    assert_int_equal(segment_list(&two, &members), 0);
    fd = segment_connect(&two, &members.members[0]);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    store_le32(data, 0x31707368);
    store_le64(data + 8, 77);

    send_raw(fd, data, 0);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 0);
    send_raw(fd, data, SEGMENT_HEADER - 1);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 0);
    send_raw(fd, data, SEGMENT_HEADER + 13);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 0);
    send_raw(fd, data, SEGMENT_HEADER + 14);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 14);
    assert_int_equal(f->sender, 77);
    send_raw(fd, data, SEGMENT_HEADER + NET_FRAME_MAX);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), NET_FRAME_MAX);
    send_raw(fd, data, SEGMENT_HEADER + NET_FRAME_MAX + 1);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 0);
    data[0]++; /* another version */
    send_raw(fd, data, SEGMENT_HEADER + 60);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 0);
    data[0]--;

    /* Descriptors are not taken: the next one that is opened has the number that it had before. */
    passed = dup(fd);
    close(passed);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * 8);
    for (unsigned i = 0; i < 8; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
    assert_int_equal(sendmsg(fd, &message, 0), SEGMENT_HEADER + 60);
    assert_true(segment_receive(&one, f->frame, &f->sender) >= 0);
    size = dup(fd);
    assert_int_equal(size, passed);
    close(size);

    close(fd);
    segment_leave(&two);
    segment_leave(&one);
}

/* Whoever has a way in is asked by the kernel who he is. */
static void test_another_user(void **state)
{
    struct fixture *f = *state;
    struct segment_members members;
    struct segment one, two;
    uint8_t frame[60] = {0};
    int fd, status;
    pid_t child;

    if (geteuid())
        skip();
    join(&one, f->path, SEGMENT_PORT, "one", 0);
    join(&two, f->path, SEGMENT_PORT, "two", 0);
    assert_int_equal(segment_list(&two, &members), 0);
    fd = segment_connect(&two, &members.members[0]);
    child = fork();
    if (!child)
        _exit(setresuid(65534, 65534, 65534) || segment_send(&two, fd, frame, sizeof(frame)));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), 0);
    assert_int_equal(segment_receive(&one, f->frame, &f->sender), -EAGAIN);
    close(fd);
    segment_leave(&one);
    segment_leave(&two);
}

/* Many come and go at once: each finds the network that it joined, and none is left. */
static void test_coming_and_going(void **state)
{
    struct fixture *f = *state;
    pid_t children[4];

    for (unsigned i = 0; i < ARRAY_SIZE(children); i++) {
        children[i] = fork();
        if (children[i])
            continue;
        for (unsigned turn = 0; turn < 200; turn++) {
            struct segment segment;

            int r = segment_join(&segment, f->path, SEGMENT_PORT, "m", i, NULL);

            if (r)
                _exit(-r);
            if (faccessat(AT_FDCWD, f->path, F_OK, 0))
                _exit(255);
            segment_leave(&segment);
        }
        _exit(0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(children); i++) {
        int status;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths_longer_than_an_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_paths_of_a_jailed_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_of_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_look_while_it_is_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_networks_have_subnets_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_of_somebody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagrams_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_user, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coming_and_going, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
