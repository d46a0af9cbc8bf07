/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical memory protection with a granularity of 4 bytes. Source: volume II, "Physical Memory
 * Protection".
 */
#include "cpu/riscv/mmu.h"

enum {
    PMP_R = 1,
    PMP_W = 2,
    PMP_X = 4,
    PMP_A = 3 << 3, /* how pmpaddr is matched */
    PMP_TOR = 1 << 3,
    PMP_NA4 = 2 << 3,
    PMP_NAPOT = 3 << 3,
    PMP_L = 1 << 7,
};

/* The bytes [*low, *high] that an entry is about; false when it is about none. Inclusive, so that
 * the top of the address space fits. */
static bool entry_range(const struct riscv_hart *hart, unsigned i, gpa *low, gpa *high)
{
    uint64_t address = hart->pmpaddr[i], mask;

    switch (hart->pmpcfg[i] & PMP_A) {
    case PMP_TOR:
        *low = i ? hart->pmpaddr[i - 1] << 2 : 0;
        *high = (address << 2) - 1;
        return address && *low <= *high;
    case PMP_NA4:
        *low = address << 2;
        *high = *low + 3;
        return true;
    case PMP_NAPOT: /* n trailing ones: 2^(n + 3) bytes */
        mask = address ^ (address + 1);
        *low = (address & ~mask) << 2;
        *high = *low | mask << 2 | 3;
        return true;
    default:
        return false;
    }
}

static unsigned entry_access(uint8_t config, unsigned privilege)
{
    /* M-mode is bound by locked entries only. */
    if (privilege == RISCV_M && !(config & PMP_L))
        return RISCV_FETCH | RISCV_LOAD | RISCV_STORE;
    return (config & PMP_R ? RISCV_LOAD : 0) | (config & PMP_W ? RISCV_STORE : 0) |
           (config & PMP_X ? RISCV_FETCH : 0);
}

/* What [addr, last] allows by the first entry that matches any byte of it. */
static unsigned access_of(const struct riscv_hart *hart, gpa addr, gpa last, unsigned privilege,
                          bool *mixed)
{
    gpa low, high;

    *mixed = false;
    for (unsigned i = 0; i < RISCV_PMP_COUNT; i++) {
        if (!entry_range(hart, i, &low, &high) || last < low || addr > high)
            continue;
        /* "The matching PMP entry must match all bytes of an access" or the access fails. */
        if (addr < low || last > high) {
            *mixed = true;
            return 0;
        }
        return entry_access(hart->pmpcfg[i], privilege);
    }
    return privilege == RISCV_M ? RISCV_FETCH | RISCV_LOAD | RISCV_STORE : 0;
}

bool riscv_pmp_allows(const struct riscv_hart *hart, gpa addr, uint64_t size,
                      enum riscv_access access, unsigned privilege)
{
    bool mixed;

    return (access_of(hart, addr, addr + size - 1, privilege, &mixed) & access) == access;
}

unsigned riscv_pmp_page(const struct riscv_hart *hart, gpa addr, unsigned privilege, bool *mixed)
{
    addr &= ~(gpa)(PAGE_SIZE - 1);
    return access_of(hart, addr, addr + PAGE_SIZE - 1, privilege, mixed);
}

void riscv_pmp_set_config(struct riscv_hart *hart, unsigned entry, uint8_t value)
{
    if (hart->pmpcfg[entry] & PMP_L)
        return;
    value &= PMP_R | PMP_W | PMP_X | PMP_A | PMP_L;
    if (!(value & PMP_R)) /* writable and not readable is reserved */
        value &= ~PMP_W;
    hart->pmpcfg[entry] = value;
}

void riscv_pmp_set_address(struct riscv_hart *hart, unsigned entry, uint64_t value)
{
    if (hart->pmpcfg[entry] & PMP_L)
        return;
    /* The bottom of a locked range is locked with it. */
    if (entry + 1 < RISCV_PMP_COUNT && (hart->pmpcfg[entry + 1] & PMP_L) &&
        (hart->pmpcfg[entry + 1] & PMP_A) == PMP_TOR)
        return;
    hart->pmpaddr[entry] = value & (UINT64_MAX >> 10);
}
