/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts: software and timer by the CLINT, stimecmp (Sstc), delegation, priority, vectors, enables, wfi. */
/* oracle: qemu 7.2 */
#include "isa.h"

#define ALL_S (1 << IRQ_SSI | 1 << IRQ_STI | 1 << IRQ_SEI)

	/* M-mode opens its interrupts and waits: the interrupt n comes. */
	.macro expect_m line, n
	li gp, \line
	la s11, 2f
	csrsi mstatus, MSTATUS_MIE
1:	wfi
	j 1b
	.balign 4
2:	li s11, 0
	isa_check_csr \line, mcause, -1, CAUSE_IRQ(\n)
	isa_check_csr \line, mtval, -1, 0
	isa_check_csr \line, mstatus, MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP, MSTATUS_MPIE | MSTATUS_MPP
	.endm
#define EXPECT_M(n) expect_m __LINE__, n
	/* The interrupt n comes to S-mode, whose handler calls M: from the vector of n, with scause. */
	.macro expect_s line, mode, label, n
	csrw scause, zero
	isa_run \mode, \label
	isa_check_csr \line, mcause, -1, CAUSE_ECALL_S
	isa_check_csr_at \line, mepc, s_vectors + 4 * \n
	isa_check_csr \line, scause, -1, CAUSE_IRQ(\n)
	isa_check_csr \line, stval, -1, 0
	.endm
#define EXPECT_S(mode, label, n) expect_s __LINE__, mode, label, n

	.macro timer value
	li t5, CLINT_MTIMECMP
	li t6, \value
	sd t6, 0(t5)
	.endm
	.macro software value
	li t5, CLINT_MSIP
	li t6, \value
	sw t6, 0(t5)
	.endm

ISA_BEGIN
	timer -1
	software 0
	la a0, s_vectors + 1
	csrw stvec, a0
	CHECK_CSR(mip, 0xfff, 0)

	/* ---- the CLINT's software interrupt ---- */
	software 1
	CHECK_CSR(mip, 0xfff, 1 << IRQ_MSI)
	li a0, CLINT_MSIP
	lw a0, 0(a0)
	CHECK(a0, 1)
	csrsi mstatus, MSTATUS_MIE /* not enabled in mie: nothing */
	nop
	csrci mstatus, MSTATUS_MIE
	li a0, 1 << IRQ_MSI
	csrw mie, a0 /* not enabled in mstatus: nothing in M-mode */
	nop
	EXPECT_M(IRQ_MSI)
	/* Lower modes are interrupted whatever MIE says. */
	RUN_U(do_loop)
	TRAP_IS(CAUSE_IRQ(IRQ_MSI))
	TRAP_AT(do_loop)
	TRAP_FROM(MODE_U)
	RUN_S(do_loop)
	TRAP_IS(CAUSE_IRQ(IRQ_MSI))
	TRAP_FROM(MODE_S)
	li a0, 0xfe /* only bit 0 is there */
	li a1, CLINT_MSIP
	sw a0, 0(a1)
	lw a0, 0(a1)
	CHECK(a0, 0)
	CHECK_CSR(mip, 0xfff, 0)

	/* ---- the CLINT's timer ---- */
	timer 0
	CHECK_CSR(mip, 0xfff, 1 << IRQ_MTI)
	timer -1
	CHECK_CSR(mip, 0xfff, 0)
	li a0, 1 << IRQ_MTI
	csrw mie, a0
	/* In a little while: wfi sleeps until then, and time has passed it. */
	csrr s0, time
	li a0, 20000 /* 2 ms */
	add s0, s0, a0
	li a1, CLINT_MTIMECMP
	sd s0, 0(a1)
	ld a0, 0(a1)
	CHECK_SAME(a0, s0)
	EXPECT_M(IRQ_MTI)
	csrr a0, time
	sltu a0, a0, s0
	CHECK(a0, 0)
	li a1, CLINT_MTIME
	ld a1, 0(a1)
	sltu a1, a1, s0
	CHECK(a1, 0)
	/* The same out of S-mode, in a loop without wfi. */
	csrr s0, time
	li a0, 20000
	add s0, s0, a0
	li a1, CLINT_MTIMECMP
	sd s0, 0(a1)
	RUN_S(do_loop)
	TRAP_IS(CAUSE_IRQ(IRQ_MTI))
	timer -1

	/* ---- S-mode's interrupts, not delegated: they come to M-mode ---- */
	li a0, ALL_S
	csrw mie, a0
	.irp n, IRQ_SSI, IRQ_STI, IRQ_SEI
	li a0, 1 << \n
	csrw mip, a0
	expect_m __LINE__, \n
	RUN_S(do_loop)
	TRAP_IS(CAUSE_IRQ(\n))
	csrw mip, zero
	.endr

	/* ---- delegated: never to M-mode; to S-mode with SIE, to U-mode always ---- */
	li a0, ALL_S
	csrw mideleg, a0
	csrw mie, a0
	.irp n, IRQ_SSI, IRQ_STI, IRQ_SEI
	li a0, 1 << \n
	csrw mip, a0
	csrsi mstatus, MSTATUS_MIE
	nop
	csrci mstatus, MSTATUS_MIE
	csrci mstatus, MSTATUS_SIE
	isa_run_ok __LINE__, MODE_S, do_nops, CAUSE_ECALL_S
	isa_check_csr_at __LINE__, mepc, do_nops_end
	csrsi mstatus, MSTATUS_SIE
	expect_s __LINE__, MODE_S, do_nops, \n
	isa_check_csr_at __LINE__, sepc, do_nops
	CHECK_CSR(sstatus, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP, MSTATUS_SPIE | MSTATUS_SPP)
	expect_s __LINE__, MODE_U, do_nops, \n
	CHECK_CSR(sstatus, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP, 0)
	csrw mip, zero
	.endr
	/* Taken at once when the enabling instruction is done: sie, sip, sstatus written in S-mode. */
	csrw mie, zero
	li a0, 1 << IRQ_SSI
	csrw mip, a0
	csrsi mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_enable_sie, IRQ_SSI)
	isa_check_csr_at __LINE__, sepc, do_enable_sie_next
	csrci mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_enable_sstatus, IRQ_SSI)
	isa_check_csr_at __LINE__, sepc, do_enable_sstatus_next
	csrw mip, zero
	csrsi mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_raise_sip, IRQ_SSI)
	isa_check_csr_at __LINE__, sepc, do_raise_sip_next
	csrw mip, zero
	/* sret that enables. */
	li a0, 1 << IRQ_SSI
	csrw mip, a0
	li a0, MSTATUS_SPP | MSTATUS_SPIE
	csrs mstatus, a0
	csrci mstatus, MSTATUS_SIE
	la a0, do_nops
	csrw sepc, a0
	EXPECT_S(MODE_S, do_sret, IRQ_SSI)
	isa_check_csr_at __LINE__, sepc, do_nops
	csrw mip, zero

	/* ---- priority: MSI, MTI, SEI, SSI, STI (MEI is in plic.S) ---- */
	csrw mideleg, zero
	csrci mstatus, MSTATUS_SIE
	li a0, 0xfff
	csrw mie, a0
	li a0, ALL_S
	csrw mip, a0
	software 1
	timer 0
#if ORACLE == 0 /* QEMU without AIA takes the lowest number */
	EXPECT_M(IRQ_MSI)
	software 0
	EXPECT_M(IRQ_MTI)
	timer -1
	EXPECT_M(IRQ_SEI)
	li a0, 1 << IRQ_SEI
	csrc mip, a0
	EXPECT_M(IRQ_SSI)
	li a0, 1 << IRQ_SSI
	csrc mip, a0
	EXPECT_M(IRQ_STI)
#endif
	software 0
	timer -1
	/* For M-mode comes before for S-mode, whatever the number. */
	li a0, ALL_S
	csrw mip, a0
	li a0, 1 << IRQ_SEI | 1 << IRQ_SSI
	csrw mideleg, a0
	csrsi mstatus, MSTATUS_SIE
	RUN_S(do_loop)
	TRAP_IS(CAUSE_IRQ(IRQ_STI))
	li a0, ALL_S
	csrw mideleg, a0
#if ORACLE == 0
	EXPECT_S(MODE_S, do_loop, IRQ_SEI)
	li a0, 1 << IRQ_SEI
	csrc mip, a0
	csrsi mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_loop, IRQ_SSI)
	li a0, 1 << IRQ_SSI
	csrc mip, a0
	csrsi mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_loop, IRQ_STI)
#endif
	csrw mip, zero

	/* ---- Sstc ---- */
	li a0, 1 << IRQ_STI
	csrw mie, a0
	li a0, -1
	csrw CSR_STIMECMP, a0
	csrci mstatus, MSTATUS_SIE
	RUN_S_TRAPS(do_stimecmp, CAUSE_ILLEGAL) /* STCE is 0 */
	li a0, MENVCFG_STCE
	csrs CSR_MENVCFG, a0
	CHECK_CSR(mip, 1 << IRQ_STI, 0)
	RUN_S_OK(do_stimecmp)
	RUN_U_TRAPS(do_stimecmp, CAUSE_ILLEGAL)
	csrci mcounteren, 2
	RUN_S_TRAPS(do_stimecmp, CAUSE_ILLEGAL)
	csrsi mcounteren, 2
	/* STIP is the comparison and nothing else. */
	li a0, 1 << IRQ_STI
	csrs mip, a0
	CHECK_CSR(mip, 1 << IRQ_STI, 0)
	csrw CSR_STIMECMP, zero
	CHECK_CSR(mip, 1 << IRQ_STI, 1 << IRQ_STI)
#if ORACLE < 8 /* QEMU 10 shows mip.STIP and hides sip.STIP */
	CHECK_CSR(sip, 1 << IRQ_STI, 1 << IRQ_STI)
#endif
	li a0, 1 << IRQ_STI
	csrc mip, a0
	CHECK_CSR(mip, 1 << IRQ_STI, 1 << IRQ_STI)
	csrsi mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_loop, IRQ_STI)
	li a0, -1
	csrw CSR_STIMECMP, a0
	CHECK_CSR(mip, 1 << IRQ_STI, 0)
	csrr s0, time
	li a0, 20000
	add s0, s0, a0
	csrw CSR_STIMECMP, s0
	csrr a0, CSR_STIMECMP
	CHECK_SAME(a0, s0)
	csrsi mstatus, MSTATUS_SIE
	EXPECT_S(MODE_S, do_wait, IRQ_STI)
	csrr a0, time
	sltu a0, a0, s0
	CHECK(a0, 0)
	/* Without STCE the bit is M-mode's again. */
	li a0, -1
	csrw CSR_STIMECMP, a0
	li a0, MENVCFG_STCE
	csrc CSR_MENVCFG, a0
	li a0, 1 << IRQ_STI
	csrs mip, a0
	CHECK_CSR(mip, 1 << IRQ_STI, 1 << IRQ_STI)
	csrw mip, zero
	CHECK_CSR(mip, 1 << IRQ_STI, 0)

	/* ---- vectored mtvec ---- */
	csrw mideleg, zero
	la a0, m_vectors + 1
	csrw mtvec, a0
	li a0, 0xfff
	csrw mie, a0
	.irp n, IRQ_SSI, IRQ_STI, IRQ_SEI
	li a0, 1 << \n
	csrw mip, a0
	li s0, 0
	expect_m __LINE__, \n
	CHECK(s0, \n)
	csrw mip, zero
	.endr
	software 1
	EXPECT_M(IRQ_MSI)
	CHECK(s0, IRQ_MSI)
	software 0
	timer 0
	EXPECT_M(IRQ_MTI)
	CHECK(s0, IRQ_MTI)
	timer -1
	TRAPS(CAUSE_ECALL_M, ecall)
	CHECK(s0, 0)
	la a0, isa_trap
	csrw mtvec, a0

	/* ---- wfi wakes for an enabled interrupt that cannot be taken ---- */
	csrci mstatus, MSTATUS_MIE
	li a0, 1 << IRQ_MTI
	csrw mie, a0
	csrr s0, time
	li a0, 20000
	add s0, s0, a0
	li a1, CLINT_MTIMECMP
	sd s0, 0(a1)
1:	wfi /* may also end early */
	csrr a0, time
	bltu a0, s0, 1b
	CHECK_CSR(mip, 1 << IRQ_MTI, 1 << IRQ_MTI)
	timer -1
	ISA_END

	.balign 4
do_loop:
	j do_loop
do_wait:
	wfi
	j do_wait
do_nops:
	nop
	nop
do_nops_end:
	ecall
do_sret:
	sret
do_enable_sie:
	csrsi sie, 1 << IRQ_SSI
do_enable_sie_next:
	ecall
do_enable_sstatus:
	csrsi sstatus, MSTATUS_SIE
do_enable_sstatus_next:
	ecall
do_raise_sip:
	csrsi sip, 1 << IRQ_SSI
do_raise_sip_next:
	ecall
do_stimecmp:
	csrr a0, CSR_STIMECMP
	ecall
	.balign 256
s_vectors:
	.rept 16
	ecall
	.endr
m_vectors:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	j m_vector_\n
	.endr
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
m_vector_\n:
	li s0, \n
	j isa_trap
	.endr
