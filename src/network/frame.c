/* SPDX-License-Identifier: Apache-2.0 */
#include "network/frame.h"

#include <stdlib.h>
#include <string.h>

struct queued_frame {
    struct queued_frame *next;
    uint32_t length;
    uint8_t bytes[];
};

/* Eight bytes at any address. */
struct word {
    uint64_t value;
} __attribute__((packed, may_alias));

/* Volatile: each byte is read once and no call of memcpy() is made of the loop, whose interceptor
 * would have ThreadSanitizer report what the guest does to its own buffer. */
GUEST_ACCESS static void copy_from_guest(uint8_t *to, const uint8_t *from, size_t length)
{
    for (; length >= sizeof(struct word); length -= sizeof(struct word)) {
        uint64_t value = ((const volatile struct word *)from)->value;

        __builtin_memcpy(to, &value, sizeof(value));
        to += sizeof(struct word);
        from += sizeof(struct word);
    }
    while (length--)
        *to++ = *(const volatile uint8_t *)from++;
}

uint32_t frame_gather(const struct iovec *iov, unsigned iov_count, uint8_t *to, uint32_t room)
{
    uint32_t done = 0;
    unsigned i;

    for (i = 0; i < iov_count && done < room; i++) {
        size_t part = iov[i].iov_len < room - done ? iov[i].iov_len : room - done;

        copy_from_guest(to + done, iov[i].iov_base, part);
        done += (uint32_t)part;
    }
    return done;
}

void frame_queue_init(struct frame_queue *queue)
{
    *queue = (struct frame_queue){.tail = &queue->head};
}

void frame_queue_release(struct frame_queue *queue)
{
    while (queue->head) {
        struct queued_frame *frame = queue->head;

        queue->head = frame->next;
        free(frame);
    }
    frame_queue_init(queue);
}

bool frame_queue_add(struct frame_queue *queue, const uint8_t *bytes, uint32_t length)
{
    struct queued_frame *frame;

    if (queue->count >= FRAME_QUEUE_MAX)
        return false;
    frame = malloc(sizeof(*frame) + length);
    if (!frame)
        return false;
    frame->next = NULL;
    frame->length = length;
    memcpy(frame->bytes, bytes, length);
    *queue->tail = frame;
    queue->tail = &frame->next;
    queue->count++;
    return true;
}

bool frame_queue_deliver(struct frame_queue *queue, const struct net_port *port)
{
    while (queue->head) {
        struct queued_frame *frame = queue->head;

        /* Without a guest yet, frames go nowhere. */
        if (port->receive && !port->receive(port->ctx, frame->bytes, frame->length))
            return false;
        queue->head = frame->next;
        if (!queue->head)
            queue->tail = &queue->head;
        queue->count--;
        free(frame);
    }
    return true;
}
