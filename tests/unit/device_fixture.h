/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of devices and streams share: a wire that remembers, a loop that runs for as long as a
 * test wants, and registers accessed the way the memory map does it.
 */
#ifndef HOSPES_TESTS_UNIT_DEVICE_FIXTURE_H
#define HOSPES_TESTS_UNIT_DEVICE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/thread.h"
#include "device/device.h"

#define MS 1000000ull /* nanoseconds */

/* The far end of a wire. */
struct probe {
    bool level;
    unsigned rises;
};

static inline void probe_set(void *ctx, unsigned number, bool level)
{
    struct probe *probe = (struct probe *)ctx + number;

    probe->rises += level && !probe->level;
    probe->level = level;
}

static inline struct wire probe_wire(struct probe *probes, unsigned number)
{
    return (struct wire){.set = probe_set, .ctx = probes, .number = number};
}

static inline void fixture_stop(void *ctx)
{
    loop_stop(ctx, 0);
}

/* Runs the loop for so long. */
static inline void loop_run_for(struct loop *loop, uint64_t ns)
{
    struct timer timer;

    timer_init(&timer, loop, fixture_stop, loop);
    timer_set(&timer, monotonic_ns() + ns);
    loop_run(loop);
}

/* Runs the loop until `*flag`, at most five seconds; returns *flag. */
static inline bool loop_run_until(struct loop *loop, const bool *flag)
{
    uint64_t end = monotonic_ns() + 5000 * MS;

    while (!*flag && monotonic_ns() < end)
        loop_run_for(loop, MS);
    return *flag;
}

/* Every byte offset of [0, size) by every width, as the map lets them through, with values that
 * set and clear every bit: nothing may go wrong. */
static inline void device_hammer(const struct device_type *type, void *device, uint64_t size)
{
    static const uint64_t values[] = {0, ~0ull, 0xa5a5a5a5a5a5a5a5, 0x5a5a5a5a5a5a5a5a, 1};

    for (uint64_t offset = 0; offset < size; offset++)
        for (unsigned width = 1; width <= 8; width *= 2) {
            if (!(type->io.widths & width) || offset % width)
                continue;
            for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
                type->io.write(device, offset, width,
                               width == 8 ? values[i] : values[i] & ((1ull << 8 * width) - 1));
                type->io.read(device, offset, width);
            }
        }
}

/* A device's state as save and load move it. Returns the bytes used. */
static inline size_t device_save(const struct device_type *type, const void *device, uint8_t *to)
{
    size_t used = 0;

    for (unsigned i = 0; i < type->field_count; i++) {
        const struct state_field *field = &type->fields[i];

        memcpy(to + used, (const uint8_t *)device + field->offset, field->size * field->count);
        used += field->size * field->count;
    }
    return used;
}

static inline bool device_load(const struct device_type *type, void *device, const uint8_t *from)
{
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct state_field *field = &type->fields[i];

        memcpy((uint8_t *)device + field->offset, from, field->size * field->count);
        from += field->size * field->count;
    }
    if (type->check && !type->check(device))
        return false;
    if (type->resume)
        type->resume(device);
    return true;
}

/* Where a field lies in what device_save() wrote. */
static inline size_t device_field(const struct device_type *type, const char *name)
{
    size_t used = 0;

    for (unsigned i = 0; i < type->field_count; i++) {
        if (!strcmp(type->fields[i].name, name))
            return used;
        used += type->fields[i].size * type->fields[i].count;
    }
    fail_msg("no field \"%s\"", name);
    return 0;
}

#endif
