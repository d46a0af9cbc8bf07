/* SPDX-License-Identifier: Apache-2.0 */
#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char size_units[] = "KMGT";

int size_parse(const char *text, uint64_t *bytes)
{
    const char *p = text, *unit;
    uint64_t value = 0;
    unsigned shift = 0;

    if (!isdigit((unsigned char)*p))
        return -EINVAL;
    for (; isdigit((unsigned char)*p); p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return -ERANGE;
    }
    if (*p) {
        unit = strchr(size_units, toupper((unsigned char)*p));
        if (!unit)
            return -EINVAL;
        shift = 10 * (unsigned)(unit - size_units + 1);
        p++;
        if (*p && strcasecmp(p, "B") != 0 && strcasecmp(p, "iB") != 0)
            return -EINVAL;
    }
    if (value > UINT64_MAX >> shift)
        return -ERANGE;
    *bytes = value << shift;
    return 0;
}

const char *size_format(uint64_t bytes, char text[static SIZE_TEXT_MAX])
{
    unsigned unit = 0, tenths;

    while (unit < sizeof(size_units) - 1 && bytes >> (10 * (unit + 1)))
        unit++;
    if (unit == 0) {
        snprintf(text, SIZE_TEXT_MAX, "%u B", (unsigned)bytes);
        return text;
    }
    tenths = (unsigned)((((bytes >> (10 * (unit - 1))) & 1023) * 10) >> 10);
    bytes >>= 10 * unit;
    if (tenths)
        snprintf(text, SIZE_TEXT_MAX, "%u.%u %ciB", (unsigned)bytes, tenths, size_units[unit - 1]);
    else
        snprintf(text, SIZE_TEXT_MAX, "%u %ciB", (unsigned)bytes, size_units[unit - 1]);
    return text;
}
