/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs a guest uses, by its agent (agent.h): nobody but the guest can take one away. */
#ifndef HOSPES_HOST_AGENT_CPUS_H
#define HOSPES_HOST_AGENT_CPUS_H

#include "base/error.h"
#include "host/agent.h"

/* Has the guest use its first `cpus` CPUs and no others. That the agent says so does not make it
 * so. `timeout_ms` is for each of two commands. */
int agent_set_cpus(struct agent *agent, unsigned cpus, unsigned timeout_ms,
                   struct error *error) MUST_CHECK;

#endif
