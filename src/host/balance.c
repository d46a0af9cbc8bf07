/* SPDX-License-Identifier: Apache-2.0 */
#include "host/balance.h"

#define MIB           (UINT64_C(1) << 20)
#define LEAST_MOVE    (16 * MIB)
#define LEAST_MARGIN  (64 * MIB)
#define BALLOON_GRAIN (2 * MIB)

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What its guest uses, and room to work in; a guest that tells nothing needs all that it has. */
static uint64_t needed(const struct balance_machine *m)
{
    uint64_t used;

    if (!m->told)
        return m->size;
    used = m->size - lesser(m->available, m->size);
    return lesser(m->max, greater(m->min, used + greater(used / 4, LEAST_MARGIN)));
}

static void move(struct balance_machine *m, uint64_t size, const char *reason)
{
    m->new_size = size / BALLOON_GRAIN * BALLOON_GRAIN;
    m->new_size = lesser(m->max, greater(m->min, m->new_size));
    m->reason = reason;
}

/* What can be taken from it down to `floor`. */
static uint64_t spare(const struct balance_machine *m, uint64_t floor)
{
    return m->new_size > floor ? m->new_size - floor : 0;
}

static uint64_t floor_of(const struct balance_machine *m, bool to_minimum)
{
    return to_minimum ? m->min : greater(m->min, needed(m));
}

/* Takes up to `want` bytes, from whoever has most to spare first. Returns what is still wanted. */
static uint64_t take(struct balance_machine *machines, size_t count, uint64_t want, bool to_minimum,
                     const char *reason)
{
    while (want) {
        struct balance_machine *richest = NULL;
        uint64_t most = LEAST_MOVE - 1, n;

        for (size_t i = 0; i < count; i++) {
            uint64_t has = spare(&machines[i], floor_of(&machines[i], to_minimum));

            if (has > most) {
                most = has;
                richest = &machines[i];
            }
        }
        if (!richest)
            return want;
        n = greater(lesser(most, want), LEAST_MOVE);
        move(richest, richest->new_size - n, reason);
        want -= lesser(want, n);
    }
    return 0;
}

static void relieve(const struct balance_host *host, struct balance_machine *machines, size_t count)
{
    uint64_t want =
        host->available < host->reserve ? host->reserve - host->available : host->reserve / 4;

    want = take(machines, count, want, false,
                "the host is short of memory, and its guest does not use this");
    take(machines, count, want, true,
         "the host is short of memory: down towards what it was promised");
}

/* Up to `budget` bytes to whoever needs more than it has. Returns what is left. */
static uint64_t feed(struct balance_machine *machines, size_t count, uint64_t budget)
{
    for (size_t i = 0; i < count; i++) {
        struct balance_machine *m = &machines[i];
        uint64_t before = m->new_size, need = needed(m);
        uint64_t n = need > before ? lesser(need - before, budget) : 0;

        if (n < LEAST_MOVE)
            continue;
        move(m, before + n, "its guest is short of memory");
        budget -= lesser(budget, m->new_size - before);
    }
    return budget;
}

/* What nobody needs is not kept back either. */
static void give_back(struct balance_machine *machines, size_t count, uint64_t budget)
{
    for (size_t i = 0; i < count; i++) {
        struct balance_machine *m = &machines[i];
        uint64_t n = lesser(m->max - m->new_size, budget);

        if (n < LEAST_MOVE)
            continue;
        budget -= n;
        if (m->reason)
            m->new_size = lesser(m->max, m->new_size + n);
        else
            move(m, m->new_size + n, "the host has memory to spare");
    }
}

/* B1, whatever else: by how much sizes grow in all. */
static uint64_t keep_promises(struct balance_machine *machines, size_t count)
{
    uint64_t grown = 0;

    for (size_t i = 0; i < count; i++) {
        struct balance_machine *m = &machines[i];

        m->new_size = lesser(m->max, greater(m->min, m->size));
        m->reason = NULL;
        if (m->new_size > m->size) {
            m->reason = "it is promised more";
            grown += m->new_size - m->size;
        } else if (m->new_size < m->size) {
            m->reason = "it may not have more";
        }
    }
    return grown;
}

size_t balance_plan(const struct balance_host *host, struct balance_machine *machines, size_t count)
{
    uint64_t promised = keep_promises(machines, count);
    size_t moves = 0;

    if (host->available < host->reserve || host->stalled) {
        relieve(host, machines, count);
    } else {
        uint64_t over = host->available - host->reserve;
        uint64_t left = feed(machines, count, over - lesser(over, promised));

        if (left > host->reserve)
            give_back(machines, count, left - host->reserve);
    }
    for (size_t i = 0; i < count; i++) {
        if (machines[i].new_size == machines[i].size)
            machines[i].reason = NULL;
        moves += machines[i].reason != NULL;
    }
    return moves;
}
