/* SPDX-License-Identifier: Apache-2.0 */
/* Indirect calls: one of sixteen small functions by a pointer, in an order that is hard to guess.
 */
#include "bench.h"

#define FUNCTIONS 16
#define ORDER     1024

typedef uint64_t step(uint64_t value);

/* One place in the code each, so that none is another's twin that the compiler folds. */
#define STEP(name, expression)                                                                     \
    __attribute__((noinline)) static uint64_t name(uint64_t value)                                 \
    {                                                                                              \
        return expression;                                                                         \
    }

STEP(step_0, value + 3)
STEP(step_1, value ^ (value >> 7))
STEP(step_2, value * 5)
STEP(step_3, value - (value << 3))
STEP(step_4, (value << 13) | (value >> 51))
STEP(step_5, ~value)
STEP(step_6, value + (value >> 1))
STEP(step_7, value ^ UINT64_C(0x9e3779b97f4a7c15))
STEP(step_8, value * 9 + 1)
STEP(step_9, (value >> 5) ^ (value << 59))
STEP(step_10, value - 77)
STEP(step_11, value ^ (value << 1))
STEP(step_12, value | 1)
STEP(step_13, value + UINT64_C(0x1234567))
STEP(step_14, (value & 0xffff) + (value >> 16))
STEP(step_15, value * 3)

static step *const steps[FUNCTIONS] = {step_0,  step_1,  step_2,  step_3, step_4,  step_5,
                                       step_6,  step_7,  step_8,  step_9, step_10, step_11,
                                       step_12, step_13, step_14, step_15};
static uint8_t order[ORDER];

void program_prepare(void)
{
    uint64_t state = 1;

    for (unsigned i = 0; i < ORDER; i++)
        order[i] = (uint8_t)(bench_random(&state) >> 40) % FUNCTIONS;
}

uint64_t program_work(uint64_t units)
{
    uint64_t value = 1;

    for (uint64_t i = 0; i < units; i++) {
        for (unsigned j = 0; j < ORDER; j++)
            value = steps[order[j]](value);
        value += i;
    }
    return value;
}
