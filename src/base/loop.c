/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"

#define ACCEPT_RETRY_NS 1000000000u

#define EVENTS_A_TURN 64

struct watch {
    int fd;
    void (*ready)(void *ctx, int fd, uint32_t events);
    void *ctx;
    bool dead; /* removed during this turn; freed at its end */
    struct watch *next;
};

struct loop {
    int epoll;
    int wake;              /* eventfd: something was posted, or stop */
    int clock;             /* timerfd for the earliest timer */
    struct watch *watches; /* loop's thread only */
    struct watch *dead;

    /* Written by the loop's thread, read by loop_is_current(). */
    _Atomic(pthread_t) thread;
    _Atomic bool running;

    struct mutex lock;
    struct deferred *posted_head GUARDED_BY(lock);
    struct deferred **posted_tail GUARDED_BY(lock);
    unsigned posted_count GUARDED_BY(lock);
    struct timer **heap GUARDED_BY(lock); /* binary heap by deadline; element i has index i + 1 */
    unsigned heap_count GUARDED_BY(lock);
    unsigned heap_room GUARDED_BY(lock);
    uint64_t armed_ns GUARDED_BY(lock); /* what the timerfd is set to; UINT64_MAX: not */
    bool stop GUARDED_BY(lock);
    int result GUARDED_BY(lock);
};

static void loop_wake(struct loop *loop)
{
    uint64_t one = 1;

    /* The counter cannot overflow in practice, and a full one is as good as a wake. */
    if (write(loop->wake, &one, sizeof(one)) < 0)
        BUG_ON(errno != EAGAIN);
}

static void drain(void *ctx, int fd, uint32_t events)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0)
        BUG_ON(errno != EAGAIN && errno != EINTR);
}

int loop_new(struct loop **out)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    int r;

    if (!loop)
        return -ENOMEM;
    mutex_init(&loop->lock);
    mutex_lock(&loop->lock);
    loop->posted_tail = &loop->posted_head;
    loop->armed_ns = UINT64_MAX;
    mutex_unlock(&loop->lock);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll < 0 || loop->wake < 0 || loop->clock < 0) {
        r = -errno;
        loop_free(loop);
        return r;
    }
    r = loop_add_fd(loop, loop->wake, EPOLLIN, drain, loop);
    if (!r)
        r = loop_add_fd(loop, loop->clock, EPOLLIN, drain, loop);
    if (r) {
        loop_free(loop);
        return r;
    }
    *out = loop;
    return 0;
}

static void watches_free(struct watch *watch)
{
    while (watch) {
        struct watch *next = watch->next;

        free(watch);
        watch = next;
    }
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    watches_free(loop->watches);
    watches_free(loop->dead);
    if (loop->clock >= 0)
        close(loop->clock);
    if (loop->wake >= 0)
        close(loop->wake);
    if (loop->epoll >= 0)
        close(loop->epoll);
    mutex_lock(&loop->lock);
    free(loop->heap);
    mutex_unlock(&loop->lock);
    mutex_release(&loop->lock);
    free(loop);
}

/* ---- file descriptors ---- */

static struct watch *watch_find(struct loop *loop, int fd)
{
    struct watch *watch = loop->watches;

    while (watch && watch->fd != fd)
        watch = watch->next;
    return watch;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events,
                void (*ready)(void *ctx, int fd, uint32_t events), void *ctx)
{
    struct epoll_event event = {.events = events};
    struct watch *watch;

    if (watch_find(loop, fd))
        return -EEXIST;
    watch = calloc(1, sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    watch->fd = fd;
    watch->ready = ready;
    watch->ctx = ctx;
    event.data.ptr = watch;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int r = -errno;

        free(watch);
        return r;
    }
    watch->next = loop->watches;
    loop->watches = watch;
    return 0;
}

int loop_set_fd(struct loop *loop, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};
    struct watch *watch = watch_find(loop, fd);

    if (!watch)
        return -ENOENT;
    event.data.ptr = watch;
    return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void loop_remove_fd(struct loop *loop, int fd)
{
    struct watch **link = &loop->watches;

    while (*link && (*link)->fd != fd)
        link = &(*link)->next;
    if (*link) {
        struct watch *watch = *link;

        *link = watch->next;
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
        /* This turn's event list may still point at it. */
        watch->dead = true;
        watch->next = loop->dead;
        loop->dead = watch;
    }
}

/* ---- posted calls ---- */

void deferred_init(struct deferred *deferred, void (*run)(void *ctx), void *ctx)
{
    *deferred = (struct deferred){.run = run, .ctx = ctx};
}

void loop_post(struct loop *loop, struct deferred *deferred)
{
    bool wake = false;

    mutex_lock(&loop->lock);
    if (!deferred->queued) {
        deferred->queued = true;
        deferred->next = NULL;
        wake = !loop->posted_head;
        *loop->posted_tail = deferred;
        loop->posted_tail = &deferred->next;
        loop->posted_count++;
    }
    mutex_unlock(&loop->lock);
    /* Its own thread looks before it sleeps. */
    if (wake && !loop_is_current(loop))
        loop_wake(loop);
}

void loop_unpost(struct loop *loop, struct deferred *deferred)
{
    struct deferred **link;

    mutex_lock(&loop->lock);
    if (deferred->queued) {
        for (link = &loop->posted_head; *link != deferred; link = &(*link)->next)
            BUG_ON(!*link);
        *link = deferred->next;
        if (loop->posted_tail == &deferred->next)
            loop->posted_tail = link;
        loop->posted_count--;
        deferred->queued = false;
    }
    mutex_unlock(&loop->lock);
}

/* Runs what was posted before this turn; what these calls post waits for the next, so that file
 * descriptors and timers get their share. Whether there is any: what was posted meanwhile, by
 * whomever, found the list not empty or the loop's thread itself, and woke nobody. */
static bool loop_run_posted(struct loop *loop)
{
    unsigned left;
    bool more;

    mutex_lock(&loop->lock);
    left = loop->posted_count;
    mutex_unlock(&loop->lock);

    for (; left; left--) {
        struct deferred *deferred;
        void (*run)(void *);
        void *ctx;

        mutex_lock(&loop->lock);
        deferred = loop->posted_head;
        if (!deferred) { /* one was taken back */
            mutex_unlock(&loop->lock);
            break;
        }
        loop->posted_head = deferred->next;
        if (!loop->posted_head)
            loop->posted_tail = &loop->posted_head;
        loop->posted_count--;
        deferred->queued = false;
        run = deferred->run;
        ctx = deferred->ctx;
        mutex_unlock(&loop->lock);
        run(ctx); /* may free or post the struct again */
    }

    mutex_lock(&loop->lock);
    more = loop->posted_head;
    mutex_unlock(&loop->lock);
    return more;
}

/* ---- timers ---- */

static void heap_put(struct loop *loop, unsigned at, struct timer *timer) REQUIRES(loop->lock)
{
    loop->heap[at] = timer;
    timer->index = at + 1;
}

static void heap_up(struct loop *loop, unsigned at) REQUIRES(loop->lock)
{
    struct timer *timer = loop->heap[at];

    while (at && loop->heap[(at - 1) / 2]->deadline_ns > timer->deadline_ns) {
        heap_put(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(loop, at, timer);
}

static void heap_down(struct loop *loop, unsigned at) REQUIRES(loop->lock)
{
    struct timer *timer = loop->heap[at];

    for (;;) {
        unsigned child = 2 * at + 1;

        if (child >= loop->heap_count)
            break;
        if (child + 1 < loop->heap_count &&
            loop->heap[child + 1]->deadline_ns < loop->heap[child]->deadline_ns)
            child++;
        if (loop->heap[child]->deadline_ns >= timer->deadline_ns)
            break;
        heap_put(loop, at, loop->heap[child]);
        at = child;
    }
    heap_put(loop, at, timer);
}

static void heap_remove(struct loop *loop, struct timer *timer) REQUIRES(loop->lock)
{
    unsigned at = timer->index - 1;
    struct timer *last = loop->heap[--loop->heap_count];

    timer->index = 0;
    if (last == timer)
        return;
    heap_put(loop, at, last);
    heap_up(loop, at);
    heap_down(loop, last->index - 1);
}

/* Sets the timerfd for the earliest deadline. A fd set too early costs one idle turn, so it is
 * only moved forward in time lazily, when it fires. */
static void loop_arm(struct loop *loop) REQUIRES(loop->lock)
{
    uint64_t first = loop->heap_count ? loop->heap[0]->deadline_ns : UINT64_MAX;
    struct itimerspec spec = {0};

    if (first >= loop->armed_ns)
        return;
    spec.it_value.tv_sec = (time_t)(first / 1000000000);
    spec.it_value.tv_nsec = (long)(first % 1000000000);
    if (!first)
        spec.it_value.tv_nsec = 1; /* zero would disarm */
    BUG_ON(timerfd_settime(loop->clock, TFD_TIMER_ABSTIME, &spec, NULL));
    loop->armed_ns = first;
}

void timer_init(struct timer *timer, struct loop *loop, void (*run)(void *ctx), void *ctx)
{
    *timer = (struct timer){.loop = loop, .run = run, .ctx = ctx};
}

void timer_set(struct timer *timer, uint64_t deadline_ns)
{
    struct loop *loop = timer->loop;

    /* The kernel takes signed seconds; further than this nobody waits. */
    if (deadline_ns > (uint64_t)INT64_MAX)
        deadline_ns = INT64_MAX;
    mutex_lock(&loop->lock);
    if (timer->index) {
        timer->deadline_ns = deadline_ns;
        heap_up(loop, timer->index - 1);
        heap_down(loop, timer->index - 1);
    } else {
        if (loop->heap_count == loop->heap_room) {
            unsigned room = loop->heap_room ? 2 * loop->heap_room : 16;
            struct timer **heap = reallocarray(loop->heap, room, sizeof(struct timer *));

            BUG_ON(!heap); /* a few hundred bytes a machine */
            loop->heap = heap;
            loop->heap_room = room;
        }
        timer->deadline_ns = deadline_ns;
        heap_put(loop, loop->heap_count, timer);
        heap_up(loop, loop->heap_count++);
    }
    loop_arm(loop);
    mutex_unlock(&loop->lock);
}

void timer_cancel(struct timer *timer)
{
    struct loop *loop = timer->loop;

    mutex_lock(&loop->lock);
    if (timer->index)
        heap_remove(loop, timer);
    mutex_unlock(&loop->lock);
}

static void loop_run_timers(struct loop *loop)
{
    uint64_t now = monotonic_ns();

    mutex_lock(&loop->lock);
    if (loop->armed_ns <= now)
        loop->armed_ns = UINT64_MAX;
    while (loop->heap_count && loop->heap[0]->deadline_ns <= now) {
        struct timer *timer = loop->heap[0];
        void (*run)(void *) = timer->run;
        void *ctx = timer->ctx;

        heap_remove(loop, timer);
        mutex_unlock(&loop->lock);
        run(ctx);
        mutex_lock(&loop->lock);
    }
    loop_arm(loop);
    mutex_unlock(&loop->lock);
}

/* ---- the loop ---- */

void loop_stop(struct loop *loop, int result)
{
    mutex_lock(&loop->lock);
    loop->stop = true;
    loop->result = result;
    mutex_unlock(&loop->lock);
    loop_wake(loop);
}

bool loop_is_current(const struct loop *loop)
{
    return atomic_load(&loop->running) && pthread_equal(atomic_load(&loop->thread), pthread_self());
}

static bool loop_stopped(struct loop *loop, int *result)
{
    bool stop;

    mutex_lock(&loop->lock);
    stop = loop->stop;
    *result = loop->result;
    loop->stop = false;
    mutex_unlock(&loop->lock);
    return stop;
}

int loop_run(struct loop *loop)
{
    struct epoll_event events[EVENTS_A_TURN];
    bool more = true; /* what was posted when this ran last */
    int result, n;

    atomic_store(&loop->thread, pthread_self());
    atomic_store(&loop->running, true);
    while (!loop_stopped(loop, &result)) {
        n = epoll_wait(loop->epoll, events, EVENTS_A_TURN, more ? 0 : -1);
        if (n < 0) {
            BUG_ON(errno != EINTR);
            n = 0;
        }
        for (int i = 0; i < n; i++) {
            struct watch *watch = events[i].data.ptr;

            if (!watch->dead)
                watch->ready(watch->ctx, watch->fd, events[i].events);
        }
        loop_run_timers(loop);
        more = loop_run_posted(loop);
        watches_free(loop->dead);
        loop->dead = NULL;
    }
    atomic_store(&loop->running, false);
    return result;
}

int loop_accept(struct loop *loop, int listener, struct timer *again)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        loop_set_fd(loop, listener, 0);
        timer_set(again, monotonic_ns() + ACCEPT_RETRY_NS);
    }
    return fd;
}
