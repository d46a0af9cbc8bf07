/* SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include <stdarg.h>

#include "kernel.h"
#include "text.h"

static struct mutex console_mutex;

static void put(char c)
{
    if (c == '\n')
        uart_put('\r');
    uart_put(c);
}

void console_say(const char *format, ...)
{
    va_list arguments;

    mutex_lock(&console_mutex);
    va_start(arguments, format);
    text_format(put, format, arguments);
    va_end(arguments);
    mutex_unlock(&console_mutex);
}

void console_panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    text_format(put, format, arguments);
    va_end(arguments);
}
