/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define GUEST_LINES_MAX 64
#define LINE_MAX_BYTES  1024
#define FOREIGN_MAX     512

/* One write a line, so that lines of two threads do not mix. */
static void line_write(const char *front, const char *text)
{
    char line[LINE_MAX_BYTES];
    size_t length;
    ssize_t written;

    snprintf(line, sizeof(line) - 2, "%shospes: %s%s", isatty(STDERR_FILENO) ? "\r" : "", front,
             text);
    length = strlen(line);
    /* A path, or what libslirp says of a guest's packet, must not end the line. */
    for (size_t i = 1; i < length; i++)
        line[i] = text_shown(line[i]);
    if (isatty(STDERR_FILENO))
        line[length++] = '\r';
    line[length++] = '\n';
    /* Nobody is left to be told when standard error does not take it. */
    written = write(STDERR_FILENO, line, length);
    (void)written;
}

static void log_sink(void *ctx, enum log_level level, const char *text)
{
    static const char *const fronts[] = {
        [LOG_ERROR] = "", [LOG_WARN] = "warning: ", [LOG_GUEST] = "the guest: ", [LOG_INFO] = ""};
    struct say *say = ctx;
    unsigned lines;

    if (level > LOG_INFO || (level == LOG_INFO && say->quiet))
        return;
    if (level == LOG_GUEST) {
        mutex_lock(&say->mutex);
        lines = say->guest_lines < GUEST_LINES_MAX ? ++say->guest_lines : GUEST_LINES_MAX + 1;
        mutex_unlock(&say->mutex);
        if (lines > GUEST_LINES_MAX)
            return;
        if (lines == GUEST_LINES_MAX)
            text = "breaks more rules; no more of it is told here";
    }
    line_write(fronts[level], text);
}

void say_init(struct say *say, bool quiet)
{
    *say = (struct say){.quiet = quiet};
    say->log = (struct log){.sink = log_sink, .ctx = say};
    mutex_init(&say->mutex);
}

void say_release(struct say *say)
{
    mutex_release(&say->mutex);
}

void say_foreign(FILE *file, const char *text)
{
    for (size_t i = 0; text[i] && i < FOREIGN_MAX; i++)
        putc(text_shown(text[i]), file);
}

static void say_va(const char *format, va_list args)
{
    char text[LINE_MAX_BYTES];

    vsnprintf(text, sizeof(text), format, args);
    line_write("", text);
}

void say_line(struct say *say, const char *format, ...)
{
    va_list args;

    if (say->quiet)
        return;
    va_start(args, format);
    say_va(format, args);
    va_end(args);
}

void say_always(struct say *say, const char *format, ...)
{
    va_list args;

    (void)say;
    va_start(args, format);
    say_va(format, args);
    va_end(args);
}
