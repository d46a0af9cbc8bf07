/* SPDX-License-Identifier: Apache-2.0 */
#include "network/switch.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "network/frame.h"
#include "network/learn.h"
#include "network/segment.h"
#include "network/service.h"

/* Then the loop's other work gets its turn. */
#define FRAMES_A_TURN 64

/* RFC 4632: the networks are of this size. */
#define MASK_BITS 24

_Static_assert(LEARN_PORTS >= SEGMENT_MEMBERS_MAX, "a place a member");

struct net_switch;

/* Another member, in the place whose number the table of addresses knows. */
struct peer {
    struct net_switch *owner;
    struct segment_member member;
    int socket;               /* to it; -1: the place is free */
    bool dead;                /* nobody has the other end any more */
    uint8_t host;             /* of its address; 0: it has none */
    struct frame_queue queue; /* for it; not empty: EPOLLOUT is watched */
    uint32_t queued;          /* bytes in it */
};

struct net_switch {
    struct net net;
    struct log log;
    struct segment segment;
    struct service service;
    int watch; /* inotify of the directory */
    struct learn learn;
    struct peer peers[SEGMENT_MEMBERS_MAX];
    uint32_t queued; /* bytes of all peers */
    struct net_switch_counters counters;
    bool warned;

    struct deferred turn;       /* what the guest had no room for */
    struct frame_queue answers; /* of the network's own address, for the guest */
    uint32_t held;              /* length of `in` while the guest has no room for it; 0: none */
    uint8_t in[NET_FRAME_MAX];
    uint8_t out[NET_FRAME_MAX];
};

static struct net_switch *switch_of(const struct net *net)
{
    return container_of(net, struct net_switch, net);
}

static bool is_group(const uint8_t mac[6])
{
    return mac[0] & 1;
}

/* ---- peers ---- */

static void peer_drop(struct peer *peer)
{
    struct net_switch *s = peer->owner;

    if (peer->queue.count)
        loop_remove_fd(s->net.loop, peer->socket);
    frame_queue_release(&peer->queue);
    s->queued -= peer->queued;
    peer->queued = 0;
    descriptor_close(&peer->socket);
    peer->socket = -1;
    learn_forget(&s->learn, (unsigned)(peer - s->peers));
}

static void peer_died(struct peer *peer)
{
    struct segment_member member = peer->member;
    struct net_switch *s = peer->owner;

    peer_drop(peer);
    segment_bury(&s->segment, &member);
}

/* A net_port's receive() to frame_queue_deliver(): false, when the frame has to wait. */
static bool peer_take(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct peer *peer = ctx;
    struct net_switch *s = peer->owner;
    int r = peer->dead ? -ECONNREFUSED : segment_send(&s->segment, peer->socket, frame, length);

    if (r == -EAGAIN)
        return false;
    if (r == -ENOBUFS || r == -ENOMEM || r == -EMSGSIZE)
        s->net.lost_out++;
    else if (r)
        peer->dead = true;
    return true;
}

/* The same for a frame that waited. */
static bool peer_take_queued(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct peer *peer = ctx;

    if (!peer_take(peer, frame, length))
        return false;
    peer->queued -= length;
    peer->owner->queued -= length;
    return true;
}

static void peer_writable(void *ctx, int fd, uint32_t events)
{
    struct peer *peer = ctx;
    const struct net_port port = {.receive = peer_take_queued, .ctx = peer};

    if (!frame_queue_deliver(&peer->queue, &port))
        return;
    loop_remove_fd(peer->owner->net.loop, peer->socket);
    if (peer->dead)
        peer_died(peer);
}

static void peer_wait(struct peer *peer, const uint8_t *frame, uint32_t length)
{
    struct net_switch *s = peer->owner;
    bool first = !peer->queue.count;

    if (peer->queued + length > SWITCH_PEER_BYTES || s->queued + length > SWITCH_TOTAL_BYTES ||
        (first && loop_add_fd(s->net.loop, peer->socket, EPOLLOUT, peer_writable, peer))) {
        s->net.lost_out++;
        return;
    }
    if (!frame_queue_add(&peer->queue, frame, length)) {
        s->net.lost_out++;
        if (first)
            loop_remove_fd(s->net.loop, peer->socket);
        return;
    }
    peer->queued += length;
    s->queued += length;
}

static void peer_send(struct peer *peer, const uint8_t *frame, uint32_t length)
{
    /* Behind those that wait, so that none overtakes another. */
    if (peer->queue.count || !peer_take(peer, frame, length))
        peer_wait(peer, frame, length);
    else if (peer->dead)
        peer_died(peer);
}

static struct peer *peer_find(struct net_switch *s, uint64_t id)
{
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++)
        if (s->peers[i].socket >= 0 && s->peers[i].member.id == id)
            return &s->peers[i];
    return NULL;
}

static bool member_is_same(const struct segment_member *a, const struct segment_member *b)
{
    return a->id == b->id && a->since_ns == b->since_ns && a->kind == b->kind &&
           a->index == b->index && !strcmp(a->name, b->name);
}

static void peer_add(struct net_switch *s, const struct segment_member *member)
{
    struct peer *peer = s->peers;
    int fd = segment_connect(&s->segment, member);

    if (fd == -ECONNREFUSED)
        segment_bury(&s->segment, member);
    if (fd < 0)
        return;
    while (peer < s->peers + SEGMENT_MEMBERS_MAX && peer->socket >= 0)
        peer++;
    if (peer == s->peers + SEGMENT_MEMBERS_MAX) {
        close(fd);
        return;
    }
    peer->member = *member;
    peer->socket = fd;
    peer->dead = false;
}

/* ---- who is there ---- */

static void read_addresses(struct net_switch *s)
{
    struct lease_table leases;
    bool known = !lease_read(s->segment.directory, &leases);

    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++) {
        struct peer *peer = &s->peers[i];

        if (peer->socket >= 0 && peer->member.kind == SEGMENT_PORT && known)
            peer->host = lease_find(&leases, peer->member.name, peer->member.index);
        else
            peer->host = 0;
    }
}

static void switch_scan(struct net_switch *s)
{
    struct segment_members there;

    if (segment_list(&s->segment, &there))
        return;
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++) {
        struct peer *peer = &s->peers[i];
        unsigned j = 0;

        if (peer->socket < 0)
            continue;
        while (j < there.count && !member_is_same(&there.members[j], &peer->member))
            j++;
        if (j == there.count)
            peer_drop(peer);
    }
    for (unsigned i = 0; i < there.count; i++)
        if (!peer_find(s, there.members[i].id))
            peer_add(s, &there.members[i]);
    read_addresses(s);
}

/* What the events say is what the directory says anyway, also when some were lost. */
static void switch_changed(void *ctx, int fd, uint32_t events)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    struct net_switch *s = ctx;
    bool removed = false;
    ssize_t n = read(fd, buffer, sizeof(buffer));

    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

        removed |= (event->mask & IN_IGNORED) != 0;
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    if (removed)
        log_say(&s->log, LOG_WARN,
                "the directory of network \"%s\" was removed; machines that are started from now "
                "on do not see this one",
                s->segment.network);
    switch_scan(s);
}

static bool name_is(const char *name, const char *lower)
{
    while (*lower && tolower((unsigned char)*name) == *lower)
        name++, lower++;
    return !*name && !*lower;
}

/* A zone's find(): of a machine with several interfaces in this network, the first one's. */
static bool switch_find(void *ctx, const char *machine, uint32_t *address)
{
    struct net_switch *s = ctx;
    unsigned index = ~0u;
    uint8_t host = 0;

    if (name_is(s->segment.self.name, machine)) {
        index = s->segment.self.index;
        host = s->segment.host;
    }
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++) {
        const struct peer *peer = &s->peers[i];

        if (peer->socket >= 0 && peer->host && peer->member.index < index &&
            name_is(peer->member.name, machine)) {
            index = peer->member.index;
            host = peer->host;
        }
    }
    if (host)
        *address = s->segment.subnet | host;
    return host != 0;
}

/* ---- from the guest ---- */

static void send_to_all(struct net_switch *s, const uint8_t *frame, uint32_t length,
                        enum segment_kind kind)
{
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++)
        if (s->peers[i].socket >= 0 && s->peers[i].member.kind == kind)
            peer_send(&s->peers[i], frame, length);
}

static void send_answer(struct net_switch *s, const uint8_t *frame, uint32_t length)
{
    send_to_all(s, frame, length, SEGMENT_LISTENER);
    /* Not at once: the guest's device is inside net_send(). */
    if (frame_queue_add(&s->answers, frame, length))
        loop_post(s->net.loop, &s->turn);
    else
        s->net.lost_in++;
}

static void switch_send(struct net *net, const struct iovec *iov, unsigned iov_count,
                        uint32_t length)
{
    uint8_t answer[SERVICE_ANSWER_MAX];
    struct net_switch *s = switch_of(net);
    uint32_t answer_length;
    int port = -1;

    if (length <= NET_FRAME_MAX)
        length = frame_gather(iov, iov_count, s->out, length);
    if (length < FRAME_HEADER_SIZE || length > NET_FRAME_MAX) {
        net->lost_out++;
        return;
    }
    s->counters.sent++;
    send_to_all(s, s->out, length, SEGMENT_LISTENER);
    if (service_take(&s->service, s->out, length, answer, &answer_length)) {
        if (answer_length)
            send_answer(s, answer, answer_length);
        return;
    }
    if (!is_group(s->out))
        port = learn_find(&s->learn, s->out, monotonic_ns());
    if (port >= 0 && s->peers[port].socket >= 0)
        peer_send(&s->peers[port], s->out, length);
    else
        send_to_all(s, s->out, length, SEGMENT_PORT);
}

/* ---- to the guest ---- */

/* Returns true when the port took it or nobody is there to take it. */
static bool switch_offer(struct net_switch *s, const uint8_t *frame, uint32_t length)
{
    const struct net_port *port = &s->net.port;

    return !port->receive || port->receive(port->ctx, frame, length);
}

/* Whether `in` is a frame that the guest may get; learns from it. */
static bool switch_judge(struct net_switch *s, uint64_t sender, uint32_t length)
{
    struct peer *peer = peer_find(s, sender);
    const uint8_t *source = s->in + 6;

    /* A port that is so new that nothing is known of it yet is heard, and not learned from. */
    if ((peer && peer->member.kind != SEGMENT_PORT) || is_group(source) ||
        service_is_forged(&s->service, s->in, length))
        return false;
    if (!memcmp(source, s->service.lease.mac, sizeof(s->service.lease.mac))) {
        if (!s->warned)
            log_say(&s->log, LOG_WARN,
                    "another interface in network \"%s\" has the Ethernet address of this "
                    "machine's; give one of them another",
                    s->segment.network);
        s->warned = true;
        return false;
    }
    if (peer)
        learn_note(&s->learn, source, (unsigned)(peer - s->peers), monotonic_ns());
    return true;
}

static void switch_readable(void *ctx, int fd, uint32_t events)
{
    struct net_switch *s = ctx;

    for (unsigned i = 0; i < FRAMES_A_TURN; i++) {
        uint64_t sender;
        int n = segment_receive(&s->segment, s->in, &sender);

        if (n < 0)
            return;
        if (!n || !switch_judge(s, sender, (uint32_t)n)) {
            s->counters.wrong++;
            continue;
        }
        s->counters.received++;
        if (!switch_offer(s, s->in, (uint32_t)n)) {
            /* Nothing more is read, so senders keep theirs up to their bounds. */
            s->held = (uint32_t)n;
            loop_set_fd(s->net.loop, fd, 0);
            return;
        }
    }
}

static void switch_turn(void *ctx)
{
    struct net_switch *s = ctx;

    if (s->held) {
        if (!switch_offer(s, s->in, s->held))
            return;
        s->held = 0;
        loop_set_fd(s->net.loop, s->segment.socket, EPOLLIN);
    }
    /* What is refused is offered again after net_ready(). */
    frame_queue_deliver(&s->answers, &s->net.port);
}

static void switch_ready(struct net *net)
{
    struct net_switch *s = switch_of(net);

    if (s->held || s->answers.count)
        loop_post(net->loop, &s->turn);
}

/* ---- the back end ---- */

static void switch_free(struct net *net)
{
    struct net_switch *s = switch_of(net);

    loop_unpost(net->loop, &s->turn);
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++)
        if (s->peers[i].socket >= 0)
            peer_drop(&s->peers[i]);
    if (s->watch >= 0) {
        loop_remove_fd(net->loop, s->watch);
        close(s->watch);
    }
    if (s->segment.socket >= 0)
        loop_remove_fd(net->loop, s->segment.socket);
    segment_leave(&s->segment);
    frame_queue_release(&s->answers);
    free(s);
}

static const struct net_type switch_type = {
    .name = "switch",
    .send = switch_send,
    .ready = switch_ready,
    .free = switch_free,
};

/* The watch comes before the first look, so that nobody is missed in between. */
static int switch_watch(struct net_switch *s)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), r;

    if (fd < 0)
        return -errno;
    r = inotify_add_watch(fd, s->segment.path, IN_MOVED_TO | IN_DELETE) < 0 ? -errno : 0;
    if (!r)
        r = loop_add_fd(s->net.loop, fd, EPOLLIN, switch_changed, s);
    if (!r)
        s->watch = fd;
    else
        close(fd);
    return r;
}

static int switch_open(struct net_switch *s, struct error *error)
{
    int r = loop_add_fd(s->net.loop, s->segment.socket, EPOLLIN, switch_readable, s);

    if (!r)
        r = switch_watch(s);
    if (r == -EMFILE)
        return error_set(error, EMFILE,
                         "cannot watch network \"%s\": too many watches; raise "
                         "fs.inotify.max_user_instances",
                         s->segment.network);
    if (r)
        return error_set(error, -r, "cannot watch network \"%s\": %s", s->segment.network,
                         error_words(-r));
    switch_scan(s);
    return 0;
}

static void switch_serve(struct net_switch *s, const struct net_switch_options *options)
{
    struct dhcp_lease *lease = &s->service.lease;

    *lease = (struct dhcp_lease){.address = s->segment.subnet | s->segment.host,
                                 .mask = ~0u << (32 - MASK_BITS),
                                 .server = s->segment.subnet | SERVICE_HOST,
                                 .host = s->segment.self.name,
                                 .domain = s->segment.network};
    memcpy(lease->mac, options->mac, sizeof(lease->mac));
    s->service.zone =
        (struct dns_zone){.network = s->segment.network, .find = switch_find, .ctx = s};
}

int net_switch_new(struct net **net, struct loop *loop, const struct net_switch_options *options,
                   const struct log *log, struct error *error)
{
    struct net_switch *s = calloc(1, sizeof(*s));
    uint64_t secret = 0;
    int r;

    if (!s)
        return error_set(error, ENOMEM, "cannot join a network: out of memory");
    s->net.type = &switch_type;
    s->net.loop = loop;
    if (log)
        s->log = *log;
    s->watch = -1;
    for (unsigned i = 0; i < SEGMENT_MEMBERS_MAX; i++) {
        s->peers[i].owner = s;
        s->peers[i].socket = -1;
        frame_queue_init(&s->peers[i].queue);
    }
    frame_queue_init(&s->answers);
    deferred_init(&s->turn, switch_turn, s);
    if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
        BUG_ON(errno != EINTR);
    learn_init(&s->learn, secret);
    r = segment_join(&s->segment, options->directory, SEGMENT_PORT, options->machine,
                     options->index, error);
    if (!r) {
        switch_serve(s, options);
        r = switch_open(s, error);
    }
    if (r) {
        switch_free(&s->net);
        return r;
    }
    *net = &s->net;
    return 0;
}

struct net_switch_counters net_switch_counters(const struct net *net)
{
    return switch_of(net)->counters;
}
