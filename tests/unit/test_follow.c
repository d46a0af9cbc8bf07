/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a log while it rotates: nothing twice, nothing lost, in order. */
#include <errno.h>

#include "base/rotate.h"
#include "cli/follow.h"
#include "host_fixture.h"

struct fixture {
    char directory[32];
    char path[64], old[64];
    struct follow *follow;
    struct rotate *rotate;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/log", f->directory);
    snprintf(f->old, sizeof(f->old), "%s/log.1", f->directory);
    assert_int_equal(follow_new(&f->follow, f->path), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    follow_free(f->follow);
    rotate_close(f->rotate);
    assert_int_equal(directory_remove(f->directory, NULL), 0);
    free(f);
    return 0;
}

static void say(struct fixture *f, const char *text)
{
    if (!f->rotate)
        assert_int_equal(rotate_open(&f->rotate, f->path, 8, NULL, NULL), 0);
    rotate_write(f->rotate, text, strlen(text));
}

static void expect(struct fixture *f, const char *text)
{
    char all[256];
    size_t size = 0;
    long n;

    while ((n = follow_read(f->follow, all + size, sizeof(all) - 1 - size)) > 0)
        size += (size_t)n;
    assert_int_equal(n, 0);
    all[size] = 0;
    assert_string_equal(all, text);
}

static void nothing_there(void **state)
{
    struct fixture *f = *state;

    expect(f, "");
    expect(f, "");
    say(f, "first");
    expect(f, "first");
    expect(f, "");
    say(f, "!");
    expect(f, "!");
}

static void both_files(void **state)
{
    struct fixture *f = *state;

    say(f, "12345678abcd");
    expect(f, "12345678abcd");
    say(f, "efgh");
    expect(f, "efgh");
    say(f, "ijkl");
    expect(f, "ijkl");
}

static void pieces(void **state)
{
    struct fixture *f = *state;
    char two[2];

    say(f, "12345678abc");
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(follow_read(f->follow, two, 2), 2);
    assert_memory_equal(two, "ab", 2);
    expect(f, "c");
}

/* The older file is read while the newer becomes the older. */
static void rotates_at_the_beginning(void **state)
{
    struct fixture *f = *state;
    char first;

    say(f, "aaaaaaaabbbbbbbb");
    assert_int_equal(follow_read(f->follow, &first, 1), 1);
    say(f, "cccc");
    expect(f, "aaaaaaabbbbbbbbcccc");
}

static void rotates_at_the_end(void **state)
{
    struct fixture *f = *state;

    say(f, "aaaa");
    expect(f, "aaaa");
    say(f, "aaaabbbb");
    expect(f, "aaaabbbb");
    /* Twice: of what is lost nothing can be told, and what is there comes in order. */
    say(f, "bbbbccccccccdddd");
    expect(f, "bbbbccccccccdddd");
    say(f, "ddddeeeeeeeeffffffffgggg");
    expect(f, "ddddffffffffgggg");
}

/* A machine that was deleted, and one of its name made. */
static void another_file(void **state)
{
    struct fixture *f = *state;

    say(f, "12345678abc");
    expect(f, "12345678abc");
    rotate_close(f->rotate);
    f->rotate = NULL;
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(unlink(f->old), 0);
    expect(f, "");
    say(f, "new");
    expect(f, "new");
}

static void links_are_not_followed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(symlink("/etc/hostname", f->path), 0);
    expect(f, "");
}

/* Whatever the order of writes and reads, while the reader is no more than both files behind. */
static void any_order(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 1, written = 0, read = 0;
    char piece[8];

    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1) {
            unsigned length = (seed >> 17) % 5;

            if (written + length - read > 16)
                continue;
            for (unsigned j = 0; j < length; j++)
                piece[j] = (char)('a' + written++ % 23);
            piece[length] = 0;
            say(f, piece);
        } else {
            long n = follow_read(f->follow, piece, 1 + (seed >> 17) % 6);

            for (long j = 0; j < n; j++)
                assert_int_equal(piece[j], 'a' + read++ % 23);
            if (n == 0)
                assert_int_equal(read, written);
        }
    }
    assert_true(written > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_there, setup, teardown),
        cmocka_unit_test_setup_teardown(both_files, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(rotates_at_the_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(rotates_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(another_file, setup, teardown),
        cmocka_unit_test_setup_teardown(links_are_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(any_order, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
