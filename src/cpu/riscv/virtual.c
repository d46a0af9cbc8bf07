/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-virtual memory as software outside the guest sees it: hosted firmware and debuggers.
 */
#include <errno.h>

#include "cpu/riscv/hart.h"
#include "cpu/riscv/mmu.h"
#include "memory/memory.h"

int riscv_hart_read_virtual(struct riscv_hart *hart, struct address_space *memory, uint64_t vaddr,
                            void *to, uint64_t length)
{
    const struct riscv_regime regime = {.satp = hart->satp, .privilege = RISCV_S, .sum = true};
    uint8_t *out = to;

    while (length) {
        uint64_t piece = PAGE_SIZE - vaddr % PAGE_SIZE;
        struct riscv_translation where;

        if (piece > length)
            piece = length;
        if (riscv_translate(hart, memory, vaddr, RISCV_LOAD, &regime, &where) ||
            memory_read(memory, where.address, out, piece))
            return -EFAULT;
        vaddr += piece;
        out += piece;
        length -= piece;
    }
    return 0;
}
