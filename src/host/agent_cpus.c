/* SPDX-License-Identifier: Apache-2.0 */
#include "host/agent_cpus.h"

#include "host/agent_parts.h"

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

struct cpus {
    unsigned wanted, timeout_ms;
};

/* In the reader. */
static int set_cpus(void *ctx, struct lines *lines, struct reader_answer *answer,
                    struct error *error)
{
    const struct cpus *cpus = ctx;
    json_t *listed = NULL, *changes;
    int r = agent_call(lines, "guest-get-vcpus", NULL, cpus->timeout_ms, &listed, error);

    if (r)
        return r;
    changes = cpus_to_change(listed, cpus->wanted);
    if (json_array_size(changes))
        r = agent_call(lines, "guest-set-vcpus", json_pack("{s:O}", "vcpus", changes),
                       cpus->timeout_ms, NULL, error);
    json_decref(changes);
    json_decref(listed);
    return r;
}

int agent_set_cpus(struct agent *agent, unsigned cpus, unsigned timeout_ms, struct error *error)
{
    struct cpus arguments = {cpus, timeout_ms};
    const struct agent_question question = {.body = set_cpus,
                                            .ctx = &arguments,
                                            .file = -1,
                                            .timeout_ms = 2 * timeout_ms};

    return agent_ask(agent, &question, NULL, error);
}
