/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sum, product, quotient, square root and fused multiply-add. Each is one function generic in the
 * format, which computes the result exactly but for a sticky bit and rounds it once; the public
 * functions at the end name the format.
 */
#include "cpu/riscv/softfloat.h"

#include "base/compiler.h"
#include "cpu/riscv/softfloat_parts.h"

typedef unsigned __int128 uint128;

FOLDED uint128 shift_right_sticky_128(uint128 v, int n)
{
    if (unlikely(n >= 128))
        return v != 0;
    return v >> n | ((v & (((uint128)1 << n) - 1)) != 0);
}

/* An exact zero from operands that differ in sign (IEEE 754-2019, 6.3). */
FOLDED uint64_t cancelled_zero(struct float_format f, enum float_rounding rm)
{
    return float_zero(f, rm == FLOAT_RDN);
}

/* The result of an operation with a NaN among its operands. */
FOLDED uint64_t nan_result(struct float_format f, bool signaling, unsigned *flags)
{
    return signaling ? float_invalid(f, flags) : float_canonical_nan(f);
}

/* a + b where at least one is not finite or is zero. */
FOLDED uint64_t add_special(struct float_format f, struct float_parts a, uint64_t a_bits,
                            struct float_parts b, uint64_t b_bits, enum float_rounding rm,
                            unsigned *flags)
{
    if (a.kind >= FLOAT_QUIET || b.kind >= FLOAT_QUIET)
        return nan_result(f, a.kind == FLOAT_SIGNALING || b.kind == FLOAT_SIGNALING, flags);
    if (a.kind == FLOAT_INFINITY && b.kind == FLOAT_INFINITY && a.sign != b.sign)
        return float_invalid(f, flags);
    if (a.kind == FLOAT_ZERO && b.kind == FLOAT_ZERO && a.sign != b.sign)
        return cancelled_zero(f, rm);
    return a.kind == FLOAT_INFINITY || b.kind == FLOAT_ZERO ? a_bits : b_bits;
}

FOLDED uint64_t add(struct float_format f, uint64_t a_bits, uint64_t b_bits, enum float_rounding rm,
                    unsigned *flags)
{
    struct float_parts a = float_unpack(f, a_bits), b = float_unpack(f, b_bits);
    uint64_t sig;
    int lead;

    if (unlikely(a.kind != FLOAT_FINITE || b.kind != FLOAT_FINITE))
        return add_special(f, a, a_bits, b, b_bits, rm, flags);
    if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
        struct float_parts larger = b;
        b = a;
        a = larger;
    }
    b.sig = shift_right_sticky(b.sig, a.exp - b.exp);
    if (a.sign == b.sign) {
        sig = a.sig + b.sig;
        if (sig >> (SIG_POINT + 1)) {
            sig = shift_right_sticky(sig, 1);
            a.exp++;
        }
        return float_round_pack(f, rm, flags, a.sign, a.exp, sig);
    }
    sig = a.sig - b.sig;
    if (sig == 0)
        return cancelled_zero(f, rm);
    /* More than one leading bit cancels only when the exponents differ by at most one, and then
     * nothing was dropped: the sticky bit moves up by one place at most. */
    lead = __builtin_clzll(sig) - (63 - SIG_POINT);
    return float_round_pack(f, rm, flags, a.sign, a.exp - lead, sig << lead);
}

FOLDED uint64_t mul(struct float_format f, uint64_t a_bits, uint64_t b_bits, enum float_rounding rm,
                    unsigned *flags)
{
    struct float_parts a = float_unpack(f, a_bits), b = float_unpack(f, b_bits);
    bool sign = a.sign != b.sign;
    int exp = a.exp + b.exp;
    uint64_t sig;

    if (unlikely(a.kind != FLOAT_FINITE || b.kind != FLOAT_FINITE)) {
        if (a.kind >= FLOAT_QUIET || b.kind >= FLOAT_QUIET)
            return nan_result(f, a.kind == FLOAT_SIGNALING || b.kind == FLOAT_SIGNALING, flags);
        if (a.kind != FLOAT_INFINITY && b.kind != FLOAT_INFINITY)
            return float_zero(f, sign);
        if (a.kind == FLOAT_ZERO || b.kind == FLOAT_ZERO)
            return float_invalid(f, flags);
        return float_infinity(f, sign);
    }
    /* The product of two numbers in [1, 2) is in [1, 4). */
    sig = (uint64_t)shift_right_sticky_128((uint128)a.sig * b.sig, SIG_POINT);
    if (sig >> (SIG_POINT + 1)) {
        sig = shift_right_sticky(sig, 1);
        exp++;
    }
    return float_round_pack(f, rm, flags, sign, exp, sig);
}

FOLDED uint64_t div(struct float_format f, uint64_t a_bits, uint64_t b_bits, enum float_rounding rm,
                    unsigned *flags)
{
    struct float_parts a = float_unpack(f, a_bits), b = float_unpack(f, b_bits);
    bool sign = a.sign != b.sign;
    int exp = a.exp - b.exp;
    uint128 dividend;
    uint64_t sig;

    if (unlikely(a.kind != FLOAT_FINITE || b.kind != FLOAT_FINITE)) {
        if (a.kind >= FLOAT_QUIET || b.kind >= FLOAT_QUIET)
            return nan_result(f, a.kind == FLOAT_SIGNALING || b.kind == FLOAT_SIGNALING, flags);
        if (a.kind == b.kind) /* 0 / 0 or infinity / infinity */
            return float_invalid(f, flags);
        if (a.kind == FLOAT_ZERO || b.kind == FLOAT_INFINITY)
            return float_zero(f, sign);
        if (a.kind == FLOAT_FINITE)
            *flags |= FLOAT_DZ;
        return float_infinity(f, sign);
    }
    /* The quotient of two numbers in [1, 2) is in (1/2, 2): one more place when it is below 1. */
    dividend = (uint128)a.sig << SIG_POINT;
    if (a.sig < b.sig) {
        dividend <<= 1;
        exp--;
    }
    sig = (uint64_t)(dividend / b.sig);
    if (dividend - (uint128)sig * b.sig != 0)
        sig |= 1;
    return float_round_pack(f, rm, flags, sign, exp, sig);
}

/*
 * Integer square roots, each from the one of half the width (P. Zimmermann, "Karatsuba Square
 * Root", INRIA RR-3805, 1999): the root of the upper half and its remainder divide the next
 * quarter of the digits, and the estimate so found is at most one too large.
 *
 * `n` has one of its two top bits set. The results keep root^2 + remainder = n and
 * 0 <= remainder <= 2 * root.
 */
struct root32 {
    uint32_t root, remainder;
};

struct root64 {
    uint64_t root, remainder;
};

/* The last level: eight steps, a bit of the root each. */
static uint32_t root_of_16_bits(uint32_t n)
{
    uint32_t root = 0;

    for (uint32_t bit = 0x80; bit != 0; bit >>= 1)
        root |= (root | bit) * (root | bit) <= n ? bit : 0;
    return root;
}

static struct root32 root_of_32_bits(uint32_t n)
{
    uint32_t high = root_of_16_bits(n >> 16);
    uint32_t rest = (n >> 16) - high * high;
    uint32_t digits = rest << 8 | (n >> 8 & 0xff);
    uint32_t estimate = (high << 8) + digits / (2 * high);
    int64_t remainder = (int64_t)n - (int64_t)((uint64_t)estimate * estimate);

    if (remainder < 0) {
        remainder += 2 * (int64_t)estimate - 1;
        estimate--;
    }
    return (struct root32){.root = estimate, .remainder = (uint32_t)remainder};
}

static struct root64 root_of_64_bits(uint64_t n)
{
    struct root32 high = root_of_32_bits(n >> 32);
    uint64_t digits = (uint64_t)high.remainder << 16 | (n >> 16 & 0xffff);
    uint64_t estimate = ((uint64_t)high.root << 16) + digits / (2 * (uint64_t)high.root);
    __int128 remainder = (__int128)n - (__int128)((uint128)estimate * estimate);

    if (remainder < 0) {
        remainder += 2 * (__int128)estimate - 1;
        estimate--;
    }
    return (struct root64){.root = estimate, .remainder = (uint64_t)remainder};
}

/*
 * The root of a number of 128 bits, with the sticky bit for a remainder. `n` is a significand of
 * binary64 shifted left, so at most 2^128 - 2^75: an estimate one too large still fits 64 bits.
 */
static uint64_t root_of_128_bits_sticky(uint128 n)
{
    struct root64 high = root_of_64_bits((uint64_t)(n >> 64));
    uint128 digits = (uint128)high.remainder << 32 | (uint32_t)(n >> 32);
    uint128 divisor = 2 * (uint128)high.root;
    uint128 estimate = ((uint128)high.root << 32) + digits / divisor;

    if (estimate * estimate > n)
        estimate--;
    return (uint64_t)estimate | (estimate * estimate != n);
}

FOLDED uint64_t sqrt_of(struct float_format f, uint64_t bits, enum float_rounding rm,
                        unsigned *flags)
{
    struct float_parts a = float_unpack(f, bits);
    int odd = a.exp & 1;
    uint64_t sig;

    if (a.kind >= FLOAT_QUIET)
        return nan_result(f, a.kind == FLOAT_SIGNALING, flags);
    if (a.kind == FLOAT_ZERO)
        return bits; /* -0 too (IEEE 754-2019, 5.4.1) */
    if (a.sign)
        return float_invalid(f, flags);
    if (a.kind == FLOAT_INFINITY)
        return bits;
    /* With an even exponent the significand is in [1, 4) and its root in [1, 2). binary32 is
     * served by 32 bits of root; binary64 takes 64, of which bit 0 is folded into the sticky. */
    if (f.frac_bits <= 23) {
        struct root64 r = root_of_64_bits(a.sig << odd);
        sig = r.root << (SIG_POINT - 31) | (r.remainder != 0);
    } else {
        sig = shift_right_sticky(root_of_128_bits_sticky((uint128)a.sig << (64 + odd)), 1);
    }
    return float_round_pack(f, rm, flags, false, (a.exp - odd) / 2, sig);
}

/* a * b + c where one of them is not finite, or a or b is zero. */
FOLDED uint64_t fma_special(struct float_format f, struct float_parts a, struct float_parts b,
                            struct float_parts c, uint64_t c_bits, enum float_rounding rm,
                            unsigned *flags)
{
    bool product_sign = a.sign != b.sign;
    bool product_infinite = a.kind == FLOAT_INFINITY || b.kind == FLOAT_INFINITY;
    bool signaling =
        a.kind == FLOAT_SIGNALING || b.kind == FLOAT_SIGNALING || c.kind == FLOAT_SIGNALING;

    if (a.kind >= FLOAT_QUIET || b.kind >= FLOAT_QUIET)
        return nan_result(f, signaling, flags);
    /* Before the look at c: F asks for invalid here even when c is a quiet NaN. */
    if (product_infinite && (a.kind == FLOAT_ZERO || b.kind == FLOAT_ZERO))
        return float_invalid(f, flags);
    if (c.kind >= FLOAT_QUIET)
        return nan_result(f, signaling, flags);
    if (product_infinite) {
        if (c.kind == FLOAT_INFINITY && c.sign != product_sign)
            return float_invalid(f, flags);
        return float_infinity(f, product_sign);
    }
    /* The product is zero, or c is infinite. */
    if (c.kind == FLOAT_ZERO && c.sign != product_sign)
        return cancelled_zero(f, rm);
    return c_bits;
}

FOLDED uint64_t fma_of(struct float_format f, uint64_t a_bits, uint64_t b_bits, uint64_t c_bits,
                       enum float_rounding rm, unsigned *flags)
{
    struct float_parts a = float_unpack(f, a_bits), b = float_unpack(f, b_bits);
    struct float_parts c = float_unpack(f, c_bits);
    bool sign = a.sign != b.sign;
    int exp = a.exp + b.exp + 1;
    uint128 product, addend;
    int lead;

    if (unlikely(a.kind != FLOAT_FINITE || b.kind != FLOAT_FINITE || c.kind >= FLOAT_INFINITY))
        return fma_special(f, a, b, c, c_bits, rm, flags);

    /* As add(), in 128 bits with the point at bit 126: the product is then exact. */
    product = (uint128)a.sig * b.sig << 1;
    if (!(product >> 126)) {
        product <<= 1;
        exp--;
    }
    addend = (uint128)c.sig << 64;
    if (c.kind == FLOAT_ZERO) {
        addend = 0;
    } else if (exp >= c.exp) {
        addend = shift_right_sticky_128(addend, exp - c.exp);
    } else {
        product = shift_right_sticky_128(product, c.exp - exp);
        exp = c.exp;
    }
    if (sign == c.sign) {
        product += addend;
    } else if (product >= addend) {
        product -= addend;
    } else {
        product = addend - product;
        sign = c.sign;
    }
    if (product == 0)
        return cancelled_zero(f, rm);
    if (product >> 127) {
        product = shift_right_sticky_128(product, 1);
        exp++;
    }
    /* As in add(): only an exact difference loses more than one leading bit. */
    lead = product >> 64 ? __builtin_clzll((uint64_t)(product >> 64)) - 1
                         : __builtin_clzll((uint64_t)product) + 63;
    return float_round_pack(f, rm, flags, sign, exp - lead,
                            (uint64_t)shift_right_sticky_128(product << lead, 64));
}

uint32_t f32_add(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)add(BINARY32, a, b, rm, flags);
}

/* A NaN with its sign flipped is a NaN of the same kind, and no sign of a NaN is ever passed on. */
uint32_t f32_sub(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)add(BINARY32, a, b ^ float_sign_bit(BINARY32), rm, flags);
}

uint32_t f32_mul(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)mul(BINARY32, a, b, rm, flags);
}

uint32_t f32_div(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)div(BINARY32, a, b, rm, flags);
}

uint32_t f32_sqrt(uint32_t a, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)sqrt_of(BINARY32, a, rm, flags);
}

uint32_t f32_fma(uint32_t a, uint32_t b, uint32_t c, enum float_rounding rm, unsigned *flags)
{
    return (uint32_t)fma_of(BINARY32, a, b, c, rm, flags);
}

uint64_t f64_add(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags)
{
    return add(BINARY64, a, b, rm, flags);
}

uint64_t f64_sub(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags)
{
    return add(BINARY64, a, b ^ float_sign_bit(BINARY64), rm, flags);
}

uint64_t f64_mul(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags)
{
    return mul(BINARY64, a, b, rm, flags);
}

uint64_t f64_div(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags)
{
    return div(BINARY64, a, b, rm, flags);
}

uint64_t f64_sqrt(uint64_t a, enum float_rounding rm, unsigned *flags)
{
    return sqrt_of(BINARY64, a, rm, flags);
}

uint64_t f64_fma(uint64_t a, uint64_t b, uint64_t c, enum float_rounding rm, unsigned *flags)
{
    return fma_of(BINARY64, a, b, c, rm, flags);
}
