/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: what belongs to a loop, and loops that run as regions. Whatever is expected of these is
 * what the interpreter does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/privileged.h"
#include "cpu/riscv/region.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_spaces.h"

/* ---- which code ---- */

enum { PAGE_BYTES = 4096 };

struct page {
    uint8_t bytes[PAGE_BYTES];
    int cold; /* what is never executed; -1: all is hot */
};

static bool is_hot(void *ctx, unsigned offset)
{
    const struct page *page = ctx;

    return (int)offset != page->cold;
}

#define CODE(page, at, ...)                                                                        \
    memcpy((page)->bytes + (at), (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}))

/* The labels from the start up, -1 behind the last. */
static void has_labels(const struct region *region, const int *labels)
{
    unsigned count = 0;

    for (unsigned at = 0; at < PAGE_BYTES; at += 2)
        if (region_has(region->labels, at))
            assert_int_equal((int)at, labels[count++]);
    assert_int_equal(labels[count], -1);
    assert_int_equal(count, region->label_count);
}

static void test_a_loop_with_a_branch(void **state)
{
    struct page page = {.cold = -1};
    struct region region;

    /* 8: a round; 0x14 is left out by half of them; behind it the end, a call and a return. */
    CODE(&page, 0, LI(A0, 0), LI(A1, 0), ADDI(A0, A0, 1), ANDI(T0, A0, 1), BEQZ(T0, 8),
         ADDI(A1, A1, 3), BLTU(A0, A2, -16), JAL(RA, 64), RET);
    assert_true(region_find(page.bytes, 8, is_hot, &page, &region));
    has_labels(&region, (const int[]){8, 0x18, -1});
    assert_int_equal(region.instructions, 5);
    assert_true(region_has(region.loops, 8));
    assert_false(region_has(region.loops, 0x18));
    assert_false(region_has(region.inside, 4));
    assert_false(region_has(region.inside, 0x1c));
    assert_false(region.calls);
    /* No way leads back to what stands before. */
    assert_false(region_find(page.bytes, 0, is_hot, &page, &region));
    assert_false(region_find(page.bytes, 0x1c, is_hot, &page, &region));
    /* A target that nobody goes to is no label, and what lies before it is still inside. */
    page.cold = 0x18;
    assert_true(region_find(page.bytes, 8, is_hot, &page, &region));
    has_labels(&region, (const int[]){8, -1});
}

static void test_a_loop_in_a_loop(void **state)
{
    struct page page = {.cold = -1};
    struct region region;

    CODE(&page, 0x100, LI(T0, 4), ADDI(T0, T0, -1), BNEZ(T0, -4), ADDI(A0, A0, -1), BNEZ(A0, -16),
         RET);
    assert_true(region_find(page.bytes, 0x104, is_hot, &page, &region));
    has_labels(&region, (const int[]){0x100, 0x104, -1});
    assert_true(region_has(region.loops, 0x100) && region_has(region.loops, 0x104));
    assert_int_equal(region.instructions, 5);
}

/* A way around by a call is none, but it is told. */
static void test_a_loop_with_a_call(void **state)
{
    struct page page = {.cold = -1};
    struct region region;

    CODE(&page, 0, ANDI(T0, A0, 7), BNEZ(T0, 8), JAL(RA, 0x100), ADDI(A0, A0, -1), BNEZ(A0, -16),
         RET);
    assert_true(region_find(page.bytes, 0, is_hot, &page, &region));
    assert_false(region_has(region.inside, 8));
    assert_true(region_has(region.inside, 0xc));
    assert_true(region.calls);
    page.cold = 0xc; /* it never came back */
    assert_false(region_find(page.bytes, 0, is_hot, &page, &region));
}

static void test_at_the_ends_of_the_page(void **state)
{
    struct page page = {.cold = -1};
    struct region region;

    CODE(&page, PAGE_BYTES - 12, ADDI(A0, A0, -1), BEQZ(A1, 8), BNEZ(A0, -8));
    assert_true(region_find(page.bytes, PAGE_BYTES - 12, is_hot, &page, &region));
    assert_int_equal(region.instructions, 3);
    /* Behind the last place is nothing, whatever is at the first ones. */
    memset(page.bytes, 0, sizeof(page.bytes));
    CODE(&page, 0, ADDI(A0, A0, -1), J(PAGE_BYTES - 8));
    CODE(&page, PAGE_BYTES - 4, BNEZ(A0, -(PAGE_BYTES - 4)));
    assert_true(region_find(page.bytes, 0, is_hot, &page, &region));
    assert_true(region_has(region.labels, 0) && region_has(region.inside, PAGE_BYTES - 4));
    for (unsigned at = PAGE_BYTES; at < PAGE_BYTES + 4; at += 2) {
        assert_false(region_has(region.inside, at));
        assert_false(region_has(region.labels, at));
        assert_false(region_has(region.loops, at));
    }
    /* The last instruction ends in the next page. */
    memset(page.bytes, 0, sizeof(page.bytes));
    CODE(&page, PAGE_BYTES - 8, ADDI(A0, A0, -1));
    page.bytes[PAGE_BYTES - 4] = 0x01; /* c.nop */
    page.bytes[PAGE_BYTES - 2] = 0xe3; /* half of a branch */
    assert_false(region_find(page.bytes, PAGE_BYTES - 8, is_hot, &page, &region));
    /* From the first to the last place, more than is looked at. */
    memset(page.bytes, 0, sizeof(page.bytes));
    for (unsigned i = 0; i < PAGE_BYTES; i += 2)
        page.bytes[i] = 0x01;
    CODE(&page, PAGE_BYTES - 4, J(-(PAGE_BYTES - 4)));
    assert_false(region_find(page.bytes, 0, is_hot, &page, &region));
    assert_true(region_find(page.bytes, PAGE_BYTES - 4, is_hot, &page, &region) ==
                (PAGE_BYTES / 2 < REGION_INSTRUCTIONS));
}

/* ---- running ---- */

#define RAM_SIZE (UINT64_C(1) << 20)

enum { DATA = 0x8000, ROUNDS_OF_LOOP = 300 };
enum { S6 = 22, S7, S8, S9, S10 };

static uint64_t regions_of(struct rig *rig)
{
    struct engine_counters counters = {0};

    rig->type->counters(rig->cpu[0], &counters);
    return counters.regions;
}

/* Runs what `put` writes on the interpreter and as regions; all is the same in the end. */
static void runs_the_same(void (*put)(struct rig *rig))
{
    static const char *const options[] = {"heat=0,regions=2", "heat=0,regions=2,code=1M"};

    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        struct rig *model = rig_new(&riscv_interpreter, NULL, 1, RAM_SIZE);
        struct rig *rig = rig_new(&riscv_translator, options[i], 1, RAM_SIZE);

        put(model);
        put(rig);
        assert_int_equal(rig_run(model, 0), CPU_STOP_WAIT);
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_true(rig_same_hart(&model->hart[0], &rig->hart[0]));
        assert_true(rig_same_memory(model, rig));
        assert_true(regions_of(rig) > 0);
        rig_free(model);
        rig_free(rig);
    }
}

/* Words that stay words around loops, and a value of s5 that is none. */
static void put_words(struct rig *rig)
{
    PUT(rig, 0, LI(A0, 0), LI(A1, 0), ADDIW(A0, A0, 1), ADDIW(S5, S5, 7), ANDI(T0, A0, 1),
        BEQZ(T0, 12), ADDIW(A1, A1, -3), ADD(S6, S6, A1), XOR(S7, S5, A1), ADD(S8, S8, S5),
        BLTU(A0, A2, -32), WFI);
    rig->hart[0].x[A2] = ROUNDS_OF_LOOP;
    rig->hart[0].x[S5] = UINT64_C(0x123456789abcdef0);
}

static void test_words(void **state)
{
    runs_the_same(put_words);
}

/* Inner loops of a few rounds and of one, and more registers than the host has. */
static void put_nested(struct rig *rig)
{
    PUT(rig, 0, LI(S2, 0), ANDI(S3, S2, 3), ADDI(S3, S3, 1),
        /* the inner loop */
        LD(T3, S4, 0), ADD(T4, T4, T3), ADD(T5, T5, T4), SD(T5, S4, 8), ADDI(S4, S4, 8),
        XOR(T6, T6, T5), ADDI(S3, S3, -1), BNEZ(S3, -28), ANDI(S4, S4, 0x7f8), OR(S4, S4, S9),
        ADD(S10, S10, T6), ADDI(S2, S2, 1), BNE(S2, A2, -56), WFI);
    rig->hart[0].x[A2] = ROUNDS_OF_LOOP;
    rig->hart[0].x[S4] = rig->hart[0].x[S9] = RAM_BASE + DATA;
    rig_put64(rig, DATA, 5);
}

static void test_nested(void **state)
{
    runs_the_same(put_nested);
}

/* In the middle of a round a load leads to nowhere; a1 tells in which. */
static void put_trap(struct rig *rig)
{
    PUT(rig, 0, LI(A0, 0), ADDI(A0, A0, 1), ADDIW(A1, A1, 5), ANDI(T0, A0, 1), BEQZ(T0, 8),
        ADDIW(S6, S6, 3), ADDIW(S7, S7, -1), LD(T3, S4, 0), ADD(S4, S4, S5), ADD(S8, S8, A1),
        BNE(A0, A2, -36), WFI);
    rig->hart[0].x[A2] = ROUNDS_OF_LOOP;
    rig->hart[0].x[S4] = RAM_BASE + RAM_SIZE - 100 * 8;
    rig->hart[0].x[S5] = 8;
}

static void test_a_trap_inside(void **state)
{
    runs_the_same(put_trap);
}

/* Sums that are NaN from some round on, of both widths, in a loop with a branch. */
static void put_floats(struct rig *rig)
{
    PUT(rig, 0, LI(A0, 0), ADDI(A0, A0, 1), ANDI(T0, A0, 1), BEQZ(T0, 8),
        INSN_R(0x53, 7, 0x01, 10, 10, 11),                                   /* fadd.d fa0 */
        INSN_R(0x53, 7, 0x09, 12, 10, 12),                                   /* fmul.d fa2 */
        INSN_R(0x53, 7, 0x00, 13, 13, 14), BNE(A0, A2, -24), FSD(10, S4, 0), /* fadd.s fa3 */
        FSD(12, S4, 8), FSD(13, S4, 16), WFI);
    rig->hart[0].mstatus |= 0x6000;
    rig->hart[0].x[A2] = ROUNDS_OF_LOOP;
    rig->hart[0].x[S4] = RAM_BASE + DATA;
    rig->hart[0].f[10] = UINT64_C(0x7fe0000000000000); /* towards infinity, times 0 */
    rig->hart[0].f[11] = UINT64_C(0x7fe0000000000000);
    rig->hart[0].f[12] = 0;
    rig->hart[0].f[13] = UINT64_C(0xffffffff7f800000); /* infinities of either sign */
    rig->hart[0].f[14] = UINT64_C(0xffffffffff800000);
}

static void test_floats(void **state)
{
    runs_the_same(put_floats);
}

/* What cannot be in a region at its head, and in the middle of one. */
static void put_csr(struct rig *rig)
{
    PUT(rig, 0, LI(A0, 0), INSN_I(0x73, 2, T3, 0, 0x340), ADDI(A0, A0, 1), ANDI(T0, A0, 1),
        BEQZ(T0, 8), INSN_I(0x73, 1, 0, A0, 0x340), ADD(S6, S6, T3), BNE(A0, A2, -24), LI(A0, 0),
        ADDI(A0, A0, 1), ANDI(T0, A0, 1), BEQZ(T0, 8), INSN_I(0x73, 2, T3, 0, 0x340),
        ADD(S6, S6, T3), BNE(A0, A2, -20), WFI);
    rig->hart[0].x[A2] = ROUNDS_OF_LOOP;
}

static void test_instructions_that_lead_out(void **state)
{
    runs_the_same(put_csr);
}

/* A loop that no unit is by itself. */
static void put_pieces(struct rig *rig)
{
    PUT(rig, 0, LI(A0, 0), ADDIW(A0, A0, 1), ADDIW(S5, S5, 7), ANDI(T0, A0, 1), BEQZ(T0, 12),
        ADDIW(A1, A1, -3), J(8), ADDI(S6, S6, 1), BNE(A0, A2, -28), WFI);
}

/* The thread finds the loop by itself. */
static void test_sampled(void **state)
{
    struct rig *rig = rig_new(&riscv_translator, "heat=0", 1, RAM_SIZE);
    unsigned runs = 0;

    for (; runs < 200 && !regions_of(rig); runs++) {
        put_pieces(rig);
        rig->hart[0].pc = RAM_BASE;
        rig->hart[0].x[S5] = 0;
        rig->hart[0].x[A1] = 0;
        rig->hart[0].x[A2] = 20000000;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(rig->hart[0].x[S5], 7 * 20000000);
        assert_int_equal(rig->hart[0].x[A1], (uint64_t)(-3 * INT64_C(10000000)));
    }
    assert_true(runs < 200);
    rig_free(rig);
}

/* None, if they are not wanted. */
static void test_off(void **state)
{
    struct rig *rig = rig_new(&riscv_translator, "heat=0,regions=0", 1, RAM_SIZE);

    put_pieces(rig);
    rig->hart[0].x[A2] = 20000000;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(regions_of(rig), 0);
    rig_free(rig);
}

/* ---- bases beyond the window ---- */

/* A loop whose load is by s4, in the rounds in which a2 has a bit set. */
static void visit_by_base(struct spaces *s, uint64_t base, uint64_t bits)
{
    const struct visit visit = {.entry = HERE, .user = true};

    s->hart->x[A0] = 0;
    s->hart->x[A1] = 64;
    s->hart->x[A2] = bits;
    s->hart->x[S4] = base;
    spaces_visit(s, &visit);
}

/* Such a region is left before it begins, and no longer made in the end. */
static void test_bases_beyond_the_window(void **state)
{
    static const uint64_t wild[] = {UINT64_MAX - 7, UINT64_C(1) << 38, UINT64_C(0x7fff12345678)};
    struct spaces *s = spaces_new(&riscv_translator, "heat=0,regions=2,windows=2", true, PTE_G);

    map(s, 0, HERE, 0, PTE_U);
    map(s, 0, DATA_AT, 1, PTE_U);
    PUT(s->rig, frame(0), ANDI(T0, A2, 1), BEQZ(T0, 12), LD(A3, S4, 0), ADD(A0, A0, A3),
        SRLI(A2, A2, 1), ADDI(A1, A1, -1), BNEZ(A1, -24), ECALL);
    rig_put64(s->rig, frame(1), 3);
    for (unsigned i = 0; i < 3 * ARRAY_SIZE(wild); i++) {
        for (unsigned j = 0; j < 60; j++) {
            visit_by_base(s, wild[i % 3], 0);
            expect_end(s, "no round loads", true);
            expect(s, "no round loads", "a0", s->hart->x[A0], 0);
            visit_by_base(s, DATA_AT, UINT64_C(0xf0f));
            expect_end(s, "eight rounds load", true);
            expect(s, "eight rounds load", "a0", s->hart->x[A0], 24);
        }
        visit_by_base(s, wild[i % 3], 1 << 20);
        expect_trap(s, "a round loads", RISCV_EXC_LOAD_PAGE, HERE + 8, wild[i % 3]);
        expect(s, "a round loads", "a1", s->hart->x[A1], 44);
    }
    assert_true(regions_of(s->rig) > 0);
    spaces_free(s);
}

int main(void)
{
    static const struct CMUnitTest places[] = {
        cmocka_unit_test(test_a_loop_with_a_branch),
        cmocka_unit_test(test_a_loop_in_a_loop),
        cmocka_unit_test(test_a_loop_with_a_call),
        cmocka_unit_test(test_at_the_ends_of_the_page),
    };
    static const struct CMUnitTest running[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_a_trap_inside),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_instructions_that_lead_out),
        cmocka_unit_test(test_bases_beyond_the_window),
        cmocka_unit_test(test_sampled),
        cmocka_unit_test(test_off),
    };
    int failed = cmocka_run_group_tests(places, NULL, NULL);

    if (!riscv_translator_missing())
        failed += cmocka_run_group_tests(running, NULL, NULL);
    return failed;
}
