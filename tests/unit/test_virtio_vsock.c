/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock over MMIO, with real unix sockets behind it: connections of both sides, their ends
 * and resets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"
#include "device/virtio/vsock.h"
#include "vsock_fixture.h"

/* The linker gives these names to timer_set() and to what calls it: the device's ten seconds are
 * over at once when a test says so. */
void __real_timer_set(struct timer *timer, uint64_t deadline_ns);
void __wrap_timer_set(struct timer *timer, uint64_t deadline_ns);

static bool impatient;
static unsigned timers_set;

void __wrap_timer_set(struct timer *timer, uint64_t deadline_ns)
{
    assert_in_range(deadline_ns - monotonic_ns(), 1000000000ull, 60000000000ull);
    timers_set++;
    __real_timer_set(timer, impatient ? monotonic_ns() : deadline_ns);
}

static int setup(void **state)
{
    impatient = false;
    timers_set = 0;
    return vsock_setup(state);
}

static void configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_ID), 19);
    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_FEATURES) &
                         ~(uint32_t)(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX),
                     1);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG), GUEST_CID);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG + 4), 0);
    driver_write32(&f->driver, REG_CONFIG, 7);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG), GUEST_CID);
}

/* ---- the guest begins ---- */

static void guest_connects(void **state)
{
    struct fixture *f = *state;
    int fd;

    guest_start(f, 16);
    fd = guest_to_host(f, 5000);
    assert_int_equal(f->last.buf_alloc, CREDIT);
    assert_int_equal(f->last.fwd_cnt, 0);
    guest_send(f, 5000, 1234, RW, 0, "question", 8);
    host_expect(f, fd, "question");
    host_send(fd, "answer", 6);
    guest_expect(f, RW, 5000, 1234);
    assert_int_equal(f->last.len, 6);
    assert_memory_equal(f->payload, "answer", 6);
    assert_int_equal(f->last.fwd_cnt, 8);
    guest_expect_nothing(f);
    /* 5.10.6.3: a request for the credit is answered in any case. */
    guest_send(f, 5000, 1234, CREDIT_REQUEST, 0, NULL, 0);
    guest_expect(f, CREDIT_UPDATE, 5000, 1234);
    assert_int_equal(f->last.fwd_cnt, 8);
    guest_expect_nothing(f);
    close(fd);
}

/* A payload over several descriptors, beginning in that of the header. */
static void scattered_payload(void **state)
{
    struct fixture *f = *state;
    gpa at = f->tx;
    const struct buffer parts[] = {{at, 20, false},
                                   {at + 20, 26, false},
                                   {at + 46, 1, false},
                                   {at + 47, 100, false}};
    struct packet packet = {.src_cid = GUEST_CID,
                            .dst_cid = 2,
                            .src_port = 5000,
                            .dst_port = 1234,
                            .len = 9,
                            .type = 1,
                            .op = RW,
                            .buf_alloc = PEER_CREDIT};
    uint32_t head, used;
    int fd;

    guest_start(f, 16);
    fd = guest_to_host(f, 5000);
    /* Its header is written by hand into the memory of the next place, and taken from there. */
    at = f->tx + f->driver.queues[TX].free * (HEADER + TX_MAX + 4);
    guest_put(f, &packet, "scattered", 9);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &used));
    host_expect(f, fd, "scattered");
    for (unsigned i = 0; i < 147; i++) {
        uint8_t byte;

        driver_get(&f->driver, at + i, &byte, 1);
        driver_put(&f->driver, f->tx + i, &byte, 1);
    }
    driver_add(&f->driver, TX, parts, 4);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &used));
    /* What lies behind `len` is not of it. */
    host_expect(f, fd, "scattered");
    close(fd);
}

static void nobody_listens(void **state)
{
    struct fixture *f = *state;
    char path[100];
    FILE *file;

    guest_start(f, 16);
    guest_send(f, 5000, 1234, REQUEST, 0, NULL, 0);
    guest_expect(f, RST, 5000, 1234);
    /* A socket without a process, and a file. */
    close(host_listen(f, 1234));
    guest_send(f, 5000, 1234, REQUEST, 0, NULL, 0);
    guest_expect(f, RST, 5000, 1234);
    snprintf(path, sizeof(path), "%s_9", f->path);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    guest_send(f, 5000, 9, REQUEST, 0, NULL, 0);
    guest_expect(f, RST, 5000, 9);
    guest_expect_nothing(f);
}

/* ---- the host begins ---- */

static void host_connects(void **state)
{
    struct fixture *f = *state;
    const char *line = "CONNECT 77\nhello";
    uint32_t port;
    int fd, other;

    guest_start(f, 16);
    fd = host_connect(f);
    host_send(fd, line, strlen(line));
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    port = f->last.src_port;
    assert_int_equal(f->last.op, REQUEST);
    assert_int_equal(f->last.dst_port, 77);
    assert_int_equal(f->last.buf_alloc, CREDIT);
    assert_in_range(port, 1u << 30, (1u << 31) - 1);
    /* Not a byte before the guest said yes. */
    guest_expect_nothing(f);
    guest_send(f, 77, port, RESPONSE, 0, NULL, 0);
    guest_expect(f, RW, 77, port);
    assert_int_equal(f->last.len, 5);
    assert_memory_equal(f->payload, "hello", 5);
    guest_send(f, 77, port, RW, 0, "world", 5);
    driver_turn(&f->driver);
    {
        char expected[32];

        snprintf(expected, sizeof(expected), "OK %u\nworld", port);
        host_expect(f, fd, expected);
    }
    /* Another one to the same port is another connection. */
    other = host_to_guest(f, 77, &port);
    close(other);
    close(fd);
}

static void host_is_refused(void **state)
{
    struct fixture *f = *state;
    int fd;

    /* No driver is there. */
    fd = host_connect(f);
    host_send(fd, "CONNECT 77\n", 11);
    host_expect_end(f, fd);
    close(fd);
    guest_start(f, 16);
    fd = host_connect(f);
    host_send(fd, "CONNECT 77\n", 11);
    guest_take(f);
    driver_turn(&f->driver);
    if (f->last.op != REQUEST)
        assert_true(guest_take(f));
    guest_send(f, 77, f->last.src_port, RST, 0, NULL, 0);
    host_expect_end(f, fd);
    guest_expect_nothing(f);
    close(fd);
}

static void line_in_pieces(void **state)
{
    struct fixture *f = *state;
    const char *line = "connect 4294967294\r\nx";
    int fd;

    guest_start(f, 16);
    fd = host_connect(f);
    for (const char *p = line; *p; p++) {
        guest_expect_nothing(f);
        host_send(fd, p, 1);
        if (*p == '\n')
            break;
    }
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    assert_int_equal(f->last.op, REQUEST);
    assert_int_equal(f->last.dst_port, 4294967294u);
    close(fd);
}

static void wrong_lines(void **state)
{
    struct fixture *f = *state;
    static const char *const lines[] = {
        "\n",
        "CONNECT\n",
        "CONNECT \n",
        "CONNECT x\n",
        "CONNECT 1 2\n",
        "CONNECT -1\n",
        "CONNECT 4294967295\n",
        "CONNECT 18446744073709551617\n",
        "CONNECT1\n",
        "DISCONNECT 1\n",
        "GET / HTTP/1.1\r\n",
        "CONNECT 0000000000000000000000001",
        "CONNECT 00000000000000000000000000001\n",
    };

    guest_start(f, 16);
    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        int fd = host_connect(f);

        host_send(fd, lines[i], strlen(lines[i]));
        host_expect_end(f, fd);
        close(fd);
    }
    for (unsigned half = 0; half < 2; half++) {
        /* Its end comes before the line's. */
        int fd = host_connect(f);

        host_send(fd, "CONNECT 1", 9);
        driver_turn(&f->driver);
        if (half) {
            shutdown(fd, SHUT_WR);
            host_expect_end(f, fd);
        }
        close(fd);
        driver_turn(&f->driver);
    }
    guest_expect_nothing(f);
}

/* "echo CONNECT 77 | ...": the program ends its side at once, and the guest's answer still comes.
 */
static void host_ends_early(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    char line[32];
    int fd;

    guest_start(f, 16);
    for (unsigned gone = 0; gone < 2; gone++) {
        fd = host_connect(f);
        host_send(fd, "CONNECT 77\nlast words", 21);
        shutdown(fd, SHUT_WR);
        if (gone)
            close(fd);
        driver_turn(&f->driver);
        assert_true(guest_take(f));
        assert_int_equal(f->last.op, REQUEST);
        port = f->last.src_port;
        guest_send(f, 77, port, RESPONSE, 0, NULL, 0);
        guest_expect(f, RW, 77, port);
        assert_memory_equal(f->payload, "last words", 10);
        guest_expect(f, SHUTDOWN, 77, port);
        assert_int_equal(f->last.flags, gone ? NO_SEND | NO_RECEIVE : NO_SEND);
        if (gone)
            continue;
        guest_send(f, 77, port, RW, 0, "yes", 3);
        snprintf(line, sizeof(line), "OK %u\nyes", port);
        host_expect(f, fd, line);
        close(fd);
        guest_expect(f, SHUTDOWN, 77, port);
        assert_int_equal(f->last.flags, NO_SEND | NO_RECEIVE);
    }
    /* One that is gone, and a guest that does not answer: given up. */
    impatient = true;
    fd = host_connect(f);
    host_send(fd, "CONNECT 77\n", 11);
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    port = f->last.src_port;
    guest_expect_nothing(f);
    close(fd);
    guest_expect(f, RST, 77, port);
    guest_send(f, 77, port, RESPONSE, 0, NULL, 0);
    guest_expect(f, RST, 77, port);
}

/* ---- ends ---- */

static void guest_half_closes(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    fd = host_to_guest(f, 77, &port);
    guest_send(f, 77, port, RW, 0, "all", 3);
    guest_send(f, 77, port, SHUTDOWN, NO_SEND, NULL, 0);
    host_expect(f, fd, "all");
    host_expect_end(f, fd);
    host_send(fd, "still", 5);
    guest_expect(f, RW, 77, port);
    assert_int_equal(f->last.len, 5);
    /* The hint is permanent (5.10.6.5). */
    guest_send(f, 77, port, SHUTDOWN, 0, NULL, 0);
    guest_send(f, 77, port, SHUTDOWN, NO_RECEIVE, NULL, 0);
    guest_expect(f, RST, 77, port);
    guest_expect_nothing(f);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    close(fd);
}

static void guest_stops_receiving(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    fd = host_to_guest(f, 77, &port);
    guest_send(f, 77, port, SHUTDOWN, NO_RECEIVE, NULL, 0);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    guest_send(f, 77, port, RW, 0, "more", 4);
    host_expect(f, fd, "more");
    guest_expect_nothing(f);
    close(fd);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_SEND | NO_RECEIVE);
    guest_send(f, 77, port, RST, 0, NULL, 0);
    guest_expect_nothing(f);
}

static void host_half_closes(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    fd = host_to_guest(f, 77, &port);
    host_send(fd, "request", 7);
    shutdown(fd, SHUT_WR);
    guest_expect(f, RW, 77, port);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_SEND);
    guest_expect_nothing(f);
    guest_send(f, 77, port, RW, 0, "response", 8);
    host_expect(f, fd, "response");
    guest_send(f, 77, port, SHUTDOWN, NO_SEND | NO_RECEIVE, NULL, 0);
    guest_expect(f, RST, 77, port);
    host_expect_end(f, fd);
    assert_int_equal(timers_set, 0);
    close(fd);
}

static void host_closes(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    fd = host_to_guest(f, 77, &port);
    host_send(fd, "bye", 3);
    close(fd);
    guest_expect(f, RW, 77, port);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_SEND | NO_RECEIVE);
    assert_int_equal(timers_set, 1);
    /* What the guest still sends is taken and lost. */
    for (unsigned i = 0; i < 4; i++)
        guest_send(f, 77, port, RW, 0, "0123456789abcdef", 16);
    guest_expect_nothing(f);
    guest_send(f, 77, port, RST, 0, NULL, 0);
    guest_expect_nothing(f);
    /* The pair is free: it belongs to nothing now. */
    guest_send(f, 77, port, RW, 0, "x", 1);
    guest_expect(f, RST, 77, port);

    /* Without an answer it is ended all the same; bytes that the program left unread do no harm. */
    impatient = true;
    fd = host_to_guest(f, 78, &port);
    guest_send(f, 78, port, RW, 0, "unread", 6);
    close(fd);
    guest_expect(f, SHUTDOWN, 78, port);
    assert_int_equal(f->last.flags, NO_SEND | NO_RECEIVE);
    guest_expect(f, RST, 78, port);
    guest_expect_nothing(f);
}

/* Only its reading ends: the guest hears of it when it sends. */
static void host_stops_reading(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int fd;

    guest_start(f, 16);
    fd = host_to_guest(f, 77, &port);
    shutdown(fd, SHUT_RD);
    guest_send(f, 77, port, RW, 0, "x", 1);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_RECEIVE);
    host_send(fd, "y", 1);
    guest_expect(f, RW, 77, port);
    close(fd);
    guest_expect(f, SHUTDOWN, 77, port);
    assert_int_equal(f->last.flags, NO_SEND | NO_RECEIVE);
}

/* ---- resets ---- */

static void driver_resets(void **state)
{
    struct fixture *f = *state;
    uint32_t port;
    int asked, open, own, fresh;

    guest_start(f, 64);
    open = host_to_guest(f, 77, &port);
    own = guest_to_host(f, 5000);
    guest_send(f, 5000, 1234, RW, 0, "kept", 4);
    asked = host_connect(f);
    host_send(asked, "CONNECT 78\n", 11);
    driver_turn(&f->driver);
    driver_write32(&f->driver, REG_STATUS, 0);
    assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
    host_expect_end(f, open);
    host_expect(f, own, "kept");
    host_expect_end(f, own);
    host_expect_end(f, asked);
    /* Nothing of before is left to be told. */
    guest_start(f, 16);
    guest_expect_nothing(f);
    fresh = host_to_guest(f, 77, &port);
    /* And of the machine, which has no driver any more. */
    f->driver.device.type->reset(f->driver.device.instance);
    host_expect_end(f, fresh);
    close(asked);
    close(open);
    close(own);
    close(fresh);
}

static void offer_event(struct fixture *f, uint32_t size)
{
    const struct buffer buffer = {f->tx, size, true};
    uint16_t before = f->driver.queues[EVENT].available_index;

    driver_put(&f->driver, f->tx, "\xff\xff\xff\xff", 4);
    driver_add(&f->driver, EVENT, &buffer, 1);
    /* Nothing else than a wish to be told makes the device look. */
    if (f->driver.features & VIRTIO_F_EVENT_IDX)
        assert_true(driver_must_notify(&f->driver, EVENT, before));
    driver_kick(&f->driver, EVENT);
}

/* 5.10.6.7 */
static void restored(void **state)
{
    struct fixture *f = *state;
    uint32_t head, used, port;
    uint8_t event[4];
    int fd;

    /* A guest that had no driver up hears nothing. */
    virtio_vsock_restored(&f->driver.device);
    guest_start(f, 16);
    offer_event(f, 4);
    assert_false(driver_used(&f->driver, EVENT, &head, &used));
    fd = host_to_guest(f, 77, &port);
    virtio_vsock_restored(&f->driver.device);
    host_expect_end(f, fd);
    assert_true(driver_used(&f->driver, EVENT, &head, &used));
    assert_int_equal(used, 4);
    driver_get(&f->driver, f->tx, event, 4);
    assert_int_equal(load_le32(event), 0);
    guest_expect_nothing(f);
    /* The event waits for a buffer. */
    virtio_vsock_restored(&f->driver.device);
    driver_turn(&f->driver);
    assert_false(driver_used(&f->driver, EVENT, &head, &used));
    offer_event(f, 8);
    assert_true(driver_used(&f->driver, EVENT, &head, &used));
    assert_int_equal(used, 4);
    offer_event(f, 4);
    assert_false(driver_used(&f->driver, EVENT, &head, &used));
    assert_false(driver_needs_reset(&f->driver));
    virtio_vsock_restored(&f->driver.device);
    driver_turn(&f->driver);
    assert_true(driver_used(&f->driver, EVENT, &head, &used));
    virtio_vsock_restored(&f->driver.device);
    offer_event(f, 3);
    assert_true(driver_needs_reset(&f->driver));
    close(fd);

    driver_start(&f->driver, VIRTIO_F_EVENT_IDX, 3, 128);
    for (unsigned i = 0; i < 3; i++) {
        virtio_vsock_restored(&f->driver.device);
        driver_turn(&f->driver);
        offer_event(f, 4);
        assert_true(driver_used(&f->driver, EVENT, &head, &used));
    }
}

static void loaded_state(void **state)
{
    struct fixture *f = *state;
    const struct device_type *type = f->driver.device.type;
    struct virtio_device *core = f->driver.device.instance;
    static const struct {
        uint64_t cid;
        bool good;
    } rows[] = {{0, false}, {2, false},          {3, true},           {0xfffffffe, true},
                {42, true}, {0xffffffff, false}, {1ull << 32, false}, {UINT64_MAX, false}};
    uint32_t port;
    int fd;

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        store_le64(core->config, rows[i].cid);
        assert_int_equal(type->check(core), rows[i].good);
    }
    /* The identifier that was loaded is the one that counts. */
    store_le64(core->config, GUEST_CID);
    guest_start(f, 16);
    store_le64(core->config, 43);
    type->resume(core);
    guest_send(f, 77, 1, RW, 0, NULL, 0);
    guest_expect_nothing(f);
    assert_int_equal(f->driver.logged, 1);
    store_le64(core->config, GUEST_CID);
    fd = host_to_guest(f, 77, &port);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(guest_connects, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(scattered_payload, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(host_connects, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(host_is_refused, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(line_in_pieces, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(wrong_lines, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(host_ends_early, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(guest_half_closes, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(guest_stops_receiving, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(host_half_closes, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(host_closes, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(host_stops_reading, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(driver_resets, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(restored, setup, vsock_teardown),
        cmocka_unit_test_setup_teardown(loaded_state, setup, vsock_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
