/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio socket device over MMIO with the bridge to real unix sockets behind it, and a guest that
 * makes packets by hand.
 */
#ifndef HOSPES_TESTS_VSOCK_FIXTURE_H
#define HOSPES_TESTS_VSOCK_FIXTURE_H

#include "virtio_driver.h"

#define RX    0u
#define TX    1u
#define EVENT 2u

#define GUEST_CID   42u
#define HEADER      44u
#define RX_BUFFER   4096u
#define TX_MAX      (64u << 10)
#define CREDIT      (128u << 10) /* what the device says that it has */
#define PEER_CREDIT (256u << 10) /* what our guest says, unless told otherwise */

/* 5.10.6, written down once more so that a wrong constant shows. */
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };
enum { NO_RECEIVE = 1, NO_SEND = 2 };

struct packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, buf_alloc, fwd_cnt;
};

struct fixture {
    struct driver driver;
    char directory[64];
    char path[80]; /* the socket */
    gpa rx;
    gpa tx;
    uint32_t fwd_cnt;   /* said by our guest in each packet */
    uint32_t buf_alloc; /* likewise */
    bool hold;          /* buffers are not offered again */
    struct packet last; /* the last one received, and its payload */
    uint8_t payload[RX_BUFFER];
};

int vsock_setup(void **state);
int vsock_teardown(void **state);

/* The driver is up, with `buffers` buffers for receiving; again and again. */
void guest_start(struct fixture *f, unsigned buffers);
/* Offers that many more. */
void guest_offer(struct fixture *f, unsigned buffers);
/* Offers a packet, with `bytes` of payload behind the header, and does not notify. */
void guest_put(struct fixture *f, const struct packet *packet, const void *payload, uint32_t bytes);
/* A packet as it should be, from `guest_port` to the host's `host_port`; notifies. */
void guest_send(struct fixture *f, uint32_t guest_port, uint32_t host_port, uint16_t op,
                uint32_t flags, const void *payload, uint32_t bytes);
/* Takes the next packet into f->last; its buffer is offered again, unless f->hold. False when there
 * is none. */
bool guest_take(struct fixture *f);
/* Turns the loop; the next packet has to be this one. */
void guest_expect(struct fixture *f, uint16_t op, uint32_t guest_port, uint32_t host_port);
/* Turns the loop; there is none. */
void guest_expect_nothing(struct fixture *f);

/* A socket that listens at PATH_<port>, non-blocking as all of these. */
int host_listen(struct fixture *f, uint32_t port);
int host_accept(struct fixture *f, int listener);
int host_connect(struct fixture *f);
void host_send(int fd, const void *data, size_t length);
/* Turns the loop and reads: what there is, at most `size` bytes; 0 at the end, -1: nothing yet. */
ssize_t host_read(struct fixture *f, int fd, void *data, size_t size);
void host_expect(struct fixture *f, int fd, const char *text);
/* The connection has ended: no bytes, and the end of the file or a reset. */
void host_expect_end(struct fixture *f, int fd);

/* A connection that the guest begins to the host's port 1234, from its port `guest_port`. */
int guest_to_host(struct fixture *f, uint32_t guest_port);
/* One that the host begins to the guest's port; *host_port is what the guest knows it by. */
int host_to_guest(struct fixture *f, uint32_t guest_port, uint32_t *host_port);

#endif
