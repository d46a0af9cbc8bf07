/* SPDX-License-Identifier: Apache-2.0 */
/* Two processes that send one byte to and fro through two pipes, 100 times a unit. */
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS 100

void program_prepare(void) {}

static void echo(int from, int to)
{
    uint8_t byte;

    while (read(from, &byte, 1) == 1) {
        byte += 3;
        if (write(to, &byte, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

uint64_t program_work(uint64_t units)
{
    int there[2], back[2];
    uint64_t sum = 0;
    uint8_t byte = 0;
    pid_t child;

    if (pipe(there) != 0 || pipe(back) != 0)
        bench_fail("pipe");
    child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        echo(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    for (uint64_t u = 0; u < units; u++) {
        for (unsigned i = 0; i < ROUNDS; i++) {
            if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
                bench_fail("pipe");
        }
        sum = bench_mix(sum, byte);
    }
    close(there[1]);
    close(back[0]);
    if (waitpid(child, NULL, 0) != child)
        bench_fail("waitpid");
    return sum;
}
