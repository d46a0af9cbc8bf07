/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control groups that this process is in, as the kernel tells (cgroups(7), and Linux's
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/): which hierarchy has a controller, where
 * that is mounted, and which directory there is this process's. Reads files and changes nothing;
 * any thread.
 *
 * A host may have both versions at once; a controller is in one of them. `root` stands before every
 * path that is opened: "" but in tests, whose trees are of plain files.
 */
#ifndef HOSPES_BASE_CGROUP_H
#define HOSPES_BASE_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct cgroup {
    unsigned version;         /* 1 or 2 */
    char directory[PATH_MAX]; /* of the group that this process is in */
    size_t mount;             /* how much of that is the hierarchy's own directory */
};

/* The group that this process is in, in the hierarchy that has `controller`: 0, or -ENOENT where
 * none has it or what is mounted does not show it. */
int cgroup_find(const char *root, const char *controller, struct cgroup *cgroup) MUST_CHECK;
/* Goes to the group above. False: there is none. */
bool cgroup_up(struct cgroup *cgroup);

/* The first line of a group's file, without its end. */
bool cgroup_line(const char *directory, const char *file, char *line, size_t size);
/* Whether one of the words of that line is `word`. */
bool cgroup_has_word(const char *directory, const char *file, const char *word);
/* Writes a line. 0 or -errno. */
int cgroup_write(const char *directory, const char *file, const char *line) MUST_CHECK;

/* What the groups that this process is in leave it of memory, in bytes: the least of their limits,
 * and the least of what they have left below it (files that nobody uses are counted as left, as in
 * MemAvailable). UINT64_MAX: no limit. */
void cgroup_memory(const char *root, uint64_t *limit, uint64_t *available);

#endif
