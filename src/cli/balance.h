/* SPDX-License-Identifier: Apache-2.0 */
/* What `hospes balance`, `hospes pool plan` and `hospes start` all look at. */
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

/* Makes room for a machine that is about to start, as far as there is any to be made, and without
 * words: each move is an event of the machine that it is of. */
void balance_make_room(const struct registry *registry, const struct record *record);

/* "NAME: grows from 256 MiB to 512 MiB: REASON", between `before` and `after`; and so for code. */
void balance_print_moves(const char *before, const struct balance_machine *machine,
                         const char *after);

#endif
