/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream's back end: the other end of a serial line or console.
 *
 * Everything runs on the loop's thread, except stream_write(), which any thread may call and which
 * never blocks: what the host end cannot take at once is kept up to a bound, and what is beyond it
 * is refused (the device then shows its guest a busy transmitter; a guest that floods its console
 * must not grow the host's memory). stream_write() and stream_ready() never call the port back from
 * inside, so a device may call them with its own lock held.
 */
#ifndef HOSPES_STREAM_STREAM_H
#define HOSPES_STREAM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/rotate.h"

/* The guest's side, filled by the device. Loop's thread. */
struct stream_port {
    /* Bytes for the guest; returns how many it took. After fewer than offered, the stream waits
     * for stream_ready(). */
    size_t (*receive)(void *ctx, const uint8_t *data, size_t length);
    /* Columns and rows of the terminal changed; may be NULL. */
    void (*resize)(void *ctx, uint16_t columns, uint16_t rows);
    /* There is room again after stream_write() took less than it was given; may be NULL. */
    void (*writable)(void *ctx);
    /* Somebody has come to the host end that was vacant, or the last one has left it, and what they
     * sent has been taken before; may be NULL. */
    void (*opened)(void *ctx, bool open);
    void *ctx;
};

struct stream;

struct stream_type {
    const char *name;
    size_t (*write)(struct stream *stream, const uint8_t *data, size_t length);
    void (*ready)(struct stream *stream);
    void (*free)(struct stream *stream);
};

/* The common head of every stream. */
struct stream {
    const struct stream_type *type;
    struct stream_port port;
    struct loop *loop;
    bool vacant; /* nobody is at the host end; set only by streams that can tell. Loop's thread */
};

static inline void stream_attach(struct stream *stream, const struct stream_port *port)
{
    stream->port = *port;
}

/* Returns how many bytes were taken (written, or kept up to the bound); after fewer than `length`,
 * port.writable() says when to go on. Any thread. */
static inline size_t stream_write(struct stream *stream, const uint8_t *data, size_t length)
{
    return stream ? stream->type->write(stream, data, length) : length;
}

/* The port can receive again. Any thread. */
static inline void stream_ready(struct stream *stream)
{
    if (stream)
        stream->type->ready(stream);
}

static inline void stream_free(struct stream *stream)
{
    if (stream)
        stream->type->free(stream);
}

/* What the user typed after the escape character (Ctrl-A). */
struct terminal_commands {
    void (*quit)(void *ctx);
    void (*help)(void *ctx);
    void (*proceed)(void *ctx); /* go on after a pause; may be NULL */
    void (*engine)(void *ctx);  /* run the guest in another way; may be NULL */
    void *ctx;
};

/* A pair of fds (usually 0 and 1): a terminal is set to raw mode and restored by stream_free(),
 * and by stream_terminal_restore() from a signal handler or an abort; a pipe or a file is used as
 * it is. `escape` (0x01, Ctrl-A) takes commands: x quits, h helps, c proceeds, e takes the
 * other engine, Ctrl-A a sends a Ctrl-A; 0 for none. The commands run on the loop's thread and must
 * not free the stream. End of file on the input is not an end of the machine. `in` and `out` stay
 * the caller's and are not changed but for the raw mode; the process ignores SIGPIPE. */
int stream_terminal_new(struct stream **stream, struct loop *loop, int in, int out,
                        unsigned char escape, const struct terminal_commands *commands,
                        struct error *error) MUST_CHECK;
/* Looks at the terminal's size and tells the port: once the port is attached, and for each
 * SIGWINCH. Loop's thread. */
void stream_terminal_resized(struct stream *stream);
/* Raw mode again, for each SIGCONT: while the process was stopped the terminal was the shell's. In
 * the background this stops the process once more, as it does to any that wants its terminal.
 * Loop's thread. */
void stream_terminal_continued(struct stream *stream);
/* Async-signal-safe. */
void stream_terminal_restore(const struct stream *stream);

struct stream_socket_options {
    /* true, for consoles: any number of clients up to STREAM_SOCKET_CLIENTS (others are closed at
     * once), who all get what the guest writes, while the guest gets what any of them sends. One
     * that does not read is closed once the bound is reached, and holds nobody up.
     * false, for protocols: one client at a time, others wait in the backlog. One that does not
     * read makes stream_write() take less. */
    bool shared;
    size_t history; /* so many of the last bytes written (at most 1 MiB) are a new client's first */
    struct rotate *log; /* gets all that is written; NULL: none; taken over, on failure too */
};

#define STREAM_SOCKET_CLIENTS 16u

/*
 * The clients of a listening, non-blocking unix stream socket, which is taken over, on failure too;
 * its file stays the caller's.
 *
 * What is written while there is no client goes to history and log only, and counts as taken. With
 * a log stream_write() takes less, too, while the loop does not come round to writing it. While the
 * guest takes nothing, what clients send stays in their sockets. A client that has gone is a client
 * until what it sent was taken, or the guest has taken nothing for two seconds (what is left is
 * lost then); one that has only ended its sending is there until it goes. stream.vacant is kept,
 * and stream_free() writes what the clients take at once, and the log.
 */
int stream_socket_new(struct stream **stream, struct loop *loop, int listener,
                      const struct stream_socket_options *options, struct error *error) MUST_CHECK;

/* Keeps everything written, for tests and logs, up to `bound` bytes. */
int stream_buffer_new(struct stream **stream, struct loop *loop, size_t bound) MUST_CHECK;
/* Feeds the guest from a buffer stream; returns what it took. Loop's thread. */
size_t stream_buffer_feed(struct stream *stream, const uint8_t *data, size_t length);
/* Copies out and forgets at most `size` written bytes; returns how many. Any thread. */
size_t stream_buffer_take(struct stream *stream, uint8_t *data, size_t size);

#endif
