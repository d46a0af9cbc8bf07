/* SPDX-License-Identifier: Apache-2.0 */
#include "host/balance_cpus.h"

#define SHORT_PER_CENT 20.0
#define CALM_PER_CENT  5.0
/* Thousandths of a CPU, for each that it has. */
#define BUSY 700u
#define IDLE 500u

static bool is_short(const struct pressure *pressure)
{
    return pressure->recent > SHORT_PER_CENT;
}

static bool is_calm(const struct pressure *pressure)
{
    return pressure->recent < CALM_PER_CENT && pressure->minute < CALM_PER_CENT;
}

static void move(struct balance_cpus *m, unsigned online, const char *reason)
{
    m->new_online = online;
    m->reason = reason;
}

static void machine_plan(const struct pressure *pressure, struct balance_cpus *m)
{
    m->new_online = m->online;
    m->reason = NULL;
    if (m->online < m->min)
        move(m, m->min, "it is promised more");
    else if (m->online > m->max)
        move(m, m->max, "it may not have more");
    else if (!m->told || m->running < m->online)
        return;
    else if (m->online < m->max && m->wanted > (uint64_t)m->online * BUSY)
        move(m, m->online + 1, "its CPUs are busy");
    else if (m->online < m->max && is_calm(pressure))
        move(m, m->online + 1, "the host has CPUs to spare");
    else if (m->online > m->min && is_short(pressure) &&
             m->wanted < (uint64_t)(m->online - 1) * IDLE)
        move(m, m->online - 1, "the host is short of CPUs, and its guest does not use this one");
}

size_t balance_cpus_plan(const struct pressure *pressure, struct balance_cpus *machines,
                         size_t count)
{
    size_t moves = 0;

    for (size_t i = 0; i < count; i++) {
        machine_plan(pressure, &machines[i]);
        moves += machines[i].reason != NULL;
    }
    return moves;
}
