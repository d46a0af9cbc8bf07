/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net against a network that sends frames of every length and answers at once. */
#include "base/error.h"
#include "device/virtio/net.h"
#include "virtio_fakes.h"
#include "virtio_target.h"

struct context {
    struct fake_net *fake;
    struct device *device;
};

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    struct context *context = ctx;
    const struct virtio_net_options options = {.mac = {2}, .mtu = how & 1 ? 1500 : 0};

    context->fake = fake_net_new(setup->loop);
    context->fake->answer = how & 2;
    context->device = device;
    BUG_ON(virtio_net_new(device, setup, &context->fake->net, &options));
}

static void event(struct input *input, void *ctx)
{
    struct context *context = ctx;
    struct net *net = &context->fake->net;
    uint32_t what = (uint32_t)input_take(input, 2);

    if (what == 0xffff)
        virtio_net_set_link(context->device, input_take(input, 1) & 1);
    else
        net->port.receive(net->port.ctx, context->fake->frame, what & 1 ? what : what % 2048);
}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct context context;
    const struct target target = {.make = make, .event = event, .settle = settle, .ctx = &context};

    target_run(&target, data, size);
    return 0;
}
