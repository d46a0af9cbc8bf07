/* SPDX-License-Identifier: Apache-2.0 */
/* The little of a C library that the kernel needs. No state; callable anywhere. */
#ifndef RTOS_TEXT_H
#define RTOS_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

uint64_t text_length(const char *text);
bool text_equal(const char *a, const char *b);
/* Whether `text` begins with `start`. */
bool text_begins(const char *text, const char *start);
/* The number at the start of `text`, or `otherwise`. */
uint64_t text_number(const char *text, uint64_t otherwise);
/* Of printf: %s, %c, %lu, %lx, each with a width and "-", and %%. */
void text_format(void (*put)(char c), const char *format, va_list arguments);

#endif
