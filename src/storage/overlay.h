/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the changes to a disk go that is thrown away at the end: an unnamed file of the disk's
 * size, and which sectors of it hold.
 *
 * Used on the loop's thread only. A sector is marked once its bytes are in the file; until then it
 * is read from the base image. The map's grain is the sector, which is also the grain of every
 * request, so that no write ever has to copy a part of the base up first: there is no
 * read-modify-write, and requests under way at the same time need no order among themselves. The
 * price, a bit a sector, is 1/4096 of what is touched, since the map's own pages appear on use.
 */
#ifndef HOSPES_STORAGE_OVERLAY_H
#define HOSPES_STORAGE_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

#define SECTOR_SIZE 512u

struct overlay {
    int fd;
    char directory[256]; /* whose file system it takes its room from */
    uint64_t *present;   /* one bit a sector */
    uint64_t words;      /* of present[] */
};

/* `size`: bytes, a multiple of the sector. The file goes to $TMPDIR, else /var/tmp, else /tmp;
 * where none takes it, to memory, which is warned about. */
int overlay_init(struct overlay *overlay, uint64_t size, const struct log *log,
                 struct error *error) MUST_CHECK;
void overlay_release(struct overlay *overlay);

/* How many bytes from `offset` on, at most `length`, lie all in the overlay (*present) or all in
 * the base. length > 0. */
uint64_t overlay_run(const struct overlay *overlay, uint64_t offset, uint64_t length,
                     bool *present);
/* The overlay's file holds these bytes now; both are multiples of the sector. */
void overlay_mark(struct overlay *overlay, uint64_t offset, uint64_t length);

#endif
