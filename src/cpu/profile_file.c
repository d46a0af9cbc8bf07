/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "cpu/profile.h"

static void memory_free(void *at)
{
    free(*(void **)at);
}

/* Up to `limit` bytes, as many as there are. */
static int read_all(int fd, uint8_t *data, size_t limit, size_t *size)
{
    for (*size = 0; *size < limit;) {
        ssize_t n = read(fd, data + *size, limit - *size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        *size += (size_t)n;
    }
    return 0;
}

int profile_load(struct profile *profile, const char *path, struct error *error)
{
    /* Whatever it is, it must not hold us up. */
    CLEANUP(descriptor_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP(memory_free) uint8_t *data = NULL;
    struct stat status;
    size_t size;
    int r;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(error, errno, "cannot open code profile \"%s\": %s", path,
                         error_words(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, EINVAL, "code profile \"%s\" is not a file", path);
    if (status.st_size > PROFILE_FILE_MAX)
        return error_set(error, EINVAL, "\"%s\" is too large for a code profile", path);
    data = malloc(PROFILE_FILE_MAX);
    r = data ? read_all(fd, data, PROFILE_FILE_MAX, &size) : -ENOMEM;
    if (!r)
        r = profile_parse(profile, data, size);
    if (r == -EINVAL)
        return error_set(error, EINVAL, "\"%s\" is no code profile, or a damaged one", path);
    if (r)
        return error_set(error, -r, "cannot read code profile \"%s\": %s", path, error_words(-r));
    return 0;
}

/* Beside the file, then in its place. */
static int replace(const char *path, const void *data, size_t size)
{
    CLEANUP(memory_free) char *beside = NULL;
    CLEANUP(descriptor_close) int fd = -1;
    int r;

    if (asprintf(&beside, "%s.XXXXXX", path) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    /* Mode 0600: what a guest has executed is nobody else's business. */
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = descriptor_write_all(fd, data, size);
    if (!r && fsync(fd) < 0)
        r = -errno;
    if (!r && rename(beside, path) < 0)
        r = -errno;
    if (r)
        unlink(beside);
    return r;
}

/* Whether the file may be replaced. */
static int check_replaceable(const char *path)
{
    CLEANUP(descriptor_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    uint8_t begin[8];
    size_t size;
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    r = read_all(fd, begin, sizeof(begin), &size);
    return r ? r : profile_may_begin(begin, size) ? 0 : -EINVAL;
}

/* What the file is to be. */
static int merged_data(const struct profile *run, const char *path, void **data, size_t *size)
{
    struct profile *profile = NULL;
    int r = profile_new(&profile);

    if (!r) {
        /* That a file is damaged was told when the run began. */
        r = profile_load(profile, path, NULL);
        r = r == -ENOMEM ? r : 0;
    }
    if (!r) {
        profile_merge(profile, run);
        *data = profile_format(profile, size);
        r = *data ? 0 : -ENOMEM;
    }
    profile_free(profile);
    return r;
}

int profile_save(const struct profile *run, const char *path, struct error *error)
{
    CLEANUP(memory_free) void *data = NULL;
    size_t size;
    int r = check_replaceable(path);

    if (r == -EINVAL)
        return error_set(error, EINVAL, "\"%s\" is no code profile, and stays as it is", path);
    r = r ? r : merged_data(run, path, &data, &size);
    r = r ? r : replace(path, data, size);
    if (r)
        return error_set(error, -r, "cannot write code profile \"%s\": %s", path, error_words(-r));
    return 0;
}
