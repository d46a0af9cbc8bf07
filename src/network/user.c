/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user network as the machine sees it: a process of its own in which libslirp is (slirp.c), and
 * a socket by which frames go there and come back (wire.h). What parses the guest's frames and what
 * the network answers, and may make connections, so has nothing else of the machine: no disk, no
 * memory of the guest, no file; and the machine's own process has no sockets to the outside.
 *
 * The process is a fork without exec. It shares with its parent what neither writes, which makes it
 * small, starts in a fraction of a millisecond, and needs no program to be found by path. It knows
 * what its parent knew when it was made: no guest's memory, no disk's bytes, but where the program
 * lies in memory. So it is made first of what a machine is made of.
 *
 *   the machine's process                    the network's process
 *   net_user_new()  ---------- fork --------> closes what is not its own, opens forwards
 *                   <-- READY or FAILED ----- is confined (guard)
 *   net_send()      --------- FRAME --------> libslirp --- sockets of the host
 *   port.receive()  <-------- FRAME ---------
 *   log             <-------- WORDS ---------
 *   counters        <-------- LOST ----------
 *
 * Each dies with the other: the network's by the end of the socket and, whatever it is at, by
 * PR_SET_PDEATHSIG; for the machine the end of the network is a cable that was pulled out
 * (port.unplugged). It is not started again: the machine's process may make none any more, and a
 * guest that knows how to end it would do so again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "base/signals.h"
#include "network/frame.h"
#include "network/net.h"
#include "network/slirp.h"
#include "network/wire.h"

enum message { MESSAGE_READY, MESSAGE_FAILED, MESSAGE_FRAME, MESSAGE_WORDS, MESSAGE_LOST };

#define WORDS_MAX 512u
/* What a process that was taken over may have written to the log. */
#define WORDS_LINES_MAX 20u
/* How long the process may take to end when it is asked to. */
#define END_MS 1000

/* What FAILED says, with the words behind it. */
struct failure {
    int code; /* a positive errno value */
    bool usage;
};

/* Frames that libslirp was given or gave, and that went no further, since it began. */
struct losses {
    uint64_t in, out;
};

/* ---- the network's process ---- */

struct network {
    struct loop *loop;
    struct net *net;
    struct wire wire;
    struct losses told;
};

/* With the next frame, if the wire is full. */
static void network_tell_losses(struct network *network)
{
    const struct losses now = {.in = network->net->lost_in, .out = network->net->lost_out};

    if ((now.in != network->told.in || now.out != network->told.out) &&
        wire_send(&network->wire, MESSAGE_LOST, (const uint8_t *)&now, sizeof(now)))
        network->told = now;
}

static void network_received(void *ctx, uint8_t kind, const uint8_t *bytes, uint32_t length)
{
    struct network *network = ctx;
    struct iovec frame = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};

    if (kind == MESSAGE_FRAME && length)
        net_send(network->net, &frame, 1, length);
    network_tell_losses(network);
}

static bool network_deliver(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct network *network = ctx;

    network_tell_losses(network);
    return wire_send(&network->wire, MESSAGE_FRAME, frame, length);
}

static void network_sendable(void *ctx)
{
    struct network *network = ctx;

    net_ready(network->net);
}

static void network_lost(void *ctx)
{
    struct network *network = ctx;

    loop_stop(network->loop, 0);
}

static void network_say(void *ctx, enum log_level level, const char *text)
{
    struct network *network = ctx;

    /* Words are few, and not worth waiting for. */
    if (network->loop)
        (void)!wire_send(&network->wire, MESSAGE_WORDS, (const uint8_t *)text,
                         (uint32_t)strnlen(text, WORDS_MAX));
}

/* Nothing of the parent's stays open but `socket`: disks, locks and the terminal are none of this
 * process's business, and would be locked or open for as long as it lives. */
static int close_others(int *socket)
{
    enum { MINE = STDERR_FILENO + 1 };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

    if (null < 0)
        return -errno;
    /* Above what is replaced, wherever it was. */
    fd = fcntl(*socket, F_DUPFD_CLOEXEC, MINE + 1);
    if (fd < 0)
        return -errno;
    for (int i = 0; i < MINE; i++)
        if (null != i && dup2(null, i) < 0)
            return -errno;
    if (dup3(fd, MINE, O_CLOEXEC) < 0)
        return -errno;
    *socket = MINE;
    return close_range(MINE + 1, ~0u, 0) < 0 ? -errno : 0;
}

static int network_open(struct network *network, int socket, const struct net_user_options *options,
                        struct error *error)
{
    const struct wire_events events = {.receive = network_received,
                                       .sendable = network_sendable,
                                       .lost = network_lost,
                                       .ctx = network};
    const struct net_port port = {.receive = network_deliver, .ctx = network};
    const struct log log = {.sink = network_say, .ctx = network};
    struct loop *loop;
    int r = loop_new(&loop);

    if (r)
        return error_set(error, -r, "cannot set up the user network: %s", error_words(-r));
    r = net_slirp_new(&network->net, loop, options, &log, error);
    if (r)
        return r;
    net_attach(network->net, &port);
    r = wire_init(&network->wire, loop, socket, &events);
    network->loop = loop;
    if (!r && options->guard && options->guard->enter)
        r = options->guard->enter(options->guard->ctx, THREAD_NETWORK);
    return r ? error_set(error, -r, "cannot confine the user network: %s", error_words(-r)) : 0;
}

static void network_fail(int socket, const struct error *error)
{
    struct {
        uint8_t kind;
        struct failure failure;
        char words[WORDS_MAX];
    } __attribute__((packed))
    message = {MESSAGE_FAILED,
               {.code = error->code ? error->code : ENOMEM, .usage = error->usage},
               ""};

    if (error->message)
        strncpy(message.words, error->message, sizeof(message.words) - 1);
    (void)!send(socket, &message, sizeof(message), MSG_NOSIGNAL);
}

NORETURN static void network_run(pid_t parent, int socket, const struct net_user_options *options)
{
    const uint8_t ready = MESSAGE_READY;
    struct network network = {.loop = NULL};
    struct error error = ERROR_INIT;
    int r;

    /* What the terminal's keys and its end mean is the machine's to decide; what it does with a
     * crash is not for this process. */
    signals_leave_to_parent();
    /* Of the thread that made this process: the loop's, which is the machine's for its life. */
    r = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
    if (getppid() != parent)
        _exit(1);
    prctl(PR_SET_NAME, "hospes-network");
    if (!r)
        r = close_others(&socket);
    if (r)
        error_set(&error, -r, "cannot set up the user network: %s", error_words(-r));
    else
        r = network_open(&network, socket, options, &error);
    if (r) {
        network_fail(socket, &error);
        _exit(1);
    }
    if (send(socket, &ready, 1, MSG_NOSIGNAL) == 1)
        loop_run(network.loop);
    /* No handler of the parent's for its exit is run, nor are its buffers written. */
    _exit(0);
}

/* ---- the machine's end ---- */

struct net_user {
    struct net net;
    struct log log;
    void (*lost)(void *ctx);
    void *ctx;
    struct wire wire;
    pid_t pid;
    int process; /* a pidfd */
    unsigned lines;
    struct losses losses;     /* as the process told last */
    struct frame_queue queue; /* for the guest */
    struct deferred turn;
    uint8_t frame[NET_FRAME_MAX]; /* the guest's, gathered */
};

static struct net_user *user_of(struct net *net)
{
    return container_of(net, struct net_user, net);
}

/* While frames wait for the guest the others wait in the socket, and their senders with them. */
static void user_turn(void *ctx)
{
    struct net_user *user = ctx;

    wire_set_muted(&user->wire, !frame_queue_deliver(&user->queue, &user->net.port));
}

static void user_receive(struct net_user *user, const uint8_t *frame, uint32_t length)
{
    const struct net_port *port = &user->net.port;

    if (!length)
        return;
    if (!port->receive) {
        user->net.lost_in++;
        return;
    }
    if (!user->queue.head && port->receive(port->ctx, frame, length))
        return;
    /* At most one batch comes after the wire is muted. */
    if (!frame_queue_add(&user->queue, frame, length))
        user->net.lost_in++;
    wire_set_muted(&user->wire, true);
}

/* A process that a guest has taken over may say this: few words, of letters that do nothing to a
 * terminal. */
static void user_hear(struct net_user *user, const uint8_t *bytes, uint32_t length)
{
    char text[WORDS_MAX + 1];

    if (user->lines == WORDS_LINES_MAX || length > WORDS_MAX)
        return;
    user->lines++;
    for (uint32_t i = 0; i < length; i++)
        text[i] = (char)(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '?');
    text[length] = 0;
    log_say(&user->log, LOG_GUEST, "%s", text);
}

/* A process that was taken over spoils its own machine's counters, and no others. */
static void user_hear_losses(struct net_user *user, const uint8_t *bytes, uint32_t length)
{
    struct losses now;

    if (length != sizeof(now))
        return;
    memcpy(&now, bytes, sizeof(now));
    user->net.lost_in += now.in - user->losses.in;
    user->net.lost_out += now.out - user->losses.out;
    user->losses = now;
}

static void user_received(void *ctx, uint8_t kind, const uint8_t *bytes, uint32_t length)
{
    if (kind == MESSAGE_FRAME)
        user_receive(ctx, bytes, length);
    else if (kind == MESSAGE_WORDS)
        user_hear(ctx, bytes, length);
    else if (kind == MESSAGE_LOST)
        user_hear_losses(ctx, bytes, length);
}

static void user_sendable(void *ctx)
{
    const struct net_user *user = ctx;

    if (user->net.port.sendable)
        user->net.port.sendable(user->net.port.ctx);
}

/* Its status, as of waitpid(2); -1: it has not ended, which only one that is stopped or that was
 * taken over does. It ends with this process then. */
static int user_reap(struct net_user *user)
{
    struct pollfd ended = {.fd = user->process, .events = POLLIN};
    int status = -1;

    if (user->pid > 0 && poll(&ended, 1, END_MS) == 1 &&
        waitpid(user->pid, &status, WNOHANG) != user->pid)
        status = -1;
    user->pid = 0;
    return status;
}

static void user_lost(void *ctx)
{
    struct net_user *user = ctx;
    const struct net_port *port = &user->net.port;
    int status = user_reap(user);

    if (status >= 0 && WIFSIGNALED(status))
        log_say(&user->log, LOG_ERROR,
                "the process of the user network was ended by signal %d (%s); the guest's link is "
                "down until the machine is started again",
                WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
    else
        log_say(&user->log, LOG_ERROR,
                "the process of the user network ended; the guest's link is down until the machine "
                "is started again");
    if (port->unplugged)
        port->unplugged(port->ctx);
    /* Who waited to send need not any more. */
    user_sendable(user);
    if (user->lost)
        user->lost(user->ctx);
}

static bool user_can_send(struct net *net)
{
    return wire_can_send(&user_of(net)->wire);
}

static void user_send(struct net *net, const struct iovec *iov, unsigned iov_count, uint32_t length)
{
    struct net_user *user = user_of(net);

    if (length <= sizeof(user->frame))
        length = frame_gather(iov, iov_count, user->frame, length);
    /* Who did not ask loses it. */
    if (length > sizeof(user->frame) || !wire_send(&user->wire, MESSAGE_FRAME, user->frame, length))
        net->lost_out++;
}

static void user_ready(struct net *net)
{
    struct net_user *user = user_of(net);

    if (user->queue.head || user->wire.muted)
        loop_post(net->loop, &user->turn);
}

static void user_free(struct net *net)
{
    struct net_user *user = user_of(net);

    loop_unpost(net->loop, &user->turn);
    wire_release(&user->wire);
    user_reap(user);
    descriptor_close(&user->process);
    frame_queue_release(&user->queue);
    free(user);
}

static const struct net_type user_type = {
    .name = "user",
    .send = user_send,
    .can_send = user_can_send,
    .ready = user_ready,
    .free = user_free,
};

/* The process's first word. */
static int user_hear_first(int socket, struct error *error)
{
    struct {
        uint8_t kind;
        struct failure failure;
        char words[WORDS_MAX];
    } __attribute__((packed)) message;
    ssize_t n;

    do
        n = recv(socket, &message, sizeof(message), 0);
    while (n < 0 && errno == EINTR);
    if (n == 1 && message.kind == MESSAGE_READY)
        return 0;
    if (n != sizeof(message) || message.kind != MESSAGE_FAILED)
        return error_set(error, ECHILD,
                         "cannot set up the user network: its process ended before it began");
    message.words[WORDS_MAX - 1] = 0;
    if (message.failure.usage)
        return error_usage(error, "%s", message.words);
    return error_set(error, message.failure.code, "%s", message.words);
}

static int user_fork(struct net_user *user, const struct net_user_options *options, int *socket,
                     struct error *error)
{
    pid_t self = getpid();
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(error, errno, "cannot set up the user network: %s", error_words(errno));
    user->pid = fork();
    if (!user->pid) {
        close(pair[0]);
        network_run(self, pair[1], options);
    }
    close(pair[1]);
    *socket = pair[0];
    if (user->pid < 0)
        return error_set(error, errno, "cannot make the user network's process: %s",
                         error_words(errno));
    user->process = (int)syscall(SYS_pidfd_open, user->pid, 0);
    return user->process < 0 ? error_set(error, errno,
                                         "cannot watch the user network's process: "
                                         "%s",
                                         error_words(errno))
                             : user_hear_first(*socket, error);
}

int net_user_new(struct net **net, struct loop *loop, const struct net_user_options *options,
                 const struct log *log, struct error *error)
{
    struct net_user *user = calloc(1, sizeof(*user));
    const struct wire_events events = {.receive = user_received,
                                       .sendable = user_sendable,
                                       .lost = user_lost,
                                       .ctx = user};
    int socket = -1, r;

    if (!user)
        return error_set(error, ENOMEM, "cannot set up the user network: out of memory");
    user->net = (struct net){.type = &user_type, .loop = loop};
    if (log)
        user->log = *log;
    user->lost = options->lost;
    user->ctx = options->ctx;
    user->process = -1;
    user->wire.socket = -1;
    frame_queue_init(&user->queue);
    deferred_init(&user->turn, user_turn, user);
    r = user_fork(user, options, &socket, error);
    if (!r) {
        r = wire_init(&user->wire, loop, socket, &events);
        socket = -1;
        if (r)
            error_set(error, -r, "cannot set up the user network: %s", error_words(-r));
    }
    if (r) {
        descriptor_close(&socket);
        user_free(&user->net);
        return r;
    }
    *net = &user->net;
    return 0;
}
