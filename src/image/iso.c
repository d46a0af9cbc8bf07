/* SPDX-License-Identifier: Apache-2.0 */
#include "image/iso.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "image/file.h"

#define SECTOR 2048u

/* Where things are, in sectors. The first 16 are for the system (ECMA-119, 6.2.1). */
enum {
    AT_VOLUME = 16,
    AT_END, /* of the volume descriptors */
    AT_PATHS_LITTLE,
    AT_PATHS_BIG,
    AT_ROOT,
    AT_FILES,
};

enum { DIRECTORY = 2 }; /* file flags (9.1.6) */

/* 7.2.3 and 7.3.3: both byte orders, little-endian first. */
static void put_both16(uint8_t *to, uint16_t value)
{
    store_le16(to, value);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static void put_big32(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_both32(uint8_t *to, uint32_t value)
{
    store_le32(to, value);
    put_big32(to + 4, value);
}

static void put_text(uint8_t *to, const char *text, size_t size)
{
    size_t length = strlen(text);

    memset(to, ' ', size);
    memcpy(to, text, length < size ? length : size);
}

/* A directory record (9.1). Returns its length. */
static unsigned put_record(uint8_t *to, uint32_t sector, uint32_t size, unsigned flags,
                           const char *name, unsigned name_length)
{
    unsigned length = 33 + name_length + (name_length % 2 == 0);
    /* 1 January 2000, so that nothing depends on when it is written (9.1.5). */
    static const uint8_t date[7] = {100, 1, 1, 0, 0, 0, 0};

    to[0] = (uint8_t)length;
    put_both32(to + 2, sector);
    put_both32(to + 10, size);
    memcpy(to + 18, date, sizeof(date));
    to[25] = (uint8_t)flags;
    put_both16(to + 28, 1);
    to[32] = (uint8_t)name_length;
    memcpy(to + 33, name, name_length);
    return length;
}

/* The primary volume descriptor (8.4). */
static void put_volume(uint8_t *to, const char *label, uint32_t sectors)
{
    static const char unset[] = "0000000000000000"; /* 8.4.26.1: no date */

    to[0] = 1;
    memcpy(to + 1, "CD001", 5);
    to[6] = 1;
    put_text(to + 8, "", 32);
    put_text(to + 40, label, 32);
    put_both32(to + 80, sectors);
    put_both16(to + 120, 1);
    put_both16(to + 124, 1);
    put_both16(to + 128, SECTOR);
    put_both32(to + 132, 10); /* bytes of the path table */
    store_le32(to + 140, AT_PATHS_LITTLE);
    put_big32(to + 148, AT_PATHS_BIG);
    put_record(to + 156, AT_ROOT, SECTOR, DIRECTORY, "", 1);
    put_text(to + 190, "", 623);
    for (unsigned i = 0; i < 4; i++)
        memcpy(to + 813 + 17 * i, unset, 16);
    to[881] = 1;
}

/* The root alone (9.4). */
static void put_paths(uint8_t *image)
{
    uint8_t *little = image + AT_PATHS_LITTLE * SECTOR, *big = image + AT_PATHS_BIG * SECTOR;

    little[0] = big[0] = 1;
    store_le32(little + 2, AT_ROOT);
    put_big32(big + 2, AT_ROOT);
    little[6] = 1;
    big[7] = 1;
}

static bool name_is_valid(const char *name, size_t most)
{
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return length && length <= most && !name[length];
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct iso_file *)a)->name, ((const struct iso_file *)b)->name);
}

static uint32_t sectors_of(size_t size)
{
    return (uint32_t)((size + SECTOR - 1) / SECTOR);
}

/* The directory and what is in it; records are in the order of names (9.3). */
static void put_files(uint8_t *image, const struct iso_file *files, unsigned count)
{
    uint8_t *record = image + AT_ROOT * SECTOR;
    uint32_t at = AT_FILES;

    record += put_record(record, AT_ROOT, SECTOR, DIRECTORY, "", 1);
    record += put_record(record, AT_ROOT, SECTOR, DIRECTORY, "\1", 1);
    for (unsigned i = 0; i < count; i++) {
        char name[40];
        int length = snprintf(name, sizeof(name), "%s.;1", files[i].name);

        record += put_record(record, at, (uint32_t)files[i].size, 0, name, (unsigned)length);
        memcpy(image + at * SECTOR, files[i].data, files[i].size);
        at += sectors_of(files[i].size);
    }
}

int iso_write(const char *path, const char *label, const struct iso_file *files, unsigned count,
              struct error *error)
{
    struct iso_file sorted[ISO_FILES_MAX];
    uint32_t sectors = AT_FILES;
    uint8_t *image;
    int r;

    BUG_ON(count > ISO_FILES_MAX || !name_is_valid(label, 32));
    for (unsigned i = 0; i < count; i++) {
        BUG_ON(!name_is_valid(files[i].name, 28));
        if (files[i].size >= 16u << 20)
            return error_set(error, EFBIG, "file \"%s\" is too large for \"%s\"", files[i].name,
                             path);
        sorted[i] = files[i];
        sectors += sectors_of(files[i].size);
    }
    if (count)
        qsort(sorted, count, sizeof(sorted[0]), by_name);
    image = calloc(sectors, SECTOR);
    if (!image)
        return error_set(error, ENOMEM, "out of memory");
    put_volume(image + AT_VOLUME * SECTOR, label, sectors);
    image[AT_END * SECTOR] = 255; /* 8.3 */
    memcpy(image + AT_END * SECTOR + 1, "CD001", 5);
    image[AT_END * SECTOR + 6] = 1;
    put_paths(image);
    put_files(image, sorted, count);
    r = file_write(path, image, (size_t)sectors * SECTOR, false, error);
    free(image);
    return r;
}
