/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig (riscv_rig.h) with address spaces: S-mode and U-mode over Sv39 tables that the test writes
 * between runs. Each run enters by a stub of the guest's in the upper half, which goes to a space,
 * fences and returns to code of the test's; that ends with an ecall or by a trap.
 */
#ifndef HOSPES_TESTS_UNIT_RISCV_SPACES_H
#define HOSPES_TESTS_UNIT_RISCV_SPACES_H

#include "riscv_rig.h"

/* The stubs' page, the same in all spaces, and pages behind it for tests. */
#define HIGH    UINT64_C(0xffffffc080000000)
#define HANDLER (HIGH + 0x800) /* of traps: ends the run */
#define UPPER   (HIGH + 0x100000)
#define TOP     UINT64_C(0xfffffffffffff000) /* the last page there is */
#define LOWER   UINT64_C(0x200000)           /* 512 pages */
#define LARGE   UINT64_C(0x400000)           /* mappings of 2 MiB, or a table: 4 places */

/* Places in LOWER. */
#define HERE    (LOWER + 0x80000)
#define THERE   (LOWER + 0xc0000)
#define DATA_AT (LOWER + 0x10000)

enum { SPACES = 20, PAGE = 0x1000 };
/* Repetitions of a thing that gets hot by them; the first frame for mappings of 2 MiB. */
enum { ROUNDS = 100, LARGE_FRAME = 512 };

/* Of a PTE; all but RW with A and D. */
enum {
    PTE_V = 1,
    PTE_R = 2,
    PTE_W = 4,
    PTE_X = 8,
    PTE_U = 16,
    PTE_G = 32,
    PTE_A = 64,
    PTE_D = 128,
    PTE_RWX = 0xcf,
};

enum fence {
    FENCE_NONE,
    FENCE_PAGE,      /* an address, in all spaces */
    FENCE_PAGE_ASID, /* an address, in the space */
    FENCE_ASID,
    FENCE_ALL,
    FENCE_CODE, /* fence.i */
};

struct spaces {
    struct rig *rig;
    struct riscv_hart *hart;
    const char *name;      /* what is told of a failure */
    bool shared;           /* the upper half but for TOP is the first space's */
    unsigned kernel_flags; /* of the stubs' page, besides PTE_RWX */
};

/* Where a run begins, and in what state. */
struct visit {
    unsigned space, asid;
    enum fence fence;
    uint64_t at; /* of the fence */
    uint64_t entry;
    bool user;
    uint64_t status; /* bits of sstatus besides */
};

/* Ways of running that a test goes through; the reference is the first. */
struct permutation {
    const struct engine_type *type;
    const char *options;
};

extern const struct permutation permutations[6];
/* Those that are enough for a page whose PTE was changed. */
extern const enum fence fences[4];

struct spaces *spaces_new(const struct engine_type *type, const char *options, bool shared,
                          unsigned kernel_flags);
/* With an engine of permutations[]. */
struct spaces *spaces_of(unsigned permutation, bool shared, unsigned kernel_flags);
void spaces_free(struct spaces *s);

/* Bytes from the start of RAM to page `n` that is free for tests; they are aligned to 2 MiB. */
static inline uint64_t frame(unsigned n)
{
    return 0x200000 + (uint64_t)n * 0x1000;
}

/* A page of RAM, from its start, as a PTE. */
static inline uint64_t pte(uint64_t at, unsigned flags)
{
    return (RAM_BASE + at) >> 12 << 10 | flags;
}

/* Writes the PTE of a page in LOWER, UPPER, at 0 or TOP; map(): with PTE_RWX and the flags, of
 * frame n. spaces_map_large(): of all of a place of LARGE. */
void spaces_map(struct spaces *s, unsigned space, uint64_t vaddr, uint64_t value);
void map(struct spaces *s, unsigned space, uint64_t vaddr, unsigned n, unsigned flags);
void spaces_map_large(struct spaces *s, unsigned space, uint64_t vaddr, uint64_t value);
uint64_t spaces_pte(struct spaces *s, unsigned space, uint64_t vaddr);

/* Code that may be at any even address. */
void spaces_put_half(struct spaces *s, uint64_t at, uint32_t half);
void spaces_put_word(struct spaces *s, uint64_t at, uint32_t word);

/* Runs until the guest ends; scause is all ones if it ended without a trap to S-mode. */
void spaces_visit(struct spaces *s, const struct visit *visit);

/* Fail with the engine, what was done, and of what the value is. */
void expect(const struct spaces *s, const char *what, const char *of, uint64_t got,
            uint64_t wanted);
/* The run came to its ecall. */
void expect_end(const struct spaces *s, const char *what, bool user);
void expect_trap(const struct spaces *s, const char *what, uint64_t cause, uint64_t epc,
                 uint64_t tval);

/* How many times over a random test is run. */
unsigned test_rounds(void);

#endif
