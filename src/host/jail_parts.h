/* SPDX-License-Identifier: Apache-2.0 */
/* What jail*.c share. Nobody else includes it, but for the tests. */
#ifndef HOSPES_HOST_JAIL_PARTS_H
#define HOSPES_HOST_JAIL_PARTS_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
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
/* The program of a filter of libseccomp's. The caller frees program->filter. -errno. */
int jail_filter_export(void *filter, struct sock_fprog *program) MUST_CHECK;
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

/* Where the name servers of /etc/resolv.conf are to be read, which is that file or the directory
 * that it is a link to. The caller frees it; NULL: there are none. jail.c */
char *jail_names_place(void);

/* ---- mounts: jail_mounts.c ---- */

enum jail_mounts {
    JAIL_MOUNTS_NONE, /* forbidden, or too old a kernel */
    JAIL_MOUNTS_USER, /* in a user namespace */
    JAIL_MOUNTS_ROOT,
};

/* What there will be: the directory or file `from` as `to`, or a link there; both absolute. */
struct jail_place {
    char *from, *to;
    bool link;
};

struct jail_places {
    struct jail_place *items; /* owned */
    size_t count;
};

/* How the process may make mounts of its own, of a process without threads. */
enum jail_mounts jail_mounts_find(void);
bool jail_mounts_users_allowed(void);
/* The process's own user namespace, for JAIL_MOUNTS_USER: before it has threads, and while it can
 * be dumped, since its maps are files of /proc. -errno: nothing has changed, unless `entered`: then
 * it must not go on. */
int jail_mounts_enter_users(bool *entered) MUST_CHECK;
/* Both are followed from where the process is. One that is not there later is left out. -errno. */
int jail_places_add(struct jail_places *places, const char *from, const char *to) MUST_CHECK;
int jail_places_add_link(struct jail_places *places, const char *from, const char *to) MUST_CHECK;
/* /proc/self/fd/N of each directory that is open and lies right in a place. -errno. */
int jail_places_add_descriptors(struct jail_places *places) MUST_CHECK;
void jail_places_release(struct jail_places *places);
/* The calling thread, and those that it starts, see the places and nothing else. -errno: all is
 * seen as before, unless `entered`: then it must not go on. */
int jail_mounts_enter(const struct jail_places *places, bool *entered) MUST_CHECK;

#endif
