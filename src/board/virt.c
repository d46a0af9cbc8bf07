/* SPDX-License-Identifier: Apache-2.0 */
#include "board/virt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bits.h"
#include "board/boot.h"
#include "board/htif.h"
#include "board/virt_tree.h"
#include "device/aclint.h"
#include "device/goldfish_rtc.h"
#include "device/plic.h"
#include "device/syscon.h"
#include "device/uart16550.h"
#include "device/virtio/balloon.h"
#include "device/virtio/block.h"
#include "device/virtio/console.h"
#include "device/virtio/mem.h"
#include "device/virtio/mmio.h"
#include "device/virtio/net.h"
#include "device/virtio/rng.h"
#include "device/virtio/serial.h"
#include "device/virtio/vsock.h"

#define DEVICES_MAX (5 + VIRT_VIRTIO_SLOTS)

/* A kernel is entered on a 2 MiB boundary (boot-image-header.rst), and the first 2 MiB are the
 * firmware's, as with OpenSBI on this board. */
#define KERNEL_OFFSET 0x200000u
#define ALIGN_2M      0x200000u

/* Linux takes memory that is plugged in sections of so many bytes (SECTION_SIZE_BITS of riscv64),
 * of which each is of one kind: what can be plugged begins with one, and ends with one. */
#define SECTION_SIZE 0x8000000u

struct virt {
    struct virt_config config;
    struct riscv_hart *harts[64];
    struct device devices[DEVICES_MAX];
    unsigned device_count;
    struct aclint *aclint;
    struct plic *plic;
    struct uart16550 *uart;
    struct virtio_balloon *balloon; /* NULL: no slot has one */
    struct device ports;            /* no type: no slot has some */
    struct virtio_mem *mem;         /* likewise */
    uint32_t slots;                 /* occupied */
    struct htif htif;
    uint8_t *tree; /* tree_size bytes; NULL before the first load */
    uint32_t tree_size;
};

/* ---- parts ---- */

/* Takes over the instance, on failure too, and maps its registers. */
static int virt_attach(struct virt *virt, const struct device_type *type, void *instance, gpa base,
                       uint64_t size, struct error *error)
{
    BUG_ON(virt->device_count == DEVICES_MAX);
    virt->devices[virt->device_count++] =
        (struct device){.type = type, .instance = instance, .base = base, .size = size};
    return memory_add_io(virt->config.memory, type->name, base, size, &type->io, instance, error);
}

static void finisher_power_off(void *ctx, int status)
{
    struct virt *virt = ctx;

    virt->config.finish(virt->config.finish_ctx, false, status != 0, (unsigned)status);
}

static void finisher_reset(void *ctx)
{
    struct virt *virt = ctx;

    virt->config.finish(virt->config.finish_ctx, true, false, 0);
}

static int virt_add_finisher(struct virt *virt, struct error *error)
{
    struct syscon_calls calls = {.power_off = finisher_power_off,
                                 .reset = finisher_reset,
                                 .ctx = virt};
    struct syscon *syscon = NULL;
    int r = syscon_new(&syscon, &calls, error);

    return r ? r : virt_attach(virt, &syscon_type, syscon, VIRT_FINISHER, 0x1000, error);
}

static void stimecmp_reached(void *ctx, unsigned hart)
{
    struct virt *virt = ctx;

    riscv_hart_timer_tick(virt->harts[hart]);
}

static struct wire hart_wire(struct virt *virt, unsigned hart, enum riscv_interrupt number)
{
    return (struct wire){.set = riscv_hart_set_line, .ctx = virt->harts[hart], .number = number};
}

static int virt_add_interrupt_controllers(struct virt *virt, struct error *error)
{
    struct wire software[64], timer[64], external[128];
    struct aclint_config config = {
        .harts = virt->config.hart_count,
        .software = software,
        .timer = timer,
        .stimecmp_reached = stimecmp_reached,
        .ctx = virt,
    };
    int r;

    for (unsigned i = 0; i < virt->config.hart_count; i++) {
        software[i] = hart_wire(virt, i, RISCV_IRQ_M_SOFT);
        timer[i] = hart_wire(virt, i, RISCV_IRQ_M_TIMER);
        external[2 * i] = hart_wire(virt, i, RISCV_IRQ_M_EXTERNAL);
        external[2 * i + 1] = hart_wire(virt, i, RISCV_IRQ_S_EXTERNAL);
    }
    r = aclint_new(&virt->aclint, virt->config.loop, virt->config.clock, &config, error);
    if (!r)
        r = virt_attach(virt, &aclint_type, virt->aclint, VIRT_CLINT, ACLINT_SIZE, error);
    if (!r)
        r = plic_new(&virt->plic, external, 2 * virt->config.hart_count, error);
    if (!r)
        r = virt_attach(virt, &plic_type, virt->plic, VIRT_PLIC, VIRT_PLIC_SIZE, error);
    return r;
}

static int virt_add_legacy(struct virt *virt, struct error *error)
{
    struct wire uart_irq = plic_input(virt->plic, VIRT_IRQ_UART);
    struct wire rtc_irq = plic_input(virt->plic, VIRT_IRQ_RTC);
    struct goldfish_rtc *rtc = NULL;
    int r = uart16550_new(&virt->uart, virt->config.loop, virt->config.serial, &uart_irq, error);

    if (!r)
        r = virt_attach(virt, &uart16550_type, virt->uart, VIRT_UART, 0x100, error);
    if (!r)
        r = goldfish_rtc_new(&rtc, virt->config.loop, &rtc_irq, error);
    if (!r)
        r = virt_attach(virt, &goldfish_rtc_type, rtc, VIRT_RTC, 0x1000, error);
    return r;
}

/* Where what can be plugged begins, from the start of RAM, and how much it is; 0: none. */
static uint64_t more_begin(const struct virt_config *config)
{
    return round_up(config->ram_size, SECTION_SIZE);
}

static uint64_t more_size(const struct virt_config *config)
{
    return round_up(config->ram_more, SECTION_SIZE);
}

/* One range, so that code and windows know no difference between its parts. */
static int virt_add_memory(struct virt *virt, struct error *error)
{
    const struct virt_config *config = &virt->config;

    if (!config->ram_more)
        return memory_add_ram(config->memory, "ram", VIRT_RAM_BASE, config->ram_size, true, error);
    return memory_add_pluggable_ram(config->memory, "ram", VIRT_RAM_BASE, config->ram_size,
                                    more_begin(config) + more_size(config), error);
}

static int virt_new_mem(const struct virt *virt, struct device *device,
                        const struct virtio_setup *setup)
{
    const struct virt_config *config = &virt->config;
    const struct virtio_mem_options options = {
        .addr = VIRT_RAM_BASE + more_begin(config),
        .size = more_size(config),
        .still = config->still,
        .changed = config->memory_changed,
        .ctx = config->memory_ctx,
    };

    return virtio_mem_new(device, setup, &options);
}

static int virt_add_slot(struct virt *virt, unsigned index, struct error *error)
{
    struct virt_slot *slot = &virt->config.slots[index];
    gpa base = VIRT_VIRTIO + index * VIRT_VIRTIO_STEP;
    struct device device = {0};
    struct virtio_net_options net_options = {0};
    char name[32];
    struct virtio_setup setup = {
        .as = virt->config.memory,
        .loop = virt->config.loop,
        .log = virt->config.log,
        .interrupt = plic_input(virt->plic, virt_slot_irq(index)),
        .name = name,
    };
    int r = 0;

    switch (slot->kind) {
    case VIRT_SLOT_EMPTY:
        return 0;
    case VIRT_SLOT_BLOCK:
        snprintf(name, sizeof(name), "disk%u", index);
        r = virtio_block_new(&device, &setup, slot->block, slot->serial ? slot->serial : "");
        slot->block = NULL;
        break;
    case VIRT_SLOT_NET:
        snprintf(name, sizeof(name), "net%u", index);
        memcpy(net_options.mac, slot->mac, sizeof(net_options.mac));
        r = virtio_net_new(&device, &setup, slot->net, &net_options);
        slot->net = NULL;
        break;
    case VIRT_SLOT_CONSOLE:
        snprintf(name, sizeof(name), "console%u", index);
        r = virtio_console_new(&device, &setup, slot->console);
        break;
    case VIRT_SLOT_PORTS:
        snprintf(name, sizeof(name), "ports%u", index);
        r = virtio_serial_new(&device, &setup, slot->ports, slot->port_count);
        virt->ports = device;
        break;
    case VIRT_SLOT_RNG:
        snprintf(name, sizeof(name), "rng%u", index);
        r = virtio_rng_new(&device, &setup);
        break;
    case VIRT_SLOT_BALLOON:
        snprintf(name, sizeof(name), "balloon%u", index);
        r = virtio_balloon_new(&device, &setup);
        virt->balloon = device.instance;
        break;
    case VIRT_SLOT_MEM:
        snprintf(name, sizeof(name), "mem%u", index);
        r = virt_new_mem(virt, &device, &setup);
        virt->mem = device.instance;
        break;
    case VIRT_SLOT_VSOCK:
        snprintf(name, sizeof(name), "vsock%u", index);
        r = virtio_vsock_new(&device, &setup, slot->vsock, slot->vsock_cid);
        slot->vsock = NULL;
        break;
    }
    if (r)
        return error_set(error, -r, "cannot make \"%s\": %s", name, error_words(-r));
    virt->slots |= 1u << index;
    return virt_attach(virt, device.type, device.instance, base, VIRT_VIRTIO_STEP, error);
}

static void htif_ended(void *ctx, uint64_t code)
{
    struct virt *virt = ctx;

    /* An exit status has 8 bits; a failure stays one. */
    virt->config.finish(virt->config.finish_ctx, false, code != 0, code & 0xff ? code & 0xff : 1);
}

static int virt_build(struct virt *virt, struct error *error)
{
    struct address_space *as = virt->config.memory;
    int r = memory_add_ram(as, "rom", VIRT_ROM_BASE, VIRT_ROM_SIZE, false, error);

    if (!r)
        r = virt_add_memory(virt, error);
    if (!r)
        r = virt_add_finisher(virt, error);
    if (!r)
        r = virt_add_interrupt_controllers(virt, error);
    if (!r)
        r = virt_add_legacy(virt, error);
    for (unsigned i = 0; !r && i < VIRT_VIRTIO_SLOTS; i++)
        r = virt_add_slot(virt, i, error);
    return r;
}

/* Back ends that no device has taken over. */
static void virt_close_slots(struct virt_slot *slots)
{
    for (unsigned i = 0; i < VIRT_VIRTIO_SLOTS; i++) {
        block_close(slots[i].block);
        net_free(slots[i].net);
        vsock_free(slots[i].vsock);
        slots[i].block = NULL;
        slots[i].net = NULL;
        slots[i].vsock = NULL;
    }
}

int virt_new(struct virt **out, struct virt_config *config, struct error *error)
{
    struct virt *virt = calloc(1, sizeof(*virt));
    int r;

    if (!virt) {
        virt_close_slots(config->slots);
        return error_set(error, ENOMEM, "cannot make the board: out of memory");
    }
    virt->config = *config;
    memcpy(virt->harts, config->harts, config->hart_count * sizeof(virt->harts[0]));
    virt->config.harts = virt->harts;
    htif_init(&virt->htif, config->loop, config->memory, config->serial, htif_ended, virt);
    r = virt_build(virt, error);
    if (r) {
        virt_free(virt);
        return r;
    }
    *out = virt;
    return 0;
}

void virt_free(struct virt *virt)
{
    if (!virt)
        return;
    htif_stop(&virt->htif);
    /* Against the order of making: the wires of a device lead to older ones. */
    while (virt->device_count) {
        struct device *device = &virt->devices[--virt->device_count];

        device->type->free(device->instance);
    }
    virt_close_slots(virt->config.slots);
    free(virt->tree);
    free(virt);
}

void virt_reset(struct virt *virt)
{
    for (unsigned i = 0; i < virt->device_count; i++)
        virt->devices[i].type->reset(virt->devices[i].instance);
}

bool virt_is_idle(struct virt *virt)
{
    for (unsigned i = 0; i < virt->device_count; i++)
        if (virt->devices[i].base >= VIRT_VIRTIO &&
            virt->devices[i].base < VIRT_VIRTIO + VIRT_VIRTIO_SLOTS * VIRT_VIRTIO_STEP &&
            !virtio_is_idle(virt->devices[i].instance))
            return false;
    return true;
}

void virt_rearm(struct virt *virt)
{
    for (unsigned i = 0; i < virt->device_count; i++)
        if (virt->devices[i].type->resume)
            virt->devices[i].type->resume(virt->devices[i].instance);
    for (unsigned i = 0; i < virt->config.hart_count; i++)
        aclint_set_stimecmp(virt->aclint, i, virt->harts[i]->stimecmp);
}

/* ---- starting ---- */

/* What the harts run first when there is firmware: a0 = hart id, a1 = device tree, a2 = the
 * information block of OpenSBI's fw_dynamic, then to the start of RAM. */
static const uint32_t reset_code[] = {
    0x00000297, /* auipc t0, 0 */
    0x02028613, /* addi  a2, t0, 32: the information block */
    0xf1402573, /* csrr  a0, mhartid */
    0x0182b583, /* ld    a1, 24(t0): device tree */
    0x0502b283, /* ld    t0, 80(t0): where to go */
    0x00028067, /* jr    t0 */
};

/* OpenSBI, include/sbi/fw_dynamic.h: struct fw_dynamic_info, version 2. */
#define FW_DYNAMIC_MAGIC   0x4942534fu
#define FW_DYNAMIC_VERSION 2u
#define FW_DYNAMIC_S_MODE  1u

static int virt_write_reset_code(struct virt *virt, gpa firmware, gpa next, gpa tree)
{
    uint64_t words[11] = {0};

    memcpy(words, reset_code, sizeof(reset_code));
    words[3] = tree;
    words[4] = FW_DYNAMIC_MAGIC;
    words[5] = FW_DYNAMIC_VERSION;
    words[6] = next;
    words[7] = FW_DYNAMIC_S_MODE;
    words[8] = 0; /* options */
    words[9] = 0; /* boot hart */
    words[10] = firmware;
    for (unsigned i = 3; i < ARRAY_SIZE(words); i++)
        words[i] = htole64(words[i]);
    return memory_load(virt->config.memory, VIRT_ROM_BASE, words, sizeof(words));
}

static int virt_put_tree(struct virt *virt, const struct virt_boot *boot,
                         const struct boot_loaded *initrd, gpa *at, struct error *error)
{
    uint8_t seed[64];
    struct virt_tree_facts facts = {
        .ram_size = virt->config.ram_size,
        .hart_count = virt->config.hart_count,
        .address_bits = virt->harts[0]->address_bits,
        .slots = virt->slots,
        .append = boot->append,
        .initrd_start = initrd->start,
        .initrd_end = initrd->end,
        .seed = getrandom(seed, sizeof(seed), 0) == sizeof(seed) ? seed : NULL,
    };
    uint8_t *room = calloc(1, VIRT_TREE_MAX), *tree;
    int r;

    if (!room)
        return error_set(error, ENOMEM, "cannot make the device tree: out of memory");
    r = virt_tree_write(&facts, room, VIRT_TREE_MAX, &virt->tree_size, error);
    if (r) {
        free(room);
        return r;
    }
    tree = realloc(room, virt->tree_size);
    free(virt->tree);
    virt->tree = tree ? tree : room;
    if (memory_load(virt->config.memory, *at, virt->tree, virt->tree_size))
        return error_set(error, ENOMEM, "no memory for the device tree; use more with --memory");
    return 0;
}

int virt_load(struct virt *virt, const struct virt_boot *boot, struct virt_entry *entry,
              struct error *error)
{
    struct address_space *as = virt->config.memory;
    gpa ram_end = VIRT_RAM_BASE + virt->config.ram_size;
    /* The tree is in the last 2 MiB below 3 GiB, where a kernel maps it early, as QEMU has it. */
    gpa low_end = ram_end < 0x100000000 - 0x40000000 ? ram_end : 0x100000000 - 0x40000000;
    gpa tree = low_end - ALIGN_2M;
    struct boot_loaded first = {0}, kernel = {0}, initrd = {0};
    struct span word;
    uint64_t tohost;
    int r;

    htif_stop(&virt->htif);
    if (virt->mem)
        virtio_mem_unplug_all(virt->mem);
    memory_clear(as);
    if (boot->firmware) {
        r = boot_load(as, boot->firmware, VIRT_RAM_BASE, tree, &first, error);
        if (r)
            return r;
    }
    if (boot->kernel) {
        r = boot_load(as, boot->kernel, VIRT_RAM_BASE + KERNEL_OFFSET, tree, &kernel, error);
        if (r)
            return r;
        if (boot->firmware && first.end > kernel.start && kernel.end > first.start)
            return error_set(error, EINVAL, "firmware \"%s\" and kernel \"%s\" overlap in memory",
                             boot->firmware->path, boot->kernel->path);
    }
    if (boot->initrd) {
        gpa floor = kernel.end > first.end ? kernel.end : first.end;

        r = boot_load_top(as, boot->initrd, floor, tree, &initrd, error);
        if (r)
            return r;
    }
    r = virt_put_tree(virt, boot, &initrd, &tree, error);
    if (r)
        return r;
    if (boot->firmware && virt_write_reset_code(virt, first.entry, kernel.entry, tree))
        return error_set(error, EIO, "cannot write the reset code");
    if (boot->firmware && htif_symbol(boot->firmware->fd, "tohost", &tohost) &&
        !memory_pin(as, tohost, sizeof(uint64_t), true, &word)) {
        memory_unpin(as, &word);
        htif_start(&virt->htif, tohost);
    }
    entry->pc = boot->firmware ? VIRT_ROM_BASE : kernel.entry;
    entry->a1 = tree;
    return 0;
}

const void *virt_tree(const struct virt *virt, uint32_t *size)
{
    *size = virt->tree_size;
    return virt->tree;
}

struct virtio_balloon *virt_balloon(const struct virt *virt)
{
    return virt->balloon;
}

bool virt_port_is_open(struct virt *virt)
{
    return virt->ports.type && virtio_serial_is_open(&virt->ports, 1);
}

struct virtio_mem *virt_mem(const struct virt *virt)
{
    return virt->mem;
}

/* ---- for the harts and the firmware ---- */

uint64_t virt_time(struct virt *virt)
{
    return aclint_time(virt->aclint);
}

void virt_set_stimecmp(struct virt *virt, unsigned hart, uint64_t deadline)
{
    aclint_set_stimecmp(virt->aclint, hart, deadline);
}

struct aclint *virt_timers(const struct virt *virt)
{
    return virt->aclint;
}

/* PC16550D: offset 0 is the data register, 5 the line status with bit 0 "data ready" and bit 5
 * "transmitter holding register empty". */
bool virt_console_put(struct virt *virt, uint8_t byte)
{
    const struct io_ops *io = &uart16550_type.io;

    if (!(io->read(virt->uart, 5, 1) & 0x20))
        return false;
    io->write(virt->uart, 0, 1, byte);
    return true;
}

int virt_console_get(struct virt *virt)
{
    const struct io_ops *io = &uart16550_type.io;

    if (!(io->read(virt->uart, 5, 1) & 1))
        return -1;
    return (int)io->read(virt->uart, 0, 1);
}
