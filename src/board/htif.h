/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host-target interface of RISC-V's simulators: a word of memory, at the symbol `tohost` of a
 * bare-metal program, by which the program ends or writes a character. Conformance suites are
 * built for it.
 *
 * The interface has no doorbell: a simulator looks at the word from time to time, and so does this,
 * by a timer that runs only for a program that has the symbol. Loop's thread, but htif_symbol().
 *
 * Source: riscv-software-src/riscv-isa-sim, README, and riscv-tests (env/p/riscv_test.h): the
 * protocol as used there; it has no specification.
 */
#ifndef HOSPES_BOARD_HTIF_H
#define HOSPES_BOARD_HTIF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "memory/memory.h"
#include "stream/stream.h"

struct htif {
    const struct address_space *memory;
    struct stream *console;
    /* The program ended; code 0 is success. */
    void (*ended)(void *ctx, uint64_t code);
    void *ctx;
    gpa tohost;
    struct timer timer;
};

void htif_init(struct htif *htif, struct loop *loop, const struct address_space *memory,
               struct stream *console, void (*ended)(void *ctx, uint64_t code), void *ctx);
/* Begins to look at the word at `tohost` (8 bytes, in RAM). */
void htif_start(struct htif *htif, gpa tohost);
void htif_stop(struct htif *htif);

/* The value of the symbol `name` of the ELF64 file `fd`; false when it is not such a file, has
 * no such symbol, or its tables lie outside of it. */
bool htif_symbol(int fd, const char *name, uint64_t *value);

#endif
