/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of doubles: a[i] = b[i] + s * c[i], 16384 elements a unit. */
#include "bench.h"

#define COUNT 16384

static double a[COUNT], b[COUNT], c[COUNT];

void program_prepare(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        b[i] = (double)(i % 97) / 97.0;
        c[i] = (double)(i % 89) / 89.0;
    }
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        double s = (double)(u % 1000) / 1000.0;

        for (unsigned i = 0; i < COUNT; i++)
            a[i] = b[i] + s * c[i];
        bench_touch(a);
        sum = bench_mix(sum, bench_bits(a[u % COUNT]));
    }
    return sum;
}
