/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes set`: changes a named machine, while it runs or not. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/machine_options.h"
#include "cli/named.h"
#include "cli/say.h"
#include "cli/spec.h"
#include "host/agent_cpus.h"
#include "host/group.h"
#include "host/pool.h"
#include "host/runner_set.h"
#include "host/weight.h"

/* How long it may take that who has the machine's lock answers, or gives it up. */
#define SETTLE_NS 2000000000ull
/* And the guest's agent, if there is one. */
#define AGENT_OPEN_MS 1000u
#define AGENT_CALL_MS 10000u

enum { SET_CPUS = 1, SET_CPUS_MIN, SET_MEMORY, SET_MEMORY_MIN, SET_CPU_WEIGHT, SET_CPU_CAP };

/* ---- options ---- */

static int set_number(json_t *params, const char *key, uint64_t value, struct error *error)
{
    if (json_object_set_new(params, key, json_integer((json_int_t)value)))
        return error_set(error, ENOMEM, "out of memory");
    return 0;
}

static int set_limit(json_t *params, const struct option_walk *walk, struct error *error)
{
    struct machine_limits limits = {0};
    int r = machine_option_limit(&limits, walk, error);

    if (r)
        return r;
    switch (walk->option->id) {
    case MACHINE_OPTION_DISK_IOPS:
        return set_number(params, "disk_iops", limits.disk_iops, error);
    case MACHINE_OPTION_DISK_RATE:
        return set_number(params, "disk_bytes", limits.disk_bytes, error);
    case MACHINE_OPTION_NET_RATE:
        return set_number(params, "net_rate", limits.net_rate_in, error);
    }
    BUG_ON(true);
}

static int set_memory_min(json_t *params, const struct option_walk *walk, struct error *error)
{
    uint64_t bytes = 0;
    int r = strcmp(walk->value, "none") != 0 ? spec_bytes(walk, &bytes, error) : 0;

    return r ? r : set_number(params, "memory_min", bytes, error);
}

static int set_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    struct machine_description d = {0};
    json_t *params = ctx;
    unsigned number = 0;
    int r;

    switch (walk->option->id) {
    case SET_CPUS:
        r = option_number(walk, 1, MACHINE_CPUS_MAX, &number, error);
        return r ? r : set_number(params, "cpus", number, error);
    case SET_CPUS_MIN:
        r = strcmp(walk->value, "none") != 0
                ? option_number(walk, 1, MACHINE_CPUS_MAX, &number, error)
                : 0;
        return r ? r : set_number(params, "cpus_min", number, error);
    case SET_MEMORY:
        r = spec_memory(walk->value, &d, error);
        return r ? r : set_number(params, "memory", d.memory, error);
    case SET_MEMORY_MIN:
        return set_memory_min(params, walk, error);
    case SET_CPU_WEIGHT:
        r = option_number(walk, WEIGHT_MIN, WEIGHT_MAX, &number, error);
        return r ? r : set_number(params, "cpu_weight", number, error);
    case SET_CPU_CAP:
        r = spec_per_cent(walk, RECORD_CPU_CAP_MAX, &number, error);
        return r ? r : set_number(params, "cpu_cap", number, error);
    }
    return set_limit(params, walk, error);
}

/* ---- the guest's CPUs ---- */

static int guest_set_cpus(const struct named *named, unsigned cpus, struct error *error)
{
    struct agent agent;
    int r = named_agent(named, AGENT_OPEN_MS, &agent, error);

    if (r)
        return r;
    r = agent_set_cpus(&agent, cpus, AGENT_CALL_MS, error);
    agent_close(&agent);
    return r;
}

/* That the guest does not follow is no failure: it may later. */
static void tell_guest(const struct named *named, unsigned cpus)
{
    CLEANUP(error_release) struct error error = ERROR_INIT;

    if (!guest_set_cpus(named, cpus, &error))
        return;
    fprintf(stderr, "hospes: the guest was not told to use %u CPUs: ", cpus);
    say_foreign(stderr, error.message ? error.message : "no answer");
    fputs("; in it, write 1 or 0 to /sys/devices/system/cpu/cpuN/online\n", stderr);
}

/* Memory that no driver plugs is no failure either: one may come, as a module that is loaded. */
static void tell_of_memory(const struct named *named)
{
    json_t *info = NULL;
    const json_t *plugged;

    if (named_call(named, "machine.info", NULL, &info, NULL))
        return;
    plugged = json_object_get(json_object_get(info, "memory"), "plugged");
    if (json_integer_value(json_object_get(plugged, "requested")) &&
        !json_is_true(json_object_get(plugged, "driver")))
        fprintf(stderr,
                "hospes: the guest has no driver for virtio-mem yet, and gets no more memory than "
                "\"%s\" was started with until it has; its kernel needs CONFIG_VIRTIO_MEM\n",
                named->name);
    json_decref(info);
}

/* ---- a machine that runs ---- */

static int admit(const struct named *named, const struct record *record, int *lock,
                 struct error *error)
{
    struct pool pool;
    int r = pool_lock(&named->registry, lock, error);

    if (!r)
        r = pool_measure(&pool, &named->registry, error);
    if (r)
        return r;
    r = pool_admit_change(&pool, record, error);
    pool_release(&pool);
    return r;
}

/* Of its group, or of its threads where it has none: what the machine's own process may not do, see
 * group.h and weight.h. */
static int set_shares(const struct named *named, const struct record *record, bool weight,
                      struct error *error)
{
    const struct group_shares shares = {record->cpu_weight, record->cpu_cap};
    struct state state;

    state_look(&named->registry, named->name, &state);
    if (state.pid <= 1)
        return error_set(error, ESRCH, "machine \"%s\" does not run", named->name);
    if (group_version(&named->registry, named->name, state.pid))
        return group_set(&named->registry, named->name, &shares, error);
    if (!weight)
        return 0;
    return weight_set_threads(state.pid, shares.weight ? shares.weight : WEIGHT_DEFAULT, error);
}

/* Where nice values stand for weights, more than everybody's is root's to give to the session of
 * the process, which then finds it to be as it is to be. */
static int raise_session(const struct named *named, unsigned weight, struct error *error)
{
    CLEANUP(descriptor_close) int fd = -1;
    struct state state;

    state_look(&named->registry, named->name, &state);
    if (geteuid() || weight <= WEIGHT_DEFAULT || state.pid <= 1 ||
        group_version(&named->registry, named->name, state.pid))
        return 0;
    fd = weight_open_group(state.pid);
    return weight_set_group(fd, weight, error);
}

/* How many CPUs the guest may run now: less than the record says where `hospes balance` took some.
 */
static unsigned cpus_online(const struct named *named, const struct record *record)
{
    json_t *info = NULL;
    json_int_t online = 0;

    if (!named_call(named, "machine.info", NULL, &info, NULL))
        online = json_integer_value(json_object_get(info, "cpus_online"));
    json_decref(info);
    return online > 0 && online <= MACHINE_CPUS_MAX ? (unsigned)online : record->description.cpus;
}

/* How many the guest is to run then; 0: that stays as it is. */
static unsigned cpus_wanted(const json_t *params, const struct record *after, unsigned online)
{
    if (json_object_get(params, "cpus"))
        return after->description.cpus;
    return json_object_get(params, "cpus_min") && record_cpus_min(after) > online
               ? record_cpus_min(after)
               : 0;
}

/* *tell: how many CPUs the guest is to be told to use afterwards; 0: it has been told, or it stays
 * as it is. */
static int change(const struct named *named, json_t *params, const struct record *before,
                  const struct record *after, unsigned *tell, struct error *error)
{
    CLEANUP(descriptor_close) int lock = -1;
    bool cpus = json_object_get(params, "cpus") || json_object_get(params, "cpus_min");
    unsigned online = cpus ? cpus_online(named, before) : 0;
    bool weight = json_object_get(params, "cpu_weight") != NULL;
    int r = 0;

    /* Until it shows in machine.json. */
    if (record_memory_min(after) > record_memory_min(before) ||
        after->description.cpus > before->description.cpus)
        r = admit(named, after, &lock, error);
    *tell = cpus_wanted(params, after, online);
    /* Fewer while those that go can still be stopped, more once they may be started. */
    if (!r && *tell && *tell < online) {
        tell_guest(named, *tell);
        *tell = 0;
    }
    if (!r && weight)
        r = raise_session(named, after->cpu_weight, error);
    if (!r)
        r = named_call(named, "machine.set", json_incref(params), NULL, error);
    if (!r && json_object_get(params, "memory"))
        tell_of_memory(named);
    if (!r && (weight || json_object_get(params, "cpu_cap")))
        r = set_shares(named, after, weight, error);
    return r ? r : record_write(&named->registry, named->name, after, error);
}

static int set_running(const struct named *named, json_t *params, unsigned *tell,
                       struct error *error)
{
    struct record record, after;
    int r = record_read(&named->registry, named->name, &record, error);

    if (r)
        return r;
    after = record;
    r = runner_set_take(params, &after, error);
    if (!r)
        r = change(named, params, &record, &after, tell, error);
    record_release(&record); /* the strings are both's */
    return r;
}

/* Of a machine that is just starting, ending or being changed by somebody else. */
static bool is_passing(int r)
{
    return r == -ESRCH || r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET;
}

static int set_apply(const struct named *named, json_t *params, unsigned *tell, struct error *error)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t deadline = monotonic_ns() + SETTLE_NS;
    CLEANUP(descriptor_close) int lock = -1;
    int r = registry_lock_record(&named->registry, named->name, &lock, error);

    if (r)
        return r;
    for (;;) {
        CLEANUP(error_release) struct error found = ERROR_INIT;

        *tell = 0;
        r = runner_set_stopped(&named->registry, named->name, params, &found);
        if (r == -EBUSY) {
            error_release(&found);
            r = set_running(named, params, tell, &found);
            if (is_passing(r) && monotonic_ns() < deadline) {
                nanosleep(&pause, NULL);
                continue;
            }
        }
        if (r && found.usage)
            return error_usage(error, "%s", found.message ? found.message : error_words(-r));
        return r ? error_set(error, -r, "%s", found.message ? found.message : error_words(-r)) : 0;
    }
}

static int set_run(const struct command *command, int argc, char **argv, struct error *error)
{
    json_t *params = json_object();
    unsigned tell = 0;
    struct named named;
    int r = params ? named_open(&named, command, argc, argv, set_option, params, error)
                   : error_set(error, ENOMEM, "out of memory");

    if (!r) {
        if (!json_object_size(params))
            r = error_usage(error, "nothing to set; see: hospes set --help");
        else
            r = set_apply(&named, params, &tell, error);
        if (!r && tell)
            tell_guest(&named, tell);
        named_release(&named);
    }
    json_decref(params);
    return r;
}

static const struct option set_options[] = {
    {SET_CPUS, "--cpus", NULL, "N", false,
     "its CPUs; while it runs up to --cpus-max, and its guest's agent starts or stops them"},
    {SET_CPUS_MIN, "--cpus-min", NULL, "N", false,
     "the CPUs that it is promised, or none: all that it has"},
    {SET_MEMORY, "--memory", NULL, "SIZE", false,
     "its memory; while it runs up to --memory-max, as its guest takes and gives it back"},
    {SET_MEMORY_MIN, "--memory-min", NULL, "SIZE", false,
     "the memory that it is promised, or none: all that it has"},
    {SET_CPU_WEIGHT, "--cpu-weight", NULL, "N", false,
     "its share of CPUs that others want too, 1 to 10000"},
    {SET_CPU_CAP, "--cpu-cap", NULL, "N%", false,
     "at most so much of one host CPU for all its CPUs together, or none: no cap"},
#include "cli/limit_options.inc"
    {0},
};

static const struct example set_examples[] = {
    {"hospes set web --cpus 4 --memory 2G", "resizes the machine, from now on and at each start"},
    {"hospes set web --disk-iops 500 --disk-rate 20M --net-rate 10M", "holds it to that"},
    {"hospes set web --net-rate none", "lifts one of the limits"},
    {0},
};

const struct command command_set = {
    .name = "set",
    .summary = "change a named machine",
    .usage = "set [OPTION]... NAME",
    .about = "Holds at once when the machine runs, and is kept for its next starts. What is not\n"
             "given stays as it is.",
    .options = set_options,
    .examples = set_examples,
    .run = set_run,
};
