/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio console device, virtio 1.2 section 5.3: port 0 over a byte stream, with the size of the
 * terminal and emergency write; no further ports.
 */
#ifndef HOSPES_DEVICE_VIRTIO_CONSOLE_H
#define HOSPES_DEVICE_VIRTIO_CONSOLE_H

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "stream/stream.h"

/* Attaches itself to the stream, which stays the caller's and outlives the device. Fills *device
 * (over MMIO; the board sets its base). Returns 0 or -ENOMEM. Loop's thread. */
int virtio_console_new(struct device *device, const struct virtio_setup *setup,
                       struct stream *stream) MUST_CHECK;

#endif
