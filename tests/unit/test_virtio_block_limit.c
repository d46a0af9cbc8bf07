/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio disk whose requests wait for a limit of its back end: a driver that resets it need not
 * wait for them, the next driver's are not taken for theirs, and a device that is freed frees them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"
#include "device/virtio/block.h"
#include "virtio_driver.h"

#define SECOND  1000000000ull
#define F_FLUSH (1ull << 9)

enum { T_IN = 0, S_OK = 0, S_NONE = 0xee, WAITING = 8 };

/* Nothing more within the life of a test. */
static const struct block_limits standstill = {.bytes = 1};
static const struct block_limits nothing = {0};

struct fixture {
    struct driver driver;
    struct block *block;
    gpa header, data, status;
    char path[48];
    struct deferred end;
    pthread_t thread;
    bool runs;
};

static void *loop_body(void *ctx)
{
    loop_run(((struct fixture *)ctx)->driver.loop);
    return NULL;
}

static void loop_end(void *ctx)
{
    loop_stop(((struct fixture *)ctx)->driver.loop, 0);
}

static void fixture_go(struct fixture *f)
{
    assert_int_equal(thread_start(&f->thread, "loop", loop_body, f), 0);
    f->runs = true;
}

/* The loop's thread from here on is the test's. */
static void fixture_halt(struct fixture *f)
{
    loop_post(f->driver.loop, &f->end);
    pthread_join(f->thread, NULL);
    f->runs = false;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct virtio_setup setup;
    int fd;

    assert_non_null(f);
    driver_init(&f->driver);
    setup = driver_setup(&f->driver);
    strcpy(f->path, "/var/tmp/hospes-test-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    assert_int_equal(block_open(&f->block, f->driver.loop, &(struct block_options){.path = f->path},
                                NULL, NULL),
                     0);
    assert_int_equal(virtio_block_new(&f->driver.device, &setup, f->block, ""), 0);
    driver_attach(&f->driver);
    f->header = driver_alloc(&f->driver, 16);
    f->data = driver_alloc(&f->driver, 4096);
    f->status = driver_alloc(&f->driver, 1);
    deferred_init(&f->end, loop_end, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->runs)
        fixture_halt(f);
    driver_release(&f->driver);
    unlink(f->path);
    free(f);
    return 0;
}

static void submit(struct fixture *f, unsigned count)
{
    const struct buffer buffers[] = {{f->header, 16, false},
                                     {f->data, 4096, true},
                                     {f->status, 1, true}};

    driver_put(&f->driver, f->header, (uint8_t[16]){T_IN}, 16);
    driver_put(&f->driver, f->status, (uint8_t[]){S_NONE}, 1);
    while (count--)
        driver_add(&f->driver, 0, buffers, 3);
    driver_notify(&f->driver, 0);
}

static uint8_t status_get(struct fixture *f)
{
    uint8_t status;

    driver_get(&f->driver, f->status, &status, 1);
    return status;
}

/* The next used element, waited for. */
static bool used_wait(struct fixture *f, uint64_t patience_ns)
{
    uint64_t deadline = monotonic_ns() + patience_ns;
    uint32_t head, used;

    while (!driver_used(&f->driver, 0, &head, &used)) {
        if (monotonic_ns() > deadline)
            return false;
        usleep(1000);
    }
    return true;
}

/* One is served, the rest waits behind its debt. */
static void stand_still(struct fixture *f)
{
    block_set_limits(f->block, &nothing);
    block_set_limits(f->block, &standstill);
    driver_start(&f->driver, F_FLUSH, 1, 64);
    fixture_go(f);
    submit(f, WAITING);
    assert_true(used_wait(f, 10 * SECOND));
    assert_int_equal(status_get(f), S_OK);
    assert_false(used_wait(f, SECOND / 20));
    assert_false(virtio_is_idle(f->driver.device.instance));
}

/* On a vCPU's thread: the write returns when the device touches memory no more, which it waits for
 * no longer than two seconds. */
static void reset_gives_waiting_requests_up(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 20; i++) {
        stand_still(f);
        driver_write32(&f->driver, REG_STATUS, 0);
        assert_int_equal(driver_read32(&f->driver, REG_STATUS), 0);
        assert_true(virtio_is_idle(f->driver.device.instance));
        fixture_halt(f);
    }
}

/* A reboot: on the loop's thread, which looks again. */
static void a_reboot_gives_waiting_requests_up(void **state)
{
    struct fixture *f = *state;

    stand_still(f);
    fixture_halt(f);
    f->driver.device.type->reset(f->driver.device.instance);
    assert_false(virtio_is_idle(f->driver.device.instance));
    for (unsigned i = 0; i < 3; i++)
        driver_turn(&f->driver);
    assert_true(virtio_is_idle(f->driver.device.instance));
}

/* What a new driver submits right after its reset waits, and is served when the limit goes. */
static void the_next_driver_is_served(void **state)
{
    struct fixture *f = *state;

    stand_still(f);
    for (unsigned i = 0; i < 50; i++) {
        driver_write32(&f->driver, REG_STATUS, 0);
        assert_true(driver_negotiate(&f->driver, F_FLUSH));
        driver_queue_setup(&f->driver, 0, 64);
        driver_ok(&f->driver);
        submit(f, WAITING);
        if (i % 2)
            usleep(500);
    }
    assert_false(used_wait(f, SECOND / 20));
    fixture_halt(f);
    block_set_limits(f->block, &nothing);
    fixture_go(f);
    for (unsigned i = 0; i < WAITING; i++)
        assert_true(used_wait(f, 10 * SECOND));
    assert_int_equal(status_get(f), S_OK);
    assert_false(driver_needs_reset(&f->driver));
}

/* They complete into nothing. */
static void free_while_requests_wait(void **state)
{
    stand_still(*state);
}

#define DEVICE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEVICE(reset_gives_waiting_requests_up),
        DEVICE(a_reboot_gives_waiting_requests_up),
        DEVICE(the_next_driver_is_served),
        DEVICE(free_while_requests_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
