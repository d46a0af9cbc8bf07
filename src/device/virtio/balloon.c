/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/balloon.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "device/virtio/mmio.h"

/* 5.5.3 */
#define BALLOON_F_STATS_VQ       (1ull << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define BALLOON_F_PAGE_REPORTING (1ull << 5)

/* 5.5.2 */
#define QUEUE_INFLATE    0u
#define QUEUE_DEFLATE    1u
#define QUEUE_STATISTICS 2u
#define QUEUE_FREE_PAGES 3u
#define QUEUE_REPORTING  4u
#define QUEUES           5u

/* 5.5.4; the fields behind belong to features that are not offered. */
#define CONFIG_NUM_PAGES 0u
#define CONFIG_ACTUAL    4u
#define CONFIG_SIZE      8u

/* Pages are of 4096 bytes whatever the guest's are (5.5.6). */
#define PFN_SIZE 4u

/* 5.5.6.3: le16 tag, le64 val. */
#define STATISTIC_SIZE  10u
#define STATISTICS_READ 64u /* entries; what a driver puts behind them is not looked at */

/* What a turn gives back at most, so that the loop's thread is its other devices' again after a
 * millisecond (see memory_discard()): so many single pages, or pages in one piece. */
#define TURN_PUNCHES 256u
#define TURN_PAGES   1024u

/* A chain that may take several turns. Of the loop's thread. */
struct balloon_request {
    struct chain chain;
    bool taken;    /* the chain is in flight */
    uint64_t done; /* bytes of it */
};

struct virtio_balloon {
    struct virtio_device core; /* first */
    uint64_t pages_max;        /* of memory */
    struct balloon_request inflate, reports[2];
    struct chain chain; /* within a turn; of the loop's thread */
    struct timer timer;
    uint32_t interval_ms; /* of the loop's thread */

    /* Guarded by core.mutex. */
    uint64_t counted;  /* pages */
    uint64_t reported; /* bytes */
    struct virtio_balloon_statistics statistics;
    /* The statistics queue's next chain was read, and waits in the ring to be given back when the
     * driver shall fill another. Of which generation of the queue. */
    bool seen;
    uint32_t seen_generation;
};

/* ---- pages to the host ---- */

/* What a turn, or a part of it, has done. */
struct given {
    uint64_t bytes;
    unsigned strays;  /* pages that are not the guest's memory */
    gpa stray;        /* the last of them */
    unsigned budget;  /* left */
    bool is_complete; /* the request */
};

/* Page numbers that follow one another, up or down. */
struct run {
    uint64_t first;
    unsigned count;
};

static void run_give(const struct address_space *as, const struct run *run, struct given *given)
{
    if (!run->count)
        return;
    if (memory_discard(as, run->first * PAGE_SIZE, (uint64_t)run->count * PAGE_SIZE) != -EFAULT) {
        given->bytes += (uint64_t)run->count * PAGE_SIZE;
        return;
    }
    /* Not all of it is memory. */
    for (unsigned i = 0; i < run->count; i++) {
        gpa page = (run->first + i) * PAGE_SIZE;

        if (memory_discard(as, page, PAGE_SIZE) == -EFAULT) {
            given->strays++;
            given->stray = page;
        } else {
            given->bytes += PAGE_SIZE;
        }
    }
}

/* 5.5.6: an array of page numbers. Neighbours go together: of Linux's pages 36 on average, where
 * 300 of 768 MiB were given. */
static void inflate_some(const struct address_space *as, struct balloon_request *request,
                         struct given *given)
{
    uint8_t raw[TURN_PUNCHES * PFN_SIZE];
    uint64_t want = (uint64_t)given->budget * PFN_SIZE;
    uint64_t got = chain_read(&request->chain, request->done, raw, want);
    struct run run = {0};

    for (uint64_t at = 0; at < got; at += PFN_SIZE) {
        uint64_t page = load_le32(raw + at);

        if (run.count && page == run.first + run.count) {
            run.count++;
        } else if (run.count && page + 1 == run.first) {
            run.first = page;
            run.count++;
        } else {
            run_give(as, &run, given);
            run = (struct run){page, 1};
        }
    }
    run_give(as, &run, given);
    request->done += got;
    given->budget -= (unsigned)(got / PFN_SIZE);
    given->is_complete = request->done == request->chain.readable_bytes;
}

/* 5.5.6.7: the pages are the buffers themselves. */
static void report_some(const struct address_space *as, struct balloon_request *request,
                        struct given *given)
{
    const struct chain *chain = &request->chain;
    uint64_t skip = request->done;

    for (unsigned i = chain->readable; i < chain->count && given->budget; i++) {
        const struct span *span = &chain->spans[i];
        uint64_t left, pages;
        gpa at;

        if (skip >= span->len) {
            skip -= span->len;
            continue;
        }
        at = memory_span_address(span) + skip;
        left = span->len - skip;
        pages = left / PAGE_SIZE + 1;
        if (pages > given->budget) {
            /* Ends with a page, so that none is lost between two turns. */
            pages = given->budget;
            left = round_down(at + pages * PAGE_SIZE, PAGE_SIZE) - at;
        }
        if (!memory_discard(as, at, left))
            given->bytes += left;
        given->budget -= (unsigned)pages;
        request->done += left;
        skip = 0;
    }
    given->is_complete = request->done == chain->writable_bytes;
}

/* What makes no sense in a request, or NULL. */
static const char *request_judge(unsigned index, const struct chain *chain)
{
    if (index == QUEUE_INFLATE || index == QUEUE_DEFLATE) {
        if (chain->writable_bytes)
            return "page numbers in a writable buffer";
        if (chain->readable_bytes % PFN_SIZE)
            return "array of page numbers ends within one";
    } else if (chain->readable_bytes) {
        return "reported pages that are not writable";
    }
    return NULL;
}

/* Pops a chain that can be served; any other fails the device. */
static bool request_pop(struct virtio_device *core, unsigned index, struct chain *chain)
    REQUIRES(core->mutex)
{
    const char *wrong;

    if (!virtio_pop(core, index, chain))
        return false;
    wrong = request_judge(index, chain);
    if (!wrong)
        return true;
    virtio_drop(core, index, chain);
    virtio_fail(core, wrong);
    return false;
}

/* The one that was begun, or the next; false: none. */
static bool request_take(struct virtio_device *core, unsigned index,
                         struct balloon_request *request) REQUIRES(core->mutex)
{
    if (request->taken &&
        (request->chain.generation != core->queues[index].generation || !virtio_running(core))) {
        virtio_drop(core, index, &request->chain);
        request->taken = false;
    }
    if (request->taken)
        return true;
    request->done = 0;
    request->taken = request_pop(core, index, &request->chain);
    return request->taken;
}

static void balloon_count(struct virtio_device *core, unsigned index, const struct given *given)
    REQUIRES(core->mutex)
{
    struct virtio_balloon *balloon = container_of(core, struct virtio_balloon, core);

    if (index != QUEUE_INFLATE) {
        balloon->reported += given->bytes;
        return;
    }
    balloon->counted += given->bytes / PAGE_SIZE;
    if (balloon->counted > balloon->pages_max)
        balloon->counted = balloon->pages_max;
    if (given->strays)
        virtio_complain(core, "%u pages for the balloon are not in memory, as 0x%llx",
                        given->strays, (unsigned long long)given->stray);
}

static bool balloon_run_give(struct virtio_balloon *balloon, unsigned index,
                             struct balloon_request *request)
{
    struct virtio_device *core = &balloon->core;
    unsigned budget = index == QUEUE_INFLATE ? TURN_PUNCHES : TURN_PAGES;
    bool more;

    mutex_lock(&core->mutex);
    queue_mute(&core->queues[index]);
    /* Each chain takes some of it. */
    while (budget && request_take(core, index, request)) {
        struct given given = {.budget = budget};

        /* Without the lock: it takes its time, and the chain stays pinned. */
        mutex_unlock(&core->mutex);
        if (index == QUEUE_INFLATE)
            inflate_some(core->setup.as, request, &given);
        else
            report_some(core->setup.as, request, &given);
        mutex_lock(&core->mutex);
        budget = given.budget;
        if (request->chain.generation == core->queues[index].generation)
            balloon_count(core, index, &given);
        if (given.is_complete) {
            /* Nothing that a driver could read was written. */
            virtio_push(core, index, &request->chain, 0);
            request->taken = false;
        }
    }
    more = !budget || (virtio_running(core) && queue_unmute(&core->queues[index], 0));
    virtio_notify_guest(core, index);
    mutex_unlock(&core->mutex);
    return more;
}

/* ---- pages to the guest ---- */

static bool balloon_run_deflate(struct virtio_balloon *balloon)
{
    struct virtio_device *core = &balloon->core;
    struct queue *queue = &core->queues[QUEUE_DEFLATE];
    unsigned budget = QUEUE_SIZE_MAX;
    bool more;

    mutex_lock(&core->mutex);
    queue_mute(queue);
    while (budget && request_pop(core, QUEUE_DEFLATE, &balloon->chain)) {
        uint64_t pages = balloon->chain.readable_bytes / PFN_SIZE;

        /* Which pages they are changes nothing. */
        balloon->counted -= pages < balloon->counted ? pages : balloon->counted;
        virtio_push(core, QUEUE_DEFLATE, &balloon->chain, 0);
        budget--;
    }
    more = !budget || (virtio_running(core) && queue_unmute(queue, 0));
    virtio_notify_guest(core, QUEUE_DEFLATE);
    mutex_unlock(&core->mutex);
    return more;
}

/* ---- statistics (5.5.6.3) ---- */

static uint64_t balloon_given(const struct virtio_balloon *balloon) REQUIRES(balloon->core.mutex)
{
    uint64_t said = load_le32(balloon->core.config + CONFIG_ACTUAL);

    return (said < balloon->counted ? said : balloon->counted) * PAGE_SIZE;
}

static void statistics_read(struct virtio_balloon_statistics *statistics, const struct chain *chain)
{
    uint8_t raw[STATISTICS_READ * STATISTIC_SIZE];
    uint64_t got = chain_read(chain, 0, raw, sizeof(raw));

    *statistics = (struct virtio_balloon_statistics){.time_ns = monotonic_ns()};
    for (uint64_t at = 0; at + STATISTIC_SIZE <= got; at += STATISTIC_SIZE) {
        unsigned tag = load_le16(raw + at);

        if (tag >= BALLOON_STATISTICS)
            continue;
        statistics->present |= 1u << tag;
        statistics->values[tag] = load_le64(raw + at + 2);
    }
}

static bool statistics_are_seen(const struct virtio_device *core) REQUIRES(core->mutex)
{
    const struct virtio_balloon *balloon = container_of(core, struct virtio_balloon, core);

    return balloon->seen && balloon->seen_generation == core->queues[QUEUE_STATISTICS].generation;
}

/* The buffer is read and stays in the ring: it is in flight only while it is looked at, and so a
 * reset need not wait for it, nor a saved state tell of it. */
static bool balloon_run_statistics(struct virtio_balloon *balloon)
{
    struct virtio_device *core = &balloon->core;
    struct queue *queue = &core->queues[QUEUE_STATISTICS];
    bool more = false;

    mutex_lock(&core->mutex);
    if (virtio_has(core, BALLOON_F_STATS_VQ) && !statistics_are_seen(core)) {
        if (virtio_pop(core, QUEUE_STATISTICS, &balloon->chain)) {
            statistics_read(&balloon->statistics, &balloon->chain);
            balloon->statistics.given = balloon_given(balloon);
            virtio_drop(core, QUEUE_STATISTICS, &balloon->chain);
            queue_rewind(queue, 1);
            balloon->seen = true;
            balloon->seen_generation = queue->generation;
        } else {
            more = virtio_running(core) && queue_unmute(queue, 0);
        }
    }
    mutex_unlock(&core->mutex);
    return more;
}

/* Gives the buffer back, upon which the driver fills another. Without one the driver is at it. */
static void balloon_ask(struct virtio_balloon *balloon)
{
    struct virtio_device *core = &balloon->core;
    struct queue *queue = &core->queues[QUEUE_STATISTICS];

    mutex_lock(&core->mutex);
    if (statistics_are_seen(core) && virtio_pop(core, QUEUE_STATISTICS, &balloon->chain)) {
        virtio_push(core, QUEUE_STATISTICS, &balloon->chain, 0);
        balloon->seen = false;
        if (queue_unmute(queue, 0))
            virtio_kick(core, QUEUE_STATISTICS);
        virtio_notify_guest(core, QUEUE_STATISTICS);
    }
    mutex_unlock(&core->mutex);
}

static void balloon_tick(void *ctx)
{
    struct virtio_balloon *balloon = ctx;

    balloon_ask(balloon);
    timer_set(&balloon->timer, monotonic_ns() + balloon->interval_ms * 1000000ull);
}

void virtio_balloon_set_interval(struct virtio_balloon *balloon, uint32_t milliseconds)
{
    balloon->interval_ms = milliseconds;
    if (milliseconds)
        balloon_tick(balloon);
    else
        timer_cancel(&balloon->timer);
}

/* ---- the device ---- */

void virtio_balloon_set_target(struct virtio_balloon *balloon, uint64_t bytes)
{
    struct virtio_device *core = &balloon->core;
    uint64_t pages = bytes / PAGE_SIZE;

    if (pages > balloon->pages_max)
        pages = balloon->pages_max;
    mutex_lock(&core->mutex);
    if (load_le32(core->config + CONFIG_NUM_PAGES) != pages) {
        store_le32(core->config + CONFIG_NUM_PAGES, (uint32_t)pages);
        virtio_config_changed(core);
    }
    mutex_unlock(&core->mutex);
}

void virtio_balloon_get(struct virtio_balloon *balloon, struct virtio_balloon_facts *facts)
{
    struct virtio_device *core = &balloon->core;

    mutex_lock(&core->mutex);
    *facts = (struct virtio_balloon_facts){
        .target = (uint64_t)load_le32(core->config + CONFIG_NUM_PAGES) * PAGE_SIZE,
        .said = (uint64_t)load_le32(core->config + CONFIG_ACTUAL) * PAGE_SIZE,
        .counted = balloon->counted * PAGE_SIZE,
        .reported = balloon->reported,
        .given = balloon_given(balloon),
        .statistics = balloon->statistics,
    };
    mutex_unlock(&core->mutex);
}

static bool balloon_has_reporting(struct virtio_balloon *balloon)
{
    bool has;

    mutex_lock(&balloon->core.mutex);
    has = virtio_has(&balloon->core, BALLOON_F_PAGE_REPORTING);
    mutex_unlock(&balloon->core.mutex);
    return has;
}

static bool balloon_run(struct virtio_device *core, unsigned index)
{
    struct virtio_balloon *balloon = container_of(core, struct virtio_balloon, core);
    struct balloon_request *report;

    switch (index) {
    case QUEUE_INFLATE:
        return balloon_run_give(balloon, index, &balloon->inflate);
    case QUEUE_DEFLATE:
        return balloon_run_deflate(balloon);
    case QUEUE_STATISTICS:
        return balloon_run_statistics(balloon);
    default:
        report = &balloon->reports[index - QUEUE_FREE_PAGES];
        /* One that was begun is let go of in any case. */
        return (report->taken || balloon_has_reporting(balloon)) &&
               balloon_run_give(balloon, index, report);
    }
}

static void balloon_reset(struct virtio_device *core) REQUIRES(core->mutex)
{
    struct virtio_balloon *balloon = container_of(core, struct virtio_balloon, core);

    store_le32(core->config + CONFIG_ACTUAL, 0);
    balloon->counted = 0;
    balloon->reported = 0;
    balloon->statistics = (struct virtio_balloon_statistics){0};
    balloon->seen = false;
}

static void balloon_config_write(struct virtio_device *core, uint32_t offset, unsigned width,
                                 uint64_t value) REQUIRES(core->mutex)
{
    uint8_t raw[8];

    if (offset < CONFIG_ACTUAL) {
        virtio_complain(core, "write to read-only configuration space at 0x%x", offset);
        return;
    }
    store_le64(raw, value);
    memcpy(core->config + offset, raw, width);
}

static const struct virtio_device_type balloon_type = {
    .name = "virtio-balloon",
    .id = 5,
    .queue_count = QUEUES,
    .queue_size = 64, /* Linux reports free pages only where at least 32 fit */
    .config_size = CONFIG_SIZE,
    .run = balloon_run,
    .reset = balloon_reset,
    .config_write = balloon_config_write,
};

/* virtio_stop() ended its generation. */
static void request_release(struct virtio_device *core, unsigned index,
                            struct balloon_request *request)
{
    mutex_lock(&core->mutex);
    if (request->taken)
        virtio_drop(core, index, &request->chain);
    mutex_unlock(&core->mutex);
}

static void balloon_free(void *ctx)
{
    struct virtio_balloon *balloon = ctx;

    virtio_stop(&balloon->core);
    timer_cancel(&balloon->timer);
    request_release(&balloon->core, QUEUE_INFLATE, &balloon->inflate);
    request_release(&balloon->core, QUEUE_FREE_PAGES, &balloon->reports[0]);
    request_release(&balloon->core, QUEUE_REPORTING, &balloon->reports[1]);
    virtio_release(&balloon->core);
    free(balloon);
}

static const struct state_field balloon_fields[] = {
    VIRTIO_STATE(struct virtio_balloon),
    VIRTIO_QUEUE_STATE(struct virtio_balloon, QUEUE_INFLATE),
    VIRTIO_QUEUE_STATE(struct virtio_balloon, QUEUE_DEFLATE),
    VIRTIO_QUEUE_STATE(struct virtio_balloon, QUEUE_STATISTICS),
    VIRTIO_QUEUE_STATE(struct virtio_balloon, QUEUE_FREE_PAGES),
    VIRTIO_QUEUE_STATE(struct virtio_balloon, QUEUE_REPORTING),
    STATE_FIELD(struct virtio_balloon, counted, 1),
};

static bool balloon_check(const void *ctx)
{
    const struct virtio_balloon *balloon = ctx;

    return virtio_check(ctx) && balloon->counted <= balloon->pages_max;
}

static const struct device_type balloon_mmio_type = {
    .name = "virtio-balloon",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = balloon_fields,
    .field_count = ARRAY_SIZE(balloon_fields),
    .reset = virtio_reset,
    .check = balloon_check,
    .resume = virtio_resume,
    .free = balloon_free,
};

int virtio_balloon_new(struct device *device, const struct virtio_setup *setup)
{
    struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));
    const struct ram *ram = memory_main_ram(setup->as);

    if (!balloon)
        return -ENOMEM;
    balloon->pages_max = ram ? ram->size / PAGE_SIZE : 0;
    if (balloon->pages_max > UINT32_MAX)
        balloon->pages_max = UINT32_MAX; /* what num_pages can tell */
    timer_init(&balloon->timer, setup->loop, balloon_tick, balloon);
    virtio_init(&balloon->core, &balloon_type, &virtio_mmio_transport, setup,
                BALLOON_F_STATS_VQ | BALLOON_F_DEFLATE_ON_OOM | BALLOON_F_PAGE_REPORTING);
    *device =
        (struct device){.type = &balloon_mmio_type, .instance = balloon, .size = VIRTIO_MMIO_SIZE};
    return 0;
}
