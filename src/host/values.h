/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values as a reader (reader.h) hands them over, in the place of their text: each a letter,
 * then its length or count, then what it holds. A reader makes them of what is hostile, and may
 * have been taken over: what comes out of values_get() is bounded in its depth, its texts are UTF-8
 * with "?" for control characters, since most are shown to a person, and no key is there twice.
 */
#ifndef HOSPES_HOST_VALUES_H
#define HOSPES_HOST_VALUES_H

#include <jansson.h>

#include "host/reader.h"

/* How deep values lie in one another at the most. */
enum { VALUES_DEPTH_MAX = 32 };

/* -EPROTO: too deep. */
int values_put(struct reader_answer *answer, const json_t *json) MUST_CHECK;
/* The next value, which the caller drops; NULL: there is none, or it is broken. */
json_t *values_get(struct reader_answer *answer) MUST_CHECK;

#endif
