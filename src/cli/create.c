/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes create`: options and an image into a named machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/machine_options.h"
#include "cli/option.h"
#include "cli/profile_path.h"
#include "cli/spec.h"
#include "host/maker.h"
#include "host/weight.h"
#include "image/file.h"

enum {
    CREATE_IMAGE = 1,
    CREATE_DISK,
    CREATE_DRIVE,
    CREATE_MEMORY_MIN,
    CREATE_CPUS_MIN,
    CREATE_CPU_WEIGHT,
    CREATE_CPU_CAP,
    CREATE_USER,
    CREATE_SSH_KEY,
    CREATE_USER_DATA,
    CREATE_MERGE,
    CREATE_MERGE_DOMAIN,
    CREATE_CODE_LIBRARY,
};

struct create {
    struct record record;
    const char *image;   /* its name; NULL: none */
    const char *library; /* "auto", "none" or a file; NULL: not given */
    uint64_t disk_size;
    struct seed seed;
    char *texts[SEED_KEYS_MAX + 1]; /* what the seed's texts are, if they came from files; owned */
    unsigned text_count;
};

/* A file's text, which lives as long as `create` does. */
static int create_text(struct create *create, const char *path, const char **text,
                       struct error *error)
{
    char **owned = &create->texts[create->text_count];
    int r = file_read_text(path, SEED_TEXT_MAX, owned, error);

    if (r)
        return r;
    create->text_count++;
    *text = *owned;
    return 0;
}

static int create_key(struct create *create, const char *path, struct error *error)
{
    const char *key;
    int r;

    if (create->seed.key_count == SEED_KEYS_MAX)
        return error_usage(error, "too many keys; a machine takes %d", SEED_KEYS_MAX);
    r = create_text(create, path, &key, error);
    if (r)
        return r;
    if (!strncmp(key, "-----BEGIN", 10))
        return error_usage(error, "\"%s\" is a private key; give the public one, \"%s.pub\"", path,
                           path);
    /* One line of it: a key is one. */
    create->texts[create->text_count - 1][strcspn(key, "\r\n")] = 0;
    create->seed.keys[create->seed.key_count++] = key;
    return 0;
}

static int create_option(struct create *create, const struct option_walk *walk, struct error *error)
{
    switch (walk->option->id) {
    case CREATE_IMAGE:
        create->image = walk->value;
        return 0;
    case CREATE_DISK:
        if (size_parse(walk->value, &create->disk_size) || create->disk_size < MAKER_DISK_MIN)
            return error_usage(error,
                               "cannot read '--disk %s'; use a number and a unit, as in 10G (a "
                               "file is a --drive)",
                               walk->value);
        return 0;
    case CREATE_MEMORY_MIN:
        return spec_bytes(walk, &create->record.memory_min, error);
    case CREATE_CPUS_MIN:
        return option_number(walk, 1, MACHINE_CPUS_MAX, &create->record.cpus_min, error);
    case CREATE_CPU_WEIGHT:
        return option_number(walk, WEIGHT_MIN, WEIGHT_MAX, &create->record.cpu_weight, error);
    case CREATE_CPU_CAP:
        return spec_per_cent(walk, RECORD_CPU_CAP_MAX, &create->record.cpu_cap, error);
    case CREATE_USER:
        create->seed.user = walk->value;
        return 0;
    case CREATE_SSH_KEY:
        return create_key(create, walk->value, error);
    case CREATE_USER_DATA:
        return create_text(create, walk->value, &create->seed.user_data, error);
    case CREATE_MERGE:
        create->record.description.merge = true;
        return 0;
    case CREATE_MERGE_DOMAIN:
        return machine_option_text(&create->record.merge_domain, walk->value, error);
    case CREATE_CODE_LIBRARY:
        create->library = walk->value;
        return *walk->value ? 0
                            : error_usage(error, "'--code-library' names no file; use auto, none "
                                                 "or a file");
    case CREATE_DRIVE:
        return spec_disk(walk->value, &create->record.description, error);
    }
    return machine_option(&create->record.description, walk, error);
}

static int create_parse(struct create *create, const struct command *command, int argc, char **argv,
                        struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct machine_description *d = &create->record.description;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_GIVEN)
            r = create_option(create, &walk, error);
        else if (d->name)
            r = error_usage(error, "two names, \"%s\" and \"%s\"; give one", d->name, walk.value);
        else
            r = machine_option_text(&d->name, walk.value, error);
        if (r)
            return r;
    }
    if (kind)
        return kind;
    if (!d->name)
        return error_usage(error, "the machine needs a name, as in: hospes create web --image "
                                  "debian");
    r = registry_name_check(d->name, error);
    if (!r)
        r = seed_check(&create->seed, error);
    if (!r && create->record.merge_domain && !d->merge)
        r = error_usage(error, "'--merge-domain' goes with '--merge'");
    if (!r && create->image && (d->kernel || d->initrd))
        r = error_usage(error,
                        "the image \"%s\" brings its own kernel; leave out '--image' or "
                        "'--kernel'",
                        create->image);
    if (!r && !create->image && create->library && !strcmp(create->library, "auto"))
        r = error_usage(error, "'--code-library auto' goes with '--image'; use --code-library "
                               "FILE");
    if (!r && !create->image && !d->kernel && !d->firmware)
        r = error_usage(error, "nothing to boot; give --image NAME, --kernel FILE or --bios FILE");
    return r;
}

/* The machine may be started from anywhere. */
static int make_absolute(char **path, struct error *error)
{
    char *real = *path ? realpath(*path, NULL) : NULL;

    if (*path && !real)
        return error_set(error, errno, "cannot open \"%s\": %s", *path, error_words(errno));
    free(*path);
    *path = real;
    return 0;
}

static int create_resolve(struct create *create, struct error *error)
{
    struct machine_description *d = &create->record.description;
    int r = machine_options_check(d, error);

    if (!r && !d->engine)
        r = machine_option_text(&d->engine, "auto", error);
    if (!r)
        r = make_absolute(&d->kernel, error);
    if (!r)
        r = make_absolute(&d->initrd, error);
    if (!r)
        r = make_absolute(&d->firmware, error);
    if (!r && create->library && strcmp(create->library, "auto") != 0 &&
        strcmp(create->library, "none") != 0)
        r = machine_option_text(&d->library, create->library, error);
    if (!r)
        r = make_absolute(&d->library, error);
    for (unsigned i = 0; !r && i < d->disk_count; i++)
        r = make_absolute(&d->disks[i].path, error);
    return r;
}

static int create_image(struct create *create, struct image *image, struct error *error)
{
    struct image_store store = {0};
    int r = image_store_open(&store, error);

    if (!r)
        r = image_find(&store, create->image, image, error);
    /* Machines of one image execute the same code: they share what is known of it. */
    if (!r)
        r = profile_path_find(image->disk, &create->record.description.profile, error);
    if (!r && create->record.description.profile)
        profile_path_prepare(create->record.description.profile);
    if (!r && create->library && !strcmp(create->library, "auto") &&
        description_set(&create->record.description.library, image->library))
        r = error_set(error, ENOMEM, "out of memory");
    image_store_release(&store);
    return r;
}

static int create_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct create create = {0};
    struct registry registry = {0};
    struct image image = {0};
    int r;

    record_init(&create.record);
    r = create_parse(&create, command, argc, argv, error);
    if (!r)
        r = registry_open(&registry, error);
    if (!r)
        r = create_resolve(&create, error);
    if (!r && create.image)
        r = create_image(&create, &image, error);
    if (!r)
        r = maker_make(&registry, &create.record,
                       &(struct maker_request){
                           .image = create.image ? &image : NULL,
                           .disk_size = create.disk_size,
                           .seed = seed_is_wanted(&create.seed) ? &create.seed : NULL,
                       },
                       error);
    for (unsigned i = 0; i < create.text_count; i++)
        free(create.texts[i]);
    image_release(&image);
    registry_release(&registry);
    record_release(&create.record);
    return r;
}

static const struct option create_options[] = {
    {CREATE_IMAGE, "--image", NULL, "NAME", false, "copy this image ('hospes image ls')"},
    {CREATE_DISK, "--disk", NULL, "SIZE", false,
     "size of the machine's own disk (the image's; without an image: no disk)"},
    {CREATE_DRIVE, "--drive", NULL, "FILE[,WORD]...", true,
     "one more disk, a raw image that stays where it is; words: readonly, ephemeral, serial=TEXT; "
     "may be repeated"},
    {CREATE_MEMORY_MIN, "--memory-min", NULL, "SIZE", false,
     "the memory that it is promised; above it, what the host can spare (all of it)"},
    {CREATE_CPUS_MIN, "--cpus-min", NULL, "N", false,
     "the CPUs that it is promised; above them, while it needs them or others do not (--cpus)"},
    {CREATE_USER, "--user", NULL, "NAME", false,
     "for images with cloud-init: a user to make, who may use sudo"},
    {CREATE_SSH_KEY, "--ssh-key", NULL, "FILE", true,
     "for images with cloud-init: a public key that lets that user (or root) in; may be repeated"},
    {CREATE_USER_DATA, "--user-data", NULL, "FILE", false,
     "for images with cloud-init: its configuration as a whole"},
    {CREATE_MERGE, "--merge", NULL, NULL, false,
     "let the host's kernel merge its pages with equal ones of other machines (KSM); slower, and "
     "what is merged can be noticed by timing"},
    {CREATE_MERGE_DOMAIN, "--merge-domain", NULL, "NAME", false,
     "merge with machines of this domain only (those without one)"},
    {CREATE_CODE_LIBRARY, "--code-library", NULL, "FILE", false,
     "translated code that is shared with other machines: auto (the image's, see 'hospes image "
     "translate'), none or a file (none)"},
    {CREATE_CPU_WEIGHT, "--cpu-weight", NULL, "N", false,
     "its share of CPUs that others want too, 1 to 10000 (100)"},
    {CREATE_CPU_CAP, "--cpu-cap", NULL, "N%", false,
     "at most so much of one host CPU for all its CPUs together, as in 80% or 150% (no cap)"},
#include "cli/machine_options.inc"
    {0},
};

static const struct example create_examples[] = {
    {"hospes create web --image debian --cpus 2 --memory 1G --disk 10G",
     "makes a machine with a disk of its own; start it with: hospes start web"},
    {0},
};

const struct command command_create = {
    .name = "create",
    .summary = "make a named machine",
    .usage = "create [OPTION]... NAME",
    .about = "The machine has a directory, with its disk in it, and stays until 'hospes delete'.\n"
             "Its disk is a copy of the image's, which takes room as far as the two differ where\n"
             "the file system can share blocks.",
    .options = create_options,
    .examples = create_examples,
    .run = create_run,
};
