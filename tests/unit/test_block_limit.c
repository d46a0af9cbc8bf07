/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's limits: how long requests take at one, that they keep their order, and what becomes of
 * those that wait when the limit changes, the driver is gone, the host is full, or the disk closes.
 */
#include "base/thread.h"
#include "block_faulty.h"
#include "block_fixture.h"
#include "storage/block_open.h"

#define MIB    (1u << 20)
#define MS     1000000ull
#define SECOND 1000000000ull
/* No host is so busy that it takes longer for nothing. */
#define LATE (5 * SECOND)

enum { COUNT = 32, SIZE = 32768 };

/* Nothing more within the life of a test. */
static const struct block_limits standstill = {.bytes = 1};
static const struct block_limits nothing = {0};

/* The order in which requests reached the engine, by offset. */
static uint64_t order[4 * COUNT];
static unsigned ordered;

static int64_t rule_ordered(struct faulty *faulty, const struct io *io)
{
    if (io->kind == IO_WRITE && ordered < 4 * COUNT)
        order[ordered++] = io->offset;
    /* `state` is 0 for a host that is full. */
    return io->kind != IO_WRITE || faulty->state ? (int64_t)UINT32_MAX : -ENOSPC;
}

struct bench {
    struct fixture *f;
    struct faulty *faulty;
    struct block *block;
    struct waiter w[COUNT];
    uint8_t buffer[SIZE];
};

static struct bench *bench_new(struct fixture *f, bool ephemeral)
{
    struct block_options options = fixture_options(f);
    struct bench *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->f = f;
    options.ephemeral = ephemeral;
    fixture_make_image(f, 4 * MIB, 0);
    b->faulty = faulty_new(f->loop, rule_ordered);
    ordered = 0;
    assert_int_equal(block_open_with(&b->block, f->loop, &options, &b->faulty->engine, NULL, NULL),
                     0);
    return b;
}

static void bench_free(struct bench *b)
{
    block_close(b->block);
    free(b);
}

static void bench_submit(struct bench *b, unsigned index, enum block_operation operation)
{
    struct waiter *w = &b->w[index];

    w->iov[0] = (struct iovec){.iov_base = b->buffer, .iov_len = SIZE};
    w->request.iov_count = 1;
    waiter_submit(b->f, b->block, w, operation, operation == BLOCK_FLUSH ? 0 : index * SIZE,
                  operation == BLOCK_FLUSH ? 0 : SIZE);
}

/* Until all have come back; how long it took. */
static uint64_t bench_run(struct bench *b)
{
    uint64_t began = monotonic_ns();

    assert_int_equal(loop_run(b->f->loop), 0);
    return monotonic_ns() - began;
}

static void stop_late(void *ctx)
{
    loop_stop(ctx, 7);
}

/* Long enough for everything that does not wait. */
static void bench_settle(struct bench *b)
{
    struct timer timer;

    timer_init(&timer, b->f->loop, stop_late, b->f->loop);
    timer_set(&timer, monotonic_ns() + 30 * MS);
    assert_int_equal(loop_run(b->f->loop), 7);
}

static unsigned bench_finished(const struct bench *b)
{
    unsigned finished = 0;

    for (unsigned i = 0; i < COUNT; i++)
        finished += b->w[i].calls;
    return finished;
}

static void bytes_take_their_time(void **state)
{
    const struct block_limits limits = {.bytes = 4 * MIB, .byte_burst = 2 * SIZE};
    struct bench *b = bench_new(*state, false);
    uint64_t took;

    block_set_limits(b->block, &limits);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, i % 2 ? BLOCK_READ : BLOCK_WRITE);
    took = bench_run(b);
    /* The burst is free, and the last leaves a debt behind. */
    assert_in_range(took, (COUNT - 3) * SECOND * SIZE / (4 * MIB), LATE);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(b->w[i].result, 0);
    for (unsigned i = 1; i < ordered; i++)
        assert_true(order[i] > order[i - 1]);
    bench_free(b);
}

static void requests_take_their_time(void **state)
{
    static const enum block_operation operations[] = {BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD,
                                                      BLOCK_READ};
    const struct block_limits limits = {.requests = 200, .request_burst = 2};

    /* To an overlay a flush is nothing, but it is a request. */
    for (unsigned ephemeral = 0; ephemeral < 2; ephemeral++) {
        struct bench *b = bench_new(*state, ephemeral);

        block_set_limits(b->block, &limits);
        for (unsigned i = 0; i < COUNT; i++)
            bench_submit(b, i, operations[i % 4]);
        assert_in_range(bench_run(b), (COUNT - 3) * SECOND / 200, LATE);
        bench_free(b);
    }
}

/* Who comes when the debt is paid already does not pass those that wait and are not woken yet. */
static void nobody_is_passed(void **state)
{
    /* Half a millisecond each; who waits sleeps for a whole one. */
    const struct block_limits limits = {.bytes = 2000 * SIZE, .byte_burst = 2 * SIZE};
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &limits);
    for (unsigned i = 0; i < 8; i++) {
        bench_submit(b, i, BLOCK_WRITE);
        if (i == 3)
            usleep(700);
    }
    bench_run(b);
    assert_int_equal(ordered, 8);
    for (unsigned i = 1; i < ordered; i++)
        assert_true(order[i] > order[i - 1]);
    bench_free(b);
}

/* Of the two the one that is slower counts. */
static void both_limits_hold(void **state)
{
    struct block_limits limits = {.requests = 200, .bytes = 1ull << 40, .byte_burst = 1ull << 40};
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &limits);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, BLOCK_WRITE);
    assert_in_range(bench_run(b), (COUNT - 1) * SECOND / 200, LATE);
    limits = (struct block_limits){.requests = 1000000, .bytes = 8 * MIB};
    block_set_limits(b->block, &limits);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, BLOCK_WRITE);
    assert_in_range(bench_run(b), (COUNT - 1) * SECOND * SIZE / (8 * MIB), LATE);
    bench_free(b);
}

/* Discards and flushes are requests of no bytes; zeroes may have to be written. */
static void what_bytes_are_counted_of(void **state)
{
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &standstill);
    for (unsigned i = 0; i < 4; i++)
        bench_submit(b, i, i % 2 ? BLOCK_FLUSH : BLOCK_DISCARD);
    assert_true(bench_run(b) < LATE);
    bench_submit(b, 4, BLOCK_WRITE_ZEROES);
    assert_true(bench_run(b) < LATE);
    bench_submit(b, 5, BLOCK_FLUSH);
    bench_settle(b);
    assert_int_equal(b->w[5].calls, 0);
    bench_free(b);
}

/* A request that cannot be is refused at once, and costs nothing. */
static void what_is_refused_is_not_counted(void **state)
{
    const struct block_limits limits = {.requests = 1};
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &limits);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(fixture_do(b->f, b->block, BLOCK_READ, 100, b->buffer, 512), -EINVAL);
    bench_submit(b, 0, BLOCK_READ);
    assert_true(bench_run(b) < LATE);
    bench_free(b);
}

/* Of the disk's counters: each once, however it went, and none that was taken back. */
static void what_was_done_is_counted(void **state)
{
    struct bench *b = bench_new(*state, false);
    struct block_counters c;

    for (unsigned i = 0; i < 3; i++)
        bench_submit(b, i, BLOCK_READ);
    for (unsigned i = 3; i < 8; i++)
        bench_submit(b, i, BLOCK_WRITE);
    bench_submit(b, 8, BLOCK_FLUSH);
    bench_submit(b, 9, BLOCK_DISCARD);
    bench_submit(b, 10, BLOCK_WRITE_ZEROES);
    bench_run(b);
    assert_int_equal(fixture_do(b->f, b->block, BLOCK_READ, 100, b->buffer, 512), -EINVAL);
    c = block_count(b->block);
    assert_int_equal(c.reads, 3);
    assert_int_equal(c.read_bytes, 3 * SIZE);
    assert_int_equal(c.writes, 5);
    assert_int_equal(c.written_bytes, 5 * SIZE);
    assert_int_equal(c.flushes, 1);
    assert_int_equal(c.discards, 2);
    assert_int_equal(c.failed, 1);

    block_set_limits(b->block, &standstill);
    bench_submit(b, 0, BLOCK_WRITE);
    bench_submit(b, 1, BLOCK_READ);
    bench_submit(b, 2, BLOCK_READ);
    bench_settle(b);
    block_cancel_waiting(b->block);
    bench_run(b);
    assert_int_equal(b->w[2].result, -ECANCELED);
    assert_true(block_count(b->block).reads <= 4);
    assert_int_equal(block_count(b->block).failed, 1);
    bench_free(b);
}

static void limits_change_while_requests_wait(void **state)
{
    const struct block_limits limits = {.bytes = 8 * MIB};
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &standstill);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, BLOCK_WRITE);
    bench_settle(b);
    assert_int_equal(bench_finished(b), 1);
    /* What is owed stays owed, but is paid sooner. */
    block_set_limits(b->block, &limits);
    assert_in_range(bench_run(b), (COUNT - 1) * SECOND * SIZE / (8 * MIB) - 30 * MS, LATE);
    assert_int_equal(bench_finished(b), COUNT);

    block_set_limits(b->block, &standstill);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, BLOCK_WRITE);
    bench_settle(b);
    assert_true(bench_finished(b) <= 1);
    /* Lifted: all at once, but nothing completes in here. */
    block_set_limits(b->block, &nothing);
    assert_true(bench_finished(b) <= 1);
    assert_true(bench_run(b) < LATE);
    assert_int_equal(bench_finished(b), COUNT);
    for (unsigned i = 1; i < ordered; i++)
        assert_true(i == COUNT || order[i] > order[i - 1]);
    bench_free(b);
}

static void waiting_requests_are_given_up(void **state)
{
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &standstill);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, BLOCK_WRITE);
    /* The first is under way, and is not given up. */
    block_cancel_waiting(b->block);
    assert_int_equal(bench_finished(b), 0);
    assert_true(bench_run(b) < LATE);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(b->w[i].calls, 1);
        assert_int_equal(b->w[i].result, i ? -ECANCELED : 0);
    }
    /* With none there it does nothing, and the disk serves on. */
    block_cancel_waiting(b->block);
    block_set_limits(b->block, &nothing);
    assert_int_equal(fixture_do(b->f, b->block, BLOCK_READ, 0, b->buffer, SIZE), 0);
    bench_free(b);
}

static void closing_gives_waiting_requests_up(void **state)
{
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &standstill);
    for (unsigned i = 0; i < COUNT; i++)
        bench_submit(b, i, BLOCK_READ);
    block_close(b->block);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(b->w[i].calls, 1);
        assert_int_equal(b->w[i].result, i ? -ECANCELED : 0);
    }
    free(b);
}

/* What was kept for a full host has passed the limit already. */
static void a_full_host_costs_nothing_more(void **state)
{
    const struct block_limits limits = {.bytes = 1, .byte_burst = 3 * SIZE};
    struct bench *b = bench_new(*state, false);

    block_set_limits(b->block, &limits);
    b->f->stop_when_full = true;
    b->faulty->state = 0;
    for (unsigned i = 0; i < 5; i++)
        bench_submit(b, i, BLOCK_WRITE);
    assert_int_equal(loop_run(b->f->loop), 1);
    assert_int_equal(b->f->full_calls, 1);
    b->faulty->state = 1;
    block_resume(b->block);
    bench_settle(b);
    /* Burst and debt let four of them in; the fifth waits, resumed or not. */
    assert_int_equal(bench_finished(b), 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(b->w[i].result, 0);
    block_resume(b->block);
    bench_settle(b);
    assert_int_equal(b->w[4].calls, 0);
    bench_free(b);
}

/* ---- who submits again from done() ---- */

struct chatter {
    struct block_request request;
    struct iovec iov;
    struct block *block;
    struct loop *loop;
    unsigned left;
    int result;
    uint8_t bytes[512];
};

static void chatter_done(struct block_request *request, int result)
{
    struct chatter *c = container_of(request, struct chatter, request);

    c->result = result;
    if (c->left && c->left--)
        block_submit(c->block, request);
    else
        loop_stop(c->loop, 0);
}

static void one_after_the_other(void **state)
{
    const struct block_limits limits = {.requests = 400};
    struct bench *b = bench_new(*state, false);
    struct chatter c = {.block = b->block, .loop = b->f->loop, .left = 80};
    uint64_t began = monotonic_ns();

    block_set_limits(b->block, &limits);
    c.iov = (struct iovec){.iov_base = c.bytes, .iov_len = sizeof(c.bytes)};
    c.request = (struct block_request){.operation = BLOCK_READ,
                                       .length = sizeof(c.bytes),
                                       .iov = &c.iov,
                                       .iov_count = 1,
                                       .done = chatter_done};
    block_submit(b->block, &c.request);
    assert_int_equal(loop_run(b->f->loop), 0);
    assert_int_equal(c.result, 0);
    assert_in_range(monotonic_ns() - began, 80 * SECOND / 400, LATE);

    /* And until it is closed. */
    c.left = 3;
    block_set_limits(b->block, &standstill);
    block_submit(b->block, &c.request);
    bench_settle(b);
    assert_int_equal(c.left, 2);
    bench_free(b);
    assert_int_equal(c.left, 0);
    assert_int_equal(c.result, -ECANCELED);
}

#define DISK(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK(bytes_take_their_time),
        DISK(requests_take_their_time),
        DISK(nobody_is_passed),
        DISK(both_limits_hold),
        DISK(what_bytes_are_counted_of),
        DISK(what_is_refused_is_not_counted),
        DISK(what_was_done_is_counted),
        DISK(limits_change_while_requests_wait),
        DISK(waiting_requests_are_given_up),
        DISK(closing_gives_waiting_requests_up),
        DISK(a_full_host_costs_nothing_more),
        DISK(one_after_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
