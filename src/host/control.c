/* SPDX-License-Identifier: Apache-2.0 */
#include "host/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/unix_socket.h"

/* Without descriptors the listener would be ready for ever. */
/* The kernel's overflowuid; where a host has set another one, root is kept out. */
#define USER_HIDDEN 65534

struct peer {
    struct control *control;
    int fd;
    bool subscribed;
    bool closing; /* as soon as what waits is written */
    bool dead;    /* nothing goes either way any more; freed by on_peer() only */
    size_t read;  /* bytes of a line that is not complete */
    char line[CONTROL_LINE_MAX];
    char *waiting; /* not written yet */
    size_t waiting_size;
    struct peer *next;
};

struct control {
    struct loop *loop;
    int listener;
    const struct control_method *methods;
    void *ctx;
    struct peer *peers;
    unsigned count;
    bool users_hidden;
    struct timer accept_again;
};

/* From on_peer() and control_free() only: else somebody may be serving it. */
static void peer_close(struct peer *peer)
{
    struct control *control = peer->control;
    struct peer **at = &control->peers;

    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    control->count--;
    loop_remove_fd(control->loop, peer->fd);
    close(peer->fd);
    free(peer->waiting);
    free(peer);
    loop_set_fd(control->loop, control->listener, EPOLLIN);
}

/* ---- to the peer ---- */

/* The hang-up calls on_peer(), which frees it: here somebody may be serving it. */
static void peer_kill(struct peer *peer)
{
    peer->dead = true;
    peer->waiting_size = 0;
    shutdown(peer->fd, SHUT_RDWR);
    loop_set_fd(peer->control->loop, peer->fd, EPOLLIN);
}

static void peer_flush(struct peer *peer)
{
    while (peer->waiting_size) {
        ssize_t n = send(peer->fd, peer->waiting, peer->waiting_size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            peer_kill(peer);
            return;
        }
        memmove(peer->waiting, peer->waiting + n, peer->waiting_size - (size_t)n);
        peer->waiting_size -= (size_t)n;
    }
    if (peer->closing && !peer->waiting_size) {
        peer_kill(peer);
        return;
    }
    loop_set_fd(peer->control->loop, peer->fd,
                (peer->closing ? 0 : EPOLLIN) | (peer->waiting_size ? EPOLLOUT : 0));
}

/* Takes the value over. */
static void peer_send(struct peer *peer, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0;
    char *grown = NULL;

    json_decref(json);
    if (peer->dead) {
        free(text);
        return;
    }
    if (text && peer->waiting_size + length + 1 <= CONTROL_BACKLOG_MAX)
        grown = realloc(peer->waiting, peer->waiting_size + length + 1);
    if (!grown) {
        free(text);
        peer_kill(peer);
        return;
    }
    peer->waiting = grown;
    memcpy(grown + peer->waiting_size, text, length);
    grown[peer->waiting_size + length] = '\n';
    peer->waiting_size += length + 1;
    free(text);
    peer_flush(peer);
}

/* JSON is UTF-8, and a path of the host's, of which a message may tell, any bytes. */
static json_t *words_to_json(const char *message)
{
    json_t *json = json_string(message);
    char *plain = json ? NULL : strdup(message);

    if (!plain)
        return json;
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c > 0x7e)
            *c = '?';
    json = json_string(plain);
    free(plain);
    return json;
}

static json_t *failure(int code, const char *message, int number, const json_t *id)
{
    json_t *json = json_pack("{s:s, s:{s:i, s:o}, s:O?}", "jsonrpc", "2.0", "error", "code", code,
                             "message", words_to_json(message), "id", id);

    if (json && number)
        json_object_set_new(json_object_get(json, "error"), "data",
                            json_pack("{s:i}", "errno", number));
    return json;
}

/* ---- requests ---- */

static const struct control_method *method_find(const struct control *control, const char *name)
{
    for (const struct control_method *m = control->methods; m->name; m++)
        if (!strcmp(m->name, name))
            return m;
    return NULL;
}

static json_t *call(struct peer *peer, const char *name, const json_t *params, const json_t *id)
{
    const struct control_method *method = method_find(peer->control, name);
    CLEANUP(error_release) struct error error = ERROR_INIT;
    CLEANUP(json_decrefp) json_t *nothing = json_object();
    json_t *result = NULL;
    int r;

    if (!strcmp(name, "events.subscribe")) {
        if (json_object_size(params))
            return failure(CONTROL_INVALID_PARAMS, "this method has no parameters", 0, id);
        peer->subscribed = true;
        return json_pack("{s:s, s:n, s:O?}", "jsonrpc", "2.0", "result", "id", id);
    }
    if (!method)
        return failure(CONTROL_METHOD_NOT_FOUND, "no such method", 0, id);
    r = method->call(peer->control->ctx, params ? params : nothing, &result, &error);
    if (r)
        return failure(error.usage ? CONTROL_INVALID_PARAMS : CONTROL_FAILED,
                       error.message ? error.message : error_words(-r), -r, id);
    return json_pack("{s:s, s:o?, s:O?}", "jsonrpc", "2.0", "result", result, "id", id);
}

/* JSON-RPC 2.0, section 4: what has no id is a notification and gets no answer. */
static json_t *answer(struct peer *peer, const json_t *request)
{
    const json_t *id = json_object_get(request, "id");
    const json_t *params = json_object_get(request, "params");
    const char *version = json_string_value(json_object_get(request, "jsonrpc"));
    const char *method = json_string_value(json_object_get(request, "method"));
    json_t *json;

    if (!version || strcmp(version, "2.0") != 0 || !method ||
        (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id)))
        return failure(CONTROL_INVALID_REQUEST, "not a request of JSON-RPC 2.0", 0, NULL);
    if (params && !json_is_object(params))
        json = failure(CONTROL_INVALID_PARAMS, "parameters are by name here", 0, id);
    else
        json = call(peer, method, params, id);
    if (id)
        return json;
    json_decref(json);
    return NULL;
}

static void peer_line(struct peer *peer, const char *line, size_t length)
{
    CLEANUP(json_decrefp)
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *json =
        request ? answer(peer, request) : failure(CONTROL_PARSE_ERROR, "not JSON", 0, NULL);

    if (json)
        peer_send(peer, json);
}

static void peer_lines(struct peer *peer)
{
    char *begin = peer->line, *end;

    while (!peer->closing && !peer->dead &&
           (end = memchr(begin, '\n', peer->read - (size_t)(begin - peer->line)))) {
        peer_line(peer, begin, (size_t)(end - begin));
        begin = end + 1;
    }
    peer->read -= (size_t)(begin - peer->line);
    memmove(peer->line, begin, peer->read);
    if (peer->read < sizeof(peer->line))
        return;
    peer->read = 0;
    peer->closing = true;
    peer_send(peer, failure(CONTROL_INVALID_REQUEST, "the line is too long", 0, NULL));
}

static void on_peer(void *ctx, int fd, uint32_t events)
{
    struct peer *peer = ctx;
    ssize_t n = 0;

    if (!peer->dead && events & EPOLLOUT)
        peer_flush(peer);
    if (!peer->dead && !peer->closing && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        n = recv(fd, peer->line + peer->read, sizeof(peer->line) - peer->read, MSG_DONTWAIT);
        if (n > 0) {
            peer->read += (size_t)n;
            peer_lines(peer);
        } else if (n == 0 && peer->waiting_size) {
            /* It has said all, and may still listen. */
            peer->closing = true;
            loop_set_fd(peer->control->loop, fd, EPOLLOUT);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            peer->dead = true;
        }
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        peer->dead = true;
    }
    if (peer->dead)
        peer_close(peer);
}

/* Hidden users are all of one number, root among them. That nobody else is with root is by the
 * modes of the socket and its directory then (registry.h), as they keep others out anyway. */
static bool peer_may(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
           (peer.uid == geteuid() || peer.uid == 0 ||
            (control->users_hidden && peer.uid == USER_HIDDEN));
}

static void on_accept_again(void *ctx)
{
    struct control *control = ctx;

    if (control->count < CONTROL_PEERS_MAX)
        loop_set_fd(control->loop, control->listener, EPOLLIN);
}

static void on_listener(void *ctx, int fd, uint32_t events)
{
    struct control *control = ctx;
    struct peer *peer;
    int one = loop_accept(control->loop, fd, &control->accept_again);

    if (one < 0)
        return;
    peer = peer_may(control, one) ? calloc(1, sizeof(*peer)) : NULL;
    if (!peer || loop_add_fd(control->loop, one, EPOLLIN, on_peer, peer)) {
        free(peer);
        close(one);
        return;
    }
    peer->control = control;
    peer->fd = one;
    peer->next = control->peers;
    control->peers = peer;
    /* The others wait in the backlog until one of these is gone. */
    if (++control->count == CONTROL_PEERS_MAX)
        loop_set_fd(control->loop, fd, 0);
}

int control_new(struct control **out, struct loop *loop, int listener,
                const struct control_method *methods, void *ctx)
{
    struct control *control = calloc(1, sizeof(*control));
    int r = control ? loop_add_fd(loop, listener, EPOLLIN, on_listener, control) : -ENOMEM;

    if (r) {
        free(control);
        close(listener);
        return r;
    }
    *control = (struct control){.loop = loop, .listener = listener, .methods = methods, .ctx = ctx};
    timer_init(&control->accept_again, loop, on_accept_again, control);
    *out = control;
    return 0;
}

void control_hide_users(struct control *control)
{
    control->users_hidden = true;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    while (control->peers)
        peer_close(control->peers);
    timer_cancel(&control->accept_again);
    loop_remove_fd(control->loop, control->listener);
    close(control->listener);
    free(control);
}

void control_notify(struct control *control, const char *method, const json_t *params)
{
    for (struct peer *peer = control ? control->peers : NULL; peer; peer = peer->next)
        if (peer->subscribed && !peer->closing)
            peer_send(peer, json_pack("{s:s, s:s, s:O?}", "jsonrpc", "2.0", "method", method,
                                      "params", params));
}

int control_listen(const char *path, int *fd, struct error *error)
{
    int one = unix_socket_listen(path, CONTROL_PEERS_MAX);

    if (one == -EADDRINUSE)
        return error_set(error, EADDRINUSE, "somebody listens at \"%s\" already", path);
    if (one == -ENAMETOOLONG)
        return error_set(error, ENAMETOOLONG,
                         "the path of the socket \"%s\" is longer than %d bytes; set "
                         "HOSPES_RUN_DIR to a shorter directory",
                         path, UNIX_SOCKET_PATH_MAX);
    if (one < 0)
        return error_set(error, -one, "cannot listen at \"%s\": %s", path, error_words(-one));
    *fd = one;
    return 0;
}
