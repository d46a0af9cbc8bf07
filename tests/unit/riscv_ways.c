/* SPDX-License-Identifier: Apache-2.0 */
#include "riscv_ways.h"

#include "riscv_code.h"

const struct way ways[8] = {
    {"a call forward", CALL, true},     {"a call backward", CALL, false},
    {"a jump forward", JUMP, true},     {"a jump backward", JUMP, false},
    {"a branch forward", BRANCH, true}, {"a branch backward", BRANCH, false},
    {"into the next page", FALL, true}, {"out of the page before", FALL, false},
};

uint64_t neighbour(const struct way *way, uint64_t page)
{
    return way->forward ? page + PAGE : page - PAGE;
}

/* Where the way begins in its page, and where the rounds are counted; and where it leads. */
unsigned way_begin(const struct way *way)
{
    if (way->kind == FALL)
        return way->forward ? 0xffc : 0x800;
    return way->forward ? 0xf00 : 0x100;
}

static unsigned way_back(const struct way *way)
{
    if (way->kind == FALL)
        return way->forward ? 0x800 : 0;
    return way_begin(way) + 4;
}

unsigned way_end(const struct way *way)
{
    if (way->kind == FALL)
        return way->forward ? 0 : 0xffc;
    return way->forward ? 0x80 : 0xf00;
}

/* To where the way leads, from its begin. */
static int way_distance(const struct way *way)
{
    return (int)way_end(way) - (int)way_begin(way) + (way->forward ? PAGE : -PAGE);
}

/* a1 rounds of it. */
void put_caller(struct spaces *s, const struct way *way, uint64_t at)
{
    unsigned begin = way_begin(way), back = way_back(way);
    int distance = way_distance(way);
    uint32_t first = NOP;

    if (way->kind == CALL)
        first = JAL(RA, distance);
    else if (way->kind == BRANCH)
        first = BNEZ(A1, distance);
    else if (way->kind == JUMP || !way->forward)
        first = J(distance);
    else
        first = BEQZ(A1, -8); /* not taken */
    PUT(s->rig, at + begin, first);
    PUT(s->rig, at + back, ADDI(A1, A1, -1), BNEZ(A1, (int)begin - (int)back - 4), ECALL);
}

/* Adds to a0. */
void put_callee(struct spaces *s, const struct way *way, uint64_t at, unsigned amount)
{
    unsigned end = way_end(way);
    int back = (int)way_back(way) - (int)end - 4 + (way->forward ? -PAGE : PAGE);

    PUT(s->rig, at + end, ADDI(A0, A0, amount));
    if (way->kind == CALL)
        PUT(s->rig, at + end + 4, RET);
    else if (way->kind == BRANCH)
        PUT(s->rig, at + end + 4, BNEZ(A1, back));
    else if (way->kind == JUMP || way->forward)
        PUT(s->rig, at + end + 4, J(back));
}

/* The caller in page 0, two callees in pages 1 and 2, which add 1 and 1000. */
void put_way(struct spaces *s, const struct way *way)
{
    put_caller(s, way, frame(0));
    put_callee(s, way, frame(1), 1);
    put_callee(s, way, frame(2), 1000);
}

void go(struct spaces *s, const char *what, const struct visit *visit, uint64_t amount)
{
    s->hart->x[A0] = 0;
    s->hart->x[A1] = ROUNDS;
    spaces_visit(s, visit);
    expect_end(s, what, visit->user);
    expect(s, what, "a0", s->hart->x[A0], amount * ROUNDS);
}
