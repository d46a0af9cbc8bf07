/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between two processes of hospes: the ends of a socket pair (SOCK_SEQPACKET), each on a
 * loop of its own. A message is a byte that says what it is and at most NET_FRAME_MAX bytes.
 *
 * What is sent in one turn of the loop goes out together, as one packet of the socket, up to a
 * bound: one system call, one copy and one awakening for many frames. When the socket is full
 * nothing is dropped: wire_send() takes no more until `sendable`. Either end may be hostile: every
 * length is checked against what the kernel says that came, descriptors that come along are refused
 * by it, and a turn reads one packet.
 *
 * Loop's thread. No function frees the wire, and no callback may.
 */
#ifndef HOSPES_NETWORK_WIRE_H
#define HOSPES_NETWORK_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loop.h"

/* Messages in one packet, at most. */
#define WIRE_BATCH 64u

struct wire_events {
    void (*receive)(void *ctx, uint8_t kind, const uint8_t *bytes, uint32_t length);
    /* wire_send() takes messages again after it said false. */
    void (*sendable)(void *ctx);
    /* The other end is gone; the wire is closed. Called once. */
    void (*lost)(void *ctx);
    void *ctx;
};

struct wire_buffers;

struct wire {
    struct loop *loop;
    int socket; /* -1: closed */
    struct wire_events events;
    struct wire_buffers *buffers;
    struct deferred flush;
    unsigned count; /* messages that are to go out */
    uint32_t used;  /* their bytes */
    bool blocked;   /* the socket was full */
    bool refused;   /* wire_send() said false since */
    bool muted;
};

/* `socket` is the wire's from now on, also on failure: 0 or -errno. */
int wire_init(struct wire *wire, struct loop *loop, int socket,
              const struct wire_events *events) MUST_CHECK;
void wire_release(struct wire *wire);

/* False: there is no room now. A wire that is closed takes everything and sends nothing. */
bool wire_send(struct wire *wire, uint8_t kind, const uint8_t *bytes, uint32_t length) MUST_CHECK;
/* Whether wire_send() would; if not, `sendable` will be called. */
bool wire_can_send(struct wire *wire);
/* Nothing is read, so that the sender has to wait; what is read already still comes. */
void wire_set_muted(struct wire *wire, bool muted);

#endif
