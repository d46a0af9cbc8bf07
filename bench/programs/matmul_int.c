/* SPDX-License-Identifier: Apache-2.0 */
/* Product of two 64 by 64 matrices of 32-bit integers. */
#include "bench.h"

#define N 64

static int32_t a[N][N], b[N][N], c[N][N];

void program_prepare(void)
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (i * 7 + j * 3) % 101 - 50;
            b[i][j] = (i * 5 + j * 11) % 103 - 51;
        }
    }
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < N; j++) {
                uint32_t dot = 0;

                for (int k = 0; k < N; k++)
                    dot += (uint32_t)a[i][k] * (uint32_t)b[k][j];
                c[i][j] = (int32_t)dot;
            }
        }
        a[u % N][u / N % N] = c[u % 61][u % 59] % 50;
        sum = bench_mix(sum, (uint32_t)c[u % N][u % 63]);
    }
    return sum;
}
