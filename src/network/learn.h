/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which port of a network an Ethernet address was last seen at, as a bridge learns it (IEEE 802.1Q,
 * 8.7 and 8.8). One thread.
 *
 * The table has a fixed size. Each port has LEARN_PORT_ADDRESSES places of its own and a new
 * address takes the oldest of its port's places: a port that makes addresses up pushes out nobody
 * else's. Which addresses share a chain depends on a secret, so that they cannot be chosen to.
 */
#ifndef HOSPES_NETWORK_LEARN_H
#define HOSPES_NETWORK_LEARN_H

#include <stdint.h>

#define LEARN_PORTS          128u
#define LEARN_PORT_ADDRESSES 32u
#define LEARN_CHAINS         1024u
/* IEEE 802.1Q, 8.8.3: the recommended ageing time. */
#define LEARN_AGE_NS 300000000000u

struct learn_entry {
    uint64_t address; /* 48 bits; 0: the place is free */
    uint64_t seen_ns;
    uint16_t next; /* in its chain, + 1; 0: the last */
};

struct learn {
    uint64_t secret;
    uint16_t chains[LEARN_CHAINS]; /* the first entry + 1; 0: none */
    struct learn_entry entries[LEARN_PORTS * LEARN_PORT_ADDRESSES]; /* a run a port */
};

/* `secret` is random. */
void learn_init(struct learn *learn, uint64_t secret);
/* The address was seen at `port` (below LEARN_PORTS), wherever it was before. */
void learn_note(struct learn *learn, const uint8_t address[6], unsigned port, uint64_t now_ns);
/* The port, or -1 when it is not known or was not seen for LEARN_AGE_NS. */
int learn_find(const struct learn *learn, const uint8_t address[6], uint64_t now_ns);
/* Nothing is at the port any more. */
void learn_forget(struct learn *learn, unsigned port);

#endif
