/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board "virt": guest-physical map and interrupt numbers of QEMU's riscv `virt` machine, so
 * that firmware, kernels and OS images made for that boot unmodified. The parts are one table
 * (virt_parts) from which both the address map and the device tree are made.
 *
 * Source of the map: QEMU's documentation, "RISC-V VirtIO board (virt)", and its device tree.
 */
#ifndef HOSPES_BOARD_VIRT_H
#define HOSPES_BOARD_VIRT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "board/boot.h"
#include "cpu/riscv/hart.h"
#include "device/device.h"
#include "device/virtio/serial.h"
#include "memory/memory.h"
#include "network/net.h"
#include "network/vsock.h"
#include "storage/block.h"
#include "stream/stream.h"

#define VIRT_ROM_BASE     0x1000u
#define VIRT_ROM_SIZE     0xf000u
#define VIRT_FINISHER     0x100000u
#define VIRT_RTC          0x101000u
#define VIRT_CLINT        0x2000000u
#define VIRT_PLIC         0xc000000u
#define VIRT_PLIC_SIZE    0x600000u
#define VIRT_UART         0x10000000u
#define VIRT_VIRTIO       0x10001000u
#define VIRT_VIRTIO_STEP  0x1000u
#define VIRT_VIRTIO_SLOTS 16u
#define VIRT_RAM_BASE     0x80000000u

#define VIRT_TIMEBASE   10000000u /* Hz */
#define VIRT_UART_CLOCK 3686400u  /* Hz */
#define VIRT_PLIC_NDEV  95u
#define VIRT_IRQ_VIRTIO 1u  /* the first of the slots' that QEMU's board has, too: eight */
#define VIRT_IRQ_BEYOND 40u /* the first of the slots' beyond them; QEMU's board leaves it free */
#define VIRT_IRQ_UART   10u
#define VIRT_IRQ_RTC    11u
#define VIRT_TREE_MAX   (1u << 20)
#define VIRT_ROM_TREE   0x100 /* unused below: the reset code and its data */

/* The interrupt of a virtio slot. */
static inline unsigned virt_slot_irq(unsigned slot)
{
    return slot < 8 ? VIRT_IRQ_VIRTIO + slot : VIRT_IRQ_BEYOND + slot - 8;
}

enum virt_slot_kind {
    VIRT_SLOT_EMPTY,
    VIRT_SLOT_BLOCK,
    VIRT_SLOT_NET,
    VIRT_SLOT_CONSOLE,
    VIRT_SLOT_PORTS,
    VIRT_SLOT_RNG,
    VIRT_SLOT_BALLOON,
    VIRT_SLOT_MEM,
    VIRT_SLOT_VSOCK
};

/* What sits in a virtio-mmio slot. Disk, network and sockets are handed over to the board; console
 * and ports stay the caller's and live longer. */
struct virt_slot {
    enum virt_slot_kind kind;
    struct block *block;
    const char *serial;
    struct net *net;
    uint8_t mac[6];
    struct stream *console;
    struct virtio_serial_port ports[VIRTIO_SERIAL_PORTS_MAX];
    unsigned port_count;
    struct vsock *vsock;
    uint32_t vsock_cid; /* the guest's, 3 to 0xfffffffe */
};

struct virt_config {
    struct address_space *memory; /* the board adds RAM, ROM and registers to it */
    uint64_t ram_size;
    /* Bytes beyond ram_size that can be plugged, for VIRT_SLOT_MEM; 0: none. Whole blocks of memory
     * (RAM_BLOCK_SIZE), and so is ram_size then. */
    uint64_t ram_more;
    struct riscv_hart **harts;
    unsigned hart_count;
    struct loop *loop;
    struct clock *clock;
    const struct log *log;
    struct stream *serial; /* of the UART; may be NULL */
    struct virt_slot slots[VIRT_VIRTIO_SLOTS];
    /* The test finisher was written: any thread. */
    void (*finish)(void *ctx, bool reboot, bool failed, unsigned status);
    void *finish_ctx;
    /* Of VIRT_SLOT_MEM: struct virtio_mem_options. */
    void (*still)(void *ctx, void (*work)(void *arg), void *arg);
    void (*memory_changed)(void *ctx);
    void *memory_ctx;
};

/* What a machine is started with. */
struct virt_boot {
    const struct boot_file *firmware; /* NULL: hosted SBI */
    const struct boot_file *kernel;   /* NULL: none, as the next */
    const struct boot_file *initrd;
    const char *append;
};

/* Where the harts begin. */
struct virt_entry {
    uint64_t pc;
    uint64_t a1; /* the device tree */
};

struct virt;
struct aclint;
struct virtio_balloon;
struct virtio_mem;

/* Copies `config`; takes over the slots' disks, networks and sockets, on failure too. */
int virt_new(struct virt **virt, struct virt_config *config, struct error *error) MUST_CHECK;
void virt_free(struct virt *virt);

/* Devices to their state after power-on. No CPU runs. */
void virt_reset(struct virt *virt);
/* After virt_reset(): no device has a request under way that could still write to memory. */
bool virt_is_idle(struct virt *virt);
/* Unplugs memory, loads everything and writes the device tree to the top of RAM. No CPU runs. */
int virt_load(struct virt *virt, const struct virt_boot *boot, struct virt_entry *entry,
              struct error *error) MUST_CHECK;
/* The tree that virt_load() wrote. */
const void *virt_tree(const struct virt *virt, uint32_t *size);

/* The balloon in the last of the slots that have one; NULL: none has. As long as the board. */
struct virtio_balloon *virt_balloon(const struct virt *virt);
/* Likewise. */
struct virtio_mem *virt_mem(const struct virt *virt);

/* Whether a program of the guest has the first port of the last of the slots with ports open. Any
 * thread. */
bool virt_port_is_open(struct virt *virt);

/* After the clock was resumed: timers that slept with it are set again. */
void virt_rearm(struct virt *virt);

/* The time CSR, and the S timer of a hart (struct riscv_platform). The hart's thread. */
uint64_t virt_time(struct virt *virt);
void virt_set_stimecmp(struct virt *virt, unsigned hart, uint64_t deadline);
/* The timers behind it, for a hart's thread that has one of its own: see aclint.h. */
struct aclint *virt_timers(const struct virt *virt);
/* The serial line as firmware uses it: polled. Any thread. */
bool virt_console_put(struct virt *virt, uint8_t byte);
int virt_console_get(struct virt *virt);

#endif
