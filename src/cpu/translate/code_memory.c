/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/code_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"

/* Of 16, as it comes out for a distribution's kernel. In small segments one unit's room is much. */
enum { IN_LINE_BEGIN = 10, IN_LINE_LEAST = 8, IN_LINE_MOST = 13, IN_LINE_SMALL = 9 };

#define SMALL_SEGMENT (1u << 20)

/*
 * Shared anonymous memory, which a mremap() from a size of 0 maps a second time. A memfd would do
 * as well, but perf asks its map for names only where a mapping is anonymous.
 */
int code_memory_init(struct code_memory *memory, uint64_t size, uint64_t span)
{
    void *write, *run;

    *memory = (struct code_memory){0};
    if (size < (1u << 20) || size > (1u << 30))
        return -EINVAL;
    if (span < size)
        span = size;
    write =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (write == MAP_FAILED)
        return -errno;
    run = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (run == MAP_FAILED ||
        mremap(write, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, run) == MAP_FAILED ||
        mprotect(run, size, PROT_READ | PROT_EXEC)) {
        int r = -errno;

        if (run != MAP_FAILED)
            munmap(run, span);
        munmap(write, size);
        return r;
    }
    madvise(write, size, MADV_HUGEPAGE);
    madvise(run, size, MADV_HUGEPAGE);
    madvise(write, size, MADV_DONTDUMP);
    madvise(run, size, MADV_DONTDUMP);
    /* Nor is it for a process that is made of this one, with which it would be shared. */
    madvise(write, size, MADV_DONTFORK);
    madvise(run, size, MADV_DONTFORK);
    memory->write = write;
    memory->run = run;
    memory->size = size;
    memory->span = span;
    memory->end = (uint32_t)size;
    return 0;
}

void code_memory_release(struct code_memory *memory)
{
    if (!memory->write)
        return;
    munmap(memory->write, memory->size);
    munmap((void *)memory->run, memory->span);
    memory->write = NULL;
}

void code_memory_fix(struct code_memory *memory)
{
    memory->fixed = (uint32_t)round_up(memory->used, CODE_PAGE);
    memory->segment_size = (uint32_t)((memory->size - memory->fixed) / CODE_SEGMENTS) & ~63u;
    code_memory_use(memory, 0);
}

static uint32_t filled_in_line(const struct code_memory *memory)
{
    return memory->used - (memory->cold_end - memory->segment_size);
}

uint32_t code_memory_filled(const struct code_memory *memory)
{
    return filled_in_line(memory) + (memory->cold_used - memory->end);
}

/* As what is in the segment that was filled lies in it. */
static uint32_t in_line_size(const struct code_memory *memory)
{
    uint32_t sixteenth = memory->segment_size / 16;
    uint32_t first = filled_in_line(memory);
    uint32_t second = memory->cold_used - memory->end;
    uint64_t size;

    if (memory->segment_size < SMALL_SEGMENT)
        return sixteenth * IN_LINE_SMALL;
    if (!memory->cold_end) /* the first one */
        return sixteenth * IN_LINE_BEGIN;
    size = (uint64_t)memory->segment_size * first / (first + second + 1);
    if (size < sixteenth * IN_LINE_LEAST)
        return sixteenth * IN_LINE_LEAST;
    if (size > sixteenth * IN_LINE_MOST)
        return sixteenth * IN_LINE_MOST;
    return (uint32_t)size & ~63u;
}

void code_memory_use(struct code_memory *memory, unsigned segment)
{
    uint32_t in_line = in_line_size(memory);

    if (memory->cold_end)
        memory->held[memory->segment] = code_memory_filled(memory);
    memory->segment = segment;
    memory->used = memory->fixed + segment * memory->segment_size;
    memory->end = memory->used + in_line;
    memory->in_line[segment] = in_line;
    memory->cold_used = memory->end;
    memory->cold_end = memory->used + memory->segment_size;
}

uint32_t code_memory_held(const struct code_memory *memory, unsigned segment)
{
    return segment == memory->segment ? code_memory_filled(memory) : memory->held[segment];
}

void code_memory_give_back(struct code_memory *memory, unsigned segment)
{
    uint64_t at = memory->fixed + (uint64_t)segment * memory->segment_size;
    /* Segments share pages at their ends. */
    uint64_t start = round_up(at, CODE_PAGE);
    uint64_t end = round_down(at + memory->segment_size, CODE_PAGE);

    memory->held[segment] = 0;
    /* Of both views: a hole in what they show. */
    madvise(memory->write + start, end - start, MADV_REMOVE);
}

unsigned code_memory_segment_of(const struct code_memory *memory, uint32_t offset)
{
    return (offset - memory->fixed) / memory->segment_size;
}

bool code_memory_is_in_line(const struct code_memory *memory, uint32_t offset)
{
    return (offset - memory->fixed) % memory->segment_size <
           memory->in_line[code_memory_segment_of(memory, offset)];
}
