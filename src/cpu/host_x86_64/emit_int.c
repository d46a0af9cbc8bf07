/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer operations. A global is in its register or in memory, and most instructions of the host
 * take one operand from either; results go to the global's register where the operands allow it.
 */
#include "cpu/host_x86_64/emitter.h"

static unsigned width_flag(const struct ir_insn *insn)
{
    return insn->width == 4 ? 0 : OP_W;
}

void int_load(struct emitter *e, unsigned reg, ir_ref ref, int64_t imm)
{
    if (ref == IR_IMM) {
        mov_ri(&e->b, reg, (uint64_t)imm);
    } else if (ref == IR_ZERO) {
        mov_ri(&e->b, reg, 0);
    } else if (ref == IR_PAGE) {
        mov_rr(&e->b, OP_W, reg, PAGE);
    } else if (is_pinned(e, ref)) {
        if (e->map->reg[ref] != reg)
            mov_rr(&e->b, OP_W, reg, e->map->reg[ref]);
    } else if (is_held(e, ref)) {
        if (reg != RAX)
            mov_rr(&e->b, OP_W, reg, RAX);
        hold(e, ref);
    } else {
        mov_load(&e->b, OP_W, reg, global_place(e, ref));
        if (reg == RAX)
            hold(e, ref);
    }
}

void page_plus(struct emitter *e, unsigned reg, int64_t offset)
{
    if (offset)
        lea(&e->b, OP_W, reg, at_mem(PAGE, (int32_t)offset));
    else
        mov_rr(&e->b, OP_W, reg, PAGE);
}

unsigned int_operand(struct emitter *e, ir_ref ref, int64_t imm, unsigned scratch)
{
    if (is_pinned(e, ref))
        return e->map->reg[ref];
    int_load(e, scratch, ref, imm);
    return scratch;
}

unsigned int_target(const struct emitter *e, ir_ref dst, unsigned scratch)
{
    return is_pinned(e, dst) ? e->map->reg[dst] : scratch;
}

void int_store(struct emitter *e, ir_ref dst, unsigned reg)
{
    if (is_pinned(e, dst)) {
        if (e->map->reg[dst] != reg)
            mov_rr(&e->b, OP_W, e->map->reg[dst], reg);
    } else if (is_global(dst)) {
        mov_store(&e->b, OP_W, global_place(e, dst), reg);
        if (reg == RAX)
            hold(e, dst);
    }
}

/* The sign-extended lower half of `reg`, to the global. */
static void store_word(struct emitter *e, ir_ref dst, unsigned reg)
{
    unsigned to = int_target(e, dst, reg);

    movsxd(&e->b, to, in_reg(reg));
    int_store(e, dst, to);
}

/* A result of the operation's width that is in `reg`. */
static void store_result(struct emitter *e, const struct ir_insn *insn, unsigned reg)
{
    if (debts_may_owe_word(e, insn)) {
        if (e->map->reg[insn->dst] != reg)
            mov_rr(&e->b, 0, e->map->reg[insn->dst], reg);
        e->owes_word = true;
    } else if (insn->width == 4)
        store_word(e, insn->dst, reg);
    else
        int_store(e, insn->dst, reg);
}

/* Where b can be read from by an instruction with a register-or-memory operand; what has no such
 * place is loaded into `scratch`. */
static struct place operand_place(struct emitter *e, ir_ref ref, int64_t imm, unsigned scratch)
{
    if (is_global(ref))
        return global_place(e, ref);
    int_load(e, scratch, ref, imm);
    return in_reg(scratch);
}

static bool is_small(const struct ir_insn *insn)
{
    return insn->b == IR_ZERO || (insn->b == IR_IMM && fits32(insn->imm));
}

static int32_t small_value(const struct ir_insn *insn)
{
    return insn->b == IR_ZERO ? 0 : (int32_t)insn->imm;
}

/* ---- add, sub, and, or, xor ---- */

static bool commutes(unsigned op)
{
    return op != IR_SUB;
}

static bool emit_lea(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = int_target(e, insn->dst, RAX);

    if (!is_pinned(e, insn->a) || insn->op != IR_ADD)
        return false;
    if (insn->b == IR_IMM && fits32(insn->imm))
        lea(&e->b, width_flag(insn), to, at_mem(e->map->reg[insn->a], (int32_t)insn->imm));
    else if (is_pinned(e, insn->b))
        lea(&e->b, width_flag(insn), to,
            at_index(e->map->reg[insn->a], e->map->reg[insn->b], 0, 0));
    else
        return false;
    store_result(e, insn, to);
    return true;
}

static void emit_alu(struct emitter *e, const struct ir_insn *given, enum x86_alu alu)
{
    struct ir_insn turned = *given;
    const struct ir_insn *insn = &turned;
    unsigned w = width_flag(insn), to;

    if (commutes(insn->op) && is_global(insn->b) && insn->b == insn->dst && insn->a != insn->dst &&
        insn->a != IR_PAGE) {
        turned.b = turned.a;
        turned.a = turned.dst;
    }
    if (insn->a != insn->dst && emit_lea(e, insn))
        return;
    /* In memory, in place. */
    if (w && insn->a == insn->dst && is_global(insn->a) && !is_pinned(e, insn->dst) &&
        (is_small(insn) || is_pinned(e, insn->b))) {
        if (is_small(insn))
            alu_imm(&e->b, w, alu, global_place(e, insn->dst), small_value(insn));
        else
            alu_store(&e->b, w, alu, global_place(e, insn->dst), e->map->reg[insn->b]);
        return;
    }
    to = int_target(e, insn->dst, RAX);
    if (is_pinned(e, insn->dst) && insn->b == insn->dst && insn->a != insn->dst)
        to = RAX;
    if (is_small(insn)) {
        int_load(e, to, insn->a, insn->imm);
        alu_imm(&e->b, w, alu, in_reg(to), small_value(insn));
    } else {
        struct place b = operand_place(e, insn->b, insn->imm, RCX);

        int_load(e, to, insn->a, insn->imm);
        alu_load(&e->b, w, alu, to, b);
    }
    store_result(e, insn, to);
}

/* a op ~b. */
static void emit_complement(struct emitter *e, const struct ir_insn *insn)
{
    unsigned b, a;

    if (insn->op == IR_ANDN) {
        b = int_operand(e, insn->b, insn->imm, RCX);
        a = int_operand(e, insn->a, insn->imm, RAX);
        /* andn: ~second & third */
        vex(&e->b, OP_0F38 | OP_W, 0xf2, RAX, b, in_reg(a));
    } else {
        int_load(e, RAX, insn->b, insn->imm);
        a = int_operand(e, insn->a, insn->imm, RCX);
        op(&e->b, OP_W, 0xf7, 2, in_reg(RAX)); /* not */
        alu_load(&e->b, OP_W, insn->op == IR_ORN ? ALU_OR : ALU_XOR, RAX, in_reg(a));
    }
    int_store(e, insn->dst, RAX);
}

/* ---- moves and extensions ---- */

static void emit_mov(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = int_target(e, insn->dst, RAX);

    if (insn->b == IR_PAGE) {
        page_plus(e, to, insn->imm);
        int_store(e, insn->dst, to);
    } else if (!is_pinned(e, insn->dst) && (is_small(insn))) {
        mov_mi(&e->b, OP_W, global_place(e, insn->dst), small_value(insn));
    } else if (is_pinned(e, insn->b)) {
        int_store(e, insn->dst, e->map->reg[insn->b]);
    } else {
        int_load(e, to, insn->b, insn->imm);
        int_store(e, insn->dst, to);
    }
}

static void emit_extend(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = int_target(e, insn->dst, RAX);
    struct place a = operand_place(e, insn->a, insn->imm, RAX);

    switch (insn->op) {
    case IR_SEXT8:
        op(&e->b, OP_W | OP_0F | OP_BYTE, 0xbe, to, a);
        break;
    case IR_SEXT16:
        op(&e->b, OP_W | OP_0F, 0xbf, to, a);
        break;
    case IR_SEXT32:
        movsxd(&e->b, to, a);
        break;
    case IR_ZEXT8:
        op(&e->b, OP_0F | OP_BYTE, 0xb6, to, a);
        break;
    case IR_ZEXT16:
        op(&e->b, OP_0F, 0xb7, to, a);
        break;
    default:
        mov_load(&e->b, 0, to, a);
        break;
    }
    int_store(e, insn->dst, to);
}

/* ---- shifts ---- */

static void emit_shift(struct emitter *e, const struct ir_insn *insn)
{
    static const uint8_t kinds[] = {[IR_SHL - IR_SHL] = 4,
                                    [IR_SHR - IR_SHL] = 5,
                                    [IR_SAR - IR_SHL] = 7,
                                    [IR_ROTL - IR_SHL] = 0,
                                    [IR_ROTR - IR_SHL] = 1};
    static const unsigned prefixes[] = {[IR_SHL - IR_SHL] = OP_66,
                                        [IR_SHR - IR_SHL] = OP_F2,
                                        [IR_SAR - IR_SHL] = OP_F3};
    unsigned w = width_flag(insn), to = int_target(e, insn->dst, RAX), kind = insn->op - IR_SHL;

    if (insn->b == IR_IMM) {
        unsigned count = insn->imm & (w ? 63 : 31);

        if (insn->op == IR_SHL && count <= 3 && count && is_pinned(e, insn->a) &&
            insn->a != insn->dst) {
            lea(&e->b, w, to, at_index(X86_NONE, e->map->reg[insn->a], count, 0));
        } else if (insn->op >= IR_ROTL && is_pinned(e, insn->a) && insn->a != insn->dst) {
            /* rorx */
            vex(&e->b, OP_0F3A | OP_F2 | w, 0xf0, to, 0, in_reg(e->map->reg[insn->a]));
            put8(&e->b, (insn->op == IR_ROTR ? count : -count) & (w ? 63 : 31));
        } else {
            int_load(e, to, insn->a, 0);
            if (count)
                shift_imm(&e->b, w, kinds[kind], to, count);
        }
    } else if (insn->op <= IR_SAR) {
        unsigned b = int_operand(e, insn->b, 0, RCX);
        struct place a = operand_place(e, insn->a, 0, RAX);

        /* shlx, shrx, sarx */
        vex(&e->b, OP_0F38 | w | prefixes[kind], 0xf7, to, b, a);
    } else {
        int_load(e, RCX, insn->b, 0);
        int_load(e, RAX, insn->a, 0);
        op(&e->b, w, 0xd3, kinds[kind], in_reg(RAX));
        to = RAX;
    }
    store_result(e, insn, to);
}

static void emit_shladd(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = int_target(e, insn->dst, RAX), a, b;

    if (insn->op == IR_SHLADDU) {
        struct place place = operand_place(e, insn->a, 0, RAX);

        mov_load(&e->b, 0, RAX, place);
        a = RAX;
    } else {
        a = int_operand(e, insn->a, 0, RAX);
    }
    if (insn->b == IR_ZERO) {
        if (insn->scale <= 3) {
            lea(&e->b, OP_W, to, at_index(X86_NONE, a, insn->scale, 0));
        } else {
            if (to != a)
                mov_rr(&e->b, OP_W, to, a);
            shift_imm(&e->b, OP_W, 4, to, insn->scale);
        }
    } else {
        b = int_operand(e, insn->b, insn->imm, RCX);
        lea(&e->b, OP_W, to, at_index(b, a, insn->scale, 0));
    }
    int_store(e, insn->dst, to);
}

/* ---- multiplication and division ---- */

static void emit_mul(struct emitter *e, const struct ir_insn *insn)
{
    unsigned w = width_flag(insn), to = int_target(e, insn->dst, RAX);

    if (insn->b == IR_IMM && fits32(insn->imm)) {
        op(&e->b, w, 0x69, to, operand_place(e, insn->a, 0, RAX));
        put32(&e->b, (uint32_t)insn->imm);
    } else {
        struct place b = operand_place(e, insn->b, insn->imm, RCX);

        if (insn->b == insn->dst && insn->a != insn->dst)
            to = RAX;
        int_load(e, to, insn->a, 0);
        op(&e->b, w | OP_0F, 0xaf, to, b);
    }
    store_result(e, insn, to);
}

static void emit_mulh(struct emitter *e, const struct ir_insn *insn)
{
    struct place b = operand_place(e, insn->b, 0, RCX);

    int_load(e, RAX, insn->a, 0);
    if (insn->op == IR_MULHSU) {
        /* The unsigned product is b too much where a is negative. */
        mov_rr(&e->b, OP_W, RCX, RAX);
        shift_imm(&e->b, OP_W, 7, RCX, 63);
        if (is_global(insn->b)) {
            alu_load(&e->b, OP_W, ALU_AND, RCX, b);
        } else {
            mov_ri(&e->b, RCX, 0);
            b = in_reg(RCX);
        }
        op(&e->b, OP_W, 0xf7, 4, b);
        alu_load(&e->b, OP_W, ALU_SUB, RDX, in_reg(RCX));
    } else {
        op(&e->b, OP_W, 0xf7, insn->op == IR_MULH ? 5 : 4, b);
    }
    int_store(e, insn->dst, RDX);
}

static bool is_signed_division(unsigned op)
{
    return op == IR_DIV || op == IR_REM;
}

static bool is_remainder(unsigned op)
{
    return op == IR_REM || op == IR_REMU;
}

static void emit_divide(struct emitter *e, const struct ir_insn *insn)
{
    unsigned w = width_flag(insn);
    struct cold *cold;

    int_load(e, RCX, insn->b, 0);
    int_load(e, RAX, insn->a, 0);
    if (is_signed_division(insn->op)) {
        /* 0 or -1, which are the host's exceptions. */
        lea(&e->b, w, RDX, at_mem(RCX, 1));
        alu_imm(&e->b, w, ALU_CMP, in_reg(RDX), 1);
        cold = emit_cold(e, CC_BE, COLD_DIVIDE, insn, 0);
        op(&e->b, w, 0x99, 0, in_reg(RAX)); /* cdq, cqo: no operand */
        e->b.at--;
        op(&e->b, w, 0xf7, 7, in_reg(RCX));
    } else {
        test_rr(&e->b, w, RCX, RCX);
        cold = emit_cold(e, CC_E, COLD_DIVIDE, insn, 0);
        mov_ri(&e->b, RDX, 0);
        op(&e->b, w, 0xf7, 6, in_reg(RCX));
    }
    cold_back(e, cold);
    store_result(e, insn, is_remainder(insn->op) ? RDX : RAX);
}

/* rax: a; rcx: b. */
void cold_divide(struct emitter *e, const struct cold *cold)
{
    const struct ir_insn *insn = cold->insn;
    uint8_t *zero;

    if (is_signed_division(insn->op)) {
        test_rr(&e->b, width_flag(insn), RCX, RCX);
        zero = jcc_short(&e->b, CC_E);
        if (is_remainder(insn->op))
            mov_ri(&e->b, RDX, 0);
        else
            op(&e->b, OP_W, 0xf7, 3, in_reg(RAX)); /* neg */
        jmp_to(&e->b, cold->back);
        jump_here(&e->b, zero);
    }
    if (is_remainder(insn->op))
        mov_rr(&e->b, OP_W, RDX, RAX);
    else
        mov_ri(&e->b, RAX, UINT64_MAX);
    jmp_to(&e->b, cold->back);
}

/* ---- bits ---- */

static void emit_count_bits(struct emitter *e, const struct ir_insn *insn)
{
    unsigned opcode = insn->op == IR_CLZ ? 0xbd : insn->op == IR_CTZ ? 0xbc : 0xb8;

    /* lzcnt, tzcnt, popcnt; the destination is an input to some processors. */
    op(&e->b, width_flag(insn) | OP_F3 | OP_0F, opcode, RAX, operand_place(e, insn->a, 0, RAX));
    int_store(e, insn->dst, RAX);
}

static void emit_bswap(struct emitter *e, const struct ir_insn *insn)
{
    int_load(e, RAX, insn->a, 0);
    put8(&e->b, 0x48);
    put8(&e->b, 0x0f);
    put8(&e->b, 0xc8);
    int_store(e, insn->dst, RAX);
}

/* Bytes that are zero, by the eight compares of the vector unit. */
static void emit_orcb(struct emitter *e, const struct ir_insn *insn)
{
    unsigned a = int_operand(e, insn->a, 0, RAX);

    vex(&e->b, OP_66 | OP_W, 0x6e, XMM14, 0, in_reg(a));   /* vmovq */
    vex(&e->b, OP_66, 0xef, XMM15, XMM15, in_reg(XMM15));  /* vpxor */
    vex(&e->b, OP_66, 0x74, XMM14, XMM14, in_reg(XMM15));  /* vpcmpeqb */
    vex(&e->b, OP_66 | OP_W, 0x7e, XMM14, 0, in_reg(RAX)); /* vmovq */
    op(&e->b, OP_W, 0xf7, 2, in_reg(RAX));                 /* not */
    int_store(e, insn->dst, RAX);
}

static void emit_bit(struct emitter *e, const struct ir_insn *insn)
{
    static const uint8_t opcodes[] = {[IR_BSET - IR_BSET] = 0xab,
                                      [IR_BCLR - IR_BSET] = 0xb3,
                                      [IR_BINV - IR_BSET] = 0xbb,
                                      [IR_BEXT - IR_BSET] = 0xa3};

    int_load(e, RCX, insn->b, insn->imm);
    int_load(e, RAX, insn->a, 0);
    /* bts, btr, btc, bt: the number is taken modulo 64. */
    op(&e->b, OP_W | OP_0F, opcodes[insn->op - IR_BSET], RCX, in_reg(RAX));
    if (insn->op == IR_BEXT) {
        setcc(&e->b, CC_B, RAX);
        op(&e->b, OP_0F | OP_BYTE, 0xb6, RAX, in_reg(RAX));
    }
    int_store(e, insn->dst, RAX);
}

static void emit_clmul(struct emitter *e, const struct ir_insn *insn)
{
    unsigned a = int_operand(e, insn->a, 0, RAX);
    unsigned b = int_operand(e, insn->b, insn->imm, RCX);

    vex(&e->b, OP_66 | OP_W, 0x6e, XMM14, 0, in_reg(a)); /* vmovq */
    vex(&e->b, OP_66 | OP_W, 0x6e, XMM15, 0, in_reg(b));
    vex(&e->b, OP_66 | OP_0F3A, 0x44, XMM14, XMM14, in_reg(XMM15)); /* vpclmulqdq */
    put8(&e->b, 0);
    if (insn->op != IR_CLMULH)
        vex(&e->b, OP_66 | OP_W, 0x7e, XMM14, 0, in_reg(RAX));
    if (insn->op != IR_CLMUL) {
        vex(&e->b, OP_66 | OP_0F3A | OP_W, 0x16, XMM14, 0, in_reg(RDX)); /* vpextrq */
        put8(&e->b, 1);
    }
    if (insn->op == IR_CLMULR) {
        op(&e->b, OP_W | OP_0F, 0xa4, RAX, in_reg(RDX)); /* shld rdx, rax, 1 */
        put8(&e->b, 1);
    }
    int_store(e, insn->dst, insn->op == IR_CLMUL ? RAX : RDX);
}

/* ---- comparisons ---- */

static const uint8_t conditions[] = {
    [IR_EQ] = CC_E,  [IR_NE] = CC_NE, [IR_LT] = CC_L,
    [IR_GE] = CC_GE, [IR_LTU] = CC_B, [IR_GEU] = CC_AE,
};

/* The same condition of b and a. */
static const uint8_t turned_conditions[] = {
    [IR_EQ] = CC_E,  [IR_NE] = CC_NE, [IR_LT] = CC_G,
    [IR_GE] = CC_LE, [IR_LTU] = CC_A, [IR_GEU] = CC_BE,
};

enum x86_cc int_compare(struct emitter *e, const struct ir_insn *insn)
{
    ir_ref a = insn->a, b = insn->b;
    unsigned w = debts_compare_words(e, insn) ? 0 : OP_W;

    if (a == IR_ZERO && b != IR_ZERO && b != IR_IMM) {
        if (is_pinned(e, b))
            test_rr(&e->b, OP_W, e->map->reg[b], e->map->reg[b]);
        else
            alu_imm(&e->b, OP_W, ALU_CMP, global_place(e, b), 0);
        return turned_conditions[insn->cond];
    }
    if (a == IR_ZERO) {
        int_load(e, RAX, IR_ZERO, 0);
        if (b == IR_IMM) {
            int_load(e, RCX, b, insn->imm);
            alu_load(&e->b, OP_W, ALU_CMP, RAX, in_reg(RCX));
        } else {
            test_rr(&e->b, OP_W, RAX, RAX);
        }
    } else if (b == IR_ZERO && is_pinned(e, a)) {
        test_rr(&e->b, w, e->map->reg[a], e->map->reg[a]);
    } else if (is_small(insn)) {
        alu_imm(&e->b, w, ALU_CMP, global_place(e, a), small_value(insn));
    } else if (is_pinned(e, a)) {
        struct place place = operand_place(e, b, insn->imm, RCX);

        alu_load(&e->b, w, ALU_CMP, e->map->reg[a], place);
    } else {
        unsigned reg = int_operand(e, b, insn->imm, RCX);

        alu_store(&e->b, w, ALU_CMP, global_place(e, a), reg);
    }
    return conditions[insn->cond];
}

enum x86_cc int_compare_branch(struct emitter *e, const struct ir_insn *insn)
{
    struct ir_insn compare = *insn;

    compare.imm = 0;
    return int_compare(e, &compare);
}

static void emit_set(struct emitter *e, const struct ir_insn *insn)
{
    enum x86_cc cc = int_compare(e, insn);
    unsigned to = int_target(e, insn->dst, RAX);

    setcc(&e->b, cc, RAX);
    op(&e->b, OP_0F | OP_BYTE, 0xb6, to, in_reg(RAX));
    int_store(e, insn->dst, to);
}

/* dst = 0 or a, by b. */
static void emit_keep(struct emitter *e, const struct ir_insn *insn)
{
    unsigned b = int_operand(e, insn->b, 0, RCX);

    test_rr(&e->b, OP_W, b, b);
    mov_ri(&e->b, RAX, 0);
    cmov(&e->b, OP_W, insn->op == IR_KEEP_NEZ ? CC_NE : CC_E, RAX,
         operand_place(e, insn->a, 0, RDX));
    int_store(e, insn->dst, RAX);
}

static void emit_minmax(struct emitter *e, const struct ir_insn *insn)
{
    /* When b is to be taken, after cmp a, b. */
    static const uint8_t takes_b[] = {[IR_MIN - IR_MIN] = CC_G,
                                      [IR_MINU - IR_MIN] = CC_A,
                                      [IR_MAX - IR_MIN] = CC_L,
                                      [IR_MAXU - IR_MIN] = CC_B};
    unsigned b = int_operand(e, insn->b, 0, RCX);

    int_load(e, RAX, insn->a, 0);
    alu_load(&e->b, OP_W, ALU_CMP, RAX, in_reg(b));
    cmov(&e->b, OP_W, takes_b[insn->op - IR_MIN], RAX, in_reg(b));
    int_store(e, insn->dst, RAX);
}

bool emit_int(struct emitter *e, const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_NOP:
        break;
    case IR_MOV:
        emit_mov(e, insn);
        break;
    case IR_ADD:
        emit_alu(e, insn, ALU_ADD);
        break;
    case IR_SUB:
        emit_alu(e, insn, ALU_SUB);
        break;
    case IR_AND:
        emit_alu(e, insn, ALU_AND);
        break;
    case IR_OR:
        emit_alu(e, insn, ALU_OR);
        break;
    case IR_XOR:
        emit_alu(e, insn, ALU_XOR);
        break;
    case IR_ANDN:
    case IR_ORN:
    case IR_XNOR:
        emit_complement(e, insn);
        break;
    case IR_SHL ... IR_ROTR:
        emit_shift(e, insn);
        break;
    case IR_MUL:
        emit_mul(e, insn);
        break;
    case IR_MULH:
    case IR_MULHU:
    case IR_MULHSU:
        emit_mulh(e, insn);
        break;
    case IR_DIV ... IR_REMU:
        emit_divide(e, insn);
        break;
    case IR_MIN ... IR_MAXU:
        emit_minmax(e, insn);
        break;
    case IR_SHLADD:
    case IR_SHLADDU:
        emit_shladd(e, insn);
        break;
    case IR_SEXT8 ... IR_ZEXT32:
        emit_extend(e, insn);
        break;
    case IR_CLZ:
    case IR_CTZ:
    case IR_POPCNT:
        emit_count_bits(e, insn);
        break;
    case IR_BSWAP:
        emit_bswap(e, insn);
        break;
    case IR_ORCB:
        emit_orcb(e, insn);
        break;
    case IR_BSET ... IR_BEXT:
        emit_bit(e, insn);
        break;
    case IR_CLMUL ... IR_CLMULR:
        emit_clmul(e, insn);
        break;
    case IR_SET:
        emit_set(e, insn);
        break;
    case IR_KEEP_NEZ:
    case IR_KEEP_EQZ:
        emit_keep(e, insn);
        break;
    default:
        return false;
    }
    return true;
}
