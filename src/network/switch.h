/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of a network between machines, as a net back end (net.h). A bridge without a bridge: each
 * port knows the others (segment.h), sends a frame straight to the one where its target was last
 * seen (learn.h) or to all, and answers its own guest for the network's own address (service.h).
 *
 * Ports come and go by inotify; one whose process was killed is noticed by the next frame to it.
 * Nothing waits for anybody: what a receiver has no room for is kept up to a bound and then lost,
 * as at a switch, and counted. All on the loop's thread.
 */
#ifndef HOSPES_NETWORK_SWITCH_H
#define HOSPES_NETWORK_SWITCH_H

#include <stdint.h>

#include "network/net.h"

/* What is kept for one slow receiver, and for all together. */
#define SWITCH_PEER_BYTES  (512u << 10)
#define SWITCH_TOTAL_BYTES (4u << 20)

struct net_switch_options {
    const char *directory; /* the network's; the last part is its name */
    const char *machine;   /* at most 63 of a-z A-Z 0-9 - _ . */
    unsigned index;        /* of the interface */
    uint8_t mac[6];        /* which DHCP answers */
};

/* Beside net.lost_out, copies that a receiver had no room for. */
struct net_switch_counters {
    uint64_t sent;     /* frames of the guest */
    uint64_t received; /* frames for it */
    uint64_t wrong;    /* datagrams that were no frame of a port */
};

/* Joins the network. Errors: as segment_join(). */
int net_switch_new(struct net **net, struct loop *loop, const struct net_switch_options *options,
                   const struct log *log, struct error *error) MUST_CHECK;
/* Of a back end that net_switch_new() made. */
struct net_switch_counters net_switch_counters(const struct net *net);

#endif
