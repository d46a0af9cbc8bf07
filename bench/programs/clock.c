/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the clock, without a system call where the kernel offers that: 1000 times a unit. */
#include <time.h>

#include "bench.h"

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    struct timespec before = {0}, now;
    uint64_t forward = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (unsigned i = 0; i < 1000; i++) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            forward += now.tv_sec > before.tv_sec ||
                       (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec);
            before = now;
        }
    }
    return forward;
}
