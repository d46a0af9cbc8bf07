/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be changed of a named machine: the method "machine.set" of one that runs, and the same
 * in its machine.json. Parameters are a JSON object (docs/control.md); those that are not named
 * stay as they are. A machine's process does not write its machine.json: who calls machine.set
 * does, under the record's lock.
 */
#ifndef HOSPES_HOST_RUNNER_SET_H
#define HOSPES_HOST_RUNNER_SET_H

#include <jansson.h>

#include "base/error.h"
#include "host/record.h"
#include "host/registry.h"

/* Takes parameters into a record, which is as good as before then. Its strings are not touched. A
 * usage error for what is no parameter or no value of it; nothing is changed then. */
int runner_set_take(const json_t *params, struct record *record, struct error *error) MUST_CHECK;

/* Changes a machine that does not run; the caller holds the record's lock. -EBUSY if it does run.
 */
int runner_set_stopped(const struct registry *registry, const char *name, const json_t *params,
                       struct error *error) MUST_CHECK;

#endif
