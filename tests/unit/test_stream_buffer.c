/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer stream: its bound, and who is told when there is room. */
#include <stdlib.h>

#include "device_fixture.h"
#include "stream/stream.h"

struct fixture {
    struct loop *loop;
    struct stream *stream;
    uint8_t got[16];
    size_t got_count;
    size_t takes; /* how many bytes the port takes at once */
    bool writable;
};

static size_t on_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct fixture *f = ctx;
    size_t n = length < f->takes ? length : f->takes;

    memcpy(f->got + f->got_count, data, n);
    f->got_count += n;
    return n;
}

static void on_writable(void *ctx)
{
    ((struct fixture *)ctx)->writable = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct stream_port port = {.receive = on_receive, .writable = on_writable, .ctx = f};

    *state = f;
    if (loop_new(&f->loop) || stream_buffer_new(&f->stream, f->loop, 8))
        return -1;
    stream_attach(f->stream, &port);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stream_free(f->stream);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void test_bound(void **state)
{
    struct fixture *f = *state;
    uint8_t out[16];

    assert_int_equal(stream_write(f->stream, (const uint8_t *)"abcde", 5), 5);
    assert_int_equal(stream_write(f->stream, (const uint8_t *)"fghij", 5), 3);
    assert_int_equal(stream_write(f->stream, (const uint8_t *)"x", 1), 0);
    loop_run_for(f->loop, MS);
    assert_false(f->writable);
    assert_int_equal(stream_buffer_take(f->stream, out, 3), 3);
    assert_memory_equal(out, "abc", 3);
    assert_false(f->writable); /* not from inside */
    assert_true(loop_run_until(f->loop, &f->writable));
    assert_int_equal(stream_write(f->stream, (const uint8_t *)"xyz", 3), 3);
    assert_int_equal(stream_buffer_take(f->stream, out, sizeof(out)), 8);
    assert_memory_equal(out, "defghxyz", 8);
    assert_int_equal(stream_buffer_take(f->stream, out, sizeof(out)), 0);
    f->writable = false;
    loop_run_for(f->loop, MS);
    assert_false(f->writable); /* nothing was refused since */
}

static void test_feed(void **state)
{
    struct fixture *f = *state;
    struct stream_port none = {0};

    f->takes = 2;
    assert_int_equal(stream_buffer_feed(f->stream, (const uint8_t *)"abc", 3), 2);
    assert_int_equal(stream_buffer_feed(f->stream, (const uint8_t *)"c", 1), 1);
    assert_memory_equal(f->got, "abc", 3);
    stream_ready(f->stream);
    stream_attach(f->stream, &none);
    assert_int_equal(stream_buffer_feed(f->stream, (const uint8_t *)"d", 1), 0);
}

/* A call that was promised is not made to a stream that is gone. */
static void test_free_with_call_posted(void **state)
{
    struct fixture *f = *state;
    uint8_t out[16];

    stream_write(f->stream, (const uint8_t *)"0123456789", 10);
    stream_buffer_take(f->stream, out, sizeof(out));
    stream_free(f->stream);
    f->stream = NULL;
    loop_run_for(f->loop, MS);
    assert_false(f->writable);
}

static void test_no_stream(void **state)
{
    /* What is written to no stream is gone, and never refused. */
    assert_int_equal(stream_write(NULL, (const uint8_t *)"abc", 3), 3);
    stream_ready(NULL);
    stream_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bound),
        TEST(test_feed),
        TEST(test_free_with_call_posted),
        cmocka_unit_test(test_no_stream),
    };

    return cmocka_run_group_tests_name("stream_buffer", tests, NULL, NULL);
}
