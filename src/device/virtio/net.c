/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"

/* 5.1.3 */
#define NET_F_MTU       (1ull << 3)
#define NET_F_MAC       (1ull << 5)
#define NET_F_MRG_RXBUF (1ull << 15)
#define NET_F_STATUS    (1ull << 16)

/* 5.1.2 */
#define QUEUE_RECEIVE  0u
#define QUEUE_TRANSMIT 1u

/* 5.1.4 */
#define CONFIG_MAC     0u
#define CONFIG_STATUS  6u
#define CONFIG_MTU     10u
#define CONFIG_SIZE    12u
#define STATUS_LINK_UP 1u

/* struct virtio_net_hdr (5.1.6), always with num_buffers. */
#define HEADER_SIZE        12u
#define HEADER_GSO_TYPE    1u
#define HEADER_NUM_BUFFERS 10u

/* An Ethernet header with one VLAN tag. */
#define ETHERNET_HEADER_MAX 18u

/* Frames sent in one turn of the loop, so that one busy guest leaves time for everybody else. */
#define TURN_FRAMES_MAX 64u

struct virtio_net {
    struct virtio_device core; /* first */
    struct net *net;
    struct chain first; /* the three of the loop's thread */
    struct chain more;
    struct chain sent;
    bool waiting; /* the back end has a frame and the guest had no buffer; guarded by core.mutex */
};

static bool link_is_up(const struct virtio_device *core) REQUIRES(core->mutex)
{
    return load_le16(core->config + CONFIG_STATUS) & STATUS_LINK_UP;
}

static void net_set_link(struct virtio_net *net, bool up)
{
    struct virtio_device *core = &net->core;

    mutex_lock(&core->mutex);
    if (link_is_up(core) != up) {
        store_le16(core->config + CONFIG_STATUS, up ? STATUS_LINK_UP : 0);
        virtio_config_changed(core);
    }
    mutex_unlock(&core->mutex);
}

static void net_unplugged(void *ctx)
{
    net_set_link(ctx, false);
}

/* ---- to the network ---- */

/* Sends one request (5.1.6.2), without the lock: the back end may answer at once. False when it is
 * too short to be one. */
static bool net_transmit(struct virtio_net *net, struct chain *chain, bool up)
{
    struct iovec *iov = chain->iov;
    uint8_t header[HEADER_SIZE];
    uint64_t length;
    unsigned count;

    if (chain_read(chain, 0, header, sizeof(header)) < sizeof(header))
        return false;
    length = chain->readable_bytes - HEADER_SIZE;
    /* Segmentation was not offered, so such a frame cannot be sent as it is; the other fields mean
     * nothing without offloads. */
    if (!up || !length || length > NET_FRAME_MAX || header[HEADER_GSO_TYPE])
        return true;
    count = iov_cut(&iov, chain->readable, HEADER_SIZE, length);
    net_send(net->net, iov, count, (uint32_t)length);
    return true;
}

static bool net_run_transmit(struct virtio_net *net)
{
    struct virtio_device *core = &net->core;
    struct queue *queue = &core->queues[QUEUE_TRANSMIT];
    unsigned budget = TURN_FRAMES_MAX;
    bool open = true;

    mutex_lock(&core->mutex);
    do {
        queue_mute(queue);
        /* What may not go out now stays in the ring, where the driver sees that it waits. */
        while (budget && (open = net_can_send(net->net)) &&
               virtio_pop(core, QUEUE_TRANSMIT, &net->sent)) {
            bool up = link_is_up(core), good;

            budget--;
            mutex_unlock(&core->mutex);
            good = net_transmit(net, &net->sent, up);
            mutex_lock(&core->mutex);
            if (!good)
                virtio_fail(core, "frame without a header");
            virtio_push(core, QUEUE_TRANSMIT, &net->sent, 0);
        }
        /* Muted until net_sendable(). */
    } while (budget && open && virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, QUEUE_TRANSMIT);
    mutex_unlock(&core->mutex);
    return !budget;
}

static void net_sendable(void *ctx)
{
    struct virtio_net *net = ctx;

    virtio_kick(&net->core, QUEUE_TRANSMIT);
}

/* ---- from the network ---- */

/* Buffers used for one frame that is being received. */
struct receipt {
    unsigned buffers;
    uint32_t first_bytes; /* written to the first, header included */
};

/* Spreads header and frame over as many buffers as it takes (5.1.6.4). Returns how many bytes of
 * the frame found no room, or -EPROTO. The first buffer stays popped when there is one. */
static int64_t net_spread(struct virtio_device *core, const uint8_t *frame, uint32_t length,
                          struct receipt *receipt) REQUIRES(core->mutex)
{
    struct virtio_net *net = container_of(core, struct virtio_net, core);
    struct queue *queue = &core->queues[QUEUE_RECEIVE];
    bool merge = virtio_has(core, NET_F_MRG_RXBUF);
    uint8_t header[HEADER_SIZE] = {0};
    uint32_t done = 0;

    if (!virtio_pop(core, QUEUE_RECEIVE, &net->first))
        return length;
    receipt->buffers = 1;
    if (net->first.writable_bytes < HEADER_SIZE) {
        virtio_fail(core, "receive buffer that is smaller than a header");
        return -EPROTO;
    }
    chain_write(&net->first, 0, header, sizeof(header));
    done = (uint32_t)chain_write(&net->first, HEADER_SIZE, frame, length);
    receipt->first_bytes = HEADER_SIZE + done;
    while (done < length && merge && virtio_pop(core, QUEUE_RECEIVE, &net->more)) {
        uint32_t put = (uint32_t)chain_write(&net->more, 0, frame + done, length - done);

        if (!put) {
            virtio_drop(core, QUEUE_RECEIVE, &net->more);
            virtio_fail(core, "receive buffer that is not writable");
            return -EPROTO;
        }
        queue_fill(queue, receipt->buffers, &net->more, put);
        receipt->buffers++;
        done += put;
    }
    return length - done;
}

/* All buffers of a frame become visible together (5.1.6.4.1). */
static void net_commit(struct virtio_device *core, const struct receipt *receipt)
    REQUIRES(core->mutex)
{
    struct virtio_net *net = container_of(core, struct virtio_net, core);
    struct queue *queue = &core->queues[QUEUE_RECEIVE];
    uint8_t count[2];

    store_le16(count, (uint16_t)receipt->buffers);
    chain_write(&net->first, HEADER_NUM_BUFFERS, count, sizeof(count));
    queue_fill(queue, 0, &net->first, receipt->first_bytes);
    queue_advance(queue, receipt->buffers);
    virtio_notify_guest(core, QUEUE_RECEIVE);
}

/* Gives the buffers of a frame that does not fit back to the ring, as if never popped. */
static void net_revert(struct virtio_device *core, const struct receipt *receipt)
    REQUIRES(core->mutex)
{
    struct virtio_net *net = container_of(core, struct virtio_net, core);

    if (!receipt->buffers)
        return;
    queue_rewind(&core->queues[QUEUE_RECEIVE], receipt->buffers);
    virtio_drop(core, QUEUE_RECEIVE, &net->first);
}

/* Whether no further buffer would help a frame that did not fit. */
static bool net_hopeless(struct virtio_device *core, const struct receipt *receipt)
    REQUIRES(core->mutex)
{
    if (!receipt->buffers)
        return false;
    return !virtio_has(core, NET_F_MRG_RXBUF) ||
           receipt->buffers == core->queues[QUEUE_RECEIVE].size;
}

/* True: the frame is done with, into buffers or dropped. */
static bool net_deliver(struct virtio_device *core, const uint8_t *frame, uint32_t length)
    REQUIRES(core->mutex)
{
    struct virtio_net *net = container_of(core, struct virtio_net, core);
    struct queue *queue = &core->queues[QUEUE_RECEIVE];

    for (;;) {
        struct receipt receipt = {0};
        int64_t left = net_spread(core, frame, length, &receipt);
        bool hopeless;

        if (left == 0 && receipt.buffers) {
            net_commit(core, &receipt);
            return true;
        }
        hopeless = net_hopeless(core, &receipt);
        net_revert(core, &receipt);
        if (hopeless || !virtio_running(core))
            return true;
        net->waiting = true;
        /* The buffers that did not suffice are in the ring again: ask for one more. */
        if (!queue_unmute(queue, receipt.buffers))
            return false;
    }
}

static bool net_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct virtio_net *net = ctx;
    struct virtio_device *core = &net->core;
    bool taken = true;

    mutex_lock(&core->mutex);
    net->waiting = false;
    /* A guest that is not up, or unplugged, hears nothing. 5.1.4.1: nothing beyond the MTU. */
    if (virtio_running(core) && link_is_up(core) && length && length <= NET_FRAME_MAX &&
        (!virtio_has(core, NET_F_MTU) ||
         length <= load_le16(core->config + CONFIG_MTU) + ETHERNET_HEADER_MAX)) {
        queue_mute(&core->queues[QUEUE_RECEIVE]);
        taken = net_deliver(core, frame, length);
    }
    mutex_unlock(&core->mutex);
    return taken;
}

static bool net_run_receive(struct virtio_net *net)
{
    bool waiting;

    mutex_lock(&net->core.mutex);
    waiting = net->waiting;
    net->waiting = false;
    mutex_unlock(&net->core.mutex);
    if (waiting)
        net_ready(net->net);
    return false;
}

/* ---- the device ---- */

static bool net_run(struct virtio_device *core, unsigned index)
{
    struct virtio_net *net = container_of(core, struct virtio_net, core);

    return index == QUEUE_TRANSMIT ? net_run_transmit(net) : net_run_receive(net);
}

/* A back end that waits for buffers must not wait for those of a driver that is gone. */
static void net_reset(struct virtio_device *core)
{
    virtio_kick(core, QUEUE_RECEIVE);
}

static const struct virtio_device_type net_type = {
    .name = "virtio-net",
    .id = 1,
    .queue_count = 2,
    .queue_size = 256,
    .config_size = CONFIG_SIZE,
    .run = net_run,
    .reset = net_reset,
};

static void virtio_net_free(void *ctx)
{
    struct virtio_net *net = ctx;

    virtio_stop(&net->core);
    net_free(net->net);
    virtio_release(&net->core);
    free(net);
}

static const struct state_field net_fields[] = {
    VIRTIO_STATE(struct virtio_net),
    VIRTIO_QUEUE_STATE(struct virtio_net, QUEUE_RECEIVE),
    VIRTIO_QUEUE_STATE(struct virtio_net, QUEUE_TRANSMIT),
};

static const struct device_type net_mmio_type = {
    .name = "virtio-net",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = net_fields,
    .field_count = ARRAY_SIZE(net_fields),
    .reset = virtio_reset,
    .check = virtio_check,
    .resume = virtio_resume,
    .free = virtio_net_free,
};

int virtio_net_new(struct device *device, const struct virtio_setup *setup, struct net *back_end,
                   const struct virtio_net_options *options)
{
    struct virtio_net *net = calloc(1, sizeof(*net));
    uint64_t offered = NET_F_MAC | NET_F_MRG_RXBUF | NET_F_STATUS;

    if (!net) {
        net_free(back_end);
        return -ENOMEM;
    }
    if (options->mtu)
        offered |= NET_F_MTU;
    net->net = back_end;
    virtio_init(&net->core, &net_type, &virtio_mmio_transport, setup, offered);
    memcpy(net->core.config + CONFIG_MAC, options->mac, sizeof(options->mac));
    store_le16(net->core.config + CONFIG_STATUS, STATUS_LINK_UP);
    store_le16(net->core.config + CONFIG_MTU, options->mtu);
    net_attach(back_end, &(struct net_port){.receive = net_receive,
                                            .sendable = net_sendable,
                                            .unplugged = net_unplugged,
                                            .ctx = net});
    *device = (struct device){.type = &net_mmio_type, .instance = net, .size = VIRTIO_MMIO_SIZE};
    return 0;
}

void virtio_net_set_link(struct device *device, bool up)
{
    net_set_link(device->instance, up);
}
