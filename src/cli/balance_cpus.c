/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/balance_cpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "cli/say.h"
#include "host/agent_cpus.h"
#include "host/balance_cpus.h"
#include "host/control.h"
#include "host/cpu_time.h"
#include "host/state.h"
#include "image/file.h"

enum { ASK_MS = 1000 };
/* Between two looks at the least. */
#define LOOK_NS UINT64_C(1000000000)

/* A guest that does not answer is not to keep the others waiting: so long, and not at each turn. */
enum { AGENT_OPEN_MS = 1000, AGENT_CALL_MS = 2000, REST_TURNS = 6 };
/* Longer than this is long, whatever comes of it. */
#define SLOW_NS UINT64_C(2000000000)

/* ---- looks ---- */

static const struct cpus_look *look_find(const struct cpus_memory *memory, const char *name)
{
    for (size_t i = 0; i < memory->count; i++)
        if (!strcmp(memory->looks[i].name, name))
            return &memory->looks[i];
    return NULL;
}

static bool is_movable(const struct pool_machine *machine)
{
    return machine->pid && machine->cpus_min < machine->cpus;
}

/* At all machines of the pool, in its order. */
static int looks_take(const struct pool *pool, const struct cpus_memory *before,
                      struct cpus_memory *now, struct error *error)
{
    *now = (struct cpus_memory){calloc(pool->count + 1, sizeof(*now->looks)), pool->count};
    if (!now->looks)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < pool->count; i++) {
        const struct pool_machine *machine = &pool->machines[i];
        const struct cpus_look *last = look_find(before, machine->name);
        struct cpus_look *look = &now->looks[i];

        snprintf(look->name, sizeof(look->name), "%s", machine->name);
        look->resting = last && last->resting ? last->resting - 1 : 0;
        look->at_ns = monotonic_ns();
        if (is_movable(machine) && !cpu_time_wanted(machine->pid, &look->wanted_ns))
            look->pid = machine->pid;
    }
    return 0;
}

/* In thousandths of a CPU. False: of another process, or of none. */
static bool look_compare(const struct cpus_look *before, const struct cpus_look *now,
                         uint64_t *wanted)
{
    if (!before || !now->pid || before->pid != now->pid || now->wanted_ns < before->wanted_ns ||
        now->at_ns <= before->at_ns)
        return false;
    *wanted = (now->wanted_ns - before->wanted_ns) / ((now->at_ns - before->at_ns) / 1000 + 1);
    return true;
}

static unsigned cpus_of(const json_t *info, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(info, key));

    return number > 0 && number <= MACHINE_CPUS_MAX ? (unsigned)number : 0;
}

/* False: the machine is left alone. It does not answer, is paused, or has nobody in it who would do
 * as told. What it may have is by the record, and not by its process's word. */
static bool machine_look(const struct registry *registry, const struct pool_machine *from,
                         struct balance_cpus *machine)
{
    json_t *info = is_movable(from)
                       ? control_ask(registry, from->name, "machine.info", NULL, ASK_MS, NULL)
                       : NULL;
    const char *state = json_string_value(json_object_get(info, "state"));
    bool follows = state && !strcmp(state, "running") &&
                   json_is_true(json_object_get(info, "agent")) &&
                   !json_object_get(json_object_get(info, "description"), "firmware");

    *machine = (struct balance_cpus){.name = from->name,
                                     .min = from->cpus_min,
                                     .max = from->cpus,
                                     .online = cpus_of(info, "cpus_online"),
                                     .running = cpus_of(info, "cpus_running")};
    json_decref(info);
    return follows && machine->online;
}

/* ---- moves ---- */

static int guest_set(const struct registry *registry, const char *name, unsigned cpus,
                     struct error *error)
{
    CLEANUP(text_free) char *path = registry_run_path(registry, name, "agent");
    struct agent agent;
    int r = path ? registry_check_run(registry, error) : error_set(error, ENOMEM, "out of memory");

    if (!r)
        r = agent_open(&agent, path, AGENT_OPEN_MS, error);
    if (r)
        return r;
    r = agent_set_cpus(&agent, cpus, AGENT_CALL_MS, error);
    agent_close(&agent);
    return r;
}

static int limit_set(const struct registry *registry, const char *name, unsigned cpus,
                     const char *reason, struct error *error)
{
    CLEANUP(error_release) struct error found = ERROR_INIT;
    json_t *result =
        control_ask(registry, name, "machine.set",
                    json_pack("{s:i, s:s}", "cpus_online", (int)cpus, "reason", reason), ASK_MS,
                    &found);
    bool is_set = result != NULL && !found.message;

    json_decref(result);
    return is_set ? 0 : error_set(error, EIO, "%s", found.message ? found.message : "no answer");
}

/* A CPU that comes is started once it may. */
static int machine_grow(const struct registry *registry, const struct balance_cpus *m,
                        struct error *error)
{
    int r = limit_set(registry, m->name, m->new_online, m->reason, error);

    if (r)
        return r;
    r = guest_set(registry, m->name, m->new_online, error);
    /* Else it would look as if the guest itself had stopped one. */
    if (r && limit_set(registry, m->name, m->online, "its guest did not follow", NULL))
        error_wrap(error, "it may have %u CPUs now", m->new_online);
    return r;
}

/* And one that goes is stopped before it may not run. */
static int machine_shrink(const struct registry *registry, const struct balance_cpus *m,
                          struct error *error)
{
    int r = guest_set(registry, m->name, m->new_online, error);

    if (r)
        return r;
    r = limit_set(registry, m->name, m->new_online, m->reason, error);
    if (r && guest_set(registry, m->name, m->online, NULL))
        error_wrap(error, "its guest has %u CPUs now", m->new_online);
    return r;
}

/* False: it was not moved. */
static bool move_tell(const struct registry *registry, const struct balance_cpus *m, bool dry_run)
{
    CLEANUP(error_release) struct error error = ERROR_INIT;
    char now[STATE_TIME_SIZE];

    state_time(now);
    printf("%s %s: goes from %u to %u CPUs: %s%s\n", now, m->name, m->online, m->new_online,
           m->reason, dry_run ? " (not done)" : "");
    if (dry_run || !(m->new_online > m->online ? machine_grow(registry, m, &error)
                                               : machine_shrink(registry, m, &error)))
        return true;
    printf("%s %s: not moved: ", now, m->name);
    say_foreign(stdout, error.message ? error.message : "no answer");
    putchar('\n');
    return false;
}

/* ---- a turn ---- */

/* `now` is of the pool's machines, in their order. */
static int turn(const struct cpus_memory *before, struct cpus_memory *now,
                const struct registry *registry, const struct pool *pool,
                const struct pressure *pressure, bool dry_run, size_t *moves, size_t *refused,
                struct error *error)
{
    struct balance_cpus *machines = calloc(pool->count + 1, sizeof(*machines));
    struct cpus_look **looks = calloc(pool->count + 1, sizeof(struct cpus_look *));
    size_t count = 0;

    if (!machines || !looks) {
        free(machines);
        free(looks);
        return error_set(error, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < pool->count; i++) {
        struct cpus_look *look = &now->looks[i];
        struct balance_cpus *machine = &machines[count];

        if (look->resting || !machine_look(registry, &pool->machines[i], machine))
            continue;
        machine->told = look_compare(look_find(before, look->name), look, &machine->wanted);
        looks[count++] = look;
    }
    *moves += balance_cpus_plan(pressure, machines, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = monotonic_ns();
        bool moved = !machines[i].reason || move_tell(registry, &machines[i], dry_run);

        *refused += !moved;
        if (!moved || monotonic_ns() - begin > SLOW_NS)
            looks[i]->resting = REST_TURNS;
    }
    free(machines);
    free(looks);
    return 0;
}

static void wait_until(uint64_t ns)
{
    uint64_t now = monotonic_ns(), left = ns > now ? ns - now : 0;
    const struct timespec pause = {(time_t)(left / 1000000000), (long)(left % 1000000000)};

    nanosleep(&pause, NULL);
}

int balance_cpus_turn(struct cpus_memory *memory, const struct registry *registry,
                      const struct pool *pool, bool dry_run, size_t *moves, size_t *refused,
                      struct error *error)
{
    struct pressure pressure;
    struct cpus_memory now;
    bool first = !memory->looks;
    uint64_t begin = monotonic_ns();
    size_t movable = 0;
    int r = 0;

    for (size_t i = 0; i < pool->count; i++)
        movable += is_movable(&pool->machines[i]);
    if (!movable)
        return 0;
    if (first)
        r = looks_take(pool, &(const struct cpus_memory){0}, memory, error);
    if (!r)
        r = pressure_measure(&pressure, error);
    if (!r && first)
        wait_until(begin + LOOK_NS);
    if (!r)
        r = looks_take(pool, memory, &now, error);
    if (r)
        return r;
    r = turn(memory, &now, registry, pool, &pressure, dry_run, moves, refused, error);
    cpus_memory_release(memory);
    *memory = now;
    return r;
}

void cpus_memory_release(struct cpus_memory *memory)
{
    free(memory->looks);
    *memory = (struct cpus_memory){0};
}
