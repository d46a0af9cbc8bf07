/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The A extension, on the host's own atomic operations with full ordering, whatever aq and rl ask
 * for. A reservation is the value that lr read: sc succeeds if memory holds it still, which
 * compare-exchange finds out. A value that other harts changed and changed back is not told apart,
 * which the specification does not allow and which other emulators do alike: to see it, a guest has
 * to load something else between lr and sc, as a lock-free list's pop does. docs/plan.md lists it.
 *
 * Source: volume I, "A" Extension for Atomic Instructions; volume II, "Atomicity PMAs": the
 * operations are for main memory only and naturally aligned.
 */
#include <endian.h>

#include "cpu/riscv/interpreter.h"

/* Where the operation happens, or NULL: it trapped. */
static uint8_t *atomic_place(struct engine_cpu *cpu, const struct op *op, unsigned width,
                             enum riscv_access access, struct tlb_place *place)
{
    uint64_t vaddr = cpu->hart->x[op->rs1];
    int error;

    if (vaddr & (width - 1)) {
        op_trap(cpu, access == RISCV_LOAD ? RISCV_EXC_LOAD_MISALIGNED : RISCV_EXC_STORE_MISALIGNED,
                vaddr);
        return NULL;
    }
    error = tlb_lookup(cpu, cpu->data, vaddr, width, access, place);
    if (!error && !place->host)
        error = riscv_access_fault(access);
    if (error) {
        op_trap(cpu, error, vaddr);
        return NULL;
    }
    return place->host;
}

/* A page that the TLB has for writing needs nothing but the address. */
static inline uint8_t *amo_place(struct engine_cpu *cpu, const struct op *op, unsigned width,
                                 struct tlb_place *place)
{
    uint64_t vaddr = cpu->hart->x[op->rs1];
    const struct tlb_entry *e = &cpu->data->entries[(vaddr >> PAGE_SHIFT) & (TLB_SIZE - 1)];

    place->range = NULL;
    if (likely(e->write == (vaddr & (PAGE_MASK | (width - 1)))))
        return (uint8_t *)(uintptr_t)(vaddr + e->addend);
    return atomic_place(cpu, op, width, RISCV_STORE, place);
}

static inline void amo_done(const struct tlb_place *place, unsigned width)
{
    if (place->range)
        memory_note_write(place->range->ram, place->address - place->range->base, width);
}

/* "Load-Reserved/Store-Conditional Instructions" */
static enum op_result load_reserved(struct engine_cpu *cpu, const struct op *op, unsigned width)
{
    struct riscv_hart *hart = cpu->hart;
    struct tlb_place place;
    uint8_t *host = atomic_place(cpu, op, width, RISCV_LOAD, &place);

    if (!host)
        return OP_TRAP;
    /* A load that releases is behind earlier stores. */
    if (op->imm & RISCV_RELEASE)
        atomic_thread_fence(memory_order_seq_cst);
    hart->reserved_value =
        width == 4 ? (uint64_t)(int32_t)le32toh(__atomic_load_n((uint32_t *)host, __ATOMIC_SEQ_CST))
                   : le64toh(__atomic_load_n((uint64_t *)host, __ATOMIC_SEQ_CST));
    hart->reserved = RISCV_RESERVED_PHYSICAL;
    hart->reserved_width = width;
    hart->reserved_address = place.address;
    op_write_x(cpu, op, hart->reserved_value);
    return OP_NEXT;
}

static enum op_result exec_lr_w(struct engine_cpu *cpu, const struct op *op)
{
    return load_reserved(cpu, op, 4);
}

static enum op_result exec_lr_d(struct engine_cpu *cpu, const struct op *op)
{
    return load_reserved(cpu, op, 8);
}

void reservation_make_physical(struct engine_cpu *cpu)
{
    struct riscv_hart *hart = cpu->hart;
    struct riscv_translation translation;

    if (likely(hart->reserved != RISCV_RESERVED_VIRTUAL))
        return;
    hart->reserved = RISCV_NOT_RESERVED;
    /* Else another hart has taken the page away since. */
    if (riscv_peek(hart, cpu->engine->memory, hart->reserved_address, &cpu->data->regime,
                   &translation))
        return;
    hart->reserved = RISCV_RESERVED_PHYSICAL;
    hart->reserved_address = translation.address;
}

static enum op_result store_conditional(struct engine_cpu *cpu, const struct op *op, unsigned width)
{
    struct riscv_hart *hart = cpu->hart;
    struct tlb_place place;
    uint64_t value = hart->x[op->rs2];
    uint8_t *host = atomic_place(cpu, op, width, RISCV_STORE, &place);
    bool done = false;

    if (!host)
        return OP_TRAP;
    reservation_make_physical(cpu);
    if (hart->reserved && hart->reserved_width == width &&
        hart->reserved_address == place.address) {
        if (width == 4) {
            uint32_t expected = htole32(hart->reserved_value);

            done = __atomic_compare_exchange_n((uint32_t *)host, &expected, htole32(value), false,
                                               __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        } else {
            uint64_t expected = htole64(hart->reserved_value);

            done = __atomic_compare_exchange_n((uint64_t *)host, &expected, htole64(value), false,
                                               __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        }
    }
    /* Whether it succeeds or fails, it invalidates the reservation. */
    hart->reserved = RISCV_NOT_RESERVED;
    if (done)
        memory_note_write(place.range->ram, place.address - place.range->base, width);
    op_write_x(cpu, op, !done);
    return OP_NEXT;
}

static enum op_result exec_sc_w(struct engine_cpu *cpu, const struct op *op)
{
    return store_conditional(cpu, op, 4);
}

static enum op_result exec_sc_d(struct engine_cpu *cpu, const struct op *op)
{
    return store_conditional(cpu, op, 8);
}

/* "Atomic Memory Operations": what memory holds next is an expression of `old` and `operand`. The
 * compare-exchange loop serves any of them on a host of any byte order. */
#define AMO_LOOP(id, width, type, swap, wide, next)                                                \
    static enum op_result exec_##id(struct engine_cpu *cpu, const struct op *op)                   \
    {                                                                                              \
        struct tlb_place place;                                                                    \
        type operand = cpu->hart->x[op->rs2], old, raw;                                            \
        type *host = (type *)amo_place(cpu, op, width, &place);                                    \
                                                                                                   \
        if (!host)                                                                                 \
            return OP_TRAP;                                                                        \
        raw = __atomic_load_n(host, __ATOMIC_RELAXED);                                             \
        do {                                                                                       \
            old = swap(raw);                                                                       \
        } while (!__atomic_compare_exchange_n(host, &raw, (type)swap((type)(next)), false,         \
                                              __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));                \
        amo_done(&place, width);                                                                   \
        op_write_x(cpu, op, (wide)old);                                                            \
        return OP_NEXT;                                                                            \
    }

#define AMO(name, next)                                                                            \
    AMO_LOOP(name##_w, 4, uint32_t, le32toh, int32_t, next)                                        \
    AMO_LOOP(name##_d, 8, uint64_t, le64toh, int64_t, next)
#define AMO_SIGNED(name, relation)                                                                 \
    AMO_LOOP(name##_w, 4, uint32_t, le32toh, int32_t,                                              \
             (int32_t)old relation(int32_t) operand ? old : operand)                               \
    AMO_LOOP(name##_d, 8, uint64_t, le64toh, int64_t,                                              \
             (int64_t)old relation(int64_t) operand ? old : operand)

AMO(amoswap, operand)
AMO(amoadd, old + operand)
AMO(amoxor, old ^ operand)
AMO(amoand, old &operand)
AMO(amoor, old | operand)
AMO(amominu, old < operand ? old : operand)
AMO(amomaxu, old > operand ? old : operand)
AMO_SIGNED(amomin, <)
AMO_SIGNED(amomax, >)

op_function *const execute_atomic_functions[RISCV_INSN_COUNT] = {
    [RISCV_INSN_LR_W] = exec_lr_w,           [RISCV_INSN_LR_D] = exec_lr_d,
    [RISCV_INSN_SC_W] = exec_sc_w,           [RISCV_INSN_SC_D] = exec_sc_d,
    [RISCV_INSN_AMOSWAP_W] = exec_amoswap_w, [RISCV_INSN_AMOSWAP_D] = exec_amoswap_d,
    [RISCV_INSN_AMOADD_W] = exec_amoadd_w,   [RISCV_INSN_AMOADD_D] = exec_amoadd_d,
    [RISCV_INSN_AMOXOR_W] = exec_amoxor_w,   [RISCV_INSN_AMOXOR_D] = exec_amoxor_d,
    [RISCV_INSN_AMOAND_W] = exec_amoand_w,   [RISCV_INSN_AMOAND_D] = exec_amoand_d,
    [RISCV_INSN_AMOOR_W] = exec_amoor_w,     [RISCV_INSN_AMOOR_D] = exec_amoor_d,
    [RISCV_INSN_AMOMIN_W] = exec_amomin_w,   [RISCV_INSN_AMOMIN_D] = exec_amomin_d,
    [RISCV_INSN_AMOMAX_W] = exec_amomax_w,   [RISCV_INSN_AMOMAX_D] = exec_amomax_d,
    [RISCV_INSN_AMOMINU_W] = exec_amominu_w, [RISCV_INSN_AMOMINU_D] = exec_amominu_d,
    [RISCV_INSN_AMOMAXU_W] = exec_amomaxu_w, [RISCV_INSN_AMOMAXU_D] = exec_amomaxu_d,
};
