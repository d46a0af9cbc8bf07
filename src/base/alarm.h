/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timer of one thread's own: when it is time the thread itself is interrupted, whatever it is at
 * (timer_create(2), SIGEV_THREAD_ID). It wakes nobody else, which a timer of a loop does: on a host
 * whose CPUs are wanted by many, a second thread that runs for microseconds each time costs the
 * first one more than that.
 *
 * The function runs in a signal handler, on the thread's stack for signals if it has one: it may
 * use atomic variables, futexes, monotonic_ns() and alarm_set(), and no lock. All other functions
 * are the thread's.
 */
#ifndef HOSPES_BASE_ALARM_H
#define HOSPES_BASE_ALARM_H

#include <stdint.h>
#include <time.h>

#include "base/compiler.h"

struct alarm {
    timer_t timer;
    void (*reached)(void *ctx);
    void *ctx;
};

/* For the calling thread; `alarm` stays where it is until alarm_end(). Returns 0 or -errno: -EAGAIN
 * where the user's signals are used up, -ENOTSUP where handlers do not run at once
 * (ThreadSanitizer). */
int alarm_begin(struct alarm *alarm, void (*reached)(void *ctx), void *ctx) MUST_CHECK;
/* At CLOCK_MONOTONIC `at_ns`, at once if that is past, in place of what was set. One that was on
 * its way may come all the same. */
void alarm_set(struct alarm *alarm, uint64_t at_ns);
/* From here on the function is not called. The thread makes no other alarm. */
void alarm_end(struct alarm *alarm);

#endif
