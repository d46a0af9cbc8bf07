/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket, server and client: JSON-RPC in lines, and peers of either side that do
 * everything but that. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/descriptor.h"
#include "base/loop.h"
#include "base/thread.h"
#include "base/unix_socket.h"
#include "host/agent.h"
#include "host/control.h"
#include "host_fixture.h"

#define MS 1000000ull

struct fixture {
    struct host_fixture *host;
    char path[64];
    struct loop *loop;
    struct control *control;
    pthread_t thread;
    struct deferred poke;
    unsigned pokes;
    unsigned called;
};

/* ---- methods ---- */

static int echo(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct fixture *f = ctx;

    f->called++;
    *result = json_deep_copy(params);
    return 0;
}

static int nothing(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    ((struct fixture *)ctx)->called++;
    return 0;
}

static int fails(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    return error_set(error, ENOSPC, "there is no room");
}

static int fails_without_words(void *ctx, const json_t *params, json_t **result,
                               struct error *error)
{
    return -EIO;
}

static int misused(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    return error_usage(error, "not so");
}

/* As a path of the host may be. */
static int fails_in_latin1(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    return error_set(error, ENOENT, "no \"caf\xe9\"");
}

static int large(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    CLEANUP(text_free) char *text = malloc(60000);

    memset(text, 'x', 59999);
    text[59999] = 0;
    *result = json_string(text);
    return 0;
}

static int huge(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    CLEANUP(text_free) char *text = malloc(CONTROL_BACKLOG_MAX + 1);

    memset(text, 'x', CONTROL_BACKLOG_MAX);
    text[CONTROL_BACKLOG_MAX] = 0;
    *result = json_string(text);
    return 0;
}

static int notifies(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct fixture *f = ctx;
    json_t *event = json_pack("{s:s}", "event", "inside");

    control_notify(f->control, "event", event);
    json_decref(event);
    return 0;
}

static int ends(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct fixture *f = ctx;
    json_t *event = json_pack("{s:s}", "event", "ended");

    control_notify(f->control, "event", event);
    json_decref(event);
    loop_stop(f->loop, 0);
    return 0;
}

static const struct control_method methods[] = {
    {"echo", echo},
    {"nothing", nothing},
    {"fails", fails},
    {"fails.without.words", fails_without_words},
    {"misused", misused},
    {"fails.in.latin1", fails_in_latin1},
    {"large", large},
    {"huge", huge},
    {"notifies", notifies},
    {"ends", ends},
    {0},
};

/* ---- the server ---- */

/* Tells from the loop's thread. */
static void on_poke(void *ctx)
{
    struct fixture *f = ctx;
    json_t *event = json_pack("{s:i}", "number", (int)++f->pokes);

    control_notify(f->control, "event", event);
    json_decref(event);
}

static void *serve(void *ctx)
{
    struct fixture *f = ctx;

    loop_run(f->loop);
    return NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int listener;

    assert_non_null(f);
    f->host = host_fixture_new();
    snprintf(f->path, sizeof(f->path), "%s/control", f->host->directory);
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(control_listen(f->path, &listener, NULL), 0);
    assert_int_equal(control_new(&f->control, f->loop, listener, methods, f), 0);
    deferred_init(&f->poke, on_poke, f);
    assert_int_equal(thread_start(&f->thread, "server", serve, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_stop(f->loop, 0);
    pthread_join(f->thread, NULL);
    control_free(f->control);
    loop_free(f->loop);
    host_fixture_free(f->host);
    free(f);
    return 0;
}

/* ---- a peer ---- */

static int peer_open(struct fixture *f)
{
    const struct timeval timeout = {.tv_sec = 5};
    int fd;

    /* Those that were closed a moment ago may still wait to be accepted. */
    while ((fd = unix_socket_connect(f->path)) == -EAGAIN)
        usleep(1000);
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(descriptor_write_all(fd, text, strlen(text)), 0);
}

/* One line, or what there is when the other side closes; "" when that is at once. */
static void get(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
        n++;
    line[n] = 0;
}

static void expect(int fd, const char *line)
{
    char got[4096];

    get(fd, got, sizeof(got));
    assert_string_equal(got, line);
}

/* An error of this code, with the id as text. */
static void expect_error(int fd, int code, const char *id)
{
    char got[4096], words[64];

    get(fd, got, sizeof(got));
    snprintf(words, sizeof(words), "\"error\":{\"code\":%d,", code);
    assert_non_null(strstr(got, words));
    snprintf(words, sizeof(words), "\"id\":%s}", id);
    assert_non_null(strstr(got, words));
}

static void expect_end(int fd)
{
    char byte;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
    assert_int_not_equal(errno, EAGAIN);
    close(fd);
}

/* It serves others as before. */
static void assert_serves(struct fixture *f)
{
    json_t *result = NULL;

    assert_int_equal(control_call(f->path, "echo", json_pack("{s:i}", "a", 1), 5000, &result, NULL),
                     0);
    assert_int_equal(json_integer_value(json_object_get(result, "a")), 1);
    json_decref(result);
}

static void answers(void **state)
{
    int fd = peer_open(*state);

    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"a\":[1,null]},\"id\":7}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{\"a\":[1,null]},\"id\":7}");
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":\"text\"}\r\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":\"text\"}");
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\",\"id\":null}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":null}");
    close(fd);
}

static void errors(void **state)
{
    static const struct {
        const char *request;
        int code;
        const char *id;
    } cases[] = {
        {"nonsense", CONTROL_PARSE_ERROR, "null"},
        {"", CONTROL_PARSE_ERROR, "null"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1", CONTROL_PARSE_ERROR, "null"},
        {"{\"a\":1,\"a\":2}", CONTROL_PARSE_ERROR, "null"},
        {"\"\\ud800\"", CONTROL_PARSE_ERROR, "null"},
        {"[]", CONTROL_INVALID_REQUEST, "null"},
        {"[{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}]", CONTROL_INVALID_REQUEST, "null"},
        {"{}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"method\":\"echo\",\"id\":1}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"jsonrpc\":2.0,\"method\":\"echo\",\"id\":1}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"jsonrpc\":\"1.0\",\"method\":\"echo\",\"id\":1}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"jsonrpc\":\"2.0\",\"method\":5,\"id\":1}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":{}}", CONTROL_INVALID_REQUEST, "null"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[1],\"id\":1}",
         CONTROL_INVALID_PARAMS, "1"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":null,\"id\":1}",
         CONTROL_INVALID_PARAMS, "1"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"no\",\"id\":\"x\"}", CONTROL_METHOD_NOT_FOUND, "\"x\""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"\",\"id\":3}", CONTROL_METHOD_NOT_FOUND, "3"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"fails\",\"id\":4}", CONTROL_FAILED, "4"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"misused\",\"id\":5}", CONTROL_INVALID_PARAMS, "5"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"events.subscribe\",\"params\":{\"x\":1},\"id\":6}",
         CONTROL_INVALID_PARAMS, "6"},
    };
    struct fixture *f = *state;
    int fd = peer_open(f);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put(fd, cases[i].request);
        put(fd, "\n");
        expect_error(fd, cases[i].code, cases[i].id);
    }
    assert_int_equal(f->called, 0);
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"fails\",\"id\":4}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"there is no "
               "room\",\"data\":{\"errno\":28}},\"id\":4}");
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"fails.in.latin1\",\"id\":9}\n");
    expect_error(fd, CONTROL_FAILED, "9");
    close(fd);
}

/* No id, no answer, not even to a mistake in it; the next request's comes first. */
static void notifications(void **state)
{
    struct fixture *f = *state;
    int fd = peer_open(f);

    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"fails\"}\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"no such\"}\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[]}\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    assert_int_equal(f->called, 2);
    close(fd);
}

static void lines_in_pieces(void **state)
{
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n";
    struct fixture *f = *state;
    int fd = peer_open(f);

    for (size_t i = 0; i < sizeof(line) - 1; i++) {
        assert_int_equal(send(fd, line + i, 1, 0), 1);
        if (i % 7 == 0)
            usleep(1000);
    }
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    /* And several at once, the last of them not whole. */
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":2}\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":3}\n{\"jsonrpc\":\"2.0\",");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":2}");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":3}");
    put(fd, "\"method\":\"echo\",\"id\":4}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":4}");
    close(fd);
}

static void long_lines(void **state)
{
    static char text[CONTROL_LINE_MAX + 1];
    static const char begin[] = "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\",\"id\":1";
    struct fixture *f = *state;
    int fd = peer_open(f);

    /* The longest that is one, its end included. */
    memset(text, ' ', sizeof(text));
    memcpy(text, begin, sizeof(begin) - 1);
    text[CONTROL_LINE_MAX - 2] = '}';
    text[CONTROL_LINE_MAX - 1] = '\n';
    assert_int_equal(descriptor_write_all(fd, text, CONTROL_LINE_MAX), 0);
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}");
    text[CONTROL_LINE_MAX - 2] = ' ';
    text[CONTROL_LINE_MAX - 1] = '}';
    assert_int_equal(descriptor_write_all(fd, text, CONTROL_LINE_MAX), 0);
    expect_error(fd, CONTROL_INVALID_REQUEST, "null");
    expect_end(fd);
    assert_serves(f);
}

static void garbage(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 1;

    for (unsigned i = 0; i < 50; i++) {
        unsigned char data[4000];
        int fd = peer_open(f);

        for (size_t j = 0; j < sizeof(data); j++)
            data[j] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
        /* It may be closed meanwhile: its answers are not read. */
        send(fd, data, sizeof(data), MSG_NOSIGNAL);
        close(fd);
    }
    assert_serves(f);
}

static void zero_bytes(void **state)
{
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\0\",\"id\":1}\n";
    struct fixture *f = *state;
    int fd = peer_open(f);

    assert_int_equal(descriptor_write_all(fd, line, sizeof(line) - 1), 0);
    expect_error(fd, CONTROL_PARSE_ERROR, "null");
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\\u0000x\",\"id\":1}\n");
    expect_error(fd, CONTROL_PARSE_ERROR, "null");
    assert_int_equal(f->called, 0);
    close(fd);
}

static void deep_nesting(void **state)
{
    static char text[CONTROL_LINE_MAX];
    struct fixture *f = *state;
    int fd = peer_open(f);

    memset(text, '[', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\n';
    assert_int_equal(descriptor_write_all(fd, text, sizeof(text)), 0);
    expect_error(fd, CONTROL_PARSE_ERROR, "null");
    close(fd);
}

/* What it is sent is bounded; then it is closed. */
static void peer_that_never_reads(void **state)
{
    struct fixture *f = *state;
    int fd = peer_open(f);
    ssize_t n = 0;

    for (unsigned i = 0; i < 100 && n >= 0; i++) {
        static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1}\n";

        n = send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
        usleep(500);
    }
    assert_int_equal(n, -1);
    assert_true(errno == EPIPE || errno == ECONNRESET);
    close(fd);
    assert_serves(f);
    fd = peer_open(f);
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":1}\n");
    expect_end(fd);
    assert_serves(f);
}

/* A slow one gets it all: 4 answers of 60,000 bytes are more than a socket takes. */
static void peer_that_reads_late(void **state)
{
    struct fixture *f = *state;
    static char line[70000];
    int fd = peer_open(f), small = 4096;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (unsigned i = 0; i < 4; i++)
        put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1}\n");
    /* All has been said; what was asked is still owed, as to a script that pipes requests in. */
    shutdown(fd, SHUT_WR);
    usleep(20000);
    for (unsigned i = 0; i < 4; i++) {
        size_t n = 0;

        while (n < sizeof(line) && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
            n++;
        assert_int_equal(n, 59999 + strlen("{\"jsonrpc\":\"2.0\",\"result\":\"\",\"id\":1}"));
    }
    expect_end(fd);
    assert_serves(f);
}

static void peer_that_closes_in_the_middle(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 100; i++) {
        int fd = peer_open(f);

        put(fd, i % 2 ? "{\"jsonrpc\":\"2.0\",\"method\":\"la"
                      : "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1}\n"
                        "{\"jsonrpc\":\"2.0\",\"method\":\"large\",\"id\":1}\n");
        if (i % 3 == 0)
            usleep(200);
        close(fd);
    }
    assert_serves(f);
}

static void the_17th_waits(void **state)
{
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n";
    struct fixture *f = *state;
    int fds[CONTROL_PEERS_MAX + 1];
    struct pollfd poll_fd;

    for (unsigned i = 0; i < CONTROL_PEERS_MAX; i++) {
        fds[i] = peer_open(f);
        put(fds[i], line);
        expect(fds[i], "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    }
    fds[CONTROL_PEERS_MAX] = peer_open(f);
    put(fds[CONTROL_PEERS_MAX], line);
    poll_fd = (struct pollfd){.fd = fds[CONTROL_PEERS_MAX], .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 100), 0);
    close(fds[5]);
    expect(fds[CONTROL_PEERS_MAX], "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    for (unsigned i = 0; i <= CONTROL_PEERS_MAX; i++)
        if (i != 5)
            close(fds[i]);
    assert_serves(f);
}

static void subscribe(int fd)
{
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"events.subscribe\",\"id\":1}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}");
}

static void events(void **state)
{
    struct fixture *f = *state;
    int first = peer_open(f), second = peer_open(f), other = peer_open(f);

    subscribe(first);
    subscribe(second);
    subscribe(second); /* once more is the same */
    loop_post(f->loop, &f->poke);
    expect(first, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"number\":1}}");
    expect(second, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"number\":1}}");
    close(first);
    loop_post(f->loop, &f->poke);
    expect(second, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"number\":2}}");
    put(other, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n");
    expect(other, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    /* Of a method that is being called the notification comes first. */
    put(second, "{\"jsonrpc\":\"2.0\",\"method\":\"notifies\",\"id\":2}\n");
    expect(second, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"inside\"}}");
    expect(second, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":2}");
    close(second);
    close(other);
}

/* A method tells a peer that is full, and that is the very one that called it. */
static void notify_a_full_one(void **state)
{
    struct fixture *f = *state;
    int fd = peer_open(f);
    ssize_t n = 0;

    subscribe(fd);
    for (unsigned i = 0; i < 50000 && n >= 0; i++) {
        static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifies\",\"id\":1}\n";

        n = send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
    }
    assert_int_equal(n, -1);
    assert_true(errno == EPIPE || errno == ECONNRESET);
    close(fd);
    assert_serves(f);
}

static void method_that_ends_the_loop(void **state)
{
    struct fixture *f = *state;
    int fd = peer_open(f), watcher = peer_open(f);

    subscribe(watcher);
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"ends\",\"id\":1}\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":2}\n");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}");
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":2}");
    expect(watcher, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"ended\"}}");
    pthread_join(f->thread, NULL);
    control_free(f->control);
    f->control = NULL;
    expect_end(fd);
    expect_end(watcher);
    assert_int_equal(thread_start(&f->thread, "server", serve, f), 0);
}

static void listening(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    char path[128];
    struct stat st;
    int fd = -1;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(control_listen(f->path, &fd, &error), -EADDRINUSE);
    assert_words(&error, "somebody listens");
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = 0;
    assert_int_equal(control_listen(path, &fd, &error), -ENAMETOOLONG);
    assert_words(&error, "set HOSPES_RUN_DIR");
    assert_int_equal(control_listen("/nowhere/at/all", &fd, &error), -ENOENT);
    assert_words(&error, "\"/nowhere/at/all\"");
    assert_int_equal(fd, -1);
}

/* ---- the client ---- */

/* A machine that answers what the test wants, or drips it byte by byte. */
struct machine {
    struct fixture *f;
    char path[64];
    int listener;
    pthread_t thread;
    const char *answer;
    size_t size;
    unsigned drip_ms;         /* 0: at once */
    bool stays;               /* after the answer, until the client goes */
    uint64_t floods_until_ns; /* says it again and again */
};

static void *machine_serve(void *ctx)
{
    struct machine *m = ctx;
    struct pollfd ready = {.fd = m->listener, .events = POLLIN};
    char line[4096];
    int fd;

    assert_int_equal(poll(&ready, 1, 5000), 1);
    fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    get(fd, line, sizeof(line));
    for (size_t at = 0; at < m->size;) {
        size_t piece = m->drip_ms ? 1 : m->size - at;
        ssize_t n = send(fd, m->answer + at, piece, MSG_NOSIGNAL);

        if (n <= 0)
            break;
        at += (size_t)n;
        if (at == m->size && monotonic_ns() < m->floods_until_ns)
            at = 0;
        usleep(1000 * m->drip_ms);
    }
    if (m->stays)
        get(fd, line, sizeof(line));
    close(fd);
    return NULL;
}

static int ask(struct fixture *f, const char *answer, size_t size, unsigned drip_ms, bool stays,
               unsigned timeout_ms, json_t **result, struct error *error)
{
    struct machine m = {.answer = answer, .size = size, .drip_ms = drip_ms, .stays = stays};
    int r;

    snprintf(m.path, sizeof(m.path), "%s/machine", f->host->directory);
    assert_int_equal(control_listen(m.path, &m.listener, NULL), 0);
    assert_int_equal(thread_start(&m.thread, "machine", machine_serve, &m), 0);
    r = control_call(m.path, "method", NULL, timeout_ms, result, error);
    pthread_join(m.thread, NULL);
    close(m.listener);
    unlink(m.path);
    return r;
}

static int ask_text(struct fixture *f, const char *answer, bool stays, json_t **result,
                    struct error *error)
{
    return ask(f, answer, strlen(answer), 0, stays, 300, result, error);
}

static void client_answers(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    json_t *result = NULL;

    assert_int_equal(control_call(f->path, "nothing", NULL, 5000, NULL, NULL), 0);
    assert_int_equal(control_call(f->path, "large", NULL, 5000, &result, NULL), 0);
    assert_int_equal(json_string_length(result), 59999);
    json_decref(result);
    result = NULL;
    assert_int_equal(control_call(f->path, "fails", NULL, 5000, &result, &error), -ENOSPC);
    assert_null(result);
    assert_words(&error, "there is no room");
    assert_int_equal(control_call(f->path, "fails.without.words", NULL, 5000, NULL, &error), -EIO);
    assert_non_null(error.message);
    error_release(&error);
    assert_int_equal(control_call(f->path, "no such", NULL, 5000, NULL, &error), -EPROTO);
    assert_words(&error, "no such method");
    assert_int_equal(control_call(f->path, "misused", json_object(), 5000, NULL, &error), -EINVAL);
    assert_words(&error, "not so");
    assert_int_equal(control_call("/nowhere/at/all", "echo", json_object(), 5000, NULL, &error),
                     -ENOENT);
    assert_words(&error, "/nowhere/at/all");
}

static void client_and_nobody(void **state)
{
    struct fixture *f = *state;
    char path[64];
    int listener;

    snprintf(path, sizeof(path), "%s/stale", f->host->directory);
    assert_int_equal(control_listen(path, &listener, NULL), 0);
    close(listener);
    assert_int_equal(control_call(path, "echo", NULL, 100, NULL, NULL), -ECONNREFUSED);
}

/* Lines before the answer, in one packet with it, are not for us. */
static void client_and_notifications(void **state)
{
    json_t *result = NULL;

    assert_int_equal(ask_text(*state,
                              "{\"jsonrpc\":\"2.0\",\"method\":\"event\"}\n"
                              "{\"jsonrpc\":\"2.0\",\"method\":\"event\"}\n"
                              "{\"jsonrpc\":\"2.0\",\"result\":5,\"id\":1}\n",
                              true, &result, NULL),
                     0);
    assert_int_equal(json_integer_value(result), 5);
    json_decref(result);
}

static void client_and_broken_answers(void **state)
{
    static const struct {
        const char *answer;
        int code;
    } cases[] = {
        {"", -ECONNRESET},
        {"{\"jsonrpc\":\"2.0\",\"result\":5,\"id\":1}", -ECONNRESET},
        {"garbage\n", -ECONNRESET},
        {"\n", -ECONNRESET},
        {"5\n", -ECONNRESET},
        {"[]\n", -ECONNRESET},
        {"{\"id\":1}\n", -EPROTO},
        {"{\"id\":1,\"result\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[5]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"
         "\n",
         -EPROTO},
        {"{\"id\":1,\"error\":{}}\n", -EPROTO},
        {"{\"id\":1,\"error\":5}\n", -EPROTO},
        {"{\"id\":1,\"error\":{\"message\":\"x\",\"data\":{\"errno\":-5}}}\n", -EPROTO},
        {"{\"id\":1,\"error\":{\"message\":\"x\",\"data\":{\"errno\":1e9}}}\n", -EPROTO},
        {"{\"id\":1,\"error\":{\"message\":\"x\",\"data\":{\"errno\":99999999999}}}\n", -EPROTO},
        {"{\"id\":1,\"error\":{\"message\":\"x\",\"data\":{\"errno\":16}}}\n", -EBUSY},
    };
    static const char zero[] = "{\"id\":1,\"result\":null}\0\n";
    struct error error = ERROR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_t *result = NULL;

        assert_int_equal(ask_text(*state, cases[i].answer, false, &result, &error), cases[i].code);
        assert_null(result);
        assert_non_null(error.message);
        error_release(&error);
    }
    assert_int_equal(ask(*state, zero, sizeof(zero) - 1, 0, false, 300, NULL, NULL), -ECONNRESET);
}

static void client_and_silence(void **state)
{
    struct error error = ERROR_INIT;
    uint64_t begin = monotonic_ns();

    assert_int_equal(ask_text(*state, "", true, NULL, &error), -ETIMEDOUT);
    assert_in_range(monotonic_ns() - begin, 290 * MS, 1000 * MS);
    assert_words(&error, "no answer");
}

/* The bound is of the whole call, whatever comes meanwhile. */
static void client_and_drips(void **state)
{
    static const char answer[] = "{\"jsonrpc\":\"2.0\",\"result\":5,\"id\":1}\n";
    uint64_t begin = monotonic_ns();

    assert_int_equal(ask(*state, answer, sizeof(answer) - 1, 50, false, 300, NULL, NULL),
                     -ETIMEDOUT);
    assert_in_range(monotonic_ns() - begin, 290 * MS, 1000 * MS);
}

static void client_and_a_flood(void **state)
{
    const size_t size = 6u << 20;
    CLEANUP(text_free) char *text = malloc(size);
    struct error error = ERROR_INIT;

    /* A line without an end. */
    memset(text, ' ', size);
    assert_int_equal(ask(*state, text, size, 0, false, 5000, NULL, &error), -EPROTO);
    assert_words(&error, "too long");
    error_release(&error);
}

/* Events without end: the time is the bound. */
static void client_and_events_without_end(void **state)
{
    static const char events[] = "{\"jsonrpc\":\"2.0\",\"method\":\"event\"}\n"
                                 "{\"jsonrpc\":\"2.0\",\"method\":\"event\"}\n";
    struct fixture *f = *state;
    uint64_t begin = monotonic_ns();
    struct machine m = {.answer = events,
                        .size = sizeof(events) - 1,
                        .floods_until_ns = begin + 3000 * MS};

    snprintf(m.path, sizeof(m.path), "%s/machine", f->host->directory);
    assert_int_equal(control_listen(m.path, &m.listener, NULL), 0);
    assert_int_equal(thread_start(&m.thread, "machine", machine_serve, &m), 0);
    assert_int_equal(control_call(m.path, "method", NULL, 100, NULL, NULL), -ETIMEDOUT);
    assert_in_range(monotonic_ns() - begin, 100 * MS, 2000 * MS);
    pthread_join(m.thread, NULL);
    close(m.listener);
}

/* So many ask that the others are not even let in. */
static void client_and_one_that_stands_still(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    char path[64];
    int listener, fds[CONTROL_PEERS_MAX];
    struct agent agent;
    uint64_t begin;

    snprintf(path, sizeof(path), "%s/still", f->host->directory);
    assert_int_equal(control_listen(path, &listener, NULL), 0);
    assert_int_equal(control_call(path, "echo", NULL, 50, NULL, &error), -ETIMEDOUT);
    assert_words(&error, "no answer");
    for (unsigned i = 0; i < CONTROL_PEERS_MAX; i++)
        assert_true((fds[i] = unix_socket_connect(path)) >= 0);
    assert_int_equal(unix_socket_connect(path), -EAGAIN);
    begin = monotonic_ns();
    assert_int_equal(control_call(path, "echo", NULL, 50, NULL, &error), -ETIMEDOUT);
    assert_in_range(monotonic_ns() - begin, 50 * MS, 1000 * MS);
    assert_words(&error, "no answer");
    /* As the socket of an agent is that does not run yet, when it was asked a few times. */
    assert_int_equal(agent_open(&agent, path, 50, &error), -ETIMEDOUT);
    assert_words(&error, "the guest's agent does not answer");
    for (unsigned i = 0; i < CONTROL_PEERS_MAX; i++)
        close(fds[i]);
    close(listener);
}

/* A guest with a user network can take all descriptors: the loop is then not to turn for a peer
 * that cannot be let in, and lets it in once it can. */
static void no_descriptors(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct fixture *f = *state;
    struct timespec before, after;
    struct rlimit limit, none;
    int fd, next;

    strcpy(name.sun_path, f->path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    next = dup(fd);
    assert_true(fd >= 0 && next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
    put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    usleep(300000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                30);
    expect(fd, "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}");
    close(fd);
    assert_serves(f);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(answers),
        CASE(no_descriptors),
        CASE(errors),
        CASE(notifications),
        CASE(lines_in_pieces),
        CASE(long_lines),
        CASE(garbage),
        CASE(zero_bytes),
        CASE(deep_nesting),
        CASE(peer_that_never_reads),
        CASE(peer_that_reads_late),
        CASE(peer_that_closes_in_the_middle),
        CASE(the_17th_waits),
        CASE(events),
        CASE(notify_a_full_one),
        CASE(method_that_ends_the_loop),
        CASE(listening),
        CASE(client_answers),
        CASE(client_and_nobody),
        CASE(client_and_notifications),
        CASE(client_and_broken_answers),
        CASE(client_and_silence),
        CASE(client_and_drips),
        CASE(client_and_a_flood),
        CASE(client_and_events_without_end),
        CASE(client_and_one_that_stands_still),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
