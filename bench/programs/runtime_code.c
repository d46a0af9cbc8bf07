/* SPDX-License-Identifier: Apache-2.0 */
/* Code made at run time: a unit writes a function over the one before, makes the instruction cache
 * know, and calls it a few times. */
#include <sys/mman.h>

#include "bench.h"
#include "emit.h"

#define CALLS 16

typedef uint64_t function(uint64_t x);

static uint8_t *page;

void program_prepare(void)
{
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        bench_fail("mmap");
}

uint64_t program_work(uint64_t units)
{
    uint64_t state = 1, sum = 1;
    function *made;

    /* A function pointer has the bits of a data pointer on all systems that have mmap(). */
    memcpy(&made, &page, sizeof made);
    for (uint64_t u = 0; u < units; u++) {
        uint64_t random = bench_random(&state);
        size_t size = emit_function(page, (int32_t)random | 1, (int32_t)(random >> 32));

        __builtin___clear_cache((char *)page, (char *)page + size);
        for (unsigned i = 0; i < CALLS; i++)
            sum = made(sum);
    }
    return sum;
}
