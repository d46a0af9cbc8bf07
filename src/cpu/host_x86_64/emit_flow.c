/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a unit goes on. A jump whose target is known leads straight to the other unit once there is
 * one; backward, or to another page, to its poll entry, and to another page only after a look
 * whether the edge (native.h) holds in the context. Elsewhere the jump cache tells.
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

/* rax: the address; rcx = twice the index of its entry in the jump cache, so that 8 times that is
 * its place. Compares. */
static void emit_probe(struct emitter *e)
{
    /* rorx ecx, eax, 13: the bits that reach the index are those above the page. */
    vex(&e->b, OP_0F3A | OP_F2 | OP_W, 0xf0, RCX, 0, in_reg(RAX));
    put8(&e->b, 12);
    alu_load(&e->b, 0, ALU_XOR, RCX, in_reg(RAX));
    alu_imm(&e->b, 0, ALU_AND, in_reg(RCX), (NATIVE_JUMPS - 1) * 2);
    alu_load(&e->b, OP_W, ALU_CMP, RAX,
             at_index(R14, RCX, 3, CONTEXT_AT(offsetof(struct native_context, jumps[0].tag))));
}

/* Goes there, with the page set. kind: 4 to jump, 2 to call. */
static void emit_known(struct emitter *e, unsigned kind)
{
    mov_rr(&e->b, OP_W, PAGE, RAX);
    alu_imm(&e->b, OP_W, ALU_AND, in_reg(PAGE), -4096);
    op(&e->b, 0, 0xff, kind,
       at_index(R14, RCX, 3, CONTEXT_AT(offsetof(struct native_context, jumps[0].code))));
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
    call_to(&e->b, e->runtime->parts[cold->index ? PART_LOOKUP_CALL : PART_LOOKUP]);
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
    e->result->links[index].call = opcode == 0xe8;
    e->result->links[index].patch = here(&e->b);
    put32(&e->b, 0);
    emit_cold_from(e, COLD_LINK, NULL, index);
}

/* Compares: equal if the edge holds. rcx is lost. */
static void emit_edge(struct emitter *e, uint32_t edge)
{
    struct place slot = at_mem(R14, CONTEXT_AT(offsetof(struct native_context, edges) +
                                               8 * native_edge_slot(edge)));
    unsigned tag = native_edge_tag(edge), page = PAGE;

    if (tag) {
        lea(&e->b, OP_W, RCX, at_mem(PAGE, (int32_t)tag));
        page = RCX;
    }
    alu_load(&e->b, OP_W, ALU_CMP, page, slot);
}

/* To the page that the link leads to. */
static void emit_along(struct emitter *e, unsigned index)
{
    alu_imm(&e->b, OP_W, ALU_ADD, in_reg(PAGE), e->result->links[index].pages * 4096);
}

/* rax = the code that the link leads to, or out. */
static void emit_edge_miss(struct emitter *e, unsigned index, bool call)
{
    mov_ri(&e->b, RAX, (uintptr_t)link_record(e->records, index));
    call_to(&e->b, e->runtime->parts[call ? PART_EDGE_CALL : PART_EDGE]);
}

void cold_edge(struct emitter *e, const struct cold *cold)
{
    bool call = cold->kind == COLD_EDGE_CALL;

    emit_edge_miss(e, cold->index, call);
    op(&e->b, 0, 0xff, call ? 2 : 4, in_reg(RAX));
    if (call)
        jmp_to(&e->b, cold->back);
}

/* A jump or a call to `target`. */
static void go_to_target(struct emitter *e, int64_t target, bool polls, bool call)
{
    unsigned opcode = call ? 0xe8 : 0xe9;
    unsigned index = emit_link(e, (int32_t)target, polls);
    struct cold *cold;

    if (index == LINK_NONE) {
        load_address(e, target);
        emit_lookup(e, call);
    } else if (is_inside(target)) {
        emit_to_link(e, opcode, index);
    } else {
        emit_edge(e, e->result->links[index].edge);
        cold = emit_cold(e, CC_NE, call ? COLD_EDGE_CALL : COLD_EDGE, NULL, index);
        emit_along(e, index);
        emit_to_link(e, opcode, index);
        cold_back(e, cold);
    }
}

static void emit_branch(struct emitter *e, const struct ir_insn *insn)
{
    uint8_t *start = e->b.at;
    unsigned index, at;
    enum x86_cc cc;

    cc = int_compare_branch(e, insn);
    index = emit_link(e, (int32_t)insn->imm, is_backward(insn, insn->imm));
    if (index == LINK_NONE || !is_inside(insn->imm)) {
        emit_cold(e, cc, index == LINK_NONE ? COLD_LOOKUP : COLD_FAR, insn, index);
        return;
    }
    if (e->runtime->counting || e->debts.words || e->debts.nans || e->borrowing) {
        emit_cold(e, cc, COLD_LINK_OUT, insn, index);
        return;
    }
    at = (here(&e->b) + 2) & 15;
    if (at > 12) { /* again further on: nothing comes between a compare and its jump */
        e->b.at = start;
        hold_nothing(e);
        nops(&e->b, 16 - at);
        int_compare_branch(e, insn);
    }
    emit_cold(e, cc, COLD_LINK, insn, index);
    e->result->links[index].patch = here(&e->b) - 4;
}

void cold_far(struct emitter *e, const struct cold *cold)
{
    unsigned index = cold->index;
    uint8_t *miss;

    emit_count(e, cold->insn->done + 1);
    emit_edge(e, e->result->links[index].edge);
    miss = jcc_short(&e->b, CC_NE);
    emit_along(e, index);
    emit_cold_link(e, index);
    jump_here(&e->b, miss);
    emit_edge_miss(e, index, false);
    op(&e->b, 0, 0xff, 4, in_reg(RAX));
}

/* On by the code that the machine has made meanwhile; out where the jump cache leads here still. */
void cold_spent(struct emitter *e, const struct cold *cold)
{
    uint8_t *miss, *known;

    load_address(e, cold->index);
    emit_probe(e);
    miss = jcc_short(&e->b, CC_NE);
    lea(&e->b, OP_W, RDX, at_fixed(e->result->start));
    alu_load(&e->b, OP_W, ALU_CMP, RDX,
             at_index(R14, RCX, 3, CONTEXT_AT(offsetof(struct native_context, jumps[0].code))));
    known = jcc_short(&e->b, CC_NE);
    emit_exit(e, PART_EXIT_POLL, cold->index);
    jump_here(&e->b, known);
    emit_known(e, 4);
    jump_here(&e->b, miss);
    call_to(&e->b, e->runtime->parts[PART_LOOKUP]);
    op(&e->b, 0, 0xff, 4, in_reg(RAX));
}

void emit_out(struct emitter *e, int64_t target)
{
    load_address(e, target);
    emit_lookup_inline(e);
}

void cold_lookup(struct emitter *e, const struct cold *cold)
{
    emit_count(e, cold->insn->done + 1);
    emit_out(e, cold->insn->imm);
}

static void emit_jump(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done + 1);
    go_to_target(e, insn->imm, is_backward(insn, insn->imm), false);
}

void cold_jump(struct emitter *e, const struct cold *cold)
{
    emit_count(e, cold->insn->done + 1);
    load_address(e, cold->insn->imm);
    jmp_to(&e->b, e->runtime->parts[PART_EXIT_JUMP]);
}

/* rax: the return address; `what` calls. */
static void emit_landing(struct emitter *e, const struct ir_insn *insn)
{
    alu_imm(&e->b, OP_W, ALU_ADD, in_reg(RSP), 8);
    lea(&e->b, OP_W, PAGE, at_mem(RAX, -(int32_t)insn->next));
    go_to_target(e, insn->next, false, false);
}

static void emit_call(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done + 1);
    load_address(e, insn->next);
    int_store(e, insn->dst, RAX);
    push_reg(&e->b, RAX);
    /* Polls whatever the direction: a tree of calls that only go forward can take for ever. */
    go_to_target(e, insn->imm, true, true);
    emit_landing(e, insn);
}

void emit_step(struct emitter *e, const struct ir_insn *insn)
{
    emit_count(e, insn->done);
    emit_exit(e, PART_EXIT_STEP, insn->at);
}

static void emit_next_page(struct emitter *e, const struct ir_insn *insn)
{
    uint32_t edge = e->runtime->edge(e->runtime->edge_ctx, 1);

    if (edge == NATIVE_NO_EDGE) {
        emit_step(e, insn);
        return;
    }
    emit_edge(e, edge);
    emit_cold(e, CC_NE, COLD_STEP, insn, 0);
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
        emit_guest(e, insn, 0);
        break;
    case IR_NEXT_PAGE:
        emit_next_page(e, insn);
        break;
    case IR_STEP:
        emit_step(e, insn);
        break;
    default:
        return false;
    }
    return true;
}
