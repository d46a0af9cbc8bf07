/* SPDX-License-Identifier: Apache-2.0 */
/*
 * F, D, Zfhmin and Zfa, by softfloat: exact results and flags in every rounding mode. Loads and
 * stores of 32 and 64 bits are in execute.c.
 *
 * Every function here is illegal while mstatus.FS is Off, and leaves FS Dirty when it writes a
 * floating-point register or a flag (volume II, "Extension Context Status in mstatus Register").
 */
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/privileged.h"
#include "cpu/riscv/softfloat.h"

#define SIGN16 UINT16_C(0x8000)
#define SIGN32 UINT32_C(0x80000000)
#define SIGN64 (UINT64_C(1) << 63)

#define BOX16 (UINT64_MAX << 16)
#define BOX32 (UINT64_MAX << 32)

/* "NaN Boxing of Narrower Values": what is not boxed reads as the canonical NaN. */
static inline uint16_t read_h(const struct riscv_hart *hart, unsigned reg)
{
    uint64_t f = hart->f[reg];

    return (f & BOX16) == BOX16 ? (uint16_t)f : F16_CANONICAL_NAN;
}

static inline uint32_t read_s(const struct riscv_hart *hart, unsigned reg)
{
    uint64_t f = hart->f[reg];

    return (f & BOX32) == BOX32 ? (uint32_t)f : F32_CANONICAL_NAN;
}

static inline uint64_t read_d(const struct riscv_hart *hart, unsigned reg)
{
    return hart->f[reg];
}

static inline void write_d(struct riscv_hart *hart, unsigned reg, uint64_t value)
{
    hart->f[reg] = value;
    hart->mstatus |= MSTATUS_FS;
}

static inline void write_s(struct riscv_hart *hart, unsigned reg, uint32_t value)
{
    write_d(hart, reg, value | BOX32);
}

static inline void write_h(struct riscv_hart *hart, unsigned reg, uint16_t value)
{
    write_d(hart, reg, value | BOX16);
}

static inline void raise_flags(struct riscv_hart *hart, unsigned flags)
{
    if (flags) {
        hart->fflags |= flags;
        hart->mstatus |= MSTATUS_FS;
    }
}

static inline bool is_off(const struct riscv_hart *hart)
{
    return unlikely(!(hart->mstatus & MSTATUS_FS));
}

/* The rounding mode of an instruction; false: a dynamic one that frm does not hold. */
static inline bool rounding(const struct riscv_hart *hart, const struct op *op,
                            enum float_rounding *rm)
{
    unsigned mode = op->imm & 7;

    if (mode == RISCV_RM_DYN)
        mode = hart->frm;
    *rm = mode;
    return likely(mode <= FLOAT_RMM);
}

/* A function for an instruction. Its body sets what the instruction writes, from a, b and c. */
#define BEGIN(id)                                                                                  \
    static enum op_result exec_##id(struct engine_cpu *cpu, const struct op *op)                   \
    {                                                                                              \
        struct riscv_hart *hart = cpu->hart;                                                       \
        unsigned flags = 0;                                                                        \
                                                                                                   \
        if (is_off(hart))                                                                          \
            return op_illegal(cpu, op);
#define BEGIN_ROUNDING(id)                                                                         \
    BEGIN(id)                                                                                      \
    enum float_rounding rm;                                                                        \
                                                                                                   \
    if (!rounding(hart, op, &rm))                                                                  \
        return op_illegal(cpu, op);
#define END                                                                                        \
    raise_flags(hart, flags);                                                                      \
    return OP_NEXT;                                                                                \
    }

#define A(s) read_##s(hart, op->rs1)
#define B(s) read_##s(hart, op->rs2)
#define C(s) read_##s(hart, op->imm >> 8)

/* From floating point to floating point. */
#define FF_ROUNDING(id, s, value)                                                                  \
    BEGIN_ROUNDING(id) write_##s(hart, op->rd, (value));                                           \
    END
#define FF(id, s, value)                                                                           \
    BEGIN(id) write_##s(hart, op->rd, (value));                                                    \
    END
/* To an integer register: 32-bit results are sign-extended, unsigned ones too. */
#define FX_ROUNDING(id, value)                                                                     \
    BEGIN_ROUNDING(id) op_write_x(cpu, op, (value));                                               \
    END
#define FX(id, value)                                                                              \
    BEGIN(id) op_write_x(cpu, op, (value));                                                        \
    END
#define X (hart->x[op->rs1])

/* "Single-Precision Floating-Point Computational Instructions"; the same of D. */
#define COMPUTE(s, f, sign)                                                                        \
    FF_ROUNDING(fadd_##s, s, f##_add(A(s), B(s), rm, &flags))                                      \
    FF_ROUNDING(fsub_##s, s, f##_sub(A(s), B(s), rm, &flags))                                      \
    FF_ROUNDING(fmul_##s, s, f##_mul(A(s), B(s), rm, &flags))                                      \
    FF_ROUNDING(fdiv_##s, s, f##_div(A(s), B(s), rm, &flags))                                      \
    FF_ROUNDING(fsqrt_##s, s, f##_sqrt(A(s), rm, &flags))                                          \
    FF_ROUNDING(fmadd_##s, s, f##_fma(A(s), B(s), C(s), rm, &flags))                               \
    FF_ROUNDING(fmsub_##s, s, f##_fma(A(s), B(s), C(s) ^ sign, rm, &flags))                        \
    FF_ROUNDING(fnmsub_##s, s, f##_fma(A(s) ^ sign, B(s), C(s), rm, &flags))                       \
    FF_ROUNDING(fnmadd_##s, s, f##_fma(A(s) ^ sign, B(s), C(s) ^ sign, rm, &flags))                \
    FF(fmin_##s, s, f##_min(A(s), B(s), &flags))                                                   \
    FF(fmax_##s, s, f##_max(A(s), B(s), &flags))                                                   \
    FF(fminm_##s, s, f##_minm(A(s), B(s), &flags))                                                 \
    FF(fmaxm_##s, s, f##_maxm(A(s), B(s), &flags))                                                 \
    FF(fsgnj_##s, s, (A(s) & ~sign) | (B(s) & sign))                                               \
    FF(fsgnjn_##s, s, (A(s) & ~sign) | (~B(s) & sign))                                             \
    FF(fsgnjx_##s, s, A(s) ^ (B(s) & sign))                                                        \
    FX(feq_##s, f##_eq(A(s), B(s), &flags))                                                        \
    FX(flt_##s, f##_lt(A(s), B(s), &flags))                                                        \
    FX(fle_##s, f##_le(A(s), B(s), &flags))                                                        \
    FX(fltq_##s, f##_ltq(A(s), B(s), &flags))                                                      \
    FX(fleq_##s, f##_leq(A(s), B(s), &flags))                                                      \
    FX(fclass_##s, f##_class(A(s)))                                                                \
    FX_ROUNDING(fcvt_w_##s, (int64_t)f##_to_i32(A(s), rm, &flags))                                 \
    FX_ROUNDING(fcvt_wu_##s, (int64_t)(int32_t)f##_to_u32(A(s), rm, &flags))                       \
    FX_ROUNDING(fcvt_l_##s, f##_to_i64(A(s), rm, &flags))                                          \
    FX_ROUNDING(fcvt_lu_##s, f##_to_u64(A(s), rm, &flags))                                         \
    FF_ROUNDING(fcvt_##s##_l, s, f##_from_i64(X, rm, &flags))                                      \
    FF_ROUNDING(fcvt_##s##_lu, s, f##_from_u64(X, rm, &flags))                                     \
    FF(fli_##s, s, f##_constant(op->rs1))                                                          \
    FF_ROUNDING(fround_##s, s, f##_round(A(s), rm, &flags))                                        \
    FF_ROUNDING(froundnx_##s, s, f##_roundnx(A(s), rm, &flags))                                    \
    FF_ROUNDING(fcvt_##s##_h, s, ((void)rm, f##_from_f16(A(h), &flags)))                           \
    FF_ROUNDING(fcvt_h_##s, h, f16_from_##f(A(s), rm, &flags))

COMPUTE(s, f32, SIGN32)
COMPUTE(d, f64, SIGN64)
FF_ROUNDING(fcvt_s_w, s, f32_from_i32(X, rm, &flags))
FF_ROUNDING(fcvt_s_wu, s, f32_from_u32(X, rm, &flags))
FF_ROUNDING(fcvt_d_w, d, ((void)rm, f64_from_i32(X)))
FF_ROUNDING(fcvt_d_wu, d, ((void)rm, f64_from_u32(X)))
FF_ROUNDING(fcvt_s_d, s, f32_from_f64(A(d), rm, &flags))
FF_ROUNDING(fcvt_d_s, d, ((void)rm, f64_from_f32(A(s), &flags)))
FX(fcvtmod_w_d, (int64_t)f64_to_i32_modular(A(d), &flags))

/* Moves take the bits as they are, boxed or not. */
FX(fmv_x_h, (int64_t)(int16_t)hart->f[op->rs1])
FX(fmv_x_w, (int64_t)(int32_t)hart->f[op->rs1])
FX(fmv_x_d, hart->f[op->rs1])
FF(fmv_h_x, h, X)
FF(fmv_w_x, s, X)
FF(fmv_d_x, d, X)

/* Zfhmin, loads and stores */
BEGIN(flh)
uint64_t value;

if (!access_load(cpu, X + (uint64_t)(int64_t)op->imm, 2, &value))
    return OP_TRAP;
write_h(hart, op->rd, value);
END

    BEGIN(fsh) if (!access_store(cpu, X + (uint64_t)(int64_t)op->imm, 2,
                                 hart->f[op->rs2])) return OP_TRAP;
END

#define BOTH(ID, id) [RISCV_INSN_##ID##_S] = exec_##id##_s, [RISCV_INSN_##ID##_D] = exec_##id##_d
#define CONVERT(S, s)                                                                              \
    [RISCV_INSN_FCVT_W_##S] = exec_fcvt_w_##s, [RISCV_INSN_FCVT_WU_##S] = exec_fcvt_wu_##s,        \
    [RISCV_INSN_FCVT_L_##S] = exec_fcvt_l_##s, [RISCV_INSN_FCVT_LU_##S] = exec_fcvt_lu_##s,        \
    [RISCV_INSN_FCVT_##S##_W] = exec_fcvt_##s##_w,                                                 \
    [RISCV_INSN_FCVT_##S##_WU] = exec_fcvt_##s##_wu,                                               \
    [RISCV_INSN_FCVT_##S##_L] = exec_fcvt_##s##_l,                                                 \
    [RISCV_INSN_FCVT_##S##_LU] = exec_fcvt_##s##_lu,                                               \
    [RISCV_INSN_FCVT_##S##_H] = exec_fcvt_##s##_h, [RISCV_INSN_FCVT_H_##S] = exec_fcvt_h_##s

    op_function *const execute_float_functions[RISCV_INSN_COUNT] = {
        BOTH(FADD, fadd),
        BOTH(FSUB, fsub),
        BOTH(FMUL, fmul),
        BOTH(FDIV, fdiv),
        BOTH(FSQRT, fsqrt),
        BOTH(FMADD, fmadd),
        BOTH(FMSUB, fmsub),
        BOTH(FNMSUB, fnmsub),
        BOTH(FNMADD, fnmadd),
        BOTH(FMIN, fmin),
        BOTH(FMAX, fmax),
        BOTH(FMINM, fminm),
        BOTH(FMAXM, fmaxm),
        BOTH(FSGNJ, fsgnj),
        BOTH(FSGNJN, fsgnjn),
        BOTH(FSGNJX, fsgnjx),
        BOTH(FEQ, feq),
        BOTH(FLT, flt),
        BOTH(FLE, fle),
        BOTH(FLTQ, fltq),
        BOTH(FLEQ, fleq),
        BOTH(FCLASS, fclass),
        BOTH(FLI, fli),
        BOTH(FROUND, fround),
        BOTH(FROUNDNX, froundnx),
        CONVERT(S, s),
        CONVERT(D, d),
        [RISCV_INSN_FCVT_S_D] = exec_fcvt_s_d,
        [RISCV_INSN_FCVT_D_S] = exec_fcvt_d_s,
        [RISCV_INSN_FCVTMOD_W_D] = exec_fcvtmod_w_d,
        [RISCV_INSN_FMV_X_H] = exec_fmv_x_h,
        [RISCV_INSN_FMV_X_W] = exec_fmv_x_w,
        [RISCV_INSN_FMV_X_D] = exec_fmv_x_d,
        [RISCV_INSN_FMV_H_X] = exec_fmv_h_x,
        [RISCV_INSN_FMV_W_X] = exec_fmv_w_x,
        [RISCV_INSN_FMV_D_X] = exec_fmv_d_x,
        [RISCV_INSN_FLH] = exec_flh,
        [RISCV_INSN_FSH] = exec_fsh,
};
