/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/fuse.h"

#include "cpu/riscv/interpreter.h"

/* The register that the branch compares with `reg`, or `reg`: it compares no such thing. */
static unsigned compared_with(const struct riscv_insn *branch, unsigned reg)
{
    if (branch->id != RISCV_INSN_BNE || (branch->rs1 != reg && branch->rs2 != reg))
        return reg;
    return branch->rs1 == reg ? branch->rs2 : branch->rs1;
}

/* The same two operands as without fusing: what lr writes is read by nothing but the branch, and
 * what sc writes only by the branch back. It may be any of the others, since it is written last. */
static bool is_compare_swap(const struct compare_swap *swap)
{
    const struct riscv_insn *load = &swap->load, *store = &swap->store;
    unsigned back = load->length + swap->branch.length + store->length;

    return load->rd && load->rd != load->rs1 && load->rd != store->rs2 &&
           swap->expected != load->rd && store->rs1 == load->rs1 && store->rd &&
           compared_with(&swap->again, store->rd) == 0 && swap->again.imm == -(int32_t)back;
}

bool fuse_compare_swap(const uint8_t *host, unsigned at, const struct riscv_insn *load,
                       struct compare_swap *swap)
{
    struct riscv_insn *const rest[] = {&swap->branch, &swap->store, &swap->again};
    bool wide = load->id == RISCV_INSN_LR_D;

    if (!wide && load->id != RISCV_INSN_LR_W)
        return false;
    at += load->length;
    for (unsigned i = 0; i < ARRAY_SIZE(rest); i++) {
        if (at >= PAGE_SIZE || !code_decode(host + at, PAGE_SIZE - at, rest[i]))
            return false;
        at += rest[i]->length;
    }
    swap->load = *load;
    swap->expected = compared_with(&swap->branch, load->rd);
    swap->width = wide ? 8 : 4;
    return swap->store.id == (wide ? RISCV_INSN_SC_D : RISCV_INSN_SC_W) && is_compare_swap(swap);
}
