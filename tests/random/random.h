/* SPDX-License-Identifier: Apache-2.0 */
/* A small generator of random numbers with the same sequence everywhere, and the values that are
 * worth trying in registers. */
#ifndef HOSPES_TESTS_RANDOM_RANDOM_H
#define HOSPES_TESTS_RANDOM_RANDOM_H

#include <stdint.h>

/* The state is all there is; any value is a good seed. */
uint64_t random_next(uint64_t *state);
/* 0 to bound - 1; bound > 0. */
unsigned random_below(uint64_t *state, unsigned bound);

/* Around powers of two, small counts, patterns, or anything. */
uint64_t random_integer(uint64_t *state);
/* What an f register may hold: special values and ordinary ones with close exponents, in the
 * formats H, S and D, NaN-boxed (now and then not). */
uint64_t random_float(uint64_t *state);

#endif
