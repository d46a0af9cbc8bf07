/* SPDX-License-Identifier: Apache-2.0 */
/* Zfa for the formats S and D. (The .h forms need Zfh, which the machine has not.) */
/* oracle: qemu 8.1 */
#include "isa.h"
#include "newer.h"
#include "shapes.h"
#include "zfa.vec"

ISA_BEGIN
VECTORS(fminm_s)
VECTORS(fmaxm_s)
VECTORS(fround_s)
VECTORS(froundnx_s)
VECTORS(fleq_s)
VECTORS(fltq_s)
VECTORS(fminm_d)
VECTORS(fmaxm_d)
VECTORS(fround_d)
VECTORS(froundnx_d)
VECTORS(fleq_d)
VECTORS(fltq_d)
VECTORS(fcvtmod_w_d)
VECTORS(fli_s)
VECTORS(fli_d)
ISA_END
