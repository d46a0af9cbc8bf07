/* SPDX-License-Identifier: Apache-2.0 */
#include "vsock_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/unix_socket.h"
#include "device/virtio/vsock.h"

int vsock_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_setup setup;
    struct vsock *vsock;

    assert_non_null(f);
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/v", f->directory);
    driver_init(&f->driver);
    setup = driver_setup(&f->driver);
    assert_int_equal(vsock_unix_new(&vsock, f->driver.loop, f->path, NULL, NULL), 0);
    assert_int_equal(virtio_vsock_new(&f->driver.device, &setup, vsock, GUEST_CID), 0);
    driver_attach(&f->driver);
    f->rx = driver_alloc(&f->driver, 128 * RX_BUFFER);
    f->tx = driver_alloc(&f->driver, 128 * (HEADER + TX_MAX + 4));
    *state = f;
    return 0;
}

int vsock_teardown(void **state)
{
    struct fixture *f = *state;
    char command[100];

    driver_release(&f->driver);
    /* The device has removed it. */
    assert_int_not_equal(access(f->path, F_OK), 0);
    snprintf(command, sizeof(command), "rm -r %s", f->directory);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* ---- the guest ---- */

void guest_offer(struct fixture *f, unsigned buffers)
{
    for (unsigned i = 0; i < buffers; i++) {
        const struct buffer buffer = {f->rx + f->driver.queues[RX].free * RX_BUFFER, RX_BUFFER,
                                      true};

        driver_add(&f->driver, RX, &buffer, 1);
    }
    driver_kick(&f->driver, RX);
}

void guest_start(struct fixture *f, unsigned buffers)
{
    driver_start(&f->driver, 0, 3, 128);
    f->buf_alloc = PEER_CREDIT;
    f->fwd_cnt = 0;
    guest_offer(f, buffers);
}

void guest_put(struct fixture *f, const struct packet *packet, const void *payload, uint32_t bytes)
{
    gpa at = f->tx + f->driver.queues[TX].free * (HEADER + TX_MAX + 4);
    const struct buffer buffers[2] = {{at, HEADER, false}, {at + HEADER, bytes, false}};
    uint8_t raw[HEADER];

    store_le64(raw, packet->src_cid);
    store_le64(raw + 8, packet->dst_cid);
    store_le32(raw + 16, packet->src_port);
    store_le32(raw + 20, packet->dst_port);
    store_le32(raw + 24, packet->len);
    store_le16(raw + 28, packet->type);
    store_le16(raw + 30, packet->op);
    store_le32(raw + 32, packet->flags);
    store_le32(raw + 36, packet->buf_alloc);
    store_le32(raw + 40, packet->fwd_cnt);
    driver_put(&f->driver, at, raw, HEADER);
    if (bytes)
        driver_put(&f->driver, at + HEADER, payload, bytes);
    driver_add(&f->driver, TX, buffers, bytes ? 2 : 1);
}

void guest_send(struct fixture *f, uint32_t guest_port, uint32_t host_port, uint16_t op,
                uint32_t flags, const void *payload, uint32_t bytes)
{
    const struct packet packet = {.src_cid = GUEST_CID,
                                  .dst_cid = 2,
                                  .src_port = guest_port,
                                  .dst_port = host_port,
                                  .len = bytes,
                                  .type = 1,
                                  .op = op,
                                  .flags = flags,
                                  .buf_alloc = f->buf_alloc,
                                  .fwd_cnt = f->fwd_cnt};
    uint32_t head, length;

    guest_put(f, &packet, payload, bytes);
    driver_kick(&f->driver, TX);
    assert_true(driver_used(&f->driver, TX, &head, &length));
    assert_int_equal(length, 0);
}

bool guest_take(struct fixture *f)
{
    struct packet *p = &f->last;
    uint8_t raw[HEADER];
    uint32_t head, length;
    gpa at;

    if (!driver_used(&f->driver, RX, &head, &length))
        return false;
    at = f->rx + head * RX_BUFFER;
    driver_get(&f->driver, at, raw, HEADER);
    *p = (struct packet){
        .src_cid = load_le64(raw),
        .dst_cid = load_le64(raw + 8),
        .src_port = load_le32(raw + 16),
        .dst_port = load_le32(raw + 20),
        .len = load_le32(raw + 24),
        .type = load_le16(raw + 28),
        .op = load_le16(raw + 30),
        .flags = load_le32(raw + 32),
        .buf_alloc = load_le32(raw + 36),
        .fwd_cnt = load_le32(raw + 40),
    };
    assert_int_equal(p->src_cid == 2 || p->op == RST, true);
    assert_int_equal(p->dst_cid, GUEST_CID);
    assert_int_equal(length, HEADER + p->len);
    assert_true(p->len == 0 || p->op == RW);
    driver_get(&f->driver, at + HEADER, f->payload, p->len);
    if (!f->hold)
        guest_offer(f, 1);
    return true;
}

void guest_expect(struct fixture *f, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    assert_int_equal(f->last.op, op);
    assert_int_equal(f->last.dst_port, guest_port);
    assert_int_equal(f->last.src_port, host_port);
    assert_int_equal(f->last.type, 1);
}

void guest_expect_nothing(struct fixture *f)
{
    driver_turn(&f->driver);
    assert_false(guest_take(f));
}

/* ---- the host ---- */

int host_listen(struct fixture *f, uint32_t port)
{
    char path[100];
    int fd;

    snprintf(path, sizeof(path), "%s_%u", f->path, port);
    fd = unix_socket_listen(path, 512);
    assert_true(fd >= 0);
    return fd;
}

int host_accept(struct fixture *f, int listener)
{
    int fd;

    driver_turn(&f->driver);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

int host_connect(struct fixture *f)
{
    int fd = unix_socket_connect(f->path);

    assert_true(fd >= 0);
    driver_turn(&f->driver);
    return fd;
}

void host_send(int fd, const void *data, size_t length)
{
    assert_int_equal(send(fd, data, length, MSG_NOSIGNAL), length);
}

ssize_t host_read(struct fixture *f, int fd, void *data, size_t size)
{
    ssize_t n;

    driver_turn(&f->driver);
    n = recv(fd, data, size, 0);
    return n < 0 && errno == ECONNRESET ? 0 : n;
}

void host_expect(struct fixture *f, int fd, const char *text)
{
    char got[256] = "";

    assert_int_equal(host_read(f, fd, got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
}

void host_expect_end(struct fixture *f, int fd)
{
    char got[16];

    assert_int_equal(host_read(f, fd, got, sizeof(got)), 0);
}

/* ---- connections ---- */

int guest_to_host(struct fixture *f, uint32_t guest_port)
{
    char path[100];
    int listener = host_listen(f, 1234), fd;

    guest_send(f, guest_port, 1234, REQUEST, 0, NULL, 0);
    fd = host_accept(f, listener);
    guest_expect(f, RESPONSE, guest_port, 1234);
    close(listener);
    snprintf(path, sizeof(path), "%s_1234", f->path);
    unlink(path);
    return fd;
}

int host_to_guest(struct fixture *f, uint32_t guest_port, uint32_t *host_port)
{
    int fd = host_connect(f);
    char line[32];

    snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
    host_send(fd, line, strlen(line));
    driver_turn(&f->driver);
    assert_true(guest_take(f));
    *host_port = f->last.src_port;
    assert_int_equal(f->last.op, REQUEST);
    assert_int_equal(f->last.dst_port, guest_port);
    guest_send(f, guest_port, *host_port, RESPONSE, 0, NULL, 0);
    snprintf(line, sizeof(line), "OK %u\n", *host_port);
    host_expect(f, fd, line);
    return fd;
}
