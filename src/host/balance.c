/* SPDX-License-Identifier: Apache-2.0 */
#include "host/balance.h"

#include "base/bits.h"

#define MIB           (UINT64_C(1) << 20)
#define LEAST_MOVE    (16 * MIB)
#define LEAST_CODE    (1 * MIB)
#define LEAST_MARGIN  (64 * MIB)
#define BALLOON_GRAIN (2 * MIB)

/* How far down a machine may go. */
enum floor {
    FLOOR_NEED,
    FLOOR_USE,
    FLOOR_PROMISE,
    FLOOR_UNKNOWN, /* those too that would lose it while they begin */
};

static bool is_known(const struct balance_machine *m)
{
    return m->told && !m->starting;
}

/* What its guest uses, and room to work in; one of which nothing is known needs all that it has. */
static uint64_t needed(const struct balance_machine *m, enum floor floor)
{
    uint64_t used = lesser(m->used, m->size), margin;

    if (!is_known(m))
        return m->size;
    margin = greater(used / 4, lesser(LEAST_MARGIN, m->max / 8));
    if (floor == FLOOR_USE)
        margin /= 4;
    return lesser(m->max, greater(m->min, used + margin));
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

static uint64_t floor_of(const struct balance_machine *m, enum floor floor)
{
    if (floor == FLOOR_UNKNOWN || (floor == FLOOR_PROMISE && is_known(m)))
        return m->min;
    return greater(m->min, needed(m, floor));
}

/* Takes up to `want` bytes, from whoever has most to spare first. Returns what is still wanted. */
static uint64_t take(struct balance_machine *machines, size_t count, uint64_t want,
                     enum floor floor)
{
    static const char *const reasons[] = {
        [FLOOR_NEED] = "the host is short of memory, and its guest does not use this",
        [FLOOR_USE] = "the host is short of memory, and its guest gets by without this",
        [FLOOR_PROMISE] = "the host is short of memory: down towards what it was promised",
        [FLOOR_UNKNOWN] = "the host is short of memory: down towards what it was promised",
    };

    while (want) {
        struct balance_machine *richest = NULL;
        uint64_t most = LEAST_MOVE - 1, n;

        for (size_t i = 0; i < count; i++) {
            uint64_t has = spare(&machines[i], floor_of(&machines[i], floor));

            if (has > most) {
                most = has;
                richest = &machines[i];
            }
        }
        if (!richest)
            return want;
        n = greater(lesser(most, want), LEAST_MOVE);
        move(richest, richest->new_size - n, reasons[floor]);
        want -= lesser(want, n);
    }
    return 0;
}

/* Returns what is still wanted. */
static uint64_t drop_code(struct balance_machine *machines, size_t count, uint64_t want)
{
    for (size_t i = 0; i < count && want; i++) {
        struct balance_machine *m = &machines[i];

        m->drop_code = m->code >= LEAST_CODE;
        if (m->drop_code)
            want -= lesser(want, m->code);
    }
    return want;
}

static void relieve(const struct balance_host *host, struct balance_machine *machines, size_t count)
{
    uint64_t want =
        host->available < host->reserve ? host->reserve - host->available : host->reserve / 4;

    want = drop_code(machines, count, want);
    for (enum floor floor = FLOOR_NEED; floor <= FLOOR_UNKNOWN; floor++)
        want = take(machines, count, want, floor);
}

/* Up to `budget` bytes to whoever needs more than it has. Returns what is left. */
static uint64_t feed(struct balance_machine *machines, size_t count, uint64_t budget)
{
    for (size_t i = 0; i < count; i++) {
        struct balance_machine *m = &machines[i];
        uint64_t before = m->new_size, need = needed(m, FLOOR_NEED);
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
        m->drop_code = false;
        if (m->new_size > m->size) {
            m->reason = "it is promised more";
            grown += m->new_size - m->size;
        } else if (m->new_size < m->size) {
            m->reason = "it may not have more";
        }
    }
    return grown;
}

/* With what those that start have not taken yet (B5), and what those that were moved give back. */
static struct balance_host as_expected(const struct balance_host *host,
                                       const struct balance_machine *machines, size_t count)
{
    struct balance_host expected = *host;

    for (size_t i = 0; i < count; i++) {
        const struct balance_machine *m = &machines[i];

        if (m->starting && m->size > m->resident)
            expected.available -= lesser(expected.available, m->size - m->resident);
        if (m->moved && m->resident > m->size)
            expected.available += m->resident - m->size;
    }
    return expected;
}

static size_t count_moves(struct balance_machine *machines, size_t count)
{
    size_t moves = 0;

    for (size_t i = 0; i < count; i++) {
        if (machines[i].new_size == machines[i].size)
            machines[i].reason = NULL;
        moves += machines[i].reason || machines[i].drop_code;
    }
    return moves;
}

size_t balance_plan(const struct balance_host *host, struct balance_machine *machines, size_t count)
{
    const struct balance_host expected = as_expected(host, machines, count);
    uint64_t promised = keep_promises(machines, count);

    if (expected.available < host->reserve || host->stalled) {
        relieve(&expected, machines, count);
    } else {
        uint64_t over = expected.available - host->reserve;
        uint64_t left = feed(machines, count, over - lesser(over, promised));

        if (left > host->reserve)
            give_back(machines, count, left - host->reserve);
    }
    return count_moves(machines, count);
}

/* What is missing for so much more. */
static uint64_t lack(const struct balance_host *host, uint64_t more)
{
    uint64_t want = host->reserve + more;

    return want - lesser(want, host->available);
}

size_t balance_plan_room(const struct balance_host *host, uint64_t memory, uint64_t memory_min,
                         struct balance_machine *machines, size_t count)
{
    const struct balance_host expected = as_expected(host, machines, count);
    uint64_t want = lack(&expected, memory), taken, least;

    keep_promises(machines, count);
    taken = want - take(machines, count, drop_code(machines, count, want), FLOOR_NEED);
    least = lack(&expected, memory_min);
    least -= lesser(least, taken);
    for (enum floor floor = FLOOR_USE; floor <= FLOOR_UNKNOWN; floor++)
        least = take(machines, count, least, floor);
    return count_moves(machines, count);
}
