/* SPDX-License-Identifier: Apache-2.0 */
#include "image/cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/file.h"

#define COPY_CHUNK    (64u << 10)
#define CONSOLE_MAJOR 5
#define CONSOLE_MINOR 1

struct cpio {
    FILE *out;
    uint32_t inode; /* numbers only have to differ */
};

static void pad(struct cpio *cpio)
{
    while (ftell(cpio->out) % 4)
        fputc(0, cpio->out);
}

static void header(struct cpio *cpio, const char *name, mode_t mode, uint32_t size, unsigned major,
                   unsigned minor)
{
    /* c_magic, then thirteen fields of eight hexadecimal digits: ino, mode, uid, gid, nlink, mtime,
     * filesize, dev major and minor, rdev major and minor, namesize, check. */
    fprintf(cpio->out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ++cpio->inode,
            (unsigned)mode, 0u, 0u, 1u, 0u, size, 0u, 0u, major, minor, (unsigned)strlen(name) + 1,
            0u);
    fwrite(name, 1, strlen(name) + 1, cpio->out);
    pad(cpio);
}

static int add_file(struct cpio *cpio, const char *name, const FTSENT *entry)
{
    CLEANUP(descriptor_close) int fd = open(entry->fts_accpath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    uint64_t size = (uint64_t)entry->fts_statp->st_size, at = 0;
    char chunk[COPY_CHUNK];

    if (fd < 0)
        return -errno;
    if (size > UINT32_MAX)
        return -EFBIG;
    header(cpio, name, entry->fts_statp->st_mode, (uint32_t)size, 0, 0);
    while (at < size) {
        size_t n = size - at < sizeof(chunk) ? (size_t)(size - at) : sizeof(chunk);
        int ret = file_read_at(fd, chunk, n, at);

        if (ret)
            return ret;
        fwrite(chunk, 1, n, cpio->out);
        at += n;
    }
    pad(cpio);
    return 0;
}

static int add_link(struct cpio *cpio, const char *name, const FTSENT *entry)
{
    char target[PATH_MAX];
    ssize_t length = readlink(entry->fts_accpath, target, sizeof(target));

    if (length < 0)
        return -errno;
    header(cpio, name, S_IFLNK | 0777, (uint32_t)length, 0, 0);
    fwrite(target, 1, (size_t)length, cpio->out);
    pad(cpio);
    return 0;
}

static int add_entry(struct cpio *cpio, const char *name, const FTSENT *entry)
{
    switch (entry->fts_info) {
    case FTS_D:
        header(cpio, name, entry->fts_statp->st_mode, 0, 0, 0);
        return 0;
    case FTS_DP: /* the way back */
        return 0;
    case FTS_F:
        return add_file(cpio, name, entry);
    case FTS_SL:
    case FTS_SLNONE:
        return add_link(cpio, name, entry);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return -entry->fts_errno;
    default:
        return -EINVAL;
    }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void fts_end(FTS **fts)
{
    if (*fts)
        fts_close(*fts);
}

static int add_tree(struct cpio *cpio, const char *directory, struct error *error)
{
    char *const paths[] = {(char *)directory, NULL};
    CLEANUP(fts_end) FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    size_t prefix = strlen(directory) + 1;
    FTSENT *entry;

    if (!fts)
        return error_set(error, errno, "cannot read \"%s\": %s", directory, error_words(errno));
    while (errno = 0, (entry = fts_read(fts))) {
        int ret;

        if (entry->fts_level == FTS_ROOTLEVEL && entry->fts_info != FTS_DNR &&
            entry->fts_info != FTS_NS && entry->fts_info != FTS_ERR)
            continue;
        ret = add_entry(cpio, entry->fts_level > FTS_ROOTLEVEL ? entry->fts_path + prefix : ".",
                        entry);
        if (ret)
            return error_set(error, -ret, "cannot archive \"%s\": %s", entry->fts_path,
                             error_words(-ret));
    }
    if (errno)
        return error_set(error, errno, "cannot read \"%s\": %s", directory, error_words(errno));
    return 0;
}

int cpio_write(const char *directory, const char *archive, struct error *error)
{
    struct cpio cpio = {.out = fopen(archive, "we")};
    int ret;

    if (!cpio.out)
        return error_set(error, errno, "cannot make \"%s\": %s", archive, error_words(errno));
    ret = add_tree(&cpio, directory, error);
    if (!ret) {
        header(&cpio, "dev/console", S_IFCHR | 0600, 0, CONSOLE_MAJOR, CONSOLE_MINOR);
        header(&cpio, "TRAILER!!!", 0, 0, 0, 0);
    }
    /* stdio remembers a failed write until here. */
    if (ferror(cpio.out) && !ret)
        ret = error_set(error, EIO, "cannot write \"%s\"", archive);
    if (fclose(cpio.out) && !ret)
        ret = error_set(error, errno, "cannot write \"%s\": %s", archive, error_words(errno));
    return ret;
}
