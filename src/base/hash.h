/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MurmurHash3_x64_128 (Austin Appleby, public domain): a 128-bit hash of bytes that differ by
 * accident. Who wants to make two that are the same can: nothing may depend on that they are not.
 */
#ifndef HOSPES_BASE_HASH_H
#define HOSPES_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint64_t word[2];
};

/* The same on every host: words are read little-endian. */
struct hash128 hash128(const void *data, size_t size, uint32_t seed);

#endif
