/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/fault.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"

enum { LINK_HEAT = 20 };

/* ---- the CPU's thread ---- */

static bool on_fault(void *ctx, void *context)
{
    struct engine_cpu *cpu = ctx;
    struct translator *t = &cpu->engine->native->translator;
    uint64_t stub = translator_fault(t, t->host->fault_pc(context));

    if (!stub)
        return false;
    context_of(cpu)->target = t->host->fault_pc(context);
    t->host->set_fault_pc(context, stub);
    return true;
}

void native_begin(struct engine_cpu *cpu)
{
    struct native_cpu *n = cpu->native;

    /* Without a limit the stack of return addresses has no bottom. */
    cpu->hart->signal.floor = (uintptr_t)n->stack + NATIVE_STACK_SLACK;
    cpu_signal_settle(&cpu->hart->signal);
    if (n->has_thread && pthread_equal(n->thread, pthread_self()))
        return;
    /* Without a handler there can be no windows. */
    if (fault_handle(on_fault, cpu, n->fault_stack))
        n->window_count = 0;
    n->thread = pthread_self();
    n->has_thread = true;
    n->window_set = NULL;
}

void native_leave(struct engine_cpu *cpu)
{
    fault_leave(cpu);
    cpu->native->has_thread = false;
}

/* ---- what translated code asks for ---- */

/* Instructions that translated code counted. */
static void counted_take(struct engine_cpu *cpu, uint64_t more)
{
    struct native_context *context = context_of(cpu);

    cpu->budget -= (int64_t)(context->counted + more);
    context->counted = 0;
}

static bool is_counting(const struct engine_cpu *cpu)
{
    return atomic_load_explicit(&cpu->engine->native->counting, memory_order_relaxed);
}

static struct native_value leave_by_trap(struct engine_cpu *cpu, uint32_t info)
{
    cpu->hart->pc = context_of(cpu)->page + NATIVE_INFO_AT(info);
    cpu->native->trapped = true;
    if (is_counting(cpu))
        counted_take(cpu, NATIVE_INFO_DONE(info));
    return (struct native_value){0, false};
}

/* An access of windowed code to somewhere else; see native.h. */
static bool is_outside(struct engine_cpu *cpu, uint64_t vaddr, unsigned width)
{
    /* The window may have been closed since; its code goes on, and relies on what it was told. */
    return (cpu->native->windowed || cpu->data->window) &&
           (vaddr >= WINDOW_SIZE || vaddr + width > WINDOW_SIZE);
}

static struct native_value leave_by_step(struct engine_cpu *cpu, uint32_t info)
{
    struct native_value value = leave_by_trap(cpu, info);

    cpu->native->trapped = false;
    cpu->native->stepping = true;
    return value;
}

struct native_value native_help_load(void *ctx, uint64_t vaddr, uint32_t info)
{
    struct engine_cpu *cpu = ctx;
    unsigned width = NATIVE_INFO_WIDTH(info), unused = 64 - 8 * width;
    uint64_t value;

    cpu->counters.helped_loads++;
    if (unlikely(is_outside(cpu, vaddr, width)))
        return leave_by_step(cpu, info);
    if (!access_load(cpu, vaddr, width, &value))
        return leave_by_trap(cpu, info);
    if (cpu->data->window)
        native_window_fill(cpu, vaddr, width);
    if (NATIVE_INFO_SIGN(info))
        value = (uint64_t)((int64_t)(value << unused) >> unused);
    return (struct native_value){value, true};
}

struct native_value native_help_store(void *ctx, uint64_t vaddr, uint32_t info, uint64_t value)
{
    struct engine_cpu *cpu = ctx;

    cpu->counters.helped_stores++;
    if (unlikely(is_outside(cpu, vaddr, NATIVE_INFO_WIDTH(info))))
        return leave_by_step(cpu, info);
    if (!access_store(cpu, vaddr, NATIVE_INFO_WIDTH(info), value))
        return leave_by_trap(cpu, info);
    if (cpu->data->window)
        native_window_fill(cpu, vaddr, NATIVE_INFO_WIDTH(info));
    return (struct native_value){0, true};
}

/* Floating point can be the host's when the guest's is on, its state already dirty, and its
 * rounding one that the host has. */
static bool float_may_be(const struct riscv_hart *hart)
{
    return (hart->mstatus & MSTATUS_FS) == MSTATUS_FS && hart->frm <= 3;
}

/* What depends on CSRs that any instruction of the guest may write. Floats are in the host's
 * registers, which each exit and each helper has to save, only where they were used since the last
 * interrupt: most programs have used some once, and kernels do not. */
static void context_begin(struct engine_cpu *cpu)
{
    const struct riscv_hart *hart = cpu->hart;
    struct native_context *context = context_of(cpu);

    context->zero_ready = riscv_cbo_allowed(hart, ENVCFG_CBZE);
    context->float_ready = context->float_wanted && float_may_be(hart);
    if (context->float_ready)
        cpu->engine->native->translator.host->float_load(hart->frm);
}

static void float_end(struct engine_cpu *cpu)
{
    if (context_of(cpu)->float_ready)
        cpu->hart->fflags |= cpu->engine->native->translator.host->float_flags();
}

static struct native_value help_guest(void *ctx, const void *data, uint32_t info)
{
    struct engine_cpu *cpu = ctx;
    struct native_context *context = context_of(cpu);
    const struct lift_record *record = data;
    enum op_result result;
    uint64_t address;

    cpu->counters.helped_instructions++;
    (void)atomic_load_explicit(&cpu->engine->native->translator.published, memory_order_acquire);
    address = cpu->hart->x[record->op[0].rs1];
    if (is_counting(cpu))
        counted_take(cpu, 0);
    float_end(cpu);
    cpu->base = context->page + NATIVE_INFO_AT(info);
    result = record->op[1].call(cpu, record->op);
    if (likely(result == OP_NEXT)) {
        /* Or else each access to the page would come here. */
        if (NATIVE_INFO_WIDTH(info) && cpu->data->window)
            native_window_fill(cpu, address, NATIVE_INFO_WIDTH(info));
        context_begin(cpu);
        return (struct native_value){0, true};
    }
    context->float_ready = false; /* nothing to take over any more */
    if (result == OP_TRAP)
        return leave_by_trap(cpu, info);
    cpu->native->trapped = false;
    if (is_counting(cpu))
        cpu->budget -= record->op[1].count;
    return (struct native_value){0, false};
}

/* ---- finding code ---- */

/* Code for the window relies on it (native.h). */
static bool is_anchored(struct engine_cpu *cpu)
{
    return !native_is_windowed(cpu) || cpu->hart->x[NATIVE_ANCHOR] < WINDOW_SIZE;
}

bool native_find_place(struct engine_cpu *cpu, uint64_t pc, uint64_t *at)
{
    const struct ram *ram = cpu->engine->native->ram;
    const struct tlb_entry *entry = &cpu->fetch->entries[(pc >> PAGE_SHIFT) & (TLB_SIZE - 1)];
    struct tlb_place place;
    uint64_t offset;

    if (pc >= WINDOW_SIZE && (cpu->native->windowed || context_of(cpu)->window))
        return false;
    if (entry->fetch == (pc & PAGE_MASK))
        place.host = (uint8_t *)(uintptr_t)(pc + entry->addend);
    else if (tlb_lookup(cpu, cpu->fetch, pc, 2, RISCV_FETCH, &place) || !place.cached)
        return false;
    offset = (uintptr_t)place.host - (uintptr_t)ram->host;
    if (offset >= ram->size)
        return false;
    *at = offset;
    return true;
}

uint32_t native_generation_of(const struct native *native, uint64_t page)
{
    return atomic_load_explicit(&native->ram->code_gen[page], memory_order_acquire);
}

static uint32_t generation_of(void *ctx, uint64_t page)
{
    return native_generation_of(ctx, page);
}

static struct native_jump *jump_of(struct engine_cpu *cpu, uint64_t pc)
{
    return &context_of(cpu)->jumps[native_jump_index(pc)];
}

static struct place_code *place_code_of(struct engine_cpu *cpu, uint64_t at)
{
    return &cpu->native->places[(at >> 1 ^ at >> 15) & (PLACE_CODES - 1)];
}

static void jump_fill(struct engine_cpu *cpu, uint64_t pc, const void *code)
{
    struct native_jump *jump = jump_of(cpu, pc);

    jump->code = code;
    jump->tag = pc;
    tlb_note_code(cpu, pc);
}

/* The unit at the virtual `pc`, which is at `at` in main RAM; the caches know it then. */
static struct unit *find_locked(struct engine_cpu *cpu, uint64_t at, uint64_t pc)
    REQUIRES(cpu->engine->native->translator.lock)
{
    struct native *native = cpu->engine->native;
    struct translator *t = &native->translator;
    uint64_t number = at >> PAGE_SHIFT;
    const struct unit_page *page = translator_check_page(t, number, generation_of(native, number));
    struct unit *unit = unit_page_find(t, page, at & (PAGE_SIZE - 1), native_is_windowed(cpu));

    if (unit) {
        const void *code = unit_poll_entry(t, unit);

        jump_fill(cpu, pc, code);
        *place_code_of(cpu, at) = (struct place_code){native_place_key(cpu, at), code};
    }
    return unit;
}

/* The code at the virtual `pc` by the caches; NULL: they do not know. */
static const void *find_code(struct engine_cpu *cpu, uint64_t pc)
{
    uint64_t at;
    const struct native_jump *jump = jump_of(cpu, pc);
    const struct place_code *code;

    if (likely(jump->tag == pc))
        return jump->code;
    if (!native_find_place(cpu, pc, &at))
        return NULL;
    code = place_code_of(cpu, at);
    if (code->place != native_place_key(cpu, at))
        return NULL;
    jump_fill(cpu, pc, code->code);
    return code->code;
}

/* Interprets a little from hart->pc on. False: translated code has to be left, in the state as it
 * is. */
static bool interpret_here(struct engine_cpu *cpu)
{
    const struct tlb *fetch = cpu->fetch, *data = cpu->data;
    uint64_t flushes = cpu->counters.tlb_flushes, satp = cpu->hart->satp;
    struct code_block *block = code_find(cpu, cpu->hart->pc, false);

    /* The dispatcher translates it. */
    if (block && code_is_hot(block))
        return false;
    if (!block || execute(cpu, block) == EXECUTE_TRAP) {
        cpu_take_trap(cpu, cpu->cause, cpu->tval);
        return false;
    }
    return cpu->fetch == fetch && cpu->data == data && cpu->hart->satp == satp &&
           cpu->counters.tlb_flushes == flushes && !cpu->stopping &&
           !cpu_signal_pending(&cpu->hart->signal) && riscv_interrupt_pick(cpu->hart) < 0;
}

enum { INTERPRETED_MAX = 8 }; /* times, before the dispatcher is to have a look */

/* What is seldom executed is interpreted without leaving translated code, which costs more than
 * the few instructions. The code at hart->pc in the end, or NULL: out. */
static const void *interpret_to_code(struct engine_cpu *cpu)
{
    struct native_context *context = context_of(cpu);
    const void *code = NULL;

    if (is_counting(cpu))
        counted_take(cpu, 0);
    float_end(cpu);
    for (unsigned i = 0; i < INTERPRETED_MAX && !code; i++) {
        if (!interpret_here(cpu))
            break;
        code = is_anchored(cpu) ? find_code(cpu, cpu->hart->pc) : NULL;
    }
    if (code)
        context_begin(cpu);
    else
        context->float_ready = false; /* nothing to take over any more */
    return code;
}

/* The same by all that there is. A library's units have no links, so that more of them are asked
 * for than the caches hold. */
static const void *find_shared(struct engine_cpu *cpu, uint64_t pc)
{
    struct native *native = cpu->engine->native;
    struct unit *unit;
    uint64_t at;

    if (!native->shared || !is_anchored(cpu) || !native_find_place(cpu, pc, &at))
        return NULL;
    mutex_lock(&cpu->engine->native->translator.lock);
    unit = find_locked(cpu, at, pc);
    mutex_unlock(&cpu->engine->native->translator.lock);
    return unit ? unit_poll_entry(&native->translator, unit) : NULL;
}

/* The code at `pc`, or at where the hart is after a while. A call that came back meanwhile goes on
 * behind itself. */
static struct native_value code_from(struct engine_cpu *cpu, uint64_t pc, bool call)
{
    struct native_context *context = context_of(cpu);
    const void *code = find_code(cpu, pc);

    if (!code)
        code = find_shared(cpu, pc);
    if (!code) {
        cpu->hart->pc = pc;
        code = interpret_to_code(cpu);
        pc = cpu->hart->pc;
        if (code && call && ((const uint64_t *)(uintptr_t)context->stack)[1] == pc)
            code = cpu->engine->native->translator.runtime.returned;
    }
    context->target = pc;
    if (code)
        context->page = pc & PAGE_MASK;
    return (struct native_value){(uintptr_t)code, code != NULL};
}

/* Bytes from the virtual page of the link's unit to the one that it leads to. */
static uint64_t link_distance(const struct link *link)
{
    return (uint64_t)(int64_t)link->host.pages << PAGE_SHIFT;
}

static struct native_value help_lookup(void *ctx, uint64_t vaddr, bool call)
{
    struct engine_cpu *cpu = ctx;

    cpu->counters.helped_lookups++;
    return code_from(cpu, vaddr & ~UINT64_C(1), call);
}

/* Leads the link to the unit at the virtual `pc`, where it goes, if there is one; from now on it is
 * known that its edge holds, if it does. */
static void follow_link(struct engine_cpu *cpu, struct link *link, uint64_t pc)
{
    struct translator *t = &cpu->engine->native->translator;
    struct unit *unit;
    uint64_t at;

    if (!native_find_place(cpu, pc, &at))
        return;
    mutex_lock(&cpu->engine->native->translator.lock);
    unit = find_locked(cpu, at, pc);
    /* The page may be mapped elsewhere than when the link was made. */
    if (translator_can_link(t, link, at >> PAGE_SHIFT)) {
        if (link->host.edge != NATIVE_NO_EDGE)
            tlb_note_edge(cpu, (pc & PAGE_MASK) - link_distance(link), link->host.edge,
                          link->host.pages);
        if (unit && unit->windowed == link_from(link)->windowed)
            translator_link(t, link, unit);
    }
    mutex_unlock(&cpu->engine->native->translator.lock);
}

static struct native_value help_edge(void *ctx, const void *data, bool call)
{
    struct engine_cpu *cpu = ctx;
    struct link *link = (struct link *)(uintptr_t)data;
    uint64_t pc;

    cpu->counters.helped_edges++;
    (void)atomic_load_explicit(&cpu->engine->native->translator.published, memory_order_acquire);
    pc = context_of(cpu)->page + link_distance(link) + link->host.target;
    follow_link(cpu, link, pc);
    return code_from(cpu, pc, call);
}

/* A look takes a lock and misses the cache: not at each of the visits before it is worth a unit. */
static bool is_look_worth(unsigned visits)
{
    return visits >= LINK_HEAT || !(visits & (visits - 1));
}

static struct native_value help_link(void *ctx, const void *data, bool call)
{
    struct engine_cpu *cpu = ctx;
    struct native_context *context = context_of(cpu);
    struct link *link = (struct link *)(uintptr_t)data;
    uint16_t visits;
    uint64_t pc;

    cpu->counters.helped_links++;
    (void)atomic_load_explicit(&cpu->engine->native->translator.published, memory_order_acquire);
    pc = context->page + link->host.target;
    visits = (uint16_t)(atomic_fetch_add_explicit(&link->visits, 1, memory_order_relaxed) + 1);
    if (is_look_worth(visits))
        follow_link(cpu, link, pc);
    if (visits == LINK_HEAT && !native_pressure(cpu) && !find_code(cpu, pc)) {
        /* The dispatcher may make room for a unit, for which all have to have left. */
        cpu->native->translate = true;
        cpu->hart->pc = context->target = pc;
        return (struct native_value){0, false};
    }
    return code_from(cpu, pc, call);
}

const struct native_helpers native_helpers = {
    .load = native_help_load,
    .store = native_help_store,
    .access = native_help_access,
    .guest = help_guest,
    .lookup = help_lookup,
    .edge = help_edge,
    .link = help_link,
};

static int translate_locked(struct engine_cpu *cpu, const struct unit_source *source, uint64_t pc,
                            struct unit **unit) REQUIRES(cpu->engine->native->translator.lock);

/* A library's unit that was executed often gets one of the machine's own in its place, with links
 * to others, if there is room for it. */
static void replace_spent(struct engine_cpu *cpu, uint64_t pc, uint64_t at)
{
    struct native *native = cpu->engine->native;
    struct translator *t = &native->translator;
    struct unit_source source = {.page = at >> PAGE_SHIFT, .next = UINT64_MAX};
    struct unit *unit, *own;

    source.generation = code_mark(cpu, native->ram, source.page);
    mutex_lock(&cpu->engine->native->translator.lock);
    translator_check_page(t, source.page, source.generation);
    unit = translator_find(t, source.page, at & (PAGE_SIZE - 1), native_is_windowed(cpu));
    if (unit && translator_is_spent(t, unit) &&
        (native_pressure(cpu) || translate_locked(cpu, &source, pc, &own)) && !unit->dead)
        translator_renew(t, unit);
    mutex_unlock(&cpu->engine->native->translator.lock);
}

/* Perhaps the unit is dead; perhaps it is a library's, and spent; perhaps it is worth a region. */
static void left_by_poll(struct engine_cpu *cpu)
{
    uint64_t pc = cpu->hart->pc, at;

    jump_of(cpu, pc)->tag = native_no_tag(native_jump_index(pc));
    if (!native_find_place(cpu, pc, &at))
        return;
    place_code_of(cpu, at)->place = UINT64_MAX;
    if (cpu->engine->native->shared)
        replace_spent(cpu, pc, at);
    native_region_sample(cpu, at);
}

static void forget_all_code(struct engine_cpu *cpu)
{
    tlb_flush_jumps(cpu);
    memset(cpu->native->places, 0xff, sizeof(cpu->native->places));
}

unsigned native_pressure(const struct engine_cpu *cpu)
{
    return translator_pressure(&cpu->engine->native->translator);
}

bool native_is_hot(struct engine_cpu *cpu, const uint8_t *host, uint32_t generation)
{
    struct native *native = cpu->engine->native;
    struct translator *t = &native->translator;
    uint64_t offset = (uintptr_t)host - (uintptr_t)native->ram->host;
    const struct unit_page *page;
    bool hot;

    if (offset >= native->ram->size)
        return false;
    mutex_lock(&t->lock);
    page =
        translator_check_page(t, offset >> PAGE_SHIFT, generation_of(native, offset >> PAGE_SHIFT));
    hot = unit_page_find(t, page, offset & (PAGE_SIZE - 1), native_is_windowed(cpu)) ||
          native_library_has(native, native_place_key(cpu, offset), generation) ||
          (!native_pressure(cpu) &&
           native_profile_has(native, native_place_key(cpu, offset), generation));
    mutex_unlock(&t->lock);
    return hot;
}

/* ---- translating ---- */

bool native_is_known(void *ctx, unsigned offset)
{
    const struct native_known *known = ctx;

    return unit_page_find(known->translator, known->page, offset, known->windowed);
}

static int translate_locked(struct engine_cpu *cpu, const struct unit_source *source, uint64_t pc,
                            struct unit **unit) REQUIRES(cpu->engine->native->translator.lock)
{
    struct native *native = cpu->engine->native;
    struct translator *t = &native->translator;
    const uint8_t *host = native->ram->host, *next = NULL;
    unsigned count;
    struct native_known known = {t, translator_page(t, source->page), native_is_windowed(cpu)};

    if (source->next != UINT64_MAX) {
        if (!translator_may_reach(t, source->page, source->next))
            return -E2BIG;
        next = host + (source->next << PAGE_SHIFT);
    }
    if (!lift(host + (source->page << PAGE_SHIFT), next, pc & (PAGE_SIZE - 1), native->unit_limit,
              &t->scratch, native->records, &count, native_is_known, &known))
        return -E2BIG;
    t->scratch.windowed = native_is_windowed(cpu);
    return translator_make(t, source, pc, context_of(cpu),
                           native_fallbacks(cpu->engine->native, count), unit);
}

static bool is_last_of_page(uint64_t pc)
{
    return (pc & (PAGE_SIZE - 1)) == PAGE_SIZE - 2;
}

/* An instruction that is about to be executed and ends in the next page: that is looked up for it
 * in any case. */
static bool straddles(struct engine_cpu *cpu, uint64_t pc, uint64_t at)
{
    const uint8_t *host = cpu->engine->native->ram->host + at;

    return is_last_of_page(pc) && (__atomic_load_n(host, __ATOMIC_RELAXED) & 3) == 3;
}

/* Translates what the virtual `pc` leads to, at `at` in main RAM, unless it is. -EAGAIN: it had a
 * unit, which went since, and the next one would soon. */
static int translate_at(struct engine_cpu *cpu, uint64_t pc, uint64_t at, bool had,
                        struct unit **unit)
{
    struct native *native = cpu->engine->native;
    struct unit_source source = {.page = at >> PAGE_SHIFT, .next = UINT64_MAX};
    struct unit *shared = NULL;
    uint64_t next;
    int r = 0;

    source.generation = code_mark(cpu, native->ram, source.page);
    if (straddles(cpu, pc, at) && native_find_place(cpu, pc + 2, &next)) {
        source.next = next >> PAGE_SHIFT;
        source.next_generation = code_mark(cpu, native->ram, source.next);
    }
    mutex_lock(&cpu->engine->native->translator.lock);
    *unit = find_locked(cpu, at, pc);
    if (!*unit)
        shared = native_library_take(native, native_place_key(cpu, at), source.generation);
    if (!*unit && !shared && had && native_pressure(cpu)) {
        r = -EAGAIN;
    } else if (!*unit) {
        r = shared ? 0 : translate_locked(cpu, &source, pc, unit);
        if (!r) {
            native_profile_note(native, native_place_key(cpu, at), source.generation);
            if (native->regions_at_once)
                native_region_make(cpu->engine->native,
                                   &(struct region_request){at, pc, native_is_windowed(cpu)});
            *unit = find_locked(cpu, at, pc); /* for the caches */
        }
    }
    mutex_unlock(&cpu->engine->native->translator.lock);
    return r;
}

/* ---- running ---- */

static bool may_run(const struct engine_cpu *cpu)
{
    /* With MPRV loads and stores are another mode's, which translated code knows nothing of. */
    return cpu->data->regime.satp == cpu->fetch->regime.satp &&
           cpu->data->regime.privilege == cpu->fetch->regime.privilege;
}

/* Where a unit left since its last instruction may end in another page than it was made with. */
static void look_at_next_page(struct engine_cpu *cpu)
{
    struct translator *t = &cpu->engine->native->translator;
    uint64_t pc = cpu->hart->pc, at, next;
    uint32_t edge;

    if (!is_last_of_page(pc) || !native_find_place(cpu, pc, &at) || !straddles(cpu, pc, at) ||
        !native_find_place(cpu, pc + 2, &next))
        return;
    mutex_lock(&t->lock);
    edge = translator_next_edge(t, at >> PAGE_SHIFT, next >> PAGE_SHIFT);
    mutex_unlock(&t->lock);
    if (edge != NATIVE_NO_EDGE)
        tlb_note_edge(cpu, pc & PAGE_MASK, edge, 1);
}

/* One instruction, which translated code cannot do as things are. */
static void step(struct engine_cpu *cpu)
{
    struct code_block *block = code_find(cpu, cpu->hart->pc, true);

    if (!block || execute(cpu, block) == EXECUTE_TRAP)
        cpu_take_trap(cpu, cpu->cause, cpu->tval);
}

static void translate_here(struct engine_cpu *cpu)
{
    struct unit *unit;
    uint64_t at;

    cpu->native->translate = false;
    /* Without a unit it stays with the interpreter. */
    if (native_find_place(cpu, cpu->hart->pc, &at))
        (void)translate_at(cpu, cpu->hart->pc, at, false, &unit);
}

static void handle_exit(struct engine_cpu *cpu, struct native_result exit)
{
    struct native_context *context = context_of(cpu);
    struct riscv_hart *hart = cpu->hart;

    switch ((enum native_exit)exit.reason) {
    case NATIVE_EXIT_JUMP:
        cpu->counters.exits_jump++;
        hart->pc = exit.value & ~UINT64_C(1);
        if (cpu->native->translate)
            translate_here(cpu);
        break;
    case NATIVE_EXIT_POLL:
        cpu->counters.exits_poll++;
        hart->pc = context->page + exit.value;
        cpu_signal_settle(&hart->signal);
        left_by_poll(cpu);
        break;
    case NATIVE_EXIT_UNFIT:
        if (context->float_ready || !float_may_be(hart))
            native_region_unfit(cpu, context->page + exit.value);
        FALLTHROUGH;
    case NATIVE_EXIT_STEP:
        cpu->counters.exits_step++;
        hart->pc = context->page + exit.value;
        look_at_next_page(cpu);
        step(cpu);
        /* Perhaps it was floating point that was not ready. */
        context->float_wanted = float_may_be(hart);
        break;
    case NATIVE_EXIT_HELPER:
        cpu->counters.exits_helper++;
        if (cpu->native->trapped)
            cpu_take_trap(cpu, cpu->cause, cpu->tval);
        else if (cpu->native->stepping)
            step(cpu);
        cpu->native->stepping = false;
        break;
    }
}

void native_tick(struct engine_cpu *cpu)
{
    context_of(cpu)->float_wanted = false;
    native_window_tick(cpu);
}

/* Code for a window finds both by one register. */
static struct native_context *context_at_window(struct native_context *context)
{
    return context->window ? (void *)(context->window - WINDOW_CONTEXT) : context;
}

bool native_run(struct engine_cpu *cpu)
{
    struct translator *t = &cpu->engine->native->translator;
    struct native_context *context = context_of(cpu);
    struct native_result exit;
    const void *code;

    if (!may_run(cpu))
        return false;
    if (cpu->engine->native->window_at_once)
        native_window_tick(cpu);
    if (!is_anchored(cpu))
        return false;
    /* Most often there is none: the interpreter's block knows whether there is a unit. */
    code = find_code(cpu, cpu->hart->pc);
    if (!code)
        return false;
    if (translator_enter(t, &cpu->native->translator)) {
        /* What was found may be gone. */
        forget_all_code(cpu);
        translator_leave(&cpu->native->translator);
        return false;
    }
    context->page = cpu->hart->pc & PAGE_MASK;
    if (context->window && context->window != cpu->native->window_set) {
        t->host->set_window(context->window);
        cpu->native->window_set = context->window;
    }
    cpu->native->windowed = context->window != NULL;
    cpu->native->counts = is_counting(cpu);
    native_region_enter(cpu);
    context_begin(cpu);
    exit = t->host->enter(&t->runtime, cpu->hart, context_at_window(context), code);
    cpu->native->windowed = false;
    /* A helper that changed the regime has taken the flags over before. */
    if (context->float_ready)
        cpu->hart->fflags |= t->host->float_flags();
    if (context->counted) {
        cpu->budget -= (int64_t)context->counted;
        context->counted = 0;
    }
    handle_exit(cpu, exit);
    translator_leave(&cpu->native->translator);
    return true;
}

enum { HAD_UNIT = INT32_MIN / 2 }; /* in place of a block's heat, which counts down */

bool native_translate(struct engine_cpu *cpu, struct code_block *block)
{
    int32_t heat = cpu->engine->heat, had = block->ops[0].imm;
    struct unit *unit = NULL;
    uint64_t at;
    int r;

    /* Not again at once, if it cannot be. */
    block->ops[0].imm = heat + 1;
    if (!may_run(cpu) || !is_anchored(cpu) || !native_find_place(cpu, cpu->hart->pc, &at))
        return false;
    r = translate_at(cpu, cpu->hart->pc, at, heat && had < HAD_UNIT / 2, &unit);
    block->ops[0].imm = r == -E2BIG    ? INT32_MAX
                        : r == -EAGAIN ? heat << native_pressure(cpu)
                        : r            ? heat + 1
                                       : HAD_UNIT;
    return !r;
}

void native_code_changed(struct engine_cpu *cpu)
{
    struct native *native = cpu->engine->native;
    struct translator *t = &native->translator;
    uint64_t writes = atomic_load_explicit(&native->ram->code_writes, memory_order_acquire);

    mutex_lock(&t->lock);
    if (writes - native->checked <= RAM_CODE_WRITES / 2)
        for (uint64_t n = native->checked; n != writes; n++) {
            uint64_t page = atomic_load_explicit(&native->ram->code_written[n % RAM_CODE_WRITES],
                                                 memory_order_relaxed);

            translator_check_page(t, page, generation_of(native, page));
        }
    /* Too many, or the list went on while it was read. */
    if (atomic_load(&native->ram->code_writes) - native->checked > RAM_CODE_WRITES)
        translator_check_all(t, generation_of, native);
    else if (writes - native->checked > RAM_CODE_WRITES / 2)
        translator_check_all(t, generation_of, native);
    native->checked = writes;
    mutex_unlock(&t->lock);
}

void native_counters(const struct engine_cpu *cpu, struct engine_counters *counters)
{
    struct translator *t = &cpu->engine->native->translator;

    mutex_lock(&t->lock);
    counters->units = t->stats.units;
    counters->unit_instructions = t->stats.guest_instructions;
    counters->unit_bytes = t->stats.guest_bytes;
    counters->code_bytes = t->stats.code_bytes;
    counters->cold_bytes = t->stats.cold_bytes;
    counters->table_bytes = t->stats.table_bytes;
    counters->translation_ns = t->stats.nanoseconds;
    counters->units_dropped = t->stats.killed;
    counters->units_profiled = cpu->engine->native->units_profiled;
    counters->units_shared = t->shared.units;
    counters->pages_hashed = cpu->engine->native->pages_hashed;
    counters->segments_evicted = t->stats.evicted_segments;
    counters->regions = t->stats.regions;
    counters->region_instructions = t->stats.region_instructions;
    counters->region_code_bytes = t->stats.region_code_bytes;
    counters->region_ns = t->stats.region_nanoseconds;
    counters->streams = t->stats.streams;
    mutex_unlock(&t->lock);
}

void native_footprint(struct engine_cpu *cpu, struct engine_footprint *footprint)
{
    struct translator *t = &cpu->engine->native->translator;

    mutex_lock(&t->lock);
    translator_footprint(t, &footprint->code, &footprint->tables, &footprint->spare);
    footprint->library = t->shared.code_bytes;
    mutex_unlock(&t->lock);
}

uint64_t native_trim(struct engine_cpu *cpu)
{
    struct translator *t = &cpu->engine->native->translator;
    uint64_t bytes;

    mutex_lock(&t->lock);
    bytes = translator_trim(t);
    mutex_unlock(&t->lock);
    return bytes;
}

bool native_count(struct engine_cpu *cpu)
{
    struct native *native = cpu->engine->native;

    mutex_lock(&native->translator.lock);
    if (!native->translator.runtime.counting) {
        atomic_store(&native->counting, true);
        native->translator.runtime.counting = true;
        translator_kill_all(&native->translator);
    }
    mutex_unlock(&native->translator.lock);
    return !cpu->native->counts;
}
