/* SPDX-License-Identifier: Apache-2.0 */
/* The random program's maker, shared by its two files: compare_items.c makes what functions are
 * made of, compare_program.c the functions, and all of them into an image. */
#ifndef HOSPES_TESTS_RANDOM_COMPARE_WRITER_H
#define HOSPES_TESTS_RANDOM_COMPARE_WRITER_H

#include <stdlib.h>

#include "../unit/riscv_code.h"
#include "base/error.h"
#include "compare.h"

enum { S8 = 24, S9 = 25, S10 = 26, S11 = 27 };

#define KEPT (1u << GP | 1u << TP | 1u << S8 | 1u << S9 | 1u << S10 | 1u << S11)

enum {
    FUNCTIONS_MAX = 130,
    FIXUPS_MAX = 4000,
    LEVELS_MAX = 3,
    FRAME = 64,
    COST_OF_FUNCTION = 4000, /* instructions, about */
    COST_OF_ALL = 60000,
    CODE_MAX = 54 * PAGE_SIZE,
};

struct function {
    size_t start, end; /* in the writer's code, halfwords */
    uint64_t place;    /* in the image, bytes */
    uint64_t cost;
    unsigned link;
    bool slot; /* one instruction and a return: it is rewritten */
};

/* Where a function's address goes. */
struct fixup {
    bool pair;       /* auipc, and what has the low bits; else jal */
    unsigned owner;  /* function */
    unsigned target; /* function */
    size_t at;       /* halfword */
};

struct writer {
    const struct guest_options *options;
    struct program *units;
    uint16_t *code;
    size_t count, room;
    struct function functions[FUNCTIONS_MAX];
    unsigned function;
    struct fixup fixups[FIXUPS_MAX];
    unsigned fixup_count;
    unsigned groups[FUNCTION_COUNT]; /* functions in the table */
    unsigned group_count;
    uint64_t cost, most; /* of the function that is made */
    uint64_t times;      /* how often what comes now is executed */
    size_t out[16];      /* jumps to its end */
    unsigned out_count;
};

static inline unsigned below(struct writer *w, unsigned bound)
{
    return random_below(w->options->rng, bound);
}

static inline void half(struct writer *w, uint16_t value)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 4096;
        w->code = realloc(w->code, w->room * sizeof(uint16_t));
        BUG_ON(!w->code);
    }
    w->code[w->count++] = value;
}

static inline void word(struct writer *w, uint32_t value)
{
    half(w, value & 0xffff);
    half(w, value >> 16);
    w->cost += w->times;
}

static inline uint32_t word_at(const uint16_t *code, size_t at)
{
    return code[at] | (uint32_t)code[at + 1] << 16;
}

static inline void word_set(uint16_t *code, size_t at, uint32_t value)
{
    code[at] = value & 0xffff;
    code[at + 1] = value >> 16;
}

/* Bytes from halfword `from` to here. */
static inline int distance(const struct writer *w, size_t from)
{
    return (int)(w->count - from) * 2;
}

/* The jal at `at` leads here. */
static inline void land(struct writer *w, size_t at)
{
    word_set(w->code, at, word_at(w->code, at) | JAL(0, distance(w, at)));
}

/* A few items at the outermost level of a function. */
void items_make(struct writer *w);
/* One of them behind a call. */
void items_call(struct writer *w);

#endif
