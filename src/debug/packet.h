/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the GDB Remote Serial Protocol: $DATA#CHECKSUM, their acknowledgements and the byte
 * that interrupts. Bytes in, one by one, and bytes out; nothing is known of what they mean.
 *
 * Whatever the bytes are, no more than PACKET_MAX of a packet is kept: a longer one is read to its
 * end and told as PACKET_LONG.
 *
 * Source: GDB manual, "GDB Remote Serial Protocol", Overview.
 */
#ifndef HOSPES_DEBUG_PACKET_H
#define HOSPES_DEBUG_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of data in a packet, unescaped. */
#define PACKET_MAX 4096
/* Of a packet on the wire, when every byte is escaped. */
#define PACKET_FRAME_MAX (2 * PACKET_MAX + 4)

enum packet_event {
    PACKET_NONE,
    PACKET_DATA,      /* data[0..length), followed by a zero byte */
    PACKET_LONG,      /* correct, but longer than PACKET_MAX; data is its beginning */
    PACKET_BAD,       /* the checksum is wrong, or none */
    PACKET_ACK,       /* + */
    PACKET_NAK,       /* - */
    PACKET_INTERRUPT, /* 0x03 */
};

enum packet_state { PACKET_IDLE, PACKET_BODY, PACKET_ESCAPED, PACKET_SUM_HIGH, PACKET_SUM_LOW };

/* All zero: the beginning. */
struct packet_reader {
    enum packet_state state;
    uint8_t sum, told;
    bool valid; /* the checksum's digits are some */
    bool overlong;
    size_t length;
    char data[PACKET_MAX + 1];
};

/* Takes one byte. What an event tells of the data is good until the next call. */
enum packet_event packet_take(struct packet_reader *reader, uint8_t byte);

/* Frames data[0..length), length at most PACKET_MAX, into `frame` (PACKET_FRAME_MAX bytes); returns
 * the frame's length. */
size_t packet_frame(char *frame, const char *data, size_t length);

/* A hexadecimal digit's value, or -1. */
int packet_digit(char digit);

#endif
