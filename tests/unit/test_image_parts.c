/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may write onto the disk for its kernel and initial RAM disk: the good form is taken,
 * everything else is refused.
 */
/* clang-format off */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */

#include "base/bits.h"
#include "image/file.h"
#include "image/parts.h"
#include "image/store.h"

#define DISK_SIZE (1ull << 20)

static int parse(const char *text, struct parts *parts)
{
    char header[PARTS_HEADER_SIZE] = {0};

    memcpy(header, text, strlen(text));
    return parts_parse(header, sizeof(header), DISK_SIZE, parts, NULL);
}

static void good_header_is_taken(void **state)
{
    struct parts parts;

    assert_int_equal(parse("hospes-parts 1\nkernel 4096 100\ninitrd 8192 1040384\nend\n", &parts),
                     0);
    assert_int_equal(parts.kernel.offset, 4096);
    assert_int_equal(parts.kernel.length, 100);
    assert_int_equal(parts.initrd.offset, 8192);
    assert_int_equal(parts.initrd.length, 1040384); /* up to the disk's last byte */
}

static void bad_headers_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "hospes-parts 1",
        "hospes-parts 2\nkernel 4096 100\ninitrd 8192 100\nend\n",
        "hospes-parts 1\nkernel 4096 100\nend\n",
        "hospes-parts 1\ninitrd 8192 100\nkernel 4096 100\nend\n",
        "hospes-parts 1\nkernel 4096 100\ninitrd 8192 100\n",
        "hospes-parts 1\nkernel 4096 0\ninitrd 8192 100\nend\n",
        "hospes-parts 1\nkernel 0 100\ninitrd 8192 100\nend\n",
        "hospes-parts 1\nkernel 4095 100\ninitrd 8192 100\nend\n",
        "hospes-parts 1\nkernel 4096 100\ninitrd 8192 1040385\nend\n",
        "hospes-parts 1\nkernel 4096 100\ninitrd 1048577 1\nend\n",
        "hospes-parts 1\nkernel 4096 18446744073709551615\ninitrd 8192 1\nend\n",
        "hospes-parts 1\nkernel 18446744073709551615 100\ninitrd 8192 1\nend\n",
        "hospes-parts 1\nkernel 18446744073709555712 100\ninitrd 8192 1\nend\n",
        "hospes-parts 1\nkernel -4096 100\ninitrd 8192 1\nend\n",
        "hospes-parts 1\nkernel 0x1000 100\ninitrd 8192 1\nend\n",
        "hospes-parts 1\nkernel  4096 100\ninitrd 8192 1\nend\n",
        "hospes-parts 1\nkernel 4096\n100\ninitrd 8192 1\nend\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct parts parts = {.kernel = {1, 2}, .initrd = {3, 4}};
        struct error error = ERROR_INIT;
        char header[PARTS_HEADER_SIZE] = {0};

        memcpy(header, bad[i], strlen(bad[i]));
        if (parts_parse(header, sizeof(header), DISK_SIZE, &parts, &error) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_non_null(error.message);
        assert_int_equal(parts.kernel.offset, 1); /* untouched */
        assert_int_equal(parts.initrd.length, 4);
        error_release(&error);
    }
}

static void header_without_an_end_stays_in_bounds(void **state)
{
    /* Exactly as long as its allocation, so that the sanitizer sees a step too far. */
    const char *text = "hospes-parts 1\nkernel 4096 100\ninitrd 8192 100\nend\n";

    for (size_t length = 0; length < strlen(text); length++) {
        struct parts parts;
        char *header = malloc(length + 1);

        assert_non_null(header);
        memcpy(header, text, length);
        memset(header + length, '9', 1);
        assert_int_equal(parts_parse(header, length + 1, DISK_SIZE, &parts, NULL), -EINVAL);
        free(header);
    }
}

static void disk_write(const char *path, const char *header, uint32_t magic, const char *initrd)
{
    unsigned char data[3 * 4096] = {0};

    memcpy(data, header, strlen(header));
    store_le32(data + 4096 + 0x38, magic);
    memcpy(data + 8192, initrd, strlen(initrd));
    assert_int_equal(file_write(path, data, sizeof(data), false, NULL), 0);
}

static void parts_become_files(void **state)
{
    char directory[] = "/tmp/hospes-test-XXXXXX";
    char *disk, *kernel, *initrd;
    CLEANUP(text_free) char *text = NULL;

    assert_non_null(mkdtemp(directory));
    disk = text_format("%s/disk", directory);
    kernel = text_format("%s/kernel", directory);
    initrd = text_format("%s/initrd", directory);
    disk_write(disk, "hospes-parts 1\nkernel 4096 4000\ninitrd 8192 7\nend\n", 0x05435352,
               "initrd!");
    assert_int_equal(parts_extract(disk, kernel, initrd, NULL), 0);
    assert_int_equal(file_read_text(initrd, 100, &text, NULL), 0);
    assert_string_equal(text, "initrd!");
    free(text);
    text = NULL;
    assert_int_equal(file_read_text(kernel, 5000, &text, NULL), 0);
    assert_memory_equal(text + 0x38, "RSC\x05", 4);

    /* A kernel that is none, one that is too short to be one, and no disk at all. */
    disk_write(disk, "hospes-parts 1\nkernel 4096 4000\ninitrd 8192 7\nend\n", 0x12345678, "x");
    assert_int_equal(parts_extract(disk, kernel, initrd, NULL), -EINVAL);
    disk_write(disk, "hospes-parts 1\nkernel 4096 63\ninitrd 8192 7\nend\n", 0x05435352, "x");
    assert_int_equal(parts_extract(disk, kernel, initrd, NULL), -EINVAL);
    assert_int_equal(parts_extract("/nonexistent/disk", kernel, initrd, NULL), -ENOENT);
    assert_int_equal(directory_remove(directory, NULL), 0);
    free(disk);
    free(kernel);
    free(initrd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_header_is_taken),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(header_without_an_end_stays_in_bounds),
        cmocka_unit_test(parts_become_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
