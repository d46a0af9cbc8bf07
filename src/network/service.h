/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network's own address (.1) does for a guest: ARP, ICMP echo, DHCP and DNS. No machine has
 * that address: the process of each port plays it for its own guest, and nothing of it goes to the
 * other ports. A function of the frame and of who is there; the frame is hostile.
 */
#ifndef HOSPES_NETWORK_SERVICE_H
#define HOSPES_NETWORK_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "network/dhcp.h"
#include "network/dns.h"

/* The host part of the network's own address; machines have the ones behind it. */
#define SERVICE_HOST 1u
/* Longer ones (pings of more than a usual frame) get none. */
#define SERVICE_ANSWER_MAX 1536u

/* Of the network's own interface, the same in each; locally administered. */
extern const uint8_t service_mac[6];

struct service {
    struct dhcp_lease lease; /* of the guest */
    struct dns_zone zone;
};

/* Returns false when the frame is none of the service's: it goes to the other ports. Else it goes
 * nowhere, and *answer_length tells how long the frame is that the guest is to get; 0: none. */
bool service_take(const struct service *service, const uint8_t *frame, uint32_t length,
                  uint8_t answer[SERVICE_ANSWER_MAX], uint32_t *answer_length);

/* Whether a frame of another port speaks for the network's own address, so that no guest passes
 * itself off as it. */
bool service_is_forged(const struct service *service, const uint8_t *frame, uint32_t length);

#endif
