/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unix_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int unix_socket_new(const char *path, struct sockaddr_un *name)
{
    int fd;

    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) > UNIX_SOCKET_PATH_MAX)
        return -ENAMETOOLONG;
    strcpy(name->sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int unix_socket_connect(const char *path)
{
    struct sockaddr_un name;
    int fd = unix_socket_new(path, &name), r;

    if (fd < 0 || !connect(fd, (const struct sockaddr *)&name, sizeof(name)))
        return fd;
    r = -errno;
    close(fd);
    return r;
}

/* True when the path is a socket that nobody listens at. A file that is none refuses a connection
 * in the same way. */
static bool unix_socket_is_stale(const char *path)
{
    struct stat st;
    int fd;

    if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
        return false;
    fd = unix_socket_connect(path);
    if (fd >= 0)
        close(fd);
    return fd == -ECONNREFUSED;
}

static int unix_socket_bind(int fd, const struct sockaddr_un *name)
{
    return bind(fd, (const struct sockaddr *)name, sizeof(*name)) ? -errno : 0;
}

int unix_socket_listen(const char *path, int backlog)
{
    struct sockaddr_un name;
    int fd = unix_socket_new(path, &name), r;

    if (fd < 0)
        return fd;
    /* bind() gives the file the mode that the socket has, so that there is no moment in which
     * others can connect. */
    r = fchmod(fd, 0600) ? -errno : unix_socket_bind(fd, &name);
    if (r == -EADDRINUSE && unix_socket_is_stale(path)) {
        unlink(path);
        r = unix_socket_bind(fd, &name);
    }
    if (!r && listen(fd, backlog))
        r = -errno;
    if (!r)
        return fd;
    close(fd);
    return r;
}
