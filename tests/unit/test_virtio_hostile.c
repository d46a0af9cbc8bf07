/* SPDX-License-Identifier: Apache-2.0 */
/* Every device against every broken ring: that device needs a reset, the others go on, and a reset
 * mends it. Each has the whole machine around it: five devices, one memory, one loop. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/balloon.h"
#include "device/virtio/block.h"
#include "device/virtio/console.h"
#include "device/virtio/net.h"
#include "device/virtio/rng.h"
#include "device/virtio/vsock.h"
#include "virtio_driver.h"
#include "virtio_fakes.h"

#define DEVICES 6u
#define SIZE    16u

/* A driver a device; they share the memory, loop and log of the first. */
struct fixture {
    struct driver drivers[DEVICES];
    struct fake_stream stream;
    struct fake_net *net;
    gpa buffer;
};

/* The queue of each device that a notification makes it read. */
static const unsigned active_queue[DEVICES] = {0, 1, 1, 0, 0, 1};
static const unsigned queue_counts[DEVICES] = {1, 2, 2, 1, 2, 3};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct virtio_net_options options = {.mac = {2}};

    assert_non_null(f);
    driver_init(&f->drivers[0]);
    f->buffer = driver_alloc(&f->drivers[0], 4096);
    for (unsigned i = 0; i < DEVICES; i++) {
        struct driver *d = &f->drivers[i];
        struct virtio_setup s;
        gpa base = DRIVER_DEVICE + 0x1000 * i;

        if (i) {
            d->as = f->drivers[0].as;
            d->loop = f->drivers[0].loop;
            d->log = f->drivers[0].log;
            d->next = DRIVER_RAM + i * round_down(DRIVER_RAM_SIZE / DEVICES, PAGE_SIZE);
        }
        s = driver_setup(d);
        switch (i) {
        case 0:
            assert_int_equal(virtio_block_new(&d->device, &s, fake_block_new(65536), ""), 0);
            break;
        case 1:
            f->net = fake_net_new(s.loop);
            assert_int_equal(virtio_net_new(&d->device, &s, &f->net->net, &options), 0);
            break;
        case 2:
            fake_stream_init(&f->stream, s.loop);
            assert_int_equal(virtio_console_new(&d->device, &s, &f->stream.stream), 0);
            break;
        case 3:
            assert_int_equal(virtio_rng_new(&d->device, &s), 0);
            break;
        case 4:
            assert_int_equal(virtio_balloon_new(&d->device, &s), 0);
            break;
        default:
            assert_int_equal(virtio_vsock_new(&d->device, &s, &fake_vsock_new()->vsock, 3), 0);
            break;
        }
        assert_int_equal(memory_add_io(d->as, "virtio", base, d->device.size, &d->device.type->io,
                                       d->device.instance, NULL),
                         0);
    }
    for (unsigned i = 0; i < DEVICES; i++)
        f->drivers[i].range = memory_find(f->drivers[i].as, DRIVER_DEVICE + 0x1000 * i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i < DEVICES; i++)
        f->drivers[i].device.type->free(f->drivers[i].device.instance);
    driver_release(&f->drivers[0]);
    free(f);
    return 0;
}

static void write_register(struct driver *d, unsigned reg, uint32_t value)
{
    assert_int_equal(memory_io_write(d->range, d->range->base + reg, 4, value), 0);
}

static uint32_t read_register(struct driver *d, unsigned reg)
{
    uint64_t value;

    assert_int_equal(memory_io_read(d->range, d->range->base + reg, 4, &value), 0);
    return (uint32_t)value;
}

static void start(struct fixture *f, unsigned device)
{
    struct driver *d = &f->drivers[device];

    write_register(d, REG_STATUS, 0);
    write_register(d, REG_STATUS, 3);
    write_register(d, REG_DRIVER_FEATURES_SEL, 0);
    write_register(d, REG_DRIVER_FEATURES, (uint32_t)VIRTIO_F_INDIRECT_DESC);
    write_register(d, REG_DRIVER_FEATURES_SEL, 1);
    write_register(d, REG_DRIVER_FEATURES, 1);
    write_register(d, REG_STATUS, 11);
    for (unsigned i = 0; i < queue_counts[device]; i++) {
        struct driver_queue *queue = &d->queues[i];

        *queue = (struct driver_queue){.size = SIZE};
        queue->descriptors = driver_alloc(d, 16 * SIZE);
        queue->available = driver_alloc(d, 4 + 2 * SIZE);
        queue->used = driver_alloc(d, 4 + 8 * SIZE);
        write_register(d, REG_QUEUE_SEL, i);
        write_register(d, REG_QUEUE_NUM, SIZE);
        write_register(d, REG_QUEUE_DESC_LOW, (uint32_t)queue->descriptors);
        write_register(d, REG_QUEUE_DRIVER_LOW, (uint32_t)queue->available);
        write_register(d, REG_QUEUE_DEVICE_LOW, (uint32_t)queue->used);
        write_register(d, REG_QUEUE_READY, 1);
    }
    write_register(d, REG_STATUS, 15);
    driver_turn(d);
    assert_int_equal(read_register(d, REG_STATUS), 15);
}

/* A request that each device serves: a flush, a frame, a text, some random bytes, pages given, a
 * packet. */
static void serve(struct fixture *f, unsigned device)
{
    struct driver *d = &f->drivers[device];
    const uint8_t flush[16] = {4};
    const struct buffer buffers[DEVICES][2] = {
        {{f->buffer, 16, false}, {f->buffer + 64, 1, true}},
        {{f->buffer + 128, 12, false}, {f->buffer + 128, 60, false}},
        {{f->buffer + 256, 10, false}, {f->buffer + 256, 1, false}},
        {{f->buffer + 512, 16, true}, {f->buffer + 600, 16, true}},
        {{f->buffer + 700, 4, false}, {f->buffer + 704, 4, false}},
        {{f->buffer + 800, 40, false}, {f->buffer + 840, 4, false}},
    };
    uint32_t head, len;

    driver_put(d, f->buffer, flush, sizeof(flush));
    driver_add(d, active_queue[device], buffers[device], 2);
    write_register(d, REG_QUEUE_NOTIFY, active_queue[device]);
    driver_turn(d);
    assert_true(driver_used(d, active_queue[device], &head, &len));
    assert_false(read_register(d, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
}

/* Breaks the ring of queue `index`, which has served one request of two descriptors. */
static void break_ring(struct driver *d, unsigned index, unsigned how, gpa buffer)
{
    struct driver_queue *queue = &d->queues[index];
    gpa table = queue->descriptors;

    switch (how) {
    case 0: /* a loop */
        driver_descriptor(d, table, 4, buffer, 8, DESC_NEXT, 5);
        driver_descriptor(d, table, 5, buffer, 8, DESC_NEXT, 4);
        driver_offer(d, index, 4);
        break;
    case 1:
        driver_offer(d, index, SIZE);
        break;
    case 2: /* out of memory */
        driver_descriptor(d, table, 4, 0x40000000, 8, 0, 0);
        driver_offer(d, index, 4);
        break;
    case 3: /* the registers of another device */
        driver_descriptor(d, table, 4, DRIVER_DEVICE, 8, DESC_WRITE, 0);
        driver_offer(d, index, 4);
        break;
    case 4:
        driver_descriptor(d, table, 4, buffer, 0, 0, 0);
        driver_offer(d, index, 4);
        break;
    case 5:
        driver_put16(d, queue->available + 2, 0x8000);
        break;
    case 6: /* a table in itself */
        driver_descriptor(d, table, 4, table + 4 * 16, 16, DESC_INDIRECT, 0);
        driver_offer(d, index, 4);
        break;
    default: /* too short for a request, or nothing to write to */
        driver_descriptor(d, table, 4, buffer, 1, 0, 0);
        driver_offer(d, index, 4);
        break;
    }
}

static void hostile_rings(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < DEVICES; i++)
        start(f, i);
    for (unsigned i = 0; i < DEVICES; i++) {
        for (unsigned how = 0; how < 8; how++) {
            struct driver *d = &f->drivers[i];

            /* A console does not mind a buffer that it need not read. */
            if (i == 2 && how == 7)
                continue;
            serve(f, i);
            break_ring(d, active_queue[i], how, f->buffer);
            write_register(d, REG_QUEUE_NOTIFY, active_queue[i]);
            driver_turn(d);
            assert_true(read_register(d, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
            assert_true(read_register(d, REG_INTERRUPT_STATUS) & VIRTIO_INTERRUPT_CONFIG);
            assert_true(virtio_is_idle(d->device.instance));
            for (unsigned other = 0; other < DEVICES; other++)
                if (other != i)
                    serve(f, other);
            start(f, i);
            serve(f, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hostile_rings, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
