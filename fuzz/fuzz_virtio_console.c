/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console against a stream that types and is resized. */
#include "base/error.h"
#include "device/virtio/console.h"
#include "virtio_fakes.h"
#include "virtio_target.h"

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    struct fake_stream *stream = ctx;

    fake_stream_init(stream, setup->loop);
    BUG_ON(virtio_console_new(device, setup, &stream->stream));
}

static void event(struct input *input, void *ctx)
{
    struct stream_port *port = &((struct fake_stream *)ctx)->stream.port;
    static const uint8_t bytes[4096];
    uint16_t what = (uint16_t)input_take(input, 2);

    if (what & 1)
        port->resize(port->ctx, what, (uint16_t)input_take(input, 2));
    else
        BUG_ON(port->receive(port->ctx, bytes, what % sizeof(bytes)) > what % sizeof(bytes));
}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake_stream stream;
    const struct target target = {.make = make, .event = event, .settle = settle, .ctx = &stream};

    target_run(&target, data, size);
    return 0;
}
