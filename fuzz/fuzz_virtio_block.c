/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk against a disk that fails, holds requests, and completes them late. */
#include <errno.h>

#include "base/error.h"
#include "device/virtio/block.h"
#include "virtio_fakes.h"
#include "virtio_target.h"

static void make(struct device *device, const struct virtio_setup *setup, uint8_t how, void *ctx)
{
    struct block **block = ctx;

    *block = fake_block_new(64 * 512);
    (*block)->read_only = how & 1;
    (*block)->can_discard = how & 2;
    (*block)->hold = how & 4;
    BUG_ON(virtio_block_new(device, setup, *block, "serial"));
}

static void event(struct input *input, void *ctx)
{
    struct block *block = *(struct block **)ctx;
    uint8_t what = (uint8_t)input_take(input, 1);

    block->hold = what & 1;
    block->result = what & 2 ? -EIO : 0;
    for (unsigned i = 0; i < what >> 6; i++)
        fake_block_complete(block);
}

static void settle(void *ctx)
{
    while (fake_block_complete(*(struct block **)ctx))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block *block;
    const struct target target = {.make = make, .event = event, .settle = settle, .ctx = &block};

    target_run(&target, data, size);
    return 0;
}
