/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softfloat against values worked out by hand from the specifications: every operation, with the
 * cases that the text singles out. Random operands are in test_softfloat_host.c and _exact.c.
 */
/* cmocka.h leans on the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "base/compiler.h"
#include "cpu/riscv/softfloat.h"
#include "softfloat_ops.h"

#define RNE  (1 << FLOAT_RNE)
#define RTZ  (1 << FLOAT_RTZ)
#define RDN  (1 << FLOAT_RDN)
#define RUP  (1 << FLOAT_RUP)
#define RMM  (1 << FLOAT_RMM)
#define ALL  (RNE | RTZ | RDN | RUP | RMM)
#define NEAR (RNE | RMM)

#define NX FLOAT_NX
#define UF (FLOAT_UF | FLOAT_NX)
#define OF (FLOAT_OF | FLOAT_NX)
#define DZ FLOAT_DZ
#define NV FLOAT_NV

/* binary32 encodings: S_ positive, or'ed with S_MINUS negative. */
#define S_MINUS   0x80000000u
#define S_ONE     0x3f800000u
#define S_TWO     0x40000000u
#define S_INF     0x7f800000u
#define S_MAX     0x7f7fffffu
#define S_NORMAL  0x00800000u /* the least normal */
#define S_QNAN    0x7fc00001u /* quiet, and not canonical */
#define S_SNAN    0xff800001u
#define S_CANON   F32_CANONICAL_NAN
#define S_ULP_ONE 0x34000000u /* 2^-23: the last place of 1 */

#define D_MINUS   0x8000000000000000u
#define D_ONE     0x3ff0000000000000u
#define D_TWO     0x4000000000000000u
#define D_INF     0x7ff0000000000000u
#define D_MAX     0x7fefffffffffffffu
#define D_NORMAL  0x0010000000000000u
#define D_QNAN    0x7ff8000000000001u
#define D_SNAN    0xfff0000000000001u
#define D_CANON   F64_CANONICAL_NAN
#define D_ULP_ONE 0x3cb0000000000000u /* 2^-52 */

struct vector {
    enum op op;
    unsigned modes; /* the row holds for each mode in this set */
    uint64_t in[3];
    uint64_t out;
    unsigned flags;
};

static void check_vectors(const struct vector *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(v[i].modes != 0);
        for (int rm = FLOAT_RNE; rm <= FLOAT_RMM; rm++) {
            /* Flags accrue: whatever was set before must still be. */
            for (unsigned before = 0; before <= 31; before += 31) {
                unsigned flags = before;
                uint64_t out;

                if (!(v[i].modes & (1u << rm)))
                    continue;
                out = op_compute(v[i].op, v[i].in, (enum float_rounding)rm, &flags);
                if (out != v[i].out || flags != (v[i].flags | before))
                    fail_msg("row %zu: %s(%#jx, %#jx, %#jx) rm %d: got %#jx flags %#x, "
                             "expected %#jx flags %#x",
                             i, op_info[v[i].op].name, (uintmax_t)v[i].in[0], (uintmax_t)v[i].in[1],
                             (uintmax_t)v[i].in[2], rm, (uintmax_t)out, flags, (uintmax_t)v[i].out,
                             v[i].flags | before);
            }
        }
    }
}

static void test_add_sub(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_add, ALL, {S_ONE, S_ONE}, S_TWO, 0},
        {OP_f64_add, ALL, {D_ONE, D_ONE}, D_TWO, 0},
        {OP_f32_sub, ALL, {S_TWO, S_ONE}, S_ONE, 0},
        {OP_f64_sub, ALL, {D_TWO, D_ONE}, D_ONE, 0},
        /* Exact zeros: IEEE 754-2019, 6.3. */
        {OP_f32_sub, ALL & ~RDN, {S_ONE, S_ONE}, 0, 0},
        {OP_f32_sub, RDN, {S_ONE, S_ONE}, S_MINUS, 0},
        {OP_f64_sub, ALL & ~RDN, {D_ONE, D_ONE}, 0, 0},
        {OP_f64_sub, RDN, {D_ONE, D_ONE}, D_MINUS, 0},
        {OP_f32_add, ALL & ~RDN, {0, S_MINUS}, 0, 0},
        {OP_f32_add, RDN, {0, S_MINUS}, S_MINUS, 0},
        {OP_f32_add, ALL, {S_MINUS, S_MINUS}, S_MINUS, 0},
        {OP_f32_sub, ALL, {S_MINUS, 0}, S_MINUS, 0},
        {OP_f32_add, ALL, {0, 0}, 0, 0},
        {OP_f32_add, ALL, {0, 1}, 1, 0},
        {OP_f32_sub, ALL, {0, 1}, S_MINUS | 1, 0},
        {OP_f64_add, ALL, {D_MINUS, D_ONE}, D_ONE, 0},
        /* Half of the last place of 1: a tie, where 1 is even and 1 + ulp is odd. */
        {OP_f32_add, RNE | RTZ | RDN, {S_ONE, S_ULP_ONE - 0x800000}, S_ONE, NX},
        {OP_f32_add, RUP | RMM, {S_ONE, S_ULP_ONE - 0x800000}, S_ONE + 1, NX},
        {OP_f32_add, RTZ | RDN, {S_ONE + 1, S_ULP_ONE - 0x800000}, S_ONE + 1, NX},
        {OP_f32_add, RNE | RUP | RMM, {S_ONE + 1, S_ULP_ONE - 0x800000}, S_ONE + 2, NX},
        {OP_f64_add, RNE | RTZ | RDN, {D_ONE, D_ULP_ONE - D_NORMAL}, D_ONE, NX},
        {OP_f64_add, RUP | RMM, {D_ONE, D_ULP_ONE - D_NORMAL}, D_ONE + 1, NX},
        {OP_f64_sub, RNE | RTZ | RUP, {D_MINUS | D_ONE, D_ULP_ONE - D_NORMAL}, D_MINUS | D_ONE, NX},
        {OP_f64_sub, RDN | RMM, {D_MINUS | D_ONE, D_ULP_ONE - D_NORMAL}, (D_MINUS | D_ONE) + 1, NX},
        /* A hair above and below the tie. */
        {OP_f64_add, NEAR | RUP, {D_ONE, D_ULP_ONE - D_NORMAL + 1}, D_ONE + 1, NX},
        {OP_f64_add, NEAR | RTZ | RDN, {D_ONE, D_ULP_ONE - D_NORMAL - 1}, D_ONE, NX},
        /* Operands too far apart to meet. */
        {OP_f64_add, ALL & ~RUP, {D_ONE, 1}, D_ONE, NX},
        {OP_f64_add, RUP, {D_ONE, 1}, D_ONE + 1, NX},
        {OP_f64_sub, NEAR | RUP, {D_ONE, 1}, D_ONE, NX},
        {OP_f64_sub, RTZ | RDN, {D_ONE, 1}, D_ONE - 1, NX},
        /* Overflow: IEEE 754-2019, 7.4. */
        {OP_f32_add, NEAR | RUP, {S_MAX, S_MAX}, S_INF, OF},
        {OP_f32_add, RTZ | RDN, {S_MAX, S_MAX}, S_MAX, OF},
        {OP_f64_sub, NEAR | RDN, {D_MINUS | D_MAX, D_MAX}, D_MINUS | D_INF, OF},
        {OP_f64_sub, RTZ | RUP, {D_MINUS | D_MAX, D_MAX}, D_MINUS | D_MAX, OF},
        {OP_f32_add, ALL & ~RUP, {S_MAX, 1}, S_MAX, NX},
        {OP_f32_add, RUP, {S_MAX, 1}, S_INF, OF},
        /* Half of the last place of the largest number: the nearest modes overflow. */
        {OP_f32_add, NEAR | RUP, {S_MAX, 0x73000000}, S_INF, OF},
        {OP_f32_add, RTZ | RDN, {S_MAX, 0x73000000}, S_MAX, NX},
        /* Subnormal sums are exact: no underflow. */
        {OP_f32_sub, ALL, {S_NORMAL, 1}, 0x007fffff, 0},
        {OP_f32_add, ALL, {0x007fffff, 1}, S_NORMAL, 0},
        {OP_f64_add, ALL, {D_NORMAL - 1, 1}, D_NORMAL, 0},
        {OP_f32_add, ALL, {S_INF, S_MAX}, S_INF, 0},
        {OP_f32_sub, ALL, {S_ONE, S_INF}, S_MINUS | S_INF, 0},
        {OP_f32_add, ALL, {S_INF, S_INF}, S_INF, 0},
        {OP_f32_sub, ALL, {S_INF, S_INF}, S_CANON, NV},
        {OP_f64_add, ALL, {D_INF, D_MINUS | D_INF}, D_CANON, NV},
        {OP_f32_add, ALL, {S_QNAN, S_ONE}, S_CANON, 0},
        {OP_f32_add, ALL, {S_INF, S_MINUS | S_QNAN}, S_CANON, 0},
        {OP_f32_sub, ALL, {S_QNAN, S_SNAN}, S_CANON, NV},
        {OP_f32_sub, ALL, {S_ONE, S_QNAN}, S_CANON, 0},
        {OP_f64_add, ALL, {D_SNAN, D_QNAN}, D_CANON, NV},
        {OP_f64_sub, ALL, {0, D_SNAN}, D_CANON, NV},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_mul_div(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_mul, ALL, {0x40400000, 0xc0a00000}, 0xc1700000, 0}, /* 3 * -5 */
        {OP_f64_mul, ALL, {0x4008000000000000, 0xc014000000000000}, 0xc02e000000000000, 0},
        {OP_f32_div, ALL, {0xc1700000, 0x40a00000}, 0xc0400000, 0},
        {OP_f64_div, ALL, {0xc02e000000000000, 0x4014000000000000}, 0xc008000000000000, 0},
        /* 1/3 = 0x1.5555...p-2 */
        {OP_f32_div, RTZ | RDN, {S_ONE, 0x40400000}, 0x3eaaaaaa, NX},
        {OP_f32_div, NEAR | RUP, {S_ONE, 0x40400000}, 0x3eaaaaab, NX},
        {OP_f64_div, NEAR | RTZ | RDN, {D_ONE, 0x4008000000000000}, 0x3fd5555555555555, NX},
        {OP_f64_div, RUP, {D_ONE, 0x4008000000000000}, 0x3fd5555555555556, NX},
        /* (1 + ulp)^2 = 1 + 2 ulp + ulp^2 */
        {OP_f32_mul, ALL & ~RUP, {S_ONE + 1, S_ONE + 1}, S_ONE + 2, NX},
        {OP_f32_mul, RUP, {S_ONE + 1, S_ONE + 1}, S_ONE + 3, NX},
        {OP_f64_mul, ALL & ~RUP, {D_ONE + 1, D_ONE + 1}, D_ONE + 2, NX},
        {OP_f64_mul, RUP, {D_ONE + 1, D_ONE + 1}, D_ONE + 3, NX},
        {OP_f32_mul, ALL, {S_MINUS, S_ONE}, S_MINUS, 0},
        {OP_f32_mul, ALL, {S_MINUS, S_MINUS | S_ONE}, 0, 0},
        {OP_f64_mul, ALL, {D_INF, D_MINUS | 1}, D_MINUS | D_INF, 0},
        {OP_f32_mul, ALL, {S_INF, 0}, S_CANON, NV},
        {OP_f64_mul, ALL, {D_MINUS, D_INF}, D_CANON, NV},
        {OP_f64_mul, ALL, {D_QNAN, D_INF}, D_CANON, 0},
        {OP_f32_mul, ALL, {S_SNAN, 0}, S_CANON, NV},
        {OP_f32_div, ALL, {S_ONE, 0}, S_INF, DZ},
        {OP_f32_div, ALL, {S_ONE, S_MINUS}, S_MINUS | S_INF, DZ},
        {OP_f64_div, ALL, {D_MINUS | 1, 0}, D_MINUS | D_INF, DZ},
        {OP_f32_div, ALL, {S_INF, 0}, S_INF, 0}, /* exact: no division by zero (7.3) */
        {OP_f32_div, ALL, {0, 0}, S_CANON, NV},
        {OP_f64_div, ALL, {D_MINUS | D_INF, D_INF}, D_CANON, NV},
        {OP_f64_div, ALL, {0, D_MINUS | D_INF}, D_MINUS, 0},
        {OP_f32_div, ALL, {0, S_MINUS | S_ONE}, S_MINUS, 0},
        {OP_f32_div, ALL, {S_ONE, S_INF}, 0, 0},
        {OP_f64_div, ALL, {D_QNAN, 0}, D_CANON, 0},
        {OP_f64_div, ALL, {D_ONE, D_SNAN}, D_CANON, NV},
        {OP_f32_mul, NEAR | RUP, {S_MAX, S_TWO}, S_INF, OF},
        {OP_f32_mul, RTZ | RDN, {S_MAX, S_TWO}, S_MAX, OF},
        {OP_f64_div, NEAR | RDN, {D_MINUS | D_MAX, 1}, D_MINUS | D_INF, OF},
        {OP_f64_div, RTZ | RUP, {D_MINUS | D_MAX, 1}, D_MINUS | D_MAX, OF},
        /* Below half of the least subnormal, exactly half, and above. */
        {OP_f64_mul, ALL & ~RUP, {1, 1}, 0, UF},
        {OP_f64_mul, RUP, {1, 1}, 1, UF},
        {OP_f64_mul, ALL & ~RDN, {1, D_MINUS | 1}, D_MINUS, UF},
        {OP_f64_mul, RDN, {1, D_MINUS | 1}, D_MINUS | 1, UF},
        {OP_f32_mul, RNE | RTZ | RDN, {1, 0x3f000000}, 0, UF},
        {OP_f32_mul, RUP | RMM, {1, 0x3f000000}, 1, UF},
        {OP_f32_mul, RTZ | RDN, {1, 0x3f000001}, 0, UF},
        {OP_f32_mul, NEAR | RUP, {1, 0x3f000001}, 1, UF},
        {OP_f32_mul, ALL, {2, 0x3f000000}, 1, 0}, /* subnormal and exact */
        /*
         * Tininess after rounding. (1 + ulp) times the largest subnormal, 2^-126 * (1 - 2^-23), is
         * 2^-126 * (1 - 2^-46): with unbounded exponent range the upward modes give 2^-126, which
         * is not tiny, and the downward ones give 24 ones, which is.
         */
        {OP_f32_mul, NEAR | RUP, {S_ONE + 1, S_NORMAL - 1}, S_NORMAL, NX},
        {OP_f32_mul, RTZ | RDN, {S_ONE + 1, S_NORMAL - 1}, S_NORMAL - 1, UF},
        {OP_f64_mul, NEAR | RUP, {D_ONE + 1, D_NORMAL - 1}, D_NORMAL, NX},
        {OP_f64_mul, RTZ | RDN, {D_ONE + 1, D_NORMAL - 1}, D_NORMAL - 1, UF},
        /*
         * 2^-126 * (1 - 2^-24), a full significand: exact with unbounded range and so tiny, yet
         * it rounds to the least normal.
         */
        {OP_f32_div, NEAR | RUP, {S_NORMAL * 2 - 1, S_TWO}, S_NORMAL, UF},
        {OP_f32_div, RTZ | RDN, {S_NORMAL * 2 - 1, S_TWO}, S_NORMAL - 1, UF},
        {OP_f64_mul, NEAR | RDN, {D_NORMAL * 2 - 1, 0xbfe0000000000000}, D_MINUS | D_NORMAL, UF},
        {OP_f64_mul,
         RTZ | RUP,
         {D_NORMAL * 2 - 1, 0xbfe0000000000000},
         (D_MINUS | D_NORMAL) - 1,
         UF},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_sqrt(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_sqrt, ALL, {0x40800000}, S_TWO, 0},
        {OP_f64_sqrt, ALL, {0x4010000000000000}, D_TWO, 0},
        {OP_f32_sqrt, ALL, {0x41100000}, 0x40400000, 0}, /* 9 */
        {OP_f64_sqrt, ALL, {0x4022000000000000}, 0x4008000000000000, 0},
        /* sqrt(2) = 0x1.6a09e667f3bcc908b2fb1366ea957d3e... */
        {OP_f32_sqrt, NEAR | RTZ | RDN, {S_TWO}, 0x3fb504f3, NX},
        {OP_f32_sqrt, RUP, {S_TWO}, 0x3fb504f4, NX},
        {OP_f64_sqrt, RTZ | RDN, {D_TWO}, 0x3ff6a09e667f3bcc, NX},
        {OP_f64_sqrt, NEAR | RUP, {D_TWO}, 0x3ff6a09e667f3bcd, NX},
        {OP_f64_sqrt, ALL, {4}, 0x1e70000000000000, 0}, /* 2^-1072 */
        {OP_f32_sqrt, ALL, {2}, 0x1a800000, 0},         /* 2^-148 */
        {OP_f64_sqrt, RTZ | RDN | NEAR, {D_ONE + 1}, D_ONE, NX},
        {OP_f64_sqrt, RUP, {D_ONE + 1}, D_ONE + 1, NX},
        {OP_f64_sqrt, RTZ | RDN | NEAR, {D_MAX}, 0x5fefffffffffffff, NX},
        {OP_f64_sqrt, RUP, {D_MAX}, 0x5ff0000000000000, NX},
        {OP_f32_sqrt, ALL, {0}, 0, 0},
        {OP_f32_sqrt, ALL, {S_MINUS}, S_MINUS, 0},
        {OP_f64_sqrt, ALL, {D_MINUS}, D_MINUS, 0},
        {OP_f64_sqrt, ALL, {D_INF}, D_INF, 0},
        {OP_f64_sqrt, ALL, {D_MINUS | D_INF}, D_CANON, NV},
        {OP_f32_sqrt, ALL, {S_MINUS | 1}, S_CANON, NV},
        {OP_f32_sqrt, ALL, {S_MINUS | S_QNAN}, S_CANON, 0},
        {OP_f32_sqrt, ALL, {S_SNAN}, S_CANON, NV},
        {OP_f64_sqrt, ALL, {D_SNAN}, D_CANON, NV},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_fma(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_fma, ALL, {S_TWO, S_TWO, S_ONE}, 0x40a00000, 0},
        {OP_f64_fma, ALL, {D_TWO, D_TWO, D_ONE}, 0x4014000000000000, 0},
        /* One rounding: (1 + ulp)^2 - (1 + 2 ulp) = ulp^2, exactly. */
        {OP_f32_fma, ALL, {S_ONE + 1, S_ONE + 1, (S_MINUS | S_ONE) + 2}, 0x28800000, 0},
        {OP_f64_fma, ALL, {D_ONE + 1, D_ONE + 1, (D_MINUS | D_ONE) + 2}, 0x3970000000000000, 0},
        /* (1 + 2^-12)^2 is a tie in binary32, (1 + 2^-26)(1 + 2^-27) one in binary64; the least
         * subnormal added or taken away decides it. */
        {OP_f32_fma, RNE | RTZ | RDN, {0x3f800800, 0x3f800800, 0}, 0x3f801000, NX},
        {OP_f32_fma, RUP | RMM, {0x3f800800, 0x3f800800, 0}, 0x3f801001, NX},
        {OP_f32_fma, NEAR | RUP, {0x3f800800, 0x3f800800, 1}, 0x3f801001, NX},
        {OP_f32_fma, NEAR | RTZ | RDN, {0x3f800800, 0x3f800800, S_MINUS | 1}, 0x3f801000, NX},
        {OP_f64_fma,
         NEAR | RUP,
         {0x3ff0000004000000, 0x3ff0000002000000, 1},
         0x3ff0000006000001,
         NX},
        {OP_f64_fma,
         NEAR | RTZ | RDN,
         {0x3ff0000004000000, 0x3ff0000002000000, D_MINUS | 1},
         0x3ff0000006000000,
         NX},
        {OP_f64_fma, ALL & ~RUP, {1, D_ONE, D_ONE}, D_ONE, NX},
        {OP_f64_fma, RUP, {1, D_ONE, D_ONE}, D_ONE + 1, NX},
        /* Cancellation to zero takes its sign from the mode; equal signs keep theirs. */
        {OP_f64_fma, ALL & ~RDN, {D_ONE, D_ONE, D_MINUS | D_ONE}, 0, 0},
        {OP_f64_fma, RDN, {D_ONE, D_ONE, D_MINUS | D_ONE}, D_MINUS, 0},
        {OP_f32_fma, ALL & ~RDN, {0, S_ONE, S_MINUS}, 0, 0},
        {OP_f32_fma, RDN, {0, S_ONE, S_MINUS}, S_MINUS, 0},
        {OP_f32_fma, ALL, {S_MINUS, S_ONE, S_MINUS}, S_MINUS, 0},
        {OP_f32_fma, ALL, {0, S_ONE, S_ONE}, S_ONE, 0},
        {OP_f32_fma, ALL, {S_ONE, S_TWO, 0}, S_TWO, 0},
        {OP_f32_fma, ALL, {S_ONE, S_MINUS | S_TWO, 0}, S_MINUS | S_TWO, 0},
        /* An inexact product underflows before a zero addend. */
        {OP_f64_fma, ALL & ~RUP, {1, 1, D_MINUS}, 0, UF},
        {OP_f64_fma, RUP, {1, 1, D_MINUS}, 1, UF},
        /* The product alone would overflow. */
        {OP_f32_fma, ALL, {S_MAX, S_TWO, S_MINUS | S_MAX}, S_MAX, 0},
        {OP_f64_fma, NEAR | RUP, {D_MAX, D_TWO, D_MAX}, D_INF, OF},
        {OP_f64_fma, RTZ | RDN, {D_MAX, D_TWO, D_MAX}, D_MAX, OF},
        /* Infinity times zero is invalid whatever is added (F). */
        {OP_f32_fma, ALL, {S_INF, 0, S_ONE}, S_CANON, NV},
        {OP_f32_fma, ALL, {S_INF, 0, S_QNAN}, S_CANON, NV},
        {OP_f64_fma, ALL, {D_MINUS, D_INF, D_QNAN}, D_CANON, NV},
        {OP_f32_fma, ALL, {S_QNAN, 0, S_INF}, S_CANON, 0},
        {OP_f32_fma, ALL, {S_QNAN, S_INF, S_SNAN}, S_CANON, NV},
        {OP_f32_fma, ALL, {S_ONE, S_ONE, S_SNAN}, S_CANON, NV},
        {OP_f32_fma, ALL, {S_ONE, S_INF, S_QNAN}, S_CANON, 0},
        {OP_f32_fma, ALL, {S_ONE, S_INF, S_MINUS | S_INF}, S_CANON, NV},
        {OP_f64_fma, ALL, {D_MINUS | D_ONE, D_INF, D_MINUS | D_INF}, D_MINUS | D_INF, 0},
        {OP_f64_fma, ALL, {D_MAX, D_MAX, D_MINUS | D_INF}, D_MINUS | D_INF, 0},
        {OP_f64_fma, ALL, {D_INF, D_ONE, D_MINUS | D_MAX}, D_INF, 0},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_min_max(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_min, ALL, {S_ONE, S_TWO}, S_ONE, 0},
        {OP_f32_max, ALL, {S_ONE, S_TWO}, S_TWO, 0},
        {OP_f64_min, ALL, {D_MINUS | D_ONE, D_MINUS | D_TWO}, D_MINUS | D_TWO, 0},
        {OP_f64_max, ALL, {D_MINUS | D_ONE, D_MINUS | D_TWO}, D_MINUS | D_ONE, 0},
        {OP_f32_min, ALL, {0, S_MINUS}, S_MINUS, 0},
        {OP_f32_min, ALL, {S_MINUS, 0}, S_MINUS, 0},
        {OP_f32_max, ALL, {0, S_MINUS}, 0, 0},
        {OP_f64_max, ALL, {D_MINUS, 0}, 0, 0},
        {OP_f64_minm, ALL, {0, D_MINUS}, D_MINUS, 0},
        {OP_f64_maxm, ALL, {D_MINUS, 0}, 0, 0},
        {OP_f32_minm, ALL, {S_MINUS | S_ONE, S_INF}, S_MINUS | S_ONE, 0},
        {OP_f32_maxm, ALL, {S_MINUS | S_INF, 1}, 1, 0},
        {OP_f32_min, ALL, {S_QNAN, S_TWO}, S_TWO, 0},
        {OP_f32_max, ALL, {S_TWO, S_QNAN}, S_TWO, 0},
        {OP_f64_min, ALL, {D_SNAN, D_TWO}, D_TWO, NV},
        {OP_f64_max, ALL, {D_TWO, D_SNAN}, D_TWO, NV},
        {OP_f32_min, ALL, {S_QNAN, S_QNAN}, S_CANON, 0},
        {OP_f64_max, ALL, {D_QNAN, D_SNAN}, D_CANON, NV},
        {OP_f32_minm, ALL, {S_QNAN, S_TWO}, S_CANON, 0},
        {OP_f32_maxm, ALL, {S_TWO, S_SNAN}, S_CANON, NV},
        {OP_f64_minm, ALL, {D_SNAN, D_TWO}, D_CANON, NV},
        {OP_f64_maxm, ALL, {D_TWO, D_QNAN}, D_CANON, 0},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

/* What the three relations are for a pair, and what the quiet and signaling ones raise. */
struct relation {
    uint64_t a, b;
    bool eq, lt, le;
    unsigned quiet, signaling;
};

static void check_relation(const struct relation *r, const enum op ops[5])
{
    const struct vector rows[] = {
        {ops[0], ALL, {r->a, r->b}, r->eq, r->quiet},
        {ops[1], ALL, {r->a, r->b}, r->lt, r->signaling},
        {ops[2], ALL, {r->a, r->b}, r->le, r->signaling},
        {ops[3], ALL, {r->a, r->b}, r->lt, r->quiet},
        {ops[4], ALL, {r->a, r->b}, r->le, r->quiet},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_compare(void **state)
{
    static const enum op single[] = {OP_f32_eq, OP_f32_lt, OP_f32_le, OP_f32_ltq, OP_f32_leq};
    static const enum op wide[] = {OP_f64_eq, OP_f64_lt, OP_f64_le, OP_f64_ltq, OP_f64_leq};
    static const struct relation f32[] = {
        {S_ONE, S_TWO, false, true, true, 0, 0},
        {S_TWO, S_ONE, false, false, false, 0, 0},
        {S_ONE, S_ONE, true, false, true, 0, 0},
        {0, S_MINUS, true, false, true, 0, 0},
        {S_MINUS, 0, true, false, true, 0, 0},
        {S_MINUS | 1, 0, false, true, true, 0, 0},
        {S_MINUS | 1, S_MINUS, false, true, true, 0, 0},
        {S_MINUS | S_TWO, S_MINUS | S_ONE, false, true, true, 0, 0},
        {S_MINUS | S_INF, S_INF, false, true, true, 0, 0},
        {S_INF, S_INF, true, false, true, 0, 0},
        {S_QNAN, S_QNAN, false, false, false, 0, NV},
        {S_ONE, S_QNAN, false, false, false, 0, NV},
        {S_SNAN, S_ONE, false, false, false, NV, NV},
        {S_QNAN, S_SNAN, false, false, false, NV, NV},
    };
    static const struct relation f64[] = {
        {D_ONE, D_TWO, false, true, true, 0, 0},
        {D_INF, D_MAX, false, false, false, 0, 0},
        {0, D_MINUS, true, false, true, 0, 0},
        {D_MINUS, 1, false, true, true, 0, 0},
        {D_MINUS | D_MAX, D_MINUS | D_ONE, false, true, true, 0, 0},
        {D_QNAN, D_ONE, false, false, false, 0, NV},
        {D_SNAN, D_SNAN, false, false, false, NV, NV},
    };

    for (size_t i = 0; i < ARRAY_SIZE(f32); i++)
        check_relation(&f32[i], single);
    for (size_t i = 0; i < ARRAY_SIZE(f64); i++)
        check_relation(&f64[i], wide);
}

static void test_class(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_class, ALL, {S_MINUS | S_INF}, 1 << 0, 0},
        {OP_f32_class, ALL, {S_MINUS | S_MAX}, 1 << 1, 0},
        {OP_f32_class, ALL, {S_MINUS | (S_NORMAL - 1)}, 1 << 2, 0},
        {OP_f32_class, ALL, {S_MINUS}, 1 << 3, 0},
        {OP_f32_class, ALL, {0}, 1 << 4, 0},
        {OP_f32_class, ALL, {1}, 1 << 5, 0},
        {OP_f32_class, ALL, {S_NORMAL}, 1 << 6, 0},
        {OP_f32_class, ALL, {S_INF}, 1 << 7, 0},
        {OP_f32_class, ALL, {S_SNAN}, 1 << 8, 0},
        {OP_f32_class, ALL, {0x7fbfffff}, 1 << 8, 0},
        {OP_f32_class, ALL, {S_QNAN}, 1 << 9, 0},
        {OP_f32_class, ALL, {0xffc00000}, 1 << 9, 0},
        {OP_f64_class, ALL, {D_MINUS | D_INF}, 1 << 0, 0},
        {OP_f64_class, ALL, {D_MINUS | D_NORMAL}, 1 << 1, 0},
        {OP_f64_class, ALL, {D_MINUS | 1}, 1 << 2, 0},
        {OP_f64_class, ALL, {D_MINUS}, 1 << 3, 0},
        {OP_f64_class, ALL, {0}, 1 << 4, 0},
        {OP_f64_class, ALL, {D_NORMAL - 1}, 1 << 5, 0},
        {OP_f64_class, ALL, {D_MAX}, 1 << 6, 0},
        {OP_f64_class, ALL, {D_INF}, 1 << 7, 0},
        {OP_f64_class, ALL, {D_SNAN}, 1 << 8, 0},
        {OP_f64_class, ALL, {D_QNAN}, 1 << 9, 0},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_round(void **state)
{
    static const struct vector rows[] = {
        /* 2.5, -2.5, 3.5 and 0.5 */
        {OP_f32_round, RNE | RTZ | RDN, {0x40200000}, S_TWO, 0},
        {OP_f32_round, RUP | RMM, {0x40200000}, 0x40400000, 0},
        {OP_f32_roundnx, RNE | RTZ | RUP, {0xc0200000}, 0xc0000000, NX},
        {OP_f32_roundnx, RDN | RMM, {0xc0200000}, 0xc0400000, NX},
        {OP_f64_roundnx, RNE | RUP | RMM, {0x400c000000000000}, 0x4010000000000000, NX},
        {OP_f64_roundnx, RTZ | RDN, {0x400c000000000000}, 0x4008000000000000, NX},
        {OP_f64_round, RNE | RTZ | RDN, {0x3fe0000000000000}, 0, 0},
        {OP_f64_round, RUP | RMM, {0x3fe0000000000000}, D_ONE, 0},
        /* A result of zero keeps the sign of the operand. */
        {OP_f64_roundnx, ALL & ~RDN, {D_MINUS | 1}, D_MINUS, NX},
        {OP_f64_roundnx, RDN, {D_MINUS | 1}, D_MINUS | D_ONE, NX},
        {OP_f32_round, ALL & ~RUP, {1}, 0, 0},
        {OP_f32_round, RUP, {1}, S_ONE, 0},
        {OP_f32_roundnx, ALL, {S_ONE}, S_ONE, 0},
        {OP_f32_roundnx, ALL, {S_MAX}, S_MAX, 0},
        {OP_f32_roundnx, ALL, {0x4b000001}, 0x4b000001, 0}, /* 2^23 + 1 */
        {OP_f32_roundnx, RUP | RMM, {0x4affffff}, 0x4b000000, NX},
        {OP_f32_roundnx, RNE, {0x4affffff}, 0x4b000000, NX}, /* 2^23 - 1/2, a tie */
        {OP_f32_roundnx, RTZ | RDN, {0x4affffff}, 0x4afffffe, NX},
        {OP_f64_roundnx, ALL, {D_MAX}, D_MAX, 0},
        {OP_f32_roundnx, ALL, {S_MINUS}, S_MINUS, 0},
        {OP_f32_roundnx, ALL, {S_MINUS | S_INF}, S_MINUS | S_INF, 0},
        {OP_f64_round, ALL, {0}, 0, 0},
        {OP_f32_round, ALL, {S_QNAN}, S_CANON, 0},
        {OP_f32_roundnx, ALL, {S_SNAN}, S_CANON, NV},
        {OP_f64_round, ALL, {D_SNAN}, D_CANON, NV},
        {OP_f64_roundnx, ALL, {D_QNAN}, D_CANON, 0},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

#define I32_MAX  UINT64_C(0x7fffffff)
#define I32_MIN  UINT64_C(0xffffffff80000000)
#define U32_MAX  UINT64_C(0xffffffff)
#define I64_MAX  UINT64_C(0x7fffffffffffffff)
#define I64_MIN  UINT64_C(0x8000000000000000)
#define U64_MAX  UINT64_C(0xffffffffffffffff)
#define MINUS(n) ((uint64_t) - (n))

static void test_to_integer(void **state)
{
    static const struct vector rows[] = {
        /* F, "Domains of float-to-integer conversions", column by column. */
        {OP_f32_to_i32, ALL, {S_MINUS | S_INF}, I32_MIN, NV},
        {OP_f32_to_u32, ALL, {S_MINUS | S_INF}, 0, NV},
        {OP_f32_to_i64, ALL, {S_MINUS | S_INF}, I64_MIN, NV},
        {OP_f32_to_u64, ALL, {S_MINUS | S_INF}, 0, NV},
        {OP_f32_to_i32, ALL, {S_INF}, I32_MAX, NV},
        {OP_f32_to_u32, ALL, {S_INF}, U32_MAX, NV},
        {OP_f32_to_i64, ALL, {S_INF}, I64_MAX, NV},
        {OP_f32_to_u64, ALL, {S_INF}, U64_MAX, NV},
        {OP_f64_to_i32, ALL, {D_QNAN}, I32_MAX, NV},
        {OP_f64_to_u32, ALL, {D_MINUS | D_QNAN}, U32_MAX, NV},
        {OP_f64_to_i64, ALL, {D_SNAN}, I64_MAX, NV},
        {OP_f64_to_u64, ALL, {D_MINUS | D_QNAN}, U64_MAX, NV},
        {OP_f64_to_i32, ALL, {D_MINUS | D_MAX}, I32_MIN, NV},
        {OP_f64_to_u64, ALL, {D_MAX}, U64_MAX, NV},
        {OP_f64_to_u32, ALL, {D_MINUS | D_ONE}, 0, NV},
        {OP_f32_to_u64, ALL, {S_MINUS | S_ONE}, 0, NV},
        {OP_f32_to_i32, ALL, {S_MINUS}, 0, 0},
        /* -0.5 and -0.75 fit an unsigned integer in the modes that round them to zero. */
        {OP_f64_to_u32, RNE | RTZ | RUP, {0xbfe0000000000000}, 0, NX},
        {OP_f64_to_u32, RDN | RMM, {0xbfe0000000000000}, 0, NV},
        {OP_f32_to_u64, RTZ | RUP, {0xbf400000}, 0, NX},
        {OP_f32_to_u64, NEAR | RDN, {0xbf400000}, 0, NV},
        /* 2.5, -2.5, and the least subnormal */
        {OP_f32_to_i32, RNE | RTZ | RDN, {0x40200000}, 2, NX},
        {OP_f32_to_i32, RUP | RMM, {0x40200000}, 3, NX},
        {OP_f64_to_i64, RNE | RTZ | RUP, {0xc004000000000000}, MINUS(2), NX},
        {OP_f64_to_i64, RDN | RMM, {0xc004000000000000}, MINUS(3), NX},
        {OP_f64_to_u64, ALL & ~RUP, {1}, 0, NX},
        {OP_f64_to_u64, RUP, {1}, 1, NX},
        {OP_f64_to_i32, RDN, {D_MINUS | 1}, MINUS(1), NX},
        /* The edges: 2^31 - 1/2, -2^31 - 1/2, -2^31 - 1, 2^32 - 1, 2^31, 2^63, 2^64 */
        {OP_f64_to_i32, RTZ | RDN, {0x41dfffffffe00000}, I32_MAX, NX},
        {OP_f64_to_i32, NEAR | RUP, {0x41dfffffffe00000}, I32_MAX, NV},
        {OP_f64_to_i32, RNE | RTZ | RUP, {0xc1e0000000100000}, I32_MIN, NX},
        {OP_f64_to_i32, RDN | RMM, {0xc1e0000000100000}, I32_MIN, NV},
        {OP_f64_to_i32, ALL, {0xc1e0000000000000}, I32_MIN, 0},
        {OP_f64_to_i32, ALL, {0xc1e0000000200000}, I32_MIN, NV},
        {OP_f64_to_u32, ALL, {0x41efffffffe00000}, U32_MAX, 0},
        {OP_f64_to_u32, ALL, {0x41f0000000000000}, U32_MAX, NV},
        {OP_f32_to_i32, ALL, {0x4f000000}, I32_MAX, NV},
        {OP_f32_to_u32, ALL, {0x4f000000}, 0x80000000, 0},
        {OP_f32_to_i64, ALL, {0x5f000000}, I64_MAX, NV},
        {OP_f32_to_u64, ALL, {0x5f000000}, I64_MIN, 0},
        {OP_f32_to_i64, ALL, {0xdf000000}, I64_MIN, 0},
        {OP_f32_to_i64, ALL, {0xdf000001}, I64_MIN, NV},
        {OP_f64_to_u64, ALL, {0x43efffffffffffff}, 0xfffffffffffff800, 0},
        {OP_f64_to_u64, ALL, {0x43f0000000000000}, U64_MAX, NV},
        {OP_f64_to_i64, ALL, {0x43dfffffffffffff}, 0x7ffffffffffffc00, 0},
        {OP_f64_to_i64, ALL, {0xc3e0000000000001}, I64_MIN, NV},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_to_integer_modular(void **state)
{
    static const struct vector rows[] = {
        {OP_f64_to_i32_modular, ALL, {0x400fffffffffffff}, 3, NX},
        {OP_f64_to_i32_modular, ALL, {0xc00fffffffffffff}, MINUS(3), NX},
        {OP_f64_to_i32_modular, ALL, {D_MINUS}, 0, 0},
        {OP_f64_to_i32_modular, ALL, {1}, 0, NX},
        {OP_f64_to_i32_modular, ALL, {0xc1e0000000000000}, I32_MIN, 0},  /* -2^31 */
        {OP_f64_to_i32_modular, ALL, {0x41e0000000000000}, I32_MIN, NV}, /* 2^31 */
        {OP_f64_to_i32_modular, ALL, {0x41f0000000140000}, 1, NV}, /* 2^32 + 5/4: not inexact too */
        {OP_f64_to_i32_modular, ALL, {0xc1f0000000140000}, MINUS(1), NV},
        {OP_f64_to_i32_modular, ALL, {0xc1e0000000100000}, I32_MIN, NX},  /* -2^31 - 1/2 */
        {OP_f64_to_i32_modular, ALL, {0xc1e0000000200000}, I32_MAX, NV},  /* -2^31 - 1 */
        {OP_f64_to_i32_modular, ALL, {0x433fffffffffffff}, MINUS(1), NV}, /* 2^53 - 1 */
        /* 2^52 + 1 and its multiples by powers of two, until the last bit leaves the word. */
        {OP_f64_to_i32_modular, ALL, {0x4330000000000001}, 1, NV},
        {OP_f64_to_i32_modular, ALL, {0x43d0000000000001}, 1 << 10, NV},
        {OP_f64_to_i32_modular, ALL, {0x43e0000000000001}, 1 << 11, NV},
        {OP_f64_to_i32_modular, ALL, {0x4520000000000001}, I32_MIN, NV},
        {OP_f64_to_i32_modular, ALL, {0xc510000000000001}, MINUS(1 << 30), NV},
        {OP_f64_to_i32_modular, ALL, {0x4530000000000001}, 0, NV},
        {OP_f64_to_i32_modular, ALL, {D_MAX}, 0, NV},
        {OP_f64_to_i32_modular, ALL, {D_INF}, 0, NV},
        {OP_f64_to_i32_modular, ALL, {D_MINUS | D_INF}, 0, NV},
        {OP_f64_to_i32_modular, ALL, {D_QNAN}, 0, NV},
        {OP_f64_to_i32_modular, ALL, {D_SNAN}, 0, NV},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_from_integer(void **state)
{
    static const struct vector rows[] = {
        {OP_f32_from_i32, ALL, {0}, 0, 0},
        {OP_f64_from_u64, ALL, {0}, 0, 0},
        {OP_f32_from_i32, ALL, {MINUS(1)}, S_MINUS | S_ONE, 0},
        {OP_f64_from_i32, ALL, {MINUS(1)}, D_MINUS | D_ONE, 0},
        {OP_f64_from_i32, ALL, {I32_MIN}, 0xc1e0000000000000, 0},
        {OP_f64_from_u32, ALL, {U32_MAX}, 0x41efffffffe00000, 0},
        {OP_f32_from_i32, ALL, {I32_MIN}, 0xcf000000, 0},
        {OP_f32_from_i32, RTZ | RDN, {I32_MAX}, 0x4effffff, NX},
        {OP_f32_from_i32, NEAR | RUP, {I32_MAX}, 0x4f000000, NX},
        {OP_f32_from_u32, RTZ | RDN, {U32_MAX}, 0x4f7fffff, NX},
        {OP_f32_from_u32, NEAR | RUP, {U32_MAX}, 0x4f800000, NX},
        /* 2^24 + 1 and its negative: ties */
        {OP_f32_from_u32, RNE | RTZ | RDN, {0x1000001}, 0x4b800000, NX},
        {OP_f32_from_u32, RUP | RMM, {0x1000001}, 0x4b800001, NX},
        {OP_f32_from_i64, RNE | RTZ | RUP, {MINUS(0x1000001)}, 0xcb800000, NX},
        {OP_f32_from_i64, RDN | RMM, {MINUS(0x1000001)}, 0xcb800001, NX},
        {OP_f32_from_i64, ALL, {I64_MIN}, 0xdf000000, 0},
        {OP_f64_from_i64, ALL, {I64_MIN}, 0xc3e0000000000000, 0},
        {OP_f64_from_i64, RTZ | RDN, {I64_MAX}, 0x43dfffffffffffff, NX},
        {OP_f64_from_i64, NEAR | RUP, {I64_MAX}, 0x43e0000000000000, NX},
        {OP_f64_from_u64, RTZ | RDN, {U64_MAX}, 0x43efffffffffffff, NX},
        {OP_f64_from_u64, NEAR | RUP, {U64_MAX}, 0x43f0000000000000, NX},
        /* 2^63 + 1 and 2^63 + 2^10: far below and exactly on the tie */
        {OP_f64_from_u64, ALL & ~RUP, {0x8000000000000001}, 0x43e0000000000000, NX},
        {OP_f64_from_u64, RUP, {0x8000000000000001}, 0x43e0000000000001, NX},
        {OP_f64_from_u64, RNE | RTZ | RDN, {0x8000000000000400}, 0x43e0000000000000, NX},
        {OP_f64_from_u64, RUP | RMM, {0x8000000000000400}, 0x43e0000000000001, NX},
        {OP_f32_from_u64, RTZ | RDN, {U64_MAX}, 0x5f7fffff, NX},
        {OP_f32_from_u64, NEAR | RUP, {U64_MAX}, 0x5f800000, NX},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

static void test_between_formats(void **state)
{
    static const struct vector rows[] = {
        {OP_f64_from_f32, ALL, {S_ONE}, D_ONE, 0},
        {OP_f64_from_f32, ALL, {S_MINUS | 1}, 0xb6a0000000000000, 0},
        {OP_f64_from_f32, ALL, {S_MAX}, 0x47efffffe0000000, 0},
        {OP_f64_from_f32, ALL, {S_MINUS}, D_MINUS, 0},
        {OP_f64_from_f32, ALL, {S_INF}, D_INF, 0},
        {OP_f64_from_f32, ALL, {S_QNAN}, D_CANON, 0},
        {OP_f64_from_f32, ALL, {S_SNAN}, D_CANON, NV},
        {OP_f32_from_f64, ALL, {D_ONE}, S_ONE, 0},
        {OP_f32_from_f64, ALL, {D_MINUS | D_INF}, S_MINUS | S_INF, 0},
        {OP_f32_from_f64, ALL, {D_MINUS}, S_MINUS, 0},
        {OP_f32_from_f64, ALL, {D_QNAN}, S_CANON, 0},
        {OP_f32_from_f64, ALL, {D_SNAN}, S_CANON, NV},
        {OP_f32_from_f64, NEAR | RUP, {D_MAX}, S_INF, OF},
        {OP_f32_from_f64, RTZ | RDN, {D_MAX}, S_MAX, OF},
        {OP_f32_from_f64, ALL & ~RDN, {D_MINUS | 1}, S_MINUS, UF},
        {OP_f32_from_f64, RDN, {D_MINUS | 1}, S_MINUS | 1, UF},
        /* The tie below S_MAX's successor, 2^128 - 2^103: overflow only when it rounds up. */
        {OP_f32_from_f64, NEAR | RUP, {0x47effffff0000000}, S_INF, OF},
        {OP_f32_from_f64, RTZ | RDN, {0x47effffff0000000}, S_MAX, NX},
        {OP_f32_from_f64, NEAR | RTZ | RDN, {0x47efffffefffffff}, S_MAX, NX},
        /* 2^-126 * (1 - 2^-25): the nearest modes carry into the normals in 24 bits too, with a
         * tie in RNE and RMM alike; and one place lower they do not, and it is tiny. */
        {OP_f32_from_f64, NEAR | RUP, {0x380ffffff0000000}, S_NORMAL, NX},
        {OP_f32_from_f64, RTZ | RDN, {0x380ffffff0000000}, S_NORMAL - 1, UF},
        {OP_f32_from_f64, NEAR, {0x380fffffefffffff}, S_NORMAL, UF},
        {OP_f32_from_f64, RUP, {0x380fffffefffffff}, S_NORMAL, NX},
        {OP_f32_from_f64, RTZ | RDN, {0x380fffffefffffff}, S_NORMAL - 1, UF},
        {OP_f32_from_f16, ALL, {0x3c00}, S_ONE, 0},
        {OP_f32_from_f16, ALL, {0x8001}, 0xb3800000, 0}, /* -2^-24 */
        {OP_f32_from_f16, ALL, {0x03ff}, 0x387fc000, 0},
        {OP_f32_from_f16, ALL, {0x7bff}, 0x477fe000, 0}, /* 65504 */
        {OP_f32_from_f16, ALL, {0xfc00}, S_MINUS | S_INF, 0},
        {OP_f32_from_f16, ALL, {0x7e01}, S_CANON, 0},
        {OP_f32_from_f16, ALL, {0xfc01}, S_CANON, NV},
        {OP_f64_from_f16, ALL, {0xbc00}, D_MINUS | D_ONE, 0},
        {OP_f64_from_f16, ALL, {0x0001}, 0x3e70000000000000, 0},
        {OP_f64_from_f16, ALL, {0x8000}, D_MINUS, 0},
        {OP_f64_from_f16, ALL, {0x7dff}, D_CANON, NV},
        {OP_f64_from_f16, ALL, {0xffff}, D_CANON, 0},
        {OP_f16_from_f32, ALL, {S_MINUS | S_ONE}, 0xbc00, 0},
        {OP_f16_from_f32, ALL, {S_INF}, 0x7c00, 0},
        {OP_f16_from_f32, ALL, {S_SNAN}, F16_CANONICAL_NAN, NV},
        {OP_f16_from_f32, ALL, {S_MINUS | S_QNAN}, F16_CANONICAL_NAN, 0},
        /* 65519, 65520 (a tie) and 65536 */
        {OP_f16_from_f32, NEAR | RTZ | RDN, {0x477fef00}, 0x7bff, NX},
        {OP_f16_from_f32, RUP, {0x477fef00}, 0x7c00, OF},
        {OP_f16_from_f32, NEAR | RUP, {0x477ff000}, 0x7c00, OF},
        {OP_f16_from_f32, RTZ | RDN, {0x477ff000}, 0x7bff, NX},
        {OP_f16_from_f32, RTZ | RDN, {0x47800000}, 0x7bff, OF},
        /* 2^-25, half of the least subnormal; and the least normal less half a place */
        {OP_f16_from_f32, RNE | RTZ | RDN, {0x33000000}, 0, UF},
        {OP_f16_from_f32, RUP | RMM, {0x33000000}, 1, UF},
        {OP_f16_from_f32, NEAR | RUP, {0x387fe000}, 0x0400, UF},
        {OP_f16_from_f32, NEAR | RUP, {0x387ff000}, 0x0400, NX},
        {OP_f16_from_f32, RTZ | RDN, {0x387ff000}, 0x03ff, UF},
        {OP_f16_from_f64, ALL, {D_TWO}, 0x4000, 0},
        {OP_f16_from_f64, ALL, {D_SNAN}, F16_CANONICAL_NAN, NV},
        {OP_f16_from_f64, ALL & ~RUP, {1}, 0, UF},
        {OP_f16_from_f64, RUP, {1}, 1, UF},
        /* 1 + 2^-11 + 2^-52: rounding through binary32 would see a tie. */
        {OP_f16_from_f64, NEAR | RUP, {0x3ff0020000000001}, 0x3c01, NX},
        {OP_f16_from_f64, RNE | RTZ | RDN, {0x3ff0020000000000}, 0x3c00, NX},
        {OP_f16_from_f64, RUP | RMM, {0x3ff0020000000000}, 0x3c01, NX},
    };

    check_vectors(rows, ARRAY_SIZE(rows));
}

/* Both tables of constants, against the values as the assembler writes them. */
static void test_constants(void **state)
{
    static const double values[] = {
        -1.0,  0,      0x1p-16, 0x1p-15, 0x1p-8, 0x1p-7, 0.0625, 0.125, 0.25,    0.3125,
        0.375, 0.4375, 0.5,     0.625,   0.75,   0.875,  1.0,    1.25,  1.5,     1.75,
        2.0,   2.5,    3.0,     4.0,     8.0,    16.0,   128.0,  256.0, 32768.0, 65536.0,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        float single = (float)values[i];
        uint32_t f32;
        uint64_t f64;

        memcpy(&f32, &single, sizeof(f32));
        memcpy(&f64, &values[i], sizeof(f64));
        assert_int_equal(f32_constant(i), i == 1 ? S_NORMAL : f32);
        assert_int_equal(f64_constant(i), i == 1 ? D_NORMAL : f64);
    }
    assert_int_equal(f32_constant(30), S_INF);
    assert_int_equal(f64_constant(30), D_INF);
    assert_int_equal(f32_constant(31), S_CANON);
    assert_int_equal(f64_constant(31), D_CANON);
    assert_int_equal(f32_constant(32), f32_constant(0));
    assert_int_equal(f64_constant(UINT32_MAX), f64_constant(31));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_sub),      cmocka_unit_test(test_mul_div),
        cmocka_unit_test(test_sqrt),         cmocka_unit_test(test_fma),
        cmocka_unit_test(test_min_max),      cmocka_unit_test(test_compare),
        cmocka_unit_test(test_class),        cmocka_unit_test(test_round),
        cmocka_unit_test(test_to_integer),   cmocka_unit_test(test_to_integer_modular),
        cmocka_unit_test(test_from_integer), cmocka_unit_test(test_between_formats),
        cmocka_unit_test(test_constants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
