/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The advanced core-local interruptor: inter-processor interrupts (MSWI) and timers (MTIMER) for up
 * to 64 harts, in the layout of the SiFive CLINT; and the time behind the time CSR and stimecmp.
 *
 * Time runs at 10 MHz by the machine's clock plus an offset that a write to mtime changes. A timer
 * of the loop stands behind each mtimecmp and stimecmp; its deadline is moved lazily, so that
 * pushing a deadline further away, which guests do all the time, is two atomic operations.
 *
 * Sources: RISC-V Advanced Core Local Interruptor Specification 1.0-rc4, chapters 2 (MTIMER) and 3
 * (MSWI); SiFive FU540 manual, chapter "CLINT"; QEMU's `virt` machine: 64 KiB at 0x2000000. The
 * timer interrupt of Sstc: Privileged Architecture, "Sstc Extension".
 */
#ifndef HOSPES_DEVICE_ACLINT_H
#define HOSPES_DEVICE_ACLINT_H

#include "base/clock.h"
#include "base/loop.h"
#include "device/device.h"

#define ACLINT_HARTS_MAX    64
#define ACLINT_SIZE         0x10000
#define ACLINT_FREQUENCY_HZ 10000000 /* "timebase-frequency" of the device tree */

struct aclint;

struct aclint_config {
    unsigned harts; /* 1 to ACLINT_HARTS_MAX */
    /* One a hart, copied: the M-level software and timer interrupts. */
    const struct wire *software;
    const struct wire *timer;
    /* The hart's stimecmp deadline was reached, or mtime was written and it must look again. On the
     * loop's thread, or on that of the hart that wrote; no lock held. May be NULL. */
    void (*stimecmp_reached)(void *ctx, unsigned hart);
    void *ctx;
};

/* `clock` stays the caller's and outlives the instance. */
int aclint_new(struct aclint **aclint, struct loop *loop, const struct clock *clock,
               const struct aclint_config *config, struct error *error) MUST_CHECK;

/* mtime, in ticks. Any thread, lock-free. */
uint64_t aclint_time(const struct aclint *aclint) HOT;

/* The hart's stimecmp is now `deadline` (ticks; UINT64_MAX: never). Once mtime has reached it,
 * stimecmp_reached() is called, also if it is in the past already. The deadline is the hart's state
 * and not saved here: after load it is set anew. Any thread, but one at a time for a hart. */
void aclint_set_stimecmp(struct aclint *aclint, unsigned hart, uint64_t deadline);

/*
 * For a hart whose thread has a timer of its own. aclint_when() tells the CLOCK_MONOTONIC time at
 * which mtime reaches `deadline`: 0 if it has, UINT64_MAX for never and while the clock stands.
 * *jumps tells how often mtime jumped until then. Any thread, also in a handler of a signal.
 *
 * Once that timer is set, aclint_leave_stimecmp() notes the deadline in place of
 * aclint_set_stimecmp(): no timer is set here for it. False: mtime jumped since, so that it is to
 * be asked again. The next jump, and the next aclint_set_stimecmp(), bring the timers here back.
 */
uint64_t aclint_when(const struct aclint *aclint, uint64_t deadline, unsigned *jumps);
bool aclint_leave_stimecmp(struct aclint *aclint, unsigned hart, uint64_t deadline,
                           unsigned jumps) MUST_CHECK;

extern const struct device_type aclint_type;

#endif
