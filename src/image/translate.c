/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "image/child.h"
#include "image/file.h"
#include "image/store.h"

/* A guest that says nothing for so long hangs. */
#define SILENCE_LIMIT_S 180

/* Until all that is started at a boot was started, and off again: systemd-run-generator(8). */
#define BOOT_ALL                                                                                   \
    "systemd.run=\"systemctl start multi-user.target\" systemd.run_success_action=poweroff "       \
    "systemd.run_failure_action=poweroff"

/* One process a machine: this program again. Nothing that it writes stays, and it has no network,
 * so that nobody but the image has a say in what it executes. */
static int boot(const struct image *image, const char *library, struct error *error)
{
    const char *const argv[] = {"/proc/self/exe",
                                "run",
                                "--quiet",
                                "--ephemeral",
                                "--net",
                                "none",
                                "--cpus",
                                "2",
                                "--code-profile",
                                "none",
                                "--code-library",
                                "none",
                                "--write-code-library",
                                library,
                                "--append",
                                BOOT_ALL,
                                image->name,
                                NULL};
    const struct child child = {.argv = argv, .log = -1, .silence_limit = SILENCE_LIMIT_S};

    return child_run(&child, error);
}

/* In the place of the one that was there. */
static int put_in_place(const char *made, const char *path, struct error *error)
{
    CLEANUP(descriptor_close) int fd = open(made, O_RDWR | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

    if (fd < 0 || size < 0 || fsync(fd) < 0)
        return error_set(error, errno, "cannot write \"%s\": %s", made, error_words(errno));
    /* The machine has told why on its console. */
    if (!size)
        return error_set(error, EIO,
                         "the machine has written no code; this host may lack a translator, see: "
                         "hospes doctor");
    if (rename(made, path) < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", path, error_words(errno));
    return 0;
}

int image_translate(const struct image_store *store, const char *name, struct error *error)
{
    CLEANUP(text_free) char *made = NULL;
    struct store_lock lock = {0};
    struct image image = {0};
    int r = image_find(store, name, &image, error);

    if (r)
        return r;
    made = text_format("%s.new", image.library);
    r = made ? store_lock(store, name, &lock, error) : error_set(error, ENOMEM, "out of memory");
    if (!r) {
        unlink(made); /* of one that was killed */
        r = boot(&image, made, error);
        r = r ? r : put_in_place(made, image.library, error);
        if (r) {
            unlink(made);
            error_wrap(error, "cannot translate image \"%s\"", name);
        }
    }
    store_unlock(&lock);
    image_release(&image);
    return r;
}
