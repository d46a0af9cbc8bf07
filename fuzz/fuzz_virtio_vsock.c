/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock against programs of the host that connect, send, stall and leave. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "device/virtio/vsock.h"
#include "virtio_fakes.h"
#include "virtio_target.h"

#define GUEST_CID 3u

/* The first port that the device gives is a random one, which would make each run another. */
ssize_t getrandom(void *to, size_t length, unsigned flags)
{
    memset(to, 0, length);
    return (ssize_t)length;
}

struct context {
    struct fake_vsock *fake;
    struct device *device;
};

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    struct context *context = ctx;

    context->fake = fake_vsock_new();
    context->fake->chunk = how;
    context->device = device;
    BUG_ON(virtio_vsock_new(device, setup, &context->fake->vsock, GUEST_CID));
}

/* What a program does with a link of its. */
static void link_event(struct fake_link *link, uint8_t what)
{
    struct vsock_port *port = &link->link.vsock->port;
    uint32_t bytes = link->buffered < what ? link->buffered : what;

    switch (what % 3) {
    case 0:
        port->readable(port->ctx, &link->link);
        break;
    case 1:
        link->buffered -= bytes;
        if (bytes)
            port->drained(port->ctx, &link->link, bytes);
        break;
    case 2:
        link->buffered = 0;
        port->hung_up(port->ctx, &link->link);
        break;
    }
}

static void event(struct input *input, void *ctx)
{
    struct context *context = ctx;
    struct fake_vsock *fake = context->fake;
    uint8_t what = (uint8_t)input_take(input, 1), value = (uint8_t)input_take(input, 1);
    struct fake_link *link = &fake->links[value % 4];

    switch (what % 6) {
    case 0:
        fake_vsock_connect(fake, value);
        break;
    case 1:
    case 2:
        if (link->taken)
            link_event(link, value);
        break;
    case 3:
        fake->chunk = value;
        break;
    case 4:
        fake->end = value & 1 ? 0 : -EAGAIN;
        break;
    case 5:
        fake->deaf = value & 1;
        if (value == 0xff)
            virtio_vsock_restored(context->device);
        break;
    }
}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct context context;
    const struct target target = {.make = make, .event = event, .settle = settle, .ctx = &context};

    target_run(&target, data, size);
    return 0;
}
