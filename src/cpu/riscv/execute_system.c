/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fences, cache blocks, CSRs and the privileged instructions; and the two ops that are no
 * instruction of the guest: the illegal one, and the look at an instruction's second half.
 */
#include <sched.h>

#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/native.h"
#include "cpu/riscv/privileged.h"

enum op_result exec_illegal(struct engine_cpu *cpu, const struct op *op)
{
    return op_illegal(cpu, op);
}

/* In front of an instruction that begins in one page and ends in the next: op[1].raw is the second
 * half that was decoded. Another one there makes the block a bad one. */
enum op_result exec_cross_page(struct engine_cpu *cpu, const struct op *op)
{
    uint16_t half;

    if (!access_fetch(cpu, cpu->base + 2, &half))
        return OP_TRAP;
    if (half == op[1].raw)
        return OP_NEXT;
    code_drop(cpu, op);
    cpu->hart->pc = cpu->base;
    return OP_EXIT;
}

/* ---- I, "Memory Ordering Instructions" ---- */

/* A host that orders stores (x86) pays for one case only: earlier stores before later loads. */
static enum op_result exec_fence(struct engine_cpu *cpu, const struct op *op)
{
    if (riscv_fence_is_full(op->imm))
        atomic_thread_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_acq_rel);
    return OP_NEXT;
}

static enum op_result exec_fence_tso(struct engine_cpu *cpu, const struct op *op)
{
    atomic_thread_fence(memory_order_acq_rel);
    return OP_NEXT;
}

/* Zihintpause. A guest spins on what another hart does, which may be waiting for this thread's
 * core. */
static enum op_result exec_pause(struct engine_cpu *cpu, const struct op *op)
{
    sched_yield();
    return OP_NEXT;
}

/* Zifencei */
static enum op_result exec_fence_i(struct engine_cpu *cpu, const struct op *op)
{
    cpu_fence_i(cpu);
    return op_exit(cpu, op);
}

/* ---- Zicbom, Zicboz: blocks of 64 bytes (Zic64b) ---- */

enum { CACHE_BLOCK = 64 };

/* Caches are the host's and coherent: what is left is the permission. A block may be managed
 * whenever it may be loaded from or stored to; a fault is a store's, and tells rs1. */
static enum op_result cbo_manage(struct engine_cpu *cpu, const struct op *op, uint64_t bits)
{
    uint64_t vaddr = cpu->hart->x[op->rs1];
    struct tlb_place place;
    int error;

    if (!riscv_cbo_allowed(cpu->hart, bits))
        return op_illegal(cpu, op);
    error = tlb_lookup(cpu, cpu->data, vaddr & ~(uint64_t)(CACHE_BLOCK - 1), CACHE_BLOCK,
                       RISCV_LOAD, &place);
    if (error == RISCV_EXC_LOAD_PAGE)
        return op_trap(cpu, RISCV_EXC_STORE_PAGE, vaddr);
    if (error)
        return op_trap(cpu, RISCV_EXC_STORE_ACCESS, vaddr);
    return OP_NEXT;
}

static enum op_result exec_cbo_inval(struct engine_cpu *cpu, const struct op *op)
{
    return cbo_manage(cpu, op, ENVCFG_CBIE);
}

static enum op_result exec_cbo_clean(struct engine_cpu *cpu, const struct op *op)
{
    return cbo_manage(cpu, op, ENVCFG_CBCFE);
}

static enum op_result exec_cbo_flush(struct engine_cpu *cpu, const struct op *op)
{
    return cbo_manage(cpu, op, ENVCFG_CBCFE);
}

static enum op_result exec_cbo_zero(struct engine_cpu *cpu, const struct op *op)
{
    static const uint8_t zeros[CACHE_BLOCK];
    uint64_t vaddr = cpu->hart->x[op->rs1];
    struct tlb_place place;
    int error;

    if (!riscv_cbo_allowed(cpu->hart, ENVCFG_CBZE))
        return op_illegal(cpu, op);
    error = tlb_lookup(cpu, cpu->data, vaddr & ~(uint64_t)(CACHE_BLOCK - 1), CACHE_BLOCK,
                       RISCV_STORE, &place);
    if (!error && !place.host)
        error = RISCV_EXC_STORE_ACCESS;
    if (error)
        return op_trap(cpu, error, vaddr);
    guest_copy_out(place.host, zeros, CACHE_BLOCK);
    memory_note_write(place.range->ram, place.address - place.range->base, CACHE_BLOCK);
    return OP_NEXT;
}

/* ---- Zicsr ---- */

/* cycle, instret, what they are written by and what stops them. */
static bool is_counter(unsigned csr)
{
    return csr == 0xc00 || csr == 0xc02 || csr == 0xb00 || csr == 0xb02 || csr == 0x320;
}

/* What regimes depend on besides satp and the mode. */
#define REGIME_STATUS (MSTATUS_SUM | MSTATUS_MXR | MSTATUS_MPRV | MSTATUS_MPP)

static enum op_result csr_do(struct engine_cpu *cpu, const struct op *op, enum riscv_csr_op kind,
                             uint64_t operand)
{
    struct riscv_hart *hart = cpu->hart;
    uint64_t value = operand;
    unsigned effects;
    bool counter = is_counter(op->imm);
    bool counts_now = counter && cpu->native && native_count(cpu);
    uint64_t status = hart->mstatus, satp = hart->satp;

    hart->counters_read |= counter;
    cpu_count_sync(cpu, op);
    effects = riscv_csr_access(hart, op->imm, kind, op->rd != 0, &value);
    if (effects & RISCV_CSR_ILLEGAL)
        return op_illegal(cpu, op);
    op_write_x(cpu, op, value);
    if (!effects && !counts_now)
        return OP_NEXT;
    if (effects & RISCV_CSR_FLUSH)
        tlb_flush_all(cpu);
    else if (!counts_now && !((status ^ hart->mstatus) & REGIME_STATUS) && satp == hart->satp &&
             riscv_interrupt_pick(hart) < 0)
        return OP_NEXT; /* most often: interrupts were disabled or enabled, and none waits */
    else
        tlb_review(cpu);
    return op_exit(cpu, op);
}

static enum op_result exec_csrrw(struct engine_cpu *cpu, const struct op *op)
{
    return csr_do(cpu, op, RISCV_CSR_WRITE, cpu->hart->x[op->rs1]);
}

static enum op_result exec_csrrs(struct engine_cpu *cpu, const struct op *op)
{
    return csr_do(cpu, op, op->rs1 ? RISCV_CSR_SET : RISCV_CSR_READ, cpu->hart->x[op->rs1]);
}

static enum op_result exec_csrrc(struct engine_cpu *cpu, const struct op *op)
{
    return csr_do(cpu, op, op->rs1 ? RISCV_CSR_CLEAR : RISCV_CSR_READ, cpu->hart->x[op->rs1]);
}

static enum op_result exec_csrrwi(struct engine_cpu *cpu, const struct op *op)
{
    return csr_do(cpu, op, RISCV_CSR_WRITE, op->rs1);
}

static enum op_result exec_csrrsi(struct engine_cpu *cpu, const struct op *op)
{
    return csr_do(cpu, op, op->rs1 ? RISCV_CSR_SET : RISCV_CSR_READ, op->rs1);
}

static enum op_result exec_csrrci(struct engine_cpu *cpu, const struct op *op)
{
    return csr_do(cpu, op, op->rs1 ? RISCV_CSR_CLEAR : RISCV_CSR_READ, op->rs1);
}

/* ---- environment calls, returns, waiting ---- */

static enum op_result exec_ecall(struct engine_cpu *cpu, const struct op *op)
{
    return op_trap(cpu, RISCV_EXC_ECALL_U + cpu->hart->privilege, 0);
}

static enum op_result exec_ebreak(struct engine_cpu *cpu, const struct op *op)
{
    return op_trap(cpu, RISCV_EXC_BREAKPOINT, op_pc(cpu, op));
}

/* Privileged, "Trap-Return Instructions"; TSR in "Virtualization Support in mstatus Register". */
static enum op_result exec_sret(struct engine_cpu *cpu, const struct op *op)
{
    struct riscv_hart *hart = cpu->hart;

    if (hart->privilege < RISCV_S || (hart->privilege == RISCV_S && (hart->mstatus & MSTATUS_TSR)))
        return op_illegal(cpu, op);
    riscv_sret(hart);
    tlb_review(cpu);
    return OP_EXIT;
}

static enum op_result exec_mret(struct engine_cpu *cpu, const struct op *op)
{
    if (cpu->hart->privilege < RISCV_M)
        return op_illegal(cpu, op);
    riscv_mret(cpu->hart);
    tlb_review(cpu);
    return OP_EXIT;
}

/* Privileged, "Wait for Interrupt". It waits without a bound, so U may not, nor S under TW. */
static enum op_result exec_wfi(struct engine_cpu *cpu, const struct op *op)
{
    struct riscv_hart *hart = cpu->hart;

    if (hart->privilege == RISCV_U || (hart->privilege == RISCV_S && (hart->mstatus & MSTATUS_TW)))
        return op_illegal(cpu, op);
    if (!riscv_hart_has_interrupt(hart)) {
        cpu->stopping = true;
        cpu->stop = CPU_STOP_WAIT;
    }
    return op_exit(cpu, op);
}

/* Zawrs. The wait may end for any reason: here it ends when another thread had its turn, which is
 * also within any bound that TW would ask for. */
static enum op_result exec_wrs(struct engine_cpu *cpu, const struct op *op)
{
    sched_yield();
    return op_exit(cpu, op);
}

/* ---- Privileged, "Supervisor Memory-Management Fence Instruction"; Svinval ---- */

static bool fence_allowed(const struct riscv_hart *hart)
{
    return hart->privilege == RISCV_M ||
           (hart->privilege == RISCV_S && !(hart->mstatus & MSTATUS_TVM));
}

static enum op_result exec_sfence_vma(struct engine_cpu *cpu, const struct op *op)
{
    const uint64_t *x = cpu->hart->x;
    const struct tlb *fetch = cpu->fetch, *data = cpu->data;

    if (!fence_allowed(cpu->hart))
        return op_illegal(cpu, op);
    tlb_flush(cpu, !op->rs1, x[op->rs1], !op->rs2, x[op->rs2]);
    /* A kernel that fences a page of a program, or a program's address space, goes on: nothing that
     * is known of its own half has changed. */
    if (fetch == cpu->fetch && data == cpu->data && fetch == data && !fetch->has_lower &&
        cpu->upper_global && cpu->base >> 63 && (op->rs1 ? !(x[op->rs1] >> 63) : op->rs2 != 0))
        return OP_NEXT;
    return op_exit(cpu, op);
}

/* The invalidation takes place at once, so the fences around it only need the permission: TVM is
 * not theirs. */
static enum op_result exec_sfence_inval(struct engine_cpu *cpu, const struct op *op)
{
    if (cpu->hart->privilege < RISCV_S)
        return op_illegal(cpu, op);
    return op_exit(cpu, op);
}

op_function *const execute_system_functions[RISCV_INSN_COUNT] = {
    [RISCV_INSN_ILLEGAL] = exec_illegal,
    [RISCV_INSN_FENCE] = exec_fence,
    [RISCV_INSN_FENCE_TSO] = exec_fence_tso,
    [RISCV_INSN_PAUSE] = exec_pause,
    [RISCV_INSN_FENCE_I] = exec_fence_i,
    [RISCV_INSN_CBO_INVAL] = exec_cbo_inval,
    [RISCV_INSN_CBO_CLEAN] = exec_cbo_clean,
    [RISCV_INSN_CBO_FLUSH] = exec_cbo_flush,
    [RISCV_INSN_CBO_ZERO] = exec_cbo_zero,
    [RISCV_INSN_CSRRW] = exec_csrrw,
    [RISCV_INSN_CSRRS] = exec_csrrs,
    [RISCV_INSN_CSRRC] = exec_csrrc,
    [RISCV_INSN_CSRRWI] = exec_csrrwi,
    [RISCV_INSN_CSRRSI] = exec_csrrsi,
    [RISCV_INSN_CSRRCI] = exec_csrrci,
    [RISCV_INSN_ECALL] = exec_ecall,
    [RISCV_INSN_EBREAK] = exec_ebreak,
    [RISCV_INSN_SRET] = exec_sret,
    [RISCV_INSN_MRET] = exec_mret,
    [RISCV_INSN_WFI] = exec_wfi,
    [RISCV_INSN_WRS_NTO] = exec_wrs,
    [RISCV_INSN_WRS_STO] = exec_wrs,
    [RISCV_INSN_SFENCE_VMA] = exec_sfence_vma,
    [RISCV_INSN_SINVAL_VMA] = exec_sfence_vma,
    [RISCV_INSN_SFENCE_W_INVAL] = exec_sfence_inval,
    [RISCV_INSN_SFENCE_INVAL_IR] = exec_sfence_inval,
};
