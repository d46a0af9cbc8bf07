/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent*.c share: a question to the agent is a body that talks with it, in a reader
 * (reader.h). Nobody else includes it.
 */
#ifndef HOSPES_HOST_AGENT_PARTS_H
#define HOSPES_HOST_AGENT_PARTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "host/agent.h"
#include "host/lines.h"
#include "host/reader.h"

/* The agent keeps up to 16 MiB of each of a program's outputs (guest-exec), in base64. */
#define AGENT_ANSWER_MAX (48u << 20)
/* Of a command that the agent does at once, but which may wait for its turn. */
#define AGENT_CALL_MS 30000u

struct agent_question {
    /* In the reader. */
    int (*body)(void *ctx, struct lines *lines, struct reader_answer *answer, struct error *error);
    void *ctx;
    int file;            /* stays open there; -1: none */
    size_t answer_max;   /* bytes; 0: there is no answer but that it was done */
    unsigned timeout_ms; /* of all commands together; 0: there is no such time */
};

/* *answer (NULL where there is none) is the caller's to release, and empty on failure. */
int agent_ask(const struct agent *agent, const struct agent_question *question,
              struct reader_answer *answer, struct error *error) MUST_CHECK;

/* In the reader: calls a command with `arguments` (taken over; NULL: none); *result is the caller's
 * to drop, and may be NULL. -EREMOTEIO: the agent refused, in its words. */
int agent_call(struct lines *lines, const char *command, json_t *arguments, unsigned timeout_ms,
               json_t **result, struct error *error) MUST_CHECK;
/* In the reader: the bytes that an answer has as base64; nothing where it has none. -errno. */
int agent_take_bytes(const json_t *answer, const char *key, unsigned char **data,
                     size_t *size) MUST_CHECK;

#endif
