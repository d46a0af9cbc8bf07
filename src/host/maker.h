/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes named machines: whole or not at all, in MACHINES/.NAME.new, which is renamed.
 */
#ifndef HOSPES_HOST_MAKER_H
#define HOSPES_HOST_MAKER_H

#include <stdint.h>

#include "base/error.h"
#include "host/record.h"
#include "host/registry.h"
#include "image/image.h"

#define MAKER_DISK_MIN (1ull << 20)
#define MAKER_DISK_MAX (16ull << 40)

/*
 * Makes the machine `record->description.name`. From an image (NULL: none) it gets a kernel and an
 * initial RAM disk of its own, and as its first disk a copy of the image's, which shares blocks
 * with it where the file system can; else, if `disk_size` is not 0, an empty disk. `disk_size`:
 * bytes, a multiple of 512, 0: as the image has it; not smaller than the image's. Fills the rest of
 * the record in. -EEXIST, -EBUSY while a machine writes to the image.
 */
int maker_make(const struct registry *registry, struct record *record, const struct image *image,
               uint64_t disk_size, struct error *error) MUST_CHECK;

#endif
