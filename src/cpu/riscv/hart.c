/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/hart.h"

#include <string.h>

#include "cpu/riscv/extensions.h"
#include "cpu/riscv/privileged.h"

static void reset_hosted(struct riscv_hart *hart)
{
    hart->privilege = RISCV_S;
    /* Everything that S can handle; what is left is the firmware's: ecall from S (9). */
    hart->medeleg = 0xb1ff;
    hart->mideleg = RISCV_IRQ_S_ALL;
    hart->mcounteren = UINT32_MAX;
    /* Cycle, time and instret for programs: Linux without a PMU driver leaves the register as the
     * firmware set it, and its vDSO reads the time. */
    hart->scounteren = 7;
    hart->menvcfg =
        ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE | ENVCFG_ADUE | ENVCFG_PBMTE | ENVCFG_STCE;
    hart->mseccfg = MSECCFG_SSEED;
    /* NAPOT over everything, readable, writable, executable. */
    hart->pmpcfg[0] = 0x1f;
    hart->pmpaddr[0] = UINT64_MAX >> 10;
}

void riscv_hart_reset(struct riscv_hart *hart, uint64_t pc, uint64_t a1)
{
    memset(hart->x, 0, sizeof(hart->x));
    memset(hart->f, 0, sizeof(hart->f));
    hart->x[10] = hart->id;
    hart->x[11] = a1;
    hart->pc = pc;
    hart->privilege = RISCV_M;
    hart->fflags = hart->frm = 0;

    hart->mstatus = MSTATUS_FIXED;
    hart->misa = riscv_misa();
    hart->medeleg = hart->mideleg = hart->mie = 0;
    hart->mtvec = hart->mscratch = hart->mepc = hart->mcause = hart->mtval = 0;
    __atomic_store_n(&hart->menvcfg, 0, __ATOMIC_RELAXED);
    /* Zkr leaves the value after a reset to us ("Access Control to seed"). Firmware older than Zkr
     * does not set it, and Linux reads the seed because the device tree tells of Zkr. */
    hart->mseccfg = MSECCFG_SSEED;
    hart->mcounteren = hart->mcountinhibit = 0;
    memset(hart->mhpmevent, 0, sizeof(hart->mhpmevent));
    memset(hart->pmpcfg, 0, sizeof(hart->pmpcfg));
    memset(hart->pmpaddr, 0, sizeof(hart->pmpaddr));

    hart->stvec = hart->sscratch = hart->sepc = hart->scause = hart->stval = 0;
    hart->satp = hart->senvcfg = 0;
    hart->scounteren = 0;
    hart->mcycle = hart->minstret = 0;
    hart->counters_read = false;
    hart->reserved = RISCV_NOT_RESERVED;
    hart->reserved_width = 0;
    hart->reserved_address = hart->reserved_value = 0;
    /* An IPI sent to a hart that is being resumed by hosted firmware must reach it. */
    if (!hart->hosted_firmware)
        atomic_store_explicit(&hart->soft, 0, memory_order_relaxed);
    if (hart->hosted_firmware)
        reset_hosted(hart);
    riscv_hart_set_stimecmp(hart, UINT64_MAX);
}

void riscv_hart_set_line(void *ctx, unsigned number, bool level)
{
    struct riscv_hart *hart = ctx;
    uint64_t bit = RISCV_IRQ_BIT(number);

    if (level) {
        uint64_t old = atomic_fetch_or_explicit(&hart->lines, bit, memory_order_seq_cst);

        if (!(old & bit))
            cpu_signal_raise(&hart->signal);
    } else {
        atomic_fetch_and_explicit(&hart->lines, ~bit, memory_order_seq_cst);
    }
}

/* stimecmp and menvcfg belong to the hart's thread but are read by whoever ticks. */
uint64_t riscv_hart_deadline(const struct riscv_hart *hart)
{
    bool enabled = __atomic_load_n(&hart->menvcfg, __ATOMIC_SEQ_CST) & ENVCFG_STCE;

    return enabled ? __atomic_load_n(&hart->stimecmp, __ATOMIC_SEQ_CST) : UINT64_MAX;
}

void riscv_hart_timer_tick(struct riscv_hart *hart)
{
    uint64_t deadline, now;
    bool level;

    if (!hart->platform || !hart->platform->time)
        return;
    /* Whoever moves the deadline ticks too, and two may tick at once. The last to set the line must
     * have seen the last deadline, and nobody may clear the line once the time has come. That
     * takes one order of all these accesses (seq_cst). */
    do {
        deadline = riscv_hart_deadline(hart);
        now = hart->platform->time(hart->platform->ctx);
        level = now >= deadline && deadline != UINT64_MAX;
        riscv_hart_set_line(hart, RISCV_IRQ_S_TIMER, level);
    } while (riscv_hart_deadline(hart) != deadline ||
             (!level && deadline != UINT64_MAX &&
              hart->platform->time(hart->platform->ctx) >= deadline));
}

void riscv_hart_set_stimecmp(struct riscv_hart *hart, uint64_t deadline)
{
    __atomic_store_n(&hart->stimecmp, deadline, __ATOMIC_SEQ_CST);
    if (hart->platform && hart->platform->set_stimecmp)
        hart->platform->set_stimecmp(hart->platform->ctx, hart->id, riscv_hart_deadline(hart));
    riscv_hart_timer_tick(hart);
}

uint64_t riscv_hart_mip(const struct riscv_hart *hart)
{
    return atomic_load_explicit(&hart->lines, memory_order_acquire) |
           atomic_load_explicit(&hart->soft, memory_order_acquire);
}

bool riscv_hart_has_interrupt(const struct riscv_hart *hart)
{
    return (riscv_hart_mip(hart) & hart->mie) != 0;
}
