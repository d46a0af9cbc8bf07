/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"

/* 5.15.3 */
#define MEM_F_UNPLUGGED_INACCESSIBLE (1ull << 1)

/* 5.15.4: no node_id, since there are no nodes. */
#define CONFIG_BLOCK_SIZE     0u
#define CONFIG_ADDR           16u
#define CONFIG_REGION_SIZE    24u
#define CONFIG_USABLE_SIZE    32u
#define CONFIG_PLUGGED_SIZE   40u
#define CONFIG_REQUESTED_SIZE 48u
#define CONFIG_SIZE           56u

/* 5.15.6: requests and responses. */
#define REQUEST_SIZE   24u
#define REQUEST_TYPE   0u
#define REQUEST_ADDR   8u
#define REQUEST_BLOCKS 16u
#define RESPONSE_SIZE  10u
#define RESPONSE_TYPE  0u
#define RESPONSE_STATE 8u

enum { REQUEST_PLUG, REQUEST_UNPLUG, REQUEST_UNPLUG_ALL, REQUEST_STATE };
enum { RESPONSE_ACK, RESPONSE_NACK, RESPONSE_BUSY, RESPONSE_ERROR };
enum { STATE_PLUGGED, STATE_UNPLUGGED, STATE_MIXED };

/* What a turn gives back at most takes so long, so that the loop's thread is its other devices'
 * again; a block of which the host has all takes 0.3 ms (see memory_discard()). */
#define TURN_NS 1000000u
/* Requests in a turn. */
#define TURN_REQUESTS 16u

/* Blocks of the region, from the first one on. */
struct blocks {
    gpa addr;
    uint64_t len;
};

/* What came of a request. */
struct answer {
    uint16_t type;
    uint16_t state;
};

struct virtio_mem {
    struct virtio_device core; /* first */
    struct virtio_mem_options options;

    /* Of the loop's thread. */
    struct chain chain;    /* a request */
    bool taken;            /* it is in flight, and is answered once nothing is leaving */
    struct answer answer;  /* then, with this */
    struct blocks leaving; /* unplugged, and not all given back yet; len 0: none */
};

static uint64_t config_get(const struct virtio_mem *mem, unsigned field) REQUIRES(mem->core.mutex)
{
    return load_le64(mem->core.config + field);
}

/* What is plugged has changed: of that the driver is not notified (5.15.4.2). */
static void plugged_set(struct virtio_mem *mem, uint64_t bytes)
{
    mutex_lock(&mem->core.mutex);
    store_le64(mem->core.config + CONFIG_PLUGGED_SIZE, bytes);
    mutex_unlock(&mem->core.mutex);
}

static uint64_t plugged(const struct virtio_mem *mem)
{
    return memory_plugged(mem->core.setup.as, mem->options.addr, mem->options.size);
}

static uint64_t requested(struct virtio_mem *mem)
{
    uint64_t bytes;

    mutex_lock(&mem->core.mutex);
    bytes = config_get(mem, CONFIG_REQUESTED_SIZE);
    mutex_unlock(&mem->core.mutex);
    return bytes;
}

/* ---- requests ---- */

/* The blocks that a request is of; false: they are not whole ones inside the region. */
static bool blocks_read(const struct virtio_mem *mem, const uint8_t *request, struct blocks *blocks)
{
    uint64_t offset;

    blocks->addr = load_le64(request + REQUEST_ADDR);
    blocks->len = (uint64_t)load_le16(request + REQUEST_BLOCKS) * RAM_BLOCK_SIZE;
    offset = blocks->addr - mem->options.addr;
    return blocks->len && !(blocks->addr % RAM_BLOCK_SIZE) && offset < mem->options.size &&
           blocks->len <= mem->options.size - offset;
}

static uint16_t request_plug(struct virtio_mem *mem, const struct blocks *blocks)
{
    const struct address_space *as = mem->core.setup.as;
    uint64_t now = plugged(mem), most = requested(mem);

    if (memory_plugged(as, blocks->addr, blocks->len))
        return RESPONSE_ERROR;
    if (now >= most || blocks->len > most - now)
        return RESPONSE_NACK;
    if (memory_plug(as, blocks->addr, blocks->len))
        return RESPONSE_ERROR;
    plugged_set(mem, now + blocks->len);
    mem->options.changed(mem->options.ctx);
    return RESPONSE_ACK;
}

struct unplugging {
    const struct address_space *as;
    const struct blocks *blocks;
    int (*unplug)(const struct address_space *as, gpa addr, uint64_t len);
    int result;
};

static void unplug_still(void *arg)
{
    struct unplugging *u = arg;

    u->result = u->unplug(u->as, u->blocks->addr, u->blocks->len);
}

static uint16_t unplug(struct virtio_mem *mem, struct unplugging *u)
{
    u->as = mem->core.setup.as;
    mem->options.still(mem->options.ctx, unplug_still, u);
    if (u->result)
        return u->result == -EBUSY ? RESPONSE_BUSY : RESPONSE_ERROR;
    mem->leaving = *u->blocks;
    plugged_set(mem, plugged(mem));
    mem->options.changed(mem->options.ctx);
    return RESPONSE_ACK;
}

static uint16_t request_unplug(struct virtio_mem *mem, const struct blocks *blocks)
{
    struct unplugging u = {.blocks = blocks, .unplug = memory_unplug};

    /* Without stopping anybody. */
    if (memory_plugged(mem->core.setup.as, blocks->addr, blocks->len) != blocks->len)
        return RESPONSE_ERROR;
    return unplug(mem, &u);
}

static uint16_t request_unplug_all(struct virtio_mem *mem)
{
    const struct blocks all = {mem->options.addr, mem->options.size};
    struct unplugging u = {.blocks = &all, .unplug = memory_unplug_any};

    return plugged(mem) ? unplug(mem, &u) : RESPONSE_ACK;
}

static uint16_t state_of(const struct virtio_mem *mem, const struct blocks *blocks)
{
    uint64_t there = memory_plugged(mem->core.setup.as, blocks->addr, blocks->len);

    return there == blocks->len ? STATE_PLUGGED : there ? STATE_MIXED : STATE_UNPLUGGED;
}

/* 5.15.6.2 to 5.15.6.5 */
static struct answer request_serve(struct virtio_mem *mem, const uint8_t *request)
{
    struct answer answer = {.type = RESPONSE_ERROR};
    struct blocks blocks;
    unsigned type = load_le16(request + REQUEST_TYPE);

    if (type == REQUEST_UNPLUG_ALL)
        return (struct answer){.type = request_unplug_all(mem)};
    if (!blocks_read(mem, request, &blocks))
        return answer;
    switch (type) {
    case REQUEST_PLUG:
        answer.type = request_plug(mem, &blocks);
        break;
    case REQUEST_UNPLUG:
        answer.type = request_unplug(mem, &blocks);
        break;
    case REQUEST_STATE:
        answer.type = RESPONSE_ACK;
        answer.state = state_of(mem, &blocks);
        break;
    }
    return answer;
}

/* ---- the queue ---- */

/* Takes the next request; false: none, or one that fails the device. */
static bool request_take(struct virtio_mem *mem)
{
    struct virtio_device *core = &mem->core;

    mutex_lock(&core->mutex);
    queue_mute(&core->queues[0]);
    mem->taken = virtio_pop(core, 0, &mem->chain);
    if (mem->taken &&
        (mem->chain.readable_bytes < REQUEST_SIZE || mem->chain.writable_bytes < RESPONSE_SIZE)) {
        virtio_drop(core, 0, &mem->chain);
        virtio_fail(core, "a request or its response is too short");
        mem->taken = false;
    }
    mutex_unlock(&core->mutex);
    return mem->taken;
}

static void request_answer(struct virtio_mem *mem)
{
    struct virtio_device *core = &mem->core;
    uint8_t response[RESPONSE_SIZE] = {0};

    store_le16(response + RESPONSE_TYPE, mem->answer.type);
    store_le16(response + RESPONSE_STATE, mem->answer.state);
    mutex_lock(&core->mutex);
    /* 2.4.1: one that a reset came between has no answer any more. */
    if (mem->chain.generation == core->queues[0].generation && virtio_running(core))
        chain_write(&mem->chain, 0, response, sizeof(response));
    virtio_push(core, 0, &mem->chain, sizeof(response));
    mem->taken = false;
    mutex_unlock(&core->mutex);
}

/* Gives back what is leaving, or some of it. */
static void leave(struct virtio_mem *mem)
{
    uint64_t until = monotonic_ns() + TURN_NS;

    while (mem->leaving.len && monotonic_ns() < until) {
        /* A failure of the host's kernel leaves it with what is of no use to anybody. */
        (void)!memory_reclaim(mem->core.setup.as, mem->leaving.addr, RAM_BLOCK_SIZE);
        mem->leaving.addr += RAM_BLOCK_SIZE;
        mem->leaving.len -= RAM_BLOCK_SIZE;
    }
}

static bool mem_run(struct virtio_device *core, unsigned index)
{
    struct virtio_mem *mem = container_of(core, struct virtio_mem, core);
    unsigned budget = TURN_REQUESTS;
    bool more;

    for (;;) {
        uint8_t request[REQUEST_SIZE];

        leave(mem);
        if (mem->leaving.len)
            return true;
        if (mem->taken)
            request_answer(mem);
        if (!budget-- || !request_take(mem))
            break;
        chain_read(&mem->chain, 0, request, sizeof(request));
        mem->answer = request_serve(mem, request);
    }
    mutex_lock(&core->mutex);
    more = virtio_running(core) && queue_unmute(&core->queues[0], 0);
    virtio_notify_guest(core, 0);
    mutex_unlock(&core->mutex);
    return more;
}

/* ---- the device ---- */

void virtio_mem_set_requested(struct virtio_mem *mem, uint64_t bytes)
{
    struct virtio_device *core = &mem->core;

    bytes = round_down(bytes < mem->options.size ? bytes : mem->options.size, RAM_BLOCK_SIZE);
    mutex_lock(&core->mutex);
    if (load_le64(core->config + CONFIG_REQUESTED_SIZE) != bytes) {
        store_le64(core->config + CONFIG_REQUESTED_SIZE, bytes);
        virtio_config_changed(core);
    }
    mutex_unlock(&core->mutex);
}

/* The generation moves as if something had changed, so that the driver reads what is asked of it.
 */
void virtio_mem_ask(struct virtio_mem *mem)
{
    mutex_lock(&mem->core.mutex);
    if (config_get(mem, CONFIG_REQUESTED_SIZE) != config_get(mem, CONFIG_PLUGGED_SIZE))
        virtio_config_changed(&mem->core);
    mutex_unlock(&mem->core.mutex);
}

void virtio_mem_get(struct virtio_mem *mem, struct virtio_mem_facts *facts)
{
    mutex_lock(&mem->core.mutex);
    *facts = (struct virtio_mem_facts){
        .size = mem->options.size,
        .requested = config_get(mem, CONFIG_REQUESTED_SIZE),
        .plugged = config_get(mem, CONFIG_PLUGGED_SIZE),
        .has_driver = virtio_running(&mem->core),
    };
    mutex_unlock(&mem->core.mutex);
}

void virtio_mem_unplug_all(struct virtio_mem *mem)
{
    ram_unplug_all(memory_find(mem->core.setup.as, mem->options.addr)->ram);
    mem->leaving = (struct blocks){0};
    plugged_set(mem, 0);
    mem->options.changed(mem->options.ctx);
}

static bool mem_accept(struct virtio_device *core, uint64_t features) REQUIRES(core->mutex)
{
    if (features & MEM_F_UNPLUGGED_INACCESSIBLE)
        return true;
    virtio_complain(core, "the driver wants to look at memory that is not plugged");
    return false;
}

static const struct virtio_device_type mem_type = {
    .name = "virtio-mem",
    .id = 24,
    .queue_count = 1,
    .queue_size = 16,
    .config_size = CONFIG_SIZE,
    .run = mem_run,
    .accept = mem_accept,
};

static void mem_free(void *ctx)
{
    struct virtio_mem *mem = ctx;

    virtio_stop(&mem->core);
    mutex_lock(&mem->core.mutex);
    if (mem->taken)
        virtio_drop(&mem->core, 0, &mem->chain);
    mutex_unlock(&mem->core.mutex);
    virtio_release(&mem->core);
    free(mem);
}

static const struct state_field mem_fields[] = {
    VIRTIO_STATE(struct virtio_mem),
    VIRTIO_QUEUE_STATE(struct virtio_mem, 0),
};

static void config_fill(const struct virtio_mem *mem, uint8_t *config)
{
    store_le64(config + CONFIG_BLOCK_SIZE, RAM_BLOCK_SIZE);
    store_le64(config + CONFIG_ADDR, mem->options.addr);
    store_le64(config + CONFIG_REGION_SIZE, mem->options.size);
    store_le64(config + CONFIG_USABLE_SIZE, mem->options.size);
}

/* Which blocks are plugged comes with memory's own state. */
static bool mem_check(const void *ctx) NO_THREAD_SAFETY
{
    const struct virtio_mem *mem = ctx;
    const uint8_t *config = mem->core.config;
    uint64_t asked = load_le64(config + CONFIG_REQUESTED_SIZE);
    uint8_t fixed[CONFIG_PLUGGED_SIZE] = {0};

    config_fill(mem, fixed);
    return virtio_check(ctx) && !memcmp(config, fixed, sizeof(fixed)) &&
           load_le64(config + CONFIG_PLUGGED_SIZE) == plugged(mem) && asked <= mem->options.size &&
           !(asked % RAM_BLOCK_SIZE);
}

static const struct device_type mem_mmio_type = {
    .name = "virtio-mem",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = mem_fields,
    .field_count = ARRAY_SIZE(mem_fields),
    .reset = virtio_reset,
    .check = mem_check,
    .resume = virtio_resume,
    .free = mem_free,
};

int virtio_mem_new(struct device *device, const struct virtio_setup *setup,
                   const struct virtio_mem_options *options)
{
    struct virtio_mem *mem = calloc(1, sizeof(*mem));

    if (!mem)
        return -ENOMEM;
    mem->options = *options;
    virtio_init(&mem->core, &mem_type, &virtio_mmio_transport, setup, MEM_F_UNPLUGGED_INACCESSIBLE);
    config_fill(mem, mem->core.config);
    *device = (struct device){.type = &mem_mmio_type, .instance = mem, .size = VIRTIO_MMIO_SIZE};
    return 0;
}
