/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/throttle.h"

#include <time.h>

/* Between two looks at the least: a look costs a few system calls. */
#define LOOK_NS UINT64_C(5000000)

static uint64_t used_now(const struct throttle *throttle)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < throttle->count; i++) {
        struct timespec time;
        clockid_t clock;

        if (throttle->cpus[i].started && !pthread_getcpuclockid(throttle->cpus[i].thread, &clock) &&
            !clock_gettime(clock, &time))
            sum += (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
    }
    return sum;
}

static void throttle_hold(struct throttle *throttle, bool held)
{
    if (throttle->held == held)
        return;
    throttle->held = held;
    throttle->hold(throttle->ctx, held);
}

/* Brings the bucket up to date. */
static void throttle_count(struct throttle *throttle)
{
    uint64_t now = monotonic_ns(), used = used_now(throttle);
    int64_t burst = (int64_t)(THROTTLE_BURST_NS * throttle->percent / 100);

    throttle->tokens += (int64_t)((now - throttle->looked) * throttle->percent / 100);
    throttle->tokens -= (int64_t)(used - throttle->used);
    if (throttle->tokens > burst)
        throttle->tokens = burst;
    throttle->looked = now;
    throttle->used = used;
}

/* When there is something to see again: the debt is paid, or all CPUs have been busy and have used
 * up what there is. */
static uint64_t throttle_wait(const struct throttle *throttle)
{
    uint64_t most = throttle->count * UINT64_C(100), wait;

    if (throttle->held)
        wait = (uint64_t)-throttle->tokens * 100 / throttle->percent + LOOK_NS;
    else if (most > throttle->percent)
        wait = (uint64_t)throttle->tokens * 100 / (most - throttle->percent);
    else
        wait = THROTTLE_BURST_NS; /* they cannot use as much at all */
    return wait < LOOK_NS ? LOOK_NS : wait;
}

static void throttle_look(void *ctx)
{
    struct throttle *throttle = ctx;

    if (!throttle->percent || !throttle->runs)
        return;
    throttle_count(throttle);
    throttle_hold(throttle, throttle->tokens < 0);
    timer_set(&throttle->timer, throttle->looked + throttle_wait(throttle));
}

/* From here on, with an empty bucket. */
static void throttle_begin(struct throttle *throttle)
{
    throttle->looked = monotonic_ns();
    throttle->used = used_now(throttle);
    throttle->tokens = 0;
    throttle_look(throttle);
}

void throttle_init(struct throttle *throttle, struct loop *loop, void (*hold)(void *ctx, bool held),
                   void *ctx)
{
    *throttle = (struct throttle){.hold = hold, .ctx = ctx};
    timer_init(&throttle->timer, loop, throttle_look, throttle);
}

void throttle_release(struct throttle *throttle)
{
    timer_cancel(&throttle->timer);
}

void throttle_set(struct throttle *throttle, unsigned percent)
{
    throttle->percent = percent;
    if (!percent) {
        timer_cancel(&throttle->timer);
        throttle_hold(throttle, false);
    } else if (throttle->runs) {
        throttle_begin(throttle);
    }
}

void throttle_run(struct throttle *throttle, bool runs)
{
    throttle->runs = runs;
    throttle->held = false; /* who lets the machine run again opens its gate */
    if (!runs)
        timer_cancel(&throttle->timer);
    else if (throttle->percent)
        throttle_begin(throttle);
}
