/* SPDX-License-Identifier: Apache-2.0 */
/* An instruction that changes fcsr alone, and no f register, makes mstatus.FS Dirty ("Machine Status Registers", on FS). */
/* oracle: none (QEMU leaves FS Clean when a comparison or a conversion to an integer raises a flag) */
#include "isa.h"

	.macro dirties line, insn:vararg
	csrw fflags, zero
	li t5, MSTATUS_FS
	csrc mstatus, t5
	li t5, MSTATUS_FS_CLEAN
	csrs mstatus, t5
	\insn
	isa_check_csr \line, mstatus, MSTATUS_FS, MSTATUS_FS
	isa_check_csr \line, mstatus, MSTATUS_SD, MSTATUS_SD
	isa_check_csr \line, fflags, -1, 0x10
	.endm
#define DIRTIES(...) dirties __LINE__, __VA_ARGS__

ISA_BEGIN
	li a0, 0x7f800001 /* a signalling NaN */
	fmv.w.x fa0, a0
	DIRTIES(feq.s a0, fa0, fa0)
	DIRTIES(flt.s a0, fa0, fa0)
	DIRTIES(fle.d a0, fa1, fa0)
	DIRTIES(fcvt.w.s a0, fa0)
	DIRTIES(fcvt.lu.d a0, fa0)
	ISA_END
