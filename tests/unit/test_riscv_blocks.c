/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of RAM that are plugged and unplugged under CPUs of each engine: what is not there faults
 * as where there is no RAM, however well a CPU knew it, and the host holds nothing for it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"

#define FIXED   (UINT64_C(8) << 20)
#define BLOCKS  4
#define SIZE    (FIXED + BLOCKS * RAM_BLOCK_SIZE)
#define ROOT    0x100000 /* of RAM; tables follow */
#define VIRTUAL UINT64_C(0x40000000)
#define PTE(a)  (((RAM_BASE + (a)) >> 12) << 10)

enum { LEAF_U = 0xdf /* V R W X U A D */, OFTEN = 200 };

static const struct {
    const struct engine_type *type;
    const char *options;
} permutations[] = {
    {&riscv_interpreter, NULL},
    {&riscv_translator, NULL},
    {&riscv_translator, "heat=0,windows=0"},
    {&riscv_translator, "heat=0,windows=2"},
    {&riscv_translator, "heat=0,windows=2,regions=2"},
    {&riscv_translator, "heat=0,unit=1,windows=2"},
};

static unsigned permutation_count(void)
{
    return riscv_translator_missing() ? 1 : ARRAY_SIZE(permutations);
}

static struct rig *rig_of(unsigned permutation)
{
    return rig_new_pluggable(permutations[permutation].type, permutations[permutation].options, 1,
                             FIXED, SIZE);
}

/* Block n, from the start of RAM. */
static uint64_t block(unsigned n)
{
    return FIXED + n * RAM_BLOCK_SIZE;
}

static void plug(struct rig *rig, unsigned n)
{
    assert_int_equal(memory_plug(rig->as, RAM_BASE + block(n), RAM_BLOCK_SIZE), 0);
}

/* The host holds nothing of the block. */
static bool is_given_back(struct rig *rig, unsigned n)
{
    off_t at = lseek(memory_main_ram(rig->as)->fd, (off_t)block(n), SEEK_DATA);

    return at < 0 || at >= (off_t)block(n + 1);
}

static void wait_a_moment(void)
{
    const struct timespec moment = {0, 50000};

    nanosleep(&moment, NULL);
}

static void unplug(struct rig *rig, unsigned n)
{
    int r;

    /* The thread that makes regions may hold a page for a moment. */
    while ((r = memory_unplug(rig->as, RAM_BASE + block(n), RAM_BLOCK_SIZE)) == -EBUSY)
        wait_a_moment();
    assert_int_equal(r, 0);
    rig->type->forget(rig->cpu[0]);
    assert_int_equal(memory_reclaim(rig->as, RAM_BASE + block(n), RAM_BLOCK_SIZE), 0);
    assert_true(is_given_back(rig, n));
}

/* ---- each kind of access, in M-mode ---- */

struct access {
    const char *name;
    uint32_t insn; /* of the address in s0 */
    uint64_t cause;
    int offset; /* s0 from the start of block 0 */
    uint64_t tval;
};

static const struct access accesses[] = {
    {"lb", LB(A0, S0, 0), RISCV_EXC_LOAD_ACCESS, 0, 0},
    {"ld", LD(A0, S0, 0), RISCV_EXC_LOAD_ACCESS, 0x1008, 0x1008},
    {"fld", FLD(1, S0, 0), RISCV_EXC_LOAD_ACCESS, 0x10, 0x10},
    {"ld over the edge", LD(A0, S0, 0), RISCV_EXC_LOAD_ACCESS, -4, 0},
    {"ld misaligned", LD(A0, S0, 0), RISCV_EXC_LOAD_ACCESS, 3, 3},
    {"sw", SW(A1, S0, 0), RISCV_EXC_STORE_ACCESS, 0x20, 0x20},
    {"sd over the edge", SD(A1, S0, 0), RISCV_EXC_STORE_ACCESS, -1, 0},
    {"sd misaligned", SD(A1, S0, 0), RISCV_EXC_STORE_ACCESS, 0x1ffff3, 0x1ffff3},
    {"lr.d", LR_D(A0, S0, 0), RISCV_EXC_LOAD_ACCESS, 0x40, 0x40},
    {"sc.d", SC_D(A0, A1, S0, 0), RISCV_EXC_STORE_ACCESS, 0x40, 0x40},
    {"amoadd.w", AMOADD_W(A0, A1, S0), RISCV_EXC_STORE_ACCESS, 0x44, 0x44},
    {"amoswap.d", AMOSWAP_D(A0, A1, S0, 0), RISCV_EXC_STORE_ACCESS, 0x48, 0x48},
};

/* a1 rounds of the access. */
static void access_run(struct rig *rig, const struct access *access, unsigned rounds)
{
    struct riscv_hart *hart = &rig->hart[0];

    PUT(rig, 0, access->insn, ADDI(A2, A2, -1), BNEZ(A2, -8), ECALL);
    hart->pc = RAM_BASE;
    hart->x[S0] = RAM_BASE + block(0) + (uint64_t)(int64_t)access->offset;
    hart->x[A1] = 1;
    hart->x[A2] = rounds;
    hart->mcause = 0;
    rig->type->state_in(rig->cpu[0]);
    rig->type->flush_code(rig->cpu[0]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
}

static void access_faults(struct rig *rig, const struct access *access, unsigned permutation)
{
    const struct riscv_hart *hart = &rig->hart[0];

    if (hart->mcause != access->cause || hart->mtval != RAM_BASE + block(0) + access->tval ||
        hart->mepc != RAM_BASE || !is_given_back(rig, 0))
        fail_msg("engine %u, %s: cause %llu, tval %#llx, epc %#llx", permutation, access->name,
                 (unsigned long long)hart->mcause, (unsigned long long)hart->mtval,
                 (unsigned long long)hart->mepc);
}

static void accesses_fault(void **state)
{
    for (unsigned p = 0; p < permutation_count(); p++) {
        struct rig *rig = rig_of(p);

        for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
            access_run(rig, &accesses[i], OFTEN);
            access_faults(rig, &accesses[i], p);
            assert_int_equal(rig->hart[0].x[A2], OFTEN);
            plug(rig, 0);
            access_run(rig, &accesses[i], OFTEN);
            if (rig->hart[0].mcause != RISCV_EXC_ECALL_M)
                fail_msg("engine %u, %s", p, accesses[i].name);
            unplug(rig, 0);
            access_run(rig, &accesses[i], OFTEN);
            access_faults(rig, &accesses[i], p);
        }
        rig_free(rig);
    }
}

/* Code, which is executed by every engine in its own way. */
static void code_faults(void **state)
{
    for (unsigned p = 0; p < permutation_count(); p++) {
        struct rig *rig = rig_of(p);
        struct riscv_hart *hart = &rig->hart[0];

        PUT(rig, 0, JALR(RA, S0, 0), ADDI(A2, A2, -1), BNEZ(A2, -8), ECALL);
        for (unsigned round = 0; round < 6; round++) {
            unsigned at = round % 3 * 0x10;

            if (round & 1) {
                plug(rig, 1);
                PUT(rig, block(1) + at, ADDI(A0, A0, (int)round), RET);
            }
            hart->pc = RAM_BASE;
            hart->x[S0] = RAM_BASE + block(1) + at;
            hart->x[A0] = 0;
            hart->x[A2] = OFTEN;
            rig->type->state_in(rig->cpu[0]);
            rig->type->flush_code(rig->cpu[0]);
            assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
            if (round & 1) {
                assert_int_equal(hart->mcause, RISCV_EXC_ECALL_M);
                assert_int_equal(hart->x[A0], OFTEN * round);
                unplug(rig, 1);
            } else {
                assert_int_equal(hart->mcause, RISCV_EXC_FETCH_ACCESS);
                assert_int_equal(hart->mtval, hart->x[S0]);
            }
        }
        rig_free(rig);
    }
}

/* An instruction whose second half is not there. */
static void half_an_instruction_faults(void **state)
{
    for (unsigned p = 0; p < permutation_count(); p++) {
        struct rig *rig = rig_of(p);
        const uint32_t insn = ADDI(A0, A0, 1);

        plug(rig, 0);
        PUT(rig, block(1) - 4, NOP);
        assert_int_equal(memory_write(rig->as, RAM_BASE + block(1) - 2, &insn, 2), 0);
        rig->hart[0].pc = RAM_BASE + block(1) - 2;
        rig->type->state_in(rig->cpu[0]);
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(rig->hart[0].mcause, RISCV_EXC_FETCH_ACCESS);
        assert_int_equal(rig->hart[0].mtval, RAM_BASE + block(1));
        assert_true(is_given_back(rig, 1));
        rig_free(rig);
    }
}

/* ---- U-mode over page tables ---- */

static void put_tables(struct rig *rig, uint64_t leaves)
{
    rig_user(rig, 0);
    rig_put64(rig, ROOT + 8, PTE(ROOT + 0x1000) | 1);
    rig_put64(rig, ROOT + 0x1000, PTE(leaves) | 1);
    rig_put64(rig, leaves, PTE(0) | LEAF_U);
    rig_put64(rig, leaves + 8, PTE(block(0)) | LEAF_U);
    rig_put64(rig, leaves + 16, PTE(0x30000) | LEAF_U);
    rig->hart[0].satp = UINT64_C(8) << 60 | (RAM_BASE + ROOT) >> 12;
    rig->hart[0].pc = VIRTUAL;
    rig->type->state_in(rig->cpu[0]);
}

/* Tables that are not there: the access itself faults, and not as a page fault. */
static void tables_fault(void **state)
{
    for (unsigned p = 0; p < permutation_count(); p++) {
        struct rig *rig = rig_of(p);
        struct riscv_hart *hart = &rig->hart[0];

        plug(rig, 0);
        plug(rig, 2);
        put_tables(rig, block(2));
        PUT(rig, 0, LD(A0, S0, 0), ADDI(A2, A2, -1), BNEZ(A2, -8), ECALL);
        hart->x[S0] = VIRTUAL + 0x1000;
        hart->x[A2] = OFTEN;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
        assert_int_equal(hart->mcause, RISCV_EXC_ECALL_U);
        unplug(rig, 2);
        hart->pc = VIRTUAL;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
        assert_int_equal(hart->mcause, RISCV_EXC_FETCH_ACCESS);
        assert_true(is_given_back(rig, 2));
        rig_free(rig);
    }
}

/* ---- unplugged under a CPU that uses it ---- */

static uint64_t told(struct rig *rig)
{
    return __atomic_load_n((uint64_t *)(memory_main_ram(rig->as)->host + 0x30000),
                           __ATOMIC_SEQ_CST);
}

static void wait_for_change(struct rig *rig, uint64_t from)
{
    for (unsigned i = 0; told(rig) == from; i++) {
        if (i == 200000) {
            print_error("the guest tells nothing new\n");
            abort(); /* the thread has what teardown would free */
        }
        wait_a_moment();
    }
}

enum use { STORES, LOADS, AMOS, EXECUTES };

/* Goes round, telling how often at s1, and uses the page at s0 in each round. */
static void put_user(struct rig *rig, enum use use)
{
    const uint32_t insns[] = {[STORES] = SD(T0, S0, 0x40),
                              [LOADS] = LD(T1, S0, 0x40),
                              [AMOS] = AMOADD_D(T1, T0, S0),
                              [EXECUTES] = JALR(RA, S0, 0)};

    PUT(rig, 0, ADDI(T0, T0, 1), insns[use], SD(T0, S1, 0), J(-12));
    if (use == EXECUTES)
        PUT(rig, block(0), LI(T2, 3), ADDI(T2, T2, -1), BNEZ(T2, -4), RET);
}

static const uint64_t causes[] = {[STORES] = RISCV_EXC_STORE_ACCESS,
                                  [LOADS] = RISCV_EXC_LOAD_ACCESS,
                                  [AMOS] = RISCV_EXC_STORE_ACCESS,
                                  [EXECUTES] = RISCV_EXC_FETCH_ACCESS};

/* The CPU comes to its fault, and behind the unplugging nothing of the block is touched. */
static void used_while_unplugged(unsigned permutation, enum use use)
{
    struct rig *rig = rig_of(permutation);
    struct riscv_hart *hart = &rig->hart[0];

    put_tables(rig, ROOT + 0x2000);
    hart->x[S0] = VIRTUAL + 0x1000;
    hart->x[S1] = VIRTUAL + 0x2000;
    for (unsigned i = 0; i < 30; i++) {
        pthread_t thread;

        plug(rig, 0);
        put_user(rig, use);
        hart->pc = VIRTUAL;
        rig->type->state_in(rig->cpu[0]);
        rig->type->flush_code(rig->cpu[0]);
        rig_start(rig, &thread);
        for (unsigned round = 0; round < i % 4; round++)
            wait_for_change(rig, told(rig));
        unplug(rig, 0);
        if (!rig_ended(thread, 60000)) {
            print_error("engine %u, use %u: the guest goes on\n", permutation, use);
            abort();
        }
        assert_int_equal(rig->stop, CPU_STOP_FIRMWARE);
        assert_int_equal(hart->mcause, causes[use]);
        assert_true(is_given_back(rig, 0));
    }
    rig_free(rig);
}

static void unplugged_while_used(void **state)
{
    for (unsigned p = 0; p < permutation_count(); p++)
        for (unsigned use = STORES; use <= EXECUTES; use++)
            used_while_unplugged(p, use);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accesses_fault),
        cmocka_unit_test(code_faults),
        cmocka_unit_test(half_an_instruction_faults),
        cmocka_unit_test(tables_fault),
        cmocka_unit_test(unplugged_while_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
