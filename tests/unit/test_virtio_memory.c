/* SPDX-License-Identifier: Apache-2.0 */
/* No memory for a device: an error, and the back end that was handed over is gone. */
#include <errno.h>
#include <stdlib.h>

#include "device/virtio/balloon.h"
#include "device/virtio/block.h"
#include "device/virtio/console.h"
#include "device/virtio/mem.h"
#include "device/virtio/net.h"
#include "device/virtio/rng.h"
#include "device/virtio/serial.h"
#include "device/virtio/vsock.h"
#include "virtio_driver.h"
#include "virtio_fakes.h"

/* The linker gives these names to calloc() and to what calls it. */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool no_memory;

void *__wrap_calloc(size_t count, size_t size)
{
    return no_memory ? NULL : __real_calloc(count, size);
}

static void no_memory_for_devices(void **state)
{
    const struct virtio_net_options options = {.mac = {2}};
    static struct fake_stream stream;
    const struct virtio_serial_port port = {.name = "name", .stream = &stream.stream};
    struct device device = {0};
    struct driver driver;
    struct virtio_setup setup;
    struct fake_vsock *vsock;
    struct fake_net *net;
    struct block *block;
    bool closed = false, freed = false, vsock_freed = false;

    driver_init(&driver);
    setup = driver_setup(&driver);
    block = fake_block_new(4096);
    block->closed = &closed;
    net = fake_net_new(driver.loop);
    net->freed = &freed;
    vsock = fake_vsock_new();
    vsock->freed = &vsock_freed;
    fake_stream_init(&stream, driver.loop);
    no_memory = true;
    assert_int_equal(virtio_block_new(&device, &setup, block, ""), -ENOMEM);
    assert_int_equal(virtio_net_new(&device, &setup, &net->net, &options), -ENOMEM);
    assert_int_equal(virtio_console_new(&device, &setup, &stream.stream), -ENOMEM);
    assert_int_equal(virtio_rng_new(&device, &setup), -ENOMEM);
    assert_int_equal(virtio_balloon_new(&device, &setup), -ENOMEM);
    assert_int_equal(virtio_mem_new(&device, &setup, &(struct virtio_mem_options){0}), -ENOMEM);
    assert_int_equal(virtio_serial_new(&device, &setup, &port, 1), -ENOMEM);
    assert_int_equal(virtio_vsock_new(&device, &setup, &vsock->vsock, 3), -ENOMEM);
    no_memory = false;
    assert_true(closed);
    assert_true(freed);
    assert_true(vsock_freed);
    assert_null(stream.stream.port.receive);
    assert_null(device.type);
    driver_release(&driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_for_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
