/* SPDX-License-Identifier: Apache-2.0 */
/* Zicbom, Zicboz and Zicbop with blocks of 64 bytes: effect, enables in menvcfg and senvcfg, faults. */
/* oracle: qemu 8.0 */
#define LEVELS 3
#include "isa.h"
#include "paging.h"

	/* For each way the enables can stand, whether `what` runs in S and in U. */
	.macro gates line, what, bits
	.irp m, 0, \bits
	.irp s, 0, \bits
	li a0, \m
	csrw CSR_MENVCFG, a0
	li a0, \s
	csrw CSR_SENVCFG, a0
	la a1, block
	.if \m
	isa_run_ok \line, MODE_S, \what, CAUSE_ECALL_S
	.else
	isa_run_traps \line, MODE_S, \what, CAUSE_ILLEGAL
	.endif
	.if (\m) && (\s)
	isa_run_ok \line, MODE_U, \what, CAUSE_ECALL_U
	.else
	isa_run_traps \line, MODE_U, \what, CAUSE_ILLEGAL
	.endif
	.endr
	.endr
	.endm

ISA_BEGIN
	/* cbo.zero zeroes the whole block that holds the address, and nothing else. */
	la s0, block - 8
	li a0, -1
	.irp n, 0, 8, 16, 24, 32, 40, 48, 56, 64, 72
	sd a0, \n(s0)
	.endr
	la a1, block + 37
	cbo.zero (a1)
	ld a0, 0(s0)
	CHECK(a0, -1)
	.irp n, 8, 16, 24, 32, 40, 48, 56, 64
	ld a0, \n(s0)
	CHECK(a0, 0)
	.endr
	ld a0, 72(s0)
	CHECK(a0, -1)
	/* The others leave the data. */
	li a0, 0x1234
	la a1, block
	sd a0, 0(a1)
	cbo.clean (a1)
	cbo.flush (a1)
	cbo.inval (a1)
	prefetch.i 0(a1)
	prefetch.r 32(a1)
	prefetch.w 2016(a1)
	ld a0, 0(a1)
	CHECK(a0, 0x1234)
	/* A prefetch is a hint: it never faults. */
	prefetch.i 0(zero)
	prefetch.r 0(zero)
	prefetch.w 0(zero)

	gates __LINE__, do_zero, MENVCFG_CBZE
	gates __LINE__, do_clean, MENVCFG_CBCFE
	gates __LINE__, do_flush, MENVCFG_CBCFE
	gates __LINE__, do_inval, 0x10 /* CBIE = 1: as a flush */
	gates __LINE__, do_inval, 0x30

	/* Faults are a store's; of no memory: an access fault. The address reported is the one given. */
	li a1, 0x20
	TRAPS(CAUSE_STORE_ACCESS, cbo.zero 0(a1))
#if ORACLE == 0 /* QEMU reports the block */
	TRAP_TVAL(a1)
#endif
	/* Page faults: cbo.zero needs W; the management operations take any right to the page. */
	PAGING_ON
	li a0, MENVCFG_CBZE | MENVCFG_CBCFE | 0x30
	csrw CSR_MENVCFG, a0
	li a1, TEST + 0x48
	.irp what, do_zero, do_clean, do_flush, do_inval
	RUN_S_TRAPS(\what, CAUSE_STORE_PAGE)
#if ORACLE == 0
	TRAP_TVAL(a1)
#endif
	.endr
	pte_set leaf, page, PTE_V | PTE_R | PTE_A
	sfence.vma
	RUN_S_TRAPS(do_zero, CAUSE_STORE_PAGE)
	RUN_S_OK(do_clean)
	RUN_S_OK(do_flush)
	RUN_S_OK(do_inval)
	pte_set leaf, page, PTE_V | PTE_R | PTE_W | PTE_A | PTE_D
	sfence.vma
	la a2, page
	li a0, -1
	sd a0, 0x40(a2)
	RUN_S_OK(do_zero)
	ld a0, 0x40(a2)
	CHECK(a0, 0)
	/* The reserved neighbours. */
	ILLEGAL(.4byte 0x0035a00f) /* function 3 */
	ILLEGAL(.4byte 0x0055a00f)
	ISA_END

	.balign 4
do_zero:
	cbo.zero (a1)
	ecall
do_clean:
	cbo.clean (a1)
	ecall
do_flush:
	cbo.flush (a1)
	ecall
do_inval:
	cbo.inval (a1)
	ecall

	.data
	.balign 4096
page:
	.space 4096
	.space 64
block:
	.space 128
	PAGING_TABLES
