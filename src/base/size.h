/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amounts of bytes as people write and read them: "1G", "512M", "1.5 GiB". Units are powers of
 * 1024 throughout, whether written "G", "GiB" or "g".
 */
#ifndef HOSPES_BASE_SIZE_H
#define HOSPES_BASE_SIZE_H

#include <stdint.h>

#include "base/compiler.h"

#define SIZE_TEXT_MAX 16

/* Decimal digits, then nothing or one of K M G T (any case), which "B" or "iB" may follow. Returns
 * -EINVAL when the text is not of that form, -ERANGE when it does not fit; *bytes is then
 * untouched. */
int size_parse(const char *text, uint64_t *bytes) MUST_CHECK;

/* "1 GiB", "1.5 GiB", "512 MiB", "0 B": at most one decimal, never rounded up. Returns `text`. */
const char *size_format(uint64_t bytes, char text[static SIZE_TEXT_MAX]);

#endif
