/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver for the tests of virtio devices: builds rings in guest RAM and works the registers over
 * MMIO as an operating system would, with no operating system. It can also do what no good driver
 * does, which the tests of hostile rings need.
 *
 * Guest memory: DRIVER_RAM_SIZE bytes at DRIVER_RAM, a second RAM block right behind them, and a
 * page of ROM at DRIVER_ROM. The device's registers are at DRIVER_DEVICE.
 */
#ifndef HOSPES_TESTS_VIRTIO_DRIVER_H
#define HOSPES_TESTS_VIRTIO_DRIVER_H

/* cmocka.h needs these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdatomic.h>
#include <stdbool.h>

#include "base/loop.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "memory/memory.h"

#define DRIVER_RAM      0x80000000ull
#define DRIVER_RAM_SIZE 0x4000000ull
#define DRIVER_ROM      0x1000ull
#define DRIVER_DEVICE   0x10001000ull
#define DRIVER_QUEUES   VIRTIO_QUEUES_MAX

/* Registers (virtio 1.2 section 4.2.2), written down once more so that a wrong constant shows. */
enum driver_register {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC_LOW = 0x080,
    REG_QUEUE_DRIVER_LOW = 0x090,
    REG_QUEUE_DEVICE_LOW = 0x0a0,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};

/* Descriptor flags (2.7.5). */
#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u

/* One element of a request. */
struct buffer {
    gpa addr;
    uint32_t len;
    bool write;
};

struct driver_queue {
    unsigned size;
    gpa descriptors;
    gpa available;
    gpa used;
    uint16_t available_index; /* next to fill; not yet told before driver_publish() */
    uint16_t used_index;      /* next to look at */
    uint16_t free;            /* next descriptor; they are used round and round */
};

struct driver {
    struct address_space *as;
    struct loop *loop;
    struct device device;
    const struct range *range; /* of its registers */
    uint64_t features;         /* negotiated */
    gpa next;                  /* of driver_alloc() */
    struct driver_queue queues[DRIVER_QUEUES];
    _Atomic bool line;      /* level of the interrupt */
    _Atomic unsigned edges; /* times it rose */
    struct log log;
    _Atomic unsigned logged; /* messages of level LOG_GUEST */
    char last[256];          /* the last of them */
};

/* Makes memory, a loop that is turned by driver_turn(), and a log; then the device is made with
 * driver_setup() and shown with driver_attach(). */
void driver_init(struct driver *driver);
struct virtio_setup driver_setup(struct driver *driver);
void driver_attach(struct driver *driver);
/* Frees the device too, if there is one. */
void driver_release(struct driver *driver);

/* Memory for the driver, aligned to 16 bytes, zeroed. */
gpa driver_alloc(struct driver *driver, uint64_t size);
void driver_put(struct driver *driver, gpa addr, const void *data, uint64_t len);
void driver_get(struct driver *driver, gpa addr, void *data, uint64_t len);
void driver_put16(struct driver *driver, gpa addr, uint16_t value);
uint16_t driver_get16(struct driver *driver, gpa addr);

uint64_t driver_read(struct driver *driver, unsigned reg, unsigned width);
void driver_write(struct driver *driver, unsigned reg, unsigned width, uint64_t value);
uint32_t driver_read32(struct driver *driver, unsigned reg);
void driver_write32(struct driver *driver, unsigned reg, uint32_t value);

/* Reset to FEATURES_OK with `features` and VIRTIO_F_VERSION_1 (3.1.1); false when refused. */
bool driver_negotiate(struct driver *driver, uint64_t features);
/* Makes room for a ring of `size` and fills its registers; not ready yet. */
void driver_queue_place(struct driver *driver, unsigned index, unsigned size);
/* The same, and ready. */
void driver_queue_setup(struct driver *driver, unsigned index, unsigned size);
void driver_ok(struct driver *driver);
/* All of it: `queues` queues of `size`; fails the test when the device refuses. */
void driver_start(struct driver *driver, uint64_t features, unsigned queues, unsigned size);

/* Writes one descriptor of a table. */
void driver_descriptor(struct driver *driver, gpa table, unsigned index, gpa addr, uint32_t len,
                       uint16_t flags, uint16_t next);
/* Puts a head into the available ring and publishes it. */
void driver_offer(struct driver *driver, unsigned index, uint16_t head);
/* Builds a chain of the buffers, offers it, and returns its head. */
uint16_t driver_add(struct driver *driver, unsigned index, const struct buffer *buffers,
                    unsigned count);
/* The same by an indirect table. */
uint16_t driver_add_indirect(struct driver *driver, unsigned index, const struct buffer *buffers,
                             unsigned count);
/* Whether the device wants to be told of what was offered since index `old` (2.7.10). */
bool driver_must_notify(struct driver *driver, unsigned index, uint16_t old);
void driver_notify(struct driver *driver, unsigned index);
/* Runs the loop until everything posted so far, and what that posted, has run. */
void driver_turn(struct driver *driver);
/* Notifies and turns. */
void driver_kick(struct driver *driver, unsigned index);
/* Takes the next used element; false when there is none. */
bool driver_used(struct driver *driver, unsigned index, uint32_t *head, uint32_t *len);
bool driver_needs_reset(struct driver *driver);

#endif
