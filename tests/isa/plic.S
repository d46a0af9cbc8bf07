/* SPDX-License-Identifier: Apache-2.0 */
/* External interrupts by way of the PLIC, with the UART's "transmitter empty" as the source: priorities, enables, thresholds,
 * claim and complete, both contexts, and mip.SEIP as the OR of the wire and the software bit. */
/* oracle: qemu 7.2 */
#include "isa.h"

#define PRIORITY(n) (PLIC + 4 * (n))
#define PENDING (PLIC + 0x1000)
#define ENABLE(context) (PLIC + 0x2000 + 0x80 * (context))
#define THRESHOLD(context) (PLIC + 0x200000 + 0x1000 * (context))
#define CLAIM(context) (THRESHOLD(context) + 4)
#define M 0
#define S 1
#define BIT (1 << UART_IRQ)

	.macro write32 address, value
	li t5, \address
	li t6, \value
	sw t6, 0(t5)
	.endm
	/* QEMU looks at an enable bit only when something else changes. */
	.macro enable context, value
	write32 ENABLE(\context), \value
#if ORACLE
	li t5, THRESHOLD(\context)
	lw t6, 0(t5)
	sw t6, 0(t5)
#endif
	.endm
	.macro check32 line, address, want
	li t5, \address
	lw a0, 0(t5)
	isa_check \line, a0, \want
	.endm
#define CHECK32(address, want) check32 __LINE__, address, want
	.macro uart_ier value
	li t5, UART
	li t6, \value
	sb t6, 1(t5)
	.endm

ISA_BEGIN
	li a0, CLINT_MTIMECMP
	li a1, -1
	sd a1, 0(a0)
	CHECK_CSR(mip, 0xa00, 0)
	/* Registers keep what is written. */
	write32 PRIORITY(UART_IRQ), 1
	CHECK32(PRIORITY(UART_IRQ), 1)
	enable M, BIT
	CHECK32(ENABLE(M), BIT)
	CHECK32(ENABLE(S), 0)
	write32 THRESHOLD(S), 3
	CHECK32(THRESHOLD(S), 3)
	write32 THRESHOLD(S), 0
	CHECK32(CLAIM(M), 0) /* nothing pending */

	uart_ier 2 /* the transmitter is empty: an interrupt at once */
	CHECK32(PENDING, BIT)
	CHECK_CSR(mip, 0xa00, 1 << IRQ_MEI)
	/* Priority 0 and the threshold keep it away. */
	write32 PRIORITY(UART_IRQ), 0
	CHECK_CSR(mip, 0xa00, 0)
	write32 PRIORITY(UART_IRQ), 2
	CHECK_CSR(mip, 0xa00, 1 << IRQ_MEI)
	write32 THRESHOLD(M), 2
	CHECK_CSR(mip, 0xa00, 0)
	write32 THRESHOLD(M), 1
	CHECK_CSR(mip, 0xa00, 1 << IRQ_MEI)
	/* The other context has its own enables. */
	enable S, BIT
	CHECK_CSR(mip, 0xa00, 1 << IRQ_MEI | 1 << IRQ_SEI)
	enable M, 0
	CHECK_CSR(mip, 0xa00, 1 << IRQ_SEI)
	enable M, BIT

	/* The interrupt in M-mode; it outranks the rest. */
	li a0, 0xfff
	csrw mie, a0
	la s11, 2f
#if ORACLE == 0 /* QEMU without AIA takes the lowest number */
	li a0, CLINT_MSIP
	li a1, 1
	sw a1, 0(a0)
#else
	li a0, 1 << IRQ_MEI
	csrw mie, a0
#endif
	csrsi mstatus, MSTATUS_MIE
1:	j 1b
	.balign 4
2:	li s11, 0
	TRAP_IS(CAUSE_IRQ(IRQ_MEI))
	li a0, CLINT_MSIP
	sw zero, 0(a0)
	csrw mie, zero

	/* Claim: the number, once; the gateway stays shut until complete. */
	CHECK32(CLAIM(M), UART_IRQ)
	CHECK_CSR(mip, 0xa00, 0)
	CHECK32(CLAIM(M), 0)
	CHECK32(CLAIM(S), 0)
	uart_ier 0
	write32 CLAIM(M), UART_IRQ
	CHECK_CSR(mip, 0xa00, 0)
	CHECK32(CLAIM(M), 0)

	/* S-mode's, delegated. */
	enable M, 0
	uart_ier 2
	CHECK_CSR(mip, 0xa00, 1 << IRQ_SEI)
	li a0, 1 << IRQ_SEI
	csrw mideleg, a0
	csrw mie, a0
	la a0, s_trap
	csrw stvec, a0
	RUN_U(do_loop)
	TRAP_IS(CAUSE_ECALL_S)
	TRAP_AT(s_trap)
	CHECK_CSR(scause, -1, CAUSE_IRQ(IRQ_SEI))
	CHECK_CSR(sip, 1 << IRQ_SEI, 1 << IRQ_SEI)
	/* The wire stays when the software bit goes; a CSRRS of another bit does not make the wire a software bit. */
	li a0, 1 << IRQ_SEI
	csrc mip, a0
	CHECK_CSR(mip, 0xa00, 1 << IRQ_SEI)
	csrsi mip, 1 << IRQ_SSI
	CHECK32(CLAIM(S), UART_IRQ)
	CHECK_CSR(mip, 0xa02, 1 << IRQ_SSI)
	li a0, 1 << IRQ_SEI
	csrs mip, a0
	CHECK_CSR(mip, 0xa00, 1 << IRQ_SEI)
	uart_ier 0
	write32 CLAIM(S), UART_IRQ
	CHECK_CSR(mip, 0xa00, 1 << IRQ_SEI)
	csrw mip, zero
	CHECK_CSR(mip, 0xa00, 0)
	CHECK32(CLAIM(S), 0)
	/* Completing a source that is not enabled for the context, or does not exist, does nothing. */
	write32 CLAIM(S), 1000
	write32 CLAIM(S), 0
	ISA_END

	.balign 4
do_loop:
	j do_loop
s_trap:
	ecall
