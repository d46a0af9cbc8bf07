/* SPDX-License-Identifier: Apache-2.0 */
/* RAM that comes and goes in blocks: what is there, to whom, and what the host holds of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "device_fixture.h"
#include "memory/memory.h"

#define BASE  0x80000000ull
#define BLOCK RAM_BLOCK_SIZE
#define FIXED (2 * BLOCK)
#define SIZE  (6 * BLOCK)
#define AT(n) (BASE + FIXED + (n)*BLOCK)

struct fixture {
    struct address_space *as;
    struct ram *ram;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (address_space_new(&f->as) ||
        memory_add_pluggable_ram(f->as, "ram", BASE, FIXED, SIZE, NULL) ||
        memory_add_ram(f->as, "next", BASE + SIZE, PAGE_SIZE, true, NULL))
        return -1;
    f->ram = memory_find(f->as, BASE)->ram;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    address_space_free(f->as);
    free(f);
    return 0;
}

static void added(void **state)
{
    struct fixture *f = *state;

    assert_ptr_equal(memory_main_ram(f->as), f->ram);
    assert_int_equal(memory_resident(f->as), 0);
    assert_int_equal(memory_add_pluggable_ram(f->as, "a", 1ull << 40, 0, BLOCK, NULL), -EINVAL);
    assert_int_equal(memory_add_pluggable_ram(f->as, "a", 1ull << 40, BLOCK, BLOCK, NULL), -EINVAL);
    assert_int_equal(memory_add_pluggable_ram(f->as, "a", 1ull << 40, PAGE_SIZE, BLOCK, NULL),
                     -EINVAL);
    assert_int_equal(memory_add_pluggable_ram(f->as, "a", 1ull << 40, BLOCK, BLOCK + PAGE_SIZE,
                                              NULL),
                     -EINVAL);
    assert_int_equal(memory_add_pluggable_ram(f->as, "a", (1ull << 40) + PAGE_SIZE, BLOCK,
                                              2 * BLOCK, NULL),
                     -EINVAL);
    assert_int_equal(memory_add_pluggable_ram(f->as, "a", AT(1), BLOCK, 2 * BLOCK, NULL), -EEXIST);
}

/* Every way to the bytes, for a piece of 16 that is there or not. */
static void assert_there(struct fixture *f, gpa addr, bool there)
{
    int wanted = there ? 0 : -EFAULT;
    uint8_t bytes[16] = {0};
    struct span span;

    assert_int_equal(memory_is_ram(f->as, addr) && memory_is_ram(f->as, addr + 15), there);
    assert_int_equal(memory_read(f->as, addr, bytes, 16), wanted);
    assert_int_equal(memory_write(f->as, addr, bytes, 16), wanted);
    assert_int_equal(memory_load(f->as, addr, bytes, 16), wanted);
    assert_int_equal(memory_discard(f->as, addr, 16), wanted);
    for (unsigned write = 0; write < 2; write++) {
        int r = memory_pin(f->as, addr, 16, write, &span);

        /* Each range apart. */
        if (addr < BASE + SIZE && addr + 16 > BASE + SIZE)
            assert_int_equal(r, -EFAULT);
        else
            assert_int_equal(r, wanted);
        if (!r)
            memory_unpin(f->as, &span);
    }
}

static void only_what_is_plugged_is_there(void **state)
{
    struct fixture *f = *state;

    assert_there(f, BASE, true);
    assert_there(f, AT(0) - 16, true);
    assert_there(f, AT(0) - 8, false);
    for (unsigned i = 0; i < 4; i++)
        assert_there(f, AT(i), false);
    assert_there(f, BASE + SIZE - 8, false);
    assert_there(f, BASE + SIZE, true);
    assert_int_equal(memory_resident(f->as), 3 * PAGE_SIZE);
    assert_int_equal(memory_plug(f->as, AT(1), 2 * BLOCK), 0);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), 2 * BLOCK);
    assert_int_equal(memory_plugged(f->as, AT(2), 2 * BLOCK), BLOCK);
    assert_there(f, AT(1) - 1, false);
    assert_there(f, AT(1), true);
    assert_there(f, AT(2) - 8, true);
    assert_there(f, AT(3) - 16, true);
    assert_there(f, AT(3) - 15, false);
    assert_int_equal(memory_plug(f->as, AT(3), BLOCK), 0);
    assert_there(f, AT(3) - 8, true);
    assert_there(f, BASE + SIZE - 8, true);
    assert_int_equal(memory_unplug(f->as, AT(2), BLOCK), 0);
    assert_there(f, AT(2) - 8, false);
    assert_there(f, AT(2), false);
    assert_there(f, AT(3), true);
}

static void what_makes_no_sense(void **state)
{
    struct fixture *f = *state;
    const struct {
        gpa addr;
        uint64_t len;
    } cases[] = {
        {AT(0), 0},         {AT(0) + PAGE_SIZE, BLOCK},
        {AT(0), BLOCK + 1}, {AT(0) - BLOCK, BLOCK},
        {AT(3), 2 * BLOCK}, {BASE + SIZE, BLOCK},
        {0, BLOCK},         {AT(0), UINT64_MAX - BLOCK + 1},
        {AT(1), -BLOCK},    {UINT64_MAX - BLOCK + 1, BLOCK},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(memory_plug(f->as, cases[i].addr, cases[i].len), -EINVAL);
        assert_int_equal(memory_unplug(f->as, cases[i].addr, cases[i].len), -EINVAL);
        assert_int_equal(memory_plugged(f->as, cases[i].addr, cases[i].len), 0);
    }
    assert_int_equal(memory_plug(f->as, AT(1), BLOCK), 0);
    assert_int_equal(memory_plug(f->as, AT(0), 2 * BLOCK), -EEXIST);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), BLOCK);
    assert_int_equal(memory_unplug(f->as, AT(1), 2 * BLOCK), -ENOENT);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), BLOCK);
    assert_int_equal(memory_reclaim(f->as, AT(0) - BLOCK, BLOCK), -EINVAL);
    assert_int_equal(memory_reclaim(f->as, AT(0), 5 * BLOCK), -EINVAL);
}

/* What is unplugged goes to the host, reads as zeroes when it comes back, and counts as written. */
static void given_back(void **state)
{
    struct fixture *f = *state;
    uint64_t page = (FIXED + BLOCK) / PAGE_SIZE;
    uint32_t generation;
    uint8_t byte = 1;

    assert_int_equal(memory_plug(f->as, AT(0), 3 * BLOCK), 0);
    memset(f->ram->host + FIXED, 0x5a, 3 * BLOCK);
    assert_int_equal(memory_resident(f->as), 3 * BLOCK);
    generation = memory_mark_code(f->as, f->ram, page);
    assert_int_equal(memory_unplug(f->as, AT(1), BLOCK), 0);
    assert_int_equal(memory_reclaim(f->as, AT(1), PAGE_SIZE), 0);
    assert_int_equal(memory_resident(f->as), 3 * BLOCK - PAGE_SIZE);
    assert_int_equal(memory_reclaim(f->as, AT(1), BLOCK), 0);
    assert_int_equal(memory_resident(f->as), 2 * BLOCK);
    assert_int_not_equal(atomic_load(&f->ram->code_gen[page]), generation);
    assert_int_equal(memory_plug(f->as, AT(1), BLOCK), 0);
    for (uint64_t at = 0; at < BLOCK; at += PAGE_SIZE) {
        assert_int_equal(memory_read(f->as, AT(1) + at, &byte, 1), 0);
        assert_int_equal(byte, 0);
    }
    assert_int_equal(memory_read(f->as, AT(2), &byte, 1), 0);
    assert_int_equal(byte, 0x5a);
}

/* Who has a part of a block keeps all of them. */
static void what_is_held_stays(void **state)
{
    struct fixture *f = *state;
    struct span span, other;

    assert_int_equal(memory_plug(f->as, AT(0), 4 * BLOCK), 0);
    assert_int_equal(memory_pin(f->as, AT(2) - 1, 2, true, &span), 0);
    assert_int_equal(memory_pin(f->as, AT(2), 1, false, &other), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(memory_unplug(f->as, AT(i), BLOCK), i == 1 || i == 2 ? -EBUSY : 0);
        if (i == 0 || i == 3)
            assert_int_equal(memory_plug(f->as, AT(i), BLOCK), 0);
    }
    assert_int_equal(memory_unplug(f->as, AT(0), 4 * BLOCK), -EBUSY);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), 4 * BLOCK);
    memory_unpin(f->as, &span);
    assert_int_equal(memory_unplug(f->as, AT(0), 2 * BLOCK), 0);
    assert_int_equal(memory_unplug(f->as, AT(2), BLOCK), -EBUSY);
    memory_unpin(f->as, &other);
    assert_int_equal(memory_unplug(f->as, AT(2), 2 * BLOCK), 0);
    /* Of blocks of which some are not there: all that are, or none. */
    assert_int_equal(memory_plug(f->as, AT(0), BLOCK), 0);
    assert_int_equal(memory_plug(f->as, AT(3), BLOCK), 0);
    assert_int_equal(memory_pin(f->as, AT(3), BLOCK, false, &span), 0);
    assert_int_equal(memory_unplug_any(f->as, AT(0), 4 * BLOCK), -EBUSY);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), 2 * BLOCK);
    memory_unpin(f->as, &span);
    assert_int_equal(memory_unplug_any(f->as, AT(0), 4 * BLOCK), 0);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), 0);
    assert_int_equal(memory_unplug_any(f->as, AT(0), 4 * BLOCK), 0);
    assert_int_equal(memory_unplug_any(f->as, AT(0), PAGE_SIZE), -EINVAL);
    /* A hold that fails leaves none behind. */
    assert_int_equal(memory_plug(f->as, AT(1), BLOCK), 0);
    assert_false(ram_hold(f->ram, FIXED + BLOCK - 8, BLOCK));
    assert_true(ram_hold(f->ram, FIXED - 8, 4));
    assert_int_equal(memory_unplug(f->as, AT(1), BLOCK), 0);
    ram_let_go(f->ram, FIXED - 8, 4);
}

static void cleared(void **state)
{
    struct fixture *f = *state;
    uint64_t page = FIXED / PAGE_SIZE;
    uint32_t generation;

    assert_int_equal(memory_plug(f->as, AT(0), BLOCK), 0);
    memset(f->ram->host, 1, FIXED + BLOCK);
    generation = memory_mark_code(f->as, f->ram, page);
    memory_clear(f->as);
    assert_int_equal(memory_resident(f->as), 0);
    assert_int_not_equal(atomic_load(&f->ram->code_gen[page]), generation);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), BLOCK);
    generation = memory_mark_code(f->as, f->ram, page);
    ram_unplug_all(f->ram);
    assert_int_equal(memory_plugged(f->as, AT(0), 4 * BLOCK), 0);
    assert_int_not_equal(atomic_load(&f->ram->code_gen[page]), generation);
}

/* ---- two threads ---- */

enum { ROUNDS = 20000 };

struct race {
    struct fixture *f;
    _Atomic bool stop;
    _Atomic bool gone; /* the block is unplugged, and nobody may have it */
    _Atomic unsigned held;
};

static void *holds(void *arg)
{
    struct race *race = arg;
    struct span span;

    while (!atomic_load(&race->stop)) {
        if (memory_pin(race->f->as, AT(0) + 64, 64, true, &span))
            continue;
        assert_false(atomic_load(&race->gone));
        memory_unpin(race->f->as, &span);
        atomic_fetch_add(&race->held, 1);
    }
    return NULL;
}

/* Whoever pins and whoever unplugs: one of them has it. */
static void held_or_unplugged(void **state)
{
    struct race race = {.f = *state};
    unsigned unplugged = 0, busy = 0;
    pthread_t thread;

    assert_int_equal(memory_plug(race.f->as, AT(0), BLOCK), 0);
    assert_int_equal(thread_start(&thread, "holds", holds, &race), 0);
    while (unplugged < ROUNDS || !atomic_load(&race.held)) {
        if (memory_unplug(race.f->as, AT(0), BLOCK)) {
            busy++;
            continue;
        }
        atomic_store(&race.gone, true);
        unplugged++;
        atomic_store(&race.gone, false);
        assert_int_equal(memory_plug(race.f->as, AT(0), BLOCK), 0);
    }
    atomic_store(&race.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(memory_unplug(race.f->as, AT(0), BLOCK), 0);
    assert_true(busy || atomic_load(&race.held));
}

/* ---- who holds a block for a moment only ---- */

/* The clock stands while somebody is to be waited for as long as that takes. */
static _Atomic bool clock_stands;

uint64_t __real_monotonic_ns(void);
uint64_t __wrap_monotonic_ns(void);

uint64_t __wrap_monotonic_ns(void)
{
    return atomic_load(&clock_stands) ? 1 : __real_monotonic_ns();
}

/* Lets go once nobody else can take hold of the block any more. */
static void *holds_a_moment(void *arg)
{
    struct race *race = arg;
    struct ram *ram = race->f->ram;

    assert_true(ram_hold(ram, FIXED + BLOCK, 64));
    atomic_store(&race->held, 1);
    while (ram_has(ram, FIXED + BLOCK) && !atomic_load(&race->stop))
        ;
    assert_false(ram_hold(ram, FIXED + BLOCK, 64));
    ram_let_go(ram, FIXED + BLOCK, 64);
    return NULL;
}

static void a_moment_is_waited_for(void **state)
{
    struct race race = {.f = *state};
    pthread_t thread;
    int r;

    assert_int_equal(memory_plug(race.f->as, AT(0), 2 * BLOCK), 0);
    assert_int_equal(thread_start(&thread, "moment", holds_a_moment, &race), 0);
    while (!atomic_load(&race.held))
        ;
    atomic_store(&clock_stands, true);
    r = memory_unplug(race.f->as, AT(0), 2 * BLOCK);
    atomic_store(&clock_stands, false);
    atomic_store(&race.stop, true);
    assert_int_equal(r, 0);
    pthread_join(thread, NULL);
    assert_int_equal(memory_plugged(race.f->as, AT(0), 4 * BLOCK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(added),
        TEST(only_what_is_plugged_is_there),
        TEST(what_makes_no_sense),
        TEST(given_back),
        TEST(what_is_held_stays),
        TEST(cleared),
        TEST(held_or_unplugged),
        TEST(a_moment_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
