/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648, section 4), with padding and without line ends. */
#ifndef HOSPES_HOST_BASE64_H
#define HOSPES_HOST_BASE64_H

#include <stddef.h>

#include "base/compiler.h"

/* Ends with a zero byte; the caller frees it. NULL: no memory. */
char *base64_encode(const void *data, size_t size) MUST_CHECK;
/* The caller frees *data, which is followed by a zero byte. -EINVAL, -ENOMEM. */
int base64_decode(const char *text, unsigned char **data, size_t *size) MUST_CHECK;

#endif
