/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/mmu.h"

#include <errno.h>

#include "base/bits.h"
#include "cpu/riscv/privileged.h"

/* A page-table entry. "Sv39": the same bits in Sv48 and Sv57. */
#define PTE_V        (UINT64_C(1) << 0)
#define PTE_R        (UINT64_C(1) << 1)
#define PTE_W        (UINT64_C(1) << 2)
#define PTE_X        (UINT64_C(1) << 3)
#define PTE_U        (UINT64_C(1) << 4)
#define PTE_G        (UINT64_C(1) << 5)
#define PTE_A        (UINT64_C(1) << 6)
#define PTE_D        (UINT64_C(1) << 7)
#define PTE_RESERVED (UINT64_C(0x7f) << 54)
#define PTE_PBMT     (UINT64_C(3) << 61)
#define PTE_N        (UINT64_C(1) << 63)

enum { SATP_BARE = 0, SATP_SV39 = 8, SATP_SV57 = 10 };

static unsigned satp_mode(uint64_t satp)
{
    return satp >> 60;
}

bool riscv_satp_valid(const struct riscv_hart *hart, uint64_t satp)
{
    unsigned bits = hart->address_bits ? hart->address_bits : 57;

    return satp_mode(satp) == SATP_BARE ||
           (satp_mode(satp) >= SATP_SV39 && satp_mode(satp) <= SATP_SV39 + (bits - 39) / 9);
}

int riscv_access_fault(enum riscv_access access)
{
    return access == RISCV_FETCH  ? RISCV_EXC_FETCH_ACCESS
           : access == RISCV_LOAD ? RISCV_EXC_LOAD_ACCESS
                                  : RISCV_EXC_STORE_ACCESS;
}

int riscv_page_fault(enum riscv_access access)
{
    return access == RISCV_FETCH  ? RISCV_EXC_FETCH_PAGE
           : access == RISCV_LOAD ? RISCV_EXC_LOAD_PAGE
                                  : RISCV_EXC_STORE_PAGE;
}

/* What a leaf allows in the regime, A and D aside. */
static unsigned leaf_access(uint64_t pte, const struct riscv_regime *regime)
{
    unsigned access = 0;

    if (regime->privilege == RISCV_U && !(pte & PTE_U))
        return 0;
    if (regime->privilege == RISCV_S && (pte & PTE_U) && !regime->sum)
        return 0;
    if (pte & PTE_R || (regime->mxr && (pte & PTE_X)))
        access |= RISCV_LOAD;
    if (pte & PTE_W)
        access |= RISCV_STORE;
    /* S never executes a user's page, whatever SUM says. */
    if (pte & PTE_X && !(regime->privilege == RISCV_S && (pte & PTE_U)))
        access |= RISCV_FETCH;
    return access;
}

static bool pte_is_leaf(uint64_t pte)
{
    return pte & (PTE_R | PTE_X);
}

/* Reserved combinations, for a leaf and for a pointer to the next level. */
static bool pte_is_valid(const struct riscv_hart *hart, uint64_t pte, unsigned level)
{
    if (!(pte & PTE_V) || (pte & (PTE_R | PTE_W)) == PTE_W || (pte & PTE_RESERVED))
        return false;
    if (!pte_is_leaf(pte))
        return level && !(pte & (PTE_A | PTE_D | PTE_U | PTE_PBMT | PTE_N));
    if ((pte & PTE_PBMT) && (!(hart->menvcfg & ENVCFG_PBMTE) || (pte & PTE_PBMT) == PTE_PBMT))
        return false;
    /* Svnapot: 64 KiB is the one size there is. */
    if ((pte & PTE_N) && (level || (pte >> 10 & 15) != 8))
        return false;
    /* A superpage must be aligned to its size. */
    return !level || !bits_get(pte, 10, 9 * level);
}

static uint64_t *pte_host(const struct address_space *memory, gpa addr, const struct range **range)
{
    *range = memory_find(memory, addr);
    if (!*range || !(*range)->ram || !ram_has((*range)->ram, addr - (*range)->base))
        return NULL;
    return (uint64_t *)((*range)->ram->host + (addr - (*range)->base));
}

/* Sets A (and D for a store) if the entry is still what was read. Svadu: by one atomic operation.
 * Returns 0, -1 when the entry changed, or an exception. */
static int pte_update(const struct riscv_hart *hart, gpa addr, uint64_t *host,
                      const struct range *range, uint64_t pte, uint64_t wanted,
                      enum riscv_access access)
{
    uint64_t expected = htole64(pte);

    if (!(hart->menvcfg & ENVCFG_ADUE))
        return riscv_page_fault(access);
    if (!range->ram->writable || !riscv_pmp_allows(hart, addr, 8, RISCV_STORE, RISCV_S))
        return riscv_access_fault(access);
    if (!__atomic_compare_exchange_n(host, &expected, htole64(wanted), false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return -1;
    memory_note_write(range->ram, addr - range->base, 8);
    return 0;
}

/* Without `update` A and D are left as they are, and do not count. */
static int walk(const struct riscv_hart *hart, const struct address_space *memory, uint64_t vaddr,
                enum riscv_access access, const struct riscv_regime *regime, bool update,
                struct riscv_translation *translation)
{
    unsigned level = satp_mode(regime->satp) - SATP_SV39 + 3; /* levels */
    unsigned unused = 64 - 12 - 9 * level;
    gpa table = (regime->satp & (UINT64_MAX >> 20)) << 12;
    bool global = false;

    if (!regime->satp) {
        *translation = (struct riscv_translation){.address = vaddr,
                                                  .access = RISCV_FETCH | RISCV_LOAD | RISCV_STORE,
                                                  .accessed = true,
                                                  .global = true,
                                                  .shift = 64};
        return 0;
    }
    /* The bits above the highest that is translated must equal it. */
    if ((uint64_t)((int64_t)(vaddr << unused) >> unused) != vaddr)
        return riscv_page_fault(access);
    while (level--) {
        gpa addr = table + bits_get(vaddr, 12 + 9 * level, 9) * 8;
        const struct range *range;
        uint64_t *host = pte_host(memory, addr, &range);
        uint64_t pte, wanted, ppn;
        unsigned shift = 12 + 9 * level, allowed;

        if (!host || !riscv_pmp_allows(hart, addr, 8, RISCV_LOAD, RISCV_S))
            return riscv_access_fault(access);
    again:
        pte = le64toh(__atomic_load_n(host, __ATOMIC_ACQUIRE));
        if (!pte_is_valid(hart, pte, level))
            return riscv_page_fault(access);
        ppn = bits_get(pte, 10, 44);
        /* Set in a pointer it holds for all below. */
        global |= pte & PTE_G;
        if (!pte_is_leaf(pte)) {
            table = ppn << 12;
            continue;
        }
        allowed = leaf_access(pte, regime);
        if (!(allowed & access))
            return riscv_page_fault(access);
        wanted = pte | PTE_A | (access == RISCV_STORE ? PTE_D : 0);
        if (wanted != pte && update) {
            int error = pte_update(hart, addr, host, range, pte, wanted, access);

            if (error < 0)
                goto again;
            if (error)
                return error;
        }
        if (!(wanted & PTE_D))
            allowed &= ~RISCV_STORE;
        if (pte & PTE_N) {
            shift = 16;
            ppn &= ~UINT64_C(15);
        }
        translation->address = ppn << 12 | bits_get(vaddr, 0, shift);
        translation->access = allowed;
        translation->accessed = pte & PTE_A;
        translation->global = global;
        translation->shift = shift;
        return 0;
    }
    return riscv_page_fault(access);
}

int riscv_translate(const struct riscv_hart *hart, const struct address_space *memory,
                    uint64_t vaddr, enum riscv_access access, const struct riscv_regime *regime,
                    struct riscv_translation *translation)
{
    return walk(hart, memory, vaddr, access, regime, true, translation);
}

int riscv_peek(const struct riscv_hart *hart, const struct address_space *memory, uint64_t vaddr,
               const struct riscv_regime *regime, struct riscv_translation *translation)
{
    int error = walk(hart, memory, vaddr, RISCV_LOAD, regime, false, translation);

    if (!error && !translation->accessed)
        translation->access = 0;
    return error;
}

int riscv_hart_read_virtual(struct riscv_hart *hart, struct address_space *memory, uint64_t vaddr,
                            void *to, uint64_t length)
{
    struct riscv_translation translation = {0};
    struct riscv_regime regime = riscv_regime_of(hart, RISCV_S);

    regime.sum = true;
    while (length) {
        uint64_t part = PAGE_SIZE - (vaddr & (PAGE_SIZE - 1));

        if (part > length)
            part = length;
        if (walk(hart, memory, vaddr, RISCV_LOAD, &regime, false, &translation) ||
            !riscv_pmp_allows(hart, translation.address, part, RISCV_LOAD, RISCV_S))
            return -EFAULT;
        if (memory_read(memory, translation.address, to, part))
            return -EFAULT;
        to = (char *)to + part;
        vaddr += part;
        length -= part;
    }
    return 0;
}
