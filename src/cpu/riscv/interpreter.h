/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter's own parts, shared by its files and by nobody else. docs/interpreter.md tells
 * how a block goes through them.
 *
 *   interpreter.c  the engine's table, run(), requests from other threads
 *   tlb.c          translations by regime, and the slow path of every access
 *   code.c         decoded blocks: finding, making, dropping
 *   execute.c      the inner loop: the instructions that are executed most
 *   execute_*.c    the others, one function each, called by the inner loop
 *
 * Invariants
 *  I1  A TLB entry whose write tag is set is of a RAM page without PAGE_CODE, or the CPU runs, a
 *      request to drop it is in cpu->protect and the signal is raised (memory.h, M2).
 *  I2  A block is entered only while block->epoch == cpu->epoch. fence.i moves cpu->epoch on; a
 *      block gets the new one only when its page still has the generation it was decoded at.
 *  I3  A link leads from a block to one in the same page, virtual and of RAM, so it needs no
 *      translation and holds wherever the page is mapped.
 *  I4  Within a block the pc is base + 2 * op->at; hart->pc is valid outside execute() only.
 */
#ifndef HOSPES_CPU_RISCV_INTERPRETER_H
#define HOSPES_CPU_RISCV_INTERPRETER_H

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "cpu/engine.h"
#include "cpu/riscv/decode.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/mmu.h"
#include "cpu/translate/native.h"

enum {
    TLB_SIZE = 2048, /* entries, direct mapped by the page's number */
    TLB_COUNT = 16,  /* regimes that are remembered */
    TLB_VICTIMS = 64,
    JUMP_PAGES = 1 << 16,
    LARGE_SHIFT = 21,
    LARGE_PLACES = 1 << 14, /* half of them for each half of the address space */
    LARGE_PAGES = 1 << (21 - 12),
    WINDOW_CHURN = 16,
    WINDOW_UNMAP_COST = 8, /* about us */
    BLOCK_INSTRUCTIONS = 64,
    BLOCK_BYTES = 128 * 2, /* op->at counts halfwords in a byte; block->starts has 128 bits */
    CODE_HASH_SIZE = 1 << 15,
    BREAKPOINTS = 64,
    PROTECT_REQUESTS = 64,
    FLUSH_REQUESTS = 8,
    FLUSH_PAGES = 64, /* in one request; above, all of the address space go */
};

#define PAGE_MASK    (~(uint64_t)(PAGE_SIZE - 1))
#define WRITTEN_MANY UINT16_MAX
/* A tag that no address has: tags have the low 12 bits clear. */
#define TLB_NONE UINT64_MAX

/* One page. A tag is its virtual address where that kind of access needs no look at anything. */
struct tlb_entry {
    uint64_t read, write, fetch;
    uint64_t addend; /* host address minus virtual address */
};

/* A page that another one took the place of. Of main RAM. */
struct tlb_victim {
    uint64_t tag; /* TLB_NONE: none */
    uint64_t addend;
    unsigned allowed; /* enum riscv_access */
};

struct tlb {
    /* First: translated code finds all of the TLB from it. */
    _Alignas(PAGE_SIZE) struct native_context native;
    struct riscv_regime regime;
    bool valid;
    uint64_t used; /* struct engine_cpu.tlb_clock when it was taken up last */
    bool empty;    /* a fence has emptied it, and nobody has used it since */
    /* Mappings greater than a page: sfence.vma of one address must drop all of it. Those of up to
     * LARGE_SHIFT bits by a bit for the place they lie in, in turn; for the greater ones, what all
     * of them lie in, [0] below and [1] above the middle of the address space. */
    uint64_t large_places[LARGE_PLACES / 64];
    struct {
        uint64_t base, mask; /* va is inside when (va & mask) == base; mask 0 and base 1: empty */
    } large[2];
    struct tlb_entry entries[TLB_SIZE];
    struct tlb_victim victims[TLB_VICTIMS]; /* by a hash of the page's number */
    /* Which pages native.jumps and native.edges may lead to, by their low bits. */
    uint64_t jump_pages[JUMP_PAGES / 64];
    int32_t edge_pages[NATIVE_EDGES]; /* how far each of native.edges leads */
    bool edges_empty;                 /* none of them is in use; false in new memory */
    bool has_lower;                   /* it may know of addresses in the lower half */
    struct window *window;            /* native.window is its base; NULL: none */
    unsigned ticks;                   /* interrupts that found the CPU in this regime */
    uint64_t weighed;                 /* when the window was: struct native_cpu.ticks */
    unsigned window_cost;             /* of calls of the host since the last tick, about us */
    unsigned window_heavy;            /* ticks with much of it, less those with little */
    unsigned window_pause;            /* ticks without a window after it cost too much */
    unsigned churn;                   /* pages of the window that became code while writable */
};

static inline bool tlb_has_jumps(const struct tlb *tlb, uint64_t vaddr)
{
    unsigned page = vaddr >> PAGE_SHIFT & (JUMP_PAGES - 1);

    return tlb->jump_pages[page / 64] >> (page % 64) & 1;
}

struct engine_cpu;
struct op;

/* What an out-of-line instruction tells the inner loop. */
enum op_result {
    OP_NEXT, /* go on behind it */
    OP_TRAP, /* cpu->cause and cpu->tval are set; it did not retire */
    OP_EXIT, /* it retired and hart->pc is set, but something must be looked at first */
};

typedef enum op_result op_function(struct engine_cpu *cpu, const struct op *op);

/* A decoded instruction; those that say so take a second slot. */
struct op {
    union {
        struct {
            const void *handler; /* a label of execute() */
            int32_t imm;         /* of a branch: the target minus the block's pc */
            uint8_t rd, rs1, rs2;
            uint8_t at; /* halfwords from the block's start */
        };
        struct { /* the second slot */
            union {
                op_function *call;
                struct code_block *link; /* where a taken branch leads, once known (I3) */
            };
            uint32_t raw;   /* the instruction, for mtval */
            uint32_t count; /* instructions of the block up to and with this one */
        };
    };
};

struct code_block {
    uint64_t host;           /* host address of the first byte: the key */
    uint64_t epoch;          /* I2; 0: dead */
    struct code_block *next; /* of the hash chain */
    struct ram *ram;
    uint32_t page, generation; /* of `ram` */
    uint16_t count;            /* instructions */
    bool heated;               /* begins with OP_HEAT */
    uint64_t starts[2];        /* bit n: an instruction begins n halfwords into the block */
    struct op ops[];
};

/* The biggest block: two slots an instruction, and the pseudo-ops at both ends. */
#define BLOCK_SIZE_MAX                                                                             \
    (sizeof(struct code_block) + sizeof(struct op) * 2 * (BLOCK_INSTRUCTIONS + 2))

/* Handlers beyond the instructions of decode.h, for what decoding knows already. */
enum op_handler {
    OP_CALL = RISCV_INSN_COUNT, /* two slots: calls op[1].call */
    OP_FALL,                    /* two slots: goes on behind the block */
    OP_LI,                      /* rd = imm */
    OP_MV,
    OP_J,
    OP_JR,
    OP_LOAD_X0, /* a load that drops its value: rs2 is the width */
    OP_HEAT,    /* counts down to the block's translation */
    OP_HANDLER_COUNT
};

/* Virtual addresses whose translations are void; UINT64_MAX as in engine_type.flush_tlb(). */
struct flush_request {
    uint64_t vaddr, size, asid;
};

/* A page that must no longer be written through a cached pointer. */
struct protect_request {
    struct ram *ram;
    uint64_t page;
};

struct engine_cpu {
    struct riscv_hart *hart;
    struct engine *engine;
    struct tlb *fetch, *data; /* of the regimes of now */
    struct tlb *recent[4];    /* that were taken up last, by whether they are of S and have SUM */
    uint64_t epoch;
    int64_t budget;    /* instructions that run() may still execute */
    int64_t low_water; /* below it, blocks are entered by run() only */
    uint64_t base;     /* the block's pc, while an op_function runs */
    uint64_t cause, tval;
    enum cpu_stop stop;
    bool stopping; /* run() returns `stop` */

    int64_t counted;    /* budget up to which mcycle and minstret are up to date */
    uint64_t tlb_clock; /* counts regimes that are taken up */
    struct ram *main;   /* the greatest RAM: of no other are pages entered for writing */
    /* All that was translated in the upper half of address spaces so far was global: there they
     * are the same. */
    bool upper_global;
    struct engine_counters counters;
    struct code_block *single;                  /* a block of one instruction that is not kept */
    uint8_t watched[sizeof(struct riscv_hart)]; /* what state_in() compares with */

    /* For each page of main RAM: 0, or where the one write tag for it is or was (1 + the TLB's
     * number * TLB_SIZE + the entry's), or WRITTEN_MANY. */
    uint16_t *written;
    uint8_t *arena; /* blocks */
    uint64_t arena_used, arena_size;
    uint64_t idle_looked, idle_decoded, idle_missed; /* see interpreter_idle() */
    bool translating;                                /* this run() may use translated code */
    struct native_cpu *native;                       /* NULL without a translator */
    struct code_block *hash[CODE_HASH_SIZE];
    struct tlb *tlbs;              /* TLB_COUNT of them, see tlb_create() */
    _Atomic uint32_t tlbs_touched; /* a bit each: may hold memory of the host */

    uint64_t breakpoints[BREAKPOINTS];
    unsigned breakpoint_count;

    _Atomic bool kicked;
    _Atomic bool protect_waiting; /* there are protect requests; set under the lock */
    struct memory_listener listener;
    /* Requests of other threads. No lock is taken inside this one. */
    struct mutex lock;
    struct condition done;
    /* The CPU is in run(): the TLBs and blocks are its thread's. Else the lock's holder's. */
    bool running GUARDED_BY(lock);
    pthread_t thread GUARDED_BY(lock); /* the last that was in run() */
    uint64_t flush_asked GUARDED_BY(lock), flush_done GUARDED_BY(lock);
    unsigned flush_count GUARDED_BY(lock);
    struct flush_request flush[FLUSH_REQUESTS] GUARDED_BY(lock);
    bool flush_all GUARDED_BY(lock), flush_blocks GUARDED_BY(lock); /* _all: or more than fit */
    bool protect_all GUARDED_BY(lock);                              /* more than fit */
    unsigned protect_count GUARDED_BY(lock);
    struct protect_request protect[PROTECT_REQUESTS] GUARDED_BY(lock);
};

struct engine {
    struct native *native; /* the translator, or NULL */
    int32_t heat;          /* executions before a block is translated */
    struct address_space *memory;
    unsigned cpu_count;
    struct engine_cpu **cpus;
    /* Protect requests that some CPU has not handled yet; see interpreter_fence_i(). */
    _Atomic unsigned protect_pending;
};

/* ---- interpreter.c ---- */

/* engine_type.create without a translator. */
int interpreter_create(const struct engine_config *config, struct engine **engine,
                       struct error *error) MUST_CHECK;

/* Brings mcycle and minstret up to date before the op_function's instruction. */
void cpu_count_sync(struct engine_cpu *cpu, const struct op *op);
/* Before a write tag goes for any other reason than a request to drop it: a request that waits is
 * handled while the tag still tells that the page may have been written. */
void cpu_before_eviction(struct engine_cpu *cpu);
/* fence.i: what is executed from now on was read from memory after this. */
void cpu_fence_i(struct engine_cpu *cpu);

/* Takes the trap of the instruction at hart->pc; false: run() returns. */
bool cpu_take_trap(struct engine_cpu *cpu, uint64_t cause, uint64_t tval);

/* ---- tlb.c ---- */

/* All of them, empty, in memory of which a window maps a part again (window_join()). -ENOMEM. */
int tlb_create(struct engine_cpu *cpu) MUST_CHECK;
void tlb_release(struct engine_cpu *cpu);
/* Bytes that they hold at most, but for a page or two of those that are not in use. On any thread.
 */
uint64_t tlb_bytes(const struct engine_cpu *cpu);
/* Sets cpu->fetch and cpu->data after the regime may have changed. */
void tlb_review(struct engine_cpu *cpu);
/* How many regimes are remembered. */
unsigned tlb_count(const struct engine_cpu *cpu);
/* Forgets all but those of now, and gives their memory back to the host. Outside run(). */
void tlb_trim(struct engine_cpu *cpu);
void tlb_flush_all(struct engine_cpu *cpu);
/* sfence.vma; `all_addresses` and `all_spaces` for x0. */
void tlb_flush(struct engine_cpu *cpu, bool all_addresses, uint64_t vaddr, bool all_spaces,
               uint64_t asid);
/* Of one regime: the jump cache and the edges. */
void tlb_empty_jumps(struct tlb *tlb);
/* The jump cache may lead to the page of code from now on, which was found by cpu->fetch. */
void tlb_note_code(struct engine_cpu *cpu, uint64_t vaddr);
/* The edge holds from the virtual page on; both of its pages were found by cpu->fetch. */
void tlb_note_edge(struct engine_cpu *cpu, uint64_t page, uint32_t edge, int32_t pages);
/* Empties the jump caches of all regimes. */
void tlb_flush_jumps(struct engine_cpu *cpu);
/* Drops write tags of the host page; true if there was one. */
bool tlb_protect(struct engine_cpu *cpu, const uint8_t *host_page);
/* Drops every write tag, and takes every page with code as written. */
void tlb_protect_all(struct engine_cpu *cpu);

/* Where an address leads: RAM (host != NULL) or a device. */
struct tlb_place {
    const struct range *range;
    gpa address;
    uint8_t *host;
    bool cached; /* the page is in the TLB now; else each access must ask again */
};

/* 0, or the exception for a naturally aligned access of `width` bytes in one page. */
int tlb_lookup(struct engine_cpu *cpu, struct tlb *tlb, uint64_t vaddr, unsigned width,
               enum riscv_access access, struct tlb_place *place) MUST_CHECK;

/* Loads and stores of any alignment. False: cpu->cause and cpu->tval are set. */
bool access_load(struct engine_cpu *cpu, uint64_t vaddr, unsigned width,
                 uint64_t *value) MUST_CHECK;
bool access_store(struct engine_cpu *cpu, uint64_t vaddr, unsigned width,
                  uint64_t value) MUST_CHECK;
/* 16 bits of code. False: cpu->cause and cpu->tval are set. */
bool access_fetch(struct engine_cpu *cpu, uint64_t vaddr, uint16_t *half) MUST_CHECK;

/* ---- code.c ---- */

/* Half of an instruction, by the host's address. */
static inline GUEST_ACCESS uint16_t code_half(const uint8_t *host)
{
    return le16toh(__atomic_load_n((const uint16_t *)(const void *)host, __ATOMIC_RELAXED));
}

/* Decodes what is at `host`, where `left` bytes, 2 at least, may be read. False: it is longer. */
static inline bool code_decode(const uint8_t *host, unsigned left, struct riscv_insn *insn)
{
    uint32_t word = code_half(host);

    if (riscv_insn_length(word) == 4) {
        if (left < 4)
            return false;
        word |= (uint32_t)code_half(host + 2) << 16;
    }
    riscv_decode(word, insn);
    return true;
}

int code_cache_init(struct engine_cpu *cpu) MUST_CHECK;
void code_cache_release(struct engine_cpu *cpu);
/* Drops all blocks. */
void code_cache_flush(struct engine_cpu *cpu);
/* The same, and gives the memory back to the host. Outside run(). */
void code_cache_trim(struct engine_cpu *cpu);
/* The block at the virtual `pc`, or NULL: cpu->cause and cpu->tval are set. With `single`, one
 * instruction only. Valid until the next call. */
struct code_block *code_find(struct engine_cpu *cpu, uint64_t pc, bool single);
/* Before code of the page of RAM is read: from now on it is known when the page is written. Returns
 * the writing that it is at. */
uint32_t code_mark(struct engine_cpu *cpu, struct ram *ram, uint64_t page);
/* Makes the block that begins with `first` dead. */
void code_drop(struct engine_cpu *cpu, const struct op *first);

/* Its OP_HEAT counted to the end. */
static inline bool code_is_hot(const struct code_block *block)
{
    return block->heated && block->ops[0].imm < 0;
}

static inline unsigned code_hash(uint64_t host)
{
    return (host >> 1 ^ host >> 16) & (CODE_HASH_SIZE - 1);
}

/* Instructions that begin before the one at `at`. */
static inline unsigned code_count_before(const struct code_block *block, unsigned at)
{
    if (at < 64)
        return __builtin_popcountll(block->starts[0] & ((UINT64_C(1) << at) - 1));
    return __builtin_popcountll(block->starts[0]) +
           __builtin_popcountll(block->starts[1] & ((UINT64_C(1) << (at - 64)) - 1));
}

/* The two slots of an instruction that a function does, `count` instructions into its block, and
 * whether it ends a block. */
void code_make_op(struct op *op, const struct riscv_insn *insn, unsigned count);
bool code_insn_ends(const struct riscv_insn *insn);

/* ---- execute.c ---- */

enum execute_result { EXECUTE_NEXT, EXECUTE_TRAP };

/* From `block`, at hart->pc, on. EXECUTE_TRAP: the instruction at hart->pc has cpu->cause. */
enum execute_result execute(struct engine_cpu *cpu, struct code_block *block);
/* The label of enum op_handler or an instruction, NULL if it has none. */
const void *execute_handler(unsigned handler);

/* ---- execute_*.c ---- */

/* The function of an instruction that execute() has no label for; NULL for one that does nothing
 * and needs none. */
op_function *execute_function(enum riscv_insn_id id);

op_function exec_illegal;
op_function exec_cross_page;

/* Before the regime of loads and stores changes, and before the address is looked at; see struct
 * riscv_hart. */
void reservation_make_physical(struct engine_cpu *cpu);

extern op_function *const execute_float_functions[RISCV_INSN_COUNT];
extern op_function *const execute_atomic_functions[RISCV_INSN_COUNT];
extern op_function *const execute_system_functions[RISCV_INSN_COUNT];

static inline enum op_result op_trap(struct engine_cpu *cpu, uint64_t cause, uint64_t tval)
{
    cpu->cause = cause;
    cpu->tval = tval;
    return OP_TRAP;
}

static inline enum op_result op_illegal(struct engine_cpu *cpu, const struct op *op)
{
    return op_trap(cpu, RISCV_EXC_ILLEGAL, op[1].raw);
}

/* The pc of the op that an op_function was called with, and behind it. */
static inline uint64_t op_pc(const struct engine_cpu *cpu, const struct op *op)
{
    return cpu->base + 2 * op->at;
}

static inline uint64_t op_next_pc(const struct engine_cpu *cpu, const struct op *op)
{
    return op_pc(cpu, op) + riscv_insn_length(op[1].raw);
}

/* OP_EXIT to the instruction behind. */
static inline enum op_result op_exit(struct engine_cpu *cpu, const struct op *op)
{
    cpu->hart->pc = op_next_pc(cpu, op);
    return OP_EXIT;
}

static inline void op_write_x(struct engine_cpu *cpu, const struct op *op, uint64_t value)
{
    if (op->rd)
        cpu->hart->x[op->rd] = value;
}

#endif
