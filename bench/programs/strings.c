/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's functions for strings, on texts of the sizes that programs have. */
#include "bench.h"

#define WORDS 256
#define TEXT  8192

static char words[WORDS][32];
static char text[TEXT];

void program_prepare(void)
{
    uint64_t state = 1;
    unsigned at = 0;

    for (unsigned i = 0; i < WORDS; i++) {
        unsigned length = 3 + (unsigned)(bench_random(&state) >> 33) % 24;

        for (unsigned j = 0; j < length; j++)
            words[i][j] = (char)('a' + (bench_random(&state) >> 33) % 26);
    }
    while (at + sizeof words[0] < TEXT) {
        const char *word = words[(bench_random(&state) >> 33) % WORDS];
        size_t length = strlen(word);

        memcpy(text + at, word, length);
        text[at + length] = ' ';
        at += (unsigned)length + 1;
    }
}

uint64_t program_work(uint64_t units)
{
    uint64_t sum = 0;
    char copy[64];

    for (uint64_t u = 0; u < units; u++) {
        const char *word = words[u % WORDS], *found;
        uint64_t bytes = 0, smaller = 0;

        for (unsigned i = 0; i < WORDS; i++) {
            bytes += strlen(words[i]);
            smaller += strcmp(words[i], word) < 0;
            smaller += strncmp(words[i], word, 2) == 0;
            strcpy(copy, words[i]);
            strcat(copy, word);
            bench_touch(copy);
            found = strchr(copy, 'q');
            bytes += found ? (uint64_t)(found - copy) : 0;
        }
        found = strstr(text, word);
        bytes += found ? (uint64_t)(found - text) : 1;
        found = memchr(text, '\0', TEXT);
        bytes += found ? (uint64_t)(found - text) : 1;
        bytes += memcmp(text, text + u % 64, 128) > 0;
        sum = bench_mix(sum, bytes * 1000 + smaller);
    }
    return sum;
}
