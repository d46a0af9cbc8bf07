/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock against a guest and programs of the host that break the rules, or ask for too much.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "vsock_fixture.h"

#define LINKS 256u /* of each side */

/* One packet as given; its buffer comes back. */
static void send_raw(struct fixture *f, const struct packet *packet, const void *payload,
                     uint32_t bytes)
{
    uint32_t head, length;

    guest_put(f, packet, payload, bytes);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &length));
}

static struct packet packet_of(uint32_t guest_port, uint32_t host_port, uint16_t op)
{
    return (struct packet){.src_cid = GUEST_CID,
                           .dst_cid = 2,
                           .src_port = guest_port,
                           .dst_port = host_port,
                           .type = 1,
                           .op = op,
                           .buf_alloc = PEER_CREDIT};
}

/* What belongs to no connection is answered by a RST (5.10.6.4, 5.10.6.5), and a RST by nothing. */
static void strays(void **state)
{
    struct fixture *f = *state;

    guest_start(f, 16);
    for (unsigned op = 0; op < 10; op++) {
        guest_send(f, 77, 1, (uint16_t)op, 3, "payload", 7);
        if (op == RST)
            guest_expect_nothing(f);
        else
            guest_expect(f, RST, 77, 1);
        guest_expect_nothing(f);
    }
}

/* Other contexts and types, also where the ports are those of a connection. */
static void wrong_addresses(void **state)
{
    struct fixture *f = *state;
    struct packet packet;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    fd = host_to_guest(f, 77, &port);
    for (unsigned i = 0; i < 5; i++) {
        packet = packet_of(77, port, i & 1 ? REQUEST : RW);
        packet.dst_cid = (const uint64_t[]){0, 1, 5, GUEST_CID, 2ull | 1ull << 32}[i];
        send_raw(f, &packet, NULL, 0);
        guest_expect(f, RST, 77, port);
        /* From whom it was for. */
        assert_true(f->last.src_cid == packet.dst_cid);
        packet.op = RST;
        send_raw(f, &packet, NULL, 0);
        guest_expect_nothing(f);
    }
    for (unsigned i = 0; i < 4; i++) {
        packet = packet_of(77, port, i & 1 ? RST : RW);
        packet.src_cid = (const uint64_t[]){2, 3, 0, GUEST_CID | 1ull << 32}[i];
        send_raw(f, &packet, NULL, 0);
        guest_expect_nothing(f);
    }
    assert_int_equal(f->driver.logged, 4);
    for (unsigned i = 0; i < 3; i++) {
        packet = packet_of(77, port, REQUEST);
        packet.type = (const uint16_t[]){0, 2, 0xffff}[i];
        send_raw(f, &packet, NULL, 0);
        driver_turn(&f->driver);
        assert_true(guest_take(f));
        assert_int_equal(f->last.op, RST);
        assert_int_equal(f->last.type, packet.type);
        packet.op = RST;
        send_raw(f, &packet, NULL, 0);
        guest_expect_nothing(f);
    }
    /* The connection has noticed nothing. */
    guest_send(f, 77, port, RW, 0, "fine", 4);
    host_expect(f, fd, "fine");
    close(fd);
}

/* Each of these ends the connection, for both sides. */
static void broken_rules(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint16_t op;
        uint32_t len;   /* said */
        uint32_t bytes; /* there */
        bool ended;     /* after the guest's own end */
    } rows[] = {
        {0, 0, 0, false},        {8, 0, 0, false},           {0xffff, 0, 0, false},
        {REQUEST, 0, 0, false},  {RESPONSE, 0, 0, false},    {RW, 8, 7, false},
        {RW, 1, 0, false},       {RW, UINT32_MAX, 7, false}, {CREDIT_UPDATE, 5, 4, false},
        {SHUTDOWN, 1, 0, false}, {RW, 1, 1, true},
    };

    guest_start(f, 16);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet packet;
        uint32_t port;
        int fd = host_to_guest(f, 77, &port);

        f->driver.logged = 0;
        if (rows[i].ended) {
            guest_send(f, 77, port, SHUTDOWN, NO_SEND, NULL, 0);
            guest_expect_nothing(f);
        }
        packet = packet_of(77, port, rows[i].op);
        packet.len = rows[i].len;
        send_raw(f, &packet, "payload", rows[i].bytes);
        guest_expect(f, RST, 77, port);
        guest_expect_nothing(f);
        host_expect_end(f, fd);
        close(fd);
        /* Every one is told about, up to the limit of such words. */
        assert_true(f->driver.logged == 1 || i >= 8);
    }
    assert_false(driver_needs_reset(&f->driver));
}

/* Before the guest answered, and before it was even asked. */
static void too_early(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 1);
    fd = host_connect(f);
    host_send(fd, "CONNECT 77\n", 11);
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    port = f->last.src_port;
    guest_send(f, 77, port, RW, 0, "x", 1);
    guest_expect(f, RST, 77, port);
    host_expect_end(f, fd);
    close(fd);

    /* Without a buffer there was no REQUEST yet; ports are given one after the other. */
    f->hold = true;
    guest_send(f, 1, 1, RW, 0, NULL, 0);
    fd = host_connect(f);
    host_send(fd, "CONNECT 77\n", 11);
    driver_turn(&f->driver);
    guest_send(f, 77, port + 1, RESPONSE, 0, NULL, 0);
    guest_send(f, 77, port + 1, REQUEST, 0, NULL, 0);
    guest_expect(f, RST, 1, 1);
    f->hold = false;
    guest_offer(f, 1);
    guest_expect(f, RST, 77, port + 1);
    guest_expect(f, RST, 77, port + 1);
    guest_expect(f, REQUEST, 77, port + 1);
    close(fd);
}

/* A ring or a packet that cannot be read ends the device, and with it the connections. */
static void needs_reset(void **state)
{
    struct fixture *f = *state;

    for (unsigned how = 0; how < 3; how++) {
        const struct buffer rows[] = {{f->tx, HEADER - 1, false},
                                      {f->rx, HEADER, true},
                                      {f->rx, 100, false}};
        uint32_t port;
        int fd;

        guest_start(f, how ? 1 : 16);
        fd = host_to_guest(f, 77, &port);
        if (how) {
            /* The good buffer is used up by one packet; the next one meets this. */
            f->hold = true;
            host_send(fd, "1", 1);
            driver_turn(&f->driver);
            driver_add(&f->driver, RX, &rows[how], 1);
            driver_kick(&f->driver, RX);
            assert_false(driver_needs_reset(&f->driver));
            host_send(fd, "2", 1);
            driver_turn(&f->driver);
        } else {
            driver_add(&f->driver, TX, &rows[how], 1);
            driver_kick(&f->driver, TX);
        }
        f->hold = false;
        assert_true(driver_needs_reset(&f->driver));
        assert_true(virtio_is_idle(f->driver.device.instance));
        host_expect_end(f, fd);
        close(fd);
        /* Nobody gets in before the driver has reset it. */
        fd = host_connect(f);
        host_send(fd, "CONNECT 77\n", 11);
        host_expect_end(f, fd);
        close(fd);
    }
}

/* 5.10.6.1: without buffers for the answers, a bounded number is kept and then the guest waits. */
static void answers_are_bounded(void **state)
{
    struct fixture *f = *state;
    const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        unsigned taken = 0, answers = 0;
        uint32_t head, length;

        driver_start(&f->driver, features[i], 3, 128);
        for (unsigned n = 0; n < 1000; n++) {
            const struct packet packet = packet_of(n, 1, RW);

            guest_put(f, &packet, NULL, 0);
            driver_kick(&f->driver, TX);
            if (!driver_used(&f->driver, TX, &head, &length))
                break;
            taken++;
        }
        assert_in_range(taken, 100, 200);
        for (unsigned n = 1; n < 60; n++) {
            const struct packet packet = packet_of(taken + n, 1, RW);

            guest_put(f, &packet, NULL, 0);
        }
        driver_kick(&f->driver, TX);
        assert_false(driver_used(&f->driver, TX, &head, &length));
        guest_offer(f, 8);
        while (guest_take(f)) {
            assert_int_equal(f->last.op, RST);
            assert_int_equal(f->last.dst_port, answers);
            answers++;
        }
        assert_int_equal(answers, taken + 60);
        while (driver_used(&f->driver, TX, &head, &length))
            taken++;
        assert_int_equal(answers, taken);
    }
}

/* Each side has its number of connections, and does not take the other's. */
static void many_connections(void **state)
{
    struct fixture *f = *state;
    static int hosts[LINKS], guests[LINKS];
    static uint32_t ports[LINKS];
    char byte, extra[100];
    int listener, waiting;
    uint32_t port;

    guest_start(f, 64);
    listener = host_listen(f, 1234);
    for (unsigned i = 0; i < LINKS; i++) {
        guest_send(f, i, 1234, REQUEST, 0, NULL, 0);
        guests[i] = host_accept(f, listener);
        guest_expect(f, RESPONSE, i, 1234);
    }
    guest_send(f, LINKS, 1234, REQUEST, 0, NULL, 0);
    guest_expect(f, RST, LINKS, 1234);
    for (unsigned i = 0; i < LINKS; i++)
        hosts[i] = host_to_guest(f, 77, &ports[i]);
    waiting = host_connect(f);
    host_send(waiting, "CONNECT 78\n", 11);
    guest_expect_nothing(f);
    for (unsigned i = 0; i < LINKS; i++) {
        byte = (char)i;
        guest_send(f, 77, ports[i], RW, 0, &byte, 1);
        guest_send(f, i, 1234, RW, 0, &byte, 1);
        assert_int_equal(host_read(f, hosts[i], extra, sizeof(extra)), 1);
        assert_int_equal(extra[0], byte);
        assert_int_equal(host_read(f, guests[i], extra, sizeof(extra)), 1);
        assert_int_equal(extra[0], byte);
    }
    /* With one fewer there is room for one more. */
    guest_send(f, 77, ports[7], SHUTDOWN, NO_SEND | NO_RECEIVE, NULL, 0);
    guest_expect(f, RST, 77, ports[7]);
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    assert_int_equal(f->last.op, REQUEST);
    assert_int_equal(f->last.dst_port, 78);
    guest_send(f, 9, 1234, RST, 0, NULL, 0);
    guest_send(f, LINKS, 1234, REQUEST, 0, NULL, 0);
    guest_expect(f, RESPONSE, LINKS, 1234);
    close(waiting);
    close(listener);
    for (unsigned i = 0; i < LINKS; i++) {
        close(hosts[i]);
        close(guests[i]);
    }
    driver_turn(&f->driver);
    while (guest_take(f))
        guest_send(f, f->last.dst_port, f->last.src_port, RST, 0, NULL, 0);
    driver_turn(&f->driver);
    close(host_to_guest(f, 77, &port));
}

/* Programs that say nothing hold no more than their number, whether they stay or go. */
static void silent_programs(void **state)
{
    struct fixture *f = *state;
    static int hosts[LINKS + 10];
    uint32_t port;

    guest_start(f, 16);
    for (unsigned i = 0; i < ARRAY_SIZE(hosts); i++) {
        hosts[i] = host_connect(f);
        if (i % 2)
            host_send(hosts[i], "CONNECT", 7);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(hosts); i++)
        close(hosts[i]);
    driver_turn(&f->driver);
    close(host_to_guest(f, 77, &port));
}

static void stop(void *ctx)
{
    loop_stop(ctx, 0);
}

/* Without descriptors the listener is left alone for a while, and then works again. */
static void no_descriptors(void **state)
{
    struct fixture *f = *state;
    int fd;
    struct rlimit old, limit;
    struct timer timer;
    uint32_t port;

    guest_start(f, 16);
    fd = unix_socket_connect(f->path);
    assert_true(fd >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)fd + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    host_send(fd, "CONNECT 77\n", 11);
    guest_expect_nothing(f);
    /* For the guest it is as if nobody listened. */
    guest_send(f, 5000, 1234, REQUEST, 0, NULL, 0);
    guest_expect(f, RST, 5000, 1234);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    guest_expect_nothing(f);
    timer_init(&timer, f->driver.loop, stop, f->driver.loop);
    timer_set(&timer, monotonic_ns() + 1200000000ull);
    loop_run(f->driver.loop);
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    assert_int_equal(f->last.op, REQUEST);
    port = f->last.src_port;
    guest_send(f, 77, port, RST, 0, NULL, 0);
    host_expect_end(f, fd);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strays, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(wrong_addresses, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(broken_rules, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(too_early, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(needs_reset, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(answers_are_bounded, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(many_connections, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(silent_programs, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(no_descriptors, vsock_setup, vsock_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
