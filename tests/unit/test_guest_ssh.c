/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's key is made once, and what a guest tells of its host keys is judged. */
/* clang-format off */
#include "host_fixture.h"
/* clang-format on */

#include <errno.h>

#include "host/guest_ssh.h"

static void known_is(const char *told, size_t size, const char *expected)
{
    char *known = guest_ssh_known_hosts("hospes-web", told, size);

    if (expected)
        assert_string_equal(known, expected);
    else
        assert_null(known);
    free(known);
}

static void test_keys_that_are_told(void **state)
{
    static const char two[] =
        "key ssh-ed25519 AAAA+/9= root@web\nkey sk-ssh-ed25519@openssh.com BB==";

    known_is(two, sizeof(two) - 1,
             "hospes-web ssh-ed25519 AAAA+/9=\nhospes-web sk-ssh-ed25519@openssh.com BB==\n");
    known_is("key ssh-rsa AAAA\n", 17, "hospes-web ssh-rsa AAAA\n");
}

static void test_what_is_no_key(void **state)
{
    static const char *const lines[] = {
        "",
        "\n\n",
        "ssh-rsa AAAA\n",
        "key\n",
        "key \n",
        "key ssh-rsa\n",
        "key ssh-rsa \n",
        "key * ssh-rsa\n",
        "key @cert-authority * ssh-rsa AAAA\n",
        "key ssh-rsa AA\rAA\n",
        "key ssh-rsa AA\033[2J\n",
        "key ssh,rsa AAAA\n",
    };
    static const char zero[] = "key ssh-rsa AA\0AA\nkey ssh\0rsa AAAA\n";

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        known_is(lines[i], strlen(lines[i]), NULL);
    known_is(zero, sizeof(zero) - 1, NULL);
}

static void test_keys_without_end(void **state)
{
    size_t size = 1 << 20, lines = 0;
    char *told = malloc(size), *known;

    for (size_t i = 0; i < size; i++)
        told[i] = "key a A\n"[i % 8];
    known = guest_ssh_known_hosts("w", told, size);
    for (const char *c = known; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 16);
    free(known);
    /* One key that is longer than any. */
    memset(told + 6, 'A', size - 6);
    assert_null(guest_ssh_known_hosts("w", told, size));
    free(told);
}

static void make_machine(struct host_fixture *f)
{
    char *path = registry_path(&f->registry, "web", NULL);

    assert_int_equal(directory_make(path, NULL), 0);
    free(path);
}

static void test_pair(void **state)
{
    struct host_fixture *f = host_fixture_new();
    struct guest_ssh first, again;
    struct stat status;

    if (access("/usr/bin/ssh-keygen", X_OK)) {
        print_message("skipped: ssh-keygen is not installed\n");
        host_fixture_free(f);
        skip();
    }
    make_machine(f);
    assert_int_equal(guest_ssh_open(&first, &f->registry, "web", NULL), 0);
    assert_int_equal(stat(first.key, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_string_equal(first.alias, "hospes-web");
    assert_int_equal(strncmp(first.public_key, "ssh-ed25519 AAAA", 16), 0);
    assert_null(strpbrk(first.public_key, "\r\n"));
    assert_int_equal(guest_ssh_open(&again, &f->registry, "web", NULL), 0);
    assert_string_equal(again.public_key, first.public_key);
    guest_ssh_release(&first);
    guest_ssh_release(&again);
    host_fixture_free(f);
}

static void test_no_keygen(void **state)
{
    struct host_fixture *f = host_fixture_new();
    struct error error = ERROR_INIT;
    struct guest_ssh ssh;
    char *path = strdup(getenv("PATH")), *left;

    make_machine(f);
    /* The directories of sbin are looked through as well. */
    if (access("/usr/sbin/ssh-keygen", X_OK)) {
        setenv("PATH", f->directory, 1);
        assert_int_equal(guest_ssh_open(&ssh, &f->registry, "web", &error), -ENOENT);
        assert_non_null(strstr(error.message, "package openssh-client"));
        setenv("PATH", path, 1);
    }
    left = registry_path(&f->registry, "web", NULL);
    /* Nothing half made is left. */
    assert_int_equal(rmdir(left), 0);
    free(left);
    free(path);
    error_release(&error);
    host_fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_that_are_told), cmocka_unit_test(test_what_is_no_key),
        cmocka_unit_test(test_keys_without_end),   cmocka_unit_test(test_pair),
        cmocka_unit_test(test_no_keygen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
