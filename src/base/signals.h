/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that a program's loop serves. */
#ifndef HOSPES_BASE_SIGNALS_H
#define HOSPES_BASE_SIGNALS_H

#include "base/error.h"

/* Blocks the signals of `numbers`, which ends with 0, for this thread and those that it makes from
 * now on, and has *fd tell of them (signalfd(2), nonblocking); the caller closes it. Ignores
 * SIGPIPE: a reader of our output that is gone is an error of write(), and ends nothing. */
int signals_open(const int *numbers, int *fd, struct error *error) MUST_CHECK;

#endif
