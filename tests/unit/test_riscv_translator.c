/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator as an engine, over cpu/engine.h, on bare RAM and with a few lines of guest code:
 * the same results as the interpreter, exact counting, every kind of loop stopped, returns to
 * anywhere. Code that changes is in test_riscv_translator_code.c; what each instruction computes,
 * in tests/isa and tests/random.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/riscv/lift.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"

#define RAM_SIZE (UINT64_C(4) << 20)
#define DATA     0x10000 /* of RAM, for programs */

static const char *const permutations[] = {
    NULL, "heat=0", "heat=0,unit=1", "heat=3,windows=0", "heat=0,windows=2", "heat=0,code=1M",
};

static struct rig *translator(const char *options)
{
    return rig_new(&riscv_translator, options, 1, RAM_SIZE);
}

/* ---- the same as the interpreter ---- */

struct program {
    const char *name;
    uint32_t code[48];
    uint64_t a0, a1, a2; /* a0 is DATA's address if 0 */
    uint64_t wanted;     /* of a0 in the end */
};

#define ROWS "rows of loads and stores over a page's end, a1 times"

static const struct program programs[] = {
    {
        .name = "sum of 1 to a0",
        .code = {LI(A1, 0), ADD(A1, A1, A0), ADDI(A0, A0, -1), BNEZ(A0, -8), MV(A0, A1), WFI},
        .a0 = 1000,
        .wanted = 500500,
    },
    {
        .name = "Fibonacci number a0, by two calls",
        .code = {JAL(RA, 8), WFI, LI(T0, 2), BGEU(A0, T0, 8), RET,
                 /* more than one */
                 ADDI(SP, SP, -16), SD(RA, SP, 0), SD(A0, SP, 8), ADDI(A0, A0, -1), JAL(RA, -28),
                 LD(T0, SP, 8), SD(A0, SP, 8), ADDI(A0, T0, -2), JAL(RA, -44), LD(T0, SP, 8),
                 ADD(A0, A0, T0), LD(RA, SP, 0), ADDI(SP, SP, 16), RET},
        .a0 = 15,
        .wanted = 610,
    },
    {
        .name = "a checksum of a1 bytes that a generator makes, backward",
        .code = {ADD(T0, A0, A1), LI(T1, 1), LUI(T2, 0x41c64), ADDIW(T2, T2, 0x66d),
                 /* the bytes */
                 MUL(T1, T1, T2), ADDI(T1, T1, 57), SRLI(T3, T1, 33), ADDI(T0, T0, -1),
                 SB(T3, T0, 0), BNE(T0, A0, -20),
                 /* their sum */
                 LI(T4, 0), ADD(T5, A0, A1), ADDI(T5, T5, -1), LBU(T3, T5, 0), RORI(T4, T4, 59),
                 XOR(T4, T4, T3), BNE(T5, A0, -16), MV(A0, T4), WFI},
        .a1 = 3000,
        .wanted = 0xae9b350a99de101d,
    },
    {
        .name = "a selection by a table of addresses, a1 times",
        .code = {AUIPC(T0, 0), ANDI(T1, A1, 3), SLLI(T1, T1, 3), ADD(T1, T1, T0), JALR(RA, T1, 32),
                 ADDI(A1, A1, -1), BNEZ(A1, -20), WFI,
                 /* four functions of two instructions */
                 ADDI(A2, A2, 1), RET, SLLI(A2, A2, 1), RET, XORI(A2, A2, 0x55), RET,
                 RORI(A2, A2, 7), RET},
        .a1 = 500,
        .wanted = RAM_BASE + DATA,
    },
    {
        .name = "jumps that note where they came from, but are no calls, a1 times",
        .code = {AUIPC(T0, 0), JALR(T1, T0, 28), XOR(A0, A0, T1), RORI(A0, A0, 3), ADDI(A1, A1, -1),
                 BNEZ(A1, -20), WFI,
                 /* there, and back */
                 ADD(A0, A0, T1), JALR(T1, T1, 0)},
        .a0 = 1,
        .a1 = 300,
        .wanted = 0x70000058000065e8,
    },
    {
        .name = "calls by way of a table that jumps on, as a linker makes it, a1 times",
        .code = {AUIPC(S0, 0), JAL(RA, 28), JAL(RA, 32), ADDI(A1, A1, -1), BNEZ(A1, -12), WFI, NOP,
                 NOP,
                 /* 0x20: two entries */
                 ADDI(T2, S0, 0x30), JALR(T1, T2, 0), ADDI(T2, S0, 0x3c), JALR(T1, T2, 0),
                 /* 0x30: where they lead */
                 XOR(A0, A0, T1), RORI(A0, A0, 3), RET, ADD(A0, A0, T1), RET},
        .a0 = 1,
        .a1 = 300,
        .wanted = 0xa0a81aafd3a15b31,
    },
    {
        .name = "floating point: a series, with its rounding and flags",
        .code = {LI(T0, 1), FCVT_D_L(0, T0), FCVT_D_L(1, 0), MV(T1, T0), CSRRW(0, CSR_FRM, A2),
                 /* f1 = f1 * f0 + 1 / t1 */
                 FCVT_D_L(2, T1), FDIV_D(3, 0, 2), FMADD_D(1, 1, 0, 3), ADDI(T1, T1, 1),
                 BNE(T1, A1, -16), FMV_X_D(A0, 1), CSRRS(A1, CSR_FCSR, 0), WFI},
        .a1 = 200,
        .a2 = 2,
        .wanted = 0x40177dfbd32a4f08,
    },
    {
        .name = "a double that is no number, read as the single that its lower half is",
        .code = {FMV_D_X(28, A1), FCVT_D_L(9, A2), FMV_D_X(17, A1), FDIV_D(0, 28, 9),
                 /* fmul.s, fmv.x.d */
                 INSN_R(0x53, 7, 0x08, 1, 17, 0), FMV_X_D(A0, 1), WFI},
        .a1 = 0xffffffff3e800000,
        .a2 = 1,
        .wanted = 0xffffffff7fc00000,
    },
    {
        .name = "a double that a static rounding mode made, read as a single",
        .code = {FCVT_D_L(1, A1), FCVT_D_L(2, A2),
                 /* fadd.s f3, f3, f3: boxed; fadd.d f3, f1, f2, rtz; fadd.s f4, f3, f3 */
                 INSN_R(0x53, 7, 0x00, 3, 3, 3), INSN_R(0x53, 1, 0x01, 3, 1, 2),
                 INSN_R(0x53, 7, 0x00, 4, 3, 3), FMV_X_D(A0, 4), WFI},
        .a1 = 1,
        .a2 = 2,
        .wanted = 0xffffffff7fc00000,
    },
    {
        .name = "atomics and misaligned accesses over a page's end",
        .code = {LUI(T0, 1), ADD(T0, T0, A0), ADDI(T1, T0, -5), LI(T2, 300),
                 /* a round */
                 RORI(T6, T6, 11), XOR(T6, T6, T2), SD(T6, T1, 0), LW(T3, T1, 1),
                 AMOADD_D(T4, T3, T0), AMOXOR_D(T5, T6, T0), LR_D(A4, T0, 0), ADD(A4, A4, T5),
                 SC_D(A3, A4, T0, 0), ADD(T6, T6, A4), AMOADD_W(0, T2, A0), ADDI(T2, T2, -1),
                 BNEZ(T2, -48), LD(A0, T0, 0), WFI},
        .wanted = 0xffe00001fffffffe,
    },
    {
        .name = ROWS,
        .code = {LUI(T0, 1), ADD(T0, T0, A0), LI(T1, 0x285), SLLI(T2, T1, 53), OR(T1, T1, T2),
                 /* a round: stores on both sides of the end */
                 SD(T1, T0, -8), SW(T1, T0, 0), SH(T1, T0, 4), SB(T1, T0, 6), SD(T1, T0, -16),
                 SW(T1, T0, -20), SH(T1, T0, -22), SB(T1, T0, -23), SD(T1, T0, 8), XOR(T1, T1, A0),
                 /* and loads, some of negative numbers */
                 LB(T2, T0, -1), LBU(T3, T0, -1), LH(T4, T0, -2), LHU(T5, T0, -2), LW(T6, T0, -4),
                 LWU(A3, T0, -4), LD(A4, T0, -8), LB(A5, T0, 0), LH(A6, T0, 2), LW(A7, T0, 12),
                 LWU(S0, T0, 12), LD(S1, T0, 8), ADD(T2, T2, T3), XOR(T4, T4, T5), SUB(T6, T6, A3),
                 ADD(A4, A4, A5), XOR(A6, A6, A7), ADD(S0, S0, S1), ADD(T1, T1, T2),
                 ADD(T1, T1, T4), XOR(T1, T1, T6), ADD(T1, T1, A4), RORI(T1, T1, 5),
                 ADD(T1, T1, A6), XOR(T1, T1, S0), ADDI(A1, A1, -1), BNEZ(A1, -144), MV(A0, T1),
                 WFI},
        .a1 = 400,
        .wanted = 0xda94ed1b595242cf,
    },
};

static void load_program(struct rig *rig, const struct program *program)
{
    rig_put(rig, 0, program->code, ARRAY_SIZE(program->code));
    rig->hart[0].x[A0] = program->a0 ? program->a0 : RAM_BASE + DATA;
    rig->hart[0].x[A1] = program->a1;
    rig->hart[0].x[A2] = program->a2;
    rig->hart[0].x[SP] = RAM_BASE + RAM_SIZE;
}

static void run_like_the_interpreter(const struct program *program, const char *options)
{
    struct rig *one = rig_new(&riscv_interpreter, NULL, 1, RAM_SIZE), *other = translator(options);

    load_program(one, program);
    load_program(other, program);
    assert_int_equal(rig_run(one, 0), CPU_STOP_WAIT);
    assert_int_equal(rig_run(other, 0), CPU_STOP_WAIT);
    if (one->hart[0].x[A0] != program->wanted || !rig_same_hart(&one->hart[0], &other->hart[0]) ||
        !rig_same_memory(one, other))
        fail_msg("%s, %s: %#llx and %#llx, should be %#llx", program->name,
                 options ? options : "as it is", (unsigned long long)one->hart[0].x[A0],
                 (unsigned long long)other->hart[0].x[A0], (unsigned long long)program->wanted);
    rig_free(one);
    rig_free(other);
}

static void test_programs(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(programs); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(permutations); j++)
            run_like_the_interpreter(&programs[i], permutations[j]);
}

/* What these tests are about happens in translated code. */
static void test_code_is_translated(void **state)
{
    struct rig *rig = translator("heat=3");
    struct engine_counters counters;

    load_program(rig, &programs[1]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    rig->type->counters(rig->cpu[0], &counters);
    assert_in_range(counters.units, 4, 20);
    assert_in_range(counters.helped_links + counters.exits_jump, 0, 100); /* of 10,000 blocks */
    rig_free(rig);
}

/* Of a row that lies across a page's end each access is found by itself. */
static void test_rows_need_no_help(void **state)
{
    struct rig *rig = translator("heat=0,windows=0");
    struct engine_counters counters;

    for (unsigned i = 0; i < ARRAY_SIZE(programs); i++)
        if (!strcmp(programs[i].name, ROWS))
            load_program(rig, &programs[i]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    rig->type->counters(rig->cpu[0], &counters);
    assert_int_equal(rig->hart[0].x[A1], 0);
    assert_in_range(counters.helped_loads + counters.helped_stores, 0, 10); /* of 8,400 */
    rig_free(rig);
}

static void test_options(void **state)
{
    static const char *const wrong[] = {"heat",      "heat=",    "heat=x",    "warm=1",
                                        "unit=0",    "unit=65",  "code=1K",   "code=2G",
                                        "windows=3", "heat=1,,", "spare=3601"};
    struct rig *rig = translator("heat=7,unit=9,code=2M,windows=0");
    struct engine_config config = {.memory = rig->as, .cpu_count = 1};
    struct engine *engine;

    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        config.options = wrong[i];
        if (!riscv_translator.create(&config, &engine, NULL))
            fail_msg("\"%s\" was taken", wrong[i]);
    }
    rig_free(rig);
}

/* A unit ends in front of one that is there, if it is not too short then. */
static void test_units_do_not_overlap(void **state)
{
    enum { LENGTH = 12 };

    for (unsigned middle = 1; middle < LENGTH; middle++) {
        struct rig *rig = translator("heat=0");
        struct riscv_hart *hart = &rig->hart[0];
        struct engine_counters counters;

        for (unsigned i = 0; i < LENGTH; i++)
            PUT(rig, i * 4, ADDI(A0, A0, 1 << i % 11));
        PUT(rig, LENGTH * 4, ECALL);
        for (unsigned start = middle;; start = 0) {
            uint64_t wanted = 0;

            hart->pc = RAM_BASE + start * 4;
            hart->x[A0] = 0;
            assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
            assert_int_equal(hart->mcause, RISCV_EXC_ECALL_M);
            assert_int_equal(hart->mepc, RAM_BASE + LENGTH * 4);
            for (unsigned i = start; i < LENGTH; i++)
                wanted += 1 << i % 11;
            assert_int_equal(hart->x[A0], wanted);
            if (!start)
                break;
        }
        /* The handler's wfi is a unit, too. */
        rig->type->counters(rig->cpu[0], &counters);
        assert_int_equal(counters.units, 3);
        assert_int_equal(counters.unit_instructions,
                         2 + LENGTH + (middle < LIFT_SHORTEST ? 1 + LENGTH - middle : 0));
        rig_free(rig);
    }
}

/* ---- interrupts that are enabled ---- */

#define SSIP 2

/* What enables them, with a2 in the hart; whether it does. */
struct enabling {
    uint32_t insn;
    uint64_t a2;
    bool enables;
};

static const struct enabling enablings[] = {
    {CSRRSI(0, CSR_SSTATUS, 2), 0, true},
    {CSRRS(0, CSR_SSTATUS, A2), MSTATUS_SIE, true},
    {CSRRS(0, CSR_SSTATUS, A2), MSTATUS_SIE | MSTATUS_SPIE, true},
    {CSRRS(0, CSR_SSTATUS, A2), MSTATUS_SIE | MSTATUS_SUM | MSTATUS_FS, true},
    {CSRRS(0, CSR_SSTATUS, A2), UINT64_MAX, true},
    {CSRRS(A5, CSR_SSTATUS, A2), MSTATUS_SIE, true},
    {CSRRW(0, CSR_SSTATUS, A2), MSTATUS_SIE, true},
    {CSRRW(0, CSR_SSTATUS, A2), MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS, true},
    {CSRRW(A5, CSR_SSTATUS, A2), UINT64_MAX, true},
    {CSRRC(A5, CSR_SSTATUS, A2), MSTATUS_SUM | MSTATUS_FS, false},
    {CSRRS(0, CSR_SSTATUS, A2), 0, false},
    {CSRRS(0, CSR_SSTATUS, A2), ~SSTATUS_WRITABLE, false},
    {CSRRS(0, CSR_SSTATUS, A2), MSTATUS_SPIE | MSTATUS_SPP, false},
    {CSRRSI(0, CSR_SSTATUS, 29), 0, false},
};

enum { ENABLED_ROUNDS = 100 };

/* Rounds in S-mode: interrupts off, one is pending, then what enables them. The handler looks
 * whether it came behind instruction `behind` of a round, before the next one. */
static void interrupts_begin(struct rig *rig, const struct enabling *enabling, bool off,
                             uint64_t pending, uint64_t wanted)
{
    struct riscv_hart *hart = &rig->hart[0];

    hart->hosted_firmware = true;
    riscv_hart_reset(hart, RAM_BASE, 0);
    hart->stvec = RAM_BASE + 0x400;
    hart->mie = wanted;
    PUT(rig, 0, off ? CSRRCI(0, CSR_SSTATUS, 2) : NOP, CSRRS(0, CSR_SIP, S3), ADDI(A3, A3, 1),
        enabling->insn, ADDI(A4, A4, 1), ADDI(A1, A1, -1), BNEZ(A1, -24), ECALL);
    /* It must be behind the instruction that lets it come, with all that is before it done. */
    PUT(rig, 0x400, CSRRS(T0, CSR_SEPC, 0), XOR(T0, T0, S2), OR(A6, A6, T0), SUB(T0, A3, A7),
        XOR(T0, T0, S4), OR(A6, A6, T0), SUB(T0, A4, A7), OR(A6, A6, T0), ADDI(A7, A7, 1),
        CSRRC(0, CSR_SIP, S3), SRET);
    hart->x[A1] = ENABLED_ROUNDS;
    hart->x[A2] = enabling->a2;
    hart->x[S2] = RAM_BASE + (off ? 0x10 : 8);
    hart->x[S3] = pending;
    hart->x[S4] = off;
    if (!off)
        hart->mstatus |= MSTATUS_SIE;
    rig->type->state_in(rig->cpu[0]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(hart->mcause, RISCV_EXC_ECALL_S);
    assert_int_equal(hart->mepc, RAM_BASE + 0x1c);
}

static void interrupts_come(const char *options, const struct enabling *enabling, unsigned how)
{
    struct rig *one = rig_new(&riscv_interpreter, NULL, 1, RAM_SIZE), *other = translator(options);
    const struct riscv_hart *hart = &other->hart[0];
    bool off = how & 1, pending = how & 2, wanted = how & 4;
    unsigned times = pending && wanted && (!off || enabling->enables) ? ENABLED_ROUNDS : 0;

    interrupts_begin(one, enabling, off, pending ? SSIP : 0, wanted ? SSIP : 0);
    interrupts_begin(other, enabling, off, pending ? SSIP : 0, wanted ? SSIP : 0);
    if (hart->x[A6] || hart->x[A7] != times || hart->x[A3] != ENABLED_ROUNDS ||
        hart->x[A4] != ENABLED_ROUNDS || !rig_same_hart(&one->hart[0], hart))
        fail_msg("%s, %#x with a2 = %#llx, case %u: %llu interrupts, should be %u",
                 options ? options : "as it is", enabling->insn, (unsigned long long)enabling->a2,
                 how, (unsigned long long)hart->x[A7], times);
    rig_free(one);
    rig_free(other);
}

/* An interrupt is taken between the instruction that enables it and the next one, and only if it is
 * pending and wanted. */
static void test_interrupts_are_enabled(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(enablings); j++)
            for (unsigned how = 0; how < 8; how++)
                interrupts_come(permutations[i], &enablings[j], how);
}

/* The same code in S-mode, M-mode, U-mode and S-mode again: it is another instruction in each. */
static void test_interrupts_by_mode(void **state)
{
    static const unsigned modes[] = {RISCV_S, RISCV_M, RISCV_U, RISCV_S, RISCV_U, RISCV_M};

    for (unsigned i = 0; i < 2 * ARRAY_SIZE(permutations); i++) {
        const uint32_t insn = i % 2 ? CSRRSI(0, CSR_SSTATUS, 2) : CSRRS(0, CSR_SSTATUS, A2);
        struct rig *rig = translator(permutations[i / 2]);
        struct riscv_hart *hart = &rig->hart[0];

        rig_user(rig, 0);
        hart->mideleg = RISCV_IRQ_S_ALL;
        hart->mie = RISCV_IRQ_S_ALL;
        hart->stvec = RAM_BASE + 0x400;
        PUT(rig, 0, ADDI(A0, A0, 1), insn, ADDI(A0, A0, 16), ADDI(A1, A1, -1), BNEZ(A1, -16),
            ECALL);
        PUT(rig, 0x400, ADDI(A0, A0, 0x200), ECALL);
        for (unsigned j = 0; j < 2 * ARRAY_SIZE(modes); j++) {
            unsigned mode = modes[j / 2];
            bool waits = j % 2 && mode == RISCV_S, illegal = mode == RISCV_U;

            hart->privilege = mode;
            hart->pc = RAM_BASE;
            hart->mstatus &= ~MSTATUS_SIE;
            hart->x[A0] = 0;
            hart->x[A1] = 100;
            hart->x[A2] = MSTATUS_SIE;
            riscv_hart_set_line(hart, RISCV_IRQ_S_EXTERNAL, waits);
            rig->type->state_in(rig->cpu[0]);
            assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
            assert_int_equal(hart->privilege, mode);
            assert_int_equal(hart->mcause, illegal           ? RISCV_EXC_ILLEGAL
                                           : mode == RISCV_M ? RISCV_EXC_ECALL_M
                                                             : RISCV_EXC_ECALL_S);
            assert_int_equal(hart->mepc, RAM_BASE + (illegal ? 4 : waits ? 0x404 : 0x14));
            if (illegal)
                assert_int_equal(hart->mtval, insn);
            if (waits)
                assert_int_equal(hart->sepc, RAM_BASE + 8);
            assert_int_equal(hart->x[A0], illegal ? 1 : waits ? 0x201 : 1700);
            assert_int_equal(!!(hart->mstatus & MSTATUS_SIE), !illegal && !waits);
        }
        rig_free(rig);
    }
}

/* ---- sstatus, written whole: floating point that comes and goes ---- */

enum { STATUS_ROUNDS = 60 };

/* Each round has a sum in floating point before and behind the instruction, which may be illegal
 * there; what a2 holds alternates. */
static void status_run(struct rig *rig, uint32_t insn, uint64_t first, uint64_t second,
                       uint64_t set)
{
    struct riscv_hart *hart = &rig->hart[0];

    hart->hosted_firmware = true;
    riscv_hart_reset(hart, RAM_BASE, 0);
    hart->stvec = RAM_BASE + 0x400;
    PUT(rig, 0, CSRRS(0, CSR_SSTATUS, S4), FADD_D(1, 1, 0), insn, FADD_D(2, 2, 1),
        CSRRS(T0, CSR_SSTATUS, 0), XOR(A6, A6, T0), RORI(A6, A6, 7), XOR(A6, A6, T3),
        CSRRS(T0, CSR_SEPC, 0), RORI(A6, A6, 5), XOR(A6, A6, T0), XOR(A2, A2, A3), ADDI(A1, A1, -1),
        BNEZ(A1, -52), ECALL);
    /* It skips what is illegal, and writes an odd sepc. */
    PUT(rig, 0x400, CSRRS(T2, CSR_SEPC, 0), ADDI(T2, T2, 5), CSRRW(0, CSR_SEPC, T2),
        ADDI(A5, A5, 1), SRET);
    hart->x[A1] = STATUS_ROUNDS;
    hart->x[A2] = first;
    hart->x[A3] = first ^ second;
    hart->x[S4] = set;
    hart->f[0] = 0x3fb999999999999a; /* 0.1: inexact sums */
    hart->mstatus |= MSTATUS_FS;
    rig->type->state_in(rig->cpu[0]);
    assert_int_equal(rig_run(rig, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(hart->mcause, RISCV_EXC_ECALL_S);
    assert_int_equal(hart->mepc, RAM_BASE + 0x38);
}

static void test_status_is_written(void **state)
{
    static const uint32_t insns[] = {CSRRW(0, CSR_SSTATUS, A2),  CSRRW(T3, CSR_SSTATUS, A2),
                                     CSRRC(T3, CSR_SSTATUS, A2), CSRRC(0, CSR_SSTATUS, A2),
                                     CSRRC(A2, CSR_SSTATUS, A2), CSRRW(0, CSR_SEPC, A2)};
    static const uint64_t values[] = {
        0,           MSTATUS_FS,  UINT64_C(1) << 13, UINT64_C(2) << 13,
        MSTATUS_SUM, MSTATUS_SPP, MSTATUS_SPIE,      UINT64_MAX};
    unsigned count = ARRAY_SIZE(values), illegal = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(permutations) * ARRAY_SIZE(insns); i++)
        for (unsigned j = 0; j < count * count * 2; j++) {
            const char *options = permutations[i / ARRAY_SIZE(insns)];
            uint32_t insn = insns[i % ARRAY_SIZE(insns)];
            uint64_t first = values[j % count], second = values[j / count % count];
            uint64_t set = j / count / count ? MSTATUS_FS : 0;
            struct rig *one = rig_new(&riscv_interpreter, NULL, 1, RAM_SIZE);
            struct rig *other = translator(options);

            status_run(one, insn, first, second, set);
            status_run(other, insn, first, second, set);
            if (!rig_same_hart(&one->hart[0], &other->hart[0]))
                fail_msg("%s, %#x of %#llx and %#llx, set %#llx", options ? options : "as it is",
                         insn, (unsigned long long)first, (unsigned long long)second,
                         (unsigned long long)set);
            illegal += one->hart[0].x[A5] != 0;
            rig_free(one);
            rig_free(other);
        }
    assert_true(illegal);
}

struct signal_stacks {
    struct rig *rig;
    bool frees;
    stack_t before, after;
};

static void *run_and_free(void *arg)
{
    struct signal_stacks *stacks = arg;

    sigaltstack(NULL, &stacks->before);
    stacks->rig->stop = rig_run(stacks->rig, 0);
    if (stacks->frees)
        rig_free_engine(stacks->rig);
    else
        stacks->rig->type->leave(stacks->rig->cpu[0]);
    sigaltstack(NULL, &stacks->after);
    return NULL;
}

/* The thread outlives the CPU that it ran, and must not be left with a stack for signals that was
 * the CPU's; it frees the CPU, or leaves it to another thread. */
static void signal_stack_is_given_back(bool frees)
{
    struct signal_stacks stacks = {.rig = translator("heat=0,windows=2"), .frees = frees};
    pthread_t thread;

    rig_user(stacks.rig, 0);
    PUT(stacks.rig, 0, LD(T0, S0, 0), ECALL);
    stacks.rig->hart[0].x[S0] = RAM_BASE + DATA;
    assert_int_equal(thread_start(&thread, "cpu", run_and_free, &stacks), 0);
    pthread_join(thread, NULL);
    assert_int_equal(stacks.rig->stop, CPU_STOP_FIRMWARE);
    assert_int_equal(stacks.after.ss_flags, stacks.before.ss_flags);
    if (!(stacks.after.ss_flags & SS_DISABLE))
        assert_ptr_equal(stacks.after.ss_sp, stacks.before.ss_sp);
    if (frees)
        rig_make_engine(stacks.rig, &riscv_translator, NULL);
    rig_free(stacks.rig);
}

static void test_signal_stack_is_given_back(void **state)
{
    signal_stack_is_given_back(true);
    signal_stack_is_given_back(false);
}

/* ---- counting ---- */

/* Once instret was read every instruction counts, whatever it is and wherever a unit ends; a trap
 * is none. */
static void test_instret_is_exact(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = translator(permutations[i]);
        struct riscv_hart *hart = &rig->hart[0];

        PUT(rig, 0, /* hot before the first look at the counter */
            LI(T0, 500), ADDI(T0, T0, -1), BNEZ(T0, -4), LI(A0, 200),
            /* 0x10: a round */
            CSRRS(A1, CSR_MINSTRET, 0), LD(T1, S0, 1), SD(T1, S0, 0xff), JAL(RA, 0x74), BEQZ(0, 8),
            ILLEGAL, BNEZ(0, -4), JR(S3), ILLEGAL, AMOADD_D(T2, T1, S0), LR_D(T2, S0, 0),
            SC_D(T2, T2, S0, 0), FADD_D(1, 2, 3), CSRRS(T2, CSR_FCSR, 0), ECALL, JALR(RA, S1, 0),
            CSRRS(A2, CSR_MINSTRET, 0), SUB(A3, A2, A1), SUB(A3, A3, S2), OR(A4, A4, A3),
            ADDI(A0, A0, -1), BNEZ(A0, -84), WFI);
        PUT(rig, 0x90, ADDI(T3, T3, 1), BEQZ(T4, 8), NOP, RET);
        /* The handler of the ecall: six. */
        PUT(rig, 0x800, CSRRS(T5, CSR_MEPC, 0), ADDI(T5, T5, 4), CSRRW(0, CSR_MEPC, T5), NOP, NOP,
            MRET);
        hart->x[S0] = RAM_BASE + 0x2f00;
        hart->x[S1] = RAM_BASE + 0x90;
        hart->x[S3] = RAM_BASE + 0x34;
        /* From one csrr to the other: 11 in a line, two calls of 1 + 3, the handler's 6. */
        hart->x[S2] = 11 + 2 * 4 + 6;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(hart->x[A4], 0);
        /* Behind the last csrr: itself, four, the branch, the wfi. */
        assert_int_equal(hart->minstret - hart->x[A2], 7);
        rig_free(rig);
    }
}

/* One hart looks at its counter first while another is in the middle of a unit that does not count
 * yet, and then looks at its own. */
static void test_instret_of_another_hart(void **state)
{
    struct rig *rig = rig_new(&riscv_translator, "heat=0", 2, RAM_SIZE);
    struct riscv_hart *hart = &rig->hart[0];
    struct gate gate;
    pthread_t thread;

    rig_add_gate(rig, &gate);
    PUT(rig, 0, NOP, NOP, LW(T0, S0, 0), NOP, NOP, CSRRS(A0, CSR_MINSTRET, 0), NOP, NOP, NOP,
        BEQZ(0, 8), NOP, CSRRS(A1, CSR_MINSTRET, 0), NOP, CSRRS(A2, CSR_MINSTRET, 0), WFI);
    PUT(rig, 0x1000, CSRRS(A0, CSR_MINSTRET, 0), WFI);
    hart->x[S0] = GATE;
    rig->hart[1].pc = RAM_BASE + 0x1000;
    rig_start(rig, &thread);
    sem_wait(&gate.entered);
    assert_int_equal(rig->type->run(rig->cpu[1], 0), CPU_STOP_WAIT);
    sem_post(&gate.leave);
    pthread_join(thread, NULL);
    assert_int_equal(rig->stop, CPU_STOP_WAIT);
    assert_int_equal(hart->x[A1] - hart->x[A0], 5);
    assert_int_equal(hart->x[A2] - hart->x[A1], 2);
    rig_free(rig);
}

/* ---- limits and breakpoints ---- */

/* Code that is translated already, in steps of every length. */
static void test_limit_is_exact(void **state)
{
    struct rig *rig = translator("heat=0");
    struct riscv_hart *hart = &rig->hart[0];
    uint64_t done = 0;

    /* t0++, t1++, and back; a way out for the run without a limit. */
    PUT(rig, 0, ADDI(T0, T0, 1), ADDI(T1, T1, 1), BNE(T0, A0, -8), WFI);
    hart->x[A0] = 100;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    hart->pc = RAM_BASE;
    hart->x[T0] = hart->x[T1] = 0;
    hart->x[A0] = UINT64_MAX;
    for (unsigned limit = 1; limit < 300; limit += 7) {
        assert_int_equal(rig_run(rig, limit), CPU_STOP_LIMIT);
        done += limit;
        assert_int_equal(hart->x[T0], (done + 2) / 3);
        assert_int_equal(hart->x[T1], (done + 1) / 3);
        assert_int_equal(hart->pc, RAM_BASE + done % 3 * 4);
    }
    rig_free(rig);
}

/* Set and cleared between runs of code that is translated; in the middle of a unit. */
static void test_breakpoint(void **state)
{
    struct rig *rig = translator("heat=0");
    struct riscv_hart *hart = &rig->hart[0];
    const struct timespec moment = {0, 2000000};
    pthread_t thread;

    PUT(rig, 0, ADDI(T0, T0, 1), ADDI(T1, T1, 1), ADDI(T2, T2, 1), J(-12));
    for (unsigned i = 0; i < 5; i++) {
        rig_start(rig, &thread);
        nanosleep(&moment, NULL);
        rig->type->kick(rig->cpu[0]);
        pthread_join(thread, NULL);
        assert_int_equal(rig->stop, CPU_STOP_KICK);
        assert_int_equal(rig->type->breakpoint(rig->cpu[0], RAM_BASE + 4, true), 0);
        for (unsigned j = 0; j < 3; j++) {
            uint64_t before = hart->x[T1];

            /* It may stand there already. */
            assert_int_equal(rig_run(rig, 0), CPU_STOP_BREAKPOINT);
            assert_int_equal(hart->pc, RAM_BASE + 4);
            assert_int_equal(hart->x[T0], hart->x[T1] + 1);
            assert_int_equal(hart->x[T1], hart->x[T2]);
            assert_true(hart->x[T1] - before <= 1);
        }
        assert_int_equal(rig->type->breakpoint(rig->cpu[0], RAM_BASE + 4, false), 0);
    }
    rig_free(rig);
}

/* ---- stopping ---- */

struct endless {
    const char *name;
    uint32_t code[20];
};

static const struct endless endless[] = {
    {"a jump to itself", {J(0)}},
    {"a branch to itself", {BEQZ(0, 0)}},
    {"two blocks", {ADDI(T0, T0, 1), J(8), NOP, ADDI(T1, T1, 1), J(-16)}},
    {"an indirect jump to itself", {AUIPC(T0, 0), JR(T0)}},
    {"an indirect jump between two blocks",
     {AUIPC(T0, 0), ADDI(T0, T0, 16), JR(T0), NOP, ADDI(T0, T0, -8), ADDI(T1, T0, 8), JR(T0)}},
    {"calls without return", {JAL(RA, 0)}},
    {"calls forward and back without return", {JAL(RA, 8), NOP, JAL(RA, -8)}},
    {"indirect calls without return", {AUIPC(T0, 0), JALR(RA, T0, 0)}},
    {"jumps that note where they came from", {AUIPC(T0, 0), JALR(T1, T0, 0)}},
    {"returns without a call", {AUIPC(RA, 0), RET}},
    {"a loop of calls and returns", {JAL(RA, 8), J(-4), RET}},
    {"a loop in which nothing is executed but a load", {LD(T0, SP, 0), J(-4)}},
    {"an instruction that is not translated", {SFENCE_VMA(0, 0), J(-4)}},
    {"a trap whose handler returns to it", {ECALL}},
};

static void stop_it(const char *name, const char *options, const uint32_t *code, unsigned count)
{
    struct rig *rig = translator(options);
    const struct timespec moment = {0, 1000000};
    pthread_t thread;

    rig_put(rig, 0, code, count);
    PUT(rig, 0x800, MRET);
    rig->hart[0].x[SP] = RAM_BASE + RAM_SIZE - 8;
    for (unsigned i = 0; i < 3; i++) {
        rig_start(rig, &thread);
        nanosleep(&moment, NULL);
        rig->type->kick(rig->cpu[0]);
        if (!rig_ended(thread, 1000)) {
            print_error("%s, %s: not stopped within a second\n", name, options);
            abort(); /* the thread has what teardown would free */
        }
        assert_int_equal(rig->stop, CPU_STOP_KICK);
    }
    rig_free(rig);
}

static void test_endless_loops_stop(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(endless); i++) {
        stop_it(endless[i].name, "heat=0", endless[i].code, ARRAY_SIZE(endless[i].code));
        stop_it(endless[i].name, "heat=0,unit=1", endless[i].code, ARRAY_SIZE(endless[i].code));
    }
}

/* ---- nothing goes backward but returns ---- */

enum { LEVELS = 31, FUNCTION = 9 };

static uint64_t function_address(unsigned level)
{
    return RAM_BASE + level * FUNCTION * 4;
}

static void tree_enter(struct rig *rig, unsigned level, unsigned cut)
{
    rig->hart[0].pc = function_address(level);
    rig->hart[0].x[RA] = RAM_BASE + 0x800;
    rig->hart[0].x[SP] = RAM_BASE + RAM_SIZE;
    rig->hart[0].x[A0] = cut;
}

/* Each function calls the next one twice, all in one page, down to the one of level a0. It would
 * end, after 2^LEVELS calls. */
static void test_tree_of_calls_stops(void **state)
{
    struct rig *rig = translator("heat=0");
    const struct timespec moment = {0, 1000000};
    pthread_t thread;

    for (unsigned i = 0; i <= LEVELS; i++)
        PUT(rig, i * FUNCTION * 4, ADDI(SP, SP, -8), SD(RA, SP, 0), ADDI(T0, A0, -(int)i),
            BEQZ(T0, 12), JAL(RA, 20), JAL(RA, 16), LD(RA, SP, 0), ADDI(SP, SP, 8), RET);
    /* A part of the tree at a time, so that all of its jumps are linked. */
    for (unsigned i = 3; i <= LEVELS; i++) {
        tree_enter(rig, i - 3, i);
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    }
    tree_enter(rig, 0, LEVELS);
    rig_start(rig, &thread);
    nanosleep(&moment, NULL);
    rig->type->kick(rig->cpu[0]);
    assert_true(rig_ended(thread, 1000));
    assert_int_equal(rig->stop, CPU_STOP_KICK);
    rig_free(rig);
}

static void *flusher(void *arg)
{
    struct rig *rig = arg;

    for (unsigned i = 0; i < 200; i++) {
        rig->type->flush_tlb(rig->cpu[0], i << 12, 1 << 12, 0);
        rig->type->flush_tlb(rig->cpu[0], 0, UINT64_MAX, UINT64_MAX);
        rig->type->flush_code(rig->cpu[0]);
    }
    return NULL;
}

/* Requests from two threads are served while the guest runs, and change nothing for it. */
static void test_flushes_while_it_runs(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = translator(permutations[i]);
        struct riscv_hart *hart = &rig->hart[0];
        pthread_t cpu, other[2];

        PUT(rig, 0, ADDI(T0, T0, 1), SD(T0, S0, 0), JAL(RA, 16), LD(T2, S0, 0), BEQ(T0, T2, -16),
            WFI, ADDI(T1, T1, 1), RET);
        hart->x[S0] = RAM_BASE + DATA;
        rig_start(rig, &cpu);
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(thread_start(&other[j], "flusher", flusher, rig), 0);
        for (unsigned j = 0; j < 2; j++)
            pthread_join(other[j], NULL);
        rig->type->kick(rig->cpu[0]);
        pthread_join(cpu, NULL);
        assert_int_equal(rig->stop, CPU_STOP_KICK);
        assert_true(hart->x[T0] - hart->x[T1] <= 1);
        rig_free(rig);
    }
}

/* ---- calls and returns ---- */

static void test_deep_recursion(void **state)
{
    enum { DEPTH = 100000 };

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = translator(permutations[i]);
        struct riscv_hart *hart = &rig->hart[0];

        PUT(rig, 0, JAL(RA, 8), WFI, ADDI(SP, SP, -16), SD(RA, SP, 0), SD(A0, SP, 8),
            ADDI(A0, A0, -1), BEQZ(A0, 8), JAL(RA, -20), LD(T0, SP, 8), LD(RA, SP, 0),
            ADD(A1, A1, T0), ADDI(SP, SP, 16), RET);
        for (unsigned round = 1; round <= 3; round++) {
            hart->pc = RAM_BASE;
            hart->x[SP] = RAM_BASE + RAM_SIZE;
            hart->x[A0] = DEPTH;
            assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
            assert_int_equal(hart->x[A1], round * (DEPTH * UINT64_C(100001) / 2));
            assert_int_equal(hart->x[SP], RAM_BASE + RAM_SIZE);
            assert_int_equal(hart->pc, RAM_BASE + 8);
        }
        rig_free(rig);
    }
}

/* f calls g, which returns to f's caller; odd addresses; a call whose return address is changed;
 * returns by the other link register. */
static void test_returns_elsewhere(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = translator(permutations[i]);
        struct riscv_hart *hart = &rig->hart[0];

        PUT(rig, 0, LI(A0, 300),
            /* 0x04 */
            JAL(RA, 0x3c), ADDI(A1, A1, 1), JAL(RA, 0x5c), ADDI(A2, A2, 1), JAL(RA, 0x74),
            ADDI(A3, A3, 100), ADDI(A3, A3, 1), JAL(T0, 0x78), ADDI(A4, A4, 1), ADDI(A0, A0, -1),
            BNEZ(A0, -40), WFI);
        PUT(rig, 0x40, MV(S0, RA), JAL(RA, 12), ADDI(A1, A1, 100), RET, MV(RA, S0), RET);
        PUT(rig, 0x68, ORI(RA, RA, 1), RET);
        PUT(rig, 0x88, ADDI(RA, RA, 4), RET);
        PUT(rig, 0x98, MV(T1, T0), JR(T0));
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        for (unsigned j = A1; j <= A4; j++)
            assert_int_equal(hart->x[j], 300);
        rig_free(rig);
    }
}

/* No code is at 0 and 1, which the empty stack of return addresses may hold, nor at the end of the
 * address space, which an empty cache may. */
static void return_to_nowhere(struct rig *rig, uint64_t start, uint64_t address)
{
    struct riscv_hart *hart = &rig->hart[0];

    hart->pc = RAM_BASE + start;
    hart->x[A0] = 100;
    hart->x[A1] = address;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(hart->mcause, RISCV_EXC_FETCH_ACCESS);
    assert_int_equal(hart->mepc, address & ~UINT64_C(1));
    assert_int_equal(hart->mtval, address & ~UINT64_C(1));
    assert_int_equal(hart->x[A0], 0);
}

static void test_return_to_nowhere(void **state)
{
    static const uint64_t addresses[] = {0,          1,
                                         2,          3,
                                         UINT64_MAX, UINT64_MAX - 1,
                                         1000,       UINT64_C(1) << 63};

    for (unsigned i = 0; i < ARRAY_SIZE(permutations); i++) {
        struct rig *rig = translator(permutations[i]);

        /* Calls and returns before; then a return, a jump, and a call. */
        PUT(rig, 0x1010, JAL(RA, 0x20), ADDI(A0, A0, -1), BNEZ(A0, -8), MV(RA, A1), RET);
        PUT(rig, 0x1030, RET);
        PUT(rig, 0x1110, ADDI(A0, A0, -1), BNEZ(A0, -4), JR(A1));
        PUT(rig, 0x1210, ADDI(A0, A0, -1), BNEZ(A0, -4), JALR(RA, A1, 0));
        for (unsigned j = 0; j < ARRAY_SIZE(addresses); j++)
            for (unsigned start = 0x1010; start <= 0x1210; start += 0x100)
                return_to_nowhere(rig, start, addresses[j]);
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_code_is_translated),
        cmocka_unit_test(test_rows_need_no_help),
        cmocka_unit_test(test_units_do_not_overlap),
        cmocka_unit_test(test_interrupts_are_enabled),
        cmocka_unit_test(test_interrupts_by_mode),
        cmocka_unit_test(test_status_is_written),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_signal_stack_is_given_back),
        cmocka_unit_test(test_instret_is_exact),
        cmocka_unit_test(test_instret_of_another_hart),
        cmocka_unit_test(test_limit_is_exact),
        cmocka_unit_test(test_breakpoint),
        cmocka_unit_test(test_endless_loops_stop),
        cmocka_unit_test(test_tree_of_calls_stops),
        cmocka_unit_test(test_flushes_while_it_runs),
        cmocka_unit_test(test_deep_recursion),
        cmocka_unit_test(test_returns_elsewhere),
        cmocka_unit_test(test_return_to_nowhere),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
