/* SPDX-License-Identifier: Apache-2.0 */
#include "host/runner_set.h"

#include <errno.h>

#include "base/descriptor.h"
#include "host/record.h"
#include "host/runner_parts.h"

/* A parameter. Values are numbers and flags of the description: its strings are shared while it is
 * judged. */
struct parameter {
    const char *name;
    /* Takes the value into the description; what range it has to be in is description_check()'s. */
    int (*take)(const json_t *value, struct machine_description *d);
    /* Puts the description's values to a machine that runs; once for all parameters that share it.
     * A failure leaves the machine as it was. */
    int (*apply)(struct machine *machine, const struct machine_description *d, struct error *error);
};

/* ---- limits ---- */

static int take_number(const json_t *value, uint64_t *number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -EINVAL;
    *number = (uint64_t)json_integer_value(value);
    return 0;
}

static int take_disk_iops(const json_t *value, struct machine_description *d)
{
    return take_number(value, &d->limits.disk_iops);
}

static int take_disk_bytes(const json_t *value, struct machine_description *d)
{
    return take_number(value, &d->limits.disk_bytes);
}

static int take_net_rate_in(const json_t *value, struct machine_description *d)
{
    return take_number(value, &d->limits.net_rate_in);
}

static int take_net_rate_out(const json_t *value, struct machine_description *d)
{
    return take_number(value, &d->limits.net_rate_out);
}

static int take_net_rate(const json_t *value, struct machine_description *d)
{
    int r = take_net_rate_in(value, d);

    return r ? r : take_net_rate_out(value, d);
}

static int apply_limits(struct machine *machine, const struct machine_description *d,
                        struct error *error)
{
    return machine_set_limits(machine, &d->limits, error);
}

/* ---- any parameter ---- */

/* Taken and put in this order, whatever the order in which they are given. */
static const struct parameter parameters[] = {
    {"disk_iops", take_disk_iops, apply_limits},
    {"disk_bytes", take_disk_bytes, apply_limits},
    {"net_rate", take_net_rate, apply_limits}, /* both directions */
    {"net_rate_in", take_net_rate_in, apply_limits},
    {"net_rate_out", take_net_rate_out, apply_limits},
};

static int params_take(const json_t *params, struct machine_description *d, struct error *error)
{
    size_t taken = 0;

    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        const json_t *value = json_object_get(params, parameters[i].name);

        if (value && parameters[i].take(value, d))
            return error_usage(error, "the value of \"%s\" is not of its kind", parameters[i].name);
        taken += value != NULL;
    }
    if (taken != json_object_size(params))
        return error_usage(error, "a parameter that this method does not know");
    return taken ? description_check(d, error) : error_usage(error, "nothing to set");
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
static int params_apply(const json_t *params, struct machine *machine,
                        const struct machine_description *before,
                        const struct machine_description *after, struct error *error)
{
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        int r = is_due(params, i) ? parameters[i].apply(machine, after, error) : 0;

        if (!r)
            continue;
        /* Back to what the machine could do before. */
        while (i--)
            if (is_due(params, i) && parameters[i].apply(machine, before, NULL))
                error_wrap(error, "\"%s\" is changed nevertheless", parameters[i].name);
        return r;
    }
    return 0;
}

int runner_set(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct runner *runner = ctx;
    struct machine_description *d = &runner->record.description;
    const struct machine_description before = *d;
    struct machine_description after = before;
    int r = params_take(params, &after, error);

    if (!r)
        r = params_apply(params, runner->machine, &before, &after, error);
    if (r)
        return r;
    *d = after;
    r = record_write(runner->registry, runner->name, &runner->record, error);
    if (r) {
        /* What is not written down does not hold either. */
        *d = before;
        if (params_apply(params, runner->machine, &after, &before, NULL))
            log_say(&runner->log, LOG_WARN, "what was set is not written down");
        return r;
    }
    runner_event(runner, "set", json_deep_copy(params));
    return 0;
}

int runner_set_stopped(const struct registry *registry, const char *name, const json_t *params,
                       struct error *error)
{
    CLEANUP(descriptor_close) int lock = -1;
    struct record record;
    int r = registry_lock(registry, name, &lock, error);

    if (r)
        return r;
    r = record_read(registry, name, &record, error);
    if (!r)
        r = params_take(params, &record.description, error);
    if (!r)
        r = record_write(registry, name, &record, error);
    record_release(&record);
    return r;
}
