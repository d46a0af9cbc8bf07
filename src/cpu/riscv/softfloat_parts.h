/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of every softfloat operation: an encoding taken apart, and an exact-but-for-a-
 * sticky-bit value rounded back into an encoding. Private to softfloat*.c.
 *
 * Everything here is generic in a format and inline: a public function names a constant format,
 * and the compiler folds the widths away.
 *
 * Invariants of a finite number:
 *   1. Its magnitude is sig * 2^(exp - SIG_POINT), subnormals included.
 *   2. Bit SIG_POINT of sig is set and bit 63 is clear: there is room for a carry.
 *   3. Bit 0 is sticky: it is set when anything nonzero was dropped below. No format keeps a bit
 *      below bit 10, so the sticky bit is never mistaken for half of the last place.
 */
#ifndef HOSPES_CPU_RISCV_SOFTFLOAT_PARTS_H
#define HOSPES_CPU_RISCV_SOFTFLOAT_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "cpu/riscv/softfloat.h"

/* Constant folding is the point: a call left in place would test widths at run time. */
#define FOLDED static inline __attribute__((always_inline))

#define SIG_POINT 62

struct float_format {
    int exp_bits;
    int frac_bits; /* without the hidden bit */
};

/* IEEE 754-2019, table 3.5. */
#define BINARY16 ((struct float_format){.exp_bits = 5, .frac_bits = 10})
#define BINARY32 ((struct float_format){.exp_bits = 8, .frac_bits = 23})
#define BINARY64 ((struct float_format){.exp_bits = 11, .frac_bits = 52})

enum float_kind {
    FLOAT_ZERO,
    FLOAT_FINITE, /* and not zero */
    FLOAT_INFINITY,
    FLOAT_QUIET,
    FLOAT_SIGNALING,
};

struct float_parts {
    uint64_t sig; /* with `exp`, meaningful for FLOAT_FINITE only */
    int exp;
    enum float_kind kind;
    bool sign;
};

FOLDED int float_bias(struct float_format f)
{
    return (1 << (f.exp_bits - 1)) - 1;
}

FOLDED uint64_t float_sign_bit(struct float_format f)
{
    return UINT64_C(1) << (f.exp_bits + f.frac_bits);
}

FOLDED uint64_t float_frac_mask(struct float_format f)
{
    return (UINT64_C(1) << f.frac_bits) - 1;
}

FOLDED uint64_t float_zero(struct float_format f, bool sign)
{
    return sign ? float_sign_bit(f) : 0;
}

FOLDED uint64_t float_infinity(struct float_format f, bool sign)
{
    return float_zero(f, sign) | ((UINT64_C(1) << f.exp_bits) - 1) << f.frac_bits;
}

FOLDED uint64_t float_canonical_nan(struct float_format f)
{
    return float_infinity(f, false) | UINT64_C(1) << (f.frac_bits - 1);
}

FOLDED uint64_t float_invalid(struct float_format f, unsigned *flags)
{
    *flags |= FLOAT_NV;
    return float_canonical_nan(f);
}

FOLDED bool float_is_nan(struct float_format f, uint64_t bits)
{
    return (bits & ~float_sign_bit(f)) > float_infinity(f, false);
}

/* The top fraction bit tells quiet from signaling (IEEE 754-2019, 6.2.1). */
FOLDED bool float_is_signaling(struct float_format f, uint64_t bits)
{
    return float_is_nan(f, bits) && !(bits >> (f.frac_bits - 1) & 1);
}

/* Shifts right by n >= 0, keeping what falls off as the sticky bit. */
FOLDED uint64_t shift_right_sticky(uint64_t v, int n)
{
    if (unlikely(n >= 64))
        return v != 0;
    return v >> n | ((v & ((UINT64_C(1) << n) - 1)) != 0);
}

FOLDED struct float_parts float_unpack(struct float_format f, uint64_t bits)
{
    const int exp_max = (1 << f.exp_bits) - 1;
    struct float_parts p = {.sign = (bits & float_sign_bit(f)) != 0, .kind = FLOAT_FINITE};
    uint64_t frac = bits & float_frac_mask(f);
    int biased = (int)(bits >> f.frac_bits) & exp_max;

    p.sig = (frac | UINT64_C(1) << f.frac_bits) << (SIG_POINT - f.frac_bits);
    p.exp = biased - float_bias(f);
    if (unlikely(biased == 0)) {
        if (frac == 0) {
            p.kind = FLOAT_ZERO;
        } else {
            int shift = __builtin_clzll(frac) - (63 - SIG_POINT);
            p.sig = frac << shift;
            p.exp = 1 - float_bias(f) + (SIG_POINT - f.frac_bits) - shift;
        }
    } else if (unlikely(biased == exp_max)) {
        if (frac == 0)
            p.kind = FLOAT_INFINITY;
        else
            p.kind = frac >> (f.frac_bits - 1) ? FLOAT_QUIET : FLOAT_SIGNALING;
    }
    return p;
}

/*
 * What to add to a significand so that dropping the bits under `mask` rounds it. `mask` is one
 * less than a power of two and `lsb` is the lowest bit kept (IEEE 754-2019, 4.3).
 */
FOLDED uint64_t rounding_increment(enum float_rounding rm, bool sign, uint64_t mask, unsigned lsb)
{
    switch (rm) {
    case FLOAT_RNE:
        return (mask >> 1) + lsb;
    case FLOAT_RMM:
        return (mask >> 1) + 1;
    case FLOAT_RDN:
        return sign ? mask : 0;
    case FLOAT_RUP:
        return sign ? 0 : mask;
    case FLOAT_RTZ:
        break;
    }
    return 0;
}

/* IEEE 754-2019, 7.4: the modes that round away from this sign's infinity stop short of it. */
FOLDED uint64_t float_overflow(struct float_format f, enum float_rounding rm, bool sign,
                               unsigned *flags)
{
    bool finite = rm == FLOAT_RTZ || rm == (sign ? FLOAT_RUP : FLOAT_RDN);

    *flags |= FLOAT_OF | FLOAT_NX;
    return float_infinity(f, sign) - finite;
}

/* Rounds a finite number that keeps the invariants above into format f. */
FOLDED uint64_t float_round_pack(struct float_format f, enum float_rounding rm, unsigned *flags,
                                 bool sign, int exp, uint64_t sig)
{
    const int drop = SIG_POINT - f.frac_bits;
    const uint64_t mask = (UINT64_C(1) << drop) - 1;
    const int exp_max = (1 << f.exp_bits) - 1;
    int biased = exp + float_bias(f);
    uint64_t increment = rounding_increment(rm, sign, mask, sig >> drop & 1);
    bool tiny = false;
    uint64_t magnitude;

    if (unlikely(biased <= 0)) {
        /* Tiny, unless rounding as if the exponent had no bound gives the least normal. */
        tiny = biased < 0 || !((sig + increment) >> (SIG_POINT + 1));
        sig = shift_right_sticky(sig, 1 - biased);
        increment = rounding_increment(rm, sign, mask, sig >> drop & 1);
        biased = 1;
    }
    if (unlikely(biased >= exp_max))
        return float_overflow(f, rm, sign, flags);

    /* The hidden bit, where there is one, and a carry out of the fraction both count up the
     * exponent field: hence the one taken off it. */
    magnitude = ((uint64_t)(biased - 1) << f.frac_bits) + ((sig + increment) >> drop);
    if (unlikely(magnitude >= float_infinity(f, false)))
        return float_overflow(f, rm, sign, flags);
    if (sig & mask)
        *flags |= FLOAT_NX | (tiny ? FLOAT_UF : 0);
    return magnitude | float_zero(f, sign);
}

/* The integer v * (sign ? -1 : 1), rounded into format f. */
FOLDED uint64_t float_from_integer(struct float_format f, enum float_rounding rm, unsigned *flags,
                                   bool sign, uint64_t v)
{
    int lead;

    if (v == 0)
        return 0;
    lead = 63 - __builtin_clzll(v);
    v = lead > SIG_POINT ? shift_right_sticky(v, 1) : v << (SIG_POINT - lead);
    return float_round_pack(f, rm, flags, sign, lead, v);
}

#endif
