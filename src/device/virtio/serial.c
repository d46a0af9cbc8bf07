/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be told to the driver is never queued: it follows from what a port is and what the
 * driver was told of it, so a driver that does not read its control queue costs nothing, and one
 * that reads late hears what is true then. A port's messages (5.3.6.2), in this order:
 *
 *   the driver says DEVICE_READY    -> DEVICE_ADD
 *   the driver says PORT_READY      -> PORT_NAME, and PORT_OPEN 1 if the host's end is open
 *   the host's end closes, or opens -> PORT_OPEN 0, 1; both when it did both before one was told,
 *                                      so that the guest sees that there is somebody else now
 */
#include "device/virtio/serial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"

/* 5.3.3 */
#define SERIAL_F_MULTIPORT (1ull << 1)

/* 5.3.2: two queues of port 0, the control queues, then two of each further port. */
#define QUEUE_CONTROL_RECEIVE  2u
#define QUEUE_CONTROL_TRANSMIT 3u
#define QUEUE_COUNT            (4u + 2u * VIRTIO_SERIAL_PORTS_MAX)

/* 5.3.4 */
#define CONFIG_MAX_PORTS 4u
#define CONFIG_SIZE      12u

/* struct virtio_console_control (5.3.6.2). */
#define CONTROL_ID    0u
#define CONTROL_EVENT 4u
#define CONTROL_VALUE 6u
#define CONTROL_SIZE  8u

enum control_event {
    EVENT_DEVICE_READY = 0,
    EVENT_DEVICE_ADD = 1,
    EVENT_PORT_READY = 3,
    EVENT_PORT_OPEN = 6,
    EVENT_PORT_NAME = 7,
};

#define TURN_BYTES_MAX    (64u << 10)
#define TURN_MESSAGES_MAX 64u

/* What the driver was told of a port, and what it said. */
enum port_flags {
    PORT_ADDED = 1,      /* the driver was told that it is there */
    PORT_READY = 2,      /* the driver said so, since it was told */
    PORT_NAMED = 4,      /* the driver was told the name, since it was ready */
    PORT_TOLD_OPEN = 8,  /* the driver takes the host's end for open */
    PORT_REOPENED = 16,  /* the host's end was closed since that was told */
    PORT_GUEST_OPEN = 32 /* the guest's end is open */
};
#define PORT_FLAGS 63u

struct port {
    struct virtio_serial *serial;
    unsigned number;
    char name[VIRTIO_SERIAL_NAME_MAX + 1];
    struct stream *stream; /* NULL: port 0 */

    /* Guarded by core.mutex. */
    uint8_t flags;    /* enum port_flags */
    bool held_open;   /* does not change */
    bool host_open;   /* the stream is not vacant, or held_open */
    bool waiting;     /* the stream has bytes that the guest did not take */
    uint64_t sent;    /* bytes of the chain at `sent_at` that the stream has taken already */
    uint16_t sent_at; /* place in the available ring: a queue that was made anew has others */
};

struct virtio_serial {
    struct virtio_device core; /* first */
    unsigned count;            /* of ports, without port 0 */
    bool driver_ready;         /* guarded by core.mutex */
    struct chain chain;        /* of the loop's thread */
    struct port ports[VIRTIO_SERIAL_PORTS_MAX + 1];
};

static unsigned port_queue_receive(const struct port *port)
{
    return port->number ? 2 + 2 * port->number : 0;
}

static unsigned port_queue_transmit(const struct port *port)
{
    return port_queue_receive(port) + 1;
}

/* ---- control messages to the guest ---- */

/* What is to be told of a port next. */
enum port_news { NEWS_NONE, NEWS_ADDED, NEWS_NAME, NEWS_CLOSED, NEWS_OPEN };

static enum port_news port_news(const struct port *port)
{
    if (!(port->flags & PORT_ADDED))
        return port->serial->driver_ready ? NEWS_ADDED : NEWS_NONE;
    if (!(port->flags & PORT_READY))
        return NEWS_NONE;
    if (!(port->flags & PORT_NAMED))
        return NEWS_NAME;
    if (port->flags & PORT_TOLD_OPEN)
        return port->flags & PORT_REOPENED || !port->host_open ? NEWS_CLOSED : NEWS_NONE;
    return port->host_open ? NEWS_OPEN : NEWS_NONE;
}

/* The port of which there is something to tell; NULL: none. */
static struct port *serial_port_with_news(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_serial *serial = container_of(core, struct virtio_serial, core);

    if (!virtio_has(core, SERIAL_F_MULTIPORT))
        return NULL;
    for (unsigned i = 1; i <= serial->count; i++)
        if (port_news(&serial->ports[i]) != NEWS_NONE)
            return &serial->ports[i];
    return NULL;
}

/* Writes the next message about a port, which then counts as told. Returns its length, or 0 when
 * the chain has no room for it. */
static uint32_t port_tell(struct port *port, const struct chain *chain)
{
    uint8_t bytes[CONTROL_SIZE + VIRTIO_SERIAL_NAME_MAX];
    uint32_t length = CONTROL_SIZE;
    uint16_t event = EVENT_PORT_OPEN, value = 0;

    switch (port_news(port)) {
    case NEWS_NONE:
        return 0;
    case NEWS_ADDED:
        event = EVENT_DEVICE_ADD;
        port->flags |= PORT_ADDED;
        break;
    case NEWS_NAME:
        event = EVENT_PORT_NAME;
        port->flags |= PORT_NAMED;
        length += (uint32_t)strlen(port->name);
        memcpy(bytes + CONTROL_SIZE, port->name, length - CONTROL_SIZE);
        break;
    case NEWS_CLOSED:
        port->flags &= (uint8_t) ~(PORT_TOLD_OPEN | PORT_REOPENED);
        break;
    case NEWS_OPEN:
        value = 1;
        port->flags |= PORT_TOLD_OPEN;
        break;
    }
    store_le32(bytes + CONTROL_ID, port->number);
    store_le16(bytes + CONTROL_EVENT, event);
    store_le16(bytes + CONTROL_VALUE, value);
    return chain_write(chain, 0, bytes, length) == length ? length : 0;
}

/* Tells what is due, as far as the driver has given buffers. It ends: each message brings what the
 * driver knows of a port one step further, and nobody takes it back meanwhile. */
static void serial_tell(struct virtio_serial *serial)
{
    struct virtio_device *core = &serial->core;
    struct queue *queue = &core->queues[QUEUE_CONTROL_RECEIVE];
    struct port *port;

    mutex_lock(&core->mutex);
    while ((port = serial_port_with_news(core))) {
        uint32_t length;

        queue_mute(queue);
        if (!virtio_pop(core, QUEUE_CONTROL_RECEIVE, &serial->chain)) {
            if (!virtio_running(core) || !queue_unmute(queue, 0))
                break;
            continue;
        }
        length = port_tell(port, &serial->chain);
        if (!length) {
            virtio_drop(core, QUEUE_CONTROL_RECEIVE, &serial->chain);
            virtio_fail(core, "control buffer that is too small for a message");
            break;
        }
        virtio_push(core, QUEUE_CONTROL_RECEIVE, &serial->chain, length);
    }
    virtio_notify_guest(core, QUEUE_CONTROL_RECEIVE);
    mutex_unlock(&core->mutex);
}

/* ---- control messages from the guest ---- */

/* Returns whether the port's stream is to go on. */
static bool serial_hear(struct virtio_device *core, const uint8_t message[CONTROL_SIZE])
    REQUIRES(core->mutex)
{
    struct virtio_serial *serial = container_of(core, struct virtio_serial, core);
    uint32_t id = load_le32(message + CONTROL_ID);
    uint16_t event = load_le16(message + CONTROL_EVENT);
    uint16_t value = load_le16(message + CONTROL_VALUE);
    struct port *port;

    if (event == EVENT_DEVICE_READY) {
        serial->driver_ready = value;
        return false;
    }
    if (event != EVENT_PORT_READY && event != EVENT_PORT_OPEN) {
        virtio_complain(core, "control message of unknown kind %u", event);
        return false;
    }
    if (!id || id > serial->count) {
        virtio_complain(core, "control message for port %u, which is not there", id);
        return false;
    }
    port = &serial->ports[id];
    if (event == EVENT_PORT_READY) {
        /* Whatever it was told before: who says it again wants to hear it again. And a driver that
         * knows the port from before a reset (Linux after hibernation) says nothing else. */
        port->flags &= PORT_GUEST_OPEN;
        port->flags |= PORT_ADDED | (value ? PORT_READY : 0);
        return false;
    }
    port->flags &= (uint8_t)~PORT_GUEST_OPEN;
    if (value)
        port->flags |= PORT_GUEST_OPEN;
    return value && port->waiting;
}

static bool serial_run_control(struct virtio_serial *serial)
{
    struct virtio_device *core = &serial->core;
    struct queue *queue = &core->queues[QUEUE_CONTROL_TRANSMIT];
    unsigned budget = TURN_MESSAGES_MAX, opened = 0;

    mutex_lock(&core->mutex);
    if (!virtio_has(core, SERIAL_F_MULTIPORT)) {
        mutex_unlock(&core->mutex);
        return false;
    }
    do {
        queue_mute(queue);
        while (budget && virtio_pop(core, QUEUE_CONTROL_TRANSMIT, &serial->chain)) {
            uint8_t message[CONTROL_SIZE];

            budget--;
            if (chain_read(&serial->chain, 0, message, sizeof(message)) < sizeof(message))
                virtio_complain(core, "control message of less than %u bytes", CONTROL_SIZE);
            else if (serial_hear(core, message))
                opened |= 1u << load_le32(message + CONTROL_ID);
            virtio_push(core, QUEUE_CONTROL_TRANSMIT, &serial->chain, 0);
        }
    } while (budget && virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, QUEUE_CONTROL_TRANSMIT);
    mutex_unlock(&core->mutex);
    serial_tell(serial);
    for (unsigned i = 1; i <= serial->count; i++)
        if (opened & 1u << i)
            stream_ready(serial->ports[i].stream);
    return !budget;
}

/* ---- bytes to the host ---- */

/* Writes from `offset` on, without the lock, at most `budget` bytes; returns the offset reached.
 * It is short of the end when the stream or the budget is full. */
static uint64_t port_send(const struct port *port, const struct chain *chain, uint64_t offset,
                          uint64_t budget, bool *full)
{
    uint64_t end = offset + budget;
    uint8_t bytes[4096];

    *full = false;
    while (offset < end) {
        uint64_t want = end - offset < sizeof(bytes) ? end - offset : sizeof(bytes);
        uint64_t got = chain_read(chain, offset, bytes, want);
        size_t taken = got ? stream_write(port->stream, bytes, got) : 0;

        offset += taken;
        *full = taken < got;
        if (*full || got < want)
            break;
    }
    return offset;
}

/* Puts a chain that is not all sent back to the ring: held, it would keep the driver from a reset.
 */
static void port_put_back(struct virtio_device *core, struct port *port, uint64_t offset)
    REQUIRES(core->mutex)
{
    unsigned index = port_queue_transmit(port);
    struct queue *queue = &core->queues[index];

    if (port->serial->chain.generation == queue->generation && virtio_running(core)) {
        queue_rewind(queue, 1);
        port->sent = offset;
        port->sent_at = queue->available_next;
    }
    virtio_drop(core, index, &port->serial->chain);
}

static bool port_run_transmit(struct port *port)
{
    struct virtio_serial *serial = port->serial;
    struct virtio_device *core = &serial->core;
    unsigned index = port_queue_transmit(port), budget = QUEUE_SIZE_MAX;
    struct queue *queue = &core->queues[index];
    uint64_t bytes = TURN_BYTES_MAX;
    bool full = false;

    mutex_lock(&core->mutex);
    do {
        queue_mute(queue);
        while (bytes && budget && !full && virtio_pop(core, index, &serial->chain)) {
            bool resumed = port->sent && port->sent_at == (uint16_t)(queue->available_next - 1);
            uint64_t from = resumed ? port->sent : 0, offset;

            port->sent = 0;
            mutex_unlock(&core->mutex);
            offset = port_send(port, &serial->chain, from, bytes, &full);
            mutex_lock(&core->mutex);
            budget--;
            bytes -= offset - from;
            if (offset < serial->chain.readable_bytes)
                port_put_back(core, port, offset);
            else
                virtio_push(core, index, &serial->chain, 0);
        }
    } while (bytes && budget && !full && virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, index);
    mutex_unlock(&core->mutex);
    /* When it is full, port_writable() goes on. */
    return !full && (!bytes || !budget);
}

static void port_writable(void *ctx)
{
    struct port *port = ctx;

    virtio_kick(&port->serial->core, port_queue_transmit(port));
}

/* ---- bytes to the guest ---- */

static size_t port_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct port *port = ctx;
    struct virtio_device *core = &port->serial->core;
    struct chain *chain = &port->serial->chain;
    unsigned index = port_queue_receive(port);
    struct queue *queue = &core->queues[index];
    size_t done = 0;

    mutex_lock(&core->mutex);
    port->waiting = !(port->flags & PORT_GUEST_OPEN);
    while (!port->waiting) {
        queue_mute(queue);
        while (done < length && virtio_pop(core, index, chain)) {
            uint64_t put = chain_write(chain, 0, data + done, length - done);

            if (!put) {
                virtio_drop(core, index, chain);
                virtio_fail(core, "receive buffer that is not writable");
                break;
            }
            virtio_push(core, index, chain, (uint32_t)put);
            done += put;
        }
        port->waiting = done < length && (!virtio_running(core) || !queue_unmute(queue, 0));
        if (done == length)
            break;
    }
    virtio_notify_guest(core, index);
    mutex_unlock(&core->mutex);
    return done;
}

static bool port_run_receive(struct port *port)
{
    struct virtio_device *core = &port->serial->core;
    bool go;

    mutex_lock(&core->mutex);
    go = port->waiting && port->flags & PORT_GUEST_OPEN && virtio_running(core);
    if (go)
        port->waiting = false;
    mutex_unlock(&core->mutex);
    if (go)
        stream_ready(port->stream);
    return false;
}

static void port_opened(void *ctx, bool open)
{
    struct port *port = ctx;
    struct virtio_device *core = &port->serial->core;

    if (port->held_open)
        return;
    mutex_lock(&core->mutex);
    port->host_open = open;
    if (!open && port->flags & PORT_TOLD_OPEN)
        port->flags |= PORT_REOPENED;
    mutex_unlock(&core->mutex);
    serial_tell(port->serial);
}

/* ---- the device ---- */

static bool serial_run(struct virtio_device *core, unsigned index)
{
    struct virtio_serial *serial = container_of(core, struct virtio_serial, core);
    unsigned number = index < QUEUE_CONTROL_RECEIVE ? 0 : index / 2 - 1;
    bool multiport;

    if (index == QUEUE_CONTROL_RECEIVE) {
        serial_tell(serial);
        return false;
    }
    if (index == QUEUE_CONTROL_TRANSMIT)
        return serial_run_control(serial);
    mutex_lock(&core->mutex);
    multiport = virtio_has(core, SERIAL_F_MULTIPORT);
    mutex_unlock(&core->mutex);
    /* The queues of ports that are not there are there. */
    if (number && (!multiport || number > serial->count))
        return false;
    if (index & 1)
        return port_run_transmit(&serial->ports[number]);
    return number && port_run_receive(&serial->ports[number]);
}

static void serial_reset(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_serial *serial = container_of(core, struct virtio_serial, core);

    serial->driver_ready = false;
    for (unsigned i = 0; i <= serial->count; i++) {
        serial->ports[i].flags = 0;
        serial->ports[i].sent = 0;
    }
}

static const struct virtio_device_type serial_type = {
    .name = "virtio-serial",
    .id = 3,
    .queue_count = QUEUE_COUNT,
    .queue_size = 64,
    .config_size = CONFIG_SIZE,
    .run = serial_run,
    .reset = serial_reset,
};

static void serial_free(void *ctx)
{
    struct virtio_serial *serial = ctx;

    virtio_stop(&serial->core);
    for (unsigned i = 1; i <= serial->count; i++)
        if (serial->ports[i].stream)
            stream_attach(serial->ports[i].stream, &(struct stream_port){0});
    virtio_release(&serial->core);
    free(serial);
}

/* Flags that no driver and no host can bring about: each needs the one before it. */
static bool port_check(const struct port *port)
{
    return !(port->flags & ~PORT_FLAGS) &&
           (port->flags & PORT_ADDED || !(port->flags & PORT_READY)) &&
           (port->flags & PORT_READY ||
            !(port->flags & (PORT_NAMED | PORT_TOLD_OPEN | PORT_REOPENED))) &&
           (port->flags & PORT_TOLD_OPEN || !(port->flags & PORT_REOPENED));
}

static bool serial_check(const void *ctx)
{
    const struct virtio_serial *serial = ctx;

    for (unsigned i = 0; i <= VIRTIO_SERIAL_PORTS_MAX; i++)
        if (!port_check(&serial->ports[i]))
            return false;
    return virtio_check(ctx);
}

/* clang-format off */
#define PORT_STATE(n)                                            \
    STATE_FIELD(struct virtio_serial, ports[n].flags, 1),        \
    STATE_FIELD(struct virtio_serial, ports[n].sent, 1),         \
    STATE_FIELD(struct virtio_serial, ports[n].sent_at, 1)
/* clang-format on */

static const struct state_field serial_fields[] = {
    VIRTIO_STATE(struct virtio_serial),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 0),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 1),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 2),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 3),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 4),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 5),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 6),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 7),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 8),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 9),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 10),
    VIRTIO_QUEUE_STATE(struct virtio_serial, 11),
    STATE_FIELD(struct virtio_serial, driver_ready, 1),
    PORT_STATE(0),
    PORT_STATE(1),
    PORT_STATE(2),
    PORT_STATE(3),
    PORT_STATE(4),
};

static const struct device_type serial_mmio_type = {
    .name = "virtio-serial",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = serial_fields,
    .field_count = ARRAY_SIZE(serial_fields),
    .reset = virtio_reset,
    .check = serial_check,
    .resume = virtio_resume,
    .free = serial_free,
};

static void port_init(struct port *port, struct virtio_serial *serial, unsigned number,
                      const struct virtio_serial_port *from)
{
    port->serial = serial;
    port->number = number;
    snprintf(port->name, sizeof(port->name), "%s", from->name);
    port->stream = from->stream;
    port->held_open = from->held_open;
    port->host_open = from->held_open || (from->stream && !from->stream->vacant);
    if (from->stream)
        stream_attach(from->stream, &(struct stream_port){.receive = port_receive,
                                                          .writable = port_writable,
                                                          .opened = port_opened,
                                                          .ctx = port});
}

int virtio_serial_new(struct device *device, const struct virtio_setup *setup,
                      const struct virtio_serial_port *ports, unsigned count)
{
    struct virtio_serial *serial = calloc(1, sizeof(*serial));

    BUG_ON(!count || count > VIRTIO_SERIAL_PORTS_MAX);
    if (!serial)
        return -ENOMEM;
    serial->count = count;
    virtio_init(&serial->core, &serial_type, &virtio_mmio_transport, setup, SERIAL_F_MULTIPORT);
    store_le32(serial->core.config + CONFIG_MAX_PORTS, count + 1);
    serial->ports[0].serial = serial;
    for (unsigned i = 0; i < count; i++)
        port_init(&serial->ports[i + 1], serial, i + 1, &ports[i]);
    *device =
        (struct device){.type = &serial_mmio_type, .instance = serial, .size = VIRTIO_MMIO_SIZE};
    return 0;
}

bool virtio_serial_is_open(struct device *device, unsigned number)
{
    struct virtio_serial *serial = device->instance;
    bool open;

    if (number > serial->count)
        return false;
    mutex_lock(&serial->core.mutex);
    open = serial->ports[number].flags & PORT_GUEST_OPEN;
    mutex_unlock(&serial->core.mutex);
    return open;
}
