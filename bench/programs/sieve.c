/* SPDX-License-Identifier: Apache-2.0 */
/* Eratosthenes's sieve over 32768 bytes: stores with a stride, and a loop that depends on data. */
#include "bench.h"

#define LIMIT 32768

static uint8_t composite[LIMIT];

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        uint64_t primes = 0;

        memset(composite, 0, sizeof composite);
        for (unsigned i = 2; i < LIMIT; i++) {
            if (composite[i])
                continue;
            primes++;
            for (unsigned j = i * 2; j < LIMIT; j += i)
                composite[j] = 1;
        }
        bench_touch(composite);
        sum = bench_mix(sum, primes + u);
    }
    return sum;
}
