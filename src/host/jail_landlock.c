/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: what a thread may reach by path. Facts: Linux's
 * Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h; the numbers stand
 * here because a host's headers are often older than its kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "host/jail.h"
#include "host/jail_parts.h"

/* LANDLOCK_ACCESS_FS_...: the bits of each version stand above those of the one before. */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,
    FS_TRUNCATE = 1 << 14,
};

/* LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP; LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL.
 */
enum { NET_BIND = 1, NET_ALL = 3, SCOPE_ABSTRACT = 1, SCOPE_ALL = 3 };
enum { VERSION_NET = 4, VERSION_SCOPE = 6 };

/* struct landlock_ruleset_attr of version 6; an older kernel takes it where the rest is zero. */
struct rules {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

/* All that the version knows. */
static uint64_t fs_all(int version)
{
    static const unsigned counts[] = {0, 13, 14, 15, 15, 16};

    return (UINT64_C(1) << counts[version < 5 ? version : 5]) - 1;
}

int jail_landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version > 0 ? (int)version : 0;
}

int jail_landlock_new(int version, unsigned leave)
{
    struct rules rules = {.handled_access_fs = fs_all(version)};
    long fd;

    if (version >= VERSION_NET)
        rules.handled_access_net = leave & JAIL_LEAVE_CONNECTIONS ? NET_BIND : NET_ALL;
    /* Sockets without a path, of other programs, and signals to them. */
    if (version >= VERSION_SCOPE)
        rules.scoped = leave & JAIL_LEAVE_SIGNALS ? SCOPE_ABSTRACT : SCOPE_ALL;
    fd = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    return fd < 0 ? -errno : (int)fd;
}

int jail_landlock_allow(int rules, int version, const char *path, unsigned rights)
{
    CLEANUP(descriptor_close) int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.parent_fd = fd};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (rights & (JAIL_READ | JAIL_KEEP))
        rule.allowed_access |= FS_READ_FILE;
    if (rights & JAIL_KEEP)
        rule.allowed_access |= FS_WRITE_FILE | FS_MAKE_REG | FS_REMOVE_FILE | FS_TRUNCATE;
    if (rights & JAIL_REMOVE)
        rule.allowed_access |= FS_REMOVE_FILE;
    if (rights & JAIL_REMOVE_EMPTY)
        rule.allowed_access |= FS_REMOVE_DIR;
    if (rights & JAIL_LIST)
        rule.allowed_access |= FS_READ_DIR;
    if (rights & JAIL_EXECUTE)
        rule.allowed_access |= FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
    if (rights & JAIL_BUILD)
        rule.allowed_access |= FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR |
                               FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_FIFO |
                               FS_MAKE_SYM | FS_REFER | FS_TRUNCATE;
    /* Rights to entries are refused at what has none. */
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= FS_EXECUTE | FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
    rule.allowed_access &= fs_all(version);
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return -errno;
    return 0;
}

int jail_landlock_install(int rules)
{
    return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}
