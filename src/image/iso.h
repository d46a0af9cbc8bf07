/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a small ISO 9660 file system (ECMA-119): one directory of a few files, which is all that a
 * guest's first configuration wants (a seed for cloud-init's NoCloud). No extensions: Linux shows
 * names in lower case.
 */
#ifndef HOSPES_IMAGE_ISO_H
#define HOSPES_IMAGE_ISO_H

#include <stddef.h>

#include "base/error.h"

#define ISO_FILES_MAX 8

struct iso_file {
    const char *name; /* 1 to 28 of A-Z 0-9 - _ */
    const void *data;
    size_t size; /* less than 16 MiB */
};

/* Makes or replaces the file `path`. `label`: the volume's, as a file's name, at most 32. The same
 * arguments make the same bytes. */
int iso_write(const char *path, const char *label, const struct iso_file *files, unsigned count,
              struct error *error) MUST_CHECK;

#endif
