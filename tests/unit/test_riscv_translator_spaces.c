/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator and address spaces: what they share and what they do not, more of them than are
 * remembered, and what sstatus lets S-mode do in them. Whatever is expected is expected of the
 * interpreter, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_ways.h"

/* ---- the lower half ---- */

/* The same addresses in two spaces, which share the caller's page alone. `flags`: of the caller's
 * PTE and of the callees'. */
static void way_in_two_spaces(struct spaces *s, const struct way *way, uint64_t caller,
                              const unsigned flags[2])
{
    struct visit visit[2] = {
        {.asid = 1, .at = neighbour(way, caller), .entry = caller + way_begin(way)},
    };
    unsigned callee[2] = {1, 2};

    visit[0].user = flags[0] & PTE_U;
    visit[1] = visit[0];
    visit[1].space = 1;
    visit[1].asid = 2;
    put_way(s, way);
    for (unsigned i = 0; i < 2; i++) {
        map(s, i, caller, 0, flags[0]);
        map(s, i, visit[i].at, callee[i], flags[1]);
        visit[i].fence = FENCE_ASID;
    }
    /* One of them is changed, then the other. */
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(fences); i++) {
        for (unsigned j = 0; j < 6; j++) {
            go(s, way->name, &visit[j % 2], callee[j % 2] == 1 ? 1 : 1000);
            visit[j % 2].fence = FENCE_NONE;
        }
        callee[i % 2] ^= 3;
        map(s, i % 2, visit[0].at, callee[i % 2], flags[1]);
        visit[i % 2].fence = fences[i / 2];
        go(s, way->name, &visit[i % 2], callee[i % 2] == 1 ? 1 : 1000);
        visit[i % 2].fence = FENCE_NONE;
    }
}

static void test_caller_in_two_spaces(void **state)
{
    static const unsigned flags[2][2] = {{0, 0}, {PTE_U, PTE_U}};

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 2 * ARRAY_SIZE(ways); j++) {
            struct spaces *s = spaces_of(i, j % 3, PTE_G);

            way_in_two_spaces(s, &ways[j / 2], HERE, flags[j % 2]);
            spaces_free(s);
        }
}

/* ---- the upper half ---- */

/* What is not global there differs from space to space, beside global mappings or without any. */
static void test_upper_half_of_two_spaces(void **state)
{
    static const unsigned flags[3][2] = {{0, 0}, {PTE_G, 0}, {0, 0}};

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 3 * ARRAY_SIZE(ways); j++) {
            struct spaces *s = spaces_of(i, false, j % 3 == 2 ? 0 : PTE_G);

            way_in_two_spaces(s, &ways[j / 3], UPPER, flags[j % 3]);
            spaces_free(s);
        }
}

/* From the last page to the first one, and back: out of one half into the other. */
static void test_around_the_end(void **state)
{
    static const unsigned flags[3][2] = {{0, 0}, {PTE_G, 0}};

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < 2 * ARRAY_SIZE(ways); j++) {
            const struct way *way = &ways[j / 2];
            struct spaces *s = spaces_of(i, true, PTE_G);

            if (way->forward)
                way_in_two_spaces(s, way, TOP, flags[j % 2]);
            else
                way_in_two_spaces(s, way, 0, flags[0]);
            spaces_free(s);
        }
}

static uint64_t misses(struct spaces *s)
{
    struct engine_counters counters;

    s->rig->type->counters(s->rig->cpu[0], &counters);
    return counters.tlb_misses;
}

/* Global code: each space knows it from the first on, and knows when it was changed in any. */
static void global_is_changed(struct spaces *s, const struct way *way)
{
    static const enum fence all_spaces[] = {FENCE_PAGE, FENCE_ALL};
    struct visit visit = {.asid = 1, .at = neighbour(way, UPPER), .fence = FENCE_ALL};
    unsigned callee = 1;
    uint64_t before;

    visit.entry = UPPER + way_begin(way);
    put_way(s, way);
    map(s, 0, UPPER, 0, PTE_G);
    map(s, 0, visit.at, callee, PTE_G);
    /* What is decoded for the first time is looked up for that. */
    for (unsigned i = 0; i < 3; i++) {
        go(s, way->name, &visit, 1);
        visit.fence = i ? FENCE_NONE : FENCE_ASID;
    }
    /* A fence of the space changes nothing for global mappings; */
    visit.fence = FENCE_ALL;
    go(s, way->name, &visit, 1);
    before = misses(s);
    visit.fence = FENCE_ASID;
    go(s, way->name, &visit, 1);
    expect(s, way->name, "tlb_misses", misses(s), before);
    for (unsigned i = 0; i < 6; i++) {
        visit.fence = FENCE_NONE;
        for (unsigned j = 0; j < 3 + i; j++) {
            visit.space = j;
            visit.asid = 1 + j;
            go(s, way->name, &visit, callee == 1 ? 1 : 1000);
        }
        /* and spaces that were there look nothing up, nor does a new one. */
        before = misses(s);
        for (unsigned j = 0; j < 6; j++) {
            visit.space = j < 3 ? j : 3 + i;
            visit.asid = 1 + visit.space;
            visit.fence = j == 4 ? FENCE_ASID : FENCE_NONE;
            go(s, way->name, &visit, callee == 1 ? 1 : 1000);
        }
        expect(s, way->name, "tlb_misses", misses(s), before);
        callee ^= 3;
        map(s, 0, visit.at, callee, PTE_G);
        visit.space = i % 3;
        visit.asid = 1 + visit.space;
        visit.fence = all_spaces[i % 2];
        go(s, way->name, &visit, callee == 1 ? 1 : 1000);
    }
}

static void test_global_code(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(ways); j++) {
            struct spaces *s = spaces_of(i, true, PTE_G);

            global_is_changed(s, &ways[j]);
            spaces_free(s);
        }
}

/* Global data: another page, then one that is only read. */
static void global_data(struct spaces *s)
{
    struct visit visit = {.asid = 1, .entry = UPPER, .at = UPPER + PAGE, .fence = FENCE_ALL};
    uint64_t count[2] = {0, 0};

    map(s, 0, UPPER, 0, PTE_G);
    PUT(s->rig, frame(0), LD(A0, S4, 0), ADDI(A0, A0, 1), SD(A0, S4, 0), ADDI(A1, A1, -1),
        BNEZ(A1, -16), ECALL);
    for (unsigned i = 0; i < 8; i++) {
        map(s, 0, UPPER + PAGE, 1 + i % 2, PTE_G);
        for (unsigned j = 0; j < 6; j++) {
            visit.space = (i + j) % 3;
            visit.asid = 1 + visit.space;
            s->hart->x[A1] = ROUNDS;
            s->hart->x[S4] = UPPER + PAGE;
            spaces_visit(s, &visit);
            expect_end(s, "global data", false);
            expect(s, "global data", "a0", s->hart->x[A0], count[i % 2] += ROUNDS);
            visit.fence = FENCE_NONE;
        }
        visit.fence = i % 3 ? FENCE_PAGE : FENCE_ALL;
    }
    spaces_map(s, 0, UPPER + PAGE, pte(frame(2), (PTE_RWX | PTE_G) & ~PTE_W));
    for (unsigned j = 0; j < 6; j++) {
        visit.space = j % 4;
        visit.asid = 1 + visit.space;
        spaces_visit(s, &visit);
        expect_trap(s, "global data", RISCV_EXC_STORE_PAGE, UPPER + 8, UPPER + PAGE);
        visit.fence = FENCE_NONE;
    }
    expect(s, "global data", "what was stored", rig_get64(s->rig, frame(2)), count[1]);
}

static void test_global_data(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i, true, PTE_G);

        global_data(s);
        spaces_free(s);
    }
}

/* ---- more spaces than TLBs ---- */

/* In each space a caller and its callee in small pages, and another in a large one; S-mode, with
 * and without what parts loads from fetches. */
static void many_spaces(struct spaces *s)
{
    const struct way *call = &ways[0];
    unsigned small[SPACES], large[SPACES], seed = 1;

    put_way(s, call);
    for (unsigned i = 0; i < 2; i++) {
        put_caller(s, call, frame(LARGE_FRAME * (1 + i) + 5));
        put_callee(s, call, frame(LARGE_FRAME * (1 + i) + 6), i ? 1000 : 1);
    }
    for (unsigned i = 0; i < SPACES; i++) {
        small[i] = large[i] = 0;
        map(s, i, HERE, 0, 0);
        map(s, i, HERE + PAGE, 1, 0);
        spaces_map_large(s, i, LARGE, pte(frame(LARGE_FRAME), PTE_RWX));
    }
    for (unsigned i = 0; i < 3000 * test_rounds(); i++) {
        static const uint64_t status[] = {0, MSTATUS_SUM, MSTATUS_SUM | MSTATUS_MXR};
        unsigned space = (unsigned)rand_r(&seed) % SPACES;
        unsigned what = (unsigned)rand_r(&seed) % 8, amount;
        struct visit visit = {
            .space = space,
            .asid = 1 + space,
            .status = status[(unsigned)rand_r(&seed) % ARRAY_SIZE(status)],
            .fence = what < 4 ? fences[(unsigned)rand_r(&seed) % ARRAY_SIZE(fences)] : FENCE_NONE,
        };

        if (what % 2) {
            large[space] ^= what < 4;
            visit.at = LARGE + (unsigned)rand_r(&seed) % 0x200000;
            visit.entry = LARGE + 5 * PAGE + way_begin(call);
            amount = large[space] ? 1000 : 1;
            spaces_map_large(s, space, LARGE,
                             pte(frame(LARGE_FRAME * (1 + large[space])), PTE_RWX));
        } else {
            small[space] ^= what < 4;
            visit.at = HERE + PAGE + (unsigned)rand_r(&seed) % 0x1000;
            visit.entry = HERE + way_begin(call);
            amount = small[space] ? 1000 : 1;
            map(s, space, HERE + PAGE, 1 + small[space], 0);
        }
        go(s, "many spaces", &visit, amount);
    }
}

static void test_many_spaces(void **state)
{
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i / 2, true, i % 2 ? PTE_G : 0);

        many_spaces(s);
        spaces_free(s);
    }
}

/* One space at a time, each of which takes the TLB of another one. */
static void visit_others(struct spaces *s, unsigned *space, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct visit visit = {.space = *space, .asid = 1 + *space, .entry = HERE};

        visit.entry += way_begin(&ways[0]);
        go(s, "another space", &visit, 1);
        *space = *space % (SPACES - 1) + 1;
    }
}

/* What loads see with SUM is another TLB than what is fetched by, and that one alone knew of a
 * large mapping when it went. */
static void large_and_evicted(struct spaces *s, unsigned others)
{
    const struct way *call = &ways[0];
    struct visit visit = {.asid = 1, .at = LARGE + 0x100000};
    unsigned space = 1;

    put_way(s, call);
    for (unsigned i = 0; i < 2; i++) {
        put_caller(s, call, frame(LARGE_FRAME * (1 + i) + 5));
        put_callee(s, call, frame(LARGE_FRAME * (1 + i) + 6), i ? 1000 : 1);
    }
    for (unsigned i = 1; i < SPACES; i++) {
        map(s, i, HERE, 0, 0);
        map(s, i, HERE + PAGE, 1, 0);
    }
    visit.entry = LARGE + 5 * PAGE + way_begin(call);
    spaces_map_large(s, 0, LARGE, pte(frame(LARGE_FRAME), PTE_RWX));
    visit_others(s, &space, SPACES);
    go(s, "a large mapping", &visit, 1);
    visit_others(s, &space, 2);
    visit.status = MSTATUS_SUM;
    go(s, "a large mapping", &visit, 1);
    visit_others(s, &space, others);
    spaces_map_large(s, 0, LARGE, pte(frame(2 * LARGE_FRAME), PTE_RWX));
    visit.fence = others % 2 ? FENCE_PAGE : FENCE_PAGE_ASID;
    go(s, "a large mapping that changed", &visit, 1000);
}

static void test_large_mapping_of_an_evicted_tlb(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned others = 16; others < 36; others++) {
            struct spaces *s = spaces_of(i, true, 0);

            large_and_evicted(s, others);
            spaces_free(s);
        }
}

/* ---- what a bit of sstatus lets S-mode do ---- */

static const uint64_t status_bits[] = {
    0,           MSTATUS_SIE, MSTATUS_SPIE, MSTATUS_SPP,
    MSTATUS_FS,  MSTATUS_SUM, MSTATUS_MXR,  MSTATUS_SIE | MSTATUS_SUM,
    MSTATUS_MIE, MSTATUS_SD,  UINT64_MAX,   UINT64_C(1) << 13,
};

/* What is loaded: a page of U-mode, or one of S-mode that may be executed only. */
static const unsigned status_pages[] = {PTE_RWX | PTE_U, PTE_V | PTE_X | PTE_A | PTE_D};

/* Some rounds: sstatus is a5, then a2 is set in it, or not, then the page is loaded from and a sum
 * of floats made. */
static void status_is_set(struct spaces *s, uint32_t set, uint64_t before, uint64_t bits,
                          unsigned page)
{
    struct visit visit = {.asid = 1, .entry = UPPER, .fence = FENCE_ALL};

    map(s, 0, UPPER, 0, PTE_G);
    spaces_map(s, 0, DATA_AT, pte(frame(3), page));
    PUT(s->rig, frame(0), CSRRW(0, CSR_SSTATUS, A5), set, LD(A3, S4, 0), set, FADD_D(1, 1, 2),
        CSRRS(A4, CSR_SSTATUS, 0), ADDI(A1, A1, -1), BNEZ(A1, -28), ECALL);
    s->hart->x[A1] = ROUNDS;
    s->hart->x[A2] = bits;
    s->hart->x[A3] = s->hart->x[A4] = 0;
    s->hart->x[A5] = before;
    s->hart->x[S4] = DATA_AT;
    s->hart->f[1] = 0;
    s->hart->f[2] = UINT64_C(0x3ff0000000000000); /* 1 */
    spaces_visit(s, &visit);
}

/* The exception that ends the rounds, or all ones: "Virtual Address Translation Process", step 5,
 * and "Floating-Point Status".
 */
static uint64_t status_end(uint32_t set, uint64_t before, uint64_t bits, unsigned page)
{
    bool immediate = set >> 14 & 1;
    uint64_t operand = immediate ? set >> 15 & 31 : bits, status;

    switch (set >> 12 & 3) {
    case 1:
        status = operand;
        break;
    case 2:
        status = before | operand;
        break;
    default:
        status = before & ~operand;
        break;
    }
    if (!(status & (page & PTE_U ? MSTATUS_SUM : MSTATUS_MXR)))
        return RISCV_EXC_LOAD_PAGE;
    return status & MSTATUS_FS ? UINT64_MAX : RISCV_EXC_ILLEGAL;
}

static void test_status_is_set(void **state)
{
    static const uint32_t set[] = {CSRRS(0, CSR_SSTATUS, A2),  CSRRSI(0, CSR_SSTATUS, 2),
                                   CSRRSI(0, CSR_SSTATUS, 18), CSRRC(0, CSR_SSTATUS, A2),
                                   CSRRC(A4, CSR_SSTATUS, A2), CSRRW(0, CSR_SSTATUS, A2),
                                   CSRRW(A4, CSR_SSTATUS, A2)};
    static const uint64_t before[] = {0,
                                      MSTATUS_MXR,
                                      MSTATUS_SIE,
                                      MSTATUS_FS,
                                      MSTATUS_SUM,
                                      MSTATUS_FS | MSTATUS_SUM | MSTATUS_SIE,
                                      UINT64_C(1) << 13};

    for (unsigned i = 1; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(set) * ARRAY_SIZE(before); j++) {
            struct spaces *one = spaces_of(0, true, PTE_G), *other = spaces_of(i, true, PTE_G);

            for (unsigned k = 0; k < 2 * ARRAY_SIZE(status_bits); k++) {
                const uint32_t insn = set[j / ARRAY_SIZE(before)];
                uint64_t was = before[j % ARRAY_SIZE(before)];
                unsigned page = status_pages[k % 2];

                status_is_set(one, insn, was, status_bits[k / 2], page);
                status_is_set(other, insn, was, status_bits[k / 2], page);
                assert_int_equal(one->hart->scause,
                                 status_end(insn, was, status_bits[k / 2], page));
                if (!rig_same_hart(one->hart, other->hart))
                    fail_msg("%s: %#x in %#llx", other->name, insn, (unsigned long long)was);
            }
            spaces_free(one);
            spaces_free(other);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caller_in_two_spaces),
        cmocka_unit_test(test_upper_half_of_two_spaces),
        cmocka_unit_test(test_around_the_end),
        cmocka_unit_test(test_global_code),
        cmocka_unit_test(test_global_data),
        cmocka_unit_test(test_many_spaces),
        cmocka_unit_test(test_large_mapping_of_an_evicted_tlb),
        cmocka_unit_test(test_status_is_set),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
