/* SPDX-License-Identifier: Apache-2.0 */
#include "host/agent_cpus.h"

/* Which of the guest's CPUs, as its agent lists them, have to change for `cpus` of them to run. */
static json_t *cpus_to_change(const json_t *listed, unsigned cpus)
{
    json_t *changes = json_array();
    const json_t *cpu;
    size_t i;

    json_array_foreach(listed, i, cpu)
    {
        const json_t *id = json_object_get(cpu, "logical-id"),
                     *fixed = json_object_get(cpu, "can-offline");
        bool online = json_is_true(json_object_get(cpu, "online"));
        bool wanted = json_integer_value(id) < (json_int_t)cpus;

        if (json_is_integer(id) && online != wanted && (wanted || !json_is_false(fixed)))
            json_array_append_new(changes, json_pack("{s:I, s:b}", "logical-id",
                                                     json_integer_value(id), "online", wanted));
    }
    return changes;
}

int agent_set_cpus(struct agent *agent, unsigned cpus, unsigned timeout_ms, struct error *error)
{
    json_t *listed = NULL, *changes;
    int r = agent_call(agent, "guest-get-vcpus", NULL, timeout_ms, &listed, error);

    if (r)
        return r;
    changes = cpus_to_change(listed, cpus);
    if (json_array_size(changes))
        r = agent_call(agent, "guest-set-vcpus", json_pack("{s:O}", "vcpus", changes), timeout_ms,
                       NULL, error);
    json_decref(changes);
    json_decref(listed);
    return r;
}
