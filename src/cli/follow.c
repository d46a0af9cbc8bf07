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
    bool begun;         /* the older one was looked at */
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

/* Whether FILE is another one now than what is read, which then grows no more. */
static bool is_replaced(const struct follow *follow)
{
    struct stat now, read;

    return follow->fd < 0 || (!stat(follow->path, &now) && !fstat(follow->fd, &read) &&
                              (now.st_ino != read.st_ino || now.st_dev != read.st_dev));
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
    if (!follow->begun) {
        follow->begun = true;
        follow->fd = open_file(follow->older);
    }
    for (;;) {
        bool replaced = is_replaced(follow);
        /* Looked at first: what is written between goes to this file only if it is not replaced. */
        ssize_t n = follow->fd < 0 ? 0 : read_some(follow->fd, data, size);

        if (n > 0)
            return n;
        if (!replaced)
            return 0;
        descriptor_close(&follow->fd);
        follow->fd = open_file(follow->path);
        if (follow->fd < 0)
            return 0;
    }
}
