/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "cpu/translate/library.h"
#include "cpu/translate/library_parts.h"

int library_maker_init(struct library_maker *maker, const struct host_runtime *runtime)
{
    const uint8_t *build = library_build();
    struct code_memory *memory = &maker->memory;
    void *write;

    *maker = (struct library_maker){0};
    if (!build)
        return -ENOTSUP;
    write = mmap(NULL, LIBRARY_SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (write == MAP_FAILED)
        return -errno;
    memory->write = write;
    if (mprotect(memory->write + LIBRARY_AT, LIBRARY_IN_LINE + LIBRARY_COLD,
                 PROT_READ | PROT_WRITE)) {
        int r = -errno;

        library_maker_release(maker);
        return r;
    }
    memory->used = LIBRARY_AT;
    memory->end = LIBRARY_AT + LIBRARY_IN_LINE;
    memory->cold_used = LIBRARY_COLD_AT;
    memory->cold_end = LIBRARY_COLD_AT + LIBRARY_COLD;
    memcpy(maker->header.magic, library_magic, sizeof(library_magic));
    memcpy(maker->header.build, build, LIBRARY_BUILD_SIZE);
    maker->header.runtime = library_runtime_hash(runtime);
    return 0;
}

void library_maker_release(struct library_maker *maker)
{
    if (maker->memory.write)
        munmap(maker->memory.write, LIBRARY_SPAN);
    free(maker->pages);
    free(maker->units);
    free(maker->accesses);
    free(maker->records);
    free(maker->bytes);
    *maker = (struct library_maker){0};
}

/* Room for `more` things of `size` bytes behind `count`. */
static int grow(void *things, size_t size, unsigned *room, unsigned count, unsigned more,
                unsigned most)
{
    void *grown, **at = things;
    unsigned wanted = *room ? *room : 1024;

    if (count + more > most)
        return -ENOSPC;
    while (wanted < count + more)
        wanted *= 2;
    if (wanted == *room)
        return 0;
    grown = realloc(*at, wanted * size);
    if (!grown)
        return -ENOMEM;
    *at = grown;
    *room = wanted;
    return 0;
}

int library_add_page(struct library_maker *maker, const void *bytes)
{
    struct library_header *h = &maker->header;
    int r =
        grow(&maker->pages, sizeof(*maker->pages), &maker->page_room, h->pages, 1, LIBRARY_PAGES);

    r = r ? r
          : grow(&maker->bytes, LIBRARY_PAGE_SIZE, &maker->bytes_room, h->pages, 1, LIBRARY_PAGES);
    if (r)
        return r;
    memcpy(maker->bytes + (size_t)h->pages * LIBRARY_PAGE_SIZE, bytes, LIBRARY_PAGE_SIZE);
    maker->pages[h->pages] = (struct library_page){
        .key = hash128(bytes, LIBRARY_PAGE_SIZE, 0),
        .bytes = h->pages,
        .first = h->units,
    };
    h->pages++;
    return 0;
}

int library_add_unit(struct library_maker *maker, const struct library_unit *unit,
                     const struct host_unit *compiled, const struct library_record *records)
{
    struct library_header *h = &maker->header;
    struct library_unit *added;
    int r =
        grow(&maker->units, sizeof(*maker->units), &maker->unit_room, h->units, 1, LIBRARY_UNITS);

    r = r ? r
          : grow(&maker->accesses, sizeof(*maker->accesses), &maker->access_room, h->accesses,
                 compiled->access_count, LIBRARY_ACCESSES);
    r = r ? r
          : grow(&maker->records, sizeof(*maker->records), &maker->record_room, h->records,
                 unit->record_count, LIBRARY_UNITS);
    if (r)
        return r;
    added = &maker->units[h->units];
    *added = *unit;
    added->start = compiled->start;
    added->entry = compiled->entry;
    added->size = compiled->size;
    added->cold_start = compiled->cold_start;
    added->cold_size = compiled->cold_size;
    added->page = h->pages - 1;
    added->access = h->accesses;
    added->record = h->records;
    added->access_count = (uint16_t)compiled->access_count;
    if (compiled->access_count)
        memcpy(maker->accesses + h->accesses, compiled->accesses,
               compiled->access_count * sizeof(*maker->accesses));
    if (unit->record_count)
        memcpy(maker->records + h->records, records, unit->record_count * sizeof(*maker->records));
    h->accesses += compiled->access_count;
    h->records += unit->record_count;
    maker->pages[h->pages - 1].count++;
    h->units++;
    return 0;
}

void library_drop_page(struct library_maker *maker)
{
    struct library_header *h = &maker->header;
    const struct library_page *page = &maker->pages[--h->pages];

    if (!page->count)
        return;
    maker->memory.used = maker->units[page->first].start;
    maker->memory.cold_used = maker->units[page->first].cold_start;
    h->accesses = maker->units[page->first].access;
    h->records = maker->units[page->first].record;
    h->units = page->first;
}

static int by_key(const void *a, const void *b)
{
    const struct library_page *page = a, *other = b;

    return library_key_compare(&page->key, &other->key);
}

static int write_at(int fd, uint64_t at, const void *data, uint64_t size)
{
    const uint8_t *from = data;

    while (size) {
        ssize_t n = pwrite(fd, from, size, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        from += n;
        at += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

int library_write(struct library_maker *maker, int fd)
{
    struct library_header *h = &maker->header;
    const uint8_t *code = maker->memory.write;
    struct library_layout l;
    int r;

    h->in_line = maker->memory.used - LIBRARY_AT;
    h->cold = maker->memory.cold_used - LIBRARY_COLD_AT;
    l = library_layout(h);
    qsort(maker->pages, h->pages, sizeof(*maker->pages), by_key);
    for (uint32_t i = 0; i < h->pages; i++)
        for (uint32_t n = 0; n < maker->pages[i].count; n++)
            maker->units[maker->pages[i].first + n].page = i;
    r = write_at(fd, l.pages, maker->pages, h->pages * sizeof(*maker->pages));
    r = r ? r : write_at(fd, l.units, maker->units, h->units * sizeof(*maker->units));
    r = r ? r : write_at(fd, l.accesses, maker->accesses, h->accesses * sizeof(*maker->accesses));
    r = r ? r : write_at(fd, l.records, maker->records, h->records * sizeof(*maker->records));
    r = r ? r : write_at(fd, l.bytes, maker->bytes, (uint64_t)h->pages * LIBRARY_PAGE_SIZE);
    r = r ? r : write_at(fd, l.in_line, code + LIBRARY_AT, h->in_line);
    r = r ? r : write_at(fd, l.cold, code + LIBRARY_COLD_AT, h->cold);
    /* Last: without it the file is none. */
    return r ? r : write_at(fd, 0, h, sizeof(*h));
}
