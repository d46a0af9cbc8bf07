/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's /proc and control groups as plain files, for what reads them with a root of its own.
 */
#ifndef HOSPES_TESTS_UNIT_CGROUP_TREE_H
#define HOSPES_TESTS_UNIT_CGROUP_TREE_H

#include "host_fixture.h"

#define TREE_NEW "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define TREE_OLD                                                                                   \
    "31 20 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct\n"         \
    "34 20 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

/* ROOT/PATH with `text` and the directories above it. */
static inline void tree_put(const char *root, const char *path, const char *text)
{
    CLEANUP(text_free) char *whole = text_format("%s/%s", root, path);
    CLEANUP(text_free) char *above = whole ? strdup(whole) : NULL;

    assert_non_null(above);
    *strrchr(above, '/') = 0;
    assert_int_equal(directory_make(above, NULL), 0);
    assert_int_equal(file_write(whole, text, strlen(text), false, NULL), 0);
}

static inline void tree_remove(const char *root, const char *path)
{
    CLEANUP(text_free) char *whole = text_format("%s/%s", root, path);

    assert_non_null(whole);
    assert_int_equal(remove(whole), 0);
}

static inline void tree_expect(const char *root, const char *path, const char *text)
{
    CLEANUP(text_free) char *whole = text_format("%s/%s", root, path);
    CLEANUP(text_free) char *found = NULL;

    assert_non_null(whole);
    assert_int_equal(file_read_text(whole, 4096, &found, NULL), 0);
    assert_string_equal(found, text);
}

/* A group of version 2, that is not the root. */
static inline void tree_group(const char *root, const char *group, const char *controllers,
                              const char *given, const char *processes)
{
    const char *const files[][2] = {{"cgroup.type", "domain\n"},
                                    {"cgroup.controllers", controllers},
                                    {"cgroup.subtree_control", given},
                                    {"cgroup.procs", processes}};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP(text_free) char *path = text_format("%s/%s", group, files[i][0]);

        assert_non_null(path);
        tree_put(root, path, files[i][1]);
    }
}

#endif
