/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the QEMU guest agent ("QEMU Guest Agent Protocol Reference", docs/interop of QEMU),
 * over the socket at which a machine's process offers the agent's port. The socket takes one client
 * at a time: hold it no longer than one command takes.
 *
 * Everything that the agent says is the guest's word, and nothing of it is read in the process that
 * asks: each call makes one that does (host/reader.h), and that is given what is plain, bounded and
 * checked. Blocking; one thread at a time.
 */
#ifndef HOSPES_HOST_AGENT_H
#define HOSPES_HOST_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct agent {
    int socket;
};

/* Connects to the socket at `path` and finds an agent that answers (guest-sync-delimited).
 * -ETIMEDOUT when none does within `timeout_ms`: it is not there, or not yet, or another client has
 * the port. -ENOENT or -ECONNREFUSED: the machine does not run, or has no such port. */
int agent_open(struct agent *agent, const char *path, unsigned timeout_ms,
               struct error *error) MUST_CHECK;
void agent_close(struct agent *agent);

/* Asks for a power-off, which is not answered; that the machine ends is for the caller to see. */
int agent_power_off(struct agent *agent, struct error *error) MUST_CHECK;

/* One program in the guest, until it ends. */
struct agent_output {
    int status; /* of the program: its exit status, or 128 + the signal that ended it */
    bool truncated;
    unsigned char *out, *err; /* owned */
    size_t out_size, err_size;
};

/* Runs argv[0], looked up in the guest's PATH, with `argv` (ends with NULL) and `input` of
 * `input_size` bytes as its standard input. Returns when it has ended. */
int agent_run(struct agent *agent, const char *const *argv, const void *input, size_t input_size,
              struct agent_output *output, struct error *error) MUST_CHECK;
void agent_output_release(struct agent_output *output);

/* Copies between an open file of the host, from where it stands, and the file `path` of the guest,
 * which is made or emptied (the host's, once the guest's is there to be read). -EREMOTEIO: the
 * guest refused. */
int agent_put_file(struct agent *agent, int fd, const char *path, struct error *error) MUST_CHECK;
int agent_get_file(struct agent *agent, const char *path, int fd, struct error *error) MUST_CHECK;

#endif
