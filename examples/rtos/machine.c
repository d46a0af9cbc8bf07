/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include "text.h"

/* ---- SBI ---- */

#define SBI_TIMER    0x54494d45ul
#define SBI_RESET    0x53525354ul
#define SBI_SHUTDOWN 0

static void sbi_call(uint64_t extension, uint64_t function, uint64_t first, uint64_t second)
{
    register uint64_t a0 __asm__("a0") = first;
    register uint64_t a1 __asm__("a1") = second;
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = extension;

    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a6), "r"(a7) : "memory");
}

void timer_set(bool direct, uint64_t at)
{
    if (direct)
        csr_write(0x14d, at);
    else
        sbi_call(SBI_TIMER, 0, at, 0);
}

void machine_off(bool failed)
{
    interrupts_off();
    sbi_call(SBI_RESET, 0, SBI_SHUTDOWN, failed);
    for (;;)
        __asm__ volatile("wfi");
}

/* ---- UART and PLIC ---- */

enum { UART_DATA = 0, UART_ENABLE = 1, UART_FIFO = 2, UART_STATUS = 5 };
enum { STATUS_DATA = 1, STATUS_ROOM = 0x20 };

static volatile uint8_t *uart(unsigned offset)
{
    return (volatile uint8_t *)(UART_BASE + offset);
}

static volatile uint32_t *plic(uint64_t offset)
{
    return (volatile uint32_t *)(PLIC_BASE + offset);
}

/* Each hart has two contexts, machine mode's and this one. */
static uint64_t plic_context(uint64_t hart)
{
    return 2 * hart + 1;
}

static void uart_drain(void (*take)(char c))
{
    while (*uart(UART_STATUS) & STATUS_DATA)
        take((char)*uart(UART_DATA));
}

void uart_begin(uint64_t hart, void (*take)(char c))
{
    uint64_t context = plic_context(hart);

    uart_drain(take); /* to switch the FIFO on empties it */
    *uart(UART_FIFO) = 1;
    *plic(4 * UART_IRQ) = 1;
    *plic(0x2000 + 0x80 * context) = 1u << UART_IRQ;
    *plic(0x200000 + 0x1000 * context) = 0;
    *uart(UART_ENABLE) = STATUS_DATA;
}

void uart_put(char c)
{
    while (!(*uart(UART_STATUS) & STATUS_ROOM))
        continue;
    *uart(UART_DATA) = (uint8_t)c;
}

void uart_interrupt(uint64_t hart, void (*take)(char c))
{
    volatile uint32_t *claim = plic(0x200004 + 0x1000 * plic_context(hart));
    uint32_t source;

    while ((source = *claim)) {
        if (source == UART_IRQ)
            uart_drain(take);
        *claim = source;
    }
}

/* ---- the device tree ---- */

enum { TREE_MAGIC = 0xd00dfeed, TREE_BEGIN = 1, TREE_END = 2, TREE_PROPERTY = 3, TREE_NOTHING = 4 };

static uint32_t big_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t align4(uint64_t offset)
{
    return (offset + 3) & ~3ul;
}

/* Two properties are wanted, and no other has their names. */
bool machine_read_tree(struct machine *machine, const void *tree)
{
    const uint8_t *header = tree;
    const uint8_t *at, *end;
    const char *strings;

    machine->timebase = 0;
    machine->arguments = "";
    if (big_u32(header) != TREE_MAGIC)
        return false;
    at = header + big_u32(header + 8);
    end = at + big_u32(header + 36);
    strings = (const char *)header + big_u32(header + 12);
    while (at + 4 <= end) {
        uint32_t token = big_u32(at);

        at += 4;
        if (token == TREE_BEGIN) {
            at += align4(text_length((const char *)at) + 1);
        } else if (token == TREE_PROPERTY) {
            uint32_t size = big_u32(at);
            const char *name = strings + big_u32(at + 4);

            if (text_equal(name, "timebase-frequency"))
                machine->timebase = size == 8 ? big_u32(at + 12) : big_u32(at + 8);
            else if (text_equal(name, "bootargs"))
                machine->arguments = (const char *)at + 8;
            at += 8 + align4(size);
        } else if (token != TREE_END && token != TREE_NOTHING) {
            break;
        }
    }
    return machine->timebase;
}

uint64_t machine_argument(const struct machine *machine, const char *name, uint64_t otherwise)
{
    uint64_t length = text_length(name);
    const char *at = machine->arguments;

    while (*at) {
        if (text_begins(at, name) && at[length] == '=')
            return text_number(at + length + 1, otherwise);
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    return otherwise;
}
