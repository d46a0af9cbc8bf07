/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What orders and classifies encodings without computing: minimum and maximum, comparisons,
 * fclass, and the constants of fli.
 */
#include "base/compiler.h"
#include "cpu/riscv/softfloat.h"
#include "cpu/riscv/softfloat_parts.h"

/* a < b, with -0 below +0. Encodings of one sign are ordered as integers are. */
FOLDED bool is_below(struct float_format f, uint64_t a, uint64_t b)
{
    bool a_sign = (a & float_sign_bit(f)) != 0, b_sign = (b & float_sign_bit(f)) != 0;

    if (a_sign != b_sign)
        return a_sign;
    return a_sign ? a > b : a < b;
}

FOLDED bool are_zeros(struct float_format f, uint64_t a, uint64_t b)
{
    return ((a | b) & ~float_sign_bit(f)) == 0;
}

/* True when a and b are unordered; raises invalid for the NaNs that ask for it. */
FOLDED bool is_unordered(struct float_format f, uint64_t a, uint64_t b, bool quiet, unsigned *flags)
{
    if (likely(!float_is_nan(f, a) && !float_is_nan(f, b)))
        return false;
    if (!quiet || float_is_signaling(f, a) || float_is_signaling(f, b))
        *flags |= FLOAT_NV;
    return true;
}

FOLDED bool compare_eq(struct float_format f, uint64_t a, uint64_t b, unsigned *flags)
{
    if (is_unordered(f, a, b, true, flags))
        return false;
    return a == b || are_zeros(f, a, b);
}

FOLDED bool compare_lt(struct float_format f, uint64_t a, uint64_t b, bool quiet, unsigned *flags)
{
    if (is_unordered(f, a, b, quiet, flags))
        return false;
    return is_below(f, a, b) && !are_zeros(f, a, b);
}

FOLDED bool compare_le(struct float_format f, uint64_t a, uint64_t b, bool quiet, unsigned *flags)
{
    if (is_unordered(f, a, b, quiet, flags))
        return false;
    return !is_below(f, b, a) || are_zeros(f, a, b);
}

/* The lower or the higher of a and b; `propagate` makes one NaN enough for a NaN result. */
FOLDED uint64_t pick(struct float_format f, uint64_t a, uint64_t b, bool higher, bool propagate,
                     unsigned *flags)
{
    if (is_unordered(f, a, b, true, flags)) {
        if (propagate || (float_is_nan(f, a) && float_is_nan(f, b)))
            return float_canonical_nan(f);
        return float_is_nan(f, a) ? b : a;
    }
    return is_below(f, a, b) != higher ? a : b;
}

FOLDED unsigned classify(struct float_format f, uint64_t a)
{
    uint64_t magnitude = a & ~float_sign_bit(f);
    bool sign = magnitude != a;

    if (float_is_nan(f, a))
        return float_is_signaling(f, a) ? FLOAT_CLASS_SIGNALING_NAN : FLOAT_CLASS_QUIET_NAN;
    if (magnitude == float_infinity(f, false))
        return sign ? FLOAT_CLASS_NEGATIVE_INFINITY : FLOAT_CLASS_POSITIVE_INFINITY;
    if (magnitude == 0)
        return sign ? FLOAT_CLASS_NEGATIVE_ZERO : FLOAT_CLASS_POSITIVE_ZERO;
    if (magnitude <= float_frac_mask(f))
        return sign ? FLOAT_CLASS_NEGATIVE_SUBNORMAL : FLOAT_CLASS_POSITIVE_SUBNORMAL;
    return sign ? FLOAT_CLASS_NEGATIVE_NORMAL : FLOAT_CLASS_POSITIVE_NORMAL;
}

uint32_t f32_min(uint32_t a, uint32_t b, unsigned *flags)
{
    return (uint32_t)pick(BINARY32, a, b, false, false, flags);
}

uint32_t f32_max(uint32_t a, uint32_t b, unsigned *flags)
{
    return (uint32_t)pick(BINARY32, a, b, true, false, flags);
}

uint32_t f32_minm(uint32_t a, uint32_t b, unsigned *flags)
{
    return (uint32_t)pick(BINARY32, a, b, false, true, flags);
}

uint32_t f32_maxm(uint32_t a, uint32_t b, unsigned *flags)
{
    return (uint32_t)pick(BINARY32, a, b, true, true, flags);
}

uint64_t f64_min(uint64_t a, uint64_t b, unsigned *flags)
{
    return pick(BINARY64, a, b, false, false, flags);
}

uint64_t f64_max(uint64_t a, uint64_t b, unsigned *flags)
{
    return pick(BINARY64, a, b, true, false, flags);
}

uint64_t f64_minm(uint64_t a, uint64_t b, unsigned *flags)
{
    return pick(BINARY64, a, b, false, true, flags);
}

uint64_t f64_maxm(uint64_t a, uint64_t b, unsigned *flags)
{
    return pick(BINARY64, a, b, true, true, flags);
}

bool f32_eq(uint32_t a, uint32_t b, unsigned *flags)
{
    return compare_eq(BINARY32, a, b, flags);
}

bool f32_lt(uint32_t a, uint32_t b, unsigned *flags)
{
    return compare_lt(BINARY32, a, b, false, flags);
}

bool f32_le(uint32_t a, uint32_t b, unsigned *flags)
{
    return compare_le(BINARY32, a, b, false, flags);
}

bool f32_ltq(uint32_t a, uint32_t b, unsigned *flags)
{
    return compare_lt(BINARY32, a, b, true, flags);
}

bool f32_leq(uint32_t a, uint32_t b, unsigned *flags)
{
    return compare_le(BINARY32, a, b, true, flags);
}

bool f64_eq(uint64_t a, uint64_t b, unsigned *flags)
{
    return compare_eq(BINARY64, a, b, flags);
}

bool f64_lt(uint64_t a, uint64_t b, unsigned *flags)
{
    return compare_lt(BINARY64, a, b, false, flags);
}

bool f64_le(uint64_t a, uint64_t b, unsigned *flags)
{
    return compare_le(BINARY64, a, b, false, flags);
}

bool f64_ltq(uint64_t a, uint64_t b, unsigned *flags)
{
    return compare_lt(BINARY64, a, b, true, flags);
}

bool f64_leq(uint64_t a, uint64_t b, unsigned *flags)
{
    return compare_le(BINARY64, a, b, true, flags);
}

unsigned f32_class(uint32_t a)
{
    return classify(BINARY32, a);
}

unsigned f64_class(uint64_t a)
{
    return classify(BINARY64, a);
}

/*
 * The table of Zfa as powers of two and quarters, from which both formats are built: the value is
 * (4 + quarters) / 4 * 2^exp. Entries 0, 1, 30 and 31 have no such form.
 */
static const struct {
    int8_t exp, quarters;
} fli_values[32] = {
    [2] = {-16, 0}, [3] = {-15, 0}, [4] = {-8, 0},  [5] = {-7, 0},  [6] = {-4, 0},  [7] = {-3, 0},
    [8] = {-2, 0},  [9] = {-2, 1},  [10] = {-2, 2}, [11] = {-2, 3}, [12] = {-1, 0}, [13] = {-1, 1},
    [14] = {-1, 2}, [15] = {-1, 3}, [16] = {0, 0},  [17] = {0, 1},  [18] = {0, 2},  [19] = {0, 3},
    [20] = {1, 0},  [21] = {1, 1},  [22] = {1, 2},  [23] = {2, 0},  [24] = {3, 0},  [25] = {4, 0},
    [26] = {7, 0},  [27] = {8, 0},  [28] = {15, 0}, [29] = {16, 0},
};

FOLDED uint64_t constant(struct float_format f, unsigned rs1)
{
    const uint64_t one = (uint64_t)float_bias(f) << f.frac_bits;
    const unsigned row = rs1 & 31;

    switch (row) {
    case 0:
        return float_sign_bit(f) | one;
    case 1: /* the least positive normal number */
        return UINT64_C(1) << f.frac_bits;
    case 30:
        return float_infinity(f, false);
    case 31:
        return float_canonical_nan(f);
    default:
        return ((uint64_t)(float_bias(f) + fli_values[row].exp) << f.frac_bits) +
               ((uint64_t)fli_values[row].quarters << (f.frac_bits - 2));
    }
}

uint32_t f32_constant(unsigned rs1)
{
    return (uint32_t)constant(BINARY32, rs1);
}

uint64_t f64_constant(unsigned rs1)
{
    return constant(BINARY64, rs1);
}
