/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/virtio.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"

#define CORE_FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

/* The bits that a driver sets (2.1). */
#define DRIVER_STATUS                                                                              \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK |                  \
     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

#define COMPLAINTS_WINDOW_NS 10000000000ull
#define COMPLAINTS_MAX       8u

/* How long a vCPU waits for requests in flight after it asked for a reset. Drivers over MMIO, Linux
 * among them, do not poll the status, so the write itself should complete the reset; but a request
 * may be held for as long as the host's disk is full, and a vCPU must stay stoppable. After this
 * the status stays non-zero until the reset is complete. */
#define RESET_WAIT_NS 2000000000ull

/* ---- words ---- */

static void complain(struct virtio_device *device, const char *text) REQUIRES(device->mutex)
{
    struct virtio_complaints *complaints = &device->complaints;
    uint64_t now = monotonic_ns();

    if (!complaints->window_ns || now - complaints->window_ns > COMPLAINTS_WINDOW_NS) {
        if (complaints->dropped)
            log_say(device->setup.log, LOG_GUEST, "%s: %u more messages dropped", device->name,
                    complaints->dropped);
        *complaints = (struct virtio_complaints){.window_ns = now};
    }
    if (complaints->said == COMPLAINTS_MAX) {
        complaints->dropped++;
        return;
    }
    complaints->said++;
    log_say(device->setup.log, LOG_GUEST, "%s: %s", device->name, text);
}

void virtio_complain(struct virtio_device *device, const char *format, ...)
{
    char text[200];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    complain(device, text);
}

void virtio_fail(struct virtio_device *device, const char *reason)
{
    /* A reset under way mends it, and must not be followed by an interrupt (2.4.1). */
    if (device->status & VIRTIO_STATUS_NEEDS_RESET || device->resetting)
        return;
    virtio_complain(device, "the driver broke a rule: %s; the device needs a reset", reason);
    device->status |= VIRTIO_STATUS_NEEDS_RESET;
    if (device->status & VIRTIO_STATUS_DRIVER_OK)
        device->transport->config_interrupt(device);
}

void virtio_config_changed(struct virtio_device *device)
{
    device->config_generation++;
    if (device->status & VIRTIO_STATUS_DRIVER_OK && !device->resetting)
        device->transport->config_interrupt(device);
}

/* ---- running queues ---- */

static void virtio_work(void *ctx)
{
    struct virtio_device *device = ctx;
    uint32_t kicked = atomic_exchange(&device->kicked, 0);

    while (kicked) {
        unsigned index = (unsigned)__builtin_ctz(kicked);

        kicked &= kicked - 1;
        if (device->type->run(device, index))
            virtio_kick(device, index);
    }
}

void virtio_kick(struct virtio_device *device, unsigned index)
{
    /* The first bit posts; virtio_work() takes all bits before it looks at any ring. */
    if (!atomic_fetch_or(&device->kicked, 1u << index))
        loop_post(device->setup.loop, &device->work);
}

bool virtio_running(const struct virtio_device *device)
{
    return (device->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) ==
               VIRTIO_STATUS_DRIVER_OK &&
           !device->resetting;
}

bool virtio_has(const struct virtio_device *device, uint64_t feature)
{
    return device->status & VIRTIO_STATUS_FEATURES_OK && (device->features & feature) == feature;
}

static int virtio_attach(struct virtio_device *device, struct queue *queue) REQUIRES(device->mutex)
{
    int r = queue_attach(queue, virtio_has(device, VIRTIO_F_EVENT_IDX),
                         virtio_has(device, VIRTIO_F_INDIRECT_DESC));

    if (r)
        virtio_fail(device, queue->error);
    return r;
}

bool virtio_pop(struct virtio_device *device, unsigned index, struct chain *chain)
{
    struct queue *queue = &device->queues[index];
    int r;

    if (!virtio_running(device) || !queue->ready)
        return false;
    /* Ready and not attached: the state was loaded. */
    if (unlikely(!queue->attached) && virtio_attach(device, queue))
        return false;
    r = queue_pop(queue, chain);
    if (r < 0)
        virtio_fail(device, queue->error);
    return r > 0;
}

static unsigned virtio_in_flight(const struct virtio_device *device) REQUIRES(device->mutex)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < device->type->queue_count; i++)
        sum += device->queues[i].in_flight;
    return sum;
}

/* V2: the one place where a reset becomes complete. */
static void virtio_settle(struct virtio_device *device) REQUIRES(device->mutex)
{
    if (device->resetting && !virtio_in_flight(device)) {
        device->resetting = false;
        device->status = 0;
    }
    condition_broadcast(&device->drained);
}

void virtio_drop(struct virtio_device *device, unsigned index, struct chain *chain)
{
    queue_drop(&device->queues[index], chain);
    virtio_settle(device);
}

void virtio_push(struct virtio_device *device, unsigned index, struct chain *chain,
                 uint32_t written)
{
    struct queue *queue = &device->queues[index];

    if (unlikely(chain->generation != queue->generation || !virtio_running(device)))
        virtio_drop(device, index, chain);
    else
        queue_push(queue, chain, written);
}

void virtio_notify_guest(struct virtio_device *device, unsigned index)
{
    if (virtio_running(device) && queue_notify_guest(&device->queues[index]))
        device->transport->queue_interrupt(device, index);
}

/* ---- reset ---- */

/* Waits until `queue` (NULL: every queue) has no chain in flight. The loop's thread brings chains
 * back, so it cannot wait for them. */
static void virtio_wait(struct virtio_device *device, const struct queue *queue)
    REQUIRES(device->mutex)
{
    uint64_t deadline = monotonic_ns() + RESET_WAIT_NS;

    if (loop_is_current(device->setup.loop))
        return;
    while (queue ? queue->in_flight : virtio_in_flight(device))
        if (condition_wait_until(&device->drained, &device->mutex, deadline))
            return;
}

static void virtio_reset_begin(struct virtio_device *device) REQUIRES(device->mutex)
{
    for (unsigned i = 0; i < device->type->queue_count; i++)
        queue_reset(&device->queues[i]);
    device->features = 0;
    device->device_features_select = 0;
    device->driver_features_select = 0;
    device->queue_select = 0;
    atomic_store(&device->interrupt_status, 0);
    device->transport->sync(device);
    if (device->type->reset)
        device->type->reset(device);
    device->resetting = true;
    virtio_settle(device);
}

void virtio_reset(void *ctx)
{
    struct virtio_device *device = ctx;

    mutex_lock(&device->mutex);
    virtio_reset_begin(device);
    virtio_wait(device, NULL);
    mutex_unlock(&device->mutex);
}

bool virtio_is_idle(void *ctx)
{
    struct virtio_device *device = ctx;
    bool idle;

    mutex_lock(&device->mutex);
    idle = !virtio_in_flight(device);
    mutex_unlock(&device->mutex);
    return idle;
}

void virtio_resume(void *ctx)
{
    struct virtio_device *device = ctx;

    mutex_lock(&device->mutex);
    device->transport->sync(device);
    mutex_unlock(&device->mutex);
    for (unsigned i = 0; i < device->type->queue_count; i++)
        virtio_kick(device, i);
}

/* ---- the driver's side ---- */

/* 2.2.2, and section 6: without VIRTIO_F_VERSION_1 it is a driver of the legacy interface. */
static bool virtio_accepts(struct virtio_device *device) REQUIRES(device->mutex)
{
    if (device->features & ~device->offered) {
        virtio_complain(device, "the driver accepted features that were not offered: 0x%llx",
                        (unsigned long long)(device->features & ~device->offered));
        return false;
    }
    if (!(device->features & VIRTIO_F_VERSION_1)) {
        virtio_complain(device, "the driver is a legacy one, which is not served");
        return false;
    }
    return !device->type->accept || device->type->accept(device, device->features);
}

void virtio_set_status(struct virtio_device *device, uint32_t value)
{
    uint32_t added;

    mutex_lock(&device->mutex);
    if (!value) {
        virtio_reset_begin(device);
        virtio_wait(device, NULL);
        mutex_unlock(&device->mutex);
        return;
    }
    /* A driver that goes on before the reset is complete did not look. */
    if (device->resetting) {
        virtio_complain(device, "the driver did not wait for the end of its reset");
        mutex_unlock(&device->mutex);
        return;
    }
    if (device->status & DRIVER_STATUS & ~value)
        virtio_complain(device, "the driver cleared status bits");
    added = value & DRIVER_STATUS & ~device->status;
    if (added & VIRTIO_STATUS_FEATURES_OK && !virtio_accepts(device))
        added &= ~(uint32_t)VIRTIO_STATUS_FEATURES_OK;
    if (added & VIRTIO_STATUS_DRIVER_OK &&
        !((device->status | added) & VIRTIO_STATUS_FEATURES_OK)) {
        virtio_fail(device, "DRIVER_OK before FEATURES_OK");
        added &= ~(uint32_t)VIRTIO_STATUS_DRIVER_OK;
    }
    device->status |= added;
    if (added & VIRTIO_STATUS_DRIVER_OK) {
        if (device->type->activate)
            device->type->activate(device);
        /* What the driver put into the rings before this, without a notification. */
        for (unsigned i = 0; i < device->type->queue_count; i++)
            virtio_kick(device, i);
    }
    mutex_unlock(&device->mutex);
}

void virtio_set_features(struct virtio_device *device, uint32_t select, uint32_t value)
{
    mutex_lock(&device->mutex);
    if (device->status & VIRTIO_STATUS_FEATURES_OK)
        virtio_complain(device, "the driver changed features after FEATURES_OK");
    else if (select == 0)
        device->features = (device->features & ~0xffffffffull) | value;
    else if (select == 1)
        device->features = (device->features & 0xffffffffull) | (uint64_t)value << 32;
    else if (value)
        virtio_complain(device, "the driver accepted a feature beyond bit 63");
    mutex_unlock(&device->mutex);
}

void virtio_set_ready(struct virtio_device *device, bool ready)
{
    struct queue *queue;

    mutex_lock(&device->mutex);
    if (device->queue_select >= device->type->queue_count || device->resetting) {
        mutex_unlock(&device->mutex);
        return;
    }
    queue = &device->queues[device->queue_select];
    if (!ready && queue->ready) {
        queue_reset(queue);
        virtio_wait(device, queue);
    } else if (ready && !queue->ready) {
        if (!(device->status & VIRTIO_STATUS_FEATURES_OK))
            virtio_fail(device, "queue made ready before FEATURES_OK");
        else if (!virtio_attach(device, queue))
            queue->ready = true;
    }
    mutex_unlock(&device->mutex);
}

uint64_t virtio_config_read(struct virtio_device *device, uint32_t offset, unsigned width)
{
    uint8_t raw[8] = {0};

    if (offset >= device->type->config_size || width > device->type->config_size - offset)
        return 0;
    mutex_lock(&device->mutex);
    memcpy(raw, device->config + offset, width);
    mutex_unlock(&device->mutex);
    return load_le64(raw);
}

void virtio_config_write(struct virtio_device *device, uint32_t offset, unsigned width,
                         uint64_t value)
{
    mutex_lock(&device->mutex);
    if (!device->type->config_write || offset >= device->type->config_size ||
        width > device->type->config_size - offset)
        virtio_complain(device, "write to read-only configuration space at 0x%x", offset);
    else
        device->type->config_write(device, offset, width, value);
    mutex_unlock(&device->mutex);
}

/* ---- life ---- */

void virtio_init(struct virtio_device *device, const struct virtio_device_type *type,
                 const struct virtio_transport *transport, const struct virtio_setup *setup,
                 uint64_t offered)
{
    BUG_ON(type->queue_count > VIRTIO_QUEUES_MAX || type->config_size > VIRTIO_CONFIG_MAX);
    BUG_ON(!is_power_of_two(type->queue_size) || type->queue_size > QUEUE_SIZE_MAX);
    device->type = type;
    device->transport = transport;
    device->setup = *setup;
    snprintf(device->name, sizeof(device->name), "%s", setup->name);
    device->setup.name = device->name;
    device->offered = offered | CORE_FEATURES;
    mutex_init(&device->mutex);
    condition_init(&device->drained);
    deferred_init(&device->work, virtio_work, device);
    for (unsigned i = 0; i < type->queue_count; i++)
        queue_init(&device->queues[i], setup->as, type->queue_size);
}

void virtio_stop(struct virtio_device *device)
{
    mutex_lock(&device->mutex);
    virtio_reset_begin(device);
    mutex_unlock(&device->mutex);
    loop_unpost(device->setup.loop, &device->work);
}

void virtio_release(struct virtio_device *device)
{
    condition_release(&device->drained);
    mutex_release(&device->mutex);
}

bool virtio_check(const void *ctx) NO_THREAD_SAFETY
{
    const struct virtio_device *device = ctx;
    bool negotiated = device->status & VIRTIO_STATUS_FEATURES_OK;

    if (device->status & ~(uint32_t)(DRIVER_STATUS | VIRTIO_STATUS_NEEDS_RESET))
        return false;
    if (device->status & VIRTIO_STATUS_DRIVER_OK && !negotiated)
        return false;
    if (negotiated &&
        (device->features & ~device->offered || !(device->features & VIRTIO_F_VERSION_1)))
        return false;
    if (device->interrupt_status & ~(VIRTIO_INTERRUPT_QUEUE | VIRTIO_INTERRUPT_CONFIG))
        return false;
    for (unsigned i = 0; i < device->type->queue_count; i++) {
        const struct queue *queue = &device->queues[i];

        if (queue->ready &&
            (!negotiated || !is_power_of_two(queue->size) || queue->size > queue->size_max))
            return false;
    }
    return true;
}
