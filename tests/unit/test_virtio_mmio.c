/* SPDX-License-Identifier: Apache-2.0 */
/* The transport and the core: registers, negotiation, status, interrupts, on a device of the test's
 * own with two queues and eight bytes of configuration. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"
#include "virtio_driver.h"

#define FEATURE_A (1ull << 0)
#define FEATURE_B (1ull << 40)

/* Echoes nothing: gives each chain back at once with its writable length. */
struct sink {
    struct virtio_device core;
    struct chain chain;
    unsigned resets;
    unsigned activations;
    unsigned runs;
    unsigned budget; /* chains a turn */
};

static bool sink_run(struct virtio_device *core, unsigned index)
{
    struct sink *sink = container_of(core, struct sink, core);
    unsigned left = sink->budget;

    mutex_lock(&core->mutex);
    sink->runs++;
    do {
        queue_mute(&core->queues[index]);
        while (left && virtio_pop(core, index, &sink->chain)) {
            left--;
            virtio_push(core, index, &sink->chain, (uint32_t)sink->chain.writable_bytes);
        }
    } while (left && virtio_running(core) && queue_unmute(&core->queues[index], 0));
    virtio_notify_guest(core, index);
    mutex_unlock(&core->mutex);
    return !left;
}

static void sink_reset(struct virtio_device *core)
{
    container_of(core, struct sink, core)->resets++;
}

static void sink_activate(struct virtio_device *core)
{
    container_of(core, struct sink, core)->activations++;
}

static bool sink_accept(struct virtio_device *core, uint64_t features)
{
    return !(features & FEATURE_B) || features & FEATURE_A;
}

static void sink_config_write(struct virtio_device *core, uint32_t offset, unsigned width,
                              uint64_t value)
{
    uint8_t raw[8];

    store_le64(raw, value);
    memcpy(core->config + offset, raw, width);
}

static void sink_free(void *ctx)
{
    struct sink *sink = ctx;

    virtio_stop(&sink->core);
    virtio_release(&sink->core);
    free(sink);
}

static const struct virtio_device_type sink_type = {
    .name = "sink",
    .id = 42,
    .queue_count = 2,
    .queue_size = 16,
    .config_size = 8,
    .run = sink_run,
    .accept = sink_accept,
    .activate = sink_activate,
    .reset = sink_reset,
    .config_write = sink_config_write,
};

static const struct device_type sink_mmio_type = {
    .name = "sink",
    .io = VIRTIO_MMIO_IO,
    .reset = virtio_reset,
    .check = virtio_check,
    .resume = virtio_resume,
    .free = sink_free,
};

static struct sink *sink_of(struct driver *driver)
{
    return driver->device.instance;
}

static int setup(void **state)
{
    struct driver *driver = calloc(1, sizeof(*driver));
    struct sink *sink = calloc(1, sizeof(*sink));
    struct virtio_setup s;

    assert_non_null(driver);
    assert_non_null(sink);
    driver_init(driver);
    s = driver_setup(driver);
    virtio_init(&sink->core, &sink_type, &virtio_mmio_transport, &s, FEATURE_A | FEATURE_B);
    sink->budget = 64;
    driver->device =
        (struct device){.type = &sink_mmio_type, .instance = sink, .size = VIRTIO_MMIO_SIZE};
    driver_attach(driver);
    *state = driver;
    return 0;
}

static int teardown(void **state)
{
    driver_release(*state);
    free(*state);
    return 0;
}

static void identity(void **state)
{
    struct driver *d = *state;

    assert_int_equal(driver_read32(d, REG_MAGIC), 0x74726976);
    assert_int_equal(driver_read32(d, REG_VERSION), 2);
    assert_int_equal(driver_read32(d, REG_DEVICE_ID), 42);
    assert_int_equal(driver_read32(d, REG_STATUS), 0);
    assert_int_not_equal(driver_read32(d, REG_VENDOR_ID), 0);
    driver_write32(d, 0xac, 3);                           /* SHMSel */
    assert_int_equal(driver_read32(d, 0xb0), UINT32_MAX); /* SHMLenLow: no region */
    assert_int_equal(d->logged, 0);
    driver_write32(d, REG_QUEUE_SEL, 1);
    assert_int_equal(driver_read32(d, REG_QUEUE_NUM_MAX), 16);
    driver_write32(d, REG_QUEUE_SEL, 2);
    assert_int_equal(driver_read32(d, REG_QUEUE_NUM_MAX), 0);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
}

static void offered_features(void **state)
{
    struct driver *d = *state;
    uint64_t features;

    features = driver_read32(d, REG_DEVICE_FEATURES);
    driver_write32(d, REG_DEVICE_FEATURES_SEL, 1);
    features |= (uint64_t)driver_read32(d, REG_DEVICE_FEATURES) << 32;
    assert_int_equal(features, FEATURE_A | FEATURE_B | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
                                   VIRTIO_F_VERSION_1);
    driver_write32(d, REG_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(driver_read32(d, REG_DEVICE_FEATURES), 0);
}

static void negotiation(void **state)
{
    struct driver *d = *state;

    assert_true(driver_negotiate(d, 0));
    assert_true(driver_negotiate(d, FEATURE_A | FEATURE_B | VIRTIO_F_EVENT_IDX));
    assert_int_equal(d->logged, 0);
    assert_false(driver_negotiate(d, 1ull << 5)); /* not offered */
    assert_int_equal(d->logged, 1);
    assert_false(driver_negotiate(d, FEATURE_B)); /* needs A */
    driver_write32(d, REG_DRIVER_FEATURES_SEL, 2);
    driver_write32(d, REG_DRIVER_FEATURES, 0);
    assert_int_equal(d->logged, 1);
    driver_write32(d, REG_DRIVER_FEATURES, 1);
    assert_int_equal(d->logged, 2);
}

/* 2.2.3: a legacy driver does not know VIRTIO_F_VERSION_1. */
static void legacy_driver(void **state)
{
    struct driver *d = *state;

    driver_write32(d, REG_STATUS, 1);
    driver_write32(d, REG_STATUS, 3);
    driver_write32(d, 0x028, 4096);    /* GuestPageSize */
    driver_write32(d, 0x03c, 4096);    /* QueueAlign */
    driver_write32(d, 0x040, 0x80000); /* QueuePFN */
    assert_int_equal(driver_read32(d, 0x040), 0);
    assert_int_equal(d->logged, 3);
    driver_write32(d, REG_STATUS, 11);
    assert_int_equal(driver_read32(d, REG_STATUS), 3);
    /* It goes on without having looked. */
    driver_write32(d, REG_STATUS, 7);
    assert_int_equal(driver_read32(d, REG_STATUS), 3 | VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(sink_of(d)->activations, 0);
}

static void features_are_final(void **state)
{
    struct driver *d = *state;

    assert_true(driver_negotiate(d, FEATURE_A));
    driver_write32(d, REG_DRIVER_FEATURES_SEL, 0);
    driver_write32(d, REG_DRIVER_FEATURES, 0);
    assert_int_equal(d->logged, 1);
    assert_int_equal(sink_of(d)->core.features, FEATURE_A | VIRTIO_F_VERSION_1);
}

static void status_bits_are_kept(void **state)
{
    struct driver *d = *state;

    driver_start(d, 0, 2, 8);
    driver_write32(d, REG_STATUS, 1);
    assert_int_equal(driver_read32(d, REG_STATUS), 15);
    assert_int_equal(d->logged, 1);
    /* DEVICE_NEEDS_RESET is not the driver's to set. */
    driver_write32(d, REG_STATUS, 15 | 64);
    assert_int_equal(driver_read32(d, REG_STATUS), 15);
    driver_write32(d, REG_STATUS, 15 | 128);
    assert_int_equal(driver_read32(d, REG_STATUS), 15 | 128);
    driver_write32(d, REG_STATUS, 0);
    assert_int_equal(driver_read32(d, REG_STATUS), 0);
    assert_int_equal(sink_of(d)->activations, 1);
}

static void queue_registers(void **state)
{
    struct driver *d = *state;
    struct queue *queue = &sink_of(d)->core.queues[1];

    assert_true(driver_negotiate(d, 0));
    driver_queue_place(d, 1, 8);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
    driver_write32(d, REG_QUEUE_READY, 1);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 1);
    /* 4.2.2.2: not while it is ready. */
    driver_write32(d, REG_QUEUE_NUM, 4);
    driver_write32(d, REG_QUEUE_DESC_LOW, 0);
    assert_int_equal(queue->size, 8);
    assert_int_equal(queue->descriptors, d->queues[1].descriptors);
    assert_int_equal(d->logged, 2);
    driver_write32(d, REG_QUEUE_READY, 0);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
    driver_queue_setup(d, 1, 4);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 1);
    /* A queue that is not there. */
    driver_write32(d, REG_QUEUE_SEL, 77);
    driver_write32(d, REG_QUEUE_NUM, 4);
    driver_write32(d, REG_QUEUE_READY, 1);
    driver_write32(d, REG_QUEUE_NOTIFY, 77);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
    assert_false(driver_needs_reset(d));
}

static void queue_before_features(void **state)
{
    struct driver *d = *state;

    driver_write32(d, REG_STATUS, 3);
    driver_queue_setup(d, 0, 8);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
    assert_true(driver_needs_reset(d));
}

/* Each is a way to place a ring that cannot be. */
static void bad_rings(void **state)
{
    struct driver *d = *state;
    const struct {
        unsigned reg;
        uint32_t value;
        const char *words;
    } cases[] = {
        {REG_QUEUE_NUM, 0, "queue size"},
        {REG_QUEUE_NUM, 7, "queue size"},
        {REG_QUEUE_NUM, 32, "queue size"},
        {REG_QUEUE_NUM, 0x80000000, "queue size"},
        {REG_QUEUE_DESC_LOW, DRIVER_RAM + 8, "misaligned"},
        {REG_QUEUE_DRIVER_LOW, DRIVER_RAM + 1, "misaligned"},
        {REG_QUEUE_DEVICE_LOW, DRIVER_RAM + 2, "misaligned"},
        {REG_QUEUE_DESC_LOW, 0, "descriptor table is not"},
        {REG_QUEUE_DESC_LOW + 4, 0xffffffff, "descriptor table is not"},
        {REG_QUEUE_DESC_LOW, DRIVER_RAM + DRIVER_RAM_SIZE - 16, "descriptor table is not"},
        {REG_QUEUE_DRIVER_LOW, DRIVER_DEVICE, "available ring is not"},
        {REG_QUEUE_DRIVER_LOW, DRIVER_RAM + DRIVER_RAM_SIZE - 4, "available ring is not"},
        {REG_QUEUE_DEVICE_LOW, DRIVER_ROM, "used ring is not"},
        {REG_QUEUE_DEVICE_LOW, DRIVER_RAM + DRIVER_RAM_SIZE - 4, "used ring is not"},
        {REG_QUEUE_DEVICE_LOW + 4, 1, "used ring is not"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(driver_negotiate(d, 0));
        driver_queue_place(d, 0, 16);
        driver_write32(d, cases[i].reg, cases[i].value);
        sink_of(d)->core.complaints = (struct virtio_complaints){0};
        driver_write32(d, REG_QUEUE_READY, 1);
        assert_true(driver_needs_reset(d));
        assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
        assert_non_null(strstr(d->last, cases[i].words));
        assert_false(d->line); /* 2.1.2: no notification before DRIVER_OK */
    }
    driver_start(d, 0, 2, 16);
}

static void interrupts(void **state)
{
    struct driver *d = *state;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    uint32_t head, len;

    driver_start(d, 0, 2, 8);
    assert_false(d->line);
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_true(d->line);
    assert_int_equal(driver_read32(d, REG_INTERRUPT_STATUS), 1);
    assert_true(driver_used(d, 0, &head, &len));
    assert_int_equal(len, 64);
    driver_write32(d, REG_INTERRUPT_ACK, 2);
    assert_true(d->line);
    driver_write32(d, REG_INTERRUPT_ACK, 1);
    assert_false(d->line);
    assert_int_equal(driver_read32(d, REG_INTERRUPT_STATUS), 0);
    /* A reset takes a pending interrupt away (4.2.2.1). */
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_true(d->line);
    driver_write32(d, REG_STATUS, 0);
    assert_false(d->line);
    assert_int_equal(driver_read32(d, REG_INTERRUPT_STATUS), 0);
    driver_kick(d, 0);
    assert_false(d->line);
}

static void no_interrupt_flag(void **state)
{
    struct driver *d = *state;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    uint32_t head, len;

    driver_start(d, 0, 1, 8);
    driver_put16(d, d->queues[0].available, 1);
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_false(d->line);
    assert_true(driver_used(d, 0, &head, &len));
    driver_put16(d, d->queues[0].available, 0);
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_true(d->line);
}

/* 2.7.7.2: an interrupt exactly when the used index passes used_event; all the way round the
 * 16-bit index. */
static void event_index_interrupts(void **state)
{
    struct driver *d = *state;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    gpa used_event;
    uint32_t head, len;

    driver_start(d, VIRTIO_F_EVENT_IDX, 1, 8);
    used_event = d->queues[0].available + 4 + 2 * 8;
    for (unsigned i = 0; i < 0x10010; i += 4) {
        /* The entries i to i + 3 are used: events 0 to 3 are passed, 4 and 5 are not. */
        unsigned event = i / 4 % 6;

        driver_put16(d, used_event, (uint16_t)(i + event));
        for (unsigned j = 0; j < 4; j++)
            driver_add(d, 0, &buffer, 1);
        sink_run(&sink_of(d)->core, 0);
        for (unsigned j = 0; j < 4; j++)
            assert_true(driver_used(d, 0, &head, &len));
        assert_int_equal(d->line, event < 4);
        driver_write32(d, REG_INTERRUPT_ACK, 1);
    }
    assert_false(driver_needs_reset(d));
}

static void queue_set_muted(struct driver *driver, bool muted)
{
    struct virtio_device *core = &sink_of(driver)->core;

    mutex_lock(&core->mutex);
    if (muted)
        queue_mute(&core->queues[0]);
    else
        assert_false(queue_unmute(&core->queues[0], 0));
    mutex_unlock(&core->mutex);
}

/* The device does not want to hear while it works on the queue (2.7.10). */
static void notification_suppression(void **state)
{
    struct driver *d = *state;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};
    uint16_t old;

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        driver_start(d, features[i], 1, 8);
        driver_add(d, 0, &buffer, 1);
        assert_true(driver_must_notify(d, 0, 0));
        driver_kick(d, 0);
        old = d->queues[0].available_index;
        driver_add(d, 0, &buffer, 1);
        assert_true(driver_must_notify(d, 0, old));
        /* One notification is enough with the event index; without it, each chain has one. */
        old = d->queues[0].available_index;
        driver_add(d, 0, &buffer, 1);
        assert_int_equal(driver_must_notify(d, 0, old), !features[i]);
        driver_kick(d, 0);

        queue_set_muted(d, false);
        queue_set_muted(d, true);
        if (features[i]) {
            /* The event stays where it was: passed once, and then no more. */
            driver_add(d, 0, &buffer, 1);
            old = d->queues[0].available_index;
            driver_add(d, 0, &buffer, 1);
            assert_false(driver_must_notify(d, 0, old));
        } else {
            old = d->queues[0].available_index;
            driver_add(d, 0, &buffer, 1);
            assert_false(driver_must_notify(d, 0, old));
        }
    }
}

/* A burst of kicks is one run, and a turn's budget is kept. */
static void kicks(void **state)
{
    struct driver *d = *state;
    struct sink *sink = sink_of(d);
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    uint32_t head, len;

    driver_start(d, 0, 1, 8);
    sink->runs = 0;
    for (unsigned i = 0; i < 100; i++)
        driver_notify(d, 0);
    driver_turn(d);
    assert_int_equal(sink->runs, 1);
    sink->runs = 0;
    sink->budget = 1;
    for (unsigned i = 0; i < 4; i++)
        driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_true(driver_used(d, 0, &head, &len));
    assert_int_equal(sink->runs, 5); /* the last finds nothing */
}

/* 2.1.2: nothing before DRIVER_OK; and what was there is found when it comes. */
static void driver_ok_starts(void **state)
{
    struct driver *d = *state;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    uint32_t head, len;

    assert_true(driver_negotiate(d, 0));
    driver_queue_setup(d, 0, 8);
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_false(driver_used(d, 0, &head, &len));
    driver_ok(d);
    driver_turn(d);
    assert_true(driver_used(d, 0, &head, &len));
}

static void configuration(void **state)
{
    struct driver *d = *state;
    struct virtio_device *core = &sink_of(d)->core;
    uint32_t generation;

    store_le64(core->config, 0x8877665544332211);
    assert_int_equal(driver_read(d, REG_CONFIG, 8), 0x8877665544332211);
    assert_int_equal(driver_read(d, REG_CONFIG + 4, 4), 0x88776655);
    assert_int_equal(driver_read(d, REG_CONFIG + 2, 2), 0x4433);
    assert_int_equal(driver_read(d, REG_CONFIG + 7, 1), 0x88);
    assert_int_equal(driver_read(d, REG_CONFIG + 8, 4), 0);
    assert_int_equal(driver_read(d, 0xff8, 8), 0);
    driver_write(d, REG_CONFIG + 2, 2, 0xabcd);
    assert_int_equal(driver_read(d, REG_CONFIG, 8), 0x88776655abcd2211);
    driver_write(d, REG_CONFIG + 8, 4, 1);
    assert_int_equal(d->logged, 1);

    generation = driver_read32(d, REG_CONFIG_GENERATION);
    mutex_lock(&core->mutex);
    virtio_config_changed(core);
    mutex_unlock(&core->mutex);
    assert_int_not_equal(driver_read32(d, REG_CONFIG_GENERATION), generation);
    assert_false(d->line); /* no driver yet */
    driver_start(d, 0, 1, 8);
    mutex_lock(&core->mutex);
    virtio_config_changed(core);
    mutex_unlock(&core->mutex);
    assert_true(d->line);
    assert_int_equal(driver_read32(d, REG_INTERRUPT_STATUS), 2);
}

static void illegal_widths(void **state)
{
    struct driver *d = *state;

    assert_int_equal(driver_read(d, REG_MAGIC, 1), 0);
    assert_int_equal(driver_read(d, REG_MAGIC, 2), 0);
    assert_int_equal(driver_read(d, REG_MAGIC, 8), 0);
    driver_write(d, REG_STATUS, 1, 1);
    driver_write(d, REG_STATUS, 8, 1);
    assert_int_equal(driver_read32(d, REG_STATUS), 0);
    assert_int_equal(d->logged, 2);
    /* Read-only and unknown registers. */
    driver_write32(d, REG_MAGIC, 0);
    driver_write32(d, 0x0f0, 0);
    assert_int_equal(driver_read32(d, REG_MAGIC), 0x74726976);
    assert_int_equal(driver_read32(d, 0x0f0), 0);
}

static void failure(void **state)
{
    struct driver *d = *state;
    struct virtio_device *core = &sink_of(d)->core;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    uint32_t head, len;

    driver_start(d, 0, 2, 8);
    mutex_lock(&core->mutex);
    virtio_fail(core, "the test says so");
    virtio_fail(core, "and again");
    mutex_unlock(&core->mutex);
    assert_true(driver_needs_reset(d));
    assert_int_equal(d->logged, 1);
    assert_non_null(strstr(d->last, "test0: "));
    assert_non_null(strstr(d->last, "the test says so"));
    assert_true(d->line);
    assert_int_equal(driver_read32(d, REG_INTERRUPT_STATUS), 2);
    /* It stands still ... */
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_false(driver_used(d, 0, &head, &len));
    /* ... until it is reset. */
    driver_start(d, 0, 2, 8);
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_true(driver_used(d, 0, &head, &len));
}

static void complaints_are_limited(void **state)
{
    struct driver *d = *state;

    for (unsigned i = 0; i < 1000; i++)
        driver_write32(d, REG_MAGIC, i);
    assert_int_equal(d->logged, 8);
    /* Later the guest is heard again, and what was not said is counted. */
    sink_of(d)->core.complaints.window_ns = 1;
    driver_write32(d, REG_MAGIC, 0);
    assert_int_equal(d->logged, 10);
    assert_int_equal(sink_of(d)->core.complaints.dropped, 0);
}

static void machine_reset(void **state)
{
    struct driver *d = *state;

    driver_start(d, FEATURE_A, 2, 8);
    d->device.type->reset(d->device.instance);
    assert_true(virtio_is_idle(d->device.instance));
    assert_int_equal(driver_read32(d, REG_STATUS), 0);
    driver_write32(d, REG_QUEUE_SEL, 0);
    assert_int_equal(driver_read32(d, REG_QUEUE_READY), 0);
    driver_start(d, FEATURE_A, 2, 8);
}

static void state_check(void **state)
{
    struct driver *d = *state;
    struct virtio_device *core = &sink_of(d)->core;

    assert_true(d->device.type->check(core));
    driver_start(d, FEATURE_A, 2, 8);
    assert_true(d->device.type->check(core));
    core->queues[1].size = 32;
    assert_false(d->device.type->check(core));
    core->queues[1].size = 8;
    core->features |= 1ull << 50;
    assert_false(d->device.type->check(core));
    core->features &= ~(1ull << 50);
    core->status = VIRTIO_STATUS_DRIVER_OK;
    assert_false(d->device.type->check(core));
    core->status = 0x1000;
    assert_false(d->device.type->check(core));
    core->status = 0;
    core->queues[0].ready = false;
    core->queues[1].ready = false;
    core->interrupt_status = 4;
    assert_false(d->device.type->check(core));
    core->interrupt_status = 0;
    assert_true(d->device.type->check(core));
}

/* State that moves to another instance: rings are found again where they were. */
static void save_and_load(void **state)
{
    struct driver *d = *state;
    struct virtio_device *core = &sink_of(d)->core;
    struct buffer buffer = {driver_alloc(d, 64), 64, true};
    uint32_t head, len;

    driver_start(d, VIRTIO_F_EVENT_IDX, 1, 8);
    for (unsigned i = 0; i < 3; i++)
        driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(driver_used(d, 0, &head, &len));
    driver_add(d, 0, &buffer, 1);
    /* As a load leaves it: the fields of the table and no pins; and a line that is low. */
    for (unsigned i = 0; i < 2; i++)
        core->queues[i].attached = false;
    atomic_store(&d->line, false);
    assert_true(d->device.type->check(core));
    d->device.type->resume(core);
    assert_true(d->line);
    driver_turn(d);
    assert_true(driver_used(d, 0, &head, &len));
    assert_int_equal(head, 3);
    /* A ring that is no longer in memory is found out. */
    core->queues[0].attached = false;
    core->queues[0].used = 0;
    driver_add(d, 0, &buffer, 1);
    driver_kick(d, 0);
    assert_true(driver_needs_reset(d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity, setup, teardown),
        cmocka_unit_test_setup_teardown(offered_features, setup, teardown),
        cmocka_unit_test_setup_teardown(negotiation, setup, teardown),
        cmocka_unit_test_setup_teardown(legacy_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(features_are_final, setup, teardown),
        cmocka_unit_test_setup_teardown(status_bits_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(queue_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(queue_before_features, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(no_interrupt_flag, setup, teardown),
        cmocka_unit_test_setup_teardown(event_index_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(notification_suppression, setup, teardown),
        cmocka_unit_test_setup_teardown(kicks, setup, teardown),
        cmocka_unit_test_setup_teardown(driver_ok_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(illegal_widths, setup, teardown),
        cmocka_unit_test_setup_teardown(failure, setup, teardown),
        cmocka_unit_test_setup_teardown(complaints_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(machine_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(state_check, setup, teardown),
        cmocka_unit_test_setup_teardown(save_and_load, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
