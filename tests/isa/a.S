/* SPDX-License-Identifier: Apache-2.0 */
/* "A": every AMO over pairs of values, LR/SC and its rules, encodings. */
/* oracle: qemu 7.2 */
#include "isa.h"

	/* memory holds a, the register b: rd = old, memory = new. aq and rl change nothing here but the encoding. */
	.macro amo line, op, a, b, old, new
	.irp order, .aqrl, .aq, .rl
	amo_one \line, \op\order, \a, \b, \old, \new
	.endr
	amo_one \line, \op, \a, \b, \old, \new
	.endm
	.macro amo_one line, op, a, b, old, new
	li gp, \line
	la a0, cell
	li a1, \a
	sd a1, 0(a0)
	li a2, \b
	\op a3, a2, (a0)
	isa_check \line, a3, \old
	ld a4, 0(a0)
	isa_check \line, a4, \new
	sd a1, 0(a0)
	\op a2, a2, (a0) /* rd == rs2 */
	isa_check \line, a2, \old
	ld a4, 0(a0)
	isa_check \line, a4, \new
	sd a1, 0(a0)
	li a2, \b
	\op zero, a2, (a0)
	ld a4, 0(a0)
	isa_check \line, a4, \new
	sd a1, 0(a0)
	mv a5, a0
	\op a5, a2, (a5) /* rd == rs1 */
	isa_check \line, a5, \old
	ld a4, 0(a0)
	isa_check \line, a4, \new
	.endm
#define AMO(op, a, b, old, new) amo __LINE__, op, a, b, old, new

ISA_BEGIN
	AMO(amoswap.d, 0x1111222233334444, 0x5555666677778888, 0x1111222233334444, 0x5555666677778888)
	AMO(amoadd.d, 0xffffffffffffffff, 2, -1, 1)
	AMO(amoadd.d, 0x7fffffffffffffff, 1, 0x7fffffffffffffff, 0x8000000000000000)
	AMO(amoxor.d, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xff00ff00ff00ff00, 0xf0f0f0f0f0f0f0f0)
	AMO(amoand.d, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xff00ff00ff00ff00, 0x0f000f000f000f00)
	AMO(amoor.d, 0xff00ff00ff00ff00, 0x0ff00ff00ff00ff0, 0xff00ff00ff00ff00, 0xfff0fff0fff0fff0)
	AMO(amomin.d, -5, 3, -5, -5)
	AMO(amomin.d, 3, -5, 3, -5)
	AMO(amomax.d, -5, 3, -5, 3)
	AMO(amomax.d, 3, -5, 3, 3)
	AMO(amominu.d, -5, 3, -5, 3)
	AMO(amominu.d, 3, -5, 3, 3)
	AMO(amomaxu.d, -5, 3, -5, -5)
	AMO(amomaxu.d, 3, -5, 3, -5)
	AMO(amomin.d, 0x8000000000000000, 0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000000)
	AMO(amomaxu.d, 0x8000000000000000, 0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000000)

	/* Words: rd is sign-extended, the upper half of rs2 is ignored, the neighbouring word is untouched. */
	AMO(amoswap.w, 0x1111222283334444, 0x5555666677778888, 0xffffffff83334444, 0x1111222277778888)
	AMO(amoadd.w, 0x11111111ffffffff, 0x900000002, -1, 0x1111111100000001)
	AMO(amoadd.w, 0x111111117fffffff, 1, 0x7fffffff, 0x1111111180000000)
	AMO(amoxor.w, 0x11111111ff00ff00, 0xffffffff0ff00ff0, 0xffffffffff00ff00, 0x11111111f0f0f0f0)
	AMO(amoand.w, 0x11111111ff00ff00, 0x000000000ff00ff0, 0xffffffffff00ff00, 0x111111110f000f00)
	AMO(amoor.w, 0x11111111ff00ff00, 0xffffffff0ff00ff0, 0xffffffffff00ff00, 0x11111111fff0fff0)
	AMO(amomin.w, 0x11111111fffffffb, 3, -5, 0x11111111fffffffb)
	AMO(amomin.w, 0x1111111100000003, 0x7ffffffffffffffb, 3, 0x11111111fffffffb)
	AMO(amomax.w, 0x11111111fffffffb, 0xffffffff00000003, -5, 0x1111111100000003)
	AMO(amomax.w, 0x1111111180000000, 0x7fffffff, 0xffffffff80000000, 0x111111117fffffff)
	AMO(amominu.w, 0x11111111fffffffb, 0xffffffff00000003, -5, 0x1111111100000003)
	AMO(amominu.w, 0x1111111180000000, 0x7fffffff, 0xffffffff80000000, 0x111111117fffffff)
	AMO(amomaxu.w, 0x1111111100000003, 0x7ffffffffffffffb, 3, 0x11111111fffffffb)
	AMO(amomaxu.w, 0x1111111180000000, 0x7fffffff, 0xffffffff80000000, 0x1111111180000000)
	/* The upper word of a doubleword. */
	la a0, cell
	li a1, 0x1000000020000000
	sd a1, 0(a0)
	addi a2, a0, 4
	li a3, 1
	amoadd.w a4, a3, (a2)
	CHECK(a4, 0x10000000)
	ld a4, 0(a0)
	CHECK(a4, 0x1000000120000000)

	/* LR loads (W sign-extends); SC stores and gives 0. */
	la a0, cell
	li a1, 0x1111222283334444
	sd a1, 0(a0)
	lr.w a2, (a0)
	CHECK(a2, 0xffffffff83334444)
	lr.d a2, (a0)
	CHECK(a2, 0x1111222283334444)
	li s0, 100 /* the loop of section "Eventual Success of Store-Conditional Instructions" */
1:	lr.d.aq a2, (a0)
	addi a3, a2, 1
	sc.d.rl a4, a3, (a0)
	bnez a4, 1b
	addi s0, s0, -1
	bnez s0, 1b
	ld a2, 0(a0)
	CHECK(a2, 0x1111222283334444 + 100)
1:	lr.w a2, (a0)
	sc.w a4, zero, (a0)
	bnez a4, 1b
	ld a2, 0(a0)
	CHECK(a2, 0x1111222200000000)

	/* SC without a reservation fails: it does not write, and gives nonzero. */
	li a3, 7
	sc.d a4, a3, (a0)
	CHECK_TRUE(a4)
	ld a2, 0(a0)
	CHECK(a2, 0x1111222200000000)
	/* An SC, failed or not, ends the reservation. */
1:	lr.d a2, (a0)
	sc.d a4, a3, (a0)
	bnez a4, 1b
	sc.d a4, zero, (a0)
	CHECK_TRUE(a4)
	ld a2, 0(a0)
	CHECK(a2, 7)
	/* To another address: it may only fail (the reservation set here is smaller than a page). */
	la a1, cell + 4096
	li a3, 9
	sd zero, 0(a1)
	lr.d a2, (a0)
	sc.d a4, a3, (a1)
	CHECK_TRUE(a4)
	ld a2, 0(a1)
	CHECK(a2, 0)
	lr.d a2, (a0)
	sc.d a4, a3, (a1)
	sc.d a4, a3, (a0) /* the first SC ended it */
	CHECK_TRUE(a4)
	ld a2, 0(a0)
	CHECK(a2, 7)
	/* rd == rs2, rd == rs1, rd == x0 */
	li a3, 21
1:	lr.d a2, (a0)
	sc.d a3, a3, (a0)
	CHECK(a3, 0)
	ld a2, 0(a0)
	CHECK(a2, 21)
	lr.d zero, (a0)
	sc.d zero, zero, (a0)
	ld a2, 0(a0)
	CHECK(a2, 0)
	mv a1, a0
	lr.d a1, (a1)
	CHECK(a1, 0)
	sc.d zero, zero, (a0)

	/* LR with rs2, unused widths and functions. */
	ILLEGAL(.4byte 0x1015a52f) /* lr.w with rs2 = x1 */
	ILLEGAL(.4byte 0x00b5052f) /* width 0 */
	ILLEGAL(.4byte 0x00b5152f)
	ILLEGAL(.4byte 0x00b5452f)
	ILLEGAL(.4byte 0x30b5252f) /* funct5 6 */
	ILLEGAL(.4byte 0xf8b5352f) /* funct5 31 */
	ISA_END

	.data
	.balign 4096
cell:
	.space 8192
