/* SPDX-License-Identifier: Apache-2.0 */
#include "host/pressure.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cgroup.h"
#include "base/host.h"

enum { COUNTS = 20, COUNT_NS = 50000000 };

int pressure_read(const char *path, struct pressure *pressure)
{
    FILE *file = fopen(path, "re");
    int found;

    if (!file)
        return -errno;
    found = fscanf(file, "some avg10=%lf avg60=%lf", &pressure->recent, &pressure->minute);
    fclose(file);
    return found == 2 && isfinite(pressure->recent) && isfinite(pressure->minute) ? 0 : -EINVAL;
}

static int can_run(const char *path, unsigned *count)
{
    FILE *file = fopen(path, "re");
    int found;

    if (!file)
        return -errno;
    found = fscanf(file, "%*f %*f %*f %u/", count);
    fclose(file);
    return found == 1 ? 0 : -EINVAL;
}

int pressure_count(const char *path, unsigned cpus, struct pressure *pressure)
{
    const struct timespec pause = {.tv_nsec = COUNT_NS};
    unsigned waiting = 0, count = 0;

    for (unsigned i = 0; i < COUNTS; i++) {
        int r = can_run(path, &count);

        if (r)
            return r;
        /* One of them is this thread, which looks. */
        waiting += count > cpus + 1;
        nanosleep(&pause, NULL);
    }
    pressure->recent = pressure->minute = 100.0 * waiting / COUNTS;
    return 0;
}

int pressure_measure(struct pressure *pressure, struct error *error)
{
    const char *named = getenv("HOSPES_CPU_PRESSURE");
    int r = pressure_read(named ? named : "/proc/pressure/cpu", pressure);

    if (r && named)
        return error_set(error, -r, "cannot use \"%s\" (HOSPES_CPU_PRESSURE): %s", named,
                         r == -EINVAL ? "it does not begin with \"some avg10=N avg60=N\""
                                      : error_words(-r));
    if (r)
        r = pressure_count("/proc/loadavg", host_cpus_present(), pressure);
    return r ? error_set(error, -r, "cannot tell how short of CPUs the host is: %s",
                         error_words(-r))
             : 0;
}

/* ---- memory ---- */

static void take_worse(struct pressure *worst, const char *directory, const char *file)
{
    struct pressure pressure;
    char path[PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/%s", directory, file);
    if (pressure_read(path, &pressure))
        return;
    if (pressure.recent > worst->recent)
        worst->recent = pressure.recent;
    if (pressure.minute > worst->minute)
        worst->minute = pressure.minute;
}

struct pressure pressure_of_memory(const char *root)
{
    struct pressure worst = {0, 0};
    struct cgroup cgroup;

    take_worse(&worst, root, "proc/pressure/memory");
    /* Groups of version 1 have no such file. */
    if (!cgroup_find(root, "memory", &cgroup))
        do
            take_worse(&worst, cgroup.directory, "memory.pressure");
        while (cgroup_up(&cgroup));
    return worst;
}
