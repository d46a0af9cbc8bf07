/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/vsock.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"
#include "device/virtio/vsock_flow.h"

/* 5.10.3 */
#define VSOCK_F_STREAM (1ull << 0)

/* 5.10.2 */
#define QUEUE_RECEIVE  0u
#define QUEUE_TRANSMIT 1u
#define QUEUE_EVENT    2u

/* 5.10.4 */
#define CONFIG_GUEST_CID 0u
#define CONFIG_SIZE      8u

/* struct virtio_vsock_hdr (5.10.6) */
#define HEADER_SRC_CID   0u
#define HEADER_DST_CID   8u
#define HEADER_SRC_PORT  16u
#define HEADER_DST_PORT  20u
#define HEADER_LEN       24u
#define HEADER_TYPE      28u
#define HEADER_OP        30u
#define HEADER_FLAGS     32u
#define HEADER_BUF_ALLOC 36u
#define HEADER_FWD_CNT   40u
#define HEADER_SIZE      44u

/* 5.10.6.7 */
#define EVENT_TRANSPORT_RESET 0u
#define EVENT_SIZE            4u

/* Packets of one direction in one turn of the loop. */
#define TURN_PACKETS_MAX 64u

struct virtio_vsock {
    struct virtio_device core; /* first */
    struct vsock *back_end;
    struct vsock_flows flows; /* of the loop's thread, without the lock, as the next three */
    struct chain received;
    struct chain sent;
    bool making; /* run() is at it, so nobody has to be woken */
    /* Guarded by core.mutex. */
    bool stale;       /* a reset began: the flows are still those of before */
    bool stalled;     /* packets of the guest wait until one was made for it */
    bool interrupted; /* the guest is to be told that its connections are gone */
};

static struct virtio_vsock *vsock_of(struct virtio_device *core)
{
    return container_of(core, struct virtio_vsock, core);
}

/* ---- headers ---- */

static void packet_read(struct vsock_packet *packet, const uint8_t raw[HEADER_SIZE])
{
    *packet = (struct vsock_packet){
        .src_cid = load_le64(raw + HEADER_SRC_CID),
        .dst_cid = load_le64(raw + HEADER_DST_CID),
        .src_port = load_le32(raw + HEADER_SRC_PORT),
        .dst_port = load_le32(raw + HEADER_DST_PORT),
        .length = load_le32(raw + HEADER_LEN),
        .type = load_le16(raw + HEADER_TYPE),
        .operation = load_le16(raw + HEADER_OP),
        .flags = load_le32(raw + HEADER_FLAGS),
        .buf_alloc = load_le32(raw + HEADER_BUF_ALLOC),
        .fwd_cnt = load_le32(raw + HEADER_FWD_CNT),
    };
}

static void packet_write(const struct vsock_packet *packet, uint8_t raw[HEADER_SIZE])
{
    store_le64(raw + HEADER_SRC_CID, packet->src_cid);
    store_le64(raw + HEADER_DST_CID, packet->dst_cid);
    store_le32(raw + HEADER_SRC_PORT, packet->src_port);
    store_le32(raw + HEADER_DST_PORT, packet->dst_port);
    store_le32(raw + HEADER_LEN, packet->length);
    store_le16(raw + HEADER_TYPE, packet->type);
    store_le16(raw + HEADER_OP, packet->operation);
    store_le32(raw + HEADER_FLAGS, packet->flags);
    store_le32(raw + HEADER_BUF_ALLOC, packet->buf_alloc);
    store_le32(raw + HEADER_FWD_CNT, packet->fwd_cnt);
}

/* ---- from the guest ---- */

/* Without the lock: the back end may answer at once. Returns what was wrong, or NULL. */
static const char *vsock_take(struct virtio_vsock *vsock, const uint8_t raw[HEADER_SIZE])
{
    struct chain *chain = &vsock->sent;
    struct iovec *iov = chain->iov;
    uint64_t room = chain->readable_bytes - HEADER_SIZE;
    struct vsock_packet packet;
    unsigned count;

    packet_read(&packet, raw);
    count = room ? iov_cut(&iov, chain->readable, HEADER_SIZE, room) : 0;
    return vsock_flows_receive(&vsock->flows, &packet, iov, count, room);
}

static bool vsock_run_transmit(struct virtio_vsock *vsock)
{
    struct virtio_device *core = &vsock->core;
    struct queue *queue = &core->queues[QUEUE_TRANSMIT];
    unsigned budget = TURN_PACKETS_MAX;

    mutex_lock(&core->mutex);
    do {
        queue_mute(queue);
        vsock->stalled = !vsock_flows_can_receive(&vsock->flows);
        while (budget && !vsock->stalled && virtio_pop(core, QUEUE_TRANSMIT, &vsock->sent)) {
            uint8_t raw[HEADER_SIZE];
            const char *wrong = NULL;

            budget--;
            if (chain_read(&vsock->sent, 0, raw, sizeof(raw)) < sizeof(raw)) {
                virtio_drop(core, QUEUE_TRANSMIT, &vsock->sent);
                virtio_fail(core, "socket packet without a header");
                break;
            }
            mutex_unlock(&core->mutex);
            wrong = vsock_take(vsock, raw);
            mutex_lock(&core->mutex);
            if (wrong)
                virtio_complain(core, "the driver sent a %s", wrong);
            virtio_push(core, QUEUE_TRANSMIT, &vsock->sent, 0);
            vsock->stalled = !vsock_flows_can_receive(&vsock->flows);
        }
    } while (budget && !vsock->stalled && virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, QUEUE_TRANSMIT);
    mutex_unlock(&core->mutex);
    return !budget;
}

/* ---- to the guest ---- */

/* Fills the buffer that was popped, without the lock. Returns its bytes, or 0: nothing was left to
 * be sent. */
static uint32_t vsock_fill(struct virtio_vsock *vsock)
{
    struct chain *chain = &vsock->received;
    struct vsock_packet packet;
    uint8_t raw[HEADER_SIZE];

    if (!vsock_flows_make(&vsock->flows, &packet, chain->iov + chain->readable,
                          chain->count - chain->readable, HEADER_SIZE))
        return 0;
    packet_write(&packet, raw);
    chain_write(chain, 0, raw, sizeof(raw));
    return HEADER_SIZE + packet.length;
}

/* One packet; false when there was none, or no buffer for it. */
static bool vsock_send_one(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_vsock *vsock = vsock_of(core);
    struct queue *queue = &core->queues[QUEUE_RECEIVE];
    struct chain *chain = &vsock->received;
    uint32_t bytes;

    if (!vsock_flows_pending(&vsock->flows) || !virtio_pop(core, QUEUE_RECEIVE, chain))
        return false;
    if (chain->writable_bytes <= HEADER_SIZE) {
        virtio_drop(core, QUEUE_RECEIVE, chain);
        virtio_fail(core, "receive buffer that is no larger than a header");
        return false;
    }
    mutex_unlock(&core->mutex);
    bytes = vsock_fill(vsock);
    mutex_lock(&core->mutex);
    if (bytes) {
        virtio_push(core, QUEUE_RECEIVE, chain, bytes);
        return true;
    }
    virtio_drop(core, QUEUE_RECEIVE, chain);
    /* Unless the queue was reset meanwhile, the buffer is in it again, as if never popped. */
    if (chain->generation == queue->generation)
        queue_rewind(queue, 1);
    return false;
}

static bool vsock_run_receive(struct virtio_vsock *vsock)
{
    struct virtio_device *core = &vsock->core;
    struct queue *queue = &core->queues[QUEUE_RECEIVE];
    unsigned budget = TURN_PACKETS_MAX;
    bool stalled;

    mutex_lock(&core->mutex);
    vsock->making = true;
    do {
        queue_mute(queue);
        while (budget && vsock_send_one(core))
            budget--;
    } while (budget && vsock_flows_pending(&vsock->flows) && virtio_running(core) &&
             queue_unmute(queue, 0));
    vsock->making = false;
    virtio_notify_guest(core, QUEUE_RECEIVE);
    stalled = vsock->stalled && vsock_flows_can_receive(&vsock->flows);
    mutex_unlock(&core->mutex);
    if (stalled)
        virtio_kick(core, QUEUE_TRANSMIT);
    return !budget;
}

static void vsock_wake(void *ctx)
{
    struct virtio_vsock *vsock = ctx;

    if (!vsock->making)
        virtio_kick(&vsock->core, QUEUE_RECEIVE);
}

/* ---- events ---- */

/* 5.10.6.7: the guest closes its connections and reads its context identifier again. */
static void vsock_run_event(struct virtio_vsock *vsock)
{
    static const uint8_t event[EVENT_SIZE] = {EVENT_TRANSPORT_RESET};
    struct virtio_device *core = &vsock->core;
    struct chain *chain = &vsock->received;

    mutex_lock(&core->mutex);
    while (vsock->interrupted && virtio_running(core)) {
        if (virtio_pop(core, QUEUE_EVENT, chain)) {
            vsock->interrupted = false;
            if (chain_write(chain, 0, event, sizeof(event)) < sizeof(event)) {
                virtio_drop(core, QUEUE_EVENT, chain);
                virtio_fail(core, "event buffer that is smaller than an event");
                break;
            }
            virtio_push(core, QUEUE_EVENT, chain, sizeof(event));
            virtio_notify_guest(core, QUEUE_EVENT);
        } else if (!virtio_running(core) || !queue_unmute(&core->queues[QUEUE_EVENT], 0)) {
            break;
        }
    }
    mutex_unlock(&core->mutex);
}

/* ---- the device ---- */

/* Before packets are taken or made: the flows of a driver that is gone, or that broke a ring and is
 * served no more, are closed, and so is what the host began when there was none. Returns whether
 * there is a driver. */
static bool vsock_settle(struct virtio_vsock *vsock)
{
    struct virtio_device *core = &vsock->core;
    bool up, stale;

    mutex_lock(&core->mutex);
    up = virtio_running(core);
    stale = vsock->stale || !up;
    vsock->stale = false;
    vsock->flows.guest_cid = load_le64(core->config + CONFIG_GUEST_CID);
    mutex_unlock(&core->mutex);
    if (stale)
        vsock_flows_reset(&vsock->flows);
    return up;
}

static bool vsock_run(struct virtio_device *core, unsigned index)
{
    struct virtio_vsock *vsock = vsock_of(core);
    bool more = false;

    if (!vsock_settle(vsock))
        return false;
    switch (index) {
    case QUEUE_RECEIVE:
        more = vsock_run_receive(vsock);
        break;
    case QUEUE_TRANSMIT:
        more = vsock_run_transmit(vsock);
        break;
    case QUEUE_EVENT:
        vsock_run_event(vsock);
        break;
    }
    vsock_settle(vsock);
    return more;
}

static void vsock_reset(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_vsock *vsock = vsock_of(core);

    vsock->stale = true;
    vsock->stalled = false;
    vsock->interrupted = false;
    virtio_kick(core, QUEUE_RECEIVE);
}

static const struct virtio_device_type vsock_type = {
    .name = "virtio-vsock",
    .id = 19,
    .queue_count = 3,
    .queue_size = 128,
    .config_size = CONFIG_SIZE,
    .run = vsock_run,
    .reset = vsock_reset,
};

void virtio_vsock_restored(struct device *device)
{
    struct virtio_vsock *vsock = device->instance;
    struct virtio_device *core = &vsock->core;

    mutex_lock(&core->mutex);
    vsock->stale = true;
    vsock->interrupted = true;
    mutex_unlock(&core->mutex);
    virtio_kick(core, QUEUE_RECEIVE);
    virtio_kick(core, QUEUE_EVENT);
}

static bool vsock_check(const void *ctx) NO_THREAD_SAFETY
{
    const struct virtio_vsock *vsock = ctx;
    uint64_t cid = load_le64(vsock->core.config + CONFIG_GUEST_CID);

    return virtio_check(&vsock->core) && cid >= VSOCK_CID_MIN && cid <= VSOCK_CID_MAX;
}

static void virtio_vsock_free(void *ctx)
{
    struct virtio_vsock *vsock = ctx;

    virtio_stop(&vsock->core);
    vsock_flows_reset(&vsock->flows);
    vsock_free(vsock->back_end);
    virtio_release(&vsock->core);
    free(vsock);
}

static const struct state_field vsock_fields[] = {
    VIRTIO_STATE(struct virtio_vsock),
    VIRTIO_QUEUE_STATE(struct virtio_vsock, QUEUE_RECEIVE),
    VIRTIO_QUEUE_STATE(struct virtio_vsock, QUEUE_TRANSMIT),
    VIRTIO_QUEUE_STATE(struct virtio_vsock, QUEUE_EVENT),
};

static const struct device_type vsock_mmio_type = {
    .name = "virtio-vsock",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = vsock_fields,
    .field_count = ARRAY_SIZE(vsock_fields),
    .reset = virtio_reset,
    .check = vsock_check,
    .resume = virtio_resume,
    .free = virtio_vsock_free,
};

int virtio_vsock_new(struct device *device, const struct virtio_setup *setup,
                     struct vsock *back_end, uint32_t guest_cid)
{
    struct virtio_vsock *vsock = calloc(1, sizeof(*vsock));

    if (!vsock) {
        vsock_free(back_end);
        return -ENOMEM;
    }
    vsock->back_end = back_end;
    virtio_init(&vsock->core, &vsock_type, &virtio_mmio_transport, setup, VSOCK_F_STREAM);
    store_le64(vsock->core.config + CONFIG_GUEST_CID, guest_cid);
    vsock_flows_init(&vsock->flows, back_end, setup->loop, guest_cid, vsock_wake, vsock);
    *device =
        (struct device){.type = &vsock_mmio_type, .instance = vsock, .size = VIRTIO_MMIO_SIZE};
    return 0;
}
