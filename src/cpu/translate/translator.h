/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translations of one machine: units of guest code, found by the page and the offset where they
 * begin, linked to each other, dropped when their code was written or room is needed. All CPUs
 * share them.
 *
 * A unit is
 *   live   found, linked to
 *   dead   found by nobody; its poll entry leads out, and links to it are taken back. CPUs may
 *          still be in it. Its memory is used again when its segment is, which is when each CPU
 *          has left translated code since (translator_enter()) and forgotten its jump cache.
 *
 * Invariants
 *  T1  Code addresses outside the translator's tables are in jump caches, in stacks of return
 *      addresses, and in CPUs that run. A CPU's are gone once it has passed translator_enter().
 *  T2  Jump caches hold poll entries only, filled under the lock with a live unit.
 *  T3  A link is patched only while it is in its target's list.
 *
 * Threads: functions marked (lock) want translator.lock held. The lock is taken by CPUs' threads.
 */
#ifndef HOSPES_CPU_TRANSLATE_TRANSLATOR_H
#define HOSPES_CPU_TRANSLATE_TRANSLATOR_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/thread.h"
#include "cpu/translate/host.h"
#include "cpu/translate/shared.h"
#include "cpu/translate/tables.h"

enum { UNIT_HASH_SIZE = 1 << 16, PAGE_HASH_SIZE = 1 << 14, EDGE_HASH_SIZE = 1 << 16 };
/* More than any machine was seen to have; all begins anew then. */
enum { EDGES_MAX = 1 << 17 };
enum { PAGE_GRAIN = 16, PAGE_GRAINS = 4096 / PAGE_GRAIN };

/* Pages' numbers are kept in 4 bytes: of 16 TiB nothing is translated beyond. */
#define NO_PAGE UINT32_MAX

/* What is kept of units lies in the translator's tables; references are theirs. */
struct link {
    uint32_t to;             /* a unit; 0: leads to the dispatcher */
    uint32_t next, previous; /* of to->incoming */
    struct host_link host;
    uint16_t index;          /* in its unit's links */
    _Atomic uint16_t visits; /* times that it led to nowhere, modulo 65536; for the guest's side */
};

/* In front of it are the records that its instructions' fallbacks point to; behind its links are
 * its accesses, by address. */
struct unit {
    uint32_t page; /* the guest's number of the page of memory */
    uint32_t next; /* of the one in which its last instruction ends; NO_PAGE: the same */
    uint16_t offset;
    bool dead;
    bool windowed;
    bool loops;                  /* by itself */
    uint16_t region;             /* instructions, of one; 0: of the first tier */
    uint32_t start, entry, size; /* in code memory: the poll entry, the one behind the poll */
    uint32_t cold_start, cold_size;
    uint32_t hash_next, page_next, page_previous, next_next; /* units */
    uint32_t incoming;                                       /* a link */
    uint16_t link_count, access_count;
    struct link links[];
};

static inline struct unit *link_from(const struct link *link)
{
    const char *first = (const char *)(link - link->index);

    return (struct unit *)(uintptr_t)(first - offsetof(struct unit, links));
}

/* The units of a page, and which writing of the page they were made from. */
struct unit_page {
    uint32_t page;
    uint32_t generation;
    uint32_t units;
    uint32_t reaching; /* units that begin in another page and end in it */
    /* A bit for each PAGE_GRAIN bytes in which units begin, or began: [1] windowed. */
    uint64_t starts[2][PAGE_GRAINS / 64];
    struct unit_page *next;
};

/* See native.h. */
struct edge {
    uint32_t page; /* of memory */
    int32_t pages; /* how far on */
    uint32_t to;   /* the page of memory there; NO_PAGE: nobody went along yet */
    uint32_t number;
    uint32_t next; /* as in translator.edge_hash */
};

/* A CPU's part. */
struct translator_cpu {
    _Atomic uint64_t seen; /* the epoch at which it entered, UINT64_MAX: not in translated code */
    uint64_t purged;       /* the epoch at which its jump caches were emptied */
    struct translator_cpu *next;
};

struct translator_stats {
    uint64_t units, guest_instructions, guest_bytes, code_bytes, cold_bytes,
        table_bytes; /* in all */
    uint64_t nanoseconds;
    uint64_t regions, region_instructions, region_code_bytes, region_nanoseconds; /* of all these */
    uint64_t streams; /* loops that the host does by vectors */
    uint64_t killed, evicted_segments;
};

struct translator {
    const struct host_type *host;
    struct host_runtime runtime;
    struct code_memory memory;
    struct tables tables GUARDED_BY(lock);
    struct shared shared GUARDED_BY(lock);
    _Atomic uint64_t epoch;
    /* Moves on when a unit was made. Translated code leads a CPU into units that another one made;
     * the helpers acquire what was written for them (fallbacks) by reading this. */
    _Atomic uint64_t published;
    struct mutex lock;
    struct translator_cpu *cpus GUARDED_BY(lock);
    uint32_t hash[UNIT_HASH_SIZE] GUARDED_BY(lock);
    struct unit_page *pages[PAGE_HASH_SIZE] GUARDED_BY(lock);
    struct edge *edges GUARDED_BY(lock); /* EDGES_MAX, of which edge_count are in use */
    uint32_t edge_hash[EDGE_HASH_SIZE] GUARDED_BY(lock); /* 1 + the number in edges; 0: none */
    unsigned edge_count GUARDED_BY(lock), edge_slot GUARDED_BY(lock); /* the last slot given */
    uint16_t edge_tags[NATIVE_EDGES] GUARDED_BY(lock);                /* of each, the next one */
    uint32_t making GUARDED_BY(lock);                                 /* the unit's page, */
    const struct native_context *context GUARDED_BY(lock);            /* and for whom it is made */
    uint64_t retired[CODE_SEGMENTS] GUARDED_BY(lock); /* the epoch since which it is dead */
    uint64_t left_ns[CODE_SEGMENTS] GUARDED_BY(lock); /* when it was full */
    /* How many times over code is to have been executed before it gets a unit, as a power of two:
     * units go before they have paid for themselves. And when that changed last. */
    _Atomic unsigned pressure;
    _Atomic uint64_t pressed_ns;
    uint64_t spare_ns; /* what was left less long ago than this is not given back */
    struct translator_stats stats GUARDED_BY(lock);
    int perf_map GUARDED_BY(lock); /* a file that tells perf what code is where; -1: none */
    struct ir_unit scratch GUARDED_BY(lock);
    struct host_unit compiled GUARDED_BY(lock);
};

/* `size`: bytes of code and of the tables for it. `library`, which outlives it: NULL, or what is
 * used if it fits (shared_attach()). Returns 0 or -errno. */
int translator_init(struct translator *t, const struct host_type *host,
                    const struct guest_layout *layout, const struct native_helpers *helpers,
                    uint64_t size, const struct library *library) MUST_CHECK;
void translator_release(struct translator *t);
/* Writes a line a unit to /tmp/perf-PID.map from now on, where perf looks for names: the guest's
 * virtual address when it was translated. Returns 0 or -errno. */
int translator_open_perf_map(struct translator *t) MUST_CHECK;
/* (lock) A line for the unit, if there is such a file. */
void translator_perf_add(struct translator *t, const struct unit *unit, uint64_t vaddr);

/* The pressure of now, 0 to TRANSLATOR_PRESSURE: it fades while nothing is evicted. Any thread. */
enum { TRANSLATOR_PRESSURE = 8 };
unsigned translator_pressure(const struct translator *t);

void translator_add_cpu(struct translator *t, struct translator_cpu *cpu);
void translator_remove_cpu(struct translator *t, struct translator_cpu *cpu);
/* Before a CPU runs translated code, and when it has left it and holds no unit any more. True: its
 * jump caches must be emptied first. */
bool translator_enter(struct translator *t, struct translator_cpu *cpu) MUST_CHECK;
void translator_leave(struct translator_cpu *cpu);

/* (lock) The live unit there, or NULL. */
struct unit *translator_find(struct translator *t, uint64_t page, unsigned offset, bool windowed);
/* (lock) Asks the same many times over for one page: NULL or what unit_page_find() takes. */
const struct unit_page *translator_page(const struct translator *t, uint64_t page);
struct unit *unit_page_find(struct translator *t, const struct unit_page *page, unsigned offset,
                            bool windowed);
/* Where an access that faulted at the host's address `pc` is done otherwise, host_runtime.access
 * or code of its own; 0: it is no access of translated code. Takes the lock. */
uint64_t translator_fault(struct translator *t, uint64_t pc);
/* The access that faulted at `where`, or whose check's call is in front of that, and the address
 * where code goes on behind it. The unit may be dead. Takes the lock. */
struct host_access translator_access(struct translator *t, uint64_t where, uint64_t *back);
/* What a unit is made of: pages of memory, and which writing of them. */
struct unit_source {
    uint64_t page, next; /* as in struct unit; UINT64_MAX for none */
    uint32_t generation, next_generation;
};

/* (lock) The edge from the page to the one behind it leads to `to`, or to nowhere yet. */
bool translator_may_reach(const struct translator *t, uint64_t page, uint64_t to) MUST_CHECK;
/* (lock) That edge's number, if it leads to `to`; else NATIVE_NO_EDGE. */
uint32_t translator_next_edge(const struct translator *t, uint64_t page, uint64_t to);
/* The guest's records to which the fallbacks of the scratch unit point. */
struct unit_fallbacks {
    const void *records;
    size_t size;
};

/* (lock) Compiles `t->scratch`, the code at the virtual `vaddr` of the context (NULL: of any), and
 * keeps a copy of the records, aligned to 8 bytes. It takes the place of the unit that is there.
 * -ENOSPC: no room at the moment; -E2BIG; -ENOMEM. */
int translator_make(struct translator *t, const struct unit_source *source, uint64_t vaddr,
                    const struct native_context *context, struct unit_fallbacks fallbacks,
                    struct unit **unit) MUST_CHECK;
/* (lock) The library's unit is live from now on, in the page, of whose bytes it was made. NULL:
 * the library's page is another one's at the moment, or it is live already. */
struct unit *translator_take(struct translator *t, uint64_t page, uint32_t generation,
                             uint32_t shared_unit);
/* (lock) Whether the unit is a library's, and was executed so often that one of the machine's own
 * is better; and that it may be executed as often again. */
bool translator_is_spent(const struct translator *t, const struct unit *unit);
void translator_renew(struct translator *t, const struct unit *unit);

/* (lock) Whether the link, gone along from its unit's page to the page of memory `to`, can be led
 * there: that is its unit's own page, or where its edge leads, which is known from now on. */
bool translator_can_link(struct translator *t, const struct link *link, uint64_t to) MUST_CHECK;
/* (lock) Leads a link of a unit to another one, for which translator_can_link() holds. */
void translator_link(struct translator *t, struct link *link, struct unit *to);
/* (lock) The page's units are dead if they are of another writing than `generation`. Returns what
 * unit_page_find() takes. */
const struct unit_page *translator_check_page(struct translator *t, uint64_t page,
                                              uint32_t generation);
/* (lock) The same for every page that has units; `generation_of` tells. */
void translator_check_all(struct translator *t, uint32_t (*generation_of)(void *ctx, uint64_t page),
                          void *ctx);
/* (lock) Kills one that is live. */
void translator_kill(struct translator *t, struct unit *unit);
/* (lock) Kills all units. */
void translator_kill_all(struct translator *t);

/* (lock) Bytes of code and of tables, and of both in the segment that translator_trim() empties. */
void translator_footprint(const struct translator *t, uint64_t *code, uint64_t *tables,
                          uint64_t *spare);
/* (lock) Empties the segment that was left longest ago, if that was spare_ns ago, and gives its
 * memory back to the host: a machine that fills them one after the other wants what it made.
 * Returns how many bytes; 0 while a CPU may be in it, which it will have left soon. */
uint64_t translator_trim(struct translator *t);

static inline const void *unit_poll_entry(const struct translator *t, const struct unit *unit)
{
    return code_memory_run(&t->memory, unit->start);
}

#endif
