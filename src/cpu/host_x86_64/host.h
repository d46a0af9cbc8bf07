/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSPES_CPU_HOST_X86_64_HOST_H
#define HOSPES_CPU_HOST_X86_64_HOST_H

#include "cpu/translate/host.h"

/* host_type.compile */
int host_compile(const struct host_runtime *runtime, struct ir_unit *unit,
                 struct code_memory *memory, struct link *records,
                 struct host_unit *result) MUST_CHECK;

#endif
