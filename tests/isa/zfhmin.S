/* SPDX-License-Identifier: Apache-2.0 */
/* The conversions of Zfhmin in every rounding mode; loads, stores and moves are in fp_memory.S. */
/* oracle: qemu 7.2 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "zfhmin.vec"

ISA_BEGIN
VECTORS(fcvt_h_s)
VECTORS(fcvt_s_h)
VECTORS(fcvt_h_d)
VECTORS(fcvt_d_h)
ISA_END
