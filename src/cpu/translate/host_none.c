/* SPDX-License-Identifier: Apache-2.0 */
/* For hosts that no emitter is written for. */
#include <stddef.h>

#include "cpu/translate/host.h"

const struct host_type *host_native(void)
{
    return NULL;
}
