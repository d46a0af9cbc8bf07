/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user network's own process: libslirp speaks DHCP, ARP, TCP, UDP and ICMP with the guest and
 * opens ordinary sockets of the host for it.
 *
 * The guest sees 10.0.2.0/24 (itself .15, the router .2, a name server .3) and fec0::/64. The host
 * is the router: what listens on the host's loopback address is reached at 10.0.2.2. Names are
 * looked up at the servers of the host's /etc/resolv.conf, which libslirp reads.
 *
 * libslirp wants to be asked which descriptors to poll before each sleep. They are watched by an
 * epoll of our own, which is one descriptor to the loop, and are asked for once after each turn in
 * which something happened. libslirp tells when it closes a descriptor, so that a number that is
 * used again is not taken for the old one.
 *
 * The port is never called from inside net_send(): what libslirp answers at once is queued and
 * delivered on the loop's next turn. While the guest takes nothing, sockets are not read.
 *
 * A guest may open as many connections as its process may open files; at the limit libslirp
 * refuses it further ones, and nothing else here needs a new descriptor.
 *
 * libslirp keeps the time of its last poll in a variable of its own, for all instances. Here each
 * has a process of its own (user.c), where this file runs and what of libslirp's is called.
 */
#include "network/slirp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"
#include "network/frame.h"

#define EVENTS_A_TURN 64
#define NS_PER_MS     1000000u
/* How old libslirp's idea of the time may be when a frame comes in. */
#define CLOCK_SLACK_NS (10 * NS_PER_MS)
/* slirp_pollfds_fill() makes this of "no timeout at all". */
#define SLIRP_IDLE_MS 1000u
/* libslirp asks for two ticks a second for datagrams, too, of which it only forgets those that are
 * some minutes old. */
#define DATAGRAMS_MS 10000u
/* A guest that sends nonsense is not to fill the log. */
#define GUEST_ERRORS_MAX 10u

/* A descriptor of libslirp's, by its number. */
struct slirp_fd {
    uint32_t watched; /* events in the epoll; 0: not there */
    uint32_t wanted;  /* events asked for in this fill */
    uint32_t ready;   /* events that came */
    bool live;        /* a connection: registered and not yet unregistered */
    bool stream;      /* of these, one whose protocol has timeouts */
};

struct user_timer {
    struct timer timer;
    struct net_user *user;
    SlirpTimerId id;
    void *cb_opaque;
};

struct net_user {
    struct net net;
    Slirp *slirp;
    struct log log;
    int epoll;
    bool muted;           /* the loop does not watch the epoll: the guest takes nothing */
    bool sending;         /* inside net_send() */
    struct slirp_fd *fds; /* fd_room of them */
    int *watched;         /* numbers of those in the epoll; room for fd_room */
    unsigned fd_room;
    unsigned watched_count;
    unsigned live_count, stream_count;
    struct frame_queue queue; /* for the guest */
    struct deferred turn;
    struct timer timeout;
    uint64_t polled_ns;
    unsigned guest_errors;
    uint8_t frame[NET_FRAME_MAX]; /* the guest's, gathered */
};

static struct net_user *user_of(struct net *net)
{
    return container_of(net, struct net_user, net);
}

/* ---- descriptors ---- */

/* NULL: no memory, or no descriptor. */
static struct slirp_fd *user_fd(struct net_user *user, int fd)
{
    unsigned room = user->fd_room ? user->fd_room : 64;
    struct slirp_fd *fds;
    int *watched;

    if (fd < 0)
        return NULL;
    if ((unsigned)fd < user->fd_room)
        return &user->fds[fd];
    while (room <= (unsigned)fd)
        room *= 2;
    watched = reallocarray(user->watched, room, sizeof(*watched));
    if (!watched)
        return NULL;
    user->watched = watched;
    fds = reallocarray(user->fds, room, sizeof(*fds));
    if (!fds)
        return NULL;
    memset(fds + user->fd_room, 0, (room - user->fd_room) * sizeof(*fds));
    user->fds = fds;
    user->fd_room = room;
    return &user->fds[fd];
}

/* libslirp closes the descriptor right after this. */
static void user_unregister_fd(int number, void *opaque)
{
    struct net_user *user = opaque;
    unsigned i;

    if (number < 0 || (unsigned)number >= user->fd_room)
        return;
    user->live_count -= user->fds[number].live;
    user->stream_count -= user->fds[number].stream;
    if (user->fds[number].watched) {
        epoll_ctl(user->epoll, EPOLL_CTL_DEL, number, NULL);
        for (i = 0; user->watched[i] != number; i++)
            ;
        user->watched[i] = user->watched[--user->watched_count];
    }
    user->fds[number] = (struct slirp_fd){0};
}

static bool is_datagram(int number)
{
    socklen_t size = sizeof(int);
    int type;

    return !getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_DGRAM;
}

static void user_register_fd(int number, void *opaque)
{
    struct net_user *user = opaque;
    struct slirp_fd *fd;

    /* Whatever had the number before is gone. */
    user_unregister_fd(number, opaque);
    fd = user_fd(user, number);
    if (fd) {
        fd->live = true;
        fd->stream = !is_datagram(number);
        user->live_count++;
        user->stream_count += fd->stream;
    }
}

static uint32_t events_to_epoll(int events)
{
    return (events & SLIRP_POLL_IN ? EPOLLIN : 0u) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0u) |
           (events & SLIRP_POLL_PRI ? EPOLLPRI : 0u) | EPOLLERR | EPOLLHUP;
}

static int events_from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

/* slirp_pollfds_fill() asks for a descriptor; its number serves as the index. */
static int user_add_poll(int number, int events, void *opaque)
{
    struct net_user *user = opaque;
    struct slirp_fd *fd = user_fd(user, number);
    struct epoll_event event = {.data.fd = number};

    if (!fd)
        return -1;
    fd->wanted = event.events = events_to_epoll(events);
    if (fd->watched == fd->wanted)
        return number;
    if (epoll_ctl(user->epoll, fd->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, number, &event) < 0 &&
        epoll_ctl(user->epoll, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, number, &event) < 0)
        return -1;
    if (!fd->watched)
        user->watched[user->watched_count++] = number;
    fd->watched = fd->wanted;
    return number;
}

static int user_get_revents(int index, void *opaque)
{
    const struct net_user *user = opaque;

    return index < 0 || (unsigned)index >= user->fd_room
               ? 0
               : events_from_epoll(user->fds[index].ready);
}

/* ---- turns ---- */

/* Before the loop sleeps: what to wake up for. */
static void user_rearm(struct net_user *user)
{
    uint32_t timeout_ms = UINT32_MAX;
    unsigned i;

    for (i = 0; i < user->watched_count; i++)
        user->fds[user->watched[i]].wanted = 0;
    slirp_pollfds_fill(user->slirp, &timeout_ms, user_add_poll, user);
    for (i = 0; i < user->watched_count;) {
        struct slirp_fd *fd = &user->fds[user->watched[i]];

        if (fd->wanted) {
            i++;
            continue;
        }
        /* Muting would not do: a hang-up is reported whether asked for or not. */
        epoll_ctl(user->epoll, EPOLL_CTL_DEL, user->watched[i], NULL);
        fd->watched = 0;
        user->watched[i] = user->watched[--user->watched_count];
    }
    /* Sockets that only listen have no timeouts; libslirp asks for a tick for them as well. */
    if (timeout_ms < SLIRP_IDLE_MS && user->live_count)
        timer_set(&user->timeout,
                  monotonic_ns() +
                      (user->stream_count ? timeout_ms : DATAGRAMS_MS) * (uint64_t)NS_PER_MS);
    else
        timer_cancel(&user->timeout);
}

/* Stops reading sockets while frames wait for the guest, which makes their senders wait. */
static void user_set_muted(struct net_user *user, bool muted)
{
    if (user->muted != muted && !loop_set_fd(user->net.loop, user->epoll, muted ? 0 : EPOLLIN))
        user->muted = muted;
}

static void user_deliver(struct net_user *user)
{
    user_set_muted(user, !frame_queue_deliver(&user->queue, &user->net.port));
}

static void user_poll(struct net_user *user)
{
    unsigned i;

    user->polled_ns = monotonic_ns();
    slirp_pollfds_poll(user->slirp, 0, user_get_revents, user);
    for (i = 0; i < user->watched_count; i++)
        user->fds[user->watched[i]].ready = 0;
}

static void user_fds_ready(void *ctx, int epoll, uint32_t events)
{
    struct net_user *user = ctx;
    struct epoll_event ready[EVENTS_A_TURN];
    int n = epoll_wait(epoll, ready, EVENTS_A_TURN, 0);
    int i;

    for (i = 0; i < n; i++)
        user->fds[ready[i].data.fd].ready = ready[i].events;
    user_poll(user);
    user_rearm(user);
}

static void user_timed_out(void *ctx)
{
    struct net_user *user = ctx;

    user_poll(user);
    user_rearm(user);
}

static void user_turn(void *ctx)
{
    struct net_user *user = ctx;

    user_deliver(user);
    user_rearm(user);
}

/* ---- what libslirp calls ---- */

static ssize_t user_send_packet(const void *frame, size_t length, void *opaque)
{
    struct net_user *user = opaque;
    const struct net_port *port = &user->net.port;

    /* libslirp is told the frame went out also when it is dropped: as on any network, TCP sends it
     * again and the rest is lost. */
    if (length > NET_FRAME_MAX || !port->receive) {
        user->net.lost_in++;
        return (ssize_t)length;
    }
    if (!user->sending && !user->queue.head && port->receive(port->ctx, frame, (uint32_t)length))
        return (ssize_t)length;
    if (!frame_queue_add(&user->queue, frame, (uint32_t)length))
        user->net.lost_in++;
    /* Inside net_send() the deferred turn delivers it. */
    if (!user->sending)
        user_set_muted(user, true);
    return (ssize_t)length;
}

static void user_guest_error(const char *message, void *opaque)
{
    struct net_user *user = opaque;

    if (user->guest_errors++ < GUEST_ERRORS_MAX)
        log_say(&user->log, LOG_GUEST, "network: %s", message);
}

static int64_t user_clock_ns(void *opaque)
{
    return (int64_t)monotonic_ns();
}

static void user_timer_run(void *ctx)
{
    struct user_timer *timer = ctx;

    slirp_handle_timer(timer->user->slirp, timer->id, timer->cb_opaque);
    loop_post(timer->user->net.loop, &timer->user->turn);
}

static void *user_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct net_user *user = opaque;
    struct user_timer *timer = calloc(1, sizeof(*timer));

    /* libslirp cannot be told; it gets its own memory in the same way. */
    BUG_ON(!timer);
    timer->user = user;
    timer->id = id;
    timer->cb_opaque = cb_opaque;
    timer_init(&timer->timer, user->net.loop, user_timer_run, timer);
    return timer;
}

static void user_timer_free(void *ctx, void *opaque)
{
    struct user_timer *timer = ctx;

    timer_cancel(&timer->timer);
    free(timer);
}

static void user_timer_mod(void *ctx, int64_t expire_ms, void *opaque)
{
    struct user_timer *timer = ctx;

    timer_set(&timer->timer, expire_ms < 0 ? 0 : (uint64_t)expire_ms * NS_PER_MS);
}

static void user_notify(void *opaque)
{
    struct net_user *user = opaque;

    loop_post(user->net.loop, &user->turn);
}

static const SlirpCb user_callbacks = {
    .send_packet = user_send_packet,
    .guest_error = user_guest_error,
    .clock_get_ns = user_clock_ns,
    .timer_new_opaque = user_timer_new,
    .timer_free = user_timer_free,
    .timer_mod = user_timer_mod,
    .register_poll_fd = user_register_fd,
    .unregister_poll_fd = user_unregister_fd,
    .notify = user_notify,
};

/* ---- the back end ---- */

/* Only what a guest needs of libslirp: it parses other protocols as well. */
static bool frame_is_wanted(const uint8_t *frame, uint32_t length)
{
    enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806, ETHERTYPE_IPV6 = 0x86dd };
    unsigned type;

    if (length < FRAME_HEADER_SIZE)
        return false;
    type = (unsigned)frame[12] << 8 | frame[13];
    return type == ETHERTYPE_IPV4 || type == ETHERTYPE_ARP || type == ETHERTYPE_IPV6;
}

static void user_send(struct net *net, const struct iovec *iov, unsigned iov_count, uint32_t length)
{
    enum { SHORTEST_FRAME = 60 }; /* IEEE 802.3: shorter ones are padded with zeroes */
    struct net_user *user = user_of(net);

    if (length <= sizeof(user->frame))
        length = frame_gather(iov, iov_count, user->frame, length);
    if (length > sizeof(user->frame) || !frame_is_wanted(user->frame, length)) {
        net->lost_out++;
        return;
    }
    if (length < SHORTEST_FRAME) {
        memset(user->frame + length, 0, SHORTEST_FRAME - length);
        length = SHORTEST_FRAME;
    }
    user->sending = true;
    /* libslirp takes the time at a poll only: after a long sleep a new socket would be born
     * expired. No descriptor is marked ready here. */
    if (monotonic_ns() - user->polled_ns > CLOCK_SLACK_NS)
        user_poll(user);
    slirp_input(user->slirp, user->frame, (int)length);
    user->sending = false;
    loop_post(net->loop, &user->turn);
}

static void user_ready(struct net *net)
{
    struct net_user *user = user_of(net);

    if (user->queue.head || user->muted)
        loop_post(net->loop, &user->turn);
}

static void user_free(struct net *net)
{
    struct net_user *user = user_of(net);

    user->net.port = (struct net_port){0};
    if (user->slirp)
        slirp_cleanup(user->slirp);
    loop_unpost(net->loop, &user->turn);
    timer_cancel(&user->timeout);
    if (user->epoll >= 0) {
        loop_remove_fd(net->loop, user->epoll);
        close(user->epoll);
    }
    frame_queue_release(&user->queue);
    free(user->fds);
    free(user->watched);
    free(user);
}

static const struct net_type user_type = {
    .name = "user",
    .send = user_send,
    .ready = user_ready,
    .free = user_free,
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int user_add_forward(struct net_user *user, const struct net_forward *forward,
                            struct error *error)
{
    const char *host = *forward->host_address ? forward->host_address : "127.0.0.1";
    const char *protocol = forward->udp ? "udp" : "tcp";
    union address from = {0}, to = {0};
    int flags = forward->udp ? SLIRP_HOSTFWD_UDP : 0;
    socklen_t size = sizeof(from.v4);
    int code;

    if (!forward->host_port || !forward->guest_port)
        return error_usage(error, "cannot forward %s port %u to %u: ports are 1 to 65535", protocol,
                           forward->host_port, forward->guest_port);
    /* The guest's address stays zero: libslirp puts the one in that it gave out. */
    if (inet_pton(AF_INET, host, &from.v4.sin_addr) == 1) {
        from.v4.sin_family = to.v4.sin_family = AF_INET;
        from.v4.sin_port = htons(forward->host_port);
        to.v4.sin_port = htons(forward->guest_port);
    } else if (inet_pton(AF_INET6, host, &from.v6.sin6_addr) == 1) {
        from.v6.sin6_family = to.v6.sin6_family = AF_INET6;
        from.v6.sin6_port = htons(forward->host_port);
        to.v6.sin6_port = htons(forward->guest_port);
        flags |= SLIRP_HOSTFWD_V6ONLY;
        size = sizeof(from.v6);
    } else {
        return error_usage(error,
                           "cannot forward from \"%s\": not an IP address; use one of this host's, "
                           "as 127.0.0.1",
                           host);
    }
    errno = 0;
    if (!slirp_add_hostxfwd(user->slirp, &from.any, size, &to.any, size, flags))
        return 0;
    code = errno ? errno : EADDRINUSE;
    switch (code) {
    case EADDRINUSE:
        return error_set(error, code,
                         "cannot forward %s port %u of \"%s\": in use; choose another port, or see "
                         "who has it with: ss -%slnp sport = :%u",
                         protocol, forward->host_port, host, forward->udp ? "u" : "t",
                         forward->host_port);
    case EACCES:
        return error_set(error, code,
                         "cannot forward %s port %u of \"%s\": permission denied; ports below 1024 "
                         "are for root, choose a higher one",
                         protocol, forward->host_port, host);
    case EADDRNOTAVAIL:
        return error_set(error, code,
                         "cannot forward %s port %u of \"%s\": not an address of this host; see "
                         "them with: ip address",
                         protocol, forward->host_port, host);
    default:
        return error_set(error, code, "cannot forward %s port %u of \"%s\": %s; choose another",
                         protocol, forward->host_port, host, error_words(code));
    }
}

static int user_start(struct net_user *user, const char *hostname, struct error *error)
{
    SlirpConfig config = {
        .version = 4,
        .in_enabled = true,
        .vnetwork = {htonl(0x0a000200)},
        .vnetmask = {htonl(0xffffff00)},
        .vhost = {htonl(0x0a000202)},
        .vnameserver = {htonl(0x0a000203)},
        .vdhcp_start = {htonl(0x0a00020f)},
        .in6_enabled = true,
        .vprefix_len = 64,
        .vhostname = hostname,
    };
    int r;

    inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config.vhost6);
    inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
    user->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (user->epoll < 0)
        return error_set(error, errno, "cannot set up the user network: %s", error_words(errno));
    r = loop_add_fd(user->net.loop, user->epoll, EPOLLIN, user_fds_ready, user);
    if (r)
        return error_set(error, -r, "cannot set up the user network: %s", error_words(-r));
    user->slirp = slirp_new(&config, &user_callbacks, user);
    if (!user->slirp)
        return error_set(error, ENOMEM, "cannot set up the user network: libslirp %s failed",
                         slirp_version_string());
    return 0;
}

int net_slirp_new(struct net **net, struct loop *loop, const struct net_user_options *options,
                  const struct log *log, struct error *error)
{
    struct net_user *user = calloc(1, sizeof(*user));
    unsigned i;
    int r;

    if (!user)
        return error_set(error, ENOMEM, "cannot set up the user network: out of memory");
    user->net.type = &user_type;
    user->net.loop = loop;
    if (log)
        user->log = *log;
    user->epoll = -1;
    frame_queue_init(&user->queue);
    deferred_init(&user->turn, user_turn, user);
    timer_init(&user->timeout, loop, user_timed_out, user);
    r = user_start(user, options->hostname, error);
    for (i = 0; !r && i < options->forward_count; i++)
        r = user_add_forward(user, &options->forwards[i], error);
    if (r) {
        user_free(&user->net);
        return r;
    }
    loop_post(loop, &user->turn);
    *net = &user->net;
    return 0;
}
