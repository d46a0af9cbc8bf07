/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine of RAM and CPUs of one engine, and nothing else, for tests of engines: M-mode or, with
 * rig_user(), U-mode whose traps all end the run.
 */
#ifndef HOSPES_TESTS_UNIT_RISCV_RIG_H
#define HOSPES_TESTS_UNIT_RISCV_RIG_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/engine.h"
#include "cpu/riscv/hart.h"
#include "memory/memory.h"

#define RAM_BASE UINT64_C(0x80000000)

enum { RIG_CPUS = 4 };

struct rig {
    const struct engine_type *type;
    struct address_space *as;
    struct engine *engine;
    struct profile *profile;       /* of the next engine; NULL, as at first: none */
    const struct library *library; /* the same */
    unsigned cpu_count;
    struct engine_cpu *cpu[RIG_CPUS];
    struct riscv_hart hart[RIG_CPUS];
    unsigned index; /* of the CPU that rig_start() runs */
    enum cpu_stop stop;
};

/* Harts in M-mode at the start of RAM, traps to RAM_BASE + 0x800, where a wfi is. */
struct rig *rig_new(const struct engine_type *type, const char *options, unsigned cpus,
                    uint64_t ram_size);
/* The same, of whose RAM the first `fixed` bytes are there and the rest can be plugged. */
struct rig *rig_new_pluggable(const struct engine_type *type, const char *options, unsigned cpus,
                              uint64_t fixed, uint64_t size);
void rig_free(struct rig *rig);
/* The engine and its CPUs alone; the harts and the memory stay. */
void rig_make_engine(struct rig *rig, const struct engine_type *type, const char *options);
void rig_free_engine(struct rig *rig);

/* Hart `index` goes to U-mode: the guest has all of memory, floating point is on, and every trap
 * makes run() return CPU_STOP_FIRMWARE. */
void rig_user(struct rig *rig, unsigned index);

/* `at`: from the start of RAM. */
void rig_put(struct rig *rig, uint64_t at, const uint32_t *code, size_t count);
void rig_put64(struct rig *rig, uint64_t at, uint64_t value);
uint64_t rig_get64(struct rig *rig, uint64_t at);

#define PUT(rig, at, ...)                                                                          \
    rig_put(rig, at, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)

enum cpu_stop rig_run(struct rig *rig, uint64_t limit);
/* All CPUs at once, each on a thread of its own, until each has stopped for this reason. */
void rig_run_all(struct rig *rig, enum cpu_stop wanted);

/* rig_run(rig, 0) on another thread. */
void rig_start(struct rig *rig, pthread_t *thread);
/* Waits for the thread's end; false: not within so many milliseconds. */
bool rig_ended(pthread_t thread, unsigned milliseconds);

/* A device at GATE: a load of 4 bytes tells that it has come there and waits to be let go on, in
 * the middle of what its hart executes. The caller destroys nothing; one for each rig. */
#define GATE UINT64_C(0x10000000)

struct gate {
    sem_t entered, leave;
};

void rig_add_gate(struct rig *rig, struct gate *gate);

/* What a test compares after the same program ran: all of the state but the counters. */
bool rig_same_hart(const struct riscv_hart *a, const struct riscv_hart *b);
bool rig_same_memory(struct rig *a, struct rig *b);

#endif
