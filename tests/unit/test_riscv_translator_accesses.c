/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses that translated code cannot do itself as it is: to pages that the window does not have
 * yet or may not have, from bases that lie beyond the window, in units that died meanwhile. All of
 * the state that comes out is what the interpreter makes.
 */
#include <semaphore.h>
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

/* ---- each shape of access, by registers that the host has and that it has not ---- */

enum { FA0 = 10, FS5 = 21 }; /* as A4 and A5 in a host register, and as S4 and S5 not */

#define FLOAD(width, fd, rs1, imm)  INSN_I(0x07, width, fd, rs1, imm)
#define FSTORE(width, fs, rs1, imm) INSN_S(0x27, width, fs, rs1, imm)

struct shape {
    bool store, is_float;
    unsigned code; /* the width and sign, as the instruction has them */
};

static const struct shape shapes[] = {
    {false, false, 0}, {false, false, 1}, {false, false, 2}, {false, false, 3}, {false, false, 4},
    {false, false, 5}, {false, false, 6}, {false, true, 2},  {false, true, 3},  {true, false, 0},
    {true, false, 1},  {true, false, 2},  {true, false, 3},  {true, true, 2},   {true, true, 3},
};

enum {
    VARIANTS = 16, /* of a shape: bits for registers, what is owed before, what is used first */
    PROGRAM = 32,  /* bytes */
    PLACE_COUNT = 12,
    OPEN = 40, /* the first frame of data */
    SET = 8,   /* frames of data; there are two sets, which take turns */
    TABLES = OPEN + 2 * SET,
};

static uint32_t access_insn(const struct shape *shape, unsigned base, unsigned data, int imm)
{
    if (shape->is_float)
        return shape->store ? FSTORE(shape->code, data, base, imm)
                            : FLOAD(shape->code, data, base, imm);
    return shape->store ? INSN_S(0x23, shape->code, data, base, imm)
                        : INSN_I(0x03, shape->code, data, base, imm);
}

static unsigned base_of(unsigned variant)
{
    return variant & 1 ? S4 : A4;
}

static unsigned data_of(const struct shape *shape, unsigned variant)
{
    if (shape->is_float)
        return variant & 2 ? FS5 : FA0;
    return variant & 2 ? S5 : A5;
}

/* Behind the access its result and its base are used again. */
static void put_program(struct spaces *s, uint64_t at, const struct shape *shape, unsigned variant,
                        int imm)
{
    unsigned base = base_of(variant), data = data_of(shape, variant);
    uint32_t again = LB(A0, base, imm);
    uint32_t result = shape->is_float ? FMV_X_D(A1, data) : ADDI(A1, data, 1);

    PUT(s->rig, at, ADDI(A3, A3, 1), variant & 4 ? ADDIW(A2, A2, 1) : NOP,
        access_insn(shape, base, data, imm), variant & 8 ? again : result,
        variant & 8 ? result : again, ADDI(A3, A3, 1), ECALL);
}

/* Where the access is: the base, and what is added to it. */
struct target {
    const char *name;
    uint64_t base;
    int imm;
};

static const struct target targets[PLACE_COUNT] = {
    {"a page", DATA_AT + 0x100, 16},
    {"no page", LOWER + 0x60000, 16},
    {"a page that is not writable", DATA_AT + 4 * PAGE, 0x10},
    {"a page and no other", DATA_AT + PAGE, -1},
    {"two pages", DATA_AT + 3 * PAGE, -3},
    {"the kernel's page", HIGH, 0},
    {"behind the window", UINT64_C(1) << 38, 0},
    {"behind the window, and its last page", (UINT64_C(1) << 38) + 16, -24},
    {"the window's last bytes and more", (UINT64_C(1) << 38) + 16, -17},
    {"in front of the window, and its first page", UINT64_MAX - 7, 16},
    {"no address", UINT64_C(0x5a5a5a5a00000000), 3},
    {"nothing but an offset", 0, 24},
};

/* Pages of DATA_AT, the last of which may only be read, the first of all, and the last below
 * 1 << 38. */
static void map_data(struct spaces *s, unsigned first)
{
    const uint64_t root = (s->hart->satp & ((UINT64_C(1) << 44) - 1)) * PAGE - RAM_BASE;

    map(s, 0, DATA_AT, first, PTE_U);
    map(s, 0, DATA_AT + 2 * PAGE, first + 2, PTE_U);
    map(s, 0, DATA_AT + 3 * PAGE, first + 3, PTE_U);
    spaces_map(s, 0, DATA_AT + 4 * PAGE, pte(frame(first + 4), (PTE_RWX & ~PTE_W) | PTE_U));
    map(s, 0, 0, first + 5, PTE_U);
    rig_put64(s->rig, root + 255 * 8, pte(frame(TABLES), PTE_V));
    rig_put64(s->rig, frame(TABLES) + 511 * 8, pte(frame(TABLES + 1), PTE_V));
    rig_put64(s->rig, frame(TABLES + 1) + 511 * 8, pte(frame(first + 6), PTE_RWX | PTE_U));
}

/* What comes out of a program. */
struct outcome {
    uint64_t x[32], f[32], cause, pc, tval, memory;
};

static void data_fill(struct spaces *s)
{
    for (unsigned i = 0; i < 2 * SET; i++)
        for (unsigned at = 0; at < PAGE; at += 8)
            if (at < 0x200 || at >= PAGE - 0x20)
                rig_put64(s->rig, frame(OPEN + i) + at,
                          UINT64_C(0x9a8b7c6d5e4f3021) * (i + at + 1));
}

static uint64_t data_sum(struct spaces *s)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < 2 * SET; i++)
        for (unsigned at = 0; at < PAGE; at += 8)
            if (at < 0x200 || at >= PAGE - 0x20)
                sum = sum * 31 + rig_get64(s->rig, frame(OPEN + i) + at);
    return sum;
}

static struct outcome run_program(struct spaces *s, struct visit visit, const struct target *target)
{
    struct riscv_hart *hart = s->hart;
    struct outcome outcome = {.cause = 0};

    for (unsigned i = 8; i < 16; i++)
        hart->x[i] = i * UINT64_C(0x0123456789abcdef);
    hart->x[A2] = 0x7fffffff;
    hart->x[S4] = hart->x[A4] = target->base;
    hart->x[S5] = hart->x[A5] = UINT64_C(0xfedcba9876543210);
    hart->f[FA0] = hart->f[FS5] = UINT64_C(0xc00fedcba9876543);
    spaces_visit(s, &visit);
    memcpy(outcome.x, hart->x, sizeof(outcome.x));
    memcpy(outcome.f, hart->f, sizeof(outcome.f));
    outcome.cause = hart->scause;
    outcome.pc = hart->sepc;
    outcome.tval = hart->stval;
    outcome.memory = data_sum(s);
    return outcome;
}

static void outcome_is(const struct spaces *s, const struct target *target, unsigned program,
                       const struct outcome *got, const struct outcome *wanted)
{
    char of[64];

    snprintf(of, sizeof(of), "program %u: a register", program);
    for (unsigned i = 0; i < 32; i++) {
        expect(s, target->name, of, got->x[i], wanted->x[i]);
        expect(s, target->name, of, got->f[i], wanted->f[i]);
    }
    expect(s, target->name, of, got->cause, wanted->cause);
    expect(s, target->name, of, got->pc, wanted->pc);
    expect(s, target->name, of, got->tval, wanted->tval);
    expect(s, target->name, of, got->memory, wanted->memory);
}

enum { PROGRAMS = ARRAY_SIZE(shapes) * VARIANTS };

/* In the first round the window has none of the pages: all were others before. */
static void accesses_fail(unsigned permutation, const struct target *target,
                          struct outcome (*outcomes)[PROGRAMS])
{
    struct spaces *s = spaces_of(permutation, true, PTE_G);

    map(s, 0, HERE, 0, PTE_U);
    map(s, 0, HERE + PAGE, 1, PTE_U);
    for (unsigned i = 0; i < PROGRAMS; i++)
        put_program(s, frame(0) + i * PROGRAM, &shapes[i / VARIANTS], i % VARIANTS, target->imm);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < PROGRAMS; i++) {
            struct visit visit = {.asid = 1, .user = true, .entry = HERE + i * PROGRAM};
            struct outcome outcome;

            visit.fence = round ? FENCE_NONE : FENCE_ALL;
            if (!round)
                map_data(s, OPEN + i % 2 * SET);
            data_fill(s);
            outcome = run_program(s, visit, target);
            if (permutation)
                outcome_is(s, target, i, &outcome, &outcomes[round][i]);
            else
                outcomes[round][i] = outcome;
        }
    spaces_free(s);
}

static void test_accesses_that_fail(void **state)
{
    struct outcome(*outcomes)[PROGRAMS] = calloc(2, sizeof(*outcomes));

    assert_non_null(outcomes);
    for (unsigned i = 0; i < PLACE_COUNT; i++)
        for (unsigned permutation = 0; permutation < ARRAY_SIZE(permutations); permutation++)
            accesses_fail(permutation, &targets[i], outcomes);
    free(outcomes);
}

/* ---- in a unit that is dead ---- */

static uint64_t dropped(struct rig *rig)
{
    struct engine_counters counters;

    rig->type->counters(rig->cpu[0], &counters);
    return counters.units_dropped;
}

/* One hart is held in the middle of a unit while the other one writes to its page and fences; what
 * is left of it faults in the window, then misses it. */
static void dead_unit_accesses(const char *options)
{
    struct rig *rig = rig_new(&riscv_translator, options, 2, UINT64_C(8) << 20);
    struct riscv_hart *hart = &rig->hart[0];
    struct gate gate;
    pthread_t thread;

    rig_add_gate(rig, &gate);
    rig_user(rig, 0);
    PUT(rig, 0, LW(T0, S0, 0), ADDI(T1, T1, 1), LD(A0, S1, 8), SD(A0, S1, 16), LD(A1, S4, 24),
        SD(A1, S4, 32), ADDI(T1, T1, 1), LD(A2, S5, 8), ADDI(T1, T1, 1), ECALL);
    PUT(rig, 0x2000, SD(T1, S0, 0), FENCE_I, WFI);
    rig_put64(rig, 0x100008, 123);
    rig_put64(rig, 0x300018, 456);
    hart->x[S0] = GATE;
    hart->x[S1] = RAM_BASE + 0x100000;
    hart->x[S4] = RAM_BASE + 0x300000;
    hart->x[S5] = UINT64_C(1) << 40;
    hart->x[T1] = 0;
    rig->hart[1].pc = RAM_BASE + 0x2000;
    rig->hart[1].x[S0] = RAM_BASE + 0x800;
    rig_start(rig, &thread);
    sem_wait(&gate.entered);
    assert_int_equal(rig->type->run(rig->cpu[1], 0), CPU_STOP_WAIT);
    assert_true(dropped(rig) > 0);
    sem_post(&gate.leave);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stop, CPU_STOP_FIRMWARE);
    assert_int_equal(hart->x[A0], 123);
    assert_int_equal(rig_get64(rig, 0x100010), 123);
    assert_int_equal(hart->x[A1], 456);
    assert_int_equal(rig_get64(rig, 0x300020), 456);
    assert_int_equal(hart->x[T1], 2);
    assert_int_equal(hart->mcause, RISCV_EXC_LOAD_ACCESS);
    assert_int_equal(hart->mepc, RAM_BASE + 7 * 4);
    assert_int_equal(hart->mtval, (UINT64_C(1) << 40) + 8);
    rig_free(rig);
}

static void test_dead_units(void **state)
{
    dead_unit_accesses("heat=0,windows=2");
    dead_unit_accesses("heat=0,windows=2,code=1M");
    dead_unit_accesses("heat=0,windows=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accesses_that_fail),
        cmocka_unit_test(test_dead_units),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
