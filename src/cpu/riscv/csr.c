/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CSRs: one table row a register. A register that is a plain 64-bit field of the hart names the
 * field and the bits that can be written (WARL: the others keep their value); the rest have hooks.
 *
 * Sources: Zicsr; volume II, "Control and Status Registers (CSRs)" (numbers, privilege and
 * read-only bits in the number), "Machine-Level ISA", "Supervisor-Level ISA"; Sstc; Zkr.
 */
#include <stddef.h>

#include "cpu/riscv/mmu.h"
#include "cpu/riscv/privileged.h"

struct csr {
    const char *name;
    uint16_t field; /* offset in struct riscv_hart; 0 is x[0], which is no CSR */
    uint8_t effects;
    uint64_t writable;
    /* False: the access is illegal now, beyond what the number says. */
    bool (*allowed)(const struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op);
    uint64_t (*read)(struct riscv_hart *hart, unsigned csr);
    /* NULL with no field: writes are ignored. */
    void (*write)(struct riscv_hart *hart, unsigned csr, uint64_t value);
    /* Instead of write, where others change the register at the same time or what is read is not
     * what a set or clear starts from: bits to clear, then bits to set. */
    void (*change)(struct riscv_hart *hart, unsigned csr, uint64_t clear, uint64_t set);
};

/* ---- F: fflags, frm, fcsr ---- */

static bool float_allowed(const struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op)
{
    return hart->mstatus & MSTATUS_FS;
}

static uint64_t fflags_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->fflags;
}

static void fflags_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->fflags = value & 0x1f;
    hart->mstatus |= MSTATUS_FS;
}

static uint64_t frm_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->frm;
}

static void frm_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->frm = value & 7;
    hart->mstatus |= MSTATUS_FS;
}

static uint64_t fcsr_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->frm << 5 | hart->fflags;
}

static void fcsr_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->fflags = value & 0x1f;
    hart->frm = value >> 5 & 7;
    hart->mstatus |= MSTATUS_FS;
}

/* ---- Zkr: seed ---- */

static bool seed_allowed(const struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op)
{
    /* A read that writes nothing is illegal in every mode. */
    if (op == RISCV_CSR_READ)
        return false;
    if (hart->privilege == RISCV_M)
        return true;
    return hart->mseccfg & (hart->privilege == RISCV_S ? MSECCFG_SSEED : MSECCFG_USEED);
}

static uint64_t seed_read(struct riscv_hart *hart, unsigned csr)
{
    const struct riscv_platform *platform = hart->platform;

    /* OPST in bits 31 and 30: ES16 (2) with 16 bits of entropy, DEAD (3) without a source. */
    if (!platform || !platform->entropy)
        return UINT64_C(3) << 30;
    return UINT64_C(2) << 30 | platform->entropy(platform->ctx);
}

/* ---- counters ---- */

/* "Machine Counter-Enable", "Supervisor Counter-Enable": bit n opens counter 0xc00 + n. */
static bool counter_allowed(const struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op)
{
    uint32_t bit = 1u << (csr & 31);

    if (hart->privilege == RISCV_M)
        return true;
    if (!(hart->mcounteren & bit))
        return false;
    return hart->privilege == RISCV_S || (hart->scounteren & bit);
}

static uint64_t cycle_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->mcycle;
}

static uint64_t instret_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->minstret;
}

static uint64_t time_read(struct riscv_hart *hart, unsigned csr)
{
    const struct riscv_platform *platform = hart->platform;

    return platform && platform->time ? platform->time(platform->ctx) : 0;
}

static uint64_t zero_read(struct riscv_hart *hart, unsigned csr)
{
    return 0;
}

/* The write counts after the instruction that makes it, which is counted all the same. */
static void mcycle_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->mcycle = value - !(hart->mcountinhibit & 1);
}

static void minstret_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->minstret = value - !(hart->mcountinhibit & 4);
}

static uint64_t mcountinhibit_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->mcountinhibit;
}

static void mcountinhibit_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->mcountinhibit = value & 5;
}

static uint64_t mcounteren_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->mcounteren;
}

static void mcounteren_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->mcounteren = value;
}

static uint64_t scounteren_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->scounteren;
}

static void scounteren_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->scounteren = value;
}

/* ---- Sstc ---- */

static bool stimecmp_allowed(const struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op)
{
    if (hart->privilege == RISCV_M)
        return true;
    return (hart->mcounteren & 2) && (hart->menvcfg & ENVCFG_STCE);
}

static uint64_t stimecmp_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->stimecmp;
}

static void stimecmp_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    riscv_hart_set_stimecmp(hart, value);
}

/* ---- status ---- */

static uint64_t status_with_sd(uint64_t status)
{
    return (status & MSTATUS_FS) == MSTATUS_FS ? status | MSTATUS_SD : status;
}

#define MSTATUS_WRITABLE                                                                           \
    (SSTATUS_WRITABLE | MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM |    \
     MSTATUS_TW | MSTATUS_TSR)

static uint64_t mstatus_read(struct riscv_hart *hart, unsigned csr)
{
    return status_with_sd(hart->mstatus);
}

static void mstatus_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    /* MPP holds U, S and M only: another value keeps what was there. */
    if ((value & MSTATUS_MPP) == UINT64_C(2) << MSTATUS_MPP_SHIFT)
        value = (value & ~MSTATUS_MPP) | (hart->mstatus & MSTATUS_MPP);
    hart->mstatus = (hart->mstatus & ~MSTATUS_WRITABLE) | (value & MSTATUS_WRITABLE);
}

static uint64_t sstatus_read(struct riscv_hart *hart, unsigned csr)
{
    return status_with_sd(hart->mstatus) & (SSTATUS_WRITABLE | MSTATUS_UXL | MSTATUS_SD);
}

static void sstatus_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->mstatus = (hart->mstatus & ~SSTATUS_WRITABLE) | (value & SSTATUS_WRITABLE);
}

/* ---- interrupts ---- */

static uint64_t mip_read(struct riscv_hart *hart, unsigned csr)
{
    return riscv_hart_mip(hart);
}

/* "the value used in the read-modify-write is only the software-writable bit": the wire of SEIP
 * must not become software's. An IPI sets SSIP from another thread at any time: each bit is changed
 * by itself, and only where that was asked for. */
static void soft_change(struct riscv_hart *hart, uint64_t clear, uint64_t set, uint64_t writable)
{
    atomic_fetch_and(&hart->soft, ~(clear & ~set & writable));
    atomic_fetch_or(&hart->soft, set & writable);
}

static void mip_change(struct riscv_hart *hart, unsigned csr, uint64_t clear, uint64_t set)
{
    uint64_t writable = RISCV_IRQ_S_ALL;

    /* With STCE the timer's bit is the comparison with stimecmp and nothing else. */
    if (hart->menvcfg & ENVCFG_STCE)
        writable &= ~RISCV_IRQ_BIT(RISCV_IRQ_S_TIMER);
    soft_change(hart, clear, set, writable);
}

static uint64_t sip_read(struct riscv_hart *hart, unsigned csr)
{
    return riscv_hart_mip(hart) & hart->mideleg;
}

static void sip_change(struct riscv_hart *hart, unsigned csr, uint64_t clear, uint64_t set)
{
    soft_change(hart, clear, set, RISCV_IRQ_BIT(RISCV_IRQ_S_SOFT) & hart->mideleg);
}

static uint64_t sie_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->mie & hart->mideleg;
}

static void sie_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    hart->mie = (hart->mie & ~hart->mideleg) | (value & hart->mideleg & RISCV_IRQ_S_ALL);
}

/* ---- environment, translation, protection ---- */

static void menvcfg_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    uint64_t writable = ENVCFG_FIOM | ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE | ENVCFG_ADUE |
                        ENVCFG_PBMTE | ENVCFG_STCE;
    uint64_t old = hart->menvcfg;

    if ((value & ENVCFG_CBIE) == UINT64_C(2) << 4) /* reserved */
        value = (value & ~ENVCFG_CBIE) | (old & ENVCFG_CBIE);
    value &= writable;
    __atomic_store_n(&hart->menvcfg, value, __ATOMIC_SEQ_CST);
    if ((old ^ value) & ENVCFG_STCE) {
        soft_change(hart, UINT64_MAX, 0, RISCV_IRQ_BIT(RISCV_IRQ_S_TIMER));
        riscv_hart_set_stimecmp(hart, hart->stimecmp);
    }
}

static void senvcfg_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    if ((value & ENVCFG_CBIE) == UINT64_C(2) << 4)
        value = (value & ~ENVCFG_CBIE) | (hart->senvcfg & ENVCFG_CBIE);
    hart->senvcfg = value & (ENVCFG_FIOM | ENVCFG_CBIE | ENVCFG_CBCFE | ENVCFG_CBZE);
}

static bool satp_allowed(const struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op)
{
    return hart->privilege == RISCV_M || !(hart->mstatus & MSTATUS_TVM);
}

static void satp_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    /* A write of a mode that is not there has no effect at all. */
    if (riscv_satp_valid(hart, value))
        hart->satp = value;
}

/* Machine mode may keep vectored (1) or direct (0); others keep bit 1 clear. */
#define TVEC_WRITABLE (~UINT64_C(2))

static uint64_t pmpcfg_read(struct riscv_hart *hart, unsigned csr)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)hart->pmpcfg[(csr - 0x3a0) * 4 + i] << (8 * i);
    return value;
}

static void pmpcfg_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        riscv_pmp_set_config(hart, (csr - 0x3a0) * 4 + i, value >> (8 * i));
}

static uint64_t pmpaddr_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->pmpaddr[csr - 0x3b0];
}

static void pmpaddr_write(struct riscv_hart *hart, unsigned csr, uint64_t value)
{
    riscv_pmp_set_address(hart, csr - 0x3b0, value);
}

static uint64_t mhartid_read(struct riscv_hart *hart, unsigned csr)
{
    return hart->id;
}

#define FIELD(csr_name, bits)                                                                      \
    .name = #csr_name, .field = offsetof(struct riscv_hart, csr_name), .writable = (bits)
#define HOOKS(csr_name) .name = #csr_name, .read = csr_name##_read, .write = csr_name##_write
#define REVIEW          .effects = RISCV_CSR_REVIEW
#define FLUSH           .effects = RISCV_CSR_REVIEW | RISCV_CSR_FLUSH

static const struct csr csrs[4096] = {
    [0x001] = {HOOKS(fflags), .allowed = float_allowed},
    [0x002] = {HOOKS(frm), .allowed = float_allowed},
    [0x003] = {HOOKS(fcsr), .allowed = float_allowed},
    [0x015] = {.name = "seed", .read = seed_read, .allowed = seed_allowed},
    [0xc00] = {.name = "cycle", .read = cycle_read, .allowed = counter_allowed},
    [0xc01] = {.name = "time", .read = time_read, .allowed = counter_allowed},
    [0xc02] = {.name = "instret", .read = instret_read, .allowed = counter_allowed},
    [0xc03 ... 0xc1f] = {.name = "hpmcounter", .read = zero_read, .allowed = counter_allowed},

    [0x100] = {HOOKS(sstatus), REVIEW},
    [0x104] = {HOOKS(sie), REVIEW},
    [0x105] = {FIELD(stvec, TVEC_WRITABLE)},
    [0x106] = {HOOKS(scounteren)},
    [0x10a] = {.name = "senvcfg",
               .field = offsetof(struct riscv_hart, senvcfg),
               .write = senvcfg_write},
    [0x140] = {FIELD(sscratch, ~UINT64_C(0))},
    [0x141] = {FIELD(sepc, ~UINT64_C(1))},
    [0x142] = {FIELD(scause, ~UINT64_C(0))},
    [0x143] = {FIELD(stval, ~UINT64_C(0))},
    [0x144] = {.name = "sip", .read = sip_read, .change = sip_change, REVIEW},
    [0x14d] = {HOOKS(stimecmp), REVIEW, .allowed = stimecmp_allowed},
    [0x180] = {.name = "satp",
               .field = offsetof(struct riscv_hart, satp),
               .write = satp_write,
               .allowed = satp_allowed,
               REVIEW},

    [0x300] = {HOOKS(mstatus), REVIEW},
    [0x301] = {FIELD(misa, 0)},
    /* Everything but ecall from M, which nothing below M can raise. */
    [0x302] = {FIELD(medeleg, 0xb3ff)},
    [0x303] = {FIELD(mideleg, RISCV_IRQ_S_ALL), REVIEW},
    [0x304] = {FIELD(mie, RISCV_IRQ_S_ALL | RISCV_IRQ_M_ALL), REVIEW},
    [0x305] = {FIELD(mtvec, TVEC_WRITABLE)},
    [0x306] = {HOOKS(mcounteren)},
    [0x30a] = {.name = "menvcfg",
               .field = offsetof(struct riscv_hart, menvcfg),
               .write = menvcfg_write,
               FLUSH},
    [0x320] = {HOOKS(mcountinhibit)},
    [0x323 ... 0x33f] = {.name = "mhpmevent", .read = zero_read},
    [0x340] = {FIELD(mscratch, ~UINT64_C(0))},
    [0x341] = {FIELD(mepc, ~UINT64_C(1))},
    [0x342] = {FIELD(mcause, ~UINT64_C(0))},
    [0x343] = {FIELD(mtval, ~UINT64_C(0))},
    [0x344] = {.name = "mip", .read = mip_read, .change = mip_change, REVIEW},
    [0x3a0] = {HOOKS(pmpcfg), FLUSH},
    [0x3a2] = {HOOKS(pmpcfg), FLUSH},
    [0x3b0 ... 0x3bf] = {HOOKS(pmpaddr), FLUSH},
    [0x747] = {FIELD(mseccfg, MSECCFG_USEED | MSECCFG_SSEED)},
    /* tselect, tdata1 to tdata3: "no trigger at this tselect" (Debug, "Trigger Data 1"). Software
     * that looks for triggers asks so. */
    [0x7a0 ... 0x7a3] = {.name = "trigger", .read = zero_read},
    [0xb00] = {.name = "mcycle", .read = cycle_read, .write = mcycle_write},
    [0xb02] = {.name = "minstret", .read = instret_read, .write = minstret_write},
    [0xb03 ... 0xb1f] = {.name = "mhpmcounter", .read = zero_read},
    /* 0: not implemented, as a hart of no vendor may say. */
    [0xf11] = {.name = "mvendorid", .read = zero_read},
    [0xf12] = {.name = "marchid", .read = zero_read},
    [0xf13] = {.name = "mimpid", .read = zero_read},
    [0xf14] = {.name = "mhartid", .read = mhartid_read},
    [0xf15] = {.name = "mconfigptr", .read = zero_read},
};

static uint64_t *field(struct riscv_hart *hart, const struct csr *row)
{
    return (uint64_t *)((char *)hart + row->field);
}

unsigned riscv_csr_access(struct riscv_hart *hart, unsigned csr, enum riscv_csr_op op,
                          bool want_old, uint64_t *value)
{
    const struct csr *row = &csrs[csr & 0xfff];
    uint64_t operand = *value, old = 0;

    if (!row->name || hart->privilege < (csr >> 8 & 3))
        return RISCV_CSR_ILLEGAL;
    if (op != RISCV_CSR_READ && (csr >> 10 & 3) == 3)
        return RISCV_CSR_ILLEGAL;
    if (row->allowed && !row->allowed(hart, csr, op))
        return RISCV_CSR_ILLEGAL;
    if (want_old || op != RISCV_CSR_WRITE)
        *value = old = row->read ? row->read(hart, csr) : *field(hart, row);
    if (op == RISCV_CSR_READ)
        return 0;
    if (row->change) {
        row->change(hart, csr,
                    op == RISCV_CSR_SET     ? 0
                    : op == RISCV_CSR_CLEAR ? operand
                                            : UINT64_MAX,
                    op == RISCV_CSR_CLEAR ? 0 : operand);
        return row->effects;
    }
    if (op == RISCV_CSR_SET)
        operand |= old;
    else if (op == RISCV_CSR_CLEAR)
        operand = old & ~operand;
    if (row->write)
        row->write(hart, csr, operand);
    else if (row->field)
        *field(hart, row) = (*field(hart, row) & ~row->writable) | (operand & row->writable);
    return row->effects;
}

bool riscv_csr_has_effect(unsigned csr)
{
    return csrs[csr & 0xfff].effects != 0;
}

const char *riscv_csr_name(unsigned csr)
{
    return csrs[csr & 0xfff].name;
}
