/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recipe for Debian. First stage on the host (share/image/debian/first-stage): download,
 * verify, unpack, write the file system; no program of the guest runs. Second stage in a machine
 * of ours (share/image/debian/init, second-stage): the packages' own scripts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "image/apt.h"
#include "image/child.h"
#include "image/cpio.h"
#include "image/file.h"
#include "image/mirror.h"
#include "image/parts.h"
#include "image/recipe.h"
#include "image/store.h"

#define SUITE        "trixie"
#define ARCHITECTURE "riscv64"
#define HOST_NAME    "debian"
#define WANTED_MAX   100

/* second-stage does two things at a time. */
#define SECOND_STAGE_CPUS   2
#define SECOND_STAGE_MEMORY (1ull << 30)
/* Quiet: each message costs the guest time on a UART. A panic ends the machine. */
#define SECOND_STAGE_APPEND "console=ttyS0 quiet audit=0 panic=-1"

/* Words that point into `text`, which is cut up. Of each line the first word; # begins a remark. */
static int wanted_split(char *text, const char **wanted, size_t limit)
{
    size_t n = 0;
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == '#' || line[0] == '\0')
            continue;
        line[strcspn(line, " \t")] = '\0';
        if (n + 1 >= limit)
            return -E2BIG;
        wanted[n++] = line;
    }
    wanted[n] = NULL;
    return (int)n;
}

/* A random (version 4, RFC 9562 section 5.4) UUID and its line end. */
static int uuid_make(char text[static 38])
{
    unsigned char b[16];

    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        return -EIO;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    snprintf(text, 38, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return 0;
}

static int scratch_write(const struct build *build, const char *name, const char *text,
                         struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/%s", build->scratch, name);

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    return file_write(path, text, strlen(text), false, error);
}

static int packages_get(const struct build *build, struct error *error)
{
    CLEANUP(text_free) char *names = recipe_file_text(recipe_debian_files, "packages");
    CLEANUP(text_free) char *list = text_format("%s/debs", build->scratch);
    CLEANUP(text_free) char *inventory = text_format("%s/packages", build->result);
    CLEANUP(text_free) char *sources = NULL;
    CLEANUP(mirror_release) struct mirror mirror = {0};
    CLEANUP(apt_release) struct apt apt = {0};
    const char *wanted[WANTED_MAX + 1];
    int ret, count;

    if (!names || !list || !inventory)
        return error_set(error, ENOMEM, "out of memory");
    count = wanted_split(names, wanted, WANTED_MAX);
    BUG_ON(count < 0); /* the list is compiled in */
    ret = mirror_find(build->options->mirror, &mirror, error);
    if (ret)
        return ret;
    /* The guest's apt will have to check the mirror's certificate. */
    if (strncmp(mirror.archive, "https:", 6) == 0) {
        wanted[count++] = "ca-certificates";
        wanted[count] = NULL;
    }
    ret = apt_init(&apt, build, ARCHITECTURE, error);
    if (!ret)
        ret = apt_update(&apt, &mirror, SUITE, &sources, error);
    if (!ret)
        ret = scratch_write(build, "sources", sources, error);
    if (!ret)
        ret = apt_download(&apt, wanted, list, inventory, error);
    return ret;
}

/* "progress N M text" of first-stage. */
static void first_stage_line(void *ctx, const char *text)
{
    const struct build *build = ctx;
    unsigned done, total;
    int at = 0;

    if (sscanf(text, "progress %5u %5u %n", &done, &total, &at) == 2 && at)
        build_progress(build, "unpacking", done, total, text + at);
}

static int first_stage(const struct build *build, struct error *error)
{
    CLEANUP(text_free) char *script = text_format("%s/recipe/first-stage", build->scratch);
    CLEANUP(text_free) char *recipe = text_format("%s/recipe", build->scratch);
    CLEANUP(text_free) char *size = text_format("%llu", (unsigned long long)build->size);
    CLEANUP(text_free) char *temporary = text_format("TMPDIR=%s", build->scratch);
    const char *const argv[] = {"fakeroot", "sh", script, build->scratch, size, NULL};
    const char *const environment[] = {temporary, NULL};
    /* The packages are read in the cache, and what is made of them is here. */
    const char *const directories[] = {build->scratch, build->cache, NULL};
    struct child child = {.argv = argv,
                          .environment = environment,
                          .log = build->log,
                          .line = first_stage_line,
                          .ctx = (void *)build,
                          .guard = build->options->guard,
                          .directories = directories};
    char uuid[38];
    int ret;

    if (!script || !recipe || !size || !temporary)
        return error_set(error, ENOMEM, "out of memory");
    if (uuid_make(uuid))
        return error_set(error, EIO, "the host has no random numbers");
    ret = directory_make(recipe, error);
    if (!ret)
        ret = recipe_files_write(recipe_debian_files, recipe, error);
    if (!ret)
        ret = scratch_write(build, "uuid", uuid, error);
    if (!ret)
        ret = scratch_write(build, "hostname", HOST_NAME "\n", error);
    if (!ret)
        ret = child_run(&child, error);
    return ret ? error_wrap(error, "first stage") : 0;
}

static int parts_disk_make(const char *path, struct error *error)
{
    CLEANUP(descriptor_close) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0 || ftruncate(fd, (off_t)PARTS_DISK_SIZE) < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", path, error_words(errno));
    return 0;
}

static int second_stage(const struct build *build, struct error *error)
{
    CLEANUP(text_free) char *kernel = text_format("%s/kernel", build->scratch);
    CLEANUP(text_free) char *initrd = text_format("%s/initramfs.cpio", build->scratch);
    CLEANUP(text_free) char *tree = text_format("%s/initramfs", build->scratch);
    CLEANUP(text_free) char *disk = text_format("%s/disk.raw", build->scratch);
    CLEANUP(text_free) char *parts = text_format("%s/parts.raw", build->scratch);
    CLEANUP(text_free) char *to_disk = text_format("%s/disk.raw", build->result);
    CLEANUP(text_free) char *to_kernel = text_format("%s/kernel", build->result);
    CLEANUP(text_free) char *to_initrd = text_format("%s/initrd", build->result);
    struct image_machine machine = {.kernel = kernel,
                                    .initrd = initrd,
                                    .append = SECOND_STAGE_APPEND,
                                    .disk = disk,
                                    .parts = parts,
                                    .cpus = SECOND_STAGE_CPUS,
                                    .memory = SECOND_STAGE_MEMORY};
    int ret;

    if (!kernel || !initrd || !tree || !disk || !parts || !to_disk || !to_kernel || !to_initrd)
        return error_set(error, ENOMEM, "out of memory");
    ret = cpio_write(tree, initrd, error);
    if (!ret)
        ret = parts_disk_make(parts, error);
    if (!ret)
        ret = build_second_stage(build, &machine, error);
    if (!ret)
        ret = parts_extract(parts, to_kernel, to_initrd, error);
    if (!ret && rename(disk, to_disk) < 0)
        ret = error_set(error, errno, "cannot move \"%s\": %s", disk, error_words(errno));
    return ret;
}

static int debian_make(const struct build *build, struct error *error)
{
    int ret = packages_get(build, error);

    if (!ret)
        ret = first_stage(build, error);
    if (!ret)
        ret = second_stage(build, error);
    return ret;
}

const struct recipe recipe_debian = {
    .name = "debian",
    .architecture = ARCHITECTURE,
    .release = "debian " SUITE,
    /* The disk is always the first one; a copy of it as a second disk has the same UUID. */
    .append = "console=ttyS0 root=/dev/vda rw audit=0 quiet",
    .room = 2ull << 30,
    .make = debian_make,
};
