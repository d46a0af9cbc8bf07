/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store from inside image/: what the builder and the public calls share.
 */
#ifndef HOSPES_IMAGE_STORE_H
#define HOSPES_IMAGE_STORE_H

#include "image/image.h"

/* asprintf() that returns its text, which the caller frees, or NULL. */
char *text_format(const char *format, ...) PRINTF(1, 2) MUST_CHECK;

/* Takes the lock of a name (flock); the caller closes *lock to give it up. -EBUSY. The lock's file
 * stays: removing it would race with whoever waits to open it. */
int store_lock(const struct image_store *store, const char *name, int *lock,
               struct error *error) MUST_CHECK;

/* Removes an image under its lock. -EBUSY while a machine uses its disk; absent is success. */
int store_discard(const struct image_store *store, const char *name,
                  struct error *error) MUST_CHECK;

#endif
