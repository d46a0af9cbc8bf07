/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter as an engine: run(), and what other threads ask of a CPU.
 */
#include "cpu/riscv/interpreter.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/riscv/native.h"
#include "cpu/riscv/privileged.h"

op_function *execute_function(enum riscv_insn_id id)
{
    static op_function *const *const tables[] = {
        execute_float_functions,
        execute_atomic_functions,
        execute_system_functions,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
        if (tables[i][id])
            return tables[i][id];
    return NULL;
}

/* ---- counting ---- */

static void count(struct engine_cpu *cpu, int64_t budget)
{
    uint64_t done = cpu->counted - budget;

    cpu->counted = budget;
    cpu->counters.instructions += done;
    if (!(cpu->hart->mcountinhibit & 1))
        cpu->hart->mcycle += done;
    if (!(cpu->hart->mcountinhibit & 4))
        cpu->hart->minstret += done;
}

void cpu_count_sync(struct engine_cpu *cpu, const struct op *op)
{
    count(cpu, cpu->budget - (op[1].count - 1));
}

/* ---- requests ---- */

static void protect_page(struct engine_cpu *cpu, struct ram *ram, uint64_t page)
{
    uint64_t offset = page << PAGE_SHIFT;

    /* It may have been written through the entry after the other CPU decoded it. */
    if (tlb_protect(cpu, ram->host + offset))
        memory_note_write(ram, offset, PAGE_SIZE);
}

static void protect_enqueue(struct engine_cpu *cpu, struct ram *ram, uint64_t page)
    REQUIRES(cpu->lock)
{
    unsigned i;

    for (i = 0; i < cpu->protect_count; i++)
        if (cpu->protect[i].ram == ram && cpu->protect[i].page == page)
            return;
    if (!cpu->protect_count && !cpu->protect_all)
        atomic_fetch_add_explicit(&cpu->engine->protect_pending, 1, memory_order_acq_rel);
    if (i == PROTECT_REQUESTS)
        cpu->protect_all = true;
    else
        cpu->protect[cpu->protect_count++] = (struct protect_request){ram, page};
    /* See cpu_before_eviction(); the caller reads the code after this. */
    atomic_store_explicit(&cpu->protect_waiting, true, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    cpu_signal_raise(&cpu->hart->signal);
}

/* The listener of every CPU: any thread, also this CPU's own. */
static void write_protect(void *ctx, struct ram *ram, uint64_t page)
{
    struct engine_cpu *cpu = ctx;

    mutex_lock(&cpu->lock);
    if (!cpu->running)
        tlb_protect(cpu, ram->host + (page << PAGE_SHIFT)); /* nothing is stored meanwhile */
    else if (!pthread_equal(cpu->thread, pthread_self()))   /* else code_make() has done it */
        protect_enqueue(cpu, ram, page);
    mutex_unlock(&cpu->lock);
}

static void protect_handle(struct engine_cpu *cpu) REQUIRES(cpu->lock)
{
    if (!cpu->protect_count && !cpu->protect_all)
        return;
    if (cpu->protect_all)
        tlb_protect_all(cpu);
    for (unsigned i = 0; i < cpu->protect_count; i++)
        protect_page(cpu, cpu->protect[i].ram, cpu->protect[i].page);
    cpu->protect_count = 0;
    cpu->protect_all = false;
    atomic_store_explicit(&cpu->protect_waiting, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&cpu->engine->protect_pending, 1, memory_order_acq_rel);
}

void cpu_before_eviction(struct engine_cpu *cpu)
{
    /* Our stores, then the look; the other CPU's request, then its look at the code. So either we
     * see the request or it saw what we stored. */
    atomic_thread_fence(memory_order_seq_cst);
    if (likely(!atomic_load_explicit(&cpu->protect_waiting, memory_order_acquire)))
        return;
    mutex_lock(&cpu->lock);
    protect_handle(cpu);
    mutex_unlock(&cpu->lock);
}

static void flush_range(struct engine_cpu *cpu, const struct flush_request *request)
{
    bool all_spaces = request->asid == UINT64_MAX;
    uint64_t first = request->vaddr & PAGE_MASK;
    uint64_t pages = ((request->vaddr - first) + request->size + PAGE_SIZE - 1) >> PAGE_SHIFT;

    if (request->size > FLUSH_PAGES * PAGE_SIZE) {
        tlb_flush(cpu, true, 0, all_spaces, request->asid);
        return;
    }
    for (uint64_t i = 0; i < pages; i++)
        tlb_flush(cpu, false, first + (i << PAGE_SHIFT), all_spaces, request->asid);
}

/* True: code was to be flushed, and protect_assume_written() is to be called without the lock. */
static bool requests_handle_locked(struct engine_cpu *cpu) REQUIRES(cpu->lock)
{
    bool blocks = cpu->flush_blocks;

    protect_handle(cpu);
    for (unsigned i = 0; i < cpu->flush_count; i++)
        flush_range(cpu, &cpu->flush[i]);
    if (cpu->flush_all)
        tlb_flush_all(cpu);
    if (cpu->flush_blocks)
        cpu->epoch++;
    cpu->flush_count = 0;
    cpu->flush_all = cpu->flush_blocks = false;
    if (cpu->flush_done != cpu->flush_asked) {
        cpu->flush_done = cpu->flush_asked;
        condition_broadcast(&cpu->done);
    }
    return blocks;
}

/*
 * A page that we decoded may have been written through another CPU's cached pointer that it has
 * been told to drop, but has not yet. Nobody waits for it: the page is taken as written.
 */
static void protect_assume_written(struct engine_cpu *cpu)
{
    struct engine *engine = cpu->engine;

    if (!atomic_load_explicit(&engine->protect_pending, memory_order_acquire))
        return;
    for (unsigned i = 0; i < engine->cpu_count; i++) {
        struct engine_cpu *other = __atomic_load_n(&engine->cpus[i], __ATOMIC_ACQUIRE);
        bool all;

        if (!other || other == cpu)
            continue;
        mutex_lock(&other->lock);
        all = other->protect_all;
        for (unsigned j = 0; j < other->protect_count; j++)
            memory_note_write(other->protect[j].ram, other->protect[j].page << PAGE_SHIFT,
                              PAGE_SIZE);
        mutex_unlock(&other->lock);
        if (all)
            code_cache_flush(cpu);
    }
}

/* What was written before must be seen. */
static void code_changed(struct engine_cpu *cpu)
{
    protect_assume_written(cpu);
    if (cpu->native)
        native_code_changed(cpu);
}

static void requests_handle(struct engine_cpu *cpu)
{
    bool blocks;

    mutex_lock(&cpu->lock);
    blocks = requests_handle_locked(cpu);
    mutex_unlock(&cpu->lock);
    if (blocks)
        code_changed(cpu);
}

static void set_running(struct engine_cpu *cpu, bool running)
{
    bool blocks;

    mutex_lock(&cpu->lock);
    blocks = requests_handle_locked(cpu);
    cpu->running = running;
    cpu->thread = pthread_self();
    mutex_unlock(&cpu->lock);
    if (blocks)
        code_changed(cpu);
}

/* Returns when `cpu` has done it, or does not run: then it will before it does. */
static void request_wait(struct engine_cpu *cpu) REQUIRES(cpu->lock)
{
    uint64_t asked = ++cpu->flush_asked;

    if (cpu->running)
        cpu_signal_raise(&cpu->hart->signal);
    while (cpu->running && (int64_t)(cpu->flush_done - asked) < 0)
        condition_wait(&cpu->done, &cpu->lock);
}

void cpu_fence_i(struct engine_cpu *cpu)
{
    cpu->epoch++;
    if (atomic_load_explicit(&cpu->engine->protect_pending, memory_order_acquire)) {
        requests_handle(cpu);
        protect_assume_written(cpu);
    }
    if (cpu->native)
        native_code_changed(cpu);
}

/* ---- the state ---- */

/* The part of the state that caches may follow from, or that a reset cannot leave as it is. */
#define WATCHED_FROM offsetof(struct riscv_hart, mstatus)
#define WATCHED_SIZE (offsetof(struct riscv_hart, reserved) - WATCHED_FROM)

/* The state is in the hart at all times outside run(). */
static void interpreter_state_out(struct engine_cpu *cpu)
{
    memcpy(cpu->watched, (char *)cpu->hart + WATCHED_FROM, WATCHED_SIZE);
}

/* After a call to the firmware only registers differ, which is no reason to forget anything. */
static void interpreter_state_in(struct engine_cpu *cpu)
{
    if (!memcmp(cpu->watched, (char *)cpu->hart + WATCHED_FROM, WATCHED_SIZE))
        return;
    mutex_lock(&cpu->lock);
    cpu->flush_all = cpu->flush_blocks = true;
    mutex_unlock(&cpu->lock);
    interpreter_state_out(cpu);
}

/* ---- run ---- */

static bool at_breakpoint(const struct engine_cpu *cpu)
{
    for (unsigned i = 0; i < cpu->breakpoint_count; i++)
        if (cpu->breakpoints[i] == cpu->hart->pc)
            return true;
    return false;
}

bool cpu_take_trap(struct engine_cpu *cpu, uint64_t cause, uint64_t tval)
{
    cpu->counters.traps++;
    /* A trap is a step of the limit, though nothing retires: a handler that is not there traps for
     * ever. */
    cpu->budget--;
    cpu->counted--;
    if (!riscv_trap(cpu->hart, cause, tval)) {
        cpu->stop = CPU_STOP_FIRMWARE;
        cpu->stopping = true;
        return false;
    }
    tlb_review(cpu);
    return true;
}

/* Whatever may stop the CPU or change where it goes, before it enters a block. False: stop. */
static bool before_block(struct engine_cpu *cpu)
{
    int interrupt;

    /* The signal stays raised: who sleeps for a CPU_STOP_WAIT must find it. */
    if (cpu->stopping)
        return false;
    /* Before a kick, which then ends the next run(): who counts steps must know that this was one.
     */
    if (cpu->budget <= 0) {
        cpu->stop = CPU_STOP_LIMIT;
        return false;
    }
    if (cpu_signal_pending(&cpu->hart->signal)) {
        cpu_signal_consume(&cpu->hart->signal);
        requests_handle(cpu);
        if (atomic_exchange_explicit(&cpu->kicked, false, memory_order_acq_rel)) {
            cpu->stop = CPU_STOP_KICK;
            return false;
        }
    }
    interrupt = riscv_interrupt_pick(cpu->hart);
    if (unlikely(interrupt >= 0)) {
        if (cpu->translating)
            native_tick(cpu);
        cpu_take_trap(cpu, RISCV_CAUSE_INTERRUPT | interrupt, 0);
        if (cpu->budget <= 0 && !cpu->stopping) {
            cpu->stop = CPU_STOP_LIMIT;
            return false;
        }
    }
    return true;
}

static enum cpu_stop interpreter_run(struct engine_cpu *cpu, uint64_t max_instructions)
{
    struct riscv_hart *hart = cpu->hart;
    const uint64_t began = hart->pc;
    bool first = true;

    cpu->budget = cpu->counted =
        max_instructions && max_instructions < INT64_MAX ? (int64_t)max_instructions : INT64_MAX;
    cpu->low_water = cpu->breakpoint_count ? INT64_MAX : BLOCK_INSTRUCTIONS;
    cpu->stopping = false;
    cpu->translating = cpu->native && !max_instructions && !cpu->breakpoint_count;
    set_running(cpu, true);
    if (cpu->translating)
        native_begin(cpu);
    tlb_review(cpu);
    /* A kick before run() may have left no signal: whoever slept consumed it. */
    if (atomic_exchange_explicit(&cpu->kicked, false, memory_order_acq_rel)) {
        cpu->stop = CPU_STOP_KICK;
        cpu->stopping = true;
    }
    while (before_block(cpu)) {
        bool single = cpu->breakpoint_count != 0;
        struct code_block *block;

        /* An interrupt may have been taken first, and its handler has a breakpoint of its own. */
        if (single && !(first && hart->pc == began) && at_breakpoint(cpu)) {
            cpu->stop = CPU_STOP_BREAKPOINT;
            break;
        }
        first = false;
        if (cpu->translating && native_run(cpu))
            continue;
        block = code_find(cpu, hart->pc, single);
        if (cpu->translating && block && code_is_hot(block) && native_translate(cpu, block))
            continue;
        if (likely(block != NULL) && block->count > cpu->budget)
            block = code_find(cpu, hart->pc, true);
        if (!block || execute(cpu, block) == EXECUTE_TRAP)
            cpu_take_trap(cpu, cpu->cause, cpu->tval);
    }
    count(cpu, cpu->budget);
    reservation_make_physical(cpu);
    set_running(cpu, false);
    interpreter_state_out(cpu);
    return cpu->stop;
}

static void interpreter_kick(struct engine_cpu *cpu)
{
    atomic_store_explicit(&cpu->kicked, true, memory_order_release);
    cpu_signal_raise(&cpu->hart->signal);
}

static void interpreter_leave(struct engine_cpu *cpu)
{
    if (cpu->native)
        native_leave(cpu);
}

static void interpreter_flush_tlb(struct engine_cpu *cpu, uint64_t vaddr, uint64_t size,
                                  uint64_t asid)
{
    mutex_lock(&cpu->lock);
    if (cpu->flush_count < FLUSH_REQUESTS)
        cpu->flush[cpu->flush_count++] = (struct flush_request){vaddr, size, asid};
    else
        cpu->flush_all = true;
    request_wait(cpu);
    mutex_unlock(&cpu->lock);
}

static void interpreter_forget(struct engine_cpu *cpu)
{
    mutex_lock(&cpu->lock);
    cpu->flush_all = true;
    request_wait(cpu);
    mutex_unlock(&cpu->lock);
}

static void interpreter_flush_code(struct engine_cpu *cpu)
{
    mutex_lock(&cpu->lock);
    cpu->flush_blocks = true;
    request_wait(cpu);
    mutex_unlock(&cpu->lock);
}

static int interpreter_breakpoint(struct engine_cpu *cpu, uint64_t vaddr, bool set)
{
    unsigned i = 0;

    while (i < cpu->breakpoint_count && cpu->breakpoints[i] != vaddr)
        i++;
    if (!set) {
        if (i < cpu->breakpoint_count)
            cpu->breakpoints[i] = cpu->breakpoints[--cpu->breakpoint_count];
        return 0;
    }
    if (i == BREAKPOINTS)
        return -ENOSPC;
    cpu->breakpoints[i] = vaddr;
    if (i == cpu->breakpoint_count)
        cpu->breakpoint_count++;
    return 0;
}

static void interpreter_counters(const struct engine_cpu *cpu, struct engine_counters *counters)
{
    *counters = cpu->counters;
    if (cpu->native && cpu == cpu->engine->cpus[0])
        native_counters(cpu, counters);
}

static void interpreter_footprint(struct engine_cpu *cpu, struct engine_footprint *footprint)
{
    const struct engine *engine = cpu->engine;

    *footprint = (struct engine_footprint){0};
    if (cpu->native)
        native_footprint(cpu, footprint);
    for (unsigned i = 0; i < engine->cpu_count; i++) {
        const struct engine_cpu *c = __atomic_load_n(&engine->cpus[i], __ATOMIC_ACQUIRE);

        footprint->lookups += c ? tlb_bytes(c) : 0;
    }
}

static uint64_t interpreter_trim(struct engine_cpu *cpu)
{
    return cpu->native ? native_trim(cpu) : 0;
}

/* ---- making and freeing ---- */

int interpreter_create(const struct engine_config *config, struct engine **engine,
                       struct error *error)
{
    struct engine *e = calloc(1, sizeof(*e));

    if (e)
        e->cpus = calloc(config->cpu_count, sizeof(struct engine_cpu *));
    if (!e || !e->cpus) {
        free(e);
        return error_set(error, ENOMEM, "no memory for the interpreter");
    }
    e->memory = config->memory;
    e->cpu_count = config->cpu_count;
    *engine = e;
    return 0;
}

static void interpreter_free(struct engine *engine)
{
    native_free(engine->native);
    free(engine->cpus);
    free(engine);
}

static void interpreter_cpu_drop(struct engine_cpu *cpu)
{
    tlb_release(cpu);
    code_cache_release(cpu);
    free(cpu->written);
    free(cpu);
}

static int interpreter_cpu_create(struct engine *engine, unsigned index, void *state,
                                  struct engine_cpu **cpu, struct error *error)
{
    struct engine_cpu *c = calloc(1, sizeof(*c));

    if (!c)
        return error_set(error, ENOMEM, "no memory for cpu %u", index);
    c->hart = state;
    c->engine = engine;
    c->upper_global = true;
    c->main = memory_main_ram(engine->memory);
    if (c->main)
        c->written = calloc(c->main->size >> PAGE_SHIFT, sizeof(*c->written));
    if (code_cache_init(c) || !c->written || tlb_create(c)) {
        interpreter_cpu_drop(c);
        return error_set(error, ENOMEM, "no memory for the code of cpu %u", index);
    }
    if (engine->native && native_cpu_create(c)) {
        interpreter_cpu_drop(c);
        return error_set(error, ENOMEM, "no memory for the translated code of cpu %u", index);
    }
    mutex_init(&c->lock);
    condition_init(&c->done);
    c->listener.write_protect = write_protect;
    c->listener.ctx = c;
    __atomic_store_n(&engine->cpus[index], c, __ATOMIC_RELEASE);
    memory_listen(engine->memory, &c->listener);
    *cpu = c;
    return 0;
}

static void interpreter_cpu_free(struct engine_cpu *cpu)
{
    memory_unlisten(cpu->engine->memory, &cpu->listener);
    native_cpu_free(cpu);
    condition_release(&cpu->done);
    mutex_release(&cpu->lock);
    interpreter_cpu_drop(cpu);
}

/* A CPU that slept most of the time and decoded next to nothing needs neither what was decoded
 * long ago nor what is known of programs that do not run. */
enum {
    IDLE_LOOK_MS = 2000,
    IDLE_BLOCKS = 2000, /* decoded between two looks */
    IDLE_MISSES = 20000,
    IDLE_ARENA = 256 << 10, /* bytes worth giving back */
    IDLE_REGIMES = 6,
};

static void interpreter_idle(struct engine_cpu *cpu)
{
    uint64_t now = monotonic_ns();
    bool quiet;

    if (now - cpu->idle_looked < IDLE_LOOK_MS * UINT64_C(1000000))
        return;
    quiet = cpu->counters.blocks_decoded - cpu->idle_decoded < IDLE_BLOCKS &&
            cpu->counters.tlb_misses - cpu->idle_missed < IDLE_MISSES;
    cpu->idle_looked = now;
    cpu->idle_decoded = cpu->counters.blocks_decoded;
    cpu->idle_missed = cpu->counters.tlb_misses;
    if (!quiet || (cpu->arena_used < IDLE_ARENA && tlb_count(cpu) < IDLE_REGIMES))
        return;
    /* Others change a TLB whose CPU does not run, too. */
    mutex_lock(&cpu->lock);
    protect_handle(cpu);
    tlb_trim(cpu);
    mutex_unlock(&cpu->lock);
    code_cache_trim(cpu);
}

static int interpreter_make_library(struct engine_cpu *cpu, int fd)
{
    return cpu->engine->native ? native_library_make(cpu, fd) : -ENOTSUP;
}

#define HOOKS                                                                                      \
    .version = ENGINE_VERSION, .free = interpreter_free, .cpu_create = interpreter_cpu_create,     \
    .cpu_free = interpreter_cpu_free, .run = interpreter_run, .kick = interpreter_kick,            \
    .leave = interpreter_leave, .idle = interpreter_idle, .state_out = interpreter_state_out,      \
    .state_in = interpreter_state_in, .flush_tlb = interpreter_flush_tlb,                          \
    .forget = interpreter_forget, .flush_code = interpreter_flush_code,                            \
    .breakpoint = interpreter_breakpoint, .counters = interpreter_counters,                        \
    .footprint = interpreter_footprint, .trim = interpreter_trim,                                  \
    .make_library = interpreter_make_library

const struct engine_type riscv_interpreter = {
    .name = "interpret",
    .create = interpreter_create,
    HOOKS,
};

/* The interpreter for what is executed seldom, and translated code for the rest. */
const struct engine_type riscv_translator = {
    .name = "translate",
    .create = native_engine_create,
    HOOKS,
};
