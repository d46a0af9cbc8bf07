/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket: how much may pass, and when the next may.
 *
 * Tokens come in at the rate, as many as the burst at most, and each thing that passes takes as
 * many as it has units. It passes whenever there is no debt, and may leave one behind: so one
 * larger than the burst passes too, and the next waits for longer. Over any time of s seconds at
 * most burst + rate * s units pass, and one thing more.
 *
 * The arithmetic is exact (units by nanoseconds), so nothing is lost or won over time, and holds
 * for every rate, burst and time of 64 bits. The caller hands the time in, nanoseconds of any
 * clock; one that steps back is taken to stand still. No thread of its own, no lock: the owner's.
 */
#ifndef HOSPES_BASE_BUCKET_H
#define HOSPES_BASE_BUCKET_H

#include <stdint.h>

struct bucket {
    uint64_t rate;    /* units a second; 0: no limit */
    uint64_t burst;   /* units */
    uint64_t time_ns; /* of the level */
    __int128 level;   /* tokens by 10^9; negative: a debt */
};

/* Changes rate and burst, a debt stays; a bucket that had no limit becomes a full one. One of all
 * zeroes has no limit. */
void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t burst, uint64_t now_ns);
/* Nanoseconds until something may pass; 0: now. UINT64_MAX: that or longer. */
uint64_t bucket_wait(const struct bucket *bucket, uint64_t now_ns);
/* The same for who sleeps and wakes up: if it is not 0 then at least a millisecond, so that a high
 * rate is not a timer a thing, unless the burst would overflow in that time. */
uint64_t bucket_nap(const struct bucket *bucket, uint64_t now_ns);
/* Something passes. When bucket_wait() is not 0 the debts add up. */
void bucket_take(struct bucket *bucket, uint64_t units, uint64_t now_ns);

#endif
