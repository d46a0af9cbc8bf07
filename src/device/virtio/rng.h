/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio entropy device, virtio 1.2 section 5.4: random bytes from the host's getrandom().
 */
#ifndef HOSPES_DEVICE_VIRTIO_RNG_H
#define HOSPES_DEVICE_VIRTIO_RNG_H

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"

/* Fills *device (over MMIO; the board sets its base). Returns 0 or -ENOMEM. */
int virtio_rng_new(struct device *device, const struct virtio_setup *setup) MUST_CHECK;

#endif
