/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <ctype.h>
#include <errno.h>
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void error_set_va(struct error *error, int code, const char *format, va_list args)
{
    char *text = NULL;

    if (!error)
        return;
    if (vasprintf(&text, format, args) < 0)
        text = NULL; /* out of memory: the code alone must do */
    free(error->message);
    error->message = text;
    error->code = code;
    error->usage = false;
}

int error_set(struct error *error, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_set_va(error, code, format, args);
    va_end(args);
    return -code;
}

int error_usage(struct error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_set_va(error, EINVAL, format, args);
    va_end(args);
    if (error)
        error->usage = true;
    return -EINVAL;
}

int error_wrap(struct error *error, const char *format, ...)
{
    char *front = NULL, *whole = NULL;
    va_list args;
    int n;

    if (!error)
        return -EIO;
    va_start(args, format);
    n = vasprintf(&front, format, args);
    va_end(args);
    if (n < 0)
        return -error->code;
    if (asprintf(&whole, "%s: %s", front, error->message ? error->message : "failed") >= 0) {
        free(error->message);
        error->message = whole;
    }
    free(front);
    return -error->code;
}

const char *error_words(int code)
{
    const char *words = strerrordesc_np(code);

    /* The table is glibc's; the first letter is upper case there and messages here are lower, so
     * the common ones are spelt out. */
    switch (code) {
    case ENOENT:
        return "no such file or directory";
    case EACCES:
        return "permission denied";
    case EPERM:
        return "operation not permitted";
    case ENOMEM:
        return "out of memory";
    case EBUSY:
        return "in use";
    case EEXIST:
        return "already exists";
    case EISDIR:
        return "is a directory";
    case EINVAL:
        return "invalid argument";
    case ENOSPC:
        return "no space left on the device";
    case EADDRINUSE:
        return "address already in use";
    case EROFS:
        return "read-only file system";
    case EIO:
        return "input/output error";
    default:
        return words ? words : "unknown error";
    }
}

void error_release(struct error *error)
{
    if (!error)
        return;
    free(error->message);
    *error = ERROR_INIT;
}

void bug(const char *file, int line, const char *what)
{
    void *frames[64];
    int n;

    fprintf(stderr, "hospes: bug at %s:%d: %s\n", file, line, what);
    n = backtrace(frames, (int)ARRAY_SIZE(frames));
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    abort();
}
