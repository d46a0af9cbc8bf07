/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A serial port: eight byte-wide registers, a receive and a transmit FIFO of 16 bytes.
 *
 * The line is infinitely fast while its back end (struct stream) takes bytes; when that refuses,
 * the transmitter shows itself busy (LSR.THRE and TEMT clear) until there is room, so a guest that
 * looks before it writes loses nothing. Received bytes wait in the stream until the guest has read.
 * Registers are accessed on vCPU threads; the stream calls on the loop's thread.
 *
 * Sources: National Semiconductor PC16550D data sheet (the registers, section 8); QEMU's `virt`
 * machine: registers one byte apart at 0x10000000, PLIC source 10, clock 3.6864 MHz, each access of
 * 1 to 8 bytes moves one byte.
 */
#ifndef HOSPES_DEVICE_UART16550_H
#define HOSPES_DEVICE_UART16550_H

#include "base/loop.h"
#include "device/device.h"
#include "stream/stream.h"

#define UART16550_CLOCK_HZ 3686400 /* "clock-frequency" of the device tree */

struct uart16550;

/* `stream` stays the caller's, must outlive the UART, and may be NULL (nothing is connected). The
 * UART becomes its port. `irq` is copied. */
int uart16550_new(struct uart16550 **uart, struct loop *loop, struct stream *stream,
                  const struct wire *irq, struct error *error) MUST_CHECK;

extern const struct device_type uart16550_type;

#endif
