/* SPDX-License-Identifier: Apache-2.0 */
/* A process a unit: forked, ended, waited for. */
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        pid_t child = fork();
        int status;

        if (child < 0)
            bench_fail("fork");
        if (child == 0)
            _exit((int)(u & 0x7f));
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
            bench_fail("waitpid");
        sum = bench_mix(sum, (uint64_t)WEXITSTATUS(status));
    }
    return sum;
}
