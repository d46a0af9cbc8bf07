/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock over MMIO, with real unix sockets behind it: credit, stalled peers, and more bytes
 * than any buffer holds. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vsock_fixture.h"

/* Any bytes, but not the same ones at the same place of another megabyte. */
static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 0x9e3779b1u >> 13 ^ at >> 11);
}

static void pattern_fill(uint8_t *to, uint64_t at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = pattern(at + i);
}

static void pattern_check(const uint8_t *from, uint64_t at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(from[i], pattern(at + i));
}

struct flood {
    uint32_t sent;
    uint32_t forwarded; /* of it, as the device said */
    uint32_t got;       /* by the host */
};

/* Sends until the device has said by its credit that no more fits. */
static void guest_floods(struct fixture *f, uint32_t guest_port, uint32_t host_port,
                         struct flood *flood)
{
    static uint8_t bytes[8192];

    for (;;) {
        uint32_t part;

        driver_turn(&f->driver);
        while (guest_take(f)) {
            assert_int_equal(f->last.op, CREDIT_UPDATE);
            assert_true(f->last.fwd_cnt >= flood->forwarded && f->last.fwd_cnt <= flood->sent);
            flood->forwarded = f->last.fwd_cnt;
        }
        part = CREDIT - (flood->sent - flood->forwarded);
        if (!part)
            return;
        part = part < sizeof(bytes) ? part : sizeof(bytes);
        pattern_fill(bytes, flood->sent, part);
        guest_send(f, guest_port, host_port, RW, 0, bytes, part);
        flood->sent += part;
    }
}

/* Reads `most` bytes, or to the end, or until nothing comes. Returns whether it was the end. */
static bool host_drains(struct fixture *f, int fd, uint32_t most, struct flood *flood)
{
    static uint8_t bytes[9973];

    while (most) {
        ssize_t n = host_read(f, fd, bytes, most < sizeof(bytes) ? most : sizeof(bytes));

        if (n <= 0)
            return n == 0;
        pattern_check(bytes, flood->got, (size_t)n);
        flood->got += (uint32_t)n;
        most -= (uint32_t)n;
    }
    return false;
}

/* The device's end of every connection gets a small buffer in the kernel, as a host may have it, so
 * that what is kept goes out in pieces. */
static void host_shrink(const struct fixture *f)
{
    for (int fd = 0; fd < 64; fd++) {
        struct sockaddr_un name = {0};
        int listens, least = 1;

        if (getsockname(fd, (struct sockaddr *)&name, &(socklen_t){sizeof(name)}) ||
            strcmp(name.sun_path, f->path) != 0 ||
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &(socklen_t){sizeof(listens)}) ||
            listens)
            continue;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    }
}

static void stalled_host(void **state)
{
    struct fixture *f = *state;
    struct flood flood = {0};
    uint32_t port;
    int fd;

    guest_start(f, 64);
    fd = host_to_guest(f, 77, &port);
    host_shrink(f);
    guest_floods(f, 77, port, &flood);
    assert_in_range(flood.sent, CREDIT, CREDIT + 20000);
    guest_expect_nothing(f);
    /* Round and round in the buffer, which is never empty. */
    for (unsigned i = 0; i < 40; i++) {
        assert_false(host_drains(f, fd, 30011, &flood));
        guest_floods(f, 77, port, &flood);
    }
    assert_true(flood.sent > 8 * CREDIT);
    /* The guest keeps to it, and the host reads all of it. */
    assert_false(host_drains(f, fd, UINT32_MAX, &flood));
    assert_int_equal(flood.got, flood.sent);
    driver_turn(&f->driver);
    while (guest_take(f)) {
        assert_int_equal(f->last.op, CREDIT_UPDATE);
        flood.forwarded = f->last.fwd_cnt;
    }
    assert_true(flood.sent - flood.forwarded < CREDIT / 2);
    close(fd);
}

/* 5.10.6.3: more than the credit is not kept; and what was sent before it is. */
static void credit_is_overrun(void **state)
{
    struct fixture *f = *state;
    struct flood flood = {0};
    uint32_t port;
    int fd;

    guest_start(f, 64);
    fd = host_to_guest(f, 77, &port);
    guest_floods(f, 77, port, &flood);
    guest_send(f, 77, port, RW, 0, "!", 1);
    guest_expect(f, RST, 77, port);
    guest_expect_nothing(f);
    assert_true(host_drains(f, fd, UINT32_MAX, &flood));
    assert_int_equal(flood.got, flood.sent);
    close(fd);
}

/* The guest is done while the host has read nothing: the end comes behind the bytes. */
static void slow_reader(void **state)
{
    struct fixture *f = *state;
    uint32_t port;

    guest_start(f, 64);
    for (unsigned how = 0; how < 3; how++) {
        int fd = host_to_guest(f, 77, &port);
        struct flood flood = {0};

        guest_floods(f, 77, port, &flood);
        guest_send(f, 77, port, SHUTDOWN, how ? NO_SEND | NO_RECEIVE : NO_SEND, NULL, 0);
        if (how)
            guest_expect(f, RST, 77, port);
        if (how == 2) {
            /* The program leaves instead. */
            close(fd);
            guest_expect_nothing(f);
            continue;
        }
        assert_true(host_drains(f, fd, UINT32_MAX, &flood));
        assert_int_equal(flood.got, flood.sent);
        while (guest_take(f))
            assert_int_equal(f->last.op, CREDIT_UPDATE);
        close(fd);
        if (!how) {
            guest_expect(f, SHUTDOWN, 77, port);
            guest_send(f, 77, port, RST, 0, NULL, 0);
        }
    }
}

static void stalled_guest(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    f->buf_alloc = 10;
    fd = host_to_guest(f, 77, &port);
    host_send(fd, "0123456789abcdefghijklmnop", 26);
    guest_expect(f, RW, 77, port);
    assert_int_equal(f->last.len, 10);
    guest_expect(f, CREDIT_REQUEST, 77, port);
    guest_expect_nothing(f);
    /* No room is no more to be asked for. */
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    guest_expect_nothing(f);
    f->fwd_cnt = 3;
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    guest_expect(f, RW, 77, port);
    assert_int_equal(f->last.len, 3);
    assert_memory_equal(f->payload, "abc", 3);
    guest_expect(f, CREDIT_REQUEST, 77, port);
    /* A smaller buffer than what is under way, and a counter that lies: no room. */
    f->buf_alloc = 5;
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    f->buf_alloc = 1000;
    f->fwd_cnt = 500;
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    guest_expect_nothing(f);
    f->fwd_cnt = 13;
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    guest_expect(f, RW, 77, port);
    assert_int_equal(f->last.len, 13);
    /* That the program takes no more is told without credit; its end comes behind its bytes. */
    f->buf_alloc = 0;
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    host_send(fd, "!", 1);
    close(fd);
    guest_expect(f, CREDIT_REQUEST, 77, port);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_RECEIVE);
    guest_expect_nothing(f);
    f->buf_alloc = 1000;
    guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
    guest_expect(f, RW, 77, port);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_SEND | NO_RECEIVE);
}

/* A guest without buffers: the host's bytes wait in its own socket, and the device asks to be told
 * of the next buffer. */
static void guest_without_buffers(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[8 * (RX_BUFFER - HEADER)];
    const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};
    struct driver_queue *queue = &f->driver.queues[RX];
    uint32_t port;
    int fd;

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        uint64_t got = 0;

        driver_start(&f->driver, features[i], 3, 128);
        f->buf_alloc = PEER_CREDIT;
        guest_offer(f, 1);
        fd = host_to_guest(f, 77, &port);
        pattern_fill(bytes, 0, sizeof(bytes));
        host_send(fd, bytes, sizeof(bytes));
        driver_turn(&f->driver);
        f->hold = true;
        for (;;) {
            uint16_t before = queue->available_index;
            const struct buffer buffer = {f->rx + queue->free * RX_BUFFER, RX_BUFFER, true};

            assert_true(guest_take(f));
            assert_int_equal(f->last.op, RW);
            assert_int_equal(f->last.len, RX_BUFFER - HEADER);
            pattern_check(f->payload, got, f->last.len);
            got += f->last.len;
            guest_expect_nothing(f);
            if (got == sizeof(bytes))
                break;
            driver_add(&f->driver, RX, &buffer, 1);
            assert_true(driver_must_notify(&f->driver, RX, before));
            driver_kick(&f->driver, RX);
        }
        f->hold = false;
        close(fd);
    }
}

/* More than any buffer, both ways at once, with every byte looked at. */
static void bulk(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[32768];
    const uint64_t total = 4 << 20;
    uint64_t host_sent = 0, host_got = 0, guest_sent = 0, guest_got = 0;
    uint32_t port, forwarded = 0;
    int fd;

    guest_start(f, 64);
    f->buf_alloc = 100000;
    fd = host_to_guest(f, 77, &port);
    for (unsigned rounds = 0; guest_got < total || host_got < total; rounds++) {
        uint64_t part = total - host_sent < sizeof(bytes) ? total - host_sent : sizeof(bytes);
        ssize_t n;

        assert_true(rounds < 100000);
        pattern_fill(bytes, host_sent, part);
        n = part ? send(fd, bytes, part, MSG_NOSIGNAL) : 0;
        host_sent += n > 0 ? (uint64_t)n : 0;
        part = CREDIT - (uint32_t)(guest_sent - forwarded);
        part = part < sizeof(bytes) ? part : sizeof(bytes);
        part = part < total - guest_sent ? part : total - guest_sent;
        f->fwd_cnt = (uint32_t)guest_got;
        if (part) {
            pattern_fill(bytes, guest_sent, part);
            guest_send(f, 77, port, RW, 0, bytes, (uint32_t)part);
            guest_sent += part;
        } else {
            guest_send(f, 77, port, CREDIT_UPDATE, 0, NULL, 0);
        }
        while (guest_take(f)) {
            forwarded = f->last.fwd_cnt;
            if (f->last.op == RW) {
                pattern_check(f->payload, guest_got, f->last.len);
                guest_got += f->last.len;
                assert_true(guest_got - f->fwd_cnt <= f->buf_alloc);
            }
        }
        n = host_read(f, fd, bytes, sizeof(bytes));
        if (n > 0) {
            pattern_check(bytes, host_got, (size_t)n);
            host_got += (uint64_t)n;
        }
    }
    assert_int_equal(guest_got, total);
    assert_int_equal(host_got, total);
    close(fd);
}

/* However large a buffer is, a packet has its bound. */
static void large_buffer(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[80000];
    const struct buffer buffer = {f->rx, 100 * RX_BUFFER, true};
    uint32_t head, length, port;
    int fd;

    guest_start(f, 1);
    f->hold = true;
    fd = host_to_guest(f, 77, &port);
    f->hold = false;
    pattern_fill(bytes, 0, sizeof(bytes));
    host_send(fd, bytes, sizeof(bytes));
    driver_turn(&f->driver);
    driver_add(&f->driver, RX, &buffer, 1);
    driver_kick(&f->driver, RX);
    assert_true(driver_used(&f->driver, RX, &head, &length));
    assert_int_equal(length, HEADER + (64 << 10));
    driver_get(&f->driver, f->rx + HEADER, bytes, 64 << 10);
    pattern_check(bytes, 0, 64 << 10);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stalled_host, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(credit_is_overrun, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(slow_reader, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(stalled_guest, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(guest_without_buffers, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(bulk, vsock_setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(large_buffer, vsock_setup, vsock_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
