/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk over MMIO: every request type, every way to get one wrong, and resets in flight. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"
#include "device/virtio/block.h"
#include "virtio_driver.h"
#include "virtio_fakes.h"

#define SECTORS 64u

#define F_RO           (1ull << 5)
#define F_FLUSH        (1ull << 9)
#define F_CONFIG_WCE   (1ull << 11)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_NONE = 0xee };

struct fixture {
    struct driver driver;
    struct block *block;
    gpa header;
    gpa data; /* 32 sectors */
    gpa status;
};

static struct fixture *fixture_new(bool read_only, bool can_discard)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_setup setup;

    assert_non_null(f);
    driver_init(&f->driver);
    setup = driver_setup(&f->driver);
    f->block = fake_block_new(SECTORS * 512);
    f->block->read_only = read_only;
    f->block->can_discard = can_discard;
    for (unsigned i = 0; i < SECTORS; i++)
        memset(f->block->data + 512 * i, (int)i + 1, 512);
    assert_int_equal(virtio_block_new(&f->driver.device, &setup, f->block, "serial-1"), 0);
    driver_attach(&f->driver);
    f->header = driver_alloc(&f->driver, 16);
    f->data = driver_alloc(&f->driver, 32 * 512);
    f->status = driver_alloc(&f->driver, 1);
    return f;
}

static int setup_writable(void **state)
{
    *state = fixture_new(false, true);
    return 0;
}

static int setup_read_only(void **state)
{
    *state = fixture_new(true, true);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    driver_release(&f->driver);
    free(f);
    return 0;
}

static void header_put(struct fixture *f, uint32_t type, uint64_t sector)
{
    uint8_t raw[16] = {0};

    store_le32(raw, type);
    store_le64(raw + 8, sector);
    driver_put(&f->driver, f->header, raw, sizeof(raw));
    driver_put(&f->driver, f->status, (uint8_t[]){S_NONE}, 1);
}

static uint8_t status_get(struct fixture *f)
{
    uint8_t status;

    driver_get(&f->driver, f->status, &status, 1);
    return status;
}

/* Submits one request of the usual shape: header, data, status. */
static void submit(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len)
{
    bool to_guest = type == T_IN || type == T_GET_ID;
    struct buffer buffers[] = {{f->header, 16, false},
                               {f->data, len, to_guest},
                               {f->status, 1, true}};

    header_put(f, type, sector);
    if (!len)
        buffers[1] = buffers[2];
    driver_add(&f->driver, 0, buffers, len ? 3 : 2);
    driver_kick(&f->driver, 0);
}

/* The same, waits, and returns the status. `used` is the length that the device claims. */
static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len,
                       uint32_t *used)
{
    uint32_t head;

    submit(f, type, sector, len);
    assert_true(driver_used(&f->driver, 0, &head, used));
    return status_get(f);
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    uint64_t offered;

    assert_int_equal(driver_read32(d, REG_DEVICE_ID), 2);
    offered = driver_read32(d, REG_DEVICE_FEATURES);
    assert_int_equal(offered & (F_RO | F_FLUSH | F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES),
                     F_FLUSH | F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES);
    assert_int_equal(driver_read32(d, REG_CONFIG), SECTORS);
    assert_int_equal(driver_read32(d, REG_CONFIG + 4), 0);
    assert_int_equal(driver_read32(d, REG_CONFIG + 12), 254); /* seg_max */
    assert_int_equal(driver_read32(d, REG_CONFIG + 20), 512); /* blk_size */
    assert_int_equal(driver_read(d, REG_CONFIG + 24, 1), 3);  /* physical_block_exp */
    assert_true(driver_read32(d, REG_CONFIG + 36) > 0);       /* max_discard_sectors */
    assert_int_equal(driver_read(d, REG_CONFIG + 56, 1), 1);  /* write_zeroes_may_unmap */
}

static void reads_and_writes(void **state)
{
    struct fixture *f = *state;
    uint8_t want[1024], got[1024];
    uint32_t used;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    assert_int_equal(request(f, T_IN, 5, 1024, &used), S_OK);
    assert_int_equal(used, 1025);
    driver_get(&f->driver, f->data, got, 1024);
    assert_memory_equal(got, f->block->data + 5 * 512, 1024);
    assert_int_equal(got[512], 7);

    memset(want, 0xa5, sizeof(want));
    driver_put(&f->driver, f->data, want, sizeof(want));
    assert_int_equal(request(f, T_OUT, SECTORS - 2, 1024, &used), S_OK);
    assert_int_equal(used, 1);
    assert_memory_equal(f->block->data + (SECTORS - 2) * 512, want, 1024);
    assert_int_equal(f->block->data[(SECTORS - 2) * 512 - 1], SECTORS - 2);
    /* Nothing to move is nothing wrong. */
    assert_int_equal(request(f, T_IN, 0, 0, &used), S_OK);
    assert_int_equal(f->block->counts[BLOCK_FLUSH], 0);
}

/* 2.7.4.1: no assumption about how a request is cut into descriptors. */
static void framing(void **state)
{
    struct fixture *f = *state;
    const struct buffer read[] = {
        {f->header, 5, false},    {f->header + 5, 11, false}, {f->data, 1, true},
        {f->data + 1, 510, true}, {f->data + 511, 514, true},
    };
    const struct buffer write[] = {
        {f->header, 16 + 512, false}, /* the data follows the header in memory */
        {f->status, 1, true},
    };
    uint8_t raw[16 + 512];
    uint32_t head, used;

    driver_start(&f->driver, F_FLUSH | VIRTIO_F_INDIRECT_DESC, 1, 16);
    for (unsigned indirect = 0; indirect < 2; indirect++) {
        header_put(f, T_IN, 9);
        if (indirect)
            driver_add_indirect(&f->driver, 0, read, ARRAY_SIZE(read));
        else
            driver_add(&f->driver, 0, read, ARRAY_SIZE(read));
        driver_kick(&f->driver, 0);
        assert_true(driver_used(&f->driver, 0, &head, &used));
        assert_int_equal(used, 1025);
        driver_get(&f->driver, f->data, raw, 512);
        assert_memory_equal(raw, f->block->data + 9 * 512, 512);
        driver_get(&f->driver, f->data + 1024, raw, 1);
        assert_int_equal(raw[0], S_OK);
    }
    assert_int_equal(f->data, f->header + 16);
    header_put(f, T_OUT, 20);
    memset(raw, 0x77, sizeof(raw));
    driver_put(&f->driver, f->data, raw, 512);
    driver_add(&f->driver, 0, write, 2);
    driver_kick(&f->driver, 0);
    assert_true(driver_used(&f->driver, 0, &head, &used));
    assert_int_equal(status_get(f), S_OK);
    assert_memory_equal(f->block->data + 20 * 512, raw, 512);
    assert_int_equal(f->block->data[21 * 512], 22);
}

static void other_requests(void **state)
{
    struct fixture *f = *state;
    uint8_t id[20];
    uint32_t used;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    assert_int_equal(request(f, T_FLUSH, 0, 0, &used), S_OK);
    assert_int_equal(used, 1);
    assert_int_equal(f->block->counts[BLOCK_FLUSH], 1);
    assert_int_equal(request(f, T_GET_ID, 0, 20, &used), S_OK);
    assert_int_equal(used, 21);
    driver_get(&f->driver, f->data, id, sizeof(id));
    assert_memory_equal(id, "serial-1\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    assert_int_equal(request(f, 2, 0, 0, &used), S_UNSUPP);   /* SCSI of the legacy interface */
    assert_int_equal(request(f, 10, 0, 0, &used), S_UNSUPP);  /* GET_LIFETIME: not offered */
    assert_int_equal(request(f, 14, 0, 16, &used), S_UNSUPP); /* SECURE_ERASE: not offered */
    assert_int_equal(request(f, UINT32_MAX, 0, 512, &used), S_UNSUPP);
    assert_false(driver_needs_reset(&f->driver));
}

static void bounds(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint64_t sector;
        uint32_t len;
        uint8_t status;
    } cases[] = {
        {0, SECTORS / 2 * 512, S_OK},
        {SECTORS - 1, 512, S_OK},
        {SECTORS, 0, S_OK},
        {SECTORS - 1, 1024, S_IOERR},
        {SECTORS, 512, S_IOERR},
        {0, 511, S_IOERR},
        {0, 513, S_IOERR},
        {UINT64_MAX, 512, S_IOERR},
        {UINT64_MAX / 512, 512, S_IOERR},
        {UINT64_MAX / 512 + 1, 512, S_IOERR}, /* 512 times this is 0 again */
        {1ull << 55, 1024, S_IOERR},
    };
    uint32_t used;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(request(f, T_IN, cases[i].sector, cases[i].len, &used), cases[i].status);
        assert_int_equal(request(f, T_OUT, cases[i].sector, cases[i].len, &used), cases[i].status);
    }
    /* The data of a failed read is not claimed to be there. */
    assert_int_equal(request(f, T_IN, SECTORS, 512, &used), S_IOERR);
    assert_int_equal(used, 0);
}

static void host_errors(void **state)
{
    struct fixture *f = *state;
    uint32_t used;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    f->block->result = -EIO;
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_IOERR);
    assert_int_equal(used, 0);
    assert_int_equal(request(f, T_OUT, 0, 512, &used), S_IOERR);
    assert_int_equal(request(f, T_FLUSH, 0, 0, &used), S_IOERR);
    f->block->result = -EOPNOTSUPP;
    assert_int_equal(request(f, T_FLUSH, 0, 0, &used), S_UNSUPP);
    f->block->result = 0;
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_OK);
}

static void segment_put(struct fixture *f, unsigned index, uint64_t sector, uint32_t sectors,
                        uint32_t flags)
{
    uint8_t raw[16];

    store_le64(raw, sector);
    store_le32(raw + 8, sectors);
    store_le32(raw + 12, flags);
    driver_put(&f->driver, f->data + 16ull * index, raw, sizeof(raw));
}

static void discard_and_zero(void **state)
{
    struct fixture *f = *state;
    uint32_t used;

    driver_start(&f->driver, F_FLUSH | F_DISCARD | F_WRITE_ZEROES, 1, 16);
    segment_put(f, 0, 4, 2, 0);
    segment_put(f, 1, 10, 1, 0);
    segment_put(f, 2, SECTORS - 1, 1, 0);
    assert_int_equal(request(f, T_DISCARD, 0, 48, &used), S_OK);
    assert_int_equal(f->block->counts[BLOCK_DISCARD], 3);
    assert_int_equal(f->block->data[4 * 512], 0xdd);
    assert_int_equal(f->block->data[6 * 512 - 1], 0xdd);
    assert_int_equal(f->block->data[6 * 512], 7);
    assert_int_equal(f->block->data[SECTORS * 512 - 1], 0xdd);
    segment_put(f, 0, 4, 2, 1); /* may unmap */
    segment_put(f, 1, 10, 1, 0);
    assert_int_equal(request(f, T_WRITE_ZEROES, 0, 32, &used), S_OK);
    assert_int_equal(f->block->counts[BLOCK_WRITE_ZEROES], 2);
    assert_int_equal(f->block->data[4 * 512], 0);
    assert_int_equal(f->block->data[10 * 512], 0);
    assert_int_equal(f->block->data[11 * 512], 12);
}

static void bad_segments(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint32_t type;
        uint64_t sector;
        uint32_t sectors;
        uint32_t flags;
        uint8_t status;
    } cases[] = {
        {T_DISCARD, 0, 1, 1, S_UNSUPP}, /* 5.2.6.2: unmap with discard */
        {T_DISCARD, 0, 1, 2, S_UNSUPP}, /* an unknown flag */
        {T_WRITE_ZEROES, 0, 1, 0x80000000, S_UNSUPP},
        {T_DISCARD, SECTORS, 1, 0, S_IOERR},
        {T_DISCARD, 1, SECTORS, 0, S_IOERR},
        {T_WRITE_ZEROES, UINT64_MAX, 2, 0, S_IOERR},
        {T_WRITE_ZEROES, 0, UINT32_MAX, 0, S_IOERR},
        {T_WRITE_ZEROES, 0, 0, 0, S_IOERR},
    };
    uint32_t used;

    driver_start(&f->driver, F_FLUSH | F_DISCARD | F_WRITE_ZEROES, 1, 16);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        segment_put(f, 0, 0, 1, 0);
        segment_put(f, 1, cases[i].sector, cases[i].sectors, cases[i].flags);
        assert_int_equal(request(f, cases[i].type, 0, 32, &used), cases[i].status);
    }
    assert_int_equal(request(f, T_DISCARD, 0, 0, &used), S_IOERR);
    assert_int_equal(request(f, T_DISCARD, 0, 15, &used), S_IOERR);
    assert_int_equal(request(f, T_DISCARD, 0, 16 * 17, &used), S_IOERR);
    /* All of a request is checked before any of it is done. */
    assert_int_equal(f->block->counts[BLOCK_DISCARD] + f->block->counts[BLOCK_WRITE_ZEROES], 0);
}

static void read_only_disk(void **state)
{
    struct fixture *f = *state;
    uint64_t offered = driver_read32(&f->driver, REG_DEVICE_FEATURES);
    uint32_t used;

    assert_int_equal(offered & (F_RO | F_DISCARD | F_WRITE_ZEROES), F_RO);
    driver_start(&f->driver, F_RO | F_FLUSH, 1, 16);
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_OK);
    assert_int_equal(request(f, T_OUT, 0, 512, &used), S_IOERR);
    segment_put(f, 0, 0, 1, 0);
    assert_int_equal(request(f, T_DISCARD, 0, 16, &used), S_IOERR);
    assert_int_equal(request(f, T_WRITE_ZEROES, 0, 16, &used), S_IOERR);
    assert_int_equal(request(f, T_FLUSH, 0, 0, &used), S_OK);
    assert_int_equal(f->block->data[0], 1);
}

static void no_discard(void **state)
{
    struct fixture *f = fixture_new(false, false);
    uint32_t used;

    *state = f;
    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_FEATURES) & (F_DISCARD | F_WRITE_ZEROES),
                     F_WRITE_ZEROES);
    driver_start(&f->driver, F_FLUSH | F_WRITE_ZEROES, 1, 16);
    segment_put(f, 0, 0, 1, 0);
    assert_int_equal(request(f, T_DISCARD, 0, 16, &used), S_UNSUPP);
    assert_int_equal(request(f, T_WRITE_ZEROES, 0, 16, &used), S_OK);
}

/* 5.2.6.2: when a write is complete it is stable, unless the driver took charge of flushing. */
static void cache_modes(void **state)
{
    struct fixture *f = *state;
    struct block *block = f->block;
    uint32_t used;

    driver_start(&f->driver, 0, 1, 16);
    assert_int_equal(request(f, T_OUT, 0, 512, &used), S_OK);
    assert_int_equal(block->counts[BLOCK_FLUSH], 1);
    assert_int_equal(block->last_flush, block->order); /* after the write */
    segment_put(f, 0, 0, 1, 0);
    segment_put(f, 1, 2, 1, 0);
    assert_int_equal(request(f, T_WRITE_ZEROES, 0, 32, &used), S_OK);
    assert_int_equal(block->counts[BLOCK_FLUSH], 2);
    assert_int_equal(block->last_flush, block->order);
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_OK);
    assert_int_equal(block->counts[BLOCK_FLUSH], 2);

    driver_start(&f->driver, F_FLUSH | F_CONFIG_WCE, 1, 16);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG + 32, 1), 1);
    assert_int_equal(request(f, T_OUT, 0, 512, &used), S_OK);
    assert_int_equal(block->counts[BLOCK_FLUSH], 2);
    driver_write(&f->driver, REG_CONFIG + 32, 1, 0);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG + 32, 1), 0);
    assert_int_equal(request(f, T_OUT, 0, 512, &used), S_OK);
    assert_int_equal(block->counts[BLOCK_FLUSH], 3);

    driver_start(&f->driver, F_CONFIG_WCE, 1, 16);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG + 32, 1), 0);
    driver_start(&f->driver, F_FLUSH, 1, 16);
    driver_write(&f->driver, REG_CONFIG + 32, 1, 0); /* not negotiated */
    driver_write(&f->driver, REG_CONFIG, 1, 0);      /* capacity is not the driver's */
    assert_int_equal(driver_read(&f->driver, REG_CONFIG, 1), SECTORS);
    assert_int_equal(request(f, T_OUT, 0, 512, &used), S_OK);
    assert_int_equal(block->counts[BLOCK_FLUSH], 3);
}

/* As many requests under way as the queue holds; they complete when the host is done. */
static void many_in_flight(void **state)
{
    struct fixture *f = *state;
    gpa status = driver_alloc(&f->driver, 256);
    uint32_t head, used;

    driver_start(&f->driver, F_FLUSH | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX, 1, 256);
    f->block->hold = true;
    header_put(f, T_IN, 1);
    for (unsigned i = 0; i < 256; i++) {
        const struct buffer buffers[] = {{f->header, 16, false},
                                         {f->data, 512, true},
                                         {status + i, 1, true}};

        driver_add_indirect(&f->driver, 0, buffers, 3);
    }
    driver_kick(&f->driver, 0);
    assert_int_equal(f->block->held_count, 256);
    assert_false(driver_used(&f->driver, 0, &head, &used));
    for (unsigned i = 0; i < 256; i++) {
        assert_true(fake_block_complete(f->block));
        assert_true(driver_used(&f->driver, 0, &head, &used));
        assert_int_equal(head, i);
    }
    assert_false(driver_needs_reset(&f->driver));
    /* The same chain 256 times over is possible; one more than there are descriptors is not. */
    for (unsigned i = 0; i < 256; i++)
        driver_offer(&f->driver, 0, 0);
    driver_kick(&f->driver, 0);
    assert_int_equal(f->block->held_count, 256);
    assert_false(driver_needs_reset(&f->driver));
    driver_offer(&f->driver, 0, 0);
    driver_kick(&f->driver, 0);
    assert_true(driver_needs_reset(&f->driver));
    f->block->hold = false;
    while (fake_block_complete(f->block))
        ;
    driver_start(&f->driver, F_FLUSH, 1, 16);
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_OK);
}

static void bad_requests(void **state)
{
    struct fixture *f = *state;
    const struct {
        struct buffer buffers[2];
        unsigned count;
    } cases[] = {
        {{{f->header, 15, false}, {f->status, 1, true}}, 2}, /* a short header */
        {{{f->header, 16, false}}, 1},                       /* no status byte */
        {{{f->header, 16, true}}, 1},                        /* nothing to read */
    };
    uint32_t head, used;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        driver_start(&f->driver, F_FLUSH, 1, 16);
        header_put(f, T_IN, 0);
        driver_add(&f->driver, 0, cases[i].buffers, cases[i].count);
        driver_kick(&f->driver, 0);
        assert_true(driver_needs_reset(&f->driver));
        assert_false(driver_used(&f->driver, 0, &head, &used));
        assert_true(virtio_is_idle(f->driver.device.instance));
    }
    driver_start(&f->driver, F_FLUSH, 1, 16);
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_OK);
}

/* ---- resets in flight ---- */

static void reset_on_loop(void *ctx)
{
    struct fixture *f = ctx;

    driver_write32(&f->driver, REG_STATUS, 0);
    loop_stop(f->driver.loop, 0);
}

/* On the loop's thread nobody can wait: the status tells when it is over. */
static void reset_without_waiting(void **state)
{
    struct fixture *f = *state;
    struct deferred deferred;
    uint32_t used;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    f->block->hold = true;
    submit(f, T_IN, 0, 512);
    submit(f, T_IN, 1, 512);
    deferred_init(&deferred, reset_on_loop, f);
    loop_post(f->driver.loop, &deferred);
    loop_run(f->driver.loop);
    assert_int_not_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_false(virtio_is_idle(f->driver.device.instance));
    /* A driver that does not look gets nowhere. */
    driver_write32(&f->driver, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
    assert_true(fake_block_complete(f->block));
    assert_int_not_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_true(fake_block_complete(f->block));
    assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_int_equal(status_get(f), S_NONE);
    assert_int_equal(driver_get16(&f->driver, f->driver.queues[0].used + 2), 0);
    assert_false(f->driver.line);
    f->block->hold = false;
    driver_start(&f->driver, F_FLUSH, 1, 16);
    assert_int_equal(request(f, T_IN, 0, 512, &used), S_OK);
}

struct late {
    struct fixture *f;
    struct deferred complete;
    struct deferred end;
    struct timer timer;
    _Atomic bool completed;
};

static void late_complete(void *ctx)
{
    struct late *late = ctx;

    atomic_store(&late->completed, true);
    while (fake_block_complete(late->f->block))
        ;
}

static void late_end(void *ctx)
{
    loop_stop(((struct late *)ctx)->f->driver.loop, 0);
}

static void *late_loop(void *ctx)
{
    loop_run(((struct late *)ctx)->f->driver.loop);
    return NULL;
}

/* On a vCPU's thread the write returns when the device touches memory no more. */
static void reset_waits(void **state)
{
    struct fixture *f = *state;
    struct late late = {.f = f};
    uint8_t before[512], after[512];
    pthread_t thread;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    f->block->hold = true;
    submit(f, T_IN, 3, 512);
    deferred_init(&late.end, late_end, &late);
    timer_init(&late.timer, f->driver.loop, late_complete, &late);
    assert_int_equal(thread_start(&thread, "loop", late_loop, &late), 0);
    timer_set(&late.timer, monotonic_ns() + 50000000);
    driver_write32(&f->driver, REG_STATUS, 0);
    assert_true(atomic_load(&late.completed));
    assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_int_equal(status_get(f), S_NONE);
    memset(before, 0x5a, sizeof(before));
    driver_put(&f->driver, f->data, before, sizeof(before));
    usleep(20000);
    driver_get(&f->driver, f->data, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));

    /* The same for one queue (4.2.2.2: QueueReady). */
    loop_post(f->driver.loop, &late.end);
    pthread_join(thread, NULL);
    driver_start(&f->driver, F_FLUSH, 1, 16);
    submit(f, T_IN, 3, 512);
    late.completed = false;
    assert_int_equal(thread_start(&thread, "loop", late_loop, &late), 0);
    timer_set(&late.timer, monotonic_ns() + 50000000);
    driver_write32(&f->driver, REG_QUEUE_READY, 0);
    assert_true(atomic_load(&late.completed));
    assert_int_equal(driver_read32(&f->driver, REG_QUEUE_READY), 0);
    assert_int_equal(status_get(f), S_NONE);
    loop_post(f->driver.loop, &late.end);
    pthread_join(thread, NULL);
}

/* A vCPU waits for a while only: a request may be held for as long as the host's disk is full. */
static void reset_gives_up_waiting(void **state)
{
    struct fixture *f = *state;
    uint64_t begin;

    driver_start(&f->driver, F_FLUSH, 1, 16);
    f->block->hold = true;
    submit(f, T_IN, 0, 512);
    begin = monotonic_ns();
    driver_write32(&f->driver, REG_STATUS, 0);
    assert_in_range(monotonic_ns() - begin, 1000000000, 10000000000);
    assert_int_not_equal(driver_read32(&f->driver, REG_STATUS), 0);
    /* A queue that is set up over requests from before would be written to by them. */
    driver_write32(&f->driver, REG_QUEUE_READY, 1);
    assert_true(fake_block_complete(f->block));
    assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_int_equal(status_get(f), S_NONE);
}

struct bystander {
    struct fixture *f;
    _Atomic bool end;
};

/* Another CPU of the guest, which pokes at the registers all the time. */
static void *bystander_body(void *ctx)
{
    struct bystander *bystander = ctx;
    struct driver *d = &bystander->f->driver;

    while (!atomic_load(&bystander->end)) {
        driver_write32(d, REG_QUEUE_NOTIFY, 0);
        driver_write32(d, REG_INTERRUPT_ACK, driver_read32(d, REG_INTERRUPT_STATUS));
        driver_read32(d, REG_STATUS);
        driver_read(d, REG_CONFIG, 8);
    }
    return NULL;
}

/* Requests, resets and pokes from three threads: for ThreadSanitizer, and for lost wake-ups. */
static void threads(void **state)
{
    struct fixture *f = *state;
    struct driver *d = &f->driver;
    struct bystander bystander = {.f = f};
    struct late late = {.f = f};
    pthread_t loop, other;
    uint32_t head, used;

    deferred_init(&late.end, late_end, &late);
    assert_int_equal(thread_start(&loop, "loop", late_loop, &late), 0);
    assert_int_equal(thread_start(&other, "bystander", bystander_body, &bystander), 0);
    for (unsigned i = 0; i < 200; i++) {
        const struct buffer buffers[] = {{f->header, 16, false},
                                         {f->data, 512, true},
                                         {f->status, 1, true}};

        assert_true(driver_negotiate(d, F_FLUSH | (i & 1 ? VIRTIO_F_EVENT_IDX : 0)));
        driver_queue_setup(d, 0, 64);
        driver_ok(d);
        header_put(f, T_IN, i % SECTORS);
        for (unsigned j = 0; j < 8; j++)
            driver_add(d, 0, buffers, 3);
        driver_notify(d, 0);
        /* Every other time the reset comes while they are served. */
        for (unsigned j = 0; j < 8 && i % 4 < 2; j++) {
            uint64_t deadline = monotonic_ns() + 10000000000;

            while (!driver_used(d, 0, &head, &used))
                assert_true(monotonic_ns() < deadline);
            assert_int_equal(used, 513);
        }
        assert_false(driver_needs_reset(d));
    }
    atomic_store(&bystander.end, true);
    pthread_join(other, NULL);
    loop_post(d->loop, &late.end);
    pthread_join(loop, NULL);
}

/* A device that is freed with requests under way: they complete into nothing. */
static void free_in_flight(void **state)
{
    struct fixture *f = fixture_new(false, true);
    bool closed = false;

    f->block->closed = &closed;
    driver_start(&f->driver, F_FLUSH, 1, 16);
    f->block->hold = true;
    submit(f, T_IN, 0, 512);
    submit(f, T_OUT, 1, 512);
    driver_release(&f->driver);
    assert_true(closed);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(reads_and_writes, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(framing, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(other_requests, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(bounds, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(host_errors, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(discard_and_zero, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(bad_segments, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(read_only_disk, setup_read_only, teardown),
        cmocka_unit_test_teardown(no_discard, teardown),
        cmocka_unit_test_setup_teardown(cache_modes, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(many_in_flight, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(bad_requests, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(reset_without_waiting, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(reset_waits, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(reset_gives_up_waiting, setup_writable, teardown),
        cmocka_unit_test_setup_teardown(threads, setup_writable, teardown),
        cmocka_unit_test(free_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
