/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface of the host: frames go straight to and from the host kernel (its
 * Documentation/networking/tuntap.rst).
 *
 * One frame is held back while the guest has no room for it, and nothing is read until it has; the
 * interface's own queue then fills, and the host kernel drops what is too much, as any interface
 * does.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "network/frame.h"
#include "network/net.h"

/* Then the loop's other work gets its turn. */
#define FRAMES_A_TURN 64

struct net_tap {
    struct net net;
    struct log log;
    char interface[IFNAMSIZ];
    int fd;
    bool gone; /* the interface was deleted on the host; nothing is watched any more */
    struct deferred turn;
    uint32_t held; /* length of the frame that the guest had no room for; 0: none */
    uint8_t frame[NET_FRAME_MAX];
};

static struct net_tap *tap_of(struct net *net)
{
    return container_of(net, struct net_tap, net);
}

/* ---- frames ---- */

/* Returns true when the port took it or nobody is there to take it. */
static bool tap_offer(const struct net_tap *tap, uint32_t length)
{
    const struct net_port *port = &tap->net.port;

    return !port->receive || port->receive(port->ctx, tap->frame, length);
}

static void tap_lost(struct net_tap *tap, int code)
{
    log_say(&tap->log, LOG_ERROR, "network interface \"%s\" is gone: %s; the guest has no network",
            tap->interface, error_words(code));
    /* Its descriptor reports an error for ever. */
    loop_remove_fd(tap->net.loop, tap->fd);
    tap->gone = true;
}

static void tap_ready_to_read(void *ctx, int fd, uint32_t events)
{
    struct net_tap *tap = ctx;
    unsigned i;

    for (i = 0; i < FRAMES_A_TURN; i++) {
        ssize_t n = read(fd, tap->frame, sizeof(tap->frame));

        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                tap_lost(tap, errno);
            return;
        }
        if (n && !tap_offer(tap, (uint32_t)n)) {
            tap->held = (uint32_t)n;
            loop_set_fd(tap->net.loop, fd, 0);
            return;
        }
    }
}

static void tap_turn(void *ctx)
{
    struct net_tap *tap = ctx;

    if (!tap->held || !tap_offer(tap, tap->held))
        return;
    tap->held = 0;
    if (!tap->gone)
        loop_set_fd(tap->net.loop, tap->fd, EPOLLIN);
}

static void tap_ready(struct net *net)
{
    struct net_tap *tap = tap_of(net);

    if (tap->held)
        loop_post(net->loop, &tap->turn);
}

static void tap_send(struct net *net, const struct iovec *iov, unsigned iov_count, uint32_t length)
{
    struct net_tap *tap = tap_of(net);
    ssize_t n;

    if (tap->gone || length < FRAME_HEADER_SIZE || length > NET_FRAME_MAX || iov_count > IOV_MAX) {
        net->lost_out++;
        return;
    }
    /* By number: libc's wrapper would have ThreadSanitizer look into the guest's buffers. A frame
     * that the host does not take (its queue is full, the interface is down) is lost, as on any
     * network. */
    do
        n = syscall(SYS_writev, tap->fd, iov, (unsigned long)iov_count);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        net->lost_out++;
}

static void tap_free(struct net *net)
{
    struct net_tap *tap = tap_of(net);

    if (tap->fd >= 0) {
        if (!tap->gone)
            loop_remove_fd(net->loop, tap->fd);
        close(tap->fd);
    }
    loop_unpost(net->loop, &tap->turn);
    free(tap);
}

static const struct net_type tap_type = {
    .name = "tap",
    .send = tap_send,
    .ready = tap_ready,
    .free = tap_free,
};

/* ---- the interface ---- */

/* What the kernel takes for a name (dev_valid_name()), without the '%' that would make it a
 * pattern. */
static bool interface_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    size_t i;

    if (!length || length >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    for (i = 0; i < length; i++)
        if (name[i] == '/' || name[i] == ':' || name[i] == '%' || isspace((unsigned char)name[i]))
            return false;
    return true;
}

static int tap_open_failed(int code, struct error *error)
{
    if (code == ENOENT || code == ENODEV || code == ENXIO)
        return error_set(error, code,
                         "cannot open \"/dev/net/tun\": %s; load its driver with: sudo modprobe "
                         "tun",
                         error_words(code));
    return error_set(error, code,
                     "cannot open \"/dev/net/tun\": %s; use --net user, or run as a user who may "
                     "open it",
                     error_words(code));
}

static int tap_attach_failed(const char *interface, bool exists, int code, struct error *error)
{
    switch (code) {
    case EPERM:
    case EACCES:
        if (exists)
            return error_set(error, code,
                             "cannot use network interface \"%s\": it belongs to another user; "
                             "make it anew with: sudo ip link delete %s; sudo ip tuntap add dev %s "
                             "mode tap user \"$USER\"; sudo ip link set %s up",
                             interface, interface, interface, interface);
        return error_set(error, code,
                         "cannot make network interface \"%s\": no permission; make it with: sudo "
                         "ip tuntap add dev %s mode tap user \"$USER\"; sudo ip link set %s up",
                         interface, interface, interface);
    case EBUSY:
        return error_set(error, code,
                         "cannot use network interface \"%s\": in use by another machine; give "
                         "each its own",
                         interface);
    case EINVAL:
        return error_set(error, code,
                         "cannot use network interface \"%s\": not a tap interface; name a new "
                         "one, or one from: ip tuntap show",
                         interface);
    default:
        return error_set(error, code,
                         "cannot use network interface \"%s\": %s; see it with: ip link show %s",
                         interface, error_words(code), interface);
    }
}

/* Brings up what we made. An interface of somebody else's that is down is his to bring up. */
static void tap_bring_up(const struct net_tap *tap, bool ours)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    bool up = false;

    strcpy(request.ifr_name, tap->interface);
    if (fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &request)) {
        up = request.ifr_flags & IFF_UP;
        if (!up && ours) {
            request.ifr_flags |= IFF_UP;
            up = !ioctl(fd, SIOCSIFFLAGS, &request);
        }
    }
    if (fd >= 0)
        close(fd);
    if (!up)
        log_say(&tap->log, LOG_WARN,
                "network interface \"%s\" is down; bring it up with: sudo ip link set %s up",
                tap->interface, tap->interface);
}

static int tap_attach(struct net_tap *tap, struct error *error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    bool exists = if_nametoindex(tap->interface) != 0;
    int r;

    tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tap->fd < 0)
        return tap_open_failed(errno, error);
    strcpy(request.ifr_name, tap->interface);
    /* No offloads, also where an earlier user left some: every frame is whole and has its
     * checksums. */
    if (ioctl(tap->fd, TUNSETIFF, &request) < 0 || ioctl(tap->fd, TUNSETOFFLOAD, 0ul) < 0)
        r = tap_attach_failed(tap->interface, exists, errno, error);
    else
        r = loop_add_fd(tap->net.loop, tap->fd, EPOLLIN, tap_ready_to_read, tap);
    if (r) {
        close(tap->fd);
        tap->fd = -1;
        return r;
    }
    tap_bring_up(tap, !exists);
    return 0;
}

int net_tap_new(struct net **net, struct loop *loop, const char *interface, const struct log *log,
                struct error *error)
{
    struct net_tap *tap;
    int r;

    if (!interface_name_is_valid(interface))
        return error_usage(error,
                           "cannot use network interface \"%s\": not a name; use 1 to %d "
                           "letters and digits, as tap0",
                           interface, IFNAMSIZ - 1);
    tap = calloc(1, sizeof(*tap));
    if (!tap)
        return error_set(error, ENOMEM, "cannot use network interface \"%s\": out of memory",
                         interface);
    tap->net.type = &tap_type;
    tap->net.loop = loop;
    if (log)
        tap->log = *log;
    tap->fd = -1;
    strcpy(tap->interface, interface);
    deferred_init(&tap->turn, tap_turn, tap);
    r = tap_attach(tap, error);
    if (r) {
        tap_free(&tap->net);
        return r;
    }
    *net = &tap->net;
    return 0;
}
