/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_driver.h"

#include <stdio.h>
#include <string.h>

#include "base/bits.h"

static void line_set(void *ctx, unsigned number, bool level)
{
    struct driver *driver = ctx;

    if (level && !atomic_exchange(&driver->line, true))
        atomic_fetch_add(&driver->edges, 1);
    if (!level)
        atomic_store(&driver->line, false);
}

static void log_sink(void *ctx, enum log_level level, const char *text)
{
    struct driver *driver = ctx;

    if (level != LOG_GUEST)
        return;
    snprintf(driver->last, sizeof(driver->last), "%s", text);
    atomic_fetch_add(&driver->logged, 1);
}

void driver_init(struct driver *driver)
{
    memset(driver, 0, sizeof(*driver));
    assert_int_equal(address_space_new(&driver->as), 0);
    assert_int_equal(memory_add_ram(driver->as, "ram", DRIVER_RAM, DRIVER_RAM_SIZE, true, NULL), 0);
    assert_int_equal(memory_add_ram(driver->as, "ram2", DRIVER_RAM + DRIVER_RAM_SIZE, PAGE_SIZE,
                                    true, NULL),
                     0);
    assert_int_equal(memory_add_ram(driver->as, "rom", DRIVER_ROM, PAGE_SIZE, false, NULL), 0);
    assert_int_equal(loop_new(&driver->loop), 0);
    driver->next = DRIVER_RAM;
    driver->log = (struct log){.sink = log_sink, .ctx = driver};
}

struct virtio_setup driver_setup(struct driver *driver)
{
    return (struct virtio_setup){
        .as = driver->as,
        .loop = driver->loop,
        .log = &driver->log,
        .interrupt = {.set = line_set, .ctx = driver},
        .name = "test0",
    };
}

void driver_attach(struct driver *driver)
{
    assert_int_equal(driver->device.size, 0x1000);
    assert_int_equal(memory_add_io(driver->as, "virtio", DRIVER_DEVICE, driver->device.size,
                                   &driver->device.type->io, driver->device.instance, NULL),
                     0);
    driver->range = memory_find(driver->as, DRIVER_DEVICE);
}

void driver_release(struct driver *driver)
{
    if (driver->device.type)
        driver->device.type->free(driver->device.instance);
    loop_free(driver->loop);
    address_space_free(driver->as);
}

gpa driver_alloc(struct driver *driver, uint64_t size)
{
    gpa at = driver->next;

    driver->next += round_up(size, 16);
    assert_true(driver->next <= DRIVER_RAM + DRIVER_RAM_SIZE);
    return at;
}

void driver_put(struct driver *driver, gpa addr, const void *data, uint64_t len)
{
    assert_int_equal(memory_write(driver->as, addr, data, len), 0);
}

void driver_get(struct driver *driver, gpa addr, void *data, uint64_t len)
{
    assert_int_equal(memory_read(driver->as, addr, data, len), 0);
}

void driver_put16(struct driver *driver, gpa addr, uint16_t value)
{
    uint8_t raw[2];

    store_le16(raw, value);
    driver_put(driver, addr, raw, sizeof(raw));
}

uint16_t driver_get16(struct driver *driver, gpa addr)
{
    uint8_t raw[2];

    driver_get(driver, addr, raw, sizeof(raw));
    return load_le16(raw);
}

uint64_t driver_read(struct driver *driver, unsigned reg, unsigned width)
{
    uint64_t value;

    assert_int_equal(memory_io_read(driver->range, DRIVER_DEVICE + reg, width, &value), 0);
    return value;
}

void driver_write(struct driver *driver, unsigned reg, unsigned width, uint64_t value)
{
    assert_int_equal(memory_io_write(driver->range, DRIVER_DEVICE + reg, width, value), 0);
}

uint32_t driver_read32(struct driver *driver, unsigned reg)
{
    return (uint32_t)driver_read(driver, reg, 4);
}

void driver_write32(struct driver *driver, unsigned reg, uint32_t value)
{
    driver_write(driver, reg, 4, value);
}

static void status_add(struct driver *driver, uint32_t bits)
{
    driver_write32(driver, REG_STATUS, driver_read32(driver, REG_STATUS) | bits);
}

bool driver_negotiate(struct driver *driver, uint64_t features)
{
    features |= VIRTIO_F_VERSION_1;
    driver_write32(driver, REG_STATUS, 0);
    if (driver_read32(driver, REG_STATUS))
        return false;
    memset(driver->queues, 0, sizeof(driver->queues));
    status_add(driver, VIRTIO_STATUS_ACKNOWLEDGE);
    status_add(driver, VIRTIO_STATUS_DRIVER);
    for (uint32_t i = 0; i < 2; i++) {
        driver_write32(driver, REG_DRIVER_FEATURES_SEL, i);
        driver_write32(driver, REG_DRIVER_FEATURES, (uint32_t)(features >> (32 * i)));
    }
    status_add(driver, VIRTIO_STATUS_FEATURES_OK);
    driver->features = features;
    return driver_read32(driver, REG_STATUS) & VIRTIO_STATUS_FEATURES_OK;
}

static void write_address(struct driver *driver, unsigned low, gpa addr)
{
    driver_write32(driver, low, (uint32_t)addr);
    driver_write32(driver, low + 4, (uint32_t)(addr >> 32));
}

void driver_queue_place(struct driver *driver, unsigned index, unsigned size)
{
    struct driver_queue *queue = &driver->queues[index];

    *queue = (struct driver_queue){.size = size};
    queue->descriptors = driver_alloc(driver, 16ull * size);
    queue->available = driver_alloc(driver, 6 + 2ull * size);
    queue->used = driver_alloc(driver, 6 + 8ull * size);
    driver_write32(driver, REG_QUEUE_SEL, index);
    driver_write32(driver, REG_QUEUE_NUM, size);
    write_address(driver, REG_QUEUE_DESC_LOW, queue->descriptors);
    write_address(driver, REG_QUEUE_DRIVER_LOW, queue->available);
    write_address(driver, REG_QUEUE_DEVICE_LOW, queue->used);
}

void driver_queue_setup(struct driver *driver, unsigned index, unsigned size)
{
    driver_queue_place(driver, index, size);
    driver_write32(driver, REG_QUEUE_READY, 1);
}

void driver_ok(struct driver *driver)
{
    status_add(driver, VIRTIO_STATUS_DRIVER_OK);
}

void driver_start(struct driver *driver, uint64_t features, unsigned queues, unsigned size)
{
    assert_true(driver_negotiate(driver, features));
    for (unsigned i = 0; i < queues; i++) {
        driver_queue_setup(driver, i, size);
        assert_int_equal(driver_read32(driver, REG_QUEUE_READY), 1);
    }
    driver_ok(driver);
    driver_turn(driver);
    assert_int_equal(driver_read32(driver, REG_STATUS), 15);
}

void driver_descriptor(struct driver *driver, gpa table, unsigned index, gpa addr, uint32_t len,
                       uint16_t flags, uint16_t next)
{
    uint8_t raw[16];

    store_le64(raw, addr);
    store_le32(raw + 8, len);
    store_le16(raw + 12, flags);
    store_le16(raw + 14, next);
    driver_put(driver, table + 16ull * index, raw, sizeof(raw));
}

void driver_offer(struct driver *driver, unsigned index, uint16_t head)
{
    struct driver_queue *queue = &driver->queues[index];

    driver_put16(driver, queue->available + 4 + 2ull * (queue->available_index % queue->size),
                 head);
    queue->available_index++;
    driver_put16(driver, queue->available + 2, queue->available_index);
}

uint16_t driver_add(struct driver *driver, unsigned index, const struct buffer *buffers,
                    unsigned count)
{
    struct driver_queue *queue = &driver->queues[index];
    uint16_t head = queue->free;

    for (unsigned i = 0; i < count; i++) {
        uint16_t next = (uint16_t)((queue->free + 1) % queue->size);

        driver_descriptor(driver, queue->descriptors, queue->free, buffers[i].addr, buffers[i].len,
                          (i + 1 < count ? DESC_NEXT : 0) | (buffers[i].write ? DESC_WRITE : 0),
                          next);
        queue->free = next;
    }
    driver_offer(driver, index, head);
    return head;
}

uint16_t driver_add_indirect(struct driver *driver, unsigned index, const struct buffer *buffers,
                             unsigned count)
{
    struct driver_queue *queue = &driver->queues[index];
    gpa table = driver_alloc(driver, 16ull * count);
    uint16_t head = queue->free;

    for (unsigned i = 0; i < count; i++)
        driver_descriptor(driver, table, i, buffers[i].addr, buffers[i].len,
                          (i + 1 < count ? DESC_NEXT : 0) | (buffers[i].write ? DESC_WRITE : 0),
                          (uint16_t)(i + 1));
    driver_descriptor(driver, queue->descriptors, head, table, 16 * count, DESC_INDIRECT, 0);
    queue->free = (uint16_t)((queue->free + 1) % queue->size);
    driver_offer(driver, index, head);
    return head;
}

bool driver_must_notify(struct driver *driver, unsigned index, uint16_t old)
{
    struct driver_queue *queue = &driver->queues[index];
    uint16_t event;

    if (!(driver->features & VIRTIO_F_EVENT_IDX))
        return !(driver_get16(driver, queue->used) & 1);
    event = driver_get16(driver, queue->used + 4 + 8ull * queue->size);
    return (uint16_t)(queue->available_index - event - 1) <
           (uint16_t)(queue->available_index - old);
}

void driver_notify(struct driver *driver, unsigned index)
{
    driver_write32(driver, REG_QUEUE_NOTIFY, index);
}

static void stop(void *ctx)
{
    loop_stop(ctx, 0);
}

void driver_turn(struct driver *driver)
{
    struct deferred end;

    deferred_init(&end, stop, driver->loop);
    /* A queue with more than a turn's work posts itself again. */
    for (unsigned i = 0; i < 16; i++) {
        loop_post(driver->loop, &end);
        loop_run(driver->loop);
    }
}

void driver_kick(struct driver *driver, unsigned index)
{
    driver_notify(driver, index);
    driver_turn(driver);
}

bool driver_used(struct driver *driver, unsigned index, uint32_t *head, uint32_t *len)
{
    struct driver_queue *queue = &driver->queues[index];
    uint8_t raw[8];

    if (driver_get16(driver, queue->used + 2) == queue->used_index)
        return false;
    driver_get(driver, queue->used + 4 + 8ull * (queue->used_index % queue->size), raw,
               sizeof(raw));
    *head = load_le32(raw);
    *len = load_le32(raw + 4);
    queue->used_index++;
    return true;
}

bool driver_needs_reset(struct driver *driver)
{
    return driver_read32(driver, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET;
}
