/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What translated code and the C code around it agree on.
 *
 * Translated code runs on the CPU's own thread with three things in fixed host registers: the
 * guest's state (globals that no host register holds are read and written there), the context of
 * the current address space, and a stack of its own for return addresses. It reaches everything
 * else by helpers that the guest's side provides, and by leaving.
 */
#ifndef HOSPES_CPU_TRANSLATE_NATIVE_H
#define HOSPES_CPU_TRANSLATE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A window is a range of the host's addresses in which the guest-virtual address v, of
 * WINDOW_BITS bits, is at the base plus v: pages that the guest may access are mapped there, and
 * the rest faults. Code made for it checks that a base register is below 1 << WINDOW_BITS, and
 * relies on WINDOW_GUARD inaccessible bytes before and behind for small offsets from it. After a
 * fault or a failed check the helper is asked; it does an access that lies in the window, and
 * leaves for any other, so that behind an access its base is known to be near. Code is executed
 * there only where it lies in the window itself: 32 bits from its page are within the guards.
 *
 * One global, the anchor (struct guest_layout), is in the window, but for WINDOW_ANCHOR bytes up or
 * down, wherever code for the window is entered, so that most code does not check it. Who enters
 * from outside looks at it, and each unit sees to it before it goes on to another one.
 */
#define WINDOW_BITS   38
#define WINDOW_SIZE   (UINT64_C(1) << WINDOW_BITS)
#define WINDOW_GUARD  (UINT64_C(1) << 32)
#define WINDOW_ANCHOR (UINT32_C(1) << 15)
/* How far before a window's base its context lies: one register of the host leads to both. No
 * access comes nearer to it than half of that, where its address is not checked as a whole. */
#define WINDOW_CONTEXT (UINT64_C(1) << 31)

enum {
    NATIVE_JUMPS =
        4096, /* entries of the cache of indirect jumps; by bits 1 to 12 of the address */
    NATIVE_EDGES = 4096,
    NATIVE_PINNED_INT = 16,
    NATIVE_PINNED_FLOAT = 16,
    NATIVE_VECTORS = 8,
    /* The stack of return addresses. A poll finds it low and empties it; between two polls a unit
     * calls forward within its page at most once an instruction, 16 bytes each. */
    NATIVE_STACK_SIZE = 64 << 10,
    NATIVE_STACK_SLACK = 40 << 10,
};

/* Bits 1 to 12 of the address, mixed with those above so that functions at the same place of
 * different pages lie apart. */
static inline unsigned native_jump_index(uint64_t vaddr)
{
    return (vaddr >> 1 ^ vaddr >> 13) & (NATIVE_JUMPS - 1);
}

/* The tag of an empty entry. A guest may jump to any 64 bits, so that none is no address; but this
 * one belongs to another entry (all ones to the first). */
static inline uint64_t native_no_tag(unsigned index)
{
    return index ? UINT64_MAX : 2;
}

/*
 * An edge leads from a page of memory to the page that lies so many pages further on in the
 * guest's addresses, whatever they are. That is the same page of memory in all address spaces that
 * map both as the first one did which took it. A context knows which edges hold in it, and from
 * which virtual page: code that goes along one compares its own page with what is in the edge's
 * slot. An edge's number is its slot and, above, a tag that is added to the page; no number is
 * used twice.
 */
#define NATIVE_NO_EDGE UINT32_MAX
enum { NATIVE_EDGE_TAGS = 4095 }; /* of a slot: less than a page */

static inline unsigned native_edge_slot(uint32_t edge)
{
    return edge % NATIVE_EDGES;
}

static inline unsigned native_edge_tag(uint32_t edge)
{
    return edge / NATIVE_EDGES;
}

/* Where code for a virtual address is: its poll entry. */
struct native_jump {
    uint64_t tag;
    const void *code;
};

/* One address space of one CPU. The guest's translations (struct guest_layout) lie behind it in
 * the same struct. */
struct native_context {
    uint64_t page;         /* virtual address of the page that is executed; a host register has it
                              while translated code runs */
    uint64_t window_size;  /* WINDOW_SIZE */
    uint64_t host_stack;   /* of C code */
    uint64_t stack_top;    /* of return addresses, when empty */
    uint64_t stack;        /* and where it is, while a helper runs */
    uint64_t target;       /* what is looked up; an access that failed, and where to go on then */
    void *cpu;             /* for helpers */
    uint64_t counted;      /* guest instructions, where units count */
    uint64_t gpa_offset;   /* guest-physical address minus host address of main RAM */
    uint8_t *window;       /* NULL: code for this context looks addresses up */
    uint32_t control;      /* a place for the host's floating-point control and status */
    uint32_t zero_ready;   /* IR_ZERO_BLOCK is allowed */
    uint32_t float_ready;  /* floats are in the host's registers, and its rounding is the guest's */
    uint32_t float_wanted; /* for the guest's side: they may be */
    /* The host's, for loops that it does by vectors: what registers hold, what was in others, the
     * floating-point control and status, rounds, how many turns to wait before the next try. */
    _Alignas(32) uint8_t vectors[NATIVE_VECTORS][32];
    uint64_t vector_saved[16];
    uint32_t vector_control, vector_rounds;
    int32_t vector_wait;
    struct native_jump jumps[NATIVE_JUMPS];
    uint64_t edges[NATIVE_EDGES]; /* the virtual page plus the tag; UINT64_MAX: none */
};

/* Why translated code was left. The guest's state is complete but for the pc. */
enum native_exit {
    NATIVE_EXIT_JUMP,   /* value: the pc, for which the jump cache has no code */
    NATIVE_EXIT_POLL,   /* value: bytes from the page to the pc; somebody wants the CPU */
    NATIVE_EXIT_STEP,   /* value: the same; the guest shall execute one instruction itself */
    NATIVE_EXIT_UNFIT,  /* as STEP, of a region that cannot begin with registers as they are */
    NATIVE_EXIT_HELPER, /* a helper said so, having set the pc */
};

struct native_result {
    uint64_t reason; /* enum native_exit */
    uint64_t value;
};

/* A helper's answer: two registers. */
struct native_value {
    uint64_t value;
    uint64_t ok; /* false: leave with NATIVE_EXIT_HELPER */
};

/* What a helper is told of the access: bytes from the page to the instruction, the shape, and how
 * many instructions of the unit were done before it. */
#define NATIVE_INFO(at, width, sign, done) ((at) | (width) << 13 | (sign) << 17 | (done) << 18)
#define NATIVE_INFO_AT(info)               ((info)&0x1fff)
#define NATIVE_INFO_WIDTH(info)            ((info) >> 13 & 15)
#define NATIVE_INFO_SIGN(info)             ((info) >> 17 & 1)
#define NATIVE_INFO_DONE(info)             ((info) >> 18)

/* A reservation. Windowed code knows the virtual address only; the address is of the context in
 * which it was made. What the guest's side and code of the other kind make of it is the same. */
enum native_reservation { NATIVE_NOT_RESERVED, NATIVE_RESERVED_PHYSICAL, NATIVE_RESERVED_VIRTUAL };
#define NATIVE_RESERVED(kind, width) ((kind) | (width) << 16)

struct native_helpers {
    struct native_value (*load)(void *cpu, uint64_t vaddr, uint32_t info);
    struct native_value (*store)(void *cpu, uint64_t vaddr, uint32_t info, uint64_t value);
    /* Does the access of windowed code that failed at `where` (translator_access()), with all
     * globals in the state. The value is what was loaded or the base's
     * (host_access.keeps); context->target: where to go on. */
    struct native_value (*access)(void *cpu, uint64_t where);
    /* `record`: ir_insn.fallback. All globals are in the state, before and after. The info's width
     * is not 0 of an atomic access that the window could not do: it may get the page. */
    struct native_value (*guest)(void *cpu, const void *record, uint32_t info);
    /* The poll entry for a virtual address that the jump cache does not know. It may have the guest
     * execute from there on, with all globals in the state, and answer for where that came to; of
     * a `call` host_runtime.returned, where that is back behind it. Sets context->page. Not ok:
     * leave with NATIVE_EXIT_JUMP to context->target. */
    struct native_value (*lookup)(void *cpu, uint64_t vaddr, bool call);
    /* The same for where a link leads (struct link) whose edge the context does not know; it may
     * know it then. */
    struct native_value (*edge)(void *cpu, const void *link, bool call);
    /* The same for where a link leads that leads to no unit yet. context->page is there already. */
    struct native_value (*link)(void *cpu, const void *link, bool call);
};

/* Where the guest's things are, for the host's emitter. Offsets from the state's first byte, or
 * from the context's. */
struct guest_layout {
    uint16_t globals;           /* references in use */
    const uint16_t *offsets;    /* of each in the state */
    bool (*is_float)(unsigned); /* of a reference */
    /* One that points to memory most of the time, as a stack pointer does; IR_ZERO: none. See
     * WINDOW_ANCHOR. */
    uint16_t anchor;
    const uint8_t *pinned_int; /* those that host registers hold at all times, most wanted first; */
    unsigned pinned_int_count; /* the host takes as many as it can */
    const uint8_t *pinned_float;
    unsigned pinned_float_count;
    uint32_t
        flags_offset; /* in the state: 4 bytes, as IR_FLAGS_READ has them, or'ed to the host's */
    uint32_t poll_offset; /* in the state: struct cpu_signal.limit */

    uint64_t view_mask, view_bits; /* of IR_STATE_VIEW */
    uint32_t view_writable;
    uint32_t view_plain; /* of these: nothing is to be looked at where they change */
    /* Interrupts: 8 bytes of those that are wanted, and two times 8 bytes of those that wait. */
    uint32_t wanted_offset, pending_offset[2];

    /* The reservation, in the state: NATIVE_RESERVED() in 4 bytes, the address and the value that
     * was read (width 4: sign-extended). */
    uint32_t reserved_offset, reserved_address_offset, reserved_value_offset;

    /* The translations: a direct-mapped array in the context, indexed by the page's number. */
    uint32_t tlb_offset, tlb_entries; /* a power of two, as is the size */
    uint32_t tlb_entry_size;
    uint32_t tlb_read, tlb_write, tlb_addend; /* in an entry */
};

#endif
