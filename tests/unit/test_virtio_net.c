/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net over MMIO: frames out and in, merged buffers, back-pressure, link and MTU. */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/net.h"
#include "virtio_driver.h"
#include "virtio_fakes.h"

#define F_MTU       (1ull << 3)
#define F_MAC       (1ull << 5)
#define F_MRG_RXBUF (1ull << 15)
#define F_STATUS    (1ull << 16)

#define RX     0u
#define TX     1u
#define HEADER 12u

struct fixture {
    struct driver driver;
    struct fake_net *net;
    gpa buffer; /* 128 KiB */
    uint8_t frame[FAKE_BYTES_MAX];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct virtio_net_options options = {.mac = {2, 0, 0, 1, 2, 3}, .mtu = 1500};
    struct virtio_setup s;

    assert_non_null(f);
    driver_init(&f->driver);
    s = driver_setup(&f->driver);
    f->net = fake_net_new(f->driver.loop);
    assert_int_equal(virtio_net_new(&f->driver.device, &s, &f->net->net, &options), 0);
    driver_attach(&f->driver);
    f->buffer = driver_alloc(&f->driver, 128 << 10);
    for (unsigned i = 0; i < sizeof(f->frame); i++)
        f->frame[i] = (uint8_t)(i * 7 + i / 256);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool freed = false;

    f->net->freed = &freed;
    driver_release(&f->driver);
    assert_true(freed);
    free(f);
    return 0;
}

static bool receive(struct fixture *f, uint32_t len)
{
    return f->net->net.port.receive(f->net->net.port.ctx, f->frame, len);
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;

    assert_int_equal(driver_read32(d, REG_DEVICE_ID), 1);
    assert_int_equal(driver_read32(d, REG_DEVICE_FEATURES) &
                         ~(uint32_t)(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX),
                     F_MTU | F_MAC | F_MRG_RXBUF | F_STATUS);
    assert_int_equal(driver_read32(d, REG_CONFIG), 0x01000002);
    assert_int_equal(driver_read(d, REG_CONFIG + 4, 2), 0x0302);
    assert_int_equal(driver_read(d, REG_CONFIG + 6, 2), 1);
    assert_int_equal(driver_read(d, REG_CONFIG + 10, 2), 1500);
    driver_write(d, REG_CONFIG, 1, 0xff);
    assert_int_equal(driver_read(d, REG_CONFIG, 1), 2);
}

/* Sends the first `len` bytes of the frame in pieces; a header of `gso` first. */
static void transmit(struct fixture *f, uint32_t len, uint8_t gso)
{
    uint8_t header[HEADER] = {[1] = gso};
    const struct buffer buffers[] = {
        {f->buffer, 5, false},
        {f->buffer + 5, 7 + len / 3, false},
        {f->buffer + 12 + len / 3, len - len / 3, false},
    };

    driver_put(&f->driver, f->buffer, header, sizeof(header));
    driver_put(&f->driver, f->buffer + HEADER, f->frame, len);
    driver_add(&f->driver, TX, buffers, len ? 3 : 2);
}

static void frames_out(void **state)
{
    struct fixture *f = *state;
    const uint32_t lengths[] = {1, 60, 1514, NET_FRAME_MAX};
    uint32_t head, used;

    driver_start(&f->driver, F_MAC, 2, 256);
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        transmit(f, lengths[i], 0);
        driver_kick(&f->driver, TX);
        assert_true(driver_used(&f->driver, TX, &head, &used));
        assert_int_equal(used, 0);
        assert_int_equal(f->net->sent, i + 1);
        assert_int_equal(f->net->length, lengths[i]);
        assert_memory_equal(f->net->frame, f->frame, lengths[i]);
    }
    assert_true(f->driver.line);
}

/* Used, but not sent. */
static void frames_not_sent(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used;

    driver_start(&f->driver, F_MAC, 2, 256);
    transmit(f, 0, 0);
    transmit(f, NET_FRAME_MAX + 1, 0);
    transmit(f, 1514, 1); /* TCP segmentation was not offered */
    driver_kick(&f->driver, TX);
    for (unsigned i = 0; i < 3; i++)
        assert_true(driver_used(&f->driver, TX, &head, &used));
    assert_int_equal(f->net->sent, 0);
    assert_false(driver_needs_reset(&f->driver));
}

static void frame_without_header(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffers[] = {{f->buffer, 11, false}, {f->buffer, 100, true}};

    for (unsigned i = 0; i < 2; i++) {
        driver_start(&f->driver, F_MAC, 2, 256);
        driver_add(&f->driver, TX, &buffers[i], 1);
        driver_kick(&f->driver, TX);
        assert_true(driver_needs_reset(&f->driver));
        assert_true(virtio_is_idle(f->driver.device.instance));
    }
    assert_int_equal(f->net->sent, 0);
}

/* One turn of the loop sends 64 frames and lets others run. */
static void turns_are_fair(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used;

    driver_start(&f->driver, F_MAC | VIRTIO_F_INDIRECT_DESC, 2, 256);
    for (unsigned i = 0; i < 200; i++) {
        const struct buffer buffer = {f->buffer, HEADER + 60, false};

        driver_add(&f->driver, TX, &buffer, 1);
    }
    assert_true(((struct virtio_device *)f->driver.device.instance)
                    ->type->run(f->driver.device.instance, TX));
    assert_int_equal(f->net->sent, 64);
    driver_kick(&f->driver, TX);
    assert_int_equal(f->net->sent, 200);
    for (unsigned i = 0; i < 200; i++)
        assert_true(driver_used(&f->driver, TX, &head, &used));
}

/* Offers `count` receive buffers of `len` bytes, one behind the other in memory. */
/* What the back end wants later stays in the ring, and is not asked for again by the driver. */
static void frames_wait_in_the_ring(void **state)
{
    struct fixture *f = *state;
    const struct net_port *port = &f->net->net.port;
    struct driver *d = &f->driver;
    uint32_t head, used;

    for (unsigned event_index = 0; event_index < 2; event_index++) {
        unsigned sent = f->net->sent;
        uint16_t old;

        driver_start(d, F_MAC | (event_index ? VIRTIO_F_EVENT_IDX : 0), 2, 256);
        f->net->open_frames = 3;
        for (unsigned i = 0; i < 100; i++)
            transmit(f, 60, 0);
        driver_kick(d, TX);
        driver_kick(d, TX);
        assert_int_equal(f->net->sent - sent, 3);
        for (unsigned i = 0; i < 3; i++)
            assert_true(driver_used(d, TX, &head, &used));
        assert_false(driver_used(d, TX, &head, &used));
        /* Nothing is in flight: a reset has nothing to wait for. */
        assert_true(virtio_is_idle(d->device.instance));
        old = d->queues[TX].available_index;
        transmit(f, 60, 0);
        assert_false(driver_must_notify(d, TX, old));

        f->net->open_frames = 10;
        port->sendable(port->ctx);
        assert_int_equal(f->net->sent - sent, 3); /* not from inside */
        driver_turn(d);
        assert_int_equal(f->net->sent - sent, 13);
        /* Spurious, as after a change of limits. */
        port->sendable(port->ctx);
        driver_turn(d);
        assert_int_equal(f->net->sent - sent, 13);
        f->net->open_frames = UINT32_MAX;
        port->sendable(port->ctx);
        driver_turn(d);
        assert_int_equal(f->net->sent - sent, 101);
        old = d->queues[TX].available_index;
        transmit(f, 60, 0);
        assert_true(driver_must_notify(d, TX, old));
        f->net->open_frames = 0;
        driver_kick(d, TX);
    }
    /* The next driver's frames do not wait for the last one's. */
    f->net->open_frames = UINT32_MAX;
    driver_start(d, F_MAC, 2, 256);
    transmit(f, 60, 0);
    driver_kick(d, TX);
    assert_true(driver_used(d, TX, &head, &used));
    driver_write32(d, REG_STATUS, 0);
    port->sendable(port->ctx);
    driver_turn(d);
}

static void buffers_add(struct fixture *f, unsigned count, uint32_t len)
{
    for (unsigned i = 0; i < count; i++) {
        const struct buffer buffer = {f->buffer + (uint64_t)i * len, len, true};

        driver_add(&f->driver, RX, &buffer, 1);
    }
}

static void frames_in(void **state)
{
    struct fixture *f = *state;
    uint8_t got[HEADER + 1514], header[HEADER] = {[10] = 1};
    const struct buffer buffers[] = {{f->buffer, 10, true}, {f->buffer + 10, 2000, true}};
    uint32_t head, used;

    for (unsigned merge = 0; merge < 2; merge++) {
        driver_start(&f->driver, F_MAC | (merge ? F_MRG_RXBUF : 0), 2, 256);
        driver_write32(&f->driver, REG_INTERRUPT_ACK, 1);
        driver_add(&f->driver, RX, buffers, 2);
        assert_true(receive(f, 1514));
        assert_true(f->driver.line);
        assert_true(driver_used(&f->driver, RX, &head, &used));
        assert_int_equal(used, HEADER + 1514);
        driver_get(&f->driver, f->buffer, got, sizeof(got));
        assert_memory_equal(got, header, HEADER);
        assert_memory_equal(got + HEADER, f->frame, 1514);
    }
}

static void merged_buffers(void **state)
{
    struct fixture *f = *state;
    static uint8_t got[HEADER + NET_FRAME_MAX];
    uint32_t head, used, total = 0, buffers = (HEADER + NET_FRAME_MAX + 999) / 1000;

    driver_start(&f->driver, F_MAC | F_MRG_RXBUF | VIRTIO_F_EVENT_IDX, 2, 256);
    buffers_add(f, buffers + 1, 1000);
    assert_true(receive(f, NET_FRAME_MAX));
    for (unsigned i = 0; i < buffers; i++) {
        assert_true(driver_used(&f->driver, RX, &head, &used));
        assert_int_equal(head, i);
        /* 5.1.6.4.1: all but the last are full. */
        assert_int_equal(used, i + 1 < buffers ? 1000 : (HEADER + NET_FRAME_MAX) % 1000);
        total += used;
    }
    assert_int_equal(total, HEADER + NET_FRAME_MAX);
    assert_false(driver_used(&f->driver, RX, &head, &used));
    driver_get(&f->driver, f->buffer, got, sizeof(got));
    assert_int_equal(load_le16(got + 10), buffers);
    assert_memory_equal(got + HEADER, f->frame, NET_FRAME_MAX);
    assert_int_equal(virtio_is_idle(f->driver.device.instance), true);
}

/* A frame that finds too few buffers waits with the back end, and takes none. */
static void back_pressure(void **state)
{
    struct fixture *f = *state;
    const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};
    uint32_t head, used;
    uint16_t old;

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        f->net->readied = 0;
        driver_start(&f->driver, F_MAC | F_MRG_RXBUF | features[i], 2, 256);
        assert_false(receive(f, 1000));
        assert_true(driver_must_notify(&f->driver, RX, 0) || i); /* asked, at the latest now */
        buffers_add(f, 2, 400);
        assert_true(driver_must_notify(&f->driver, RX, 0));
        driver_kick(&f->driver, RX);
        assert_int_equal(f->net->readied, 1);
        assert_false(receive(f, 1000)); /* 800 do not suffice */
        assert_false(driver_used(&f->driver, RX, &head, &used));
        old = f->driver.queues[RX].available_index;
        buffers_add(f, 1, 400);
        assert_true(driver_must_notify(&f->driver, RX, old));
        driver_kick(&f->driver, RX);
        assert_int_equal(f->net->readied, 2);
        assert_true(receive(f, 1000));
        for (unsigned j = 0; j < 3; j++) {
            assert_true(driver_used(&f->driver, RX, &head, &used));
            assert_int_equal(head, j);
        }
        /* Nobody waits: no further call. */
        driver_kick(&f->driver, RX);
        assert_int_equal(f->net->readied, 2);
        assert_true(virtio_is_idle(f->driver.device.instance));
    }
}

/* What can never fit is dropped, or the interface would be stuck for ever. */
static void hopeless_frames(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used;

    driver_start(&f->driver, F_MAC, 2, 256);
    buffers_add(f, 2, 100);
    assert_true(receive(f, 1514));
    assert_false(driver_used(&f->driver, RX, &head, &used));
    assert_true(receive(f, 88));
    assert_true(driver_used(&f->driver, RX, &head, &used));
    assert_int_equal(head, 0);

    driver_start(&f->driver, F_MAC | F_MRG_RXBUF, 2, 4);
    buffers_add(f, 4, 100);
    assert_true(receive(f, 1514));
    assert_false(driver_used(&f->driver, RX, &head, &used));
    assert_true(receive(f, 388));
    assert_true(driver_used(&f->driver, RX, &head, &used));
    assert_true(receive(f, NET_FRAME_MAX + 1));
    assert_true(receive(f, 0));
    assert_false(driver_needs_reset(&f->driver));
}

static void bad_receive_buffers(void **state)
{
    struct fixture *f = *state;
    const struct buffer small = {f->buffer, 11, true}, readable = {f->buffer, 2000, false};
    const struct buffer good = {f->buffer, 20, true};

    for (unsigned i = 0; i < 3; i++) {
        driver_start(&f->driver, F_MAC | F_MRG_RXBUF, 2, 256);
        if (i == 2)
            driver_add(&f->driver, RX, &good, 1);
        driver_add(&f->driver, RX, i == 0 ? &small : &readable, 1);
        assert_true(receive(f, 100)); /* into nothing */
        assert_true(driver_needs_reset(&f->driver));
        assert_true(virtio_is_idle(f->driver.device.instance));
    }
}

static void not_running(void **state)
{
    struct fixture *f = *state;

    assert_true(receive(f, 100));
    assert_true(driver_negotiate(&f->driver, F_MAC));
    driver_queue_setup(&f->driver, RX, 256);
    buffers_add(f, 1, 2000);
    assert_true(receive(f, 100));
    assert_int_equal(driver_get16(&f->driver, f->driver.queues[RX].used + 2), 0);
}

static void mtu(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used;

    driver_start(&f->driver, F_MAC | F_MTU, 2, 256);
    buffers_add(f, 1, 4000);
    assert_true(receive(f, 1500 + 19));
    assert_false(driver_used(&f->driver, RX, &head, &used));
    assert_true(receive(f, 1500 + 18));
    assert_true(driver_used(&f->driver, RX, &head, &used));
}

static void link_state(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used, generation = driver_read32(&f->driver, REG_CONFIG_GENERATION);

    driver_start(&f->driver, F_MAC | F_STATUS, 2, 256);
    virtio_net_set_link(&f->driver.device, true); /* as it was */
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG_GENERATION), generation);
    virtio_net_set_link(&f->driver.device, false);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 2);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG + 6, 2), 0);
    assert_int_not_equal(driver_read32(&f->driver, REG_CONFIG_GENERATION), generation);
    buffers_add(f, 1, 4000);
    assert_true(receive(f, 100));
    assert_false(driver_used(&f->driver, RX, &head, &used));
    transmit(f, 100, 0);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &used));
    assert_int_equal(f->net->sent, 0);
    virtio_net_set_link(&f->driver.device, true);
    assert_true(receive(f, 100));
    assert_true(driver_used(&f->driver, RX, &head, &used));
}

/* A back end may answer from within the send: a DHCP server in the same process does. */
static void answer_within_send(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used;

    driver_start(&f->driver, F_MAC | F_MRG_RXBUF, 2, 256);
    f->net->answer = true;
    transmit(f, 300, 0);
    for (unsigned i = 0; i < 3; i++) {
        const struct buffer buffer = {f->buffer + 4096, 2000, true};

        driver_add(&f->driver, RX, &buffer, 1);
    }
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, RX, &head, &used));
    assert_int_equal(used, HEADER + 300);
    assert_true(driver_used(&f->driver, TX, &head, &used));
}

/* A back end that waits is told when the driver that it waits for is gone. */
static void reset_while_waiting(void **state)
{
    struct fixture *f = *state;

    driver_start(&f->driver, F_MAC, 2, 256);
    assert_false(receive(f, 100));
    driver_write32(&f->driver, REG_STATUS, 0);
    driver_turn(&f->driver);
    assert_int_equal(f->net->readied, 1);
    assert_true(receive(f, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_out, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_not_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(frame_without_header, setup, teardown),
        cmocka_unit_test_setup_teardown(turns_are_fair, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_wait_in_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_in, setup, teardown),
        cmocka_unit_test_setup_teardown(merged_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(back_pressure, setup, teardown),
        cmocka_unit_test_setup_teardown(hopeless_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_receive_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(not_running, setup, teardown),
        cmocka_unit_test_setup_teardown(mtu, setup, teardown),
        cmocka_unit_test_setup_teardown(link_state, setup, teardown),
        cmocka_unit_test_setup_teardown(answer_within_send, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_while_waiting, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
