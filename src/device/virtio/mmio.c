/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/mmio.h"

/* 4.2.2, table "MMIO Device Register Layout". */
enum {
    MAGIC_VALUE = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    QUEUE_SEL = 0x030,
    QUEUE_NUM_MAX = 0x034,
    QUEUE_NUM = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC_LOW = 0x080,
    QUEUE_DESC_HIGH = 0x084,
    QUEUE_DRIVER_LOW = 0x090,
    QUEUE_DRIVER_HIGH = 0x094,
    QUEUE_DEVICE_LOW = 0x0a0,
    QUEUE_DEVICE_HIGH = 0x0a4,
    SHM_SEL = 0x0ac,
    SHM_LEN_LOW = 0x0b0,
    SHM_BASE_HIGH = 0x0bc,
    CONFIG_GENERATION = 0x0fc,
    CONFIG = 0x100,
    /* 4.2.4: only devices of version 1 have these. */
    LEGACY_GUEST_PAGE_SIZE = 0x028,
    LEGACY_QUEUE_ALIGN = 0x03c,
    LEGACY_QUEUE_PFN = 0x040,
};

#define MAGIC 0x74726976u /* "virt" */
/* Free to choose; drivers only show it. "hosp". */
#define VENDOR 0x70736f68u

/* ---- interrupts (4.2.3.4) ---- */

static void interrupt_raise(struct virtio_device *device, uint32_t cause)
{
    uint32_t old = atomic_fetch_or(&device->interrupt_status, cause);

    if (!old)
        wire_set(&device->setup.interrupt, true);
}

static void mmio_queue_interrupt(struct virtio_device *device, unsigned index)
{
    interrupt_raise(device, VIRTIO_INTERRUPT_QUEUE);
}

static void mmio_config_interrupt(struct virtio_device *device)
{
    interrupt_raise(device, VIRTIO_INTERRUPT_CONFIG);
}

static void mmio_sync(struct virtio_device *device)
{
    wire_set(&device->setup.interrupt, atomic_load(&device->interrupt_status));
}

const struct virtio_transport virtio_mmio_transport = {
    .queue_interrupt = mmio_queue_interrupt,
    .config_interrupt = mmio_config_interrupt,
    .sync = mmio_sync,
};

static void interrupt_acknowledge(struct virtio_device *device, uint32_t causes)
{
    /* The lock keeps the wire in step with the bits. */
    mutex_lock(&device->mutex);
    if (!(atomic_fetch_and(&device->interrupt_status, ~causes) & ~causes))
        wire_set(&device->setup.interrupt, false);
    mutex_unlock(&device->mutex);
}

/* ---- registers ---- */

static struct queue *queue_selected(struct virtio_device *device) REQUIRES(device->mutex)
{
    if (device->queue_select >= device->type->queue_count)
        return NULL;
    return &device->queues[device->queue_select];
}

static uint32_t register_read_locked(struct virtio_device *device, uint32_t offset)
    REQUIRES(device->mutex)
{
    struct queue *queue = queue_selected(device);

    switch (offset) {
    case MAGIC_VALUE:
        return MAGIC;
    case VERSION:
        return 2;
    case DEVICE_ID:
        return device->type->id;
    case VENDOR_ID:
        return VENDOR;
    case DEVICE_FEATURES:
        if (device->device_features_select > 1)
            return 0;
        return (uint32_t)(device->offered >> (32 * device->device_features_select));
    case QUEUE_NUM_MAX:
        return queue ? queue->size_max : 0;
    case QUEUE_READY:
        /* 0 tells the driver that the memory is its own again. */
        return queue && (queue->ready || queue->in_flight);
    case STATUS:
        return device->status;
    case CONFIG_GENERATION:
        return device->config_generation;
    default:
        /* No shared memory regions: all ones. */
        return offset >= SHM_LEN_LOW && offset <= SHM_BASE_HIGH ? UINT32_MAX : 0;
    }
}

static uint64_t register_read(struct virtio_device *device, uint32_t offset)
{
    uint32_t value;

    if (offset == INTERRUPT_STATUS)
        return atomic_load(&device->interrupt_status);
    mutex_lock(&device->mutex);
    value = register_read_locked(device, offset);
    mutex_unlock(&device->mutex);
    return value;
}

static void half_set(uint64_t *address, bool high, uint32_t value)
{
    if (high)
        *address = (*address & 0xffffffffull) | (uint64_t)value << 32;
    else
        *address = (*address & ~0xffffffffull) | value;
}

/* What the driver says about the selected queue while it is not ready. */
static void queue_register_write(struct virtio_device *device, uint32_t offset, uint32_t value)
    REQUIRES(device->mutex)
{
    struct queue *queue = queue_selected(device);
    bool high = offset & 4;

    if (!queue || queue->ready) {
        virtio_complain(device, "write to register 0x%x of a queue that is %s", offset,
                        queue ? "ready" : "not there");
        return;
    }
    switch (offset) {
    case QUEUE_NUM:
        queue->size = value;
        break;
    case QUEUE_DESC_LOW:
    case QUEUE_DESC_HIGH:
        half_set(&queue->descriptors, high, value);
        break;
    case QUEUE_DRIVER_LOW:
    case QUEUE_DRIVER_HIGH:
        half_set(&queue->available, high, value);
        break;
    default: /* QUEUE_DEVICE_LOW, QUEUE_DEVICE_HIGH */
        half_set(&queue->used, high, value);
        break;
    }
}

static void register_write_locked(struct virtio_device *device, uint32_t offset, uint32_t value)
    REQUIRES(device->mutex)
{
    switch (offset) {
    case DEVICE_FEATURES_SEL:
        device->device_features_select = value;
        break;
    case DRIVER_FEATURES_SEL:
        device->driver_features_select = value;
        break;
    case QUEUE_SEL:
        device->queue_select = value;
        break;
    case QUEUE_NUM:
    case QUEUE_DESC_LOW:
    case QUEUE_DESC_HIGH:
    case QUEUE_DRIVER_LOW:
    case QUEUE_DRIVER_HIGH:
    case QUEUE_DEVICE_LOW:
    case QUEUE_DEVICE_HIGH:
        queue_register_write(device, offset, value);
        break;
    case SHM_SEL:
        break;
    case LEGACY_GUEST_PAGE_SIZE:
    case LEGACY_QUEUE_ALIGN:
    case LEGACY_QUEUE_PFN:
        virtio_complain(device, "write to register 0x%x of the legacy interface", offset);
        break;
    default:
        virtio_complain(device, "write to register 0x%x, which takes none", offset);
        break;
    }
}

static void register_write(struct virtio_device *device, uint32_t offset, uint32_t value)
{
    uint32_t select;

    switch (offset) {
    case QUEUE_NOTIFY:
        if (value < device->type->queue_count)
            virtio_kick(device, value);
        return;
    case INTERRUPT_ACK:
        interrupt_acknowledge(device, value);
        return;
    case STATUS:
        virtio_set_status(device, value);
        return;
    case QUEUE_READY:
        virtio_set_ready(device, value & 1);
        return;
    case DRIVER_FEATURES:
        mutex_lock(&device->mutex);
        select = device->driver_features_select;
        mutex_unlock(&device->mutex);
        virtio_set_features(device, select, value);
        return;
    default:
        mutex_lock(&device->mutex);
        register_write_locked(device, offset, value);
        mutex_unlock(&device->mutex);
        return;
    }
}

uint64_t virtio_mmio_read(void *ctx, uint64_t offset, unsigned width)
{
    struct virtio_device *device = ctx;

    if (offset >= CONFIG)
        return virtio_config_read(device, (uint32_t)(offset - CONFIG), width);
    if (width != 4)
        return 0;
    return register_read(device, (uint32_t)offset);
}

void virtio_mmio_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct virtio_device *device = ctx;

    if (offset >= CONFIG) {
        virtio_config_write(device, (uint32_t)(offset - CONFIG), width, value);
    } else if (width == 4) {
        register_write(device, (uint32_t)offset, (uint32_t)value);
    } else {
        mutex_lock(&device->mutex);
        virtio_complain(device, "write of %u bytes to a 32-bit register", width);
        mutex_unlock(&device->mutex);
    }
}
