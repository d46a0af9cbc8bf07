/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token bucket on a clock of the test's own: what passes in any stretch of time against the
 * promise, random takes against a model that counts in whole nanoseconds, and the ends of the
 * numbers.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

#include "base/bucket.h"

#define SECOND 1000000000ull

/* xorshift64 (Marsaglia 2003). */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void no_limit(void **state)
{
    struct bucket b = {0};

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(bucket_wait(&b, i), 0);
        assert_int_equal(bucket_nap(&b, i), 0);
        bucket_take(&b, UINT64_MAX, i);
    }
    bucket_set(&b, 10, 5, 100);
    bucket_take(&b, 100, 100);
    assert_true(bucket_wait(&b, 100) > 0);
    bucket_set(&b, 0, 0, 101);
    assert_int_equal(bucket_wait(&b, 101), 0);
}

static void debts_are_paid(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 1000, 10, 7);
    bucket_take(&b, 4, 7); /* of the burst */
    assert_int_equal(bucket_wait(&b, 7), 0);
    bucket_take(&b, 506, 7); /* larger than it: passes, and is paid afterwards */
    assert_int_equal(bucket_wait(&b, 7), SECOND / 2);
    assert_int_equal(bucket_wait(&b, 7 + SECOND / 4), SECOND / 4);
    assert_int_equal(bucket_wait(&b, 6 + SECOND / 2), 1);
    assert_int_equal(bucket_wait(&b, 7 + SECOND / 2), 0);
    /* After a long silence there is the burst and no more. */
    bucket_take(&b, 20, 7 + 900 * SECOND);
    assert_int_equal(bucket_wait(&b, 7 + 900 * SECOND), SECOND / 100);
}

static void a_burst_of_nothing(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 2, 0, 0);
    for (uint64_t now = 0; now < 100 * SECOND; now += SECOND / 2) {
        assert_int_equal(bucket_wait(&b, now), 0);
        bucket_take(&b, 1, now);
        assert_int_equal(bucket_wait(&b, now), SECOND / 2);
    }
}

static void changes_while_in_debt(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 100, 10, 0);
    bucket_take(&b, 110, 0);
    assert_int_equal(bucket_wait(&b, 0), SECOND);
    /* Half of it is paid at the old rate, the rest at the new one. */
    bucket_set(&b, 10, 10, SECOND / 2);
    assert_int_equal(bucket_wait(&b, SECOND / 2), 5 * SECOND);
    bucket_set(&b, 1000, 10, SECOND / 2);
    assert_int_equal(bucket_wait(&b, SECOND / 2), SECOND / 20);
    /* A smaller burst holds less at once. */
    bucket_set(&b, 1000, 1000, 2 * SECOND);
    assert_int_equal(bucket_wait(&b, 9 * SECOND), 0);
    bucket_set(&b, 1000, 10, 9 * SECOND);
    bucket_take(&b, 20, 9 * SECOND);
    assert_int_equal(bucket_wait(&b, 9 * SECOND), SECOND / 100);
    /* One that was lifted is full when it comes back. */
    bucket_set(&b, 0, 0, 9 * SECOND);
    bucket_set(&b, 1, 10, 9 * SECOND);
    bucket_take(&b, 10, 9 * SECOND);
    assert_int_equal(bucket_wait(&b, 9 * SECOND), 0);
}

/* A rate that no nanosecond holds a whole number of. */
static void no_drift(void **state)
{
    static const uint64_t rates[] = {1, 3, 7, 999999937, 1000000007, 123456789012345};

    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct bucket b = {0};
        uint64_t now = 5, rate = rates[i], seed = 88172645463325252ull + i;
        uint64_t burst = 1 + rate / 1000, wait = 0;
        unsigned __int128 passed = 0, fair;

        bucket_set(&b, rate, burst, now);
        for (unsigned n = 0; n < 100000 || !wait; n++) {
            uint64_t units = 1 + next_random(&seed) % (rate < 1000 ? 3 : rate / 1000);

            now += wait;
            bucket_take(&b, units, now);
            passed += units;
            wait = bucket_wait(&b, now);
        }
        /* All is paid, the burst aside, and less than a nanosecond's worth too much. */
        now += wait;
        fair = (unsigned __int128)(now - 5) * rate + (unsigned __int128)burst * SECOND;
        assert_true(passed * SECOND <= fair && fair - passed * SECOND < rate);
    }
}

/* A time that steps back gives nothing for free, and nothing twice. */
static void time_that_steps_back(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 10, 0, 100 * SECOND);
    bucket_take(&b, 10, 100 * SECOND);
    assert_int_equal(bucket_wait(&b, 100 * SECOND), SECOND);
    assert_int_equal(bucket_wait(&b, 99 * SECOND), 2 * SECOND);
    bucket_take(&b, 10, 50 * SECOND);
    assert_int_equal(bucket_wait(&b, 100 * SECOND), 2 * SECOND);
    bucket_set(&b, 10, 0, 0);
    assert_int_equal(bucket_wait(&b, 102 * SECOND), 0);
}

static void ends_of_the_numbers(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, UINT64_MAX, UINT64_MAX, 0);
    assert_int_equal(bucket_wait(&b, UINT64_MAX), 0);
    bucket_take(&b, UINT64_MAX, UINT64_MAX);
    assert_int_equal(bucket_wait(&b, UINT64_MAX), 0);
    bucket_take(&b, UINT64_MAX, UINT64_MAX);
    assert_int_equal(bucket_wait(&b, UINT64_MAX), SECOND);
    assert_int_equal(bucket_nap(&b, UINT64_MAX), SECOND);

    /* One unit a second, and debts that no clock pays. */
    b = (struct bucket){0};
    bucket_set(&b, 1, 0, 0);
    bucket_take(&b, 18446744073, 0);
    assert_int_equal(bucket_wait(&b, 0), 18446744073 * SECOND);
    bucket_take(&b, 1, 0);
    assert_int_equal(bucket_wait(&b, 0), UINT64_MAX);
    for (unsigned i = 0; i < 100000; i++)
        bucket_take(&b, UINT64_MAX, 0);
    assert_int_equal(bucket_wait(&b, UINT64_MAX), UINT64_MAX);
    bucket_set(&b, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_true(bucket_wait(&b, UINT64_MAX) >= 100000 * SECOND);
    /* And far more than it can remember, which stays a debt. */
    b.level = -((__int128)1 << 124) + 5;
    for (unsigned i = 0; i < 4; i++) {
        bucket_take(&b, UINT64_MAX, UINT64_MAX);
        assert_true(b.level == -((__int128)1 << 124));
    }
}

static void naps(void **state)
{
    struct bucket b = {0};

    bucket_set(&b, 1000000, 1000, 0);
    assert_int_equal(bucket_nap(&b, 0), 0);
    bucket_take(&b, 1001, 0);
    assert_int_equal(bucket_wait(&b, 0), 1000);
    assert_int_equal(bucket_nap(&b, 0), 1000000);
    bucket_take(&b, 1999, 0);
    assert_int_equal(bucket_nap(&b, 0), 2000000);
    /* The burst fills up sooner: sleeping on would lose some of the rate. */
    b = (struct bucket){0};
    bucket_set(&b, 1000000, 999, 0);
    bucket_take(&b, 1000, 0);
    assert_int_equal(bucket_nap(&b, 0), 1000);
}

/* ---- any sequence ---- */

struct pass {
    uint64_t time, units;
};

enum { PASSES = 300 };

/* What passes from each to each later one is within the promise. */
static void check_windows(const struct pass *passes, unsigned count, uint64_t rate, uint64_t burst)
{
    for (unsigned first = 0; first < count; first++) {
        unsigned __int128 sum = 0;

        for (unsigned last = first; last < count; last++) {
            uint64_t time = passes[last].time - passes[first].time;

            /* The last one is the one more. */
            assert_true(sum * SECOND <=
                        (unsigned __int128)burst * SECOND + (unsigned __int128)rate * time);
            sum += passes[last].units;
        }
    }
}

static uint64_t small_or_large(uint64_t *seed, uint64_t most)
{
    uint64_t bits = next_random(seed) % 40;

    return (next_random(seed) & ((1ull << bits) - 1)) % most;
}

static void random_sequences(void **state)
{
    const char *longer = getenv("HOSPES_TEST_LONG");
    unsigned rounds = longer && *longer ? 2000 : 100;
    uint64_t seed = 0x9e3779b97f4a7c15ull;

    for (unsigned round = 0; round < rounds; round++) {
        uint64_t rate = 1 + small_or_large(&seed, 1ull << 40);
        uint64_t burst = small_or_large(&seed, 1ull << 40);
        uint64_t now = small_or_large(&seed, UINT64_MAX), at = now, most = 1 + rate / 50;
        struct pass passes[PASSES];
        struct bucket b = {0};
        /* The model: tokens in units by nanoseconds, and nothing clever. */
        __int128 tokens = (__int128)burst * SECOND;
        unsigned count = 0;

        bucket_set(&b, rate, burst, now);
        while (count < PASSES) {
            uint64_t units = small_or_large(&seed, most), wait = bucket_wait(&b, now);

            tokens += (__int128)rate * (now - at);
            at = now;
            if (tokens > (__int128)burst * SECOND)
                tokens = (__int128)burst * SECOND;
            assert_int_equal(wait == 0, tokens >= 0);
            if (!wait) {
                bucket_take(&b, units, now);
                tokens -= (__int128)units * SECOND;
                passes[count++] = (struct pass){now, units};
            } else {
                /* It tells the first moment. */
                assert_true(tokens + (__int128)rate * wait >= 0);
                assert_true(tokens + (__int128)rate * (wait - 1) < 0);
            }
            /* Too early, at the very moment, or late. */
            now += next_random(&seed) % 4 ? wait : next_random(&seed) % (2 * wait + 1000);
        }
        check_windows(passes, count, rate, burst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit),
        cmocka_unit_test(debts_are_paid),
        cmocka_unit_test(a_burst_of_nothing),
        cmocka_unit_test(changes_while_in_debt),
        cmocka_unit_test(no_drift),
        cmocka_unit_test(time_that_steps_back),
        cmocka_unit_test(ends_of_the_numbers),
        cmocka_unit_test(naps),
        cmocka_unit_test(random_sequences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
