/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform-level interrupt controller: 95 wires in (sources 1 to 95), one wire out a context.
 *
 * A context is a hart's privilege level that can take external interrupts; the board chooses their
 * order (QEMU's virt: hart 0 M, hart 0 S, hart 1 M, ...). Sources are level-triggered: a gateway
 * lets one request of a source through, and the next only after the first was completed. Inputs may
 * be driven from any thread; outputs are driven with the PLIC's lock held.
 *
 * Sources: RISC-V Platform-Level Interrupt Controller Specification 1.0.0; QEMU's `virt` machine:
 * at 0xc000000, priorities 0 to 7, registers of 32 bits taken by 32-bit accesses only.
 */
#ifndef HOSPES_DEVICE_PLIC_H
#define HOSPES_DEVICE_PLIC_H

#include "device/device.h"

#define PLIC_SOURCES      96 /* with number 0, which does not exist; "riscv,ndev" is one less */
#define PLIC_CONTEXTS_MAX 128
/* Bytes of its register range, specification section 3 "Memory Map". */
#define PLIC_SIZE(contexts) (0x200000u + (contexts)*0x1000u)

struct plic;

/* `outputs` (one a context, copied) are the external interrupt lines; 1 to PLIC_CONTEXTS_MAX. */
int plic_new(struct plic **plic, const struct wire *outputs, unsigned contexts,
             struct error *error) MUST_CHECK;

/* The wire into source `source`, 1 to 95; it does nothing for any other number. */
struct wire plic_input(struct plic *plic, unsigned source);

extern const struct device_type plic_type;

#endif
