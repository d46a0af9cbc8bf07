/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/bits.h"

/* Descriptor flags (2.7.5), available ring flags (2.7.6), used ring flags (2.7.8). */
#define DESCRIPTOR_NEXT        1u
#define DESCRIPTOR_WRITE       2u
#define DESCRIPTOR_INDIRECT    4u
#define AVAILABLE_NO_INTERRUPT 1u
#define USED_NO_NOTIFY         1u

/* Offsets in both rings (2.7.6, 2.7.8); the event field follows the ring of `size` elements. */
#define RING_FLAGS     0u
#define RING_INDEX     2u
#define RING_ELEMENTS  4u
#define AVAILABLE_SIZE 2u
#define USED_SIZE      8u

#define DESCRIPTOR_SIZE 16u

/* A chain is at most 2^32 bytes in total (2.7.5.2); used lengths are 32 bits wide. */
#define CHAIN_BYTES_MAX UINT32_MAX

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

/*
 * Ring fields are reached by sequentially consistent accesses: the notification rules need the
 * store of one's own index ordered before the load of the other's (2.7.7, 2.7.10), which no weaker
 * order gives, and on x86-64 the loads cost nothing.
 */
GUEST_ACCESS static uint16_t ring_load(const struct span *ring, uint64_t offset)
{
    const uint16_t *at = (const void *)(ring->host + offset);

    return le16toh(__atomic_load_n(at, __ATOMIC_SEQ_CST));
}

GUEST_ACCESS static void ring_store(const struct span *ring, uint64_t offset, uint16_t value)
{
    uint16_t *at = (void *)(ring->host + offset);

    __atomic_store_n(at, htole16(value), __ATOMIC_SEQ_CST);
    memory_note_write(ring->ram, (uint64_t)(ring->host - ring->ram->host) + offset, sizeof(*at));
}

static uint64_t used_event_offset(const struct queue *queue)
{
    return RING_ELEMENTS + AVAILABLE_SIZE * (uint64_t)queue->size;
}

static uint64_t available_event_offset(const struct queue *queue)
{
    return RING_ELEMENTS + USED_SIZE * (uint64_t)queue->size;
}

static int queue_break(struct queue *queue, const char *error)
{
    queue->error = error;
    return -EPROTO;
}

void queue_init(struct queue *queue, const struct address_space *as, uint16_t size_max)
{
    *queue = (struct queue){.as = as, .size_max = size_max};
}

static void queue_detach(struct queue *queue)
{
    if (!queue->attached)
        return;
    queue->attached = false;
    memory_unpin(queue->as, &queue->descriptors_span);
    memory_unpin(queue->as, &queue->available_span);
    memory_unpin(queue->as, &queue->used_span);
}

void queue_reset(struct queue *queue)
{
    queue_detach(queue);
    queue->size = 0;
    queue->descriptors = 0;
    queue->available = 0;
    queue->used = 0;
    queue->ready = false;
    queue->available_next = 0;
    queue->used_next = 0;
    queue->used_published = 0;
    queue->muted = false;
    queue->error = NULL;
    queue->generation++;
}

int queue_attach(struct queue *queue, bool event_index, bool indirect)
{
    uint64_t event = event_index ? sizeof(uint16_t) : 0;

    if (queue->attached)
        return 0;
    if (queue->in_flight)
        return queue_break(queue, "queue made ready while its requests are in flight");
    if (!is_power_of_two(queue->size) || queue->size > queue->size_max)
        return queue_break(queue, "queue size is no power of two or too large");
    if (queue->descriptors % 16 || queue->available % 2 || queue->used % 4)
        return queue_break(queue, "ring is misaligned");
    if (memory_pin(queue->as, queue->descriptors, DESCRIPTOR_SIZE * (uint64_t)queue->size, false,
                   &queue->descriptors_span))
        return queue_break(queue, "descriptor table is not in memory");
    if (memory_pin(queue->as, queue->available, used_event_offset(queue) + event, false,
                   &queue->available_span)) {
        memory_unpin(queue->as, &queue->descriptors_span);
        return queue_break(queue, "available ring is not in memory");
    }
    if (memory_pin(queue->as, queue->used, available_event_offset(queue) + event, true,
                   &queue->used_span)) {
        memory_unpin(queue->as, &queue->descriptors_span);
        memory_unpin(queue->as, &queue->available_span);
        return queue_break(queue, "used ring is not in memory");
    }
    queue->event_index = event_index;
    queue->indirect = indirect;
    queue->attached = true;
    return 0;
}

static void chain_unpin(struct queue *queue, struct chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        memory_unpin(queue->as, &chain->spans[i]);
    chain->count = 0;
}

static int chain_add(struct queue *queue, struct chain *chain, const struct descriptor *d)
{
    bool write = d->flags & DESCRIPTOR_WRITE;
    struct span *span = &chain->spans[chain->count];

    if (!d->length)
        return queue_break(queue, "descriptor of length zero");
    if (!write && chain->readable < chain->count)
        return queue_break(queue, "readable descriptor after a writable one");
    if (chain->readable_bytes + chain->writable_bytes + d->length > CHAIN_BYTES_MAX)
        return queue_break(queue, "chain is longer than 4 GiB");
    if (memory_pin(queue->as, d->address, d->length, write, span))
        return queue_break(queue, "descriptor is not in memory");
    chain->iov[chain->count] = (struct iovec){.iov_base = span->host, .iov_len = span->len};
    chain->count++;
    if (write) {
        chain->writable_bytes += d->length;
    } else {
        chain->readable_bytes += d->length;
        chain->readable++;
    }
    return 0;
}

/* The one read of a descriptor. */
static void descriptor_read(const struct span *table, unsigned index, struct descriptor *d)
{
    uint8_t raw[DESCRIPTOR_SIZE];

    guest_copy_in(raw, table->host + DESCRIPTOR_SIZE * (uint64_t)index, sizeof(raw));
    d->address = load_le64(raw);
    d->length = load_le32(raw + 8);
    d->flags = load_le16(raw + 12);
    d->next = load_le16(raw + 14);
}

/* 2.7.5.3: only the last descriptor of the queue's own table may refer to another table. */
static int indirect_pin(struct queue *queue, const struct descriptor *d, bool nested,
                        struct span *table)
{
    if (!queue->indirect)
        return queue_break(queue, "indirect descriptor without the feature");
    if (nested)
        return queue_break(queue, "indirect descriptor in an indirect table");
    if (d->flags & DESCRIPTOR_NEXT)
        return queue_break(queue, "indirect descriptor with a next one");
    if (!d->length || d->length % DESCRIPTOR_SIZE)
        return queue_break(queue, "size of an indirect table is no multiple of 16");
    if (memory_pin(queue->as, d->address, d->length, false, table))
        return queue_break(queue, "indirect table is not in memory");
    return 0;
}

/* Fills the chain; on failure it may hold pins. `own` is the queue's table, `table` stays NULL or
 * becomes the pinned indirect one. A loop runs into CHAIN_MAX. */
static int chain_walk(struct queue *queue, struct chain *chain, struct span *indirect)
{
    const struct span *table = &queue->descriptors_span;
    unsigned index = chain->head;

    for (;;) {
        struct descriptor d;
        int r;

        if (index >= table->len / DESCRIPTOR_SIZE)
            return queue_break(queue, "descriptor index is out of range");
        descriptor_read(table, index, &d);
        if (d.flags & DESCRIPTOR_INDIRECT) {
            r = indirect_pin(queue, &d, table == indirect, indirect);
            if (r)
                return r;
            table = indirect;
            index = 0;
            continue;
        }
        if (chain->count == CHAIN_MAX)
            return queue_break(queue, "chain is too long or a loop");
        r = chain_add(queue, chain, &d);
        if (r)
            return r;
        if (!(d.flags & DESCRIPTOR_NEXT))
            return 0;
        index = d.next;
    }
}

/* Chains made available and not popped. */
static int queue_pending(struct queue *queue)
{
    uint16_t pending;

    if (!queue->attached)
        return 0;
    pending = ring_load(&queue->available_span, RING_INDEX) - queue->available_next;
    if (pending > queue->size)
        return queue_break(queue, "available index jumped by more than the queue size");
    return pending;
}

int queue_pop(struct queue *queue, struct chain *chain)
{
    struct span indirect = {0};
    int r = queue_pending(queue);
    uint16_t slot;

    if (r <= 0)
        return r;
    /* Each chain has a descriptor of its own, so there are never more than that. */
    if (queue->in_flight >= queue->size)
        return queue_break(queue, "more requests than descriptors");
    slot = queue->available_next & (queue->size - 1);
    chain->head =
        ring_load(&queue->available_span, RING_ELEMENTS + AVAILABLE_SIZE * (uint64_t)slot);
    chain->generation = queue->generation;
    chain->readable = 0;
    chain->count = 0;
    chain->readable_bytes = 0;
    chain->writable_bytes = 0;

    r = chain_walk(queue, chain, &indirect);
    if (indirect.host)
        memory_unpin(queue->as, &indirect);
    if (r) {
        chain_unpin(queue, chain);
        return r;
    }
    queue->available_next++;
    queue->in_flight++;
    return 1;
}

void queue_rewind(struct queue *queue, unsigned count)
{
    queue->available_next -= (uint16_t)count;
}

/* Not atomic as a pair: the guest looks at it only after the index says so. */
GUEST_ACCESS static void used_store(const struct span *ring, uint64_t offset, uint32_t id,
                                    uint32_t length)
{
    uint32_t *at = (void *)(ring->host + offset);

    __atomic_store_n(at, htole32(id), __ATOMIC_RELAXED);
    __atomic_store_n(at + 1, htole32(length), __ATOMIC_RELAXED);
    memory_note_write(ring->ram, (uint64_t)(ring->host - ring->ram->host) + offset, USED_SIZE);
}

void queue_fill(struct queue *queue, unsigned ahead, struct chain *chain, uint32_t written)
{
    uint16_t slot = (queue->used_next + ahead) & (queue->size - 1);

    /* Before the guest can learn that the data is there: M3 of memory.h. */
    queue_drop(queue, chain);
    used_store(&queue->used_span, RING_ELEMENTS + USED_SIZE * (uint64_t)slot, chain->head, written);
}

void queue_advance(struct queue *queue, unsigned count)
{
    queue->used_next += (uint16_t)count;
}

void queue_push(struct queue *queue, struct chain *chain, uint32_t written)
{
    queue_fill(queue, 0, chain, written);
    queue_advance(queue, 1);
}

void queue_drop(struct queue *queue, struct chain *chain)
{
    chain_unpin(queue, chain);
    queue->in_flight--;
}

bool queue_notify_guest(struct queue *queue)
{
    uint16_t old = queue->used_published, now = queue->used_next, event;

    if (!queue->attached || old == now)
        return false;
    queue->used_published = now;
    ring_store(&queue->used_span, RING_INDEX, now);
    if (!queue->event_index)
        return !(ring_load(&queue->available_span, RING_FLAGS) & AVAILABLE_NO_INTERRUPT);
    /* Did the index pass the event on its way from old to now? Modulo 2^16. */
    event = ring_load(&queue->available_span, used_event_offset(queue));
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void queue_mute(struct queue *queue)
{
    if (!queue->attached || queue->muted)
        return;
    queue->muted = true;
    /* With the event index, an event left in the past is silence. */
    if (!queue->event_index)
        ring_store(&queue->used_span, RING_FLAGS, USED_NO_NOTIFY);
}

bool queue_unmute(struct queue *queue, unsigned ahead)
{
    uint16_t event = queue->available_next + (uint16_t)ahead;

    if (!queue->attached)
        return false;
    queue->muted = false;
    if (queue->event_index)
        ring_store(&queue->used_span, available_event_offset(queue), event);
    else
        ring_store(&queue->used_span, RING_FLAGS, 0);
    /* Loaded after the store above: either the guest sees that, or this sees its chain. */
    return ring_load(&queue->available_span, RING_INDEX) != event;
}

uint64_t chain_read(const struct chain *chain, uint64_t offset, void *to, uint64_t len)
{
    uint8_t *out = to;
    uint64_t done = 0;

    for (unsigned i = 0; i < chain->readable && done < len; i++) {
        const struct span *span = &chain->spans[i];
        uint64_t piece;

        if (offset >= span->len) {
            offset -= span->len;
            continue;
        }
        piece = span->len - offset < len - done ? span->len - offset : len - done;
        guest_copy_in(out + done, span->host + offset, piece);
        done += piece;
        offset = 0;
    }
    return done;
}

uint64_t chain_write(const struct chain *chain, uint64_t offset, const void *from, uint64_t len)
{
    const uint8_t *in = from;
    uint64_t done = 0;

    for (unsigned i = chain->readable; i < chain->count && done < len; i++) {
        const struct span *span = &chain->spans[i];
        uint64_t piece;

        if (offset >= span->len) {
            offset -= span->len;
            continue;
        }
        piece = span->len - offset < len - done ? span->len - offset : len - done;
        guest_copy_out(span->host + offset, in + done, piece);
        done += piece;
        offset = 0;
    }
    return done;
}

unsigned iov_cut(struct iovec **iov, unsigned count, uint64_t offset, uint64_t len)
{
    struct iovec *at = *iov;
    unsigned left = 0;

    for (; count && offset >= at->iov_len; at++, count--)
        offset -= at->iov_len;
    *iov = at;
    for (; len; at++, left++) {
        at->iov_base = (uint8_t *)at->iov_base + offset;
        at->iov_len -= offset;
        if (at->iov_len > len)
            at->iov_len = len;
        len -= at->iov_len;
        offset = 0;
    }
    return left;
}
