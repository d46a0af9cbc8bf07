/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register by which a guest powers its machine off or resets it.
 *
 * It calls back and does no more: the machine decides what follows. The call is made on the vCPU's
 * thread inside the guest's store, with no lock held; it must not block.
 *
 * Sources: SiFive's test finisher as on QEMU's `virt` machine (0x100000; device tree
 * "sifive,test1", with "syscon-poweroff" and "syscon-reboot" beside it); OpenSBI's and Linux'
 * drivers for those.
 */
#ifndef HOSPES_DEVICE_SYSCON_H
#define HOSPES_DEVICE_SYSCON_H

#include "device/device.h"

/* The low 16 bits of what a guest writes; "value" of the device tree's nodes. */
enum syscon_value { SYSCON_FAIL = 0x3333, SYSCON_POWER_OFF = 0x5555, SYSCON_RESET = 0x7777 };

struct syscon_calls {
    /* `status` is for hospes's own exit status: 0 after SYSCON_POWER_OFF, 1 to 255 after
     * SYSCON_FAIL. */
    void (*power_off)(void *ctx, int status);
    void (*reset)(void *ctx);
    void *ctx;
};

struct syscon;

/* `calls` is copied. */
int syscon_new(struct syscon **syscon, const struct syscon_calls *calls,
               struct error *error) MUST_CHECK;

extern const struct device_type syscon_type;

#endif
