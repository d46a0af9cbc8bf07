/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of a machine's control socket; docs/control.md tells them to their users. */
#include <errno.h>

#include "host/runner_parts.h"
#include "image/file.h"

/* Nothing but these parameters may be there. */
static int params_check(const json_t *params, const char *known, struct error *error)
{
    size_t count = known && json_object_get(params, known) ? 1 : 0;

    if (json_object_size(params) == count)
        return 0;
    return error_usage(error, "a parameter that this method does not know");
}

static int hospes_info(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    int r = params_check(params, NULL, error);

    if (!r)
        *result = json_pack("{s:s, s:i}", "hospes", HOSPES_VERSION, "protocol", 1);
    return r;
}

/* What the guest tells of its memory, in bytes; what it does not tell is left out. */
static json_t *statistics_json(const struct machine_balloon *balloon)
{
    static const char *const names[BALLOON_STATISTICS] = {[BALLOON_FREE] = "free",
                                                          [BALLOON_TOTAL] = "total",
                                                          [BALLOON_AVAILABLE] = "available",
                                                          [BALLOON_CACHES] = "caches",
                                                          [BALLOON_SWAPPED_IN] = "swapped_in",
                                                          [BALLOON_SWAPPED_OUT] = "swapped_out",
                                                          [BALLOON_MAJOR_FAULTS] = "major_faults"};
    const struct virtio_balloon_statistics *s = &balloon->facts.statistics;
    json_t *json = s->time_ns ? json_object() : NULL;
    uint64_t there = balloon->size + balloon->facts.target;
    uint64_t had = there - (s->given < there ? s->given : there);
    uint64_t available = s->values[BALLOON_AVAILABLE];

    for (unsigned i = 0; json && i < BALLOON_STATISTICS; i++)
        if (names[i] && s->present >> i & 1 && s->values[i] <= INT64_MAX)
            json_object_set_new(json, names[i], json_integer((json_int_t)s->values[i]));
    /* Of what it had when it told, which may be more than it has now. */
    if (json && s->present >> BALLOON_AVAILABLE & 1)
        json_object_set_new(json, "used",
                            json_integer((json_int_t)(had - (available < had ? available : had))));
    if (json)
        json_object_set_new(json, "age_ms", json_integer((json_int_t)(balloon->age_ns / 1000000)));
    return json;
}

/* NULL: nothing can be plugged. */
static json_t *plugged_json(const struct virtio_mem_facts *mem)
{
    return mem->size ? json_pack("{s:I, s:I, s:b}", "size", (json_int_t)mem->plugged, "requested",
                                 (json_int_t)mem->requested, "driver", (int)mem->has_driver)
                     : NULL;
}

static json_t *memory_json(const struct runner *runner)
{
    uint64_t memory = runner->record.description.memory, min = record_memory_min(&runner->record);
    struct machine_balloon balloon;

    machine_balloon(runner->machine, &balloon);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o*, s:o*}", "memory",
                     (json_int_t)memory, "memory_min", (json_int_t)min, "memory_max",
                     (json_int_t)runner->memory_max, "size", (json_int_t)balloon.size,
                     "size_age_ms", (json_int_t)(balloon.size_age_ns / 1000000), "given",
                     (json_int_t)balloon.facts.given, "resident", (json_int_t)balloon.resident,
                     "plugged", plugged_json(&balloon.mem), "guest", statistics_json(&balloon));
}

/* In the order of the description, and as many. */
static json_t *disks_json(const struct runner *runner)
{
    const struct machine_description *d = &runner->record.description;
    json_t *disks = json_array();

    for (unsigned i = 0; i < d->disk_count; i++) {
        struct block_counters c = {0};

        machine_disk_count(runner->machine, i, &c);
        json_array_append_new(disks,
                              json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "reads",
                                        (json_int_t)c.reads, "read_bytes", (json_int_t)c.read_bytes,
                                        "writes", (json_int_t)c.writes, "written_bytes",
                                        (json_int_t)c.written_bytes, "flushes",
                                        (json_int_t)c.flushes, "discards", (json_int_t)c.discards,
                                        "failed", (json_int_t)c.failed));
    }
    return disks;
}

static json_t *networks_json(const struct runner *runner)
{
    const struct machine_description *d = &runner->record.description;
    json_t *networks = json_array();

    for (unsigned i = 0; i < d->interface_count; i++) {
        struct net_counters c = {0};

        machine_net_count(runner->machine, i, &c);
        json_array_append_new(networks,
                              json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "frames_in",
                                        (json_int_t)c.frames_in, "bytes_in", (json_int_t)c.bytes_in,
                                        "lost_in", (json_int_t)c.lost_in, "frames_out",
                                        (json_int_t)c.frames_out, "bytes_out",
                                        (json_int_t)c.bytes_out, "lost_out",
                                        (json_int_t)c.lost_out));
    }
    return networks;
}

static int machine_info(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct runner *runner = ctx;
    struct engine_counters counters;
    struct engine_footprint footprint;
    int r = params_check(params, NULL, error);

    if (r)
        return r;
    machine_counters(runner->machine, &counters);
    machine_footprint(runner->machine, &footprint);
    *result =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}, s:i, s:i, s:i, "
                  "s:b, s:o?, s:o?, s:o?, s:o?}",
                  "name", runner->name, "state", runner->paused ? "paused" : "running", "pid",
                  (int)runner->state.pid, "since", runner->state.since, "engine",
                  machine_engine_name(runner->machine), "instructions",
                  (json_int_t)counters.instructions, "units", (json_int_t)counters.units, "code",
                  "bytes", (json_int_t)footprint.code, "tables", (json_int_t)footprint.tables,
                  "spare", (json_int_t)footprint.spare, "lookups", (json_int_t)footprint.lookups,
                  "library", (json_int_t)footprint.library, "cpus_running",
                  (int)machine_cpus_running(runner->machine), "cpus_max",
                  (int)machine_cpu_count(runner->machine), "cpus_online",
                  (int)machine_cpus_limit(runner->machine), "agent",
                  machine_has_agent(runner->machine), "memory", memory_json(runner), "disks",
                  disks_json(runner), "networks", networks_json(runner), "description",
                  record_to_json(&runner->record, NULL));
    return 0;
}

static int machine_pause_method(void *ctx, const json_t *params, json_t **result,
                                struct error *error)
{
    struct runner *runner = ctx;
    int r = params_check(params, NULL, error);

    if (r || runner->paused)
        return r;
    machine_pause(runner->machine);
    runner->paused = true;
    runner_event(runner, "paused", NULL);
    return 0;
}

static int machine_resume_method(void *ctx, const json_t *params, json_t **result,
                                 struct error *error)
{
    struct runner *runner = ctx;
    int r = params_check(params, NULL, error);

    if (r || !runner->paused)
        return r;
    machine_resume(runner->machine);
    runner->paused = false;
    runner_event(runner, "resumed", NULL);
    return 0;
}

/* Pulls the plug. */
static int machine_kill(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct runner *runner = ctx;
    int r = params_check(params, NULL, error);

    if (!r)
        machine_stop(runner->machine);
    return r;
}

static int machine_engine(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct runner *runner = ctx;
    const char *name = json_string_value(json_object_get(params, "engine"));
    int r = params_check(params, "engine", error);

    if (!r && !name)
        r = error_usage(error, "\"engine\" is to be the name of an engine");
    if (!r)
        r = machine_switch_engine(runner->machine, name, error);
    if (!r)
        runner_event(runner, "engine",
                     json_pack("{s:s}", "engine", machine_engine_name(runner->machine)));
    return r;
}

static int machine_trim_method(void *ctx, const json_t *params, json_t **result,
                               struct error *error)
{
    struct runner *runner = ctx;
    int r = params_check(params, NULL, error);

    if (!r)
        *result = json_pack("{s:I}", "bytes", (json_int_t)machine_trim(runner->machine));
    return r;
}

/* Has the guest asked for statistics, and answers with those that it told last. */
static int machine_statistics(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct runner *runner = ctx;
    int r = params_check(params, NULL, error);

    if (r)
        return r;
    *result = memory_json(runner);
    /* Asks once: with an interval nothing is asked before that has passed. */
    machine_balloon_poll(runner->machine, UINT32_MAX);
    machine_balloon_poll(runner->machine, 0);
    return 0;
}

const struct control_method runner_methods[] = {
    {"hospes.info", hospes_info},
    {"machine.info", machine_info},
    {"machine.pause", machine_pause_method},
    {"machine.resume", machine_resume_method},
    {"machine.statistics", machine_statistics},
    {"machine.kill", machine_kill},
    {"machine.engine", machine_engine},
    {"machine.set", runner_set},
    {"machine.trim", machine_trim_method},
    {0},
};
