/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs in U-mode, whose memory a translator may reach through mappings of its own, while other
 * threads change what is there: page tables and their flushes, code, another hart's code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"

#define RAM_SIZE (UINT64_C(8) << 20)
#define ROOT     0x100000 /* of RAM; tables follow */
#define VIRTUAL  UINT64_C(0x40000000)
#define ASID     UINT64_C(7)
#define PTE(a)   (((RAM_BASE + (a)) >> 12) << 10)

enum { LEAF_U = 0xdf /* V R W X U A D */, PAGE_A = 0x10000, PAGE_B = 0x20000 };

static const char *const permutations[] = {
    NULL, "heat=0,windows=0", "heat=0,windows=2", "heat=0,unit=1,windows=2", "heat=3,windows=2",
};

static void wait_a_moment(void)
{
    const struct timespec moment = {0, 50000};

    nanosleep(&moment, NULL);
}

/* Virtual page n is at VIRTUAL + n pages; the first ones are mapped. */
static gpa leaf(uint64_t page)
{
    return ROOT + 0x2000 + 8 * page;
}

static struct rig *translated(const char *options)
{
    struct rig *rig = rig_new(&riscv_translator, options, 1, RAM_SIZE);

    rig_user(rig, 0);
    rig_put64(rig, ROOT + 8, PTE(ROOT + 0x1000) | 1);
    rig_put64(rig, ROOT + 0x1000, PTE(ROOT + 0x2000) | 1);
    rig->hart[0].satp = UINT64_C(8) << 60 | ASID << 44 | (RAM_BASE + ROOT) >> 12;
    rig->hart[0].pc = VIRTUAL;
    rig_put64(rig, leaf(0), PTE(0) | LEAF_U);
    rig_put64(rig, leaf(1), PTE(PAGE_A) | LEAF_U);
    rig_put64(rig, leaf(2), PTE(0x30000) | LEAF_U);
    rig->type->state_in(rig->cpu[0]);
    return rig;
}

static uint64_t told(struct rig *rig, uint64_t at)
{
    return __atomic_load_n((uint64_t *)(memory_main_ram(rig->as)->host + at), __ATOMIC_SEQ_CST);
}

/* The guest tells something that a test waits for. */
static void wait_for_change(struct rig *rig, uint64_t at, uint64_t from)
{
    for (unsigned i = 0; told(rig, at) == from; i++) {
        if (i == 200000) {
            print_error("the guest tells nothing new at %#llx\n", (unsigned long long)at);
            abort(); /* the thread has what teardown would free */
        }
        wait_a_moment();
    }
}

static void end(struct rig *rig, pthread_t thread)
{
    rig->type->kick(rig->cpu[0]);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stop, CPU_STOP_KICK);
    rig_free(rig);
}

/* ---- flushes from outside ---- */

/* The guest counts in a page, which is mapped elsewhere: once the flush is done no store goes to
 * the old one any more. */
static void data_is_moved(const char *options)
{
    struct rig *rig = translated(options);
    pthread_t thread;

    PUT(rig, 0, ADDI(T0, T0, 1), SD(T0, S0, 0), LD(T1, S0, 0), J(-12));
    rig->hart[0].x[S0] = VIRTUAL + 0x1000;
    rig_start(rig, &thread);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t old = i & 1 ? PAGE_B : PAGE_A, new = i & 1 ? PAGE_A : PAGE_B, there;

        wait_for_change(rig, old, told(rig, old));
        rig_put64(rig, leaf(1), PTE(new) | LEAF_U);
        rig->type->flush_tlb(rig->cpu[0], VIRTUAL + 0x1000, 0x1000, i % 3 ? ASID : UINT64_MAX);
        there = told(rig, old);
        wait_for_change(rig, new, told(rig, new));
        assert_int_equal(told(rig, old), there);
    }
    end(rig, thread);
}

/* The same with code: a function that tells which page it is in. */
static void code_is_moved(const char *options)
{
    struct rig *rig = translated(options);
    pthread_t thread;

    PUT(rig, 0, JALR(RA, S1, 0), SD(A0, S0, 0), ADDI(A1, A1, 1), SD(A1, S0, 8), J(-16));
    PUT(rig, PAGE_A, LI(A0, 1), RET);
    PUT(rig, PAGE_B, LI(A0, 2), RET);
    rig->hart[0].x[S0] = VIRTUAL + 0x2000;
    rig->hart[0].x[S1] = VIRTUAL + 0x1000;
    rig_start(rig, &thread);
    for (unsigned i = 0; i < 100; i++) {
        rig_put64(rig, leaf(1), PTE(i & 1 ? PAGE_A : PAGE_B) | LEAF_U);
        rig->type->flush_tlb(rig->cpu[0], VIRTUAL + 0x1000, 0x1000, ASID);
        /* The call that was under way, and the next one. */
        for (unsigned j = 0; j < 2; j++)
            wait_for_change(rig, 0x30008, told(rig, 0x30008));
        assert_int_equal(told(rig, 0x30000), i & 1 ? 1 : 2);
    }
    end(rig, thread);
}

static void test_mapped_elsewhere(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        data_is_moved(permutations[i]);
        code_is_moved(permutations[i]);
    }
}

/* A page loses the right to be written while it is. */
static void test_protected_while_written(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        for (unsigned j = 0; j < 20; j++) {
            struct rig *rig = translated(permutations[i]);
            struct riscv_hart *hart = &rig->hart[0];
            pthread_t thread;

            PUT(rig, 0, ADDI(T0, T0, 1), SD(T0, S0, 0), J(-8));
            hart->x[S0] = VIRTUAL + 0x1000;
            rig_start(rig, &thread);
            wait_for_change(rig, PAGE_A, told(rig, PAGE_A));
            rig_put64(rig, leaf(1), PTE(PAGE_A) | (LEAF_U & ~4));
            rig->type->flush_tlb(rig->cpu[0], VIRTUAL, 0x3000, UINT64_MAX);
            pthread_join(thread, NULL);
            assert_int_equal(rig->stop, CPU_STOP_FIRMWARE);
            assert_int_equal(hart->mcause, RISCV_EXC_STORE_PAGE);
            assert_int_equal(hart->mtval, VIRTUAL + 0x1000);
            assert_int_equal(hart->mepc, VIRTUAL + 4);
            assert_int_equal(hart->x[T0], told(rig, PAGE_A) + 1);
            rig_free(rig);
        }
    }
}

/* ---- code of another hart ---- */

/* One hart writes `li a0, n; ret` and says so; the other executes fence.i and the function, and
 * counts the results that are not n. Flags, code and a counter are in one page. */
static void test_code_of_another_hart(void **state)
{
    enum { ROUNDS = 1000 };

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = rig_new(&riscv_translator, permutations[i], 2, RAM_SIZE);

        rig_user(rig, 0);
        rig_user(rig, 1);
        PUT(rig, 0, LI(T2, 1),
            /* a round */
            SLLI(T3, T2, 20), ADDIW(T3, T3, LI(A0, 0)), SD(T2, T0, 512), SW(T3, T0, 0),
            FENCE(FENCE_RW, FENCE_RW), SW(T2, T0, 256), LW(T3, T0, 260), BNE(T3, T2, -4),
            ADDI(T2, T2, 1), BGE(T1, T2, -36), ECALL);
        PUT(rig, 0x1000, LI(T2, 1), LW(T3, T0, 256), BNE(T3, T2, -4), FENCE_I, JALR(RA, T0, 0),
            BEQ(A0, T2, 8), ADDI(A1, A1, 1), SW(T2, T0, 260), ADDI(T2, T2, 1), BGE(T1, T2, -32),
            ECALL);
        PUT(rig, 0x5000, LI(A0, 0), RET);
        rig->hart[1].pc = RAM_BASE + 0x1000;
        for (unsigned j = 0; j < 2; j++) {
            rig->hart[j].x[T0] = RAM_BASE + 0x5000;
            rig->hart[j].x[T1] = ROUNDS;
        }
        rig_run_all(rig, CPU_STOP_FIRMWARE);
        assert_int_equal(rig->hart[1].x[T2], ROUNDS + 1);
        assert_int_equal(rig->hart[1].x[A1], 0);
        rig_free(rig);
    }
}

/* ---- more pages than are kept ---- */

enum { SPREAD = 6000, DATA_PAGES = 64 };

/* Virtual pages that lie next to each other in no way in RAM, one in sixteen of 384 MiB: each is
 * written and read again, twice over. */
static uint64_t spread(const struct engine_type *type, const char *options)
{
    struct rig *rig = rig_new(type, options, 1, RAM_SIZE);
    struct riscv_hart *hart = &rig->hart[0];
    struct engine_counters counters;
    uint64_t sum;

    rig_user(rig, 0);
    rig_put64(rig, ROOT, PTE(ROOT + 0x2000) | 1); /* the code at 0 */
    rig_put64(rig, ROOT + 0x2000, PTE(ROOT + 0x3000) | 1);
    rig_put64(rig, ROOT + 0x3000, PTE(0) | LEAF_U);
    rig_put64(rig, ROOT + 8, PTE(ROOT + 0x1000) | 1);
    for (uint64_t i = 0; i < SPREAD; i++) {
        uint64_t page = 16 * i, table = ROOT + 0x10000 + page / 512 * 0x1000;

        rig_put64(rig, ROOT + 0x1000 + page / 512 * 8, PTE(table) | 1);
        rig_put64(rig, table + page % 512 * 8,
                  PTE(0x20000 + i * 37 % DATA_PAGES * 0x1000) | LEAF_U);
    }
    PUT(rig, 0, MV(T0, S0), MV(T1, S2),
        /* a page */
        LD(T2, T0, 0), ADD(T2, T2, T1), SD(T2, T0, 0), LD(T3, T0, 0), RORI(A0, A0, 1),
        ADD(A0, A0, T3), ADD(T0, T0, S1), ADDI(T1, T1, -1), BNEZ(T1, -32), ADDI(A1, A1, -1),
        BNEZ(A1, -48), ECALL);
    hart->pc = 0;
    hart->satp = UINT64_C(8) << 60 | (RAM_BASE + ROOT) >> 12;
    hart->x[S0] = VIRTUAL;
    hart->x[S1] = 0x10000;
    hart->x[S2] = SPREAD;
    hart->x[A1] = 2;
    rig->type->state_in(rig->cpu[0]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(hart->mcause, RISCV_EXC_ECALL_U);
    sum = hart->x[A0];
    type->counters(rig->cpu[0], &counters);
    assert_int_equal(counters.window_fills != 0, options && strstr(options, "windows=2"));
    rig_free(rig);
    return sum;
}

static void test_many_pages(void **state)
{
    uint64_t wanted = spread(&riscv_interpreter, NULL);

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        assert_int_equal(spread(&riscv_translator, permutations[i]), wanted);
}

/* ---- what a device sees of a machine of one CPU, which does without locks mostly ---- */

enum {
    ROUNDS = 100000,
    TURNS_MOST = 8000000,
    LOG = 0x200000, /* of RAM */
    LOG_PAGES = ROUNDS * 8 / 0x1000 + 1,
    LOG_AT = 0x10000, /* behind VIRTUAL */
};

/* Each with acquire and release at once, between a store and a load. */
static const struct {
    const char *name;
    uint32_t insns[4];
} orders[] = {
    {"a fence", {FENCE(FENCE_RW, FENCE_RW), NOP, NOP, NOP}},
    {"amoswap", {AMOSWAP_D(A2, A0, S1, 3), NOP, NOP, NOP}},
    {"amoadd", {INSN_R(0x2f, 3, 3, A2, S1, A0), NOP, NOP, NOP}},
    {"amoor, whose result nobody wants", {INSN_R(0x2f, 2, 0x23, 0, S1, A0), NOP, NOP, NOP}},
    {"amoand", {INSN_R(0x2f, 2, 0x33, A2, S1, A0), NOP, NOP, NOP}},
    {"lr and sc, of which lr orders",
     {LR_D(A2, S1, 3), BNE(A2, 0, 12), SC_D(A5, 0, S1, 0), BNEZ(A5, -12)}},
    {"lr and sc, of which sc orders",
     {LR_D(A2, S1, 0), BNE(A2, 0, 12), SC_D(A5, 0, S1, 3), BNEZ(A5, -12)}},
};

/* The device's turns: tells turn m, and then looks how far the guest is. */
static unsigned take_turns(struct rig *rig, uint32_t *seen)
{
    uint64_t *data = (uint64_t *)(memory_main_ram(rig->as)->host + 0x30000);
    unsigned turn = 0;

    while (turn < TURNS_MOST - 1 && (!turn || seen[turn] != ROUNDS)) {
        __atomic_store_n(&data[8], ++turn, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        seen[turn] = (uint32_t)__atomic_load_n(&data[0], __ATOMIC_RELAXED);
    }
    return turn;
}

/* If round n did not see turn m, then turn m saw round n. */
static void order_is_seen(const char *options, unsigned which)
{
    struct rig *rig = translated(options);
    uint32_t *seen = calloc(TURNS_MOST, sizeof(seen[0]));
    const uint32_t *order = orders[which].insns;
    pthread_t thread;
    unsigned turns;

    assert_non_null(seen);
    for (unsigned i = 0; i < LOG_PAGES; i++)
        rig_put64(rig, leaf(LOG_AT / 0x1000 + i), PTE(LOG + i * 0x1000) | LEAF_U);
    PUT(rig, 0, ADDI(A0, A0, 1), SD(A0, S0, 0), order[0], order[1], order[2], order[3],
        LD(A3, S0, 64), SD(A3, S2, 0), ADDI(S2, S2, 8), BNE(A0, A4, -36), SD(A0, S0, 256), J(0));
    rig->hart[0].x[S0] = VIRTUAL + 0x2000;
    rig->hart[0].x[S1] = VIRTUAL + 0x2080;
    rig->hart[0].x[S2] = VIRTUAL + LOG_AT;
    rig->hart[0].x[A4] = ROUNDS;
    rig_start(rig, &thread);
    turns = take_turns(rig, seen);
    wait_for_change(rig, 0x30100, 0);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint64_t turn = rig_get64(rig, LOG + 8 * (round - 1)) + 1;

        if (turn <= turns && seen[turn] < round)
            fail_msg("%s, %s: round %u and turn %u saw nothing of each other", options,
                     orders[which].name, round, (unsigned)turn);
    }
    free(seen);
    end(rig, thread);
}

static void test_orders(void **state)
{
    for (unsigned i = 1; i < ARRAY_SIZE(permutations); i++)
        for (unsigned which = 0; which < ARRAY_SIZE(orders); which++)
            order_is_seen(permutations[i], which);
}

/* ---- loads of one place, in a loop that is done by vectors ---- */

enum { WORDS = 64, PASSES = 30000 };

/* The guest loads each word twice, in one round as the next one and in the following round as the
 * first, and stores both. Here they only grow, so that what is loaded later is no smaller. */
static void loads_in_order(const char *options, bool two_registers)
{
    struct rig *rig = translated(options);
    uint64_t *data = (uint64_t *)(memory_main_ram(rig->as)->host + 0x30000);
    struct engine_counters counters;
    pthread_t thread;
    uint64_t turn = 0, pass = 0;

    PUT(rig, 0, ADDI(A0, A0, 1), MV(A4, S0), ADDI(S3, S0, 8), ADDI(A2, S0, 1024), LD(A5, A4, 0),
        two_registers ? LD(A3, S3, 0) : LD(A3, A4, 8), SLLI(A5, A5, 32), OR(A5, A5, A3),
        SD(A5, A2, 0), ADDI(A4, A4, 8), ADDI(A2, A2, 8), ADDI(S3, S3, 8), BNE(A4, S1, -32),
        SD(A0, S0, 768), LD(A5, S0, 776), BNE(A5, A0, -4), J(-64));
    rig->hart[0].x[S0] = VIRTUAL + 0x2000;
    rig->hart[0].x[S1] = VIRTUAL + 0x2000 + WORDS * 8;
    rig_start(rig, &thread);
    while (pass < PASSES) {
        for (unsigned i = 0; i < WORDS + 1; i++)
            __atomic_store_n(&data[i], turn, __ATOMIC_RELAXED);
        turn++;
        if (told(rig, 0x30300) == pass)
            continue;
        pass++;
        for (unsigned i = 0; i + 1 < WORDS; i++)
            if ((data[128 + i] & UINT32_MAX) > data[128 + i + 1] >> 32)
                fail_msg("%s: word %u was %u, and then %u", options, i + 1, (unsigned)data[128 + i],
                         (unsigned)(data[128 + i + 1] >> 32));
        __atomic_store_n(&data[97], pass, __ATOMIC_SEQ_CST);
    }
    rig->type->counters(rig->cpu[0], &counters);
    assert_int_equal(counters.streams != 0,
                     strstr(options, "windows=2") && !strstr(options, "unit"));
    end(rig, thread);
}

/* The guest copies words that change from all zeros to all ones meanwhile, and what it stores is
 * looked at meanwhile: each is one or the other. */
static void words_are_whole(const char *options, unsigned odd)
{
    struct rig *rig = translated(options);
    uint64_t *data = (uint64_t *)(memory_main_ram(rig->as)->host + 0x30000) + odd;
    pthread_t thread;

    PUT(rig, 0, MV(A4, S0), ADDI(A2, S0, 1024), LD(A5, A4, 0), SD(A5, A2, 0), ADDI(A4, A4, 8),
        ADDI(A2, A2, 8), BNE(A4, S1, -16), J(-28));
    rig->hart[0].x[S0] = VIRTUAL + 0x2000 + 8 * odd;
    rig->hart[0].x[S1] = VIRTUAL + 0x2000 + 8 * odd + WORDS * 8;
    rig_start(rig, &thread);
    for (unsigned turn = 0; turn < 20000; turn++)
        for (unsigned i = 0; i < WORDS; i++) {
            uint64_t copy = __atomic_load_n(&data[128 + i], __ATOMIC_RELAXED);

            __atomic_store_n(&data[i], turn & 1 ? UINT64_MAX : 0, __ATOMIC_RELAXED);
            if (copy && copy != UINT64_MAX)
                fail_msg("%s: a word of %#llx", options, (unsigned long long)copy);
        }
    end(rig, thread);
}

static void test_whole(void **state)
{
    for (unsigned i = 1; i < ARRAY_SIZE(permutations); i++)
        for (unsigned odd = 0; odd < 4; odd++)
            words_are_whole(permutations[i], odd);
}

static void test_loads(void **state)
{
    for (unsigned i = 1; i < ARRAY_SIZE(permutations); i++) {
        loads_in_order(permutations[i], false);
        loads_in_order(permutations[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapped_elsewhere),
        cmocka_unit_test(test_protected_while_written),
        cmocka_unit_test(test_code_of_another_hart),
        cmocka_unit_test(test_many_pages),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_whole),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
