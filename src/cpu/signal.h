/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How anyone gets a CPU's attention: one word, polled by a running engine at block boundaries and
 * slept on (futex) by the CPU's thread while the guest waits for an interrupt. No host signal is
 * sent. Raising is idempotent; whoever consumes looks at every source after consuming.
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
};

/* Any thread; whatever was stored before is seen by the CPU after it consumed. */
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
    return atomic_exchange_explicit(&signal->word, 0, memory_order_acq_rel) & CPU_SIGNAL_RAISED;
}

#endif
