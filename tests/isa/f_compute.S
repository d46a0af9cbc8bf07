/* SPDX-License-Identifier: Apache-2.0 */
/* "F" arithmetic: every rounding mode, static and dynamic, special values, NaN boxing, flags. */
/* oracle: qemu 7.2 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "f.vec"

ISA_BEGIN
VECTORS(fadd_s)
VECTORS(fsub_s)
VECTORS(fmul_s)
VECTORS(fdiv_s)
VECTORS(fsqrt_s)
VECTORS(fmadd_s)
VECTORS(fmsub_s)
VECTORS(fnmsub_s)
VECTORS(fnmadd_s)
VECTORS(fmin_s)
VECTORS(fmax_s)
VECTORS(feq_s)
VECTORS(flt_s)
VECTORS(fle_s)
VECTORS(fclass_s)
VECTORS(fsgnj_s)
VECTORS(fsgnjn_s)
VECTORS(fsgnjx_s)
VECTORS(fcvt_w_s)
VECTORS(fcvt_s_w)
VECTORS(fcvt_wu_s)
VECTORS(fcvt_s_wu)
VECTORS(fcvt_l_s)
VECTORS(fcvt_s_l)
VECTORS(fcvt_lu_s)
VECTORS(fcvt_s_lu)
ISA_END
