/* SPDX-License-Identifier: Apache-2.0 */
/* Physical memory protection: address modes, permissions, priority, accesses that straddle a region, locks, WARL fields. */
/* oracle: qemu 7.2 */
#include "isa.h"

#define CFG_R 1
#define CFG_W 2
#define CFG_X 4
#define TOR (1 << 3)
#define NA4 (2 << 3)
#define NAPOT (3 << 3)
#define LOCK 0x80
#define RWX 7
/* pmpaddr of a naturally aligned power of two. */
#define NAPOT_ADDRESS(base, size) ((base) >> 2 | ((size) / 8 - 1))

	/* The first eight configurations, lowest entry last in the list as in the register. */
	.macro config value
	li t5, \value
	csrw pmpcfg0, t5
	sfence.vma
	.endm
	/* pmpaddr<n> = address of a symbol + offset, >> 2 */
	.macro region n, symbol, offset=0
	la t5, \symbol
	li t6, \offset
	add t5, t5, t6
	srli t5, t5, 2
	csrw pmpaddr\n, t5
	.endm
	.macro region_napot n, symbol, size
	la t5, \symbol
	srli t5, t5, 2
	li t6, \size / 8 - 1
	or t5, t5, t6
	csrw pmpaddr\n, t5
	.endm

	/* S-mode's loads, stores and fetches at symbol + offset: which of r, w, x must work (bits as in the configuration). */
	.macro area line, symbol, offset, allowed
	la a1, \symbol
	li a0, \offset
	add a1, a1, a0
	.if (\allowed) & CFG_R
	isa_run_ok \line, MODE_S, do_load, CAUSE_ECALL_S
	.else
	isa_run_traps \line, MODE_S, do_load, CAUSE_LOAD_ACCESS
	isa_tval \line, a1
	.endif
	.if (\allowed) & CFG_W
	isa_run_ok \line, MODE_S, do_store, CAUSE_ECALL_S
	.else
	isa_run_traps \line, MODE_S, do_store, CAUSE_STORE_ACCESS
	isa_tval \line, a1
	.endif
	isa_run_reg MODE_S, a1
	.if (\allowed) & CFG_X
	isa_check_csr \line, mcause, -1, CAUSE_ECALL_S
	.else
	isa_check_csr \line, mcause, -1, CAUSE_FETCH_ACCESS
	isa_tval \line, a1
	.endif
	.endm
#define AREA(symbol, offset, allowed) area __LINE__, symbol, offset, allowed

ISA_BEGIN
	li a2, 0x73 /* what the stores write */
	/* The code keeps its right by entry 7: everything, the lowest priority of the first eight. Entry 0 is off. */
	li a0, -1
	csrw pmpaddr7, a0
#define REST ((NAPOT | RWX) << 56)
	config REST
	AREA(page_one, 0, RWX)

	/* ---- NAPOT of one page, every permission that is not reserved ---- */
	region_napot 0, page_one, 4096
	.irp rights, 0, CFG_R, CFG_R | CFG_W, CFG_X, CFG_R | CFG_X, RWX
	config REST | NAPOT | (\rights)
	AREA(page_one, 0, \rights)
	AREA(page_one, 4088, \rights)
	AREA(page_zero, 4088, RWX)
	AREA(page_two, 0, RWX)
	ld a0, 0(a1) /* M-mode is not concerned by an entry without a lock */
	/* U-mode by the same rules. */
	la a1, page_one
	RUN_U(do_load)
	.if (\rights) & CFG_R
	TRAP_IS(CAUSE_ECALL_U)
	.else
	TRAP_IS(CAUSE_LOAD_ACCESS)
	.endif
	.endr
	/* AMO needs R and W, and faults as a store; LR as a load. */
	la a1, page_one
	config REST | NAPOT | CFG_R
	RUN_S_OK(do_lr)
#if ORACLE != 7 /* it reports a load */
	RUN_S_TRAPS(do_amo, CAUSE_STORE_ACCESS)
#endif
	config REST | NAPOT
	RUN_S_TRAPS(do_lr, CAUSE_LOAD_ACCESS)

	/* ---- 8 KiB and more ---- */
	region_napot 0, page_zero, 16384
	config REST | NAPOT | CFG_R
	AREA(page_zero, 0, CFG_R)
	AREA(page_three, 4088, CFG_R)
	AREA(page_four, 0, RWX)

	/* ---- TOR: from the entry before to this; from 0 in entry 0; empty when the bounds cross ---- */
	region 0, page_one
	region 1, page_three
	config REST | (TOR | CFG_R) << 8
	AREA(page_zero, 4088, RWX)
	AREA(page_one, 0, CFG_R)
	AREA(page_two, 4088, CFG_R)
	AREA(page_three, 0, RWX)
	region 0, page_three
	region 1, page_one
	config REST | (TOR | CFG_R) << 8
	AREA(page_one, 0, RWX)
	AREA(page_two, 0, RWX)
	region 0, page_one
	config REST | TOR | RWX
	AREA(page_zero, 0, RWX)
	/* Below: the code itself. Deny data pages by a TOR that ends at the RAM's end, after an allowing TOR. */
	region 0, page_one
	region 1, page_three
	config (TOR | RWX) | (TOR | CFG_X) << 8 | REST
	AREA(page_zero, 8, RWX)
	AREA(page_two, 8, CFG_X)

	/* ---- priority: the lowest entry that matches any byte decides ---- */
	region_napot 0, page_one, 4096
	region_napot 1, page_zero, 16384
	config (NAPOT | CFG_R) | (NAPOT | CFG_R | CFG_W) << 8 | REST
	AREA(page_one, 0, CFG_R)
	AREA(page_two, 0, CFG_R | CFG_W)
	config (NAPOT | RWX) | NAPOT << 8 | REST
	AREA(page_one, 0, RWX)
	AREA(page_two, 0, 0)
	AREA(page_zero, 0, 0)

	/* ---- none matches: S and U fail, M does not ---- */
	la a0, page_four /* up to the end of the code and the pages before */
	srli a0, a0, 2
	csrw pmpaddr0, a0
	config TOR | RWX
	AREA(page_three, 0, RWX)
	AREA(page_four, 0, 0)
	la a1, page_four
	ld a0, 0(a1)
	sd a0, 0(a1)
	jalr ra, 4(a1)
#if ORACLE == 0 /* QEMU makes the mret itself trap */
	/* No entry on at all: S cannot even fetch. */
	config 0
	RUN_S_TRAPS(do_load, CAUSE_FETCH_ACCESS)
	RUN_U_TRAPS(do_load, CAUSE_FETCH_ACCESS)
#endif

	/* ---- an access with a byte in a region that denies it fails (one that two regions allow may fail or not) ---- */
	region_napot 0, page_one, 4096
	config REST | NAPOT
	la a1, page_one - 4
	RUN_S(do_load)
	TRAP_IS(CAUSE_LOAD_ACCESS)
	la a1, page_two - 4
	RUN_S(do_load)
	TRAP_IS(CAUSE_LOAD_ACCESS)
	la a1, page_one - 2
	RUN_S(do_store)
	TRAP_IS(CAUSE_STORE_ACCESS)
	la a1, page_one - 2 /* an instruction with its second half in the region */
	li a0, 0x0073
	sh a0, 0(a1)
	fence.i
	isa_run_reg MODE_S, a1
	TRAP_IS(CAUSE_FETCH_ACCESS)

	/* ---- MPRV: M-mode's data accesses as MPP's, its fetches as its own ---- */
	config REST | NAPOT | CFG_X
	la a1, page_one
	li a0, MSTATUS_MPRV | MSTATUS_MPP
	csrc mstatus, a0
	li a0, MSTATUS_MPRV | 1 << 11
	csrs mstatus, a0
	TRAPS_AT(CAUSE_LOAD_ACCESS, a1, ld a3, 0(a1))
	li a0, MSTATUS_MPRV | MSTATUS_MPP
	csrc mstatus, a0
	li a0, MSTATUS_MPRV | 1 << 11
	csrs mstatus, a0
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, sd a2, 0(a1))
	li a0, MSTATUS_MPRV | MSTATUS_MPP
	csrc mstatus, a0
	ld a3, 0(a1)

	/* ---- fine grain, where the machine has it: the granule is what a mask of ones leaves ---- */
	csrw pmpcfg0, zero
	li a0, -1
	csrw pmpaddr0, a0
	csrr a0, pmpaddr0
	andi a0, a0, 1
	beqz a0, coarse
	li a0, -1
	csrw pmpaddr7, a0
	region 0, page_one, 8
	config REST | NA4 | CFG_X
	csrr a0, pmpcfg0
	andi a0, a0, 0xff
	CHECK(a0, NA4 | CFG_X)
	la a1, page_one + 8
	RUN_S_TRAPS(do_load_word, CAUSE_LOAD_ACCESS)
	TRAP_TVAL(a1)
	la a1, page_one + 4
	RUN_S_OK(do_load_word)
	la a1, page_one + 12
	RUN_S_OK(do_load_word)
	region_napot 0, page_one, 8
	config REST | NAPOT
	la a1, page_one + 8
	RUN_S_OK(do_load_word)
	la a1, page_one + 4
	RUN_S_TRAPS(do_load_word, CAUSE_LOAD_ACCESS)
	region 0, page_one, 4
	region 1, page_one, 12
	config REST | TOR << 8
	la a1, page_one
	RUN_S_OK(do_load_word)
	la a1, page_one + 4
	RUN_S_TRAPS(do_load_word, CAUSE_LOAD_ACCESS)
	la a1, page_one + 8
	RUN_S_TRAPS(do_load_word, CAUSE_LOAD_ACCESS)
	la a1, page_one + 12
	RUN_S_OK(do_load_word)
	/* A doubleword half in a region without rights fails. */
	region_napot 0, page_one, 8
	config REST | NAPOT
	la a1, page_one + 4
	RUN_S(do_load)
	TRAP_IS(CAUSE_LOAD_ACCESS)
coarse:

	/* ---- WARL ---- */
	csrw pmpcfg0, zero
#if ORACLE == 0 /* QEMU keeps all 64 */
	li a0, -1 /* 54 bits of address */
	csrw pmpaddr0, a0
	csrr a0, pmpaddr0
	srli a0, a0, 54
	CHECK(a0, 0)
#endif
#if ORACLE == 0 /* QEMU keeps these, and the reserved pair */
	li a0, 0x60 /* bits 5 and 6 are zero */
	csrw pmpcfg0, a0
	csrr a0, pmpcfg0
	CHECK(a0, 0)
	li a0, NAPOT | CFG_W
	csrw pmpcfg0, a0
	csrr a0, pmpcfg0
	andi a0, a0, CFG_R | CFG_W
	li a1, CFG_W
	sub a0, a0, a1
	CHECK_TRUE(a0)
#endif
	/* Each entry's byte is its own. */
	li a0, 0x1f1d1c1b19180f08
	csrw pmpcfg0, a0
	csrr a1, pmpcfg0
	CHECK_SAME(a1, a0)
	csrw pmpcfg2, a0
	csrr a1, pmpcfg2
	CHECK_SAME(a1, a0)
	csrw pmpcfg2, zero
	csrw pmpcfg0, zero

	/* ---- locks, last, for they stay: entries and their addresses freeze, and M-mode obeys ---- */
	li a0, -1
	csrw pmpaddr7, a0
	region_napot 1, page_one, 4096
	config REST | (NAPOT | CFG_R | LOCK) << 8
	AREA(page_one, 0, CFG_R)
	la a1, page_one
	ld a0, 0(a1)
	TRAPS_AT(CAUSE_STORE_ACCESS, a1, sd a0, 0(a1))
	la s11, 1f
	jr a1
	.balign 4
1:	li s11, 0
	TRAP_IS(CAUSE_FETCH_ACCESS)
	TRAP_TVAL(a1)
	csrr s0, pmpaddr1
	csrw pmpaddr1, zero
	csrr a0, pmpaddr1
	CHECK_SAME(a0, s0)
	config REST | (NAPOT | RWX) << 8 /* that byte is not taken, the rest is */
	csrr a0, pmpcfg0
	li a1, REST | (NAPOT | CFG_R | LOCK) << 8
	CHECK_SAME(a0, a1)
	csrw pmpaddr0, zero /* the entry before is not a TOR's base */
	li a0, 0x123
	csrw pmpaddr0, a0
	csrr a0, pmpaddr0
	andi a0, a0, 0x100
	CHECK(a0, 0x100)
	/* A locked TOR freezes its base too. */
	region 2, page_two
	region 3, page_three
	config REST | (TOR | CFG_X | LOCK) << 24
	AREA(page_two, 8, CFG_X)
	csrr s0, pmpaddr2
	csrw pmpaddr2, zero
	csrr a0, pmpaddr2
	CHECK_SAME(a0, s0)
	/* A locked entry that is off stays off. */
	config REST | LOCK << 32
	config REST | (NAPOT | RWX) << 32
	csrr a0, pmpcfg0
	srli a0, a0, 32
	andi a0, a0, 0xff
	CHECK(a0, LOCK)
	ISA_END

	.balign 4
do_load:
	ld a0, 0(a1)
	ecall
do_load_word:
	lw a0, 0(a1)
	ecall
do_store:
	sw a2, 0(a1)
	ecall
do_amo:
	amoadd.w a0, zero, (a1)
	ecall
do_lr:
	lr.w a0, (a1)
	ecall

	/* Pages of ecall, so that a fetch anywhere comes back; a store writes an ecall (a2). */
	.data
	.balign 16384
page_zero:
	.fill 1024, 4, 0x00000073
page_one:
	.fill 1024, 4, 0x00000073
page_two:
	.fill 1024, 4, 0x00000073
page_three:
	.fill 1024, 4, 0x00000073
page_four:
	.4byte 0x00000073
	ret
	.fill 1022, 4, 0x00000073
