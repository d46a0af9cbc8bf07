/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame around the random instructions of test_hostile.py: M-mode firmware whose trap handler goes on behind the last
 * place it came to, in another privilege mode, with a timer interrupt soon to come and with useful addresses in some
 * registers. After BODY_SIZE bytes it ends by the test finisher. The instructions may well break the frame; then the test ends
 * by its time limit.
 */
#define BODY_SIZE 60000
#define TABLE 0x80200000
#define DEVICES 0x10000000

	.option norvc
	.globl _start
_start:
	la t0, handler
	csrw mtvec, t0
	csrw mscratch, zero
	li t0, -1
	csrw pmpaddr0, t0
	li t0, 0x1f
	csrw pmpcfg0, t0
	li t0, 0x6000 /* FS */
	csrs mstatus, t0
	/* A root table: the devices and the RAM for S-mode, the RAM again for U-mode. */
	li t0, TABLE
	li t1, 0xcf
	sd t1, 0(t0)
	li t1, (0x80000000 >> 2) | 0xdf
	sd t1, 8(t0)
	li t1, (0x80000000 >> 2) | 0xcf
	sd t1, 16(t0)
	j body

	.balign 4
handler:
	csrr t0, mscratch
	addi t0, t0, 4
	li t1, BODY_SIZE
	bltu t0, t1, 1f
	li t0, 0x100000
	li t1, 0x5555
	sw t1, 0(t0)
1:	csrw mscratch, t0
	la t1, body
	add t1, t1, t0
	csrw mepc, t1
	li t2, 0x1800 /* MPP: U, S, or M for the most part */
	csrc mstatus, t2
	srli t1, t0, 2
	andi t1, t1, 7
	beqz t1, 3f
	addi t1, t1, -1
	beqz t1, 2f
	csrs mstatus, t2
	j 3f
2:	li t2, 0x800
	csrs mstatus, t2
3:	li t0, 0x200bff8 /* the timer, 0.2 ms from now */
	ld t0, 0(t0)
	li t1, 2000
	add t0, t0, t1
	li t1, 0x2004000
	sd t0, 0(t1)
	li t0, 0x80
	csrw mie, t0
	csrs mstatus, t0
	la sp, body
	la a0, body
	la s0, body
	li a1, 0x80300ff8
	li s1, 0x80300ffd
	li a2, DEVICES
	li a3, 0x40001000
	li a4, 8 << 60 | TABLE >> 12
	mret
	.balign 8
body:
