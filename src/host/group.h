/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control group of a machine's own, where the host lets its user make one: CPU time then goes by
 * weights that are met exactly, and a cap that the kernel keeps, whatever the process does. Where
 * there is none, weight.h and the machine's own cap (machine/throttle.h) do what they can.
 *
 * Version 2: as far up as the user may write and the group gives controllers to those below it
 * (delegation), so that all machines of a user are beside each other; under systemd only where that
 * leaves groups to others, since it takes CPU time back from its own. A group that has processes
 * itself can give none, so it is never below the own one, but for the hierarchy's root. A process
 * that systemd started as a service stays where it was put: its unit has CPUWeight= and CPUQuota=.
 * Version 1: below the group that the process began in, in the hierarchy of `cpu`. Its memory
 * controller is left alone: it does not take along what was charged before.
 *
 * Invariant G1: MACHINES/NAME/group tells where the machine's group is, or was last; written by its
 * process before that is jailed, under the machine's lock. Nothing else is believed of it than that
 * it names a group of this machine.
 * Invariant G2: the jailed process has no descriptor of its group and reaches it by no path: who
 * calls machine.set sets it from outside. Nor can it remove it: who sees next that the machine has
 * ended does (group_sweep()), which the kernel refuses while anybody is inside.
 */
#ifndef HOSPES_HOST_GROUP_H
#define HOSPES_HOST_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cgroup.h"
#include "base/error.h"
#include "host/registry.h"

struct group_shares {
    unsigned weight; /* weight.h; 0: the default */
    unsigned cap;    /* per cent of one host CPU; 0: none */
};

/* "off": no groups are made, as for tests; NULL: where there can be. A usage error. */
int group_is_wanted(const char *text, bool *wanted, struct error *error) MUST_CHECK;

/* In which group those of machines would be made. -ENOENT: no hierarchy has CPU time; -EACCES: none
 * in which this user may; -EBUSY: a service of systemd's. `root` as in base/cgroup.h. */
int group_find_place(const char *root, struct cgroup *place) MUST_CHECK;

/* Makes the machine's group, with room for `memory` bytes of guest, and puts this process there.
 * Under the machine's lock, and not jailed. Without words where there is no place, as above. */
int group_enter(const char *root, const struct registry *registry, const char *name,
                uint64_t memory, struct error *error) MUST_CHECK;
/* 1 or 2: `pid` is in the machine's group, of that version; 0: it is not, or the group has no CPU
 * time to share any more. */
unsigned group_version(const struct registry *registry, const char *name, pid_t pid);
int group_set(const struct registry *registry, const char *name, const struct group_shares *shares,
              struct error *error) MUST_CHECK;
/* Removes the machine's group, if nobody is in it. False: somebody is. */
bool group_sweep(const struct registry *registry, const char *name);

#endif
