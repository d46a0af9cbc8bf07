/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio block device, virtio 1.2 section 5.2: one request queue over an asynchronous back end.
 */
#ifndef HOSPES_DEVICE_VIRTIO_BLOCK_H
#define HOSPES_DEVICE_VIRTIO_BLOCK_H

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "storage/block.h"

/* `block` becomes the device's, also on failure; `serial` is copied, its first 20 bytes count
 * (5.2.6). Fills *device (over MMIO; the board sets its base). Returns 0 or -ENOMEM. Loop's
 * thread. */
int virtio_block_new(struct device *device, const struct virtio_setup *setup, struct block *block,
                     const char *serial) MUST_CHECK;

#endif
