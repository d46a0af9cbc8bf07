/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of a named machine that can be changed: the method "machine.set" of one that runs, and
 * the same for one that does not. Parameters are a JSON object; those that are not named stay as
 * they are.
 */
#ifndef HOSPES_HOST_RUNNER_SET_H
#define HOSPES_HOST_RUNNER_SET_H

#include <jansson.h>

#include "base/error.h"
#include "host/registry.h"

/* Changes the machine.json of a machine that does not run, under its lock: -EBUSY if it does run. A
 * usage error for what is no parameter or no value of it; nothing is changed then. */
int runner_set_stopped(const struct registry *registry, const char *name, const json_t *params,
                       struct error *error) MUST_CHECK;

#endif
