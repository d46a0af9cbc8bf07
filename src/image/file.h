/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories as the image store handles them: whole files, small texts, trees.
 * Everything is the caller's thread's; nothing is kept.
 */
#ifndef HOSPES_IMAGE_FILE_H
#define HOSPES_IMAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/descriptor.h"
#include "base/error.h"

/* For CLEANUP() on a `char *`. */
void text_free(char **text);

/* Exactly `length` bytes at `offset`; -EIO when the file ends before. */
int file_read_at(int fd, void *data, size_t length, uint64_t offset) MUST_CHECK;

/* Makes the file `path` (mode as of umask, or with x bits when `executable`), or replaces it:
 * written beside, synced, renamed. */
int file_write(const char *path, const void *data, size_t length, bool executable,
               struct error *error) MUST_CHECK;

/* The whole file as text ending in a zero byte, which the caller frees. -EFBIG past `limit`. */
int file_read_text(const char *path, size_t limit, char **text, struct error *error) MUST_CHECK;

/* Makes the file `path` of `length` bytes of `fd` from `offset`, synced. */
int file_copy_range(int fd, uint64_t offset, uint64_t length, const char *path,
                    struct error *error) MUST_CHECK;

/* Makes the file `to`, mode 0600, with what `from` has: sharing its blocks where the file system
 * can (FICLONE, ioctl_ficlonerange(2)), else copied without what is a hole; synced. Interrupted by
 * nothing; on a failure there is no `to`. */
int file_clone(int from, const char *to, struct error *error) MUST_CHECK;

/* mkdir -p, mode 0755 less umask. */
int directory_make(const char *path, struct error *error) MUST_CHECK;
/* rm -rf, links not followed; an absent path is success. */
int directory_remove(const char *path, struct error *error) MUST_CHECK;
/* Makes renames in the directory last. */
int directory_sync(const char *path, struct error *error) MUST_CHECK;

#endif
