/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints log files that rotate (base/rotate.h), from their beginning and, if wanted, on and on.
 */
#ifndef HOSPES_CLI_FOLLOW_H
#define HOSPES_CLI_FOLLOW_H

#include <stdbool.h>

#include "base/error.h"

struct follow; /* one file */

/* A file need not be there yet. -ENOMEM. */
int follow_new(struct follow **follow, const char *path) MUST_CHECK;
void follow_free(struct follow *follow);

/* The next piece of at most `size` bytes: first of the older file, then of the newer. Returns how
 * many, 0: no more at the moment. */
long follow_read(struct follow *follow, void *data, unsigned long size) MUST_CHECK;

#endif
