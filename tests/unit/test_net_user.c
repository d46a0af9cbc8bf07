/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user network with a guest of a few frames: what it is told by DHCP, ARP and ping of the
 * router, datagrams and connections to and from sockets of the host, back-pressure, and hostile
 * frames. Nothing leaves the host.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "network/net.h"
#include "network/packet.h"
#include "network/slirp.h"

#define NS_PER_MS 1000000u
#define PATIENCE  (5000ull * NS_PER_MS)

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHER_SIZE = 14,
    IP_SIZE = 20,
    UDP_SIZE = 8,
    ROUTER = 0x0a000202,
    GUEST = 0x0a00020f,
};

static const uint8_t guest_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

/* The tests are run twice: with the network in this process, and in its own. */
static bool within;

/* A guest that keeps what it is sent and stops the loop when it has what it waits for. */
struct guest {
    struct loop *loop;
    struct net *net;
    struct timer patience;
    bool (*wanted)(const struct guest *guest);
    bool deaf;    /* takes no frames */
    bool in_send; /* inside net_send() */
    bool unplugged;
    bool lost;
    unsigned frames; /* received */
    uint8_t frame[NET_FRAME_MAX];
    uint32_t length;
    uint8_t router_mac[6];
    char log[256];
};

/* The Internet checksum (RFC 1071) over data that begins with the sum `start`. */
static uint16_t checksum(uint32_t start, const uint8_t *p, size_t length)
{
    uint32_t sum = start;
    size_t i;

    for (i = 0; i < length; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool guest_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct guest *guest = ctx;

    assert_false(guest->in_send);
    if (guest->deaf)
        return false;
    assert_true(length >= ETHER_SIZE && length <= sizeof(guest->frame));
    memcpy(guest->frame, frame, length);
    guest->length = length;
    guest->frames++;
    if (guest->wanted && guest->wanted(guest))
        loop_stop(guest->loop, 1);
    return true;
}

static void guest_tired(void *ctx)
{
    struct guest *guest = ctx;

    loop_stop(guest->loop, 0);
}

static void guest_unplugged(void *ctx)
{
    struct guest *guest = ctx;

    assert_false(guest->in_send);
    guest->unplugged = true;
}

static void guest_lost(void *ctx)
{
    struct guest *guest = ctx;

    guest->lost = true;
    loop_stop(guest->loop, 1);
}

static void guest_log(void *ctx, enum log_level level, const char *text)
{
    struct guest *guest = ctx;

    snprintf(guest->log, sizeof(guest->log), "%s", text);
}

/* Returns true when the frame that it waits for came. */
static bool guest_wait(struct guest *guest, bool (*wanted)(const struct guest *guest),
                       uint64_t patience_ns)
{
    int r;

    guest->wanted = wanted;
    timer_set(&guest->patience, monotonic_ns() + patience_ns);
    r = loop_run(guest->loop);
    timer_cancel(&guest->patience);
    guest->wanted = NULL;
    return r;
}

/* In three pieces, so that gathering is tested as well. */
static void guest_send(struct guest *guest, uint8_t *frame, uint32_t length)
{
    uint32_t first = length < 7 ? length : 7;
    struct iovec iov[3] = {
        {.iov_base = frame, .iov_len = first},
        {.iov_base = frame, .iov_len = 0},
        {.iov_base = frame + first, .iov_len = length - first},
    };

    /* As a guest's frames wait in its ring. */
    while (!net_can_send(guest->net))
        guest_wait(guest, NULL, NS_PER_MS);
    guest->in_send = true;
    net_send(guest->net, iov, 3, length);
    guest->in_send = false;
}

static void guest_open(struct guest *guest, const struct net_forward *forwards, unsigned count)
{
    static const uint8_t unknown[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const struct log log = {.sink = guest_log, .ctx = guest};
    const struct net_port port = {.receive = guest_receive,
                                  .unplugged = guest_unplugged,
                                  .ctx = guest};
    struct error error = ERROR_INIT;

    assert_int_equal(loop_new(&guest->loop), 0);
    timer_init(&guest->patience, guest->loop, guest_tired, guest);
    memcpy(guest->router_mac, unknown, sizeof(unknown));
    const struct net_user_options options = {.forwards = forwards,
                                             .forward_count = count,
                                             .hostname = "hospes-guest",
                                             .lost = guest_lost,
                                             .ctx = guest};
    int r = within ? net_slirp_new(&guest->net, guest->loop, &options, &log, &error)
                   : net_user_new(&guest->net, guest->loop, &options, &log, &error);

    if (r)
        fail_msg("%s", error.message);
    net_attach(guest->net, &port);
}

static void guest_close(struct guest *guest)
{
    net_free(guest->net);
    loop_free(guest->loop);
    free(guest);
}

static struct guest *guest_new(void)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    assert_non_null(guest);
    return guest;
}

/* ---- frames ---- */

static void ether_put(const struct guest *guest, uint8_t *frame, unsigned type)
{
    memcpy(frame, guest->router_mac, 6);
    memcpy(frame + 6, guest_mac, 6);
    store_be16(frame + 12, type);
}

/* Fills the Ethernet and IPv4 headers of a packet with `length` bytes behind them. Returns the
 * frame's length. */
static uint32_t ip_put(const struct guest *guest, uint8_t *frame, unsigned protocol, uint32_t from,
                       uint32_t to, uint32_t length)
{
    uint8_t *ip = frame + ETHER_SIZE;

    ether_put(guest, frame, ETHERTYPE_IPV4);
    memset(ip, 0, IP_SIZE);
    ip[0] = 0x45;
    store_be16(ip + 2, IP_SIZE + length);
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    store_be32(ip + 12, from);
    store_be32(ip + 16, to);
    store_be16(ip + 10, checksum(0, ip, IP_SIZE));
    return ETHER_SIZE + IP_SIZE + length;
}

static uint32_t udp_put(const struct guest *guest, uint8_t *frame, uint32_t from, uint32_t to,
                        unsigned from_port, unsigned to_port, uint32_t length)
{
    uint8_t *udp = frame + ETHER_SIZE + IP_SIZE;

    store_be16(udp, from_port);
    store_be16(udp + 2, to_port);
    store_be16(udp + 4, UDP_SIZE + length);
    store_be16(udp + 6, 0); /* no checksum: allowed over IPv4 (RFC 768) */
    return ip_put(guest, frame, IPPROTO_UDP, from, to, UDP_SIZE + length);
}

static const uint8_t *ip_of(const struct guest *guest, unsigned protocol)
{
    const uint8_t *ip = guest->frame + ETHER_SIZE;

    if (guest->length < ETHER_SIZE + IP_SIZE || load_be16(guest->frame + 12) != ETHERTYPE_IPV4 ||
        ip[9] != protocol)
        return NULL;
    return ip;
}

static bool is_arp_reply(const struct guest *guest)
{
    return load_be16(guest->frame + 12) == ETHERTYPE_ARP && load_be16(guest->frame + 20) == 2 &&
           load_be32(guest->frame + 28) == ROUTER;
}

/* RFC 826. Also what tells libslirp where the guest is. */
static void guest_resolve(struct guest *guest)
{
    uint8_t frame[42] = {0};

    ether_put(guest, frame, ETHERTYPE_ARP);
    store_be16(frame + 14, 1);
    store_be16(frame + 16, ETHERTYPE_IPV4);
    frame[18] = 6;
    frame[19] = 4;
    store_be16(frame + 20, 1);
    memcpy(frame + 22, guest_mac, 6);
    store_be32(frame + 28, GUEST);
    store_be32(frame + 38, ROUTER);
    guest_send(guest, frame, sizeof(frame));
    assert_true(guest_wait(guest, is_arp_reply, PATIENCE));
    memcpy(guest->router_mac, guest->frame + 6, 6);
}

/* ---- DHCP (RFC 2131, 2132) ---- */

enum { BOOTP_SIZE = 236, DHCP_COOKIE = 0x63825363 };

static bool is_dhcp_offer(const struct guest *guest)
{
    const uint8_t *ip = ip_of(guest, IPPROTO_UDP);

    return ip && load_be16(ip + IP_SIZE) == 67 && load_be16(ip + IP_SIZE + 2) == 68;
}

/* The value of an option, or NULL; *length its length. */
static const uint8_t *dhcp_option(const uint8_t *p, const uint8_t *end, unsigned code,
                                  unsigned *length)
{
    while (p + 2 <= end && *p != 255) {
        if (!*p) {
            p++;
            continue;
        }
        *length = p[1];
        if (p + 2 + *length > end)
            return NULL;
        if (*p == code)
            return p + 2;
        p += 2 + *length;
    }
    return NULL;
}

static void dhcp_offers_address(void **state)
{
    struct guest *guest = guest_new();
    uint8_t frame[600] = {0};
    uint8_t *bootp = frame + ETHER_SIZE + IP_SIZE + UDP_SIZE;
    const uint8_t discover[] = {53, 1, 1, 55, 3, 1, 3, 6, 255};
    const uint8_t *reply, *end, *value;
    unsigned length = 0;

    guest_open(guest, NULL, 0);
    bootp[0] = 1;
    bootp[1] = 1;
    bootp[2] = 6;
    store_be32(bootp + 4, 0x1234abcd);
    memcpy(bootp + 28, guest_mac, 6);
    store_be32(bootp + BOOTP_SIZE, DHCP_COOKIE);
    memcpy(bootp + BOOTP_SIZE + 4, discover, sizeof(discover));
    guest_send(guest, frame, udp_put(guest, frame, 0, 0xffffffff, 68, 67, BOOTP_SIZE + 64));
    assert_true(guest_wait(guest, is_dhcp_offer, PATIENCE));

    reply = guest->frame + ETHER_SIZE + IP_SIZE + UDP_SIZE;
    end = guest->frame + guest->length;
    assert_int_equal(load_be32(reply + 4), 0x1234abcd);
    assert_int_equal(load_be32(reply + 16), GUEST);
    reply += BOOTP_SIZE + 4;
    value = dhcp_option(reply, end, 53, &length);
    assert_non_null(value);
    assert_int_equal(*value, 2);
    value = dhcp_option(reply, end, 3, &length);
    assert_non_null(value);
    assert_int_equal(load_be32(value), ROUTER);
    value = dhcp_option(reply, end, 6, &length);
    assert_non_null(value);
    assert_int_equal(load_be32(value), 0x0a000203);
    value = dhcp_option(reply, end, 12, &length);
    assert_non_null(value);
    assert_int_equal(length, strlen("hospes-guest"));
    assert_memory_equal(value, "hospes-guest", length);
    guest_close(guest);
}

/* ---- the router ---- */

static bool is_echo_reply(const struct guest *guest)
{
    const uint8_t *ip = ip_of(guest, IPPROTO_ICMP);

    return ip && ip[IP_SIZE] == 0 && load_be32(ip + 12) == ROUTER;
}

static void router_answers_ping(void **state)
{
    struct guest *guest = guest_new();
    uint8_t frame[128];
    uint8_t *icmp = frame + ETHER_SIZE + IP_SIZE;

    guest_open(guest, NULL, 0);
    guest_resolve(guest);
    memset(icmp, 0x5a, 64);
    icmp[0] = 8;
    icmp[1] = 0;
    store_be16(icmp + 2, 0);
    store_be16(icmp + 2, checksum(0, icmp, 64));
    guest_send(guest, frame, ip_put(guest, frame, IPPROTO_ICMP, GUEST, ROUTER, 64));
    assert_true(guest_wait(guest, is_echo_reply, PATIENCE));
    assert_int_equal(guest->length, ETHER_SIZE + IP_SIZE + 64);
    assert_memory_equal(guest->frame + ETHER_SIZE + IP_SIZE + 4, icmp + 4, 60);
    guest_close(guest);
}

/* What goes no further is counted, also where another process finds out. */
static void what_is_dropped_is_counted(void **state)
{
    enum { ETHERTYPE_LLDP = 0x88cc };
    struct guest *guest = guest_new();

    guest_open(guest, NULL, 0);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t frame[60] = {0};

        ether_put(guest, frame, ETHERTYPE_LLDP);
        guest_send(guest, frame, sizeof(frame));
    }
    /* Whose answer comes after that. */
    guest_resolve(guest);
    assert_int_equal(guest->net->lost_out, 3);
    assert_int_equal(guest->net->lost_in, 0);
    guest_close(guest);
}

static bool is_router_advertisement(const struct guest *guest)
{
    return load_be16(guest->frame + 12) == 0x86dd && guest->frame[ETHER_SIZE + 6] == 58 &&
           guest->frame[ETHER_SIZE + 40] == 134;
}

/* RFC 4861, 4.1 and 4.2: from the prefix in the answer the guest makes its address. */
static void router_advertises_ipv6(void **state)
{
    enum { SOLICITATION = 133, PREFIX = 3, HEADER = 16 };
    struct guest *guest = guest_new();
    uint8_t frame[ETHER_SIZE + 40 + 8] = {0};
    uint8_t *ip = frame + ETHER_SIZE, *icmp = ip + 40, prefix[16];
    uint8_t pseudo[40] = {0};
    const uint8_t *option, *end;

    guest_open(guest, NULL, 0);
    ether_put(guest, frame, 0x86dd);
    ip[0] = 0x60;
    store_be16(ip + 4, 8);
    ip[6] = 58;
    ip[7] = 255;
    inet_pton(AF_INET6, "fe80::5054:ff:fe12:3456", ip + 8);
    inet_pton(AF_INET6, "ff02::2", ip + 24);
    icmp[0] = SOLICITATION;
    memcpy(pseudo, ip + 8, 32);
    store_be32(pseudo + 32, 8);
    pseudo[39] = 58;
    store_be16(icmp + 2, checksum((uint16_t)~checksum(0, pseudo, sizeof(pseudo)), icmp, 8));
    guest_send(guest, frame, sizeof(frame));
    assert_true(guest_wait(guest, is_router_advertisement, PATIENCE));

    option = guest->frame + ETHER_SIZE + 40 + HEADER;
    end = guest->frame + guest->length;
    while (option + 32 <= end && *option != PREFIX && option[1])
        option += option[1] * 8;
    assert_true(option + 32 <= end && *option == PREFIX);
    inet_pton(AF_INET6, "fec0::", prefix);
    assert_int_equal(option[2], 64);
    assert_memory_equal(option + 16, prefix, 16);
    guest_close(guest);
}

/* The only child that this process has. */
static pid_t network_process(void)
{
    char path[64];
    FILE *file;
    int pid = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)gettid());
    file = fopen(path, "re");
    if (!file || fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

/* ---- sockets of the host ---- */

/* A socket on the loopback address; *port is the one that the kernel chose. */
static int host_socket(int type, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A port that nobody has just now. */
static uint16_t host_free_port(int type)
{
    uint16_t port;

    close(host_socket(type, &port));
    return port;
}

static void host_echo(void *ctx, int fd, uint32_t events)
{
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    char text[2000];
    ssize_t n = recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &size);

    assert_true(n > 0);
    assert_int_equal(sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from, size), n);
}

static bool is_udp_to_4000(const struct guest *guest)
{
    const uint8_t *ip = ip_of(guest, IPPROTO_UDP);

    return ip && load_be16(ip + IP_SIZE + 2) == 4000;
}

static void guest_send_udp(struct guest *guest, unsigned port, const char *text)
{
    uint8_t frame[200];

    memcpy(frame + ETHER_SIZE + IP_SIZE + UDP_SIZE, text, strlen(text));
    guest_send(guest, frame,
               udp_put(guest, frame, GUEST, ROUTER, 4000, port, (uint32_t)strlen(text)));
}

/* More connections than the network's process may open files: the guest gets no further ones, and
 * that is all that happens. */
static void flood_of_connections_does_no_harm(void **state)
{
    struct guest *guest = guest_new();
    struct rlimit limit, low;
    uint16_t port;
    int fd = host_socket(SOCK_DGRAM, &port), another;
    unsigned i;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    guest_open(guest, NULL, 0);
    assert_int_equal(loop_add_fd(guest->loop, fd, 1, host_echo, NULL), 0);
    guest_resolve(guest);
    for (i = 0; i < 300; i++) {
        uint8_t frame[64];

        memset(frame, 0, sizeof(frame));
        guest_send(guest, frame, udp_put(guest, frame, GUEST, ROUTER, 5000 + i, port, 4));
        if (i % 100 == 0)
            guest_wait(guest, NULL, NS_PER_MS);
    }
    /* What the guest uses up is its network's. */
    another = dup(fd);
    assert_true(within == (another < 0));
    if (another >= 0)
        close(another);
    guest_wait(guest, NULL, 50 * NS_PER_MS);
    assert_int_equal(prlimit(within ? 0 : network_process(), RLIMIT_NOFILE, &limit, NULL), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    guest_send_udp(guest, port, "still here?");
    assert_true(guest_wait(guest, is_udp_to_4000, PATIENCE));
    loop_remove_fd(guest->loop, fd);
    close(fd);
    guest_close(guest);
}

static void host_loopback_is_reached(void **state)
{
    struct guest *guest = guest_new();
    uint16_t port;
    int fd = host_socket(SOCK_DGRAM, &port);

    guest_open(guest, NULL, 0);
    assert_int_equal(loop_add_fd(guest->loop, fd, 1, host_echo, NULL), 0);
    guest_resolve(guest);
    guest_send_udp(guest, port, "how is it out there");
    assert_true(guest_wait(guest, is_udp_to_4000, PATIENCE));
    assert_memory_equal(guest->frame + ETHER_SIZE + IP_SIZE + UDP_SIZE, "how is it out there", 19);
    loop_remove_fd(guest->loop, fd);
    close(fd);
    guest_close(guest);
}

static void queue_is_bounded_and_kept(void **state)
{
    struct guest *guest = guest_new();
    uint16_t port;
    int fd = host_socket(SOCK_DGRAM, &port);
    unsigned i;

    guest_open(guest, NULL, 0);
    assert_int_equal(loop_add_fd(guest->loop, fd, 1, host_echo, NULL), 0);
    guest_resolve(guest);
    guest->deaf = true;
    /* Far more answers of the router than are kept. */
    for (i = 0; i < 600; i++) {
        uint8_t frame[64];
        uint8_t *icmp = frame + ETHER_SIZE + IP_SIZE;

        memset(icmp, 0, 16);
        icmp[0] = 8;
        store_be16(icmp + 6, i);
        store_be16(icmp + 2, checksum(0, icmp, 16));
        guest_send(guest, frame, ip_put(guest, frame, IPPROTO_ICMP, GUEST, ROUTER, 16));
    }
    guest_send_udp(guest, port, "later");
    assert_false(guest_wait(guest, is_udp_to_4000, 50 * NS_PER_MS));
    guest->deaf = false;
    guest->frames = 0;
    net_ready(guest->net);
    assert_int_equal(guest->frames, 0); /* not from inside */
    /* What the host's socket had to say was not read while the guest was deaf, so is not lost. */
    assert_true(guest_wait(guest, is_udp_to_4000, PATIENCE));
    /* As many as the queue takes; in a process of its own the socket to it is one more. */
    if (within)
        assert_int_equal(guest->frames, 256 + 1);
    else
        assert_in_range(guest->frames, 256 + 1, 600 + 1);
    loop_remove_fd(guest->loop, fd);
    close(fd);
    guest_close(guest);
}

/* ---- forwards ---- */

enum { TCP_SIZE = 20, TCP_SYN = 2, TCP_ACK = 16, TCP_PSH = 8 };

static const uint8_t *tcp_of(const struct guest *guest)
{
    const uint8_t *ip = ip_of(guest, IPPROTO_TCP);

    return ip && load_be16(ip + IP_SIZE + 2) == 22 ? ip + IP_SIZE : NULL;
}

static bool is_tcp_syn(const struct guest *guest)
{
    const uint8_t *tcp = tcp_of(guest);

    return tcp && tcp[13] == TCP_SYN;
}

static bool is_tcp_data(const struct guest *guest)
{
    const uint8_t *tcp = tcp_of(guest);

    return tcp && load_be16(guest->frame + ETHER_SIZE + 2) > IP_SIZE + (tcp[12] >> 4) * 4;
}

static void guest_send_tcp(struct guest *guest, uint16_t to_port, uint32_t sequence,
                           uint32_t acknowledged, unsigned flags, const char *data)
{
    uint32_t length = TCP_SIZE + (uint32_t)strlen(data);
    uint8_t frame[200] = {0};
    uint8_t *tcp = frame + ETHER_SIZE + IP_SIZE;
    uint8_t pseudo[12];
    uint32_t sum;

    store_be16(tcp, 22);
    store_be16(tcp + 2, to_port);
    store_be32(tcp + 4, sequence);
    store_be32(tcp + 8, acknowledged);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    store_be16(tcp + 14, 8000);
    memcpy(tcp + TCP_SIZE, data, strlen(data));
    store_be32(pseudo, GUEST);
    store_be32(pseudo + 4, ROUTER);
    store_be16(pseudo + 8, IPPROTO_TCP);
    store_be16(pseudo + 10, length);
    sum = (uint16_t)~checksum(0, pseudo, sizeof(pseudo));
    store_be16(tcp + 16, checksum(sum, tcp, length));
    guest_send(guest, frame, ip_put(guest, frame, IPPROTO_TCP, GUEST, ROUTER, length));
}

/* A connection from the host through a forward to the guest, and a word in each direction. */
static void tcp_forward_connects(void **state)
{
    struct guest *guest = guest_new();
    struct net_forward forward = {.host_port = host_free_port(SOCK_STREAM), .guest_port = 22};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(forward.host_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint32_t theirs;
    uint16_t port;
    char text[16] = "";

    guest_open(guest, &forward, 1);
    guest_resolve(guest);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(guest_wait(guest, is_tcp_syn, PATIENCE));
    port = load_be16(tcp_of(guest));
    theirs = load_be32(tcp_of(guest) + 4) + 1;
    guest_send_tcp(guest, port, 1000, theirs, TCP_SYN | TCP_ACK, "");

    assert_int_equal(write(fd, "hello", 5), 5);
    assert_true(guest_wait(guest, is_tcp_data, PATIENCE));
    assert_memory_equal(tcp_of(guest) + (tcp_of(guest)[12] >> 4) * 4, "hello", 5);
    guest_send_tcp(guest, port, 1001, theirs + 5, TCP_ACK | TCP_PSH, "welcome");
    guest_wait(guest, NULL, 50 * NS_PER_MS);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(read(fd, text, sizeof(text)), 7);
    assert_string_equal(text, "welcome");
    close(fd);
    guest_close(guest);
}

static void udp_forward_arrives(void **state)
{
    struct guest *guest = guest_new();
    struct net_forward forward = {.udp = true,
                                  .host_address = "127.0.0.1",
                                  .host_port = host_free_port(SOCK_DGRAM),
                                  .guest_port = 4000};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(forward.host_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    guest_open(guest, &forward, 1);
    guest_resolve(guest);
    assert_int_equal(sendto(fd, "knock", 5, 0, (struct sockaddr *)&address, sizeof(address)), 5);
    assert_true(guest_wait(guest, is_udp_to_4000, PATIENCE));
    assert_memory_equal(guest->frame + ETHER_SIZE + IP_SIZE + UDP_SIZE, "knock", 5);
    close(fd);
    guest_close(guest);
}

static void forward_fails(const struct net_forward *forward, int code, const char *words)
{
    const struct net_user_options options = {.forwards = forward, .forward_count = 1};
    struct error error = ERROR_INIT;
    struct net *net = NULL;
    struct loop *loop;

    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(net_user_new(&net, loop, &options, NULL, &error), -code);
    assert_null(net);
    assert_non_null(error.message);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    error_release(&error);
    loop_free(loop);
}

static void forward_errors(void **state)
{
    struct net_forward forward = {.guest_port = 22};
    char words[64];
    int tcp = host_socket(SOCK_STREAM, &forward.host_port);
    int udp;

    assert_int_equal(listen(tcp, 1), 0);
    snprintf(words, sizeof(words), "tcp port %u of \"127.0.0.1\": in use", forward.host_port);
    forward_fails(&forward, EADDRINUSE, words);
    close(tcp);

    udp = host_socket(SOCK_DGRAM, &forward.host_port);
    forward.udp = true;
    snprintf(words, sizeof(words), "udp port %u of \"127.0.0.1\": in use", forward.host_port);
    forward_fails(&forward, EADDRINUSE, words);
    close(udp);

    strcpy(forward.host_address, "192.0.2.1"); /* nobody's: RFC 5737 */
    forward_fails(&forward, EADDRNOTAVAIL, "not an address of this host");
    strcpy(forward.host_address, "localhost");
    forward_fails(&forward, EINVAL, "\"localhost\": not an IP address");
    strcpy(forward.host_address, "");
    forward.host_port = 0;
    forward_fails(&forward, EINVAL, "1 to 65535");
}

static void assert_sleeps(struct guest *guest)
{
    struct rusage before, after;

    guest_wait(guest, NULL, NS_PER_MS);
    getrusage(RUSAGE_SELF, &before);
    guest_wait(guest, NULL, 1600 * NS_PER_MS);
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 2);
}

/* libslirp asks for two ticks a second as soon as a forward listens, and for minutes after a
 * datagram; nobody needs them. */
static void idle_network_sleeps(void **state)
{
    struct guest *guest = guest_new();
    struct net_forward forward = {.host_port = host_free_port(SOCK_STREAM), .guest_port = 22};
    uint16_t port;
    int fd = host_socket(SOCK_DGRAM, &port);

    guest_open(guest, &forward, 1);
    guest_resolve(guest);
    assert_sleeps(guest);
    guest_send_udp(guest, port, "what time is it?");
    assert_sleeps(guest);
    close(fd);
    guest_close(guest);
}

/* ---- hostile frames ---- */

static void hostile_frames_do_no_harm(void **state)
{
    struct guest *guest = guest_new();
    uint8_t *frame = calloc(1, NET_FRAME_MAX + 64);
    uint64_t random = 88172645463325252ull;
    unsigned i, j;

    assert_non_null(frame);
    guest_open(guest, NULL, 0);
    guest_resolve(guest);
    for (i = 0; i < 4000; i++) {
        static const uint16_t types[] = {0x0800, 0x0806, 0x86dd, 0x88f8, 0x0000};
        static const uint8_t protocols[] = {1, 6, 17, 2, 58};
        uint32_t length;

        for (j = 0; j < 128; j++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            frame[j] = (uint8_t)random;
        }
        length = random >> 8 & 3 ? (uint32_t)(random >> 16) % 128 : (uint32_t)(random >> 16) % 3000;
        store_be16(frame + 12, types[random >> 32 & 3]);
        if (random >> 34 & 1) {
            ip_put(guest, frame, protocols[random >> 36 & 3], GUEST, ROUTER,
                   (uint32_t)(random >> 40) % 2000);
            if (random >> 60 & 1)
                frame[ETHER_SIZE] = (uint8_t)(0x40 | (random >> 56 & 15));
        }
        /* Nothing is to leave this host, nor to reach a server on it. */
        if (load_be16(frame + 12) == ETHERTYPE_IPV4) {
            store_be32(frame + ETHER_SIZE + 16, ROUTER);
            store_be16(frame + ETHER_SIZE + IP_SIZE + 2, 1);
        } else if (load_be16(frame + 12) == 0x86dd) {
            inet_pton(AF_INET6, "fec0::2", frame + ETHER_SIZE + 24);
            store_be16(frame + ETHER_SIZE + 40 + 2, 1);
        }
        guest_send(guest, frame, length);
        if (i % 64 == 0)
            guest_wait(guest, NULL, NS_PER_MS);
    }
    /* Longer than it says it may be, and as long as it may be. */
    guest_send(guest, frame, NET_FRAME_MAX + 1);
    ip_put(guest, frame, 17, GUEST, ROUTER, 65535 - IP_SIZE);
    guest_send(guest, frame, NET_FRAME_MAX);
    /* And it still works. */
    guest_resolve(guest);
    free(frame);
    guest_close(guest);
}

/* ---- a process of its own ---- */

static void network_that_ends_is_a_link_down(void **state)
{
    struct guest *guest = guest_new();
    uint8_t frame[64] = {0};
    pid_t pid;

    guest_open(guest, NULL, 0);
    guest_resolve(guest);
    pid = network_process();
    assert_true(pid > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(guest_wait(guest, NULL, PATIENCE));
    assert_true(guest->unplugged);
    assert_non_null(strstr(guest->log, "ended by signal 9 (Killed)"));
    /* No zombie is left of it, and what the guest goes on to send goes nowhere. */
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    for (unsigned i = 0; i < 1000; i++)
        guest_send(guest, frame, sizeof(frame));
    net_ready(guest->net);
    assert_false(guest_wait(guest, NULL, NS_PER_MS));
    guest_close(guest);
}

/* A network that takes nothing makes the guest wait, and is no reason to wait for it at the end. */
static void network_that_is_stopped_makes_the_guest_wait(void **state)
{
    struct guest *guest = guest_new();
    uint8_t frame[1500] = {0};
    unsigned sent = 0;

    guest_open(guest, NULL, 0);
    guest_resolve(guest);
    assert_int_equal(kill(network_process(), SIGSTOP), 0);
    for (; sent < 10000 && net_can_send(guest->net); sent++)
        guest_send(guest, frame, sizeof(frame));
    assert_in_range(sent, 16, 9999);
    assert_false(guest->unplugged);
    assert_int_equal(kill(network_process(), SIGCONT), 0);
    /* And still works, once what waits was taken. */
    guest_resolve(guest);
    guest_close(guest);
    assert_int_equal(network_process(), 0);
}

/* Even one that is stopped, which never sees the end of its socket. */
static void network_dies_with_the_machine(void **state)
{
    int pipes[2], status;
    pid_t machine, network = 0;

    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    assert_int_equal(pipe(pipes), 0);
    machine = fork();
    if (!machine) {
        struct guest *guest = guest_new();

        guest_open(guest, NULL, 0);
        network = network_process();
        kill(network, SIGSTOP);
        if (write(pipes[1], &network, sizeof(network)) == sizeof(network))
            pause();
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &network, sizeof(network)), sizeof(network));
    assert_true(network > 0);
    assert_int_equal(kill(machine, SIGKILL), 0);
    assert_int_equal(waitpid(machine, &status, 0), machine);
    assert_int_equal(waitpid(network, &status, 0), network);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(pipes[0]);
    close(pipes[1]);
}

static void network_has_nothing_of_the_machine_open(void **state)
{
    static const char *const expected[] = {"/dev/null", "socket:", "anon_inode:[eventpoll]",
                                           "anon_inode:[eventfd]", "anon_inode:[timerfd]"};
    struct guest *guest = guest_new();
    struct dirent *entry;
    unsigned count = 0;
    char path[300];
    DIR *directory;

    guest_open(guest, NULL, 0);
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)network_process());
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        char target[128] = "";
        bool known = false;

        if (*entry->d_name == '.')
            continue;
        assert_true(readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0);
        for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
            known |= !strncmp(target, expected[i], strlen(expected[i]));
        if (!known)
            fail_msg("%s is open", target);
        count++;
    }
    closedir(directory);
    /* Three of nothing, the wire, the loop's three and libslirp's. */
    assert_int_equal(count, 8);
    guest_close(guest);
}

static int refuse(void *ctx, enum thread_role role)
{
    return role == THREAD_NETWORK ? -EXDEV : 0;
}

static void network_that_cannot_be_confined_does_not_begin(void **state)
{
    const struct thread_guard guard = {refuse, NULL};
    const struct net_user_options options = {.guard = &guard};
    struct error error = ERROR_INIT;
    struct net *net = NULL;
    struct loop *loop;

    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(net_user_new(&net, loop, &options, NULL, &error), -EXDEV);
    assert_null(net);
    assert_non_null(strstr(error.message, "cannot confine the user network"));
    error_release(&error);
    loop_free(loop);
    assert_int_equal(network_process(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_advertises_ipv6),
        cmocka_unit_test(flood_of_connections_does_no_harm),
        cmocka_unit_test(dhcp_offers_address),
        cmocka_unit_test(router_answers_ping),
        cmocka_unit_test(what_is_dropped_is_counted),
        cmocka_unit_test(host_loopback_is_reached),
        cmocka_unit_test(queue_is_bounded_and_kept),
        cmocka_unit_test(tcp_forward_connects),
        cmocka_unit_test(udp_forward_arrives),
        cmocka_unit_test(forward_errors),
        cmocka_unit_test(idle_network_sleeps),
        cmocka_unit_test(hostile_frames_do_no_harm),
    };

    const struct CMUnitTest process_tests[] = {
        cmocka_unit_test(network_that_ends_is_a_link_down),
        cmocka_unit_test(network_that_is_stopped_makes_the_guest_wait),
        cmocka_unit_test(network_dies_with_the_machine),
        cmocka_unit_test(network_has_nothing_of_the_machine_open),
        cmocka_unit_test(network_that_cannot_be_confined_does_not_begin),
    };
    int failed = cmocka_run_group_tests_name("in a process of its own", tests, NULL, NULL);

    failed += cmocka_run_group_tests(process_tests, NULL, NULL);
    within = true;
    return failed + cmocka_run_group_tests_name("in this process", tests, NULL, NULL);
}
