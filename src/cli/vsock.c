/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes vsock`: a port of a named machine's guest as standard input and output. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/named.h"
#include "host/vsock_client.h"

#define PIECE (64u << 10)

/* One direction. What was read is written before more is read, so that the slower side holds the
 * faster one back. */
struct way {
    int from, to;
    bool ended;
    size_t begin, end;
    char data[PIECE];
};

struct ways {
    struct way in, out; /* to the guest, from it */
};

static bool is_again(int code)
{
    return code == EAGAIN || code == EINTR;
}

/* 0, or -errno of the side that is to be written. No more than a pipe that is ready takes without
 * blocking (pipe(7)): standard output blocks, and the other direction would stand still with it. */
static int way_write(struct way *way)
{
    size_t size = way->end - way->begin;
    ssize_t n = write(way->to, way->data + way->begin, size < PIPE_BUF ? size : PIPE_BUF);

    if (n < 0)
        return is_again(errno) ? 0 : -errno;
    way->begin += (size_t)n;
    return 0;
}

static int way_read(struct way *way)
{
    ssize_t n = read(way->from, way->data, sizeof(way->data));

    if (n < 0 && is_again(errno))
        return 0;
    /* A reset by the guest is its end. */
    if (n < 0 && errno != ECONNRESET)
        return -errno;
    way->ended = n <= 0;
    way->begin = 0;
    way->end = n > 0 ? (size_t)n : 0;
    return 0;
}

/* What it waits for: to write what it has, else to read more. A negative descriptor is passed over
 * by poll(2). */
static struct pollfd way_wants(const struct way *way)
{
    if (way->begin < way->end)
        return (struct pollfd){.fd = way->to, .events = POLLOUT};
    return (struct pollfd){.fd = way->ended ? -1 : way->from, .events = POLLIN};
}

static int way_step(struct way *way, const struct pollfd *ready)
{
    if (!ready->revents)
        return 0;
    return way->begin < way->end ? way_write(way) : way_read(way);
}

/* Until the guest ends its side; the end of standard input is told to it, and is not the end. */
static int carry(struct ways *ways, int guest, struct error *error)
{
    bool told = false;

    while (!ways->out.ended || ways->out.begin < ways->out.end) {
        struct pollfd ready[] = {way_wants(&ways->in), way_wants(&ways->out)};
        int r;

        if (poll(ready, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_set(error, errno, "cannot wait: %s", error_words(errno));
        }
        r = way_step(&ways->in, &ready[0]);
        if (r == -EPIPE || r == -ECONNRESET) {
            /* The guest takes no more; what it says is still to be read. */
            ways->in.ended = true;
            ways->in.begin = ways->in.end = 0;
            r = 0;
        }
        if (r)
            return error_set(error, -r, "cannot pass on standard input: %s", error_words(-r));
        if (ways->in.ended && ways->in.begin == ways->in.end && !told) {
            shutdown(guest, SHUT_WR);
            told = true;
        }
        r = way_step(&ways->out, &ready[1]);
        if (r)
            return error_set(error, -r, "cannot write to standard output: %s", error_words(-r));
    }
    return 0;
}

static int vsock_connect(const char *name, uint32_t port, int *guest, struct error *error)
{
    struct named named = {.name = name};
    char *path = NULL;
    int r = registry_open(&named.registry, error);

    if (!r)
        r = registry_check(&named.registry, name, error);
    if (!r)
        r = named_socket(&named, "vsock", &path, error);
    if (!r)
        r = vsock_client_connect(path, port, NAMED_TIMEOUT_MS, guest, error);
    free(path);
    named_release(&named);
    return r;
}

static int port_read(const char *text, uint32_t *port, struct error *error)
{
    unsigned long long value;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9' || value >= UINT32_MAX)
        return error_usage(error, "\"%s\" is no port; use 0 to %u", text, UINT32_MAX - 1);
    *port = (uint32_t)value;
    return 0;
}

static int vsock_parse(struct option_walk *walk, const char **name, uint32_t *port,
                       struct error *error)
{
    unsigned count = 0;
    int kind, r = 0;

    while (!r && (kind = option_next(walk, error)) > 0) {
        if (count == 0)
            *name = walk->value;
        else if (count == 1)
            r = port_read(walk->value, port, error);
        else
            r = error_usage(error, "unexpected argument \"%s\"; give a machine and a port",
                            walk->value);
        count++;
    }
    if (r || kind)
        return r ? r : kind;
    return count == 2 ? 0
                      : error_usage(error, "give a machine and a port, as in: hospes vsock web 22");
}

static int vsock_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    CLEANUP(descriptor_close) int guest = -1;
    const char *name = NULL;
    struct ways *ways;
    uint32_t port = 0;
    int r = vsock_parse(&walk, &name, &port, error);

    if (!r)
        r = vsock_connect(name, port, &guest, error);
    if (r)
        return r;
    ways = calloc(1, sizeof(*ways));
    if (!ways)
        return error_set(error, ENOMEM, "out of memory");
    /* Whoever takes no more is an error of write(). */
    signal(SIGPIPE, SIG_IGN);
    ways->in.from = STDIN_FILENO;
    ways->out.to = STDOUT_FILENO;
    ways->in.to = ways->out.from = guest;
    r = carry(ways, guest, error);
    free(ways);
    return r;
}

static const struct option vsock_options[] = {{0}};

static const struct example vsock_examples[] = {
    {"hospes vsock web 1234", "connects to what listens at vsock port 1234 in the guest"},
    {"ssh -o ProxyCommand='hospes vsock web 22' root@web", "by ssh, without a network"},
    {0},
};

const struct command command_vsock = {
    .name = "vsock",
    .summary = "connect to a port of a machine's guest",
    .usage = "vsock NAME PORT",
    .about =
        "Of the guest's virtio sockets (AF_VSOCK), which need no network. Standard input goes to\n"
        "whoever listens there, its answers to standard output, until it ends the connection.",
    .options = vsock_options,
    .examples = vsock_examples,
    .run = vsock_run,
};
