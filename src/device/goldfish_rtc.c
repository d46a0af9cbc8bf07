/* SPDX-License-Identifier: Apache-2.0 */
#include "device/goldfish_rtc.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/thread.h"

/* Register offsets. */
enum {
    REG_TIME_LOW = 0x00,     /* reading it latches TIME_HIGH */
    REG_TIME_HIGH = 0x04,    /* of the last TIME_LOW read */
    REG_ALARM_LOW = 0x08,    /* writing it sets the alarm */
    REG_ALARM_HIGH = 0x0c,   /* to be written before ALARM_LOW */
    REG_IRQ_ENABLED = 0x10,  /* bit 0 */
    REG_CLEAR_ALARM = 0x14,  /* writing anything takes the alarm back */
    REG_ALARM_STATUS = 0x18, /* 1 while an alarm is set */
    REG_CLEAR_IRQ = 0x1c,    /* writing anything lowers the interrupt */
};

struct goldfish_rtc {
    struct wire irq;
    struct timer timer;

    struct mutex mutex;
    uint64_t offset_ns GUARDED_BY(mutex); /* guest's time minus the host's, modulo 2^64 */
    uint64_t alarm_ns GUARDED_BY(mutex);  /* in the guest's time */
    uint32_t time_high GUARDED_BY(mutex); /* the latch */
    /* Flags; not bool, for they are loaded from a file before they are checked. */
    uint8_t alarm_set GUARDED_BY(mutex);
    uint8_t irq_enabled GUARDED_BY(mutex);
    uint8_t irq_pending GUARDED_BY(mutex);
};

static uint64_t rtc_now_ns(const struct goldfish_rtc *rtc) REQUIRES(rtc->mutex)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec + rtc->offset_ns;
}

static void rtc_update(struct goldfish_rtc *rtc) REQUIRES(rtc->mutex)
{
    wire_set(&rtc->irq, rtc->irq_pending && rtc->irq_enabled);
}

/* Fires a set alarm whose time has come, or waits for it. */
static void rtc_look(struct goldfish_rtc *rtc) REQUIRES(rtc->mutex)
{
    uint64_t now = rtc_now_ns(rtc), deadline;

    timer_cancel(&rtc->timer);
    if (!rtc->alarm_set)
        return;
    if (rtc->alarm_ns <= now) {
        rtc->alarm_set = false;
        rtc->irq_pending = true;
        rtc_update(rtc);
    } else {
        if (__builtin_add_overflow(monotonic_ns(), rtc->alarm_ns - now, &deadline))
            deadline = UINT64_MAX;
        timer_set(&rtc->timer, deadline);
    }
}

static void rtc_timer_over(void *ctx)
{
    struct goldfish_rtc *rtc = ctx;

    mutex_lock(&rtc->mutex);
    rtc_look(rtc);
    mutex_unlock(&rtc->mutex);
}

static uint32_t rtc_read_locked(struct goldfish_rtc *rtc, uint64_t offset) REQUIRES(rtc->mutex)
{
    uint64_t now;

    switch (offset) {
    case REG_TIME_LOW:
        now = rtc_now_ns(rtc);
        rtc->time_high = (uint32_t)(now >> 32);
        return (uint32_t)now;
    case REG_TIME_HIGH:
        return rtc->time_high;
    case REG_ALARM_LOW:
        return (uint32_t)rtc->alarm_ns;
    case REG_ALARM_HIGH:
        return (uint32_t)(rtc->alarm_ns >> 32);
    case REG_IRQ_ENABLED:
        return rtc->irq_enabled;
    case REG_ALARM_STATUS:
        return rtc->alarm_set;
    default:
        return 0;
    }
}

/* The guest sets its clock: one half of it, the other runs on. */
static void rtc_set_half(struct goldfish_rtc *rtc, unsigned shift, uint32_t value)
    REQUIRES(rtc->mutex)
{
    uint64_t now = rtc_now_ns(rtc);
    uint64_t then = (now & ~(0xffffffffull << shift)) | (uint64_t)value << shift;

    rtc->offset_ns += then - now;
    rtc_look(rtc);
}

static void rtc_write_locked(struct goldfish_rtc *rtc, uint64_t offset, uint32_t value)
    REQUIRES(rtc->mutex)
{
    switch (offset) {
    case REG_TIME_LOW:
        rtc_set_half(rtc, 0, value);
        break;
    case REG_TIME_HIGH:
        rtc_set_half(rtc, 32, value);
        break;
    case REG_ALARM_LOW:
        rtc->alarm_ns = (rtc->alarm_ns & 0xffffffff00000000) | value;
        rtc->alarm_set = true;
        rtc_look(rtc);
        break;
    case REG_ALARM_HIGH:
        /* A set alarm stays where it is until ALARM_LOW follows: half a new time is no time. */
        rtc->alarm_ns = (rtc->alarm_ns & 0xffffffff) | (uint64_t)value << 32;
        break;
    case REG_IRQ_ENABLED:
        rtc->irq_enabled = value & 1;
        break;
    case REG_CLEAR_ALARM:
        rtc->alarm_set = false;
        timer_cancel(&rtc->timer);
        break;
    case REG_CLEAR_IRQ:
        rtc->irq_pending = false;
        break;
    default:
        return;
    }
    rtc_update(rtc);
}

static uint64_t rtc_read(void *ctx, uint64_t offset, unsigned width)
{
    struct goldfish_rtc *rtc = ctx;
    uint32_t value;

    mutex_lock(&rtc->mutex);
    value = rtc_read_locked(rtc, offset);
    mutex_unlock(&rtc->mutex);
    return value;
}

static void rtc_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct goldfish_rtc *rtc = ctx;

    mutex_lock(&rtc->mutex);
    rtc_write_locked(rtc, offset, (uint32_t)value);
    mutex_unlock(&rtc->mutex);
}

/* The time of day outlives a reset, as with a clock that has a battery. */
static void rtc_reset(void *device)
{
    struct goldfish_rtc *rtc = device;

    mutex_lock(&rtc->mutex);
    timer_cancel(&rtc->timer);
    rtc->alarm_ns = 0;
    rtc->time_high = 0;
    rtc->alarm_set = false;
    rtc->irq_enabled = false;
    rtc->irq_pending = false;
    rtc_update(rtc);
    mutex_unlock(&rtc->mutex);
}

static bool rtc_check(const void *device) NO_THREAD_SAFETY
{
    const struct goldfish_rtc *rtc = device;

    return rtc->alarm_set <= 1 && rtc->irq_enabled <= 1 && rtc->irq_pending <= 1;
}

static void rtc_resume(void *device)
{
    struct goldfish_rtc *rtc = device;

    mutex_lock(&rtc->mutex);
    rtc_look(rtc);
    rtc_update(rtc);
    mutex_unlock(&rtc->mutex);
}

static void rtc_free(void *device)
{
    struct goldfish_rtc *rtc = device;

    if (!rtc)
        return;
    timer_cancel(&rtc->timer);
    mutex_release(&rtc->mutex);
    free(rtc);
}

int goldfish_rtc_new(struct goldfish_rtc **out, struct loop *loop, const struct wire *irq,
                     struct error *error)
{
    struct goldfish_rtc *rtc = calloc(1, sizeof(*rtc));

    if (!rtc)
        return error_set(error, ENOMEM, "cannot make the real-time clock: out of memory");
    rtc->irq = *irq;
    timer_init(&rtc->timer, loop, rtc_timer_over, rtc);
    mutex_init(&rtc->mutex);
    *out = rtc;
    return 0;
}

/* clang-format off */
static const struct state_field rtc_fields[] = {
    STATE_FIELD(struct goldfish_rtc, offset_ns, 1),
    STATE_FIELD(struct goldfish_rtc, alarm_ns, 1),
    STATE_FIELD(struct goldfish_rtc, time_high, 1),
    STATE_FIELD(struct goldfish_rtc, alarm_set, 1),
    STATE_FIELD(struct goldfish_rtc, irq_enabled, 1),
    STATE_FIELD(struct goldfish_rtc, irq_pending, 1),
};
/* clang-format on */

const struct device_type goldfish_rtc_type = {
    .name = "goldfish_rtc",
    .version = 1,
    .io = {.widths = 4, .read = rtc_read, .write = rtc_write},
    .fields = rtc_fields,
    .field_count = ARRAY_SIZE(rtc_fields),
    .reset = rtc_reset,
    .check = rtc_check,
    .resume = rtc_resume,
    .free = rtc_free,
};
