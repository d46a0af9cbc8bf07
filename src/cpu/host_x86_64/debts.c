/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/host_x86_64/emitter.h"

/* The anchor is looked at where a unit is left, as it is. */
static bool can_owe(const struct emitter *e, ir_ref ref)
{
    return is_global(ref) && ref < 64 && is_pinned(e, ref) && ref != anchor_of(e);
}

bool debts_may_owe_word(const struct emitter *e, const struct ir_insn *insn)
{
    return insn->width == 4 && can_owe(e, insn->dst);
}

/* Of arithmetic that needs the fallback for a NaN in no case. */
bool debts_may_owe_nan(const struct emitter *e, const struct ir_insn *insn)
{
    return insn->op >= IR_FADD && insn->op <= IR_FSQRT && can_owe(e, insn->dst);
}

static void pay_word(struct emitter *e, ir_ref ref)
{
    movsxd(&e->b, e->map->reg[ref], in_reg(e->map->reg[ref]));
}

static bool is_single(const struct debts *debts, ir_ref ref)
{
    return debts->singles >> ref & 1;
}

static void compare_itself(struct emitter *e, ir_ref ref, bool single)
{
    unsigned reg = e->map->reg[ref];

    vex(&e->b, single ? 0 : OP_66, 0x2e, reg, 0, in_reg(reg));
}

static uint64_t canonical(bool single)
{
    return single ? UINT64_C(0xffffffff7fc00000) : UINT64_C(0x7ff8) << 48;
}

static void pay_nan_inline(struct emitter *e, const struct ir_insn *insn, ir_ref ref)
{
    bool single = is_single(&e->debts, ref);

    compare_itself(e, ref, single);
    emit_cold(e, CC_P, single ? COLD_NAN32 : COLD_NAN64, insn, e->map->reg[ref]);
}

void debts_pay(struct emitter *e, struct debts debts)
{
    for (; debts.words; debts.words &= debts.words - 1)
        pay_word(e, (ir_ref)__builtin_ctzll(debts.words));
    for (; debts.nans; debts.nans &= debts.nans - 1) {
        ir_ref ref = (ir_ref)__builtin_ctzll(debts.nans);
        bool single = is_single(&debts, ref);
        uint8_t *good;

        compare_itself(e, ref, single);
        good = jcc_short(&e->b, CC_NP);
        mov_ri(&e->b, RCX, canonical(single));
        vex(&e->b, OP_66 | OP_W, 0x6e, e->map->reg[ref], 0, in_reg(RCX));
        jump_here(&e->b, good);
    }
}

void debts_pay_beyond(struct emitter *e, const struct ir_insn *insn, const struct debts *kept)
{
    uint64_t words = e->debts.words, nans = e->debts.nans;

    if (kept) {
        words &= ~kept->words;
        nans &= ~kept->nans | (kept->singles ^ e->debts.singles);
    }
    e->debts.words &= ~words;
    for (; words; words &= words - 1)
        pay_word(e, (ir_ref)__builtin_ctzll(words));
    for (uint64_t left = nans; left; left &= left - 1)
        pay_nan_inline(e, insn, (ir_ref)__builtin_ctzll(left));
    e->debts.nans &= ~nans;
}

/* Operations that look at the lower half of their operand only. */
static bool takes_words(const struct ir_insn *insn, ir_ref ref)
{
    switch (insn->op) {
    case IR_ADD ... IR_XOR:
    case IR_MUL:
    case IR_DIV ... IR_REMU:
    case IR_CLZ:
    case IR_CTZ:
    case IR_POPCNT:
        return insn->width == 4;
    case IR_SHL ... IR_ROTR: /* of a count even less counts */
        return insn->width == 4 || ref != insn->a;
    case IR_SEXT8 ... IR_ZEXT32:
        return true;
    case IR_STORE:
        return ref != insn->a && insn->width <= 4;
    default:
        return false;
    }
}

/* Operations to which one NaN is as good as another. */
static bool takes_nans(const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_FADD ... IR_FNMADD:
    case IR_FEQ:
    case IR_FLT:
    case IR_FLE:
        return true;
    default:
        return false;
    }
}

static bool leaves(const struct ir_insn *insn)
{
    return insn->op > IR_BRANCH || insn->op == IR_STATE_GUARD;
}

bool debts_make_narrow(const struct emitter *e, const struct ir_insn *insn)
{
    return insn->op >= IR_AND && insn->op <= IR_XOR && insn->width == 8 && can_owe(e, insn->dst) &&
           (e->debts.words & (bit_of(insn->a) | bit_of(insn->b))) && debts_compare_words(e, insn);
}

bool debts_compare_words(const struct emitter *e, const struct ir_insn *insn)
{
    uint64_t extended = e->extended | e->debts.words;

    if (!is_global(insn->a) || !(extended & bit_of(insn->a)))
        return false;
    if (insn->b == IR_ZERO)
        return true;
    if (insn->b == IR_IMM)
        return fits32(insn->imm);
    return is_global(insn->b) && (extended & bit_of(insn->b));
}

/* Pays what the operation's sources owe and it would look at. */
static void pay_sources(struct emitter *e, const struct ir_insn *insn)
{
    const ir_ref sources[] = {insn->a, insn->b, insn->c};

    for (unsigned i = 0; i < 3; i++) {
        uint64_t bit = bit_of(sources[i]);

        if ((e->debts.words & bit) && !takes_words(insn, sources[i])) {
            pay_word(e, sources[i]);
            e->debts.words &= ~bit;
        }
        /* A NaN of 8 bytes may look like a boxed number of 4. */
        if ((e->debts.nans & bit) &&
            (!takes_nans(insn) || is_single(&e->debts, sources[i]) != (insn->width == 4))) {
            pay_nan_inline(e, insn, sources[i]);
            e->debts.nans &= ~bit;
        }
    }
}

void debts_before_compare(struct emitter *e, const struct ir_insn *insn)
{
    if (insn->op == IR_BRANCH && !debts_compare_words(e, insn))
        pay_sources(e, insn);
}

void debts_before(struct emitter *e, const struct ir_insn *insn)
{
    if (leaves(insn))
        debts_pay_beyond(e, insn, NULL);
    else if (insn->op == IR_BRANCH)
        debts_before_compare(e, insn);
    else if (insn->op != IR_SET || !debts_compare_words(e, insn))
        pay_sources(e, insn);
}

bool is_extended(uint64_t extended, const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_MOV:
        return insn->b == IR_ZERO || (insn->b == IR_IMM && fits32(insn->imm)) ||
               (is_global(insn->b) && (extended & bit_of(insn->b)));
    case IR_LOAD:
        return insn->width < 4 || (insn->width == 4 && insn->sign);
    case IR_ATOMIC_SWAP ... IR_LOAD_RESERVED:
    case IR_COMPARE_SWAP:
        return insn->width == 4;
    case IR_STORE_CONDITIONAL:
        return true;
    case IR_SEXT8 ... IR_ZEXT16:
    case IR_SET:
    case IR_CLZ:
    case IR_CTZ:
    case IR_POPCNT:
    case IR_BEXT:
        return true;
    case IR_ADD ... IR_REMU:
        return insn->width == 4;
    default:
        return false;
    }
}

void debts_after(struct emitter *e, const struct ir_insn *insn)
{
    uint64_t bit = bit_of(insn->dst);

    if (insn->op == IR_GUEST || insn->op == IR_STATE_GUARD) {
        e->extended = 0; /* any may have been written */
        memset(e->boxed, 0, sizeof(e->boxed));
        return;
    }
    if (is_extended(e->extended, insn))
        e->extended |= bit;
    else
        e->extended &= ~bit;
    e->debts.words &= ~bit;
    e->debts.nans &= ~bit;
    if (e->owes_word)
        e->debts.words |= bit;
    if (e->owes_nan) {
        e->debts.nans |= bit;
        e->debts.singles &= ~bit;
        if (insn->width == 4)
            e->debts.singles |= bit;
    }
    e->owes_word = e->owes_nan = false;
}
