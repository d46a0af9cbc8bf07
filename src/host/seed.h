/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seed from which cloud-init in a guest takes its first configuration: a small read-only disk
 * with the label CIDATA and the files meta-data and user-data (cloud-init's documentation,
 * "NoCloud"). Guests without cloud-init see a disk that they need not look at.
 */
#ifndef HOSPES_HOST_SEED_H
#define HOSPES_HOST_SEED_H

#include <stdbool.h>

#include "base/error.h"

#define SEED_KEYS_MAX 16
#define SEED_TEXT_MAX (1u << 20) /* bytes of a key's file, or of the user data */

/* Texts are the caller's. */
struct seed {
    const char *user;                /* made, with sudo and no password; NULL: none */
    const char *keys[SEED_KEYS_MAX]; /* lines of authorized_keys, of the user (NULL: of root) */
    unsigned key_count;
    const char *user_data; /* as it is, in place of all the above; NULL: made from it */
};

/* Whether anything is asked of it. */
bool seed_is_wanted(const struct seed *seed);
/* 1 to 32 of a-z 0-9 - _, not beginning with a digit or "-" (useradd(8)). */
int seed_check(const struct seed *seed, struct error *error) MUST_CHECK;
/* Makes the file. `name` is the guest's host name; `instance` differs from machine to machine: what
 * tells cloud-init that it boots for the first time. */
int seed_write(const char *path, const struct seed *seed, const char *name, const char *instance,
               struct error *error) MUST_CHECK;

#endif
