/* SPDX-License-Identifier: Apache-2.0 */
/* Misaligned atomics trap, as do those at no memory: LR as a load, SC (whether it would have stored or not) and AMO as stores. */
/* oracle: qemu 10.0 (older ones report a load for AMOs and let a failing SC pass) */
#include "isa.h"

ISA_BEGIN
	li a3, 1
	.irp offset, 1, 2, 4, 7
	la a1, cell + \offset
	TRAPS_AT(CAUSE_LOAD_MISALIGNED, a1, lr.d a2, (a1))
	TRAPS_AT(CAUSE_STORE_MISALIGNED, a1, sc.d a2, a3, (a1))
	TRAPS_AT(CAUSE_STORE_MISALIGNED, a1, amoadd.d a2, a3, (a1))
	TRAPS_AT(CAUSE_STORE_MISALIGNED, a1, amoswap.d a2, a3, (a1))
	.endr
	.irp offset, 1, 2, 3, 6
	la a1, cell + \offset
	TRAPS_AT(CAUSE_LOAD_MISALIGNED, a1, lr.w a2, (a1))
	TRAPS_AT(CAUSE_STORE_MISALIGNED, a1, sc.w a2, a3, (a1))
	TRAPS_AT(CAUSE_STORE_MISALIGNED, a1, amomaxu.w a2, a3, (a1))
	.endr
	/* rd and memory are left. */
	li a2, 33
	la a1, cell + 2
	TRAPS_AT(CAUSE_STORE_MISALIGNED, a1, amoor.w a2, a3, (a1))
	CHECK(a2, 33)
	la a0, cell
	ld a0, 0(a0)
	CHECK(a0, 0)

	/* Access faults: an AMO, also one that does not change the memory, is a store. */
	li a1, 0
	TRAPS_AT(CAUSE_LOAD_ACCESS, a1, lr.d a2, (a1))
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, amoor.d a2, zero, (a1))
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, amoadd.w a2, zero, (a1))
	ISA_END

	.data
	.balign 8
cell:
	.space 16
