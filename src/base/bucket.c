/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bucket.h"

#define NS_PER_SECOND 1000000000u
#define NAP_NS        1000000u

/* More than 2^30 things of the largest size: a debt that nobody lives to see paid. */
#define DEBT_MAX ((__int128)1 << 124)

static __int128 bucket_full(const struct bucket *bucket)
{
    return (__int128)bucket->burst * NS_PER_SECOND;
}

static __int128 bucket_level(const struct bucket *bucket, uint64_t now_ns)
{
    uint64_t passed = now_ns > bucket->time_ns ? now_ns - bucket->time_ns : 0;
    /* Unsigned: the product has up to 128 bits. */
    unsigned __int128 gained = (unsigned __int128)passed * bucket->rate;
    unsigned __int128 room = (unsigned __int128)(bucket_full(bucket) - bucket->level);

    return gained < room ? bucket->level + (__int128)gained : bucket_full(bucket);
}

static void bucket_settle(struct bucket *bucket, uint64_t now_ns)
{
    bucket->level = bucket_level(bucket, now_ns);
    if (now_ns > bucket->time_ns)
        bucket->time_ns = now_ns;
}

void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    if (bucket->rate) {
        bucket_settle(bucket, now_ns);
    } else {
        bucket->level = (__int128)burst * NS_PER_SECOND;
        bucket->time_ns = now_ns;
    }
    bucket->rate = rate;
    bucket->burst = burst;
    if (bucket->level > bucket_full(bucket))
        bucket->level = bucket_full(bucket);
}

uint64_t bucket_wait(const struct bucket *bucket, uint64_t now_ns)
{
    unsigned __int128 wait;
    __int128 level;

    if (!bucket->rate)
        return 0;
    level = bucket_level(bucket, now_ns);
    if (level >= 0)
        return 0;
    /* Rounded up, so that who comes back then is not a moment early. */
    wait = ((unsigned __int128)-level + bucket->rate - 1) / bucket->rate;
    /* A time that stepped back has to come back first. */
    if (bucket->time_ns > now_ns)
        wait += bucket->time_ns - now_ns;
    return wait < UINT64_MAX ? (uint64_t)wait : UINT64_MAX;
}

uint64_t bucket_nap(const struct bucket *bucket, uint64_t now_ns)
{
    uint64_t wait = bucket_wait(bucket, now_ns);

    if (!wait || wait >= NAP_NS ||
        bucket_full(bucket) < (__int128)((unsigned __int128)bucket->rate * NAP_NS))
        return wait;
    return NAP_NS;
}

void bucket_take(struct bucket *bucket, uint64_t units, uint64_t now_ns)
{
    if (!bucket->rate)
        return;
    bucket_settle(bucket, now_ns);
    bucket->level -= (__int128)units * NS_PER_SECOND;
    if (bucket->level < -DEBT_MAX)
        bucket->level = -DEBT_MAX;
}
