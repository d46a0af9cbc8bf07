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
#include "host/seed.h"
#include "image/image.h"

#define MAKER_DISK_MIN (1ull << 20)
#define MAKER_DISK_MAX (16ull << 40)

/* What a machine is made from, beside its record. */
struct maker_request {
    const struct image *image; /* NULL: none */
    /* Bytes, a multiple of 512, not less than the image's disk has. 0: as many; without an image no
     * disk. */
    uint64_t disk_size;
    const struct seed *seed; /* NULL: none */
};

/*
 * Makes the machine `record->description.name`. From an image it gets a kernel and an initial RAM
 * disk of its own, and as its first disk a copy of the image's, which shares blocks with it where
 * the file system can; without one, if `disk_size` is not 0, an empty disk. A seed becomes its last
 * disk. Fills the rest of the record in. -EEXIST, -EBUSY while a machine writes to the image.
 */
int maker_make(const struct registry *registry, struct record *record,
               const struct maker_request *request, struct error *error) MUST_CHECK;

#endif
