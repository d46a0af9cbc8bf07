/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"

/* A pipe or a device, as /dev/stdout: what is there must stay there. */
static int dump_into(const char *path, const void *tree, size_t size)
{
    CLEANUP(descriptor_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? -errno : descriptor_write_all(fd, tree, size);
}

static int dump_anew(const char *path, const void *tree, size_t size)
{
    char *fresh = NULL;
    int fd, r;

    if (asprintf(&fresh, "%s.%d.new", path, (int)getpid()) < 0)
        return -ENOMEM;
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    r = fd < 0 ? -errno : descriptor_write_all(fd, tree, size);
    if (!r && fsync(fd) != 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    if (!r && rename(fresh, path) != 0)
        r = -errno;
    if (r && fd >= 0)
        unlink(fresh);
    free(fresh);
    return r;
}

int dump_device_tree(const char *path, const void *tree, size_t size, struct error *error)
{
    struct stat st;
    bool device = stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    int r = device ? dump_into(path, tree, size) : dump_anew(path, tree, size);

    return r ? error_set(error, -r, "cannot write the device tree to \"%s\": %s", path,
                         error_words(-r))
             : 0;
}
