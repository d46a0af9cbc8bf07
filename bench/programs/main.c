/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of a program: PROGRAM UNITS prints "NAME SECONDS CHECKSUM UNITS". */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

void bench_fail(const char *what)
{
    fprintf(stderr, "%s: %s failed: %s\n", PROGRAM_NAME, what, strerror(errno));
    exit(1);
}

static double seconds_now(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        bench_fail("clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    uint64_t units, sum;
    double began, ended;
    char *end;

    if (argc != 2) {
        fprintf(stderr, "usage: %s UNITS\n", PROGRAM_NAME);
        return 2;
    }
    errno = 0;
    units = strtoull(argv[1], &end, 10);
    if (errno || *end || end == argv[1] || !units) {
        fprintf(stderr, "%s: \"%s\" is no number of units\n", PROGRAM_NAME, argv[1]);
        return 2;
    }
    program_prepare();
    began = seconds_now();
    sum = program_work(units);
    ended = seconds_now();
    printf("%s %.6f %016" PRIx64 " %" PRIu64 "\n", PROGRAM_NAME, ended - began, sum, units);
    return 0;
}
