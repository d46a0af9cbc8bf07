/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softfloat: IEEE 754-2019 binary16, binary32 and binary64 arithmetic in integers only, with the
 * choices that RISC-V makes where the standard leaves one. The reference interpreter computes with
 * it and the translator is held against it, so exactness comes before speed.
 *
 * Values are raw encodings (no NaN boxing: that is the register file's, and the caller's). No
 * function keeps state, allocates or fails. `flags` must not be NULL: exceptions are ORed into
 * it, in the layout of fflags, and no bit is ever cleared. `rm` is a resolved mode: DYN and the
 * reserved encodings 5 and 6 trap in the decoder. Where a function takes no `rm`, its result does
 * not depend on one. Any thread may call any function.
 *
 * "F", "D", "Zfhmin" and "Zfa" below are chapters of the RISC-V unprivileged ISA manual. For all
 * functions: a NaN result is the canonical NaN (F, "NaN Generation and Propagation"), and
 * tininess is detected after rounding (F, "Subnormal Arithmetic").
 */
#ifndef HOSPES_CPU_RISCV_SOFTFLOAT_H
#define HOSPES_CPU_RISCV_SOFTFLOAT_H

#include <stdbool.h>
#include <stdint.h>

/* The rm field and fcsr.frm (F, "Floating-Point Control and Status Register"). */
enum float_rounding {
    FLOAT_RNE = 0, /* to nearest, ties to even */
    FLOAT_RTZ = 1, /* towards zero */
    FLOAT_RDN = 2, /* towards minus infinity */
    FLOAT_RUP = 3, /* towards plus infinity */
    FLOAT_RMM = 4, /* to nearest, ties away from zero */
};

/* fcsr.fflags, the accrued exceptions (same section). */
enum float_flag {
    FLOAT_NX = 1 << 0, /* inexact */
    FLOAT_UF = 1 << 1, /* underflow */
    FLOAT_OF = 1 << 2, /* overflow */
    FLOAT_DZ = 1 << 3, /* divide by zero */
    FLOAT_NV = 1 << 4, /* invalid operation */
};

/* What fclass writes (F, "Single-Precision Floating-Point Classify Instruction"). */
enum float_class {
    FLOAT_CLASS_NEGATIVE_INFINITY = 1 << 0,
    FLOAT_CLASS_NEGATIVE_NORMAL = 1 << 1,
    FLOAT_CLASS_NEGATIVE_SUBNORMAL = 1 << 2,
    FLOAT_CLASS_NEGATIVE_ZERO = 1 << 3,
    FLOAT_CLASS_POSITIVE_ZERO = 1 << 4,
    FLOAT_CLASS_POSITIVE_SUBNORMAL = 1 << 5,
    FLOAT_CLASS_POSITIVE_NORMAL = 1 << 6,
    FLOAT_CLASS_POSITIVE_INFINITY = 1 << 7,
    FLOAT_CLASS_SIGNALING_NAN = 1 << 8,
    FLOAT_CLASS_QUIET_NAN = 1 << 9,
};

#define F16_CANONICAL_NAN UINT16_C(0x7e00)
#define F32_CANONICAL_NAN UINT32_C(0x7fc00000)
#define F64_CANONICAL_NAN UINT64_C(0x7ff8000000000000)

/* Arithmetic (F, "Single-Precision Floating-Point Computational Instructions"; D likewise). */
uint32_t f32_add(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags);
uint32_t f32_sub(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags);
uint32_t f32_mul(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags);
uint32_t f32_div(uint32_t a, uint32_t b, enum float_rounding rm, unsigned *flags);
uint32_t f32_sqrt(uint32_t a, enum float_rounding rm, unsigned *flags);
uint64_t f64_add(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags);
uint64_t f64_sub(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags);
uint64_t f64_mul(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags);
uint64_t f64_div(uint64_t a, uint64_t b, enum float_rounding rm, unsigned *flags);
uint64_t f64_sqrt(uint64_t a, enum float_rounding rm, unsigned *flags);

/*
 * a * b + c, rounded once. The caller gets fmsub, fnmsub and fnmadd by flipping the sign bits of
 * `a` and `c`. Infinity times zero is invalid even when `c` is a quiet NaN (F, same section).
 */
uint32_t f32_fma(uint32_t a, uint32_t b, uint32_t c, enum float_rounding rm, unsigned *flags);
uint64_t f64_fma(uint64_t a, uint64_t b, uint64_t c, enum float_rounding rm, unsigned *flags);

/*
 * fmin, fmax: minimumNumber and maximumNumber (IEEE 754-2019, 9.6): -0 is less than +0, one NaN
 * yields the other operand, and a signaling NaN is invalid all the same.
 */
uint32_t f32_min(uint32_t a, uint32_t b, unsigned *flags);
uint32_t f32_max(uint32_t a, uint32_t b, unsigned *flags);
uint64_t f64_min(uint64_t a, uint64_t b, unsigned *flags);
uint64_t f64_max(uint64_t a, uint64_t b, unsigned *flags);

/* fminm, fmaxm: any NaN yields NaN (Zfa, "Minimum and Maximum Instructions"). */
uint32_t f32_minm(uint32_t a, uint32_t b, unsigned *flags);
uint32_t f32_maxm(uint32_t a, uint32_t b, unsigned *flags);
uint64_t f64_minm(uint64_t a, uint64_t b, unsigned *flags);
uint64_t f64_maxm(uint64_t a, uint64_t b, unsigned *flags);

/*
 * Comparisons, false for an unordered pair. eq, ltq and leq are quiet: only a signaling NaN is
 * invalid. lt and le are signaling: any NaN is (F, "Single-Precision Floating-Point Compare
 * Instructions"; Zfa, "Comparison Instructions").
 */
bool f32_eq(uint32_t a, uint32_t b, unsigned *flags);
bool f32_lt(uint32_t a, uint32_t b, unsigned *flags);
bool f32_le(uint32_t a, uint32_t b, unsigned *flags);
bool f32_ltq(uint32_t a, uint32_t b, unsigned *flags);
bool f32_leq(uint32_t a, uint32_t b, unsigned *flags);
bool f64_eq(uint64_t a, uint64_t b, unsigned *flags);
bool f64_lt(uint64_t a, uint64_t b, unsigned *flags);
bool f64_le(uint64_t a, uint64_t b, unsigned *flags);
bool f64_ltq(uint64_t a, uint64_t b, unsigned *flags);
bool f64_leq(uint64_t a, uint64_t b, unsigned *flags);

/* Exactly one bit of enum float_class; raises nothing. */
unsigned f32_class(uint32_t a);
unsigned f64_class(uint64_t a);

/*
 * fround and froundnx: to an integral value in the same format (Zfa, "Round-to-Integer
 * Instructions"). Only froundnx raises inexact.
 */
uint32_t f32_round(uint32_t a, enum float_rounding rm, unsigned *flags);
uint32_t f32_roundnx(uint32_t a, enum float_rounding rm, unsigned *flags);
uint64_t f64_round(uint64_t a, enum float_rounding rm, unsigned *flags);
uint64_t f64_roundnx(uint64_t a, enum float_rounding rm, unsigned *flags);

/*
 * To an integer. What does not fit after rounding is invalid, never inexact, and saturates; NaN
 * gives the largest integer (F, table "Domains of float-to-integer conversions"). The
 * caller sign-extends 32-bit results to XLEN, the unsigned ones too.
 */
int32_t f32_to_i32(uint32_t a, enum float_rounding rm, unsigned *flags);
uint32_t f32_to_u32(uint32_t a, enum float_rounding rm, unsigned *flags);
int64_t f32_to_i64(uint32_t a, enum float_rounding rm, unsigned *flags);
uint64_t f32_to_u64(uint32_t a, enum float_rounding rm, unsigned *flags);
int32_t f64_to_i32(uint64_t a, enum float_rounding rm, unsigned *flags);
uint32_t f64_to_u32(uint64_t a, enum float_rounding rm, unsigned *flags);
int64_t f64_to_i64(uint64_t a, enum float_rounding rm, unsigned *flags);
uint64_t f64_to_u64(uint64_t a, enum float_rounding rm, unsigned *flags);

/*
 * fcvtmod.w.d: the low 32 bits of the value rounded towards zero, 0 for NaN and infinities; flags
 * as f64_to_i32 (Zfa, "Modular Convert-to-Integer Instruction").
 */
int32_t f64_to_i32_modular(uint64_t a, unsigned *flags);

/* From an integer. binary64 holds every 32-bit integer, hence no mode and no flags there. */
uint32_t f32_from_i32(int32_t a, enum float_rounding rm, unsigned *flags);
uint32_t f32_from_u32(uint32_t a, enum float_rounding rm, unsigned *flags);
uint32_t f32_from_i64(int64_t a, enum float_rounding rm, unsigned *flags);
uint32_t f32_from_u64(uint64_t a, enum float_rounding rm, unsigned *flags);
uint64_t f64_from_i32(int32_t a);
uint64_t f64_from_u32(uint32_t a);
uint64_t f64_from_i64(int64_t a, enum float_rounding rm, unsigned *flags);
uint64_t f64_from_u64(uint64_t a, enum float_rounding rm, unsigned *flags);

/*
 * Between formats (D, "Double-Precision Floating-Point Conversion and Move Instructions";
 * Zfhmin). Widening is exact: all that it can raise is invalid, for a signaling NaN.
 */
uint32_t f32_from_f16(uint16_t a, unsigned *flags);
uint64_t f64_from_f16(uint16_t a, unsigned *flags);
uint64_t f64_from_f32(uint32_t a, unsigned *flags);
uint16_t f16_from_f32(uint32_t a, enum float_rounding rm, unsigned *flags);
uint16_t f16_from_f64(uint64_t a, enum float_rounding rm, unsigned *flags);
uint32_t f32_from_f64(uint64_t a, enum float_rounding rm, unsigned *flags);

/*
 * What fli.s and fli.d load for a value of the rs1 field, of which the low 5 bits count (Zfa, table
 * "Immediate values loaded by the FLI.S instruction"). There is none for binary16: fli.h needs Zfh
 * or Zvfh, and Zfhmin is not enough.
 */
uint32_t f32_constant(unsigned rs1);
uint64_t f64_constant(unsigned rs1);

#endif
