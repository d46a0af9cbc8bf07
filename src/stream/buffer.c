/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "stream/stream.h"

struct buffer_stream {
    struct stream stream;
    struct deferred writable; /* tells the port that there is room again */

    struct mutex mutex;
    uint8_t *data GUARDED_BY(mutex);
    size_t bound;
    size_t used GUARDED_BY(mutex);
    bool refused GUARDED_BY(mutex); /* a write took less than it was given */
};

static struct buffer_stream *buffer_of(struct stream *stream)
{
    return container_of(stream, struct buffer_stream, stream);
}

static size_t buffer_write(struct stream *stream, const uint8_t *data, size_t length)
{
    struct buffer_stream *buffer = buffer_of(stream);

    mutex_lock(&buffer->mutex);
    if (length > buffer->bound - buffer->used) {
        length = buffer->bound - buffer->used;
        buffer->refused = true;
    }
    memcpy(buffer->data + buffer->used, data, length);
    buffer->used += length;
    mutex_unlock(&buffer->mutex);
    return length;
}

/* Who feeds the guest sees how much it took and comes again by itself. */
static void buffer_ready(struct stream *stream) {}

static void buffer_writable(void *ctx)
{
    struct buffer_stream *buffer = ctx;

    if (buffer->stream.port.writable)
        buffer->stream.port.writable(buffer->stream.port.ctx);
}

static void buffer_free(struct stream *stream)
{
    struct buffer_stream *buffer = buffer_of(stream);

    loop_unpost(buffer->stream.loop, &buffer->writable);
    mutex_lock(&buffer->mutex);
    free(buffer->data);
    mutex_unlock(&buffer->mutex);
    mutex_release(&buffer->mutex);
    free(buffer);
}

static const struct stream_type buffer_type = {
    .name = "buffer",
    .write = buffer_write,
    .ready = buffer_ready,
    .free = buffer_free,
};

int stream_buffer_new(struct stream **out, struct loop *loop, size_t bound)
{
    struct buffer_stream *buffer = calloc(1, sizeof(*buffer));
    uint8_t *data = malloc(bound ? bound : 1);

    if (!buffer || !data) {
        free(buffer);
        free(data);
        return -ENOMEM;
    }
    buffer->stream.type = &buffer_type;
    buffer->stream.loop = loop;
    deferred_init(&buffer->writable, buffer_writable, buffer);
    mutex_init(&buffer->mutex);
    buffer->bound = bound;
    mutex_lock(&buffer->mutex);
    buffer->data = data;
    mutex_unlock(&buffer->mutex);
    *out = &buffer->stream;
    return 0;
}

size_t stream_buffer_feed(struct stream *stream, const uint8_t *data, size_t length)
{
    if (!stream->port.receive)
        return 0;
    return stream->port.receive(stream->port.ctx, data, length);
}

size_t stream_buffer_take(struct stream *stream, uint8_t *data, size_t size)
{
    struct buffer_stream *buffer = buffer_of(stream);
    bool refused;

    mutex_lock(&buffer->mutex);
    if (size > buffer->used)
        size = buffer->used;
    memcpy(data, buffer->data, size);
    memmove(buffer->data, buffer->data + size, buffer->used - size);
    buffer->used -= size;
    refused = buffer->refused && size;
    if (refused)
        buffer->refused = false;
    mutex_unlock(&buffer->mutex);
    if (refused)
        loop_post(stream->loop, &buffer->writable);
    return size;
}
