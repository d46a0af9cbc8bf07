/* SPDX-License-Identifier: Apache-2.0 */
#include "firmware/sbi.h"

#include <errno.h>

/* Chapter 3, "Binary Encoding": the standard error codes. */
enum {
    SBI_SUCCESS = 0,
    SBI_FAILED = -1,
    SBI_NOT_SUPPORTED = -2,
    SBI_INVALID_PARAM = -3,
    SBI_INVALID_ADDRESS = -5,
    SBI_ALREADY_AVAILABLE = -6,
};

#define SBI_SPECIFICATION (2u << 24) /* 2.0: major in bits 30..24, minor in 23..0 */
/* No number of chapter 4's table of implementations is assigned to hospes; "hosp" in ASCII is far
 * from those that are. */
#define SBI_IMPLEMENTATION 0x686f7370u
#define SBI_VERSION        1u

#define EID_LEGACY_LAST 8u
#define EID_BASE        0x10u
#define EID_TIME        0x54494d45u
#define EID_IPI         0x735049u
#define EID_RFENCE      0x52464e43u
#define EID_HSM         0x48534du
#define EID_SRST        0x53525354u
#define EID_DBCN        0x4442434eu

#define HART_MASK_ALL UINT64_MAX
#define A0            10
#define A1            11
#define A6            16
#define A7            17
#define DBCN_CHUNK    256u
#define ECALL_LENGTH  4u

struct sbi_return {
    int64_t error;
    uint64_t value;
};

/* One call: the caller's arguments, and what becomes of the hart after it. */
struct sbi_frame {
    struct sbi *sbi;
    struct sbi_hart *caller;
    unsigned index;
    uint64_t fid;
    uint64_t a[6];
    enum sbi_next next;
    bool entered; /* the hart was sent elsewhere: a0, a1 and pc are already set */
};

static struct sbi_return sbi_result(int64_t error, uint64_t value)
{
    return (struct sbi_return){.error = error, .value = value};
}

void sbi_init(struct sbi *sbi, struct sbi_hart *harts, unsigned hart_count,
              struct address_space *memory, const struct sbi_host *host)
{
    *sbi = (struct sbi){.memory = memory, .host = host, .harts = harts, .hart_count = hart_count};
    sbi_set_limit(sbi, hart_count);
}

void sbi_set_limit(struct sbi *sbi, unsigned limit)
{
    atomic_store(&sbi->limit, limit);
}

void sbi_reset_harts(struct sbi *sbi, uint64_t address, uint64_t argument)
{
    for (unsigned i = 0; i < sbi->hart_count; i++)
        atomic_store(&sbi->harts[i].state, SBI_HART_STOPPED);
    sbi->harts[0].start_address = address;
    sbi->harts[0].start_argument = argument;
    atomic_store(&sbi->harts[0].state, SBI_HART_START_PENDING);
    atomic_store(&sbi->running, 1);
}

enum sbi_next sbi_begin(struct sbi *sbi, unsigned index)
{
    struct sbi_hart *self = &sbi->harts[index];
    uint32_t state = atomic_load(&self->state);

    if (state == SBI_HART_START_PENDING) {
        riscv_hart_reset(self->hart, self->start_address, self->start_argument);
        atomic_store(&self->state, SBI_HART_STARTED);
        return SBI_NEXT_RUN;
    }
    if (state == SBI_HART_SUSPENDED)
        atomic_store(&self->state, SBI_HART_STARTED);
    /* STOP_PENDING: somebody is about to say where the hart starts, and raises its signal then. */
    return state == SBI_HART_STOPPED || state == SBI_HART_STOP_PENDING ? SBI_NEXT_HALT
                                                                       : SBI_NEXT_RUN;
}

/* ---- hart masks ---- */

/* Calls `each` for every hart of the mask that is not stopped. -EINVAL when the mask names a hart
 * that does not exist ("Hart list parameter"). */
static int sbi_for_mask(struct sbi_frame *frame, uint64_t mask, uint64_t base,
                        void (*each)(struct sbi_frame *frame, unsigned hart))
{
    unsigned count = frame->sbi->hart_count;

    if (base == HART_MASK_ALL) {
        for (unsigned i = 0; i < count; i++)
            each(frame, i);
        return 0;
    }
    for (unsigned bit = 0; bit < 64; bit++)
        if ((mask >> bit & 1) && (base >= count || bit >= count - base))
            return -EINVAL;
    for (unsigned bit = 0; bit < 64; bit++)
        if (mask >> bit & 1)
            each(frame, (unsigned)base + bit);
    return 0;
}

static void send_ipi(struct sbi_frame *frame, unsigned hart)
{
    struct riscv_hart *target = frame->sbi->harts[hart].hart;

    /* SSIP of mip is writable by software: the target clears it itself, so it is not a wire. */
    atomic_fetch_or(&target->soft, 1ull << RISCV_IRQ_S_SOFT);
    cpu_signal_raise(&target->signal);
}

static void fence_code(struct sbi_frame *frame, unsigned hart)
{
    frame->sbi->host->flush_code(frame->sbi->host->ctx, hart);
}

/* a[2], a[3], a[4]: start, size, address space. */
static void fence_tlb(struct sbi_frame *frame, unsigned hart)
{
    uint64_t start = frame->a[2], size = frame->a[3];

    /* Both zero, or a size of all ones, mean everything (chapter 8). */
    if (!start && !size)
        size = UINT64_MAX;
    frame->sbi->host->flush_tlb(frame->sbi->host->ctx, hart, start, size, frame->a[4]);
}

/* ---- extensions ---- */

static bool sbi_has(uint64_t eid)
{
    switch (eid) {
    case EID_BASE:
    case EID_TIME:
    case EID_IPI:
    case EID_RFENCE:
    case EID_HSM:
    case EID_SRST:
    case EID_DBCN:
        return true;
    default:
        return eid <= EID_LEGACY_LAST;
    }
}

static struct sbi_return sbi_base(struct sbi_frame *frame)
{
    switch (frame->fid) {
    case 0:
        return sbi_result(SBI_SUCCESS, SBI_SPECIFICATION);
    case 1:
        return sbi_result(SBI_SUCCESS, SBI_IMPLEMENTATION);
    case 2:
        return sbi_result(SBI_SUCCESS, SBI_VERSION);
    case 3:
        return sbi_result(SBI_SUCCESS, sbi_has(frame->a[0]));
    case 4: /* mvendorid, marchid, mimpid: zero, "not implemented" */
    case 5:
    case 6:
        return sbi_result(SBI_SUCCESS, 0);
    default:
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    }
}

static void sbi_set_timer(struct sbi_frame *frame, uint64_t deadline)
{
    riscv_hart_set_stimecmp(frame->caller->hart, deadline);
}

static struct sbi_return sbi_time(struct sbi_frame *frame)
{
    if (frame->fid != 0)
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    sbi_set_timer(frame, frame->a[0]);
    return sbi_result(SBI_SUCCESS, 0);
}

static struct sbi_return sbi_ipi(struct sbi_frame *frame)
{
    if (frame->fid != 0)
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    if (sbi_for_mask(frame, frame->a[0], frame->a[1], send_ipi))
        return sbi_result(SBI_INVALID_PARAM, 0);
    return sbi_result(SBI_SUCCESS, 0);
}

static struct sbi_return sbi_rfence(struct sbi_frame *frame)
{
    void (*each)(struct sbi_frame *, unsigned);

    switch (frame->fid) {
    case 0:
        each = fence_code;
        break;
    case 1:
        frame->a[4] = UINT64_MAX;
        each = fence_tlb;
        break;
    case 2:
        if (frame->a[4] > 0xffff) /* ASIDMAX of RV64 is 16 */
            return sbi_result(SBI_INVALID_PARAM, 0);
        each = fence_tlb;
        break;
    default: /* the hfence calls: there is no H extension */
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    }
    if (sbi_for_mask(frame, frame->a[0], frame->a[1], each))
        return sbi_result(SBI_INVALID_PARAM, 0);
    return sbi_result(SBI_SUCCESS, 0);
}

static struct sbi_return sbi_hart_start(struct sbi_frame *frame)
{
    struct sbi *sbi = frame->sbi;
    uint64_t id = frame->a[0];
    uint32_t stopped = SBI_HART_STOPPED;

    if (id >= sbi->hart_count)
        return sbi_result(SBI_INVALID_PARAM, 0);
    if (!memory_is_ram(sbi->memory, frame->a[1]) || frame->a[1] & 1)
        return sbi_result(SBI_INVALID_ADDRESS, 0);
    /* STOP_PENDING serves as the lock while the arguments are written: nobody else starts it. */
    if (!atomic_compare_exchange_strong(&sbi->harts[id].state, &stopped, SBI_HART_STOP_PENDING))
        return sbi_result(SBI_ALREADY_AVAILABLE, 0);
    if (atomic_fetch_add(&sbi->running, 1) >= atomic_load(&sbi->limit)) {
        atomic_fetch_sub(&sbi->running, 1);
        atomic_store(&sbi->harts[id].state, SBI_HART_STOPPED);
        return sbi_result(SBI_FAILED, 0);
    }
    sbi->harts[id].start_address = frame->a[1];
    sbi->harts[id].start_argument = frame->a[2];
    atomic_store(&sbi->harts[id].state, SBI_HART_START_PENDING);
    cpu_signal_raise(&sbi->harts[id].hart->signal);
    return sbi_result(SBI_SUCCESS, 0);
}

static struct sbi_return sbi_hart_suspend(struct sbi_frame *frame)
{
    uint32_t type = (uint32_t)frame->a[0];

    switch (type) {
    case 0: /* default retentive: returns when an interrupt is pending */
        atomic_store(&frame->caller->state, SBI_HART_SUSPENDED);
        frame->next = SBI_NEXT_WAIT;
        return sbi_result(SBI_SUCCESS, 0);
    case 0x80000000u: { /* default non-retentive: resumes at an address, as if started there */
        struct riscv_hart *hart = frame->caller->hart;
        uint64_t enabled = hart->mie, deadline = hart->stimecmp;

        if (!memory_is_ram(frame->sbi->memory, frame->a[1]) || frame->a[1] & 1)
            return sbi_result(SBI_INVALID_ADDRESS, 0);
        riscv_hart_reset(hart, frame->a[1], frame->a[2]);
        hart->mie = enabled; /* what may wake it */
        sbi_set_timer(frame, deadline);
        atomic_store(&frame->caller->state, SBI_HART_SUSPENDED);
        frame->entered = true;
        frame->next = SBI_NEXT_WAIT;
        return sbi_result(SBI_SUCCESS, 0);
    }
    default: /* the other ranges are reserved or the platform's own */
        return sbi_result(type > 0x80000000u || type <= 0x0fffffffu ? SBI_INVALID_PARAM
                                                                    : SBI_NOT_SUPPORTED,
                          0);
    }
}

static struct sbi_return sbi_hsm(struct sbi_frame *frame)
{
    switch (frame->fid) {
    case 0:
        return sbi_hart_start(frame);
    case 1:
        /* It executes nothing more; who finds it stopped finds its place free. */
        atomic_fetch_sub(&frame->sbi->running, 1);
        atomic_store(&frame->caller->state, SBI_HART_STOPPED);
        frame->next = SBI_NEXT_HALT;
        frame->entered = true;
        return sbi_result(SBI_SUCCESS, 0);
    case 2:
        if (frame->a[0] >= frame->sbi->hart_count)
            return sbi_result(SBI_INVALID_PARAM, 0);
        return sbi_result(SBI_SUCCESS, atomic_load(&frame->sbi->harts[frame->a[0]].state));
    case 3:
        return sbi_hart_suspend(frame);
    default:
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    }
}

static struct sbi_return sbi_srst(struct sbi_frame *frame)
{
    const struct sbi_host *host = frame->sbi->host;

    if (frame->fid != 0)
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    if (frame->a[0] > SBI_WARM_REBOOT || frame->a[1] > 1)
        return sbi_result(SBI_INVALID_PARAM, 0);
    host->reset(host->ctx, (enum sbi_reset)frame->a[0], frame->a[1] == 1);
    frame->next = SBI_NEXT_HALT;
    return sbi_result(SBI_SUCCESS, 0);
}

static struct sbi_return sbi_console_write(struct sbi_frame *frame)
{
    const struct sbi_host *host = frame->sbi->host;
    uint64_t done = 0, total = frame->a[0];
    uint8_t chunk[DBCN_CHUNK];

    /* The call may write less than asked ("may write partial"), so a hostile length costs one
     * chunk and not hours. */
    if (total > sizeof(chunk))
        total = sizeof(chunk);
    if (frame->a[2] || memory_read(frame->sbi->memory, frame->a[1], chunk, total))
        return sbi_result(SBI_INVALID_PARAM, 0);
    while (done < total && host->console_put(host->ctx, chunk[done]))
        done++;
    return sbi_result(SBI_SUCCESS, done);
}

static struct sbi_return sbi_console_read(struct sbi_frame *frame)
{
    const struct sbi_host *host = frame->sbi->host;
    uint64_t done = 0, total = frame->a[0];
    uint8_t chunk[DBCN_CHUNK];
    struct span span;

    if (total > sizeof(chunk))
        total = sizeof(chunk);
    if (!total)
        return sbi_result(SBI_SUCCESS, 0);
    /* Checked before any input is taken, so that a bad buffer loses none. */
    if (frame->a[2] || memory_pin(frame->sbi->memory, frame->a[1], total, true, &span))
        return sbi_result(SBI_INVALID_PARAM, 0);
    while (done < total) {
        int byte = host->console_get(host->ctx);

        if (byte < 0)
            break;
        chunk[done++] = (uint8_t)byte;
    }
    guest_copy_out(span.host, chunk, done);
    memory_unpin(frame->sbi->memory, &span);
    return sbi_result(SBI_SUCCESS, done);
}

static struct sbi_return sbi_dbcn(struct sbi_frame *frame)
{
    const struct sbi_host *host = frame->sbi->host;

    switch (frame->fid) {
    case 0:
        return sbi_console_write(frame);
    case 1:
        return sbi_console_read(frame);
    case 2:
        return host->console_put(host->ctx, (uint8_t)frame->a[0]) ? sbi_result(SBI_SUCCESS, 0)
                                                                  : sbi_result(SBI_FAILED, 0);
    default:
        return sbi_result(SBI_NOT_SUPPORTED, 0);
    }
}

/* The legacy calls (chapter 5) take a guest-virtual pointer to a bit mask of harts; null means
 * all. They return one value in a0 and leave a1 alone. */
static int64_t sbi_legacy_masked(struct sbi_frame *frame, uint64_t pointer,
                                 void (*each)(struct sbi_frame *, unsigned))
{
    const struct sbi_host *host = frame->sbi->host;
    uint64_t mask = 0;

    if (!pointer)
        return sbi_for_mask(frame, 0, HART_MASK_ALL, each);
    if (host->read_virtual(host->ctx, frame->index, pointer, &mask, sizeof(mask)))
        return SBI_INVALID_ADDRESS;
    /* Bits beyond the last hart name nobody. */
    if (frame->sbi->hart_count < 64)
        mask &= (1ull << frame->sbi->hart_count) - 1;
    return sbi_for_mask(frame, mask, 0, each);
}

static int64_t sbi_legacy(struct sbi_frame *frame, uint64_t eid)
{
    const struct sbi_host *host = frame->sbi->host;
    uint64_t mask = frame->a[0];

    switch (eid) {
    case 0:
        sbi_set_timer(frame, frame->a[0]);
        return 0;
    case 1:
        return host->console_put(host->ctx, (uint8_t)frame->a[0]) ? 0 : SBI_FAILED;
    case 2:
        return host->console_get(host->ctx);
    case 3:
        atomic_fetch_and(&frame->caller->hart->soft, ~(1ull << RISCV_IRQ_S_SOFT));
        return 0;
    case 4:
        return sbi_legacy_masked(frame, mask, send_ipi);
    case 5:
        return sbi_legacy_masked(frame, mask, fence_code);
    case 6:
    case 7: /* start, size and ASID one register earlier than in the new calls */
        frame->a[4] = eid == 7 ? frame->a[3] & 0xffff : UINT64_MAX;
        frame->a[3] = frame->a[2];
        frame->a[2] = frame->a[1];
        return sbi_legacy_masked(frame, mask, fence_tlb);
    default:
        host->reset(host->ctx, SBI_SHUTDOWN, false);
        frame->next = SBI_NEXT_HALT;
        return 0;
    }
}

enum sbi_next sbi_call(struct sbi *sbi, unsigned index)
{
    struct sbi_hart *self = &sbi->harts[index];
    struct riscv_hart *hart = self->hart;
    struct sbi_frame frame = {
        .sbi = sbi, .caller = self, .index = index, .fid = hart->x[A6], .next = SBI_NEXT_RUN};
    struct sbi_return result;
    uint64_t eid = hart->x[A7];

    for (unsigned i = 0; i < 6; i++)
        frame.a[i] = hart->x[A0 + i];

    if (eid <= EID_LEGACY_LAST) {
        hart->x[A0] = (uint64_t)sbi_legacy(&frame, eid);
        hart->pc += ECALL_LENGTH;
        return frame.next;
    }
    switch (eid) {
    case EID_BASE:
        result = sbi_base(&frame);
        break;
    case EID_TIME:
        result = sbi_time(&frame);
        break;
    case EID_IPI:
        result = sbi_ipi(&frame);
        break;
    case EID_RFENCE:
        result = sbi_rfence(&frame);
        break;
    case EID_HSM:
        result = sbi_hsm(&frame);
        break;
    case EID_SRST:
        result = sbi_srst(&frame);
        break;
    case EID_DBCN:
        result = sbi_dbcn(&frame);
        break;
    default:
        result = sbi_result(SBI_NOT_SUPPORTED, 0);
        break;
    }
    if (!frame.entered) {
        hart->x[A0] = (uint64_t)result.error;
        hart->x[A1] = result.value;
        hart->pc += ECALL_LENGTH;
    }
    return frame.next;
}
