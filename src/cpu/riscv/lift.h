/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From riscv64 code to the translator's operations. Globals: x1 to x31 are 1 to 31, f0 to f31 are
 * 32 to 63.
 */
#ifndef HOSPES_CPU_RISCV_LIFT_H
#define HOSPES_CPU_RISCV_LIFT_H

#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/region.h"
#include "cpu/translate/ir.h"

enum { LIFT_GLOBALS = 64, LIFT_INSTRUCTIONS = 320, LIFT_SHORTEST = 4, LIFT_OPERATIONS = 8 };

/* A record for an instruction that the interpreter's functions do: two slots, as there. */
struct lift_record {
    struct op op[2];
    uint16_t length; /* bytes */
    uint16_t at;     /* from the start of the page */
};

/* Whether there is a unit already for what begins `offset` bytes into the page. */
typedef bool lift_known(void *ctx, unsigned offset);

/* Lifts what begins `offset` bytes into the page at `host`, at most `limit` instructions. An
 * instruction that ends in the next page, `next` on the host, only if it is the first one (`next`
 * is NULL: not at all). It
 * ends in front of what is `known`, if it has LIFT_SHORTEST instructions. The records that it needs
 * go to `records`, which has room for LIFT_INSTRUCTIONS; *count says how many. False: there is
 * nothing that could be translated. */
bool lift(const uint8_t *host, const uint8_t *next, unsigned offset, unsigned limit,
          struct ir_unit *unit, struct lift_record *records, unsigned *count, lift_known *known,
          void *ctx);

/* Lifts the region, whose head is at `offset`: what belongs to it, the labels, and jumps out at
 * what does not. False: it is too long, or cannot begin so. */
bool lift_region(const uint8_t *host, unsigned offset, const struct region *region,
                 struct ir_unit *unit, struct lift_record *records, unsigned *count);

#endif
