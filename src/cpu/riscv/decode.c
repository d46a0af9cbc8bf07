/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/decode.h"

#include "base/bits.h"

const struct riscv_insn_type riscv_insn_types[RISCV_INSN_COUNT] = {
    [RISCV_INSN_ILLEGAL] = {"illegal", 0, 0, RISCV_FORMAT_NONE, RISCV_EXT_I, INSN_ENDS},
#define INSN(id, mnemonic, match, mask, format, extension, flags)                                  \
    [RISCV_INSN_##                                                                                 \
        id] = {mnemonic, match, mask, RISCV_FORMAT_##format, RISCV_EXT_##extension, flags},
#include "cpu/riscv/instructions.inc"
#undef INSN
};

/* Where the rows of a major opcode (bits 6 to 2) begin and end. */
static const struct {
    uint16_t first, last;
} groups[32] = {
    [0x00] = {RISCV_INSN_LB, RISCV_INSN_LWU},
    [0x01] = {RISCV_INSN_FLH, RISCV_INSN_FLD},
    [0x03] = {RISCV_INSN_PAUSE, RISCV_INSN_CBO_ZERO},
    [0x04] = {RISCV_INSN_ADDI, RISCV_INSN_ANDI},
    [0x05] = {RISCV_INSN_AUIPC, RISCV_INSN_AUIPC},
    [0x06] = {RISCV_INSN_ADDIW, RISCV_INSN_RORIW},
    [0x08] = {RISCV_INSN_SB, RISCV_INSN_SD},
    [0x09] = {RISCV_INSN_FSH, RISCV_INSN_FSD},
    [0x0b] = {RISCV_INSN_LR_W, RISCV_INSN_AMOMAXU_D},
    [0x0c] = {RISCV_INSN_ADD, RISCV_INSN_CZERO_NEZ},
    [0x0d] = {RISCV_INSN_LUI, RISCV_INSN_LUI},
    [0x0e] = {RISCV_INSN_ADDW, RISCV_INSN_RORW},
    [0x10] = {RISCV_INSN_FMADD_S, RISCV_INSN_FMADD_D},
    [0x11] = {RISCV_INSN_FMSUB_S, RISCV_INSN_FMSUB_D},
    [0x12] = {RISCV_INSN_FNMSUB_S, RISCV_INSN_FNMSUB_D},
    [0x13] = {RISCV_INSN_FNMADD_S, RISCV_INSN_FNMADD_D},
    [0x14] = {RISCV_INSN_FADD_S, RISCV_INSN_FMV_H_X},
    [0x18] = {RISCV_INSN_BEQ, RISCV_INSN_BGEU},
    [0x19] = {RISCV_INSN_JALR, RISCV_INSN_JALR},
    [0x1b] = {RISCV_INSN_JAL, RISCV_INSN_JAL},
    [0x1c] = {RISCV_INSN_ECALL, RISCV_INSN_CSRRCI},
};

static int32_t immediate_i(uint32_t w)
{
    return (int32_t)w >> 20;
}

static int32_t immediate_s(uint32_t w)
{
    return (int32_t)(w & 0xfe000000) >> 20 | (int32_t)(w >> 7 & 0x1f);
}

static int32_t immediate_b(uint32_t w)
{
    return (int32_t)(w & 0x80000000) >> 19 |
           (int32_t)((w & 0x80) << 4 | (w >> 20 & 0x7e0) | (w >> 7 & 0x1e));
}

static int32_t immediate_j(uint32_t w)
{
    return (int32_t)(w & 0x80000000) >> 11 |
           (int32_t)((w & 0xff000) | (w >> 9 & 0x800) | (w >> 20 & 0x7fe));
}

/* Volume I, "Immediate Encoding Variants" and the formats at each instruction. */
static void fields_decode(uint32_t w, enum riscv_format format, struct riscv_insn *insn)
{
    uint8_t rd = w >> 7 & 31, rs1 = w >> 15 & 31, rs2 = w >> 20 & 31;

    switch (format) {
    case RISCV_FORMAT_NONE:
        break;
    case RISCV_FORMAT_FMA:
        insn->rs3 = w >> 27;
        __attribute__((fallthrough));
    case RISCV_FORMAT_FRM:
    case RISCV_FORMAT_R:
    case RISCV_FORMAT_FR:
    case RISCV_FORMAT_FCMP:
        insn->rs2 = rs2;
        __attribute__((fallthrough));
    case RISCV_FORMAT_UNARY:
    case RISCV_FORMAT_FRM1:
    case RISCV_FORMAT_FTOX:
    case RISCV_FORMAT_FTOX1:
    case RISCV_FORMAT_XTOF:
    case RISCV_FORMAT_XTOF1:
    case RISCV_FORMAT_FLI:
        insn->rd = rd;
        insn->rs1 = rs1;
        break;
    case RISCV_FORMAT_I:
    case RISCV_FORMAT_LOAD:
    case RISCV_FORMAT_FLOAD:
        insn->rd = rd;
        insn->rs1 = rs1;
        insn->imm = immediate_i(w);
        break;
    case RISCV_FORMAT_CSR:
    case RISCV_FORMAT_CSRI:
        insn->rd = rd;
        insn->rs1 = rs1;
        insn->imm = w >> 20;
        break;
    case RISCV_FORMAT_SHIFT:
        insn->rd = rd;
        insn->rs1 = rs1;
        insn->imm = w >> 20 & 63;
        break;
    case RISCV_FORMAT_SHIFTW:
        insn->rd = rd;
        insn->rs1 = rs1;
        insn->imm = w >> 20 & 31;
        break;
    case RISCV_FORMAT_STORE:
    case RISCV_FORMAT_FSTORE:
        insn->rs1 = rs1;
        insn->rs2 = rs2;
        insn->imm = immediate_s(w);
        break;
    case RISCV_FORMAT_PREFETCH:
        insn->rs1 = rs1;
        insn->imm = immediate_s(w) & ~31;
        break;
    case RISCV_FORMAT_CBO:
        insn->rs1 = rs1;
        break;
    case RISCV_FORMAT_SFENCE:
        insn->rs1 = rs1;
        insn->rs2 = rs2;
        break;
    case RISCV_FORMAT_FENCE:
        insn->imm = w >> 20;
        break;
    case RISCV_FORMAT_LR:
    case RISCV_FORMAT_AMO:
        insn->rd = rd;
        insn->rs1 = rs1;
        insn->rs2 = rs2;
        insn->imm = w >> 25 & 3;
        break;
    case RISCV_FORMAT_B:
        insn->rs1 = rs1;
        insn->rs2 = rs2;
        insn->imm = immediate_b(w);
        break;
    case RISCV_FORMAT_U:
        insn->rd = rd;
        insn->imm = (int32_t)(w & 0xfffff000);
        break;
    case RISCV_FORMAT_J:
        insn->rd = rd;
        insn->imm = immediate_j(w);
        break;
    }
}

static bool has_rounding(enum riscv_format format)
{
    return format == RISCV_FORMAT_FMA || format == RISCV_FORMAT_FRM ||
           format == RISCV_FORMAT_FRM1 || format == RISCV_FORMAT_FTOX ||
           format == RISCV_FORMAT_XTOF;
}

void riscv_decode(uint32_t w, struct riscv_insn *insn)
{
    unsigned group = w >> 2 & 31;

    *insn = (struct riscv_insn){.length = 4, .raw = w};
    if (riscv_insn_length(w) == 2) {
        *insn = (struct riscv_insn){.length = 2, .raw = w & 0xffff};
        riscv_decode_compressed(w, insn);
        return;
    }
    if (!groups[group].first)
        return;
    for (unsigned id = groups[group].first; id <= groups[group].last; id++) {
        const struct riscv_insn_type *type = &riscv_insn_types[id];

        if ((w & type->mask) != type->match)
            continue;
        if (has_rounding(type->format)) {
            uint8_t rm = w >> 12 & 7;

            /* F, "Floating-Point Control and Status Register": 5 and 6 are reserved. */
            if (rm == 5 || rm == 6)
                return;
            insn->rm = rm;
        }
        insn->id = id;
        fields_decode(w, type->format, insn);
        return;
    }
}
