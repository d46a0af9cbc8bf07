/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/region.h"

#include <string.h>

#include "cpu/riscv/interpreter.h"

/* Where an instruction goes on: offsets, or NOWHERE. `back`: behind a call. */
struct place {
    uint16_t behind, target, back;
};

enum { NOWHERE = UINT16_MAX };

struct finder {
    const uint8_t *host;
    region_hot *hot;
    void *ctx;
    struct region *region;
    region_set seen;
    struct place places[REGION_PLACES];
    uint16_t waiting[2 * REGION_PLACES];
    unsigned waiting_count, seen_count;
};

static void set_add(region_set set, unsigned offset)
{
    set[offset / 128] |= UINT64_C(1) << (offset / 2 % 64);
}

/* A target in the page that is worth being followed. */
static uint16_t target_of(struct finder *f, unsigned offset, const struct riscv_insn *insn)
{
    int64_t target = (int64_t)offset + insn->imm;

    if (target < 0 || target >= (int64_t)PAGE_SIZE || !f->hot(f->ctx, (unsigned)target))
        return NOWHERE;
    return (uint16_t)target;
}

/* Where a call comes back to, if that is often. */
static uint16_t back_of(struct finder *f, unsigned offset, const struct riscv_insn *insn)
{
    unsigned behind = offset + insn->length;

    return insn->rd && behind < PAGE_SIZE && f->hot(f->ctx, behind) ? (uint16_t)behind : NOWHERE;
}

static struct place place_of(struct finder *f, unsigned offset)
{
    struct place place = {NOWHERE, NOWHERE, NOWHERE};
    struct riscv_insn insn;

    if (!code_decode(f->host + offset, PAGE_SIZE - offset, &insn))
        return place;
    switch (insn.id) {
    case RISCV_INSN_BEQ:
    case RISCV_INSN_BNE:
    case RISCV_INSN_BLT:
    case RISCV_INSN_BGE:
    case RISCV_INSN_BLTU:
    case RISCV_INSN_BGEU:
        place.target = target_of(f, offset, &insn);
        break;
    case RISCV_INSN_JAL:
        if (!insn.rd)
            place.target = target_of(f, offset, &insn);
        place.back = back_of(f, offset, &insn);
        return place;
    case RISCV_INSN_JALR:
        place.back = back_of(f, offset, &insn);
        return place;
    case RISCV_INSN_ILLEGAL: /* data */
        return place;
    default:
        break;
    }
    if (offset + insn.length < PAGE_SIZE)
        place.behind = (uint16_t)(offset + insn.length);
    return place;
}

/* From there to where it ends; targets wait. */
static void follow(struct finder *f, unsigned offset)
{
    while (offset != NOWHERE && !region_has(f->seen, offset) && f->seen_count < REGION_LOOKED_AT) {
        struct place place = place_of(f, offset);

        f->seen_count++;
        set_add(f->seen, offset);
        f->places[offset / 2] = place;
        if (place.target != NOWHERE)
            f->waiting[f->waiting_count++] = place.target;
        if (place.back != NOWHERE)
            f->waiting[f->waiting_count++] = place.back;
        offset = place.behind;
    }
}

static bool leads_to(const region_set set, uint16_t to)
{
    return to != NOWHERE && region_has(set, to);
}

static bool goes_on_in(const struct finder *f, const region_set set, unsigned i, bool calls)
{
    const struct place *place = &f->places[i];

    return leads_to(set, place->behind) || leads_to(set, place->target) ||
           (calls && leads_to(set, place->back));
}

/* Adds what leads to the set, until nothing does. */
static void close_set(const struct finder *f, region_set set, bool calls)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (unsigned i = REGION_PLACES; i--;) {
            if (!region_has(f->seen, 2 * i) || region_has(set, 2 * i) ||
                !goes_on_in(f, set, i, calls))
                continue;
            set_add(set, 2 * i);
            changed = true;
        }
    }
}

static bool has_calls(const struct finder *f)
{
    region_set around;

    memcpy(around, f->region->inside, sizeof(around));
    close_set(f, around, true);
    return memcmp(around, f->region->inside, sizeof(around)) != 0;
}

static void find_labels(struct finder *f, unsigned head)
{
    struct region *region = f->region;

    set_add(region->labels, head);
    for (unsigned i = 0; i < REGION_PLACES; i++) {
        uint16_t target = f->places[i].target;

        if (!region_has(region->inside, 2 * i))
            continue;
        region->instructions++;
        if (!leads_to(region->inside, target))
            continue;
        set_add(region->labels, target);
        if (target <= 2 * i)
            set_add(region->loops, target);
    }
    for (unsigned i = 0; i < REGION_PLACES / 64; i++)
        region->label_count += (unsigned)__builtin_popcountll(region->labels[i]);
}

bool region_find(const uint8_t *host, unsigned head, region_hot *hot, void *ctx,
                 struct region *region)
{
    struct finder f = {.host = host, .hot = hot, .ctx = ctx, .region = region};

    memset(region, 0, sizeof(*region));
    f.waiting[f.waiting_count++] = (uint16_t)head;
    /* What is near first. */
    for (unsigned i = 0; i < f.waiting_count; i++)
        follow(&f, f.waiting[i]);
    set_add(region->inside, head);
    close_set(&f, region->inside, false);
    if (!goes_on_in(&f, region->inside, head / 2, false))
        return false;
    region->calls = has_calls(&f);
    find_labels(&f, head);
    return region->instructions <= REGION_INSTRUCTIONS;
}
