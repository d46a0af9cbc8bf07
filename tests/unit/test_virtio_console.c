/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console over MMIO: bytes out and in, waiting, the terminal's size, emergency write. */
#include <stdlib.h>
#include <string.h>

#include "device/virtio/console.h"
#include "virtio_driver.h"
#include "virtio_fakes.h"

#define F_SIZE        (1ull << 0)
#define F_EMERG_WRITE (1ull << 2)

#define RX 0u
#define TX 1u

struct fixture {
    struct driver driver;
    struct fake_stream stream;
    gpa buffer; /* 1 MiB */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_setup s;

    assert_non_null(f);
    driver_init(&f->driver);
    s = driver_setup(&f->driver);
    fake_stream_init(&f->stream, f->driver.loop);
    assert_int_equal(virtio_console_new(&f->driver.device, &s, &f->stream.stream), 0);
    driver_attach(&f->driver);
    f->buffer = driver_alloc(&f->driver, 1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    driver_release(&f->driver);
    assert_null(f->stream.stream.port.receive);
    free(f);
    return 0;
}

static size_t receive(struct fixture *f, const char *text)
{
    return f->stream.stream.port.receive(f->stream.stream.port.ctx, (const uint8_t *)text,
                                         strlen(text));
}

static void configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_ID), 3);
    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_FEATURES) &
                         ~(uint32_t)(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX),
                     F_SIZE | F_EMERG_WRITE);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG, 2), 80);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG + 2, 2), 25);
}

static void output(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffers[] = {{f->buffer, 6, false}, {f->buffer + 100, 5, false}};
    uint32_t head, used;

    driver_start(&f->driver, 0, 2, 64);
    driver_put(&f->driver, f->buffer, "hello ", 6);
    driver_put(&f->driver, f->buffer + 100, "world", 5);
    driver_add(&f->driver, TX, buffers, 2);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &used));
    assert_int_equal(used, 0);
    assert_int_equal(f->stream.length, 11);
    assert_memory_equal(f->stream.bytes, "hello world", 11);
}

/* A flood goes out in turns, whatever the stream has room for. */
static void flood(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 32 << 10, false};
    const struct buffer huge = {f->buffer, 1 << 20, false};
    struct virtio_device *core = f->driver.device.instance;
    uint32_t head, used;

    driver_start(&f->driver, 0, 2, 64);
    for (unsigned i = 0; i < 20; i++)
        driver_add(&f->driver, TX, &buffer, 1);
    assert_true(core->type->run(core, TX));
    assert_int_equal(f->stream.total, 64 << 10);
    driver_kick(&f->driver, TX);
    assert_int_equal(f->stream.total, 640 << 10);
    for (unsigned i = 0; i < 20; i++)
        assert_true(driver_used(&f->driver, TX, &head, &used));
    /* One request cannot hold the loop either. */
    f->stream.total = 0;
    driver_add(&f->driver, TX, &huge, 1);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &used));
    assert_int_equal(f->stream.total, 256 << 10);
}

static void input(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 4, true}, more = {f->buffer + 4, 100, true};
    uint32_t head, used;
    char got[8];

    driver_start(&f->driver, 0, 2, 64);
    driver_add(&f->driver, RX, &buffer, 1);
    driver_add(&f->driver, RX, &more, 1);
    assert_int_equal(receive(f, "abcdefg"), 7);
    assert_true(driver_used(&f->driver, RX, &head, &used));
    assert_int_equal(used, 4);
    assert_true(driver_used(&f->driver, RX, &head, &used));
    assert_int_equal(used, 3);
    driver_get(&f->driver, f->buffer, got, 7);
    assert_memory_equal(got, "abcdefg", 7);
    assert_true(f->driver.line);
}

static void input_waits(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 4, true};
    const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};
    uint32_t head, used;

    /* Typed before the driver is up: kept by the stream. */
    assert_int_equal(receive(f, "abc"), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        f->stream.readied = 0;
        driver_start(&f->driver, features[i], 2, 64);
        assert_int_equal(f->stream.readied, 1);
        driver_add(&f->driver, RX, &buffer, 1);
        assert_int_equal(receive(f, "abcdef"), 4);
        assert_true(driver_used(&f->driver, RX, &head, &used));
        driver_add(&f->driver, RX, &buffer, 1);
        assert_true(driver_must_notify(&f->driver, RX, 1));
        driver_kick(&f->driver, RX);
        assert_int_equal(f->stream.readied, 2);
        assert_int_equal(receive(f, "ef"), 2);
        driver_kick(&f->driver, RX);
        assert_int_equal(f->stream.readied, 2);
        assert_int_equal(receive(f, "x"), 0); /* waits across the reset */
    }
}

static void wrong_direction(void **state)
{
    struct fixture *f = *state;
    const struct buffer readable = {f->buffer, 4, false};

    driver_start(&f->driver, 0, 2, 64);
    driver_add(&f->driver, RX, &readable, 1);
    assert_int_equal(receive(f, "abc"), 0);
    assert_true(driver_needs_reset(&f->driver));
    assert_true(virtio_is_idle(f->driver.device.instance));
}

static void resize(void **state)
{
    struct fixture *f = *state;

    driver_start(&f->driver, F_SIZE, 2, 64);
    f->stream.stream.port.resize(f->stream.stream.port.ctx, 132, 50);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG), 50 << 16 | 132);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 2);
    driver_start(&f->driver, 0, 2, 64);
    f->stream.stream.port.resize(f->stream.stream.port.ctx, 80, 24);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 0);
}

/* 5.3.5.1: even on a device that nobody set up. */
static void emergency_write(void **state)
{
    struct fixture *f = *state;

    driver_write32(&f->driver, REG_CONFIG + 8, 0x12345600 | 'x');
    driver_write(&f->driver, REG_CONFIG + 8, 1, 'y');
    assert_int_equal(f->stream.length, 2);
    assert_memory_equal(f->stream.bytes, "xy", 2);
    assert_int_equal(f->driver.logged, 0);
    driver_write32(&f->driver, REG_CONFIG, 0);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG, 2), 80);
    assert_int_equal(f->driver.logged, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(output, setup, teardown),
        cmocka_unit_test_setup_teardown(flood, setup, teardown),
        cmocka_unit_test_setup_teardown(input, setup, teardown),
        cmocka_unit_test_setup_teardown(input_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_direction, setup, teardown),
        cmocka_unit_test_setup_teardown(resize, setup, teardown),
        cmocka_unit_test_setup_teardown(emergency_write, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
