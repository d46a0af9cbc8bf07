/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/tables.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/bits.h"

/* Code carries addresses of what lies here, which is shorter where they have 32 bits. */
#define LOW_ADDRESS ((void *)0x40000000)

enum { ALIGNMENT = 8 };

int tables_init(struct tables *tables, const struct code_memory *memory, size_t more)
{
    *tables = (struct tables){.region_size = memory->segment_size & ~(ALIGNMENT - 1u)};
    tables->size = (size_t)CODE_SEGMENTS * tables->region_size + more;
    tables->base = mmap(LOW_ADDRESS, tables->size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (tables->base == MAP_FAILED) {
        tables->base = NULL;
        return -errno;
    }
    for (unsigned i = 0; i < CODE_SEGMENTS; i++)
        tables_empty(tables, i);
    return 0;
}

void tables_release(struct tables *tables)
{
    if (tables->base)
        munmap(tables->base, tables->size);
}

void tables_empty(struct tables *tables, unsigned region)
{
    tables->regions[region].used = ALIGNMENT; /* nothing has reference 0 */
    tables->regions[region].units = 0;
}

static uint8_t *region_start(const struct tables *tables, unsigned region)
{
    return tables->base + region * (size_t)tables->region_size;
}

void tables_give_back(struct tables *tables, unsigned region)
{
    /* Regions share pages at their ends. */
    uintptr_t start = round_up((uintptr_t)region_start(tables, region), CODE_PAGE);
    uintptr_t end = round_down((uintptr_t)region_start(tables, region + 1), CODE_PAGE);

    tables_empty(tables, region);
    madvise((void *)start, end - start, MADV_DONTNEED);
}

void *tables_top(const struct tables *tables, unsigned region)
{
    return region_start(tables, region) + tables->regions[region].used;
}

bool tables_have_room(const struct tables *tables, unsigned region, const void *end)
{
    size_t used = (size_t)((const uint8_t *)end - region_start(tables, region));

    return used + ALIGNMENT + (tables->regions[region].units + 1) * sizeof(uint32_t) <=
           tables->region_size;
}

void tables_take(struct tables *tables, unsigned region, const void *unit, const void *end)
{
    uint32_t *list = (uint32_t *)(void *)region_start(tables, region + 1);

    list[-1 - (ptrdiff_t)tables->regions[region].units++] = tables_reference(tables, unit);
    tables->regions[region].used =
        (uint32_t)round_up((uint64_t)((const uint8_t *)end - region_start(tables, region)),
                           ALIGNMENT);
}
