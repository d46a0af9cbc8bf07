/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A random program: functions that call those made before them, in loops and branches and by
 * tables, over several pages in any order; random units of program.c between; accesses to the
 * addresses of a table, calls of the firmware, code that is written before it is called.
 *
 * It works in any mode, wherever it is mapped: it has gp and tp, and all that it cannot know it
 * reads from memory behind the pool. s8 to s11 (x24 to x27) are its own; random units leave them
 * alone. A frame, 64 bytes down from tp: the way back, s11, and a loop counter a level.
 */
#include <stdlib.h>
#include <string.h>

#include "compare_writer.h"

/* ---- functions ---- */

static struct function *function_begin(struct writer *w, uint64_t most)
{
    struct function *f = &w->functions[w->function];

    w->cost = 0;
    w->most = most;
    w->times = 1;
    w->out_count = 0;
    f->start = w->count;
    return f;
}

static void function_make(struct writer *w)
{
    struct function *f = function_begin(w, COST_OF_FUNCTION);

    f->slot = w->function && below(w, 4) == 0;
    f->link = RA;
    if (f->slot) {
        word(w, ADDI(A0, A0, below(w, 100)));
        word(w, RET);
    } else {
        f->link = below(w, 4) ? RA : below(w, 2) ? T0 : S11;
        word(w, ADDI(TP, TP, -FRAME));
        word(w, SD(f->link, TP, 0));
        word(w, SD(S11, TP, 8));
        items_make(w);
        for (unsigned i = 0; i < w->out_count; i++)
            land(w, w->out[i]);
        /* s11 may be the way back, or its caller's. */
        word(w, LD(S11, TP, 8));
        word(w, LD(f->link, TP, 0));
        word(w, ADDI(TP, TP, FRAME));
        word(w, JR(f->link));
    }
    f->end = w->count;
    f->cost = w->cost;
}

/* What the program begins with: values in all registers, then calls until enough was executed. */
static void main_make(struct writer *w)
{
    struct function *f = function_begin(w, COST_OF_ALL);

    word(w, ADDI(TP, TP, -FRAME));
    for (unsigned i = 1; i < 32; i++)
        if (!(KEPT >> i & 1))
            word(w, LD(i, GP, POOL + 8 * (int)below(w, POOL_INTEGERS)));
    for (unsigned i = 0; i < 32; i++)
        word(w, FLD(i, GP, POOL + 8 * (int)(POOL_INTEGERS + below(w, POOL_FLOATS))));
    for (unsigned i = 0; i < 12; i++)
        items_call(w);
    for (unsigned i = 0; i < w->out_count; i++)
        land(w, w->out[i]);
    word(w, LI(A7, CALL_END));
    word(w, ECALL);
    f->end = w->count;
}

/* ---- the image ---- */

static void fixup_apply(const struct writer *w, const struct fixup *fixup, uint8_t *image)
{
    const struct function *from = &w->functions[fixup->owner];
    uint64_t at = from->place + 2 * (fixup->at - from->start);
    int32_t offset = (int32_t)(w->functions[fixup->target].place - at), low;
    uint32_t insn[2];

    memcpy(insn, image + at, 8);
    if (!fixup->pair) {
        insn[0] |= JAL(0, offset);
    } else {
        low = (int32_t)((uint32_t)offset << 20) >> 20;
        insn[0] |= (uint32_t)(offset - low) & 0xfffff000;
        insn[1] |= (uint32_t)low << 20;
    }
    memcpy(image + at, insn, 8);
}

/* All functions in a random order, with gaps of any even length. False: more than fits. */
static bool lay_out(struct writer *w, struct guest *guest)
{
    unsigned order[FUNCTIONS_MAX], count = w->function + 1;

    for (unsigned i = 0; i < count; i++) {
        unsigned j = below(w, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned i = 0; i < count; i++) {
        struct function *f = &w->functions[order[i]];
        size_t size = (f->end - f->start) * 2;

        guest->size += 2 * below(w, below(w, 4) ? 4 : 400);
        if (guest->size + size + 8 > CODE_MAX)
            return false;
        f->place = guest->size;
        memcpy(guest->image + f->place, w->code + f->start, size);
        guest->size += size;
    }
    guest->size += 8; /* fixups are applied 8 bytes at a time */
    for (unsigned i = 0; i < w->fixup_count; i++)
        fixup_apply(w, &w->fixups[i], guest->image);
    guest->entry = w->functions[w->function].place;
    guest->function_count = w->group_count;
    for (unsigned i = 0; i < w->group_count; i++)
        guest->functions[i] = w->functions[w->groups[i]].place;
    return true;
}

static bool guest_try(struct guest *guest, const struct guest_options *options,
                      struct program *units)
{
    struct writer *w = calloc(1, sizeof(*w));
    unsigned count = options->big ? FUNCTIONS_MAX - 1 : 4 + random_below(options->rng, 16);
    uint64_t end = CODE_END * PAGE_SIZE;
    bool fits;

    BUG_ON(!w);
    w->options = options;
    w->units = units;
    guest->size = 0;
    for (unsigned i = 0; i < CODE_MAX; i++)
        guest->image[i] = (uint8_t)random_next(options->rng);
    for (; w->function < count; w->function++)
        function_make(w);
    main_make(w);
    fits = w->fixup_count < FIXUPS_MAX && lay_out(w, guest);
    if (options->shares)
        end = SCRATCH_LOW * PAGE_SIZE + 0xc00 - 4 * random_below(options->rng, 200);
    guest->start = (end - guest->size) & ~UINT64_C(1);
    free(w->code);
    free(w);
    return fits;
}

bool guest_make(struct guest *guest, const struct guest_options *options)
{
    const struct program_options units_options = {
        .extensions = "i,m,a,f,d,c,zba,zbb,zbc,zbs,zfhmin,zicond,zfa,zicboz,zicbop",
        .seed = random_next(options->rng),
    };
    struct program *units = program_open(&units_options);

    *guest = (struct guest){.image = malloc(CODE_MAX)};
    if (!units || !guest->image) {
        free(guest->image);
        return false;
    }
    while (!guest_try(guest, options, units)) {
    }
    program_close(units);
    return true;
}

void guest_free(struct guest *guest)
{
    free(guest->image);
}
