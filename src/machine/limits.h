/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's limits, put to its back ends. Loop's thread. */
#ifndef HOSPES_MACHINE_LIMITS_H
#define HOSPES_MACHINE_LIMITS_H

#include "machine/description.h"
#include "network/net.h"
#include "storage/block.h"

/* Disks and networks that are not there are NULL; networks are those of net_limit_new(). */
void limits_apply(const struct machine_limits *limits,
                  struct block *const blocks[MACHINE_DISKS_MAX],
                  struct net *const nets[MACHINE_NETS_MAX]);

#endif
