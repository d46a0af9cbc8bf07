/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One machine on this terminal, from start to end: the event loop on the main thread, the console
 * on standard input and output, signals, and what the user types after Ctrl-A. The terminal is
 * given back however the program ends.
 */
#ifndef HOSPES_CLI_SESSION_H
#define HOSPES_CLI_SESSION_H

#include <stdbool.h>

#include "base/error.h"
#include "host/jail.h"
#include "machine/description.h"

struct session_options {
    bool stats;      /* print the engine's counters at the end */
    bool quiet;      /* warnings and errors only */
    const char *gdb; /* where a debugger may connect, as in debug/listen.h; NULL: nowhere */
    bool gdb_wait;   /* start stopped */
    enum jail_mode jail;
    const char *dump_dtb; /* write the device tree there and do not start; NULL: run */
};

/* Returns the program's exit status: the guest's own (0 when it powered off), 0 after Ctrl-A x,
 * 128 + the number of the signal that ended it; or -errno with the error set when the machine
 * could not be built or started. Once a process: it takes over signals. */
int session_run(const struct machine_description *description,
                const struct session_options *options, struct error *error) MUST_CHECK;

#endif
