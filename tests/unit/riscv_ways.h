/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that leads from one page into the next one or the one before, and back, in every way that it
 * can; for tests of what happens when the pages are mapped elsewhere.
 */
#ifndef HOSPES_TESTS_UNIT_RISCV_WAYS_H
#define HOSPES_TESTS_UNIT_RISCV_WAYS_H

#include "riscv_spaces.h"

enum way_kind { CALL, JUMP, BRANCH, FALL };

struct way {
    const char *name;
    enum way_kind kind;
    bool forward;
};

extern const struct way ways[8];

/* The page that the way leads to. */
uint64_t neighbour(const struct way *way, uint64_t page);
/* Where the way begins in its page, and where it leads in the other one. */
unsigned way_begin(const struct way *way);
unsigned way_end(const struct way *way);
/* a1 rounds of it, in the page of RAM at `at`; what it leads to adds to a0. */
void put_caller(struct spaces *s, const struct way *way, uint64_t at);
void put_callee(struct spaces *s, const struct way *way, uint64_t at, unsigned amount);
/* The caller in frame 0, two callees in frames 1 and 2, which add 1 and 1000. */
void put_way(struct spaces *s, const struct way *way);
/* ROUNDS of it, each of which adds so much. */
void go(struct spaces *s, const char *what, const struct visit *visit, uint64_t amount);

#endif
