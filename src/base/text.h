/* SPDX-License-Identifier: Apache-2.0 */
/* Characters that others wrote and somebody is shown. Any thread. */
#ifndef HOSPES_BASE_TEXT_H
#define HOSPES_BASE_TEXT_H

#include <stdbool.h>

/* A line's end, a terminal's escape and their like (ASCII's); UTF-8 has none of them inside. */
static inline bool text_is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* The character, or what is shown in the place of such a one. */
static inline char text_shown(char c)
{
    return text_is_control(c) ? '?' : c;
}

#endif
