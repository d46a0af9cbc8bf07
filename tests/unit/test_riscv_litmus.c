/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What RVWMO forbids several harts to see of each other's memory, and that atomics are atomic: the
 * litmus tests that every memory model is told by, run over and over on host threads. A test names
 * for each hart what it does to two variables x and y, and which outcome never is.
 *
 * A round has BATCH pairs of variables, which each hart goes through at its own pace; in round b
 * all of them hold b, and what is written is b + 1, so that nothing is ever cleared. An outcome is
 * a set of bits: bit n tells whether the n-th value that was read is the new one.
 *
 * Source: volume I, "RVWMO Memory Consistency Model", and its appendix with the same names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "riscv_code.h"
#include "riscv_rig.h"

#define RAM_SIZE (UINT64_C(4) << 20)

enum {
    BATCH = 256,
    STRIDE = 64,
    BARRIER = 0x10000, /* from the start of RAM */
    OUTCOMES = 0x10100,
    VARIABLE_X = 0x20000,
    VARIABLE_Y = 0x40000,
    RESULTS = 0x60000, /* of a hart, 0x10000 for each */
    WORDS_MAX = 12,
};

/* What a group of tests runs on; the state that setup() gets. */
struct kind {
    const char *name;
    const struct engine_type *type;
    const char *options;
    bool user; /* in U-mode, where a translator may reach memory in another way */
};

/* Registers: s0 and s1 point at x and y, a4 is the new value, a2 and a3 are read. */
struct litmus {
    const char *name;
    unsigned harts;
    uint32_t code[RIG_CPUS][WORDS_MAX]; /* 0: nothing more */
    /* The values of the outcome, by bits: hart and register, or the variables in the end. */
    struct {
        unsigned hart, reg;
    } value[4];
    unsigned values;
    bool last; /* the values are x and y in the end, of which 2 b + 2 is the new one */
    unsigned forbidden, mask; /* outcomes that agree in these bits */
};

#define LOAD_X(reg)  LD(reg, S0, 0)
#define LOAD_Y(reg)  LD(reg, S1, 0)
#define STORE_X(reg) SD(reg, S0, 0)
#define STORE_Y(reg) SD(reg, S1, 0)
#define FENCE_WW     FENCE(FENCE_W, FENCE_W)
#define FENCE_RR     FENCE(FENCE_R, FENCE_R)
#define FENCE_ALL    FENCE(FENCE_RW, FENCE_RW)

enum { AQ = 2, RL = 1, AQRL = 3 };

static const struct litmus mp = {
    .name = "message passing, fences",
    .harts = 2,
    .code = {{STORE_X(A4), FENCE_WW, STORE_Y(A4)}, {LOAD_Y(A2), FENCE_RR, LOAD_X(A3)}},
    .value = {{1, A2}, {1, A3}},
    .values = 2,
    .forbidden = 1,
    .mask = 3,
};

static const struct litmus mp_dependency = {
    .name = "message passing, release and address dependency",
    .harts = 2,
    .code = {{STORE_X(A4), AMOSWAP_D(0, A4, S1, RL)},
             {LOAD_Y(A2), XOR(T1, A2, A2), ADD(T1, T1, S0), LD(A3, T1, 0)}},
    .value = {{1, A2}, {1, A3}},
    .values = 2,
    .forbidden = 1,
    .mask = 3,
};

static const struct litmus mp_acquire = {
    .name = "message passing, sc and lr with aq",
    .harts = 2,
    .code = {{STORE_X(A4), LR_D(T1, S1, 0), SC_D(T1, A4, S1, RL), BNEZ(T1, -8)},
             {LR_D(A2, S1, AQ), LOAD_X(A3)}},
    .value = {{1, A2}, {1, A3}},
    .values = 2,
    .forbidden = 1,
    .mask = 3,
};

static const struct litmus mp_swap = {
    .name = "message passing, compare-and-swap with rl",
    .harts = 2,
    .code = {{ADDI(T2, A4, -1), STORE_X(A4), LR_D(T1, S1, 0), BNE(T1, T2, 12), SC_D(T3, A4, S1, RL),
              BNEZ(T3, -12)},
             {LOAD_Y(A2), FENCE_RR, LOAD_X(A3)}},
    .value = {{1, A2}, {1, A3}},
    .values = 2,
    .forbidden = 1,
    .mask = 3,
};

static const struct litmus sb = {
    .name = "store buffering",
    .harts = 2,
    .code = {{STORE_X(A4), LOAD_Y(A2)}, {STORE_Y(A4), LOAD_X(A2)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
};

static const struct litmus sb_fence = {
    .name = "store buffering, fences",
    .harts = 2,
    .code = {{STORE_X(A4), FENCE_ALL, LOAD_Y(A2)}, {STORE_Y(A4), FENCE_ALL, LOAD_X(A2)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 0,
    .mask = 3,
};

static const struct litmus sb_fence_wr = {
    .name = "store buffering, fence w,r",
    .harts = 2,
    .code = {{STORE_X(A4), FENCE(FENCE_W, FENCE_R), LOAD_Y(A2)},
             {STORE_Y(A4), FENCE(FENCE_W, FENCE_R), LOAD_X(A2)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 0,
    .mask = 3,
};

static const struct litmus sb_atomic = {
    .name = "store buffering, by amoswap.aqrl",
    .harts = 2,
    .code = {{AMOSWAP_D(0, A4, S0, AQRL), LOAD_Y(A2)}, {AMOSWAP_D(0, A4, S1, AQRL), LOAD_X(A2)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 0,
    .mask = 3,
};

/* The last store is to the other variable's page, not to the variable: a translator may do the lr
 * of a page that it knows to be writable more quickly than others. */
static const struct litmus sb_reserved = {
    .name = "store buffering, lr.aqrl",
    .harts = 2,
    .code = {{STORE_X(A4), LR_D(A2, S1, AQRL), SD(0, S1, -16)},
             {STORE_Y(A4), LR_D(A2, S0, AQRL), SD(0, S0, -16)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 0,
    .mask = 3,
};

/* The same by one that finds another value than it expects. */
static const struct litmus sb_swap = {
    .name = "store buffering, compare-and-swap with aqrl",
    .harts = 2,
    .code = {{LI(T2, -1), STORE_X(A4), LR_D(A2, S1, AQRL), BNE(A2, T2, 12), SC_D(T1, A4, S1, AQRL),
              BNEZ(T1, -12)},
             {LI(T2, -1), STORE_Y(A4), LR_D(A2, S0, AQRL), BNE(A2, T2, 12), SC_D(T1, A4, S0, AQRL),
              BNEZ(T1, -12)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 0,
    .mask = 3,
};

static const struct litmus sb_amo_read = {
    .name = "store buffering, the loads by amoadd.aqrl",
    .harts = 2,
    .code = {{STORE_X(A4), AMOADD_D(A2, 0, S1) | AQRL << 25},
             {STORE_Y(A4), AMOADD_D(A2, 0, S0) | AQRL << 25}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 0,
    .mask = 3,
};

static const struct litmus lb = {
    .name = "load buffering, data dependencies",
    .harts = 2,
    .code = {{LOAD_X(A2), XOR(T1, A2, A2), ADD(T1, T1, A4), STORE_Y(T1)},
             {LOAD_Y(A2), XOR(T1, A2, A2), ADD(T1, T1, A4), STORE_X(T1)}},
    .value = {{0, A2}, {1, A2}},
    .values = 2,
    .forbidden = 3,
    .mask = 3,
};

static const struct litmus corr = {
    .name = "coherence: two reads of one variable",
    .harts = 2,
    .code = {{STORE_X(A4)}, {LOAD_X(A2), LOAD_X(A3)}},
    .value = {{1, A2}, {1, A3}},
    .values = 2,
    .forbidden = 1,
    .mask = 3,
};

static const struct litmus two_writes = {
    .name = "two writes each, fences",
    .harts = 2,
    .code = {{ADD(T1, A4, A4), ADDI(T2, T1, -1), STORE_X(T2), FENCE_WW, STORE_Y(T1)},
             {ADD(T1, A4, A4), ADDI(T2, T1, -1), STORE_Y(T2), FENCE_WW, STORE_X(T1)}},
    .values = 2,
    .last = true,
    .forbidden = 0, /* both have the first writes */
    .mask = 3,
};

static const struct litmus wrc = {
    .name = "write to read causality",
    .harts = 3,
    .code = {{STORE_X(A4)},
             {LOAD_X(A2), FENCE_ALL, STORE_Y(A2)},
             {LOAD_Y(A2), FENCE_RR, LOAD_X(A3)}},
    .value = {{1, A2}, {2, A2}, {2, A3}},
    .values = 3,
    .forbidden = 3,
    .mask = 7,
};

static const struct litmus iriw = {
    .name = "independent reads of independent writes, fences",
    .harts = 4,
    .code = {{STORE_X(A4)},
             {STORE_Y(A4)},
             {LOAD_X(A2), FENCE_RR, LOAD_Y(A3)},
             {LOAD_Y(A2), FENCE_RR, LOAD_X(A3)}},
    .value = {{2, A2}, {2, A3}, {3, A2}, {3, A3}},
    .values = 4,
    .forbidden = 1 | 4,
    .mask = 15,
};

/* ---- the program around them ---- */

struct code {
    uint32_t words[200];
    unsigned count;
};

static void put(struct code *c, uint32_t word)
{
    assert_true(c->count < ARRAY_SIZE(c->words));
    c->words[c->count++] = word;
}

static int back_to(const struct code *c, unsigned at)
{
    return ((int)at - (int)c->count) * 4;
}

/* All harts wait for each other. s3: how many arrivals there must be, s4: harts, s5: the place. */
static void put_barrier(struct code *c)
{
    put(c, FENCE_ALL);
    put(c, LI(T1, 1));
    put(c, AMOADD_D(0, T1, S5));
    put(c, ADD(S3, S3, S4));
    put(c, J(8));
    put(c, PAUSE);
    put(c, LD(T1, S5, 0));
    put(c, BLTU(T1, S3, -8));
    put(c, FENCE_ALL);
}

/* The address of `offset` in RAM; a7 is its start. */
static void put_address(struct code *c, unsigned reg, uint32_t offset)
{
    put(c, LUI(reg, offset >> 12));
    if (offset & 0xfff)
        put(c, ADDI(reg, reg, offset & 0xfff));
    put(c, ADD(reg, reg, A7));
}

static void put_loop_begin(struct code *c, unsigned *top)
{
    put_address(c, S0, VARIABLE_X);
    put_address(c, S1, VARIABLE_Y);
    put(c, LI(T0, BATCH));
    *top = c->count;
}

static void put_loop_end(struct code *c, unsigned top)
{
    put(c, ADDI(S0, S0, STRIDE));
    put(c, ADDI(S1, S1, STRIDE));
    put(c, ADDI(S2, S2, STRIDE));
    put(c, ADDI(T0, T0, -1));
    put(c, BNEZ(T0, back_to(c, top)));
}

/* What each hart does in a round. */
static void put_round(struct code *c, const struct litmus *litmus, unsigned hart)
{
    unsigned top;

    /* A delay that differs from round to round and from hart to hart. */
    put(c, ANDI(T1, A4, hart & 1 ? 31 : 7));
    put(c, ADDI(T1, T1, -1));
    put(c, BGE(T1, 0, -4));
    put_address(c, S2, RESULTS + hart * 0x10000);
    put_loop_begin(c, &top);
    for (unsigned i = 0; i < WORDS_MAX && litmus->code[hart][i]; i++)
        put(c, litmus->code[hart][i]);
    put(c, SD(A2, S2, 0));
    put(c, SD(A3, S2, 8));
    put_loop_end(c, top);
}

/* One of the values to t1: 0 or 1. */
static void put_value(struct code *c, const struct litmus *litmus, unsigned i)
{
    if (litmus->last) {
        put(c, LD(T1, i ? S1 : S0, 0));
        put(c, SUB(T1, T1, A4));
        put(c, SUB(T1, T1, A4));
        put(c, ADDI(T1, T1, 1));
        return;
    }
    put(c, LUI(T1, litmus->value[i].hart << 4));
    put(c, ADD(T1, T1, S2));
    put(c, LD(T1, T1, litmus->value[i].reg == A2 ? 0 : 8));
    put(c, SUB(T1, T1, A4));
    put(c, ADDI(T1, T1, 1));
}

/* The first hart counts what came out. */
static void put_count(struct code *c, const struct litmus *litmus)
{
    unsigned top;

    put_address(c, S2, RESULTS);
    put_address(c, T3, OUTCOMES);
    put_loop_begin(c, &top);
    put(c, LI(T2, 0));
    for (unsigned i = 0; i < litmus->values; i++) {
        put_value(c, litmus, i);
        put(c, SLLI(T1, T1, i));
        put(c, OR(T2, T2, T1));
    }
    put(c, SLLI(T2, T2, 3));
    put(c, ADD(T2, T2, T3));
    put(c, LD(T1, T2, 0));
    put(c, ADDI(T1, T1, 1));
    put(c, SD(T1, T2, 0));
    if (!litmus->last) { /* not each hart wrote */
        put(c, STORE_X(A4));
        put(c, STORE_Y(A4));
    }
    put_loop_end(c, top);
}

static void make_code(struct code *c, const struct litmus *litmus, unsigned hart, bool user)
{
    unsigned top;

    c->count = 0;
    put_address(c, S5, BARRIER);
    put(c, LI(A4, 1));
    top = c->count;
    put_barrier(c);
    put_round(c, litmus, hart);
    put_barrier(c);
    if (!hart)
        put_count(c, litmus);
    put(c, ADDI(A4, A4, 1));
    put(c, ADDI(A0, A0, -1));
    put(c, BEQZ(A0, 8));
    put(c, J(back_to(c, top)));
    put(c, user ? ECALL : WFI);
}

static struct rig *make_rig(const struct kind *kind, unsigned harts)
{
    struct rig *rig = rig_new(kind->type, kind->options, harts, RAM_SIZE);

    for (unsigned i = 0; i < harts && kind->user; i++)
        rig_user(rig, i);
    return rig;
}

static unsigned rounds(const struct kind *kind, unsigned harts)
{
    unsigned count = harts > 2 ? 80 : 800;

    return getenv("HOSPES_TEST_LONG") ? 50 * count : count;
}

static void run_litmus(const struct litmus *litmus, const struct kind *kind, uint64_t outcomes[16])
{
    struct rig *rig = make_rig(kind, litmus->harts);
    struct code code;

    for (unsigned i = 0; i < litmus->harts; i++) {
        struct riscv_hart *hart = &rig->hart[i];

        make_code(&code, litmus, i, kind->user);
        rig_put(rig, 0x2000 * (i + 1), code.words, code.count);
        hart->pc = RAM_BASE + 0x2000 * (i + 1);
        hart->x[A0] = rounds(kind, litmus->harts);
        hart->x[A7] = RAM_BASE;
        hart->x[S4] = litmus->harts;
    }
    rig_run_all(rig, kind->user ? CPU_STOP_FIRMWARE : CPU_STOP_WAIT);
    for (unsigned i = 0; i < 16; i++)
        outcomes[i] = rig_get64(rig, OUTCOMES + 8 * i);
    rig_free(rig);
}

/* ---- the tests ---- */

static void check(void **state, const struct litmus *litmus)
{
    const struct kind *kind = *state;
    uint64_t outcomes[16], sum = 0;

    run_litmus(litmus, kind, outcomes);
    for (unsigned i = 0; i < 16; i++) {
        sum += outcomes[i];
        if (outcomes[i] && litmus->mask && (i & litmus->mask) == litmus->forbidden)
            fail_msg("%s, %s: outcome %#x was seen %llu times", kind->name, litmus->name, i,
                     (unsigned long long)outcomes[i]);
    }
    assert_int_equal(sum, BATCH * rounds(kind, litmus->harts));
}

static void test_message_passing(void **state)
{
    check(state, &mp);
    check(state, &mp_dependency);
    check(state, &mp_acquire);
    check(state, &mp_swap);
}

static void test_store_buffering(void **state)
{
    check(state, &sb_fence);
    check(state, &sb_fence_wr);
    check(state, &sb_atomic);
    check(state, &sb_amo_read);
    check(state, &sb_swap);
}

static void test_store_buffering_reserved(void **state)
{
    check(state, &sb_reserved);
}

static void test_load_buffering(void **state)
{
    check(state, &lb);
}

static void test_coherence(void **state)
{
    check(state, &corr);
    check(state, &two_writes);
}

static void test_causality(void **state)
{
    check(state, &wrc);
    check(state, &iriw);
}

/* Without fences a store buffer is seen, if the host runs two threads at once: what shows that the
 * tests above can see anything. */
static void test_a_weak_outcome_is_seen(void **state)
{
    const struct kind *kind = *state;
    uint64_t outcomes[16] = {0};

    for (unsigned i = 0; i < 10 && !outcomes[0]; i++)
        run_litmus(&sb, kind, outcomes);
    if (!outcomes[0]) {
        print_message("%s: no store was seen late; has the host one CPU?\n", kind->name);
        skip();
    }
}

/* ---- atomicity ---- */

enum { COUNTERS = 0x10800, ADDITIONS = 20000 };

/* Every hart runs the same code, which adds to counters from s0 on, a0 times. */
static void count_up(void **state, const uint32_t *body, unsigned words, unsigned counters,
                     unsigned harts)
{
    const struct kind *kind = *state;
    struct rig *rig = make_rig(kind, harts);
    unsigned times = ADDITIONS * (getenv("HOSPES_TEST_LONG") ? 50 : 1);

    rig_put(rig, 0x2000, body, words);
    PUT(rig, 0x2000 + 4 * words, ADDI(A0, A0, -1), BEQZ(A0, 8), J(-(int)(4 * words + 8)),
        kind->user ? ECALL : WFI);
    for (unsigned i = 0; i < harts; i++) {
        rig->hart[i].pc = RAM_BASE + 0x2000;
        rig->hart[i].x[A0] = times;
        rig->hart[i].x[A1] = 1;
        rig->hart[i].x[A5] = i & 1;
        rig->hart[i].x[S0] = RAM_BASE + COUNTERS;
        rig->hart[i].x[S1] = RAM_BASE + COUNTERS + 8;
        rig->hart[i].x[S2] = RAM_BASE + COUNTERS + 4;
        rig->hart[i].x[S3] = RAM_BASE + COUNTERS + 128 + 8 * (i & 1);
        rig->hart[i].x[S4] = RAM_BASE + COUNTERS + 128 + 8 * !(i & 1);
        rig->hart[i].x[S5] = RAM_BASE + COUNTERS + 256;
    }
    rig_run_all(rig, kind->user ? CPU_STOP_FIRMWARE : CPU_STOP_WAIT);
    for (unsigned i = 0; i < counters; i++)
        assert_int_equal(rig_get64(rig, COUNTERS + 8 * i), (uint64_t)times * harts);
    rig_free(rig);
}

#define COUNT(state, counters, harts, ...)                                                         \
    count_up(state, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4,        \
             counters, harts)

static void test_atomic_addition(void **state)
{
    COUNT(state, 2, 2, AMOADD_D(0, A1, S0), AMOADD_W(T1, A1, S1));
    COUNT(state, 1, 4, AMOADD_W(T1, A1, S0), AMOADD_W(0, A1, S2), LI(T2, -1), AMOADD_W(0, T2, S2));
}

static void test_reservations(void **state)
{
    /* Doubleword, word; and words beside each other in a doubleword that amoadd changes too. */
    COUNT(state, 2, 2, LR_D(T1, S0, AQ), ADDI(T1, T1, 1), SC_D(T2, T1, S0, RL), BNEZ(T2, -12),
          LR_W(T1, S1, 0), ADDI(T1, T1, 1), SC_W(T2, T1, S1, 0), BNEZ(T2, -12));
    COUNT(state, 1, 4, LR_W(T1, S2, 0), ADDI(T1, T1, 1), SC_W(T2, T1, S2, 0), BNEZ(T2, -12),
          AMOADD_W(0, A1, S0), LI(T3, -1), AMOADD_W(0, T3, S2));
    /* Some by lr and sc, some by amoadd. */
    COUNT(state, 1, 4, BNEZ(A5, 12), AMOADD_D(0, A1, S0), J(20), LR_D(T1, S0, 0), ADDI(T1, T1, 1),
          SC_D(T2, T1, S0, 0), BNEZ(T2, -12));
}

static void test_compare_and_swap(void **state)
{
    /* Doubleword, word; and words beside each other, of which the other one counts by amoadd. */
    COUNT(state, 2, 2, LD(T1, S0, 0), ADDI(T2, T1, 1), LR_D(T3, S0, AQ), BNE(T3, T1, 12),
          SC_D(T4, T2, S0, RL), BNEZ(T4, -12), BNE(T3, T1, -24), LW(T1, S1, 0), ADDI(T2, T1, 1),
          LR_W(T3, S1, AQRL), BNE(T3, T1, 12), SC_W(T4, T2, S1, RL), BNEZ(T4, -12),
          BNE(T3, T1, -24));
    COUNT(state, 1, 4, LW(T1, S2, 0), ADDI(T2, T1, 1), LR_W(T3, S2, 0), BNE(T3, T1, 12),
          SC_W(T4, T2, S2, 0), BNEZ(T4, -12), BNE(T3, T1, -24), AMOADD_W(0, A1, S0), LI(T5, -1),
          AMOADD_W(0, T5, S2));
    /* Some by compare-and-swap, some by lr and sc. */
    COUNT(state, 1, 4, BNEZ(A5, 36), LD(T1, S0, 0), ADDI(T2, T1, 1), LR_D(T3, S0, AQ),
          BNE(T3, T1, 12), SC_D(T4, T2, S0, RL), BNEZ(T4, -12), BNE(T3, T1, -24), J(20),
          LR_D(T1, S0, 0), ADDI(T1, T1, 1), SC_D(T2, T1, S0, 0), BNEZ(T2, -12));
    /* A lock. */
    COUNT(state, 1, 4, LR_W(T1, S5, AQ), BNEZ(T1, 12), SC_W(T2, A1, S5, 0), BNEZ(T2, -12),
          BEQZ(T1, 12), PAUSE, J(-24), LD(T1, S0, 0), ADDI(T1, T1, 1), SD(T1, S0, 0),
          FENCE(FENCE_RW, FENCE_W), SW(0, S5, 0));
}

/* A lock by amoswap, by lr and sc, and Peterson's, which takes loads and stores with fences alone:
 * what it guards is added to by loads and stores. */
static void test_locks(void **state)
{
    COUNT(state, 2, 4, AMOSWAP_W(T1, A1, S5, AQ), BEQZ(T1, 12), PAUSE, J(-12), LD(T1, S0, 0),
          ADDI(T1, T1, 1), SD(T1, S0, 0), LD(T1, S1, 0), ADDI(T1, T1, 1), SD(T1, S1, 0),
          AMOSWAP_W(0, 0, S5, RL));
    COUNT(state, 1, 4, LR_W(T1, S5, AQ), BNEZ(T1, 12), SC_W(T1, A1, S5, 0), BEQZ(T1, 12), PAUSE,
          J(-20), LD(T1, S0, 0), ADDI(T1, T1, 1), SD(T1, S0, 0), FENCE(FENCE_RW, FENCE_W),
          SW(0, S5, 0));
    COUNT(state, 1, 2,
          /* mine = 1, turn = the other's; until not theirs or my turn */
          SD(A1, S3, 0), XORI(T2, A5, 1), FENCE_WW, SD(T2, S5, 0), FENCE_ALL, J(8), PAUSE,
          LD(T1, S4, 0), BEQZ(T1, 12), LD(T3, S5, 0), BEQ(T3, T2, -16), FENCE(FENCE_R, FENCE_RW),
          LD(T1, S0, 0), ADDI(T1, T1, 1), SD(T1, S0, 0), FENCE(FENCE_RW, FENCE_W), SD(0, S3, 0));
}

static int run_group(const struct kind *kind)
{
    void *prestate = (void *)kind;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_message_passing, prestate),
        cmocka_unit_test_prestate(test_store_buffering, prestate),
        cmocka_unit_test_prestate(test_store_buffering_reserved, prestate),
        cmocka_unit_test_prestate(test_load_buffering, prestate),
        cmocka_unit_test_prestate(test_coherence, prestate),
        cmocka_unit_test_prestate(test_causality, prestate),
        cmocka_unit_test_prestate(test_a_weak_outcome_is_seen, prestate),
        cmocka_unit_test_prestate(test_atomic_addition, prestate),
        cmocka_unit_test_prestate(test_reservations, prestate),
        cmocka_unit_test_prestate(test_compare_and_swap, prestate),
        cmocka_unit_test_prestate(test_locks, prestate),
    };

    return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}

int main(void)
{
    static const struct kind kinds[] = {
        {"interpreter", &riscv_interpreter, NULL, false},
        {"translator", &riscv_translator, "heat=0", false},
        {"translator in U-mode", &riscv_translator, "heat=0,windows=2", true},
    };
    int failed = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].type == &riscv_interpreter || !riscv_translator_missing())
            failed += run_group(&kinds[i]);
    return failed;
}
