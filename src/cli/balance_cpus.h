/* SPDX-License-Identifier: Apache-2.0 */
/* The half of `hospes balance` that moves CPUs. */
#ifndef HOSPES_CLI_BALANCE_CPUS_H
#define HOSPES_CLI_BALANCE_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/pool.h"
#include "host/registry.h"

/* What virtual CPUs had wanted in all at one moment. */
struct cpus_look {
    char name[REGISTRY_NAME_MAX + 1];
    int pid;            /* 0: it is not known */
    uint64_t wanted_ns; /* cpu_time.h */
    uint64_t at_ns;
    unsigned resting; /* turns for which it is left alone, as it did not do as told, or slowly */
};

/* From turn to turn. Begins as zeroes. */
struct cpus_memory {
    struct cpus_look *looks; /* owned; NULL: none was made yet */
    size_t count;
};

/* One turn, which takes a second if it is the first or the kernel does not tell of pressure, and no
 * time where no machine of the pool has a CPU that may be moved. *moves: how many were planned,
 * *refused: and not made; both are added to. */
int balance_cpus_turn(struct cpus_memory *memory, const struct registry *registry,
                      const struct pool *pool, bool dry_run, size_t *moves, size_t *refused,
                      struct error *error) MUST_CHECK;
void cpus_memory_release(struct cpus_memory *memory);

#endif
