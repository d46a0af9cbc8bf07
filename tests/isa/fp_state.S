/* SPDX-License-Identifier: Apache-2.0 */
/* fcsr, frm, fflags; dynamic rounding with a reserved mode; mstatus.FS: Off traps, what writes makes it Dirty. */
/* oracle: qemu 7.2 */
#include "isa.h"


	.macro set_fs state
	li t5, MSTATUS_FS
	csrc mstatus, t5
	li t5, \state
	csrs mstatus, t5
	.endm

	/* From Clean, the instruction leaves FS and SD so. */
	.macro dirties line, insn:vararg
	set_fs MSTATUS_FS_CLEAN
	\insn
	isa_check_csr \line, mstatus, MSTATUS_FS, MSTATUS_FS
	isa_check_csr \line, mstatus, MSTATUS_SD, MSTATUS_SD
	.endm
#define DIRTIES(...) dirties __LINE__, __VA_ARGS__
#define OFF(...) isa_illegal __LINE__, __VA_ARGS__

ISA_BEGIN
	/* The three CSRs are views of one; only 8 bits are kept. */
	li a0, -1
	csrw fcsr, a0
	CHECK_CSR(fcsr, -1, 0xff)
	CHECK_CSR(frm, -1, 7)
	CHECK_CSR(fflags, -1, 0x1f)
	csrw fflags, zero
	CHECK_CSR(fcsr, -1, 0xe0)
	li a0, 0xfffffffffffffff5
	csrw frm, a0
	CHECK_CSR(fcsr, -1, 0xa0)
	csrwi frm, 0
	csrsi fflags, 0x15
	CHECK_CSR(fcsr, -1, 0x15)
	csrci fflags, 0x11
	CHECK_CSR(fcsr, -1, 4)
	fsrmi a0, 2
	CHECK(a0, 0)
	frcsr a0
	CHECK(a0, 0x44)
	fscsr a0, zero
	CHECK(a0, 0x44)
	CHECK_CSR(fcsr, -1, 0)

	/* Flags accumulate. */
	fmv.w.x fa0, zero
	li a0, 0x3f800000
	fmv.w.x fa1, a0
	fdiv.s fa2, fa1, fa0
	CHECK_CSR(fflags, -1, 8)
	fdiv.s fa2, fa0, fa0
	CHECK_CSR(fflags, -1, 0x18)
	csrw fflags, zero

	/* Reserved rounding modes: static 5 and 6, dynamic 5 to 7, for each format and kind. */
	ILLEGAL(.4byte 0x00b57553 & ~0x7000 | 5 << 12) /* fadd.s fa0, fa0, fa1 */
	ILLEGAL(.4byte 0x00b57553 & ~0x7000 | 6 << 12)
	ILLEGAL(.4byte 0x02b57553 & ~0x7000 | 5 << 12) /* fadd.d */
	ILLEGAL(.4byte 0x02b57553 & ~0x7000 | 6 << 12)
	ILLEGAL(.4byte 0xc0050553 | 5 << 12) /* fcvt.w.s */
	ILLEGAL(.4byte 0x58057553 & ~0x7000 | 6 << 12) /* fsqrt.s */
	ILLEGAL(.4byte 0x60b57543 & ~0x7000 | 5 << 12) /* fmadd.s */
	.irp mode, 5, 6, 7
	li a0, \mode
	csrw frm, a0
	ILLEGAL(fadd.s fa0, fa0, fa1, dyn)
	ILLEGAL(fmul.d fa0, fa0, fa1, dyn)
	ILLEGAL(fsqrt.s fa0, fa0, dyn)
	ILLEGAL(fmadd.d fa0, fa0, fa1, fa0, dyn)
	ILLEGAL(fcvt.l.d a0, fa0, dyn)
	ILLEGAL(fcvt.s.w fa0, a0, dyn)
	ILLEGAL(fcvt.s.d fa0, fa0, dyn)
	fadd.s fa2, fa0, fa1, rtz /* a static mode does not look at frm */
	feq.s a1, fa0, fa1 /* nor does what rounds nothing */
	fsgnj.s fa2, fa0, fa1
	fmv.x.w a1, fa0
	fmin.d fa2, fa0, fa1
	fclass.d a1, fa0
	.endr
	csrw fcsr, zero

	/* Reserved encodings of OP-FP. */
	ILLEGAL(.4byte 0x20b53553) /* fsgnj with function 3 */
	ILLEGAL(.4byte 0xa0b53553) /* comparison 3 */
	ILLEGAL(.4byte 0x28b54553) /* fmin with function 4 */
	ILLEGAL(.4byte 0xe0052553) /* fmv.x.w/fclass function 2 */
	ILLEGAL(.4byte 0xe0150553) /* fmv.x.w with rs2 = 1 */
	ILLEGAL(.4byte 0x58157553) /* fsqrt.s with rs2 = 1 */
	ILLEGAL(.4byte 0xc0457553) /* fcvt to integer kind 4 */
	ILLEGAL(.4byte 0xd0457553)
	ILLEGAL(.4byte 0x40057553) /* fcvt.s.s */
	ILLEGAL(.4byte 0x42157553) /* fcvt.d.d */
	ILLEGAL(.4byte 0xf8b57553 | 0x00400000) /* nothing at funct7 0x7c */

	/* FS Off: every access to the state traps, loads and stores and the CSRs included, and changes nothing. */
	li a2, 0x80000000
	set_fs 0
	CHECK_CSR(mstatus, MSTATUS_SD, 0)
	OFF(fadd.s fa0, fa0, fa1)
	OFF(fsgnj.d fa0, fa0, fa1)
	OFF(feq.d a0, fa0, fa1)
	OFF(fmv.x.w a0, fa0)
	OFF(fmv.d.x fa0, a0)
	OFF(fclass.s a0, fa0)
	OFF(fmadd.s fa0, fa0, fa1, fa0)
	OFF(fcvt.w.d a0, fa0)
	OFF(fcvt.h.s fa0, fa0)
	OFF(flh fa0, 0(a2))
	OFF(flw fa0, 0(a2))
	OFF(fld fa0, 0(a2))
	OFF(fsw fa0, 0(a2))
	OFF(fsd fa0, 0(a2))
	OFF(csrr a0, fcsr)
	OFF(csrr a0, frm)
	OFF(csrr a0, fflags)
	OFF(csrw fflags, zero)
	OFF(csrwi frm, 0)
	/* Also what would fault otherwise: the illegal instruction comes first. */
	OFF(fld fa0, 0(zero))
	.option push
	.option rvc
	OFF(c.fld fa0, 0(a0))
	OFF(c.fsd fa0, 0(a0))
	OFF(c.fldsp fa0, 0(sp))
	OFF(c.fsdsp fa0, 0(sp))
	.balign 4, 1
	.option pop
	/* And in S and U-mode; sstatus shows the same field. */
	RUN_U_TRAPS(user_fp, CAUSE_ILLEGAL)
	RUN_S_TRAPS(user_fp, CAUSE_ILLEGAL)
	CHECK_CSR(sstatus, MSTATUS_FS, 0)
	li a0, MSTATUS_FS_CLEAN
	csrs sstatus, a0
	CHECK_CSR(mstatus, MSTATUS_FS, MSTATUS_FS_CLEAN)
	RUN_U_OK(user_fp)

	/* Dirty: by f register writes and by CSR writes. */
	DIRTIES(fmv.w.x fa0, zero)
	DIRTIES(fld fa0, 0(a2))
	DIRTIES(flw fa0, 0(a2))
	DIRTIES(fadd.d fa0, fa0, fa1)
	DIRTIES(fsgnj.s fa0, fa0, fa1)
	DIRTIES(csrw fcsr, zero)
	DIRTIES(csrwi frm, 0)
	DIRTIES(csrsi fflags, 1)
	CHECK_CSR(sstatus, MSTATUS_SD, MSTATUS_SD)
	/* SD is read-only. */
	set_fs MSTATUS_FS_CLEAN
	li a0, MSTATUS_SD
	csrs mstatus, a0
	CHECK_CSR(mstatus, MSTATUS_SD, 0)
	/* An instruction that is illegal for its rounding mode leaves fcsr and rd. */
	li a0, 0xe0
	csrw fcsr, a0
	li a0, 0x123
	fmv.d.x fa5, a0
	ILLEGAL(fadd.d fa5, fa0, fa1, dyn)
	fmv.x.d a0, fa5
	CHECK(a0, 0x123)
	CHECK_CSR(fcsr, -1, 0xe0)
	ISA_END

	.balign 4
user_fp:
	fmv.x.w a0, fa0
	ecall
