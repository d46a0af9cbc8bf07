/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs and how much memory the host gives this process. Read anew each time; any thread.
 */
#ifndef HOSPES_BASE_HOST_H
#define HOSPES_BASE_HOST_H

#include <stdint.h>

/* CPUs that this process may use (sched_getaffinity(2)), and that there are. 1 at the least. */
unsigned host_cpus(void);
unsigned host_cpus_present(void);

/* In bytes; 0: the kernel does not tell. */
struct host_memory {
    uint64_t total;     /* of the machine itself (MemTotal) */
    uint64_t available; /* that it could give without swapping (MemAvailable) */
    /* The same where a control group of this process's allows less; else as above. */
    uint64_t allowed, allowed_available;
};

void host_memory(struct host_memory *memory);

#endif
