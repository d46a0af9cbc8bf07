/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which code of a page belongs together: the instructions from which a loop's head is reached
 * again, without calls. What it is for is one unit with the registers that it uses most.
 */
#ifndef HOSPES_CPU_RISCV_REGION_H
#define HOSPES_CPU_RISCV_REGION_H

#include <stdbool.h>
#include <stdint.h>

enum { REGION_PLACES = 4096 / 2, REGION_INSTRUCTIONS = 300, REGION_LOOKED_AT = 600 };

/* Bits by offset in the page, one for two bytes. */
typedef uint64_t region_set[REGION_PLACES / 64];

struct region {
    region_set inside; /* instructions */
    region_set labels; /* of them: the head, and where branches inside lead */
    region_set loops;  /* of these: where one leads backward */
    unsigned instructions, label_count;
    bool calls; /* the head is also reached again behind calls, which lead out and back */
};

/* Nothing is behind the page. */
static inline bool region_has(const region_set set, unsigned offset)
{
    return offset < 2 * REGION_PLACES && (set[offset / 128] >> (offset / 2 % 64) & 1);
}

/* Whether what begins there is executed often. */
typedef bool region_hot(void *ctx, unsigned offset);

/* The loop in the page at `host` whose head is at `head`, as far as the REGION_LOOKED_AT
 * instructions nearest to it tell. False: there is none, or it is longer than REGION_INSTRUCTIONS.
 * Pure but for what it reads of the guest's memory, which may change meanwhile. */
bool region_find(const uint8_t *host, unsigned head, region_hot *hot, void *ctx,
                 struct region *region);

#endif
