/* SPDX-License-Identifier: Apache-2.0 */
#include "riscv_spaces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"

#define RAM_SIZE (UINT64_C(16) << 20)
#define TABLES   UINT64_C(0x10000)

const struct permutation permutations[6] = {
    {&riscv_interpreter, NULL},
    {&riscv_translator, NULL},
    {&riscv_translator, "heat=0"},
    {&riscv_translator, "heat=0,unit=1"},
    {&riscv_translator, "heat=0,windows=0"},
    {&riscv_translator, "heat=0,windows=2"},
};

const enum fence fences[4] = {FENCE_PAGE, FENCE_PAGE_ASID, FENCE_ASID, FENCE_ALL};

/* A space's tables, a page each. */
enum table { ROOT, LOWER_1, LOWER_0, UPPER_1, UPPER_0, TOP_1, TOP_0, ZERO_0, TABLE_COUNT };

static uint64_t table_at(unsigned space, enum table table)
{
    return TABLES + (space * TABLE_COUNT + table) * UINT64_C(0x1000);
}

static void put_entry(struct spaces *s, uint64_t table, unsigned index, uint64_t value)
{
    rig_put64(s->rig, table + index * UINT64_C(8), value);
}

static void make_space(struct spaces *s, unsigned space)
{
    uint64_t root = table_at(space, ROOT), lower = table_at(space, LOWER_1);
    unsigned upper = s->shared ? 0 : space;

    put_entry(s, root, 0, pte(lower, PTE_V));
    put_entry(s, lower, 0, pte(table_at(space, ZERO_0), PTE_V));
    put_entry(s, lower, 1, pte(table_at(space, LOWER_0), PTE_V));
    put_entry(s, root, 258, pte(table_at(upper, UPPER_1), PTE_V));
    put_entry(s, table_at(upper, UPPER_1), 0, pte(table_at(upper, UPPER_0), PTE_V));
    put_entry(s, table_at(upper, UPPER_0), 0, pte(0, PTE_RWX | s->kernel_flags));
    put_entry(s, root, 511, pte(table_at(space, TOP_1), PTE_V));
    put_entry(s, table_at(space, TOP_1), 511, pte(table_at(space, TOP_0), PTE_V));
}

/* Stub n is n * 0x40 bytes from HIGH. */
static void put_stubs(struct spaces *s)
{
    const uint32_t insns[] = {
        [FENCE_NONE] = NOP,
        [FENCE_PAGE] = SFENCE_VMA(S2, 0),
        [FENCE_PAGE_ASID] = SFENCE_VMA(S2, S3),
        [FENCE_ASID] = SFENCE_VMA(0, S3),
        [FENCE_ALL] = SFENCE_VMA(0, 0),
        [FENCE_CODE] = FENCE_I,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(insns); i++)
        PUT(s->rig, i * 0x40, CSRRW(0, CSR_SSTATUS, A7), CSRRW(0, CSR_SATP, A6), insns[i],
            CSRRW(0, CSR_SEPC, T0), SRET);
    PUT(s->rig, HANDLER - HIGH, ECALL);
}

static uint64_t satp_of(unsigned space, unsigned asid)
{
    return UINT64_C(8) << 60 | (uint64_t)asid << 44 | (RAM_BASE + table_at(space, ROOT)) >> 12;
}

struct spaces *spaces_new(const struct engine_type *type, const char *options, bool shared,
                          unsigned kernel_flags)
{
    struct spaces *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->rig = rig_new(type, options, 1, RAM_SIZE);
    s->hart = &s->rig->hart[0];
    s->name = options ? options : type->name;
    s->shared = shared;
    s->kernel_flags = kernel_flags;
    for (unsigned i = 0; i < SPACES; i++)
        make_space(s, i);
    put_stubs(s);
    s->hart->hosted_firmware = true;
    riscv_hart_reset(s->hart, HIGH, 0);
    s->hart->satp = satp_of(0, 0);
    s->hart->stvec = HANDLER;
    s->rig->type->state_in(s->rig->cpu[0]);
    return s;
}

void spaces_free(struct spaces *s)
{
    rig_free(s->rig);
    free(s);
}

static uint64_t entry_at(const struct spaces *s, unsigned space, uint64_t vaddr)
{
    enum table table = vaddr == TOP ? TOP_0 : vaddr >> 63 ? UPPER_0 : vaddr ? LOWER_0 : ZERO_0;

    assert_true(vaddr < LARGE || vaddr >> 63);
    if (table == UPPER_0 && s->shared)
        space = 0;
    return table_at(space, table) + (vaddr >> 12 & 511) * 8;
}

void spaces_map(struct spaces *s, unsigned space, uint64_t vaddr, uint64_t value)
{
    rig_put64(s->rig, entry_at(s, space, vaddr), value);
}

uint64_t spaces_pte(struct spaces *s, unsigned space, uint64_t vaddr)
{
    return rig_get64(s->rig, entry_at(s, space, vaddr));
}

void spaces_map_large(struct spaces *s, unsigned space, uint64_t vaddr, uint64_t value)
{
    put_entry(s, table_at(space, LOWER_1), vaddr >> 21, value);
}

void spaces_put_half(struct spaces *s, uint64_t at, uint32_t half)
{
    uint16_t bits = (uint16_t)half;

    assert_int_equal(memory_write(s->rig->as, RAM_BASE + at, &bits, 2), 0);
}

void spaces_put_word(struct spaces *s, uint64_t at, uint32_t word)
{
    assert_int_equal(memory_write(s->rig->as, RAM_BASE + at, &word, 4), 0);
}

void spaces_visit(struct spaces *s, const struct visit *visit)
{
    struct riscv_hart *hart = s->hart;

    hart->pc = HIGH + visit->fence * 0x40;
    hart->x[A7] = visit->status | MSTATUS_FS | (visit->user ? 0 : MSTATUS_SPP);
    hart->x[A6] = satp_of(visit->space, visit->asid);
    hart->x[S2] = visit->at;
    hart->x[S3] = visit->asid;
    hart->x[T0] = visit->entry;
    hart->scause = UINT64_MAX;
    assert_int_equal(rig_run(s->rig, 0), CPU_STOP_FIRMWARE);
    assert_int_equal(hart->mcause, RISCV_EXC_ECALL_S);
}

struct spaces *spaces_of(unsigned permutation, bool shared, unsigned kernel_flags)
{
    return spaces_new(permutations[permutation].type, permutations[permutation].options, shared,
                      kernel_flags);
}

void map(struct spaces *s, unsigned space, uint64_t vaddr, unsigned n, unsigned flags)
{
    spaces_map(s, space, vaddr, pte(frame(n), PTE_RWX | flags));
}

void expect(const struct spaces *s, const char *what, const char *of, uint64_t got, uint64_t wanted)
{
    if (got != wanted)
        fail_msg("%s, %s: %s is %#llx, should be %#llx", s->name, what, of, (unsigned long long)got,
                 (unsigned long long)wanted);
}

void expect_end(const struct spaces *s, const char *what, bool user)
{
    expect(s, what, "scause", s->hart->scause, user ? RISCV_EXC_ECALL_U : UINT64_MAX);
}

void expect_trap(const struct spaces *s, const char *what, uint64_t cause, uint64_t epc,
                 uint64_t tval)
{
    expect(s, what, "scause", s->hart->scause, cause);
    expect(s, what, "sepc", s->hart->sepc, epc);
    expect(s, what, "stval", s->hart->stval, tval);
}

unsigned test_rounds(void)
{
    return getenv("HOSPES_TEST_LONG") ? 40 : 1;
}
