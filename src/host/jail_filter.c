/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a thread of a machine may make: lists of what each role does, and what is not
 * on its list kills the process. A thread keeps the filter of who started it and adds its own, so a
 * thread has at most what THREAD_LOOP has. THREAD_NETWORK is a process beside, of one thread, and
 * the only role with sockets to the outside; THREAD_READER is one too, and has no calls but for
 * what it was given open.
 *
 * A guest must never reach a call that kills: whatever it can make a device do has to be here. What
 * a library may try and can do without fails with an error instead (`refused`).
 *
 * No mapping is made writable and executable, by any thread, and only the loop's makes a readable
 * one executable: another engine (machine_switch_engine()) needs new memory for code. Keeping one
 * for that would gain nothing: whoever can make that call has the writable view of the code that
 * there is.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "host/jail_parts.h"

/* Bits of roles. */
enum {
    LOOP = 1 << THREAD_LOOP,
    CPU = 1 << THREAD_CPU,
    DISK = 1 << THREAD_DISK,
    NET = 1 << THREAD_NETWORK,
    READER = 1 << THREAD_READER,
    ALL = (1 << THREAD_ROLES) - 1,
    OTHERS = ALL & ~LOOP & ~NET,
};

/* What a row takes, beyond the role. */
enum need { ALWAYS, PATHS, NO_PATHS, NETWORK, SOCKETS, SEGMENT };

static const struct {
    const char *call;
    uint8_t roles;
    uint8_t need;
} allowed[] = {
    /* Locks, sleep, time. */
    {"futex", ALL, ALWAYS},
    {"sched_yield", ALL, ALWAYS},
    {"nanosleep", ALL, ALWAYS},
    {"clock_nanosleep", ALL, ALWAYS},
    {"clock_gettime", ALL, ALWAYS}, /* where the vDSO has no clock, as the next two */
    {"gettimeofday", ALL, ALWAYS},
    {"getcpu", ALL, ALWAYS},
    {"restart_syscall", ALL, ALWAYS},
    /* Memory; to make mappings: `allowed_with`. */
    {"munmap", ALL, ALWAYS},
    {"mremap", ALL, ALWAYS},
    {"madvise", ALL, ALWAYS},
    {"mincore", LOOP, ALWAYS}, /* how much of private memory the host holds */
    {"brk", ALL, ALWAYS},
    {"getrandom", ALL, ALWAYS},         /* zkr's seed, virtio-rng, names of files beside others */
    {"sched_getaffinity", ALL, ALWAYS}, /* malloc() asks how many arenas are worth it */
    /* What is open: words to the user, the loop's eventfd. */
    {"read", ALL, ALWAYS},
    {"write", ALL, ALWAYS},
    {"writev", ALL, ALWAYS}, /* the trace of a bug */
    /* Begin and end of a thread and of the process, a bug and a fault. */
    {"rseq", ALL, ALWAYS},
    {"set_robust_list", ALL, ALWAYS},
    {"sigaltstack", ALL, ALWAYS},
    {"rt_sigaction", ALL, ALWAYS},
    {"rt_sigprocmask", ALL, ALWAYS},
    {"rt_sigreturn", ALL, ALWAYS},
    {"getpid", ALL, ALWAYS},
    {"gettid", ALL, ALWAYS},
    {"exit", ALL, ALWAYS},
    {"exit_group", ALL, ALWAYS},
    /* A thread that begins takes rights from itself: jail_enter(). */
    {"landlock_restrict_self", LOOP, ALWAYS},
    /* Timers of the guest; a CPU's thread sets the earliest one itself, or has one of its own. */
    {"timerfd_settime", LOOP | CPU | NET, ALWAYS},
    {"timer_settime", LOOP | CPU, ALWAYS},
    {"timer_delete", LOOP | CPU, ALWAYS},

    /* Requests of disks. */
    {"io_uring_enter", LOOP, ALWAYS}, /* the ring is restricted: storage/uring.c */
    {"preadv", LOOP | DISK, ALWAYS},
    {"pwritev", LOOP | DISK, ALWAYS},
    {"fdatasync", LOOP | DISK, ALWAYS},
    {"fallocate", LOOP | DISK, ALWAYS}, /* the loop: the guest's memory goes back, a reboot */

    /* The loop and its back ends. */
    {"epoll_wait", LOOP | NET, ALWAYS},
    {"epoll_pwait", LOOP | NET, ALWAYS},
    {"epoll_ctl", LOOP | NET, ALWAYS},
    {"poll", LOOP | READER, ALWAYS},
    {"ppoll", LOOP | READER, ALWAYS},
    {"close", LOOP | NET, ALWAYS},
    {"readv", LOOP, ALWAYS},
    {"pread64", LOOP, ALWAYS}, /* kernel and initial RAM disk at a reboot */
    {"pwrite64", LOOP, ALWAYS},
    {"lseek", LOOP | NET, ALWAYS},
    {"fstat", LOOP | NET, ALWAYS},
    {"newfstatat", LOOP | NET, ALWAYS}, /* fstat() of libc, as the next */
    {"statx", LOOP | NET, ALWAYS},
    {"sysinfo", LOOP, ALWAYS}, /* qsort() of libc */
    /* Clients of sockets that listen: debugger, control, console, agent; they are accepted, not
     * made. */
    {"accept", LOOP | NET, ALWAYS},
    {"accept4", LOOP | NET, ALWAYS},
    {"recvfrom", LOOP | NET | READER, ALWAYS},
    {"sendto", LOOP | NET | READER, ALWAYS},
    {"recvmsg", LOOP | NET, ALWAYS},
    {"sendmsg", LOOP | NET, ALWAYS},
    {"shutdown", LOOP | NET, ALWAYS},
    {"getsockopt", LOOP | NET, ALWAYS},
    {"setsockopt", LOOP | NET, ALWAYS},
    {"getsockname", LOOP | NET, ALWAYS},
    {"getpeername", LOOP | NET, ALWAYS},
    {"getuid", LOOP, ALWAYS}, /* whether a client may */
    {"geteuid", LOOP, ALWAYS},

    /* Files that are replaced or removed; which, is Landlock's. */
    {"openat", LOOP, PATHS},
    {"open", LOOP, PATHS},
    {"stat", LOOP, PATHS},
    {"lstat", LOOP, PATHS},
    {"access", LOOP, PATHS},
    {"faccessat", LOOP, PATHS},
    {"fsync", LOOP, PATHS},
    {"ftruncate", LOOP, PATHS},
    {"ftruncate", READER, ALWAYS}, /* of a file that a guest's is copied into */
    {"rename", LOOP, PATHS},
    {"renameat", LOOP, PATHS},
    {"renameat2", LOOP, PATHS},
    {"unlink", LOOP, PATHS},
    {"unlinkat", LOOP, PATHS},
    {"rmdir", LOOP, PATHS},

    {"wait4", LOOP, NETWORK}, /* how the user network's process ended */
    {"connect", NET, ALWAYS}, /* to what a guest connects to */
    {"stat", NET, ALWAYS},

    {"connect", LOOP, SOCKETS},
    {"connect", LOOP, SEGMENT},
    /* Who is in the network; what a process left that was killed is removed by whoever sees it. */
    {"getdents64", LOOP, SEGMENT},
    {"flock", LOOP, SEGMENT},
};

struct argument_row {
    const char *call;
    uint8_t roles;
    uint8_t need;
    struct scmp_arg_cmp argument;
};

/* An int in a register: its upper half is not the kernel's to look at. */
#define INT_IS(n, value)                                                                           \
    {                                                                                              \
        n, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value)                                       \
    }
/* Of the bits of the mask those of the value. */
#define BITS_ARE(n, mask, value)                                                                   \
    {                                                                                              \
        n, SCMP_CMP_MASKED_EQ, mask, value                                                         \
    }
#define IS(n, value)                                                                               \
    {                                                                                              \
        n, SCMP_CMP_EQ, value, 0                                                                   \
    }

#define THREAD_BITS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define NAMESPACE_BITS                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* ARCH_SET_GS and ARCH_GET_GS (arch_prctl(2)), of which only x86-64 has the header. */
enum { SET_GS = 0x1001, GET_GS = 0x1004 };

static const struct argument_row allowed_with[] = {
    {"mmap", ALL, ALWAYS, BITS_ARE(2, PROT_EXEC, 0)},
    {"mprotect", ALL, ALWAYS, BITS_ARE(2, PROT_EXEC, 0)},
    {"mprotect", LOOP, ALWAYS, IS(2, PROT_READ | PROT_EXEC)},
    {"timer_create", LOOP | CPU, ALWAYS, INT_IS(0, CLOCK_MONOTONIC)},
    /* Windows are reached through a segment's base: cpu/host_x86_64. */
    {"arch_prctl", LOOP | CPU, ALWAYS, INT_IS(0, SET_GS)},
    {"arch_prctl", LOOP | CPU, ALWAYS, INT_IS(0, GET_GS)},
    /* Threads of this process: of another engine, and of disks. */
    {"clone", LOOP, ALWAYS, BITS_ARE(0, THREAD_BITS | NAMESPACE_BITS | CLONE_PTRACE, THREAD_BITS)},
    {"prctl", LOOP, ALWAYS, INT_IS(0, PR_SET_NAME)},
    {"prctl", ALL, ALWAYS, INT_IS(0, PR_SET_VMA)}, /* libc names mappings, if asked to */
    {"seccomp", LOOP, ALWAYS, INT_IS(0, SECCOMP_SET_MODE_FILTER)},
    {"prlimit64", LOOP, ALWAYS, IS(2, 0)}, /* asks; libc's sysconf() */
    /* isatty() of who writes words to the user; the console. */
    {"ioctl", ALL, ALWAYS, INT_IS(1, TCGETS)},
    {"ioctl", ALL, ALWAYS, INT_IS(1, TCGETS2)},
    /* Whichever thread a bug is met on gives the terminal back. */
    {"ioctl", ALL & ~READER, ALWAYS, INT_IS(1, TCSETS)},
    {"ioctl", ALL & ~READER, ALWAYS, INT_IS(1, TCSETS2)},
    {"ioctl", LOOP, ALWAYS, INT_IS(1, TIOCGWINSZ)},
    {"ioctl", LOOP | DISK, ALWAYS, INT_IS(1, BLKDISCARD)},
    {"ioctl", LOOP | NET, ALWAYS, INT_IS(1, FIONREAD)},
    {"ioctl", NET, ALWAYS, INT_IS(1, SIOCATMARK)},
    {"ioctl", NET, ALWAYS, INT_IS(1, SIOCGIFINDEX)}, /* a zone in /etc/resolv.conf */
    {"fcntl", LOOP | NET, ALWAYS, INT_IS(1, F_GETFD)},
    {"fcntl", LOOP | NET, ALWAYS, INT_IS(1, F_SETFD)},
    {"fcntl", LOOP | NET, ALWAYS, INT_IS(1, F_GETFL)},
    {"fcntl", LOOP | NET, ALWAYS, INT_IS(1, F_SETFL)},
    /* Name servers: /etc/resolv.conf, which is all that Landlock lets it open. */
    {"openat", NET, ALWAYS, BITS_ARE(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)},
    {"open", NET, ALWAYS, BITS_ARE(1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)},
    /* AF_UNIX only where it has to be: its peers are other programs of the user. */
    {"socket", NET, ALWAYS, INT_IS(0, AF_INET)},
    {"socket", NET, ALWAYS, INT_IS(0, AF_INET6)},
    {"socket", LOOP, SOCKETS, INT_IS(0, AF_UNIX)},
    {"socket", LOOP, SEGMENT, INT_IS(0, AF_UNIX)},
};

static const struct {
    const char *call;
    int code;
    uint8_t roles;
    uint8_t need;
} refused[] = {
    /* Its flags are in memory, where no filter looks; libc takes clone() then. */
    {"clone3", ENOSYS, LOOP, ALWAYS},
    /* libslirp: for FTP and its like, which are not switched on. */
    {"bind", EPERM, NET, ALWAYS},
    {"listen", EPERM, NET, ALWAYS},
    /* libc looks at small files of /proc, /sys and /etc when it likes to: before free() makes a
     * thread's heap smaller it reads whether memory may be overcommitted. */
    {"openat", EACCES, OTHERS, ALWAYS},
    {"openat", EACCES, LOOP, NO_PATHS},
    {"open", EACCES, OTHERS, ALWAYS},
    {"open", EACCES, LOOP, NO_PATHS},
    {"readlink", EACCES, ALL, ALWAYS},
    {"readlinkat", EACCES, ALL, ALWAYS},
    {"newfstatat", EACCES, OTHERS, ALWAYS},
    {"statx", EACCES, OTHERS, ALWAYS},
    {"sysinfo", EACCES, OTHERS | NET, ALWAYS},
};

static bool needed(uint8_t need, const struct jail_needs *needs)
{
    switch ((enum need)need) {
    case ALWAYS:
        return true;
    case PATHS:
        return needs->paths;
    case NO_PATHS:
        return !needs->paths;
    case NETWORK:
        return needs->network;
    case SOCKETS:
        return needs->sockets;
    case SEGMENT:
        return needs->segment;
    }
    return false;
}

/* A call that the host's architecture, or an old libseccomp, does not have is made by nobody. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *call,
               const struct scmp_arg_cmp *argument)
{
    int number = seccomp_syscall_resolve_name(call), r;

    if (number == __NR_SCMP_ERROR)
        return 0;
    r = argument ? seccomp_rule_add_array(filter, action, number, 1, argument)
                 : seccomp_rule_add(filter, action, number, 0);
    return r == -EDOM ? 0 : r;
}

static int add_rows(scmp_filter_ctx filter, unsigned role, const struct jail_needs *needs)
{
    int r = 0;

    for (unsigned i = 0; !r && i < ARRAY_SIZE(allowed); i++)
        if (allowed[i].roles & role && needed(allowed[i].need, needs))
            r = add(filter, SCMP_ACT_ALLOW, allowed[i].call, NULL);
    for (unsigned i = 0; !r && i < ARRAY_SIZE(allowed_with); i++)
        if (allowed_with[i].roles & role && needed(allowed_with[i].need, needs))
            r = add(filter, SCMP_ACT_ALLOW, allowed_with[i].call, &allowed_with[i].argument);
    for (unsigned i = 0; !r && needs->kill && i < ARRAY_SIZE(refused); i++)
        if (refused[i].roles & role && needed(refused[i].need, needs))
            r = add(filter, SCMP_ACT_ERRNO((uint32_t)refused[i].code), refused[i].call, NULL);
    return r;
}

/* abort() and raise() send themselves a signal; nobody else is sent one. */
static int add_own_signals(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp self = INT_IS(0, getpid());

    return add(filter, SCMP_ACT_ALLOW, "tgkill", &self);
}

/* libc's if_nametoindex() goes on with another family. */
static int add_refused_family(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp unix_family = INT_IS(0, AF_UNIX);

    return add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", &unix_family);
}

/* libseccomp before 2.6 writes programs to files only. */
int jail_filter_export(void *filter, struct sock_fprog *program)
{
    CLEANUP(descriptor_close) int fd = memfd_create("jail", MFD_CLOEXEC);
    struct stat st;
    ssize_t n;
    int r;

    if (fd < 0)
        return -errno;
    r = seccomp_export_bpf(filter, fd);
    if (r)
        return r;
    if (fstat(fd, &st) < 0)
        return -errno;
    program->filter = malloc((size_t)st.st_size);
    if (!program->filter)
        return -ENOMEM;
    n = pread(fd, program->filter, (size_t)st.st_size, 0);
    if (n != st.st_size)
        return -EIO;
    program->len = (unsigned short)((size_t)n / sizeof(program->filter[0]));
    return 0;
}

bool jail_filter_supported(void)
{
    const uint32_t action = SECCOMP_RET_KILL_PROCESS;

    return !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

int jail_filter_make(enum thread_role role, const struct jail_needs *needs,
                     struct sock_fprog *program)
{
    uint32_t otherwise = needs->kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_LOG;
    scmp_filter_ctx filter = seccomp_init(otherwise);
    int r = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, otherwise) : -ENOMEM;

    *program = (struct sock_fprog){0};
    if (!r)
        r = add_rows(filter, 1u << role, needs);
    if (!r)
        r = add_own_signals(filter);
    if (!r && role == THREAD_NETWORK && needs->kill)
        r = add_refused_family(filter);
    if (!r)
        r = jail_filter_export(filter, program);
    if (filter)
        seccomp_release(filter);
    if (r) {
        free(program->filter);
        program->filter = NULL;
    }
    return r;
}

int jail_filter_install(const struct sock_fprog *program)
{
    /* Kernels before 5.16 would slow every process with a filter down, against side channels that
     * docs/threat-model.md does not claim to close. */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, program) <
                   0
               ? -errno
               : 0;
}
