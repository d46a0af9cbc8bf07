/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device is made of: a const type, an instance, and the wires and windows it is handed.
 *
 * A device never sees the board, the CLI or a CPU; it looks nothing up. The board creates it with
 * its wires (struct wire), its DMA view (struct address_space) and its back ends, maps its
 * registers (struct io_ops of memory/), and calls reset, save and load. A device guards its state
 * by its own mutex: registers are accessed on vCPU threads, back ends call on the loop's thread.
 * A guest's mistake is contained in the device (virtio: DEVICE_NEEDS_RESET); nothing exits.
 */
#ifndef HOSPES_DEVICE_DEVICE_H
#define HOSPES_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/log.h"
#include "memory/memory.h"

/* One end of a wire: an interrupt line, a reset line, a power button. Setting a level that the
 * line already has is allowed. Any thread; the receiver takes its own lock and calls nothing back,
 * so a device may drive a wire while it holds its own mutex. */
struct wire {
    void (*set)(void *ctx, unsigned number, bool level);
    void *ctx;
    unsigned number;
};

static inline void wire_set(const struct wire *wire, bool level)
{
    if (wire->set)
        wire->set(wire->ctx, wire->number, level);
}

/* One field of a device's state, for save, load, migration and inspection alike. Loading is
 * parsing of hostile input: a field has a fixed size, and device_type.check() judges the whole. */
struct state_field {
    const char *name;
    size_t offset;    /* in the instance */
    size_t size;      /* of one element, in bytes: 1, 2, 4, 8, or any with is_bytes */
    unsigned count;   /* elements */
    unsigned version; /* the device state version that brought it */
    bool is_bytes;
};

/* clang-format off */
#define STATE_FIELD(type, member, since) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1, since, false }
#define STATE_ARRAY(type, member, since)                                         \
    { #member, offsetof(type, member), sizeof(((type *)0)->member[0]),           \
      sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), since, false }
#define STATE_BYTES(type, member, since) \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), 1, since, true }
/* clang-format on */

struct device_type {
    const char *name;       /* as in inspection and in the device tree's comments: "uart16550" */
    unsigned version;       /* of the state table */
    const struct io_ops io; /* its registers; widths 0 when it has none */
    const struct state_field *fields;
    unsigned field_count;

    /* To the state after power-on; back ends stay. Any thread, takes the device's lock. */
    void (*reset)(void *device);
    /* After load: false when the values cannot be (then the machine is not started). May be NULL:
     * any value will do. */
    bool (*check)(const void *device);
    /* The machine's clock runs from here: after load, and after each clock_resume(). Arms timers
     * and drives wires by the state. Any thread, takes the device's lock. May be NULL. */
    void (*resume)(void *device);
    /* Stops using its back ends and frees the instance. Loop's thread, no CPU runs any more. */
    void (*free)(void *device);
};

/* An instance, as the board's table holds it. */
struct device {
    const struct device_type *type;
    void *instance;
    gpa base;      /* 0 and size 0: no registers */
    uint64_t size; /* of its register range, in bytes */
};

#endif
