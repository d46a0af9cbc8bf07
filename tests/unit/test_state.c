/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine is doing, told from its lock, its socket and what its process wrote down. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/loop.h"
#include "base/thread.h"
#include "base/unix_socket.h"
#include "host/control.h"
#include "host/family.h"
#include "host/state.h"
#include "host_fixture.h"

/* The linker gives this name to registry_is_locked(), and registry_is_locked() to what follows. */
bool __real_registry_is_locked(const struct registry *registry, const char *name);
bool __wrap_registry_is_locked(const struct registry *registry, const char *name);

/* Called in the middle of a look; NULL: nothing is. */
static void (*between)(void);

bool __wrap_registry_is_locked(const struct registry *registry, const char *name)
{
    bool locked = __real_registry_is_locked(registry, name);

    if (between)
        between();
    return locked;
}

static int setup(void **state)
{
    struct host_fixture *f = host_fixture_new();

    machine_file(f, "web", "machine.json", "{}");
    assert_int_equal(registry_make_var(&f->registry, "web", NULL), 0);
    between = NULL;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    host_fixture_free(*state);
    return 0;
}

static struct state look(struct host_fixture *f)
{
    struct state state;

    memset(&state, 0xff, sizeof(state));
    state_look(&f->registry, "web", &state);
    return state;
}

static void write_down(struct host_fixture *f, struct state state)
{
    assert_int_equal(state_write(&f->registry, "web", &state, NULL), 0);
}

static void words(void **state)
{
    assert_string_equal(state_name(STATE_STOPPED), "stopped");
    assert_string_equal(state_name(STATE_CRASHED), "crashed");
    assert_string_equal(state_name(STATE_RUNNING), "running");
    assert_string_equal(state_name(STATE_PAUSED), "paused");
    assert_string_equal(state_name(STATE_BUSY), "busy");
    assert_string_equal(state_end_name(STATE_END_NONE), "none");
    assert_string_equal(state_end_name(STATE_END_POWER_OFF), "power-off");
    assert_string_equal(state_end_name(STATE_END_FAILED), "failed");
    assert_string_equal(state_end_name(STATE_END_KILLED), "killed");
}

static void time_is_utc(void **state)
{
    char first[STATE_TIME_SIZE], second[STATE_TIME_SIZE];
    unsigned year, month, day, hour, minute, second_of, ms, used = 0;

    state_time(first);
    assert_int_equal(sscanf(first, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &year, &month, &day, &hour,
                            &minute, &second_of, &ms, (int *)&used),
                     7);
    assert_int_equal(used, strlen(first));
    usleep(3000);
    state_time(second);
    assert_true(strcmp(first, second) < 0);
}

static void what_was_written(void **state)
{
    struct host_fixture *f = *state;
    struct state found = look(f);

    assert_int_equal(found.kind, STATE_STOPPED);
    assert_int_equal(found.end, STATE_END_NONE);
    assert_int_equal(found.pid, 0);
    assert_string_equal(found.since, "");
    write_down(f, (struct state){.kind = STATE_STOPPED,
                                 .end = STATE_END_FAILED,
                                 .status = 77,
                                 .since = "2026-01-02T03:04:05.678Z"});
    found = look(f);
    assert_int_equal(found.kind, STATE_STOPPED);
    assert_int_equal(found.end, STATE_END_FAILED);
    assert_int_equal(found.status, 77);
    assert_string_equal(found.since, "2026-01-02T03:04:05.678Z");
    /* Nobody holds the lock. */
    write_down(f, (struct state){.kind = STATE_RUNNING, .pid = getpid()});
    found = look(f);
    assert_int_equal(found.kind, STATE_CRASHED);
    assert_int_equal(found.pid, 0);
}

static void what_is_no_state(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{}",
                                        "{\"version\": 2, \"state\": \"running\"}",
                                        "{\"version\": 1, \"state\": \"flying\"}",
                                        "{\"version\": 1, \"state\": 1}",
                                        "{\"version\": \"1\", \"state\": \"running\"}",
                                        "{\"version\": 1, \"version\": 1, \"state\": \"running\"}"};
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *path = registry_path(&f->registry, "web", "var/state.json");
    struct state found;
    int fd;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        machine_file(f, "web", "var/state.json", texts[i]);
        found = look(f);
        assert_int_equal(found.kind, STATE_STOPPED);
        assert_int_equal(found.end, STATE_END_NONE);
    }
    /* A time that is too long is cut, an end that is none is no end. */
    machine_file(f, "web", "var/state.json",
                 "{\"version\": 1, \"state\": \"stopped\", \"end\": \"exploded\", \"since\": "
                 "\"2026-01-02T03:04:05.678Z and a good deal more than that\"}");
    found = look(f);
    assert_int_equal(strlen(found.since), STATE_TIME_SIZE - 1);
    assert_int_equal(found.end, STATE_END_NONE);
    /* Too long to be one. */
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    assert_int_equal(look(f).kind, STATE_STOPPED);
}

static void what_is_written_is_read(void **state)
{
    static const char *const good[] = {
        "{\"version\":1,\"state\":\"running\",\"pid\":42}",
        " {\n\t\"pid\" : 42 , \"version\" : 1 , \"state\" : \"running\" , \"more\" : \"x\" }\n",
    };
    static const char *const bad[] = {
        "{\"version\": 1,}",
        "{\"version\": 1, \"state\": \"running\"",
        "{\"version\": 1, \"state\": \"running\"} x",
        "{\"version\": 1, \"state\": \"running",
        "{\"version\": 1 \"state\": \"running\"}",
        "{\"version\": 1, \"state\"}",
        "{\"version\": 1, \"state\": }",
        "{\"version\": 1, state: \"running\"}",
        "{\"version\": 1, \"since\": \"\\u001b[2J\"}",
        "{\"version\": 1, \"since\": \"\033[2J\"}",
        "{\"version\": 1, \"more\": {\"state\": \"running\"}}",
        "{\"version\": 1, \"more\": [1]}",
        "{\"version\": 4294967297}",
        "{\"version\": 1x}",
    };
    struct state all = {.kind = STATE_RUNNING,
                        .pid = 2000000000,
                        .end = STATE_END_KILLED,
                        .status = -1,
                        .merging = true,
                        .since = "2026-01-02T03:04:05.678Z"},
                 found;
    struct host_fixture *f = *state;

    write_down(f, all);
    memset(&found, 0, sizeof(found));
    state_recall(&f->registry, "web", &found);
    assert_int_equal(found.kind, all.kind);
    assert_int_equal(found.pid, all.pid);
    assert_int_equal(found.end, all.end);
    assert_int_equal(found.status, all.status);
    assert_true(found.merging);
    assert_string_equal(found.since, all.since);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(state_parse(good[i], &found));
        assert_int_equal(found.kind, STATE_RUNNING);
        assert_int_equal(found.pid, 42);
        assert_false(found.merging);
        assert_string_equal(found.since, "");
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (state_parse(bad[i], &found))
            fail_msg("it is a state: %s", bad[i]);
    assert_int_equal(found.pid, 42);
    /* Numbers that are none, words that are numbers. */
    assert_true(state_parse("{\"version\": 1, \"pid\": 99999999999, \"status\": \"5\", \"end\": 3, "
                            "\"merging\": \"true\", \"since\": 5}",
                            &found));
    assert_int_equal(found.pid, 0);
    assert_int_equal(found.status, 0);
    assert_int_equal(found.end, STATE_END_NONE);
    assert_false(found.merging);
    assert_string_equal(found.since, "");
}

/* ---- of one that runs ---- */

struct server {
    pthread_t thread;
    struct loop *loop;
    const char *answer;
    unsigned asked;
};

static int info(void *ctx, const json_t *params, json_t **result, struct error *error)
{
    struct server *server = ctx;

    server->asked++;
    *result = json_pack("{s:s}", "state", server->answer);
    return 0;
}

static const struct control_method methods[] = {{"machine.info", info}, {0}};

static void *serve(void *ctx)
{
    struct server *server = ctx;

    loop_run(server->loop);
    return NULL;
}

static struct state look_at_server(struct host_fixture *f, const char *answer)
{
    CLEANUP(text_free) char *path = registry_run_path(&f->registry, "web", "control");
    struct server server = {.answer = answer};
    struct control *control;
    struct state found;
    int listener;

    assert_int_equal(loop_new(&server.loop), 0);
    assert_int_equal(control_listen(path, &listener, NULL), 0);
    assert_int_equal(control_new(&control, server.loop, listener, methods, &server), 0);
    assert_int_equal(thread_start(&server.thread, "server", serve, &server), 0);
    found = look(f);
    loop_stop(server.loop, 0);
    pthread_join(server.thread, NULL);
    control_free(control);
    loop_free(server.loop);
    unlink(path);
    assert_int_equal(server.asked, 1);
    return found;
}

/* The test holds it itself. */
static bool sign(struct host_fixture *f)
{
    CLEANUP(text_free) char *path = registry_path(&f->registry, "web", "lock");
    int fd = open(path, O_RDWR);

    return fd >= 0 && !registry_sign_lock(fd);
}

static void one_that_runs(void **state)
{
    struct host_fixture *f = *state;
    struct state found;
    int fd = -1;
    pid_t process;

    assert_int_equal(registry_make_run(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), 0);
    process = holder_begin(f, sign);
    write_down(f, (struct state){.kind = STATE_RUNNING, .pid = process});
    found = look_at_server(f, "running");
    assert_int_equal(found.kind, STATE_RUNNING);
    assert_int_equal(found.pid, process);
    assert_int_equal(look_at_server(f, "paused").kind, STATE_PAUSED);
    /* With a lock and no socket: something is going on. */
    found = look(f);
    assert_int_equal(found.kind, STATE_BUSY);
    assert_int_equal(found.pid, process);
    holder_end(process);
    close(fd);
}

/* It accepts, and does not answer. */
static void one_that_hangs(void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *path = registry_run_path(&f->registry, "web", "control");
    uint64_t begin;
    int fd = -1, listener;

    assert_int_equal(registry_make_run(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), 0);
    listener = unix_socket_listen(path, 4);
    assert_true(listener >= 0);
    begin = monotonic_ns();
    assert_int_equal(look(f).kind, STATE_BUSY);
    assert_in_range(monotonic_ns() - begin, 900000000, 1900000000);
    close(listener);
    close(fd);
}

/* The number that a killed process left is not told for one that holds the lock now. */
static void number_of_another_process(void **state)
{
    struct host_fixture *f = *state;
    int fd = -1;

    write_down(f, (struct state){.kind = STATE_RUNNING, .pid = getppid()});
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), 0);
    assert_int_equal(look(f).kind, STATE_BUSY);
    assert_int_equal(look(f).pid, 0);
    close(fd);
}

/* What is in the directory of somebody else's is not asked. */
static void sockets_of_another(void **state)
{
    struct host_fixture *f = *state;
    int fd = -1, listener;
    CLEANUP(text_free) char *path = registry_run_path(&f->registry, "web", "control");

    assert_int_equal(registry_make_run(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), 0);
    listener = unix_socket_listen(path, 4);
    assert_true(listener >= 0);
    assert_int_equal(chmod(f->registry.run, 0777), 0);
    assert_int_equal(look(f).kind, STATE_BUSY);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    close(listener);
    close(fd);
}

static struct host_fixture *starting;
static int starting_lock;

static void start(void)
{
    between = NULL;
    assert_int_equal(registry_lock(&starting->registry, "web", &starting_lock, NULL), 0);
    write_down(starting, (struct state){.kind = STATE_RUNNING, .pid = getpid()});
}

/* Between two looks of ours it is started: that is no crash. */
static void started_between(void **state)
{
    starting = *state;
    between = start;
    assert_int_equal(look(starting).kind, STATE_BUSY);
    close(starting_lock);
}

static void *outlive(void *ctx)
{
    (void)ctx;
    usleep(300000);
    _exit(0);
}

/* As one that was killed: its first thread is gone, and the lock goes with the last. */
static pid_t ending_begin(struct host_fixture *f)
{
    pthread_t thread;
    pid_t child = fork();
    int fd = -1;

    if (!child) {
        if (registry_lock(&f->registry, "web", &fd, NULL) ||
            pthread_create(&thread, NULL, outlive, NULL))
            _exit(1);
        pthread_exit(NULL);
    }
    assert_true(child > 0);
    while (!process_is_ending(child))
        usleep(1000);
    return child;
}

static void one_that_ends(void **state)
{
    struct host_fixture *f = *state;
    pid_t child = ending_begin(f);

    write_down(f, (struct state){.kind = STATE_RUNNING, .pid = child});
    assert_true(registry_is_locked(&f->registry, "web"));
    state_wait_ending(&f->registry, "web");
    assert_false(registry_is_locked(&f->registry, "web"));
    /* Nobody has asked for its status yet, and that is nobody to wait for. */
    state_wait_ending(&f->registry, "web");
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(process_is_ending(child));
}

/* One that runs, or whose process is not known, is not waited for. */
static void one_that_does_not_end(void **state)
{
    struct host_fixture *f = *state;
    uint64_t begin = monotonic_ns();
    int fd = -1;

    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), 0);
    state_wait_ending(&f->registry, "web");
    write_down(f, (struct state){.kind = STATE_RUNNING, .pid = getpid()});
    state_wait_ending(&f->registry, "web");
    assert_true(monotonic_ns() - begin < UINT64_C(20000000000));
    assert_false(process_is_ending(getpid()));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(time_is_utc),
        cmocka_unit_test_setup_teardown(what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_state, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(number_of_another_process, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(started_between, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_does_not_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
