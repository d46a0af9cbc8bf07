/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports that are no consoles: a virtio console device (virtio 1.2, section 5.3) with
 * VIRTIO_CONSOLE_F_MULTIPORT. Each port has a name, by which the guest finds it (Linux:
 * /dev/virtio-ports/NAME), and a byte stream.
 *
 * Port 0, which the specification gives to drivers without MULTIPORT, is there and takes what is
 * written to it, to nowhere; it is never announced. A port is open at the host's end while its
 * stream is not vacant, or always; and at the guest's while a program there has it open. Until then
 * what the host sends stays with the stream.
 */
#ifndef HOSPES_DEVICE_VIRTIO_SERIAL_H
#define HOSPES_DEVICE_VIRTIO_SERIAL_H

#include <stdbool.h>

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"
#include "stream/stream.h"

#define VIRTIO_SERIAL_PORTS_MAX 4u
#define VIRTIO_SERIAL_NAME_MAX  63u

struct virtio_serial_port {
    const char *name; /* UTF-8, 1 to VIRTIO_SERIAL_NAME_MAX bytes; copied */
    struct stream *stream;
    /* The host's end is open whether somebody is there or not. For programs that ask again and
     * again when it is closed, as qemu-ga does every 100 ms: that alone keeps a guest from being
     * idle. */
    bool held_open;
};

/* 1 to VIRTIO_SERIAL_PORTS_MAX ports, which are numbered from 1. Attaches itself to the streams,
 * which stay the caller's and outlive the device. Fills *device (over MMIO; the board sets its
 * base). Returns 0 or -ENOMEM. Loop's thread. */
int virtio_serial_new(struct device *device, const struct virtio_setup *setup,
                      const struct virtio_serial_port *ports, unsigned count) MUST_CHECK;
/* Whether a program of the guest has port `number` open. Any thread. */
bool virtio_serial_is_open(struct device *device, unsigned number);

#endif
