/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: set once, wrapped on the way up, dropped where nobody reads them; and the log. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "device_fixture.h"

static void test_set(void **state)
{
    struct error error = ERROR_INIT;

    assert_int_equal(error_set(&error, ENOENT, "cannot open disk \"%s\"", "a.raw"), -ENOENT);
    assert_string_equal(error.message, "cannot open disk \"a.raw\"");
    assert_int_equal(error.code, ENOENT);
    assert_false(error.usage);
    error_release(&error);
    assert_null(error.message);
    assert_int_equal(error.code, 0);
    error_release(&error);
}

static void test_usage(void **state)
{
    struct error error = ERROR_INIT;

    assert_int_equal(error_usage(&error, "no such option %d", 3), -EINVAL);
    assert_string_equal(error.message, "no such option 3");
    assert_true(error.usage);
    assert_int_equal(error.code, EINVAL);
    /* Wrapping keeps the class. */
    assert_int_equal(error_wrap(&error, "run"), -EINVAL);
    assert_true(error.usage);
    error_release(&error);
    assert_false(error.usage);
}

static void test_wrap(void **state)
{
    struct error error = ERROR_INIT;

    error_set(&error, EBUSY, "in use");
    assert_int_equal(error_wrap(&error, "disk %u", 1u), -EBUSY);
    assert_int_equal(error_wrap(&error, "machine \"%s\"", "a%s"), -EBUSY);
    assert_string_equal(error.message, "machine \"a%s\": disk 1: in use");
    assert_int_equal(error.code, EBUSY);
    error_release(&error);
}

/* A second failure on the way (its cause is the first's) replaces, and leaks nothing. */
static void test_set_twice(void **state)
{
    struct error error = ERROR_INIT;

    error_usage(&error, "one");
    error_set(&error, EIO, "two");
    assert_string_equal(error.message, "two");
    assert_int_equal(error.code, EIO);
    assert_false(error.usage);
    error_release(&error);
}

static void test_null(void **state)
{
    assert_int_equal(error_set(NULL, EPERM, "nobody reads %s", "this"), -EPERM);
    assert_int_equal(error_usage(NULL, "nor this"), -EINVAL);
    assert_true(error_wrap(NULL, "nor that") < 0);
    error_release(NULL);
}

static void test_long(void **state)
{
    struct error error = ERROR_INIT;
    static char text[100000];

    memset(text, 'x', sizeof(text) - 1);
    error_set(&error, EIO, "%s", text);
    error_wrap(&error, "%s", text);
    assert_int_equal(strlen(error.message), 2 * (sizeof(text) - 1) + 2);
    error_release(&error);
}

static void test_words(void **state)
{
    assert_string_equal(error_words(ENOENT), "no such file or directory");
    assert_string_equal(error_words(999999), "unknown error");
    assert_string_equal(error_words(-1), "unknown error");
    for (int code = 1; code < 200; code++)
        assert_true(strlen(error_words(code)) > 0);
}

/* A broken promise of our own aborts, and says where. */
static void test_bug(void **state)
{
    char text[4096] = {0};
    int p[2], status;
    size_t used = 0;
    ssize_t n;
    pid_t child;

    assert_int_equal(pipe(p), 0);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct rlimit none = {0};

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        dup2(p[1], STDERR_FILENO);
        BUG_ON(text[0] == 0);
        _exit(0);
    }
    close(p[1]);
    /* To its end: it comes in several writes. */
    while (used < sizeof(text) - 1 && (n = read(p[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "test_error.c:"));
    assert_non_null(strstr(text, "text[0] == 0"));
    close(p[0]);
}

struct heard {
    unsigned count;
    enum log_level level;
    char text[1024];
};

static void sink(void *ctx, enum log_level level, const char *text)
{
    struct heard *heard = ctx;

    heard->count++;
    heard->level = level;
    snprintf(heard->text, sizeof(heard->text), "%s", text);
}

static void test_log(void **state)
{
    struct heard heard = {0};
    struct log log = {.sink = sink, .ctx = &heard};
    static char text[5000];

    log_say(&log, LOG_GUEST, "ring %d is %s", 1, "broken");
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.level, LOG_GUEST);
    assert_string_equal(heard.text, "ring 1 is broken");
    memset(text, 'y', sizeof(text) - 1);
    log_say(&log, LOG_INFO, "%s", text); /* cut, not overrun */
    assert_int_equal(heard.count, 2);
    assert_true(strlen(heard.text) > 100);
    log.sink = NULL;
    log_say(&log, LOG_ERROR, "dropped");
    log_say(NULL, LOG_ERROR, "dropped");
    assert_int_equal(heard.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),       cmocka_unit_test(test_usage), cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_set_twice), cmocka_unit_test(test_null),  cmocka_unit_test(test_long),
        cmocka_unit_test(test_words),     cmocka_unit_test(test_bug),   cmocka_unit_test(test_log),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
