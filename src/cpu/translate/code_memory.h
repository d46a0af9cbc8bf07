/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for translated code: one memory object mapped twice, once to write and once to execute,
 * so that no address is both. Offsets name places in both.
 *
 * It is cut into segments that are filled in turn and emptied whole, oldest first; the part before
 * the first segment (the runtime) stays. A segment has two parts, so that what is seldom executed
 * does not stand between what is; how large they are follows from what filled the one before. Under
 * the translator's lock; reading and executing from any thread.
 */
#ifndef HOSPES_CPU_TRANSLATE_CODE_MEMORY_H
#define HOSPES_CPU_TRANSLATE_CODE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum { CODE_SEGMENTS = 8, CODE_PAGE = 4096 };

struct code_memory {
    uint8_t *write;     /* the writable view */
    const uint8_t *run; /* the executable one */
    uint64_t size;      /* bytes, of all */
    uint64_t span;      /* bytes of addresses from `run` on that are the memory's */
    uint32_t fixed;     /* bytes of the runtime */
    uint32_t segment_size;
    unsigned segment;   /* that is being filled */
    uint32_t used, end; /* offsets: the next free byte, the end of the segment's first part */
    uint32_t cold_used, cold_end;    /* and of its second part */
    uint32_t in_line[CODE_SEGMENTS]; /* bytes of each one's first part */
    uint32_t held[CODE_SEGMENTS];    /* and of both, when it was left */
};

/* `size`: bytes, at least 1 MiB, at most 1 GiB. `span`: as many addresses from `run` on stay free
 * for others, if that is more. Returns 0 or -errno. */
int code_memory_init(struct code_memory *memory, uint64_t size, uint64_t span) MUST_CHECK;
void code_memory_release(struct code_memory *memory);
/* What was emitted so far is the runtime; segments begin behind it. */
void code_memory_fix(struct code_memory *memory);
/* Goes on with segment `segment`, which is empty. */
void code_memory_use(struct code_memory *memory, unsigned segment);
unsigned code_memory_segment_of(const struct code_memory *memory, uint32_t offset);
/* Whether the offset, of a segment, is in its first part. */
bool code_memory_is_in_line(const struct code_memory *memory, uint32_t offset);
/* Bytes of the segment that is being filled. */
uint32_t code_memory_filled(const struct code_memory *memory);
/* Bytes of any. */
uint32_t code_memory_held(const struct code_memory *memory, unsigned segment);
/* The memory of a segment that is empty, and not being filled, goes back to the host. */
void code_memory_give_back(struct code_memory *memory, unsigned segment);

static inline const void *code_memory_run(const struct code_memory *memory, uint32_t offset)
{
    return memory->run + offset;
}

#endif
