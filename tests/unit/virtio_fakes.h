/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back ends for the tests and fuzz targets of virtio devices: a disk in memory, a network that
 * keeps the last frame, a stream that keeps what was written, sockets with programs behind them.
 * They do what the contracts allow at its worst: complete within the submission, answer within the
 * send, or hold a request for ever.
 *
 * struct block is defined here: what links these fakes does not link storage/block.c.
 */
#ifndef HOSPES_TESTS_VIRTIO_FAKES_H
#define HOSPES_TESTS_VIRTIO_FAKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/net.h"
#include "network/vsock.h"
#include "storage/block.h"
#include "stream/stream.h"

#define FAKE_BYTES_MAX 0x20000u

struct block {
    uint8_t *data;
    uint64_t size;
    bool read_only;
    bool can_discard;
    bool hold;           /* keep requests until fake_block_complete() */
    int result;          /* of every request */
    unsigned counts[5];  /* requests by enum block_operation */
    unsigned order;      /* counts every submission */
    unsigned last_flush; /* its place in that order */
    unsigned held_count;
    unsigned cancels;           /* calls of block_cancel_waiting() */
    struct block_request *held; /* oldest first */
    bool *closed;               /* set by block_close(), if given */
};

struct block *fake_block_new(uint64_t size);
/* Completes the oldest request that is held; false when none is. */
bool fake_block_complete(struct block *block);

struct fake_net {
    struct net net;
    uint8_t frame[FAKE_BYTES_MAX]; /* the last one sent */
    uint32_t length;
    unsigned sent;
    unsigned readied;
    bool answer;          /* receive() the frame again from within send() */
    uint32_t open_frames; /* how often can_send() still says so; UINT32_MAX, at first: always */
    bool *freed;
};

struct fake_net *fake_net_new(struct loop *loop);

struct fake_stream {
    struct stream stream;
    uint8_t bytes[FAKE_BYTES_MAX]; /* written by the guest, since the last look */
    size_t length;
    uint64_t total;
    unsigned readied;
};

void fake_stream_init(struct fake_stream *stream, struct loop *loop);

#define FAKE_LINKS_MAX 64u

struct fake_link {
    struct vsock_link link;
    bool taken;        /* the device has it */
    bool accepted;     /* by the guest, or begun by it */
    uint32_t buffered; /* bytes of the guest's */
};

struct fake_vsock {
    struct vsock vsock;
    struct fake_link links[FAKE_LINKS_MAX];
    unsigned open;  /* links that the device has */
    unsigned chunk; /* the most bytes that one call takes or gives; 0: none */
    int end;        /* of a read without bytes: -EAGAIN or 0 */
    bool deaf;      /* writes fail */
    bool *freed;
};

struct fake_vsock *fake_vsock_new(void);
/* A program wants to reach the guest's port. Returns the link, or NULL: refused, or there are too
 * many. */
struct fake_link *fake_vsock_connect(struct fake_vsock *vsock, uint32_t port);

#endif
