/* SPDX-License-Identifier: Apache-2.0 */
/* Where a debugger connects to: [HOST:]PORT, an IPv6 address in brackets, or unix:PATH. */
#ifndef HOSPES_DEBUG_LISTEN_H
#define HOSPES_DEBUG_LISTEN_H

#include "base/error.h"

/* Whether the text has the form; opens nothing. A usage error. */
int listen_check(const char *address, struct error *error) MUST_CHECK;
/* A socket that listens there, non-blocking; host 127.0.0.1 unless given. A socket file that nobody
 * listens at any more is replaced. */
int listen_open(const char *address, int *fd, struct error *error) MUST_CHECK;
/* Closes, and removes the socket file. */
void listen_close(const char *address, int fd);

/* The socket file of such an address, in it; NULL: it has none. */
const char *listen_path(const char *address);

#endif
