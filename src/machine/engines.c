/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/engines.h"

#include <string.h>

#include "base/bits.h"
#include "cpu/riscv/hart.h"

static const struct {
    const char *name;
    const struct engine_type *type;
} engines[] = {
    {"translate", &riscv_translator},
    {"interpret", &riscv_interpreter},
    {"interpreter", &riscv_interpreter},
};

int machine_engine_find(const char *name, const struct engine_type **type, const char **options,
                        struct error *error)
{
    size_t length = name ? strcspn(name, ",") : 0;

    *options = name && name[length] ? name + length + 1 : NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(engines); i++)
        if (name && strlen(engines[i].name) == length && !strncmp(name, engines[i].name, length)) {
            *type = engines[i].type;
            return 0;
        }
    if (name && (length != 4 || strncmp(name, "auto", 4)))
        return error_usage(error, "no engine \"%s\"; use auto, translate or interpret", name);
    *type = riscv_translator_missing() ? &riscv_interpreter : &riscv_translator;
    return 0;
}

int machine_engine_make(struct machine_engine *engine, const struct engine_type *type,
                        const struct engine_config *config, struct vcpu *vcpus, struct error *error)
{
    int r;

    *engine = (struct machine_engine){.type = type, .cpu_count = config->cpu_count};
    r = type->create(config, &engine->engine, error);
    for (unsigned i = 0; !r && i < engine->cpu_count; i++)
        r = type->cpu_create(engine->engine, i, &vcpus[i].hart, &engine->cpus[i], error);
    if (r)
        machine_engine_release(engine);
    return r;
}

void machine_engine_release(struct machine_engine *engine)
{
    for (unsigned i = 0; i < engine->cpu_count; i++)
        if (engine->cpus[i])
            engine->type->cpu_free(engine->cpus[i]);
    if (engine->engine)
        engine->type->free(engine->engine);
    *engine = (struct machine_engine){0};
}

void machine_engine_attach(const struct machine_engine *engine, struct vcpu *vcpus)
{
    for (unsigned i = 0; i < engine->cpu_count; i++) {
        vcpus[i].engine = engine->type;
        vcpus[i].cpu = engine->cpus[i];
    }
}

void machine_engine_count(const struct machine_engine *engine, struct engine_counters *counters)
{
    for (unsigned i = 0; i < engine->cpu_count; i++) {
        struct engine_counters one;

        engine->type->counters(engine->cpus[i], &one);
        /* All fields are sums. */
        for (unsigned j = 0; j < sizeof(one) / sizeof(uint64_t); j++)
            ((uint64_t *)counters)[j] += ((const uint64_t *)&one)[j];
    }
}
