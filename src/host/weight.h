/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's process gets of CPUs that others want too, by the host's scheduler. A weight is
 * what cgroup v2's cpu.weight is: 1 to 10000, 100 by default; of two that want all they get CPU
 * time as their weights are.
 *
 * Set as a nice value: one step is a factor of 1.25 (sched(7)), so that a weight is met within 12 %
 * and those whose ratio is a power of 1.25 exactly. Where sessions are scheduled as groups
 * (CONFIG_SCHED_AUTOGROUP) the group's nice value is what counts, and the process has to be in a
 * session of its own.
 */
#ifndef HOSPES_HOST_WEIGHT_H
#define HOSPES_HOST_WEIGHT_H

#include <sys/types.h>

#include "base/error.h"

#define WEIGHT_MIN     1u
#define WEIGHT_DEFAULT 100u
#define WEIGHT_MAX     10000u

/* The nice value that comes nearest, -20 to 19. */
int weight_to_nice(unsigned weight);

/* More than 100 is a privilege of root (or RLIMIT_NICE): -EPERM, as is more than there is now. */
/* For this process: its threads and its group. */
int weight_set(unsigned weight, struct error *error) MUST_CHECK;
/* For the threads of process `pid` of the same user, and of its children; a jailed one cannot do it
 * by itself. */
int weight_set_threads(pid_t pid, unsigned weight, struct error *error) MUST_CHECK;
/* For a process's group, by what weight_open_group() opened. A jailed process may not give its
 * group more than everybody has, even as root; it is taken for done where somebody else did it. */
int weight_set_group(int fd, unsigned weight, struct error *error) MUST_CHECK;
/* The file by which that is done, for who closes it; -1: sessions are no groups here, or the
 * process is jailed and another's or not the caller's to open. */
int weight_open_group(pid_t pid) MUST_CHECK;

#endif
