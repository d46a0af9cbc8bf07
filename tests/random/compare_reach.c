/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program in U-mode that loads and stores at addresses all over the 64 bits, through bases that
 * it has just used and then changes: by many small additions, by sums, shifts and moves, by loads
 * into the base itself, in a loop that comes to the same code with other bases. A translator that
 * checks an address once and relies on it must still trap where the interpreter does, and never
 * touch what is not the guest's.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/riscv_code.h"
#include "base/compiler.h"
#include "base/error.h"
#include "compare.h"

enum { S8 = 24, S11 = 27, ROOM = 40000 };

struct writer {
    uint64_t *rng;
    uint32_t *code;
    unsigned count;
    unsigned base;
};

static unsigned below(struct writer *w, unsigned bound)
{
    return random_below(w->rng, bound);
}

static void word(struct writer *w, uint32_t value)
{
    BUG_ON(w->count == ROOM);
    w->code[w->count++] = value;
}

/* Any register but those that lead back to the table: in the host's registers and not, and often
 * sp. */
static unsigned any_base(struct writer *w)
{
    unsigned reg = SP;

    if (below(w, 4) == 0)
        return reg;

    do
        reg = 1 + below(w, 31);
    while (reg == GP || reg == TP || reg == S8 || reg == S11);
    return reg;
}

static int any_offset(struct writer *w)
{
    static const int edges[] = {0, 1, 7, 8, -1, -8, 2047, -2048, 2040};

    return below(w, 3) ? edges[below(w, ARRAY_SIZE(edges))] : (int)below(w, 4096) - 2048;
}

static void step_access(struct writer *w)
{
    static const unsigned atomics[] = {0x00, 0x04, 0x10, 0x20, 0x30, 0x40, 0x60, 0x70};
    unsigned data = any_base(w);
    int offset = any_offset(w);

    switch (below(w, 12)) {
    case 0:
        word(w, INSN_I(0x07, 2 + below(w, 2), below(w, 32), w->base, offset));
        break;
    case 1:
        word(w, INSN_S(0x27, 2 + below(w, 2), below(w, 32), w->base, offset));
        break;
    case 2:
        word(w, INSN_R(0x2f, 2 + below(w, 2), atomics[below(w, 8)], data, w->base, any_base(w)));
        break;
    case 3:
        word(w, below(w, 2) ? LR_D(data, w->base, 0) : 0x0040200f | w->base << 15 /* cbo.zero */);
        break;
    case 4: /* into the base itself, by what is translated and by what is not */
        if (below(w, 2))
            word(w, LD(w->base, w->base, 8 * (int)below(w, 16)));
        else
            word(w, INSN_R(0x2f, 3, 0x40 + 0x10 * below(w, 4), w->base, w->base, 0)); /* min, max */
        break;
    case 5 ... 8:
        word(w, INSN_S(0x23, below(w, 4), below(w, 4) ? data : 0, w->base, offset));
        break;
    default:
        word(w, INSN_I(0x03, below(w, 7), data, w->base, offset));
        break;
    }
}

static void step_change(struct writer *w)
{
    unsigned b = w->base, other = any_base(w);

    switch (below(w, 12)) {
    case 0 ... 2:
        word(w, ADDI(b, b, any_offset(w)));
        break;
    case 3: /* as far as a sum of small ones goes */
        for (unsigned i = below(w, 50); i; i--)
            word(w, ADDI(b, b, 2047));
        break;
    case 4:
        for (unsigned i = below(w, 50); i; i--)
            word(w, ADDI(b, b, -2048));
        break;
    case 5:
        word(w, MV(other, b));
        if (below(w, 2))
            w->base = other;
        break;
    case 6:
        word(w, ADD(b, b, other));
        break;
    case 7:
        word(w, SUB(b, below(w, 2) ? 0 : other, b));
        break;
    case 8:
        word(w, SLLI(b, b, 1 + below(w, 40)));
        break;
    case 9:
        word(w, SRLI(b, b, 1 + below(w, 40)));
        break;
    case 10:
        word(w, ADDIW(b, b, any_offset(w)));
        break;
    default:
        word(w, INSN_R(0x33, 2 + 2 * below(w, 3), 0x10, b, b, other)); /* sh1add and so on */
        break;
    }
}

/* A register gets an entry of the table. */
static void fetch(struct writer *w, unsigned reg)
{
    word(w, LD(reg, S8, 8 * (int)below(w, ADDRESS_COUNT) - 2048));
}

static void block(struct writer *w)
{
    w->base = any_base(w);
    word(w, LD(S8, GP, GP_ADDRESSES));
    if (below(w, 2))
        word(w, MV(SP, TP));
    fetch(w, any_base(w));
    fetch(w, w->base);
    if (below(w, 2))
        word(w, LD(any_base(w), w->base, 0));
    for (unsigned steps = 2 + below(w, 10); steps; steps--) {
        if (below(w, 12) == 0) /* with the base changed, or not */
            word(w, BLT(any_base(w), any_base(w), 8));
        if (below(w, 5) < 3)
            step_access(w);
        else
            step_change(w);
    }
}

bool reach_make(struct guest *guest, const struct guest_options *options)
{
    struct writer w = {.rng = options->rng, .code = malloc(ROOM * sizeof(uint32_t))};
    unsigned top;
    int back;

    if (!w.code)
        return false;
    for (unsigned i = 1; i < 32; i++)
        if (i != GP && i != TP)
            word(&w, LD(i, GP, POOL + 8 * (int)below(&w, POOL_INTEGERS)));
    word(&w, LI(S11, 3));
    top = w.count;
    for (unsigned i = 10 + below(&w, 60); i; i--)
        block(&w);
    word(&w, ADDI(S11, S11, -1));
    back = ((int)top - (int)w.count - 1) * 4;
    word(&w, BEQZ(S11, 8));
    word(&w, J(back));
    word(&w, LI(A7, CALL_END));
    word(&w, ECALL);
    *guest = (struct guest){
        .image = (uint8_t *)w.code,
        .size = w.count * sizeof(uint32_t),
        .start = CODE_END * PAGE_SIZE - w.count * sizeof(uint32_t) - 4 * below(&w, 100),
    };
    return true;
}
