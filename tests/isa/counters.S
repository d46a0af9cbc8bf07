/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: they count, can be written and stopped, and who may read them (Zicntr, Zihpm, mcounteren, scounteren). */
/* oracle: qemu 7.2 */
#include "isa.h"

	/* Both enables set and cleared: whether S and U may read. bit 0, 1, 2: cycle, time, instret. */
	.macro gates line, bit, read
	li gp, \line
	.irp m, 0, 1
	.irp s, 0, 1
	li a0, \m << \bit
	csrw mcounteren, a0
	li a0, \s << \bit
	csrw scounteren, a0
	csrr a0, \read /* M-mode may always */
	.if \m
	isa_run_ok \line, MODE_S, do_\read, CAUSE_ECALL_S
	.else
	isa_run_traps \line, MODE_S, do_\read, CAUSE_ILLEGAL
	.endif
	.if \m && \s
	isa_run_ok \line, MODE_U, do_\read, CAUSE_ECALL_U
	.else
	isa_run_traps \line, MODE_U, do_\read, CAUSE_ILLEGAL
	.endif
	.endr
	.endr
	.endm
#define GATES(bit, read) gates __LINE__, bit, read

ISA_BEGIN
	GATES(0, cycle)
	GATES(1, time)
	GATES(2, instret)
	li a0, 7
	csrw mcounteren, a0
	csrw scounteren, a0

	/* They move on, cycle and instret in this very loop. */
	.irp counter, cycle, instret, mcycle, minstret
	csrr s0, \counter
	li a0, 1000
1:	addi a0, a0, -1
	bnez a0, 1b
	csrr s1, \counter
	sltu a0, s0, s1
	CHECK(a0, 1)
	.endr
	csrr s0, time
1:	csrr s1, time
	beq s1, s0, 1b
	sltu a0, s0, s1
	CHECK(a0, 1)
	/* time is mtime. */
	li a1, CLINT_MTIME
	ld s0, 0(a1)
	csrr s1, time
	ld s2, 0(a1)
	sltu a0, s1, s0
	CHECK(a0, 0)
	sltu a0, s2, s1
	CHECK(a0, 0)

	/* Written: they go on from there. */
	li a0, 1 << 40
	csrw mcycle, a0
	csrr a1, mcycle
	sub a1, a1, a0
	srli a1, a1, 32
	CHECK(a1, 0)
	csrw minstret, a0
	csrr a1, instret
	sub a1, a1, a0
	srli a1, a1, 32
	CHECK(a1, 0)
#if ORACLE == 0 /* QEMU's instret is a clock */
	/* Exactly: the write itself does not count, and a read sees what retired before it. */
	li a0, 1000
	csrw minstret, a0
	csrr a1, minstret
	CHECK(a1, 1000)
	csrw minstret, a0
	nop
	nop
	nop
	csrr a1, minstret
	CHECK(a1, 1003)
	csrr s0, instret
	li a0, 100
1:	addi a0, a0, -1
	bnez a0, 1b
	csrr s1, instret
	sub s1, s1, s0
	CHECK(s1, 1 + 1 + 200)
	/* An instruction that traps does not retire; mret does. */
	la s11, 2f
	csrr s0, instret
	ecall
	.balign 4
2:	csrr s1, instret /* isa_trap: beqz, jr */
	li s11, 0
	sub s1, s1, s0
	CHECK(s1, 1 + 2)
	/* Compressed instructions are instructions. */
	.option push
	.option rvc
	csrr s0, instret
	c.nop
	c.nop
	c.nop
	csrr s1, instret
	.balign 4, 1
	.option pop
	sub s1, s1, s0
	CHECK(s1, 1 + 3)
#endif

	/* Stopped. */
	csrwi mcountinhibit, 5
	csrr s0, mcycle
	csrr s1, minstret
	nop
	nop
	csrr s2, mcycle
	csrr s3, minstret
	CHECK_SAME(s2, s0)
	CHECK_SAME(s3, s1)
	li a0, 77
	csrw mcycle, a0
	csrw minstret, a0
	csrr s2, cycle
	csrr s3, instret
	CHECK(s2, 77)
	CHECK(s3, 77)
	csrwi mcountinhibit, 0
	csrr s2, minstret
	nop
	csrr s3, minstret
	sltu a0, s2, s3
	CHECK(a0, 1)

	/* The counters of events: there, and 0 when there are no events. */
	.irp n, 3, 4, 15, 30, 31
	csrw mhpmevent\n, zero
	csrw mhpmcounter\n, zero
	csrr a0, mhpmcounter\n
	CHECK(a0, 0)
	csrr a0, hpmcounter\n
	CHECK(a0, 0)
	.endr
	ISA_END

	.balign 4
do_cycle:
	csrr a0, cycle
	ecall
do_time:
	csrr a0, time
	ecall
do_instret:
	csrr a0, instret
	ecall
