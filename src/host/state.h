/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a named machine is doing: from its lock, its control socket, and what its process wrote down
 * (state.json). A process that was killed wrote nothing: its machine has crashed.
 */
#ifndef HOSPES_HOST_STATE_H
#define HOSPES_HOST_STATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/registry.h"

enum state_kind {
    STATE_STOPPED, /* also: never started */
    STATE_CRASHED, /* its process has gone without a word */
    STATE_RUNNING,
    STATE_PAUSED,
    STATE_BUSY, /* it is being started, changed or deleted, or does not answer */
};

/* How it came to its end. */
enum state_end { STATE_END_NONE, STATE_END_POWER_OFF, STATE_END_FAILED, STATE_END_KILLED };

#define STATE_TIME_SIZE 32 /* ISO 8601, UTC, milliseconds */

enum { STATE_VERSION = 1 }; /* of state.json */

struct state {
    enum state_kind kind;
    pid_t pid; /* 0: none */
    enum state_end end;
    int status;                  /* of the guest, at a power-off or a failure */
    bool merging;                /* its pages may be merged with others' */
    char since[STATE_TIME_SIZE]; /* when it was started or ended; "": never */
};

const char *state_name(enum state_kind kind);
const char *state_end_name(enum state_end end);
/* Now, in the form of state.since. */
void state_time(char text[static STATE_TIME_SIZE]);

/* What is so at this moment. Asks the machine, if it runs, for at most a second. */
void state_look(const struct registry *registry, const char *name, struct state *state);
/* What its process wrote down last, whether that is still so or not. Asks nobody. */
void state_recall(const struct registry *registry, const char *name, struct state *state);
/* Waits for a process of the machine that was killed: it gives the lock up with the last of its
 * threads, behind the guest's memory. At most 30 s; nothing to wait for: at once. */
void state_wait_ending(const struct registry *registry, const char *name);
/* What a text of state.json tells; false: it is none, and *state is as it was. Its texts hold no
 * control characters. */
bool state_parse(const char *text, struct state *state) MUST_CHECK;
/* Under the machine's lock: STATE_RUNNING or STATE_STOPPED. */
int state_write(const struct registry *registry, const char *name, const struct state *state,
                struct error *error) MUST_CHECK;

#endif
