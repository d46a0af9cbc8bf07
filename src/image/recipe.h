/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an image is made: a recipe is a function and the scripts it needs, which are compiled in
 * from share/image (embed.py). Inside image/ only.
 */
#ifndef HOSPES_IMAGE_RECIPE_H
#define HOSPES_IMAGE_RECIPE_H

#include "image/image.h"

struct recipe_file {
    const char *name; /* NULL ends a table */
    const unsigned char *data;
    size_t size;
};

/* One build under way. The strings are the builder's and outlive the recipe's call. */
struct build {
    const char *name;
    const struct image_build_options *options;
    uint64_t size;       /* of the disk, bytes */
    const char *cache;   /* a directory for downloads; exists */
    const char *result;  /* where disk.raw, kernel, initrd and packages are to be put */
    const char *scratch; /* an empty directory on the same file system; removed afterwards */
    int log;
};

struct recipe {
    const char *name;
    const char *architecture;
    const char *release;
    const char *append;
    uint64_t room; /* bytes that the build takes on the store's file system at most */
    int (*make)(const struct build *build, struct error *error);
};

extern const struct recipe recipe_debian;
extern const struct recipe_file recipe_debian_files[];

/* Tells the person; see image_build_options.progress. */
void build_progress(const struct build *build, const char *what, unsigned done, unsigned total,
                    const char *detail);

/* Writes all files of a table into `directory`, executable. */
int recipe_files_write(const struct recipe_file *files, const char *directory,
                       struct error *error) MUST_CHECK;
/* A table's file as text (caller frees), or NULL when memory ran out. */
char *recipe_file_text(const struct recipe_file *files, const char *name) MUST_CHECK;

/* Runs the machine of a second stage and takes its result: boots, shows the lines
 * "hospes-stage2: N/M text" as progress, and wants "hospes-stage2: done". */
int build_second_stage(const struct build *build, const struct image_machine *machine,
                       struct error *error) MUST_CHECK;

#endif
