/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that binutils 2.40 cannot assemble, as macros of the same names. */
#ifndef HOSPES_TESTS_ISA_NEWER_H
#define HOSPES_TESTS_ISA_NEWER_H

#define OP 0x33
#define OP_FP 0x53

	.macro czero.eqz rd, rs1, rs2
	.insn r OP, 5, 7, \rd, \rs1, \rs2
	.endm
	.macro czero.nez rd, rs1, rs2
	.insn r OP, 7, 7, \rd, \rs1, \rs2
	.endm

	.macro fminm.s rd, rs1, rs2
	.insn r OP_FP, 2, 0x14, \rd, \rs1, \rs2
	.endm
	.macro fmaxm.s rd, rs1, rs2
	.insn r OP_FP, 3, 0x14, \rd, \rs1, \rs2
	.endm
	.macro fminm.d rd, rs1, rs2
	.insn r OP_FP, 2, 0x15, \rd, \rs1, \rs2
	.endm
	.macro fmaxm.d rd, rs1, rs2
	.insn r OP_FP, 3, 0x15, \rd, \rs1, \rs2
	.endm
	.macro fleq.s rd, rs1, rs2
	.insn r OP_FP, 4, 0x50, \rd, \rs1, \rs2
	.endm
	.macro fltq.s rd, rs1, rs2
	.insn r OP_FP, 5, 0x50, \rd, \rs1, \rs2
	.endm
	.macro fleq.d rd, rs1, rs2
	.insn r OP_FP, 4, 0x51, \rd, \rs1, \rs2
	.endm
	.macro fltq.d rd, rs1, rs2
	.insn r OP_FP, 5, 0x51, \rd, \rs1, \rs2
	.endm
	/* isa_rm = the number of a rounding mode's name; .insn takes no names. */
	.macro isa_set_rm rm
	.set isa_rm, 7
	.ifc \rm, rne
	.set isa_rm, 0
	.endif
	.ifc \rm, rtz
	.set isa_rm, 1
	.endif
	.ifc \rm, rdn
	.set isa_rm, 2
	.endif
	.ifc \rm, rup
	.set isa_rm, 3
	.endif
	.ifc \rm, rmm
	.set isa_rm, 4
	.endif
	.endm
	.macro fround.s rd, rs1, rm=dyn
	isa_set_rm \rm
	.insn r OP_FP, isa_rm, 0x20, \rd, \rs1, x4
	.endm
	.macro froundnx.s rd, rs1, rm=dyn
	isa_set_rm \rm
	.insn r OP_FP, isa_rm, 0x20, \rd, \rs1, x5
	.endm
	.macro fround.d rd, rs1, rm=dyn
	isa_set_rm \rm
	.insn r OP_FP, isa_rm, 0x21, \rd, \rs1, x4
	.endm
	.macro froundnx.d rd, rs1, rm=dyn
	isa_set_rm \rm
	.insn r OP_FP, isa_rm, 0x21, \rd, \rs1, x5
	.endm
	.macro fcvtmod.w.d rd, rs1
	.insn r OP_FP, 1, 0x61, \rd, \rs1, x8
	.endm
	.macro fli.s rd, index
	.insn r OP_FP, 0, 0x78, \rd, x\index, x1
	.endm
	.macro fli.d rd, index
	.insn r OP_FP, 0, 0x79, \rd, x\index, x1
	.endm

#endif
