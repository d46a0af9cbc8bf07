/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator with a code profile: what one machine executed often another one translates at
 * its first execution, wherever the page lies; other pages are as without. Whatever a profile says,
 * the guest computes the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/profile.h"
#include "riscv_code.h"
#include "riscv_spaces.h"

#define RAM_SIZE (UINT64_C(8) << 20)

enum { CALLER = 0x1000, CALLEE = 0x4000, ELSEWHERE = 0x57000, OFTEN = 100, ONCE = 1 };

static void put_caller(struct rig *rig)
{
    PUT(rig, CALLER, JALR(RA, S1, 0), ADDI(A1, A1, -1), BNEZ(A1, -8), WFI);
}

static struct rig *rig_with(struct profile *profile, const char *options)
{
    struct rig *rig = rig_new(&riscv_translator, options, 1, RAM_SIZE);

    rig_free_engine(rig);
    rig->profile = profile;
    rig_make_engine(rig, &riscv_translator, options);
    put_caller(rig);
    return rig;
}

static struct profile *profile_make(void)
{
    struct profile *profile;

    assert_int_equal(profile_new(&profile), 0);
    return profile;
}

/* As another run gets it. */
static struct profile *next_run(struct profile *profile)
{
    struct profile *next = profile_make();
    size_t size;
    void *data = profile_format(profile, &size);

    assert_non_null(data);
    assert_int_equal(profile_parse(next, data, size), 0);
    free(data);
    profile_free(profile);
    return next;
}

static void put_callee(struct rig *rig, unsigned at, int amount)
{
    PUT(rig, at, BEQZ(A1, 12), ADDI(A0, A0, amount), RET, RET);
    PUT(rig, at + 0xff8, amount); /* data in the same page */
}

/* Calls of what is at `at`, each of which adds so much. */
static void call(struct rig *rig, unsigned rounds, unsigned at, int amount)
{
    struct riscv_hart *hart = &rig->hart[0];

    hart->pc = RAM_BASE + CALLER;
    hart->x[S1] = RAM_BASE + at;
    hart->x[A0] = 0;
    hart->x[A1] = rounds;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(hart->x[A0], rounds * (uint64_t)amount);
    assert_int_equal(hart->x[A1], 0);
}

static struct engine_counters counters_of(const struct rig *rig)
{
    struct engine_counters counters;

    rig->type->counters(rig->cpu[0], &counters);
    return counters;
}

static uint64_t units(const struct rig *rig)
{
    return counters_of(rig).units;
}

/* What a machine learned that called often. */
static struct profile *learned(void)
{
    struct profile *profile = profile_make();
    struct rig *rig = rig_with(profile, NULL);
    struct engine_counters c;

    put_callee(rig, CALLEE, 5);
    call(rig, OFTEN, CALLEE, 5);
    c = counters_of(rig);
    assert_in_range(c.units, 2, 10);
    assert_int_equal(c.units_profiled, 0);
    assert_int_equal(profile_place_count(profile), c.units);
    rig_free(rig);
    return next_run(profile);
}

static void test_translated_at_once(void **state)
{
    struct profile *profile = learned();
    struct rig *rig = rig_with(profile, NULL), *without = rig_with(NULL, NULL);
    struct engine_counters c;

    put_callee(rig, CALLEE, 5);
    put_callee(without, CALLEE, 5);
    call(rig, ONCE, CALLEE, 5);
    call(without, ONCE, CALLEE, 5);
    c = counters_of(rig);
    assert_in_range(c.units, 2, 10);
    assert_int_equal(c.units_profiled, c.units);
    assert_int_equal(c.pages_hashed, 2);
    assert_int_equal(units(without), 0);
    assert_true(counters_of(without).instructions > c.instructions);
    assert_int_equal(counters_of(without).pages_hashed, 0);
    rig_free(rig);
    rig_free(without);
    profile_free(profile);
}

static void test_at_another_address(void **state)
{
    struct profile *profile = learned();
    struct rig *rig = rig_with(profile, NULL);

    put_callee(rig, ELSEWHERE, 5);
    call(rig, ONCE, ELSEWHERE, 5);
    assert_in_range(units(rig), 2, 10);
    rig_free(rig);
    profile_free(profile);
}

/* The same code beside other data is another page. */
static void test_other_content(void **state)
{
    struct profile *profile = learned();
    struct rig *rig = rig_with(profile, NULL), *same = rig_with(profile, NULL);
    uint64_t before;

    put_callee(rig, CALLEE, 5);
    put_callee(same, CALLEE, 5);
    PUT(rig, CALLEE + 0xff8, 6);
    call(rig, ONCE, CALLEE, 5);
    call(same, ONCE, CALLEE, 5);
    before = units(rig);
    assert_in_range(before, 1, units(same) - 1); /* the caller's */
    call(rig, OFTEN, CALLEE, 5);
    assert_true(units(rig) > before);
    rig_free(rig);
    rig_free(same);
    profile_free(profile);
}

/* A page becomes another one and the first one again, by the guest's hand: each writing is looked
 * up for itself. */
static void test_rewritten(void **state)
{
    struct profile *profile = learned();
    struct rig *rig = rig_with(profile, NULL);

    for (unsigned i = 0; i < 5; i++) {
        uint64_t before = units(rig), hashed = counters_of(rig).pages_hashed;

        put_callee(rig, CALLEE, 5);
        rig->type->flush_code(rig->cpu[0]);
        call(rig, ONCE, CALLEE, 5);
        assert_true(units(rig) > before);
        assert_true(counters_of(rig).pages_hashed > hashed);
        before = units(rig);
        put_callee(rig, CALLEE, 7);
        rig->type->flush_code(rig->cpu[0]);
        call(rig, ONCE, CALLEE, 7);
        assert_int_equal(units(rig), before);
    }
    rig_free(rig);
    profile_free(profile);
}

/* Code that is made at run time is not hashed for ever. */
static void test_written_again_and_again(void **state)
{
    struct profile *profile = profile_make();
    struct rig *rig = rig_with(profile, "heat=0");

    for (unsigned i = 0; i < 500; i++) {
        put_callee(rig, CALLEE, (int)i);
        rig->type->flush_code(rig->cpu[0]);
        call(rig, ONCE, CALLEE, (int)i);
    }
    assert_in_range(counters_of(rig).pages_hashed, 10, 110);
    assert_in_range(profile_page_count(profile), 10, 60);
    rig_free(rig);
    profile_free(profile);
}

/* Known again in the same run, when the code has to be made anew. */
static void test_of_this_run(void **state)
{
    struct profile *profile = profile_make();
    struct rig *rig = rig_with(profile, NULL);
    uint64_t before;

    put_callee(rig, CALLEE, 5);
    call(rig, OFTEN, CALLEE, 5);
    before = units(rig);
    put_callee(rig, ELSEWHERE, 5);
    call(rig, ONCE, ELSEWHERE, 5);
    assert_true(units(rig) > before);
    assert_true(counters_of(rig).units_profiled > 0);
    rig_free(rig);
    profile_free(profile);
}

/* ---- windowed code ---- */

/* So many rounds of a user's loop; returns how many units were made, of which it says how many were
 * known. */
static uint64_t visit(struct profile *profile, const char *options, unsigned rounds,
                      uint64_t *profiled)
{
    struct spaces *s = spaces_new(&riscv_translator, options, true, PTE_G);
    const struct visit visit = {.asid = 1, .entry = HERE, .user = true, .fence = FENCE_ALL};
    struct engine_counters c;

    rig_free_engine(s->rig);
    s->rig->profile = profile;
    rig_make_engine(s->rig, &riscv_translator, options);
    PUT(s->rig, frame(0), ADDI(A0, A0, 3), ADDI(A1, A1, -1), BNEZ(A1, -8), ECALL);
    map(s, 0, HERE, 0, PTE_U);
    s->hart->x[A0] = 0;
    s->hart->x[A1] = rounds;
    spaces_visit(s, &visit);
    expect_end(s, options, true);
    assert_int_equal(s->hart->x[A0], 3 * (uint64_t)rounds);
    c = counters_of(s->rig);
    *profiled = c.units_profiled;
    spaces_free(s);
    return c.units;
}

static void test_windowed_code_is_a_kind_of_its_own(void **state)
{
    static const char *const options[] = {"windows=0", "windows=2"};

    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        struct profile *profile = profile_make();
        uint64_t profiled, units;

        assert_true(visit(profile, options[i], OFTEN, &profiled) > 0);
        assert_int_equal(profiled, 0);
        profile = next_run(profile);
        units = visit(profile, options[i], ONCE, &profiled);
        assert_in_range(units, 1, 10);
        assert_int_equal(profiled, units);
        profile = next_run(profile);
        assert_int_equal(visit(profile, options[!i], ONCE, &profiled), 0);
        profile_free(profile);
    }
}

/* ---- several CPUs ---- */

static void test_cpus_share_it(void **state)
{
    struct profile *profile = profile_make();

    for (unsigned i = 0; i < 20; i++) {
        struct rig *rig = rig_new(&riscv_translator, NULL, RIG_CPUS, RAM_SIZE);
        struct engine_counters c;

        rig_free_engine(rig);
        rig->profile = profile;
        rig_make_engine(rig, &riscv_translator, NULL);
        put_caller(rig);
        for (unsigned j = 0; j < RIG_CPUS; j++) {
            unsigned at = j % 2 ? ELSEWHERE : CALLEE;

            put_callee(rig, at, 5);
            rig->hart[j].pc = RAM_BASE + CALLER;
            rig->hart[j].x[S1] = RAM_BASE + at;
            rig->hart[j].x[A0] = 0;
            rig->hart[j].x[A1] = OFTEN;
        }
        rig_run_all(rig, CPU_STOP_WAIT);
        for (unsigned j = 0; j < RIG_CPUS; j++)
            assert_int_equal(rig->hart[j].x[A0], 5 * OFTEN);
        c = counters_of(rig);
        assert_true(c.units >= 3 && (!i || c.units_profiled == c.units));
        rig_free(rig);
        profile = next_run(profile);
    }
    assert_int_equal(profile_page_count(profile), 2);
    profile_free(profile);
}

/* ---- whatever it says ---- */

/* Everything in each page is said to be hot, the middle of instructions too. */
static void test_profile_that_lies(void **state)
{
    static const char *const options[] = {NULL, "heat=0", "heat=3,unit=1", "windows=2"};
    static uint8_t bytes[4096];

    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        struct profile *profile = learned();
        struct rig *rig;

        for (unsigned page = 0; page < profile_page_count(profile); page++)
            for (unsigned place = 0; place < 4096; place++)
                profile_note(profile, page, place);
        profile_add(profile, bytes);
        rig = rig_with(profile, options[i]);
        put_callee(rig, CALLEE, 5);
        call(rig, ONCE, CALLEE, 5);
        call(rig, OFTEN, CALLEE, 5);
        /* What was executed, and nothing else. */
        assert_in_range(units(rig), 2, 20);
        rig_free(rig);
        profile_free(profile);
    }
}

/* Nothing of a profile is lost or used by who does not translate. */
static void test_interpreter(void **state)
{
    struct profile *profile = learned();
    struct rig *rig = rig_with(profile, NULL);

    rig_free_engine(rig);
    rig_make_engine(rig, &riscv_interpreter, NULL);
    put_callee(rig, CALLEE, 5);
    call(rig, OFTEN, CALLEE, 5);
    assert_int_equal(counters_of(rig).pages_hashed, 0);
    assert_false(profile_is_used(profile));
    rig_free(rig);
    profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_translated_at_once),
        cmocka_unit_test(test_at_another_address),
        cmocka_unit_test(test_other_content),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_written_again_and_again),
        cmocka_unit_test(test_of_this_run),
        cmocka_unit_test(test_windowed_code_is_a_kind_of_its_own),
        cmocka_unit_test(test_cpus_share_it),
        cmocka_unit_test(test_profile_that_lies),
        cmocka_unit_test(test_interpreter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
