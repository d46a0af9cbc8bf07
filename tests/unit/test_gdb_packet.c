/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of GDB's remote protocol: what is one, what is none, and that no byte goes astray. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "base/compiler.h"
#include "debug/packet.h"

/* With a word behind it that nobody may write to. */
struct fixture {
    struct packet_reader reader;
    uint64_t guard;
};

#define GUARD UINT64_C(0x5aa55aa55aa55aa5)

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->guard = GUARD;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int r = f->guard != GUARD;

    free(f);
    return r;
}

/* The events of the bytes, as letters: D data, L long, B bad, + and -, I interrupt. */
static const char *events_of(struct fixture *f, const char *bytes, size_t length)
{
    static const char letters[] = {
        [PACKET_DATA] = 'D', [PACKET_LONG] = 'L', [PACKET_BAD] = 'B',
        [PACKET_ACK] = '+',  [PACKET_NAK] = '-',  [PACKET_INTERRUPT] = 'I'};
    static char text[64];
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        enum packet_event event = packet_take(&f->reader, (uint8_t)bytes[i]);

        if (event != PACKET_NONE && count < sizeof(text) - 1)
            text[count++] = letters[event];
    }
    text[count] = 0;
    return text;
}

#define EVENTS(f, bytes) events_of(f, bytes, sizeof(bytes) - 1)

static void data_is(const struct fixture *f, const char *data, size_t length)
{
    assert_int_equal(f->reader.length, length);
    assert_memory_equal(f->reader.data, data, length);
    assert_int_equal(f->reader.data[length], 0);
}

static void test_packets(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(EVENTS(f, "$qC#b4"), "D");
    data_is(f, "qC", 2);
    assert_string_equal(EVENTS(f, "+-\x03$#00+"), "+-ID+");
    assert_string_equal(EVENTS(f, "noise\r\n#00$g#67"), "D");
    data_is(f, "g", 1);
    /* Both cases of digits. */
    assert_string_equal(EVENTS(f, "$OK#9A"), "D");
    assert_string_equal(EVENTS(f, "$OK#9a"), "D");
    /* An interrupt is a byte like any other inside a packet. */
    assert_string_equal(EVENTS(f, "$\x03#03"), "D");
    data_is(f, "\x03", 1);
    assert_string_equal(events_of(f, "$\0#00", 5), "D");
    data_is(f, "\0", 1);
}

static void test_bad_checksums(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(EVENTS(f, "$qC#b5"), "B");
    assert_string_equal(EVENTS(f, "$qC#b$"), "B");
    assert_string_equal(EVENTS(f, "$qC##4"), "B");
    assert_string_equal(EVENTS(f, "$\xff#-1"), "B");
    assert_string_equal(EVENTS(f, "$\xff#ff"), "D");
    /* Cut short, and begun again. */
    assert_string_equal(EVENTS(f, "$m8020$qC#b4"), "D");
    data_is(f, "qC", 2);
}

static void test_split_reads(void **state)
{
    struct fixture *f = *state;
    static const char bytes[] = "+$m80200000,4#57-";

    for (size_t i = 1; i < sizeof(bytes) - 1; i++) {
        char events[8];

        snprintf(events, sizeof(events), "%s", events_of(f, bytes, i));
        strcat(events, events_of(f, bytes + i, sizeof(bytes) - 1 - i));
        assert_string_equal(events, "+D-");
        data_is(f, "m80200000,4", 11);
    }
}

static void test_escapes(void **state)
{
    struct fixture *f = *state;

    /* } 0x03 is #, } 0x04 $, } ] is } itself; the checksum is of what is on the wire. */
    assert_string_equal(EVENTS(f, "$}\x03}\x04}]#db"), "D");
    data_is(f, "#$}", 3);
    /* A # ends no packet behind an escape. */
    assert_string_equal(EVENTS(f, "$}##a0"), "D");
    data_is(f, "\x03", 1);
}

/* Sends `count` bytes as one packet. */
static const char *events_of_packet(struct fixture *f, size_t count, bool spoiled)
{
    char *bytes = malloc(count + 4);
    static char events[8];

    bytes[0] = '$';
    memset(bytes + 1, 'm', count);
    bytes[count + 1] = '#';
    snprintf(events, sizeof(events), "%02x", (unsigned)((count * 'm' + spoiled) & 255));
    memcpy(bytes + count + 2, events, 2);
    snprintf(events, sizeof(events), "%s", events_of(f, bytes, count + 4));
    free(bytes);
    return events;
}

static void test_length(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(events_of_packet(f, PACKET_MAX - 1, false), "D");
    assert_string_equal(events_of_packet(f, PACKET_MAX, false), "D");
    assert_int_equal(f->reader.length, PACKET_MAX);
    assert_string_equal(events_of_packet(f, PACKET_MAX + 1, false), "L");
    assert_int_equal(f->reader.length, PACKET_MAX);
    assert_string_equal(events_of_packet(f, 100 * PACKET_MAX, false), "L");
    assert_string_equal(events_of_packet(f, 100 * PACKET_MAX, true), "B");
    /* And the next one is not long any more. */
    assert_string_equal(events_of_packet(f, 1, false), "D");
    data_is(f, "m", 1);
}

/* What was framed is read back, whatever it is; at the longest it fits, and not one byte less. */
static void test_frames(void **state)
{
    struct fixture *f = *state;
    char *frame = malloc(PACKET_FRAME_MAX + 1), *data = malloc(PACKET_MAX);
    size_t length;

    assert_int_equal(packet_frame(frame, "OK", 2), 6);
    assert_memory_equal(frame, "$OK#9a", 6);
    srand(1);
    for (unsigned i = 0; i < 2000; i++) {
        size_t count = i < 2 ? PACKET_MAX * i : (size_t)(rand() % (PACKET_MAX + 1));

        for (size_t j = 0; j < count; j++)
            data[j] = i == 1 ? '*' : i % 2 ? (char)rand() : "#$}*a"[rand() % 5];
        frame[PACKET_FRAME_MAX] = 'g';
        length = packet_frame(frame, data, count);
        assert_in_range(length, count + 4, PACKET_FRAME_MAX);
        if (i == 1)
            assert_int_equal(length, PACKET_FRAME_MAX);
        assert_int_equal(frame[PACKET_FRAME_MAX], 'g');
        assert_null(memchr(frame + 1, '$', length - 1));
        assert_null(memchr(frame, '*', length));
        assert_string_equal(events_of(f, frame, length), "D");
        data_is(f, data, count);
    }
    free(data);
    free(frame);
}

static void test_any_bytes(void **state)
{
    struct fixture *f = *state;

    srand(2);
    for (unsigned i = 0; i < 2000000; i++) {
        /* Mostly what means something, so that all states are seen. */
        uint8_t byte = rand() % 4 ? (uint8_t)rand() : (uint8_t) "$#}+-"[rand() % 5];

        packet_take(&f->reader, byte);
        assert_true(f->reader.length <= PACKET_MAX);
        assert_true(f->reader.state <= PACKET_SUM_LOW);
    }
    assert_int_equal(f->guard, GUARD);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packets), TEST(test_bad_checksums), TEST(test_split_reads), TEST(test_escapes),
        TEST(test_length),  TEST(test_frames),        TEST(test_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
