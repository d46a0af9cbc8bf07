/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers a guest's DHCP messages (RFC 2131, options of RFC 2132): a function of the message and of
 * the one address that the guest's port has, so that the process of each port can answer its own
 * guest. The message is hostile.
 *
 * What is given: address, mask, broadcast address, DNS server, domain and host name. Never a
 * router: the network is isolated, and a guest's other network may have one.
 */
#ifndef HOSPES_NETWORK_DHCP_H
#define HOSPES_NETWORK_DHCP_H

#include <stdbool.h>
#include <stdint.h>

#define DHCP_ANSWER_MAX 576u /* RFC 2131, 2: what every client takes */

struct dhcp_lease {
    uint8_t mac[6];   /* of the interface; other clients behind it get no answer */
    uint32_t address; /* the guest's */
    uint32_t mask;
    uint32_t server;    /* of DHCP and DNS */
    const char *host;   /* at most 63 bytes */
    const char *domain; /* likewise */
};

struct dhcp_answer {
    uint8_t bytes[DHCP_ANSWER_MAX];
    uint32_t length;
    uint32_t to; /* the address that it goes to; all ones: to all */
};

/* False: the message gets no answer. */
bool dhcp_answer(const struct dhcp_lease *lease, const uint8_t *message, uint32_t length,
                 struct dhcp_answer *answer);

#endif
