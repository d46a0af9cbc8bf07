/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's life, with guests of a few instructions: reboots, requests of two CPUs at once, and
 * what the user does while a reboot waits for the old guest's requests. And its balloon.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "base/bits.h"
#include "base/loop.h"
#include "base/thread.h"
#include "board/virt.h"
#include "machine/machine.h"

#define PATIENCE_NS 10000000000ull /* a machine that does nothing for so long hangs */
#define SOON_NS     20000000ull

/* The test finisher at 0x100000 (QEMU's sifive_test): writes `code`, then waits for what comes. */
#define FINISH(code)                                                                               \
    {                                                                                              \
        0x001002b7,                                       /* lui  t0, 0x100 */                     \
            0x00000337 | (((code) + 0x800) & 0xfffff000), /* lui  t1, code */                      \
            0x00030313 | (uint32_t)((code)&0xfff) << 20,  /* addi t1, t1, code */                  \
            0x0062a023,                                   /* sw   t1, 0(t0) */                     \
            0x0000006f,                                   /* j    . */                             \
    }

static const uint32_t reboots[] = FINISH(0x7777);
static const uint32_t powers_off[] = FINISH(0x5555);

struct fixture {
    struct loop *loop;
    struct machine *machine;
    char path[40]; /* the guest's software */
    struct timer late, action;
    unsigned reboots, reboots_wanted; /* stops the loop at the latter */
    unsigned ends;
    enum machine_end why;
};

/* How often the machine is told that the old guest's requests are still under way. */
static unsigned busy;
static bool endlessly_busy;

bool __real_virt_is_idle(struct virt *virt);
bool __wrap_virt_is_idle(struct virt *virt);

bool __wrap_virt_is_idle(struct virt *virt)
{
    if (endlessly_busy || busy) {
        busy -= busy > 0;
        return false;
    }
    return __real_virt_is_idle(virt);
}

static void on_late(void *ctx)
{
    struct fixture *f = ctx;

    loop_stop(f->loop, -1);
}

static void on_ended(void *ctx, enum machine_end why, int status)
{
    struct fixture *f = ctx;

    f->ends++;
    f->why = why;
    loop_stop(f->loop, 0);
}

static void on_rebooted(void *ctx)
{
    struct fixture *f = ctx;

    if (++f->reboots == f->reboots_wanted)
        loop_stop(f->loop, 0);
}

static const struct log silent;

static void machine_make(struct fixture *f, const uint32_t *words, size_t size, bool firmware,
                         unsigned cpus)
{
    struct machine_description description = {.cpus = cpus, .memory = 32 << 20};
    const struct machine_events events = {.ended = on_ended, .rebooted = on_rebooted, .ctx = f};
    int fd;

    strcpy(f->path, "/tmp/hospes-test-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, words, size), size);
    close(fd);
    if (firmware)
        description.firmware = f->path;
    else
        description.kernel = f->path;
    assert_int_equal(machine_new(&f->machine, &description, f->loop, NULL, &events, &silent, NULL),
                     0);
    assert_int_equal(machine_start(f->machine, NULL), 0);
}

/* What loop_stop() was given: 0, or -1 when nothing happened. */
static int machine_watch(struct fixture *f)
{
    timer_set(&f->late, monotonic_ns() + PATIENCE_NS);
    return loop_run(f->loop);
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_new(&f->loop), 0);
    timer_init(&f->late, f->loop, on_late, f);
    timer_init(&f->action, f->loop, on_late, f);
    busy = 0;
    endlessly_busy = false;
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    machine_free(f->machine);
    timer_cancel(&f->late);
    timer_cancel(&f->action);
    loop_free(f->loop);
    unlink(f->path);
    free(f);
    return 0;
}

static void reboots_again_and_again(void **state)
{
    struct fixture *f = *state;

    f->reboots_wanted = 20;
    machine_make(f, reboots, sizeof(reboots), true, 4);
    assert_int_equal(machine_watch(f), 0);
    assert_true(f->reboots >= 20); /* the loop ends its turn first */
    assert_int_equal(f->ends, 0);
    machine_stop(f->machine);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->why, MACHINE_STOPPED);
}

/* All harts start in the firmware, so that each asks for the same thing at about the same time. */
static void ends_once_for_all_cpus(void **state)
{
    struct fixture *f = *state;

    machine_make(f, powers_off, sizeof(powers_off), true, 8);
    assert_int_equal(machine_watch(f), 0);
    machine_stop(f->machine);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
}

static void resume(void *ctx)
{
    struct fixture *f = ctx;

    machine_resume(f->machine);
    busy = 3;
    endlessly_busy = false;
}

/* A disk that was full when the guest rebooted: the user makes room and lets the machine go on. */
static void resume_does_not_lose_a_reboot(void **state)
{
    struct fixture *f = *state;

    endlessly_busy = true;
    f->reboots_wanted = 1;
    machine_make(f, reboots, sizeof(reboots), false, 2);
    timer_init(&f->action, f->loop, resume, f);
    timer_set(&f->action, monotonic_ns() + SOON_NS);
    assert_int_equal(machine_watch(f), 0);
    assert_true(f->reboots >= 1);
}

static void stop(void *ctx)
{
    struct fixture *f = ctx;

    machine_stop(f->machine);
}

static void stops_during_a_reboot(void **state)
{
    struct fixture *f = *state;

    endlessly_busy = true;
    machine_make(f, reboots, sizeof(reboots), false, 2);
    timer_init(&f->action, f->loop, stop, f);
    timer_set(&f->action, monotonic_ns() + SOON_NS);
    assert_int_equal(machine_watch(f), 0);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->why, MACHINE_STOPPED);
    assert_int_equal(f->reboots, 0);
}

static void switch_engine(void *ctx)
{
    struct fixture *f = ctx;

    assert_int_equal(machine_switch_engine(f->machine, "interpret", NULL), 0);
    busy = 3;
    endlessly_busy = false;
}

/* The harts start anew under the engine that came while the reboot was waiting. */
static void switches_during_a_reboot(void **state)
{
    struct fixture *f = *state;

    endlessly_busy = true;
    f->reboots_wanted = 3;
    machine_make(f, reboots, sizeof(reboots), false, 2);
    timer_init(&f->action, f->loop, switch_engine, f);
    timer_set(&f->action, monotonic_ns() + SOON_NS);
    assert_int_equal(machine_watch(f), 0);
    assert_true(f->reboots >= 3);
    assert_string_equal(machine_engine_name(f->machine), "interpret");
}

static void fails_when_it_cannot_boot_again(void **state)
{
    struct fixture *f = *state;

    busy = 3;
    machine_make(f, reboots, sizeof(reboots), false, 1);
    /* Its file stays open, so that it is no matter whether it has a name; but what is in it is. */
    assert_int_equal(truncate(f->path, 0), 0);
    unlink(f->path);
    assert_int_equal(machine_watch(f), 0);
    assert_int_equal(f->why, MACHINE_FAILED);
    assert_int_equal(f->reboots, 0);
}

/* Waits for a target at the balloon's registers, says that it has given as much, and powers off. */
static const uint32_t gives[] = {
    0x100022b7, /* lui  t0, 0x10002: the second slot, behind the random numbers */
    0x1002a303, /* lw   t1, 0x100(t0): num_pages */
    0xfe030ee3, /* beqz t1, -4 */
    0x1062a223, /* sw   t1, 0x104(t0): actual */
    0x001002b7, /* lui  t0, 0x100 */
    0x00005337, /* lui  t1, 0x5 */
    0x55530313, /* addi t1, t1, 0x555 */
    0x0062a023, /* sw   t1, 0(t0) */
    0x0000006f, /* j    . */
};

static void set_target(void *ctx)
{
    struct fixture *f = ctx;

    machine_set_memory(f->machine, 32 << 20, 31 << 20);
}

static void has_a_balloon(void **state)
{
    struct fixture *f = *state;
    struct machine_balloon balloon;

    machine_make(f, gives, sizeof(gives), false, 1);
    machine_balloon(f->machine, &balloon);
    assert_int_equal(balloon.facts.target, 0);
    assert_int_equal(balloon.facts.said, 0);
    assert_int_equal(balloon.facts.statistics.time_ns, 0);
    assert_int_equal(balloon.age_ns, 0);
    assert_in_range(balloon.resident, 4096, 32 << 20);
    timer_init(&f->action, f->loop, set_target, f);
    timer_set(&f->action, monotonic_ns() + SOON_NS);
    machine_balloon_poll(f->machine, 1); /* without a driver, and until the machine is freed */
    assert_int_equal(machine_watch(f), 0);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
    machine_balloon(f->machine, &balloon);
    assert_int_equal(balloon.facts.target, 1 << 20);
    assert_int_equal(balloon.facts.said, 1 << 20);
    assert_int_equal(balloon.facts.given, 0); /* it gave nothing */
    machine_set_memory(f->machine, 32 << 20, 0);
    machine_balloon(f->machine, &balloon);
    assert_int_equal(balloon.facts.target, 32 << 20); /* all of its memory */
}

static void make_growing(struct fixture *f, bool in_balloon)
{
    const struct machine_description description = {.cpus = 1,
                                                    .memory = 32 << 20,
                                                    .memory_max = 96 << 20,
                                                    .memory_balloon = in_balloon,
                                                    .kernel = f->path};
    const struct machine_events events = {.ended = on_ended, .ctx = f};
    int fd;

    strcpy(f->path, "/tmp/hospes-test-XXXXXX");
    fd = mkstemp(f->path);
    assert_int_equal(write(fd, powers_off, sizeof(powers_off)), sizeof(powers_off));
    close(fd);
    assert_int_equal(machine_new(&f->machine, &description, f->loop, NULL, &events, &silent, NULL),
                     0);
    assert_int_equal(machine_prepare(f->machine, NULL), 0);
}

/* What can be plugged is asked for, and until it is the balloon takes nothing for it. */
static void has_memory_beyond(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint64_t most, size, requested, target, is;
    } steps[] = {
        {96 << 20, 96 << 20, 64 << 20, 0, 32 << 20},
        {64 << 20, 40 << 20, 32 << 20, 0, 32 << 20},
        {64 << 20, 24 << 20, 32 << 20, 8 << 20, 24 << 20},
        {30 << 20, 96 << 20, 0, 2 << 20, 30 << 20},
    };
    struct machine_balloon balloon;

    make_growing(f, false);
    machine_balloon(f->machine, &balloon);
    assert_int_equal(balloon.mem.size, 128 << 20); /* sections of Linux's */
    assert_int_equal(balloon.mem.requested, 0);
    assert_int_equal(balloon.size, 32 << 20);
    assert_in_range(balloon.resident, 4096, 1 << 20);
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        machine_set_memory(f->machine, steps[i].most, steps[i].size);
        machine_balloon(f->machine, &balloon);
        assert_int_equal(balloon.mem.requested, steps[i].requested);
        assert_int_equal(balloon.mem.plugged, 0);
        assert_int_equal(balloon.facts.target, steps[i].target);
        assert_int_equal(balloon.size, steps[i].is);
    }
    assert_int_equal(machine_start(f->machine, NULL), 0);
    assert_int_equal(machine_watch(f), 0);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
}

/* All of it is there, and the balloon takes what lies beyond. */
static void has_memory_in_its_balloon(void **state)
{
    static const struct {
        uint64_t most, size, target;
    } steps[] = {
        {96 << 20, 96 << 20, 0},
        {64 << 20, 64 << 20, 32 << 20},
        {64 << 20, 40 << 20, 56 << 20},
        {32 << 20, 32 << 20, 64 << 20},
    };
    struct fixture *f = *state;
    struct machine_balloon balloon;

    make_growing(f, true);
    machine_balloon(f->machine, &balloon);
    assert_int_equal(balloon.mem.size, 0);
    assert_int_equal(balloon.facts.target, 64 << 20);
    assert_int_equal(balloon.size, 32 << 20);
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        machine_set_memory(f->machine, steps[i].most, steps[i].size);
        machine_balloon(f->machine, &balloon);
        assert_int_equal(balloon.facts.target, steps[i].target);
        assert_int_equal(balloon.size, (96 << 20) - steps[i].target);
    }
    assert_int_equal(machine_start(f->machine, NULL), 0);
    assert_int_equal(machine_watch(f), 0);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
}

/* By a machine that has nothing to limit too, in any state. */
static void limits_are_judged(void **state)
{
    static const struct machine_limits refused[] = {
        {.disk_iops = MACHINE_IOPS_MAX + 1ull}, {.disk_bytes = MACHINE_RATE_MIN - 1},
        {.disk_bytes = MACHINE_RATE_MAX + 1},   {.net_rate_in = 1},
        {.net_rate_out = UINT64_MAX},
    };
    const struct machine_limits some = {1, MACHINE_RATE_MIN, MACHINE_RATE_MAX, MACHINE_RATE_MIN};
    struct fixture *f = *state;

    f->reboots_wanted = 5;
    machine_make(f, reboots, sizeof(reboots), true, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        struct error error = ERROR_INIT;

        assert_int_equal(machine_set_limits(f->machine, &refused[i], &error), -EINVAL);
        assert_true(error.usage);
        error_release(&error);
    }
    assert_int_equal(machine_set_limits(f->machine, &some, NULL), 0);
    assert_int_equal(machine_watch(f), 0);
    machine_stop(f->machine);
    assert_int_equal(machine_set_limits(f->machine, &(struct machine_limits){0}, NULL), 0);
}

#define LIFE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* ---- a cap on CPU time ---- */

static const uint32_t spins[] = {0x0000006f}; /* j . */

static uint64_t cpu_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What the process uses in so long a time, in per mille of one CPU. */
static uint64_t share(struct fixture *f, uint64_t ns)
{
    uint64_t began = monotonic_ns(), used = cpu_time();

    f->action.run = on_late;
    timer_set(&f->action, began + ns);
    loop_run(f->loop);
    return (cpu_time() - used) * 1000 / (monotonic_ns() - began);
}

static void uses_no_more_than_its_cap(void **state)
{
    enum { WHILE = 600000000, MORE = 60 }; /* what the threads do beside, and a bucket of 100 ms */
    struct fixture *f = *state;

    machine_make(f, spins, sizeof(spins), true, 2);
    machine_set_cpu_cap(f->machine, 30);
    assert_in_range(share(f, WHILE), 100, 300 + MORE);
    /* Set again while it is held, paused while it is held, and given another engine. */
    machine_set_cpu_cap(f->machine, 10);
    machine_pause(f->machine);
    assert_in_range(share(f, WHILE / 4), 0, MORE / 2);
    machine_resume(f->machine);
    assert_in_range(share(f, WHILE), 30, 100 + MORE);
    assert_int_equal(machine_switch_engine(f->machine, "interpret", NULL), 0);
    assert_in_range(share(f, WHILE), 30, 100 + MORE);
    machine_set_cpu_cap(f->machine, 0);
    assert_in_range(share(f, WHILE / 2), 400, 2000 + MORE);
    machine_stop(f->machine);
    assert_int_equal(f->ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(reboots_again_and_again),
        LIFE(ends_once_for_all_cpus),
        LIFE(resume_does_not_lose_a_reboot),
        LIFE(stops_during_a_reboot),
        LIFE(switches_during_a_reboot),
        LIFE(fails_when_it_cannot_boot_again),
        LIFE(has_a_balloon),
        LIFE(has_memory_beyond),
        LIFE(has_memory_in_its_balloon),
        LIFE(uses_no_more_than_its_cap),
        LIFE(limits_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
