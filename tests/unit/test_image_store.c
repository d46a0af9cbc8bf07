/* SPDX-License-Identifier: Apache-2.0 */
/* The image store on disk: names, manifests, listing, removal, locks, and what a bad call meets. */
/* clang-format off */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "image/file.h"
#include "image/manifest.h"
#include "image/store.h"
#include "storage/lock.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int store_make(void **state)
{
    char directory[] = "/tmp/hospes-test-XXXXXX";
    struct image_store *store = calloc(1, sizeof(*store));

    assert_non_null(store);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(setenv("HOSPES_IMAGE_DIR", directory, 1), 0);
    assert_int_equal(setenv("XDG_CACHE_HOME", directory, 1), 0);
    assert_int_equal(image_store_open(store, NULL), 0);
    assert_string_equal(store->directory, directory);
    *state = store;
    return 0;
}

static int store_remove(void **state)
{
    struct image_store *store = *state;

    assert_int_equal(directory_remove(store->directory, NULL), 0);
    image_store_release(store);
    free(store);
    return 0;
}

static void image_make(const struct image_store *store, const char *name)
{
    struct manifest manifest = {.name = (char *)name,
                                .architecture = (char *)"riscv64",
                                .release = (char *)"debian \"trixie\"",
                                .date = (char *)"2026-01-31T12:00:00Z",
                                .append = (char *)"console=ttyS0",
                                .packages_sha256 = DIGEST,
                                .kernel_sha256 = DIGEST,
                                .initrd_sha256 = DIGEST};
    CLEANUP(text_free) char *path = text_format("%s/%s", store->directory, name);
    CLEANUP(text_free) char *disk = text_format("%s/disk.raw", path);
    CLEANUP(text_free) char *json = text_format("%s/manifest.json", path);

    assert_int_equal(directory_make(path, NULL), 0);
    assert_int_equal(file_write(disk, "data", 4, false, NULL), 0);
    assert_int_equal(truncate(disk, 1 << 20), 0);
    assert_int_equal(manifest_write(&manifest, json, NULL), 0);
}

static void names_are_judged(void **state)
{
    assert_true(image_name_is_valid("debian"));
    assert_true(image_name_is_valid("debian-13.7_x"));
    assert_true(image_name_is_valid("abcdefghijklmnopqrstuvwxyz012345"));
    assert_false(image_name_is_valid("abcdefghijklmnopqrstuvwxyz0123456"));
    assert_false(image_name_is_valid(""));
    assert_false(image_name_is_valid("."));
    assert_false(image_name_is_valid(".debian.new"));
    assert_false(image_name_is_valid("../debian"));
    assert_false(image_name_is_valid("a/b"));
    assert_false(image_name_is_valid("Debian"));
    assert_false(image_name_is_valid("-rf"));
}

static void image_is_found_as_it_was_made(void **state)
{
    const struct image_store *store = *state;
    struct error error = ERROR_INIT;
    struct image image;

    image_make(store, "debian");
    assert_int_equal(image_find(store, "debian", &image, NULL), 0);
    assert_string_equal(image.name, "debian");
    assert_string_equal(image.release, "debian \"trixie\"");
    assert_string_equal(image.append, "console=ttyS0");
    assert_int_equal(image.disk_size, 1 << 20);
    assert_in_range(image.disk_used, 1, 1 << 16);
    assert_memory_equal(image.disk, store->directory, strlen(store->directory));
    image_release(&image);
    assert_int_equal(image_find(store, "other", &image, &error), -ENOENT);
    assert_non_null(strstr(error.message, "hospes image build other"));
    error_release(&error);
    assert_int_equal(image_find(store, "../debian", &image, &error), -EINVAL);
    assert_true(error.usage);
    error_release(&error);
}

static void list_has_whole_images_by_name(void **state)
{
    const struct image_store *store = *state;
    const struct image_store absent = {.directory = (char *)"/nonexistent/images"};
    CLEANUP(text_free) char *broken = text_format("%s/broken", store->directory);
    struct image_list list;

    assert_int_equal(image_list(&absent, &list, NULL), 0);
    assert_int_equal(list.count, 0);
    image_make(store, "b");
    image_make(store, "a");
    image_make(store, ".c.new");
    assert_int_equal(directory_make(broken, NULL), 0);
    assert_int_equal(image_list(store, &list, NULL), 0);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.images[0].name, "a");
    assert_string_equal(list.images[1].name, "b");
    image_list_release(&list);
}

static void bad_manifests_are_refused(void **state)
{
    const struct image_store *store = *state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"version\": 1}",
        "{\"version\": 2, \"name\": \"a\"}",
        "{\"version\": 1, \"name\": 5, \"architecture\": \"\", \"release\": \"\", \"date\": \"\", "
        "\"append\": \"\"}",
        "{\"version\": 1, \"name\": \"\", \"architecture\": \"\", \"release\": \"\", \"date\": "
        "\"\", \"append\": \"\", \"packages_sha256\": \"short\"}",
    };
    CLEANUP(text_free) char *path = text_format("%s/manifest.json", store->directory);
    struct manifest manifest;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(file_write(path, bad[i], strlen(bad[i]), false, NULL), 0);
        assert_int_equal(manifest_read(path, &manifest, NULL), -EINVAL);
    }
    assert_int_equal(truncate(path, 1 << 20), 0);
    assert_int_equal(manifest_read(path, &manifest, NULL), -EFBIG);
    assert_int_equal(manifest_read(store->directory, &manifest, NULL), -EINVAL);
}

static bool lock_is_there(const struct image_store *store, const char *name)
{
    CLEANUP(text_free) char *path = text_format("%s/.%s.lock", store->directory, name);

    return access(path, F_OK) == 0;
}

/* Processes that take a lock as soon as another gives it up, and with it removes its file. */
static void locks_exclude(void **state)
{
    const struct image_store *store = *state;
    CLEANUP(text_free) char *inside = text_format("%s/inside", store->directory);
    pid_t children[4];
    int status;

    for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        for (unsigned taken = 0; !children[i] && taken < 200;) {
            struct store_lock lock;

            if (store_lock(store, "debian", &lock, NULL))
                continue;
            taken++;
            /* Fails when another process is here as well. */
            if (mkdir(inside, 0777) < 0 || rmdir(inside) < 0)
                _exit(1);
            store_unlock(&lock);
        }
        if (!children[i])
            _exit(0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_false(lock_is_there(store, "debian"));
}

static void removal_waits_for_nobody(void **state)
{
    const struct image_store *store = *state;
    struct error error = ERROR_INIT;
    struct store_lock lock;
    struct image image;
    int disk;

    image_make(store, "debian");
    assert_int_equal(image_remove(store, "other", NULL), -ENOENT);
    assert_false(lock_is_there(store, "other"));

    /* While it is being built. */
    assert_int_equal(store_lock(store, "debian", &lock, NULL), 0);
    assert_int_equal(image_remove(store, "debian", &error), -EBUSY);
    error_release(&error);
    assert_true(lock_is_there(store, "debian"));
    store_unlock(&lock);
    assert_false(lock_is_there(store, "debian"));

    /* While a machine uses the disk. */
    assert_int_equal(image_find(store, "debian", &image, NULL), 0);
    disk = open(image.disk, O_RDWR | O_CLOEXEC);
    assert_true(disk >= 0);
    assert_int_equal(image_lock(disk, true, image.disk, NULL, NULL), 0);
    assert_int_equal(image_remove(store, "debian", &error), -EBUSY);
    error_release(&error);
    assert_int_equal(access(image.disk, F_OK), 0);
    close(disk);

    assert_int_equal(image_remove(store, "debian", NULL), 0);
    assert_int_equal(access(image.disk, F_OK), -1);
    assert_false(lock_is_there(store, "debian"));
    image_release(&image);
    assert_int_equal(image_find(store, "debian", &image, NULL), -ENOENT);
}

static void trees_are_removed_whole(void **state)
{
    const struct image_store *store = *state;
    CLEANUP(text_free) char *tree = text_format("%s/tree/a/b", store->directory);
    CLEANUP(text_free) char *top = text_format("%s/tree", store->directory);
    CLEANUP(text_free) char *link = text_format("%s/tree/link", store->directory);
    CLEANUP(text_free) char *outside = text_format("%s/outside", store->directory);

    assert_int_equal(directory_make(tree, NULL), 0);
    assert_int_equal(directory_make(outside, NULL), 0);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(chmod(tree, 0), 0);
    assert_int_equal(directory_remove(top, NULL), 0);
    assert_int_equal(access(top, F_OK), -1);
    assert_int_equal(access(outside, F_OK), 0); /* links are not followed */
    assert_int_equal(directory_remove(top, NULL), 0);
}

static void directories_come_from_the_environment(void **state)
{
    struct image_store store;
    struct error error = ERROR_INIT;

    assert_int_equal(unsetenv("HOSPES_IMAGE_DIR"), 0);
    assert_int_equal(setenv("XDG_DATA_HOME", "/data", 1), 0);
    assert_int_equal(setenv("XDG_CACHE_HOME", "relative", 1), 0); /* to be ignored */
    assert_int_equal(setenv("HOME", "/home/someone", 1), 0);
    assert_int_equal(image_store_open(&store, NULL), 0);
    assert_string_equal(store.directory, "/data/hospes/images");
    assert_string_equal(store.cache, "/home/someone/.cache/hospes");
    image_store_release(&store);
    assert_int_equal(setenv("HOSPES_IMAGE_DIR", "relative", 1), 0);
    assert_int_equal(image_store_open(&store, &error), -EINVAL);
    assert_true(error.usage);
    error_release(&error);
    assert_int_equal(unsetenv("HOSPES_IMAGE_DIR"), 0);
    assert_int_equal(unsetenv("XDG_DATA_HOME"), 0);
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(image_store_open(&store, &error), -ENOENT);
    error_release(&error);
    assert_int_equal(setenv("HOSPES_IMAGE_DIR", "/images", 1), 0);
    assert_int_equal(image_store_open(&store, &error), 0);
    assert_string_equal(store.directory, "/images");
    assert_string_equal(store.cache, "/images/.cache");
    image_store_release(&store);
    assert_int_equal(unsetenv("HOSPES_IMAGE_DIR"), 0);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(image_store_open(&store, &error), -ENOENT);
    error_release(&error);
}

static void builds_are_checked_first(void **state)
{
    const struct image_store *store = *state;
    struct image_build_options options = {0};
    struct error error = ERROR_INIT;

    assert_int_equal(image_build(store, "plan9", &options, &error), -EINVAL);
    assert_true(error.usage);
    error_release(&error);
    options.size = 1;
    assert_int_equal(image_build(store, "debian", &options, &error), -EINVAL);
    assert_true(error.usage);
    error_release(&error);
    options.size = 0;
    image_make(store, "debian");
    assert_int_equal(image_build(store, "debian", &options, &error), -EEXIST);
    error_release(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_judged),
        cmocka_unit_test_setup_teardown(image_is_found_as_it_was_made, store_make, store_remove),
        cmocka_unit_test_setup_teardown(list_has_whole_images_by_name, store_make, store_remove),
        cmocka_unit_test_setup_teardown(bad_manifests_are_refused, store_make, store_remove),
        cmocka_unit_test_setup_teardown(locks_exclude, store_make, store_remove),
        cmocka_unit_test_setup_teardown(removal_waits_for_nobody, store_make, store_remove),
        cmocka_unit_test_setup_teardown(trees_are_removed_whole, store_make, store_remove),
        cmocka_unit_test_setup_teardown(builds_are_checked_first, store_make, store_remove),
        cmocka_unit_test(directories_come_from_the_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
