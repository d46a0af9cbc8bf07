/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomics of translated code, which reach memory through the window or by the TLB and have the
 * guest do what they cannot: programs made of all their shapes, registers and surroundings, on
 * pages of all kinds. What comes out, the reservation too, is what the interpreter makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_spaces.h"

/* ---- ways of running; the first is the reference ---- */

struct way {
    const char *options;
    bool counting;
};

static const struct way ways[] = {
    {NULL, true},
    {"", false},
    {"heat=0", false},
    {"heat=0,unit=1", false},
    {"heat=0,regions=2", false},
    {"heat=0,windows=2", false},
    {"heat=0,windows=2,unit=2", false},
    {"heat=0,windows=2,regions=2", false},
    {"heat=3,windows=2", false},
    {"heat=0", true},
    {"heat=0,windows=2", true},
    {"heat=0,locks=2", false},
    {"heat=0,windows=2,locks=2", false},
};

static uint64_t nothing_read(void *ctx, uint64_t offset, unsigned width)
{
    return 0;
}

static void nothing_write(void *ctx, uint64_t offset, unsigned width, uint64_t value) {}

static struct spaces *spaces_in(const struct way *way)
{
    static const struct io_ops ops = {.widths = 4, .read = nothing_read, .write = nothing_write};
    const struct engine_type *type = way->options ? &riscv_translator : &riscv_interpreter;
    struct spaces *s = spaces_new(type, way->options, true, PTE_G);

    assert_int_equal(memory_add_io(s->rig->as, "device", GATE, 0x1000, &ops, NULL, NULL), 0);
    s->hart->counters_read = way->counting;
    rig_free_engine(s->rig);
    rig_make_engine(s->rig, type, way->options);
    return s;
}

/* ---- programs ---- */

enum {
    PROGRAM = 0x80, /* bytes */
    PAGE_PROGRAMS = 0xf00 / PROGRAM,
    CODE_PAGES = 20,
    OPEN = 40, /* the first frame of data */
    SET = 8,   /* frames of data; there are two sets, which take turns */
    WORD = 0x100,
    S6 = 22,
    FA0 = 10,
    FA1 = 11,
};

struct program {
    uint16_t halves[PROGRAM / 2];
    unsigned count;
    unsigned seed;
};

static unsigned any(struct program *p, unsigned bound)
{
    return (unsigned)rand_r(&p->seed) % bound;
}

static unsigned one_of(struct program *p, const uint8_t *registers, unsigned count)
{
    return registers[any(p, count)];
}

#define ONE_OF(p, ...)                                                                             \
    (uint8_t) one_of(p, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void put_half(struct program *p, unsigned half)
{
    assert_true(p->count < ARRAY_SIZE(p->halves));
    p->halves[p->count++] = (uint16_t)half;
}

static void put(struct program *p, uint32_t word)
{
    put_half(p, word & 0xffff);
    put_half(p, word >> 16);
}

/* Bytes from here to the halfword. */
static int to(const struct program *p, unsigned half)
{
    return 2 * ((int)half - (int)p->count);
}

/* One that the host has in a register, and one that it has not, mostly. */
static unsigned any_base(struct program *p)
{
    return any(p, 16) ? ONE_OF(p, A4, S4) : 0;
}

static unsigned any_operand(struct program *p, unsigned base)
{
    return ONE_OF(p, A1, A1, S3, S3, 0, base);
}

static unsigned any_result(struct program *p, unsigned base)
{
    return ONE_OF(p, A5, A5, S5, S5, 0, base);
}

/* funct5 of each that translated code does itself, and of two that the guest does. */
static const uint8_t amos[] = {0x01, 0x00, 0x04, 0x08, 0x0c, 0x10, 0x18};

static uint32_t amo(struct program *p, unsigned funct3, unsigned base)
{
    unsigned which = any(p, sizeof(amos)), rd = any_result(p, base), rs2 = any_operand(p, base);

    return INSN_R(0x2f, funct3, (unsigned)amos[which] << 2 | any(p, 4), rd, base, rs2);
}

static uint32_t lr(struct program *p, unsigned funct3, unsigned rd, unsigned base)
{
    return INSN_R(0x2f, funct3, 0x08 | any(p, 4), rd, base, 0);
}

static uint32_t sc(struct program *p, unsigned funct3, unsigned rd, unsigned rs2, unsigned base)
{
    return INSN_R(0x2f, funct3, 0x0c | any(p, 4), rd, base, rs2);
}

/* lr and sc, and what may be between. */
static void put_pair(struct program *p, unsigned funct3, unsigned base)
{
    unsigned rd = any_result(p, 0), result = any_result(p, base), rs2 = any_operand(p, base);

    if (any(p, 8))
        put(p, lr(p, any(p, 8) ? funct3 : funct3 ^ 1, rd, base));
    switch (any(p, 6)) {
    case 0:
        put(p, ADDI(S6, rd, 1));
        rs2 = S6;
        break;
    case 1:
        put(p, SD(A1, base, 0));
        break;
    case 2: /* elsewhere */
        put(p, ADDI(S6, base, any(p, 2) ? 8 : 0));
        base = S6;
        break;
    default:
        break;
    }
    if (any(p, 8))
        put(p, sc(p, funct3, result, rs2, base));
    if (!any(p, 4))
        put(p, sc(p, funct3, rd, A1, base));
}

typedef void core_put(struct program *p, unsigned base);

static void put_atomic(struct program *p, unsigned base)
{
    unsigned funct3 = 2 + any(p, 2);

    switch (any(p, 4)) {
    case 0:
        put_pair(p, funct3, base);
        break;
    case 1:
        put(p, lr(p, funct3, any_result(p, base), base));
        break;
    default:
        put(p, amo(p, funct3, base));
        break;
    }
}

/* ---- compare-and-swap: lr, a branch, sc and a branch back ---- */

/* The registers of the four: mostly such as compilers take, else any overlap. */
struct registers {
    unsigned base, rd, expected, value, result;
};

static void choose_registers(struct program *p, struct registers *r)
{
    const uint8_t all[] = {0, A5, S5, A1, S3, (uint8_t)r->base};

    r->rd = ONE_OF(p, A5, S5);
    r->expected = ONE_OF(p, A1, A1, S3, S3, 0);
    r->value = ONE_OF(p, A6, A2, 0);
    r->result = ONE_OF(p, A0, S6, S6, (uint8_t)r->rd);
    if (!any(p, 3))
        *(unsigned *[]){&r->rd, &r->expected, &r->value, &r->result}[any(p, 4)] =
            one_of(p, all, sizeof(all));
    if (!any(p, 8))
        r->value = one_of(p, all, sizeof(all));
}

/* Whether c.bnez can name it. */
static bool is_near(unsigned reg)
{
    return reg >= 8 && reg < 16;
}

static void put_bnez_short(struct program *p, unsigned reg, int offset)
{
    unsigned bits = (unsigned)offset;

    put_half(p, 0xe001u | (reg - 8) << 7 | (bits >> 5 & 1) << 2 | (bits >> 1 & 3) << 3 |
                    (bits >> 6 & 3) << 5 | (bits >> 3 & 3) << 10 | (bits >> 8 & 1) << 12);
}

/* `out`: where the branch leads, from its end on. */
static void put_four(struct program *p, unsigned funct3, const struct registers *r, bool whole,
                     int out)
{
    bool short_branch = !whole && !r->expected && is_near(r->rd) && any(p, 2);
    bool short_again = is_near(r->result) && any(p, 2);
    bool goes_back = any(p, 16);
    unsigned top = p->count;

    put(p, lr(p, funct3, r->rd, r->base));
    if (!out)
        out = 4 + (short_again ? 2 : 4);
    if (short_branch)
        put_bnez_short(p, r->rd, out + 2);
    else if (any(p, 3))
        put(p, BNE(r->rd, r->expected, out + 4));
    else
        put(p, BNE(r->expected, r->rd, out + 4));
    put(p, sc(p, funct3, r->result, r->value, r->base));
    if (short_again)
        put_bnez_short(p, r->result, to(p, top));
    else
        put(p, BNE(r->result, 0, goes_back ? to(p, top) : 4));
}

/* The branch leads behind, further on, or back; and some other code leads into the middle. */
static void put_swap(struct program *p, unsigned base)
{
    unsigned funct3 = 2 + any(p, 2);
    int middle = any(p, 2) ? 12 : 8;
    struct registers r = {.base = base};

    choose_registers(p, &r);
    switch (any(p, 8)) {
    case 0: /* to the sc, and to the branch */
        put(p, J(middle));
        put_four(p, funct3, &r, true, 0);
        break;
    case 1: /* back, a few times */
        put(p, LI(T2, 3));
        put(p, ADDI(T2, T2, -1));
        put(p, BEQZ(T2, 20));
        put_four(p, funct3, &r, true, -16);
        put_half(p, 1); /* c.nop */
        put_half(p, 1);
        break;
    default:
        put_four(p, funct3, &r, false, 0);
        break;
    }
}

/* What is owed or known in front of it. */
static void put_before(struct program *p, unsigned base)
{
    put(p, ADDI(A3, A3, 1));
    if (any(p, 2))
        put(p, ADDIW(A2, A2, 1));
    if (!any(p, 3))
        put(p, ADDIW(A1, A1, 0));
    if (!any(p, 3))
        put(p, FADD_D(FA0, FA1, FA1)); /* a NaN that is not the canonical one */
    if (any(p, 2) && base)
        put(p, LBU(A0, base, 0));
}

/* Straight, or in a loop that goes through pages and has many registers that the host has not. */
static void make_program(struct program *p, unsigned number, core_put *core)
{
    unsigned base, top;
    bool loops;

    *p = (struct program){.seed = number};
    base = any_base(p);
    loops = base && !any(p, 3);
    put(p, LI(T0, 6));
    top = p->count;
    put_before(p, base);
    core(p, base);
    put(p, SLTU(A7, A5, A1));
    put(p, SLTU(T1, S5, A1));
    if (loops) {
        put(p, ADD(T4, T4, T3));
        put(p, XOR(T5, T5, T4));
        put(p, ADD(base, base, T6));
        put(p, ADDI(T0, T0, -1));
        put(p, BNEZ(T0, to(p, top)));
    }
    put(p, ADDI(A3, A3, 1));
    put(p, ECALL);
}

static void store_program(struct spaces *s, unsigned number, core_put *core)
{
    uint64_t at = RAM_BASE + frame(number / PAGE_PROGRAMS) + number % PAGE_PROGRAMS * PROGRAM;
    struct program program;

    make_program(&program, number, core);
    assert_int_equal(memory_write(s->rig->as, at, program.halves, 2 * program.count), 0);
}

static uint64_t entry_of(unsigned number)
{
    return HERE + number / PAGE_PROGRAMS * PAGE + number % PAGE_PROGRAMS * PROGRAM;
}

/* ---- what they are run on ---- */

struct target {
    const char *name;
    uint64_t base;
    uint64_t stride;
};

static const struct target targets[] = {
    {"a page", DATA_AT + WORD, 0},
    {"its upper half of a doubleword", DATA_AT + WORD + 4, 0},
    {"not aligned", DATA_AT + WORD + 1, 0},
    {"pages up to one that is not writable", DATA_AT + WORD, PAGE},
    {"a page that is not writable", DATA_AT + 4 * PAGE + WORD, 0},
    {"no page", DATA_AT + 8 * PAGE + WORD, 0},
    {"pages that are not dirty", DATA_AT + 5 * PAGE + WORD, PAGE},
    {"a page that was not accessed", DATA_AT + 6 * PAGE + WORD, 0},
    {"a device", DATA_AT + 7 * PAGE + WORD, 0},
    {"a page of code", HERE + 0xf00 + WORD / 2, 0},
    {"the kernel's page", HIGH + 0x700, 0},
    {"behind the window", UINT64_C(1) << 38, 0},
    {"no address", UINT64_C(0x5a5a5a5a00000000), 0},
};

/* What memory holds, and what one expects there. */
static const uint64_t values[][2] = {
    {UINT64_C(0xffffffff80000005), UINT64_C(0xffffffff80000005)},
    {UINT64_C(0xffffffff80000005), UINT64_C(0x0000000080000005)},
    {UINT64_C(0x1234567801020304), UINT64_C(0x1234567801020304)},
    {UINT64_C(0x1234567801020304), UINT64_C(0x01020304)},
    {UINT64_C(0x1234567801020304), UINT64_C(0x1234567801020305)},
    {0, 0},
    {0, 1},
};

/* Pages of DATA_AT and the first of all. */
static void map_data(struct spaces *s, unsigned first)
{
    const unsigned rwx = PTE_RWX | PTE_U;

    for (unsigned i = 0; i < 4; i++)
        map(s, 0, DATA_AT + i * PAGE, first + i, PTE_U);
    spaces_map(s, 0, DATA_AT + 4 * PAGE, pte(frame(first + 4), rwx & ~PTE_W));
    spaces_map(s, 0, DATA_AT + 5 * PAGE, pte(frame(first + 5), rwx & ~PTE_D));
    spaces_map(s, 0, DATA_AT + 6 * PAGE, pte(frame(first + 6), rwx & ~(PTE_D | PTE_A)));
    spaces_map(s, 0, DATA_AT + 7 * PAGE, pte(GATE - RAM_BASE, rwx));
    map(s, 0, 0, first + 7, PTE_U);
}

/* Places that a program may change. */
static uint64_t place(unsigned i)
{
    static const uint64_t offsets[] = {0, WORD - 8, WORD, WORD + 8};

    if (i < 4)
        return frame(0) + 0xf00 + WORD / 2 - 8 + 8 * i;
    return frame(OPEN + i / 4 - 1) + offsets[i % 4];
}

enum { PLACES = 4 + 4 * 2 * SET };

/* What comes out of a program. */
struct outcome {
    uint64_t x[32], cause, pc, tval, memory, count, fa0;
    uint64_t reserved, address, value;
};

static void outcome_take(struct spaces *s, struct outcome *outcome)
{
    const struct riscv_hart *hart = s->hart;

    memcpy(outcome->x, hart->x, sizeof(outcome->x));
    outcome->fa0 = hart->f[FA0];
    outcome->cause = hart->scause;
    outcome->pc = hart->sepc;
    outcome->tval = hart->stval;
    outcome->count = hart->minstret;
    outcome->reserved = hart->reserved;
    outcome->address = hart->reserved ? hart->reserved_address : 0;
    outcome->value = hart->reserved ? hart->reserved_value : 0;
    outcome->memory = 0;
    for (unsigned i = 0; i < PLACES; i++)
        outcome->memory = outcome->memory * 31 + rig_get64(s->rig, place(i));
}

static void run_program(struct spaces *s, struct visit visit, const struct target *target,
                        const uint64_t value[2], struct outcome *outcome)
{
    struct riscv_hart *hart = s->hart;
    uint64_t count;

    for (unsigned i = 0; i < PLACES; i++)
        rig_put64(s->rig, place(i), value[0] * (i % 4 == 0 || i % 4 == 2));
    for (unsigned i = 8; i < 32; i++)
        hart->x[i] = i * UINT64_C(0x0123456789abcdef);
    hart->f[FA0] = 0;
    hart->f[FA1] = UINT64_C(0x7ff8000000000001);
    hart->x[A2] = 0x7fffffff;
    hart->x[S4] = hart->x[A4] = target->base;
    hart->x[S3] = hart->x[A1] = value[1];
    hart->x[T6] = target->stride;
    count = hart->minstret;
    spaces_visit(s, &visit);
    outcome_take(s, outcome);
    outcome->count -= count;
}

static void outcome_is(const struct spaces *s, const struct target *target, unsigned program,
                       bool counting, const struct outcome *got, const struct outcome *wanted)
{
    char of[64];

    snprintf(of, sizeof(of), "program %u: a register", program);
    for (unsigned i = 0; i < 32; i++)
        expect(s, target->name, of, got->x[i], wanted->x[i]);
    expect(s, target->name, of, got->fa0, wanted->fa0);
    snprintf(of, sizeof(of), "program %u: the end", program);
    expect(s, target->name, of, got->cause, wanted->cause);
    expect(s, target->name, of, got->pc, wanted->pc);
    expect(s, target->name, of, got->tval, wanted->tval);
    snprintf(of, sizeof(of), "program %u: memory", program);
    expect(s, target->name, of, got->memory, wanted->memory);
    snprintf(of, sizeof(of), "program %u: the reservation", program);
    expect(s, target->name, of, got->reserved, wanted->reserved);
    expect(s, target->name, of, got->address, wanted->address);
    expect(s, target->name, of, got->value, wanted->value);
    snprintf(of, sizeof(of), "program %u: instructions", program);
    if (counting)
        expect(s, target->name, of, got->count, wanted->count);
}

enum { PROGRAMS = PAGE_PROGRAMS * CODE_PAGES };

/* In the first round the window has none of the pages: all were others before. */
static void run_all(const struct way *way, const struct target *target, core_put *core,
                    struct outcome (*outcomes)[PROGRAMS])
{
    struct spaces *s = spaces_in(way);

    for (unsigned i = 0; i < CODE_PAGES; i++)
        map(s, 0, HERE + i * PAGE, i, PTE_U);
    for (unsigned i = 0; i < PROGRAMS; i++)
        store_program(s, i, core);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < PROGRAMS; i++) {
            struct visit visit = {.asid = 1, .user = true, .entry = entry_of(i)};
            struct outcome outcome;

            visit.fence = round ? FENCE_NONE : FENCE_ALL;
            if (!round)
                map_data(s, OPEN + i % 2 * SET);
            run_program(s, visit, target, values[(i + round) % ARRAY_SIZE(values)], &outcome);
            if (way->options)
                outcome_is(s, target, i, way->counting, &outcome, &outcomes[round][i]);
            else
                outcomes[round][i] = outcome;
        }
    spaces_free(s);
}

static void run_everywhere(core_put *core)
{
    struct outcome(*outcomes)[PROGRAMS] = calloc(2, sizeof(*outcomes));

    assert_non_null(outcomes);
    for (unsigned i = 0; i < ARRAY_SIZE(targets); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(ways); j++)
            run_all(&ways[j], &targets[i], core, outcomes);
    free(outcomes);
}

static void test_atomics(void **state)
{
    run_everywhere(put_atomic);
}

static void test_compare_and_swap(void **state)
{
    run_everywhere(put_swap);
}

/* ---- the four as units of few instructions, and at the end of a page ---- */

static void test_small_units(void **state)
{
    for (unsigned limit = 1; limit < 6; limit++) {
        char options[32];
        struct way way = {options, false};
        struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL, .entry = HERE};
        struct engine_counters counters;
        struct spaces *s;

        snprintf(options, sizeof(options), "heat=0,unit=%u", limit);
        s = spaces_in(&way);
        map(s, 0, HERE, 0, PTE_U);
        map(s, 0, DATA_AT, OPEN, PTE_U);
        PUT(s->rig, frame(0), LR_D(A5, S4, 0), BNE(A5, 0, 12), SC_D(A0, A1, S4, 0), BNEZ(A0, -12),
            ECALL);
        s->hart->x[A1] = 123;
        s->hart->x[S4] = DATA_AT;
        spaces_visit(s, &visit);
        expect_end(s, "four instructions", true);
        expect(s, "four instructions", "memory", rig_get64(s->rig, frame(OPEN)), 123);
        s->rig->type->counters(s->rig->cpu[0], &counters);
        assert_true(counters.unit_instructions <= limit * counters.units);
        spaces_free(s);
    }
}

/* Wherever the page ends, the next one is there. */
static void test_end_of_page(void **state)
{
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(ways); i++) {
        const struct way *way = &ways[i / 2];
        struct spaces *s = spaces_in(way);
        bool match = i % 2;

        map(s, 0, HERE, 0, PTE_U);
        map(s, 0, HERE + PAGE, 1, PTE_U);
        map(s, 0, DATA_AT, OPEN, PTE_U);
        for (unsigned at = PAGE - 24; at < PAGE; at += 2) {
            struct visit visit = {.asid = 1, .user = true, .fence = FENCE_CODE};

            visit.entry = HERE + at;
            PUT(s->rig, frame(0) + at, LR_D(A5, S4, 0), BNE(A5, A2, 12), SC_D(A0, A1, S4, 0),
                BNEZ(A0, -12), ECALL);
            rig_put64(s->rig, frame(OPEN), 5);
            s->hart->x[A0] = 9;
            s->hart->x[A1] = 123;
            s->hart->x[A2] = match ? 5 : 6;
            s->hart->x[S4] = DATA_AT;
            spaces_visit(s, &visit);
            expect_end(s, "four instructions", true);
            expect(s, "four instructions", "a0", s->hart->x[A0], match ? 0 : 9);
            expect(s, "four instructions", "a5", s->hart->x[A5], 5);
            expect(s, "four instructions", "memory", rig_get64(s->rig, frame(OPEN)),
                   match ? 123 : 5);
        }
        spaces_free(s);
    }
}

/* ---- reservations over what changes between lr and sc ---- */

enum { LR_HERE = 0, SC_HERE = 0x40, SC_THERE = 0x80, SECOND = DATA_AT + PAGE };

/* An lr at DATA_AT in a run of its own, then, after `change`, the sc: whether it stored. */
static bool holds(const struct way *way, unsigned sc_at, void (*change)(struct spaces *s),
                  enum fence fence)
{
    struct spaces *s = spaces_in(way);
    struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL};
    uint64_t result;

    map(s, 0, HERE, 0, PTE_U);
    map(s, 0, DATA_AT, OPEN, PTE_U);
    map(s, 0, SECOND, OPEN, PTE_U);
    PUT(s->rig, frame(0) + LR_HERE, LD(T1, S4, 0), LR_D(A0, S4, 0), ECALL);
    PUT(s->rig, frame(0) + SC_HERE, SC_D(A0, S4, S4, 0), ECALL);
    PUT(s->rig, frame(0) + SC_THERE, LR_D(A0, S4, 0), SC_D(A0, S4, S5, 0), ECALL);
    for (unsigned round = 0; round < 3; round++) {
        s->hart->x[S4] = DATA_AT;
        s->hart->x[S5] = SECOND;
        rig_put64(s->rig, frame(OPEN), 123);
        rig_put64(s->rig, frame(OPEN + 1), 123);
        map(s, 0, DATA_AT, OPEN, PTE_U);
        visit.entry = HERE + LR_HERE;
        visit.fence = round ? fence : FENCE_ALL;
        visit.at = DATA_AT;
        spaces_visit(s, &visit);
        expect_end(s, "lr", true);
        if (change)
            change(s);
        visit.entry = HERE + sc_at;
        visit.fence = fence;
        spaces_visit(s, &visit);
        expect_end(s, "sc", true);
    }
    result = s->hart->x[A0];
    expect(s, "sc", "memory", rig_get64(s->rig, frame(OPEN)), result ? 123 : DATA_AT);
    expect(s, "sc", "other memory", rig_get64(s->rig, frame(OPEN + 1)), 123);
    spaces_free(s);
    return !result;
}

static void map_another(struct spaces *s)
{
    map(s, 0, DATA_AT, OPEN + 1, PTE_U);
}

/* It is of the memory, by whatever address: a run ends between, the page is another one that holds
 * the same, or is there at two addresses. */
static void test_reservations(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        assert_true(holds(&ways[i], SC_HERE, NULL, FENCE_NONE));
        assert_true(holds(&ways[i], SC_HERE, NULL, FENCE_ALL));
        assert_false(holds(&ways[i], SC_HERE, map_another, FENCE_PAGE));
        assert_false(holds(&ways[i], SC_HERE, map_another, FENCE_ASID));
        assert_true(holds(&ways[i], SC_THERE, NULL, FENCE_NONE));
    }
}

/* A program that writes code again and again loses its window, in the middle of a pair too. */
static void test_reservation_and_no_window(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        struct spaces *s = spaces_in(&ways[i]);
        struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL, .entry = HERE};

        map(s, 0, HERE, 0, PTE_U);
        map(s, 0, DATA_AT, OPEN, PTE_U);
        map(s, 0, SECOND, OPEN + 1, PTE_U);
        PUT(s->rig, frame(0), LD(A0, S4, 0), LR_D(A0, S4, 0), SW(T1, S5, 0), FENCE_I,
            JALR(RA, S5, 0), ADDI(A1, A1, -1), BNEZ(A1, -16), SD(A2, S4, 8), SC_D(A0, S4, S4, 0),
            ECALL);
        s->hart->x[S4] = DATA_AT;
        s->hart->x[S5] = SECOND;
        s->hart->x[T1] = RET;
        s->hart->x[A1] = 100;
        spaces_visit(s, &visit);
        expect_end(s, "code that is written", true);
        expect(s, "code that is written", "a0", s->hart->x[A0], 0);
        expect(s, "code that is written", "memory", rig_get64(s->rig, frame(OPEN)), DATA_AT);
        spaces_free(s);
    }
}

/* Whoever looks at the hart when it has stopped finds guest-physical addresses. */
static void test_reservation_when_stopped(void **state)
{
    struct rig *rig = rig_new(&riscv_translator, "heat=0,windows=2", 1, UINT64_C(4) << 20);
    struct riscv_hart *hart = &rig->hart[0];

    rig_user(rig, 0);
    PUT(rig, 0, LD(A0, S4, 0), LR_D(A0, S4, 0), ECALL);
    hart->x[S4] = RAM_BASE + 0x100000;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(hart->reserved, RISCV_RESERVED_PHYSICAL);
    assert_int_equal(hart->reserved_width, 8);
    assert_int_equal(hart->reserved_address, RAM_BASE + 0x100000);
    rig_free(rig);
}

/* ---- the window gets what an atomic found missing ---- */

/* Additions to a page whose first access is one, and to one that became writable. */
static uint64_t fills(const struct way *way, unsigned flags, unsigned rounds)
{
    struct spaces *s = spaces_in(way);
    struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL, .entry = HERE};
    struct engine_counters counters;

    map(s, 0, HERE, 0, PTE_U);
    spaces_map(s, 0, DATA_AT, pte(frame(OPEN), flags));
    PUT(s->rig, frame(0), AMOADD_D(0, A1, S4), ADDI(A0, A0, -1), BNEZ(A0, -8), ECALL);
    s->hart->x[A0] = rounds;
    s->hart->x[A1] = 1;
    s->hart->x[S4] = DATA_AT;
    spaces_visit(s, &visit);
    expect_end(s, "additions", true);
    expect(s, "additions", "the sum", rig_get64(s->rig, frame(OPEN)), rounds);
    s->rig->type->counters(s->rig->cpu[0], &counters);
    spaces_free(s);
    return counters.helped_instructions;
}

static void test_window_is_filled(void **state)
{
    const struct way way = {"heat=0,windows=2", false};
    const unsigned flags = PTE_RWX | PTE_U;

    for (unsigned i = 0; i < 2; i++) {
        uint64_t few = fills(&way, i ? flags & ~PTE_D : flags, 10);

        assert_int_equal(fills(&way, i ? flags & ~PTE_D : flags, 1000), few);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_compare_and_swap),
        cmocka_unit_test(test_small_units),
        cmocka_unit_test(test_end_of_page),
        cmocka_unit_test(test_reservations),
        cmocka_unit_test(test_reservation_and_no_window),
        cmocka_unit_test(test_reservation_when_stopped),
        cmocka_unit_test(test_window_is_filled),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
