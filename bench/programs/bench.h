/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of the benchmark have in common.
 *
 * main.c takes the number of units from the command line, calls program_prepare(), and measures
 * program_work(units) alone. A program is one file that defines both; its result must depend on
 * all the work and on nothing else, so that every side of the comparison has to tell the same one.
 * A unit is the same amount of work whatever their number is: sides may be given different ones.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdint.h>
#include <string.h>

/* Makes what the work needs. Not measured. */
void program_prepare(void);

/* Returns a checksum of what was worked out. */
uint64_t program_work(uint64_t units);

/* Ends the program with a message: a call of the operating system failed. */
_Noreturn void bench_fail(const char *what);

/* The compiler must not know this value: otherwise it would work out, or do once, what is to be
 * done each time. */
static inline uint64_t bench_hide(uint64_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

/* What a pointer leads to may have been read and written here. */
static inline void bench_touch(void *pointer)
{
    __asm__ volatile("" : : "r"(pointer) : "memory");
}

/* FNV-1a, a word at a time. */
static inline uint64_t bench_mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x100000001b3);
}

/* Results of floating point count with all their bits. */
static inline uint64_t bench_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* xorshift64*: the same numbers everywhere. The state is never 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
