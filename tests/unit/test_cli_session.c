/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session on a pseudo-terminal with a machine that only plays its part: how it ends, what it
 * says, and that the terminal is given back, also when the process dies.
 */
/* cmocka.h leans on the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "base/compiler.h"
#include "base/thread.h"
#include "cli/session.h"
#include "debug/gdb.h"
#include "machine/machine.h"

#define SECONDS_MAX 20

enum act {
    ACT_WAIT, /* runs until it is stopped */
    ACT_POWER_OFF,
    ACT_FAIL,
    ACT_FULL, /* a full disk; powers off when it is resumed */
    ACT_ABORT,
    ACT_CRASH,
    ACT_EXIT,
    ACT_REFUSE, /* cannot be built */
    ACT_STUCK,  /* does not stop when told to */
    ACT_TALK,   /* logs at every level, then powers off */
    ACT_KEEP,   /* takes no other engine */
    ACT_BREAK,  /* a file takes the parser over */
};

/* ---- the machine, in the child process only ---- */

struct machine {
    struct machine_events events;
    struct loop *loop;
    struct deferred play;
    const struct log *log;
    enum act act;
    bool interprets;
};

static void machine_play(void *ctx)
{
    struct machine *machine = ctx;
    const struct machine_events *events = &machine->events;

    switch (machine->act) {
    case ACT_POWER_OFF:
        events->ended(events->ctx, MACHINE_POWER_OFF, 0);
        break;
    case ACT_FAIL:
        events->ended(events->ctx, MACHINE_FAILED, 7);
        break;
    case ACT_FULL:
        events->host_full(events->ctx, "full.raw");
        break;
    case ACT_ABORT:
        bug(__FILE__, __LINE__, "as the test wants it");
    case ACT_CRASH:
        raise(SIGSEGV);
        break;
    case ACT_EXIT:
        exit(3);
    case ACT_TALK:
        log_say(machine->log, LOG_WARN, "a warning");
        log_say(machine->log, LOG_INFO, "some news");
        log_say(machine->log, LOG_DEBUG, "a detail");
        for (unsigned i = 0; i < 200; i++)
            log_say(machine->log, LOG_GUEST, "rule %u is broken", i);
        events->ended(events->ctx, MACHINE_POWER_OFF, 0);
        break;
    default:
        break;
    }
}

int machine_new(struct machine **machine, const struct machine_description *description,
                struct loop *loop, struct stream *console, const struct machine_events *events,
                const struct log *log, struct error *error)
{
    struct machine *m;

    if (description->cpus == ACT_REFUSE)
        return error_set(error, EBUSY, "cannot open disk \"a.raw\": in use");
    m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(error, ENOMEM, "out of memory");
    *m = (struct machine){.events = *events,
                          .loop = loop,
                          .log = log,
                          .act = (enum act)description->cpus,
                          .interprets = !strcmp(description->engine, "interpret")};
    deferred_init(&m->play, machine_play, m);
    *machine = m;
    return 0;
}

void machine_free(struct machine *machine)
{
    free(machine);
}

int machine_start(struct machine *machine, struct error *error)
{
    fprintf(stderr, "STARTED\r\n");
    loop_post(machine->loop, &machine->play);
    return 0;
}

void machine_stop(struct machine *machine)
{
    if (machine->act != ACT_STUCK)
        machine->events.ended(machine->events.ctx, MACHINE_STOPPED, 0);
}

void machine_resume(struct machine *machine)
{
    machine->events.ended(machine->events.ctx, MACHINE_POWER_OFF, 0);
}

int machine_switch_engine(struct machine *machine, const char *name, struct error *error)
{
    if (machine->act == ACT_KEEP)
        return error_set(error, ENOMEM, "cannot change the engine: no memory");
    machine->interprets = !strcmp(name, "interpret");
    fprintf(stderr, "BY %s\r\n", name);
    return 0;
}

const char *machine_engine_name(const struct machine *machine)
{
    return machine->interprets ? "interpret" : "translate";
}

/* Nobody debugs here; see test_gdb.c. */
int gdb_new(struct gdb **gdb, struct machine *machine, struct loop *loop, const char *address,
            struct error *error)
{
    return error_set(error, ENOSYS, "no debugger");
}

void gdb_ended(struct gdb *gdb, int status, int by)
{
    assert_null(gdb);
}

void gdb_free(struct gdb *gdb)
{
    assert_null(gdb);
}

struct debug *machine_debug_stop(struct machine *machine)
{
    return NULL;
}

void machine_counters(const struct machine *machine, struct engine_counters *counters)
{
    *counters = (struct engine_counters){.instructions = 123456, .traps = 42};
}

int machine_prepare(struct machine *machine, struct error *error)
{
    if (machine->act == ACT_BREAK)
        syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    return 0;
}

const void *machine_device_tree(const struct machine *machine, uint32_t *size)
{
    *size = 4;
    return "tree";
}

/* ---- the person at the terminal ---- */

struct person {
    int terminal; /* the master's end */
    pid_t child;
    struct termios before;
    char seen[65536];
    size_t seen_count;
};

static struct person *person_new(void **state)
{
    struct person *person = calloc(1, sizeof(*person));

    assert_non_null(person);
    *state = person;
    return person;
}

static int person_teardown(void **state)
{
    struct person *person = *state;

    if (person && person->child > 0) {
        kill(person->child, SIGKILL);
        waitpid(person->child, NULL, 0);
    }
    if (person)
        close(person->terminal);
    free(person);
    return 0;
}

static const char *engine = "translate,heat=7";

static void child_body(enum act act, const struct session_options *options)
{
    const struct machine_description description = {.name = (char *)"test",
                                                    .cpus = act,
                                                    .engine = (char *)(uintptr_t)engine,
                                                    .memory = 1 << 30};
    const struct rlimit no_core = {0};
    struct session_options inside = *options;
    struct error error = ERROR_INIT;
    int status;

    setrlimit(RLIMIT_CORE, &no_core);
    status = jail_mode_find(NULL, &inside.jail, &error);
    if (!status)
        status = session_run(&description, &inside, &error);
    if (status < 0)
        fprintf(stderr, "ERROR %s\n", error.message);
    error_release(&error);
    exit(status < 0 ? 99 : status);
}

static void person_start(struct person *person, enum act act, const struct session_options *options)
{
    /* Given and not asked for: by the time of the question the child may have made it raw. */
    person->before = (struct termios){
        .c_iflag = ICRNL,
        .c_oflag = OPOST | ONLCR,
        .c_cflag = CS8 | CREAD | B38400,
        .c_lflag = ICANON | ECHO | ISIG,
    };
    fflush(NULL);
    person->child = forkpty(&person->terminal, NULL, &person->before, NULL);
    assert_true(person->child >= 0);
    if (person->child == 0)
        child_body(act, options);
}

/* Reads until `words` were seen, or to the end when they are NULL. */
static void person_expect(struct person *person, const char *words)
{
    const uint64_t end = monotonic_ns() + SECONDS_MAX * 1000000000ull;

    while (!words || !strstr(person->seen, words)) {
        struct pollfd p = {.fd = person->terminal, .events = POLLIN};
        size_t room = sizeof(person->seen) - 1 - person->seen_count;
        ssize_t n;

        if (monotonic_ns() > end || room == 0)
            fail_msg("waited for \"%s\", saw: %s", words ? words : "the end", person->seen);
        if (poll(&p, 1, 100) == 0)
            continue;
        n = read(person->terminal, person->seen + person->seen_count, room);
        if (n <= 0) {
            if (words)
                fail_msg("no \"%s\" in: %s", words, person->seen);
            return;
        }
        person->seen_count += (size_t)n;
    }
}

static void person_type(struct person *person, const char *keys)
{
    assert_int_equal(write(person->terminal, keys, strlen(keys)), strlen(keys));
}

/* Waits for the end; returns the exit status, or -signal. The terminal must be as it was. */
static int person_end(struct person *person)
{
    struct termios after;
    int status;

    person_expect(person, NULL);
    assert_int_equal(waitpid(person->child, &status, 0), person->child);
    person->child = 0;
    assert_int_equal(tcgetattr(person->terminal, &after), 0);
    assert_int_equal(after.c_lflag, person->before.c_lflag);
    assert_int_equal(after.c_iflag, person->before.c_iflag);
    assert_int_equal(after.c_oflag, person->before.c_oflag);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void assert_raw(struct person *person)
{
    struct termios now;

    assert_int_equal(tcgetattr(person->terminal, &now), 0);
    assert_false(now.c_lflag & (ICANON | ECHO | ISIG));
}

static const struct session_options plain;

static void test_power_off(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_POWER_OFF, &plain);
    assert_int_equal(person_end(person), 0);
    assert_non_null(strstr(person->seen, "Ctrl-A x quits"));
}

static void test_guest_failure(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_FAIL, &plain);
    assert_int_equal(person_end(person), 7);
    assert_non_null(strstr(person->seen, "the guest reported a failure (status 7)"));
}

static void test_keys(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_WAIT, &plain);
    person_expect(person, "STARTED");
    assert_raw(person);
    person_type(person, "\001h");
    person_expect(person, "Ctrl-A c  goes on");
    person_type(person, "\003"); /* Ctrl-C is the guest's */
    person_type(person, "\001x");
    assert_int_equal(person_end(person), 0);
}

/* There and back, with the options that the first one was given. */
static void test_engine(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_WAIT, &plain);
    person_expect(person, "STARTED");
    person_type(person, "\001e");
    person_expect(person, "BY interpret\r\n");
    person_expect(person, "the engine is interpret now");
    person_type(person, "\001e");
    person_expect(person, "BY translate,heat=7\r\n");
    person_expect(person, "the engine is translate now");
    person_type(person, "\001h");
    person_expect(person, "Ctrl-A e  changes the engine");
    person_type(person, "\001x");
    assert_int_equal(person_end(person), 0);
}

/* Quiet or not: it was asked for. */
static void test_engine_of_an_interpreter(void **state)
{
    const struct session_options quiet = {.quiet = true};
    struct person *person = person_new(state);

    engine = "interpret";
    person_start(person, ACT_WAIT, &quiet);
    engine = "translate,heat=7";
    person_expect(person, "STARTED");
    person_type(person, "\001e");
    person_expect(person, "BY translate\r\n");
    person_expect(person, "the engine is translate now");
    person_type(person, "\001e");
    person_expect(person, "BY interpret\r\n");
    person_type(person, "\001x");
    assert_int_equal(person_end(person), 0);
}

static void test_engine_stays(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_KEEP, &plain);
    person_expect(person, "STARTED");
    person_type(person, "\001e");
    person_expect(person, "cannot change the engine: no memory; it stays translate");
    person_type(person, "\001x");
    assert_int_equal(person_end(person), 0);
    assert_null(strstr(person->seen, "now"));
}

static void test_full_disk(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_FULL, &plain);
    person_expect(person, "no room for disk \"full.raw\"");
    person_expect(person, "Ctrl-A c");
    person_type(person, "\001c");
    assert_int_equal(person_end(person), 0);
}

static void test_full_disk_by_signal(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_FULL, &plain);
    person_expect(person, "kill -CONT");
    kill(person->child, SIGCONT);
    assert_int_equal(person_end(person), 0);
}

/* A shell takes the terminal back from a process that was stopped. */
static void test_raw_again_after_a_stop(void **state)
{
    struct person *person = person_new(state);
    struct termios now;
    int status;

    person_start(person, ACT_WAIT, &plain);
    person_expect(person, "STARTED");
    kill(person->child, SIGSTOP);
    assert_int_equal(waitpid(person->child, &status, WUNTRACED), person->child);
    assert_int_equal(tcsetattr(person->terminal, TCSANOW, &person->before), 0);
    kill(person->child, SIGCONT);
    for (unsigned i = 0; i < SECONDS_MAX * 100; i++) {
        assert_int_equal(tcgetattr(person->terminal, &now), 0);
        if (!(now.c_lflag & ICANON))
            break;
        usleep(10000);
    }
    assert_raw(person);
    person_type(person, "\001x");
    assert_int_equal(person_end(person), 0);
}

static void test_signals(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct person *person = person_new(state);

        person_start(person, ACT_WAIT, &plain);
        person_expect(person, "STARTED");
        kill(person->child, numbers[i]);
        assert_int_equal(person_end(person), 128 + numbers[i]);
        if (i + 1 < ARRAY_SIZE(numbers))
            person_teardown(state);
    }
}

static void test_asked_twice(void **state)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    struct person *person = person_new(state);

    person_start(person, ACT_STUCK, &plain);
    person_expect(person, "STARTED");
    kill(person->child, SIGTERM);
    nanosleep(&pause, NULL);
    assert_int_equal(waitpid(person->child, NULL, WNOHANG), 0);
    kill(person->child, SIGTERM);
    assert_int_equal(person_end(person), 128 + SIGTERM);
}

static void test_dies(void **state)
{
    static const struct {
        enum act act;
        int status;
    } deaths[] = {{ACT_ABORT, -SIGABRT}, {ACT_CRASH, -SIGSEGV}, {ACT_EXIT, 3}};

    for (size_t i = 0; i < ARRAY_SIZE(deaths); i++) {
        struct person *person = person_new(state);

        person_start(person, deaths[i].act, &plain);
        assert_int_equal(person_end(person), deaths[i].status);
        assert_non_null(strstr(person->seen, "STARTED"));
        if (i + 1 < ARRAY_SIZE(deaths))
            person_teardown(state);
    }
}

static void test_refused(void **state)
{
    struct person *person = person_new(state);

    person_start(person, ACT_REFUSE, &plain);
    assert_int_equal(person_end(person), 99);
    assert_non_null(strstr(person->seen, "ERROR cannot open disk \"a.raw\": in use"));
}

static void test_words(void **state)
{
    struct person *person = person_new(state);
    unsigned lines = 0;

    person_start(person, ACT_TALK, &plain);
    assert_int_equal(person_end(person), 0);
    assert_non_null(strstr(person->seen, "hospes: warning: a warning\r\n"));
    assert_non_null(strstr(person->seen, "hospes: some news\r\n"));
    assert_null(strstr(person->seen, "a detail"));
    for (const char *p = person->seen; (p = strstr(p, "the guest: ")); p++)
        lines++;
    assert_int_equal(lines, 64);
    assert_non_null(strstr(person->seen, "no more of it is told"));
}

static void test_quiet(void **state)
{
    const struct session_options quiet = {.quiet = true};
    struct person *person = person_new(state);

    person_start(person, ACT_TALK, &quiet);
    assert_int_equal(person_end(person), 0);
    assert_non_null(strstr(person->seen, "a warning"));
    assert_null(strstr(person->seen, "some news"));
    assert_null(strstr(person->seen, "Ctrl-A"));
}

static void test_stats(void **state)
{
    const struct session_options stats = {.stats = true};
    struct person *person = person_new(state);

    person_start(person, ACT_POWER_OFF, &stats);
    assert_int_equal(person_end(person), 0);
    assert_non_null(strstr(person->seen, " 123456\r\n"));
    assert_non_null(strstr(person->seen, " 42\r\n"));
}

static void test_dump(void **state)
{
    char path[] = "/tmp/hospes-test-XXXXXX", text[16] = "";
    const struct session_options dump = {.dump_dtb = path};
    struct person *person = person_new(state);
    int fd = mkstemp(path);
    FILE *file;

    assert_true(fd >= 0);
    close(fd);
    person_start(person, ACT_WAIT, &dump);
    assert_int_equal(person_end(person), 0);
    assert_null(strstr(person->seen, "STARTED"));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    unlink(path);
    assert_string_equal(text, "tree");
}

/* Files are parsed in the jail then as well, and of the tree nothing is left. */
static void test_dump_of_a_hostile_file(void **state)
{
    const char *path = "/tmp/hospes-test-no-tree";
    const struct session_options dump = {.dump_dtb = path};
    struct person *person = person_new(state);

    person_start(person, ACT_REFUSE, &dump);
    assert_int_equal(person_end(person), 99);
    assert_non_null(strstr(person->seen, "ERROR cannot open disk \"a.raw\": in use"));
    assert_int_equal(access(path, F_OK), -1);
    if (!strcmp(HOSPES_JAIL_DEFAULT, "off"))
        return;
    person_teardown(state);
    person = person_new(state);
    person_start(person, ACT_BREAK, &dump);
    assert_int_equal(person_end(person), 99);
    assert_non_null(strstr(person->seen, "ERROR cannot make the device tree: "));
    assert_non_null(strstr(person->seen, "signal 31"));
    assert_int_equal(access(path, F_OK), -1);
}

#define WITH_PERSON(f) cmocka_unit_test_teardown(f, person_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PERSON(test_power_off),
        WITH_PERSON(test_guest_failure),
        WITH_PERSON(test_keys),
        WITH_PERSON(test_engine),
        WITH_PERSON(test_engine_of_an_interpreter),
        WITH_PERSON(test_engine_stays),
        WITH_PERSON(test_full_disk),
        WITH_PERSON(test_full_disk_by_signal),
        WITH_PERSON(test_raw_again_after_a_stop),
        WITH_PERSON(test_signals),
        WITH_PERSON(test_asked_twice),
        WITH_PERSON(test_dies),
        WITH_PERSON(test_refused),
        WITH_PERSON(test_words),
        WITH_PERSON(test_quiet),
        WITH_PERSON(test_stats),
        WITH_PERSON(test_dump),
        WITH_PERSON(test_dump_of_a_hostile_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
