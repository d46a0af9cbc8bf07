/* SPDX-License-Identifier: Apache-2.0 */
#include "image/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_CHUNK       (1u << 20)
#define TREE_FDS_AT_ONCE 32

void text_free(char **text)
{
    free(*text);
    *text = NULL;
}

int file_read_at(int fd, void *data, size_t length, uint64_t offset)
{
    char *to = data;

    while (length) {
        ssize_t n = pread(fd, to, length, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        to += n;
        length -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int file_write(const char *path, const void *data, size_t length, bool executable,
               struct error *error)
{
    CLEANUP(text_free) char *beside = NULL;
    CLEANUP(descriptor_close) int fd = -1;
    int ret;

    if (asprintf(&beside, "%s.new", path) < 0) {
        beside = NULL;
        return error_set(error, ENOMEM, "out of memory");
    }
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, executable ? 0777 : 0666);
    if (fd < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", beside, error_words(errno));
    ret = descriptor_write_all(fd, data, length);
    if (!ret && fsync(fd) < 0)
        ret = -errno;
    if (!ret && rename(beside, path) < 0)
        ret = -errno;
    if (ret) {
        unlink(beside);
        return error_set(error, -ret, "cannot write \"%s\": %s", path, error_words(-ret));
    }
    return 0;
}

int file_read_text(const char *path, size_t limit, char **text, struct error *error)
{
    CLEANUP(descriptor_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(text_free) char *data = NULL;
    struct stat status;
    int ret;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, EINVAL, "\"%s\" is not a file", path);
    if ((uint64_t)status.st_size > limit)
        return error_set(error, EFBIG, "\"%s\" is too large", path);
    data = malloc((size_t)status.st_size + 1);
    if (!data)
        return error_set(error, ENOMEM, "out of memory");
    ret = file_read_at(fd, data, (size_t)status.st_size, 0);
    if (ret)
        return error_set(error, -ret, "cannot read \"%s\": %s", path, error_words(-ret));
    data[status.st_size] = '\0';
    *text = data;
    data = NULL;
    return 0;
}

int file_copy_range(int fd, uint64_t offset, uint64_t length, const char *path, struct error *error)
{
    CLEANUP(descriptor_close) int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    CLEANUP(text_free) char *chunk = malloc(COPY_CHUNK);
    int ret = 0;

    if (out < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", path, error_words(errno));
    if (!chunk)
        return error_set(error, ENOMEM, "out of memory");
    while (length && !ret) {
        size_t n = length < COPY_CHUNK ? (size_t)length : COPY_CHUNK;

        ret = file_read_at(fd, chunk, n, offset);
        if (!ret)
            ret = descriptor_write_all(out, chunk, n);
        offset += n;
        length -= n;
    }
    if (!ret && fsync(out) < 0)
        ret = -errno;
    if (ret)
        return error_set(error, -ret, "cannot write \"%s\": %s", path, error_words(-ret));
    return 0;
}

/* Data between holes, from `at` on; -ENXIO behind the last. */
static int data_find(int fd, off_t at, off_t *begin, off_t *end)
{
    *begin = lseek(fd, at, SEEK_DATA);
    if (*begin < 0)
        return -errno;
    *end = lseek(fd, *begin, SEEK_HOLE);
    return *end < 0 ? -errno : 0;
}

static int data_copy(int from, int to, off_t at, off_t end, char *chunk)
{
    while (at < end) {
        size_t n = end - at < (off_t)COPY_CHUNK ? (size_t)(end - at) : COPY_CHUNK;
        int ret = file_read_at(from, chunk, n, (uint64_t)at);

        if (!ret && lseek(to, at, SEEK_SET) < 0)
            ret = -errno;
        if (!ret)
            ret = descriptor_write_all(to, chunk, n);
        if (ret)
            return ret;
        at += (off_t)n;
    }
    return 0;
}

static int sparse_copy(int from, int to)
{
    CLEANUP(text_free) char *chunk = malloc(COPY_CHUNK);
    off_t begin, end = 0;
    struct stat status;
    int ret;

    if (!chunk)
        return -ENOMEM;
    if (fstat(from, &status) < 0 || ftruncate(to, status.st_size) < 0)
        return -errno;
    while (!(ret = data_find(from, end, &begin, &end))) {
        ret = data_copy(from, to, begin, end, chunk);
        if (ret)
            return ret;
    }
    return ret == -ENXIO ? 0 : ret;
}

int file_clone(int from, const char *path, struct error *error)
{
    CLEANUP(descriptor_close) int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int ret = 0;

    if (to < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", path, error_words(errno));
    if (ioctl(to, FICLONE, from) < 0)
        ret = sparse_copy(from, to);
    if (!ret && fsync(to) < 0)
        ret = -errno;
    if (!ret)
        return 0;
    unlink(path);
    return error_set(error, -ret, "cannot write \"%s\": %s", path, error_words(-ret));
}

int directory_make(const char *path, struct error *error)
{
    CLEANUP(text_free) char *part = strdup(path);

    if (!part)
        return error_set(error, ENOMEM, "out of memory");
    for (char *slash = part + 1;; slash++) {
        char at = *slash;

        if (at != '/' && at != '\0')
            continue;
        *slash = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return error_set(error, errno, "cannot make directory \"%s\": %s", part,
                             error_words(errno));
        *slash = at;
        if (at == '\0')
            return 0;
    }
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    return remove(path) < 0 && errno != ENOENT ? errno : 0;
}

static int entry_open_up(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    /* A package's directory may be closed to its owner (mode 0, 0555); a user must get through. */
    if (type == FTW_D || type == FTW_DNR)
        chmod(path, 0700);
    return 0;
}

int directory_remove(const char *path, struct error *error)
{
    int ret;

    if (access(path, F_OK) < 0 && errno == ENOENT && unlink(path) < 0)
        return 0;
    nftw(path, entry_open_up, TREE_FDS_AT_ONCE, FTW_PHYS);
    ret = nftw(path, entry_remove, TREE_FDS_AT_ONCE, FTW_PHYS | FTW_DEPTH);
    if (ret < 0)
        ret = errno == ENOENT ? 0 : errno;
    if (ret)
        return error_set(error, ret, "cannot remove \"%s\": %s", path, error_words(ret));
    return 0;
}

int directory_sync(const char *path, struct error *error)
{
    CLEANUP(descriptor_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return error_set(error, errno, "cannot sync \"%s\": %s", path, error_words(errno));
    return 0;
}
