/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of a virtio socket device: what packets mean (virtio 1.2, 5.10.6), with no queue
 * and no byte order. The device hands over each packet of the guest and asks for one whenever the
 * guest has a buffer.
 *
 * Everything runs on the loop's thread, with no lock held.
 *
 * Invariants
 *  F1  A flow is known by its pair of ports. Its link is the back end's again once it is dying.
 *  F2  What the guest has sent on a flow and the host has not taken is at most VSOCK_BUFFER:
 *      received - forwarded <= VSOCK_BUFFER. A guest that sends more is reset.
 *  F3  What the guest has not taken is at most what it said: a packet with data is made only for
 *      credit (5.10.6.3), and nothing is kept here of it.
 *  F4  Packets to be made are a bit or a state of a flow, or one of STRAYS_MAX resets of pairs that
 *      are no flow. While those are all taken, packets of the guest wait (5.10.6.1).
 *
 *                         RESPONSE
 *    host asks --> ASKED ----------> OPEN --> (RST of the guest) gone
 *                    |     REQUEST    |
 *                    |   of the guest |  both SHUTDOWN, a broken rule, no RST in time
 *                    +----> DYING <---+
 *                             |
 *                             +--> RST was made: gone
 */
#ifndef HOSPES_DEVICE_VIRTIO_VSOCK_FLOW_H
#define HOSPES_DEVICE_VIRTIO_VSOCK_FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/loop.h"
#include "device/virtio/queue.h"
#include "network/vsock.h"

#define VSOCK_CID_HOST 2u

/* 5.10.6 and 5.10.6.2 */
enum vsock_operation {
    VSOCK_OP_REQUEST = 1,
    VSOCK_OP_RESPONSE,
    VSOCK_OP_RST,
    VSOCK_OP_SHUTDOWN,
    VSOCK_OP_RW,
    VSOCK_OP_CREDIT_UPDATE,
    VSOCK_OP_CREDIT_REQUEST,
};

#define VSOCK_TYPE_STREAM 1u

/* Flags of a SHUTDOWN (5.10.6.5): what its sender will not do any more. */
#define VSOCK_SHUTDOWN_RECEIVE 1u
#define VSOCK_SHUTDOWN_SEND    2u
#define VSOCK_SHUTDOWN_BOTH    3u

/* struct virtio_vsock_hdr (5.10.6) */
struct vsock_packet {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t length; /* of what follows */
    uint16_t type;
    uint16_t operation;
    uint32_t flags;
    uint32_t buf_alloc;
    uint32_t fwd_cnt;
};

#define VSOCK_FLOWS_MAX   512u
#define VSOCK_STRAYS_MAX  128u
#define VSOCK_BUCKETS     64u
#define VSOCK_PAYLOAD_MAX (64u << 10) /* in one packet to the guest */

struct vsock_flow;

/* An answer to a packet that belongs to no flow. */
struct vsock_stray {
    uint64_t cid; /* that the guest's packet was for */
    uint32_t host_port;
    uint32_t guest_port;
    uint16_t type;
};

struct vsock_flows {
    struct vsock *back_end;
    struct loop *loop;
    void (*wake)(void *ctx); /* there is a packet to make */
    void *ctx;
    uint64_t guest_cid;
    uint32_t next_port; /* of the host, for the next connection that it begins */
    unsigned count;
    struct vsock_flow *buckets[VSOCK_BUCKETS];
    struct vsock_flow *ready; /* those with a packet to make, oldest first */
    struct vsock_flow **ready_tail;
    struct vsock_stray strays[VSOCK_STRAYS_MAX];
    unsigned stray_begin;
    unsigned stray_count;
    struct iovec cut[CHAIN_MAX]; /* of the buffer that is being filled */
};

/* Attaches itself to the back end, which stays the caller's and must live longer. */
void vsock_flows_init(struct vsock_flows *flows, struct vsock *back_end, struct loop *loop,
                      uint64_t guest_cid, void (*wake)(void *ctx), void *ctx);
/* Closes all connections and forgets all answers: the guest was reset, or is no more. */
void vsock_flows_reset(struct vsock_flows *flows);

/* False: no packet of the guest can be taken before one was made (F4). */
bool vsock_flows_can_receive(const struct vsock_flows *flows);
/* Takes a packet of the guest with the `room` bytes that follow its header there, of which
 * packet->length should be its payload; changes the iov. Returns NULL, or what was wrong with it.
 */
const char *vsock_flows_receive(struct vsock_flows *flows, const struct vsock_packet *packet,
                                struct iovec *iov, unsigned iov_count, uint64_t room);

/* True: there may be a packet to make. */
bool vsock_flows_pending(const struct vsock_flows *flows);
/* Makes the next packet, its payload into the buffer at `offset`, where it has at least one byte.
 * False when there was none after all. */
bool vsock_flows_make(struct vsock_flows *flows, struct vsock_packet *packet,
                      const struct iovec *iov, unsigned iov_count, uint64_t offset);

#endif
