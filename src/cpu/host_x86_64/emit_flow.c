/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a unit goes on. Within its page a jump leads straight to the other unit once there is one;
 * backward, to its poll entry. Elsewhere the jump cache tells.
 *
 * A call pushes the guest's return address and calls, so that the host predicts the return; a
 * return compares the address with what was pushed. Behind the call rax is the guest's address
 * again, and with it the page.
 */
#include <stddef.h>

#include "cpu/host_x86_64/emitter.h"

static bool is_inside(int64_t target)
{
    return target >= 0 && target < 4096;
}

/* Going to `target` from `insn` may close a loop. */
static bool is_backward(const struct ir_insn *insn, int64_t target)
{
    return target <= insn->at;
}

/* rax: the address; rcx = where its entry of the jump cache is, from the context. Compares. */
static void emit_probe(struct emitter *e)
{
    /* rorx ecx, eax, 13: the bits that reach the index are those above the page. */
    vex(&e->b, OP_0F3A | OP_F2 | OP_W, 0xf0, RCX, 0, in_reg(RAX));
    put8(&e->b, 12);
    alu_load(&e->b, 0, ALU_XOR, RCX, in_reg(RAX));
    shift_imm(&e->b, 0, 4, RCX, 3);
    alu_imm(&e->b, 0, ALU_AND, in_reg(RCX), (NATIVE_JUMPS - 1) * (int)sizeof(struct native_jump));
    alu_load(&e->b, OP_W, ALU_CMP, RAX,
             at_index(R14, RCX, 0, offsetof(struct native_context, jumps[0].tag)));
}

/* Goes there, with the page set. kind: 4 to jump, 2 to call. */
static void emit_known(struct emitter *e, unsigned kind)
{
    mov_rr(&e->b, OP_W, PAGE, RAX);
    alu_imm(&e->b, OP_W, ALU_AND, in_reg(PAGE), -4096);
    op(&e->b, 0, 0xff, kind, at_index(R14, RCX, 0, offsetof(struct native_context, jumps[0].code)));
}

/* rax: the address. */
static void emit_lookup(struct emitter *e, bool call)
{
    struct cold *cold;

    emit_probe(e);
    cold = emit_cold(e, CC_NE, COLD_MISS, NULL, call);
    emit_known(e, call ? 2 : 4);
    cold_back(e, cold);
}

void cold_miss(struct emitter *e, const struct cold *cold)
{
    call_to(&e->b, e->runtime->parts[PART_LOOKUP]);
    op(&e->b, 0, 0xff, cold->index ? 2 : 4, in_reg(RAX));
    if (cold->index)
        jmp_to(&e->b, cold->back);
}

/* The same within an out-of-line part, which can have none of its own. */
static void emit_lookup_inline(struct emitter *e)
{
    uint8_t *miss;

    emit_probe(e);
    miss = jcc_short(&e->b, CC_NE);
    emit_known(e, 4);
    jump_here(&e->b, miss);
    call_to(&e->b, e->runtime->parts[PART_LOOKUP]);
    op(&e->b, 0, 0xff, 4, in_reg(RAX));
}

/* rax = page + offset. */
static void load_address(struct emitter *e, int64_t offset)
{
    page_plus(e, RAX, offset);
}

/* A jump or a call whose displacement is the link's. */
static void emit_to_link(struct emitter *e, unsigned opcode, unsigned index)
{
    emit_patchable(e, 1);
    put8(&e->b, opcode);
    e->result->links[index].patch = here(&e->b);
    put32(&e->b, 0);
    emit_cold_from(e, COLD_LINK, NULL, index);
}

static void jump_to_target(struct emitter *e, int64_t target, bool polls)
{
    unsigned index;

    if (!is_inside(target)) {
        load_address(e, target);
        emit_lookup(e, false);
        return;
    }
    index = emit_link(e, (int32_t)target, polls);
    emit_to_link(e, 0xe9, index);
}

static void emit_branch(struct emitter *e, const struct ir_insn *insn)
{
    bool inside = is_inside(insn->imm);
    uint8_t *start = e->b.at;
    unsigned index, at;
    enum x86_cc cc;

    cc = int_compare_branch(e, insn);
    if (!inside) {
        emit_cold(e, cc, COLD_LOOKUP, insn, 0);
        return;
    }
    index = emit_link(e, (int32_t)insn->imm, is_backward(insn, insn->imm));
    if (e->runtime->counting || e->debts.words || e->debts.nans || e->borrowing) {
        emit_cold(e, cc, COLD_LINK_OUT, insn, index);
        return;
    }
    at = (here(&e->b) + 2) & 15;
    if (at > 12) { /* again further on: nothing comes between a compare and its jump */
        e->b.at = start;
        nops(&e->b, 16 - at);
        int_compare_branch(e, insn);
    }
    emit_cold(e, cc, COLD_LINK, insn, index);
    e->result->links[index].patch = here(&e->b) - 4;
}

void cold_lookup(struct emitter *e, const struct cold *cold)
{
    emit_count(e, cold->insn->done + 1);
    load_address(e, cold->insn->imm);
    emit_lookup_inline(e);
}

static void emit_jump(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done + 1);
    jump_to_target(e, insn->imm, is_backward(insn, insn->imm));
}

/* rax: the return address; `what` calls. */
static void emit_landing(struct emitter *e, const struct ir_insn *insn)
{
    alu_imm(&e->b, OP_W, ALU_ADD, in_reg(RSP), 8);
    if (insn->next == 4096) {
        emit_lookup(e, false);
        return;
    }
    lea(&e->b, OP_W, PAGE, at_mem(RAX, -(int32_t)insn->next));
    jump_to_target(e, insn->next, false);
}

static void emit_call(struct emitter *e, const struct ir_insn *insn)
{
    unsigned index;

    emit_count(e, insn->done + 1);
    load_address(e, insn->next);
    int_store(e, insn->dst, RAX);
    push_reg(&e->b, RAX);
    if (!is_inside(insn->imm)) {
        load_address(e, insn->imm);
        emit_lookup(e, true);
    } else {
        /* Polls whatever the direction: a tree of calls that only go forward can take for ever. */
        index = emit_link(e, (int32_t)insn->imm, true);
        emit_to_link(e, 0xe8, index);
    }
    emit_landing(e, insn);
}

static void load_target(struct emitter *e, const struct ir_insn *insn, unsigned reg)
{
    if (is_pinned(e, insn->a) && insn->imm) {
        lea(&e->b, OP_W, reg, at_mem(e->map->reg[insn->a], (int32_t)insn->imm));
        return;
    }
    int_load(e, reg, insn->a, 0);
    if (insn->imm)
        alu_imm(&e->b, OP_W, ALU_ADD, in_reg(reg), (int32_t)insn->imm);
}

static void emit_jump_to(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done + 1);
    load_target(e, insn, RAX);
    if (is_global(insn->dst)) {
        page_plus(e, RCX, insn->next);
        int_store(e, insn->dst, RCX);
    }
    emit_lookup(e, false);
}

static void emit_call_to(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done + 1);
    load_target(e, insn, RDX);
    load_address(e, insn->next);
    int_store(e, insn->dst, RAX);
    push_reg(&e->b, RAX);
    mov_rr(&e->b, OP_W, RAX, RDX);
    emit_lookup(e, true);
    emit_landing(e, insn);
}

static void emit_return(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done + 1);
    load_target(e, insn, RAX);
    alu_load(&e->b, OP_W, ALU_CMP, RAX, at_mem(RSP, 8));
    emit_cold(e, CC_NE, COLD_RETURN, insn, 0);
    put8(&e->b, 0xc3);
}

/* Not where the last call came from: a change of stacks, a long jump, or the stack was emptied.
 * What is on it is worth nothing now. */
void cold_return(struct emitter *e, const struct cold *cold)
{
    mov_load(&e->b, OP_W, RSP, CONTEXT(stack_top));
    emit_lookup_inline(e);
}

bool emit_flow(struct emitter *e, const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_BRANCH:
        emit_branch(e, insn);
        break;
    case IR_JUMP:
        emit_jump(e, insn);
        break;
    case IR_CALL:
        emit_call(e, insn);
        break;
    case IR_JUMP_TO:
        emit_jump_to(e, insn);
        break;
    case IR_CALL_TO:
        emit_call_to(e, insn);
        break;
    case IR_RETURN_TO:
        emit_return(e, insn);
        break;
    case IR_GUEST:
        emit_guest(e, insn);
        break;
    case IR_STEP:
        emit_count(e, insn->done);
        mov_ri(&e->b, RAX, insn->at);
        jmp_to(&e->b, e->runtime->parts[PART_EXIT_STEP]);
        break;
    default:
        return false;
    }
    return true;
}
