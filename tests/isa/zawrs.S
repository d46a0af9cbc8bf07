/* SPDX-License-Identifier: Apache-2.0 */
/* Zawrs: both waits end (a store, an interrupt, or just so); wrs.nto is subject to TW. */
/* oracle: qemu 8.0 */
#include "isa.h"

ISA_BEGIN
	la a1, cell
	/* Without a reservation they end at once. */
	sc.d a0, zero, (a1)
	wrs.sto
	wrs.nto
	lr.d a0, (a1)
	wrs.sto
	/* With an interrupt pending and enabled wrs.nto ends though none can be taken. */
	csrsi mip, 1 << IRQ_SSI
	csrsi mie, 1 << IRQ_SSI
	lr.d a0, (a1)
	wrs.nto
	li a0, 1 << IRQ_SSI
	csrw mideleg, a0
	csrci mstatus, MSTATUS_SIE
	RUN_S_OK(do_wait)
	csrw mip, zero
	csrw mie, zero
	/* Its own store ends the reservation and the wait. */
	RUN_S_OK(do_store_wait)
	RUN_U_OK(do_short)
	ISA_END

	.balign 4
do_wait:
	lr.d a0, (a1)
	wrs.nto
	ecall
do_store_wait:
	lr.d a0, (a1)
	sc.d a0, a0, (a1)
	wrs.nto
	ecall
do_short:
	lr.d a0, (a1)
	wrs.sto
	ecall

	.data
	.balign 8
cell:
	.dword 0
