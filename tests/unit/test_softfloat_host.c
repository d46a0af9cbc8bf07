/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softfloat against the host's floating point on random operands: value and flags. The host has
 * four of the five modes and no binary16; what it lacks is judged in test_softfloat_exact.c.
 *
 * The seed is fixed; HOSPES_TEST_LONG=1 in the environment multiplies the cases by 25. Built with
 * -frounding-math -ffp-contract=off.
 */
/* cmocka.h leans on the headers before it. */
/* clang-format off */
#include <fenv.h>
#include <math.h>
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

#define CASES 200000 /* an operation, shared out over the modes */

struct outcome {
    uint64_t bits;
    unsigned flags;
};

static float float_of(uint64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float v;

    memcpy(&v, &word, sizeof(v));
    return v;
}

static double double_of(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static uint64_t bits_of_float(float v)
{
    uint32_t word;

    memcpy(&word, &v, sizeof(word));
    return isnan(v) ? F32_CANONICAL_NAN : word;
}

static uint64_t bits_of_double(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return isnan(v) ? F64_CANONICAL_NAN : bits;
}

static unsigned host_flags(void)
{
    int raised = fetestexcept(FE_ALL_EXCEPT);

    return (raised & FE_INEXACT ? FLOAT_NX : 0) | (raised & FE_UNDERFLOW ? FLOAT_UF : 0) |
           (raised & FE_OVERFLOW ? FLOAT_OF : 0) | (raised & FE_DIVBYZERO ? FLOAT_DZ : 0) |
           (raised & FE_INVALID ? FLOAT_NV : 0);
}

/* The nearest integral value; round() is the mode that fesetround() does not know. */
static double host_integral(double v, enum float_rounding rm)
{
    switch (rm) {
    case FLOAT_RNE:
        return nearbyint(v);
    case FLOAT_RTZ:
        return trunc(v);
    case FLOAT_RDN:
        return floor(v);
    case FLOAT_RUP:
        return ceil(v);
    case FLOAT_RMM:
        break;
    }
    return round(v);
}

static bool is_signaling(enum value_kind kind, uint64_t bits)
{
    struct layout l = layout_of(kind);

    return layout_is_nan(l, bits) && !(bits >> (l.frac_bits - 1) & 1);
}

/* An operand as a double, which holds a float exactly. */
static double widened(enum value_kind kind, uint64_t bits)
{
    return kind == F32 ? (double)float_of(bits) : double_of(bits);
}

static struct outcome host_to_integer(enum op op, uint64_t bits, enum float_rounding rm)
{
    enum value_kind to = op_info[op].to;
    double v = widened(op_info[op].from, bits);
    double whole = host_integral(v, rm);
    /* Both ends as doubles: the first value out of range above, and the least one in it. */
    double above = to == I32 ? 0x1p31 : to == U32 ? 0x1p32 : to == I64 ? 0x1p63 : 0x1p64;
    double least = to == I32 ? -0x1p31 : to == I64 ? -0x1p63 : 0;
    uint64_t min = (uint64_t)(int64_t)least;
    uint64_t max = to == I32   ? INT32_MAX
                   : to == U32 ? UINT32_MAX
                   : to == I64 ? INT64_MAX
                               : UINT64_MAX;
    struct outcome out = {.flags = whole == v ? 0 : FLOAT_NX};

    if (isnan(v) || whole >= above)
        return (struct outcome){.bits = max, .flags = FLOAT_NV};
    if (whole < least)
        return (struct outcome){.bits = min, .flags = FLOAT_NV};
    if (whole < 0x1p63)
        out.bits = (uint64_t)(int64_t)whole;
    else
        out.bits = (uint64_t)(int64_t)(whole - 0x1p63) + (UINT64_C(1) << 63);
    return out;
}

static struct outcome host_to_integer_modular(uint64_t bits)
{
    struct outcome out = host_to_integer(OP_f64_to_i32, bits, FLOAT_RTZ);
    double rest = fmod(trunc(double_of(bits)), 0x1p32); /* fmod is always exact */

    out.bits = isfinite(rest) ? (uint64_t)(int32_t)(uint32_t)(int64_t)rest : 0;
    return out;
}

static struct outcome host_min_max(enum op op, const uint64_t in[3])
{
    enum value_kind kind = op_info[op].from;
    double a = widened(kind, in[0]), b = widened(kind, in[1]);
    bool higher = op == OP_f32_max || op == OP_f64_max || op == OP_f32_maxm || op == OP_f64_maxm;
    bool propagate =
        op == OP_f32_minm || op == OP_f64_minm || op == OP_f32_maxm || op == OP_f64_maxm;
    bool a_first = isless(a, b) || (a == b && signbit(a) > signbit(b));
    struct outcome out = {.bits = a_first != higher ? in[0] : in[1]};

    if ((isnan(a) && isnan(b)) || (propagate && (isnan(a) || isnan(b))))
        out.bits = kind == F32 ? F32_CANONICAL_NAN : F64_CANONICAL_NAN;
    else if (isnan(a) || isnan(b))
        out.bits = isnan(a) ? in[1] : in[0];
    if (is_signaling(kind, in[0]) || is_signaling(kind, in[1]))
        out.flags = FLOAT_NV;
    return out;
}

static struct outcome host_compare(enum op op, const uint64_t in[3])
{
    enum value_kind kind = op_info[op].from;
    double a = widened(kind, in[0]), b = widened(kind, in[1]);
    bool signaling = op == OP_f32_lt || op == OP_f64_lt || op == OP_f32_le || op == OP_f64_le;
    struct outcome out = {0};

    if (op == OP_f32_eq || op == OP_f64_eq)
        out.bits = a == b;
    else if (op == OP_f32_lt || op == OP_f64_lt || op == OP_f32_ltq || op == OP_f64_ltq)
        out.bits = isless(a, b);
    else
        out.bits = islessequal(a, b);
    if (is_signaling(kind, in[0]) || is_signaling(kind, in[1]) || (signaling && isunordered(a, b)))
        out.flags = FLOAT_NV;
    return out;
}

static struct outcome host_class(enum value_kind kind, uint64_t bits)
{
    /* Indexed by whether the sign is clear. */
    static const unsigned infinite[] = {1 << 0, 1 << 7}, normal[] = {1 << 1, 1 << 6};
    static const unsigned subnormal[] = {1 << 2, 1 << 5}, zero[] = {1 << 3, 1 << 4};
    bool positive = !(bits & layout_sign(layout_of(kind)));

    switch (kind == F32 ? fpclassify(float_of(bits)) : fpclassify(double_of(bits))) {
    case FP_INFINITE:
        return (struct outcome){.bits = infinite[positive]};
    case FP_NORMAL:
        return (struct outcome){.bits = normal[positive]};
    case FP_SUBNORMAL:
        return (struct outcome){.bits = subnormal[positive]};
    case FP_ZERO:
        return (struct outcome){.bits = zero[positive]};
    default:
        return (struct outcome){.bits = is_signaling(kind, bits) ? 1 << 8 : 1 << 9};
    }
}

static struct outcome host_round(enum op op, uint64_t bits, enum float_rounding rm)
{
    enum value_kind kind = op_info[op].from;
    bool exact = op == OP_f32_roundnx || op == OP_f64_roundnx;
    double v = widened(kind, bits);
    double whole = host_integral(v, rm);
    struct outcome out = {.bits =
                              kind == F32 ? bits_of_float((float)whole) : bits_of_double(whole)};

    if (is_signaling(kind, bits))
        out.flags = FLOAT_NV;
    else if (exact && !isnan(v) && whole != v)
        out.flags = FLOAT_NX;
    return out;
}

/*
 * The operations that the host does in one instruction: its own rounding, its own flags. Volatile
 * operands keep the compiler from computing before the flags are cleared.
 */
static __attribute__((noinline)) uint64_t host_arithmetic(enum op op, const volatile uint64_t *in)
{
    switch (op) {
    case OP_f32_add:
        return bits_of_float(float_of(in[0]) + float_of(in[1]));
    case OP_f32_sub:
        return bits_of_float(float_of(in[0]) - float_of(in[1]));
    case OP_f32_mul:
        return bits_of_float(float_of(in[0]) * float_of(in[1]));
    case OP_f32_div:
        return bits_of_float(float_of(in[0]) / float_of(in[1]));
    case OP_f32_sqrt:
        return bits_of_float(sqrtf(float_of(in[0])));
    case OP_f32_fma:
        return bits_of_float(fmaf(float_of(in[0]), float_of(in[1]), float_of(in[2])));
    case OP_f64_add:
        return bits_of_double(double_of(in[0]) + double_of(in[1]));
    case OP_f64_sub:
        return bits_of_double(double_of(in[0]) - double_of(in[1]));
    case OP_f64_mul:
        return bits_of_double(double_of(in[0]) * double_of(in[1]));
    case OP_f64_div:
        return bits_of_double(double_of(in[0]) / double_of(in[1]));
    case OP_f64_sqrt:
        return bits_of_double(sqrt(double_of(in[0])));
    case OP_f64_fma:
        return bits_of_double(fma(double_of(in[0]), double_of(in[1]), double_of(in[2])));
    case OP_f32_from_i32:
    case OP_f32_from_u32:
    case OP_f32_from_i64:
        return bits_of_float((float)(int64_t)in[0]);
    case OP_f64_from_i32:
    case OP_f64_from_u32:
    case OP_f64_from_i64:
        return bits_of_double((double)(int64_t)in[0]);
    case OP_f64_from_u64:
        /* Not a plain cast: where the host lacks it, compilers expand it for one mode only. Half
         * of the number with a sticky bit rounds alike, and doubling is exact. */
        if (in[0] >> 63)
            return bits_of_double(2 * (double)(int64_t)(in[0] >> 1 | (in[0] & 1)));
        return bits_of_double((double)(int64_t)in[0]);
    case OP_f32_from_u64:
        if (in[0] >> 63)
            return bits_of_float(2 * (float)(int64_t)(in[0] >> 1 | (in[0] & 1)));
        return bits_of_float((float)(int64_t)in[0]);
    case OP_f64_from_f32:
        return bits_of_double((double)float_of(in[0]));
    case OP_f32_from_f64:
        return bits_of_float((float)double_of(in[0]));
    default:
        return 0;
    }
}

static struct outcome host_compute(enum op op, const uint64_t in[3], enum float_rounding rm)
{
    const struct op_info *info = &op_info[op];
    struct outcome out;

    if (op == OP_f64_to_i32_modular)
        return host_to_integer_modular(in[0]);
    if (op >= OP_f32_to_i32 && op <= OP_f64_to_u64)
        return host_to_integer(op, in[0], rm);
    if (op >= OP_f32_min && op <= OP_f64_maxm)
        return host_min_max(op, in);
    if (op >= OP_f32_round && op <= OP_f64_roundnx)
        return host_round(op, in[0], rm);
    if (info->to == BOOL)
        return host_compare(op, in);
    if (info->to == CLASS)
        return host_class(info->from, in[0]);

    feclearexcept(FE_ALL_EXCEPT);
    out.bits = host_arithmetic(op, in);
    out.flags = host_flags();
    /* Infinity times zero plus a quiet NaN: IEEE 754-2019, 7.2 c leaves it open, F does not. */
    if (op == OP_f32_fma || op == OP_f64_fma) {
        double a = widened(info->from, in[0]), b = widened(info->from, in[1]);
        if ((isinf(a) && b == 0) || (a == 0 && isinf(b)))
            out.flags |= FLOAT_NV;
    }
    return out;
}

/*
 * Whether the host calls a result tiny by its value after rounding, as RISC-V does: this product
 * is 2^-126 * (1 - 2^-46), which rounds to a normal number. Where it does not (IEEE 754-2019, 7.5
 * permits both), its underflow flag proves nothing.
 */
static bool host_is_tiny_after_rounding(void)
{
    static const uint64_t in[3] = {0x3f800001, 0x007fffff, 0};

    feclearexcept(FE_ALL_EXCEPT);
    host_arithmetic(OP_f32_mul, in);
    return host_flags() == FLOAT_NX;
}

static void check_op(enum op op, enum float_rounding rm, unsigned long cases, uint64_t *state)
{
    const unsigned compared = host_is_tiny_after_rounding() ? ~0u : ~(unsigned)FLOAT_UF;

    for (unsigned long i = 0; i < cases; i++) {
        uint64_t in[3];
        struct outcome want, got = {0};

        random_operands(state, op, in);
        want = host_compute(op, in, rm);
        got.bits = op_compute(op, in, rm, &got.flags);
        if (got.bits != want.bits || ((got.flags ^ want.flags) & compared))
            fail_msg("%s(%#jx, %#jx, %#jx) rm %d: got %#jx flags %#x, the host %#jx flags %#x",
                     op_info[op].name, (uintmax_t)in[0], (uintmax_t)in[1], (uintmax_t)in[2], rm,
                     (uintmax_t)got.bits, got.flags, (uintmax_t)want.bits, want.flags);
    }
}

/* In the order of enum float_rounding. The fifth runs only what asks no rounding of the host. */
static const int host_modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD, FE_TONEAREST};

static bool has_rmm_on_host(enum op op)
{
    return op >= OP_f32_min && op <= OP_f64_to_i32_modular;
}

static void test_host(void **state)
{
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    const unsigned long cases = cases_scaled(CASES);

    for (enum op op = 0; op < OP_COUNT; op++) {
        if (op_info[op].from == F16 || op_info[op].to == F16)
            continue;
        for (int rm = FLOAT_RNE; rm <= FLOAT_RMM; rm++) {
            if (rm == FLOAT_RMM && !has_rmm_on_host(op))
                continue;
            assert_int_equal(fesetround(host_modes[rm]), 0);
            check_op(op, (enum float_rounding)rm, cases / 5, &seed);
        }
    }
    fesetround(FE_TONEAREST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
