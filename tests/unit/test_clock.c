/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's time: it runs, stands while paused, and can be set. */
#include <unistd.h>

#include "base/clock.h"
#include "device_fixture.h"

static void sleep_ms(unsigned ms)
{
    uint64_t end = monotonic_ns() + ms * MS;

    while (monotonic_ns() < end)
        usleep(1000);
}

static void test_runs(void **state)
{
    uint64_t before, after, host_before = monotonic_ns(), host_after;
    struct clock clock;

    clock_init(&clock);
    before = clock_now_ns(&clock);
    sleep_ms(5);
    after = clock_now_ns(&clock);
    host_after = monotonic_ns();
    assert_true(after - before >= 5 * MS);
    assert_true(after <= host_after - host_before); /* it began at 0, and is no faster */
}

static void test_pause(void **state)
{
    struct clock clock;
    uint64_t at, resumed, host;

    clock_init(&clock);
    sleep_ms(2);
    clock_pause(&clock);
    at = clock_now_ns(&clock);
    assert_true(at >= 2 * MS);
    sleep_ms(5);
    clock_pause(&clock); /* twice is once */
    assert_int_equal(clock_now_ns(&clock), at);
    host = monotonic_ns();
    clock_resume(&clock);
    clock_resume(&clock);
    resumed = clock_now_ns(&clock);
    host = monotonic_ns() - host;
    assert_in_range(resumed, at, at + host);
    sleep_ms(2);
    assert_true(clock_now_ns(&clock) >= at + 2 * MS);
}

static void test_set(void **state)
{
    /* The second is more than the host has been up. */
    static const uint64_t times[] = {123456789000, 1ull << 62};
    struct clock clock;

    clock_init(&clock);
    for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
        uint64_t host, now;

        clock_pause(&clock);
        clock_set(&clock, times[i]);
        assert_int_equal(clock_now_ns(&clock), times[i]);
        host = monotonic_ns();
        clock_resume(&clock);
        now = clock_now_ns(&clock);
        host = monotonic_ns() - host;
        assert_in_range(now, times[i], times[i] + host);
    }
}

static void test_to_monotonic(void **state)
{
    struct clock clock;
    uint64_t now, ahead, host, at;

    clock_init(&clock);
    now = clock_now_ns(&clock);
    host = monotonic_ns();
    ahead = clock_to_monotonic(&clock, now + 1000 * MS);
    assert_true(ahead <= host + 1000 * MS && ahead > host + 500 * MS);
    /* The answer is exact: when the host is there, the machine is. */
    at = clock_to_monotonic(&clock, now + 3 * MS);
    while (monotonic_ns() < at)
        ;
    assert_true(clock_now_ns(&clock) >= now + 3 * MS);
    assert_int_equal(clock_to_monotonic(&clock, UINT64_MAX), UINT64_MAX);
    clock_pause(&clock);
    assert_int_equal(clock_to_monotonic(&clock, now), UINT64_MAX);
    assert_int_equal(clock_to_monotonic(&clock, UINT64_MAX), UINT64_MAX);
}

/* A machine that was restored on a host that started later than the machine has run: its offset
 * is negative, and deadlines are still right. */
static void test_to_monotonic_after_set(void **state)
{
    static const uint64_t times[] = {0, 1ull << 40, 1ull << 60, 1ull << 62};
    struct clock clock;

    clock_init(&clock);
    for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
        uint64_t host, at;

        clock_pause(&clock);
        clock_set(&clock, times[i]);
        clock_resume(&clock);
        host = monotonic_ns();
        at = clock_to_monotonic(&clock, times[i] + 1000 * MS);
        assert_true(at <= host + 1000 * MS && at > host);
    }
}

/* What is already over is at once, and not never. */
static void test_to_monotonic_past(void **state)
{
    struct clock clock;

    clock_init(&clock);
    clock_pause(&clock);
    clock_set(&clock, 1ull << 62);
    clock_resume(&clock);
    assert_true(clock_to_monotonic(&clock, 5) <= monotonic_ns());
    assert_true(clock_to_monotonic(&clock, (1ull << 62) - 5) <= monotonic_ns());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_to_monotonic),
        cmocka_unit_test(test_to_monotonic_after_set),
        cmocka_unit_test(test_to_monotonic_past),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
