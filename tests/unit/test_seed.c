/* SPDX-License-Identifier: Apache-2.0 */
/* A small file system of ISO 9660 and the seed in it, read back by a reader of the test's own. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/seed.h"
#include "image/file.h"
#include "image/iso.h"

struct volume {
    char path[40];
    uint8_t data[1 << 18];
    size_t size;
};

static int setup(void **state)
{
    struct volume *v = calloc(1, sizeof(*v));
    int fd;

    strcpy(v->path, "/tmp/hospes-test-XXXXXX");
    fd = mkstemp(v->path);
    close(fd);
    *state = v;
    return fd < 0;
}

static int teardown(void **state)
{
    struct volume *v = *state;

    unlink(v->path);
    free(v);
    return 0;
}

static uint32_t number(const uint8_t *at)
{
    uint32_t little = at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
    uint32_t big = at[7] | at[6] << 8 | at[5] << 16 | (uint32_t)at[4] << 24;

    assert_int_equal(little, big);
    return little;
}

static void load(struct volume *v)
{
    FILE *file = fopen(v->path, "rb");

    assert_non_null(file);
    v->size = fread(v->data, 1, sizeof(v->data), file);
    fclose(file);
    assert_true(v->size > 18 * 2048 && v->size % 2048 == 0 && v->size < sizeof(v->data));
    assert_memory_equal(v->data + 16 * 2048, "\1CD001\1", 7);
    assert_memory_equal(v->data + 17 * 2048, "\377CD001\1", 7);
    assert_int_equal(number(v->data + 16 * 2048 + 80) * 2048, v->size);
}

/* The file's bytes, or NULL; walks the directory and judges each record on its way. */
static const uint8_t *find(const struct volume *v, const char *name, uint32_t *size)
{
    const uint8_t *root = v->data + 16 * 2048 + 156, *record, *found = NULL;
    const uint8_t *directory = v->data + 2048 * (size_t)number(root + 2);
    char before[64] = "";

    assert_int_equal(number(root + 10), 2048);
    for (record = directory; record[0]; record += record[0]) {
        uint32_t at = number(record + 2), bytes = number(record + 10);
        char this[64] = "";

        assert_int_equal(record[0] % 2, 0);
        assert_in_range(record - directory + record[0], 34, 2048);
        assert_in_range((uint64_t)at * 2048 + bytes, 0, v->size);
        memcpy(this, record + 33, record[32]);
        if (record - directory >= 68) { /* behind "." and ".." */
            assert_true(strcmp(before, this) < 0);
            strcpy(before, this);
        }
        if (!strcmp(this, name)) {
            found = v->data + 2048 * (size_t)at;
            *size = bytes;
        }
    }
    return found;
}

static void test_files(void **state)
{
    struct volume *v = *state;
    char big[5000], empty[] = "";
    const struct iso_file files[] = {{"USER-DATA", "hello", 5},
                                     {"A_FILE", big, sizeof(big)},
                                     {"EMPTY", empty, 0},
                                     {"META-DATA", "x", 1}};
    uint32_t size;
    const uint8_t *data;
    struct volume first;

    memset(big, 'b', sizeof(big));
    assert_int_equal(iso_write(v->path, "CIDATA", files, 4, NULL), 0);
    load(v);
    assert_memory_equal(v->data + 16 * 2048 + 40, "CIDATA                          ", 32);
    data = find(v, "USER-DATA.;1", &size);
    assert_non_null(data);
    assert_int_equal(size, 5);
    assert_memory_equal(data, "hello", 5);
    data = find(v, "A_FILE.;1", &size);
    assert_int_equal(size, sizeof(big));
    assert_memory_equal(data, big, sizeof(big));
    assert_non_null(find(v, "EMPTY.;1", &size));
    assert_int_equal(size, 0);
    assert_null(find(v, "META-DATA", &size));
    /* The same again. */
    memcpy(&first, v, sizeof(first));
    assert_int_equal(iso_write(v->path, "CIDATA", files, 4, NULL), 0);
    load(v);
    assert_memory_equal(first.data, v->data, sizeof(v->data));
}

static void test_no_place(void **state)
{
    struct error error = ERROR_INIT;

    assert_true(iso_write("/nonexistent/x", "L", NULL, 0, &error) < 0);
    assert_non_null(error.message);
    error_release(&error);
}

static json_t *user_data(struct volume *v)
{
    uint32_t size;
    const char *data = (const char *)find(v, "USER-DATA.;1", &size);
    json_t *json;

    assert_non_null(data);
    assert_true(size > 14 && !strncmp(data, "#cloud-config\n", 14));
    json = json_loadb(data + 14, size - 14, 0, NULL);
    assert_non_null(json);
    return json;
}

static const char *text_at(const json_t *json, const char *key, const char *in)
{
    const json_t *user = json_array_get(json_object_get(json, "users"), 0);
    const json_t *value = json_object_get(user, key);

    return json_string_value(in ? json_array_get(value, 0) : value);
}

static void test_seeds(void **state)
{
    struct volume *v = *state;
    struct seed seed = {.user = "me", .keys = {"ssh-ed25519 AAAA \"quoted\": {x}"}, .key_count = 1};
    uint32_t size;
    const uint8_t *data;
    json_t *json;

    assert_true(seed_is_wanted(&seed));
    assert_int_equal(seed_check(&seed, NULL), 0);
    assert_int_equal(seed_write(v->path, &seed, "web", "1", NULL), 0);
    load(v);
    data = find(v, "META-DATA.;1", &size);
    assert_non_null(data);
    assert_memory_equal(data, "instance-id: web-1\nlocal-hostname: web\n", size);
    json = user_data(v);
    assert_string_equal(json_string_value(json_object_get(json, "hostname")), "web");
    assert_string_equal(text_at(json, "name", NULL), "me");
    assert_string_equal(text_at(json, "ssh_authorized_keys", "first"), seed.keys[0]);
    json_decref(json);

    seed.user = NULL;
    assert_int_equal(seed_write(v->path, &seed, "web", "1", NULL), 0);
    load(v);
    json = user_data(v);
    assert_string_equal(text_at(json, "name", NULL), "root");
    assert_true(json_is_false(json_object_get(json, "disable_root")));
    json_decref(json);

    seed = (struct seed){.user_data = "#!/bin/sh\necho own\n"};
    assert_int_equal(seed_write(v->path, &seed, "web", "1", NULL), 0);
    load(v);
    data = find(v, "USER-DATA.;1", &size);
    assert_int_equal(size, strlen(seed.user_data));
    assert_memory_equal(data, seed.user_data, size);
    /* What is no UTF-8 cannot be said. */
    seed = (struct seed){.keys = {"\xff"}, .key_count = 1};
    assert_true(seed_write(v->path, &seed, "web", "1", NULL) < 0);
}

static void test_users(void **state)
{
    static const char *const wrong[] = {
        "", "Me", "1me", "-me", "me x", "me:", "abcdefghijklmnopqrstuvwxyz0123456"};
    struct seed seed = {0};

    assert_false(seed_is_wanted(&seed));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        seed.user = wrong[i];
        assert_int_equal(seed_check(&seed, NULL), -EINVAL);
    }
    seed.user = "me-2";
    assert_int_equal(seed_check(&seed, NULL), 0);
    seed.user_data = "x";
    assert_int_equal(seed_check(&seed, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test(test_no_place),
        cmocka_unit_test_setup_teardown(test_seeds, setup, teardown),
        cmocka_unit_test(test_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
