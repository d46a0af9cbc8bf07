/* SPDX-License-Identifier: Apache-2.0 */
/* A program a unit: forked, its tiny static executable beside this one run, waited for. */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static char path[PATH_MAX];

void program_prepare(void)
{
    char self[PATH_MAX - 16];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (length < 0)
        bench_fail("readlink");
    self[length] = '\0';
    snprintf(path, sizeof path, "%s/tiny", dirname(self));
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        pid_t child = fork();
        int status;

        if (child < 0)
            bench_fail("fork");
        if (child == 0) {
            execl(path, "tiny", (char *)NULL);
            _exit(127);
        }
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
            bench_fail("waitpid");
        if (WEXITSTATUS(status) != 7)
            bench_fail("exec");
        sum = bench_mix(sum, (uint64_t)WEXITSTATUS(status));
    }
    return sum;
}
