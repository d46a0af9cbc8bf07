/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports of virtio-serial against streams that open, close, send, and are full: control messages
 * of any kind, data queues of ports that are there and of one that is not, and a saved state that
 * comes back in the middle of it or never was.
 */
#include <string.h>

#include "base/error.h"
#include "device/virtio/serial.h"
#include "virtio_fakes.h"
#include "virtio_target.h"

#define PORTS 2u
#define SAVED 4096u

struct context {
    struct fake_stream streams[PORTS];
    struct device *device;
};

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    struct context *context = ctx;
    struct virtio_serial_port ports[PORTS];

    for (unsigned i = 0; i < PORTS; i++) {
        fake_stream_init(&context->streams[i], setup->loop);
        context->streams[i].stream.vacant = how >> i & 1;
        ports[i] = (struct virtio_serial_port){.name = i ? "b" : "org.qemu.guest_agent.0",
                                               .stream = &context->streams[i].stream,
                                               .held_open = i > 0};
    }
    context->device = device;
    BUG_ON(virtio_serial_new(device, setup, ports, how & 4 ? 1 : PORTS));
}

/* The state of the ports, as the input says; the rest is as it is. */
static void load(struct input *input, const struct device *device)
{
    const struct device_type *type = device->type;
    uint8_t old[SAVED];
    size_t at = 0;

    for (unsigned i = 0; i < type->field_count; i++) {
        const struct state_field *field = &type->fields[i];
        uint8_t *value = (uint8_t *)device->instance + field->offset;

        if (strncmp(field->name, "ports", 5))
            continue;
        memcpy(old + at, value, field->size);
        at += field->size;
        BUG_ON(at > sizeof(old));
        input_bytes(input, value, field->size);
    }
    if (!type->check(device->instance)) {
        at = 0;
        for (unsigned i = 0; i < type->field_count; i++) {
            const struct state_field *field = &type->fields[i];

            if (strncmp(field->name, "ports", 5))
                continue;
            memcpy((uint8_t *)device->instance + field->offset, old + at, field->size);
            at += field->size;
        }
        BUG_ON(!type->check(device->instance));
    }
    type->resume(device->instance);
}

static void event(struct input *input, void *ctx)
{
    struct context *context = ctx;
    static const uint8_t bytes[4096];
    uint16_t what = (uint16_t)input_take(input, 2);
    struct fake_stream *fake = &context->streams[what & 1];
    const struct stream_port *port = &fake->stream.port;

    if (!port->receive)
        return;
    switch (what >> 1 & 3) {
    case 0:
        what >>= 3;
        BUG_ON(port->receive(port->ctx, bytes, what % sizeof(bytes)) > what % sizeof(bytes));
        break;
    case 1:
        fake->stream.vacant = !fake->stream.vacant;
        port->opened(port->ctx, !fake->stream.vacant);
        break;
    case 2: /* full but for a few bytes, or empty and told so */
        fake->length = what & 8 ? FAKE_BYTES_MAX - (what >> 8) : 0;
        if (!(what & 8))
            port->writable(port->ctx);
        break;
    case 3:
        load(input, context->device);
        break;
    }
    /* Any state of a port that comes about can be saved and loaded. */
    BUG_ON(!context->device->type->check(context->device->instance));
}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct context context;
    const struct target target = {.make = make,
                                  .event = event,
                                  .settle = settle,
                                  .ctx = &context,
                                  .queues = 8,
                                  .features = 1 << 1};

    target_run(&target, data, size);
    return 0;
}
