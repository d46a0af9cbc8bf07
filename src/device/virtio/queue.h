/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one walker of virtqueues: takes descriptor chains from the guest and gives them back.
 *
 * Split virtqueues of virtio 1.2 section 2.7, with indirect descriptors (2.7.5.3) and the event
 * index (2.7.7, 2.7.10). The guest writes the rings while they are read, so each value is read
 * once, checked, and used from the copy. A broken ring is an error text and -EPROTO, and then the
 * owner lets the device fail; no ring makes the walker work without bound: a chain has at most
 * CHAIN_MAX descriptors, a queue at most `size` chains in flight.
 *
 * All functions: any thread, under the lock of the device that owns the queue. A popped chain is
 * its taker's until queue_push(), queue_fill() or queue_drop(), also across a reset of the queue:
 * its memory stays pinned, and the generation tells that nobody waits for it any more.
 * Packed virtqueues (2.8) would be a second implementation of the functions from queue_attach() on.
 */
#ifndef HOSPES_DEVICE_VIRTIO_QUEUE_H
#define HOSPES_DEVICE_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "memory/memory.h"

#define QUEUE_SIZE_MAX 256u
/* Descriptors of one chain, those of its indirect table included. The driver's limit is the queue
 * size (2.7.5.3.1); Linux exceeds a small one through indirect tables, so it is the largest. */
#define CHAIN_MAX 256u

/* A request: first what the device reads, then what it writes (2.7.4.2). */
struct chain {
    uint16_t head;
    uint32_t generation; /* of the queue when it was popped */
    unsigned readable;   /* iov[0, readable) is device-readable */
    unsigned count;      /* iov[readable, count) is device-writable */
    uint64_t readable_bytes;
    uint64_t writable_bytes;
    struct iovec iov[CHAIN_MAX]; /* the taker may change these */
    struct span spans[CHAIN_MAX];
};

struct queue {
    /* What the driver set up; guest-physical addresses. */
    uint32_t size;
    uint64_t descriptors;
    uint64_t available;
    uint64_t used;
    bool ready;
    /* Where the device is: free-running indexes, as in the rings. */
    uint16_t available_next; /* next entry of the available ring to pop */
    uint16_t used_next;      /* next entry of the used ring to fill */
    uint16_t used_published; /* the used ring's idx as the guest sees it */
    bool muted;              /* the guest was told not to notify */

    /* The rest is not state of the guest. */
    const struct address_space *as;
    uint16_t size_max;
    bool event_index;
    bool indirect;
    bool attached; /* the spans are pinned */
    struct span descriptors_span;
    struct span available_span;
    struct span used_span;
    uint32_t generation; /* counts resets */
    unsigned in_flight;  /* chains popped and not given back, of all generations */
    const char *error;   /* what was wrong with the ring, after -EPROTO */
};

/* `size_max` is a power of two, at most QUEUE_SIZE_MAX. */
void queue_init(struct queue *queue, const struct address_space *as, uint16_t size_max);
/* To the state after power-on; chains in flight live on and will be dropped when pushed. */
void queue_reset(struct queue *queue);

/* Checks what the driver set up and pins the rings: the features are those negotiated. Returns
 * -EPROTO for a bad size, misalignment (2.7), a ring that is not in RAM, or chains of an earlier
 * generation still in flight. */
int queue_attach(struct queue *queue, bool event_index, bool indirect) MUST_CHECK;

/* Takes the next chain. Returns 1, or 0 when there is none, or -EPROTO. */
int queue_pop(struct queue *queue, struct chain *chain) MUST_CHECK;
/* Takes back the last `count` pops, so that they will be popped again. Their chains are already
 * dropped, or filled and not yet advanced over. */
void queue_rewind(struct queue *queue, unsigned count);

/* Fills the used element `ahead` places from the next one and unpins the chain; `written` bytes
 * were written from the start of its writable part. The guest sees it after queue_advance() by
 * more than `ahead` and queue_notify_guest(). */
void queue_fill(struct queue *queue, unsigned ahead, struct chain *chain, uint32_t written);
void queue_advance(struct queue *queue, unsigned count);
/* Both, for one chain. */
void queue_push(struct queue *queue, struct chain *chain, uint32_t written);
/* Unpins a chain without giving it back to the guest. */
void queue_drop(struct queue *queue, struct chain *chain);

/* Publishes what was pushed since the last call. Returns whether the guest wants an interrupt for
 * it (2.7.7.2). */
bool queue_notify_guest(struct queue *queue) MUST_CHECK;
/* Tells the guest that it need not notify; a hint. */
void queue_mute(struct queue *queue);
/* Asks for a notification when there are more than `ahead` chains to pop; returns true when there
 * are already (2.7.10). */
bool queue_unmute(struct queue *queue, unsigned ahead) MUST_CHECK;

/* Copies up to `len` bytes at `offset` of the readable part; returns how many there were. */
uint64_t chain_read(const struct chain *chain, uint64_t offset, void *to, uint64_t len);
/* Copies up to `len` bytes to `offset` of the writable part; returns how many had room. */
uint64_t chain_write(const struct chain *chain, uint64_t offset, const void *from, uint64_t len);
/* Cuts an array down to [offset, offset + len) of its bytes, which it has; returns how many
 * elements are left, the first of them at *iov. */
unsigned iov_cut(struct iovec **iov, unsigned count, uint64_t offset, uint64_t len);

#endif
