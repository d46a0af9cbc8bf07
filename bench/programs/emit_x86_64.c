/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "emit.h"

static size_t put(uint8_t *code, size_t at, const void *bytes, size_t count)
{
    memcpy(code + at, bytes, count);
    return at + count;
}

size_t emit_function(uint8_t *code, int32_t factor, int32_t mask)
{
    size_t at = put(code, 0, "\x48\x69\xc7", 3); /* imul rax, rdi, factor */

    at = put(code, at, &factor, sizeof factor);
    at = put(code, at, "\x48\x35", 2); /* xor rax, mask */
    at = put(code, at, &mask, sizeof mask);
    return put(code, at, "\xc3", 1); /* ret */
}
