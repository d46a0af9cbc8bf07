/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: one assignment of registers from the head to the ways out, and jumps that stay inside.
 * All debts are paid where code comes together. What is known there is what all ways know, where
 * all of them are behind; at the head of a loop it is nothing.
 */
#include "cpu/host_x86_64/emitter.h"

static unsigned label_find(const struct emitter *e, int64_t offset)
{
    unsigned i = 0;

    while (i < e->label_count && e->labels[i].offset != offset)
        i++;
    return i;
}

bool region_begin(struct emitter *e, const struct ir_unit *unit)
{
    e->label_count = e->fixup_count = 0;
    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op != IR_LABEL)
            continue;
        if (e->label_count == IR_LABELS_MAX)
            return false;
        e->labels[e->label_count++] = (struct label){.offset = insn->imm, .loops = insn->scale};
    }
    return true;
}

/* What is known here and was known on the ways before. */
static void label_meet(const struct emitter *e, struct label *label)
{
    struct knowledge *k = &label->knowledge;

    if (!label->known) {
        knowledge_save(e, k);
        label->known = true;
        return;
    }
    k->extended &= e->extended;
    for (unsigned i = 0; i < IR_GLOBALS / 64; i++)
        k->boxed[i] &= e->boxed[i];
    for (unsigned i = 0; i < IR_GLOBALS; i++)
        if (k->slack[i] < e->slack[i])
            k->slack[i] = e->slack[i];
}

void emit_label(struct emitter *e, const struct ir_insn *insn)
{
    struct label *label = &e->labels[label_find(e, insn->imm)];

    /* Nobody falls in from above: a jump stands there. */
    if (label->loops || !label->known)
        knowledge_forget(e);
    else
        knowledge_load(e, &label->knowledge);
    hold_nothing(e);
    label->at = here(&e->b);
    if (label->loops)
        emit_poll(e, (unsigned)insn->imm);
}

static void fixup_add(struct emitter *e, unsigned label)
{
    if (e->fixup_count == FIXUPS_MAX) {
        e->full = true;
        return;
    }
    e->fixups[e->fixup_count++] = (struct fixup){here(&e->b), label};
}

void emit_inside(struct emitter *e, const struct ir_insn *insn, const struct ir_insn *next)
{
    unsigned index = label_find(e, insn->imm);
    struct label *label = &e->labels[index];

    if (insn->op == IR_BRANCH) {
        jcc_to(&e->b, int_compare_branch(e, insn), label->at);
        if (!label->at)
            fixup_add(e, index);
    } else if (next->op != IR_LABEL || next->imm != insn->imm) {
        jmp_to(&e->b, label->at);
        if (!label->at)
            fixup_add(e, index);
    }
    label_meet(e, label);
}

void region_end(struct emitter *e)
{
    for (unsigned i = 0; i < e->fixup_count; i++) {
        uint32_t distance = e->labels[e->fixups[i].label].at - e->fixups[i].from;

        memcpy(e->b.start + e->fixups[i].from - 4, &distance, 4);
    }
}
