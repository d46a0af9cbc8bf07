/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random_compare runs the same guest on two machines, one of the interpreter and one of the
 * translator, and wants the same registers and the same memory wherever both stop.
 *
 * The guest is a little firmware in M-mode (compare_firmware.c), a handler of its like in S-mode,
 * and a random program (compare_program.c) that runs in one of the modes and address spaces of
 * compare_space.c, called an episode. Every exception's cause, address and registers go into a
 * checksum and a log; then the program goes on behind the instruction. Interrupts leave no trace,
 * so it does not matter when they come. At the end of an episode the firmware waits, and the two
 * machines are compared.
 *
 *   compare_items.c    what the random program is made of
 *   compare_reach.c    a program that does nothing but reach for memory that is not the guest's
 *   random_compare.c   options, seeds, what an episode is
 *   compare_machine.c  the two machines: running, comparing
 */
#ifndef HOSPES_TESTS_RANDOM_COMPARE_H
#define HOSPES_TESTS_RANDOM_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/engine.h"
#include "cpu/riscv/hart.h"
#include "memory/memory.h"
#include "program.h"
#include "random.h"

/* ---- the map ---- */

#define RAM      UINT64_C(0x80000000)
#define RAM_SIZE UINT64_C(0x800000)
#define DEVICE   UINT64_C(0x10000000)
#define ROM      UINT64_C(0x20000000)

/* From the start of RAM. */
enum {
    M_CODE = 0x3e000, /* where a space at RAM's address has code of the program */
    M_DATA = 0x3f000,
    S_CODE = 0x2000, /* six pages that S-mode has at S_PAGES */
    S_DATA = 0x3000,
    S_LOG = 0x4000,
    S_OWN = 6, /* pages */
    M_LOG = 0x8000,
    LOG_ENTRIES = 512,
    REMAPS = 0xc000,
    REMAPS_MAX = 60,
    TABLES = 0x40000,
    TABLES_END = 0x100000,
    REGION = 0x200000,
    VARIANTS = 0x400000, /* two superpages */
    SUPERPAGE = 0x200000,
};

/* Where S-mode's pages are in a translated address space: in all modes of paging. The device is
 * behind them. */
#define S_PAGES (-(uint64_t)SUPERPAGE)

/* Pages of the region, which looks the same in every space: a superpage with all that the program
 * uses. */
enum {
    CODE_END = 64,     /* code ends before it, or in it when scratch memory shares the page */
    SCRATCH_LOW = 64,  /* gp is at the next one's start */
    SCRATCH_HIGH = 65, /* with the pool */
    STACK_END = 68,    /* tp; 2 pages */
    ADDRESSES = 68,
    TARGETS = 72,
    TARGET_COUNT = 16,
    DEVICE_PAGE = 90,
    WRITABLE = 256, /* the code's pages again, for writing */
};

/* From gp, behind the pool. */
enum {
    GP_ADDRESSES = 2024, /* where the table of addresses is */
    GP_WRITABLE = 2032,  /* what leads from code to its writable alias */
    GP_DEVICE = 2040,
};

/* The table of addresses. */
enum {
    ADDRESS_ANY = 0,     /* that may be loaded from and stored to, or trap */
    ADDRESS_LOAD = 64,   /* loaded from alone */
    ADDRESS_NOCODE = 96, /* cannot be executed */
    ADDRESS_VARIANT = 128,
    ADDRESS_FUNCTION = 160,
    ADDRESS_COUNT = 512,
    ANY_COUNT = 64,
    LOAD_COUNT = 32,
    NOCODE_COUNT = 32,
    VARIANT_COUNT = 32,
    FUNCTION_COUNT = ADDRESS_COUNT - ADDRESS_FUNCTION,
};

/* A handler's data, at its scratch register. */
enum {
    D_X = 0,
    D_F = 256,
    D_HASH = 512,
    D_COUNT = 520, /* exceptions; at D_LIMIT the episode ends */
    D_LIMIT = 528,
    D_LOG = 536,
    D_MULTIPLIER = 544,
    D_STATUS_MASK = 552,
    D_DEVICE = 560,
    D_INTERRUPTS = 568,
    D_REMAP = 576, /* where the next one is */
    D_MODES = 584, /* the program may change its mode */
    /* What the firmware begins an episode with. */
    D_BEGIN = 640,
};

enum begin {
    BEGIN_FLAGS, /* enum begin_flag */
    BEGIN_STATUS,
    BEGIN_PC,
    BEGIN_SATP,
    BEGIN_MEDELEG,
    BEGIN_MIDELEG,
    BEGIN_MIE,
    BEGIN_STVEC,
    BEGIN_SSCRATCH,
    BEGIN_MENVCFG,
    BEGIN_SENVCFG,
    BEGIN_GP,
    BEGIN_TP,
    BEGIN_COUNT,
};

enum begin_flag { BEGIN_FENCE_I = 1, BEGIN_FENCE_VMA = 2, BEGIN_COUNT_ANEW = 4 };

/* The device's registers, by width 8. */
enum { DEVICE_LOWER = 0, DEVICE_RAISE = 8 };

/* What a program asks of the firmware: a7 of an ecall. a6 is the operand. */
enum call { CALL_CHECK, CALL_END, CALL_REMAP, CALL_FLOAT, CALL_MODE };

/* A change of a page table, with the sfence.vma that belongs to it. */
struct remap {
    uint64_t pte, value; /* physical */
    uint64_t vaddr;
    uint64_t kind; /* bit 0: for the address alone; bit 1: for the address space alone */
};

/* ---- the two machines ---- */

struct pair;

struct pair_counters {
    uint64_t episodes, too_long;
    uint64_t instructions; /* of the interpreter */
    uint64_t traps[32];    /* exceptions by cause, as far as the log holds them */
    uint64_t interrupts;
    struct engine_counters engine; /* the translator's, added up */
};

/* The translator's `profile` and `library`; NULL: none. */
struct pair *pair_new(const char *options, bool noise, struct profile *profile,
                      const struct library *library);
/* The translator's library of what it has executed, at `path`. False: it counts instructions, as
 * the guest has wanted, and libraries do not. */
bool pair_make_library(struct pair *pair, const char *path);
void pair_free(struct pair *pair, struct pair_counters *counters);
void pair_write(struct pair *pair, gpa at, const void *bytes, size_t size);
void pair_write64(struct pair *pair, gpa at, uint64_t value);
uint64_t pair_read64(struct pair *pair, gpa at);
/* Changes a byte of the translator's memory alone. */
void pair_spoil(struct pair *pair, gpa at);
/* What leads from the guest-virtual address 0 to memory of the host's through the translator's
 * window, if there were no check: to the guest's own RAM, which can be read without harm. 0: there
 * is no window. */
uint64_t pair_forbidden(struct pair *pair);
/* While neither runs. */
void pair_set_line(struct pair *pair, unsigned number);
void pair_set_pmp(struct pair *pair, const uint8_t *config, const uint64_t *address,
                  unsigned count);

enum pair_result { PAIR_SAME, PAIR_DIFFERENT, PAIR_TOO_LONG };
/* Runs both to the firmware's wait. `counted`: minstret must agree too. Tells differences on
 * standard error, behind `title`. */
enum pair_result pair_run(struct pair *pair, const char *title, bool counted,
                          struct pair_counters *counters);

/* ---- the firmware ---- */

/* Writes both handlers, and how an episode begins. The pc to begin the first one at. */
uint64_t firmware_write(struct pair *pair);

/* ---- the program ---- */

struct guest_options {
    uint64_t *rng;
    bool shares; /* scratch memory is in the last page of code */
    bool calm;   /* few exceptions: the program itself is most of what is executed */
    bool big;
    bool interrupts; /* by the device */
};

struct guest {
    uint8_t *image; /* ends where code ends */
    size_t size;
    uint64_t start; /* in the region */
    uint64_t entry; /* from the image's start */
    unsigned function_count;
    uint64_t functions[FUNCTION_COUNT]; /* those that can be called by the table */
};

/* False: no memory. */
bool guest_make(struct guest *guest, const struct guest_options *options);
/* A program of the other kind; see compare_reach.c. */
bool reach_make(struct guest *guest, const struct guest_options *options);
void guest_free(struct guest *guest);

/* ---- address spaces ---- */

enum { SPACES = 6 };

struct space {
    uint64_t satp; /* 0: addresses are physical */
    bool user;     /* its pages are U-mode's */
    bool super;    /* the region is one superpage */
    uint64_t region, variants;
    gpa root;
    unsigned levels;
};

struct spaces {
    struct pair *pair;
    uint64_t *rng;
    gpa next_table;
    bool updates; /* ADUE: A and D may be clear */
    bool shares, calm;
    bool reach; /* U-mode only, whose code cannot be written */
    struct space space[SPACES];
};

/* Makes the page tables. */
void spaces_make(struct spaces *spaces);
/* The one whose addresses are physical. */
struct space space_bare(void);
/* Fills the table of addresses and the words behind the pool, for an episode in the space. */
void space_addresses(struct spaces *spaces, const struct space *space, const struct guest *guest);
/* The same for reach_make(): addresses all over the 64 bits. */
void space_reach(struct spaces *spaces, const struct space *space);
/* Random changes of the tables, for CALL_REMAP. */
void space_remaps(struct spaces *spaces, const struct space *space);

#endif
