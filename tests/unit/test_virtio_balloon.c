/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon over MMIO: pages given and reported, the count of them, the target; and what a
 * hostile driver says. Statistics: test_virtio_balloon_statistics.c. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "balloon_fixture.h"

/* The linker gives these names to what punches holes. */
int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);

static unsigned punches;
static struct virtio_device *reset_by_punch; /* what the next one resets, meanwhile */

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
    struct virtio_device *core = reset_by_punch;

    punches++;
    reset_by_punch = NULL;
    if (core)
        virtio_reset(core);
    return __real_fallocate64(fd, mode, offset, length);
}

/* ---- configuration ---- */

static void configuration(void **state)
{
    struct balloon_fixture *f = *state;

    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_ID), 5);
    assert_int_equal(driver_read32(&f->driver, REG_DEVICE_FEATURES) &
                         ~(uint32_t)(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX),
                     F_STATS_VQ | F_DEFLATE_ON_OOM | F_PAGE_REPORTING);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG, 8), 0);
    driver_write32(&f->driver, REG_CONFIG + 4, 0x12345);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG + 4), 0x12345);
    assert_int_equal(fixture_facts(f).said, 0x12345000);
    assert_int_equal(f->driver.logged, 0);
    /* The target is not the driver's. */
    driver_write32(&f->driver, REG_CONFIG, 7);
    driver_write(&f->driver, REG_CONFIG, 8, ~0ull);
    driver_write32(&f->driver, REG_CONFIG + 8, 7);
    assert_int_equal(driver_read(&f->driver, REG_CONFIG, 8), 0x1234500000000);
    assert_int_equal(f->driver.logged, 3);
    /* A byte at a time. */
    driver_write(&f->driver, REG_CONFIG + 7, 1, 0xab);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG + 4), 0xab012345);
}

static void target(void **state)
{
    struct balloon_fixture *f = *state;

    virtio_balloon_set_target(f->balloon, 3 * PAGE_SIZE + 4095);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG), 3);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 0);
    fixture_start(f, 0);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG), 3); /* stays across a reset */
    virtio_balloon_set_target(f->balloon, 3 * PAGE_SIZE);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), 0);
    virtio_balloon_set_target(f->balloon, 4 * PAGE_SIZE);
    assert_int_equal(driver_read32(&f->driver, REG_INTERRUPT_STATUS), VIRTIO_INTERRUPT_CONFIG);
    assert_true(f->driver.line);
    assert_int_equal(fixture_facts(f).target, 4 * PAGE_SIZE);
    virtio_balloon_set_target(f->balloon, UINT64_MAX);
    assert_int_equal(fixture_facts(f).target, DRIVER_RAM_SIZE);
    virtio_balloon_set_target(f->balloon, 0);
    assert_int_equal(driver_read32(&f->driver, REG_CONFIG), 0);
}

/* ---- inflate and deflate ---- */

static void inflate(void **state)
{
    struct balloon_fixture *f = *state;
    /* Alone, rising, falling, and the first once more. */
    const uint32_t pages[] = {1, 10, 11, 12, 22, 21, 20, 1};
    const bool gone[32] = {
        [1] = true, [10] = true, [11] = true, [12] = true, [20] = true, [21] = true, [22] = true};
    uint32_t generation[32], head, used;
    uint64_t blocks;

    fixture_start(f, 0);
    fixture_fill(f, 32);
    for (unsigned i = 0; i < 32; i++)
        generation[i] = memory_mark_code(f->driver.as, f->ram, FIRST_PAGE + i);
    blocks = fixture_blocks(f);
    punches = 0;
    fixture_pages(f, INFLATE, pages, ARRAY_SIZE(pages));
    assert_int_equal(punches, 4);
    assert_true(driver_used(&f->driver, INFLATE, &head, &used));
    assert_int_equal(used, 0);
    assert_int_equal(blocks - fixture_blocks(f), 7 * PAGE_SIZE);
    for (unsigned i = 0; i < 32; i++) {
        assert_true(fixture_page_is(f, i, gone[i] ? 0 : 0x5a));
        assert_int_equal(f->ram->code_gen[FIRST_PAGE + i] != generation[i], gone[i]);
    }
    /* As it was told: the page that came twice twice. */
    assert_int_equal(fixture_facts(f).counted, 8 * PAGE_SIZE);
    assert_int_equal(fixture_facts(f).given, 0);
    driver_write32(&f->driver, REG_CONFIG + 4, 7);
    assert_int_equal(fixture_facts(f).given, 7 * PAGE_SIZE);
    driver_write32(&f->driver, REG_CONFIG + 4, 1000);
    assert_int_equal(fixture_facts(f).said, 1000 * PAGE_SIZE);
    assert_int_equal(fixture_facts(f).given, 8 * PAGE_SIZE);
    assert_int_equal(f->driver.logged, 0);
}

/* Over several buffers that are cut within a number, by an indirect table. */
static void inflate_scattered(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer buffers[] = {{f->buffer, 3, false},
                                     {f->buffer + 3, 6, false},
                                     {f->buffer + 9, 3, false}};
    uint8_t raw[12];
    uint32_t head, used;

    fixture_start(f, VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX);
    fixture_fill(f, 8);
    for (unsigned i = 0; i < 3; i++)
        store_le32(raw + 4 * i, FIRST_PFN + 2 * i);
    driver_put(&f->driver, f->buffer, raw, sizeof(raw));
    for (unsigned n = 1; n < 4; n++) {
        driver_add_indirect(&f->driver, INFLATE, buffers, 3);
        assert_true(driver_must_notify(&f->driver, INFLATE, (uint16_t)(n - 1)));
        driver_kick(&f->driver, INFLATE);
        assert_true(driver_used(&f->driver, INFLATE, &head, &used));
        assert_int_equal(fixture_facts(f).counted, n * 3 * PAGE_SIZE);
    }
    for (unsigned i = 0; i < 8; i++)
        assert_true(fixture_page_is(f, i, i < 6 && !(i & 1) ? 0 : 0x5a));
}

/* Pages that are not memory are left out, also in the midst of those that are. */
static void strays(void **state)
{
    struct balloon_fixture *f = *state;
    const gpa end = DRIVER_RAM + DRIVER_RAM_SIZE;
    const uint32_t pages[] = {
        page_of(DRIVER_ROM),
        page_of(DRIVER_DEVICE),
        page_of((gpa)UINT32_MAX * PAGE_SIZE),
        page_of(0), /* a neighbour of that, if numbers wrapped */
        page_of(DRIVER_RAM - PAGE_SIZE),
        page_of(end - PAGE_SIZE), /* from one block into the next, and beyond it */
        page_of(end),
        page_of(end + PAGE_SIZE),
        3,
    };
    struct ram *rom = memory_find(f->driver.as, DRIVER_ROM)->ram;
    uint32_t head, used;

    fixture_start(f, 0);
    fixture_fill(f, 8);
    rom->host[0] = 0x5a;
    memset(f->ram->host + DRIVER_RAM_SIZE - PAGE_SIZE, 0x5a, PAGE_SIZE);
    memset(memory_find(f->driver.as, end)->ram->host, 0x5a, PAGE_SIZE);
    fixture_pages(f, INFLATE, pages, ARRAY_SIZE(pages));
    assert_true(driver_used(&f->driver, INFLATE, &head, &used));
    assert_false(driver_needs_reset(&f->driver));
    assert_int_equal(fixture_facts(f).counted, 3 * PAGE_SIZE);
    assert_int_equal(f->driver.logged, 1);
    assert_non_null(strstr(f->driver.last, "6 pages"));
    assert_int_equal(rom->host[0], 0x5a);
    assert_int_equal(f->ram->host[DRIVER_RAM_SIZE - 1], 0);
    assert_int_equal(memory_find(f->driver.as, end)->ram->host[0], 0);
    assert_true(fixture_page_is(f, 3, 0));
    assert_true(fixture_page_is(f, 4, 0x5a));
}

static void counts_are_bounded(void **state)
{
    struct balloon_fixture *f = *state;
    uint32_t pages[1024];

    fixture_start(f, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
        pages[i] = 5;
    for (unsigned i = 0; i < 20; i++)
        fixture_pages(f, INFLATE, pages, ARRAY_SIZE(pages));
    assert_int_equal(fixture_facts(f).counted, DRIVER_RAM_SIZE);
    fixture_pages(f, DEFLATE, pages, 1000);
    assert_int_equal(fixture_facts(f).counted, DRIVER_RAM_SIZE - 1000 * PAGE_SIZE);
    for (unsigned i = 0; i < 20; i++)
        fixture_pages(f, DEFLATE, pages, ARRAY_SIZE(pages));
    assert_int_equal(fixture_facts(f).counted, 0);
    assert_false(driver_needs_reset(&f->driver));
    fixture_pages(f, INFLATE, pages, 1);
    driver_write32(&f->driver, REG_CONFIG + 4, 1);
    assert_int_equal(fixture_facts(f).given, PAGE_SIZE);
    driver_write32(&f->driver, REG_STATUS, 0);
    assert_int_equal(fixture_facts(f).counted, 0);
    assert_int_equal(fixture_facts(f).said, 0);
}

/* A request of many pages takes turns, and a reset in the midst of it ends it. */
static void inflate_in_turns(void **state)
{
    struct balloon_fixture *f = *state;
    struct virtio_device *core = f->driver.device.instance;
    const struct buffer huge = {f->buffer, BUFFER_SIZE, false};
    uint32_t head, used;
    uint8_t raw[4];

    for (unsigned way = 0; way < 4; way++) {
        fixture_start(f, 0);
        fixture_fill(f, 1);
        store_le32(raw, FIRST_PFN);
        for (unsigned i = 0; i < BUFFER_SIZE; i += 4)
            driver_put(&f->driver, f->buffer + i, raw, 4);
        driver_add(&f->driver, INFLATE, &huge, 1);
        assert_true(core->type->run(core, INFLATE));
        assert_int_equal(fixture_facts(f).counted, 256 * PAGE_SIZE);
        assert_false(driver_used(&f->driver, INFLATE, &head, &used));
        assert_false(virtio_is_idle(core));
        switch (way) {
        case 0: /* to its end */
            for (unsigned i = 1; i < BUFFER_SIZE / 1024; i++)
                assert_true(core->type->run(core, INFLATE));
            assert_int_equal(fixture_facts(f).counted, BUFFER_SIZE / 4 * PAGE_SIZE);
            assert_false(core->type->run(core, INFLATE));
            assert_true(driver_used(&f->driver, INFLATE, &head, &used));
            break;
        case 1: /* the device fails meanwhile */
            driver_offer(&f->driver, DEFLATE, 0xffff);
            assert_false(core->type->run(core, DEFLATE));
            assert_true(driver_needs_reset(&f->driver));
            assert_false(core->type->run(core, INFLATE));
            break;
        case 2: /* reset by the machine, which does not wait */
            fixture_on_loop(f, virtio_reset, core);
            assert_false(core->type->run(core, INFLATE));
            assert_int_equal(fixture_facts(f).counted, 0);
            assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
            break;
        default: /* freed with it in hand, by teardown */
            return;
        }
        assert_true(virtio_is_idle(core));
    }
}

static void run_inflate(void *ctx)
{
    struct virtio_device *core = ctx;

    assert_false(core->type->run(core, INFLATE));
}

/* While pages are given back, which is without a lock: what was given before the reset counts for
 * nothing behind it. */
static void reset_in_a_turn(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer buffer = {f->buffer, 4, false};
    uint32_t head, used;
    uint8_t raw[4];

    fixture_start(f, 0);
    store_le32(raw, FIRST_PFN);
    driver_put(&f->driver, f->buffer, raw, 4);
    driver_add(&f->driver, INFLATE, &buffer, 1);
    reset_by_punch = f->driver.device.instance;
    fixture_on_loop(f, run_inflate, f->driver.device.instance);
    assert_null(reset_by_punch);
    assert_int_equal(fixture_facts(f).counted, 0);
    assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
    assert_true(virtio_is_idle(f->driver.device.instance));
    assert_false(driver_used(&f->driver, INFLATE, &head, &used));
}

static void bad_requests(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer cases[][2] = {
        {{f->buffer, 5, false}, {f->buffer, 4, false}},
        {{f->buffer, 4, false}, {f->buffer, 4, true}},
        {{f->buffer, 4, true}, {f->buffer, 4, true}},
        {{f->buffer, 4, false}, {DRIVER_DEVICE, 4, false}},
    };

    for (unsigned queue = INFLATE; queue <= DEFLATE; queue++) {
        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
            fixture_start(f, 0);
            driver_add(&f->driver, queue, cases[i], 2);
            driver_kick(&f->driver, queue);
            assert_true(driver_needs_reset(&f->driver));
            assert_true(virtio_is_idle(f->driver.device.instance));
            assert_int_equal(fixture_facts(f).counted, 0);
        }
    }
}

/* ---- free page reporting ---- */

static void report(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer buffers[] = {
        {page_at(2), 2 * PAGE_SIZE, true},
        {page_at(10), PAGE_SIZE, true},
        {page_at(20) - 1, 3 * PAGE_SIZE, true}, /* not whole at either end */
        {page_at(30) + 100, 200, true},
    };
    uint32_t head, used;
    uint64_t blocks;

    /* 4 by the specification, 3 as Linux counts. */
    for (unsigned queue = 3; queue <= 4; queue++) {
        fixture_start(f, F_PAGE_REPORTING | F_STATS_VQ);
        fixture_fill(f, 32);
        blocks = fixture_blocks(f);
        driver_add(&f->driver, queue, buffers, ARRAY_SIZE(buffers));
        driver_kick(&f->driver, queue);
        assert_true(driver_used(&f->driver, queue, &head, &used));
        assert_int_equal(used, 0);
        assert_int_equal(blocks - fixture_blocks(f), 5 * PAGE_SIZE);
        for (unsigned i = 0; i < 32; i++) {
            bool gone = i == 2 || i == 3 || i == 10 || i == 20 || i == 21;

            assert_true(fixture_page_is(f, i, gone ? 0 : 0x5a));
        }
        assert_int_equal(fixture_facts(f).reported, 6 * PAGE_SIZE + 200);
        assert_int_equal(fixture_facts(f).counted, 0);
        driver_write32(&f->driver, REG_STATUS, 0);
        assert_int_equal(fixture_facts(f).reported, 0);
    }
}

/* Turns end with whole pages wherever the request begins. */
static void report_in_turns(void **state)
{
    struct balloon_fixture *f = *state;
    struct virtio_device *core = f->driver.device.instance;
    uint32_t head, used;

    for (unsigned offset = 0; offset < 2; offset++) {
        const struct buffer buffers[] = {{page_at(0) + offset, 9 << 20, true},
                                         {page_at(2304), PAGE_SIZE, true}};
        unsigned turns = 1;

        fixture_start(f, F_PAGE_REPORTING);
        fixture_fill(f, 2305);
        driver_add(&f->driver, 4, buffers, 2);
        assert_true(core->type->run(core, 4));
        assert_false(driver_used(&f->driver, 4, &head, &used));
        assert_in_range(fixture_facts(f).reported, 1, 4 << 20);
        while (core->type->run(core, 4))
            assert_true(++turns < 4);
        assert_true(driver_used(&f->driver, 4, &head, &used));
        for (unsigned i = 0; i < 2305; i++)
            assert_true(fixture_page_is(f, i, i || !offset ? 0 : 0x5a));
    }
    /* Let go of when its queue is. */
    fixture_start(f, F_PAGE_REPORTING);
    driver_add(&f->driver, 4, &(struct buffer){page_at(0), 9 << 20, true}, 1);
    assert_true(core->type->run(core, 4));
    fixture_on_loop(f, virtio_reset, core);
    assert_false(virtio_is_idle(core));
    assert_false(core->type->run(core, 4));
    assert_true(virtio_is_idle(core));
}

/* Freed in the midst of a report: what the chain has pinned is let go of. */
static void freed_in_a_report(void **state)
{
    struct balloon_fixture *f = *state;
    struct virtio_device *core = f->driver.device.instance;

    fixture_start(f, F_PAGE_REPORTING);
    driver_add(&f->driver, 4, &(struct buffer){page_at(0), 9 << 20, true}, 1);
    assert_true(core->type->run(core, 4));
    assert_int_equal(f->ram->flags[FIRST_PAGE + 2303], 0);
    f->driver.device.type->free(core);
    f->driver.device.type = NULL;
    assert_int_equal(f->ram->flags[FIRST_PAGE + 2303], PAGE_DIRTY);
}

static void bad_reports(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer cases[] = {
        {0x40000000, PAGE_SIZE, true},
        {DRIVER_RAM - PAGE_SIZE, 2 * PAGE_SIZE, true},
        {DRIVER_RAM + DRIVER_RAM_SIZE, 2 * PAGE_SIZE, true},
        {-(uint64_t)PAGE_SIZE, 2 * PAGE_SIZE, true},
        {DRIVER_ROM, PAGE_SIZE, true},
        {DRIVER_DEVICE, PAGE_SIZE, true},
        {page_at(0), PAGE_SIZE, false}, /* which the device must not write to */
        {page_at(0), 0, true},
    };

    fixture_fill(f, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fixture_start(f, F_PAGE_REPORTING);
        driver_add(&f->driver, 4, &cases[i], 1);
        driver_kick(&f->driver, 4);
        assert_true(driver_needs_reset(&f->driver));
        assert_true(virtio_is_idle(f->driver.device.instance));
        assert_true(fixture_page_is(f, 0, 0x5a));
        assert_int_equal(fixture_facts(f).reported, 0);
    }
}

/* The rings themselves: what is read there from then on is zero, and only this guest suffers. */
static void gives_its_rings_away(void **state)
{
    struct balloon_fixture *f = *state;
    struct driver *d = &f->driver;

    for (unsigned queue = 0; queue < 5; queue += 4) {
        struct buffer rings;
        uint32_t page;

        fixture_start(f, F_PAGE_REPORTING);
        page = page_of(d->queues[queue].available);
        rings = (struct buffer){page_at(page), 2 * PAGE_SIZE, true};
        if (queue == INFLATE)
            fixture_pages(f, INFLATE, &page, 1);
        else
            driver_add(d, queue, &rings, 1);
        driver_kick(d, queue);
        driver_kick(d, queue);
        assert_true(virtio_is_idle(d->device.instance));
        fixture_start(f, 0);
        assert_int_equal(driver_read32(d, REG_STATUS), 15);
    }
}

/* Queues of features that the driver did not take. */
static void not_negotiated(void **state)
{
    struct balloon_fixture *f = *state;
    const struct buffer page = {page_at(0), PAGE_SIZE, true};
    uint32_t head, used;

    fixture_start(f, 0);
    fixture_fill(f, 1);
    for (unsigned queue = 2; queue <= 4; queue++) {
        driver_add(&f->driver, queue, &page, 1);
        driver_kick(&f->driver, queue);
        assert_false(driver_used(&f->driver, queue, &head, &used));
    }
    virtio_balloon_set_interval(f->balloon, 1000);
    assert_false(driver_used(&f->driver, 2, &head, &used));
    assert_int_equal(fixture_facts(f).statistics.time_ns, 0);
    assert_true(fixture_page_is(f, 0, 0x5a));
}

static void loaded_state(void **state)
{
    struct balloon_fixture *f = *state;
    const struct device_type *type = f->driver.device.type;
    uint8_t *instance = f->driver.device.instance;
    const struct state_field *counted = NULL;
    unsigned queues = 0;
    uint64_t pages;

    for (unsigned i = 0; i < type->field_count; i++) {
        if (!strcmp(type->fields[i].name, "counted"))
            counted = &type->fields[i];
        queues += !!strstr(type->fields[i].name, ".muted");
    }
    assert_int_equal(queues, 5);
    assert_non_null(counted);
    assert_true(type->check(instance));
    pages = DRIVER_RAM_SIZE / PAGE_SIZE;
    memcpy(instance + counted->offset, &pages, sizeof(pages));
    assert_true(type->check(instance));
    pages++;
    memcpy(instance + counted->offset, &pages, sizeof(pages));
    assert_false(type->check(instance));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(configuration),    TEST(target),
        TEST(inflate),          TEST(inflate_scattered),
        TEST(strays),           TEST(counts_are_bounded),
        TEST(inflate_in_turns), TEST(bad_requests),
        TEST(reset_in_a_turn),  TEST(report),
        TEST(report_in_turns),  TEST(freed_in_a_report),
        TEST(bad_reports),      TEST(gives_its_rings_away),
        TEST(not_negotiated),   TEST(loaded_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
