/* SPDX-License-Identifier: Apache-2.0 */
/* Which port an address was seen at: it moves, ages, and no port pushes out another's. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "network/learn.h"

static const uint8_t *mac(uint64_t number)
{
    static uint8_t bytes[6];

    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    return bytes;
}

static int setup(void **state)
{
    struct learn *learn = malloc(sizeof(*learn));

    if (!learn)
        return -1;
    learn_init(learn, 0x1234567890abcdef);
    *state = learn;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void test_finds_what_it_noted(void **state)
{
    struct learn *learn = *state;

    assert_int_equal(learn_find(learn, mac(2), 0), -1);
    learn_note(learn, mac(2), 7, 0);
    learn_note(learn, mac(4), 0, 0);
    assert_int_equal(learn_find(learn, mac(2), 0), 7);
    assert_int_equal(learn_find(learn, mac(4), 0), 0);
    assert_int_equal(learn_find(learn, mac(6), 0), -1);
}

static void test_nobody_has_the_zero_address(void **state)
{
    struct learn *learn = *state;

    learn_note(learn, mac(0), 7, 0);
    assert_int_equal(learn_find(learn, mac(0), 0), -1);
}

static void test_moves(void **state)
{
    struct learn *learn = *state;

    learn_note(learn, mac(2), 7, 0);
    learn_note(learn, mac(2), 8, 1);
    assert_int_equal(learn_find(learn, mac(2), 1), 8);
    /* Nothing of it is left where it was. */
    learn_forget(learn, 7);
    assert_int_equal(learn_find(learn, mac(2), 1), 8);
    learn_forget(learn, 8);
    assert_int_equal(learn_find(learn, mac(2), 1), -1);
}

static void test_ages(void **state)
{
    struct learn *learn = *state;

    learn_note(learn, mac(2), 7, 1000);
    assert_int_equal(learn_find(learn, mac(2), 1000 + LEARN_AGE_NS - 1), 7);
    assert_int_equal(learn_find(learn, mac(2), 1000 + LEARN_AGE_NS), -1);
    learn_note(learn, mac(2), 7, 2000);
    assert_int_equal(learn_find(learn, mac(2), 1000 + LEARN_AGE_NS), 7);
}

/* The newest of a port stay; the others' all do. */
static void test_flood(void **state)
{
    struct learn *learn = *state;

    for (unsigned i = 1; i <= LEARN_PORT_ADDRESSES; i++)
        learn_note(learn, mac(i * 2), 1, i);
    for (unsigned i = 0; i < 100000; i++)
        learn_note(learn, mac(0x1000000 + i), 2, 1000 + i);
    for (unsigned i = 1; i <= LEARN_PORT_ADDRESSES; i++)
        assert_int_equal(learn_find(learn, mac(i * 2), 200000), 1);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(learn_find(learn, mac(0x1000000 + i), 200000),
                         i < 100000 - LEARN_PORT_ADDRESSES ? -1 : 2);
}

/* A plain array as the other opinion. */
static void test_random(void **state)
{
    struct learn *learn = *state;
    int where[64];
    uint32_t random = 1;

    memset(where, -1, sizeof(where));
    for (unsigned i = 0; i < 200000; i++) {
        unsigned address, port;

        random = random * 1664525u + 1013904223u;
        address = random >> 8 & 63;
        port = (random >> 16) % LEARN_PORTS;
        if (random >> 30) {
            /* At most 64 addresses at 128 ports: seldom more than a port has places for. */
            learn_note(learn, mac(address + 1), port, i);
            where[address] = (int)port;
        } else {
            learn_forget(learn, port);
            for (unsigned j = 0; j < 64; j++)
                where[j] = where[j] == (int)port ? -1 : where[j];
        }
        address = random >> 20 & 63;
        assert_int_equal(learn_find(learn, mac(address + 1), i), where[address]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds_what_it_noted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_has_the_zero_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
