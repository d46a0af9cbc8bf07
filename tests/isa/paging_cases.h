/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of the Sv39, Sv48 and Sv57 tests (LEVELS = 3, 4, 5): sections "Addressing and Memory Protection" and "Virtual
 * Address Translation Process" of the privileged specification.
 */
#include "isa.h"
#include "paging.h"

#define FETCH 0
#define LOAD 1
#define STORE 2
#define AMO 3
#define LR 4

/* QEMU before 8.0 has hardware A/D updates only. */
#if ORACLE == 7
#define FIRST_ADUE 1
#else
#define FIRST_ADUE 0
#endif

	/* The access of `kind` at address `va` from `mode` ends with `cause` (an ecall's: it succeeded) and, for a fault, tval. */
	.macro access line, mode, kind, va, cause
	li a1, \va
	access_a1 \line, \mode, \kind, \cause
	.endm
	.macro access_a1 line, mode, kind, cause
	li gp, \line
	.if \kind == FETCH
	isa_run_reg \mode, a1
	.else
	.if \kind == LOAD
	la t5, do_load
	.elseif \kind == STORE
	la t5, do_store
	.elseif \kind == AMO
	la t5, do_amo
	.else
	la t5, do_lr
	.endif
	.if \mode == MODE_U
	li t6, USER_OFFSET
	add t5, t5, t6
	.endif
	isa_run_reg \mode, t5
	.endif
	isa_check_csr \line, mcause, -1, \cause
	.if \cause > CAUSE_ECALL_M || \cause < CAUSE_ECALL_U
	isa_tval \line, a1
	.endif
	.endm
#define ACCESS(mode, kind, va, cause) access __LINE__, mode, kind, va, cause
#if ORACLE == 7 /* it reports a load */
#define AMO_FAULTS(va, cause)
#else
#define AMO_FAULTS(va, cause) access __LINE__, MODE_S, AMO, va, cause
#endif
#define OK_S CAUSE_ECALL_S
#define OK_U CAUSE_ECALL_U

ISA_BEGIN
	PAGING_ON
	CHECK_CSR(satp, 15 << 60, SATP_MODE << 60)

	/* ---- one page, then none: each access, and what it reads and writes ---- */
	pte_set leaf, page_a, PTE_ALL_S
	li a0, 0x1234
	la a2, page_a + 8
	sd a0, 0(a2)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 8, OK_S)
	CHECK(a0, 0x1234)
	li a0, 0x5678
	ACCESS(MODE_S, STORE, TEST + 8, OK_S)
	la a2, page_a + 8
	ld a2, 0(a2)
	CHECK(a2, 0x5678)
	ACCESS(MODE_S, FETCH, TEST, OK_S)
	CHECK_CSR(mepc, -1, TEST)
	ACCESS(MODE_U, LOAD, TEST + 8, CAUSE_LOAD_PAGE)
	ACCESS(MODE_U, STORE, TEST + 8, CAUSE_STORE_PAGE)
	ACCESS(MODE_U, FETCH, TEST, CAUSE_FETCH_PAGE)
	CHECK_CSR(mepc, -1, TEST)
	/* Nothing mapped: at each level. */
	ACCESS(MODE_S, LOAD, TEST + 4096, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, LOAD, TEST + 0x200000 + 123, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, STORE, TEST + 0x40000000, CAUSE_STORE_PAGE)
	AMO_FAULTS(TEST + 0x40000000, CAUSE_STORE_PAGE)
	ACCESS(MODE_S, LR, TEST + 0x40000000, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, FETCH, 0, CAUSE_FETCH_PAGE)

	/* Addresses whose upper bits are no sign extension. */
#define TOP (12 + 9 * LEVELS)
	ACCESS(MODE_S, LOAD, TEST + (1 << TOP), CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, STORE, TEST + (1 << TOP), CAUSE_STORE_PAGE)
	ACCESS(MODE_S, FETCH, TEST + (1 << TOP), CAUSE_FETCH_PAGE)
	ACCESS(MODE_S, LOAD, TEST + (1 << 63), CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, LOAD, TEST + (1 << (TOP - 1)), CAUSE_LOAD_PAGE)
	ACCESS(MODE_U, LOAD, TEST + (1 << 62), CAUSE_LOAD_PAGE)
	/* The upper half of the root: as canonical negative addresses. */
	pte_raw root_table + 4096 - 8, ((0x80000000 >> 2) | PTE_ALL_S)
	.if LEVELS > 3
	/* A leaf so high is bigger than RAM's alignment allows: through tables of its own. */
	pte_set root_table + 4096 - 8, giga_table, PTE_V
	.endif
	.if LEVELS == 5
	pte_set root_table + 4096 - 8, tera_table, PTE_V
	.endif
	sfence.vma
	li a0, 0x99
	la a2, page_a
	sd a0, 16(a2)
	li a1, -1 << (TOP - 9)
	.if LEVELS == 3
	li a3, 0
	.else
	li a3, 0x80000000 /* the giga table's slot 2 */
	.endif
	add a1, a1, a3
	la a2, page_a + 16
	li a3, 0x80000000
	sub a2, a2, a3
	add a1, a1, a2
	access_a1 __LINE__, MODE_S, LOAD, OK_S
	CHECK(a0, 0x99)

	/* ---- every combination of the eight flag bits, accesses, modes, SUM, MXR, and ADUE ---- */
	li s9, FIRST_ADUE
adue_loop:
	li a0, MENVCFG_ADUE
	csrc CSR_MENVCFG, a0
	beqz s9, 1f
	csrs CSR_MENVCFG, a0
1:	li s0, 0 /* flags */
flags_loop:
	li s1, 0 /* kind 0-2, mode << 2, SUM << 3, MXR << 4 */
case_loop:
	andi a2, s1, 3 /* kind */
	li a3, 3
	beq a2, a3, case_next
	la a4, page_a
	srli a4, a4, 2
	or s2, a4, s0 /* the PTE before */
	la s3, leaf
	sd s2, 0(s3)
	sfence.vma
	li a0, MSTATUS_SUM | MSTATUS_MXR
	csrc mstatus, a0
	andi a0, s1, 0x18
	slli a0, a0, 15 /* bits 3 and 4 to SUM and MXR */
	csrs mstatus, a0

	/* The model: s4 = whether it faults, s5 = the PTE after. */
	li s4, 1
	mv s5, s2
	andi a0, s0, PTE_V
	beqz a0, model_done
	andi a0, s0, PTE_R | PTE_W
	li a3, PTE_W
	beq a0, a3, model_done
	li a3, PTE_X
	beqz a2, 1f
	li a3, PTE_W
	li a4, STORE
	beq a2, a4, 1f
	li a3, PTE_R
	andi a4, s1, 0x10
	beqz a4, 1f
	li a3, PTE_R | PTE_X
1:	and a3, a3, s0
	beqz a3, model_done
	andi a3, s0, PTE_U
	andi a4, s1, 4 /* 0: U-mode, 4: S-mode */
	bnez a4, 1f
	beqz a3, model_done
	j 2f
1:	beqz a3, 2f
	beqz a2, model_done
	andi a4, s1, 8
	beqz a4, model_done
2:	li a3, PTE_A
	li a4, STORE
	bne a2, a4, 1f
	li a3, PTE_A | PTE_D
1:	or s5, s2, a3
	beq s5, s2, 1f
	bnez s9, 1f
	mv s5, s2
	j model_done
1:	li s4, 0
model_done:

	/* The machine. */
	li a1, TEST
	li a0, 0x73 /* ecall: a store rewrites the page's first instruction with itself */
	li a4, 4
	csrw mepc, a1
	beqz a2, 1f
	la a3, do_load
	li t5, LOAD
	beq a2, t5, 2f
	la a3, do_store_word
2:	andi a4, s1, 4
	bnez a4, 3f
	li t5, USER_OFFSET
	add a3, a3, t5
3:	csrw mepc, a3
1:	li t5, MSTATUS_MPP
	csrc mstatus, t5
	andi a4, s1, 4
	slli a4, a4, 9
	csrs mstatus, a4
	la s11, 4f
	li gp, __LINE__
	mret
	.balign 4
4:	li s11, 0
	/* s6 = the cause to expect */
	srli s6, s1, 2
	andi s6, s6, 1
	addi s6, s6, CAUSE_ECALL_U
	beqz s4, 5f
	li s6, CAUSE_FETCH_PAGE
	beqz a2, 5f
	li s6, CAUSE_LOAD_PAGE
	li a4, LOAD
	beq a2, a4, 5f
	li s6, CAUSE_STORE_PAGE
5:	csrr a4, mcause
	mv a6, s0
	mv a7, s1
	CHECK_SAME(a4, s6)
	beqz s4, 6f
	csrr a4, mtval
	CHECK_SAME(a4, a1)
6:	ld a4, 0(s3)
	CHECK_SAME(a4, s5)
case_next:
	addi s1, s1, 1
	li a0, 32
	bne s1, a0, case_loop
	addi s0, s0, 1
	li a0, 256
	bne s0, a0, flags_loop
	addi s9, s9, 1
	li a0, 2
	bne s9, a0, adue_loop
	li a0, MSTATUS_SUM | MSTATUS_MXR
	csrc mstatus, a0
	li a0, MENVCFG_ADUE
	csrc CSR_MENVCFG, a0

	/* AMO needs W (and R) and makes A and D; LR needs R alone. */
	pte_set leaf, page_a, PTE_V | PTE_R | PTE_A
	sfence.vma
	AMO_FAULTS(TEST + 8, CAUSE_STORE_PAGE)
	ACCESS(MODE_S, LR, TEST + 8, OK_S)
	ACCESS(MODE_S, LOAD, TEST + 8, OK_S)
	pte_set leaf, page_a, PTE_V | PTE_X | PTE_A
	sfence.vma
	AMO_FAULTS(TEST + 8, CAUSE_STORE_PAGE)
	ACCESS(MODE_S, LR, TEST + 8, CAUSE_LOAD_PAGE)
	li a0, MENVCFG_ADUE
	csrs CSR_MENVCFG, a0
	pte_set leaf, page_a, PTE_V | PTE_R | PTE_W
	sfence.vma
	ACCESS(MODE_S, LR, TEST + 8, OK_S)
	ld a0, leaf
	andi a0, a0, 0xff
	CHECK(a0, PTE_V | PTE_R | PTE_W | PTE_A)
	ACCESS(MODE_S, AMO, TEST + 8, OK_S) /* the TLB has the page as clean: D must still come */
	ld a0, leaf
	andi a0, a0, 0xff
	CHECK(a0, PTE_V | PTE_R | PTE_W | PTE_A | PTE_D)
	li a0, MENVCFG_ADUE
	csrc CSR_MENVCFG, a0

	/* ---- reserved bits of a leaf and of a pointer ---- */
#if ORACLE != 7 /* it ignores them */
	.irp bit, 54, 55, 56, 57, 58, 59, 60
	pte_set leaf, page_a, 1 << \bit | PTE_ALL_S
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_PAGE)
	.endr
#endif
	.irp flag, 0x100, 0x200, 0x20 /* RSW is software's; G is allowed */
	pte_set leaf, page_a, \flag | PTE_ALL_S
	pte_set middle, leaf_table, PTE_V | \flag
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	.endr
#if ORACLE != 7 /* it ignores them */
	.irp flag, PTE_A, PTE_D, PTE_U, PTE_W, 1 << 54, 1 << 61, 1 << 63
	pte_set middle, leaf_table, PTE_V | \flag
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, STORE, TEST, CAUSE_STORE_PAGE)
	ACCESS(MODE_S, FETCH, TEST, CAUSE_FETCH_PAGE)
	.endr
#endif
	pte_set middle, leaf_table, PTE_V
	pte_set leaf, page_a, PTE_V /* a pointer at the last level */
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_PAGE)

	/* ---- superpages: aligned ones map all their bits, misaligned ones fault ---- */
	pte_raw middle + 8, ((0x80200000 >> 2) | PTE_ALL_S)
	li a0, 0x77
	li a2, 0x80200000 + 0x123450
	sd a0, 0(a2)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 0x200000 + 0x123450, OK_S)
	CHECK(a0, 0x77)
	.irp pa, 0x80201000, 0x80300000
	pte_raw middle + 8, ((\pa >> 2) | PTE_ALL_S)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 0x200000, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, STORE, TEST + 0x200000, CAUSE_STORE_PAGE)
	ACCESS(MODE_S, FETCH, TEST + 0x200000, CAUSE_FETCH_PAGE)
	.endr
	pte_raw giga + 8, ((0x80200000 >> 2) | PTE_ALL_S) /* 1 GiB must be aligned to 1 GiB */
	pte_raw giga + 16, ((0x80000000 >> 2) | PTE_ALL_S)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 0x40000000, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, LOAD, TEST + 0x80000000 + 0x200000 + 0x123450, OK_S)
	CHECK(a0, 0x77)
	.if LEVELS >= 4
	pte_raw tera_table + 8, ((0x80000000 >> 2) | PTE_ALL_S) /* 512 GiB, misaligned */
	pte_raw tera_table + 16, (0 | PTE_ALL_S) /* 512 GiB from 0: the RAM is inside */
	sfence.vma
	ACCESS(MODE_S, LOAD, 1 << 39, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, LOAD, (2 << 39) + 0x80200000 + 0x123450, OK_S)
	CHECK(a0, 0x77)
	.endif
	.if LEVELS == 5
	pte_raw peta_table + 8, ((0x80000000 >> 2) | PTE_ALL_S)
	pte_raw peta_table + 16, (0 | PTE_ALL_S)
	sfence.vma
	ACCESS(MODE_S, LOAD, 1 << 48, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, LOAD, (2 << 48) + 0x80200000 + 0x123450, OK_S)
	CHECK(a0, 0x77)
	.endif

	/* ---- accesses over the end of a page ---- */
	pte_set leaf, page_a, PTE_ALL_S
	pte_set leaf + 8, page_c, PTE_ALL_S /* not the next page of memory */
	sfence.vma
	li a0, 0x8877665544332211
	ACCESS(MODE_S, STORE, TEST + 4096 - 3, OK_S)
	li a0, 0
	ACCESS(MODE_S, LOAD, TEST + 4096 - 3, OK_S)
	CHECK(a0, 0x8877665544332211)
	la a2, page_c
	lwu a0, 0(a2)
	CHECK(a0, 0x77665544)
	la a2, page_a + 4096 - 3
	lbu a0, 2(a2)
	CHECK(a0, 0x33)
	/* The second page faults: tval is its first byte. The first faults: tval is the access. */
	pte_raw leaf + 8, 0
	sfence.vma
	li a1, TEST + 4096 - 3
	la t5, do_load
	isa_run_reg MODE_S, t5
	TRAP_IS(CAUSE_LOAD_PAGE)
	CHECK_CSR(mtval, -1, TEST + 4096)
	la t5, do_store
	isa_run_reg MODE_S, t5
	TRAP_IS(CAUSE_STORE_PAGE)
	CHECK_CSR(mtval, -1, TEST + 4096)
	pte_set leaf + 8, page_c, PTE_ALL_S
	pte_raw leaf, 0
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 4096 - 3, CAUSE_LOAD_PAGE)
	ACCESS(MODE_S, STORE, TEST + 4096 - 3, CAUSE_STORE_PAGE)
	/* Read-only second page. */
	pte_set leaf, page_a, PTE_ALL_S
	pte_set leaf + 8, page_c, PTE_V | PTE_R | PTE_A
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 4096 - 3, OK_S)
	la t5, do_store
	isa_run_reg MODE_S, t5
	TRAP_IS(CAUSE_STORE_PAGE)
	CHECK_CSR(mtval, -1, TEST + 4096)
	/* An instruction over the end: its second half is a fetch of its own; mepc is the instruction. */
	la a2, page_a + 4096
	li a0, 0x73
	sh a0, -2(a2)
	la a2, page_c
	sh zero, 0(a2)
	pte_set leaf + 8, page_c, PTE_ALL_S
	sfence.vma
	fence.i
	ACCESS(MODE_S, FETCH, TEST + 4094, OK_S)
	pte_set leaf + 8, page_c, PTE_ALL_S & ~PTE_X
	sfence.vma
	li a1, TEST + 4094
	isa_run_reg MODE_S, a1
	TRAP_IS(CAUSE_FETCH_PAGE)
	CHECK_CSR(mepc, -1, TEST + 4094)
	CHECK_CSR(mtval, -1, TEST + 4096)
	la a2, page_a + 4096 /* a 16-bit instruction there needs only the first page */
	li a0, 0x9002 /* c.ebreak */
	sh a0, -2(a2)
	fence.i
	li a1, TEST + 4094
	isa_run_reg MODE_S, a1
	TRAP_IS(CAUSE_BREAKPOINT)

	/* ---- no memory behind: access faults, with the virtual address ---- */
	pte_raw leaf, (0 | PTE_ALL_S) /* physical address 0 */
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_ACCESS)
	ACCESS(MODE_S, STORE, TEST, CAUSE_STORE_ACCESS)
	ACCESS(MODE_S, FETCH, TEST, CAUSE_FETCH_ACCESS)
#if ORACLE != 7 /* it reports a page fault */
	/* No memory behind a table: an access fault of the kind of the access. */
	pte_raw middle, (0 | PTE_V)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_ACCESS)
	ACCESS(MODE_S, STORE, TEST, CAUSE_STORE_ACCESS)
	AMO_FAULTS(TEST, CAUSE_STORE_ACCESS)
	ACCESS(MODE_S, FETCH, TEST, CAUSE_FETCH_ACCESS)
	pte_raw middle, (0x3ffffffffffc00 | PTE_V)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_ACCESS)
#endif
	pte_set middle, leaf_table, PTE_V

	/* ---- MPRV: M-mode's loads and stores as MPP's; its fetches as ever ---- */
	pte_set leaf, page_a, PTE_V | PTE_R | PTE_A | PTE_U
	sfence.vma
	la a2, page_a
	li a0, 0x4711
	sd a0, 0(a2)
	li s0, TEST
	li s1, MSTATUS_MPRV | MSTATUS_MPP
	csrc mstatus, s1
	li a0, MSTATUS_MPRV /* MPP = U */
	csrs mstatus, a0
	ld a3, 0(s0)
	csrc mstatus, s1
	CHECK(a3, 0x4711)
	li a0, MSTATUS_MPRV
	csrs mstatus, a0
	TRAPS_AT(CAUSE_STORE_PAGE, s0, sd a3, 0(s0))
	csrc mstatus, s1
	li a0, MSTATUS_MPRV | 1 << 11 /* MPP = S: no SUM */
	csrs mstatus, a0
	TRAPS_AT(CAUSE_LOAD_PAGE, s0, ld a3, 0(s0))
	csrc mstatus, s1
	li a0, MSTATUS_MPRV | 1 << 11 | MSTATUS_SUM
	csrs mstatus, a0
	ld a3, 0(s0)
	csrc mstatus, a0
	CHECK(a3, 0x4711)
	li a0, MSTATUS_MPRV | MSTATUS_MPP /* MPP = M: no translation */
	csrs mstatus, a0
	la a2, page_a
	ld a3, 0(a2)
	csrc mstatus, a0
	CHECK(a3, 0x4711)

	/* ---- SFENCE.VMA: the new table counts after it, with each form ---- */
	la a2, page_c
	li a0, 0xc
	sd a0, 0(a2)
	li a0, 0xa
	la a2, page_a
	sd a0, 0(a2)
	li s1, TEST
	li s2, 0
	.irp fence, "sfence.vma", "sfence.vma s1", "sfence.vma s1, s2", "sfence.vma zero, s2", "sinval.vma s1, zero", "sinval.vma zero, zero"
	pte_set leaf, page_a, PTE_ALL_S
	sfence.w.inval
	\fence
	sfence.inval.ir
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	CHECK(a0, 0xa)
	pte_set leaf, page_c, PTE_ALL_S
	sfence.w.inval
	\fence
	sfence.inval.ir
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	CHECK(a0, 0xc)
	pte_raw leaf, 0
	\fence
	sfence.inval.ir
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_PAGE)
	.endr

	/* ASIDs, if there are any: two spaces whose entries do not mix; a global page is in both. */
	csrr s4, satp
	li a0, 1 << 44
	or s5, s4, a0
	csrw satp, s5
	csrr a0, satp
	csrw satp, s4
	bne a0, s5, no_asids
	pte_set leaf, page_a, PTE_ALL_S
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	CHECK(a0, 0xa)
	pte_set leaf, page_c, PTE_ALL_S
	csrw satp, s5 /* the new space has never seen the page */
	li a0, 1
	sfence.vma zero, a0
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	CHECK(a0, 0xc)
	csrw satp, s4
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	CHECK(a0, 0xc)
no_asids:

	/* Bare: no translation, no permission. */
	csrr s4, satp
	csrw satp, zero
	la a1, page_a
	access_a1 __LINE__, MODE_S, LOAD, OK_S
	la t5, do_load
	isa_run_reg MODE_U, t5
	TRAP_IS(CAUSE_ECALL_U)
	csrw satp, s4

	/* ---- Svpbmt: legal with menvcfg.PBMTE alone; 3 is reserved ---- */
#if ORACLE != 7 /* it has no PBMTE */
	.irp type, 1, 2, 3
	pte_set leaf, page_a, PTE_ALL_S | \type << 61
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_PAGE)
	.endr
#endif
	li a0, MENVCFG_PBMTE
	csrs CSR_MENVCFG, a0
	.irp type, 0, 1, 2
	pte_set leaf, page_a, PTE_ALL_S | \type << 61
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, OK_S)
	ACCESS(MODE_S, STORE, TEST, OK_S)
	.endr
#if ORACLE == 0 /* QEMU takes the reserved type */
	pte_set leaf, page_a, PTE_ALL_S | 3 << 61
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST, CAUSE_LOAD_PAGE)
#endif
	li a0, MENVCFG_PBMTE
	csrc CSR_MENVCFG, a0

	/* ---- Svnapot: 64 KiB by sixteen equal entries; other patterns and other levels are reserved ---- */
	li a0, 16
	la a2, leaf + 16 * 8
	li a3, (0x80210000 >> 2) | 8 << 10 | PTE_ALL_S | 1 << 63
1:	sd a3, 0(a2)
	addi a2, a2, 8
	addi a0, a0, -1
	bnez a0, 1b
	sfence.vma
	li s0, 0
1:	li a2, 0x80210000 + 0x18
	slli a3, s0, 12
	add a2, a2, a3
	addi a4, s0, 100
	sd a4, 0(a2)
	li a1, TEST + 0x10000 + 0x18
	add a1, a1, a3
	access_a1 __LINE__, MODE_S, LOAD, OK_S
	addi a4, s0, 100
	CHECK_SAME(a0, a4)
	addi s0, s0, 1
	li a0, 16
	bne s0, a0, 1b
	.irp pattern, 0, 1, 2, 4, 12 /* all but xx..1000: reserved */
	.if \pattern & 7 || \pattern == 0
	pte_raw leaf + 16 * 8, ((0x80210000 >> 2) | \pattern << 10 | PTE_ALL_S | 1 << 63)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 0x10000, CAUSE_LOAD_PAGE)
	.endif
	.endr
#if ORACLE == 0 /* QEMU takes a NAPOT entry at the middle level */
	pte_raw middle + 8, ((0x80200000 >> 2) | 8 << 10 | PTE_ALL_S | 1 << 63)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 0x200000, CAUSE_LOAD_PAGE)
	pte_raw middle + 8, ((0x80200000 >> 2) | PTE_ALL_S | 1 << 63)
	sfence.vma
	ACCESS(MODE_S, LOAD, TEST + 0x200000, CAUSE_LOAD_PAGE)
#endif

	/* ---- TVM and the fences' privilege ---- */
	RUN_S_OK(do_satp)
	RUN_S_OK(do_sfence)
	li a0, MSTATUS_TVM
	csrs mstatus, a0
	RUN_S_TRAPS(do_satp, CAUSE_ILLEGAL)
	RUN_S_TRAPS(do_satp_write, CAUSE_ILLEGAL)
	RUN_S_TRAPS(do_sfence, CAUSE_ILLEGAL)
	RUN_S_TRAPS(do_sinval, CAUSE_ILLEGAL)
	RUN_S_OK(do_sfence_w)
	csrr a0, satp /* M-mode is not concerned */
	sfence.vma
	li a0, MSTATUS_TVM
	csrc mstatus, a0
	.irp what, do_satp, do_sfence, do_sinval
	RUN_USER(\what)
	TRAP_IS(CAUSE_ILLEGAL)
	.endr
#if ORACLE == 0 /* QEMU lets U-mode pass */
	RUN_USER(do_sfence_w)
	TRAP_IS(CAUSE_ILLEGAL)
	RUN_USER(do_sfence_ir)
	TRAP_IS(CAUSE_ILLEGAL)
#endif
	ISA_END

	.balign 4
do_load:
	ld a0, 0(a1)
	ecall
do_store:
	sd a0, 0(a1)
	ecall
do_store_word:
	sw a0, 0(a1)
	ecall
do_amo:
	amoadd.d a0, zero, (a1)
	ecall
do_lr:
	lr.d a0, (a1)
	ecall
do_satp:
	csrr a0, satp
	ecall
do_satp_write:
	csrw satp, a0
	ecall
do_sfence:
	sfence.vma
	ecall
do_sinval:
	sinval.vma zero, zero
	ecall
do_sfence_w:
	sfence.w.inval
	sfence.inval.ir
	ecall
do_sfence_ir:
	sfence.inval.ir
	ecall

	.data
	.balign 4096
page_a:
	ecall
	.space 4092
page_b:
	.space 4096
page_c:
	ecall
	.space 4092

	PAGING_TABLES
