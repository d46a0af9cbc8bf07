/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers queries for the machines of one network (RFC 1035): a function of the query and of who is
 * there, so that the process of each port can answer its own guest. The query is hostile.
 *
 * A machine is known as NAME and as NAME.NETWORK. It has an A record and nothing else: AAAA and the
 * rest are answered empty. Other single words and other names in NETWORK do not exist (NXDOMAIN).
 * All other names are refused (REFUSED) and not denied: a guest may have another network, whose
 * servers know them, and a resolver goes on to the next server after REFUSED only.
 */
#ifndef HOSPES_NETWORK_DNS_H
#define HOSPES_NETWORK_DNS_H

#include <stdbool.h>
#include <stdint.h>

#define DNS_ANSWER_MAX 512u /* RFC 1035, 2.3.4: of a message over UDP */
#define DNS_NAME_MAX   255u /* as text, without the final dot */

struct dns_zone {
    const char *network; /* lower case */
    /* The address of the machine of that name, in lower case. False: no such machine. */
    bool (*find)(void *ctx, const char *machine, uint32_t *address);
    void *ctx;
};

/* Returns the length of the answer, or 0 for what is no query and gets none. */
uint32_t dns_answer(const struct dns_zone *zone, const uint8_t *query, uint32_t length,
                    uint8_t answer[DNS_ANSWER_MAX]);

#endif
