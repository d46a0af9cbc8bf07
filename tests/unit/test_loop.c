/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: file descriptors, posted calls and timers, from its own thread and from others.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "device_fixture.h"

#define GUARD_MS 5000

struct fixture {
    struct loop *loop;
    struct timer guard; /* ends a run that hangs, with result -1 */
    char order[64];
    unsigned count;
};

static void on_guard(void *ctx)
{
    loop_stop(((struct fixture *)ctx)->loop, -1);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (loop_new(&f->loop))
        return -1;
    timer_init(&f->guard, f->loop, on_guard, f);
    timer_set(&f->guard, monotonic_ns() + GUARD_MS * MS);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    free(f);
    return 0;
}

/* A call or timer that leaves its letter and does one thing more. */
struct item {
    struct fixture *f;
    char letter;
    struct deferred call;
    struct timer timer;
    struct item *post;   /* posts this one */
    struct item *unpost; /* takes this one back */
    struct item *cancel;
    bool stop;
    uint64_t again_ns; /* sets its timer so much later, once */
};

static void item_run(void *ctx)
{
    struct item *item = ctx;
    struct fixture *f = item->f;

    assert_true(loop_is_current(f->loop));
    assert_true(f->count < sizeof(f->order) - 1);
    f->order[f->count++] = item->letter;
    if (item->post)
        loop_post(f->loop, &item->post->call);
    if (item->unpost)
        loop_unpost(f->loop, &item->unpost->call);
    if (item->cancel)
        timer_cancel(&item->cancel->timer);
    if (item->again_ns) {
        timer_set(&item->timer, monotonic_ns() + item->again_ns);
        item->again_ns = 0;
    }
    if (item->stop)
        loop_stop(f->loop, 7);
}

static void item_init(struct item *item, struct fixture *f, char letter)
{
    *item = (struct item){.f = f, .letter = letter};
    deferred_init(&item->call, item_run, item);
    timer_init(&item->timer, f->loop, item_run, item);
}

static void test_stop(void **state)
{
    struct fixture *f = *state;

    /* Also before the run. */
    loop_stop(f->loop, 42);
    assert_int_equal(loop_run(f->loop), 42);
    loop_stop(f->loop, 0);
    assert_int_equal(loop_run(f->loop), 0);
    assert_false(loop_is_current(f->loop));
}

static void test_posted_in_order(void **state)
{
    struct fixture *f = *state;
    struct item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    c.stop = true;
    loop_post(f->loop, &b.call);
    loop_post(f->loop, &a.call);
    loop_post(f->loop, &b.call); /* still queued: no second run */
    loop_post(f->loop, &c.call);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "bac");
}

/* A call posted while another one is still queued must wake the loop by itself. */
static void test_posted_while_running(void **state)
{
    struct fixture *f = *state;
    struct item a, b, c;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    a.post = &c;
    c.stop = true;
    loop_post(f->loop, &a.call);
    loop_post(f->loop, &b.call);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "abc");
}

static void test_post_itself(void **state)
{
    struct fixture *f = *state;
    struct item a, b;

    /* A call that posts itself for ever leaves the others their turn. */
    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    a.post = &a;
    b.stop = true;
    loop_post(f->loop, &a.call);
    timer_set(&b.timer, 0);
    assert_int_equal(loop_run(f->loop), 7);
    assert_non_null(strchr(f->order, 'b'));
    loop_unpost(f->loop, &a.call);
}

static void test_unpost(void **state)
{
    struct fixture *f = *state;
    struct item a, b, c, d;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_init(&d, f, 'd');
    a.unpost = &c; /* the last of this turn */
    d.stop = true;
    loop_post(f->loop, &d.call);
    loop_unpost(f->loop, &d.call); /* the only one */
    loop_unpost(f->loop, &d.call); /* not posted: nothing */
    loop_post(f->loop, &a.call);
    loop_post(f->loop, &b.call);
    loop_post(f->loop, &c.call);
    timer_set(&d.timer, monotonic_ns() + 200 * MS);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "abd");
    /* And the list is whole: it can be posted to again. */
    loop_post(f->loop, &c.call);
    loop_post(f->loop, &d.call);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "abdcd");
}

static void test_timers_in_order(void **state)
{
    struct fixture *f = *state;
    uint64_t now = monotonic_ns();
    struct item items[20];
    static const unsigned places[20] = {7,  3, 19, 0,  11, 5,  2,  17, 13, 9,
                                        15, 1, 18, 12, 4,  16, 10, 6,  14, 8};

    for (unsigned i = 0; i < 20; i++) {
        item_init(&items[i], f, (char)('a' + places[i]));
        timer_set(&items[i].timer, now + MS + places[i] * MS / 10);
        items[i].stop = places[i] == 19;
    }
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "abcdefghijklmnopqrst");
    assert_true(monotonic_ns() >= now + MS + 19 * MS / 10);
}

static void test_timer_moves(void **state)
{
    struct fixture *f = *state;
    uint64_t now = monotonic_ns();
    struct item a, b, c, end;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&c, f, 'c');
    item_init(&end, f, '.');
    end.stop = true;
    timer_set(&a.timer, now + MS);
    timer_set(&b.timer, now + 1000000 * MS);
    timer_set(&c.timer, now + 2 * MS);
    timer_set(&end.timer, now + 20 * MS);
    timer_set(&a.timer, now + 10 * MS); /* later */
    timer_set(&b.timer, now + 5 * MS);  /* earlier */
    timer_cancel(&c.timer);
    timer_cancel(&c.timer);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "ba.");
}

static void test_timer_callbacks_change_timers(void **state)
{
    struct fixture *f = *state;
    uint64_t now = monotonic_ns();
    struct item a, b, end;

    item_init(&a, f, 'a');
    item_init(&b, f, 'b');
    item_init(&end, f, '.');
    a.cancel = &b;
    a.again_ns = 2 * MS;
    end.stop = true;
    timer_set(&a.timer, 1); /* long past: at once */
    timer_set(&b.timer, 2);
    timer_set(&end.timer, now + 300 * MS);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, "aa.");
}

static void test_timer_never(void **state)
{
    struct fixture *f = *state;
    struct item a, end;

    item_init(&a, f, 'a');
    item_init(&end, f, '.');
    end.stop = true;
    timer_set(&a.timer, UINT64_MAX);
    timer_set(&end.timer, monotonic_ns() + 5 * MS);
    assert_int_equal(loop_run(f->loop), 7);
    assert_string_equal(f->order, ".");
    timer_cancel(&a.timer);
}

enum { CROWD = 300 };

struct crowd {
    struct loop *loop;
    struct timer timers[CROWD];
    uint64_t deadlines[CROWD]; /* 0: not set */
    uint64_t last;
    unsigned left;
};

struct member {
    struct crowd *crowd;
    unsigned number;
};

static void on_member(void *ctx)
{
    struct member *member = ctx;
    struct crowd *crowd = member->crowd;
    uint64_t deadline = crowd->deadlines[member->number];

    assert_true(deadline); /* it was not cancelled, and did not fire before */
    assert_true(deadline >= crowd->last);
    assert_true(monotonic_ns() >= deadline);
    crowd->last = deadline;
    crowd->deadlines[member->number] = 0;
    if (!--crowd->left)
        loop_stop(crowd->loop, 7);
}

/* Timers set, moved and cancelled at random fire once each, in order. */
static void test_timers_random(void **state)
{
    static struct crowd crowd;
    static struct member members[CROWD];
    struct fixture *f = *state;
    uint64_t base = monotonic_ns() + 300 * MS;
    uint32_t seed = 12345;

    crowd.loop = f->loop;
    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct member){&crowd, i};
        timer_init(&crowd.timers[i], f->loop, on_member, &members[i]);
    }
    for (unsigned i = 0; i < 20000; i++) {
        unsigned n;

        seed = seed * 1664525 + 1013904223;
        n = (seed >> 8) % CROWD;
        if (seed >> 30) {
            crowd.deadlines[n] = base + seed % (20 * MS);
            timer_set(&crowd.timers[n], crowd.deadlines[n]);
        } else {
            crowd.deadlines[n] = 0;
            timer_cancel(&crowd.timers[n]);
        }
    }
    for (unsigned i = 0; i < CROWD; i++)
        crowd.left += crowd.deadlines[i] != 0;
    assert_in_range(crowd.left, 100, CROWD - 1);
    assert_int_equal(loop_run(f->loop), 7);
}

/* ---- file descriptors ---- */

struct ears {
    struct fixture *f;
    struct loop *loop;
    int remove; /* removes this fd too */
    bool stop, heard;
    unsigned count;
};

static void on_ready(void *ctx, int fd, uint32_t events)
{
    struct ears *ears = ctx;
    char byte;

    ears->heard = true;
    ears->count++;
    assert_true(events & (EPOLLIN | EPOLLHUP));
    assert_int_equal(read(fd, &byte, 1), 1);
    if (ears->remove >= 0)
        loop_remove_fd(ears->loop, ears->remove);
    if (ears->stop)
        loop_stop(ears->loop, 7);
}

static void test_fd(void **state)
{
    struct fixture *f = *state;
    struct ears ears = {.loop = f->loop, .remove = -1, .stop = true};
    int p[2];

    assert_int_equal(pipe(p), 0);
    assert_int_equal(loop_add_fd(f->loop, p[0], EPOLLIN, on_ready, &ears), 0);
    assert_int_equal(loop_add_fd(f->loop, p[0], EPOLLIN, on_ready, &ears), -EEXIST);
    assert_int_equal(loop_add_fd(f->loop, 9999, EPOLLIN, on_ready, &ears), -EBADF);
    assert_int_equal(loop_set_fd(f->loop, p[1], EPOLLIN), -ENOENT);
    assert_int_equal(write(p[1], "abc", 3), 3);
    assert_int_equal(loop_run(f->loop), 7);
    assert_int_equal(loop_run(f->loop), 7); /* level-triggered */
    assert_int_equal(ears.count, 2);
    assert_int_equal(loop_set_fd(f->loop, p[0], 0), 0);
    loop_run_for(f->loop, 2 * MS);
    assert_int_equal(ears.count, 2);
    assert_int_equal(loop_set_fd(f->loop, p[0], EPOLLIN), 0);
    assert_int_equal(loop_run(f->loop), 7);
    assert_int_equal(ears.count, 3);
    loop_remove_fd(f->loop, p[0]);
    loop_remove_fd(f->loop, p[0]);
    assert_int_equal(write(p[1], "d", 1), 1);
    loop_run_for(f->loop, 2 * MS);
    assert_int_equal(ears.count, 3);
    close(p[0]);
    close(p[1]);
}

/* Of two fds that are ready in the same turn the first removes the other and itself. */
static void test_fd_removes_another(void **state)
{
    struct fixture *f = *state;
    int a[2], b[2];
    struct ears ears_a, ears_b;

    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    ears_a = (struct ears){.loop = f->loop, .remove = b[0]};
    ears_b = (struct ears){.loop = f->loop, .remove = a[0]};
    assert_int_equal(loop_add_fd(f->loop, a[0], EPOLLIN, on_ready, &ears_a), 0);
    assert_int_equal(loop_add_fd(f->loop, b[0], EPOLLIN, on_ready, &ears_b), 0);
    assert_int_equal(write(a[1], "a", 1), 1);
    assert_int_equal(write(b[1], "b", 1), 1);
    loop_run_for(f->loop, 5 * MS);
    assert_int_equal(ears_a.count + ears_b.count, 1);
    loop_remove_fd(f->loop, a[0]);
    loop_remove_fd(f->loop, b[0]);
    close(a[0]);
    close(a[1]);
    close(b[0]);
    close(b[1]);
}

/* ---- other threads ---- */

struct other {
    struct fixture *f;
    struct deferred calls[2];
    _Atomic unsigned ran[2];
    struct timer timer;
    unsigned rounds;
};

static void on_call_0(void *ctx)
{
    ((struct other *)ctx)->ran[0]++;
}

static void on_call_1(void *ctx)
{
    ((struct other *)ctx)->ran[1]++;
}

/* Posts and waits until it ran: one lost wake and this never ends. */
static void *other_body(void *arg)
{
    struct other *other = arg;

    assert_false(loop_is_current(other->f->loop));
    for (unsigned i = 0; i < other->rounds; i++) {
        unsigned before = other->ran[i & 1];

        loop_post(other->f->loop, &other->calls[i & 1]);
        while (other->ran[i & 1] == before)
            sched_yield();
    }
    timer_set(&other->timer, monotonic_ns());
    return NULL;
}

static void test_other_threads(void **state)
{
    enum { THREADS = 3 };
    struct fixture *f = *state;
    static struct other others[THREADS];
    pthread_t threads[THREADS];
    unsigned total = 0;

    memset(others, 0, sizeof(others));
    for (unsigned i = 0; i < THREADS; i++) {
        others[i].f = f;
        others[i].rounds = 2000;
        deferred_init(&others[i].calls[0], on_call_0, &others[i]);
        deferred_init(&others[i].calls[1], on_call_1, &others[i]);
        timer_init(&others[i].timer, f->loop, fixture_stop, f->loop);
        assert_int_equal(thread_start(&threads[i], "other", other_body, &others[i]), 0);
    }
    while (total < THREADS * 2000) {
        assert_int_equal(loop_run(f->loop), 0); /* not the guard */
        total = 0;
        for (unsigned i = 0; i < THREADS; i++)
            total += others[i].ran[0] + others[i].ran[1];
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* No polling tick: an idle loop costs nothing. */
static void test_idle(void **state)
{
    struct fixture *f = *state;
    struct timespec before, after;
    uint64_t used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    loop_run_for(f->loop, 300 * MS);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    used = (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000 +
           (uint64_t)(after.tv_nsec - before.tv_nsec);
    assert_true(used < 20 * MS);
}

static void test_free_nothing(void **state)
{
    loop_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stop),
        TEST(test_posted_in_order),
        TEST(test_posted_while_running),
        TEST(test_post_itself),
        TEST(test_unpost),
        TEST(test_timers_in_order),
        TEST(test_timer_moves),
        TEST(test_timer_callbacks_change_timers),
        TEST(test_timer_never),
        TEST(test_timers_random),
        TEST(test_fd),
        TEST(test_fd_removes_another),
        TEST(test_other_threads),
        TEST(test_idle),
        cmocka_unit_test(test_free_nothing),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
