/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of one network, all on one loop, with guests of a few frames: who hears what, who is told
 * of whom, and what becomes of a port that is slow, gone or dead.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "network/packet.h"
#include "network/segment.h"
#include "network/service.h"
#include "network/switch.h"

#define NS_PER_MS 1000000u
/* How long nothing must come, and how long something may take. */
enum { QUIET_MS = 50, PATIENCE_MS = 20000 };

static const uint8_t all_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct fixture;

struct guest {
    struct fixture *fixture;
    struct net *net;
    uint8_t mac[6];
    bool deaf;
    unsigned heard; /* of experiment's frames */
    uint32_t first, last, previous;
    bool disorder;
    unsigned answers; /* others */
    uint32_t length;  /* of the last of those */
    uint8_t answer[2048];
};

struct fixture {
    struct loop *loop;
    struct timer patience;
    struct guest *awaited; /* until it heard so many */
    unsigned wanted;
    char root[32], path[64], log[256];
    struct guest guests[4];
};

/* An EtherType for experiments (IEEE 802, local experimental EtherType 1). */
enum { EXPERIMENT = 0x88b5 };

static bool guest_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct guest *guest = ctx;
    struct fixture *f = guest->fixture;

    if (guest->deaf)
        return false;
    assert_true(length >= 14);
    if (load_be16(frame + 12) == EXPERIMENT) {
        guest->last = load_be32(frame + 14);
        if (!guest->heard++)
            guest->first = guest->last;
        else
            guest->disorder |= guest->last <= guest->previous;
        guest->previous = guest->last;
    } else {
        guest->answers++;
        guest->length = length;
        memcpy(guest->answer, frame, length < sizeof(guest->answer) ? length : 2048);
    }
    if (f->awaited == guest && guest->heard + guest->answers >= f->wanted)
        loop_stop(f->loop, 1);
    return true;
}

static void on_tired(void *ctx)
{
    struct fixture *f = ctx;

    loop_stop(f->loop, 0);
}

static void on_word(void *ctx, enum log_level level, const char *text)
{
    struct fixture *f = ctx;

    snprintf(f->log, sizeof(f->log), "%s", text);
}

static void guest_open(struct fixture *f, unsigned number, const char *name, unsigned index)
{
    struct guest *guest = &f->guests[number];
    const struct log log = {.sink = on_word, .ctx = f};
    struct net_switch_options options = {.directory = f->path,
                                         .machine = name,
                                         .index = index,
                                         .mac = {0x52, 0x54, 0, 0, 0, (uint8_t)(number + 1)}};
    struct error error = ERROR_INIT;

    *guest = (struct guest){.fixture = f};
    memcpy(guest->mac, options.mac, 6);
    if (net_switch_new(&guest->net, f->loop, &options, &log, &error))
        fail_msg("%s", error.message);
    net_attach(guest->net, &(struct net_port){.receive = guest_receive, .ctx = guest});
}

static void run_ms(struct fixture *f, unsigned ms)
{
    timer_set(&f->patience, monotonic_ns() + (uint64_t)ms * NS_PER_MS);
    loop_run(f->loop);
    timer_cancel(&f->patience);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || loop_new(&f->loop))
        return -1;
    strcpy(f->root, "/tmp/hospes-test-XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/.net/lab", f->root);
    timer_init(&f->patience, f->loop, on_tired, f);
    guest_open(f, 0, "one", 0);
    guest_open(f, 1, "Two", 0);
    guest_open(f, 2, "three", 0);
    /* The first ones hear of the others. */
    run_ms(f, QUIET_MS);
    *state = f;
    return 0;
}

static void guest_close(struct guest *guest)
{
    net_free(guest->net);
    guest->net = NULL;
}

/* Nothing is left of the network. */
static int teardown(void **state)
{
    struct fixture *f = *state;
    int r;

    for (unsigned i = 0; i < ARRAY_SIZE(f->guests); i++)
        guest_close(&f->guests[i]);
    timer_cancel(&f->patience);
    loop_free(f->loop);
    r = rmdir(f->root);
    free(f);
    return r;
}

/* Until a guest heard so many, then until nothing more comes. */
static void await(struct fixture *f, unsigned guest, unsigned count)
{
    f->awaited = &f->guests[guest];
    f->wanted = count;
    if (f->awaited->heard + f->awaited->answers < count)
        run_ms(f, PATIENCE_MS);
    f->awaited = NULL;
    run_ms(f, QUIET_MS);
    assert_int_equal(f->guests[guest].heard + f->guests[guest].answers, count);
}

static void send_bytes(struct guest *guest, const uint8_t *frame, uint32_t length)
{
    /* In pieces, as a guest may have it. */
    struct iovec iov[] = {{(void *)frame, 7}, {(void *)(frame + 7), length - 7}};

    net_send(guest->net, iov, 2, length);
}

static void send_sized(struct guest *guest, const uint8_t to[6], uint32_t number, uint32_t length)
{
    static uint8_t frame[NET_FRAME_MAX];

    memcpy(frame, to, 6);
    memcpy(frame + 6, guest->mac, 6);
    store_be16(frame + 12, EXPERIMENT);
    store_be32(frame + 14, number);
    send_bytes(guest, frame, length);
}

static void send_number(struct guest *guest, const uint8_t to[6], uint32_t number)
{
    send_sized(guest, to, number, 60);
}

static void check_heard(struct fixture *f, unsigned one, unsigned two, unsigned three)
{
    assert_int_equal(f->guests[0].heard, one);
    assert_int_equal(f->guests[1].heard, two);
    assert_int_equal(f->guests[2].heard, three);
}

static void test_all_and_one(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;

    /* Where "Two" is nobody knows, so all hear it; then its answer tells. */
    send_number(&g[0], g[1].mac, 1);
    await(f, 1, 1);
    check_heard(f, 0, 1, 1);
    send_number(&g[1], g[0].mac, 2);
    await(f, 0, 1);
    check_heard(f, 1, 1, 1);
    send_number(&g[0], g[1].mac, 3);
    await(f, 1, 2);
    check_heard(f, 1, 2, 1);
    send_number(&g[0], all_mac, 4);
    await(f, 2, 2);
    check_heard(f, 1, 3, 2);
    send_number(&g[0], (const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 5);
    await(f, 2, 3);
    check_heard(f, 1, 4, 3);
    assert_int_equal(net_switch_counters(g[0].net).sent, 4);
    assert_int_equal(net_switch_counters(g[0].net).received, 1);
}

static void test_sizes(void **state)
{
    static const uint32_t good[] = {18, 60, 1514, 9014, NET_FRAME_MAX};
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
        send_sized(&f->guests[0], all_mac, i, good[i]);
        await(f, 1, i + 1);
    }
    send_sized(&f->guests[0], all_mac, 9, 13);
    run_ms(f, QUIET_MS);
    check_heard(f, 0, 5, 5);
}

static void test_addresses_that_are_made_up(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    uint8_t mine[6];

    send_number(&g[0], all_mac, 1);
    await(f, 1, 1);
    memcpy(mine, g[2].mac, 6);
    for (unsigned i = 0; i < 5000; i++) {
        g[2].mac[1] = 2;
        store_be32(g[2].mac + 2, i);
        send_number(&g[2], g[1].mac, 2);
        if (i % 100 == 0)
            run_ms(f, 1);
    }
    memcpy(g[2].mac, mine, 6);
    run_ms(f, QUIET_MS);
    g[0].heard = g[1].heard = g[2].heard = 0;
    /* "Two" knows where "one" is all the same. */
    send_number(&g[1], g[0].mac, 3);
    await(f, 0, 1);
    check_heard(f, 1, 0, 0);
}

/* None of a group, none of the network's own, and not the own one: that is told once. */
static void test_wrong_sources(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;

    memcpy(g[0].mac, (const uint8_t[]){0x53, 0, 0, 0, 0, 1}, 6);
    send_number(&g[0], all_mac, 1);
    memcpy(g[0].mac, service_mac, 6);
    send_number(&g[0], all_mac, 1);
    run_ms(f, QUIET_MS);
    check_heard(f, 0, 0, 0);
    assert_string_equal(f->log, "");
    memcpy(g[0].mac, g[1].mac, 6);
    send_number(&g[0], all_mac, 1);
    run_ms(f, QUIET_MS);
    check_heard(f, 0, 0, 1);
    assert_non_null(strstr(f->log, "another interface in network \"lab\" has the Ethernet"));
    assert_int_equal(net_switch_counters(g[1].net).wrong, 3);
    f->log[0] = 0;
    send_number(&g[0], all_mac, 1);
    run_ms(f, QUIET_MS);
    assert_string_equal(f->log, "");
}

/* A receiver that takes nothing holds up nobody; what was kept for it comes in order. */
static void test_slow_receiver(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    uint64_t lost;

    g[1].deaf = true;
    for (unsigned i = 1; i <= 2000; i++) {
        send_number(&g[0], all_mac, i);
        if (i % 4 == 0)
            run_ms(f, 1);
    }
    run_ms(f, QUIET_MS);
    assert_int_equal(g[2].heard, 2000);
    assert_false(g[2].disorder);
    lost = g[0].net->lost_out;
    assert_true(lost > 1000 && lost < 2000);
    g[1].deaf = false;
    net_ready(g[1].net);
    /* Nothing overtakes what still waits. */
    for (unsigned i = 2001; i <= 2010; i++) {
        run_ms(f, 0);
        send_number(&g[0], all_mac, i);
    }
    lost = g[0].net->lost_out;
    await(f, 1, 2010 - (unsigned)lost);
    assert_int_equal(g[1].first, 1);
    assert_false(g[1].disorder);
    /* And then as before. */
    send_number(&g[0], all_mac, 2011);
    await(f, 1, 2011 - (unsigned)lost);
    assert_int_equal(g[1].last, 2011);
}

/* Bounded in bytes too, each time anew. */
static void test_slow_receiver_of_long_frames(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    unsigned sent = 0;

    for (unsigned round = 1; round <= 4; round++) {
        unsigned heard = g[1].heard;

        g[1].deaf = g[2].deaf = true;
        for (unsigned i = 0; i < 100; i++)
            send_sized(&g[0], all_mac, ++sent, NET_FRAME_MAX);
        run_ms(f, QUIET_MS);
        g[1].deaf = g[2].deaf = false;
        net_ready(g[1].net);
        net_ready(g[2].net);
        run_ms(f, QUIET_MS);
        /* What is kept, and what the sockets hold beside. */
        heard = g[1].heard - heard;
        assert_in_range(heard, SWITCH_PEER_BYTES / NET_FRAME_MAX, 50);
        assert_int_equal(g[1].heard + g[2].heard + g[0].net->lost_out, 2 * sent);
    }
}

/* One that goes while frames wait for it takes them along. */
static void test_slow_receiver_that_goes(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;

    g[1].deaf = true;
    for (unsigned i = 1; i <= 100; i++)
        send_number(&g[0], all_mac, i);
    guest_close(&g[1]);
    await(f, 2, 100);
    send_number(&g[0], all_mac, 101);
    await(f, 2, 101);
    assert_false(g[2].disorder);
}

static void test_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;

    guest_open(f, 3, "late", 0);
    run_ms(f, QUIET_MS);
    send_number(&g[0], all_mac, 1);
    await(f, 3, 1);
    send_number(&g[3], all_mac, 1);
    await(f, 0, 1);
    guest_close(&g[3]);
    run_ms(f, QUIET_MS);
    /* What was known to be there is not any more: all hear it. */
    send_number(&g[0], (const uint8_t[]){0x52, 0x54, 0, 0, 0, 4}, 2);
    await(f, 2, 3);
    check_heard(f, 1, 3, 3);
    /* Nor is it known to be at whoever has its place. */
    guest_open(f, 3, "later", 0);
    run_ms(f, QUIET_MS);
    send_number(&g[0], (const uint8_t[]){0x52, 0x54, 0, 0, 0, 4}, 3);
    await(f, 2, 4);
    check_heard(f, 1, 4, 4);
}

static void kill_segment(struct segment *segment)
{
    close(segment->socket);
    close(segment->directory);
    free(segment->path);
}

/* As if it had been killed: its socket is closed and its file is there. */
static void test_dead(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    struct segment dead;
    char file[96];

    assert_int_equal(segment_join(&dead, f->path, SEGMENT_PORT, "dead", 0, NULL), 0);
    snprintf(file, sizeof(file), "%s/port.0.dead", f->path);
    run_ms(f, QUIET_MS);
    kill_segment(&dead);
    send_number(&g[0], all_mac, 1);
    await(f, 1, 1);
    assert_int_equal(access(file, F_OK), -1);
}

/* Its file may have the inode's number that the dead one's had. */
static void test_killed_and_started_again(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    struct segment dead;

    for (unsigned i = 1; i <= 20; i++) {
        assert_int_equal(segment_join(&dead, f->path, SEGMENT_PORT, "again", 0, NULL), 0);
        if (i % 2)
            run_ms(f, QUIET_MS);
        kill_segment(&dead);
        guest_open(f, 3, "again", 0);
        run_ms(f, QUIET_MS);
        send_number(&g[0], all_mac, i);
        await(f, 3, 1);
        guest_close(&g[3]);
    }
    assert_int_equal(g[1].heard, 20);
}

/* The death is noticed by a frame, and the successor without one. */
static void test_successor_is_found(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    struct segment dead;

    assert_int_equal(segment_join(&dead, f->path, SEGMENT_PORT, "again", 0, NULL), 0);
    run_ms(f, QUIET_MS);
    kill_segment(&dead);
    guest_open(f, 3, "again", 0);
    /* Before anybody looked. */
    send_number(&g[0], all_mac, 1);
    run_ms(f, QUIET_MS);
    send_number(&g[0], all_mac, 2);
    run_ms(f, QUIET_MS);
    assert_int_equal(g[3].last, 2);
}

/* A copy of each frame and of each answer, and nothing of what a listener sends. */
static void test_listener(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    static uint8_t frame[NET_FRAME_MAX];
    struct segment_members members;
    struct segment ear;
    uint64_t sender;
    int fd;

    assert_int_equal(segment_join(&ear, f->path, SEGMENT_LISTENER, "capture", 1, NULL), 0);
    run_ms(f, QUIET_MS);
    send_number(&g[0], all_mac, 1);
    await(f, 1, 1);
    send_number(&g[1], g[0].mac, 2);
    await(f, 0, 1);
    assert_int_equal(segment_receive(&ear, frame, &sender), 60);
    assert_int_equal(load_be32(frame + 14), 1);
    assert_int_equal(segment_receive(&ear, frame, &sender), 60);
    assert_int_equal(load_be32(frame + 14), 2);
    assert_int_equal(segment_receive(&ear, frame, &sender), -EAGAIN);

    assert_int_equal(segment_list(&ear, &members), 0);
    fd = segment_connect(&ear, &members.members[0]);
    memset(frame, 2, 60);
    assert_int_equal(segment_send(&ear, fd, frame, 60), 0);
    run_ms(f, QUIET_MS);
    assert_int_equal(g[0].answers + g[1].answers + g[2].answers, 0);
    close(fd);
    segment_leave(&ear);
}

/* ---- the network's own address ---- */

static uint32_t subnet_of(struct fixture *f)
{
    struct segment_view view;

    assert_int_equal(segment_look(f->path, &view), 0);
    return view.leases.subnet;
}

static uint32_t address_of(struct fixture *f, const char *name, unsigned index)
{
    struct segment_view view;

    assert_int_equal(segment_look(f->path, &view), 0);
    return view.leases.subnet | lease_find(&view.leases, name, index);
}

/* Asks for an A record; returns the address, or minus the RCODE. */
static int64_t resolve(struct fixture *f, unsigned number, const char *name)
{
    struct guest *guest = &f->guests[number];
    uint8_t frame[128] = {0}, *dns = frame + 42;
    uint32_t at = 12, subnet = subnet_of(f);
    size_t length = strlen(name);

    memcpy(frame, service_mac, 6);
    memcpy(frame + 6, guest->mac, 6);
    store_be16(frame + 12, 0x0800);
    dns[5] = 1;
    dns[at++] = (uint8_t)length;
    memcpy(dns + at, name, length);
    at += (uint32_t)length;
    memcpy(dns + at, "\0\0\1\0\1", 5);
    at += 5;
    frame[14] = 0x45;
    frame[23] = 17;
    store_be16(frame + 16, (uint16_t)(28 + at));
    store_be32(frame + 30, subnet | 1);
    store_be16(frame + 36, 53);
    store_be16(frame + 38, (uint16_t)(8 + at));
    send_bytes(guest, frame, 42 + at);
    await(f, number, guest->heard + guest->answers + 1);
    if (guest->answer[45] & 15)
        return -(guest->answer[45] & 15);
    return load_be32(guest->answer + guest->length - 4);
}

static void test_names(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(resolve(f, 0, "three"), address_of(f, "three", 0));
    assert_int_equal(resolve(f, 0, "TWO"), address_of(f, "Two", 0));
    assert_int_equal(resolve(f, 0, "one"), address_of(f, "one", 0));
    assert_int_equal(resolve(f, 0, "four"), -3);
    guest_open(f, 3, "four", 2);
    run_ms(f, QUIET_MS);
    assert_int_equal(resolve(f, 0, "four"), address_of(f, "four", 2));
    guest_close(&f->guests[3]);
    run_ms(f, QUIET_MS);
    assert_int_equal(resolve(f, 0, "four"), -3);
    /* Nobody heard of it but who asked. */
    assert_int_equal(f->guests[1].answers + f->guests[2].answers, 0);
    check_heard(f, 0, 0, 0);
}

static void test_first_interface_of_a_name(void **state)
{
    struct fixture *f = *state;

    guest_open(f, 3, "three", 1);
    run_ms(f, QUIET_MS);
    assert_int_equal(resolve(f, 0, "three"), address_of(f, "three", 0));
    assert_int_equal(resolve(f, 3, "three"), address_of(f, "three", 0));
    guest_close(&f->guests[2]);
    run_ms(f, QUIET_MS);
    assert_int_equal(resolve(f, 0, "three"), address_of(f, "three", 1));
}

/* Answers come when the guest has room, and are bounded while it has none. */
static void test_answers_wait(void **state)
{
    struct fixture *f = *state;
    struct guest *g = f->guests;
    uint8_t frame[42] = {0};

    memcpy(frame, all_mac, 6);
    memcpy(frame + 6, g[0].mac, 6);
    memcpy(frame + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
    memcpy(frame + 22, g[0].mac, 6);
    store_be32(frame + 38, subnet_of(f) | 1);
    g[0].deaf = true;
    for (unsigned i = 0; i < 300; i++)
        send_bytes(&g[0], frame, sizeof(frame));
    send_number(&g[1], all_mac, 7);
    run_ms(f, QUIET_MS);
    assert_int_equal(g[0].net->lost_in, 300 - 256);
    assert_int_equal(g[0].net->lost_out, 0);
    g[0].deaf = false;
    net_ready(g[0].net);
    await(f, 0, 257);
    assert_int_equal(g[0].answers, 256);
    assert_int_equal(g[1].answers, 0);
}

static void test_twin(void **state)
{
    struct fixture *f = *state;
    const struct net_switch_options options = {.directory = f->path, .machine = "one"};
    struct net *net;

    assert_int_equal(net_switch_new(&net, f->loop, &options, NULL, NULL), -EADDRINUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_and_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses_that_are_made_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_receiver, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_receiver_of_long_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_receiver_that_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_and_started_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_successor_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listener, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_interface_of_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_twin, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
