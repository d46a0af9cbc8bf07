/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values, a line each, over a stream socket that blocks, with a timeout: what clients of
 * control sockets and of guest agents have in common. The other side is hostile: what it sends is
 * bounded. One thread at a time.
 */
#ifndef HOSPES_HOST_LINES_H
#define HOSPES_HOST_LINES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct lines {
    int fd;
    size_t limit; /* bytes of a line */
    char *data;   /* what was received and not given out; a reader's (reader.h), which ends */
    size_t size, room;
};

/* Connects to the socket at `path`: the descriptor, or -errno. -ENOENT, -ECONNREFUSED when nobody
 * listens; the error is set as "cannot connect". Where so many wait to be let in that there is no
 * room for one more, waits for that until CLOCK_MONOTONIC reaches `deadline_ns`: -ETIMEDOUT. */
int lines_connect(const char *path, uint64_t deadline_ns, struct error *error) MUST_CHECK;

/* `prefix` (may be NULL) is sent in front of it as it is. Takes the value over. */
int lines_send(struct lines *lines, const char *prefix, json_t *json,
               struct error *error) MUST_CHECK;
/* The next line that is JSON, which the caller drops; others are passed over. -ETIMEDOUT when there
 * is none before CLOCK_MONOTONIC reaches `deadline_ns`, -ECONNRESET at the end, -EPROTO for a line
 * that is too long. */
int lines_receive(struct lines *lines, uint64_t deadline_ns, json_t **json,
                  struct error *error) MUST_CHECK;

#endif
