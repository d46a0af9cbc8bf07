/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host's code emitter offers. One is built in, for the architecture that hospes is built
 * for; host_native() is NULL elsewhere, and there is no translator then.
 *
 * All functions under the translator's lock.
 */
#ifndef HOSPES_CPU_TRANSLATE_HOST_H
#define HOSPES_CPU_TRANSLATE_HOST_H

#include "cpu/translate/code_memory.h"
#include "cpu/translate/ir.h"
#include "cpu/translate/native.h"

struct link;
/* The i-th of the records given to compile(): what the helpers `edge` and `link` will be told. */
struct link *link_record(struct link *records, unsigned i);

/*
 * Code for a library (library.h), which no machine can write: it names nothing of a machine's but
 * by its distance, has no links but to other units of the library's page, and looks at a word of
 * the machine's own where it polls.
 */
struct host_word {
    uint64_t dead; /* all ones: it leaves; 0 */
    /* Counted down, by all CPUs at once and not exactly; below 0 it leaves: it is worth a unit that
     * the machine makes for itself. */
    _Atomic int32_t heat;
    uint32_t zero;
};

struct host_shared {
    uint32_t word;            /* code_memory offset */
    const void *records;      /* where the fallbacks of the unit point to when it is compiled, */
    uint32_t machine_records; /* and the code_memory offset where they will be */
    /* Whether there will be a unit, for the same kind of code, that begins there in the page. */
    bool (*has)(void *ctx, unsigned offset);
    void *ctx;
};

/* The code that all units share, emitted once a machine. */
struct host_runtime {
    const struct guest_layout *layout;
    const struct native_helpers *helpers;
    const void *enter;    /* enter(state, context, code) */
    const void *returned; /* what a call is led to that came back already */
    const void *access; /* what an access is led to that faulted: context->target is its address */
    uint64_t parts[24]; /* the emitter's own: addresses of thunks and constants */
    bool counting;      /* units count guest instructions */
    bool audit;         /* for tests: units look whether what they rely on is so, or die */
    bool alone;         /* the machine has one CPU: only devices see the order of its accesses */
    const struct host_shared *shared; /* NULL, but where code for a library is made */
    /* The edge from the unit's page that leads `pages` on, or NATIVE_NO_EDGE. */
    uint32_t (*edge)(void *ctx, int64_t pages);
    void *edge_ctx;
};

/* One jump out of a unit that can be led to another one. */
struct host_link {
    uint32_t patch : 30;  /* code_memory offset of the jump's displacement */
    uint32_t call : 1;    /* what leads out is a call */
    uint32_t polls : 1;   /* must go to the other unit's poll entry */
    uint32_t stub : 30;   /* code_memory offset of where it leads when it leads to no unit */
    int32_t pages : 20;   /* from the unit's page to the one that it leads to */
    uint32_t target : 12; /* bytes from the start of that page */
    uint32_t edge;        /* which has to hold; NATIVE_NO_EDGE: it is the unit's own page */
};

/* The host may make code of a loop so many times. */
enum { HOST_LINKS_MAX = 144, HOST_LOOP_TIMES = 5 };

/*
 * An access to the window, which may fault, or whose base is found to be elsewhere before. All
 * globals are where code outside of units expects them then, so that the guest's side can do it by
 * what is told here; or else it has out-of-line code of its own. A check that fails calls: the
 * calls stand in front of all else that is out of line, in the order of accesses.
 */
struct host_access {
    int32_t imm;         /* or, with code of its own, bytes from cold_start to that */
    uint32_t at : 16;    /* bytes from `start` to the instruction that may fault */
    uint32_t length : 6; /* and from there to where it goes on */
    uint32_t base : 7;   /* a global or IR_ZERO, or HOST_ACCESS_PAGE */
    uint32_t store : 1;
    uint32_t checked : 1; /* it has a call */
    uint32_t own_code : 1;
    uint32_t data : 7;   /* the same of what is loaded to or stored */
    uint32_t guest : 12; /* as in NATIVE_INFO */
    uint32_t width : 4;
    uint32_t sign : 1;
    uint32_t done : 7;
    uint32_t keeps : 1; /* the helper answers with the base, and not with what was loaded */
};

enum { HOST_ACCESS_PAGE = IR_GLOBALS - 1 };

struct host_unit {
    uint32_t start;                 /* code_memory offset of the poll entry */
    uint32_t entry;                 /* and of the entry behind the poll */
    uint32_t size;                  /* of what is in line */
    uint32_t cold_start, cold_size; /* what is out of line, elsewhere */
    unsigned streams;               /* loops that are done by vectors */
    unsigned link_count;
    struct host_link links[HOST_LINKS_MAX];
    unsigned access_count;
    struct host_access accesses[IR_UNIT_MAX];
};

struct host_type {
    const char *name;
    unsigned check_size; /* bytes of the call of an access that is checked */
    /* NULL, or what the host's processor lacks. */
    const char *(*missing)(void);
    int (*make_runtime)(struct code_memory *memory, struct host_runtime *runtime) MUST_CHECK;
    /* Translates into `memory`, and may change the unit; links[i] of the unit will be told by
     * records[i] (addresses that the code carries). -ENOSPC: no room in the segment; -E2BIG: the
     * unit is too long. */
    int (*compile)(const struct host_runtime *runtime, struct ir_unit *unit,
                   struct code_memory *memory, struct link *records,
                   struct host_unit *result) MUST_CHECK;
    /* Leads a link to `to`, an offset. Any CPU may be running the code. */
    void (*set_link)(struct code_memory *memory, const struct host_link *link, uint32_t to);
    /* Makes a unit's poll entry lead out by NATIVE_EXIT_POLL, for good. */
    void (*close_entry)(struct code_memory *memory, uint32_t start);
    /* Writes the two words that lie at the top of an empty stack of return addresses. */
    void (*make_stack)(const struct host_runtime *runtime, const struct code_memory *memory,
                       uint64_t *top);
    struct native_result (*enter)(const struct host_runtime *runtime, void *state,
                                  struct native_context *context, const void *code);
    /* Floating point, on the CPU's thread: sets the rounding mode (0 nearest even, 1 zero, 2 down,
     * 3 up) with no flags raised; and back to the host's own, returning the flags (inexact 1,
     * underflow 2, overflow 4, division by zero 8, invalid 16). */
    void (*float_load)(unsigned rounding);
    unsigned (*float_flags)(void);
    /* The window at which translated code of this thread looks from now on. */
    void (*set_window)(uint8_t *base);
    /* The program counter in a signal's context. */
    uint64_t (*fault_pc)(const void *context);
    void (*set_fault_pc)(void *context, uint64_t pc);
};

const struct host_type *host_native(void);

#endif
