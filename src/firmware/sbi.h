/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Supervisor Binary Interface, played by hospes itself: what a kernel that runs in S-mode asks
 * its machine for. One instance a machine; each hart's thread calls sbi_call() when its hart
 * stopped with CPU_STOP_FIRMWARE.
 *
 * Extensions: base, timer, IPI, remote fence, hart state management, system reset, debug console,
 * and the legacy calls 0 to 8.
 * Source: RISC-V Supervisor Binary Interface Specification 2.0.
 */
#ifndef HOSPES_FIRMWARE_SBI_H
#define HOSPES_FIRMWARE_SBI_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "cpu/riscv/hart.h"
#include "memory/memory.h"

/* HSM, "Hart states". */
enum sbi_hart_state {
    SBI_HART_STARTED = 0,
    SBI_HART_STOPPED = 1,
    SBI_HART_START_PENDING = 2,
    SBI_HART_STOP_PENDING = 3,
    SBI_HART_SUSPENDED = 4,
    SBI_HART_SUSPEND_PENDING = 5,
    SBI_HART_RESUME_PENDING = 6,
};

enum sbi_reset { SBI_SHUTDOWN, SBI_COLD_REBOOT, SBI_WARM_REBOOT };

/* What SBI is handed. Called on the thread of the hart that made the call. All mandatory. */
struct sbi_host {
    void (*flush_tlb)(void *ctx, unsigned hart, uint64_t vaddr, uint64_t size, uint64_t asid);
    void (*flush_code)(void *ctx, unsigned hart);
    /* One byte to the console; false: it takes none now. */
    bool (*console_put)(void *ctx, uint8_t byte);
    /* The next byte of input, or -1. */
    int (*console_get)(void *ctx);
    /* The guest asked for it; the caller's hart runs no further instruction. */
    void (*reset)(void *ctx, enum sbi_reset type, bool failure);
    /* Reads guest-virtual memory as the hart's S-mode would (the legacy hart masks). -EFAULT. */
    int (*read_virtual)(void *ctx, unsigned hart, uint64_t vaddr, void *to, uint64_t length);
    void *ctx;
};

struct sbi_hart {
    struct riscv_hart *hart;
    _Atomic uint32_t state; /* enum sbi_hart_state */
    /* Written by the starter before START_PENDING, read by the hart's thread after it. */
    uint64_t start_address, start_argument;
};

struct sbi {
    struct address_space *memory;
    const struct sbi_host *host;
    struct sbi_hart *harts;
    unsigned hart_count;
    _Atomic unsigned limit;   /* how many may be started at once */
    _Atomic unsigned running; /* how many are, or are about to be */
};

/* `harts` stays the caller's, one entry a hart with .hart filled. */
void sbi_init(struct sbi *sbi, struct sbi_hart *harts, unsigned hart_count,
              struct address_space *memory, const struct sbi_host *host);
/* From now on a hart is started only while fewer than `limit` are; those that are go on. At first
 * all may be. Any thread. */
void sbi_set_limit(struct sbi *sbi, unsigned limit);
/* Hart 0 starts at `address` with a1 = `argument`; the others are stopped. No hart runs. */
void sbi_reset_harts(struct sbi *sbi, uint64_t address, uint64_t argument);

/* What the hart's thread does next. */
enum sbi_next {
    SBI_NEXT_RUN,  /* go on at the hart's pc */
    SBI_NEXT_WAIT, /* sleep until an interrupt is pending, then go on */
    SBI_NEXT_HALT, /* stopped, or the machine is going down: ask sbi_begin() again when signalled */
};

/* Does the call that the hart trapped with (hart->mcause, a0 to a7). The hart's thread. */
enum sbi_next sbi_call(struct sbi *sbi, unsigned hart);
/* The hart's thread, before it enters the guest and after each signal while halted: starts the
 * hart if somebody asked for it. SBI_NEXT_RUN or SBI_NEXT_HALT. */
enum sbi_next sbi_begin(struct sbi *sbi, unsigned hart);

#endif
