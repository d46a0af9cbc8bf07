/* SPDX-License-Identifier: Apache-2.0 */
/* Words to the UART: a line is one task's, by a mutex. */
#ifndef RTOS_CONSOLE_H
#define RTOS_CONSOLE_H

/* A task's; in the forms of text_format(). */
__attribute__((format(printf, 1, 2))) void console_say(const char *format, ...);
/* Past the mutex: for who will say nothing more. */
__attribute__((format(printf, 1, 2))) void console_panic(const char *format, ...);

#endif
