/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From instruction bytes to what they mean: struct riscv_insn. Knows encodings only; which register
 * holds what, whether the hart may execute it now and what it does are the engines' business.
 *
 * A compressed instruction decodes to the 32-bit instruction that it stands for, with length 2. An
 * encoding that is illegal, reserved or of an extension that the hart has not is
 * RISCV_INSN_ILLEGAL. Pure functions; any thread.
 */
#ifndef HOSPES_CPU_RISCV_DECODE_H
#define HOSPES_CPU_RISCV_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/riscv/extensions.h"

enum riscv_insn_id {
    RISCV_INSN_ILLEGAL,
#define INSN(id, mnemonic, match, mask, format, extension, flags) RISCV_INSN_##id,
#include "cpu/riscv/instructions.inc"
#undef INSN
    RISCV_INSN_COUNT
};

/* Which fields an instruction has. Others read as 0. */
enum riscv_format {
    RISCV_FORMAT_NONE,
    RISCV_FORMAT_R,        /* rd, rs1, rs2 */
    RISCV_FORMAT_UNARY,    /* rd, rs1 */
    RISCV_FORMAT_I,        /* rd, rs1, imm */
    RISCV_FORMAT_SHIFT,    /* rd, rs1, imm: 0 to 63 */
    RISCV_FORMAT_SHIFTW,   /* rd, rs1, imm: 0 to 31 */
    RISCV_FORMAT_LOAD,     /* rd, imm(rs1) */
    RISCV_FORMAT_STORE,    /* rs2, imm(rs1) */
    RISCV_FORMAT_FLOAD,    /* LOAD, with a floating-point rd */
    RISCV_FORMAT_FSTORE,   /* STORE, with a floating-point rs2 */
    RISCV_FORMAT_B,        /* rs1, rs2, imm from the pc */
    RISCV_FORMAT_U,        /* rd, imm: shifted already */
    RISCV_FORMAT_J,        /* rd, imm from the pc */
    RISCV_FORMAT_FENCE,    /* imm: fm, pred, succ */
    RISCV_FORMAT_PREFETCH, /* imm(rs1) */
    RISCV_FORMAT_CBO,      /* (rs1) */
    RISCV_FORMAT_LR,       /* rd, (rs1); aq and rl in imm */
    RISCV_FORMAT_AMO,      /* rd, rs2, (rs1); aq and rl in imm */
    RISCV_FORMAT_FMA,      /* fd, fs1, fs2, fs3, rm */
    RISCV_FORMAT_FRM,      /* fd, fs1, fs2, rm */
    RISCV_FORMAT_FR,       /* fd, fs1, fs2 */
    RISCV_FORMAT_FRM1,     /* fd, fs1, rm */
    RISCV_FORMAT_FCMP,     /* rd, fs1, fs2 */
    RISCV_FORMAT_FTOX,     /* rd, fs1, rm */
    RISCV_FORMAT_FTOX1,    /* rd, fs1 */
    RISCV_FORMAT_XTOF,     /* fd, rs1, rm */
    RISCV_FORMAT_XTOF1,    /* fd, rs1 */
    RISCV_FORMAT_FLI,      /* fd, a constant's number in rs1 */
    RISCV_FORMAT_SFENCE,   /* rs1, rs2 */
    RISCV_FORMAT_CSR,      /* rd, csr in imm, rs1 */
    RISCV_FORMAT_CSRI,     /* rd, csr in imm, a constant in rs1 */
};

enum riscv_insn_flag {
    INSN_ENDS = 1,  /* what follows in memory is not, or need not be, what is executed next */
    INSN_FLOAT = 2, /* illegal while mstatus.FS is Off */
};

struct riscv_insn_type {
    const char *mnemonic;
    uint32_t match, mask;
    uint8_t format, extension, flags;
};

extern const struct riscv_insn_type riscv_insn_types[RISCV_INSN_COUNT];

struct riscv_insn {
    uint16_t id;    /* enum riscv_insn_id */
    uint8_t length; /* bytes: 2 or 4 */
    uint8_t rd, rs1, rs2, rs3;
    uint8_t rm;   /* 0 to 4, or RISCV_RM_DYN */
    int32_t imm;  /* sign-extended */
    uint32_t raw; /* the bytes; 16 bits of a compressed one: mtval of an illegal instruction */
};

enum { RISCV_RM_DYN = 7 };

/* In imm of the A extension. */
enum { RISCV_RELEASE = 1, RISCV_ACQUIRE = 2 };

/* Whether a fence (its imm) orders stores, or outputs, before loads, or inputs (unprivileged
 * specification, 2.7): what no weaker barrier does, and hosts with total store order do not
 * by themselves. */
static inline bool riscv_fence_is_full(int32_t imm)
{
    enum { OUTPUTS = 5 << 4 /* O and W, of predecessors */, INPUTS = 5 << 1 /* I and R */ };

    return (imm & OUTPUTS) && (imm & INPUTS);
}

/* Bytes of the instruction whose first 16 bits are `low`: 2 or 4. (Longer encodings are reserved
 * and decode as illegal ones of 4 bytes.) */
static inline unsigned riscv_insn_length(uint16_t low)
{
    return (low & 3) == 3 ? 4 : 2;
}

/* `word`: the bytes at the pc, of which a compressed instruction has the lower 16 bits. */
void riscv_decode(uint32_t word, struct riscv_insn *insn);

/* The compressed half, in decode_compressed.c. */
void riscv_decode_compressed(uint16_t word, struct riscv_insn *insn);

#endif
