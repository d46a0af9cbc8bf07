/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants (section numbers of the PLIC specification 1.0.0)
 *  P1  pending is set by the gateway only, and only while the source is not in service: between
 *      claim and completion it stays clear (5 "Interrupt Flow").
 *  P2  A request that went through stays pending when its wire falls (4 "Interrupt Gateways").
 *  P3  The output of a context is high exactly while an enabled pending source has a priority above
 *      the context's threshold (8 "Priority Thresholds"); claiming looks at no threshold (9).
 *  P4  Bit 0 of each set is clear: source 0 does not exist.
 */
#include "device/plic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

#define WORDS        (PLIC_SOURCES / 32)
#define PRIORITY_MAX 7

enum {
    PENDING_BASE = 0x1000,
    ENABLE_BASE = 0x2000,
    ENABLE_STRIDE = 0x80,
    CONTEXT_BASE = 0x200000,
    CONTEXT_STRIDE = 0x1000,
    CONTEXT_THRESHOLD = 0,
    CONTEXT_CLAIM = 4,
};

/* One bit a source. */
struct source_set {
    uint32_t word[WORDS];
};

struct plic {
    unsigned contexts;
    struct wire outputs[PLIC_CONTEXTS_MAX];

    struct mutex mutex;
    struct source_set level GUARDED_BY(mutex);      /* the wires in */
    struct source_set pending GUARDED_BY(mutex);    /* P1 */
    struct source_set in_service GUARDED_BY(mutex); /* claimed, not completed */
    uint8_t priority[PLIC_SOURCES] GUARDED_BY(mutex);
    struct source_set enable[PLIC_CONTEXTS_MAX] GUARDED_BY(mutex);
    uint8_t threshold[PLIC_CONTEXTS_MAX] GUARDED_BY(mutex);
    bool output[PLIC_CONTEXTS_MAX] GUARDED_BY(mutex); /* what the wires out were last set to */
};

static bool set_has(const struct source_set *set, unsigned source)
{
    return set->word[source / 32] >> (source % 32) & 1;
}

static void set_put(struct source_set *set, unsigned source, bool value)
{
    uint32_t bit = 1u << (source % 32);

    if (value)
        set->word[source / 32] |= bit;
    else
        set->word[source / 32] &= ~bit;
}

/* The pending source that `context` would claim: the highest priority, then the lowest number;
 * 0 for none. Priority 0 means "never interrupt" (section 4). */
static unsigned plic_best(const struct plic *plic, unsigned context) REQUIRES(plic->mutex)
{
    unsigned best = 0, priority = 0;

    for (unsigned i = 0; i < WORDS; i++) {
        uint32_t ready = plic->pending.word[i] & plic->enable[context].word[i];

        for (; ready; ready &= ready - 1) {
            unsigned source = i * 32 + (unsigned)__builtin_ctz(ready);

            if (plic->priority[source] > priority) {
                best = source;
                priority = plic->priority[source];
            }
        }
    }
    return best;
}

static void plic_update_context(struct plic *plic, unsigned context) REQUIRES(plic->mutex)
{
    unsigned best = plic_best(plic, context);
    bool output = best && plic->priority[best] > plic->threshold[context];

    if (output == plic->output[context])
        return;
    plic->output[context] = output;
    wire_set(&plic->outputs[context], output);
}

/* After a change that touches one source only. */
static void plic_update_source(struct plic *plic, unsigned source) REQUIRES(plic->mutex)
{
    for (unsigned i = 0; i < plic->contexts; i++)
        if (set_has(&plic->enable[i], source))
            plic_update_context(plic, i);
}

/* The gateway: lets a request of a level-triggered source through. */
static void plic_gate(struct plic *plic, unsigned source) REQUIRES(plic->mutex)
{
    if (!set_has(&plic->level, source) || set_has(&plic->in_service, source) ||
        set_has(&plic->pending, source))
        return;
    set_put(&plic->pending, source, true);
    plic_update_source(plic, source);
}

static void plic_set_source(void *ctx, unsigned source, bool level)
{
    struct plic *plic = ctx;

    if (!source || source >= PLIC_SOURCES)
        return;
    mutex_lock(&plic->mutex);
    set_put(&plic->level, source, level);
    plic_gate(plic, source);
    mutex_unlock(&plic->mutex);
}

struct wire plic_input(struct plic *plic, unsigned source)
{
    return (struct wire){.set = plic_set_source, .ctx = plic, .number = source};
}

/* Section 9. */
static uint32_t plic_claim(struct plic *plic, unsigned context) REQUIRES(plic->mutex)
{
    unsigned source = plic_best(plic, context);

    if (source) {
        set_put(&plic->pending, source, false);
        set_put(&plic->in_service, source, true);
        plic_update_source(plic, source);
    }
    return source;
}

/* Section 10: who completes need not be who claimed, but the source must be enabled for it. */
static void plic_complete(struct plic *plic, unsigned context, uint32_t source)
    REQUIRES(plic->mutex)
{
    if (source >= PLIC_SOURCES || !set_has(&plic->enable[context], source))
        return;
    set_put(&plic->in_service, source, false);
    plic_gate(plic, source);
}

/* Splits an offset at or above ENABLE_BASE; false where there is no such register. */
static bool plic_find_context(const struct plic *plic, uint64_t offset, unsigned *context,
                              unsigned *reg)
{
    uint64_t base = offset < CONTEXT_BASE ? ENABLE_BASE : CONTEXT_BASE;
    uint64_t stride = offset < CONTEXT_BASE ? ENABLE_STRIDE : CONTEXT_STRIDE;
    uint64_t index = (offset - base) / stride;

    if (index >= plic->contexts)
        return false;
    *context = (unsigned)index;
    *reg = (unsigned)((offset - base) % stride);
    return true;
}

static uint32_t plic_read_locked(struct plic *plic, uint64_t offset) REQUIRES(plic->mutex)
{
    unsigned context, reg;

    if (offset < PENDING_BASE)
        return offset / 4 < PLIC_SOURCES ? plic->priority[offset / 4] : 0;
    if (offset < ENABLE_BASE)
        return (offset - PENDING_BASE) / 4 < WORDS ? plic->pending.word[(offset - PENDING_BASE) / 4]
                                                   : 0;
    if (!plic_find_context(plic, offset, &context, &reg))
        return 0;
    if (offset < CONTEXT_BASE)
        return reg / 4 < WORDS ? plic->enable[context].word[reg / 4] : 0;
    if (reg == CONTEXT_THRESHOLD)
        return plic->threshold[context];
    if (reg == CONTEXT_CLAIM)
        return plic_claim(plic, context);
    return 0;
}

static void plic_write_locked(struct plic *plic, uint64_t offset, uint32_t value)
    REQUIRES(plic->mutex)
{
    unsigned context, reg;

    if (offset < PENDING_BASE) {
        unsigned source = (unsigned)offset / 4;

        if (source && source < PLIC_SOURCES) {
            plic->priority[source] = value & PRIORITY_MAX;
            plic_update_source(plic, source);
        }
        return;
    }
    /* The pending bits are read-only. */
    if (offset < ENABLE_BASE || !plic_find_context(plic, offset, &context, &reg))
        return;
    if (offset < CONTEXT_BASE) {
        if (reg / 4 < WORDS) {
            plic->enable[context].word[reg / 4] = reg ? value : value & ~1u; /* P4 */
            plic_update_context(plic, context);
        }
    } else if (reg == CONTEXT_THRESHOLD) {
        plic->threshold[context] = value & PRIORITY_MAX;
        plic_update_context(plic, context);
    } else if (reg == CONTEXT_CLAIM) {
        plic_complete(plic, context, value);
    }
}

static uint64_t plic_read(void *ctx, uint64_t offset, unsigned width)
{
    struct plic *plic = ctx;
    uint32_t value;

    mutex_lock(&plic->mutex);
    value = plic_read_locked(plic, offset);
    mutex_unlock(&plic->mutex);
    return value;
}

static void plic_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct plic *plic = ctx;

    mutex_lock(&plic->mutex);
    plic_write_locked(plic, offset, (uint32_t)value);
    mutex_unlock(&plic->mutex);
}

/* Power-on resets the devices as well, which lowers their wires: in whatever order the board does
 * it, no level of before is left to become a request. */
static void plic_reset(void *device)
{
    struct plic *plic = device;

    mutex_lock(&plic->mutex);
    memset(plic->priority, 0, sizeof(plic->priority));
    memset(plic->enable, 0, sizeof(plic->enable));
    memset(plic->threshold, 0, sizeof(plic->threshold));
    plic->level = (struct source_set){0};
    plic->pending = (struct source_set){0};
    plic->in_service = (struct source_set){0};
    for (unsigned i = 0; i < plic->contexts; i++)
        plic_update_context(plic, i);
    mutex_unlock(&plic->mutex);
}

static bool plic_check(const void *device) NO_THREAD_SAFETY
{
    const struct plic *plic = device;

    for (unsigned i = 0; i < PLIC_SOURCES; i++)
        if (plic->priority[i] > (i ? PRIORITY_MAX : 0))
            return false;
    for (unsigned i = 0; i < PLIC_CONTEXTS_MAX; i++)
        if (plic->threshold[i] > PRIORITY_MAX || set_has(&plic->enable[i], 0))
            return false;
    for (unsigned i = 0; i < WORDS; i++)
        if (plic->pending.word[i] & plic->in_service.word[i])
            return false;
    return !set_has(&plic->level, 0) && !set_has(&plic->pending, 0) &&
           !set_has(&plic->in_service, 0);
}

/* A level that rose between saving and now may wait at its gateway; the wires out are driven
 * whatever they were. */
static void plic_resume(void *device)
{
    struct plic *plic = device;

    mutex_lock(&plic->mutex);
    for (unsigned i = 1; i < PLIC_SOURCES; i++)
        plic_gate(plic, i);
    for (unsigned i = 0; i < plic->contexts; i++) {
        plic_update_context(plic, i);
        wire_set(&plic->outputs[i], plic->output[i]);
    }
    mutex_unlock(&plic->mutex);
}

static void plic_free(void *device)
{
    struct plic *plic = device;

    if (!plic)
        return;
    mutex_release(&plic->mutex);
    free(plic);
}

int plic_new(struct plic **out, const struct wire *outputs, unsigned contexts, struct error *error)
{
    struct plic *plic;

    if (!contexts || contexts > PLIC_CONTEXTS_MAX)
        return error_set(error, EINVAL, "an interrupt controller with %u contexts is not possible",
                         contexts);
    plic = calloc(1, sizeof(*plic));
    if (!plic)
        return error_set(error, ENOMEM, "cannot make the interrupt controller: out of memory");
    plic->contexts = contexts;
    memcpy(plic->outputs, outputs, contexts * sizeof(*outputs));
    mutex_init(&plic->mutex);
    *out = plic;
    return 0;
}

/* clang-format off */
static const struct state_field plic_fields[] = {
    STATE_ARRAY(struct plic, level.word, 1),
    STATE_ARRAY(struct plic, pending.word, 1),
    STATE_ARRAY(struct plic, in_service.word, 1),
    STATE_ARRAY(struct plic, priority, 1),
    {"enable", offsetof(struct plic, enable), sizeof(uint32_t), PLIC_CONTEXTS_MAX * WORDS, 1, false},
    STATE_ARRAY(struct plic, threshold, 1),
};
/* clang-format on */

const struct device_type plic_type = {
    .name = "plic",
    .version = 1,
    .io = {.widths = 4, .read = plic_read, .write = plic_write},
    .fields = plic_fields,
    .field_count = ARRAY_SIZE(plic_fields),
    .reset = plic_reset,
    .check = plic_check,
    .resume = plic_resume,
    .free = plic_free,
};
