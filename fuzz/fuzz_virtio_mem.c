/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem, whose back end is the guest's memory itself; other memory than that in which the
 * target has its rings, so that plugging is what changes it. */
#include "base/error.h"
#include "device/virtio/mem.h"
#include "memory/memory.h"
#include "virtio_target.h"

#define BLOCKS 64u /* as far as the addresses of the target's programs go */

/* What must hold behind each step: nothing more is plugged than was ever asked for, and what the
 * device says is what memory knows. */
struct state {
    struct virtio_mem *mem;
    const struct address_space *as;
    gpa region;
    uint64_t most;
    bool still;
};

static void on_still(void *ctx, void (*work)(void *arg), void *arg)
{
    struct state *s = ctx;

    BUG_ON(s->still);
    s->still = true;
    work(arg);
    s->still = false;
}

static void on_changed(void *ctx)
{
    const struct state *s = ctx;
    struct virtio_mem_facts facts;

    virtio_mem_get(s->mem, &facts);
    BUG_ON(facts.plugged > s->most || facts.requested > facts.size);
    BUG_ON(facts.plugged != memory_plugged(s->as, s->region, facts.size));
}

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    struct state *s = ctx;
    gpa base = how & 1 ? 0x100000000 : 0;
    struct virtio_mem_options options = {.addr = base + RAM_BLOCK_SIZE,
                                         .size = BLOCKS * RAM_BLOCK_SIZE,
                                         .still = on_still,
                                         .changed = on_changed,
                                         .ctx = s};

    BUG_ON(memory_add_pluggable_ram((struct address_space *)setup->as, "more", base, RAM_BLOCK_SIZE,
                                    (1 + BLOCKS) * RAM_BLOCK_SIZE, NULL));
    BUG_ON(virtio_mem_new(device, setup, &options));
    *s = (struct state){.mem = device->instance,
                        .as = setup->as,
                        .region = options.addr,
                        .most = options.size};
}

static void event(struct input *input, void *ctx)
{
    struct state *s = ctx;
    uint8_t what = (uint8_t)input_take(input, 1);

    on_changed(s);
    virtio_mem_set_requested(s->mem, (uint64_t)what << RAM_BLOCK_SHIFT);
}

static void settle(void *ctx) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state state;
    const struct target target = {
        .make = make, .event = event, .settle = settle, .ctx = &state, .queues = 1, .features = 2};

    target_run(&target, data, size);
    return 0;
}
