/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the archive that Linux unpacks as its initial RAM disk: cpio in the "newc" form, as Linux
 * Documentation/driver-api/early-userspace/buffer-format.rst describes it.
 */
#ifndef HOSPES_IMAGE_CPIO_H
#define HOSPES_IMAGE_CPIO_H

#include "base/error.h"

/* Makes `archive` of the files, directories and symbolic links under `directory`, sorted, all
 * owned by root, with no times; and adds /dev/console, so that the first program has a terminal.
 * Needs no privileges. Other kinds of file are an error. */
int cpio_write(const char *directory, const char *archive, struct error *error) MUST_CHECK;

#endif
