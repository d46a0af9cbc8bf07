/* SPDX-License-Identifier: Apache-2.0 */
/* Mandelbrot's set, 32 by 32 points and at most 200 iterations each a unit. */
#include "bench.h"

#define SIDE  32
#define LIMIT 200

static unsigned iterations(double re, double im)
{
    double x = 0.0, y = 0.0;

    for (unsigned n = 0; n < LIMIT; n++) {
        double xx = x * x, yy = y * y;

        if (xx + yy > 4.0)
            return n;
        y = 2.0 * x * y + im;
        x = xx - yy + re;
    }
    return LIMIT;
}

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        /* A little off each time: nothing can be worked out once for all units. */
        double shift = (double)(u % 1024) / 1048576.0;
        uint64_t all = 0;

        for (unsigned i = 0; i < SIDE; i++) {
            for (unsigned j = 0; j < SIDE; j++)
                all += iterations(-2.0 + shift + 3.0 * i / SIDE, -1.25 + 2.5 * j / SIDE);
        }
        sum = bench_mix(sum, all);
    }
    return sum;
}
