/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps two machines off one disk: advisory locks on the image.
 *
 * They are open-file-description locks (fcntl(2), F_OFD_SETLK): they belong to the open file, not
 * to the process, so that two machines in one process exclude each other as well, and closing the
 * last descriptor gives them up.
 *
 * A writer holds a write lock on the whole file. A reader holds read locks on three bytes, chosen
 * so that QEMU's locks on images are respected and QEMU respects ours. QEMU (its documentation of
 * "image locking"; figures from block/file-posix.c of 7.2) has byte 100 + n read-locked by who uses
 * permission n and byte 200 + n by who does not let others use it: n = 0 consistent reads, 1
 * writes, 3 resizing.
 */
#ifndef HOSPES_STORAGE_LOCK_H
#define HOSPES_STORAGE_LOCK_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"

/* Locks the open image `fd` (exclusive: opened for writing) until it is closed. -EBUSY, with who
 * holds it where that can be told; a file system that has no locks is warned about and accepted. */
int image_lock(int fd, bool exclusive, const char *path, const struct log *log,
               struct error *error) MUST_CHECK;

#endif
