/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person must read when something failed.
 *
 * A function that can fail for a reason the user should know takes `struct error *` last, leaves
 * it untouched on success, and on failure sets it once and returns -errno. Each layer on the way
 * up may put its own words in front with error_wrap(). Only cli/ prints it. A message is lower
 * case, has no full stop, says the failure first, the subject in quotes, then the next step:
 * "cannot open disk \"a.raw\": no such file; make one with: truncate -s 4G a.raw".
 *
 * A null `struct error *` is allowed everywhere: the words are dropped.
 */
#ifndef HOSPES_BASE_ERROR_H
#define HOSPES_BASE_ERROR_H

#include <stdbool.h>

#include "base/compiler.h"

struct error {
    char *message; /* owned; NULL while no error is set */
    int code;      /* positive errno value of the first failure */
    bool usage;    /* the request itself was wrong: exit status 2 and not 1 */
};

#define ERROR_INIT ((struct error){0})

/* Sets the message; `code` is a positive errno value. Returns -code. */
int error_set(struct error *error, int code, const char *format, ...) PRINTF(3, 4);

/* Like error_set(), for a request that can never be right (exit status 2). Returns -EINVAL. */
int error_usage(struct error *error, const char *format, ...) PRINTF(2, 3);

/* Puts "text: " in front of the message that is already set. Returns -error->code. */
int error_wrap(struct error *error, const char *format, ...) PRINTF(2, 3);

/* The words for errno value `code` (positive), lower case; static storage. */
const char *error_words(int code);

/* Frees the message and clears the object, which may be used again. */
void error_release(struct error *error);

/* A broken promise of our own code: prints `what` with a backtrace and aborts. Never reached by
 * anything that a guest, a file or a peer can send. */
NORETURN void bug(const char *file, int line, const char *what);
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(cond))                                                                        \
            bug(__FILE__, __LINE__, #cond);                                                        \
    } while (0)

#endif
