/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of a network: its subnet, a /24 inside 10.0.0.0/8, and which interface of which
 * machine has which of its addresses; the file "leases" in the network's directory.
 *
 * Subnet and addresses follow from hashes of names as far as they are free, so that a machine has
 * the same address again in a network that was gone in between. The file is changed under the
 * directory's lock (segment.h), replaced whole, and read by anybody at any time. It is the user's
 * own, and judged line by line all the same: a line that is broken is not there.
 */
#ifndef HOSPES_NETWORK_LEASE_H
#define HOSPES_NETWORK_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define LEASE_FILE      "leases"
#define LEASE_NEW_FILE  ".leases" /* while it is written */
#define LEASE_NEW_FILE  ".leases" /* while it is written */
#define LEASE_NAME_MAX  63u       /* of a machine's name */
#define LEASE_MAX       253u      /* hosts .2 to .254 */
#define LEASE_INDEX_MAX 99u
/* Each line: a name, an index, a host and what divides them. */
#define LEASE_TEXT_MAX (64u + LEASE_MAX * (LEASE_NAME_MAX + 16))

struct lease {
    char name[LEASE_NAME_MAX + 1];
    unsigned index; /* of the machine's interface */
    uint8_t host;   /* the last byte of its address */
};

struct lease_table {
    uint32_t subnet; /* 10.x.y.0 */
    unsigned count;
    struct lease leases[LEASE_MAX]; /* who had its address given last stands last */
};

/* The subnet of the name; other ones for further attempts. Never one that libslirp uses. */
uint32_t lease_subnet(const char *network, unsigned attempt);

/* False: the text is no table. */
bool lease_parse(const char *text, size_t length, struct lease_table *table);
/* Returns the length. */
size_t lease_format(const struct lease_table *table, char text[LEASE_TEXT_MAX]);
/* -ENOENT: there is no file. -EINVAL: it is no table. */
int lease_read(int directory, struct lease_table *table) MUST_CHECK;
int lease_write(int directory, const struct lease_table *table) MUST_CHECK;

/* The host of an interface; 0: it has none. */
uint8_t lease_find(const struct lease_table *table, const char *name, unsigned index);
/* The one that it has, or gives it one: from who has not `joined` where none is free. 0: all are
 * taken. */
uint8_t lease_give(struct lease_table *table, const char *name, unsigned index,
                   bool (*joined)(void *ctx, const char *name, unsigned index), void *ctx);

#endif
