/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon, whose back end is the guest's memory itself, rings included. */
#include "base/error.h"
#include "device/virtio/balloon.h"
#include "virtio_target.h"

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    BUG_ON(virtio_balloon_new(device, setup));
    *(struct virtio_balloon **)ctx = device->instance;
}

static void event(struct input *input, void *ctx)
{
    struct virtio_balloon *balloon = *(struct virtio_balloon **)ctx;
    struct virtio_balloon_facts facts;
    uint8_t what = (uint8_t)input_take(input, 1);

    virtio_balloon_get(balloon, &facts);
    BUG_ON(facts.given > facts.said || facts.given > facts.counted);
    BUG_ON(facts.statistics.present >> BALLOON_STATISTICS);
    BUG_ON(facts.statistics.present && !facts.statistics.time_ns);
    if (what & 1)
        virtio_balloon_set_target(balloon, input_take(input, 3));
    if (what & 2) {
        /* Once: the second question comes long after the end. */
        virtio_balloon_set_interval(balloon, UINT32_MAX);
        virtio_balloon_set_interval(balloon, 0);
    }
}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct virtio_balloon *balloon;
    const struct target target = {
        .make = make, .event = event, .settle = settle, .ctx = &balloon, .queues = 5};

    target_run(&target, data, size);
    return 0;
}
