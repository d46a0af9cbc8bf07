/* SPDX-License-Identifier: Apache-2.0 */
/* A thread's own timer: when it comes, on which thread, what takes its place, and that it ends. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alarm.h"
#include "base/thread.h"

#define MS UINT64_C(1000000)

struct seen {
    struct alarm alarm;
    _Atomic unsigned count;
    _Atomic uint64_t at_ns;
    _Atomic pid_t thread;
    _Atomic uint64_t again_ns; /* sets itself once more */
};

static void on_alarm(void *ctx)
{
    struct seen *seen = ctx;
    uint64_t again_ns = atomic_exchange(&seen->again_ns, 0);

    atomic_store(&seen->at_ns, monotonic_ns());
    atomic_store(&seen->thread, gettid());
    atomic_fetch_add(&seen->count, 1);
    if (again_ns)
        alarm_set(&seen->alarm, again_ns);
}

/* So long at least, in all: the alarm ends a sleep. */
static void sleep_ms(unsigned ms)
{
    uint64_t end = monotonic_ns() + ms * MS;

    while (monotonic_ns() < end) {
        const struct timespec little = {.tv_nsec = MS};

        nanosleep(&little, NULL);
    }
}

static void wait_for(struct seen *seen, unsigned count)
{
    uint64_t end = monotonic_ns() + 5000 * MS;

    while (atomic_load(&seen->count) < count)
        assert_true(monotonic_ns() < end);
}

static void begin(struct seen *seen)
{
    int r = alarm_begin(&seen->alarm, on_alarm, seen);

    if (r == -ENOTSUP)
        skip();
    assert_int_equal(r, 0);
}

static void comes_once_and_when_it_is_time(void **state)
{
    static struct seen seen;
    uint64_t now = monotonic_ns();

    begin(&seen);
    alarm_set(&seen.alarm, now + 20 * MS);
    /* Does not sleep meanwhile. */
    wait_for(&seen, 1);
    assert_true(atomic_load(&seen.at_ns) >= now + 20 * MS);
    assert_int_equal(atomic_load(&seen.thread), gettid());
    sleep_ms(30);
    assert_int_equal(atomic_load(&seen.count), 1);
    /* What is past comes at once, the beginning of time too. */
    alarm_set(&seen.alarm, now);
    wait_for(&seen, 2);
    alarm_set(&seen.alarm, 0);
    wait_for(&seen, 3);
    alarm_end(&seen.alarm);
}

static void takes_the_others_place(void **state)
{
    static struct seen seen;
    uint64_t now = monotonic_ns();

    begin(&seen);
    alarm_set(&seen.alarm, now + 1000 * MS);
    alarm_set(&seen.alarm, now + 10 * MS);
    wait_for(&seen, 1);
    assert_true(atomic_load(&seen.at_ns) < now + 900 * MS);
    /* From inside the handler. */
    atomic_store(&seen.again_ns, now + 40 * MS);
    alarm_set(&seen.alarm, now);
    wait_for(&seen, 3);
    assert_true(atomic_load(&seen.at_ns) >= now + 40 * MS);
    /* Never again. */
    alarm_set(&seen.alarm, UINT64_C(1) << 62);
    sleep_ms(20);
    assert_int_equal(atomic_load(&seen.count), 3);
    alarm_end(&seen.alarm);
}

static void is_over_at_its_end(void **state)
{
    static struct seen seen;

    begin(&seen);
    alarm_set(&seen.alarm, monotonic_ns() + 5 * MS);
    alarm_end(&seen.alarm);
    sleep_ms(20);
    assert_int_equal(atomic_load(&seen.count), 0);
}

/* What somebody else sends in its place is not taken for it. */
static void is_not_a_signal_of_others(void **state)
{
    static struct seen seen;

    begin(&seen);
    assert_int_equal(pthread_kill(pthread_self(), SIGRTMIN), 0);
    assert_int_equal(kill(getpid(), SIGRTMIN), 0);
    sleep_ms(5);
    assert_int_equal(atomic_load(&seen.count), 0);
    alarm_end(&seen.alarm);
}

static void *other_thread(void *ctx)
{
    struct seen *seen = ctx;

    begin(seen);
    alarm_set(&seen->alarm, monotonic_ns() + 10 * MS);
    wait_for(seen, 1);
    alarm_end(&seen->alarm);
    return (void *)(intptr_t)gettid();
}

static void each_thread_has_its_own(void **state)
{
    static struct seen seen[2];
    pthread_t threads[2];

    begin(&seen[0]); /* skips where there are none */
    alarm_end(&seen[0].alarm);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, other_thread, &seen[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        void *thread;

        pthread_join(threads[i], &thread);
        assert_int_equal(atomic_load(&seen[i].thread), (intptr_t)thread);
        assert_int_equal(atomic_load(&seen[i].count), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_once_and_when_it_is_time),
        cmocka_unit_test(takes_the_others_place),
        cmocka_unit_test(is_not_a_signal_of_others),
        cmocka_unit_test(each_thread_has_its_own),
        cmocka_unit_test(is_over_at_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
