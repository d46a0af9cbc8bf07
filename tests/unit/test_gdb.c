/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine and a debugger that means it no good: packets that nobody would send, answers that
 * nobody reads, connections that end anywhere. The machine must be there afterwards. What packets
 * do when they are meant well is tests/system/test_gdb.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "debug/gdb.h"
#include "debug/packet.h"
#include "device_fixture.h"
#include "machine/machine.h"

/* addi t2, t2, 1; j -4 */
static const uint32_t counts[] = {0x00138393, 0xffdff06f};

struct fixture {
    struct loop *loop;
    struct machine *machine;
    struct gdb *gdb;
    char directory[40], kernel[60], address[60];
    int fd; /* the debugger's end */
    unsigned ends;
    char answer[PACKET_FRAME_MAX];
};

static const struct log silent;

static void on_ended(void *ctx, enum machine_end why, int status)
{
    struct fixture *f = ctx;

    f->ends++;
    gdb_ended(f->gdb, status, 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct machine_description description = {.cpus = 2, .memory = 32 << 20};
    const struct machine_events events = {.ended = on_ended, .ctx = f};
    int fd;

    *state = f;
    f->fd = -1;
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    if (!mkdtemp(f->directory) || loop_new(&f->loop))
        return -1;
    snprintf(f->kernel, sizeof(f->kernel), "%s/kernel", f->directory);
    snprintf(f->address, sizeof(f->address), "unix:%s/gdb", f->directory);
    fd = open(f->kernel, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, counts, sizeof(counts)) != sizeof(counts))
        return -1;
    close(fd);
    description.kernel = f->kernel;
    return machine_new(&f->machine, &description, f->loop, NULL, &events, &silent, NULL) ||
           gdb_new(&f->gdb, f->machine, f->loop, f->address, NULL) ||
           machine_start(f->machine, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->fd >= 0)
        close(f->fd);
    gdb_free(f->gdb);
    machine_free(f->machine);
    loop_free(f->loop);
    unlink(f->kernel);
    if (rmdir(f->directory)) /* the socket file is gone, too */
        return -1;
    free(f);
    return 0;
}

static void debugger_connect(struct fixture *f)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    if (f->fd >= 0)
        close(f->fd);
    f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", f->address + 5);
    /* The one before may have to be noticed first: the queue is short. */
    loop_run_for(f->loop, MS);
    assert_int_equal(connect(f->fd, (struct sockaddr *)&name, sizeof(name)), 0);
    fcntl(f->fd, F_SETFL, O_NONBLOCK);
    loop_run_for(f->loop, MS);
}

/* Writes what the socket takes; returns how much. */
static size_t debugger_write(struct fixture *f, const void *bytes, size_t length)
{
    ssize_t n = send(f->fd, bytes, length, MSG_NOSIGNAL);

    return n < 0 ? 0 : (size_t)n;
}

/* Forgets all that was sent so far; returns how much that was. */
static size_t debugger_drain(struct fixture *f)
{
    char bytes[65536];
    size_t all = 0;
    ssize_t n;

    while ((n = read(f->fd, bytes, sizeof(bytes))) > 0)
        all += (size_t)n;
    return all;
}

/* Asks what has one answer, as a debugger of good faith. */
static void debugger_asks(struct fixture *f, const char *question, const char *expected)
{
    uint64_t end = monotonic_ns() + 5000 * MS;
    size_t length = packet_frame(f->answer, question, strlen(question)), count = 0;

    assert_int_equal(debugger_write(f, f->answer, length), length);
    while (count < strlen(expected) && monotonic_ns() < end) {
        ssize_t n;

        loop_run_for(f->loop, MS);
        n = read(f->fd, f->answer + count, sizeof(f->answer) - 1 - count);
        count += n > 0 ? (size_t)n : 0;
    }
    f->answer[count] = 0;
    assert_string_equal(f->answer, expected);
}

/* ---- packets that nobody would send ---- */

static const char *const pieces[] = {
    "g",
    "G",
    "p",
    "P",
    "m",
    "M",
    "X",
    "Z0,",
    "z0,",
    "Z1,",
    "z1,",
    "Z2,",
    "c",
    "s",
    "C05",
    "S05;",
    "vCont",
    ";c",
    ";s",
    ";C05",
    ";s:1",
    ";c:2",
    ":-1",
    "vCont?",
    "H",
    "Hg",
    "Hc",
    "T",
    "q",
    "qC",
    "?",
    "qfThreadInfo",
    "-1",
    "0",
    "1",
    "2",
    "3",
    "ffffffff",
    "80200000",
    "80200004",
    "40",
    "1140",
    "10000",
    ",",
    ":",
    "=",
    ";",
    "00",
    "qSupported:",
    "qXfer:features:read:",
    "target.xml:",
    "0,ffff",
    "fffffffffffffff0",
    "7fffffffffffffff",
    "ffffffffffffffffff",
    "80200000,1000",
    "80200000,4:",
    "80200ffe,8",
    "qThreadExtraInfo,",
    "vMustReplyEmpty",
    "QStartNoAckMode",
    "0000000000000000",
};

static size_t hostile_packet(char *frame)
{
    char data[PACKET_MAX];
    size_t length = 0;
    unsigned count = 1 + rand() % 6;

    if (rand() % 50 == 0) {
        length = (size_t)(rand() % PACKET_MAX);
        memset(data, '0', length);
        data[0] = length ? 'G' : 0;
    } else {
        for (unsigned i = 0; i < count; i++) {
            const char *piece = pieces[rand() % ARRAY_SIZE(pieces)];

            memcpy(data + length, piece, strlen(piece));
            length += strlen(piece);
        }
    }
    if (length && rand() % 8 == 0)
        data[rand() % length] = (char)rand();
    if (length && (*data == 'k' || *data == 'D'))
        *data = 'g'; /* which do what they say */
    length = packet_frame(frame, data, length);
    if (rand() % 16 == 0)
        frame[rand() % length] = (char)rand();
    return length;
}

static void test_hostile_packets(void **state)
{
    struct fixture *f = *state;
    char *frame = malloc(PACKET_FRAME_MAX);
    size_t heard = 0;

    srand(3);
    for (unsigned i = 0; i < 20000 && !f->ends; i++) {
        size_t length = hostile_packet(frame);

        if (i % 500 == 0)
            debugger_connect(f);
        debugger_write(f, frame, length);
        if (rand() % 4 == 0)
            debugger_write(f, &"\x03+-$#"[rand() % 5], 1);
        if (i % 8 == 0) {
            loop_run_for(f->loop, MS / 4);
            heard += debugger_drain(f);
        }
    }
    free(frame);
    assert_int_equal(f->ends, 0);
    assert_true(heard > 100000);
    debugger_connect(f);
    debugger_asks(f, "qC", "+$QC1#c5");
}

/* ---- answers that nobody reads ---- */

static void test_answers_that_nobody_reads(void **state)
{
    static const char question[] = "$g#67";
    struct fixture *f = *state;
    size_t asked = 0, done = 0, heard = 0, n;

    debugger_connect(f);
    /* Until neither side's socket takes any more. */
    for (unsigned still = 0; still < 20;) {
        n = debugger_write(f, question + done, sizeof(question) - 1 - done);
        done = (done + n) % (sizeof(question) - 1);
        asked += n && !done;
        loop_run_for(f->loop, MS / 10);
        still = n ? 0 : still + 1;
        if (asked > 10000000)
            break;
    }
    assert_in_range(asked, 100, 10000000);
    while (done) { /* the rest of the last one */
        heard += debugger_drain(f);
        n = debugger_write(f, question + done, sizeof(question) - 1 - done);
        done = (done + n) % (sizeof(question) - 1);
        asked += n && !done;
        loop_run_for(f->loop, MS);
    }
    for (uint64_t end = monotonic_ns() + 20000 * MS;
         heard < asked * (1 + 4 + 65 * 16) && monotonic_ns() < end;) {
        loop_run_for(f->loop, MS / 10);
        heard += debugger_drain(f);
    }
    assert_int_equal(heard, asked * (1 + 4 + 65 * 16));
    assert_int_equal(f->ends, 0);
    debugger_asks(f, "qC", "+$QC1#c5");
}

/* And the debugger goes with all of it unread. */
static void test_gone_with_answers_unread(void **state)
{
    struct fixture *f = *state;

    debugger_connect(f);
    for (unsigned i = 0, still = 0; i < 1000000 && still < 20; i++) {
        still = debugger_write(f, "$g#67", 5) ? 0 : still + 1;
        if (i % 100 == 0 || still)
            loop_run_for(f->loop, MS / 10);
    }
    debugger_connect(f);
    debugger_asks(f, "qC", "+$QC1#c5");
}

/* ---- ends ---- */

static void test_ended_with_a_debugger(void **state)
{
    struct fixture *f = *state;
    char answer[16] = "";

    debugger_connect(f);
    debugger_asks(f, "vMustReplyEmpty", "+$#00");
    debugger_write(f, "$c#63", 5);
    loop_run_for(f->loop, 20 * MS);
    machine_stop(f->machine);
    assert_int_equal(f->ends, 1);
    assert_int_equal(read(f->fd, answer, sizeof(answer)), 8);
    assert_string_equal(answer, "+$W00#b7");
    assert_int_equal(read(f->fd, answer, sizeof(answer)), 0);
}

static void test_freed_while_stopped(void **state)
{
    struct fixture *f = *state;

    debugger_connect(f);
    debugger_asks(f, "Z0,80200000,4", "+$OK#9a");
}

/* The loop is not to turn for a debugger that cannot be let in, and lets it in once it can. */
static void test_no_descriptors(void **state)
{
    struct fixture *f = *state;
    struct timespec before, after;
    struct rlimit limit, none;
    int next = dup(0);

    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    /* The debugger's own end is the last one. */
    none = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    debugger_connect(f);
    machine_pause(f->machine);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    loop_run_for(f->loop, 300 * MS);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    machine_resume(f->machine);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                100);
    debugger_asks(f, "Z0,80200000,4", "+$OK#9a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hostile_packets),          TEST(test_answers_that_nobody_reads),
        TEST(test_gone_with_answers_unread), TEST(test_ended_with_a_debugger),
        TEST(test_freed_while_stopped),      TEST(test_no_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
