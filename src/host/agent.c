/* SPDX-License-Identifier: Apache-2.0 */
#include "host/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "host/base64.h"

/* The agent keeps up to 16 MiB of each of a program's outputs (guest-exec), in base64. */
#define ANSWER_MAX (48u << 20)

enum { CALL_MS = 30000, ASK_AGAIN_NS_MAX = 200000000 };

static uint64_t deadline_of(unsigned timeout_ms)
{
    return monotonic_ns() + timeout_ms * UINT64_C(1000000);
}

/* Until the answer that has the number: what stands before it was meant for others. */
static int synchronise(struct agent *agent, json_int_t number, uint64_t deadline_ns,
                       struct error *error)
{
    for (;;) {
        CLEANUP(json_decrefp) json_t *answer = NULL;
        int r = lines_receive(&agent->lines, deadline_ns, &answer, error);
        const json_t *value = json_object_get(answer, "return");

        if (r)
            return r;
        if (json_is_integer(value) && json_integer_value(value) == number)
            return 0;
    }
}

int agent_open(struct agent *agent, const char *path, unsigned timeout_ms, struct error *error)
{
    uint32_t number = 0;
    int r = lines_open(&agent->lines, path, ANSWER_MAX, deadline_of(timeout_ms), error);

    if (r == -ETIMEDOUT)
        error_wrap(error, "the guest's agent does not answer");
    if (r)
        return r;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (uint32_t)monotonic_ns();
    number &= INT32_MAX;
    /* The byte ends whatever the client before left unfinished. */
    r = lines_send(&agent->lines, "\xff",
                   json_pack("{s:s, s:{s:I}}", "execute", "guest-sync-delimited", "arguments", "id",
                             (json_int_t)number),
                   error);
    if (!r)
        r = synchronise(agent, (json_int_t)number, deadline_of(timeout_ms), error);
    if (r)
        agent_close(agent);
    if (r == -ETIMEDOUT || r == -ECONNRESET)
        error_wrap(error, "the guest's agent does not answer");
    return r;
}

void agent_close(struct agent *agent)
{
    lines_close(&agent->lines);
}

static int agent_send(struct agent *agent, const char *command, json_t *arguments,
                      struct error *error)
{
    return lines_send(&agent->lines, NULL,
                      json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments), error);
}

int agent_call(struct agent *agent, const char *command, json_t *arguments, unsigned timeout_ms,
               json_t **result, struct error *error)
{
    CLEANUP(json_decrefp) json_t *answer = NULL;
    const json_t *failed;
    int r = agent_send(agent, command, arguments, error);

    if (!r)
        r = lines_receive(&agent->lines, deadline_of(timeout_ms), &answer, error);
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

int agent_power_off(struct agent *agent, struct error *error)
{
    return agent_send(agent, "guest-shutdown", json_pack("{s:s}", "mode", "powerdown"), error);
}

/* ---- programs ---- */

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

static int program_start(struct agent *agent, const char *const *argv, const void *input,
                         size_t input_size, json_int_t *pid, struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    json_t *arguments = json_pack("{s:s, s:o, s:b}", "path", argv[0], "arg",
                                  words_to_json(argv + 1), "capture-output", 1);
    char *encoded = input_size ? base64_encode(input, input_size) : NULL;
    int r;

    if (!arguments || (input_size && !encoded)) {
        json_decref(arguments);
        free(encoded);
        return error_set(error, ENOMEM, "cannot run \"%s\": out of memory, or no UTF-8", argv[0]);
    }
    if (encoded)
        json_object_set_new(arguments, "input-data", json_string(encoded));
    free(encoded);
    r = agent_call(agent, "guest-exec", arguments, CALL_MS, &result, error);
    if (r)
        return r;
    *pid = json_integer_value(json_object_get(result, "pid"));
    return *pid ? 0 : error_set(error, EPROTO, "the guest's agent did not say what it started");
}

static int take_output(const json_t *status, const char *key, unsigned char **data, size_t *size)
{
    const char *text = json_string_value(json_object_get(status, key));

    if (!text)
        return 0;
    return base64_decode(text, data, size);
}

static int take_status(const json_t *status, struct agent_output *output, struct error *error)
{
    json_int_t ended = json_integer_value(json_object_get(status, "exitcode"));
    json_int_t by = json_integer_value(json_object_get(status, "signal"));

    *output =
        (struct agent_output){.status = (int)(by ? 128 + by : ended) & 255,
                              .truncated = json_is_true(json_object_get(status, "out-truncated")) ||
                                           json_is_true(json_object_get(status, "err-truncated"))};
    if (take_output(status, "out-data", &output->out, &output->out_size) ||
        take_output(status, "err-data", &output->err, &output->err_size)) {
        agent_output_release(output);
        return error_set(error, EPROTO, "the guest's agent sent an output that cannot be read");
    }
    return 0;
}

int agent_run(struct agent *agent, const char *const *argv, const void *input, size_t input_size,
              struct agent_output *output, struct error *error)
{
    struct timespec pause = {.tv_nsec = 5000000};
    json_int_t pid;
    int r = program_start(agent, argv, input, input_size, &pid, error);

    while (!r) {
        CLEANUP(json_decrefp) json_t *status = NULL;

        r = agent_call(agent, "guest-exec-status", json_pack("{s:I}", "pid", pid), CALL_MS, &status,
                       error);
        if (!r && json_is_true(json_object_get(status, "exited")))
            return take_status(status, output, error);
        /* The agent tells of no end by itself. */
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < ASK_AGAIN_NS_MAX)
            pause.tv_nsec *= 2;
    }
    return r;
}

void agent_output_release(struct agent_output *output)
{
    free(output->out);
    free(output->err);
    *output = (struct agent_output){0};
}

/* ---- files ---- */

/* What the agent moves at once; the protocol's default is 4 KiB, its bound 48 MiB. */
enum { CHUNK = 1 << 18 };

static int file_open(struct agent *agent, const char *path, const char *mode, json_int_t *handle,
                     struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    int r =
        agent_call(agent, "guest-file-open", json_pack("{s:s, s:s}", "path", path, "mode", mode),
                   CALL_MS, &result, error);

    if (!r && !json_is_integer(result))
        r = error_set(error, EPROTO, "the guest's agent opened \"%s\" and did not say as what",
                      path);
    *handle = json_integer_value(result);
    return r;
}

/* `r` is what happened so far: the guest's file is closed in any case. */
static int file_close(struct agent *agent, json_int_t handle, int r, struct error *error)
{
    int closed = agent_call(agent, "guest-file-close", json_pack("{s:I}", "handle", handle),
                            CALL_MS, NULL, r ? NULL : error);

    return r ? r : closed;
}

/* All of it: the agent may write less than it was given. */
static int file_write_all(struct agent *agent, json_int_t handle, const unsigned char *data,
                          size_t size, struct error *error)
{
    int r = 0;

    while (size && !r) {
        CLEANUP(json_decrefp) json_t *result = NULL;
        char *text = base64_encode(data, size);
        json_int_t n;

        r = text ? agent_call(agent, "guest-file-write",
                              json_pack("{s:I, s:s}", "handle", handle, "buf-b64", text), CALL_MS,
                              &result, error)
                 : error_set(error, ENOMEM, "out of memory");
        free(text);
        n = json_integer_value(json_object_get(result, "count"));
        if (!r && (n <= 0 || (json_int_t)size < n))
            r = error_set(error, EPROTO, "the guest's agent wrote nothing");
        if (!r) {
            data += n;
            size -= (size_t)n;
        }
    }
    return r;
}

int agent_put_file(struct agent *agent, int fd, const char *path, struct error *error)
{
    unsigned char *data = malloc(CHUNK);
    json_int_t handle;
    ssize_t n = 1;
    int r = data ? file_open(agent, path, "w", &handle, error)
                 : error_set(error, ENOMEM, "out of memory");

    if (r) {
        free(data);
        return r;
    }
    while (!r && n) {
        n = read(fd, data, CHUNK);
        if (n < 0 && errno != EINTR)
            r = error_set(error, errno, "cannot read: %s", error_words(errno));
        else if (n > 0)
            r = file_write_all(agent, handle, data, (size_t)n, error);
    }
    free(data);
    return file_close(agent, handle, r, error);
}

/* *more: until the guest's file ends. */
static int file_read_some(struct agent *agent, json_int_t handle, int fd, bool *more,
                          struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    unsigned char *data = NULL;
    size_t size = 0;
    int r = agent_call(agent, "guest-file-read",
                       json_pack("{s:I, s:i}", "handle", handle, "count", (int)CHUNK), CALL_MS,
                       &result, error);

    if (!r && (take_output(result, "buf-b64", &data, &size) || !json_is_object(result)))
        r = error_set(error, EPROTO, "the guest's agent sent what is no piece of a file");
    if (!r && descriptor_write_all(fd, data, size))
        r = error_set(error, errno, "cannot write: %s", error_words(errno));
    free(data);
    *more = size && !json_is_true(json_object_get(result, "eof"));
    return r;
}

int agent_get_file(struct agent *agent, const char *path, int fd, struct error *error)
{
    json_int_t handle;
    bool more = true;
    int r = file_open(agent, path, "r", &handle, error);

    if (r)
        return r;
    /* A pipe and its like have nothing that could be left over. */
    if (ftruncate(fd, 0) < 0 && errno != EINVAL)
        r = error_set(error, errno, "cannot write: %s", error_words(errno));
    while (!r && more)
        r = file_read_some(agent, handle, fd, &more, error);
    return file_close(agent, handle, r, error);
}
