/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio network device, virtio 1.2 section 5.1: one pair of queues, mergeable receive buffers, no
 * offloads (the back ends carry whole frames and know no checksums).
 */
#ifndef HOSPES_DEVICE_VIRTIO_NET_H
#define HOSPES_DEVICE_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "network/net.h"

struct virtio_net_options {
    uint8_t mac[6];
    uint16_t mtu; /* told to the driver; at least 68 (5.1.4.1), or 0 for none */
};

/* Attaches itself to `net`, which becomes the device's, also on failure. Fills *device (over MMIO;
 * the board sets its base). Returns 0 or -ENOMEM. Loop's thread. */
int virtio_net_new(struct device *device, const struct virtio_setup *setup, struct net *net,
                   const struct virtio_net_options *options) MUST_CHECK;
/* Plugs the cable in or out; it is in at first. Any thread. */
void virtio_net_set_link(struct device *device, bool up);

#endif
