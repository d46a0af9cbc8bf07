/* SPDX-License-Identifier: Apache-2.0 */
/* Product of two 64 by 64 matrices of doubles, each sum in the order of its terms. */
#include "bench.h"

#define N 64

static double a[N][N], b[N][N], c[N][N];

void program_prepare(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)((i * 7 + j * 3) % 101) / 101.0;
            b[i][j] = (double)((i * 5 + j * 11) % 103) / 103.0;
        }
    }
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                double dot = 0;

                for (int k = 0; k < N; k++)
                    dot += a[i][k] * b[k][j];
                c[i][j] = dot;
            }
        }
        /* Stays below one, whatever the number of units. */
        a[u % N][u / N % N] = c[u % 61][u % 59] / 64.0;
        sum = bench_mix(sum, bench_bits(c[u % N][u % 63]));
    }
    return sum;
}
