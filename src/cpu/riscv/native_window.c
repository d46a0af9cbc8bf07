/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which address spaces have windows, and what is in them.
 */
#include "base/bits.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"

enum {
    WINDOW_BLOCK = 16, /* pages that a fault looks at */
    WINDOW_TICKS = 6,  /* interrupts in a regime that make it get a window */
    /* In about us. A window saves a program a quarter of its time: 1 ms of the 4 ms between two
     * ticks. */
    WINDOW_COST = 1000,
    WINDOW_FAULT_COST = 4, /* a signal */
    WINDOW_MAP_COST = 6,
    WINDOW_REVIEWED = 16, /* runs that are looked at in 1 us */
    WINDOW_HEAVY = 20,
    WINDOW_PAUSE = 32, /* ticks; twice as many the next time */
    WINDOW_PAUSE_MOST = 256,
};

void native_window_close(struct engine_cpu *cpu, struct tlb *tlb)
{
    struct native_cpu *n = cpu->native;

    window_clear(tlb->window);
    n->window_of[tlb->window - n->windows] = NULL;
    tlb->window = NULL;
    tlb->native.window = NULL;
    /* They lead to code for the window. */
    tlb_empty_jumps(tlb);
}

/* One that is free, or the one of the regime that was left longest ago. */
static unsigned window_take(struct engine_cpu *cpu)
{
    struct native_cpu *n = cpu->native;
    unsigned victim = 0;

    for (unsigned i = 0; i < n->window_count; i++) {
        if (!n->window_of[i])
            return i;
        if (n->window_of[i]->used < n->window_of[victim]->used)
            victim = i;
    }
    native_window_close(cpu, n->window_of[victim]);
    return victim;
}

static void window_open(struct engine_cpu *cpu, struct tlb *tlb)
{
    struct native_cpu *n = cpu->native;
    const struct native *native = cpu->engine->native;
    unsigned i = window_take(cpu);

    if (!n->windows[i].base && window_init(&n->windows[i], native->ram, native->window_runs)) {
        n->window_count = i; /* no more of them */
        return;
    }
    if (!window_join(&n->windows[i], tlb, sizeof(*tlb)))
        return;
    n->window_of[i] = tlb;
    tlb->weighed = n->ticks;
    tlb->window = &n->windows[i];
    tlb->native.window = n->windows[i].base;
    tlb_empty_jumps(tlb);
}

/* User programs whose addresses are in the window, as Sv39's lower half is; others (Sv48) would be
 * interpreted. */
static bool may_have_window(const struct engine_cpu *cpu, const struct tlb *tlb)
{
    return tlb->regime.privilege == RISCV_U && cpu->hart->pc < WINDOW_SIZE &&
           cpu->hart->x[NATIVE_ANCHOR] < WINDOW_SIZE;
}

/* A program whose pages change all the time is better off without, for a while. */
static void window_weigh(struct engine_cpu *cpu, struct tlb *tlb)
{
    uint64_t ticks = lesser(cpu->native->ticks - tlb->weighed, WINDOW_TICKS);
    bool heavy = tlb->window_cost > WINDOW_COST * ticks;

    tlb->window_cost = 0;
    tlb->weighed = cpu->native->ticks;
    if (cpu->engine->native->window_at_once)
        return;
    if (heavy)
        tlb->window_heavy += 2;
    else if (tlb->window_heavy)
        tlb->window_heavy--;
    else if (tlb->window_pause)
        tlb->window_pause--;
    if (tlb->window_heavy < WINDOW_HEAVY)
        return;
    native_window_close(cpu, tlb);
    tlb->ticks = tlb->window_heavy = 0;
    tlb->window_pause = (unsigned)lesser(2 * tlb->window_pause + WINDOW_PAUSE, WINDOW_PAUSE_MOST);
}

void native_window_tick(struct engine_cpu *cpu)
{
    struct tlb *tlb = cpu->data;

    cpu->native->ticks++;
    if (tlb->window) {
        window_weigh(cpu, tlb);
        return;
    }
    if (!may_have_window(cpu, tlb) || tlb->churn >= WINDOW_CHURN || !cpu->native->window_count)
        return;
    if (++tlb->ticks >= WINDOW_TICKS + tlb->window_pause || cpu->engine->native->window_at_once)
        window_open(cpu, tlb);
}

/* Whether the page may be mapped, and how. It is one that the regime may load from. `shift`: of the
 * mapping that it is part of. */
static bool window_page(struct engine_cpu *cpu, const struct tlb *tlb, uint64_t vaddr,
                        struct window_run *run, unsigned *shift)
{
    struct ram *ram = cpu->engine->native->ram;
    struct riscv_translation translation;
    unsigned allowed;
    uint64_t offset;
    bool mixed;

    if (riscv_peek(cpu->hart, cpu->engine->memory, vaddr & PAGE_MASK, &tlb->regime, &translation))
        return false;
    allowed = riscv_pmp_page(cpu->hart, translation.address, tlb->regime.privilege, &mixed);
    allowed &= translation.access;
    *shift = translation.shift;
    offset = translation.address - ram->base;
    if (mixed || !(allowed & RISCV_LOAD) || offset >= ram->size || !ram_has(ram, offset))
        return false;
    *run = (struct window_run){.virtual_page = vaddr >> PAGE_SHIFT,
                               .ram_page = offset >> PAGE_SHIFT,
                               .count = 1};
    /* As in the TLB: a page that becomes code after this look gives a request. */
    run->writable =
        (allowed & RISCV_STORE) &&
        !(atomic_load_explicit(&ram->flags[run->ram_page], memory_order_acquire) & PAGE_CODE);
    return true;
}

struct review {
    struct engine_cpu *cpu;
    const struct tlb *tlb;
};

static bool window_holds(void *ctx, const struct window_run *page)
{
    const struct review *review = ctx;
    struct window_run now;
    unsigned shift;

    return window_page(review->cpu, review->tlb, page->virtual_page << PAGE_SHIFT, &now, &shift) &&
           now.ram_page == page->ram_page && now.writable >= page->writable;
}

void native_window_review(struct engine_cpu *cpu, struct tlb *tlb)
{
    struct review review = {cpu, tlb};

    tlb->window_cost += 1 + tlb->window->count / WINDOW_REVIEWED;
    tlb->window_cost += WINDOW_UNMAP_COST * window_review(tlb->window, window_holds, &review);
    if (!tlb->window->count)
        native_window_close(cpu, tlb);
}

static bool window_map_run(struct engine_cpu *cpu, const struct window_run *run)
{
    if (run->writable)
        memory_note_write(cpu->engine->native->ram, run->ram_page << PAGE_SHIFT,
                          run->count << PAGE_SHIFT);
    cpu->data->window_cost += WINDOW_MAP_COST;
    return window_map(cpu->data->window, run);
}

/* Maps the page at `vaddr`, which was accessed, and those around it that were used before. */
static void window_fill(struct engine_cpu *cpu, uint64_t vaddr)
{
    struct window *window = cpu->data->window;
    uint64_t page = vaddr >> PAGE_SHIFT, first, block = WINDOW_BLOCK;
    struct window_run run = {.count = 0}, next;
    unsigned shift;

    if (vaddr >= WINDOW_SIZE || !window_page(cpu, cpu->data, vaddr, &next, &shift))
        return;
    /* All of a large mapping was used, if any of it was, and it is one run mostly. */
    if (shift >= LARGE_SHIFT)
        block = LARGE_PAGES;
    first = page & ~(block - 1);
    for (uint64_t p = first; p < first + block; p++) {
        if ((p != page && window_has(window, p)) ||
            !window_page(cpu, cpu->data, p << PAGE_SHIFT, &next, &shift))
            continue;
        if (run.count && run.virtual_page + run.count == next.virtual_page &&
            run.ram_page + run.count == next.ram_page && run.writable == next.writable) {
            run.count++;
            continue;
        }
        if (run.count && !window_map_run(cpu, &run))
            return;
        run = next;
    }
    if (run.count && !window_map_run(cpu, &run))
        return;
    cpu->counters.window_fills++;
    cpu->data->window_cost += WINDOW_FAULT_COST;
}

void native_window_fill(struct engine_cpu *cpu, uint64_t vaddr, unsigned width)
{
    window_fill(cpu, vaddr);
    if ((vaddr ^ (vaddr + width - 1)) & PAGE_MASK)
        window_fill(cpu, vaddr + width - 1);
}

/* ---- accesses of windowed code that fail ---- */

static uint64_t *global_of(struct engine_cpu *cpu, unsigned ref)
{
    return ref < 32 ? &cpu->hart->x[ref] : &cpu->hart->f[ref - 32];
}

static uint64_t value_of(struct engine_cpu *cpu, unsigned ref)
{
    if (ref == HOST_ACCESS_PAGE)
        return context_of(cpu)->page;
    return ref == IR_ZERO ? 0 : *global_of(cpu, ref);
}

static void value_loaded(struct engine_cpu *cpu, const struct host_access *access, uint64_t value)
{
    if (access->data == IR_ZERO)
        return;
    if (access->data >= 32 && access->width == 4)
        value |= UINT64_C(0xffffffff) << 32; /* boxed */
    *global_of(cpu, access->data) = value;
}

struct native_value native_help_access(void *ctx, uint64_t where)
{
    struct engine_cpu *cpu = ctx;
    struct translator *t = &cpu->engine->native->translator;
    struct host_access access = translator_access(t, where, &context_of(cpu)->target);
    uint64_t base = value_of(cpu, access.base), vaddr = base + (uint64_t)(int64_t)access.imm;
    uint32_t info = NATIVE_INFO(access.guest, access.width, access.sign, access.done);
    struct native_value result;

    if (access.store) {
        result = native_help_store(cpu, vaddr, info, value_of(cpu, access.data));
    } else {
        result = native_help_load(cpu, vaddr, info);
        if (result.ok)
            value_loaded(cpu, &access, result.value);
    }
    if (access.keeps)
        result.value = base;
    return result;
}
