/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon's statistics queue: unasked, asked for, at intervals; and lies. */
#include "balloon_fixture.h"

#define ENTRY 10u

struct entry {
    uint16_t tag;
    uint64_t value;
};

/* The driver's buffer with these entries and `torn` bytes of another one. */
static void offer(struct balloon_fixture *f, const struct entry *entries, unsigned count,
                  unsigned torn)
{
    const struct buffer buffer = {f->buffer, count * ENTRY + torn, false};
    uint8_t raw[BUFFER_SIZE] = {0};

    for (unsigned i = 0; i < count; i++) {
        store_le16(raw + ENTRY * i, entries[i].tag);
        store_le64(raw + ENTRY * i + 2, entries[i].value);
    }
    store_le16(raw + ENTRY * count, BALLOON_CACHES);
    raw[ENTRY * count + 2] = 1;
    driver_put(&f->driver, f->buffer, raw, buffer.len);
    driver_add(&f->driver, STATISTICS, &buffer, 1);
    driver_kick(&f->driver, STATISTICS);
}

static bool given_back(struct balloon_fixture *f)
{
    uint32_t head, used = 1;
    bool is = driver_used(&f->driver, STATISTICS, &head, &used);

    if (is)
        assert_int_equal(used, 0);
    return is;
}

/* Asks once: the interval is longer than the test. */
static void ask(struct balloon_fixture *f)
{
    virtio_balloon_set_interval(f->balloon, 1000000);
    virtio_balloon_set_interval(f->balloon, 0);
}

static void unasked_and_asked(void **state)
{
    struct balloon_fixture *f = *state;
    const struct entry entries[] = {{5, 1ull << 40}, {0, 7}, {9, ~0ull}};
    const uint64_t features[] = {F_STATS_VQ, F_STATS_VQ | VIRTIO_F_EVENT_IDX};
    struct virtio_balloon_statistics s;
    uint64_t before;

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        fixture_start(f, features[i]);
        assert_int_equal(fixture_facts(f).statistics.time_ns, 0);
        ask(f); /* nothing to give back yet */
        before = monotonic_ns();
        offer(f, entries, 3, 0);
        s = fixture_facts(f).statistics;
        assert_in_range(s.time_ns, before, monotonic_ns());
        assert_int_equal(s.present, 1 << 5 | 1 << 0 | 1 << 9);
        assert_int_equal(s.values[BALLOON_TOTAL], 1ull << 40);
        assert_int_equal(s.values[BALLOON_SWAPPED_IN], 7);
        assert_int_equal(s.values[BALLOON_HUGE_PAGE_FAILURES], ~0ull);
        assert_int_equal(s.values[BALLOON_FREE], 0);
        /* It is kept, and no notification makes it new. */
        assert_false(given_back(f));
        assert_true(virtio_is_idle(f->driver.device.instance));
        driver_kick(&f->driver, STATISTICS);
        assert_int_equal(fixture_facts(f).statistics.time_ns, s.time_ns);
        f->driver.device.type->resume(f->driver.device.instance);
        driver_turn(&f->driver);
        assert_int_equal(fixture_facts(f).statistics.time_ns, s.time_ns);

        for (unsigned n = 1; n < 100; n++) {
            const struct entry free_bytes = {BALLOON_FREE, n};

            ask(f);
            assert_true(given_back(f));
            assert_true(f->driver.line);
            ask(f); /* the driver is at it */
            assert_false(given_back(f));
            offer(f, &free_bytes, 1, 0);
            assert_true(driver_must_notify(&f->driver, STATISTICS,
                                           f->driver.queues[2].available_index - 1));
            s = fixture_facts(f).statistics;
            assert_int_equal(s.present, 1 << BALLOON_FREE);
            assert_int_equal(s.values[BALLOON_FREE], n);
        }
        assert_false(driver_needs_reset(&f->driver));
    }
}

static void lies(void **state)
{
    struct balloon_fixture *f = *state;
    struct entry many[700];
    struct virtio_balloon_statistics s;

    fixture_start(f, F_STATS_VQ);
    /* Tags that are not known, one twice, and a torn one. */
    offer(f, (const struct entry[]){{10, 1}, {0xffff, 2}, {4, 3}, {32 + 4, 9}, {4, 5}}, 5, 9);
    s = fixture_facts(f).statistics;
    assert_int_equal(s.present, 1 << BALLOON_FREE);
    assert_int_equal(s.values[BALLOON_FREE], 5);
    for (unsigned i = 0; i < BALLOON_STATISTICS; i++)
        assert_true(i == BALLOON_FREE || !s.values[i]);
    /* Nothing but a part of one. */
    for (unsigned torn = 1; torn < ENTRY; torn++) {
        ask(f);
        offer(f, NULL, 0, torn);
        assert_int_equal(fixture_facts(f).statistics.present, 0);
        assert_true(fixture_facts(f).statistics.time_ns);
    }
    /* Too many: those that are not looked at change nothing. */
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct entry){BALLOON_FREE, i};
    ask(f);
    offer(f, many, ARRAY_SIZE(many), 0);
    assert_int_equal(fixture_facts(f).statistics.values[BALLOON_FREE], 63);
    /* Two at a time, which the driver must not do: they wait their turn. */
    ask(f);
    assert_true(given_back(f));
    offer(f, &(struct entry){4, 1}, 1, 0);
    offer(f, &(struct entry){4, 2}, 1, 0);
    ask(f);
    driver_turn(&f->driver);
    ask(f);
    assert_false(driver_needs_reset(&f->driver));
}

/* A chain that nothing can be read of, and one whose entries are cut anywhere. */
static void odd_chains(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer cut[] = {{f->buffer, 1, false},
                                 {f->buffer + 1, 12, false},
                                 {f->buffer + 13, 7, false}};
    const struct buffer writable = {f->buffer, 100, true}, gone = {DRIVER_DEVICE, 10, false};
    uint8_t raw[20] = {4, 0, 11, [10] = 6, [12] = 12};

    fixture_start(f, F_STATS_VQ);
    driver_put(&f->driver, f->buffer, raw, sizeof(raw));
    driver_add(&f->driver, STATISTICS, cut, 3);
    driver_kick(&f->driver, STATISTICS);
    assert_int_equal(fixture_facts(f).statistics.values[BALLOON_FREE], 11);
    assert_int_equal(fixture_facts(f).statistics.values[BALLOON_AVAILABLE], 12);
    ask(f);
    driver_add(&f->driver, STATISTICS, &writable, 1);
    driver_kick(&f->driver, STATISTICS);
    assert_int_equal(fixture_facts(f).statistics.present, 0);
    ask(f);
    driver_add(&f->driver, STATISTICS, &gone, 1);
    driver_kick(&f->driver, STATISTICS);
    assert_true(driver_needs_reset(&f->driver));
    ask(f);
    /* A ring that breaks under a buffer that was read. */
    fixture_start(f, F_STATS_VQ);
    offer(f, &(struct entry){4, 1}, 1, 0);
    driver_put16(&f->driver, f->driver.queues[STATISTICS].available + 2, 0x8000);
    ask(f);
    assert_true(driver_needs_reset(&f->driver));
    assert_true(virtio_is_idle(f->driver.device.instance));
}

/* A reset and a new queue: what was read before is void. */
static void resets(void **state)
{
    struct balloon_fixture *f = *state;

    fixture_start(f, F_STATS_VQ);
    offer(f, &(struct entry){4, 1}, 1, 0);
    driver_write32(&f->driver, REG_QUEUE_SEL, STATISTICS);
    driver_write32(&f->driver, REG_QUEUE_READY, 0);
    assert_int_equal(driver_read32(&f->driver, REG_QUEUE_READY), 0);
    driver_queue_setup(&f->driver, STATISTICS, RING);
    ask(f);
    assert_false(given_back(f));
    offer(f, &(struct entry){4, 2}, 1, 0);
    assert_int_equal(fixture_facts(f).statistics.values[BALLOON_FREE], 2);
    ask(f);
    assert_true(given_back(f));
    offer(f, &(struct entry){4, 3}, 1, 0);
    driver_write32(&f->driver, REG_STATUS, 0);
    assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_int_equal(fixture_facts(f).statistics.time_ns, 0);
    ask(f);
}

static void end(void *ctx)
{
    loop_stop(ctx, 0);
}

static void wait_ms(struct balloon_fixture *f, unsigned ms)
{
    struct timer timer;

    timer_init(&timer, f->driver.loop, end, f->driver.loop);
    timer_set(&timer, monotonic_ns() + ms * 1000000ull);
    loop_run(f->driver.loop);
}

static void intervals(void **state)
{
    struct balloon_fixture *f = *state;
    unsigned answers = 0;

    fixture_start(f, F_STATS_VQ);
    offer(f, &(struct entry){4, 0}, 1, 0);
    wait_ms(f, 30);
    assert_false(given_back(f)); /* off at first */
    virtio_balloon_set_interval(f->balloon, 1);
    for (unsigned i = 0; i < 10000 && answers < 5; i++) {
        wait_ms(f, 1);
        if (given_back(f))
            offer(f, &(struct entry){4, ++answers}, 1, 0);
    }
    assert_int_equal(answers, 5);
    assert_int_equal(fixture_facts(f).statistics.values[BALLOON_FREE], 5);
    virtio_balloon_set_interval(f->balloon, 0);
    given_back(f);
    offer(f, &(struct entry){4, 6}, 1, 0);
    wait_ms(f, 30);
    assert_false(given_back(f));
    /* Freed with the timer set. */
    virtio_balloon_set_interval(f->balloon, 1);
    f->driver.device.type->free(f->balloon);
    f->driver.device.type = NULL;
    wait_ms(f, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unasked_and_asked), TEST(lies), TEST(odd_chains), TEST(resets), TEST(intervals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
