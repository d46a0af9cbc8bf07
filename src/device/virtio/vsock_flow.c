/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/vsock_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/thread.h"

/* How long the guest has for the RST that ends a connection in peace (5.10.6.5), and for its answer
 * to a program that has gone meanwhile. */
#define CLOSE_NS 10000000000ull

/* The ports of connections that the host begins have this bit, away from those that programs listen
 * at, and not the one above it. */
#define PORT_BIT (1u << 30)

enum flow_state { FLOW_ASKED, FLOW_OPEN, FLOW_DYING };

struct vsock_flow {
    struct vsock_flows *flows;
    struct vsock_flow *next; /* in its bucket */
    struct vsock_flow *next_ready;
    bool listed; /* in flows->ready */
    enum flow_state state;
    struct vsock_link *link; /* NULL once dying */
    uint32_t guest_port;
    uint32_t host_port;
    struct timer timer;

    /* Packets to make besides those that follow from the rest. */
    bool request;
    bool response;
    bool credit_answer;

    /* Free-running counters of bytes (5.10.6.3). */
    uint32_t received;       /* from the guest */
    uint32_t forwarded;      /* of them, taken by the host: our fwd_cnt */
    uint32_t forwarded_told; /* as the guest knows it */
    uint32_t sent;           /* to the guest */
    uint32_t peer_buf_alloc;
    uint32_t peer_fwd_cnt;

    bool readable;  /* the back end may have bytes, or their end */
    bool asked;     /* for credit, since the last byte was sent */
    bool requested; /* the guest has seen our REQUEST */
    uint32_t guest_shutdown;
    uint32_t host_shutdown;      /* what is true of the host's program */
    uint32_t host_shutdown_told; /* as the guest knows it */
};

/* ---- the table ---- */

static struct vsock_flow **bucket_of(struct vsock_flows *flows, uint32_t guest_port,
                                     uint32_t host_port)
{
    return &flows->buckets[(guest_port * 31 + host_port) % VSOCK_BUCKETS];
}

static struct vsock_flow *flow_find(struct vsock_flows *flows, uint32_t guest_port,
                                    uint32_t host_port)
{
    struct vsock_flow *flow = *bucket_of(flows, guest_port, host_port);

    while (flow && (flow->guest_port != guest_port || flow->host_port != host_port))
        flow = flow->next;
    return flow;
}

static void flow_timeout(void *ctx);

static struct vsock_flow *flow_new(struct vsock_flows *flows, uint32_t guest_port,
                                   uint32_t host_port)
{
    struct vsock_flow **bucket = bucket_of(flows, guest_port, host_port);
    struct vsock_flow *flow = flows->count < VSOCK_FLOWS_MAX ? calloc(1, sizeof(*flow)) : NULL;

    if (!flow)
        return NULL;
    flow->flows = flows;
    flow->guest_port = guest_port;
    flow->host_port = host_port;
    timer_init(&flow->timer, flows->loop, flow_timeout, flow);
    flow->next = *bucket;
    *bucket = flow;
    flows->count++;
    return flow;
}

static void flow_unlist(struct vsock_flow *flow)
{
    struct vsock_flows *flows = flow->flows;
    struct vsock_flow **link = &flows->ready;

    if (!flow->listed)
        return;
    while (*link != flow)
        link = &(*link)->next_ready;
    *link = flow->next_ready;
    if (flows->ready_tail == &flow->next_ready)
        flows->ready_tail = link;
    flow->listed = false;
}

static void flow_close_link(struct vsock_flow *flow)
{
    if (flow->link)
        vsock_close(flow->link);
    flow->link = NULL;
}

static void flow_free(struct vsock_flow *flow)
{
    struct vsock_flow **link = bucket_of(flow->flows, flow->guest_port, flow->host_port);

    flow_unlist(flow);
    timer_cancel(&flow->timer);
    flow_close_link(flow);
    while (*link != flow)
        link = &(*link)->next;
    *link = flow->next;
    flow->flows->count--;
    free(flow);
}

/* ---- what there is to make ---- */

/* What the guest has room for; a counter that cannot be is no room. */
static uint32_t flow_credit(const struct vsock_flow *flow)
{
    uint32_t under_way = flow->sent - flow->peer_fwd_cnt;

    return under_way < flow->peer_buf_alloc ? flow->peer_buf_alloc - under_way : 0;
}

static bool flow_takes_data(const struct vsock_flow *flow)
{
    return flow->readable && !(flow->guest_shutdown & VSOCK_SHUTDOWN_RECEIVE);
}

/* Half of the room is hidden from the guest: it should hear of it before it has to stop. */
static bool flow_owes_credit(const struct vsock_flow *flow)
{
    return flow->forwarded != flow->forwarded_told &&
           flow->received - flow->forwarded_told >= VSOCK_BUFFER / 2;
}

static bool flow_has_packet(const struct vsock_flow *flow)
{
    if (flow->state == FLOW_DYING || flow->request || flow->response)
        return true;
    if (flow->state == FLOW_ASKED)
        return false;
    return flow->credit_answer || flow->host_shutdown & ~flow->host_shutdown_told ||
           flow_owes_credit(flow) || (flow_takes_data(flow) && (flow_credit(flow) || !flow->asked));
}

/* To be called after whatever may have made a packet necessary. */
static void flow_list(struct vsock_flow *flow)
{
    struct vsock_flows *flows = flow->flows;

    if (flow->listed || !flow_has_packet(flow))
        return;
    flow->listed = true;
    flow->next_ready = NULL;
    *flows->ready_tail = flow;
    flows->ready_tail = &flow->next_ready;
    flows->wake(flows->ctx);
}

/* Ends it by a RST, unless the guest does not know of it yet. */
static void flow_abort(struct vsock_flow *flow)
{
    if (flow->state == FLOW_ASKED && !flow->requested) {
        flow_free(flow);
        return;
    }
    timer_cancel(&flow->timer);
    flow_close_link(flow);
    flow->state = FLOW_DYING;
    flow->request = flow->response = false;
    flow_list(flow);
}

static void flow_timeout(void *ctx)
{
    flow_abort(ctx);
}

/* ---- from the host ---- */

static uint32_t flows_pick_port(struct vsock_flows *flows, uint32_t guest_port)
{
    uint32_t port;

    do /* it ends, since there are far fewer flows than ports */
        port = PORT_BIT | flows->next_port++ % PORT_BIT;
    while (flow_find(flows, guest_port, port));
    return port;
}

static int host_connect(void *ctx, struct vsock_link *link, uint32_t port)
{
    struct vsock_flows *flows = ctx;
    struct vsock_flow *flow = flow_new(flows, port, flows_pick_port(flows, port));

    if (!flow)
        return -ENOMEM;
    flow->state = FLOW_ASKED;
    flow->request = true;
    flow->link = link;
    link->owner = flow;
    flow_list(flow);
    return 0;
}

static void host_readable(void *ctx, struct vsock_link *link)
{
    struct vsock_flow *flow = link->owner;

    flow->readable = true;
    flow_list(flow);
}

static void host_drained(void *ctx, struct vsock_link *link, uint32_t bytes)
{
    struct vsock_flow *flow = link->owner;

    flow->forwarded += bytes;
    flow_list(flow);
}

static void flow_host_is_deaf(struct vsock_flow *flow)
{
    flow->host_shutdown |= VSOCK_SHUTDOWN_RECEIVE;
    flow->forwarded = flow->received;
}

static void host_hung_up(void *ctx, struct vsock_link *link)
{
    struct vsock_flow *flow = link->owner;

    if (flow->host_shutdown & VSOCK_SHUTDOWN_RECEIVE)
        return;
    flow_host_is_deaf(flow);
    /* What it has sent already is still the guest's, if that answers. */
    if (flow->state == FLOW_ASKED)
        timer_set(&flow->timer, monotonic_ns() + CLOSE_NS);
    flow_list(flow);
}

/* ---- from the guest ---- */

static void flows_add_stray(struct vsock_flows *flows, const struct vsock_packet *packet)
{
    struct vsock_stray *stray;

    BUG_ON(flows->stray_count == VSOCK_STRAYS_MAX);
    stray = &flows->strays[(flows->stray_begin + flows->stray_count++) % VSOCK_STRAYS_MAX];
    *stray = (struct vsock_stray){
        .cid = packet->dst_cid,
        .host_port = packet->dst_port,
        .guest_port = packet->src_port,
        .type = packet->type,
    };
    flows->wake(flows->ctx);
}

static void guest_connects(struct vsock_flows *flows, const struct vsock_packet *packet)
{
    struct vsock_flow *flow = flow_new(flows, packet->src_port, packet->dst_port);

    if (!flow || vsock_open(flows->back_end, packet->dst_port, flow, &flow->link)) {
        if (flow)
            flow_free(flow);
        flows_add_stray(flows, packet);
        return;
    }
    flow->state = FLOW_OPEN;
    flow->response = true;
    flow->peer_buf_alloc = packet->buf_alloc;
    flow->peer_fwd_cnt = packet->fwd_cnt;
    flow_list(flow);
}

static const char *guest_answers(struct vsock_flow *flow)
{
    if (flow->state != FLOW_ASKED || !flow->requested)
        return "socket response that nobody asked for";
    timer_cancel(&flow->timer);
    flow->state = FLOW_OPEN;
    vsock_accept(flow->link, flow->host_port);
    return NULL;
}

static const char *guest_sends(struct vsock_flow *flow, const struct vsock_packet *packet,
                               struct iovec *iov, unsigned iov_count)
{
    const uint32_t length = packet->length;
    ssize_t n = -EPIPE;

    if (flow->guest_shutdown & VSOCK_SHUTDOWN_SEND)
        return "socket data after the end of it";
    /* F2 */
    if (length > VSOCK_BUFFER - (flow->received - flow->forwarded))
        return "more socket data than there is room for";
    flow->received += length;
    if (!(flow->host_shutdown & VSOCK_SHUTDOWN_RECEIVE)) {
        iov_count = iov_cut(&iov, iov_count, 0, length);
        n = vsock_write(flow->link, iov, iov_count, length);
    }
    if (n == -EPIPE)
        flow_host_is_deaf(flow);
    else if (n < 0)
        flow_abort(flow);
    else
        flow->forwarded += (uint32_t)n;
    return NULL;
}

static void guest_shuts_down(struct vsock_flow *flow, uint32_t flags)
{
    uint32_t added = flags & VSOCK_SHUTDOWN_BOTH & ~flow->guest_shutdown;

    flow->guest_shutdown |= added;
    if (flow->guest_shutdown == VSOCK_SHUTDOWN_BOTH) {
        /* The RST is the answer that it waits for. */
        flow_abort(flow);
    } else if (added & VSOCK_SHUTDOWN_SEND) {
        vsock_finish(flow->link);
    } else if (added & VSOCK_SHUTDOWN_RECEIVE) {
        vsock_mute(flow->link);
        /* Nothing is sent to it any more, which it need not hear. */
        flow->host_shutdown |= VSOCK_SHUTDOWN_SEND;
        flow->host_shutdown_told |= VSOCK_SHUTDOWN_SEND;
    }
}

static const char *flow_receive(struct vsock_flow *flow, const struct vsock_packet *packet,
                                struct iovec *iov, unsigned iov_count)
{
    flow->peer_buf_alloc = packet->buf_alloc;
    flow->peer_fwd_cnt = packet->fwd_cnt;
    if (packet->operation == VSOCK_OP_RESPONSE)
        return guest_answers(flow);
    if (flow->state != FLOW_OPEN)
        return "socket packet before the connection";
    switch (packet->operation) {
    case VSOCK_OP_SHUTDOWN:
        guest_shuts_down(flow, packet->flags);
        return NULL;
    case VSOCK_OP_RW:
        return guest_sends(flow, packet, iov, iov_count);
    case VSOCK_OP_CREDIT_UPDATE:
        return NULL;
    case VSOCK_OP_CREDIT_REQUEST:
        flow->credit_answer = true;
        return NULL;
    case VSOCK_OP_REQUEST:
        return "socket connection that there is already";
    default:
        return "socket packet with an unknown operation";
    }
}

const char *vsock_flows_receive(struct vsock_flows *flows, const struct vsock_packet *packet,
                                struct iovec *iov, unsigned iov_count, uint64_t room)
{
    bool ours = packet->dst_cid == VSOCK_CID_HOST && packet->type == VSOCK_TYPE_STREAM;
    struct vsock_flow *flow = ours ? flow_find(flows, packet->src_port, packet->dst_port) : NULL;
    const char *wrong = packet->length > room ? "socket packet that is shorter than it says" : NULL;

    /* Whoever it was, a reset would not reach it. */
    if (packet->src_cid != flows->guest_cid)
        return "socket packet of another context";
    if (packet->operation == VSOCK_OP_RST) {
        /* Never answered by another one: that could hit the next connection of these ports. */
        if (flow)
            flow_free(flow);
        return NULL;
    }
    /* The reset that is under way is the answer to everything. */
    if (flow && flow->state == FLOW_DYING)
        return NULL;
    /* It cannot know of this one yet. */
    if (flow && flow->state == FLOW_ASKED && !flow->requested) {
        flows_add_stray(flows, packet);
        return wrong;
    }
    if (flow) {
        if (!wrong)
            wrong = flow_receive(flow, packet, iov, iov_count);
        if (wrong)
            flow_abort(flow);
        else
            flow_list(flow);
    } else if (!wrong && ours && packet->operation == VSOCK_OP_REQUEST) {
        guest_connects(flows, packet);
    } else {
        flows_add_stray(flows, packet);
    }
    return wrong;
}

bool vsock_flows_can_receive(const struct vsock_flows *flows)
{
    return flows->stray_count < VSOCK_STRAYS_MAX;
}

/* ---- to the guest ---- */

bool vsock_flows_pending(const struct vsock_flows *flows)
{
    return flows->ready || flows->stray_count;
}

/* Every packet of a flow tells our credit. */
static bool flow_fill(struct vsock_flow *flow, struct vsock_packet *packet,
                      enum vsock_operation operation, uint32_t length, uint32_t flags)
{
    *packet = (struct vsock_packet){
        .src_cid = VSOCK_CID_HOST,
        .dst_cid = flow->flows->guest_cid,
        .src_port = flow->host_port,
        .dst_port = flow->guest_port,
        .length = length,
        .type = VSOCK_TYPE_STREAM,
        .operation = (uint16_t)operation,
        .flags = flags,
        .buf_alloc = VSOCK_BUFFER,
        .fwd_cnt = flow->forwarded,
    };
    flow->forwarded_told = flow->forwarded;
    return true;
}

/* Where a payload goes. */
struct target {
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset;
};

/* True: a packet was made. */
static bool flow_make_data(struct vsock_flow *flow, struct vsock_packet *packet,
                           const struct target *target)
{
    uint32_t credit = flow_credit(flow);
    struct iovec *iov = flow->flows->cut;
    unsigned iov_count = target->iov_count;
    uint64_t room = 0;
    ssize_t n;

    if (!credit && flow->asked)
        return false;
    /* The guest tells by itself when it has room, but one word that got lost must not be the end.
     */
    if (!credit) {
        flow->asked = true;
        return flow_fill(flow, packet, VSOCK_OP_CREDIT_REQUEST, 0, 0);
    }
    for (unsigned i = 0; i < iov_count; i++) {
        iov[i] = target->iov[i];
        room += iov[i].iov_len;
    }
    room -= target->offset;
    if (room > credit)
        room = credit;
    if (room > VSOCK_PAYLOAD_MAX)
        room = VSOCK_PAYLOAD_MAX;
    iov_count = iov_cut(&iov, iov_count, target->offset, room);
    n = vsock_read(flow->link, iov, iov_count, &flow->readable);
    if (n > 0) {
        BUG_ON((uint64_t)n > room);
        flow->sent += (uint32_t)n;
        flow->asked = false;
        return flow_fill(flow, packet, VSOCK_OP_RW, (uint32_t)n, 0);
    }
    flow->readable = false;
    if (n != -EAGAIN)
        flow->host_shutdown |= VSOCK_SHUTDOWN_SEND;
    return false;
}

static bool flow_make_shutdown(struct vsock_flow *flow, struct vsock_packet *packet)
{
    flow->host_shutdown_told = flow->host_shutdown;
    if (flow->host_shutdown == VSOCK_SHUTDOWN_BOTH)
        timer_set(&flow->timer, monotonic_ns() + CLOSE_NS);
    return flow_fill(flow, packet, VSOCK_OP_SHUTDOWN, 0, flow->host_shutdown);
}

/* Frees a flow whose last packet it is. */
static bool flow_make(struct vsock_flow *flow, struct vsock_packet *packet,
                      const struct target *target)
{
    if (flow->state == FLOW_DYING) {
        flow_fill(flow, packet, VSOCK_OP_RST, 0, 0);
        flow_free(flow);
        return true;
    }
    if (flow->request) {
        flow->request = false;
        flow->requested = true;
        return flow_fill(flow, packet, VSOCK_OP_REQUEST, 0, 0);
    }
    if (flow->response) {
        flow->response = false;
        return flow_fill(flow, packet, VSOCK_OP_RESPONSE, 0, 0);
    }
    if (flow->state != FLOW_OPEN)
        return false;
    if (flow->credit_answer) {
        flow->credit_answer = false;
        return flow_fill(flow, packet, VSOCK_OP_CREDIT_UPDATE, 0, 0);
    }
    if (flow_takes_data(flow) && flow_make_data(flow, packet, target))
        return true;
    /* Behind the data, so that a program that sent and left is one SHUTDOWN and not two. */
    if (flow->host_shutdown & ~flow->host_shutdown_told)
        return flow_make_shutdown(flow, packet);
    return flow_owes_credit(flow) && flow_fill(flow, packet, VSOCK_OP_CREDIT_UPDATE, 0, 0);
}

static void flows_make_stray(struct vsock_flows *flows, struct vsock_packet *packet)
{
    const struct vsock_stray *stray = &flows->strays[flows->stray_begin];

    *packet = (struct vsock_packet){
        .src_cid = stray->cid,
        .dst_cid = flows->guest_cid,
        .src_port = stray->host_port,
        .dst_port = stray->guest_port,
        .type = stray->type,
        .operation = VSOCK_OP_RST,
    };
    flows->stray_begin = (flows->stray_begin + 1) % VSOCK_STRAYS_MAX;
    flows->stray_count--;
}

bool vsock_flows_make(struct vsock_flows *flows, struct vsock_packet *packet,
                      const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    const struct target target = {iov, iov_count, offset};

    if (flows->stray_count) {
        flows_make_stray(flows, packet);
        return true;
    }
    while (flows->ready) {
        struct vsock_flow *flow = flows->ready;
        bool dying = flow->state == FLOW_DYING;

        flow_unlist(flow);
        if (!flow_make(flow, packet, &target))
            continue;
        if (!dying)
            flow_list(flow);
        return true;
    }
    return false;
}

/* ---- life ---- */

void vsock_flows_init(struct vsock_flows *flows, struct vsock *back_end, struct loop *loop,
                      uint64_t guest_cid, void (*wake)(void *ctx), void *ctx)
{
    memset(flows, 0, sizeof(*flows));
    flows->back_end = back_end;
    flows->loop = loop;
    flows->wake = wake;
    flows->ctx = ctx;
    flows->guest_cid = guest_cid;
    flows->ready_tail = &flows->ready;
    /* A guest that was restored may still hold ports of before, and would reset a new connection
     * with the same ones. */
    if (getrandom(&flows->next_port, sizeof(flows->next_port), 0) != sizeof(flows->next_port))
        flows->next_port = 0;
    vsock_attach(back_end, &(struct vsock_port){
                               .connect = host_connect,
                               .readable = host_readable,
                               .drained = host_drained,
                               .hung_up = host_hung_up,
                               .ctx = flows,
                           });
}

void vsock_flows_reset(struct vsock_flows *flows)
{
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++)
        while (flows->buckets[i])
            flow_free(flows->buckets[i]);
    flows->stray_count = 0;
}
