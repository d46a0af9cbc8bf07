/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter over cpu/engine.h, on bare RAM and one device, with hand-encoded instructions:
 * what only an engine can get wrong (limits, kicks, self-modified code, flushes, precise traps and
 * counters). What each instruction computes is tested in tests/isa and tests/random. The translator
 * promises all of it too, but for the count of instructions that no guest has looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/engine.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/privileged.h"
#include "riscv_kinds.h"

#define RAM_BASE UINT64_C(0x80000000)
#define RAM_SIZE (UINT64_C(1) << 20)
#define IO_BASE  UINT64_C(0x10000000)

/* Encodings. Volume I, "RV32/64G Instruction Set Listings". */
#define R(op, f3, f7, rd, rs1, rs2)                                                                \
    ((uint32_t)(op) | (rd) << 7 | (f3) << 12 | (rs1) << 15 | (rs2) << 20 | (uint32_t)(f7) << 25)
#define I(op, f3, rd, rs1, imm)                                                                    \
    ((uint32_t)(op) | (rd) << 7 | (f3) << 12 | (rs1) << 15 | (uint32_t)((imm)&0xfff) << 20)
#define ADDI(rd, rs1, imm)     I(0x13, 0, rd, rs1, imm)
#define ADD(rd, rs1, rs2)      R(0x33, 0, 0, rd, rs1, rs2)
#define LUI(rd, imm20)         (0x37u | (rd) << 7 | (uint32_t)(imm20) << 12)
#define LD(rd, rs1, imm)       I(0x03, 3, rd, rs1, imm)
#define LW(rd, rs1, imm)       I(0x03, 2, rd, rs1, imm)
#define SD(rs2, rs1, imm)      R(0x23, 3, ((imm) >> 5) & 0x7f, (imm)&31, rs1, rs2)
#define SW(rs2, rs1, imm)      R(0x23, 2, ((imm) >> 5) & 0x7f, (imm)&31, rs1, rs2)
#define JALR(rd, rs1, imm)     I(0x67, 0, rd, rs1, imm)
#define CSRRW(rd, csr, rs1)    I(0x73, 1, rd, rs1, csr)
#define CSRRS(rd, csr, rs1)    I(0x73, 2, rd, rs1, csr)
#define AMOADD_W(rd, rs2, rs1) R(0x2f, 2, 0, rd, rs1, rs2)
#define ECALL                  0x73u
#define WFI                    0x10500073u
#define FENCE_I                0x100fu
#define ILLEGAL                0xffffffffu
/* beq x0, x0, offset: offset from -4096 to 4094 */
#define BRANCH(offset)                                                                             \
    (0x63u | (((offset) >> 11) & 1) << 7 | (((offset) >> 1) & 15) << 8 |                           \
     (((offset) >> 5) & 63) << 25 | (uint32_t)(((offset) >> 12) & 1) << 31)
#define BNE(rs1, rs2, offset) (BRANCH(offset) | 1 << 12 | (rs1) << 15 | (rs2) << 20)

struct fixture {
    const struct engine_type *type;
    struct address_space *as;
    struct engine *engine;
    struct engine_cpu *cpu;
    struct riscv_hart hart;
    uint64_t io_value;
    unsigned io_count;
};

static uint64_t io_read(void *ctx, uint64_t offset, unsigned width)
{
    return 0x1122334455667788 >> (8 * (offset & 7));
}

static void io_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct fixture *f = ctx;

    f->io_value = value;
    f->io_count++;
}

static const struct io_ops io = {1 | 2 | 4 | 8, io_read, io_write};

static int setup(void **state)
{
    const struct kind *kind = *state;
    struct fixture *f = calloc(1, sizeof(*f));
    struct engine_config config = {.cpu_count = 1, .options = kind->options};

    assert_non_null(f);
    f->type = kind->type;
    assert_int_equal(address_space_new(&f->as), 0);
    assert_int_equal(memory_add_ram(f->as, "ram", RAM_BASE, RAM_SIZE, true, NULL), 0);
    assert_int_equal(memory_add_io(f->as, "io", IO_BASE, 0x1000, &io, f, NULL), 0);
    config.memory = f->as;
    assert_int_equal(f->type->create(&config, &f->engine, NULL), 0);
    assert_int_equal(f->type->cpu_create(f->engine, 0, &f->hart, &f->cpu, NULL), 0);
    riscv_hart_reset(&f->hart, RAM_BASE, 0);
    f->hart.mtvec = RAM_BASE + 0x8000;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->type->cpu_free(f->cpu);
    f->type->free(f->engine);
    address_space_free(f->as);
    free(f);
    return 0;
}

static void put(struct fixture *f, uint64_t at, const uint32_t *code, size_t count)
{
    assert_int_equal(memory_write(f->as, RAM_BASE + at, code, count * 4), 0);
}

#define PUT(f, at, ...)                                                                            \
    put(f, at, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)

static enum cpu_stop run(struct fixture *f, uint64_t limit)
{
    return f->type->run(f->cpu, limit);
}

static void assert_retired(const struct fixture *f, uint64_t count)
{
    if (f->type == &riscv_interpreter)
        assert_int_equal(f->hart.minstret, count);
}

static void test_wait_is_behind_wfi(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 0, 7), ADDI(6, 5, -8), ADD(0, 5, 5), WFI);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[5], 7);
    assert_int_equal(f->hart.x[6], UINT64_MAX);
    assert_int_equal(f->hart.x[0], 0);
    assert_int_equal(f->hart.pc, RAM_BASE + 16);
    assert_retired(f, 4);
}

/* A pending interrupt that is enabled in mie ends a wfi at once, taken or not. */
static void test_wfi_with_interrupt(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, WFI, ADDI(5, 0, 1), WFI);
    f->hart.mie = 1 << RISCV_IRQ_M_SOFT;
    riscv_hart_set_line(&f->hart, RISCV_IRQ_M_SOFT, true);
    assert_int_equal(run(f, 2), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.x[5], 1);
}

static void test_limit_is_exact(void **state)
{
    struct fixture *f = *state;

    /* 1: x5++, 2: x6++, 3: back */
    PUT(f, 0, ADDI(5, 5, 1), ADDI(6, 6, 1), BRANCH(-8));
    for (unsigned limit = 1; limit < 300; limit += 7) {
        uint64_t before = f->hart.minstret;

        assert_int_equal(run(f, limit), CPU_STOP_LIMIT);
        assert_int_equal(f->hart.minstret - before, limit);
        assert_int_equal(f->hart.x[5], (f->hart.minstret + 2) / 3);
        assert_int_equal(f->hart.pc, RAM_BASE + f->hart.minstret % 3 * 4);
    }
}

static void test_trap_is_precise(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 0, 1), ADDI(6, 0, 2), LD(7, 0, 8), ADDI(5, 0, 9));
    PUT(f, 0x8000, WFI);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.mcause, RISCV_EXC_LOAD_ACCESS);
    assert_int_equal(f->hart.mtval, 8);
    assert_int_equal(f->hart.mepc, RAM_BASE + 8);
    assert_int_equal(f->hart.x[5], 1);
    assert_retired(f, 3); /* two, and the wfi */
}

/* A trap whose handler traps again does not go on for ever under a limit, and nothing retires. */
static void test_trap_without_handler(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ILLEGAL);
    f->hart.mtvec = 0;
    assert_int_equal(run(f, 10), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.mcause, RISCV_EXC_FETCH_ACCESS);
    assert_int_equal(f->hart.minstret, 0);
}

static void test_illegal_tells_bits(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ILLEGAL);
    PUT(f, 0x8000, WFI);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.mcause, RISCV_EXC_ILLEGAL);
    assert_int_equal(f->hart.mtval, ILLEGAL);
    /* A compressed one: 16 bits only. */
    f->hart.pc = RAM_BASE + 0x100;
    PUT(f, 0x100, 0xffff0000);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.mtval, 0);
    assert_int_equal(f->hart.mepc, RAM_BASE + 0x100);
}

static void test_device_access(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, LUI(5, 0x10000), LW(6, 5, 4), SD(5, 5, 8), AMOADD_W(7, 5, 5));
    PUT(f, 0x8000, WFI);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[6], 0x11223344);
    assert_int_equal(f->io_count, 1);
    assert_int_equal(f->io_value, IO_BASE);
    assert_int_equal(f->hart.mcause, RISCV_EXC_STORE_ACCESS);
    assert_int_equal(f->hart.mepc, RAM_BASE + 12);
}

static void test_fetch_from_device(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, LUI(5, 0x10000), JALR(0, 5, 4));
    PUT(f, 0x8000, WFI);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.mcause, RISCV_EXC_FETCH_ACCESS);
    assert_int_equal(f->hart.mepc, IO_BASE + 4);
    assert_int_equal(f->hart.mtval, IO_BASE + 4);
}

static void test_misaligned(void **state)
{
    struct fixture *f = *state;
    uint64_t value = 0;

    PUT(f, 0, SD(6, 5, 0), LD(7, 5, 0), LW(8, 5, 1), WFI);
    /* Across a page. */
    f->hart.x[5] = RAM_BASE + 0x5ffd;
    f->hart.x[6] = 0x8877665544332211;
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[7], 0x8877665544332211);
    assert_int_equal(f->hart.x[8], 0x55443322);
    assert_int_equal(memory_read(f->as, RAM_BASE + 0x5ffd, &value, 8), 0);
    assert_int_equal(value, 0x8877665544332211);
}

/* The second page of a misaligned store is not there: nothing is written, and tval is its start. */
static void test_misaligned_at_the_end(void **state)
{
    struct fixture *f = *state;
    uint32_t value = 1;

    PUT(f, 0, SD(6, 5, 0));
    PUT(f, 0x8000, WFI);
    f->hart.x[5] = RAM_BASE + RAM_SIZE - 4;
    f->hart.x[6] = UINT64_MAX;
    f->hart.x[5] += 1;
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.mcause, RISCV_EXC_STORE_ACCESS);
    assert_int_equal(f->hart.mtval, RAM_BASE + RAM_SIZE);
    assert_int_equal(memory_read(f->as, RAM_BASE + RAM_SIZE - 4, &value, 4), 0);
    assert_int_equal(value, 0);
}

/* The guest rewrites an instruction that it has executed, in the same page; after fence.i the new
 * one counts. */
static void test_self_modified_code(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 0, 1), BNE(7, 0, 24), SW(6, 8, 0), FENCE_I, ADDI(7, 0, 1), BRANCH(-20), 0,
        WFI);
    f->hart.x[6] = ADDI(5, 0, 2);
    f->hart.x[8] = RAM_BASE;
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[5], 2);
}

/* Another thread's write (a device's DMA) counts after fence.i, and after flush_code(). */
static void test_code_written_from_outside(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 0, 1), WFI, FENCE_I, BRANCH(-12));
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    PUT(f, 0, ADDI(5, 0, 2));
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[5], 2);
    PUT(f, 0, ADDI(5, 0, 3));
    f->type->flush_code(f->cpu);
    f->hart.pc = RAM_BASE;
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[5], 3);
}

/* An instruction whose halves are in two pages is executed, and so is another second half. */
static void test_instruction_across_pages(void **state)
{
    struct fixture *f = *state;
    uint32_t code = ADDI(5, 5, 1), other = ADDI(5, 5, 16);
    uint32_t jump = JALR(0, 6, 0);

    f->hart.x[6] = RAM_BASE + 0x1ffe;
    f->hart.pc = RAM_BASE + 0x1ffe;
    assert_int_equal(memory_write(f->as, RAM_BASE + 0x1ffe, &code, 4), 0);
    assert_int_equal(memory_write(f->as, RAM_BASE + 0x2002, &jump, 4), 0);
    assert_int_equal(run(f, 200), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.x[5], 100);
    /* Only the second page changes; the first has the block. */
    assert_int_equal(memory_write(f->as, RAM_BASE + 0x2000, (char *)&other + 2, 2), 0);
    assert_int_equal(run(f, 200), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.x[5], 100 + 1600);
}

static void test_breakpoint(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 5, 1), ADDI(6, 6, 1), BRANCH(-8));
    assert_int_equal(f->type->breakpoint(f->cpu, RAM_BASE + 4, true), 0);
    assert_int_equal(run(f, 0), CPU_STOP_BREAKPOINT);
    assert_int_equal(f->hart.pc, RAM_BASE + 4);
    assert_int_equal(f->hart.x[5], 1);
    assert_int_equal(f->hart.x[6], 0);
    assert_int_equal(run(f, 0), CPU_STOP_BREAKPOINT);
    assert_int_equal(f->hart.x[6], 1);
    assert_int_equal(f->type->breakpoint(f->cpu, RAM_BASE + 4, false), 0);
    assert_int_equal(run(f, 100), CPU_STOP_LIMIT);
}

/* A run() that begins at a breakpoint goes past it, but not past that of the handler to which an
 * interrupt leads before. */
static void test_breakpoint_of_a_handler(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 5, 1), BRANCH(-4));
    PUT(f, 0x100, ADDI(6, 6, 1), BRANCH(-4));
    f->hart.mtvec = RAM_BASE + 0x100;
    f->hart.mie = RISCV_IRQ_BIT(RISCV_IRQ_M_SOFT);
    f->hart.mstatus |= MSTATUS_MIE;
    assert_int_equal(f->type->breakpoint(f->cpu, RAM_BASE, true), 0);
    assert_int_equal(f->type->breakpoint(f->cpu, RAM_BASE + 0x100, true), 0);
    assert_int_equal(run(f, 0), CPU_STOP_BREAKPOINT);
    assert_int_equal(f->hart.pc, RAM_BASE);
    riscv_hart_set_line(&f->hart, RISCV_IRQ_M_SOFT, true);
    assert_int_equal(run(f, 0), CPU_STOP_BREAKPOINT);
    assert_int_equal(f->hart.pc, RAM_BASE + 0x100);
    assert_int_equal(f->hart.x[6], 0);
    assert_int_equal(f->hart.mepc, RAM_BASE);
}

/* One step is one instruction, or one interrupt taken, whatever else is asked meanwhile. */
static void test_step(void **state)
{
    struct fixture *f = *state;

    PUT(f, 0, ADDI(5, 5, 1), ADDI(5, 5, 1), BRANCH(-8));
    PUT(f, 0x100, ADDI(6, 6, 1), BRANCH(-4));
    f->hart.mtvec = RAM_BASE + 0x100;
    f->hart.mie = RISCV_IRQ_BIT(RISCV_IRQ_M_SOFT);
    f->hart.mstatus |= MSTATUS_MIE;
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.pc, RAM_BASE + 4);
    riscv_hart_set_line(&f->hart, RISCV_IRQ_M_SOFT, true);
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.pc, RAM_BASE + 0x100);
    assert_int_equal(f->hart.x[6], 0);
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.x[6], 1);
}

static uint64_t kicking_time(void *ctx)
{
    struct fixture *f = ctx;

    f->type->kick(f->cpu);
    return 1234;
}

/* Whoever counts steps must not take one for none because a kick came in the midst of it. */
static void test_kick_in_a_step(void **state)
{
    struct fixture *f = *state;
    const struct riscv_platform platform = {.time = kicking_time, .ctx = f};

    PUT(f, 0, 0xc01022f3 /* csrr t0, time */, ADDI(6, 6, 1));
    f->hart.platform = &platform;
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.x[5], 1234);
    assert_int_equal(run(f, 1), CPU_STOP_KICK);
    assert_int_equal(f->hart.x[6], 0);
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.x[6], 1);
}

static void *kicker(void *arg)
{
    struct fixture *f = arg;

    f->type->flush_tlb(f->cpu, 0, UINT64_MAX, UINT64_MAX);
    f->type->flush_code(f->cpu);
    f->type->kick(f->cpu);
    return NULL;
}

/* A loop that never ends by itself is flushed and kicked from another thread. */
static void test_kick(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    PUT(f, 0, ADDI(5, 5, 1), BRANCH(-4));
    /* On a busy host the kick may come before the loop does, some times. */
    for (unsigned i = 0; i < 20 || (!f->hart.x[5] && i < 10000); i++) {
        assert_int_equal(thread_start(&thread, "kicker", kicker, f), 0);
        assert_int_equal(run(f, 0), CPU_STOP_KICK);
        pthread_join(thread, NULL);
    }
    assert_true(f->hart.x[5] > 0);
    /* The request is consumed. */
    assert_int_equal(run(f, 10), CPU_STOP_LIMIT);
}

static void test_counters_csr(void **state)
{
    struct fixture *f = *state;

    enum { MINSTRET = 0xb02, MCYCLE = 0xb00, INHIBIT = 0x320 };

    PUT(f, 0, ADDI(5, 0, 100), CSRRW(6, MINSTRET, 5), CSRRS(7, MINSTRET, 0), ADDI(0, 0, 0),
        CSRRS(8, MINSTRET, 0), ADDI(9, 0, 4), CSRRW(0, INHIBIT, 9), CSRRS(10, MINSTRET, 0),
        CSRRS(11, MINSTRET, 0), CSRRS(12, MCYCLE, 0), WFI);
    assert_int_equal(run(f, 0), CPU_STOP_WAIT);
    assert_int_equal(f->hart.x[6], 1);
    assert_int_equal(f->hart.x[7], 100);
    assert_int_equal(f->hart.x[8], 102);
    assert_int_equal(f->hart.x[10], f->hart.x[11]);
    assert_int_equal(f->hart.x[12], 9);
}

/* Where RAM is mapped by a gigapage: in the other half of the address space, so that large mappings
 * of the lower half are those of the test. */
#define HIGH UINT64_C(0xffffffc080000000)

/* One load of S-mode code at the start of RAM; x5 is the address and x6 the value. */
static uint64_t load_translated(struct fixture *f, uint64_t vaddr)
{
    f->hart.pc = HIGH;
    f->hart.x[5] = vaddr;
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.pc, HIGH + 4);
    return f->hart.x[6];
}

static void put64(struct fixture *f, uint64_t at, uint64_t value)
{
    assert_int_equal(memory_write(f->as, RAM_BASE + at, &value, 8), 0);
}

/* Old translations are used until they are flushed, and not after; a superpage goes by any of its
 * addresses; another address space stays. */
static void test_flush_tlb(void **state)
{
    struct fixture *f = *state;
    const uint64_t root = RAM_BASE + 0x10000, middle = root + 0x1000, low = root + 0x2000;
    const uint64_t leaf = 0xcf, asid = 7; /* V R W X A D */

    f->hart.hosted_firmware = true;
    riscv_hart_reset(&f->hart, RAM_BASE, 0);
    f->hart.satp = UINT64_C(8) << 60 | asid << 44 | root >> 12;
    PUT(f, 0, LD(6, 5, 0));
    put64(f, 0x10000 + 258 * 8, (RAM_BASE >> 12) << 10 | leaf);
    put64(f, 0x10000, (middle >> 12) << 10 | 1);
    put64(f, 0x11000, (low >> 12) << 10 | 1);
    put64(f, 0x12000 + 8, ((RAM_BASE + 0x20000) >> 12) << 10 | leaf);
    put64(f, 0x11000 + 8, (RAM_BASE >> 12) << 10 | leaf); /* 2 MiB at 0x200000 */
    put64(f, 0x20000, 1);
    put64(f, 0x21000, 2);
    put64(f, 0x23000, 3);
    assert_int_equal(load_translated(f, 0x1000), 1);
    assert_int_equal(load_translated(f, 0x223000), 3);

    put64(f, 0x12000 + 8, ((RAM_BASE + 0x21000) >> 12) << 10 | leaf);
    put64(f, 0x11000 + 8, 0);
    f->type->flush_tlb(f->cpu, 0x1000, 0x1000, asid + 1);
    f->type->flush_tlb(f->cpu, 0x2000, 0x1000, asid);
    assert_int_equal(load_translated(f, 0x1000), 1);
    f->type->flush_tlb(f->cpu, 0x1008, 8, asid);
    assert_int_equal(load_translated(f, 0x1000), 2);
    assert_int_equal(load_translated(f, 0x223000), 3);
    f->type->flush_tlb(f->cpu, 0x3ff000, 1, UINT64_MAX);
    f->hart.pc = HIGH;
    f->hart.x[5] = 0x223000;
    assert_int_equal(run(f, 1), CPU_STOP_LIMIT);
    assert_int_equal(f->hart.scause, RISCV_EXC_LOAD_PAGE);
    assert_int_equal(f->hart.stval, 0x223000);

    /* All there is, and more requests than are kept apart. */
    put64(f, 0x12000 + 8, ((RAM_BASE + 0x20000) >> 12) << 10 | leaf);
    f->hart.privilege = RISCV_S;
    for (unsigned i = 0; i < 20; i++)
        f->type->flush_tlb(f->cpu, 0x100000, 0x1000, asid);
    assert_int_equal(load_translated(f, 0x1000), 1);
    put64(f, 0x12000 + 8, ((RAM_BASE + 0x21000) >> 12) << 10 | leaf);
    f->type->flush_tlb(f->cpu, 0, UINT64_MAX, UINT64_MAX);
    assert_int_equal(load_translated(f, 0x1000), 2);
}

/* A page is mapped elsewhere while its code runs, and a branch within it goes to the new page. The
 * old page, where it is mapped still, has its own code behind the branch. */
static void test_remapped_under_code(void **state)
{
    struct fixture *f = *state;
    const uint64_t root = RAM_BASE + 0x10000, middle = root + 0x1000, low = root + 0x2000;
    const uint64_t leaf = 0xcf, first = RAM_BASE + 0x20000, second = first + 0x1000;

    f->hart.hosted_firmware = true;
    riscv_hart_reset(&f->hart, RAM_BASE, 0);
    f->hart.satp = UINT64_C(8) << 60 | root >> 12;
    put64(f, 0x10000 + 258 * 8, (RAM_BASE >> 12) << 10 | leaf);
    put64(f, 0x10000, (middle >> 12) << 10 | 1);
    put64(f, 0x11000, (low >> 12) << 10 | 1);
    put64(f, 0x12000 + 8, (first >> 12) << 10 | leaf);
    put64(f, 0x12000 + 16, (first >> 12) << 10 | leaf);
    put64(f, 0x12000 + 24, (second >> 12) << 10 | leaf);
    PUT(f, 0x20000, SD(7, 8, 0), AMOADD_W(0, 0, 9), BRANCH(24));
    PUT(f, 0x20020, ADDI(6, 0, 1), ECALL);
    PUT(f, 0x21020, ADDI(6, 0, 2), ECALL);
    f->hart.pc = 0x3020;
    assert_int_equal(run(f, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(f->hart.x[6], 2);

    f->hart.x[7] = (second >> 12) << 10 | leaf;
    f->hart.x[8] = HIGH + 0x12008;
    f->hart.x[9] = 0x1800;
    f->hart.pc = 0x1000;
    assert_int_equal(run(f, 0), CPU_STOP_FIRMWARE);
    f->type->flush_tlb(f->cpu, 0, UINT64_MAX, UINT64_MAX);
    f->hart.pc = 0x2000;
    assert_int_equal(run(f, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(f->hart.pc, 0x2024);
    assert_int_equal(f->hart.x[6], 1);
}

static void test_firmware(void **state)
{
    struct fixture *f = *state;

    f->hart.hosted_firmware = true;
    riscv_hart_reset(&f->hart, RAM_BASE, 0);
    PUT(f, 0, ADDI(5, 0, 1), ECALL);
    assert_int_equal(run(f, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(f->hart.mcause, RISCV_EXC_ECALL_S);
    assert_int_equal(f->hart.mepc, RAM_BASE + 4);
    assert_int_equal(f->hart.pc, RAM_BASE + 4);
    assert_int_equal(f->hart.privilege, RISCV_S);
}

static int run_group(const char *name, const struct kind *kind)
{
    void *prestate = (void *)kind;
    const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_prestate_setup_teardown(function, setup, teardown, prestate)
        TEST(test_wait_is_behind_wfi),
        TEST(test_wfi_with_interrupt),
        TEST(test_limit_is_exact),
        TEST(test_trap_is_precise),
        TEST(test_trap_without_handler),
        TEST(test_illegal_tells_bits),
        TEST(test_device_access),
        TEST(test_fetch_from_device),
        TEST(test_misaligned),
        TEST(test_misaligned_at_the_end),
        TEST(test_self_modified_code),
        TEST(test_code_written_from_outside),
        TEST(test_instruction_across_pages),
        TEST(test_breakpoint),
        TEST(test_breakpoint_of_a_handler),
        TEST(test_step),
        TEST(test_kick_in_a_step),
        TEST(test_kick),
        TEST(test_counters_csr),
        TEST(test_flush_tlb),
        TEST(test_remapped_under_code),
        TEST(test_firmware),
#undef TEST
    };

    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return kinds_run(run_group);
}
