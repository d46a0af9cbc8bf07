/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to file descriptors in more than one part. Any thread. */
#ifndef HOSPES_BASE_DESCRIPTOR_H
#define HOSPES_BASE_DESCRIPTOR_H

#include <stddef.h>

#include "base/compiler.h"

/* For CLEANUP(): closes unless negative. */
void descriptor_close(int *fd);
/* Writes all of it, over interruptions and short writes. Returns 0 or -errno. */
int descriptor_write_all(int fd, const void *data, size_t length) MUST_CHECK;

#endif
