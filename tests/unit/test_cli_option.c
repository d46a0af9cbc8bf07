/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing by an option table: every form, and every mistake with its words. */
/* cmocka.h leans on the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "base/compiler.h"
#include "cli/option.h"

enum { CPUS = 1, DISK, PUBLISH, QUIET };

static const struct option options[] = {
    {CPUS, "--cpus", NULL, "N", false, "how many"},
    {DISK, "--disk", NULL, "FILE", true, "a disk"},
    {PUBLISH, "--publish", "-p", "HOST:GUEST", true, "a forward"},
    {QUIET, "--quiet", NULL, NULL, false, "less words"},
    {0},
};

static const struct command command = {.name = "test", .options = options};

/* Walks `argv` and writes what came as "cpus=4 operand=x ...". */
static int walk_text(char *text, size_t size, char **argv, struct error *error)
{
    struct option_walk walk;
    int argc = 0, kind;

    while (argv[argc])
        argc++;
    walk = option_walk_begin(&command, argc, argv);
    text[0] = 0;
    while ((kind = option_next(&walk, error)) > 0) {
        size_t used = strlen(text);

        if (kind == OPTION_HELP)
            snprintf(text + used, size - used, "help ");
        else if (kind == OPTION_OPERAND)
            snprintf(text + used, size - used, "operand=%s ", walk.value);
        else
            snprintf(text + used, size - used, "%s=%s ", walk.option->name,
                     walk.value ? walk.value : "on");
    }
    return kind;
}

/* The walk changes no argument; main() alone has them as char *. */
#define ARGV(...) ((char **)(const char *[]){__VA_ARGS__, NULL})

static void accepts(char **argv, const char *expected)
{
    struct error error = ERROR_INIT;
    char text[256];

    assert_int_equal(walk_text(text, sizeof(text), argv, &error), 0);
    assert_string_equal(text, expected);
    assert_null(error.message);
}

static void refuses(char **argv, const char *words)
{
    struct error error = ERROR_INIT;
    char text[256];

    assert_int_equal(walk_text(text, sizeof(text), argv, &error), -EINVAL);
    assert_true(error.usage);
    assert_string_equal(error.message, words);
    error_release(&error);
}

static void test_forms(void **state)
{
    accepts(ARGV("--cpus", "4"), "--cpus=4 ");
    accepts(ARGV("--cpus=4"), "--cpus=4 ");
    accepts(ARGV("--cpus="), "--cpus= ");
    accepts(ARGV("-p", "1:2", "-p3:4"), "--publish=1:2 --publish=3:4 ");
    accepts(ARGV("--publish=1:2"), "--publish=1:2 ");
    accepts(ARGV("a", "--quiet", "b"), "operand=a --quiet=on operand=b ");
    accepts(ARGV("--", "--cpus", "-p"), "operand=--cpus operand=-p ");
    accepts(ARGV("-"), "operand=- ");
    accepts(ARGV("--disk", "a", "--disk", "b"), "--disk=a --disk=b ");
    accepts(ARGV("--disk", "-odd-name"), "--disk=-odd-name ");
    accepts(ARGV("--help", "-h"), "help help ");
}

static void test_mistakes(void **state)
{
    refuses(ARGV("--cpu", "4"), "unknown option '--cpu'; did you mean '--cpus'?");
    refuses(ARGV("--cpu=4"), "unknown option '--cpu'; did you mean '--cpus'?");
    refuses(ARGV("--dsik", "a"), "unknown option '--dsik'; did you mean '--disk'?");
    refuses(ARGV("--pub", "a"), "unknown option '--pub'; did you mean '--publish'?");
    refuses(ARGV("--hlep"), "unknown option '--hlep'; did you mean '--help'?");
    refuses(ARGV("--zzzz"), "unknown option '--zzzz'; see: hospes test --help");
    refuses(ARGV("-z"), "unknown option '-z'; see: hospes test --help");
    refuses(ARGV("--cpus"), "option '--cpus' needs a value: --cpus N");
    refuses(ARGV("--cpus", "--quiet"), "option '--cpus' needs a value: --cpus N");
    refuses(ARGV("--cpus", "--help"), "option '--cpus' needs a value: --cpus N");
    refuses(ARGV("-p"), "option '-p' needs a value: -p HOST:GUEST");
    refuses(ARGV("--quiet=yes"), "option '--quiet' takes no value; leave out '=yes'");
    refuses(ARGV("--cpus", "1", "--cpus", "2"), "option '--cpus' was given twice; give it once");
}

static void test_long_word(void **state)
{
    char word[300] = "--";
    char text[256];
    struct error error = ERROR_INIT;

    memset(word + 2, 'x', sizeof(word) - 3);
    assert_int_equal(walk_text(text, sizeof(text), ARGV(word), &error), -EINVAL);
    assert_true(strlen(error.message) < 100);
    error_release(&error);
}

static void test_asks_help(void **state)
{
    assert_true(option_asks_help(&command, 2, ARGV("--cpus=1", "-h")));
    assert_true(option_asks_help(&command, 2, ARGV("x", "--help")));
    assert_false(option_asks_help(&command, 2, ARGV("--disk", "--help")));
    assert_false(option_asks_help(&command, 2, ARGV("--", "--help")));
    assert_false(option_asks_help(&command, 2, ARGV("--wrong", "--help")));
}

static void test_number(void **state)
{
    static const char *const bad[] = {"",   "0",  "65", "-1",  "+1",
                                      " 1", "1x", "x",  "1.5", "99999999999999999999"};
    struct option_walk walk = {.command = &command, .option = &options[0]};
    struct error error = ERROR_INIT;
    unsigned n = 7;

    walk.value = "64";
    assert_int_equal(option_number(&walk, 1, 64, &n, &error), 0);
    assert_int_equal(n, 64);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        walk.value = bad[i];
        assert_int_equal(option_number(&walk, 1, 64, &n, &error), -EINVAL);
        assert_true(error.usage);
        assert_int_equal(n, 64);
        error_release(&error);
    }
}

static void test_distance(void **state)
{
    assert_int_equal(option_distance("", ""), 0);
    assert_int_equal(option_distance("abc", ""), 3);
    assert_int_equal(option_distance("", "abc"), 3);
    assert_int_equal(option_distance("disk", "disk"), 0);
    assert_int_equal(option_distance("disk", "dsik"), 1);
    assert_int_equal(option_distance("disk", "desk"), 1);
    assert_int_equal(option_distance("disk", "dis"), 1);
    assert_int_equal(option_distance("kitten", "sitting"), 3);
    assert_int_equal(option_nearness("--cpus", "--kernel"), 0);
    assert_int_equal(option_nearness("--", "--cpus"), 0);
    assert_int_equal(option_nearness("-x", "-p"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),     cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_long_word), cmocka_unit_test(test_asks_help),
        cmocka_unit_test(test_number),    cmocka_unit_test(test_distance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
