/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/profile_path.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "image/file.h"
#include "image/image.h"

enum { LABEL_SIZE = 33 };

/* For whoever looks at the directory: the image's name, or the disk's. */
static void label_make(const char *disk, char label[LABEL_SIZE])
{
    const char *end = strrchr(disk, '/'), *begin = end + 1;
    unsigned n = 0;

    if (!strcmp(end, "/disk.raw") && end > disk) {
        begin = end;
        while (begin > disk && begin[-1] != '/')
            begin--;
    }
    for (const char *p = begin; *p && (begin > end || p < end) && n < LABEL_SIZE - 1; p++)
        label[n++] = isascii(*p) && isalnum(*p) ? *p : '-';
    label[n] = 0;
}

int profile_path_find(const char *disk, char **path, struct error *error)
{
    CLEANUP(text_free) char *real = realpath(disk, NULL);
    struct image_store store = {0};
    char label[LABEL_SIZE];
    struct hash128 hash;
    int r;

    *path = NULL;
    if (!real || image_store_open(&store, NULL))
        return 0;
    label_make(real, label);
    hash = hash128(real, strlen(real), 0);
    r = asprintf(path, "%s/profiles/%s-%016" PRIx64, store.cache, label, hash.word[0]);
    image_store_release(&store);
    if (r < 0) {
        *path = NULL;
        return error_set(error, ENOMEM, "out of memory");
    }
    return 0;
}

void profile_path_prepare(const char *path)
{
    CLEANUP(text_free) char *directory = strdup(path);

    if (!directory)
        return;
    *strrchr(directory, '/') = 0;
    if (directory_make(directory, NULL))
        return;
    /* What a guest has executed is the user's business. */
    chmod(directory, 0700);
}
