/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator and code that does not stay: rewritten by the guest, by another hart or from
 * outside, mapped elsewhere, evicted because there is more of it than room; and a guest that goes
 * from one engine to the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"

#define RAM_SIZE (UINT64_C(8) << 20)

enum { ROUNDS = 1500 };

static const char *const permutations[] = {
    NULL,
    "heat=0",
    "heat=0,unit=1",
    "heat=3,windows=0",
    "heat=0,windows=2",
    "heat=0,code=1M",
    "heat=0,regions=2",
};

static unsigned rounds(void)
{
    return getenv("HOSPES_TEST_LONG") ? 40 : 1;
}

/* ---- rewritten by the guest ---- */

/* `li a0, n` for n from 1 to ROUNDS is written to `slot` and executed by way of `entry`, both from
 * the start of RAM; what comes back is compared with n. The code is the caller's. */
static void rewrite(const char *options, unsigned loop, unsigned slot, unsigned entry, bool fence)
{
    struct rig *rig = rig_new(&riscv_translator, options, 1, RAM_SIZE);
    struct riscv_hart *hart = &rig->hart[0];

    PUT(rig, slot, LI(A0, 0));
    if (entry && entry != slot)
        PUT(rig, entry, NOP);
    if (entry)
        PUT(rig, slot + 4, RET);
    PUT(rig, loop, LI(T2, 1),
        /* a round */
        SLLI(T3, T2, 20), ADDIW(T3, T3, LI(A0, 0)), SW(T3, S0, 0), fence ? FENCE_I : NOP,
        entry ? JALR(RA, S1, 0) : NOP);
    /* Behind it, or behind the slot that the code runs into. */
    PUT(rig, entry ? loop + 24 : slot + 4, BEQ(A0, T2, 8), ADDI(A1, A1, 1), BGEU(T2, A0, 8),
        ADDI(A2, A2, 1), ADDI(T2, T2, 1),
        BGE(A3, T2, -(int)((entry ? 40 : slot + 20 - loop) & ~3u)), WFI);
    hart->pc = RAM_BASE + loop;
    hart->x[S0] = RAM_BASE + slot;
    hart->x[S1] = RAM_BASE + entry;
    hart->x[A3] = ROUNDS;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(hart->x[T2], ROUNDS + 1);
    if (fence)
        assert_int_equal(hart->x[A1], 0);
    assert_int_equal(hart->x[A2], 0); /* never what was not written yet */
    rig_free(rig);
}

static void test_rewritten_by_the_guest(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        /* In another page, in the one that executes, and as the next instruction. */
        rewrite(permutations[i], 0, 0x3000, 0x3000, true);
        rewrite(permutations[i], 0, 0x400, 0x400, true);
        rewrite(permutations[i], 0x400, 0x418, 0, true);
        /* The first of the next page, into which the code runs. */
        rewrite(permutations[i], 0x2fe8, 0x3000, 0, true);
        /* Where the code comes to from the page before. */
        rewrite(permutations[i], 0, 0x3000, 0x2ffc, true);
    }
}

/* Old code may run; after a fence.i the new one does. */
static void test_rewritten_without_a_fence(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        rewrite(permutations[i], 0, 0x3000, 0x3000, false);
        rewrite(permutations[i], 0, 0x400, 0x400, false);
        rewrite(permutations[i], 0x400, 0x418, 0, false);
        rewrite(permutations[i], 0x2fe8, 0x3000, 0, false);
    }
}

/* Both halves of an instruction across two pages. */
static void test_rewritten_across_pages(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = rig_new(&riscv_translator, permutations[i], 1, RAM_SIZE);
        struct riscv_hart *hart = &rig->hart[0];
        const uint32_t first[2] = {LI(A0, 0), RET};

        assert_int_equal(memory_write(rig->as, RAM_BASE + 0x3ffe, first, 8), 0);
        PUT(rig, 0, LI(T2, 1),
            /* a round: only the second half has the number */
            SLLI(T3, T2, 4), SH(T3, S0, 0), FENCE_I, JALR(RA, S1, 0), BEQ(A0, T2, 8),
            ADDI(A1, A1, 1), ADDI(T2, T2, 1), BGE(A3, T2, -28),
            /* then the first: it writes s0 */
            LHU(T3, S1, 0), XORI(T3, T3, 0x100), SH(T3, S1, 0), FENCE_I, LI(A0, 0), JALR(RA, S1, 0),
            WFI);
        hart->x[S0] = RAM_BASE + 0x4000;
        hart->x[S1] = RAM_BASE + 0x3ffe;
        hart->x[A3] = ROUNDS;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(hart->x[A1], 0);
        assert_int_equal(hart->x[A0], 0);
        assert_int_equal(hart->x[S0], ROUNDS);
        rig_free(rig);
    }
}

/* A counter in the page that executes: no code is written, but its page always is. */
static void test_data_beside_code(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = rig_new(&riscv_translator, permutations[i], 1, RAM_SIZE);

        PUT(rig, 0, LD(T0, S0, 0), ADDI(T0, T0, 1), SD(T0, S0, 0), AMOADD_D(0, T0, S1), JAL(RA, 16),
            BNE(T0, A0, -20), WFI, NOP, SW(T0, S0, 16), FENCE_I, RET);
        rig->hart[0].x[S0] = RAM_BASE + 0x400;
        rig->hart[0].x[S1] = RAM_BASE + 0x408;
        rig->hart[0].x[A0] = ROUNDS;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(rig_get64(rig, 0x400), ROUNDS);
        assert_int_equal(rig_get64(rig, 0x408), ROUNDS * (ROUNDS + 1) / 2);
        assert_int_equal(rig_get64(rig, 0x410), ROUNDS);
        rig_free(rig);
    }
}

/* U-mode stores to a page beside one with code, and then to that one: what made the first quick
 * must not hide the second. */
static void test_rewritten_beside_data(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = rig_new(&riscv_translator, permutations[i], 1, RAM_SIZE);
        struct riscv_hart *hart = &rig->hart[0];

        rig_user(rig, 0);
        PUT(rig, 0, LI(A1, 5), JALR(RA, S0, 0), ADDI(A1, A1, -1), BNEZ(A1, -8),
            /* beside, then there */
            SD(A1, S1, 0), SW(T0, S0, 0), FENCE_I, JALR(RA, S0, 0), ECALL);
        PUT(rig, 0x24000, LI(A0, 1), RET);
        hart->x[S0] = RAM_BASE + 0x24000;
        hart->x[S1] = RAM_BASE + 0x25000;
        hart->x[T0] = LI(A0, 2);
        assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
        assert_int_equal(hart->mcause, RISCV_EXC_ECALL_U);
        assert_int_equal(hart->x[A0], 2);
        rig_free(rig);
    }
}

/* ---- rewritten from outside ---- */

/* The guest calls a function over and over and tells what it returned; after flush_code() it
 * returns what was written before. */
static void rewritten_from_outside(const char *options)
{
    struct rig *rig = rig_new(&riscv_translator, options, 1, RAM_SIZE);
    const struct timespec moment = {0, 1000};
    uint64_t *told = (uint64_t *)(memory_main_ram(rig->as)->host + 0x5000);
    pthread_t thread;

    PUT(rig, 0, JALR(RA, S0, 0), SD(A0, S1, 0), J(-8));
    PUT(rig, 0x3000, LI(A0, 1), RET);
    rig->hart[0].x[S0] = RAM_BASE + 0x3000;
    rig->hart[0].x[S1] = RAM_BASE + 0x5000;
    rig_start(rig, &thread);
    for (unsigned n = 1; n < 300; n++) {
        PUT(rig, 0x3000, LI(A0, n));
        rig->type->flush_code(rig->cpu[0]);
        for (unsigned i = 0; __atomic_load_n(told, __ATOMIC_RELAXED) != n; i++) {
            if (i == 2000000) {
                print_error("the guest executes %#llx\n", (unsigned long long)*told);
                abort(); /* the thread has what teardown would free */
            }
            if (i > 1000)
                nanosleep(&moment, NULL);
        }
    }
    rig->type->kick(rig->cpu[0]);
    pthread_join(thread, NULL);
    rig_free(rig);
}

static void test_rewritten_from_outside(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        rewritten_from_outside(permutations[i]);
}

/* The pages of a function and of what it reads are given back to the host (memory_discard()):
 * behind a fence.i the function is zeroes, which no instruction is, and data is read as zero. */
static void test_discarded_from_outside(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = rig_new(&riscv_translator, permutations[i], 1, RAM_SIZE);
        struct riscv_hart *hart = &rig->hart[0];

        PUT(rig, 0, FENCE_I, LI(A1, 100), JALR(RA, S0, 0), ADDI(A1, A1, -1), BNEZ(A1, -8),
            LD(A2, S1, 0), ECALL);
        PUT(rig, 0x24000, LD(A0, S1, 0), RET);
        rig_put64(rig, 0x25000, 7);
        for (unsigned round = 0; round < 3; round++) {
            if (round == 1)
                assert_int_equal(memory_discard(rig->as, RAM_BASE + 0x25000, PAGE_SIZE), 0);
            if (round == 2)
                assert_int_equal(memory_discard(rig->as, RAM_BASE + 0x24000, PAGE_SIZE), 0);
            rig_user(rig, 0);
            hart->x[S0] = RAM_BASE + 0x24000;
            hart->x[S1] = RAM_BASE + 0x25000;
            assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
            if (round < 2) {
                assert_int_equal(hart->mcause, RISCV_EXC_ECALL_U);
                assert_int_equal(hart->x[A0], round ? 0 : 7);
                assert_int_equal(hart->x[A2], round ? 0 : 7);
            } else {
                assert_int_equal(hart->mcause, RISCV_EXC_ILLEGAL);
                assert_int_equal(hart->pc, RAM_BASE + 0x24000);
            }
        }
        rig_free(rig);
    }
}

/* ---- mapped elsewhere ---- */

#define ROOT   0x10000
#define LEAF   UINT64_C(0xcf) /* V R W X A D */
#define HIGH   UINT64_C(0xffffffc080000000)
#define PAGES  (UINT64_C(2) << 20) /* a superpage */
#define PTE(a) (((RAM_BASE + (a)) >> 12) << 10)

/* S-mode calls a function in a superpage, maps another one there, flushes one of its addresses,
 * which is not the function's, and calls again. `status`: what may part loads from fetches. */
static void remapped(const char *options, uint64_t status)
{
    struct rig *rig = rig_new(&riscv_translator, options, 1, RAM_SIZE);
    struct riscv_hart *hart = &rig->hart[0];

    hart->hosted_firmware = true;
    riscv_hart_reset(hart, HIGH, 0);
    hart->mstatus |= status;
    hart->satp = UINT64_C(8) << 60 | (RAM_BASE + ROOT) >> 12;
    rig_put64(rig, ROOT + 258 * 8, PTE(0) | LEAF);
    rig_put64(rig, ROOT, PTE(ROOT + 0x1000) | 1);
    rig_put64(rig, ROOT + 0x1000 + 8, PTE(PAGES) | LEAF);
    PUT(rig, PAGES + 0x1000, ADDI(A0, A0, 1), RET);
    PUT(rig, 2 * PAGES + 0x1000, ADDI(A1, A1, 1), RET);
    PUT(rig, 0, JALR(RA, S0, 0), ADDI(A2, A2, -1), BNEZ(A2, -8),
        /* the other one; t0 and t1 change places */
        SD(T0, S1, 0), SFENCE_VMA(S2, 0), MV(T2, T0), MV(T0, T1), MV(T1, T2), LI(A2, 10),
        ADDI(A3, A3, -1), BNEZ(A3, -40), ECALL);
    hart->x[S0] = PAGES + 0x1000;
    hart->x[S1] = HIGH + ROOT + 0x1000 + 8;
    hart->x[S2] = PAGES + 0x7000;
    hart->x[T0] = PTE(2 * PAGES) | LEAF;
    hart->x[T1] = PTE(PAGES) | LEAF;
    hart->x[A2] = 10;
    hart->x[A3] = 20;
    rig->type->state_in(rig->cpu[0]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(hart->mcause, RISCV_EXC_ECALL_S);
    assert_int_equal(hart->x[A0], 100);
    assert_int_equal(hart->x[A1], 100);
    rig_free(rig);
}

static void test_remapped(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        remapped(permutations[i], 0);
        remapped(permutations[i], MSTATUS_SUM);
        remapped(permutations[i], MSTATUS_SUM | MSTATUS_MXR);
    }
}

/* M-mode executes code with the loads and stores of U-mode (MPRV); later U-mode has other code at
 * the same address. */
static void test_mprv(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = rig_new(&riscv_translator, permutations[i], 1, RAM_SIZE);
        struct riscv_hart *hart = &rig->hart[0];

        rig_put64(rig, ROOT + 2 * 8, PTE(ROOT + 0x1000) | 1);
        rig_put64(rig, ROOT + 0x1000, PTE(ROOT + 0x2000) | 1);
        rig_put64(rig, ROOT + 0x2000, PTE(0x4000) | LEAF | 16);
        rig_put64(rig, 0x4100, 7);
        /* At RAM_BASE in M-mode, and there in U-mode. */
        PUT(rig, 0, LI(A1, 50), CSRRS(0, CSR_MSTATUS, S0), LD(A0, S1, 0), ADDI(A1, A1, -1),
            BNEZ(A1, -8), CSRRC(0, CSR_MSTATUS, S0), CSRRW(0, CSR_MEPC, S2), MRET);
        PUT(rig, 0x4000, NOP, NOP, ADDI(A2, A2, 1), ADDI(A3, A3, 1), ECALL);
        hart->x[S0] = MSTATUS_MPRV;
        hart->x[S1] = RAM_BASE + 0x100;
        hart->x[S2] = RAM_BASE + 8;
        hart->satp = UINT64_C(8) << 60 | (RAM_BASE + ROOT) >> 12;
        hart->pmpcfg[0] = 0x1f;
        hart->pmpaddr[0] = UINT64_MAX >> 10;
        rig->type->state_in(rig->cpu[0]);
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(hart->mcause, RISCV_EXC_ECALL_U);
        assert_int_equal(hart->x[A0], 7);
        assert_int_equal(hart->x[A2], 1);
        assert_int_equal(hart->x[A3], 1);
        rig_free(rig);
    }
}

/* ---- more code than room ---- */

enum { FUNCTIONS = 6000, LENGTH = 61, FIRST_FUNCTION = 0x4000 };

/* Function n: a0 = (a0 ^ n) rotated, over and over. What calls them all in turn, a1 times, is at
 * the start of RAM; s1 is the address of the first. */
static struct rig *many_functions(const char *options)
{
    struct rig *rig = rig_new(&riscv_translator, options, 2, RAM_SIZE);
    uint32_t code[LENGTH];

    for (unsigned n = 0; n < FUNCTIONS; n++) {
        for (unsigned i = 0; i + 1 < LENGTH; i += 2) {
            code[i] = XORI(A0, A0, n & 0x7ff);
            code[i + 1] = RORI(A0, A0, 1 + (n + i) % 63);
        }
        code[LENGTH - 1] = RET;
        rig_put(rig, FIRST_FUNCTION + n * sizeof(code), code, LENGTH);
    }
    PUT(rig, 0, MV(S0, S1), LUI(T0, FUNCTIONS >> 12), ADDI(T0, T0, FUNCTIONS & 0xfff),
        JALR(RA, S0, 0), ADDI(S0, S0, LENGTH * 4), ADDI(T0, T0, -1), BNEZ(T0, -12),
        ADDI(A1, A1, -1), BNEZ(A1, -32), WFI);
    for (unsigned i = 0; i < 2; i++) {
        rig->hart[i].x[S1] = RAM_BASE + FIRST_FUNCTION;
        rig->hart[i].x[A0] = 0;
        rig->hart[i].x[A1] = 3 * rounds();
    }
    return rig;
}

static uint64_t result_of_all(void)
{
    uint64_t value = 0;

    for (unsigned round = 0; round < 3 * rounds(); round++)
        for (unsigned n = 0; n < FUNCTIONS; n++)
            for (unsigned i = 0; i + 1 < LENGTH; i += 2) {
                unsigned turn = 1 + (n + i) % 63;

                value ^= n & 0x7ff;
                value = value >> turn | value << (64 - turn);
            }
    return value;
}

static uint64_t evicted(struct rig *rig)
{
    struct engine_counters counters;

    rig->type->counters(rig->cpu[0], &counters);
    return counters.segments_evicted;
}

static void test_eviction(void **state)
{
    struct rig *rig = many_functions("heat=0,code=1M");

    rig_run_all(rig, CPU_STOP_WAIT);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rig->hart[i].x[A0], result_of_all());
    assert_in_range(evicted(rig), 11, UINT64_MAX);
    rig_free(rig);
}

/* ---- memory that is given back ---- */

static struct engine_footprint footprint(struct rig *rig)
{
    struct engine_footprint footprint;

    rig->type->footprint(rig->cpu[0], &footprint);
    return footprint;
}

/* What the kernel says of it, in bytes; `key`: of /proc/self/status. */
static uint64_t resident(const char *key)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long kib = 0;
    char line[128];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, key, strlen(key)))
            sscanf(line + strlen(key), ": %llu kB", &kib);
    fclose(file);
    return kib << 10;
}

/* Segment by segment, oldest first, down to the one that is being filled; and all of it is made
 * again. */
static void test_trim(void **state)
{
    struct rig *rig = many_functions("heat=0,code=4M,spare=0");
    struct engine_footprint before, after;
    uint64_t code, tables;
    unsigned turns = 0;

    assert_int_equal(rig->type->trim(rig->cpu[0]), 0);
    rig_run_all(rig, CPU_STOP_WAIT);
    before = footprint(rig);
    code = resident("RssShmem");
    tables = resident("RssAnon");
    assert_in_range(before.code + before.tables, 2 << 20, 4 << 20);
    for (after = before; after.spare; turns++) {
        uint64_t spare = after.spare, held = after.code + after.tables;

        assert_int_equal(rig->type->trim(rig->cpu[0]), spare);
        after = footprint(rig);
        assert_int_equal(after.code + after.tables, held - spare);
    }
    assert_in_range(turns, 3, 7);
    assert_int_equal(rig->type->trim(rig->cpu[0]), 0);
    /* The kernel's counters are off by as much as its CPUs keep to themselves. */
    assert_in_range(resident("RssShmem"), 0, code - (before.code - after.code) / 2);
    assert_in_range(resident("RssAnon"), 0, tables - (before.tables - after.tables) / 2);
    for (unsigned i = 0; i < 2; i++) {
        rig->hart[i].pc = RAM_BASE;
        rig->hart[i].x[A0] = 0;
        rig->hart[i].x[A1] = 3 * rounds();
        rig->type->state_in(rig->cpu[i]);
    }
    rig_run_all(rig, CPU_STOP_WAIT);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rig->hart[i].x[A0], result_of_all());
    rig_free(rig);
}

/* From another thread than the CPU's, which goes on. */
static void test_trim_of_what_is_executed(void **state)
{
    struct rig *rig = many_functions("heat=0,code=1M,spare=0");
    uint64_t dropped = 0;
    pthread_t thread;

    rig_start(rig, &thread);
    while (!rig_ended(thread, 1))
        dropped += rig->type->trim(rig->cpu[0]);
    assert_true(dropped > 0);
    assert_int_equal(rig->stop, CPU_STOP_WAIT);
    assert_int_equal(rig->hart[0].x[A0], result_of_all());
    rig_free(rig);
}

/* What was made just now is wanted, else it would not have been. */
static void test_no_trim_of_what_is_new(void **state)
{
    struct rig *rig = many_functions("heat=0,code=4M,spare=3600");

    rig_run_all(rig, CPU_STOP_WAIT);
    assert_true(footprint(rig).code > 1 << 20);
    assert_int_equal(footprint(rig).spare, 0);
    assert_int_equal(rig->type->trim(rig->cpu[0]), 0);
    rig_free(rig);
}

/* What bounds the code bounds what is kept of it, too, which of branches is more. */
static void test_tables_take_part_of_the_room(void **state)
{
    enum { COUNT = 2400, SIZE = 4 * LENGTH, SEGMENTS = 8, SEGMENT = (4 << 20) / SEGMENTS };
    struct rig *rig = rig_new(&riscv_translator, "heat=0,code=4M,regions=0", 1, RAM_SIZE);
    struct engine_counters counters;
    uint32_t code[LENGTH];

    for (unsigned i = 0; i + 1 < LENGTH; i++)
        code[i] = BEQ(A2, A3, 4 * (int)(LENGTH - 1 - i));
    code[LENGTH - 1] = RET;
    for (unsigned n = 0; n < COUNT; n++)
        rig_put(rig, FIRST_FUNCTION + n * SIZE, code, LENGTH);
    PUT(rig, 0, JALR(RA, S0, 0), ADDI(S0, S0, SIZE), ADDI(T0, T0, -1), BNEZ(T0, -12), WFI);
    rig->hart[0].x[S0] = RAM_BASE + FIRST_FUNCTION;
    rig->hart[0].x[T0] = COUNT;
    rig->hart[0].x[A3] = 1;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    rig->type->counters(rig->cpu[0], &counters);
    assert_true(counters.table_bytes > counters.code_bytes);
    assert_in_range((counters.code_bytes + counters.table_bytes) / SEGMENT, SEGMENTS + 1,
                    counters.segments_evicted + SEGMENTS - 1);
    rig_free(rig);
}

/* A hart is held in the middle of its unit while the other one goes through all the room there is:
 * what it comes back to must be what it left. */
static void test_eviction_of_what_is_executed(void **state)
{
    struct rig *rig = many_functions("heat=0,code=1M");
    struct gate gate;
    pthread_t thread;

    rig_add_gate(rig, &gate);
    PUT(rig, 0x1000, LI(T1, 0), LW(T0, S2, 0), ADDI(T1, T1, 7), XORI(T1, T1, 0x123), LW(T0, S2, 0),
        SLLI(T1, T1, 4), ADDI(T1, T1, 1), WFI);
    rig->hart[1].pc = RAM_BASE + 0x1000;
    rig->hart[1].x[S2] = GATE;
    rig->index = 1;
    rig_start(rig, &thread);
    sem_wait(&gate.entered);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(rig->hart[0].x[A0], result_of_all());
    sem_post(&gate.leave);
    sem_wait(&gate.entered);
    rig->hart[0].pc = RAM_BASE;
    rig->hart[0].x[A1] = 1;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    sem_post(&gate.leave);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stop, CPU_STOP_WAIT);
    assert_int_equal(rig->hart[1].x[T1], (7 ^ 0x123) << 4 | 1);
    assert_true(evicted(rig) > 0);
    rig_free(rig);
}

/* ---- from one engine to the other ---- */

static const uint32_t fibonacci[] = {
    JAL(RA, 8),
    WFI,
    LI(T0, 2),
    BGEU(A0, T0, 8),
    RET,
    /* more than one; with floating point, atomics and a count of its own */
    ADDI(SP, SP, -16),
    SD(RA, SP, 0),
    SD(A0, SP, 8),
    ADDI(A0, A0, -1),
    JAL(RA, -28),
    LD(T0, SP, 8),
    SD(A0, SP, 8),
    ADDI(A0, T0, -2),
    JAL(RA, -44),
    LD(T0, SP, 8),
    ADD(A0, A0, T0),
    FCVT_D_L(0, A0),
    FMADD_D(1, 1, 2, 0),
    AMOADD_D(S1, A0, S0),
    LD(RA, SP, 0),
    ADDI(SP, SP, 16),
    RET,
};

static void fibonacci_begin(struct rig *rig)
{
    static const double factor = 0.999;

    rig_put(rig, 0, fibonacci, ARRAY_SIZE(fibonacci));
    rig->hart[0].x[A0] = 30;
    rig->hart[0].x[SP] = RAM_BASE + RAM_SIZE;
    rig->hart[0].x[S0] = RAM_BASE + 0x6000;
    memcpy(&rig->hart[0].f[2], &factor, 8);
}

/* Some instructions by the interpreter, or the translator for a moment. False: it has ended. */
static bool run_a_part(struct rig *rig, bool translate, unsigned amount)
{
    const struct timespec moment = {0, amount % 30000};
    enum cpu_stop stop;
    pthread_t thread;

    rig_make_engine(rig, translate ? &riscv_translator : &riscv_interpreter,
                    translate ? "heat=1" : NULL);
    if (translate) {
        rig_start(rig, &thread);
        nanosleep(&moment, NULL);
        rig->type->kick(rig->cpu[0]);
        pthread_join(thread, NULL);
        stop = rig->stop;
        assert_true(stop == CPU_STOP_KICK || stop == CPU_STOP_WAIT);
    } else {
        stop = rig_run(rig, 1 + amount % 50000);
        assert_true(stop == CPU_STOP_LIMIT || stop == CPU_STOP_WAIT);
    }
    rig->type->state_out(rig->cpu[0]);
    return stop != CPU_STOP_WAIT;
}

static void test_engines_take_turns(void **state)
{
    struct rig *alone = rig_new(&riscv_interpreter, NULL, 1, RAM_SIZE);
    unsigned seed = 1, parts = 0;

    fibonacci_begin(alone);
    assert_int_equal(rig_run(alone, 0), CPU_STOP_WAIT);
    assert_int_equal(alone->hart[0].x[A0], 832040);
    for (unsigned i = 0; i < 4 * rounds(); i++) {
        struct rig *rig = rig_new(&riscv_interpreter, NULL, 1, RAM_SIZE);
        bool translate = false;

        fibonacci_begin(rig);
        do {
            rig_free_engine(rig);
            translate = !translate;
            parts++;
        } while (run_a_part(rig, translate, (unsigned)rand_r(&seed)));
        assert_true(rig_same_hart(&alone->hart[0], &rig->hart[0]));
        assert_true(rig_same_memory(alone, rig));
        rig_free(rig);
    }
    assert_in_range(parts, 12, UINT32_MAX);
    rig_free(alone);
}

/* Code that does not fit, round after round: each unit would go before it is executed again. */
static void test_units_that_do_not_last(void **state)
{
    enum { WORDS = 1 << 17, TIMES = 40 };
    struct rig *rig = rig_new(&riscv_translator, "heat=2,code=1M,regions=0", 1, UINT64_C(4) << 20);
    struct riscv_hart *hart = &rig->hart[0];
    struct engine_counters counters = {0};
    uint32_t *code = malloc(WORDS * sizeof(*code));

    assert_non_null(code);
    for (unsigned i = 0; i < WORDS; i++)
        code[i] = i % 2 ? XOR(A3, A3, A0) : ADDI(A0, A0, 1);
    assert_int_equal(memory_write(rig->as, RAM_BASE, code, WORDS * sizeof(*code)), 0);
    PUT(rig, WORDS * sizeof(*code), ADDI(A1, A1, -1), BEQZ(A1, 8), JALR(0, S0, 0), WFI);
    hart->x[A0] = 0;
    hart->x[A1] = TIMES;
    hart->x[S0] = RAM_BASE;
    hart->pc = RAM_BASE;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(hart->x[A0], (uint64_t)WORDS / 2 * TIMES);
    rig->type->counters(rig->cpu[0], &counters);
    assert_true(counters.segments_evicted);
    if (counters.units > UINT64_C(8) * WORDS / 64)
        fail_msg("%llu units of %u places in %u rounds", (unsigned long long)counters.units,
                 WORDS / 64, TIMES);
    free(code);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_that_do_not_last),
        cmocka_unit_test(test_rewritten_by_the_guest),
        cmocka_unit_test(test_rewritten_without_a_fence),
        cmocka_unit_test(test_rewritten_across_pages),
        cmocka_unit_test(test_data_beside_code),
        cmocka_unit_test(test_rewritten_beside_data),
        cmocka_unit_test(test_rewritten_from_outside),
        cmocka_unit_test(test_discarded_from_outside),
        cmocka_unit_test(test_remapped),
        cmocka_unit_test(test_mprv),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_tables_take_part_of_the_room),
        cmocka_unit_test(test_eviction_of_what_is_executed),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_trim_of_what_is_executed),
        cmocka_unit_test(test_no_trim_of_what_is_new),
        cmocka_unit_test(test_engines_take_turns),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
