/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptor.h"
#include "base/unix_socket.h"
#include "host/control.h"

/* An answer is a machine's own, whose process may have been taken over by its guest. */
#define ANSWER_MAX (4u << 20)

static void json_release(json_t **json)
{
    json_decref(*json);
}

static void text_release(char **text)
{
    free(*text);
}

static int client_connect(const char *path, unsigned timeout_ms, int *fd, struct error *error)
{
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000,
                                    .tv_usec = timeout_ms % 1000 * 1000};
    int one = unix_socket_connect(path);

    if (one < 0)
        return error_set(error, -one, "cannot connect to \"%s\": %s", path, error_words(-one));
    fcntl(one, F_SETFL, 0); /* it blocks from here on */
    setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(one, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    *fd = one;
    return 0;
}

/* One line, without its end; the caller frees it. */
static int client_read(int fd, char **line, struct error *error)
{
    CLEANUP(text_release) char *text = NULL;
    size_t size = 0, room = 0;

    for (;;) {
        char *end, *grown;
        ssize_t n;

        if (size == room) {
            room += 4096;
            grown = room > ANSWER_MAX ? NULL : realloc(text, room);
            if (!grown)
                return error_set(error, EPROTO, "the machine's answer is too long");
            text = grown;
        }
        n = recv(fd, text + size, room - size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return error_set(error, ETIMEDOUT, "the machine does not answer");
        if (n <= 0)
            return error_set(error, ECONNRESET, "the machine has ended");
        end = memchr(text + size, '\n', (size_t)n);
        size += (size_t)n;
        if (!end)
            continue;
        *end = 0;
        *line = text;
        text = NULL;
        return 0;
    }
}

/* Every line that is no answer is a notification. */
static int client_answer(int fd, json_t **answer, struct error *error)
{
    for (;;) {
        CLEANUP(text_release) char *line = NULL;
        int r = client_read(fd, &line, error);

        if (r)
            return r;
        *answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(*answer)) {
            json_decref(*answer);
            return error_set(error, EPROTO, "the machine answered what is no JSON-RPC");
        }
        if (json_object_get(*answer, "id"))
            return 0;
        json_decref(*answer);
    }
}

int control_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
                 json_t **result, struct error *error)
{
    CLEANUP(descriptor_close) int fd = -1;
    CLEANUP(json_release)
    json_t *request = json_pack("{s:s, s:s, s:o*, s:i}", "jsonrpc", "2.0", "method", method,
                                "params", params, "id", 1);
    CLEANUP(text_release) char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    CLEANUP(json_release) json_t *answer = NULL;
    const json_t *failed;
    int r;

    if (!text)
        return error_set(error, ENOMEM, "out of memory");
    r = client_connect(path, timeout_ms, &fd, error);
    if (r)
        return r;
    r = descriptor_write_all(fd, text, strlen(text));
    if (!r)
        r = descriptor_write_all(fd, "\n", 1);
    if (r)
        return error_set(error, -r, "cannot ask the machine: %s", error_words(-r));
    r = client_answer(fd, &answer, error);
    if (r)
        return r;
    failed = json_object_get(answer, "error");
    if (failed) {
        const char *words = json_string_value(json_object_get(failed, "message"));
        json_int_t number =
            json_integer_value(json_object_get(json_object_get(failed, "data"), "errno"));

        return error_set(error, number > 0 && number < 4096 ? (int)number : EPROTO, "%s",
                         words ? words : "the machine refused");
    }
    if (result)
        *result = json_incref(json_object_get(answer, "result"));
    return 0;
}
