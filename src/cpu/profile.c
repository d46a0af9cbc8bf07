/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bits.h"

enum { FIRST_ROOM = 1024, FIRST_PLACES = 4, FILE_PAGES_MAX = PROFILE_PAGES_MAX / 2 };
enum { FILE_PLACES_MAX = PROFILE_PLACES_MAX / 2, PLACES_OF_PAGE = PROFILE_PAGE_SIZE };

static const uint8_t magic[8] = {'h', 'o', 's', 'p', 'e', 's', '\r', '\n'};

struct page {
    struct hash128 key;
    uint16_t *places; /* ascending */
    uint16_t count, room;
    uint8_t age;
    bool executed; /* in this run */
};

struct profile {
    struct page *pages;
    unsigned count, room; /* room is a power of two */
    unsigned place_count;
    uint32_t *table; /* 2 * room: a page's number + 1, or 0; by hash, the next free one taken */
    /* Keys come from outside: who chooses them must not know where they go. */
    uint64_t secret[2];
};

/* ---- pages ---- */

int profile_new(struct profile **out)
{
    struct profile *profile = calloc(1, sizeof(*profile));

    if (!profile)
        return -ENOMEM;
    /* It comes short before the pool is ready only, long before there is a hospes. */
    if (getrandom(profile->secret, sizeof(profile->secret), 0) != sizeof(profile->secret))
        profile->secret[0] = (uintptr_t)profile;
    profile->secret[0] |= 1;
    profile->secret[1] |= 1;
    *out = profile;
    return 0;
}

static void profile_empty(struct profile *profile)
{
    for (unsigned i = 0; i < profile->count; i++)
        free(profile->pages[i].places);
    free(profile->pages);
    free(profile->table);
    profile->pages = NULL;
    profile->table = NULL;
    profile->count = profile->room = profile->place_count = 0;
}

void profile_free(struct profile *profile)
{
    if (!profile)
        return;
    profile_empty(profile);
    free(profile);
}

static unsigned slot_of(const struct profile *profile, const struct hash128 *key)
{
    uint64_t mixed = key->word[0] * profile->secret[0] + key->word[1] * profile->secret[1];

    return (mixed >> 32) & (2 * profile->room - 1);
}

static bool key_is_same(const struct hash128 *a, const struct hash128 *b)
{
    return a->word[0] == b->word[0] && a->word[1] == b->word[1];
}

static uint32_t find(const struct profile *profile, const struct hash128 *key)
{
    unsigned slot;

    if (!profile->room)
        return PROFILE_NONE;
    slot = slot_of(profile, key);
    while (profile->table[slot]) {
        uint32_t page = profile->table[slot] - 1;

        if (key_is_same(&profile->pages[page].key, key))
            return page;
        slot = (slot + 1) & (2 * profile->room - 1);
    }
    return PROFILE_NONE;
}

static void table_put(struct profile *profile, uint32_t page)
{
    unsigned slot = slot_of(profile, &profile->pages[page].key);

    while (profile->table[slot])
        slot = (slot + 1) & (2 * profile->room - 1);
    profile->table[slot] = page + 1;
}

static int profile_grow(struct profile *profile)
{
    unsigned room = profile->room ? 2 * profile->room : FIRST_ROOM;
    uint32_t *table;
    struct page *pages;

    if (profile->count < profile->room)
        return 0;
    if (room > PROFILE_PAGES_MAX)
        return -ENOSPC;
    table = calloc(2 * (size_t)room, sizeof(*table));
    pages = table ? realloc(profile->pages, room * sizeof(*pages)) : NULL;
    if (!pages) {
        free(table);
        return -ENOMEM;
    }
    free(profile->table);
    profile->table = table;
    profile->pages = pages;
    profile->room = room;
    for (uint32_t i = 0; i < profile->count; i++)
        table_put(profile, i);
    return 0;
}

/* One that is not there yet. */
static uint32_t add(struct profile *profile, const struct hash128 *key)
{
    uint32_t page = profile->count;

    if (profile_grow(profile))
        return PROFILE_NONE;
    profile->pages[page] = (struct page){.key = *key};
    profile->count++;
    table_put(profile, page);
    return page;
}

uint32_t profile_find(struct profile *profile, const void *bytes)
{
    struct hash128 key = hash128(bytes, PROFILE_PAGE_SIZE, 0);
    uint32_t page = find(profile, &key);

    if (page != PROFILE_NONE)
        profile->pages[page].executed = true;
    return page;
}

uint32_t profile_add(struct profile *profile, const void *bytes)
{
    struct hash128 key = hash128(bytes, PROFILE_PAGE_SIZE, 0);
    uint32_t page = find(profile, &key);

    if (page == PROFILE_NONE)
        page = add(profile, &key);
    if (page != PROFILE_NONE)
        profile->pages[page].executed = true;
    return page;
}

/* ---- places ---- */

/* How many of the page's places come before it. */
static unsigned places_before(const struct page *page, unsigned place)
{
    unsigned low = 0, high = page->count;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (page->places[mid] < place)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool profile_has(const struct profile *profile, uint32_t number, unsigned place)
{
    const struct page *page = &profile->pages[number];
    unsigned before = places_before(page, place);

    return before < page->count && page->places[before] == place;
}

static bool places_reserve(struct page *page, unsigned room)
{
    uint16_t *places;

    if (room <= page->room)
        return true;
    places = realloc(page->places, room * sizeof(*places));
    if (!places)
        return false;
    page->places = places;
    page->room = (uint16_t)room;
    return true;
}

void profile_note(struct profile *profile, uint32_t number, unsigned place)
{
    struct page *page = &profile->pages[number];
    unsigned before = places_before(page, place);

    if (place >= PLACES_OF_PAGE || profile->place_count == PROFILE_PLACES_MAX ||
        (before < page->count && page->places[before] == place))
        return;
    if (page->count == page->room &&
        !places_reserve(page, page->room ? 2u * page->room : FIRST_PLACES))
        return;
    memmove(page->places + before + 1, page->places + before,
            (page->count - before) * sizeof(*page->places));
    page->places[before] = (uint16_t)place;
    page->count++;
    profile->place_count++;
}

void profile_each_place(const struct profile *profile, uint32_t number,
                        void (*place)(void *ctx, unsigned place), void *ctx)
{
    const struct page *page = &profile->pages[number];

    for (unsigned i = 0; i < page->count; i++)
        place(ctx, page->places[i]);
}

bool profile_is_used(const struct profile *profile)
{
    for (unsigned i = 0; i < profile->count; i++)
        if (profile->pages[i].executed)
            return true;
    return false;
}

unsigned profile_page_count(const struct profile *profile)
{
    return profile->count;
}

unsigned profile_place_count(const struct profile *profile)
{
    return profile->place_count;
}

/* ---- between runs ---- */

void profile_merge(struct profile *profile, const struct profile *run)
{
    for (unsigned i = 0; i < profile->count; i++) {
        profile->pages[i].age++;
        profile->pages[i].executed = false;
    }
    for (unsigned i = 0; i < run->count; i++) {
        const struct page *from = &run->pages[i];
        uint32_t to;

        if (!from->executed)
            continue;
        to = find(profile, &from->key);
        if (to == PROFILE_NONE)
            to = add(profile, &from->key);
        if (to == PROFILE_NONE)
            continue;
        profile->pages[to].age = 0;
        for (unsigned j = 0; j < from->count; j++)
            profile_note(profile, to, from->places[j]);
    }
}

/* ---- the file ---- */

static int key_compare(const struct hash128 *a, const struct hash128 *b)
{
    if (a->word[0] != b->word[0])
        return a->word[0] < b->word[0] ? -1 : 1;
    return a->word[1] < b->word[1] ? -1 : a->word[1] > b->word[1];
}

static int by_key(const void *a, const void *b)
{
    return key_compare(&(*(const struct page *const *)a)->key,
                       &(*(const struct page *const *)b)->key);
}

static int by_age(const void *a, const void *b)
{
    const struct page *const *left = a, *const *right = b;

    if ((*left)->age != (*right)->age)
        return (*left)->age - (*right)->age;
    return by_key(a, b);
}

/* What goes into a file, in its order; returns how many. */
static unsigned choose(const struct profile *profile, const struct page **chosen, unsigned *places)
{
    unsigned count = 0, kept = 0;

    for (unsigned i = 0; i < profile->count; i++)
        if (profile->pages[i].count && profile->pages[i].age <= PROFILE_AGE_MAX)
            chosen[count++] = &profile->pages[i];
    qsort(chosen, count, sizeof(*chosen), by_age);
    for (*places = 0; kept < count && kept < FILE_PAGES_MAX; kept++) {
        if (*places + chosen[kept]->count > FILE_PLACES_MAX)
            break;
        *places += chosen[kept]->count;
    }
    qsort(chosen, kept, sizeof(*chosen), by_key);
    return kept;
}

static uint8_t *put_pages(uint8_t *to, const struct page *const *pages, unsigned count)
{
    for (unsigned i = 0; i < count; i++, to += PROFILE_RECORD_SIZE) {
        store_le64(to, pages[i]->key.word[0]);
        store_le64(to + 8, pages[i]->key.word[1]);
        store_le16(to + 16, pages[i]->count);
        to[18] = pages[i]->age;
        to[19] = 0;
    }
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < pages[i]->count; j++, to += 2)
            store_le16(to, pages[i]->places[j]);
    return to;
}

void *profile_format(const struct profile *profile, size_t *size)
{
    const struct page **chosen = malloc((profile->count + 1) * sizeof(*chosen));
    unsigned count = 0, places = 0;
    struct hash128 end;
    uint8_t *data = NULL, *at;

    if (chosen) {
        count = choose(profile, chosen, &places);
        *size = PROFILE_HEADER_SIZE + count * (size_t)PROFILE_RECORD_SIZE + 2 * (size_t)places +
                PROFILE_END_SIZE;
        data = malloc(*size);
    }
    if (data) {
        memcpy(data, magic, sizeof(magic));
        store_le32(data + 8, PROFILE_VERSION);
        store_le32(data + 12, count);
        store_le32(data + 16, places);
        store_le32(data + 20, 0);
        at = put_pages(data + PROFILE_HEADER_SIZE, chosen, count);
        end = hash128(data, (size_t)(at - data), 0);
        store_le64(at, end.word[0]);
        store_le64(at + 8, end.word[1]);
    }
    free(chosen);
    return data;
}

struct reader {
    const uint8_t *record, *place;
    unsigned pages, places; /* that are left */
};

static bool header_read(struct reader *reader, const uint8_t *data, size_t size)
{
    const uint8_t *end;
    struct hash128 sum;

    if (size < PROFILE_HEADER_SIZE + PROFILE_END_SIZE || memcmp(data, magic, sizeof(magic)) != 0 ||
        load_le32(data + 8) != PROFILE_VERSION || load_le32(data + 20))
        return false;
    reader->pages = load_le32(data + 12);
    reader->places = load_le32(data + 16);
    if (reader->pages > FILE_PAGES_MAX || reader->places > FILE_PLACES_MAX ||
        size != PROFILE_HEADER_SIZE + reader->pages * (size_t)PROFILE_RECORD_SIZE +
                    2 * (size_t)reader->places + PROFILE_END_SIZE)
        return false;
    reader->record = data + PROFILE_HEADER_SIZE;
    reader->place = reader->record + reader->pages * (size_t)PROFILE_RECORD_SIZE;
    end = data + size - PROFILE_END_SIZE;
    sum = hash128(data, size - PROFILE_END_SIZE, 0);
    return load_le64(end) == sum.word[0] && load_le64(end + 8) == sum.word[1];
}

static int places_read(struct page *page, struct reader *reader, unsigned count)
{
    unsigned last = 0;

    if (!places_reserve(page, count))
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++, reader->place += 2) {
        unsigned place = load_le16(reader->place);

        if (place >= PLACES_OF_PAGE || (i && place <= last))
            return -EINVAL;
        page->places[i] = (uint16_t)place;
        last = place;
    }
    page->count = (uint16_t)count;
    return 0;
}

/* `last`: the key before, NULL for the first one. */
static int record_read(struct profile *profile, struct reader *reader, const struct hash128 *last)
{
    const uint8_t *from = reader->record;
    struct hash128 key = {{load_le64(from), load_le64(from + 8)}};
    unsigned count = load_le16(from + 16);
    uint32_t page;
    int r;

    if (!count || count > PLACES_OF_PAGE || count > reader->places || from[18] > PROFILE_AGE_MAX ||
        from[19] || (last && key_compare(last, &key) >= 0))
        return -EINVAL;
    page = add(profile, &key);
    if (page == PROFILE_NONE)
        return -ENOMEM;
    profile->pages[page].age = from[18];
    r = places_read(&profile->pages[page], reader, count);
    if (r)
        return r;
    profile->place_count += count;
    reader->places -= count;
    reader->record += PROFILE_RECORD_SIZE;
    return 0;
}

bool profile_may_begin(const void *data, size_t size)
{
    return !memcmp(data, magic, size < sizeof(magic) ? size : sizeof(magic));
}

int profile_parse(struct profile *profile, const void *data, size_t size)
{
    struct reader reader;
    int r = header_read(&reader, data, size) ? 0 : -EINVAL;

    for (unsigned i = 0; !r && i < reader.pages; i++) {
        struct hash128 last = i ? profile->pages[i - 1].key : (struct hash128){0};

        r = record_read(profile, &reader, i ? &last : NULL);
    }
    if (!r && reader.places)
        r = -EINVAL;
    if (r)
        profile_empty(profile);
    return r;
}
