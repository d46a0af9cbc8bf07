/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jails of processes that are no machine's, from inside: readers, whose other calls kill them,
 * and programs of the host's, from which some are taken. A child enters, and tries.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/compiler.h"
#include "host/jail.h"
#include "host/jail_parts.h"
#include "image/child.h"
#include "image/file.h"
#include "image/store.h"

/* How the child ends when it could not even enter; else with 0, or the errno of what was tried. */
enum { ENDED_BROKEN = 200 };

static int told(long r)
{
    return r < 0 ? -errno : 0;
}

#define EXPECT(what, result)                                                                       \
    do {                                                                                           \
        if ((what) != (result))                                                                    \
            return -__LINE__ % 190 - 1;                                                            \
    } while (0)

/* 0, errno, or minus the signal. */
static int end_of(pid_t pid)
{
    int status;

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- readers ---- */

static int as_reader(int (*try)(void), enum jail_mode mode)
{
    pid_t pid = fork();

    if (!pid) {
        if (jail_enter_reader(mode))
            _exit(ENDED_BROKEN);
        _exit(-try() & 0xff);
    }
    return end_of(pid);
}

static int try_socket(void)
{
    return told(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
}

static int try_socket_unix(void)
{
    return told(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
}

static int try_connect(void)
{
    return told(syscall(SYS_connect, 0, NULL, 0));
}

static int try_accept(void)
{
    return told(syscall(SYS_accept4, 0, NULL, NULL, 0));
}

/* Descriptors come and go with messages. */
static int try_receive_descriptors(void)
{
    return told(syscall(SYS_recvmsg, 0, NULL, 0));
}

static int try_send_descriptors(void)
{
    return told(syscall(SYS_sendmsg, 0, NULL, 0));
}

static int try_control(void)
{
    return told(syscall(SYS_fcntl, 0, F_SETOWN, getppid()));
}

static int try_terminal(void)
{
    return told(syscall(SYS_ioctl, 0, TCSETS, NULL));
}

static int try_wait(void)
{
    return told(syscall(SYS_wait4, -1, NULL, WNOHANG, NULL));
}

static int try_seek(void)
{
    return told(syscall(SYS_lseek, 0, 0, SEEK_SET));
}

static int try_execve(void)
{
    char *const none[] = {NULL};

    return told(syscall(SYS_execve, "/bin/true", none, none));
}

static int try_fork(void)
{
    long r = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (!r)
        _exit(0);
    return told(r);
}

static int try_kill(void)
{
    return told(syscall(SYS_kill, getppid(), 0));
}

static int try_code(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? -errno : 0;
}

static int try_open(void)
{
    return told(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY));
}

static int try_stat(void)
{
    struct stat st;

    return told(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0));
}

/* What an answer is received and handed on with. */
static int try_converse(void)
{
    struct pollfd none = {.fd = -1};
    char byte = 0;

    EXPECT(told(poll(&none, 1, 0)), 0);
    EXPECT(told(recv(-1, &byte, 1, MSG_DONTWAIT)), -EBADF);
    EXPECT(told(send(-1, &byte, 1, MSG_NOSIGNAL)), -EBADF);
    EXPECT(told(read(-1, &byte, 1)), -EBADF);
    EXPECT(told(write(-1, &byte, 1)), -EBADF);
    EXPECT(told(ftruncate(-1, 0)), -EBADF);
    return 0;
}

/* Short texts that make long values end with an error, and not with the host's memory. */
static int try_memory(void)
{
    void *much = mmap(NULL, 600u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *some = malloc(200u << 20);

    if (!some)
        return -EIO;
    free(some);
    return much == MAP_FAILED ? -errno : 0;
}

static void test_reader(void **state)
{
    static const struct {
        const char *name;
        int (*try)(void);
    } deadly[] = {
        {"socket", try_socket},
        {"unix socket", try_socket_unix},
        {"connect", try_connect},
        {"accept", try_accept},
        {"recvmsg", try_receive_descriptors},
        {"sendmsg", try_send_descriptors},
        {"fcntl", try_control},
        {"a terminal's mode", try_terminal},
        {"wait", try_wait},
        {"lseek", try_seek},
        {"execve", try_execve},
        {"fork", try_fork},
        {"kill", try_kill},
        {"code mapped", try_code},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(deadly); i++) {
        int end = as_reader(deadly[i].try, JAIL_ON);

        if (end != -SIGSYS)
            fail_msg("%s ended with %d", deadly[i].name, end);
    }
    assert_int_equal(as_reader(try_converse, JAIL_ON), 0);
    assert_int_equal(as_reader(try_memory, JAIL_ON), ENOMEM);
    /* libc opens small files when it likes to, and can do without. */
    assert_int_equal(as_reader(try_open, JAIL_ON), EACCES);
    assert_int_equal(as_reader(try_stat, JAIL_ON), EACCES);
    assert_int_equal(as_reader(try_open, JAIL_LOG), 0);
    assert_int_equal(as_reader(try_socket, JAIL_LOG), 0);
    assert_int_equal(as_reader(try_open, JAIL_OFF), 0);
    assert_int_equal(as_reader(try_memory, JAIL_OFF), 0);
}

/* ---- programs ---- */

static char work[64], elsewhere[64];

static int as_program(int (*try)(void), enum jail_mode mode, bool network)
{
    pid_t pid = fork();

    if (!pid) {
        const char *const directories[] = {work, NULL};

        if (jail_enter_program(mode, directories, network))
            _exit(ENDED_BROKEN);
        _exit(-try() & 0xff);
    }
    return end_of(pid);
}

static int try_netlink(void)
{
    return told(syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0));
}

/* The upper half of a register is not the kernel's to look at. */
static int try_disguised(void)
{
    return told(syscall(SYS_socket, AF_UNIX | 1ul << 32, SOCK_STREAM, 0));
}

static int try_pair(void)
{
    int pair[2];

    return told(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int try_bind(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd < 0 ? -errno : told(bind(fd, (const struct sockaddr *)&any, sizeof(any)));
}

static int try_ptrace(void)
{
    return told(syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_read_process(void)
{
    return told(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
}

static int try_unshare(void)
{
    return told(syscall(SYS_unshare, CLONE_NEWUSER));
}

static int try_clone_namespace(void)
{
    long r = syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, NULL, NULL, NULL, NULL);

    if (!r)
        _exit(0);
    return told(r);
}

static int try_mount(void)
{
    return told(syscall(SYS_mount, "none", "/", NULL, 0, NULL));
}

static int try_uring(void)
{
    return told(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_bpf(void)
{
    return told(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_key(void)
{
    return told(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int try_type(void)
{
    return told(syscall(SYS_ioctl, 0, TIOCSTI, "x"));
}

static int try_signal_others(void)
{
    return told(kill(getppid(), 0));
}

static void test_program_calls(void **state)
{
    static const struct {
        const char *name;
        int (*try)(void);
        int without, with; /* a network */
    } cases[] = {
        {"socket", try_socket, EACCES, 0},
        {"unix socket", try_socket_unix, EACCES, EAFNOSUPPORT},
        {"disguised socket", try_disguised, EACCES, EAFNOSUPPORT},
        {"netlink", try_netlink, EACCES, EAFNOSUPPORT},
        {"a pair of sockets", try_pair, 0, 0},
        {"ptrace", try_ptrace, EPERM, EPERM},
        {"process_vm_readv", try_read_process, EPERM, EPERM},
        {"unshare", try_unshare, EPERM, EPERM},
        {"clone into a namespace", try_clone_namespace, EPERM, EPERM},
        {"mount", try_mount, EPERM, EPERM},
        {"io_uring_setup", try_uring, EPERM, EPERM},
        {"bpf", try_bpf, EPERM, EPERM},
        {"keyctl", try_key, EPERM, EPERM},
        {"TIOCSTI", try_type, EPERM, EPERM},
        {"fork", try_fork, 0, 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        for (unsigned network = 0; network < 2; network++) {
            int end = as_program(cases[i].try, JAIL_ON, network);

            if (end != (network ? cases[i].with : cases[i].without))
                fail_msg("%s ended with %d, network %u", cases[i].name, end, network);
        }
    if (jail_landlock_version() >= 4)
        assert_int_equal(as_program(try_bind, JAIL_ON, true), EACCES);
    if (jail_landlock_version() >= 6)
        assert_int_equal(as_program(try_signal_others, JAIL_ON, false), EPERM);
    assert_int_equal(as_program(try_socket_unix, JAIL_OFF, false), 0);
    assert_int_equal(as_program(try_socket_unix, JAIL_LOG, false), 0);
}

/* A shell, as the image's programs are begun. Returns if it cannot be. */
static int shell_here(const char *script, enum jail_mode mode)
{
    const char *const directories[] = {work, NULL};
    int null = open("/dev/null", O_RDWR);

    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    setenv("WORK", work, 1);
    setenv("ELSEWHERE", elsewhere, 1);
    if (jail_enter_program(mode, directories, false))
        return ENDED_BROKEN;
    return execl("/bin/sh", "sh", "-c", script, NULL) & ENDED_BROKEN;
}

static int shell(const char *script, enum jail_mode mode)
{
    pid_t pid = fork();

    if (!pid)
        _exit(shell_here(script, mode));
    return end_of(pid);
}

static void test_program_files(void **state)
{
    static const char *const good[] = {
        "cd $WORK; mkdir -p a/b c && echo x > a/b/f && ln -s f a/b/l && mkfifo p && mv a/b/f c/f "
        "&& "
        "test $(cat c/f) = x && : > c/f && chmod 700 c/f && rm -r a c p && ls . > /dev/null",
        "cat /etc/passwd > /dev/null && ls /usr/bin > /dev/null && head -c 1 /dev/urandom",
        "sh -c 'exit 0' | cat",
    };
    static const char *const bad[] = {
        "cat $ELSEWHERE/secret",
        "ls $ELSEWHERE",
        "echo x > $ELSEWHERE/secret",
        "echo x > $ELSEWHERE/new",
        "rm $ELSEWHERE/secret",
        "mv $ELSEWHERE/secret $WORK/secret",
        "ln $ELSEWHERE/secret $WORK/secret",
        "ln -s $ELSEWHERE/secret $WORK/link && cat $WORK/link",
        "cat /proc/self/environ",
        "cat /proc/$PPID/environ",
        "ls /root || ls /home",
        "echo x > /usr/bin/hospes-test",
        "printf '#!/bin/sh\\n' > $WORK/program && chmod 755 $WORK/program && $WORK/program",
        "cat /etc/shadow || cat /etc/fstab",
    };
    char path[96];

    if (jail_landlock_version() < 2) {
        print_message("this host has no landlock, or an old one\n");
        skip();
    }
    snprintf(path, sizeof(path), "%s/secret", elsewhere);
    assert_int_equal(file_write(path, "s", 1, false, NULL), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
        if (shell(good[i], JAIL_ON))
            fail_msg("cannot: %s", good[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        if (!shell(bad[i], JAIL_ON))
            fail_msg("can: %s", bad[i]);
    assert_int_equal(shell(bad[0], JAIL_OFF), 0);
}

/* What root keeps, and gets back by no exec: numbers 0 to 4, of files. */
static void test_program_capabilities(void **state)
{
    static const char script[] = "status=$(cat <&3); set -- ${status#*CapEff:}; "
                                 "test $((0x$1 & ~0x1f)) = 0 && "
                                 "case $status in *NoNewPrivs:?1*) exit 0;; esac; exit 1";
    pid_t pid = fork();

    if (!pid) {
        /* The child's own; opened before, read after. */
        int own = open("/proc/self/status", O_RDONLY);

        if (own < 0 || dup2(own, 3) != 3)
            _exit(ENDED_BROKEN);
        _exit(shell_here(script, JAIL_ON));
    }
    assert_int_equal(end_of(pid), 0);
}

/* ---- by way of a child ---- */

static int guard_enter(void *ctx, const char *const *directories, bool network)
{
    return *(int *)ctx ? *(int *)ctx : jail_enter_program(JAIL_ON, directories, network);
}

static void line_keep(void *ctx, const char *text)
{
    snprintf(ctx, 256, "%s", text);
}

static void test_child(void **state)
{
    int failure = 0;
    const struct child_guard guard = {guard_enter, &failure};
    const char *const argv[] = {"sh", "-c",      "echo made > $0/made; echo here; cat $1/secret",
                                work, elsewhere, NULL};
    const char *const directories[] = {work, NULL};
    char last[256] = "";
    const struct child child = {.argv = argv,
                                .log = -1,
                                .line = line_keep,
                                .ctx = last,
                                .guard = &guard,
                                .directories = directories};
    struct error error = ERROR_INIT;
    char path[96];

    snprintf(path, sizeof(path), "%s/made", work);
    assert_int_equal(child_run(&child, &error), -EIO);
    assert_non_null(strstr(error.message, "secret"));
    error_release(&error);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    /* A program that could not be confined is not begun. */
    failure = -ENOMEM;
    assert_int_equal(child_run(&child, &error), -EIO);
    assert_non_null(strstr(error.message, "cannot confine it"));
    assert_non_null(strstr(error.message, "HOSPES_JAIL=off"));
    error_release(&error);
    assert_int_equal(access(path, F_OK), -1);
}

static int setup(void **state)
{
    strcpy(work, "/tmp/hospes-work-XXXXXX");
    strcpy(elsewhere, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(work));
    assert_non_null(mkdtemp(elsewhere));
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(directory_remove(work, NULL), 0);
    return directory_remove(elsewhere, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader),
        cmocka_unit_test_setup_teardown(test_program_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_program_capabilities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_child, setup, teardown),
    };

    /* What a sanitizer does beside is on no list: see meson.build. */
    if (!strcmp(HOSPES_JAIL_DEFAULT, "off")) {
        print_message("a sanitizer needs more than the jail leaves\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
