/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's use of a library: which of its pages are which of the machine's, and, beside the
 * code, the two things that are the machine's own: the words that units' polls look at (struct
 * host_word), and the records of what the guest's side does itself. Under the translator's lock.
 *
 * A page of the library is taken by one page of the guest's memory at a time, at one writing of it.
 * When all of its units are dead, another one may take it once each CPU has emptied its jump caches
 * since, which lead to the same poll entries.
 */
#ifndef HOSPES_CPU_TRANSLATE_SHARED_H
#define HOSPES_CPU_TRANSLATE_SHARED_H

#include <stdatomic.h>

#include "cpu/translate/library.h"

/* How often a unit is executed before the machine makes its own. */
enum { SHARED_HEAT = 4000 };

struct shared_page {
    uint32_t page, generation; /* the guest's; NO_PAGE: none took it yet */
    uint32_t live;             /* units */
    uint64_t retired;          /* the epoch since which all are dead; 0: it is not known yet */
};

struct shared {
    const struct library *library; /* NULL: none; all else is then */
    struct host_word *words;
    uint8_t *records;
    struct shared_page *pages;
    uint64_t code_bytes; /* of live units */
    uint64_t units;      /* taken, in all */
};

/* Maps it beside the code memory. -ESTALE: it is for other shared code; -EINVAL: no place; -errno.
 */
int shared_attach(struct shared *shared, const struct library *library,
                  const struct code_memory *memory, const struct host_runtime *runtime) MUST_CHECK;
void shared_release(struct shared *shared);

static inline bool shared_has(const struct shared *shared, uint32_t offset)
{
    return shared->library && offset >= LIBRARY_AT && offset < LIBRARY_WORDS_AT;
}

/* Whether the unit has been executed so often as is good. */
static inline bool shared_is_spent(const struct shared *shared, uint32_t unit)
{
    return atomic_load_explicit(&shared->words[unit].heat, memory_order_relaxed) < 0;
}

/* It may be executed as often again. */
void shared_renew(struct shared *shared, uint32_t unit);
/* The unit lives, or dies. */
void shared_opened(struct shared *shared, uint32_t unit);
void shared_closed(struct shared *shared, uint32_t unit);

#endif
