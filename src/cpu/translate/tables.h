/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what is kept of units beside their code: a region for each segment of code memory,
 * filled in order and emptied at once. What lies there is named by references of 4 bytes; 0 names
 * nothing. A region also has the list of its units, in the order of their addresses in code memory.
 *
 * Something is written behind what is taken, and taken when it is complete. Under the translator's
 * lock.
 */
#ifndef HOSPES_CPU_TRANSLATE_TABLES_H
#define HOSPES_CPU_TRANSLATE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "cpu/translate/code_memory.h"

struct tables {
    uint8_t *base;
    size_t size; /* bytes of all */
    uint32_t region_size;
    struct {
        uint32_t used;  /* bytes from its start */
        uint32_t units; /* 4 bytes each, from its end down */
    } regions[CODE_SEGMENTS];
};

/* As many bytes as the code may have, of which what is used is touched, and `more` behind them that
 * have references, too, and are the caller's (tables_more()). Returns 0 or -errno. */
int tables_init(struct tables *tables, const struct code_memory *memory, size_t more) MUST_CHECK;
void tables_release(struct tables *tables);
void tables_empty(struct tables *tables, unsigned region);
/* The same, and its memory goes back to the host. */
void tables_give_back(struct tables *tables, unsigned region);

/* Where the next thing is written, aligned to 8 bytes. */
void *tables_top(const struct tables *tables, unsigned region);
/* Whether what is to be taken may reach to `end`, and a unit be added to the list. */
bool tables_have_room(const struct tables *tables, unsigned region, const void *end) MUST_CHECK;
/* Takes what was written up to `end`, and adds the unit that lies in it to the list. */
void tables_take(struct tables *tables, unsigned region, const void *unit, const void *end);

static inline void *tables_more(const struct tables *tables)
{
    return tables->base + (size_t)CODE_SEGMENTS * tables->region_size;
}

static inline unsigned tables_units(const struct tables *tables, unsigned region)
{
    return tables->regions[region].units;
}

/* The n-th unit of the list. */
static inline void *tables_unit(const struct tables *tables, unsigned region, unsigned n)
{
    const uint32_t *end =
        (const uint32_t *)(const void *)(tables->base + (region + 1) * (size_t)tables->region_size);

    return tables->base + *(end - 1 - n);
}

/* Bytes that are in use; 0 without units. */
static inline uint32_t tables_filled(const struct tables *tables, unsigned region)
{
    uint32_t units = tables->regions[region].units;

    return units ? tables->regions[region].used + units * (uint32_t)sizeof(uint32_t) : 0;
}

static inline void *tables_at(const struct tables *tables, uint32_t reference)
{
    return reference ? tables->base + reference : NULL;
}

static inline uint32_t tables_reference(const struct tables *tables, const void *thing)
{
    return thing ? (uint32_t)((const uint8_t *)thing - tables->base) : 0;
}

#endif
