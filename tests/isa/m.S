/* SPDX-License-Identifier: Apache-2.0 */
/* Every "M" instruction over all pairs of the interesting integers, division by zero and overflow included. */
/* oracle: qemu 7.2 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "m.vec"

ISA_BEGIN
VECTORS(mul)
VECTORS(mulh)
VECTORS(mulhsu)
VECTORS(mulhu)
VECTORS(mulw)
VECTORS(div)
VECTORS(divu)
VECTORS(rem)
VECTORS(remu)
VECTORS(divw)
VECTORS(divuw)
VECTORS(remw)
VECTORS(remuw)
ISA_END
