/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest system call, 1000 times a unit. */
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t same = 0;
    long pid = getpid();

    for (uint64_t u = 0; u < units; u++) {
        for (unsigned i = 0; i < 1000; i++)
            same += syscall(SYS_getpid) == pid;
    }
    return same;
}
