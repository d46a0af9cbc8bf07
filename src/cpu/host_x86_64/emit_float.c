/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating point on the host's own: IEEE 754 in both, with these differences.
 *  - A NaN that is a result is the canonical one; the host's has another sign or payload. Each
 *    result is compared with itself.
 *  - A float of 4 bytes must be boxed in ones; what is not known to be is looked at.
 *  - Infinity times zero plus a quiet NaN is invalid for some guests and not for the host; such a
 *    result is a NaN, and then the guest does the whole instruction again, exactly. Flags only
 *    gather, and the host never raises one that the guest would not.
 *  - The least of +0 and -0 is -0, the greatest +0; the host gives the second operand.
 *  - A conversion that overflows gives 0x80..0; the guest does those.
 *
 * Sources: Intel SDM volume 1, 4.8.3.5 and 14.5.3 (NaNs), volume 2 (instructions).
 */
#include <stddef.h>

#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"

void float_store_boxed(struct emitter *e, ir_ref dst, unsigned width)
{
    if (width == 4)
        e->boxed[dst / 64] |= UINT64_C(1) << (dst % 64);
    else
        e->boxed[dst / 64] &= ~(UINT64_C(1) << (dst % 64));
}

static unsigned scalar(const struct ir_insn *insn)
{
    return insn->width == 4 ? OP_F3 : OP_F2;
}

/* Packed instructions: none for single, 66 for double. */
static unsigned packed(const struct ir_insn *insn)
{
    return insn->width == 4 ? 0 : OP_66;
}

static unsigned float_operand(struct emitter *e, ir_ref ref, unsigned scratch)
{
    if (is_pinned(e, ref))
        return e->map->reg[ref];
    vex(&e->b, OP_F2, 0x10, scratch, 0, global_place(e, ref)); /* vmovsd */
    return scratch;
}

static struct place float_place(const struct emitter *e, ir_ref ref)
{
    return global_place(e, ref);
}

static unsigned float_target(const struct emitter *e, ir_ref dst, unsigned scratch)
{
    return is_pinned(e, dst) ? e->map->reg[dst] : scratch;
}

static void float_store(struct emitter *e, const struct ir_insn *insn, unsigned width, unsigned reg)
{
    if (!is_pinned(e, insn->dst))
        vex(&e->b, OP_F2, 0x11, reg, 0, global_place(e, insn->dst));
    else if (e->map->reg[insn->dst] != reg)
        vex(&e->b, 0, 0x28, e->map->reg[insn->dst], 0, in_reg(reg)); /* vmovaps */
    float_store_boxed(e, insn->dst, width);
}

/* Cold parts that all lead to the fallback, for one instruction. */
struct exits {
    struct cold *cold[8];
    unsigned count;
};

static void exit_if(struct emitter *e, struct exits *exits, enum x86_cc cc,
                    const struct ir_insn *insn)
{
    exits->cold[exits->count++] = emit_cold(e, cc, COLD_GUEST, insn, 0);
}

static void exits_back(struct emitter *e, const struct exits *exits)
{
    for (unsigned i = 0; i < exits->count; i++)
        cold_back(e, exits->cold[i]);
}

/* Out unless the operand of 4 bytes is boxed. */
static void check_box(struct emitter *e, struct exits *exits, const struct ir_insn *insn,
                      ir_ref ref)
{
    if (insn->width != 4 || (e->boxed[ref / 64] >> (ref % 64) & 1))
        return;
    if (is_pinned(e, ref)) {
        vex(&e->b, OP_66 | OP_0F3A, 0x16, e->map->reg[ref], 0, in_reg(RAX)); /* vpextrd */
        put8(&e->b, 1);
        alu_imm(&e->b, 0, ALU_CMP, in_reg(RAX), -1);
    } else {
        struct place place = global_place(e, ref);

        place.disp += 4;
        alu_imm(&e->b, 0, ALU_CMP, place, -1);
    }
    /* It stays unboxed when the guest has done the instruction: nothing is learnt here. */
    exit_if(e, exits, CC_NE, insn);
}

/* vucomiss, vucomisd: quiet; vcomiss, vcomisd: a quiet NaN is invalid too. */
static void compare(struct emitter *e, const struct ir_insn *insn, bool quiet, unsigned a,
                    struct place b)
{
    vex(&e->b, packed(insn), quiet ? 0x2e : 0x2f, a, 0, b);
}

/* A NaN in `reg` becomes the canonical one. */
static void make_canonical(struct emitter *e, const struct ir_insn *insn, unsigned reg)
{
    if (debts_may_owe_nan(e, insn)) {
        e->owes_nan = true;
        return;
    }
    compare(e, insn, true, reg, in_reg(reg));
    emit_cold(e, CC_P, insn->width == 4 ? COLD_NAN32 : COLD_NAN64, insn, reg);
}

unsigned float_opcode(const struct ir_insn *insn)
{
    /* vfmadd213, vfmsub213, vfnmadd213, vfnmsub213: first = second * first op third */
    static const uint8_t opcodes[] = {
        [IR_FADD - IR_FADD] = 0x58,  [IR_FSUB - IR_FADD] = 0x5c,   [IR_FMUL - IR_FADD] = 0x59,
        [IR_FDIV - IR_FADD] = 0x5e,  [IR_FSQRT - IR_FADD] = 0x51,  [IR_FMADD - IR_FADD] = 0xa8,
        [IR_FMSUB - IR_FADD] = 0xaa, [IR_FNMSUB - IR_FADD] = 0xac, [IR_FNMADD - IR_FADD] = 0xae,
    };

    return opcodes[insn->op - IR_FADD];
}

static void emit_arithmetic(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = float_target(e, insn->dst, XMM14), a;
    struct exits exits = {.count = 0};

    check_box(e, &exits, insn, insn->a);
    check_box(e, &exits, insn, insn->b);
    a = float_operand(e, insn->a, XMM14);
    /* The upper half, and so the box, comes from the first operand. */
    vex(&e->b, scalar(insn), float_opcode(insn), to, a, float_place(e, insn->b));
    make_canonical(e, insn, to);
    float_store(e, insn, insn->width, to);
    exits_back(e, &exits);
}

static void emit_sqrt(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = float_target(e, insn->dst, XMM14), a;
    struct exits exits = {.count = 0};

    check_box(e, &exits, insn, insn->a);
    a = float_operand(e, insn->a, XMM14);
    vex(&e->b, scalar(insn), float_opcode(insn), to, a, in_reg(a));
    make_canonical(e, insn, to);
    float_store(e, insn, insn->width, to);
    exits_back(e, &exits);
}

static void emit_fma(struct emitter *e, const struct ir_insn *insn)
{
    struct exits exits = {.count = 0};
    unsigned b;

    check_box(e, &exits, insn, insn->a);
    check_box(e, &exits, insn, insn->b);
    check_box(e, &exits, insn, insn->c);
    if (is_pinned(e, insn->a))
        vex(&e->b, 0, 0x28, XMM15, 0, in_reg(e->map->reg[insn->a]));
    else
        float_operand(e, insn->a, XMM15);
    b = float_operand(e, insn->b, XMM14);
    vex(&e->b, OP_66 | OP_0F38 | (insn->width == 8 ? OP_W : 0), float_opcode(insn) | 1, XMM15, b,
        float_place(e, insn->c));
    compare(e, insn, true, XMM15, in_reg(XMM15));
    exit_if(e, &exits, CC_P, insn);
    float_store(e, insn, insn->width, XMM15);
    exits_back(e, &exits);
}

static void emit_float_minmax(struct emitter *e, const struct ir_insn *insn)
{
    bool least = insn->op == IR_FMIN;
    struct exits exits = {.count = 0};
    uint8_t *differ, *done;
    unsigned a, b;

    check_box(e, &exits, insn, insn->a);
    check_box(e, &exits, insn, insn->b);
    a = float_operand(e, insn->a, XMM14);
    b = float_operand(e, insn->b, XMM15);
    compare(e, insn, true, a, in_reg(b));
    exit_if(e, &exits, CC_P, insn);
    differ = jcc_short(&e->b, CC_NE);
    /* Equal: the same bits, or zeros of both signs. */
    vex(&e->b, packed(insn), least ? 0x56 : 0x54, XMM14, a, in_reg(b));
    done = jmp_short(&e->b);
    jump_here(&e->b, differ);
    vex(&e->b, scalar(insn), least ? 0x5d : 0x5f, XMM14, a, in_reg(b));
    jump_here(&e->b, done);
    float_store(e, insn, insn->width, XMM14);
    exits_back(e, &exits);
}

static void emit_sign(struct emitter *e, const struct ir_insn *insn)
{
    const uint64_t *parts = e->runtime->parts;
    struct place sign = at_fixed(parts[insn->width == 4 ? PART_SIGN32 : PART_SIGN64]);
    struct place magnitude =
        at_fixed(parts[insn->width == 4 ? PART_MAGNITUDE32 : PART_MAGNITUDE64]);
    struct exits exits = {.count = 0};
    unsigned a;

    check_box(e, &exits, insn, insn->a);
    check_box(e, &exits, insn, insn->b);
    a = float_operand(e, insn->a, XMM14);
    if (insn->a == insn->b && insn->op == IR_FSGNJ) {
        float_store(e, insn, insn->width, a);
    } else if (insn->a == insn->b) {
        unsigned to = float_target(e, insn->dst, XMM14);

        if (insn->op == IR_FSGNJN)
            vex(&e->b, 0, 0x57, to, a, sign); /* vxorps */
        else
            vex(&e->b, 0, 0x54, to, a, magnitude); /* vandps */
        float_store(e, insn, insn->width, to);
    } else {
        unsigned b = float_operand(e, insn->b, XMM15);

        vex(&e->b, 0, 0x54, XMM15, b, sign);
        if (insn->op == IR_FSGNJX) {
            vex(&e->b, 0, 0x57, XMM15, XMM15, in_reg(a));
        } else {
            if (insn->op == IR_FSGNJN)
                vex(&e->b, 0, 0x57, XMM15, XMM15, sign);
            vex(&e->b, 0, 0x54, XMM14, a, magnitude);
            vex(&e->b, 0, 0x56, XMM15, XMM15, in_reg(XMM14));
        }
        float_store(e, insn, insn->width, XMM15);
    }
    exits_back(e, &exits);
}

static void emit_float_compare(struct emitter *e, const struct ir_insn *insn)
{
    struct exits exits = {.count = 0};
    unsigned to = int_target(e, insn->dst, RAX);

    check_box(e, &exits, insn, insn->a);
    check_box(e, &exits, insn, insn->b);
    if (insn->op == IR_FEQ) {
        unsigned a = float_operand(e, insn->a, XMM14);

        compare(e, insn, true, a, float_place(e, insn->b));
        setcc(&e->b, CC_NP, RCX);
        setcc(&e->b, CC_E, RAX);
        alu_load(&e->b, 0, ALU_AND, RAX, in_reg(RCX));
    } else {
        unsigned b = float_operand(e, insn->b, XMM14);

        /* b above a; not so if they are unordered. */
        compare(e, insn, false, b, float_place(e, insn->a));
        setcc(&e->b, insn->op == IR_FLT ? CC_A : CC_AE, RAX);
    }
    op(&e->b, OP_0F | OP_BYTE, 0xb6, to, in_reg(RAX));
    int_store(e, insn->dst, to);
    exits_back(e, &exits);
}

static void emit_to_int(struct emitter *e, const struct ir_insn *insn)
{
    unsigned w = insn->scale == 8 ? OP_W : 0;
    struct exits exits = {.count = 0};

    check_box(e, &exits, insn, insn->a);
    /* vcvttsd2si, vcvtsd2si */
    vex(&e->b, scalar(insn) | w, insn->op == IR_FTOI_ZERO ? 0x2c : 0x2d, RAX, 0,
        float_place(e, insn->a));
    alu_imm(&e->b, w, ALU_CMP, in_reg(RAX), 1);
    exit_if(e, &exits, CC_O, insn);
    if (!w)
        movsxd(&e->b, RAX, in_reg(RAX));
    int_store(e, insn->dst, RAX);
    exits_back(e, &exits);
}

/* xmm15 = ones: as first operand it boxes a result of 4 bytes, and no result waits for it. */
static void load_ones(struct emitter *e)
{
    vex(&e->b, OP_66, 0x76, XMM15, XMM15, in_reg(XMM15)); /* vpcmpeqd */
}

static void emit_from_int(struct emitter *e, const struct ir_insn *insn)
{
    unsigned to = float_target(e, insn->dst, XMM14);
    unsigned a = int_operand(e, insn->a, 0, RAX);

    load_ones(e);
    vex(&e->b, scalar(insn) | (insn->scale == 8 ? OP_W : 0), 0x2a, to, XMM15, in_reg(a));
    float_store(e, insn, insn->width, to);
}

static void emit_convert(struct emitter *e, const struct ir_insn *insn)
{
    struct ir_insn result = *insn;
    struct exits exits = {.count = 0};

    check_box(e, &exits, insn, insn->a);
    load_ones(e);
    /* Not to the target: the guest, if it has to, finds the operand as it was. */
    vex(&e->b, scalar(insn), 0x5a, XMM14, XMM15, float_place(e, insn->a));
    result.width = insn->scale;
    compare(e, &result, true, XMM14, in_reg(XMM14));
    exit_if(e, &exits, CC_P, insn);
    float_store(e, insn, insn->scale, XMM14);
    exits_back(e, &exits);
}

static void emit_bits(struct emitter *e, const struct ir_insn *insn)
{
    if (insn->op == IR_FBITS) {
        unsigned to = int_target(e, insn->dst, RAX);

        if (is_pinned(e, insn->a)) {
            vex(&e->b, OP_66 | (insn->width == 8 ? OP_W : 0), 0x7e, e->map->reg[insn->a], 0,
                in_reg(to));
            if (insn->width == 4)
                movsxd(&e->b, to, in_reg(to));
        } else if (insn->width == 8) {
            mov_load(&e->b, OP_W, to, global_place(e, insn->a));
        } else {
            movsxd(&e->b, to, global_place(e, insn->a));
        }
        int_store(e, insn->dst, to);
        return;
    }
    if (insn->width == 8) {
        unsigned a = int_operand(e, insn->a, 0, RAX), to = float_target(e, insn->dst, XMM14);

        vex(&e->b, OP_66 | OP_W, 0x6e, to, 0, in_reg(a));
        float_store(e, insn, 8, to);
    } else {
        unsigned a = int_operand(e, insn->a, 0, RAX), to = float_target(e, insn->dst, XMM14);

        vex(&e->b, OP_66, 0x6e, to, 0, in_reg(a));
        vex(&e->b, 0, 0x56, to, to, at_fixed(e->runtime->parts[PART_BOX]));
        float_store(e, insn, 4, to);
    }
}

/* eax = the flags that the host gathered; `scratch` is lost. */
static void load_host_flags(struct emitter *e, unsigned scratch)
{
    op(&e->b, OP_0F, 0xae, 3, CONTEXT(control)); /* stmxcsr */
    mov_load(&e->b, 0, RAX, CONTEXT(control));
    alu_imm(&e->b, 0, ALU_AND, in_reg(RAX), 63);
    lea(&e->b, OP_W, scratch, at_fixed(e->runtime->parts[PART_FLAGS]));
    op(&e->b, OP_0F, 0xb6, RAX, at_index(scratch, RAX, 0, 0));
}

static void emit_flags_read(struct emitter *e, const struct ir_insn *insn)
{
    load_host_flags(e, RCX);
    alu_load(&e->b, 0, ALU_OR, RAX, state_place(e->layout->flags_offset));
    int_store(e, insn->dst, RAX);
}

/* A comparison that is not to raise a flag is one between a read of the flags and a write of what
 * was read. Behind it the host's parity tells of a NaN, without which it raises none. */
static bool ends_quiet_compare(const struct emitter *e, const struct ir_insn *insn)
{
    const struct ir_insn *compare = insn - 1, *read = insn - 2;

    return insn - e->unit->insns >= 2 && read->op == IR_FLAGS_READ &&
           (compare->op == IR_FLT || compare->op == IR_FLE) && compare->width == 8 &&
           is_global(insn->a) && insn->a == read->dst && insn->a != compare->dst &&
           insn->dst == IR_ZERO;
}

/* MXCSR is written only if it holds a flag that is to be gone: that is slow, and rare, since most
 * programs write back what they read. */
static void write_flags(struct emitter *e, const struct ir_insn *insn)
{
    uint8_t *kept;

    load_host_flags(e, RDX);
    int_load(e, RCX, insn->a, insn->imm);
    alu_imm(&e->b, 0, ALU_AND, in_reg(RCX), 31);
    mov_load(&e->b, 0, RDX, state_place(e->layout->flags_offset));
    alu_load(&e->b, 0, ALU_OR, RDX, in_reg(RAX));
    mov_store(&e->b, 0, state_place(e->layout->flags_offset), RCX);
    vex(&e->b, OP_0F38, 0xf2, RAX, RCX, in_reg(RAX)); /* andn: those to be gone */
    test_rr(&e->b, 0, RAX, RAX);
    kept = jcc_short(&e->b, CC_E);
    alu_imm(&e->b, 0, ALU_AND, CONTEXT(control), ~63);
    op(&e->b, OP_0F, 0xae, 2, CONTEXT(control)); /* ldmxcsr */
    jump_here(&e->b, kept);
    int_store(e, insn->dst, RDX);
}

static void emit_flags_write(struct emitter *e, const struct ir_insn *insn)
{
    if (ends_quiet_compare(e, insn))
        emit_cold(e, CC_P, COLD_FLAGS, insn, 0);
    else
        write_flags(e, insn);
}

void cold_flags(struct emitter *e, const struct cold *cold)
{
    write_flags(e, cold->insn);
    jmp_to(&e->b, cold->back);
}

bool emit_float(struct emitter *e, const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_FLOAT_GUARD:
        alu_imm(&e->b, 0, ALU_CMP, CONTEXT(float_ready), 0);
        emit_cold(e, CC_E, COLD_STEP, insn, 0);
        break;
    case IR_FADD ... IR_FDIV:
        emit_arithmetic(e, insn);
        break;
    case IR_FSQRT:
        emit_sqrt(e, insn);
        break;
    case IR_FMADD ... IR_FNMADD:
        emit_fma(e, insn);
        break;
    case IR_FMIN:
    case IR_FMAX:
        emit_float_minmax(e, insn);
        break;
    case IR_FSGNJ ... IR_FSGNJX:
        emit_sign(e, insn);
        break;
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE:
        emit_float_compare(e, insn);
        break;
    case IR_FTOI_ZERO:
    case IR_FTOI_ROUND:
        emit_to_int(e, insn);
        break;
    case IR_ITOF:
        emit_from_int(e, insn);
        break;
    case IR_FTOF:
        emit_convert(e, insn);
        break;
    case IR_FLAGS_READ:
        emit_flags_read(e, insn);
        break;
    case IR_FLAGS_WRITE:
        emit_flags_write(e, insn);
        break;
    case IR_FBITS:
    case IR_BITSF:
        emit_bits(e, insn);
        break;
    default:
        return false;
    }
    return true;
}
