/* SPDX-License-Identifier: Apache-2.0 */
/* Zba, Zbb, Zbc and Zbs over all pairs of the interesting integers. */
/* oracle: qemu 8.0 (before, ctzw counts the whole register) */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "zb.vec"

ISA_BEGIN
VECTORS(add_uw)
VECTORS(sh1add)
VECTORS(sh2add)
VECTORS(sh3add)
VECTORS(sh1add_uw)
VECTORS(sh2add_uw)
VECTORS(sh3add_uw)
VECTORS(andn)
VECTORS(orn)
VECTORS(xnor)
VECTORS(max)
VECTORS(maxu)
VECTORS(min)
VECTORS(minu)
VECTORS(rol)
VECTORS(ror)
VECTORS(rolw)
VECTORS(rorw)
VECTORS(bclr)
VECTORS(bext)
VECTORS(binv)
VECTORS(bset)
VECTORS(clmul)
VECTORS(clmulh)
VECTORS(clmulr)
VECTORS(slli_uw)
VECTORS(rori)
VECTORS(roriw)
VECTORS(bclri)
VECTORS(bexti)
VECTORS(binvi)
VECTORS(bseti)
VECTORS(clz)
VECTORS(clzw)
VECTORS(ctz)
VECTORS(ctzw)
VECTORS(cpop)
VECTORS(cpopw)
VECTORS(sext_b)
VECTORS(sext_h)
VECTORS(zext_h)
VECTORS(orc_b)
VECTORS(rev8)
ISA_END
