/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/native.h"
#include "cpu/riscv/privileged.h"
#include "cpu/riscv/window.h"

int tlb_create(struct engine_cpu *cpu)
{
    void *memory = mmap(NULL, TLB_COUNT * sizeof(struct tlb), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return -ENOMEM;
    /* A process that is made of this one is not to write where translated code jumps to. */
    madvise(memory, TLB_COUNT * sizeof(struct tlb), MADV_DONTFORK);
    cpu->tlbs = memory;
    return 0;
}

void tlb_release(struct engine_cpu *cpu)
{
    if (cpu->tlbs)
        munmap(cpu->tlbs, TLB_COUNT * sizeof(struct tlb));
}

uint64_t tlb_bytes(const struct engine_cpu *cpu)
{
    uint32_t touched = atomic_load_explicit(&cpu->tlbs_touched, memory_order_relaxed);

    return (uint64_t)__builtin_popcount(touched) * sizeof(struct tlb);
}

static void note_touched(struct engine_cpu *cpu, const struct tlb *tlb, bool touched)
{
    uint32_t bit = UINT32_C(1) << (tlb - cpu->tlbs);

    if (touched)
        atomic_fetch_or_explicit(&cpu->tlbs_touched, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&cpu->tlbs_touched, ~bit, memory_order_relaxed);
}

/* Nothing in it holds any more. */
static void tlb_void(struct engine_cpu *cpu, struct tlb *tlb)
{
    tlb->valid = false;
    if (tlb->window)
        native_window_close(cpu, tlb);
}

static void entry_clear(struct tlb_entry *entry)
{
    entry->read = entry->write = entry->fetch = TLB_NONE;
}

/* ---- victims: two pages that are used in turn and have the same place in entries[] ---- */

/* Pages that have the same place there differ in the higher bits. */
static struct tlb_victim *victim_of(struct tlb *tlb, uint64_t tag)
{
    uint64_t page = tag >> PAGE_SHIFT;

    return &tlb->victims[(page ^ page >> 11 ^ page >> 17) % TLB_VICTIMS];
}

static void victim_forget(struct tlb *tlb, uint64_t tag)
{
    struct tlb_victim *victim = victim_of(tlb, tag);

    if (victim->tag == tag)
        victim->tag = TLB_NONE;
}

static void entries_empty(struct tlb *tlb)
{
    memset(tlb->entries, 0xff, sizeof(tlb->entries)); /* TLB_NONE */
    memset(tlb->victims, 0xff, sizeof(tlb->victims));
}

static void jumps_empty(struct tlb *tlb)
{
    memset(tlb->native.jumps, 0xff, sizeof(tlb->native.jumps));
    tlb->native.jumps[0].tag = native_no_tag(0);
}

void tlb_empty_jumps(struct tlb *tlb)
{
    jumps_empty(tlb);
    memset(tlb->jump_pages, 0, sizeof(tlb->jump_pages));
    if (!tlb->edges_empty)
        memset(tlb->native.edges, 0xff, sizeof(tlb->native.edges));
    tlb->edges_empty = true;
}

static unsigned large_place(uint64_t vaddr)
{
    return (vaddr >> LARGE_SHIFT & (LARGE_PLACES / 2 - 1)) | (vaddr >> 63) * (LARGE_PLACES / 2);
}

/* Whether the page may be of a mapping that lies in that place. */
static bool in_large_place(const struct tlb *tlb, uint64_t vaddr)
{
    unsigned place = large_place(vaddr);

    return tlb->large_places[place / 64] >> (place % 64) & 1;
}

static bool in_large(const struct tlb *tlb, uint64_t vaddr)
{
    return (vaddr & tlb->large[vaddr >> 63].mask) == tlb->large[vaddr >> 63].base;
}

static void tlb_note_jump(struct tlb *tlb, uint64_t vaddr)
{
    unsigned page = vaddr >> PAGE_SHIFT & (JUMP_PAGES - 1);

    if (!(vaddr >> 63))
        tlb->has_lower = true;
    tlb->jump_pages[page / 64] |= UINT64_C(1) << (page % 64);
}

/* Widens what the TLB knows of mappings greater than LARGE_SHIFT by another one. */
static void large_widen(struct tlb *tlb, unsigned half, uint64_t base, uint64_t mask)
{
    uint64_t *known = &tlb->large[half].base, *wide = &tlb->large[half].mask;

    if (*known == 1) {
        *wide = mask;
    } else {
        *wide &= mask;
        while ((*known ^ base) & *wide)
            *wide <<= 1;
    }
    *known = base & *wide;
}

static void large_place_add(struct tlb *tlb, uint64_t vaddr)
{
    unsigned place = large_place(vaddr);

    tlb->large_places[place / 64] |= UINT64_C(1) << (place % 64);
}

/* The jump cache and the edges lie beside the TLB for data, and what they know was looked up in the
 * one for fetches, which may go before them: they must be flushed as that would be. */
void tlb_note_code(struct engine_cpu *cpu, uint64_t vaddr)
{
    const struct tlb *fetch = cpu->fetch;
    struct tlb *data = cpu->data;

    tlb_note_jump(data, vaddr);
    if (likely(data == fetch))
        return;
    if (in_large_place(fetch, vaddr))
        large_place_add(data, vaddr);
    if (in_large(fetch, vaddr))
        large_widen(data, vaddr >> 63, fetch->large[vaddr >> 63].base,
                    fetch->large[vaddr >> 63].mask);
}

void tlb_note_edge(struct engine_cpu *cpu, uint64_t page, uint32_t edge, int32_t pages)
{
    unsigned slot = native_edge_slot(edge);
    struct tlb *tlb = cpu->data;

    tlb->native.edges[slot] = page + native_edge_tag(edge);
    tlb->edge_pages[slot] = pages;
    tlb->edges_empty = false;
    tlb_note_code(cpu, page);
    tlb_note_code(cpu, page + ((uint64_t)(int64_t)pages << PAGE_SHIFT));
}

static uint64_t edge_target(const struct tlb *tlb, unsigned slot)
{
    return (tlb->native.edges[slot] & PAGE_MASK) +
           ((uint64_t)(int64_t)tlb->edge_pages[slot] << PAGE_SHIFT);
}

static void edges_flush_page(struct tlb *tlb, uint64_t page)
{
    for (unsigned i = 0; i < NATIVE_EDGES && !tlb->edges_empty; i++)
        if (tlb->native.edges[i] != UINT64_MAX && edge_target(tlb, i) == page)
            tlb->native.edges[i] = UINT64_MAX;
}

static bool is_upper(uint64_t tag)
{
    return tag >> 63 && tag != UINT64_MAX;
}

/* What the TLB of another address space knows of the upper half holds in this one, too. */
static bool may_inherit(const struct engine_cpu *cpu, const struct tlb *from,
                        const struct riscv_regime *regime)
{
    return cpu->upper_global && from->valid && regime->privilege == RISCV_S && regime->satp &&
           from->regime.satp >> 60 == regime->satp >> 60 &&
           from->regime.privilege == regime->privilege && from->regime.sum == regime->sum &&
           from->regime.mxr == regime->mxr;
}

static const struct tlb *donor_for(const struct engine_cpu *cpu, const struct riscv_regime *regime)
{
    for (unsigned i = 0; i < TLB_COUNT; i++)
        if (may_inherit(cpu, &cpu->tlbs[i], regime))
            return &cpu->tlbs[i];
    return NULL;
}

static bool entry_is_upper(const struct tlb_entry *entry)
{
    return is_upper(entry->read) || is_upper(entry->fetch);
}

static void jumps_inherit(struct tlb *tlb, const struct tlb *from)
{
    for (unsigned i = 0; i < NATIVE_JUMPS; i++)
        if (is_upper(from->native.jumps[i].tag))
            tlb->native.jumps[i] = from->native.jumps[i];
    memcpy(tlb->jump_pages, from->jump_pages, sizeof(tlb->jump_pages));
    for (unsigned i = 0; i < NATIVE_EDGES && !from->edges_empty; i++) {
        uint64_t page = from->native.edges[i];

        if (!is_upper(page) || !is_upper(edge_target(from, i)))
            continue;
        tlb->native.edges[i] = page;
        tlb->edge_pages[i] = from->edge_pages[i];
        tlb->edges_empty = false;
    }
}

/* But for tags to write by: those are kept one a page (struct engine_cpu.written). */
static void inherit(struct engine_cpu *cpu, struct tlb *tlb, const struct tlb *from)
{
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        const struct tlb_entry *entry = &from->entries[i];

        if (!entry_is_upper(entry))
            continue;
        tlb->entries[i] = *entry;
        tlb->entries[i].write = TLB_NONE;
    }
    tlb->large[1] = from->large[1];
    memcpy(tlb->large_places, from->large_places, sizeof(tlb->large_places));
    if (cpu->native)
        jumps_inherit(tlb, from);
}

/* All but what is known of the upper half. */
static void drop_lower(struct engine_cpu *cpu, struct tlb *tlb)
{
    if (!tlb->has_lower)
        return;
    for (unsigned i = 0; i < TLB_SIZE; i++)
        if (!entry_is_upper(&tlb->entries[i]))
            entry_clear(&tlb->entries[i]);
    for (unsigned i = 0; i < TLB_VICTIMS; i++)
        if (!is_upper(tlb->victims[i].tag))
            tlb->victims[i].tag = TLB_NONE;
    for (unsigned i = 0; i < NATIVE_JUMPS && cpu->native; i++)
        if (!is_upper(tlb->native.jumps[i].tag))
            tlb->native.jumps[i].tag = native_no_tag(i);
    for (unsigned i = 0; i < NATIVE_EDGES && !tlb->edges_empty; i++)
        if (!is_upper(tlb->native.edges[i]) || !is_upper(edge_target(tlb, i)))
            tlb->native.edges[i] = UINT64_MAX;
    tlb->large[0].base = 1;
    tlb->large[0].mask = 0;
    tlb->has_lower = false;
}

static void large_forget(struct tlb *tlb)
{
    for (unsigned i = 0; i < ARRAY_SIZE(tlb->large); i++) {
        tlb->large[i].base = 1;
        tlb->large[i].mask = 0;
    }
    memset(tlb->large_places, 0, sizeof(tlb->large_places));
}

/* Empties a TLB whose regime stays, if it is a program's: what is known of how it behaves stays,
 * too. Its window is worth a look at each page that it has; large mappings of which it keeps some
 * are remembered. */
static void tlb_renew(struct engine_cpu *cpu, struct tlb *tlb)
{
    if (tlb->regime.privilege != RISCV_U || !cpu->native) {
        tlb_void(cpu, tlb);
        return;
    }
    if (!tlb->empty) {
        entries_empty(tlb);
        tlb_empty_jumps(tlb);
        tlb->has_lower = false;
        tlb->empty = tlb != cpu->fetch && tlb != cpu->data;
    }
    if (tlb->window)
        native_window_review(cpu, tlb);
    else
        large_forget(tlb);
}

/* One that is empty, or else the one that was left longest ago: a program that runs all the time
 * shall not lose its own, and the window with it, to those that run for a moment. */
static struct tlb *tlb_victim(struct engine_cpu *cpu)
{
    struct tlb *victim = NULL;

    for (unsigned i = 0; i < TLB_COUNT; i++) {
        struct tlb *tlb = &cpu->tlbs[i];

        if (!tlb->valid)
            return tlb;
        if (tlb == cpu->fetch || tlb == cpu->data)
            continue;
        if (!victim || tlb->used < victim->used)
            victim = tlb;
    }
    return victim;
}

/* Without SUM a kernel sees its own half only, which is the same in all address spaces: one TLB
 * does for all of them, and goes with the CPU to the next. */
static bool may_move(const struct engine_cpu *cpu, const struct tlb *tlb,
                     const struct riscv_regime *regime)
{
    return !regime->sum && !tlb->has_lower && may_inherit(cpu, tlb, regime);
}

static struct tlb *tlb_to_move(struct engine_cpu *cpu, const struct riscv_regime *regime)
{
    /* The one that the CPU is in, most often. */
    if (cpu->fetch && may_move(cpu, cpu->fetch, regime))
        return cpu->fetch;
    for (unsigned i = 0; i < TLB_COUNT && !regime->sum; i++)
        if (may_move(cpu, &cpu->tlbs[i], regime))
            return &cpu->tlbs[i];
    return NULL;
}

static struct tlb *take_up(struct engine_cpu *cpu, struct tlb *tlb)
{
    tlb->used = ++cpu->tlb_clock;
    tlb->empty = false;
    return tlb;
}

static bool is_of(const struct tlb *tlb, const struct riscv_regime *regime)
{
    return tlb->valid && riscv_regime_equal(&tlb->regime, regime);
}

/* The TLB of a regime, emptied if it is new. */
static struct tlb *tlb_find(struct engine_cpu *cpu, const struct riscv_regime *regime)
{
    const struct tlb *from;
    struct tlb *tlb;

    for (unsigned i = 0; i < TLB_COUNT; i++)
        if (is_of(&cpu->tlbs[i], regime))
            return take_up(cpu, &cpu->tlbs[i]);
    cpu_before_eviction(cpu);
    tlb = tlb_to_move(cpu, regime);
    if (!tlb)
        tlb = tlb_victim(cpu);
    if (may_inherit(cpu, tlb, regime)) {
        drop_lower(cpu, tlb);
        tlb->regime = *regime;
        return take_up(cpu, tlb);
    }
    tlb_void(cpu, tlb);
    note_touched(cpu, tlb, true);
    from = donor_for(cpu, regime);
    tlb->regime = *regime;
    tlb->valid = true;
    tlb->has_lower = false;
    large_forget(tlb);
    entries_empty(tlb);
    if (cpu->native) {
        tlb_empty_jumps(tlb);
        tlb->ticks = tlb->churn = tlb->window_cost = tlb->window_heavy = tlb->window_pause = 0;
        native_context_init(cpu, &tlb->native);
    }
    if (from)
        inherit(cpu, tlb, from);
    return take_up(cpu, tlb);
}

/* A look at each of them misses the host's caches, and each trap and each return from one asks: the
 * last one of a kind of regime is the right one most often. */
static struct tlb *tlb_of(struct engine_cpu *cpu, const struct riscv_regime *regime)
{
    struct tlb **recent = &cpu->recent[(regime->privilege & 1u) | (unsigned)regime->sum << 1];

    if (*recent && is_of(*recent, regime))
        return take_up(cpu, *recent);
    *recent = tlb_find(cpu, regime);
    return *recent;
}

unsigned tlb_count(const struct engine_cpu *cpu)
{
    unsigned count = 0;

    for (unsigned i = 0; i < TLB_COUNT; i++)
        count += cpu->tlbs[i].valid;
    return count;
}

void tlb_trim(struct engine_cpu *cpu)
{
    for (unsigned i = 0; i < TLB_COUNT; i++) {
        struct tlb *tlb = &cpu->tlbs[i];

        if (tlb == cpu->fetch || tlb == cpu->data)
            continue;
        tlb_void(cpu, tlb);
        if (!madvise(tlb, sizeof(*tlb), MADV_REMOVE))
            note_touched(cpu, tlb, false);
    }
}

void tlb_review(struct engine_cpu *cpu)
{
    struct riscv_regime regime = riscv_regime_fetch(cpu->hart);

    if (!cpu->fetch || !is_of(cpu->fetch, &regime))
        cpu->fetch = tlb_of(cpu, &regime);
    regime = riscv_regime_data(cpu->hart);
    if (cpu->data && is_of(cpu->data, &regime))
        return;
    if (cpu->data)
        reservation_make_physical(cpu);
    cpu->data = is_of(cpu->fetch, &regime) ? cpu->fetch : tlb_of(cpu, &regime);
}

void tlb_flush_all(struct engine_cpu *cpu)
{
    cpu_before_eviction(cpu);
    for (unsigned i = 0; i < TLB_COUNT; i++)
        tlb_void(cpu, &cpu->tlbs[i]);
    cpu->upper_global = true; /* none was translated */
    cpu->fetch = cpu->data = NULL;
    cpu->counters.tlb_flushes++;
    tlb_review(cpu);
}

static struct tlb_entry *entry_of(struct tlb *tlb, uint64_t vaddr)
{
    return &tlb->entries[(vaddr >> PAGE_SHIFT) & (TLB_SIZE - 1)];
}

/* Most pages that are flushed never held code. */
static void jumps_flush_page(struct tlb *tlb, uint64_t vaddr)
{
    if (!tlb_has_jumps(tlb, vaddr))
        return;
    for (uint64_t at = vaddr & PAGE_MASK, end = at + PAGE_SIZE; at != end; at += 2) {
        unsigned index = native_jump_index(at);

        if (tlb->native.jumps[index].tag == at)
            tlb->native.jumps[index].tag = native_no_tag(index);
    }
    edges_flush_page(tlb, vaddr & PAGE_MASK);
}

void tlb_flush_jumps(struct engine_cpu *cpu)
{
    for (unsigned i = 0; i < TLB_COUNT; i++)
        if (cpu->tlbs[i].valid)
            jumps_empty(&cpu->tlbs[i]);
}

static uint64_t regime_asid(const struct riscv_regime *regime)
{
    return bits_get(regime->satp, 44, 16);
}

/* Whether the fence is for the TLB. Bare regimes depend on no page table. */
static bool flush_concerns(const struct tlb *tlb, bool all_spaces, uint64_t asid)
{
    return tlb->valid && tlb->regime.satp &&
           (all_spaces || regime_asid(&tlb->regime) == (asid & 0xffff));
}

static void jumps_flush_pages(struct tlb *tlb, uint64_t vaddr, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        jumps_flush_page(tlb, vaddr + (i << PAGE_SHIFT));
}

static void flush_pages(struct tlb *tlb, uint64_t vaddr, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        entry_clear(entry_of(tlb, vaddr + (i << PAGE_SHIFT)));
        victim_forget(tlb, (vaddr & PAGE_MASK) + (i << PAGE_SHIFT));
    }
    if (tlb->window && vaddr < WINDOW_SIZE && window_unmap(tlb->window, vaddr >> PAGE_SHIFT, count))
        tlb->window_cost += WINDOW_UNMAP_COST;
}

void tlb_flush(struct engine_cpu *cpu, bool all_addresses, uint64_t vaddr, bool all_spaces,
               uint64_t asid)
{
    uint64_t first = vaddr >> LARGE_SHIFT << LARGE_SHIFT;
    bool large = false, place = false;

    cpu->counters.tlb_flushes++;
    cpu_before_eviction(cpu);
    /* A jump cache lies beside the TLB for data, and what it knows of code was looked up in the one
     * for fetches: a large mapping in either counts for both. */
    for (unsigned i = 0; i < TLB_COUNT && !all_addresses; i++) {
        if (!flush_concerns(&cpu->tlbs[i], all_spaces, asid))
            continue;
        large |= in_large(&cpu->tlbs[i], vaddr);
        place |= in_large_place(&cpu->tlbs[i], vaddr);
    }
    for (unsigned i = 0; i < TLB_COUNT; i++) {
        struct tlb *tlb = &cpu->tlbs[i];

        if (!flush_concerns(tlb, all_spaces, asid))
            continue;
        if (all_addresses && !all_spaces && tlb->regime.privilege == RISCV_S && cpu->upper_global) {
            drop_lower(cpu, tlb); /* global mappings are of no address space */
            continue;
        }
        if (all_addresses || in_large(tlb, vaddr)) {
            tlb_renew(cpu, tlb);
            continue;
        }
        if (large && cpu->native)
            tlb_empty_jumps(tlb);
        if (!tlb->has_lower && !tlb->window && !(vaddr >> 63))
            continue;
        if (in_large_place(tlb, vaddr))
            flush_pages(tlb, first, LARGE_PAGES);
        else
            flush_pages(tlb, vaddr, 1);
        if (place && cpu->native)
            jumps_flush_pages(tlb, first, LARGE_PAGES);
        else if (cpu->native)
            jumps_flush_page(tlb, vaddr);
    }
    tlb_review(cpu);
}

/* UINT64_MAX: it is not in main RAM. */
static uint64_t page_of_main(const struct engine_cpu *cpu, const uint8_t *host)
{
    uint64_t offset = (uintptr_t)host - (uintptr_t)cpu->main->host;

    return offset < cpu->main->size ? offset >> PAGE_SHIFT : UINT64_MAX;
}

static bool entry_writes(const struct tlb_entry *entry, const uint8_t *host_page)
{
    return entry->write != TLB_NONE && entry->write + entry->addend == (uintptr_t)host_page;
}

static struct tlb_entry *written_entry(struct engine_cpu *cpu, unsigned where)
{
    struct tlb *tlb = &cpu->tlbs[(where - 1) / TLB_SIZE];

    return tlb->valid ? &tlb->entries[(where - 1) % TLB_SIZE] : NULL;
}

_Static_assert(TLB_COUNT *TLB_SIZE < WRITTEN_MANY, "an entry's number has 2 bytes");

/* Remembers that the entry may be written through, for tlb_protect(). */
static void written_note(struct engine_cpu *cpu, const struct tlb *tlb,
                         const struct tlb_entry *entry, uint64_t page, const uint8_t *host_page)
{
    uint16_t *where = &cpu->written[page];
    uint16_t here = (uint16_t)(1 + (tlb - cpu->tlbs) * TLB_SIZE + (entry - tlb->entries));
    const struct tlb_entry *other;

    if (*where == here || *where == WRITTEN_MANY)
        return;
    other = *where ? written_entry(cpu, *where) : NULL;
    *where = other && entry_writes(other, host_page) ? WRITTEN_MANY : here;
}

static bool protect_everywhere(struct engine_cpu *cpu, const uint8_t *host_page)
{
    bool found = false;

    for (unsigned i = 0; i < TLB_COUNT; i++)
        for (unsigned j = 0; cpu->tlbs[i].valid && j < TLB_SIZE; j++)
            if (entry_writes(&cpu->tlbs[i].entries[j], host_page)) {
                cpu->tlbs[i].entries[j].write = TLB_NONE;
                found = true;
            }
    return found;
}

/* A program that writes code all the time is better off without a window. */
static bool protect_windows(struct engine_cpu *cpu, uint64_t page)
{
    bool found = false;

    for (unsigned i = 0; i < TLB_COUNT; i++) {
        struct tlb *tlb = &cpu->tlbs[i];

        if (!tlb->valid || !tlb->window || !window_protect(tlb->window, page))
            continue;
        found = true;
        if (++tlb->churn == WINDOW_CHURN)
            native_window_close(cpu, tlb);
    }
    return found;
}

bool tlb_protect(struct engine_cpu *cpu, const uint8_t *host_page)
{
    uint64_t page = page_of_main(cpu, host_page);
    struct tlb_entry *entry;
    bool found = false;

    /* Only main RAM is ever entered for writing. */
    if (page == UINT64_MAX || !cpu->written)
        return false;
    if (cpu->written[page] == WRITTEN_MANY) {
        found = protect_everywhere(cpu, host_page);
    } else if (cpu->written[page]) {
        entry = written_entry(cpu, cpu->written[page]);
        if (entry && entry_writes(entry, host_page)) {
            entry->write = TLB_NONE;
            found = true;
        }
    }
    cpu->written[page] = 0;
    return protect_windows(cpu, page) || found;
}

void tlb_protect_all(struct engine_cpu *cpu)
{
    struct ram *ram = cpu->main;

    for (unsigned i = 0; i < TLB_COUNT; i++) {
        for (unsigned j = 0; cpu->tlbs[i].valid && j < TLB_SIZE; j++)
            cpu->tlbs[i].entries[j].write = TLB_NONE;
        if (cpu->tlbs[i].valid && cpu->tlbs[i].window)
            window_clear(cpu->tlbs[i].window);
    }
    for (uint64_t page = 0; page < ram->size >> PAGE_SHIFT; page++)
        if (atomic_load_explicit(&ram->flags[page], memory_order_relaxed) & PAGE_CODE)
            memory_note_write(ram, page << PAGE_SHIFT, PAGE_SIZE);
}

/* Notes the large mapping at `vaddr`. */
static void large_add(struct tlb *tlb, uint64_t vaddr, unsigned shift)
{
    if (shift <= LARGE_SHIFT)
        large_place_add(tlb, vaddr);
    else
        large_widen(tlb, vaddr >> 63, vaddr, shift < 64 ? ~UINT64_C(0) << shift : 0);
}

/* What is in the entry goes, since the page at `tag` takes its place. */
static void entry_leave(struct engine_cpu *cpu, struct tlb *tlb, struct tlb_entry *entry,
                        uint64_t tag)
{
    uint64_t old = entry->read != TLB_NONE ? entry->read : entry->fetch;

    victim_forget(tlb, tag);
    if (old != TLB_NONE && old != tag &&
        page_of_main(cpu, (uint8_t *)(uintptr_t)(old + entry->addend)) != UINT64_MAX)
        *victim_of(tlb, old) =
            (struct tlb_victim){.tag = old,
                                .addend = entry->addend,
                                .allowed = (entry->read == old ? RISCV_LOAD : 0u) |
                                           (entry->fetch == old ? RISCV_FETCH : 0u) |
                                           (entry->write == old ? RISCV_STORE : 0u)};
    entry_clear(entry);
}

/* Enters a page of RAM. Only main RAM is entered for writing: see tlb_protect_all(). */
static void entry_fill(struct engine_cpu *cpu, struct tlb *tlb, uint64_t vaddr,
                       enum riscv_access access, unsigned allowed, const struct tlb_place *place)
{
    struct tlb_entry *entry = entry_of(tlb, vaddr);
    uint64_t tag = vaddr & PAGE_MASK, addend = (uintptr_t)place->host - vaddr;
    struct ram *ram = place->range->ram;
    uint64_t offset = place->address - ram->base;
    uint8_t flags;

    if (entry->write != TLB_NONE)
        cpu_before_eviction(cpu);
    if (entry->addend != addend || (entry->read != tag && entry->fetch != tag))
        entry_leave(cpu, tlb, entry, tag);
    entry->addend = addend;
    if (allowed & RISCV_LOAD)
        entry->read = tag;
    if (allowed & RISCV_FETCH)
        entry->fetch = tag;
    if (access == RISCV_STORE)
        entry->write = TLB_NONE;
    if (ram != cpu->main || !(allowed & RISCV_STORE))
        return;
    /* A page that becomes code after this look gives a request (I1), handled after this. */
    flags = atomic_load_explicit(&ram->flags[offset >> PAGE_SHIFT], memory_order_acquire);
    /* What is read first is written next, often enough: where that changes nothing for others, the
     * page is entered for both. */
    if (flags & PAGE_CODE || (access != RISCV_STORE && !(flags & PAGE_DIRTY)))
        return;
    memory_note_write(ram, offset, 1); /* dirty from now on */
    entry->write = tag;
    written_note(cpu, tlb, entry, offset >> PAGE_SHIFT, place->host - (vaddr & (PAGE_SIZE - 1)));
}

/* Back from the victims, if the page is there and allows the access. */
static bool victim_return(struct engine_cpu *cpu, struct tlb *tlb, uint64_t vaddr,
                          enum riscv_access access, struct tlb_place *place)
{
    struct tlb_victim victim = *victim_of(tlb, vaddr & PAGE_MASK);

    if (victim.tag != (vaddr & PAGE_MASK) || !(victim.allowed & access))
        return false;
    place->host = (uint8_t *)(uintptr_t)(vaddr + victim.addend);
    place->address = cpu->main->base + (uint64_t)(place->host - cpu->main->host);
    place->range = memory_find(cpu->engine->memory, place->address);
    place->cached = true;
    entry_fill(cpu, tlb, vaddr, access, victim.allowed, place);
    return true;
}

int tlb_lookup(struct engine_cpu *cpu, struct tlb *tlb, uint64_t vaddr, unsigned width,
               enum riscv_access access, struct tlb_place *place)
{
    struct riscv_hart *hart = cpu->hart;
    struct riscv_translation translation;
    unsigned allowed;
    bool mixed;
    int error;

    cpu->counters.tlb_misses++;
    if (victim_return(cpu, tlb, vaddr, access, place))
        return 0;
    error = riscv_translate(hart, cpu->engine->memory, vaddr, access, &tlb->regime, &translation);
    if (error)
        return error;
    allowed = riscv_pmp_page(hart, translation.address, tlb->regime.privilege, &mixed);
    if (mixed ? !riscv_pmp_allows(hart, translation.address, width, access, tlb->regime.privilege)
              : !(allowed & access))
        return riscv_access_fault(access);
    place->address = translation.address;
    place->range = memory_find(cpu->engine->memory, translation.address);
    place->host = NULL;
    place->cached = false;
    if (!place->range)
        return riscv_access_fault(access);
    if (!place->range->ram)
        return access == RISCV_FETCH ? riscv_access_fault(access) : 0;
    if (!ram_has(place->range->ram, translation.address - place->range->base))
        return riscv_access_fault(access);
    if (access == RISCV_STORE && !place->range->ram->writable)
        return riscv_access_fault(access);
    place->host = place->range->ram->host + (translation.address - place->range->base);
    if (mixed)
        return 0;
    place->cached = true;
    if (!(vaddr >> 63))
        tlb->has_lower = true;
    else if (!translation.global)
        cpu->upper_global = false;
    entry_fill(cpu, tlb, vaddr, access, allowed & translation.access, place);
    if (translation.shift > PAGE_SHIFT && tlb->regime.satp)
        large_add(tlb, vaddr, translation.shift);
    return 0;
}

static bool fault(struct engine_cpu *cpu, int cause, uint64_t tval)
{
    cpu->cause = cause;
    cpu->tval = tval;
    return false;
}

static GUEST_ACCESS uint64_t host_load(const void *host, unsigned width)
{
    switch (width) {
    case 1:
        return __atomic_load_n((const uint8_t *)host, __ATOMIC_RELAXED);
    case 2:
        return le16toh(__atomic_load_n((const uint16_t *)host, __ATOMIC_RELAXED));
    case 4:
        return le32toh(__atomic_load_n((const uint32_t *)host, __ATOMIC_RELAXED));
    default:
        return le64toh(__atomic_load_n((const uint64_t *)host, __ATOMIC_RELAXED));
    }
}

static GUEST_ACCESS void host_store(void *host, unsigned width, uint64_t value)
{
    switch (width) {
    case 1:
        __atomic_store_n((uint8_t *)host, value, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((uint16_t *)host, htole16(value), __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)host, htole32(value), __ATOMIC_RELAXED);
        break;
    default:
        __atomic_store_n((uint64_t *)host, htole64(value), __ATOMIC_RELAXED);
        break;
    }
}

/* The pieces of a misaligned access: one or two, by page. */
struct pieces {
    unsigned count;
    struct {
        uint64_t vaddr;
        unsigned len;
        struct tlb_place place;
    } piece[2];
};

/* All of it is translated before a byte moves, so that a store that faults changes nothing. Bytes
 * that PMP tells apart are asked for one by one. */
static bool pieces_find(struct engine_cpu *cpu, uint64_t vaddr, unsigned width,
                        enum riscv_access access, struct pieces *pieces)
{
    unsigned first = PAGE_SIZE - (vaddr & (PAGE_SIZE - 1));

    pieces->count = first < width ? 2 : 1;
    pieces->piece[0].vaddr = vaddr;
    pieces->piece[0].len = first < width ? first : width;
    pieces->piece[1].vaddr = vaddr + first;
    pieces->piece[1].len = width - pieces->piece[0].len;
    for (unsigned i = 0; i < pieces->count; i++) {
        uint64_t at = pieces->piece[i].vaddr;
        struct tlb_place *place = &pieces->piece[i].place;
        int error = tlb_lookup(cpu, cpu->data, at, 1, access, place);

        if (error)
            return fault(cpu, error, at);
        /* A device's registers are not memory: no misaligned access there. */
        if (!place->host)
            return fault(cpu, riscv_access_fault(access), at);
        if (place->cached)
            continue;
        for (unsigned j = 1; j < pieces->piece[i].len; j++)
            if (!riscv_pmp_allows(cpu->hart, place->address + j, 1, access,
                                  cpu->data->regime.privilege))
                return fault(cpu, riscv_access_fault(access), at + j);
    }
    return true;
}

static bool load_misaligned(struct engine_cpu *cpu, uint64_t vaddr, unsigned width, uint64_t *value)
{
    struct pieces pieces;
    uint8_t bytes[8] = {0};
    unsigned done = 0;

    if (!pieces_find(cpu, vaddr, width, RISCV_LOAD, &pieces))
        return false;
    for (unsigned i = 0; i < pieces.count; i++) {
        guest_copy_in(bytes + done, pieces.piece[i].place.host, pieces.piece[i].len);
        done += pieces.piece[i].len;
    }
    *value = load_le64(bytes);
    return true;
}

static bool store_misaligned(struct engine_cpu *cpu, uint64_t vaddr, unsigned width, uint64_t value)
{
    struct pieces pieces;
    uint8_t bytes[8];
    unsigned done = 0;

    if (!pieces_find(cpu, vaddr, width, RISCV_STORE, &pieces))
        return false;
    store_le64(bytes, value);
    for (unsigned i = 0; i < pieces.count; i++) {
        struct tlb_place *place = &pieces.piece[i].place;

        guest_copy_out(place->host, bytes + done, pieces.piece[i].len);
        memory_note_write(place->range->ram, place->address - place->range->base,
                          pieces.piece[i].len);
        done += pieces.piece[i].len;
    }
    return true;
}

bool access_load(struct engine_cpu *cpu, uint64_t vaddr, unsigned width, uint64_t *value)
{
    struct tlb_place place;
    int error;

    if (unlikely(vaddr & (width - 1)))
        return load_misaligned(cpu, vaddr, width, value);
    error = tlb_lookup(cpu, cpu->data, vaddr, width, RISCV_LOAD, &place);
    if (error)
        return fault(cpu, error, vaddr);
    if (place.host)
        *value = host_load(place.host, width);
    else if (memory_io_read(place.range, place.address, width, value))
        return fault(cpu, RISCV_EXC_LOAD_ACCESS, vaddr);
    return true;
}

bool access_store(struct engine_cpu *cpu, uint64_t vaddr, unsigned width, uint64_t value)
{
    struct tlb_place place;
    int error;

    if (unlikely(vaddr & (width - 1)))
        return store_misaligned(cpu, vaddr, width, value);
    error = tlb_lookup(cpu, cpu->data, vaddr, width, RISCV_STORE, &place);
    if (error)
        return fault(cpu, error, vaddr);
    if (place.host) {
        host_store(place.host, width, value);
        memory_note_write(place.range->ram, place.address - place.range->base, width);
    } else if (memory_io_write(place.range, place.address, width, value)) {
        return fault(cpu, RISCV_EXC_STORE_ACCESS, vaddr);
    }
    return true;
}

bool access_fetch(struct engine_cpu *cpu, uint64_t vaddr, uint16_t *half)
{
    struct tlb_entry *entry = entry_of(cpu->fetch, vaddr);
    struct tlb_place place;
    int error;

    if (likely(entry->fetch == (vaddr & PAGE_MASK))) {
        *half = host_load((const void *)(uintptr_t)(vaddr + entry->addend), 2);
        return true;
    }
    error = tlb_lookup(cpu, cpu->fetch, vaddr, 2, RISCV_FETCH, &place);
    if (error)
        return fault(cpu, error, vaddr);
    *half = host_load(place.host, 2);
    return true;
}
