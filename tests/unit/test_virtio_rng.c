/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng over MMIO. */
#include <stdlib.h>
#include <string.h>

#include "device/virtio/rng.h"
#include "virtio_driver.h"

struct fixture {
    struct driver driver;
    gpa buffer; /* 64 KiB */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_setup s;

    assert_non_null(f);
    driver_init(&f->driver);
    s = driver_setup(&f->driver);
    assert_int_equal(virtio_rng_new(&f->driver.device, &s), 0);
    driver_attach(&f->driver);
    f->buffer = driver_alloc(&f->driver, 64 << 10);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    driver_release(&f->driver);
    free(f);
    return 0;
}

static void random_bytes(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffers[] = {{f->buffer, 100, true}, {f->buffer + 200, 100, true}};
    uint8_t first[300], second[300], zero[100] = {0};
    uint32_t head, used;

    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_ID), 4);
    driver_start(&f->driver, 0, 1, 64);
    driver_add(&f->driver, 0, buffers, 2);
    driver_kick(&f->driver, 0);
    assert_true(driver_used(&f->driver, 0, &head, &used));
    assert_int_equal(used, 200);
    driver_get(&f->driver, f->buffer, first, sizeof(first));
    assert_memory_not_equal(first, zero, 100);
    assert_memory_equal(first + 100, zero, 100); /* between the buffers */
    assert_memory_not_equal(first + 200, zero, 100);
    driver_add(&f->driver, 0, buffers, 2);
    driver_kick(&f->driver, 0);
    assert_true(driver_used(&f->driver, 0, &head, &used));
    driver_get(&f->driver, f->buffer, second, sizeof(second));
    assert_memory_not_equal(first, second, 100);
}

/* A greedy guest gets a part of each buffer, and a part of its buffers a turn. */
static void bounded(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 64 << 10, true};
    struct virtio_device *core = f->driver.device.instance;
    uint32_t head, used;

    driver_start(&f->driver, 0, 1, 64);
    for (unsigned i = 0; i < 40; i++)
        driver_add(&f->driver, 0, &buffer, 1);
    assert_true(core->type->run(core, 0));
    for (unsigned i = 0; i < 16; i++) {
        assert_true(driver_used(&f->driver, 0, &head, &used));
        assert_int_equal(used, 4096);
    }
    assert_false(driver_used(&f->driver, 0, &head, &used));
    driver_kick(&f->driver, 0);
    for (unsigned i = 0; i < 24; i++)
        assert_true(driver_used(&f->driver, 0, &head, &used));
}

static void nothing_to_write(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 64, false};

    driver_start(&f->driver, 0, 1, 64);
    driver_add(&f->driver, 0, &buffer, 1);
    driver_kick(&f->driver, 0);
    assert_true(driver_needs_reset(&f->driver));
    assert_true(virtio_is_idle(f->driver.device.instance));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_to_write, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
