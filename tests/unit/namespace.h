/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user namespace in which a test is root, so that it needs to be root nowhere else.
 */
#ifndef HOSPES_TESTS_NAMESPACE_H
#define HOSPES_TESTS_NAMESPACE_H

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline bool namespace_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* `flags`: what else is to be the test's own, as CLONE_NEWNET. Only while there is one thread.
 * False: this host does not permit it (user_namespaces(7)). */
static inline bool namespace_enter(int flags)
{
    unsigned uid = getuid(), gid = getgid();
    char map[64];

    if (unshare(CLONE_NEWUSER | flags) < 0 || !namespace_write("/proc/self/setgroups", "deny"))
        return false;
    snprintf(map, sizeof(map), "0 %u 1", gid);
    if (!namespace_write("/proc/self/gid_map", map))
        return false;
    snprintf(map, sizeof(map), "0 %u 1", uid);
    return namespace_write("/proc/self/uid_map", map);
}

#endif
