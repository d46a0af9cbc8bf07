/* SPDX-License-Identifier: Apache-2.0 */
/* An interpreter's loop: a switch over bytecode, which counts the steps of Collatz's sequences. */
#include "bench.h"

enum {
    OP_LOAD, /* register, constant */
    OP_MOVE, /* register, register */
    OP_ADD,  /* register, constant */
    OP_TRIPLE,
    OP_HALVE,
    OP_SUM,       /* register, register */
    OP_JUMP_ODD,  /* register, target */
    OP_JUMP_LESS, /* register, constant, target */
    OP_JUMP_ONE,  /* register, target */
    OP_JUMP,      /* target */
    OP_END,
};

/* r0: start, r1: value, r2: steps of all; r3: its limit is in the constant. */
static const uint8_t code[] = {
    OP_LOAD,      2, 0,     /* 0 */
    OP_LOAD,      0, 1,     /* 3 */
    OP_MOVE,      1, 0,     /* 6: next start */
    OP_JUMP_ONE,  1, 27,    /* 9: next step */
    OP_ADD,       2, 1,     /* 12 */
    OP_JUMP_ODD,  1, 22,    /* 15 */
    OP_HALVE,     1,        /* 18 */
    OP_JUMP,      9,        /* 20 */
    OP_TRIPLE,    1,        /* 22: odd */
    OP_JUMP,      9,        /* 24 */
    OP_END,                 /* 26 */
    OP_SUM,       2, 0,     /* 27: reached one */
    OP_ADD,       0, 1,     /* 30 */
    OP_JUMP_LESS, 0, 40, 6, /* 33 */
    OP_END,                 /* 37 */
};

__attribute__((noinline)) static uint64_t run(const uint8_t *program, uint64_t seed)
{
    uint64_t r[4] = {0, 0, 0, 0};
    const uint8_t *at = program;

    for (;;) {
        switch (*at) {
        case OP_LOAD:
            r[at[1] & 3] = at[2];
            at += 3;
            break;
        case OP_MOVE:
            r[at[1] & 3] = r[at[2] & 3];
            at += 3;
            break;
        case OP_ADD:
            r[at[1] & 3] += at[2];
            at += 3;
            break;
        case OP_TRIPLE:
            r[at[1] & 3] = r[at[1] & 3] * 3 + 1;
            at += 2;
            break;
        case OP_HALVE:
            r[at[1] & 3] >>= 1;
            at += 2;
            break;
        case OP_SUM:
            r[at[1] & 3] += r[at[2] & 3] ^ seed;
            at += 3;
            break;
        case OP_JUMP_ODD:
            at = r[at[1] & 3] & 1 ? program + at[2] : at + 3;
            break;
        case OP_JUMP_LESS:
            at = r[at[1] & 3] < at[2] ? program + at[3] : at + 4;
            break;
        case OP_JUMP_ONE:
            at = r[at[1] & 3] == 1 ? program + at[2] : at + 3;
            break;
        case OP_JUMP:
            at = program + at[1];
            break;
        default:
            return r[2];
        }
    }
}

void program_prepare(void) {}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < units; i++)
        sum = bench_mix(sum, run(code, i));
    return sum;
}
