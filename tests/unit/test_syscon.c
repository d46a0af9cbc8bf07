/* SPDX-License-Identifier: Apache-2.0 */
/* The power register: which writes mean something, and what. */
#include "device/syscon.h"
#include "device_fixture.h"

struct calls {
    unsigned power_offs, resets;
    int status;
};

static void on_power_off(void *ctx, int status)
{
    struct calls *calls = ctx;

    calls->power_offs++;
    calls->status = status;
}

static void on_reset(void *ctx)
{
    ((struct calls *)ctx)->resets++;
}

static struct syscon *make(struct calls *calls)
{
    struct syscon_calls to = {.power_off = on_power_off, .reset = on_reset, .ctx = calls};
    struct syscon *syscon;

    *calls = (struct calls){.status = -1};
    assert_int_equal(syscon_new(&syscon, &to, NULL), 0);
    return syscon;
}

static void test_power_off(void **state)
{
    struct calls calls;
    struct syscon *syscon = make(&calls);

    syscon_type.io.write(syscon, 0, 4, 0x5555);
    assert_int_equal(calls.power_offs, 1);
    assert_int_equal(calls.status, 0);
    syscon_type.io.write(syscon, 0, 2, 0x5555);
    assert_int_equal(calls.power_offs, 2);
    assert_int_equal(calls.resets, 0);
    syscon_type.free(syscon);
}

static void test_fail(void **state)
{
    static const struct {
        uint32_t value;
        int status;
    } cases[] = {
        {0x00013333, 1}, {0x002a3333, 42}, {0x00ff3333, 255}, {0x3333, 1}, {0x01003333, 1},
    };
    struct calls calls;
    struct syscon *syscon = make(&calls);

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        syscon_type.io.write(syscon, 0, 4, cases[i].value);
        assert_int_equal(calls.power_offs, i + 1);
        assert_int_equal(calls.status, cases[i].status);
    }
    syscon_type.free(syscon);
}

static void test_reset(void **state)
{
    struct calls calls;
    struct syscon *syscon = make(&calls);

    syscon_type.io.write(syscon, 0, 4, 0x7777);
    assert_int_equal(calls.resets, 1);
    assert_int_equal(calls.power_offs, 0);
    syscon_type.reset(syscon);
    syscon_type.free(syscon);
}

static void test_hostile(void **state)
{
    struct calls calls;
    struct syscon *syscon = make(&calls);

    assert_int_equal(syscon_type.io.widths, 2 | 4);
    for (uint32_t value = 0; value < 0x10000; value++)
        if (value != 0x5555 && value != 0x3333 && value != 0x7777)
            syscon_type.io.write(syscon, 0, 4, value);
    for (uint64_t offset = 2; offset < 0x1000; offset += 2) {
        syscon_type.io.write(syscon, offset, 2, 0x5555);
        syscon_type.io.write(syscon, offset, 2, 0x7777);
        assert_int_equal(syscon_type.io.read(syscon, offset, 2), 0);
    }
    device_hammer(&syscon_type, syscon, 0x1000);
    assert_int_equal(syscon_type.io.read(syscon, 0, 4), 0);
    assert_int_equal(calls.power_offs, 0);
    assert_int_equal(calls.resets, 0);
    syscon_type.free(syscon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_off),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests_name("syscon", tests, NULL, NULL);
}
