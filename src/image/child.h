/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs another program to its end, with its output read line by line. The child has no input, dies
 * with its parent, and shows the person nothing: what it said is in the log. It is the leader
 * of a process group, out of reach of the terminal's Ctrl-C: see child_hold_stops().
 */
#ifndef HOSPES_IMAGE_CHILD_H
#define HOSPES_IMAGE_CHILD_H

#include <signal.h>
#include <stdbool.h>

#include "base/error.h"

#define CHILD_LINE_MAX 1024 /* bytes; longer lines are cut */

/* Takes from a program what it does not need, between fork and exec: 0 or -errno. */
struct child_guard {
    int (*enter)(void *ctx, const char *const *directories, bool network);
    void *ctx;
};

struct child {
    const char *const *argv;        /* argv[0] is searched in PATH and the sbin directories */
    const char *const *environment; /* "NAME=value" to add or replace, ends with NULL; or NULL */
    int log;                        /* what it printed is written there; -1: nowhere */
    unsigned silence_limit;         /* seconds without output after which it is killed; 0: none */
    /* Each line of both its outputs, without the line end, control characters made '?'. May be
     * NULL. Called on the caller's thread. */
    void (*line)(void *ctx, const char *text);
    void *ctx;
    /* NULL: it has the rights of the caller. Else it keeps files below `directories` (ends with
     * NULL), and has the network or not. */
    const struct child_guard *guard;
    const char *const *directories;
    bool network;
};

/* Returns 0 when it ended with status 0. Else the error says what it was, how it ended and the last
 * line it left. -ENOENT when there is no such program, -EINTR when it was stopped
 * because of a signal that is held back. */
int child_run(const struct child *child, struct error *error) MUST_CHECK;

/* Runs and returns the output as text, which the caller frees; at most `limit` bytes of it. */
int child_output(const char *const *argv, size_t limit, char **text,
                 struct error *error) MUST_CHECK;

/* Holds back SIGINT, SIGTERM, SIGHUP and SIGQUIT, so that the caller can tidy up: child_run() ends
 * the whole group when one comes, and leaves it pending; restoring the mask `before` delivers it.
 */
void child_hold_stops(sigset_t *before);

#endif
