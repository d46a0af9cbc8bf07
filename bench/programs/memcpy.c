/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's copy: 64 KiB a unit, at offsets that are not always aligned. */
#include "bench.h"

#define SIZE 65536

static uint8_t from[SIZE + 64], to[SIZE + 64];

void program_prepare(void)
{
    for (unsigned i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * 7 + (i >> 8));
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        memcpy(to + (u & 3) * 8, from + (u >> 2 & 7), SIZE);
        bench_touch(to);
        sum = bench_mix(sum, to[u % SIZE]);
    }
    return sum;
}
