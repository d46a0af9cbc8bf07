/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "device/virtio/mmio.h"

/* 5.2.3 */
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_CONFIG_WCE   (1ull << 11)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/* 5.2.4 */
#define CONFIG_CAPACITY                 0u
#define CONFIG_SEG_MAX                  12u
#define CONFIG_BLK_SIZE                 20u
#define CONFIG_PHYSICAL_BLOCK_EXP       24u
#define CONFIG_MIN_IO_SIZE              26u
#define CONFIG_WRITEBACK                32u
#define CONFIG_MAX_DISCARD_SECTORS      36u
#define CONFIG_MAX_DISCARD_SEG          40u
#define CONFIG_DISCARD_SECTOR_ALIGNMENT 44u
#define CONFIG_MAX_WRITE_ZEROES_SECTORS 48u
#define CONFIG_MAX_WRITE_ZEROES_SEG     52u
#define CONFIG_WRITE_ZEROES_MAY_UNMAP   56u
#define CONFIG_SIZE                     60u

/* 5.2.6 */
#define REQUEST_IN           0u
#define REQUEST_OUT          1u
#define REQUEST_FLUSH        4u
#define REQUEST_GET_ID       8u
#define REQUEST_DISCARD      11u
#define REQUEST_WRITE_ZEROES 13u
#define STATUS_OK            0u
#define STATUS_IOERR         1u
#define STATUS_UNSUPP        2u
#define HEADER_SIZE          16u
#define SEGMENT_SIZE         16u
#define SEGMENT_UNMAP        1u
#define SERIAL_SIZE          20u

#define QUEUE_REQUEST 0u
#define SECTOR_SIZE   512u
/* What hosts' file systems allocate at once. */
#define CLUSTER_SECTORS_LOG2 3u
#define SEGMENTS_MAX         16u
/* 2 GiB a segment: long enough to be rare, short enough to be done in one go. */
#define SEGMENT_SECTORS_MAX (1u << 22)

struct segment {
    uint64_t sector;
    uint32_t sectors;
    bool unmap;
};

/* One of the driver's requests, and the back end's request that serves it. Of the loop's thread
 * while it is in flight. */
struct request {
    struct block_request io; /* first */
    struct virtio_block *owner;
    struct request *next; /* in the free list or in a turn's batch */
    uint32_t written;     /* bytes of data that were written to the guest if all goes well */
    bool stable;          /* a flush follows before it is complete */
    unsigned segment;     /* of discard and write zeroes: the one under way */
    unsigned segment_count;
    struct segment segments[SEGMENTS_MAX];
    struct chain chain;
};

struct virtio_block {
    struct virtio_device core; /* first */
    struct block *block;
    uint8_t serial[SERIAL_SIZE];
    struct request *free; /* guarded by core.mutex, as are the next two */
    unsigned made;        /* requests that were used ever: the rest costs the host no memory */
    bool stale;           /* requests from before a reset may wait for a limit of the disk */
    /* As many as can be in flight, and one to find out that a driver wants more. */
    struct request requests[QUEUE_SIZE_MAX + 1];
};

/* ---- completion ---- */

/* The status is the last byte that the driver lets the device write. */
static void request_finish(struct virtio_device *core, struct request *request, uint8_t status)
    REQUIRES(core->mutex)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);
    struct chain *chain = &request->chain;
    uint64_t at = chain->writable_bytes - 1;
    /* Counted from the first byte on (2.7.8.2): what a failure left before the status is unknown.
     */
    uint32_t written = status == STATUS_OK ? request->written : 0;

    if (written == at)
        written++;
    if (chain->generation == core->queues[QUEUE_REQUEST].generation)
        chain_write(chain, at, &status, 1);
    virtio_push(core, QUEUE_REQUEST, chain, written);
    request->next = block->free;
    block->free = request;
}

static uint8_t status_of(int result)
{
    if (!result)
        return STATUS_OK;
    return result == -EOPNOTSUPP ? STATUS_UNSUPP : STATUS_IOERR;
}

static void segment_prepare(struct request *request)
{
    const struct segment *segment = &request->segments[request->segment];

    request->io.offset = segment->sector * SECTOR_SIZE;
    request->io.length = (uint64_t)segment->sectors * SECTOR_SIZE;
    request->io.unmap = segment->unmap;
}

/* Turns the request into its next step; false when there is none. */
static bool request_continue(struct request *request)
{
    if (request->segment + 1 < request->segment_count) {
        request->segment++;
        segment_prepare(request);
        return true;
    }
    if (request->stable) {
        request->stable = false;
        request->io.operation = BLOCK_FLUSH;
        request->io.offset = 0;
        request->io.length = 0;
        request->io.iov = NULL;
        request->io.iov_count = 0;
        return true;
    }
    return false;
}

static void request_done(struct block_request *io, int result)
{
    struct request *request = container_of(io, struct request, io);
    struct virtio_block *block = request->owner;
    struct virtio_device *core = &block->core;
    bool more;

    mutex_lock(&core->mutex);
    /* Nobody waits for the rest of a request from before a reset. */
    more = !result && request->chain.generation == core->queues[QUEUE_REQUEST].generation &&
           request_continue(request);
    if (!more) {
        request_finish(core, request, status_of(result));
        virtio_notify_guest(core, QUEUE_REQUEST);
    }
    mutex_unlock(&core->mutex);
    if (more)
        block_submit(block->block, io);
}

/* ---- requests ---- */

/* What a request becomes: one for the back end, or finished with a status. */
#define SUBMIT 0xffu

static bool range_is_valid(const struct virtio_block *block, uint64_t sector, uint64_t bytes)
{
    uint64_t size = block_size(block->block);

    return bytes <= size && sector <= (size - bytes) / SECTOR_SIZE;
}

static uint8_t transfer_prepare(struct virtio_block *block, struct request *request,
                                uint64_t sector, bool write)
{
    struct chain *chain = &request->chain;
    struct iovec *iov = chain->iov;
    uint64_t bytes, skip = 0;
    unsigned count = chain->readable;

    if (write) {
        if (block_read_only(block->block))
            return STATUS_IOERR;
        skip = HEADER_SIZE;
        bytes = chain->readable_bytes - HEADER_SIZE;
    } else {
        iov += chain->readable;
        count = chain->count - chain->readable;
        bytes = chain->writable_bytes - 1;
    }
    if (bytes % SECTOR_SIZE || !range_is_valid(block, sector, bytes))
        return STATUS_IOERR;
    if (!bytes)
        return STATUS_OK;
    request->io.operation = write ? BLOCK_WRITE : BLOCK_READ;
    request->io.offset = sector * SECTOR_SIZE;
    request->io.length = bytes;
    request->io.iov_count = iov_cut(&iov, count, skip, bytes);
    request->io.iov = iov;
    request->written = write ? 0 : (uint32_t)bytes;
    return SUBMIT;
}

static uint8_t segment_parse(const struct virtio_block *block, struct segment *segment,
                             const uint8_t *raw, bool discard)
{
    uint32_t flags = load_le32(raw + 12);

    segment->sector = load_le64(raw);
    segment->sectors = load_le32(raw + 8);
    segment->unmap = flags & SEGMENT_UNMAP;
    if (flags & ~SEGMENT_UNMAP || (discard && segment->unmap))
        return STATUS_UNSUPP;
    if (!segment->sectors || segment->sectors > SEGMENT_SECTORS_MAX ||
        !range_is_valid(block, segment->sector, (uint64_t)segment->sectors * SECTOR_SIZE))
        return STATUS_IOERR;
    return STATUS_OK;
}

static uint8_t segments_prepare(struct virtio_block *block, struct request *request, bool discard)
{
    uint8_t raw[SEGMENT_SIZE * SEGMENTS_MAX];
    uint64_t bytes = request->chain.readable_bytes - HEADER_SIZE;

    if (!(block->core.offered & (discard ? BLK_F_DISCARD : BLK_F_WRITE_ZEROES)))
        return block_read_only(block->block) ? STATUS_IOERR : STATUS_UNSUPP;
    if (!bytes || bytes % SEGMENT_SIZE || bytes > sizeof(raw))
        return STATUS_IOERR;
    chain_read(&request->chain, HEADER_SIZE, raw, bytes);
    request->segment_count = (unsigned)(bytes / SEGMENT_SIZE);
    for (unsigned i = 0; i < request->segment_count; i++) {
        uint8_t status =
            segment_parse(block, &request->segments[i], raw + SEGMENT_SIZE * i, discard);

        if (status != STATUS_OK)
            return status;
    }
    request->io.operation = discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
    segment_prepare(request);
    return SUBMIT;
}

/* Writes are complete only when they are stable, if the driver has no way to flush, or asked for a
 * cache that writes through (5.2.6.2). */
static bool writes_through(const struct virtio_device *core) REQUIRES(core->mutex)
{
    if (virtio_has(core, BLK_F_CONFIG_WCE))
        return !core->config[CONFIG_WRITEBACK];
    return !virtio_has(core, BLK_F_FLUSH);
}

static uint8_t request_prepare(struct virtio_device *core, struct request *request,
                               const uint8_t *header) REQUIRES(core->mutex)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);
    uint64_t sector = load_le64(header + 8);
    uint8_t status;

    request->io = (struct block_request){.done = request_done};
    request->written = 0;
    request->stable = false;
    request->segment = 0;
    request->segment_count = 0;
    switch (load_le32(header)) {
    case REQUEST_IN:
        return transfer_prepare(block, request, sector, false);
    case REQUEST_OUT:
        status = transfer_prepare(block, request, sector, true);
        break;
    case REQUEST_DISCARD:
        status = segments_prepare(block, request, true);
        break;
    case REQUEST_WRITE_ZEROES:
        status = segments_prepare(block, request, false);
        break;
    case REQUEST_FLUSH:
        request->io.operation = BLOCK_FLUSH;
        return SUBMIT;
    case REQUEST_GET_ID:
        request->written = (uint32_t)chain_write(&request->chain, 0, block->serial,
                                                 request->chain.writable_bytes - 1 < SERIAL_SIZE
                                                     ? request->chain.writable_bytes - 1
                                                     : SERIAL_SIZE);
        return STATUS_OK;
    default:
        return STATUS_UNSUPP;
    }
    request->stable = writes_through(core);
    return status;
}

/* Sees to it that block->free is one. */
static struct request *request_free(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);

    if (!block->free) {
        /* queue_pop() keeps the number in flight down. */
        BUG_ON(block->made == ARRAY_SIZE(block->requests));
        block->free = &block->requests[block->made++];
        block->free->owner = block;
    }
    return block->free;
}

/* Takes the next request; false when there is none. A finished one leaves *batch as it is, else it
 * is appended there. */
static bool request_take(struct virtio_device *core, struct request ***batch) REQUIRES(core->mutex)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);
    struct request *request = request_free(core);
    uint8_t header[HEADER_SIZE], status;

    if (!virtio_pop(core, QUEUE_REQUEST, &request->chain))
        return false;
    if (chain_read(&request->chain, 0, header, sizeof(header)) < sizeof(header) ||
        !request->chain.writable_bytes) {
        virtio_drop(core, QUEUE_REQUEST, &request->chain);
        virtio_fail(core, "block request without a header or a status byte");
        return false;
    }
    block->free = request->next;
    request->next = NULL;
    status = request_prepare(core, request, header);
    if (status == SUBMIT) {
        **batch = request;
        *batch = &request->next;
    } else {
        request_finish(core, request, status);
    }
    return true;
}

/* The next driver's requests cannot be among those that wait: none was taken from the ring since
 * the reset, because that is done with the lock held in which this leaves `stale` unset. */
static void block_drop_stale(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);

    while (block->stale) {
        block->stale = false;
        mutex_unlock(&core->mutex);
        block_cancel_waiting(block->block);
        mutex_lock(&core->mutex);
    }
}

static bool block_run(struct virtio_device *core, unsigned index)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);
    struct queue *queue = &core->queues[index];
    struct request *first = NULL, **batch = &first;
    unsigned budget = QUEUE_SIZE_MAX;

    mutex_lock(&core->mutex);
    block_drop_stale(core);
    do {
        queue_mute(queue);
        while (budget && request_take(core, &batch))
            budget--;
    } while (budget && virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, index);
    mutex_unlock(&core->mutex);

    while (first) {
        struct request *request = first;

        /* After the submission it may be in use again. */
        first = request->next;
        block_submit(block->block, &request->io);
    }
    return !budget;
}

/* ---- the device ---- */

static bool block_accept(struct virtio_device *core, uint64_t features)
{
    /* 5.2.5.2: without a way to flush, the cache begins as one that writes through. */
    core->config[CONFIG_WRITEBACK] = !!(features & BLK_F_FLUSH);
    return true;
}

static void block_reset(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_block *block = container_of(core, struct virtio_block, core);

    core->config[CONFIG_WRITEBACK] = 1;
    /* On the loop's thread they are given up, so that the reset need not wait for them. */
    block->stale = true;
    virtio_kick(core, QUEUE_REQUEST);
}

static void block_config_write(struct virtio_device *core, uint32_t offset, unsigned width,
                               uint64_t value) REQUIRES(core->mutex)
{
    if (offset == CONFIG_WRITEBACK && width == 1 && virtio_has(core, BLK_F_CONFIG_WCE))
        core->config[CONFIG_WRITEBACK] = value & 1;
    else
        virtio_complain(core, "write to read-only configuration space at 0x%x", offset);
}

static const struct virtio_device_type block_type = {
    .name = "virtio-block",
    .id = 2,
    .queue_count = 1,
    .queue_size = QUEUE_SIZE_MAX,
    .config_size = CONFIG_SIZE,
    .run = block_run,
    .accept = block_accept,
    .reset = block_reset,
    .config_write = block_config_write,
};

static void block_free(void *ctx)
{
    struct virtio_block *block = ctx;

    virtio_stop(&block->core);
    /* Every request completes in here, into nothing. */
    block_close(block->block);
    virtio_release(&block->core);
    free(block);
}

static const struct state_field block_fields[] = {
    VIRTIO_STATE(struct virtio_block),
    VIRTIO_QUEUE_STATE(struct virtio_block, QUEUE_REQUEST),
};

static const struct device_type block_mmio_type = {
    .name = "virtio-block",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = block_fields,
    .field_count = ARRAY_SIZE(block_fields),
    .reset = virtio_reset,
    .check = virtio_check,
    .resume = virtio_resume,
    .free = block_free,
};

static void block_config_fill(struct virtio_block *block)
{
    uint8_t *config = block->core.config;
    bool writable = !block_read_only(block->block);

    store_le64(config + CONFIG_CAPACITY, block_size(block->block) / SECTOR_SIZE);
    store_le32(config + CONFIG_SEG_MAX, CHAIN_MAX - 2); /* header and status */
    store_le32(config + CONFIG_BLK_SIZE, SECTOR_SIZE);
    config[CONFIG_PHYSICAL_BLOCK_EXP] = CLUSTER_SECTORS_LOG2;
    store_le16(config + CONFIG_MIN_IO_SIZE, 1u << CLUSTER_SECTORS_LOG2);
    config[CONFIG_WRITEBACK] = 1;
    if (!writable)
        return;
    store_le32(config + CONFIG_MAX_WRITE_ZEROES_SECTORS, SEGMENT_SECTORS_MAX);
    store_le32(config + CONFIG_MAX_WRITE_ZEROES_SEG, SEGMENTS_MAX);
    if (!block_can_discard(block->block))
        return;
    store_le32(config + CONFIG_MAX_DISCARD_SECTORS, SEGMENT_SECTORS_MAX);
    store_le32(config + CONFIG_MAX_DISCARD_SEG, SEGMENTS_MAX);
    store_le32(config + CONFIG_DISCARD_SECTOR_ALIGNMENT, 1u << CLUSTER_SECTORS_LOG2);
    config[CONFIG_WRITE_ZEROES_MAY_UNMAP] = 1;
}

int virtio_block_new(struct device *device, const struct virtio_setup *setup,
                     struct block *back_end, const char *serial)
{
    struct virtio_block *block = calloc(1, sizeof(*block));
    uint64_t offered =
        BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_TOPOLOGY | BLK_F_CONFIG_WCE;

    if (!block) {
        block_close(back_end);
        return -ENOMEM;
    }
    block->block = back_end;
    if (block_read_only(back_end))
        offered |= BLK_F_RO;
    else
        offered |= BLK_F_WRITE_ZEROES | (block_can_discard(back_end) ? BLK_F_DISCARD : 0);
    virtio_init(&block->core, &block_type, &virtio_mmio_transport, setup, offered);
    memcpy(block->serial, serial, strnlen(serial, SERIAL_SIZE));
    block_config_fill(block);
    *device =
        (struct device){.type = &block_mmio_type, .instance = block, .size = VIRTIO_MMIO_SIZE};
    return 0;
}
