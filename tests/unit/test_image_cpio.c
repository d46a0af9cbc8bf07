/* SPDX-License-Identifier: Apache-2.0 */
/* The archive for the initial RAM disk, held against an independent reader: cpio(1). */
/* clang-format off */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "image/child.h"
#include "image/cpio.h"
#include "image/file.h"
#include "image/store.h"

struct place {
    char directory[32];
    char *tree;
    char *archive;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    strcpy(place->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    place->tree = text_format("%s/tree", place->directory);
    place->archive = text_format("%s/archive", place->directory);
    assert_int_equal(directory_make(place->tree, NULL), 0);
    *state = place;
    return 0;
}

static int place_remove(void **state)
{
    struct place *place = *state;

    assert_int_equal(directory_remove(place->directory, NULL), 0);
    free(place->tree);
    free(place->archive);
    free(place);
    return 0;
}

/* Runs `script` with the tree as $1 and the archive as $2; what it prints is `expected`. */
static void shell_says(const struct place *place, const char *script, const char *expected)
{
    const char *const argv[] = {"sh", "-ec", script, "sh", place->tree, place->archive, NULL};
    CLEANUP(text_free) char *text = NULL;

    assert_int_equal(child_output(argv, 1 << 16, &text, NULL), 0);
    assert_string_equal(text, expected);
}

static void another_program_reads_it(void **state)
{
    struct place *place = *state;

    shell_says(place,
               "cd $1; mkdir -p bin b; printf 12345 > b/five; chmod 640 b/five; : > b/empty;"
               "head -c 200000 /dev/urandom > b/large; ln -s ../b/five bin/link; chmod 755 bin",
               "");
    assert_int_equal(cpio_write(place->tree, place->archive, NULL), 0);
    shell_says(place, "cpio -itv --quiet < $2 | awk '{print $1, $3, $4, $NF}'",
               "drwxr-xr-x root root b\n"
               "-rw-r--r-- root root b/empty\n"
               "-rw-r----- root root b/five\n"
               "-rw-r--r-- root root b/large\n"
               "drwxr-xr-x root root bin\n"
               "lrwxrwxrwx root root ../b/five\n"
               "crw------- root root dev/console\n");
    shell_says(
        place,
        "mkdir $1/../out; cd $1/../out; cpio -id --quiet --no-absolute-filenames b/* bin/* < $2;"
        "cmp b/large $1/b/large; cat bin/link",
        "12345\n");
}

static void same_tree_makes_the_same_bytes(void **state)
{
    struct place *place = *state;
    CLEANUP(text_free) char *again = text_format("%s/again", place->directory);

    shell_says(place, "cd $1; for f in z y a m; do echo $f > $f; done", "");
    assert_int_equal(cpio_write(place->tree, place->archive, NULL), 0);
    shell_says(place, "cd $1; touch -d 2001-01-01 a z", "");
    assert_int_equal(cpio_write(place->tree, again, NULL), 0);
    shell_says(place, "cmp $2 $1/../again && echo same", "same\n");
}

static void what_cannot_be_archived_is_an_error(void **state)
{
    struct place *place = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(cpio_write("/nonexistent/tree", place->archive, NULL), -ENOENT);
    assert_int_equal(cpio_write(place->tree, "/nonexistent/archive", NULL), -ENOENT);
    shell_says(place, "mkfifo $1/pipe", "");
    assert_int_equal(cpio_write(place->tree, place->archive, &error), -EINVAL);
    assert_non_null(strstr(error.message, "/tree/pipe\""));
    error_release(&error);
    assert_int_equal(cpio_write(place->tree, "/dev/full", NULL), -EINVAL);
    shell_says(place, "rm $1/pipe; head -c 100000 /dev/zero > $1/zero", "");
    assert_true(cpio_write(place->tree, "/dev/full", NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_program_reads_it, place_make, place_remove),
        cmocka_unit_test_setup_teardown(same_tree_makes_the_same_bytes, place_make, place_remove),
        cmocka_unit_test_setup_teardown(what_cannot_be_archived_is_an_error, place_make,
                                        place_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
