/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stddef.h>

/* The compiler may call these for code that names neither. */
void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);

void *memset(void *to, int value, size_t size)
{
    uint8_t *bytes = to;

    while (size--)
        *bytes++ = (uint8_t)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    uint8_t *bytes = to;
    const uint8_t *source = from;

    while (size--)
        *bytes++ = *source++;
    return to;
}

uint64_t text_length(const char *text)
{
    uint64_t length = 0;

    while (text[length])
        length++;
    return length;
}

bool text_begins(const char *text, const char *start)
{
    while (*start)
        if (*text++ != *start++)
            return false;
    return true;
}

bool text_equal(const char *a, const char *b)
{
    return text_begins(a, b) && text_length(a) == text_length(b);
}

uint64_t text_number(const char *text, uint64_t otherwise)
{
    uint64_t number = 0;

    if (*text < '0' || *text > '9')
        return otherwise;
    while (*text >= '0' && *text <= '9')
        number = 10 * number + (uint64_t)(*text++ - '0');
    return number;
}

static void put_padded(void (*put)(char c), const char *text, unsigned width, bool left)
{
    uint64_t length = text_length(text);

    for (uint64_t i = length; !left && i < width; i++)
        put(' ');
    while (*text)
        put(*text++);
    for (uint64_t i = length; left && i < width; i++)
        put(' ');
}

static const char *digits(char *end, uint64_t number, unsigned base)
{
    *--end = 0;
    do {
        *--end = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    return end;
}

void text_format(void (*put)(char c), const char *format, va_list arguments)
{
    char buffer[24];

    for (; *format; format++) {
        unsigned width = 0;
        bool left = false;

        if (*format != '%') {
            put(*format);
            continue;
        }
        if (*++format == '-') {
            left = true;
            format++;
        }
        while (*format >= '0' && *format <= '9')
            width = 10 * width + (unsigned)(*format++ - '0');
        if (*format == 'l')
            format++;
        switch (*format) {
        case 's':
            put_padded(put, va_arg(arguments, const char *), width, left);
            break;
        case 'c':
            put((char)va_arg(arguments, int));
            break;
        case 'u':
        case 'x':
            put_padded(put,
                       digits(buffer + sizeof(buffer), va_arg(arguments, unsigned long),
                              *format == 'x' ? 16 : 10),
                       width, left);
            break;
        case '%':
            put('%');
            break;
        default: /* the compiler looks at formats */
            return;
        }
    }
}
