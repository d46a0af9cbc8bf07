/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes pool`. */
#include "host/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli/balance.h"
#include "cli/command.h"
#include "cli/machine_options.h"
#include "cli/named.h"
#include "cli/spec.h"
#include "host/control.h"
#include "host/record.h"

enum { ASK_MS = 500 };
enum { POOL_JSON = 1, POOL_CPUS, POOL_CPUS_MIN, POOL_MEMORY, POOL_MEMORY_MIN };

static uint64_t used_of(const struct pool *pool, enum quota quota)
{
    const uint64_t used[] = {[QUOTA_MEMORY] = pool->promised,
                             [QUOTA_CPUS] = pool->cpus_granted,
                             [QUOTA_MACHINES] = pool->count,
                             [QUOTA_DISK] = pool->disk};

    return used[quota];
}

/* What is limited, and by whose word; nothing of what is not. */
static json_t *limits_json(const struct pool *pool)
{
    json_t *limits = json_object();

    for (enum quota i = 0; i < QUOTA_COUNT; i++)
        if (quota_limit(&pool->limits, i) != UINT64_MAX)
            json_object_set_new(limits, quota_name(i),
                                json_pack("{s:I, s:I, s:s}", "limit",
                                          (json_int_t)quota_limit(&pool->limits, i), "used",
                                          (json_int_t)used_of(pool, i), "by",
                                          quota_by(&pool->limits, i)));
    return limits;
}

static void limits_print(const struct pool *pool)
{
    static const char *const what[] = {[QUOTA_MEMORY] = "of memory promised",
                                       [QUOTA_CPUS] = "CPUs",
                                       [QUOTA_MACHINES] = "machines that run",
                                       [QUOTA_DISK] = "of disks"};
    const char *head = "limits";

    for (enum quota i = 0; i < QUOTA_COUNT; i++) {
        uint64_t limit = quota_limit(&pool->limits, i), used = used_of(pool, i);
        char a[32], b[32];

        if (limit == UINT64_MAX)
            continue;
        if (i == QUOTA_CPUS || i == QUOTA_MACHINES) {
            snprintf(a, sizeof(a), "%llu", (unsigned long long)used);
            snprintf(b, sizeof(b), "%llu", (unsigned long long)limit);
        } else {
            size_format(used, a);
            size_format(limit, b);
        }
        printf("%-11s %s of %s %s (%s)\n", head, a, b, what[i], quota_by(&pool->limits, i));
        head = "";
    }
}

static json_t *pool_json(const struct pool *pool)
{
    json_t *machines = json_array();

    for (size_t i = 0; i < pool->count; i++) {
        const struct pool_machine *m = &pool->machines[i];

        json_array_append_new(
            machines,
            json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "name", m->name, "pid",
                      m->pid, "cpus", (int)m->cpus, "cpus_min", (int)m->cpus_min, "memory",
                      (json_int_t)m->memory, "memory_min", (json_int_t)m->memory_min, "memory_max",
                      (json_int_t)m->memory_max, "resident", (json_int_t)m->resident, "own",
                      (json_int_t)m->own, "merged", (json_int_t)m->merged));
    }
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "cpus",
                     (int)pool->cpus, "memory", (json_int_t)pool->memory, "memory_available",
                     (json_int_t)pool->memory_available, "memory_reserve",
                     (json_int_t)pool->limits.memory_reserve, "memory_promised",
                     (json_int_t)pool->promised, "memory_granted", (json_int_t)pool->granted,
                     "memory_room", (json_int_t)pool_room(pool), "cpus_granted",
                     (json_int_t)pool->cpus_granted, "cpus_promised",
                     (json_int_t)pool->cpus_promised, "disk", (json_int_t)pool->disk, "limits",
                     limits_json(pool), "machines", machines);
}

static void pool_print(const struct pool *pool)
{
    char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX];

    printf("host        %u CPUs, %s of memory, %s of it available now, %s kept for the host\n",
           pool->cpus, size_format(pool->memory, a), size_format(pool->memory_available, b),
           size_format(pool->limits.memory_reserve, c));
    printf("promised    %s of memory and %llu CPUs to %zu machines that run\n",
           size_format(pool->promised, a), (unsigned long long)pool->cpus_promised, pool->count);
    printf("granted     %s of memory at the most, %llu CPUs\n", size_format(pool->granted, a),
           (unsigned long long)pool->cpus_granted);
    printf("used        %s by guests, %s by hospes\n", size_format(pool->resident, a),
           size_format(pool->own, b));
    if (pool->merged)
        printf("merged      %s of that are shared between guests\n", size_format(pool->merged, a));
    printf("room        %s can be promised to further machines\n", size_format(pool_room(pool), a));
    limits_print(pool);
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

/* ---- plan ---- */

/* `hospes pool plan`: a machine that there may be, and what is said of it. 0: nothing. */
struct plan {
    bool wanted;
    const char *name;
    unsigned cpus, cpus_min;
    uint64_t memory, memory_min;
};

static int plan_record(const struct plan *plan, const struct registry *registry,
                       struct record *record, struct error *error)
{
    struct machine_description *d = &record->description;
    bool is_there = !registry_check(registry, plan->name, NULL);
    int r = is_there ? record_read(registry, plan->name, record, error)
                     : registry_name_check(plan->name, error);

    if (!r && !is_there)
        r = machine_option_text(&d->name, plan->name, error);
    if (r)
        return r;
    if (plan->cpus)
        d->cpus = plan->cpus;
    if (plan->cpus_min)
        record->cpus_min = plan->cpus_min;
    if (plan->memory)
        d->memory = plan->memory;
    if (d->memory_max && d->memory > d->memory_max)
        d->memory_max = d->memory;
    if (plan->memory_min)
        record->memory_min = plan->memory_min;
    return record_check_promise(record, error);
}

/* What is moved when it starts. */
static int plan_moves(const struct registry *registry, const struct pool *pool,
                      const struct record *record, struct error *error)
{
    struct balance_machine *machines = NULL;
    struct balance_host host;
    size_t count, moves;
    int r = balance_look(registry, pool, &host, &machines, &count, error);

    if (r)
        return r;
    moves = balance_plan_room(&host, record->description.memory, record_memory_min(record),
                              machines, count);
    for (size_t i = 0; i < count; i++)
        balance_print_moves("moves       ", &machines[i], "");
    if (!moves)
        printf("moves       none\n");
    free(machines);
    return 0;
}

static int plan_print(const struct plan *plan, const struct registry *registry,
                      const struct pool *pool, struct error *error)
{
    char promise[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX], room[SIZE_TEXT_MAX];
    struct record record;
    int r;

    record_init(&record);
    r = plan_record(plan, registry, &record, error);
    /* It may run already. */
    if (!r)
        r = pool_admit_change(pool, &record, error);
    if (!r) {
        printf(
            "fits        \"%s\" is promised %s of %s and %u of %u CPUs; %s can be promised now\n",
            plan->name, size_format(record_memory_min(&record), promise),
            size_format(record.description.memory, most), record_cpus_min(&record),
            record.description.cpus, size_format(pool_room(pool), room));
        if (!registry_is_locked(registry, plan->name))
            r = plan_moves(registry, pool, &record, error);
    }
    record_release(&record);
    return r;
}

/* ---- the command ---- */

static int plan_operand(struct plan *plan, const char *word, struct error *error)
{
    if (!plan->wanted && !strcmp(word, "plan")) {
        plan->wanted = true;
        return 0;
    }
    if (!plan->wanted || plan->name)
        return error_usage(error, "unexpected argument \"%s\"; see: hospes pool --help", word);
    plan->name = word;
    return 0;
}

static int plan_option(struct plan *plan, const struct option_walk *walk, struct error *error)
{
    struct machine_description d = {0};
    int r;

    switch (walk->option->id) {
    case POOL_CPUS:
        return option_number(walk, 1, MACHINE_CPUS_MAX, &plan->cpus, error);
    case POOL_CPUS_MIN:
        return option_number(walk, 1, MACHINE_CPUS_MAX, &plan->cpus_min, error);
    case POOL_MEMORY_MIN:
        return spec_bytes(walk, &plan->memory_min, error);
    default:
        r = spec_memory(walk->value, &d, error);
        plan->memory = d.memory;
        return r;
    }
}

static int pool_parse(int argc, char **argv, const struct command *command, bool *json,
                      struct plan *plan, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    bool options = false;
    int kind, r = 0;

    while (!r && (kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            r = plan_operand(plan, walk.value, error);
        else if (walk.option->id == POOL_JSON)
            *json = true;
        else
            options = true, r = plan_option(plan, &walk, error);
    }
    if (r || kind)
        return r ? r : kind;
    if (options && !plan->wanted)
        return error_usage(error, "these options go with: hospes pool plan NAME");
    if (plan->wanted && (!plan->name || *json))
        return error_usage(error, "give a name and no '--json', as in: hospes pool plan web "
                                  "--memory 4G");
    return 0;
}

static int pool_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct registry registry = {0};
    struct pool pool = {0};
    struct plan plan = {0};
    bool json = false;
    int r = pool_parse(argc, argv, command, &json, &plan, error);

    if (!r)
        r = registry_open(&registry, error);
    if (!r)
        r = pool_measure(&pool, &registry, error);
    for (size_t i = 0; !r && !plan.wanted && i < pool.count; i++) {
        json_t *info =
            control_ask(&registry, pool.machines[i].name, "machine.info", NULL, ASK_MS, NULL);

        pool_hear(&pool, &pool.machines[i], info);
        json_decref(info);
    }
    if (!r && plan.wanted)
        r = plan_print(&plan, &registry, &pool, error);
    else if (!r && json)
        r = named_print_json(pool_json(&pool), error);
    else if (!r)
        pool_print(&pool);
    pool_release(&pool);
    registry_release(&registry);
    return r;
}

static const struct option pool_options[] = {
    {POOL_JSON, "--json", NULL, NULL, false, "print JSON"},
    {POOL_CPUS, "--cpus", NULL, "N", false, "plan: with so many CPUs (the machine's, or 2)"},
    {POOL_CPUS_MIN, "--cpus-min", NULL, "N", false,
     "plan: promised so many of them (the machine's, or all of them)"},
    {POOL_MEMORY, "--memory", NULL, "SIZE", false,
     "plan: with so much memory (the machine's, or 1G)"},
    {POOL_MEMORY_MIN, "--memory-min", NULL, "SIZE", false,
     "plan: promised so much of it (the machine's, or all of it)"},
    {0},
};

static const struct example pool_examples[] = {
    {"hospes pool", "prints what the host has, what is promised and used, and what could be given"},
    {"hospes pool plan web2 --memory 4G",
     "tells whether such a machine could be started, and what would be moved for it"},
    {0},
};

const struct command command_pool = {
    .name = "pool",
    .summary = "tell what the host has, what is promised, used, and free",
    .usage = "pool [--json]\npool plan NAME [OPTION]...",
    .about =
        "Of named machines. A machine is promised its '--memory-min', and may use up to its\n"
        "'--memory'; likewise '--cpus-min' and '--cpus', of which limits count all: CPUs are\n"
        "shared in time. Limits come from ~/.config/hospes/pool.json and /etc/hospes/pool.json,\n"
        "which has those of users: see hospes-pool(1).\n"
        "'plan' asks whether a machine, which there may be or not, could be started.",
    .options = pool_options,
    .examples = pool_examples,
    .run = pool_run,
};
