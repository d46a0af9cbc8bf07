/* SPDX-License-Identifier: Apache-2.0 */
/* Zicond. */
/* oracle: qemu 8.0 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "zicond.vec"

ISA_BEGIN
VECTORS(czero_eqz)
VECTORS(czero_nez)
ISA_END
