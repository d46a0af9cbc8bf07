/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio over MMIO, virtio 1.2 section 4.2: the register file, version 2 only.
 *
 * Stateless: the instance behind the registers is the struct virtio_device itself, so that a
 * device's struct device_type takes VIRTIO_MMIO_IO as its io. One range of VIRTIO_MMIO_SIZE bytes
 * and one interrupt line a device. Registers take 32-bit accesses, the configuration space at
 * 0x100 takes 1, 2, 4 and 8 bytes; anything else reads as zero and is not written.
 */
#ifndef HOSPES_DEVICE_VIRTIO_MMIO_H
#define HOSPES_DEVICE_VIRTIO_MMIO_H

#include <stdint.h>

#include "device/virtio/virtio.h"

#define VIRTIO_MMIO_SIZE 0x1000u

uint64_t virtio_mmio_read(void *device, uint64_t offset, unsigned width);
void virtio_mmio_write(void *device, uint64_t offset, unsigned width, uint64_t value);

/* clang-format off */
#define VIRTIO_MMIO_IO { .widths = 1 | 2 | 4 | 8, .read = virtio_mmio_read, .write = virtio_mmio_write }
/* clang-format on */

extern const struct virtio_transport virtio_mmio_transport;

#endif
