/* SPDX-License-Identifier: Apache-2.0 */
#include "board/virt_tree.h"

#include <stdlib.h>

#include "board/tree.h"

/* Phandles: the harts' own interrupt controllers are 1 + hart. */
#define HANDLE_PLIC     0x100u
#define HANDLE_FINISHER 0x101u

#define CACHE_BLOCK 64u /* bytes; Zicbom, Zicboz and Zicbop, and profile RVA22's Zic64b */

/* Words the finisher takes; sifive,test0. */
#define FINISHER_POWER_OFF 0x5555u
#define FINISHER_REBOOT    0x7777u

static void tree_cpu(struct tree *tree, const struct virt_tree_facts *facts, unsigned hart)
{
    tree_node(tree, "cpu@%x", hart);
    tree_string(tree, "device_type", "cpu");
    tree_string(tree, "compatible", "riscv");
    tree_u32(tree, "reg", hart);
    tree_string(tree, "status", "okay");
    tree_string(tree, "riscv,isa", riscv_isa_string(facts->address_bits));
    tree_string(tree, "riscv,isa-base", "rv64i");
    tree_strings(tree, "riscv,isa-extensions", riscv_isa_extensions(facts->address_bits));
    tree_string(tree, "mmu-type",
                facts->address_bits == 39   ? "riscv,sv39"
                : facts->address_bits == 48 ? "riscv,sv48"
                                            : "riscv,sv57");
    tree_u32(tree, "riscv,cbom-block-size", CACHE_BLOCK);
    tree_u32(tree, "riscv,cboz-block-size", CACHE_BLOCK);
    tree_u32(tree, "riscv,cbop-block-size", CACHE_BLOCK);
    tree_node(tree, "interrupt-controller");
    tree_string(tree, "compatible", "riscv,cpu-intc");
    tree_u32(tree, "#interrupt-cells", 1);
    tree_empty(tree, "interrupt-controller");
    tree_u32(tree, "phandle", 1 + hart);
    tree_node_end(tree);
    tree_node_end(tree);
}

static void tree_cpus(struct tree *tree, const struct virt_tree_facts *facts)
{
    tree_node(tree, "cpus");
    tree_u32(tree, "#address-cells", 1);
    tree_u32(tree, "#size-cells", 0);
    tree_u32(tree, "timebase-frequency", VIRT_TIMEBASE);
    for (unsigned i = 0; i < facts->hart_count; i++)
        tree_cpu(tree, facts, i);
    tree_node_end(tree);
}

static void tree_chosen(struct tree *tree, const struct virt_tree_facts *facts)
{
    tree_node(tree, "chosen");
    tree_string(tree, "stdout-path", "/soc/serial@10000000");
    if (facts->append && *facts->append)
        tree_string(tree, "bootargs", facts->append);
    if (facts->initrd_end > facts->initrd_start) {
        tree_u64(tree, "linux,initrd-start", facts->initrd_start);
        tree_u64(tree, "linux,initrd-end", facts->initrd_end);
    }
    if (facts->seed) {
        tree_bytes(tree, "kaslr-seed", facts->seed, 8);
        tree_bytes(tree, "rng-seed", facts->seed + 8, 56);
    }
    tree_node_end(tree);
}

static void tree_interrupt(struct tree *tree, unsigned source)
{
    tree_u32(tree, "interrupt-parent", HANDLE_PLIC);
    tree_u32(tree, "interrupts", source);
}

/* A list of (hart's controller, interrupt) pairs, `pairs` a hart. */
static void tree_harts(struct tree *tree, unsigned hart_count, const uint32_t *interrupts,
                       unsigned pairs)
{
    uint32_t cells[4 * 64];
    unsigned n = 0;

    for (unsigned hart = 0; hart < hart_count && hart < 64; hart++)
        for (unsigned i = 0; i < pairs && i < 2; i++) {
            cells[n++] = 1 + hart;
            cells[n++] = interrupts[i];
        }
    tree_cells(tree, "interrupts-extended", cells, n);
}

/* ---- the parts, in the order of their addresses ---- */

static void part_finisher(struct tree *tree, const struct virt_tree_facts *facts)
{
    static const char *const compatible[] = {"sifive,test1", "sifive,test0", "syscon", NULL};

    tree_strings(tree, "compatible", compatible);
    tree_u32(tree, "phandle", HANDLE_FINISHER);
}

static void part_rtc(struct tree *tree, const struct virt_tree_facts *facts)
{
    tree_string(tree, "compatible", "google,goldfish-rtc");
    tree_interrupt(tree, VIRT_IRQ_RTC);
}

static void part_clint(struct tree *tree, const struct virt_tree_facts *facts)
{
    static const char *const compatible[] = {"sifive,clint0", "riscv,clint0", NULL};
    static const uint32_t lines[] = {RISCV_IRQ_M_SOFT, RISCV_IRQ_M_TIMER};

    tree_strings(tree, "compatible", compatible);
    tree_harts(tree, facts->hart_count, lines, 2);
}

static void part_plic(struct tree *tree, const struct virt_tree_facts *facts)
{
    static const char *const compatible[] = {"sifive,plic-1.0.0", "riscv,plic0", NULL};
    static const uint32_t lines[] = {RISCV_IRQ_M_EXTERNAL, RISCV_IRQ_S_EXTERNAL};

    tree_strings(tree, "compatible", compatible);
    tree_u32(tree, "#interrupt-cells", 1);
    tree_u32(tree, "#address-cells", 0);
    tree_empty(tree, "interrupt-controller");
    tree_u32(tree, "riscv,ndev", VIRT_PLIC_NDEV);
    tree_u32(tree, "phandle", HANDLE_PLIC);
    tree_harts(tree, facts->hart_count, lines, 2);
}

static void part_uart(struct tree *tree, const struct virt_tree_facts *facts)
{
    tree_string(tree, "compatible", "ns16550a");
    tree_u32(tree, "clock-frequency", VIRT_UART_CLOCK);
    tree_interrupt(tree, VIRT_IRQ_UART);
}

static const struct {
    const char *node;
    gpa base;
    uint64_t size;
    void (*write)(struct tree *tree, const struct virt_tree_facts *facts);
} parts[] = {
    {"test", VIRT_FINISHER, 0x1000, part_finisher}, {"rtc", VIRT_RTC, 0x1000, part_rtc},
    {"clint", VIRT_CLINT, 0x10000, part_clint},     {"plic", VIRT_PLIC, VIRT_PLIC_SIZE, part_plic},
    {"serial", VIRT_UART, 0x100, part_uart},
};

static void tree_soc(struct tree *tree, const struct virt_tree_facts *facts)
{
    tree_node(tree, "soc");
    tree_string(tree, "compatible", "simple-bus");
    tree_u32(tree, "#address-cells", 2);
    tree_u32(tree, "#size-cells", 2);
    tree_empty(tree, "ranges");
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        tree_node(tree, "%s@%llx", parts[i].node, (unsigned long long)parts[i].base);
        tree_reg(tree, parts[i].base, parts[i].size);
        parts[i].write(tree, facts);
        tree_node_end(tree);
    }
    for (unsigned i = 0; i < VIRT_VIRTIO_SLOTS; i++) {
        gpa base = VIRT_VIRTIO + i * VIRT_VIRTIO_STEP;

        if (!(facts->slots >> i & 1))
            continue;
        tree_node(tree, "virtio_mmio@%llx", (unsigned long long)base);
        tree_string(tree, "compatible", "virtio,mmio");
        tree_reg(tree, base, VIRT_VIRTIO_STEP);
        tree_interrupt(tree, virt_slot_irq(i));
        tree_node_end(tree);
    }
    tree_node_end(tree);
}

static void tree_finisher_word(struct tree *tree, const char *node, const char *compatible,
                               uint32_t word)
{
    tree_node(tree, "%s", node);
    tree_string(tree, "compatible", compatible);
    tree_u32(tree, "regmap", HANDLE_FINISHER);
    tree_u32(tree, "offset", 0);
    tree_u32(tree, "value", word);
    tree_node_end(tree);
}

int virt_tree_write(const struct virt_tree_facts *facts, void *buffer, uint32_t size,
                    uint32_t *used, struct error *error)
{
    struct tree tree;

    tree_begin(&tree, buffer, size);
    tree_u32(&tree, "#address-cells", 2);
    tree_u32(&tree, "#size-cells", 2);
    tree_string(&tree, "compatible", "riscv-virtio");
    tree_string(&tree, "model", "riscv-virtio,hospes");
    tree_chosen(&tree, facts);
    tree_node(&tree, "memory@%x", VIRT_RAM_BASE);
    tree_string(&tree, "device_type", "memory");
    tree_reg(&tree, VIRT_RAM_BASE, facts->ram_size);
    tree_node_end(&tree);
    tree_cpus(&tree, facts);
    tree_finisher_word(&tree, "poweroff", "syscon-poweroff", FINISHER_POWER_OFF);
    tree_finisher_word(&tree, "reboot", "syscon-reboot", FINISHER_REBOOT);
    tree_soc(&tree, facts);
    return tree_end(&tree, used, error);
}
