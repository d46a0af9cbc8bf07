/* SPDX-License-Identifier: Apache-2.0 */
/* Five bodies under gravity, by velocity-first Euler steps: multiplications, divisions, roots. */
#include <math.h>

#include "bench.h"

#define BODIES 5
#define STEPS  100

struct body {
    double position[3], velocity[3], mass;
};

static struct body bodies[BODIES];

/* One heavy, and four that circle it at growing distances, each a little out of the plane. */
void program_prepare(void)
{
    bodies[0] = (struct body){.mass = 40.0};
    for (int i = 1; i < BODIES; i++) {
        double distance = 1.0 + 2.5 * i;

        bodies[i] = (struct body){
            .position = {distance, 0.125 * i, -0.0625 * i},
            .velocity = {0.03125 * i, sqrt(40.0 / distance), 0.015625 * i},
            .mass = 0.001 * i,
        };
    }
}

static void step(double time)
{
    for (int i = 0; i < BODIES; i++) {
        for (int j = i + 1; j < BODIES; j++) {
            struct body *a = &bodies[i], *b = &bodies[j];
            double d[3], square = 0.0, factor;

            for (int k = 0; k < 3; k++) {
                d[k] = a->position[k] - b->position[k];
                square += d[k] * d[k];
            }
            factor = time / (square * sqrt(square));
            for (int k = 0; k < 3; k++) {
                a->velocity[k] -= d[k] * b->mass * factor;
                b->velocity[k] += d[k] * a->mass * factor;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++)
            bodies[i].position[k] += time * bodies[i].velocity[k];
    }
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (unsigned i = 0; i < STEPS; i++)
            step(0.001);
        sum = bench_mix(sum, bench_bits(bodies[u % BODIES].position[u % 3]));
    }
    return sum;
}
