/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "image/store.h"

struct follow {
    char *path, *older; /* FILE and FILE.1 */
    int fd;             /* what is read; -1: nothing yet */
};

int follow_new(struct follow **out, const char *path)
{
    struct follow *follow = calloc(1, sizeof(*follow));

    if (!follow)
        return -ENOMEM;
    follow->fd = -1;
    follow->path = strdup(path);
    follow->older = text_format("%s.1", path);
    if (!follow->path || !follow->older) {
        follow_free(follow);
        return -ENOMEM;
    }
    *out = follow;
    return 0;
}

void follow_free(struct follow *follow)
{
    if (!follow)
        return;
    descriptor_close(&follow->fd);
    free(follow->path);
    free(follow->older);
    free(follow);
}

static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static bool is_file(const char *path, int fd)
{
    struct stat there, read;

    return fd >= 0 && !stat(path, &there) && !fstat(fd, &read) && there.st_ino == read.st_ino &&
           there.st_dev == read.st_dev;
}

/* Whether FILE is another one now than what is read, which then grows no more. */
static bool is_replaced(const struct follow *follow)
{
    return follow->fd < 0 ||
           (access(follow->path, F_OK) == 0 && !is_file(follow->path, follow->fd));
}

/* What comes behind the file that was read to its end: FILE, if that one is FILE.1 now; else more
 * than one has come behind it, and FILE.1 is the first that is still there. FILE is opened before
 * that is judged: it may become FILE.1 at any time. */
static int open_next(const struct follow *follow)
{
    int next = open_file(follow->path), older;

    if (is_file(follow->older, follow->fd) || is_file(follow->older, next))
        return next;
    older = open_file(follow->older);
    if (older < 0)
        return next;
    descriptor_close(&next);
    return older;
}

static ssize_t read_some(int fd, void *data, size_t size)
{
    ssize_t n;

    do
        n = read(fd, data, size);
    while (n < 0 && errno == EINTR);
    return n;
}

long follow_read(struct follow *follow, void *data, unsigned long size)
{
    for (;;) {
        bool replaced = is_replaced(follow);
        /* Looked at first: what is written between goes to this file only if it is not replaced. */
        ssize_t n = follow->fd < 0 ? 0 : read_some(follow->fd, data, size);
        int next;

        if (n > 0)
            return n;
        if (!replaced)
            return 0;
        next = open_next(follow);
        descriptor_close(&follow->fd);
        follow->fd = next;
        if (follow->fd < 0)
            return 0;
    }
}
