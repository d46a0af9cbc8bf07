/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A code profile: which code of which pages was executed often, so that a later run need not find
 * out again. A page is known by a hash of its 4 KiB and by nothing else, so that it is the same
 * page in another machine, under another kernel, at another address. Its places are where
 * translated code began.
 *
 * A profile is a hint. What it says of a page may be wrong (two pages with one hash, a file that
 * somebody made up): it tells when to translate, and never what.
 *
 * Between runs it is a file (profile_file.c):
 *
 *   header   magic "hospes\r\n", then 4 bytes each: version 1, pages, places of all, 0
 *   pages    16 bytes hash, 2 bytes number of places, 1 byte age, 0; by hash, ascending
 *   places   2 bytes each, those of the first page first; ascending within a page
 *   end      16 bytes: hash of all before
 *
 * Little-endian. Nothing of the host's and of the engine's is in it, and no code. Age is the number
 * of runs that have been since one that executed the page.
 *
 * No locks: one thread at a time.
 */
#ifndef HOSPES_CPU_PROFILE_H
#define HOSPES_CPU_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

enum {
    PROFILE_PAGE_SIZE = 4096,
    PROFILE_VERSION = 1,
    PROFILE_AGE_MAX = 50,
    /* In memory; a file has half of it, so that a run can always learn. */
    PROFILE_PAGES_MAX = 1 << 16,
    PROFILE_PLACES_MAX = 1 << 20,
    PROFILE_HEADER_SIZE = 24,
    PROFILE_RECORD_SIZE = 20,
    PROFILE_END_SIZE = 16,
    PROFILE_FILE_MAX = PROFILE_HEADER_SIZE + PROFILE_PAGES_MAX / 2 * PROFILE_RECORD_SIZE +
                       PROFILE_PLACES_MAX / 2 * 2 + PROFILE_END_SIZE,
};

#define PROFILE_NONE UINT32_MAX

struct profile;

/* -ENOMEM. */
int profile_new(struct profile **profile) MUST_CHECK;
void profile_free(struct profile *profile);

/* The number of the page whose bytes these are, which counts as executed in this run from now on;
 * PROFILE_NONE: not known. A number holds as long as the profile. */
uint32_t profile_find(struct profile *profile, const void *bytes);
/* The same, and makes it known. PROFILE_NONE: there is no room. */
uint32_t profile_add(struct profile *profile, const void *bytes);
/* A place is an offset, which is even, or that plus 1 for code of the second of two kinds. */
bool profile_has(const struct profile *profile, uint32_t page, unsigned place);
/* Without room nothing happens. */
void profile_note(struct profile *profile, uint32_t page, unsigned place);
void profile_each_place(const struct profile *profile, uint32_t page,
                        void (*place)(void *ctx, unsigned place), void *ctx);
/* Whether any page counts as executed in this run. */
bool profile_is_used(const struct profile *profile);
unsigned profile_page_count(const struct profile *profile);
unsigned profile_place_count(const struct profile *profile);

/* Fills an empty profile from the bytes of a file, none of which is believed. -EINVAL: it is none;
 * -ENOMEM. The profile is empty then. */
int profile_parse(struct profile *profile, const void *data, size_t size) MUST_CHECK;
/* Whether a file that begins so, as far as it goes, may be one, if perhaps a damaged one. */
bool profile_may_begin(const void *data, size_t size);
/* Ends a run: all that `profile` knows is older by one, but what `run` has executed. */
void profile_merge(struct profile *profile, const struct profile *run);
/* The bytes of a file, which the caller frees. What was executed last stays in, if there is too
 * much. NULL: no memory. */
void *profile_format(const struct profile *profile, size_t *size) MUST_CHECK;

/* ---- profile_file.c ---- */

/* Fills an empty profile. A file that is not there is an empty one. */
int profile_load(struct profile *profile, const char *path, struct error *error) MUST_CHECK;
/* Adds the run to the file, whatever other runs added meanwhile, and makes it if it is not there.
 * A damaged one is replaced; what never was one stays as it is: -EINVAL. Of two runs that save in
 * the same moment one is lost. */
int profile_save(const struct profile *run, const char *path, struct error *error) MUST_CHECK;

#endif
