/* SPDX-License-Identifier: Apache-2.0 */
/* RV64I loads and stores: width, extension, offset, misaligned (main memory takes it: Zicclsm), across a page. */
/* oracle: qemu 7.2 */
#include "isa.h"

	.macro load line, op, offset, want
	li gp, \line
	la a1, pattern + 16
	li a0, 0x5555555555555555
	\op a0, \offset(a1)
	isa_check \line, a0, \want
	.endm
#define LOAD(op, offset, want) load __LINE__, op, offset, want

	/* Stores a value into a field of ones and reads the 16 bytes back. */
	.macro store line, op, offset, low, high
	li gp, \line
	la a1, scratch
	li a2, -1
	sd a2, 0(a1)
	sd a2, 8(a1)
	li a0, 0x0123456789abcdef
	\op a0, \offset(a1)
	ld a3, 0(a1)
	isa_check \line, a3, \low
	ld a3, 8(a1)
	isa_check \line, a3, \high
	.endm
#define STORE(op, offset, low, high) store __LINE__, op, offset, low, high

ISA_BEGIN
	LOAD(lb, 0, 0x10)
	LOAD(lb, 15, -1)
	LOAD(lb, -1, 0xffffffffffffff8f)
	LOAD(lbu, 0, 0x10)
	LOAD(lbu, 15, 0xff)
	LOAD(lbu, -1, 0x8f)
	LOAD(lh, 0, 0x1110)
	LOAD(lh, -2, 0xffffffffffff8f8e)
	LOAD(lh, -1, 0x108f)
	LOAD(lhu, 14, 0xff1e)
	LOAD(lhu, -2, 0x8f8e)
	LOAD(lhu, 1, 0x1211)
	LOAD(lw, 0, 0x13121110)
	LOAD(lw, -4, 0xffffffff8f8e8d8c)
	LOAD(lw, 3, 0x16151413)
	LOAD(lw, -3, 0x108f8e8d)
	LOAD(lwu, -4, 0x8f8e8d8c)
	LOAD(lwu, 5, 0x18171615)
	LOAD(ld, 0, 0x1716151413121110)
	LOAD(ld, -8, 0x8f8e8d8c8b8a8988)
	LOAD(ld, -5, 0x1211108f8e8d8c8b)
	LOAD(ld, 1, 0x1817161514131211)
	LOAD(ld, 7, 0x1e1d1c1b1a191817)

	STORE(sb, 0, 0xffffffffffffffef, -1)
	STORE(sb, 7, 0xefffffffffffffff, -1)
	STORE(sh, 2, 0xffffffffcdefffff, -1)
	STORE(sh, 3, 0xffffffcdefffffff, -1)
	STORE(sh, 7, 0xefffffffffffffff, 0xffffffffffffffcd)
	STORE(sw, 4, 0x89abcdefffffffff, -1)
	STORE(sw, 1, 0xffffff89abcdefff, -1)
	STORE(sw, 6, 0xcdefffffffffffff, 0xffffffffffff89ab)
	STORE(sd, 0, 0x0123456789abcdef, -1)
	STORE(sd, 8, -1, 0x0123456789abcdef)
	STORE(sd, 3, 0x6789abcdefffffff, 0xffffffffff012345)
	STORE(sd, 7, 0xefffffffffffffff, 0xff0123456789abcd)

	/* The ends of the offset. */
	la a1, scratch + 2048
	li a0, 0x1122
	sd a0, -2048(a1)
	ld a2, -2048(a1)
	CHECK(a2, 0x1122)
	li a0, 0x3344
	sd a0, 2047(a1)
	ld a2, 2047(a1)
	CHECK(a2, 0x3344)

	/* rd may be rs1; a load to x0 still loads (and leaves x0). */
	la a1, pattern
	ld a1, 0(a1)
	CHECK(a1, 0x8786858483828180)
	la a1, pattern
	ld zero, 0(a1)
	mv a0, zero
	CHECK(a0, 0)
	li a0, 0
	TRAPS_AT(CAUSE_LOAD_ACCESS, a0, ld zero, 0(a0))

	/* Every width at every offset around a page boundary, written by bytes and read whole, and the other way round. */
	la s0, page_two - 16
	li s1, 25
around:
	li a0, 0x8877665544332211
	sd a0, 0(s0)
	lbu a1, 0(s0)
	CHECK(a1, 0x11)
	lbu a1, 7(s0)
	CHECK(a1, 0x88)
	lhu a1, 3(s0)
	CHECK(a1, 0x5544)
	lwu a1, 2(s0)
	CHECK(a1, 0x66554433)
	lw a1, 4(s0)
	CHECK(a1, 0xffffffff88776655)
	li a0, 0x99
	sb a0, 5(s0)
	li a0, 0xaabb
	sh a0, 2(s0)
	ld a1, 0(s0)
	CHECK(a1, 0x88779955aabb2211)
	li a0, 0x01020304
	sw a0, 1(s0)
	ld a1, 0(s0)
	CHECK(a1, 0x8877990102030411)
	addi s0, s0, 1
	addi s1, s1, -1
	bnez s1, around

	/* Nothing at these encodings of LOAD and STORE. */
	ILLEGAL(.4byte 0x0005f503) /* ldu */
	ILLEGAL(.4byte 0x00a5c023) /* width 4 */
	ILLEGAL(.4byte 0x00a5d023)
	ILLEGAL(.4byte 0x00a5e023)
	ILLEGAL(.4byte 0x00a5f023)
	ISA_END

	.section .rodata
	.balign 16
pattern:
	.byte 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f
	.byte 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0xff
	.data
	.balign 4096
scratch:
	.space 4096
	.balign 4096
page_one:
	.space 4096
page_two:
	.space 4096
