/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that a program's loop serves: a handler writes each into a pipe. Not signalfd(2), since
 * whoever waits for that is woken by every signal of the process, and CPUs have timers that come as
 * signals (alarm.h).
 */
#ifndef HOSPES_BASE_SIGNALS_H
#define HOSPES_BASE_SIGNALS_H

#include "base/error.h"

/* Has *fd (nonblocking; the caller closes it) tell of the signals of `numbers`, which ends with 0,
 * from now on and for as long as the process lives. They come to this thread: thread_start() blocks
 * them in others. Of two calls the last one is told. Ignores SIGPIPE: a reader of our output that
 * is gone is an error of write(), and ends nothing. */
int signals_open(const int *numbers, int *fd, struct error *error) MUST_CHECK;
/* The next one's number; 0: there is none. */
int signals_read(int fd) MUST_CHECK;
/* Of a process that was forked to serve its parent: nothing is handled, all that can wait does, and
 * SIGPIPE is ignored. */
void signals_leave_to_parent(void);

#endif
