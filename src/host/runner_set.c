/* SPDX-License-Identifier: Apache-2.0 */
#include "host/runner_set.h"

#include <errno.h>
#include <string.h>

#include "base/size.h"
#include "host/runner_parts.h"
#include "host/weight.h"

/* A parameter. Values are numbers and flags of the record: its strings are shared while it is
 * judged. */
struct parameter {
    const char *name;
    /* Takes the value into the record; what range it has to be in is judged of the whole. */
    int (*take)(const json_t *value, struct record *record);
    /* Puts the record's values to a machine that runs; once for all parameters that share it. A
     * failure leaves the machine as it was. */
    int (*apply)(struct runner *runner, const struct record *record, struct error *error);
};

static int take_number(const json_t *value, uint64_t *number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -EINVAL;
    *number = (uint64_t)json_integer_value(value);
    return 0;
}

static int take_unsigned(const json_t *value, unsigned *number)
{
    uint64_t wide;
    int r = take_number(value, &wide);

    if (r || wide > UINT32_MAX)
        return -EINVAL;
    *number = (unsigned)wide;
    return 0;
}

/* ---- memory ---- */

static int take_memory(const json_t *value, struct record *record)
{
    struct machine_description *d = &record->description;
    int r = take_number(value, &d->memory);

    if (!r && d->memory_max && d->memory > d->memory_max)
        d->memory_max = d->memory;
    return r;
}

static int take_memory_min(const json_t *value, struct record *record)
{
    return take_number(value, &record->memory_min);
}

/* Up to what it was built with the balloon takes what the guest is not to have any more; beyond
 * that it is plugged. */
static int apply_memory(struct runner *runner, const struct record *record, struct error *error)
{
    uint64_t memory = record->description.memory;
    char built[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX];

    if (memory > runner->memory_max && runner->memory_max == runner->memory)
        return error_set(error, EINVAL,
                         "it has been started with %s of memory, and more can be set only while "
                         "it does not run, or up to a --memory-max that it was made with",
                         size_format(runner->memory, built));
    if (memory > runner->memory_max)
        return error_set(
            error, EINVAL,
            "it has been started with %s of memory and can be given %s (--memory-max); "
            "more can be set only while it does not run",
            size_format(runner->memory, built), size_format(runner->memory_max, most));
    machine_set_memory(runner->machine, memory, memory);
    /* Who asks for the same once more means now. */
    if (memory == runner->record.description.memory)
        machine_ask_memory(runner->machine);
    return 0;
}

static int apply_memory_min(struct runner *runner, const struct record *record, struct error *error)
{
    uint64_t least = record_memory_min(record);
    struct machine_balloon balloon;

    /* At once, and not at the balance's next turn. */
    machine_balloon(runner->machine, &balloon);
    if (balloon.wanted < least)
        machine_set_memory(runner->machine, record->description.memory, least);
    return 0;
}

/* ---- CPUs ---- */

static int take_cpus(const json_t *value, struct record *record)
{
    struct machine_description *d = &record->description;
    int r = take_unsigned(value, &d->cpus);

    if (!r && d->cpus_max && d->cpus > d->cpus_max)
        d->cpus_max = d->cpus;
    return r;
}

static int take_cpus_min(const json_t *value, struct record *record)
{
    return take_unsigned(value, &record->cpus_min);
}

static int take_cpu_cap(const json_t *value, struct record *record)
{
    return take_unsigned(value, &record->cpu_cap);
}

static int take_cpu_weight(const json_t *value, struct record *record)
{
    return take_unsigned(value, &record->cpu_weight);
}

static int apply_cpus(struct runner *runner, const struct record *record, struct error *error)
{
    if (record->description.firmware)
        return error_set(error, ENOTSUP, "its firmware starts CPUs, and not hospes");
    return machine_set_cpus(runner->machine, record->description.cpus, error);
}

/* At once, and not at the balance's next turn. */
static int apply_cpus_min(struct runner *runner, const struct record *record, struct error *error)
{
    unsigned least = record_cpus_min(record);

    if (record->description.firmware || machine_cpus_limit(runner->machine) >= least)
        return 0;
    return machine_set_cpus(runner->machine, least, error);
}

/* Who calls sets a group from outside, see group.h. */
static int apply_cpu_cap(struct runner *runner, const struct record *record, struct error *error)
{
    if (!runner->grouped)
        machine_set_cpu_cap(runner->machine, record->cpu_cap);
    return 0;
}

/* The jail keeps it from its threads, which who calls sets from outside. */
static int apply_cpu_weight(struct runner *runner, const struct record *record, struct error *error)
{
    if (runner->grouped)
        return 0;
    return weight_set_group(runner->session_fd,
                            record->cpu_weight ? record->cpu_weight : WEIGHT_DEFAULT, error);
}

/* ---- limits ---- */

static int take_disk_iops(const json_t *value, struct record *record)
{
    return take_number(value, &record->description.limits.disk_iops);
}

static int take_disk_bytes(const json_t *value, struct record *record)
{
    return take_number(value, &record->description.limits.disk_bytes);
}

static int take_net_rate_in(const json_t *value, struct record *record)
{
    return take_number(value, &record->description.limits.net_rate_in);
}

static int take_net_rate_out(const json_t *value, struct record *record)
{
    return take_number(value, &record->description.limits.net_rate_out);
}

static int take_net_rate(const json_t *value, struct record *record)
{
    int r = take_net_rate_in(value, record);

    return r ? r : take_net_rate_out(value, record);
}

static int apply_limits(struct runner *runner, const struct record *record, struct error *error)
{
    return machine_set_limits(runner->machine, &record->description.limits, error);
}

/* ---- any parameter ---- */

/* Taken and put in this order, whatever the order in which they are given: first what can fail. */
static const struct parameter parameters[] = {
    {"cpus", take_cpus, apply_cpus},
    {"cpus_min", take_cpus_min, apply_cpus_min},
    {"cpu_weight", take_cpu_weight, apply_cpu_weight},
    {"memory", take_memory, apply_memory},
    {"memory_min", take_memory_min, apply_memory_min},
    {"cpu_cap", take_cpu_cap, apply_cpu_cap},
    {"disk_iops", take_disk_iops, apply_limits},
    {"disk_bytes", take_disk_bytes, apply_limits},
    {"net_rate", take_net_rate, apply_limits}, /* both directions */
    {"net_rate_in", take_net_rate_in, apply_limits},
    {"net_rate_out", take_net_rate_out, apply_limits},
};

static int record_judge(const struct record *record, struct error *error)
{
    int r;

    if (record->cpu_cap > RECORD_CPU_CAP_MAX)
        return error_usage(error,
                           "a cap of %u per cent is out of range; use 1 to %u, or 0 for none",
                           record->cpu_cap, RECORD_CPU_CAP_MAX);
    if (record->cpu_weight > WEIGHT_MAX)
        return error_usage(error, "a CPU weight of %u is out of range; use %u to %u",
                           record->cpu_weight, WEIGHT_MIN, WEIGHT_MAX);
    r = record_check_promise(record, error);
    return r ? r : description_check(&record->description, error);
}

int runner_set_take(const json_t *params, struct record *record, struct error *error)
{
    struct record after = *record;
    size_t taken = 0;
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        const json_t *value = json_object_get(params, parameters[i].name);

        if (value && parameters[i].take(value, &after))
            return error_usage(error, "the value of \"%s\" is not of its kind", parameters[i].name);
        taken += value != NULL;
    }
    if (taken != json_object_size(params))
        return error_usage(error, "a parameter that this method does not know");
    r = taken ? record_judge(&after, error) : error_usage(error, "nothing to set");
    if (!r)
        *record = after;
    return r;
}

/* Whether parameter `index` is the first one given of those that are put by the same function. */
static bool is_due(const json_t *params, size_t index)
{
    if (!json_object_get(params, parameters[index].name))
        return false;
    for (size_t i = 0; i < index; i++)
        if (parameters[i].apply == parameters[index].apply &&
            json_object_get(params, parameters[i].name))
            return false;
    return true;
}

/* All of them or none. */
static int params_apply(const json_t *params, struct runner *runner, const struct record *after,
                        struct error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        int r = is_due(params, i) ? parameters[i].apply(runner, after, error) : 0;

        if (!r)
            continue;
        /* Back to what the machine could do before. */
        while (i--)
            if (is_due(params, i) && parameters[i].apply(runner, &runner->record, NULL))
                error_wrap(error, "\"%s\" is changed nevertheless", parameters[i].name);
        return r;
    }
    return 0;
}

/* "size": how much of its memory the guest may use for now, which is the balance's to say and is
 * written down nowhere. */
static int set_size(struct runner *runner, const json_t *value, struct error *error)
{
    uint64_t least = record_memory_min(&runner->record), most = runner->record.description.memory;
    char low[SIZE_TEXT_MAX], high[SIZE_TEXT_MAX];
    uint64_t size;

    if (take_number(value, &size))
        return error_usage(error, "the value of \"size\" is not of its kind");
    if (size < least || size > most)
        return error_usage(error, "its size is between %s and %s", size_format(least, low),
                           size_format(most, high));
    machine_set_memory(runner->machine, most, size);
    return 0;
}

static int set_parameters(struct runner *runner, const json_t *params, struct error *error)
{
    struct record after = runner->record;
    int r = runner_set_take(params, &after, error);

    if (!r)
        r = params_apply(params, runner, &after, error);
    if (!r)
        runner->record = after;
    return r;
}

/* "cpus_online": how many of its CPUs the guest may run for now, likewise. */
static int set_cpus_online(struct runner *runner, const json_t *value, struct error *error)
{
    unsigned least = record_cpus_min(&runner->record), most = runner->record.description.cpus;
    unsigned cpus;

    if (take_unsigned(value, &cpus))
        return error_usage(error, "the value of \"cpus_online\" is not of its kind");
    if (cpus < least || cpus > most)
        return error_usage(error, "between %u and %u of its CPUs can be online", least, most);
    if (runner->record.description.firmware)
        return error_set(error, ENOTSUP, "its firmware starts CPUs, and not hospes");
    return machine_set_cpus(runner->machine, cpus, error);
}

int runner_set(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct runner *runner = ctx;
    const json_t *size = json_object_get(params, "size"),
                 *online = json_object_get(params, "cpus_online"),
                 *reason = json_object_get(params, "reason");
    size_t own = (size || online) + (reason != NULL);
    int r;

    if (reason && !json_is_string(reason))
        return error_usage(error, "the value of \"reason\" is not of its kind");
    if ((size || online) && json_object_size(params) != own)
        return error_usage(error, "\"%s\" is set alone, or with its \"reason\"",
                           size ? "size" : "cpus_online");
    if (size) {
        r = set_size(runner, size, error);
    } else if (online) {
        r = set_cpus_online(runner, online, error);
    } else {
        json_t *others = json_copy((json_t *)params);

        if (!others)
            return error_set(error, ENOMEM, "out of memory");
        json_object_del(others, "reason");
        r = set_parameters(runner, others, error);
        json_decref(others);
    }
    if (!r)
        runner_event(runner, "set", json_deep_copy(params));
    return r;
}

int runner_set_stopped(const struct registry *registry, const char *name, const json_t *params,
                       struct error *error)
{
    struct record record;
    int r;

    if (registry_is_locked(registry, name))
        return error_set(error, EBUSY, "machine \"%s\" runs", name);
    r = record_read(registry, name, &record, error);
    if (!r)
        r = runner_set_take(params, &record, error);
    if (!r)
        r = record_write(registry, name, &record, error);
    record_release(&record);
    return r;
}
