/* SPDX-License-Identifier: Apache-2.0 */
#include "device/uart16550.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

#define FIFO_SIZE 16

/* Register offsets; the first two change their meaning with LCR.DLAB. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

enum { IER_RDA = 0x01, IER_THRE = 0x02, IER_RLS = 0x04, IER_MSR = 0x08, IER_ALL = 0x0f };

enum {
    IIR_MSR = 0x00,
    IIR_NONE = 0x01,
    IIR_THRE = 0x02,
    IIR_RDA = 0x04,
    IIR_RLS = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,
};

enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_CLEAR_TX = 0x04, FCR_KEPT = 0xc9 };
enum { LCR_LENGTH = 0x03, LCR_STOP = 0x04, LCR_PARITY = 0x08, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10 };
enum { LSR_DR = 0x01, LSR_OE = 0x02, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { MSR_DELTAS = 0x0f, MSR_TERI = 0x04, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40 };
enum { MSR_DCD = 0x80 };

struct fifo {
    uint8_t data[FIFO_SIZE];
    uint8_t head;
    uint8_t count;
};

struct uart16550 {
    struct stream *stream;
    struct wire irq;
    struct timer silence; /* runs out 4 characters after the last one */

    struct mutex mutex;
    uint8_t ier GUARDED_BY(mutex);
    uint8_t fcr GUARDED_BY(mutex); /* FCR_KEPT */
    uint8_t lcr GUARDED_BY(mutex);
    uint8_t mcr GUARDED_BY(mutex);
    uint8_t msr GUARDED_BY(mutex); /* of the connector; the low half are the deltas */
    uint8_t scr GUARDED_BY(mutex);
    uint16_t divisor GUARDED_BY(mutex);
    /* Flags; not bool, for they are loaded from a file before they are checked. */
    uint8_t overrun GUARDED_BY(mutex);      /* LSR.OE */
    uint8_t thre_pending GUARDED_BY(mutex); /* the THRE interrupt; reading IIR takes it back */
    uint8_t timed_out GUARDED_BY(mutex);    /* the character time-out interrupt */
    struct fifo rx GUARDED_BY(mutex);
    struct fifo tx GUARDED_BY(mutex); /* what the stream has refused so far; THRE = empty */
};

static void fifo_put(struct fifo *fifo, uint8_t byte)
{
    fifo->data[(fifo->head + fifo->count++) % FIFO_SIZE] = byte;
}

static uint8_t fifo_get(struct fifo *fifo)
{
    uint8_t byte = fifo->data[fifo->head];

    fifo->head = (uint8_t)((fifo->head + 1) % FIFO_SIZE);
    fifo->count--;
    return byte;
}

/* With the FIFOs off each of them is one holding register. */
static unsigned fifo_limit(const struct uart16550 *uart) REQUIRES(uart->mutex)
{
    return uart->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct uart16550 *uart) REQUIRES(uart->mutex)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return uart->fcr & FCR_ENABLE ? levels[uart->fcr >> 6] : 1;
}

/* The cause of the interrupt that IIR reports, by the data sheet's priorities. */
static uint8_t uart_cause(const struct uart16550 *uart) REQUIRES(uart->mutex)
{
    if ((uart->ier & IER_RLS) && uart->overrun)
        return IIR_RLS;
    if ((uart->ier & IER_RDA) && uart->rx.count >= rx_trigger(uart))
        return IIR_RDA;
    if ((uart->ier & IER_RDA) && uart->timed_out)
        return IIR_TIMEOUT;
    if ((uart->ier & IER_THRE) && uart->thre_pending)
        return IIR_THRE;
    if ((uart->ier & IER_MSR) && (uart->msr & MSR_DELTAS))
        return IIR_MSR;
    return IIR_NONE;
}

static void uart_update(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    wire_set(&uart->irq, uart_cause(uart) != IIR_NONE);
}

/* Nanoseconds that four characters take on the line, within what a guest may sensibly wait. */
static uint64_t uart_silence_ns(const struct uart16550 *uart) REQUIRES(uart->mutex)
{
    unsigned bits = 1 + 5 + (uart->lcr & LCR_LENGTH) + 1 + !!(uart->lcr & LCR_STOP) +
                    !!(uart->lcr & LCR_PARITY);
    uint64_t ns = 4ull * bits * 16 * uart->divisor * 1000000000 / UART16550_CLOCK_HZ;

    return ns > 50000000 ? 50000000 : ns;
}

/* Something was put into the receive FIFO or read from it. */
static void uart_rx_changed(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    uart->timed_out = false;
    if (uart->rx.count && (uart->fcr & FCR_ENABLE) && (uart->ier & IER_RDA))
        timer_set(&uart->silence, monotonic_ns() + uart_silence_ns(uart));
    uart_update(uart);
}

static void uart_silence_over(void *ctx)
{
    struct uart16550 *uart = ctx;

    mutex_lock(&uart->mutex);
    if (uart->rx.count && (uart->fcr & FCR_ENABLE)) {
        uart->timed_out = true;
        uart_update(uart);
    }
    mutex_unlock(&uart->mutex);
}

static size_t uart_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct uart16550 *uart = ctx;
    size_t taken = 0;

    mutex_lock(&uart->mutex);
    /* In loopback mode the receiver is cut from the line (data sheet, 8.9): the bytes wait. */
    if (!(uart->mcr & MCR_LOOP)) {
        while (taken < length && uart->rx.count < fifo_limit(uart))
            fifo_put(&uart->rx, data[taken++]);
        if (taken)
            uart_rx_changed(uart);
    }
    mutex_unlock(&uart->mutex);
    return taken;
}

/* Hands what waits in the transmitter to the stream. */
static void uart_drain(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    while (uart->tx.count) {
        size_t run = (size_t)(FIFO_SIZE - uart->tx.head);
        size_t taken;

        if (run > uart->tx.count)
            run = uart->tx.count;
        taken = stream_write(uart->stream, &uart->tx.data[uart->tx.head], run);
        uart->tx.head = (uint8_t)((uart->tx.head + taken) % FIFO_SIZE);
        uart->tx.count = (uint8_t)(uart->tx.count - taken);
        if (taken < run)
            return; /* uart_writable() goes on */
    }
    uart->thre_pending = true;
}

static void uart_writable(void *ctx)
{
    struct uart16550 *uart = ctx;

    mutex_lock(&uart->mutex);
    if (uart->tx.count) {
        uart_drain(uart);
        uart_update(uart);
    }
    mutex_unlock(&uart->mutex);
}

static void uart_transmit(struct uart16550 *uart, uint8_t byte) REQUIRES(uart->mutex)
{
    uart->thre_pending = false;
    if (uart->mcr & MCR_LOOP) {
        uart->thre_pending = true;
        if (uart->rx.count < fifo_limit(uart))
            fifo_put(&uart->rx, byte);
        else
            uart->overrun = true;
        uart_rx_changed(uart);
        return;
    }
    /* A guest that writes into a full transmitter loses the byte, as on the chip. */
    if (uart->tx.count < fifo_limit(uart)) {
        fifo_put(&uart->tx, byte);
        /* With bytes already waiting the stream has said that it will call. */
        if (uart->tx.count == 1)
            uart_drain(uart);
    }
    uart_update(uart);
}

/* The modem inputs: the connector's, or in loopback mode the outputs of MCR (data sheet, 8.9). */
static uint8_t uart_lines(const struct uart16550 *uart) REQUIRES(uart->mutex)
{
    uint8_t mcr = uart->mcr;

    if (!(mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
                     (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void uart_write_mcr(struct uart16550 *uart, uint8_t value) REQUIRES(uart->mutex)
{
    uint8_t old = uart->msr & (uint8_t)~MSR_DELTAS, now, changed;

    uart->mcr = value & 0x1f;
    now = uart_lines(uart);
    changed = (uint8_t)(old ^ now) >> 4;
    if (now & MSR_RI)
        changed &= (uint8_t)~MSR_TERI; /* the ring indicator counts by its trailing edge only */
    uart->msr = (uint8_t)(now | (uart->msr & MSR_DELTAS) | changed);
}

static void uart_write_fcr(struct uart16550 *uart, uint8_t value) REQUIRES(uart->mutex)
{
    bool switched = (value ^ uart->fcr) & FCR_ENABLE;

    /* With the enable bit clear the other bits are not programmed (data sheet, 8.5). */
    uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    if (switched || (value & (FCR_ENABLE | FCR_CLEAR_RX)) == (FCR_ENABLE | FCR_CLEAR_RX)) {
        uart->rx.count = 0;
        uart_rx_changed(uart);
    }
    if (switched || (value & (FCR_ENABLE | FCR_CLEAR_TX)) == (FCR_ENABLE | FCR_CLEAR_TX)) {
        if (uart->tx.count)
            uart->thre_pending = true;
        uart->tx.count = 0;
    }
}

static void uart_write_ier(struct uart16550 *uart, uint8_t value) REQUIRES(uart->mutex)
{
    uint8_t enabled = value & (uint8_t)~uart->ier;

    uart->ier = value & IER_ALL;
    /* Enabling the interrupt while the transmitter is empty raises it, which drivers count on. */
    if (enabled & IER_THRE)
        uart->thre_pending = !uart->tx.count;
    if (enabled & IER_RDA)
        uart_rx_changed(uart);
}

static uint8_t uart_read_data(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    uint8_t byte = 0;

    if (uart->rx.count)
        byte = fifo_get(&uart->rx);
    uart_rx_changed(uart);
    return byte;
}

static uint8_t uart_read_iir(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    uint8_t cause = uart_cause(uart);

    if (cause == IIR_THRE)
        uart->thre_pending = false;
    return (uint8_t)(cause | (uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0));
}

static uint8_t uart_read_lsr(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    uint8_t value = (uint8_t)((uart->rx.count ? LSR_DR : 0) | (uart->overrun ? LSR_OE : 0) |
                              (uart->tx.count ? 0 : LSR_THRE | LSR_TEMT));

    uart->overrun = false;
    return value;
}

static uint8_t uart_read_msr(struct uart16550 *uart) REQUIRES(uart->mutex)
{
    uint8_t value = uart->msr;

    uart->msr &= (uint8_t)~MSR_DELTAS;
    return value;
}

static uint8_t uart_read_locked(struct uart16550 *uart, uint64_t offset) REQUIRES(uart->mutex)
{
    bool dlab = uart->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        return dlab ? (uint8_t)uart->divisor : uart_read_data(uart);
    case REG_IER:
        return dlab ? (uint8_t)(uart->divisor >> 8) : uart->ier;
    case REG_IIR_FCR:
        return uart_read_iir(uart);
    case REG_LCR:
        return uart->lcr;
    case REG_MCR:
        return uart->mcr;
    case REG_LSR:
        return uart_read_lsr(uart);
    case REG_MSR:
        return uart_read_msr(uart);
    case REG_SCR:
        return uart->scr;
    default:
        return 0;
    }
}

static void uart_write_locked(struct uart16550 *uart, uint64_t offset, uint8_t value)
    REQUIRES(uart->mutex)
{
    bool dlab = uart->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        if (dlab)
            uart->divisor = (uint16_t)((uart->divisor & 0xff00) | value);
        else
            uart_transmit(uart, value);
        break;
    case REG_IER:
        if (dlab)
            uart->divisor = (uint16_t)((uart->divisor & 0x00ff) | value << 8);
        else
            uart_write_ier(uart, value);
        break;
    case REG_IIR_FCR:
        uart_write_fcr(uart, value);
        break;
    case REG_LCR:
        uart->lcr = value;
        break;
    case REG_MCR:
        uart_write_mcr(uart, value);
        break;
    case REG_SCR:
        uart->scr = value;
        break;
    default: /* LSR and MSR are written in factory tests only (data sheet, 8.6); past the end */
        break;
    }
}

/* After any access: the wire, and whether the stream may offer bytes again. */
static bool uart_settle(struct uart16550 *uart, bool was_full) REQUIRES(uart->mutex)
{
    uart_update(uart);
    return was_full && uart->rx.count < fifo_limit(uart) && !(uart->mcr & MCR_LOOP);
}

static bool uart_is_full(const struct uart16550 *uart) REQUIRES(uart->mutex)
{
    return uart->rx.count >= fifo_limit(uart) || (uart->mcr & MCR_LOOP);
}

static uint64_t uart_read(void *ctx, uint64_t offset, unsigned width)
{
    struct uart16550 *uart = ctx;
    bool full, ready;
    uint8_t value;

    mutex_lock(&uart->mutex);
    full = uart_is_full(uart);
    value = uart_read_locked(uart, offset);
    ready = uart_settle(uart, full);
    mutex_unlock(&uart->mutex);
    if (ready)
        stream_ready(uart->stream);
    return value;
}

static void uart_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct uart16550 *uart = ctx;
    bool full, ready;

    mutex_lock(&uart->mutex);
    full = uart_is_full(uart);
    uart_write_locked(uart, offset, (uint8_t)value);
    ready = uart_settle(uart, full);
    mutex_unlock(&uart->mutex);
    if (ready)
        stream_ready(uart->stream);
}

static void uart_reset(void *device)
{
    struct uart16550 *uart = device;

    mutex_lock(&uart->mutex);
    timer_cancel(&uart->silence);
    uart->ier = 0;
    uart->fcr = 0;
    uart->lcr = 0;
    uart->mcr = 0;
    uart->msr = uart_lines(uart);
    uart->scr = 0;
    uart->divisor = 12;
    uart->overrun = false;
    uart->thre_pending = false;
    uart->timed_out = false;
    uart->rx = (struct fifo){0};
    /* What the guest sent before the reset is on the line already: it is not taken back. */
    uart_update(uart);
    mutex_unlock(&uart->mutex);
    stream_ready(uart->stream);
}

static bool uart_check(const void *device) NO_THREAD_SAFETY
{
    const struct uart16550 *uart = device;

    return uart->rx.head < FIFO_SIZE && uart->rx.count <= fifo_limit(uart) &&
           uart->tx.head < FIFO_SIZE && uart->tx.count <= FIFO_SIZE && uart->overrun <= 1 &&
           uart->thre_pending <= 1 && uart->timed_out <= 1 && !(uart->ier & ~IER_ALL) &&
           !(uart->fcr & ~FCR_KEPT) && (uart->fcr == 0 || (uart->fcr & FCR_ENABLE)) &&
           !(uart->mcr & ~0x1f) && (uart->msr & ~MSR_DELTAS) == uart_lines(uart);
}

static void uart_resume(void *device)
{
    struct uart16550 *uart = device;

    mutex_lock(&uart->mutex);
    if (uart->tx.count)
        uart_drain(uart);
    if (!uart->timed_out)
        uart_rx_changed(uart);
    uart_update(uart);
    mutex_unlock(&uart->mutex);
    stream_ready(uart->stream);
}

static void uart_free(void *device)
{
    struct uart16550 *uart = device;

    if (!uart)
        return;
    if (uart->stream)
        stream_attach(uart->stream, &(struct stream_port){0});
    timer_cancel(&uart->silence);
    mutex_release(&uart->mutex);
    free(uart);
}

int uart16550_new(struct uart16550 **out, struct loop *loop, struct stream *stream,
                  const struct wire *irq, struct error *error)
{
    struct uart16550 *uart = calloc(1, sizeof(*uart));
    struct stream_port port = {.receive = uart_receive, .writable = uart_writable, .ctx = uart};

    if (!uart)
        return error_set(error, ENOMEM, "cannot make the serial port: out of memory");
    uart->stream = stream;
    uart->irq = *irq;
    mutex_init(&uart->mutex);
    timer_init(&uart->silence, loop, uart_silence_over, uart);
    uart_reset(uart);
    if (stream)
        stream_attach(stream, &port);
    *out = uart;
    return 0;
}

/* clang-format off */
static const struct state_field uart_fields[] = {
    STATE_FIELD(struct uart16550, ier, 1),
    STATE_FIELD(struct uart16550, fcr, 1),
    STATE_FIELD(struct uart16550, lcr, 1),
    STATE_FIELD(struct uart16550, mcr, 1),
    STATE_FIELD(struct uart16550, msr, 1),
    STATE_FIELD(struct uart16550, scr, 1),
    STATE_FIELD(struct uart16550, divisor, 1),
    STATE_FIELD(struct uart16550, overrun, 1),
    STATE_FIELD(struct uart16550, thre_pending, 1),
    STATE_FIELD(struct uart16550, timed_out, 1),
    STATE_BYTES(struct uart16550, rx.data, 1),
    STATE_FIELD(struct uart16550, rx.head, 1),
    STATE_FIELD(struct uart16550, rx.count, 1),
    STATE_BYTES(struct uart16550, tx.data, 1),
    STATE_FIELD(struct uart16550, tx.head, 1),
    STATE_FIELD(struct uart16550, tx.count, 1),
};
/* clang-format on */

const struct device_type uart16550_type = {
    .name = "uart16550",
    .version = 1,
    .io = {.widths = 1 | 2 | 4 | 8, .read = uart_read, .write = uart_write},
    .fields = uart_fields,
    .field_count = ARRAY_SIZE(uart_fields),
    .reset = uart_reset,
    .check = uart_check,
    .resume = uart_resume,
    .free = uart_free,
};
