/* SPDX-License-Identifier: Apache-2.0 */
/* Privilege: ecall, mret, sret, wfi and what TSR, TW and MPRV do to them; trap entry to M and, delegated, to S. */
/* oracle: qemu 7.2 */
#include "isa.h"

#define STACK (MSTATUS_MPIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_SIE | MSTATUS_SPP | MSTATUS_MPP)

	.macro set_status bits
	li t5, STACK | MSTATUS_MPRV | MSTATUS_TSR | MSTATUS_TW
	csrc mstatus, t5
	li t5, \bits
	csrs mstatus, t5
	.endm

ISA_BEGIN
	/* ---- ecall from each mode; trap entry: MPP, MPIE <- MIE, MIE <- 0 ---- */
	RUN_U_TRAPS(do_ecall, CAUSE_ECALL_U)
	CHECK_CSR(mtval, -1, 0)
	RUN_S_TRAPS(do_ecall, CAUSE_ECALL_S)
	TRAPS(CAUSE_ECALL_M, ecall)
	TRAP_FROM(MODE_M)
	RUN_U_TRAPS(do_ebreak, CAUSE_BREAKPOINT)
	RUN_S_TRAPS(do_ebreak, CAUSE_BREAKPOINT)
	set_status MSTATUS_MIE
	TRAPS(CAUSE_ECALL_M, ecall)
	CHECK_CSR(mstatus, MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP, MSTATUS_MPIE | MSTATUS_MPP)
	set_status MSTATUS_MPIE
	TRAPS(CAUSE_ECALL_M, ecall)
	CHECK_CSR(mstatus, MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP, MSTATUS_MPP)

	/* ---- mret: MIE <- MPIE, MPIE <- 1, MPP <- U; MPRV cleared when it leaves M ---- */
	.macro try_mret line, status, after
	set_status \status
	la t5, 1f
	csrw mepc, t5
	mret
1:	isa_check_csr \line, mstatus, STACK | MSTATUS_MPRV, \after
	.endm
	try_mret __LINE__, MSTATUS_MPP, MSTATUS_MPIE
	try_mret __LINE__, MSTATUS_MPP | MSTATUS_SPIE | MSTATUS_SPP, MSTATUS_MPIE | MSTATUS_SPIE | MSTATUS_SPP
	try_mret __LINE__, MSTATUS_MPP | MSTATUS_MPRV, MSTATUS_MPIE | MSTATUS_MPRV
	csrw mie, zero
	try_mret __LINE__, MSTATUS_MPP | MSTATUS_MPIE, MSTATUS_MPIE | MSTATUS_MIE
	set_status 0
	RUN_U_TRAPS(do_mret, CAUSE_ILLEGAL)
	RUN_S_TRAPS(do_mret, CAUSE_ILLEGAL)
#if ORACLE != 7 /* it keeps MPRV */
	set_status MSTATUS_MPRV
	RUN_S_OK(do_ecall)
	CHECK_CSR(mstatus, MSTATUS_MPRV, 0)
	set_status MSTATUS_MPRV
	RUN_U_OK(do_ecall)
	CHECK_CSR(mstatus, MSTATUS_MPRV, 0)
#endif
	/* mret to an address that is 2 modulo 4. */
	la t5, do_half + 2
	isa_run_reg MODE_S, t5
	TRAP_IS(CAUSE_BREAKPOINT)

	/* ---- sret, from M and from S ---- */
	set_status MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_MPRV
	la t5, do_ecall
	csrw sepc, t5
	la s11, 1f
	sret
	.balign 4
1:	li s11, 0
	TRAP_IS(CAUSE_ECALL_S)
	TRAP_AT(do_ecall)
	CHECK_CSR(mstatus, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP, MSTATUS_SIE | MSTATUS_SPIE)
#if ORACLE != 7
	CHECK_CSR(mstatus, MSTATUS_MPRV, 0)
#endif
	set_status MSTATUS_SIE
	la t5, do_ecall
	csrw sepc, t5
	RUN_S(do_sret)
	TRAP_IS(CAUSE_ECALL_U)
	TRAP_AT(do_ecall)
	CHECK_CSR(mstatus, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP, MSTATUS_SPIE)
	RUN_U_TRAPS(do_sret, CAUSE_ILLEGAL)
	set_status MSTATUS_TSR
	RUN_S_TRAPS(do_sret, CAUSE_ILLEGAL)
	la t5, 1f /* M-mode is not concerned */
	csrw sepc, t5
	la s11, 2f
	sret
1:	csrr zero, mstatus /* now in U-mode */
	.balign 4
2:	li s11, 0
	TRAP_IS(CAUSE_ILLEGAL)
	TRAP_FROM(MODE_U)
	set_status 0

	/* ---- wfi: a pending and enabled interrupt ends it whatever the global enable; TW; U-mode ---- */
	li a0, CLINT_MTIMECMP
	li a1, -1
	sd a1, 0(a0)
	li a0, 2 /* SSIP */
	csrw mip, a0
	csrw mie, a0
	wfi
	set_status 0
	li a0, 2
	csrw mideleg, a0
	RUN_S_OK(do_wfi)
	set_status MSTATUS_TW
	csrw mip, zero
	RUN_S_TRAPS(do_wfi, CAUSE_ILLEGAL)
	RUN_U_TRAPS(do_wfi, CAUSE_ILLEGAL)
	set_status 0
	RUN_U_TRAPS(do_wfi, CAUSE_ILLEGAL)
	csrw mie, zero
	csrw mideleg, zero

	/* ---- delegation: to S from S and U, never from M; M's state stays ---- */
	la a0, s_trap
	csrw stvec, a0
	li a0, 1 << CAUSE_ILLEGAL | 1 << CAUSE_BREAKPOINT | 1 << CAUSE_ECALL_U
	csrw medeleg, a0
	.irp status, 0, MSTATUS_SIE, MSTATUS_SPIE, MSTATUS_SPP
	set_status \status
	csrw scause, zero
	csrw stval, zero
	RUN_U(do_illegal)
	TRAP_IS(CAUSE_ECALL_S) /* the S handler's own */
	TRAP_AT(s_trap)
	TRAP_FROM(MODE_S)
	isa_check_csr __LINE__, scause, -1, CAUSE_ILLEGAL
	isa_check_csr_at __LINE__, sepc, do_illegal
	isa_check_csr __LINE__, stval, -1, 0xc0001073 /* csrw cycle, zero */
	CHECK_CSR(sstatus, MSTATUS_SPP | MSTATUS_SIE, 0)
	.if (\status) & MSTATUS_SIE
	CHECK_CSR(sstatus, MSTATUS_SPIE, MSTATUS_SPIE)
	.else
	CHECK_CSR(sstatus, MSTATUS_SPIE, 0)
	.endif
	.endr
	RUN_S(do_illegal)
	TRAP_AT(s_trap)
	CHECK_CSR(scause, -1, CAUSE_ILLEGAL)
	CHECK_CSR(sstatus, MSTATUS_SPP, MSTATUS_SPP)
	isa_check_csr_at __LINE__, sepc, do_illegal
	RUN_U(do_ebreak)
	TRAP_AT(s_trap)
	CHECK_CSR(scause, -1, CAUSE_BREAKPOINT)
	isa_check_csr_at __LINE__, sepc, do_ebreak
	RUN_U(do_ecall)
	TRAP_AT(s_trap)
	CHECK_CSR(scause, -1, CAUSE_ECALL_U)
	CHECK_CSR(stval, -1, 0)
	RUN_S_OK(do_ecall) /* not delegated */
	csrw scause, zero
	ILLEGAL(csrw cycle, zero)
	CHECK_CSR(scause, -1, 0)
	RUN_U_TRAPS(do_load, CAUSE_LOAD_ACCESS) /* not delegated */
	/* Exceptions go to the base of a vectored stvec and mtvec. */
	la a0, s_trap + 1
	csrw stvec, a0
	RUN_U(do_illegal)
	TRAP_AT(s_trap)
	csrsi mtvec, 1
	TRAPS(CAUSE_ECALL_M, ecall)
	csrci mtvec, 1
	/* A trap in the S handler's first instruction: the handler's own illegal instruction goes to S again. */
	la a0, do_illegal
	csrw stvec, a0
	li a0, 1 << CAUSE_BREAKPOINT
	csrw medeleg, a0
	RUN_U(do_ebreak)
	TRAP_IS(CAUSE_ILLEGAL)
	TRAP_AT(do_illegal)
	TRAP_FROM(MODE_S)
	CHECK_CSR(scause, -1, CAUSE_BREAKPOINT)
	csrw medeleg, zero

	/* ---- faults of M-mode itself: fetch from nowhere, load, store; mepc and mtval ---- */
	li a0, 0x1000000
	la s11, 1f
	jr a0
	.balign 4
1:	li s11, 0
	TRAP_IS(CAUSE_FETCH_ACCESS)
	TRAP_TVAL(a0)
	CHECK_CSR(mepc, -1, 0x1000000)
	TRAPS_AT(CAUSE_LOAD_ACCESS, a0, lb a1, 0(a0))
	TRAPS_AT(CAUSE_STORE_ACCESS, a0, sb a1, 0(a0))
	li a0, 1 << 60
	TRAPS_AT(CAUSE_LOAD_ACCESS, a0, lb a1, 0(a0))
	li a0, -8
	TRAPS_AT(CAUSE_LOAD_ACCESS, a0, ld a1, 0(a0))
	li a0, -4 /* wraps around the end of the address space */
	TRAPS(CAUSE_LOAD_ACCESS, ld a1, 0(a0))
	/* Misaligned instructions do not exist with C, and C cannot be switched off. */
	csrci misa, 1 << 2
	CHECK_CSR(misa, 1 << 2, 1 << 2)
	la a0, do_half + 2
	la s11, 1f
	jr a0
	.balign 4
1:	li s11, 0
	TRAP_IS(CAUSE_BREAKPOINT)
	/* Illegal instructions of every major opcode's edge. */
	ILLEGAL(.4byte 0x00000000)
	ILLEGAL(.4byte 0xffffffff)
	ILLEGAL(.4byte 0x0000000b) /* custom-0 */
	ILLEGAL(.4byte 0x0000002b) /* custom-1 */
	ILLEGAL(.4byte 0x0000005b) /* custom-2 */
	ILLEGAL(.4byte 0x0000007b) /* custom-3 */
	ILLEGAL(.4byte 0x00000057) /* OP-V */
	ILLEGAL(.4byte 0x0000006b) /* reserved */
	ILLEGAL(.4byte 0x00000077) /* OP-VE */
	ILLEGAL(.4byte 0x0000001f) /* 48-bit */
	ILLEGAL(.4byte 0x0000003f) /* 64-bit */
	ILLEGAL(.4byte 0x80001033) /* sll with a bit of funct7 */
	ILLEGAL(.4byte 0x40001033) /* sll, alternate */
	ISA_END

	.balign 4
do_ecall:
	ecall
do_ebreak:
	ebreak
do_mret:
	mret
do_sret:
	sret
do_wfi:
	wfi
	ecall
do_illegal:
	csrw cycle, zero
do_load:
	lb zero, 0(zero)
do_half:
	.2byte 1
	.2byte 0x9002 /* c.ebreak */
	.balign 4
s_trap:
	ecall
