/* SPDX-License-Identifier: Apache-2.0 */
/* Which machines there are: names, directories of the environment, locks between open files and
 * processes, and the directory of sockets, which must be the user's alone. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "host_fixture.h"

static int setup(void **state)
{
    *state = host_fixture_new();
    return 0;
}

static int teardown(void **state)
{
    host_fixture_free(*state);
    return 0;
}

static void names(void **state)
{
    static const char *const good[] = {"a", "0", "web", "web-1", "a--b", "1-2"};
    static const char *const bad[] = {"",    "-a",  "a-",      "-",        "A", "a.b",
                                      "a_b", "a b", "../",     "a/b",      ".", "..",
                                      "a\n", "\n",  "web\x7f", "w\xc3\xa9"};
    char longest[REGISTRY_NAME_MAX + 2];
    struct error error = ERROR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(registry_name_check(good[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(registry_name_check(bad[i], NULL), -EINVAL);
    memset(longest, 'x', sizeof(longest));
    longest[REGISTRY_NAME_MAX + 1] = 0;
    assert_false(registry_name_is_valid(longest));
    longest[REGISTRY_NAME_MAX] = 0;
    assert_true(registry_name_is_valid(longest));
    assert_int_equal(registry_name_check("A", &error), -EINVAL);
    assert_true(error.usage);
    assert_words(&error, "1 to 63 of a-z 0-9 -");
}

static void set(const char *name, const char *value)
{
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void environment(const char *machines, const char *run, const char *data, const char *home,
                        const char *runtime)
{
    set("HOSPES_MACHINE_DIR", machines);
    set("HOSPES_RUN_DIR", run);
    set("XDG_DATA_HOME", data);
    set("HOME", home);
    set("XDG_RUNTIME_DIR", runtime);
}

static void assert_places(const char *machines, const char *run)
{
    struct registry registry;

    assert_int_equal(registry_open(&registry, NULL), 0);
    assert_string_equal(registry.machines, machines);
    assert_string_equal(registry.run, run);
    registry_release(&registry);
}

static void places(void **state)
{
    char other[64];
    struct error error = ERROR_INIT;
    struct registry registry = {0};

    snprintf(other, sizeof(other), "/tmp/hospes-%u", (unsigned)getuid());
    environment("/m", "/r", "/data", "/home/u", "/run/u");
    assert_places("/m", "/r");
    environment(NULL, NULL, "/data", "/home/u", "/run/u");
    assert_places("/data/hospes/machines", "/run/u/hospes");
    environment("", "", "", "/home/u", "");
    assert_places("/home/u/.local/share/hospes/machines", other);
    /* What is not absolute is ignored where XDG says so. */
    environment(NULL, NULL, "data", "/home/u", "run");
    assert_places("/home/u/.local/share/hospes/machines", other);
    /* And a mistake where it is ours. */
    environment("machines", NULL, NULL, "/home/u", NULL);
    assert_int_equal(registry_open(&registry, &error), -EINVAL);
    assert_true(error.usage);
    assert_words(&error, "HOSPES_MACHINE_DIR is \"machines\", which is not an absolute path");
    environment("/m", "./r", NULL, "/home/u", NULL);
    assert_int_equal(registry_open(&registry, &error), -EINVAL);
    assert_words(&error, "HOSPES_RUN_DIR");
    environment(NULL, "/r", NULL, NULL, NULL);
    assert_int_equal(registry_open(&registry, &error), -ENOENT);
    assert_words(&error, "set HOME");
    assert_null(registry.machines);
    /* A slash at the end, as a shell completes it, changes nothing. */
    environment("/m/", "/r//", NULL, "/home/u", NULL);
    assert_places("/m", "/r");
}

static void paths(void **state)
{
    struct registry registry = {.machines = (char *)"/m", .run = (char *)"/r"};
    CLEANUP(text_free) char *home = registry_path(&registry, "web", NULL);
    CLEANUP(text_free) char *file = registry_path(&registry, "web", "lock");
    CLEANUP(text_free) char *run = registry_run_path(&registry, "web", NULL);
    CLEANUP(text_free) char *socket = registry_run_path(&registry, "web", "control");

    assert_string_equal(home, "/m/web");
    assert_string_equal(file, "/m/web/lock");
    assert_string_equal(run, "/r/web");
    assert_string_equal(socket, "/r/web/control");
}

static void list(void **state)
{
    struct host_fixture *f = *state;
    struct registry_names names = {0};
    struct error error = ERROR_INIT;
    char path[96];

    assert_int_equal(registry_list(&f->registry, &names, NULL), 0);
    assert_int_equal(names.count, 0);
    machine_file(f, "web", "machine.json", "{}");
    machine_file(f, "db-2", "machine.json", "broken");
    machine_file(f, "a", "machine.json", "");
    /* No machines: what is being made or removed, other names, a directory without, a file. */
    machine_file(f, ".web.new", "machine.json", "{}");
    machine_file(f, ".web.old", "machine.json", "{}");
    machine_file(f, "Web", "machine.json", "{}");
    machine_file(f, "lost+found", "machine.json", "{}");
    machine_file(f, "empty", "other.json", "{}");
    snprintf(path, sizeof(path), "%s/file", f->registry.machines);
    text_write(path, "no directory");
    assert_int_equal(registry_list(&f->registry, &names, NULL), 0);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.names[0], "a");
    assert_string_equal(names.names[1], "db-2");
    assert_string_equal(names.names[2], "web");
    registry_names_release(&names);

    assert_int_equal(registry_check(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_check(&f->registry, "empty", &error), -ENOENT);
    assert_words(&error, "there is no machine \"empty\"; see what there is with: hospes ls");
    assert_int_equal(registry_check(&f->registry, ".web.new", &error), -EINVAL);
    error_release(&error);

    free(f->registry.machines);
    f->registry.machines = strdup(path);
    assert_int_equal(registry_list(&f->registry, &names, &error), -ENOTDIR);
    assert_words(&error, path);
}

static void lock_of_two_files(void **state)
{
    struct host_fixture *f = *state;
    struct error error = ERROR_INIT;
    int first = -1, second = -1;

    assert_false(registry_is_locked(&f->registry, "web"));
    assert_int_equal(registry_lock(&f->registry, "web", &first, NULL), -ENOENT);
    machine_file(f, "web", "machine.json", "{}");
    assert_false(registry_is_locked(&f->registry, "web"));
    assert_int_equal(registry_lock(&f->registry, "web", &first, NULL), 0);
    assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
    assert_true(registry_is_locked(&f->registry, "web"));
    assert_int_equal(registry_lock(&f->registry, "web", &second, &error), -EBUSY);
    assert_int_equal(second, -1);
    assert_words(&error, "machine \"web\" runs");
    close(first);
    assert_false(registry_is_locked(&f->registry, "web"));
    /* Who looks is in nobody's way. */
    assert_int_equal(registry_lock(&f->registry, "web", &second, NULL), 0);
    close(second);
}

/* Whoever reads a message is to be able to do what it says. */
static void busy_tells_a_command_that_exists(void **state)
{
    struct host_fixture *f = *state;
    struct error error = ERROR_INIT;
    int first = -1, second = -1;

    machine_file(f, "web", "machine.json", "{}");
    assert_int_equal(registry_lock(&f->registry, "web", &first, NULL), 0);
    assert_int_equal(registry_lock(&f->registry, "web", &second, &error), -EBUSY);
    assert_words(&error, "hospes stop web");
    close(first);
}

static bool lock_and_sign(struct host_fixture *f)
{
    int fd = -1;

    return !registry_lock(&f->registry, "web", &fd, NULL) && !registry_sign_lock(fd);
}

static void lock_of_two_processes(void **state)
{
    struct host_fixture *f = *state;
    pid_t child;
    int fd = -1;

    machine_file(f, "web", "machine.json", "{}");
    child = holder_begin(f, lock_and_sign);
    assert_true(registry_is_locked(&f->registry, "web"));
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), -EBUSY);
    assert_int_equal(registry_delete(&f->registry, "web", NULL), -EBUSY);
    assert_true(registry_is_held_by(&f->registry, "web", child));
    assert_false(registry_is_held_by(&f->registry, "web", getpid()));
    assert_false(registry_is_held_by(&f->registry, "web", 0));
    assert_false(registry_is_held_by(&f->registry, "web", -1));
    holder_end(child);
    assert_false(registry_is_locked(&f->registry, "web"));
    assert_false(registry_is_held_by(&f->registry, "web", child));
    assert_int_equal(registry_delete(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_check(&f->registry, "web", NULL), -ENOENT);
}

static void lock_that_is_no_file(void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *path = registry_path(&f->registry, "web", "lock");
    int fd = -1;

    machine_file(f, "web", "machine.json", "{}");
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), -EISDIR);
    assert_int_equal(fd, -1);
}

static unsigned mode(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static void run_directory(void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *path = registry_run_path(&f->registry, "web", NULL);
    CLEANUP(text_free) char *other = registry_run_path(&f->registry, "db", NULL);
    CLEANUP(text_free) char *file = registry_run_path(&f->registry, "web", "control");
    struct error error = ERROR_INIT;
    mode_t mask = umask(0);

    assert_int_equal(registry_check_run(&f->registry, NULL), -ENOENT);
    assert_int_equal(registry_make_run(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_make_run(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_make_run(&f->registry, "db", NULL), 0);
    umask(mask);
    assert_int_equal(mode(f->registry.run), 0700);
    assert_int_equal(mode(path), 0700);
    assert_int_equal(registry_check_run(&f->registry, NULL), 0);
    text_write(file, "a socket");
    registry_sweep(&f->registry, "web");
    assert_false(is_there(path));
    assert_true(is_there(other));
    registry_sweep(&f->registry, "web");
    registry_sweep(&f->registry, "db");
    assert_false(is_there(f->registry.run));
    registry_sweep(&f->registry, "db");

    /* Wider than it may be, or not a directory: somebody else may have made it. */
    assert_int_equal(mkdir(f->registry.run, 0700), 0);
    assert_int_equal(chmod(f->registry.run, 0750), 0);
    assert_int_equal(registry_make_run(&f->registry, "web", &error), -EPERM);
    assert_words(&error, "is not a directory of yours alone");
    assert_int_equal(registry_check_run(&f->registry, &error), -EPERM);
    assert_words(&error, f->registry.run);
    assert_int_equal(chmod(f->registry.run, 0700), 0);
    assert_int_equal(mkdir(path, 0701), 0);
    assert_int_equal(registry_make_run(&f->registry, "web", NULL), -EPERM);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(f->registry.run), 0);
    text_write(f->registry.run, "a file");
    assert_int_equal(registry_make_run(&f->registry, "web", NULL), -EPERM);
    assert_int_equal(unlink(f->registry.run), 0);
    if (geteuid() == 0) {
        assert_int_equal(mkdir(f->registry.run, 0700), 0);
        assert_int_equal(chown(f->registry.run, 65534, 65534), 0);
        assert_int_equal(registry_make_run(&f->registry, "web", NULL), -EPERM);
        assert_int_equal(registry_check_run(&f->registry, NULL), -EPERM);
    }
}

/* In /tmp anybody can make it, and lead it to where the user's own files are. */
static void run_directory_of_another(void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *documents = text_format("%s/documents", f->directory);
    CLEANUP(text_free) char *precious = text_format("%s/web", documents);
    CLEANUP(text_free) char *file = text_format("%s/thesis", precious);

    assert_int_equal(directory_make(precious, NULL), 0);
    text_write(file, "years of work");
    assert_int_equal(symlink(documents, f->registry.run), 0);
    machine_file(f, "web", "machine.json", "{}");
    registry_sweep(&f->registry, "web");
    assert_true(is_there(file));
    assert_int_equal(registry_make_run(&f->registry, "web", NULL), -EPERM);
    assert_int_equal(registry_check_run(&f->registry, NULL), -EPERM);
    assert_int_equal(registry_delete(&f->registry, "web", NULL), 0);
    assert_true(is_there(file));
}

/* The last machine that ends takes RUN along, while another one begins. */
static void run_directory_while_others_end(void **state)
{
    struct host_fixture *f = *state;
    unsigned failed = 0;
    pid_t child = fork();

    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            if (registry_make_run(&f->registry, "a", NULL))
                _exit(1);
            registry_sweep(&f->registry, "a");
        }
    }
    assert_true(child > 0);
    for (unsigned i = 0; i < 3000; i++) {
        failed += registry_make_run(&f->registry, "b", NULL) != 0;
        registry_sweep(&f->registry, "b");
    }
    assert_int_equal(failed, 0);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    holder_end(child);
}

static void delete (void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *path = registry_path(&f->registry, "web", NULL);
    CLEANUP(text_free) char *away = registry_path(&f->registry, ".web.old", NULL);
    struct error error = ERROR_INIT;
    int fd = -1;

    assert_int_equal(registry_delete(&f->registry, "web", &error), -ENOENT);
    error_release(&error);
    assert_int_equal(registry_delete(&f->registry, "../web", &error), -EINVAL);
    error_release(&error);
    machine_file(f, "web", "machine.json", "whatever it is");
    machine_file(f, "web", "disk.raw", "data");
    machine_file(f, "web-2", "machine.json", "{}");
    /* What a killed removal left. */
    machine_file(f, ".web.old", "disk.raw", "data");
    assert_int_equal(registry_lock(&f->registry, "web", &fd, NULL), 0);
    assert_int_equal(registry_delete(&f->registry, "web", &error), -EBUSY);
    error_release(&error);
    assert_int_equal(registry_check(&f->registry, "web", NULL), 0);
    close(fd);
    assert_int_equal(registry_make_run(&f->registry, "web", NULL), 0);
    assert_int_equal(registry_delete(&f->registry, "web", NULL), 0);
    assert_false(is_there(path));
    assert_false(is_there(away));
    assert_false(is_there(f->registry.run));
    assert_int_equal(registry_check(&f->registry, "web-2", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(places),
        cmocka_unit_test(paths),
        cmocka_unit_test_setup_teardown(list, setup, teardown),
        cmocka_unit_test_setup_teardown(lock_of_two_files, setup, teardown),
        cmocka_unit_test_setup_teardown(busy_tells_a_command_that_exists, setup, teardown),
        cmocka_unit_test_setup_teardown(lock_of_two_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(lock_that_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(run_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(run_directory_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(run_directory_while_others_end, setup, teardown),
        cmocka_unit_test_setup_teardown(delete, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
