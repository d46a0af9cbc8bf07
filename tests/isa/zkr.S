/* SPDX-License-Identifier: Apache-2.0 */
/* Zkr: the seed CSR needs a write, gives 16 bits in state ES16 sooner or later, and is closed to S and U without mseccfg. */
/* oracle: qemu 7.2 */
#include "isa.h"

#define CSR_MSECCFG 0x747

ISA_BEGIN
	ILLEGAL(csrr a0, CSR_SEED)
	ILLEGAL(csrrs a0, CSR_SEED, zero)
	ILLEGAL(csrrsi a0, CSR_SEED, 0)
	ILLEGAL(csrrc a0, CSR_SEED, zero)
	/* Sixteen draws: the state is one that exists, the middle is zero, and not all are the same. */
	li s0, 16
	li s1, 0
	li s3, 0
draw:
	li a1, 100000
1:	csrrw a0, CSR_SEED, zero
	srliw a2, a0, 30
	li a3, 3
	CHECK_TRUE(a1)
	addi a1, a1, -1
	li a4, 2
	beq a2, a4, drawn
	bne a2, a3, 1b
	FAIL /* DEAD */
drawn:
	srliw a3, a0, 24
	andi a3, a3, 0x3f
	CHECK(a3, 0)
	slli a0, a0, 48
	srli a0, a0, 48
	xor a3, a0, s1
	or s3, s3, a3
	mv s1, a0
	addi s0, s0, -1
	bnez s0, draw
	CHECK_TRUE(s3)
	/* The other writing forms. */
	csrrwi a0, CSR_SEED, 0
	csrrs a0, CSR_SEED, a1
	csrw CSR_SEED, zero

	/* Lower modes: mseccfg.USEED and SSEED, whose values after a reset are the machine's choice. */
#if ORACLE != 7 /* it has no mseccfg without ePMP */
	li a5, 3 << 8
	csrc CSR_MSECCFG, a5
#endif
	RUN_S_TRAPS(do_seed, CAUSE_ILLEGAL)
	RUN_U_TRAPS(do_seed, CAUSE_ILLEGAL)
#if ORACLE != 7
	li a5, 1 << 9 /* SSEED */
	csrs CSR_MSECCFG, a5
	RUN_S_OK(do_seed)
	RUN_U_TRAPS(do_seed, CAUSE_ILLEGAL)
	csrc CSR_MSECCFG, a5
	li a5, 1 << 8 /* USEED */
	csrs CSR_MSECCFG, a5
	RUN_S_TRAPS(do_seed, CAUSE_ILLEGAL)
	RUN_U_OK(do_seed)
	csrc CSR_MSECCFG, a5
#endif
	ISA_END

	.balign 4
do_seed:
	csrrw a0, CSR_SEED, zero
	ecall
