/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's control group: where it may be made, how it is entered, set and removed. Of version 2
 * by files in a directory, of version 1 by the host's own where that can be written. */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "cgroup_tree.h"
#include "host/group.h"

#define GROUPS "sys/fs/cgroup/"

static int setup(void **state)
{
    struct host_fixture *f = host_fixture_new();

    tree_put(f->registry.machines, "web/machine.json", "{}");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    host_fixture_free(*state);
    return 0;
}

static void assert_place(const struct host_fixture *f, int result, const char *directory)
{
    struct cgroup place;

    assert_int_equal(group_find_place(f->directory, &place), result);
    if (!result)
        assert_string_equal(place.directory + strlen(f->directory), directory);
}

/* A user's session: the session's manager is the user's own, and its slices share CPU time. Root
 * writes everything, so nothing can be forbidden here but by what groups are. */
static void session_put(const struct host_fixture *f)
{
    tree_put(f->directory, "proc/self/mountinfo", TREE_NEW);
    tree_put(f->directory, "proc/self/cgroup", "0::/u/app.slice/term.scope\n");
    tree_put(f->directory, GROUPS "cgroup.controllers", "cpu memory\n");
    tree_put(f->directory, GROUPS "cgroup.subtree_control", "cpu memory\n");
    tree_put(f->directory, GROUPS "cgroup.procs", "");
    tree_group(f->directory, GROUPS "u", "cpu memory\n", "cpu memory\n", "");
    tree_group(f->directory, GROUPS "u/app.slice", "cpu memory\n", "cpu memory\n", "");
    tree_group(f->directory, GROUPS "u/app.slice/term.scope", "cpu memory\n", "", "77\n");
}

static void test_where_groups_are_made(void **state)
{
    struct host_fixture *f = *state;

    assert_place(f, -ENOENT, NULL);
    session_put(f);
    /* As far up as there is any, so that all machines are beside each other. */
    assert_place(f, 0, "/sys/fs/cgroup");
    /* Nothing is given there, where it could be, but further down it is. */
    tree_put(f->directory, GROUPS "cgroup.subtree_control", "memory\n");
    assert_place(f, 0, "/sys/fs/cgroup/u");
    tree_put(f->directory, GROUPS "u/cgroup.subtree_control", "memory\n");
    assert_place(f, 0, "/sys/fs/cgroup/u/app.slice");
    /* Nowhere. */
    tree_put(f->directory, GROUPS "u/app.slice/cgroup.subtree_control", "\n");
    assert_place(f, 0, "/sys/fs/cgroup");
    /* Only what it is keeps this from being one, and not that it has processes. */
    tree_put(f->directory, GROUPS "cgroup.procs", "1\n");
    assert_place(f, 0, "/sys/fs/cgroup");
    tree_put(f->directory, GROUPS "cgroup.type", "domain\n");
    assert_place(f, 0, "/sys/fs/cgroup/u");
    /* It has processes of its own, or none to give. */
    tree_put(f->directory, GROUPS "u/cgroup.procs", "9\n");
    assert_place(f, 0, "/sys/fs/cgroup/u/app.slice");
    tree_put(f->directory, GROUPS "u/app.slice/cgroup.controllers", "memory\n");
    assert_place(f, -EACCES, NULL);
}

/* Root may write systemd's own groups, from which that takes CPU time back. */
static void test_groups_of_systemd(void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *manager = text_format("%s/" GROUPS "u", f->directory);

    session_put(f);
    tree_put(f->directory, "run/systemd/system/x", "");
    if (geteuid()) {
        assert_place(f, 0, "/sys/fs/cgroup");
        return;
    }
    assert_place(f, -EACCES, NULL);
    if (setxattr(manager, "user.delegate", "0", 1, 0) < 0) {
        print_message("no attributes here: %s\n", strerror(errno));
        return;
    }
    assert_place(f, -EACCES, NULL);
    assert_int_equal(setxattr(manager, "user.delegate", "1", 1, 0), 0);
    assert_place(f, 0, "/sys/fs/cgroup/u");
    tree_put(f->directory, GROUPS "u/cgroup.subtree_control", "\n");
    assert_place(f, 0, "/sys/fs/cgroup/u/app.slice");
}

static void test_services_stay(void **state)
{
    struct host_fixture *f = *state;

    session_put(f);
    tree_put(f->directory, "proc/self/cgroup", "0::/u/app.slice/hospes@web.service\n");
    tree_group(f->directory, GROUPS "u/app.slice/hospes@web.service", "cpu memory\n", "", "7\n");
    assert_place(f, -EBUSY, NULL);
    assert_int_equal(group_enter(f->directory, &f->registry, "web", 0, NULL), -EBUSY);
    assert_int_equal(group_version(&f->registry, "web", getpid()), 0);
}

/* The name of the machine's group, which is told in its directory; the caller frees it. */
static char *told(const struct host_fixture *f, const char *name)
{
    CLEANUP(text_free) char *path = registry_path(&f->registry, name, "group");
    char *text;

    assert_int_equal(file_read_text(path, 4096, &text, NULL), 0);
    text[strcspn(text, "\n")] = 0;
    return text;
}

/* What a kernel makes there with the group. */
static void files_put(const char *group)
{
    static const char *const files[] = {"cgroup.procs", "cpu.weight", "cpu.max", "memory.high"};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        tree_put(group, files[i], "");
}

static void files_remove(const char *group)
{
    static const char *const files[] = {"cgroup.procs", "cpu.weight", "cpu.max", "memory.high"};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        tree_remove(group, files[i]);
}

static void test_version_2(void **state)
{
    struct host_fixture *f = *state;
    struct group_shares shares = {50, 0};
    CLEANUP(error_release) struct error error = ERROR_INIT;
    CLEANUP(text_free) char *group = NULL;
    char pid[24];

    session_put(f);
    tree_put(f->directory, GROUPS "cgroup.subtree_control", "\n");
    tree_put(f->directory, GROUPS "u/cgroup.subtree_control", "\n");
    tree_put(f->directory, GROUPS "u/app.slice/cgroup.subtree_control", "\n");
    /* Nobody makes the files of a group here: it cannot be entered, and nothing is left. */
    assert_true(group_enter(f->directory, &f->registry, "web", 0, &error) < 0);
    assert_non_null(strstr(error.message, "cannot make and enter the group \""));
    group = told(f, "web");
    assert_int_equal(access(group, F_OK), -1);
    tree_put(f->directory, GROUPS "cgroup.subtree_control", "\n");
    files_put(group);
    assert_int_equal(group_enter(f->directory, &f->registry, "web", 256u << 20, NULL), 0);
    tree_expect(f->directory, GROUPS "cgroup.subtree_control", "+memory");
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    tree_expect(group, "cgroup.procs", pid);
    tree_expect(group, "memory.high", "1342177280");
    assert_int_equal(group_version(&f->registry, "web", getpid()), 2);
    assert_int_equal(group_version(&f->registry, "web", getpid() + 1), 0);
    assert_int_equal(group_version(&f->registry, "web", 0), 0);
    /* CPU time was taken from those below the place: the machine shares it by other means. */
    tree_remove(group, "cpu.weight");
    assert_int_equal(group_version(&f->registry, "web", getpid()), 0);
    tree_put(group, "cpu.weight", "");

    assert_int_equal(group_set(&f->registry, "web", &shares, NULL), 0);
    tree_expect(group, "cpu.weight", "50");
    tree_expect(group, "cpu.max", "max 100000");
    shares = (struct group_shares){0, 150};
    files_put(group);
    assert_int_equal(group_set(&f->registry, "web", &shares, NULL), 0);
    tree_expect(group, "cpu.weight", "100");
    tree_expect(group, "cpu.max", "150000 100000");
    tree_remove(group, "cpu.max");
    assert_int_equal(group_set(&f->registry, "web", &shares, &error), -ENOENT);
    tree_put(group, "cpu.max", "");

    files_remove(group);
    assert_true(group_sweep(&f->registry, "web"));
    assert_int_equal(access(group, F_OK), -1);
    assert_true(group_sweep(&f->registry, "web"));
}

/* Whoever writes MACHINES/NAME/group has nothing else removed or written to. */
static void test_what_is_told_is_judged(void **state)
{
    static const char *const names[] = {"victim", "hospes-00000000-web", "hospes-00000000-db", ""};
    struct host_fixture *f = *state;
    struct group_shares shares = {50, 0};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(text_free) char *directory = text_format("%s/x/%s", f->directory, names[i]);

        assert_int_equal(directory_make(directory, NULL), 0);
        tree_put(f->registry.machines, "web/group", directory);
        assert_true(group_sweep(&f->registry, "web"));
        assert_int_equal(access(directory, F_OK), 0);
        assert_int_equal(group_set(&f->registry, "web", &shares, NULL), -ENOENT);
        assert_int_equal(group_version(&f->registry, "web", getpid()), 0);
    }
}

/* Another machine, or the same name of another registry, has another group. */
static void test_names_differ(void **state)
{
    struct host_fixture *f = *state;
    struct registry other = f->registry;
    CLEANUP(text_free) char *machines = text_format("%s/others", f->directory);
    CLEANUP(text_free) char *web = NULL, *db = NULL, *theirs = NULL;
    CLEANUP(text_free) char *path = text_format("%s/web/group", machines);

    session_put(f);
    other.machines = machines;
    tree_put(f->registry.machines, "db/machine.json", "{}");
    tree_put(machines, "web/machine.json", "{}");
    assert_true(group_enter(f->directory, &f->registry, "web", 0, NULL) < 0);
    assert_true(group_enter(f->directory, &f->registry, "db", 0, NULL) < 0);
    assert_true(group_enter(f->directory, &other, "web", 0, NULL) < 0);
    web = told(f, "web");
    db = told(f, "db");
    assert_int_equal(file_read_text(path, 4096, &theirs, NULL), 0);
    theirs[strcspn(theirs, "\n")] = 0;
    assert_string_not_equal(web, db);
    assert_string_not_equal(web, theirs);
    assert_non_null(strstr(web, "/hospes-"));
}

static void test_a_word_that_is_none(void **state)
{
    CLEANUP(error_release) struct error error = ERROR_INIT;
    bool wanted = false;

    assert_int_equal(group_is_wanted(NULL, &wanted, NULL), 0);
    assert_true(wanted);
    assert_int_equal(group_is_wanted("off", &wanted, NULL), 0);
    assert_false(wanted);
    assert_int_equal(group_is_wanted("of", &wanted, &error), -EINVAL);
    assert_true(error.usage);
}

/* In a child, which leaves by being killed. */
static void test_of_this_host(void **state)
{
    struct host_fixture *f = *state;
    const struct group_shares shares = {200, 50};
    CLEANUP(text_free) char *group = NULL;
    struct cgroup place;
    char byte = 0, line[64];
    int pipes[2], status;
    pid_t child;

    if (group_find_place("", &place)) {
        print_message("skipped: this user may make no group with CPU time here\n");
        skip();
    }
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        byte = group_enter("", &f->registry, "web", 64u << 20, NULL) ? 'n' : 'y';
        if (write(pipes[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(pipes[0]);
    close(pipes[1]);
    group = told(f, "web");
    assert_int_equal(group_version(&f->registry, "web", child), place.version);
    assert_int_equal(group_version(&f->registry, "web", getpid()), 0);
    assert_int_equal(group_set(&f->registry, "web", &shares, NULL), 0);
    if (place.version == 1) {
        assert_true(cgroup_line(group, "cpu.shares", line, sizeof(line)));
        assert_string_equal(line, "2048");
        assert_true(cgroup_line(group, "cpu.cfs_quota_us", line, sizeof(line)));
        assert_string_equal(line, "50000");
    } else {
        assert_true(cgroup_line(group, "cpu.weight", line, sizeof(line)));
        assert_string_equal(line, "200");
        assert_true(cgroup_line(group, "cpu.max", line, sizeof(line)));
        assert_string_equal(line, "50000 100000");
    }
    /* Never while somebody is in it. */
    assert_false(group_sweep(&f->registry, "web"));
    assert_int_equal(access(group, F_OK), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(group_sweep(&f->registry, "web"));
    assert_int_equal(access(group, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_where_groups_are_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups_of_systemd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_services_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_told_is_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_word_that_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_of_this_host, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
