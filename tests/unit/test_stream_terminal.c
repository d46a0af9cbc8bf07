/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal stream over a pseudo-terminal, pipes, files and sockets: raw mode and its end, the
 * escape commands, back-pressure both ways, and that what is shared with others is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "device_fixture.h"
#include "stream/stream.h"

#define LIMIT 300000

struct fixture {
    struct loop *loop;
    struct stream *stream;
    /* The port's side. */
    uint8_t got[LIMIT];
    size_t got_count;
    size_t takes; /* how many bytes the port takes until it is full */
    bool writable;
    unsigned columns, rows;
    /* The user's commands. */
    bool quit, help, proceed, engine;
};

static size_t on_receive(void *ctx, const uint8_t *data, size_t length)
{
    struct fixture *f = ctx;
    size_t n = length < f->takes ? length : f->takes;

    memcpy(f->got + f->got_count, data, n);
    f->got_count += n;
    f->takes -= n;
    return n;
}

static void on_resize(void *ctx, uint16_t columns, uint16_t rows)
{
    struct fixture *f = ctx;

    f->columns = columns;
    f->rows = rows;
}

static void on_writable(void *ctx)
{
    ((struct fixture *)ctx)->writable = true;
}

static void on_quit(void *ctx)
{
    ((struct fixture *)ctx)->quit = true;
}

static void on_help(void *ctx)
{
    ((struct fixture *)ctx)->help = true;
}

static void on_proceed(void *ctx)
{
    ((struct fixture *)ctx)->proceed = true;
}

static void on_engine(void *ctx)
{
    ((struct fixture *)ctx)->engine = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    f->takes = LIMIT;
    return loop_new(&f->loop);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stream_free(f->stream);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void start(struct fixture *f, int in, int out, unsigned char escape)
{
    struct terminal_commands commands = {
        .quit = on_quit, .help = on_help, .proceed = on_proceed, .engine = on_engine, .ctx = f};
    struct stream_port port = {.receive = on_receive,
                               .resize = on_resize,
                               .writable = on_writable,
                               .ctx = f};

    assert_int_equal(stream_terminal_new(&f->stream, f->loop, in, out, escape, &commands, NULL), 0);
    stream_attach(f->stream, &port);
}

/* Runs until the port has `count` bytes, at most five seconds. */
static void expect_count(struct fixture *f, size_t count)
{
    uint64_t end = monotonic_ns() + 5000 * MS;

    while (f->got_count < count && monotonic_ns() < end)
        loop_run_for(f->loop, MS);
    assert_int_equal(f->got_count, count);
}

static void expect_got(struct fixture *f, const char *text)
{
    expect_count(f, strlen(text));
    assert_memory_equal(f->got, text, strlen(text));
    f->got_count = 0;
}

static void send_text(struct fixture *f, const char *text)
{
    assert_int_equal(stream_write(f->stream, (const uint8_t *)text, strlen(text)), strlen(text));
}

/* Reads exactly the text from the far end while the loop runs. */
static void expect_read(struct fixture *f, int fd, const char *text)
{
    uint64_t end = monotonic_ns() + 5000 * MS;
    char data[256] = {0};
    size_t count = 0, length = strlen(text);

    assert_true(length < sizeof(data));
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    while (count < length && monotonic_ns() < end) {
        ssize_t n;

        loop_run_for(f->loop, MS);
        n = read(fd, data + count, sizeof(data) - 1 - count);
        if (n > 0)
            count += (size_t)n;
    }
    assert_string_equal(data, text);
}

/* Not by memcmp(): the struct has bytes that nobody sets. */
static void expect_same(const struct termios *a, const struct termios *b)
{
    assert_int_equal(a->c_iflag, b->c_iflag);
    assert_int_equal(a->c_oflag, b->c_oflag);
    assert_int_equal(a->c_cflag, b->c_cflag);
    assert_int_equal(a->c_lflag, b->c_lflag);
    for (unsigned i = 0; i <= VEOL2; i++)
        assert_int_equal(a->c_cc[i], b->c_cc[i]);
}

static void type(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void pty_open(int *master, int *slave)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(*master >= 0);
    assert_int_equal(grantpt(*master), 0);
    assert_int_equal(unlockpt(*master), 0);
    *slave = open(ptsname(*master), O_RDWR | O_NOCTTY);
    assert_true(*slave >= 0);
}

static void test_pty(void **state)
{
    struct fixture *f = *state;
    struct termios before, now;
    int master, slave;

    pty_open(&master, &slave);
    assert_int_equal(tcgetattr(slave, &before), 0);
    assert_true(before.c_lflag & ICANON);
    start(f, slave, slave, 0x01);
    assert_int_equal(tcgetattr(slave, &now), 0);
    assert_false(now.c_lflag & (ICANON | ECHO | ISIG));
    assert_false(now.c_oflag & OPOST);
    /* Nothing that the shell sees was changed. */
    assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);

    type(master, "ls\r\x03\x04\x1a");
    expect_got(f, "ls\r\x03\x04\x1a");
    send_text(f, "one\ntwo\r\n\xff");
    expect_read(f, master, "one\ntwo\r\n\xff");

    stream_terminal_restore(f->stream);
    assert_int_equal(tcgetattr(slave, &now), 0);
    expect_same(&now, &before);
    stream_terminal_continued(f->stream);
    assert_int_equal(tcgetattr(slave, &now), 0);
    assert_false(now.c_lflag & (ICANON | ECHO | ISIG));
    stream_free(f->stream);
    f->stream = NULL;
    assert_int_equal(tcgetattr(slave, &now), 0);
    expect_same(&now, &before);
    assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);
    close(slave);
    close(master);
}

static void test_escape(void **state)
{
    struct fixture *f = *state;
    int master, slave;

    pty_open(&master, &slave);
    start(f, slave, slave, 0x01);
    type(master, "a\x01"
                 "hb\x01"
                 "ac\x01\x01"
                 "d\x01"
                 "ze\x01"
                 "e\x01"
                 "c");
    expect_got(f, "ab\x01"
                  "c\x01"
                  "de");
    assert_true(loop_run_until(f->loop, &f->proceed));
    assert_true(f->help);
    assert_true(f->engine);
    assert_false(f->quit);
    /* The command may come in two pieces. */
    type(master, "\x01");
    loop_run_for(f->loop, 5 * MS);
    assert_int_equal(f->got_count, 0);
    type(master, "x");
    assert_true(loop_run_until(f->loop, &f->quit));
    assert_int_equal(f->got_count, 0);
    close(slave);
    close(master);
}

static void test_no_escape(void **state)
{
    struct fixture *f = *state;
    int master, slave;

    pty_open(&master, &slave);
    start(f, slave, slave, 0);
    type(master, "\x01x");
    expect_got(f, "\x01x");
    assert_false(f->quit);
    close(slave);
    close(master);
}

static void test_size(void **state)
{
    struct fixture *f = *state;
    struct winsize size = {.ws_col = 123, .ws_row = 45};
    int master, slave;

    pty_open(&master, &slave);
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    start(f, slave, slave, 0x01);
    stream_terminal_resized(f->stream);
    assert_int_equal(f->columns, 123);
    assert_int_equal(f->rows, 45);
    close(slave);
    close(master);
}

/* Nobody reads the terminal: the output waits up to a bound, the loop goes on, and the port hears
 * when there is room. */
static void test_slow_output(void **state)
{
    static uint8_t pattern[LIMIT], got[LIMIT];
    struct fixture *f = *state;
    size_t written = 0, count = 0;
    int master, slave;
    uint64_t end;

    for (size_t i = 0; i < LIMIT; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    pty_open(&master, &slave);
    start(f, slave, slave, 0x01);
    for (;;) {
        size_t n = stream_write(f->stream, pattern + written, 1000);

        written += n;
        assert_true(written < LIMIT - 1000); /* bounded */
        loop_run_for(f->loop, MS / 10);
        if (n < 1000)
            break;
    }
    loop_run_for(f->loop, 20 * MS);
    assert_false(f->writable);
    type(master, "\x01x");
    assert_true(loop_run_until(f->loop, &f->quit));

    assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    end = monotonic_ns() + 5000 * MS;
    while (count < written && monotonic_ns() < end) {
        ssize_t n;

        loop_run_for(f->loop, MS / 10);
        n = read(master, got + count, LIMIT - count);
        if (n > 0)
            count += (size_t)n;
    }
    assert_int_equal(count, written);
    assert_memory_equal(got, pattern, written);
    assert_true(f->writable);
    close(slave);
    close(master);
}

/* A guest that takes nothing: a paste waits as long as it takes some now and then... */
static void test_slow_guest(void **state)
{
    struct fixture *f = *state;
    size_t typed = 0;
    int master, slave;
    uint64_t end;

    pty_open(&master, &slave);
    start(f, slave, slave, 0x01);
    f->takes = 0;
    assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    end = monotonic_ns() + 10000 * MS;
    while (f->got_count < 20000 && monotonic_ns() < end) {
        if (typed < 20000) {
            char data[500];
            ssize_t n;

            for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (char)('a' + (typed + i) % 26);
            n = write(master, data, sizeof(data) < 20000 - typed ? sizeof(data) : 20000 - typed);
            if (n > 0)
                typed += (size_t)n;
        }
        f->takes = 64;
        stream_ready(f->stream);
        loop_run_for(f->loop, MS / 10);
    }
    assert_int_equal(f->got_count, 20000);
    for (size_t i = 0; i < 20000; i++)
        assert_int_equal(f->got[i], 'a' + i % 26);
    close(slave);
    close(master);
}

/* ... and one that hangs can still be left. */
static void test_hung_guest(void **state)
{
    struct fixture *f = *state;
    uint64_t end = monotonic_ns() + 5000 * MS;
    size_t typed = 0;
    int master, slave;

    pty_open(&master, &slave);
    start(f, slave, slave, 0x01);
    f->takes = 0;
    assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    while (typed < 30000 && monotonic_ns() < end) {
        ssize_t n = write(master, "zzzzzzzzzz", 10);

        if (n > 0)
            typed += (size_t)n;
        else
            loop_run_for(f->loop, MS);
    }
    assert_true(typed >= 30000);
    end = monotonic_ns() + 5000 * MS;
    while (write(master, "\x01x", 2) != 2 && monotonic_ns() < end)
        loop_run_for(f->loop, MS);
    assert_true(loop_run_until(f->loop, &f->quit));
    close(slave);
    close(master);
}

static void test_hang_up(void **state)
{
    struct fixture *f = *state;
    uint64_t start_ns, cpu;
    struct timespec ts;
    int master, slave;

    pty_open(&master, &slave);
    start(f, slave, slave, 0x01);
    loop_run_for(f->loop, 5 * MS);
    close(master);
    /* The loop neither ends nor spins, and the guest's output goes nowhere. */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    start_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    for (unsigned i = 0; i < 50; i++) {
        send_text(f, "0123456789");
        loop_run_for(f->loop, 4 * MS);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    cpu = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec - start_ns;
    assert_true(cpu < 100 * MS);
    close(slave);
}

static void test_pipes(void **state)
{
    struct fixture *f = *state;
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    start(f, in[0], out[1], 0x01);
    type(in[1], "abc");
    expect_got(f, "abc");
    send_text(f, "def");
    expect_read(f, out[0], "def");
    assert_false(fcntl(in[0], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
    /* End of input is not an end. */
    close(in[1]);
    loop_run_for(f->loop, 5 * MS);
    send_text(f, "ghi");
    expect_read(f, out[0], "ghi");
    /* The reader goes away: the process ignores SIGPIPE, the guest notices nothing. */
    close(out[0]);
    send_text(f, "0123456789");
    loop_run_for(f->loop, 5 * MS);
    for (unsigned i = 0; i < 100000; i++)
        send_text(f, "0123456789");
    close(in[0]);
    close(out[1]);
}

static void test_pipe_input_waits(void **state)
{
    static char data[30000];
    struct fixture *f = *state;
    int in[2], out;

    assert_int_equal(pipe(in), 0);
    out = open("/dev/null", O_WRONLY);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)('A' + i % 23);
    assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
    close(in[1]);
    start(f, in[0], out, 0);
    f->takes = 0;
    loop_run_for(f->loop, 1200 * MS); /* however long: a pipe is no typist */
    for (unsigned i = 0; i < 3; i++) {
        f->takes = 10000;
        stream_ready(f->stream);
        expect_count(f, 10000 * (i + 1));
    }
    assert_memory_equal(f->got, data, sizeof(data));
    send_text(f, "into nothing");
    loop_run_for(f->loop, MS);
    close(in[0]);
    close(out);
}

static void test_files(void **state)
{
    struct fixture *f = *state;
    char in_name[] = "/tmp/hospes-test-XXXXXX", out_name[] = "/tmp/hospes-test-XXXXXX";
    int in = mkstemp(in_name), out = mkstemp(out_name);
    char data[64] = {0};

    assert_true(in >= 0 && out >= 0);
    type(in, "from a file");
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    type(out, "before;"); /* as the shell's own output is: the offset is shared */
    start(f, in, out, 0x01);
    expect_got(f, "from a file");
    send_text(f, "guest;");
    loop_run_for(f->loop, 5 * MS);
    type(out, "after;");
    assert_true(pread(out, data, sizeof(data) - 1, 0) > 0);
    assert_string_equal(data, "before;guest;after;");
    unlink(in_name);
    unlink(out_name);
    close(in);
    close(out);
}

#define FLOOD_LINES 20000u

static void *flood(void *arg)
{
    struct fixture *f = arg;

    for (unsigned i = 0; i < FLOOD_LINES; i++) {
        char line[16];
        size_t done = 0;

        snprintf(line, sizeof(line), "%08u\n", i);
        while (done < 9)
            done += stream_write(f->stream, (const uint8_t *)line + done, 9 - done);
        /* Pauses of every short length, so that the loop finds nothing left at every moment. */
        for (volatile unsigned pause = i % 1024 * 4; pause; pause--)
            ;
    }
    return NULL;
}

/* A CPU that writes while the loop does: once, bytes that came just behind the last piece made the
 * stream wait for a regular file, which cannot be waited for, and give up. */
static void test_file_and_thread(void **state)
{
    struct fixture *f = *state;
    char name[] = "/tmp/hospes-test-XXXXXX", line[16];
    int in = open("/dev/null", O_RDONLY), out = mkstemp(name);
    uint64_t end = monotonic_ns() + 20000 * MS;
    pthread_t thread;
    FILE *file;

    assert_true(in >= 0 && out >= 0);
    start(f, in, out, 0);
    assert_int_equal(pthread_create(&thread, NULL, flood, f), 0);
    while (lseek(out, 0, SEEK_END) < (off_t)(9 * FLOOD_LINES) && monotonic_ns() < end)
        loop_run_for(f->loop, MS);
    assert_int_equal(lseek(out, 0, SEEK_END), 9 * FLOOD_LINES);
    pthread_join(thread, NULL);
    file = fopen(name, "r");
    assert_non_null(file);
    for (unsigned i = 0; i < FLOOD_LINES; i++) {
        assert_non_null(fgets(line, sizeof(line), file));
        assert_int_equal(strtoul(line, NULL, 10), i);
    }
    fclose(file);
    unlink(name);
    close(in);
    close(out);
}

static void test_socket(void **state)
{
    struct fixture *f = *state;
    uint8_t block[1000] = {0};
    size_t written = 0, n;
    int s[2];

    /* One fd both ways. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    start(f, s[0], s[0], 0x01);
    type(s[1], "abc");
    expect_got(f, "abc");
    send_text(f, "def");
    expect_read(f, s[1], "def");
    assert_false(fcntl(s[0], F_GETFL) & O_NONBLOCK);
    do {
        n = stream_write(f->stream, block, sizeof(block));
        written += n;
        loop_run_for(f->loop, MS / 10);
        assert_true(written < 10000000);
    } while (n == sizeof(block));
    type(s[1], "\x01x");
    assert_true(loop_run_until(f->loop, &f->quit));
    close(s[0]);
    close(s[1]);
}

/* A pseudo-terminal's master cannot be opened anew; it works all the same. */
static void test_master(void **state)
{
    struct fixture *f = *state;
    struct termios raw;
    int master, slave;

    pty_open(&master, &slave);
    assert_int_equal(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    start(f, master, master, 0);
    type(slave, "up");
    expect_got(f, "up");
    send_text(f, "down");
    expect_read(f, slave, "down");
    close(slave);
    close(master);
}

static void test_last_words(void **state)
{
    struct fixture *f = *state;
    char data[16] = {0};
    int in = open("/dev/null", O_RDONLY), out[2];

    assert_int_equal(pipe(out), 0);
    start(f, in, out[1], 0x01);
    send_text(f, "bye\r\n");
    stream_free(f->stream); /* the loop did not run */
    f->stream = NULL;
    assert_int_equal(read(out[0], data, sizeof(data)), 5);
    assert_string_equal(data, "bye\r\n");
    close(in);
    close(out[0]);
    close(out[1]);
}

static void test_bad_fd(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct termios before, now;
    int master, slave;

    assert_int_equal(stream_terminal_new(&f->stream, f->loop, -1, 1, 0x01, NULL, &error), -EBADF);
    assert_non_null(error.message);
    error_release(&error);
    /* A failure half-way leaves the terminal as it was. */
    pty_open(&master, &slave);
    assert_int_equal(tcgetattr(slave, &before), 0);
    assert_int_equal(stream_terminal_new(&f->stream, f->loop, slave, 9999, 0x01, NULL, &error),
                     -EBADF);
    assert_int_equal(tcgetattr(slave, &now), 0);
    expect_same(&now, &before);
    assert_null(f->stream);
    error_release(&error);
    loop_run_for(f->loop, MS);
    close(slave);
    close(master);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pty),         TEST(test_escape),
        TEST(test_no_escape),   TEST(test_size),
        TEST(test_slow_output), TEST(test_slow_guest),
        TEST(test_hung_guest),  TEST(test_hang_up),
        TEST(test_pipes),       TEST(test_pipe_input_waits),
        TEST(test_files),       TEST(test_file_and_thread),
        TEST(test_socket),      TEST(test_master),
        TEST(test_last_words),  TEST(test_bad_fd),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("stream_terminal", tests, NULL, NULL);
}
