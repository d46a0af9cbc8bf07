/* SPDX-License-Identifier: Apache-2.0 */
#include "host/agent.h"

#include <errno.h>
#include <sys/random.h>

#include "base/compiler.h"
#include "base/descriptor.h"
#include "base/thread.h"
#include "host/agent_parts.h"
#include "host/base64.h"

static uint64_t deadline_of(unsigned timeout_ms)
{
    return monotonic_ns() + timeout_ms * UINT64_C(1000000);
}

/* ---- in the reader ---- */

static int agent_send(struct lines *lines, const char *command, json_t *arguments,
                      struct error *error)
{
    return lines_send(lines, NULL,
                      json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments), error);
}

int agent_call(struct lines *lines, const char *command, json_t *arguments, unsigned timeout_ms,
               json_t **result, struct error *error)
{
    CLEANUP(json_decrefp) json_t *answer = NULL;
    const json_t *failed;
    int r = agent_send(lines, command, arguments, error);

    if (!r)
        r = lines_receive(lines, deadline_of(timeout_ms), &answer, error);
    if (r) {
        error_wrap(error, "the guest's agent (%s)", command);
        return r;
    }
    failed = json_object_get(answer, "error");
    if (failed) {
        const char *words = json_string_value(json_object_get(failed, "desc"));

        return error_set(error, EREMOTEIO, "the guest's agent refuses \"%s\": %s", command,
                         words ? words : "for no reason");
    }
    if (result)
        *result = json_incref(json_object_get(answer, "return"));
    return 0;
}

int agent_take_bytes(const json_t *answer, const char *key, unsigned char **data, size_t *size)
{
    const char *text = json_string_value(json_object_get(answer, key));

    return text ? base64_decode(text, data, size) : 0;
}

/* Until the answer that has the number: what stands before it was meant for others. */
static int synchronise(void *ctx, struct lines *lines, struct reader_answer *none,
                       struct error *error)
{
    const uint64_t deadline_ns = deadline_of(*(const unsigned *)ctx);
    uint32_t number = 0;
    int r;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (uint32_t)monotonic_ns();
    number &= INT32_MAX;
    /* The byte ends whatever the client before left unfinished. */
    r = lines_send(lines, "\xff",
                   json_pack("{s:s, s:{s:I}}", "execute", "guest-sync-delimited", "arguments", "id",
                             (json_int_t)number),
                   error);
    while (!r) {
        CLEANUP(json_decrefp) json_t *answer = NULL;
        const json_t *value;

        r = lines_receive(lines, deadline_ns, &answer, error);
        value = json_object_get(answer, "return");
        if (!r && json_is_integer(value) && json_integer_value(value) == number)
            return 0;
    }
    return r;
}

struct conversation {
    const struct agent_question *question;
    struct lines lines;
};

/* What the agent says beyond its answers ends with the reader. */
static int converse(void *ctx, struct reader_answer *answer, struct error *error)
{
    struct conversation *conversation = ctx;
    const struct agent_question *question = conversation->question;

    return question->body(question->ctx, &conversation->lines, answer, error);
}

/* ---- in the command ---- */

int agent_ask(const struct agent *agent, const struct agent_question *question,
              struct reader_answer *answer, struct error *error)
{
    struct conversation conversation = {
        .question = question,
        .lines = {.fd = agent->socket, .limit = AGENT_ANSWER_MAX},
    };
    const struct reader reader = {
        .body = converse,
        .ctx = &conversation,
        .files = {agent->socket, question->file},
        .answer_max = question->answer_max,
        .timeout_ms = question->timeout_ms ? question->timeout_ms + READER_MARGIN_MS : 0,
    };
    CLEANUP(reader_answer_release) struct reader_answer none = {0};

    return reader_ask(&reader, answer ? answer : &none, error);
}

int agent_open(struct agent *agent, const char *path, unsigned timeout_ms, struct error *error)
{
    const struct agent_question question = {.body = synchronise,
                                            .ctx = &timeout_ms,
                                            .file = -1,
                                            .timeout_ms = timeout_ms};
    int r = lines_connect(path, deadline_of(timeout_ms), error);

    agent->socket = r;
    if (r >= 0)
        r = agent_ask(agent, &question, NULL, error);
    else if (r != -ETIMEDOUT)
        return r;
    if (!r)
        return 0;
    agent_close(agent);
    if (r == -ETIMEDOUT || r == -ECONNRESET)
        error_wrap(error, "the guest's agent does not answer");
    return r;
}

void agent_close(struct agent *agent)
{
    descriptor_close(&agent->socket);
}

/* There is nothing to read. */
int agent_power_off(struct agent *agent, struct error *error)
{
    struct lines lines = {.fd = agent->socket};

    return agent_send(&lines, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"), error);
}
