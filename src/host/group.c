/* SPDX-License-Identifier: Apache-2.0 */
#include "host/group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/hash.h"
#include "host/family.h"
#include "host/weight.h"
#include "image/file.h"
#include "image/store.h"

/* Somebody who looks may remove a group that is still empty. */
#define ENTER_TRIES 100
#define PERIOD_US   100000u
/* Shares that version 1 gives who says nothing (cgroup-v1, sched-design-CFS.rst). */
#define SHARES_DEFAULT 1024u
/* Beside the guest's memory: code (64 MiB), tables, buffers, and files of disks that were just
 * read. A process that wants more is made to wait and not killed: a fence round one that its guest
 * has taken over. */
#define MEMORY_BESIDE (UINT64_C(1) << 30)

int group_is_wanted(const char *text, bool *wanted, struct error *error)
{
    if (text && strcmp(text, "off") != 0)
        return error_usage(error, "HOSPES_CGROUP is \"%s\"; use off, or leave it away", text);
    *wanted = !text;
    return 0;
}

/* ---- the place ---- */

static bool has_file(const char *directory, const char *file, int how)
{
    CLEANUP(text_free) char *path = text_format("%s/%s", directory, file);

    return path && access(path, how) == 0;
}

/* Only the root of all, which may have processes and give controllers at once, has no type. */
static bool is_root(const char *directory)
{
    return !has_file(directory, "cgroup.type", F_OK);
}

static bool is_empty(const char *directory)
{
    char line[16];

    return !cgroup_line(directory, "cgroup.procs", line, sizeof(line));
}

/* What a process needs that makes a group there and moves into it from further down. */
static bool may_make(const char *directory)
{
    return access(directory, W_OK) == 0 && has_file(directory, "cgroup.procs", W_OK);
}

/* Whether groups there have CPU time to share. */
static bool gives_cpu(const char *directory)
{
    return cgroup_has_word(directory, "cgroup.subtree_control", "cpu");
}

static bool may_give_cpu(const char *directory)
{
    return cgroup_has_word(directory, "cgroup.controllers", "cpu") &&
           has_file(directory, "cgroup.subtree_control", W_OK) &&
           (is_root(directory) || is_empty(directory));
}

static bool is_service(const char *directory)
{
    static const char end[] = ".service";
    size_t length = strlen(directory);

    return length >= sizeof(end) && !strcmp(directory + length + 1 - sizeof(end), end);
}

static bool has_mark(const char *directory, const char *attribute)
{
    char value[2];

    return getxattr(directory, attribute, value, sizeof(value)) == 1 && value[0] == '1';
}

/* systemd takes CPU time back from its own groups when no unit in them asks for it (the next
 * daemon-reload does), and what is set there is gone; those that it leaves to others it marks
 * (systemd's CGROUP_DELEGATION.md). A user may write those alone; root is to look. */
static bool is_left_to_us(const char *root, const struct cgroup *place)
{
    CLEANUP(text_free) char *booted = text_format("%s/run/systemd/system", root);
    struct cgroup at = *place;

    if (geteuid() || !booted || access(booted, F_OK) < 0)
        return true;
    do
        if (has_mark(at.directory, "trusted.delegate") || has_mark(at.directory, "user.delegate"))
            return true;
    while (cgroup_up(&at));
    return false;
}

/* The one furthest up of those from *place on in which this user may: all machines are to be beside
 * each other, wherever they are started, or their weights mean nothing. Where CPU time is given
 * already, if there is one. False: none. */
static bool highest(const char *root, struct cgroup *place)
{
    struct cgroup at = *place;
    bool given = false, found = false;

    do {
        bool gives = gives_cpu(at.directory);

        if (!may_make(at.directory) || !(gives || (!given && may_give_cpu(at.directory))) ||
            !is_left_to_us(root, &at))
            continue;
        *place = at;
        found = true;
        given |= gives;
    } while (cgroup_up(&at));
    return found;
}

int group_find_place(const char *root, struct cgroup *place)
{
    int r = cgroup_find(root, "cpu", place);

    if (r)
        return r;
    if (place->version == 1)
        return may_make(place->directory) ? 0 : -EACCES;
    if (is_service(place->directory))
        return -EBUSY;
    if (!is_root(place->directory) && !cgroup_up(place))
        return -EACCES;
    return highest(root, place) ? 0 : -EACCES;
}

/* ---- which is whose ---- */

/* What all groups of this machine end with: two users, or one with two MACHINES, may have machines
 * of the same name. */
static char *group_name(const struct registry *registry, const char *name)
{
    struct hash128 hash = hash128(registry->machines, strlen(registry->machines), 0);

    return text_format("/hospes-%08x-%s", (unsigned)hash.word[0], name);
}

/* What MACHINES/NAME/group tells; NULL: nothing. */
static char *group_directory(const struct registry *registry, const char *name)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "group");
    CLEANUP(text_free) char *own = group_name(registry, name);
    char *text = NULL;
    size_t length, end;

    if (!path || !own || access(path, F_OK) < 0 || file_read_text(path, PATH_MAX, &text, NULL))
        return NULL;
    text[strcspn(text, "\n")] = 0;
    length = strlen(text);
    end = strlen(own);
    if (length > end && !strcmp(text + length - end, own))
        return text;
    free(text);
    return NULL;
}

/* Every start at the same place finds it told already. */
static int group_tell(const struct registry *registry, const char *name, const char *directory,
                      struct error *error)
{
    CLEANUP(text_free) char *before = group_directory(registry, name);
    CLEANUP(text_free) char *path = registry_path(registry, name, "group");
    CLEANUP(text_free) char *line = text_format("%s\n", directory);

    if (!path || !line)
        return error_set(error, ENOMEM, "out of memory");
    if (before && !strcmp(before, directory))
        return 0;
    if (before)
        rmdir(before);
    return file_write(path, line, strlen(line), false, error);
}

/* ---- making, entering, leaving ---- */

/* Controllers for those below. Memory is welcome, and not needed. */
static int give_controllers(const char *directory)
{
    int r = 0;

    if (!cgroup_has_word(directory, "cgroup.subtree_control", "cpu"))
        r = cgroup_write(directory, "cgroup.subtree_control", "+cpu");
    if (!r && !cgroup_has_word(directory, "cgroup.subtree_control", "memory") &&
        cgroup_write(directory, "cgroup.subtree_control", "+memory"))
        errno = 0;
    return r;
}

static int enter(const char *directory, pid_t pid)
{
    char text[24];

    snprintf(text, sizeof(text), "%ld", (long)pid);
    return cgroup_write(directory, "cgroup.procs", text);
}

/* With the machine's other process, which was there before. */
static int make_and_enter(const char *directory)
{
    pid_t members[FAMILY_MAX];
    size_t count = family_find(getpid(), members);
    int r = 0;

    for (unsigned i = 0; i < ENTER_TRIES; i++) {
        if (mkdir(directory, 0755) < 0 && errno != EEXIST)
            return -errno;
        r = enter(directory, members[0]);
        if (r != -ENOENT && r != -ENODEV)
            break;
    }
    if (r)
        rmdir(directory);
    for (size_t i = 1; i < count && !r; i++) {
        r = enter(directory, members[i]);
        if (r == -ESRCH)
            r = 0; /* it has ended */
    }
    return r;
}

int group_enter(const char *root, const struct registry *registry, const char *name,
                uint64_t memory, struct error *error)
{
    CLEANUP(text_free) char *own = group_name(registry, name);
    CLEANUP(text_free) char *directory = NULL;
    struct cgroup place;
    char bytes[24];
    int r = group_find_place(root, &place);

    if (r)
        return r;
    directory = own ? text_format("%s%s", place.directory, own) : NULL;
    if (!directory)
        return error_set(error, ENOMEM, "out of memory");
    /* First told, then made: one that is killed between leaves nothing that nobody knows of. */
    r = group_tell(registry, name, directory, error);
    if (r)
        return r;
    r = place.version == 2 ? give_controllers(place.directory) : 0;
    if (!r)
        r = make_and_enter(directory);
    if (r)
        return error_set(error, -r, "cannot make and enter the group \"%s\": %s", directory,
                         error_words(-r));
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)(memory + MEMORY_BESIDE));
    r = place.version == 2 ? cgroup_write(directory, "memory.high", bytes) : 0;
    /* Groups here have no memory of their own. */
    if (r == -ENOENT)
        r = 0;
    return r ? error_set(error, -r, "cannot bound the memory of \"%s\": %s", directory,
                         error_words(-r))
             : 0;
}

bool group_sweep(const struct registry *registry, const char *name)
{
    CLEANUP(text_free) char *directory = group_directory(registry, name);

    return !directory || rmdir(directory) == 0 || errno != EBUSY;
}

/* ---- of one that is there ---- */

static bool holds(const char *directory, pid_t pid)
{
    CLEANUP(text_free) char *path = text_format("%s/cgroup.procs", directory);
    FILE *file = path ? fopen(path, "re") : NULL;
    bool found = false;
    long number;

    while (file && !found && fscanf(file, "%ld", &number) == 1)
        found = number == pid;
    if (file)
        fclose(file);
    return found;
}

unsigned group_version(const struct registry *registry, const char *name, pid_t pid)
{
    CLEANUP(text_free) char *directory = group_directory(registry, name);

    if (!directory || pid <= 0 || !holds(directory, pid))
        return 0;
    if (has_file(directory, "cpu.shares", F_OK))
        return 1;
    /* Or else somebody took CPU time from those below the place. */
    return has_file(directory, "cpu.weight", F_OK) ? 2 : 0;
}

static int set_new(const char *directory, unsigned weight, unsigned cap)
{
    char line[48];
    int r;

    snprintf(line, sizeof(line), "%u", weight);
    r = cgroup_write(directory, "cpu.weight", line);
    if (cap)
        snprintf(line, sizeof(line), "%u %u", PERIOD_US / 100 * cap, PERIOD_US);
    else
        snprintf(line, sizeof(line), "max %u", PERIOD_US);
    return r ? r : cgroup_write(directory, "cpu.max", line);
}

static int set_old(const char *directory, unsigned weight, unsigned cap)
{
    char line[24];
    int r;

    snprintf(line, sizeof(line), "%u", weight * SHARES_DEFAULT / WEIGHT_DEFAULT);
    r = cgroup_write(directory, "cpu.shares", line);
    snprintf(line, sizeof(line), "%u", PERIOD_US);
    if (!r && cap)
        r = cgroup_write(directory, "cpu.cfs_period_us", line);
    snprintf(line, sizeof(line), "%d", cap ? (int)(PERIOD_US / 100 * cap) : -1);
    /* A kernel without CONFIG_CFS_BANDWIDTH has no cap to lift either. */
    if (!r && (cap || has_file(directory, "cpu.cfs_quota_us", F_OK)))
        r = cgroup_write(directory, "cpu.cfs_quota_us", line);
    return r;
}

int group_set(const struct registry *registry, const char *name, const struct group_shares *shares,
              struct error *error)
{
    CLEANUP(text_free) char *directory = group_directory(registry, name);
    unsigned weight = shares->weight ? shares->weight : WEIGHT_DEFAULT;
    int r;

    if (!directory)
        return error_set(error, ENOENT, "machine \"%s\" has no group", name);
    r = has_file(directory, "cpu.shares", F_OK) ? set_old(directory, weight, shares->cap)
                                                : set_new(directory, weight, shares->cap);
    return r ? error_set(error, -r, "cannot set the shares of the group \"%s\": %s", directory,
                         error_words(-r))
             : 0;
}
