/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A random program: functions that call those made before them, in loops and branches and by
 * tables, over several pages in any order; random units of program.c between; accesses to the
 * addresses of a table, calls of the firmware, code that is written before it is called.
 *
 * It works in any mode, wherever it is mapped: it has gp and tp, and all that it cannot know it
 * reads from memory behind the pool. s8 to s11 (x24 to x27) are its own; random units leave them
 * alone. A frame, 64 bytes down from tp: the way back, s11, and a loop counter a level.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/riscv_code.h"
#include "base/error.h"
#include "compare.h"

enum { S8 = 24, S9 = 25, S10 = 26, S11 = 27 };

#define KEPT (1u << GP | 1u << TP | 1u << S8 | 1u << S9 | 1u << S10 | 1u << S11)

enum {
    FUNCTIONS_MAX = 130,
    FIXUPS_MAX = 4000,
    LEVELS_MAX = 3,
    FRAME = 64,
    COST_OF_FUNCTION = 4000, /* instructions, about */
    COST_OF_ALL = 60000,
    CODE_MAX = 54 * PAGE_SIZE,
};

struct function {
    size_t start, end; /* in the writer's code, halfwords */
    uint64_t place;    /* in the image, bytes */
    uint64_t cost;
    unsigned link;
    bool slot; /* one instruction and a return: it is rewritten */
};

/* Where a function's address goes. */
struct fixup {
    bool pair;       /* auipc, and what has the low bits; else jal */
    unsigned owner;  /* function */
    unsigned target; /* function */
    size_t at;       /* halfword */
};

struct writer {
    const struct guest_options *options;
    struct program *units;
    uint16_t *code;
    size_t count, room;
    struct function functions[FUNCTIONS_MAX];
    unsigned function;
    struct fixup fixups[FIXUPS_MAX];
    unsigned fixup_count;
    unsigned groups[FUNCTION_COUNT]; /* functions in the table */
    unsigned group_count;
    uint64_t cost, most; /* of the function that is made */
    uint64_t times;      /* how often what comes now is executed */
    size_t out[16];      /* jumps to its end */
    unsigned out_count;
};

static unsigned below(struct writer *w, unsigned bound)
{
    return random_below(w->options->rng, bound);
}

static void half(struct writer *w, uint16_t value)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 4096;
        w->code = realloc(w->code, w->room * sizeof(uint16_t));
        BUG_ON(!w->code);
    }
    w->code[w->count++] = value;
}

static void word(struct writer *w, uint32_t value)
{
    half(w, value & 0xffff);
    half(w, value >> 16);
    w->cost += w->times;
}

static uint32_t word_at(const uint16_t *code, size_t at)
{
    return code[at] | (uint32_t)code[at + 1] << 16;
}

static void word_set(uint16_t *code, size_t at, uint32_t value)
{
    code[at] = value & 0xffff;
    code[at + 1] = value >> 16;
}

/* Bytes from halfword `from` to here. */
static int distance(const struct writer *w, size_t from)
{
    return (int)(w->count - from) * 2;
}

/* The jal at `at` leads here. */
static void land(struct writer *w, size_t at)
{
    word_set(w->code, at, word_at(w->code, at) | JAL(0, distance(w, at)));
}

static size_t jump_later(struct writer *w)
{
    word(w, J(0));
    return w->count - 2;
}

static unsigned any_x(struct writer *w)
{
    return below(w, 32);
}

static unsigned any_target(struct writer *w)
{
    unsigned reg;

    do
        reg = below(w, 32);
    while (KEPT >> reg & 1);
    return reg;
}

static void constant(struct writer *w, unsigned reg, uint32_t value)
{
    word(w, LUI(reg, (value + 0x800) >> 12));
    word(w, ADDIW(reg, reg, value & 0xfff));
}

/* s8 = an entry of the table of addresses. */
static void address(struct writer *w, unsigned entry)
{
    word(w, LD(S8, GP, GP_ADDRESSES));
    word(w, LD(S8, S8, 8 * (int)entry - 2048));
}

static void fix(struct writer *w, bool pair, unsigned target, size_t at)
{
    if (w->fixup_count < FIXUPS_MAX)
        w->fixups[w->fixup_count++] = (struct fixup){pair, w->function, target, at};
}

/* ---- what a function is made of ---- */

static void items(struct writer *w, unsigned level);

static void item_units(struct writer *w)
{
    size_t count;
    const uint16_t *code = program_units(w->units, 1 + below(w, 6), KEPT, below(w, 4) == 0, &count);

    BUG_ON(!code);
    for (size_t i = 0; i < count; i++)
        half(w, code[i]);
    w->cost += 2 * count * w->times;
}

static void item_loop(struct writer *w, unsigned level)
{
    unsigned times = 2 + below(w, 10);
    int slot = 16 + 8 * (int)level;
    size_t top;

    if (level == LEVELS_MAX || w->cost + w->times * times * 100 > w->most)
        return;
    word(w, LI(S8, times));
    word(w, SD(S8, TP, slot));
    top = w->count;
    w->times *= times;
    items(w, level + 1);
    word(w, LD(S8, TP, slot));
    word(w, ADDI(S8, S8, -1));
    word(w, SD(S8, TP, slot));
    w->times /= times;
    if (distance(w, top) < 4000 && below(w, 4)) {
        word(w, BNEZ(S8, -distance(w, top)));
    } else {
        word(w, BEQZ(S8, 8));
        word(w, J(-distance(w, top)));
    }
}

static uint32_t branch_over(struct writer *w)
{
    static const unsigned kinds[] = {0, 1, 4, 5, 6, 7};

    return INSN_B(kinds[below(w, 6)], any_x(w), any_x(w), 8);
}

static void item_branch(struct writer *w, unsigned level)
{
    size_t over, end;

    if (level == LEVELS_MAX)
        return;
    word(w, branch_over(w));
    over = jump_later(w);
    items(w, level + 1);
    end = jump_later(w);
    land(w, over);
    if (below(w, 2))
        item_units(w);
    land(w, end);
}

static void item_return(struct writer *w)
{
    if (w->out_count == sizeof(w->out) / sizeof(w->out[0]))
        return;
    word(w, branch_over(w));
    w->out[w->out_count++] = jump_later(w);
}

/* A function that may be called here, or false. */
static bool callee(struct writer *w, unsigned link, bool slot, unsigned *which)
{
    for (unsigned tries = 0; tries < 8 && w->function; tries++) {
        const struct function *f = &w->functions[ *which = below(w, w->function)];

        if ((link && f->link != link) || f->slot != slot || w->cost + w->times * f->cost > w->most)
            continue;
        w->cost += w->times * f->cost;
        return true;
    }
    return false;
}

static void call(struct writer *w, unsigned which)
{
    unsigned link = w->functions[which].link;

    if (below(w, 3)) {
        fix(w, false, which, w->count);
        word(w, JAL(link, 0));
    } else {
        fix(w, true, which, w->count);
        word(w, AUIPC(S8, 0));
        word(w, JALR(link, S8, 0));
    }
}

static void item_call(struct writer *w)
{
    unsigned which;

    if (callee(w, 0, false, &which))
        call(w, which);
}

static void item_table(struct writer *w)
{
    unsigned which[4], entry = w->group_count;

    if (w->group_count + 4 > FUNCTION_COUNT)
        return;
    for (unsigned i = 0; i < 4; i++)
        if (!callee(w, RA, below(w, 4) == 0, &which[i]) && !callee(w, RA, false, &which[i]))
            return;
    memcpy(&w->groups[entry], which, sizeof(which));
    w->group_count += 4;
    word(w, LD(S8, GP, GP_ADDRESSES));
    word(w, ANDI(S9, any_x(w), 3));
    word(w, SLLI(S9, S9, 3));
    word(w, ADD(S8, S8, S9));
    word(w, LD(S8, S8, 8 * (int)(ADDRESS_FUNCTION + entry) - 2048));
    word(w, JALR(RA, S8, 0));
}

static void item_switch(struct writer *w)
{
    size_t cases[4], ends[4], at;

    word(w, ANDI(S9, any_x(w), 3));
    word(w, SLLI(S9, S9, 2));
    at = w->count;
    word(w, AUIPC(S8, 0));
    word(w, ADD(S8, S9, S8));
    word(w, JR(S8) | 12 << 20);
    for (unsigned i = 0; i < 4; i++)
        cases[i] = jump_later(w);
    BUG_ON(cases[0] != at + 6);
    for (unsigned i = 0; i < 4; i++) {
        land(w, cases[i]);
        if (below(w, 4))
            item_units(w);
        ends[i] = jump_later(w);
    }
    for (unsigned i = 0; i < 4; i++)
        land(w, ends[i]);
}

/* Any instruction that accesses memory at s8 + a small number. */
static uint32_t any_load(struct writer *w)
{
    static const unsigned kinds[] = {0, 1, 2, 3, 4, 5, 6};
    int imm = below(w, 2) ? 0 : (int)below(w, 4096) - 2048;

    switch (below(w, 8)) {
    case 0:
        return INSN_I(0x07, 2 + below(w, 2), any_x(w), S8, imm);
    case 1:
        return below(w, 2) ? LR_W(any_target(w), S8, 0) : LR_D(any_target(w), S8, 0);
    default:
        return INSN_I(0x03, kinds[below(w, 7)], any_target(w), S8, imm);
    }
}

static uint32_t any_store(struct writer *w)
{
    static const unsigned atomics[] = {0x00, 0x04, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x0c};
    int imm = below(w, 2) ? 0 : (int)below(w, 4096) - 2048;

    switch (below(w, 8)) {
    case 0:
        return INSN_S(0x27, 2 + below(w, 2), any_x(w), S8, imm);
    case 1:
        return 0x0040200f | S8 << 15; /* cbo.zero */
    case 2:
    case 3:
        return INSN_R(0x2f, 2 + below(w, 2), atomics[below(w, 10)], any_target(w), S8, any_x(w));
    default:
        return INSN_S(0x23, below(w, 4), any_x(w), S8, imm);
    }
}

static void item_access(struct writer *w)
{
    unsigned entry, count = 1 + below(w, 3);
    bool store = below(w, 2);

    entry = store || below(w, 2) ? ADDRESS_ANY + below(w, ANY_COUNT)
                                 : ADDRESS_LOAD + below(w, LOAD_COUNT);
    address(w, entry);
    for (unsigned i = 0; i < count; i++)
        word(w, store ? any_store(w) : any_load(w));
}

/* A few of the instructions with a reservation, at one address. */
static void item_reserved(struct writer *w)
{
    address(w, ADDRESS_ANY + below(w, ANY_COUNT));
    word(w, ANDI(S8, S8, -8));
    for (unsigned i = 2 + below(w, 5); i; i--)
        switch (below(w, 6)) {
        case 0:
            word(w, LR_W(any_target(w), S8, below(w, 4)));
            break;
        case 1:
        case 2:
            word(w, LR_D(any_target(w), S8, below(w, 4)));
            break;
        case 3:
            word(w, SC_W(any_target(w), any_x(w), S8, below(w, 4)));
            break;
        default:
            word(w, SC_D(any_target(w), any_x(w), S8, below(w, 4)));
            break;
        }
}

/* Flags, and then what may be an exception. */
static void item_float(struct writer *w)
{
    word(w, CSRRWI(0, CSR_FFLAGS, 0));
    for (unsigned i = 1 + below(w, 3); i; i--)
        word(w, INSN_R(0x53, 7, 4 * below(w, 4) + below(w, 2), any_x(w), any_x(w), any_x(w)));
    item_access(w);
}

static void ecall(struct writer *w, enum call call)
{
    word(w, LI(A7, (int)call));
    word(w, ECALL);
    w->cost += 400 * w->times;
}

/* Accesses before and behind changes of the page tables. */
static void item_remap(struct writer *w, unsigned level)
{
    unsigned entries[3], times = 2 + below(w, 5);
    int slot = 16 + 8 * (int)level;
    uint32_t accesses[3];
    size_t top;

    if (level == LEVELS_MAX || w->cost + w->times * times * 400 > w->most)
        return;
    for (unsigned i = 0; i < 3; i++) {
        entries[i] = ADDRESS_ANY + below(w, ANY_COUNT);
        accesses[i] = below(w, 2) ? any_store(w) : any_load(w);
    }
    word(w, LI(S8, times));
    word(w, SD(S8, TP, slot));
    top = w->count;
    w->times *= times;
    for (unsigned i = 0; i < 3; i++) {
        address(w, entries[i]);
        word(w, accesses[i]);
        if (below(w, 2))
            item_units(w);
    }
    ecall(w, CALL_REMAP);
    word(w, LD(S8, TP, slot));
    word(w, ADDI(S8, S8, -1));
    word(w, SD(S8, TP, slot));
    w->times /= times;
    word(w, BEQZ(S8, 8));
    word(w, J(-distance(w, top)));
}

static void item_illegal(struct writer *w)
{
    static const uint32_t words[] = {
        ILLEGAL,
        0x0000006b,
        0x00000057,
        0x74701073 /* csrw 0x747 */,
        0xc0001073 /* csrw cycle */,
        0x80001033,
        0x02005053 /* a rounding mode */,
        0x0000707f,
    };

    if (below(w, 4))
        word(w, words[below(w, sizeof(words) / sizeof(words[0]))]);
    else
        half(w, below(w, 2) ? 0x0000 : 0x8002); /* c.jr x0 */
}

static void item_ecall(struct writer *w)
{
    static const unsigned operands[] = {3, 3, 3, 1, 2, 0};

    switch (below(w, 4)) {
    case 0:
        ecall(w, CALL_REMAP);
        break;
    case 1:
        ecall(w, CALL_CHECK);
        break;
    case 2:
        word(w, LI(A6, operands[below(w, 6)]));
        ecall(w, CALL_FLOAT);
        break;
    default:
        word(w, LI(A6, below(w, 3) ? below(w, 2) : 3));
        ecall(w, CALL_MODE);
        break;
    }
}

/* Calls what cannot be executed, and code that is mapped here and there. */
static void item_far_call(struct writer *w)
{
    if (below(w, 3)) {
        address(w, ADDRESS_VARIANT + below(w, VARIANT_COUNT));
        word(w, JALR(RA, S8, 0));
        return;
    }
    address(w, ADDRESS_NOCODE + below(w, NOCODE_COUNT));
    word(w, JALR(RA, S8, below(w, 2) ? 0 : (int)below(w, 8) - 4));
}

/* Writes the one instruction of a slot, by the writable alias of its page, and calls it. */
static void item_rewrite(struct writer *w)
{
    static const uint32_t kinds[] = {0x13 /* addi */, 0x4013 /* xori */, 0x6013 /* ori */,
                                     0x1b /* addiw */};
    unsigned which;

    if (!callee(w, RA, true, &which))
        return;
    fix(w, true, which, w->count);
    word(w, AUIPC(S8, 0));
    word(w, ADDI(S8, S8, 0));
    word(w, LD(S9, GP, GP_WRITABLE));
    word(w, ADD(S8, S8, S9));
    /* Another immediate each time. */
    word(w, ANDI(S10, any_x(w), 0x7f));
    word(w, SLLI(S10, S10, 20));
    constant(w, S9,
             kinds[below(w, 4)] | any_target(w) << 7 | any_x(w) << 15 | below(w, 4096) << 20);
    word(w, XOR(S9, S9, S10));
    word(w, SW(S9, S8, 0));
    word(w, FENCE_I);
    if (below(w, 8))
        call(w, which);
}

static void item_csr(struct writer *w)
{
    switch (below(w, 6)) {
    case 0:
        word(w, CSRRWI(any_target(w), CSR_FRM, below(w, 8) ? below(w, 5) : below(w, 8)));
        break;
    case 1:
        word(w, CSRRW(any_target(w), CSR_FFLAGS, any_x(w)));
        break;
    case 2: /* SUM and MXR; illegal in U-mode */
        word(w, LUI(S8, 0x40 << below(w, 2)));
        word(w, below(w, 2) ? CSRRS(any_target(w), CSR_SSTATUS, S8)
                            : CSRRC(any_target(w), CSR_SSTATUS, S8));
        break;
    case 3:
        word(w, SFENCE_VMA(any_x(w), any_x(w)));
        break;
    case 4: /* FS */
        word(w, LUI(S8, 2 << below(w, 2)));
        word(w, below(w, 4) ? CSRRS(0, CSR_SSTATUS, S8) : CSRRC(0, CSR_SSTATUS, S8));
        break;
    default:
        word(w, FENCE(below(w, 16), below(w, 16)));
        break;
    }
}

static void item_interrupt(struct writer *w)
{
    static const unsigned lines[] = {RISCV_IRQ_M_SOFT, RISCV_IRQ_M_TIMER, RISCV_IRQ_M_EXTERNAL,
                                     RISCV_IRQ_S_SOFT, RISCV_IRQ_S_TIMER, RISCV_IRQ_S_EXTERNAL};

    if (!w->options->interrupts)
        return;
    word(w, LD(S8, GP, GP_DEVICE));
    word(w, LI(S9, lines[below(w, 6)]));
    word(w, SD(S9, S8, DEVICE_RAISE));
}

static void item_calm(struct writer *w, unsigned level)
{
    switch (below(w, 22)) {
    case 0:
    case 1:
        item_loop(w, level);
        break;
    case 2:
    case 3:
        item_branch(w, level);
        break;
    case 4:
    case 5:
    case 6:
        item_call(w);
        break;
    case 7:
    case 8:
        item_table(w);
        break;
    case 9:
        item_switch(w);
        break;
    case 10:
    case 11:
        item_access(w);
        break;
    case 12:
    case 13:
        item_rewrite(w);
        break;
    case 14:
        item_interrupt(w);
        break;
    case 15:
        item_return(w);
        break;
    case 16:
        item_reserved(w);
        break;
    case 17:
        item_float(w);
        break;
    case 18:
        item_remap(w, level);
        break;
    default:
        item_units(w);
        break;
    }
}

static void item(struct writer *w, unsigned level)
{
    /* The first cases are those of which each is an exception, or most are. */
    switch (below(w, 24) + (w->options->calm && below(w, 10) ? 24 : 0)) {
    case 0:
        item_illegal(w);
        break;
    case 1:
    case 2:
        item_far_call(w);
        break;
    case 3:
    case 4:
        item_csr(w);
        break;
    case 5:
        item_ecall(w);
        break;
    default:
        item_calm(w, level);
        break;
    }
}

static void items(struct writer *w, unsigned level)
{
    for (unsigned left = 1 + below(w, level ? 4 : 8); left; left--)
        item(w, level);
}

/* ---- functions ---- */

static struct function *function_begin(struct writer *w, uint64_t most)
{
    struct function *f = &w->functions[w->function];

    w->cost = 0;
    w->most = most;
    w->times = 1;
    w->out_count = 0;
    f->start = w->count;
    return f;
}

static void function_make(struct writer *w)
{
    struct function *f = function_begin(w, COST_OF_FUNCTION);

    f->slot = w->function && below(w, 4) == 0;
    f->link = RA;
    if (f->slot) {
        word(w, ADDI(A0, A0, below(w, 100)));
        word(w, RET);
    } else {
        f->link = below(w, 4) ? RA : below(w, 2) ? T0 : S11;
        word(w, ADDI(TP, TP, -FRAME));
        word(w, SD(f->link, TP, 0));
        word(w, SD(S11, TP, 8));
        items(w, 0);
        for (unsigned i = 0; i < w->out_count; i++)
            land(w, w->out[i]);
        /* s11 may be the way back, or its caller's. */
        word(w, LD(S11, TP, 8));
        word(w, LD(f->link, TP, 0));
        word(w, ADDI(TP, TP, FRAME));
        word(w, JR(f->link));
    }
    f->end = w->count;
    f->cost = w->cost;
}

/* What the program begins with: values in all registers, then calls until enough was executed. */
static void main_make(struct writer *w)
{
    struct function *f = function_begin(w, COST_OF_ALL);

    word(w, ADDI(TP, TP, -FRAME));
    for (unsigned i = 1; i < 32; i++)
        if (!(KEPT >> i & 1))
            word(w, LD(i, GP, POOL + 8 * (int)below(w, POOL_INTEGERS)));
    for (unsigned i = 0; i < 32; i++)
        word(w, FLD(i, GP, POOL + 8 * (int)(POOL_INTEGERS + below(w, POOL_FLOATS))));
    for (unsigned i = 0; i < 12; i++) {
        item_call(w);
        item(w, 0);
    }
    for (unsigned i = 0; i < w->out_count; i++)
        land(w, w->out[i]);
    word(w, LI(A7, CALL_END));
    word(w, ECALL);
    f->end = w->count;
}

/* ---- the image ---- */

static void fixup_apply(const struct writer *w, const struct fixup *fixup, uint8_t *image)
{
    const struct function *from = &w->functions[fixup->owner];
    uint64_t at = from->place + 2 * (fixup->at - from->start);
    int32_t offset = (int32_t)(w->functions[fixup->target].place - at), low;
    uint32_t insn[2];

    memcpy(insn, image + at, 8);
    if (!fixup->pair) {
        insn[0] |= JAL(0, offset);
    } else {
        low = (int32_t)((uint32_t)offset << 20) >> 20;
        insn[0] |= (uint32_t)(offset - low) & 0xfffff000;
        insn[1] |= (uint32_t)low << 20;
    }
    memcpy(image + at, insn, 8);
}

/* All functions in a random order, with gaps of any even length. False: more than fits. */
static bool lay_out(struct writer *w, struct guest *guest)
{
    unsigned order[FUNCTIONS_MAX], count = w->function + 1;

    for (unsigned i = 0; i < count; i++) {
        unsigned j = below(w, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned i = 0; i < count; i++) {
        struct function *f = &w->functions[order[i]];
        size_t size = (f->end - f->start) * 2;

        guest->size += 2 * below(w, below(w, 4) ? 4 : 400);
        if (guest->size + size + 8 > CODE_MAX)
            return false;
        f->place = guest->size;
        memcpy(guest->image + f->place, w->code + f->start, size);
        guest->size += size;
    }
    guest->size += 8; /* fixups are applied 8 bytes at a time */
    for (unsigned i = 0; i < w->fixup_count; i++)
        fixup_apply(w, &w->fixups[i], guest->image);
    guest->entry = w->functions[w->function].place;
    guest->function_count = w->group_count;
    for (unsigned i = 0; i < w->group_count; i++)
        guest->functions[i] = w->functions[w->groups[i]].place;
    return true;
}

static bool guest_try(struct guest *guest, const struct guest_options *options,
                      struct program *units)
{
    struct writer *w = calloc(1, sizeof(*w));
    unsigned count = options->big ? FUNCTIONS_MAX - 1 : 4 + random_below(options->rng, 16);
    uint64_t end = CODE_END * PAGE_SIZE;
    bool fits;

    BUG_ON(!w);
    w->options = options;
    w->units = units;
    guest->size = 0;
    for (unsigned i = 0; i < CODE_MAX; i++)
        guest->image[i] = (uint8_t)random_next(options->rng);
    for (; w->function < count; w->function++)
        function_make(w);
    main_make(w);
    fits = w->fixup_count < FIXUPS_MAX && lay_out(w, guest);
    if (options->shares)
        end = SCRATCH_LOW * PAGE_SIZE + 0xc00 - 4 * random_below(options->rng, 200);
    guest->start = (end - guest->size) & ~UINT64_C(1);
    free(w->code);
    free(w);
    return fits;
}

bool guest_make(struct guest *guest, const struct guest_options *options)
{
    const struct program_options units_options = {
        .extensions = "i,m,a,f,d,c,zba,zbb,zbc,zbs,zfhmin,zicond,zfa,zicboz,zicbop",
        .seed = random_next(options->rng),
    };
    struct program *units = program_open(&units_options);

    *guest = (struct guest){.image = malloc(CODE_MAX)};
    if (!units || !guest->image) {
        free(guest->image);
        return false;
    }
    while (!guest_try(guest, options, units)) {
    }
    program_close(units);
    return true;
}

void guest_free(struct guest *guest)
{
    free(guest->image);
}
