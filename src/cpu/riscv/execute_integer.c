/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer instructions that are too rare, or too long, for the inner loop. Source: volume I, Zbc.
 */
#include "cpu/riscv/interpreter.h"

/* The product of polynomials over GF(2): 128 bits, of which the highest is 0. */
static unsigned __int128 multiply_carryless(uint64_t a, uint64_t b)
{
    unsigned __int128 product = 0;

    for (unsigned i = 0; i < 64; i++)
        if (b >> i & 1)
            product ^= (unsigned __int128)a << i;
    return product;
}

static enum op_result write_product(struct engine_cpu *cpu, const struct op *op, unsigned shift)
{
    const uint64_t *x = cpu->hart->x;

    op_write_x(cpu, op, multiply_carryless(x[op->rs1], x[op->rs2]) >> shift);
    return OP_NEXT;
}

static enum op_result exec_clmul(struct engine_cpu *cpu, const struct op *op)
{
    return write_product(cpu, op, 0);
}

static enum op_result exec_clmulh(struct engine_cpu *cpu, const struct op *op)
{
    return write_product(cpu, op, 64);
}

/* The product of the reversed operands, reversed. */
static enum op_result exec_clmulr(struct engine_cpu *cpu, const struct op *op)
{
    return write_product(cpu, op, 63);
}

op_function *const execute_integer_functions[RISCV_INSN_COUNT] = {
    [RISCV_INSN_CLMUL] = exec_clmul,
    [RISCV_INSN_CLMULH] = exec_clmulh,
    [RISCV_INSN_CLMULR] = exec_clmulr,
};
