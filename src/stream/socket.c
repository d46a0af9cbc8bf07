/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of a listening unix socket as a stream's host end.
 *
 * Output waits in one ring a client, which any thread fills and the loop's thread empties; what was
 * written last is kept in a ring for those who come, and what the log did not get yet in another.
 * Input is one piece at a time: while the guest has not taken all of it no client is read, so what
 * waits is bounded by the sockets. A client's life, all on the loop's thread:
 *
 *   accepted --> open --(its end of file)--> ended --(the other side is closed)--+
 *                 |                                                              v
 *                 +--(closed)--> hung: read on to its end of file; watched --> closed
 *                 |              only while the guest takes what it sent         ^
 *                 +--(overrun: does not read)------------------------------------+
 *
 * epoll reports a hang-up even of what is muted, for ever, so a client that hung up and is not to
 * be read is not watched at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "stream/stream.h"

#define OUTPUT_BOUND  65536u /* bytes kept for a client that is slow, beside the history */
#define LOG_BOUND     65536u /* bytes that wait for the loop to write them to the log */
#define LOG_TURN      65536u /* at most so many in one turn of the loop */
#define INPUT_BOUND   4096u
#define LINGER_NS     2000000000ull /* for what a client that is gone has sent */
#define ACCEPT_NS     1000000000ull /* until the next try, when there were no descriptors */
#define HISTORY_BOUND (1u << 20)
#define NO_SOURCE     STREAM_SOCKET_CLIENTS

struct ring {
    uint8_t *data;
    size_t size, head, used;
};

struct client {
    struct socket_stream *owner;
    /* Loop's thread. */
    bool watched;
    uint32_t events; /* while watched */
    bool ended;      /* it sends no more */
    bool hung;       /* it is gone */
    /* Guarded by the stream's mutex; `fd` is changed on the loop's thread only. */
    int fd; /* -1: nobody */
    struct ring output;
    bool deaf;    /* nothing can be sent to it any more */
    bool overrun; /* to be closed, for it did not read */
};

struct socket_stream {
    struct stream stream;
    bool shared;

    /* Loop's thread. */
    int listener;
    bool listening; /* the listener is watched */
    struct timer accept_again;
    struct rotate *log;
    unsigned count; /* of clients */
    struct deferred deliver;
    struct timer linger;
    bool lingering;
    uint8_t pending[INPUT_BOUND]; /* read, not yet taken by the guest */
    size_t pending_count;
    unsigned source; /* the client that sent it; NO_SOURCE: one that is closed */

    struct deferred flush;
    struct mutex mutex;
    struct client clients[STREAM_SOCKET_CLIENTS];
    struct ring history GUARDED_BY(mutex);
    struct ring unlogged GUARDED_BY(mutex);
    bool refused GUARDED_BY(mutex);  /* a write took less than it was given */
    bool flushing GUARDED_BY(mutex); /* `flush` is on its way */
};

static struct socket_stream *socket_of(struct stream *stream)
{
    return container_of(stream, struct socket_stream, stream);
}

/* ---- rings ---- */

static int ring_make(struct ring *ring, size_t size)
{
    *ring = (struct ring){.size = size, .data = size ? malloc(size) : NULL};
    return size && !ring->data ? -ENOMEM : 0;
}

static void ring_release(struct ring *ring)
{
    free(ring->data);
    *ring = (struct ring){0};
}

static size_t ring_room(const struct ring *ring)
{
    return ring->size - ring->used;
}

/* The caller has seen that there is a ring, and room in it. */
static void ring_put(struct ring *ring, const uint8_t *data, size_t length)
{
    size_t tail = (ring->head + ring->used) % ring->size;
    size_t first = length < ring->size - tail ? length : ring->size - tail;

    memcpy(ring->data + tail, data, first);
    memcpy(ring->data, data + first, length - first);
    ring->used += length;
}

/* The first bytes, as many as lie in one piece. */
static size_t ring_piece(const struct ring *ring, const uint8_t **data)
{
    size_t length = ring->size - ring->head;

    *data = ring->data + ring->head;
    return length < ring->used ? length : ring->used;
}

static void ring_drop(struct ring *ring, size_t length)
{
    ring->head = (ring->head + length) % ring->size;
    ring->used -= length;
}

/* In place of the oldest bytes. */
static void ring_roll(struct ring *ring, const uint8_t *data, size_t length)
{
    if (length > ring->size) {
        data += length - ring->size;
        length = ring->size;
    }
    if (length > ring_room(ring))
        ring_drop(ring, length - ring_room(ring));
    ring_put(ring, data, length);
}

/* ---- output ---- */

static bool client_takes(const struct client *client)
{
    return client->fd >= 0 && !client->deaf && !client->overrun;
}

/* Sends what the socket has room for. Any thread: it does not wait. */
static void client_send(struct socket_stream *socket, struct client *client) REQUIRES(socket->mutex)
{
    while (client->output.used && client_takes(client)) {
        const uint8_t *data;
        size_t length = ring_piece(&client->output, &data);
        ssize_t n = send(client->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            ring_drop(&client->output, (size_t)n);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            /* It reads no more; what it has sent before is still to be read. */
            client->deaf = true;
            ring_drop(&client->output, client->output.used);
        }
    }
}

/* How many bytes all those who may hold the guest back have room for. */
static size_t socket_room(const struct socket_stream *socket, size_t length) REQUIRES(socket->mutex)
{
    const struct client *only = &socket->clients[0];

    if (socket->unlogged.size && ring_room(&socket->unlogged) < length)
        length = ring_room(&socket->unlogged);
    if (!socket->shared && client_takes(only) && ring_room(&only->output) < length)
        length = ring_room(&only->output);
    return length;
}

static void client_put(struct socket_stream *socket, struct client *client, const uint8_t *data,
                       size_t length) REQUIRES(socket->mutex)
{
    if (!client_takes(client))
        return;
    /* A burst while the loop is busy elsewhere is not the client's fault. */
    if (ring_room(&client->output) < length)
        client_send(socket, client);
    if (!client_takes(client))
        return;
    if (ring_room(&client->output) < length)
        client->overrun = true;
    else
        ring_put(&client->output, data, length);
}

static size_t socket_write(struct stream *stream, const uint8_t *data, size_t length)
{
    struct socket_stream *socket = socket_of(stream);
    size_t taken;
    bool wake;

    mutex_lock(&socket->mutex);
    taken = socket_room(socket, length);
    if (taken < length)
        socket->refused = true;
    if (socket->history.size)
        ring_roll(&socket->history, data, taken);
    if (socket->unlogged.size)
        ring_put(&socket->unlogged, data, taken);
    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++)
        /* In pieces, for a ring that is smaller than what is written. */
        for (size_t done = 0, n; done < taken; done += n) {
            n = taken - done < OUTPUT_BOUND ? taken - done : OUTPUT_BOUND;
            client_put(socket, &socket->clients[i], data + done, n);
        }
    wake = !socket->flushing && length;
    socket->flushing |= wake;
    mutex_unlock(&socket->mutex);
    if (wake)
        loop_post(stream->loop, &socket->flush);
    return taken;
}

/* Writes to the log for one turn; returns whether more is left. */
static bool log_flush(struct socket_stream *socket)
{
    for (size_t done = 0; done < LOG_TURN;) {
        const uint8_t *data;
        size_t length;

        mutex_lock(&socket->mutex);
        length = ring_piece(&socket->unlogged, &data);
        mutex_unlock(&socket->mutex);
        if (!length)
            return false;
        /* Unlocked: writers only add behind these bytes. */
        rotate_write(socket->log, data, length);
        done += length;
        mutex_lock(&socket->mutex);
        ring_drop(&socket->unlogged, length);
        mutex_unlock(&socket->mutex);
    }
    return true;
}

static void socket_update(struct socket_stream *socket);

static void socket_flush(void *ctx)
{
    struct socket_stream *socket = ctx;
    bool more, tell;

    mutex_lock(&socket->mutex);
    socket->flushing = false;
    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++)
        client_send(socket, &socket->clients[i]);
    mutex_unlock(&socket->mutex);
    more = socket->log && log_flush(socket);
    socket_update(socket);
    mutex_lock(&socket->mutex);
    tell = socket->refused && socket_room(socket, OUTPUT_BOUND / 2) == OUTPUT_BOUND / 2;
    if (tell)
        socket->refused = false;
    more = more && !socket->flushing;
    socket->flushing |= more;
    mutex_unlock(&socket->mutex);
    if (more)
        loop_post(socket->stream.loop, &socket->flush);
    if (tell && socket->stream.port.writable)
        socket->stream.port.writable(socket->stream.port.ctx);
}

/* ---- coming and going ---- */

static void listener_ready(void *ctx, int fd, uint32_t events);

/* Others wait in the backlog while there is the one client, or no descriptor for them. */
static void listener_watch(struct socket_stream *socket, bool watch)
{
    if (watch == socket->listening)
        return;
    if (!watch)
        loop_remove_fd(socket->stream.loop, socket->listener);
    else if (loop_add_fd(socket->stream.loop, socket->listener, EPOLLIN, listener_ready, socket)) {
        timer_set(&socket->accept_again, monotonic_ns() + ACCEPT_NS);
        return;
    }
    socket->listening = watch;
}

static void socket_accept_again(void *ctx)
{
    struct socket_stream *socket = ctx;

    listener_watch(socket, socket->shared || !socket->count);
}

static void client_close(struct client *client)
{
    struct socket_stream *socket = client->owner;

    if (client->watched)
        loop_remove_fd(socket->stream.loop, client->fd);
    client->watched = false;
    mutex_lock(&socket->mutex);
    close(client->fd);
    client->fd = -1;
    ring_release(&client->output);
    /* Who was held back goes on. */
    if (socket->refused && !socket->flushing) {
        socket->flushing = true;
        loop_post(socket->stream.loop, &socket->flush);
    }
    mutex_unlock(&socket->mutex);
    if (socket->source == (unsigned)(client - socket->clients)) {
        socket->pending_count = 0;
        socket->source = NO_SOURCE;
    }
    socket->count--;
    if (!socket->shared)
        listener_watch(socket, true);
    if (socket->count)
        return;
    socket->stream.vacant = true;
    if (socket->stream.port.opened)
        socket->stream.port.opened(socket->stream.port.ctx, false);
}

static void client_ready(void *ctx, int fd, uint32_t events);

static int client_watch(struct client *client, bool watch, uint32_t events)
{
    struct loop *loop = client->owner->stream.loop;
    int r = 0;

    if (watch && !client->watched) {
        r = loop_add_fd(loop, client->fd, events, client_ready, client);
        client->watched = !r;
    } else if (watch && client->events != events) {
        r = loop_set_fd(loop, client->fd, events);
    } else if (!watch && client->watched) {
        loop_remove_fd(loop, client->fd);
        client->watched = false;
    }
    client->events = events;
    return r;
}

/* Takes over the descriptor. */
static void client_open(struct socket_stream *socket, int fd)
{
    struct client *client = socket->clients;
    struct ring output = {0};

    while (client < socket->clients + STREAM_SOCKET_CLIENTS && client->fd >= 0)
        client++;
    if (client == socket->clients + STREAM_SOCKET_CLIENTS ||
        ring_make(&output, OUTPUT_BOUND + socket->history.size)) {
        close(fd);
        return;
    }
    client->watched = client->ended = client->hung = false;
    mutex_lock(&socket->mutex);
    client->deaf = client->overrun = false;
    client->output = output;
    client->fd = fd;
    if (socket->history.used) {
        const uint8_t *data;
        size_t first = ring_piece(&socket->history, &data);

        ring_put(&client->output, data, first);
        ring_put(&client->output, socket->history.data, socket->history.used - first);
        client_send(socket, client);
    }
    mutex_unlock(&socket->mutex);
    if (!socket->shared)
        listener_watch(socket, false);
    if (socket->count++)
        return;
    socket->stream.vacant = false;
    if (socket->stream.port.opened)
        socket->stream.port.opened(socket->stream.port.ctx, true);
}

static void listener_ready(void *ctx, int listener, uint32_t events)
{
    struct socket_stream *socket = ctx;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        client_open(socket, fd);
        socket_update(socket);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        listener_watch(socket, false);
        timer_set(&socket->accept_again, monotonic_ns() + ACCEPT_NS);
    }
}

/* Brings watches in line with what each client waits for, and closes those who are done. */
static void socket_update(struct socket_stream *socket)
{
    bool waits = socket->pending_count, linger = false;

    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++) {
        struct client *client = &socket->clients[i];
        uint32_t events = !client->ended && !waits ? EPOLLIN : 0;
        bool done;

        if (client->fd < 0)
            continue;
        mutex_lock(&socket->mutex);
        done = client->overrun || (client->hung && client->ended);
        if (client->output.used && !client->hung)
            events |= EPOLLOUT;
        mutex_unlock(&socket->mutex);
        linger |= client->hung && !done;
        if (done || client_watch(client, events || !client->hung, events))
            client_close(client);
    }
    if (linger && !socket->lingering)
        timer_set(&socket->linger, monotonic_ns() + LINGER_NS);
    else if (!linger && socket->lingering)
        timer_cancel(&socket->linger);
    socket->lingering = linger;
}

/* The guest has taken nothing for a while of what was sent by who is gone. */
static void socket_linger(void *ctx)
{
    struct socket_stream *socket = ctx;

    socket->lingering = false;
    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++)
        if (socket->clients[i].fd >= 0 && socket->clients[i].hung)
            client_close(&socket->clients[i]);
    socket_update(socket);
}

/* ---- input ---- */

static void input_offer(struct socket_stream *socket)
{
    size_t taken = 0;

    if (socket->pending_count && socket->stream.port.receive)
        taken = socket->stream.port.receive(socket->stream.port.ctx, socket->pending,
                                            socket->pending_count);
    if (!taken)
        return;
    socket->pending_count -= taken;
    memmove(socket->pending, socket->pending + taken, socket->pending_count);
    if (socket->lingering)
        timer_set(&socket->linger, monotonic_ns() + LINGER_NS);
}

static void input_deliver(void *ctx)
{
    input_offer(ctx);
    socket_update(ctx);
}

static void client_receive(struct client *client)
{
    struct socket_stream *socket = client->owner;
    ssize_t n = recv(client->fd, socket->pending, sizeof(socket->pending), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client->ended = true;
        return;
    }
    socket->pending_count = (size_t)n;
    socket->source = (unsigned)(client - socket->clients);
    input_offer(socket);
}

static void client_ready(void *ctx, int fd, uint32_t events)
{
    struct client *client = ctx;
    struct socket_stream *socket = client->owner;

    if (events & EPOLLOUT) {
        socket_flush(socket);
        /* Which may have closed it. */
        if (!client->watched || client->fd != fd)
            return;
    }
    client->hung |= (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (!client->ended && !socket->pending_count)
        client_receive(client);
    socket_update(socket);
}

static void socket_ready(struct stream *stream)
{
    loop_post(stream->loop, &socket_of(stream)->deliver);
}

/* ---- the stream ---- */

static void socket_free(struct stream *stream)
{
    struct socket_stream *socket = socket_of(stream);

    stream->port = (struct stream_port){0};
    timer_cancel(&socket->linger);
    timer_cancel(&socket->accept_again);
    if (socket->listening)
        loop_remove_fd(stream->loop, socket->listener);
    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++) {
        struct client *client = &socket->clients[i];

        if (client->fd < 0)
            continue;
        if (client->watched)
            loop_remove_fd(stream->loop, client->fd);
        mutex_lock(&socket->mutex);
        client_send(socket, client);
        close(client->fd);
        ring_release(&client->output);
        mutex_unlock(&socket->mutex);
    }
    while (socket->log && log_flush(socket))
        ;
    loop_unpost(stream->loop, &socket->deliver);
    loop_unpost(stream->loop, &socket->flush);
    if (socket->listener >= 0)
        close(socket->listener);
    rotate_close(socket->log);
    mutex_lock(&socket->mutex);
    ring_release(&socket->history);
    ring_release(&socket->unlogged);
    mutex_unlock(&socket->mutex);
    mutex_release(&socket->mutex);
    free(socket);
}

static const struct stream_type socket_type = {
    .name = "socket",
    .write = socket_write,
    .ready = socket_ready,
    .free = socket_free,
};

static int socket_start(struct socket_stream *socket, const struct stream_socket_options *options)
{
    int r;

    socket->shared = options->shared;
    mutex_lock(&socket->mutex);
    r = ring_make(&socket->history,
                  options->history < HISTORY_BOUND ? options->history : HISTORY_BOUND);
    if (!r)
        r = ring_make(&socket->unlogged, socket->log ? LOG_BOUND : 0);
    mutex_unlock(&socket->mutex);
    if (!r)
        r = loop_add_fd(socket->stream.loop, socket->listener, EPOLLIN, listener_ready, socket);
    socket->listening = !r;
    return r;
}

int stream_socket_new(struct stream **out, struct loop *loop, int listener,
                      const struct stream_socket_options *options, struct error *error)
{
    struct socket_stream *socket = calloc(1, sizeof(*socket));
    int r;

    if (!socket) {
        close(listener);
        rotate_close(options->log);
        return error_set(error, ENOMEM, "cannot serve a socket: out of memory");
    }
    socket->stream = (struct stream){.type = &socket_type, .loop = loop, .vacant = true};
    socket->listener = listener;
    socket->log = options->log;
    socket->source = NO_SOURCE;
    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++) {
        socket->clients[i].owner = socket;
        socket->clients[i].fd = -1;
    }
    mutex_init(&socket->mutex);
    deferred_init(&socket->deliver, input_deliver, socket);
    deferred_init(&socket->flush, socket_flush, socket);
    timer_init(&socket->linger, loop, socket_linger, socket);
    timer_init(&socket->accept_again, loop, socket_accept_again, socket);
    r = socket_start(socket, options);
    if (r) {
        socket_free(&socket->stream);
        return error_set(error, -r, "cannot serve a socket: %s", error_words(-r));
    }
    *out = &socket->stream;
    return 0;
}
