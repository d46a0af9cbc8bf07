/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "cpu/translate/native.h"

#define PRESENT_BYTES (WINDOW_SIZE >> PAGE_SHIFT >> 3)

enum {
    WINDOW_PIECES = 512, /* unmapped by one review at most; each takes some 7 us */
    WINDOW_GAP = 64,     /* pages between two pieces that are looked at */
};

struct window_piece {
    uint64_t page, count;
};

int window_init(struct window *window, const struct ram *ram, unsigned room)
{
    uint8_t *whole = mmap(NULL, WINDOW_SIZE + 2 * WINDOW_GUARD, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *present = mmap(NULL, PRESENT_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *window = (struct window){.ram = ram, .room = room, .first = UINT64_MAX};
    window->runs = malloc(room * sizeof(struct window_run));
    window->gone = malloc(WINDOW_PIECES * sizeof(struct window_piece));
    if (whole == MAP_FAILED || present == MAP_FAILED || !window->runs || !window->gone) {
        if (whole != MAP_FAILED)
            munmap(whole, WINDOW_SIZE + 2 * WINDOW_GUARD);
        if (present != MAP_FAILED)
            munmap(present, PRESENT_BYTES);
        free(window->runs);
        free(window->gone);
        return -ENOMEM;
    }
    /* A core dump has the guest's memory elsewhere, if at all. */
    madvise(whole, WINDOW_SIZE + 2 * WINDOW_GUARD, MADV_DONTDUMP);
    window->base = whole + WINDOW_GUARD;
    window->present = present;
    return 0;
}

bool window_join(struct window *window, void *memory, size_t size)
{
    uint8_t *at = window->base - WINDOW_CONTEXT;

    if (mremap(memory, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
        return false;
    /* Saves faults; without it they come. */
    madvise(at, size, MADV_POPULATE_WRITE);
    return true;
}

void window_release(struct window *window)
{
    if (!window->base)
        return;
    munmap(window->base - WINDOW_GUARD, WINDOW_SIZE + 2 * WINDOW_GUARD);
    munmap(window->present, PRESENT_BYTES);
    free(window->runs);
    free(window->gone);
    window->base = NULL;
}

static void present_set(struct window *window, uint64_t page, uint64_t count, bool present)
{
    for (; count; count--, page++)
        if (present)
            window->present[page / 64] |= UINT64_C(1) << (page % 64);
        else
            window->present[page / 64] &= ~(UINT64_C(1) << (page % 64));
}

static bool cover(void *at, uint64_t size)
{
    return mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                0) == at;
}

static void forget_all(struct window *window)
{
    for (unsigned i = 0; i < window->count; i++)
        present_set(window, window->runs[i].virtual_page, window->runs[i].count, false);
    window->count = 0;
    window->first = UINT64_MAX;
    window->end = 0;
    memset(window->writable, 0, sizeof(window->writable));
}

/* The pages are known to nobody by now. Where the host has no mapping left for a piece, all of the
 * window is covered, which takes none. */
static void make_inaccessible(struct window *window, uint64_t page, uint64_t count)
{
    if (cover(window->base + (page << PAGE_SHIFT), count << PAGE_SHIFT))
        return;
    forget_all(window);
    BUG_ON(!cover(window->base, WINDOW_SIZE));
}

/* Takes [page, page + count) out of the run at `index`, which overlaps it; a second piece needs
 * room for one more run. */
static void run_cut(struct window *window, unsigned index, uint64_t page, uint64_t count)
{
    struct window_run *run = &window->runs[index], old = *run;
    uint64_t end = page + count, old_end = old.virtual_page + old.count;

    if (page > old.virtual_page) {
        run->count = page - old.virtual_page;
        run = &window->runs[window->count++];
        *run = old;
        run->count = 0;
    }
    if (end < old_end) {
        run->virtual_page = end;
        run->ram_page = old.ram_page + (end - old.virtual_page);
        run->count = old_end - end;
        return;
    }
    /* Nothing is left behind: `run` is empty, and so not the run that was kept. */
    *run = window->runs[--window->count];
}

static bool overlaps(const struct window_run *run, uint64_t page, uint64_t count)
{
    return run->virtual_page < page + count && page < run->virtual_page + run->count;
}

/* Forgets the pages; each run that is cut may become two. */
static void forget(struct window *window, uint64_t page, uint64_t count)
{
    for (unsigned i = 0; i < window->count;) {
        if (!overlaps(&window->runs[i], page, count)) {
            i++;
            continue;
        }
        run_cut(window, i, page, count);
    }
    present_set(window, page, count, false);
}

static bool is_present(const struct window *window, uint64_t page, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (window_has(window, page + i))
            return true;
    return false;
}

void window_clear(struct window *window)
{
    uint64_t first = window->first, end = window->end;

    if (first >= end)
        return;
    forget_all(window);
    make_inaccessible(window, first, end - first);
}

/* Cutting needs room: without it everything goes, which is always right. */
static bool make_room(struct window *window)
{
    if (window->count + 2 < window->room)
        return true;
    window_clear(window);
    return false;
}

bool window_unmap(struct window *window, uint64_t page, uint64_t count)
{
    if (!is_present(window, page, count))
        return false;
    if (make_room(window)) {
        forget(window, page, count);
        make_inaccessible(window, page, count);
    }
    return true;
}

static bool note_gone(struct window *window, unsigned *pieces, uint64_t page)
{
    struct window_piece *last = *pieces ? &window->gone[*pieces - 1] : NULL;

    if (last && last->page + last->count == page) {
        last->count++;
        return true;
    }
    if (*pieces == WINDOW_PIECES)
        return false;
    window->gone[(*pieces)++] = (struct window_piece){page, 1};
    return true;
}

static int compare_pieces(const void *a, const void *b)
{
    const struct window_piece *left = a, *right = b;

    return left->page < right->page ? -1 : left->page > right->page;
}

/* Unmaps the pieces, in one call those with nothing mapped in between. */
static unsigned unmap_pieces(struct window *window, unsigned pieces)
{
    struct window_piece *gone = window->gone;
    unsigned last = 0;

    qsort(gone, pieces, sizeof(*gone), compare_pieces);
    for (unsigned i = 1; i < pieces; i++) {
        uint64_t end = gone[last].page + gone[last].count, gap = gone[i].page - end;

        if (gap <= WINDOW_GAP && !is_present(window, end, gap))
            gone[last].count += gap + gone[i].count;
        else
            gone[++last] = gone[i];
    }
    for (unsigned i = 0; pieces && i <= last; i++)
        window_unmap(window, gone[i].page, gone[i].count);
    return pieces ? last + 1 : 0;
}

unsigned window_review(struct window *window,
                       bool (*holds)(void *ctx, const struct window_run *page), void *ctx)
{
    unsigned pieces = 0;
    bool kept = false;

    for (unsigned i = 0; i < window->count; i++) {
        struct window_run page = window->runs[i];
        uint64_t left = page.count;

        page.count = 1;
        for (; left; left--, page.virtual_page++, page.ram_page++) {
            if (holds(ctx, &page)) {
                kept = true;
            } else if (!note_gone(window, &pieces, page.virtual_page)) {
                window_clear(window); /* nobody waits for so many calls of the host */
                return 1;
            }
        }
    }
    if (kept)
        return unmap_pieces(window, pieces);
    window_clear(window);
    return 1;
}

static uint64_t mark_of(uint64_t ram_page)
{
    return UINT64_C(1) << (ram_page % 64);
}

static uint64_t *marks_of(struct window *window, uint64_t ram_page)
{
    return &window->writable[ram_page % WINDOW_MARKS / 64];
}

bool window_map(struct window *window, const struct window_run *run)
{
    void *at = window->base + (run->virtual_page << PAGE_SHIFT);
    int protection = PROT_READ | (run->writable ? PROT_WRITE : 0);

    if (!make_room(window))
        return false;
    if (is_present(window, run->virtual_page, run->count))
        forget(window, run->virtual_page, run->count);
    /* The guest has used all of them: that saves the host a fault for each. */
    if (mmap(at, run->count << PAGE_SHIFT, protection,
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE | MAP_POPULATE, window->ram->fd,
             (off_t)(run->ram_page << PAGE_SHIFT)) != at) {
        /* Too many mappings, most likely; what was there may be gone or not. */
        make_inaccessible(window, run->virtual_page, run->count);
        window_clear(window);
        return false;
    }
    for (uint64_t i = 0; i < run->count && run->writable; i++)
        *marks_of(window, run->ram_page + i) |= mark_of(run->ram_page + i);
    window->runs[window->count++] = *run;
    present_set(window, run->virtual_page, run->count, true);
    if (run->virtual_page < window->first)
        window->first = run->virtual_page;
    if (run->virtual_page + run->count > window->end)
        window->end = run->virtual_page + run->count;
    return true;
}

bool window_protect(struct window *window, uint64_t ram_page)
{
    bool found = false;

    /* Most pages that become code are new, and in no window. */
    if (!(*marks_of(window, ram_page) & mark_of(ram_page)))
        return false;
    for (unsigned i = 0; i < window->count; i++) {
        struct window_run run = window->runs[i], one;

        if (!run.writable || ram_page < run.ram_page || ram_page - run.ram_page >= run.count)
            continue;
        found = true;
        one = (struct window_run){.virtual_page = run.virtual_page + (ram_page - run.ram_page),
                                  .ram_page = ram_page,
                                  .count = 1};
        if (!window_map(window, &one))
            return true; /* everything is unmapped */
        i = -1u;         /* the runs have moved */
    }
    return found;
}
