/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop: file descriptors, timers and posted calls, on one thread.
 *
 * Who runs loop_run() is "the loop's thread"; every callback runs there, with no lock held.
 * loop_post(), loop_stop() and timer_set()/timer_cancel() may be called from any thread; the
 * loop_add_fd() family only on the loop's thread or before loop_run(). Callbacks may add and
 * remove anything, themselves included. There is no polling tick: an idle loop sleeps.
 */
#ifndef HOSPES_BASE_LOOP_H
#define HOSPES_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct loop;

/* Returns 0 or -errno. */
int loop_new(struct loop **loop) MUST_CHECK;
void loop_free(struct loop *loop);

/* Runs until loop_stop(); then returns the value given there. */
int loop_run(struct loop *loop);
/* Makes loop_run() return `result` after the callback in progress. Any thread. */
void loop_stop(struct loop *loop, int result);
/* True on the thread that is inside loop_run(). */
bool loop_is_current(const struct loop *loop);

/* Watches `fd` for `events` (EPOLLIN | EPOLLOUT | ...; level-triggered unless EPOLLET is among
 * them); one watch an fd. The fd stays the caller's. Returns 0 or -errno. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events,
                void (*ready)(void *ctx, int fd, uint32_t events), void *ctx) MUST_CHECK;
/* Changes the events; 0 keeps the watch but mutes it. */
int loop_set_fd(struct loop *loop, int fd, uint32_t events);
/* After return the callback does not run again. Must precede close(fd). */
void loop_remove_fd(struct loop *loop, int fd);

/*
 * A call to make on the loop's thread. The struct is the caller's, embedded where it is needed and
 * initialised once by deferred_init(); posting it again before it ran is a no-op, so a burst of
 * posts costs one run.
 */
struct deferred {
    void (*run)(void *ctx);
    void *ctx;
    struct deferred *next; /* of the loop */
    bool queued;           /* guarded by the loop's lock */
};

void deferred_init(struct deferred *deferred, void (*run)(void *ctx), void *ctx);
/* Any thread; the struct must live until it ran or loop_unpost() was called. */
void loop_post(struct loop *loop, struct deferred *deferred);
/* Takes a posted call back if it has not run yet. Loop's thread, or the loop is not running. */
void loop_unpost(struct loop *loop, struct deferred *deferred);

/*
 * A one-shot timer on CLOCK_MONOTONIC. The struct is the caller's. `run` is called on the loop's
 * thread once CLOCK_MONOTONIC has reached the deadline; setting it again moves the deadline.
 */
struct timer {
    struct loop *loop;
    void (*run)(void *ctx);
    void *ctx;
    uint64_t deadline_ns; /* guarded by the loop's lock, as the index */
    unsigned index;       /* place in the loop's heap + 1; 0 = not set */
};

void timer_init(struct timer *timer, struct loop *loop, void (*run)(void *ctx), void *ctx);
/* Any thread. A deadline in the past fires at once. */
void timer_set(struct timer *timer, uint64_t deadline_ns);
/* Any thread. On the loop's thread: the callback does not run after this returns. On another
 * thread a callback that has begun may still be running. */
void timer_cancel(struct timer *timer);

/* Accepts at a listener that the loop watches: a descriptor that does not block, or -1. Where no
 * more can be had the listener, which would be ready for ever, is muted, and `again` set, whose
 * callback is to watch it again. The loop's thread. */
int loop_accept(struct loop *loop, int listener, struct timer *again) MUST_CHECK;

#endif
