/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page-table walk and PMP, called directly: every reason to fault, every size of mapping, and
 * what the walk writes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/riscv/mmu.h"
#include "cpu/riscv/privileged.h"

#define RAM_BASE UINT64_C(0x80000000)
#define RAM_SIZE (UINT64_C(1) << 20)
#define ROM_BASE UINT64_C(0x1000)

/* Where the tests put things. */
#define ROOT (RAM_BASE + 0x1000)
#define DATA (RAM_BASE + 0x40000)

enum { V = 1, R = 2, W = 4, X = 8, U = 16, G = 32, A = 64, D = 128 };

struct fixture {
    struct address_space *as;
    struct riscv_hart hart;
    struct riscv_regime regime;
    struct riscv_translation got;
    unsigned levels;
    uint64_t leaf; /* address of the last leaf PTE that map() wrote */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(address_space_new(&f->as), 0);
    assert_int_equal(memory_add_ram(f->as, "ram", RAM_BASE, RAM_SIZE, true, NULL), 0);
    assert_int_equal(memory_add_ram(f->as, "rom", ROM_BASE, 0x1000, false, NULL), 0);
    f->hart.hosted_firmware = true;
    riscv_hart_reset(&f->hart, RAM_BASE, 0);
    f->levels = 3;
    f->regime = (struct riscv_regime){.satp = UINT64_C(8) << 60 | ROOT >> 12, .privilege = RISCV_S};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    address_space_free(f->as);
    free(f);
    return 0;
}

static void put(struct fixture *f, uint64_t at, uint64_t value)
{
    assert_int_equal(memory_write(f->as, at, &value, 8), 0);
}

static uint64_t get(struct fixture *f, uint64_t at)
{
    uint64_t value;

    assert_int_equal(memory_read(f->as, at, &value, 8), 0);
    return value;
}

/* Maps `vaddr` with a leaf at `level`; the tables follow the root, a page each. */
static void map(struct fixture *f, uint64_t vaddr, uint64_t pa, unsigned level, uint64_t bits)
{
    uint64_t table = ROOT;

    for (unsigned i = f->levels - 1;; i--) {
        uint64_t at = table + (vaddr >> (12 + 9 * i) & 511) * 8;

        if (i == level) {
            put(f, at, (pa >> 12) << 10 | bits);
            f->leaf = at;
            return;
        }
        table = ROOT + (f->levels - i) * 0x1000;
        put(f, at, (table >> 12) << 10 | V);
    }
}

static int translate(struct fixture *f, uint64_t vaddr, enum riscv_access access)
{
    return riscv_translate(&f->hart, f->as, vaddr, access, &f->regime, &f->got);
}

static void test_modes(void **state)
{
    struct fixture *f = *state;

    for (unsigned mode = 8; mode <= 10; mode++) {
        unsigned bits = 12 + 9 * (mode - 5);
        uint64_t high = ~UINT64_C(0) << (bits - 1) | 0x123000;

        f->levels = mode - 5;
        f->regime.satp = (uint64_t)mode << 60 | ROOT >> 12;
        map(f, high, DATA, 0, V | R | W | A | D);
        assert_int_equal(translate(f, high + 0x456, RISCV_LOAD), 0);
        assert_int_equal(f->got.address, DATA + 0x456);
        assert_int_equal(f->got.shift, 12);
        /* The same bits without the sign extension are no address. */
        assert_int_equal(translate(f, high & ((UINT64_C(1) << bits) - 1), RISCV_LOAD),
                         RISCV_EXC_LOAD_PAGE);
        assert_int_equal(translate(f, high ^ UINT64_C(1) << 63, RISCV_STORE), RISCV_EXC_STORE_PAGE);
    }
    struct riscv_hart hart = {0};

    assert_true(riscv_satp_valid(&hart, 0) && riscv_satp_valid(&hart, UINT64_C(9) << 60));
    assert_true(riscv_satp_valid(&hart, UINT64_C(10) << 60));
    assert_false(riscv_satp_valid(&hart, UINT64_C(11) << 60));
    assert_false(riscv_satp_valid(&hart, UINT64_C(1) << 60));
    hart.address_bits = 48;
    assert_true(riscv_satp_valid(&hart, UINT64_C(9) << 60));
    assert_false(riscv_satp_valid(&hart, UINT64_C(10) << 60));
    hart.address_bits = 39;
    assert_true(riscv_satp_valid(&hart, UINT64_C(8) << 60));
    assert_false(riscv_satp_valid(&hart, UINT64_C(9) << 60));
}

static void test_superpages(void **state)
{
    struct fixture *f = *state;

    for (unsigned level = 1; level < 3; level++) {
        uint64_t size = UINT64_C(1) << (12 + 9 * level);

        map(f, 0, size * 3, level, V | R | A);
        assert_int_equal(translate(f, size - 8, RISCV_LOAD), 0);
        assert_int_equal(f->got.address, size * 4 - 8);
        assert_int_equal(f->got.shift, 12 + 9 * level);
        /* Not aligned to its size. */
        map(f, 0, size * 3 + 0x1000, level, V | R | A);
        assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_PAGE);
    }
}

/* Svnapot */
static void test_napot(void **state)
{
    struct fixture *f = *state;
    const uint64_t n = UINT64_C(1) << 63;

    map(f, 0x7000, 0x98000, 0, V | R | A | n);
    assert_int_equal(translate(f, 0x7123, RISCV_LOAD), 0);
    assert_int_equal(f->got.address, 0x97123);
    assert_int_equal(f->got.shift, 16);
    map(f, 0x7000, 0x94000, 0, V | R | A | n); /* a size that is reserved */
    assert_int_equal(translate(f, 0x7123, RISCV_LOAD), RISCV_EXC_LOAD_PAGE);
    map(f, 0, 0x200000, 1, V | R | A | n); /* not in superpages */
    assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_PAGE);
}

/* Svpbmt: 1 and 2 are memory types, 3 is reserved, and without PBMTE so is any. */
static void test_pbmt(void **state)
{
    struct fixture *f = *state;

    for (unsigned type = 0; type < 4; type++) {
        map(f, 0, DATA, 0, V | R | A | (uint64_t)type << 61);
        f->hart.menvcfg |= ENVCFG_PBMTE;
        assert_int_equal(translate(f, 0, RISCV_LOAD), type == 3 ? RISCV_EXC_LOAD_PAGE : 0);
        f->hart.menvcfg &= ~ENVCFG_PBMTE;
        assert_int_equal(translate(f, 0, RISCV_LOAD), type ? RISCV_EXC_LOAD_PAGE : 0);
    }
}

static void test_reserved(void **state)
{
    struct fixture *f = *state;
    static const uint64_t bad_leaves[] = {
        0, R, V | W, V | W | X, V | R | UINT64_C(1) << 54, V | R | UINT64_C(1) << 60};
    static const uint64_t bad_tables[] = {0, A, D, U, UINT64_C(1) << 63, UINT64_C(1) << 61};

    for (unsigned i = 0; i < ARRAY_SIZE(bad_leaves); i++) {
        map(f, 0, DATA, 0, bad_leaves[i] | A | D);
        assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_PAGE);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bad_tables); i++) {
        map(f, 0, DATA, 0, V | R | A);
        put(f, ROOT, get(f, ROOT) | bad_tables[i]);
        assert_int_equal(translate(f, 0, RISCV_LOAD), i ? RISCV_EXC_LOAD_PAGE : 0);
    }
    /* A pointer where a leaf must be. */
    map(f, 0, DATA, 0, V);
    assert_int_equal(translate(f, 0, RISCV_FETCH), RISCV_EXC_FETCH_PAGE);
}

/* Which of fetch, load and store a leaf allows. */
static unsigned allowed(struct fixture *f, uint64_t bits)
{
    unsigned set = 0;

    map(f, 0, DATA, 0, bits | V | A | D);
    for (unsigned access = RISCV_FETCH; access <= RISCV_STORE; access <<= 1)
        if (!translate(f, 0, access))
            set |= access;
    return set;
}

static void test_permissions(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(allowed(f, R), RISCV_LOAD);
    assert_int_equal(allowed(f, R | W), RISCV_LOAD | RISCV_STORE);
    assert_int_equal(allowed(f, X), RISCV_FETCH);
    assert_int_equal(allowed(f, R | W | X | U), 0);
    f->regime.mxr = true;
    assert_int_equal(allowed(f, X), RISCV_FETCH | RISCV_LOAD);
    f->regime.mxr = false;
    /* SUM opens loads and stores, never fetches. */
    f->regime.sum = true;
    assert_int_equal(allowed(f, R | W | X | U), RISCV_LOAD | RISCV_STORE);
    f->regime.sum = false;
    f->regime.privilege = RISCV_U;
    assert_int_equal(allowed(f, R | W | X | U), RISCV_FETCH | RISCV_LOAD | RISCV_STORE);
    assert_int_equal(allowed(f, R | W | X), 0);
}

static void test_accessed_and_dirty(void **state)
{
    struct fixture *f = *state;

    map(f, 0, DATA, 0, V | R | W);
    f->hart.menvcfg &= ~ENVCFG_ADUE;
    assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_PAGE);
    assert_int_equal(get(f, f->leaf) & (A | D), 0);
    f->hart.menvcfg |= ENVCFG_ADUE;
    assert_int_equal(translate(f, 0, RISCV_LOAD), 0);
    assert_int_equal(get(f, f->leaf) & (A | D), A);
    /* Storing must come back here to set D. */
    assert_false(f->got.access & RISCV_STORE);
    assert_int_equal(translate(f, 0, RISCV_STORE), 0);
    assert_int_equal(get(f, f->leaf) & (A | D), A | D);
    assert_true(f->got.access & RISCV_STORE);
    /* A store that is not allowed leaves no mark. */
    map(f, 0, DATA, 0, V | R);
    assert_int_equal(translate(f, 0, RISCV_STORE), RISCV_EXC_STORE_PAGE);
    assert_int_equal(get(f, f->leaf) & (A | D), 0);
}

static void test_tables_out_of_reach(void **state)
{
    struct fixture *f = *state;

    f->regime.satp = UINT64_C(8) << 60 | 0x12345;
    assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_ACCESS);
    assert_int_equal(translate(f, 0, RISCV_STORE), RISCV_EXC_STORE_ACCESS);
    assert_int_equal(translate(f, 0, RISCV_FETCH), RISCV_EXC_FETCH_ACCESS);
    /* A table in ROM can be walked, and its A bit cannot be set. */
    f->regime.satp = UINT64_C(8) << 60 | ROM_BASE >> 12;
    assert_int_equal(memory_load(f->as, ROM_BASE, &(uint64_t){V | R}, 8), 0);
    assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_ACCESS);
    assert_int_equal(memory_load(f->as, ROM_BASE, &(uint64_t){V | R | A}, 8), 0);
    assert_int_equal(translate(f, 0, RISCV_LOAD), 0);
}

static void test_pmp_guards_tables(void **state)
{
    struct fixture *f = *state;

    map(f, 0, DATA, 0, V | R | W);
    /* The leaf's eight bytes: nothing, then readable only. */
    f->hart.pmpaddr[1] = f->hart.pmpaddr[0];
    f->hart.pmpcfg[1] = f->hart.pmpcfg[0];
    f->hart.pmpaddr[0] = f->leaf >> 2;
    f->hart.pmpcfg[0] = 3 << 3;
    assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_ACCESS);
    f->hart.pmpcfg[0] = 3 << 3 | 1;
    assert_int_equal(translate(f, 0, RISCV_LOAD), RISCV_EXC_LOAD_ACCESS);
    f->hart.pmpcfg[0] = 3 << 3 | 3;
    assert_int_equal(translate(f, 0, RISCV_LOAD), 0);
}

static void test_read_virtual(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 0;

    f->hart.satp = f->regime.satp;
    map(f, 0x1000, DATA + 0x1000, 0, V | R | U);
    map(f, 0x2000, DATA + 0x8000, 0, V | R | U);
    put(f, DATA + 0x1ff8, 0x8877665544332211);
    put(f, DATA + 0x8000, 0x00ffeeddccbbaa99);
    assert_int_equal(riscv_hart_read_virtual(&f->hart, f->as, 0x1ffc, &value, 8), 0);
    assert_int_equal(value, 0xccbbaa9988776655);
    assert_int_equal(get(f, f->leaf) & A, 0);
    assert_true(riscv_hart_read_virtual(&f->hart, f->as, 0x2ffc, &value, 8) < 0);
}

static void set_pmp(struct fixture *f, unsigned i, unsigned config, uint64_t address)
{
    riscv_pmp_set_address(&f->hart, i, address);
    riscv_pmp_set_config(&f->hart, i, config);
}

static bool may_load(struct fixture *f, uint64_t at, uint64_t size)
{
    return riscv_pmp_allows(&f->hart, at, size, RISCV_LOAD, RISCV_S);
}

static void test_pmp_modes(void **state)
{
    struct fixture *f = *state;
    bool mixed;

    enum { PMP_R = 1, PMP_W = 2, TOR = 1 << 3, NA4 = 2 << 3, NAPOT = 3 << 3, LOCK = 1 << 7 };

    riscv_pmp_set_config(&f->hart, 0, 0);
    assert_false(may_load(f, 0x1000, 4)); /* entries exist and none matches */
    assert_true(riscv_pmp_allows(&f->hart, 0x1000, 4, RISCV_LOAD, RISCV_M));
    set_pmp(f, 0, NA4 | PMP_R, 0x1004 >> 2);
    assert_true(may_load(f, 0x1004, 4));
    assert_false(may_load(f, 0x1000, 4));
    assert_false(may_load(f, 0x1004, 8)); /* matched in part */
    set_pmp(f, 1, NAPOT | PMP_R, (0x2000 >> 2) | 0x1ff);
    assert_true(may_load(f, 0x2000, 8));
    assert_true(may_load(f, 0x2ff8, 8));
    assert_false(may_load(f, 0x2ffc, 8));
    assert_false(may_load(f, 0x1ffc, 4));
    set_pmp(f, 2, 0, 0x4000 >> 2);
    set_pmp(f, 3, TOR | PMP_R, 0x5010 >> 2);
    assert_true(may_load(f, 0x4000, 8));
    assert_true(may_load(f, 0x500c, 4));
    assert_false(may_load(f, 0x5010, 4));
    assert_int_equal(riscv_pmp_page(&f->hart, 0x4abc, RISCV_S, &mixed), RISCV_LOAD);
    assert_false(mixed);
    riscv_pmp_page(&f->hart, 0x5000, RISCV_S, &mixed);
    assert_true(mixed);
    /* The lowest entry that matches decides. */
    set_pmp(f, 4, NAPOT | PMP_R | PMP_W, UINT64_MAX);
    assert_false(riscv_pmp_allows(&f->hart, 0x2000, 4, RISCV_STORE, RISCV_S));
    assert_true(riscv_pmp_allows(&f->hart, 0x9000, 4, RISCV_STORE, RISCV_S));
    assert_true(riscv_pmp_allows(&f->hart, 0x2000, 4, RISCV_STORE, RISCV_M));
    /* A locked entry binds M too, and cannot be changed, nor can the bottom of its range. */
    set_pmp(f, 3, TOR | PMP_R | LOCK, 0x5010 >> 2);
    assert_false(riscv_pmp_allows(&f->hart, 0x4000, 4, RISCV_STORE, RISCV_M));
    set_pmp(f, 3, 0, 0);
    riscv_pmp_set_address(&f->hart, 2, 0);
    assert_int_equal(f->hart.pmpaddr[2], 0x4000 >> 2);
    assert_int_equal(f->hart.pmpaddr[3], 0x5010 >> 2);
    assert_int_equal(f->hart.pmpcfg[3], TOR | PMP_R | LOCK);
    /* Writable and not readable is reserved. */
    set_pmp(f, 5, NAPOT | PMP_W, 0);
    assert_int_equal(f->hart.pmpcfg[5] & PMP_W, 0);
}

/* An empty range matches nothing; the top of the address space can be reached. */
static void test_pmp_ends(void **state)
{
    struct fixture *f = *state;

    riscv_pmp_set_config(&f->hart, 0, 0);
    set_pmp(f, 0, 0, 0x2000 >> 2);
    set_pmp(f, 1, 1 << 3 | 1, 0x1000 >> 2); /* TOR, the top below the bottom */
    assert_false(may_load(f, 0x1800, 4));
    assert_false(may_load(f, 0x0800, 4));
    set_pmp(f, 2, 1 << 3 | 1, 0); /* TOR of 0 bytes above entry 1's address */
    assert_false(may_load(f, 0, 4));
    set_pmp(f, 3, 3 << 3 | 1, UINT64_MAX);
    assert_true(may_load(f, (UINT64_C(1) << 56) - 8, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_superpages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_napot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pbmt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_accessed_and_dirty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tables_out_of_reach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pmp_guards_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_virtual, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pmp_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pmp_ends, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
