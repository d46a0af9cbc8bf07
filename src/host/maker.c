/* SPDX-License-Identifier: Apache-2.0 */
#include "host/maker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "host/pool.h"
#include "host/state.h"
#include "image/file.h"
#include "image/store.h"
#include "storage/lock.h"

/* A machine that is being made: where, and where it will be. */
struct making {
    const char *place; /* MACHINES/.NAME.new */
    const char *home;  /* MACHINES/NAME */
    struct record *record;
    const struct maker_request *request;
};

/* Files of an image are replaced and never written to, so that a second name is as good as a copy;
 * where that cannot be (another file system), it is one. */
static int take_file(const struct making *making, const char *from, const char *name, char **field,
                     struct error *error)
{
    CLEANUP(text_free) char *to = text_format("%s/%s", making->place, name);
    CLEANUP(descriptor_close) int fd = -1;
    char *later = text_format("%s/%s", making->home, name);

    free(*field);
    *field = later;
    if (!to || !later)
        return error_set(error, ENOMEM, "out of memory");
    if (!link(from, to))
        return 0;
    fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", from, error_words(errno));
    return file_clone(fd, to, error);
}

static int check_size(const struct image *image, uint64_t size, struct error *error)
{
    char asked[SIZE_TEXT_MAX], has[SIZE_TEXT_MAX];

    if (size && (size % 512 || size < MAKER_DISK_MIN || size > MAKER_DISK_MAX))
        return error_usage(error, "a disk of %s cannot be; use 1M to 16T",
                           size_format(size, asked));
    if (image && size && size < image->disk_size)
        return error_usage(error, "the disk of image \"%s\" has %s; use that or more, not %s",
                           image->name, size_format(image->disk_size, has),
                           size_format(size, asked));
    return 0;
}

/* A request that can never be right changes nothing, so that it is judged before there is a
 * directory: with a look at what the image will bring. */
static int check_record(const struct record *record, bool image, struct error *error)
{
    struct record whole = *record; /* owns nothing */

    if (image) {
        whole.description.kernel = (char *)"/kernel";
        whole.description.initrd = (char *)"/initrd";
    }
    return record_check(&whole, NULL, error);
}

/* The image's disk as it is between two machines. */
static int copy_disk(const struct image *image, const char *to, struct error *error)
{
    CLEANUP(descriptor_close) int from = open(image->disk, O_RDONLY | O_CLOEXEC);
    int r;

    if (from < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", image->disk, error_words(errno));
    r = image_lock(from, false, image->disk, NULL, error);
    return r ? r : file_clone(from, to, error);
}

static int make_disk(const struct making *making, struct error *error)
{
    const struct image *image = making->request->image;
    uint64_t size = making->request->disk_size;
    struct machine_description *d = &making->record->description;
    CLEANUP(text_free) char *to = text_format("%s/disk.raw", making->place);
    CLEANUP(descriptor_close) int fd = -1;
    struct machine_disk disk = {.path = text_format("%s/disk.raw", making->home)};
    int r = 0;

    if (!to || !disk.path) {
        free(disk.path);
        return error_set(error, ENOMEM, "out of memory");
    }
    if (d->disk_count == MACHINE_DISKS_MAX) {
        free(disk.path);
        return error_usage(error, "too many disks; beside its own a machine takes %d",
                           MACHINE_DISKS_MAX - 1);
    }
    memmove(d->disks + 1, d->disks, d->disk_count * sizeof(disk));
    d->disks[0] = disk;
    d->disk_count++;
    if (image)
        r = copy_disk(image, to, error);
    if (r || !size)
        return r;
    fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", to, error_words(errno));
    return 0;
}

static int make_seed(const struct making *making, struct error *error)
{
    struct machine_description *d = &making->record->description;
    CLEANUP(text_free) char *to = text_format("%s/seed.iso", making->place);
    struct machine_disk *disk = &d->disks[d->disk_count];

    if (d->disk_count == MACHINE_DISKS_MAX)
        return error_usage(error,
                           "too many disks; beside its own and the seed's a machine takes %d",
                           MACHINE_DISKS_MAX - 2);
    *disk =
        (struct machine_disk){.path = text_format("%s/seed.iso", making->home), .read_only = true};
    d->disk_count++;
    if (!to || !disk->path || description_set(&disk->serial, "cidata"))
        return error_set(error, ENOMEM, "out of memory");
    return seed_write(to, making->request->seed, d->name, making->record->created, error);
}

/* What comes from the image: in front of the user's command line its own. The guest is called what
 * its machine is (systemd.hostname: kernel-command-line(7)); to others this word means nothing. */
static int take_image(const struct making *making, struct error *error)
{
    const struct image *image = making->request->image;
    struct machine_description *d = &making->record->description;
    char *append = text_format("%s systemd.hostname=%s%s%s", image->append, d->name,
                               d->append ? " " : "", d->append ? d->append : "");
    int r;

    if (!append || description_set(&making->record->image, image->name)) {
        free(append);
        return error_set(error, ENOMEM, "out of memory");
    }
    free(d->append);
    d->append = append;
    r = take_file(making, image->kernel, "kernel", &d->kernel, error);
    return r ? r : take_file(making, image->initrd, "initrd", &d->initrd, error);
}

static int write_record(const struct making *making, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/machine.json", making->place);
    json_t *json = record_to_json(making->record, making->home);
    CLEANUP(text_free) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    json_decref(json);
    if (!path || !text)
        return error_set(error, ENOMEM, "out of memory");
    return file_write(path, text, strlen(text), false, error);
}

static int fill(const struct making *making, struct error *error)
{
    const struct maker_request *request = making->request;
    int r = request->image ? take_image(making, error) : 0;

    if (!r && (request->image || request->disk_size))
        r = make_disk(making, error);
    if (!r && request->seed)
        r = make_seed(making, error);
    if (!r)
        r = record_check(making->record, making->home, error);
    return r ? r : write_record(making, error);
}

static int make_locked(const struct registry *registry, const struct making *making,
                       struct error *error)
{
    int r = 0;

    if (mkdir(making->place, 0700) < 0)
        r = error_set(error, errno, "cannot make directory \"%s\": %s", making->place,
                      error_words(errno));
    if (!r)
        r = fill(making, error);
    if (!r)
        r = directory_sync(making->place, error);
    if (!r && rename(making->place, making->home) < 0)
        r = error_set(error, errno, "cannot make \"%s\": %s", making->home, error_words(errno));
    if (!r)
        r = directory_sync(registry->machines, error);
    return r;
}

/* Under the lock of those who make machines, so that two do not take the same room. */
static int check_quota(const struct registry *registry, const struct maker_request *request,
                       struct error *error)
{
    uint64_t size = request->disk_size       ? request->disk_size
                    : request->image != NULL ? request->image->disk_size
                                             : 0;
    struct pool pool;
    int r = size ? pool_measure(&pool, registry, error) : 0;

    if (r || !size)
        return r;
    r = pool_admit_disk(&pool, size, error);
    pool_release(&pool);
    return r;
}

int maker_make(const struct registry *registry, struct record *record,
               const struct maker_request *request, struct error *error)
{
    const char *name = record->description.name;
    CLEANUP(text_free) char *place = text_format("%s/.%s.new", registry->machines, name);
    CLEANUP(text_free) char *home = registry_path(registry, name, NULL);
    CLEANUP(text_free) char *lock = text_format("%s/.lock", registry->machines);
    CLEANUP(descriptor_close) int fd = -1;
    const struct making making = {place, home, record, request};
    char now[STATE_TIME_SIZE];
    int r = check_size(request->image, request->disk_size, error);

    if (!r)
        r = check_record(record, request->image != NULL, error);
    if (r)
        return r;
    state_time(now);
    if (!place || !home || !lock || description_set(&record->created, now))
        return error_set(error, ENOMEM, "out of memory");
    r = directory_make(registry->machines, error);
    if (r)
        return r;
    /* Two that make machines take turns, which is also who may sweep what a killed one left. */
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return error_set(error, errno, "cannot lock \"%s\": %s", lock, error_words(errno));
    if (!access(home, F_OK) && registry_check(registry, name, NULL))
        return error_set(error, EEXIST, "\"%s\" is there and is no machine; choose another name",
                         home);
    if (!access(home, F_OK))
        return error_set(error, EEXIST,
                         "there is a machine \"%s\" already; choose another name, or remove it "
                         "with: hospes delete %s",
                         name, name);
    r = check_quota(registry, request, error);
    if (r)
        return r;
    r = directory_remove(place, error);
    if (!r)
        r = make_locked(registry, &making, error);
    if (r && directory_remove(place, NULL))
        error_wrap(error, "and cannot remove \"%s\"", place);
    return r;
}
