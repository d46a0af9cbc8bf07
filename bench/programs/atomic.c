/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic additions, exchanges and compare-and-swaps of one thread. 300 operations a unit. */
#include <stdatomic.h>

#include "bench.h"

static atomic_uint_least64_t counter, word;
static atomic_uint_least32_t half;

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (unsigned i = 0; i < 100; i++) {
            uint64_t old = atomic_load_explicit(&word, memory_order_relaxed);

            sum += atomic_fetch_add(&counter, i + 1);
            atomic_compare_exchange_strong(&word, &old, old * 3 + i);
            sum ^= atomic_exchange(&half, i);
        }
    }
    return bench_mix(sum, word);
}
