/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSPES_CLI_DUMP_H
#define HOSPES_CLI_DUMP_H

#include <stddef.h>

#include "base/error.h"

/* Writes a device tree to `path`: into a file that is there whole or not at all, or into what is
 * there and no file, as a pipe. */
int dump_device_tree(const char *path, const void *tree, size_t size,
                     struct error *error) MUST_CHECK;

#endif
