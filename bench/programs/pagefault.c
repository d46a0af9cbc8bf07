/* SPDX-License-Identifier: Apache-2.0 */
/* 256 pages a unit: mapped, touched one after the other, and given back. */
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define PAGES 256

static size_t page_size;

void program_prepare(void)
{
    page_size = (size_t)sysconf(_SC_PAGESIZE);
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        volatile uint8_t *memory = mmap(NULL, PAGES * page_size, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            bench_fail("mmap");
        /* A fault a page is what is measured; a kernel without large pages refuses, which is as
         * good. */
        (void)madvise((void *)memory, PAGES * page_size, MADV_NOHUGEPAGE);
        for (unsigned i = 0; i < PAGES; i++) {
            memory[i * page_size] = (uint8_t)i;
            sum += memory[i * page_size + 1];
        }
        sum = bench_mix(sum, memory[(PAGES - 1) * page_size]);
        if (munmap((void *)memory, PAGES * page_size) != 0)
            bench_fail("munmap");
    }
    return sum;
}
