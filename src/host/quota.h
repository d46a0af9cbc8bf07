/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machines of a user may take, as files say: pool.json.
 *
 *   {"memory_reserve": BYTES, "memory": BYTES, "cpus": N, "machines": N, "disk": BYTES,
 *    "users": {"alice": {"memory": BYTES, "cpus": N, "machines": N, "disk": BYTES}, "*": {...}}}
 *
 * That of /etc/hospes is the administrator's: what it says outside "users" holds for the machines
 * of each user, what is said of a user (by name, or number) for that one, of "*" for those of whom
 * nothing else is said. One more of the kind may be named by $HOSPES_POLICY. The user's own one, in
 * $XDG_CONFIG_HOME/hospes, has no "users". Of all that is said of a thing the least counts, so that
 * no file makes another one looser. One that cannot be used is an error, and not passed over.
 *
 * No fence against a user, who can run a program of their own, but against mistakes, and for users
 * that agree.
 */
#ifndef HOSPES_HOST_QUOTA_H
#define HOSPES_HOST_QUOTA_H

#include <stdint.h>

#include "base/error.h"

enum quota { QUOTA_MEMORY, QUOTA_CPUS, QUOTA_MACHINES, QUOTA_DISK, QUOTA_COUNT };

struct pool_limits {
    uint64_t memory_reserve; /* bytes that the host keeps; a sixteenth, at least 256 MiB */
    uint64_t memory;         /* sum of minimums at most; UINT64_MAX: what the host has */
    uint64_t cpus;           /* sum of CPUs at most; UINT64_MAX: no limit */
    uint64_t machines;       /* that run at once at most; UINT64_MAX: no limit */
    uint64_t disk;         /* sum of the sizes of machines' disks, also of those that do not run */
    char *by[QUOTA_COUNT]; /* owned; whose word that is; NULL: the user's own pool.json */
};

/* `memory`: of the host. Holds nothing after a failure. */
int quota_find(struct pool_limits *limits, uint64_t memory, struct error *error) MUST_CHECK;
void quota_release(struct pool_limits *limits);
/* For words to a person: whose limit it is. */
const char *quota_by(const struct pool_limits *limits, enum quota quota);
/* "memory", "cpus", ... */
const char *quota_name(enum quota quota);
uint64_t quota_limit(const struct pool_limits *limits, enum quota quota);

#endif
