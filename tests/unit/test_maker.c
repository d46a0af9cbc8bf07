/* SPDX-License-Identifier: Apache-2.0 */
/* Machines are made whole or not at all: from an image, with a disk, or from files; whatever fails
 * in the middle leaves nothing. */
#include <errno.h>

#include "base/descriptor.h"
#include "host/maker.h"
#include "host_fixture.h"
#include "storage/lock.h"

#define MIB (1ull << 20)

/* The linker gives these names to calls of the C library, and theirs to what follows. */
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);

static int link_error;    /* 0: as the system does it */
static unsigned fails_at; /* of the calls that can fail: this one does; 0: none */
static unsigned calls;

static bool fails(void)
{
    errno = EIO;
    return ++calls == fails_at;
}

int __wrap_link(const char *from, const char *to)
{
    errno = link_error;
    return link_error ? -1 : __real_link(from, to);
}

int __wrap_fsync(int fd)
{
    return fails() ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails() ? -1 : __real_rename(from, to);
}

int __wrap_ftruncate64(int fd, off_t size)
{
    return fails() ? -1 : __real_ftruncate64(fd, size);
}

struct fixture {
    struct host_fixture *host;
    struct image image;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    CLEANUP(text_free) char *images = NULL;
    int fd;

    assert_non_null(f);
    f->host = host_fixture_new();
    images = text_format("%s/images", f->host->directory);
    assert_int_equal(directory_make(images, NULL), 0);
    f->image = (struct image){.name = strdup("debian"),
                              .disk = text_format("%s/disk.raw", images),
                              .kernel = text_format("%s/kernel", images),
                              .initrd = text_format("%s/initrd", images),
                              .append = strdup("console=ttyS0"),
                              .disk_size = 4 * MIB};
    text_write(f->image.kernel, "the kernel");
    text_write(f->image.initrd, "the disk of the beginning");
    fd = open(f->image.disk, O_RDWR | O_CREAT, 0644);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4 * MIB), 0);
    assert_int_equal(pwrite(fd, "the system", 10, 2 * MIB), 10);
    close(fd);
    link_error = 0;
    fails_at = calls = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fails_at = 0;
    image_release(&f->image);
    host_fixture_free(f->host);
    free(f);
    return 0;
}

static int make(struct fixture *f, const char *name, const struct image *image, uint64_t disk_size,
                struct error *error)
{
    struct record record;
    int r;

    record_init(&record);
    assert_int_equal(description_set(&record.description.name, name), 0);
    if (!image)
        assert_int_equal(description_set(&record.description.kernel, f->image.kernel), 0);
    if (image)
        assert_int_equal(description_set(&record.description.append, "quiet"), 0);
    r = maker_make(&f->host->registry, &record,
                   &(struct maker_request){.image = image, .disk_size = disk_size}, error);
    record_release(&record);
    return r;
}

/* Of the machine "web". */
static struct stat file_status(struct fixture *f, const char *file)
{
    CLEANUP(text_free) char *path = registry_path(&f->host->registry, "web", file);
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static void assert_content(struct fixture *f, const char *file, uint64_t offset, const char *text)
{
    CLEANUP(text_free) char *path = registry_path(&f->host->registry, "web", file);
    CLEANUP(descriptor_close) int fd = open(path, O_RDONLY);
    char found[64];

    assert_int_equal(pread(fd, found, strlen(text), (off_t)offset), strlen(text));
    assert_memory_equal(found, text, strlen(text));
}

static void assert_nothing(struct fixture *f)
{
    static const char *const names[] = {"web", ".web.new"};
    struct registry_names list;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(text_free) char *path = registry_path(&f->host->registry, names[i], NULL);

        assert_false(is_there(path));
    }
    assert_int_equal(registry_list(&f->host->registry, &list, NULL), 0);
    assert_int_equal(list.count, 0);
}

static void from_an_image(void **state)
{
    struct fixture *f = *state;
    struct record record;
    struct stat kernel;

    assert_int_equal(make(f, "web", &f->image, 0, NULL), 0);
    assert_int_equal(file_status(f, NULL).st_mode & 07777, 0700);
    assert_int_equal(file_status(f, "disk.raw").st_mode & 07777, 0600);
    assert_int_equal(file_status(f, "disk.raw").st_size, 4 * MIB);
    /* What is a hole stays one. */
    assert_true(file_status(f, "disk.raw").st_blocks < 4096);
    assert_content(f, "disk.raw", 2 * MIB, "the system");
    /* The kernel is a second name of the image's. */
    assert_int_equal(stat(f->image.kernel, &kernel), 0);
    assert_int_equal(file_status(f, "kernel").st_ino, kernel.st_ino);
    assert_content(f, "initrd", 0, "the disk of the beginning");

    assert_int_equal(record_read(&f->host->registry, "web", &record, NULL), 0);
    assert_string_equal(record.image, "debian");
    assert_int_equal(strlen(record.created), strlen("2026-01-02T03:04:05.678Z"));
    assert_string_equal(record.description.append, "console=ttyS0 systemd.hostname=web quiet");
    assert_int_equal(record.description.disk_count, 1);
    assert_non_null(strstr(record.description.disks[0].path, "/machines/web/disk.raw"));
    assert_false(record.description.disks[0].read_only);
    record_release(&record);
}

/* As on another file system, or where links to another user's files are forbidden. */
static void from_an_image_of_elsewhere(void **state)
{
    static const int errors[] = {EXDEV, EPERM, EMLINK};
    struct fixture *f = *state;
    struct stat kernel;

    assert_int_equal(stat(f->image.kernel, &kernel), 0);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        link_error = errors[i];
        assert_int_equal(make(f, "web", &f->image, 0, NULL), 0);
        assert_int_not_equal(file_status(f, "kernel").st_ino, kernel.st_ino);
        assert_content(f, "kernel", 0, "the kernel");
        assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
    }
}

static void sizes(void **state)
{
    static const uint64_t bad[] = {1, 511, 512, MIB - 512, MIB + 1, 3 * MIB, (16ull << 40) + 512};
    struct fixture *f = *state;
    struct error error = ERROR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(make(f, "web", &f->image, bad[i], &error), -EINVAL);
        assert_true(error.usage);
        error_release(&error);
        assert_false(is_there(f->host->registry.machines));
    }
    assert_int_equal(make(f, "web", &f->image, 3 * MIB, &error), -EINVAL);
    assert_words(&error, "the disk of image \"debian\" has 4 MiB; use that or more, not 3 MiB");
    assert_int_equal(make(f, "web", &f->image, 4 * MIB, NULL), 0);
    assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
    assert_int_equal(make(f, "web", &f->image, 64 * MIB, NULL), 0);
    assert_int_equal(file_status(f, "disk.raw").st_size, 64 * MIB);
    assert_content(f, "disk.raw", 2 * MIB, "the system");
}

static void without_an_image(void **state)
{
    struct fixture *f = *state;
    CLEANUP(text_free) char *disk = registry_path(&f->host->registry, "web", "disk.raw");
    struct record record;

    assert_int_equal(make(f, "web", NULL, 0, NULL), 0);
    assert_false(is_there(disk));
    assert_int_equal(record_read(&f->host->registry, "web", &record, NULL), 0);
    assert_null(record.image);
    assert_int_equal(record.description.disk_count, 0);
    assert_string_equal(record.description.kernel, f->image.kernel);
    record_release(&record);
    assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
    assert_int_equal(make(f, "web", NULL, 2 * MIB, NULL), 0);
    assert_int_equal(file_status(f, "disk.raw").st_size, 2 * MIB);
    assert_int_equal(file_status(f, "disk.raw").st_blocks, 0);
}

static void more_disks(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct record record, found;
    char name[8];

    record_init(&record);
    assert_int_equal(description_set(&record.description.name, "web"), 0);
    for (unsigned i = 0; i < MACHINE_DISKS_MAX - 1; i++) {
        snprintf(name, sizeof(name), "/d%u", i);
        assert_int_equal(description_set(&record.description.disks[i].path, name), 0);
        record.description.disk_count++;
    }
    assert_int_equal(maker_make(&f->host->registry, &record,
                                &(struct maker_request){.image = &f->image}, NULL),
                     0);
    assert_int_equal(record_read(&f->host->registry, "web", &found, NULL), 0);
    assert_int_equal(found.description.disk_count, MACHINE_DISKS_MAX);
    assert_string_equal(found.description.disks[1].path, "/d0");
    record_release(&found);
    assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
    /* The record has its own disk now, and one more is too many. */
    assert_int_equal(maker_make(&f->host->registry, &record,
                                &(struct maker_request){.image = &f->image}, &error),
                     -EINVAL);
    assert_words(&error, "beside its own a machine takes 4");
    assert_nothing(f);
    record_release(&record);
}

static void names_that_are_taken(void **state)
{
    struct fixture *f = *state;
    CLEANUP(text_free) char *home = registry_path(&f->host->registry, "web", NULL);
    struct error error = ERROR_INIT;

    assert_int_equal(make(f, "web", &f->image, 0, NULL), 0);
    assert_int_equal(make(f, "web", NULL, 0, &error), -EEXIST);
    assert_words(&error, "hospes delete web");
    assert_content(f, "kernel", 0, "the kernel");
    assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
    /* No machine, which 'hospes delete' would not know. */
    assert_int_equal(mkdir(home, 0700), 0);
    assert_int_equal(make(f, "web", NULL, 0, &error), -EEXIST);
    assert_words(&error, "is no machine");
    assert_int_equal(rmdir(home), 0);
    /* What a killed one left is swept. */
    machine_file(f->host, ".web.new", "rubbish", "");
    assert_int_equal(make(f, "web", NULL, 0, NULL), 0);
    assert_false(is_there("rubbish"));
    assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
    assert_nothing(f);
}

static void image_in_use(void **state)
{
    struct fixture *f = *state;
    CLEANUP(descriptor_close) int fd = open(f->image.disk, O_RDWR);
    struct error error = ERROR_INIT;

    assert_int_equal(image_lock(fd, true, f->image.disk, NULL, NULL), 0);
    assert_int_equal(make(f, "web", &f->image, 0, &error), -EBUSY);
    assert_words(&error, "disk.raw");
    assert_nothing(f);
}

static void image_that_is_not_whole(void **state)
{
    struct fixture *f = *state;
    const char *const files[] = {f->image.disk, f->image.initrd, f->image.kernel};
    struct error error = ERROR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        assert_int_equal(unlink(files[i]), 0);
        assert_int_equal(make(f, "web", &f->image, 0, &error), -ENOENT);
        assert_words(&error, files[i]);
        assert_nothing(f);
    }
}

static void path_that_cannot_be_written_down(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct record record;

    record_init(&record);
    assert_int_equal(description_set(&record.description.name, "web"), 0);
    assert_int_equal(description_set(&record.description.kernel, "/caf\xe9"), 0);
    assert_int_equal(maker_make(&f->host->registry, &record, &(struct maker_request){0}, &error),
                     -EINVAL);
    assert_words(&error, "is not UTF-8");
    assert_nothing(f);
    record_release(&record);
}

/* Each call that can fail does once. */
static void failures_in_the_middle(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    unsigned failures = 0;

    link_error = EXDEV;
    for (fails_at = 1;; fails_at++) {
        calls = 0;
        if (!make(f, "web", &f->image, 8 * MIB, &error))
            break;
        assert_int_equal(error.code, EIO);
        error_release(&error);
        /* The last one is the directory's own, when all is there. */
        if (registry_check(&f->host->registry, "web", NULL))
            assert_nothing(f);
        else
            assert_int_equal(registry_delete(&f->host->registry, "web", NULL), 0);
        failures++;
    }
    assert_true(failures >= 8);
    assert_int_equal(registry_check(&f->host->registry, "web", NULL), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(from_an_image),
        CASE(from_an_image_of_elsewhere),
        CASE(sizes),
        CASE(without_an_image),
        CASE(more_disks),
        CASE(names_that_are_taken),
        CASE(image_in_use),
        CASE(image_that_is_not_whole),
        CASE(path_that_cannot_be_written_down),
        CASE(failures_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
