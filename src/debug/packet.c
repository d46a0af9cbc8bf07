/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/packet.h"

#include "base/error.h"

#define ESCAPE     '}'
#define ESCAPE_XOR 0x20
#define INTERRUPT  0x03

int packet_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

static void body_begin(struct packet_reader *reader)
{
    reader->state = PACKET_BODY;
    reader->sum = 0;
    reader->length = 0;
    reader->overlong = false;
}

static void body_add(struct packet_reader *reader, uint8_t byte)
{
    if (reader->length < PACKET_MAX)
        reader->data[reader->length++] = (char)byte;
    else
        reader->overlong = true;
}

static enum packet_event idle_take(struct packet_reader *reader, uint8_t byte)
{
    switch (byte) {
    case '$':
        body_begin(reader);
        return PACKET_NONE;
    case '+':
        return PACKET_ACK;
    case '-':
        return PACKET_NAK;
    case INTERRUPT:
        return PACKET_INTERRUPT;
    default:
        return PACKET_NONE;
    }
}

static enum packet_event packet_end(struct packet_reader *reader)
{
    reader->state = PACKET_IDLE;
    reader->data[reader->length] = 0;
    if (!reader->valid || reader->sum != reader->told)
        return PACKET_BAD;
    return reader->overlong ? PACKET_LONG : PACKET_DATA;
}

enum packet_event packet_take(struct packet_reader *reader, uint8_t byte)
{
    const int digit = packet_digit((char)byte);

    switch (reader->state) {
    case PACKET_IDLE:
        return idle_take(reader, byte);
    case PACKET_BODY:
        /* A $ is escaped inside, so what began was cut short. */
        if (byte == '$') {
            body_begin(reader);
        } else if (byte == '#') {
            reader->state = PACKET_SUM_HIGH;
        } else {
            reader->sum += byte;
            if (byte == ESCAPE)
                reader->state = PACKET_ESCAPED;
            else
                body_add(reader, byte);
        }
        return PACKET_NONE;
    case PACKET_ESCAPED:
        reader->sum += byte;
        reader->state = PACKET_BODY;
        body_add(reader, byte ^ ESCAPE_XOR);
        return PACKET_NONE;
    case PACKET_SUM_HIGH:
        reader->valid = digit >= 0;
        reader->told = (uint8_t)((digit & 15) << 4);
        reader->state = PACKET_SUM_LOW;
        return PACKET_NONE;
    case PACKET_SUM_LOW:
        reader->valid &= digit >= 0;
        reader->told |= digit & 15;
        return packet_end(reader);
    }
    BUG_ON(true);
}

size_t packet_frame(char *frame, const char *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    char *to = frame;
    uint8_t sum = 0;

    BUG_ON(length > PACKET_MAX);
    *to++ = '$';
    for (size_t i = 0; i < length; i++) {
        char byte = data[i];

        /* A star would say that the byte before it is repeated. */
        if (byte == '$' || byte == '#' || byte == ESCAPE || byte == '*') {
            *to++ = ESCAPE;
            sum += ESCAPE;
            byte ^= ESCAPE_XOR;
        }
        *to++ = byte;
        sum += (uint8_t)byte;
    }
    *to++ = '#';
    *to++ = digits[sum >> 4];
    *to++ = digits[sum & 15];
    return (size_t)(to - frame);
}
