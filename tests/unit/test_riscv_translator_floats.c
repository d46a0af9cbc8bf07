/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floats in loops, where results may be NaNs that are made canonical later, or never: what a
 * program stores, moves and is left with is what the interpreter makes, to the bit. A register
 * that holds something else at first (a NaN with a payload, a number of 4 bytes) keeps it until it
 * is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"
#include "riscv_rig.h"
#include "riscv_spaces.h"

static const char *const options[] = {
    NULL, /* the interpreter */
    "heat=0,windows=2,audit=1",
    "heat=0,windows=2,regions=2,audit=1",
    "heat=0,windows=0,regions=2",
    "heat=0,unit=1,windows=2,regions=2,audit=1",
};

/* fa5 and fa4 are in registers of the host, fs5 is not. */
enum { FA3 = 13, FA4 = 14, FA5 = 15, FA2 = 12, FS5 = 21, ROUNDS_OF = 8, PROGRAM_WORDS = 32 };

#define FSUB_D(fd, a, b)  INSN_R(0x53, 7, 0x05, fd, a, b)
#define FADD_S(fd, a, b)  INSN_R(0x53, 7, 0x00, fd, a, b)
#define FCVT_S_D(fd, a)   INSN_R(0x53, 7, 0x20, fd, a, 1)
#define FSGNJ_D(fd, a, b) INSN_R(0x53, 0, 0x11, fd, a, b)
#define FMIN_D(fd, a, b)  INSN_R(0x53, 0, 0x15, fd, a, b)
#define FMAX_D(fd, a, b)  INSN_R(0x53, 1, 0x15, fd, a, b)
#define FLT_D(rd, a, b)   INSN_R(0x53, 1, 0x51, rd, a, b)
#define STEP              ADDI(A2, A2, 8)
#define AGAIN(words_back) ADDI(A1, A1, -1), BNEZ(A1, -4 * ((words_back) + 1))

/* a1: rounds left; a2: where to store. fa3 and fa4: values; fa5, fs5, a0: what is there. */
static const struct program {
    const char *name;
    uint32_t insns[PROGRAM_WORDS];
} programs[] = {
    {"a result in every fourth round, which is stored in each",
     {ANDI(T4, A1, 3), BNEZ(T4, 8), FADD_D(FA5, FA4, FA3), FSD(FA5, A2, 0), STEP, AGAIN(5)}},
    {"the same of a register that the host has not",
     {ANDI(T4, A1, 3), BNEZ(T4, 8), FADD_D(FS5, FA4, FA3), FSD(FS5, A2, 0), STEP, AGAIN(5)}},
    {"a result that is not stored while there is none",
     {ANDI(T4, A1, 3), BEQZ(T4, 12), FSD(FA5, A2, 0), J(8), FSUB_D(FA5, FA4, FA3), STEP, AGAIN(6)}},
    {"a result that goes on to the next round",
     {FADD_D(FA5, FA5, FA3), ANDI(T4, A1, 1), BNEZ(T4, 8), FSD(FA5, A2, 0), STEP, AGAIN(5)}},
    {"a loop in a loop, behind which a result is stored",
     {LI(T5, 5), FMUL_D(FA5, FA4, FA3), FADD_D(FA2, FA2, FA5), ADDI(T5, T5, -1), BNEZ(T5, -12),
      FSD(FA2, A2, 0), FSD(FA5, A2, 64), STEP, AGAIN(8)}},
    {"one in which a result is loaded again",
     {LI(T5, 3), FMUL_D(FA5, FA4, FA3), FLD(FA2, A2, 0), FADD_D(FA2, FA2, FA5), FSD(FA2, A2, 8),
      FLD(FA5, A2, 0), ADDI(T5, T5, -1), BNEZ(T5, -24), FSD(FA5, A2, 128), STEP, AGAIN(10)}},
    {"one before which the register was moved to",
     {FSGNJ_D(FA2, FA5, FA5), LI(T5, 2), FSD(FA2, A2, 0), FDIV_D(FA2, FA4, FA3), ADDI(T5, T5, -1),
      BNEZ(T5, -12), FMV_X_D(T6, FA2), SD(T6, A2, 64), FDIV_D(FA5, FA3, FA4), STEP, AGAIN(10)}},
    {"one before which something was moved to the register",
     {FSGNJ_D(FA2, FS5, FS5), LI(T5, 2), FSD(FA2, A2, 0), FDIV_D(FA2, FA4, FA3), ADDI(T5, T5, -1),
      BNEZ(T5, -12), STEP, AGAIN(7)}},
    {"one before which bits were moved to the register",
     {FMV_D_X(FA2, A0), LI(T5, 2), FSD(FA2, A2, 0), FDIV_D(FA2, FA4, FA3), ADDI(T5, T5, -1),
      BNEZ(T5, -12), STEP, AGAIN(7)}},
    {"one that begins with zero",
     {FMV_D_X(FA2, 0), LI(T5, 2), FADD_D(FA2, FA2, FA3), ADDI(T5, T5, -1), BNEZ(T5, -8),
      FSD(FA2, A2, 0), STEP, AGAIN(7)}},
    {"one that begins with an integer",
     {FCVT_D_L(FA2, A1), LI(T5, 2), FMUL_D(FA2, FA2, FA3), ADDI(T5, T5, -1), BNEZ(T5, -8),
      FSD(FA2, A2, 0), STEP, AGAIN(7)}},
    {"one that begins with the least or the greatest",
     {FMIN_D(FA2, FA4, FA3), FMAX_D(FA5, FA4, FA3), LI(T5, 2), FMUL_D(FA2, FA2, FA3),
      FADD_D(FA5, FA5, FA4), ADDI(T5, T5, -1), BNEZ(T5, -12), FSD(FA2, A2, 0), FSD(FA5, A2, 64),
      STEP, AGAIN(10)}},
    {"4 and 8 bytes in one register",
     {ANDI(T4, A1, 1), BNEZ(T4, 12), FADD_S(FA5, FA5, FA5), J(8), FADD_D(FA5, FA4, FA3),
      FSD(FA5, A2, 0), STEP, AGAIN(7)}},
    {"4 bytes, from 8",
     {FCVT_S_D(FA5, FA4), LI(T5, 2), FADD_S(FA5, FA5, FA5), ADDI(T5, T5, -1), BNEZ(T5, -8),
      FSD(FA5, A2, 0), STEP, AGAIN(7)}},
    {"a comparison between",
     {LI(T5, 2), FADD_D(FA5, FA4, FA3), ADDI(T5, T5, -1), BNEZ(T5, -8), FLT_D(T4, FA5, FA3),
      BNEZ(T4, 8), FMUL_D(FA5, FA5, FA5), SD(T4, A2, 64), FSD(FA5, A2, 0), STEP, AGAIN(10)}},
};

/* Those that a region may begin with first: it is given up when it could not a hundred times. */
static const uint64_t values[] = {
    0x3ff8000000000000, 0x8000000000000000, 0x7ff0000000000000, 0xfff0000000000000,
    0x0000000000000001, 0x7fefffffffffffff, 0x7ff8000000000000, 0xfff8000000000123,
    0x7ff0000000000456, 0xffffffff3fc00000, 0xffffffff7fc00789,
};

enum { VALUES = ARRAY_SIZE(values), CASES = ARRAY_SIZE(programs) * VALUES * VALUES * VALUES };

struct outcome {
    uint64_t floats, memory, flags, x;
};

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x100000001b3) + (sum >> 29);
}

static struct outcome outcome_of(struct spaces *s)
{
    const struct riscv_hart *hart = s->hart;
    struct outcome outcome = {.flags = hart->fflags};

    for (unsigned i = 0; i < 32; i++)
        outcome.floats = mix(outcome.floats, hart->f[i]);
    outcome.x = mix(mix(mix(0, hart->x[A2]), hart->x[T4]), hart->x[T6]);
    for (unsigned at = 0; at < 0x140; at += 8)
        outcome.memory = mix(outcome.memory, rig_get64(s->rig, frame(2) + at));
    return outcome;
}

static void run_case(struct spaces *s, unsigned program, uint64_t there, uint64_t a, uint64_t b)
{
    const struct visit visit = {.asid = 1, .user = true, .entry = HERE + 0x100 * program};
    struct riscv_hart *hart = s->hart;

    for (unsigned at = 0; at < 0x140; at += 8)
        rig_put64(s->rig, frame(2) + at, b + at);
    hart->f[FA5] = hart->f[FS5] = there;
    hart->f[FA2] = values[0];
    hart->x[A0] = there;
    hart->f[FA4] = a;
    hart->f[FA3] = b;
    hart->fflags = 0;
    hart->x[A1] = ROUNDS_OF;
    hart->x[A2] = DATA_AT;
    hart->x[T4] = hart->x[T6] = 0;
    spaces_visit(s, &visit);
    expect_end(s, programs[program].name, true);
}

static void run(unsigned which, struct outcome *outcomes)
{
    const struct engine_type *type = options[which] ? &riscv_translator : &riscv_interpreter;
    struct spaces *s = spaces_new(type, options[which], true, PTE_G);

    spaces_map(s, 0, HERE, pte(frame(0), (PTE_RWX & ~PTE_W) | PTE_U));
    map(s, 0, DATA_AT, 2, PTE_U);
    for (unsigned p = 0; p < ARRAY_SIZE(programs); p++)
        for (unsigned i = 0; i < PROGRAM_WORDS; i++)
            PUT(s->rig, frame(0) + 0x100 * p + 4 * i,
                programs[p].insns[i] ? programs[p].insns[i] : ECALL);
    for (unsigned i = 0; i < CASES; i++) {
        unsigned p = i / (VALUES * VALUES * VALUES);
        struct outcome outcome;

        run_case(s, p, values[i / VALUES / VALUES % VALUES], values[i / VALUES % VALUES],
                 values[i % VALUES]);
        outcome = outcome_of(s);
        if (!which) {
            outcomes[i] = outcome;
            continue;
        }
        expect(s, programs[p].name, "a float", outcome.floats, outcomes[i].floats);
        expect(s, programs[p].name, "what was stored", outcome.memory, outcomes[i].memory);
        expect(s, programs[p].name, "the flags", outcome.flags, outcomes[i].flags);
        expect(s, programs[p].name, "a register", outcome.x, outcomes[i].x);
    }
    spaces_free(s);
}

static void test_loops(void **state)
{
    struct outcome *outcomes = calloc(CASES, sizeof(outcomes[0]));

    assert_non_null(outcomes);
    for (unsigned which = 0; which < ARRAY_SIZE(options); which++)
        run(which, outcomes);
    free(outcomes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
