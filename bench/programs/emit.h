/* SPDX-License-Identifier: Apache-2.0 */
/* Machine code of f(x) = (x * factor) ^ mask, for the processor that the program is built for. */
#ifndef BENCH_EMIT_H
#define BENCH_EMIT_H

#include <stddef.h>
#include <stdint.h>

#define EMIT_MAX 64

/* Writes the function to `code`, at most EMIT_MAX bytes; returns how many. */
size_t emit_function(uint8_t *code, int32_t factor, int32_t mask);

#endif
