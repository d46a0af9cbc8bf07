/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/file.h"
#include "image/image.h"
#include "image/manifest.h"
#include "storage/lock.h"

#define DISK_SECTOR 512 /* st_blocks counts in these, whatever the file system's are */

char *text_format(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    return text;
}

/* An XDG directory: absolute, or else ignored (XDG Base Directory Specification, "Basics"). */
static char *xdg_directory(const char *variable, const char *in_home, const char *rest)
{
    const char *base = getenv(variable);
    const char *home = getenv("HOME");

    if (base && base[0] == '/')
        return text_format("%s/%s", base, rest);
    if (home && home[0] == '/')
        return text_format("%s/%s/%s", home, in_home, rest);
    return NULL;
}

int image_store_open(struct image_store *store, struct error *error)
{
    const char *own = getenv("HOSPES_IMAGE_DIR");
    struct image_store found = {0};

    if (own && *own && own[0] != '/')
        return error_usage(error, "HOSPES_IMAGE_DIR is \"%s\", which is not an absolute path", own);
    found.directory =
        own && *own ? strdup(own) : xdg_directory("XDG_DATA_HOME", ".local/share", "hospes/images");
    found.cache = xdg_directory("XDG_CACHE_HOME", ".cache", "hospes");
    /* No HOME, as in a service: no image's name begins with a dot. */
    if (!found.cache && own && *own)
        found.cache = text_format("%s/.cache", own);
    if (!found.directory || !found.cache) {
        image_store_release(&found);
        return error_set(error, ENOENT,
                         "no place for images; set HOME, or XDG_DATA_HOME and XDG_CACHE_HOME");
    }
    *store = found;
    return 0;
}

void image_store_release(struct image_store *store)
{
    free(store->directory);
    free(store->cache);
    *store = (struct image_store){0};
}

bool image_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

    return length >= 1 && length <= IMAGE_NAME_MAX && name[length] == '\0' &&
           !strchr("._-", name[0]);
}

void image_release(struct image *image)
{
    free(image->name);
    free(image->architecture);
    free(image->release);
    free(image->date);
    free(image->disk);
    free(image->kernel);
    free(image->initrd);
    free(image->library);
    free(image->append);
    *image = (struct image){0};
}

static int disk_measure(struct image *image, struct error *error)
{
    struct stat status;

    if (stat(image->disk, &status) < 0)
        return error_set(error, errno,
                         "image \"%s\" has lost its disk \"%s\"; make it again with: "
                         "hospes image build --replace %s",
                         image->name, image->disk, image->name);
    image->disk_size = (uint64_t)status.st_size;
    image->disk_used = (uint64_t)status.st_blocks * DISK_SECTOR;
    return 0;
}

int image_find(const struct image_store *store, const char *name, struct image *image,
               struct error *error)
{
    CLEANUP(text_free) char *path = NULL;
    struct manifest manifest = {0};
    struct image found = {0};
    int ret;

    if (!image_name_is_valid(name))
        return error_usage(error, "\"%s\" cannot be the name of an image", name);
    path = text_format("%s/%s/manifest.json", store->directory, name);
    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return error_set(error, ENOENT,
                         "there is no image \"%s\"; make it with: "
                         "hospes image build %s",
                         name, name);
    ret = manifest_read(path, &manifest, error);
    if (ret == -EINVAL)
        return error_set(error, EINVAL,
                         "\"%s\" is not a manifest that this version reads; make the image again "
                         "with: hospes image build --replace %s",
                         path, name);
    if (ret)
        return ret;
    found.name = strdup(name);
    found.disk = text_format("%s/%s/disk.raw", store->directory, name);
    found.kernel = text_format("%s/%s/kernel", store->directory, name);
    found.initrd = text_format("%s/%s/initrd", store->directory, name);
    found.library = text_format("%s/%s/code", store->directory, name);
    found.architecture = manifest.architecture;
    found.release = manifest.release;
    found.date = manifest.date;
    found.append = manifest.append;
    manifest.architecture = manifest.release = manifest.date = manifest.append = NULL;
    manifest_release(&manifest);
    if (!found.name || !found.disk || !found.kernel || !found.initrd || !found.library)
        ret = error_set(error, ENOMEM, "out of memory");
    else
        ret = disk_measure(&found, error);
    if (ret) {
        image_release(&found);
        return ret;
    }
    *image = found;
    return 0;
}

void image_list_release(struct image_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        image_release(&list->images[i]);
    free(list->images);
    *list = (struct image_list){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct image *)a)->name, ((const struct image *)b)->name);
}

static int list_add(const struct image_store *store, const char *name, struct image_list *list)
{
    struct image *grown;
    struct image image;

    if (!image_name_is_valid(name) || image_find(store, name, &image, NULL))
        return 0;
    grown = realloc(list->images, (list->count + 1) * sizeof(*grown));
    if (!grown) {
        image_release(&image);
        return -ENOMEM;
    }
    list->images = grown;
    grown[list->count++] = image;
    return 0;
}

int image_list(const struct image_store *store, struct image_list *list, struct error *error)
{
    struct image_list found = {0};
    DIR *directory = opendir(store->directory);
    struct dirent *entry;
    int ret = 0;

    if (!directory && errno != ENOENT)
        return error_set(error, errno, "cannot read \"%s\": %s", store->directory,
                         error_words(errno));
    while (directory && !ret && (entry = readdir(directory)))
        ret = list_add(store, entry->d_name, &found);
    if (directory)
        closedir(directory);
    if (ret) {
        image_list_release(&found);
        return error_set(error, -ret, "cannot list images: %s", error_words(-ret));
    }
    if (found.count)
        qsort(found.images, found.count, sizeof(*found.images), by_name);
    *list = found;
    return 0;
}

int store_lock(const struct image_store *store, const char *name, struct store_lock *lock,
               struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/.%s.lock", store->directory, name);
    struct stat status;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    for (;;) {
        CLEANUP(descriptor_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

        if (fd < 0)
            return error_set(error, errno,
                             "cannot open \"%s\": %s; name a directory of yours in "
                             "HOSPES_IMAGE_DIR",
                             path, error_words(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return error_set(error, EBUSY,
                             "image \"%s\" is being built or removed; wait until that is done",
                             name);
        if (fstat(fd, &status) < 0)
            return error_set(error, errno, "cannot look at \"%s\": %s", path, error_words(errno));
        /* Whoever held it removed the file after we opened it: that lock excludes nobody. */
        if (status.st_nlink == 0)
            continue;
        *lock = (struct store_lock){.fd = fd, .path = path};
        fd = -1;
        path = NULL;
        return 0;
    }
}

void store_unlock(struct store_lock *lock)
{
    if (!lock->path)
        return;
    /* While it is held, so that nobody else's is removed. */
    unlink(lock->path);
    close(lock->fd);
    text_free(&lock->path);
}

/* 0 when no machine has the disk open; *disk then keeps others off it until it is closed. */
static int disk_claim(const char *path, int *disk, struct error *error)
{
    CLEANUP(descriptor_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    int ret;

    if (fd < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    ret = image_lock(fd, true, path, NULL, error);
    if (ret)
        return ret;
    *disk = fd;
    fd = -1;
    return 0;
}

int store_check_idle(const struct image_store *store, const char *name, struct error *error)
{
    CLEANUP(text_free) char *disk = text_format("%s/%s/disk.raw", store->directory, name);
    CLEANUP(descriptor_close) int claimed = -1;

    if (!disk)
        return error_set(error, ENOMEM, "out of memory");
    return disk_claim(disk, &claimed, error);
}

int store_discard(const struct image_store *store, const char *name, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/%s", store->directory, name);
    CLEANUP(text_free) char *away = text_format("%s/.%s.old", store->directory, name);
    CLEANUP(text_free) char *disk = text_format("%s/%s/disk.raw", store->directory, name);
    CLEANUP(descriptor_close) int claimed = -1;
    int ret;

    if (!path || !away || !disk)
        return error_set(error, ENOMEM, "out of memory");
    ret = directory_remove(away, error);
    if (ret)
        return ret;
    ret = disk_claim(disk, &claimed, error);
    if (ret)
        return ret;
    /* Renamed first: it is gone at once, whatever happens to the removal. */
    if (rename(path, away) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(error, errno, "cannot remove \"%s\": %s", path, error_words(errno));
    return directory_remove(away, error);
}

int image_remove(const struct image_store *store, const char *name, struct error *error)
{
    CLEANUP(text_free) char *path = NULL;
    CLEANUP(store_unlock) struct store_lock lock = {0};
    int ret;

    if (!image_name_is_valid(name))
        return error_usage(error, "\"%s\" cannot be the name of an image", name);
    path = text_format("%s/%s", store->directory, name);
    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    if (access(path, F_OK) < 0)
        return error_set(error, ENOENT,
                         "there is no image \"%s\"; see what there is with: "
                         "hospes image ls",
                         name);
    ret = store_lock(store, name, &lock, error);
    if (ret)
        return ret;
    return store_discard(store, name, error);
}
