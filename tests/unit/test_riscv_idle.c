/* SPDX-License-Identifier: Apache-2.0 */
/* What a CPU that idles gives back to the host, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "cpu/riscv/interpreter.h"
#include "riscv_code.h"
#include "riscv_rig.h"

enum { BLOCKS = 6000, RAM_SIZE = 8 << 20, FIRST = 0x4000 };

static uint64_t now = 1;

uint64_t __wrap_monotonic_ns(void);

uint64_t __wrap_monotonic_ns(void)
{
    return now;
}

/* Jumps through so many blocks, which add up a0, and waits. */
static void put_blocks(struct rig *rig)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        PUT(rig, FIRST + 16 * i, ADDI(A0, A0, 1), ADDI(A1, A1, 2), JAL(0, 8), WFI);
    PUT(rig, FIRST + 16 * BLOCKS, WFI, JAL(0, -4));
}

static void go_through(struct rig *rig)
{
    uint64_t sum = rig->hart[0].x[A0];

    rig->hart[0].pc = RAM_BASE + FIRST;
    rig->type->state_in(rig->cpu[0]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(rig->hart[0].x[A0], sum + BLOCKS);
}

/* Says that the CPU is about to sleep, so many seconds after the last time. */
static void idle_after(struct rig *rig, unsigned seconds)
{
    now += seconds * UINT64_C(1000000000);
    rig->type->idle(rig->cpu[0]);
}

static void decoded_blocks(const struct engine_type *type, const char *options)
{
    struct rig *rig = rig_new(type, options, 1, RAM_SIZE);
    struct engine_cpu *cpu = rig->cpu[0];

    put_blocks(rig);
    go_through(rig);
    assert_true(cpu->arena_used > 256 << 10);
    /* It decoded much since the last look; and not so soon. */
    idle_after(rig, 5);
    assert_true(cpu->arena_used != 0);
    idle_after(rig, 1);
    assert_true(cpu->arena_used != 0);
    idle_after(rig, 2);
    assert_int_equal(cpu->arena_used, 0);
    /* All is there again when it is executed. */
    go_through(rig);
    assert_true(cpu->arena_used != 0);
    /* Little is not worth it. */
    idle_after(rig, 3);
    idle_after(rig, 3);
    assert_int_equal(cpu->arena_used, 0);
    PUT(rig, 0, ADDI(A0, A0, 5), WFI);
    rig->hart[0].pc = RAM_BASE;
    rig->type->state_in(cpu);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    idle_after(rig, 3);
    assert_true(cpu->arena_used != 0);
    rig_free(rig);
}

static void test_decoded_blocks(void **state)
{
    decoded_blocks(&riscv_interpreter, NULL);
    if (!riscv_translator_missing())
        decoded_blocks(&riscv_translator, "heat=1000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoded_blocks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
