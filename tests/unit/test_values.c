/* SPDX-License-Identifier: Apache-2.0 */
/* Values come out as they went in, and of broken ones nothing comes. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "host/values.h"

static void test_there_and_back(void **state)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-9223372036854775808",
        "9223372036854775807",
        "-0.5",
        "1e300",
        "\"\"",
        "\"\\u00e9 \\\"\"",
        "[]",
        "{}",
        "[[[1, [2, {}]], null], \"x\"]",
        "{\"a\": {\"b\": [true, {\"c\": \"d\"}]}, \"e\": 1, \"\": 2}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP(reader_answer_release) struct reader_answer answer = {0};
        json_t *json = json_loads(texts[i], JSON_DECODE_ANY, NULL), *back;

        assert_non_null(json);
        assert_int_equal(values_put(&answer, json), 0);
        assert_int_equal(values_put(&answer, json), 0);
        for (unsigned n = 0; n < 2; n++) {
            back = values_get(&answer);
            assert_true(json_equal(json, back));
            json_decref(back);
        }
        assert_null(values_get(&answer));
        json_decref(json);
    }
}

/* A terminal does as they say. */
static void test_control_characters(void **state)
{
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    json_t *json = json_stringn("\033[2J\n\0\177\xc3\xa9", 9), *back;

    assert_int_equal(values_put(&answer, json), 0);
    back = values_get(&answer);
    assert_string_equal(json_string_value(back), "?[2J???\xc3\xa9");
    json_decref(back);
    json_decref(json);
}

static json_t *nested(unsigned depth)
{
    json_t *json = json_null();

    while (--depth)
        json = json_pack("[o]", json);
    return json;
}

static void test_depth(void **state)
{
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    CLEANUP(reader_answer_release) struct reader_answer deep = {0};
    json_t *json = nested(VALUES_DEPTH_MAX), *back;

    assert_int_equal(values_put(&answer, json), 0);
    back = values_get(&answer);
    assert_true(json_equal(json, back));
    json_decref(back);
    json_decref(json);
    json = nested(VALUES_DEPTH_MAX + 1);
    assert_int_equal(values_put(&answer, json), -EPROTO);
    json_decref(json);
    /* One that was made without asking. */
    for (unsigned i = 0; i < 100000; i++) {
        reader_put(&deep, "a", 1);
        reader_put_number(&deep, 1);
    }
    assert_null(values_get(&deep));
}

static void test_broken_values(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES(""),
        BYTES("x"),
        BYTES("\0"),
        BYTES("i1234567"),
        BYTES("r\0\0\0\0\0\0\xf0\x7f"), /* infinite */
        BYTES("r\0\0\0\0\0\0\xf8\x7f"), /* no number */
        BYTES("s"),
        BYTES("s\2\0\0\0\0\0\0\0a"),
        BYTES("s\xff\xff\xff\xff\xff\xff\xff\xff"),
        BYTES("s\2\0\0\0\0\0\0\0\xc3("), /* no UTF-8 */
        BYTES("a\2\0\0\0\0\0\0\0n"),
        BYTES("a\xff\xff\xff\xff\xff\xff\xff\xffn"),
        BYTES("o\1\0\0\0\0\0\0\0"),
        BYTES("o\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0a"),
        BYTES("o\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0a\0n"),
        BYTES("o\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\xffn"),
        BYTES("o\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0an\1\0\0\0\0\0\0\0an"), /* twice */
    };
    char key[200] = "";

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(reader_answer_release) struct reader_answer answer = {0};

        reader_put(&answer, cases[i].bytes, cases[i].size);
        if (values_get(&answer))
            fail_msg("case %zu is a value", i);
    }
    /* A key of any length is none. */
    for (size_t length = 127; length < 129; length++) {
        CLEANUP(reader_answer_release) struct reader_answer answer = {0};
        json_t *json;

        memset(key, 'k', length);
        reader_put(&answer, "o", 1);
        reader_put_number(&answer, 1);
        reader_put_number(&answer, length);
        reader_put(&answer, key, length);
        reader_put(&answer, "n", 1);
        json = values_get(&answer);
        assert_int_equal(json != NULL, length == 127);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_broken_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
