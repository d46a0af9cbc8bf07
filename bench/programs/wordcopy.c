/* SPDX-License-Identifier: Apache-2.0 */
/* A loop that copies words, as programs have it that do not call the library: 64 KiB a unit. The
 * build tells the compiler to leave it a loop. */
#include "bench.h"

#define WORDS 8192

static uint64_t from[WORDS], to[WORDS];

void program_prepare(void)
{
    for (unsigned i = 0; i < WORDS; i++)
        from[i] = i * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        size_t words = bench_hide(WORDS);

        for (size_t i = 0; i < words; i++)
            to[i] = from[i];
        bench_touch(to);
        sum = bench_mix(sum, to[u % WORDS]);
    }
    return sum;
}
