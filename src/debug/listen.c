/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *unix_path(const char *address)
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
    const char *path = unix_path(address);
    char host[256];
    unsigned port;

    if (path && strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
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

/* True when the path is a socket that nobody listens at. A file that is none refuses a connection
 * in the same way. */
static bool unix_is_stale(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    bool stale = fd >= 0 && lstat(name->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
                 connect(fd, (const struct sockaddr *)name, sizeof(*name)) != 0 &&
                 errno == ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return stale;
}

static int unix_open(const char *address, int *out, struct error *error)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (fd < 0)
        return listen_failed(address, errno, error);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", unix_path(address));
    r = bind(fd, (struct sockaddr *)&name, sizeof(name));
    if (r && errno == EADDRINUSE && unix_is_stale(&name)) {
        unlink(name.sun_path);
        r = bind(fd, (struct sockaddr *)&name, sizeof(name));
    }
    if (r || listen(fd, 1)) {
        r = errno;
        close(fd);
        return listen_failed(address, r, error);
    }
    *out = fd;
    return 0;
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
    if (unix_path(address))
        return unix_open(address, fd, error);
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
    if (unix_path(address))
        unlink(unix_path(address));
}
