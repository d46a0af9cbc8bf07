/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in, traps, and the switch from one task to another. All runs in S-mode with translation
 * off. A trap is taken on the stack of the task that it interrupts: what a function may clobber is
 * saved here, the rest by switch_context() if the trap ends in another task.
 */

/* The header of a Linux Image, so that loaders know it: boot-image-header.rst. */
	.section .text.start, "ax"
	.globl image_start
image_start:
	j	entry
	.balign	8
	.dword	0x200000		/* from the start of RAM */
	.dword	image_end - image_start
	.dword	0			/* little-endian */
	.word	2			/* version 0.2 */
	.word	0
	.dword	0
	.ascii	"RISCV\0\0\0"
	.ascii	"RSC\x05"
	.word	0

/* a0: this hart, a1: the device tree. */
entry:
	csrw	sie, zero
	csrci	sstatus, 2
	la	sp, boot_stack_top
	la	t0, bss_start
	la	t1, bss_end
1:	bgeu	t0, t1, 2f
	sd	zero, (t0)
	addi	t0, t0, 8
	j	1b
2:	la	t0, trap_entry
	csrw	stvec, t0
	call	rtos_main
3:	wfi
	j	3b

	.text
	.balign	4
	.globl trap_entry
trap_entry:
	addi	sp, sp, -144
	sd	ra, 0(sp)
	sd	t0, 8(sp)
	sd	t1, 16(sp)
	sd	t2, 24(sp)
	sd	t3, 32(sp)
	sd	t4, 40(sp)
	sd	t5, 48(sp)
	sd	t6, 56(sp)
	sd	a0, 64(sp)
	sd	a1, 72(sp)
	sd	a2, 80(sp)
	sd	a3, 88(sp)
	sd	a4, 96(sp)
	sd	a5, 104(sp)
	sd	a6, 112(sp)
	sd	a7, 120(sp)
	csrr	a0, sepc
	csrr	t0, sstatus
	sd	a0, 128(sp)
	sd	t0, 136(sp)
	csrr	a1, scause
	csrr	a2, stval
	call	trap_handle		/* may return much later: other tasks ran meanwhile */
	ld	t0, 136(sp)
	ld	t1, 128(sp)
	csrw	sstatus, t0
	csrw	sepc, t1
	ld	ra, 0(sp)
	ld	t0, 8(sp)
	ld	t1, 16(sp)
	ld	t2, 24(sp)
	ld	t3, 32(sp)
	ld	t4, 40(sp)
	ld	t5, 48(sp)
	ld	t6, 56(sp)
	ld	a0, 64(sp)
	ld	a1, 72(sp)
	ld	a2, 80(sp)
	ld	a3, 88(sp)
	ld	a4, 96(sp)
	ld	a5, 104(sp)
	ld	a6, 112(sp)
	ld	a7, 120(sp)
	addi	sp, sp, 144
	sret

/* switch_context(uint64_t *save_sp, uint64_t load_sp): interrupts are off. */
	.globl switch_context
switch_context:
	addi	sp, sp, -112
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	sd	s1, 16(sp)
	sd	s2, 24(sp)
	sd	s3, 32(sp)
	sd	s4, 40(sp)
	sd	s5, 48(sp)
	sd	s6, 56(sp)
	sd	s7, 64(sp)
	sd	s8, 72(sp)
	sd	s9, 80(sp)
	sd	s10, 88(sp)
	sd	s11, 96(sp)
	sd	sp, (a0)
	mv	sp, a1
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	ld	s1, 16(sp)
	ld	s2, 24(sp)
	ld	s3, 32(sp)
	ld	s4, 40(sp)
	ld	s5, 48(sp)
	ld	s6, 56(sp)
	ld	s7, 64(sp)
	ld	s8, 72(sp)
	ld	s9, 80(sp)
	ld	s10, 88(sp)
	ld	s11, 96(sp)
	addi	sp, sp, 112
	ret

/* Where a task's first switch leads: s0 is its function, s1 the argument (task_start()). */
	.globl task_begin
task_begin:
	csrsi	sstatus, 2
	mv	a0, s1
	jalr	s0
	call	task_end

/* Tries a write to stimecmp: 1 if the hart has it (Sstc), 0 if that traps. */
	.globl timer_probe
timer_probe:
	la	t0, 1f
	csrrw	t1, stvec, t0
	li	a0, 0
	li	t2, -1
	csrw	0x14d, t2
	li	a0, 1
	.balign	4
1:	csrw	stvec, t1
	ret

	.bss
	.balign	16
	.space	4096
boot_stack_top:
