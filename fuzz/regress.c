/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target as a plain test: runs the committed corpus and a fixed series of pseudo-random
 * inputs, so that every build with any compiler has run each target. Arguments: corpus directories.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "input.h"

#define RANDOM_INPUTS 1000u
#define INPUT_MAX     4096u

static unsigned run_file(const char *directory, const char *name)
{
    static uint8_t data[1 << 16];
    char path[4096];
    FILE *file;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    size = fread(data, 1, sizeof(data), file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    return 1;
}

static unsigned run_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    if (!directory) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            count += run_file(path, entry->d_name);
    closedir(directory);
    return count;
}

/* xorshift64: the same series everywhere. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

int main(int argc, char **argv)
{
    static uint8_t data[INPUT_MAX];
    uint64_t state = 0x9e3779b97f4a7c15;
    unsigned files = 0;

    for (int i = 1; i < argc; i++)
        files += run_directory(argv[i]);
    for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
        size_t size = random_next(&state) % (INPUT_MAX + 1);

        for (size_t j = 0; j < size; j++)
            data[j] = (uint8_t)random_next(&state);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%u files and %u random inputs\n", files, RANDOM_INPUTS);
    if (argc > 1 && !files) {
        fprintf(stderr, "the corpus is empty\n");
        return 1;
    }
    return 0;
}
