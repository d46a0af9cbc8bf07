/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of a reader: its answer, its words, its end; and what it has. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"
#include "host/reader.h"

typedef int (*body_fn)(void *ctx, struct reader_answer *answer, struct error *error);

static int not_confined(void *ctx)
{
    return 0;
}

static int ask_of(body_fn body, bool confined, void *ctx, struct reader_answer *answer,
                  struct error *error)
{
    const struct reader reader = {.body = body,
                                  .confine = confined ? NULL : not_confined,
                                  .ctx = ctx,
                                  .files = {-1, -1},
                                  .answer_max = 1 << 20};

    return reader_ask(&reader, answer, error);
}

static void assert_words(struct error *error, const char *words)
{
    assert_non_null(error->message);
    if (!strstr(error->message, words))
        fail_msg("\"%s\" is not in: %s", words, error->message);
    error_release(error);
}

/* ---- answers ---- */

static int answers(void *ctx, struct reader_answer *answer, struct error *error)
{
    unsigned *count = ctx;

    for (unsigned i = 0; i < *count; i++)
        reader_put_number(answer, i);
    reader_put(answer, "end", 3);
    *count = 0;
    return 0;
}

static void test_answer(void **state)
{
    struct reader_answer answer;
    unsigned count = 100000; /* more than a pipe holds */
    uint64_t number;

    assert_int_equal(ask_of(answers, true, &count, &answer, NULL), 0);
    for (unsigned i = 0; i < 100000; i++) {
        assert_true(reader_get_number(&answer, &number));
        assert_int_equal(number, i);
    }
    assert_false(reader_get_number(&answer, &number));
    assert_null(reader_get(&answer, 4));
    assert_memory_equal(reader_get(&answer, 3), "end", 3);
    assert_null(reader_get(&answer, 1));
    assert_non_null(reader_get(&answer, 0));
    reader_answer_release(&answer);
    /* What it does in memory is its own. */
    assert_int_equal(count, 100000);
}

static void test_empty_answer(void **state)
{
    struct reader_answer answer;
    unsigned count = 0;

    assert_int_equal(ask_of(answers, true, &count, &answer, NULL), 0);
    assert_int_equal(answer.size, 3);
    reader_answer_release(&answer);
}

static void test_answer_that_is_too_long(void **state)
{
    struct error error = ERROR_INIT;
    struct reader_answer answer;
    unsigned count = (1 << 17) + 1;

    assert_int_equal(ask_of(answers, true, &count, &answer, &error), -EPROTO);
    assert_words(&error, "too long");
    assert_null(answer.data);
}

/* ---- failures ---- */

static int fails(void *ctx, struct reader_answer *answer, struct error *error)
{
    reader_put(answer, "x", 1);
    return error_set(error, ENOSPC, "no \033[2J room\n for \"%s\"", (const char *)ctx);
}

static int fails_at_length(void *ctx, struct reader_answer *answer, struct error *error)
{
    return error_set(error, EIO, "%0*d", 100000, 7);
}

static int misused(void *ctx, struct reader_answer *answer, struct error *error)
{
    return error_usage(error, "not so");
}

static void test_failures(void **state)
{
    struct error error = ERROR_INIT;
    struct reader_answer answer;
    char it[] = "it";

    assert_int_equal(ask_of(fails, true, it, &answer, &error), -ENOSPC);
    assert_int_equal(error.code, ENOSPC);
    assert_false(error.usage);
    assert_string_equal(error.message, "no ?[2J room? for \"it\"");
    assert_null(answer.data);
    error_release(&error);
    assert_int_equal(ask_of(fails_at_length, true, NULL, &answer, &error), -EIO);
    assert_in_range(strlen(error.message), 1, 1024);
    error_release(&error);
    assert_int_equal(ask_of(misused, true, NULL, &answer, &error), -EINVAL);
    assert_true(error.usage);
    assert_words(&error, "not so");
}

static int dies(void *ctx, struct reader_answer *answer, struct error *error)
{
    const int *number = ctx;

    reader_put(answer, "x", 1);
    if (!*number)
        _exit(0);
    syscall(SYS_kill, getpid(), *number);
    return 0;
}

static int opens_a_socket(void *ctx, struct reader_answer *answer, struct error *error)
{
    syscall(SYS_socket, 1, 1, 0);
    return 0;
}

static void test_end_before_the_answer(void **state)
{
    struct error error = ERROR_INIT;
    struct reader_answer answer;
    int number = SIGKILL;

    assert_int_equal(ask_of(dies, false, &number, &answer, &error), -ECHILD);
    assert_words(&error, "signal 9 (Killed)");
    number = 0;
    assert_int_equal(ask_of(dies, false, &number, &answer, &error), -ECHILD);
    assert_words(&error, "ended before");
    if (!strcmp(HOSPES_JAIL_DEFAULT, "off"))
        return;
    assert_int_equal(ask_of(opens_a_socket, true, NULL, &answer, &error), -ECHILD);
    assert_words(&error, "signal 31");
    /* As long as a developer does not want to see what it does. */
    setenv("HOSPES_JAIL", "off", 1);
    assert_int_equal(ask_of(opens_a_socket, true, NULL, &answer, &error), 0);
    reader_answer_release(&answer);
    setenv("HOSPES_JAIL", "sometimes", 1);
    assert_int_equal(ask_of(opens_a_socket, true, NULL, &answer, &error), -EINVAL);
    unsetenv("HOSPES_JAIL");
    error_release(&error);
}

static int sleeps(void *ctx, struct reader_answer *answer, struct error *error)
{
    pause();
    return 0;
}

static void test_silence(void **state)
{
    const struct reader reader = {.body = sleeps,
                                  .confine = not_confined,
                                  .files = {-1, -1},
                                  .timeout_ms = 100};
    uint64_t begin = monotonic_ns();
    struct error error = ERROR_INIT;
    struct reader_answer answer;

    assert_int_equal(reader_ask(&reader, &answer, &error), -ETIMEDOUT);
    assert_in_range(monotonic_ns() - begin, 100000000, 2000000000);
    assert_words(&error, "no answer");
    /* It was killed and is no zombie. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* ---- one that was taken over, and writes what it likes ---- */

struct header {
    uint32_t code, usage;
    uint64_t size;
};

struct lie {
    struct header header;
    size_t size; /* of the header that is sent */
    const char *more;
};

static int lies(void *ctx, struct reader_answer *answer, struct error *error)
{
    const struct lie *lie = ctx;
    struct stat st;

    for (int fd = 0; fd < 64; fd++)
        if (!fstat(fd, &st) && S_ISFIFO(st.st_mode)) {
            if (write(fd, &lie->header, lie->size) != (ssize_t)lie->size ||
                write(fd, lie->more, strlen(lie->more)) < 0)
                _exit(1);
            _exit(0);
        }
    _exit(1);
}

static void test_lies(void **state)
{
    const struct {
        struct lie lie;
        int result;
    } cases[] = {
        {{{0, 0, 5}, sizeof(struct header), "12345"}, 0},
        {{{0, 0, 5}, sizeof(struct header), "1234"}, -ECHILD},
        {{{0, 0, 5}, sizeof(struct header) - 1, ""}, -ECHILD},
        {{{0, 0, (1 << 20) + 1}, sizeof(struct header), "12345"}, -EPROTO},
        {{{0, 0, UINT64_MAX}, sizeof(struct header), "12345"}, -EPROTO},
        {{{5, 0, UINT64_MAX}, sizeof(struct header), "12345"}, -EPROTO},
        {{{71, 0, 1025}, sizeof(struct header), "12345"}, -EPROTO}, /* EPROTO itself */
        {{{4096, 0, 5}, sizeof(struct header), "12345"}, -EPROTO},
        {{{UINT32_MAX, 0, 5}, sizeof(struct header), "12345"}, -EPROTO},
        {{{5, 0, 5}, sizeof(struct header), "1\0002345"}, -ECHILD},
        {{{5, 0, 5}, sizeof(struct header), "12345"}, -EIO},
        {{{10, 7, 5}, sizeof(struct header), "12345"}, -ECHILD},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error = ERROR_INIT;
        struct reader_answer answer;
        int r = ask_of(lies, false, (void *)&cases[i].lie, &answer, &error);

        if (r != cases[i].result)
            fail_msg("case %u: %d, %s", i, r, error.message);
        if (r)
            assert_non_null(error.message);
        else
            assert_memory_equal(answer.data, "12345", 5);
        error_release(&error);
        reader_answer_release(&answer);
    }
}

/* ---- what it has ---- */

static int count_open(void *ctx, struct reader_answer *answer, struct error *error)
{
    const int *files = ctx;
    struct stat st, null;

    BUG_ON(stat("/dev/null", &null));
    for (int fd = 0; fd < 3; fd++)
        if (fd != files[0] && (fstat(fd, &st) || st.st_rdev != null.st_rdev))
            return error_set(error, EIO, "%d is no /dev/null", fd);
    for (int fd = 0; fd < 1024; fd++)
        if (!fstat(fd, &st) && (fd > 2 || fd == files[0]))
            reader_put_number(answer, (uint64_t)fd);
    return 0;
}

static void test_open_files(void **state)
{
    int all[8], kept[2];
    struct reader reader = {.body = count_open, .confine = not_confined, .answer_max = 1024};
    struct reader_answer answer;
    uint64_t number;

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
        assert_true((all[i] = open("/", O_RDONLY)) >= 0);
    for (unsigned way = 0; way < 4; way++) {
        const int ways[4][2] = {{-1, -1}, {all[2], -1}, {all[6], all[1]}, {0, all[7]}};
        unsigned expected = 1, found = 0; /* the pipe */

        for (unsigned i = 0; i < 2; i++) {
            kept[i] = reader.files[i] = ways[way][i];
            expected += kept[i] >= 0;
        }
        reader.ctx = kept;
        assert_int_equal(reader_ask(&reader, &answer, NULL), 0);
        for (unsigned i = 0; reader_get_number(&answer, &number); i++)
            found += (int)number == kept[0] || (int)number == kept[1];
        assert_int_equal(answer.size / sizeof(number), expected);
        assert_int_equal(found, expected - 1);
        reader_answer_release(&answer);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
        close(all[i]);
}

/* ctx: where a variable of the environment lies. */
static int looks_around(void *ctx, struct reader_answer *answer, struct error *error)
{
    const char *variable = ctx;

    reader_put_number(answer, getenv("HOSPES_TEST") != NULL);
    reader_put_number(answer, (unsigned char)*variable);
    return 0;
}

static void test_environment(void **state)
{
    struct reader_answer answer;
    uint64_t known, letter;
    char *variable;

    setenv("HOSPES_TEST", "secret", 1);
    variable = getenv("HOSPES_TEST");
    for (unsigned confined = 0; confined < 2; confined++) {
        assert_int_equal(ask_of(looks_around, confined, variable, &answer, NULL), 0);
        assert_true(reader_get_number(&answer, &known) && reader_get_number(&answer, &letter));
        assert_int_equal(known, !confined);
        assert_int_equal(letter, confined ? 0 : 's');
        reader_answer_release(&answer);
    }
    assert_string_equal(variable, "secret");
    unsetenv("HOSPES_TEST");
}

/* Nothing of it outlives the command, however that ends. */
static void test_command_that_is_killed(void **state)
{
    int pipes[2];
    pid_t child;
    char byte;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    child = fork();
    if (!child) {
        const struct reader reader = {.body = sleeps,
                                      .confine = not_confined,
                                      .files = {pipes[1], -1}};
        struct reader_answer answer;

        _exit(!reader_ask(&reader, &answer, NULL));
    }
    close(pipes[1]);
    usleep(200000);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    /* The end of the pipe: nobody has it any more. */
    assert_int_equal(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_empty_answer),
        cmocka_unit_test(test_answer_that_is_too_long),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_end_before_the_answer),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_open_files),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_command_that_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
