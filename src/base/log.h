/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where parts below cli/ leave words for a person. A part is handed a `struct log`; it never
 * prints. The sink may be called from any thread and must not block for long.
 */
#ifndef HOSPES_BASE_LOG_H
#define HOSPES_BASE_LOG_H

#include "base/compiler.h"

enum log_level {
    LOG_ERROR, /* something the user asked for stopped working */
    LOG_WARN,  /* it goes on, but not as asked */
    LOG_GUEST, /* the guest broke a rule of a device; it was contained */
    LOG_INFO,
    LOG_DEBUG,
};

struct log {
    void (*sink)(void *ctx, enum log_level level, const char *text);
    void *ctx;
};

/* A null log, or one without a sink, drops the words. Text without a line end. */
void log_say(const struct log *log, enum log_level level, const char *format, ...) PRINTF(3, 4);

#endif
