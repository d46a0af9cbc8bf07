/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines on which tests of what every engine has to do are run.
 */
#ifndef HOSPES_TESTS_UNIT_RISCV_KINDS_H
#define HOSPES_TESTS_UNIT_RISCV_KINDS_H

#include "cpu/engine.h"

/* What a group of tests runs on; the state that its setup() gets. */
struct kind {
    const struct engine_type *type;
    const char *options;
};

/* The group on the interpreter and, where there is one, the translator at once and in small pieces.
 * Returns the number of failures. */
int kinds_run(int (*group)(const char *name, const struct kind *kind));

#endif
