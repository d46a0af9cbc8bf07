/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of the Goldfish real-time clock, and its alarm. */
#include <stdlib.h>
#include <time.h>

#include "device/goldfish_rtc.h"
#include "device_fixture.h"

#define SECOND 1000000000ull

enum {
    TIME_LOW = 0x00,
    TIME_HIGH = 0x04,
    ALARM_LOW = 0x08,
    ALARM_HIGH = 0x0c,
    IRQ_ENABLED = 0x10,
    CLEAR_ALARM = 0x14,
    ALARM_STATUS = 0x18,
    CLEAR_IRQ = 0x1c,
};

struct fixture {
    struct loop *loop;
    struct goldfish_rtc *rtc;
    struct probe irq;
};

static uint32_t get(struct fixture *f, uint64_t offset)
{
    return (uint32_t)goldfish_rtc_type.io.read(f->rtc, offset, 4);
}

static void put(struct fixture *f, uint64_t offset, uint32_t value)
{
    goldfish_rtc_type.io.write(f->rtc, offset, 4, value);
}

static uint64_t rtc_time(struct fixture *f)
{
    uint64_t low = get(f, TIME_LOW);

    return low | (uint64_t)get(f, TIME_HIGH) << 32;
}

/* In the order of Linux' driver. */
static void set_time(struct fixture *f, uint64_t ns)
{
    put(f, TIME_HIGH, (uint32_t)(ns >> 32));
    put(f, TIME_LOW, (uint32_t)ns);
}

static void set_alarm(struct fixture *f, uint64_t ns)
{
    put(f, ALARM_HIGH, (uint32_t)(ns >> 32));
    put(f, ALARM_LOW, (uint32_t)ns);
}

static uint64_t host_time(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct wire irq = probe_wire(&f->irq, 0);

    *state = f;
    return loop_new(&f->loop) || goldfish_rtc_new(&f->rtc, f->loop, &irq, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    goldfish_rtc_type.free(f->rtc);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void test_time(void **state)
{
    struct fixture *f = *state;
    uint64_t before = host_time(), now = rtc_time(f), after = host_time();

    assert_in_range(now, before, after);
}

static void test_latch(void **state)
{
    struct fixture *f = *state;
    uint32_t high;

    assert_int_equal(get(f, TIME_HIGH), 0); /* nothing latched yet */
    set_time(f, 0x12345678fffffff0);
    get(f, TIME_LOW);
    high = get(f, TIME_HIGH);
    loop_run_for(f->loop, MS);
    assert_int_equal(get(f, TIME_HIGH), high); /* until TIME_LOW is read again */
    get(f, TIME_LOW);
    assert_int_equal(get(f, TIME_HIGH), 0x12345679);
}

static void test_set_time(void **state)
{
    struct fixture *f = *state;

    set_time(f, 5 * SECOND);
    assert_in_range(rtc_time(f), 5 * SECOND, 6 * SECOND);
    goldfish_rtc_type.reset(f->rtc); /* a battery keeps it */
    assert_in_range(rtc_time(f), 5 * SECOND, 6 * SECOND);
    set_time(f, UINT64_MAX - 20 * SECOND);
    assert_in_range(rtc_time(f), UINT64_MAX - 20 * SECOND, UINT64_MAX - 19 * SECOND);
}

static void test_alarm(void **state)
{
    struct fixture *f = *state;
    uint64_t at = rtc_time(f) + 100 * MS;

    put(f, IRQ_ENABLED, 0xffffffff);
    assert_int_equal(get(f, IRQ_ENABLED), 1);
    set_alarm(f, at);
    assert_int_equal(get(f, ALARM_STATUS), 1);
    assert_int_equal(get(f, ALARM_LOW), (uint32_t)at);
    assert_int_equal(get(f, ALARM_HIGH), (uint32_t)(at >> 32));
    assert_false(f->irq.level);
    assert_true(loop_run_until(f->loop, &f->irq.level));
    assert_true(rtc_time(f) >= at);
    assert_int_equal(get(f, ALARM_STATUS), 0);
    put(f, CLEAR_IRQ, 0);
    assert_false(f->irq.level);
    loop_run_for(f->loop, 5 * MS);
    assert_int_equal(f->irq.rises, 1);
}

static void test_alarm_in_the_past(void **state)
{
    struct fixture *f = *state;

    set_alarm(f, rtc_time(f) - SECOND);
    assert_int_equal(get(f, ALARM_STATUS), 0);
    assert_false(f->irq.level); /* not enabled, but it is pending */
    put(f, IRQ_ENABLED, 1);
    assert_true(f->irq.level);
    put(f, IRQ_ENABLED, 0);
    assert_false(f->irq.level);
}

static void test_clear_alarm(void **state)
{
    struct fixture *f = *state;

    put(f, IRQ_ENABLED, 1);
    set_alarm(f, rtc_time(f) + 100 * MS);
    put(f, CLEAR_ALARM, 0);
    assert_int_equal(get(f, ALARM_STATUS), 0);
    loop_run_for(f->loop, 150 * MS);
    assert_int_equal(f->irq.rises, 0);

    set_alarm(f, rtc_time(f) + 100 * MS);
    goldfish_rtc_type.reset(f->rtc);
    put(f, IRQ_ENABLED, 1);
    loop_run_for(f->loop, 150 * MS);
    assert_int_equal(f->irq.rises, 0);
}

static void test_time_moves_past_alarm(void **state)
{
    struct fixture *f = *state;
    uint64_t now = rtc_time(f);

    put(f, IRQ_ENABLED, 1);
    set_alarm(f, now + 3600 * SECOND);
    assert_false(f->irq.level);
    set_time(f, now + 3601 * SECOND);
    assert_true(f->irq.level);
    assert_int_equal(get(f, ALARM_STATUS), 0);

    put(f, CLEAR_IRQ, 0);
    set_alarm(f, UINT64_MAX); /* never, and no overflow on the way */
    assert_int_equal(get(f, ALARM_STATUS), 1);
    assert_false(f->irq.level);
}

static void test_state(void **state)
{
    struct fixture *f = *state;
    uint8_t saved[64], bad[64];

    set_time(f, 1000 * SECOND);
    put(f, IRQ_ENABLED, 1);
    set_alarm(f, 1000 * SECOND + 20 * MS);
    device_save(&goldfish_rtc_type, f->rtc, saved);
    set_time(f, 5000 * SECOND);
    goldfish_rtc_type.reset(f->rtc);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(bad, saved, sizeof(bad));
        bad[device_field(&goldfish_rtc_type, "alarm_set") + i] = 2;
        assert_false(device_load(&goldfish_rtc_type, f->rtc, bad));
    }
    assert_true(device_load(&goldfish_rtc_type, f->rtc, saved));
    assert_in_range(rtc_time(f), 1000 * SECOND, 1006 * SECOND);
    assert_true(loop_run_until(f->loop, &f->irq.level));
}

static void test_hostile(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(goldfish_rtc_type.io.widths, 4);
    device_hammer(&goldfish_rtc_type, f->rtc, 0x1000);
    loop_run_for(f->loop, MS);
    assert_true(goldfish_rtc_type.check(f->rtc));
    assert_int_equal(get(f, 0x20), 0);
    goldfish_rtc_type.free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_time),
        TEST(test_latch),
        TEST(test_set_time),
        TEST(test_alarm),
        TEST(test_alarm_in_the_past),
        TEST(test_clear_alarm),
        TEST(test_time_moves_past_alarm),
        TEST(test_state),
        TEST(test_hostile),
    };

    return cmocka_run_group_tests_name("goldfish_rtc", tests, NULL, NULL);
}
