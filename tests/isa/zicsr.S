/* SPDX-License-Identifier: Apache-2.0 */
/* Zicsr: the six instructions; which CSRs exist, and from which mode; read-only CSRs. */
/* oracle: qemu 7.2 */
#include "isa.h"

	/* A CSR that machine mode can read; lower modes get an illegal instruction unless the number says otherwise. */
	.macro exists line, csr, lowest
	li gp, \line
	li a0, 0xdead
	csrr a0, \csr
	la t5, 3f
	j 4f
	.balign 4
3:	csrr a0, \csr
	ecall
	.balign 4
4:	csrw mepc, t5
	.set mode, 0
	.rept 2
	csrw mepc, t5
	mv s1, t5
	li t6, MSTATUS_MPP
	csrc mstatus, t6
	.if mode
	li t6, 1 << 11
	csrs mstatus, t6
	.endif
	la s11, 5f
	mret
	.balign 4
5:	li s11, 0
	csrr t5, mcause
	.if mode >= \lowest
	li t6, CAUSE_ECALL_U + mode
	.else
	li t6, CAUSE_ILLEGAL
	.endif
	beq t5, t6, 6f
	j isa_fail
6:	mv t5, s1
	.set mode, mode + 1
	.endr
	.endm
#define EXISTS(csr, lowest) exists __LINE__, csr, lowest
#define READ_ONLY(csr) \
	ILLEGAL(csrw csr, a0); ILLEGAL(csrrs a0, csr, a1); ILLEGAL(csrrc a0, csr, a1); ILLEGAL(csrwi csr, 0); \
	ILLEGAL(csrsi csr, 1); csrrs a0, csr, zero; csrrc a0, csr, zero; csrrsi a0, csr, 0; csrrci a0, csr, 0

ISA_BEGIN
	li a0, 0x123456789abcdef0
	csrw mscratch, a0
	li a1, 0xff
	csrrw a2, mscratch, a1
	CHECK_SAME(a2, a0)
	csrr a2, mscratch
	CHECK(a2, 0xff)
	li a1, 0xf00
	csrrs a2, mscratch, a1
	CHECK(a2, 0xff)
	li a1, 0x0f0
	csrrc a2, mscratch, a1
	CHECK(a2, 0xfff)
	csrrwi a2, mscratch, 31
	CHECK(a2, 0xf0f)
	csrrci a2, mscratch, 5
	CHECK(a2, 31)
	csrrsi a2, mscratch, 1
	CHECK(a2, 26)
	csrrs a2, mscratch, zero
	CHECK(a2, 27)
	csrrw zero, mscratch, a0
	csrrc a2, mscratch, zero
	CHECK_SAME(a2, a0)
	csrrw a0, mscratch, a0 /* rd == rs1: the old value comes back, the old register goes in */
	CHECK(a0, 0x123456789abcdef0)
	li a1, 5
	csrrw a1, mscratch, a1
	CHECK_SAME(a1, a0)
	csrr a1, mscratch
	CHECK(a1, 5)
	csrwi mscratch, 0
	mv a1, zero
	CHECK(a1, 0)

	/* U-mode's */
	EXISTS(cycle, 0)
	EXISTS(time, 0)
	EXISTS(instret, 0)
	EXISTS(fcsr, 0)
	EXISTS(frm, 0)
	EXISTS(fflags, 0)
	/* S-mode's */
	EXISTS(sstatus, 1)
	EXISTS(sie, 1)
	EXISTS(stvec, 1)
	EXISTS(scounteren, 1)
	EXISTS(CSR_SENVCFG, 1)
	EXISTS(sscratch, 1)
	EXISTS(sepc, 1)
	EXISTS(scause, 1)
	EXISTS(stval, 1)
	EXISTS(sip, 1)
	EXISTS(satp, 1)
	/* M-mode's */
	EXISTS(mvendorid, 3)
	EXISTS(marchid, 3)
	EXISTS(mimpid, 3)
	EXISTS(mhartid, 3)
	EXISTS(0xf15, 3) /* mconfigptr */
	EXISTS(mstatus, 3)
	EXISTS(misa, 3)
	EXISTS(medeleg, 3)
	EXISTS(mideleg, 3)
	EXISTS(mie, 3)
	EXISTS(mtvec, 3)
	EXISTS(mcounteren, 3)
	EXISTS(CSR_MENVCFG, 3)
	EXISTS(mscratch, 3)
	EXISTS(mepc, 3)
	EXISTS(mcause, 3)
	EXISTS(mtval, 3)
	EXISTS(mip, 3)
	EXISTS(mcountinhibit, 3)
	EXISTS(mcycle, 3)
	EXISTS(minstret, 3)
	EXISTS(mhpmcounter3, 3)
	EXISTS(mhpmcounter31, 3)
	EXISTS(mhpmevent3, 3)
	EXISTS(mhpmevent31, 3)
	EXISTS(pmpcfg0, 3)
	EXISTS(pmpcfg2, 3)
	EXISTS(pmpaddr0, 3)
	EXISTS(pmpaddr15, 3)

	/* hpmcounters: from U only with the enable bits. */
	csrr s4, mcounteren
	csrr s5, scounteren
	li a0, -1
	csrw mcounteren, a0
	csrw scounteren, a0
	csrr a0, hpmcounter3
	csrr a0, hpmcounter31
	csrw mcounteren, s4
	csrw scounteren, s5

	li a1, ORACLE == 7 /* a register of value 0 still writes; QEMU 7.2 lets it pass */
	READ_ONLY(mvendorid)
	READ_ONLY(marchid)
	READ_ONLY(mimpid)
	READ_ONLY(mhartid)
	READ_ONLY(0xf15)
	READ_ONLY(cycle)
	READ_ONLY(time)
	READ_ONLY(instret)
	READ_ONLY(hpmcounter3)
	CHECK_CSR(mhartid, -1, 0)

#if !ORACLE /* QEMU has triggers */
	/* There is no trigger, and software may find that out. */
	csrw tselect, zero
	csrr a0, tselect
	CHECK(a0, 0)
	csrr a0, tdata1
	CHECK(a0, 0)
#endif

	/* What RV64 without the hypervisor extension has not. */
	ILLEGAL(csrr a0, 0xc80) /* cycleh */
	ILLEGAL(csrr a0, 0xb80) /* mcycleh */
	ILLEGAL(csrr a0, 0x310) /* mstatush */
	ILLEGAL(csrr a0, 0x31a) /* menvcfgh */
	ILLEGAL(csrr a0, 0x3a1) /* pmpcfg1 */
	ILLEGAL(csrr a0, 0x3a3) /* pmpcfg3 */
	ILLEGAL(csrr a0, 0x15d) /* stimecmph */
	ILLEGAL(csrr a0, 0x600) /* hstatus */
	ILLEGAL(csrr a0, 0x680) /* hgatp */
	ILLEGAL(csrr a0, 0x200) /* vsstatus */
	ILLEGAL(csrr a0, 0x7b0) /* dcsr, outside debug mode */
	ILLEGAL(csrr a0, 0x7b1) /* dpc */
	ILLEGAL(csrr a0, 0x008) /* vstart */
	ILLEGAL(csrr a0, 0xc20) /* vl */
	ILLEGAL(csrr a0, 0xfff)
	ILLEGAL(csrr a0, 0xcff)
	ILLEGAL(csrr a0, 0x5c0)
	ILLEGAL(csrr a0, 0x9c0)
	ILLEGAL(csrr a0, 0x800)
	ILLEGAL(csrr a0, 0x343 + 0x10)
	ILLEGAL(.4byte 0x34054573) /* function 4 of SYSTEM */
	/* An illegal access changes neither rd nor the CSR. */
	li a0, 7
	li a1, -1
	csrr s0, mhartid
	ILLEGAL(csrrw a0, mhartid, a1)
	CHECK(a0, 7)
	csrr s1, mhartid
	CHECK_SAME(s1, s0)
	ISA_END
