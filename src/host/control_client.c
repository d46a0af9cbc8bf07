/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "host/control.h"
#include "host/lines.h"
#include "host/reader.h"
#include "host/values.h"
#include "image/file.h"

/* An answer is a machine's own, whose process may have been taken over by its guest. */
#define ANSWER_MAX (4u << 20)
/* As values that a reader made of it. */
#define VALUES_MAX (2u << 20)

/* Every line that is no answer is a notification. */
static int receive_answer(struct lines *lines, uint64_t deadline_ns, json_t **answer,
                          struct error *error)
{
    for (;;) {
        int r = lines_receive(lines, deadline_ns, answer, error);

        if (r)
            return r;
        if (json_object_get(*answer, "id"))
            return 0;
        json_decref(*answer);
        *answer = NULL;
    }
}

static int take_failure(const json_t *failed, struct error *error)
{
    const char *words = json_string_value(json_object_get(failed, "message"));
    json_int_t number =
        json_integer_value(json_object_get(json_object_get(failed, "data"), "errno"));

    return error_set(error, number > 0 && number < 4096 ? (int)number : EPROTO, "%s",
                     words ? words : "it refused");
}

struct answer {
    struct lines lines;
    uint64_t deadline_ns;
};

/* In the reader. */
static int read_answer(void *ctx, struct reader_answer *values, struct error *error)
{
    struct answer *wanted = ctx;
    CLEANUP(json_decrefp) json_t *answer = NULL;
    const json_t *failed, *result;
    int r = receive_answer(&wanted->lines, wanted->deadline_ns, &answer, error);

    if (r)
        return r;
    failed = json_object_get(answer, "error");
    if (failed)
        return take_failure(failed, error);
    result = json_object_get(answer, "result");
    r = result ? values_put(values, result) : -EPROTO;
    return r ? error_set(error, EPROTO,
                         result ? "the answer is too deep" : "the answer has no result")
             : 0;
}

/* How long a reader may take that was taken over. */
static unsigned reader_time(uint64_t deadline_ns)
{
    uint64_t now = monotonic_ns();

    return READER_MARGIN_MS + (unsigned)(deadline_ns > now ? (deadline_ns - now) / 1000000 : 0);
}

static int hear_answer(int socket, uint64_t deadline_ns, json_t **result, struct error *error)
{
    struct answer wanted = {.lines = {.fd = socket, .limit = ANSWER_MAX},
                            .deadline_ns = deadline_ns};
    const struct reader reader = {.body = read_answer,
                                  .ctx = &wanted,
                                  .files = {socket, -1},
                                  .answer_max = VALUES_MAX,
                                  .timeout_ms = reader_time(deadline_ns)};
    CLEANUP(reader_answer_release) struct reader_answer values = {0};
    int r = reader_ask(&reader, &values, error);

    if (r || !result)
        return r;
    *result = values_get(&values);
    return *result ? 0 : error_set(error, EPROTO, "the answer cannot be read");
}

int control_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
                 json_t **result, struct error *error)
{
    CLEANUP(descriptor_close) int socket = -1;
    const uint64_t deadline_ns = monotonic_ns() + timeout_ms * UINT64_C(1000000);
    json_t *request = json_pack("{s:s, s:s, s:o*, s:i}", "jsonrpc", "2.0", "method", method,
                                "params", params, "id", 1);
    int r = lines_connect(path, deadline_ns, error);

    if (r < 0) {
        json_decref(request);
        return r;
    }
    socket = r;
    r = lines_send(&(struct lines){.fd = socket}, NULL, request, error);
    return r ? r : hear_answer(socket, deadline_ns, result, error);
}

json_t *control_ask(const struct registry *registry, const char *name, const char *method,
                    json_t *params, unsigned timeout_ms, struct error *error)
{
    CLEANUP(text_free) char *path = registry_run_path(registry, name, "control");
    json_t *result = NULL;

    if (!path || registry_check_run(registry, error))
        json_decref(params);
    else if (control_call(path, method, params, timeout_ms, &result, error))
        result = NULL;
    return result;
}
