/* SPDX-License-Identifier: Apache-2.0 */
/* What jail*.c share. Nobody else includes it, but for the tests. */
#ifndef HOSPES_HOST_JAIL_PARTS_H
#define HOSPES_HOST_JAIL_PARTS_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/thread.h"

/* ---- system calls: jail_filter.c ---- */

struct jail_needs {
    bool kill;    /* else what is not allowed is told only */
    bool network; /* a user network, whose process is beside */
    bool paths;   /* anything by path */
    bool sockets; /* to programs of the user that listen at a path */
    bool segment; /* of a network between machines */
};

/* Whether the host has filters that kill a process (Linux 4.14). */
bool jail_filter_supported(void);
/* The calls of the role, as a program for the kernel. The caller frees program->filter. -errno. */
int jail_filter_make(enum thread_role role, const struct jail_needs *needs,
                     struct sock_fprog *program) MUST_CHECK;
/* On the calling thread, and on those that it starts. -errno. */
int jail_filter_install(const struct sock_fprog *program) MUST_CHECK;

/* ---- paths: jail_landlock.c ---- */

/* The version that the host has; 0 and the reason in errno: none. */
int jail_landlock_version(void);
/* What a set of rules leaves alone, beyond paths; bits. */
enum {
    JAIL_LEAVE_CONNECTIONS = 1, /* to the outside */
    JAIL_LEAVE_SIGNALS = 2,     /* to whom the user may send them */
};

/* A set of rules that allows nothing of what the version knows, but for what it leaves alone: its
 * descriptor, or -errno. */
int jail_landlock_new(int version, unsigned leave) MUST_CHECK;
/* Rights are those of enum jail_right, below `path`. -errno. */
int jail_landlock_allow(int rules, int version, const char *path, unsigned rights) MUST_CHECK;
int jail_landlock_install(int rules) MUST_CHECK;

#endif
