/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unix_socket.h"

const char *listen_path(const char *address)
{
    return strncmp(address, "unix:", 5) ? NULL : address + 5;
}

/* Host and port of the text; the host "" is the default. */
static bool address_split(const char *address, char *host, size_t host_size, unsigned *port)
{
    const char *colon = strrchr(address, ':');
    const char *digits = colon ? colon + 1 : address;
    size_t length = colon ? (size_t)(colon - address) : 0;
    const char *from = address;

    if (colon && !length)
        return false;
    if (length >= 2 && from[0] == '[' && from[length - 1] == ']') {
        from++;
        length -= 2;
    } else if (memchr(from, ':', length)) {
        return false;
    }
    if (length >= host_size || (colon && !length))
        return false;
    memcpy(host, from, length);
    host[length] = 0;
    if (!*digits || strlen(digits) > 5 || strspn(digits, "0123456789") != strlen(digits))
        return false;
    *port = (unsigned)strtoul(digits, NULL, 10);
    return *port > 0 && *port <= 65535;
}

int listen_check(const char *address, struct error *error)
{
    const char *path = listen_path(address);
    char host[256];
    unsigned port;

    if (path && strlen(path) > UNIX_SOCKET_PATH_MAX)
        return error_usage(error,
                           "the path in '--gdb %s' is too long for a socket; use a shorter one",
                           address);
    if (path ? *path : address_split(address, host, sizeof(host), &port))
        return 0;
    return error_usage(error,
                       "cannot read '--gdb %s'; use --gdb [HOST:]PORT with a port from 1 to 65535, "
                       "or --gdb unix:PATH",
                       address);
}

static int listen_failed(const char *address, int code, struct error *error)
{
    return error_set(error, code, "cannot wait for a debugger at \"%s\": %s", address,
                     error_words(code));
}

static int tcp_open(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1, r;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, 1)) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

int listen_open(const char *address, int *fd, struct error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char host[256], service[8];
    unsigned port;
    int r = listen_check(address, error);

    if (r)
        return r;
    if (listen_path(address)) {
        r = unix_socket_listen(listen_path(address), 1);
        if (r < 0)
            return listen_failed(address, -r, error);
        *fd = r;
        return 0;
    }
    BUG_ON(!address_split(address, host, sizeof(host), &port));
    snprintf(service, sizeof(service), "%u", port);
    r = getaddrinfo(*host ? host : "127.0.0.1", service, &hints, &found);
    if (r)
        return error_set(error, EINVAL, "cannot wait for a debugger at \"%s\": %s", address,
                         gai_strerror(r));
    *fd = tcp_open(found);
    freeaddrinfo(found);
    return *fd < 0 ? listen_failed(address, -*fd, error) : 0;
}

void listen_close(const char *address, int fd)
{
    if (fd < 0)
        return;
    close(fd);
    if (listen_path(address))
        unlink(listen_path(address));
}
