/* SPDX-License-Identifier: Apache-2.0 */
/* How late something was, many times: a histogram of microseconds. No locks: the caller's. */
#ifndef RTOS_LATENESS_H
#define RTOS_LATENESS_H

#include <stdint.h>

/* To 16 us each one has its own bucket, then there are 8 to a power of two, to 134 s. */
#define LATENESS_BUCKETS (16u + 8u * 23u)

struct lateness {
    uint64_t count;
    uint64_t missed; /* later than the limit */
    uint64_t most;
    uint32_t buckets[LATENESS_BUCKETS];
};

void lateness_add(struct lateness *lateness, uint64_t us, uint64_t limit_us);
/* What so many of 1,000 were not later than: the bucket's upper end, within an eighth. */
uint64_t lateness_quantile(const struct lateness *lateness, unsigned per_mille);

#endif
