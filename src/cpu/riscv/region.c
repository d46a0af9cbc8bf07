/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/region.h"

#include <endian.h>
#include <string.h>

#include "cpu/riscv/decode.h"
#include "memory/memory.h"

/* Where an instruction goes on: offsets, or NOWHERE. */
struct place {
    uint16_t behind, target;
};

enum { NOWHERE = UINT16_MAX };

struct finder {
    const uint8_t *host;
    region_hot *hot;
    void *ctx;
    struct region *region;
    region_set seen;
    struct place places[REGION_PLACES];
    uint16_t waiting[REGION_PLACES];
    unsigned waiting_count, seen_count;
};

static void set_add(region_set set, unsigned offset)
{
    set[offset / 128] |= UINT64_C(1) << (offset / 2 % 64);
}

static GUEST_ACCESS uint32_t code_half(const uint8_t *host)
{
    return le16toh(__atomic_load_n((const uint16_t *)(const void *)host, __ATOMIC_RELAXED));
}

/* Length 0: it reaches into the next page. */
static void decode_at(const struct finder *f, unsigned offset, struct riscv_insn *insn)
{
    uint32_t word = code_half(f->host + offset);

    insn->length = 0;
    if (riscv_insn_length(word) == 4) {
        if (offset + 4 > PAGE_SIZE)
            return;
        word |= code_half(f->host + offset + 2) << 16;
    }
    riscv_decode(word, insn);
}

/* A target in the page that is worth being followed. */
static uint16_t target_of(struct finder *f, unsigned offset, const struct riscv_insn *insn)
{
    int64_t target = (int64_t)offset + insn->imm;

    if (target < 0 || target >= (int64_t)PAGE_SIZE || !f->hot(f->ctx, (unsigned)target))
        return NOWHERE;
    return (uint16_t)target;
}

static struct place place_of(struct finder *f, unsigned offset)
{
    struct place place = {NOWHERE, NOWHERE};
    struct riscv_insn insn;

    decode_at(f, offset, &insn);
    if (!insn.length)
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
        return place;
    case RISCV_INSN_JALR:
        return place;
    default:
        break;
    }
    if (offset + insn.length < PAGE_SIZE)
        place.behind = (uint16_t)(offset + insn.length);
    return place;
}

/* From there to where it ends; targets wait. False: too much. */
static bool follow(struct finder *f, unsigned offset)
{
    while (offset != NOWHERE && !region_has(f->seen, offset)) {
        struct place place = place_of(f, offset);

        if (f->seen_count++ == REGION_INSTRUCTIONS)
            return false;
        set_add(f->seen, offset);
        f->places[offset / 2] = place;
        if (place.target != NOWHERE)
            f->waiting[f->waiting_count++] = place.target;
        offset = place.behind;
    }
    return true;
}

static bool leads_inside(const struct finder *f, uint16_t to)
{
    return to != NOWHERE && region_has(f->region->inside, to);
}

/* Goes backward from the head until nothing is added. */
static void find_inside(struct finder *f, unsigned head)
{
    struct region *region = f->region;
    bool changed = true;

    set_add(region->inside, head);
    while (changed) {
        changed = false;
        for (unsigned i = REGION_PLACES; i--;) {
            if (!region_has(f->seen, 2 * i) || region_has(region->inside, 2 * i) ||
                (!leads_inside(f, f->places[i].behind) && !leads_inside(f, f->places[i].target)))
                continue;
            set_add(region->inside, 2 * i);
            changed = true;
        }
    }
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
        if (!leads_inside(f, target))
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
    while (f.waiting_count)
        if (!follow(&f, f.waiting[--f.waiting_count]))
            return false;
    find_inside(&f, head);
    if (!leads_inside(&f, f.places[head / 2].behind) &&
        !leads_inside(&f, f.places[head / 2].target))
        return false;
    find_labels(&f, head);
    return true;
}
