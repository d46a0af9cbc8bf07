/* SPDX-License-Identifier: Apache-2.0 */
/* The server of control sockets: whatever a peer sends, in whatever pieces, each answer is a line
 * of JSON-RPC, and another peer is served. Byte 0: how large the pieces are. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "host/control.h"
#include "input.h"

static int echo(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    *result = json_deep_copy(params);
    return 0;
}

static int refuse(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    return error_set(error, EPERM, "no");
}

static int notify(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    control_notify(*(struct control **)ctx, "event", params);
    return 0;
}

static const struct control_method methods[] = {{"echo", echo},
                                                {"refuse", refuse},
                                                {"notify", notify},
                                                {0}};

/* A listener in the abstract namespace, where no file is left (unix(7)), and its name. */
static int listen_anywhere(struct sockaddr_un *name, socklen_t *length)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sa_family_t family = AF_UNIX;

    BUG_ON(fd < 0 || bind(fd, (const struct sockaddr *)&family, sizeof(family)) || listen(fd, 4));
    *length = sizeof(*name);
    BUG_ON(getsockname(fd, (struct sockaddr *)name, length));
    return fd;
}

static int peer_open(const struct sockaddr_un *name, socklen_t length)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    BUG_ON(fd < 0 || connect(fd, (const struct sockaddr *)name, length));
    return fd;
}

static void stop(void *ctx)
{
    loop_stop(ctx, 0);
}

/* Long enough for all that is under way: nothing waits for time. */
static void turns(struct loop *loop, unsigned count)
{
    for (struct deferred last; count; count--) {
        deferred_init(&last, stop, loop);
        loop_post(loop, &last);
        loop_run(loop);
    }
}

/* Judges what came so far; the last line may not be whole. */
static void check_answers(int fd)
{
    static char text[1 << 20];
    char *line = text, *end;
    size_t size = 0;
    ssize_t n;

    while (size < sizeof(text) && (n = recv(fd, text + size, sizeof(text) - size, 0)) > 0)
        size += (size_t)n;
    while ((end = memchr(line, '\n', size - (size_t)(line - text)))) {
        json_t *json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        const char *version = json_string_value(json_object_get(json, "jsonrpc"));

        BUG_ON(!version || strcmp(version, "2.0") != 0);
        BUG_ON(!json_object_get(json, "id") && !json_object_get(json, "method"));
        json_decref(json);
        line = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n";
    struct input input = {data, size};
    size_t piece = 1 + input_take(&input, 1) * 16;
    struct control *control;
    struct loop *loop;
    struct sockaddr_un name;
    socklen_t length;
    char answer[128];
    int listener = listen_anywhere(&name, &length), fd, other;

    BUG_ON(loop_new(&loop));
    BUG_ON(control_new(&control, loop, listener, methods, &control));
    fd = peer_open(&name, length);
    turns(loop, 2);
    while (input.left) {
        ssize_t n = send(fd, input.at, input.left < piece ? input.left : piece, MSG_NOSIGNAL);

        if (n <= 0)
            break;
        input.at += n;
        input.left -= (size_t)n;
        turns(loop, 1);
    }
    turns(loop, 3);
    check_answers(fd);

    other = peer_open(&name, length);
    BUG_ON(send(other, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1);
    turns(loop, 4);
    BUG_ON(recv(other, answer, sizeof(answer), 0) <= 0);
    close(other);
    close(fd);
    turns(loop, 2);
    control_free(control);
    loop_free(loop);
    return 0;
}
