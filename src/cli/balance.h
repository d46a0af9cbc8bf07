/* SPDX-License-Identifier: Apache-2.0 */
/* What `hospes balance` and `hospes pool plan` both look at. */
#ifndef HOSPES_CLI_BALANCE_H
#define HOSPES_CLI_BALANCE_H

#include "base/error.h"
#include "host/balance.h"
#include "host/pool.h"

/* Asks the pool's machines, which takes a third of a second; those that do not answer are left out.
 * *machines is the caller's to free, and points into the pool. */
int balance_look(const struct registry *registry, const struct pool *pool,
                 struct balance_host *host, struct balance_machine **machines, size_t *count,
                 struct error *error) MUST_CHECK;

/* "grows from 256 MiB to 512 MiB: REASON", after `before`. */
void balance_print_move(const char *before, const struct balance_machine *machine,
                        const char *after);

#endif
