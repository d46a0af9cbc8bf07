/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk on which a guest hands a kernel and an initial RAM disk to the host.
 *
 * The first 4096 bytes are text, ended by a zero byte or by the line "end":
 *
 *   hospes-parts 1
 *   kernel OFFSET LENGTH
 *   initrd OFFSET LENGTH
 *   end
 *
 * in decimal bytes from the start of the disk; then the parts. The guest is hostile: everything is
 * bounded and checked, no file system is parsed, and nothing is believed about the contents but
 * that the kernel's first bytes are those of a RISC-V Linux Image.
 */
#ifndef HOSPES_IMAGE_PARTS_H
#define HOSPES_IMAGE_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PARTS_HEADER_SIZE 4096
#define PARTS_DISK_SIZE   (512ull << 20)
#define PARTS_KERNEL_MAX  (128ull << 20)
#define PARTS_INITRD_MAX  (384ull << 20)

struct part {
    uint64_t offset; /* bytes */
    uint64_t length;
};

struct parts {
    struct part kernel;
    struct part initrd;
};

/* Judges the header against a disk of `disk_size` bytes; *parts is set only on success. -EINVAL. */
int parts_parse(const void *header, size_t length, uint64_t disk_size, struct parts *parts,
                struct error *error) MUST_CHECK;

/* Copies the parts of the disk at `path` into the files `kernel` and `initrd`, which it makes. */
int parts_extract(const char *path, const char *kernel, const char *initrd,
                  struct error *error) MUST_CHECK;

#endif
