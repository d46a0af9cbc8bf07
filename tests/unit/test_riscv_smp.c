/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two CPUs on two host threads, of the interpreter and of the translator: atomics count exactly,
 * code that one writes and the other executes is never stale, and CPUs that flush each other do not
 * wait for ever. Meant to be run under ThreadSanitizer too.
 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/engine.h"
#include "cpu/riscv/hart.h"

#define RAM_BASE UINT64_C(0x80000000)
#define RAM_SIZE (UINT64_C(1) << 20)
#define ROUNDS   2000

enum { CPUS = 2 };

/* What a group of tests runs on; the state that setup() gets. */
struct kind {
    const struct engine_type *type;
    const char *options;
};

struct fixture {
    const struct engine_type *type;
    struct address_space *as;
    struct engine *engine;
    struct engine_cpu *cpu[CPUS];
    struct riscv_hart hart[CPUS];
};

static int setup(void **state)
{
    const struct kind *kind = *state;
    struct fixture *f = calloc(1, sizeof(*f));
    struct engine_config config = {.cpu_count = CPUS, .options = kind->options};

    assert_non_null(f);
    f->type = kind->type;
    assert_int_equal(address_space_new(&f->as), 0);
    assert_int_equal(memory_add_ram(f->as, "ram", RAM_BASE, RAM_SIZE, true, NULL), 0);
    config.memory = f->as;
    assert_int_equal(f->type->create(&config, &f->engine, NULL), 0);
    for (unsigned i = 0; i < CPUS; i++) {
        f->hart[i].id = i;
        riscv_hart_reset(&f->hart[i], RAM_BASE, 0);
        assert_int_equal(f->type->cpu_create(f->engine, i, &f->hart[i], &f->cpu[i], NULL), 0);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < CPUS; i++)
        f->type->cpu_free(f->cpu[i]);
    f->type->free(f->engine);
    address_space_free(f->as);
    free(f);
    return 0;
}

struct runner {
    struct fixture *f;
    unsigned index;
    enum cpu_stop stop;
};

static void *run_to_wait(void *arg)
{
    struct runner *r = arg;

    r->stop = r->f->type->run(r->f->cpu[r->index], 0);
    return NULL;
}

static void run_both(struct fixture *f)
{
    struct runner runner[CPUS];
    pthread_t thread[CPUS];

    for (unsigned i = 0; i < CPUS; i++) {
        runner[i] = (struct runner){f, i, CPU_STOP_KICK};
        assert_int_equal(thread_start(&thread[i], "cpu", run_to_wait, &runner[i]), 0);
    }
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(runner[i].stop, CPU_STOP_WAIT);
    }
}

static void put(struct fixture *f, uint64_t at, const uint32_t *code, size_t size)
{
    assert_int_equal(memory_write(f->as, RAM_BASE + at, code, size), 0);
}

/* Both add 1 to two counters, ROUNDS times: by amoadd.w and by lr.d, sc.d. */
static void test_atomics(void **state)
{
    struct fixture *f = *state;
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

    put(f, 0, code, sizeof(code));
    for (unsigned i = 0; i < CPUS; i++) {
        f->hart[i].x[5] = RAM_BASE + 0x4000;
        f->hart[i].x[6] = RAM_BASE + 0x4008;
        f->hart[i].x[10] = ROUNDS;
    }
    run_both(f);
    assert_int_equal(memory_read(f->as, RAM_BASE + 0x4000, counters, 16), 0);
    assert_int_equal(counters[0], CPUS * ROUNDS);
    assert_int_equal(counters[1], CPUS * ROUNDS);
}

/* CPU 0 writes "li a0, n; ret" for n from 1 to ROUNDS and says so; CPU 1 executes fence.i and the
 * function, and counts the results that are not n. The flags are in the same page as the code, so
 * that CPU 0 has just stored there when CPU 1 decodes. */
static void test_code_of_another_cpu(void **state)
{
    struct fixture *f = *state;
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

    put(f, 0, writer, sizeof(writer));
    put(f, 0x1000, reader, sizeof(reader));
    put(f, 0x2000, function, sizeof(function));
    f->hart[1].pc = RAM_BASE + 0x1000;
    for (unsigned i = 0; i < CPUS; i++) {
        f->hart[i].x[5] = RAM_BASE + 0x2000;
        f->hart[i].x[6] = ROUNDS;
    }
    run_both(f);
    assert_int_equal(f->hart[1].x[7], ROUNDS + 1);
    assert_int_equal(f->hart[1].x[11], 0);
}

struct gate {
    sem_t entered, leave;
};

/* Holds a CPU in the middle of a block. */
static uint64_t gate_read(void *ctx, uint64_t offset, unsigned width)
{
    struct gate *gate = ctx;

    sem_post(&gate->entered);
    sem_wait(&gate->leave);
    return 0;
}

static void gate_write(void *ctx, uint64_t offset, unsigned width, uint64_t value) {}

/* CPU 1 decodes a page that CPU 0 has for writing, and CPU 0 writes there before it comes to drop
 * its pointer. A flush of CPU 1's code from outside finds that, as a fence.i of its own does. */
static void test_flush_code_and_late_writer(void **state)
{
    struct fixture *f = *state;
    static const struct io_ops ops = {.widths = 4, .read = gate_read, .write = gate_write};
    static const uint32_t writer[] = {
        0x1002a023, /* sw zero, 256(t0) */
        0x00032e03, /* lw t3, 0(t1) */
        0x0072a023, /* sw t2, 0(t0) */
        0x00032e03, /* lw t3, 0(t1) */
        0x10500073, /* wfi */
    };
    static const uint32_t function[] = {0x00100513, 0x10500073}; /* li a0, 1; wfi */
    struct runner runner = {f, 0, CPU_STOP_KICK};
    struct gate gate;
    pthread_t thread;

    assert_int_equal(sem_init(&gate.entered, 0, 0) | sem_init(&gate.leave, 0, 0), 0);
    assert_int_equal(memory_add_io(f->as, "gate", 0x10000000, 0x1000, &ops, &gate, NULL), 0);
    put(f, 0, writer, sizeof(writer));
    put(f, 0x2000, function, sizeof(function));
    f->hart[0].x[5] = RAM_BASE + 0x2000;
    f->hart[0].x[6] = 0x10000000;
    f->hart[0].x[7] = 0x00200513; /* li a0, 2 */
    assert_int_equal(thread_start(&thread, "cpu", run_to_wait, &runner), 0);
    sem_wait(&gate.entered);
    f->hart[1].pc = RAM_BASE + 0x2000;
    assert_int_equal(f->type->run(f->cpu[1], 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart[1].x[10], 1);
    sem_post(&gate.leave);
    sem_wait(&gate.entered);
    f->type->flush_code(f->cpu[1]);
    f->hart[1].pc = RAM_BASE + 0x2000;
    assert_int_equal(f->type->run(f->cpu[1], 0), CPU_STOP_WAIT);
    sem_post(&gate.leave);
    pthread_join(thread, NULL);
    assert_int_equal(f->hart[1].x[10], 2);
    sem_destroy(&gate.leave);
    sem_destroy(&gate.entered);
}

static void *run_and_flush(void *arg)
{
    struct runner *r = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        r->stop = r->f->type->run(r->f->cpu[r->index], 50);
        r->f->type->flush_tlb(r->f->cpu[!r->index], 0, UINT64_MAX, UINT64_MAX);
        r->f->type->flush_code(r->f->cpu[!r->index]);
    }
    return NULL;
}

static void test_mutual_flush(void **state)
{
    struct fixture *f = *state;
    static const uint32_t loop[] = {0x00150513, 0xffdff06f}; /* 1: addi a0, a0, 1; j 1b */
    struct runner runner[CPUS];
    pthread_t thread[CPUS];

    put(f, 0, loop, sizeof(loop));
    for (unsigned i = 0; i < CPUS; i++) {
        runner[i] = (struct runner){f, i, CPU_STOP_KICK};
        assert_int_equal(thread_start(&thread[i], "cpu", run_and_flush, &runner[i]), 0);
    }
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(runner[i].stop, CPU_STOP_LIMIT);
        assert_int_equal(f->hart[i].minstret, ROUNDS * 50);
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
    static const struct kind kinds[] = {
        {&riscv_interpreter, NULL},
        {&riscv_translator, "heat=0"},
        {&riscv_translator, "heat=2,unit=3"},
    };
    int failed = run_group("interpreter", &kinds[0]);

    if (!riscv_translator_missing()) {
        failed += run_group("translator", &kinds[1]);
        failed += run_group("translator with small units", &kinds[2]);
    }
    return failed;
}
