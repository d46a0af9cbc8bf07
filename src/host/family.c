/* SPDX-License-Identifier: Apache-2.0 */
#include "host/family.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t family_find(pid_t pid, pid_t members[FAMILY_MAX])
{
    char path[64];
    size_t count = 1;
    FILE *file;
    int child;

    members[0] = pid;
    /* A process's first thread makes its children. A kernel without CONFIG_PROC_CHILDREN tells of
     * none. */
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    file = fopen(path, "re");
    while (file && count < FAMILY_MAX && fscanf(file, "%d", &child) == 1)
        members[count++] = child;
    if (file)
        fclose(file);
    return count;
}

void process_text(pid_t pid, const char *file, char *text, size_t size)
{
    char path[48];
    FILE *stream;
    size_t n = 0;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
    stream = fopen(path, "re");
    if (stream) {
        n = fread(text, 1, size - 1, stream);
        fclose(stream);
    }
    text[n] = 0;
}

/* The second field is the name in parentheses, which may have any in it. */
static const char *stat_field(const char *text, unsigned n)
{
    const char *at = strrchr(text, ')');

    for (unsigned field = 2; at && field < n; field++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at;
}

uint64_t process_stat(const char *text, unsigned n)
{
    const char *at = stat_field(text, n);

    return at ? strtoull(at, NULL, 10) : 0;
}

bool process_is_ending(pid_t pid)
{
    const unsigned exiting = 4; /* PF_EXITING of the kernel's linux/sched.h */
    const char *state;
    char text[512];

    process_text(pid, "stat", text, sizeof(text));
    state = stat_field(text, 3);
    return state && (*state == 'Z' || *state == 'X' || process_stat(text, 9) & exiting ||
                     process_stat(text, 31) & 1u << (SIGKILL - 1));
}
