/* SPDX-License-Identifier: Apache-2.0 */
#include "host/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/thread.h"
#include "base/unix_socket.h"

#define ROOM_STEP 16384u

int lines_connect(const char *path, uint64_t deadline_ns, struct error *error)
{
    const struct timespec step = {.tv_nsec = 5000000};
    int fd;

    /* Nothing tells when there is room. */
    while ((fd = unix_socket_connect(path)) == -EAGAIN && monotonic_ns() < deadline_ns)
        nanosleep(&step, NULL);
    if (fd == -EAGAIN)
        return error_set(error, ETIMEDOUT, "no answer");
    if (fd < 0)
        return error_set(error, -fd, "cannot connect to \"%s\": %s", path, error_words(-fd));
    return fd;
}

/* Waits until something can be received or sent. */
static int lines_wait(const struct lines *lines, short events, uint64_t deadline_ns)
{
    struct pollfd poll_fd = {.fd = lines->fd, .events = events};
    uint64_t now = monotonic_ns();
    uint64_t left_ms = deadline_ns > now ? (deadline_ns - now) / 1000000 + 1 : 0;
    int n;

    /* Also when there is something each time: who drips would hold us for ever. */
    if (!left_ms)
        return -ETIMEDOUT;
    n = poll(&poll_fd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
    if (n < 0 && errno != EINTR)
        return -errno;
    return n == 0 && monotonic_ns() >= deadline_ns ? -ETIMEDOUT : 0;
}

/* A peer that takes nothing for so long has stopped. */
#define SEND_NS UINT64_C(10000000000)

static int send_all(const struct lines *lines, const char *data, size_t size)
{
    uint64_t deadline = monotonic_ns() + SEND_NS;
    int r = 0;

    while (size && !r) {
        ssize_t n = send(lines->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            data += n;
            size -= (size_t)n;
            deadline = monotonic_ns() + SEND_NS;
        } else if (errno == EAGAIN) {
            r = lines_wait(lines, POLLOUT, deadline);
        } else if (errno != EINTR) {
            r = -errno;
        }
    }
    return r;
}

int lines_send(struct lines *lines, const char *prefix, json_t *json, struct error *error)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int r = text ? 0 : -ENOMEM;

    json_decref(json);
    if (!r && prefix)
        r = send_all(lines, prefix, strlen(prefix));
    if (!r)
        r = send_all(lines, text, strlen(text));
    if (!r)
        r = send_all(lines, "\n", 1);
    free(text);
    return r ? error_set(error, -r, "cannot ask: %s", error_words(-r)) : 0;
}

static int make_room(struct lines *lines)
{
    char *grown;

    if (lines->size < lines->room)
        return 0;
    if (lines->room > lines->limit)
        return -EPROTO;
    grown = realloc(lines->data, lines->room + ROOM_STEP);
    if (!grown)
        return -ENOMEM;
    lines->data = grown;
    lines->room += ROOM_STEP;
    return 0;
}

static int receive_some(struct lines *lines, uint64_t deadline_ns)
{
    ssize_t n;
    int r = make_room(lines);

    if (!r)
        r = lines_wait(lines, POLLIN, deadline_ns);
    if (r)
        return r;
    n = recv(lines->fd, lines->data + lines->size, lines->room - lines->size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return -errno;
    if (n == 0)
        return -ECONNRESET;
    lines->size += (size_t)n;
    return 0;
}

/* The value of the first line, if there is a whole one and it is JSON: true. */
static bool take_line(struct lines *lines, json_t **json)
{
    char *end = lines->size ? memchr(lines->data, '\n', lines->size) : NULL;
    const char *begin = lines->data;
    size_t length;

    if (!end)
        return false;
    /* An agent puts this in front of an answer by which its client finds its place
     * (guest-sync-delimited, QEMU Guest Agent Protocol Reference). */
    while (begin < end && (unsigned char)*begin == 0xff)
        begin++;
    *json = json_loadb(begin, (size_t)(end - begin), JSON_REJECT_DUPLICATES, NULL);
    length = (size_t)(end + 1 - lines->data);
    lines->size -= length;
    memmove(lines->data, end + 1, lines->size);
    return true;
}

int lines_receive(struct lines *lines, uint64_t deadline_ns, json_t **json, struct error *error)
{
    int r = 0;

    *json = NULL;
    while (!r) {
        while (take_line(lines, json))
            if (*json)
                return 0;
        r = receive_some(lines, deadline_ns);
    }
    if (r == -ETIMEDOUT)
        return error_set(error, ETIMEDOUT, "no answer");
    if (r == -EPROTO)
        return error_set(error, EPROTO, "the answer is too long");
    if (r == -ECONNRESET)
        return error_set(error, ECONNRESET, "the connection was closed");
    return error_set(error, -r, "cannot read the answer: %s", error_words(-r));
}
