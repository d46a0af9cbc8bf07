/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the IMAGE of `hospes run` to what is booted.
 */
#ifndef HOSPES_CLI_RUN_IMAGE_H
#define HOSPES_CLI_RUN_IMAGE_H

#include <stdbool.h>

#include "base/error.h"
#include "machine/description.h"

/* Whether IMAGE is spelt as a path: it has a slash or an extension. Other words are names first. */
bool run_image_is_path(const char *image);

/* Puts the image's disk first, before the disks that the description has, and its kernel, initrd
 * and command line (in front of description->append) where it has them. A disk image alone is
 * booted by U-Boot. Errors name the next step. */
int run_image_resolve(const char *image, struct machine_description *description,
                      struct error *error) MUST_CHECK;

#endif
