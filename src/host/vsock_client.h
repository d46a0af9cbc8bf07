/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the host that wants a port of a machine's guest: connects to the socket at which the
 * machine's process offers them (network/vsock.h) and says which. Blocking; any thread.
 */
#ifndef HOSPES_HOST_VSOCK_CLIENT_H
#define HOSPES_HOST_VSOCK_CLIENT_H

#include <stdint.h>

#include "base/error.h"

/* *fd = a stream to whoever listens at `port` in the guest, which is the caller's to close; it does
 * not block. -ECONNREFUSED: nobody does; -ETIMEDOUT: the guest did not say within `timeout_ms`. */
int vsock_client_connect(const char *path, uint32_t port, unsigned timeout_ms, int *fd,
                         struct error *error) MUST_CHECK;

#endif
