/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs' output, endings and silence. */
/* clang-format off */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "image/child.h"
#include "image/file.h"

struct seen {
    char text[8192];
    size_t longest;
};

static void line_see(void *ctx, const char *text)
{
    struct seen *seen = ctx;
    size_t used = strlen(seen->text);

    if (strlen(text) > seen->longest)
        seen->longest = strlen(text);
    snprintf(seen->text + used, sizeof(seen->text) - used, "[%s]", text);
}

static int run(const char *script, struct seen *seen, unsigned silence, struct error *error)
{
    static const char *const environment[] = {"HOSPES_TEST=given", NULL};
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct child child = {.argv = argv,
                          .environment = environment,
                          .log = -1,
                          .silence_limit = silence,
                          .line = line_see,
                          .ctx = seen};

    *seen = (struct seen){0};
    return child_run(&child, error);
}

static void lines_come_one_by_one(void **state)
{
    struct seen seen;

    assert_int_equal(run("printf 'a\\r\\nb\\n'; echo c >&2; printf 'a\\033[1m\\n\\n'; printf last",
                         &seen, 0, NULL),
                     0);
    assert_string_equal(seen.text, "[a][b][c][a?[1m][last]");
    assert_int_equal(run("echo $HOSPES_TEST; cat; case $PATH in *:/sbin) echo sbin;; esac", &seen,
                         0, NULL),
                     0);
    assert_string_equal(seen.text, "[given][sbin]");
}

static void long_lines_are_cut(void **state)
{
    struct seen seen;

    assert_int_equal(run("head -c 100000 /dev/zero | tr '\\0' x; echo; echo y", &seen, 0, NULL), 0);
    assert_int_equal(seen.longest, CHILD_LINE_MAX);
    assert_non_null(strstr(seen.text, "x][y]"));
}

static void endings_are_told(void **state)
{
    struct error error = ERROR_INIT;
    struct seen seen;

    assert_int_equal(run("echo first; echo reason; exit 7", &seen, 0, &error), -EIO);
    assert_string_equal(error.message, "\"sh\" failed with status 7: reason");
    error_release(&error);
    assert_int_equal(run("kill -9 $$", &seen, 0, &error), -EIO);
    assert_string_equal(error.message, "\"sh\" was killed by signal 9");
    error_release(&error);
    /* The shell's own 127 has words with it; ours has none. */
    assert_int_equal(run("hospes-no-such-program", &seen, 0, &error), -EIO);
    error_release(&error);
}

static void absent_program_is_named(void **state)
{
    const char *const argv[] = {"hospes-no-such-program", NULL};
    struct child child = {.argv = argv, .log = -1};
    struct error error = ERROR_INIT;

    assert_int_equal(child_run(&child, &error), -ENOENT);
    assert_non_null(strstr(error.message, "\"hospes-no-such-program\": no such program"));
    error_release(&error);
}

static void silence_ends_it(void **state)
{
    struct error error = ERROR_INIT;
    struct seen seen;

    assert_int_equal(run("echo begun; exec sleep 100", &seen, 1, &error), -ETIMEDOUT);
    assert_non_null(strstr(error.message, "said nothing for 1 seconds"));
    assert_string_equal(seen.text, "[begun]");
    error_release(&error);
}

static void line_stop(void *ctx, const char *text)
{
    line_see(ctx, text);
    kill(getpid(), SIGTERM);
}

/* The signal ends the child with all that it started, and reaches us only afterwards. */
static void held_signals_end_it(void **state)
{
    struct error error = ERROR_INIT;
    sigset_t before, pending;
    struct seen seen;
    const char *const argv[] = {"sh", "-c", "sleep 100 & echo $!; sleep 100", NULL};
    const struct child child = {.argv = argv, .log = -1, .line = line_stop, .ctx = &seen};
    int signal, grandchild;

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that an orphan does not stay a zombie */
    child_hold_stops(&before);
    seen = (struct seen){0};
    assert_int_equal(child_run(&child, &error), -EINTR);
    assert_non_null(strstr(error.message, "stopped by a signal"));
    error_release(&error);
    assert_int_equal(sscanf(seen.text, "[%d]", &grandchild), 1);
    for (unsigned i = 0; i < 500 && kill(grandchild, 0) == 0; i++) {
        waitpid(grandchild, NULL, WNOHANG);
        usleep(10000);
    }
    assert_int_equal(kill(grandchild, 0), -1);

    /* Nothing is begun while it is pending. */
    assert_int_equal(run("sleep 100", &seen, 20, NULL), -EINTR);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGTERM));
    sigemptyset(&pending);
    sigaddset(&pending, SIGTERM);
    assert_int_equal(sigwait(&pending, &signal), 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(run("echo again", &seen, 0, NULL), 0);
}

/* A script's background job ignores SIGINT; what ends a child must not be ignored by it. */
static void children_can_be_interrupted(void **state)
{
    void (*before)(int) = signal(SIGINT, SIG_IGN);
    struct seen seen;

    /* A shell cannot trap what it was born to ignore. */
    assert_int_equal(run("trap 'echo caught' INT; kill -INT $$", &seen, 20, NULL), 0);
    assert_string_equal(seen.text, "[caught]");
    signal(SIGINT, before);
}

static void output_is_gathered_up_to_its_limit(void **state)
{
    const char *const argv[] = {"sh", "-c", "echo one; echo two; echo three", NULL};
    const char *const none[] = {"true", NULL};
    CLEANUP(text_free) char *text = NULL;

    assert_int_equal(child_output(argv, 10, &text, NULL), 0);
    assert_string_equal(text, "one\ntwo\n");
    free(text);
    text = NULL;
    assert_int_equal(child_output(none, 10, &text, NULL), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_one_by_one),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(endings_are_told),
        cmocka_unit_test(absent_program_is_named),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(held_signals_end_it),
        cmocka_unit_test(children_can_be_interrupted),
        cmocka_unit_test(output_is_gathered_up_to_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
