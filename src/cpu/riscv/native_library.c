/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units of a library (cpu/translate/library.h) in place of those that the machine would make: at
 * the first execution of what the library has, as with a code profile. And making a library, of
 * what a machine has executed.
 */
#include <errno.h>
#include <stdlib.h>

#include "cpu/profile.h"
#include "cpu/riscv/native_parts.h"

int native_library_init(struct native *native)
{
    if (!native->translator.shared.library)
        return 0;
    native->shared = calloc(native->ram->size >> PAGE_SHIFT, sizeof(*native->shared));
    return native->shared ? 0 : -ENOMEM;
}

void native_library_release(struct native *native)
{
    free(native->shared);
}

/* (lock) The number of the library's page whose bytes are those of the page of RAM, or
 * PAGE_UNKNOWN. */
static uint32_t number_of(struct native *native, uint64_t page, uint32_t generation)
{
    struct page_known *shared = &native->shared[page];
    uint8_t bytes[PAGE_SIZE];
    uint32_t number;

    if (generation > WRITINGS_MAX)
        return PAGE_UNKNOWN;
    if (shared->asked && shared->generation == generation)
        return shared->number;
    guest_copy_in(bytes, native->ram->host + (page << PAGE_SHIFT), PAGE_SIZE);
    number = library_find(native->translator.shared.library, bytes);
    *shared = (struct page_known){
        .generation = generation,
        .number = number == LIBRARY_NONE ? PAGE_UNKNOWN : number,
        .asked = true,
    };
    return shared->number;
}

/* (lock) The library's unit for the place, or LIBRARY_NONE. */
static uint32_t unit_of(struct native *native, uint64_t at, uint32_t generation)
{
    uint32_t number;

    if (!native->shared || native->translator.runtime.counting)
        return LIBRARY_NONE;
    number = number_of(native, at >> PAGE_SHIFT, generation);
    return number == PAGE_UNKNOWN
               ? LIBRARY_NONE
               : library_unit_find(native->translator.shared.library, number, at & (PAGE_SIZE - 1));
}

bool native_library_has(struct native *native, uint64_t at, uint32_t generation)
{
    return unit_of(native, at, generation) != LIBRARY_NONE;
}

/* (lock) The records that the unit's code points to, from the bytes that it was made of. */
static void records_fill(struct native *native, const struct library_unit *unit)
{
    const struct shared *shared = &native->translator.shared;
    const struct library_record *from = library_records(shared->library, unit);
    const uint8_t *bytes = library_bytes(shared->library, unit->page);
    struct lift_record *to = (struct lift_record *)(void *)shared->records + unit->record;

    for (unsigned i = 0; i < unit->record_count; i++) {
        struct riscv_insn insn;

        if (to[i].length) /* of an earlier life, by which CPUs may go */
            continue;
        BUG_ON(from[i].at >= PAGE_SIZE ||
               !code_decode(bytes + from[i].at, PAGE_SIZE - from[i].at, &insn));
        code_make_op(to[i].op, &insn, from[i].count);
        to[i].at = from[i].at;
        to[i].length = (uint16_t)insn.length;
    }
}

struct unit *native_library_take(struct native *native, uint64_t at, uint32_t generation)
{
    struct translator *t = &native->translator;
    const struct library *library = t->shared.library;
    uint32_t wanted = unit_of(native, at, generation);
    const struct library_page *page;
    struct unit *found = NULL;

    if (wanted == LIBRARY_NONE)
        return NULL;
    /* Each leads to others: what is not there yet costs a way out. */
    page = library_page(library, library_unit(library, wanted)->page);
    for (uint32_t i = page->first; i < page->first + page->count; i++) {
        const struct library_unit *from = library_unit(library, i);
        struct unit *unit;

        if (i != wanted && translator_find(t, at >> PAGE_SHIFT, from->place & ~1u, from->place & 1))
            continue;
        records_fill(native, from);
        unit = translator_take(t, at >> PAGE_SHIFT, generation, i);
        if (!unit)
            break;
        if (i == wanted)
            found = unit;
    }
    return found;
}

/* ---- making one ---- */

/* A page whose units are compiled. */
struct page_maker {
    const uint8_t *bytes;
    uint8_t places[PAGE_SIZE / 8]; /* a bit each */
    bool windowed;                 /* which kind is compiled */
};

static bool has_place(const struct page_maker *page, unsigned place)
{
    return page->places[place / 8] >> (place % 8) & 1;
}

static bool is_unit(void *ctx, unsigned offset)
{
    const struct page_maker *page = ctx;

    return offset < PAGE_SIZE && has_place(page, offset | page->windowed);
}

static uint32_t no_edge(void *ctx, int64_t pages)
{
    return NATIVE_NO_EDGE;
}

/* A unit's links lead to units of the page, which may not be compiled yet. */
struct page_link {
    struct host_link host;
    bool windowed;
};

struct page_links {
    struct page_link *links;
    unsigned count, room;
};

static int links_add(struct page_links *links, const struct host_unit *unit, bool windowed)
{
    if (links->count + unit->link_count > links->room) {
        unsigned room = 2 * links->room + HOST_LINKS_MAX;
        struct page_link *grown = realloc(links->links, room * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        links->links = grown;
        links->room = room;
    }
    for (unsigned i = 0; i < unit->link_count; i++)
        links->links[links->count++] = (struct page_link){unit->links[i], windowed};
    return 0;
}

/* Compiles what begins at the place. -E2BIG: it cannot be a unit. */
static int make_unit(struct native *native, struct library_maker *maker, struct page_maker *page,
                     unsigned place, struct page_links *links) REQUIRES(native->translator.lock)
{
    struct translator *t = &native->translator;
    struct library_record records[LIFT_INSTRUCTIONS];
    struct host_runtime runtime = t->runtime;
    struct host_shared shared = {
        .word = LIBRARY_WORDS_AT + (uint32_t)sizeof(struct host_word) * maker->header.units,
        .records = native->records,
        .machine_records =
            LIBRARY_RECORDS_AT + maker->header.records * (uint32_t)sizeof(struct lift_record),
        .has = is_unit,
        .ctx = page,
    };
    struct library_unit unit = {.place = (uint16_t)place};
    unsigned count;
    int r;

    page->windowed = place & 1;
    runtime.edge = no_edge;
    runtime.shared = &shared;
    if (!lift(page->bytes, NULL, place & ~1u, native->unit_limit, &t->scratch, native->records,
              &count, is_unit, page))
        return -E2BIG;
    if ((maker->header.records + count) * sizeof(struct lift_record) > LIBRARY_RECORDS_SIZE)
        return -ENOSPC;
    t->scratch.windowed = place & 1;
    ir_optimise(&t->scratch);
    unit.loops = ir_loops(&t->scratch);
    r = t->host->compile(&runtime, &t->scratch, &maker->memory, NULL, &t->compiled);
    r = r ? r : links_add(links, &t->compiled, place & 1);
    if (r)
        return r;
    for (unsigned i = 0; i < count; i++)
        records[i] = (struct library_record){native->records[i].at,
                                             (uint16_t)native->records[i].op[1].count};
    unit.record_count = (uint16_t)count;
    return library_add_unit(maker, &unit, &t->compiled, records);
}

/* Each leads to the unit's poll entry. */
static void lead_links(struct native *native, struct library_maker *maker, unsigned first,
                       const struct page_links *links)
{
    for (unsigned i = 0; i < links->count; i++) {
        const struct page_link *link = &links->links[i];
        unsigned place = link->host.target | link->windowed, unit = first;

        while (unit < maker->header.units && maker->units[unit].place != place)
            unit++;
        BUG_ON(unit == maker->header.units);
        native->translator.host->set_link(&maker->memory, &link->host, maker->units[unit].start);
    }
}

/* All places of a page, or, without what cannot be one, all others. */
static int make_page(struct native *native, struct library_maker *maker, struct page_maker *page)
    REQUIRES(native->translator.lock)
{
    struct page_links links = {0};
    unsigned first = maker->header.units, place = 0;
    int r = library_add_page(maker, page->bytes);

    while (!r && place < PAGE_SIZE) {
        r = has_place(page, place) ? make_unit(native, maker, page, place, &links) : 0;
        if (r == -E2BIG) { /* others may lead to it already */
            page->places[place / 8] &= (uint8_t) ~(1u << (place % 8));
            library_drop_page(maker);
            links.count = place = 0;
            r = library_add_page(maker, page->bytes);
        } else if (r) {
            library_drop_page(maker);
        } else {
            place++;
        }
    }
    if (!r)
        lead_links(native, maker, first, &links);
    if (!r && maker->header.units == first)
        library_drop_page(maker);
    free(links.links);
    return r;
}

static void add_place(void *ctx, unsigned place)
{
    struct page_maker *page = ctx;

    page->places[place / 8] |= (uint8_t)(1u << (place % 8));
}

static int make_pages(struct native *native, struct library_maker *maker)
    REQUIRES(native->translator.lock)
{
    uint64_t pages = native->ram->size >> PAGE_SHIFT;
    uint8_t *made = calloc(1, profile_page_count(native->profile) + 1);
    int r = made ? 0 : -ENOMEM;

    for (uint64_t i = 0; !r && i < pages; i++) {
        uint8_t bytes[PAGE_SIZE];
        struct page_maker page = {.bytes = bytes};
        uint32_t number = native_profile_number(native, i);

        if (number == PROFILE_NONE || made[number])
            continue;
        guest_copy_in(bytes, native->ram->host + (i << PAGE_SHIFT), PAGE_SIZE);
        if (profile_find(native->profile, bytes) != number)
            continue;
        made[number] = 1;
        profile_each_place(native->profile, number, add_place, &page);
        r = make_page(native, maker, &page);
    }
    free(made);
    /* What does not fit any more is not in it. */
    return r == -ENOSPC ? 0 : r;
}

int native_library_make(struct engine_cpu *cpu, int fd)
{
    struct native *native = cpu->engine->native;
    struct translator *t = &native->translator;
    struct library_maker maker;
    int r;

    mutex_lock(&cpu->engine->native->translator.lock);
    r = !native->profile || t->runtime.counting || t->runtime.audit
            ? -EINVAL
            : library_maker_init(&maker, &t->runtime);
    if (!r) {
        r = make_pages(cpu->engine->native, &maker);
        r = r ? r : library_write(&maker, fd);
        library_maker_release(&maker);
    }
    mutex_unlock(&cpu->engine->native->translator.lock);
    return r;
}
