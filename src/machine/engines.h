/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of a machine with its CPUs: found by name, made and freed as one. Inside machine/
 * only.
 *
 * All functions while no CPU of the machine executes. Making one changes nothing of the harts, so
 * that a second can be made beside the one that the harts are still with, and be dropped again.
 */
#ifndef HOSPES_MACHINE_ENGINES_H
#define HOSPES_MACHINE_ENGINES_H

#include "cpu/engine.h"
#include "machine/description.h"
#include "machine/vcpu.h"

struct machine_engine {
    const struct engine_type *type;
    struct engine *engine; /* NULL: none */
    struct engine_cpu *cpus[MACHINE_CPUS_MAX];
    unsigned cpu_count;
};

/* The type of "NAME" or "NAME,OPTIONS", and where in it the options are (NULL: none). "auto", and
 * no name, is the translator where the host has what that wants. -EINVAL. */
int machine_engine_find(const char *name, const struct engine_type **type, const char **options,
                        struct error *error) MUST_CHECK;
/* For the harts of config->cpu_count CPUs. On a failure there is nothing to be released. */
int machine_engine_make(struct machine_engine *engine, const struct engine_type *type,
                        const struct engine_config *config, struct vcpu *vcpus,
                        struct error *error) MUST_CHECK;
/* None is fine. The CPUs' threads have left it: engine_type.leave(). */
void machine_engine_release(struct machine_engine *engine);

/* The CPUs run by it from now on. `engine` stays where it is. */
void machine_engine_attach(const struct machine_engine *engine, struct vcpu *vcpus);
/* Adds what it counted to *counters. */
void machine_engine_count(const struct machine_engine *engine, struct engine_counters *counters);

#endif
