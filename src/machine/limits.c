/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/limits.h"

#include "network/limit.h"

/* How much of a limit passes at once: what comes in so many parts of a second. Long enough that no
 * timer of a busy host is late for it, short enough to be called a rate. */
#define BURST_PARTS 10

static uint64_t burst_of(uint64_t rate)
{
    return rate / BURST_PARTS ? rate / BURST_PARTS : 1;
}

void limits_apply(const struct machine_limits *limits,
                  struct block *const blocks[MACHINE_DISKS_MAX],
                  struct net *const nets[MACHINE_NETS_MAX])
{
    const struct block_limits disk = {.requests = limits->disk_iops,
                                      .request_burst = burst_of(limits->disk_iops),
                                      .bytes = limits->disk_bytes,
                                      .byte_burst = burst_of(limits->disk_bytes)};
    const struct net_limits rates = {.in = limits->net_rate_in,
                                     .in_burst = burst_of(limits->net_rate_in),
                                     .out = limits->net_rate_out,
                                     .out_burst = burst_of(limits->net_rate_out)};

    for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
        if (blocks[i])
            block_set_limits(blocks[i], &disk);
    for (unsigned i = 0; i < MACHINE_NETS_MAX; i++)
        if (nets[i])
            net_set_limits(nets[i], &rates);
}
