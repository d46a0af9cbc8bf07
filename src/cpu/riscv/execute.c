/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loop: one function with a label an instruction, each ending in a jump to the next
 * one's label (threaded code), so that the host predicts each jump by itself. Here are the
 * instructions that are executed most; the others are functions called by op_CALL.
 *
 * It is one function, and long, because the registers that it lives from (op, base, budget) must
 * not leave it between two instructions. Each label is one plain implementation.
 *
 * Source: volume I; the chapter is named at each group.
 */
#include <endian.h>

#include "base/bits.h"
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/privileged.h"

/* To the instruction behind: ops that take one slot, and two. */
#define NEXT  goto *(++op)->handler
#define NEXT2 goto *(op += 2)->handler

#define RD  x[op->rd]
#define RS1 x[op->rs1]
#define RS2 x[op->rs2]
#define IMM ((uint64_t)(int64_t)op->imm)

/* The sign-extended lower 32 bits. */
#define SEXT32(v) ((uint64_t)(int64_t)(int32_t)(v))

#define SIMPLE(id, value)                                                                          \
    op_##id : RD = (value);                                                                        \
    NEXT;

/* An aligned access to a page in the TLB is done here; anything else elsewhere. */
#define LOAD(id, type, swap, extend)                                                               \
    op_##id:                                                                                       \
    {                                                                                              \
        uint64_t va = RS1 + IMM, slow;                                                             \
        const struct tlb_entry *e = &cpu->data->entries[(va >> PAGE_SHIFT) & (TLB_SIZE - 1)];      \
                                                                                                   \
        if (likely(e->read == (va & (PAGE_MASK | (sizeof(type) - 1))))) {                          \
            RD = extend(swap(                                                                      \
                __atomic_load_n((const type *)(uintptr_t)(va + e->addend), __ATOMIC_RELAXED)));    \
            NEXT;                                                                                  \
        }                                                                                          \
        if (!access_load(cpu, va, sizeof(type), &slow))                                            \
            goto trap;                                                                             \
        RD = extend(slow);                                                                         \
        NEXT;                                                                                      \
    }

#define STORE(id, type, swap, from, next)                                                          \
    op_##id:                                                                                       \
    {                                                                                              \
        uint64_t va = RS1 + IMM, value = (from);                                                   \
        const struct tlb_entry *e = &cpu->data->entries[(va >> PAGE_SHIFT) & (TLB_SIZE - 1)];      \
                                                                                                   \
        if (likely(e->write == (va & (PAGE_MASK | (sizeof(type) - 1)))))                           \
            __atomic_store_n((type *)(uintptr_t)(va + e->addend), (type)swap(value),               \
                             __ATOMIC_RELAXED);                                                    \
        else if (!access_store(cpu, va, sizeof(type), value))                                      \
            goto trap;                                                                             \
        next;                                                                                      \
    }

#define FLOAD(id, type, swap, box)                                                                 \
    op_##id:                                                                                       \
    {                                                                                              \
        uint64_t va = RS1 + IMM, value, slow;                                                      \
        const struct tlb_entry *e = &cpu->data->entries[(va >> PAGE_SHIFT) & (TLB_SIZE - 1)];      \
                                                                                                   \
        if (unlikely(!(hart->mstatus & MSTATUS_FS)))                                               \
            goto illegal;                                                                          \
        if (likely(e->read == (va & (PAGE_MASK | (sizeof(type) - 1))))) {                          \
            value = swap(                                                                          \
                __atomic_load_n((const type *)(uintptr_t)(va + e->addend), __ATOMIC_RELAXED));     \
        } else {                                                                                   \
            if (!access_load(cpu, va, sizeof(type), &slow))                                        \
                goto trap;                                                                         \
            value = slow;                                                                          \
        }                                                                                          \
        hart->mstatus |= MSTATUS_FS;                                                               \
        hart->f[op->rd] = value | (box);                                                           \
        NEXT2;                                                                                     \
    }

#define FLOAT_ON                                                                                   \
    if (unlikely(!(hart->mstatus & MSTATUS_FS)))                                                   \
    goto illegal

/* The block's neighbours. Entering asks three things: is the code still good (I2), does anyone
 * want something, may that many instructions be executed. */
#define MAY_ENTER(next)                                                                            \
    likely((next)->epoch == cpu->epoch && !cpu_signal_pending(&hart->signal) &&                    \
           budget >= cpu->low_water)

#define ENTER(next)                                                                                \
    do {                                                                                           \
        block = (next);                                                                            \
        op = block->ops;                                                                           \
        goto * op->handler;                                                                        \
    } while (0)

/* To base + imm, by the link if there is one. */
#define TAKE                                                                                       \
    do {                                                                                           \
        struct code_block *next = op[1].link;                                                      \
                                                                                                   \
        budget -= op[1].count;                                                                     \
        if (unlikely(!next))                                                                       \
            goto take_unlinked;                                                                    \
        base += IMM;                                                                               \
        if (!MAY_ENTER(next))                                                                      \
            goto leave_link;                                                                       \
        ENTER(next);                                                                               \
    } while (0)

/* To `target`, by the TLB and the hash. */
#define JUMP(target)                                                                               \
    do {                                                                                           \
        const struct tlb_entry *e;                                                                 \
        struct code_block *next;                                                                   \
                                                                                                   \
        base = (target);                                                                           \
        e = &cpu->fetch->entries[(base >> PAGE_SHIFT) & (TLB_SIZE - 1)];                           \
        next = cpu->hash[code_hash(base + e->addend)];                                             \
        if (unlikely(e->fetch != (base & PAGE_MASK) || next->host != base + e->addend ||           \
                     !MAY_ENTER(next)))                                                            \
            goto leave;                                                                            \
        ENTER(next);                                                                               \
    } while (0)

#define BRANCH(id, condition)                                                                      \
    op_##id : if (condition) TAKE;                                                                 \
    NEXT2;

#define LABEL(id) [RISCV_INSN_##id] = &&op_##id

/* Multiplication of polynomials over GF(2). Zbc, "clmul". */
static unsigned __int128 carryless_product(uint64_t a, uint64_t b)
{
    unsigned __int128 product = 0;

    for (unsigned i = 0; i < 64; i++)
        if (b >> i & 1)
            product ^= (unsigned __int128)a << i;
    return product;
}

/* With cpu NULL it answers execute_handler()'s question instead: labels exist only in here. */
static GUEST_ACCESS enum execute_result run(struct engine_cpu *cpu, struct code_block *block,
                                            const void *const **labels)
{
    /* clang-format off */
    static const void *const table[OP_HANDLER_COUNT] = {
        LABEL(LB), LABEL(LH), LABEL(LW), LABEL(LD), LABEL(LBU), LABEL(LHU), LABEL(LWU), LABEL(FLW),
        LABEL(FLD), LABEL(SB), LABEL(SH), LABEL(SW), LABEL(SD), LABEL(FSW), LABEL(FSD), LABEL(ADDI),
        LABEL(SLLI), LABEL(CLZ), LABEL(CTZ), LABEL(CPOP), LABEL(SEXT_B), LABEL(SEXT_H),
        LABEL(BSETI), LABEL(BCLRI), LABEL(BINVI), LABEL(BEXTI), LABEL(SLTI), LABEL(SLTIU),
        LABEL(XORI), LABEL(SRLI), LABEL(SRAI), LABEL(ORC_B), LABEL(REV8), LABEL(RORI), LABEL(ORI),
        LABEL(ANDI), LABEL(AUIPC), LABEL(ADDIW), LABEL(SLLIW), LABEL(SLLI_UW), LABEL(CLZW),
        LABEL(CTZW), LABEL(CPOPW), LABEL(SRLIW), LABEL(SRAIW), LABEL(RORIW), LABEL(ADD), LABEL(SLL),
        LABEL(SLT), LABEL(SLTU), LABEL(XOR), LABEL(SRL), LABEL(OR), LABEL(AND), LABEL(SUB),
        LABEL(SRA), LABEL(MUL), LABEL(MULH), LABEL(MULHSU), LABEL(MULHU), LABEL(DIV), LABEL(DIVU),
        LABEL(REM), LABEL(REMU), LABEL(SH1ADD), LABEL(SH2ADD), LABEL(SH3ADD), LABEL(ANDN),
        LABEL(ORN), LABEL(XNOR), LABEL(MIN), LABEL(MINU), LABEL(MAX), LABEL(MAXU), LABEL(ROL),
        LABEL(ROR), LABEL(BCLR), LABEL(BEXT), LABEL(BINV), LABEL(BSET), LABEL(CLMUL), LABEL(CLMULR),
        LABEL(CLMULH), LABEL(CZERO_EQZ), LABEL(CZERO_NEZ), LABEL(ADDW), LABEL(SUBW), LABEL(SLLW),
        LABEL(SRLW), LABEL(SRAW), LABEL(MULW), LABEL(DIVW), LABEL(DIVUW), LABEL(REMW), LABEL(REMUW),
        LABEL(ADD_UW), LABEL(SH1ADD_UW), LABEL(SH2ADD_UW), LABEL(SH3ADD_UW), LABEL(ZEXT_H),
        LABEL(ROLW), LABEL(RORW), LABEL(BEQ), LABEL(BNE), LABEL(BLT), LABEL(BGE), LABEL(BLTU),
        LABEL(BGEU), LABEL(JALR), LABEL(JAL), [OP_CALL] = &&op_CALL, [OP_FALL] = &&op_FALL,
        [OP_LI] = &&op_LI, [OP_MV] = &&op_MV, [OP_J] = &&op_J, [OP_JR] = &&op_JR,
        [OP_LOAD_X0] = &&op_LOAD_X0, [OP_HEAT] = &&op_HEAT,
    };
    /* clang-format on */
    struct riscv_hart *hart;
    const struct op *op;
    uint64_t *x, base;
    int64_t budget;

    if (!cpu) {
        *labels = table;
        return EXECUTE_NEXT;
    }
    hart = cpu->hart;
    x = hart->x;
    base = hart->pc;
    budget = cpu->budget;
    op = block->ops;
    goto * op->handler;

    /* I, "Integer Computational Instructions" */
    SIMPLE(LI, IMM)
    SIMPLE(MV, RS1)
    SIMPLE(AUIPC, base + IMM)
    SIMPLE(ADDI, RS1 + IMM)
    SIMPLE(SLTI, (int64_t)RS1 < op->imm)
    SIMPLE(SLTIU, RS1 < IMM)
    SIMPLE(XORI, RS1 ^ IMM)
    SIMPLE(ORI, RS1 | IMM)
    SIMPLE(ANDI, RS1 & IMM)
    SIMPLE(SLLI, RS1 << op->imm)
    SIMPLE(SRLI, RS1 >> op->imm)
    SIMPLE(SRAI, (int64_t)RS1 >> op->imm)
    SIMPLE(ADDIW, SEXT32(RS1 + IMM))
    SIMPLE(SLLIW, SEXT32((uint32_t)RS1 << op->imm))
    SIMPLE(SRLIW, SEXT32((uint32_t)RS1 >> op->imm))
    SIMPLE(SRAIW, SEXT32((int32_t)RS1 >> op->imm))
    SIMPLE(ADD, RS1 + RS2)
    SIMPLE(SUB, RS1 - RS2)
    SIMPLE(SLL, RS1 << (RS2 & 63))
    SIMPLE(SLT, (int64_t)RS1 < (int64_t)RS2)
    SIMPLE(SLTU, RS1 < RS2)
    SIMPLE(XOR, RS1 ^ RS2)
    SIMPLE(SRL, RS1 >> (RS2 & 63))
    SIMPLE(SRA, (int64_t)RS1 >> (RS2 & 63))
    SIMPLE(OR, RS1 | RS2)
    SIMPLE(AND, RS1 & RS2)
    SIMPLE(ADDW, SEXT32(RS1 + RS2))
    SIMPLE(SUBW, SEXT32(RS1 - RS2))
    SIMPLE(SLLW, SEXT32((uint32_t)RS1 << (RS2 & 31)))
    SIMPLE(SRLW, SEXT32((uint32_t)RS1 >> (RS2 & 31)))
    SIMPLE(SRAW, SEXT32((int32_t)RS1 >> (RS2 & 31)))

    /* M, "Multiplication Operations", "Division Operations": division by zero gives all ones and
     * the dividend as remainder, the one overflow gives the dividend and 0. */
    SIMPLE(MUL, RS1 * RS2)
    SIMPLE(MULH, (unsigned __int128)((__int128)(int64_t)RS1 * (int64_t)RS2) >> 64)
    SIMPLE(MULHSU, (unsigned __int128)((__int128)(int64_t)RS1 * (__int128)RS2) >> 64)
    SIMPLE(MULHU, (unsigned __int128)RS1 * RS2 >> 64)
    SIMPLE(MULW, SEXT32((uint32_t)RS1 * (uint32_t)RS2))
    SIMPLE(DIV, !RS2                ? UINT64_MAX
                : RS2 == UINT64_MAX ? -RS1
                                    : (uint64_t)((int64_t)RS1 / (int64_t)RS2))
    SIMPLE(DIVU, !RS2 ? UINT64_MAX : RS1 / RS2)
    SIMPLE(REM, !RS2 ? RS1 : RS2 == UINT64_MAX ? 0 : (uint64_t)((int64_t)RS1 % (int64_t)RS2))
    SIMPLE(REMU, !RS2 ? RS1 : RS1 % RS2)
    SIMPLE(DIVW, !(uint32_t)RS2                ? UINT64_MAX
                 : (uint32_t)RS2 == UINT32_MAX ? SEXT32(-(uint32_t)RS1)
                                               : SEXT32((int32_t)RS1 / (int32_t)RS2))
    SIMPLE(DIVUW, !(uint32_t)RS2 ? UINT64_MAX : SEXT32((uint32_t)RS1 / (uint32_t)RS2))
    SIMPLE(REMW, !(uint32_t)RS2                ? SEXT32(RS1)
                 : (uint32_t)RS2 == UINT32_MAX ? 0
                                               : SEXT32((int32_t)RS1 % (int32_t)RS2))
    SIMPLE(REMUW, !(uint32_t)RS2 ? SEXT32(RS1) : SEXT32((uint32_t)RS1 % (uint32_t)RS2))

    /* Zba */
    SIMPLE(SH1ADD, (RS1 << 1) + RS2)
    SIMPLE(SH2ADD, (RS1 << 2) + RS2)
    SIMPLE(SH3ADD, (RS1 << 3) + RS2)
    SIMPLE(ADD_UW, (uint64_t)(uint32_t)RS1 + RS2)
    SIMPLE(SH1ADD_UW, ((uint64_t)(uint32_t)RS1 << 1) + RS2)
    SIMPLE(SH2ADD_UW, ((uint64_t)(uint32_t)RS1 << 2) + RS2)
    SIMPLE(SH3ADD_UW, ((uint64_t)(uint32_t)RS1 << 3) + RS2)
    SIMPLE(SLLI_UW, (uint64_t)(uint32_t)RS1 << op->imm)

    /* Zbb; counting zeros of 0 gives the width. */
    SIMPLE(ANDN, RS1 & ~RS2)
    SIMPLE(ORN, RS1 | ~RS2)
    SIMPLE(XNOR, ~(RS1 ^ RS2))
    SIMPLE(CLZ, RS1 ? __builtin_clzll(RS1) : 64)
    SIMPLE(CTZ, RS1 ? __builtin_ctzll(RS1) : 64)
    SIMPLE(CPOP, __builtin_popcountll(RS1))
    SIMPLE(CLZW, (uint32_t)RS1 ? __builtin_clz(RS1) : 32)
    SIMPLE(CTZW, (uint32_t)RS1 ? __builtin_ctz(RS1) : 32)
    SIMPLE(CPOPW, __builtin_popcount(RS1))
    SIMPLE(MAX, (int64_t)RS1 > (int64_t)RS2 ? RS1 : RS2)
    SIMPLE(MAXU, RS1 > RS2 ? RS1 : RS2)
    SIMPLE(MIN, (int64_t)RS1 < (int64_t)RS2 ? RS1 : RS2)
    SIMPLE(MINU, RS1 < RS2 ? RS1 : RS2)
    SIMPLE(SEXT_B, (int64_t)(int8_t)RS1)
    SIMPLE(SEXT_H, (int64_t)(int16_t)RS1)
    SIMPLE(ZEXT_H, (uint16_t)RS1)
    SIMPLE(ROL, RS1 << (RS2 & 63) | RS1 >> (-RS2 & 63))
    SIMPLE(ROR, RS1 >> (RS2 & 63) | RS1 << (-RS2 & 63))
    SIMPLE(RORI, RS1 >> op->imm | RS1 << (-op->imm & 63))
    SIMPLE(ROLW, SEXT32((uint32_t)RS1 << (RS2 & 31) | (uint32_t)RS1 >> (-RS2 & 31)))
    SIMPLE(RORW, SEXT32((uint32_t)RS1 >> (RS2 & 31) | (uint32_t)RS1 << (-RS2 & 31)))
    SIMPLE(RORIW, SEXT32((uint32_t)RS1 >> op->imm | (uint32_t)RS1 << (-op->imm & 31)))
    SIMPLE(REV8, __builtin_bswap64(RS1))
op_ORC_B : {
    /* The low bit of each byte says whether any bit of it is set; times 255 fills the byte. */
    uint64_t v = RS1;

    v |= v >> 4 & 0x0f0f0f0f0f0f0f0f;
    v |= v >> 2 & 0x3333333333333333;
    v |= v >> 1 & 0x5555555555555555;
    RD = (v & 0x0101010101010101) * 255;
    NEXT;
}

    /* Zbs */
    SIMPLE(BCLR, RS1 & ~(UINT64_C(1) << (RS2 & 63)))
    SIMPLE(BCLRI, RS1 & ~(UINT64_C(1) << op->imm))
    SIMPLE(BEXT, RS1 >> (RS2 & 63) & 1)
    SIMPLE(BEXTI, RS1 >> op->imm & 1)
    SIMPLE(BINV, RS1 ^ UINT64_C(1) << (RS2 & 63))
    SIMPLE(BINVI, RS1 ^ UINT64_C(1) << op->imm)
    SIMPLE(BSET, RS1 | UINT64_C(1) << (RS2 & 63))
    SIMPLE(BSETI, RS1 | UINT64_C(1) << op->imm)

    /* Zbc; clmulr is the product without its highest and its lowest 63 bits. */
    SIMPLE(CLMUL, carryless_product(RS1, RS2))
    SIMPLE(CLMULR, carryless_product(RS1, RS2) >> 63)
    SIMPLE(CLMULH, carryless_product(RS1, RS2) >> 64)

    /* Zicond */
    SIMPLE(CZERO_EQZ, RS2 ? RS1 : 0)
    SIMPLE(CZERO_NEZ, RS2 ? 0 : RS1)

    /* I, "Load and Store Instructions" */
    LOAD(LB, uint8_t, , (int64_t)(int8_t))
    LOAD(LH, uint16_t, le16toh, (int64_t)(int16_t))
    LOAD(LW, uint32_t, le32toh, (int64_t)(int32_t))
    LOAD(LD, uint64_t, le64toh, )
    LOAD(LBU, uint8_t, , )
    LOAD(LHU, uint16_t, le16toh, )
    LOAD(LWU, uint32_t, le32toh, )
    STORE(SB, uint8_t, , RS2, NEXT)
    STORE(SH, uint16_t, htole16, RS2, NEXT)
    STORE(SW, uint32_t, htole32, RS2, NEXT)
    STORE(SD, uint64_t, htole64, RS2, NEXT)
op_LOAD_X0 : {
    uint64_t value;

    if (!access_load(cpu, RS1 + IMM, op->rs2, &value))
        goto trap;
    NEXT;
}

    /* F, D, "Load and Store Instructions". Narrow values are boxed in ones ("NaN Boxing of Narrower
     * Values"); a store takes the low bits, boxed or not. */
    FLOAD(FLW, uint32_t, le32toh, UINT64_C(0xffffffff) << 32)
    FLOAD(FLD, uint64_t, le64toh, 0)
op_FSW:
    FLOAT_ON;
    goto op_FSW_on;
op_FSD:
    FLOAT_ON;
    goto op_FSD_on;
    STORE(FSW_on, uint32_t, htole32, hart->f[op->rs2], NEXT2)
    STORE(FSD_on, uint64_t, htole64, hart->f[op->rs2], NEXT2)

    /* I, "Control Transfer Instructions" */
    BRANCH(BEQ, RS1 == RS2)
    BRANCH(BNE, RS1 != RS2)
    BRANCH(BLT, (int64_t)RS1 < (int64_t)RS2)
    BRANCH(BGE, (int64_t)RS1 >= (int64_t)RS2)
    BRANCH(BLTU, RS1 < RS2)
    BRANCH(BGEU, RS1 >= RS2)
op_JAL:
    RD = base + 2 * op->at + riscv_insn_length(op[1].raw);
    TAKE;
op_J:
    TAKE;
op_FALL:
    TAKE;
op_JALR : {
    uint64_t target = (RS1 + IMM) & ~UINT64_C(1);

    RD = base + 2 * op->at + riscv_insn_length(op[1].raw);
    budget -= op[1].count;
    JUMP(target);
}
op_JR:
    budget -= op[1].count;
    JUMP((RS1 + IMM) & ~UINT64_C(1));

op_CALL:
    cpu->base = base;
    cpu->budget = budget;
    switch (op[1].call(cpu, op)) {
    case OP_NEXT:
        NEXT2;
    case OP_TRAP:
        goto trap;
    default:
        cpu->budget = budget - op[1].count;
        return EXECUTE_NEXT;
    }

op_HEAT:
    /* Executed often enough to be translated: run() sees to it. */
    if (unlikely(--((struct op *)op)->imm < 0) && cpu->translating)
        goto leave;
    NEXT;

take_unlinked : {
    struct code_block *next;
    const struct tlb_entry *e;
    uint64_t from = base;

    base += IMM;
    e = &cpu->fetch->entries[(base >> PAGE_SHIFT) & (TLB_SIZE - 1)];
    next = cpu->hash[code_hash(base + e->addend)];
    if (e->fetch != (base & PAGE_MASK) || next->host != base + e->addend || !MAY_ENTER(next))
        goto leave;
    /* Both pages: the one that is executed may be mapped elsewhere by now. */
    if (!((from ^ base) & PAGE_MASK) && !((block->host ^ next->host) & PAGE_MASK))
        ((struct op *)op)[1].link = next;
    ENTER(next);
}

leave_link:
    /* A stale block may be dead, and nobody else takes the link back. */
    if (op[1].link->epoch != cpu->epoch)
        ((struct op *)op)[1].link = NULL;
leave:
    hart->pc = base;
    cpu->budget = budget;
    return EXECUTE_NEXT;

illegal:
    op_illegal(cpu, op);
trap:
    hart->pc = base + 2 * op->at;
    cpu->budget = budget - code_count_before(block, op->at);
    return EXECUTE_TRAP;
}

enum execute_result execute(struct engine_cpu *cpu, struct code_block *block)
{
    return run(cpu, block, NULL);
}

const void *execute_handler(unsigned handler)
{
    const void *const *labels;

    run(NULL, NULL, &labels);
    return labels[handler];
}
