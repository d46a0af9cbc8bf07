/* SPDX-License-Identifier: Apache-2.0 */
/* "D" arithmetic: every rounding mode, static and dynamic, special values, flags. */
/* oracle: qemu 7.2 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "d.vec"

ISA_BEGIN
VECTORS(fadd_d)
VECTORS(fsub_d)
VECTORS(fmul_d)
VECTORS(fdiv_d)
VECTORS(fsqrt_d)
VECTORS(fmadd_d)
VECTORS(fmsub_d)
VECTORS(fnmsub_d)
VECTORS(fnmadd_d)
VECTORS(fmin_d)
VECTORS(fmax_d)
VECTORS(feq_d)
VECTORS(flt_d)
VECTORS(fle_d)
VECTORS(fclass_d)
VECTORS(fsgnj_d)
VECTORS(fsgnjn_d)
VECTORS(fsgnjx_d)
VECTORS(fcvt_w_d)
VECTORS(fcvt_d_w)
VECTORS(fcvt_wu_d)
VECTORS(fcvt_d_wu)
VECTORS(fcvt_l_d)
VECTORS(fcvt_d_l)
VECTORS(fcvt_lu_d)
VECTORS(fcvt_d_lu)
VECTORS(fcvt_s_d)
VECTORS(fcvt_d_s)
ISA_END
