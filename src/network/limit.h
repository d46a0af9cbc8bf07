/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits and counters of a network interface: a back end in front of another one, so that neither
 * the device nor any back end has to know of them, and every back end has them.
 *
 * Beyond the limit nothing is dropped here. Out of the guest, frames wait in its ring
 * (net_can_send()). Into the guest, the back end is told that there is no room: the user network
 * then does not read its sockets, and a tap's frames wait in the host's queue, which drops what is
 * too much. Counted are the bytes of the frames as they are in the guest's memory. Loop's thread.
 */
#ifndef HOSPES_NETWORK_LIMIT_H
#define HOSPES_NETWORK_LIMIT_H

#include <stdint.h>

#include "base/compiler.h"
#include "network/net.h"

/* Bytes a second; 0: no limit. The bursts say how many at once after a silence. */
struct net_limits {
    uint64_t in; /* into the guest */
    uint64_t in_burst;
    uint64_t out;
    uint64_t out_burst;
};

/* What went through since it was made. Frames "in" were handed to the guest's device, which leaves
 * out what comes while the guest has no driver; lost are those that the back end had and gave up:
 * no room, or nobody to take them. What the host's kernel drops at a tap nobody here sees. */
struct net_counters {
    uint64_t frames_in, bytes_in, lost_in;
    uint64_t frames_out, bytes_out, lost_out;
};

/* In front of `inner`, which becomes the new one's, also on failure. No limits at first. Returns 0
 * or -ENOMEM. */
int net_limit_new(struct net **net, struct net *inner) MUST_CHECK;
/* Of one that net_limit_new() made. From now on, for what waits too. Not from inside one of its
 * functions. */
void net_set_limits(struct net *net, const struct net_limits *limits);
/* Likewise. */
struct net_counters net_count(const struct net *net);

#endif
