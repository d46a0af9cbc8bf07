/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands share that are about one named machine.
 */
#ifndef HOSPES_CLI_NAMED_H
#define HOSPES_CLI_NAMED_H

#include <jansson.h>

#include "base/error.h"
#include "cli/option.h"
#include "host/agent.h"
#include "host/registry.h"
#include "host/state.h"

#define NAMED_TIMEOUT_MS 10000u

struct named {
    struct registry registry;
    const char *name; /* points into argv */
};

/* Reads a command line that has one operand, NAME, and options, which `option` (may be NULL) is
 * told of; the machine exists then. */
int named_open(struct named *named, const struct command *command, int argc, char **argv,
               int (*option)(void *ctx, const struct option_walk *walk, struct error *error),
               void *ctx, struct error *error) MUST_CHECK;
void named_release(struct named *named);

/* *path = its socket RUN/NAME/FILE, which the caller frees, once it is sure that nobody else can
 * have made it. It has to run: -ESRCH with the next step. */
int named_socket(const struct named *named, const char *file, char **path,
                 struct error *error) MUST_CHECK;
/* Connects to its guest's agent, as agent_open() does. It has to run: -ESRCH with the next step. */
int named_agent(const struct named *named, unsigned timeout_ms, struct agent *agent,
                struct error *error) MUST_CHECK;
/* Calls a method of the machine, which has to run: -ESRCH with the next step. `params` is taken
 * over; `result` may be NULL. */
int named_call(const struct named *named, const char *method, json_t *params, json_t **result,
               struct error *error) MUST_CHECK;
/* Waits until its process has gone. -ETIMEDOUT. */
int named_wait_end(const struct named *named, unsigned timeout_ms, struct error *error) MUST_CHECK;
/* Pulls the plug, or, if the process does not answer, kills that; returns when it has gone. -ESRCH
 * if it does not run. */
int named_kill(const struct named *named, struct error *error) MUST_CHECK;

/* A command whose only argument is NAME and whose whole work is one method. */
int named_run_method(const struct command *command, int argc, char **argv, const char *method,
                     struct error *error) MUST_CHECK;

/* Prints to standard output, with a line end. Takes the value over. */
int named_print_json(json_t *json, struct error *error) MUST_CHECK;

#endif
