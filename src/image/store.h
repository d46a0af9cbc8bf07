/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store from inside image/: what the builder and the public calls share.
 */
#ifndef HOSPES_IMAGE_STORE_H
#define HOSPES_IMAGE_STORE_H

#include "image/image.h"

/* asprintf() that returns its text, which the caller frees, or NULL. */
char *text_format(const char *format, ...) PRINTF(1, 2) MUST_CHECK;

/* The lock of a name, held; zero-initialised: of none. */
struct store_lock {
    int fd;
    char *path; /* NULL: not held */
};

/* Takes the lock of a name (flock on a file beside the image). -EBUSY. */
int store_lock(const struct image_store *store, const char *name, struct store_lock *lock,
               struct error *error) MUST_CHECK;
/* Removes the lock's file and gives the lock up; nothing when it is not held. */
void store_unlock(struct store_lock *lock);

/* -EBUSY while a machine uses the image's disk; an absent image is idle. */
int store_check_idle(const struct image_store *store, const char *name,
                     struct error *error) MUST_CHECK;

/* Removes an image under its lock. -EBUSY while a machine uses its disk; absent is success. */
int store_discard(const struct image_store *store, const char *name,
                  struct error *error) MUST_CHECK;

#endif
