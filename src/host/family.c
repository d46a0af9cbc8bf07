/* SPDX-License-Identifier: Apache-2.0 */
#include "host/family.h"

#include <signal.h>
#include <stdio.h>
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

bool process_is_ending(pid_t pid)
{
    const unsigned exiting = 4; /* PF_EXITING of the kernel's linux/sched.h */
    unsigned flags = 0, pending = 0;
    char path[32], text[512], state = 0;
    const char *name_end;
    size_t n = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    file = fopen(path, "re");
    if (file) {
        n = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
    }
    text[n] = 0;
    /* Fields 3, 9 and 31 (proc(5)); the second is its name in parentheses, which may have any in
     * it. */
    name_end = strrchr(text, ')');
    if (!name_end || sscanf(name_end,
                            ") %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                            "%*d %*d %*u %*u %*d %*u %*u %*u %*u %*u %*u %u",
                            &state, &flags, &pending) != 3)
        return false;
    return state == 'Z' || state == 'X' || flags & exiting || pending & 1u << (SIGKILL - 1);
}
