/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads that take turns by a mutex and a condition, 100 turns a unit: futex waits and wakes.
 */
#include <pthread.h>

#include "bench.h"

#define TURNS 100

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static uint64_t turn, turns, sum; /* under lock */

static void *player(void *parity)
{
    uint64_t mine = parity ? 1 : 0;

    pthread_mutex_lock(&lock);
    while (turn < turns) {
        if ((turn & 1) != mine) {
            pthread_cond_wait(&turned, &lock);
            continue;
        }
        sum = bench_mix(sum, turn * 2 + mine);
        turn++;
        pthread_cond_signal(&turned);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    pthread_t other;

    turns = units * TURNS;
    if (pthread_create(&other, NULL, player, &turns) != 0)
        bench_fail("pthread_create");
    player(NULL);
    pthread_join(other, NULL);
    return sum;
}
