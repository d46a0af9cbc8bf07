/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of a socket as a stream's host end: one or many, who come and go, do not read, end their
 * sending, or are gone before the guest has taken what they sent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "device_fixture.h"
#include "stream/stream.h"

#define LIMIT 1000000u

struct fixture {
    struct loop *loop;
    struct stream *stream;
    char directory[40];
    char path[64], log[64];
    /* The port's side. */
    uint8_t got[LIMIT];
    size_t got_count;
    size_t takes; /* how many bytes the port takes until it is full */
    unsigned writables;
    unsigned opens, closes;
};

static size_t on_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct fixture *f = ctx;
    size_t n = length < f->takes ? length : f->takes;

    assert_true(f->got_count + n <= LIMIT);
    memcpy(f->got + f->got_count, data, n);
    f->got_count += n;
    f->takes -= n;
    return n;
}

static void on_writable(void *ctx)
{
    ((struct fixture *)ctx)->writables++;
}

static void on_opened(void *ctx, bool open)
{
    struct fixture *f = ctx;

    assert_int_equal(open, f->opens == f->closes);
    assert_int_equal(f->stream->vacant, !open);
    if (open)
        f->opens++;
    else
        f->closes++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    *state = f;
    f->takes = LIMIT;
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/socket", f->directory);
    snprintf(f->log, sizeof(f->log), "%s/log", f->directory);
    return loop_new(&f->loop);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stream_free(f->stream);
    loop_free(f->loop);
    unlink(f->path);
    unlink(f->log);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static void start(struct fixture *f, const struct stream_socket_options *options)
{
    int listener = unix_socket_listen(f->path, 64);

    assert_true(listener >= 0);
    assert_int_equal(stream_socket_new(&f->stream, f->loop, listener, options, NULL), 0);
    stream_attach(f->stream, &(struct stream_port){.receive = on_receive,
                                                   .writable = on_writable,
                                                   .opened = on_opened,
                                                   .ctx = f});
    assert_true(f->stream->vacant);
}

static void start_shared(struct fixture *f)
{
    start(f, &(struct stream_socket_options){.shared = true});
}

static void start_single(struct fixture *f)
{
    start(f, &(struct stream_socket_options){.shared = false});
}

static void turn(struct fixture *f)
{
    loop_run_for(f->loop, MS);
}

/* A client, which does not block. */
static int client_new(struct fixture *f)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    strcpy(name.sun_path, f->path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
    turn(f);
    return fd;
}

static void client_say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static size_t guest_say(struct fixture *f, const char *text)
{
    return stream_write(f->stream, (const uint8_t *)text, strlen(text));
}

/* Exactly the text is there to read, and then nothing, or the end. */
static void expect_read(struct fixture *f, int fd, const char *text, bool end)
{
    char data[256] = {0};
    size_t count = 0;
    ssize_t n = 1;

    for (unsigned i = 0; i < 5; i++)
        turn(f);
    while (count < sizeof(data) - 1 &&
           (n = recv(fd, data + count, sizeof(data) - 1 - count, 0)) > 0)
        count += (size_t)n;
    assert_string_equal(data, text);
    assert_int_equal(n, end ? 0 : -1);
}

/* Reads on while the loop runs, until the end or until nothing more comes; the bytes are `pattern`
 * from `from` on. Returns how many. */
static size_t read_all(struct fixture *f, int fd, size_t from, bool *end)
{
    uint8_t data[4096];
    size_t count = 0;
    unsigned idle = 0;
    ssize_t n = -1;

    *end = false;
    while (idle < 20) {
        n = recv(fd, data, sizeof(data), 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            *end = true;
            break;
        }
        if (n < 0) {
            turn(f);
            idle++;
            continue;
        }
        idle = 0;
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(data[i], (uint8_t)((from + count + (size_t)i) * 7 % 251));
        count += (size_t)n;
    }
    return count;
}

/* The guest writes `pattern` from `from` on; returns how much was taken. */
static size_t write_pattern(struct fixture *f, size_t from, size_t length)
{
    uint8_t data[1000];
    size_t done = 0;

    while (done < length) {
        size_t n = length - done < sizeof(data) ? length - done : sizeof(data), taken;

        for (size_t i = 0; i < n; i++)
            data[i] = (uint8_t)((from + done + i) * 7 % 251);
        taken = stream_write(f->stream, data, n);
        done += taken;
        if (taken < n)
            break;
    }
    return done;
}

static void expect_got(struct fixture *f, const char *text)
{
    uint64_t end = monotonic_ns() + 5000 * MS;

    while (f->got_count < strlen(text) && monotonic_ns() < end)
        turn(f);
    assert_int_equal(f->got_count, strlen(text));
    assert_memory_equal(f->got, text, strlen(text));
    f->got_count = 0;
}

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* ---- many clients ---- */

static void all_hear_and_any_speaks(void **state)
{
    struct fixture *f = *state;
    int a, b;

    start_shared(f);
    assert_int_equal(guest_say(f, "nobody hears"), 12);
    a = client_new(f);
    b = client_new(f);
    assert_int_equal(f->opens, 1);
    assert_int_equal(guest_say(f, "hello\n"), 6);
    expect_read(f, a, "hello\n", false);
    expect_read(f, b, "hello\n", false);
    client_say(a, "from a,");
    expect_got(f, "from a,");
    client_say(b, "from b");
    expect_got(f, "from b");
    close(a);
    turn(f);
    assert_int_equal(f->closes, 0);
    assert_int_equal(guest_say(f, "more"), 4);
    expect_read(f, b, "more", false);
    close(b);
    turn(f);
    assert_int_equal(f->closes, 1);
    assert_int_equal(guest_say(f, "nobody hears"), 12);
    assert_int_equal(f->writables, 0);
}

static void one_too_many(void **state)
{
    struct fixture *f = *state;
    int clients[STREAM_SOCKET_CLIENTS + 1];

    start_shared(f);
    for (unsigned i = 0; i <= STREAM_SOCKET_CLIENTS; i++)
        clients[i] = client_new(f);
    assert_int_equal(guest_say(f, "x"), 1);
    for (unsigned i = 0; i <= STREAM_SOCKET_CLIENTS; i++)
        expect_read(f, clients[i], i < STREAM_SOCKET_CLIENTS ? "x" : "",
                    i == STREAM_SOCKET_CLIENTS);
    /* There is room again. */
    close(clients[3]);
    turn(f);
    close(clients[STREAM_SOCKET_CLIENTS]);
    clients[3] = client_new(f);
    assert_int_equal(guest_say(f, "y"), 1);
    for (unsigned i = 0; i < STREAM_SOCKET_CLIENTS; i++) {
        expect_read(f, clients[i], "y", false);
        close(clients[i]);
    }
}

static void history(void **state)
{
    struct fixture *f = *state;
    size_t length = 300001, got;
    bool end;
    int a;

    start(f, &(struct stream_socket_options){.shared = true, .history = 10});
    a = client_new(f);
    expect_read(f, a, "", false);
    assert_int_equal(guest_say(f, "0123456"), 7);
    expect_read(f, a, "0123456", false);
    close(a);
    turn(f);
    a = client_new(f);
    expect_read(f, a, "0123456", false);
    close(a);
    turn(f);
    assert_int_equal(guest_say(f, "789abcdef"), 9);
    a = client_new(f);
    expect_read(f, a, "6789abcdef", false);
    close(a);
    stream_free(f->stream);
    unlink(f->path);
    f->opens = f->closes = 0;

    /* More than a socket takes at once, and more than is kept for a client beside it. */
    start(f, &(struct stream_socket_options){.shared = true, .history = 250000});
    assert_int_equal(write_pattern(f, 0, length), length);
    a = client_new(f);
    assert_int_equal(write_pattern(f, length, 50000), 50000);
    got = read_all(f, a, length - 250000, &end);
    assert_int_equal(got, 300000);
    assert_false(end);
    close(a);
}

/* One who does not read is closed once the bound is reached; the guest and others do not notice. */
static void does_not_read(void **state)
{
    struct fixture *f = *state;
    size_t total = 0, length = 5000, got = 0;
    int lazy, good;
    bool end;

    start_shared(f);
    lazy = client_new(f);
    good = client_new(f);
    while (total < 2000000) {
        assert_int_equal(write_pattern(f, total, length), length);
        total += length;
        turn(f);
        if (!(total % 50000)) {
            size_t n = read_all(f, good, got, &end);

            assert_false(end);
            got += n;
        }
    }
    got += read_all(f, good, got, &end);
    assert_int_equal(got, total);
    /* What the socket took (its buffer) is there, and then it ends: well before all of it. */
    got = read_all(f, lazy, 0, &end);
    assert_true(end);
    assert_true(got > 1000 && got < 1000000);
    assert_int_equal(f->writables, 0);
    assert_int_equal(f->closes, 0);
    close(lazy);
    close(good);
}

/* A burst while the loop is busy does not cost the client that reads. */
static void burst(void **state)
{
    struct fixture *f = *state;
    int a;
    bool end;

    start_shared(f);
    a = client_new(f);
    assert_int_equal(write_pattern(f, 0, 150000), 150000);
    assert_int_equal(read_all(f, a, 0, &end), 150000);
    assert_false(end);
    close(a);
}

/* ---- one client ---- */

static void others_wait(void **state)
{
    struct fixture *f = *state;
    int a, b;

    start_single(f);
    assert_int_equal(guest_say(f, "dropped"), 7);
    a = client_new(f);
    b = client_new(f);
    assert_int_equal(f->opens, 1);
    client_say(b, "b waits");
    assert_int_equal(guest_say(f, "to a"), 4);
    expect_read(f, a, "to a", false);
    expect_read(f, b, "", false);
    client_say(a, "a speaks");
    expect_got(f, "a speaks");
    assert_int_equal(f->closes, 0);
    close(a);
    expect_got(f, "b waits");
    assert_int_equal(f->opens, 2);
    assert_int_equal(f->closes, 1);
    expect_read(f, b, "", false);
    assert_int_equal(guest_say(f, "to b"), 4);
    expect_read(f, b, "to b", false);
    close(b);
    turn(f);
    assert_int_equal(f->closes, 2);
}

/* Back pressure to the guest, and its end: by reading, and by going away. */
static void holds_the_guest_back(void **state)
{
    struct fixture *f = *state;
    size_t total = 0, got, n;
    bool end;
    int a;

    start_single(f);
    a = client_new(f);
    do {
        n = write_pattern(f, total, 100000);
        total += n;
        turn(f);
    } while (n);
    assert_true(total > 65536 && total < 1000000);
    assert_int_equal(write_pattern(f, total, 1), 0);
    turn(f);
    f->writables = 0;
    turn(f);
    assert_int_equal(f->writables, 0);
    got = read_all(f, a, 0, &end);
    assert_int_equal(got, total);
    assert_int_equal(f->writables, 1);
    assert_int_equal(write_pattern(f, total, 1000), 1000);
    assert_int_equal(read_all(f, a, total, &end), 1000);

    while (write_pattern(f, 0, 100000))
        turn(f);
    f->writables = 0;
    close(a);
    for (unsigned i = 0; i < 5; i++)
        turn(f);
    assert_int_equal(f->writables, 1);
    assert_int_equal(f->closes, 1);
    assert_int_equal(write_pattern(f, 0, 1000000), 1000000);
    /* Nothing of it is for the next one. */
    a = client_new(f);
    expect_read(f, a, "", false);
    close(a);
}

/* ---- input ---- */

/* While the guest takes nothing, what is sent waits in the socket, and no more than that. */
static void guest_does_not_take(void **state)
{
    struct fixture *f = *state;
    size_t sent = 0, waits;
    uint8_t data[1000];
    ssize_t n;
    int a;

    f->takes = 0;
    start_single(f);
    a = client_new(f);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    while ((n = send(a, data, sizeof(data), MSG_NOSIGNAL)) > 0 && sent < 2 * LIMIT) {
        sent += (size_t)n;
        turn(f);
    }
    assert_int_equal(n, -1);
    assert_true(sent < LIMIT);
    waits = sent;
    /* It takes a few, more, then all, as its buffers come. */
    for (size_t takes = 1; f->got_count < waits && takes < LIMIT; takes *= 2) {
        f->takes = takes;
        stream_ready(f->stream);
        for (unsigned i = 0; i < 50; i++)
            turn(f);
    }
    assert_int_equal(f->got_count, sent);
    for (size_t i = 0; i < sent; i++)
        assert_int_equal(f->got[i], (uint8_t)(i % sizeof(data)));
    close(a);
}

/* Gone before the guest has taken all: it gets the rest, and only then the port closes. */
static void sent_and_gone(void **state)
{
    struct fixture *f = *state;
    int a;

    f->takes = 2;
    start_single(f);
    a = client_new(f);
    client_say(a, "last words");
    close(a);
    for (unsigned i = 0; i < 10; i++)
        turn(f);
    assert_int_equal(f->got_count, 2);
    assert_int_equal(f->closes, 0);
    f->takes = LIMIT;
    stream_ready(f->stream);
    expect_got(f, "last words");
    turn(f);
    assert_int_equal(f->closes, 1);
}

/* The same when there is more than is read at once, and with a guest that writes meanwhile. */
static void sent_much_and_gone(void **state)
{
    struct fixture *f = *state;
    size_t sent = 0;
    uint8_t data[1000] = {0};
    int a;

    start_single(f);
    a = client_new(f);
    f->takes = 0;
    while (sent < 50000) {
        assert_int_equal(send(a, data, sizeof(data), MSG_NOSIGNAL), sizeof(data));
        sent += sizeof(data);
    }
    turn(f);
    close(a);
    for (unsigned i = 0; i < 200 && f->got_count < sent; i++) {
        assert_int_equal(guest_say(f, "x"), 1);
        f->takes = 1000;
        stream_ready(f->stream);
        assert_int_equal(f->closes, 0);
        turn(f);
    }
    assert_int_equal(f->got_count, sent);
    turn(f);
    assert_int_equal(f->closes, 1);
}

/* The guest does not take it: given up after a while, so that others get their turn. */
static void nobody_takes_last_words(void **state)
{
    struct fixture *f = *state;
    uint64_t begin = monotonic_ns();
    int a, b;

    f->takes = 0;
    start_single(f);
    a = client_new(f);
    b = client_new(f);
    client_say(a, "for nobody");
    turn(f);
    close(a);
    client_say(b, "next");
    while (!f->closes && monotonic_ns() < begin + 10000 * MS)
        loop_run_for(f->loop, 50 * MS);
    assert_int_equal(f->closes, 1);
    assert_true(monotonic_ns() > begin + 1000 * MS);
    f->takes = LIMIT;
    stream_ready(f->stream);
    expect_got(f, "next");
    close(b);
}

/* What one end of file means: no more from there, but it still listens. */
static void ends_its_sending(void **state)
{
    struct fixture *f = *state;
    unsigned turns = 0;
    int a;

    start_single(f);
    a = client_new(f);
    client_say(a, "question");
    assert_int_equal(shutdown(a, SHUT_WR), 0);
    expect_got(f, "question");
    assert_int_equal(guest_say(f, "answer"), 6);
    expect_read(f, a, "answer", false);
    assert_int_equal(f->closes, 0);
    close(a);
    turn(f);
    assert_int_equal(f->closes, 1);

    /* The other way round: it only speaks. */
    a = client_new(f);
    assert_int_equal(shutdown(a, SHUT_RD), 0);
    assert_int_equal(guest_say(f, "unheard"), 7);
    turn(f);
    client_say(a, "still here");
    expect_got(f, "still here");
    while (write_pattern(f, 0, 50000) == 50000 && turns++ < 50)
        turn(f);
    assert_true(turns >= 50);
    close(a);
    turn(f);
    assert_int_equal(f->closes, 2);
}

static void no_busy_loop(void *ctx)
{
    ++*(unsigned *)ctx;
}

/* A client that hung up, with bytes that nobody takes, does not keep the loop from sleeping. */
static void sleeps(void **state)
{
    struct fixture *f = *state;
    struct rusage before, after;
    unsigned ran = 0;
    struct timer timer;
    int a, b;
    long used;

    f->takes = 1;
    start_shared(f);
    a = client_new(f);
    b = client_new(f);
    client_say(a, "xyz");
    turn(f);
    close(a);
    shutdown(b, SHUT_WR);
    turn(f);
    timer_init(&timer, f->loop, no_busy_loop, &ran);
    timer_set(&timer, monotonic_ns() + 300 * MS);
    getrusage(RUSAGE_SELF, &before);
    loop_run_for(f->loop, 600 * MS);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(ran, 1);
    used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
           before.ru_utime.tv_usec + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
           after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    assert_true(used < 200000);
    close(b);
}

/* ---- the log ---- */

static size_t log_size(struct fixture *f)
{
    FILE *file = fopen(f->log, "r");
    size_t count = 0;
    int c;

    assert_non_null(file);
    while ((c = getc(file)) != EOF) {
        assert_int_equal(c, (uint8_t)(count * 7 % 251));
        count++;
    }
    fclose(file);
    return count;
}

static void logs(void **state)
{
    struct fixture *f = *state;
    struct rotate *log;
    size_t total = 0;

    assert_int_equal(rotate_open(&log, f->log, 1 << 20, NULL, NULL), 0);
    start(f, &(struct stream_socket_options){.shared = true, .log = log});
    total += write_pattern(f, total, 1000);
    assert_int_equal(total, 1000);
    turn(f);
    assert_int_equal(log_size(f), total);
    /* Nothing is lost when the loop does not come round to it. */
    while (total < 300000) {
        size_t n = write_pattern(f, total, 100000);

        assert_true(n >= 65536);
        total += n;
        f->writables = 0;
        turn(f);
        assert_int_equal(f->writables, n < 100000);
    }
    assert_int_equal(log_size(f), total);
    total += write_pattern(f, total, 5000);
    stream_free(f->stream);
    f->stream = NULL;
    assert_int_equal(log_size(f), total);
}

/* ---- coming and going ---- */

static void thousands(void **state)
{
    struct fixture *f = *state;
    unsigned before;
    bool shared = true;

    for (unsigned round = 0; round < 2; round++, shared = false) {
        f->opens = f->closes = 0;
        start(f, &(struct stream_socket_options){.shared = shared, .history = 100});
        loop_run_for(f->loop, MS);
        before = open_descriptors();
        for (unsigned i = 0; i < 1500; i++) {
            int a = client_new(f), b = i % 3 ? -1 : client_new(f);

            if (i & 1)
                client_say(a, "hello");
            assert_int_equal(guest_say(f, "hello to you"), 12);
            if (i & 2)
                turn(f);
            close(a);
            if (b >= 0)
                close(b);
            f->got_count = 0;
        }
        for (unsigned i = 0; i < 20; i++)
            turn(f);
        assert_int_equal(open_descriptors(), before);
        assert_int_equal(f->opens, f->closes);
        assert_true(f->stream->vacant);
        assert_true(f->opens >= 1000);
        stream_free(f->stream);
        f->stream = NULL;
        unlink(f->path);
    }
}

/* Without a descriptor for a client the loop waits, and takes it later. */
static void no_descriptors(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, small;
    uint64_t begin;
    int a;

    start_shared(f);
    turn(f);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    a = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    small = limit;
    small.rlim_cur = (rlim_t)a + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    {
        struct sockaddr_un name = {.sun_family = AF_UNIX};

        strcpy(name.sun_path, f->path);
        assert_int_equal(connect(a, (const struct sockaddr *)&name, sizeof(name)), 0);
    }
    for (unsigned i = 0; i < 5; i++)
        turn(f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(f->opens, 0);
    begin = monotonic_ns();
    while (!f->opens && monotonic_ns() < begin + 5000 * MS)
        loop_run_for(f->loop, 20 * MS);
    assert_int_equal(f->opens, 1);
    close(a);
}

/* ---- threads ---- */

struct writer {
    struct fixture *f;
    size_t total;
    _Atomic bool done;
};

static void *writer_run(void *arg)
{
    struct writer *writer = arg;
    size_t done = 0;

    while (done < writer->total) {
        size_t n = writer->total - done < 700 ? writer->total - done : 700;

        done += write_pattern(writer->f, done, n);
    }
    atomic_store(&writer->done, true);
    return NULL;
}

static void another_thread_writes(void **state)
{
    struct fixture *f = *state;
    struct writer writer = {.f = f, .total = 3000000};
    pthread_t thread;
    size_t got = 0;
    bool end = false;
    int a;

    start_single(f);
    a = client_new(f);
    assert_int_equal(pthread_create(&thread, NULL, writer_run, &writer), 0);
    while (!end && got < writer.total)
        got += read_all(f, a, got, &end);
    pthread_join(thread, NULL);
    assert_int_equal(got, writer.total);
    close(a);
}

/* Reads a piece; whatever the client missed before it came, from then on it misses nothing. */
static bool read_in_order(int fd, int *next)
{
    uint8_t data[4096];
    ssize_t n = recv(fd, data, sizeof(data), 0);

    for (ssize_t i = 0; i < n; i++) {
        if (*next >= 0)
            assert_int_equal(data[i], *next);
        *next = (data[i] + 7) % 251;
    }
    return n > 0;
}

/* Clients come and go, read and do not, while a thread writes. */
static void threads_and_clients(void **state)
{
    struct fixture *f = *state;
    struct writer writer = {.f = f, .total = 20000000};
    pthread_t thread;
    int clients[4] = {-1, -1, -1, -1}, next[4];
    unsigned seed = 1, reads = 0;

    start(f, &(struct stream_socket_options){.shared = true, .history = 1000});
    assert_int_equal(pthread_create(&thread, NULL, writer_run, &writer), 0);
    for (unsigned i = 0; i < 300 || !atomic_load(&writer.done); i++) {
        int *client = &clients[i % 4];

        seed = seed * 1103515245 + 12345;
        if (*client < 0) {
            *client = client_new(f);
            next[i % 4] = -1;
        }
        for (unsigned j = seed >> 16 & 15; j && read_in_order(*client, &next[i % 4]); j--)
            reads++;
        if (!(seed >> 20 & 7)) {
            close(*client);
            *client = -1;
        }
    }
    pthread_join(thread, NULL);
    assert_true(reads > 100);
    for (unsigned i = 0; i < 4; i++)
        if (clients[i] >= 0)
            close(clients[i]);
}

/* The end: what clients take at once is theirs. */
static void farewell(void **state)
{
    struct fixture *f = *state;
    char data[20] = {0};
    int a;

    start_shared(f);
    a = client_new(f);
    assert_int_equal(guest_say(f, "good bye"), 8);
    stream_free(f->stream);
    f->stream = NULL;
    assert_int_equal(recv(a, data, sizeof(data), 0), 8);
    assert_string_equal(data, "good bye");
    assert_int_equal(recv(a, data, sizeof(data), 0), 0);
    close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_hear_and_any_speaks, setup, teardown),
        cmocka_unit_test_setup_teardown(one_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(history, setup, teardown),
        cmocka_unit_test_setup_teardown(does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(burst, setup, teardown),
        cmocka_unit_test_setup_teardown(others_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_the_guest_back, setup, teardown),
        cmocka_unit_test_setup_teardown(guest_does_not_take, setup, teardown),
        cmocka_unit_test_setup_teardown(sent_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(sent_much_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_takes_last_words, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_its_sending, setup, teardown),
        cmocka_unit_test_setup_teardown(sleeps, setup, teardown),
        cmocka_unit_test_setup_teardown(logs, setup, teardown),
        cmocka_unit_test_setup_teardown(thousands, setup, teardown),
        cmocka_unit_test_setup_teardown(no_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(another_thread_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_and_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(farewell, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
