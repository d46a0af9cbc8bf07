/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of instructions that are one operation of most hosts.
 */
#ifndef HOSPES_CPU_RISCV_FUSE_H
#define HOSPES_CPU_RISCV_FUSE_H

#include "cpu/riscv/decode.h"

/*
 * What compilers make of a compare-and-swap:
 *
 *   1:  lr   rd, (rs1)
 *       bne  rd, expected, 2f
 *       sc   rt, value, (rs1)
 *       bnez rt, 1b
 *   2:
 */
struct compare_swap {
    struct riscv_insn load, branch, store, again;
    unsigned expected; /* the register */
    unsigned width;
};

/* Whether `load`, which was decoded `at` bytes into the page at `host`, begins one that ends in the
 * page and can be done by a compare-and-exchange. */
bool fuse_compare_swap(const uint8_t *host, unsigned at, const struct riscv_insn *load,
                       struct compare_swap *swap);

#endif
