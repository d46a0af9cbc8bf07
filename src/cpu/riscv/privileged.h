/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The privileged architecture as the engines use it: CSR accesses, traps, interrupts, returns.
 * These functions change struct riscv_hart and nothing else; an engine that caches what follows
 * from the state (translations, the current privilege) looks at the effects that they return.
 *
 * All of them on the hart's own thread. Source: The RISC-V Instruction Set Manual, volume II.
 */
#ifndef HOSPES_CPU_RISCV_PRIVILEGED_H
#define HOSPES_CPU_RISCV_PRIVILEGED_H

#include "base/compiler.h"
#include "cpu/riscv/hart.h"

/* mstatus; sstatus is the part in MSTATUS_S_VIEW. "Machine Status Registers". */
#define MSTATUS_SIE  (UINT64_C(1) << 1)
#define MSTATUS_MIE  (UINT64_C(1) << 3)
#define MSTATUS_SPIE (UINT64_C(1) << 5)
#define MSTATUS_MPIE (UINT64_C(1) << 7)
#define MSTATUS_SPP  (UINT64_C(1) << 8)
#define MSTATUS_MPP  (UINT64_C(3) << 11)
#define MSTATUS_FS   (UINT64_C(3) << 13)
#define MSTATUS_MPRV (UINT64_C(1) << 17)
#define MSTATUS_SUM  (UINT64_C(1) << 18)
#define MSTATUS_MXR  (UINT64_C(1) << 19)
#define MSTATUS_TVM  (UINT64_C(1) << 20)
#define MSTATUS_TW   (UINT64_C(1) << 21)
#define MSTATUS_TSR  (UINT64_C(1) << 22)
#define MSTATUS_UXL  (UINT64_C(3) << 32)
#define MSTATUS_SXL  (UINT64_C(3) << 34)
#define MSTATUS_SD   (UINT64_C(1) << 63)
/* UXL and SXL: 64 bits, for good. */
#define MSTATUS_FIXED (UINT64_C(2) << 32 | UINT64_C(2) << 34)

/* What sstatus shows of mstatus and can write. */
#define SSTATUS_WRITABLE                                                                           \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR)

enum { MSTATUS_MPP_SHIFT = 11, MSTATUS_SPP_SHIFT = 8 };

/* menvcfg and senvcfg. "Machine Environment Configuration Register". */
#define ENVCFG_FIOM  (UINT64_C(1) << 0)
#define ENVCFG_CBIE  (UINT64_C(3) << 4)
#define ENVCFG_CBCFE (UINT64_C(1) << 6)
#define ENVCFG_CBZE  (UINT64_C(1) << 7)
#define ENVCFG_ADUE  (UINT64_C(1) << 61)
#define ENVCFG_PBMTE (UINT64_C(1) << 62)
#define ENVCFG_STCE  (UINT64_C(1) << 63)

/* mseccfg. Zkr, "Access Control to seed". */
#define MSECCFG_USEED (UINT64_C(1) << 8)
#define MSECCFG_SSEED (UINT64_C(1) << 9)

#define RISCV_IRQ_BIT(number) (UINT64_C(1) << (number))
/* The supervisor's interrupts, which can be delegated. */
#define RISCV_IRQ_S_ALL                                                                            \
    (RISCV_IRQ_BIT(RISCV_IRQ_S_SOFT) | RISCV_IRQ_BIT(RISCV_IRQ_S_TIMER) |                          \
     RISCV_IRQ_BIT(RISCV_IRQ_S_EXTERNAL))
#define RISCV_IRQ_M_ALL                                                                            \
    (RISCV_IRQ_BIT(RISCV_IRQ_M_SOFT) | RISCV_IRQ_BIT(RISCV_IRQ_M_TIMER) |                          \
     RISCV_IRQ_BIT(RISCV_IRQ_M_EXTERNAL))

#define RISCV_CAUSE_INTERRUPT (UINT64_C(1) << 63)

/* What an instruction of csrrw, csrrs and csrrc asks for. */
enum riscv_csr_op { RISCV_CSR_READ, RISCV_CSR_WRITE, RISCV_CSR_SET, RISCV_CSR_CLEAR };

/* What an access did besides; a set. */
enum riscv_csr_effect {
    RISCV_CSR_ILLEGAL = 1, /* no such register, or not allowed: nothing was done */
    RISCV_CSR_REVIEW = 2,  /* interrupts, or how addresses are translated, may have changed */
    RISCV_CSR_FLUSH = 4,   /* no translation that was cached may be used any more */
};

/*
 * One access: *value is the operand and becomes the old value (unchanged for RISCV_CSR_WRITE with
 * no `want_old`, which has no read side effect). A set or clear of no bits by register x0 or a zero
 * constant is RISCV_CSR_READ. mcycle and minstret must be up to date in the hart.
 * Returns a set of enum riscv_csr_effect. Zicsr, "CSR Instructions".
 */
unsigned riscv_csr_access(struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op,
                          bool want_old, uint64_t *value) MUST_CHECK;
/* Whether a write may have RISCV_CSR_REVIEW or RISCV_CSR_FLUSH. */
bool riscv_csr_has_effect(unsigned csr);
/* The name, or NULL when the hart has no such register. */
const char *riscv_csr_name(unsigned csr);

/* Takes the trap of the instruction at hart->pc. False: it belongs to the firmware that hospes
 * plays; then mcause, mtval and mepc tell it and the rest is unchanged. "Traps". */
bool riscv_trap(struct riscv_hart *hart, uint64_t cause, uint64_t tval) MUST_CHECK;
/* The number of the interrupt to take now, or -1. "Machine Interrupt Registers", "Supervisor
 * Interrupt Registers": priority and delegation. */
int riscv_interrupt_pick(const struct riscv_hart *hart);
/* mret and sret; the caller has checked that they are allowed. Sets the pc. "Trap-Return
 * Instructions". */
void riscv_mret(struct riscv_hart *hart);
void riscv_sret(struct riscv_hart *hart);

/* Zicbom, Zicboz, "Control and Status Register State": whether the hart may now do what `bits` of
 * menvcfg and senvcfg rule: menvcfg rules S, both rule U. */
static inline bool riscv_cbo_allowed(const struct riscv_hart *hart, uint64_t bits)
{
    if (hart->privilege < RISCV_M && !(hart->menvcfg & bits))
        return false;
    return hart->privilege > RISCV_U || (hart->senvcfg & bits);
}

/* The privilege that loads and stores are made with: MPRV. "Memory Privilege in mstatus Register".
 */
static inline unsigned riscv_data_privilege(const struct riscv_hart *hart)
{
    if (hart->mstatus & MSTATUS_MPRV)
        return (hart->mstatus & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT;
    return hart->privilege;
}

#endif
