/* SPDX-License-Identifier: Apache-2.0 */
/* What library*.c share. Nobody else includes it. */
#ifndef HOSPES_CPU_TRANSLATE_LIBRARY_PARTS_H
#define HOSPES_CPU_TRANSLATE_LIBRARY_PARTS_H

#include "base/bits.h"
#include "cpu/translate/library.h"

static const uint8_t library_magic[8] = {'h', 'o', 's', 'p', 'e', 's', 'L', '1'};

/* Where the parts of the file begin. */
struct library_layout {
    uint64_t pages, units, accesses, records, bytes, in_line, cold, end;
};

static inline struct library_layout library_layout(const struct library_header *h)
{
    struct library_layout l;

    l.pages = sizeof(*h);
    l.units = l.pages + h->pages * sizeof(struct library_page);
    l.accesses = l.units + h->units * sizeof(struct library_unit);
    l.records = l.accesses + h->accesses * sizeof(struct host_access);
    l.bytes = round_up(l.records + h->records * sizeof(struct library_record), LIBRARY_PAGE_SIZE);
    l.in_line = l.bytes + (uint64_t)h->pages * LIBRARY_PAGE_SIZE;
    l.cold = round_up(l.in_line + h->in_line, LIBRARY_PAGE_SIZE);
    l.end = h->cold ? l.cold + h->cold : l.in_line + h->in_line;
    return l;
}

static inline int library_key_compare(const struct hash128 *a, const struct hash128 *b)
{
    for (unsigned i = 0; i < 2; i++)
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    return 0;
}

#endif
