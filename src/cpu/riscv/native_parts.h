/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What native*.c share: a machine's and a CPU's part of the translator. Nobody else includes it.
 */
#ifndef HOSPES_CPU_RISCV_NATIVE_PARTS_H
#define HOSPES_CPU_RISCV_NATIVE_PARTS_H

#include <stddef.h>

#include "cpu/riscv/lift.h"
#include "cpu/riscv/native.h"
#include "cpu/riscv/window.h"
#include "cpu/translate/translator.h"

enum { REGION_REQUESTS = 16, REGION_SAMPLES = 256, REGIONS_ASKED = 512 };

/* A loop's head at a place of main RAM, and its virtual address. */
struct region_request {
    uint64_t at, pc;
    bool windowed;
};

/* Of the second tier, see native_region.c. */
struct regions {
    struct mutex lock;
    struct condition changed;
    struct region_request requests[REGION_REQUESTS] GUARDED_BY(lock);
    unsigned first GUARDED_BY(lock), count GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock);
    _Atomic uint64_t asked[REGIONS_ASKED]; /* hashes of places */
    _Atomic bool parked;                   /* nobody is sampled until it is woken */
    _Atomic unsigned known;                /* samples since the last one of a new place */
    bool running;                          /* there is a thread */
    pthread_t thread;
};

/* How often a CPU was found at a place of main RAM; the lowest bit tells the kinds of code apart.
 */
struct region_sample {
    uint64_t key;
    unsigned count, unfit;
};

/* A page that is written so often while it has code is no program's, but made at run time. */
enum { WRITINGS_MAX = 24 };

/* What a profile, or a library, calls a page of RAM. */
struct page_known {
    uint32_t generation; /* of which writing, if `asked` */
    uint32_t number : 31, asked : 1;
};

/* A number that says that it does not know the page. */
#define PAGE_UNKNOWN 0x7fffffffu

struct native {
    struct translator translator;
    struct regions regions;
    bool regions_at_once; /* made with the first unit of a loop, on the CPU's thread */
    struct ram *ram;      /* main RAM: the only one from which is translated */
    uint64_t checked GUARDED_BY(translator.lock); /* of ram->code_writes */
    _Atomic bool counting;
    unsigned unit_limit; /* instructions in a unit */
    unsigned windows_of_cpu, window_runs;
    bool window_at_once; /* not only for what has run for long */
    struct lift_record records[LIFT_INSTRUCTIONS] GUARDED_BY(translator.lock);
    struct profile *profile GUARDED_BY(translator.lock);  /* NULL: none */
    struct page_known *known GUARDED_BY(translator.lock); /* one a page of main RAM, for it */
    uint64_t units_profiled GUARDED_BY(translator.lock);
    uint64_t pages_hashed GUARDED_BY(translator.lock);
    struct page_known *shared; /* the same for a library; NULL: there is none */
};

/* Where code that begins at a place of main RAM is: behind the contexts' jump caches, and the same
 * for all address spaces. What holds for jump caches (T1, T2) holds for it. */
struct place_code {
    uint64_t place; /* bytes into main RAM; UINT64_MAX: empty */
    const void *code;
};

enum {
    PLACE_CODES = 1 << 14,
    WINDOWS_OF_CPU = 4,
    NATIVE_ANCHOR = 2, /* sp, see WINDOW_ANCHOR */
};

struct native_cpu {
    struct translator_cpu translator;
    struct place_code places[PLACE_CODES];
    uint64_t *stack;
    void *fault_stack;
    pthread_t thread; /* the one that handles faults */
    bool has_thread;
    struct window windows[WINDOWS_OF_CPU];
    struct tlb *window_of[WINDOWS_OF_CPU]; /* NULL: free */
    unsigned window_count;
    uint64_t ticks; /* interrupts of the guest's timer */
    struct riscv_hart *hart;
    struct region_sample samples[REGION_SAMPLES];
    _Atomic unsigned sample_count;
    unsigned sample_count_seen; /* by the thread for regions, under the translator's lock; */
    bool asked;                 /* it asked for one since */
    unsigned wake_polls, wake_entries;
    const uint8_t *window_set; /* the one that the thread looks at */
    bool trapped;              /* why a helper left: cpu->cause, or hart->pc is where to go on */
    bool stepping;             /* and there the guest shall execute one instruction */
    bool translate;            /* the same, but hart->pc is worth a unit */
    bool windowed;             /* in translated code, which may be for a window */
    bool counts;               /* translated code that was entered last counts instructions */
};

static inline struct native_context *context_of(struct engine_cpu *cpu)
{
    return &cpu->data->native;
}

/* Whether code for the regime of now reaches memory through a window. */
static inline bool native_is_windowed(struct engine_cpu *cpu)
{
    return context_of(cpu)->window != NULL;
}

/* Of a place of main RAM, of which there may be code of two kinds. Code begins at even addresses:
 * the lowest bit tells. */
static inline uint64_t native_place_key(struct engine_cpu *cpu, uint64_t at)
{
    return at | native_is_windowed(cpu);
}

static inline struct native_cpu *native_cpu_of(struct translator_cpu *cpu)
{
    return (struct native_cpu *)(void *)((char *)cpu - offsetof(struct native_cpu, translator));
}

/* Of the scratch unit, which was lifted with so many records. */
static inline struct unit_fallbacks native_fallbacks(const struct native *native, unsigned count)
    REQUIRES(native->translator.lock)
{
    return (struct unit_fallbacks){native->records, count * sizeof(native->records[0])};
}

/* ---- native.c: see struct native_helpers ---- */

struct native_value native_help_load(void *ctx, uint64_t vaddr, uint32_t info);
struct native_value native_help_store(void *ctx, uint64_t vaddr, uint32_t info, uint64_t value);

extern const struct native_helpers native_helpers;

/* ---- native.c ---- */

/* The units of a page. */
struct native_known {
    struct translator *translator;
    const struct unit_page *page;
    bool windowed;
};

/* Whether one of a struct native_known begins there: a lift_known and a region_hot. */
bool native_is_known(void *ctx, unsigned offset);
/* Where the virtual `pc` is in main RAM; false: elsewhere, or nowhere. */
bool native_find_place(struct engine_cpu *cpu, uint64_t pc, uint64_t *at);
/* Of a page of main RAM. */
uint32_t native_generation_of(const struct native *native, uint64_t page);

/* ---- native_region.c ---- */

int native_regions_start(struct native *native, const struct thread_guard *guard) MUST_CHECK;
/* Before its CPUs and its translator go. */
void native_regions_stop(struct native *native);
/* The CPU left by a poll, at a place of main RAM. */
void native_region_sample(struct engine_cpu *cpu, uint64_t at);
/* The region at the virtual `pc` could not begin. One of which that happens often is dropped. */
void native_region_unfit(struct engine_cpu *cpu, uint64_t pc);
/* The CPU enters translated code. */
void native_region_enter(struct engine_cpu *cpu);
/* (lock) Makes a region of the loop there, if there is one that is worth it. */
void native_region_make(struct native *native, const struct region_request *request)
    REQUIRES(native->translator.lock);

/* ---- native_profile.c ---- */

/* -ENOMEM. */
int native_profile_init(struct native *native, struct profile *profile) MUST_CHECK;
void native_profile_release(struct native *native);
/* (lock) Whether the place (native_place_key()) was worth a unit in an earlier run, or in this one,
 * if the page of RAM, which is marked (code_mark()), is at this writing. */
bool native_profile_has(struct native *native, uint64_t at, uint32_t generation);
/* (lock) What the profile calls the page of RAM as it is now; PROFILE_NONE: nobody has asked. */
uint32_t native_profile_number(const struct native *native, uint64_t page);
/* (lock) A unit was made there. */
void native_profile_note(struct native *native, uint64_t at, uint32_t generation);

/* ---- native_library.c ---- */

/* -ENOMEM. */
int native_library_init(struct native *native) MUST_CHECK;
void native_library_release(struct native *native);
/* (lock) Whether a library has a unit for the place (native_place_key()), if the page of RAM, which
 * is marked, is at this writing. */
bool native_library_has(struct native *native, uint64_t at, uint32_t generation);
/* (lock) That unit, live from now on; NULL: there is none, or it cannot be at the moment. */
struct unit *native_library_take(struct native *native, uint64_t at, uint32_t generation);

/* ---- native_window.c ---- */

struct native_value native_help_access(void *ctx, uint64_t where);

/* An interrupt found the CPU in the regime of now: what often runs gets a window. */
void native_window_tick(struct engine_cpu *cpu);

/* An access to [vaddr, vaddr + width) was done by a helper: the window of the regime of now gets
 * its pages, if they may be there, and those around them that were used before. */
void native_window_fill(struct engine_cpu *cpu, uint64_t vaddr, unsigned width);

#endif
