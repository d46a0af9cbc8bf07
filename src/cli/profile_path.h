/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the code profile of an image is (cpu/profile.h): the user's cache directory, by the name of
 * the image and the path of its disk. Machines of one image share it, machines of two never do.
 */
#ifndef HOSPES_CLI_PROFILE_PATH_H
#define HOSPES_CLI_PROFILE_PATH_H

#include "base/error.h"

/* *path is the caller's to free; NULL, which is success: the user has no cache directory, or there
 * is no such disk. -ENOMEM. */
int profile_path_find(const char *disk, char **path, struct error *error) MUST_CHECK;
/* Makes the directory that it lies in. That this fails is told when the profile is written. */
void profile_path_prepare(const char *path);

#endif
