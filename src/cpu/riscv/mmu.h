/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From virtual to physical addresses: the page-table walk and physical memory protection. Nothing
 * is cached here; that is the engines' business. The hart's own thread.
 *
 * Sources: volume II, "Sv39", "Sv48", "Sv57", "Virtual Address Translation Process", Svnapot,
 * Svpbmt, Svadu, "Physical Memory Protection".
 */
#ifndef HOSPES_CPU_RISCV_MMU_H
#define HOSPES_CPU_RISCV_MMU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/privileged.h"
#include "memory/memory.h"

enum riscv_access { RISCV_FETCH = 1, RISCV_LOAD = 2, RISCV_STORE = 4 };

/* What decides about a translation besides the tables: two accesses with the same regime get the
 * same answer. */
struct riscv_regime {
    uint64_t satp; /* 0 in M-mode, whose addresses are physical */
    uint32_t privilege;
    bool sum, mxr;   /* only where they matter: S with translation */
    uint16_t unused; /* compilers copy padding, byte by byte and back as a word */
};

struct riscv_translation {
    gpa address;
    unsigned access; /* enum riscv_access: what else the page tables allow as they are now */
    bool accessed;   /* A was set before */
    bool global;     /* the same in all address spaces */
    unsigned shift;  /* the mapping covers 1 << shift bytes, at least a page; 64 with none */
};

static inline struct riscv_regime riscv_regime_of(const struct riscv_hart *hart, unsigned privilege)
{
    bool bare = privilege == RISCV_M || !(hart->satp >> 60);

    return (struct riscv_regime){.satp = bare ? 0 : hart->satp, .privilege = privilege};
}

/* The regime that fetches and that loads and stores are made with now. */
static inline struct riscv_regime riscv_regime_fetch(const struct riscv_hart *hart)
{
    return riscv_regime_of(hart, hart->privilege);
}

static inline struct riscv_regime riscv_regime_data(const struct riscv_hart *hart)
{
    struct riscv_regime regime = riscv_regime_of(hart, riscv_data_privilege(hart));

    if (!regime.satp)
        return regime;
    regime.sum = regime.privilege == RISCV_S && (hart->mstatus & MSTATUS_SUM);
    regime.mxr = hart->mstatus & MSTATUS_MXR;
    return regime;
}

static inline bool riscv_regime_equal(const struct riscv_regime *a, const struct riscv_regime *b)
{
    return a->satp == b->satp && a->privilege == b->privilege && a->sum == b->sum &&
           a->mxr == b->mxr;
}

/* 0, or the exception (a page fault, or an access fault where a page table is out of reach). Sets A
 * and D where the hart does (ADUE). PMP is checked for the page tables and not for the result. */
int riscv_translate(const struct riscv_hart *hart, const struct address_space *memory,
                    uint64_t vaddr, enum riscv_access access, const struct riscv_regime *regime,
                    struct riscv_translation *translation) MUST_CHECK;

/* The same for a load without setting or wanting anything: 0 and in translation->access what may be
 * done there with A and D as they are; an exception where a page is not there, and nothing else. */
int riscv_peek(const struct riscv_hart *hart, const struct address_space *memory, uint64_t vaddr,
               const struct riscv_regime *regime, struct riscv_translation *translation) MUST_CHECK;

/* The exception codes of a kind of access. */
int riscv_access_fault(enum riscv_access access);
int riscv_page_fault(enum riscv_access access);

/* Whether the hart's satp may hold the value: its mode exists. */
bool riscv_satp_valid(const struct riscv_hart *hart, uint64_t satp);

/* True when all of [addr, addr + size) may be accessed so. */
bool riscv_pmp_allows(const struct riscv_hart *hart, gpa addr, uint64_t size,
                      enum riscv_access access, unsigned privilege);
/* What all of the page at `addr` allows (enum riscv_access); `mixed` when its parts differ. */
unsigned riscv_pmp_page(const struct riscv_hart *hart, gpa addr, unsigned privilege, bool *mixed);
/* Writes to pmpcfg and pmpaddr, with WARL and locks. */
void riscv_pmp_set_config(struct riscv_hart *hart, unsigned entry, uint8_t value);
void riscv_pmp_set_address(struct riscv_hart *hart, unsigned entry, uint64_t value);

#endif
