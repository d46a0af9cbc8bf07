/* SPDX-License-Identifier: Apache-2.0 */
/* SBI calls as a kernel makes them, against harts that never run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "firmware/sbi.h"

#define RAM   0x80000000ull
#define HARTS 3

struct world {
    struct address_space *memory;
    struct riscv_hart harts[HARTS];
    struct sbi_hart sbi_harts[HARTS];
    struct sbi sbi;
    struct sbi_host host;
    struct riscv_platform platform;
    char console[64];
    unsigned console_length;
    const char *input;
    unsigned flushed_tlb[HARTS], flushed_code[HARTS];
    uint64_t flush_address, flush_size, flush_asid;
    int resets;
    enum sbi_reset reset_type;
    bool reset_failure;
    uint64_t deadline;
};

static void flush_tlb(void *ctx, unsigned hart, uint64_t vaddr, uint64_t size, uint64_t asid)
{
    struct world *w = ctx;

    w->flushed_tlb[hart]++;
    w->flush_address = vaddr;
    w->flush_size = size;
    w->flush_asid = asid;
}

static void flush_code(void *ctx, unsigned hart)
{
    ((struct world *)ctx)->flushed_code[hart]++;
}

static bool console_put(void *ctx, uint8_t byte)
{
    struct world *w = ctx;

    if (w->console_length == sizeof(w->console))
        return false;
    w->console[w->console_length++] = (char)byte;
    return true;
}

static int console_get(void *ctx)
{
    struct world *w = ctx;

    return *w->input ? *w->input++ : -1;
}

static void reset(void *ctx, enum sbi_reset type, bool failure)
{
    struct world *w = ctx;

    w->resets++;
    w->reset_type = type;
    w->reset_failure = failure;
}

static int read_virtual(void *ctx, unsigned hart, uint64_t vaddr, void *to, uint64_t length)
{
    return memory_read(((struct world *)ctx)->memory, vaddr, to, length);
}

static uint64_t world_time(void *ctx)
{
    return 1000;
}

static void set_stimecmp(void *ctx, unsigned hart, uint64_t deadline)
{
    ((struct world *)ctx)->deadline = deadline;
}

static uint16_t entropy(void *ctx)
{
    return 4;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct error error = ERROR_INIT;

    assert_int_equal(address_space_new(&w->memory), 0);
    assert_int_equal(memory_add_ram(w->memory, "ram", RAM, 1 << 20, true, &error), 0);
    w->platform = (struct riscv_platform){.time = world_time,
                                          .set_stimecmp = set_stimecmp,
                                          .entropy = entropy,
                                          .ctx = w};
    w->host =
        (struct sbi_host){flush_tlb, flush_code, console_put, console_get, reset, read_virtual, w};
    w->input = "";
    for (unsigned i = 0; i < HARTS; i++) {
        w->harts[i].id = i;
        w->harts[i].platform = &w->platform;
        w->harts[i].hosted_firmware = true;
        w->sbi_harts[i].hart = &w->harts[i];
    }
    sbi_init(&w->sbi, w->sbi_harts, HARTS, w->memory, &w->host);
    sbi_reset_harts(&w->sbi, RAM, 0x1234);
    assert_int_equal(sbi_begin(&w->sbi, 0), SBI_NEXT_RUN);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    address_space_free(w->memory);
    free(w);
    return 0;
}

static int64_t call(struct world *w, unsigned hart, uint64_t eid, uint64_t fid, uint64_t a0,
                    uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, enum sbi_next *next)
{
    struct riscv_hart *h = &w->harts[hart];
    uint64_t args[] = {a0, a1, a2, a3, a4};
    enum sbi_next n;

    for (unsigned i = 0; i < 5; i++)
        h->x[10 + i] = args[i];
    h->x[16] = fid;
    h->x[17] = eid;
    n = sbi_call(&w->sbi, hart);
    if (next)
        *next = n;
    return (int64_t)h->x[10];
}

#define CALL(...) call(w, 0, __VA_ARGS__, NULL)

static void test_start(void **state)
{
    struct world *w = *state;

    assert_int_equal(w->harts[0].pc, RAM);
    assert_int_equal(w->harts[0].x[10], 0);
    assert_int_equal(w->harts[0].x[11], 0x1234);
    assert_int_equal(w->harts[0].privilege, RISCV_S);
    assert_int_equal(sbi_begin(&w->sbi, 1), SBI_NEXT_HALT);
}

static void test_base(void **state)
{
    struct world *w = *state;
    uint64_t pc = w->harts[0].pc;

    assert_int_equal(CALL(0x10, 0, 0, 0, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], 0x02000000);
    assert_int_equal(w->harts[0].pc, pc + 4);
    assert_int_equal(CALL(0x10, 3, 0x48534d, 0, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], 1);
    assert_int_equal(CALL(0x10, 3, 0x504d55, 0, 0, 0, 0), 0); /* PMU: not there */
    assert_int_equal(w->harts[0].x[11], 0);
    assert_int_equal(CALL(0x10, 99, 0, 0, 0, 0, 0), -2);
    assert_int_equal(CALL(0x123456, 0, 0, 0, 0, 0, 0), -2);
}

static void test_timer(void **state)
{
    struct world *w = *state;

    assert_int_equal(CALL(0x54494d45, 0, 2000, 0, 0, 0, 0), 0);
    assert_int_equal(w->deadline, 2000);
    assert_false(riscv_hart_mip(&w->harts[0]) >> RISCV_IRQ_S_TIMER & 1);
    assert_int_equal(CALL(0x54494d45, 0, 500, 0, 0, 0, 0), 0); /* in the past */
    assert_true(riscv_hart_mip(&w->harts[0]) >> RISCV_IRQ_S_TIMER & 1);
    assert_int_equal(CALL(0, 0, 3000, 0, 0, 0, 0), 0); /* legacy; takes the interrupt back */
    assert_int_equal(w->deadline, 3000);
    assert_false(riscv_hart_mip(&w->harts[0]) >> RISCV_IRQ_S_TIMER & 1);
}

static bool soft(struct world *w, unsigned hart)
{
    return riscv_hart_mip(&w->harts[hart]) >> RISCV_IRQ_S_SOFT & 1;
}

static void test_ipi(void **state)
{
    struct world *w = *state;
    uint64_t mask = 1 << 2;

    assert_int_equal(CALL(0x735049, 0, 1, 1, 0, 0, 0), 0);
    assert_false(soft(w, 0));
    assert_true(soft(w, 1));
    assert_false(soft(w, 2));
    assert_int_equal(CALL(0x735049, 0, 0, UINT64_MAX, 0, 0, 0), 0);
    assert_true(soft(w, 0) && soft(w, 1) && soft(w, 2));
    /* A mask that names a hart that is not there reaches nobody. */
    assert_int_equal(call(w, 0, 3, 0, 0, 0, 0, 0, 0, NULL), 0); /* legacy: clear the caller's */
    assert_false(soft(w, 0));
    assert_int_equal(CALL(0x735049, 0, 9, 0, 0, 0, 0), -3);
    assert_false(soft(w, 0));
    assert_int_equal(CALL(0x735049, 0, 1, 3, 0, 0, 0), -3);
    assert_int_equal(CALL(0x735049, 0, 2, UINT64_MAX - 1, 0, 0, 0), -3);
    /* Legacy, with the mask in memory. */
    atomic_store(&w->harts[2].soft, 0);
    assert_int_equal(memory_write(w->memory, RAM + 64, &mask, sizeof(mask)), 0);
    assert_int_equal(CALL(4, 0, RAM + 64, 0, 0, 0, 0), 0);
    assert_true(soft(w, 2));
    assert_int_equal(CALL(4, 0, 0x1000, 0, 0, 0, 0), -5);
}

static void test_fences(void **state)
{
    struct world *w = *state;

    assert_int_equal(CALL(0x52464e43, 0, 7, 0, 0, 0, 0), 0);
    assert_true(w->flushed_code[0] == 1 && w->flushed_code[2] == 1);
    assert_int_equal(CALL(0x52464e43, 1, 2, 0, 0x4000, 0x2000, 0), 0);
    assert_true(w->flushed_tlb[1] == 1 && w->flushed_tlb[0] == 0);
    assert_int_equal(w->flush_address, 0x4000);
    assert_int_equal(w->flush_size, 0x2000);
    assert_int_equal(w->flush_asid, UINT64_MAX);
    assert_int_equal(CALL(0x52464e43, 2, 2, 0, 0, 0, 5), 0);
    assert_int_equal(w->flush_size, UINT64_MAX);
    assert_int_equal(w->flush_asid, 5);
    assert_int_equal(CALL(0x52464e43, 3, 2, 0, 0, 0, 0), -2);
    assert_int_equal(CALL(6, 0, 0, 0x7000, 0x1000, 0, 0), 0); /* legacy, all harts */
    assert_int_equal(w->flush_address, 0x7000);
    assert_int_equal(w->flush_size, 0x1000);
    assert_int_equal(w->flush_asid, UINT64_MAX);
}

static void test_hart_states(void **state)
{
    struct world *w = *state;
    enum sbi_next next;

    assert_int_equal(CALL(0x48534d, 2, 1, 0, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], SBI_HART_STOPPED);
    assert_int_equal(CALL(0x48534d, 0, 1, 0x10, 0, 0, 0), -5);
    assert_int_equal(CALL(0x48534d, 0, HARTS, RAM, 0, 0, 0), -3);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 77, 0, 0), 0);
    assert_int_equal(CALL(0x48534d, 2, 1, 0, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], SBI_HART_START_PENDING);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 77, 0, 0), -6);
    assert_int_equal(sbi_begin(&w->sbi, 1), SBI_NEXT_RUN);
    assert_int_equal(w->harts[1].pc, RAM + 0x100);
    assert_int_equal(w->harts[1].x[10], 1);
    assert_int_equal(w->harts[1].x[11], 77);
    call(w, 1, 0x48534d, 1, 0, 0, 0, 0, 0, &next);
    assert_int_equal(next, SBI_NEXT_HALT);
    assert_int_equal(sbi_begin(&w->sbi, 1), SBI_NEXT_HALT);
    /* An IPI wakes the hart's thread while another hart has not yet told where it starts. */
    atomic_store(&w->sbi.harts[1].state, SBI_HART_STOP_PENDING);
    assert_int_equal(sbi_begin(&w->sbi, 1), SBI_NEXT_HALT);
    call(w, 0, 0x48534d, 3, 0, 0, 0, 0, 0, &next);
    assert_int_equal(next, SBI_NEXT_WAIT);
    assert_int_equal(call(w, 0, 0x48534d, 3, 5, 0, 0, 0, 0, &next), -3);
    assert_int_equal(next, SBI_NEXT_RUN);
}

/* Only so many at once, and one that stops makes room. */
static void test_limit(void **state)
{
    struct world *w = *state;
    enum sbi_next next;

    sbi_set_limit(&w->sbi, 2);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 0, 0, 0), 0);
    assert_int_equal(CALL(0x48534d, 0, 2, RAM + 0x100, 0, 0, 0), -1);
    assert_int_equal(CALL(0x48534d, 2, 2, 0, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], SBI_HART_STOPPED);
    assert_int_equal(sbi_begin(&w->sbi, 2), SBI_NEXT_HALT);
    /* Less than there are: they go on, and no other is started. */
    assert_int_equal(sbi_begin(&w->sbi, 1), SBI_NEXT_RUN);
    sbi_set_limit(&w->sbi, 1);
    call(w, 1, 0x48534d, 1, 0, 0, 0, 0, 0, &next);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 0, 0, 0), -1);
    sbi_set_limit(&w->sbi, 3);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 0, 0, 0), 0);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 0, 0, 0), -6);
    assert_int_equal(CALL(0x48534d, 0, 2, RAM + 0x100, 0, 0, 0), 0);
    /* After a reset one runs again. */
    sbi_set_limit(&w->sbi, 2);
    sbi_reset_harts(&w->sbi, RAM, 0);
    assert_int_equal(sbi_begin(&w->sbi, 0), SBI_NEXT_RUN);
    assert_int_equal(CALL(0x48534d, 0, 2, RAM + 0x100, 0, 0, 0), 0);
    assert_int_equal(CALL(0x48534d, 0, 1, RAM + 0x100, 0, 0, 0), -1);
}

static void test_reset(void **state)
{
    struct world *w = *state;
    enum sbi_next next;

    assert_int_equal(CALL(0x53525354, 0, 7, 0, 0, 0, 0), -3);
    assert_int_equal(w->resets, 0);
    call(w, 0, 0x53525354, 0, SBI_COLD_REBOOT, 1, 0, 0, 0, &next);
    assert_int_equal(next, SBI_NEXT_HALT);
    assert_int_equal(w->resets, 1);
    assert_int_equal(w->reset_type, SBI_COLD_REBOOT);
    assert_true(w->reset_failure);
    call(w, 0, 8, 0, 0, 0, 0, 0, 0, &next);
    assert_int_equal(w->resets, 2);
    assert_int_equal(w->reset_type, SBI_SHUTDOWN);
}

static void test_console(void **state)
{
    struct world *w = *state;
    char text[4] = {0};

    assert_int_equal(memory_write(w->memory, RAM + 128, "hello", 5), 0);
    assert_int_equal(CALL(0x4442434e, 0, 5, RAM + 128, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], 5);
    assert_memory_equal(w->console, "hello", 5);
    /* The host's end is full: what was written so far is told. */
    assert_int_equal(CALL(0x4442434e, 0, UINT64_MAX, RAM, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], sizeof(w->console) - 5);
    assert_int_equal(CALL(0x4442434e, 2, 'x', 0, 0, 0, 0), -1);
    /* Outside memory, or above 64 bits. */
    assert_int_equal(CALL(0x4442434e, 0, 4, 0x10, 0, 0, 0), -3);
    assert_int_equal(CALL(0x4442434e, 0, 4, RAM, 1, 0, 0), -3);
    w->input = "ab";
    assert_int_equal(CALL(0x4442434e, 1, 4, RAM + 256, 0, 0, 0), 0);
    assert_int_equal(w->harts[0].x[11], 2);
    assert_int_equal(memory_read(w->memory, RAM + 256, text, 2), 0);
    assert_string_equal(text, "ab");
    w->input = "c";
    assert_int_equal(CALL(2, 0, 0, 0, 0, 0, 0), 'c');
    assert_int_equal(CALL(2, 0, 0, 0, 0, 0, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ipi, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fences, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hart_states, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_console, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
