/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of virtio-balloon share: the device behind a driver, and pages of memory to give
 * away, which are counted from FIRST_PAGE of the RAM on.
 */
#ifndef HOSPES_TESTS_BALLOON_FIXTURE_H
#define HOSPES_TESTS_BALLOON_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "device/virtio/balloon.h"
#include "virtio_driver.h"

#define F_STATS_VQ       (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)
#define F_PAGE_REPORTING (1ull << 5)

#define INFLATE     0u
#define DEFLATE     1u
#define STATISTICS  2u
#define RING        64u
#define BUFFER_SIZE 8192u
#define FIRST_PAGE  0x2000u
#define FIRST_PFN   ((uint32_t)(DRIVER_RAM / PAGE_SIZE) + FIRST_PAGE)

struct balloon_fixture {
    struct driver driver;
    struct virtio_balloon *balloon;
    struct ram *ram;
    gpa buffer; /* BUFFER_SIZE bytes */
};

static inline int fixture_setup(void **state)
{
    struct balloon_fixture *f = calloc(1, sizeof(*f));
    struct virtio_setup s;

    assert_non_null(f);
    driver_init(&f->driver);
    s = driver_setup(&f->driver);
    assert_int_equal(virtio_balloon_new(&f->driver.device, &s), 0);
    driver_attach(&f->driver);
    f->balloon = f->driver.device.instance;
    f->ram = memory_main_ram(f->driver.as);
    f->buffer = driver_alloc(&f->driver, BUFFER_SIZE);
    /* Held by the host from here on, as the counts of what it holds expect. */
    memset(f->ram->host + (f->buffer - DRIVER_RAM), 1, BUFFER_SIZE);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct balloon_fixture *f = *state;

    driver_release(&f->driver);
    free(f);
    return 0;
}

/* All five queues, of which some may be of no use. */
static inline void fixture_start(struct balloon_fixture *f, uint64_t features)
{
    driver_start(&f->driver, features, 5, RING);
}

static inline struct virtio_balloon_facts fixture_facts(struct balloon_fixture *f)
{
    struct virtio_balloon_facts facts;

    virtio_balloon_get(f->balloon, &facts);
    return facts;
}

static inline gpa page_at(uint32_t page)
{
    return (gpa)(uint32_t)(FIRST_PFN + page) * PAGE_SIZE;
}

/* The page at an address anywhere, as a page number is made of it. */
static inline uint32_t page_of(gpa addr)
{
    return (uint32_t)(addr / PAGE_SIZE) - FIRST_PFN;
}

static inline void fixture_fill(struct balloon_fixture *f, unsigned pages)
{
    memset(f->ram->host + (uint64_t)FIRST_PAGE * PAGE_SIZE, 0x5a, (uint64_t)pages * PAGE_SIZE);
}

static inline bool fixture_page_is(struct balloon_fixture *f, unsigned page, uint8_t byte)
{
    const uint8_t *at = f->ram->host + (uint64_t)(FIRST_PAGE + page) * PAGE_SIZE;

    return at[0] == byte && !memcmp(at, at + 1, PAGE_SIZE - 1);
}

/* Bytes that the host holds for the RAM. */
static inline uint64_t fixture_blocks(struct balloon_fixture *f)
{
    struct stat status;

    assert_int_equal(fstat(f->ram->fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

/* A request with these pages, from FIRST_PAGE on; at most BUFFER_SIZE / 4. */
static inline void fixture_pages(struct balloon_fixture *f, unsigned queue, const uint32_t *pages,
                                 unsigned count)
{
    const struct buffer buffer = {f->buffer, 4 * count, false};
    uint8_t raw[BUFFER_SIZE];

    assert_true(4 * count <= BUFFER_SIZE);
    for (unsigned i = 0; i < count; i++)
        store_le32(raw + 4ull * i, FIRST_PFN + pages[i]);
    driver_put(&f->driver, f->buffer, raw, 4ull * count);
    driver_add(&f->driver, queue, &buffer, 1);
    driver_kick(&f->driver, queue);
}

struct fixture_call {
    struct loop *loop;
    void (*call)(void *ctx);
    void *ctx;
};

static inline void fixture_call(void *ctx)
{
    struct fixture_call *call = ctx;

    call->call(call->ctx);
    loop_stop(call->loop, 0);
}

/* Calls on the loop's thread, and runs nothing behind it. */
static inline void fixture_on_loop(struct balloon_fixture *f, void (*call)(void *ctx), void *ctx)
{
    struct fixture_call what = {f->driver.loop, call, ctx};
    struct deferred deferred;

    deferred_init(&deferred, fixture_call, &what);
    loop_post(f->driver.loop, &deferred);
    loop_run(f->driver.loop);
}

#endif
