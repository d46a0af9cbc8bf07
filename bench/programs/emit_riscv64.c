/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "emit.h"

enum {
    A0 = 10,
    T0 = 5,
};

static size_t put(uint8_t *code, size_t at, uint32_t instruction)
{
    memcpy(code + at, &instruction, sizeof instruction);
    return at + sizeof instruction;
}

/* lui and addiw: addiw adds a signed number, for which lui's part has to make up. */
static size_t put_constant(uint8_t *code, size_t at, int32_t value)
{
    uint32_t high = ((uint32_t)value + 0x800) & 0xfffff000, low = (uint32_t)value - high;

    at = put(code, at, high | T0 << 7 | 0x37);
    return put(code, at, low << 20 | T0 << 15 | T0 << 7 | 0x1b);
}

size_t emit_function(uint8_t *code, int32_t factor, int32_t mask)
{
    size_t at = put_constant(code, 0, factor);

    at = put(code, at, 1u << 25 | T0 << 20 | A0 << 15 | A0 << 7 | 0x33); /* mul a0, a0, t0 */
    at = put_constant(code, at, mask);
    at = put(code, at, T0 << 20 | A0 << 15 | 4u << 12 | A0 << 7 | 0x33); /* xor a0, a0, t0 */
    return put(code, at, 0x00008067);                                    /* ret */
}
