/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine is given another engine while its harts compute, start and stop each other, exchange
 * IPIs and sleep in wfi: what they computed is exact in the end, nothing that was sent is lost, and
 * what the engines counted goes on. The guests tell their results on the serial line. Meant to be
 * run under ThreadSanitizer too.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "base/bits.h"
#include "base/fault.h"
#include "base/loop.h"
#include "base/thread.h"
#include "cpu/riscv/hart.h"
#include "machine/machine.h"
#include "riscv_code.h"

#define PATIENCE_NS 60000000000ull /* a machine that does nothing for so long hangs */
#define PERIOD_NS   1000000ull
#define SWITCHES    50
#define WORDS       3 /* before the next switch; one may have been under way */

/* ---- the guests ---- */

enum {
    CSR_SIE = 0x104,
    CSR_STVEC = 0x105,
    CSR_TIME = 0xc01,
    F0 = 10,
    F1 = 11,
    UART_LSR = 5,
    UART_THRE = 0x20,
    SIP_SOFT = 2,
    SIP_TIMER = 32,
    /* Offsets in the image. */
    HART1 = 0x200,
    HART2 = 0x280,
    HART3 = 0x380,
    HART3_TRAP = 0x400,
    TAIL = 0x480, /* tells the data and powers off; S0: the data, S2: the UART */
    USER = 0x500,
    TRAP = 0x600,
    DATA = 0x1000,
    TABLE = 0x2000,
    PAGES = 0x3000,
    PAGE_COUNT = 16,
    IMAGE_SIZE = 0x3000,
    DATA_SIZE = 128,
    BATCH = 500,
    INNER = 64,
};

#define MULTIPLIER UINT64_C(6364136223846793005)

#define SBI_TIME(fid) LUI(A7, 0x54495), ADDI(A7, A7, 0xd45), LI(A6, fid), ECALL
#define SBI_IPI(mask) LI(A0, mask), LI(A1, 0), LUI(A7, 0x735), ADDI(A7, A7, 0x49), LI(A6, 0), ECALL
#define SBI_HSM(fid)  LUI(A7, 0x485), ADDI(A7, A7, 0x34d), LI(A6, fid), ECALL
#define SBI_RESET(type)                                                                            \
    LI(A0, type), LI(A1, 0), LUI(A7, 0x53525), ADDI(A7, A7, 0x354), LI(A6, 0), ECALL
#define HART_START(hart, at) LI(A0, hart), ADDI(A1, S1, at), MV(A2, S0), SBI_HSM(0)
#define HART_STOP            SBI_HSM(1), J(0)

/* What a guest tells. */
union results {
    struct {
        uint64_t stop;     /* hart 0 to the others */
        uint64_t batches;  /* BATCH times what hart 1 was started, one by one */
        uint64_t last;     /* hart 2 to hart 3: no more */
        uint64_t added;    /* what hart 0 did, by amoadd */
        uint64_t bad;      /* batches of hart 1 whose instructions were not counted exactly */
        uint64_t sent;     /* IPIs of hart 2 */
        uint64_t received; /* and those that hart 3 answered */
        uint64_t ended[2]; /* harts 2 and 3 */
        uint64_t rounds, hash;
        double sum;
        uint64_t instructions, starts, multiplier, sleeps;
    };
    uint8_t bytes[DATA_SIZE];
};

#define AT(field) ((int)offsetof(union results, field))

/* One round: an iteration of hart 0, in which it starts hart 1 if that has stopped. */
#define ROUND_WORDS                                                                                \
    ADDI(S4, S4, 1), MUL(S3, S3, T6), ADD(S3, S3, S4), FADD_D(F0, F0, F1), LI(T0, 1),              \
        ADDI(T1, S0, AT(added)), AMOADD_D(0, T0, T1), LI(T2, INNER), MUL(S3, S3, T6),              \
        ADD(S3, S3, T2), ADDI(T2, T2, -1), BNEZ(T2, -12), HART_START(1, HART1), SLTIU(A0, A0, 1),  \
        ADD(S5, S5, A0), LI(T0, 'a'), SB(T0, S2, 0), LBU(T0, S2, UART_LSR), ANDI(T0, T0, 1)

#define ROUND_SIZE ((int)sizeof((const uint32_t[]){ROUND_WORDS}))
/* With the branch behind it, and without the ecall, which does not retire. */
#define ROUND_INSTRUCTIONS (ROUND_SIZE / 4 + 1 - 1 + (INNER - 1) * 4)

static const uint32_t hart0[] = {
    AUIPC(S0, DATA >> 12),
    LUI(T0, 1),
    SUB(S1, S0, T0),
    LUI(S2, 0x10000),
    LUI(T0, 6), /* sstatus.FS: dirty */
    CSRRS(0, CSR_SSTATUS, T0),
    HART_START(2, HART2),
    HART_START(3, HART3),
    LD(T6, S0, AT(multiplier)),
    LI(S3, 0),
    LI(S4, 0),
    LI(S5, 0),
    LI(T0, 3),
    FCVT_D_L(F0, 0),
    FCVT_D_L(F1, T0),
    CSRRS(GP, CSR_INSTRET, 0),
    ROUND_WORDS,
    BEQZ(T0, -ROUND_SIZE),
    CSRRS(T5, CSR_INSTRET, 0),
    SUB(GP, T5, GP),
    LI(T0, 1),
    SD(T0, S0, AT(stop)),
    SD(S4, S0, AT(rounds)),
    SD(S3, S0, AT(hash)),
    SD(S5, S0, AT(starts)),
    SD(GP, S0, AT(instructions)),
    FSD(F0, S0, AT(sum)),
    /* Until hart 1 has stopped, if there is one. */
    LI(A0, 1),
    SBI_HSM(2),
    BNEZ(A0, 7 * 4),
    LI(T0, 1),
    BNE(A1, T0, -7 * 4),
    LD(T0, S0, AT(ended[0])),
    LD(T1, S0, AT(ended[1])),
    AND(T0, T0, T1),
    BEQZ(T0, -3 * 4),
    ADDI(T0, S1, TAIL),
    JR(T0),
};

static const uint32_t hart1[] = {
    MV(S0, A1),
    CSRRS(T3, CSR_INSTRET, 0),
    LI(T2, BATCH),
    LI(T0, 1),
    ADDI(T1, S0, AT(batches)),
    AMOADD_D(0, T0, T1),
    ADDI(T2, T2, -1),
    BNEZ(T2, -8),
    CSRRS(T4, CSR_INSTRET, 0),
    SUB(T4, T4, T3),
    LI(T5, 4 + 3 * BATCH),
    BEQ(T4, T5, 12),
    ADDI(T1, S0, AT(bad)),
    AMOADD_D(0, T0, T1),
    HART_STOP,
};

/* Sends to hart 3 and waits for the answer in wfi, with interrupts disabled. */
static const uint32_t hart2[] = {
    MV(S0, A1),
    LI(T0, SIP_SOFT),
    CSRRS(0, CSR_SIE, T0),
    LI(S3, 0),
    ADDI(S3, S3, 1),
    SBI_IPI(1 << 3),
    WFI,
    CSRRS(T0, CSR_SIP, 0),
    ANDI(T0, T0, SIP_SOFT),
    BEQZ(T0, -3 * 4),
    LI(T0, SIP_SOFT),
    CSRRC(0, CSR_SIP, T0),
    LD(T1, S0, AT(stop)),
    BEQZ(T1, -14 * 4),
    SD(S3, S0, AT(sent)),
    FENCE(FENCE_RW, FENCE_RW),
    LI(T0, 1),
    SD(T0, S0, AT(last)),
    FENCE(FENCE_RW, FENCE_RW),
    SBI_IPI(1 << 3),
    SD(T0, S0, AT(ended[0])),
    HART_STOP,
};

/* Answers hart 2 in an interrupt that comes in wfi. */
static const uint32_t hart3[] = {
    MV(S0, A1),
    AUIPC(T0, 0),
    ADDI(T0, T0, HART3_TRAP - HART3 - 4),
    LUI(S2, 0x10000),
    CSRRW(0, CSR_STVEC, T0),
    LI(S3, 0),
    LI(T0, SIP_SOFT),
    CSRRS(0, CSR_SIE, T0),
    CSRRSI(0, CSR_SSTATUS, 2),
    WFI,
    J(-4),
};

static const uint32_t hart3_trap[] = {
    LI(T0, SIP_SOFT),
    CSRRC(0, CSR_SIP, T0),
    FENCE(FENCE_RW, FENCE_RW),
    LD(T1, S0, AT(last)),
    BNEZ(T1, 11 * 4),
    ADDI(S3, S3, 1),
    LI(T0, 'b'),
    SB(T0, S2, 0),
    SBI_IPI(1 << 2),
    SRET,
    SD(S3, S0, AT(received)),
    FENCE(FENCE_RW, FENCE_RW),
    LI(T0, 1),
    SD(T0, S0, AT(ended[1])),
    HART_STOP,
};

static const uint32_t tail[] = {
    FENCE(FENCE_RW, FENCE_RW),
    MV(T0, S0),
    ADDI(T1, S0, DATA_SIZE),
    LBU(T2, S2, UART_LSR),
    ANDI(T2, T2, UART_THRE),
    BEQZ(T2, -8),
    LBU(T2, T0, 0),
    SB(T2, S2, 0),
    ADDI(T0, T0, 1),
    BLTU(T0, T1, -6 * 4),
    SBI_RESET(0),
    J(0),
};

/* Sleeps for 200 us again and again, and says so each time. */
static const uint32_t sleeper[] = {
    AUIPC(S0, DATA >> 12),
    LUI(T0, 1),
    SUB(S1, S0, T0),
    LUI(S2, 0x10000),
    LI(T0, SIP_TIMER),
    CSRRS(0, CSR_SIE, T0),
    LI(T3, 2000),
    LI(S3, 0),
    CSRRS(A0, CSR_TIME, 0),
    ADD(A0, A0, T3),
    SBI_TIME(0),
    WFI,
    CSRRS(T0, CSR_SIP, 0),
    ANDI(T0, T0, SIP_TIMER),
    BEQZ(T0, -3 * 4),
    ADDI(S3, S3, 1),
    LI(T0, 'a'),
    SB(T0, S2, 0),
    LBU(T0, S2, UART_LSR),
    ANDI(T0, T0, 1),
    BEQZ(T0, -15 * 4),
    SD(S3, S0, AT(sleeps)),
    ADDI(T0, S1, TAIL),
    JR(T0),
};

/* Sv39: the first GiB for everybody, RAM for S where it is, and for U at twice the address. */
static const uint32_t pager[] = {
    AUIPC(S0, DATA >> 12),
    LUI(T0, 1),
    SUB(S1, S0, T0),
    LUI(S2, 0x10000),
    ADD(T1, S0, T0), /* the table */
    LI(T2, 0xdf),    /* V R W X U A D */
    SD(T2, T1, 0),
    LI(T3, 1),
    SLLI(T3, T3, 29), /* the page number of RAM's start, in an entry */
    ADDI(T2, T3, 0xcf),
    SD(T2, T1, 8 * 2),
    ADDI(T2, T3, 0xdf),
    SD(T2, T1, 8 * 4),
    SRLI(T1, T1, 12),
    LI(T2, 8),
    SLLI(T2, T2, 60),
    OR(T1, T1, T2),
    CSRRW(0, CSR_SATP, T1),
    SFENCE_VMA(0, 0),
    ADDI(T2, S1, TRAP),
    CSRRW(0, CSR_STVEC, T2),
    LI(T2, 1),
    SLLI(T2, T2, 31),
    ADD(T3, S1, T2),
    ADDI(T2, T3, USER),
    CSRRW(0, CSR_SEPC, T2),
    LUI(T2, PAGES >> 12),
    ADD(S3, T3, T2),
    LUI(T2, 0x40), /* sstatus.SUM, for the UART */
    CSRRS(0, CSR_SSTATUS, T2),
    LI(S4, 0),
    SRET,
};

/* Adds one in each of some pages, round by round; S3 at the first. */
static const uint32_t user[] = {
    ADDI(S4, S4, 1),       MV(T0, S3),       LUI(T1, 1),        LI(T2, PAGE_COUNT),
    LD(T3, T0, 0),         ADDI(T3, T3, 1),  SD(T3, T0, 0),     ADD(T0, T0, T1),
    ADDI(T2, T2, -1),      BNEZ(T2, -5 * 4), LI(T0, 'a'),       SB(T0, S2, 0),
    LBU(T0, S2, UART_LSR), ANDI(T0, T0, 1),  BEQZ(T0, -14 * 4), ECALL,
};

static const uint32_t pager_trap[] = {
    SD(S4, S0, AT(rounds)),
    /* From the pages as S sees them. */
    ADDI(T0, 0, 2),
    SLLI(T0, T0, 12),
    ADD(T0, T0, S0),
    LUI(T1, 1),
    LI(T2, PAGE_COUNT),
    LI(T4, 0),
    LD(T3, T0, 0),
    ADD(T4, T4, T3),
    ADD(T0, T0, T1),
    ADDI(T2, T2, -1),
    BNEZ(T2, -4 * 4),
    SD(T4, S0, AT(added)),
    ADDI(T0, S1, TAIL),
    JR(T0),
};

/* ---- the machine ---- */

struct fixture {
    struct loop *loop;
    struct stream *console;
    struct machine *machine;
    char path[40];
    uint8_t image[IMAGE_SIZE];
    struct timer late, action;
    const char *const *engines; /* in turn */
    unsigned engine_count;
    unsigned switches, switches_wanted;
    const char *words; /* a guest that goes on says each of them again and again */
    unsigned said[256];
    uint8_t told[DATA_SIZE]; /* its last bytes, in turn */
    size_t told_count;
    bool failures;
    bool told_to_end;
    unsigned reboots, ends;
    enum machine_end why;
};

/* Allocations of the thread that sets it: the n-th from now on fails, 0: none. */
static _Thread_local unsigned fail_at;

static bool fails_now(void)
{
    return fail_at && !--fail_at;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fails_now()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(at, size, protection, flags, fd, offset);
}

/* Threads that are left with an engine's handler of faults. */
static _Atomic int holders, holders_ever;
static _Thread_local const void *held;

int __real_fault_handle(fault_function *function, void *ctx, void *stack);
int __wrap_fault_handle(fault_function *function, void *ctx, void *stack);
void __real_fault_leave(void *ctx);
void __wrap_fault_leave(void *ctx);

int __wrap_fault_handle(fault_function *function, void *ctx, void *stack)
{
    int r = __real_fault_handle(function, ctx, stack);

    if (!r && !held) {
        holders++;
        holders_ever++;
    }
    if (!r)
        held = ctx;
    return r;
}

void __wrap_fault_leave(void *ctx)
{
    if (held && held == ctx) {
        held = NULL;
        holders--;
    }
    __real_fault_leave(ctx);
}

static void on_late(void *ctx)
{
    loop_stop(((struct fixture *)ctx)->loop, -1);
}

static void on_ended(void *ctx, enum machine_end why, int status)
{
    struct fixture *f = ctx;

    f->ends++;
    f->why = why;
    loop_stop(f->loop, 0);
}

static void on_rebooted(void *ctx)
{
    struct fixture *f = ctx;

    f->reboots++;
    loop_stop(f->loop, 0);
}

static const struct log silent;

static void put(struct fixture *f, unsigned at, const uint32_t *words, size_t size)
{
    assert_true(at + size <= sizeof(f->image));
    memcpy(f->image + at, words, size);
}

#define PUT(f, at, words) put(f, at, words, sizeof(words))

static void machine_make(struct fixture *f, const char *engine, unsigned cpus)
{
    struct machine_description description = {.cpus = cpus,
                                              .memory = 32 << 20,
                                              .engine = (char *)engine,
                                              .kernel = f->path};
    const struct machine_events events = {.ended = on_ended, .rebooted = on_rebooted, .ctx = f};
    int fd;

    PUT(f, TAIL, tail);
    strcpy(f->path, "/tmp/hospes-test-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, f->image, sizeof(f->image)), sizeof(f->image));
    close(fd);
    assert_int_equal(machine_new(&f->machine, &description, f->loop, f->console, &events, &silent,
                                 NULL),
                     0);
}

static void watch(struct fixture *f)
{
    timer_set(&f->late, monotonic_ns() + PATIENCE_NS);
    assert_int_equal(loop_run(f->loop), 0);
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(stream_buffer_new(&f->console, f->loop, 1 << 16), 0);
    timer_init(&f->late, f->loop, on_late, f);
    timer_init(&f->action, f->loop, on_late, f);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    machine_free(f->machine);
    timer_cancel(&f->late);
    timer_cancel(&f->action);
    stream_free(f->console);
    loop_free(f->loop);
    unlink(f->path);
    free(f);
    return 0;
}

/* ---- what the guest says ---- */

static void hear(struct fixture *f)
{
    uint8_t bytes[256];
    size_t count;

    while ((count = stream_buffer_take(f->console, bytes, sizeof(bytes))))
        for (size_t i = 0; i < count; i++) {
            f->told[f->told_count++ % DATA_SIZE] = bytes[i];
            f->said[bytes[i]]++;
        }
}

static bool goes_on(const struct fixture *f)
{
    for (const char *word = f->words; *word; word++)
        if (f->said[(uint8_t)*word] < WORDS)
            return false;
    return true;
}

/* ---- switching ---- */

/* Each allocation that making the engine takes fails once; the machine keeps what it has. */
static void switch_with_failures(struct fixture *f, const char *name)
{
    const char *before = machine_engine_name(f->machine);
    struct error error = ERROR_INIT;
    unsigned failures = 0;

    for (;;) {
        int r;

        fail_at = failures + 1;
        r = machine_switch_engine(f->machine, name, &error);
        if (!r)
            break;
        assert_int_equal(fail_at, 0);
        assert_int_equal(r, -ENOMEM);
        assert_memory_equal(error.message, "cannot change the engine: no memory", 35);
        error_release(&error);
        assert_string_equal(machine_engine_name(f->machine), before);
        failures++;
    }
    fail_at = 0;
    assert_true(failures >= 5);
}

static void switch_to_nothing(struct fixture *f)
{
    static const char *const wrong[] = {"steam", "translate,heat=99999", "translate,warm=1"};
    const char *before = machine_engine_name(f->machine);
    struct error error = ERROR_INIT;

    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(machine_switch_engine(f->machine, wrong[i], &error), -EINVAL);
        assert_memory_equal(error.message, "cannot change the engine: ", 26);
        error_release(&error);
        assert_string_equal(machine_engine_name(f->machine), before);
    }
}

/* What was counted stays, to the last instruction. */
static void switch_while_paused(struct fixture *f, const char *name)
{
    struct engine_counters before, after;

    machine_pause(f->machine);
    assert_int_equal(holders, 0);
    hear(f);
    memset(f->said, 0, sizeof(f->said));
    machine_counters(f->machine, &before);
    assert_int_equal(machine_switch_engine(f->machine, name, NULL), 0);
    machine_counters(f->machine, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_true(after.instructions > 0);
    machine_resume(f->machine);
}

static void switch_engine(struct fixture *f)
{
    const char *name = f->engines[f->switches % f->engine_count];

    memset(f->said, 0, sizeof(f->said));
    if (f->failures) {
        switch_to_nothing(f);
        switch_with_failures(f, name);
    } else if (f->switches % 2)
        switch_while_paused(f, name);
    else
        assert_int_equal(machine_switch_engine(f->machine, name, NULL), 0);
    assert_int_equal(strncmp(name, machine_engine_name(f->machine), 9), 0);
    f->switches++;
}

static void on_action(void *ctx)
{
    struct fixture *f = ctx;

    hear(f);
    if (goes_on(f) && f->switches < f->switches_wanted) {
        switch_engine(f);
    } else if (goes_on(f) && !f->told_to_end) {
        assert_int_equal(stream_buffer_feed(f->console, (const uint8_t *)"x", 1), 1);
        f->told_to_end = true;
    }
    timer_set(&f->action, monotonic_ns() + PERIOD_NS);
}

/* The last bytes that the guest told. */
static union results read_results(struct fixture *f)
{
    union results results;

    hear(f);
    assert_true(f->told_count >= sizeof(results));
    for (size_t i = 0; i < sizeof(results); i++)
        results.bytes[i] = f->told[(f->told_count + i) % DATA_SIZE];
    return results;
}

/* From the start to the end of the guest, which comes after the last switch. */
static union results run(struct fixture *f, const char *words)
{
    f->words = words;
    assert_int_equal(machine_start(f->machine, NULL), 0);
    timer_init(&f->action, f->loop, on_action, f);
    timer_set(&f->action, monotonic_ns() + PERIOD_NS);
    watch(f);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
    assert_int_equal(f->switches, f->switches_wanted);
    return read_results(f);
}

static const char *const engines[] = {
    "translate,heat=0",        "interpret", "translate", "interpret",
    "translate,heat=0,unit=1", "interpret",
};

static void check_hart0(const union results *results)
{
    uint64_t hash = 0;

    assert_true(results->rounds > SWITCHES);
    for (uint64_t n = 1; n <= results->rounds; n++) {
        hash = hash * MULTIPLIER + n;
        for (unsigned i = INNER; i; i--)
            hash = hash * MULTIPLIER + i;
    }
    assert_int_equal(results->hash, hash);
    assert_int_equal(results->added, results->rounds);
    assert_true(results->sum == 3.0 * (double)results->rounds);
    /* From the one that reads the counter on. */
    assert_int_equal(results->instructions, 1 + results->rounds * (uint64_t)ROUND_INSTRUCTIONS);
}

static union results run_load(struct fixture *f, unsigned cpus, unsigned switches)
{
    const uint64_t multiplier = MULTIPLIER;
    struct engine_counters counters;
    union results results;

    PUT(f, 0, hart0);
    PUT(f, HART1, hart1);
    PUT(f, HART2, hart2);
    PUT(f, HART3, hart3);
    PUT(f, HART3_TRAP, hart3_trap);
    memcpy(f->image + DATA + AT(multiplier), &multiplier, sizeof(multiplier));
    machine_make(f, "interpret", cpus);
    f->engines = engines;
    f->engine_count = ARRAY_SIZE(engines);
    f->switches_wanted = switches;
    results = run(f, cpus > 1 ? "ab" : "a");
    check_hart0(&results);
    machine_counters(f->machine, &counters);
    assert_true(counters.units > 0);
    assert_true(counters.instructions >= results.instructions);
    return results;
}

static void check_others(const union results *results)
{
    assert_true(results->starts > 0);
    assert_int_equal(results->batches, results->starts * BATCH);
    assert_int_equal(results->bad, 0);
    assert_true(results->sent > SWITCHES);
    assert_int_equal(results->received, results->sent);
}

static void one_cpu(void **state)
{
    union results results = run_load(*state, 1, SWITCHES);

    assert_int_equal(results.starts, 0);
}

/* The interpreter is the last. */
static void four_cpus(void **state)
{
    union results results = run_load(*state, 4, SWITCHES);

    check_others(&results);
}

/* The translator is the last. */
static void four_cpus_end_translated(void **state)
{
    union results results = run_load(*state, 4, SWITCHES + 1);

    check_others(&results);
}

static void an_engine_that_cannot_be_made(void **state)
{
    struct fixture *f = *state;
    union results results;

    f->failures = true;
    results = run_load(f, 4, 4);
    check_others(&results);
}

static void asleep(void **state)
{
    struct fixture *f = *state;
    union results results;

    PUT(f, 0, sleeper);
    machine_make(f, "translate,heat=0", 1);
    f->engines = engines + 1;
    f->engine_count = 4;
    f->switches_wanted = SWITCHES;
    results = run(f, "a");
    assert_true(results.sleeps >= SWITCHES);
}

/* A program whose accesses go through a window of the host's addresses, and fault there: the thread
 * of a CPU takes a new handler with each translator. */
static void windows(void **state)
{
    static const char *const names[] = {"interpret", "translate,heat=0,windows=2"};
    struct fixture *f = *state;
    struct engine_counters counters;
    union results results;

    PUT(f, 0, pager);
    PUT(f, USER, user);
    PUT(f, TRAP, pager_trap);
    machine_make(f, names[1], 1);
    f->engines = names;
    f->engine_count = ARRAY_SIZE(names);
    f->switches_wanted = SWITCHES;
    results = run(f, "a");
    assert_true(results.rounds > SWITCHES);
    assert_int_equal(results.added, results.rounds * PAGE_COUNT);
    machine_counters(f->machine, &counters);
    assert_true(counters.window_fills > SWITCHES / 2);
    assert_true(holders_ever > SWITCHES / 2);
}

static void before_the_start_and_after_the_end(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;

    PUT(f, 0, sleeper);
    machine_make(f, "interpret", 2);
    assert_int_equal(machine_switch_engine(f->machine, "translate,heat=0", NULL), 0);
    assert_string_equal(machine_engine_name(f->machine), "translate");
    assert_int_equal(stream_buffer_feed(f->console, (const uint8_t *)"x", 1), 1);
    assert_int_equal(machine_start(f->machine, NULL), 0);
    watch(f);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
    assert_int_equal(read_results(f).sleeps, 1);
    assert_int_equal(machine_switch_engine(f->machine, "interpret", &error), -EINVAL);
    assert_string_equal(machine_engine_name(f->machine), "translate");
    error_release(&error);
}

/* ---- a request that was not served yet ---- */

static bool wait_for(struct fixture *f, uint8_t wanted)
{
    uint64_t end = monotonic_ns() + PATIENCE_NS;
    uint8_t byte = 0;

    while (monotonic_ns() < end)
        if (stream_buffer_take(f->console, &byte, 1) && byte == wanted)
            return true;
    return false;
}

/* The guest has asked for its end, or for a reboot, and the loop has not got to it. */
static void on_request(void *ctx)
{
    struct fixture *f = ctx;

    assert_true(wait_for(f, 'P'));
    usleep(50000);
    assert_int_equal(machine_switch_engine(f->machine, "translate", NULL), 0);
    usleep(50000);
}

static void ask_and_switch(struct fixture *f, const uint32_t *code, size_t size)
{
    uint8_t more;

    put(f, 0, code, size);
    machine_make(f, "interpret", 1);
    timer_init(&f->action, f->loop, on_request, f);
    timer_set(&f->action, monotonic_ns());
    assert_int_equal(machine_start(f->machine, NULL), 0);
    watch(f);
    machine_pause(f->machine);
    while (stream_buffer_take(f->console, &more, 1))
        assert_int_equal(more, 'P');
}

static void power_off_is_not_passed(void **state)
{
    static const uint32_t code[] = {
        LUI(S2, 0x10000), LI(T0, 'P'),   SB(T0, S2, 0), SBI_RESET(0),
        LI(T0, '!'),      SB(T0, S2, 0), J(-4),
    };
    struct fixture *f = *state;

    ask_and_switch(f, code, sizeof(code));
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->why, MACHINE_POWER_OFF);
}

static void reboot_is_not_passed(void **state)
{
    static const uint32_t code[] = {
        LUI(S2, 0x10000), LI(T0, 'P'),   SB(T0, S2, 0), SBI_RESET(1),
        LI(T0, '!'),      SB(T0, S2, 0), J(-4),
    };
    struct fixture *f = *state;

    ask_and_switch(f, code, sizeof(code));
    assert_int_equal(f->ends, 0);
    assert_true(f->reboots >= 1);
}

#define SWITCH(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SWITCH(one_cpu),
        SWITCH(four_cpus),
        SWITCH(four_cpus_end_translated),
        SWITCH(an_engine_that_cannot_be_made),
        SWITCH(asleep),
        SWITCH(windows),
        SWITCH(before_the_start_and_after_the_end),
        SWITCH(power_off_is_not_passed),
        SWITCH(reboot_is_not_passed),
    };

    if (riscv_translator_missing()) {
        print_message("this host lacks %s\n", riscv_translator_missing());
        return 77; /* skipped */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
