/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail from inside: a child process enters it, a thread of each role tries a call, and the
 * child's end tells whether that was let through, refused or deadly.
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
#include <linux/fs.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/compiler.h"
#include "host/jail.h"
#include "host/jail_parts.h"

/* How the child ends when it is not killed: 0, or the errno of what was tried. */
enum { ENDED_BROKEN = 200 };

static char directory[64];
static char outside[64];
static char outside_directory[72];
static int listeners[2];
static int directory_fd = -1; /* opened before the jail */
/* What a path is that is not allowed: not there, or where the host has no mounts for it forbidden.
 */
static int hidden = EACCES;

/* ---- what is tried: 0 or -errno ---- */

static int told(long r)
{
    return r < 0 ? -errno : 0;
}

static int try_execve(void)
{
    char *const none[] = {NULL};

    return told(syscall(SYS_execve, "/bin/true", none, none));
}

static int try_open(void)
{
    return told(syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY));
}

static int try_socket(void)
{
    return told(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
}

/* Nobody listens there, which is not what is asked. */
static int try_connect(void)
{
    return syscall(SYS_connect, -1, NULL, 0) < 0 && errno == EBADF ? 0 : -EIO;
}

static int try_wait(void)
{
    return syscall(SYS_wait4, -1, NULL, WNOHANG, NULL) < 0 && errno == ECHILD ? 0 : -EIO;
}

static int try_write(void)
{
    return told(syscall(SYS_openat, AT_FDCWD, "/etc/resolv.conf", O_WRONLY));
}

static int try_socket_unix(void)
{
    return told(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
}

static int try_socket_netlink(void)
{
    return told(syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0));
}

static int try_ptrace(void)
{
    return told(syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_kill(void)
{
    return told(syscall(SYS_kill, getppid(), 0));
}

static int try_tgkill(void)
{
    return told(syscall(SYS_tgkill, 1, 1, 0));
}

static int try_fork(void)
{
    long r = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (!r)
        _exit(0);
    return told(r);
}

static int try_clone_namespace(void)
{
    return told(syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWUSER, NULL,
                        NULL, NULL, NULL));
}

static int try_unshare(void)
{
    return told(syscall(SYS_unshare, CLONE_NEWUSER));
}

static int try_mount(void)
{
    return told(syscall(SYS_mount, "none", "/", NULL, MS_REMOUNT, NULL));
}

static int try_setuid(void)
{
    return told(syscall(SYS_setuid, getuid()));
}

static int try_chmod(void)
{
    return told(syscall(SYS_fchmodat, AT_FDCWD, outside, 0777));
}

static int try_memfd(void)
{
    return told(syscall(SYS_memfd_create, "x", 0));
}

static int try_uring(void)
{
    return told(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_bpf(void)
{
    return told(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_read_process(void)
{
    return told(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static int try_dumpable(void)
{
    return told(syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int try_limit(void)
{
    const struct rlimit limit = {0, 0};

    return told(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL));
}

/* Types for who has the terminal: a shell would execute it. */
static int try_type(void)
{
    return told(syscall(SYS_ioctl, 0, TIOCSTI, "x"));
}

static int try_listen(void)
{
    return told(syscall(SYS_listen, 0, 1));
}

static int try_map(int protection)
{
    void *at = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? -errno : 0;
}

static int try_map_code(void)
{
    return try_map(PROT_READ | PROT_EXEC);
}

static int try_map_write_code(void)
{
    return try_map(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int try_protect(int protection)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? -errno : told(mprotect(at, 4096, protection));
}

static int try_protect_code(void)
{
    return try_protect(PROT_READ | PROT_EXEC);
}

static int try_protect_write_code(void)
{
    return try_protect(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void no_alarm(void *ctx) {}

static int try_timer(void)
{
    const struct itimerspec spec = {0};
    long r = syscall(SYS_timerfd_settime, 0, 0, &spec, NULL);

    return r < 0 && (errno == EINVAL || errno == EBADF) ? 0 : told(r);
}

/* As a CPU's own: alarm.h. */
static int try_alarm(void)
{
    struct alarm alarm;
    int r = alarm_begin(&alarm, no_alarm, NULL);

    if (r == -ENOTSUP)
        return 0;
    if (r)
        return r;
    alarm_set(&alarm, 0);
    alarm_end(&alarm);
    return 0;
}

/* Of CPU time, by which a guest could be seen to work. */
static int try_other_timer(void)
{
    timer_t timer;

    return told(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, NULL, &timer));
}

static int try_positioned_write(void)
{
    return syscall(SYS_pwritev, -1, NULL, 0, 0, 0) < 0 && errno == EBADF ? 0 : -EIO;
}

static int try_discard(void)
{
    return syscall(SYS_ioctl, -1, BLKDISCARD, NULL) < 0 && errno == EBADF ? 0 : -EIO;
}

/* What every thread does, and abort() at last. */
static int try_usual(void)
{
    char *memory = malloc(1 << 20), *many[256];
    uint64_t random;
    int r;

    /* A thread's heap grows, and becomes smaller. */
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = malloc(100000);
    for (unsigned i = ARRAY_SIZE(many); i--;)
        free(many[i]);

    if (!memory)
        return -ENOMEM;
    memset(memory, 1, 1 << 20);
    memory = realloc(memory, 8 << 20);
    free(memory);
    r = try_map(PROT_READ | PROT_WRITE);
    r = r ? r : try_protect(PROT_READ);
    r = r ? r : told(syscall(SYS_getrandom, &random, sizeof(random), 0));
    r = r ? r : told(sched_yield());
    isatty(STDERR_FILENO);
    return r ? r : told(syscall(SYS_tgkill, getpid(), gettid(), 0));
}

static void *nothing(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t thread;
    int r = thread_start(&thread, "another", nothing, NULL);

    return r ? r : -pthread_join(thread, NULL);
}

/* ---- a child ---- */

struct trial {
    enum thread_role role;
    int (*try)(void);
    enum jail_mode mode;
    bool network, paths, sockets;
    bool early; /* the thread is there before the loop's enters */
    unsigned rights;
    struct jail *jail;
    int result;
};

static int enter(void *ctx, enum thread_role role)
{
    struct trial *trial = ctx;

    return jail_enter(trial->jail, role);
}

static void *body(void *ctx)
{
    struct trial *trial = ctx;

    trial->result = trial->try();
    return NULL;
}

static void on_thread(struct trial *trial)
{
    const struct thread_guard guard = {enter, trial};
    pthread_t thread;

    if (thread_start_guarded(&thread, &guard, trial->role, "role", body, trial))
        _exit(ENDED_BROKEN);
    pthread_join(thread, NULL);
}

static void child(struct trial *trial)
{
    const struct jail_options options = {.mode = trial->mode,
                                         .network = trial->network,
                                         .sockets = trial->sockets};
    const struct log silent = {0};

    trial->result = ENDED_BROKEN;
    if (trial->role == THREAD_READER) {
        if (jail_enter_reader(trial->mode))
            _exit(ENDED_BROKEN);
        body(trial);
        _exit(-trial->result & 0xff);
    }
    if (jail_new(&trial->jail, &options, &silent, NULL))
        _exit(ENDED_BROKEN);
    if (trial->paths && jail_allow(trial->jail, directory, trial->rights, NULL))
        _exit(ENDED_BROKEN);
    if (trial->role == THREAD_NETWORK) {
        if (jail_enter(trial->jail, THREAD_NETWORK))
            _exit(ENDED_BROKEN);
        body(trial);
        _exit(-trial->result & 0xff);
    }
    if (trial->early)
        on_thread(trial);
    if (!trial->early && jail_enter(trial->jail, THREAD_LOOP))
        _exit(ENDED_BROKEN);
    if (!trial->early && trial->role != THREAD_LOOP)
        on_thread(trial);
    else if (!trial->early)
        body(trial);
    _exit(-trial->result & 0xff);
}

/* A role that is not a process's own is entered before the loop's thread is in, and after. */
static unsigned ways(unsigned role)
{
    return role == THREAD_LOOP || role == THREAD_NETWORK || role == THREAD_READER ? 1 : 2;
}

/* How the child ended: 0, errno, or minus the signal. */
static int run(struct trial trial)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid)
        child(&trial);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- roles ---- */

static const struct {
    const char *name;
    int (*try)(void);
} forbidden[] = {
    {"execve", try_execve},
    {"ptrace", try_ptrace},
    {"kill", try_kill},
    {"tgkill", try_tgkill},
    {"fork", try_fork},
    {"clone into a namespace", try_clone_namespace},
    {"unshare", try_unshare},
    {"mount", try_mount},
    {"setuid", try_setuid},
    {"chmod", try_chmod},
    {"memfd_create", try_memfd},
    {"io_uring_setup", try_uring},
    {"bpf", try_bpf},
    {"process_vm_readv", try_read_process},
    {"PR_SET_DUMPABLE", try_dumpable},
    {"setrlimit", try_limit},
    {"TIOCSTI", try_type},
    {"socket of netlink", try_socket_netlink},
    {"code mapped", try_map_code},
    {"code mapped writable", try_map_write_code},
    {"code made writable", try_protect_write_code},
};

static void test_nobody_may(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++)
        for (unsigned role = 0; role < THREAD_ROLES; role++)
            for (unsigned way = 0; way < ways(role); way++) {
                /* With all that a machine can have. */
                int end = run((struct trial){.role = (enum thread_role)role,
                                             .try = forbidden[i].try,
                                             .network = true,
                                             .paths = true,
                                             .rights = JAIL_KEEP,
                                             .early = way == 1});

                if (end != -SIGSYS)
                    fail_msg("%s by role %u ended with %d", forbidden[i].name, role, end);
            }
}

static void test_all_may(void **state)
{
    for (unsigned role = 0; role < THREAD_ROLES; role++)
        for (unsigned way = 0; way < ways(role); way++)
            assert_int_equal(run((struct trial){.role = (enum thread_role)role,
                                                .try = try_usual,
                                                .early = way == 1}),
                             0);
}

/* Bits of roles that may; the others die of it. */
static void check_roles(int (*try)(void), unsigned may, bool network)
{
    for (unsigned role = 0; role < THREAD_ROLES; role++)
        assert_int_equal(run((struct trial){.role = (enum thread_role)role,
                                            .try = try,
                                            .network = network,
                                            .early = role != THREAD_LOOP}),
                         may >> role & 1 ? 0 : -SIGSYS);
}

static void test_some_may(void **state)
{
    check_roles(try_timer, 1 << THREAD_LOOP | 1 << THREAD_CPU | 1 << THREAD_NETWORK, false);
    check_roles(try_alarm, 1 << THREAD_LOOP | 1 << THREAD_CPU, false);
    check_roles(try_other_timer, 0, false);
    check_roles(try_positioned_write, 1 << THREAD_LOOP | 1 << THREAD_DISK, false);
    check_roles(try_discard, 1 << THREAD_LOOP | 1 << THREAD_DISK, false);
    /* Another engine: memory for code, and threads. */
    check_roles(try_protect_code, 1 << THREAD_LOOP, false);
    check_roles(try_thread, 1 << THREAD_LOOP, false);
    /* The network's process alone, whatever the machine has. */
    for (unsigned network = 0; network < 2; network++) {
        check_roles(try_socket, 1 << THREAD_NETWORK, network);
        check_roles(try_connect, 1 << THREAD_NETWORK, network);
    }
    check_roles(try_wait, 1 << THREAD_LOOP, true);
    check_roles(try_wait, 0, false);
    for (unsigned role = 0; role < THREAD_NETWORK; role++)
        assert_int_equal(run((struct trial){.role = (enum thread_role)role,
                                            .try = try_socket_unix,
                                            .network = true,
                                            .early = role != THREAD_LOOP}),
                         -SIGSYS);
}

static void test_network(void **state)
{
    struct trial trial = {.role = THREAD_NETWORK, .network = true};

    /* libc goes on with another family, libslirp without. */
    trial.try = try_socket_unix;
    assert_int_equal(run(trial), EAFNOSUPPORT);
    trial.try = try_listen;
    assert_int_equal(run(trial), EPERM);
    /* What it may open is read, and no file is made, wherever landlock is not. */
    trial.try = try_write;
    assert_int_equal(run(trial), -SIGSYS);
}

/* ---- modes ---- */

static void test_modes(void **state)
{
    struct error error = ERROR_INIT;
    enum jail_mode mode = JAIL_OFF;

    assert_int_equal(jail_mode_find("on", &mode, &error), 0);
    assert_int_equal(mode, JAIL_ON);
    assert_int_equal(jail_mode_find("log", &mode, &error), 0);
    assert_int_equal(mode, JAIL_LOG);
    assert_int_equal(jail_mode_find(NULL, &mode, &error), 0);
    assert_int_equal(mode, JAIL_ON);
    assert_int_equal(jail_mode_find("no", &mode, &error), -EINVAL);
    assert_true(error.usage);
    assert_non_null(strstr(error.message, "HOSPES_JAIL"));
    error_release(&error);
    for (unsigned i = JAIL_LOG; i <= JAIL_OFF; i++)
        for (unsigned role = 0; role < THREAD_ROLES; role++) {
            assert_int_equal(run((struct trial){.role = (enum thread_role)role,
                                                .try = try_open,
                                                .mode = (enum jail_mode)i}),
                             0);
            assert_int_equal(run((struct trial){.role = (enum thread_role)role,
                                                .try = try_dumpable,
                                                .mode = (enum jail_mode)i}),
                             0);
        }
}

/* ---- paths ---- */

static int at(const char *where, const char *name, int flags)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", where, name);
    return told(open(path, flags | O_CLOEXEC, 0600));
}

static int move(const char *from, const char *to)
{
    char a[128], b[128];

    snprintf(a, sizeof(a), "%s/%s", directory, from);
    snprintf(b, sizeof(b), "%s/%s", directory, to);
    return told(rename(a, b));
}

#define EXPECT(what, result)                                                                       \
    do {                                                                                           \
        if ((what) != (result))                                                                    \
            return -__LINE__ % 190 - 1;                                                            \
    } while (0)

/* What would change a root that is read-only. */
static bool no_change(int r)
{
    return r == -hidden || (hidden == ENOENT && r == -EROFS);
}

static int try_outside(void)
{
    int made = at("/tmp", "hospes-test-new", O_WRONLY | O_CREAT);
    char path[128];

    EXPECT(try_open(), -hidden);
    EXPECT(at("/etc", "passwd", O_RDONLY), -hidden);
    EXPECT(at("/proc/self", "maps", O_RDONLY), -hidden);
    EXPECT(no_change(made), true);
    EXPECT(told(open(outside, O_RDONLY)), -hidden);
    EXPECT(told(open(outside, O_WRONLY)), -hidden);
    EXPECT(no_change(told(unlink(outside))), true);
    /* Nor by a way through what is allowed, or by what was open. */
    EXPECT(at(directory, "link", O_RDONLY), -hidden);
    EXPECT(told(openat(directory_fd, "../..", O_RDONLY)), -EACCES);
    snprintf(path, sizeof(path), "%s/new", directory);
    EXPECT(told(rename(outside, path)) == 0, 0);
    return 0;
}

static int try_keep(void)
{
    struct stat st;
    char path[128];

    EXPECT(try_outside(), 0);
    EXPECT(at(directory, "new", O_WRONLY | O_CREAT | O_EXCL), 0);
    snprintf(path, sizeof(path), "%s/new", directory);
    EXPECT(stat(path, &st), 0);
    EXPECT((int)(st.st_mode & 0777), 0600);
    EXPECT(at(directory, "new", O_WRONLY | O_TRUNC), 0);
    EXPECT(move("new", "newer"), 0);
    EXPECT(at(directory, "newer", O_RDONLY), 0);
    snprintf(path, sizeof(path), "%s/newer", directory);
    EXPECT(told(unlink(path)), 0);
    EXPECT(at(directory, ".", O_RDONLY | O_DIRECTORY), -EACCES);
    return 0;
}

static int try_read(void)
{
    EXPECT(try_outside(), 0);
    EXPECT(at(directory, "file", O_RDONLY), 0);
    EXPECT(at(directory, "file", O_WRONLY), -EACCES);
    EXPECT(at(directory, "new", O_WRONLY | O_CREAT), -EACCES);
    EXPECT(move("file", "file2"), -EACCES);
    return 0;
}

static int try_remove(void)
{
    char path[128];

    EXPECT(try_outside(), 0);
    EXPECT(at(directory, "file", O_RDONLY), -EACCES);
    EXPECT(at(directory, "new", O_WRONLY | O_CREAT), -EACCES);
    snprintf(path, sizeof(path), "%s/socket", directory);
    EXPECT(told(unlink(path)), 0);
    snprintf(path, sizeof(path), "%s/empty", directory);
    EXPECT(told(rmdir(path)), -EACCES);
    return 0;
}

static int try_remove_empty(void)
{
    char path[128];

    EXPECT(try_outside(), 0);
    snprintf(path, sizeof(path), "%s/file", directory);
    EXPECT(no_change(told(unlink(path))), true);
    EXPECT(told(unlinkat(directory_fd, "file", 0)), -EACCES);
    snprintf(path, sizeof(path), "%s/empty", directory);
    EXPECT(hidden == EACCES || no_change(told(rmdir(path))), true);
    EXPECT(told(unlinkat(directory_fd, "empty", AT_REMOVEDIR)), 0);
    EXPECT(at(directory, ".", O_RDONLY | O_DIRECTORY), -hidden);
    return 0;
}

static int try_list(void)
{
    EXPECT(try_outside(), 0);
    EXPECT(at(directory, ".", O_RDONLY | O_DIRECTORY), 0);
    EXPECT(at(directory, "file", O_RDONLY), -EACCES);
    EXPECT(at("/etc", ".", O_RDONLY | O_DIRECTORY), -hidden);
    return 0;
}

static int try_names(void)
{
    EXPECT(at("/etc", "resolv.conf", O_RDONLY), 0);
    EXPECT(at("/etc", "passwd", O_RDONLY), -EACCES);
    return 0;
}

static void test_paths(void **state)
{
    static const struct {
        unsigned rights;
        int (*try)(void);
    } cases[] = {{JAIL_KEEP, try_keep},
                 {JAIL_READ, try_read},
                 {JAIL_REMOVE, try_remove},
                 {JAIL_REMOVE_EMPTY, try_remove_empty},
                 {JAIL_LIST, try_list}};

    if (!jail_landlock_version()) {
        print_message("this host has no landlock\n");
        skip();
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(run((struct trial){.role = THREAD_LOOP,
                                            .try = cases[i].try,
                                            .network = true,
                                            .paths = true,
                                            .rights = cases[i].rights}),
                         0);
    if (!access("/etc/resolv.conf", R_OK))
        assert_int_equal(run((struct trial){.role = THREAD_NETWORK, .try = try_names}), 0);
}

static int connect_to(const char *where, const char *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", where, name);
    r = told(connect(fd, (const struct sockaddr *)&to, sizeof(to)));
    close(fd);
    return r;
}

/* The loop's thread has the calls for it; what there is to connect to is what Landlock leaves. */
static int try_sockets(void)
{
    char through[160];
    struct stat st;

    EXPECT(connect_to(directory, "listener"), 0);
    EXPECT(connect_to(outside_directory, "listener"), -ENOENT);
    EXPECT(connect_to(directory, "out/listener"), -ENOENT);
    snprintf(through, sizeof(through), "%s/..%s", directory, outside_directory + strlen("/tmp"));
    EXPECT(connect_to(through, "listener"), -ENOENT);
    snprintf(through, sizeof(through), "/proc/self/fd/%d", directory_fd);
    EXPECT(connect_to(through, "listener"), -ENOENT);
    EXPECT(told(stat(outside, &st)), -ENOENT);
    EXPECT(told(stat("/etc/passwd", &st)), -ENOENT);
    EXPECT(told(stat("/", &st)), 0);
    return 0;
}

static void test_sockets(void **state)
{
    const struct trial trial = {.role = THREAD_LOOP,
                                .try = try_sockets,
                                .paths = true,
                                .sockets = true,
                                .rights = JAIL_REMOVE};

    if (hidden == EACCES) {
        print_message("this host lets nobody have mounts of their own\n");
        skip();
    }
    assert_int_equal(run(trial), 0);
}

static int try_unlink(void)
{
    return told(unlink("/etc/passwd/none"));
}

/* A machine with no path at all has no calls for one, nor has any thread but the loop's. libc opens
 * small files when it likes to, and can do without. */
static void test_no_paths(void **state)
{
    for (unsigned role = 0; role < THREAD_ROLES; role++)
        for (unsigned way = 0; way < ways(role); way++) {
            struct trial trial = {.role = (enum thread_role)role, .early = way == 1};

            trial.try = try_open;
            assert_int_equal(run(trial),
                             role == THREAD_NETWORK && !jail_landlock_version() ? hidden : EACCES);
            trial.try = try_unlink;
            assert_int_equal(run(trial), -SIGSYS);
        }
}

static int try_bug(void)
{
    bug(__FILE__, __LINE__, "as the test wants it");
}

/* It is told whole, whichever thread meets it. */
static void test_bug(void **state)
{
    for (unsigned role = 0; role < THREAD_ROLES; role++)
        assert_int_equal(run((struct trial){.role = (enum thread_role)role,
                                            .try = try_bug,
                                            .early = role != THREAD_LOOP}),
                         -SIGABRT);
}

static int try_closed(void)
{
    struct rlimit core;

    EXPECT(getrlimit(RLIMIT_CORE, &core), 0);
    EXPECT((int)core.rlim_max, 0);
    return 0;
}

/* What the kernel says of it. */
static void test_status(void **state)
{
    static const char *const lines[] = {"NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n",
                                        "CapPrm:\t0000000000000000\n"};
    struct trial trial = {.role = THREAD_LOOP, .try = try_closed};
    int pipes[2], status;
    char text[4096];
    pid_t pid;

    assert_int_equal(run(trial), 0);
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (!pid) {
        const struct jail_options options = {.mode = JAIL_ON};

        /* Opened before, read after. */
        int fd = open("/proc/thread-self/status", O_RDONLY);
        ssize_t n;

        if (fd < 0 || jail_new(&trial.jail, &options, NULL, NULL) ||
            prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) || jail_enter(trial.jail, THREAD_LOOP))
            _exit(1);
        n = read(fd, text, sizeof(text));
        _exit(n > 0 && write(pipes[1], text, (size_t)n) == n ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    status = (int)read(pipes[0], text, sizeof(text) - 1);
    assert_true(status > 0);
    text[status] = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
        if (!strstr(text, lines[i]))
            fail_msg("no %s in %s", lines[i], text);
    assert_non_null(strstr(text, "\nSeccomp:\t2\n"));
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- the guard of a thread ---- */

static int refuse(void *ctx, enum thread_role role)
{
    *(enum thread_role *)ctx = role;
    return -EXDEV;
}

static void test_guard_that_fails(void **state)
{
    enum thread_role seen = THREAD_LOOP;
    const struct thread_guard guard = {refuse, &seen};
    pthread_t thread;

    assert_int_equal(thread_start_guarded(&thread, &guard, THREAD_DISK, "x", nothing, NULL),
                     -EXDEV);
    assert_int_equal(seen, THREAD_DISK);
}

static void make(const char *name, bool is_directory)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (is_directory) {
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    }
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static int listen_in(const char *where)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(name.sun_path, sizeof(name.sun_path), "%s/listener", where);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int setup(void **state)
{
    char path[128];
    int fd;

    strcpy(directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    strcpy(outside, "/tmp/hospes-outside-XXXXXX");
    fd = mkstemp(outside);
    assert_true(fd >= 0);
    close(fd);
    make("file", false);
    make("socket", false);
    make("empty", true);
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory_fd >= 0);
    snprintf(outside_directory, sizeof(outside_directory), "%s.d", outside);
    assert_int_equal(mkdir(outside_directory, 0700), 0);
    listeners[0] = listen_in(directory);
    listeners[1] = listen_in(outside_directory);
    snprintf(path, sizeof(path), "%s/out", directory);
    assert_int_equal(symlink(outside_directory, path), 0);
    snprintf(path, sizeof(path), "%s/link", directory);
    return symlink(outside, path);
}

static int teardown(void **state)
{
    static const char *const names[] = {"file",  "socket", "link", "new",
                                        "newer", "file2",  "out",  "listener"};
    char path[128];

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/empty", directory);
    rmdir(path);
    unlink(outside);
    for (unsigned i = 0; i < ARRAY_SIZE(listeners); i++)
        close(listeners[i]);
    snprintf(path, sizeof(path), "%s/listener", outside_directory);
    unlink(path);
    rmdir(outside_directory);
    close(directory_fd);
    directory_fd = -1;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_may, setup, teardown),
        cmocka_unit_test(test_all_may),
        cmocka_unit_test(test_some_may),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_modes),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sockets, setup, teardown),
        cmocka_unit_test(test_no_paths),
        cmocka_unit_test(test_bug),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_guard_that_fails),
    };

    /* What a sanitizer does beside is on no list: see meson.build. */
    if (!strcmp(HOSPES_JAIL_DEFAULT, "off")) {
        print_message("a sanitizer needs more than the jail leaves\n");
        return 77;
    }
    if (jail_host_mounts())
        hidden = ENOENT;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
