/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a command's arguments by its option table.
 *
 *     struct option_walk walk = option_walk_begin(command, argc, argv);
 *     while ((kind = option_next(&walk, error)) > 0) ...
 *
 * `--name value`, `--name=value`, `-n value`, `-nvalue`, and `--` before operands. Options may
 * follow operands. Nothing is copied: values point into argv.
 */
#ifndef HOSPES_CLI_OPTION_H
#define HOSPES_CLI_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"

enum option_kind {
    OPTION_END = 0,
    OPTION_GIVEN,   /* walk->option, and walk->value if it takes one */
    OPTION_OPERAND, /* walk->value */
    OPTION_HELP,
};

struct option_walk {
    const struct command *command;
    int argc;
    char **argv;
    int index;
    bool only_operands;
    uint64_t seen; /* a bit a table row, for what may be given once */

    const struct option *option;
    const char *value;
};

struct option_walk option_walk_begin(const struct command *command, int argc, char **argv);
/* An enum option_kind, or -EINVAL with a usage error: unknown (with the nearest known name), value
 * missing or not wanted, given twice. */
int option_next(struct option_walk *walk, struct error *error) MUST_CHECK;

/* Whether `--help` or `-h` is asked for, before any mistake. Both belong to every command without a
 * row in its table. */
bool option_asks_help(const struct command *command, int argc, char **argv);

/* A decimal number in low..high, as the value of the walk's option. */
int option_number(const struct option_walk *walk, unsigned low, unsigned high, unsigned *number,
                  struct error *error) MUST_CHECK;

/* A walk over the arguments of a command that takes neither options nor operands. */
int option_none(const struct command *command, int argc, char **argv,
                struct error *error) MUST_CHECK;

/* How many single-letter edits (insert, delete, replace, swap of neighbours) lie between two
 * words. Words longer than 31 letters are told apart by their first 31. */
unsigned option_distance(const char *a, const char *b);
/* Whether `known` is near enough to `typed` to be what was meant; less is nearer, 0 is not near. */
unsigned option_nearness(const char *typed, const char *known);

#endif
