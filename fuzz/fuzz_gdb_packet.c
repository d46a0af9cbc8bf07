/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of packets of GDB's remote protocol: whatever it takes for one lies inside its bounds,
 * and framed anew it is read as the same. */
#include <stdlib.h>

#include "base/error.h"
#include "debug/packet.h"
#include "input.h"

static void read_again(const struct packet_reader *reader)
{
    static struct packet_reader again;
    static char frame[PACKET_FRAME_MAX];
    size_t length = packet_frame(frame, reader->data, reader->length);

    for (size_t i = 0; i + 1 < length; i++)
        BUG_ON(packet_take(&again, (uint8_t)frame[i]) != PACKET_NONE);
    BUG_ON(packet_take(&again, (uint8_t)frame[length - 1]) != PACKET_DATA);
    BUG_ON(again.length != reader->length || memcmp(again.data, reader->data, again.length) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet_reader *reader = calloc(1, sizeof(*reader));

    BUG_ON(!reader);
    for (size_t i = 0; i < size; i++) {
        enum packet_event event = packet_take(reader, data[i]);

        BUG_ON(reader->length > PACKET_MAX);
        if (event == PACKET_DATA || event == PACKET_LONG) {
            BUG_ON(reader->data[reader->length]);
            read_again(reader);
        }
    }
    free(reader);
    return 0;
}
