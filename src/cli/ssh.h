/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh to a named machine's guest: what `hospes shell` executes and `hospes ssh-config` prints.
 */
#ifndef HOSPES_CLI_SSH_H
#define HOSPES_CLI_SSH_H

#include <stdbool.h>

#include "base/error.h"
#include "cli/named.h"
#include "host/guest_ssh.h"

#define SSH_OPTIONS_MAX 24

/* Owned. */
struct ssh {
    struct guest_ssh guest;
    char *user;
    char *options[SSH_OPTIONS_MAX + 1]; /* lines of ssh_config(5); ends with NULL */
    unsigned count;
};

/* The machine's key, and its guest ready to be connected to; the machine has to run. An agent that
 * does not answer is no failure where the guest listens and its keys are known from another time.
 * `user` NULL: root. Holds nothing after a failure. */
int ssh_prepare(struct ssh *ssh, const struct named *named, const char *user,
                struct error *error) MUST_CHECK;
void ssh_release(struct ssh *ssh);

/* Becomes ssh, with `program` (NULL: a login shell) at the guest's end and, with `terminal`, a
 * terminal there in any case. Returns only when that fails. */
int ssh_execute(const struct ssh *ssh, char *const *program, bool terminal, struct error *error);

#endif
