/* SPDX-License-Identifier: Apache-2.0 */
/* The device tree of the board: libfdt reads back what the board says of itself. */
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "board/virt_tree.h"

static uint8_t *write_tree(const struct virt_tree_facts *facts, uint32_t *used)
{
    uint8_t *buffer = calloc(1, VIRT_TREE_MAX);
    struct error error = ERROR_INIT;

    assert_non_null(buffer);
    assert_int_equal(virt_tree_write(facts, buffer, VIRT_TREE_MAX, used, &error), 0);
    assert_int_equal(fdt_check_full(buffer, *used), 0);
    return buffer;
}

static uint32_t cell(const void *tree, int node, const char *name, unsigned index)
{
    int length;
    const fdt32_t *cells = fdt_getprop(tree, node, name, &length);

    assert_non_null(cells);
    assert_true(length >= (int)(4 * (index + 1)));
    return fdt32_to_cpu(cells[index]);
}

static void test_memory_and_cpus(void **state)
{
    struct virt_tree_facts facts = {.ram_size = 3ull << 30, .hart_count = 3};
    uint32_t used;
    uint8_t *tree = write_tree(&facts, &used);
    int node = fdt_path_offset(tree, "/memory@80000000");

    assert_true(node >= 0);
    assert_int_equal(cell(tree, node, "reg", 1), 0x80000000u);
    assert_int_equal(cell(tree, node, "reg", 2), 0);
    assert_int_equal(cell(tree, node, "reg", 3), 0xc0000000u);
    for (unsigned i = 0; i < 3; i++) {
        char path[64];

        snprintf(path, sizeof(path), "/cpus/cpu@%u", i);
        node = fdt_path_offset(tree, path);
        assert_true(node >= 0);
        assert_int_equal(cell(tree, node, "reg", 0), i);
        assert_int_equal(fdt_stringlist_search(tree, node, "riscv,isa-extensions", "c") >= 0, 1);
        assert_int_equal(fdt_stringlist_search(tree, node, "riscv,isa-extensions", "sstc") >= 0, 1);
        assert_true(fdt_stringlist_search(tree, node, "riscv,isa-extensions", "h") < 0);
    }
    assert_true(fdt_path_offset(tree, "/cpus/cpu@3") < 0);
    assert_int_equal(cell(tree, fdt_path_offset(tree, "/cpus"), "timebase-frequency", 0), 10000000);
    free(tree);
}

static void test_chosen(void **state)
{
    struct virt_tree_facts facts = {
        .ram_size = 64 << 20,
        .hart_count = 1,
        .append = "console=ttyS0 quiet",
        .initrd_start = 0x83000000,
        .initrd_end = 0x83100000,
    };
    uint32_t used;
    uint8_t *tree = write_tree(&facts, &used);
    int node = fdt_path_offset(tree, "/chosen");

    assert_string_equal(fdt_getprop(tree, node, "bootargs", NULL), "console=ttyS0 quiet");
    assert_int_equal(cell(tree, node, "linux,initrd-start", 1), 0x83000000u);
    assert_int_equal(cell(tree, node, "linux,initrd-end", 1), 0x83100000u);
    free(tree);
}

/* Exactly the occupied slots are there: eight with QEMU's addresses and interrupt numbers, more
 * behind them. */
static void test_slots(void **state)
{
    struct virt_tree_facts facts = {.ram_size = 64 << 20, .hart_count = 1, .slots = 0x8285};
    uint32_t used;
    uint8_t *tree = write_tree(&facts, &used);

    for (unsigned i = 0; i < VIRT_VIRTIO_SLOTS; i++) {
        char path[64];
        int node;

        snprintf(path, sizeof(path), "/soc/virtio_mmio@%x", 0x10001000 + 0x1000 * i);
        node = fdt_path_offset(tree, path);
        assert_int_equal(node >= 0, (facts.slots >> i) & 1);
        if (node >= 0)
            assert_int_equal(cell(tree, node, "interrupts", 0), i < 8 ? 1 + i : 32 + i);
    }
    free(tree);
}

/* The interrupt controllers name every hart, also at the largest count. */
static void test_most_harts(void **state)
{
    struct virt_tree_facts facts = {.ram_size = 1ull << 40, .hart_count = 64, .slots = 0xff};
    uint32_t used;
    uint8_t *tree = write_tree(&facts, &used);
    int node = fdt_path_offset(tree, "/soc/plic@c000000"), length;

    fdt_getprop(tree, node, "interrupts-extended", &length);
    assert_int_equal(length, 64 * 4 * 4);
    assert_int_equal(cell(tree, node, "interrupts-extended", 4 * 63 + 3), 9);
    free(tree);
}

/* A buffer too small is an error, not an overrun (run under ASan as well). */
static void test_no_room(void **state)
{
    struct virt_tree_facts facts = {.ram_size = 64 << 20, .hart_count = 8, .slots = 0xff};
    struct error error = ERROR_INIT;
    uint32_t used;

    for (uint32_t size = 0; size < 6000; size += 97) {
        uint8_t *buffer = malloc(size + 1);

        assert_true(virt_tree_write(&facts, buffer, size, &used, &error) < 0);
        assert_non_null(error.message);
        error_release(&error);
        free(buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_and_cpus), cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_slots),           cmocka_unit_test(test_most_harts),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
