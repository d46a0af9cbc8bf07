/* SPDX-License-Identifier: Apache-2.0 */
#include "host/family.h"

#include <stdio.h>

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
