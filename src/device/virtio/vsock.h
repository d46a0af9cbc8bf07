/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio socket device, virtio 1.2 section 5.10: stream sockets between programs of the guest and,
 * through a back end, of the host. This file is queues and packets; connections and their credit
 * are vsock_flow.h.
 */
#ifndef HOSPES_DEVICE_VIRTIO_VSOCK_H
#define HOSPES_DEVICE_VIRTIO_VSOCK_H

#include <stdint.h>

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "network/vsock.h"

/* What a guest's context identifier can be (5.10.4). */
#define VSOCK_CID_MIN 3u
#define VSOCK_CID_MAX 0xfffffffeu

/* Attaches itself to `vsock`, which becomes the device's, also on failure. Fills *device (over
 * MMIO; the board sets its base). Returns 0 or -ENOMEM. Loop's thread. */
int virtio_vsock_new(struct device *device, const struct virtio_setup *setup, struct vsock *vsock,
                     uint32_t guest_cid) MUST_CHECK;
/* Once the device's state was loaded, before the guest runs: its connections were not saved, and it
 * is told so (5.10.6.7). Any thread. */
void virtio_vsock_restored(struct device *device);

#endif
