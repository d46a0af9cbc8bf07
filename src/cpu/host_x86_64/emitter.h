/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emitter's own parts.
 *
 *   host.c         the table, the runtime's thunks, links
 *   emit.c         one unit: its frame, dispatch by operation, out-of-line parts
 *   emit_region.c  labels of a region, and what is known at them
 *   emit_int.c     integer operations
 *   emit_memory.c  loads, stores, the guest's state
 *   emit_atomic.c  atomics
 *   emit_vector.c  several rounds of a loop at a time
 *   stream.c       of which loops
 *   emit_float.c   floating point
 *   emit_flow.c    branches, calls, returns
 *
 * Registers, in translated code:
 *   rbp   the guest's state + STATE_BIAS, so that the first 32 doublewords have short offsets
 *   r14   the context + WINDOW_CONTEXT: the window's base, if there is one
 *   r15   the virtual address of the page that is executed; context->page while a helper runs
 *   rsp   the stack of return addresses: pairs of guest-virtual and host address
 *   rax, rcx, rdx, xmm14, xmm15   free within an operation
 *   the others hold globals, always the same ones
 *
 * MXCSR holds the guest's rounding mode and gathers its flags while context->float_ready.
 */
#ifndef HOSPES_CPU_HOST_X86_64_EMITTER_H
#define HOSPES_CPU_HOST_X86_64_EMITTER_H

#include "cpu/host_x86_64/assembler.h"
#include "cpu/translate/host.h"

enum {
    STATE_BIAS = 128,
    PAGE = R15,
    HOST_INT = 9, /* registers for globals */
    HOST_FLOAT = 14,
    XMM14 = 14,
    XMM15 = 15,
    COLD_MAX = 2 * IR_UNIT_MAX,
    /* Room that must be left before an operation: itself, and later its cold part. */
    OPERATION_MAX = 448,
    COLD_ROOM = 448,
    CHECK_SIZE = 5,
};

/* host_runtime.parts: offsets of shared code and constants. */
enum {
    PART_LOAD,
    PART_STORE,
    PART_LOAD_OF_ROW, /* as these, having looked for the page of this one access */
    PART_STORE_OF_ROW,
    PART_CHECK, /* called where an access's check fails */
    PART_GUEST,
    PART_LOOKUP, /* rax: an address, then the code for it */
    PART_LOOKUP_CALL,
    PART_EDGE, /* rax: a link's record, then the code that it leads to */
    PART_EDGE_CALL,
    PART_LINK, /* rax: a link's record; jumped to */
    PART_LINK_CALL,
    PART_EXIT_JUMP,
    PART_EXIT_POLL,
    PART_EXIT_STEP,
    PART_EXIT_UNFIT,
    PART_SENTINEL,
    PART_SIGN64, /* 16 bytes each: the sign bit; its complement */
    PART_MAGNITUDE64,
    PART_SIGN32,
    PART_MAGNITUDE32,
    PART_BOX,   /* ones above 32 bits */
    PART_FLAGS, /* 64 bytes: MXCSR's flags as the guest has them */
    PART_COUNT
};

/* Which register holds a global, X86_NONE for none. */
struct host_map {
    uint8_t reg[IR_GLOBALS];
};

enum cold_kind {
    COLD_LOAD,  /* rax: the address; calls the helper, moves the result to dst */
    COLD_STORE, /* rax: the address */
    COLD_GUEST, /* does the whole instruction by its fallback */
    COLD_NAN32, /* the canonical NaN to xmm `index` */
    COLD_NAN64,
    COLD_FLAGS,    /* writes the flags */
    COLD_STEP,     /* leaves */
    COLD_JUMP,     /* leaves to where the jump leads, which may be no instruction of the guest's */
    COLD_LINK,     /* a link's stub */
    COLD_LINK_OUT, /* counts, pays debts, and goes on by a link of its own */
    COLD_FAR,      /* a branch to another page by the link `index` */
    COLD_LOOKUP,   /* and without one */
    COLD_EDGE,     /* a jump by the link `index`, whose edge does not hold */
    COLD_EDGE_CALL,
    COLD_MISS,      /* rax: where to; the jump cache does not know it */
    COLD_RETURN,    /* rax: where to; not where the last call came from */
    COLD_UNREADY,   /* at the unit's start: floating point is not ready */
    COLD_UNFIT,     /* a base is beyond the window, a float is a NaN */
    COLD_AFTER,     /* the first round of the loop `index` was the last */
    COLD_POLL,      /* at the place `index` */
    COLD_SPENT,     /* the same, where code of a library is dead or was executed often enough */
    COLD_DIVIDE,    /* by 0 or -1 */
    COLD_DIFFERENT, /* rax: what IR_COMPARE_SWAP found, and did not expect */
    COLD_RESERVE, /* does by its fallback what IR_COMPARE_SWAP begins with, and leaves by a link */
};

/*
 * What is still to be done to registers before anybody else may see them, a bit a global: results
 * of width 4 are not sign-extended yet, floats may be NaNs that are not the canonical one. Much of
 * it never is: the next operation looks at the lower half only, or makes a NaN of a NaN. It is done
 * in front of what wants all of the value, where the unit is left, and in out-of-line parts that
 * call out.
 */
struct debts {
    uint64_t words, nans;
    uint64_t singles; /* which of the NaNs are of 4 bytes */
};

struct cold {
    enum cold_kind kind;
    uint32_t from; /* offset behind the jump's displacement */
    uint32_t back; /* where to go on */
    const struct ir_insn *insn;
    unsigned index; /* a link's, a register's */
    struct debts debts;
    bool borrowing;
    bool chained; /* the one before it goes on here, with nothing in rax: see struct emitter.row */
};

/* An access to the window, see struct host_access. */
struct access {
    bool keeps;         /* what follows relies on rax being the base */
    bool again;         /* another instruction of the access before it */
    uint32_t check;     /* behind the jump of the base's check; 0: none */
    uint32_t unaligned; /* the same of an atomic's alignment */
    uint32_t away;      /* of a vector: where it goes on instead; 0: none */
    uint32_t at, back;
    unsigned link; /* of IR_COMPARE_SWAP, by which it is left */
    const struct ir_insn *insn;
    struct debts debts;
    bool borrowing;
};

/* A register that holds `wanted` in place of `idle`. */
struct borrow {
    ir_ref wanted, idle;
    uint8_t reg;
    bool is_float, written;
};

enum { BORROW_MAX = 12, FIXUPS_MAX = 256, LOOPS_MAX = 64 };

/* What is known of globals: of integers see emitter.extended and emitter.slack; floats are results
 * of 8 bytes, or of 4, so that a NaN is the canonical one or owed. */
struct facts {
    uint64_t extended, doubles, singles;
    uint32_t slack[IR_GLOBALS];
};

/* Of a region. */
struct label {
    int64_t offset;
    unsigned insn; /* index */
    uint32_t at;   /* 0: not yet */
    bool reached, polls;
    uint64_t next;      /* labels that are reached from it, a bit each */
    struct facts facts; /* on all ways there */
};

/* A jump to a label whose place is not known yet. */
struct fixup {
    uint32_t from;
    unsigned label;
};

struct emitter {
    struct buffer b;
    const struct host_runtime *runtime;
    const struct guest_layout *layout;
    struct host_map *map;
    const struct ir_unit *unit;
    struct host_unit *result;
    struct link *records;
    uint32_t end;                  /* offset that code must not reach */
    uint32_t cold_start, cold_end; /* of out-of-line parts */
    bool full;
    uint64_t boxed[IR_GLOBALS / 64]; /* float globals that are known to be boxed */
    /* Windowed code: int globals that are known to be below 1 << WINDOW_BITS but for so many bytes
     * up or down, as small offsets were added since that was seen; UINT32_MAX: not known. */
    uint32_t slack[IR_GLOBALS];
    /* rax holds this global, which has no register, as long as nothing was written behind held_at
     * and nobody comes there from elsewhere. */
    ir_ref held;
    uint32_t held_at;
    struct debts debts;
    bool owes_word, owes_nan; /* the operation left its result so */
    uint64_t extended;        /* int globals that are known to be sign-extended, or are to be */
    /* Accesses in a row by the guest's translations, for which one look was made: the last of them,
     * or NULL, and the lowest offset, which rax and rcx stand for together. */
    const struct ir_insn *row;
    int64_t row_low;
    struct cold *guard; /* of IR_STATE_GUARD, and the operations until it goes on */
    unsigned guard_left;
    bool guarded; /* floating point was found to be ready, so that guards are left out */
    unsigned loop_count;
    uint32_t afters[LOOPS_MAX]; /* behind each loop */
    bool borrowing;             /* here; out-of-line parts have it of the place where they leave */
    unsigned borrow_count;
    struct borrow borrows[BORROW_MAX];
    unsigned access_count;
    struct access accesses[IR_UNIT_MAX];
    struct debts owed;       /* what may be owed at labels, where it is known to be such a result */
    uint64_t checked_floats; /* of a region, those that are no NaNs where it begins */
    unsigned label_count, fixup_count;
    struct label labels[IR_LABELS_MAX];
    struct fixup fixups[FIXUPS_MAX];
    unsigned cold_count;
    struct cold cold[COLD_MAX];
};

static inline bool is_pinned(const struct emitter *e, ir_ref ref)
{
    return ref < IR_GLOBALS && e->map->reg[ref] != X86_NONE;
}

/* Where a global is. */
static inline struct place global_place(const struct emitter *e, ir_ref ref)
{
    if (is_pinned(e, ref))
        return in_reg(e->map->reg[ref]);
    return at_mem(RBP, e->layout->offsets[ref] - STATE_BIAS);
}

static inline struct place state_place(uint32_t offset)
{
    return at_mem(RBP, (int32_t)offset - STATE_BIAS);
}

#define CONTEXT_AT(offset) ((int32_t)((int64_t)(offset) - (int64_t)WINDOW_CONTEXT))
#define CONTEXT(field)     at_mem(R14, CONTEXT_AT(offsetof(struct native_context, field)))

/* rax holds the global from here on. */
static inline void hold(struct emitter *e, ir_ref ref)
{
    e->held = ref;
    e->held_at = here(&e->b);
}

static inline void hold_nothing(struct emitter *e)
{
    e->held = IR_ZERO;
}

static inline bool is_held(const struct emitter *e, ir_ref ref)
{
    return ref != IR_ZERO && e->held == ref && e->held_at == here(&e->b);
}

static inline bool is_global(ir_ref ref)
{
    return ref != IR_ZERO && ref < IR_GLOBALS;
}

/* A global's among those of sets of 64. */
static inline uint64_t bit_of(ir_ref ref)
{
    return is_global(ref) && ref < 64 ? UINT64_C(1) << ref : 0;
}

static inline bool owes(const struct emitter *e, ir_ref ref)
{
    return (e->debts.words | e->debts.nans) & bit_of(ref);
}

static inline bool is_float(const struct emitter *e, ir_ref ref)
{
    return is_global(ref) && e->layout->is_float(ref);
}

/* ---- emit.c ---- */

/* A jcc to an out-of-line part. `back` is where the part goes on: here, if cold_back() is not
 * called. */
struct cold *emit_cold(struct emitter *e, enum x86_cc cc, enum cold_kind kind,
                       const struct ir_insn *insn, unsigned index);
/* The same for a jump that was written, with its displacement last. */
struct cold *emit_cold_from(struct emitter *e, enum cold_kind kind, const struct ir_insn *insn,
                            unsigned index);
void cold_back(struct emitter *e, struct cold *cold);
/* Adds a link to bytes from the start of the unit's page, and returns its index, or LINK_NONE: it
 * leads to another page and there is no edge, or to no unit of a library's page. */
#define LINK_NONE UINT32_MAX
unsigned emit_link(struct emitter *e, int32_t target, bool polls);
/* Puts what stands behind so that 4 bytes, `before` bytes from here, can be patched at once. */
void emit_patchable(struct emitter *e, unsigned before);
void emit_count(struct emitter *e, unsigned instructions);
/* Has the guest execute the instruction by its fallback. `width`: of an access that the window
 * could not do, or 0. */
void emit_guest(struct emitter *e, const struct ir_insn *insn, unsigned width);
/* In an out-of-line part: the jump of the link `index`, and its stub behind it. */
void emit_cold_link(struct emitter *e, unsigned index);
/* Leaves by an exit part; it goes on at `offset`. */
void emit_exit(struct emitter *e, unsigned part, unsigned offset);
/* Leaves if somebody wants the CPU; it goes on at `offset`. */
void emit_poll(struct emitter *e, unsigned offset);
/* Leaves to the link `index`, which nobody patched yet. */
void emit_exit_link(struct emitter *e, unsigned index);

/* Nothing is known or owed. */
void knowledge_forget(struct emitter *e);
/* The anchor, or IR_ZERO in code that does not rely on it. */
ir_ref anchor_of(const struct emitter *e);
/* Dies (ud2). */
void emit_trap(struct emitter *e);
/* Dies unless the anchor is where it has to be; see host_runtime.audit. */
void emit_audit(struct emitter *e);

/* ---- emit_region.c ---- */

/* The last operation that leads back to the label at `label`, with no other one between; 0: none.
 */
unsigned find_inner_loop(const struct ir_unit *unit, unsigned label);
/* Before the first operation: finds what will be known at labels, and emits what sees to it. False:
 * too many labels. */
bool region_begin(struct emitter *e, const struct ir_unit *unit);
/* When registers are given: finds what may be owed at labels. */
void region_owe(struct emitter *e, const struct ir_unit *unit);
/* Then, where floats are in their registers: out if one of those is a NaN that must be none. */
void region_check_floats(struct emitter *e);
void emit_label(struct emitter *e, const struct ir_insn *insn);
/* Behind the loop of the label at `label` that ends with `last`: what is known there. */
void region_after(struct emitter *e, unsigned label, unsigned last);
/* Whether any way leads to the label. */
bool label_is_reached(const struct emitter *e, int64_t offset);
/* What may be owed at the label. */
struct debts label_owed(const struct emitter *e, int64_t offset);
/* A branch or a jump inside. `next`: what stands behind it. */
void emit_inside(struct emitter *e, const struct ir_insn *insn, const struct ir_insn *next);
void region_end(struct emitter *e);

/* ---- borrow.c ---- */

/* For the loop that ends with operation `last`: decides, and emits what goes before it. In a region
 * operations count by how deep in loops they stand. */
void borrow_begin(struct emitter *e, const struct ir_unit *unit, unsigned last);
/* Out of the loop, in line: the common assignment again. */
void borrow_end(struct emitter *e);
/* Registers from the common assignment to the loop's, and back; rax, rcx and rdx stay. */
void borrow_take(struct emitter *e);
void borrow_give(struct emitter *e);
/* Makes emitter.map the loop's or the common one. */
void borrow_map(struct emitter *e, bool borrowed);

/* ---- debts.c ---- */

/* Whether the operation's result is sign-extended from 4 bytes, if those of its operands are that
 * are said to be. */
bool is_extended(uint64_t extended, const struct ir_insn *insn);
/* Pays what the operation wants to be paid before it, and sees to what it will leave. */
void debts_before(struct emitter *e, const struct ir_insn *insn);
void debts_after(struct emitter *e, const struct ir_insn *insn);
/* Pays those of a point in out-of-line code; rcx is lost. */
void debts_pay(struct emitter *e, struct debts debts);
/* Of a branch of which only the comparison is emitted. */
void debts_before_compare(struct emitter *e, const struct ir_insn *insn);
/* Pays all that are not in `kept` (NULL: all). */
void debts_pay_beyond(struct emitter *e, const struct ir_insn *insn, const struct debts *kept);
/* Whether a result of the operation may stay as it is. */
bool debts_may_owe_word(const struct emitter *e, const struct ir_insn *insn);
bool debts_may_owe_nan(const struct emitter *e, const struct ir_insn *insn);
/* Whether a bitwise operation can be done on lower halves, and owe the rest. */
bool debts_make_narrow(const struct emitter *e, const struct ir_insn *insn);
/* Whether a comparison of the lower halves is enough. */
bool debts_compare_words(const struct emitter *e, const struct ir_insn *insn);

/* ---- emit_int.c ---- */

/* The register that holds the operand: a global's own, or `scratch` after a load. */
unsigned int_operand(struct emitter *e, ir_ref ref, int64_t imm, unsigned scratch);
void int_load(struct emitter *e, unsigned reg, ir_ref ref, int64_t imm);
/* reg = the page's address + offset */
void page_plus(struct emitter *e, unsigned reg, int64_t offset);
/* The register to compute a result in, and what brings it home. */
unsigned int_target(const struct emitter *e, ir_ref dst, unsigned scratch);
void int_store(struct emitter *e, ir_ref dst, unsigned reg);
/* Compares, and returns the condition code of `cond`. */
enum x86_cc int_compare(struct emitter *e, const struct ir_insn *insn);
/* The same of an IR_BRANCH, whose imm is no operand. */
enum x86_cc int_compare_branch(struct emitter *e, const struct ir_insn *insn);
bool emit_int(struct emitter *e, const struct ir_insn *insn);
void cold_divide(struct emitter *e, const struct cold *cold);

/* ---- emit_memory.c ---- */

bool emit_memory(struct emitter *e, const struct ir_insn *insn);
/* rax = the address. */
void emit_address(struct emitter *e, const struct ir_insn *insn);
/* From the address in rax to the host's place of it, rax + rcx, or out by the cold part. `aligned`:
 * the lowest bits of the address must be 0 besides; else all of `width` bytes must be in the page.
 */
struct cold *emit_translate(struct emitter *e, const struct ir_insn *insn, uint32_t tag,
                            unsigned width, bool aligned, enum cold_kind kind);
void cold_load(struct emitter *e, const struct cold *cold);
void cold_store(struct emitter *e, const struct cold *cold);
/* Out-of-line parts of windowed accesses, in front of all others. */
void emit_accesses(struct emitter *e);
/* What emitter.slack is after the operation. */
void slack_step(uint32_t *slacks, const struct ir_insn *insn);
/* Whether the operation is an access whose base, insn.a, slack is about. */
bool is_window_base(const struct ir_insn *insn);
/* Compares: above or equal if what the register holds is beyond the window. */
void emit_base_check(struct emitter *e, unsigned base);
/* An access to the window, which is to be told where it may fault. */
struct access *access_add(struct emitter *e, const struct ir_insn *insn);
/* Whether the operation's address is near one, a global's, that was seen to be in the window. */
bool is_base_known(const struct emitter *e, const struct ir_insn *insn);
/* Goes out of line if what the register holds is beyond the window. */
void access_check(struct emitter *e, struct access *access, unsigned base);

/* What an IR_LOAD has loaded from there, to its register. */
void emit_load_from(struct emitter *e, const struct ir_insn *insn, struct place from);
/* What an IR_STORE stores, to there; rdx is lost. */
void emit_store_to(struct emitter *e, const struct ir_insn *insn, struct place to);

/* ---- emit_vector.c ---- */

/* Behind the first round of the loop of `count` operations, in front of its head: rounds by
 * vectors, if it is a stream. *again: where the loop's jump back leads then; else 0. False: there
 * is no room. */
bool emit_stream(struct emitter *e, const struct ir_insn *insns, unsigned count,
                 const struct ir_insn *back, uint32_t *again);

/* ---- emit_atomic.c ---- */

void emit_atomic(struct emitter *e, const struct ir_insn *insn);
bool is_atomic(const struct ir_insn *insn);
/* Out of line, with debts paid: what the window could not do. */
void access_atomic(struct emitter *e, const struct access *access);
void cold_reserve(struct emitter *e, const struct cold *cold);
void cold_different(struct emitter *e, const struct cold *cold);

/* ---- emit_float.c ---- */

bool emit_float(struct emitter *e, const struct ir_insn *insn);
/* The opcode of arithmetic on vectors; the scalar one but for FMA, where that has the lowest bit
 * set. */
unsigned float_opcode(const struct ir_insn *insn);
void cold_flags(struct emitter *e, const struct cold *cold);
void float_store_boxed(struct emitter *e, ir_ref dst, unsigned width);

/* ---- emit_flow.c ---- */

void cold_jump(struct emitter *e, const struct cold *cold);
bool emit_flow(struct emitter *e, const struct ir_insn *insn);
/* Leaves to have the guest execute the instruction. */
void emit_step(struct emitter *e, const struct ir_insn *insn);
void cold_far(struct emitter *e, const struct cold *cold);
void cold_lookup(struct emitter *e, const struct cold *cold);
void cold_spent(struct emitter *e, const struct cold *cold);
/* In an out-of-line part: on at bytes from the start of the page, without a link. */
void emit_out(struct emitter *e, int64_t target);
void cold_edge(struct emitter *e, const struct cold *cold);
void cold_miss(struct emitter *e, const struct cold *cold);
void cold_return(struct emitter *e, const struct cold *cold);

/* ---- host.c ---- */

/* rcx: where the entry of the page of rax lies among the guest's translations. */
static inline void tlb_entry_find(struct buffer *b, const struct guest_layout *layout)
{
    /* rorx ecx, eax, so that the page's number is the entry's. */
    vex(b, OP_0F3A | OP_F2, 0xf0, RCX, 0, in_reg(RAX));
    put8(b, 12 - (unsigned)__builtin_ctz(layout->tlb_entry_size));
    alu_imm(b, 0, ALU_AND, in_reg(RCX),
            (int32_t)((layout->tlb_entries - 1) * layout->tlb_entry_size));
}

/* A field of that entry. */
static inline struct place tlb_field(const struct guest_layout *layout, uint32_t field)
{
    return at_index(R14, RCX, 0, CONTEXT_AT(layout->tlb_offset + field));
}

/* The assignment of globals to registers. Pure. */
void host_map_fill(struct host_map *map, const struct guest_layout *layout);

#endif
