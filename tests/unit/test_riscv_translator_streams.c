/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops that step through memory, which are done by vectors: random ones, over data with NaNs and
 * all kinds of numbers, that meet themselves or not, and end in pages that are not there or not to
 * be written. All of the state is what the interpreter makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_spaces.h"

static const char *const options[] = {
    NULL, /* the interpreter */
    "heat=0,windows=2,audit=1",
    "heat=0,windows=2,regions=2,audit=1",
};

enum {
    CASES = 6000,
    BYTES = 6 * 4096, /* of data */
    CODE_WORDS = 32,
    /* Registers. Pointers, limits, what is loaded: some the host has, some it has not. */
    POINTERS = 3,
    S10 = 26,
    LIMIT = 27, /* s11 */
    OUTER = 25, /* s9 */
};

static unsigned counter = S10;

/* The stack pointer is one that translated code relies on (WINDOW_ANCHOR). */
static uint8_t pointers[POINTERS] = {A4, S4, A2};
static const uint8_t ints[] = {A5, A3, S5, 22, T4};
static const uint8_t floats[] = {15, 14, 12, 21, 3};
/* Not written in the loop. */
static const uint8_t constants[] = {A1, 23};
static const uint8_t float_constants[] = {13, 22};

#define ONE      UINT64_C(0x3ff0000000000000)
#define INFINITE UINT64_C(0x7ff0000000000000)

struct kind {
    unsigned width;
    bool is_float;
    uint8_t load, store; /* funct3 */
};

static const struct kind kinds[] = {
    {8, true, 3, 3},  {8, true, 3, 3},  {4, true, 2, 2},  {8, false, 3, 3}, {4, false, 2, 2},
    {4, false, 6, 2}, {2, false, 1, 1}, {1, false, 4, 0}, {1, false, 0, 0},
};

struct program {
    uint32_t code[CODE_WORDS];
    unsigned length;
    uint64_t x[32], f[32];
    unsigned rounding;
    uint8_t pages[6]; /* flags of each */
    uint64_t data_seed;
    /* If not 0: all data is 1.0, but for one double, so many bytes from the start. */
    uint64_t special;
    unsigned special_at;
};

struct outcome {
    uint64_t x[32], f[32], flags, cause, pc, tval, memory;
};

static uint64_t random_state;

static uint64_t random64(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state ^ random_state >> 29 ^ random_state << 31;
}

static unsigned below(unsigned n)
{
    return (unsigned)(random64() >> 20) % n;
}

static bool one_in(unsigned n)
{
    return !below(n);
}

static void put(struct program *p, uint32_t insn)
{
    p->code[p->length++] = insn;
}

static uint64_t number(uint64_t seed, unsigned i)
{
    static const uint64_t specials[] = {
        0,
        0x8000000000000000,
        0x7ff0000000000000,
        0xfff8000000000001,
        0x7ff4000000000000,
        1,
        0x7fc000007fc00000,
        0xffffffff7f800001,
        0x7f800000ff800000,
        0x0000000100000001,
        0x7fefffffffffffff,
    };
    uint64_t value = (seed + i) * UINT64_C(0x9e3779b97f4a7c15);

    value ^= value >> 31;
    value *= UINT64_C(0xbf58476d1ce4e5b9);
    value ^= value >> 27;
    /* Half of the programs have plain numbers only. */
    if ((seed & 1) && value % 197 == 0)
        return specials[value / 197 % ARRAY_SIZE(specials)];
    /* Small integers, so that few operations raise a flag, as far as the seed says so. */
    if ((seed & 2) && value % ((seed & 8) ? 300 : 30))
        return (seed & 4) ? UINT64_C(0x3f8000003f800000) | (value & UINT64_C(0x0040000000400000))
                          : UINT64_C(0x3ff0000000000000) | (value & UINT64_C(0x000c000000000000));
    /* Numbers near 1, of 8 bytes and of 4. */
    return (value & UINT64_C(0x800fffff807fffff)) | UINT64_C(0x3ff000003f800000);
}

/* ---- a loop ---- */

struct maker {
    struct program *p;
    const struct kind *kind;
    int64_t moved[POINTERS]; /* by how much each has been in this round */
    bool done[POINTERS];
    unsigned used; /* pointers */
    uint8_t values[8];
    unsigned value_count;
};

static void put_step(struct maker *m, unsigned i)
{
    if (m->done[i])
        return;
    m->done[i] = true;
    m->moved[i] = m->kind->width;
    put(m->p, ADDI(pointers[i], pointers[i], m->kind->width));
}

static void put_load(struct maker *m, unsigned i, int64_t offset)
{
    unsigned value = m->kind->is_float ? floats[below(5)] : ints[below(5)];
    int imm = (int)(offset - m->moved[i]);

    put(m->p, INSN_I(m->kind->is_float ? 0x07 : 0x03, m->kind->load, value, pointers[i], imm));
    m->values[m->value_count++] = (uint8_t)value;
}

static unsigned pick(const struct maker *m)
{
    if (one_in(40)) /* perhaps of the round before */
        return m->kind->is_float ? floats[below(5)] : ints[below(5)];
    if (m->value_count && !one_in(4))
        return m->values[below(m->value_count)];
    return m->kind->is_float ? float_constants[below(2)] : one_in(4) ? 0 : constants[below(2)];
}

static void put_float(struct maker *m, unsigned to)
{
    static const uint8_t funct7[] = {0x00, 0x04, 0x08, 0x0c};
    unsigned format = m->kind->width == 8, a = pick(m), b = pick(m), which = below(10);

    if (which < 6)
        put(m->p, INSN_R(0x53, 7, funct7[below(which == 5 ? 4 : 3)] | format, to, a, b));
    else if (which == 6)
        put(m->p, INSN_R(0x53, 7, 0x2c | format, to, a, 0));
    else if (which == 7)
        put(m->p, INSN_R(0x53, 0, 0x10 | format, to, a, a));
    else
        put(m->p, INSN_R(0x43 + 4 * below(4), 7, format, to, a, b) | (uint32_t)pick(m) << 27);
}

/* Mostly what elements of the width are computed with. */
static void put_int(struct maker *m, unsigned to)
{
    static const uint8_t bitwise[] = {7, 6, 4};
    bool word = one_in(6) ? one_in(2) : m->kind->width == 4;
    unsigned op = word ? 0x3b : 0x33, a = pick(m), b = pick(m), shift = below(word ? 32 : 64);

    switch (below(word ? 8 : 7)) {
    case 0:
    case 1:
        put(m->p, INSN_R(op, 0, one_in(2) ? 0x20 : 0, to, a, b));
        break;
    case 2:
        put(m->p, INSN_R(0x33, bitwise[below(3)], 0, to, a, b));
        break;
    case 3:
        put(m->p, INSN_I(0x13, bitwise[below(3)], to, a, (int)below(4096) - 2048));
        break;
    case 4:
        put(m->p, INSN_I(op - 0x20, 0, to, a, (int)below(4096) - 2048));
        break;
    case 5:
        put(m->p, INSN_I(op - 0x20, 1, to, a, shift));
        break;
    case 6:
        put(m->p, INSN_I(op - 0x20, 5, to, a, shift | (word || one_in(6) ? one_in(2) << 10 : 0)));
        break;
    default:
        put(m->p, INSN_R(op, 0, 1, to, a, b));
        break;
    }
}

static void put_operation(struct maker *m)
{
    unsigned to = m->kind->is_float ? floats[below(5)] : ints[below(5)];

    if (!m->value_count || (m->kind->width < 4 && !one_in(6)))
        return;
    if (m->kind->is_float)
        put_float(m, to);
    else
        put_int(m, to);
    if (m->value_count < 8)
        m->values[m->value_count++] = (uint8_t)to;
}

static void put_store(struct maker *m, unsigned i, int64_t offset)
{
    unsigned value = pick(m);
    int imm = (int)(offset - m->moved[i]);

    put(m->p, INSN_S(m->kind->is_float ? 0x27 : 0x23, m->kind->store, value, pointers[i], imm));
}

/* The end: how often it goes around, by a pointer or by a counter. */
static void put_end(struct maker *m, unsigned begin, unsigned rounds)
{
    static const uint8_t conds[] = {1, 1, 4, 6};
    struct program *p = m->p;
    int back;
    unsigned cond;

    switch (below(7)) {
    case 3: /* down by threes */
        p->x[counter] = 3 * rounds;
        put(p, ADDI(counter, counter, -3));
        back = -4 * (int)(p->length - begin);
        put(p, BNEZ(counter, back));
        break;
    case 0: /* a counter down to 0 */
        p->x[counter] = rounds;
        put(p, ADDI(counter, counter, -1));
        back = -4 * (int)(p->length - begin);
        put(p, BNEZ(counter, back));
        break;
    case 1: /* down by fours, while it is not below a limit */
        p->x[LIMIT] = one_in(2) ? 100 : 0;
        p->x[counter] = p->x[LIMIT] + 4 * rounds - below(4);
        put(p, ADDI(counter, counter, -4));
        back = -4 * (int)(p->length - begin);
        put(p, INSN_B(one_in(2) && p->x[LIMIT] ? 7 : 5, counter, LIMIT, back));
        break;
    case 2: /* down while the limit is less */
        p->x[LIMIT] = 50;
        p->x[counter] = 50 + 2 * rounds;
        put(p, ADDI(counter, counter, -2));
        back = -4 * (int)(p->length - begin);
        put(p, INSN_B(one_in(2) ? 4 : 6, LIMIT, counter, back));
        break;
    default:
        cond = conds[below(4)];
        p->x[LIMIT] = p->x[pointers[0]] + (uint64_t)rounds * m->kind->width +
                      (cond == 1 ? 0 : below(m->kind->width));
        back = -4 * (int)(p->length - begin);
        if (cond == 1 && one_in(2))
            put(p, INSN_B(1, LIMIT, pointers[0], back));
        else
            put(p, INSN_B(cond, pointers[0], LIMIT, back));
        break;
    }
}

static void place_pointers(struct maker *m)
{
    struct program *p = m->p;
    uint64_t odd = one_in(4) ? below(8) : 0;

    for (unsigned i = 0; i < POINTERS; i++) {
        uint64_t at = 64 + (uint64_t)below(4) * 4096 + below(8) * 8 + odd;

        if (one_in(2))
            at += 4096 - 256; /* so that the end of a page is near */
        p->x[pointers[i]] = DATA_AT + at;
    }
    /* Close together, as if they were one array. */
    for (unsigned i = 1; i < POINTERS; i++)
        if (one_in(5))
            p->x[pointers[i]] = p->x[pointers[0]] + (uint64_t)((int64_t)below(160) - 80);
}

static void make(struct program *p)
{
    struct maker m = {.p = p, .kind = &kinds[below(ARRAY_SIZE(kinds))]};
    unsigned rounds = one_in(6) ? 1 + below(12) : 1 + below(500), begin, loads = 1 + below(3);
    unsigned out, outer;
    bool nested = one_in(4), fails = one_in(2);

    counter = one_in(6) ? SP : S10;
    pointers[0] = counter != SP && one_in(4) ? SP : A4;
    memset(p, 0, sizeof(*p));
    for (unsigned i = 1; i < 32; i++) {
        p->x[i] = random64() >> below(64);
        p->f[i] = m.kind->width == 4 ? random64() | UINT64_C(0xffffffff) << 32 : random64();
        if (one_in(20))
            p->f[i] = number(2, below(1000));
    }
    for (unsigned i = 0; i < 2; i++)
        if (one_in(6))
            p->f[float_constants[i]] = number(2, below(1000));
        else if (!one_in(4))
            p->f[float_constants[i]] =
                m.kind->width == 8 ? UINT64_C(0x3ff4000000000000) : UINT64_C(0xffffffff3fa00000);
    p->rounding = one_in(2) ? 0 : below(4);
    p->data_seed = random64();
    p->x[OUTER] = nested ? 3 : 1;
    place_pointers(&m);
    outer = p->length;
    if (nested)
        put(p, NOP);
    begin = p->length;
    if (one_in(3))
        put_step(&m, below(POINTERS));
    for (unsigned i = 0; i < loads; i++) {
        put_load(&m, below(POINTERS), (int64_t)(below(5)) * m.kind->width - 2 * m.kind->width);
        if (one_in(3))
            put_step(&m, below(POINTERS));
    }
    for (unsigned i = below(4); i; i--)
        put_operation(&m);
    out = below(POINTERS);
    put_store(&m, out, one_in(3) ? (int64_t)m.kind->width * (below(9)) - 4 * m.kind->width : 0);
    if (one_in(4))
        put_load(&m, below(POINTERS), (int64_t)(below(9)) * m.kind->width - 4 * m.kind->width);
    if (one_in(3))
        put_operation(&m);
    for (unsigned i = 0; i < POINTERS; i++)
        put_step(&m, i);
    put_end(&m, begin, rounds);
    if (nested) {
        put(p, ADDI(OUTER, OUTER, -1));
        put(p, BNEZ(OUTER, -4 * (int)(p->length - outer)));
    }
    put(p, ECALL);
    for (unsigned i = 0; i < 6; i++) {
        unsigned flags = PTE_RWX | PTE_U;

        if (one_in(6))
            flags = one_in(2) ? 0 : (PTE_RWX & ~PTE_W) | PTE_U;
        p->pages[i] = (uint8_t)flags;
    }
    /* The page behind where an array begins, for certain. */
    if (fails) {
        uint64_t at = p->x[pointers[below(POINTERS)]] - DATA_AT;

        p->pages[at < 5 * PAGE ? at / PAGE + 1 : 0] = one_in(2) ? 0 : (PTE_RWX & ~PTE_W) | PTE_U;
    }
}

/* ---- running it ---- */

static void prepare(struct spaces *s, const struct program *p)
{
    struct riscv_hart *hart = s->hart;

    for (unsigned i = 0; i < p->length; i++)
        PUT(s->rig, frame(0) + 4 * i, p->code[i]);
    for (unsigned i = 0; i < BYTES / 8; i++)
        rig_put64(s->rig, frame(2) + 8 * i, p->special ? ONE : number(p->data_seed, i));
    if (p->special)
        rig_put64(s->rig, frame(2) + p->special_at, p->special);
    for (unsigned i = 0; i < 6; i++)
        spaces_map(s, 0, DATA_AT + i * PAGE, p->pages[i] ? pte(frame(2 + i), p->pages[i]) : 0);
    memcpy(hart->x, p->x, sizeof(p->x));
    memcpy(hart->f, p->f, sizeof(p->f));
    hart->fflags = 0;
    hart->frm = (uint8_t)p->rounding;
}

/* Registers by which a run begins are the stub's. */
static bool is_stub(unsigned i)
{
    return i == A6 || i == A7 || i == S2 || i == S3 || i == T0;
}

static struct outcome run(struct spaces *s, const struct program *p)
{
    const struct visit visit = {.asid = 1, .user = true, .entry = HERE, .fence = FENCE_ALL};
    const struct visit code = {.asid = 1, .entry = HERE + PAGE, .fence = FENCE_CODE};
    struct outcome outcome;

    prepare(s, p);
    spaces_visit(s, &code);
    prepare(s, p);
    spaces_visit(s, &visit);
    memset(&outcome, 0, sizeof(outcome));
    for (unsigned i = 0; i < 32; i++)
        outcome.x[i] = is_stub(i) ? 0 : s->hart->x[i];
    memcpy(outcome.f, s->hart->f, sizeof(outcome.f));
    outcome.flags = s->hart->fflags;
    outcome.cause = s->hart->scause;
    outcome.pc = s->hart->sepc;
    outcome.tval = s->hart->scause == RISCV_EXC_ECALL_U ? 0 : s->hart->stval;
    for (unsigned i = 0; i < BYTES / 8; i++)
        outcome.memory =
            (outcome.memory ^ rig_get64(s->rig, frame(2) + 8 * i)) * UINT64_C(0x100000001b3);
    return outcome;
}

static void tell(const struct program *p)
{
    for (unsigned i = 0; i < p->length; i++)
        print_message("%08x\n", p->code[i]);
    for (unsigned i = 0; i < POINTERS; i++)
        print_message("pointer x%u %#llx\n", pointers[i], (unsigned long long)p->x[pointers[i]]);
}

static void compare(const struct spaces *s, const struct program *p, unsigned number,
                    const struct outcome *got, const struct outcome *wanted)
{
    char what[64];

    if (!memcmp(got, wanted, sizeof(*got)))
        return;
    tell(p);
    snprintf(what, sizeof(what), "case %u", number);
    expect(s, what, "scause", got->cause, wanted->cause);
    expect(s, what, "sepc", got->pc, wanted->pc);
    expect(s, what, "stval", got->tval, wanted->tval);
    for (unsigned i = 0; i < 32; i++)
        expect(s, what, "x", got->x[i] ^ i, wanted->x[i] ^ i);
    for (unsigned i = 0; i < 32; i++)
        expect(s, what, "f", got->f[i], wanted->f[i]);
    expect(s, what, "flags", got->flags, wanted->flags);
    expect(s, what, "memory", got->memory, wanted->memory);
}

static struct spaces *machine(unsigned which)
{
    struct spaces *s = spaces_new(options[which] ? &riscv_translator : &riscv_interpreter,
                                  options[which], true, PTE_G);

    map(s, 0, HERE, 0, PTE_U);
    map(s, 0, HERE + PAGE, 1, 0);
    PUT(s->rig, frame(1), ECALL);
    return s;
}

typedef void make_function(struct program *p, unsigned i);

/* Fills `outcomes`, or expects them. Returns how many loops were done by vectors. */
static uint64_t run_all(unsigned which, make_function *maker, unsigned count,
                        struct outcome *outcomes)
{
    struct spaces *s = machine(which);
    struct engine_counters counters;
    struct program program;

    for (unsigned i = 0; i < count; i++) {
        struct outcome outcome;

        maker(&program, i);
        outcome = run(s, &program);
        if (which)
            compare(s, &program, i, &outcome, &outcomes[i]);
        else
            outcomes[i] = outcome;
    }
    s->rig->type->counters(s->rig->cpu[0], &counters);
    spaces_free(s);
    return counters.streams;
}

/* In all ways. Returns how many runs ended by a fault. */
static unsigned run_in_all(make_function *maker, unsigned count, unsigned least)
{
    struct outcome *outcomes = calloc(count, sizeof(outcomes[0]));
    unsigned faults = 0;

    assert_non_null(outcomes);
    run_all(0, maker, count, outcomes);
    for (unsigned which = 1; which < ARRAY_SIZE(options); which++) {
        uint64_t streams = run_all(which, maker, count, outcomes);

        print_message("%s: %llu of %u by vectors\n", options[which], (unsigned long long)streams,
                      count);
        assert_in_range(streams, least, 2 * count);
    }
    for (unsigned i = 0; i < count; i++)
        faults += outcomes[i].cause != RISCV_EXC_ECALL_U;
    free(outcomes);
    return faults;
}

/* ---- one element that is not as the others, near the end of the page that is stored to ---- */

enum { FA5 = 15, FA4 = 14, FA3 = 13, END = 4096, SPECIALS_AT = 32 };

/* a4: what is loaded, a2: what is stored, s10: rounds. */
static const uint32_t loops[][8] = {
    {FLD(FA5, A4, 0), FADD_D(FA5, FA5, FA3), FSD(FA5, A2, 0)},
    /* A result that is stored, and that no register has at the end. */
    {FLD(FA5, A4, 0), FADD_D(FA4, FA5, FA3), FSD(FA4, A2, 0), FLD(FA4, A4, 0)},
    /* One that a register has, and that is not stored. */
    {FLD(FA5, A4, 0), FADD_D(FA4, FA5, FA3), FSD(FA5, A2, 0)},
    {FLD(FA5, A4, 0), FMUL_D(FA4, FA5, FA3), FMUL_D(FA5, FA4, FA4), FSD(FA5, A2, 0)},
    {FLD(FA5, A4, 0), FDIV_D(FA5, FA3, FA5), FSD(FA5, A2, 0)},
    {FLD(FA5, A4, 0), FMADD_D(FA5, FA5, FA3, FA5), FSD(FA5, A2, 0)},
    {FLD(FA5, A4, 0), FMADD_D(FA4, FA5, FA3, FA5), FSD(FA5, A2, 0)},
    {LD(A5, A4, 0), LD(A3, A4, 8), AND(A5, A5, A3), SD(A5, A2, 0)},
    {LW(A3, A4, 4), LWU(A5, A4, 0), OR(A5, A5, A3), SW(A5, A2, 0)},
    {LW(A5, A4, 0), LW(A3, A4, 4), XOR(A5, A5, A3), SW(A5, A2, 0)},
};

static const uint64_t specials[] = {
    0x0170000000000000, /* so small that it makes a sum inexact */
    0x7fe0000000000001, 0x0000000000000001, 0xfff0000000000000, 0x7ff4000000000000,
    0xfff8000000000456, 0x0000000080000000, 0x8000000000000000,
};

static const uint64_t addends[] = {0x4000000000000000, INFINITE, 0x7fe0000000000000};

enum {
    NEAR_KIND = ARRAY_SIZE(loops) * ARRAY_SIZE(specials) * ARRAY_SIZE(addends) * SPECIALS_AT,
    NEAR = 2 * NEAR_KIND,
};

/* The store comes to the page's end within the loop, at each place of a vector, and the special one
 * is stored before and behind that; or the load does. */
static void make_near(struct program *p, unsigned i)
{
    unsigned loop = i % ARRAY_SIZE(loops), back = 0, width;
    unsigned at = i / ARRAY_SIZE(loops) % SPECIALS_AT, rest = i / ARRAY_SIZE(loops) / SPECIALS_AT;

    counter = S10;
    memset(p, 0, sizeof(*p));
    width = loop < 8 ? 8 : 4;
    while (loops[loop][back])
        put(p, loops[loop][back++]);
    put(p, ADDI(A4, A4, (int)width));
    put(p, ADDI(A2, A2, (int)width));
    put(p, ADDI(counter, counter, -1));
    put(p, BNEZ(counter, -4 * (int)(back + 3)));
    put(p, ECALL);
    p->special = specials[rest % ARRAY_SIZE(specials)];
    p->f[FA3] = addends[rest / ARRAY_SIZE(specials) % ARRAY_SIZE(addends)];
    p->x[counter] = 100;
    p->x[OUTER] = 1;
    if (i >= NEAR_KIND) {
        p->x[A4] = DATA_AT + END - width * (48 + at / 8);
        p->special_at = END - width * (48 + at / 8) + (44 + at % 8) * width;
        p->special_at &= ~7u;
        p->x[A2] = DATA_AT + 3 * END;
        for (unsigned page = 0; page < 6; page++)
            p->pages[page] = page == 1 ? 0 : PTE_RWX | PTE_U;
        return;
    }
    p->x[A4] = DATA_AT + 256;
    p->special_at = 256 + (42 + at % 8 + at / 8) / (8 / width) * 8;
    p->x[A2] = DATA_AT + 2 * END - width * (44 + at / 8);
    for (unsigned page = 0; page < 6; page++)
        p->pages[page] = page == 2 ? (PTE_RWX & ~PTE_W) | PTE_U : PTE_RWX | PTE_U;
}

/* ---- a store so many bytes from a load by another register ---- */

enum {
    FARTHEST = 40,
    DISTANCES = 2 * FARTHEST + 1,
    PLACES = 8,
    MEETINGS = 2 * DISTANCES * PLACES,
};

/* The load before the store, which later rounds load or not; or another load behind it, of which
 * the last round's result stays when the first load comes to the end of a page. */
static void make_meeting(struct program *p, unsigned i)
{
    int distance = (int)(i / 2 % DISTANCES) - FARTHEST;
    unsigned place = i / 2 / DISTANCES;
    bool behind = i % 2;

    counter = S10;
    memset(p, 0, sizeof(*p));
    put(p, LD(A5, A4, 0));
    put(p, SD(A5, A2, 0));
    put(p, behind ? LD(A3, S4, 0) : NOP);
    put(p, ADDI(A4, A4, 8));
    put(p, ADDI(A2, A2, 8));
    put(p, ADDI(S4, S4, 8));
    put(p, ADDI(counter, counter, -1));
    put(p, BNEZ(counter, -4 * 7));
    put(p, ECALL);
    p->data_seed = i * 16; /* plain numbers */
    p->x[counter] = behind ? 100 : 50 + place;
    p->x[A4] = DATA_AT + END - (behind ? 8 * (40 + place) : 512);
    p->x[A2] = behind ? DATA_AT + 3 * END + 512 : p->x[A4] + (uint64_t)(int64_t)distance;
    p->x[S4] = p->x[A2] + (uint64_t)(int64_t)distance;
    for (unsigned page = 0; page < 6; page++)
        p->pages[page] = behind && page == 1 ? 0 : PTE_RWX | PTE_U;
}

static void test_near(void **state)
{
    assert_int_equal(run_in_all(make_near, NEAR, NEAR / 2), NEAR);
}

static void test_meetings(void **state)
{
    assert_int_equal(run_in_all(make_meeting, MEETINGS, MEETINGS / 2), MEETINGS / 2);
}

/* ---- all kinds ---- */

static uint64_t first_seed;

static void make_random(struct program *p, unsigned i)
{
    if (!i)
        random_state = first_seed;
    make(p);
}

static void test_random(void **state)
{
    unsigned cases = CASES * test_rounds();

    first_seed = test_rounds() == 1 ? 1 : monotonic_ns();
    print_message("seed %llu\n", (unsigned long long)first_seed);
    assert_in_range(run_in_all(make_random, cases, cases / 5), cases / 5, cases * 4 / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_meetings),
        cmocka_unit_test(test_random),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
