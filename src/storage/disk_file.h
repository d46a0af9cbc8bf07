/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a raw image file or a block device as a disk, and says clearly why not.
 *
 * A raw image is never interpreted: what is in it belongs to the guest. Only its first bytes are
 * looked at once, so that a file in another format is not handed to a guest as if it were raw. A
 * block device is not looked at: what is on it is there on purpose.
 */
#ifndef HOSPES_STORAGE_DISK_FILE_H
#define HOSPES_STORAGE_DISK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

struct disk_file {
    int fd;
    uint64_t size;    /* bytes, a multiple of 512, not 0 */
    bool is_device;   /* a block device */
    bool can_discard; /* holes can be made in it */
};

/* Opens and locks; `writable` excludes every other user, not writable every writer. On success
 * the caller closes file->fd. */
int disk_file_open(struct disk_file *file, const char *path, bool writable, const struct log *log,
                   struct error *error) MUST_CHECK;

#endif
