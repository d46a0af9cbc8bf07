/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library of translated code, as who has a machine sees it: opened before there is an engine, and
 * closed behind it. cpu/translate/library.h has what is in it.
 */
#ifndef HOSPES_CPU_LIBRARY_H
#define HOSPES_CPU_LIBRARY_H

#include "base/error.h"

struct library;

/* -ENOENT: there is none; -ESTALE: it is of another build of hospes; -EPERM: others may write to
 * it; -EINVAL: it is none, or damaged. */
int library_open(struct library **library, const char *path, struct error *error) MUST_CHECK;
void library_close(struct library *library);

#endif
