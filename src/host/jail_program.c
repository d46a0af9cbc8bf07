/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of other people's programs that hospes has work on hostile files (image/child.h): dpkg,
 * tar, apt. What they do in detail is theirs, so what is taken from them is named here, and not
 * what is left:
 *
 *  - Landlock: they read and execute what the system has, and keep files below the directories of
 *    their work. Nothing of the user's besides, and no file of /proc.
 *  - The network, unless they are to fetch something: no sockets at all then. With it those of the
 *    Internet, none with a path, by which other programs do things for the user.
 *  - Capabilities beyond those that let root write files of others.
 *  - Calls that reach other processes, make namespaces, or have had many holes.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "host/jail.h"
#include "host/jail_parts.h"

/* Where renames between directories are a right of its own: before, nobody has it, and dpkg and apt
 * need it. */
enum { VERSION_REFER = 2 };

static const struct {
    const char *path;
    unsigned rights;
} system_paths[] = {
    {"/usr", JAIL_EXECUTE},
    {"/bin", JAIL_EXECUTE},
    {"/sbin", JAIL_EXECUTE},
    {"/lib", JAIL_EXECUTE},
    {"/lib32", JAIL_EXECUTE},
    {"/lib64", JAIL_EXECUTE},
    {"/libx32", JAIL_EXECUTE},
    {"/nix/store", JAIL_EXECUTE},
    {"/gnu/store", JAIL_EXECUTE},
    /* How they are set up; not what else root may read there. */
    {"/etc/alternatives", JAIL_READ},
    {"/etc/apt", JAIL_READ | JAIL_LIST},
    {"/etc/ca-certificates", JAIL_READ | JAIL_LIST},
    {"/etc/crypto-policies", JAIL_READ},
    {"/etc/debian_version", JAIL_READ},
    {"/etc/depmod.d", JAIL_READ | JAIL_LIST},
    {"/etc/dpkg", JAIL_READ | JAIL_LIST},
    {"/etc/gai.conf", JAIL_READ},
    {"/etc/group", JAIL_READ},
    {"/etc/host.conf", JAIL_READ},
    {"/etc/hosts", JAIL_READ},
    {"/etc/ld.so.cache", JAIL_READ},
    {"/etc/ld.so.preload", JAIL_READ},
    {"/etc/localtime", JAIL_READ},
    {"/etc/mke2fs.conf", JAIL_READ},
    {"/etc/nsswitch.conf", JAIL_READ},
    {"/etc/passwd", JAIL_READ},
    {"/etc/protocols", JAIL_READ},
    {"/etc/services", JAIL_READ},
    {"/etc/ssl/certs", JAIL_READ | JAIL_LIST},
    {"/etc/ssl/openssl.cnf", JAIL_READ},
    {"/dev/full", JAIL_READ},
    {"/dev/null", JAIL_KEEP},
    {"/dev/random", JAIL_READ},
    {"/dev/urandom", JAIL_READ},
    {"/dev/zero", JAIL_READ},
};

static const char *const refused[] = {
    /* Other processes. */
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    /* Namespaces, mounts and what goes around them. */
    "unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "move_mount", "open_tree",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at",
    /* Large parts of the kernel that nobody here needs. */
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "add_key", "request_key", "keyctl", "vmsplice", "modify_ldt", "quotactl",
    "quotactl_fd", "syslog",
    /* The host itself. */
    "acct", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname", "iopl", "ioperm", "vhangup"};

static int refuse(scmp_filter_ctx filter, const char *call, int code,
                  const struct scmp_arg_cmp *argument)
{
    int number = seccomp_syscall_resolve_name(call), r;

    if (number == __NR_SCMP_ERROR)
        return 0;
    r = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)code), number, argument ? 1 : 0,
                               argument);
    return r == -EDOM ? 0 : r;
}

/* All families but the two: one by one, and all above. */
static int refuse_sockets(scmp_filter_ctx filter, bool network)
{
    const struct scmp_arg_cmp above = {0, SCMP_CMP_GT, AF_INET6, 0};
    int r = 0;

    if (!network)
        return refuse(filter, "socket", EACCES, NULL);
    for (unsigned family = 0; !r && family < AF_INET6; family++) {
        const struct scmp_arg_cmp one = {0, SCMP_CMP_EQ, family, 0};

        if (family != AF_INET)
            r = refuse(filter, "socket", EAFNOSUPPORT, &one);
    }
    return r ? r : refuse(filter, "socket", EAFNOSUPPORT, &above);
}

static int refuse_arguments(scmp_filter_ctx filter)
{
    static const uint64_t spaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                      CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
    static const uint32_t requests[] = {TIOCSTI, TIOCLINUX};
    int r = refuse(filter, "clone3", ENOSYS, NULL); /* its flags are in memory */

    for (unsigned i = 0; !r && i < ARRAY_SIZE(spaces); i++) {
        const struct scmp_arg_cmp flag = {0, SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]};

        r = refuse(filter, "clone", EPERM, &flag);
    }
    for (unsigned i = 0; !r && i < ARRAY_SIZE(requests); i++) {
        const struct scmp_arg_cmp request = {1, SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]};

        r = refuse(filter, "ioctl", EPERM, &request);
    }
    return r;
}

static int enter_filter(bool network)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    struct sock_fprog program = {0};
    int r = filter ? refuse_sockets(filter, network) : -ENOMEM;

    for (unsigned i = 0; !r && i < ARRAY_SIZE(refused); i++)
        r = refuse(filter, refused[i], EPERM, NULL);
    if (!r)
        r = refuse_arguments(filter);
    if (!r)
        r = jail_filter_export(filter, &program);
    if (!r)
        r = jail_filter_install(&program);
    free(program.filter);
    if (filter)
        seccomp_release(filter);
    return r;
}

static int allow(int rules, int version, const char *path, unsigned rights)
{
    int r = jail_landlock_allow(rules, version, path, rights);

    return r == -ENOENT || r == -ENOTDIR || r == -EACCES ? 0 : r;
}

static int enter_rules(const char *const *directories, bool network)
{
    int version = jail_landlock_version();
    CLEANUP(descriptor_close) int rules = -1;
    char *names;
    int r = 0;

    if (version < VERSION_REFER)
        return 0;
    rules = jail_landlock_new(version, network ? JAIL_LEAVE_CONNECTIONS : 0);
    if (rules < 0)
        return rules;
    for (unsigned i = 0; !r && i < ARRAY_SIZE(system_paths); i++)
        r = allow(rules, version, system_paths[i].path, system_paths[i].rights);
    names = network ? jail_names_place() : NULL;
    if (!r && names)
        r = allow(rules, version, names, JAIL_READ);
    free(names);
    for (; !r && *directories; directories++)
        r = jail_landlock_allow(rules, version, *directories, JAIL_BUILD);
    return r ? r : jail_landlock_install(rules);
}

/* What root needs to work in a directory of another user's. An exec gives no more back, by the
 * first step. */
static int keep_file_capabilities(void)
{
    static const unsigned kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
                                    CAP_FSETID};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    uint32_t mask = 0;

    if (syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
        mask |= CAP_TO_MASK(kept[i]);
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sets[i].permitted &= i ? 0 : mask;
        sets[i].effective &= sets[i].permitted;
        sets[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int jail_enter_program(enum jail_mode mode, const char *const *directories, bool network)
{
    int r = 0;

    if (mode != JAIL_ON)
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        r = -errno;
    if (!r)
        r = enter_rules(directories, network);
    if (!r && jail_filter_supported())
        r = enter_filter(network);
    return r ? r : keep_file_capabilities();
}
