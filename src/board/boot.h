/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is put into memory before the first instruction: firmware, kernel, initial RAM disk.
 *
 * Files are hostile: boot_identify() judges a header that it is handed as bytes, and everything is
 * checked against the size of the file and of the guest's RAM before a byte is copied. File
 * contents go straight from the file into guest memory.
 */
#ifndef HOSPES_BOARD_BOOT_H
#define HOSPES_BOARD_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "memory/memory.h"

/* Enough of a file's start to judge it; boot_identify() takes less when the file is shorter. */
#define BOOT_HEADER_SIZE 4096

enum boot_format {
    BOOT_RAW,         /* entered at its first byte */
    BOOT_LINUX_IMAGE, /* Linux's Documentation/arch/riscv/boot-image-header.rst */
    BOOT_ELF,         /* ELF64, EM_RISCV */
};

struct boot_segment {
    uint64_t file_offset, file_size; /* bytes in the file */
    gpa address;          /* physical address; of Image and raw: offset from RAM's base */
    uint64_t memory_size; /* >= file_size; the rest is zero */
};

#define BOOT_SEGMENTS_MAX 16

struct boot_layout {
    enum boot_format format;
    uint64_t entry; /* ELF: address; else offset into the only segment */
    struct boot_segment segments[BOOT_SEGMENTS_MAX];
    unsigned segment_count;
};

/* Judges the first `size` bytes (at most BOOT_HEADER_SIZE) of a file of `file_size` bytes. Errors
 * say what the file is instead: another architecture's kernel, compressed, a script. The caller
 * puts the path in front. */
int boot_identify(const uint8_t *header, size_t size, uint64_t file_size,
                  struct boot_layout *layout, struct error *error) MUST_CHECK;

/* A file to load, open for as long as the machine: it is loaded again at each reboot, when the
 * process may have no right to open files any more. */
struct boot_file {
    const char *path; /* for messages; the caller's */
    int fd;
};

/* For reading; it has to be a regular file. */
int boot_open(struct boot_file *file, const char *path, struct error *error) MUST_CHECK;
/* NULL, and one that is closed, are fine. */
void boot_close(struct boot_file *file);

/* Where something was put. */
struct boot_loaded {
    gpa entry;
    gpa start, end; /* end: one past the last byte used, bss included */
};

/* Loads a kernel or firmware. Image and raw files go to `base` (Image: its text_offset is then
 * already in `base`). All must fit below `limit`. */
int boot_load(const struct address_space *as, const struct boot_file *file, gpa base, gpa limit,
              struct boot_loaded *loaded, struct error *error) MUST_CHECK;
/* Loads a file as it is so that it ends below `limit`, page aligned, and not below `floor`. */
int boot_load_top(const struct address_space *as, const struct boot_file *file, gpa floor,
                  gpa limit, struct boot_loaded *loaded, struct error *error) MUST_CHECK;

#endif
