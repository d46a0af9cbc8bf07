/* SPDX-License-Identifier: Apache-2.0 */
#include "host/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/group.h"
#include "image/file.h"
#include "image/store.h"

/* A variable that names a directory of ours: absolute, or it is a mistake. */
static int own_directory(const char *variable, char **path, struct error *error)
{
    const char *own = getenv(variable);

    if (!own || !*own)
        return 0;
    if (own[0] != '/')
        return error_usage(error, "%s is \"%s\", which is not an absolute path", variable, own);
    *path = strdup(own);
    if (!*path)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t end = strlen(own); end > 1 && own[end - 1] == '/'; end--)
        (*path)[end - 1] = 0;
    return 0;
}

/* An XDG directory is absolute, or else ignored (XDG Base Directory Specification, "Basics"). */
static const char *absolute(const char *variable)
{
    const char *path = getenv(variable);

    return path && path[0] == '/' ? path : NULL;
}

static char *machines_default(void)
{
    const char *data = absolute("XDG_DATA_HOME"), *home = absolute("HOME");

    if (data)
        return text_format("%s/hospes/machines", data);
    return home ? text_format("%s/.local/share/hospes/machines", home) : NULL;
}

static char *run_default(void)
{
    const char *run = absolute("XDG_RUNTIME_DIR");

    return run ? text_format("%s/hospes", run) : text_format("/tmp/hospes-%u", (unsigned)getuid());
}

int registry_open(struct registry *registry, struct error *error)
{
    struct registry found = {0};
    int r = own_directory("HOSPES_MACHINE_DIR", &found.machines, error);

    if (!r)
        r = own_directory("HOSPES_RUN_DIR", &found.run, error);
    if (!r && !found.machines)
        found.machines = machines_default();
    if (!r && !found.run)
        found.run = run_default();
    if (!r && (!found.machines || !found.run))
        r = error_set(error, ENOENT, "no place for machines; set HOME or XDG_DATA_HOME");
    if (r) {
        registry_release(&found);
        return r;
    }
    *registry = found;
    return 0;
}

void registry_release(struct registry *registry)
{
    free(registry->machines);
    free(registry->run);
    *registry = (struct registry){0};
}

bool registry_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return length >= 1 && length <= REGISTRY_NAME_MAX && !name[length] && name[0] != '-' &&
           name[length - 1] != '-';
}

int registry_name_check(const char *name, struct error *error)
{
    if (registry_name_is_valid(name))
        return 0;
    return error_usage(error,
                       "\"%s\" cannot be the name of a machine; use 1 to %d of a-z 0-9 -, as in "
                       "web-1",
                       name, REGISTRY_NAME_MAX);
}

static char *join(const char *directory, const char *name, const char *file)
{
    return file ? text_format("%s/%s/%s", directory, name, file)
                : text_format("%s/%s", directory, name);
}

char *registry_path(const struct registry *registry, const char *name, const char *file)
{
    return join(registry->machines, name, file);
}

char *registry_var_path(const struct registry *registry, const char *name, const char *file)
{
    return file ? text_format("%s/%s/var/%s", registry->machines, name, file)
                : text_format("%s/%s/var", registry->machines, name);
}

char *registry_run_path(const struct registry *registry, const char *name, const char *file)
{
    return join(registry->run, name, file);
}

static bool is_machine(const struct registry *registry, const char *name)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "machine.json");

    return path && access(path, F_OK) == 0;
}

int registry_check(const struct registry *registry, const char *name, struct error *error)
{
    int r = registry_name_check(name, error);

    if (r || is_machine(registry, name))
        return r;
    return error_set(error, ENOENT, "there is no machine \"%s\"; see what there is with: hospes ls",
                     name);
}

void registry_names_release(struct registry_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct registry_names){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_add(struct registry_names *names, const char *name)
{
    char **grown = realloc(names->names, (names->count + 1) * sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    names->names = grown;
    grown[names->count] = strdup(name);
    if (!grown[names->count])
        return -ENOMEM;
    names->count++;
    return 0;
}

int registry_list(const struct registry *registry, struct registry_names *names,
                  struct error *error)
{
    struct registry_names found = {0};
    DIR *directory = opendir(registry->machines);
    struct dirent *entry;
    int r = 0;

    if (!directory && errno != ENOENT)
        return error_set(error, errno, "cannot read \"%s\": %s", registry->machines,
                         error_words(errno));
    while (directory && !r && (entry = readdir(directory)))
        if (registry_name_is_valid(entry->d_name) && is_machine(registry, entry->d_name))
            r = names_add(&found, entry->d_name);
    if (directory)
        closedir(directory);
    if (r) {
        registry_names_release(&found);
        return error_set(error, -r, "cannot list machines: %s", error_words(-r));
    }
    if (found.count)
        qsort(found.names, found.count, sizeof(*found.names), by_name);
    *names = found;
    return 0;
}

/* ---- locks ---- */

int registry_lock(const struct registry *registry, const char *name, int *fd, struct error *error)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "lock");
    CLEANUP(descriptor_close) int lock = -1;
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    struct stat status;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    /* An open file description's: it ends with the last descriptor, and who only looks takes none
     * that would get in the way of a start (fcntl(2)). */
    if (fcntl(lock, F_OFD_SETLK, &held) < 0)
        return error_set(error, EBUSY, "machine \"%s\" runs; stop it with: hospes stop %s", name,
                         name);
    /* Deleted between: this lock excludes nobody. */
    if (fstat(lock, &status) < 0 || !status.st_nlink)
        return error_set(error, ENOENT, "machine \"%s\" was deleted", name);
    *fd = lock;
    lock = -1;
    return 0;
}

int registry_lock_record(const struct registry *registry, const char *name, int *fd,
                         struct error *error)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "record.lock");
    CLEANUP(descriptor_close) int lock = -1;
    struct stat status;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0 || fstat(lock, &status) < 0)
        return error_set(error, errno, "cannot lock \"%s\": %s", path, error_words(errno));
    if (!status.st_nlink)
        return error_set(error, ENOENT, "machine \"%s\" was deleted", name);
    *fd = lock;
    lock = -1;
    return 0;
}

bool registry_is_locked(const struct registry *registry, const char *name)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "lock");
    CLEANUP(descriptor_close) int lock = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

    return lock >= 0 && !fcntl(lock, F_OFD_GETLK, &held) && held.l_type != F_UNLCK;
}

/* The byte behind the lock itself is locked for the process, since a lock of an open file
 * description tells of none (fcntl(2), F_OFD_GETLK). */
static struct flock sign(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
}

int registry_sign_lock(int fd)
{
    struct flock lock = sign();

    return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

bool registry_is_held_by(const struct registry *registry, const char *name, pid_t pid)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "lock");
    CLEANUP(descriptor_close) int fd = -1;
    struct flock lock = sign();

    if (!path || pid <= 0 || !registry_is_locked(registry, name))
        return false;
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK && lock.l_pid == pid;
}

/* ---- the directory of sockets ---- */

#define RUN_TRIES 1000
#define NETWORKS  ".net"

/* In /tmp anybody may have made it first, or a link to somewhere. */
static int private_check(const char *path, struct error *error)
{
    struct stat status;

    if (lstat(path, &status) < 0)
        return error_set(error, errno, "cannot open directory \"%s\": %s", path,
                         error_words(errno));
    if (!S_ISDIR(status.st_mode) || status.st_uid != getuid() || status.st_mode & 077)
        return error_set(error, EPERM,
                         "\"%s\" is not a directory of yours alone; remove it, or set "
                         "HOSPES_RUN_DIR",
                         path);
    return 0;
}

static int private_directory(const char *path, struct error *error)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(error, errno, "cannot make directory \"%s\": %s", path,
                         error_words(errno));
    return private_check(path, error);
}

int registry_check_run(const struct registry *registry, struct error *error)
{
    return private_check(registry->run, error);
}

static int make_above(const struct registry *registry, struct error *error)
{
    CLEANUP(text_free) char *above = text_format("%s", registry->run);

    if (!above)
        return error_set(error, ENOMEM, "out of memory");
    *strrchr(above, '/') = 0;
    return *above ? directory_make(above, error) : 0;
}

/* The last that ends takes RUN along, perhaps just now. */
static int make_in_run(const struct registry *registry, const char *path, struct error *error)
{
    int r = make_above(registry, error);

    for (unsigned i = 0; !r && i < RUN_TRIES; i++) {
        int made = private_directory(registry->run, NULL);

        if (!made)
            made = private_directory(path, NULL);
        if (!made)
            return 0;
        if (made != -ENOENT)
            break;
    }
    if (!r)
        r = private_directory(registry->run, error);
    return r ? r : private_directory(path, error);
}

int registry_make_run(const struct registry *registry, const char *name, struct error *error)
{
    CLEANUP(text_free) char *path = registry_run_path(registry, name, NULL);

    return path ? make_in_run(registry, path, error) : error_set(error, ENOMEM, "out of memory");
}

char *registry_networks_path(const struct registry *registry)
{
    return registry_run_path(registry, NETWORKS, NULL);
}

int registry_make_networks(const struct registry *registry, char **path, struct error *error)
{
    CLEANUP(text_free) char *found = registry_networks_path(registry);
    int r = found ? make_in_run(registry, found, error) : error_set(error, ENOMEM, "out of memory");

    if (r)
        return r;
    free(*path);
    *path = found;
    found = NULL;
    return 0;
}

void registry_sweep_networks(const struct registry *registry)
{
    CLEANUP(text_free) char *path = registry_networks_path(registry);

    if (path)
        rmdir(path);
    rmdir(registry->run);
}

int registry_make_var(const struct registry *registry, const char *name, struct error *error)
{
    CLEANUP(text_free) char *path = registry_var_path(registry, name, NULL);

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(error, errno, "cannot make directory \"%s\": %s", path,
                         error_words(errno));
    return 0;
}

int registry_enter(const struct registry *registry)
{
    int fd = open(registry->run, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

void registry_leave_networks(int run)
{
    unlinkat(run, NETWORKS, AT_REMOVEDIR);
}

void registry_leave(const struct registry *registry, const char *name, int run)
{
    static const char *const sockets[] = {"control", "console", "agent"};

    for (unsigned i = 0; i < ARRAY_SIZE(sockets); i++) {
        CLEANUP(text_free) char *path = registry_run_path(registry, name, sockets[i]);

        if (path)
            unlink(path);
    }
    unlinkat(run, name, AT_REMOVEDIR);
    registry_leave_networks(run);
}

void registry_sweep(const struct registry *registry, const char *name)
{
    CLEANUP(text_free) char *path = registry_run_path(registry, name, NULL);

    group_sweep(registry, name);
    if (registry_check_run(registry, NULL) || (path && directory_remove(path, NULL)))
        return;
    /* The last one takes the directory along; it stays while another machine has sockets. */
    registry_sweep_networks(registry);
}

int registry_delete(const struct registry *registry, const char *name, struct error *error)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, NULL);
    CLEANUP(text_free) char *away = text_format("%s/.%s.old", registry->machines, name);
    CLEANUP(descriptor_close) int lock = -1;
    int r = registry_check(registry, name, error);

    if (r)
        return r;
    if (!path || !away)
        return error_set(error, ENOMEM, "out of memory");
    r = registry_lock(registry, name, &lock, error);
    if (!r)
        r = directory_remove(away, error);
    if (r)
        return r;
    registry_sweep(registry, name);
    /* Renamed first: it is gone at once, whatever happens to the removal. */
    if (rename(path, away) < 0)
        return error_set(error, errno, "cannot remove \"%s\": %s", path, error_words(errno));
    return directory_remove(away, error);
}
