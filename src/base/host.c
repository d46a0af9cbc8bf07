/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cgroup.h"

unsigned host_cpus_present(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (unsigned)count : 1;
}

unsigned host_cpus(void)
{
    cpu_set_t set;

    /* Fails only on hosts with more CPUs than the set holds. */
    return sched_getaffinity(0, sizeof(set), &set) ? host_cpus_present()
                                                   : (unsigned)CPU_COUNT(&set);
}

void host_memory(struct host_memory *memory)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long total = 0, available = 0;
    uint64_t limit, left;
    char line[256];

    while (file && fgets(line, sizeof(line), file)) {
        sscanf(line, "MemTotal: %llu kB", &total);
        sscanf(line, "MemAvailable: %llu kB", &available);
    }
    if (file)
        fclose(file);
    cgroup_memory("", &limit, &left);
    *memory = (struct host_memory){.total = total << 10, .available = available << 10};
    memory->allowed = lesser(memory->total, limit);
    memory->allowed_available = lesser(memory->available, left);
}
