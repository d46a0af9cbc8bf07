/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

/* A Weyl sequence through a mixer (splitmix64). */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

unsigned random_below(uint64_t *state, unsigned bound)
{
    return (random_next(state) >> 32) * bound >> 32;
}

uint64_t random_integer(uint64_t *state)
{
    uint64_t any = random_next(state), power = UINT64_C(1) << random_below(state, 64);

    switch (random_below(state, 8)) {
    case 0:
        return power;
    case 1:
        return power - 1;
    case 2:
        return -power;
    case 3:
        return power + 1;
    case 4:
        return random_below(state, 130) - UINT64_C(65);
    case 5:
        return (uint64_t)(int64_t)(int32_t)any; /* a word, sign-extended */
    case 6:
        return any & random_next(state) & random_next(state); /* few bits */
    default:
        return any;
    }
}

struct format {
    unsigned exponent, fraction; /* bits */
};

static uint64_t format_value(const struct format *f, uint64_t *state)
{
    uint64_t ones = (UINT64_C(1) << f->exponent) - 1, bias = ones >> 1;
    uint64_t fraction = random_next(state) >> (64 - f->fraction), exponent;
    uint64_t sign = random_next(state) >> 63;

    switch (random_below(state, 4)) {
    case 0:
        fraction = 0;
        break;
    case 1: /* long runs: rounding carries through them */
        fraction |= ((UINT64_C(1) << f->fraction) - 1) >> random_below(state, f->fraction);
        break;
    case 2:
        fraction &= UINT64_MAX << random_below(state, f->fraction);
        break;
    }
    switch (random_below(state, 8)) {
    case 0:
        exponent = 0; /* zero or subnormal */
        break;
    case 1:
        exponent = random_below(state, 2) ? ones : ones - 1; /* infinity, NaN, or just below */
        break;
    case 2:
        exponent = random_next(state) & ones;
        break;
    case 3: /* around where values become integers and leave their types */
        exponent = bias + random_below(state, 68);
        break;
    default:
        exponent = bias - 3 + random_below(state, 7);
        break;
    }
    if (exponent > ones)
        exponent = ones;
    return (sign << f->exponent | exponent) << f->fraction | fraction;
}

uint64_t random_float(uint64_t *state)
{
    static const struct format half = {5, 10}, single = {8, 23}, twice = {11, 52};

    switch (random_below(state, 16)) {
    case 0:
        return random_next(state);
    case 1:
        return format_value(&single, state); /* not boxed */
    case 2:
    case 3:
        return format_value(&half, state) | UINT64_MAX << 16;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        return format_value(&single, state) | UINT64_MAX << 32;
    default:
        return format_value(&twice, state);
    }
}
