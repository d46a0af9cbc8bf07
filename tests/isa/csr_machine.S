/* SPDX-License-Identifier: Apache-2.0 */
/* What M-mode's CSRs keep of what is written (WARL, WPRI), and how the S-mode views show it. */
/* oracle: qemu 10.0 (older ones keep reserved values in some fields) */
#include "isa.h"

	/* Writes `write`, expects (read & mask) == want, and puts the old value back. */
	.macro keeps line, csr, mask, write, want
	li gp, \line
	csrr s0, \csr
	li a0, \write
	csrw \csr, a0
	csrr a1, \csr
	csrw \csr, s0
	li a2, \mask
	and a1, a1, a2
	isa_check \line, a1, \want
	.endm
#define KEEPS(csr, mask, write, want) keeps __LINE__, csr, mask, write, want
	.macro keeps_all line, csr
	keeps \line, \csr, -1, 0, 0
	keeps \line, \csr, -1, -1, -1
	keeps \line, \csr, -1, 0x123456789abcdef0, 0x123456789abcdef0
	.endm

	/* QEMU keeps the hypervisor extension's interrupts in the delegation registers even without it. */
#if ORACLE
#define INTERRUPTS 0xbbb
#else
#define INTERRUPTS 0xfff
#endif
#define MISA_LETTERS (1 << ('A' - 'A') | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 12 | 1 << 18 | 1 << 20)

ISA_BEGIN
	/* misa: RV64 IMAFDC, S and U; no H, no E, no V. The letter B may be there. */
	CHECK_CSR(misa, ~(1 << 1), 1 << 63 | MISA_LETTERS)

	keeps_all __LINE__, mscratch
	keeps_all __LINE__, sscratch
	KEEPS(mtval, -1, 0x123456789abcdef0, 0x123456789abcdef0)
	KEEPS(stval, -1, 0x123456789abcdef0, 0x123456789abcdef0)
	/* xepc: bit 0 is always 0; bit 1 holds with C. */
	KEEPS(mepc, -1, 0x80000002, 0x80000002)
	KEEPS(sepc, -1, 0x80000006, 0x80000006)
#if !ORACLE /* QEMU masks when it returns, not when it is written */
	KEEPS(mepc, -1, 0x80000003, 0x80000002)
	KEEPS(sepc, -1, 0x80000003, 0x80000002)
#endif
	/* xcause holds at least every cause that exists. */
	KEEPS(mcause, -1, 15, 15)
	KEEPS(mcause, -1, 0x800000000000000b, 0x800000000000000b)
	KEEPS(scause, -1, 0x8000000000000009, 0x8000000000000009)
	/* xtvec: direct and vectored. */
	KEEPS(mtvec, -1, 0x80001000, 0x80001000)
	KEEPS(mtvec, -1, 0x80001001, 0x80001001)
	KEEPS(mtvec, 2, 0x80001002, 0)
	KEEPS(stvec, -1, 0x80001000, 0x80001000)
	KEEPS(stvec, -1, 0x80001001, 0x80001001)
	KEEPS(stvec, 2, 0x80001003, 0)

	/* mstatus: every field of the machine can be set and cleared; the rest reads 0. SXL and UXL say 64 bits. */
#define MSTATUS_BITS (MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_MPP | MSTATUS_FS | \
		      MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR)
	KEEPS(mstatus, -1, 0, 0xa00000000)
	KEEPS(mstatus, ~MSTATUS_MIE & ~MSTATUS_SIE, MSTATUS_BITS & ~MSTATUS_MIE & ~MSTATUS_SIE, \
		0x8000000a00000000 | (MSTATUS_BITS & ~MSTATUS_MIE & ~MSTATUS_SIE))
	KEEPS(mstatus, -1, MSTATUS_MIE, 0xa00000008)
	KEEPS(mstatus, -1, MSTATUS_SIE, 0xa00000002)
	KEEPS(mstatus, -1, MSTATUS_SPIE, 0xa00000020)
	KEEPS(mstatus, -1, MSTATUS_MPIE, 0xa00000080)
	KEEPS(mstatus, -1, MSTATUS_SPP, 0xa00000100)
	KEEPS(mstatus, -1, MSTATUS_SUM, 0xa00040000)
	KEEPS(mstatus, -1, MSTATUS_MXR, 0xa00080000)
	KEEPS(mstatus, -1, MSTATUS_TVM, 0xa00100000)
	KEEPS(mstatus, -1, MSTATUS_TW, 0xa00200000)
	KEEPS(mstatus, -1, MSTATUS_TSR, 0xa00400000)
	KEEPS(mstatus, -1, 0x800, 0xa00000800)
	KEEPS(mstatus, 1 << 36 | 1 << 37, -1 & ~MSTATUS_MIE, 0) /* SBE and MBE: little-endian only */
	KEEPS(mstatus, 1 << 6 | 1 << 4 | 1 << 2 | 1, -1 & ~MSTATUS_MIE, 0) /* UBE and the WPRI below */
	/* MPP has no mode 2: it stays at a mode that exists. */
	li a0, MSTATUS_MPP
	csrc mstatus, a0
	li a0, 2 << 11
	csrs mstatus, a0
	csrr a1, mstatus
	li a0, MSTATUS_MPP
	and a1, a1, a0
	addi a1, a1, -2048
	addi a1, a1, -2048
	CHECK_TRUE(a1)

	/* sstatus is mstatus through a mask. */
	csrr s2, mstatus
	KEEPS(sstatus, -1, 0, 0x200000000)
	li a0, MSTATUS_BITS & ~MSTATUS_MIE & ~MSTATUS_SIE
	csrs mstatus, a0
	csrr a1, sstatus
	li a2, 0x8000000200000000 | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR
	CHECK_SAME(a1, a2)
	csrw sstatus, zero
	csrr a1, mstatus
	li a2, 0xa00000000 | MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR
	CHECK_SAME(a1, a2)
	csrw mstatus, s2

	/* Delegation: an ecall from M cannot be; the M-level interrupts cannot be. */
	KEEPS(medeleg, 0xbbff, 0xffff, 0xb3ff)
	KEEPS(mideleg, INTERRUPTS, 0x222, 0x222)
	KEEPS(mideleg, INTERRUPTS, 0xfff, 0x222)
	KEEPS(mideleg, INTERRUPTS, 0, 0)
	/* Interrupt enables: six bits in mie; sie shows the delegated ones. */
	KEEPS(mie, INTERRUPTS, -1, 0xaaa)
	KEEPS(mie, 0x555, -1, 0)
	csrw mideleg, zero
	li a0, -1
	csrw mie, a0
	CHECK_CSR(sie, -1, 0)
	csrw sie, a0
	li a0, 0x222
	csrw mideleg, a0
	CHECK_CSR(sie, 0xfff, 0x222)
	csrw sie, zero
	CHECK_CSR(mie, 0xfff, 0x888)
	li a0, 0x22
	csrw mideleg, a0
	li a0, -1
	csrw sie, a0
	CHECK_CSR(mie, 0xfff, 0x8aa)
	csrw mie, zero

	li a0, CLINT_MTIMECMP /* no timer interrupt in between */
	li a1, -1
	sd a1, 0(a0)
	/* Pending bits: M may write SSIP, STIP (without Sstc's STCE) and SEIP; the M-level ones are wires. */
	KEEPS(mip, INTERRUPTS, -1, 0x222)
	KEEPS(mip, INTERRUPTS, 0, 0)
	csrw mideleg, zero
	li a0, 0x222
	csrw mip, a0
	CHECK_CSR(sip, -1, 0)
	csrw mideleg, a0
	CHECK_CSR(sip, 0xfff, 0x222)
	csrw sip, zero /* S may clear SSIP alone */
	CHECK_CSR(mip, 0xfff, 0x220)
	li a0, 2
	csrs sip, a0
	CHECK_CSR(mip, 0xfff, 0x222)
	csrw mideleg, zero
	csrw sip, zero /* not delegated: sip.SSIP is read-only zero */
	CHECK_CSR(mip, 0xfff, 0x222)
	csrw mip, zero

	/* satp: a write with a mode that does not exist has no effect at all. */
	li a0, 8 << 60 | 0x80001
	csrw satp, a0
	CHECK_CSR(satp, 0xf00fffffffffffff, 8 << 60 | 0x80001)
	.irp mode, 1, 7, 11, 15
	li a0, \mode << 60 | 0x12345
	csrw satp, a0
	CHECK_CSR(satp, 0xf00fffffffffffff, 8 << 60 | 0x80001)
	.endr
	li a0, 9 << 60 | 0x80002
	csrw satp, a0
	CHECK_CSR(satp, 0xf00fffffffffffff, 9 << 60 | 0x80002)
	li a0, 10 << 60 | 0x80003
	csrw satp, a0
	CHECK_CSR(satp, 0xf00fffffffffffff, 10 << 60 | 0x80003)
	csrw satp, zero
	CHECK_CSR(satp, -1, 0)

	/* Counter enables are 32 bits; CY, TM, IR at least. */
	KEEPS(mcounteren, -1 << 32 | 7, -1, 7)
	KEEPS(scounteren, -1 << 32 | 7, -1, 7)
	KEEPS(mcountinhibit, -1 << 32 | 7, -1, 5) /* there is no bit for time */

	/* menvcfg: FIOM, CBIE, CBCFE, CBZE, ADUE, PBMTE, STCE. CBIE = 2 is reserved. */
	KEEPS(CSR_MENVCFG, 0xf0000000000000ff, MENVCFG_STCE | MENVCFG_PBMTE | MENVCFG_ADUE | MENVCFG_CBZE | MENVCFG_CBCFE | \
		MENVCFG_CBIE | 1, MENVCFG_STCE | MENVCFG_PBMTE | MENVCFG_ADUE | MENVCFG_CBZE | MENVCFG_CBCFE | MENVCFG_CBIE | 1)
	KEEPS(CSR_MENVCFG, -1, 0, 0)
	KEEPS(CSR_SENVCFG, 0xf0000000000000ff, MENVCFG_CBZE | MENVCFG_CBCFE | MENVCFG_CBIE | 1, \
		MENVCFG_CBZE | MENVCFG_CBCFE | MENVCFG_CBIE | 1)
	KEEPS(CSR_SENVCFG, MENVCFG_STCE | MENVCFG_PBMTE | MENVCFG_ADUE, -1, 0)
	ISA_END
