/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions: to and from integers, to an integral value, and between formats.
 */
#include "base/compiler.h"
#include "cpu/riscv/softfloat.h"
#include "cpu/riscv/softfloat_parts.h"

/*
 * The magnitude of a finite number, rounded to an integer. The exponent is at most 63, so that it
 * fits; `*inexact` tells whether a fraction was dropped.
 */
FOLDED uint64_t magnitude_to_integer(struct float_parts a, enum float_rounding rm, bool *inexact)
{
    int places = SIG_POINT - a.exp; /* how many bits of sig are fraction */
    uint64_t whole, fraction;       /* fraction: in units of 2^-64 */

    if (places <= 0) {
        *inexact = false;
        return a.sig << -places;
    }
    if (places < 64) {
        whole = a.sig >> places;
        fraction = a.sig << (64 - places);
    } else {
        whole = 0;
        fraction = 1; /* anything between 0 and a half */
    }
    *inexact = fraction != 0;
    /* Rounding is a carry out of the fraction. */
    return whole + __builtin_add_overflow(fraction,
                                          rounding_increment(rm, a.sign, UINT64_MAX, whole & 1),
                                          &fraction);
}

/* The integer types that the instructions convert to. */
struct integer_range {
    uint64_t max;         /* the largest value */
    uint64_t min_negated; /* the magnitude of the least one */
};

#define RANGE_I32 ((struct integer_range){.max = INT32_MAX, .min_negated = UINT64_C(1) << 31})
#define RANGE_U32 ((struct integer_range){.max = UINT32_MAX, .min_negated = 0})
#define RANGE_I64 ((struct integer_range){.max = INT64_MAX, .min_negated = UINT64_C(1) << 63})
#define RANGE_U64 ((struct integer_range){.max = UINT64_MAX, .min_negated = 0})

/* The result in two's complement, in as many low bits as the range needs. */
FOLDED uint64_t to_integer(struct float_format f, struct integer_range range, uint64_t bits,
                           enum float_rounding rm, unsigned *flags)
{
    struct float_parts a = float_unpack(f, bits);
    uint64_t limit = a.sign ? range.min_negated : range.max;

    if (a.kind == FLOAT_ZERO)
        return 0;
    if (a.kind >= FLOAT_QUIET) {
        *flags |= FLOAT_NV;
        return range.max;
    }
    if (likely(a.kind == FLOAT_FINITE && a.exp <= 63)) {
        bool inexact;
        uint64_t v = magnitude_to_integer(a, rm, &inexact);

        if (likely(v <= limit)) {
            if (inexact)
                *flags |= FLOAT_NX;
            return a.sign ? -v : v;
        }
    }
    *flags |= FLOAT_NV;
    return a.sign ? -limit : limit;
}

FOLDED uint64_t to_integral(struct float_format f, uint64_t bits, enum float_rounding rm,
                            bool raise_inexact, unsigned *flags)
{
    struct float_parts a = float_unpack(f, bits);
    unsigned exact_flags = 0;
    bool inexact;
    uint64_t v;

    if (a.kind >= FLOAT_QUIET)
        return a.kind == FLOAT_SIGNALING ? float_invalid(f, flags) : float_canonical_nan(f);
    /* From 2^frac_bits on every value is an integer. */
    if (a.kind != FLOAT_FINITE || a.exp >= f.frac_bits)
        return bits;
    v = magnitude_to_integer(a, rm, &inexact);
    if (inexact && raise_inexact)
        *flags |= FLOAT_NX;
    return float_from_integer(f, rm, &exact_flags, false, v) | float_zero(f, a.sign);
}

FOLDED uint64_t to_format(struct float_format to, struct float_format from, uint64_t bits,
                          enum float_rounding rm, unsigned *flags)
{
    struct float_parts a = float_unpack(from, bits);

    switch (a.kind) {
    case FLOAT_ZERO:
        return float_zero(to, a.sign);
    case FLOAT_INFINITY:
        return float_infinity(to, a.sign);
    case FLOAT_QUIET:
        return float_canonical_nan(to);
    case FLOAT_SIGNALING:
        return float_invalid(to, flags);
    case FLOAT_FINITE:
        break;
    }
    return float_round_pack(to, rm, flags, a.sign, a.exp, a.sig);
}

/* The magnitude of a signed integer, INT64_MIN included. */
FOLDED uint64_t magnitude_of(int64_t v)
{
    return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

uint32_t f32_round(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)to_integral(BINARY32, a, rm, false, flags);
}

uint32_t f32_roundnx(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)to_integral(BINARY32, a, rm, true, flags);
}

uint64_t f64_round(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return to_integral(BINARY64, a, rm, false, flags);
}

uint64_t f64_roundnx(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return to_integral(BINARY64, a, rm, true, flags);
}

int32_t f32_to_i32(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (int32_t)to_integer(BINARY32, RANGE_I32, a, rm, flags);
}

uint32_t f32_to_u32(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)to_integer(BINARY32, RANGE_U32, a, rm, flags);
}

int64_t f32_to_i64(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (int64_t)to_integer(BINARY32, RANGE_I64, a, rm, flags);
}

uint64_t f32_to_u64(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return to_integer(BINARY32, RANGE_U64, a, rm, flags);
}

int32_t f64_to_i32(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return (int32_t)to_integer(BINARY64, RANGE_I32, a, rm, flags);
}

uint32_t f64_to_u32(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)to_integer(BINARY64, RANGE_U32, a, rm, flags);
}

int64_t f64_to_i64(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return (int64_t)to_integer(BINARY64, RANGE_I64, a, rm, flags);
}

uint64_t f64_to_u64(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return to_integer(BINARY64, RANGE_U64, a, rm, flags);
}

int32_t f64_to_i32_modular(uint64_t a, unsigned *flags)
{
    struct float_parts p = float_unpack(BINARY64, a);
    int32_t saturated = (int32_t)to_integer(BINARY64, RANGE_I32, a, FLOAT_RTZ, flags);
    uint32_t v;

    if (p.kind != FLOAT_FINITE)
        return 0;
    if (p.exp < 31)
        return saturated;
    /* The lowest set bit can be frac_bits below the leading one: all beyond is zero mod 2^32. */
    if (p.exp >= BINARY64.frac_bits + 32)
        return 0;
    v = (uint32_t)(p.exp <= SIG_POINT ? p.sig >> (SIG_POINT - p.exp)
                                      : p.sig << (p.exp - SIG_POINT));
    return (int32_t)(p.sign ? -v : v);
}

uint32_t f32_from_i32(int32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)float_from_integer(BINARY32, rm, flags, a < 0, magnitude_of(a));
}

uint32_t f32_from_u32(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)float_from_integer(BINARY32, rm, flags, false, a);
}

uint32_t f32_from_i64(int64_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)float_from_integer(BINARY32, rm, flags, a < 0, magnitude_of(a));
}

uint32_t f32_from_u64(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)float_from_integer(BINARY32, rm, flags, false, a);
}

uint64_t f64_from_i32(int32_t a)
{
    unsigned exact_flags = 0;

    return float_from_integer(BINARY64, FLOAT_RTZ, &exact_flags, a < 0, magnitude_of(a));
}

uint64_t f64_from_u32(uint32_t a)
{
    unsigned exact_flags = 0;

    return float_from_integer(BINARY64, FLOAT_RTZ, &exact_flags, false, a);
}

uint64_t f64_from_i64(int64_t a, enum float_rounding rm, unsigned *flags)
{
    return float_from_integer(BINARY64, rm, flags, a < 0, magnitude_of(a));
}

uint64_t f64_from_u64(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return float_from_integer(BINARY64, rm, flags, false, a);
}

uint32_t f32_from_f16(uint16_t a, unsigned *flags)
{
    return (uint32_t)to_format(BINARY32, BINARY16, a, FLOAT_RTZ, flags);
}

uint64_t f64_from_f16(uint16_t a, unsigned *flags)
{
    return to_format(BINARY64, BINARY16, a, FLOAT_RTZ, flags);
}

uint64_t f64_from_f32(uint32_t a, unsigned *flags)
{
    return to_format(BINARY64, BINARY32, a, FLOAT_RTZ, flags);
}

uint16_t f16_from_f32(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint16_t)to_format(BINARY16, BINARY32, a, rm, flags);
}

uint16_t f16_from_f64(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint16_t)to_format(BINARY16, BINARY64, a, rm, flags);
}

uint32_t f32_from_f64(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)to_format(BINARY32, BINARY64, a, rm, flags);
}
