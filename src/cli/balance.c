/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes balance`: asks machines, thinks (host/balance.h), and moves memory; CPUs then. */
#include "cli/balance.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/host.h"
#include "base/size.h"
#include "cli/balance_cpus.h"
#include "cli/command.h"
#include "cli/named.h"
#include "cli/say.h"
#include "host/control.h"
#include "host/pressure.h"
#include "image/child.h"

enum { BALANCE_DRY_RUN = 1, BALANCE_SERVICE, BALANCE_INTERVAL };
enum { ASK_MS = 1000, SHORT_SECONDS = 3, STARTING_SECONDS = 30, MOVING_MS = 5000 };

/* Some task of the host waited for memory in more than so many per cent of the last 10 s. */
#define STALL_PER_CENT 5.0
/* How long guests are given to answer what they were just asked. */
#define ANSWER_NS 300000000
/* What a guest told longer ago than this is no longer believed: it was asked just now, and one that
 * has not answered since may do something else entirely. */
#define AGE_MS_MAX 5000

struct balance {
    struct registry registry;
    bool dry_run, service;
    unsigned interval; /* seconds */
    uint64_t reserve;  /* of the host, as of the last turn */
    struct cpus_memory cpus;
};

static uint64_t number_of(const json_t *json, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(json, key));

    return number > 0 ? (uint64_t)number : 0;
}

/* Has its guest asked. */
static void machine_ask(const struct registry *registry, const struct pool_machine *from)
{
    json_decref(control_ask(registry, from->name, "machine.statistics", NULL, ASK_MS, NULL));
}

/* Until its agent is there, which comes at the end of a boot, and half a minute at the most. */
static bool is_starting(const json_t *info)
{
    const char *since = json_string_value(json_object_get(info, "since"));
    struct tm utc = {0};

    return !json_is_true(json_object_get(info, "agent")) && since &&
           strptime(since, "%Y-%m-%dT%H:%M:%S", &utc) &&
           time(NULL) < timegm(&utc) + STARTING_SECONDS;
}

/* False: the machine is left alone. It does not answer; or it is paused, so that its balloon cannot
 * follow and its guest has told nothing since. */
static bool machine_look(const struct registry *registry, const struct pool_machine *from,
                         struct balance_machine *machine)
{
    json_t *info = control_ask(registry, from->name, "machine.info", NULL, ASK_MS, NULL);
    const char *state = json_string_value(json_object_get(info, "state"));
    const json_t *memory = json_object_get(info, "memory");
    const json_t *guest = json_object_get(memory, "guest");
    bool fresh = json_object_get(guest, "used") && number_of(guest, "age_ms") <= AGE_MS_MAX;
    /* A process that its guest has taken over says what it likes. What it may have is written down,
     * and what it holds the kernel has seen. */
    uint64_t held = from->pid ? from->resident : from->memory;

    *machine = (struct balance_machine){
        .name = from->name,
        .min = from->memory_min,
        .max = from->memory,
        .size = lesser(number_of(memory, "size"), from->memory),
        .resident = lesser(number_of(memory, "resident"), held),
        .moved =
            json_object_get(memory, "size_age_ms") && number_of(memory, "size_age_ms") < MOVING_MS,
        .starting = is_starting(info),
        .told = fresh,
        .used = number_of(guest, "used"),
        .code = lesser(number_of(json_object_get(info, "code"), "spare"), held),
    };
    fresh = memory && state && !strcmp(state, "running");
    json_decref(info);
    return fresh;
}

void balance_print_moves(const char *before, const struct balance_machine *machine,
                         const char *after)
{
    char old[SIZE_TEXT_MAX], new[SIZE_TEXT_MAX];

    if (machine->drop_code)
        printf("%s%s: gives back %s of translated code: the host is short of memory%s\n", before,
               machine->name, size_format(machine->code, old), after);
    if (!machine->reason)
        return;
    printf("%s%s: %s %s to %s: %s%s\n", before, machine->name,
           machine->new_size < machine->size ? "shrinks from" : "grows from",
           size_format(machine->size, old), size_format(machine->new_size, new), machine->reason,
           after);
}

/* Code that a CPU is in is given back when it is asked for again. */
static void machine_drop_code(const struct registry *registry,
                              const struct balance_machine *machine)
{
    if (machine->drop_code)
        json_decref(control_ask(registry, machine->name, "machine.trim", NULL, ASK_MS, NULL));
}

static bool machine_resize(const struct registry *registry, const struct balance_machine *machine,
                           struct error *error)
{
    json_t *params =
        json_pack("{s:I, s:s}", "size", (json_int_t)machine->new_size, "reason", machine->reason);
    json_t *result = control_ask(registry, machine->name, "machine.set", params, ASK_MS, error);
    bool moved = result != NULL;

    json_decref(result);
    return moved;
}

/* False: the machine refused, or did not answer. It is asked again at the next turn, if that comes
 * to the same. */
static bool machine_move(const struct balance *balance, const struct balance_machine *machine)
{
    struct error error = ERROR_INIT;
    char now[STATE_TIME_SIZE + 1];
    bool moved;

    state_time(now);
    strcat(now, " ");
    balance_print_moves(now, machine, balance->dry_run ? " (not done)" : "");
    if (balance->dry_run)
        return true;
    machine_drop_code(&balance->registry, machine);
    if (!machine->reason)
        return true;
    moved = machine_resize(&balance->registry, machine, &error);
    if (!moved) {
        printf("%s%s: not moved: ", now, machine->name);
        say_foreign(stdout, error.message ? error.message : "no answer");
        putchar('\n');
    }
    error_release(&error);
    return moved;
}

int balance_look(const struct registry *registry, const struct pool *pool,
                 struct balance_host *host, struct balance_machine **machines, size_t *count,
                 struct error *error)
{
    const struct timespec answer = {.tv_nsec = ANSWER_NS};

    *count = 0;
    *machines = calloc(pool->count + 1, sizeof(**machines));
    if (!*machines)
        return error_set(error, ENOMEM, "out of memory");
    /* Once to have them ask, once to hear. */
    for (size_t i = 0; i < pool->count; i++)
        machine_ask(registry, &pool->machines[i]);
    if (pool->count)
        nanosleep(&answer, NULL);
    for (size_t i = 0; i < pool->count; i++)
        *count += machine_look(registry, &pool->machines[i], &(*machines)[*count]);
    *host = (struct balance_host){.available = pool->memory_available,
                                  .reserve = pool->limits.memory_reserve,
                                  .stalled = pressure_of_memory("").recent > STALL_PER_CENT};
    return 0;
}

void balance_make_room(const struct registry *registry, const struct record *record)
{
    uint64_t memory = record->description.memory;
    struct balance_machine *machines = NULL;
    struct host_memory there;
    struct pool_limits limits;
    struct balance_host host;
    struct pool pool;
    bool is_short;
    size_t count;

    /* Machines are looked at where it is. */
    host_memory(&there);
    if (quota_find(&limits, there.allowed, NULL))
        return;
    is_short = there.allowed_available < memory + limits.memory_reserve;
    quota_release(&limits);
    if (!is_short || pool_measure(&pool, registry, NULL))
        return;
    if (!balance_look(registry, &pool, &host, &machines, &count, NULL)) {
        balance_plan_room(&host, memory, record_memory_min(record), machines, count);
        for (size_t i = 0; i < count; i++) {
            machine_drop_code(registry, &machines[i]);
            if (machines[i].reason)
                machine_resize(registry, &machines[i], NULL);
        }
    }
    free(machines);
    pool_release(&pool);
}

/* *refused: how many moves were planned and not made. */
static int balance_turn(struct balance *balance, size_t *refused, struct error *error)
{
    struct balance_machine *machines = NULL;
    struct balance_host host;
    struct pool pool;
    size_t count, moves;
    int r = pool_measure(&pool, &balance->registry, error);

    if (r)
        return r;
    balance->reserve = pool.limits.memory_reserve;
    r = balance_look(&balance->registry, &pool, &host, &machines, &count, error);
    if (r) {
        pool_release(&pool);
        return r;
    }
    moves = balance_plan(&host, machines, count);
    for (size_t i = 0; i < count; i++)
        *refused += !machine_move(balance, &machines[i]);
    free(machines);
    r = balance_cpus_turn(&balance->cpus, &balance->registry, &pool, balance->dry_run, &moves,
                          refused, error);
    if (!r && !moves && !balance->service)
        printf("nothing to move among %zu machines\n", count);
    pool_release(&pool);
    if (r)
        return r;
    return fflush(stdout) ? error_set(error, EIO, "cannot write to standard output") : 0;
}

/* Who ends the service ends it between turns: a move that a machine was asked for is logged, too.
 */
static int service_turn(struct balance *balance, size_t *refused, struct error *error)
{
    sigset_t before;
    int r;

    child_hold_stops(&before);
    r = balance_turn(balance, refused, error);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* Until the next turn: less where the host gets short of memory, which machines that start can make
 * it in seconds. Guests need some of them to give any back. */
static void wait_turn(const struct balance *balance)
{
    const struct timespec second = {.tv_sec = 1};
    struct host_memory memory;

    for (unsigned i = 1; i <= balance->interval; i++) {
        nanosleep(&second, NULL);
        host_memory(&memory);
        if (i >= SHORT_SECONDS && memory.allowed_available < balance->reserve)
            return;
    }
}

static int balance_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct balance balance = {.interval = 10};
    bool interval = false;
    size_t refused = 0;
    int kind, r = 0;

    while (!r && (kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            r = error_usage(error, "unexpected argument \"%s\"; see: hospes balance --help",
                            walk.value);
        else if (walk.option->id == BALANCE_INTERVAL)
            interval = true, r = option_number(&walk, 1, 3600, &balance.interval, error);
        else if (walk.option->id == BALANCE_SERVICE)
            balance.service = true;
        else
            balance.dry_run = true;
    }
    if (!r)
        r = kind;
    if (!r && interval && !balance.service)
        r = error_usage(error, "'--interval' goes with '--service'; without, there is one turn");
    if (!r)
        r = registry_open(&balance.registry, error);
    if (!r && !balance.service)
        r = balance_turn(&balance, &refused, error);
    /* A service goes on, and has said so. */
    if (!r && refused && !balance.service)
        r = error_set(error, EAGAIN, "%zu moves were not made, see above", refused);
    while (!r && balance.service) {
        r = service_turn(&balance, &refused, error);
        if (!r)
            wait_turn(&balance);
    }
    cpus_memory_release(&balance.cpus);
    registry_release(&balance.registry);
    return r;
}

static const struct option balance_options[] = {
    {BALANCE_DRY_RUN, "--dry-run", NULL, NULL, false, "say what would be moved, and move nothing"},
    {BALANCE_SERVICE, "--service", NULL, NULL, false, "go on until ended, a turn each interval"},
    {BALANCE_INTERVAL, "--interval", NULL, "SECONDS", false, "how long to wait between turns (10)"},
    {0},
};

static const struct example balance_examples[] = {
    {"hospes balance --dry-run", "says which machine would get memory or CPUs of which, and why"},
    {0},
};

const struct command command_balance = {
    .name = "balance",
    .summary = "move memory and CPUs between machines as they need them",
    .usage = "balance [--dry-run] [--service] [--interval SECONDS]",
    .about =
        "Looks at the host (what is available, stalls) and asks each guest what it uses. Each\n"
        "machine keeps what it is promised ('--memory-min') and gets no more than its '--memory'.\n"
        "While the host is short of CPUs, guests that do not use theirs are left with fewer, down\n"
        "to '--cpus-min', if they have an agent.\n"
        "Each move is printed with its reason, and is an event of its machine.",
    .options = balance_options,
    .examples = balance_examples,
    .run = balance_run,
};
