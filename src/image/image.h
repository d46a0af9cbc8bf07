/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store: named guest images, each a directory of its own.
 *
 *   STORE/NAME/disk.raw       the system's disk, which the machine writes to
 *   STORE/NAME/kernel, initrd what a direct boot needs
 *   STORE/NAME/packages       "package version architecture", one a line
 *   STORE/NAME/code           translated code, of one build of hospes (cpu/translate/library.h)
 *   STORE/NAME/manifest.json  see manifest.h; written last
 *
 * STORE is $HOSPES_IMAGE_DIR, or $XDG_DATA_HOME/hospes/images, or ~/.local/share/hospes/images. An
 * image appears whole or not at all: it is made in STORE/.NAME.new, under the lock
 * STORE/.NAME.lock, and renamed. What a killed build left behind is swept by the next. Calls may be
 * made from any thread and process; nothing here keeps state but the struct that is passed.
 */
#ifndef HOSPES_IMAGE_IMAGE_H
#define HOSPES_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_NAME_MAX     32
#define IMAGE_SIZE_DEFAULT (4ull << 30)
#define IMAGE_SIZE_MIN     (1ull << 30)
#define IMAGE_SIZE_MAX     (16ull << 40)

struct image_store {
    char *directory; /* owned; absolute */
    char *cache;     /* owned; downloads: $XDG_CACHE_HOME/hospes or ~/.cache/hospes */
};

/* Owns its strings. */
struct image {
    char *name;
    char *architecture; /* "riscv64" */
    char *release;      /* "debian trixie" */
    char *date;         /* of the build, ISO 8601, UTC */
    char *disk;         /* absolute paths */
    char *kernel;
    char *initrd;
    char *library;      /* of translated code, see image_translate(); it need not be there */
    char *append;       /* the kernel's command line */
    uint64_t disk_size; /* bytes as the guest sees it */
    uint64_t disk_used; /* bytes taken on the host */
};

struct image_list {
    struct image *images; /* owned; sorted by name */
    size_t count;
};

/* Finds the directories' names; makes nothing. */
int image_store_open(struct image_store *store, struct error *error) MUST_CHECK;
void image_store_release(struct image_store *store);

/* A name is 1 to IMAGE_NAME_MAX of a-z 0-9 . _ - and begins with a letter or digit. */
bool image_name_is_valid(const char *name);

/* Fills `image`, which the caller releases. -ENOENT with the next step when there is none. */
int image_find(const struct image_store *store, const char *name, struct image *image,
               struct error *error) MUST_CHECK;
void image_release(struct image *image);

/* All whole images; an absent store is an empty one. A directory that is no image is left out. */
int image_list(const struct image_store *store, struct image_list *list,
               struct error *error) MUST_CHECK;
void image_list_release(struct image_list *list);

/* -EBUSY while a machine uses the disk or the image is being built. */
int image_remove(const struct image_store *store, const char *name, struct error *error) MUST_CHECK;

/* The machine that runs a second stage: no network, two disks. */
struct image_machine {
    const char *kernel;
    const char *initrd;
    const char *append;
    const char *disk;  /* vda: the system */
    const char *parts; /* vdb: where the guest leaves its result (parts.h) */
    unsigned cpus;
    uint64_t memory; /* bytes */
};

/* Runs the machine until it powers off and passes each line of its console on. */
typedef int image_run_machine(void *ctx, const struct image_machine *machine,
                              void (*line)(void *line_ctx, const char *text), void *line_ctx,
                              struct error *error);

struct child_guard; /* child.h */

struct image_build_options {
    const char
        *mirror;   /* URL of the archive; NULL: $HOSPES_MIRROR, else the host's own (mirror.h) */
    uint64_t size; /* of the disk, bytes; 0: IMAGE_SIZE_DEFAULT */
    bool replace;  /* an image of this name that exists is built anew */
    /* What is being done: step `done` of `total` (0: unknown) of `what`. From the calling thread;
     * may be NULL. */
    void (*progress)(void *ctx, const char *what, unsigned done, unsigned total,
                     const char *detail);
    void *progress_ctx;
    /* Confines the programs that read the archive and its packages; NULL: nothing does. */
    const struct child_guard *guard;
    /* NULL: this very program, as "hospes run". */
    image_run_machine *run_machine;
    void *run_machine_ctx;
};

/* The names image_build() knows, ends with NULL. */
const char *const *image_recipes(void);

/* Makes the image `name` (a recipe's name) from the distribution's signed archive. Takes minutes.
 * -EEXIST when it is there and replace is false; -EBUSY while another process builds it. A failure
 * names the log and leaves an image that was there as it was. Signals that child_hold_stops() holds
 * back end the build with -EINTR. */
int image_build(const struct image_store *store, const char *name,
                const struct image_build_options *options, struct error *error) MUST_CHECK;

/* Boots the image in a machine without a network, whose changes are thrown away, and keeps the code
 * that it has executed, translated, for all of the image's machines. Takes as long as a boot.
 * -EBUSY while a machine writes to the image, or it is being built. Signals as image_build(). */
int image_translate(const struct image_store *store, const char *name,
                    struct error *error) MUST_CHECK;

#endif
