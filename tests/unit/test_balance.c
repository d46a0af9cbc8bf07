/* SPDX-License-Identifier: Apache-2.0 */
/* The policy by itself: what it does in plain cases, and what must hold in random ones. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>

#include "host/balance.h"
#include "host/balance_cpus.h"

#define MIB (UINT64_C(1) << 20)

static struct balance_machine machine(unsigned min, unsigned max, unsigned size, unsigned available)
{
    return (struct balance_machine){.name = "m",
                                    .min = min * MIB,
                                    .max = max * MIB,
                                    .size = size * MIB,
                                    .told = true,
                                    .used = (available < size ? size - available : 0) * MIB};
}

static void test_nothing_to_do(void **state)
{
    const struct balance_host host = {.available = 3000 * MIB, .reserve = 2000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 1024, 500), machine(256, 1024, 512, 200)};

    assert_int_equal(balance_plan(&host, m, 2), 0);
    assert_int_equal(m[0].new_size, 1024 * MIB);
    assert_null(m[0].reason);
    assert_int_equal(m[1].new_size, 512 * MIB);
}

/* 300 MiB are missing: from the one that has most to spare. */
static void test_host_is_short(void **state)
{
    const struct balance_host host = {.available = 700 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 1024, 800), machine(256, 1024, 1024, 100)};

    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 724 * MIB);
    assert_non_null(m[0].reason);
    assert_null(m[1].reason);
}

/* More than guests can spare: then down to what was promised, and not below. */
static void test_host_is_very_short(void **state)
{
    const struct balance_host host = {.available = 0, .reserve = 4000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 1024, 800), machine(512, 1024, 1024, 100),
                                  machine(1024, 1024, 1024, 900)};

    assert_int_equal(balance_plan(&host, m, 3), 2);
    assert_int_equal(m[0].new_size, 256 * MIB);
    assert_int_equal(m[1].new_size, 512 * MIB);
    assert_int_equal(m[2].new_size, 1024 * MIB);
}

static void test_a_stall_counts(void **state)
{
    const struct balance_host host = {.available = 3000 * MIB,
                                      .reserve = 1000 * MIB,
                                      .stalled = true};
    struct balance_machine m[] = {machine(256, 2048, 1024, 800), machine(256, 2048, 512, 10)};

    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 774 * MIB);
    /* It would grow, but not now. */
    assert_int_equal(m[1].new_size, 512 * MIB);
}

/* Uses 500 of 512: wants a quarter more. */
static void test_guest_is_short(void **state)
{
    const struct balance_host host = {.available = 1200 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 2048, 512, 12)};

    assert_int_equal(balance_plan(&host, m, 1), 1);
    assert_int_equal(m[0].new_size, 624 * MIB);
}

static void test_memory_is_given_back(void **state)
{
    struct balance_host host = {.available = 8000 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 2048, 512, 300), machine(256, 1024, 1024, 300)};

    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 2048 * MIB);
    /* The host keeps twice its reserve. */
    host.available = 2500 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 1012 * MIB);
}

static void test_silent_guests_are_believed_in(void **state)
{
    struct balance_host host = {.available = 900 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(512, 1024, 1024, 0), machine(512, 1024, 1024, 600)};

    m[0].told = false;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 1024 * MIB);
    /* 512 MiB of the other one, which says what it needs, are not enough. */
    host.available = 0;
    assert_int_equal(balance_plan(&host, m, 2), 2);
    assert_int_equal(m[1].new_size, 512 * MIB);
    assert_int_equal(m[0].new_size, 536 * MIB);
}

/* Before anybody has less than what it uses, all have little more than that. */
static void test_what_guests_get_by_with(void **state)
{
    struct balance_host host = {.available = 900 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 1024, 200), machine(256, 1024, 1024, 0)};

    m[1].told = false;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 924 * MIB);
    assert_string_equal(m[0].reason,
                        "the host is short of memory, and its guest gets by without this");
    /* It uses 824 MiB, and a sixteenth of that is left to it. */
    host.available = 852 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 876 * MIB);
    /* And less than it uses, before one that begins loses anything. */
    host.available = 700 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[0].new_size, 722 * MIB);
    host.available = 0;
    assert_int_equal(balance_plan(&host, m, 2), 2);
    assert_int_equal(m[0].new_size, 256 * MIB);
    assert_in_range(m[1].new_size, 780 * MIB, 792 * MIB);
}

/* What one that starts has not taken yet is as good as taken, and what it says is not believed. */
static void test_one_that_starts(void **state)
{
    struct balance_host host = {.available = 1300 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 512, 512, 400), machine(256, 1024, 1024, 800)};

    m[0].starting = true;
    m[0].resident = 100 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[1].new_size, 912 * MIB);
    assert_int_equal(balance_plan_room(&host, 200 * MIB, 64 * MIB, m, 2), 1);
    assert_int_equal(m[1].new_size, 712 * MIB);
    m[0].resident = 512 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 0);
    host.available = 0;
    assert_int_equal(balance_plan(&host, m, 2), 2);
    assert_int_equal(m[1].new_size, 256 * MIB);
    assert_int_equal(m[0].new_size, 280 * MIB);
}

/* Who was asked just now has not given all of it back yet, and need not be asked again. */
static void test_what_is_on_its_way(void **state)
{
    struct balance_host host = {.available = 800 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 600, 100), machine(256, 1024, 1024, 800)};

    m[0].moved = true;
    m[0].resident = 700 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[1].new_size, 924 * MIB);
    m[0].resident = 800 * MIB;
    assert_int_equal(balance_plan(&host, m, 2), 0);
    m[0].moved = false;
    assert_int_equal(balance_plan(&host, m, 2), 1);
    assert_int_equal(m[1].new_size, 824 * MIB);
}

/* What can be made again goes before what guests have. */
static void test_code_goes_first(void **state)
{
    struct balance_host host = {.available = 900 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 1024, 800), machine(256, 1024, 1024, 0),
                                  machine(256, 1024, 1024, 0)};

    m[0].code = 90 * MIB;
    m[1].code = MIB / 2;
    m[2].code = 10 * MIB;
    assert_int_equal(balance_plan(&host, m, 3), 2);
    assert_true(m[0].drop_code && !m[1].drop_code && m[2].drop_code);
    assert_true(!m[0].reason && !m[1].reason && !m[2].reason);
    /* No more than is wanted; and what is wanted beyond it. */
    host.available = 950 * MIB;
    assert_int_equal(balance_plan(&host, m, 3), 1);
    assert_true(m[0].drop_code && !m[2].drop_code);
    host.available = 800 * MIB;
    assert_int_equal(balance_plan(&host, m, 3), 2);
    assert_true(m[0].drop_code && m[2].drop_code);
    assert_int_equal(m[0].new_size, 924 * MIB);
    host.available = 1000 * MIB;
    assert_int_equal(balance_plan(&host, m, 3), 0);
    assert_false(m[0].drop_code);
    assert_int_equal(balance_plan_room(&host, 120 * MIB, 64 * MIB, m, 3), 2);
    assert_true(m[0].drop_code && m[2].drop_code);
    assert_int_equal(m[0].new_size, 1004 * MIB);
}

/* What a small guest needs beyond its use is an eighth of all that it has. */
static void test_small_guests(void **state)
{
    const struct balance_host host = {.available = 0, .reserve = 118 * MIB};
    struct balance_machine m[] = {machine(64, 256, 256, 150)};

    assert_int_equal(balance_plan(&host, m, 1), 1);
    assert_int_equal(m[0].new_size, 138 * MIB);
    assert_string_equal(m[0].reason,
                        "the host is short of memory, and its guest does not use this");
}

/* B5: 256 MiB, of which 64 are promised. */
static void test_room_for_one_more(void **state)
{
    struct balance_host host = {.available = 1256 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 1024, 1024, 800)};

    assert_int_equal(balance_plan_room(&host, 256 * MIB, 64 * MIB, m, 1), 0);
    host.available = 1100 * MIB;
    assert_int_equal(balance_plan_room(&host, 256 * MIB, 64 * MIB, m, 1), 1);
    assert_int_equal(m[0].new_size, 868 * MIB);
    /* It needs what it has, and the promise is not in danger. */
    m[0] = machine(256, 1024, 1024, 100);
    assert_int_equal(balance_plan_room(&host, 256 * MIB, 64 * MIB, m, 1), 0);
    /* For the promise it gets by with less, and with less than that. */
    host.available = 900 * MIB;
    assert_int_equal(balance_plan_room(&host, 256 * MIB, 64 * MIB, m, 1), 1);
    assert_int_equal(m[0].new_size, 858 * MIB);
}

/* B1: as when it is promised more after it was made small. Short or not, and be it ever so little.
 */
static void test_a_promise_comes_first(void **state)
{
    struct balance_host host = {.available = 1500 * MIB, .reserve = 1000 * MIB};

    for (unsigned i = 0; i < 2; i++) {
        struct balance_machine m[] = {machine(384, 512, 256, 150), machine(256, 512, 248, 150),
                                      machine(384, 512, 256, 0), machine(256, 512, 514, 100)};

        m[2].told = false;
        assert_int_equal(balance_plan(&host, m, 4), 4);
        assert_int_equal(m[0].size, 256 * MIB);
        assert_int_equal(m[0].new_size, 384 * MIB);
        assert_string_equal(m[0].reason, "it is promised more");
        assert_int_equal(m[1].new_size, 256 * MIB);
        assert_int_equal(m[2].new_size, 384 * MIB);
        assert_in_range(m[3].new_size, 256 * MIB, 512 * MIB);
        assert_non_null(m[3].reason);
        host.available = 900 * MIB;
    }
}

/* What promises take is not given to others too: 60 of 100 MiB are left. */
static void test_promises_are_counted(void **state)
{
    const struct balance_host host = {.available = 1100 * MIB, .reserve = 1000 * MIB};
    struct balance_machine m[] = {machine(256, 2048, 512, 12), machine(296, 512, 256, 200)};

    assert_int_equal(balance_plan(&host, m, 2), 2);
    assert_int_equal(m[0].new_size, 572 * MIB);
    assert_int_equal(m[1].new_size, 296 * MIB);
    /* It is promised 260 and needs 320. */
    m[0] = machine(260, 1024, 256, 0);
    assert_int_equal(balance_plan(&host, m, 1), 1);
    assert_int_equal(m[0].new_size, 320 * MIB);
}

static uint64_t below(uint64_t bound)
{
    return bound ? ((uint64_t)rand() << 31 ^ (uint64_t)rand()) % bound : 0;
}

static void test_random(void **state)
{
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        struct balance_host host = {.available = below(8192) * MIB,
                                    .reserve = below(2048) * MIB,
                                    .stalled = below(8) == 0};
        struct balance_machine m[6];
        size_t count = 1 + below(6), moves = 0;
        uint64_t taken = 0, given = 0, to_take = 0;

        for (size_t i = 0; i < count; i++) {
            uint64_t max = 2 + below(2000), min = 2 + below(max - 1);

            m[i] = machine((unsigned)min / 2 * 2, (unsigned)max / 2 * 2,
                           (unsigned)(min + below(max - min + 1)) / 2 * 2, (unsigned)below(3000));
            m[i].told = below(4) != 0;
            m[i].used = below(3000) * MIB;
        }
        moves = balance_plan(&host, m, count);
        for (size_t i = 0; i < count; i++) {
            assert_in_range(m[i].new_size, m[i].min, m[i].max);
            assert_int_equal(m[i].reason != NULL, m[i].new_size != m[i].size);
            moves -= m[i].reason != NULL;
            if (m[i].new_size < m[i].size)
                taken += m[i].size - m[i].new_size;
            else
                given += m[i].new_size - m[i].size;
            if (m[i].new_size >= m[i].min + 16 * MIB)
                to_take += m[i].new_size - m[i].min;
        }
        assert_int_equal(moves, 0);
        if (host.stalled || host.available < host.reserve) {
            assert_int_equal(given, 0);
            /* As much as is missing, or all that there is. */
            if (host.available + taken < host.reserve)
                assert_int_equal(to_take, 0);
        } else {
            assert_int_equal(taken, 0);
            assert_true(given <= host.available - host.reserve);
        }
    }
}

/* ---- CPUs ---- */

static const struct pressure pressed = {60, 40}, easing = {10, 30}, since_now = {3, 8},
                             calm = {1, 2};

/* `wanted`: thousandths. */
static struct balance_cpus guest(unsigned min, unsigned max, unsigned online, unsigned wanted)
{
    return (struct balance_cpus){.name = "m",
                                 .min = min,
                                 .max = max,
                                 .online = online,
                                 .running = online,
                                 .told = true,
                                 .wanted = wanted};
}

static unsigned online_then(const struct pressure *pressure, struct balance_cpus m)
{
    size_t moves = balance_cpus_plan(pressure, &m, 1);

    assert_int_equal(moves, m.new_online != m.online);
    assert_int_equal(moves, m.reason != NULL);
    return m.new_online;
}

static void test_idle_cpus_are_taken(void **state)
{
    struct balance_cpus m[] = {guest(1, 4, 4, 100), guest(2, 4, 2, 0), guest(4, 4, 4, 0),
                               guest(1, 2, 2, 1900)};

    assert_int_equal(balance_cpus_plan(&pressed, m, 4), 1);
    assert_int_equal(m[0].new_online, 3);
    assert_string_equal(m[0].reason,
                        "the host is short of CPUs, and its guest does not use this one");
    assert_null(m[1].reason);
    assert_null(m[2].reason);
    assert_null(m[3].reason);
    /* One fewer could do 3, and half of that is 1.5. */
    assert_int_equal(online_then(&pressed, guest(1, 4, 4, 1499)), 3);
    assert_int_equal(online_then(&pressed, guest(1, 4, 4, 1500)), 4);
    /* The bound of pressure itself is not over it. */
    assert_int_equal(online_then(&(const struct pressure){20, 20}, guest(1, 4, 4, 0)), 4);
    assert_int_equal(online_then(&(const struct pressure){20.1, 0}, guest(1, 4, 4, 0)), 3);
}

static void test_busy_guests_get_theirs_back(void **state)
{
    const struct pressure *all[] = {&pressed, &easing, &since_now, &calm};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_int_equal(online_then(all[i], guest(1, 4, 2, 1401)), 3);
        assert_int_equal(online_then(all[i], guest(1, 4, 4, 4000)), 4);
    }
    assert_int_equal(online_then(&pressed, guest(1, 4, 2, 1400)), 2);
}

static void test_a_calm_host_gives_back(void **state)
{
    assert_int_equal(online_then(&calm, guest(1, 4, 1, 0)), 2);
    assert_int_equal(online_then(&calm, guest(1, 4, 4, 0)), 4);
    /* Not before it was calm for a minute. */
    assert_int_equal(online_then(&since_now, guest(1, 4, 1, 0)), 1);
    assert_int_equal(online_then(&easing, guest(1, 4, 1, 0)), 1);
    assert_int_equal(online_then(&easing, guest(1, 4, 4, 0)), 4);
}

/* C5 and C1. */
static void test_whom_nobody_moves(void **state)
{
    struct balance_cpus unknown = guest(1, 4, 2, 0), stubborn = guest(1, 4, 2, 0);
    const struct pressure *all[] = {&pressed, &easing, &calm};

    unknown.told = false;
    stubborn.running = 1;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_int_equal(online_then(all[i], unknown), 2);
        assert_int_equal(online_then(all[i], stubborn), 2);
    }
    unknown.min = 4;
    assert_int_equal(online_then(&pressed, unknown), 4);
    unknown = guest(1, 2, 5, 0);
    unknown.told = false;
    assert_int_equal(online_then(&calm, unknown), 2);
}

/* Whatever it wants, as long as it wants the same and the host is as short: at rest after as many
 * turns as it has CPUs, within its bounds. */
static void test_cpus_do_not_go_to_and_fro(void **state)
{
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        unsigned max = 1 + (unsigned)below(64), min = 1 + (unsigned)below(max);
        unsigned online = min + (unsigned)below(max - min + 1), before = online, turns = 0;
        struct pressure pressure = {(double)below(101), (double)below(101)};
        unsigned all = (unsigned)below(max * UINT64_C(1000) + 1);
        int direction = 0;

        for (; turns <= max; turns++) {
            /* It cannot use more than it has. */
            unsigned wanted = all < online * 1000 ? all : online * 1000;

            before = online;
            online = online_then(&pressure, guest(min, max, online, wanted));
            assert_in_range(online, min, max);
            if (online == before)
                break;
            assert_true(online + 1 == before || online == before + 1);
            assert_true(direction * ((int)online - (int)before) >= 0);
            direction = (int)online - (int)before;
        }
        assert_true(turns <= max - min);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_host_is_short),
        cmocka_unit_test(test_host_is_very_short),
        cmocka_unit_test(test_a_stall_counts),
        cmocka_unit_test(test_guest_is_short),
        cmocka_unit_test(test_memory_is_given_back),
        cmocka_unit_test(test_silent_guests_are_believed_in),
        cmocka_unit_test(test_what_guests_get_by_with),
        cmocka_unit_test(test_one_that_starts),
        cmocka_unit_test(test_what_is_on_its_way),
        cmocka_unit_test(test_code_goes_first),
        cmocka_unit_test(test_small_guests),
        cmocka_unit_test(test_room_for_one_more),
        cmocka_unit_test(test_a_promise_comes_first),
        cmocka_unit_test(test_promises_are_counted),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_idle_cpus_are_taken),
        cmocka_unit_test(test_busy_guests_get_theirs_back),
        cmocka_unit_test(test_a_calm_host_gives_back),
        cmocka_unit_test(test_whom_nobody_moves),
        cmocka_unit_test(test_cpus_do_not_go_to_and_fro),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
