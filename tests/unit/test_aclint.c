/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of the ACLINT in the CLINT's layout, its timers, and the deadlines of stimecmp. */
#include <stdlib.h>

#include "device/aclint.h"
#include "device_fixture.h"

#define HARTS      4
#define TICKS_A_MS (ACLINT_FREQUENCY_HZ / 1000)

enum { MSIP = 0x0000, MTIMECMP = 0x4000, MTIME = 0xbff8 };

struct fixture {
    struct loop *loop;
    struct clock clock;
    struct aclint *aclint;
    struct probe software[HARTS];
    struct probe timer[HARTS];
    bool reached[HARTS];
    _Atomic unsigned calls[HARTS];
    _Atomic uint64_t called_at[HARTS]; /* mtime at the last call */
};

static uint64_t get(struct fixture *f, uint64_t offset, unsigned width)
{
    uint64_t value = aclint_type.io.read(f->aclint, offset, width);

    return width == 8 ? value : (uint32_t)value; /* as the map cuts it */
}

static void put(struct fixture *f, uint64_t offset, unsigned width, uint64_t value)
{
    aclint_type.io.write(f->aclint, offset, width, value);
}

static void on_reached(void *ctx, unsigned hart)
{
    struct fixture *f = ctx;

    /* On the loop's thread, and in one test at the same time on another. */
    __atomic_store_n(&f->reached[hart], true, __ATOMIC_RELAXED);
    f->calls[hart]++;
    f->called_at[hart] = aclint_time(f->aclint);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct wire software[HARTS], timer[HARTS];
    struct aclint_config config = {
        .harts = HARTS,
        .software = software,
        .timer = timer,
        .stimecmp_reached = on_reached,
        .ctx = f,
    };

    for (unsigned i = 0; i < HARTS; i++) {
        software[i] = probe_wire(f->software, i);
        timer[i] = probe_wire(f->timer, i);
    }
    *state = f;
    clock_init(&f->clock);
    return loop_new(&f->loop) || aclint_new(&f->aclint, f->loop, &f->clock, &config, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    aclint_type.free(f->aclint);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void test_software_interrupts(void **state)
{
    struct fixture *f = *state;

    put(f, MSIP + 4, 4, 0xffffffff);
    assert_true(f->software[1].level);
    assert_false(f->software[0].level);
    assert_false(f->software[2].level);
    assert_int_equal(get(f, MSIP + 4, 4), 1); /* the other bits are 0 */
    put(f, MSIP + 4, 4, 2);
    assert_false(f->software[1].level);
    /* Eight bytes are two registers. */
    put(f, MSIP + 8, 8, 0x0000000100000001);
    assert_true(f->software[2].level && f->software[3].level);
    assert_int_equal(get(f, MSIP + 8, 8), 0x0000000100000001);
    put(f, MSIP + 8, 8, 1);
    assert_true(f->software[2].level);
    assert_false(f->software[3].level);
    /* A hart that is not there. */
    put(f, MSIP + 4 * HARTS, 4, 1);
    assert_int_equal(get(f, MSIP + 4 * HARTS, 4), 0);
}

static void test_time_runs(void **state)
{
    struct fixture *f = *state;
    uint64_t before, after, ns = monotonic_ns();

    before = get(f, MTIME, 8);
    assert_true(before < 5ull * ACLINT_FREQUENCY_HZ); /* it began at 0 */
    loop_run_for(f->loop, 20 * MS);
    after = get(f, MTIME, 8);
    ns = monotonic_ns() - ns;
    assert_in_range(after - before, 20 * TICKS_A_MS, ns / 100 + 1);
    assert_in_range(aclint_time(f->aclint), after, after + 5ull * ACLINT_FREQUENCY_HZ);
}

static void test_time_halves(void **state)
{
    struct fixture *f = *state;

    put(f, MTIME, 8, 0x1234567800000000);
    assert_int_equal(get(f, MTIME, 8) >> 32, 0x12345678);
    assert_int_equal(get(f, MTIME + 4, 4), 0x12345678);
    put(f, MTIME + 4, 4, 0xabcd);
    assert_int_equal(get(f, MTIME, 8) >> 32, 0xabcd);
    put(f, MTIME, 4, 0x70000000);
    assert_in_range(get(f, MTIME, 4), 0x70000000, 0x78000000);
    assert_int_equal(get(f, MTIME + 4, 4), 0xabcd);
    put(f, MTIME, 8, UINT64_MAX); /* it wraps */
    assert_true(get(f, MTIME, 8) < 5ull * ACLINT_FREQUENCY_HZ || get(f, MTIME, 8) == UINT64_MAX);
}

static void test_timer(void **state)
{
    struct fixture *f = *state;
    uint64_t at = get(f, MTIME, 8) + 100 * TICKS_A_MS;

    assert_int_equal(get(f, MTIMECMP + 8, 8), UINT64_MAX);
    put(f, MTIMECMP + 8, 8, at);
    assert_int_equal(get(f, MTIMECMP + 8, 8), at);
    assert_int_equal(get(f, MTIMECMP + 8, 4), (uint32_t)at);
    assert_int_equal(get(f, MTIMECMP + 12, 4), at >> 32);
    assert_false(f->timer[1].level);
    assert_true(loop_run_until(f->loop, &f->timer[1].level));
    assert_true(get(f, MTIME, 8) >= at);
    assert_false(f->timer[0].level || f->timer[2].level || f->timer[3].level);
    /* The level stays until mtimecmp moves. */
    loop_run_for(f->loop, 2 * MS);
    assert_true(f->timer[1].level);
    put(f, MTIMECMP + 8, 8, UINT64_MAX);
    assert_false(f->timer[1].level);
    assert_int_equal(f->timer[1].rises, 1);
    /* In the past: at once. */
    put(f, MTIMECMP + 8, 8, 0);
    assert_true(f->timer[1].level);
}

static void test_timer_halves(void **state)
{
    struct fixture *f = *state;

    /* The order that the Privileged Architecture gives for 32-bit harts: no stray interrupt. */
    put(f, MTIMECMP, 4, 0xffffffff);
    put(f, MTIMECMP + 4, 4, 1);
    put(f, MTIMECMP, 4, 0x1234);
    assert_int_equal(get(f, MTIMECMP, 8), 0x100001234);
    assert_int_equal(f->timer[0].rises, 0);
    put(f, MTIMECMP + 4, 4, 0);
    loop_run_for(f->loop, 2 * MS);
    assert_true(f->timer[0].level);
}

static void test_timer_moves(void **state)
{
    struct fixture *f = *state;
    uint64_t now = get(f, MTIME, 8);

    /* Further away: the old deadline passes in silence. Nearer: it counts. */
    put(f, MTIMECMP, 8, now + 100 * TICKS_A_MS);
    put(f, MTIMECMP, 8, now + 1000000ull * TICKS_A_MS);
    loop_run_for(f->loop, 150 * MS);
    assert_int_equal(f->timer[0].rises, 0);
    put(f, MTIMECMP, 8, get(f, MTIME, 8) + 5 * TICKS_A_MS);
    assert_true(loop_run_until(f->loop, &f->timer[0].level));
}

static void test_mtime_jumps(void **state)
{
    struct fixture *f = *state;

    put(f, MTIMECMP, 8, 1ull << 40);
    aclint_set_stimecmp(f->aclint, 2, 1ull << 40);
    assert_false(f->timer[0].level);
    assert_false(f->reached[2]);
    put(f, MTIME, 8, 1ull << 40);
    assert_true(f->timer[0].level);
    assert_true(f->reached[2]);
    put(f, MTIME, 8, 0); /* back: the level goes, and the hart looks again */
    assert_false(f->timer[0].level);
    f->reached[2] = false;
    put(f, MTIME, 8, (1ull << 40) - 100 * TICKS_A_MS);
    f->reached[2] = false;
    assert_true(loop_run_until(f->loop, &f->timer[0].level));
    assert_true(loop_run_until(f->loop, &f->reached[2]));
}

static void test_stimecmp(void **state)
{
    struct fixture *f = *state;
    uint64_t at = aclint_time(f->aclint) + 100 * TICKS_A_MS;

    aclint_set_stimecmp(f->aclint, 3, at);
    assert_false(f->reached[3]);
    assert_true(loop_run_until(f->loop, &f->reached[3]));
    assert_true(aclint_time(f->aclint) >= at);
    assert_int_equal(f->calls[0] + f->calls[1] + f->calls[2], 0);
    f->reached[3] = false;
    aclint_set_stimecmp(f->aclint, 3, 0);
    assert_true(f->reached[3]); /* at once */
    f->calls[3] = 0;
    aclint_set_stimecmp(f->aclint, 3, UINT64_MAX);
    loop_run_for(f->loop, 2 * MS);
    assert_int_equal(f->calls[3], 0);
    aclint_set_stimecmp(f->aclint, HARTS, 0); /* no such hart */
    aclint_set_stimecmp(f->aclint, ~0u, 0);
}

/* A deadline that is pushed away over and over is met in the end, and never before its time. */
static void test_stimecmp_lazy(void **state)
{
    struct fixture *f = *state;
    uint64_t at = 0;

    for (unsigned i = 0; i < 20; i++) {
        at = aclint_time(f->aclint) + 200 * TICKS_A_MS;
        aclint_set_stimecmp(f->aclint, 0, at);
        loop_run_for(f->loop, 15 * MS);
    }
    assert_true(loop_run_until(f->loop, &f->reached[0]));
    assert_true(f->called_at[0] >= at);
    /* Far away first, near then. */
    f->reached[0] = false;
    aclint_set_stimecmp(f->aclint, 0, aclint_time(f->aclint) + 1000000ull * TICKS_A_MS);
    aclint_set_stimecmp(f->aclint, 0, aclint_time(f->aclint) + 2 * TICKS_A_MS);
    assert_true(loop_run_until(f->loop, &f->reached[0]));
}

struct race {
    struct fixture *f;
    uint64_t last;
    _Atomic bool done;
};

static void *race_body(void *arg)
{
    struct race *race = arg;
    struct fixture *f = race->f;

    for (unsigned i = 0; i < 20000; i++) {
        race->last = aclint_time(f->aclint) + (i % 3 ? 1 + i % 50 : 5 * TICKS_A_MS);
        aclint_set_stimecmp(f->aclint, 1, race->last);
    }
    race->done = true;
    return NULL;
}

/* The hart's thread sets while the loop's thread fires: the last deadline is never lost (T1). */
static void test_stimecmp_race(void **state)
{
    struct fixture *f = *state;
    struct race race = {.f = f};
    pthread_t thread;

    for (unsigned round = 0; round < 10; round++) {
        uint64_t end;

        race.done = false;
        assert_int_equal(thread_start(&thread, "race", race_body, &race), 0);
        while (!race.done)
            loop_run_for(f->loop, MS / 10);
        pthread_join(thread, NULL);
        end = monotonic_ns() + 2000 * MS;
        while (f->called_at[1] < race.last && monotonic_ns() < end)
            loop_run_for(f->loop, MS);
        assert_true(f->called_at[1] >= race.last);
    }
}

/* A deadline that a timer elsewhere stands for sets none here, until mtime jumps. */
static void test_stimecmp_elsewhere(void **state)
{
    struct fixture *f = *state;
    uint64_t now = aclint_time(f->aclint), deadline = now + 20 * TICKS_A_MS, when;
    unsigned jumps;

    assert_int_equal(aclint_when(f->aclint, UINT64_MAX, &jumps), UINT64_MAX);
    assert_int_equal(aclint_when(f->aclint, now, &jumps), 0);
    when = aclint_when(f->aclint, deadline, &jumps);
    assert_in_range(when, monotonic_ns() + 1000000, monotonic_ns() + 20000000);
    assert_true(aclint_leave_stimecmp(f->aclint, 1, deadline, jumps));
    loop_run_for(f->loop, 40 * MS);
    assert_int_equal(f->calls[1], 0);
    /* mtime goes back: who waited elsewhere has to ask again, or is called from here. */
    deadline = aclint_time(f->aclint) + 40 * TICKS_A_MS;
    when = aclint_when(f->aclint, deadline, &jumps);
    put(f, MTIME, 8, aclint_time(f->aclint) + 20 * TICKS_A_MS);
    f->calls[1] = 0;
    assert_false(aclint_leave_stimecmp(f->aclint, 1, deadline, jumps));
    assert_in_range(aclint_when(f->aclint, deadline, &jumps), when - 21000000, when - 19000000);
    assert_true(aclint_leave_stimecmp(f->aclint, 1, deadline, jumps));
    put(f, MTIME, 8, deadline - 5 * TICKS_A_MS);
    f->calls[1] = 0;
    loop_run_for(f->loop, 30 * MS);
    assert_true(f->calls[1] >= 1 && f->called_at[1] >= deadline);
    /* And when it is set here. */
    deadline = aclint_time(f->aclint) + 5 * TICKS_A_MS;
    (void)aclint_when(f->aclint, deadline, &jumps);
    assert_true(aclint_leave_stimecmp(f->aclint, 1, deadline, jumps));
    f->calls[1] = 0;
    aclint_set_stimecmp(f->aclint, 1, deadline);
    loop_run_for(f->loop, 30 * MS);
    assert_true(f->calls[1] >= 1);
    /* While the clock stands there is no time to wait for. */
    clock_pause(&f->clock);
    assert_int_equal(aclint_when(f->aclint, aclint_time(f->aclint) + 5, &jumps), UINT64_MAX);
    clock_resume(&f->clock);
    assert_false(aclint_leave_stimecmp(f->aclint, HARTS, 0, jumps));
}

static void test_pause(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    put(f, MTIMECMP, 8, get(f, MTIME, 8) + 100 * TICKS_A_MS);
    aclint_set_stimecmp(f->aclint, 1, aclint_time(f->aclint) + 100 * TICKS_A_MS);
    clock_pause(&f->clock);
    before = aclint_time(f->aclint);
    loop_run_for(f->loop, 150 * MS);
    assert_int_equal(aclint_time(f->aclint), before);
    assert_false(f->timer[0].level);
    assert_false(f->reached[1]);
    clock_resume(&f->clock);
    aclint_type.resume(f->aclint);
    assert_false(f->timer[0].level);
    f->reached[1] = false;
    assert_true(loop_run_until(f->loop, &f->timer[0].level));
    assert_true(loop_run_until(f->loop, &f->reached[1]));
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    put(f, MTIME, 8, 1ull << 50);
    put(f, MTIMECMP, 8, 5);
    put(f, MSIP, 4, 1);
    assert_true(f->timer[0].level && f->software[0].level);
    aclint_type.reset(f->aclint);
    assert_false(f->timer[0].level || f->software[0].level);
    assert_true(get(f, MTIME, 8) < 5ull * ACLINT_FREQUENCY_HZ);
    assert_int_equal(get(f, MTIMECMP, 8), UINT64_MAX);
    assert_int_equal(get(f, MSIP, 4), 0);
}

static void test_state(void **state)
{
    struct fixture *f = *state;
    uint8_t saved[2048];

    put(f, MTIME, 8, 1ull << 50);
    put(f, MTIMECMP + 8, 8, (1ull << 50) + 20 * TICKS_A_MS);
    put(f, MSIP + 8, 4, 1);
    assert_true(device_save(&aclint_type, f->aclint, saved) < sizeof(saved));
    aclint_type.reset(f->aclint);
    assert_true(device_load(&aclint_type, f->aclint, saved));
    assert_true(f->software[2].level);
    assert_true(get(f, MTIME, 8) >> 50 == 1);
    assert_true(loop_run_until(f->loop, &f->timer[1].level));
    saved[device_field(&aclint_type, "msip")] = 2;
    assert_false(device_load(&aclint_type, f->aclint, saved));
}

static void test_hostile(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(aclint_type.io.widths, 4 | 8);
    device_hammer(&aclint_type, f->aclint, ACLINT_SIZE);
    loop_run_for(f->loop, MS);
    assert_true(aclint_type.check(f->aclint));
    assert_int_equal(get(f, MTIMECMP + 8 * HARTS, 8), 0);
    assert_int_equal(get(f, 0xc000, 8), 0);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct wire wires[ACLINT_HARTS_MAX] = {0};
    struct aclint_config config = {.software = wires, .timer = wires};
    struct error error = ERROR_INIT;
    struct aclint *aclint;

    assert_true(aclint_new(&aclint, f->loop, &f->clock, &config, &error) < 0);
    config.harts = ACLINT_HARTS_MAX + 1;
    assert_true(aclint_new(&aclint, f->loop, &f->clock, &config, &error) < 0);
    assert_non_null(error.message);
    error_release(&error);
    config.harts = ACLINT_HARTS_MAX;
    assert_int_equal(aclint_new(&aclint, f->loop, &f->clock, &config, NULL), 0);
    aclint_set_stimecmp(aclint, 63, 0); /* nobody asked to be told */
    device_hammer(&aclint_type, aclint, 0x5000);
    aclint_type.free(aclint);
    aclint_type.free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_software_interrupts),
        TEST(test_time_runs),
        TEST(test_time_halves),
        TEST(test_timer),
        TEST(test_timer_halves),
        TEST(test_timer_moves),
        TEST(test_mtime_jumps),
        TEST(test_stimecmp),
        TEST(test_stimecmp_lazy),
        TEST(test_stimecmp_race),
        TEST(test_stimecmp_elsewhere),
        TEST(test_pause),
        TEST(test_reset),
        TEST(test_state),
        TEST(test_hostile),
        TEST(test_limits),
    };

    return cmocka_run_group_tests_name("aclint", tests, NULL, NULL);
}
