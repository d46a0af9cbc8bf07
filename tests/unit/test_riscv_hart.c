/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hart without an engine: CSRs (WARL, permissions, effects), traps and their delegation, the
 * choice of an interrupt, and the timer, which several threads tick.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/riscv/privileged.h"

struct fixture {
    struct riscv_hart hart;
    struct riscv_platform platform;
    _Atomic uint64_t now;
    uint64_t deadline;
};

static uint64_t platform_time(void *ctx)
{
    struct fixture *f = ctx;

    return atomic_load(&f->now);
}

static void platform_set_stimecmp(void *ctx, unsigned hart, uint64_t deadline)
{
    struct fixture *f = ctx;

    f->deadline = deadline;
}

static uint16_t platform_entropy(void *ctx)
{
    return 0xbeef;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->platform.time = platform_time;
    f->platform.set_stimecmp = platform_set_stimecmp;
    f->platform.entropy = platform_entropy;
    f->platform.ctx = f;
    f->hart.platform = &f->platform;
    f->hart.id = 3;
    riscv_hart_reset(&f->hart, 0x80000000, 0x1234);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static uint64_t csr_read(struct fixture *f, unsigned csr)
{
    uint64_t value = 0;

    assert_int_equal(riscv_csr_access(&f->hart, csr, RISCV_CSR_READ, true, &value), 0);
    return value;
}

/* Returns the effects. */
static unsigned csr_write(struct fixture *f, unsigned csr, uint64_t value)
{
    return riscv_csr_access(&f->hart, csr, RISCV_CSR_WRITE, false, &value);
}

static bool is_illegal(struct fixture *f, unsigned csr)
{
    uint64_t value = 0;

    return riscv_csr_access(&f->hart, csr, RISCV_CSR_READ, true, &value) & RISCV_CSR_ILLEGAL;
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->hart.x[10], 3);
    assert_int_equal(f->hart.x[11], 0x1234);
    assert_int_equal(f->hart.privilege, RISCV_M);
    assert_int_equal(csr_read(f, 0xf14), 3);
    /* RV64, A C D F I M S U */
    assert_int_equal(csr_read(f, 0x301), 0x800000000014112d);
}

/* Writing every bit and none reads back what the register can hold. */
static void test_warl(void **state)
{
    static const struct {
        unsigned csr;
        uint64_t ones, zeros;
    } rows[] = {
        {0x300, 0x8000000a007e79aa, 0x0000000a00000000}, /* mstatus: SD, MPP 3 */
        {0x302, 0xb3ff, 0},                              /* medeleg */
        {0x303, 0x222, 0},                               /* mideleg */
        {0x304, 0xaaa, 0},                               /* mie */
        {0x305, ~UINT64_C(2), 0},                        /* mtvec */
        {0x306, 0xffffffff, 0},                          /* mcounteren */
        {0x30a, 0xe0000000000000f1, 0},                  /* menvcfg */
        {0x320, 5, 0},                                   /* mcountinhibit */
        {0x341, ~UINT64_C(1), 0},                        /* mepc */
        {0x747, 0x300, 0},                               /* mseccfg */
        {0x3b5, UINT64_MAX >> 10, 0},                    /* pmpaddr5 */
        {0x106, 0xffffffff, 0},                          /* scounteren */
        {0x10a, 0xf1, 0},                                /* senvcfg */
        {0x141, ~UINT64_C(1), 0},                        /* sepc */
        {0x142, UINT64_MAX, 0},                          /* scause */
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_false(csr_write(f, rows[i].csr, UINT64_MAX) & RISCV_CSR_ILLEGAL);
        assert_int_equal(csr_read(f, rows[i].csr), rows[i].ones);
        assert_false(csr_write(f, rows[i].csr, 0) & RISCV_CSR_ILLEGAL);
        assert_int_equal(csr_read(f, rows[i].csr), rows[i].zeros);
    }
    /* Values, and not bits, that are reserved: the old one stays. */
    csr_write(f, 0x300, MSTATUS_MPP);
    csr_write(f, 0x300, UINT64_C(2) << MSTATUS_MPP_SHIFT);
    assert_int_equal(csr_read(f, 0x300) & MSTATUS_MPP, MSTATUS_MPP);
    csr_write(f, 0x180, UINT64_C(8) << 60 | 0x1234);
    csr_write(f, 0x180, UINT64_C(7) << 60 | 0x5678);
    assert_int_equal(csr_read(f, 0x180), UINT64_C(8) << 60 | 0x1234);
    csr_write(f, 0x30a, UINT64_C(1) << 4);
    csr_write(f, 0x30a, UINT64_C(2) << 4);
    assert_int_equal(csr_read(f, 0x30a), UINT64_C(1) << 4);
}

static void test_permissions(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 0;

    assert_true(is_illegal(f, 0x5c0)); /* no such register */
    assert_true(csr_write(f, 0xf14, 0) & RISCV_CSR_ILLEGAL);
    assert_true(riscv_csr_access(&f->hart, 0xc00, RISCV_CSR_SET, true, &value) & RISCV_CSR_ILLEGAL);
    f->hart.privilege = RISCV_S;
    assert_true(is_illegal(f, 0x300));
    assert_false(is_illegal(f, 0x100));
    assert_true(is_illegal(f, 0xc00)); /* mcounteren is 0 */
    f->hart.mcounteren = 7;
    assert_false(is_illegal(f, 0xc00));
    assert_false(is_illegal(f, 0x180));
    f->hart.mstatus |= MSTATUS_TVM;
    assert_true(is_illegal(f, 0x180));
    assert_true(is_illegal(f, 0x14d)); /* stimecmp without STCE */
    f->hart.menvcfg |= ENVCFG_STCE;
    assert_false(is_illegal(f, 0x14d));
    f->hart.privilege = RISCV_U;
    assert_true(is_illegal(f, 0x100));
    assert_true(is_illegal(f, 0xc02)); /* scounteren is 0 */
    f->hart.scounteren = 4;
    assert_false(is_illegal(f, 0xc02));
    assert_true(is_illegal(f, 0x003)); /* FS is Off */
    f->hart.mstatus |= UINT64_C(1) << 13;
    assert_false(is_illegal(f, 0x003));
    csr_write(f, 0x003, 0xff);
    assert_int_equal(f->hart.mstatus & MSTATUS_FS, MSTATUS_FS);
    assert_int_equal(f->hart.frm, 7);
    assert_int_equal(f->hart.fflags, 0x1f);
}

static void test_seed(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 0;

    assert_true(is_illegal(f, 0x015)); /* a read that does not write */
    assert_int_equal(riscv_csr_access(&f->hart, 0x015, RISCV_CSR_WRITE, true, &value), 0);
    assert_int_equal(value, 0x8000beef);
    for (unsigned privilege = RISCV_U; privilege <= RISCV_S; privilege++) {
        f->hart.privilege = privilege;
        f->hart.mseccfg = privilege == RISCV_S ? MSECCFG_USEED : MSECCFG_SSEED;
        assert_true(csr_write(f, 0x015, 0) & RISCV_CSR_ILLEGAL);
        f->hart.mseccfg = privilege == RISCV_S ? MSECCFG_SSEED : MSECCFG_USEED;
        assert_int_equal(csr_write(f, 0x015, 0), 0);
    }
}

/* csrrs on mip must not turn the wire of the external interrupt into the software's bit. */
static void test_seip(void **state)
{
    struct fixture *f = *state;
    uint64_t value = RISCV_IRQ_BIT(RISCV_IRQ_S_SOFT);

    riscv_hart_set_line(&f->hart, RISCV_IRQ_S_EXTERNAL, true);
    assert_int_equal(riscv_csr_access(&f->hart, 0x344, RISCV_CSR_SET, true, &value),
                     RISCV_CSR_REVIEW);
    assert_int_equal(value, RISCV_IRQ_BIT(RISCV_IRQ_S_EXTERNAL));
    riscv_hart_set_line(&f->hart, RISCV_IRQ_S_EXTERNAL, false);
    assert_int_equal(riscv_hart_mip(&f->hart), RISCV_IRQ_BIT(RISCV_IRQ_S_SOFT));
    /* sip: only what is delegated is seen, and of it only SSIP is written. */
    assert_int_equal(csr_read(f, 0x144), 0);
    f->hart.mideleg = RISCV_IRQ_S_ALL;
    assert_int_equal(csr_read(f, 0x144), RISCV_IRQ_BIT(RISCV_IRQ_S_SOFT));
    csr_write(f, 0x144, RISCV_IRQ_BIT(RISCV_IRQ_S_EXTERNAL));
    assert_int_equal(riscv_hart_mip(&f->hart), 0);
}

static void test_trap_and_return(void **state)
{
    struct fixture *f = *state;
    struct riscv_hart *hart = &f->hart;

    hart->mtvec = 0x1001;
    hart->stvec = 0x2001;
    hart->mstatus |= MSTATUS_MIE;
    assert_true(riscv_trap(hart, RISCV_EXC_ILLEGAL, 0x55));
    assert_int_equal(hart->pc, 0x1000); /* exceptions are not vectored */
    assert_int_equal(hart->mepc, 0x80000000);
    assert_int_equal(hart->mtval, 0x55);
    assert_int_equal(hart->mstatus & (MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP),
                     MSTATUS_MPIE | MSTATUS_MPP);
    riscv_mret(hart);
    assert_int_equal(hart->pc, 0x80000000);
    assert_int_equal(hart->privilege, RISCV_M);
    assert_int_equal(hart->mstatus & (MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP),
                     MSTATUS_MIE | MSTATUS_MPIE);

    /* Delegated: from U to S; in M it stays in M. */
    hart->medeleg = 1 << RISCV_EXC_ILLEGAL;
    hart->mideleg = RISCV_IRQ_S_ALL;
    hart->privilege = RISCV_U;
    hart->mstatus |= MSTATUS_SIE;
    assert_true(riscv_trap(hart, RISCV_CAUSE_INTERRUPT | RISCV_IRQ_S_TIMER, 0));
    assert_int_equal(hart->privilege, RISCV_S);
    assert_int_equal(hart->pc, 0x2000 + 4 * RISCV_IRQ_S_TIMER);
    assert_int_equal(hart->mstatus & (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP), MSTATUS_SPIE);
    hart->mstatus |= MSTATUS_MPRV;
    riscv_sret(hart);
    assert_int_equal(hart->privilege, RISCV_U);
    assert_int_equal(hart->mstatus & (MSTATUS_SIE | MSTATUS_MPRV), MSTATUS_SIE);
    hart->privilege = RISCV_M;
    assert_true(riscv_trap(hart, RISCV_EXC_ILLEGAL, 0));
    assert_int_equal(hart->privilege, RISCV_M);
}

static void test_interrupt_priority(void **state)
{
    static const int order[] = {RISCV_IRQ_M_EXTERNAL, RISCV_IRQ_M_SOFT, RISCV_IRQ_M_TIMER,
                                RISCV_IRQ_S_EXTERNAL, RISCV_IRQ_S_SOFT, RISCV_IRQ_S_TIMER};
    struct fixture *f = *state;
    struct riscv_hart *hart = &f->hart;

    hart->mie = RISCV_IRQ_S_ALL | RISCV_IRQ_M_ALL;
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        riscv_hart_set_line(hart, order[i], true);
    assert_int_equal(riscv_interrupt_pick(hart), -1); /* M with MIE clear */
    hart->mstatus |= MSTATUS_MIE;
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(riscv_interrupt_pick(hart), order[i]);
        riscv_hart_set_line(hart, order[i], false);
    }
    /* What is delegated does not interrupt M, and in S it asks SIE. */
    hart->mideleg = RISCV_IRQ_S_ALL;
    riscv_hart_set_line(hart, RISCV_IRQ_S_SOFT, true);
    assert_int_equal(riscv_interrupt_pick(hart), -1);
    hart->privilege = RISCV_S;
    assert_int_equal(riscv_interrupt_pick(hart), -1);
    hart->mstatus |= MSTATUS_SIE;
    assert_int_equal(riscv_interrupt_pick(hart), RISCV_IRQ_S_SOFT);
    hart->mstatus &= ~MSTATUS_SIE;
    hart->privilege = RISCV_U;
    assert_int_equal(riscv_interrupt_pick(hart), RISCV_IRQ_S_SOFT);
}

static void test_stimecmp(void **state)
{
    struct fixture *f = *state;
    const uint64_t timer = RISCV_IRQ_BIT(RISCV_IRQ_S_TIMER);

    atomic_store(&f->now, 1000);
    csr_write(f, 0x14d, 500); /* not enabled yet */
    assert_int_equal(riscv_hart_mip(&f->hart), 0);
    assert_int_equal(f->deadline, UINT64_MAX);
    csr_write(f, 0x344, timer); /* without STCE the bit is the software's */
    assert_int_equal(riscv_hart_mip(&f->hart), timer);
    csr_write(f, 0x14d, 1500);
    csr_write(f, 0x30a, ENVCFG_STCE);
    assert_int_equal(f->deadline, 1500);
    assert_int_equal(riscv_hart_mip(&f->hart), 0);
    csr_write(f, 0x344, timer);
    assert_int_equal(riscv_hart_mip(&f->hart), 0);
    atomic_store(&f->now, 1500);
    riscv_hart_timer_tick(&f->hart);
    assert_int_equal(riscv_hart_mip(&f->hart), timer);
    assert_true(cpu_signal_consume(&f->hart.signal));
    csr_write(f, 0x14d, UINT64_MAX);
    assert_int_equal(riscv_hart_mip(&f->hart), 0);
}

static _Atomic bool ticking;

static void *ticker(void *arg)
{
    struct fixture *f = arg;

    while (atomic_load(&ticking)) {
        atomic_fetch_add(&f->now, 1);
        riscv_hart_timer_tick(&f->hart);
    }
    return NULL;
}

/* One thread moves the deadline while two others tick: when all is quiet the line is the
 * comparison, whoever was last. */
static void test_timer_race(void **state)
{
    struct fixture *f = *state;
    pthread_t thread[2];

    f->hart.menvcfg = ENVCFG_STCE;
    for (unsigned i = 0; i < 300; i++) {
        bool expired = i & 1;

        atomic_store(&ticking, true);
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(thread_start(&thread[j], "ticker", ticker, f), 0);
        riscv_hart_set_stimecmp(&f->hart, expired ? UINT64_MAX - 1 : 0);
        riscv_hart_set_stimecmp(&f->hart, expired ? 0 : UINT64_MAX - 1);
        atomic_store(&ticking, false);
        for (unsigned j = 0; j < 2; j++)
            pthread_join(thread[j], NULL);
        assert_int_equal(riscv_hart_mip(&f->hart) != 0, expired);
    }
}

/* Another hart's thread sends IPIs, as SBI does. Counts those that were undone. */
static void *sender(void *arg)
{
    const uint64_t soft = RISCV_IRQ_BIT(RISCV_IRQ_S_SOFT);
    struct fixture *f = arg;
    uintptr_t lost = 0;

    for (unsigned i = 0; i < 3000000; i++) {
        atomic_fetch_or(&f->hart.soft, soft);
        for (unsigned j = 0; j < 4; j++)
            lost += !(atomic_load(&f->hart.soft) & soft);
        atomic_fetch_and(&f->hart.soft, ~soft);
    }
    atomic_store(&ticking, false);
    return (void *)lost;
}

/* csrrs and csrrc of other bits than SSIP leave it alone, also when it is set at the same time. */
static void test_ipi_race(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    void *lost;

    f->hart.mideleg = RISCV_IRQ_S_ALL;
    atomic_store(&ticking, true);
    assert_int_equal(thread_start(&thread, "sender", sender, f), 0);
    while (atomic_load(&ticking)) {
        uint64_t value = RISCV_IRQ_BIT(RISCV_IRQ_S_TIMER);

        assert_int_equal(riscv_csr_access(&f->hart, 0x144, RISCV_CSR_CLEAR, true, &value),
                         RISCV_CSR_REVIEW);
    }
    pthread_join(thread, &lost);
    assert_null(lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_warl, setup, teardown),
        cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trap_and_return, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stimecmp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_race, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ipi_race, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
