/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes image ls`. */
#include <stdio.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/option.h"
#include "image/image.h"

enum { LS_NAMES = 1 };

static void ls_print(const struct image_list *list, bool names)
{
    static const char row[] = "%-16s %-20s %-10s %10s %10s  %s\n";
    char size[SIZE_TEXT_MAX], used[SIZE_TEXT_MAX];

    if (!names && list->count == 0)
        printf("no images; make one with: hospes image build debian\n");
    else if (!names)
        printf(row, "NAME", "RELEASE", "FOR", "DISK", "ON DISK", "MADE");
    for (size_t i = 0; i < list->count; i++) {
        const struct image *image = &list->images[i];

        if (names)
            printf("%s\n", image->name);
        else
            printf(row, image->name, image->release, image->architecture,
                   size_format(image->disk_size, size), size_format(image->disk_used, used),
                   image->date);
    }
}

static int image_ls_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct image_store store = {0};
    struct image_list list = {0};
    bool names = false;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes image ls --help",
                               walk.value);
        names = true;
    }
    if (kind < 0)
        return kind;
    r = image_store_open(&store, error);
    if (r)
        return r;
    r = image_list(&store, &list, error);
    if (!r)
        ls_print(&list, names);
    image_list_release(&list);
    image_store_release(&store);
    return r;
}

static const struct option image_ls_options[] = {
    {LS_NAMES, "--names", NULL, NULL, false, "print the names alone, one a line"},
    {0},
};

static const struct example image_ls_examples[] = {
    {"hospes image ls", "prints a line an image: name, release, size of its disk, room it takes"},
    {0},
};

const struct command command_image_ls = {
    .name = "image ls",
    .summary = "list the images",
    .usage = "image ls [--names]",
    .options = image_ls_options,
    .examples = image_ls_examples,
    .run = image_ls_run,
};
