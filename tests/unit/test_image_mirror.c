/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which archive is used, from what apt and mmdebstrap say; all host names are reserved for
 * examples.
 */
/* clang-format off */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */

#include "image/mirror.h"

static void targets(const char *lines, const char *archive, const char *security)
{
    struct mirror mirror = {0};

    assert_int_equal(mirror_from_targets(lines, &mirror), 0);
    if (archive)
        assert_string_equal(mirror.archive, archive);
    else
        assert_null(mirror.archive);
    if (security)
        assert_string_equal(mirror.security, security);
    else
        assert_null(mirror.security);
    mirror_release(&mirror);
}

static void debian_sites_are_found(void **state)
{
    targets("Debian|Debian|http://mirror.example/debian/\n"
            "Debian|Debian|http://other.example/debian/\n"
            "Debian|Debian-Security|http://mirror.example/debian-security/\n",
            "http://mirror.example/debian", "http://mirror.example/debian-security");
    targets("Example|Tools|https://tools.example/apt/\n"
            "Debian|Debian|https://mirror.example/pub/linux",
            "https://mirror.example/pub/linux", NULL);
}

static void other_sites_are_left(void **state)
{
    targets("", NULL, NULL);
    targets("Ubuntu|Ubuntu|http://mirror.example/ubuntu/\n", NULL, NULL);
    targets("Debian Backports|Debian Backports|http://mirror.example/debian/\n", NULL, NULL);
    targets("Ubuntu|Ubuntu|http://mirror.example/debian/\n", NULL, NULL);
    /* Not what a guest could reach, or not a URL that may go into a configuration. */
    targets("Debian|Debian|file:/srv/debian/\nDebian|Debian|cdrom://disc/\n", NULL, NULL);
    targets("Debian|Debian|http://mirror.example/debian\"; Evil \"/\n", NULL, NULL);
    targets("Debian\nDebian|Debian\n||\n|\n", NULL, NULL);
}

static void path_decides_before_the_first_update(void **state)
{
    targets("||http://mirror.example/debian/\n||http://mirror.example/debian-security/\n"
            "||http://tools.example/apt/\n",
            "http://mirror.example/debian", "http://mirror.example/debian-security");
}

static void sources_are_read(void **state)
{
    struct mirror mirror = {0};

    assert_int_equal(
        mirror_from_sources("# deb http://no.example/debian trixie main\n"
                            "deb [signed-by=/a/b arch=c] http://mirror.example/debian trixie main\n"
                            "deb http://sec.example/debian-security trixie-security main\n"
                            "deb [broken\n",
                            &mirror),
        0);
    assert_string_equal(mirror.archive, "http://mirror.example/debian");
    assert_string_equal(mirror.security, "http://sec.example/debian-security");
    mirror_release(&mirror);
}

static void asked_for_mirror_wins(void **state)
{
    struct mirror mirror = {0};
    struct error error = ERROR_INIT;

    assert_int_equal(setenv("HOSPES_MIRROR", "http://env.example/debian///", 1), 0);
    assert_int_equal(mirror_find(NULL, &mirror, NULL), 0);
    assert_string_equal(mirror.archive, "http://env.example/debian");
    assert_null(mirror.security);
    mirror_release(&mirror);
    assert_int_equal(mirror_find("https://flag.example/debian", &mirror, NULL), 0);
    assert_string_equal(mirror.archive, "https://flag.example/debian");
    mirror_release(&mirror);
    assert_int_equal(mirror_find("ftp://flag.example/debian", &mirror, &error), -EINVAL);
    assert_true(error.usage);
    error_release(&error);
    assert_int_equal(mirror_find("http://a.example/x y", &mirror, NULL), -EINVAL);
    assert_int_equal(unsetenv("HOSPES_MIRROR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debian_sites_are_found),
        cmocka_unit_test(other_sites_are_left),
        cmocka_unit_test(path_decides_before_the_first_update),
        cmocka_unit_test(sources_are_read),
        cmocka_unit_test(asked_for_mirror_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
