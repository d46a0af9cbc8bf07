/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack pointer, which windowed code relies on without a look (WINDOW_ANCHOR), gets values all
 * over the 64 bits in every way that there is, and then code that was translated with a good one
 * loads and stores by it. The same happens as in the interpreter, and nothing of what is relied on
 * is ever wrong (audit=1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_spaces.h"

static const char *const options[] = {
    NULL, /* the interpreter */
    "heat=0,windows=2,audit=1",
    "heat=5,windows=2,audit=1",
    "heat=0,unit=1,windows=2,audit=1",
    "heat=0,windows=2,regions=2,audit=1",
};

enum {
    ZERO = 0,
    WARM = THERE,              /* loads and stores by sp */
    TRAMPOLINE = WARM + 0x100, /* to t1, from translated code */
    WAY = HERE,
    WAY_WORDS = 24,
    TIMES = 40,
};

/* How sp gets the value of s5, which the doubleword at s4 holds, too. a5: WARM; t2 is no
 * sign-extended word. */
static const struct way {
    const char *name;
    uint32_t insns[WAY_WORDS];
} ways[] = {
    {"mv", {MV(SP, S5), JR(A5)}},
    {"add", {ADD(SP, SP, S5), JR(A5)}},
    {"sub", {SUB(SP, SP, S5), JR(A5)}},
    {"ld", {LD(SP, S4, 0), JR(A5)}},
    {"ld by itself", {MV(SP, S4), LD(SP, SP, 0), JR(A5)}},
    {"lw", {LW(SP, S4, 0), JR(A5)}},
    {"addw, which may be left unextended", {INSN_R(0x3b, 0, 0, SP, S5, ZERO), JR(A5)}},
    {"amoadd", {AMOADD_D(SP, ZERO, S4), JR(A5)}},
    {"lr", {LR_D(SP, S4, 0), JR(A5)}},
    {"lr of a pair that is no exchange",
     {LR_W(SP, S4, 0), BNE(SP, T2, 12), SC_W(T3, T4, S4, 0), BNEZ(T3, -12), JR(A5)}},
    {"lr of a pair that finds something else",
     {LR_D(SP, S4, 0), BNE(SP, A5, 12), SC_D(T3, T4, S4, 0), BNEZ(T3, -12), JR(A5)}},
    {"lr of a pair that exchanges",
     {LR_D(SP, S4, 0), BNE(SP, S5, 12), SC_D(T3, S5, S4, 0), BNEZ(T3, -12), JR(A5)}},
    {"lr of a pair at an odd address",
     {ADDI(T3, S4, 2), LR_W(SP, T3, 0), BNE(SP, T2, 12), SC_W(T4, T4, T3, 0), BNEZ(T4, -12),
      JR(A5)}},
    {"lr of a pair behind a word that is not extended yet",
     {ADDIW(A2, S5, 1), LR_D(SP, S4, 0), BNE(SP, A5, 12), SC_D(T3, T4, S4, 0), BNEZ(T3, -12),
      JR(A5)}},
    {"a move from floating point", {FMV_D_X(1, S5), FMV_X_D(SP, 1), JR(A5)}},
    {"fflags", {CSRRWI(ZERO, CSR_FFLAGS, 31), CSRRS(SP, CSR_FFLAGS, ZERO), JR(A5)}},
    {"a branch behind it", {MV(SP, S5), BNEZ(A5, 8), NOP, JR(A5)}},
    {"a branch on it", {MV(SP, S5), BNEZ(SP, 8), NOP, JR(A5)}},
    {"a call behind it", {MV(SP, S5), JALR(RA, A5, 0), NOP}},
    {"a return behind it", {MV(RA, A5), MV(SP, S5), RET}},
    {"the address behind a call", {AUIPC(T3, 0), JALR(SP, A5, 0)}},
    {"a jump and a link in it", {JAL(SP, 8), NOP, JR(A5)}},
    {"a loop that adds to it",
     {LI(T3, 4), ADD(SP, SP, S5), ADDI(T3, T3, -1), BNEZ(T3, -8), JR(A5)}},
    {"a loop that is left in its first round",
     {LI(T3, 1), J(4), ADD(SP, SP, S5), ADDI(T3, T3, -1), BNEZ(T3, -8), JR(A5)}},
    {"a loop that does not look at it",
     {MV(SP, S5), LI(T3, 4), ADDI(T4, T4, 1), ADDI(T3, T3, -1), BNEZ(T3, -8), JR(A5)}},
    {"there and back", {MV(T4, SP), MV(SP, S5), BEQZ(ZERO, 8), NOP, MV(SP, T4), JR(A5)}},
};

/* Sums of small steps that lead out of the window and over its guards. */
static const struct way drifts[] = {
    {"small steps up, over and over",
     {LI(SP, 1), SLLI(SP, SP, WINDOW_BITS), ADDI(SP, SP, -64), LI(T3, 9), SLLI(T3, T3, 15),
      ADDI(SP, SP, 2047), ADDI(SP, SP, 2047), ADDI(SP, SP, 2047), ADDI(SP, SP, 2047),
      ADDI(SP, SP, 2047), ADDI(SP, SP, 2047), ADDI(SP, SP, 2047), ADDI(SP, SP, 2047),
      ADDI(T3, T3, -1), BNEZ(T3, -36), JR(A5)}},
    {"small steps down, over and over",
     {MV(SP, ZERO), LI(T3, 9), SLLI(T3, T3, 15), ADDI(SP, SP, -2048), ADDI(SP, SP, -2048),
      ADDI(SP, SP, -2048), ADDI(SP, SP, -2048), ADDI(SP, SP, -2048), ADDI(SP, SP, -2048),
      ADDI(SP, SP, -2048), ADDI(SP, SP, -2048), ADDI(T3, T3, -1), BNEZ(T3, -36), JR(A5)}},
    {"more of them than it may be off",
     {[0 ... 20] = ADDI(SP, SP, 2047), [21] = ADDI(SP, SP, 2047), [22] = JR(A5)}},
};

static const uint64_t values[] = {
    DATA_AT + 0x800,
    0,
    8,
    WINDOW_SIZE - 16,
    WINDOW_SIZE - 1,
    WINDOW_SIZE,
    WINDOW_SIZE + 0x8000,
    WINDOW_SIZE + WINDOW_GUARD,
    UINT64_C(1) << 46,
    UINT64_C(1) << 63,
    UINT64_C(0x80000000),
    UINT64_C(0xffffffff80000000),
    -UINT64_C(16),
    -UINT64_C(0x8000),
    -WINDOW_GUARD,
};

struct outcome {
    uint64_t cause, epc, tval, sp, loaded, stored;
};

static void put_warm(struct spaces *s)
{
    PUT(s->rig, frame(1) + (TRAMPOLINE - WARM), JR(T1));
    PUT(s->rig, frame(1), LD(A0, SP, 8), SD(A0, SP, 16), J(4), LD(A2, SP, 24), ADDI(A1, A1, -1),
        BNEZ(A1, -20), ECALL);
}

static void begin(struct spaces *s, uint64_t at, uint64_t value)
{
    static const uint64_t data[] = {1, 2, 3, 4};
    struct riscv_hart *hart = s->hart;

    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        rig_put64(s->rig, frame(2) + 0x800 + 8 * i, data[i]);
    rig_put64(s->rig, frame(2), value);
    hart->x[SP] = DATA_AT + 0x800;
    hart->x[S4] = DATA_AT;
    hart->x[S5] = value;
    hart->x[A5] = WARM;
    hart->x[T2] = UINT64_C(1) << 40;
    hart->x[T1] = at;
    hart->x[T4] = 0;
    hart->x[A0] = hart->x[A2] = 0;
    hart->x[A1] = 1;
    hart->x[RA] = 0;
}

static struct outcome outcome_of(const struct spaces *s)
{
    const struct riscv_hart *hart = s->hart;

    return (struct outcome){
        hart->scause,
        hart->sepc,
        hart->scause == RISCV_EXC_ECALL_U ? 0 : hart->stval,
        hart->x[SP],
        hart->x[A0] ^ hart->x[A2],
        rig_get64(s->rig, frame(2) + 0x810),
    };
}

static struct spaces *machine(unsigned which)
{
    const struct engine_type *type = options[which] ? &riscv_translator : &riscv_interpreter;
    struct spaces *s = spaces_new(type, options[which], true, PTE_G);

    put_warm(s);
    /* Not to be written: what is code while it is takes a program's window away in the end. */
    spaces_map(s, 0, WAY, pte(frame(0), (PTE_RWX & ~PTE_W) | PTE_U));
    spaces_map(s, 0, WARM, pte(frame(1), (PTE_RWX & ~PTE_W) | PTE_U));
    map(s, 0, DATA_AT, 2, PTE_U);
    return s;
}

static void visit(struct spaces *s, uint64_t at, uint64_t value, unsigned rounds, enum fence fence)
{
    const struct visit visit = {.asid = 1, .user = true, .entry = TRAMPOLINE, .fence = fence};

    begin(s, at, value);
    s->hart->x[A1] = rounds;
    spaces_visit(s, &visit);
}

/* What is warm is translated, and what it accesses is in the window. */
static void warm_up(struct spaces *s)
{
    for (unsigned i = 0; i < TIMES; i++)
        visit(s, WARM, 0, TIMES, FENCE_CODE);
    expect_end(s, "the warm code", true);
    assert_int_equal(s->rig->cpu[0]->counters.window_fills > 0, s->rig->type == &riscv_translator);
}

/* What is run, and with which values. */
struct runs {
    const struct way *ways;
    unsigned way_count, value_count;
};

static void put_way(struct spaces *s, const struct way *way, uint64_t at)
{
    for (unsigned i = 0; i < WAY_WORDS; i++)
        PUT(s->rig, frame(0) + at - HERE + 4 * i, way->insns[i] ? way->insns[i] : ECALL);
}

static void expect_outcome(struct spaces *s, const char *name, struct outcome got,
                           struct outcome wanted)
{
    expect(s, name, "scause", got.cause, wanted.cause);
    expect(s, name, "sepc", got.epc, wanted.epc);
    expect(s, name, "stval", got.tval, wanted.tval);
    expect(s, name, "sp", got.sp, wanted.sp);
    expect(s, name, "what was loaded", got.loaded, wanted.loaded);
    expect(s, name, "what was stored", got.stored, wanted.stored);
}

/* Fills `outcomes`, or expects them: of each way, with each value. First it is new each time, so
 * that no code of it was there before; then code is that was made with the first value. */
static void run(const struct runs *runs, unsigned which, struct outcome *outcomes)
{
    struct spaces *s = machine(which);

    for (unsigned i = 0; i < 2 * runs->way_count * runs->value_count; i++) {
        unsigned w = i / 2 / runs->value_count, v = i % runs->value_count;
        bool is_new = i / runs->value_count % 2 == 0;
        uint64_t at = WAY + w * sizeof(runs->ways[w].insns);
        struct outcome *outcome = &outcomes[w * runs->value_count + v];

        if (is_new || !v) {
            put_way(s, &runs->ways[w], at);
            warm_up(s);
        }
        for (unsigned times = is_new ? 1 : v ? 2 : TIMES; times; times--) {
            visit(s, at, values[v], 1, FENCE_NONE);
            if (which || !is_new)
                expect_outcome(s, runs->ways[w].name, outcome_of(s), *outcome);
            else
                *outcome = outcome_of(s);
        }
    }
    spaces_free(s);
}

static void run_all(const struct runs *runs, unsigned least)
{
    struct outcome outcomes[ARRAY_SIZE(ways) * ARRAY_SIZE(values)];
    unsigned faults = 0, count = runs->way_count * runs->value_count;

    run(runs, 0, outcomes);
    for (unsigned i = 0; i < count; i++)
        faults += outcomes[i].cause == RISCV_EXC_LOAD_PAGE;
    assert_in_range(faults, least, count);
    for (unsigned which = 1; which < ARRAY_SIZE(options); which++)
        run(runs, which, outcomes);
}

static void test_ways(void **state)
{
    const struct runs runs = {ways, ARRAY_SIZE(ways), ARRAY_SIZE(values)};

    run_all(&runs, runs.way_count * runs.value_count / 2);
}

static void test_drifts(void **state)
{
    const struct runs runs = {drifts, ARRAY_SIZE(drifts), 1};

    run_all(&runs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_drifts),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
