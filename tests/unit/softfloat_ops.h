/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation of softfloat under one signature, so that tests can be tables: operands and
 * result are 64-bit words that hold an encoding or an integer of the operation's own width, the
 * integers sign-extended or zero-extended by their own type.
 */
#ifndef HOSPES_TESTS_UNIT_SOFTFLOAT_OPS_H
#define HOSPES_TESTS_UNIT_SOFTFLOAT_OPS_H

#include <stdint.h>

#include "cpu/riscv/softfloat.h"

/* The kinds of operand and result. */
enum value_kind {
    F16,
    F32,
    F64,
    I32,
    U32,
    I64,
    U64,
    BOOL,
    CLASS,
};

/* op(name, kind of operands, how many, kind of the result, call on in[] with rm and flags) */
#define SOFTFLOAT_OPS(op)                                                                                                     \
    op(f32_add, F32, 2, F32, f32_add(in[0], in[1], rm, flags)) op(                                                            \
        f32_sub, F32, 2, F32,                                                                                                 \
        f32_sub(in[0], in[1], rm, flags)) op(f32_mul, F32, 2, F32,                                                            \
                                             f32_mul(in[0], in[1], rm,                                                        \
                                                     flags)) op(f32_div, F32, 2, F32,                                         \
                                                                f32_div(in[0], in[1], rm, flags))                             \
        op(f32_sqrt, F32, 1, F32, f32_sqrt(in[0], rm, flags)) op(                                                             \
            f32_fma, F32, 3, F32,                                                                                             \
            f32_fma(in[0], in[1], in[2], rm,                                                                                  \
                    flags)) op(f64_add, F64, 2, F64, f64_add(in[0], in[1], rm, flags))                                        \
            op(f64_sub, F64, 2, F64, f64_sub(in[0], in[1], rm, flags)) op(                                                    \
                f64_mul, F64, 2, F64,                                                                                         \
                f64_mul(in[0], in[1], rm,                                                                                     \
                        flags)) op(f64_div, F64, 2, F64, f64_div(in[0], in[1], rm, flags))                                    \
                op(f64_sqrt, F64, 1, F64, f64_sqrt(in[0], rm, flags)) op(                                                     \
                    f64_fma, F64, 3, F64,                                                                                     \
                    f64_fma(in[0], in[1], in[2], rm,                                                                          \
                            flags)) op(f32_min, F32, 2, F32, f32_min(in[0], in[1], flags))                                    \
                    op(f32_max, F32, 2, F32, f32_max(in[0], in[1], flags)) op(                                                \
                        f32_minm, F32,                                                                                        \
                        2,                                                                                                    \
                        F32,                                                                                                  \
                        f32_minm(in[0], in[1],                                                                                \
                                 flags)) op(f32_maxm, F32, 2, F32, f32_maxm(in[0], in[1], flags))                             \
                        op(f64_min, F64, 2, F64, f64_min(in[0], in[1], flags)) op(                                            \
                            f64_max, F64, 2, F64,                                                                             \
                            f64_max(                                                                                          \
                                in[0],                                                                                        \
                                in[1],                                                                                        \
                                flags)) op(f64_minm, F64, 2, F64, f64_minm(in[0], in[1], flags))                              \
                            op(f64_maxm, F64, 2, F64, f64_maxm(in[0], in[1], flags)) op(                                      \
                                f32_eq,                                                                                       \
                                F32, 2,                                                                                       \
                                BOOL,                                                                                         \
                                f32_eq(                                                                                       \
                                    in[0],                                                                                    \
                                    in[1],                                                                                    \
                                    flags)) op(f32_lt, F32, 2, BOOL, f32_lt(in[0], in[1], flags))                             \
                                op(f32_le, F32, 2, BOOL, f32_le(in[0], in[1], flags)) op(                                     \
                                    f32_ltq, F32, 2, BOOL,                                                                    \
                                    f32_ltq(                                                                                  \
                                        in[0],                                                                                \
                                        in[1],                                                                                \
                                        flags)) op(f32_leq, F32, 2, BOOL, f32_leq(in[0], in[1], flags))                       \
                                    op(f64_eq, F64, 2, BOOL, f64_eq(in[0], in[1], flags)) op(                                 \
                                        f64_lt,                                                                               \
                                        F64, 2,                                                                               \
                                        BOOL,                                                                                 \
                                        f64_lt(                                                                               \
                                            in[0],                                                                            \
                                            in[1],                                                                            \
                                            flags)) op(f64_le, F64, 2, BOOL, f64_le(in[0], in[1], flags))                     \
                                        op(f64_ltq, F64, 2, BOOL, f64_ltq(in[0], in[1], flags)) op(                           \
                                            f64_leq, F64,                                                                     \
                                            2,                                                                                \
                                            BOOL,                                                                             \
                                            f64_leq(                                                                          \
                                                in[0],                                                                        \
                                                in[1],                                                                        \
                                                flags)) op(f32_class, F32, 1, CLASS, f32_class(in[0]))                        \
                                            op(f64_class, F64, 1, CLASS, f64_class(in[0])) op(                                \
                                                f32_round,                                                                    \
                                                F32, 1,                                                                       \
                                                F32,                                                                          \
                                                f32_round(                                                                    \
                                                    in[0],                                                                    \
                                                    rm,                                                                       \
                                                    flags)) op(f32_roundnx, F32, 1, F32, f32_roundnx(in[0], rm, flags))       \
                                                op(f64_round, F64, 1, F64, f64_round(in[0], rm, flags)) op(                   \
                                                    f64_roundnx, F64,                                                         \
                                                    1,                                                                        \
                                                    F64,                                                                      \
                                                    f64_roundnx(                                                              \
                                                        in[0],                                                                \
                                                        rm,                                                                   \
                                                        flags)) op(f32_to_i32, F32, 1, I32, f32_to_i32(in[0], rm, flags))     \
                                                    op(f32_to_u32, F32, 1, U32, f32_to_u32(in[0], rm, flags)) op(             \
                                                        f32_to_i64,                                                           \
                                                        F32, 1,                                                               \
                                                        I64,                                                                  \
                                                        f32_to_i64(                                                           \
                                                            in[0],                                                            \
                                                            rm,                                                               \
                                                            flags)) op(f32_to_u64, F32, 1, U64, f32_to_u64(in[0], rm, flags)) \
                                                        op(f64_to_i32, F64, 1, I32,                                           \
                                                           f64_to_i32(                                                        \
                                                               in[0],                                                         \
                                                               rm,                                                            \
                                                               flags)) op(f64_to_u32, F64, 1, U32,                            \
                                                                          f64_to_u32(in[0], rm,                               \
                                                                                     flags))                                  \
                                                            op(f64_to_i64, F64, 1, I64,                                       \
                                                               f64_to_i64(                                                    \
                                                                   in[0],                                                     \
                                                                   rm,                                                        \
                                                                   flags)) op(f64_to_u64, F64,                                \
                                                                              1, U64,                                         \
                                                                              f64_to_u64(in[0],                               \
                                                                                         rm,                                  \
                                                                                         flags))                              \
                                                                op(f64_to_i32_modular, F64, 1,                                \
                                                                   I32,                                                       \
                                                                   f64_to_i32_modular(                                        \
                                                                       in[0],                                                 \
                                                                       flags)) op(f32_from_i32,                               \
                                                                                  I32,                                        \
                                                                                  1, F32,                                     \
                                                                                  f32_from_i32(                               \
                                                                                      (                                       \
                                                                                          int32_t)in[0],                      \
                                                                                      rm,                                     \
                                                                                      flags))                                 \
                                                                    op(f32_from_u32, U32, 1, F32,                             \
                                                                       f32_from_u32(                                          \
                                                                           in[0], rm,                                         \
                                                                           flags)) op(f32_from_i64,                           \
                                                                                      I64,                                    \
                                                                                      1, F32,                                 \
                                                                                      f32_from_i64(                           \
                                                                                          (                                   \
                                                                                              int64_t)in[0],                  \
                                                                                          rm,                                 \
                                                                                          flags))                             \
                                                                        op(f32_from_u64, U64, 1,                              \
                                                                           F32,                                               \
                                                                           f32_from_u64(                                      \
                                                                               in[0], rm,                                     \
                                                                               flags)) op(f64_from_i32,                       \
                                                                                          I32,                                \
                                                                                          1, F64,                             \
                                                                                          f64_from_i32((                      \
                                                                                              int32_t)in[0]))                 \
                                                                            op(f64_from_u32, U32,                             \
                                                                               1, F64,                                        \
                                                                               f64_from_u32(                                  \
                                                                                   in[0])) op(f64_from_i64,                   \
                                                                                              I64,                            \
                                                                                              1, F64,                         \
                                                                                              f64_from_i64(                   \
                                                                                                  (                           \
                                                                                                      int64_t)in[0],          \
                                                                                                  rm,                         \
                                                                                                  flags))                     \
                                                                                op(f64_from_u64,                              \
                                                                                   U64,                                       \
                                                                                   1, F64,                                    \
                                                                                   f64_from_u64(                              \
                                                                                       in[0], rm,                             \
                                                                                       flags)) op(f32_from_f16,               \
                                                                                                  F16,                        \
                                                                                                  1, F32,                     \
                                                                                                  f32_from_f16(in[0],         \
                                                                                                               flags))        \
                                                                                    op(f64_from_f16,                          \
                                                                                       F16,                                   \
                                                                                       1, F64,                                \
                                                                                       f64_from_f16(                          \
                                                                                           in[0],                             \
                                                                                           flags))                            \
                                                                                        op(f64_from_f32,                      \
                                                                                           F32,                               \
                                                                                           1, F64,                            \
                                                                                           f64_from_f32(                      \
                                                                                               in[0],                         \
                                                                                               flags))                        \
                                                                                            op(f16_from_f32,                  \
                                                                                               F32,                           \
                                                                                               1,                             \
                                                                                               F16,                           \
                                                                                               f16_from_f32(                  \
                                                                                                   in[0],                     \
                                                                                                   rm,                        \
                                                                                                   flags))                    \
                                                                                                op(f16_from_f64,              \
                                                                                                   F64,                       \
                                                                                                   1,                         \
                                                                                                   F16,                       \
                                                                                                   f16_from_f64(              \
                                                                                                       in[0],                 \
                                                                                                       rm,                    \
                                                                                                       flags))                \
                                                                                                    op(f32_from_f64,          \
                                                                                                       F64,                   \
                                                                                                       1,                     \
                                                                                                       F32,                   \
                                                                                                       f32_from_f64(          \
                                                                                                           in[0],             \
                                                                                                           rm,                \
                                                                                                           flags))

enum op {
#define OP_NAME(name, from, arity, to, call) OP_##name,
    SOFTFLOAT_OPS(OP_NAME)
#undef OP_NAME
        OP_COUNT,
};

struct op_info {
    const char *name;
    enum value_kind from, to;
    int arity;
};

static const struct op_info op_info[OP_COUNT] = {
#define OP_INFO(name, from, arity, to, call) [OP_##name] = {#name, from, to, arity},
    SOFTFLOAT_OPS(OP_INFO)
#undef OP_INFO
};

static inline uint64_t op_compute(enum op op, const uint64_t in[3], enum float_rounding rm,
                                  unsigned *flags)
{
    switch (op) {
#define OP_CASE(name, from, arity, to, call)                                                       \
    case OP_##name:                                                                                \
        return (uint64_t)call;
        SOFTFLOAT_OPS(OP_CASE)
#undef OP_CASE
    case OP_COUNT:
        break;
    }
    return 0;
}

#endif
