/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets in the file system: listening and connecting, non-blocking and closed by exec. Any
 * thread. What the calls return is the caller's to close; the file of a listener is the caller's to
 * remove.
 */
#ifndef HOSPES_BASE_UNIX_SOCKET_H
#define HOSPES_BASE_UNIX_SOCKET_H

#include "base/compiler.h"

/* The longest path (unix(7), sun_path with its final zero byte). */
#define UNIX_SOCKET_PATH_MAX 107

/* Makes the file, which only its owner can connect to (mode 0600), and listens there. One that a
 * process left behind that listens no more is replaced. Returns a descriptor or -errno: -EADDRINUSE
 * for one that is alive and for a file of another kind, -ENAMETOOLONG. */
int unix_socket_listen(const char *path, int backlog) MUST_CHECK;
/* Returns a descriptor or -errno: -ENOENT, -ECONNREFUSED when nobody listens, -EAGAIN when too many
 * wait there to be accepted, -ENAMETOOLONG. */
int unix_socket_connect(const char *path) MUST_CHECK;

#endif
