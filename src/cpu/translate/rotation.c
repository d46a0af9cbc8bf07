/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/rotation.h"

#include <string.h>

enum { NEAR = 16 }; /* operations from the first shift to the end, so that the cost is linear */

void ir_writers_forget(struct ir_writers *writers)
{
    memset(writers, 0, sizeof(*writers));
}

void ir_note_writer(struct ir_writers *writers, const struct ir_insn *insn, unsigned i)
{
    if (insn->op != IR_NOP && insn->dst < IR_GLOBALS)
        writers->writer[insn->dst] = (uint16_t)(i + 1);
}

/* The operation that made `ref`, if it is a shift by a constant other than 0. */
static struct ir_insn *shift_of(struct ir_unit *unit, unsigned i, const struct ir_writers *writers,
                                ir_ref ref)
{
    unsigned writer = ref < IR_GLOBALS && ref != IR_ZERO ? writers->writer[ref] : 0;
    struct ir_insn *insn;

    if (!writer || writer + NEAR <= i)
        return NULL;
    insn = &unit->insns[writer - 1];
    return (insn->op == IR_SHL || insn->op == IR_SHR) && insn->b == IR_IMM && insn->dst == ref &&
                   insn->a < IR_GLOBALS && insn->a != IR_ZERO
               ? insn
               : NULL;
}

static bool are_rotation(const struct ir_insn *a, const struct ir_insn *b)
{
    int64_t bits = a->width * 8;

    return a->op != b->op && a->a == b->a && a->width == b->width &&
           (a->imm & (bits - 1)) + (b->imm & (bits - 1)) == bits;
}

static bool reads(const struct ir_insn *insn, ir_ref ref)
{
    return insn->a == ref || insn->b == ref || insn->c == ref;
}

/* Whether what `made` writes could as well be what `last` does to it. */
static bool is_its_own(const struct ir_insn *made, const struct ir_insn *last)
{
    if (made->dst != last->dst)
        return false;
    for (const struct ir_insn *insn = made + 1; insn < last; insn++)
        if (ir_is_visible(insn) || insn->op == IR_LABEL || reads(insn, made->dst))
            return false;
    return true;
}

static bool is_written(const struct ir_insn *first, const struct ir_insn *second, ir_ref ref)
{
    for (const struct ir_insn *insn = first; insn < second; insn++)
        if (insn->dst == ref)
            return true;
    return false;
}

static void become(struct ir_insn *insn, const struct ir_insn *right)
{
    insn->op = IR_ROTR;
    insn->width = right->width;
    insn->a = right->a;
    insn->b = IR_IMM;
    insn->imm = right->imm & (right->width * 8 - 1);
}

void ir_join_rotation(struct ir_unit *unit, unsigned i, const struct ir_writers *writers)
{
    struct ir_insn *last = &unit->insns[i], *first, *second, *swap, right;

    if (last->op != IR_OR && last->op != IR_XOR && last->op != IR_ADD)
        return;
    first = shift_of(unit, i, writers, last->a);
    second = shift_of(unit, i, writers, last->b);
    /* Of words, the sum of 64 bits is the sign-extended one, too: no bit is in both. */
    if (!first || !second || !are_rotation(first, second) || last->width < first->width)
        return;
    if (first > second) {
        swap = first;
        first = second;
        second = swap;
    }
    right = first->op == IR_SHR ? *first : *second;
    /* Both have it as the same value: it is not written between them. */
    if (writers->writer[right.a] <= first - unit->insns) {
        become(last, &right);
        return;
    }
    /* The second one shifts it in place. */
    if (writers->writer[right.a] != second - unit->insns + 1 || is_written(first, second, right.a))
        return;
    if (is_its_own(second, last))
        become(second, &right);
    else if (is_its_own(first, last))
        become(first, &right);
    else
        return;
    last->op = IR_NOP;
    last->dst = IR_ZERO;
}
