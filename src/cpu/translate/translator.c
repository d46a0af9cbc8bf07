/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/translator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"

struct link *link_record(struct link *records, unsigned i)
{
    return &records[i];
}

static unsigned unit_hash(uint64_t page, unsigned offset)
{
    return ((page * UINT64_C(0x9e3779b97f4a7c15) >> 40) ^ offset >> 1) & (UNIT_HASH_SIZE - 1);
}

static unsigned page_hash(uint64_t page)
{
    return (page * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (PAGE_HASH_SIZE - 1);
}

/* ---- edges ---- */

enum { EDGE_TRIES = 256 };

static unsigned edge_hash(uint64_t page, int64_t pages)
{
    return ((page * 31 + (uint64_t)pages) * UINT64_C(0x9e3779b97f4a7c15) >> 40) &
           (EDGE_HASH_SIZE - 1);
}

static struct edge *edge_find(const struct translator *t, uint64_t page, int64_t pages)
{
    uint32_t number = t->edge_hash[edge_hash(page, pages)];

    while (number) {
        struct edge *edge = &t->edges[number - 1];

        if (edge->page == page && edge->pages == pages)
            return edge;
        number = edge->next;
    }
    return NULL;
}

/* A slot that is free in the context for which code is made, if one is soon found: so what goes
 * together does not get in each other's way. */
static unsigned edge_slot_choose(const struct translator *t)
{
    unsigned slot = (t->edge_slot + 1) % NATIVE_EDGES;

    for (unsigned i = 0; i < EDGE_TRIES && t->context; i++) {
        unsigned other = (slot + i) % NATIVE_EDGES;

        if (t->context->edges[other] == UINT64_MAX)
            return other;
    }
    return slot;
}

static uint32_t edge_number(void *ctx, int64_t pages)
{
    struct translator *t = ctx;
    struct edge *edge = edge_find(t, t->making, pages);
    uint32_t *slot;
    unsigned place;

    if (edge)
        return edge->number;
    place = edge_slot_choose(t);
    /* The highest tag would make the slot's empty value. */
    if (t->edge_tags[place] == NATIVE_EDGE_TAGS || t->edge_count == EDGES_MAX)
        return NATIVE_NO_EDGE;
    edge = &t->edges[t->edge_count++];
    slot = &t->edge_hash[edge_hash(t->making, pages)];
    *edge = (struct edge){.page = t->making,
                          .pages = (int32_t)pages,
                          .to = NO_PAGE,
                          .number = place + NATIVE_EDGES * t->edge_tags[place]++,
                          .next = *slot};
    *slot = t->edge_count;
    t->edge_slot = place;
    return edge->number;
}

static void edges_forget(struct translator *t)
{
    memset(t->edge_hash, 0, sizeof(t->edge_hash));
    t->edge_count = 0;
}

bool translator_can_link(struct translator *t, const struct link *link, uint64_t to)
{
    struct edge *edge;

    if (link->host.edge == NATIVE_NO_EDGE)
        return to == link_from(link)->page;
    edge = edge_find(t, link_from(link)->page, link->host.pages);
    if (!edge || edge->number != link->host.edge)
        return false; /* of before all began anew: its unit is dead */
    if (edge->to == NO_PAGE)
        edge->to = (uint32_t)to;
    return edge->to == to;
}

bool translator_may_reach(const struct translator *t, uint64_t page, uint64_t to)
{
    const struct edge *edge = edge_find(t, page, 1);

    return !edge || edge->to == NO_PAGE || edge->to == to;
}

uint32_t translator_next_edge(const struct translator *t, uint64_t page, uint64_t to)
{
    const struct edge *edge = edge_find(t, page, 1);

    return edge && edge->to == to ? edge->number : NATIVE_NO_EDGE;
}

int translator_init(struct translator *t, const struct host_type *host,
                    const struct guest_layout *layout, const struct native_helpers *helpers,
                    uint64_t size, const struct library *library)
{
    bool shares = library && size <= LIBRARY_AT;
    int r = code_memory_init(&t->memory, size, shares ? LIBRARY_SPAN : 0);

    if (r)
        return r;
    mutex_init(&t->lock);
    t->host = host;
    t->perf_map = -1;
    t->runtime.layout = layout;
    t->runtime.helpers = helpers;
    t->runtime.edge = edge_number;
    t->runtime.edge_ctx = t;
    r = host->make_runtime(&t->memory, &t->runtime);
    if (!r) {
        code_memory_fix(&t->memory);
        r = tables_init(&t->tables, &t->memory,
                        shares ? library_header(library)->units * sizeof(struct unit) : 0);
    }
    t->edges = calloc(EDGES_MAX, sizeof(*t->edges));
    if (!r && !t->edges)
        r = -ENOMEM;
    if (r) {
        free(t->edges);
        tables_release(&t->tables);
        code_memory_release(&t->memory);
        mutex_release(&t->lock);
        return r;
    }
    /* Without it is as well. */
    if (shares && shared_attach(&t->shared, library, &t->memory, &t->runtime))
        t->shared.library = NULL;
    atomic_init(&t->epoch, 1);
    return 0;
}

void translator_release(struct translator *t)
{
    for (unsigned i = 0; i < PAGE_HASH_SIZE; i++) {
        struct unit_page *page = t->pages[i];

        while (page) {
            struct unit_page *next = page->next;

            free(page);
            page = next;
        }
    }
    free(t->edges);
    if (t->perf_map >= 0)
        close(t->perf_map);
    tables_release(&t->tables);
    shared_release(&t->shared);
    code_memory_release(&t->memory);
    mutex_release(&t->lock);
}

/* ---- who is in translated code ---- */

void translator_add_cpu(struct translator *t, struct translator_cpu *cpu)
{
    mutex_lock(&t->lock);
    atomic_init(&cpu->seen, UINT64_MAX);
    cpu->purged = atomic_load(&t->epoch);
    cpu->next = t->cpus;
    t->cpus = cpu;
    mutex_unlock(&t->lock);
}

void translator_remove_cpu(struct translator *t, struct translator_cpu *cpu)
{
    mutex_lock(&t->lock);
    for (struct translator_cpu **at = &t->cpus; *at; at = &(*at)->next)
        if (*at == cpu) {
            *at = cpu->next;
            break;
        }
    mutex_unlock(&t->lock);
}

bool translator_enter(struct translator *t, struct translator_cpu *cpu)
{
    /* Announced, then looked at again: either the one who retires a segment sees the announcement,
     * or this CPU sees the new epoch and empties its jump caches before it runs anything. */
    uint64_t epoch = atomic_load_explicit(&t->epoch, memory_order_relaxed);

    atomic_store_explicit(&cpu->seen, epoch, memory_order_seq_cst);
    while (unlikely(atomic_load_explicit(&t->epoch, memory_order_seq_cst) != epoch)) {
        epoch = atomic_load(&t->epoch);
        atomic_store(&cpu->seen, epoch);
    }
    if (likely(cpu->purged == epoch))
        return false;
    cpu->purged = epoch;
    return true;
}

void translator_leave(struct translator_cpu *cpu)
{
    atomic_store_explicit(&cpu->seen, UINT64_MAX, memory_order_release);
}

/* ---- pages ---- */

static struct unit_page *page_find(const struct translator *t, uint64_t number)
{
    struct unit_page *page = t->pages[page_hash(number)];

    while (page && page->page != number)
        page = page->next;
    return page;
}

static struct unit_page *page_get(struct translator *t, uint64_t number, uint32_t generation)
{
    struct unit_page *page = page_find(t, number);

    if (page)
        return page;
    page = calloc(1, sizeof(*page));
    if (!page)
        return NULL;
    page->page = (uint32_t)number;
    page->generation = generation;
    page->next = t->pages[page_hash(number)];
    t->pages[page_hash(number)] = page;
    return page;
}

/* ---- units ---- */

static struct unit *unit_of(const struct translator *t, uint32_t reference)
{
    return tables_at(&t->tables, reference);
}

static struct link *link_of(const struct translator *t, uint32_t reference)
{
    return tables_at(&t->tables, reference);
}

static uint32_t reference(const struct translator *t, const void *thing)
{
    return tables_reference(&t->tables, thing);
}

struct unit *translator_find(struct translator *t, uint64_t page, unsigned offset, bool windowed)
{
    struct unit *unit = unit_of(t, t->hash[unit_hash(page, offset)]);

    while (unit && (unit->page != page || unit->offset != offset || unit->windowed != windowed))
        unit = unit_of(t, unit->hash_next);
    return unit;
}

const struct unit_page *translator_page(const struct translator *t, uint64_t page)
{
    return page_find(t, page);
}

struct unit *unit_page_find(struct translator *t, const struct unit_page *page, unsigned offset,
                            bool windowed)
{
    unsigned grain = offset / PAGE_GRAIN;

    if (!page || !(page->starts[windowed][grain / 64] >> (grain % 64) & 1))
        return NULL;
    return translator_find(t, page->page, offset, windowed);
}

/* ---- units of a library ---- */

static struct unit *shared_unit(const struct translator *t, uint32_t number)
{
    return (struct unit *)tables_more(&t->tables) + number;
}

static bool is_shared(const struct translator *t, const struct unit *unit)
{
    return shared_has(&t->shared, unit->start);
}

static uint32_t shared_number(const struct translator *t, const struct unit *unit)
{
    return (uint32_t)(unit - shared_unit(t, 0));
}

bool translator_is_spent(const struct translator *t, const struct unit *unit)
{
    return is_shared(t, unit) && shared_is_spent(&t->shared, shared_number(t, unit));
}

void translator_renew(struct translator *t, const struct unit *unit)
{
    shared_renew(&t->shared, shared_number(t, unit));
}

/* ---- accesses that failed ---- */

/* The unit whose code holds `offset`, in line or out of line; NULL: none. Dead ones are there as
 * long as CPUs may be in them. */
static const struct unit *unit_at(const struct translator *t, uint32_t offset)
{
    unsigned segment, low = 0, high;
    bool in_line;

    if (shared_has(&t->shared, offset)) {
        uint32_t number = library_unit_at(t->shared.library, offset);

        return number == LIBRARY_NONE ? NULL : shared_unit(t, number);
    }
    segment = code_memory_segment_of(&t->memory, offset);
    in_line = code_memory_is_in_line(&t->memory, offset);
    high = tables_units(&t->tables, segment);

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct unit *unit = tables_unit(&t->tables, segment, mid);
        uint32_t start = in_line ? unit->start : unit->cold_start;
        uint32_t size = in_line ? unit->size : unit->cold_size;

        if (offset < start)
            high = mid;
        else if (offset - start >= size)
            low = mid + 1;
        else
            return unit;
    }
    return NULL;
}

/* Of a unit of the machine's own. */
static struct host_access *accesses_of(const struct unit *unit)
{
    return (struct host_access *)(uintptr_t)&unit->links[unit->link_count];
}

static const struct host_access *any_accesses_of(const struct translator *t,
                                                 const struct unit *unit)
{
    if (!is_shared(t, unit))
        return accesses_of(unit);
    return library_accesses(t->shared.library,
                            library_unit(t->shared.library, shared_number(t, unit)));
}

/* The access of the instruction at `offset`. */
static const struct host_access *access_at(const struct translator *t, const struct unit *unit,
                                           uint32_t offset)
{
    const struct host_access *accesses = any_accesses_of(t, unit);

    for (unsigned i = 0; i < unit->access_count; i++)
        if (accesses[i].at == offset - unit->start)
            return &accesses[i];
    return NULL;
}

/* The access whose check's call ends at `offset`. */
static const struct host_access *access_called(const struct translator *t, const struct unit *unit,
                                               uint32_t offset)
{
    const struct host_access *accesses = any_accesses_of(t, unit);
    uint32_t end = unit->cold_start;

    for (unsigned i = 0; i < unit->access_count; i++) {
        end += accesses[i].checked ? t->host->check_size : 0;
        if (accesses[i].checked && end == offset)
            return &accesses[i];
    }
    return NULL;
}

static bool is_of_unit(const struct translator *t, uint64_t offset)
{
    return (offset >= t->memory.fixed &&
            offset < t->memory.fixed + (uint64_t)t->memory.segment_size * CODE_SEGMENTS) ||
           (offset < LIBRARY_SPAN && shared_has(&t->shared, (uint32_t)offset));
}

static bool is_in_line(const struct translator *t, uint32_t offset)
{
    return shared_has(&t->shared, offset) ? offset < LIBRARY_COLD_AT
                                          : code_memory_is_in_line(&t->memory, offset);
}

uint64_t translator_fault(struct translator *t, uint64_t pc)
{
    uint64_t offset = pc - (uintptr_t)t->memory.run, to = 0;
    const struct host_access *access;
    const struct unit *unit;

    if (!is_of_unit(t, offset))
        return 0;
    mutex_lock(&t->lock);
    unit = unit_at(t, (uint32_t)offset);
    access = unit ? access_at(t, unit, (uint32_t)offset) : NULL;
    if (access && access->own_code)
        to = (uintptr_t)code_memory_run(&t->memory, unit->cold_start + (uint32_t)access->imm);
    else if (access)
        to = (uintptr_t)t->runtime.access;
    mutex_unlock(&t->lock);
    return to;
}

struct host_access translator_access(struct translator *t, uint64_t where, uint64_t *back)
{
    uint64_t offset = where - (uintptr_t)t->memory.run;
    const struct host_access *access = NULL;
    const struct unit *unit = NULL;
    struct host_access found;

    mutex_lock(&t->lock);
    if (is_of_unit(t, offset - 1) && is_in_line(t, (uint32_t)offset - 1)) {
        unit = unit_at(t, (uint32_t)offset);
        access = unit ? access_at(t, unit, (uint32_t)offset) : NULL;
    } else if (is_of_unit(t, offset - 1)) {
        /* Behind the unit's last byte, perhaps. */
        unit = unit_at(t, (uint32_t)offset - 1);
        access = unit ? access_called(t, unit, (uint32_t)offset) : NULL;
    }
    BUG_ON(!access || access->own_code);
    found = *access;
    *back = (uintptr_t)code_memory_run(&t->memory, unit->start + found.at + found.length);
    mutex_unlock(&t->lock);
    return found;
}

void translator_link(struct translator *t, struct link *link, struct unit *to)
{
    if (link->to || link_from(link)->dead || to->dead)
        return;
    link->to = reference(t, to);
    link->next = to->incoming;
    link->previous = 0;
    if (link->next)
        link_of(t, link->next)->previous = reference(t, link);
    to->incoming = reference(t, link);
    t->host->set_link(&t->memory, &link->host, link->host.polls ? to->start : to->entry);
}

static void incoming_remove(struct translator *t, struct link *link)
{
    if (link->previous)
        link_of(t, link->previous)->next = link->next;
    else
        unit_of(t, link->to)->incoming = link->next;
    if (link->next)
        link_of(t, link->next)->previous = link->previous;
    link->to = 0;
}

static void hash_remove(struct translator *t, struct unit *unit)
{
    uint32_t *at = &t->hash[unit_hash(unit->page, unit->offset)];

    while (*at != reference(t, unit))
        at = &unit_of(t, *at)->hash_next;
    *at = unit->hash_next;
}

static void page_remove(struct translator *t, struct unit *unit)
{
    if (unit->page_previous)
        unit_of(t, unit->page_previous)->page_next = unit->page_next;
    else
        page_find(t, unit->page)->units = unit->page_next;
    if (unit->page_next)
        unit_of(t, unit->page_next)->page_previous = unit->page_previous;
}

static void page_add(struct translator *t, struct unit_page *page, struct unit *unit)
{
    unsigned grain = unit->offset / PAGE_GRAIN;

    page->starts[unit->windowed][grain / 64] |= UINT64_C(1) << (grain % 64);
    unit->page_next = page->units;
    if (page->units)
        unit_of(t, page->units)->page_previous = reference(t, unit);
    page->units = reference(t, unit);
}

static void reaching_remove(struct translator *t, const struct unit *unit)
{
    uint32_t *at = &page_find(t, unit->next)->reaching;

    while (*at != reference(t, unit))
        at = &unit_of(t, *at)->next_next;
    *at = unit->next_next;
}

static void unit_kill(struct translator *t, struct unit *unit)
{
    struct link *link;

    page_remove(t, unit);
    if (unit->next != NO_PAGE)
        reaching_remove(t, unit);

    while ((link = link_of(t, unit->incoming))) {
        unit->incoming = link->next;
        link->to = 0;
        t->host->set_link(&t->memory, &link->host, link->host.stub);
    }
    for (unsigned i = 0; i < unit->link_count; i++)
        if (unit->links[i].to)
            incoming_remove(t, &unit->links[i]);
    hash_remove(t, unit);
    if (is_shared(t, unit))
        shared_closed(&t->shared, shared_number(t, unit));
    else
        t->host->close_entry(&t->memory, unit->start);
    unit->dead = true;
    t->stats.killed++;
}

void translator_kill(struct translator *t, struct unit *unit)
{
    unit_kill(t, unit);
}

static void page_kill(struct translator *t, struct unit_page *page)
{
    while (page->units)
        unit_kill(t, unit_of(t, page->units));
    while (page->reaching)
        unit_kill(t, unit_of(t, page->reaching));
    memset(page->starts, 0, sizeof(page->starts));
}

static void page_check(struct translator *t, struct unit_page *page, uint32_t generation)
{
    if (page->generation == generation)
        return;
    page_kill(t, page);
    page->generation = generation;
}

const struct unit_page *translator_check_page(struct translator *t, uint64_t number,
                                              uint32_t generation)
{
    struct unit_page *page = page_find(t, number);

    if (page)
        page_check(t, page, generation);
    return page;
}

void translator_check_all(struct translator *t, uint32_t (*generation_of)(void *ctx, uint64_t page),
                          void *ctx)
{
    for (unsigned i = 0; i < PAGE_HASH_SIZE; i++)
        for (struct unit_page *page = t->pages[i]; page; page = page->next)
            page_check(t, page, generation_of(ctx, page->page));
}

void translator_kill_all(struct translator *t)
{
    for (unsigned i = 0; i < PAGE_HASH_SIZE; i++)
        for (struct unit_page *page = t->pages[i]; page; page = page->next)
            page_kill(t, page);
}

/* ---- room ---- */

static void segment_retire(struct translator *t, unsigned segment)
{
    for (unsigned i = 0; i < tables_units(&t->tables, segment); i++) {
        struct unit *unit = tables_unit(&t->tables, segment, i);

        if (!unit->dead)
            unit_kill(t, unit);
    }
    t->retired[segment] = atomic_fetch_add(&t->epoch, 1) + 1;
    t->stats.evicted_segments++;
}

/* Each CPU has left translated code since. */
static bool is_left_since(const struct translator *t, uint64_t epoch)
{
    for (const struct translator_cpu *cpu = t->cpus; cpu; cpu = cpu->next)
        if (atomic_load(&cpu->seen) < epoch)
            return false;
    return true;
}

/* Nobody is in it any more. */
static bool segment_is_free(const struct translator *t, unsigned segment)
{
    return !tables_units(&t->tables, segment) || is_left_since(t, t->retired[segment]);
}

/* The one that was left longest ago, if that is long enough; that being filled, if not. */
static unsigned segment_spare(const struct translator *t)
{
    unsigned segment = t->memory.segment;

    do
        segment = (segment + 1) % CODE_SEGMENTS;
    while (segment != t->memory.segment && !tables_units(&t->tables, segment));
    return monotonic_ns() - t->left_ns[segment] < t->spare_ns ? t->memory.segment : segment;
}

static uint64_t segment_bytes(const struct translator *t, unsigned segment)
{
    return code_memory_held(&t->memory, segment) + tables_filled(&t->tables, segment);
}

void translator_footprint(const struct translator *t, uint64_t *code, uint64_t *tables,
                          uint64_t *spare)
{
    unsigned spare_one = segment_spare(t);

    *code = *tables = 0;
    for (unsigned i = 0; i < CODE_SEGMENTS; i++) {
        *code += code_memory_held(&t->memory, i);
        *tables += tables_filled(&t->tables, i);
    }
    *spare = spare_one != t->memory.segment ? segment_bytes(t, spare_one) : 0;
}

uint64_t translator_trim(struct translator *t)
{
    unsigned segment = segment_spare(t);
    uint64_t bytes = segment_bytes(t, segment);

    if (segment == t->memory.segment)
        return 0;
    if (!t->retired[segment])
        segment_retire(t, segment);
    if (!segment_is_free(t, segment))
        return 0;
    t->retired[segment] = 0;
    tables_give_back(&t->tables, segment);
    code_memory_give_back(&t->memory, segment);
    return bytes;
}

/* What is evicted was made less than a second ago, or more than four, or in between. */
#define SHORT_LIFE UINT64_C(1000000000)
#define LONG_LIFE  UINT64_C(4000000000)

unsigned translator_pressure(const struct translator *t)
{
    unsigned pressure = atomic_load_explicit(&t->pressure, memory_order_relaxed);
    uint64_t fades;

    if (likely(!pressure))
        return 0;
    fades =
        (monotonic_ns() - atomic_load_explicit(&t->pressed_ns, memory_order_relaxed)) / LONG_LIFE;
    return fades < pressure ? pressure - (unsigned)fades : 0;
}

/* A segment goes that was full at `left`. */
static void press(struct translator *t, uint64_t now, uint64_t left)
{
    unsigned pressure = translator_pressure(t);

    if (now - left < SHORT_LIFE && pressure < TRANSLATOR_PRESSURE)
        pressure++;
    else if (now - left > LONG_LIFE && pressure)
        pressure--;
    atomic_store_explicit(&t->pressed_ns, now, memory_order_relaxed);
    atomic_store_explicit(&t->pressure, pressure, memory_order_relaxed);
}

/* To the next segment. The one behind it is retired at the same time, so that it will have been
 * left by everybody when its turn comes. */
static int segment_next(struct translator *t)
{
    unsigned next = (t->memory.segment + 1) % CODE_SEGMENTS, after = (next + 1) % CODE_SEGMENTS;

    if (tables_units(&t->tables, next) && !t->retired[next])
        segment_retire(t, next);
    if (!segment_is_free(t, next))
        return -ENOSPC;
    tables_empty(&t->tables, next);
    t->retired[next] = 0;
    t->left_ns[t->memory.segment] = monotonic_ns();
    if (tables_units(&t->tables, after))
        press(t, t->left_ns[t->memory.segment], t->left_ns[after]);
    code_memory_use(&t->memory, next);
    if (tables_units(&t->tables, after) && !t->retired[after])
        segment_retire(t, after);
    return 0;
}

/* The records' addresses go into the code, so that there must be enough before it is made. */
static unsigned links_wanted(const struct ir_unit *ir, bool loops)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ir->count; i++)
        switch (ir->insns[i].op) {
        case IR_CALL:
            count += 2;
            break;
        case IR_BRANCH:
        case IR_JUMP:
        case IR_CALL_TO:
        case IR_COMPARE_SWAP:
            count++;
            break;
        default:
            break;
        }
    return ir->region || loops ? HOST_LOOP_TIMES * count : count;
}

/* Copies the records to the tables; the scratch unit points to them from now on. */
static void fallbacks_copy(struct translator *t, struct unit_fallbacks *fallbacks, void *to)
{
    for (unsigned i = 0; i < t->scratch.count; i++) {
        const void **fallback = &t->scratch.insns[i].fallback;

        if (*fallback)
            *fallback =
                (uint8_t *)to + ((const uint8_t *)*fallback - (const uint8_t *)fallbacks->records);
    }
    if (fallbacks->size)
        memcpy(to, fallbacks->records, fallbacks->size);
    fallbacks->records = to;
}

/* Code and tables share the bytes of a segment, so that what bounds the cache bounds both. */
static bool segment_is_full(const struct translator *t)
{
    unsigned segment = t->memory.segment;

    return tables_units(&t->tables, segment) &&
           code_memory_filled(&t->memory) + tables_filled(&t->tables, segment) >=
               t->memory.segment_size;
}

/* Compiles the scratch unit, after the optimiser, into the segment that is being filled. */
static int unit_compile(struct translator *t, const struct unit_source *source,
                        struct unit_fallbacks *fallbacks, struct unit **out)
{
    struct host_unit *compiled = &t->compiled;
    bool loops = ir_loops(&t->scratch);
    unsigned segment = t->memory.segment, links = links_wanted(&t->scratch, loops);
    uint8_t *top = tables_top(&t->tables, segment);
    struct unit *unit = (struct unit *)(void *)(top + round_up(fallbacks->size, 8));
    int r;

    if (segment_is_full(t) || !tables_have_room(&t->tables, segment, &unit->links[links]))
        return -ENOSPC;
    fallbacks_copy(t, fallbacks, top);
    r = t->host->compile(&t->runtime, &t->scratch, &t->memory, unit->links, compiled);
    if (r)
        return r;
    BUG_ON(compiled->link_count > links);
    *unit = (struct unit){.page = (uint32_t)source->page,
                          .next = (uint32_t)source->next,
                          .offset = t->scratch.start,
                          .windowed = t->scratch.windowed,
                          .loops = loops,
                          .region = t->scratch.region ? t->scratch.guest_count : 0,
                          .link_count = (uint16_t)compiled->link_count,
                          .access_count = (uint16_t)compiled->access_count};
    for (unsigned i = 0; i < unit->link_count; i++)
        unit->links[i] = (struct link){.index = (uint16_t)i, .host = compiled->links[i]};
    if (!tables_have_room(&t->tables, segment, accesses_of(unit) + unit->access_count))
        return -ENOSPC;
    memcpy(accesses_of(unit), compiled->accesses, unit->access_count * sizeof(struct host_access));
    unit->start = compiled->start;
    unit->entry = compiled->entry;
    unit->size = compiled->size;
    unit->cold_start = compiled->cold_start;
    unit->cold_size = compiled->cold_size;
    *out = unit;
    return 0;
}

static void unit_list(struct translator *t, struct unit *unit, struct unit_page *page)
{
    uint32_t *slot = &t->hash[unit_hash(unit->page, unit->offset)];

    unit->hash_next = *slot;
    *slot = reference(t, unit);
    page_add(t, page, unit);
}

/* The lists that it is in. */
static void unit_enter(struct translator *t, struct unit *unit, struct unit_page *page,
                       struct unit_page *next)
{
    uint32_t filled = tables_filled(&t->tables, t->memory.segment);

    tables_take(&t->tables, t->memory.segment, unit, accesses_of(unit) + unit->access_count);
    t->stats.table_bytes += tables_filled(&t->tables, t->memory.segment) - filled;
    unit_list(t, unit, page);
    if (next) {
        unit->next_next = next->reaching;
        next->reaching = reference(t, unit);
        edge_find(t, unit->page, 1)->to = unit->next;
    }
}

/* What led to the old one leads to the new one, at the same place. */
static void unit_replace(struct translator *t, struct unit *old, struct unit *unit)
{
    struct link *link;

    while ((link = link_of(t, old->incoming))) {
        incoming_remove(t, link);
        translator_link(t, link, unit);
    }
    unit_kill(t, old);
}

static void stats_add(struct translator *t, const struct unit *unit, uint64_t ns)
{
    struct translator_stats *stats = &t->stats;

    stats->units++;
    stats->guest_instructions += t->scratch.guest_count;
    stats->guest_bytes += t->scratch.bytes;
    stats->code_bytes += unit->size + unit->cold_size;
    stats->cold_bytes += unit->cold_size;
    stats->streams += t->compiled.streams;
    stats->nanoseconds += ns;
    if (!unit->region)
        return;
    stats->regions++;
    stats->region_instructions += unit->region;
    stats->region_code_bytes += unit->size + unit->cold_size;
    stats->region_nanoseconds += ns;
}

int translator_make(struct translator *t, const struct unit_source *source, uint64_t vaddr,
                    const struct native_context *context, struct unit_fallbacks fallbacks,
                    struct unit **out)
{
    struct unit *unit, *old;
    struct unit_page *page, *next = NULL;
    uint64_t began = monotonic_ns();
    int r;

    if (source->page >= NO_PAGE || (source->next >= NO_PAGE && source->next != UINT64_MAX))
        return -E2BIG;
    page = page_get(t, source->page, source->generation);
    if (t->edge_count >= EDGES_MAX) {
        translator_kill_all(t);
        edges_forget(t);
    }
    t->making = (uint32_t)source->page;
    t->context = context;
    ir_optimise(&t->scratch);
    if (source->next != UINT64_MAX)
        next = page_get(t, source->next, source->next_generation);
    if (!page || (source->next != UINT64_MAX && !next))
        return -ENOMEM;
    page_check(t, page, source->generation);
    if (next)
        page_check(t, next, source->next_generation);
    r = unit_compile(t, source, &fallbacks, &unit);
    if (r == -ENOSPC) {
        r = segment_next(t);
        if (!r)
            r = unit_compile(t, source, &fallbacks, &unit);
    }
    /* Without an edge to the next page it only ever leaves, and tells nothing of where that is. */
    if (!r && next && !edge_find(t, source->page, 1))
        r = -ENOMEM;
    if (r)
        return r;
    /* The one that it replaces, if making room did not drop it. */
    old = translator_find(t, unit->page, unit->offset, unit->windowed);
    unit_enter(t, unit, page, next);
    /* Before anything leads there. */
    atomic_fetch_add_explicit(&t->published, 1, memory_order_release);
    if (old)
        unit_replace(t, old, unit);
    stats_add(t, unit, monotonic_ns() - began);
    translator_perf_add(t, unit, vaddr);
    *out = unit;
    return 0;
}

/* ---- taking a library's units ---- */

/* Since when its code may be executed for another page: once that was asked for, no CPU finds what
 * it knew of the library's page any more when it has passed translator_enter(). */
static bool shared_page_is_free(struct translator *t, struct shared_page *shared)
{
    if (shared->page == NO_PAGE)
        return true;
    if (shared->live)
        return false;
    if (!shared->retired)
        shared->retired = atomic_fetch_add(&t->epoch, 1) + 1;
    return is_left_since(t, shared->retired);
}

struct unit *translator_take(struct translator *t, uint64_t number, uint32_t generation,
                             uint32_t taken)
{
    const struct library_unit *from = library_unit(t->shared.library, taken);
    struct shared_page *shared = &t->shared.pages[from->page];
    struct unit *unit = shared_unit(t, taken);
    struct unit_page *page;

    if (number >= NO_PAGE || (unit->size && !unit->dead))
        return NULL;
    if ((shared->page != number || shared->generation != generation) &&
        !shared_page_is_free(t, shared))
        return NULL;
    page = page_get(t, number, generation);
    if (!page)
        return NULL;
    page_check(t, page, generation);
    shared->page = (uint32_t)number;
    shared->generation = generation;
    *unit = (struct unit){.page = (uint32_t)number,
                          .next = NO_PAGE,
                          .offset = from->place & ~1u,
                          .windowed = from->place & 1,
                          .loops = from->loops,
                          .start = from->start,
                          .entry = from->entry,
                          .size = from->size,
                          .cold_start = from->cold_start,
                          .cold_size = from->cold_size,
                          .access_count = from->access_count};
    unit_list(t, unit, page);
    shared_opened(&t->shared, taken);
    atomic_fetch_add_explicit(&t->published, 1, memory_order_release);
    return unit;
}
