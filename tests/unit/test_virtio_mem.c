/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem over MMIO: each request with all that it is refused for, what is plugged and what the
 * host holds then, resets, and what a hostile driver says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "device/virtio/mem.h"
#include "virtio_driver.h"

#define F_UNPLUGGED_INACCESSIBLE (1ull << 1)

#define BLOCK  RAM_BLOCK_SIZE
#define BASE   0x100000000ull
#define REGION (BASE + BLOCK) /* behind a block that is always there */
#define COUNT  8u
#define AT(n)  (REGION + (n)*BLOCK)

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };
enum { ADDR = 16, REGION_SIZE = 24, USABLE = 32, PLUGGED_SIZE = 40, REQUESTED = 48 };

struct fixture {
    struct driver driver;
    struct virtio_mem *mem;
    struct ram *ram;
    gpa buffer;
    unsigned stills, changes;
    bool still; /* no CPU executes */
};

static void on_still(void *ctx, void (*work)(void *arg), void *arg)
{
    struct fixture *f = ctx;

    assert_false(f->still);
    f->stills++;
    f->still = true;
    work(arg);
    f->still = false;
}

static void on_changed(void *ctx)
{
    ((struct fixture *)ctx)->changes++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct virtio_mem_options options = {
        .addr = REGION, .size = COUNT * BLOCK, .still = on_still, .changed = on_changed, .ctx = f};
    struct virtio_setup s;

    assert_non_null(f);
    driver_init(&f->driver);
    s = driver_setup(&f->driver);
    assert_int_equal(memory_add_pluggable_ram(f->driver.as, "more", BASE, BLOCK,
                                              (1 + COUNT) * BLOCK, NULL),
                     0);
    f->ram = memory_find(f->driver.as, BASE)->ram;
    assert_int_equal(virtio_mem_new(&f->driver.device, &s, &options), 0);
    driver_attach(&f->driver);
    f->mem = f->driver.device.instance;
    f->buffer = driver_alloc(&f->driver, 64);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    driver_release(&f->driver);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    driver_start(&f->driver, F_UNPLUGGED_INACCESSIBLE, 1, 8);
}

static struct virtio_mem_facts facts(struct fixture *f)
{
    struct virtio_mem_facts now;

    virtio_mem_get(f->mem, &now);
    return now;
}

static uint64_t config(struct fixture *f, unsigned field)
{
    return driver_read(&f->driver, REG_CONFIG + field, 8);
}

/* A request whose bytes lie at `at`; the response's type and, above 16 bits, its state. */
static uint32_t ask_at(struct fixture *f, gpa at, unsigned type, uint64_t addr, unsigned blocks)
{
    const struct buffer buffers[] = {{at, 24, false}, {at + 24, 10, true}};
    uint8_t raw[34];
    uint32_t head, used;

    memset(raw, 0xee, sizeof(raw)); /* what is padding is not looked at */
    store_le16(raw, (uint16_t)type);
    store_le64(raw + 8, addr);
    store_le16(raw + 16, (uint16_t)blocks);
    driver_put(&f->driver, at, raw, sizeof(raw));
    driver_add(&f->driver, 0, buffers, 2);
    driver_kick(&f->driver, 0);
    assert_true(driver_used(&f->driver, 0, &head, &used));
    assert_int_equal(used, 10);
    driver_get(&f->driver, at + 24, raw, 10);
    return load_le16(raw) | (uint32_t)load_le16(raw + 8) << 16;
}

static uint32_t ask(struct fixture *f, unsigned type, uint64_t addr, unsigned blocks)
{
    return ask_at(f, f->buffer, type, addr, blocks);
}

static void assert_plugged(struct fixture *f, uint64_t blocks)
{
    assert_int_equal(config(f, PLUGGED_SIZE), blocks * BLOCK);
    assert_int_equal(facts(f).plugged, blocks * BLOCK);
    assert_int_equal(memory_plugged(f->driver.as, REGION, COUNT * BLOCK), blocks * BLOCK);
}

/* ---- configuration ---- */

static void configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_ID), 24);
    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_FEATURES) &
                         ~(uint32_t)(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX),
                     F_UNPLUGGED_INACCESSIBLE);
    assert_int_equal(config(f, 0), BLOCK);
    assert_int_equal(config(f, 8), 0); /* node_id */
    assert_int_equal(config(f, ADDR), REGION);
    assert_int_equal(config(f, REGION_SIZE), COUNT * BLOCK);
    assert_int_equal(config(f, USABLE), COUNT * BLOCK);
    assert_int_equal(config(f, PLUGGED_SIZE), 0);
    assert_int_equal(config(f, REQUESTED), 0);
    assert_int_equal(config(f, 56), 0);
    for (unsigned field = 0; field < 56; field += 8) {
        uint64_t before = config(f, field);

        driver_write(&f->driver, REG_CONFIG + field, 8, ~0ull);
        assert_int_equal(config(f, field), before);
    }
    assert_int_equal(f->driver.logged, 7);
    /* A driver that might look at what is not there is none for it. */
    assert_false(driver_negotiate(&f->driver, 0));
    assert_true(driver_negotiate(&f->driver, F_UNPLUGGED_INACCESSIBLE));
}

static void requested_size(void **state)
{
    struct fixture *f = *state;

    assert_false(facts(f).has_driver);
    virtio_mem_set_requested(f->mem, 3 * BLOCK + 4096);
    assert_int_equal(config(f, REQUESTED), 3 * BLOCK);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 0);
    start(f);
    assert_true(facts(f).has_driver);
    assert_int_equal(config(f, REQUESTED), 3 * BLOCK); /* stays across a reset */
    virtio_mem_set_requested(f->mem, 3 * BLOCK);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 0);
    virtio_mem_set_requested(f->mem, UINT64_MAX);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
    assert_true(f->driver.line);
    assert_int_equal(facts(f).requested, COUNT * BLOCK);
    assert_int_equal(facts(f).size, COUNT * BLOCK);
    virtio_mem_set_requested(f->mem, 0);
    assert_int_equal(config(f, REQUESTED), 0);
}

/* A driver is asked again as long as it has not what it is asked for. */
static void asked_again(void **state)
{
    struct fixture *f = *state;
    const struct {
        unsigned requested, plugged;
        bool told;
    } cases[] = {{0, 0, false}, {2, 0, true}, {2, 2, false}, {1, 2, true}, {0, 2, true}};

    virtio_mem_set_requested(f->mem, BLOCK);
    virtio_mem_ask(f->mem); /* there is no driver */
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 0);
    start(f);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t generation;

        virtio_mem_set_requested(f->mem, cases[i].requested * BLOCK);
        if (cases[i].plugged && !facts(f).plugged)
            assert_int_equal(ask(f, PLUG, AT(0), cases[i].plugged), ACK);
        assert_plugged(f, cases[i].plugged);
        driver_write32(&f->driver, REG_INTERRUPT_ACK,
                       VIRTIO_INTERRUPT_CONFIG | VIRTIO_INTERRUPT_QUEUE);
        generation = driver_read32(&f->driver, REG_CONFIG_GENERATION);
        for (unsigned again = 0; again < 2; again++) {
            virtio_mem_ask(f->mem);
            assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS),
                             cases[i].told ? VIRTIO_INTERRUPT_CONFIG : 0);
            driver_write32(&f->driver, REG_INTERRUPT_ACK, VIRTIO_INTERRUPT_CONFIG);
        }
        assert_int_equal(driver_read32(&f->driver, REG_CONFIG_GENERATION),
                         generation + 2 * cases[i].told);
    }
}

/* ---- requests ---- */

static void plug_and_unplug(void **state)
{
    struct fixture *f = *state;
    uint32_t word = 1;

    start(f);
    virtio_mem_set_requested(f->mem, 4 * BLOCK);
    driver_write32(&f->driver, REG_INTERRUPT_ACK, VIRTIO_INTERRUPT_CONFIG);
    assert_int_equal(ask(f, STATE, AT(0), COUNT), ACK | UNPLUGGED << 16);
    assert_int_equal(memory_write(f->driver.as, AT(2), &word, 4), -EFAULT);
    assert_int_equal(ask(f, PLUG, AT(1), 3), ACK);
    assert_int_equal(f->changes, 1);
    assert_plugged(f, 3);
    assert_int_equal(ask(f, STATE, AT(0), COUNT), ACK | MIXED << 16);
    assert_int_equal(ask(f, STATE, AT(1), 3), ACK | PLUGGED << 16);
    assert_int_equal(ask(f, STATE, AT(4), 4), ACK | UNPLUGGED << 16);
    assert_int_equal(f->stills, 0);
    assert_int_equal(memory_write(f->driver.as, AT(2), &word, 4), 0);
    memset(f->ram->host + BLOCK + BLOCK, 1, 3 * BLOCK);
    assert_int_equal(ask(f, UNPLUG, AT(2), 1), ACK);
    assert_int_equal(f->stills, 1);
    assert_int_equal(f->changes, 2);
    assert_plugged(f, 2);
    assert_int_equal(ask(f, STATE, AT(1), 3), ACK | MIXED << 16);
    assert_int_equal(memory_read(f->driver.as, AT(2), &word, 4), -EFAULT);
    /* Others are as they were, and the one that comes back is empty. */
    assert_int_equal(memory_read(f->driver.as, AT(1), &word, 4), 0);
    assert_int_equal(word, 0x01010101);
    assert_int_equal(ask(f, PLUG, AT(2), 1), ACK);
    assert_int_equal(memory_read(f->driver.as, AT(2), &word, 4), 0);
    assert_int_equal(word, 0);
    /* Nothing of it is told by an interrupt but that there are answers. */
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), VIRTIO_INTERRUPT_QUEUE);
    assert_false(driver_needs_reset(&f->driver));
    assert_int_equal(f->driver.logged, 0);
}

/* What was plugged is the host's by the time of the answer. */
static void memory_goes_back(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    start(f);
    virtio_mem_set_requested(f->mem, COUNT * BLOCK);
    assert_int_equal(ask(f, PLUG, AT(0), COUNT), ACK);
    before = memory_resident(f->driver.as);
    memset(f->ram->host + BLOCK, 1, COUNT * BLOCK);
    assert_int_equal(memory_resident(f->driver.as), before + COUNT * BLOCK);
    assert_int_equal(ask(f, UNPLUG, AT(0), 2), ACK);
    assert_int_equal(memory_resident(f->driver.as), before + (COUNT - 2) * BLOCK);
    assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
    assert_int_equal(memory_resident(f->driver.as), before);
    assert_plugged(f, 0);
    assert_int_equal(config(f, USABLE), COUNT * BLOCK);
    /* With nothing there nobody is stopped for it. */
    f->stills = 0;
    assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
    assert_int_equal(f->stills, 0);
}

/* More than was asked for is refused, and so is what is more by a part only. */
static void no_more_than_requested(void **state)
{
    struct fixture *f = *state;

    start(f);
    assert_int_equal(ask(f, PLUG, AT(0), 1), NACK);
    virtio_mem_set_requested(f->mem, 3 * BLOCK);
    assert_int_equal(ask(f, PLUG, AT(0), 4), NACK);
    assert_int_equal(ask(f, PLUG, AT(0), 2), ACK);
    assert_int_equal(ask(f, PLUG, AT(2), 2), NACK);
    assert_int_equal(ask(f, PLUG, AT(7), 1), ACK);
    assert_int_equal(ask(f, PLUG, AT(2), 1), NACK);
    assert_plugged(f, 3);
    /* The device asks for less than there is: still nothing goes by itself. */
    virtio_mem_set_requested(f->mem, BLOCK);
    assert_plugged(f, 3);
    assert_int_equal(ask(f, PLUG, AT(2), 1), NACK);
    assert_int_equal(ask(f, UNPLUG, AT(0), 2), ACK);
    assert_int_equal(ask(f, PLUG, AT(2), 1), NACK);
    assert_plugged(f, 1);
}

static void ranges(void **state)
{
    struct fixture *f = *state;
    const struct {
        uint64_t addr;
        unsigned blocks;
    } cases[] = {
        {AT(0), 0},         {AT(0) + 4096, 1},
        {AT(0) + 1, 1},     {AT(0) - BLOCK, 1},
        {AT(COUNT), 1},     {AT(COUNT - 1), 2},
        {AT(0), 9},         {AT(0), 0xffff},
        {DRIVER_RAM, 1},    {0, 1},
        {-BLOCK, 1},        {-BLOCK, 0xffff},
        {AT(0) - BLOCK, 2}, {UINT64_MAX, 1},
        {1ull << 63, 1},
    };

    start(f);
    virtio_mem_set_requested(f->mem, COUNT * BLOCK);
    for (unsigned plugged = 0; plugged < 2; plugged++) {
        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
            for (unsigned type = PLUG; type <= STATE; type++)
                if (type != UNPLUG_ALL)
                    assert_int_equal(ask(f, type, cases[i].addr, cases[i].blocks), ERROR);
        assert_plugged(f, plugged * 4);
        if (!plugged)
            assert_int_equal(ask(f, PLUG, AT(2), 4), ACK);
    }
    /* What is there, and what is not. */
    assert_int_equal(ask(f, PLUG, AT(5), 2), ERROR);
    assert_int_equal(ask(f, PLUG, AT(1), 2), ERROR);
    assert_int_equal(ask(f, UNPLUG, AT(5), 2), ERROR);
    assert_int_equal(ask(f, UNPLUG, AT(0), 1), ERROR);
    assert_plugged(f, 4);
    assert_int_equal(f->stills, 0);
    /* Of no known type. */
    assert_int_equal(ask(f, 4, AT(2), 1), ERROR);
    assert_int_equal(ask(f, 0xffff, AT(2), 1), ERROR);
    assert_false(driver_needs_reset(&f->driver));
}

/* Blocks in which requests or rings lie. */
static void what_is_in_use_stays(void **state)
{
    struct fixture *f = *state;
    struct span span;

    start(f);
    virtio_mem_set_requested(f->mem, COUNT * BLOCK);
    assert_int_equal(ask(f, PLUG, AT(0), 4), ACK);
    assert_int_equal(memory_pin(f->driver.as, AT(1), 4096, true, &span), 0);
    assert_int_equal(ask(f, UNPLUG, AT(0), 3), BUSY);
    assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), BUSY);
    assert_plugged(f, 4);
    assert_int_equal(f->changes, 1);
    assert_int_equal(ask(f, UNPLUG, AT(2), 1), ACK);
    assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), BUSY);
    assert_plugged(f, 3);
    memory_unpin(f->driver.as, &span);
    /* The request's own bytes. */
    assert_int_equal(ask_at(f, AT(0), UNPLUG, AT(0), 1), BUSY);
    assert_int_equal(ask_at(f, AT(0), UNPLUG_ALL, 0, 0), BUSY);
    assert_int_equal(ask_at(f, AT(0), UNPLUG, AT(1), 1), ACK);
    assert_plugged(f, 2);
    assert_int_equal(ask(f, UNPLUG_ALL, 0, 0), ACK);
    assert_plugged(f, 0);
}

static void bad_requests(void **state)
{
    struct fixture *f = *state;
    const struct {
        struct buffer buffers[2];
        unsigned count;
    } cases[] = {
        {{{f->buffer, 23, false}, {f->buffer + 32, 10, true}}, 2},
        {{{f->buffer, 24, false}, {f->buffer + 32, 9, true}}, 2},
        {{{f->buffer, 24, false}}, 1},
        {{{f->buffer, 24, true}}, 1},
        {{{AT(0), 24, false}, {f->buffer + 32, 10, true}}, 2},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        start(f);
        driver_add(&f->driver, 0, cases[i].buffers, cases[i].count);
        driver_kick(&f->driver, 0);
        assert_true(driver_needs_reset(&f->driver));
        assert_false(facts(f).has_driver);
        assert_true(virtio_is_idle(f->driver.device.instance));
    }
    start(f);
    assert_int_equal(ask(f, STATE, AT(0), 1), ACK | UNPLUGGED << 16);
}

/* ---- resets ---- */

static void resets(void **state)
{
    struct fixture *f = *state;
    struct virtio_device *core = f->driver.device.instance;
    uint32_t word = 7;

    start(f);
    virtio_mem_set_requested(f->mem, 4 * BLOCK);
    assert_int_equal(ask(f, PLUG, AT(0), 2), ACK);
    assert_int_equal(memory_write(f->driver.as, AT(1), &word, 4), 0);
    /* 5.15.5.2: of the device, nothing changes by it. */
    driver_write32(&f->driver, REG_STATUS, 0);
    assert_plugged(f, 2);
    assert_int_equal(config(f, REQUESTED), 4 * BLOCK);
    start(f);
    assert_int_equal(ask(f, STATE, AT(0), 2), ACK | PLUGGED << 16);
    assert_int_equal(memory_read(f->driver.as, AT(1), &word, 4), 0);
    assert_int_equal(word, 7);
    /* Of the machine: all are unplugged, and asked for again. */
    f->driver.device.type->reset(core);
    assert_plugged(f, 2);
    f->changes = 0;
    virtio_mem_unplug_all(f->mem);
    memory_clear(f->driver.as);
    assert_int_equal(f->changes, 1);
    assert_plugged(f, 0);
    assert_int_equal(memory_resident(f->driver.as), 0);
    assert_int_equal(config(f, REQUESTED), 4 * BLOCK);
    assert_true(f->driver.device.type->check(core));
}

/* ---- what takes turns ---- */

/* With the clock at its end, each turn gives one block back. */
static bool clock_runs_fast;
static uint64_t fast;

uint64_t __real_monotonic_ns(void);
uint64_t __wrap_monotonic_ns(void);

uint64_t __wrap_monotonic_ns(void)
{
    return clock_runs_fast ? fast += 600000 : __real_monotonic_ns();
}

static uint64_t data_in_region(struct fixture *f)
{
    uint64_t sum = 0;

    for (uint64_t at = BLOCK; at < f->ram->size; at += BLOCK) {
        off_t data = lseek(f->ram->fd, (off_t)at, SEEK_DATA);

        sum += data >= 0 && (uint64_t)data < at + BLOCK;
    }
    return sum;
}

/* An answer waits until the host has all, which it gets also if the driver fails meanwhile. */
static void unplugs_in_turns(void **state)
{
    struct fixture *f = *state;
    struct virtio_device *core = f->driver.device.instance;
    const struct buffer buffers[] = {{f->buffer, 24, false}, {f->buffer + 32, 10, true}};
    uint32_t head, used;
    uint8_t raw[24] = {UNPLUG_ALL};

    for (unsigned way = 0; way < 3; way++) {
        unsigned turns = 0;

        start(f);
        virtio_mem_set_requested(f->mem, COUNT * BLOCK);
        assert_int_equal(ask(f, PLUG, AT(0), COUNT), ACK);
        memset(f->ram->host + BLOCK, 1, COUNT * BLOCK);
        driver_put(&f->driver, f->buffer, raw, sizeof(raw));
        driver_add(&f->driver, 0, buffers, 2);
        clock_runs_fast = true;
        assert_true(core->type->run(core, 0));
        assert_plugged(f, 0);
        assert_false(driver_used(&f->driver, 0, &head, &used));
        assert_false(virtio_is_idle(core));
        if (way == 1)
            driver_offer(&f->driver, 0, 0xffff); /* a broken ring meanwhile */
        if (way == 2) {
            clock_runs_fast = false;
            f->driver.device.type->free(core);
            f->driver.device.type = NULL;
            return;
        }
        while (core->type->run(core, 0))
            turns++;
        clock_runs_fast = false;
        assert_in_range(turns, COUNT / 2, COUNT + 1);
        assert_true(virtio_is_idle(core));
        assert_int_equal(data_in_region(f), 0);
        assert_int_equal(driver_used(&f->driver, 0, &head, &used), way == 0);
        assert_int_equal(driver_needs_reset(&f->driver), way == 1);
    }
}

static void loaded_state(void **state)
{
    struct fixture *f = *state;
    struct virtio_device *core = f->driver.device.instance;
    const struct device_type *type = f->driver.device.type;

    start(f);
    virtio_mem_set_requested(f->mem, 4 * BLOCK);
    assert_int_equal(ask(f, PLUG, AT(0), 2), ACK);
    assert_true(type->check(core));
    for (unsigned field = 0; field < 56; field += 8) {
        uint64_t before = load_le64(core->config + field);

        store_le64(core->config + field, before + 1);
        assert_false(type->check(core));
        store_le64(core->config + field, before);
    }
    store_le64(core->config + REQUESTED, (COUNT + 1) * BLOCK);
    assert_false(type->check(core));
}

/* ---- any requests ---- */

/* Against a model of which blocks are plugged. */
static void random_requests(void **state)
{
    struct fixture *f = *state;
    bool there[COUNT] = {false};
    unsigned seed = 1, most = 0, count = 0;

    start(f);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned type = (unsigned)rand_r(&seed) % 16, first = (unsigned)rand_r(&seed) % (COUNT + 1);
        unsigned blocks = (unsigned)rand_r(&seed) % 4, in = 0, wanted = ACK, got;
        bool good = blocks && first + blocks <= COUNT;

        if (type == 15) {
            most = (unsigned)rand_r(&seed) % (COUNT + 1);
            virtio_mem_set_requested(f->mem, most * BLOCK);
            continue;
        }
        type = type == 14 ? UNPLUG_ALL : type % 3 == 2 ? STATE : type % 3;
        for (unsigned n = first; good && n < first + blocks; n++)
            in += there[n];
        if (type == UNPLUG_ALL) {
            memset(there, 0, sizeof(there));
            count = 0;
        } else if (!good || (type == PLUG && in) || (type == UNPLUG && in != blocks)) {
            wanted = ERROR;
        } else if (type == STATE) {
            wanted = ACK | (in == blocks ? PLUGGED : in ? MIXED : UNPLUGGED) << 16;
        } else if (type == PLUG && count + blocks > most) {
            wanted = NACK;
        } else {
            for (unsigned n = first; n < first + blocks; n++)
                there[n] = type == PLUG;
            count += type == PLUG ? blocks : -blocks;
        }
        got = ask(f, type, AT(first), blocks);
        assert_int_equal(got, wanted);
        assert_plugged(f, count);
        for (unsigned n = 0; n < COUNT; n++)
            assert_int_equal(memory_is_ram(f->driver.as, AT(n)), there[n]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(configuration),   TEST(requested_size),       TEST(asked_again),
        TEST(plug_and_unplug), TEST(memory_goes_back),     TEST(no_more_than_requested),
        TEST(ranges),          TEST(what_is_in_use_stays), TEST(bad_requests),
        TEST(resets),          TEST(unplugs_in_turns),     TEST(loaded_state),
        TEST(random_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
