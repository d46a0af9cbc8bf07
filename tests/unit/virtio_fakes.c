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

void block_cancel_waiting(struct block *block)
{
    block->cancels++;
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

static bool net_fake_can_send(struct net *net)
{
    struct fake_net *fake = container_of(net, struct fake_net, net);

    if (fake->open_frames == UINT32_MAX)
        return true;
    return fake->open_frames && fake->open_frames--;
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
    .can_send = net_fake_can_send,
    .ready = net_fake_ready,
    .free = net_fake_free,
};

struct fake_net *fake_net_new(struct loop *loop)
{
    struct fake_net *fake = calloc(1, sizeof(*fake));

    BUG_ON(!fake);
    fake->net.type = &fake_net_type;
    fake->net.loop = loop;
    fake->open_frames = UINT32_MAX;
    return fake;
}

/* ---- sockets ---- */

static struct fake_vsock *fake_of(struct vsock *vsock)
{
    return container_of(vsock, struct fake_vsock, vsock);
}

static struct fake_link *fake_link_of(struct vsock_link *link)
{
    struct fake_link *fake = container_of(link, struct fake_link, link);

    BUG_ON(!fake->taken);
    return fake;
}

static struct fake_link *fake_link_new(struct fake_vsock *vsock)
{
    for (unsigned i = 0; i < FAKE_LINKS_MAX; i++)
        if (!vsock->links[i].taken) {
            vsock->links[i] = (struct fake_link){.link.vsock = &vsock->vsock, .taken = true};
            vsock->open++;
            return &vsock->links[i];
        }
    return NULL;
}

static void vsock_fake_close(struct vsock_link *link)
{
    fake_link_of(link)->taken = false;
    fake_of(link->vsock)->open--;
}

static int vsock_fake_open(struct vsock *vsock, uint32_t port, void *owner,
                           struct vsock_link **link)
{
    struct fake_link *fake = port & 1 ? fake_link_new(fake_of(vsock)) : NULL;

    if (!fake)
        return -ECONNREFUSED;
    fake->accepted = true;
    fake->link.owner = owner;
    *link = &fake->link;
    return 0;
}

static void vsock_fake_accept(struct vsock_link *link, uint32_t host_port)
{
    BUG_ON(fake_link_of(link)->accepted);
    fake_link_of(link)->accepted = true;
}

static ssize_t vsock_fake_read(struct vsock_link *link, const struct iovec *iov, unsigned iov_count,
                               bool *more)
{
    static const uint8_t bytes[65536];
    struct fake_vsock *vsock = fake_of(link->vsock);
    uint64_t given = 0;

    BUG_ON(!fake_link_of(link)->accepted || !iov_count);
    for (unsigned i = 0; i < iov_count && given < vsock->chunk; i++) {
        uint64_t part = vsock->chunk - given;

        if (part > iov[i].iov_len)
            part = iov[i].iov_len;
        BUG_ON(part > sizeof(bytes));
        guest_copy_out(iov[i].iov_base, bytes, part);
        given += part;
    }
    *more = given & 1;
    return given ? (ssize_t)given : vsock->end;
}

static ssize_t vsock_fake_write(struct vsock_link *link, const struct iovec *iov,
                                unsigned iov_count, uint32_t length)
{
    struct fake_vsock *vsock = fake_of(link->vsock);
    struct fake_link *fake = fake_link_of(link);
    uint32_t taken = fake->buffered || length < vsock->chunk ? 0 : vsock->chunk;
    uint64_t sum = 0;

    for (unsigned i = 0; i < iov_count; i++) {
        uint8_t byte;

        sum += iov[i].iov_len;
        if (iov[i].iov_len)
            guest_copy_in(&byte, (uint8_t *)iov[i].iov_base + iov[i].iov_len - 1, 1);
    }
    BUG_ON(!fake->accepted || sum != length);
    if (vsock->deaf)
        return -EPIPE;
    fake->buffered += length - taken;
    /* The device promised this. */
    BUG_ON(fake->buffered > VSOCK_BUFFER);
    return taken;
}

static void vsock_fake_end(struct vsock_link *link)
{
    BUG_ON(!fake_link_of(link)->accepted);
}

static void vsock_fake_free(struct vsock *vsock)
{
    struct fake_vsock *fake = fake_of(vsock);

    BUG_ON(fake->open);
    if (fake->freed)
        *fake->freed = true;
    free(fake);
}

static const struct vsock_type fake_vsock_type = {
    .name = "fake",
    .open = vsock_fake_open,
    .accept = vsock_fake_accept,
    .read = vsock_fake_read,
    .write = vsock_fake_write,
    .finish = vsock_fake_end,
    .mute = vsock_fake_end,
    .close = vsock_fake_close,
    .free = vsock_fake_free,
};

struct fake_vsock *fake_vsock_new(void)
{
    struct fake_vsock *fake = calloc(1, sizeof(*fake));

    BUG_ON(!fake);
    fake->vsock.type = &fake_vsock_type;
    fake->end = -EAGAIN;
    return fake;
}

struct fake_link *fake_vsock_connect(struct fake_vsock *vsock, uint32_t port)
{
    struct vsock_port *to = &vsock->vsock.port;
    struct fake_link *link = fake_link_new(vsock);

    if (link && to->connect(to->ctx, &link->link, port)) {
        link->taken = false;
        vsock->open--;
        return NULL;
    }
    return link;
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
