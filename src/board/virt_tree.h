/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree of the board "virt", written from its table of parts. A function of its
 * arguments alone, so that a test or a fuzzer can call it without a machine.
 */
#ifndef HOSPES_BOARD_VIRT_TREE_H
#define HOSPES_BOARD_VIRT_TREE_H

#include <stdint.h>

#include "base/error.h"
#include "board/virt.h"

struct virt_tree_facts {
    uint64_t ram_size;
    unsigned hart_count;
    unsigned address_bits; /* of the harts; 0: 57 */
    uint32_t slots;        /* bit n: virtio slot n is occupied */
    const char *append;
    gpa initrd_start, initrd_end; /* equal: none */
    const uint8_t *seed;          /* 64 random bytes, or NULL */
};

int virt_tree_write(const struct virt_tree_facts *facts, void *buffer, uint32_t size,
                    uint32_t *used, struct error *error) MUST_CHECK;

#endif
