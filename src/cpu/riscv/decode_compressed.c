/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C extension: each 16-bit encoding becomes the instruction that it is defined to expand to.
 * Source: volume I, "C" Extension for Compressed Instructions, tables "RVC Instruction Set
 * Listings, Quadrant 0" to "Quadrant 2" for RV64.
 */
#include "cpu/riscv/decode.h"

/* `count` bits of the encoding from bit `from` on, moved to bit `to`. */
static inline uint32_t move(uint16_t w, unsigned from, unsigned count, unsigned to)
{
    return (uint32_t)(w >> from & ((1u << count) - 1)) << to;
}

/* Sign-extends a value of `bits` bits. */
static inline int32_t extend(uint32_t v, unsigned bits)
{
    return (int32_t)(v << (32 - bits)) >> (32 - bits);
}

static void set_i(struct riscv_insn *insn, enum riscv_insn_id id, unsigned rd, unsigned rs1,
                  int32_t imm)
{
    insn->id = id;
    insn->rd = rd;
    insn->rs1 = rs1;
    insn->imm = imm;
}

static void set_s(struct riscv_insn *insn, enum riscv_insn_id id, unsigned rs1, unsigned rs2,
                  int32_t imm)
{
    insn->id = id;
    insn->rs1 = rs1;
    insn->rs2 = rs2;
    insn->imm = imm;
}

static void set_r(struct riscv_insn *insn, enum riscv_insn_id id, unsigned rd, unsigned rs1,
                  unsigned rs2)
{
    insn->id = id;
    insn->rd = rd;
    insn->rs1 = rs1;
    insn->rs2 = rs2;
}

static void quadrant0(uint16_t w, struct riscv_insn *insn)
{
    unsigned low = (w >> 2 & 7) + 8, high = (w >> 7 & 7) + 8;
    uint32_t word = move(w, 10, 3, 3) | move(w, 6, 1, 2) | move(w, 5, 1, 6);
    uint32_t doubleword = move(w, 10, 3, 3) | move(w, 5, 2, 6);
    uint32_t stack = move(w, 11, 2, 4) | move(w, 7, 4, 6) | move(w, 6, 1, 2) | move(w, 5, 1, 3);

    switch (w >> 13) {
    case 0: /* c.addi4spn; 0 is reserved, and with rd 0 the defined illegal instruction */
        if (stack)
            set_i(insn, RISCV_INSN_ADDI, low, 2, stack);
        break;
    case 1:
        set_i(insn, RISCV_INSN_FLD, low, high, doubleword);
        break;
    case 2:
        set_i(insn, RISCV_INSN_LW, low, high, word);
        break;
    case 3:
        set_i(insn, RISCV_INSN_LD, low, high, doubleword);
        break;
    case 5:
        set_s(insn, RISCV_INSN_FSD, high, low, doubleword);
        break;
    case 6:
        set_s(insn, RISCV_INSN_SW, high, low, word);
        break;
    case 7:
        set_s(insn, RISCV_INSN_SD, high, low, doubleword);
        break;
    default: /* 4 is reserved (Zcb) */
        break;
    }
}

/* MISC-ALU: shifts, c.andi and the register-register forms. */
static void quadrant1_alu(uint16_t w, struct riscv_insn *insn)
{
    static const uint16_t forms[8] = {
        RISCV_INSN_SUB,  RISCV_INSN_XOR,  RISCV_INSN_OR,      RISCV_INSN_AND,
        RISCV_INSN_SUBW, RISCV_INSN_ADDW, RISCV_INSN_ILLEGAL, RISCV_INSN_ILLEGAL,
    };
    unsigned rd = (w >> 7 & 7) + 8, rs2 = (w >> 2 & 7) + 8;
    uint32_t imm = move(w, 12, 1, 5) | move(w, 2, 5, 0);

    switch (w >> 10 & 3) {
    case 0:
        set_i(insn, RISCV_INSN_SRLI, rd, rd, imm);
        break;
    case 1:
        set_i(insn, RISCV_INSN_SRAI, rd, rd, imm);
        break;
    case 2:
        set_i(insn, RISCV_INSN_ANDI, rd, rd, extend(imm, 6));
        break;
    default:
        set_r(insn, forms[(w >> 12 & 1) << 2 | (w >> 5 & 3)], rd, rd, rs2);
        break;
    }
}

static void quadrant1(uint16_t w, struct riscv_insn *insn)
{
    unsigned rd = w >> 7 & 31, high = (w >> 7 & 7) + 8;
    int32_t imm = extend(move(w, 12, 1, 5) | move(w, 2, 5, 0), 6);
    int32_t branch = extend(move(w, 12, 1, 8) | move(w, 10, 2, 3) | move(w, 5, 2, 6) |
                                move(w, 3, 2, 1) | move(w, 2, 1, 5),
                            9);
    int32_t jump =
        extend(move(w, 12, 1, 11) | move(w, 11, 1, 4) | move(w, 9, 2, 8) | move(w, 8, 1, 10) |
                   move(w, 7, 1, 6) | move(w, 6, 1, 7) | move(w, 3, 3, 1) | move(w, 2, 1, 5),
               12);

    switch (w >> 13) {
    case 0: /* c.nop, c.addi */
        set_i(insn, RISCV_INSN_ADDI, rd, rd, imm);
        break;
    case 1: /* c.addiw; rd 0 is reserved */
        if (rd)
            set_i(insn, RISCV_INSN_ADDIW, rd, rd, imm);
        break;
    case 2: /* c.li */
        set_i(insn, RISCV_INSN_ADDI, rd, 0, imm);
        break;
    case 3:
        if (!imm) /* reserved (Zcmop) */
            break;
        if (rd == 2) /* c.addi16sp */
            set_i(insn, RISCV_INSN_ADDI, 2, 2,
                  extend(move(w, 12, 1, 9) | move(w, 6, 1, 4) | move(w, 5, 1, 6) |
                             move(w, 3, 2, 7) | move(w, 2, 1, 5),
                         10));
        else /* c.lui */
            set_i(insn, RISCV_INSN_LUI, rd, 0, imm * 4096);
        break;
    case 4:
        quadrant1_alu(w, insn);
        break;
    case 5: /* c.j */
        set_i(insn, RISCV_INSN_JAL, 0, 0, jump);
        break;
    case 6: /* c.beqz */
        set_s(insn, RISCV_INSN_BEQ, high, 0, branch);
        break;
    default: /* c.bnez */
        set_s(insn, RISCV_INSN_BNE, high, 0, branch);
        break;
    }
}

/* c.jr, c.mv, c.ebreak, c.jalr, c.add */
static void quadrant2_registers(uint16_t w, struct riscv_insn *insn)
{
    unsigned rd = w >> 7 & 31, rs2 = w >> 2 & 31;
    bool bit12 = w >> 12 & 1;

    if (rs2)
        set_r(insn, RISCV_INSN_ADD, rd, bit12 ? rd : 0, rs2);
    else if (rd)
        set_i(insn, RISCV_INSN_JALR, bit12, rd, 0);
    else if (bit12)
        insn->id = RISCV_INSN_EBREAK;
}

static void quadrant2(uint16_t w, struct riscv_insn *insn)
{
    unsigned rd = w >> 7 & 31, rs2 = w >> 2 & 31;
    uint32_t shift = move(w, 12, 1, 5) | move(w, 2, 5, 0);
    uint32_t load_w = move(w, 12, 1, 5) | move(w, 4, 3, 2) | move(w, 2, 2, 6);
    uint32_t load_d = move(w, 12, 1, 5) | move(w, 5, 2, 3) | move(w, 2, 3, 6);
    uint32_t store_w = move(w, 9, 4, 2) | move(w, 7, 2, 6);
    uint32_t store_d = move(w, 10, 3, 3) | move(w, 7, 3, 6);

    switch (w >> 13) {
    case 0: /* c.slli */
        set_i(insn, RISCV_INSN_SLLI, rd, rd, shift);
        break;
    case 1:
        set_i(insn, RISCV_INSN_FLD, rd, 2, load_d);
        break;
    case 2: /* c.lwsp; rd 0 is reserved */
        if (rd)
            set_i(insn, RISCV_INSN_LW, rd, 2, load_w);
        break;
    case 3: /* c.ldsp; rd 0 is reserved */
        if (rd)
            set_i(insn, RISCV_INSN_LD, rd, 2, load_d);
        break;
    case 4:
        quadrant2_registers(w, insn);
        break;
    case 5:
        set_s(insn, RISCV_INSN_FSD, 2, rs2, store_d);
        break;
    case 6:
        set_s(insn, RISCV_INSN_SW, 2, rs2, store_w);
        break;
    default:
        set_s(insn, RISCV_INSN_SD, 2, rs2, store_d);
        break;
    }
}

void riscv_decode_compressed(uint16_t w, struct riscv_insn *insn)
{
    switch (w & 3) {
    case 0:
        quadrant0(w, insn);
        break;
    case 1:
        quadrant1(w, insn);
        break;
    default:
        quadrant2(w, insn);
        break;
    }
}
