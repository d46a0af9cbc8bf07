/* SPDX-License-Identifier: Apache-2.0 */
/* Loads that each need the one before: a walk along pointers in random order over CHASE_BYTES. */
#include <stdlib.h>

#include "bench.h"

#define STEPS 1024

/* One a cache line, as a linked structure has it. */
struct node {
    struct node *next;
    uint64_t number;
    uint64_t rest[6];
};

#define NODES (CHASE_BYTES / sizeof(struct node))

static struct node *nodes;

/* Sattolo's shuffle: one cycle through all nodes. */
void program_prepare(void)
{
    uint64_t state = 1;

    nodes = aligned_alloc(4096, CHASE_BYTES);
    if (!nodes)
        bench_fail("malloc");
    for (size_t i = 0; i < NODES; i++)
        nodes[i] = (struct node){.next = &nodes[i], .number = i};
    for (size_t i = NODES - 1; i > 0; i--) {
        size_t j = (bench_random(&state) >> 20) % i;
        struct node *next = nodes[i].next;

        nodes[i].next = nodes[j].next;
        nodes[j].next = next;
    }
}

uint64_t program_work(uint64_t units)
{
    const struct node *node = nodes;
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (unsigned i = 0; i < STEPS; i++)
            node = node->next;
        sum = bench_mix(sum, node->number);
    }
    return sum;
}
