/* SPDX-License-Identifier: Apache-2.0 */
#include "network/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "network/net.h"

/* In front of each message: 24 bits of its length, and above them what it is. */
#define HEADER_SIZE sizeof(uint32_t)
#define PACKET_SIZE (HEADER_SIZE + NET_FRAME_MAX)

/* Mapped, so that only the pages are there that were ever needed. */
struct wire_buffers {
    uint8_t out[PACKET_SIZE];
    uint8_t in[PACKET_SIZE];
};

static void wire_watch(struct wire *wire)
{
    /* It is in the loop, so there is nothing to fail. */
    loop_set_fd(wire->loop, wire->socket,
                (wire->muted ? 0u : EPOLLIN) | (wire->blocked ? EPOLLOUT : 0u));
}

static void wire_close(struct wire *wire)
{
    if (wire->socket < 0)
        return;
    loop_remove_fd(wire->loop, wire->socket);
    close(wire->socket);
    wire->socket = -1;
    wire->count = wire->used = 0;
    wire->blocked = false;
}

/* ---- out ---- */

/* An end that is gone is seen by the loop, which says so always: nothing is told here, since a
 * caller may be inside wire_send(). */
static void wire_push(struct wire *wire)
{
    ssize_t n;

    if (!wire->count)
        return;
    do
        n = send(wire->socket, wire->buffers->out, wire->used, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        if (!wire->blocked) {
            wire->blocked = true;
            wire_watch(wire);
        }
        return;
    }
    /* What cannot be sent for another reason (no memory) is lost, as on any network. */
    wire->count = wire->used = 0;
    if (wire->blocked) {
        wire->blocked = false;
        wire_watch(wire);
    }
}

/* Not from inside wire_send(). */
static void wire_flush(void *ctx)
{
    struct wire *wire = ctx;

    if (wire->socket < 0)
        return;
    wire_push(wire);
    if (wire->blocked || !wire->refused)
        return;
    wire->refused = false;
    wire->events.sendable(wire->events.ctx);
}

static bool has_room(const struct wire *wire, uint32_t length)
{
    return wire->count < WIRE_BATCH && PACKET_SIZE - wire->used >= HEADER_SIZE + length;
}

bool wire_can_send(struct wire *wire)
{
    bool can = wire->socket < 0 || !wire->blocked;

    wire->refused |= !can;
    return can;
}

bool wire_send(struct wire *wire, uint8_t kind, const uint8_t *bytes, uint32_t length)
{
    const uint32_t header = (uint32_t)kind << 24 | length;
    uint8_t *at;

    if (wire->socket < 0 || length > NET_FRAME_MAX)
        return true;
    if (!wire->blocked && !has_room(wire, length))
        wire_push(wire);
    if (wire->blocked) {
        wire->refused = true;
        return false;
    }
    at = wire->buffers->out + wire->used;
    memcpy(at, &header, HEADER_SIZE);
    memcpy(at + HEADER_SIZE, bytes, length);
    wire->used += (uint32_t)HEADER_SIZE + length;
    if (!wire->count++)
        loop_post(wire->loop, &wire->flush);
    return true;
}

/* ---- in ---- */

/* Whatever is wrong with a packet, the rest of it is not looked at. */
static void wire_unpack(struct wire *wire, const uint8_t *at, size_t left)
{
    for (unsigned i = 0; i < WIRE_BATCH && left >= HEADER_SIZE; i++) {
        uint32_t header, length;

        memcpy(&header, at, HEADER_SIZE);
        length = header & 0xffffff;
        at += HEADER_SIZE;
        left -= HEADER_SIZE;
        if (length > left)
            return;
        wire->events.receive(wire->events.ctx, (uint8_t)(header >> 24), at, length);
        at += length;
        left -= length;
    }
}

/* False: the other end is gone. */
static bool wire_pull(struct wire *wire)
{
    ssize_t n = recv(wire->socket, wire->buffers->in, PACKET_SIZE, MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOMEM;
    /* One that is longer than any of ours is cut off, and none of ours. */
    if ((size_t)n <= PACKET_SIZE)
        wire_unpack(wire, wire->buffers->in, (size_t)n);
    return n > 0;
}

static void wire_ready(void *ctx, int fd, uint32_t events)
{
    struct wire *wire = ctx;
    bool there = true;

    if (events & EPOLLOUT)
        wire_flush(wire);
    /* What was said before the end is heard. */
    if (events & EPOLLIN && !wire->muted)
        there = wire_pull(wire);
    else if (events & (EPOLLHUP | EPOLLERR))
        there = false;
    if (there)
        return;
    wire_close(wire);
    wire->events.lost(wire->events.ctx);
}

void wire_set_muted(struct wire *wire, bool muted)
{
    if (wire->muted == muted || wire->socket < 0)
        return;
    wire->muted = muted;
    wire_watch(wire);
}

/* ---- life ---- */

int wire_init(struct wire *wire, struct loop *loop, int socket, const struct wire_events *events)
{
    void *buffers = mmap(NULL, sizeof(struct wire_buffers), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int r = buffers == MAP_FAILED ? -errno : 0;

    *wire = (struct wire){.loop = loop, .socket = -1, .events = *events};
    deferred_init(&wire->flush, wire_flush, wire);
    if (!r) {
        wire->buffers = buffers;
        r = loop_add_fd(loop, socket, EPOLLIN, wire_ready, wire);
    }
    if (r) {
        close(socket);
        wire_release(wire);
        return r;
    }
    wire->socket = socket;
    return 0;
}

void wire_release(struct wire *wire)
{
    wire_close(wire);
    if (wire->loop)
        loop_unpost(wire->loop, &wire->flush);
    if (wire->buffers)
        munmap(wire->buffers, sizeof(*wire->buffers));
    wire->buffers = NULL;
}
