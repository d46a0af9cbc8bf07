/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all virtio devices share (virtio 1.2): negotiation, status, queues, interrupts, failure.
 *
 * A device is a const struct virtio_device_type and an instance that begins with a struct
 * virtio_device named `core`; a transport (mmio.h; PCI later) translates its registers into the
 * functions below. The driver's setup runs on vCPU threads, requests run on the loop's thread:
 * virtio_kick() takes no lock and wakes the loop only when it is not yet on its way.
 *
 * Invariants
 *  V1  Everything of the guest is guarded by `mutex`; back ends are called without it.
 *  V2  A chain popped is in flight until pushed or dropped. A reset (2.4) is complete, and status
 *      reads 0, only when none is in flight: then the device touches no memory of the guest.
 *  V3  Queues are touched only while virtio_running(): DRIVER_OK, no failure, no reset under way.
 *  V4  What the guest does wrong ends in virtio_fail(): DEVICE_NEEDS_RESET (2.1.2), and this device
 *      stands still until its driver resets it. Other devices and the machine go on.
 *
 *            FEATURES_OK      DRIVER_OK               broken ring or request
 *    reset -------------> ... ---------> running ---------------------------> needs reset
 *      ^                                    |                                     |
 *      +--- in flight == 0 --- resetting <--+----------- status = 0 --------------+
 */
#ifndef HOSPES_DEVICE_VIRTIO_VIRTIO_H
#define HOSPES_DEVICE_VIRTIO_VIRTIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"
#include "device/device.h"
#include "device/virtio/queue.h"
#include "memory/memory.h"

/* Device status bits (2.1). */
enum virtio_status {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128,
};

/* Feature bits of every device (6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

/* Bits of the interrupt status (4.2.2 InterruptStatus, 4.1.4.5). */
#define VIRTIO_INTERRUPT_QUEUE  1u
#define VIRTIO_INTERRUPT_CONFIG 2u

#define VIRTIO_QUEUES_MAX 12u
#define VIRTIO_CONFIG_MAX 64u

struct virtio_device;

/* How interrupts reach the guest. Any thread, with the device's lock held. */
struct virtio_transport {
    void (*queue_interrupt)(struct virtio_device *device, unsigned index);
    void (*config_interrupt)(struct virtio_device *device);
    /* interrupt_status has another value: drive the line by it. */
    void (*sync)(struct virtio_device *device);
};

struct virtio_device_type {
    const char *name;     /* "virtio-block" */
    uint32_t id;          /* section 5 */
    unsigned queue_count; /* at most VIRTIO_QUEUES_MAX */
    uint16_t queue_size;  /* QueueNumMax: a power of two, at most QUEUE_SIZE_MAX */
    uint32_t config_size; /* bytes of device configuration space */

    /* Handles queue `index` on the loop's thread, with no lock held, while the driver may do
     * anything: for at most one turn's worth of work. Returns true when there is more to do. */
    bool (*run)(struct virtio_device *device, unsigned index);
    /* The rest may be NULL; with the lock held, on any thread. */
    /* The driver chose these features, a subset of those offered: are they a sensible set? */
    bool (*accept)(struct virtio_device *device, uint64_t features);
    /* DRIVER_OK was set. */
    void (*activate)(struct virtio_device *device);
    /* A reset begins: the device's own state to its value after power-on. */
    void (*reset)(struct virtio_device *device);
    /* The driver writes `width` bytes of configuration space, all inside it. */
    void (*config_write)(struct virtio_device *device, uint32_t offset, unsigned width,
                         uint64_t value);
};

/* What the board hands to a virtio device; all of it outlives the device. */
struct virtio_setup {
    const struct address_space *as;
    struct loop *loop;
    const struct log *log;
    struct wire interrupt;
    const char *name; /* in messages: "disk0"; copied, at most 31 bytes */
};

/* Keeps a guest that does wrong in a loop from filling the log. */
struct virtio_complaints {
    uint64_t window_ns; /* when the current window began */
    unsigned said;
    unsigned dropped;
};

struct virtio_device {
    const struct virtio_device_type *type;
    const struct virtio_transport *transport;
    struct virtio_setup setup;
    char name[32];
    uint64_t offered; /* features */

    struct deferred work;
    _Atomic uint32_t kicked; /* queues to run, a bit each; non-zero: `work` is posted */

    struct mutex mutex;       /* guards what follows */
    struct condition drained; /* the last chain in flight came back after a reset began */
    uint64_t features;        /* written by the driver; negotiated once FEATURES_OK is set */
    uint32_t status;          /* enum virtio_status */
    bool resetting;
    uint32_t config_generation;
    _Atomic uint32_t interrupt_status; /* written with the lock held */
    uint32_t device_features_select;
    uint32_t driver_features_select;
    uint32_t queue_select;
    uint8_t config[VIRTIO_CONFIG_MAX]; /* little-endian, as the guest sees it */
    struct queue queues[VIRTIO_QUEUES_MAX];
    struct virtio_complaints complaints;
};

/* ---- for devices ---- */

/* `offered` without the features of the core, which are added. */
void virtio_init(struct virtio_device *device, const struct virtio_device_type *type,
                 const struct virtio_transport *transport, const struct virtio_setup *setup,
                 uint64_t offered);
/* First step of a device's free: from here on, chains that come back are dropped and nothing runs.
 * Loop's thread or no loop. */
void virtio_stop(struct virtio_device *device);
/* Last step: no chain is in flight any more. */
void virtio_release(struct virtio_device *device);

bool virtio_running(const struct virtio_device *device) REQUIRES(device->mutex);
/* Whether the driver negotiated all bits of `feature`. */
bool virtio_has(const struct virtio_device *device, uint64_t feature) REQUIRES(device->mutex);

/* Takes a chain off queue `index`; false when there is none or the device does not run (V3). A
 * broken ring fails the device. */
bool virtio_pop(struct virtio_device *device, unsigned index, struct chain *chain)
    REQUIRES(device->mutex);
/* Gives a chain back with `written` bytes, or drops it when its queue was reset since. */
void virtio_push(struct virtio_device *device, unsigned index, struct chain *chain,
                 uint32_t written) REQUIRES(device->mutex);
/* Drops a chain: the device failed on it. */
void virtio_drop(struct virtio_device *device, unsigned index, struct chain *chain)
    REQUIRES(device->mutex);
/* Shows the guest what was pushed to queue `index` and interrupts it if it wants that. */
void virtio_notify_guest(struct virtio_device *device, unsigned index) REQUIRES(device->mutex);

/* DEVICE_NEEDS_RESET for a reason: lower case, no full stop. */
void virtio_fail(struct virtio_device *device, const char *reason) REQUIRES(device->mutex) COLD;
/* Words about a guest's mistake that needs no reset; at most a few every ten seconds. */
void virtio_complain(struct virtio_device *device, const char *format, ...) PRINTF(2, 3)
    REQUIRES(device->mutex) COLD;
/* `config` was changed: new generation, and an interrupt if the driver is up. */
void virtio_config_changed(struct virtio_device *device) REQUIRES(device->mutex);

/* Runs queue `index` on the loop's thread soon. Any thread, no lock needed. */
void virtio_kick(struct virtio_device *device, unsigned index) HOT;

/* ---- for transports: vCPU threads, no lock held ---- */

void virtio_set_status(struct virtio_device *device, uint32_t value);
void virtio_set_features(struct virtio_device *device, uint32_t select, uint32_t value);
/* Makes the selected queue ready or not; waits like a reset until its chains are back. */
void virtio_set_ready(struct virtio_device *device, bool ready);
uint64_t virtio_config_read(struct virtio_device *device, uint32_t offset, unsigned width);
void virtio_config_write(struct virtio_device *device, uint32_t offset, unsigned width,
                         uint64_t value);

/* ---- for struct device_type: the instance is the struct virtio_device ---- */

/* Off the loop's thread it waits for the chains in flight, at most two seconds; on the loop's
 * thread it cannot: before memory is given another content, virtio_is_idle() must say true. */
void virtio_reset(void *device);
bool virtio_is_idle(void *device);
/* Whether loaded values can be. */
bool virtio_check(const void *device);
/* Drives the interrupt by the state and looks at every queue. */
void virtio_resume(void *device);

/* State fields of `core` in the instance `type`, and of each of its queues. */
/* clang-format off */
#define VIRTIO_STATE(type)                                       \
    STATE_FIELD(type, core.features, 1),                         \
    STATE_FIELD(type, core.status, 1),                           \
    STATE_FIELD(type, core.config_generation, 1),                \
    STATE_FIELD(type, core.interrupt_status, 1),                 \
    STATE_FIELD(type, core.device_features_select, 1),           \
    STATE_FIELD(type, core.driver_features_select, 1),           \
    STATE_FIELD(type, core.queue_select, 1),                     \
    STATE_BYTES(type, core.config, 1)
#define VIRTIO_QUEUE_STATE(type, n)                              \
    STATE_FIELD(type, core.queues[n].size, 1),                   \
    STATE_FIELD(type, core.queues[n].descriptors, 1),            \
    STATE_FIELD(type, core.queues[n].available, 1),              \
    STATE_FIELD(type, core.queues[n].used, 1),                   \
    STATE_FIELD(type, core.queues[n].ready, 1),                  \
    STATE_FIELD(type, core.queues[n].available_next, 1),         \
    STATE_FIELD(type, core.queues[n].used_next, 1),              \
    STATE_FIELD(type, core.queues[n].used_published, 1),         \
    STATE_FIELD(type, core.queues[n].muted, 1)
/* clang-format on */

#endif
