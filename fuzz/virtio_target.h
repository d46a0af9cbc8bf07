/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets of virtio devices share: the input is a program for a hostile driver, whose
 * steps work the registers, write rings and memory, and let the back end act.
 */
#ifndef HOSPES_FUZZ_VIRTIO_TARGET_H
#define HOSPES_FUZZ_VIRTIO_TARGET_H

#include <stdint.h>

#include "base/loop.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "input.h"

struct target {
    /* Makes the device and its back ends. `how` is the first byte of the input. */
    void (*make)(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx);
    /* The back end does something; the input says what. */
    void (*event)(struct input *input, void *ctx);
    /* The back end gives back what it holds. */
    void (*settle)(void *ctx);
    void *ctx;
    unsigned queues;   /* at most 8; 0: two */
    uint64_t features; /* that the first driver asks for besides what the input says */
};

/* Runs the input against a new device and frees it. */
void target_run(const struct target *target, const uint8_t *data, size_t size);

#endif
