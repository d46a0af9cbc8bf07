/* SPDX-License-Identifier: Apache-2.0 */
/* Programs in the guest, by its agent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/compiler.h"
#include "host/agent_parts.h"
#include "host/base64.h"

enum { ASK_AGAIN_NS_MAX = 200000000 };

struct program {
    const char *const *argv;
    const void *input;
    size_t input_size;
};

/* ---- in the reader ---- */

static json_t *words_to_json(const char *const *argv)
{
    json_t *array = json_array();

    for (; *argv; argv++)
        if (json_array_append_new(array, json_string(*argv))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static int program_start(struct lines *lines, const struct program *program, json_int_t *pid,
                         struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    json_t *arguments = json_pack("{s:s, s:o, s:b}", "path", program->argv[0], "arg",
                                  words_to_json(program->argv + 1), "capture-output", 1);
    char *encoded = program->input_size ? base64_encode(program->input, program->input_size) : NULL;
    int r;

    if (!arguments || (program->input_size && !encoded)) {
        json_decref(arguments);
        free(encoded);
        return error_set(error, ENOMEM, "cannot run \"%s\": out of memory, or no UTF-8",
                         program->argv[0]);
    }
    if (encoded)
        json_object_set_new(arguments, "input-data", json_string(encoded));
    free(encoded);
    r = agent_call(lines, "guest-exec", arguments, AGENT_CALL_MS, &result, error);
    if (r)
        return r;
    *pid = json_integer_value(json_object_get(result, "pid"));
    return *pid ? 0 : error_set(error, EPROTO, "the guest's agent did not say what it started");
}

static int put_output(const json_t *status, const char *key, struct reader_answer *answer)
{
    unsigned char *data = NULL;
    size_t size = 0;
    int r = agent_take_bytes(status, key, &data, &size);

    if (!r)
        reader_put_bytes(answer, data, size);
    free(data);
    return r;
}

static int put_status(const json_t *status, struct reader_answer *answer, struct error *error)
{
    json_int_t ended = json_integer_value(json_object_get(status, "exitcode"));
    json_int_t by = json_integer_value(json_object_get(status, "signal"));

    reader_put_number(answer, (uint64_t)(by ? 128 + by : ended));
    reader_put_number(answer, json_is_true(json_object_get(status, "out-truncated")) ||
                                  json_is_true(json_object_get(status, "err-truncated")));
    if (put_output(status, "out-data", answer) || put_output(status, "err-data", answer))
        return error_set(error, EPROTO, "the guest's agent sent an output that cannot be read");
    return 0;
}

static int program_run(void *ctx, struct lines *lines, struct reader_answer *answer,
                       struct error *error)
{
    struct timespec pause = {.tv_nsec = 5000000};
    json_int_t pid;
    int r = program_start(lines, ctx, &pid, error);

    while (!r) {
        CLEANUP(json_decrefp) json_t *status = NULL;

        r = agent_call(lines, "guest-exec-status", json_pack("{s:I}", "pid", pid), AGENT_CALL_MS,
                       &status, error);
        if (!r && json_is_true(json_object_get(status, "exited")))
            return put_status(status, answer, error);
        /* The agent tells of no end by itself. */
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < ASK_AGAIN_NS_MAX)
            pause.tv_nsec *= 2;
    }
    return r;
}

/* ---- in the command ---- */

static bool take_output(struct reader_answer *answer, unsigned char **data, size_t *size)
{
    size_t length;
    const void *from = reader_get_bytes(answer, AGENT_ANSWER_MAX, &length);

    *data = from ? malloc(length + 1) : NULL;
    if (!*data)
        return false;
    *size = length;
    memcpy(*data, from, length);
    return true;
}

static bool take_all(struct reader_answer *answer, struct agent_output *output)
{
    uint64_t status, truncated;

    *output = (struct agent_output){0};
    if (!reader_get_number(answer, &status) || !reader_get_number(answer, &truncated))
        return false;
    output->status = (int)(status & 255);
    output->truncated = truncated != 0;
    return take_output(answer, &output->out, &output->out_size) &&
           take_output(answer, &output->err, &output->err_size);
}

int agent_run(struct agent *agent, const char *const *argv, const void *input, size_t input_size,
              struct agent_output *output, struct error *error)
{
    struct program program = {argv, input, input_size};
    const struct agent_question question = {.body = program_run,
                                            .ctx = &program,
                                            .file = -1,
                                            .answer_max = AGENT_ANSWER_MAX};
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    int r = agent_ask(agent, &question, &answer, error);

    if (r)
        return r;
    if (take_all(&answer, output))
        return 0;
    agent_output_release(output);
    return error_set(error, EPROTO, "the output of the guest's program cannot be read");
}

void agent_output_release(struct agent_output *output)
{
    free(output->out);
    free(output->err);
    *output = (struct agent_output){0};
}
