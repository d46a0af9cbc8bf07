/* SPDX-License-Identifier: Apache-2.0 */
/* Files into the guest and out of it, by its agent. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "host/agent_parts.h"
#include "host/base64.h"

struct copy {
    int fd; /* of the host's file */
    const char *path;
};

/* ---- in the reader ---- */

/* What the agent moves at once; the protocol's default is 4 KiB, its bound 48 MiB. */
enum { CHUNK = 1 << 18 };

static int file_open(struct lines *lines, const char *path, const char *mode, json_int_t *handle,
                     struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    int r =
        agent_call(lines, "guest-file-open", json_pack("{s:s, s:s}", "path", path, "mode", mode),
                   AGENT_CALL_MS, &result, error);

    if (!r && !json_is_integer(result))
        r = error_set(error, EPROTO, "the guest's agent opened \"%s\" and did not say as what",
                      path);
    *handle = json_integer_value(result);
    return r;
}

/* `r` is what happened so far: the guest's file is closed in any case. */
static int file_close(struct lines *lines, json_int_t handle, int r, struct error *error)
{
    int closed = agent_call(lines, "guest-file-close", json_pack("{s:I}", "handle", handle),
                            AGENT_CALL_MS, NULL, r ? NULL : error);

    return r ? r : closed;
}

/* All of it: the agent may write less than it was given. */
static int file_write_all(struct lines *lines, json_int_t handle, const unsigned char *data,
                          size_t size, struct error *error)
{
    int r = 0;

    while (size && !r) {
        CLEANUP(json_decrefp) json_t *result = NULL;
        char *text = base64_encode(data, size);
        json_int_t n;

        r = text ? agent_call(lines, "guest-file-write",
                              json_pack("{s:I, s:s}", "handle", handle, "buf-b64", text),
                              AGENT_CALL_MS, &result, error)
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

static int put_file(void *ctx, struct lines *lines, struct reader_answer *answer,
                    struct error *error)
{
    const struct copy *copy = ctx;
    const char *path = copy->path;
    int fd = copy->fd;
    unsigned char *data = malloc(CHUNK);
    json_int_t handle = 0;
    ssize_t n = 1;
    int r = data ? file_open(lines, path, "w", &handle, error)
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
            r = file_write_all(lines, handle, data, (size_t)n, error);
    }
    free(data);
    return file_close(lines, handle, r, error);
}

/* *more: until the guest's file ends. */
static int file_read_some(struct lines *lines, json_int_t handle, int fd, bool *more,
                          struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    unsigned char *data = NULL;
    size_t size = 0;
    int r = agent_call(lines, "guest-file-read",
                       json_pack("{s:I, s:i}", "handle", handle, "count", (int)CHUNK),
                       AGENT_CALL_MS, &result, error);

    if (!r && (agent_take_bytes(result, "buf-b64", &data, &size) || !json_is_object(result)))
        r = error_set(error, EPROTO, "the guest's agent sent what is no piece of a file");
    if (!r && descriptor_write_all(fd, data, size))
        r = error_set(error, errno, "cannot write: %s", error_words(errno));
    free(data);
    *more = size && !json_is_true(json_object_get(result, "eof"));
    return r;
}

static int get_file(void *ctx, struct lines *lines, struct reader_answer *answer,
                    struct error *error)
{
    const struct copy *copy = ctx;
    const char *path = copy->path;
    int fd = copy->fd;
    json_int_t handle = 0;
    bool more = true;
    int r = file_open(lines, path, "r", &handle, error);

    if (r)
        return r;
    /* A pipe and its like have nothing that could be left over. */
    if (ftruncate(fd, 0) < 0 && errno != EINVAL)
        r = error_set(error, errno, "cannot write: %s", error_words(errno));
    while (!r && more)
        r = file_read_some(lines, handle, fd, &more, error);
    return file_close(lines, handle, r, error);
}

/* ---- in the command ---- */

static int copy_file(struct agent *agent,
                     int (*body)(void *ctx, struct lines *lines, struct reader_answer *answer,
                                 struct error *error),
                     int fd, const char *path, struct error *error)
{
    struct copy copy = {fd, path};
    const struct agent_question question = {.body = body, .ctx = &copy, .file = fd};

    return agent_ask(agent, &question, NULL, error);
}

int agent_put_file(struct agent *agent, int fd, const char *path, struct error *error)
{
    return copy_file(agent, put_file, fd, path, error);
}

int agent_get_file(struct agent *agent, const char *path, int fd, struct error *error)
{
    return copy_file(agent, get_file, fd, path, error);
}
