/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host as one pool: what it has, what its running named machines were promised, what they use,
 * and whether one more can be given its minimum. Read anew each time from the kernel and from the
 * machines' directories; nothing keeps count, so that no killed process can make the count wrong.
 *
 * A machine is promised its minimum of memory (record.memory_min) and may use up to its memory. The
 * sum of the minimums of all that run is never more than the host has less its reserve (P1): a
 * machine for which it would be is not started. What lies between minimum and memory is given as
 * there is room (balance.h).
 *
 * CPUs are shared in time, and a promise of them (record.cpus_min) takes none from anybody: the
 * host may have fewer than are promised. So a limit counts all CPUs of a machine, which it may use
 * whenever it wants to, and nobody is refused for the promise.
 *
 * Limits of the user are in quota.h.
 */
#ifndef HOSPES_HOST_POOL_H
#define HOSPES_HOST_POOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/quota.h"
#include "host/record.h"
#include "host/registry.h"

/* One machine that runs. */
struct pool_machine {
    char *name; /* owned */
    int pid;    /* 0: it begins or ends */
    unsigned cpus, cpus_min;
    uint64_t memory, memory_min; /* bytes */
    uint64_t memory_max;         /* that it can be given while it runs, if there is room */
    uint64_t resident;           /* guest memory that the host holds; shared pages count for each */
    uint64_t own;                /* of the process beside that */
    uint64_t shared, anonymous;  /* what the kernel counts of each, shared once a mapping */
    bool merging;                /* its pages may be merged, with those of this domain: */
    char *merge_domain;          /* owned; NULL: of those without one */
    uint64_t merged;             /* bytes that it shares with others by that */
};

struct pool {
    uint64_t memory,
        memory_available; /* bytes, as the host and control groups allow (base/host.h) */
    unsigned cpus;        /* that this process may use */
    struct pool_limits limits;
    struct pool_machine *machines; /* owned */
    size_t count;
    uint64_t promised, granted; /* sums of minimums and of memory */
    uint64_t resident, own, merged;
    uint64_t cpus_promised, cpus_granted;
    uint64_t disk; /* sum of the sizes of all machines' own disks, whether they run or not */
};

int pool_measure(struct pool *pool, const struct registry *registry,
                 struct error *error) MUST_CHECK;
/* Whose the memory of a machine's process is: *guest's, or hospes's *own. `shared` and `anonymous`
 * are what the kernel counts, `info` what the machine answered to machine.info, NULL for nothing.
 * The kernel counts a shared page as often as it is mapped, which windows of the translator do; so
 * what is told is believed if it is less. */
void pool_split(uint64_t shared, uint64_t anonymous, bool merging, const json_t *info,
                uint64_t *guest, uint64_t *own);
/* The machine, one of the pool's, answered so. */
void pool_hear(struct pool *pool, struct pool_machine *machine, const json_t *info);
void pool_release(struct pool *pool);
/* How much more could be promised. */
uint64_t pool_room(const struct pool *pool);
/* Whether the machine, which is not in the pool, could be started beside those that are: 0, or with
 * the numbers -EDQUOT where a limit of pool.json is in the way, -ENOMEM where the host's memory. */
int pool_admit(const struct pool *pool, const struct record *record,
               struct error *error) MUST_CHECK;

/* Whether a machine with a disk of so many bytes may be made: 0, or with the numbers -EDQUOT. */
int pool_admit_disk(const struct pool *pool, uint64_t size, struct error *error) MUST_CHECK;

/* As pool_admit() for one that is, and is to be as `record` says. */
int pool_admit_change(const struct pool *pool, const struct record *record,
                      struct error *error) MUST_CHECK;

/* Whether the machine's pages may be offered for merging. The host's kernel merges any two pages of
 * those that are offered, and who can tell merged pages by the time that a write to them takes
 * learns what is in the other's memory: so machines of two domains never merge at once (P2).
 * *other: a machine of another domain, if not. */
bool pool_may_merge(const struct pool *pool, const struct record *record, const char **other);

/* Held while somebody decides whether a machine may run and until that shows by the machine's
 * lock: *fd, to be closed. Waits for others. */
int pool_lock(const struct registry *registry, int *fd, struct error *error) MUST_CHECK;

#endif
