/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "storage/lock.h"

#define SECTOR_SIZE 512u
/* More than the offset and length of any magic in the table. */
#define HEAD_SIZE 128u

/* ---- other formats ---- */

struct remedy {
    const char *verb;
    const char *command; /* takes the path */
    const char *into;    /* between the path and the raw image's */
};

static const struct remedy convert = {"convert", "qemu-img convert -O raw", " "};
static const struct remedy gunzip = {"decompress", "gzip -dc", " > "};
static const struct remedy bunzip2 = {"decompress", "bzip2 -dc", " > "};
static const struct remedy unxz = {"decompress", "xz -dc", " > "};
static const struct remedy unzstd = {"decompress", "zstd -dc", " > "};
static const struct remedy unzip = {"unpack", "unzip -p", " > "};

struct disk_format {
    const char *name;
    uint32_t offset; /* of the magic */
    uint32_t length;
    const char *magic;
    const struct remedy *remedy;
};

/* The magics are those of each format's specification. */
static const struct disk_format disk_formats[] = {
    {"is a qcow2 image", 0, 4, "QFI\xfb", &convert},
    {"is a QED image", 0, 4, "QED\0", &convert},
    {"is a VMDK image", 0, 4, "KDMV", &convert},
    {"is a VMDK image", 0, 4, "COWD", &convert},
    {"is a VMDK description", 0, 21, "# Disk DescriptorFile", &convert},
    {"is a VDI image", 64, 4, "\x7f\x10\xda\xbe", &convert},
    {"is a VHDX image", 0, 8, "vhdxfile", &convert},
    {"is a VHD image", 0, 8, "conectix", &convert},
    {"is a Parallels image", 0, 16, "WithoutFreeSpace", &convert},
    {"is a Parallels image", 0, 16, "WithouFreSpacExt", &convert},
    {"is compressed by gzip", 0, 3, "\x1f\x8b\x08", &gunzip},
    {"is compressed by bzip2", 4, 6, "1AY&SY", &bunzip2},
    {"is compressed by xz", 0, 6, "\xfd\x37zXZ\0", &unxz},
    {"is compressed by zstd", 0, 4, "\x28\xb5\x2f\xfd", &unzstd},
    {"is a zip archive", 0, 4, "PK\x03\x04", &unzip},
};

static int disk_check_format(int fd, const char *path, struct error *error)
{
    uint8_t head[HEAD_SIZE];
    ssize_t n = pread(fd, head, sizeof(head), 0);
    unsigned i;

    if (n < 0)
        return error_set(error, errno, "cannot read disk \"%s\": %s", path, error_words(errno));
    for (i = 0; i < ARRAY_SIZE(disk_formats); i++) {
        const struct disk_format *format = &disk_formats[i];

        if ((size_t)n < format->offset + format->length ||
            memcmp(head + format->offset, format->magic, format->length))
            continue;
        return error_set(error, EINVAL,
                         "cannot use disk \"%s\": it %s and not a raw image; %s it with: "
                         "%s \"%s\"%s\"%s.raw\"",
                         path, format->name, format->remedy->verb, format->remedy->command, path,
                         format->remedy->into, path);
    }
    return 0;
}

/* ---- what kind of file ---- */

static int disk_open_failed(const char *path, bool writable, int code, struct error *error)
{
    const char *next = "check the path";

    switch (code) {
    case ENOENT:
        return error_set(error, code,
                         "cannot open disk \"%s\": no such file; make an empty one with: truncate "
                         "-s 8G \"%s\"",
                         path, path);
    case EACCES:
    case EPERM:
    case EROFS:
        next = writable ? "change its permissions, or open it read-only or ephemeral"
                        : "change its permissions, or run as a user who may read it";
        break;
    case EBUSY:
        next = "unmount it first, or stop what uses it";
        break;
    case EISDIR:
        return error_set(error, code,
                         "cannot open disk \"%s\": is a directory; name an image file in it", path);
    }
    return error_set(error, code, "cannot open disk \"%s\": %s; %s", path, error_words(code), next);
}

static int disk_open_descriptor(const char *path, bool writable, struct error *error)
{
    int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY;
    struct stat st;
    int fd;

    /* A mounted block device, or one that is part of another, is refused by O_EXCL, which without
     * O_CREAT means that and nothing else (open(2)). */
    if (writable && !stat(path, &st) && S_ISBLK(st.st_mode))
        flags |= O_EXCL;
    /* Not to hang on a FIFO that somebody named by mistake. */
    fd = open(path, flags | O_NONBLOCK);
    if (fd < 0)
        return disk_open_failed(path, writable, errno, error);
    /* And off again: io_uring would answer -EAGAIN instead of waiting for the disk. */
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0) {
        int code = errno;

        close(fd);
        return disk_open_failed(path, writable, code, error);
    }
    return fd;
}

/* Whether a block device can be told to give space back (Documentation/ABI/stable/sysfs-block,
 * queue/discard_max_bytes); a partition's queue is its disk's. */
static bool device_can_discard(dev_t device)
{
    static const char *const queues[] = {"queue", "../queue"};
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(queues); i++) {
        unsigned long long bytes = 0;
        char path[96];
        FILE *file;

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/discard_max_bytes", major(device),
                 minor(device), queues[i]);
        file = fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%llu", &bytes) != 1)
            bytes = 0;
        fclose(file);
        return bytes > 0;
    }
    return false;
}

static int disk_find_size(struct disk_file *file, const char *path, bool writable,
                          struct error *error)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return disk_open_failed(path, writable, errno, error);
    if (S_ISDIR(st.st_mode))
        return disk_open_failed(path, writable, EISDIR, error);
    if (S_ISBLK(st.st_mode)) {
        file->is_device = true;
        if (ioctl(file->fd, BLKGETSIZE64, &file->size) < 0)
            return disk_open_failed(path, writable, errno, error);
        file->can_discard = writable && device_can_discard(st.st_rdev);
        return 0;
    }
    if (!S_ISREG(st.st_mode))
        return error_set(error, EINVAL,
                         "cannot open disk \"%s\": neither a file nor a block device; name a raw "
                         "image",
                         path);
    file->size = (uint64_t)st.st_size;
    return 0;
}

static int disk_check_size(const struct disk_file *file, const char *path, struct error *error)
{
    if (!file->size)
        return error_set(error, EINVAL,
                         file->is_device
                             ? "cannot use disk \"%s\": it has no medium; insert one"
                             : "cannot use disk \"%s\": it is empty; give it a size with: truncate "
                               "-s 8G \"%s\"",
                         path, path);
    if (file->size % SECTOR_SIZE)
        return error_set(error, EINVAL,
                         "cannot use disk \"%s\": its size, %llu bytes, is not a multiple of %u; "
                         "fill it up with: truncate -s %%%u \"%s\"",
                         path, (unsigned long long)file->size, SECTOR_SIZE, SECTOR_SIZE, path);
    return 0;
}

/* Whether holes can be made in a regular file: asked behind its end, where there is nothing to
 * lose. */
static bool file_can_discard(const struct disk_file *file)
{
    return !fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)file->size,
                      4096);
}

int disk_file_open(struct disk_file *file, const char *path, bool writable, const struct log *log,
                   struct error *error)
{
    struct disk_file found = {.fd = -1};
    int r;

    found.fd = disk_open_descriptor(path, writable, error);
    if (found.fd < 0)
        return found.fd;
    r = disk_find_size(&found, path, writable, error);
    if (!r && !found.is_device)
        r = disk_check_format(found.fd, path, error);
    if (!r)
        r = disk_check_size(&found, path, error);
    if (!r)
        r = image_lock(found.fd, writable, path, log, error);
    if (r) {
        close(found.fd);
        return r;
    }
    /* Only now that the file is ours. */
    if (writable && !found.is_device)
        found.can_discard = file_can_discard(&found);
    *file = found;
    return 0;
}
