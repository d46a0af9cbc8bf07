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
#include "riscv_rig.h"

#define RAM_SIZE (UINT64_C(8) << 20)

enum { CALLER = 0x1000, CALLEE = 0x4000, ELSEWHERE = 0x57000, OFTEN = 100, ONCE = 1 };

static struct rig *rig_with(struct profile *profile, const char *options)
{
    struct rig *rig = rig_new(&riscv_translator, options, 1, RAM_SIZE);

    rig_free_engine(rig);
    rig->profile = profile;
    rig_make_engine(rig, &riscv_translator, options);
    PUT(rig, CALLER, JALR(RA, S1, 0), ADDI(A1, A1, -1), BNEZ(A1, -8), WFI);
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
        cmocka_unit_test(test_translated_at_once),      cmocka_unit_test(test_at_another_address),
        cmocka_unit_test(test_other_content),           cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_written_again_and_again), cmocka_unit_test(test_of_this_run),
        cmocka_unit_test(test_profile_that_lies),       cmocka_unit_test(test_interpreter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
