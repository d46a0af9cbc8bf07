/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's sort, with a function that compares: 4096 numbers a unit. */
#include <stdlib.h>

#include "bench.h"

#define COUNT 4096

static uint32_t numbers[COUNT];

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t state = 1, sum = 0;

    for (uint64_t i = 0; i < units; i++) {
        for (unsigned j = 0; j < COUNT; j++)
            numbers[j] = (uint32_t)(bench_random(&state) >> 32);
        qsort(numbers, COUNT, sizeof numbers[0], compare);
        for (unsigned j = 0; j < COUNT; j += 64)
            sum = bench_mix(sum, numbers[j]);
    }
    return sum;
}
