/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's control socket: JSON-RPC 2.0 over a unix stream socket, one JSON value a line in each
 * direction (docs/control.md has the methods). The server is the machine's process; who may connect
 * is who may open the socket (mode 0600 in a directory of mode 0700), and a peer that is neither
 * the user nor root is closed.
 *
 * Server: everything on the loop's thread; a method is called there and answers at once. A peer is
 * hostile: lines, answers that it does not read, and peers are bounded.
 * Client: blocking, with a timeout, for commands and tests.
 */
#ifndef HOSPES_HOST_CONTROL_H
#define HOSPES_HOST_CONTROL_H

#include <jansson.h>

#include "base/error.h"
#include "base/loop.h"
#include "host/registry.h"

#define CONTROL_LINE_MAX  (64u << 10) /* bytes of a request */
#define CONTROL_PEERS_MAX 16
/* Bytes that wait for a peer; one that has more is closed. */
#define CONTROL_BACKLOG_MAX (256u << 10)

/* JSON-RPC 2.0, section 5.1; beyond it errors of ours, whose data.errno tells the host's. */
enum control_error {
    CONTROL_PARSE_ERROR = -32700,
    CONTROL_INVALID_REQUEST = -32600,
    CONTROL_METHOD_NOT_FOUND = -32601,
    CONTROL_INVALID_PARAMS = -32602,
    CONTROL_FAILED = -32000,
};

/* Answers with 0 and *result (a new reference; NULL is null), or -errno with the error set;
 * error.usage makes it CONTROL_INVALID_PARAMS. `params` is an object, perhaps an empty one. */
struct control_method {
    const char *name;
    int (*call)(void *ctx, const json_t *params, json_t **result, struct error *error);
};

struct control;

/* Takes over the listening socket, on failure too. `methods` ends with an empty row and outlives
 * it. -errno. */
int control_new(struct control **control, struct loop *loop, int listener,
                const struct control_method *methods, void *ctx) MUST_CHECK;
/* The process is in a user namespace, where the kernel does not name root (jail_hides_users()). */
void control_hide_users(struct control *control);
void control_free(struct control *control);
/* A notification to all peers that called "events.subscribe", which every server has. */
void control_notify(struct control *control, const char *method, const json_t *params);

/* A socket that listens at `path`, of mode 0600. One that a dead process left is replaced;
 * -EADDRINUSE when somebody listens there. */
int control_listen(const char *path, int *fd, struct error *error) MUST_CHECK;

/* Calls one method of whoever listens at `path` and gives its result, which the caller drops,
 * within `timeout_ms` altogether. `params` is taken over; NULL: none. -ECONNREFUSED or -ENOENT when
 * nobody listens, -ETIMEDOUT, -EPROTO; what the other side answered: its errno and words. */
int control_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
                 json_t **result, struct error *error) MUST_CHECK;
/* The same of a named machine, whose directory of sockets is nobody else's; NULL: it did not
 * answer, for whatever reason. Whether it runs is for the caller to see. */
json_t *control_ask(const struct registry *registry, const char *name, const char *method,
                    json_t *params, unsigned timeout_ms, struct error *error) MUST_CHECK;

#endif
