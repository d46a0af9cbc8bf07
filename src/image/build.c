/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/size.h"
#include "image/child.h"
#include "image/file.h"
#include "image/manifest.h"
#include "image/recipe.h"
#include "image/store.h"

static const struct recipe *const recipes[] = {&recipe_debian, NULL};

const char *const *image_recipes(void)
{
    static const char *const names[] = {"debian", NULL};

    return names;
}

static const struct recipe *recipe_find(const char *name)
{
    for (size_t i = 0; recipes[i]; i++) {
        if (strcmp(recipes[i]->name, name) == 0)
            return recipes[i];
    }
    return NULL;
}

void build_progress(const struct build *build, const char *what, unsigned done, unsigned total,
                    const char *detail)
{
    const struct image_build_options *options = build->options;

    if (options->progress)
        options->progress(options->progress_ctx, what, done, total, detail);
}

int recipe_files_write(const struct recipe_file *files, const char *directory, struct error *error)
{
    for (; files->name; files++) {
        CLEANUP(text_free) char *path = text_format("%s/%s", directory, files->name);
        int ret = path ? file_write(path, files->data, files->size, true, error)
                       : error_set(error, ENOMEM, "out of memory");

        if (ret)
            return ret;
    }
    return 0;
}

char *recipe_file_text(const struct recipe_file *files, const char *name)
{
    for (; files->name; files++) {
        if (strcmp(files->name, name) == 0)
            return strndup((const char *)files->data, files->size);
    }
    BUG_ON(true);
    return NULL;
}

static int room_check(const char *directory, uint64_t needed, struct error *error)
{
    char have_text[SIZE_TEXT_MAX], need_text[SIZE_TEXT_MAX];
    struct statvfs fs;
    uint64_t have;

    if (statvfs(directory, &fs) < 0)
        return error_set(error, errno, "cannot look at \"%s\": %s", directory, error_words(errno));
    have = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (have >= needed)
        return 0;
    return error_set(error, ENOSPC,
                     "no room in \"%s\": %s are free and %s are needed; free some or name another "
                     "directory in HOSPES_IMAGE_DIR",
                     directory, size_format(have, have_text), size_format(needed, need_text));
}

static int digest_take(const char *directory, const char *file,
                       char digest[static SHA256_TEXT_SIZE], struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/%s", directory, file);
    const char *const argv[] = {"sha256sum", "-b", path, NULL};
    CLEANUP(text_free) char *text = NULL;
    int ret;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    ret = child_output(argv, 4096, &text, error);
    if (ret)
        return ret;
    if (strspn(text, "0123456789abcdef") != SHA256_TEXT_SIZE - 1)
        return error_set(error, EIO, "cannot understand what sha256sum says of \"%s\"", path);
    memcpy(digest, text, SHA256_TEXT_SIZE - 1);
    digest[SHA256_TEXT_SIZE - 1] = '\0';
    return 0;
}

static int describe(const struct recipe *recipe, const char *directory, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/manifest.json", directory);
    /* The texts are the recipe's and ours; nothing of this manifest is freed. */
    struct manifest manifest = {
        .name = (char *)recipe->name,
        .architecture = (char *)recipe->architecture,
        .release = (char *)recipe->release,
        .append = (char *)recipe->append,
    };
    time_t now = time(NULL);
    char date[32];
    struct tm utc;
    int ret;

    if (!path || !gmtime_r(&now, &utc))
        return error_set(error, ENOMEM, "out of memory");
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
    manifest.date = date;
    ret = digest_take(directory, "packages", manifest.packages_sha256, error);
    if (!ret)
        ret = digest_take(directory, "kernel", manifest.kernel_sha256, error);
    if (!ret)
        ret = digest_take(directory, "initrd", manifest.initrd_sha256, error);
    if (!ret)
        ret = manifest_write(&manifest, path, error);
    return ret;
}

/* Everything between "the lock is held" and "a whole image lies in `result`". */
static int build_make(const struct recipe *recipe, const struct build *build, struct error *error)
{
    int ret = directory_remove(build->result, error);

    if (!ret)
        ret = directory_make(build->scratch, error);
    if (!ret)
        ret = room_check(build->result, recipe->room, error);
    if (!ret)
        ret = recipe->make(build, error);
    if (!ret)
        ret = directory_remove(build->scratch, error);
    if (!ret)
        ret = describe(recipe, build->result, error);
    if (!ret)
        ret = directory_sync(build->result, error);
    return ret;
}

static int build_install(const struct image_store *store, const struct build *build,
                         struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/%s", store->directory, build->name);
    int ret;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    ret = store_discard(store, build->name, error);
    if (ret)
        return ret;
    if (rename(build->result, path) < 0)
        return error_set(error, errno, "cannot put the image in place at \"%s\": %s", path,
                         error_words(errno));
    return directory_sync(store->directory, error);
}

static int options_check(const struct image_store *store, const char *name,
                         const struct image_build_options *options, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/%s/manifest.json", store->directory, name);
    char least[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX];

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    if (!recipe_find(name))
        return error_usage(error, "there is no recipe for an image \"%s\"; there is: debian", name);
    if (options->size && (options->size < IMAGE_SIZE_MIN || options->size > IMAGE_SIZE_MAX))
        return error_usage(error, "a disk is from %s to %s large",
                           size_format(IMAGE_SIZE_MIN, least), size_format(IMAGE_SIZE_MAX, most));
    if (!options->replace && access(path, F_OK) == 0)
        return error_set(
            error, EEXIST,
            "image \"%s\" is already there; build it anew, without what was written to "
            "it, with: hospes image build --replace %s",
            name, name);
    /* Told now and not after minutes of building. */
    return options->replace ? store_check_idle(store, name, error) : 0;
}

int image_build(const struct image_store *store, const char *name,
                const struct image_build_options *options, struct error *error)
{
    CLEANUP(text_free) char *result = text_format("%s/.%s.new", store->directory, name);
    CLEANUP(text_free) char *scratch = text_format("%s/.%s.new/scratch", store->directory, name);
    CLEANUP(text_free) char *log_path = text_format("%s/%s-build.log", store->cache, name);
    CLEANUP(text_free) char *cache = text_format("%s/%s", store->cache, name);
    CLEANUP(store_unlock) struct store_lock lock = {0};
    CLEANUP(descriptor_close) int log = -1;
    struct build build = {.name = name, .options = options};
    int ret;

    if (!result || !scratch || !log_path || !cache)
        return error_set(error, ENOMEM, "out of memory");
    ret = options_check(store, name, options, error);
    if (!ret)
        ret = directory_make(store->directory, error);
    if (!ret)
        ret = directory_make(cache, error);
    if (!ret)
        ret = store_lock(store, name, &lock, error);
    if (ret)
        return ret;
    /* Another process may have made it while the lock was waited for or taken. */
    ret = options_check(store, name, options, error);
    if (ret)
        return ret;
    log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (log < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", log_path, error_words(errno));
    build.size = options->size ? options->size : IMAGE_SIZE_DEFAULT;
    build.cache = cache;
    build.result = result;
    build.scratch = scratch;
    build.log = log;
    ret = build_make(recipe_find(name), &build, error);
    if (!ret)
        ret = build_install(store, &build, error);
    if (ret) {
        error_wrap(error, "cannot build image \"%s\" (log: %s)", name, log_path);
        /* Best effort: the first failure is the one to tell, and the next build sweeps too. */
        (void)!directory_remove(result, NULL);
    }
    return ret;
}
