/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_fakes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "memory/memory.h"

/* ---- disk ---- */

struct block *fake_block_new(uint64_t size)
{
    struct block *block = calloc(1, sizeof(*block));

    BUG_ON(!block);
    block->data = calloc(1, size);
    BUG_ON(!block->data);
    block->size = size;
    block->can_discard = true;
    return block;
}

static void transfer(struct block *block, const struct block_request *request)
{
    uint64_t at = request->offset;

    BUG_ON(at > block->size || request->length > block->size - at);
    for (unsigned i = 0; i < request->iov_count; i++) {
        const struct iovec *iov = &request->iov[i];

        BUG_ON(iov->iov_len > request->offset + request->length - at);
        if (request->operation == BLOCK_READ)
            guest_copy_out(iov->iov_base, block->data + at, iov->iov_len);
        else
            guest_copy_in(block->data + at, iov->iov_base, iov->iov_len);
        at += iov->iov_len;
    }
    /* The device promised this sum. */
    BUG_ON(at != request->offset + request->length);
}

static int perform(struct block *block, const struct block_request *request)
{
    if (block->result)
        return block->result;
    switch (request->operation) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        transfer(block, request);
        break;
    case BLOCK_FLUSH:
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        BUG_ON(!request->length || request->offset > block->size ||
               request->length > block->size - request->offset);
        memset(block->data + request->offset, request->operation == BLOCK_DISCARD ? 0xdd : 0,
               request->length);
        break;
    }
    return 0;
}

void block_submit(struct block *block, struct block_request *request)
{
    block->order++;
    block->counts[request->operation]++;
    if (request->operation == BLOCK_FLUSH)
        block->last_flush = block->order;
    BUG_ON(block->read_only &&
           (request->operation != BLOCK_READ && request->operation != BLOCK_FLUSH));
    if (block->hold) {
        struct block_request **link = &block->held;

        while (*link)
            link = &(*link)->next;
        request->next = NULL;
        *link = request;
        block->held_count++;
        return;
    }
    request->done(request, perform(block, request));
}

bool fake_block_complete(struct block *block)
{
    struct block_request *request = block->held;

    if (!request)
        return false;
    block->held = request->next;
    block->held_count--;
    request->done(request, perform(block, request));
    return true;
}

void block_close(struct block *block)
{
    block->hold = false;
    while (block->held) {
        block->result = -ECANCELED;
        fake_block_complete(block);
    }
    if (block->closed)
        *block->closed = true;
    free(block->data);
    free(block);
}

uint64_t block_size(const struct block *block)
{
    return block->size;
}

bool block_read_only(const struct block *block)
{
    return block->read_only;
}

bool block_can_discard(const struct block *block)
{
    return block->can_discard;
}

/* ---- network ---- */

static void net_fake_send(struct net *net, const struct iovec *iov, unsigned iov_count,
                          uint32_t length)
{
    struct fake_net *fake = container_of(net, struct fake_net, net);
    uint32_t at = 0;

    for (unsigned i = 0; i < iov_count; i++) {
        BUG_ON(iov[i].iov_len > sizeof(fake->frame) - at);
        guest_copy_in(fake->frame + at, iov[i].iov_base, iov[i].iov_len);
        at += (uint32_t)iov[i].iov_len;
    }
    BUG_ON(at != length || length > NET_FRAME_MAX);
    fake->length = length;
    fake->sent++;
    if (fake->answer)
        net->port.receive(net->port.ctx, fake->frame, length);
}

static void net_fake_ready(struct net *net)
{
    container_of(net, struct fake_net, net)->readied++;
}

static void net_fake_free(struct net *net)
{
    struct fake_net *fake = container_of(net, struct fake_net, net);

    if (fake->freed)
        *fake->freed = true;
    free(fake);
}

static const struct net_type fake_net_type = {
    .name = "fake",
    .send = net_fake_send,
    .ready = net_fake_ready,
    .free = net_fake_free,
};

struct fake_net *fake_net_new(struct loop *loop)
{
    struct fake_net *fake = calloc(1, sizeof(*fake));

    BUG_ON(!fake);
    fake->net.type = &fake_net_type;
    fake->net.loop = loop;
    return fake;
}

/* ---- stream ---- */

static size_t stream_fake_write(struct stream *stream, const uint8_t *data, size_t length)
{
    struct fake_stream *fake = container_of(stream, struct fake_stream, stream);
    size_t room = sizeof(fake->bytes) - fake->length;
    size_t taken = length < room ? length : room;

    memcpy(fake->bytes + fake->length, data, taken);
    fake->length += taken;
    fake->total += length;
    return taken;
}

static void stream_fake_ready(struct stream *stream)
{
    container_of(stream, struct fake_stream, stream)->readied++;
}

static void stream_fake_free(struct stream *stream) {}

static const struct stream_type fake_stream_type = {
    .name = "fake",
    .write = stream_fake_write,
    .ready = stream_fake_ready,
    .free = stream_fake_free,
};

void fake_stream_init(struct fake_stream *stream, struct loop *loop)
{
    memset(stream, 0, sizeof(*stream));
    stream->stream.type = &fake_stream_type;
    stream->stream.loop = loop;
}
