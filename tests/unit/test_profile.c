/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code profiles: what is noted is found again, in this run and by way of a file in the next; what
 * was not executed for long goes; a file that is anything else than one is told and does no harm.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "cpu/profile.h"

/* A page that is like no other of another number. */
static const uint8_t *page_of(unsigned number)
{
    static uint8_t bytes[PROFILE_PAGE_SIZE];

    memset(bytes, 0x13, sizeof(bytes));
    store_le32(bytes + 100, number);
    return bytes;
}

static struct profile *profile_make(void)
{
    struct profile *profile;

    assert_int_equal(profile_new(&profile), 0);
    return profile;
}

/* `count` pages from number `first` on, with 1 + number % 7 places. */
static void learn(struct profile *profile, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        uint32_t page = profile_add(profile, page_of(i));

        assert_int_not_equal(page, PROFILE_NONE);
        for (unsigned j = 0; j < 1 + i % 7; j++)
            profile_note(profile, page, (i + 3 * j) * 6 % 4096);
    }
}

static void expect_learned(struct profile *profile, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        uint32_t page = profile_find(profile, page_of(i));
        unsigned places = 0;

        assert_int_not_equal(page, PROFILE_NONE);
        for (unsigned place = 0; place < 4096; place++)
            places += profile_has(profile, page, place);
        assert_int_equal(places, 1 + i % 7);
        for (unsigned j = 0; j < 1 + i % 7; j++)
            assert_true(profile_has(profile, page, (i + 3 * j) * 6 % 4096));
    }
}

static uint8_t *format(const struct profile *profile, size_t *size)
{
    uint8_t *data = profile_format(profile, size);

    assert_non_null(data);
    return data;
}

/* What a file of these bytes is taken for. */
static int parse(const uint8_t *data, size_t size, unsigned *pages)
{
    struct profile *profile = profile_make();
    uint8_t *copy = malloc(size ? size : 1); /* so that a look past its end is seen */
    int r;

    memcpy(copy, data, size);
    r = profile_parse(profile, copy, size);
    *pages = profile_page_count(profile);
    if (r)
        assert_int_equal(*pages + profile_place_count(profile), 0);
    free(copy);
    profile_free(profile);
    return r;
}

/* ---- the hash ---- */

/* The verification value that SMHasher has for MurmurHash3_x64_128. */
static void test_hash(void **state)
{
    uint8_t key[256], hashes[256 * 16];
    struct hash128 all;

    for (unsigned i = 0; i < 256; i++) {
        struct hash128 hash = hash128(key, i, 256 - i);

        key[i] = (uint8_t)i;
        store_le64(hashes + 16 * i, hash.word[0]);
        store_le64(hashes + 16 * i + 8, hash.word[1]);
    }
    all = hash128(hashes, sizeof(hashes), 0);
    assert_int_equal((uint32_t)all.word[0], 0x6384ba69);
}

/* ---- in memory ---- */

static void test_notes(void **state)
{
    struct profile *profile = profile_make();
    uint32_t page;

    assert_int_equal(profile_find(profile, page_of(1)), PROFILE_NONE);
    assert_false(profile_is_used(profile));
    page = profile_add(profile, page_of(1));
    assert_int_equal(profile_add(profile, page_of(1)), page);
    assert_int_equal(profile_find(profile, page_of(1)), page);
    assert_int_equal(profile_find(profile, page_of(2)), PROFILE_NONE);
    assert_true(profile_is_used(profile));
    for (unsigned place = 0; place < 4096; place++)
        assert_false(profile_has(profile, page, place));
    /* In any order, and again. */
    for (unsigned i = 0; i < 2 * 4096; i++)
        profile_note(profile, page, i * 1237 % 4096);
    profile_note(profile, page, 4096);
    for (unsigned place = 0; place < 4096; place++)
        assert_true(profile_has(profile, page, place));
    assert_false(profile_has(profile, page, 4096));
    assert_int_equal(profile_place_count(profile), 4096);
    profile_free(profile);
    profile_free(NULL);
}

static void test_many_pages(void **state)
{
    struct profile *profile = profile_make();

    learn(profile, 0, 5000);
    expect_learned(profile, 0, 5000);
    assert_int_equal(profile_page_count(profile), 5000);
    profile_free(profile);
}

static void test_bounds_in_memory(void **state)
{
    struct profile *profile = profile_make();
    uint32_t last;

    for (unsigned i = 0; i < PROFILE_PAGES_MAX; i++)
        assert_int_equal(profile_add(profile, page_of(i)), i);
    assert_int_equal(profile_add(profile, page_of(PROFILE_PAGES_MAX)), PROFILE_NONE);
    assert_int_equal(profile_add(profile, page_of(7)), 7);
    for (unsigned i = 0; i < PROFILE_PLACES_MAX; i++)
        profile_note(profile, i / 4096, i % 4096);
    last = PROFILE_PAGES_MAX - 1;
    profile_note(profile, last, 10);
    assert_false(profile_has(profile, last, 10));
    assert_int_equal(profile_place_count(profile), PROFILE_PLACES_MAX);
    profile_free(profile);
}

/* ---- the file ---- */

static void test_round_trip(void **state)
{
    const unsigned counts[] = {0, 1, 2, 1023, 1024, 1025, 3000};

    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct profile *profile = profile_make(), *again = profile_make();
        size_t size, size_again;
        uint8_t *data, *data_again;

        learn(profile, 0, counts[i]);
        data = format(profile, &size);
        assert_int_equal(profile_parse(again, data, size), 0);
        assert_false(profile_is_used(again));
        assert_int_equal(profile_page_count(again), counts[i]);
        expect_learned(again, 0, counts[i]);
        data_again = format(again, &size_again);
        assert_int_equal(size, size_again);
        assert_memory_equal(data, data_again, size);
        free(data);
        free(data_again);
        profile_free(profile);
        profile_free(again);
    }
}

/* A page of which nothing was translated is not worth a record. */
static void test_pages_without_places(void **state)
{
    struct profile *profile = profile_make();
    unsigned pages;
    uint8_t *data;
    size_t size;

    learn(profile, 0, 3);
    profile_add(profile, page_of(100));
    data = format(profile, &size);
    assert_int_equal(parse(data, size, &pages), 0);
    assert_int_equal(pages, 3);
    free(data);
    profile_free(profile);
}

static void test_truncated_and_longer(void **state)
{
    struct profile *profile = profile_make();
    uint8_t *data, *longer;
    unsigned pages;
    size_t size;

    learn(profile, 0, 12);
    data = format(profile, &size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(parse(data, i, &pages), -EINVAL);
    longer = calloc(1, size + 64);
    memcpy(longer, data, size);
    for (size_t i = 1; i <= 64; i++)
        assert_int_equal(parse(longer, size + i, &pages), -EINVAL);
    assert_int_equal(parse(longer, size, &pages), 0);
    free(longer);
    free(data);
    profile_free(profile);
}

static void test_each_bit(void **state)
{
    struct profile *profile = profile_make();
    unsigned pages;
    uint8_t *data;
    size_t size;

    learn(profile, 0, 12);
    data = format(profile, &size);
    for (size_t i = 0; i < 8 * size; i++) {
        data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(parse(data, size, &pages), -EINVAL);
        data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    free(data);
    profile_free(profile);
}

/* Whoever makes a file up makes its last hash right. */
static void seal(uint8_t *data, size_t size)
{
    struct hash128 hash = hash128(data, size - 16, 0);

    store_le64(data + size - 16, hash.word[0]);
    store_le64(data + size - 8, hash.word[1]);
}

/* Two pages, of one and of two places. */
static void test_sealed_nonsense(void **state)
{
    const struct {
        const char *what;
        unsigned at, bytes;
        uint64_t value;
    } wrong[] = {
        {"magic", 0, 1, 'H'},
        {"version", 8, 4, 2},
        {"no page", 12, 4, 0},
        {"fewer pages", 12, 4, 1},
        {"more pages", 12, 4, 3},
        {"all pages", 12, 4, UINT32_MAX},
        {"fewer places", 16, 4, 2},
        {"more places", 16, 4, 4},
        {"all places", 16, 4, UINT32_MAX},
        {"not zero", 20, 4, 1},
        {"no place", 40, 2, 0},
        {"too many places", 40, 2, 65535},
        {"one more place", 40, 2, 2},
        {"more than there are", 60, 2, 4096},
        {"a place too few", 60, 2, 1},
        {"old", 42, 1, 51},
        {"not zero", 43, 1, 1},
        {"key order", 44, 8, 0},
        {"same place", 68, 2, 20},
        {"place order", 68, 2, 10},
        {"out of the page", 68, 2, 4096},
    };
    uint8_t good[24 + 2 * 20 + 3 * 2 + 16] = "hospes\r\n";
    unsigned pages;

    store_le32(good + 8, 1);
    store_le32(good + 12, 2);
    store_le32(good + 16, 3);
    store_le64(good + 24, 1);
    store_le16(good + 40, 1);
    store_le64(good + 44, 2);
    store_le16(good + 60, 2);
    store_le16(good + 64, 4);
    store_le16(good + 66, 20);
    store_le16(good + 68, 22);
    seal(good, sizeof(good));
    assert_int_equal(parse(good, sizeof(good), &pages), 0);
    assert_int_equal(pages, 2);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t bad[sizeof(good)], value[8];

        memcpy(bad, good, sizeof(good));
        store_le64(value, wrong[i].value);
        memcpy(bad + wrong[i].at, value, wrong[i].bytes);
        seal(bad, sizeof(bad));
        if (parse(bad, sizeof(bad), &pages) != -EINVAL)
            fail_msg("taken for a profile: %s", wrong[i].what);
    }
    /* The same page twice. */
    store_le64(good + 44, 1);
    seal(good, sizeof(good));
    assert_int_equal(parse(good, sizeof(good), &pages), -EINVAL);
}

/* Far more than a file may have: what was executed last is what stays. */
static void test_bounds_of_a_file(void **state)
{
    struct profile *old = profile_make(), *run = profile_make(), *again = profile_make();
    size_t size;
    uint8_t *data;

    for (unsigned i = 0; i < 40000; i++)
        profile_note(old, profile_add(old, page_of(i)), 2);
    for (unsigned i = 30000; i < 50000; i++)
        profile_note(run, profile_add(run, page_of(i)), 4);
    profile_merge(old, run);
    assert_int_equal(profile_page_count(old), 50000);
    data = format(old, &size);
    assert_in_range(size, 1, PROFILE_FILE_MAX);
    assert_int_equal(profile_parse(again, data, size), 0);
    assert_int_equal(profile_page_count(again), PROFILE_PAGES_MAX / 2);
    for (unsigned i = 30000; i < 50000; i++) {
        uint32_t page = profile_find(again, page_of(i));

        assert_int_not_equal(page, PROFILE_NONE);
        assert_true(profile_has(again, page, 4));
        assert_int_equal(profile_has(again, page, 2), i < 40000);
    }
    free(data);
    profile_free(old);
    profile_free(run);
    profile_free(again);
}

static void test_bounds_of_a_files_places(void **state)
{
    struct profile *profile = profile_make(), *again = profile_make();
    size_t size;
    uint8_t *data;

    for (unsigned i = 0; i < 200; i++)
        for (unsigned place = 0; place < 4096; place++)
            profile_note(profile, profile_add(profile, page_of(i)), place);
    data = format(profile, &size);
    assert_in_range(size, 1, PROFILE_FILE_MAX);
    assert_int_equal(profile_parse(again, data, size), 0);
    assert_int_equal(profile_place_count(again), PROFILE_PLACES_MAX / 2);
    free(data);
    profile_free(profile);
    profile_free(again);
}

/* ---- from run to run ---- */

static char directory[] = "/tmp/hospes-profile-XXXXXX";
static char path[64];

static int directory_begin(void **state)
{
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/p", directory);
    return 0;
}

static int directory_end(void **state)
{
    unlink(path);
    rmdir(path);
    return rmdir(directory); /* fails if anything else was left */
}

static struct profile *load(void)
{
    struct profile *profile = profile_make();

    assert_int_equal(profile_load(profile, path, NULL), 0);
    return profile;
}

/* A run that executes pages of the profile, and learns so many. */
static void run(unsigned first, unsigned count)
{
    struct profile *profile = load();

    learn(profile, first, count);
    assert_int_equal(profile_save(profile, path, NULL), 0);
    profile_free(profile);
}

static void expect_pages(unsigned first, unsigned count)
{
    struct profile *profile = load();

    assert_int_equal(profile_page_count(profile), count);
    expect_learned(profile, first, count);
    profile_free(profile);
}

static void test_file_is_made_and_merged(void **state)
{
    struct profile *one, *two;
    struct stat status;

    one = load();
    assert_int_equal(profile_page_count(one), 0);
    two = load();
    learn(one, 0, 20);
    learn(two, 10, 30);
    assert_int_equal(profile_save(one, path, NULL), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    expect_pages(0, 20);
    assert_int_equal(profile_save(two, path, NULL), 0);
    expect_pages(0, 40);
    profile_free(one);
    profile_free(two);
}

static void test_ageing(void **state)
{
    run(0, 2);
    for (unsigned i = 0; i < PROFILE_AGE_MAX; i++)
        run(1, 1);
    expect_pages(0, 2);
    /* Once executed it is young again. */
    run(0, 1);
    for (unsigned i = 0; i < PROFILE_AGE_MAX; i++)
        run(1, 1);
    expect_pages(0, 2);
    run(1, 1);
    expect_pages(1, 1);
}

/* What a run loaded and did not execute is not brought back. */
static void test_removed_meanwhile(void **state)
{
    struct profile *profile;

    run(0, 10);
    profile = load();
    learn(profile, 5, 1);
    unlink(path);
    assert_int_equal(profile_save(profile, path, NULL), 0);
    profile_free(profile);
    expect_pages(5, 1);
}

static void write_file(const char *text, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static void expect_refused(const char *words)
{
    struct profile *profile = profile_make();
    struct error error = ERROR_INIT;

    assert_true(profile_load(profile, path, &error) < 0);
    assert_non_null(strstr(error.message, words));
    assert_int_equal(profile_page_count(profile), 0);
    error_release(&error);
    profile_free(profile);
}

static void test_damaged_file_is_replaced(void **state)
{
    run(0, 10);
    assert_int_equal(truncate(path, 100), 0);
    expect_refused("damaged");
    struct profile *profile = profile_make();
    learn(profile, 3, 1);
    assert_int_equal(profile_save(profile, path, NULL), 0);
    profile_free(profile);
    expect_pages(3, 1);
}

/* A disk image, given by mistake. */
static void expect_kept(const struct profile *profile, const char *words)
{
    struct error error = ERROR_INIT;
    struct stat before, after;

    assert_int_equal(stat(path, &before), 0);
    assert_true(profile_save(profile, path, &error) < 0);
    assert_non_null(strstr(error.message, words));
    error_release(&error);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_size, after.st_size);
}

static void test_other_files_are_kept(void **state)
{
    struct profile *profile = profile_make();

    learn(profile, 0, 3);
    write_file("something else", 14);
    expect_refused("no code profile");
    expect_kept(profile, "stays as it is");
    assert_int_equal(truncate(path, PROFILE_FILE_MAX + 1), 0);
    expect_refused("too large");
    expect_kept(profile, "stays as it is");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused("not a file");
    expect_kept(profile, "stays as it is");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refused("not a file");
    expect_kept(profile, "stays as it is");
    rmdir(path);
    /* An empty one is what mktemp makes. */
    write_file("", 0);
    assert_int_equal(profile_save(profile, path, NULL), 0);
    profile_free(profile);
    expect_pages(0, 3);
}

static void test_no_directory(void **state)
{
    struct profile *profile = profile_make();
    struct error error = ERROR_INIT;

    learn(profile, 0, 3);
    assert_int_equal(profile_save(profile, "/nonexistent/p", &error), -ENOENT);
    assert_non_null(strstr(error.message, "cannot write code profile \"/nonexistent/p\""));
    error_release(&error);
    profile_free(profile);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, directory_begin, directory_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_many_pages),
        cmocka_unit_test(test_bounds_in_memory),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_pages_without_places),
        cmocka_unit_test(test_truncated_and_longer),
        cmocka_unit_test(test_each_bit),
        cmocka_unit_test(test_sealed_nonsense),
        cmocka_unit_test(test_bounds_of_a_file),
        cmocka_unit_test(test_bounds_of_a_files_places),
        IN_DIRECTORY(test_file_is_made_and_merged),
        IN_DIRECTORY(test_ageing),
        IN_DIRECTORY(test_removed_meanwhile),
        IN_DIRECTORY(test_damaged_file_is_replaced),
        IN_DIRECTORY(test_other_files_are_kept),
        IN_DIRECTORY(test_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
