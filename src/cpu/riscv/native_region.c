/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second tier: which loops are worth a region, and the thread that makes them.
 *
 * Polls stand at heads of loops, so that where a CPU leaves by one is a sample of where its time
 * goes. Interrupts make it leave; where there are none, the thread asks each CPU that is in
 * translated code to, less and less often as it only finds it where it was found before, or as
 * CPUs leave by themselves: a guest's ticks are samples enough, and each wake-up of a second thread
 * costs a busy CPU of the host's more than its own time. What was seen a few times at the same
 * place is asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/riscv/native_parts.h"

enum {
    SAMPLE_WORTH = 3,
    SAMPLE_AGAIN = 40, /* more of the loop may be hot then */
    IDLE_PERIODS = 5,  /* without a CPU in translated code: the thread sleeps until it is woken */
    WAKE_POLLS = 3,
    WAKE_ENTRIES = 1024,
    UNFIT_MOST = 100, /* times that a region may fail to begin */
    KNOWN_HALF = 4,   /* samples of nothing new for which the period doubles, */
    KNOWN_MOST = 6 * KNOWN_HALF,
    PATIENCE_MOST = 12, /* doublings of the period while CPUs leave by themselves */
};

#define SAMPLE_PERIOD_NS UINT64_C(2000000)

/* ---- making one ---- */

/* Regions that are made at once do not wait for units. */
static bool is_any(void *ctx, unsigned offset)
{
    return true;
}

/* The first tier makes of a loop of one piece, and of one that seldom leaves such a piece, what a
 * region would be. */
static bool is_simple(const struct native *native, const struct unit *unit,
                      const struct region *region)
{
    return (unit->loops && !unit->region && !native->regions_at_once) ||
           (region->label_count == 1 && region->instructions <= native->unit_limit);
}

static void make_held(struct native *native, const struct region_request *request)
    REQUIRES(native->translator.lock)
{
    struct translator *t = &native->translator;
    struct unit_source source = {.page = request->at >> PAGE_SHIFT, .next = UINT64_MAX};
    unsigned offset = request->at & (PAGE_SIZE - 1);
    const struct unit_page *page = translator_page(t, source.page);
    struct unit *unit = translator_find(t, source.page, offset, request->windowed);
    struct native_known known = {t, page, request->windowed};
    const uint8_t *host = native->ram->host + (request->at & PAGE_MASK);
    struct region region;
    unsigned count;

    /* One that spans pages is left alone, and what was written since it was translated. */
    source.generation = native_generation_of(native, source.page);
    if (!unit || unit->next != NO_PAGE || page->generation != source.generation ||
        t->runtime.counting)
        return;
    if (!region_find(host, offset, native->regions_at_once ? is_any : native_is_known, &known,
                     &region) ||
        region.label_count > IR_LABELS_MAX || is_simple(native, unit, &region) ||
        unit->region >= region.instructions)
        return;
    /* The unit stays where that fails. */
    if (!lift_region(host, offset, &region, &t->scratch, native->records, &count))
        return;
    t->scratch.windowed = request->windowed;
    t->scratch.calls = region.calls;
    if (translator_make(t, &source, request->pc, NULL, native_fallbacks(native, count), &unit))
        return;
}

void native_region_make(struct native *native, const struct region_request *request)
{
    uint64_t page = request->at & PAGE_MASK;

    /* The thread that asks for it need not be a CPU's (M5 of memory.h). */
    if (!ram_hold(native->ram, page, PAGE_SIZE))
        return;
    make_held(native, request);
    ram_let_go(native->ram, page, PAGE_SIZE);
}

/* ---- the thread ---- */

static uint64_t period_ns(struct native *native, unsigned patience)
{
    unsigned known =
        atomic_load_explicit(&native->regions.known, memory_order_relaxed) / KNOWN_HALF;

    return SAMPLE_PERIOD_NS << (known > patience ? known : patience);
}

/* Whether it left by itself since the thread looked. */
static bool sampled_itself(struct native_cpu *cpu)
{
    unsigned count = atomic_load_explicit(&cpu->sample_count, memory_order_relaxed);
    bool itself = count - cpu->sample_count_seen > cpu->asked;

    cpu->sample_count_seen = count;
    cpu->asked = false;
    return itself;
}

/* Whether any CPU was in translated code. One that left by itself meanwhile is left alone. */
static bool sample(struct native *native, unsigned *patience)
{
    struct translator *t = &native->translator;
    bool busy = false, alone = true;

    mutex_lock(&t->lock);
    for (struct translator_cpu *cpu = t->cpus; cpu; cpu = cpu->next) {
        struct native_cpu *n = native_cpu_of(cpu);

        if (atomic_load_explicit(&cpu->seen, memory_order_relaxed) == UINT64_MAX)
            continue;
        busy = true;
        if (sampled_itself(n))
            continue;
        alone = false;
        n->asked = true;
        atomic_store_explicit(&n->hart->signal.limit, UINT64_MAX, memory_order_relaxed);
    }
    mutex_unlock(&t->lock);
    if (!alone)
        *patience /= 2;
    else if (busy && *patience < PATIENCE_MOST)
        (*patience)++;
    return busy;
}

static void *region_thread(void *arg)
{
    struct native *native = arg;
    struct regions *r = &native->regions;
    unsigned idle = 0, patience = 0;

    mutex_lock(&r->lock);
    while (!r->stopping) {
        if (r->count) {
            struct region_request request = r->requests[r->first];

            r->first = (r->first + 1) % REGION_REQUESTS;
            r->count--;
            mutex_unlock(&r->lock);
            mutex_lock(&native->translator.lock);
            native_region_make(native, &request);
            mutex_unlock(&native->translator.lock);
            mutex_lock(&r->lock);
        } else if (idle == IDLE_PERIODS) {
            atomic_store(&r->parked, true);
            condition_wait(&r->changed, &r->lock);
            atomic_store(&r->parked, false);
            idle = 0;
        } else if (condition_wait_until(&r->changed, &r->lock,
                                        monotonic_ns() + period_ns(native, patience)) ==
                   -ETIMEDOUT) {
            mutex_unlock(&r->lock);
            idle = sample(native, &patience) ? 0 : idle + 1;
            mutex_lock(&r->lock);
        }
    }
    mutex_unlock(&r->lock);
    return NULL;
}

static void wake(struct regions *r)
{
    mutex_lock(&r->lock);
    condition_signal(&r->changed);
    mutex_unlock(&r->lock);
}

/* ---- the CPU's thread ---- */

/* Counts towards the thread's next waking; a machine that is idle most of the time does not. */
static void wake_after(struct engine_cpu *cpu, unsigned *count, unsigned most)
{
    struct regions *r = &cpu->engine->native->regions;

    if (likely(!atomic_load_explicit(&r->parked, memory_order_relaxed)) || ++*count < most)
        return;
    *count = 0;
    wake(r);
}

/* Not asked for before, in this writing of its page and since code was evicted last. Whether
 * anything came of it or not, nothing else would; and samples of one place push out those of
 * another, so that it would be asked for again and again. */
static bool is_new(struct native *native, uint64_t key, uint64_t at, bool again)
{
    uint64_t generation = native_generation_of(native, at >> PAGE_SHIFT);
    uint64_t epoch = atomic_load_explicit(&native->translator.epoch, memory_order_relaxed);
    uint64_t asked = (key << 1 | again) ^ generation << 40 ^ epoch << 52;
    _Atomic uint64_t *slot =
        &native->regions.asked[(asked >> 2 ^ asked >> 11 ^ asked >> 40) % REGIONS_ASKED];

    return atomic_exchange_explicit(slot, asked, memory_order_relaxed) != asked;
}

static void request(struct engine_cpu *cpu, uint64_t at)
{
    struct regions *r = &cpu->engine->native->regions;

    mutex_lock(&r->lock);
    if (r->count < REGION_REQUESTS) {
        r->requests[(r->first + r->count++) % REGION_REQUESTS] =
            (struct region_request){.at = at,
                                    .pc = cpu->hart->pc,
                                    .windowed = native_is_windowed(cpu)};
        condition_signal(&r->changed);
    }
    mutex_unlock(&r->lock);
}

static struct region_sample *sample_of(struct engine_cpu *cpu, uint64_t at)
{
    return &cpu->native->samples[(at >> 1 ^ at >> 10) % REGION_SAMPLES];
}

static void note_known(struct regions *r, bool known)
{
    unsigned before = atomic_load_explicit(&r->known, memory_order_relaxed);

    if (before < KNOWN_MOST || !known)
        atomic_store_explicit(&r->known, known ? before + 1 : 0, memory_order_relaxed);
}

void native_region_sample(struct engine_cpu *cpu, uint64_t at)
{
    struct native_cpu *n = cpu->native;
    uint64_t key = native_place_key(cpu, at);
    struct region_sample *sample = sample_of(cpu, at);

    if (!cpu->engine->native->regions.running)
        return;
    wake_after(cpu, &n->wake_polls, WAKE_POLLS);
    atomic_store_explicit(&n->sample_count,
                          atomic_load_explicit(&n->sample_count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (sample->key != key) {
        if (sample->count && --sample->count)
            return;
        *sample = (struct region_sample){.key = key};
    }
    sample->count++;
    note_known(&cpu->engine->native->regions, sample->count > SAMPLE_WORTH);
    if ((sample->count == SAMPLE_WORTH || sample->count == SAMPLE_AGAIN) &&
        is_new(cpu->engine->native, key, at, sample->count == SAMPLE_AGAIN))
        request(cpu, at);
    if (sample->count > SAMPLE_AGAIN)
        sample->count = SAMPLE_AGAIN + 1;
}

void native_region_unfit(struct engine_cpu *cpu, uint64_t pc)
{
    struct translator *t = &cpu->engine->native->translator;
    struct region_sample *sample;
    struct unit *unit;
    uint64_t at;

    if (!native_find_place(cpu, pc, &at))
        return;
    sample = sample_of(cpu, at);
    if (sample->key != native_place_key(cpu, at))
        *sample = (struct region_sample){.key = native_place_key(cpu, at)};
    if (++sample->unfit < UNFIT_MOST)
        return;
    /* The unit that is made next stays. */
    *sample = (struct region_sample){.key = sample->key, .count = SAMPLE_AGAIN + 1};
    mutex_lock(&t->lock);
    unit = translator_find(t, at >> PAGE_SHIFT, at & (PAGE_SIZE - 1), native_is_windowed(cpu));
    if (unit && unit->region)
        translator_kill(t, unit);
    mutex_unlock(&t->lock);
}

void native_region_enter(struct engine_cpu *cpu)
{
    wake_after(cpu, &cpu->native->wake_entries, WAKE_ENTRIES);
}

static void regions_release(struct regions *r)
{
    condition_release(&r->changed);
    mutex_release(&r->lock);
}

int native_regions_start(struct native *native, const struct thread_guard *guard)
{
    struct regions *r = &native->regions;
    int r_start;

    mutex_init(&r->lock);
    condition_init(&r->changed);
    r_start = thread_start_guarded(&r->thread, guard, THREAD_REGION, "hospes-regions",
                                   region_thread, native);
    r->running = !r_start;
    if (r_start)
        regions_release(r);
    return r_start;
}

void native_regions_stop(struct native *native)
{
    struct regions *r = &native->regions;

    if (!r->running)
        return;
    mutex_lock(&r->lock);
    r->stopping = true;
    condition_signal(&r->changed);
    mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    regions_release(r);
    r->running = false;
}
