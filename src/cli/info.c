/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes info`: everything about one named machine. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/named.h"
#include "host/agent_guest.h"
#include "host/group.h"
#include "host/pool.h"
#include "host/record.h"
#include "host/weight.h"

enum { INFO_JSON = 1 };

/* An agent that is busy holds nobody up. */
#define AGENT_OPEN_MS   300u
#define AGENT_ANSWER_MS 1000u

static int info_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    *(bool *)ctx = true;
    return 0;
}

/* Of /proc/PID/status, in bytes (proc(5)); 0: not told. */
static uint64_t process_memory(pid_t pid, const char *key)
{
    char path[48], line[256];
    uint64_t kib = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
            kib = strtoull(line + strlen(key) + 1, NULL, 10);
    if (file)
        fclose(file);
    return kib << 10;
}

/* What the guest says of itself; NULL: it says nothing. */
static json_t *guest_json(const struct named *named)
{
    struct agent agent;
    json_t *guest = NULL;

    if (named_agent(named, AGENT_OPEN_MS, &agent, NULL))
        return NULL;
    if (agent_describe(&agent, AGENT_ANSWER_MS, &guest, NULL))
        guest = NULL;
    agent_close(&agent);
    return guest;
}

/* By what the host shares CPU time among it and others. */
static const char *shares_by(const struct named *named, pid_t pid)
{
    static const char *const means[] = {"nice", "cgroup v1", "cgroup v2"};

    return means[group_version(&named->registry, named->name, pid)];
}

/* What the host holds, for the guest and beside it. */
static void memory_json(json_t *json, const struct state *state)
{
    uint64_t guest, own;

    pool_split(process_memory(state->pid, "RssShmem"), process_memory(state->pid, "RssAnon"),
               state->merging, json, &guest, &own);
    json_object_set_new(json, "guest_memory_resident", json_integer((json_int_t)guest));
    json_object_set_new(json, "own_memory_resident", json_integer((json_int_t)own));
}

static json_t *info_json(const struct named *named, const struct record *record,
                         const struct state *state)
{
    char *home = registry_path(&named->registry, named->name, NULL);
    char *run = registry_run_path(&named->registry, named->name, NULL);
    json_t *json = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:o?}", "name", named->name, "state",
                             state_name(state->kind), "since",
                             state->since[0] ? state->since : NULL, "directory", home, "sockets",
                             state->pid ? run : NULL, "description", record_to_json(record, NULL));
    json_t *live = NULL;
    bool has_agent;

    free(home);
    free(run);
    if (json && state->pid) {
        json_object_set_new(json, "pid", json_integer(state->pid));
        json_object_set_new(json, "shares_by", json_string(shares_by(named, state->pid)));
        if (!named_call(named, "machine.info", NULL, &live, NULL)) {
            json_object_set(json, "engine", json_object_get(live, "engine"));
            json_object_set(json, "instructions", json_object_get(live, "instructions"));
            json_object_set(json, "disks", json_object_get(live, "disks"));
            json_object_set(json, "networks", json_object_get(live, "networks"));
            json_object_set(json, "memory", json_object_get(live, "memory"));
            json_object_set(json, "code", json_object_get(live, "code"));
            json_object_set(json, "cpus_online", json_object_get(live, "cpus_online"));
        }
        memory_json(json, state);
        has_agent = state->kind == STATE_RUNNING && json_is_true(json_object_get(live, "agent"));
        json_decref(live);
        if (has_agent && (live = guest_json(named)))
            json_object_set_new(json, "guest", live);
    } else if (json && state->end != STATE_END_NONE) {
        json_object_set_new(json, "end", json_string(state_end_name(state->end)));
        json_object_set_new(json, "status", json_integer(state->status));
    }
    return json;
}

static void print_texts(const json_t *json, const char *const *keys)
{
    for (; *keys; keys++) {
        const json_t *value = json_object_get(json, *keys);

        if (json_is_string(value))
            printf("%-10s %s\n", *keys, json_string_value(value));
        else if (json_is_integer(value))
            printf("%-10s %lld\n", *keys, (long long)json_integer_value(value));
    }
}

/* One line for all, and none where there are none. */
static void print_limits(const struct machine_limits *limits)
{
    const struct {
        const char *what;
        uint64_t rate;
    } rates[] = {{"disk", limits->disk_bytes},
                 {"network in", limits->net_rate_in},
                 {"network out", limits->net_rate_out}};
    const char *before = "limits     ";
    char rate[SIZE_TEXT_MAX];

    if (limits->disk_iops) {
        printf("%sdisk %llu requests/s", before, (unsigned long long)limits->disk_iops);
        before = ", ";
    }
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        if (!rates[i].rate)
            continue;
        printf("%s%s %s/s", before, rates[i].what, size_format(rates[i].rate, rate));
        before = ", ";
    }
    if (*before == ',')
        putchar('\n');
}

/* "eth0 10.0.2.15/24, fe80::1/64", a line an interface. */
static void print_guest(const json_t *guest)
{
    const char *system = json_string_value(json_object_get(guest, "system"));
    const char *name = json_string_value(json_object_get(guest, "host_name"));
    const json_t *interface, *address;
    const char *label = "addresses";
    size_t i, j;

    if (system || name)
        printf("%-10s %s%s%s\n", "guest", name ? name : "", name && system ? ", " : "",
               system ? system : "");
    json_array_foreach(json_object_get(guest, "interfaces"), i, interface)
    {
        const char *of = json_string_value(json_object_get(interface, "name"));

        printf("%-10s %s", label, of ? of : "?");
        json_array_foreach(json_object_get(interface, "addresses"), j, address)
            printf("%s %s", j ? "," : "", json_string_value(address));
        putchar('\n');
        label = "";
    }
}

static uint64_t number(const json_t *json, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json, key));
}

/* One line for a disk, and one for what was done with it, if the machine told. */
static void print_disks(const struct machine_description *d, const json_t *told)
{
    char read[SIZE_TEXT_MAX], written[SIZE_TEXT_MAX];

    for (unsigned i = 0; i < d->disk_count; i++) {
        const json_t *c = json_array_get(told, i);

        printf("%-10s %s%s%s\n", i ? "" : "disks", d->disks[i].path,
               d->disks[i].read_only ? ", read-only" : "",
               d->disks[i].ephemeral ? ", ephemeral" : "");
        if (!c)
            continue;
        printf("%-10s %s in %" PRIu64 " reads, %s in %" PRIu64 " writes", "",
               size_format(number(c, "read_bytes"), read), number(c, "reads"),
               size_format(number(c, "written_bytes"), written), number(c, "writes"));
        if (number(c, "failed"))
            printf(", %" PRIu64 " requests failed", number(c, "failed"));
        putchar('\n');
    }
}

static void print_networks(const struct machine_description *d, const json_t *told)
{
    char in[SIZE_TEXT_MAX], out[SIZE_TEXT_MAX];

    for (unsigned i = 0; i < d->interface_count; i++) {
        const struct machine_interface *interface = &d->interfaces[i];
        const json_t *c = json_array_get(told, i);

        printf("%-10s ", i ? "" : "networks");
        if (interface->kind == MACHINE_NET_NAMED)
            printf("%s", interface->name);
        else if (interface->kind == MACHINE_NET_TAP)
            printf("tap=%s", interface->tap);
        else
            printf("%s", interface->kind == MACHINE_NET_USER ? "user" : "none");
        if (c && interface->kind != MACHINE_NET_NONE)
            printf(": in %s, %" PRIu64 " frames (%" PRIu64 " lost); out %s, %" PRIu64
                   " frames (%" PRIu64 " lost)",
                   size_format(number(c, "bytes_in"), in), number(c, "frames_in"),
                   number(c, "lost_in"), size_format(number(c, "bytes_out"), out),
                   number(c, "frames_out"), number(c, "lost_out"));
        putchar('\n');
    }
}

static void print_shares(const struct record *record, const char *means)
{
    printf("%-10s weight %u", "shares", record->cpu_weight ? record->cpu_weight : WEIGHT_DEFAULT);
    if (record->cpu_cap)
        printf(", at most %u%% of a host CPU", record->cpu_cap);
    printf(means ? ", by %s\n" : "\n", means);
}

/* What there is beyond the memory that it was started with, if there can be anything. */
static void print_plugged(const json_t *memory, const struct record *record)
{
    const json_t *plugged = json_object_get(memory, "plugged");
    char now[SIZE_TEXT_MAX], asked[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX];
    uint64_t max = record_memory_max(record);

    if (plugged)
        printf("%-10s %s of %s asked for%s; memory of %s at the most\n", "plugged",
               size_format((uint64_t)json_integer_value(json_object_get(plugged, "size")), now),
               size_format((uint64_t)json_integer_value(json_object_get(plugged, "requested")),
                           asked),
               json_is_true(json_object_get(plugged, "driver")) ? "" : ", by no driver yet",
               size_format((uint64_t)json_integer_value(json_object_get(memory, "memory_max")),
                           most));
    else if (max > record->description.memory)
        printf("%-10s up to %s while it runs\n", "", size_format(max, most));
}

/* And what `hospes balance` may take of them, and took. */
static void print_cpus(const struct record *record, const json_t *json)
{
    unsigned cpus = record->description.cpus;
    json_int_t online = json_integer_value(json_object_get(json, "cpus_online"));

    printf("%-10s %u", "cpus", cpus);
    if (record->cpus_min)
        printf(", promised %u", record->cpus_min);
    if (online > 0 && online < cpus)
        printf(", online %lld for now", (long long)online);
    putchar('\n');
}

static uint64_t bytes_of(const json_t *json, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json, key));
}

static void info_print(const json_t *json, const struct record *record, const struct state *state)
{
    static const char *const first[] = {"name", "state", "since", "end", "status", "pid", NULL};
    static const char *const last[] = {"engine", "directory", "sockets", NULL};
    const struct machine_description *d = &record->description;
    char memory[SIZE_TEXT_MAX], resident[SIZE_TEXT_MAX], own[SIZE_TEXT_MAX];

    print_texts(json, first);
    printf("%-10s %s\n", "image", record->image ? record->image : "-");
    printf("%-10s %s\n", "created", record->created ? record->created : "-");
    print_cpus(record, json);
    if (state->pid)
        printf("%-10s %s, of which the host holds %s; hospes itself has %s\n", "memory",
               size_format(d->memory, memory),
               size_format(bytes_of(json, "guest_memory_resident"), resident),
               size_format(bytes_of(json, "own_memory_resident"), own));
    else
        printf("%-10s %s\n", "memory", size_format(d->memory, memory));
    print_plugged(json_object_get(json, "memory"), record);
    print_disks(d, json_object_get(json, "disks"));
    print_networks(d, json_object_get(json, "networks"));
    for (unsigned i = 0; i < d->forward_count; i++)
        printf("%-10s %s %s:%u to %u\n", i ? "" : "ports", d->forwards[i].udp ? "udp" : "tcp",
               d->forwards[i].host_address[0] ? d->forwards[i].host_address : "127.0.0.1",
               d->forwards[i].host_port, d->forwards[i].guest_port);
    print_shares(record, json_string_value(json_object_get(json, "shares_by")));
    print_limits(&d->limits);
    print_guest(json_object_get(json, "guest"));
    print_texts(json, last);
}

static int info_run(const struct command *command, int argc, char **argv, struct error *error)
{
    bool as_json = false;
    struct record record;
    struct named named;
    struct state state;
    json_t *json;
    int r = named_open(&named, command, argc, argv, info_option, &as_json, error);

    if (r)
        return r;
    r = record_read(&named.registry, named.name, &record, error);
    if (!r) {
        state_look(&named.registry, named.name, &state);
        json = info_json(&named, &record, &state);
        if (!json)
            r = error_set(error, ENOMEM, "out of memory");
        else if (!as_json)
            info_print(json, &record, &state);
        else
            r = named_print_json(json_incref(json), error);
        json_decref(json);
    }
    record_release(&record);
    named_release(&named);
    return r;
}

static const struct option info_options[] = {
    {INFO_JSON, "--json", NULL, NULL, false, "print JSON"},
    {0},
};

static const struct example info_examples[] = {
    {"hospes info web", "prints what the machine is, what it does and what it takes of the host"},
    {0},
};

const struct command command_info = {
    .name = "info",
    .summary = "tell all about a named machine",
    .usage = "info [--json] NAME",
    .options = info_options,
    .examples = info_examples,
    .run = info_run,
};
