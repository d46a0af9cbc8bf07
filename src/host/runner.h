/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a named machine: takes its lock, builds and runs it, and serves its control socket
 * until the guest powers off or somebody ends it. One process a machine: a crash takes one, and the
 * host's kernel tells them apart.
 *
 *   MACHINES/NAME/var/log          what its parts have to say, a line each
 *   MACHINES/NAME/var/console.log  what the guest wrote to its console
 *   MACHINES/NAME/var/events       what became of it, a JSON object a line
 *   RUN/NAME/console           a stream socket: the console, for any number of clients
 *   RUN/NAME/control           control.h; methods in docs/control.md
 *   RUN/NAME/agent             the port of the guest's agent, see agent.h
 *   RUN/NAME/vsock             sockets of the guest, see network/vsock.h
 *
 * The three files are bounded (base/rotate.h). Before the guest's first instruction the process is
 * jailed (jail.h): by path it keeps var, the removal of its sockets, and its code profile.
 */
#ifndef HOSPES_HOST_RUNNER_H
#define HOSPES_HOST_RUNNER_H

#include <stdbool.h>

#include "base/error.h"
#include "host/jail.h"
#include "host/registry.h"
#include "host/state.h"

struct runner_options {
    enum jail_mode jail;
    bool group; /* in a control group of its own, where the host lets it (group.h) */
    /* The machine runs; called once, on the calling thread. May be NULL. */
    void (*started)(void *ctx);
    void *ctx;
};

/* Runs the machine until it ends, and tells in *end how. -EBUSY when it runs already; whatever
 * fails before `started` leaves the machine as it was. Takes over SIGTERM, SIGINT and SIGHUP, which
 * end the machine, and ignores SIGPIPE: once a process, before it has other threads. */
int runner_run(const struct registry *registry, const char *name,
               const struct runner_options *options, struct state *end,
               struct error *error) MUST_CHECK;

#endif
