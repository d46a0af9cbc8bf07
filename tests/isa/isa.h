/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the bare-metal ISA tests. A test is one .S file that starts with ISA_BEGIN and ends with ISA_END; it runs as
 * M-mode firmware at 0x80000000 on the `virt` board, on hart 0, and ends through the test finisher at 0x100000: 0x5555 when
 * every check held, 0x3333 | (line << 16) at the first that did not. The line is that of the check in the .S file. A failing
 * check also prints its line, the two values, the trap CSRs and a0-a7 on the UART.
 *
 * Registers: gp (the check's line), t5, t6 and s11 belong to the macros; everything else belongs to the test. Checks are made
 * in M-mode. S and U code is a snippet that ends in a trap: RUN_S and RUN_U enter it, its trap comes back behind the macro
 * with mcause, mepc, mtval and mstatus as the trap left them. A trap that no macro expects fails the test.
 *
 * Memory at the start: all of it open to S and U by one PMP entry, no translation, no delegation, no interrupt enabled, menvcfg 0, FS
 * Initial, all counters readable from below.
 */
#ifndef HOSPES_TESTS_ISA_H
#define HOSPES_TESTS_ISA_H

#define FINISHER 0x100000
#define CLINT_MSIP 0x2000000
#define CLINT_MTIMECMP 0x2004000
#define CLINT_MTIME 0x200bff8
#define PLIC 0xc000000
#define UART 0x10000000
#define UART_IRQ 10

#define CAUSE_FETCH_MISALIGNED 0
#define CAUSE_FETCH_ACCESS 1
#define CAUSE_ILLEGAL 2
#define CAUSE_BREAKPOINT 3
#define CAUSE_LOAD_MISALIGNED 4
#define CAUSE_LOAD_ACCESS 5
#define CAUSE_STORE_MISALIGNED 6
#define CAUSE_STORE_ACCESS 7
#define CAUSE_ECALL_U 8
#define CAUSE_ECALL_S 9
#define CAUSE_ECALL_M 11
#define CAUSE_FETCH_PAGE 12
#define CAUSE_LOAD_PAGE 13
#define CAUSE_STORE_PAGE 15
#define CAUSE_IRQ(n) (0x8000000000000000 + (n))

#define IRQ_SSI 1
#define IRQ_MSI 3
#define IRQ_STI 5
#define IRQ_MTI 7
#define IRQ_SEI 9
#define IRQ_MEI 11

#define MODE_U 0
#define MODE_S 1
#define MODE_M 3

#define MSTATUS_SIE (1 << 1)
#define MSTATUS_MIE (1 << 3)
#define MSTATUS_SPIE (1 << 5)
#define MSTATUS_MPIE (1 << 7)
#define MSTATUS_SPP (1 << 8)
#define MSTATUS_MPP (3 << 11)
#define MSTATUS_FS (3 << 13)
#define MSTATUS_FS_INITIAL (1 << 13)
#define MSTATUS_FS_CLEAN (2 << 13)
#define MSTATUS_MPRV (1 << 17)
#define MSTATUS_SUM (1 << 18)
#define MSTATUS_MXR (1 << 19)
#define MSTATUS_TVM (1 << 20)
#define MSTATUS_TW (1 << 21)
#define MSTATUS_TSR (1 << 22)
#define MSTATUS_SD (1 << 63)

/* CSR numbers that the oldest assembler we support has no name for. */
#define CSR_SEED 0x015
#define CSR_STIMECMP 0x14d
#define CSR_MENVCFG 0x30a
#define CSR_SENVCFG 0x10a
#define MENVCFG_STCE (1 << 63)
#define MENVCFG_PBMTE (1 << 62)
#define MENVCFG_ADUE (1 << 61)
#define MENVCFG_CBZE (1 << 7)
#define MENVCFG_CBCFE (1 << 6)
#define MENVCFG_CBIE (3 << 4)

#define PTE_V 0x01
#define PTE_R 0x02
#define PTE_W 0x04
#define PTE_X 0x08
#define PTE_U 0x10
#define PTE_G 0x20
#define PTE_A 0x40
#define PTE_D 0x80

/* reg == want, want being a constant or a symbol. */
#define CHECK(reg, want) isa_check __LINE__, reg, want
/* Two registers hold the same value. */
#define CHECK_SAME(reg, want) isa_check_same __LINE__, reg, want
/* reg != 0 */
#define CHECK_TRUE(reg) isa_check_true __LINE__, reg
/* (csr & mask) == want */
#define CHECK_CSR(csr, mask, want) isa_check_csr __LINE__, csr, mask, want
#define FAIL isa_fail_here __LINE__

/* The instruction traps to M-mode with this cause, mepc at it and mepc unmoved. */
#define TRAPS(cause, ...) isa_traps __LINE__, cause, __VA_ARGS__
/* The same, and mtval equals the register tval. */
#define TRAPS_AT(cause, tval, ...) isa_traps_at __LINE__, cause, tval, __VA_ARGS__
/* Illegal instruction; mtval holds the instruction (Sstvala, RVA22S64). */
#define ILLEGAL(...) isa_illegal __LINE__, __VA_ARGS__

#define RUN_U(label) isa_run MODE_U, label
#define RUN_S(label) isa_run MODE_S, label
/* Enters the address in a register, for code that runs under another virtual address. */
#define RUN_REG(mode, reg) isa_run_reg mode, reg
/* The trap that ended the snippet: its cause; the symbol it happened at; the register that mtval equals; the mode it left. */
#define TRAP_IS(cause) isa_check_csr __LINE__, mcause, -1, cause
#define TRAP_AT(symbol) isa_check_csr_at __LINE__, mepc, symbol
#define TRAP_TVAL(reg) isa_tval __LINE__, reg
#define TRAP_FROM(mode) isa_check_csr __LINE__, mstatus, MSTATUS_MPP, mode << 11
/* Runs a snippet and asserts that it ended by its own ecall. */
#define RUN_S_OK(label) isa_run_ok __LINE__, MODE_S, label, CAUSE_ECALL_S
#define RUN_U_OK(label) isa_run_ok __LINE__, MODE_U, label, CAUSE_ECALL_U
/* Runs a snippet that must trap at its first instruction. */
#define RUN_S_TRAPS(label, cause) isa_run_traps __LINE__, MODE_S, label, cause
#define RUN_U_TRAPS(label, cause) isa_run_traps __LINE__, MODE_U, label, cause

/* Every vector that vectors.py made for one instruction. */
#define VECTORS(insn) vectors_##insn __LINE__

	.option arch, +zba, +zbb, +zbc, +zbs, +zfhmin, +zicbom, +zicboz, +zicbop, +zihintpause, +zawrs, +svinval
	.option norelax
	.option norvc

	.macro isa_check line, reg, want
	li gp, \line
	mv t5, \reg
	li t6, \want
	beq t5, t6, .Lisa_ok\@
	j isa_fail
.Lisa_ok\@:
	.endm

	.macro isa_check_same line, reg, want
	li gp, \line
	mv t5, \reg
	mv t6, \want
	beq t5, t6, .Lisa_ok\@
	j isa_fail
.Lisa_ok\@:
	.endm

	.macro isa_check_true line, reg
	li gp, \line
	mv t5, \reg
	li t6, 1
	bnez t5, .Lisa_ok\@
	j isa_fail
.Lisa_ok\@:
	.endm

	.macro isa_check_csr line, csr, mask, want
	li gp, \line
	csrr t5, \csr
	li t6, \mask
	and t5, t5, t6
	li t6, \want
	beq t5, t6, .Lisa_ok\@
	j isa_fail
.Lisa_ok\@:
	.endm

	.macro isa_check_csr_at line, csr, symbol
	li gp, \line
	csrr t5, \csr
	la t6, \symbol
	beq t5, t6, .Lisa_ok\@
	j isa_fail
.Lisa_ok\@:
	.endm

	.macro isa_fail_here line
	li gp, \line
	li t5, 0
	li t6, 0
	j isa_fail
	.endm

	.macro isa_traps line, cause, insn:vararg
	li gp, \line
	la s11, .Lisa_back\@
.Lisa_insn\@:
	\insn
	j isa_no_trap
.Lisa_back\@:
	li s11, 0
	isa_check_csr \line, mcause, -1, \cause
	isa_check_csr_at \line, mepc, .Lisa_insn\@
	.endm

	.macro isa_traps_at line, cause, tval, insn:vararg
	isa_traps \line, \cause, \insn
	isa_tval \line, \tval
	.endm

	.macro isa_tval line, reg
	li gp, \line
	csrr t5, mtval
	mv t6, \reg
	beq t5, t6, .Lisa_ok\@
	j isa_fail
.Lisa_ok\@:
	.endm

	.macro isa_illegal line, insn:vararg
	isa_traps \line, CAUSE_ILLEGAL, \insn
	jal t6, isa_check_insn
	.endm

	.macro isa_run mode, label
	la t5, \label
	isa_run_reg \mode, t5
	.endm

	.macro isa_run_reg mode, reg
	csrw mepc, \reg
	li t5, MSTATUS_MPP
	csrc mstatus, t5
	li t5, \mode << 11
	csrs mstatus, t5
	la s11, .Lisa_back\@
	mret
	.balign 4
.Lisa_back\@:
	li s11, 0
	.endm

	.macro isa_run_ok line, mode, label, cause
	isa_run \mode, \label
	isa_check_csr \line, mcause, -1, \cause
	.endm

	.macro isa_run_traps line, mode, label, cause
	isa_run \mode, \label
	isa_check_csr \line, mcause, -1, \cause
	isa_check_csr_at \line, mepc, \label
	isa_check_csr \line, mstatus, MSTATUS_MPP, \mode << 11
	.endm

#define ISA_BEGIN isa_begin
#define ISA_END isa_end

	.macro isa_begin
	.section .text.start, "ax"
	.globl _start
_start:
	csrr t0, mhartid
	bnez t0, isa_park
	la t0, isa_trap
	csrw mtvec, t0
	csrw mie, zero
	csrw mideleg, zero
	csrw medeleg, zero
	csrw satp, zero
	csrw CSR_MENVCFG, zero
	la t0, isa_no_pmp
	csrw mtvec, t0
	li t0, -1
	csrw pmpaddr0, t0
	li t0, 0x1f
	csrw pmpcfg0, t0
	.balign 4
isa_no_pmp:
	la t0, isa_trap
	csrw mtvec, t0
	li t0, 7
	csrw mcounteren, t0
	csrw scounteren, t0
	li t0, MSTATUS_FS | MSTATUS_MPP | MSTATUS_MIE | MSTATUS_MPRV
	csrc mstatus, t0
	li t0, MSTATUS_FS_INITIAL
	csrs mstatus, t0
	csrw fcsr, zero
	la sp, isa_stack
	li s11, 0
	li gp, 0
	j isa_main

isa_park:
	wfi
	j isa_park

	.balign 4
isa_trap:
	beqz s11, isa_unexpected
	jr s11

	/* After isa_traps: mtval is the instruction that mepc points at. t6 is the way back. */
isa_check_insn:
	csrr t5, mepc
	lhu t5, 0(t5)
	not t5, t5
	andi t5, t5, 3
	beqz t5, 1f
	csrr t5, mepc
	lhu t5, 0(t5)
	j 2f
1:	csrr t5, mepc
	lwu t5, 0(t5)
2:	addi sp, sp, -8
	sd t6, 0(sp)
	mv t6, t5
	csrr t5, mtval
	bne t5, t6, isa_fail
	ld t6, 0(sp)
	addi sp, sp, 8
	jr t6

isa_unexpected:
	la t5, isa_text_unexpected
	j isa_report
isa_no_trap:
	la t5, isa_text_no_trap
	j isa_report
isa_fail:
	csrw mscratch, t5
	la t5, isa_text_fail
	/* t5: what went wrong; t6 and mscratch: the two values. */
isa_report:
	la s11, isa_finish_fail /* no UART: the finisher alone */
	la sp, isa_stack
	addi sp, sp, -256
	sd ra, 0(sp)
	csrr ra, mscratch
	sd ra, 8(sp)
	sd t6, 16(sp)
	csrr ra, mcause
	sd ra, 24(sp)
	csrr ra, mepc
	sd ra, 32(sp)
	csrr ra, mtval
	sd ra, 40(sp)
	csrr ra, mstatus
	sd ra, 48(sp)
	sd a0, 56(sp)
	sd a1, 64(sp)
	sd a2, 72(sp)
	sd a3, 80(sp)
	sd a4, 88(sp)
	sd a5, 96(sp)
	sd a6, 104(sp)
	sd a7, 112(sp)
	li a0, 0x20000 /* MPRV must not translate what follows */
	csrc mstatus, a0
	mv a0, t5
	jal isa_puts
	la a0, isa_text_line
	jal isa_puts
	mv a0, gp
	jal isa_put_decimal
	addi s0, sp, 8
	la s1, isa_text_names
1:	lbu a0, 0(s1)
	beqz a0, 2f
	mv a0, s1
	jal isa_puts
	mv s1, a0
	ld a0, 0(s0)
	addi s0, s0, 8
	jal isa_put_hex
	j 1b
2:	la a0, isa_text_newline
	jal isa_puts
	.balign 4
isa_finish_fail:
	slli t0, gp, 16
	li t1, 0x3333
	or t1, t1, t0
	j isa_finish
isa_pass:
	li t1, 0x5555
isa_finish:
	li t0, FINISHER
	sw t1, 0(t0)
1:	wfi
	j 1b

	/* Prints the string at a0; leaves a0 behind its terminator. */
isa_puts:
	li t2, UART
1:	lbu t1, 0(a0)
	addi a0, a0, 1
	beqz t1, 2f
	lbu t3, 5(t2)
	andi t3, t3, 0x20
	beqz t3, . - 8
	sb t1, 0(t2)
	j 1b
2:	ret

isa_put_hex:
	li t2, UART
	li t4, 16
1:	srli t1, a0, 60
	slli a0, a0, 4
	addi t1, t1, '0'
	li t3, '9'
	bleu t1, t3, 2f
	addi t1, t1, 'a' - '0' - 10
2:	lbu t3, 5(t2)
	andi t3, t3, 0x20
	beqz t3, 2b
	sb t1, 0(t2)
	addi t4, t4, -1
	bnez t4, 1b
	ret

isa_put_decimal:
	addi sp, sp, -32
	sd ra, 0(sp)
	addi t1, sp, 31
	sb zero, 0(t1)
	li t2, 10
1:	remu t3, a0, t2
	divu a0, a0, t2
	addi t3, t3, '0'
	addi t1, t1, -1
	sb t3, 0(t1)
	bnez a0, 1b
	mv a0, t1
	jal isa_puts
	ld ra, 0(sp)
	addi sp, sp, 32
	ret

	.section .rodata
isa_text_fail: .asciz "FAIL: check"
isa_text_unexpected: .asciz "FAIL: unexpected trap after"
isa_text_no_trap: .asciz "FAIL: no trap"
isa_text_line: .asciz " line "
isa_text_names:
	.asciz " got "
	.asciz " want "
	.asciz "\n cause "
	.asciz " epc "
	.asciz " tval "
	.asciz " mstatus "
	.asciz "\n a0 "
	.asciz " a1 "
	.asciz " a2 "
	.asciz " a3 "
	.asciz "\n a4 "
	.asciz " a5 "
	.asciz " a6 "
	.asciz " a7 "
	.byte 0
isa_text_newline: .asciz "\n"
	.bss
	.balign 16
	.space 4096
isa_stack:
	.text
isa_main:
	.endm

	.macro isa_end
	j isa_pass
	.endm

#endif
