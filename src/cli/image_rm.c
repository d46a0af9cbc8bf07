/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes image rm`. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/option.h"
#include "cli/profile_path.h"
#include "image/image.h"

/* Of the image's machines; it is of no use without. NULL: none is known. */
static int rm_find_profile(const struct image_store *store, const char *name, char **profile,
                           struct error *error)
{
    struct image image = {0};
    int r = 0;

    /* One that is not whole is removed as well. */
    if (!image_find(store, name, &image, NULL))
        r = profile_path_find(image.disk, profile, error);
    image_release(&image);
    return r;
}

static int image_rm_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct image_store store = {0};
    const char *name = NULL;
    char *profile = NULL;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (name)
            return error_usage(error, "unexpected argument \"%s\"; delete one image at a time",
                               walk.value);
        name = walk.value;
    }
    if (kind < 0)
        return kind;
    if (!name)
        return error_usage(error, "no image named; see: hospes image ls");
    r = image_store_open(&store, error);
    if (r)
        return r;
    r = rm_find_profile(&store, name, &profile, error);
    r = r ? r : image_remove(&store, name, error);
    if (!r && profile)
        unlink(profile);
    free(profile);
    image_store_release(&store);
    return r;
}

static const struct option image_rm_options[] = {{0}};

static const struct example image_rm_examples[] = {
    {"hospes image rm debian", "deletes the image and all that was written to it"},
    {0},
};

const struct command command_image_rm = {
    .name = "image rm",
    .summary = "delete an image",
    .usage = "image rm NAME",
    .about = "An image that a machine uses is not deleted.",
    .options = image_rm_options,
    .examples = image_rm_examples,
    .run = image_rm_run,
};
