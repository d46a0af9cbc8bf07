/* SPDX-License-Identifier: Apache-2.0 */
/* The queue walker alone: good chains of every shape, and the table of hostile rings. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "device/virtio/queue.h"
#include "virtio_driver.h"

#define SIZE 16u

struct fixture {
    struct driver driver; /* memory and rings only */
    struct queue queue;
    struct chain chain;
    gpa buffer; /* 4096 bytes */
};

static void ring_place(struct fixture *f, unsigned size, bool event_index, bool indirect)
{
    struct driver_queue *ring = &f->driver.queues[0];

    *ring = (struct driver_queue){.size = size};
    ring->descriptors = driver_alloc(&f->driver, 16ull * size);
    ring->available = driver_alloc(&f->driver, 6 + 2ull * size);
    ring->used = driver_alloc(&f->driver, 6 + 8ull * size);
    queue_reset(&f->queue);
    f->queue.size = size;
    f->queue.descriptors = ring->descriptors;
    f->queue.available = ring->available;
    f->queue.used = ring->used;
    assert_int_equal(queue_attach(&f->queue, event_index, indirect), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    driver_init(&f->driver);
    queue_init(&f->queue, f->driver.as, QUEUE_SIZE_MAX);
    f->buffer = driver_alloc(&f->driver, 4096);
    ring_place(f, SIZE, false, true);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    queue_reset(&f->queue);
    driver_release(&f->driver);
    free(f);
    return 0;
}

/* A descriptor of the queue's own table. */
static void desc(struct fixture *f, unsigned index, gpa addr, uint32_t len, uint16_t flags,
                 uint16_t next)
{
    driver_descriptor(&f->driver, f->driver.queues[0].descriptors, index, addr, len, flags, next);
}

static void offer(struct fixture *f, uint16_t head)
{
    driver_offer(&f->driver, 0, head);
}

/* ---- good rings ---- */

static void empty(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(queue_pop(&f->queue, &f->chain), 0);
    assert_false(queue_notify_guest(&f->queue));
}

static void chain_shapes(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffers[] = {
        {f->buffer, 16, false},
        {f->buffer + 100, 1, false},
        {f->buffer + 200, 300, true},
        {f->buffer + 600, 7, true},
    };

    for (unsigned readable = 0; readable <= 2; readable++) {
        for (unsigned writable = 0; writable <= 2; writable++) {
            const struct buffer *first = buffers + 2 - readable;
            struct chain *chain = &f->chain;
            unsigned count = readable + writable;
            uint64_t bytes[2] = {0};
            uint16_t head;

            if (!count)
                continue;
            for (unsigned i = 0; i < count; i++)
                bytes[first[i].write] += first[i].len;
            head = driver_add(&f->driver, 0, first, count);
            assert_int_equal(queue_pop(&f->queue, chain), 1);
            assert_int_equal(chain->head, head);
            assert_int_equal(chain->readable, readable);
            assert_int_equal(chain->count, count);
            assert_int_equal(chain->readable_bytes, bytes[0]);
            assert_int_equal(chain->writable_bytes, bytes[1]);
            for (unsigned i = 0; i < count; i++)
                assert_int_equal(chain->iov[i].iov_len, first[i].len);
            queue_push(&f->queue, chain, 0);
            assert_int_equal(f->queue.in_flight, 0);
        }
    }
}

static void indirect_chains(void **state)
{
    struct fixture *f = *state;
    struct buffer buffers[CHAIN_MAX];
    gpa table = driver_alloc(&f->driver, 64);

    for (unsigned i = 0; i < CHAIN_MAX; i++)
        buffers[i] = (struct buffer){f->buffer + i, 1, i >= 100};
    driver_add_indirect(&f->driver, 0, buffers, CHAIN_MAX);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(f->chain.count, CHAIN_MAX);
    assert_int_equal(f->chain.readable, 100);
    queue_push(&f->queue, &f->chain, 0);

    /* 2.7.5.3.2: descriptors of its own first, then the table; the WRITE flag there is ignored. */
    desc(f, 5, f->buffer, 10, DESC_NEXT, 6);
    desc(f, 6, table, 32, DESC_INDIRECT | DESC_WRITE, 0);
    driver_descriptor(&f->driver, table, 0, f->buffer + 10, 20, DESC_NEXT, 1);
    driver_descriptor(&f->driver, table, 1, f->buffer + 30, 30, DESC_WRITE, 0);
    offer(f, 5);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(f->chain.head, 5);
    assert_int_equal(f->chain.readable, 2);
    assert_int_equal(f->chain.readable_bytes, 30);
    assert_int_equal(f->chain.writable_bytes, 30);
    queue_push(&f->queue, &f->chain, 0);
}

/* Round the 16-bit indexes, with and without the event index. */
static void index_wrap(void **state)
{
    struct fixture *f = *state;
    struct buffer buffer = {f->buffer, 64, true};
    uint32_t head, len;

    for (unsigned event_index = 0; event_index < 2; event_index++) {
        ring_place(f, SIZE, event_index, true);
        for (unsigned i = 0; i < 70000; i++) {
            uint16_t expect = driver_add(&f->driver, 0, &buffer, 1);

            assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
            queue_push(&f->queue, &f->chain, i);
            assert_false(driver_used(&f->driver, 0, &head, &len)); /* not published */
            (void)!queue_notify_guest(&f->queue);
            assert_true(driver_used(&f->driver, 0, &head, &len));
            assert_int_equal(head, expect);
            assert_int_equal(len, i);
        }
    }
}

static void completion_out_of_order(void **state)
{
    struct fixture *f = *state;
    struct buffer buffer = {f->buffer, 64, true};
    static struct chain chains[3];
    uint32_t head, len;

    for (unsigned i = 0; i < 3; i++) {
        driver_add(&f->driver, 0, &buffer, 1);
        assert_int_equal(queue_pop(&f->queue, &chains[i]), 1);
    }
    assert_int_equal(f->queue.in_flight, 3);
    for (unsigned i = 3; i-- > 0;)
        queue_push(&f->queue, &chains[i], 100 + i);
    assert_true(queue_notify_guest(&f->queue));
    assert_false(queue_notify_guest(&f->queue)); /* nothing new */
    for (unsigned i = 3; i-- > 0;) {
        assert_true(driver_used(&f->driver, 0, &head, &len));
        assert_int_equal(head, i);
        assert_int_equal(len, 100 + i);
    }
}

/* Several buffers for one frame: filled, seen by the guest together, or given back. */
static void fill_and_rewind(void **state)
{
    struct fixture *f = *state;
    struct buffer buffer = {f->buffer, 64, true};
    static struct chain more;
    uint32_t head, len;

    for (unsigned i = 0; i < 3; i++)
        driver_add(&f->driver, 0, &buffer, 1);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(queue_pop(&f->queue, &more), 1);
    queue_fill(&f->queue, 1, &more, 5);
    queue_rewind(&f->queue, 2);
    queue_drop(&f->queue, &f->chain);
    assert_false(queue_notify_guest(&f->queue));
    assert_int_equal(f->queue.in_flight, 0);

    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(f->chain.head, 0);
    assert_int_equal(queue_pop(&f->queue, &more), 1);
    assert_int_equal(more.head, 1);
    queue_fill(&f->queue, 1, &more, 5);
    queue_fill(&f->queue, 0, &f->chain, 64);
    queue_advance(&f->queue, 2);
    assert_true(queue_notify_guest(&f->queue));
    assert_true(driver_used(&f->driver, 0, &head, &len));
    assert_int_equal(head, 0);
    assert_int_equal(len, 64);
    assert_true(driver_used(&f->driver, 0, &head, &len));
    assert_int_equal(head, 1);
    assert_int_equal(len, 5);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(f->chain.head, 2);
    queue_drop(&f->queue, &f->chain);
}

static void unmute_finds_late_chains(void **state)
{
    struct fixture *f = *state;
    struct buffer buffer = {f->buffer, 64, true};

    for (unsigned event_index = 0; event_index < 2; event_index++) {
        ring_place(f, SIZE, event_index, true);
        queue_mute(&f->queue);
        assert_false(queue_unmute(&f->queue, 0));
        queue_mute(&f->queue);
        driver_add(&f->driver, 0, &buffer, 1);
        assert_true(queue_unmute(&f->queue, 0));
        /* One chain is known and does not suffice: only a second is news. */
        assert_false(queue_unmute(&f->queue, 1));
        f->driver.features = event_index ? VIRTIO_F_EVENT_IDX : 0;
        driver_add(&f->driver, 0, &buffer, 1);
        assert_true(driver_must_notify(&f->driver, 0, 1));
        assert_true(queue_unmute(&f->queue, 1));
    }
}

static void reset_in_flight(void **state)
{
    struct fixture *f = *state;
    struct buffer buffer = {f->buffer, 64, true};
    uint32_t generation = f->queue.generation;

    driver_add(&f->driver, 0, &buffer, 1);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(f->chain.generation, generation);
    queue_reset(&f->queue);
    assert_int_not_equal(f->queue.generation, generation);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 0); /* not attached */
    f->queue.size = SIZE;
    f->queue.descriptors = f->driver.queues[0].descriptors;
    f->queue.available = f->driver.queues[0].available;
    f->queue.used = f->driver.queues[0].used;
    assert_int_equal(queue_attach(&f->queue, false, false), -EPROTO);
    /* The buffer is still pinned, so it may still be written. */
    assert_int_equal(chain_write(&f->chain, 0, "x", 1), 1);
    queue_drop(&f->queue, &f->chain);
    assert_int_equal(queue_attach(&f->queue, false, false), 0);
}

static void dirty_tracking(void **state)
{
    struct fixture *f = *state;
    struct buffer buffer = {driver_alloc(&f->driver, 3 * PAGE_SIZE), 64, true};
    struct ram *ram = memory_main_ram(f->driver.as);
    uint64_t page, used = (f->driver.queues[0].used - DRIVER_RAM) >> PAGE_SHIFT;

    buffer.addr = (buffer.addr + PAGE_SIZE) & ~(gpa)(PAGE_SIZE - 1);
    page = (buffer.addr - DRIVER_RAM) >> PAGE_SHIFT;
    driver_add(&f->driver, 0, &buffer, 1);
    atomic_store(&ram->flags[page], 0);
    atomic_store(&ram->flags[used], 0);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(chain_write(&f->chain, 0, "abc", 3), 3);
    queue_push(&f->queue, &f->chain, 3);
    (void)!queue_notify_guest(&f->queue);
    assert_int_equal(ram->flags[page], PAGE_DIRTY);
    assert_int_equal(ram->flags[used], PAGE_DIRTY);
}

static void copies(void **state)
{
    struct fixture *f = *state;
    const struct buffer buffers[] = {
        {f->buffer, 3, false},
        {f->buffer + 10, 5, false},
        {f->buffer + 100, 2, true},
        {f->buffer + 200, 4, true},
    };
    char got[16] = {0};

    driver_put(&f->driver, f->buffer, "abc", 3);
    driver_put(&f->driver, f->buffer + 10, "defgh", 5);
    driver_add(&f->driver, 0, buffers, 4);
    assert_int_equal(queue_pop(&f->queue, &f->chain), 1);
    assert_int_equal(chain_read(&f->chain, 0, got, sizeof(got)), 8);
    assert_string_equal(got, "abcdefgh");
    assert_int_equal(chain_read(&f->chain, 2, got, 3), 3);
    assert_memory_equal(got, "cde", 3);
    assert_int_equal(chain_read(&f->chain, 3, got, 1), 1);
    assert_int_equal(got[0], 'd');
    assert_int_equal(chain_read(&f->chain, 8, got, 1), 0);
    assert_int_equal(chain_write(&f->chain, 0, "123456789", 9), 6);
    driver_get(&f->driver, f->buffer + 100, got, 3);
    assert_memory_equal(got, "12\0", 3);
    driver_get(&f->driver, f->buffer + 200, got, 5);
    assert_memory_equal(got, "3456\0", 5);
    assert_int_equal(chain_write(&f->chain, 5, "zz", 2), 1);
    assert_int_equal(chain_write(&f->chain, 6, "zz", 2), 0);
    queue_drop(&f->queue, &f->chain);
}

static void cut(void **state)
{
    char bytes[10];

    for (unsigned offset = 0; offset <= 10; offset++) {
        for (unsigned len = 0; offset + len <= 10; len++) {
            struct iovec iov[] = {{bytes, 3}, {bytes + 3, 1}, {bytes + 4, 6}}, *at = iov;
            unsigned count = iov_cut(&at, 3, offset, len);
            char *expect = bytes + offset;
            size_t sum = 0;

            for (unsigned i = 0; i < count; i++) {
                assert_ptr_equal(at[i].iov_base, expect);
                assert_true(at[i].iov_len > 0);
                expect += at[i].iov_len;
                sum += at[i].iov_len;
            }
            assert_int_equal(sum, len);
        }
    }
}

/* ---- hostile rings ---- */

static void loop_of_one(struct fixture *f)
{
    desc(f, 0, f->buffer, 1, DESC_NEXT, 0);
    offer(f, 0);
}

static void loop_of_all(struct fixture *f)
{
    for (unsigned i = 0; i < SIZE; i++)
        desc(f, i, f->buffer, 1, DESC_NEXT | DESC_WRITE, (uint16_t)((i + 1) % SIZE));
    offer(f, 3);
}

static void head_out_of_range(struct fixture *f)
{
    offer(f, SIZE);
}

static void head_far_out_of_range(struct fixture *f)
{
    offer(f, 0xffff);
}

static void next_out_of_range(struct fixture *f)
{
    desc(f, 0, f->buffer, 1, DESC_NEXT, SIZE);
    offer(f, 0);
}

static void zero_length(struct fixture *f)
{
    desc(f, 0, f->buffer, 0, 0, 0);
    offer(f, 0);
}

static void zero_length_later(struct fixture *f)
{
    desc(f, 0, f->buffer, 8, DESC_NEXT, 1);
    desc(f, 1, f->buffer, 0, DESC_WRITE, 0);
    offer(f, 0);
}

static void outside_memory(struct fixture *f)
{
    desc(f, 0, 0x40000000, 16, 0, 0);
    offer(f, 0);
}

static void device_registers(struct fixture *f)
{
    desc(f, 0, DRIVER_DEVICE, 16, DESC_WRITE, 0);
    offer(f, 0);
}

static void writes_rom(struct fixture *f)
{
    desc(f, 0, DRIVER_ROM, 16, DESC_WRITE, 0);
    offer(f, 0);
}

static void end_of_memory(struct fixture *f)
{
    desc(f, 0, DRIVER_RAM + DRIVER_RAM_SIZE + PAGE_SIZE - 8, 16, 0, 0);
    offer(f, 0);
}

static void crosses_blocks(struct fixture *f)
{
    desc(f, 0, DRIVER_RAM + DRIVER_RAM_SIZE - 8, 16, 0, 0);
    offer(f, 0);
}

static void address_wraps(struct fixture *f)
{
    desc(f, 0, UINT64_MAX - 7, 16, DESC_WRITE, 0);
    offer(f, 0);
}

static void length_wraps(struct fixture *f)
{
    desc(f, 0, DRIVER_RAM + 16, UINT32_MAX, DESC_WRITE, 0);
    offer(f, 0);
}

static void readable_after_writable(struct fixture *f)
{
    desc(f, 0, f->buffer, 8, DESC_NEXT | DESC_WRITE, 1);
    desc(f, 1, f->buffer, 8, 0, 0);
    offer(f, 0);
}

static void index_jumps(struct fixture *f)
{
    driver_put16(&f->driver, f->driver.queues[0].available + 2, SIZE + 1);
}

static void index_runs_back(struct fixture *f)
{
    driver_put16(&f->driver, f->driver.queues[0].available + 2, 0xffff);
}

static void indirect_table(struct fixture *f, uint32_t len, uint16_t flags)
{
    gpa table = driver_alloc(&f->driver, 64);

    driver_descriptor(&f->driver, table, 0, f->buffer, 8, 0, 0);
    desc(f, 0, table, len, flags, 1);
    desc(f, 1, f->buffer, 8, 0, 0);
    offer(f, 0);
}

static void indirect_odd_size(struct fixture *f)
{
    indirect_table(f, 24, DESC_INDIRECT);
}

static void indirect_empty(struct fixture *f)
{
    indirect_table(f, 0, DESC_INDIRECT);
}

static void indirect_with_next(struct fixture *f)
{
    indirect_table(f, 16, DESC_INDIRECT | DESC_NEXT);
}

static void indirect_outside(struct fixture *f)
{
    desc(f, 0, 0x40000000, 16, DESC_INDIRECT, 0);
    offer(f, 0);
}

static void indirect_too_long(struct fixture *f)
{
    desc(f, 0, DRIVER_RAM, UINT32_MAX & ~15u, DESC_INDIRECT, 0);
    offer(f, 0);
}

static void indirect_in_indirect(struct fixture *f)
{
    gpa table = driver_alloc(&f->driver, 64);

    driver_descriptor(&f->driver, table, 0, table, 16, DESC_INDIRECT, 0);
    desc(f, 0, table, 16, DESC_INDIRECT, 0);
    offer(f, 0);
}

static void indirect_loop(struct fixture *f)
{
    gpa table = driver_alloc(&f->driver, 64);

    driver_descriptor(&f->driver, table, 0, f->buffer, 1, DESC_NEXT, 1);
    driver_descriptor(&f->driver, table, 1, f->buffer, 1, DESC_NEXT, 0);
    desc(f, 0, table, 32, DESC_INDIRECT, 0);
    offer(f, 0);
}

static void indirect_next_outside(struct fixture *f)
{
    gpa table = driver_alloc(&f->driver, 64);

    driver_descriptor(&f->driver, table, 0, f->buffer, 1, DESC_NEXT, 2);
    desc(f, 0, table, 32, DESC_INDIRECT, 0);
    offer(f, 0);
}

static void indirect_not_negotiated(struct fixture *f)
{
    ring_place(f, SIZE, false, false);
    indirect_table(f, 16, DESC_INDIRECT);
}

/* The whole of the memory, 64 MiB, more than 64 times. */
static void too_long_in_sum(struct fixture *f)
{
    ring_place(f, QUEUE_SIZE_MAX, false, true);
    for (unsigned i = 0; i < QUEUE_SIZE_MAX; i++)
        desc(f, i, DRIVER_RAM, (uint32_t)DRIVER_RAM_SIZE, DESC_NEXT,
             (uint16_t)((i + 1) % QUEUE_SIZE_MAX));
    offer(f, 0);
}

static void hostile_rings(void **state)
{
    struct fixture *f = *state;
    const struct {
        void (*build)(struct fixture *f);
        const char *words;
    } cases[] = {
        {loop_of_one, "loop"},
        {loop_of_all, "loop"},
        {head_out_of_range, "out of range"},
        {head_far_out_of_range, "out of range"},
        {next_out_of_range, "out of range"},
        {zero_length, "length zero"},
        {zero_length_later, "length zero"},
        {outside_memory, "descriptor is not in memory"},
        {device_registers, "descriptor is not in memory"},
        {writes_rom, "descriptor is not in memory"},
        {end_of_memory, "descriptor is not in memory"},
        {crosses_blocks, "descriptor is not in memory"},
        {address_wraps, "descriptor is not in memory"},
        {length_wraps, "descriptor is not in memory"},
        {readable_after_writable, "readable descriptor after"},
        {index_jumps, "jumped"},
        {index_runs_back, "jumped"},
        {indirect_odd_size, "multiple of 16"},
        {indirect_empty, "multiple of 16"},
        {indirect_with_next, "with a next one"},
        {indirect_outside, "table is not in memory"},
        {indirect_too_long, "table is not in memory"},
        {indirect_in_indirect, "in an indirect table"},
        {indirect_loop, "loop"},
        {indirect_next_outside, "out of range"},
        {indirect_not_negotiated, "without the feature"},
        {too_long_in_sum, "4 GiB"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        ring_place(f, SIZE, false, true);
        cases[i].build(f);
        assert_int_equal(queue_pop(&f->queue, &f->chain), -EPROTO);
        assert_non_null(strstr(f->queue.error, cases[i].words));
        assert_int_equal(f->queue.in_flight, 0);
    }
}

/* The same head again and again: harmless, but no more than the queue has descriptors. */
static void more_requests_than_descriptors(void **state)
{
    struct fixture *f = *state;
    static struct chain chains[SIZE];

    desc(f, 0, f->buffer, 8, 0, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        offer(f, 0);
        assert_int_equal(queue_pop(&f->queue, &chains[i]), 1);
    }
    offer(f, 0);
    assert_int_equal(queue_pop(&f->queue, &f->chain), -EPROTO);
    for (unsigned i = 0; i < SIZE; i++)
        queue_drop(&f->queue, &chains[i]);
    assert_int_equal(f->queue.in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty, setup, teardown),
        cmocka_unit_test_setup_teardown(chain_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(indirect_chains, setup, teardown),
        cmocka_unit_test_setup_teardown(index_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(completion_out_of_order, setup, teardown),
        cmocka_unit_test_setup_teardown(fill_and_rewind, setup, teardown),
        cmocka_unit_test_setup_teardown(unmute_finds_late_chains, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(dirty_tracking, setup, teardown),
        cmocka_unit_test_setup_teardown(copies, setup, teardown),
        cmocka_unit_test(cut),
        cmocka_unit_test_setup_teardown(hostile_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(more_requests_than_descriptors, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
