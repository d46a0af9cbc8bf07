/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes console`: a named machine's console on this terminal. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/loop.h"
#include "base/signals.h"
#include "base/unix_socket.h"
#include "cli/command.h"
#include "cli/named.h"
#include "stream/stream.h"

#define ESCAPE 0x01 /* Ctrl-A */

struct console {
    struct loop *loop;
    struct stream *terminal;
    int socket, signals;
    bool ended; /* by the machine */
};

static void on_quit(void *ctx)
{
    struct console *console = ctx;

    loop_stop(console->loop, 0);
}

static void on_help(void *ctx)
{
    static const char words[] = "\r\nhospes: Ctrl-A x leaves the console, and the machine runs on; "
                                "Ctrl-A a sends Ctrl-A\r\n";

    if (write(STDERR_FILENO, words, sizeof(words) - 1) < 0)
        on_quit(ctx);
}

/* The machine's own process does this. */
static void on_nothing(void *ctx) {}

/* What was typed. */
static size_t terminal_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct console *console = ctx;
    ssize_t n = send(console->socket, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < (ssize_t)length)
        loop_set_fd(console->loop, console->socket, EPOLLIN | EPOLLOUT);
    return n < 0 ? 0 : (size_t)n;
}

static void socket_ready(void *ctx, int fd, uint32_t events)
{
    struct console *console = ctx;
    uint8_t data[4096];
    ssize_t n = 0;

    if (events & EPOLLOUT) {
        loop_set_fd(console->loop, fd, EPOLLIN);
        stream_ready(console->terminal);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
    if (n > 0) {
        /* What a terminal that is stopped does not take is lost to it, as on a serial line. */
        stream_write(console->terminal, data, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    console->ended = true;
    loop_stop(console->loop, 0);
}

static void on_signal(void *ctx, int fd, uint32_t events)
{
    struct console *console = ctx;
    int number = signals_read(fd);

    if (!number)
        return;
    if (number == SIGCONT)
        stream_terminal_continued(console->terminal);
    else
        loop_stop(console->loop, 128 + number);
}

static int open_signals(struct console *console, struct error *error)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, 0};
    int r = signals_open(numbers, &console->signals, error);

    if (r)
        return r;
    r = loop_add_fd(console->loop, console->signals, EPOLLIN, on_signal, console);
    return r ? error_set(error, -r, "cannot watch for signals: %s", error_words(-r)) : 0;
}

static int open_socket(struct console *console, const struct named *named, struct error *error)
{
    char *path = NULL;
    int r = named_socket(named, "console", &path, error);

    if (r)
        return r;
    console->socket = unix_socket_connect(path);
    free(path);
    if (console->socket == -ENOENT || console->socket == -ECONNREFUSED)
        return error_set(error, ESRCH,
                         "machine \"%s\" does not run; start it with: hospes start %s", named->name,
                         named->name);
    if (console->socket < 0)
        return error_set(error, -console->socket, "cannot reach the console of \"%s\": %s",
                         named->name, error_words(-console->socket));
    return 0;
}

static int open_all(struct console *console, const struct named *named, struct error *error)
{
    const struct terminal_commands commands = {.quit = on_quit,
                                               .help = on_help,
                                               .proceed = on_nothing,
                                               .ctx = console};
    const struct stream_port port = {.receive = terminal_receive, .ctx = console};
    int r = loop_new(&console->loop);

    if (r)
        return error_set(error, -r, "cannot make an event loop: %s", error_words(-r));
    r = open_signals(console, error);
    if (!r)
        r = open_socket(console, named, error);
    if (r)
        return r;
    r = stream_terminal_new(&console->terminal, console->loop, STDIN_FILENO, STDOUT_FILENO,
                            isatty(STDIN_FILENO) ? ESCAPE : 0, &commands, error);
    if (r)
        return r;
    stream_attach(console->terminal, &port);
    r = loop_add_fd(console->loop, console->socket, EPOLLIN, socket_ready, console);
    return r ? error_set(error, -r, "cannot watch the console: %s", error_words(-r)) : 0;
}

static int console_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct console console = {.socket = -1, .signals = -1};
    struct named named;
    int r = named_open(&named, command, argc, argv, NULL, NULL, error);

    if (r)
        return r;
    r = open_all(&console, &named, error);
    if (!r)
        r = loop_run(console.loop);
    stream_free(console.terminal);
    if (console.loop)
        loop_free(console.loop);
    descriptor_close(&console.socket);
    descriptor_close(&console.signals);
    if (console.ended)
        fprintf(stderr, "hospes: machine \"%s\" has ended\n", named.name);
    named_release(&named);
    return r;
}

static const struct option console_options[] = {{0}};

static const struct example console_examples[] = {
    {"hospes console web", "shows the console's last lines and connects to it; Ctrl-A x leaves"},
    {0},
};

const struct command command_console = {
    .name = "console",
    .summary = "connect to a machine's console",
    .usage = "console NAME",
    .about = "Any number of terminals can be connected at once. On a terminal Ctrl-A x leaves and\n"
             "the machine runs on; Ctrl-A a sends Ctrl-A; Ctrl-A h helps.",
    .options = console_options,
    .examples = console_examples,
    .run = console_run,
};
