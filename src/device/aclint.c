/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants
 *  T1  deadline.armed is no later than deadline.at whenever nobody is between the two halves of
 *      deadline_set() or deadline_run(): a deadline is never missed, a timer may come too early and
 *      then goes on to where the deadline is now.
 *  T2  Each side of T1 writes its own word first and then reads the other's, all sequentially
 *      consistent: of a set and an expiry at the same time at least one sees the other.
 *      Where `elsewhere` is set, T1 is somebody else's to see to, by a timer of the hart's thread
 *      (aclint_leave_stimecmp()), until mtime jumps.
 *  T3  The M timer wire of a hart is high exactly while mtime >= mtimecmp; it is driven with the
 *      mutex held, by who moved either side.
 */
#include "device/aclint.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/thread.h"

#define NS_PER_TICK (1000000000u / ACLINT_FREQUENCY_HZ)
#define NEVER       UINT64_MAX

/* Register offsets in the CLINT's layout. */
enum {
    MSIP_BASE = 0x0000,
    MTIMECMP_BASE = 0x4000,
    MTIME = 0xbff8,
};

/* A point of mtime at which something is to be called. */
struct deadline {
    struct aclint *aclint;
    unsigned hart;
    void (*reached)(struct deadline *deadline);
    _Atomic uint64_t at;    /* ticks */
    _Atomic uint64_t armed; /* ticks for which the timer is set; NEVER: it is not */
    _Atomic bool elsewhere; /* the timer need not be set */
    struct timer timer;
    struct mutex mutex; /* makes a change of `armed` and of the timer one step */
};

struct aclint {
    const struct clock *clock;
    unsigned harts;
    struct wire software[ACLINT_HARTS_MAX];
    struct wire timer[ACLINT_HARTS_MAX];
    void (*stimecmp_reached)(void *ctx, unsigned hart);
    void *ctx;

    _Atomic unsigned jumps;  /* of mtime against CLOCK_MONOTONIC */
    _Atomic uint64_t offset; /* mtime minus the clock's ticks, modulo 2^64 */

    struct mutex mutex;
    uint8_t msip[ACLINT_HARTS_MAX] GUARDED_BY(mutex);
    uint64_t mtimecmp[ACLINT_HARTS_MAX] GUARDED_BY(mutex);

    struct deadline m[ACLINT_HARTS_MAX]; /* at = mtimecmp */
    struct deadline s[ACLINT_HARTS_MAX]; /* at = stimecmp */
};

uint64_t aclint_time(const struct aclint *aclint)
{
    return clock_now_ns(aclint->clock) / NS_PER_TICK +
           atomic_load_explicit(&aclint->offset, memory_order_relaxed);
}

/* ---- deadlines ---- */

/* The machine's time at which mtime goes from `time`, its value at `now_ns`, to `at`. */
static uint64_t ticks_to_ns(uint64_t now_ns, uint64_t time, uint64_t at)
{
    uint64_t ns;

    if (__builtin_mul_overflow(at - time, NS_PER_TICK, &ns) ||
        __builtin_add_overflow(ns, now_ns - now_ns % NS_PER_TICK, &ns))
        return UINT64_MAX;
    return ns;
}

/* The CLOCK_MONOTONIC time at which mtime reaches `at`, which is not NEVER: 0 if it has, UINT64_MAX
 * while the clock stands. */
static uint64_t ticks_when(const struct aclint *aclint, uint64_t at)
{
    uint64_t now_ns = clock_now_ns(aclint->clock);
    uint64_t time = now_ns / NS_PER_TICK + atomic_load(&aclint->offset);

    return time >= at ? 0 : clock_to_monotonic(aclint->clock, ticks_to_ns(now_ns, time, at));
}

/* Calls when it is time; else sets the timer, unless it is set for earlier. */
static void deadline_arm(struct deadline *deadline)
{
    uint64_t at = atomic_load(&deadline->at), when;

    if (at >= atomic_load(&deadline->armed))
        return; /* also: never */
    when = ticks_when(deadline->aclint, at);
    if (!when) {
        deadline->reached(deadline);
        return;
    }
    if (atomic_load(&deadline->elsewhere))
        return;
    mutex_lock(&deadline->mutex);
    if (at < atomic_load(&deadline->armed)) {
        atomic_store(&deadline->armed, at);
        timer_set(&deadline->timer, when);
    }
    mutex_unlock(&deadline->mutex);
}

static void deadline_set(struct deadline *deadline, uint64_t at)
{
    atomic_store(&deadline->at, at); /* T2 */
    deadline_arm(deadline);
}

/* The timer ran out, or every deadline has to be looked at anew. */
static void deadline_run(void *ctx)
{
    struct deadline *deadline = ctx;

    mutex_lock(&deadline->mutex);
    timer_cancel(&deadline->timer);
    atomic_store(&deadline->armed, NEVER); /* T2 */
    mutex_unlock(&deadline->mutex);
    deadline_arm(deadline);
}

static void deadline_init(struct deadline *deadline, struct aclint *aclint, unsigned hart,
                          struct loop *loop, void (*reached)(struct deadline *deadline))
{
    deadline->aclint = aclint;
    deadline->hart = hart;
    deadline->reached = reached;
    atomic_init(&deadline->at, NEVER);
    atomic_init(&deadline->armed, NEVER);
    atomic_init(&deadline->elsewhere, false);
    timer_init(&deadline->timer, loop, deadline_run, deadline);
    mutex_init(&deadline->mutex);
}

static void deadline_release(struct deadline *deadline)
{
    timer_cancel(&deadline->timer);
    mutex_release(&deadline->mutex);
}

/* ---- who is called ---- */

/* T3. Looks itself at the time, so that it does not matter who was faster. */
static void aclint_update_timer(struct aclint *aclint, unsigned hart) REQUIRES(aclint->mutex)
{
    wire_set(&aclint->timer[hart], aclint_time(aclint) >= aclint->mtimecmp[hart]);
}

static void mtimecmp_reached(struct deadline *deadline)
{
    struct aclint *aclint = deadline->aclint;

    mutex_lock(&aclint->mutex);
    aclint_update_timer(aclint, deadline->hart);
    mutex_unlock(&aclint->mutex);
}

static void stimecmp_reached(struct deadline *deadline)
{
    struct aclint *aclint = deadline->aclint;

    if (aclint->stimecmp_reached)
        aclint->stimecmp_reached(aclint->ctx, deadline->hart);
}

void aclint_set_stimecmp(struct aclint *aclint, unsigned hart, uint64_t deadline)
{
    if (hart >= aclint->harts)
        return;
    atomic_store(&aclint->s[hart].elsewhere, false);
    deadline_set(&aclint->s[hart], deadline);
}

uint64_t aclint_when(const struct aclint *aclint, uint64_t deadline, unsigned *jumps)
{
    *jumps = atomic_load(&aclint->jumps);
    return deadline == NEVER ? UINT64_MAX : ticks_when(aclint, deadline);
}

bool aclint_leave_stimecmp(struct aclint *aclint, unsigned hart, uint64_t deadline, unsigned jumps)
{
    if (hart >= aclint->harts)
        return false;
    /* As with T2: of a jump and this at the same time one sees the other. */
    atomic_store(&aclint->s[hart].at, deadline);
    atomic_store(&aclint->s[hart].elsewhere, true);
    return atomic_load(&aclint->jumps) == jumps;
}

/* mtime jumped, or runs again: nothing that was computed from it holds any more. */
static void aclint_retime(struct aclint *aclint)
{
    atomic_fetch_add(&aclint->jumps, 1);
    for (unsigned i = 0; i < aclint->harts; i++) {
        atomic_store(&aclint->s[i].elsewhere, false);
        mtimecmp_reached(&aclint->m[i]);
        stimecmp_reached(&aclint->s[i]);
        deadline_run(&aclint->m[i]);
        deadline_run(&aclint->s[i]);
    }
}

/* ---- registers ---- */

/* Replaces the `width` bytes at byte `at` of a 64-bit register. */
static uint64_t merge(uint64_t old, unsigned at, unsigned width, uint64_t value)
{
    uint64_t mask = width == 8 ? ~0ull : 0xffffffffull << (8 * at);

    return (old & ~mask) | (value << (8 * at) & mask);
}

static uint64_t aclint_read(void *ctx, uint64_t offset, unsigned width)
{
    struct aclint *aclint = ctx;
    unsigned shift = offset % 8 * 8;
    uint64_t value = 0;

    if (offset >= MTIME && offset < MTIME + 8)
        return aclint_time(aclint) >> shift;
    mutex_lock(&aclint->mutex);
    if (offset < MSIP_BASE + 4 * aclint->harts) {
        value = aclint->msip[offset / 4];
        if (width == 8 && offset / 4 + 1 < aclint->harts)
            value |= (uint64_t)aclint->msip[offset / 4 + 1] << 32;
    } else if (offset >= MTIMECMP_BASE && offset < MTIMECMP_BASE + 8 * aclint->harts) {
        value = aclint->mtimecmp[(offset - MTIMECMP_BASE) / 8] >> shift;
    }
    mutex_unlock(&aclint->mutex);
    return value;
}

static void aclint_write_msip(struct aclint *aclint, uint64_t hart, uint64_t value)
{
    if (hart >= aclint->harts)
        return;
    mutex_lock(&aclint->mutex);
    aclint->msip[hart] = value & 1; /* the other bits are hardwired to 0 */
    wire_set(&aclint->software[hart], value & 1);
    mutex_unlock(&aclint->mutex);
}

static void aclint_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct aclint *aclint = ctx;
    unsigned at = offset % 8;

    if (offset < MSIP_BASE + 4 * aclint->harts) {
        aclint_write_msip(aclint, offset / 4, value);
        if (width == 8)
            aclint_write_msip(aclint, offset / 4 + 1, value >> 32);
    } else if (offset >= MTIMECMP_BASE && offset < MTIMECMP_BASE + 8 * aclint->harts) {
        unsigned hart = (unsigned)(offset - MTIMECMP_BASE) / 8;

        mutex_lock(&aclint->mutex);
        aclint->mtimecmp[hart] = merge(aclint->mtimecmp[hart], at, width, value);
        atomic_store(&aclint->m[hart].at, aclint->mtimecmp[hart]);
        aclint_update_timer(aclint, hart);
        mutex_unlock(&aclint->mutex);
        deadline_arm(&aclint->m[hart]);
    } else if (offset >= MTIME && offset < MTIME + 8) {
        uint64_t now;

        mutex_lock(&aclint->mutex);
        now = aclint_time(aclint);
        atomic_fetch_add(&aclint->offset, merge(now, at, width, value) - now);
        mutex_unlock(&aclint->mutex);
        aclint_retime(aclint);
    }
}

/* ---- the instance ---- */

static void aclint_reset(void *device)
{
    struct aclint *aclint = device;

    mutex_lock(&aclint->mutex);
    atomic_store(&aclint->offset, -(clock_now_ns(aclint->clock) / NS_PER_TICK));
    for (unsigned i = 0; i < aclint->harts; i++) {
        aclint->msip[i] = 0;
        wire_set(&aclint->software[i], false);
        /* The specification leaves mtimecmp open; "never" spares a guest a stray interrupt. */
        aclint->mtimecmp[i] = NEVER;
        atomic_store(&aclint->m[i].at, NEVER);
        atomic_store(&aclint->s[i].at, NEVER);
    }
    mutex_unlock(&aclint->mutex);
    aclint_retime(aclint);
}

static bool aclint_check(const void *device) NO_THREAD_SAFETY
{
    const struct aclint *aclint = device;

    for (unsigned i = 0; i < ACLINT_HARTS_MAX; i++)
        if (aclint->msip[i] > 1)
            return false;
    return true;
}

static void aclint_resume(void *device)
{
    struct aclint *aclint = device;

    mutex_lock(&aclint->mutex);
    for (unsigned i = 0; i < aclint->harts; i++) {
        wire_set(&aclint->software[i], aclint->msip[i]);
        atomic_store(&aclint->m[i].at, aclint->mtimecmp[i]);
    }
    mutex_unlock(&aclint->mutex);
    aclint_retime(aclint);
}

static void aclint_free(void *device)
{
    struct aclint *aclint = device;

    if (!aclint)
        return;
    for (unsigned i = 0; i < aclint->harts; i++) {
        deadline_release(&aclint->m[i]);
        deadline_release(&aclint->s[i]);
    }
    mutex_release(&aclint->mutex);
    free(aclint);
}

int aclint_new(struct aclint **out, struct loop *loop, const struct clock *clock,
               const struct aclint_config *config, struct error *error)
{
    struct aclint *aclint;

    if (!config->harts || config->harts > ACLINT_HARTS_MAX)
        return error_set(error, EINVAL, "a machine with %u harts is not possible; 1 to %d are",
                         config->harts, ACLINT_HARTS_MAX);
    aclint = calloc(1, sizeof(*aclint));
    if (!aclint)
        return error_set(error, ENOMEM, "cannot make the timers: out of memory");
    aclint->clock = clock;
    aclint->harts = config->harts;
    aclint->stimecmp_reached = config->stimecmp_reached;
    aclint->ctx = config->ctx;
    mutex_init(&aclint->mutex);
    mutex_lock(&aclint->mutex);
    for (unsigned i = 0; i < aclint->harts; i++) {
        aclint->software[i] = config->software[i];
        aclint->timer[i] = config->timer[i];
        aclint->mtimecmp[i] = NEVER;
        deadline_init(&aclint->m[i], aclint, i, loop, mtimecmp_reached);
        deadline_init(&aclint->s[i], aclint, i, loop, stimecmp_reached);
    }
    mutex_unlock(&aclint->mutex);
    *out = aclint;
    return 0;
}

/* clang-format off */
static const struct state_field aclint_fields[] = {
    STATE_FIELD(struct aclint, offset, 1),
    STATE_ARRAY(struct aclint, msip, 1),
    STATE_ARRAY(struct aclint, mtimecmp, 1),
};
/* clang-format on */

const struct device_type aclint_type = {
    .name = "aclint",
    .version = 1,
    .io = {.widths = 4 | 8, .read = aclint_read, .write = aclint_write},
    .fields = aclint_fields,
    .field_count = ARRAY_SIZE(aclint_fields),
    .reset = aclint_reset,
    .check = aclint_check,
    .resume = aclint_resume,
    .free = aclint_free,
};
