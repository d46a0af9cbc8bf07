/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomics: of pages that may be written, aligned; all else is the guest's to do.
 */
#include "cpu/host_x86_64/emitter.h"

static unsigned atomic_width(const struct ir_insn *insn)
{
    return insn->width == 8 ? OP_W : 0;
}

/* What memory held, in `reg`. */
static void atomic_result(struct emitter *e, const struct ir_insn *insn, unsigned reg)
{
    if (insn->width == 4 && is_global(insn->dst))
        movsxd(&e->b, reg, in_reg(reg));
    int_store(e, insn->dst, reg);
}

static void emit_exchange(struct emitter *e, const struct ir_insn *insn)
{
    struct place at = at_index(RAX, RCX, 0, 0);
    unsigned w = atomic_width(insn);

    int_load(e, RDX, insn->b, 0);
    if (insn->op == IR_ATOMIC_SWAP) {
        op(&e->b, w, 0x87, RDX, at);
    } else {
        put8(&e->b, 0xf0);
        op(&e->b, w | OP_0F, 0xc1, RDX, at); /* lock xadd */
    }
    atomic_result(e, insn, RDX);
}

static void emit_logic(struct emitter *e, const struct ir_insn *insn)
{
    enum x86_alu alu = insn->op == IR_ATOMIC_AND  ? ALU_AND
                       : insn->op == IR_ATOMIC_OR ? ALU_OR
                                                  : ALU_XOR;
    unsigned w = atomic_width(insn);
    uint8_t *loop;

    if (insn->dst == IR_ZERO) {
        int_load(e, RDX, insn->b, 0);
        put8(&e->b, 0xf0);
        alu_store(&e->b, w, alu, at_index(RAX, RCX, 0, 0), RDX);
        return;
    }
    lea(&e->b, OP_W, RCX, at_index(RAX, RCX, 0, 0));
    mov_load(&e->b, w, RAX, at_mem(RCX, 0));
    loop = e->b.at;
    int_load(e, RDX, insn->b, 0);
    alu_load(&e->b, w, alu, RDX, in_reg(RAX));
    put8(&e->b, 0xf0);
    op(&e->b, w | OP_0F, 0xb1, RDX, at_mem(RCX, 0)); /* lock cmpxchg */
    put8(&e->b, 0x70 | CC_NE);
    put8(&e->b, (unsigned)(loop - (e->b.at + 1)));
    atomic_result(e, insn, RAX);
}

static void emit_load_reserved(struct emitter *e, const struct ir_insn *insn)
{
    const struct guest_layout *l = e->layout;

    lea(&e->b, OP_W, RCX, at_index(RAX, RCX, 0, 0));
    if (insn->width == 4)
        movsxd(&e->b, RDX, at_mem(RCX, 0));
    else
        mov_load(&e->b, OP_W, RDX, at_mem(RCX, 0));
    alu_load(&e->b, OP_W, ALU_ADD, RCX, CONTEXT(gpa_offset));
    op(&e->b, 0, 0xc6, 0, state_place(l->reserved_offset));
    put8(&e->b, 1);
    op(&e->b, 0, 0xc6, 0, state_place(l->reserved_width_offset));
    put8(&e->b, insn->width);
    mov_store(&e->b, OP_W, state_place(l->reserved_address_offset), RCX);
    mov_store(&e->b, OP_W, state_place(l->reserved_value_offset), RDX);
    int_store(e, insn->dst, RDX);
}

static void emit_store_conditional(struct emitter *e, const struct ir_insn *insn)
{
    const struct guest_layout *l = e->layout;
    uint8_t *fail[4], *done;

    lea(&e->b, OP_W, RCX, at_index(RAX, RCX, 0, 0));
    mov_rr(&e->b, OP_W, RDX, RCX);
    alu_load(&e->b, OP_W, ALU_ADD, RDX, CONTEXT(gpa_offset));
    alu_load(&e->b, OP_W, ALU_CMP, RDX, state_place(l->reserved_address_offset));
    fail[0] = jcc_short(&e->b, CC_NE);
    op(&e->b, 0, 0x80, ALU_CMP, state_place(l->reserved_offset));
    put8(&e->b, 1);
    fail[1] = jcc_short(&e->b, CC_NE);
    op(&e->b, 0, 0x80, ALU_CMP, state_place(l->reserved_width_offset));
    put8(&e->b, insn->width);
    fail[2] = jcc_short(&e->b, CC_NE);
    mov_load(&e->b, OP_W, RAX, state_place(l->reserved_value_offset));
    int_load(e, RDX, insn->b, 0);
    put8(&e->b, 0xf0);
    op(&e->b, atomic_width(insn) | OP_0F, 0xb1, RDX, at_mem(RCX, 0)); /* lock cmpxchg */
    fail[3] = jcc_short(&e->b, CC_NE);
    mov_ri(&e->b, RAX, 0);
    done = jmp_short(&e->b);
    for (unsigned i = 0; i < 4; i++)
        jump_here(&e->b, fail[i]);
    mov_ri(&e->b, RAX, 1);
    jump_here(&e->b, done);
    op(&e->b, 0, 0xc6, 0, state_place(l->reserved_offset));
    put8(&e->b, 0);
    int_store(e, insn->dst, RAX);
}

void emit_atomic(struct emitter *e, const struct ir_insn *insn)
{
    struct cold *cold;

    emit_address(e, insn);
    cold = emit_translate(e, insn, e->layout->tlb_write, insn->width, true, COLD_GUEST);
    switch (insn->op) {
    case IR_ATOMIC_SWAP:
    case IR_ATOMIC_ADD:
        emit_exchange(e, insn);
        break;
    case IR_LOAD_RESERVED:
        emit_load_reserved(e, insn);
        break;
    case IR_STORE_CONDITIONAL:
        emit_store_conditional(e, insn);
        break;
    default:
        emit_logic(e, insn);
        break;
    }
    cold_back(e, cold);
}
