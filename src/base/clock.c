/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/thread.h"

void clock_init(struct clock *clock)
{
    atomic_init(&clock->offset_ns, monotonic_ns());
    atomic_init(&clock->paused, false);
    clock->paused_at_ns = 0;
}

uint64_t clock_now_ns(const struct clock *clock)
{
    if (atomic_load_explicit(&clock->paused, memory_order_acquire))
        return clock->paused_at_ns;
    return monotonic_ns() - atomic_load_explicit(&clock->offset_ns, memory_order_relaxed);
}

uint64_t clock_to_monotonic(const struct clock *clock, uint64_t ns)
{
    uint64_t offset, sum;

    if (atomic_load_explicit(&clock->paused, memory_order_acquire))
        return UINT64_MAX;
    offset = atomic_load_explicit(&clock->offset_ns, memory_order_relaxed);
    /* Negative: a restored machine may have run for longer than its new host. */
    if (offset >> 63)
        return ns > -offset ? ns - -offset : 0;
    if (__builtin_add_overflow(ns, offset, &sum))
        return UINT64_MAX;
    return sum;
}

void clock_pause(struct clock *clock)
{
    if (clock->paused)
        return;
    clock->paused_at_ns = clock_now_ns(clock);
    atomic_store_explicit(&clock->paused, true, memory_order_release);
}

void clock_resume(struct clock *clock)
{
    if (!clock->paused)
        return;
    atomic_store_explicit(&clock->offset_ns, monotonic_ns() - clock->paused_at_ns,
                          memory_order_relaxed);
    atomic_store_explicit(&clock->paused, false, memory_order_release);
}

void clock_set(struct clock *clock, uint64_t ns)
{
    clock->paused_at_ns = ns;
}
