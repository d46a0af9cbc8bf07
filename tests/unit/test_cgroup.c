/* SPDX-License-Identifier: Apache-2.0 */
/* Where a process is among control groups of both versions, and what they leave it of memory. */
#include <errno.h>

#include "base/cgroup.h"
#include "base/host.h"
#include "cgroup_tree.h"

#define MIB (UINT64_C(1) << 20)

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

static const char *root_of(void **state)
{
    return ((struct host_fixture *)*state)->directory;
}

static void assert_find(const char *root, const char *controller, unsigned version,
                        const char *directory)
{
    struct cgroup cgroup;

    assert_int_equal(cgroup_find(root, controller, &cgroup), version ? 0 : -ENOENT);
    if (!version)
        return;
    assert_int_equal(cgroup.version, version);
    assert_int_equal(strncmp(cgroup.directory, root, strlen(root)), 0);
    assert_string_equal(cgroup.directory + strlen(root), directory);
}

static void test_nothing_is_mounted(void **state)
{
    const char *root = root_of(state);

    assert_find(root, "cpu", 0, NULL);
    tree_put(root, "proc/self/cgroup", "0::/\n");
    tree_put(root, "proc/self/mountinfo", "25 1 8:1 / / rw - ext4 /dev/sda rw\n");
    assert_find(root, "cpu", 0, NULL);
    /* In the table, and not for this process to see. */
    tree_put(root, "proc/self/mountinfo", TREE_NEW);
    assert_find(root, "cpu", 0, NULL);
}

static void test_version_2(void **state)
{
    const char *root = root_of(state);
    struct cgroup cgroup;

    tree_put(root, "proc/self/mountinfo", TREE_NEW);
    tree_put(root, "proc/self/cgroup", "0::/user.slice/a.scope\n");
    tree_put(root, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    tree_group(root, "sys/fs/cgroup/user.slice/a.scope", "", "", "1\n");
    assert_find(root, "cpu", 2, "/sys/fs/cgroup/user.slice/a.scope");
    /* Not the beginning of a word. */
    assert_find(root, "cpus", 0, NULL);
    assert_int_equal(cgroup_find(root, "memory", &cgroup), 0);
    assert_true(cgroup_up(&cgroup));
    assert_true(cgroup_up(&cgroup));
    assert_string_equal(cgroup.directory + strlen(root), "/sys/fs/cgroup");
    assert_false(cgroup_up(&cgroup));
}

/* Each version has some: a controller is looked for where it is. */
static void test_both_versions(void **state)
{
    const char *root = root_of(state);

    tree_put(root, "proc/self/mountinfo",
             TREE_OLD "40 20 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    tree_put(root, "proc/self/cgroup", "4:memory:/\n2:cpu,cpuacct:/a/b\n1:name=systemd:/x\n0::/\n");
    tree_put(root, "sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
    tree_put(root, "sys/fs/cgroup/cpu,cpuacct/a/b/cgroup.procs", "");
    tree_put(root, "sys/fs/cgroup/memory/cgroup.procs", "");
    assert_find(root, "cpu", 1, "/sys/fs/cgroup/cpu,cpuacct/a/b");
    assert_find(root, "memory", 1, "/sys/fs/cgroup/memory");
    assert_find(root, "hugetlb", 2, "/sys/fs/cgroup/unified");
    assert_find(root, "pids", 0, NULL);
}

/* A container sees a part of the hierarchy, under another name. */
static void test_a_part_is_mounted(void **state)
{
    const char *root = root_of(state);

    tree_put(root, "proc/self/mountinfo",
             "31 20 0:28 /box/7 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    tree_put(root, "proc/self/cgroup", "2:cpu:/box/7/inner\n");
    tree_put(root, "sys/fs/cgroup/cpu/inner/cgroup.procs", "");
    assert_find(root, "cpu", 1, "/sys/fs/cgroup/cpu/inner");
    tree_put(root, "proc/self/cgroup", "2:cpu:/box/77\n");
    assert_find(root, "cpu", 0, NULL);
}

static void test_hostile_tables(void **state)
{
    static const char *const tables[] = {"",       "\n",
                                         " - \n",  "1 2 3 / /x - cgroup\n",
                                         "0::\n",  "0::no/slash\n",
                                         "::::\n", "2:cpu\n"};
    const char *root = root_of(state);

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        for (size_t j = 0; j < ARRAY_SIZE(tables); j++) {
            tree_put(root, "proc/self/mountinfo", tables[i]);
            tree_put(root, "proc/self/cgroup", tables[j]);
            assert_find(root, "cpu", 0, NULL);
        }
}

static void assert_memory(const char *root, uint64_t limit, uint64_t available)
{
    uint64_t l, a;

    cgroup_memory(root, &l, &a);
    assert_int_equal(l, limit);
    assert_int_equal(a, available);
}

/* The least of what stands on the way up counts, be it of another group than the limit. */
static void test_memory_of_version_2(void **state)
{
    const char *root = root_of(state);

    assert_memory(root, UINT64_MAX, UINT64_MAX);
    tree_put(root, "proc/self/mountinfo", TREE_NEW);
    tree_put(root, "proc/self/cgroup", "0::/a/b\n");
    tree_put(root, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    tree_put(root, "sys/fs/cgroup/a/b/memory.max", "max\n");
    tree_put(root, "sys/fs/cgroup/a/b/memory.current", "1048576\n");
    assert_memory(root, UINT64_MAX, UINT64_MAX);
    tree_put(root, "sys/fs/cgroup/a/memory.max", "1073741824\n");
    tree_put(root, "sys/fs/cgroup/a/memory.current", "943718400\n");
    assert_memory(root, 1024 * MIB, 124 * MIB);
    tree_put(root, "sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 524288000\nfile 2\n");
    assert_memory(root, 1024 * MIB, 624 * MIB);
    tree_put(root, "sys/fs/cgroup/a/b/memory.high", "536870912\n");
    assert_memory(root, 512 * MIB, 511 * MIB);
    /* More than there may be, as after the limit was lowered. */
    tree_put(root, "sys/fs/cgroup/a/b/memory.current", "629145600\n");
    assert_memory(root, 512 * MIB, 0);
}

static void test_memory_of_version_1(void **state)
{
    const char *root = root_of(state);

    tree_put(root, "proc/self/mountinfo", TREE_OLD);
    tree_put(root, "proc/self/cgroup", "4:memory:/a\n");
    tree_put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    tree_put(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", "99999999999\n");
    tree_put(root, "sys/fs/cgroup/memory/a/memory.usage_in_bytes", "10485760\n");
    assert_memory(root, UINT64_MAX, UINT64_MAX);
    tree_put(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "104857600\n");
    tree_put(root, "sys/fs/cgroup/memory/a/memory.stat", "cache 5\ntotal_inactive_file 5242880\n");
    assert_memory(root, 100 * MIB, 95 * MIB);
    tree_put(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "rubbish\n");
    assert_memory(root, UINT64_MAX, UINT64_MAX);
}

/* Of this host: what it allows is what it has, or less. */
static void test_the_host(void **state)
{
    struct host_memory memory;

    host_memory(&memory);
    assert_in_range(memory.available, 1, memory.total);
    assert_in_range(memory.allowed, 1, memory.total);
    assert_in_range(memory.allowed_available, 0, memory.available);
    assert_in_range(host_cpus(), 1, host_cpus_present());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_mounted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_both_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_part_is_mounted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_version_1, setup, teardown),
        cmocka_unit_test(test_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
