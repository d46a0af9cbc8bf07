/* SPDX-License-Identifier: Apache-2.0 */
/* What small controllers are measured by, in one: a linked list that is searched, reversed and
 * sorted, a small matrix, a state machine that reads numbers, and a CRC over the results. Written
 * from that description; its scores are nobody else's. */
#include "bench.h"

#define ITEMS 64
#define SIDE  12
#define TEXT  512

struct item {
    struct item *next;
    int16_t key, index;
};

enum state {
    STATE_START,
    STATE_SIGN,
    STATE_INTEGER,
    STATE_FRACTION,
    STATE_EXPONENT,
    STATE_EXPONENT_SIGN,
    STATE_EXPONENT_DIGITS,
    STATE_WRONG,
    STATES,
};

static struct item items[ITEMS];
static int16_t left[SIDE][SIDE], right[SIDE][SIDE];
static int32_t product[SIDE][SIDE];
static char text[TEXT];

static uint16_t crc(uint16_t sum, uint32_t value)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned carry = (sum ^ value) & 1;

        sum >>= 1;
        value >>= 1;
        if (carry)
            sum ^= 0xa001;
    }
    return sum;
}

static struct item *list_reverse(struct item *list)
{
    struct item *done = NULL;

    while (list) {
        struct item *next = list->next;

        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static const struct item *list_find(const struct item *list, int16_t key)
{
    while (list && (list->key & 0xff) != key)
        list = list->next;
    return list;
}

static int order_by_key(const struct item *a, const struct item *b)
{
    return a->key != b->key ? a->key - b->key : a->index - b->index;
}

static int order_by_index(const struct item *a, const struct item *b)
{
    return a->index - b->index;
}

/* Merge sort from the bottom: runs of 1, 2, 4 ... items. */
static struct item *list_sort(struct item *list,
                              int (*order)(const struct item *a, const struct item *b))
{
    for (unsigned size = 1;; size *= 2) {
        struct item *rest = list, *head = NULL, **tail = &head;
        unsigned merges = 0;

        while (rest) {
            struct item *a = rest, *b = rest;
            unsigned a_left = 0, b_left = size;

            merges++;
            while (b && a_left < size) {
                b = b->next;
                a_left++;
            }
            while (a_left || (b && b_left)) {
                struct item **from = &a;

                if (!a_left || (b && b_left && order(b, a) < 0)) {
                    from = &b;
                    b_left--;
                } else {
                    a_left--;
                }
                *tail = *from;
                tail = &(*from)->next;
                *from = *tail;
            }
            rest = b;
        }
        *tail = NULL;
        list = head;
        if (merges <= 1)
            return list;
    }
}

static uint16_t list_work(uint16_t sum, uint64_t unit)
{
    struct item *list = NULL;
    unsigned found = 0;

    for (int i = ITEMS - 1; i >= 0; i--) {
        items[i].next = list;
        items[i].key = (int16_t)((i * 37 + (int)(unit % 251)) & 0x7fff) % 512;
        items[i].index = (int16_t)i;
        list = &items[i];
    }
    for (int16_t key = 0; key < 16; key++) {
        const struct item *item = list_find(list, (int16_t)(key * 13));

        if (item)
            found += (unsigned)item->index;
        list = list_reverse(list);
    }
    list = list_sort(list, order_by_key);
    for (const struct item *item = list; item; item = item->next)
        sum = crc(sum, (uint16_t)item->index);
    list = list_sort(list, order_by_index);
    return crc(sum, found + (uint16_t)list->key);
}

static uint16_t matrix_work(uint16_t sum, uint64_t unit)
{
    int16_t factor = (int16_t)(unit % 13 + 1);
    int32_t bits = 0;

    for (unsigned i = 0; i < SIDE; i++) {
        for (unsigned j = 0; j < SIDE; j++) {
            int32_t dot = 0;

            for (unsigned k = 0; k < SIDE; k++)
                dot += left[i][k] * right[k][j];
            product[i][j] = dot * factor;
        }
    }
    for (unsigned i = 0; i < SIDE; i++) {
        int32_t row = 0;

        for (unsigned j = 0; j < SIDE; j++) {
            bits += (product[i][j] >> 2 & 0xf) * (product[i][j] >> 5 & 0x7f);
            row += product[i][j] * left[j][i];
        }
        sum = crc(sum, (uint32_t)row);
    }
    return crc(sum, (uint32_t)bits);
}

static enum state state_next(enum state state, char c)
{
    int digit = c >= '0' && c <= '9';

    switch (state) {
    case STATE_START:
        if (digit)
            return STATE_INTEGER;
        if (c == '+' || c == '-')
            return STATE_SIGN;
        return c == '.' ? STATE_FRACTION : STATE_WRONG;
    case STATE_SIGN:
        if (digit)
            return STATE_INTEGER;
        return c == '.' ? STATE_FRACTION : STATE_WRONG;
    case STATE_INTEGER:
        if (c == '.')
            return STATE_FRACTION;
        return digit ? STATE_INTEGER : STATE_WRONG;
    case STATE_FRACTION:
        if (c == 'e' || c == 'E')
            return STATE_EXPONENT;
        return digit ? STATE_FRACTION : STATE_WRONG;
    case STATE_EXPONENT:
        return c == '+' || c == '-' ? STATE_EXPONENT_SIGN : STATE_WRONG;
    case STATE_EXPONENT_SIGN:
    case STATE_EXPONENT_DIGITS:
        return digit ? STATE_EXPONENT_DIGITS : STATE_WRONG;
    default:
        return STATE_WRONG;
    }
}

static uint16_t state_work(uint16_t sum, uint64_t unit)
{
    uint32_t ends[STATES] = {0}, moves = 0;
    enum state state = STATE_START;

    /* One character changes each time, and with it what the number is taken for. */
    text[unit * 7 % (TEXT - 1)] ^= 1;
    for (unsigned i = 0; i < TEXT; i++) {
        enum state before = state;

        if (text[i] == ',') {
            ends[state]++;
            state = STATE_START;
            continue;
        }
        if (state != STATE_WRONG)
            state = state_next(state, text[i]);
        moves += state != before;
    }
    for (unsigned i = 0; i < STATES; i++)
        sum = crc(sum, ends[i]);
    return crc(sum, moves);
}

void program_prepare(void)
{
    static const char *const numbers[] = {"5012",     "-874",     "+122.3",    "35.54400",
                                          ".12345",   "-110.700", "5.500e+03", "-.1e-12",
                                          "T0.3e-1F", "1.2.3",    "++7",       "0x21"};
    uint64_t state = 1;
    unsigned at = 0;

    for (unsigned i = 0; i < SIDE; i++) {
        for (unsigned j = 0; j < SIDE; j++) {
            left[i][j] = (int16_t)((bench_random(&state) >> 40) % 200) - 100;
            right[i][j] = (int16_t)((bench_random(&state) >> 40) % 200) - 100;
        }
    }
    memset(text, ',', sizeof text);
    for (;;) {
        const char *number = numbers[(bench_random(&state) >> 40) % 12];
        size_t length = strlen(number);

        if (at + length >= TEXT)
            return;
        memcpy(text + at, number, length);
        at += (unsigned)length + 1;
    }
}

uint64_t program_work(uint64_t units)
{
    uint64_t all = 0;

    for (uint64_t u = 0; u < units; u++) {
        uint16_t sum = list_work(0xffff, u);

        sum = matrix_work(sum, u);
        sum = state_work(sum, u);
        all = bench_mix(all, sum);
    }
    return all;
}
