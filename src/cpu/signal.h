/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How anyone gets a CPU's attention: one word, polled by a running engine at block boundaries and
 * slept on (futex) by the CPU's thread while the guest waits for an interrupt. No host signal is
 * sent for it. Raising is idempotent; whoever consumes looks at every source after consuming.
 */
#ifndef HOSPES_CPU_SIGNAL_H
#define HOSPES_CPU_SIGNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
    CPU_SIGNAL_RAISED = 1,
    CPU_SIGNAL_WAITING = 2,
};

struct cpu_signal {
    _Atomic uint32_t word; /* CPU_SIGNAL_* */
    /* For an engine that polls by comparing a stack pointer with its limit, and so asks for both at
     * once: all ones after a raise, `floor` after a consume. The limit may stay raised when the
     * word is not. */
    _Atomic uint64_t limit;
    uint64_t floor; /* the CPU's thread */
};

/* Any thread, also in a handler of a signal; whatever was stored before is seen by the CPU after it
 * consumed. */
void cpu_signal_raise(struct cpu_signal *signal);
/* The CPU's thread: sleeps until raised; consumes nothing. */
void cpu_signal_wait(struct cpu_signal *signal);

static inline bool cpu_signal_pending(const struct cpu_signal *signal)
{
    return unlikely(atomic_load_explicit(&signal->word, memory_order_relaxed) != 0);
}

/* The CPU's thread: true when it was raised since the last time. */
static inline bool cpu_signal_consume(struct cpu_signal *signal)
{
    /* First, so that what is raised meanwhile stays raised. */
    atomic_store_explicit(&signal->limit, signal->floor, memory_order_relaxed);
    return atomic_exchange_explicit(&signal->word, 0, memory_order_acq_rel) & CPU_SIGNAL_RAISED;
}

/* The CPU's thread, when it found the limit raised: takes it back if nothing is pending. */
static inline void cpu_signal_settle(struct cpu_signal *signal)
{
    atomic_store_explicit(&signal->limit, signal->floor, memory_order_seq_cst);
    if (atomic_load_explicit(&signal->word, memory_order_seq_cst))
        atomic_store_explicit(&signal->limit, UINT64_MAX, memory_order_relaxed);
}

#endif
