/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes pool`. */
#include "host/pool.h"

#include <errno.h>
#include <stdio.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/named.h"

enum { POOL_JSON = 1 };

static json_t *pool_json(const struct pool *pool)
{
    json_t *machines = json_array();

    for (size_t i = 0; i < pool->count; i++) {
        const struct pool_machine *m = &pool->machines[i];

        json_array_append_new(machines,
                              json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I}", "name", m->name,
                                        "pid", m->pid, "cpus", (int)m->cpus, "memory",
                                        (json_int_t)m->memory, "memory_min",
                                        (json_int_t)m->memory_min, "resident",
                                        (json_int_t)m->resident, "own", (json_int_t)m->own,
                                        "merged", (json_int_t)m->merged));
    }
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "cpus", (int)pool->cpus,
                     "memory", (json_int_t)pool->memory, "memory_available",
                     (json_int_t)pool->memory_available, "memory_reserve",
                     (json_int_t)pool->limits.memory_reserve, "memory_promised",
                     (json_int_t)pool->promised, "memory_granted", (json_int_t)pool->granted,
                     "memory_room", (json_int_t)pool_room(pool), "cpus_granted",
                     (json_int_t)pool->cpus_granted, "machines", machines);
}

static void pool_print(const struct pool *pool)
{
    char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX];

    printf("host        %u CPUs, %s of memory, %s of it available now, %s kept for the host\n",
           pool->cpus, size_format(pool->memory, a), size_format(pool->memory_available, b),
           size_format(pool->limits.memory_reserve, c));
    printf("promised    %s of memory to %zu machines that run\n", size_format(pool->promised, a),
           pool->count);
    printf("granted     %s of memory at the most, %llu CPUs\n", size_format(pool->granted, a),
           (unsigned long long)pool->cpus_granted);
    printf("used        %s by guests, %s by hospes\n", size_format(pool->resident, a),
           size_format(pool->own, b));
    if (pool->merged)
        printf("merged      %s of that are shared between guests\n", size_format(pool->merged, a));
    printf("room        %s can be promised to further machines\n", size_format(pool_room(pool), a));
    if (pool->count)
        printf("\n%-20s %4s %10s %10s %10s %10s\n", "NAME", "CPUS", "PROMISED", "MEMORY", "USED",
               "HOSPES");
    for (size_t i = 0; i < pool->count; i++) {
        const struct pool_machine *m = &pool->machines[i];
        char d[SIZE_TEXT_MAX];

        printf("%-20s %4u %10s %10s %10s %10s\n", m->name, m->cpus, size_format(m->memory_min, a),
               size_format(m->memory, b), size_format(m->resident, c), size_format(m->own, d));
    }
}

static int pool_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct registry registry = {0};
    struct pool pool = {0};
    bool json = false;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes pool --help",
                               walk.value);
        json = true;
    }
    if (kind < 0)
        return kind;
    r = registry_open(&registry, error);
    if (!r)
        r = pool_measure(&pool, &registry, error);
    if (!r && json)
        r = named_print_json(pool_json(&pool), error);
    else if (!r)
        pool_print(&pool);
    pool_release(&pool);
    registry_release(&registry);
    return r;
}

static const struct option pool_options[] = {
    {POOL_JSON, "--json", NULL, NULL, false, "print JSON"},
    {0},
};

static const struct example pool_examples[] = {
    {"hospes pool", "prints what the host has, what is promised and used, and what could be given"},
    {0},
};

const struct command command_pool = {
    .name = "pool",
    .summary = "tell what the host has, what is promised, used, and free",
    .usage = "pool [--json]",
    .about = "Of named machines. A machine is promised its '--memory-min', and may use up to its\n"
             "'--memory'. Limits come from ~/.config/hospes/pool.json and /etc/hospes/pool.json.",
    .options = pool_options,
    .examples = pool_examples,
    .run = pool_run,
};
