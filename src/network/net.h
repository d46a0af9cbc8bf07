/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface's back end: Ethernet frames out and in.
 *
 * Everything runs on the loop's thread. The guest side (a virtio net device) attaches itself as a
 * port; frames are whole Ethernet frames without checksum, at most NET_FRAME_MAX bytes. The sender
 * keeps its buffer. A back end never trusts a frame: it comes from the guest or from the network.
 */
#ifndef HOSPES_NETWORK_NET_H
#define HOSPES_NETWORK_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"

#define NET_FRAME_MAX 65550u

/* The guest's side, filled by the device. */
struct net_port {
    /* A frame for the guest. Returns true when taken; false: no buffer now, and the back end
     * keeps or drops it (and stops reading its source until net_ready()). Never called from
     * inside net_send() or net_ready(). */
    bool (*receive)(void *ctx, const uint8_t *frame, uint32_t length);
    /* net_can_send() may say true again after it said false; NULL: the port never asks. Never
     * called from inside net_send() or net_can_send(). */
    void (*sendable)(void *ctx);
    /* Nothing comes or goes any more, for good; NULL: the port need not know. Never called from
     * inside net_send() or net_can_send(). */
    void (*unplugged)(void *ctx);
    void *ctx;
};

struct net;

struct net_type {
    const char *name;
    void (*send)(struct net *net, const struct iovec *iov, unsigned iov_count, uint32_t length);
    /* Whether the port is to send its next frame now; NULL: always. After a false sendable() is
     * called. A frame that is sent all the same goes out. Called with the port's lock held. */
    bool (*can_send)(struct net *net);
    /* The port has buffers again after receive() said false. */
    void (*ready)(struct net *net);
    void (*free)(struct net *net);
};

/* The common head of every back end. */
struct net {
    const struct net_type *type;
    struct net_port port;
    struct loop *loop;
    uint64_t lost_in, lost_out; /* frames that it gave up, for the port and of it */
};

/* Wires the device to the back end; once. Until then incoming frames are dropped. */
static inline void net_attach(struct net *net, const struct net_port *port)
{
    net->port = *port;
}

static inline void net_send(struct net *net, const struct iovec *iov, unsigned count, uint32_t len)
{
    net->type->send(net, iov, count, len);
}

/* Asked before each frame by a port that can keep what it has to send. */
static inline bool net_can_send(struct net *net)
{
    return !net->type->can_send || net->type->can_send(net);
}

static inline void net_ready(struct net *net)
{
    net->type->ready(net);
}

static inline void net_free(struct net *net)
{
    if (net)
        net->type->free(net);
}

/* One -p HOST:GUEST; ports 1..65535. */
struct net_forward {
    bool udp;
    char host_address[46]; /* text form; "" for the loopback address */
    uint16_t host_port;
    uint16_t guest_port;
};

struct net_user_options {
    const struct net_forward *forwards; /* needed by net_user_new() alone, as is the hostname */
    unsigned forward_count;
    const char *hostname; /* what DHCP tells the guest; may be NULL */
    /* Confines the network's process (THREAD_NETWORK); NULL: nothing does. */
    const struct thread_guard *guard;
    /* The network's process has ended, and the guest is unplugged; NULL: nobody is told. */
    void (*lost)(void *ctx);
    void *ctx;
};

/* NAT in user space by libslirp, in a process of its own: DHCP, DNS, IPv6, forwards; needs no
 * privileges. The guest reaches the host's loopback address at 10.0.2.2. To be called before the
 * caller opens what that process must not have for a moment, and before it is confined itself.
 * Errors: a forward whose host port is taken names it. */
int net_user_new(struct net **net, struct loop *loop, const struct net_user_options *options,
                 const struct log *log, struct error *error) MUST_CHECK;
/* A tap interface of the host: an existing one, or, with CAP_NET_ADMIN, a new one, which is gone
 * when the back end is. Errors: no permission and not a tap, each with the remedy. */
int net_tap_new(struct net **net, struct loop *loop, const char *interface, const struct log *log,
                struct error *error) MUST_CHECK;

#endif
