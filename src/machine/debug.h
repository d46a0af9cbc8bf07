/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a debugger can do to a machine that machine_debug_stop() has stopped: its CPUs' registers,
 * its memory as a CPU sees it, and breakpoints. struct debug is the machine's.
 *
 * All functions on the loop's thread, between machine_debug_stop() and machine_debug_resume(). None
 * leaves a trace in the guest: breakpoints are the engine's and never bytes of the guest, reads set
 * no A bit and reach no device. A write to code is one to every engine, as a device's is.
 *
 * Registers have the numbers that GDB gives those of riscv64: 0 to 31 the integer registers, 32 pc,
 * 33 to 64 the floating-point registers, 65 + n the CSR n.
 */
#ifndef HOSPES_MACHINE_DEBUG_H
#define HOSPES_MACHINE_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/engines.h"
#include "machine/vcpu.h"

enum { DEBUG_BREAKPOINTS = VCPU_BREAKPOINTS };

/* What a CPU does when the machine goes on. */
enum debug_action {
    DEBUG_HOLD, /* stays where it is */
    DEBUG_GO,
    DEBUG_STEP, /* one instruction, or one interrupt that it takes; then all stop */
};

enum debug_reason { DEBUG_BREAKPOINT, DEBUG_STEPPED };

struct debug_events {
    /* CPU `cpu` stopped the machine: at a breakpoint (its instruction is the next one), or since
     * its step is made. Loop's thread. */
    void (*stopped)(void *ctx, unsigned cpu, enum debug_reason reason);
    void *ctx;
};

/* Inside machine/ only. */
struct debug {
    struct vcpu *cpus;
    unsigned cpu_count;
    struct address_space *memory;
    struct vcpu_breakpoints breakpoints;
};

/* ---- for a debugger ---- */

struct debug_register {
    unsigned number;
    const char *name;    /* GDB's */
    const char *feature; /* of GDB's target descriptions */
    const char *type;    /* NULL: an integer */
    unsigned bits;       /* 32 or 64 */
};

/* The `index`-th register in ascending order of numbers, false after the last. */
bool debug_register(unsigned index, struct debug_register *reg);
/* How many of the first of them belong to a dump of all registers; each has 64 bits. */
enum { DEBUG_DUMP_REGISTERS = 65, DEBUG_PC = 32 };

/* -ENOENT: there is no such register; -EACCES: it cannot be written. */
int debug_read_register(const struct debug *debug, unsigned cpu, unsigned number,
                        uint64_t *value) MUST_CHECK;
int debug_write_register(struct debug *debug, unsigned cpu, unsigned number,
                         uint64_t value) MUST_CHECK;

/* Guest-virtual memory as `cpu` sees it, physical where it translates nothing. Whatever the pages
 * allow; S-mode's view of user pages, and in U-mode the kernel's pages too. -EFAULT when a page is
 * not there or not RAM; then the part before it may have been copied. */
int debug_read_memory(struct debug *debug, unsigned cpu, uint64_t vaddr, void *to,
                      uint64_t length) MUST_CHECK;
int debug_write_memory(struct debug *debug, unsigned cpu, uint64_t vaddr, const void *from,
                       uint64_t length) MUST_CHECK;

/* On all CPUs; one that is there is set again, one that is not there is cleared, without a word.
 * They outlive a change of the engine and a reboot. -ENOSPC. */
int debug_set_breakpoint(struct debug *debug, uint64_t vaddr) MUST_CHECK;
void debug_clear_breakpoint(struct debug *debug, uint64_t vaddr);
void debug_clear_breakpoints(struct debug *debug);

/* False: the guest has not started this CPU. */
bool debug_cpu_started(const struct debug *debug, unsigned cpu);

/* ---- for the machine ---- */

void debug_init(struct debug *debug, struct vcpu *cpus, unsigned cpu_count,
                struct address_space *memory);
/* All CPUs have parked: makes their states complete. */
void debug_begin(struct debug *debug);
/* Sets the breakpoints in another engine's CPUs. -ENOSPC. */
int debug_arm(const struct debug *debug, const struct machine_engine *engine) MUST_CHECK;

#endif
