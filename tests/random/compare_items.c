/* SPDX-License-Identifier: Apache-2.0 */
/* What the functions of a random program are made of, an item at a time; see compare_program.c. */
#include <string.h>

#include "compare_writer.h"

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

/* Not the way back from a slot, either. */
static unsigned slot_target(struct writer *w)
{
    unsigned reg;

    do
        reg = any_target(w);
    while (reg == RA);
    return reg;
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

static uint32_t branch_over(struct writer *w)
{
    static const unsigned kinds[] = {0, 1, 4, 5, 6, 7};

    return INSN_B(kinds[below(w, 6)], any_x(w), any_x(w), 8);
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
    /* Most often sp points to memory, as it does in any program. */
    if (below(w, 3))
        word(w, MV(SP, TP));
}

/* What a function does with its stack, below the frame; at times it leaves sp where it is. */
static void item_stack(struct writer *w)
{
    unsigned size = 16 * (1 + below(w, 3));

    word(w, MV(SP, TP));
    word(w, ADDI(SP, SP, -(int)size));
    for (unsigned i = below(w, 4); i; i--) {
        int offset = 8 * (int)below(w, size / 8);

        word(w, SD(any_x(w), SP, offset));
    }
    if (below(w, 2))
        word(w, branch_over(w));
    for (unsigned i = 1 + below(w, 3); i; i--) {
        int offset = 8 * (int)below(w, size / 8);

        word(w, LD(slot_target(w), SP, offset));
    }
    if (below(w, 4))
        word(w, ADDI(SP, SP, (int)size));
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

/* Two shifts, as compilers have them for fields and for extensions, and perhaps an address. */
static void item_shifts(struct writer *w)
{
    static const unsigned bits[] = {32, 48, 56};
    unsigned from = any_x(w), first = any_target(w);
    unsigned second = below(w, 3) ? first : any_target(w);
    unsigned left = below(w, 4) ? bits[below(w, 3)] : below(w, 64);
    unsigned right = below(w, 3) ? left : left == 32 ? 29 + below(w, 3) : below(w, 64);

    word(w, INSN_I(0x13, 1, first, from, (int)left));
    word(w, INSN_I(0x13, 5, second, first, (int)(right | below(w, 2) << 10)));
    if (below(w, 2))
        word(w, INSN_R(0x33, 0, 0, second, second, any_x(w)));
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

/* Loads, or stores, by one base and next to each other, as registers are saved and restored: what
 * is stored may be a word of which nobody has seen the upper half yet, or a NaN, and one of the
 * loads may change the base. */
static void item_row(struct writer *w)
{
    static const unsigned kinds[] = {3, 3, 3, 0, 1, 2, 4, 5, 6};
    unsigned base = below(w, 2) ? S8 : any_target(w), count = 2 + below(w, 7);
    unsigned sum = any_x(w);
    bool store = below(w, 2);
    int at = (int)below(w, 1024) - 512;

    if (!base)
        base = S8;
    if (below(w, 2))
        word(w, INSN_R(0x3b, 0, 0, any_target(w), any_x(w), any_x(w)));
    else
        word(w, INSN_R(0x53, 7, below(w, 2), sum, any_x(w), any_x(w)));
    address(w, store || below(w, 2) ? ADDRESS_ANY + below(w, ANY_COUNT)
                                    : ADDRESS_LOAD + below(w, LOAD_COUNT));
    if (below(w, 2))
        word(w, ANDI(S8, S8, -8));
    if (base != S8)
        word(w, MV(base, S8));
    for (unsigned i = 0; i < count; i++) {
        int imm = at + (int)(below(w, 4) ? 8 * i : below(w, below(w, 8) ? 64 : 700));

        if (store)
            word(w, below(w, 8)
                        ? INSN_S(0x23, below(w, 3) ? 3 : below(w, 4), any_x(w), base, imm)
                        : INSN_S(0x27, 2 + below(w, 2), below(w, 2) ? sum : any_x(w), base, imm));
        else
            word(w,
                 INSN_I(0x03, kinds[below(w, 9)], below(w, 8) ? any_target(w) : base, base, imm));
    }
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

/* As compilers have it. Whatever of it is skipped since it is an exception, it ends. */
static void item_compare_swap(struct writer *w)
{
    unsigned rd, expected = any_x(w), result, width = 2 + below(w, 2), order = below(w, 4);

    do {
        rd = below(w, 4) ? any_target(w) : SP;
        result = any_target(w);
    } while (rd == result || !result);
    address(w, ADDRESS_ANY + below(w, ANY_COUNT));
    if (below(w, 4))
        word(w, ANDI(S8, S8, -8));
    if (below(w, 3)) {
        expected = any_target(w);
        /* lwu now and then, which never finds what it expects if that is negative */
        word(w, INSN_I(0x03, width == 2 && !below(w, 3) ? 6 : width, expected, S8, 0));
    }
    word(w, LI(result, 0));
    word(w, INSN_R(0x2f, width, 0x08 | order, rd, S8, 0));
    word(w, below(w, 2) ? BNE(rd, expected, 12) : BNE(expected, rd, 12));
    word(w, INSN_R(0x2f, width, 0x0c | order, result, S8, any_x(w)));
    word(w, BNEZ(result, -12));
    /* Is there a reservation? */
    if (!below(w, 3))
        word(w, INSN_R(0x2f, width, 0x0c | order, any_target(w), S8, any_x(w)));
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
             kinds[below(w, 4)] | slot_target(w) << 7 | any_x(w) << 15 | below(w, 4096) << 20);
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
        word(w, below(w, 4)   ? CSRRS(0, CSR_SSTATUS, S8)
                : below(w, 2) ? CSRRC(0, CSR_SSTATUS, S8)
                              : CSRRC(any_target(w), CSR_SSTATUS, S8));
        break;
    default:
        word(w, FENCE(below(w, 16), below(w, 16)));
        break;
    }
}

/* What S-mode may read and write of its own without harm to its handler. Where an interrupt may
 * come at any time it may change them at any time. */
static void item_supervisor(struct writer *w)
{
    static const unsigned reads[] = {CSR_SSTATUS, 0x140, 0x141, 0x142, 0x143};

    if (w->options->interrupts)
        return;
    for (unsigned i = 1 + below(w, 3); i; i--)
        switch (below(w, 7)) {
        case 0:
            word(w, CSRRW(any_target(w), 0x142 + below(w, 2), any_x(w)));
            break;
        case 1:
            word(w, CSRRW(below(w, 2) ? any_target(w) : 0, CSR_SEPC, any_x(w)));
            break;
        case 6: /* all of sstatus, with FS, SUM or MXR as they were not */
            word(w, CSRRS(S8, CSR_SSTATUS, 0));
            word(w, LUI(S9, 2 << below(w, 6)));
            word(w, XOR(S8, S8, S9));
            word(w, CSRRW(below(w, 4) ? 0 : any_target(w), CSR_SSTATUS, S8));
            break;
        case 2: /* interrupts off, and on */
            word(w, INSN_I(0x73, 7, any_target(w), 2, CSR_SSTATUS));
            break;
        case 3:
            word(w, CSRRSI(any_target(w), CSR_SSTATUS, 2));
            break;
        default:
            word(w, CSRRS(any_target(w), reads[below(w, 5)], 0));
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
        item_row(w);
        break;
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
        if (below(w, 2))
            item_reserved(w);
        else
            item_compare_swap(w);
        break;
    case 17:
        item_float(w);
        break;
    case 18:
        item_remap(w, level);
        break;
    case 19:
        if (below(w, 2))
            item_stack(w);
        else if (below(w, 4) == 0)
            item_supervisor(w);
        else
            item_shifts(w);
        break;
    default:
        item_units(w);
        break;
    }
}

static void item(struct writer *w, unsigned level)
{
    /* The first cases are those of which each is an exception, or most are. */
    switch (below(w, 26) + (w->options->calm && below(w, 10) ? 26 : 0)) {
    case 0:
        item_illegal(w);
        break;
    case 1:
    case 2:
        item_far_call(w);
        break;
    case 3:
        item_csr(w);
        break;
    case 4:
        item_supervisor(w);
        break;
    case 5:
        item_ecall(w);
        break;
    case 24:
    case 25:
        item_shifts(w);
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

void items_make(struct writer *w)
{
    items(w, 0);
}

void items_call(struct writer *w)
{
    item_call(w);
    item(w, 0);
}
