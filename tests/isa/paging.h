/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables of the translation tests, for LEVELS = 3, 4 or 5 (Sv39, Sv48, Sv57), the same map in each:
 *
 *   USER  0x40000000  1 GiB  the RAM again, U: where snippets run in U-mode
 *         0x80000000  1 GiB  the RAM at its own address, S: where snippets run in S-mode
 *   TEST  0xc0000000         a 4 KiB page at TEST: its last-level entry is `leaf`, the next page's is `leaf + 8`; both start
 *                            invalid. `middle` points to the last level (2 MiB a slot), `giga` to the middle (1 GiB a slot).
 *
 * PAGING_ON builds the map and sets satp. Translation concerns S and U only: the test itself goes on in M-mode.
 */
#ifndef HOSPES_TESTS_ISA_PAGING_H
#define HOSPES_TESTS_ISA_PAGING_H

#define USER_OFFSET (0x40000000 - 0x80000000)
#define TEST 0xc0000000
#define SATP_MODE (8 + LEVELS - 3)
#define PTE_ALL_S (PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)
#define PTE_ALL_U (PTE_ALL_S | PTE_U)

	/* *entry = the PTE of physical address `pa` (a symbol) with flags; clobbers t5 and t6. */
	.macro pte_set entry, pa, flags
	la t5, \pa
	srli t5, t5, 2
	li t6, \flags
	or t5, t5, t6
	la t6, \entry
	sd t5, 0(t6)
	.endm
	/* *entry = raw */
	.macro pte_raw entry, raw
	li t5, \raw
	la t6, \entry
	sd t5, 0(t6)
	.endm

	.macro paging_on
	pte_raw giga_table + 8, (0x80000000 >> 2) | PTE_ALL_U
	pte_raw giga_table + 16, (0x80000000 >> 2) | PTE_ALL_S
	pte_set giga, middle_table, PTE_V
	pte_set middle, leaf_table, PTE_V
	.if LEVELS == 3
	.set root_table, giga_table
	.endif
	.if LEVELS == 4
	.set root_table, tera_table
	pte_set tera_table, giga_table, PTE_V
	.endif
	.if LEVELS == 5
	.set root_table, peta_table
	pte_set peta_table, tera_table, PTE_V
	pte_set tera_table, giga_table, PTE_V
	.endif
	la t5, root_table
	srli t5, t5, 12
	li t6, SATP_MODE << 60
	or t5, t5, t6
	csrw satp, t5
	sfence.vma
	.endm

#define PAGING_ON paging_on
	/* Enters `label` in U-mode by way of the U map. */
	.macro run_user label
	la t5, \label
	li t6, USER_OFFSET
	add t5, t5, t6
	isa_run_reg MODE_U, t5
	.endm
#define RUN_USER(label) run_user label

	.macro paging_tables
	.bss
	.balign 4096
giga_table:
	.space 24
giga:	.space 4096 - 24
middle_table:
middle:	.space 4096
leaf_table:
leaf:	.space 4096
	.if LEVELS >= 4
tera_table:
	.space 4096
	.endif
	.if LEVELS == 5
peta_table:
	.space 4096
	.endif
	.text
	.endm
#define PAGING_TABLES paging_tables

#endif
