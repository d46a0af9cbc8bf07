/* SPDX-License-Identifier: Apache-2.0 */
#include "trials.h"

#include <stddef.h>

#include "console.h"
#include "kernel.h"

#define HOLD_MS  5
#define OTHER_MS 50

struct trials {
    struct mutex mutex;
    struct queue to_low, to_middle, to_high, to_worker[2], done;
    uint64_t items[6][2];
    struct task low, middle, high, worker[2];
    uint64_t waited;       /* the high one's time, for the mutex */
    bool middle_was_first; /* it had run when the high one got the mutex */
    bool middle_ran;
    uint64_t slices[2];
};

static struct trials trials;

/* Until the calling task has had the CPU for so long. */
static void compute(uint64_t ms)
{
    uint64_t end = task_used(kernel.current) + ms * kernel.machine.timebase / 1000;

    while (task_used(kernel.current) < end)
        continue;
}

static void low_run(void *argument)
{
    for (;;) {
        queue_receive(&trials.to_low);
        mutex_lock(&trials.mutex);
        queue_send(&trials.to_high, 1); /* it runs at once, and wants the mutex */
        queue_send(&trials.to_middle, 1);
        compute(HOLD_MS);
        mutex_unlock(&trials.mutex);
    }
}

static void middle_run(void *argument)
{
    for (;;) {
        queue_receive(&trials.to_middle);
        compute(OTHER_MS);
        trials.middle_ran = true;
        queue_send(&trials.done, 1);
    }
}

static void high_run(void *argument)
{
    for (;;) {
        uint64_t begin;

        queue_receive(&trials.to_high);
        begin = time_now();
        mutex_lock(&trials.mutex);
        trials.waited = time_now() - begin;
        trials.middle_was_first = trials.middle_ran;
        mutex_unlock(&trials.mutex);
        queue_send(&trials.done, 1);
    }
}

static void worker_run(void *argument)
{
    uint64_t which = (uint64_t)argument;
    struct task *self = &trials.worker[which];

    for (;;) {
        uint64_t ms = queue_receive(&trials.to_worker[which]);
        uint64_t before = self->slices;

        compute(ms);
        trials.slices[which] = self->slices - before;
        queue_send(&trials.done, which);
    }
}

void trials_begin(void)
{
    struct queue *queues[] = {&trials.to_low,       &trials.to_middle,    &trials.to_high,
                              &trials.to_worker[0], &trials.to_worker[1], &trials.done};

    for (unsigned i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
        *queues[i] = (struct queue){.items = trials.items[i], .size = 2};
    task_start(&trials.high, "high", 6, high_run, NULL);
    task_start(&trials.middle, "middle", 4, middle_run, NULL);
    task_start(&trials.low, "low", 3, low_run, NULL);
    task_start(&trials.worker[0], "worker-a", 1, worker_run, (void *)0);
    task_start(&trials.worker[1], "worker-b", 1, worker_run, (void *)1);
}

void trial_inheritance(void)
{
    trials.middle_ran = false;
    queue_send(&trials.to_low, 1);
    queue_receive(&trials.done);
    queue_receive(&trials.done);
    console_say("inheritance: high waited %lu us for low, %s middle's %lu ms: %s\n",
                time_to_us(trials.waited), trials.middle_was_first ? "behind" : "before",
                (uint64_t)OTHER_MS, trials.middle_was_first ? "FAIL" : "ok");
}

void trial_slices(uint64_t ms)
{
    queue_send(&trials.to_worker[0], ms);
    queue_send(&trials.to_worker[1], ms);
    queue_receive(&trials.done);
    queue_receive(&trials.done);
    console_say("slices: two equals had %lu ms each, a in %lu slices, b in %lu\n", ms,
                trials.slices[0] + 1, trials.slices[1] + 1);
}
