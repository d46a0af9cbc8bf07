/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal, pipe, file or socket as a serial line's other end.
 *
 * How it never blocks and harms nobody: O_NONBLOCK belongs to the open file description, which the
 * shell, and whatever runs after hospes, share with it. It is never set there. Instead
 *  - a terminal, pipe or other device is opened anew through /proc/self/fd, which makes an own
 *    description with O_NONBLOCK (END_PLAIN);
 *  - a regular file does not block and is used as it is, for its offset is shared (END_PLAIN);
 *  - a socket is asked to not wait at each call (END_SOCKET);
 *  - what could not be opened anew (a terminal of another user, after su) and a pseudo-terminal's
 *    master (opening that would make a new one) are used after poll() and written in small pieces
 *    (END_SHARED). A terminal stopped by Ctrl-S between poll() and write() can then make the loop
 *    wait, which is the price of not touching what is not ours.
 *
 * Output waits in a ring that any thread fills and the loop's thread empties, so a vCPU never makes
 * a system call for it beyond the loop's wake. Input is read on while the guest takes none, for the
 * escape commands must work on a guest that hangs: see input_stuck().
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "stream/stream.h"

#define OUTPUT_BOUND  65536 /* bytes kept for a host end that is slow */
#define OUTPUT_CHUNK  4096  /* at most so many in one write */
#define SHARED_CHUNK  256   /* the same for END_SHARED */
#define CHUNKS_A_TURN 16    /* then the loop's other work gets its share */
#define INPUT_BOUND   4096  /* type-ahead */
#define STUCK_NS      1000000000ull
#define FAREWELL_MS   500 /* how long stream_free() waits for the last output to leave */

enum end_kind { END_PLAIN, END_SOCKET, END_SHARED };

struct end {
    int fd;
    enum end_kind kind;
    bool watched;
};

struct terminal {
    struct stream stream;
    struct end in, out;
    unsigned char escape; /* 0: none */
    struct terminal_commands commands;

    /* For stream_terminal_restore(), which may interrupt anything. */
    _Atomic bool raw;
    struct termios saved, raw_mode;

    /* Input; loop's thread only. */
    struct deferred deliver;
    struct timer stuck;
    uint8_t pending[INPUT_BOUND]; /* read, not yet taken by the guest */
    size_t pending_count;
    bool escaped;    /* the last byte was the escape character */
    bool end;        /* of file */
    bool discarding; /* plain bytes are thrown away, see input_stuck() */
    bool is_tty;

    struct deferred flush;
    struct mutex mutex;
    uint8_t ring[OUTPUT_BOUND] GUARDED_BY(mutex);
    size_t head GUARDED_BY(mutex); /* moved by the loop's thread only */
    size_t used GUARDED_BY(mutex);
    bool refused GUARDED_BY(mutex); /* a write took less than it was given */
    bool lost GUARDED_BY(mutex);    /* the host end is gone: everything is thrown away */
};

static struct terminal *terminal_of(struct stream *stream)
{
    return container_of(stream, struct terminal, stream);
}

/* ---- the two ends ---- */

static bool can_open_anew(int fd, mode_t mode)
{
    unsigned number;

    if (S_ISFIFO(mode))
        return true;
    return S_ISCHR(mode) && ioctl(fd, TIOCGPTN, &number) < 0;
}

/* Makes an fd of our own for `fd`; `access` is O_RDONLY or O_WRONLY. */
static int end_open(struct end *end, int fd, int access)
{
    char path[40];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (can_open_anew(fd, st.st_mode)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        end->kind = END_PLAIN;
        end->fd = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (end->fd >= 0)
            return 0;
    }
    if (S_ISREG(st.st_mode))
        end->kind = END_PLAIN;
    else
        end->kind = S_ISSOCK(st.st_mode) ? END_SOCKET : END_SHARED;
    /* A copy, so that input and output that are one fd can be watched each by itself. */
    end->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return end->fd < 0 ? -errno : 0;
}

static ssize_t end_read(const struct end *end, uint8_t *data, size_t size)
{
    if (end->kind == END_SOCKET)
        return recv(end->fd, data, size, MSG_DONTWAIT);
    return read(end->fd, data, size);
}

/* At least one byte, or -1 with errno EAGAIN when there is no room now. */
static ssize_t end_write(const struct end *end, const uint8_t *data, size_t length)
{
    struct pollfd p = {.fd = end->fd, .events = POLLOUT};

    switch (end->kind) {
    case END_SOCKET:
        return send(end->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    case END_SHARED:
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        return write(end->fd, data, length < SHARED_CHUNK ? length : SHARED_CHUNK);
    default:
        return write(end->fd, data, length);
    }
}

/* The watch is removed and not muted: epoll reports a hang-up also to a muted one, for ever. */
static int end_watch(struct terminal *terminal, struct end *end, uint32_t events,
                     void (*ready)(void *ctx, int fd, uint32_t events))
{
    int r = 0;

    if (end->watched == (events != 0))
        return 0;
    if (events)
        r = loop_add_fd(terminal->stream.loop, end->fd, events, ready, terminal);
    else
        loop_remove_fd(terminal->stream.loop, end->fd);
    if (!r)
        end->watched = events != 0;
    return r;
}

/* ---- output ---- */

static size_t terminal_write(struct stream *stream, const uint8_t *data, size_t length)
{
    struct terminal *terminal = terminal_of(stream);
    size_t tail, first;
    bool wake;

    mutex_lock(&terminal->mutex);
    if (terminal->lost) {
        mutex_unlock(&terminal->mutex);
        return length;
    }
    if (length > OUTPUT_BOUND - terminal->used) {
        length = OUTPUT_BOUND - terminal->used;
        terminal->refused = true;
    }
    tail = (terminal->head + terminal->used) % OUTPUT_BOUND;
    first = length < OUTPUT_BOUND - tail ? length : OUTPUT_BOUND - tail;
    memcpy(terminal->ring + tail, data, first);
    memcpy(terminal->ring, data + first, length - first);
    /* With bytes already waiting, somebody is on the way to write them. */
    wake = !terminal->used && length;
    terminal->used += length;
    mutex_unlock(&terminal->mutex);
    if (wake)
        loop_post(stream->loop, &terminal->flush);
    return length;
}

enum output_result {
    OUTPUT_MORE, /* it may go on at once */
    OUTPUT_DONE, /* nothing is left; who writes next posts `flush` */
    OUTPUT_FULL, /* the host end takes nothing now */
};

/* Writes one piece. */
static enum output_result output_step(struct terminal *terminal)
{
    const uint8_t *data;
    bool more, tell;
    size_t length;
    ssize_t n;

    mutex_lock(&terminal->mutex);
    data = terminal->ring + terminal->head;
    length = OUTPUT_BOUND - terminal->head;
    if (length > terminal->used)
        length = terminal->used;
    mutex_unlock(&terminal->mutex);
    if (!length)
        return OUTPUT_DONE;
    if (length > OUTPUT_CHUNK)
        length = OUTPUT_CHUNK;
    /* Unlocked: writers only add behind these bytes. */
    n = end_write(&terminal->out, data, length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR ? OUTPUT_MORE : OUTPUT_FULL;

    mutex_lock(&terminal->mutex);
    if (n < 0) {
        /* The other end hung up, or a disk is full. The guest's console must not hang for that. */
        terminal->lost = true;
        n = (ssize_t)terminal->used;
    }
    terminal->head = (terminal->head + (size_t)n) % OUTPUT_BOUND;
    terminal->used -= (size_t)n;
    more = terminal->used;
    tell = terminal->refused && terminal->used <= OUTPUT_BOUND / 2;
    if (tell)
        terminal->refused = false;
    mutex_unlock(&terminal->mutex);
    if (tell && terminal->stream.port.writable)
        terminal->stream.port.writable(terminal->stream.port.ctx);
    return more ? OUTPUT_MORE : OUTPUT_DONE;
}

static void output_ready(void *ctx, int fd, uint32_t events);

static void output_flush(void *ctx)
{
    struct terminal *terminal = ctx;
    enum output_result result;
    int turns = 0;

    while ((result = output_step(terminal)) == OUTPUT_MORE)
        if (++turns == CHUNKS_A_TURN) {
            loop_post(terminal->stream.loop, &terminal->flush);
            return;
        }
    /* Not by whether bytes are left: a CPU may have added some meanwhile, and a regular file, which
     * is never full, cannot be watched. */
    if (end_watch(terminal, &terminal->out, result == OUTPUT_FULL ? EPOLLOUT : 0, output_ready)) {
        /* What cannot be watched cannot say EAGAIN either, but if it did, this would spin. */
        mutex_lock(&terminal->mutex);
        terminal->lost = true;
        terminal->used = 0;
        mutex_unlock(&terminal->mutex);
    }
}

static void output_ready(void *ctx, int fd, uint32_t events)
{
    output_flush(ctx);
}

/* The guest's last words, as far as the host end takes them soon. */
static void output_farewell(struct terminal *terminal)
{
    struct pollfd p = {.fd = terminal->out.fd, .events = POLLOUT};
    uint64_t end = monotonic_ns() + FAREWELL_MS * 1000000ull;

    terminal->stream.port = (struct stream_port){0};
    for (;;) {
        bool waits;

        while (output_step(terminal) == OUTPUT_MORE)
            ;
        mutex_lock(&terminal->mutex);
        waits = terminal->used;
        mutex_unlock(&terminal->mutex);
        if (!waits || monotonic_ns() >= end)
            return;
        poll(&p, 1, 10);
    }
}

/* ---- input ---- */

static void input_ready(void *ctx, int fd, uint32_t events);

/* What the user typed after the escape character. True when it is `byte` for the guest after all.
 */
static bool input_command(struct terminal *terminal, uint8_t *byte)
{
    const struct terminal_commands *commands = &terminal->commands;

    switch (*byte) {
    case 'x':
        if (commands->quit)
            commands->quit(commands->ctx);
        return false;
    case 'h':
    case '?':
        if (commands->help)
            commands->help(commands->ctx);
        return false;
    case 'c':
        if (commands->proceed)
            commands->proceed(commands->ctx);
        return false;
    case 'e':
        if (commands->engine)
            commands->engine(commands->ctx);
        return false;
    case 'a':
        *byte = terminal->escape;
        return true;
    default:
        return *byte == terminal->escape;
    }
}

static void input_take(struct terminal *terminal, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = data[i];

        if (terminal->escaped) {
            terminal->escaped = false;
            if (!input_command(terminal, &byte))
                continue;
        } else if (terminal->escape && byte == terminal->escape) {
            terminal->escaped = true;
            continue;
        }
        if (terminal->pending_count < INPUT_BOUND)
            terminal->pending[terminal->pending_count++] = byte;
    }
}

/* Offers the guest what waits, and watches for more while there is room for it. */
static void input_deliver(void *ctx)
{
    struct terminal *terminal = ctx;
    size_t taken = 0;
    bool want;
    int r;

    if (terminal->pending_count && terminal->stream.port.receive)
        taken = terminal->stream.port.receive(terminal->stream.port.ctx, terminal->pending,
                                              terminal->pending_count);
    if (taken) {
        terminal->pending_count -= taken;
        memmove(terminal->pending, terminal->pending + taken, terminal->pending_count);
        terminal->discarding = false;
        timer_cancel(&terminal->stuck);
    }
    want = !terminal->end && (terminal->pending_count < INPUT_BOUND || terminal->discarding);
    r = end_watch(terminal, &terminal->in, want ? EPOLLIN : 0, input_ready);
    if (r == -EPERM)
        input_ready(terminal, terminal->in.fd, EPOLLIN); /* a file: always ready */
    if (terminal->is_tty && terminal->pending_count == INPUT_BOUND && !terminal->discarding &&
        !terminal->end)
        timer_set(&terminal->stuck, monotonic_ns() + STUCK_NS);
}

/* The guest has not taken a byte for a while and the type-ahead is full. A paste must not lose
 * bytes, so nothing is read while the guest makes progress; but a guest that hangs must be
 * left by Ctrl-A x, so now its input is read for commands only. */
static void input_stuck(void *ctx)
{
    struct terminal *terminal = ctx;

    terminal->discarding = true;
    input_deliver(terminal);
}

static void input_ready(void *ctx, int fd, uint32_t events)
{
    struct terminal *terminal = ctx;
    size_t room = INPUT_BOUND - terminal->pending_count;
    uint8_t data[512];
    ssize_t n;

    if (terminal->discarding || room > sizeof(data))
        room = sizeof(data);
    if (!room)
        return;
    n = end_read(&terminal->in, data, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        terminal->end = true;
    else
        input_take(terminal, data, (size_t)n);
    /* Not from here: a file would recurse. */
    loop_post(terminal->stream.loop, &terminal->deliver);
}

static void terminal_ready(struct stream *stream)
{
    loop_post(stream->loop, &terminal_of(stream)->deliver);
}

void stream_terminal_resized(struct stream *stream)
{
    struct terminal *terminal = terminal_of(stream);
    struct winsize size;

    if (stream->port.resize && ioctl(terminal->out.fd, TIOCGWINSZ, &size) == 0)
        stream->port.resize(stream->port.ctx, size.ws_col, size.ws_row);
}

/* ---- raw mode ---- */

static int terminal_make_raw(struct terminal *terminal)
{
    if (tcgetattr(terminal->in.fd, &terminal->saved) < 0)
        return 0; /* no terminal */
    terminal->is_tty = true;
    terminal->raw_mode = terminal->saved;
    /* Output processing too: what the guest sends is final, its line ends included. */
    cfmakeraw(&terminal->raw_mode);
    terminal->raw_mode.c_cc[VMIN] = 1;
    terminal->raw_mode.c_cc[VTIME] = 0;
    /* Before the terminal changes, for a signal may come between the two. */
    atomic_store(&terminal->raw, true);
    if (tcsetattr(terminal->in.fd, TCSANOW, &terminal->raw_mode) < 0) {
        atomic_store(&terminal->raw, false);
        return -errno;
    }
    return 0;
}

void stream_terminal_continued(struct stream *stream)
{
    struct terminal *terminal = terminal_of(stream);

    if (atomic_load(&terminal->raw))
        tcsetattr(terminal->in.fd, TCSANOW, &terminal->raw_mode);
}

void stream_terminal_restore(const struct stream *stream)
{
    const struct terminal *terminal =
        (const struct terminal *)((const char *)stream - offsetof(struct terminal, stream));
    int saved_errno = errno;
    sigset_t stop, old;

    if (!atomic_load(&terminal->raw))
        return;
    /* A process in the background is stopped for changing its terminal, unless it blocks the
     * signal; stopping half-way through an exit helps nobody. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &stop, &old);
    tcsetattr(terminal->in.fd, TCSANOW, &terminal->saved);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved_errno;
}

/* ---- the stream ---- */

static void terminal_free(struct stream *stream)
{
    struct terminal *terminal = terminal_of(stream);

    timer_cancel(&terminal->stuck);
    loop_unpost(stream->loop, &terminal->deliver);
    loop_unpost(stream->loop, &terminal->flush);
    end_watch(terminal, &terminal->in, 0, NULL);
    end_watch(terminal, &terminal->out, 0, NULL);
    if (terminal->out.fd >= 0)
        output_farewell(terminal);
    stream_terminal_restore(stream);
    if (terminal->in.fd >= 0)
        close(terminal->in.fd);
    if (terminal->out.fd >= 0)
        close(terminal->out.fd);
    mutex_release(&terminal->mutex);
    free(terminal);
}

static const struct stream_type terminal_type = {
    .name = "terminal",
    .write = terminal_write,
    .ready = terminal_ready,
    .free = terminal_free,
};

int stream_terminal_new(struct stream **out, struct loop *loop, int in_fd, int out_fd,
                        unsigned char escape, const struct terminal_commands *commands,
                        struct error *error)
{
    struct terminal *terminal = calloc(1, sizeof(*terminal));
    int r;

    if (!terminal)
        return error_set(error, ENOMEM, "cannot use the terminal: out of memory");
    terminal->stream.type = &terminal_type;
    terminal->stream.loop = loop;
    terminal->in.fd = -1;
    terminal->out.fd = -1;
    terminal->escape = escape;
    if (commands)
        terminal->commands = *commands;
    mutex_init(&terminal->mutex);
    deferred_init(&terminal->deliver, input_deliver, terminal);
    deferred_init(&terminal->flush, output_flush, terminal);
    timer_init(&terminal->stuck, loop, input_stuck, terminal);
    r = end_open(&terminal->in, in_fd, O_RDONLY);
    if (!r)
        r = end_open(&terminal->out, out_fd, O_WRONLY);
    if (!r)
        r = terminal_make_raw(terminal);
    if (r) {
        terminal_free(&terminal->stream);
        return error_set(error, -r, "cannot use the terminal: %s", error_words(-r));
    }
    /* The first turn of the loop begins to read; by then the port is attached. */
    loop_post(loop, &terminal->deliver);
    *out = &terminal->stream;
    return 0;
}
