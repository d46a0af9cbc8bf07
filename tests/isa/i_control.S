/* SPDX-License-Identifier: Apache-2.0 */
/* RV64I: constants, jumps, branches, fences and ECALL/EBREAK as instructions. */
/* oracle: qemu 7.2 */
#include "isa.h"

	/* One comparison: whether the branch is taken, forward and backward. */
	.macro branch line, op, a, b, taken
	li gp, \line
	li a0, \a
	li a1, \b
	li a2, 0
	\op a0, a1, .Lforward\@
	j .Lnot\@
.Lbackward\@:
	addi a2, a2, 1
	j .Ldone\@
.Lforward\@:
	addi a2, a2, 1
	\op a0, a1, .Lbackward\@
.Lnot\@:
.Ldone\@:
	isa_check \line, a2, 2 * \taken
	.endm
#define BRANCH(op, a, b, taken) branch __LINE__, op, a, b, taken

ISA_BEGIN
	lui a0, 0
	CHECK(a0, 0)
	lui a0, 1
	CHECK(a0, 0x1000)
	lui a0, 0x7ffff
	CHECK(a0, 0x7ffff000)
	lui a0, 0x80000
	CHECK(a0, 0xffffffff80000000)
	lui a0, 0xfffff
	CHECK(a0, -4096)
	lui zero, 0x12345
	mv a0, zero
	CHECK(a0, 0)

auipc_here:
	auipc a0, 0
	la a1, auipc_here
	CHECK_SAME(a0, a1)
auipc_up:
	auipc a0, 0x7ffff
	la a1, auipc_up
	sub a0, a0, a1
	CHECK(a0, 0x7ffff000)
auipc_down:
	auipc a0, 0x80000
	la a1, auipc_down
	sub a0, a0, a1
	CHECK(a0, 0xffffffff80000000)

	/* JAL: the link, forward and backward, with and without a register. */
	li a0, 0
	jal ra, 1f
jal_link:
	j 3f
2:	addi a0, a0, 4
	la a1, jal_link
	CHECK_SAME(ra, a1)
	jr ra
1:	addi a0, a0, 2
	j 2b
3:	CHECK(a0, 6)
	jal zero, 1f
	FAIL
1:	mv a0, zero
	CHECK(a0, 0)

	/* JALR: bit 0 of the sum is cleared; rd may be rs1; the offset is signed. */
	la a0, 1f
	addi a0, a0, 1
	jalr a1, 0(a0)
jalr_link:
	FAIL
1:	la a2, jalr_link
	CHECK_SAME(a1, a2)
	la a0, 1f + 2047
	jalr a0, -2047(a0)
jalr_same:
	FAIL
1:	la a2, jalr_same
	CHECK_SAME(a0, a2)
	la a0, 1f - 2047
	jalr zero, 2047(a0)
	FAIL
1:	la a0, 1f - 5
	jalr zero, 6(a0) /* 1f + 1: the low bit of the sum goes */
	FAIL
1:

	BRANCH(beq, 0, 0, 1)
	BRANCH(beq, 0, 1, 0)
	BRANCH(beq, -1, -1, 1)
	BRANCH(beq, 0x100000000, 0, 0)
	BRANCH(bne, 0, 0, 0)
	BRANCH(bne, 0, 1, 1)
	BRANCH(bne, 0x8000000000000000, 0, 1)
	BRANCH(blt, 0, 1, 1)
	BRANCH(blt, 1, 0, 0)
	BRANCH(blt, -1, 0, 1)
	BRANCH(blt, 0, -1, 0)
	BRANCH(blt, 5, 5, 0)
	BRANCH(blt, 0x8000000000000000, 0x7fffffffffffffff, 1)
	BRANCH(bge, 0, 1, 0)
	BRANCH(bge, 1, 0, 1)
	BRANCH(bge, -1, 0, 0)
	BRANCH(bge, 0, -1, 1)
	BRANCH(bge, 5, 5, 1)
	BRANCH(bge, 0x8000000000000000, 0x7fffffffffffffff, 0)
	BRANCH(bltu, 0, 1, 1)
	BRANCH(bltu, 1, 0, 0)
	BRANCH(bltu, -1, 0, 0)
	BRANCH(bltu, 0, -1, 1)
	BRANCH(bltu, 5, 5, 0)
	BRANCH(bltu, 0x8000000000000000, 0x7fffffffffffffff, 0)
	BRANCH(bgeu, 0, 1, 0)
	BRANCH(bgeu, 1, 0, 1)
	BRANCH(bgeu, -1, 0, 1)
	BRANCH(bgeu, 0, -1, 0)
	BRANCH(bgeu, 5, 5, 1)
	BRANCH(bgeu, 0x80000000, 0xffffffff80000000, 0)

	/* The ends of the branch and jump ranges, by way of filler that must not run. */
	beq zero, zero, 1f
	.fill 1022, 4, 0
1:	j 2f
3:	j 4f
	.fill 1020, 4, 0
2:	beq zero, zero, 3b
4:

	/* A loop, for engines that chain blocks. */
	li a0, 1000
	li a1, 0
1:	add a1, a1, a0
	addi a0, a0, -1
	bnez a0, 1b
	CHECK(a1, 500500)

	/* Every fence the encodings give: reserved fields are ignored (section "Memory Ordering Instructions"). */
	fence
	fence rw, rw
	fence.tso
	fence w, o
	.4byte 0x0000000f /* fence 0, 0 */
	.4byte 0xff0f8f8f /* fence with rd, rs1 and fm set */
	fence.i
	.4byte 0x0100000f /* pause (Zihintpause) */
	.4byte 0xfff1908f | 0x1000 /* fence.i with its unused fields set */

	/* FENCE.I: the instruction written is the one that runs. Several rounds, so that the first version was cached. */
	li s0, 20
	li s2, 0
rewrite:
	andi a0, s0, 1
	la a1, patches
	slli a0, a0, 2
	add a1, a1, a0
	lw a1, 0(a1)
	la a2, patched
	sw a1, 0(a2)
	fence.i
	jal ra, patched
	add s2, s2, a0
	addi s0, s0, -1
	bnez s0, rewrite
	CHECK(s2, 10 * 11 + 10 * 22)
	/* A patch of the code just ahead in the same block. */
	la a1, patches
	lw a1, 4(a1)
	la a2, 1f
	sw a1, 0(a2)
	fence.i
1:	li a0, 33
	CHECK(a0, 22)

	/* HINTs do nothing: computational instructions with rd = x0. */
	li a0, 77
	addi zero, a0, 5
	slti zero, a0, 2
	lui zero, 5
	add zero, zero, x2 /* ntl.p1 (Zihintntl) */
	add zero, zero, x3
	add zero, zero, x4
	add zero, zero, x5
	slli zero, zero, 0x1f
	srai zero, zero, 7
	CHECK(a0, 77)
	mv a0, zero
	CHECK(a0, 0)

	TRAPS(CAUSE_ECALL_M, ecall)
	CHECK_CSR(mtval, -1, 0)
	TRAPS(CAUSE_BREAKPOINT, ebreak)
	/* ECALL and EBREAK take no operands. */
	ILLEGAL(.4byte 0x000000f3)
	ILLEGAL(.4byte 0x00008073)
	ILLEGAL(.4byte 0x001000f3)
	ILLEGAL(.4byte 0x00108073)
	ISA_END

	.balign 4
patched:
	li a0, 0
	ret
	.section .rodata
	.balign 4
patches:
	li a0, 11
	li a0, 22
