/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel knows of the hart and of the board `virt`. Functions of this file may be called
 * anywhere; the tree is read once, before the first task runs.
 */
#ifndef RTOS_MACHINE_H
#define RTOS_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* The map of the board; the same in hospes and QEMU. */
#define UART_BASE 0x10000000ul
#define UART_IRQ  10u
#define PLIC_BASE 0xc000000ul

#define SSTATUS_SIE 2ul
#define SIE_TIMER   (1ul << 5)
#define SIE_OUTSIDE (1ul << 9)

#define csr_read(csr)                                                                              \
    ({                                                                                             \
        uint64_t value_;                                                                           \
        __asm__ volatile("csrr %0, " #csr : "=r"(value_)::"memory");                               \
        value_;                                                                                    \
    })
#define csr_write(csr, value) __asm__ volatile("csrw " #csr ", %0" ::"r"(value) : "memory")
#define csr_set(csr, bits)    __asm__ volatile("csrs " #csr ", %0" ::"r"(bits) : "memory")

static inline uint64_t time_now(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

/* Switches interrupts off; returns what interrupts_restore() takes. */
static inline uint64_t interrupts_off(void)
{
    uint64_t old;

    __asm__ volatile("csrrci %0, sstatus, 2" : "=r"(old)::"memory");
    return old & SSTATUS_SIE;
}

static inline void interrupts_restore(uint64_t saved)
{
    csr_set(sstatus, saved);
}

/* What the device tree says. */
struct machine {
    uint64_t hart;
    uint64_t timebase;     /* Hz */
    const char *arguments; /* the command line; "" if there is none */
};

/* False: it is no device tree, or one without a time base. */
bool machine_read_tree(struct machine *machine, const void *tree);
/* The number after "NAME=" in the arguments, or `otherwise`. */
uint64_t machine_argument(const struct machine *machine, const char *name, uint64_t otherwise);

/* The timer of this hart: by stimecmp where it is there, else by the SBI. */
bool timer_probe(void);
void timer_set(bool direct, uint64_t at);
/* Never returns. */
__attribute__((noreturn)) void machine_off(bool failed);

/* The UART, with its interrupts through the PLIC: `take` is called for each byte that came, at once
 * for what has come before and then by uart_interrupt(), in the outside interrupt. */
void uart_begin(uint64_t hart, void (*take)(char c));
/* Waits for room. */
void uart_put(char c);
void uart_interrupt(uint64_t hart, void (*take)(char c));

#endif
