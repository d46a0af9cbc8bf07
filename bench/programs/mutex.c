/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads and one mutex, which each takes 1000 times a unit. */
#include <pthread.h>

#include "bench.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t counter; /* under lock */
static uint64_t rounds;

static void *worker(void *unused)
{
    for (uint64_t i = 0; i < rounds; i++) {
        pthread_mutex_lock(&lock);
        counter = counter * 3 + 1;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    pthread_t other;

    rounds = units * 1000;
    if (pthread_create(&other, NULL, worker, NULL) != 0)
        bench_fail("pthread_create");
    worker(NULL);
    pthread_join(other, NULL);
    return counter;
}
