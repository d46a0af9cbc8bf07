/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's agent (agent.h) tells of the guest, and its file systems held still for a copy
 * from outside.
 */
#ifndef HOSPES_HOST_AGENT_GUEST_H
#define HOSPES_HOST_AGENT_GUEST_H

#include <jansson.h>

#include "base/error.h"
#include "host/agent.h"

/* *guest gets an object with what the agent tells of these, and is the caller's to drop:
 * "host_name" and "system" (strings), "interfaces" (an array of objects with "name", "mac" and
 * "addresses", each of them as 192.0.2.1/24; without the loopback interface). Texts hold no control
 * characters, and there is a bound to what is taken. An agent that knows none of the commands makes
 * an empty one. */
int agent_describe(struct agent *agent, unsigned timeout_ms, json_t **guest,
                   struct error *error) MUST_CHECK;

/* Writes out and holds still all file systems of the guest that can be; *count: how many. Until
 * they are thawed the guest's writers wait, and the agent takes no other commands. */
int agent_freeze(struct agent *agent, unsigned *count, struct error *error) MUST_CHECK;
/* *count: how many were held still. */
int agent_thaw(struct agent *agent, unsigned *count, struct error *error) MUST_CHECK;

#endif
