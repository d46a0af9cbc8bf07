/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RISC-V instructions as words, for tests that bring a few lines of guest code. Registers are
 * numbers; offsets of branches and jumps count from the instruction itself, in bytes.
 *
 * Source: volume I, "RV32/64G Instruction Set Listings".
 */
#ifndef HOSPES_TESTS_UNIT_RISCV_CODE_H
#define HOSPES_TESTS_UNIT_RISCV_CODE_H

#include <stdint.h>

enum {
    RA = 1,
    SP = 2,
    GP = 3,
    TP = 4,
    T0 = 5,
    T1 = 6,
    T2 = 7,
    S0 = 8,
    S1 = 9,
    A0 = 10,
    A1 = 11,
    A2 = 12,
    A3 = 13,
    A4 = 14,
    A5 = 15,
    A6 = 16,
    A7 = 17,
    S2 = 18,
    S3 = 19,
    S4 = 20,
    S5 = 21,
    T3 = 28,
    T4 = 29,
    T5 = 30,
    T6 = 31,
};

/* ---- formats: constants where that is wanted, so macros; INSN_S and INSN_B take their last
 * operand more than once ---- */

#define INSN_R(op, f3, f7, rd, rs1, rs2)                                                           \
    ((uint32_t)(op) | (uint32_t)(rd) << 7 | (uint32_t)(f3) << 12 | (uint32_t)(rs1) << 15 |         \
     (uint32_t)(rs2) << 20 | (uint32_t)(f7) << 25)
#define INSN_I(op, f3, rd, rs1, imm)                                                               \
    ((uint32_t)(op) | (uint32_t)(rd) << 7 | (uint32_t)(f3) << 12 | (uint32_t)(rs1) << 15 |         \
     (uint32_t)((imm)&0xfff) << 20)
#define INSN_S(op, f3, rs2, rs1, imm)                                                              \
    INSN_R(op, f3, (uint32_t)(imm) >> 5 & 0x7f, (imm)&31, rs1, rs2)
#define INSN_B(f3, rs1, rs2, offset)                                                               \
    INSN_R(0x63, f3, ((uint32_t)(offset) >> 12 & 1) << 6 | ((uint32_t)(offset) >> 5 & 63),         \
           ((uint32_t)(offset) >> 1 & 15) << 1 | ((uint32_t)(offset) >> 11 & 1), rs1, rs2)

/* ---- integer ---- */

#define ADDI(rd, rs1, imm)   INSN_I(0x13, 0, rd, rs1, imm)
#define SLTIU(rd, rs1, imm)  INSN_I(0x13, 3, rd, rs1, imm)
#define XORI(rd, rs1, imm)   INSN_I(0x13, 4, rd, rs1, imm)
#define ORI(rd, rs1, imm)    INSN_I(0x13, 6, rd, rs1, imm)
#define ANDI(rd, rs1, imm)   INSN_I(0x13, 7, rd, rs1, imm)
#define SLLI(rd, rs1, shift) INSN_I(0x13, 1, rd, rs1, shift)
#define SRLI(rd, rs1, shift) INSN_I(0x13, 5, rd, rs1, shift)
#define RORI(rd, rs1, shift) INSN_I(0x13, 5, rd, rs1, (shift) | 0x600)
#define ADDIW(rd, rs1, imm)  INSN_I(0x1b, 0, rd, rs1, imm)
#define ADD(rd, rs1, rs2)    INSN_R(0x33, 0, 0, rd, rs1, rs2)
#define SUB(rd, rs1, rs2)    INSN_R(0x33, 0, 0x20, rd, rs1, rs2)
#define SLTU(rd, rs1, rs2)   INSN_R(0x33, 3, 0, rd, rs1, rs2)
#define XOR(rd, rs1, rs2)    INSN_R(0x33, 4, 0, rd, rs1, rs2)
#define OR(rd, rs1, rs2)     INSN_R(0x33, 6, 0, rd, rs1, rs2)
#define AND(rd, rs1, rs2)    INSN_R(0x33, 7, 0, rd, rs1, rs2)
#define MUL(rd, rs1, rs2)    INSN_R(0x33, 0, 1, rd, rs1, rs2)
#define MULHU(rd, rs1, rs2)  INSN_R(0x33, 3, 1, rd, rs1, rs2)
#define DIVU(rd, rs1, rs2)   INSN_R(0x33, 5, 1, rd, rs1, rs2)
#define REMU(rd, rs1, rs2)   INSN_R(0x33, 7, 1, rd, rs1, rs2)
#define LUI(rd, imm20)       (0x37u | (uint32_t)(rd) << 7 | (uint32_t)(imm20) << 12)
#define AUIPC(rd, imm20)     (0x17u | (uint32_t)(rd) << 7 | (uint32_t)(imm20) << 12)
#define LI(rd, imm)          ADDI(rd, 0, imm)
#define MV(rd, rs1)          ADDI(rd, rs1, 0)
#define NOP                  ADDI(0, 0, 0)

/* ---- memory ---- */

#define LB(rd, rs1, imm)   INSN_I(0x03, 0, rd, rs1, imm)
#define LH(rd, rs1, imm)   INSN_I(0x03, 1, rd, rs1, imm)
#define LW(rd, rs1, imm)   INSN_I(0x03, 2, rd, rs1, imm)
#define LD(rd, rs1, imm)   INSN_I(0x03, 3, rd, rs1, imm)
#define LBU(rd, rs1, imm)  INSN_I(0x03, 4, rd, rs1, imm)
#define LHU(rd, rs1, imm)  INSN_I(0x03, 5, rd, rs1, imm)
#define LWU(rd, rs1, imm)  INSN_I(0x03, 6, rd, rs1, imm)
#define SB(rs2, rs1, imm)  INSN_S(0x23, 0, rs2, rs1, imm)
#define SH(rs2, rs1, imm)  INSN_S(0x23, 1, rs2, rs1, imm)
#define SW(rs2, rs1, imm)  INSN_S(0x23, 2, rs2, rs1, imm)
#define SD(rs2, rs1, imm)  INSN_S(0x23, 3, rs2, rs1, imm)
#define FLD(fd, rs1, imm)  INSN_I(0x07, 3, fd, rs1, imm)
#define FSD(fs2, rs1, imm) INSN_S(0x27, 3, fs2, rs1, imm)

/* `aqrl`: 2 acquire, 1 release. */
#define LR_W(rd, rs1, aqrl)         INSN_R(0x2f, 2, 0x08 | (aqrl), rd, rs1, 0)
#define LR_D(rd, rs1, aqrl)         INSN_R(0x2f, 3, 0x08 | (aqrl), rd, rs1, 0)
#define SC_W(rd, rs2, rs1, aqrl)    INSN_R(0x2f, 2, 0x0c | (aqrl), rd, rs1, rs2)
#define SC_D(rd, rs2, rs1, aqrl)    INSN_R(0x2f, 3, 0x0c | (aqrl), rd, rs1, rs2)
#define AMOADD_W(rd, rs2, rs1)      INSN_R(0x2f, 2, 0x00, rd, rs1, rs2)
#define AMOADD_D(rd, rs2, rs1)      INSN_R(0x2f, 3, 0x00, rd, rs1, rs2)
#define AMOSWAP_W(rd, rs2, rs1, aq) INSN_R(0x2f, 2, 0x04 | (aq), rd, rs1, rs2)
#define AMOSWAP_D(rd, rs2, rs1, aq) INSN_R(0x2f, 3, 0x04 | (aq), rd, rs1, rs2)
#define AMOXOR_D(rd, rs2, rs1)      INSN_R(0x2f, 3, 0x10, rd, rs1, rs2)
#define AMOOR_D(rd, rs2, rs1)       INSN_R(0x2f, 3, 0x20, rd, rs1, rs2)
#define AMOAND_D(rd, rs2, rs1)      INSN_R(0x2f, 3, 0x30, rd, rs1, rs2)

/* Sets of fence: reads and writes. */
enum { FENCE_R = 2, FENCE_W = 1, FENCE_RW = 3 };
#define FENCE(before, behind) (0x0fu | (uint32_t)(before) << 24 | (uint32_t)(behind) << 20)

/* ---- control ---- */

#define BEQ(rs1, rs2, offset)  INSN_B(0, rs1, rs2, offset)
#define BNE(rs1, rs2, offset)  INSN_B(1, rs1, rs2, offset)
#define BLT(rs1, rs2, offset)  INSN_B(4, rs1, rs2, offset)
#define BGE(rs1, rs2, offset)  INSN_B(5, rs1, rs2, offset)
#define BLTU(rs1, rs2, offset) INSN_B(6, rs1, rs2, offset)
#define BGEU(rs1, rs2, offset) INSN_B(7, rs1, rs2, offset)
#define BNEZ(rs1, offset)      BNE(rs1, 0, offset)
#define BEQZ(rs1, offset)      BEQ(rs1, 0, offset)
#define JAL(rd, offset)                                                                            \
    (0x6fu | (uint32_t)(rd) << 7 | ((uint32_t)(offset) >> 12 & 0xff) << 12 |                       \
     ((uint32_t)(offset) >> 11 & 1) << 20 | ((uint32_t)(offset) >> 1 & 0x3ff) << 21 |              \
     ((uint32_t)(offset) >> 20 & 1) << 31)
#define JALR(rd, rs1, imm) INSN_I(0x67, 0, rd, rs1, imm)
#define J(offset)          JAL(0, offset)
#define JR(rs1)            JALR(0, rs1, 0)
#define RET                JR(RA)

/* ---- system ---- */

#define CSRRW(rd, csr, rs1)  INSN_I(0x73, 1, rd, rs1, csr)
#define CSRRS(rd, csr, rs1)  INSN_I(0x73, 2, rd, rs1, csr)
#define CSRRC(rd, csr, rs1)  INSN_I(0x73, 3, rd, rs1, csr)
#define CSRRWI(rd, csr, imm) INSN_I(0x73, 5, rd, imm, csr)
#define CSRRSI(rd, csr, imm) INSN_I(0x73, 6, rd, imm, csr)
#define CSRRCI(rd, csr, imm) INSN_I(0x73, 7, rd, imm, csr)
#define SFENCE_VMA(rs1, rs2) INSN_R(0x73, 0, 0x09, 0, rs1, rs2)
#define ECALL                0x00000073u
#define MRET                 0x30200073u
#define SRET                 0x10200073u
#define WFI                  0x10500073u
#define PAUSE                0x0100000fu
#define FENCE_I              0x0000100fu
#define ILLEGAL              0xffffffffu

/* ---- floating point: dynamic rounding ---- */

#define FADD_D(fd, a, b)     INSN_R(0x53, 7, 0x01, fd, a, b)
#define FMUL_D(fd, a, b)     INSN_R(0x53, 7, 0x09, fd, a, b)
#define FDIV_D(fd, a, b)     INSN_R(0x53, 7, 0x0d, fd, a, b)
#define FMADD_D(fd, a, b, c) (INSN_R(0x43, 7, 0x01, fd, a, b) | (uint32_t)(c) << 27)
#define FCVT_D_L(fd, rs1)    INSN_R(0x53, 7, 0x69, fd, rs1, 2)
#define FMV_X_D(rd, fs1)     INSN_R(0x53, 0, 0x71, rd, fs1, 0)
#define FMV_D_X(fd, rs1)     INSN_R(0x53, 0, 0x79, fd, rs1, 0)

enum {
    CSR_FFLAGS = 0x001,
    CSR_FRM = 0x002,
    CSR_FCSR = 0x003,
    CSR_SSTATUS = 0x100,
    CSR_SEPC = 0x141,
    CSR_SIP = 0x144,
    CSR_SATP = 0x180,
    CSR_MSTATUS = 0x300,
    CSR_MTVEC = 0x305,
    CSR_MSCRATCH = 0x340,
    CSR_MEPC = 0x341,
    CSR_MCAUSE = 0x342,
    CSR_MTVAL = 0x343,
    CSR_MCYCLE = 0xb00,
    CSR_MINSTRET = 0xb02,
    CSR_INSTRET = 0xc02,
};

#endif
