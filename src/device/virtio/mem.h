/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem, virtio 1.2 section 5.15: memory that the driver plugs and unplugs in blocks, as much
 * of it as the device asks for.
 *
 * The region is pluggable RAM of the machine (memory/), from which blocks that are not plugged are
 * missing as if there were no RAM: VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE is offered, and a driver
 * that does not take it is refused. All of the region is usable; what bounds a driver is the
 * requested size, beyond which no block is plugged (NACK). A block that a device's request or ring
 * lies in is not unplugged (BUSY).
 *
 * A block that is unplugged is the host's before the driver has its answer: CPUs stand still while
 * it goes out of the map, and what it took is given back in turns of the loop.
 *
 * Blocks stay across a reset of the device, and not across one of the machine.
 */
#ifndef HOSPES_DEVICE_VIRTIO_MEM_H
#define HOSPES_DEVICE_VIRTIO_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"

/* What the device is handed; the functions on the loop's thread, with no lock held. */
struct virtio_mem_options {
    gpa addr;      /* of the region: whole blocks of pluggable RAM (RAM_BLOCK_SIZE), */
    uint64_t size; /* none of which is plugged */
    /* Calls work(arg) while no CPU executes anything, and returns behind it; what CPUs knew of
     * memory they have forgotten then (memory_unplug()). */
    void (*still)(void *ctx, void (*work)(void *arg), void *arg);
    /* The plugged size is another. */
    void (*changed)(void *ctx);
    void *ctx;
};

/* In bytes. */
struct virtio_mem_facts {
    uint64_t size; /* of the region */
    uint64_t requested;
    uint64_t plugged;
    bool has_driver; /* it runs */
};

struct virtio_mem;

/* Fills *device (over MMIO; the board sets its base), whose instance is the struct virtio_mem.
 * Returns 0 or -ENOMEM. */
int virtio_mem_new(struct device *device, const struct virtio_setup *setup,
                   const struct virtio_mem_options *options) MUST_CHECK;

/* The rest on the loop's thread. */

/* How much the driver shall have plugged: whole blocks, at most the region. Stays across resets. */
void virtio_mem_set_requested(struct virtio_mem *mem, uint64_t bytes);
/* Has a driver that has not plugged or unplugged all of it look at that again, which Linux's does
 * by itself after 50 s, and later each time. */
void virtio_mem_ask(struct virtio_mem *mem);
void virtio_mem_get(struct virtio_mem *mem, struct virtio_mem_facts *facts);
/* The machine is reset, no CPU runs and no device has memory pinned: all blocks are unplugged, and
 * memory_clear() is to follow. */
void virtio_mem_unplug_all(struct virtio_mem *mem);

#endif
