/* SPDX-License-Identifier: Apache-2.0 */
/* What other commands need of `hospes start`. */
#ifndef HOSPES_CLI_START_H
#define HOSPES_CLI_START_H

#include "base/error.h"
#include "cli/named.h"

/* Starts the machine's process, away from this terminal. Returns when the machine runs. */
int start_background(const struct named *named, struct error *error) MUST_CHECK;

#endif
