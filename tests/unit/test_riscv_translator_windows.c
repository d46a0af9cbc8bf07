/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator's windows, and large mappings, under fences: U-mode goes through pages of data
 * that are mapped elsewhere, taken away and protected among others that stay. Whatever is expected
 * is expected of the interpreter, too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_spaces.h"

/* ---- windows ---- */

/* What a page of data is: the frame and the flags of its PTE. */
struct data_page {
    unsigned frame, flags;
};

/* Pages of data, `stride` apart, that a program of U-mode goes through. */
struct walk {
    uint64_t base;
    unsigned count, stride;
    struct data_page *pages;
    bool adue; /* the hart sets A and D itself */
};

enum { FREE = 64, FRAMES = 48, WALK_LOAD = 0x100, WALK_STORE = 0x200 };

/* From s4 on, a1 pages that are s5 apart: the sum of their first words; or the second ones grow. */
static void put_walks(struct spaces *s)
{
    PUT(s->rig, frame(0) + WALK_LOAD, LD(A3, S4, 0), ADD(A0, A0, A3), ADD(S4, S4, S5),
        ADDI(A1, A1, -1), BNEZ(A1, -16), ECALL);
    PUT(s->rig, frame(0) + WALK_STORE, LD(A3, S4, 8), ADDI(A3, A3, 1), SD(A3, S4, 8),
        ADD(S4, S4, S5), ADDI(A1, A1, -1), BNEZ(A1, -20), ECALL);
}

/* The exception that the walk takes at the page, or 0; it sets the flags. */
static unsigned walk_page(const struct walk *walk, unsigned page, bool store)
{
    const unsigned readable = PTE_V | PTE_R | PTE_U;
    unsigned *flags = &walk->pages[page].flags;

    if ((*flags & readable) != readable || (!walk->adue && !(*flags & PTE_A)))
        return RISCV_EXC_LOAD_PAGE;
    *flags |= PTE_A;
    if (!store)
        return 0;
    if (!(*flags & PTE_W) || (!walk->adue && !(*flags & PTE_D)))
        return RISCV_EXC_STORE_PAGE;
    *flags |= PTE_D;
    return 0;
}

/* One walk to its end, going on behind each page that faults. `grown`: what the frames' second
 * words are. */
static void walk_all(struct spaces *s, const struct walk *walk, struct visit visit, bool store,
                     uint64_t *grown)
{
    const char *what = store ? "stores" : "loads";
    unsigned page = 0, first;

    visit.entry = HERE + (store ? WALK_STORE : WALK_LOAD);
    while (page < walk->count) {
        unsigned cause = 0;
        uint64_t sum = 0;

        first = page;
        for (; page < walk->count && !(cause = walk_page(walk, page, store)); page++) {
            sum += rig_get64(s->rig, frame(walk->pages[page].frame));
            grown[walk->pages[page].frame] += store;
        }
        s->hart->x[A0] = 0;
        s->hart->x[A1] = walk->count - first;
        s->hart->x[S4] = walk->base + (uint64_t)first * walk->stride;
        s->hart->x[S5] = walk->stride;
        spaces_visit(s, &visit);
        visit.fence = FENCE_NONE;
        if (cause)
            expect_trap(s, what, cause, visit.entry + (cause == RISCV_EXC_STORE_PAGE ? 8 : 0),
                        walk->base + (uint64_t)page * walk->stride + 8 * store);
        else
            expect_end(s, what, true);
        expect(s, what, "a1", s->hart->x[A1], walk->count - page);
        if (!store)
            expect(s, what, "a0", s->hart->x[A0], sum);
        page++;
    }
}

static void frames_hold(struct spaces *s, const uint64_t *grown, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        expect(s, "a frame", "its second word", rig_get64(s->rig, frame(i) + 8), grown[i]);
}

/* Half of the time the frame stays, and only what may be done with it changes. */
static void data_page_change(struct data_page *page, unsigned *seed)
{
    static const unsigned flags[] = {
        PTE_RWX,
        PTE_RWX,
        PTE_RWX,
        PTE_RWX,
        0,
        PTE_RWX & ~PTE_W,
        PTE_RWX & ~PTE_A,
        PTE_RWX & ~PTE_D,
        PTE_RWX & ~PTE_V,
        PTE_V | PTE_A | PTE_X,
    };

    if (!page->frame || (unsigned)rand_r(seed) % 2)
        page->frame = FREE + (unsigned)rand_r(seed) % FRAMES;
    page->flags = flags[(unsigned)rand_r(seed) % ARRAY_SIZE(flags)];
    if ((unsigned)rand_r(seed) % 16)
        page->flags |= PTE_U;
}

static void adue_off(struct spaces *s)
{
    s->hart->menvcfg &= ~ENVCFG_ADUE;
    s->rig->type->state_in(s->rig->cpu[0]);
}

static void frames_fill(struct spaces *s, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        rig_put64(s->rig, frame(i), UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
}

/* Pages come, go and change among others that stay, each change with a fence that is enough. */
static void windows_are_changed(struct spaces *s, bool adue)
{
    struct data_page pages[40] = {{0}};
    const struct walk walk = {
        .base = LOWER + 0x40000,
        .count = ARRAY_SIZE(pages),
        .stride = PAGE,
        .pages = pages,
        .adue = adue,
    };
    uint64_t grown[FREE + FRAMES] = {0};
    struct visit visit = {.asid = 1, .user = true};
    unsigned seed = 1;

    if (!adue)
        adue_off(s);
    put_walks(s);
    frames_fill(s, FREE, FRAMES);
    map(s, 0, HERE, 0, PTE_U);
    for (unsigned i = 0; i < 200 * test_rounds(); i++) {
        unsigned fence = (unsigned)rand_r(&seed) % ARRAY_SIZE(fences);
        unsigned changes = fences[fence] <= FENCE_PAGE_ASID ? 1 : i ? 1 + i % 4 : 100;

        visit.fence = i ? fences[fence] : FENCE_ALL;
        for (unsigned j = 0; j < changes; j++) {
            unsigned n = (unsigned)rand_r(&seed) % walk.count;
            uint64_t vaddr = walk.base + n * UINT64_C(0x1000);

            data_page_change(&pages[n], &seed);
            spaces_map(s, 0, vaddr, pte(frame(pages[n].frame), pages[n].flags));
            visit.at = vaddr + (unsigned)rand_r(&seed) % 0x1000;
        }
        walk_all(s, &walk, visit, i % 2, grown);
        for (unsigned n = 0; n < walk.count; n++)
            expect(s, "the PTE", "of a page",
                   spaces_pte(s, 0, walk.base + n * UINT64_C(0x1000)) & 0x3ff, pages[n].flags);
    }
    frames_hold(s, grown, FREE, FRAMES);
}

static void test_windows(void **state)
{
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i / 2, true, PTE_G);

        windows_are_changed(s, i % 2);
        spaces_free(s);
    }
}

/* ---- large mappings ---- */

enum { SPLIT_TABLE = 300, SPLIT_STEP = 13, SPLIT_COUNT = 40 };

static void large_whole(struct spaces *s, struct data_page *pages, unsigned which)
{
    for (unsigned i = 0; i < SPLIT_COUNT; i++)
        pages[i] = (struct data_page){LARGE_FRAME * (1 + which) + i * SPLIT_STEP, PTE_RWX | PTE_U};
    spaces_map_large(s, 0, LARGE, pte(frame(LARGE_FRAME * (1 + which)), PTE_RWX | PTE_U));
}

static void split_put(struct spaces *s, unsigned page, struct data_page what)
{
    rig_put64(s->rig, frame(SPLIT_TABLE) + page * UINT64_C(8), pte(frame(what.frame), what.flags));
}

/* What was one mapping is a table now: most of its pages are what they were. */
static void large_split(struct spaces *s, struct data_page *pages, unsigned which, unsigned *seed)
{
    for (unsigned i = 0; i < 512; i++)
        split_put(s, i, (struct data_page){LARGE_FRAME * (1 + which) + i, PTE_RWX | PTE_U});
    for (unsigned i = 0; i < 6; i++) {
        unsigned n = (unsigned)rand_r(seed) % SPLIT_COUNT;

        data_page_change(&pages[n], seed);
        split_put(s, n * SPLIT_STEP, pages[n]);
    }
    spaces_map_large(s, 0, LARGE, pte(frame(SPLIT_TABLE), PTE_V));
}

static void large_is_changed(struct spaces *s)
{
    struct data_page pages[SPLIT_COUNT];
    const struct walk walk = {
        .base = LARGE,
        .count = SPLIT_COUNT,
        .stride = SPLIT_STEP * PAGE,
        .pages = pages,
        .adue = true,
    };
    static uint64_t grown[4 * LARGE_FRAME];
    struct visit visit = {.asid = 1, .user = true};
    unsigned seed = 1, which = 0;

    memset(grown, 0, sizeof(grown));
    put_walks(s);
    frames_fill(s, FREE, FRAMES);
    frames_fill(s, LARGE_FRAME, 2 * LARGE_FRAME);
    map(s, 0, HERE, 0, PTE_U);
    for (unsigned i = 0; i < 40 * test_rounds(); i++) {
        /* From a table to one mapping: a fence of all addresses. */
        large_whole(s, pages, which);
        visit.fence = i % 2 ? FENCE_ASID : FENCE_ALL;
        walk_all(s, &walk, visit, i % 2, grown);
        /* To another one, and to a table: any address will do. */
        which = !which;
        large_whole(s, pages, which);
        visit.fence = fences[i % 4];
        visit.at = LARGE + (unsigned)rand_r(&seed) % 0x200000;
        walk_all(s, &walk, visit, i / 2 % 2, grown);
        large_split(s, pages, which, &seed);
        visit.fence = fences[i / 2 % 4];
        visit.at = LARGE + (unsigned)rand_r(&seed) % 0x200000;
        walk_all(s, &walk, visit, i / 3 % 2, grown);
        /* One of its pages. */
        for (unsigned j = 0; j < 4; j++) {
            unsigned n = (unsigned)rand_r(&seed) % SPLIT_COUNT;

            data_page_change(&pages[n], &seed);
            split_put(s, n * SPLIT_STEP, pages[n]);
            visit.fence = fences[(i + j) % 4];
            visit.at = LARGE + (uint64_t)n * SPLIT_STEP * PAGE;
            walk_all(s, &walk, visit, j % 2, grown);
        }
    }
    frames_hold(s, grown, FREE, FRAMES);
    frames_hold(s, grown, LARGE_FRAME, 2 * LARGE_FRAME);
}

static void test_large_mappings(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i, true, PTE_G);

        large_is_changed(s);
        spaces_free(s);
    }
}

/* ---- pages that have the same place in a TLB ---- */

enum { TWIN_TABLE = 301, TWINS = 3, TWIN_FAR = 4 };

/* Number `i` of those that are 8 MiB apart, which is as far as a TLB reaches; the first is in
 * LOWER. */
static uint64_t twin(unsigned i, unsigned n)
{
    return LOWER + 0x40000 + n * UINT64_C(0x1000) + i * UINT64_C(0x800000);
}

static void twin_map(struct spaces *s, unsigned i, unsigned n, struct data_page page)
{
    uint64_t value = pte(frame(page.frame), page.flags);

    if (i)
        rig_put64(s->rig, frame(TWIN_TABLE + i) + (twin(i, n) >> 12 & 511) * 8, value);
    else
        spaces_map(s, 0, twin(0, n), value);
}

/* They are read and written in turn, each page of one with the same page of the others, while PTEs
 * change, each with a fence that is enough. */
static void twins_are_changed(struct spaces *s)
{
    struct data_page pages[TWIN_FAR][TWINS];
    struct walk walk = {.count = TWINS, .stride = 0x800000, .adue = true};
    uint64_t grown[FREE + FRAMES] = {0};
    struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL};
    unsigned seed = 1;

    put_walks(s);
    frames_fill(s, FREE, FRAMES);
    map(s, 0, HERE, 0, PTE_U);
    for (unsigned i = 1; i < TWINS; i++)
        spaces_map_large(s, 0, twin(i, 0), pte(frame(TWIN_TABLE + i), PTE_V));
    for (unsigned n = 0; n < TWIN_FAR; n++)
        for (unsigned i = 0; i < TWINS; i++) {
            pages[n][i] = (struct data_page){FREE + n * TWINS + i, PTE_RWX | PTE_U};
            twin_map(s, i, n, pages[n][i]);
        }
    for (unsigned round = 0; round < 300 * test_rounds(); round++) {
        unsigned n = (unsigned)rand_r(&seed) % TWIN_FAR, i = (unsigned)rand_r(&seed) % TWINS;

        if (round % 3 == 2) {
            data_page_change(&pages[n][i], &seed);
            twin_map(s, i, n, pages[n][i]);
            visit.at = twin(i, n);
            visit.fence = fences[(unsigned)rand_r(&seed) % ARRAY_SIZE(fences)];
        }
        walk.base = twin(0, n);
        walk.pages = pages[n];
        walk_all(s, &walk, visit, (unsigned)rand_r(&seed) % 2, grown);
        walk_all(s, &walk, (struct visit){.asid = 1, .user = true}, false, grown);
        visit.fence = FENCE_NONE;
    }
    frames_hold(s, grown, FREE, FRAMES);
}

static void test_pages_of_one_place(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct spaces *s = spaces_of(i, true, PTE_G);

        twins_are_changed(s);
        spaces_free(s);
    }
}

/* Two such pages are one walk through the tables each, however often they are used in turn. */
static void test_pages_of_one_place_are_kept(void **state)
{
    struct data_page pages[2] = {{FREE, PTE_RWX | PTE_U}, {FREE + 1, PTE_RWX | PTE_U}};
    struct walk walk = {
        .base = twin(0, 0), .count = 2, .stride = 0x800000, .pages = pages, .adue = true};
    struct spaces *s = spaces_new(&riscv_translator, "heat=0,windows=0", true, PTE_G);
    uint64_t grown[FREE + FRAMES] = {0};
    struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL};

    put_walks(s);
    frames_fill(s, FREE, 4);
    map(s, 0, HERE, 0, PTE_U);
    spaces_map_large(s, 0, twin(1, 0), pte(frame(TWIN_TABLE + 1), PTE_V));
    for (unsigned i = 0; i < 2; i++)
        twin_map(s, i, 0, pages[i]);
    walk_all(s, &walk, visit, true, grown);
    visit.fence = FENCE_NONE;
    /* The tables say otherwise now, but no fence does. */
    for (unsigned i = 0; i < 2; i++)
        twin_map(s, i, 0, (struct data_page){FREE + 2 + i, PTE_RWX | PTE_U});
    for (unsigned round = 0; round < 10; round++)
        walk_all(s, &walk, visit, round % 2, grown);
    frames_hold(s, grown, FREE, 2);
    spaces_free(s);
}

/* ---- a window that is closed while its code waits for a helper ---- */

#define NEAR UINT64_C(0x10000000)
#define FAR  (WINDOW_SIZE + 2 * WINDOW_GUARD) /* beyond any window, and what lies around it */

enum { SENTINEL = 0x5e };

/* Of NEAR: closes the window that there may be, as can happen to pages that become code. */
static uint64_t near_read(void *ctx, uint64_t offset, unsigned width)
{
    struct rig *rig = ctx;

    if (rig->cpu[0]->data->window)
        native_window_close(rig->cpu[0], rig->cpu[0]->data);
    return 1;
}

static uint64_t far_read(void *ctx, uint64_t offset, unsigned width)
{
    return offset == 8 ? 7 : 1;
}

static void no_write(void *ctx, uint64_t offset, unsigned width, uint64_t value) {}

static const struct io_ops near_ops = {.widths = 8, .read = near_read, .write = no_write};
static const struct io_ops far_ops = {.widths = 8, .read = far_read, .write = no_write};

/* Memory of the host where code that took FAR for an address in the window would look; what is
 * there already does as well. */
static void *put_sentinel(struct rig *rig)
{
    const uint8_t *base = rig->cpu[0]->native->windows[0].base;
    void *got = mmap((void *)((uintptr_t)base + FAR), 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (got != MAP_FAILED)
        memset(got, SENTINEL, 4096);
    return got;
}

static void test_window_is_closed_in_a_helper(void **state)
{
    struct rig *rig = rig_new(&riscv_translator, "heat=0,windows=2", 1, 8 << 20);
    void *sentinel = MAP_FAILED;

    assert_int_equal(memory_add_io(rig->as, "near", NEAR, 0x1000, &near_ops, rig, NULL), 0);
    assert_int_equal(memory_add_io(rig->as, "far", FAR, 0x1000, &far_ops, NULL, NULL), 0);
    PUT(rig, 0x1000, LD(A3, A5, 0), LD(A0, A1, 0), LD(A2, A1, 8), SD(A2, A1, 16), ECALL);
    rig_user(rig, 0);
    for (unsigned round = 0; round < 3; round++) {
        rig->hart[0].pc = RAM_BASE + 0x1000;
        rig->hart[0].x[A1] = round ? FAR : NEAR + 0x100; /* first to have the code made */
        rig->hart[0].x[A5] = NEAR;
        rig->type->state_in(rig->cpu[0]);
        assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
        assert_int_equal(rig->hart[0].mcause, RISCV_EXC_ECALL_U);
        if (!round) {
            sentinel = put_sentinel(rig);
            continue;
        }
        assert_int_equal(rig->hart[0].x[A0], 1);
        assert_int_equal(rig->hart[0].x[A2], 7);
        if (sentinel != MAP_FAILED)
            assert_int_equal(((uint8_t *)sentinel)[16], SENTINEL);
    }
    if (sentinel != MAP_FAILED)
        munmap(sentinel, 4096);
    rig_free(rig);
}

/* ---- far from the page that is executed ---- */

/* Loads and stores so far from a page at 0 that they would lie beside the window, where its context
 * is: they are page faults, and change nothing. */
static void test_far_from_the_page(void **state)
{
    /* In units of 4 KiB: 2 GiB below and as much above, and about half of that. */
    static const unsigned distances[] = {0x80000, 0x80001, 0x80020, 0xbffff,
                                         0xc0000, 0xc0001, 0x7ffff};
    static const unsigned offsets[] = {0, 8, 0x48, 0x7f8};

    for (unsigned p = 0; p < ARRAY_SIZE(permutations); p++) {
        struct spaces *s = spaces_of(p, true, PTE_G);
        struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL};
        unsigned at = 0;

        map(s, 0, 0, 0, PTE_U);
        for (unsigned i = 0; i < ARRAY_SIZE(distances) * ARRAY_SIZE(offsets) * 2; i++, at += 12) {
            unsigned distance = distances[i / 2 / ARRAY_SIZE(offsets)];
            unsigned offset = offsets[i / 2 % ARRAY_SIZE(offsets)];
            bool store = i & 1;
            uint64_t address = at + (uint64_t)(int64_t)(int32_t)(distance << 12) + offset;

            PUT(s->rig, frame(0) + at, AUIPC(A1, distance),
                store ? SD(A1, A1, offset) : LD(A0, A1, offset), ECALL);
            visit.entry = at;
            for (unsigned round = 0; round < 3; round++) {
                s->hart->x[SP] = LOWER;
                spaces_visit(s, &visit);
                expect_trap(s, store ? "a far store" : "a far load",
                            store ? RISCV_EXC_STORE_PAGE : RISCV_EXC_LOAD_PAGE, at + 4, address);
                visit.fence = FENCE_NONE;
            }
            visit.fence = FENCE_CODE;
        }
        spaces_free(s);
    }
}

/* And to pages that are there, and of the page itself. */
static void test_near_the_page(void **state)
{
    static const int distances[] = {-128, -1, 0, 1, 127, 383};

    for (unsigned p = 0; p < ARRAY_SIZE(permutations); p++) {
        struct spaces *s = spaces_of(p, true, PTE_G);
        struct visit visit = {.asid = 1, .user = true, .fence = FENCE_ALL};

        map(s, 0, HERE, 0, PTE_U);
        for (unsigned i = 0; i < ARRAY_SIZE(distances); i++) {
            unsigned at = i * 0x40, distance = (unsigned)distances[i] & 0xfffff;
            unsigned data = distances[i] ? FREE + i : 0;

            if (data)
                map(s, 0, HERE + (uint64_t)(int64_t)distances[i] * PAGE, data, PTE_U);
            PUT(s->rig, frame(0) + at, AUIPC(A1, distance), LD(A0, A1, 0x400), AUIPC(A1, distance),
                ADDI(A1, A1, 0x7f0), SD(A0, A1, 8), LD(A2, A1, 8), ECALL);
            visit.entry = HERE + at;
            for (unsigned round = 1; round < 6; round++) {
                rig_put64(s->rig, frame(data) + at + 0x400, 7 * i + round);
                s->hart->x[SP] = LOWER;
                spaces_visit(s, &visit);
                expect_end(s, "a near load and store", true);
                expect(s, "a near load", "a0", s->hart->x[A0], 7 * i + round);
                expect(s, "a near store", "a2", s->hart->x[A2], 7 * i + round);
                expect(s, "a near store", "what is there",
                       rig_get64(s->rig, frame(data) + at + 0x800), 7 * i + round);
                visit.fence = FENCE_NONE;
            }
            visit.fence = FENCE_CODE;
        }
        spaces_free(s);
    }
}

/* ---- who has one ---- */

enum { OWNER = 100, WALKED = 120, NO_WALK = 0x40 };

/* What the CPU knows of programs of the address space. */
static struct tlb *user_tlb(struct spaces *s, unsigned asid)
{
    struct engine_cpu *cpu = s->rig->cpu[0];

    for (unsigned i = 0; i < TLB_COUNT; i++)
        if (cpu->tlbs[i].valid && cpu->tlbs[i].regime.privilege == RISCV_U &&
            (cpu->tlbs[i].regime.satp >> 44 & 0xffff) == asid)
            return &cpu->tlbs[i];
    return NULL;
}

/* A program that has walked over pages of data, each of its own. */
static struct spaces *owner_of_window(const char *options, struct walk *walk, uint64_t *grown)
{
    struct spaces *s = spaces_new(&riscv_translator, options, true, PTE_G);
    struct visit visit = {.asid = OWNER, .user = true, .fence = FENCE_ALL};

    walk->base = LOWER;
    walk->stride = PAGE;
    walk->adue = true;
    put_walks(s);
    PUT(s->rig, frame(0) + NO_WALK, ECALL);
    map(s, 0, HERE, 0, PTE_U);
    for (unsigned i = 0; i < walk->count; i++) {
        walk->pages[i] = (struct data_page){FREE + i, PTE_RWX | PTE_U};
        map(s, 0, LOWER + i * UINT64_C(0x1000), FREE + i, PTE_U);
    }
    walk_all(s, walk, visit, false, grown);
    return s;
}

/* Found in it at `pc`, with its stack at `sp`. */
static void tick_at(struct spaces *s, struct tlb *tlb, unsigned count, uint64_t pc, uint64_t sp)
{
    struct engine_cpu *cpu = s->rig->cpu[0];
    struct tlb *data = cpu->data;

    cpu->hart->pc = pc;
    cpu->hart->x[SP] = sp;
    cpu->data = tlb;
    while (count--)
        native_tick(cpu);
    cpu->data = data;
}

static void tick(struct spaces *s, struct tlb *tlb, unsigned count)
{
    tick_at(s, tlb, count, HERE, LOWER);
}

/* Programs that run for a moment do not take it from one that runs all the time. */
static void test_window_outlives_short_programs(void **state)
{
    struct data_page pages[40];
    struct walk walk = {.count = ARRAY_SIZE(pages), .pages = pages};
    uint64_t grown[FREE + WALKED] = {0};
    struct spaces *s = owner_of_window("heat=0,windows=2", &walk, grown);
    struct tlb *tlb = user_tlb(s, OWNER);
    struct visit visit = {.user = true};
    uint64_t fills = s->rig->cpu[0]->counters.window_fills;

    assert_non_null(tlb);
    assert_non_null(tlb->window);
    for (unsigned i = 0; i < 3 * TLB_COUNT; i++) {
        visit.asid = i + 1;
        visit.entry = HERE + NO_WALK;
        spaces_visit(s, &visit);
        visit.asid = OWNER;
        walk_all(s, &walk, visit, false, grown);
        assert_ptr_equal(user_tlb(s, OWNER), tlb);
        assert_non_null(tlb->window);
    }
    assert_int_equal(s->rig->cpu[0]->counters.window_fills, fills);
    spaces_free(s);
}

/* Every second page goes, more than are noted one by one without a gap: the others stay. */
static void test_window_keeps_what_a_fence_leaves(void **state)
{
    struct data_page pages[WALKED];
    struct walk walk = {.count = WALKED, .pages = pages};
    uint64_t grown[FREE + WALKED] = {0};
    struct spaces *s = owner_of_window("heat=0,windows=2", &walk, grown);
    struct visit visit = {.asid = OWNER,
                          .user = true,
                          .fence = FENCE_ASID,
                          .entry = HERE + NO_WALK};
    struct tlb *tlb = user_tlb(s, OWNER);

    assert_true(window_has(tlb->window, LOWER >> 12));
    for (unsigned i = 1; i < walk.count; i += 2)
        spaces_map(s, 0, LOWER + i * UINT64_C(0x1000), 0);
    spaces_visit(s, &visit);
    assert_non_null(tlb->window);
    for (unsigned i = 0; i < walk.count; i++)
        assert_int_equal(window_has(tlb->window, (LOWER >> 12) + i), !(i % 2));
    for (unsigned i = 1; i < walk.count; i += 2)
        pages[i].flags = 0;
    visit.fence = FENCE_NONE;
    walk_all(s, &walk, visit, false, grown);
    /* All of it. */
    for (unsigned i = 0; i < walk.count; i++) {
        spaces_map(s, 0, LOWER + i * UINT64_C(0x1000), 0);
        pages[i].flags = 0;
    }
    visit.fence = FENCE_ASID;
    visit.entry = HERE + NO_WALK;
    spaces_visit(s, &visit);
    assert_true(!tlb->window || !window_has(tlb->window, LOWER >> 12));
    visit.fence = FENCE_NONE;
    walk_all(s, &walk, visit, false, grown);
    spaces_free(s);
}

/* A program that it costs too much loses it, and gets it again: later each time. */
static void test_window_comes_back(void **state)
{
    struct data_page pages[40];
    struct walk walk = {.count = ARRAY_SIZE(pages), .pages = pages};
    uint64_t grown[FREE + WALKED] = {0};
    struct spaces *s = owner_of_window("heat=0", &walk, grown);
    struct tlb *tlb = user_tlb(s, OWNER);
    unsigned waited = 0;

    assert_non_null(tlb);
    for (unsigned round = 0; round < 8; round++) {
        unsigned ticks = 0;

        while (!tlb->window && ticks < 1000) {
            tick(s, tlb, 1);
            ticks++;
        }
        assert_non_null(tlb->window);
        assert_true(round < 5 ? ticks > waited : ticks >= waited);
        waited = ticks;
        /* A moment of it is borne. */
        for (unsigned i = 0; i < 5; i++) {
            tlb->window_cost = 100000;
            tick(s, tlb, 1);
        }
        assert_non_null(tlb->window);
        for (unsigned i = 0; i < 10; i++) {
            tlb->window_cost = 100000;
            tick(s, tlb, 1);
        }
        assert_null(tlb->window);
    }
    assert_in_range(waited, 200, 300);
    spaces_free(s);
}

/* A program that a window has no room for, as Sv48's may be, is better off without. */
static void test_window_is_for_programs_in_it(void **state)
{
    struct data_page pages[40];
    struct walk walk = {.count = ARRAY_SIZE(pages), .pages = pages};
    uint64_t grown[FREE + WALKED] = {0};
    struct spaces *s = owner_of_window("heat=0", &walk, grown);
    struct tlb *tlb = user_tlb(s, OWNER);

    assert_non_null(tlb);
    tick_at(s, tlb, 1000, WINDOW_SIZE, LOWER);
    assert_null(tlb->window);
    tick_at(s, tlb, 1000, HERE, WINDOW_SIZE);
    assert_null(tlb->window);
    tick_at(s, tlb, 1000, WINDOW_SIZE - 4, WINDOW_SIZE - 16);
    assert_non_null(tlb->window);
    spaces_free(s);
}

/* ---- what CPUs know of address spaces, in the host's memory ---- */

static uint64_t lookups(const struct spaces *s)
{
    struct engine_footprint footprint;

    s->rig->type->footprint(s->rig->cpu[0], &footprint);
    return footprint.lookups;
}

static uint64_t resident(const struct spaces *s)
{
    static unsigned char pages[TLB_COUNT * sizeof(struct tlb) / PAGE];
    uint64_t count = 0;

    assert_int_equal(mincore(s->rig->cpu[0]->tlbs, sizeof(pages) * PAGE, pages), 0);
    for (unsigned i = 0; i < sizeof(pages); i++)
        count += pages[i] & 1;
    return count * PAGE;
}

static void test_what_is_known_is_given_back(void **state)
{
    enum { LOOKED_AT = 2 * TLB_COUNT * PAGE }; /* of those that are not in use */
    struct spaces *s = spaces_new(&riscv_translator, "heat=0,windows=2", true, PTE_G);

    assert_int_equal(lookups(s), 0);
    assert_in_range(resident(s), 0, LOOKED_AT);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 10; i++) {
            struct visit visit = {.space = i, .asid = i, .user = true, .entry = HERE};

            PUT(s->rig, frame(0), ECALL);
            map(s, i, HERE, 0, PTE_U);
            s->hart->x[SP] = LOWER;
            spaces_visit(s, &visit);
            expect_end(s, "a short program", true);
        }
        assert_in_range(resident(s), 10 * (sizeof(struct tlb) / 2), lookups(s) + LOOKED_AT);
        assert_true(lookups(s) <= TLB_COUNT * sizeof(struct tlb));
        tlb_trim(s->rig->cpu[0]);
        assert_true(lookups(s) <= 2 * sizeof(struct tlb));
        assert_in_range(resident(s), 1, lookups(s) + LOOKED_AT);
    }
    spaces_free(s);
}

/* Whether a process that is made of this one has the page, too. */
static bool child_has(const void *page)
{
    unsigned char there;
    int status = -1;
    pid_t child = fork();

    if (!child)
        _exit(mincore((void *)(uintptr_t)page, PAGE, &there) < 0 && errno == ENOMEM ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

/* What is shared memory so that it can be mapped twice is shared with nobody. */
static void test_nothing_is_shared_with_a_child(void **state)
{
    struct spaces *s = spaces_new(&riscv_translator, "heat=0,windows=2", true, PTE_G);
    struct visit visit = {.user = true, .entry = HERE};
    const struct engine_cpu *cpu = s->rig->cpu[0];
    const struct code_memory *code = &cpu->engine->native->translator.memory;

    PUT(s->rig, frame(0), ECALL);
    map(s, 0, HERE, 0, PTE_U);
    s->hart->x[SP] = LOWER;
    spaces_visit(s, &visit);
    assert_non_null(cpu->native->windows[0].base);
    assert_true(child_has(
        (const void *)((uintptr_t)s->hart & ~(uintptr_t)(PAGE - 1)))); /* as all else is */
    assert_false(child_has(cpu->tlbs));
    assert_false(child_has(cpu->native->windows[0].base - WINDOW_CONTEXT));
    assert_false(child_has(code->write));
    assert_false(child_has(code->run));
    spaces_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_large_mappings),
        cmocka_unit_test(test_pages_of_one_place),
        cmocka_unit_test(test_pages_of_one_place_are_kept),
        cmocka_unit_test(test_window_is_closed_in_a_helper),
        cmocka_unit_test(test_far_from_the_page),
        cmocka_unit_test(test_near_the_page),
        cmocka_unit_test(test_window_outlives_short_programs),
        cmocka_unit_test(test_window_keeps_what_a_fence_leaves),
        cmocka_unit_test(test_window_comes_back),
        cmocka_unit_test(test_window_is_for_programs_in_it),
        cmocka_unit_test(test_what_is_known_is_given_back),
        cmocka_unit_test(test_nothing_is_shared_with_a_child),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
