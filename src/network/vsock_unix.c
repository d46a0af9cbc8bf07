/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/unix_socket.h"
#include "network/frame.h"
#include "network/vsock.h"

/* Links of each side's programs, those included that only wait for a slow reader: neither side can
 * take the other's. */
#define LINKS_MAX 256u
#define BACKLOG   64

/* Then the loop's other work gets its turn. */
#define ACCEPTS_A_TURN 16

/* Without descriptors the listener would be ready for ever. */
#define ACCEPT_RETRY_NS 1000000000u

/* "CONNECT 4294967295\r\n" and some blanks. */
#define GREETING_MAX 32u

/*
 *   accepted --> GREETING --> OFFERED --> OPEN --> LINGERING --> gone
 *                   |            |         ^           ^
 *                   +--> gone    +-> gone  |           | nothing is buffered: gone at once
 *   vsock_open() --------------------------+
 */
enum link_state {
    LINK_GREETING,  /* the program has not said yet what it wants */
    LINK_OFFERED,   /* the device asks the guest */
    LINK_OPEN,      /* bytes flow */
    LINK_LINGERING, /* the device is done with it; what is buffered goes out */
};

struct unix_vsock;

struct unix_link {
    struct vsock_link link;
    struct unix_vsock *bridge;
    struct unix_link *next, **self;
    int fd;
    enum link_state state;
    bool by_guest;
    bool ending;    /* a hang-up was seen: there is an end behind the bytes, and no event for it */
    bool finishing; /* the guest sends no more */
    bool deaf;      /* the host takes no more */
    uint8_t *ring;  /* VSOCK_BUFFER bytes while there is something in it, else NULL */
    uint32_t begin;
    uint32_t used;
};

struct unix_vsock {
    struct vsock vsock;
    struct loop *loop;
    struct log log;
    char path[VSOCK_PATH_MAX + 1];
    int listener;
    struct stat file; /* what was made at `path` */
    struct timer retry;
    bool muted; /* the listener is */
    struct unix_link *links;
    unsigned counts[2]; /* by by_guest */
};

static struct unix_vsock *bridge_of(struct vsock *vsock)
{
    return container_of(vsock, struct unix_vsock, vsock);
}

static struct unix_link *link_of(struct vsock_link *link)
{
    return container_of(link, struct unix_link, link);
}

/* ---- the first line ---- */

int vsock_unix_parse(const char *bytes, size_t length, uint32_t *port)
{
    static const char word[] = "CONNECT";
    const char *end = memchr(bytes, '\n', length), *at = bytes;
    uint64_t value = 0;

    if (!end)
        return length < GREETING_MAX ? 0 : -EPROTO;
    length = (size_t)(end - bytes) + 1;
    if (end > bytes && end[-1] == '\r')
        end--;
    if ((size_t)(end - at) < sizeof(word) || strncasecmp(at, word, sizeof(word) - 1) != 0)
        return -EPROTO;
    at += sizeof(word) - 1;
    if (*at != ' ')
        return -EPROTO;
    while (at < end && *at == ' ')
        at++;
    if (at == end)
        return -EPROTO;
    for (; at < end; at++) {
        if (!isdigit((unsigned char)*at))
            return -EPROTO;
        value = value * 10 + (uint64_t)(*at - '0');
        /* The last one is no port but VMADDR_PORT_ANY (vsock(7)). */
        if (value >= UINT32_MAX)
            return -EPROTO;
    }
    *port = (uint32_t)value;
    return (int)length;
}

/* ---- life of a link ---- */

static void bridge_mute(struct unix_vsock *bridge, bool muted)
{
    bridge->muted = muted;
    loop_set_fd(bridge->loop, bridge->listener, muted ? 0 : EPOLLIN);
}

static void link_drop_buffer(struct unix_link *link)
{
    free(link->ring);
    link->ring = NULL;
    link->begin = 0;
    link->used = 0;
}

static void link_free(struct unix_link *link)
{
    struct unix_vsock *bridge = link->bridge;

    loop_remove_fd(bridge->loop, link->fd);
    close(link->fd);
    link_drop_buffer(link);
    *link->self = link->next;
    if (link->next)
        link->next->self = link->self;
    bridge->counts[link->by_guest]--;
    if (bridge->muted && !link->by_guest)
        bridge_mute(bridge, false);
    free(link);
}

static void link_ready(void *ctx, int fd, uint32_t events);

/* Takes the descriptor over, on failure too. */
static int link_new(struct unix_vsock *bridge, int fd, bool by_guest, struct unix_link **out)
{
    struct unix_link *link = calloc(1, sizeof(*link));
    int r;

    if (!link) {
        close(fd);
        return -ENOMEM;
    }
    link->link.vsock = &bridge->vsock;
    link->bridge = bridge;
    link->fd = fd;
    link->by_guest = by_guest;
    /* Once for all, since what a link waits for changes with nearly every packet. */
    r = loop_add_fd(bridge->loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, link_ready, link);
    if (r) {
        close(fd);
        free(link);
        return r;
    }
    link->next = bridge->links;
    link->self = &bridge->links;
    if (link->next)
        link->next->self = &link->next;
    bridge->links = link;
    bridge->counts[by_guest]++;
    *out = link;
    return 0;
}

/* ---- to the host ---- */

/* By number: libc's wrapper would have ThreadSanitizer look into the guest's buffers. */
static ssize_t link_send(struct unix_link *link, const struct iovec *iov, unsigned iov_count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = iov_count};
    ssize_t n;

    do
        n = syscall(SYS_sendmsg, link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
        return 0;
    link->deaf = true;
    link_drop_buffer(link);
    return -EPIPE;
}

static void link_emptied(struct unix_link *link)
{
    link_drop_buffer(link);
    if (link->finishing)
        shutdown(link->fd, SHUT_WR);
}

/* Returns how many bytes went out. */
static uint32_t link_flush(struct unix_link *link)
{
    uint32_t first = VSOCK_BUFFER - link->begin, before = link->used;
    const struct iovec iov[2] = {
        {link->ring + link->begin, first < link->used ? first : link->used},
        {link->ring, first < link->used ? link->used - first : 0},
    };
    ssize_t n = link_send(link, iov, iov[1].iov_len ? 2 : 1);

    if (n < 0)
        return 0;
    link->begin = (link->begin + (uint32_t)n) % VSOCK_BUFFER;
    link->used -= (uint32_t)n;
    if (!link->used)
        link_emptied(link);
    return before - link->used;
}

/* Buffers what lies behind the first `skip` bytes. */
static int link_keep(struct unix_link *link, const struct iovec *iov, unsigned iov_count,
                     uint64_t skip)
{
    if (!link->ring)
        link->ring = malloc(VSOCK_BUFFER);
    if (!link->ring)
        return -ENOMEM;
    for (unsigned i = 0; i < iov_count; i++) {
        uint64_t skipped = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        struct iovec rest = {(uint8_t *)iov[i].iov_base + skipped, iov[i].iov_len - skipped};

        skip -= skipped;
        BUG_ON(rest.iov_len > VSOCK_BUFFER - link->used);
        while (rest.iov_len) {
            uint32_t at = (link->begin + link->used) % VSOCK_BUFFER;
            uint32_t part = frame_gather(&rest, 1, link->ring + at, VSOCK_BUFFER - at);

            link->used += part;
            rest.iov_base = (uint8_t *)rest.iov_base + part;
            rest.iov_len -= part;
        }
    }
    return 0;
}

static ssize_t unix_write(struct vsock_link *head, const struct iovec *iov, unsigned iov_count,
                          uint32_t length)
{
    struct unix_link *link = link_of(head);
    ssize_t sent = 0;

    if (link->deaf)
        return -EPIPE;
    if (!link->used && length)
        sent = link_send(link, iov, iov_count);
    if (sent < 0 || sent == length)
        return sent;
    return link_keep(link, iov, iov_count, (uint64_t)sent) ? -ENOMEM : sent;
}

static void unix_finish(struct vsock_link *head)
{
    struct unix_link *link = link_of(head);

    link->finishing = true;
    if (!link->used)
        shutdown(link->fd, SHUT_WR);
}

/* ---- from the host ---- */

static ssize_t unix_read(struct vsock_link *head, const struct iovec *iov, unsigned iov_count,
                         bool *more)
{
    struct unix_link *link = link_of(head);
    uint64_t wanted = 0;
    ssize_t n;

    for (unsigned i = 0; i < iov_count; i++)
        wanted += iov[i].iov_len;
    /* By number, as in link_send(). */
    do
        n = syscall(SYS_readv, link->fd, iov, (unsigned long)iov_count);
    while (n < 0 && errno == EINTR);
    *more = n > 0 && ((uint64_t)n == wanted || link->ending);
    if (n < 0)
        /* An error is the end of a program that left bytes unread; that is a hang-up, too. */
        return errno == EAGAIN ? -EAGAIN : 0;
    return n;
}

static void unix_mute(struct vsock_link *head)
{
    shutdown(link_of(head)->fd, SHUT_RD);
}

static void unix_close(struct vsock_link *head)
{
    struct unix_link *link = link_of(head);

    if (!link->used) {
        link_free(link);
        return;
    }
    link->state = LINK_LINGERING;
    link->finishing = true;
    shutdown(link->fd, SHUT_RD);
}

static void unix_accept(struct vsock_link *head, uint32_t host_port)
{
    struct unix_link *link = link_of(head);
    char line[32];
    struct iovec iov = {line, (size_t)snprintf(line, sizeof(line), "OK %u\n", host_port)};

    link->state = LINK_OPEN;
    /* A new socket has room for it. One that has not will not be read to its first line either. */
    if (link_send(link, &iov, 1) != (ssize_t)iov.iov_len)
        link->deaf = true;
}

/* ---- events ---- */

/* What follows the line stays in the socket: it is the guest's. False: the link is gone. */
static bool link_greet(struct unix_link *link)
{
    struct vsock_port *port = &link->bridge->vsock.port;
    char line[GREETING_MAX];
    uint32_t number = 0;
    ssize_t n = recv(link->fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
    int length = -EPROTO;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        n = length = 0;
    else if (n > 0)
        length = vsock_unix_parse(line, (size_t)n, &number);
    if (!length && !link->ending)
        return false;
    if (length <= 0 || recv(link->fd, line, (size_t)length, MSG_DONTWAIT) != length ||
        !port->connect || port->connect(port->ctx, &link->link, number)) {
        link_free(link);
        return false;
    }
    link->state = LINK_OFFERED;
    return true;
}

static void link_ready(void *ctx, int fd, uint32_t events)
{
    struct unix_link *link = ctx;
    struct vsock_port *port = &link->bridge->vsock.port;
    bool hung_up = events & (EPOLLHUP | EPOLLERR);
    uint32_t drained = 0;

    if (events & EPOLLRDHUP || hung_up)
        link->ending = true;
    /* What came with the line was told by this event, and will not be by another. */
    if (link->state == LINK_GREETING && !link_greet(link))
        return;
    if (link->used && !hung_up)
        drained = link_flush(link);
    if (hung_up)
        link_drop_buffer(link);
    link->deaf |= hung_up;
    if (link->state == LINK_LINGERING) {
        if (!link->used)
            link_free(link);
        return;
    }
    if (drained)
        port->drained(port->ctx, &link->link, drained);
    if (link->deaf)
        port->hung_up(port->ctx, &link->link);
    if (events & (EPOLLIN | EPOLLRDHUP) || hung_up)
        port->readable(port->ctx, &link->link);
}

static void bridge_retry(void *ctx)
{
    struct unix_vsock *bridge = ctx;

    bridge_mute(bridge, false);
}

static void bridge_accept(void *ctx, int fd, uint32_t events)
{
    struct unix_vsock *bridge = ctx;
    struct unix_link *link;

    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        int client;

        if (bridge->counts[false] == LINKS_MAX) {
            bridge_mute(bridge, true);
            return;
        }
        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0) {
            if (link_new(bridge, client, false, &link))
                return;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log_say(&bridge->log, LOG_WARN, "cannot accept a connection at \"%s\": %s",
                    bridge->path, error_words(errno));
            bridge_mute(bridge, true);
            timer_set(&bridge->retry, monotonic_ns() + ACCEPT_RETRY_NS);
        }
        return;
    }
}

static int unix_open(struct vsock *vsock, uint32_t port, void *owner, struct vsock_link **out)
{
    struct unix_vsock *bridge = bridge_of(vsock);
    char path[UNIX_SOCKET_PATH_MAX + 1];
    struct unix_link *link;
    int fd, r;

    if (bridge->counts[true] == LINKS_MAX)
        return -EAGAIN;
    snprintf(path, sizeof(path), "%s_%u", bridge->path, port);
    fd = unix_socket_connect(path);
    if (fd < 0)
        return fd;
    r = link_new(bridge, fd, true, &link);
    if (r)
        return r;
    link->state = LINK_OPEN;
    link->link.owner = owner;
    *out = &link->link;
    return 0;
}

/* ---- the bridge ---- */

static void unix_free(struct vsock *vsock)
{
    struct unix_vsock *bridge = bridge_of(vsock);
    struct stat st;

    timer_cancel(&bridge->retry);
    bridge->muted = false;
    while (bridge->links)
        link_free(bridge->links);
    if (bridge->listener >= 0) {
        loop_remove_fd(bridge->loop, bridge->listener);
        close(bridge->listener);
        /* Not what somebody else has put there since. */
        if (!lstat(bridge->path, &st) && st.st_dev == bridge->file.st_dev &&
            st.st_ino == bridge->file.st_ino)
            unlink(bridge->path);
    }
    free(bridge);
}

static const struct vsock_type unix_type = {
    .name = "unix",
    .open = unix_open,
    .accept = unix_accept,
    .read = unix_read,
    .write = unix_write,
    .finish = unix_finish,
    .mute = unix_mute,
    .close = unix_close,
    .free = unix_free,
};

static int bridge_failed(const char *path, int code, struct error *error)
{
    if (code == EADDRINUSE)
        return error_set(error, code,
                         "cannot make the socket \"%s\": it is in use, or no socket; give each "
                         "machine a path of its own with --vsock",
                         path);
    return error_set(error, code, "cannot make the socket \"%s\": %s; check the path", path,
                     error_words(code));
}

int vsock_unix_new(struct vsock **vsock, struct loop *loop, const char *path, const struct log *log,
                   struct error *error)
{
    struct unix_vsock *bridge;
    int r;

    if (!*path || strlen(path) > VSOCK_PATH_MAX)
        return bridge_failed(path, ENAMETOOLONG, error);
    bridge = calloc(1, sizeof(*bridge));
    if (!bridge)
        return bridge_failed(path, ENOMEM, error);
    bridge->vsock.type = &unix_type;
    bridge->loop = loop;
    if (log)
        bridge->log = *log;
    strcpy(bridge->path, path);
    timer_init(&bridge->retry, loop, bridge_retry, bridge);
    bridge->listener = unix_socket_listen(path, BACKLOG);
    r = bridge->listener < 0 ? bridge->listener : 0;
    if (!r && lstat(path, &bridge->file))
        r = -errno;
    if (!r)
        r = loop_add_fd(loop, bridge->listener, EPOLLIN, bridge_accept, bridge);
    if (r) {
        unix_free(&bridge->vsock);
        return bridge_failed(path, -r, error);
    }
    *vsock = &bridge->vsock;
    return 0;
}
