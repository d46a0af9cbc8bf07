/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window (cpu/translate/native.h): guest-virtual pages of one address space, mapped where
 * translated code finds them without looking anything up. A second kind of TLB, filled by faults,
 * whose entries cost a system call each: for address spaces that live long.
 *
 * A page that is mapped writable obeys the rules of a write tag in the TLB (interpreter.h, I1).
 * Called on the CPU's thread, or under its lock while it does not run.
 */
#ifndef HOSPES_CPU_RISCV_WINDOW_H
#define HOSPES_CPU_RISCV_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "memory/memory.h"

/* Pages next to each other in both spaces. */
struct window_run {
    uint64_t virtual_page, ram_page;
    uint64_t count;
    bool writable;
};

enum { WINDOW_MARKS = 4096 };

struct window {
    uint8_t *base;     /* NULL: not made yet */
    uint64_t *present; /* a bit a page */
    const struct ram *ram;
    unsigned count, room; /* runs */
    uint64_t first, end;  /* pages outside are not mapped */
    struct window_run *runs;
    struct window_piece *gone; /* of a review */
    /* Pages of RAM that may be mapped writable, by their low bits. */
    uint64_t writable[WINDOW_MARKS / 64];
};

/* `room`: runs, at least 4. Each is two mappings of the process at most, one more for each window;
 * of these there are 65,530 by default (vm.max_map_count). -ENOMEM. */
int window_init(struct window *window, const struct ram *ram, unsigned room) MUST_CHECK;
void window_release(struct window *window);

/* Maps shared memory that the caller has where the window's code looks for its context, in place of
 * what was there. False: the host refuses. */
bool window_join(struct window *window, void *memory, size_t size) MUST_CHECK;

static inline bool window_has(const struct window *window, uint64_t page)
{
    return window->present[page / 64] >> (page % 64) & 1;
}

/* Maps pages, in place of what is there. False: it is full, or the host refuses. */
bool window_map(struct window *window, const struct window_run *run) MUST_CHECK;
/* Unmaps [page, page + count); false: nothing was there. */
bool window_unmap(struct window *window, uint64_t page, uint64_t count);
void window_clear(struct window *window);
/* Unmaps every page for which `holds` is false; it is given runs of one page. How many calls of the
 * host that took. */
unsigned window_review(struct window *window,
                       bool (*holds)(void *ctx, const struct window_run *page), void *ctx);
/* Makes the page of RAM read-only wherever it is mapped; true if it was writable somewhere. */
bool window_protect(struct window *window, uint64_t ram_page);

#endif
