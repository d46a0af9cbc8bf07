/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory faults that are no bug: a thread that runs code which is expected to fault says who is to
 * be asked. A signal handler has no argument of ours, so this is the one place with state of the
 * process and of the thread.
 */
#ifndef HOSPES_BASE_FAULT_H
#define HOSPES_BASE_FAULT_H

#include <stdbool.h>

#include "base/compiler.h"

/* Called in the signal handler, on the thread that faulted. `context` is the ucontext_t. True: the
 * thread may go on, as the context is now. False: whoever handled SIGSEGV before is asked, which
 * by default ends the process. */
typedef bool fault_function(void *ctx, void *context);

/* Handles faults of this thread from now on. The handler runs on a stack of its own, of
 * FAULT_STACK bytes at `stack`, which must stay as long. Returns 0 or -errno. */
int fault_handle(fault_function *function, void *ctx, void *stack) MUST_CHECK;

/* No longer, if it is still `ctx` that handles this thread's; the thread's stack for signals is as
 * it was before. */
void fault_leave(void *ctx);

enum { FAULT_STACK = 64 << 10 };

#endif
