/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/bits.h"

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

static uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static uint64_t mix_first(uint64_t k)
{
    return rotate(k * C1, 31) * C2;
}

static uint64_t mix_second(uint64_t k)
{
    return rotate(k * C2, 33) * C1;
}

static uint64_t finish(uint64_t k)
{
    k = (k ^ k >> 33) * UINT64_C(0xff51afd7ed558ccd);
    k = (k ^ k >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return k ^ k >> 33;
}

struct hash128 hash128(const void *data, size_t size, uint32_t seed)
{
    const uint8_t *from = data;
    uint64_t h1 = seed, h2 = seed;
    size_t left = size;

    for (; left >= 16; left -= 16, from += 16) {
        h1 = rotate(h1 ^ mix_first(load_le64(from)), 27) + h2;
        h1 = h1 * 5 + 0x52dce729;
        h2 = rotate(h2 ^ mix_second(load_le64(from + 8)), 31) + h1;
        h2 = h2 * 5 + 0x38495ab5;
    }
    if (left) {
        uint8_t tail[16] = {0};

        memcpy(tail, from, left);
        h1 ^= mix_first(load_le64(tail));
        h2 ^= mix_second(load_le64(tail + 8));
    }
    h1 ^= size;
    h2 ^= size;
    h1 += h2;
    h2 += h1;
    h1 = finish(h1);
    h2 = finish(h2);
    h1 += h2;
    h2 += h1;
    return (struct hash128){{h1, h2}};
}
