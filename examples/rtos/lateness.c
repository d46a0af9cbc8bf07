/* SPDX-License-Identifier: Apache-2.0 */
#include "lateness.h"

static unsigned bucket_of(uint64_t us)
{
    unsigned exponent = 4, bucket;

    if (us < 16)
        return (unsigned)us;
    while (us >> (exponent + 1))
        exponent++;
    bucket = 16 + 8 * (exponent - 4) + (unsigned)(us >> (exponent - 3) & 7);
    return bucket < LATENESS_BUCKETS ? bucket : LATENESS_BUCKETS - 1;
}

/* The largest value in it. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned exponent = 4 + (bucket - 16) / 8;

    if (bucket < 16)
        return bucket;
    return ((8ul + (bucket - 16) % 8 + 1) << (exponent - 3)) - 1;
}

void lateness_add(struct lateness *lateness, uint64_t us, uint64_t limit_us)
{
    lateness->count++;
    lateness->missed += us > limit_us;
    if (us > lateness->most)
        lateness->most = us;
    lateness->buckets[bucket_of(us)]++;
}

uint64_t lateness_quantile(const struct lateness *lateness, unsigned per_mille)
{
    uint64_t wanted = (lateness->count * per_mille + 999) / 1000, seen = 0;

    for (unsigned i = 0; i < LATENESS_BUCKETS; i++) {
        seen += lateness->buckets[i];
        if (seen >= wanted)
            return bucket_end(i) < lateness->most ? bucket_end(i) : lateness->most;
    }
    return lateness->most;
}
