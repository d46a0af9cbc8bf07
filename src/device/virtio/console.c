/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/console.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"

/* 5.3.3 */
#define CONSOLE_F_SIZE        (1ull << 0)
#define CONSOLE_F_EMERG_WRITE (1ull << 2)

/* 5.3.2 */
#define QUEUE_RECEIVE  0u
#define QUEUE_TRANSMIT 1u

/* 5.3.4 */
#define CONFIG_COLUMNS     0u
#define CONFIG_ROWS        2u
#define CONFIG_EMERG_WRITE 8u
#define CONFIG_SIZE        12u

/* One request's bytes beyond this are dropped: no driver sends so many (Linux: 32 KiB), and one
 * request must not hold the loop's thread. */
#define REQUEST_BYTES_MAX (256u << 10)
#define TURN_BYTES_MAX    (64u << 10)

struct virtio_console {
    struct virtio_device core; /* first */
    struct stream *stream;
    struct chain received; /* both of the loop's thread */
    struct chain sent;
    bool waiting; /* the stream has bytes and the guest had no buffer; guarded by core.mutex */
};

/* ---- to the host ---- */

/* Without the lock: the stream may take its time, and guest memory is pinned. */
static uint64_t console_send(struct virtio_console *console, const struct chain *chain)
{
    uint64_t offset = 0;
    uint8_t bytes[4096];

    while (offset < REQUEST_BYTES_MAX) {
        uint64_t got = chain_read(chain, offset, bytes, sizeof(bytes));

        if (!got)
            break;
        /* What the stream has no room for is lost, as on a serial line. */
        stream_write(console->stream, bytes, got);
        offset += got;
    }
    return offset;
}

static bool console_run_transmit(struct virtio_console *console)
{
    struct virtio_device *core = &console->core;
    struct queue *queue = &core->queues[QUEUE_TRANSMIT];
    uint64_t sent = 0;
    unsigned budget = QUEUE_SIZE_MAX;

    mutex_lock(&core->mutex);
    do {
        queue_mute(queue);
        while (sent < TURN_BYTES_MAX && budget &&
               virtio_pop(core, QUEUE_TRANSMIT, &console->sent)) {
            mutex_unlock(&core->mutex);
            sent += console_send(console, &console->sent);
            budget--;
            mutex_lock(&core->mutex);
            virtio_push(core, QUEUE_TRANSMIT, &console->sent, 0);
        }
    } while (sent < TURN_BYTES_MAX && budget && virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, QUEUE_TRANSMIT);
    mutex_unlock(&core->mutex);
    return sent >= TURN_BYTES_MAX || !budget;
}

/* ---- to the guest ---- */

static size_t console_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct virtio_console *console = ctx;
    struct virtio_device *core = &console->core;
    struct queue *queue = &core->queues[QUEUE_RECEIVE];
    size_t done = 0;

    mutex_lock(&core->mutex);
    console->waiting = false;
    do {
        queue_mute(queue);
        while (done < length && virtio_pop(core, QUEUE_RECEIVE, &console->received)) {
            uint64_t put = chain_write(&console->received, 0, data + done, length - done);

            if (!put) {
                virtio_drop(core, QUEUE_RECEIVE, &console->received);
                virtio_fail(core, "receive buffer that is not writable");
                break;
            }
            virtio_push(core, QUEUE_RECEIVE, &console->received, (uint32_t)put);
            done += put;
        }
        if (done == length)
            break;
        console->waiting = true;
    } while (virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, QUEUE_RECEIVE);
    mutex_unlock(&core->mutex);
    return done;
}

static bool console_run_receive(struct virtio_console *console)
{
    bool waiting;

    mutex_lock(&console->core.mutex);
    waiting = console->waiting && virtio_running(&console->core);
    if (waiting)
        console->waiting = false;
    mutex_unlock(&console->core.mutex);
    if (waiting)
        stream_ready(console->stream);
    return false;
}

static void console_resize(void *ctx, uint16_t columns, uint16_t rows)
{
    struct virtio_console *console = ctx;
    struct virtio_device *core = &console->core;

    mutex_lock(&core->mutex);
    store_le16(core->config + CONFIG_COLUMNS, columns);
    store_le16(core->config + CONFIG_ROWS, rows);
    if (virtio_has(core, CONSOLE_F_SIZE))
        virtio_config_changed(core);
    mutex_unlock(&core->mutex);
}

/* ---- the device ---- */

static bool console_run(struct virtio_device *core, unsigned index)
{
    struct virtio_console *console = container_of(core, struct virtio_console, core);

    return index == QUEUE_TRANSMIT ? console_run_transmit(console) : console_run_receive(console);
}

/* 5.3.5: emerg_wr works at any time; its lower byte goes out. */
static void console_config_write(struct virtio_device *core, uint32_t offset, unsigned width,
                                 uint64_t value) REQUIRES(core->mutex)
{
    struct virtio_console *console = container_of(core, struct virtio_console, core);
    uint8_t byte = (uint8_t)value;

    if (offset == CONFIG_EMERG_WRITE)
        stream_write(console->stream, &byte, 1);
    else
        virtio_complain(core, "write to read-only configuration space at 0x%x", offset);
}

static const struct virtio_device_type console_type = {
    .name = "virtio-console",
    .id = 3,
    .queue_count = 2,
    .queue_size = 64,
    .config_size = CONFIG_SIZE,
    .run = console_run,
    .config_write = console_config_write,
};

static void console_free(void *ctx)
{
    struct virtio_console *console = ctx;

    virtio_stop(&console->core);
    if (console->stream)
        stream_attach(console->stream, &(struct stream_port){0});
    virtio_release(&console->core);
    free(console);
}

static const struct state_field console_fields[] = {
    VIRTIO_STATE(struct virtio_console),
    VIRTIO_QUEUE_STATE(struct virtio_console, QUEUE_RECEIVE),
    VIRTIO_QUEUE_STATE(struct virtio_console, QUEUE_TRANSMIT),
};

static const struct device_type console_mmio_type = {
    .name = "virtio-console",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = console_fields,
    .field_count = ARRAY_SIZE(console_fields),
    .reset = virtio_reset,
    .check = virtio_check,
    .resume = virtio_resume,
    .free = console_free,
};

int virtio_console_new(struct device *device, const struct virtio_setup *setup,
                       struct stream *stream)
{
    struct virtio_console *console = calloc(1, sizeof(*console));

    if (!console)
        return -ENOMEM;
    console->stream = stream;
    virtio_init(&console->core, &console_type, &virtio_mmio_transport, setup,
                CONSOLE_F_SIZE | CONSOLE_F_EMERG_WRITE);
    store_le16(console->core.config + CONFIG_COLUMNS, 80);
    store_le16(console->core.config + CONFIG_ROWS, 25);
    if (stream)
        stream_attach(stream, &(struct stream_port){.receive = console_receive,
                                                    .resize = console_resize,
                                                    .ctx = console});
    *device =
        (struct device){.type = &console_mmio_type, .instance = console, .size = VIRTIO_MMIO_SIZE};
    return 0;
}
