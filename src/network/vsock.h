/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a virtio socket device: where the streams of the guest's ports end on the host.
 *
 * Everything runs on the loop's thread. The guest's side (the device) attaches itself as a port and
 * calls the operations; the back end calls the port, never from inside an operation, and the port
 * calls no operation from inside a callback: it takes note and comes later.
 *
 * A link is one stream. It is the device's from vsock_open(), or from a connect() that it accepted,
 * until vsock_close(), which is called exactly once for it; a host that is gone does not end that.
 * Bytes for the host are buffered up to VSOCK_BUFFER a link; the device sees to it, by the credit
 * that it gives the guest, that no more are written. Bytes for the guest stay in the host's kernel
 * until vsock_read().
 */
#ifndef HOSPES_NETWORK_VSOCK_H
#define HOSPES_NETWORK_VSOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"

/* Bytes from the guest that the host has not taken, a link. */
#define VSOCK_BUFFER (128u << 10)

/* Longest path of vsock_unix_new(): the files beside it are PATH_4294967295 at most. */
#define VSOCK_PATH_MAX 96

struct vsock;
struct vsock_link;

/* The guest's side, filled by the device. */
struct vsock_port {
    /* A program of the host wants to reach `port` of the guest. Returns 0 when the device took the
     * link and will ask the guest, or -errno: refused at once, and the link is not the device's. */
    int (*connect)(void *ctx, struct vsock_link *link, uint32_t port);
    /* There may be bytes, or their end: vsock_read() tells. */
    void (*readable)(void *ctx, struct vsock_link *link);
    /* The host took that many of the bytes that vsock_write() had buffered. */
    void (*drained)(void *ctx, struct vsock_link *link, uint32_t bytes);
    /* The host takes no more bytes: what is buffered is dropped, and so is what comes. */
    void (*hung_up)(void *ctx, struct vsock_link *link);
    void *ctx;
};

struct vsock_type {
    const char *name;
    int (*open)(struct vsock *vsock, uint32_t port, void *owner, struct vsock_link **link);
    void (*accept)(struct vsock_link *link, uint32_t host_port);
    ssize_t (*read)(struct vsock_link *link, const struct iovec *iov, unsigned iov_count,
                    bool *more);
    ssize_t (*write)(struct vsock_link *link, const struct iovec *iov, unsigned iov_count,
                     uint32_t length);
    void (*finish)(struct vsock_link *link);
    void (*mute)(struct vsock_link *link);
    void (*close)(struct vsock_link *link);
    void (*free)(struct vsock *vsock);
};

/* The common heads of every back end and its links. */
struct vsock {
    const struct vsock_type *type;
    struct vsock_port port;
};

struct vsock_link {
    struct vsock *vsock;
    void *owner; /* the device's; set by vsock_open() or by the device in connect() */
};

/* Wires the device to the back end; once. Until then the host's programs are refused. */
static inline void vsock_attach(struct vsock *vsock, const struct vsock_port *port)
{
    vsock->port = *port;
}

/* The guest wants to reach `port` of the host. Returns 0, or -errno when nobody is there to take
 * it: then it is refused. */
static inline int vsock_open(struct vsock *vsock, uint32_t port, void *owner,
                             struct vsock_link **link)
{
    return vsock->type->open(vsock, port, owner, link);
}

/* The guest accepted the link of a connect(); its program is told `host_port`, which the guest sees
 * as its peer. Before this nothing is read or written. */
static inline void vsock_accept(struct vsock_link *link, uint32_t host_port)
{
    link->vsock->type->accept(link, host_port);
}

/* Reads at most what the iov takes, which is not empty; it may be memory of the guest. Returns how
 * many bytes, 0 at their end, or -EAGAIN: readable() will say when. *more: after bytes, whether
 * another call may find some, or the end, at once without readable(). */
static inline ssize_t vsock_read(struct vsock_link *link, const struct iovec *iov,
                                 unsigned iov_count, bool *more)
{
    return link->vsock->type->read(link, iov, iov_count, more);
}

/* Takes all `length` bytes of the iov, which may be memory of the guest. Returns how many of them
 * the host took at once, the rest being buffered; -EPIPE: the host takes no more, all are dropped;
 * -ENOMEM. */
static inline ssize_t vsock_write(struct vsock_link *link, const struct iovec *iov,
                                  unsigned iov_count, uint32_t length)
{
    return link->vsock->type->write(link, iov, iov_count, length);
}

/* The guest sends no more: the host sees the end behind what is buffered. */
static inline void vsock_finish(struct vsock_link *link)
{
    link->vsock->type->finish(link);
}

/* The guest takes no more: the host's further bytes are refused. */
static inline void vsock_mute(struct vsock_link *link)
{
    link->vsock->type->mute(link);
}

/* The link is the back end's again, which still brings to the host what is buffered. */
static inline void vsock_close(struct vsock_link *link)
{
    link->vsock->type->close(link);
}

/* No link is the device's any more. What is buffered is lost. */
static inline void vsock_free(struct vsock *vsock)
{
    if (vsock)
        vsock->type->free(vsock);
}

/* Unix sockets, as Firecracker and Cloud Hypervisor have them ("hybrid vsock"; Firecracker,
 * docs/vsock.md). A program of the host connects to `path`, sends "CONNECT <port>\n" and gets
 * "OK <host port>\n" when the guest accepted; refused, its connection ends. What the guest begins
 * to the host's port N goes to whoever listens at the socket `path`_N. The file `path` has mode
 * 0600 and is removed at the end. Errors: a living socket or another file is there. */
int vsock_unix_new(struct vsock **vsock, struct loop *loop, const char *path, const struct log *log,
                   struct error *error) MUST_CHECK;

/* What a program says first: "CONNECT <port>", in letters of either case, and "\n" or "\r\n".
 * Returns how many bytes that took, 0 when more have to come, or -EPROTO. For the back end and its
 * tests. */
int vsock_unix_parse(const char *bytes, size_t length, uint32_t *port) MUST_CHECK;

#endif
