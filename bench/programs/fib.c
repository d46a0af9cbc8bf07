/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and returns: Fibonacci's numbers by the recursion that defines them. */
#include "bench.h"

__attribute__((noinline)) static uint64_t fib(uint64_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < units; i++)
        sum = bench_mix(sum, fib(bench_hide(20)) + i);
    return sum;
}
