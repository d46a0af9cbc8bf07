/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cpu_time.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First line of a thread's file; "": none. */
static void read_line(pid_t pid, long thread, const char *name, char *line, size_t size)
{
    char path[64];
    FILE *file;

    line[0] = 0;
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/%s", (long)pid, thread, name);
    file = fopen(path, "re");
    if (file && !fgets(line, (int)size, file))
        line[0] = 0;
    if (file)
        fclose(file);
}

int cpu_time_wanted(pid_t pid, uint64_t *wanted_ns)
{
    unsigned long long ran, waited;
    struct dirent *entry;
    char line[96];
    DIR *tasks;
    int r = -ENOENT;

    snprintf(line, sizeof(line), "/proc/%ld/task", (long)pid);
    tasks = opendir(line);
    if (!tasks)
        return -errno;
    *wanted_ns = 0;
    while ((entry = readdir(tasks))) {
        long thread = strtol(entry->d_name, NULL, 10);

        if (thread <= 0)
            continue;
        /* As vcpu.c names them. A process that calls others so deceives nobody but itself. */
        read_line(pid, thread, "comm", line, sizeof(line));
        if (strncmp(line, "cpu", 3) != 0 || !isdigit((unsigned char)line[3]))
            continue;
        read_line(pid, thread, "schedstat", line, sizeof(line));
        if (sscanf(line, "%llu %llu", &ran, &waited) != 2)
            continue;
        *wanted_ns += ran + waited;
        r = 0;
    }
    closedir(tasks);
    return r;
}
