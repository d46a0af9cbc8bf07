/* SPDX-License-Identifier: Apache-2.0 */
/* The address spaces of an episode, what is in the table of addresses, and how both change. */
#include <string.h>

#include "base/compiler.h"
#include "compare.h"

enum pte_bit {
    V = 1,
    R = 2,
    W = 4,
    X = 8,
    U = 16,
    A = 64,
    D = 128,
};

static unsigned below(struct spaces *s, unsigned bound)
{
    return random_below(s->rng, bound);
}

static uint64_t pte(gpa address, unsigned flags)
{
    return address >> PAGE_SHIFT << 10 | flags;
}

/* ---- tables ---- */

static gpa table_new(struct spaces *s)
{
    static const uint8_t zeros[PAGE_SIZE];
    gpa table = RAM + s->next_table;

    s->next_table += PAGE_SIZE;
    pair_write(s->pair, table, zeros, PAGE_SIZE);
    return table;
}

/* Where the entry of `vaddr` is, `level` levels above a page; makes the tables that lead there. */
static gpa entry_of(struct spaces *s, const struct space *space, uint64_t vaddr, unsigned level)
{
    gpa table = space->root;

    for (unsigned i = space->levels - 1;; i--) {
        gpa entry = table + (vaddr >> (PAGE_SHIFT + 9 * i) & 511) * 8;
        uint64_t value;

        if (i == level)
            return entry;
        value = pair_read64(s->pair, entry);
        if (!(value & V)) {
            value = pte(table_new(s), V);
            pair_write64(s->pair, entry, value);
        }
        table = value >> 10 << PAGE_SHIFT;
    }
}

/* A and D are clear now and then, where the hart sets them. */
static unsigned accessed(struct spaces *s)
{
    return s->updates && below(s, 2) ? A * below(s, 2) : A | D;
}

static void map(struct spaces *s, const struct space *space, uint64_t vaddr, gpa to, unsigned flags)
{
    pair_write64(s->pair, entry_of(s, space, vaddr, 0),
                 pte(to, V | flags | (space->user ? U : 0) | accessed(s)));
}

static uint64_t page(uint64_t base, unsigned number)
{
    return base + number * (uint64_t)PAGE_SIZE;
}

/* A target is a page of data, or one of code or of the pool that may not be written. */
static uint64_t random_target(struct spaces *s, const struct space *space)
{
    static const unsigned flags[] = {R | W, R | W, R | W, R | W, R | W, R | W | X,
                                     R,     R | X, X,     W,     W | X, 0};
    unsigned access = flags[below(s, s->calm && below(s, 4) ? 6 : ARRAY_SIZE(flags))];
    unsigned kind = below(s, 16);
    gpa to = page(RAM + REGION, TARGETS + below(s, TARGET_COUNT));

    if (kind == 0)
        to = page(RAM + REGION, CODE_END - 1);
    else if (kind == 1)
        to = page(RAM + REGION, SCRATCH_HIGH);
    if (kind < 2)
        access &= ~W;
    return pte(to, V * (below(s, 12) != 0) | access | (space->user == (below(s, 10) != 0) ? U : 0) |
                       (below(s, 4) ? A | D : A * below(s, 2)));
}

static uint64_t random_variant(struct spaces *s, const struct space *space)
{
    gpa to = RAM + VARIANTS + SUPERPAGE * below(s, 2);

    return pte(to, V * (below(s, 8) != 0) | R | X * (below(s, 8) != 0) | (space->user ? U : 0) |
                       accessed(s));
}

static void map_region(struct spaces *s, const struct space *space)
{
    const gpa from = RAM + REGION;

    for (unsigned i = 0; i < CODE_END; i++) {
        map(s, space, page(space->region, i), page(from, i), below(s, 4) ? R | X : X);
        if (!s->reach)
            map(s, space, page(space->region, WRITABLE + i), page(from, i), R | W);
    }
    if (!s->reach)
        map(s, space, page(space->region, WRITABLE + CODE_END), page(from, CODE_END), R | W);
    for (unsigned i = SCRATCH_LOW; i <= ADDRESSES; i++)
        map(s, space, page(space->region, i), page(from, i),
            R | W | (i == SCRATCH_LOW && s->shares ? X : 0));
    map(s, space, page(space->region, DEVICE_PAGE), DEVICE, R | W);
    for (unsigned i = 0; i < TARGET_COUNT; i++)
        pair_write64(s->pair, entry_of(s, space, page(space->region, TARGETS + i), 0),
                     random_target(s, space));
}

/* What the supervisor has of its own, in each space. */
static void map_supervisor(struct spaces *s, const struct space *space)
{
    for (unsigned i = 0; i <= S_OWN; i++)
        pair_write64(s->pair, entry_of(s, space, page(S_PAGES, i), 0),
                     pte(i < S_OWN ? page(RAM + S_CODE, i) : DEVICE, V | R | W | X | A | D));
}

/* Pages on either side of where a translator's window, or the user's half, begins and ends. */
static void map_edges(struct spaces *s, const struct space *space)
{
    const uint64_t half = UINT64_C(1) << (11 + 9 * space->levels);
    const uint64_t window = UINT64_C(1) << 38;
    const uint64_t edges[] = {0, half - PAGE_SIZE, -half, window - PAGE_SIZE, window, 1 << 20};

    for (unsigned i = 0; i < ARRAY_SIZE(edges); i++)
        if (below(s, 2) && (edges[i] < half || edges[i] >= -half) &&
            (edges[i] ^ space->region) / SUPERPAGE && (edges[i] ^ space->variants) / SUPERPAGE)
            map(s, space, edges[i], page(RAM + REGION, TARGETS + i), R | W);
}

static unsigned variant_level(const struct space *space)
{
    return space->variants >> 30 & 1; /* either, as it happens */
}

static void choose_places(struct spaces *s, struct space *space)
{
    const uint64_t half = UINT64_C(1) << (11 + 9 * space->levels);
    const uint64_t window = UINT64_C(1) << 38; /* the end of the translator's windows */
    const uint64_t places[] = {
        0,
        RAM,
        0x10000000,
        0x40000000,
        half - 2 * SUPERPAGE,
        half - SUPERPAGE,
        window - 2 * SUPERPAGE,
        window - SUPERPAGE,
        -half,
        -half + 0x40000000,
        -(uint64_t)0x80000000,
        -(uint64_t)0x40000000,
    };

    space->region = places[below(s, ARRAY_SIZE(places))];
    space->variants = space->region + SUPERPAGE;
    if (space->region == half - SUPERPAGE)
        space->variants = space->region - SUPERPAGE;
}

void spaces_make(struct spaces *s)
{
    s->next_table = TABLES;
    for (unsigned i = 0; i < SPACES; i++) {
        struct space *space = &s->space[i];
        uint64_t asid = below(s, 4) ? i : 0xffff - i;

        *space = (struct space){.user = s->reach || below(s, 3) != 0,
                                .super = !s->reach && below(s, 3) == 0};
        space->levels = below(s, 3) ? 3 : 4 + below(s, 2);
        space->root = table_new(s);
        space->satp = (uint64_t)(8 + space->levels - 3) << 60 | asid << 44 | space->root >> 12;
        choose_places(s, space);
        if (space->super)
            pair_write64(s->pair, entry_of(s, space, space->region, 1),
                         pte(RAM + REGION, V | R | W | X | (space->user ? U : 0) | accessed(s)));
        else
            map_region(s, space);
        for (unsigned j = 0; j < 2; j++)
            if (variant_level(space) == 0 || j == 0)
                pair_write64(s->pair,
                             entry_of(s, space, page(space->variants, j), variant_level(space)),
                             random_variant(s, space) + (j << 10));
        map_supervisor(s, space);
        if (s->reach)
            map_edges(s, space);
    }
}

struct space space_bare(void)
{
    return (struct space){.super = true, .region = RAM + REGION, .variants = RAM + VARIANTS};
}

/* ---- changes ---- */

void space_remaps(struct spaces *s, const struct space *space)
{
    struct remap remaps[REMAPS_MAX + 1];
    unsigned count = space->satp ? REMAPS_MAX : 0;

    memset(remaps, 0, sizeof(remaps));
    for (unsigned i = 0; i < count; i++) {
        struct remap *r = &remaps[i];
        unsigned level = 0, number = below(s, 2);

        if (space->super || below(s, 4) == 0) {
            level = variant_level(space);
            r->vaddr = page(space->variants, number);
            r->value = random_variant(s, space) + (level ? 0 : number << 10);
        } else {
            r->vaddr = page(space->region, TARGETS + below(s, below(s, 2) ? 4 : TARGET_COUNT));
            r->value = random_target(s, space);
        }
        r->pte = entry_of(s, space, r->vaddr, level);
        r->vaddr += random_next(s->rng) & (level ? SUPERPAGE - 1 : PAGE_SIZE - 1);
        r->kind = below(s, 4);
    }
    pair_write(s->pair, RAM + REMAPS, remaps, sizeof(remaps));
}

/* ---- addresses ---- */

/* Far from everything that matters: 2 KiB up and down there is nothing that a store may not change.
 */
static uint64_t far_address(struct spaces *s, const struct space *space)
{
    const uint64_t half = space->satp ? UINT64_C(1) << (11 + 9 * space->levels) : UINT64_C(1) << 55;
    const uint64_t window = UINT64_C(1) << 38;
    const uint64_t mapped[] = {
        page(space->region, 0),
        page(space->region, 512),
        page(space->region, 200),
        half,
        -half,
        window,
        0,
        space->variants,
    };
    const uint64_t bare[] = {RAM + RAM_SIZE,      half, -half, window, 0, ROM, ROM + PAGE_SIZE,
                             UINT64_C(0x30000000)};
    uint64_t at =
        space->satp ? mapped[below(s, ARRAY_SIZE(mapped))] : bare[below(s, ARRAY_SIZE(bare))];

    switch (below(s, 4)) {
    case 0:
        return at;
    case 1:
        return at + 8 * (int64_t)(below(s, 32) - 16);
    case 2:
        return at ^ UINT64_C(1) << (22 + below(s, 42)); /* not the place it seems to be */
    default:
        return at - 8 + below(s, 16);
    }
}

static uint64_t any_address(struct spaces *s, const struct space *space)
{
    /* Most often one of those that are mapped elsewhere most often. */
    uint64_t at = page(space->region, TARGETS + below(s, below(s, 3) ? 4 : TARGET_COUNT));

    if (below(s, s->calm ? 12 : 3) == 0) {
        at = far_address(s, space);
        /* A bit that was changed may lead to what matters after all. */
        if (at - (RAM - 0x1000) < RAM_SIZE - 0x1000 || at - (DEVICE - 0x1000) < 0x2000 ||
            at - (S_PAGES - 0x1000) < 0x10000 || at - (space->region + 0x1000) < 0x200000 - 0x2000)
            return page(space->region, TARGETS);
        return at;
    }
    if (below(s, 3) == 0) /* over the end of a page */
        return at - 8 + below(s, 9);
    return at + (below(s, 4) ? 8 * below(s, PAGE_SIZE / 8) : below(s, PAGE_SIZE));
}

static uint64_t load_address(struct spaces *s, const struct space *space)
{
    const uint64_t mapped[] = {
        page(space->region, CODE_END - 1),
        page(space->region, SCRATCH_HIGH),
        page(space->region, DEVICE_PAGE),
        page(space->region, WRITABLE + CODE_END - 1),
        space->variants,
        page(space->region, ADDRESSES),
    };
    const uint64_t bare[] = {RAM - 4,        RAM,
                             RAM + 0x400,    DEVICE,
                             RAM + VARIANTS, page(RAM + REGION, SCRATCH_HIGH)};

    return below(s, 8) +
           (space->satp ? mapped[below(s, ARRAY_SIZE(mapped))] : bare[below(s, ARRAY_SIZE(bare))]);
}

/* No code is there in any mode. */
static uint64_t nocode_address(struct spaces *s, const struct space *space)
{
    const uint64_t half = space->satp ? UINT64_C(1) << (11 + 9 * space->levels) : UINT64_C(1) << 55;
    const uint64_t mapped[] = {half + 0x1000, -half - 0x2000, half << 3,
                               space->super ? half + 4 : page(space->region, STACK_END - 1)};
    const uint64_t bare[] = {DEVICE, RAM + RAM_SIZE, UINT64_C(0x30000000), half, -(uint64_t)16};

    return below(s, 8) +
           (space->satp ? mapped[below(s, ARRAY_SIZE(mapped))] : bare[below(s, ARRAY_SIZE(bare))]);
}

/* What the program finds behind the pool. */
static void space_words(struct spaces *s, const struct space *space)
{
    const uint64_t words[] = {
        page(space->region, ADDRESSES) + PAGE_SIZE / 2,
        space->super ? 0 : WRITABLE * (uint64_t)PAGE_SIZE,
        !space->satp   ? DEVICE
        : space->super ? 0
                       : page(space->region, DEVICE_PAGE),
    };

    pair_write(s->pair, page(RAM + REGION, SCRATCH_HIGH) + GP_ADDRESSES, words, sizeof(words));
}

void space_addresses(struct spaces *s, const struct space *space, const struct guest *guest)
{
    uint64_t table[ADDRESS_COUNT] = {0};

    for (unsigned i = 0; i < ANY_COUNT; i++)
        table[ADDRESS_ANY + i] = any_address(s, space);
    for (unsigned i = 0; i < LOAD_COUNT; i++)
        table[ADDRESS_LOAD + i] = load_address(s, space);
    for (unsigned i = 0; i < NOCODE_COUNT; i++)
        table[ADDRESS_NOCODE + i] = nocode_address(s, space);
    for (unsigned i = 0; i < VARIANT_COUNT; i++)
        table[ADDRESS_VARIANT + i] = page(space->variants, i / 16) + i % 16 * 8;
    for (unsigned i = 0; i < guest->function_count; i++)
        table[ADDRESS_FUNCTION + i] = space->region + guest->start + guest->functions[i];
    pair_write(s->pair, page(RAM + REGION, ADDRESSES), table, sizeof(table));
    space_words(s, space);
}

/* About one of the places, or anywhere. */
static uint64_t reach_address(struct spaces *s, const uint64_t *places, unsigned count)
{
    /* Of the translator: the windows and what is inaccessible around them, small offsets. */
    static const uint64_t steps[] = {1 << 12, 1 << 16, 1 << 20, UINT64_C(1) << 32,
                                     UINT64_C(1) << 38};
    uint64_t at = below(s, 2)   ? places[below(s, count)]
                  : below(s, 2) ? UINT64_C(1) << below(s, 64)
                                : random_integer(s->rng);

    if (below(s, 4) == 0)
        at +=
            below(s, 2) ? steps[below(s, ARRAY_SIZE(steps))] : -steps[below(s, ARRAY_SIZE(steps))];
    if (below(s, 2))
        at += below(s, 2) ? below(s, 64) - UINT64_C(32) : below(s, 8192) - UINT64_C(4096);
    return at;
}

void space_reach(struct spaces *s, const struct space *space)
{
    const uint64_t half = space->satp ? UINT64_C(1) << (11 + 9 * space->levels) : UINT64_C(1) << 55;
    const uint64_t region = space->region, target = page(region, TARGETS);
    const uint64_t places[] = {
        target,
        page(region, SCRATCH_LOW),
        region,
        page(region, 512),
        space->variants,
        S_PAGES,
        half,
        -half,
        RAM,
        RAM + RAM_SIZE,
        RAM + TABLES,
        DEVICE,
    };
    const uint64_t forbidden = pair_forbidden(s->pair);
    uint64_t table[ADDRESS_COUNT];

    for (unsigned i = 0; i < ADDRESS_COUNT; i++) {
        uint64_t at = page(target, below(s, TARGET_COUNT)) + 8 * below(s, 512);
        bool wrong = below(s, 6) == 0;

        if (wrong && forbidden) /* by itself, or with a base that is right added */
            at = forbidden + (below(s, 2) ? PAGE_SIZE * below(s, 8) : -target);
        else if (below(s, 3))
            at = reach_address(s, places, ARRAY_SIZE(places));
        table[i] = at;
    }
    pair_write(s->pair, page(RAM + REGION, ADDRESSES), table, sizeof(table));
    /* What may be loaded into a base. */
    for (unsigned i = 0; i < TARGET_COUNT; i++)
        pair_write(s->pair, page(RAM + REGION, TARGETS + i), table, sizeof(table));
    space_words(s, space);
}
