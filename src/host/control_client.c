/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/thread.h"
#include "host/control.h"
#include "host/lines.h"
#include "image/file.h"

/* An answer is a machine's own, whose process may have been taken over by its guest. */
#define ANSWER_MAX (4u << 20)

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

int control_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
                 json_t **result, struct error *error)
{
    CLEANUP(lines_close) struct lines lines = {.fd = -1};
    CLEANUP(json_decrefp) json_t *answer = NULL;
    const uint64_t deadline_ns = monotonic_ns() + timeout_ms * UINT64_C(1000000);
    json_t *request = json_pack("{s:s, s:s, s:o*, s:i}", "jsonrpc", "2.0", "method", method,
                                "params", params, "id", 1);
    const json_t *failed;
    int r = lines_connect(path, deadline_ns, error);

    lines.fd = r;
    lines.limit = ANSWER_MAX;
    if (r < 0)
        json_decref(request);
    else
        r = lines_send(&lines, NULL, request, error);
    if (!r)
        r = receive_answer(&lines, deadline_ns, &answer, error);
    if (r)
        return r;
    failed = json_object_get(answer, "error");
    if (failed)
        return take_failure(failed, error);
    if (!json_object_get(answer, "result"))
        return error_set(error, EPROTO, "the answer has no result");
    if (result)
        *result = json_incref(json_object_get(answer, "result"));
    return 0;
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
