/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a network interface, between a back end that has endless frames and a guest: how long
 * frames take in each direction, who is told that they may go on, and changes while they wait.
 */
#include <stdlib.h>
#include <string.h>

#include "device_fixture.h"
#include "network/limit.h"

#define SECOND 1000000000ull
/* No host is so busy that it takes longer for nothing. */
#define LATE  (5 * SECOND)
#define FRAME 1000u

struct fixture {
    struct loop *loop;
    struct net inner; /* the back end */
    struct net *net;  /* the limited one */
    bool freed;
    /* Into the guest. */
    unsigned source; /* frames that the back end still has */
    struct deferred turn;
    unsigned readied;
    bool deaf; /* the guest takes none */
    unsigned received;
    /* Out of it. */
    unsigned ring;      /* frames that the guest still has */
    unsigned sent;      /* that reached the back end */
    bool inner_closed;  /* the back end wants none */
    unsigned sendables; /* how often the guest was told */
    bool inside;        /* of a call that must not call back */
};

static struct fixture *fixture_of(struct net *net)
{
    return container_of(net, struct fixture, inner);
}

/* ---- the back end ---- */

static void inner_send(struct net *net, const struct iovec *iov, unsigned count, uint32_t length)
{
    struct fixture *f = fixture_of(net);

    assert_int_equal(count, 2);
    assert_int_equal(iov[0].iov_len + iov[1].iov_len, length);
    f->sent++;
}

static bool inner_can_send(struct net *net)
{
    return !fixture_of(net)->inner_closed;
}

static void inner_turn(void *ctx)
{
    struct fixture *f = ctx;
    static const uint8_t frame[FRAME];

    while (f->source && f->inner.port.receive(f->inner.port.ctx, frame, sizeof(frame)))
        f->source--;
}

static void inner_ready(struct net *net)
{
    struct fixture *f = fixture_of(net);

    f->readied++;
    loop_post(f->loop, &f->turn);
}

static void inner_free(struct net *net)
{
    struct fixture *f = fixture_of(net);

    /* A last word, as libslirp has it. */
    f->source += 1;
    inner_turn(f);
    inner_send(net, (struct iovec[2]){{NULL, 0}, {NULL, 0}}, 2, 0);
    f->freed = true;
}

static const struct net_type inner_type = {
    .name = "inner",
    .send = inner_send,
    .can_send = inner_can_send,
    .ready = inner_ready,
    .free = inner_free,
};

/* ---- the guest ---- */

static bool guest_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct fixture *f = ctx;

    assert_false(f->inside);
    assert_int_equal(length, FRAME);
    if (f->deaf)
        return false;
    f->received++;
    return true;
}

static void guest_send(struct fixture *f)
{
    static uint8_t frame[FRAME];
    const struct iovec iov[2] = {{frame, 14}, {frame + 14, FRAME - 14}};

    f->inside = true;
    while (f->ring && net_can_send(f->net)) {
        f->ring--;
        net_send(f->net, iov, 2, FRAME);
    }
    f->inside = false;
}

static void guest_sendable(void *ctx)
{
    struct fixture *f = ctx;

    assert_false(f->inside);
    f->sendables++;
    guest_send(f);
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(loop_new(&f->loop), 0);
    f->inner.type = &inner_type;
    f->inner.loop = f->loop;
    deferred_init(&f->turn, inner_turn, f);
    assert_int_equal(net_limit_new(&f->net, &f->inner), 0);
    /* Nobody is there yet: frames go nowhere. */
    f->source = 3;
    inner_turn(f);
    assert_int_equal(f->source, 0);
    net_attach(f->net,
               &(struct net_port){.receive = guest_receive, .sendable = guest_sendable, .ctx = f});
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    unsigned received = f->received;

    net_free(f->net);
    assert_true(f->freed);
    assert_int_equal(f->received, received);
    loop_unpost(f->loop, &f->turn);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* Until all frames of both sides have gone their way. */
static void fixture_wait(struct fixture *f)
{
    uint64_t began = monotonic_ns();

    while (f->source || f->ring) {
        loop_run_for(f->loop, MS);
        assert_true(monotonic_ns() - began < 20 * SECOND);
    }
}

/* How long that takes. */
static uint64_t fixture_run(struct fixture *f)
{
    uint64_t began = monotonic_ns();

    inner_turn(f);
    guest_send(f);
    fixture_wait(f);
    return monotonic_ns() - began;
}

static void no_limits(void **state)
{
    struct fixture *f = *state;

    f->source = f->ring = 10000;
    inner_turn(f);
    guest_send(f);
    assert_int_equal(f->received, 10000);
    assert_int_equal(f->sent, 10000);
    assert_int_equal(f->readied, 0);
    assert_int_equal(f->sendables, 0);
}

static void frames_in_take_their_time(void **state)
{
    const struct net_limits limits = {.in = 1000000, .in_burst = 20 * FRAME};
    struct fixture *f = *state;
    uint64_t took;

    net_set_limits(f->net, &limits);
    f->source = 400;
    f->ring = 400; /* not limited */
    took = fixture_run(f);
    assert_int_equal(f->received, 400);
    assert_int_equal(f->sendables, 0);
    /* The burst is free, the last leaves a debt, and nothing is lost by sleeping. */
    assert_in_range(took, (400 - 21) * SECOND * FRAME / 1000000, LATE);
    /* Some at a time. */
    assert_in_range(f->readied, 10, 400);
}

static void frames_out_take_their_time(void **state)
{
    const struct net_limits limits = {.out = 1000000, .out_burst = 20 * FRAME};
    struct fixture *f = *state;
    uint64_t took;

    net_set_limits(f->net, &limits);
    f->source = 400; /* not limited */
    f->ring = 400;
    took = fixture_run(f);
    assert_int_equal(f->sent, 400);
    assert_int_equal(f->readied, 0);
    assert_in_range(took, (400 - 21) * SECOND * FRAME / 1000000, LATE);
    assert_in_range(f->sendables, 10, 400);
}

static void directions_do_not_share(void **state)
{
    const struct net_limits limits = {.in = 1000000, .out = 2000000};
    struct fixture *f = *state;

    net_set_limits(f->net, &limits);
    f->source = 300;
    f->ring = 600;
    assert_in_range(fixture_run(f), 299 * SECOND * FRAME / 1000000, LATE);
}

/* Who asks again and again, as the driver does that gives buffers, gets neither more nor less. */
static void asking_again_does_not_help(void **state)
{
    const struct net_limits limits = {.in = 1000000, .in_burst = 20 * FRAME, .out = 1000000};
    struct fixture *f = *state;
    uint64_t began = monotonic_ns();

    net_set_limits(f->net, &limits);
    f->source = f->ring = 200;
    while (f->source || f->ring) {
        net_ready(f->net);
        guest_send(f);
        loop_run_for(f->loop, MS / 5);
        assert_true(monotonic_ns() - began < 20 * SECOND);
    }
    assert_in_range(monotonic_ns() - began, 199 * SECOND * FRAME / 1000000, LATE);
}

static void limits_change_while_frames_wait(void **state)
{
    const struct net_limits standstill = {.in = 1, .out = 1}, nothing = {0};
    const struct net_limits some = {.in = 1000000, .out = 1000000};
    struct fixture *f = *state;
    uint64_t began;

    net_set_limits(f->net, &standstill);
    f->source = f->ring = 100;
    inner_turn(f);
    guest_send(f);
    loop_run_for(f->loop, 30 * MS);
    assert_int_equal(f->received, 1);
    assert_int_equal(f->sent, 1);
    began = monotonic_ns();
    net_set_limits(f->net, &some);
    fixture_wait(f);
    assert_in_range(monotonic_ns() - began, 90 * SECOND * FRAME / 1000000, LATE);

    net_set_limits(f->net, &standstill);
    f->source = f->ring = 100;
    inner_turn(f);
    guest_send(f);
    loop_run_for(f->loop, 30 * MS);
    assert_in_range(f->source, 98, 100);
    assert_in_range(f->ring, 98, 100);
    net_set_limits(f->net, &nothing);
    fixture_wait(f);
}

/* Its own reasons to wait reach the guest through the limit, and the other way round. */
static void the_back_end_may_close_too(void **state)
{
    const struct net_limits limits = {.in = 1000000000, .out = 1000000000};
    struct fixture *f = *state;

    net_set_limits(f->net, &limits);
    f->inner_closed = true;
    f->ring = 5;
    guest_send(f);
    loop_run_for(f->loop, 5 * MS);
    assert_int_equal(f->sent, 0);
    f->inner_closed = false;
    f->inner.port.sendable(f->inner.port.ctx);
    fixture_wait(f);
    assert_int_equal(f->sent, 5);

    f->deaf = true;
    f->source = 5;
    inner_turn(f);
    loop_run_for(f->loop, 5 * MS);
    assert_int_equal(f->source, 5);
    f->deaf = false;
    net_ready(f->net);
    fixture_wait(f);
    assert_int_equal(f->received, 5);
}

/* A port that never asks. */
static void a_port_without_a_ring(void **state)
{
    const struct net_limits limits = {.in = 1, .out = 1}, nothing = {0};
    struct fixture *f = *state;

    f->net->port.sendable = NULL;
    net_set_limits(f->net, &limits);
    f->ring = 2;
    guest_send(f);
    assert_int_equal(f->ring, 1);
    net_set_limits(f->net, &nothing);
    assert_int_equal(f->sendables, 0);
}

/* Once each, also of frames that waited, and with what the back end lost. */
static void what_is_counted(void **state)
{
    const struct net_limits limits = {.in = 1000000, .out = 1000000};
    struct fixture *f = *state;
    struct net_counters c = net_count(f->net);

    /* Before somebody was there. */
    assert_int_equal(c.lost_in, 3);
    assert_int_equal(c.frames_in + c.bytes_in + c.frames_out + c.bytes_out + c.lost_out, 0);
    net_set_limits(f->net, &limits);
    f->deaf = true;
    f->source = 5;
    inner_turn(f);
    assert_int_equal(net_count(f->net).frames_in, 0);
    f->deaf = false;
    f->ring = 7;
    fixture_run(f);
    f->inner.lost_in += 2;
    f->inner.lost_out += 11;
    c = net_count(f->net);
    assert_int_equal(c.frames_in, 5);
    assert_int_equal(c.bytes_in, 5 * FRAME);
    assert_int_equal(c.lost_in, 3 + 2);
    assert_int_equal(c.frames_out, 7);
    assert_int_equal(c.bytes_out, 7 * FRAME);
    assert_int_equal(c.lost_out, 11);
}

/* Freed with both timers set. */
static void freed_while_frames_wait(void **state)
{
    const struct net_limits limits = {.in = 1, .out = 1};
    struct fixture *f = *state;

    net_set_limits(f->net, &limits);
    f->source = f->ring = 5;
    inner_turn(f);
    guest_send(f);
    assert_int_equal(f->source, 4);
    assert_int_equal(f->ring, 4);
}

#define NET(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET(no_limits),
        NET(frames_in_take_their_time),
        NET(frames_out_take_their_time),
        NET(directions_do_not_share),
        NET(asking_again_does_not_help),
        NET(limits_change_while_frames_wait),
        NET(the_back_end_may_close_too),
        NET(a_port_without_a_ring),
        NET(what_is_counted),
        NET(freed_while_frames_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
