/* SPDX-License-Identifier: Apache-2.0 */
/* A wire whose other end is the test: what is sent together, what waits, and what is hostile. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "network/net.h"
#include "network/wire.h"

struct rig {
    struct loop *loop;
    struct wire wire;
    struct timer patience;
    int other; /* the test's end */
    unsigned received, sendable, lost;
    uint32_t length; /* of what came last */
    uint64_t total;
    const uint8_t *bytes; /* what everything begins like; NULL: anything */
    uint8_t kind, first;
};

static void on_receive(void *ctx, uint8_t kind, const uint8_t *bytes, uint32_t length)
{
    struct rig *rig = ctx;

    rig->received++;
    rig->kind = kind;
    rig->length = length;
    rig->total += length;
    if (rig->bytes)
        assert_memory_equal(bytes, rig->bytes, length);
    rig->first = length ? bytes[0] : 0;
}

static void on_sendable(void *ctx)
{
    ((struct rig *)ctx)->sendable++;
}

static void on_lost(void *ctx)
{
    ((struct rig *)ctx)->lost++;
}

static void on_tired(void *ctx)
{
    loop_stop(((struct rig *)ctx)->loop, 0);
}

static void turn(struct rig *rig)
{
    timer_set(&rig->patience, monotonic_ns() + 5000000);
    loop_run(rig->loop);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    const struct wire_events events = {on_receive, on_sendable, on_lost, rig};
    int pair[2];

    assert_non_null(rig);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(loop_new(&rig->loop), 0);
    timer_init(&rig->patience, rig->loop, on_tired, rig);
    assert_int_equal(wire_init(&rig->wire, rig->loop, pair[0], &events), 0);
    rig->other = pair[1];
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    wire_release(&rig->wire);
    if (rig->other >= 0)
        close(rig->other);
    loop_free(rig->loop);
    free(rig);
    return 0;
}

/* A message, as the test's end sends it. */
static size_t put(uint8_t *to, unsigned kind, uint32_t says, uint32_t length)
{
    uint32_t header = kind << 24 | says;

    memcpy(to, &header, sizeof(header));
    memset(to + sizeof(header), (int)kind, length);
    return sizeof(header) + length;
}

static void messages_arrive_whole(void **state)
{
    static const uint32_t lengths[] = {0, 1, 60, 1514, 9000, 60000, NET_FRAME_MAX, 5};
    struct rig *rig = *state, *far = calloc(1, sizeof(*far));
    const struct wire_events events = {on_receive, on_sendable, on_lost, far};
    uint8_t *bytes = malloc(NET_FRAME_MAX + 1);

    assert_true(bytes && far);
    for (unsigned i = 0; i <= NET_FRAME_MAX; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    assert_int_equal(wire_init(&far->wire, rig->loop, rig->other, &events), 0);
    rig->other = -1;
    far->bytes = bytes;
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++)
        assert_true(wire_send(&rig->wire, (uint8_t)i, bytes, lengths[i]));
    /* Longer than any frame: nobody waits for it, and nobody gets it. */
    assert_true(wire_send(&rig->wire, 9, bytes, NET_FRAME_MAX + 1));
    turn(rig);
    assert_int_equal(far->received, ARRAY_SIZE(lengths));
    assert_int_equal(far->kind, ARRAY_SIZE(lengths) - 1);
    assert_int_equal(far->total, 0 + 1 + 60 + 1514 + 9000 + 60000 + NET_FRAME_MAX + 5);
    /* And many, in packets. */
    for (unsigned i = 0; i < 200; i++)
        assert_true(wire_send(&rig->wire, 1, bytes, 60));
    turn(rig);
    assert_int_equal(far->received, ARRAY_SIZE(lengths) + 200);
    wire_release(&far->wire);
    free(bytes);
    free(far);
}

/* Nothing is lost and nothing overtakes. */
static void full_socket_makes_the_sender_wait(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[1500] = {0}, *got = malloc(1 << 17);
    unsigned sent = 0, read = 0;

    assert_non_null(got);
    while (sent < 100000) {
        memcpy(bytes, &sent, sizeof(sent));
        if (!wire_send(&rig->wire, 1, bytes, sizeof(bytes)))
            break;
        sent++;
    }
    assert_in_range(sent, WIRE_BATCH, 99999);
    assert_false(wire_can_send(&rig->wire));
    turn(rig);
    assert_int_equal(rig->sendable, 0);
    for (unsigned rounds = 0; read < sent && rounds < 1000; rounds++) {
        ssize_t n = recv(rig->other, got, 1 << 17, MSG_DONTWAIT);

        for (ssize_t at = 0; at < n; at += 1504, read++)
            assert_memory_equal(got + at + 4, &read, sizeof(read));
        turn(rig);
    }
    assert_int_equal(read, sent);
    assert_int_equal(rig->sendable, 1);
    assert_true(wire_can_send(&rig->wire));
    free(got);
}

static void muted_wire_reads_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t packet[4];

    put(packet, 3, 0, 0);
    wire_set_muted(&rig->wire, true);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(send(rig->other, packet, 4, MSG_DONTWAIT), 4);
    turn(rig);
    assert_int_equal(rig->received, 0);
    wire_set_muted(&rig->wire, false);
    turn(rig);
    assert_int_equal(rig->received, 20);
    assert_int_equal(rig->length, 0);
}

/* Told once, muted or not, and after what was said before. */
static void end_of_the_other_is_told(void **state)
{
    struct rig *rig = *state;
    uint8_t byte = 3, packet[4];

    put(packet, 3, 0, 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(send(rig->other, packet, 4, MSG_DONTWAIT), 4);
    close(rig->other);
    rig->other = -1;
    /* Found out while sending: not told from inside. */
    for (unsigned i = 0; i < 100; i++)
        assert_true(wire_send(&rig->wire, 1, &byte, 1));
    assert_int_equal(rig->lost, 0);
    turn(rig);
    assert_int_equal(rig->received, 20);
    assert_int_equal(rig->lost, 1);
    assert_true(wire_can_send(&rig->wire) && wire_send(&rig->wire, 1, &byte, 1));
    turn(rig);
    assert_int_equal(rig->lost, 1);
}

static void end_is_told_to_a_muted_wire(void **state)
{
    struct rig *rig = *state;

    wire_set_muted(&rig->wire, true);
    close(rig->other);
    rig->other = -1;
    turn(rig);
    assert_int_equal(rig->lost, 1);
}

/* Too long, of no kind that there is, with descriptors that nobody wants, and nothing at all. */
static void hostile_messages(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes = calloc(1, NET_FRAME_MAX + 5);
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {bytes, 10};
    const struct msghdr message = {.msg_iov = &part,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof(control)};
    int next = dup(0);

    size_t at = 0;

    assert_non_null(bytes);
    close(next);
    /* Longer than any packet; too short to be one; says more than it has. */
    assert_int_equal(send(rig->other, bytes, NET_FRAME_MAX + 5, 0), NET_FRAME_MAX + 5);
    assert_int_equal(send(rig->other, bytes, 3, 0), 3);
    put(bytes, 1, 0xffffff, 60);
    assert_int_equal(send(rig->other, bytes, 64, 0), 64);
    put(bytes, 1, 61, 60);
    assert_int_equal(send(rig->other, bytes, 64, 0), 64);
    turn(rig);
    assert_int_equal(rig->received, 0);
    /* What is good in front of it counts, and more than a batch does not. */
    at = put(bytes, 7, 8, 8);
    at += put(bytes + at, 8, 9, 8);
    assert_int_equal(send(rig->other, bytes, at, 0), at);
    turn(rig);
    assert_int_equal(rig->received, 1);
    assert_int_equal(rig->kind, 7);
    assert_int_equal(rig->first, 7);
    for (at = 0; at < 10000; at += 4)
        put(bytes + at, 2, 0, 0);
    assert_int_equal(send(rig->other, bytes, at, 0), at);
    turn(rig);
    assert_int_equal(rig->received, 1 + WIRE_BATCH);
    memcpy(CMSG_DATA(&control.header), &rig->other, sizeof(int));
    put(bytes, 255, 6, 6);
    assert_int_equal(sendmsg(rig->other, &message, 0), 10);
    turn(rig);
    assert_int_equal(rig->received, 2 + WIRE_BATCH);
    assert_int_equal(rig->kind, 255);
    assert_int_equal(dup(0), next); /* nothing new is open */
    close(next);
    assert_int_equal(send(rig->other, bytes, 0, 0), 0);
    turn(rig);
    assert_int_equal(rig->lost, 1);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_arrive_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(full_socket_makes_the_sender_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(muted_wire_reads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_the_other_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(end_is_told_to_a_muted_wire, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_messages, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
