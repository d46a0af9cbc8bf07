/* SPDX-License-Identifier: Apache-2.0 */
/* Statements in the proportions of ordinary programs: records assigned, strings compared and
 * copied, procedures with parameters, small loops and branches. Written from that description; its
 * scores are nobody else's. A unit is a hundred rounds. */
#include "bench.h"

#define ROUNDS 100

enum kind {
    KIND_FIRST,
    KIND_SECOND,
    KIND_THIRD,
    KIND_FOURTH,
    KIND_FIFTH,
};

struct record {
    struct record *other;
    enum kind kind, choice;
    int number;
    char name[31];
};

static struct record one, two;
static int numbers[50], table[50][50], total;
static char letter_a, letter_b;
static int flag;

__attribute__((noinline)) static enum kind kind_after(enum kind kind)
{
    switch (kind) {
    case KIND_FIRST:
        return KIND_FIRST;
    case KIND_SECOND:
        return total > 100 ? KIND_FIRST : KIND_FOURTH;
    case KIND_THIRD:
        return KIND_SECOND;
    case KIND_FOURTH:
        return KIND_THIRD;
    default:
        return KIND_FIFTH;
    }
}

__attribute__((noinline)) static void add_to(int a, int b, int *result)
{
    *result = a + 2 + b;
}

__attribute__((noinline)) static void fill_tables(int first, int second)
{
    int at = first + 5;

    numbers[at] = second;
    numbers[at + 1] = numbers[at];
    numbers[at + 30] = at;
    for (int i = at; i <= at + 1; i++)
        table[at][i] = at;
    table[at][at - 1]++;
    table[at + 20][at] = numbers[at];
    total = 5;
}

__attribute__((noinline)) static enum kind compare_letters(char a, char b)
{
    char copy = a;

    if (copy != b)
        return KIND_FIRST;
    letter_a = copy;
    return KIND_SECOND;
}

__attribute__((noinline)) static int compare_names(const char *a, const char *b)
{
    int at = 2;
    char letter = 'A';

    while (at <= 2) {
        if (compare_letters(a[at], b[at + 1]) == KIND_FIRST) {
            letter = 'A';
            at++;
        } else {
            at += 3;
        }
    }
    if (letter >= 'W' && letter < 'Z')
        at = 7;
    if (letter == 'R')
        return 1;
    if (strcmp(a, b) > 0) {
        total = at + 7;
        return 1;
    }
    return 0;
}

__attribute__((noinline)) static void record_update(struct record *record)
{
    struct record *other = record->other;

    *other = one;
    record->number = 5;
    other->number = record->number;
    other->other = record->other;
    if (other->kind == KIND_FIRST) {
        other->number = 6;
        other->choice = kind_after(record->choice);
        other->other = one.other;
        add_to(other->number, 10, &other->number);
    } else {
        *record = *record->other;
    }
}

static uint64_t round_work(int round)
{
    char name[31], other[31];
    int a = 2, b = 3, c = 0;
    enum kind kind = KIND_SECOND;

    letter_a = 'A';
    flag = letter_a == 'A';
    letter_b = 'B';
    strcpy(name, "SOME PROGRAM'S FIRST STRING...");
    strcpy(other, "SOME PROGRAM'S OTHER STRING...");
    bench_touch(name);
    bench_touch(other);
    flag = !compare_names(name, other);
    while (a < b) {
        c = 5 * a - b;
        add_to(a, b, &c);
        a++;
    }
    fill_tables(a, c + round);
    record_update(&one);
    for (char letter = 'A'; letter <= letter_b; letter++) {
        if (kind == compare_letters(letter, 'C')) {
            kind = kind_after(KIND_FIRST);
            strcpy(other, "SOME PROGRAM'S THIRD STRING...");
            b = round;
        }
    }
    b *= a;
    a = b / (c | 1);
    b = 7 * (b - c) - a;
    return (uint64_t)(b + total + flag + two.number + numbers[8] + (int)kind);
}

void program_prepare(void)
{
    one = (struct record){.other = &two, .kind = KIND_FIRST, .choice = KIND_THIRD, .number = 40};
    strcpy(one.name, "SOME RECORD'S NAME, 30 LETTERS");
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;

    for (uint64_t u = 0; u < units; u++) {
        for (int i = 0; i < ROUNDS; i++)
            sum = bench_mix(sum, round_work(i));
    }
    return sum;
}
