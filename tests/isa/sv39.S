/* SPDX-License-Identifier: Apache-2.0 */
/* Sv39 with Svade and Svadu, Svpbmt, Svnapot and Svinval. */
/* oracle: qemu 7.2 */
#define LEVELS 3
#include "paging_cases.h"
