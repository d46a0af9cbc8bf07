/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operands for the operations of softfloat. They crowd where mistakes live: the edges of
 * the range, subnormals, ties, cancellation, and exponents that barely overlap. The caller owns
 * the generator's state, which is any number but zero: one seed gives one sequence, everywhere.
 */
#ifndef HOSPES_TESTS_UNIT_SOFTFLOAT_OPERANDS_H
#define HOSPES_TESTS_UNIT_SOFTFLOAT_OPERANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/riscv/softfloat.h"
#include "softfloat_ops.h"

/* The number of cases to run where `cases` are enough for every day. */
static inline unsigned long cases_scaled(unsigned long cases)
{
    const char *wanted = getenv("HOSPES_TEST_LONG");

    return wanted && strcmp(wanted, "1") == 0 ? cases * 25 : cases;
}

struct layout {
    int exp_bits, frac_bits;
};

static inline struct layout layout_of(enum value_kind kind)
{
    switch (kind) {
    case F16:
        return (struct layout){5, 10};
    case F32:
        return (struct layout){8, 23};
    default:
        return (struct layout){11, 52};
    }
}

static inline uint64_t layout_infinity(struct layout l)
{
    return ((UINT64_C(1) << l.exp_bits) - 1) << l.frac_bits;
}

static inline uint64_t layout_sign(struct layout l)
{
    return UINT64_C(1) << (l.exp_bits + l.frac_bits);
}

static inline bool layout_is_nan(struct layout l, uint64_t bits)
{
    return (bits & (layout_sign(l) - 1)) > layout_infinity(l);
}

/* xorshift64* (Marsaglia 2003, Vigna 2016). */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
    return (random_next(state) >> 32) % n;
}

/* `width` bits that are random, or a run of ones, or few ones at the top, or few at the bottom. */
static inline uint64_t random_digits(uint64_t *state, int width)
{
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    uint64_t v = random_next(state);
    int n = (int)random_below(state, (uint64_t)width);

    switch (random_below(state, 6)) {
    case 0:
        return v & mask;
    case 1:
        return (mask << n & mask) ^ (v & 1 ? mask : 0);
    case 2:
        return v << n & mask;
    case 3:
        return (v & mask) >> n;
    case 4:
        return (UINT64_C(1) << n) + (v & 3) - 1;
    default:
        return (v & 1 ? mask - (v >> 60) : v >> 60) & mask;
    }
}

static inline uint64_t random_float(uint64_t *state, struct layout l)
{
    uint64_t exp_max = (UINT64_C(1) << l.exp_bits) - 1, bias = exp_max >> 1;
    uint64_t frac = random_digits(state, l.frac_bits) & ((UINT64_C(1) << l.frac_bits) - 1);
    uint64_t sign = random_next(state) >> 63 ? layout_sign(l) : 0;
    uint64_t exp;

    switch (random_below(state, 8)) {
    case 0: /* zero, subnormals and the least normals */
        exp = random_below(state, 2);
        break;
    case 1: /* the top, with infinities and NaNs */
        exp = exp_max - random_below(state, 3);
        break;
    case 2:
        exp = random_below(state, exp_max + 1);
        break;
    case 3: /* far enough down for products and quotients to meet the edge */
        exp = bias / 2 + random_below(state, (uint64_t)l.frac_bits + 2);
        break;
    default: /* near one: sums align, conversions to integers fit */
        exp = bias + random_below(state, 70) - 3;
        if (exp > exp_max)
            exp = bias;
        break;
    }
    return sign | exp << l.frac_bits | frac;
}

/* A neighbour of `bits`: some places away, of either sign, its exponent close or far. */
static inline uint64_t random_relative(uint64_t *state, struct layout l, uint64_t bits)
{
    uint64_t far = (uint64_t)l.frac_bits + 3;

    switch (random_below(state, 3)) {
    case 0:
        bits += random_below(state, 9) - 4;
        break;
    case 1:
        bits += (random_below(state, 2 * far) - far) << l.frac_bits;
        break;
    default:
        bits = (bits & ~((UINT64_C(1) << l.frac_bits) - 1)) |
               (random_digits(state, l.frac_bits) & ((UINT64_C(1) << l.frac_bits) - 1));
        break;
    }
    return (bits ^ (random_next(state) & layout_sign(l))) & (layout_sign(l) * 2 - 1);
}

static inline void random_operands(uint64_t *state, enum op op, uint64_t in[3])
{
    const struct op_info *info = &op_info[op];
    struct layout l = layout_of(info->from);
    unsigned ignored = 0;

    switch (info->from) {
    case I32:
    case U32:
        in[0] = random_digits(state, 1 + (int)random_below(state, 32));
        in[0] = random_next(state) >> 63 ? -in[0] : in[0];
        in[0] = info->from == I32 ? (uint64_t)(int32_t)in[0] : (uint32_t)in[0];
        return;
    case I64:
    case U64:
        in[0] = random_digits(state, 1 + (int)random_below(state, 64));
        in[0] = random_next(state) >> 63 ? -in[0] : in[0];
        return;
    default:
        break;
    }
    for (int i = 0; i < 3; i++)
        in[i] = random_float(state, l);
    if (random_below(state, 2))
        in[1] = random_relative(state, l, in[0]);
    /* An addend that meets the product. */
    if (info->arity == 3 && random_below(state, 4) != 0) {
        uint64_t product = info->from == F32
                               ? f32_mul((uint32_t)in[0], (uint32_t)in[1], FLOAT_RNE, &ignored)
                               : f64_mul(in[0], in[1], FLOAT_RNE, &ignored);
        in[2] = random_relative(state, l, product);
    }
}

#endif
