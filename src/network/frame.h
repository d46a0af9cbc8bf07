/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on their way between a guest's buffers and a back end.
 *
 * A frame that comes from the guest lies in its memory and may change while it is looked at, so
 * whoever parses it gathers it first. A frame that the guest has no room for yet waits in a queue
 * with a bound.
 */
#ifndef HOSPES_NETWORK_FRAME_H
#define HOSPES_NETWORK_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "network/net.h"

/* The shortest frame of Ethernet: two addresses and a type (IEEE 802.3, 3.1.1). */
#define FRAME_HEADER_SIZE 14u

/* Copies at most `room` bytes, each read once. Returns how many. */
uint32_t frame_gather(const struct iovec *iov, unsigned iov_count, uint8_t *to, uint32_t room);

/* First in, first out; at most FRAME_QUEUE_MAX frames, further ones are dropped. */
#define FRAME_QUEUE_MAX 256u

struct queued_frame;

struct frame_queue {
    struct queued_frame *head;
    struct queued_frame **tail;
    unsigned count;
};

void frame_queue_init(struct frame_queue *queue);
void frame_queue_release(struct frame_queue *queue);
/* Copies the frame. Returns false when it was dropped. */
bool frame_queue_add(struct frame_queue *queue, const uint8_t *frame, uint32_t length);
/* Hands frames to the port until it takes no more. Returns true when none is left. */
bool frame_queue_deliver(struct frame_queue *queue, const struct net_port *port);

#endif
