/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded log file: its bound, what is in the two files, what is there already, and disks that
 * are full. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rotate.h"
#include "device_fixture.h"

struct fixture {
    char directory[40];
    char path[64], old[64];
    struct log log;
    unsigned said;
    char last[256];
};

/* The linker gives this name to write(), and write() to what follows. */
ssize_t __real_write(int fd, const void *data, size_t length);
ssize_t __wrap_write(int fd, const void *data, size_t length);

static int write_error; /* of the next calls; 0: as the system does it */
static size_t write_most = SIZE_MAX;

ssize_t __wrap_write(int fd, const void *data, size_t length)
{
    if (write_error) {
        errno = write_error;
        return -1;
    }
    return __real_write(fd, data, length < write_most ? length : write_most);
}

static void log_sink(void *ctx, enum log_level level, const char *text)
{
    struct fixture *f = ctx;

    f->said++;
    snprintf(f->last, sizeof(f->last), "%s", text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof(f->path), "%s/log", f->directory);
    snprintf(f->old, sizeof(f->old), "%s/log.1", f->directory);
    f->log = (struct log){.sink = log_sink, .ctx = f};
    write_error = 0;
    write_most = SIZE_MAX;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    write_error = 0;
    if (unlink(f->path))
        rmdir(f->path);
    if (unlink(f->old))
        rmdir(f->old);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static struct rotate *open_log(struct fixture *f, uint64_t bound)
{
    struct rotate *rotate;

    assert_int_equal(rotate_open(&rotate, f->path, bound, &f->log, NULL), 0);
    return rotate;
}

/* The file's content, of which there are fewer than 4096 bytes; "-" when it is not there. */
static const char *content(const char *path, char text[4096])
{
    int fd = open(path, O_RDONLY);
    ssize_t n;

    if (fd < 0)
        return "-";
    n = read(fd, text, 4095);
    assert_true(n >= 0 && n < 4095);
    text[n] = 0;
    close(fd);
    return text;
}

static void expect(struct fixture *f, const char *old, const char *now)
{
    char text[4096];

    assert_string_equal(content(f->old, text), old);
    assert_string_equal(content(f->path, text), now);
}

static void say(struct rotate *rotate, const char *text)
{
    rotate_write(rotate, text, strlen(text));
}

static void rotates_at_the_bound(void **state)
{
    struct fixture *f = *state;
    struct rotate *rotate = open_log(f, 8);
    struct stat st;

    expect(f, "-", "");
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    say(rotate, "abc");
    say(rotate, "defgh");
    expect(f, "-", "abcdefgh");
    say(rotate, "i");
    expect(f, "abcdefgh", "i");
    say(rotate, "jklmnopqrstuvwxyz");
    expect(f, "qrstuvwx", "yz");
    say(rotate, "");
    expect(f, "qrstuvwx", "yz");
    rotate_close(rotate);
    assert_int_equal(f->said, 0);
}

static void the_one_that_was(void **state)
{
    struct fixture *f = *state;
    struct rotate *rotate = open_log(f, 8);

    say(rotate, "first");
    rotate_close(rotate);
    rotate = open_log(f, 8);
    say(rotate, "second");
    expect(f, "firstsec", "ond");
    rotate_close(rotate);
    /* With a smaller bound: it is full. */
    rotate = open_log(f, 2);
    say(rotate, "x");
    expect(f, "ond", "x");
    rotate_close(rotate);
}

/* What was written last is there, in order, whatever the pieces. */
static void any_pieces(void **state)
{
    struct fixture *f = *state;
    uint64_t bound = 1000, total = 0;
    struct rotate *rotate = open_log(f, bound);
    char both[8192], text[4096];
    unsigned seed = 1;

    write_most = 37;
    for (unsigned i = 0; i < 2000; i++) {
        char piece[64];
        size_t length = (seed = seed * 1103515245 + 12345) >> 16 & 63;

        for (size_t j = 0; j < length; j++)
            piece[j] = (char)('a' + (total + j) % 23);
        rotate_write(rotate, piece, length);
        total += length;
        content(f->path, text);
        assert_true(strlen(text) <= bound);
    }
    rotate_close(rotate);
    strcpy(both, content(f->old, text));
    assert_int_equal(strlen(both), bound);
    strcat(both, content(f->path, text));
    for (uint64_t i = 0; i < strlen(both); i++)
        assert_int_equal(both[i], 'a' + (total - strlen(both) + i) % 23);
}

static void full_disk(void **state)
{
    struct fixture *f = *state;
    struct rotate *rotate = open_log(f, 100);

    say(rotate, "before,");
    write_error = ENOSPC;
    for (unsigned i = 0; i < 1000; i++)
        say(rotate, "lost,");
    assert_int_equal(f->said, 1);
    assert_non_null(strstr(f->last, f->path));
    assert_non_null(strstr(f->last, "no space"));
    write_error = 0;
    say(rotate, "after");
    write_error = EIO;
    say(rotate, "lost");
    assert_int_equal(f->said, 1);
    rotate_close(rotate);
    expect(f, "-", "before,after");
}

/* The names are taken by what cannot be replaced. */
static void rename_fails(void **state)
{
    struct fixture *f = *state;
    struct rotate *rotate = open_log(f, 4);
    char text[4096];

    assert_int_equal(mkdir(f->old, 0700), 0);
    say(rotate, "abcdef");
    say(rotate, "ghi");
    assert_int_equal(f->said, 1);
    assert_string_equal(content(f->path, text), "abcd");
    assert_int_equal(rmdir(f->old), 0);
    say(rotate, "xyz");
    expect(f, "abcd", "xyz");
    /* Somebody took the file away, and put a directory there. */
    say(rotate, "!");
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    say(rotate, "lost");
    assert_int_equal(f->said, 1);
    rotate_close(rotate);
}

static void no_file(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct rotate *rotate = NULL;

    assert_int_equal(rotate_open(&rotate, "/nowhere/at/all", 10, &f->log, &error), -ENOENT);
    assert_non_null(strstr(error.message, "\"/nowhere/at/all\""));
    error_release(&error);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_true(rotate_open(&rotate, f->path, 10, &f->log, &error) < 0);
    error_release(&error);
    assert_int_equal(rotate_open(&rotate, "/dev/null", 10, &f->log, &error), -EINVAL);
    assert_non_null(strstr(error.message, "no regular file"));
    error_release(&error);
    assert_null(rotate);
    rotate_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rotates_at_the_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(the_one_that_was, setup, teardown),
        cmocka_unit_test_setup_teardown(any_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(rename_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(no_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
