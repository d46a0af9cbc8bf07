/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every way of running guest instructions offers: the interpreter, the translator, KVM.
 *
 * An engine belongs to one machine and runs its CPUs, each on a host thread of the machine's. The
 * guest's architectural state lives in a struct of the guest architecture (cpu/riscv/hart.h) that
 * is no engine's own: outside run(), after state_out(), it is complete, so a machine can be saved,
 * inspected, or handed to another engine at any instruction. Caches (decoded blocks, TLBs) are the
 * engine's, behind struct engine_cpu.
 *
 * Threads: run(), leave(), state_out(), state_in() and cpu_free() on the CPU's own thread, or while
 * it is known not to run; kick(), flush_tlb() and forget() from any thread. Before another thread
 * than the one that ran the CPU frees it, that one calls leave() or ends.
 */
#ifndef HOSPES_CPU_ENGINE_H
#define HOSPES_CPU_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "memory/memory.h"

struct engine;     /* one a machine */
struct engine_cpu; /* one a CPU */
struct library;
struct profile;

/* Why run() came back. */
enum cpu_stop {
    CPU_STOP_KICK,       /* kick() was called; the request is consumed */
    CPU_STOP_WAIT,       /* the guest waits for an interrupt (wfi) and none is pending */
    CPU_STOP_FIRMWARE,   /* a trap to the firmware mode, which hospes itself plays */
    CPU_STOP_BREAKPOINT, /* the pc is at a breakpoint of engine_type.breakpoint; not yet executed */
    CPU_STOP_LIMIT,      /* max_instructions were executed */
};

struct engine_config {
    struct address_space *memory;
    unsigned cpu_count;
    const struct log *log;
    /* What the engine's own documentation tells, as "name=value,name=value"; NULL: nothing. */
    const char *options;
    /* What was executed often in earlier runs, and learns of this one; NULL: nobody wants to know.
     * It is the engine's alone while a CPU runs. */
    struct profile *profile;
    /* Translated code that machines share (cpu/translate/library.h), which outlives the engine;
     * NULL: none. One that does not fit is not used. */
    const struct library *library;
    /* For threads of the engine's own; NULL: none. Outlives it. */
    const struct thread_guard *guard;
};

struct engine_counters {
    uint64_t instructions;       /* guest instructions retired */
    uint64_t blocks_decoded;     /* decoded or translated */
    uint64_t blocks_invalidated; /* thrown away because the guest wrote to them */
    uint64_t tlb_misses;         /* page-table walks */
    uint64_t tlb_flushes;
    uint64_t traps;

    /* A translator's; 0 elsewhere. What belongs to the machine is told by its first CPU. */
    uint64_t units, unit_instructions, unit_bytes; /* translated in all; of guest code */
    uint64_t code_bytes, cold_bytes;               /* what they became; of it out of line */
    uint64_t table_bytes;                          /* what is kept of them beside */
    uint64_t translation_ns;
    uint64_t units_dropped;  /* written to, or evicted */
    uint64_t units_profiled; /* translated sooner because a profile knew them */
    uint64_t units_shared;   /* taken from a library in place of being translated */
    uint64_t pages_hashed;   /* looked up in a profile */
    uint64_t segments_evicted;
    uint64_t regions, region_instructions, region_code_bytes,
        region_ns;         /* the second tier's of these */
    uint64_t streams;      /* loops that are done by vectors */
    uint64_t window_fills; /* faults that were answered by mapping pages */
    uint64_t exits_jump, exits_poll, exits_step, exits_helper;
    uint64_t helped_loads, helped_stores, helped_instructions, helped_lookups, helped_edges,
        helped_links; /* out of line */
};

/* What translations of the machine hold, in bytes. */
struct engine_footprint {
    uint64_t code, tables; /* shared memory, mapped twice, and private memory */
    uint64_t spare;        /* of both, that trim() would give back now */
    uint64_t lookups;      /* shared memory: what CPUs know of address spaces, at most */
    uint64_t library;      /* code of a library's units that are in use, which is nobody's own */
};

/* All hooks are mandatory. */
struct engine_type {
    const char *name; /* as in --engine */
    unsigned version; /* ENGINE_VERSION of the header it was built against */

    int (*create)(const struct engine_config *config, struct engine **engine, struct error *error);
    void (*free)(struct engine *engine); /* after every cpu_free() */

    /* `state` is the guest architecture's state struct, the caller's, living longer. */
    int (*cpu_create)(struct engine *engine, unsigned index, void *state, struct engine_cpu **cpu,
                      struct error *error);
    void (*cpu_free)(struct engine_cpu *cpu);

    /* Runs until something that enum cpu_stop names. max_instructions: at most so many, 0 for no
     * limit. Pending interrupts are taken inside. */
    enum cpu_stop (*run)(struct engine_cpu *cpu, uint64_t max_instructions);
    /* Makes a run() in progress return CPU_STOP_KICK soon, or the next one at once. */
    void (*kick)(struct engine_cpu *cpu);

    /* Called on the thread of the last run(): nothing of the thread's (a handler of faults, a stack
     * for signals) is the engine's any more, until the next run(). */
    void (*leave)(struct engine_cpu *cpu);

    /* The CPU is about to sleep: what it keeps to be fast and has not needed lately may go back to
     * the host. On the thread of the last run(). */
    void (*idle)(struct engine_cpu *cpu);

    /* Makes the state struct complete / says that it was changed from outside. */
    void (*state_out)(struct engine_cpu *cpu);
    void (*state_in)(struct engine_cpu *cpu);

    /* Forgets translations of guest-virtual [vaddr, vaddr + size) (size UINT64_MAX: all) of address
     * space `asid` (UINT64_MAX: all). When it returns the CPU uses none of them any more. */
    void (*flush_tlb)(struct engine_cpu *cpu, uint64_t vaddr, uint64_t size, uint64_t asid);
    /* Forgets all that it knows of memory, whatever the address space, and where in it RAM is: it
     * may be there no more (memory_unplug()). When it returns the CPU uses none of it any more. */
    void (*forget)(struct engine_cpu *cpu);
    /* Forgets code decoded from the CPU's stale view of memory: what fence.i does, from outside. */
    void (*flush_code)(struct engine_cpu *cpu);

    /* Stops before the instruction at guest-virtual `vaddr`, except where a run() begins: whoever
     * goes on from a breakpoint must get past it. -ENOSPC when the engine's table is full. The CPU
     * does not run. */
    int (*breakpoint)(struct engine_cpu *cpu, uint64_t vaddr, bool set);
    void (*counters)(const struct engine_cpu *cpu, struct engine_counters *counters);

    /* From any thread, while CPUs run; asked of the first CPU. */
    void (*footprint)(struct engine_cpu *cpu, struct engine_footprint *footprint);
    /* Forgets what was translated longest ago, up to an eighth of what there may be, and gives its
     * memory back to the host; not what was translated just now. Returns how many bytes; less than
     * `spare` while a CPU is still in it. As footprint(). */
    uint64_t (*trim)(struct engine_cpu *cpu);

    /* Writes a library of what the machine has executed to the file, which is empty. The CPUs do
     * not run. Asked of the first CPU. -ENOTSUP: the engine has none; -EINVAL: it lacks a profile,
     * or has options that libraries are not for. */
    int (*make_library)(struct engine_cpu *cpu, int fd);
};

#define ENGINE_VERSION 8

#endif
