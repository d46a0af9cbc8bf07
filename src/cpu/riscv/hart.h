/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The architectural state of one RISC-V hart, and what every engine shares about it: reset, CSRs,
 * traps, interrupt lines. No engine keeps anything of its own here, so that a snapshot taken under
 * one engine resumes under another.
 *
 * Threads: everything belongs to the hart's own thread while it runs, except `lines`, `signal` and
 * the functions marked "any thread".
 *
 * Sources: The RISC-V Instruction Set Manual, volume I (unprivileged) and II (privileged);
 * profile RVA22S64.
 */
#ifndef HOSPES_CPU_RISCV_HART_H
#define HOSPES_CPU_RISCV_HART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "cpu/signal.h"

enum riscv_privilege { RISCV_U = 0, RISCV_S = 1, RISCV_M = 3 };

/* Bits of mip and mie; also the numbers for riscv_hart_set_line(). Privileged, "mip and mie". */
enum riscv_interrupt {
    RISCV_IRQ_S_SOFT = 1,
    RISCV_IRQ_M_SOFT = 3,
    RISCV_IRQ_S_TIMER = 5,
    RISCV_IRQ_M_TIMER = 7,
    RISCV_IRQ_S_EXTERNAL = 9,
    RISCV_IRQ_M_EXTERNAL = 11,
};

/* Exception codes of mcause and scause. */
enum riscv_exception {
    RISCV_EXC_FETCH_MISALIGNED = 0,
    RISCV_EXC_FETCH_ACCESS = 1,
    RISCV_EXC_ILLEGAL = 2,
    RISCV_EXC_BREAKPOINT = 3,
    RISCV_EXC_LOAD_MISALIGNED = 4,
    RISCV_EXC_LOAD_ACCESS = 5,
    RISCV_EXC_STORE_MISALIGNED = 6,
    RISCV_EXC_STORE_ACCESS = 7,
    RISCV_EXC_ECALL_U = 8,
    RISCV_EXC_ECALL_S = 9,
    RISCV_EXC_ECALL_M = 11,
    RISCV_EXC_FETCH_PAGE = 12,
    RISCV_EXC_LOAD_PAGE = 13,
    RISCV_EXC_STORE_PAGE = 15,
};

#define RISCV_PMP_COUNT 16

/* What the address of a reservation is. */
enum riscv_reservation { RISCV_NOT_RESERVED, RISCV_RESERVED_PHYSICAL, RISCV_RESERVED_VIRTUAL };

/* What the hart is handed by its machine. Called on the hart's own thread. */
struct riscv_platform {
    /* The time CSR and mtime: ticks of the board's timebase. */
    uint64_t (*time)(void *ctx);
    /* The hart's stimecmp is now `deadline` (ticks; UINT64_MAX: never) and is enabled
     * (menvcfg.STCE): once time reaches it, someone calls riscv_hart_timer_tick(). */
    void (*set_stimecmp)(void *ctx, unsigned hart, uint64_t deadline);
    /* 16 bits of entropy for the seed CSR (Zkr). */
    uint16_t (*entropy)(void *ctx);
    void *ctx;
};

struct riscv_hart {
    uint64_t x[32]; /* x[0] is always 0 */
    uint64_t f[32]; /* NaN-boxed */
    uint64_t pc;
    uint32_t privilege; /* enum riscv_privilege */
    uint32_t fflags;    /* fcsr */
    uint32_t frm;

    /* Machine level. mstatus holds every bit, sstatus is a view of it. */
    uint64_t mstatus, misa, medeleg, mideleg, mie;
    uint64_t mtvec, mscratch, mepc, mcause, mtval;
    uint64_t menvcfg, mseccfg;
    uint32_t mcounteren, mcountinhibit;
    uint64_t mhpmevent[32];
    uint8_t pmpcfg[RISCV_PMP_COUNT];
    uint64_t pmpaddr[RISCV_PMP_COUNT];

    /* Supervisor level. */
    uint64_t stvec, sscratch, sepc, scause, stval, satp, senvcfg;
    uint32_t scounteren;

    /* Counters: the value is what was written plus what was counted since. */
    uint64_t mcycle, minstret;

    /* Reservation of lr: enum riscv_reservation, the bytes, the address and the value that was
     * read. A virtual address is of the regime in which loads and stores are made, and becomes a
     * guest-physical one before that changes or the hart stops: an engine may keep the one that is
     * at hand, and nobody else sees it. */
    uint16_t reserved, reserved_width;
    uint64_t reserved_address, reserved_value;

    /* Supervisor level too (Sstc), but set all the time, and nothing that an engine caches follows
     * from it. Written by the hart's thread, read by whoever ticks: by atomic operations. */
    uint64_t stimecmp;

    /* The guest has looked at mcycle or minstret since the reset: whoever runs the hart keeps them
     * exact from now on. Not the guest's to see. */
    bool counters_read;

    /* Interrupt sources. `lines` are the levels of the wires (devices, IPIs, timers), `soft` the
     * bits of mip that software writes; mip is both or'ed. Both by atomic operations. */
    _Atomic uint64_t lines;
    _Atomic uint64_t soft;
    struct cpu_signal signal;

    /* Fixed when made. */
    unsigned id; /* mhartid */
    /* The most bits that a translated address may have: 39, 48 or 57 (Sv39, Sv48, Sv57), 0: 57. */
    unsigned address_bits;
    const struct riscv_platform *platform;
    /* True: no M-mode software runs; hospes is the firmware, and what would trap to M makes run()
     * return CPU_STOP_FIRMWARE with the cause in mcause, mtval, mepc and privilege unchanged (pc
     * at the instruction). */
    bool hosted_firmware;
};

/* Sets the state after reset: M-mode at `pc`, a0 = hart id, a1 = `a1` (device tree). With
 * hosted_firmware: S-mode at `pc`, satp 0, all S-level traps and interrupts delegated, counters
 * and menvcfg features (STCE, ADUE, CBIE, CBCFE, CBZE, PBMTE) open to S, PMP open. */
void riscv_hart_reset(struct riscv_hart *hart, uint64_t pc, uint64_t a1);

/* A wire of the hart: `number` is one of enum riscv_interrupt. Any thread. Fits struct wire.set
 * with the hart as ctx. */
void riscv_hart_set_line(void *hart, unsigned number, bool level);
/* Looks at the time against stimecmp and sets or clears the S timer interrupt. Any thread. */
void riscv_hart_timer_tick(struct riscv_hart *hart);
/* stimecmp, or UINT64_MAX where it is not enabled. Any thread. */
uint64_t riscv_hart_deadline(const struct riscv_hart *hart);
/* Writes stimecmp (ticks), tells the platform and brings the S timer interrupt up to date: what the
 * CSR write does, and SBI's set_timer. The hart's thread, or while it is not running. */
void riscv_hart_set_stimecmp(struct riscv_hart *hart, uint64_t deadline);
/* mip as the guest reads it. Any thread. */
uint64_t riscv_hart_mip(const struct riscv_hart *hart);
/* True when an interrupt would end a wfi (pending and enabled in mie, whatever the global
 * enables). The hart's thread. */
bool riscv_hart_has_interrupt(const struct riscv_hart *hart);

/* Reads guest-virtual memory as loads of the hart's S-mode would with sstatus.SUM set (the A bit
 * of a page is set like then): for firmware and debuggers. -EFAULT. The hart's thread, outside
 * run(). */
struct address_space;
int riscv_hart_read_virtual(struct riscv_hart *hart, struct address_space *memory, uint64_t vaddr,
                            void *to, uint64_t length) MUST_CHECK;

/* The extensions the hart has, as the device tree tells them: "riscv,isa" ("rv64imafdc_...") and
 * the list for "riscv,isa-extensions" (NULL-terminated, in canonical order). From one table in
 * extensions.c that also switches the decoder. address_bits: as in struct riscv_hart. */
const char *riscv_isa_string(unsigned address_bits);
const char *const *riscv_isa_extensions(unsigned address_bits);

/* The engine table of the interpreter. */
struct engine_type;
extern const struct engine_type riscv_interpreter;
/* And of the translator. NULL from riscv_translator_missing(): it works here; else what the host
 * lacks. Its options (engine_config.options; for tests and measurements):
 *   heat=N   executions before a block is translated (0: at once)
 *   unit=N   instructions in a unit, at most
 *   code=N   bytes of translated code and its tables, with a suffix K, M or G
 *   spare=N  seconds, up to 3600, that translated code is kept for whatever the host lacks
 *   windows=N  0: no use of the host's MMU; 1: where it pays; 2: for every user program at once
 *   regions=N  0: the first tier only; 1: of loops that take time, by a thread; 2: at once
 *   perf=1   names translated code for perf, in /tmp/perf-PID.map
 *   audit=1  for tests: each unit looks whether what it relies on is so, and ends hospes if not */
extern const struct engine_type riscv_translator;
const char *riscv_translator_missing(void);

#endif
