/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two back ends, wire to wire, with this host's kernel as the guest: in a namespace of the
 * test's own it speaks TCP through a tap interface into the user network and out of that again to
 * a server on the loopback address. Megabytes in both directions at once must arrive as they were
 * sent, also when the wire is slow to take frames.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "namespace.h"
#include "network/net.h"

#define INTERFACE "hospes0"
#define BYTES     (8u << 20)
#define CHUNK     16384u

/* One direction of the wire: frames of `from` go to `to`. */
struct wire {
    struct wire *back;
    struct net *from;
    struct net *to;
    unsigned every; /* refuses each so many-th frame once; 0: none */
    unsigned count;
    bool refused;
    struct deferred again;
};

struct rig {
    struct loop *loop;
    struct wire up;   /* tap to user */
    struct wire down; /* user to tap */
    struct sockaddr_in server;
    int listener;
    atomic_uint running; /* ends of connections still at work */
    atomic_uint wrong;   /* bytes that are not what was sent */
    atomic_uint failed;  /* ends that gave up */
};

static bool wire_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct wire *wire = ctx;
    struct iovec iov = {.iov_base = (void *)frame, .iov_len = length};

    if (!net_can_send(wire->to))
        return false;
    if (wire->every && !wire->refused && ++wire->count % wire->every == 0) {
        wire->refused = true;
        loop_post(wire->from->loop, &wire->again);
        return false;
    }
    wire->refused = false;
    net_send(wire->to, &iov, 1, length);
    return true;
}

static void wire_again(void *ctx)
{
    struct wire *wire = ctx;

    net_ready(wire->from);
}

/* Where a wire leads to takes frames again, as the wire back is told. */
static void wire_sendable(void *ctx)
{
    struct wire *wire = ctx;

    loop_post(wire->from->loop, &wire->back->again);
}

static void wire_connect(struct wire *wire, struct net *from, struct net *to, unsigned every)
{
    *wire = (struct wire){.from = from, .to = to, .every = every};
    deferred_init(&wire->again, wire_again, wire);
    net_attach(from,
               &(struct net_port){.receive = wire_receive, .sendable = wire_sendable, .ctx = wire});
}

static void interface_set(int request_number, const char *interface, const char *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;

    snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
    if (address) {
        in->sin_family = AF_INET;
        inet_pton(AF_INET, address, &in->sin_addr);
    } else {
        request.ifr_flags = IFF_UP | IFF_RUNNING;
    }
    assert_int_equal(ioctl(fd, (unsigned long)request_number, &request), 0);
    close(fd);
}

/* ---- the two ends ---- */

static uint8_t byte_at(uint32_t offset)
{
    return (uint8_t)(offset * 2654435761u >> 24);
}

static void *sender(void *ctx)
{
    int fd = *(int *)ctx;
    uint8_t chunk[CHUNK];
    uint32_t sent = 0;
    uintptr_t bad = 0;

    while (sent < BYTES && !bad) {
        ssize_t n;
        uint32_t i;

        for (i = 0; i < CHUNK; i++)
            chunk[i] = byte_at(sent + i);
        n = send(fd, chunk, BYTES - sent < CHUNK ? BYTES - sent : CHUNK, MSG_NOSIGNAL);
        if (n <= 0)
            bad = 1;
        else
            sent += (uint32_t)n;
    }
    return (void *)bad;
}

/* Sends and receives at the same time, then closes. */
static void end_run(struct rig *rig, int fd)
{
    const struct timeval limit = {.tv_sec = 30};
    uint8_t chunk[CHUNK];
    uint32_t got = 0;
    pthread_t thread;
    void *bad = NULL;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (thread_start(&thread, "sender", sender, &fd)) {
        rig->failed++;
        return;
    }
    while (got < BYTES) {
        ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
        ssize_t i;

        if (n <= 0)
            break;
        for (i = 0; i < n; i++)
            rig->wrong += chunk[i] != byte_at(got + (uint32_t)i);
        got += (uint32_t)n;
    }
    pthread_join(thread, &bad);
    if (bad || got != BYTES)
        rig->failed++;
    close(fd);
}

static void end_over(struct rig *rig)
{
    if (!--rig->running)
        loop_stop(rig->loop, 0);
}

static void *server_body(void *ctx)
{
    struct rig *rig = ctx;
    int fd = accept4(rig->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        rig->failed++;
    else
        end_run(rig, fd);
    end_over(rig);
    return NULL;
}

static void *client_body(void *ctx)
{
    struct rig *rig = ctx;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&rig->server, sizeof(rig->server)) < 0) {
        rig->failed++;
        shutdown(rig->listener, SHUT_RDWR); /* the server need not wait */
    } else {
        end_run(rig, fd);
    }
    end_over(rig);
    return NULL;
}

/* ---- the test ---- */

static void stream_run(unsigned every)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    const struct net_user_options options = {.hostname = NULL};
    struct net *user = NULL, *tap = NULL;
    pthread_t server, client;
    uint64_t begin;

    assert_non_null(rig);
    assert_int_equal(loop_new(&rig->loop), 0);
    assert_int_equal(net_user_new(&user, rig->loop, &options, NULL, NULL), 0);
    assert_int_equal(net_tap_new(&tap, rig->loop, INTERFACE, NULL, NULL), 0);
    wire_connect(&rig->up, tap, user, every);
    wire_connect(&rig->down, user, tap, every);
    rig->up.back = &rig->down;
    rig->down.back = &rig->up;
    interface_set(SIOCSIFADDR, INTERFACE, "10.0.2.15");
    interface_set(SIOCSIFNETMASK, INTERFACE, "255.255.255.0");

    rig->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rig->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(rig->listener, 1), 0);
    assert_int_equal(getsockname(rig->listener, (struct sockaddr *)&address, &size), 0);
    rig->server = address;
    rig->server.sin_addr.s_addr = htonl(0x0a000202);

    begin = monotonic_ns();
    rig->running = 2;
    assert_int_equal(thread_start(&server, "server", server_body, rig), 0);
    assert_int_equal(thread_start(&client, "client", client_body, rig), 0);
    loop_run(rig->loop);
    pthread_join(client, NULL);
    pthread_join(server, NULL);
    print_message("%u MiB each way in %llu ms\n", BYTES >> 20,
                  (unsigned long long)(monotonic_ns() - begin) / 1000000);
    assert_int_equal(rig->failed, 0);
    assert_int_equal(rig->wrong, 0);

    loop_unpost(rig->loop, &rig->up.again);
    loop_unpost(rig->loop, &rig->down.again);
    close(rig->listener);
    net_free(tap);
    net_free(user);
    loop_free(rig->loop);
    free(rig);
}

static void stream_arrives(void **state)
{
    stream_run(0);
}

static void stream_arrives_over_a_slow_wire(void **state)
{
    stream_run(7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_arrives),
        cmocka_unit_test(stream_arrives_over_a_slow_wire),
    };

    if (!namespace_enter(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK)) {
        print_message("skipped: this host permits no network namespace or no tap interface\n");
        return 77; /* how a test tells meson that it was skipped */
    }
    interface_set(SIOCSIFFLAGS, "lo", NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
