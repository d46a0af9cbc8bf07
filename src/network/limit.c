/* SPDX-License-Identifier: Apache-2.0 */
#include "network/limit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bucket.h"
#include "base/error.h"
#include "base/thread.h"

/* One direction. */
struct gate {
    struct bucket bucket;
    struct timer timer; /* while somebody waits */
    bool closed;        /* somebody waits */
    uint64_t frames, bytes;
};

struct net_limited {
    struct net net;
    struct net *inner;
    struct gate in, out;
};

static struct net_limited *limited_of(struct net *net)
{
    return container_of(net, struct net_limited, net);
}

/* False: the timer's function will be called. */
static bool gate_is_open(struct gate *gate)
{
    uint64_t now, nap;

    if (!gate->bucket.rate)
        return true;
    now = monotonic_ns();
    nap = bucket_nap(&gate->bucket, now);
    if (!nap)
        return true;
    /* Who asks again meanwhile moves nothing. */
    if (!gate->closed)
        timer_set(&gate->timer, nap < UINT64_MAX - now ? now + nap : UINT64_MAX);
    gate->closed = true;
    return false;
}

static void gate_take(struct gate *gate, uint32_t length)
{
    gate->frames++;
    gate->bytes += length;
    if (gate->bucket.rate)
        bucket_take(&gate->bucket, length, monotonic_ns());
}

/* Whether somebody is to be told. */
static bool gate_reopen(struct gate *gate)
{
    bool closed = gate->closed;

    gate->closed = false;
    timer_cancel(&gate->timer);
    return closed;
}

/* ---- out of the guest ---- */

static bool limited_can_send(struct net *net)
{
    struct net_limited *limited = limited_of(net);

    return gate_is_open(&limited->out) && net_can_send(limited->inner);
}

static void limited_send(struct net *net, const struct iovec *iov, unsigned count, uint32_t length)
{
    struct net_limited *limited = limited_of(net);

    gate_take(&limited->out, length);
    net_send(limited->inner, iov, count, length);
}

/* The inner one has room again, or the gate is to be looked at again. */
static void limited_sendable(void *ctx)
{
    const struct net_limited *limited = ctx;
    const struct net_port *port = &limited->net.port;

    if (port->sendable)
        port->sendable(port->ctx);
}

static void limited_unplugged(void *ctx)
{
    const struct net_limited *limited = ctx;
    const struct net_port *port = &limited->net.port;

    if (port->unplugged)
        port->unplugged(port->ctx);
}

static void limited_out_timer(void *ctx)
{
    struct net_limited *limited = ctx;

    if (gate_reopen(&limited->out))
        limited_sendable(limited);
}

/* ---- into the guest ---- */

static bool limited_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct net_limited *limited = ctx;
    const struct net_port *port = &limited->net.port;

    if (!port->receive) {
        limited->net.lost_in++;
        return true;
    }
    if (!gate_is_open(&limited->in) || !port->receive(port->ctx, frame, length))
        return false;
    gate_take(&limited->in, length);
    return true;
}

static void limited_in_timer(void *ctx)
{
    struct net_limited *limited = ctx;

    if (gate_reopen(&limited->in))
        net_ready(limited->inner);
}

static void limited_ready(struct net *net)
{
    net_ready(limited_of(net)->inner);
}

/* ---- life ---- */

static void limited_free(struct net *net)
{
    struct net_limited *limited = limited_of(net);

    /* What it sends on its way out goes nowhere. */
    net->port = (struct net_port){0};
    net_free(limited->inner);
    timer_cancel(&limited->in.timer);
    timer_cancel(&limited->out.timer);
    free(limited);
}

static const struct net_type limited_type = {
    .name = "limited",
    .send = limited_send,
    .can_send = limited_can_send,
    .ready = limited_ready,
    .free = limited_free,
};

int net_limit_new(struct net **net, struct net *inner)
{
    struct net_limited *limited = calloc(1, sizeof(*limited));

    if (!limited) {
        net_free(inner);
        return -ENOMEM;
    }
    limited->net.type = &limited_type;
    limited->net.loop = inner->loop;
    limited->inner = inner;
    timer_init(&limited->in.timer, inner->loop, limited_in_timer, limited);
    timer_init(&limited->out.timer, inner->loop, limited_out_timer, limited);
    net_attach(inner, &(struct net_port){.receive = limited_receive,
                                         .sendable = limited_sendable,
                                         .unplugged = limited_unplugged,
                                         .ctx = limited});
    *net = &limited->net;
    return 0;
}

void net_set_limits(struct net *net, const struct net_limits *limits)
{
    struct net_limited *limited = limited_of(net);
    uint64_t now = monotonic_ns();

    BUG_ON(net->type != &limited_type);
    bucket_set(&limited->in.bucket, limits->in, limits->in_burst, now);
    bucket_set(&limited->out.bucket, limits->out, limits->out_burst, now);
    /* Who waits asks again, and is told how long that is now. */
    limited_in_timer(limited);
    limited_out_timer(limited);
}

struct net_counters net_count(const struct net *net)
{
    const struct net_limited *limited = container_of(net, const struct net_limited, net);

    BUG_ON(net->type != &limited_type);
    return (struct net_counters){
        .frames_in = limited->in.frames,
        .bytes_in = limited->in.bytes,
        .lost_in = net->lost_in + limited->inner->lost_in,
        .frames_out = limited->out.frames,
        .bytes_out = limited->out.bytes,
        .lost_out = limited->inner->lost_out,
    };
}
