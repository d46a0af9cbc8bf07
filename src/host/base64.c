/* SPDX-License-Identifier: Apache-2.0 */
#include "host/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t size)
{
    const unsigned char *from = data;
    char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                        (left > 2 ? from[i + 2] : 0);

        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[bits & 63] : '=';
    }
    *to = 0;
    return text;
}

static int digit_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

int base64_decode(const char *text, unsigned char **out, size_t *size)
{
    size_t length = strlen(text), padding = 0;
    unsigned char *data;

    if (length % 4)
        return -EINVAL;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    data = malloc(length / 4 * 3 + 1);
    if (!data)
        return -ENOMEM;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t bits = 0;

        for (size_t j = 0; j < 4; j++) {
            int digit = i + j < length - padding ? digit_of(text[i + j]) : 0;

            if (digit < 0) {
                free(data);
                return -EINVAL;
            }
            bits = bits << 6 | (uint32_t)digit;
        }
        data[i / 4 * 3] = (unsigned char)(bits >> 16);
        data[i / 4 * 3 + 1] = (unsigned char)(bits >> 8);
        data[i / 4 * 3 + 2] = (unsigned char)bits;
    }
    *size = length / 4 * 3 - padding;
    data[*size] = 0;
    *out = data;
    return 0;
}
