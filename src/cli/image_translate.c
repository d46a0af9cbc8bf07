/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes image translate`. */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/option.h"
#include "image/child.h"
#include "image/image.h"

static int translate(const struct image_store *store, const char *name, struct error *error)
{
    char text[SIZE_TEXT_MAX];
    struct image image = {0};
    struct stat status = {0};
    sigset_t before;
    int r;

    child_hold_stops(&before);
    r = image_translate(store, name, error);
    /* Ctrl-C ends us here, with nothing half made left behind. */
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!r)
        r = image_find(store, name, &image, error);
    if (!r && !stat(image.library, &status))
        printf("%s: %s of translated code for its machines to share\n", name,
               size_format((uint64_t)status.st_size & ~UINT64_C(4095), text));
    image_release(&image);
    return r;
}

static int image_translate_run(const struct command *command, int argc, char **argv,
                               struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct image_store store = {0};
    const char *name = NULL;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (name)
            return error_usage(error, "unexpected argument \"%s\"; translate one image at a time",
                               walk.value);
        name = walk.value;
    }
    if (kind < 0)
        return kind;
    if (!name)
        return error_usage(error, "no image named; see: hospes image ls");
    r = image_store_open(&store, error);
    if (!r)
        r = translate(&store, name, error);
    image_store_release(&store);
    return r;
}

static const struct option image_translate_options[] = {{0}};

static const struct example image_translate_examples[] = {
    {"hospes image translate debian", "makes what its machines share of translated code anew"},
    {0},
};

const struct command command_image_translate = {
    .name = "image translate",
    .summary = "make the translated code that an image's machines share",
    .usage = "image translate NAME",
    .about =
        "The image is booted once, without a network, and what that writes is thrown away.\n"
        "Machines that are made or run with '--code-library auto' take the code from then on.\n"
        "After an update of hospes it is to be made again, and they translate for themselves\n"
        "until then.",
    .options = image_translate_options,
    .examples = image_translate_examples,
    .run = image_translate_run,
};
