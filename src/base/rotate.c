/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rotate {
    const struct log *log;
    char *path;
    char *old;     /* path with ".1" */
    int fd;        /* -1 after the file could not be begun anew */
    uint64_t size; /* of the file; others do not write to it */
    uint64_t bound;
    bool told;
};

/* O_NONBLOCK: a FIFO, which is refused, must not hold whoever opens it. */
static int file_open(const char *path, uint64_t *size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    struct stat st;
    int r = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode))
        r = -EINVAL;
    if (r) {
        close(fd);
        return r;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

int rotate_open(struct rotate **out, const char *path, uint64_t bound, const struct log *log,
                struct error *error)
{
    struct rotate *rotate = calloc(1, sizeof(*rotate));
    int fd;

    BUG_ON(!bound);
    if (!rotate)
        return error_set(error, ENOMEM, "cannot log to \"%s\": out of memory", path);
    rotate->fd = -1;
    rotate->log = log;
    rotate->bound = bound;
    rotate->path = strdup(path);
    if (!rotate->path || asprintf(&rotate->old, "%s.1", path) < 0) {
        rotate->old = NULL;
        rotate_close(rotate);
        return error_set(error, ENOMEM, "cannot log to \"%s\": out of memory", path);
    }
    fd = file_open(path, &rotate->size);
    if (fd < 0) {
        rotate_close(rotate);
        return error_set(error, -fd, "cannot log to \"%s\": %s", path,
                         fd == -EINVAL ? "it is no regular file" : error_words(-fd));
    }
    rotate->fd = fd;
    *out = rotate;
    return 0;
}

static void rotate_complain(struct rotate *rotate, int code)
{
    if (!rotate->told)
        log_say(rotate->log, LOG_WARN, "cannot write to \"%s\": %s; some of it is lost",
                rotate->path, error_words(code));
    rotate->told = true;
}

/* Makes sure that there is a file with room in it. */
static int rotate_turn(struct rotate *rotate)
{
    int fd;

    if (rotate->fd >= 0 && rotate->size < rotate->bound)
        return 0;
    /* Without an fd the old file is out of the way already. */
    if (rotate->fd >= 0 && rename(rotate->path, rotate->old) < 0 && errno != ENOENT)
        return -errno;
    if (rotate->fd >= 0)
        close(rotate->fd);
    rotate->fd = -1;
    fd = file_open(rotate->path, &rotate->size);
    if (fd < 0)
        return fd;
    rotate->fd = fd;
    return rotate->size < rotate->bound ? 0 : -EFBIG;
}

void rotate_write(struct rotate *rotate, const void *data, size_t length)
{
    const uint8_t *from = data;

    while (length) {
        int r = rotate_turn(rotate);
        uint64_t room = r ? 0 : rotate->bound - rotate->size;
        ssize_t n;

        if (r) {
            rotate_complain(rotate, -r);
            return;
        }
        n = write(rotate->fd, from, length < room ? length : (size_t)room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rotate_complain(rotate, n ? errno : EIO);
            return;
        }
        from += n;
        length -= (size_t)n;
        rotate->size += (uint64_t)n;
    }
}

void rotate_close(struct rotate *rotate)
{
    if (!rotate)
        return;
    if (rotate->fd >= 0)
        close(rotate->fd);
    free(rotate->path);
    free(rotate->old);
    free(rotate);
}
