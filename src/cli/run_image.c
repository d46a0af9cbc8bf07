/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"

/* Where Debian's package u-boot-qemu puts the build that runs under an SBI. */
#define UBOOT_PATH "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"

static void free_text(char **text)
{
    free(*text);
}

bool run_image_is_path(const char *image)
{
    return strchr(image, '/') || strchr(image, '.');
}

/* The image's disk is /dev/vda, whatever disks were added by options. */
static int run_image_disk_first(struct machine_description *description, const char *path,
                                struct error *error)
{
    struct machine_disk *disks = description->disks;

    if (description->disk_count == MACHINE_DISKS_MAX)
        return error_usage(error, "too many disks; beside the image's own a machine takes %d",
                           MACHINE_DISKS_MAX - 1);
    memmove(disks + 1, disks, description->disk_count * sizeof(*disks));
    disks[0] = (struct machine_disk){0};
    description->disk_count++;
    if (description_set(&disks[0].path, path))
        return error_set(error, ENOMEM, "cannot describe disk \"%s\": out of memory", path);
    return 0;
}

static int run_image_file(const char *image, struct machine_description *description,
                          struct error *error)
{
    if (access(image, F_OK) != 0)
        return error_set(error, errno, "cannot open disk image \"%s\": %s; check the path", image,
                         error_words(errno));
    if (description->append)
        return error_usage(error,
                           "'--append' goes with '--kernel' or a named image; \"%s\" is "
                           "booted by its own loader",
                           image);
    if (access(UBOOT_PATH, R_OK) != 0)
        return error_set(error, ENOENT,
                         "cannot boot disk image \"%s\": U-Boot is not installed; install it "
                         "with: apt install u-boot-qemu",
                         image);
    if (description_set(&description->kernel, UBOOT_PATH))
        return error_set(error, ENOMEM, "cannot boot \"%s\": out of memory", image);
    return run_image_disk_first(description, image, error);
}

static int run_image_named(const struct image *image, struct machine_description *d,
                           struct error *error)
{
    CLEANUP(free_text) char *append = NULL;
    int r;

    if (asprintf(&append, "%s%s%s", image->append, d->append ? " " : "",
                 d->append ? d->append : "") < 0)
        append = NULL;
    r = run_image_disk_first(d, image->disk, error);
    if (r)
        return r;
    if (!append || description_set(&d->append, append) ||
        description_set(&d->library, image->library) ||
        description_set(&d->kernel, image->kernel) || description_set(&d->initrd, image->initrd) ||
        (!d->name && description_set(&d->name, image->name)))
        return error_set(error, ENOMEM, "cannot boot \"%s\": out of memory", image->name);
    return 0;
}

int run_image_resolve(const char *image, struct machine_description *description,
                      struct error *error)
{
    const bool file = access(image, F_OK) == 0;
    struct image_store store = {0};
    struct image found = {0};
    int r;

    if (run_image_is_path(image) || (file && !image_name_is_valid(image)))
        return run_image_file(image, description, error);
    r = image_store_open(&store, error);
    if (r)
        return r;
    r = image_find(&store, image, &found, file ? NULL : error);
    if (!r)
        r = run_image_named(&found, description, error);
    else if (file)
        r = run_image_file(image, description, error);
    image_release(&found);
    image_store_release(&store);
    return r;
}
