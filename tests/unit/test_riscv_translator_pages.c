/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator and code that leads from page to page and lies across them, while the guest
 * changes its page tables and fences as it has to. Whatever is expected is expected of the
 * interpreter, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_ways.h"

/* For much code: it is evicted over and over. */
static const struct permutation evicting[] = {
    {&riscv_translator, "heat=0,code=1M"},
    {&riscv_translator, "heat=0,code=1M,windows=2"},
};

static uint64_t evicted(struct rig *rig)
{
    struct engine_counters counters;

    rig->type->counters(rig->cpu[0], &counters);
    return counters.segments_evicted;
}

/* ---- from one page into the next one or the one before ---- */

static void way_is_remapped(struct spaces *s, const struct way *way, bool user)
{
    struct visit visit = {
        .asid = 1,
        .at = neighbour(way, HERE),
        .entry = HERE + way_begin(way),
        .user = user,
        .fence = FENCE_ALL,
    };

    put_way(s, way);
    map(s, 0, HERE, 0, user ? PTE_U : 0);
    map(s, 0, visit.at, 1, user ? PTE_U : 0);
    go(s, way->name, &visit, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(fences); i++) {
        visit.fence = fences[i];
        map(s, 0, visit.at, 2, user ? PTE_U : 0);
        go(s, way->name, &visit, 1000);
        map(s, 0, visit.at, 1, user ? PTE_U : 0);
        go(s, way->name, &visit, 1);
    }
    visit.fence = FENCE_PAGE;
    spaces_map(s, 0, visit.at, 0);
    s->hart->x[A1] = ROUNDS;
    spaces_visit(s, &visit);
    expect_trap(s, way->name, RISCV_EXC_FETCH_PAGE, visit.at + way_end(way),
                visit.at + way_end(way));
    expect(s, way->name, "a1", s->hart->x[A1], ROUNDS);
}

static void test_neighbour_is_remapped(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 2 * ARRAY_SIZE(ways); j++) {
            struct spaces *s = spaces_of(i, true, PTE_G);

            way_is_remapped(s, &ways[j / 2], j % 2);
            spaces_free(s);
        }
}

/* The caller's page of memory at two addresses, with a neighbour each; no fence where nothing is
 * changed. */
static void way_is_aliased(struct spaces *s, const struct way *way, bool user)
{
    struct visit here = {.asid = 1, .entry = HERE + way_begin(way), .user = user}, there = here;

    there.entry = THERE + way_begin(way);
    put_way(s, way);
    map(s, 0, HERE, 0, user ? PTE_U : 0);
    map(s, 0, THERE, 0, user ? PTE_U : 0);
    for (unsigned i = 0; i < 6; i++) {
        map(s, 0, neighbour(way, HERE), 1 + i % 2, user ? PTE_U : 0);
        map(s, 0, neighbour(way, THERE), 2 - i % 2, user ? PTE_U : 0);
        here.fence = FENCE_ASID;
        for (unsigned j = 0; j < 3; j++) {
            go(s, way->name, &here, i % 2 ? 1000 : 1);
            here.fence = FENCE_NONE;
            go(s, way->name, &there, i % 2 ? 1 : 1000);
        }
    }
}

static void test_caller_at_two_addresses(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 2 * ARRAY_SIZE(ways); j++) {
            struct spaces *s = spaces_of(i, true, PTE_G);

            way_is_aliased(s, &ways[j / 2], j % 2);
            spaces_free(s);
        }
}

/* ---- instructions that lie across a page's end ---- */

/* Two instructions with the same first half: the second one's comes with the page behind it. A
 * round adds so much to a0, or loads it. */
struct straddler {
    const char *name;
    uint32_t word[2];
    uint64_t wanted[2];
    bool loads;
};

static const struct straddler straddlers[] = {
    {"an addition", {ADDI(A0, A0, 1), ADDI(A0, A0, 5)}, {1, 5}, false},
    {"a branch", {BNEZ(A1, 0x42), BNEZ(A1, 0x82)}, {10, 20}, false},
    {"a call", {JAL(RA, 0x102), JAL(RA, 0x202)}, {100, 200}, false},
    {"a load", {LD(A0, S4, 0), LD(A0, S4, 8)}, {7, 9}, true},
    /* Its half is all that is executed of the next page. */
    {"a jump back", {J(-0xffe), J(-0xfbe)}, {0, 3}, false},
};

#define STRADDLER 0xffe

/* Behind the instruction: back to the start of its page, where rounds are counted. */
static void put_behind(struct spaces *s, uint64_t at, uint32_t word)
{
    spaces_put_half(s, at, word >> 16);
    spaces_put_word(s, at + 2, J(-0x1002));
    PUT(s->rig, at + 0x40, ADDI(A0, A0, 10), J(-0x1044));
    PUT(s->rig, at + 0x80, ADDI(A0, A0, 20), J(-0x1084));
    PUT(s->rig, at + 0x100, ADDI(A0, A0, 100), RET);
    PUT(s->rig, at + 0x200, ADDI(A0, A0, 200), RET);
    PUT(s->rig, at + 0x700, ECALL);
}

/* Page 0, with pages 1 and 2 for behind it; data in page 3. */
static void put_straddler(struct spaces *s, const uint32_t word[2])
{
    PUT(s->rig, frame(0), ADDI(A1, A1, -1), BNEZ(A1, 0xfec), ECALL);
    PUT(s->rig, frame(0) + 0x40, ADDI(A0, A0, 3), J(-0x44));
    PUT(s->rig, frame(0) + 0xff0, ADDI(A2, A2, 1), NOP, NOP);
    PUT(s->rig, frame(4), SH(A3, S5, 0), FENCE_I, JR(T1));
    PUT(s->rig, frame(0) + 0x80, J(PAGE + 0x700 - 0x80));
    spaces_put_half(s, frame(0) + 0xffc, 1); /* c.nop */
    spaces_put_half(s, frame(0) + STRADDLER, word[0]);
    assert_int_equal(word[0] & 0xffff, word[1] & 0xffff);
    put_behind(s, frame(1), word[0]);
    put_behind(s, frame(2), word[1]);
    rig_put64(s->rig, frame(3), 7);
    rig_put64(s->rig, frame(3) + 8, 9);
}

static void straddle(struct spaces *s, const struct straddler *straddler, const struct visit *visit,
                     unsigned which)
{
    uint64_t times = straddler->loads ? 1 : ROUNDS;

    s->hart->x[A0] = s->hart->x[A2] = 0;
    s->hart->x[A1] = ROUNDS;
    s->hart->x[S4] = DATA_AT;
    spaces_visit(s, visit);
    expect_end(s, straddler->name, visit->user);
    expect(s, straddler->name, "a0", s->hart->x[A0], straddler->wanted[which] * times);
    expect(s, straddler->name, "a2", s->hart->x[A2], ROUNDS);
}

static struct visit straddler_begin(struct spaces *s, const uint32_t word[2], bool user)
{
    struct visit visit = {
        .asid = 1, .at = HERE + PAGE, .entry = HERE + 0xff0, .user = user, .fence = FENCE_ASID};

    put_straddler(s, word);
    map(s, 0, HERE, 0, user ? PTE_U : 0);
    map(s, 0, HERE + PAGE, 1, user ? PTE_U : 0);
    map(s, 0, DATA_AT, 3, user ? PTE_U : 0);
    return visit;
}

/* What the next page may be in place of one that can be executed; `user`: of S-mode, or of U-mode
 * for S-mode. */
static uint64_t not_executable(unsigned i, bool user)
{
    const unsigned flags[] = {0, PTE_RWX & ~PTE_X, PTE_RWX & ~PTE_V, PTE_RWX};

    return i == 3 ? pte(frame(1), PTE_RWX | (user ? 0 : PTE_U))
                  : pte(frame(1), flags[i] | (user ? PTE_U : 0));
}

static void straddler_is_changed(struct spaces *s, const struct straddler *straddler, bool user)
{
    struct visit visit = straddler_begin(s, straddler->word, user);

    straddle(s, straddler, &visit, 0);
    /* The next page is another one. */
    for (unsigned i = 0; i < ARRAY_SIZE(fences); i++) {
        visit.fence = fences[i];
        map(s, 0, HERE + PAGE, 2, user ? PTE_U : 0);
        straddle(s, straddler, &visit, 1);
        map(s, 0, HERE + PAGE, 1, user ? PTE_U : 0);
        straddle(s, straddler, &visit, 0);
    }
    /* It is none, or not to be executed. */
    visit.fence = FENCE_PAGE;
    for (unsigned i = 0; i < 4; i++) {
        spaces_map(s, 0, HERE + PAGE, not_executable(i, user));
        s->hart->x[A1] = ROUNDS;
        spaces_visit(s, &visit);
        expect_trap(s, straddler->name, RISCV_EXC_FETCH_PAGE, HERE + STRADDLER, HERE + PAGE);
        expect(s, straddler->name, "a1", s->hart->x[A1], ROUNDS);
        map(s, 0, HERE + PAGE, 1, user ? PTE_U : 0);
        straddle(s, straddler, &visit, 0);
    }
    /* Its half of the instruction is written. */
    visit.fence = FENCE_CODE;
    for (unsigned i = 0; i < 4; i++) {
        spaces_put_half(s, frame(1), straddler->word[~i & 1] >> 16);
        straddle(s, straddler, &visit, ~i & 1);
    }
    /* And by the guest. */
    map(s, 0, THERE, 4, user ? PTE_U : 0);
    visit.fence = FENCE_ALL;
    visit.entry = THERE;
    for (unsigned i = 0; i < 6; i++) {
        s->hart->x[A3] = straddler->word[i % 2] >> 16;
        s->hart->x[S5] = HERE + PAGE;
        s->hart->x[T1] = HERE + 0xff0;
        straddle(s, straddler, &visit, i % 2);
        visit.fence = FENCE_NONE;
    }
}

static void test_straddlers(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 2 * ARRAY_SIZE(straddlers); j++) {
            struct spaces *s = spaces_of(i, true, PTE_G);

            straddler_is_changed(s, &straddlers[j / 2], j % 2);
            spaces_free(s);
        }
}

/* One first page, two next ones: at two addresses, or in two spaces. */
static void straddler_is_aliased(struct spaces *s, const struct straddler *straddler, bool user,
                                 bool spaces)
{
    struct visit visit[2];

    visit[0] = visit[1] = straddler_begin(s, straddler->word, user);
    if (spaces) {
        visit[1].space = 1;
        visit[1].asid = 2;
        map(s, 1, HERE, 0, user ? PTE_U : 0);
        map(s, 1, DATA_AT, 3, user ? PTE_U : 0);
        map(s, 1, HERE + PAGE, 2, user ? PTE_U : 0);
    } else {
        visit[1].entry = THERE + 0xff0;
        map(s, 0, THERE, 0, user ? PTE_U : 0);
        map(s, 0, THERE + PAGE, 2, user ? PTE_U : 0);
    }
    /* A jump comes to the next page at one place before the instruction is executed at the other.
     */
    visit[0].entry = HERE + 0x80;
    spaces_visit(s, &visit[0]);
    expect_end(s, "a jump into the next page", user);
    visit[0].entry = HERE + 0xff0;
    visit[0].fence = FENCE_NONE;
    for (unsigned i = 0; i < 8; i++) {
        straddle(s, straddler, &visit[~i & 1], ~i & 1);
        visit[~i & 1].fence = FENCE_NONE;
    }
    /* They change places, the second one first. */
    spaces_map(s, spaces, spaces ? HERE + PAGE : THERE + PAGE,
               pte(frame(1), PTE_RWX | (user ? PTE_U : 0)));
    map(s, 0, HERE + PAGE, 2, user ? PTE_U : 0);
    visit[0].fence = visit[1].fence = FENCE_ASID;
    for (unsigned i = 0; i < 8; i++) {
        straddle(s, straddler, &visit[~i & 1], i % 2);
        visit[~i & 1].fence = FENCE_NONE;
    }
}

static void test_straddlers_of_two_pages(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 4 * ARRAY_SIZE(straddlers); j++) {
            struct spaces *s = spaces_of(i, true, PTE_G);

            straddler_is_aliased(s, &straddlers[j / 4], j % 2, j / 2 % 2);
            spaces_free(s);
        }
}

/* A load that faults where it did not before, and one half of an instruction that is none. */
static void straddler_traps(struct spaces *s, bool user)
{
    const struct straddler *load = &straddlers[3];
    /* slli by no amount, and with bits above that no instruction has */
    static const struct straddler illegal = {"no instruction",
                                             {SLLI(A0, A0, 0), SLLI(A0, A0, 0) | 0xfe000000},
                                             {0, 0},
                                             false};
    struct visit visit = straddler_begin(s, load->word, user);

    straddle(s, load, &visit, 0);
    for (unsigned i = 0; i < 5; i++) {
        map(s, 0, HERE + PAGE, 1 + i % 2, user ? PTE_U : 0);
        s->hart->x[A1] = ROUNDS;
        s->hart->x[S4] = LOWER + 0x20000;
        spaces_visit(s, &visit);
        expect_trap(s, load->name, RISCV_EXC_LOAD_PAGE, HERE + STRADDLER,
                    LOWER + 0x20000 + (i % 2 ? 8 : 0));
        expect(s, load->name, "a1", s->hart->x[A1], ROUNDS);
    }
    visit = straddler_begin(s, illegal.word, user);
    visit.fence = FENCE_CODE;
    straddle(s, &illegal, &visit, 0);
    visit.fence = FENCE_PAGE;
    for (unsigned i = 0; i < 3; i++) {
        map(s, 0, HERE + PAGE, 2, user ? PTE_U : 0);
        s->hart->x[A1] = ROUNDS;
        spaces_visit(s, &visit);
        expect_trap(s, illegal.name, RISCV_EXC_ILLEGAL, HERE + STRADDLER, illegal.word[1]);
        expect(s, illegal.name, "a1", s->hart->x[A1], ROUNDS);
        map(s, 0, HERE + PAGE, 1, user ? PTE_U : 0);
        straddle(s, &illegal, &visit, 0);
    }
    /* The first half is written: another register. */
    spaces_put_half(s, frame(0) + STRADDLER, ADDI(A5, A0, 1));
    spaces_put_half(s, frame(1), ADDI(A5, A0, 1) >> 16);
    visit.fence = FENCE_CODE;
    straddle(s, &illegal, &visit, 0);
    expect(s, "the first half", "a5", s->hart->x[A5], 1);
}

static void test_straddlers_that_trap(void **state)
{
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i / 2, true, PTE_G);

        straddler_traps(s, i % 2);
        spaces_free(s);
    }
}

/* ---- jumps from any page to any near one ---- */

enum { NEAR_PAGES = 512, NEAR_DISTANCE = 12 };

static unsigned near_begin(int distance)
{
    return 0x100 + (unsigned)(distance + NEAR_DISTANCE) * 4;
}

/* Each frame jumps so many pages on, and tells its number. */
static void near_put(struct spaces *s, unsigned n)
{
    for (int distance = -NEAR_DISTANCE; distance <= NEAR_DISTANCE; distance++)
        PUT(s->rig, frame(n) + near_begin(distance),
            J(distance * PAGE + 0x800 - (int)near_begin(distance)));
    PUT(s->rig, frame(n) + 0x800, LI(A0, n), ECALL);
}

/* Two spaces, of which each has half of the other one's frames, and all of the translator's slots
 * for edges are used many times over. */
static void near_jumps(struct spaces *s, bool user, bool idle)
{
    unsigned at[2][NEAR_PAGES], seed = 1, flags = user ? PTE_U : 0;
    struct visit visit = {.fence = FENCE_ALL, .user = user};

    for (unsigned n = 0; n < 2 * NEAR_PAGES; n++)
        near_put(s, n);
    for (unsigned n = 0; n < NEAR_PAGES; n++) {
        at[0][n] = n;
        at[1][n] = (unsigned)rand_r(&seed) % 2 ? n : NEAR_PAGES + n;
        for (unsigned i = 0; i < 2; i++)
            map(s, i, LOWER + n * UINT64_C(0x1000), at[i][n], flags);
    }
    for (unsigned i = 0; i < 60000 * test_rounds(); i++) {
        int distance = rand_r(&seed) % (2 * NEAR_DISTANCE + 1) - NEAR_DISTANCE;
        unsigned n = (unsigned)rand_r(&seed) % NEAR_PAGES, change = (unsigned)rand_r(&seed) % 64;
        unsigned to = (n + (unsigned)distance) % NEAR_PAGES;

        if (to != n + (unsigned)distance)
            continue;
        /* As a CPU that idles does between two runs. */
        if (idle && i % 256 == 0) {
            tlb_trim(s->rig->cpu[0]);
            assert_in_range(tlb_count(s->rig->cpu[0]), 0, 2);
            code_cache_trim(s->rig->cpu[0]);
        }
        visit.space = (unsigned)rand_r(&seed) % 2;
        visit.asid = 1 + visit.space;
        visit.entry = LOWER + n * UINT64_C(0x1000) + near_begin(distance);
        /* From time to time one of the two pages becomes another one. */
        if (change < 2) {
            unsigned page = change ? n : to;

            at[visit.space][page] ^= NEAR_PAGES;
            visit.fence = FENCE_PAGE_ASID;
            visit.at = LOWER + page * UINT64_C(0x1000);
            map(s, visit.space, visit.at, at[visit.space][page], flags);
        }
        spaces_visit(s, &visit);
        visit.fence = FENCE_NONE;
        expect_end(s, "a jump", user);
        expect(s, "a jump", "a0", s->hart->x[A0], at[visit.space][to]);
    }
}

static void test_near_jumps(void **state)
{
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i / 2, true, PTE_G);

        near_jumps(s, i % 2, false);
        spaces_free(s);
        s = spaces_of(i / 2, true, PTE_G);
        near_jumps(s, i % 2, true);
        spaces_free(s);
    }
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(evicting); i++) {
        struct spaces *s = spaces_new(evicting[i / 2].type, evicting[i / 2].options, true, PTE_G);

        near_jumps(s, i % 2, false);
        assert_in_range(evicted(s->rig), 8, UINT64_MAX);
        spaces_free(s);
    }
}

/* ---- more edges than slots ---- */

#define BIG_RAM   (UINT64_C(32) << 20)
#define MANY_CODE 0x4000

enum { MANY = 6000, DISTANCES = 24 };

/* Pages are gone through in this order; each calls the one beside it. */
static unsigned many_next(unsigned n)
{
    static const int step[] = {2, 2, -1, 1};

    return n + step[n % 4];
}

static uint32_t many_straddler(unsigned n)
{
    return ADDI(A0, A0, n % 1000 + 1);
}

static void many_put(struct rig *rig, unsigned n)
{
    uint64_t at = MANY_CODE + n * UINT64_C(0x1000);
    int beside = ((int)(n ^ 1) - (int)n) * PAGE, next = ((int)many_next(n) - (int)n) * PAGE;
    uint16_t half[2] = {(uint16_t)many_straddler(n), many_straddler(n) >> 16};
    const uint32_t ret = RET;

    PUT(rig, at + 0x10, XORI(A0, A0, n & 0x7ff), RORI(A0, A0, 1 + n % 63),
        JAL(RA, beside + 0xffa - 0x18), J(next - 12));
    if (n == MANY - 1)
        PUT(rig, at + 0x1c, ADDI(A1, A1, -1), BNEZ(A1, 8), ECALL, JR(S1));
    /* What is called, and ends in the next page. */
    const uint32_t called = XORI(A0, A0, n * 7 & 0x7ff);

    assert_int_equal(memory_write(rig->as, RAM_BASE + at + 0xffa, &called, 4), 0);
    assert_int_equal(memory_write(rig->as, RAM_BASE + at + 0xffe, half, 4), 0);
    assert_int_equal(memory_write(rig->as, RAM_BASE + at + 0x1002, &ret, 4), 0);
}

static uint64_t many_result(unsigned times)
{
    uint64_t value = 0;

    while (times--)
        for (unsigned n = 0;; n = many_next(n)) {
            unsigned turn = 1 + n % 63, beside = n ^ 1;

            value ^= n & 0x7ff;
            value = value >> turn | value << (64 - turn);
            value ^= beside * 7 & 0x7ff;
            value += beside % 1000 + 1;
            if (n == MANY - 1)
                break;
        }
    return value;
}

static void many_edges(const struct permutation *permutation, bool user, bool evicts)
{
    enum { TIMES = 4 };
    struct rig *rig = rig_new(permutation->type, permutation->options, 1, BIG_RAM);
    struct riscv_hart *hart = &rig->hart[0];

    if (user)
        rig_user(rig, 0);
    for (unsigned n = 0; n < MANY; n++)
        many_put(rig, n);
    hart->pc = hart->x[S1] = RAM_BASE + MANY_CODE + 0x10;
    hart->x[A0] = 0;
    hart->x[A1] = TIMES;
    assert_int_equal(rig_run(rig, 0), user ? CPU_STOP_FIRMWARE : CPU_STOP_WAIT);
    assert_int_equal(hart->mcause, user ? RISCV_EXC_ECALL_U : RISCV_EXC_ECALL_M);
    if (hart->x[A0] != many_result(TIMES))
        fail_msg("%s: %#llx", permutation->options ? permutation->options : "as it is",
                 (unsigned long long)hart->x[A0]);
    if (evicts)
        assert_in_range(evicted(rig), 8, UINT64_MAX);
    rig_free(rig);
}

static void test_many_edges(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        many_edges(&permutations[i], i % 2, false);
    for (unsigned i = 0; i < ARRAY_SIZE(evicting); i++)
        many_edges(&evicting[i], i % 2, true);
}

static uint64_t distance_at(unsigned n, unsigned distance)
{
    return MANY_CODE + n * UINT64_C(0x1000) + 0x40 + distance * 12;
}

/* From each page to one that is so many further on, until there is none. */
static void distances_put(struct rig *rig, unsigned distance)
{
    for (unsigned n = 0; n < MANY; n++)
        PUT(rig, distance_at(n, distance), ADDI(A0, A0, distance), RORI(A0, A0, 1),
            n + distance < MANY ? J((int)distance * PAGE - 8) : RET);
}

static uint64_t distances_result(unsigned times)
{
    uint64_t value = 0;

    while (times--)
        for (uint64_t distance = 1; distance <= DISTANCES; distance++)
            for (unsigned n = 0; n < MANY; n++) {
                value += distance;
                value = value >> 1 | value << 63;
            }
    return value;
}

/* More edges than the translator keeps at all: it begins anew, and nobody sees it. */
static void test_all_edges_begin_anew(void **state)
{
    enum { TABLE = 0x1000, TIMES = 2 };
    struct rig *rig = rig_new(&riscv_translator, "heat=0", 1, BIG_RAM);
    struct riscv_hart *hart = &rig->hart[0];
    struct engine_counters counters;
    uint64_t at = TABLE;

    PUT(rig, 0, MV(S0, S1), LD(T0, S0, 0), ADDI(S0, S0, 8), BEQZ(T0, 12), JALR(RA, T0, 0), J(-16),
        ADDI(A1, A1, -1), BNEZ(A1, -28), WFI);
    for (unsigned distance = 1; distance <= DISTANCES; distance++) {
        distances_put(rig, distance);
        for (unsigned n = 0; n < distance; n++, at += 8)
            rig_put64(rig, at, RAM_BASE + distance_at(n, distance));
    }
    hart->x[S1] = RAM_BASE + TABLE;
    hart->x[A0] = 0;
    hart->x[A1] = TIMES;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(hart->x[A0], distances_result(TIMES));
    rig->type->counters(rig->cpu[0], &counters);
    assert_int_equal(counters.segments_evicted, 0);
    assert_in_range(counters.units_dropped, 100000, UINT64_MAX);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neighbour_is_remapped),
        cmocka_unit_test(test_caller_at_two_addresses),
        cmocka_unit_test(test_straddlers),
        cmocka_unit_test(test_straddlers_of_two_pages),
        cmocka_unit_test(test_straddlers_that_trap),
        cmocka_unit_test(test_near_jumps),
        cmocka_unit_test(test_many_edges),
        cmocka_unit_test(test_all_edges_begin_anew),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
