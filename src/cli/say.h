/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to the person at the terminal while a machine runs: to standard error, one line each, from
 * any thread, also while the terminal is in raw mode and does not return the carriage itself.
 *
 * What a guest provokes (LOG_GUEST) is bounded, so that a hostile guest cannot flood the terminal.
 */
#ifndef HOSPES_CLI_SAY_H
#define HOSPES_CLI_SAY_H

#include <stdbool.h>
#include <stdio.h>

#include "base/log.h"
#include "base/thread.h"

struct say {
    struct log log; /* hand this to the parts below */
    bool quiet;     /* only warnings and errors */
    struct mutex mutex;
    unsigned guest_lines GUARDED_BY(mutex);
};

void say_init(struct say *say, bool quiet);
void say_release(struct say *say);
/* A line of the program's own; dropped when quiet. */
void say_line(struct say *say, const char *format, ...) PRINTF(2, 3);
/* Like say_line(), and said also when quiet. */
void say_always(struct say *say, const char *format, ...) PRINTF(2, 3);

/* Words that may be a guest's, into a line: no more than 512 bytes of them, and control characters
 * as '?', so that they are not taken for somebody else's line nor by a terminal. */
void say_foreign(FILE *file, const char *text);

#endif
