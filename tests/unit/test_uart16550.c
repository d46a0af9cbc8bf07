/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of the 16550A against the PC16550D data sheet, and its flow to and from a stream. */
#include <stdlib.h>

#include "device/uart16550.h"
#include "device_fixture.h"

#define BOUND 64

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

struct fixture {
    struct loop *loop;
    struct stream *stream;
    struct uart16550 *uart;
    struct probe irq;
};

static uint8_t get(struct fixture *f, uint64_t offset)
{
    return (uint8_t)uart16550_type.io.read(f->uart, offset, 1);
}

static void put(struct fixture *f, uint64_t offset, uint8_t value)
{
    uart16550_type.io.write(f->uart, offset, 1, value);
}

static size_t feed(struct fixture *f, const char *text)
{
    return stream_buffer_feed(f->stream, (const uint8_t *)text, strlen(text));
}

static void expect_sent(struct fixture *f, const char *text)
{
    char sent[BOUND + 1] = {0};

    stream_buffer_take(f->stream, (uint8_t *)sent, BOUND);
    assert_string_equal(sent, text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct wire irq = probe_wire(&f->irq, 0);

    *state = f;
    return loop_new(&f->loop) || stream_buffer_new(&f->stream, f->loop, BOUND) ||
           uart16550_new(&f->uart, f->loop, f->stream, &irq, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    uart16550_type.free(f->uart);
    stream_free(f->stream);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void test_reset_values(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(f, IER), 0);
        assert_int_equal(get(f, IIR), 0x01);
        assert_int_equal(get(f, LCR), 0);
        assert_int_equal(get(f, MCR), 0);
        assert_int_equal(get(f, LSR), 0x60);
        assert_int_equal(get(f, MSR), 0xb0); /* DCD, DSR, CTS: somebody is there */
        device_hammer(&uart16550_type, f->uart, 8);
        uart16550_type.reset(f->uart);
        assert_false(f->irq.level);
    }
}

static void test_plain_registers(void **state)
{
    struct fixture *f = *state;

    put(f, SCR, 0x5a);
    assert_int_equal(get(f, SCR), 0x5a);
    put(f, IER, 0xff);
    assert_int_equal(get(f, IER), 0x0f);
    put(f, MCR, 0xff);
    assert_int_equal(get(f, MCR), 0x1f);
    put(f, LSR, 0);
    assert_int_equal(get(f, LSR), 0x60);
    put(f, MCR, 0);
    get(f, MSR);
    put(f, MSR, 0);
    assert_int_equal(get(f, MSR), 0xb0);
}

static void test_divisor(void **state)
{
    struct fixture *f = *state;

    put(f, LCR, 0x83);
    put(f, DATA, 0x34);
    put(f, IER, 0x12);
    assert_int_equal(get(f, DATA), 0x34);
    assert_int_equal(get(f, IER), 0x12);
    put(f, LCR, 0x03);
    assert_int_equal(get(f, IER), 0); /* IER was not touched */
    expect_sent(f, "");
    put(f, LCR, 0x83);
    assert_int_equal(get(f, DATA), 0x34);
}

static void test_widths(void **state)
{
    struct fixture *f = *state;

    /* As on QEMU: an access of any width is one of the register at its address. */
    assert_int_equal(uart16550_type.io.widths, 1 | 2 | 4 | 8);
    uart16550_type.io.write(f->uart, DATA, 4, 0x44434241);
    uart16550_type.io.write(f->uart, DATA, 8, 0x4443424142434445);
    expect_sent(f, "AE");
    assert_int_equal(uart16550_type.io.read(f->uart, MCR, 4), 0);
    assert_int_equal(uart16550_type.io.read(f->uart, 0x40, 4), 0);
    uart16550_type.io.write(f->uart, 0x40, 4, ~0u);
    uart16550_type.io.write(f->uart, 0xf8, 8, ~0ull);
    expect_sent(f, "");
}

static void test_transmit(void **state)
{
    struct fixture *f = *state;

    for (const char *p = "hello"; *p; p++) {
        assert_int_equal(get(f, LSR) & 0x60, 0x60);
        put(f, DATA, (uint8_t)*p);
    }
    expect_sent(f, "hello");
}

static void test_transmit_interrupt(void **state)
{
    struct fixture *f = *state;

    /* Linux' test of the transmit interrupt: enabling it with an empty transmitter raises it, and
     * does so again. */
    put(f, IER, 0x02);
    assert_true(f->irq.level);
    assert_int_equal(get(f, IIR), 0x02);
    assert_int_equal(get(f, IIR), 0x01); /* reading took it back */
    assert_false(f->irq.level);
    put(f, IER, 0);
    put(f, IER, 0x02);
    assert_int_equal(get(f, IIR), 0x02);
    assert_false(f->irq.level);
    put(f, DATA, 'x');
    assert_true(f->irq.level);
    put(f, IER, 0);
    assert_false(f->irq.level);
    assert_int_equal(get(f, IIR), 0x01);
}

/* An honest guest loses nothing when the stream is full, and a rude one costs no memory. */
static void test_transmit_busy(void **state)
{
    struct fixture *f = *state;
    uint8_t sent[2 * BOUND];
    unsigned total = 0, i;

    put(f, FCR, 0x01);
    put(f, IER, 0x02);
    for (i = 0; i < BOUND; i++)
        put(f, DATA, (uint8_t)i);
    assert_int_equal(get(f, LSR) & 0x60, 0x60);
    put(f, DATA, (uint8_t)i++);
    assert_int_equal(get(f, LSR) & 0x60, 0);
    assert_false(f->irq.level);
    for (; i < BOUND + 16; i++)
        put(f, DATA, (uint8_t)i);
    for (unsigned j = 0; j < 100; j++)
        put(f, DATA, 0xee); /* full: lost, as on the chip */

    assert_int_equal(stream_buffer_take(f->stream, sent, 10), 10);
    total = 10;
    loop_run_for(f->loop, MS);
    assert_int_equal(get(f, LSR) & 0x60, 0); /* ten of the sixteen went */
    total += (unsigned)stream_buffer_take(f->stream, sent + total, sizeof(sent) - total);
    loop_run_for(f->loop, MS);
    assert_int_equal(get(f, LSR) & 0x60, 0x60);
    assert_true(f->irq.level);
    assert_int_equal(get(f, IIR), 0xc2);
    total += (unsigned)stream_buffer_take(f->stream, sent + total, sizeof(sent) - total);
    assert_int_equal(total, BOUND + 16);
    for (i = 0; i < total; i++)
        assert_int_equal(sent[i], i);
}

static void test_transmit_clear(void **state)
{
    struct fixture *f = *state;
    uint8_t sent[2 * BOUND];

    put(f, FCR, 0x01);
    for (unsigned i = 0; i < BOUND + 3; i++)
        put(f, DATA, 'x');
    assert_int_equal(get(f, LSR) & 0x60, 0);
    put(f, FCR, 0x05);
    assert_int_equal(get(f, LSR) & 0x60, 0x60);
    assert_int_equal(stream_buffer_take(f->stream, sent, sizeof(sent)), BOUND);
    loop_run_for(f->loop, MS);
    assert_int_equal(stream_buffer_take(f->stream, sent, sizeof(sent)), 0);
}

static void test_receive_register(void **state)
{
    struct fixture *f = *state;

    /* Without FIFOs there is one holding register; the rest waits in the stream. */
    put(f, IER, 0x01);
    assert_int_equal(feed(f, "ab"), 1);
    assert_true(f->irq.level);
    assert_int_equal(get(f, IIR), 0x04);
    assert_int_equal(get(f, LSR), 0x61);
    assert_int_equal(feed(f, "b"), 0);
    assert_int_equal(get(f, LSR), 0x61); /* and no overrun */
    assert_int_equal(get(f, DATA), 'a');
    assert_false(f->irq.level);
    assert_int_equal(get(f, LSR), 0x60);
    assert_int_equal(get(f, DATA), 0);
    assert_int_equal(feed(f, "b"), 1);
    assert_int_equal(get(f, DATA), 'b');
}

static void test_receive_fifo(void **state)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    struct fixture *f = *state;

    put(f, IER, 0x01);
    for (unsigned i = 0; i < 4; i++) {
        put(f, FCR, (uint8_t)(0x03 | i << 6));
        assert_int_equal(get(f, IIR), 0xc1);
        for (unsigned n = 1; n < levels[i]; n++)
            assert_int_equal(feed(f, "x"), 1);
        assert_false(f->irq.level);
        assert_int_equal(feed(f, "x"), 1);
        assert_true(f->irq.level);
        assert_int_equal(get(f, IIR), 0xc4);
        get(f, DATA);
        assert_false(f->irq.level); /* below the trigger */
    }
    put(f, FCR, 0x03);
    assert_int_equal(feed(f, "0123456789abcdefgh"), 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(get(f, DATA), "0123456789abcdef"[i]);
    assert_int_equal(get(f, LSR), 0x60);
}

static void test_receive_timeout(void **state)
{
    struct fixture *f = *state;

    put(f, LCR, 0x83);
    put(f, DATA, 2); /* 115200: four characters take 347 us */
    put(f, IER, 0);
    put(f, LCR, 0x03);
    put(f, FCR, 0x81);
    put(f, IER, 0x01);
    feed(f, "ab");
    assert_false(f->irq.level);
    assert_true(loop_run_until(f->loop, &f->irq.level));
    assert_int_equal(get(f, IIR), 0xcc);
    assert_int_equal(get(f, DATA), 'a');
    assert_false(f->irq.level); /* reading starts the silence anew */
    assert_true(loop_run_until(f->loop, &f->irq.level));
    assert_int_equal(get(f, DATA), 'b');
    assert_false(f->irq.level);
    loop_run_for(f->loop, 3 * MS);
    assert_false(f->irq.level); /* nothing there, nothing to time out */

    /* Bytes that came before the interrupt was wanted count too. */
    put(f, IER, 0);
    feed(f, "c");
    loop_run_for(f->loop, 3 * MS);
    assert_false(f->irq.level);
    put(f, IER, 0x01);
    assert_true(loop_run_until(f->loop, &f->irq.level));
}

static void test_slow_line(void **state)
{
    struct fixture *f = *state;

    /* The slowest divisor still interrupts within a time that a person would wait; 0 at once. */
    put(f, FCR, 0xc1);
    put(f, IER, 0x01);
    for (int i = 0; i < 2; i++) {
        put(f, LCR, 0x9f);
        put(f, DATA, i ? 0 : 0xff);
        put(f, IER, i ? 0 : 0xff);
        put(f, LCR, 0x1f);
        feed(f, "a");
        assert_true(loop_run_until(f->loop, &f->irq.level));
        assert_int_equal(get(f, IIR), 0xcc);
        get(f, DATA);
        assert_false(f->irq.level);
    }
}

static void test_fifo_control(void **state)
{
    struct fixture *f = *state;

    put(f, FCR, 0x01);
    feed(f, "abc");
    /* With the enable bit clear nothing else is programmed, but switching clears both FIFOs. */
    put(f, FCR, 0xc0);
    assert_int_equal(get(f, IIR), 0x01);
    assert_int_equal(get(f, LSR), 0x60);
    feed(f, "d");
    put(f, FCR, 0x02);
    assert_int_equal(get(f, DATA), 'd');
    put(f, FCR, 0x01);
    feed(f, "e");
    put(f, FCR, 0x05); /* transmitter only */
    assert_int_equal(get(f, LSR), 0x61);
    put(f, FCR, 0x03);
    assert_int_equal(get(f, LSR), 0x60);
}

static void test_loopback(void **state)
{
    struct fixture *f = *state;

    put(f, MCR, 0x1a); /* what Linux looks for a port with */
    assert_int_equal(get(f, MSR) & 0xf0, 0x90);
    put(f, DATA, 'x');
    assert_int_equal(get(f, LSR), 0x61);
    assert_int_equal(get(f, DATA), 'x');
    expect_sent(f, "");
    /* The line's bytes wait until the loop is opened. */
    assert_int_equal(feed(f, "y"), 0);
    /* Two bytes into one register: an overrun, which reading LSR clears. */
    put(f, IER, 0x04);
    put(f, DATA, '1');
    put(f, DATA, '2');
    assert_int_equal(get(f, IIR), 0x06);
    assert_true(f->irq.level);
    assert_int_equal(get(f, LSR), 0x63);
    assert_false(f->irq.level);
    assert_int_equal(get(f, LSR), 0x61);
    get(f, DATA);
    put(f, MCR, 0);
    assert_int_equal(feed(f, "y"), 1);
}

static void test_modem_status(void **state)
{
    struct fixture *f = *state;

    put(f, MCR, 0x10);
    assert_int_equal(get(f, MSR), 0x0b); /* DCD, DSR and CTS fell */
    put(f, IER, 0x08);
    assert_false(f->irq.level);
    put(f, MCR, 0x14); /* OUT1 is RI; its rise is no event */
    assert_false(f->irq.level);
    assert_int_equal(get(f, MSR), 0x40);
    put(f, MCR, 0x10);
    assert_true(f->irq.level);
    assert_int_equal(get(f, IIR), 0x00);
    assert_int_equal(get(f, MSR), 0x04);
    assert_false(f->irq.level);
    assert_int_equal(get(f, MSR), 0x00);
    for (unsigned i = 0; i < 16; i++) {
        put(f, MCR, (uint8_t)(0x10 | i));
        assert_int_equal(get(f, MSR) >> 4, (i & 1) << 1 | (i >> 1 & 1) | (i & 4) | (i & 8));
    }
}

static void test_interrupt_priority(void **state)
{
    struct fixture *f = *state;

    put(f, MCR, 0x10);
    put(f, DATA, '1');
    put(f, DATA, '2');
    put(f, IER, 0x0f);
    assert_int_equal(get(f, IIR), 0x06);
    get(f, LSR);
    assert_int_equal(get(f, IIR), 0x04);
    get(f, DATA);
    assert_int_equal(get(f, IIR), 0x02);
    assert_int_equal(get(f, IIR), 0x00);
    get(f, MSR);
    assert_int_equal(get(f, IIR), 0x01);
    assert_false(f->irq.level);
}

static void test_state(void **state)
{
    struct fixture *f = *state;
    uint8_t saved[256], bad[256], sent[BOUND];
    static const struct {
        const char *field;
        uint8_t value;
    } lies[] = {
        {"rx.head", 16},  {"rx.count", 17}, {"tx.head", 255},    {"tx.count", 17}, {"ier", 0x10},
        {"fcr", 0x02},    {"fcr", 0xc0},    {"mcr", 0x20},       {"msr", 0xff},    {"overrun", 2},
        {"timed_out", 2}, {"mcr", 0x10},    {"thre_pending", 2},
    };

    put(f, FCR, 0x81);
    put(f, IER, 0x01);
    put(f, LCR, 0x03);
    feed(f, "12345678");
    for (unsigned i = 0; i < BOUND + 2; i++)
        put(f, DATA, 'x');
    assert_true(f->irq.level);
    assert_true(device_save(&uart16550_type, f->uart, saved) < sizeof(saved));
    uart16550_type.reset(f->uart);
    stream_buffer_take(f->stream, sent, BOUND);
    loop_run_for(f->loop, MS);
    expect_sent(f, "xx"); /* what was sent before a reset is sent */

    for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
        memcpy(bad, saved, sizeof(bad));
        bad[device_field(&uart16550_type, lies[i].field)] = lies[i].value;
        assert_false(device_load(&uart16550_type, f->uart, bad));
    }
    assert_true(device_load(&uart16550_type, f->uart, saved));
    assert_true(f->irq.level);
    assert_int_equal(get(f, LCR), 0x03);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(get(f, DATA), '1' + i);
    expect_sent(f, "xx");
}

static void test_no_stream(void **state)
{
    struct fixture *f = *state;
    struct wire none = {0};
    struct uart16550 *uart;

    assert_int_equal(uart16550_new(&uart, f->loop, NULL, &none, NULL), 0);
    for (unsigned i = 0; i < 100; i++)
        uart16550_type.io.write(uart, DATA, 1, 'x');
    assert_int_equal(uart16550_type.io.read(uart, LSR, 1), 0x60);
    uart16550_type.reset(uart);
    uart16550_type.free(uart);
    uart16550_type.free(NULL);
}

static void test_hostile(void **state)
{
    struct fixture *f = *state;
    uint8_t sent[BOUND];
    uint32_t seed = 1;

    device_hammer(&uart16550_type, f->uart, 0x100);
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525 + 1013904223;
        if (seed >> 31)
            put(f, seed >> 8 & 7, (uint8_t)(seed >> 16));
        else
            get(f, seed >> 8 & 7);
        if (i % 7 == 0)
            feed(f, "some input");
        if (i % 100 == 0) {
            stream_buffer_take(f->stream, sent, sizeof(sent));
            loop_run_for(f->loop, 0);
            assert_true(uart16550_type.check(f->uart));
        }
    }
    uart16550_type.reset(f->uart);
    stream_buffer_take(f->stream, sent, sizeof(sent));
    loop_run_for(f->loop, MS);
    stream_buffer_take(f->stream, sent, sizeof(sent));
    put(f, DATA, 'k');
    expect_sent(f, "k");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reset_values),
        TEST(test_plain_registers),
        TEST(test_divisor),
        TEST(test_widths),
        TEST(test_transmit),
        TEST(test_transmit_interrupt),
        TEST(test_transmit_busy),
        TEST(test_transmit_clear),
        TEST(test_receive_register),
        TEST(test_receive_fifo),
        TEST(test_receive_timeout),
        TEST(test_slow_line),
        TEST(test_fifo_control),
        TEST(test_loopback),
        TEST(test_modem_status),
        TEST(test_interrupt_priority),
        TEST(test_state),
        TEST(test_no_stream),
        TEST(test_hostile),
    };

    return cmocka_run_group_tests_name("uart16550", tests, NULL, NULL);
}
