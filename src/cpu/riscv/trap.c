/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/privileged.h"

/* "Machine Trap-Vector Base-Address Register": in vectored mode interrupts enter at 4 x cause. */
static uint64_t vector(uint64_t tvec, uint64_t cause)
{
    uint64_t base = tvec & ~UINT64_C(3);

    if ((tvec & 1) && (cause & RISCV_CAUSE_INTERRUPT))
        return base + 4 * (cause & ~RISCV_CAUSE_INTERRUPT);
    return base;
}

static bool is_delegated(const struct riscv_hart *hart, uint64_t cause)
{
    uint64_t number = cause & ~RISCV_CAUSE_INTERRUPT;
    uint64_t set = cause & RISCV_CAUSE_INTERRUPT ? hart->mideleg : hart->medeleg;

    return hart->privilege <= RISCV_S && (set >> number & 1);
}

bool riscv_trap(struct riscv_hart *hart, uint64_t cause, uint64_t tval)
{
    uint64_t status = hart->mstatus;

    if (is_delegated(hart, cause)) {
        hart->scause = cause;
        hart->stval = tval;
        hart->sepc = hart->pc;
        status &= ~(MSTATUS_SPIE | MSTATUS_SPP);
        if (status & MSTATUS_SIE)
            status |= MSTATUS_SPIE;
        status |= (uint64_t)hart->privilege << MSTATUS_SPP_SHIFT;
        hart->mstatus = status & ~MSTATUS_SIE;
        hart->privilege = RISCV_S;
        hart->pc = vector(hart->stvec, cause);
        return true;
    }
    hart->mcause = cause;
    hart->mtval = tval;
    hart->mepc = hart->pc;
    if (hart->hosted_firmware)
        return false;
    status &= ~(MSTATUS_MPIE | MSTATUS_MPP);
    if (status & MSTATUS_MIE)
        status |= MSTATUS_MPIE;
    status |= (uint64_t)hart->privilege << MSTATUS_MPP_SHIFT;
    hart->mstatus = status & ~MSTATUS_MIE;
    hart->privilege = RISCV_M;
    hart->pc = vector(hart->mtvec, cause);
    return true;
}

int riscv_interrupt_pick(const struct riscv_hart *hart)
{
    /* From the highest priority down: external, software, timer; machine before supervisor. */
    static const uint8_t order[] = {RISCV_IRQ_M_EXTERNAL, RISCV_IRQ_M_SOFT, RISCV_IRQ_M_TIMER,
                                    RISCV_IRQ_S_EXTERNAL, RISCV_IRQ_S_SOFT, RISCV_IRQ_S_TIMER};
    uint64_t pending = riscv_hart_mip(hart) & hart->mie;
    uint64_t take = 0;

    if (likely(!pending))
        return -1;
    /* The firmware that hospes plays is not interrupted through the hart. */
    if (!hart->hosted_firmware && (hart->privilege < RISCV_M || (hart->mstatus & MSTATUS_MIE)))
        take = pending & ~hart->mideleg;
    /* Interrupts to M come before any that is delegated, whatever their numbers. */
    if (!take && (hart->privilege < RISCV_S ||
                  (hart->privilege == RISCV_S && (hart->mstatus & MSTATUS_SIE))))
        take = pending & hart->mideleg;
    if (!take)
        return -1;
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        if (take >> order[i] & 1)
            return order[i];
    return -1;
}

void riscv_mret(struct riscv_hart *hart)
{
    uint64_t status = hart->mstatus;

    hart->privilege = (status & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT;
    status &= ~(MSTATUS_MIE | MSTATUS_MPP);
    if (status & MSTATUS_MPIE)
        status |= MSTATUS_MIE;
    status |= MSTATUS_MPIE;
    if (hart->privilege != RISCV_M)
        status &= ~MSTATUS_MPRV;
    hart->mstatus = status; /* MPP is now U, the least privileged */
    hart->pc = hart->mepc;
}

void riscv_sret(struct riscv_hart *hart)
{
    uint64_t status = hart->mstatus;

    hart->privilege = status & MSTATUS_SPP ? RISCV_S : RISCV_U;
    status &= ~(MSTATUS_SIE | MSTATUS_SPP | MSTATUS_MPRV);
    if (status & MSTATUS_SPIE)
        status |= MSTATUS_SIE;
    hart->mstatus = status | MSTATUS_SPIE;
    hart->pc = hart->sepc;
}
