/* SPDX-License-Identifier: Apache-2.0 */
/* "C": every compressed instruction of RV64DC, its reserved encodings, HINTs, and code at odd halfwords. */
/* oracle: qemu 7.2 */
#include "isa.h"

#define C_ILLEGAL(bits) ILLEGAL(.2byte bits)

	/* op on a0 (= value), then a0 must be want; the operands come after the value. */
	.macro on_a0 line, want, value, insn:vararg
	li a0, \value
	li a1, 0x123456789
	.option push
	.option rvc
	\insn
	.balign 4, 1
	.option pop
	isa_check \line, a0, \want
	.endm
#define ON_A0(want, value, ...) on_a0 __LINE__, want, value, __VA_ARGS__

ISA_BEGIN
	ON_A0(5, 0, c.li a0, 5)
	ON_A0(-32, 0, c.li a0, -32)
	ON_A0(31, 0, c.li a0, 31)
	ON_A0(0x1f000, 0, c.lui a0, 31)
	ON_A0(0xfffffffffffff000, 0, c.lui a0, 0xfffff)
	ON_A0(0xfffffffffffe0000, 0, c.lui a0, 0xfffe0)
	ON_A0(99, 100, c.addi a0, -1)
	ON_A0(131, 100, c.addi a0, 31)
	ON_A0(68, 100, c.addi a0, -32)
	ON_A0(0xffffffff80000000, 0x7fffffff, c.addiw a0, 1)
	ON_A0(0xffffffffffffffff, 0xffffffff, c.addiw a0, 0)
	ON_A0(0xffffffff80000000, 0x180000020, c.addiw a0, -32)
	ON_A0(0x8000000000000000, 1, c.slli a0, 63)
	ON_A0(0x100000000, 1, c.slli a0, 32)
	ON_A0(2, 1, c.slli a0, 1)
	ON_A0(1, 0x8000000000000000, c.srli a0, 63)
	ON_A0(0x7fffffff, 0xffffffff, c.srli a0, 1)
	ON_A0(-1, 0x8000000000000000, c.srai a0, 63)
	ON_A0(0xc000000000000000, 0x8000000000000000, c.srai a0, 1)
	ON_A0(0x10, 0x123456789abcdef0, c.andi a0, 0x1f - 15)
	ON_A0(0x123456789abcdee0, 0x123456789abcdef1, c.andi a0, -32)
	ON_A0(0x123456789, 5, c.mv a0, a1)
	ON_A0(0x123456790, 7, c.add a0, a1)
	ON_A0(0xfffffffedcba987e, 7, c.sub a0, a1)
	ON_A0(0x12345678e, 7, c.xor a0, a1)
	ON_A0(0x12345678f, 7, c.or a0, a1)
	ON_A0(1, 7, c.and a0, a1)
	ON_A0(0x23456790, 7, c.addw a0, a1)
	ON_A0(0xffffffffdcba987e, 7, c.subw a0, a1)
	ON_A0(7, 7, c.nop)

	.option push
	.option rvc
	mv s0, sp
	c.addi16sp sp, -512
	c.addi16sp sp, 496
	.balign 4, 1
	.option pop
	sub a0, sp, s0
	CHECK(a0, -16)
	mv sp, s0
	.option push
	.option rvc
	c.addi4spn a0, sp, 4
	c.addi4spn a1, sp, 1020
	.option pop
	sub a0, a0, sp
	CHECK(a0, 4)
	sub a1, a1, sp
	CHECK(a1, 1020)

	/* Loads and stores: the ends of each offset. */
	la s1, memory
	mv s0, sp
	la sp, memory
	li a0, 0x8877665544332211
	li a2, 0xffffffff80000001
	.option push
	.option rvc
	c.sd a0, 0(s1)
	c.sd a2, 248(s1)
	c.ld a3, 248(s1)
	c.lw a4, 0(s1)
	c.lw a5, 4(s1)
	.option pop
	CHECK_SAME(a3, a2)
	CHECK(a4, 0x44332211)
	CHECK(a5, 0xffffffff88776655)
	.option push
	.option rvc
	c.sw a0, 124(s1)
	c.lw a5, 124(s1)
	c.sdsp a0, 504(sp)
	c.ldsp a3, 504(sp)
	c.swsp a2, 252(sp)
	c.lwsp a4, 252(sp)
	.option pop
	CHECK(a5, 0x44332211)
	CHECK_SAME(a3, a0)
	CHECK_SAME(a4, a2)
	ld a4, 248(sp)
	CHECK(a4, 0x8000000180000001)
	.option push
	.option rvc
	c.fldsp fs0, 504(sp)
	c.fsd fs0, 240(s1)
	c.fld fa0, 240(s1)
	c.fsdsp fa0, 0(sp)
	.option pop
	ld a4, 0(sp)
	CHECK_SAME(a4, a0)
	/* Not compressed operands only: x1 to x31 in the full-register forms. */
	.option push
	.option rvc
	c.ldsp x31, 504(sp)
	c.sdsp x31, 8(sp)
	c.mv x1, x31
	c.li x31, -1
	c.add x31, x1
	.option pop
	CHECK(x31, 0x8877665544332210)
	mv sp, s0

	/* Jumps and branches, links 2 bytes on. */
	li a0, 0
	.option push
	.option rvc
	c.j 1f
2:	c.beqz a0, 3f
	j isa_no_trap
1:	c.j 2b
3:	c.bnez a0, 4f
	c.addi a0, 1
	c.bnez a0, 5f
4:	j isa_no_trap
5:	c.beqz a0, 4b
	la a2, 6f
	c.jalr a2
c_link:
	j isa_no_trap
6:	la a3, c_link
	sub a3, a3, ra
	la a2, 7f
	c.addi a2, 1 /* bit 0 of the target is cleared */
	c.jr a2
	j isa_no_trap
7:	la ra, 8f
	c.jalr ra /* rs1 == the link register */
c_link_same:
	j isa_no_trap
8:	la a4, c_link_same
	sub a4, a4, ra
	.balign 4, 1
	.option pop
	CHECK(a0, 1)
	CHECK(a3, 0)
	CHECK(a4, 0)

	/* The ends of the ranges. */
	.option push
	.option rvc
	.balign 4
	c.j 1f
	.space 2044
1:	li a0, 0
	c.beqz a0, 2f
	.space 252
2:	c.j 3f
4:	c.j 5f
	.space 1000
	.option norvc
	.space 4
	.option rvc
3:	c.j 4b
5:	.balign 4, 1
	.option pop

	/* 32-bit instructions at halfword addresses, one of them across a page. */
	j straddle
straddled:
	CHECK(a0, 0x7ff + 1)
	la a1, straddle_link
	CHECK_SAME(ra, a1)

	/* Self-modified compressed code. */
	la a1, c_patched
	lhu a2, c_patch
	li s0, 3
	jal ra, c_patched
	CHECK(a0, 1)
	sh a2, 0(a1)
	fence.i
	jal ra, c_patched
	CHECK(a0, 2)

	/* Reserved and undefined encodings. */
	C_ILLEGAL(0x0000) /* all zeros */
	C_ILLEGAL(0x0004) /* c.addi4spn with immediate 0 */
	C_ILLEGAL(0x001c)
	C_ILLEGAL(0x8000) /* quadrant 0, function 4 */
	C_ILLEGAL(0x8404)
	C_ILLEGAL(0x9c00)
	C_ILLEGAL(0x2001) /* c.addiw with rd = x0 */
	C_ILLEGAL(0x2005)
	C_ILLEGAL(0x6101) /* c.addi16sp with immediate 0 */
	C_ILLEGAL(0x6501) /* c.lui with immediate 0 */
	C_ILLEGAL(0x9c41) /* quadrant 1, function 4, 0x1c to 0x1f: two of four are reserved without Zcb */
	C_ILLEGAL(0x9c65)
	C_ILLEGAL(0x4002) /* c.lwsp with rd = x0 */
	C_ILLEGAL(0x6002) /* c.ldsp with rd = x0 */
	C_ILLEGAL(0x8002) /* c.jr with rs1 = x0 */
	TRAPS(CAUSE_BREAKPOINT, .2byte 0x9002) /* c.ebreak */

	/* HINTs run as nothing. */
	.option push
	.option rvc
	li a0, 5
	.2byte 0x0085 /* c.addi ra, 1: no HINT, counts what follows */
	.2byte 0x0005 /* c.nop with immediate 1 */
	.2byte 0x0501 /* c.addi a0, 0 */
	.2byte 0x4001 /* c.li x0 */
	.2byte 0x4019
	.2byte 0x6005 /* c.lui x0, 1 */
	.2byte 0x802a /* c.mv x0, a0 */
	.2byte 0x902a /* c.add x0, a0 */
	.2byte 0x900a /* c.ntl.p1 (Zihintntl) */
	.2byte 0x9016 /* c.ntl.all */
	.2byte 0x0002 /* c.slli x0, 0 */
	.2byte 0x0006 /* c.slli x0, 1 */
	.2byte 0x0502 /* c.slli a0, 0 */
	.2byte 0x8101 /* c.srli a0, 0 */
	.2byte 0x8501 /* c.srai a0, 0 */
	.balign 4, 1
	.option pop
	CHECK(a0, 5)
	mv a0, zero
	CHECK(a0, 0)
	/* Faults of compressed accesses name the address and the 16-bit instruction's pc. */
	li a0, 8
	li a1, 77
	TRAPS_AT(CAUSE_LOAD_ACCESS, a0, .2byte 0x610c) /* c.ld a1, 0(a0) */
	TRAPS_AT(CAUSE_STORE_ACCESS, a0, .2byte 0xc10c) /* c.sw a1, 0(a0) */
	CHECK(a1, 77)
	ISA_END

	.section .rodata
	.balign 2
c_patch:
	.2byte 0x4509 /* c.li a0, 2 */

	.section .text.straddle, "ax"
	.option rvc
	.balign 4096
	.space 4090
straddle:
	c.li a0, 0 /* at ...ffa */
	c.nop
	addi a0, a0, 0x7ff /* at ...ffe, the second half on the next page */
	c.addi a0, 1
	jal ra, straddled /* misaligned to 2 */
straddle_link:
	c.nop
c_patched:
	c.li a0, 1
	ret

	.data
	.balign 4096
memory:
	.space 4096
