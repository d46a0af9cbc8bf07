/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the time some task of the host waits for a CPU, or for memory. */
#ifndef HOSPES_HOST_PRESSURE_H
#define HOSPES_HOST_PRESSURE_H

#include "base/compiler.h"
#include "base/error.h"

/* In per cent. */
struct pressure {
    double recent; /* of the last 10 s */
    double minute; /* of the last 60 s */
};

/* As the kernel tells (Documentation/accounting/psi.rst of Linux), of the host or, if
 * HOSPES_CPU_PRESSURE names a file, as that of a control group, of this. Where the kernel does not
 * (CONFIG_PSI), by counting for a second how often more tasks can run than there are CPUs, for
 * both. A file that is named and cannot be used is an error. */
int pressure_measure(struct pressure *pressure, struct error *error) MUST_CHECK;

/* The same of memory: of the host and, of version 2, of the control groups that this process is in,
 * whose limits may leave less than the host has: whichever waits most. 0 where the kernel does not
 * tell. `root` stands before every path, as in base/cgroup.h. */
struct pressure pressure_of_memory(const char *root);

/* The parts of it, for tests. Of a file of the kernel's form: -EINVAL, or why it cannot be read. */
int pressure_read(const char *path, struct pressure *pressure) MUST_CHECK;
/* From RUNNABLE/ALL of such a file as /proc/loadavg, for a host with so many CPUs. */
int pressure_count(const char *path, unsigned cpus, struct pressure *pressure) MUST_CHECK;

#endif
