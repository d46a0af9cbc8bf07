/* SPDX-License-Identifier: Apache-2.0 */
/* Floating-point loads, stores and moves of every width: bits pass unchanged, narrower values are NaN-boxed. */
/* oracle: qemu 7.2 */
#include "isa.h"

ISA_BEGIN
	la s0, data
	/* Loads box; stores take the low bits whatever the box. */
	fld fa0, 0(s0)
	fmv.x.d a0, fa0
	CHECK(a0, 0x0123456789abcdef)
	flw fa0, 0(s0)
	fmv.x.d a0, fa0
	CHECK(a0, 0xffffffff89abcdef)
	flh fa0, 0(s0)
	fmv.x.d a0, fa0
	CHECK(a0, 0xffffffffffffcdef)
	/* A signalling NaN is moved as it is and raises nothing. */
	csrw fcsr, zero
	flw fa0, 8(s0)
	fsw fa0, 32(s0)
	lwu a0, 32(s0)
	CHECK(a0, 0x7f800001)
	fmv.x.w a0, fa0
	CHECK(a0, 0x7f800001)
	fld fa0, 16(s0)
	fsd fa0, 32(s0)
	ld a0, 32(s0)
	CHECK(a0, 0xfff0000000000001)
	CHECK_CSR(fcsr, -1, 0)

	li a0, 0x1122334455667788
	fmv.d.x fa1, a0
	li a1, -1
	sd a1, 32(s0)
	fsw fa1, 32(s0)
	ld a2, 32(s0)
	CHECK(a2, 0xffffffff55667788)
	sd a1, 32(s0)
	fsh fa1, 32(s0)
	ld a2, 32(s0)
	CHECK(a2, 0xffffffffffff7788)
	fsd fa1, 32(s0)
	ld a2, 32(s0)
	CHECK_SAME(a2, a0)
	/* FMV.X.W and FMV.X.H sign-extend the raw low bits, boxed or not. */
	fmv.x.w a2, fa1
	CHECK(a2, 0x55667788)
	li a0, 0x0000000080000001
	fmv.d.x fa1, a0
	fmv.x.w a2, fa1
	CHECK(a2, 0xffffffff80000001)
	fmv.x.h a2, fa1
	CHECK(a2, 1)
	li a0, 0x18001
	fmv.d.x fa1, a0
	fmv.x.h a2, fa1
	CHECK(a2, 0xffffffffffff8001)
	fmv.w.x fa1, a0
	fmv.x.d a2, fa1
	CHECK(a2, 0xffffffff00018001)
	fmv.h.x fa1, a0
	fmv.x.d a2, fa1
	CHECK(a2, 0xffffffffffff8001)
	/* x0 as the source; f0 is a register like any other. */
	fmv.d.x f0, zero
	fmv.x.d a2, f0
	CHECK(a2, 0)
	li a0, 3
	fmv.d.x f0, a0
	fmv.x.d a2, f0
	CHECK(a2, 3)

	/* Sign injection on an unboxed source takes the canonical NaN; FMV.D of a boxed one takes the bits. */
	li a0, 0x000000003f800000
	fmv.d.x fa1, a0
	fmv.s fa2, fa1
	fmv.x.d a2, fa2
	CHECK(a2, 0xffffffff7fc00000)
	fclass.s a2, fa1
	CHECK(a2, 1 << 9)
	fclass.d a2, fa1
	CHECK(a2, 1 << 5)

	/* Misaligned, and across a page. */
	la s1, page - 4
	li a0, 0x8877665544332211
	fmv.d.x fa0, a0
	fsd fa0, 0(s1)
	fld fa1, 0(s1)
	fmv.x.d a1, fa1
	CHECK_SAME(a1, a0)
	flw fa1, 1(s1)
	fmv.x.w a1, fa1
	CHECK(a1, 0x55443322)
	flh fa1, 3(s1)
	fmv.x.h a1, fa1
	CHECK(a1, 0x5544)
	fsw fa0, 3(s1)
	ld a1, 0(s1)
	CHECK(a1, 0x8844332211332211)
	fsh fa0, 3(s1)
	ld a1, 0(s1)
	CHECK(a1, 0x8844332211332211)

	/* The offset's ends. */
	la s2, page
	fld fa0, -2048(s2)
	fsd fa0, 2040(s2)
	ld a0, 2040(s2)
	ld a1, -2048(s2)
	CHECK_SAME(a0, a1)

	/* Faults: the register keeps its value. */
	li a0, 42
	fmv.d.x fa0, a0
	li a1, 8
	TRAPS_AT(CAUSE_LOAD_ACCESS, a1, fld fa0, 0(a1))
	TRAPS_AT(CAUSE_LOAD_ACCESS, a1, flw fa0, 0(a1))
	TRAPS_AT(CAUSE_LOAD_ACCESS, a1, flh fa0, 0(a1))
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, fsd fa0, 0(a1))
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, fsw fa0, 0(a1))
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, fsh fa0, 0(a1))
	fmv.x.d a0, fa0
	CHECK(a0, 42)

	/* The widths that no extension of the machine has. */
	ILLEGAL(.4byte 0x00050507 | 0x4000) /* flq */
	ILLEGAL(.4byte 0x00a50027 | 0x4000) /* fsq */
	ILLEGAL(.4byte 0x00a5f553 | 2 << 25) /* fadd.h: Zfhmin has conversions and moves only */
	ILLEGAL(.4byte 0x00a5f553 | 3 << 25) /* fadd.q */
	ISA_END

	.data
	.balign 4096
data:
	.dword 0x0123456789abcdef, 0x7f800001, 0xfff0000000000001, 0, 0
	.balign 4096
page:
	.space 4096
