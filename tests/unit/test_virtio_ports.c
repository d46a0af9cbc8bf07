/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports of virtio-serial over MMIO: what a driver is told when, whatever it says and in which
 * order; bytes both ways, held back both ways; both ends that open and close; the state as saved.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/serial.h"
#include "device_fixture.h"
#include "virtio_driver.h"
#include "virtio_fakes.h"

#define F_MULTIPORT (1ull << 1)

/* virtio 1.2, 5.3.2 */
#define CONTROL_RX 2u
#define CONTROL_TX 3u
#define QUEUES     12u
#define RX(port)   (2 + 2 * (port))
#define TX(port)   (3 + 2 * (port))

/* 5.3.6.2 */
enum event {
    DEVICE_READY = 0,
    DEVICE_ADD = 1,
    PORT_READY = 3,
    CONSOLE_PORT = 4,
    PORT_OPEN = 6,
    PORT_NAME = 7,
};

#define AGENT "org.qemu.guest_agent.0"
#define SIZE  64u

struct fixture {
    struct driver driver;
    struct fake_stream streams[2];
    gpa buffer;  /* 1 MiB, for data */
    gpa control; /* SIZE buffers of 128 bytes, for messages from the device */
    gpa spoken;  /* the driver's own message */
    unsigned given;
};

static struct fixture *make(unsigned count, bool held_open)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_serial_port ports[] = {{AGENT, &f->streams[0].stream, held_open},
                                         {"second", &f->streams[1].stream, false}};
    struct virtio_setup s;

    assert_non_null(f);
    driver_init(&f->driver);
    s = driver_setup(&f->driver);
    for (unsigned i = 0; i < 2; i++) {
        fake_stream_init(&f->streams[i], f->driver.loop);
        f->streams[i].stream.vacant = true;
    }
    assert_int_equal(virtio_serial_new(&f->driver.device, &s, ports, count), 0);
    driver_attach(&f->driver);
    f->buffer = driver_alloc(&f->driver, 1 << 20);
    f->control = driver_alloc(&f->driver, 128ull * SIZE);
    f->spoken = driver_alloc(&f->driver, 64);
    return f;
}

static int setup(void **state)
{
    *state = make(2, false);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    driver_release(&f->driver);
    for (unsigned i = 0; i < 2; i++)
        assert_null(f->streams[i].stream.port.receive);
    free(f);
    return 0;
}

/* Gives the device one more buffer of `length` bytes for a message. */
static void give(struct fixture *f, uint32_t length)
{
    const struct buffer buffer = {f->control + 128ull * (f->given++ % SIZE), length, true};

    driver_add(&f->driver, CONTROL_RX, &buffer, 1);
}

static void start(struct fixture *f, uint64_t features, unsigned buffers)
{
    driver_start(&f->driver, features, QUEUES, SIZE);
    f->given = 0;
    for (unsigned i = 0; i < buffers; i++)
        give(f, 128);
    if (buffers)
        driver_kick(&f->driver, CONTROL_RX);
}

static void speak_bytes(struct fixture *f, const void *bytes, uint32_t length)
{
    const struct buffer buffer = {f->spoken, length, false};
    uint32_t head, used;

    driver_put(&f->driver, f->spoken, bytes, length);
    driver_add(&f->driver, CONTROL_TX, &buffer, 1);
    driver_kick(&f->driver, CONTROL_TX);
    assert_true(driver_used(&f->driver, CONTROL_TX, &head, &used));
    assert_int_equal(used, 0);
}

static void speak(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
    uint8_t bytes[8];

    store_le32(bytes, id);
    store_le16(bytes + 4, event);
    store_le16(bytes + 6, value);
    speak_bytes(f, bytes, sizeof(bytes));
}

/* The next message is this one. */
static void expect_text(struct fixture *f, uint32_t id, uint16_t event, int value, const char *text)
{
    uint8_t bytes[128] = {0};
    uint32_t head, used;
    uint64_t at;
    uint8_t raw[8];

    assert_true(driver_used(&f->driver, CONTROL_RX, &head, &used));
    driver_get(&f->driver, f->driver.queues[CONTROL_RX].descriptors + 16ull * head, raw, 8);
    at = load_le64(raw);
    driver_get(&f->driver, at, bytes, sizeof(bytes) - 1);
    assert_int_equal(load_le32(bytes), id);
    assert_int_equal(load_le16(bytes + 4), event);
    if (value >= 0)
        assert_int_equal(load_le16(bytes + 6), value);
    assert_int_equal(used, 8 + strlen(text));
    assert_memory_equal(bytes + 8, text, strlen(text));
}

static void expect(struct fixture *f, uint32_t id, uint16_t event, int value)
{
    expect_text(f, id, event, value, "");
}

static void expect_nothing(struct fixture *f)
{
    uint32_t head, used;

    driver_turn(&f->driver);
    assert_false(driver_used(&f->driver, CONTROL_RX, &head, &used));
    assert_false(driver_needs_reset(&f->driver));
}

/* As Linux does it: everything ready, both ports known by name. */
static void start_linux(struct fixture *f)
{
    start(f, F_MULTIPORT, 40);
    speak(f, UINT32_MAX, DEVICE_READY, 1);
    expect(f, 1, DEVICE_ADD, -1);
    expect(f, 2, DEVICE_ADD, -1);
    for (unsigned id = 1; id <= 2; id++) {
        speak(f, id, PORT_READY, 1);
        expect_text(f, id, PORT_NAME, -1, id == 1 ? AGENT : "second");
        if (!f->streams[id - 1].stream.vacant)
            expect(f, id, PORT_OPEN, 1);
    }
    expect_nothing(f);
}

static void host_opens(struct fixture *f, unsigned id, bool open)
{
    struct stream *stream = &f->streams[id - 1].stream;

    stream->vacant = !open;
    stream->port.opened(stream->port.ctx, open);
}

static size_t receive(struct fixture *f, unsigned id, const void *data, size_t length)
{
    struct stream *stream = &f->streams[id - 1].stream;

    return stream->port.receive(stream->port.ctx, data, length);
}

static bool guest_is_open(struct fixture *f, unsigned id)
{
    return virtio_serial_is_open(&f->driver.device, id);
}

/* ---- negotiation ---- */

static void configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_ID), 3);
    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_FEATURES) &
                         ~(uint32_t)(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX),
                     F_MULTIPORT);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG + 4), 3); /* max_nr_ports */
    for (unsigned i = 0; i < QUEUES; i++) {
        driver_write32(&f->driver, REG_QUEUE_SEL, i);
        assert_int_equal(driver_read32(&f->driver, REG_QUEUE_NUM_MAX), 64);
    }
    driver_write32(&f->driver, REG_CONFIG + 4, 30);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG + 4), 3);
    assert_int_equal(f->driver.logged, 1);
}

/* A driver of one port has port 0, whose output must not stall it, and no other. */
static void without_multiport(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 300000, false}, in = {f->buffer, 100, true};
    const uint8_t ready[8] = {0, 0, 0, 0, DEVICE_READY, 0, 1, 0};
    const struct buffer control = {f->spoken, 8, false};
    uint32_t head, used;

    start(f, 0, 4);
    driver_add(&f->driver, 1, &buffer, 1);
    driver_kick(&f->driver, 1);
    assert_true(driver_used(&f->driver, 1, &head, &used));
    driver_add(&f->driver, 0, &in, 1);
    driver_kick(&f->driver, 0);
    assert_false(driver_used(&f->driver, 0, &head, &used));
    /* The control queues and other ports are not there. */
    driver_put(&f->driver, f->spoken, ready, sizeof(ready));
    driver_add(&f->driver, CONTROL_TX, &control, 1);
    driver_add(&f->driver, TX(1), &buffer, 1);
    driver_kick(&f->driver, CONTROL_TX);
    driver_kick(&f->driver, TX(1));
    host_opens(f, 1, true);
    assert_false(driver_used(&f->driver, CONTROL_TX, &head, &used));
    assert_false(driver_used(&f->driver, TX(1), &head, &used));
    expect_nothing(f);
    assert_int_equal(receive(f, 1, "abc", 3), 0);
    assert_int_equal(f->streams[0].total, 0);
    assert_int_equal(f->driver.logged, 0);
}

static void names(void **state)
{
    struct fixture *f = *state;

    start(f, F_MULTIPORT, 40);
    expect_nothing(f);
    host_opens(f, 2, true);
    expect_nothing(f);
    speak(f, 0, DEVICE_READY, 1);
    expect(f, 1, DEVICE_ADD, -1);
    expect(f, 2, DEVICE_ADD, -1);
    expect_nothing(f);
    speak(f, 2, PORT_READY, 1);
    expect_text(f, 2, PORT_NAME, -1, "second");
    expect(f, 2, PORT_OPEN, 1);
    expect_nothing(f);
    speak(f, 1, PORT_READY, 1);
    expect_text(f, 1, PORT_NAME, -1, AGENT);
    expect_nothing(f);
    assert_true(f->driver.line);
    assert_int_equal(f->driver.logged, 0);
    /* All anew after a reset. */
    start(f, F_MULTIPORT, 40);
    expect_nothing(f);
    speak(f, 0, DEVICE_READY, 1);
    expect(f, 1, DEVICE_ADD, -1);
    expect(f, 2, DEVICE_ADD, -1);
    speak(f, 2, PORT_READY, 1);
    expect_text(f, 2, PORT_NAME, -1, "second");
    expect(f, 2, PORT_OPEN, 1);
    expect_nothing(f);
}

/* ---- open and closed ---- */

static void host_end(void **state)
{
    struct fixture *f = *state;

    start_linux(f);
    host_opens(f, 1, true);
    expect(f, 1, PORT_OPEN, 1);
    expect_nothing(f);
    host_opens(f, 1, false);
    expect(f, 1, PORT_OPEN, 0);
    host_opens(f, 1, true);
    expect(f, 1, PORT_OPEN, 1);
    host_opens(f, 2, true);
    expect(f, 2, PORT_OPEN, 1);
    host_opens(f, 1, false);
    host_opens(f, 2, false);
    expect(f, 1, PORT_OPEN, 0);
    expect(f, 2, PORT_OPEN, 0);
    expect_nothing(f);
    assert_int_equal(f->driver.logged, 0);
}

/* One who comes and goes at a port that is held open is nobody's business in the guest, also after
 * a reset. */
static void held_open(void **state)
{
    struct fixture *f = make(2, true);
    const struct buffer buffer = {f->buffer, 100, true};
    uint32_t head, used;

    *state = f;
    for (unsigned i = 0; i < 2; i++) {
        start(f, F_MULTIPORT, 40);
        speak(f, UINT32_MAX, DEVICE_READY, 1);
        expect(f, 1, DEVICE_ADD, -1);
        expect(f, 2, DEVICE_ADD, -1);
        speak(f, 1, PORT_READY, 1);
        expect_text(f, 1, PORT_NAME, -1, AGENT);
        expect(f, 1, PORT_OPEN, 1);
        expect_nothing(f);
        speak(f, 1, PORT_OPEN, 1);
        driver_add(&f->driver, RX(1), &buffer, 1);
        driver_kick(&f->driver, RX(1));
        host_opens(f, 1, true);
        expect_nothing(f);
        assert_int_equal(receive(f, 1, "ask", 3), 3);
        assert_true(driver_used(&f->driver, RX(1), &head, &used));
        assert_int_equal(used, 3);
        host_opens(f, 1, false);
        expect_nothing(f);
    }
}

static void guest_end(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 100, true};
    uint32_t head, used;
    char got[8];

    start_linux(f);
    host_opens(f, 1, true);
    expect(f, 1, PORT_OPEN, 1);
    driver_add(&f->driver, RX(1), &buffer, 1);
    driver_kick(&f->driver, RX(1));
    /* Closed: what the host sends stays with the stream. */
    assert_false(guest_is_open(f, 1));
    assert_int_equal(receive(f, 1, "early", 5), 0);
    driver_kick(&f->driver, RX(1));
    assert_int_equal(f->streams[0].readied, 0);
    speak(f, 1, PORT_OPEN, 1);
    assert_true(guest_is_open(f, 1));
    assert_false(guest_is_open(f, 2));
    assert_int_equal(f->streams[0].readied, 1);
    assert_int_equal(receive(f, 1, "early", 5), 5);
    assert_true(driver_used(&f->driver, RX(1), &head, &used));
    assert_int_equal(used, 5);
    driver_get(&f->driver, f->buffer, got, 5);
    assert_memory_equal(got, "early", 5);
    speak(f, 1, PORT_OPEN, 0);
    assert_false(guest_is_open(f, 1));
    driver_add(&f->driver, RX(1), &buffer, 1);
    assert_int_equal(receive(f, 1, "late", 4), 0);
    /* Open again, but not after a reset. */
    speak(f, 1, PORT_OPEN, 1);
    assert_int_equal(f->streams[0].readied, 2);
    assert_true(guest_is_open(f, 1));
    start_linux(f);
    assert_false(guest_is_open(f, 1));
    assert_false(guest_is_open(f, 0));
    assert_false(guest_is_open(f, 77));
    expect_nothing(f);
}

/* What is due is state: however often the host's end opens and closes, a driver that does not look
 * hears of the last of it, and that the one before is gone. */
static void stalled_control_queue(void **state)
{
    struct fixture *f = *state;

    start_linux(f);
    host_opens(f, 1, true);
    expect(f, 1, PORT_OPEN, 1);
    /* Uses up the buffers. */
    for (unsigned i = 0; i < 5000; i++) {
        host_opens(f, 1, i & 1);
        driver_turn(&f->driver);
    }
    for (unsigned i = 0; i < 35; i++) /* 40, less 2 ports, 2 names and the one above */
        expect(f, 1, PORT_OPEN, i & 1);
    expect_nothing(f);
    give(f, 128);
    assert_true(driver_must_notify(&f->driver, CONTROL_RX, 0));
    driver_kick(&f->driver, CONTROL_RX);
    expect(f, 1, PORT_OPEN, 1);
    for (unsigned i = 0; i < 3; i++)
        give(f, 128);
    driver_kick(&f->driver, CONTROL_RX);
    expect_nothing(f);

    /* Closed and opened before it could be told: both are. */
    start_linux(f);
    host_opens(f, 1, false);
    expect(f, 1, PORT_OPEN, 0);
    host_opens(f, 2, true);
    expect(f, 2, PORT_OPEN, 1);
    start(f, F_MULTIPORT, 0);
    speak(f, 0, DEVICE_READY, 1);
    speak(f, 2, PORT_READY, 1);
    for (unsigned i = 0; i < 3; i++)
        give(f, 128);
    driver_kick(&f->driver, CONTROL_RX);
    expect(f, 1, DEVICE_ADD, -1);
    expect_text(f, 2, PORT_NAME, -1, "second");
    expect(f, 2, PORT_OPEN, 1);
    expect_nothing(f);
    host_opens(f, 2, false);
    host_opens(f, 2, true);
    for (unsigned i = 0; i < 8; i++)
        give(f, 128);
    driver_kick(&f->driver, CONTROL_RX);
    expect(f, 2, PORT_OPEN, 0);
    expect(f, 2, PORT_OPEN, 1);
    expect_nothing(f);
}

/* ---- hostile ---- */

static void any_order(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 7, told = 0, given = 0;

    start(f, F_MULTIPORT, 0);
    for (unsigned i = 0; i < 20000; i++) {
        static const uint32_t ids[] = {0, 1, 2, 3, 4, 5, 31, 32, 0x80000000, UINT32_MAX};
        static const uint16_t values[] = {0, 1, 2, 0xffff};
        uint32_t head, used;

        seed = seed * 1103515245 + 12345;
        if (seed >> 29 == 0)
            host_opens(f, 1 + (seed >> 20 & 1), f->streams[seed >> 20 & 1].stream.vacant);
        else
            speak(f, ids[(seed >> 16) % 10], seed >> 26 & 3 ? (seed >> 20) % 9 : (uint16_t)seed,
                  values[seed >> 24 & 3]);
        if (seed >> 27 & 1 && given < told + SIZE) {
            give(f, 128);
            given++;
            driver_notify(&f->driver, CONTROL_RX);
        }
        while (driver_used(&f->driver, CONTROL_RX, &head, &used)) {
            assert_true(used >= 8 && used <= 8 + strlen(AGENT));
            told++;
        }
    }
    assert_true(told > 1000);
    assert_false(driver_needs_reset(&f->driver));
    /* Rate-limited words, and a device that works. */
    assert_true(f->driver.logged > 0 && f->driver.logged < 30);
    start_linux(f);
}

static void any_length(void **state)
{
    struct fixture *f = *state;
    const uint8_t ready[64] = {1, 0, 0, 0, PORT_OPEN, 0, 1, 0, 0xff, 0xff};
    const struct buffer pieces[] = {{f->spoken, 3, false},
                                    {f->spoken + 3, 2, false},
                                    {f->spoken + 5, 3, false}};
    const struct buffer writable = {f->spoken, 64, true};
    uint32_t head, used;

    start_linux(f);
    for (uint32_t length = 1; length < 8; length++)
        speak_bytes(f, ready, length);
    assert_int_equal(f->driver.logged, 7);
    assert_false(guest_is_open(f, 1));
    speak_bytes(f, ready, 64);
    assert_true(guest_is_open(f, 1));
    /* 2.7.4.1: no assumption about how it is cut. */
    speak(f, 1, PORT_OPEN, 0);
    driver_put(&f->driver, f->spoken, ready, 8);
    driver_add(&f->driver, CONTROL_TX, pieces, 3);
    driver_kick(&f->driver, CONTROL_TX);
    assert_true(driver_used(&f->driver, CONTROL_TX, &head, &used));
    assert_true(guest_is_open(f, 1));
    driver_add(&f->driver, CONTROL_TX, &writable, 1);
    driver_kick(&f->driver, CONTROL_TX);
    assert_true(driver_used(&f->driver, CONTROL_TX, &head, &used));
    assert_false(driver_needs_reset(&f->driver));
}

/* A flood of messages gets a turn's worth of time. */
static void control_flood(void **state)
{
    struct fixture *f = *state;
    const uint8_t open[8] = {1, 0, 0, 0, PORT_READY, 0, 1, 0};
    const struct buffer buffer = {f->spoken, 8, false};
    struct virtio_device *core = f->driver.device.instance;
    uint32_t head, used;

    start_linux(f);
    driver_put(&f->driver, f->spoken, open, sizeof(open));
    for (unsigned i = 0; i < SIZE; i++)
        driver_add(&f->driver, CONTROL_TX, &buffer, 1);
    assert_true(core->type->run(core, CONTROL_TX));
    for (unsigned i = 0; i < SIZE; i++)
        assert_true(driver_used(&f->driver, CONTROL_TX, &head, &used));
    /* One answer to all of them. */
    expect_text(f, 1, PORT_NAME, -1, AGENT);
    expect_nothing(f);
}

static void small_buffers(void **state)
{
    struct fixture *f = *state;
    const struct buffer readable = {f->control, 128, false};

    start(f, F_MULTIPORT, 0);
    give(f, 8);
    give(f, 8);
    give(f, 8 + (uint32_t)strlen(AGENT) - 1);
    speak(f, 0, DEVICE_READY, 1);
    expect(f, 1, DEVICE_ADD, -1);
    expect(f, 2, DEVICE_ADD, -1);
    speak(f, 1, PORT_READY, 1);
    assert_true(driver_needs_reset(&f->driver));
    assert_true(virtio_is_idle(f->driver.device.instance));
    start(f, F_MULTIPORT, 0);
    give(f, 7);
    speak(f, 0, DEVICE_READY, 1);
    assert_true(driver_needs_reset(&f->driver));
    start(f, F_MULTIPORT, 0);
    driver_add(&f->driver, CONTROL_RX, &readable, 1);
    speak(f, 0, DEVICE_READY, 1);
    assert_true(driver_needs_reset(&f->driver));
    start_linux(f);
}

/* A driver that says it knows the ports (Linux after hibernation), or that it does not want them.
 */
static void driver_says_otherwise(void **state)
{
    struct fixture *f = *state;

    start(f, F_MULTIPORT, 20);
    speak(f, 1, PORT_READY, 1);
    expect_text(f, 1, PORT_NAME, -1, AGENT);
    speak(f, 1, PORT_OPEN, 1);
    assert_true(guest_is_open(f, 1));
    speak(f, 0, DEVICE_READY, 1);
    expect(f, 2, DEVICE_ADD, -1);
    host_opens(f, 1, true);
    expect(f, 1, PORT_OPEN, 1);
    speak(f, 1, PORT_READY, 0);
    host_opens(f, 1, false);
    expect_nothing(f);
    speak(f, 1, PORT_READY, 1);
    expect_text(f, 1, PORT_NAME, -1, AGENT);
    expect_nothing(f);

    start(f, F_MULTIPORT, 20);
    speak(f, 0, DEVICE_READY, 0);
    expect_nothing(f);
}

/* ---- bytes ---- */

static void output(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffers[] = {{f->buffer, 6, false}, {f->buffer + 100, 5, false}};
    uint32_t head, used;

    start_linux(f);
    driver_put(&f->driver, f->buffer, "hello ", 6);
    driver_put(&f->driver, f->buffer + 100, "world", 5);
    driver_add(&f->driver, TX(2), buffers, 2);
    driver_kick(&f->driver, TX(2));
    assert_true(driver_used(&f->driver, TX(2), &head, &used));
    assert_int_equal(used, 0);
    assert_int_equal(f->streams[0].total, 0);
    assert_int_equal(f->streams[1].length, 11);
    assert_memory_equal(f->streams[1].bytes, "hello world", 11);
}

/* Byte `i` of what the guest sends. */
static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 % 251);
}

static void put_pattern(struct fixture *f, size_t length)
{
    uint8_t *bytes = malloc(length);

    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(i);
    driver_put(&f->driver, f->buffer, bytes, length);
    free(bytes);
}

/* Empties the stream of port 1, whose bytes are the pattern from `from` on; returns how many. */
static size_t take_pattern(struct fixture *f, size_t from)
{
    size_t length = f->streams[0].length;

    for (size_t i = 0; i < length; i++)
        assert_int_equal(f->streams[0].bytes[i], pattern(from + i));
    f->streams[0].length = 0;
    return length;
}

/* A stream that is full holds the guest's request, which is finished when there is room. */
static void held_back(void **state)
{
    struct fixture *f = *state;
    struct stream_port *port = &f->streams[0].stream.port;
    const struct buffer large = {f->buffer, 700000, false}, small = {f->buffer + 700000, 10, false};
    size_t done = 0;
    uint32_t head, used;

    start_linux(f);
    put_pattern(f, 700010);
    driver_add(&f->driver, TX(1), &large, 1);
    driver_add(&f->driver, TX(1), &small, 1);
    driver_kick(&f->driver, TX(1));
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(f->streams[0].length, FAKE_BYTES_MAX);
        assert_false(driver_used(&f->driver, TX(1), &head, &used));
        assert_true(virtio_is_idle(f->driver.device.instance));
        driver_kick(&f->driver, TX(1)); /* an eager driver changes nothing */
        done += take_pattern(f, done);
        port->writable(port->ctx);
        driver_turn(&f->driver);
    }
    assert_true(driver_used(&f->driver, TX(1), &head, &used));
    assert_true(driver_used(&f->driver, TX(1), &head, &used));
    done += take_pattern(f, done);
    assert_int_equal(done, 700010);

    /* A reset of the device, or of the queue alone, while a request is held: it is forgotten, and
     * the next begins at its beginning. */
    for (unsigned i = 0; i < 3; i++) {
        start_linux(f);
        for (unsigned j = 0; j < i; j++) {
            driver_add(&f->driver, TX(1), &small, 1);
            driver_kick(&f->driver, TX(1));
        }
        f->streams[0].length = 0;
        driver_add(&f->driver, TX(1), &large, 1);
        driver_kick(&f->driver, TX(1));
        assert_int_equal(f->streams[0].length, FAKE_BYTES_MAX);
        if (i < 2) {
            start_linux(f);
        } else {
            driver_write32(&f->driver, REG_QUEUE_SEL, TX(1));
            driver_write32(&f->driver, REG_QUEUE_READY, 0);
            driver_queue_setup(&f->driver, TX(1), SIZE);
        }
        f->streams[0].length = 0;
        port->writable(port->ctx);
        driver_turn(&f->driver);
        assert_int_equal(f->streams[0].length, 0);
        driver_add(&f->driver, TX(1), &large, 1);
        driver_kick(&f->driver, TX(1));
        assert_int_equal(take_pattern(f, 0), FAKE_BYTES_MAX);
    }
}

/* A held request that the guest replaces by a shorter one meanwhile. */
static void held_and_changed(void **state)
{
    struct fixture *f = *state;
    struct stream_port *port = &f->streams[0].stream.port;
    const struct buffer large = {f->buffer, 700000, false};
    uint32_t head, used;
    uint16_t slot;

    start_linux(f);
    slot = driver_add(&f->driver, TX(1), &large, 1);
    driver_kick(&f->driver, TX(1));
    driver_descriptor(&f->driver, f->driver.queues[TX(1)].descriptors, slot, f->buffer, 10, 0, 0);
    f->streams[0].length = 0;
    port->writable(port->ctx);
    driver_turn(&f->driver);
    assert_true(driver_used(&f->driver, TX(1), &head, &used));
    assert_int_equal(f->streams[0].length, 0);
    assert_false(driver_needs_reset(&f->driver));
}

/* A flood goes out in turns. */
static void flood(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 100000, false};
    struct virtio_device *core = f->driver.device.instance;

    start_linux(f);
    driver_add(&f->driver, TX(1), &buffer, 1);
    assert_true(core->type->run(core, TX(1)));
    assert_int_equal(f->streams[0].total, 64 << 10);
    assert_false(core->type->run(core, TX(1)));
    assert_int_equal(f->streams[0].total, 100000);
    /* Queues of ports that are not there are not served. */
    driver_add(&f->driver, TX(3), &buffer, 1);
    driver_add(&f->driver, RX(4), &buffer, 1);
    driver_kick(&f->driver, TX(3));
    driver_kick(&f->driver, RX(4));
    assert_false(driver_needs_reset(&f->driver));
}

static void input_waits(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffer = {f->buffer, 4, true}, readable = {f->buffer, 4, false};
    const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};
    uint32_t head, used;

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        start(f, F_MULTIPORT | features[i], 10);
        f->streams[1].readied = 0;
        speak(f, 2, PORT_READY, 1);
        speak(f, 2, PORT_OPEN, 1);
        driver_add(&f->driver, RX(2), &buffer, 1);
        assert_int_equal(receive(f, 2, "abcdef", 6), 4);
        assert_true(driver_used(&f->driver, RX(2), &head, &used));
        assert_int_equal(used, 4);
        driver_add(&f->driver, RX(2), &buffer, 1);
        assert_true(driver_must_notify(&f->driver, RX(2), 1));
        driver_kick(&f->driver, RX(2));
        assert_int_equal(f->streams[1].readied, 1);
        assert_int_equal(receive(f, 2, "ef", 2), 2);
        driver_kick(&f->driver, RX(2));
        assert_int_equal(f->streams[1].readied, 1);
    }
    driver_add(&f->driver, RX(2), &readable, 1);
    assert_int_equal(receive(f, 2, "abc", 3), 0);
    assert_true(driver_needs_reset(&f->driver));
    assert_true(virtio_is_idle(f->driver.device.instance));
}

/* ---- the state ---- */

static void state_moves(void **state)
{
    struct fixture *f = *state;
    const struct device_type *type = f->driver.device.type;
    struct stream_port *port = &f->streams[0].stream.port;
    const struct buffer large = {f->buffer, 200000, false};
    uint8_t saved[4096], wrong[4096];
    size_t at = device_field(type, "ports[1].flags"), length;
    uint32_t head, used;

    start_linux(f);
    speak(f, 1, PORT_OPEN, 1);
    host_opens(f, 1, true);
    expect(f, 1, PORT_OPEN, 1);
    put_pattern(f, 200000);
    driver_add(&f->driver, TX(1), &large, 1);
    driver_kick(&f->driver, TX(1));
    assert_int_equal(f->streams[0].length, FAKE_BYTES_MAX);
    length = device_save(type, f->driver.device.instance, saved);
    assert_true(length <= sizeof(saved));
    /* Power-on, and then back to where it was: in the middle of a request, and of a conversation.
     */
    type->reset(f->driver.device.instance);
    driver_turn(&f->driver);
    assert_false(guest_is_open(f, 1));
    f->streams[0].stream.vacant = true;
    host_opens(f, 1, false); /* the client did not come along */
    assert_true(device_load(type, f->driver.device.instance, saved));
    assert_int_equal(take_pattern(f, 0), FAKE_BYTES_MAX);
    port->writable(port->ctx);
    driver_turn(&f->driver);
    assert_true(guest_is_open(f, 1));
    assert_int_equal(take_pattern(f, FAKE_BYTES_MAX), 200000 - FAKE_BYTES_MAX);
    assert_true(driver_used(&f->driver, TX(1), &head, &used));
    expect(f, 1, PORT_OPEN, 0);
    expect_nothing(f);

    /* 1 added, 2 ready, 4 named, 8 told that it is open, 16 and then closed, 32 open in the guest
     */
    for (unsigned flags = 0; flags < 256; flags++) {
        bool good = flags < 64 && !(flags & 2 && !(flags & 1)) && !(flags & 28 && !(flags & 2)) &&
                    !(flags & 16 && !(flags & 8));

        memcpy(wrong, saved, length);
        wrong[at] = (uint8_t)flags;
        type->reset(f->driver.device.instance);
        assert_int_equal(device_load(type, f->driver.device.instance, wrong), good);
    }
}

static void one_port(void **state)
{
    struct fixture *f = make(1, false);

    assert_int_equal(driver_read32(&f->driver, REG_CONFIG + 4), 2);
    start(f, F_MULTIPORT, 10);
    speak(f, 0, DEVICE_READY, 1);
    expect(f, 1, DEVICE_ADD, -1);
    speak(f, 2, PORT_READY, 1);
    speak(f, 2, PORT_OPEN, 1);
    expect_nothing(f);
    assert_int_equal(f->driver.logged, 2);
    *state = f;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(configuration),
        TEST(without_multiport),
        TEST(names),
        TEST(host_end),
        cmocka_unit_test_teardown(held_open, teardown),
        TEST(guest_end),
        TEST(stalled_control_queue),
        TEST(any_order),
        TEST(any_length),
        TEST(control_flood),
        TEST(small_buffers),
        TEST(driver_says_otherwise),
        TEST(output),
        TEST(held_back),
        TEST(held_and_changed),
        TEST(flood),
        TEST(input_waits),
        TEST(state_moves),
        cmocka_unit_test_teardown(one_port, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
