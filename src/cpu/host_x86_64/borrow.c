/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a loop, globals that it uses and no register holds take the registers of globals that it does
 * not use. The others' values wait in the state meanwhile. All code outside of units expects the
 * common assignment, so that it is restored wherever the loop is left or calls out.
 */
#include "cpu/host_x86_64/emitter.h"

struct use {
    unsigned count[IR_GLOBALS];
    bool written[IR_GLOBALS];
};

enum {
    DEPTH_MAX = 3,
    DEPTH_TIMES = 8,      /* an instruction in a loop is executed so often as one before it */
    WORTH_BORROWING = 2,  /* uses a round, for what changing registers costs outside; */
    WORTH_WITH_CALLS = 8, /* and where that may be in each round */
};

/* How often each operation is executed, if what stands in one loop is once. */
static void weights_find(const struct ir_unit *unit, unsigned last, unsigned *weights)
{
    uint8_t depth[IR_UNIT_MAX] = {0};
    unsigned label_at[4096 / 2];

    memset(label_at, 0xff, sizeof(label_at));
    for (unsigned i = 0; i <= last; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op == IR_LABEL)
            label_at[insn->imm / 2] = i;
        else if (insn->inside && insn->imm <= insn->at)
            for (unsigned j = label_at[insn->imm / 2]; j <= i; j++)
                depth[j] += depth[j] < DEPTH_MAX;
    }
    for (unsigned i = 0; i <= last; i++) {
        weights[i] = 1;
        for (unsigned j = 1; j < depth[i]; j++)
            weights[i] *= DEPTH_TIMES;
    }
}

static void use_count(const struct ir_unit *unit, unsigned last, struct use *use)
{
    unsigned weights[IR_UNIT_MAX];

    memset(use, 0, sizeof(*use));
    if (unit->region)
        weights_find(unit, last, weights);
    for (unsigned i = 0; i <= last; i++) {
        const struct ir_insn *insn = &unit->insns[i];
        const ir_ref refs[] = {insn->dst, insn->a, insn->b, insn->c};

        if (insn->op == IR_NOP)
            continue;
        for (unsigned j = 0; j < 4; j++)
            if (is_global(refs[j]))
                use->count[refs[j]] += unit->region ? weights[i] : 1;
        if (is_global(insn->dst))
            use->written[insn->dst] = true;
    }
}

/* The most used global of the kind that no register holds; IR_ZERO: none is worth it. */
static ir_ref pick_wanted(const struct emitter *e, const struct use *use, bool is_float)
{
    ir_ref best = IR_ZERO;

    for (unsigned ref = 1; ref < e->layout->globals; ref++)
        if (e->layout->is_float(ref) == is_float && !is_pinned(e, (ir_ref)ref) &&
            use->count[ref] >= 2 && (!best || use->count[ref] > use->count[best]))
            best = (ir_ref)ref;
    return best;
}

/* The least used one that a register holds. */
static ir_ref pick_idle(const struct emitter *e, const struct use *use, bool is_float)
{
    ir_ref best = IR_ZERO;

    for (unsigned ref = 1; ref < e->layout->globals; ref++)
        if (e->layout->is_float(ref) == is_float && is_pinned(e, (ir_ref)ref) &&
            (!best || use->count[ref] < use->count[best]))
            best = (ir_ref)ref;
    return best;
}

static bool is_worth_borrowing(const struct emitter *e, const struct use *use, ir_ref wanted,
                               ir_ref idle)
{
    if (e->unit->region)
        return use->count[wanted] >=
               use->count[idle] + (e->unit->calls ? WORTH_WITH_CALLS : WORTH_BORROWING);
    return !use->count[idle];
}

static struct place home_of(const struct emitter *e, ir_ref ref)
{
    return at_mem(RBP, e->layout->offsets[ref] - STATE_BIAS);
}

static void move(struct emitter *e, bool is_float, bool store, unsigned reg, ir_ref ref)
{
    if (is_float)
        vex(&e->b, OP_F2, store ? 0x11 : 0x10, reg, 0, home_of(e, ref)); /* vmovsd */
    else if (store)
        mov_store(&e->b, OP_W, home_of(e, ref), reg);
    else
        mov_load(&e->b, OP_W, reg, home_of(e, ref));
}

/* Whether the loop has floating point, which has to be ready before its registers mean anything. */
static const struct ir_insn *find_guard(const struct ir_unit *unit, unsigned last)
{
    for (unsigned i = 0; i <= last; i++)
        if (unit->insns[i].op == IR_FLOAT_GUARD)
            return &unit->insns[i];
    return NULL;
}

void borrow_begin(struct emitter *e, const struct ir_unit *unit, unsigned last)
{
    const struct ir_insn *guard = find_guard(unit, last);
    struct use use;

    use_count(unit, last, &use);
    e->borrow_count = 0;
    for (unsigned kind = 0; kind < (guard ? 2 : 1); kind++)
        while (e->borrow_count < BORROW_MAX) {
            ir_ref wanted = pick_wanted(e, &use, kind), idle = pick_idle(e, &use, kind);

            if (wanted == IR_ZERO || idle == IR_ZERO || !is_worth_borrowing(e, &use, wanted, idle))
                break;
            e->borrows[e->borrow_count++] = (struct borrow){.wanted = wanted,
                                                            .idle = idle,
                                                            .reg = e->map->reg[idle],
                                                            .is_float = kind,
                                                            .written = use.written[wanted]};
            e->map->reg[wanted] = e->map->reg[idle];
            e->map->reg[idle] = X86_NONE;
        }
    if (!e->borrow_count && !unit->region)
        return;
    if (guard) {
        /* At the unit's start, where it goes on if it is not ready. */
        alu_imm(&e->b, 0, ALU_CMP, CONTEXT(float_ready), 0);
        emit_cold(e, CC_E, COLD_UNREADY, NULL, 0);
        e->guarded = true;
    }
    for (unsigned i = 0; i < e->borrow_count; i++)
        move(e, e->borrows[i].is_float, true, e->borrows[i].reg, e->borrows[i].idle);
    borrow_take(e);
    e->borrowing = e->borrow_count != 0;
}

void borrow_take(struct emitter *e)
{
    for (unsigned i = 0; i < e->borrow_count; i++)
        move(e, e->borrows[i].is_float, false, e->borrows[i].reg, e->borrows[i].wanted);
}

void borrow_give(struct emitter *e)
{
    for (unsigned i = 0; i < e->borrow_count; i++) {
        const struct borrow *borrow = &e->borrows[i];

        if (borrow->written)
            move(e, borrow->is_float, true, borrow->reg, borrow->wanted);
        move(e, borrow->is_float, false, borrow->reg, borrow->idle);
    }
}

void borrow_end(struct emitter *e)
{
    if (!e->borrowing)
        return;
    borrow_give(e);
    e->borrowing = false;
}

void borrow_map(struct emitter *e, bool borrowed)
{
    for (unsigned i = 0; i < e->borrow_count; i++) {
        const struct borrow *borrow = &e->borrows[i];

        e->map->reg[borrow->wanted] = borrowed ? borrow->reg : X86_NONE;
        e->map->reg[borrow->idle] = borrowed ? X86_NONE : borrow->reg;
    }
}
