/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy that moves memory between running machines, within what each was promised and what it
 * may have. balance_plan() only thinks; who asks the machines and does what it says is
 * `hospes balance`.
 *
 * A machine has a size: what its guest may use at the moment, the rest being in its balloon. Its
 * guest needs what it uses and a quarter more (at least 64 MiB or an eighth of its memory), so that
 * it can work between two looks, and gets by with a quarter of that margin; what it says of its use
 * is believed only as far as its own size goes, and not while it starts: what a guest uses in the
 * middle of its boot is no measure of anything.
 *
 *   B1  Every size stays between the machine's minimum and its memory. One that does not, as when
 *       its minimum was raised, is put there before all else, however short the host is.
 *
 *   B2  When the host has less available than its reserve, or stalls for memory (PSI), translated
 *       code goes first, of each machine what was translated longest ago: it can be made again.
 *       Then sizes go down: first to what guests need, those with most to spare first, then to
 *       what they get by with, then to their minimums, which comes last since a guest that has
 *       less than it uses does little else than look for memory. Machines of which nothing is
 *       known yet come last of all. No machine grows beyond its minimum meanwhile.
 *
 *       What a machine was asked for some seconds ago counts as given back: nobody else is asked
 * for the same.
 *
 *   B3  Else a guest that needs more than its size grows, and what the host has beyond twice its
 *       reserve is given back to machines whose size is below their memory.
 *
 *   B4  Moves of less than 16 MiB are not made, but for B1.
 *
 *   B5  A machine that starts takes all of its memory soon, before its guest has a balloon. What
 *       it has not taken yet counts as taken. Before it starts, room is made for that of what the
 *       others do not need; for its minimum, as in B2.
 */
#ifndef HOSPES_HOST_BALANCE_H
#define HOSPES_HOST_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct balance_host {
    uint64_t available; /* bytes that the host could give without swapping (MemAvailable) */
    uint64_t reserve;   /* that it is to keep */
    bool stalled;       /* tasks of the host wait for memory */
};

/* In bytes. */
struct balance_machine {
    const char *name;
    uint64_t min, max; /* what it was promised; its memory */
    uint64_t size; /* now; what is asked of its balloon, whether the guest has followed or not */
    uint64_t resident; /* that the host holds for it */
    bool moved;        /* just now: what it holds beyond its size is on its way back */
    bool starting;     /* not long ago: its guest takes what it has not taken yet */
    bool told;         /* the guest told: */
    uint64_t used;     /* what it cannot do without, at the moment */
    uint64_t code;     /* that it would give back if it were asked to (machine.trim) */

    uint64_t new_size;
    const char *reason; /* static; NULL: it stays as it is */
    bool drop_code;     /* it is asked to */
};

/* Fills new_size, reason and drop_code of each. Returns how many are to do anything. */
size_t balance_plan(const struct balance_host *host, struct balance_machine *machines,
                    size_t count);
/* The same before one more starts, of so many bytes and with such a promise (B1, B5). */
size_t balance_plan_room(const struct balance_host *host, uint64_t memory, uint64_t memory_min,
                         struct balance_machine *machines, size_t count);

#endif
