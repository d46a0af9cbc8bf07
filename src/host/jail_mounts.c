/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is at all: a root of the process's own, empty but for the directories that it was
 * allowed. Landlock says which files may be opened; nothing else keeps it from connecting to a
 * socket by its path, or from asking whether a path is there.
 *
 * Root makes mounts as it is. Who is not root does it in a user namespace, in which there is only
 * one user, the process's own: files keep their owners, and every other user, root as well, has
 * one number in common (jail_hides_users()). A namespace of users is entered before
 * there are threads, one of mounts by each thread for itself and for those that it starts
 * (unshare(2)).
 *
 * What was opened before leads out of it: a directory's descriptor by "..", if there are calls that
 * take one. The filter has no fchdir(); Landlock guards what is opened; and there is no /proc, by
 * which a descriptor would be part of a path to connect to. Networks with long paths go by one of
 * those that lie in a place (network/segment.h): they are bound under that name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "host/jail_parts.h"

/* fsopen(2) and its like, of Linux 5.2, and openat2(2), of 5.6; an older libc has no names for
 * them.
 */
enum {
    TREE_CLONE = 1,
    TREE_RECURSIVE = 0x8000,
    TREE_CLOEXEC = O_CLOEXEC,
    MOVE_FROM_DESCRIPTOR = 4,
    MOVE_TO_DESCRIPTOR = 0x40,
    RESOLVE_INSIDE = 0x10,
    CONFIG_STRING = 1,
    CONFIG_CREATE = 6,
    OPEN_CLOEXEC = 1,
};

/* ---- the user namespace ---- */

static int capabilities_get(struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &header, sets) < 0 ? -errno : 0;
}

/* CAP_SYS_ADMIN, for mounts, until jail_enter() drops that as well. */
static int capabilities_keep_mounts(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};

    sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted = CAP_TO_MASK(CAP_SYS_ADMIN);
    sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective = CAP_TO_MASK(CAP_SYS_ADMIN);
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

static int file_say(const char *path, const char *text)
{
    CLEANUP(descriptor_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : descriptor_write_all(fd, text, strlen(text));
}

/* Maps of one line, of the process's own numbers, are what everybody may write, once the groups
 * cannot be changed (user_namespaces(7)). */
static int users_enter(unsigned uid, unsigned gid, bool *entered)
{
    char line[64];
    int r;

    *entered = false;
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    *entered = true;
    snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
    r = file_say("/proc/self/uid_map", line);
    if (!r)
        r = file_say("/proc/self/setgroups", "deny");
    snprintf(line, sizeof(line), "%u %u 1\n", gid, gid);
    return r ? r : file_say("/proc/self/gid_map", line);
}

#define TRIAL_STACK (64u << 10)

static int users_try(void *ctx)
{
    bool entered;

    return users_enter(geteuid(), getegid(), &entered) ? 1 : 0;
}

/* Some hosts let everybody have a namespace and then forbid the maps, and there is no way back: a
 * child tries first. It shares the memory, as by vfork(), so that it costs little. */
bool jail_mounts_users_allowed(void)
{
    char *stack = malloc(TRIAL_STACK);
    int status = 0;
    pid_t child;

    if (!stack)
        return false;
    /* Without a signal at its end, which who started hospes may have had ignored. */
    child = clone(users_try, stack + TRIAL_STACK, CLONE_VM | CLONE_VFORK, NULL);
    while (child > 0 && waitpid(child, &status, __WCLONE) < 0)
        if (errno != EINTR)
            child = -1;
    free(stack);
    return child > 0 && WIFEXITED(status) && !WEXITSTATUS(status);
}

enum jail_mounts jail_mounts_find(void)
{
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    uint32_t any = 0;

    if (capabilities_get(sets))
        return JAIL_MOUNTS_NONE;
    if (sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN))
        return JAIL_MOUNTS_ROOT;
    for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
        any |= sets[i].permitted;
    /* Other rights, as to make a tap interface, are worth nothing in a namespace of its own, and
     * are still wanted. */
    return !any && jail_mounts_users_allowed() ? JAIL_MOUNTS_USER : JAIL_MOUNTS_NONE;
}

int jail_mounts_enter_users(bool *entered)
{
    int r = users_enter(geteuid(), getegid(), entered);

    return r ? r : capabilities_keep_mounts();
}

/* ---- the list ---- */

static void place_release(struct jail_place *place)
{
    free(place->from);
    free(place->to);
}

void jail_places_release(struct jail_places *places)
{
    for (size_t i = 0; i < places->count; i++)
        place_release(&places->items[i]);
    free(places->items);
    *places = (struct jail_places){0};
}

/* A path is followed from where the process is now. */
static char *absolute(const char *path)
{
    char *here, *whole;

    if (*path == '/')
        return strdup(path);
    here = getcwd(NULL, 0);
    if (!here || asprintf(&whole, "%s/%s", here, path) < 0)
        whole = NULL;
    free(here);
    return whole;
}

static int place_add(struct jail_places *places, const char *from, const char *to, bool link)
{
    struct jail_place *items = realloc(places->items, (places->count + 1) * sizeof(*items));
    struct jail_place *place;

    if (!items)
        return -ENOMEM;
    places->items = items;
    place = &items[places->count];
    *place = (struct jail_place){.from = absolute(from), .to = absolute(to), .link = link};
    if (!place->from || !place->to) {
        place_release(place);
        return -ENOMEM;
    }
    places->count++;
    return 0;
}

int jail_places_add(struct jail_places *places, const char *from, const char *to)
{
    return place_add(places, from, to, false);
}

int jail_places_add_link(struct jail_places *places, const char *from, const char *to)
{
    return place_add(places, from, to, true);
}

static bool places_have(const struct jail_places *places, const struct stat *what)
{
    struct stat st;

    for (size_t i = 0; i < places->count; i++)
        if (!stat(places->items[i].from, &st) && st.st_dev == what->st_dev &&
            st.st_ino == what->st_ino)
            return true;
    return false;
}

/* Of what is open only what lies in a place, as a network does (network/segment.h): who started
 * hospes may have left it directories of their own. */
static int add_descriptor(struct jail_places *places, int fd)
{
    char name[32], path[4096];
    struct stat above;
    ssize_t length;

    if (fstatat(fd, "..", &above, 0) < 0 || !places_have(places, &above))
        return 0;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    length = readlink(name, path, sizeof(path));
    if (length < 0 || length == (ssize_t)sizeof(path))
        return length < 0 ? -errno : -ENAMETOOLONG;
    path[length] = 0;
    return jail_places_add(places, path, name);
}

int jail_places_add_descriptors(struct jail_places *places)
{
    DIR *stream = opendir("/proc/self/fd");
    struct dirent *entry;
    int r = 0;

    if (!stream)
        return -errno;
    while (!r && (entry = readdir(stream))) {
        int fd = atoi(entry->d_name);
        struct stat st;

        if (fd > 0 && fd != dirfd(stream) && !fstat(fd, &st) && S_ISDIR(st.st_mode))
            r = add_descriptor(places, fd);
    }
    closedir(stream);
    return r;
}

/* ---- the mounts ---- */

/* The empty root: its descriptor, or -errno. */
static int root_make(void)
{
    CLEANUP(descriptor_close) int fs = (int)syscall(SYS_fsopen, "tmpfs", OPEN_CLOEXEC);
    int root;

    if (fs < 0 || syscall(SYS_fsconfig, fs, CONFIG_STRING, "mode", "0755", 0) < 0 ||
        syscall(SYS_fsconfig, fs, CONFIG_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    root = (int)syscall(SYS_fsmount, fs, OPEN_CLOEXEC, 0);
    return root < 0 ? -errno : root;
}

static const char *below_root(const char *path)
{
    while (*path == '/')
        path++;
    return path;
}

/* Each directory above `path`, which lies below `root`. */
static int place_make_above(int root, const char *path)
{
    char *part = strdup(path), *slash = part;
    int r = part ? 0 : -ENOMEM;

    while (!r && (slash = strchr(slash, '/'))) {
        *slash = 0;
        if (*part && mkdirat(root, part, 0755) < 0 && errno != EEXIST)
            r = -errno;
        *slash++ = '/';
    }
    free(part);
    return r;
}

static int place_make(int root, const char *path, bool directory)
{
    int r = place_make_above(root, path);

    if (!r && directory && mkdirat(root, path, 0755) < 0 && errno != EEXIST)
        r = -errno;
    if (!r && !directory && mknodat(root, path, S_IFREG | 0400, 0) < 0 && errno != EEXIST)
        r = -errno;
    return r;
}

static int link_make(int root, const struct jail_place *place)
{
    const char *to = below_root(place->to);
    int r = place_make_above(root, to);

    return !r && symlinkat(place->from, root, to) < 0 ? -errno : r;
}

/* As the process will find it: neither a link in what is bound nor ".." leads out of the root,
 * which it is not in yet. */
static int place_open(int root, const char *path)
{
    /* struct open_how (openat2(2)) */
    const uint64_t how[] = {O_PATH | O_CLOEXEC, 0, RESOLVE_INSIDE};
    int fd = (int)syscall(SYS_openat2, root, path, how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

/* 1: `to` is `from` there. 0: it is something else, or not there. -errno: `from` is not there. */
static int place_is(int root, const char *from, const char *to, mode_t *mode)
{
    CLEANUP(descriptor_close) int at = -1;
    struct stat source, there;

    if (stat(from, &source) < 0)
        return -errno;
    *mode = source.st_mode;
    at = place_open(root, to);
    return at >= 0 && !fstat(at, &there) && there.st_dev == source.st_dev &&
           there.st_ino == source.st_ino;
}

static bool is_missing(int r)
{
    return r == -ENOENT || r == -ENOTDIR || r == -EACCES;
}

static int place_bind(int root, const char *from, const char *path)
{
    const char *to = below_root(path);
    CLEANUP(descriptor_close) int tree = -1;
    CLEANUP(descriptor_close) int at = -1;
    mode_t mode;
    int r;

    /* Everything is allowed. */
    if (!*to)
        return -ENOTSUP;
    r = place_is(root, from, to, &mode);
    /* Below what was bound before. */
    if (r)
        return r > 0 || is_missing(r) ? 0 : r;
    r = place_make(root, to, S_ISDIR(mode));
    at = r ? r : place_open(root, to);
    if (at < 0)
        return at;
    tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, TREE_CLONE | TREE_RECURSIVE | TREE_CLOEXEC);
    if (tree < 0 ||
        syscall(SYS_move_mount, tree, "", at, "", MOVE_FROM_DESCRIPTOR | MOVE_TO_DESCRIPTOR) < 0)
        return -errno;
    return 0;
}

/* Under its true name first, by which links in other places find it. */
static int place_mount(int root, const struct jail_place *place)
{
    char *real = realpath(place->from, NULL);
    int r = real ? place_bind(root, real, real) : 0;

    free(real);
    return r ? r : place_bind(root, place->from, place->to);
}

/* None was bound over another. */
static int places_check(int root, const struct jail_places *places)
{
    mode_t mode;
    int r = 1;

    for (size_t i = 0; r && i < places->count; i++)
        if (!places->items[i].link)
            r = place_is(root, places->items[i].from, below_root(places->items[i].to), &mode);
    return r ? 0 : -ENOENT;
}

/* The same directory as before, which may be an empty one now; or else the process is in the root.
 */
static void here_make(int root, const char *here)
{
    const char *path = below_root(here);

    if (*path)
        (void)!place_make(root, path, true);
}

static int root_fill(int root, const struct jail_places *places, const char *here)
{
    int r = 0;

    for (size_t i = 0; !r && i < places->count; i++)
        r = places->items[i].link ? link_make(root, &places->items[i])
                                  : place_mount(root, &places->items[i]);
    here_make(root, here);
    return r ? r : places_check(root, places);
}

int jail_mounts_enter(const struct jail_places *places, bool *entered)
{
    CLEANUP(descriptor_close) int root = -1;
    char *found = getcwd(NULL, 0);
    const char *here = found ? found : "/";
    int r = 0;

    *entered = false;
    /* What is mounted here is not seen by the host, nor the other way round: else a host could not
     * be rid of a mount. */
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        r = -errno;
    if (!r) {
        root = root_make();
        r = root < 0 ? root : 0;
    }
    /* Over the old one, which paths do not see that begin at the process's root. */
    if (!r && syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_FROM_DESCRIPTOR) < 0)
        r = -errno;
    if (!r)
        r = root_fill(root, places, here);
    if (!r && (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)) {
        r = -errno;
        (void)!chdir(here);
    }
    if (!r) {
        /* From here on there is no way back. */
        *entered = true;
        if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
            mount(NULL, "/", NULL,
                  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
            r = -errno;
        (void)!chdir(here);
    }
    free(found);
    return r;
}
