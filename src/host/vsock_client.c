/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vsock_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "base/unix_socket.h"

/* "OK 4294967295\n" */
#define ANSWER_MAX 16u

static int wait_readable(int fd, uint64_t deadline_ns)
{
    struct pollfd in = {.fd = fd, .events = POLLIN};
    uint64_t now = monotonic_ns();
    int n = now < deadline_ns ? poll(&in, 1, (int)((deadline_ns - now) / 1000000) + 1) : 0;

    if (n < 0 && errno != EINTR)
        return -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}

/* Byte by byte: what stands behind the line is for whoever wanted the port. */
static int read_answer(int fd, uint64_t deadline_ns)
{
    char line[ANSWER_MAX];
    size_t length = 0;

    while (length < sizeof(line)) {
        int r = wait_readable(fd, deadline_ns);
        ssize_t n = r ? 0 : recv(fd, line + length, 1, MSG_DONTWAIT);

        if (r)
            return r;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0 && errno != ECONNRESET)
            return -errno;
        if (n <= 0)
            return -ECONNREFUSED;
        if (line[length++] == '\n')
            return length > 3 && !memcmp(line, "OK ", 3) ? 0 : -EPROTO;
    }
    return -EPROTO;
}

static int greet(int fd, uint32_t port, uint64_t deadline_ns)
{
    char line[32];
    int length = snprintf(line, sizeof(line), "CONNECT %u\n", port);

    /* The machine's socket has room for it, being new. */
    if (send(fd, line, (size_t)length, MSG_NOSIGNAL) != length)
        return errno == EPIPE || errno == ECONNRESET ? -ECONNREFUSED : -errno;
    return read_answer(fd, deadline_ns);
}

int vsock_client_connect(const char *path, uint32_t port, unsigned timeout_ms, int *fd,
                         struct error *error)
{
    const struct timespec step = {.tv_nsec = 5000000};
    uint64_t deadline_ns = monotonic_ns() + timeout_ms * UINT64_C(1000000);
    CLEANUP(descriptor_close) int one = -1;
    int r;

    /* Nothing tells when there is room. */
    while ((one = unix_socket_connect(path)) == -EAGAIN && monotonic_ns() < deadline_ns)
        nanosleep(&step, NULL);
    if (one < 0)
        return error_set(error, -one, "cannot connect to \"%s\": %s", path, error_words(-one));
    r = greet(one, port, deadline_ns);
    switch (r) {
    case 0:
        *fd = one;
        one = -1;
        return 0;
    case -ECONNREFUSED:
        return error_set(error, ECONNREFUSED, "nobody listens at port %u of the guest", port);
    case -ETIMEDOUT:
        return error_set(error, ETIMEDOUT,
                         "the guest does not answer at port %u; has it started, and does it have "
                         "a driver for virtio sockets?",
                         port);
    default:
        return error_set(error, -r, "cannot reach port %u of the guest: %s", port, error_words(-r));
    }
}
