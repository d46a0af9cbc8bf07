/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QEMU_USED   100 /* + permission */
#define QEMU_DENIED 200
enum { QEMU_READ = 0, QEMU_WRITE = 1, QEMU_RESIZE = 3 };

static int lock_set(int fd, short type, off_t start, off_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* -EAGAIN when somebody else has any lock on the byte. */
static int lock_check(int fd, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    return lock.l_type == F_UNLCK ? 0 : -EAGAIN;
}

static int lock_shared(int fd)
{
    static const off_t taken[] = {QEMU_USED + QEMU_READ, QEMU_DENIED + QEMU_WRITE,
                                  QEMU_DENIED + QEMU_RESIZE};
    static const off_t checked[] = {QEMU_DENIED + QEMU_READ, QEMU_USED + QEMU_WRITE,
                                    QEMU_USED + QEMU_RESIZE};
    unsigned i;
    int r;

    /* First take, then look: of two that start together at least one sees the other. */
    for (i = 0; i < ARRAY_SIZE(taken); i++) {
        r = lock_set(fd, F_RDLCK, taken[i], 1);
        if (r)
            return r;
    }
    for (i = 0; i < ARRAY_SIZE(checked); i++) {
        r = lock_check(fd, checked[i]);
        if (r)
            return r;
    }
    return 0;
}

/* ---- who holds it ---- */

/* Whether the open file that fdinfo describes has a lock (proc(5): a "lock:" line for each). */
static bool fdinfo_has_lock(int proc_dir, const char *fd_name)
{
    char path[64], line[256];
    bool found = false;
    FILE *file;
    int fd;

    snprintf(path, sizeof(path), "fdinfo/%.32s", fd_name);
    fd = openat(proc_dir, path, O_RDONLY | O_CLOEXEC);
    file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && fgets(line, sizeof(line), file))
        found = !strncmp(line, "lock:", 5);
    fclose(file);
    return found;
}

static bool process_has_lock(int proc_dir, const struct stat *image)
{
    struct dirent *entry;
    bool found = false;
    int fd = openat(proc_dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && (entry = readdir(dir))) {
        struct stat st;

        found = entry->d_name[0] != '.' && !fstatat(fd, entry->d_name, &st, 0) &&
                st.st_dev == image->st_dev && st.st_ino == image->st_ino &&
                fdinfo_has_lock(proc_dir, entry->d_name);
    }
    closedir(dir);
    return found;
}

static void process_name(int proc_dir, char *name, size_t size)
{
    int fd = openat(proc_dir, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, name, size - 1);

    if (fd >= 0)
        close(fd);
    name[n > 0 ? n : 0] = 0;
    name[strcspn(name, "\n")] = 0;
}

/* The kernel does not say whose an open-file-description lock is (l_pid is -1), so look through
 * the processes that we may look at. Returns the process id, or 0 when none is found. */
static long lock_find_holder(int image_fd, char *name, size_t name_size)
{
    struct dirent *entry;
    struct stat image;
    long holder = 0;
    DIR *proc = opendir("/proc");

    if (!proc || fstat(image_fd, &image) < 0) {
        if (proc)
            closedir(proc);
        return 0;
    }
    while (!holder && (entry = readdir(proc))) {
        long pid = strtol(entry->d_name, NULL, 10);
        int dir;

        if (pid <= 0)
            continue;
        dir = openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            continue;
        if (process_has_lock(dir, &image)) {
            holder = pid;
            process_name(dir, name, name_size);
        }
        close(dir);
    }
    closedir(proc);
    return holder;
}

int image_lock(int fd, bool exclusive, const char *path, const struct log *log, struct error *error)
{
    int r = exclusive ? lock_set(fd, F_WRLCK, 0, 0) : lock_shared(fd);
    char name[64];
    long holder;

    if (!r)
        return 0;
    if (r != -EAGAIN && r != -EACCES) {
        log_say(log, LOG_WARN,
                "cannot lock disk \"%s\": %s; its file system has no locks, so make sure that "
                "nothing else uses it",
                path, error_words(-r));
        return 0;
    }
    /* Our own half-taken locks would be found too. */
    lock_set(fd, F_UNLCK, 0, 0);
    holder = lock_find_holder(fd, name, sizeof(name));
    if (holder == getpid())
        return error_set(error, EBUSY,
                         "cannot open disk \"%s\": in use by this machine already; give each disk "
                         "once, or each time read-only",
                         path);
    if (holder)
        return error_set(error, EBUSY,
                         "cannot open disk \"%s\": in use by \"%s\" (process %ld); stop that "
                         "first, or let both use it read-only",
                         path, name, holder);
    return error_set(error, EBUSY,
                     "cannot open disk \"%s\": in use by another process; see which with: fuser -v "
                     "\"%s\"",
                     path, path);
}
