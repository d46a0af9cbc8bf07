/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: one assignment of registers from the head to the ways out, and jumps that stay inside.
 *
 * What is known where code comes together is found before any is emitted, by going over the
 * operations until nothing changes: what all ways know. At the head it is that registers which are
 * bases of accesses all the time lie in the window, which is checked before the region is entered.
 * Debts that all ways may have are owed at labels; others are paid before.
 */
#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"

enum {
    HOISTS_MAX = 4,
    PASSES_EXACT = 4, /* then what still grows is unknown */
};

static unsigned label_find(const struct emitter *e, int64_t offset)
{
    unsigned i = 0;

    while (i < e->label_count && e->labels[i].offset != offset)
        i++;
    return i;
}

unsigned find_inner_loop(const struct ir_unit *unit, unsigned label)
{
    const struct ir_insn *insns = unit->insns;
    unsigned last = 0;

    if (!insns[label].scale)
        return 0;
    for (unsigned i = label + 1; i < unit->count && insns[i].op != IR_LABEL; i++)
        if (insns[i].inside && insns[i].imm == insns[label].imm)
            last = i;
    return last;
}

/* ---- what is known ---- */

static void facts_forget(struct facts *facts)
{
    facts->extended = facts->doubles = facts->singles = 0;
    memset(facts->slack, 0xff, sizeof(facts->slack));
}

/* The bytes of a float whose NaN, if it is one, is the canonical one or owed; 0: any bits. */
static unsigned result_width(const struct facts *facts, const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_FADD ... IR_FMAX:
    case IR_ITOF:
        return insn->width;
    case IR_FTOF:
        return insn->scale;
    case IR_BITSF:
        return insn->width == 8 && insn->a == IR_ZERO ? 8 : 0;
    case IR_FSGNJ:
        return insn->width == 8 && insn->a == insn->b && (facts->doubles & bit_of(insn->a)) ? 8 : 0;
    default:
        return 0;
    }
}

static void facts_step(struct facts *facts, const struct ir_insn *insn)
{
    uint64_t bit = bit_of(insn->dst);
    unsigned width = result_width(facts, insn);

    if (is_extended(facts->extended, insn))
        facts->extended |= bit;
    else
        facts->extended &= ~bit;
    facts->doubles &= ~bit;
    facts->singles &= ~bit;
    if (width)
        *(width == 4 ? &facts->singles : &facts->doubles) |= bit;
    slack_step(facts->slack, insn);
}

/* True: the label's changed. */
static bool facts_meet(struct label *label, const struct facts *facts, bool exact)
{
    struct facts *known = &label->facts;
    const struct facts before = *known;
    bool changed = false;

    if (!label->reached) {
        label->reached = true;
        *known = *facts;
        return true;
    }
    known->extended &= facts->extended;
    known->doubles &= facts->doubles;
    known->singles &= facts->singles;
    for (unsigned i = 0; i < IR_GLOBALS; i++)
        if (known->slack[i] < facts->slack[i]) {
            known->slack[i] = exact ? facts->slack[i] : UINT32_MAX;
            changed = true;
        }
    return changed || known->extended != before.extended || known->doubles != before.doubles ||
           known->singles != before.singles;
}

/* Once over all operations, with `at_entry` at the start. True: something changed. */
static bool facts_pass(struct emitter *e, const struct ir_unit *unit, const struct facts *at_entry,
                       bool exact)
{
    struct facts facts = *at_entry;
    bool reached = true, changed = false;

    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op == IR_LABEL) {
            const struct label *label = &e->labels[label_find(e, insn->imm)];

            reached = label->reached;
            facts = label->facts;
        } else if (reached) {
            facts_step(&facts, insn);
            if (insn->inside)
                changed |= facts_meet(&e->labels[label_find(e, insn->imm)], &facts, exact);
            reached = insn->op <= IR_BRANCH;
        }
    }
    return changed;
}

/* ---- bases that are checked once ---- */

/* Nothing in the region writes it but additions of small constants. */
static bool is_steady(const struct ir_unit *unit, ir_ref ref)
{
    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op != IR_NOP && insn->dst == ref &&
            !(insn->op == IR_ADD && insn->width == 8 && insn->a == ref && insn->b == IR_IMM))
            return false;
    }
    return true;
}

static void hoist(struct emitter *e, const struct ir_unit *unit, struct facts *at_entry)
{
    unsigned count = 0;

    for (unsigned i = 0; i < unit->count && count < HOISTS_MAX && unit->windowed; i++) {
        ir_ref base = unit->insns[i].a;

        if (!is_window_base(&unit->insns[i]) || at_entry->slack[base] != UINT32_MAX ||
            !is_steady(unit, base))
            continue;
        emit_base_check(e, int_operand(e, base, 0, RAX));
        emit_cold(e, CC_AE, COLD_UNFIT, NULL, 0);
        at_entry->slack[base] = e->slack[base] = 0;
        count++;
    }
    hold_nothing(e);
}

/* ---- floats that are looked at once ---- */

/*
 * Where a loop begins, a register has what the loop's last round left there, or what it held before
 * the region. If the latter is no NaN it may owe as the former may. Those of which this is asked:
 * that get results of 8 bytes, and none of 4. Of a region that is often entered, none.
 */
static uint64_t floats_to_check(const struct ir_unit *unit)
{
    uint64_t results = 0, others = 0;

    for (unsigned i = 0; i < unit->count && !unit->calls; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op >= IR_FADD && insn->op <= IR_FSQRT && insn->width == 8)
            results |= bit_of(insn->dst);
        else if (insn->width == 4)
            others |= bit_of(insn->dst);
    }
    return results & ~others;
}

void region_check_floats(struct emitter *e)
{
    uint64_t left = e->owed.nans & e->checked_floats;

    if (left)
        mov_ri(&e->b, RCX, UINT64_C(0xffe) << 52); /* infinity without its sign */
    for (; left; left &= left - 1) {
        unsigned reg = e->map->reg[__builtin_ctzll(left)];

        /* Not by a comparison of floats: that of a signalling NaN raises a flag. */
        vex(&e->b, OP_66 | OP_W, 0x7e, reg, 0, in_reg(RAX)); /* vmovq */
        alu_load(&e->b, OP_W, ALU_ADD, RAX, in_reg(RAX));
        alu_load(&e->b, OP_W, ALU_CMP, RAX, in_reg(RCX));
        emit_cold(e, CC_A, COLD_UNFIT, NULL, 0);
    }
}

/* ---- polls: one on each way around ---- */

_Static_assert(IR_LABELS_MAX <= 64, "a bit each");

static void find_next(struct emitter *e, const struct ir_unit *unit)
{
    struct label *label = NULL;
    unsigned inner = 0;

    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op == IR_LABEL) {
            label = &e->labels[label_find(e, insn->imm)];
            inner = find_inner_loop(unit, i);
        } else if (label && insn->inside && !(i <= inner && insn->imm == label->offset)) {
            /* An inner loop polls by itself. */
            label->next |= UINT64_C(1) << label_find(e, insn->imm);
        }
    }
}

/* Whether one can go around for ever by labels that are not in the set. */
static bool has_cycle(const struct emitter *e, uint64_t set)
{
    uint64_t left = (e->label_count == 64 ? 0 : UINT64_C(1) << e->label_count) - 1;
    bool changed = true;

    left &= ~set;
    /* What leads to nothing that is left is on no cycle. */
    while (changed) {
        changed = false;
        for (uint64_t rest = left; rest; rest &= rest - 1) {
            unsigned i = (unsigned)__builtin_ctzll(rest);

            if (e->labels[i].next & left)
                continue;
            left &= ~(UINT64_C(1) << i);
            changed = true;
        }
    }
    return left != 0;
}

static void find_polls(struct emitter *e, const struct ir_unit *unit)
{
    uint64_t polls = 0;

    find_next(e, unit);
    for (unsigned i = 0; i < e->label_count; i++)
        if (unit->insns[e->labels[i].insn].scale)
            polls |= UINT64_C(1) << i;
    /* From the last one: the outer loops' heads stand first. */
    for (unsigned i = e->label_count; i--;)
        if (!has_cycle(e, polls & ~(UINT64_C(1) << i)))
            polls &= ~(UINT64_C(1) << i);
    for (unsigned i = 0; i < e->label_count; i++)
        e->labels[i].polls = polls >> i & 1;
}

bool region_begin(struct emitter *e, const struct ir_unit *unit)
{
    struct facts at_entry;

    e->label_count = e->fixup_count = 0;
    for (unsigned i = 0; i < unit->count; i++) {
        if (unit->insns[i].op != IR_LABEL)
            continue;
        if (e->label_count == IR_LABELS_MAX)
            return false;
        e->labels[e->label_count++] = (struct label){.offset = unit->insns[i].imm, .insn = i};
    }
    find_polls(e, unit);
    facts_forget(&at_entry);
    if (anchor_of(e) != IR_ZERO)
        at_entry.slack[anchor_of(e)] = e->slack[anchor_of(e)];
    hoist(e, unit, &at_entry);
    e->checked_floats = at_entry.doubles = floats_to_check(unit);
    for (unsigned pass = 0; facts_pass(e, unit, &at_entry, pass < PASSES_EXACT); pass++)
        ;
    return true;
}

/* Results that stay as they are until somebody wants all of them. */
void region_owe(struct emitter *e, const struct ir_unit *unit)
{
    e->owed = (struct debts){0};
    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op >= IR_ADD && insn->op <= IR_REMU && debts_may_owe_word(e, insn))
            e->owed.words |= UINT64_C(1) << insn->dst;
        if (debts_may_owe_nan(e, insn))
            e->owed.nans |= UINT64_C(1) << insn->dst;
    }
}

/* To pay what was paid already changes nothing. */
struct debts label_owed(const struct emitter *e, int64_t offset)
{
    const struct facts *facts = &e->labels[label_find(e, offset)].facts;

    return (struct debts){.words = e->owed.words & facts->extended,
                          .nans = e->owed.nans & (facts->doubles | facts->singles),
                          .singles = facts->singles};
}

bool label_is_reached(const struct emitter *e, int64_t offset)
{
    return e->labels[label_find(e, offset)].reached;
}

/* ---- the code ---- */

static void facts_load(struct emitter *e, const struct facts *facts)
{
    knowledge_forget(e);
    e->extended = facts->extended;
    e->boxed[0] = facts->singles; /* as results of 4 bytes are */
    memcpy(e->slack, facts->slack, sizeof(e->slack));
    hold_nothing(e);
}

/* What is known in the emitter is at least what was found to be. */
static void facts_check(const struct emitter *e, const struct facts *facts)
{
    BUG_ON((facts->extended & ~e->extended) || (facts->singles & ~e->boxed[0]));
    for (unsigned i = 0; i < IR_GLOBALS && e->unit->windowed; i++)
        BUG_ON(e->slack[i] > facts->slack[i]);
}

void emit_label(struct emitter *e, const struct ir_insn *insn)
{
    struct label *label = &e->labels[label_find(e, insn->imm)];

    facts_load(e, &label->facts);
    e->debts = label_owed(e, insn->imm);
    label->at = here(&e->b);
    if (label->polls)
        emit_poll(e, (unsigned)insn->imm);
}

void region_after(struct emitter *e, unsigned label, unsigned last)
{
    struct facts facts = e->labels[label_find(e, e->unit->insns[label].imm)].facts;
    struct debts debts = e->debts;

    for (unsigned i = label + 1; i <= last; i++)
        facts_step(&facts, &e->unit->insns[i]);
    facts_load(e, &facts);
    e->debts = debts;
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

    facts_check(e, &label->facts);
    if (insn->op == IR_BRANCH) {
        jcc_to(&e->b, int_compare_branch(e, insn), label->at);
        if (!label->at)
            fixup_add(e, index);
    } else if (next->op != IR_LABEL || next->imm != insn->imm) {
        jmp_to(&e->b, label->at);
        if (!label->at)
            fixup_add(e, index);
    }
}

void region_end(struct emitter *e)
{
    for (unsigned i = 0; i < e->fixup_count; i++) {
        uint32_t distance = e->labels[e->fixups[i].label].at - e->fixups[i].from;

        memcpy(e->b.start + e->fixups[i].from - 4, &distance, 4);
    }
}
