/* SPDX-License-Identifier: Apache-2.0 */
/* The user network itself, for its process: network/user.c, and tests. */
#ifndef HOSPES_NETWORK_SLIRP_H
#define HOSPES_NETWORK_SLIRP_H

#include "base/compiler.h"
#include "network/net.h"

/* As net_user_new(), in this process and on this loop. Once a process: see slirp.c. */
int net_slirp_new(struct net **net, struct loop *loop, const struct net_user_options *options,
                  const struct log *log, struct error *error) MUST_CHECK;

#endif
