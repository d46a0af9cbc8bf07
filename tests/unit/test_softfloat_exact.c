/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softfloat judged by exact integers of 4608 bits, in every rounding mode. The judge computes no
 * result: it compares the exact value, which a sum of products tells, with the neighbours of the
 * result it was given and with the point half-way, and says what IEEE 754-2019 asks for.
 *
 * The seed is fixed; HOSPES_TEST_LONG=1 in the environment multiplies the cases by 25.
 */
/* cmocka.h leans on the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "base/compiler.h"
#include "cpu/riscv/softfloat.h"
#include "softfloat_operands.h"
#include "softfloat_ops.h"

#define CASES 20000 /* an operation, shared out over the modes */

/* The number m * 2^exp, negated where `sign`. */
struct dyadic {
    bool sign;
    uint64_t m;
    int exp;
};

/*
 * A sum of products of dyadics, its positive and its negative terms apart. Products of binary64
 * numbers and of points half-way between them lie between 2^-2200 and 2^2100.
 */
#define EXACT_WORDS 72
#define EXACT_POINT 2240

struct exact {
    uint64_t plus[EXACT_WORDS], minus[EXACT_WORDS];
};

static void exact_add(struct exact *e, bool negate, struct dyadic a, struct dyadic b)
{
    uint64_t *words = (a.sign ^ b.sign ^ negate) ? e->minus : e->plus;
    unsigned __int128 product = (unsigned __int128)a.m * b.m;
    int position = a.exp + b.exp + EXACT_POINT;
    int word = position / 64, shift = position % 64;
    uint64_t parts[3] = {
        (uint64_t)(product << shift),
        (uint64_t)((product << shift) >> 64),
        shift ? (uint64_t)(product >> (128 - shift)) : 0,
    };
    bool carry = false;

    if (product == 0)
        return;
    assert_true(position >= 0 && word + 3 < EXACT_WORDS);
    for (int i = 0; i < 3 || carry; i++) {
        uint64_t part = i < 3 ? parts[i] : 0, sum;
        bool first = __builtin_add_overflow(words[word + i], part, &sum);
        carry = __builtin_add_overflow(sum, (uint64_t)carry, &words[word + i]) || first;
    }
}

/* -1, 0 or 1. */
static int exact_sign(const struct exact *e)
{
    for (int i = EXACT_WORDS - 1; i >= 0; i--) {
        if (e->plus[i] != e->minus[i])
            return e->plus[i] > e->minus[i] ? 1 : -1;
    }
    return 0;
}

/* A finite encoding's value; an infinity's is the power of two that follows the largest. */
static struct dyadic dyadic_of(enum value_kind kind, uint64_t bits)
{
    struct layout l = layout_of(kind);
    uint64_t magnitude = bits & (layout_sign(l) - 1);
    uint64_t frac = magnitude & ((UINT64_C(1) << l.frac_bits) - 1);
    int field = (int)(magnitude >> l.frac_bits);
    int unit = 2 - (1 << (l.exp_bits - 1)) - l.frac_bits; /* the least subnormal's exponent */

    switch (kind) {
    case I32:
    case I64:
        return (struct dyadic){(int64_t)bits < 0, (int64_t)bits < 0 ? -bits : bits, 0};
    case U32:
    case U64:
        return (struct dyadic){false, bits, 0};
    default:
        break;
    }
    if (field == 0)
        return (struct dyadic){bits != magnitude, frac, unit};
    return (struct dyadic){bits != magnitude, frac | UINT64_C(1) << l.frac_bits, unit + field - 1};
}

/* The sign of (exact result - v). The operands are finite and the result is defined. */
static int compare_result(enum op op, const uint64_t in[3], struct dyadic v)
{
    const struct dyadic one = {false, 1, 0};
    struct dyadic a = dyadic_of(op_info[op].from, in[0]);
    struct dyadic b = dyadic_of(op_info[op].from, in[1]);
    struct dyadic c = dyadic_of(op_info[op].from, in[2]);
    struct exact e = {0};

    switch (op) {
    case OP_f32_add:
    case OP_f64_add:
        exact_add(&e, false, a, one);
        exact_add(&e, false, b, one);
        break;
    case OP_f32_sub:
    case OP_f64_sub:
        exact_add(&e, false, a, one);
        exact_add(&e, true, b, one);
        break;
    case OP_f32_mul:
    case OP_f64_mul:
        exact_add(&e, false, a, b);
        break;
    case OP_f32_fma:
    case OP_f64_fma:
        exact_add(&e, false, a, b);
        exact_add(&e, false, c, one);
        break;
    case OP_f32_div:
    case OP_f64_div: /* a / b - v has the sign of (a - v b) b */
        exact_add(&e, b.sign, a, one);
        exact_add(&e, !b.sign, v, b);
        return exact_sign(&e);
    case OP_f32_sqrt:
    case OP_f64_sqrt: /* v is not negative: no result is */
        exact_add(&e, false, a, one);
        exact_add(&e, true, v, v);
        return exact_sign(&e);
    default: /* conversions */
        exact_add(&e, false, a, one);
        break;
    }
    exact_add(&e, true, v, one);
    return exact_sign(&e);
}

static bool is_finite(enum value_kind kind, uint64_t bits)
{
    struct layout l = layout_of(kind);

    return (bits & layout_infinity(l)) != layout_infinity(l);
}

/* Whether the exact result is a number at all; infinities and NaNs are for the other tests. */
static bool has_exact_result(enum op op, const uint64_t in[3])
{
    const struct op_info *info = &op_info[op];

    if (info->from == I32 || info->from == U32 || info->from == I64 || info->from == U64)
        return true;
    for (int i = 0; i < info->arity; i++) {
        if (!is_finite(info->from, in[i]))
            return false;
    }
    if (op == OP_f32_div || op == OP_f64_div)
        return dyadic_of(info->from, in[1]).m != 0;
    if (op == OP_f32_sqrt || op == OP_f64_sqrt)
        return !dyadic_of(info->from, in[0]).sign;
    return true;
}

/* An operation, its operands, and the sign of its exact result: what the judge asks about. */
struct question {
    enum op op;
    const uint64_t *in;
    int sign;
};

/* The sign of (|exact result| - m * 2^exp). */
static int compare_magnitude(const struct question *q, uint64_t m, int exp)
{
    struct dyadic v = {.sign = q->sign < 0, .m = m, .exp = exp};

    return q->sign * compare_result(q->op, q->in, v);
}

static int compare_encoding(const struct question *q, uint64_t magnitude)
{
    struct dyadic v = dyadic_of(op_info[q->op].to, magnitude);

    return compare_magnitude(q, v.m, v.exp);
}

enum direction {
    TO_NEAREST,
    AWAY,   /* from zero */
    INWARD, /* towards zero */
};

static enum direction direction_of(enum float_rounding rm, bool negative)
{
    if (rm == FLOAT_RNE || rm == FLOAT_RMM)
        return TO_NEAREST;
    if (rm == FLOAT_RTZ)
        return INWARD;
    return (rm == FLOAT_RDN) == negative ? AWAY : INWARD;
}

/*
 * Whether a result below the least normal is tiny: it is, unless rounding to the same number of
 * digits with an unbounded exponent gives the least normal (IEEE 754-2019, 7.5 a). There the
 * last place is half of the subnormals' one.
 */
static bool is_tiny(const struct question *q, enum direction direction)
{
    struct layout l = layout_of(op_info[q->op].to);
    int unit = dyadic_of(op_info[q->op].to, 1).exp;

    switch (direction) {
    case AWAY:
        return compare_magnitude(q, (UINT64_C(2) << l.frac_bits) - 1, unit - 1) <= 0;
    case TO_NEAREST: /* the tie goes up: all ones is odd */
        return compare_magnitude(q, (UINT64_C(4) << l.frac_bits) - 1, unit - 2) < 0;
    case INWARD:
        break;
    }
    return true;
}

/* The flags that a right result comes with, or -1 for a wrong result. */
static int judge(const struct question *q, enum float_rounding rm, uint64_t out)
{
    struct layout l = layout_of(op_info[q->op].to);
    enum direction direction = direction_of(rm, q->sign < 0);
    uint64_t magnitude = out & (layout_sign(l) - 1), infinity = layout_infinity(l);
    uint64_t below; /* the neighbour towards zero of the exact magnitude */
    struct dyadic v;
    int order, half, flags;
    bool up;

    if (q->sign == 0)
        return magnitude == 0 ? 0 : -1;
    if (magnitude > infinity || (out != magnitude) != (q->sign < 0))
        return -1;
    if (compare_encoding(q, infinity) >= 0)
        return magnitude == infinity - (direction == INWARD) ? FLOAT_OF | FLOAT_NX : -1;

    order = compare_encoding(q, magnitude);
    if (order == 0)
        return 0;
    below = order > 0 ? magnitude : magnitude - 1;
    if (compare_encoding(q, below) <= 0 || compare_encoding(q, below + 1) >= 0)
        return -1;
    v = dyadic_of(op_info[q->op].to, below);
    half = compare_magnitude(q, 2 * v.m + 1, v.exp - 1);
    if (direction == TO_NEAREST)
        up = half > 0 || (half == 0 && (rm == FLOAT_RMM || (below & 1)));
    else
        up = direction == AWAY;
    if (magnitude != below + up)
        return -1;

    flags = FLOAT_NX;
    if (magnitude == infinity)
        flags |= FLOAT_OF;
    if (below < UINT64_C(1) << l.frac_bits && is_tiny(q, direction))
        flags |= FLOAT_UF;
    return flags;
}

static void check_case(enum op op, const uint64_t in[3], enum float_rounding rm)
{
    struct question q = {.op = op, .in = in};
    unsigned flags = 0;
    uint64_t out = op_compute(op, in, rm, &flags);
    int want;

    q.sign = compare_result(op, in, (struct dyadic){0});
    want = judge(&q, rm, out);
    if (want != (int)flags)
        fail_msg("%s(%#jx, %#jx, %#jx) rm %d gave %#jx flags %#x: %s, flags %#x expected",
                 op_info[op].name, (uintmax_t)in[0], (uintmax_t)in[1], (uintmax_t)in[2], rm,
                 (uintmax_t)out, flags, want < 0 ? "wrong result" : "right result", want);
}

static void check_op(enum op op, unsigned long cases, uint64_t *seed)
{
    unsigned long judged = 0;

    for (unsigned long i = 0; i < cases; i++) {
        uint64_t in[3] = {0};

        random_operands(seed, op, in);
        if (!has_exact_result(op, in))
            continue;
        check_case(op, in, (enum float_rounding)(i % 5));
        judged++;
    }
    /* Half of the operands of a square root are negative. */
    assert_true(judged > cases / 3);
}

static void test_arithmetic(void **state)
{
    uint64_t seed = UINT64_C(0xd1b54a32d192ed03);

    for (enum op op = OP_f32_add; op <= OP_f64_fma; op++)
        check_op(op, cases_scaled(CASES), &seed);
}

static void test_conversions(void **state)
{
    uint64_t seed = UINT64_C(0x8cb92ba72f3d8dd7);

    for (enum op op = OP_f32_from_i32; op < OP_COUNT; op++)
        check_op(op, cases_scaled(CASES), &seed);
}

/* Every number of binary16, there and back. */
static void test_half_round_trip(void **state)
{
    for (uint32_t i = 0; i <= UINT16_MAX; i++) {
        const uint64_t in[3] = {i};
        uint16_t want = layout_is_nan(layout_of(F16), i) ? F16_CANONICAL_NAN : (uint16_t)i;
        unsigned flags = 0;
        uint32_t f32 = f32_from_f16((uint16_t)i, &flags);
        uint64_t f64 = f64_from_f16((uint16_t)i, &flags);

        assert_int_equal(f64, f64_from_f32(f32, &flags));
        for (int rm = FLOAT_RNE; rm <= FLOAT_RMM; rm++) {
            assert_int_equal(f16_from_f32(f32, (enum float_rounding)rm, &flags), want);
            assert_int_equal(f16_from_f64(f64, (enum float_rounding)rm, &flags), want);
        }
        assert_int_equal(flags & ~(unsigned)FLOAT_NV, 0);
        if (is_finite(F16, i))
            check_case(OP_f32_from_f16, in, FLOAT_RNE);
    }
}

/* A judge that agrees with everything proves nothing. */
static void test_judge(void **state)
{
    static const uint64_t third[3] = {0x3ff0000000000000, 0x4008000000000000};
    static const uint64_t tiny[3] = {0x3f800001, 0x007fffff};
    struct question q = {.op = OP_f64_div, .in = third, .sign = 1};
    struct question t = {.op = OP_f32_mul, .in = tiny, .sign = 1};

    assert_int_equal(judge(&q, FLOAT_RNE, 0x3fd5555555555555), FLOAT_NX);
    assert_int_equal(judge(&q, FLOAT_RNE, 0x3fd5555555555556), -1);
    assert_int_equal(judge(&q, FLOAT_RNE, 0x3fd5555555555554), -1);
    assert_int_equal(judge(&q, FLOAT_RNE, 0xbfd5555555555555), -1);
    assert_int_equal(judge(&q, FLOAT_RUP, 0x3fd5555555555555), -1);
    assert_int_equal(judge(&q, FLOAT_RUP, 0x3fd5555555555556), FLOAT_NX);
    assert_int_equal(judge(&q, FLOAT_RMM, F64_CANONICAL_NAN), -1);
    assert_int_equal(judge(&t, FLOAT_RNE, 0x00800000), FLOAT_NX);
    assert_int_equal(judge(&t, FLOAT_RTZ, 0x007fffff), FLOAT_NX | FLOAT_UF);
    assert_int_equal(judge(&t, FLOAT_RTZ, 0x00800000), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_half_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
