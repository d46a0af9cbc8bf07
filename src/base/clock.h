/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's time: a counter that runs while the machine runs and stands while it is paused.
 * Reads are lock-free from any thread; pause and resume only while no CPU runs.
 */
#ifndef HOSPES_BASE_CLOCK_H
#define HOSPES_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct clock {
    _Atomic uint64_t offset_ns; /* CLOCK_MONOTONIC minus the machine's time, two's complement */
    uint64_t paused_at_ns;      /* machine's time at the pause */
    _Atomic bool paused;
};

/* The machine's time begins at 0. */
void clock_init(struct clock *clock);
/* Nanoseconds of machine time. */
uint64_t clock_now_ns(const struct clock *clock);
/* The CLOCK_MONOTONIC time at which the machine's time will be `ns` if it is not paused (for
 * timer_set()); 0 for what was before the host started. UINT64_MAX while paused. */
uint64_t clock_to_monotonic(const struct clock *clock, uint64_t ns);
void clock_pause(struct clock *clock);
void clock_resume(struct clock *clock);
/* Sets the machine's time (a restored snapshot's); only while paused. */
void clock_set(struct clock *clock, uint64_t ns);

#endif
