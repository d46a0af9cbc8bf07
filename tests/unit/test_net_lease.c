/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of a network: given, kept, given on, and read from files of any kind. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "network/lease.h"

static bool nobody(void *ctx, const char *name, unsigned index)
{
    return false;
}

static bool all_but_one(void *ctx, const char *name, unsigned index)
{
    return strcmp(name, ctx) != 0;
}

static bool everybody(void *ctx, const char *name, unsigned index)
{
    return true;
}

static void test_subnet(void **state)
{
    uint32_t first = lease_subnet("lab", 0);

    assert_int_equal(first, lease_subnet("lab", 0));
    assert_int_not_equal(first, lease_subnet("lab", 1));
    assert_int_not_equal(first, lease_subnet("lab2", 0));
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t subnet = lease_subnet("x", i);

        assert_int_equal(subnet >> 24, 10);
        assert_int_not_equal(subnet >> 16 & 0xff, 0);
        assert_int_equal(subnet & 0xff, 0);
    }
}

static void test_give(void **state)
{
    struct lease_table table = {.subnet = 10u << 24 | 1 << 16};
    uint8_t one = lease_give(&table, "one", 0, nobody, NULL), again;
    uint8_t second = lease_give(&table, "one", 1, nobody, NULL);

    assert_true(one >= 2 && one <= 254 && second >= 2 && second <= 254);
    assert_int_not_equal(one, second);
    assert_int_equal(lease_find(&table, "one", 0), one);
    assert_int_equal(lease_find(&table, "one", 1), second);
    assert_int_equal(lease_find(&table, "one", 2), 0);
    assert_int_equal(lease_find(&table, "two", 0), 0);
    again = lease_give(&table, "one", 0, nobody, NULL);
    assert_int_equal(again, one);
    assert_int_equal(table.count, 2);
    /* In a network that is made anew the same. */
    table.count = 0;
    assert_int_equal(lease_give(&table, "one", 0, nobody, NULL), one);
}

static void fill(struct lease_table *table)
{
    char name[16];

    for (unsigned i = 0; i < LEASE_MAX; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        assert_int_not_equal(lease_give(table, name, 0, everybody, NULL), 0);
    }
}

static void test_full(void **state)
{
    struct lease_table table = {0};
    bool given[256] = {0};
    uint8_t oldest;

    fill(&table);
    for (unsigned i = 0; i < table.count; i++) {
        assert_true(table.leases[i].host >= 2 && table.leases[i].host <= 254);
        assert_false(given[table.leases[i].host]);
        given[table.leases[i].host] = true;
    }
    /* All are there. */
    assert_int_equal(lease_give(&table, "more", 0, everybody, NULL), 0);
    assert_int_equal(table.count, LEASE_MAX);
    /* Only one is not. */
    oldest = lease_find(&table, "m77", 0);
    assert_int_equal(lease_give(&table, "more", 0, all_but_one, (void *)"m77"), oldest);
    assert_int_equal(lease_find(&table, "m77", 0), 0);
    /* None is: the one that had its address for the longest time gives it. */
    assert_int_not_equal(lease_give(&table, "m0", 0, nobody, NULL), 0);
    oldest = lease_find(&table, "m1", 0);
    assert_int_equal(lease_give(&table, "last", 0, nobody, NULL), oldest);
    assert_int_not_equal(lease_find(&table, "m0", 0), 0);
}

static void test_text(void **state)
{
    struct lease_table table = {.subnet = 10u << 24 | 255u << 16 | 7 << 8}, again;
    char *text = malloc(LEASE_TEXT_MAX);
    char longest[LEASE_NAME_MAX + 1];
    size_t length;

    assert_non_null(text);
    memset(longest, 'x', LEASE_NAME_MAX);
    longest[LEASE_NAME_MAX] = 0;
    for (unsigned i = 0; i < LEASE_MAX; i++) {
        longest[0] = (char)('a' + i % 26);
        longest[1] = (char)('a' + i / 26);
        assert_int_not_equal(lease_give(&table, longest, LEASE_INDEX_MAX, nobody, NULL), 0);
    }
    length = lease_format(&table, text);
    assert_true(length < LEASE_TEXT_MAX);
    assert_true(lease_parse(text, length, &again));
    assert_int_equal(again.subnet, table.subnet);
    assert_int_equal(again.count, LEASE_MAX);
    assert_memory_equal(again.leases, table.leases, sizeof(again.leases));
    free(text);
}

static void test_broken_lines_are_not_there(void **state)
{
    static const char text[] =
        "hospes-leases 1 10.3.4\n"
        "one 0 5\n"
        "two 0 5\n"   /* given */
        "one 0 6\n"   /* has one */
        "three 0 1\n" /* the network's own */
        "three 0 255\n"
        "three 0 -5\n"
        "three -1 9\n"
        "three 100 9\n"
        "three 0 9 x\n"
        "three 0\n"
        "\n"
        "th/ree 0 9\n"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxx 0 9\n"
        "four 1 9\n"
        "five 1 10";
    struct lease_table table;

    assert_true(lease_parse(text, sizeof(text) - 1, &table));
    assert_int_equal(table.subnet, 0x0a030400);
    assert_int_equal(table.count, 2);
    assert_int_equal(lease_find(&table, "one", 0), 5);
    assert_int_equal(lease_find(&table, "four", 1), 9);
}

static void test_no_tables(void **state)
{
    static const char *const texts[] = {"",
                                        "hospes-leases 1 10.3.4",
                                        "hospes-leases 2 10.3.4\n",
                                        "hospes-leases 1 11.3.4\n",
                                        "hospes-leases 1 10.0.4\n",
                                        "hospes-leases 1 10.256.4\n",
                                        "hospes-leases 1 10.3.256\n",
                                        "\nhospes-leases 1 10.3.4\n"};
    struct lease_table table;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(lease_parse(texts[i], strlen(texts[i]), &table));
}

static void test_file(void **state)
{
    char path[] = "/tmp/hospes-test-XXXXXX";
    struct lease_table table = {.subnet = 0x0a030400}, again;
    int directory, fd;

    assert_non_null(mkdtemp(path));
    directory = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(directory >= 0);
    assert_int_equal(lease_read(directory, &again), -ENOENT);
    lease_give(&table, "one", 0, nobody, NULL);
    assert_int_equal(lease_write(directory, &table), 0);
    assert_int_equal(lease_read(directory, &again), 0);
    assert_memory_equal(&again, &table, sizeof(table));
    fd = openat(directory, LEASE_FILE, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "junk\n", 5), 5);
    close(fd);
    assert_int_equal(lease_read(directory, &again), -EINVAL);
    assert_int_equal(unlinkat(directory, LEASE_FILE, 0), 0);
    /* Nothing else was left. */
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(lease_write(directory, &table), -ENOENT);
    close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subnet),
        cmocka_unit_test(test_give),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_broken_lines_are_not_there),
        cmocka_unit_test(test_no_tables),
        cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
