/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hard cap on the host CPU time of a machine's vCPUs, without any right on the host: a token
 * bucket of CPU time. The vCPU threads' clocks are looked at when they can have used it up at the
 * earliest; then they stand still until the bucket is out of debt, while the guest's clock goes on,
 * as on a CPU that is stolen from it. Without a cap nothing wakes up.
 *
 * Everything on the loop's thread. Inside machine/ only.
 */
#ifndef HOSPES_MACHINE_THROTTLE_H
#define HOSPES_MACHINE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "machine/vcpu.h"

/* What may be used at once after an idle time, as time at the cap's rate. */
#define THROTTLE_BURST_NS UINT64_C(100000000)

struct throttle {
    const struct vcpu *cpus; /* set by the owner, before the first throttle_run() */
    unsigned count;
    void (*hold)(void *ctx, bool held); /* stop or go */
    void *ctx;
    struct timer timer;
    unsigned percent; /* of one host CPU; 0: no cap */
    bool held;
    bool runs;
    int64_t tokens;        /* ns of CPU time; negative: in debt */
    uint64_t used, looked; /* the CPUs' time and the clock, at the last look */
};

/* `hold` is called with true to stop the CPUs and with false to let them go again. */
void throttle_init(struct throttle *throttle, struct loop *loop, void (*hold)(void *ctx, bool held),
                   void *ctx);
/* Before the threads go. */
void throttle_release(struct throttle *throttle);
/* Per cent of one host CPU for all vCPUs together; 0 lifts the cap. */
void throttle_set(struct throttle *throttle, unsigned percent);
/* The machine runs, or stands still for another reason: then nothing is looked at. */
void throttle_run(struct throttle *throttle, bool runs);

#endif
