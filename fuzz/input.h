/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a fuzz input from the front; past its end everything is zero.
 */
#ifndef HOSPES_FUZZ_INPUT_H
#define HOSPES_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t input_take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && input->left; i++, input->at++, input->left--)
        value |= (uint64_t)*input->at << (8 * i);
    return value;
}

/* Copies at most `size` bytes; returns how many there were. */
static inline size_t input_bytes(struct input *input, void *to, size_t size)
{
    size_t got = size < input->left ? size : input->left;

    memcpy(to, input->at, got);
    input->at += got;
    input->left -= got;
    return got;
}

/* What libFuzzer calls, and regress.c. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
