/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log file that does not grow without bound: bytes are appended to FILE; when it is full it
 * becomes FILE.1, in place of the one before, and FILE is begun anew. The two never have more than
 * twice the bound, and hold what was written last, in order.
 *
 * One thread at a time. Writing never fails for the caller: what a full disk or another failure
 * does not take is dropped, and told once in the life of the log; later bytes are tried again.
 */
#ifndef HOSPES_BASE_ROTATE_H
#define HOSPES_BASE_ROTATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/log.h"

struct rotate;

/* Opens the file to append to, or makes it with mode 0600. It has to be a regular one. `bound` is
 * in bytes, at least 1; the log outlives the object. */
int rotate_open(struct rotate **rotate, const char *path, uint64_t bound, const struct log *log,
                struct error *error) MUST_CHECK;
void rotate_write(struct rotate *rotate, const void *data, size_t length);
void rotate_close(struct rotate *rotate);

#endif
