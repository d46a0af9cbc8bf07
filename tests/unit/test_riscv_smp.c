/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two CPUs on two host threads, of the interpreter and of the translator: atomics count exactly,
 * code that one writes and the other executes is never stale, and CPUs that flush each other do not
 * wait for ever. Meant to be run under ThreadSanitizer too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "riscv_kinds.h"
#include "riscv_rig.h"

#define RAM_SIZE (UINT64_C(1) << 20)
#define ROUNDS   2000

enum { CPUS = 2 };

static int setup(void **state)
{
    const struct kind *kind = *state;

    *state = rig_new(kind->type, kind->options, CPUS, RAM_SIZE);
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* Both add 1 to two counters, ROUNDS times: by amoadd.w and by lr.d, sc.d. */
static void test_atomics(void **state)
{
    struct rig *rig = *state;
    static const uint32_t code[] = {
        0x00100393, /*    li t2, 1 */
        0x0072a02f, /* 1: amoadd.w zero, t2, (t0) */
        0x10033e2f, /* 2: lr.d t3, (t1) */
        0x001e0e13, /*    addi t3, t3, 1 */
        0x19c33eaf, /*    sc.d t4, t3, (t1) */
        0xfe0e9ae3, /*    bnez t4, 2b */
        0xfff50513, /*    addi a0, a0, -1 */
        0xfe0514e3, /*    bnez a0, 1b */
        0x10500073, /*    wfi */
    };
    uint64_t counters[2];

    rig_put(rig, 0, code, ARRAY_SIZE(code));
    for (unsigned i = 0; i < CPUS; i++) {
        rig->hart[i].x[5] = RAM_BASE + 0x4000;
        rig->hart[i].x[6] = RAM_BASE + 0x4008;
        rig->hart[i].x[10] = ROUNDS;
    }
    rig_run_all(rig, CPU_STOP_WAIT);
    assert_int_equal(memory_read(rig->as, RAM_BASE + 0x4000, counters, 16), 0);
    assert_int_equal(counters[0], CPUS * ROUNDS);
    assert_int_equal(counters[1], CPUS * ROUNDS);
}

/* CPU 0 writes "li a0, n; ret" for n from 1 to ROUNDS and says so; CPU 1 executes fence.i and the
 * function, and counts the results that are not n. The flags are in the same page as the code, so
 * that CPU 0 has just stored there when CPU 1 decodes. */
static void test_code_of_another_cpu(void **state)
{
    struct rig *rig = *state;
    static const uint32_t writer[] = {
        0x00100393, /*    li t2, 1 */
        0x01439e13, /* 1: slli t3, t2, 20 */
        0x513e0e1b, /*    addiw t3, t3, 0x513: li a0, t2 */
        0x01c2a023, /*    sw t3, 0(t0) */
        0x0ff0000f, /*    fence */
        0x1072a023, /*    sw t2, 256(t0) */
        0x1042ae03, /* 2: lw t3, 260(t0) */
        0xfe7e1ee3, /*    bne t3, t2, 2b */
        0x00138393, /*    addi t2, t2, 1 */
        0xfe7350e3, /*    bge t1, t2, 1b */
        0x10500073, /*    wfi */
    };
    static const uint32_t reader[] = {
        0x00100393, /*    li t2, 1 */
        0x1002ae03, /* 1: lw t3, 256(t0) */
        0xfe7e1ee3, /*    bne t3, t2, 1b */
        0x0000100f, /*    fence.i */
        0x000280e7, /*    jalr ra, 0(t0) */
        0x00750463, /*    beq a0, t2, 2f */
        0x00158593, /*    addi a1, a1, 1 */
        0x1072a223, /* 2: sw t2, 260(t0) */
        0x00138393, /*    addi t2, t2, 1 */
        0xfe7350e3, /*    bge t1, t2, 1b */
        0x10500073, /*    wfi */
    };
    static const uint32_t function[] = {0x00000513, 0x00008067};

    rig_put(rig, 0, writer, ARRAY_SIZE(writer));
    rig_put(rig, 0x1000, reader, ARRAY_SIZE(reader));
    rig_put(rig, 0x2000, function, ARRAY_SIZE(function));
    rig->hart[1].pc = RAM_BASE + 0x1000;
    for (unsigned i = 0; i < CPUS; i++) {
        rig->hart[i].x[5] = RAM_BASE + 0x2000;
        rig->hart[i].x[6] = ROUNDS;
    }
    rig_run_all(rig, CPU_STOP_WAIT);
    assert_int_equal(rig->hart[1].x[7], ROUNDS + 1);
    assert_int_equal(rig->hart[1].x[11], 0);
}

/* CPU 1 decodes a page that CPU 0 has for writing, and CPU 0 writes there before it comes to drop
 * its pointer. A flush of CPU 1's code from outside finds that, as a fence.i of its own does. */
static void test_flush_code_and_late_writer(void **state)
{
    struct rig *rig = *state;
    static const uint32_t writer[] = {
        0x1002a023, /* sw zero, 256(t0) */
        0x00032e03, /* lw t3, 0(t1) */
        0x0072a023, /* sw t2, 0(t0) */
        0x00032e03, /* lw t3, 0(t1) */
        0x10500073, /* wfi */
    };
    static const uint32_t function[] = {0x00100513, 0x10500073}; /* li a0, 1; wfi */
    struct gate gate;
    pthread_t thread;

    rig_add_gate(rig, &gate);
    rig_put(rig, 0, writer, ARRAY_SIZE(writer));
    rig_put(rig, 0x2000, function, ARRAY_SIZE(function));
    rig->hart[0].x[5] = RAM_BASE + 0x2000;
    rig->hart[0].x[6] = GATE;
    rig->hart[0].x[7] = 0x00200513; /* li a0, 2 */
    rig_start(rig, &thread);
    sem_wait(&gate.entered);
    rig->hart[1].pc = RAM_BASE + 0x2000;
    assert_int_equal(rig->type->run(rig->cpu[1], 0), CPU_STOP_WAIT);
    assert_int_equal(rig->hart[1].x[10], 1);
    sem_post(&gate.leave);
    sem_wait(&gate.entered);
    rig->type->flush_code(rig->cpu[1]);
    rig->hart[1].pc = RAM_BASE + 0x2000;
    assert_int_equal(rig->type->run(rig->cpu[1], 0), CPU_STOP_WAIT);
    sem_post(&gate.leave);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stop, CPU_STOP_WAIT);
    assert_int_equal(rig->hart[1].x[10], 2);
}

struct runner {
    struct rig *rig;
    unsigned index;
    enum cpu_stop stop;
};

static void *run_and_flush(void *arg)
{
    struct runner *r = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        r->stop = r->rig->type->run(r->rig->cpu[r->index], 50);
        r->rig->type->flush_tlb(r->rig->cpu[!r->index], 0, UINT64_MAX, UINT64_MAX);
        r->rig->type->flush_code(r->rig->cpu[!r->index]);
    }
    return NULL;
}

static void test_mutual_flush(void **state)
{
    struct rig *rig = *state;
    static const uint32_t loop[] = {0x00150513, 0xffdff06f}; /* 1: addi a0, a0, 1; j 1b */
    struct runner runner[CPUS];
    pthread_t thread[CPUS];

    rig_put(rig, 0, loop, ARRAY_SIZE(loop));
    for (unsigned i = 0; i < CPUS; i++) {
        runner[i] = (struct runner){rig, i, CPU_STOP_KICK};
        assert_int_equal(thread_start(&thread[i], "cpu", run_and_flush, &runner[i]), 0);
    }
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(runner[i].stop, CPU_STOP_LIMIT);
        assert_int_equal(rig->hart[i].minstret, ROUNDS * 50);
    }
}

static int run_group(const char *name, const struct kind *kind)
{
    void *prestate = (void *)kind;
    const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_prestate_setup_teardown(function, setup, teardown, prestate)
        TEST(test_atomics),
        TEST(test_code_of_another_cpu),
        TEST(test_flush_code_and_late_writer),
        TEST(test_mutual_flush),
#undef TEST
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return kinds_run(run_group);
}
