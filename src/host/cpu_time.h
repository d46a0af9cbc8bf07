/* SPDX-License-Identifier: Apache-2.0 */
/* What the virtual CPUs of a machine's process took of the host's, as /proc tells. */
#ifndef HOSPES_HOST_CPU_TIME_H
#define HOSPES_HOST_CPU_TIME_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/* *wanted_ns: the time that its threads cpu0, cpu1, ... ran, and that they could have run but
 * waited for a CPU; it only grows. -errno: the kernel does not tell (CONFIG_SCHED_INFO), or there
 * is no such thread. */
int cpu_time_wanted(pid_t pid, uint64_t *wanted_ns) MUST_CHECK;

#endif
