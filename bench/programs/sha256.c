/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) in plain C: shifts, rotations and additions of 32 bits. 4 KiB a unit. */
#include <math.h>

#include "bench.h"

#define SIZE 4096

static uint32_t constants[64], initial[8];
static uint8_t message[SIZE];

static uint32_t rotate(uint32_t x, unsigned n)
{
    return (x >> n) | (x << (32 - n));
}

static uint32_t fraction(long double x)
{
    return (uint32_t)(uint64_t)((x - floorl(x)) * 4294967296.0L);
}

/* 4.2.2 and 5.3.3: the first bits of the roots of the first primes. A double has too few bits for
 * this; long double has enough on both sides. */
void program_prepare(void)
{
    unsigned found = 0;

    for (unsigned n = 2; found < 64; n++) {
        unsigned d = 2;

        while (d * d <= n && n % d)
            d++;
        if (d * d <= n)
            continue;
        if (found < 8)
            initial[found] = fraction(sqrtl(n));
        constants[found++] = fraction(cbrtl(n));
    }
    for (unsigned i = 0; i < SIZE; i++)
        message[i] = (uint8_t)(i * 131 + (i >> 8));
}

/* 6.2.2 */
static void block(uint32_t state[8], const uint8_t *data)
{
    uint32_t w[64], v[8];

    for (unsigned t = 0; t < 16; t++)
        w[t] = (uint32_t)data[4 * t] << 24 | (uint32_t)data[4 * t + 1] << 16 |
               (uint32_t)data[4 * t + 2] << 8 | data[4 * t + 3];
    for (unsigned t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);

        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    memcpy(v, state, sizeof v);
    for (unsigned t = 0; t < 64; t++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + constants[t] + w[t];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);

        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + t1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = t1 + s0 + majority;
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += v[i];
}

uint64_t program_work(uint64_t units)
{
    uint32_t state[8];

    memcpy(state, initial, sizeof state);
    for (uint64_t i = 0; i < units; i++) {
        for (unsigned j = 0; j < SIZE; j += 64)
            block(state, message + j);
    }
    return (uint64_t)state[0] << 32 | state[1];
}
