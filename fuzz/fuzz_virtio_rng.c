/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng, whose back end is the host. */
#include "base/error.h"
#include "device/virtio/rng.h"
#include "virtio_target.h"

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    BUG_ON(virtio_rng_new(device, setup));
}

static void event(struct input *input, void *ctx) {}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct target target = {.make = make, .event = event, .settle = settle, .ctx = NULL};

    target_run(&target, data, size);
    return 0;
}
