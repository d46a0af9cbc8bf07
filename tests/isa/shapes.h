/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a table of vectors.py is tried: one loop over the rows of the table for each instruction. A table is the number of its
 * rows, then the rows: operands, result and, for floating point, the flags. On a failure a0-a4 hold the operands.
 */
#ifndef HOSPES_TESTS_ISA_SHAPES_H
#define HOSPES_TESTS_ISA_SHAPES_H

	/* got == want in t5, t6 */
	.macro shape_same got, want
	mv t5, \got
	mv t6, \want
	beq t5, t6, .Lshape_same\@
	j isa_fail
.Lshape_same\@:
	.endm

	.macro shape_rr line, op, table
	li gp, \line
	la s0, \table
	ld s1, 0(s0)
	addi s0, s0, 8
.Lshape\@:
	ld a0, 0(s0)
	ld a1, 8(s0)
	ld a2, 16(s0)
	\op a3, a0, a1
	shape_same a3, a2
	mv a4, a0
	\op a4, a4, a1
	shape_same a4, a2
	mv a4, a1
	\op a4, a0, a4
	shape_same a4, a2
	\op zero, a0, a1
	shape_same zero, x0
	addi s0, s0, 24
	addi s1, s1, -1
	bnez s1, .Lshape\@
	.endm

	.macro shape_ri line, op, imm, table
	li gp, \line
	li a4, \imm
	la s0, \table
	ld s1, 0(s0)
	addi s0, s0, 8
.Lshape\@:
	ld a0, 0(s0)
	ld a2, 8(s0)
	\op a3, a0, \imm
	shape_same a3, a2
	mv a3, a0
	\op a3, a3, \imm
	shape_same a3, a2
	addi s0, s0, 16
	addi s1, s1, -1
	bnez s1, .Lshape\@
	.endm

	.macro shape_r1 line, op, table
	li gp, \line
	la s0, \table
	ld s1, 0(s0)
	addi s0, s0, 8
.Lshape\@:
	ld a0, 0(s0)
	ld a2, 8(s0)
	\op a3, a0
	shape_same a3, a2
	mv a3, a0
	\op a3, a3
	shape_same a3, a2
	addi s0, s0, 16
	addi s1, s1, -1
	bnez s1, .Lshape\@
	.endm

	/* The instruction with its static rounding mode, if it takes one. */
	.macro shape_static op, how, rm, operands:vararg
	.ifc \how, rounding
	\op \operands, \rm
	.else
	\op \operands
	.endif
	.endm

	/* a4 = result, a5 = flags; the table's are in \want and \flags (registers). */
	.macro shape_result want, flags
	frflags a5
	shape_same a4, \want
	shape_same a5, \flags
	.endm

	.macro shape_loop_end line, size, top
	addi s0, s0, \size
	addi s1, s1, -1
	bnez s1, \top
	fsrm zero
	.endm

	/* Every f shape runs each row twice: with the static mode under another dynamic one, then with the dynamic mode. */
	.macro shape_f_begin line, mode, table
	li gp, \line
	la s0, \table
	ld s1, 0(s0)
	addi s0, s0, 8
	li s2, \mode
	li s3, (\mode + 1) % 5
	.endm

	.macro shape_ff_f line, op, how, rm, mode, table
	shape_f_begin \line, \mode, \table
.Lshape\@:
	ld a0, 0(s0)
	ld a1, 8(s0)
	ld a2, 16(s0)
	ld a3, 24(s0)
	fmv.d.x fa0, a0
	fmv.d.x fa1, a1
	fsrm s3
	fsflags zero
	shape_static \op, \how, \rm, fa2, fa0, fa1
	fmv.x.d a4, fa2
	shape_result a2, a3
	fsrm s2
	fsflags zero
	\op fa0, fa0, fa1
	fmv.x.d a4, fa0
	shape_result a2, a3
	shape_loop_end \line, 32, .Lshape\@
	.endm

	.macro shape_fff_f line, op, how, rm, mode, table
	shape_f_begin \line, \mode, \table
.Lshape\@:
	ld a0, 0(s0)
	ld a1, 8(s0)
	ld a2, 16(s0)
	ld a3, 24(s0)
	ld a6, 32(s0)
	fmv.d.x fa0, a0
	fmv.d.x fa1, a1
	fmv.d.x fa2, a2
	fsrm s3
	fsflags zero
	shape_static \op, \how, \rm, fa3, fa0, fa1, fa2
	fmv.x.d a4, fa3
	shape_result a3, a6
	fsrm s2
	fsflags zero
	\op fa2, fa0, fa1, fa2
	fmv.x.d a4, fa2
	shape_result a3, a6
	shape_loop_end \line, 40, .Lshape\@
	.endm

	.macro shape_ff_x line, op, how, rm, mode, table
	shape_f_begin \line, \mode, \table
.Lshape\@:
	ld a0, 0(s0)
	ld a1, 8(s0)
	ld a2, 16(s0)
	ld a3, 24(s0)
	fmv.d.x fa0, a0
	fmv.d.x fa1, a1
	fsflags zero
	\op a4, fa0, fa1
	shape_result a2, a3
	shape_loop_end \line, 32, .Lshape\@
	.endm

	.macro shape_f_f line, op, how, rm, mode, table
	shape_f_begin \line, \mode, \table
.Lshape\@:
	ld a0, 0(s0)
	ld a2, 8(s0)
	ld a3, 16(s0)
	fmv.d.x fa0, a0
	fsrm s3
	fsflags zero
	shape_static \op, \how, \rm, fa2, fa0
	fmv.x.d a4, fa2
	shape_result a2, a3
	fsrm s2
	fsflags zero
	\op fa0, fa0
	fmv.x.d a4, fa0
	shape_result a2, a3
	shape_loop_end \line, 24, .Lshape\@
	.endm

	.macro shape_f_x line, op, how, rm, mode, table
	shape_f_begin \line, \mode, \table
.Lshape\@:
	ld a0, 0(s0)
	ld a2, 8(s0)
	ld a3, 16(s0)
	fmv.d.x fa0, a0
	fsrm s3
	fsflags zero
	shape_static \op, \how, \rm, a4, fa0
	shape_result a2, a3
	fsrm s2
	fsflags zero
	.ifc \how, rounding
	\op a4, fa0, dyn
	.else
	\op a4, fa0
	.endif
	shape_result a2, a3
	shape_loop_end \line, 24, .Lshape\@
	.endm

	.macro shape_x_f line, op, how, rm, mode, table
	shape_f_begin \line, \mode, \table
.Lshape\@:
	ld a0, 0(s0)
	ld a2, 8(s0)
	ld a3, 16(s0)
	fsrm s3
	fsflags zero
	shape_static \op, \how, \rm, fa2, a0
	fmv.x.d a4, fa2
	shape_result a2, a3
	fsrm s2
	fsflags zero
	\op fa2, a0
	fmv.x.d a4, fa2
	shape_result a2, a3
	shape_loop_end \line, 24, .Lshape\@
	.endm

	.macro shape_fli line, op, index, want
	li gp, \line
	li a0, \index
	fsflags zero
	\op fa0, \index
	fmv.x.d a4, fa0
	li a2, \want
	shape_result a2, zero
	.endm

#endif
