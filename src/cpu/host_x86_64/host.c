/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host as the translator sees it: what it can do, the code around units, links between them.
 */
#include "cpu/host_x86_64/host.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "base/bits.h"
#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"

/* rax, rcx, rdx: scratch; rbp, r14, r15, rsp: see emitter.h. */
static const uint8_t int_registers[HOST_INT] = {RBX, RSI, RDI, R8, R9, R10, R11, R12, R13};

static bool is_callee_saved(unsigned reg)
{
    return reg == RBX || reg >= R12;
}

void host_map_fill(struct host_map *map, const struct guest_layout *layout)
{
    memset(map->reg, X86_NONE, sizeof(map->reg));
    for (unsigned i = 0; i < layout->pinned_int_count && i < HOST_INT; i++)
        map->reg[layout->pinned_int[i]] = int_registers[i];
    for (unsigned i = 0; i < layout->pinned_float_count && i < HOST_FLOAT; i++)
        map->reg[layout->pinned_float[i]] = i;
}

/* What x86-64-v3 adds, as far as it is used, and what the system must save for it. */
static const char *host_missing(void)
{
    unsigned a, b, c, d, low, high;

    if (!__get_cpuid(1, &a, &b, &c, &d))
        return "cpuid";
    if (!(c & bit_OSXSAVE) || !(c & bit_AVX))
        return "AVX";
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6)
        return "AVX (the system does not save it)";
    if (!(c & bit_FMA))
        return "FMA";
    if (!(c & bit_PCLMUL))
        return "PCLMULQDQ";
    if (!(c & bit_POPCNT))
        return "POPCNT";
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_BMI) || !(b & bit_BMI2))
        return "BMI2";
    if (!(b & bit_AVX2))
        return "AVX2";
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(c & bit_LZCNT))
        return "LZCNT";
    return NULL;
}

/* ---- the runtime ---- */

struct maker {
    struct buffer b;
    const struct guest_layout *layout;
    struct host_map map;
};

enum which { ALL, CALLER_SAVED, CALLEE_SAVED };

static void move_ints(struct maker *m, bool save, enum which which)
{
    for (unsigned ref = 1; ref < m->layout->globals; ref++) {
        unsigned reg = m->map.reg[ref];
        struct place home = at_mem(RBP, m->layout->offsets[ref] - STATE_BIAS);

        if (reg == X86_NONE || m->layout->is_float(ref))
            continue;
        if (which != ALL && is_callee_saved(reg) != (which == CALLEE_SAVED))
            continue;
        if (save)
            mov_store(&m->b, OP_W, home, reg);
        else
            mov_load(&m->b, OP_W, reg, home);
    }
}

/* Float registers mean something only while the guest's floating point is the host's. */
static void move_floats(struct maker *m, bool save)
{
    uint32_t over;

    alu_imm(&m->b, 0, ALU_CMP, CONTEXT(float_ready), 0);
    jcc_to(&m->b, CC_E, 0);
    over = here(&m->b);
    for (unsigned ref = 1; ref < m->layout->globals; ref++)
        if (m->map.reg[ref] != X86_NONE && m->layout->is_float(ref))
            vex(&m->b, OP_F2, save ? 0x11 : 0x10, m->map.reg[ref], 0,
                at_mem(RBP, m->layout->offsets[ref] - STATE_BIAS));
    patch_here(&m->b, over);
}

static void move_all(struct maker *m, bool save)
{
    move_ints(m, save, ALL);
    move_floats(m, save);
}

static const uint8_t host_saved[] = {RBX, RBP, R12, R13, R14, R15};

/* enter(state, context, code) */
static void make_enter(struct maker *m)
{
    for (unsigned i = 0; i < sizeof(host_saved); i++)
        push_reg(&m->b, host_saved[i]);
    lea(&m->b, OP_W, RSP, at_mem(RSP, -8));
    lea(&m->b, OP_W, RBP, at_mem(RDI, STATE_BIAS));
    mov_rr(&m->b, OP_W, R14, RSI);
    alu_imm(&m->b, OP_W, ALU_SUB, in_reg(R14), CONTEXT_AT(0));
    mov_rr(&m->b, OP_W, RAX, RDX);
    mov_store(&m->b, OP_W, CONTEXT(host_stack), RSP);
    mov_load(&m->b, OP_W, PAGE, CONTEXT(page));
    move_all(m, false);
    mov_load(&m->b, OP_W, RSP, CONTEXT(stack_top));
    op(&m->b, 0, 0xff, 4, in_reg(RAX));
}

/* Returns from enter() with rax and rdx. */
static uint32_t make_leave(struct maker *m)
{
    uint32_t start = here(&m->b);

    mov_load(&m->b, OP_W, RSP, CONTEXT(host_stack));
    lea(&m->b, OP_W, RSP, at_mem(RSP, 8));
    for (unsigned i = sizeof(host_saved); i--;)
        pop_reg(&m->b, host_saved[i]);
    put8(&m->b, 0xc3);
    return start;
}

/* rdx: the value; rax: the reason. */
static uint32_t make_save_and_leave(struct maker *m, uint32_t leave)
{
    uint32_t start = here(&m->b);

    mov_store(&m->b, OP_W, CONTEXT(page), PAGE);
    move_all(m, true);
    jmp_to(&m->b, leave);
    return start;
}

/* rax: the value. */
static uint32_t make_exit(struct maker *m, enum native_exit reason, uint32_t save_and_leave)
{
    uint32_t start = here(&m->b);

    mov_rr(&m->b, OP_W, RDX, RAX);
    mov_ri(&m->b, RAX, reason);
    jmp_to(&m->b, save_and_leave);
    return start;
}

static void call_helper(struct maker *m, const void *helper)
{
    mov_store(&m->b, OP_W, CONTEXT(stack), RSP);
    mov_store(&m->b, OP_W, CONTEXT(page), PAGE);
    mov_load(&m->b, OP_W, RSP, CONTEXT(host_stack));
    mov_load(&m->b, OP_W, RDI, CONTEXT(cpu));
    mov_rr(&m->b, OP_W, RSI, RAX);
    mov_ri(&m->b, RAX, (uintptr_t)helper);
    op(&m->b, 0, 0xff, 2, in_reg(RAX));
    mov_load(&m->b, OP_W, RSP, CONTEXT(stack));
    test_rr(&m->b, OP_W, RDX, RDX);
}

/* What the helper's jump that ends at `from` leads to; all globals are in the state. */
static void helper_failed(struct maker *m, uint32_t from, uint32_t leave)
{
    patch_here(&m->b, from);
    mov_ri(&m->b, RAX, NATIVE_EXIT_HELPER);
    jmp_to(&m->b, leave);
}

/* rax: the address; rcx: the info; rdx: the value of a store. */
static uint32_t make_access(struct maker *m, const void *helper, uint32_t leave)
{
    uint32_t start = here(&m->b), fail;

    move_ints(m, true, CALLER_SAVED);
    move_floats(m, true);
    op(&m->b, OP_W, 0x87, RCX, in_reg(RDX)); /* xchg: info third, value fourth */
    call_helper(m, helper);
    jcc_to(&m->b, CC_E, 0);
    fail = here(&m->b);
    move_ints(m, false, CALLER_SAVED);
    move_floats(m, false);
    put8(&m->b, 0xc3);
    patch_here(&m->b, fail);
    move_ints(m, true, CALLEE_SAVED);
    mov_ri(&m->b, RAX, NATIVE_EXIT_HELPER);
    jmp_to(&m->b, leave);
    return start;
}

/* What is at rax + rdi to rax, or rdx there. */
static void make_move(struct maker *m, unsigned width, bool store)
{
    struct place at = at_index(RAX, RDI, 0, 0);

    if (store)
        op(&m->b, width == 8 ? OP_W : width == 2 ? OP_66 : 0, width == 1 ? 0x88 : 0x89, RDX, at);
    else if (width <= 2)
        op(&m->b, OP_0F, width == 1 ? 0xb6 : 0xb7, RAX, at);
    else
        mov_load(&m->b, width == 8 ? OP_W : 0, RAX, at);
}

/* With the width in esi. */
static void make_row_move(struct maker *m, bool store)
{
    uint8_t *eight, *four, *two, *done[3];

    alu_imm(&m->b, 0, ALU_CMP, in_reg(RSI), 4);
    eight = jcc_short(&m->b, CC_A);
    four = jcc_short(&m->b, CC_E);
    alu_imm(&m->b, 0, ALU_CMP, in_reg(RSI), 2);
    two = jcc_short(&m->b, CC_E);
    make_move(m, 1, store);
    done[0] = jmp_short(&m->b);
    jump_here(&m->b, two);
    make_move(m, 2, store);
    done[1] = jmp_short(&m->b);
    jump_here(&m->b, four);
    make_move(m, 4, store);
    done[2] = jmp_short(&m->b);
    jump_here(&m->b, eight);
    make_move(m, 8, store);
    for (unsigned i = 0; i < 3; i++)
        jump_here(&m->b, done[i]);
}

/* Extends rax, with the width in esi, if the pushed info says so. */
static void make_row_sign(struct maker *m)
{
    uint8_t *done;

    op(&m->b, 0, 0xf7, 0, at_mem(RSP, 0)); /* test */
    put32(&m->b, NATIVE_INFO(0u, 0u, 1u, 0u));
    done = jcc_short(&m->b, CC_E);
    /* By 64 minus the bits: counts are of 6. */
    mov_rr(&m->b, 0, RCX, RSI);
    shift_imm(&m->b, 0, 4, RCX, 3);
    op(&m->b, 0, 0xf7, 3, in_reg(RCX)); /* neg */
    op(&m->b, OP_W, 0xd3, 4, in_reg(RAX));
    op(&m->b, OP_W, 0xd3, 7, in_reg(RAX));
    jump_here(&m->b, done);
}

/* As make_access(), which goes on behind it: an access of a row that is not in one page, which is
 * in the TLB by itself most often (emit_translate()). */
static uint32_t make_row_access(struct maker *m, bool store)
{
    const struct guest_layout *l = m->layout;
    uint32_t start = here(&m->b), slow;

    push_reg(&m->b, RSI);
    push_reg(&m->b, RDI);
    push_reg(&m->b, RCX);
    mov_rr(&m->b, 0, RSI, RCX);
    shift_imm(&m->b, 0, 5, RSI, 13);
    alu_imm(&m->b, 0, ALU_AND, in_reg(RSI), 15);
    lea(&m->b, OP_W, RDI, at_index(RAX, RSI, 0, -1));
    alu_imm(&m->b, OP_W, ALU_AND, in_reg(RDI), -4096);
    tlb_entry_find(&m->b, l);
    alu_load(&m->b, OP_W, ALU_CMP, RDI, tlb_field(l, store ? l->tlb_write : l->tlb_read));
    jcc_to(&m->b, CC_NE, 0);
    slow = here(&m->b);
    mov_load(&m->b, OP_W, RDI, tlb_field(l, l->tlb_addend));
    make_row_move(m, store);
    if (!store)
        make_row_sign(m);
    pop_reg(&m->b, RCX);
    pop_reg(&m->b, RDI);
    pop_reg(&m->b, RSI);
    put8(&m->b, 0xc3);
    patch_here(&m->b, slow);
    pop_reg(&m->b, RCX);
    pop_reg(&m->b, RDI);
    pop_reg(&m->b, RSI);
    return start;
}

/* By a call, behind which nothing is, or from a fault. */
static uint32_t make_failed(struct maker *m, const void *helper, uint32_t leave, uint32_t *fault)
{
    uint32_t call = here(&m->b), fail;
    uint8_t *both;

    pop_reg(&m->b, RAX);
    both = jmp_short(&m->b);
    *fault = here(&m->b);
    mov_load(&m->b, OP_W, RAX, CONTEXT(target));
    jump_here(&m->b, both);
    move_all(m, true);
    call_helper(m, helper);
    jcc_to(&m->b, CC_E, 0);
    fail = here(&m->b);
    move_all(m, false);
    op(&m->b, 0, 0xff, 4, CONTEXT(target));
    helper_failed(m, fail, leave);
    return call;
}

/* rax: the record; rcx: the info. */
static uint32_t make_guest(struct maker *m, const void *helper, uint32_t leave)
{
    uint32_t start = here(&m->b), fail;

    move_all(m, true);
    mov_rr(&m->b, OP_W, RDX, RCX);
    call_helper(m, helper);
    jcc_to(&m->b, CC_E, 0);
    fail = here(&m->b);
    move_all(m, false);
    put8(&m->b, 0xc3);
    helper_failed(m, fail, leave);
    return start;
}

/* rax: the address, or a link's record. Returns with the code's in rax, or jumps there (`go`), or
 * leaves. */
static uint32_t make_lookup(struct maker *m, const void *helper, bool call, bool go,
                            uint32_t exit_jump)
{
    uint32_t start = here(&m->b), fail;

    move_all(m, true);
    mov_ri(&m->b, RDX, call);
    call_helper(m, helper);
    mov_rr(&m->b, OP_W, RCX, RDX);
    mov_load(&m->b, OP_W, PAGE, CONTEXT(page));
    move_all(m, false);
    test_rr(&m->b, OP_W, RCX, RCX);
    jcc_to(&m->b, CC_E, 0);
    fail = here(&m->b);
    if (go)
        op(&m->b, 0, 0xff, 4, in_reg(RAX));
    else
        put8(&m->b, 0xc3);
    patch_here(&m->b, fail);
    mov_load(&m->b, OP_W, RAX, CONTEXT(target));
    jmp_to(&m->b, exit_jump);
    return start;
}

/* Called by what calls; goes back there as a return does, with the guest's address in rax. */
static uint32_t make_returned(struct maker *m)
{
    uint32_t start = here(&m->b);

    mov_load(&m->b, OP_W, RAX, at_mem(RSP, 8));
    put8(&m->b, 0xc3);
    return start;
}

/* A return to an address that the empty stack held by chance; rax: the address. */
static uint32_t make_sentinel(struct maker *m, uint32_t exit_jump)
{
    uint32_t start = here(&m->b);

    mov_load(&m->b, OP_W, RSP, CONTEXT(stack_top));
    jmp_to(&m->b, exit_jump);
    return start;
}

static uint32_t make_constant(struct maker *m, uint64_t low)
{
    uint32_t start;

    nops(&m->b, -here(&m->b) & 15);
    start = here(&m->b);
    put64(&m->b, low);
    put64(&m->b, 0);
    return start;
}

/* IE, DE, ZE, OE, UE, PE from bit 0 up, as inexact, underflow, overflow, by zero, invalid. */
static unsigned flags_of(unsigned mxcsr)
{
    return (mxcsr >> 5 & 1) | (mxcsr >> 4 & 1) << 1 | (mxcsr >> 3 & 1) << 2 |
           (mxcsr >> 2 & 1) << 3 | (mxcsr & 1) << 4;
}

static uint32_t make_flags(struct maker *m)
{
    uint32_t start = here(&m->b);

    for (unsigned i = 0; i < 64; i++)
        put8(&m->b, flags_of(i));
    return start;
}

static int host_make_runtime(struct code_memory *memory, struct host_runtime *runtime)
{
    struct maker m = {.b = {.start = memory->write, .at = memory->write},
                      .layout = runtime->layout};
    uint64_t *parts = runtime->parts;
    uint32_t leave, save, fault;

    /* close_entry() writes over the first 5 of this many bytes. */
    BUG_ON(runtime->layout->poll_offset < 2 * STATE_BIAS);
    host_map_fill(&m.map, runtime->layout);
    make_enter(&m);
    runtime->enter = memory->run;
    leave = make_leave(&m);
    save = make_save_and_leave(&m, leave);
    parts[PART_EXIT_JUMP] = make_exit(&m, NATIVE_EXIT_JUMP, save);
    parts[PART_EXIT_POLL] = make_exit(&m, NATIVE_EXIT_POLL, save);
    parts[PART_EXIT_STEP] = make_exit(&m, NATIVE_EXIT_STEP, save);
    parts[PART_EXIT_UNFIT] = make_exit(&m, NATIVE_EXIT_UNFIT, save);
    parts[PART_LOAD_OF_ROW] = make_row_access(&m, false);
    parts[PART_LOAD] = make_access(&m, (const void *)runtime->helpers->load, leave);
    parts[PART_STORE_OF_ROW] = make_row_access(&m, true);
    parts[PART_STORE] = make_access(&m, (const void *)runtime->helpers->store, leave);
    parts[PART_CHECK] = make_failed(&m, (const void *)runtime->helpers->access, leave, &fault);
    runtime->access = code_memory_run(memory, fault);
    parts[PART_GUEST] = make_guest(&m, (const void *)runtime->helpers->guest, leave);
    for (unsigned call = 0; call < 2; call++) {
        uint32_t out = parts[PART_EXIT_JUMP];

        parts[PART_LOOKUP + call] =
            make_lookup(&m, (const void *)runtime->helpers->lookup, call, false, out);
        parts[PART_EDGE + call] =
            make_lookup(&m, (const void *)runtime->helpers->edge, call, false, out);
        parts[PART_LINK + call] =
            make_lookup(&m, (const void *)runtime->helpers->link, call, true, out);
    }
    runtime->returned = code_memory_run(memory, make_returned(&m));
    parts[PART_SENTINEL] = make_sentinel(&m, parts[PART_EXIT_JUMP]);
    parts[PART_SIGN64] = make_constant(&m, UINT64_C(1) << 63);
    parts[PART_MAGNITUDE64] = make_constant(&m, ~(UINT64_C(1) << 63));
    parts[PART_SIGN32] = make_constant(&m, UINT64_C(1) << 31);
    parts[PART_MAGNITUDE32] = make_constant(&m, ~(UINT64_C(1) << 31));
    parts[PART_FLAGS] = make_flags(&m);
    parts[PART_BOX] = make_constant(&m, UINT64_C(0xffffffff) << 32);
    memory->used = here(&m.b);
    return 0;
}

static void host_make_stack(const struct host_runtime *runtime, const struct code_memory *memory,
                            uint64_t *top)
{
    top[0] = (uintptr_t)code_memory_run(memory, runtime->parts[PART_SENTINEL]);
    top[1] = 1; /* no instruction is there */
}

/* ---- patching: the bytes lie within 16 aligned ones, so that nobody sees a part of the change
 * ---- */

struct unaligned {
    volatile uint32_t value;
} __attribute__((packed));

static void host_set_link(struct code_memory *memory, const struct host_link *link, uint32_t to)
{
    ((struct unaligned *)(memory->write + link->patch))->value = to - (link->patch + 4);
}

static void host_close_entry(struct code_memory *memory, uint32_t at)
{
    uint8_t *start = memory->write + at;
    uint64_t word = load_le64(start);
    /* cmp (7 bytes), jb: 2 bytes and the displacement to the part that leaves. */
    uint32_t distance = load_le32(start + 9) + 13 - 5;

    word &= ~UINT64_C(0xffffffffff);
    word |= 0xe9 | (uint64_t)distance << 8;
    __atomic_store_n((uint64_t *)(void *)start, word, __ATOMIC_RELEASE);
}

/* ---- running ---- */

static struct native_result host_enter(const struct host_runtime *runtime, void *state,
                                       struct native_context *context, const void *code)
{
    struct native_result (*enter)(void *, struct native_context *, const void *);

    memcpy(&enter, &runtime->enter, sizeof(enter));
    return enter(state, context, code);
}

enum { MXCSR_DEFAULT = 0x1f80, MXCSR_ROUNDING = 13 };

static void host_float_load(unsigned rounding)
{
    /* nearest, down, up, zero */
    static const uint8_t codes[] = {0, 3, 1, 2};

    _mm_setcsr(MXCSR_DEFAULT | (unsigned)codes[rounding] << MXCSR_ROUNDING);
}

static unsigned host_float_flags(void)
{
    unsigned flags = _mm_getcsr();

    _mm_setcsr(MXCSR_DEFAULT);
    return flags_of(flags);
}

static void host_set_window(uint8_t *base)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

static uint64_t host_fault_pc(const void *context)
{
    return (uint64_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

static void host_set_fault_pc(void *context, uint64_t pc)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
}

static const struct host_type host_x86_64 = {
    .name = "x86-64",
    .check_size = CHECK_SIZE,
    .missing = host_missing,
    .make_runtime = host_make_runtime,
    .make_stack = host_make_stack,
    .compile = host_compile,
    .set_link = host_set_link,
    .close_entry = host_close_entry,
    .enter = host_enter,
    .float_load = host_float_load,
    .float_flags = host_float_flags,
    .set_window = host_set_window,
    .fault_pc = host_fault_pc,
    .set_fault_pc = host_set_fault_pc,
};

const struct host_type *host_native(void)
{
    return &host_x86_64;
}
