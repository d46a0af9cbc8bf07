/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator's riscv64 side: when to translate and run translated code, and what that code
 * asks for. A CPU of the translating engine is the interpreter's with this beside it; the state is
 * the same at every exit, so either can go on at any instruction.
 *
 * On the CPU's own thread but where it says otherwise.
 */
#ifndef HOSPES_CPU_RISCV_NATIVE_H
#define HOSPES_CPU_RISCV_NATIVE_H

#include "cpu/riscv/interpreter.h"

struct native;     /* one a machine */
struct native_cpu; /* one a CPU */

/* engine_type.create with a translator. -ENOTSUP: none for this host. */
int native_engine_create(const struct engine_config *config, struct engine **engine,
                         struct error *error) MUST_CHECK;
void native_free(struct native *native);
/* Before the CPU is seen by others. -ENOMEM. */
int native_cpu_create(struct engine_cpu *cpu) MUST_CHECK;
void native_cpu_free(struct engine_cpu *cpu);
/* A TLB is used for a regime from now on. */
void native_context_init(struct engine_cpu *cpu, struct native_context *context);

/* Runs translated code at hart->pc, if there is any, until it is left. False: there is none. */
bool native_run(struct engine_cpu *cpu);
/* Translates the code at hart->pc, which is the hot block's. False: it cannot be now. */
bool native_translate(struct engine_cpu *cpu, struct code_block *block);
/* Whether what begins at the host address need not be interpreted first: there is a unit, or a
 * profile knows it. Its page was marked at this writing. */
bool native_is_hot(struct engine_cpu *cpu, const uint8_t *host, uint32_t generation);
/* As translator_pressure(). */
unsigned native_pressure(const struct engine_cpu *cpu);
/* fence.i: translations of pages that were written are dropped. */
void native_code_changed(struct engine_cpu *cpu);
/* The guest looks at a counter of instructions: from now on they are counted. True: translated code
 * that is running, if any is, does not count and must be left. */
bool native_count(struct engine_cpu *cpu);

/* An interrupt found the CPU in the regime of now: what often runs gets a window, and what used
 * floating point has to show it again. */
void native_tick(struct engine_cpu *cpu);
/* After a fence: the pages of the window that the page tables no longer have are unmapped. One with
 * nothing in it is closed. */
void native_window_review(struct engine_cpu *cpu, struct tlb *tlb);
/* The regime is void, or is better off without. */
void native_window_close(struct engine_cpu *cpu, struct tlb *tlb);
/* run() begins, on this thread. */
void native_begin(struct engine_cpu *cpu);
/* On the thread of the last run(), which lets go of the CPU. */
void native_leave(struct engine_cpu *cpu);

/* Sets what is the machine's. Any thread. */
void native_counters(const struct engine_cpu *cpu, struct engine_counters *counters);
/* As engine_type.footprint() and trim(). */
void native_footprint(struct engine_cpu *cpu, struct engine_footprint *footprint);
uint64_t native_trim(struct engine_cpu *cpu);
/* As engine_type.make_library(). */
int native_library_make(struct engine_cpu *cpu, int fd) MUST_CHECK;

#endif
