/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A random program: a static riscv64 Linux executable, written byte by byte, that runs random
 * instructions of the chosen extensions and at checkpoints writes every register, fcsr and its
 * scratch memory to standard output. The same options give the same instructions on any host;
 * the checkpoints do not change which instructions come, only where they are.
 *
 * A unit is one random instruction with what sets it up: values from a pool of interesting ones
 * for its sources, an address in the scratch memory, a forward branch over the next few units, a
 * short loop. gp (x3) points at the middle of the scratch memory and is never written; every other
 * register is fair game.
 *
 * A record, RECORD_SIZE bytes, little-endian: the scratch memory; 32 doublewords: the address
 * behind the checkpoint, then x1 to x31; f0 to f31; fcsr.
 */
#ifndef HOSPES_TESTS_RANDOM_PROGRAM_H
#define HOSPES_TESTS_RANDOM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    CODE_ADDRESS = 0x10000,
    DATA_ADDRESS = 0x10000000,
    DATA_SIZE = 0x2000,
    /* The scratch memory lies across the boundary of the two data pages. */
    SCRATCH_MIDDLE = DATA_ADDRESS + 0x1000,
    SCRATCH_HALF = 512,
    /* From gp: doublewords that random units load for their operands, integers and then floats. */
    POOL = SCRATCH_HALF + 32 * 8 + 32 * 8 + 8,
    POOL_INTEGERS = 62,
    POOL_FLOATS = 62,
    RECORD_SIZE = 2 * SCRATCH_HALF + 32 * 8 + 32 * 8 + 8,
};

struct program_options {
    const char *extensions; /* separated by commas */
    const char *without;    /* names of instructions to leave out, separated by commas, or NULL */
    uint64_t seed;
    unsigned units;     /* at most PROGRAM_UNITS_MAX */
    unsigned every;     /* a checkpoint each so many units; 0: only at the end */
    unsigned fine_from; /* and behind each unit in [fine_from, fine_to) */
    unsigned fine_to;
    FILE *map; /* NULL, or gets a line a checkpoint: its record's address, the last unit's number,
                * and for those in the fine range the instructions since the one before */
};

/* Calls must reach the checkpoint routine: jal's range over the longest unit. */
#define PROGRAM_UNITS_MAX 12000

/* Writes the executable. -EINVAL: no instruction is left, or too many units; -ENOMEM; -EIO. */
int program_write(const struct program_options *options, FILE *out);

/* ---- units alone, for a program of another make ---- */

struct program;

/* NULL: no memory, or no instruction is left. `options` must live as long. */
struct program *program_open(const struct program_options *options);
void program_close(struct program *program);
/* Random units (and loops of them), which do not depend on where they are, entered at the first
 * halfword and left behind the last. `kept`: bit n: xn is not written; not ra nor sp. With
 * `reserved` floating-point instructions have now and then a rounding mode that does not exist.
 * Valid until the next call; NULL: no memory. */
const uint16_t *program_units(struct program *program, unsigned units, uint32_t kept, bool reserved,
                              size_t *count);
/* Fills the pool: POOL_INTEGERS + POOL_FLOATS values. */
void program_pool(uint64_t *rng, uint64_t *pool);

#endif
