/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the second stage starts its machine. It runs this very program again, which is the test here:
 * called as "run" it plays hospes and tells the options that it was given.
 */
/* clang-format off */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "cli/spec.h"
#include "image/recipe.h"
#include "machine/description.h"

#define DISK  "/a,readonly/it's, \"x\"/disk.raw"
#define PARTS "/,,/parts.raw"

/* Reads its --disk options as hospes does, and is content when they are those two files. */
static int play_hospes(int argc, char **argv)
{
    struct machine_description description = {0};
    int r = 1;

    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--disk") == 0 && spec_disk(argv[i + 1], &description, NULL))
            printf("refused: %s\n", argv[i + 1]);
    if (description.disk_count == 2 && strcmp(description.disks[0].path, DISK) == 0 &&
        strcmp(description.disks[1].path, PARTS) == 0 && !description.disks[0].read_only) {
        printf("hospes-stage2: done\n");
        r = 0;
    }
    description_release(&description);
    return r;
}

static void any_path_is_a_disk(void **state)
{
    const struct image_build_options options = {0};
    const struct build build = {.options = &options, .log = -1};
    const struct image_machine machine = {.kernel = "/kernel",
                                          .initrd = "/initrd",
                                          .append = "quiet",
                                          .disk = DISK,
                                          .parts = PARTS,
                                          .cpus = 1,
                                          .memory = 64 << 20};
    struct error error = ERROR_INIT;

    if (build_second_stage(&build, &machine, &error))
        fail_msg("%s", error.message);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_path_is_a_disk),
    };

    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return play_hospes(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
