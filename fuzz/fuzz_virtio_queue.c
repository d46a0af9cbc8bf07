/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue walker: the input is guest memory with a ring at its start, and it changes between the
 * pops. Whatever the ring says, a chain lies in memory, adds up, and the work ends.
 *
 * Memory begins at address 0, and the available ring there, so that short inputs say something.
 */
#include <sys/mman.h>

#include "base/error.h"
#include "device/virtio/queue.h"
#include "input.h"
#include "memory/memory.h"

#define SIZE        0x4000u
#define RING        16u
#define AVAILABLE   0x000u
#define DESCRIPTORS 0x030u
#define USED        0x130u

static void chain_check(const struct chain *chain, const struct ram *ram)
{
    uint64_t sum[2] = {0};

    BUG_ON(!chain->count || chain->count > CHAIN_MAX || chain->readable > chain->count);
    for (unsigned i = 0; i < chain->count; i++) {
        const struct span *span = &chain->spans[i];

        BUG_ON(span->ram != ram || span->host < ram->host || !span->len);
        BUG_ON((uint64_t)(span->host - ram->host) + span->len > ram->size);
        BUG_ON(span->write != (i >= chain->readable));
        sum[span->write] += span->len;
    }
    BUG_ON(sum[0] != chain->readable_bytes || sum[1] != chain->writable_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chain chains[RING];
    struct input input = {data, size};
    uint8_t how = (uint8_t)input_take(&input, 1), scratch[512] = {0};
    struct address_space *as;
    struct queue queue;
    unsigned held = 0;
    size_t length;

    BUG_ON(address_space_new(&as));
    BUG_ON(memory_add_ram(as, "ram", 0, SIZE, true, NULL));
    queue_init(&queue, as, QUEUE_SIZE_MAX);
    queue.size = RING;
    queue.descriptors = DESCRIPTORS;
    queue.available = AVAILABLE;
    queue.used = USED;
    length = input_take(&input, 2) % (SIZE / 2);
    input_bytes(&input, memory_main_ram(as)->host, length);
    BUG_ON(queue_attach(&queue, how & 1, how & 2));

    for (unsigned step = 0; step < 64; step++) {
        uint8_t op = (uint8_t)input_take(&input, 1);
        uint64_t where;
        int r;

        switch (op & 7) {
        case 0: /* the guest writes while nobody looks */
            where = input_take(&input, 2) % SIZE;
            length = input_bytes(&input, scratch, op >> 3);
            (void)!memory_write(as, where, scratch, length);
            break;
        case 1:
            queue_mute(&queue);
            break;
        case 2:
            (void)!queue_unmute(&queue, op >> 5);
            break;
        case 3:
            (void)!queue_notify_guest(&queue);
            break;
        case 4:
            if (held)
                queue_push(&queue, &chains[--held], op);
            break;
        default:
            if (held == RING)
                break;
            r = queue_pop(&queue, &chains[held]);
            BUG_ON(r < 0 && !queue.error);
            if (r <= 0)
                break;
            chain_check(&chains[held], memory_main_ram(as));
            chain_read(&chains[held], op, scratch, sizeof(scratch));
            chain_write(&chains[held], op, scratch, sizeof(scratch));
            held++;
            break;
        }
        BUG_ON(queue.in_flight != held);
    }
    while (held)
        queue_drop(&queue, &chains[--held]);
    queue_reset(&queue);
    address_space_free(as);
    return 0;
}
