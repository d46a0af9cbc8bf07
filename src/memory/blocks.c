/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of pluggable RAM: which are there, and who holds them.
 */
#include <errno.h>
#include <sched.h>

#include "memory/memory.h"

/* For so long whoever holds a block that is to leave is waited for. The thread that makes regions
 * lets go within some 100 us, if the host lets it run; a device whose ring is there does not. A
 * driver that is told that a block is busy may come back much later: Linux's after 50 s. */
#define HOLD_NS UINT64_C(5000000)

/* The blocks behind ram->fixed that [offset, offset + len) has a part of: [*first, *end). */
static void blocks_of(const struct ram *ram, uint64_t offset, uint64_t len, uint64_t *first,
                      uint64_t *end)
{
    uint64_t last = offset + len;

    *first = offset > ram->fixed ? (offset - ram->fixed) >> RAM_BLOCK_SHIFT : 0;
    *end = last > ram->fixed ? (last - ram->fixed + RAM_BLOCK_SIZE - 1) >> RAM_BLOCK_SHIFT : 0;
}

static bool is_plugged(const struct ram *ram, uint64_t index)
{
    return atomic_load(&ram->blocks[index].state) == BLOCK_PLUGGED;
}

bool ram_has_all(const struct ram *ram, uint64_t offset, uint64_t len)
{
    uint64_t first, end;

    blocks_of(ram, offset, len, &first, &end);
    for (; first < end; first++)
        if (!is_plugged(ram, first))
            return false;
    return true;
}

/* First the count, then the look, and memory_unplug() the other way round: one of the two sees the
 * other. */
bool ram_hold(struct ram *ram, uint64_t offset, uint64_t len)
{
    uint64_t first, end;

    blocks_of(ram, offset, len, &first, &end);
    for (uint64_t i = first; i < end; i++)
        atomic_fetch_add(&ram->blocks[i].holders, 1);
    if (ram_has_all(ram, offset, len))
        return true;
    ram_let_go(ram, offset, len);
    return false;
}

void ram_let_go(struct ram *ram, uint64_t offset, uint64_t len)
{
    uint64_t first, end;

    blocks_of(ram, offset, len, &first, &end);
    for (; first < end; first++)
        atomic_fetch_sub(&ram->blocks[first].holders, 1);
}

/* The RAM of which [addr, addr + len) is whole blocks [*first, *end), or NULL. */
static struct ram *pluggable_find(const struct address_space *as, gpa addr, uint64_t len,
                                  uint64_t *first, uint64_t *end)
{
    const struct range *range = memory_find(as, addr);
    struct ram *ram = range ? range->ram : NULL;
    uint64_t offset = range ? addr - range->base : 0;

    if (!ram || !len || offset < ram->fixed || len > ram->size - offset ||
        ((offset - ram->fixed) | len) % RAM_BLOCK_SIZE)
        return NULL;
    blocks_of(ram, offset, len, first, end);
    return ram;
}

/* Those that are `from` become `to`. */
static void blocks_move(struct ram *ram, uint64_t first, uint64_t end, enum ram_block_state from,
                        enum ram_block_state to)
{
    for (; first < end; first++)
        if (atomic_load(&ram->blocks[first].state) == from)
            atomic_store(&ram->blocks[first].state, to);
}

int memory_plug(const struct address_space *as, gpa addr, uint64_t len)
{
    uint64_t first, end;
    struct ram *ram = pluggable_find(as, addr, len, &first, &end);

    if (!ram)
        return -EINVAL;
    for (uint64_t i = first; i < end; i++)
        if (is_plugged(ram, i))
            return -EEXIST;
    blocks_move(ram, first, end, BLOCK_UNPLUGGED, BLOCK_PLUGGED);
    return 0;
}

/* Nobody takes hold of a block that is leaving; false: somebody does not let go of one. */
static bool blocks_are_free(const struct ram *ram, uint64_t first, uint64_t end)
{
    uint64_t until = 0;

    for (; first < end; first++) {
        const struct ram_block *block = &ram->blocks[first];

        while (atomic_load(&block->state) == BLOCK_LEAVING && atomic_load(&block->holders)) {
            uint64_t now = monotonic_ns();

            until = until ? until : now + HOLD_NS;
            if (now >= until)
                return false;
            sched_yield();
        }
    }
    return true;
}

int memory_unplug_any(const struct address_space *as, gpa addr, uint64_t len)
{
    uint64_t first, end;
    struct ram *ram = pluggable_find(as, addr, len, &first, &end);

    if (!ram)
        return -EINVAL;
    blocks_move(ram, first, end, BLOCK_PLUGGED, BLOCK_LEAVING);
    if (!blocks_are_free(ram, first, end)) {
        blocks_move(ram, first, end, BLOCK_LEAVING, BLOCK_PLUGGED);
        return -EBUSY;
    }
    blocks_move(ram, first, end, BLOCK_LEAVING, BLOCK_UNPLUGGED);
    return 0;
}

int memory_unplug(const struct address_space *as, gpa addr, uint64_t len)
{
    uint64_t first, end;
    struct ram *ram = pluggable_find(as, addr, len, &first, &end);

    if (!ram)
        return -EINVAL;
    for (uint64_t i = first; i < end; i++)
        if (!is_plugged(ram, i))
            return -ENOENT;
    return memory_unplug_any(as, addr, len);
}

uint64_t memory_plugged(const struct address_space *as, gpa addr, uint64_t len)
{
    uint64_t first, end, sum = 0;
    const struct ram *ram = pluggable_find(as, addr, len, &first, &end);

    for (; ram && first < end; first++)
        sum += is_plugged(ram, first) ? RAM_BLOCK_SIZE : 0;
    return sum;
}

void ram_unplug_all(struct ram *ram)
{
    uint64_t count = (ram->size - ram->fixed) >> RAM_BLOCK_SHIFT;

    for (uint64_t i = 0; i < count; i++)
        if (atomic_exchange(&ram->blocks[i].state, BLOCK_UNPLUGGED) != BLOCK_UNPLUGGED)
            memory_note_write(ram, ram->fixed + (i << RAM_BLOCK_SHIFT), RAM_BLOCK_SIZE);
}
