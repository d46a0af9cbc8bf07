/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening disks: what is refused and in which words, who excludes whom, that sparse stays sparse,
 * and the checks of each request.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "block_fixture.h"

#define MIB (1u << 20)

/* ---- refusals ---- */

static void open_fails(struct fixture *f, const struct block_options *options, int code,
                       const char *words)
{
    struct error error = ERROR_INIT;
    struct block *block = NULL;

    assert_int_equal(block_open(&block, f->loop, options, NULL, &error), -code);
    assert_null(block);
    assert_non_null(error.message);
    if (!strstr(error.message, words) || !strstr(error.message, options->path) ||
        !strstr(error.message, "; "))
        fail_msg("\"%s\" does not say \"%s\", the path and what to do", error.message, words);
    assert_int_equal(error.code, code);
    error_release(&error);
}

static void wrong_files_are_named(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    char words[200];

    snprintf(words, sizeof(words), "no such file; make an empty one with: truncate -s 8G \"%s\"",
             f->path);
    open_fails(f, &options, ENOENT, words);
    fixture_make_image(f, 0, 0);
    open_fails(f, &options, EINVAL, "is empty");
    fixture_make_image(f, 1000, 0);
    snprintf(words, sizeof(words),
             "1000 bytes, is not a multiple of 512; fill it up with: truncate "
             "-s %%512 \"%s\"",
             f->path);
    open_fails(f, &options, EINVAL, words);

    options.path = f->directory;
    open_fails(f, &options, EISDIR, "is a directory");
    options.read_only = true;
    open_fails(f, &options, EISDIR, "is a directory");
    options.read_only = false;
    options.path = "/dev/null";
    open_fails(f, &options, EINVAL, "neither a file nor a block device");

    unlink(f->path);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    options.path = f->path;
    options.read_only = true;
    open_fails(f, &options, EINVAL, "neither a file nor a block device");
}

/* As a user who is not root, in a child. */
static void permission_is_asked_for(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    int status = -1;
    pid_t pid;

    fixture_make_image(f, MIB, 0);
    assert_int_equal(chmod(f->path, 0444), 0);
    assert_int_equal(chmod(f->directory, 0755), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        struct block *block;

        if (!getuid() && (setgid(65534) || setuid(65534)))
            _exit(2);
        open_fails(f, &options, EACCES, "permission denied; change its permissions");
        options.ephemeral = true;
        if (block_open(&block, f->loop, &options, NULL, NULL))
            _exit(3);
        block_close(block);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void other_formats_are_told(void **state)
{
    static const struct {
        const char *name;
        const char *remedy;
        unsigned offset;
        unsigned length;
        const char *magic;
    } formats[] = {
        {"qcow2", "qemu-img convert -O raw", 0, 8, "QFI\xfb\0\0\0\3"},
        {"VMDK", "qemu-img convert -O raw", 0, 8, "KDMV\1\0\0\0"},
        {"VMDK", "qemu-img convert -O raw", 0, 22, "# Disk DescriptorFile\n"},
        {"VDI", "qemu-img convert -O raw", 64, 4, "\x7f\x10\xda\xbe"},
        {"VHDX", "qemu-img convert -O raw", 0, 8, "vhdxfile"},
        {"gzip", "gzip -dc", 0, 4, "\x1f\x8b\x08\0"},
        {"bzip2", "bzip2 -dc", 0, 10, "BZh91AY&SY"},
        {"xz", "xz -dc", 0, 6, "\xfd\x37zXZ\0"},
        {"zstd", "zstd -dc", 0, 4, "\x28\xb5\x2f\xfd"},
        {"zip", "unzip -p", 0, 4, "PK\x03\x04"},
    };
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    struct block *block;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(formats); i++) {
        int fd;

        /* Odd sizes too: what it is comes before how long it is. */
        fixture_make_image(f, i % 2 ? MIB : 777, 0);
        fd = open(f->path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pwrite(fd, formats[i].magic, formats[i].length, formats[i].offset),
                         formats[i].length);
        close(fd);
        open_fails(f, &options, EINVAL, formats[i].name);
        open_fails(f, &options, EINVAL, formats[i].remedy);
    }
    /* A boot sector is none of these. */
    fixture_make_image(f, MIB, MIB);
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    block_close(block);
}

/* What qemu-img itself makes, so that the table does not only agree with this test. */
static void images_of_qemu_are_told(void **state)
{
    static const char *const formats[] = {"qcow2", "vmdk", "vdi",      "vhdx",
                                          "vpc",   "qed",  "parallels"};
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    char command[256];
    unsigned i;

    if (system("qemu-img --version > /dev/null 2>&1")) {
        print_message("skipped: there is no qemu-img here\n");
        skip();
    }
    for (i = 0; i < ARRAY_SIZE(formats); i++) {
        snprintf(command, sizeof(command), "qemu-img create -q -f %s \"%s\" 8M", formats[i],
                 f->path);
        assert_int_equal(system(command), 0);
        open_fails(f, &options, EINVAL, "qemu-img convert -O raw");
        unlink(f->path);
    }
}

/* ---- locks ---- */

enum { WRITER, READER, EPHEMERAL, USE_COUNT };

static struct block_options use_options(struct fixture *f, int use)
{
    struct block_options options = fixture_options(f);

    options.read_only = use == READER;
    options.ephemeral = use == EPHEMERAL;
    return options;
}

static void one_process_excludes_itself(void **state)
{
    struct fixture *f = *state;
    int first, second;

    fixture_make_image(f, MIB, 0);
    for (first = 0; first < USE_COUNT; first++)
        for (second = 0; second < USE_COUNT; second++) {
            struct block_options options = use_options(f, first);
            struct block_options options_two = use_options(f, second);
            struct block *block, *two;

            assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
            if (first == WRITER || second == WRITER) {
                open_fails(f, &options_two, EBUSY, "in use by this machine already");
                block_close(block);
            } else {
                assert_int_equal(block_open(&two, f->loop, &options_two, NULL, NULL), 0);
                /* And the one that remains still holds it. */
                block_close(block);
                options_two = use_options(f, WRITER);
                open_fails(f, &options_two, EBUSY, "in use by this machine already");
                block_close(two);
            }
        }
}

static void another_process_is_named(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    int ready[2], done[2];
    char words[64], byte;
    struct block *block;
    int status = -1;
    pid_t pid;

    fixture_make_image(f, MIB, 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(done, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        if (block_open(&block, f->loop, &options, NULL, NULL) || write(ready[1], "r", 1) != 1)
            _exit(1);
        /* Until the parent has looked, or is gone. */
        close(done[1]);
        _exit(read(done[0], &byte, 1) == 0 ? 0 : 2);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    snprintf(words, sizeof(words), "in use by \"test_block_open\" (process %d)", (int)pid);
    open_fails(f, &options, EBUSY, words);
    options.read_only = true;
    open_fails(f, &options, EBUSY, words);
    close(done[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* Gone with the process. */
    options.read_only = false;
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    block_close(block);
    close(ready[0]);
    close(done[0]);
}

/* Starts qemu-io on the image; returns its exit status. */
static int qemu_io(const struct fixture *f, const char *flags)
{
    char command[256];
    int status;

    snprintf(command, sizeof(command), "qemu-io -f raw %s -c 'read 0 512' \"%s\" > /dev/null 2>&1",
             flags, f->path);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A qemu-io that has the image open until its standard input ends. */
static FILE *qemu_io_hold(const struct fixture *f, const char *flags)
{
    char command[256], path[128];
    FILE *pipe;
    unsigned i;

    snprintf(path, sizeof(path), "%s/ready", f->directory);
    snprintf(command, sizeof(command), "qemu-io -f raw %s \"%s\" > \"%s\" 2>&1", flags, f->path,
             path);
    pipe = popen(command, "we");
    assert_non_null(pipe);
    fputs("read 0 512\n", pipe);
    fflush(pipe);
    for (i = 0; i < 500; i++) {
        struct stat st;

        if (!stat(path, &st) && st.st_size > 20)
            break;
        usleep(10000);
    }
    unlink(path);
    assert_true(i < 500);
    return pipe;
}

static void qemu_is_excluded(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    struct block *block;
    FILE *qemu;

    if (system("qemu-io --version > /dev/null 2>&1")) {
        print_message("skipped: there is no qemu-io here\n");
        skip();
    }
    fixture_make_image(f, MIB, 0);
    assert_int_equal(qemu_io(f, ""), 0);
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    assert_int_not_equal(qemu_io(f, ""), 0);
    assert_int_not_equal(qemu_io(f, "-r"), 0);
    block_close(block);
    options.read_only = true;
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    assert_int_not_equal(qemu_io(f, ""), 0);
    assert_int_equal(qemu_io(f, "-r"), 0);
    block_close(block);

    qemu = qemu_io_hold(f, "");
    open_fails(f, &options, EBUSY, "in use by \"qemu-io\"");
    options.read_only = false;
    open_fails(f, &options, EBUSY, "in use by \"qemu-io\"");
    pclose(qemu);
    qemu = qemu_io_hold(f, "-r");
    open_fails(f, &options, EBUSY, "in use by \"qemu-io\"");
    options.read_only = true;
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    block_close(block);
    pclose(qemu);
}

/* ---- io_uring forbidden ---- */

/* Has io_uring_setup() fail with EPERM from now on, as containers and io_uring_disabled do. */
static bool uring_forbid(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void log_keep(void *ctx, enum log_level level, const char *text)
{
    snprintf(ctx, 200, "%s", text);
}

static void forbidden_uring_is_done_without(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    pid_t pid;

    fixture_make_image(f, MIB, MIB);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        struct block_options options = fixture_options(f);
        char text[200] = "";
        const struct log log = {.sink = log_keep, .ctx = text};
        uint8_t buffer[512];
        struct block *block;

        if (!uring_forbid())
            _exit(1);
        if (block_open(&block, f->loop, &options, &log, NULL))
            _exit(2);
        if (strcmp(block_engine_name(block), "threads") || !strstr(text, "io_uring"))
            _exit(3);
        if (fixture_do(f, block, BLOCK_READ, 512, buffer, 512) || buffer[0] != 2)
            _exit(4);
        block_close(block);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- sparse ---- */

static void sparse_run(struct fixture *f, bool no_uring)
{
    struct block_options options = fixture_options(f);
    uint8_t *buffer = malloc(4 * MIB);
    struct block *block;
    uint64_t blocks;
    unsigned i;

    assert_non_null(buffer);
    options.no_uring = no_uring;
    fixture_make_image(f, 64 * MIB, 0);
    blocks = file_blocks(f->path);
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    assert_true(block_can_discard(block));
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 0, NULL, 64 * MIB), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, buffer, 4 * MIB), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, 0, NULL, 64 * MIB), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_FLUSH, 0, NULL, 0), 0);
    assert_int_equal(file_blocks(f->path), blocks);

    memset(buffer, 0xa5, 4 * MIB);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, 8 * MIB, buffer, 4 * MIB), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_FLUSH, 0, NULL, 0), 0);
    assert_true(file_blocks(f->path) >= blocks + 4 * MIB / 512);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 8 * MIB, NULL, 2 * MIB), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, 10 * MIB, NULL, 2 * MIB), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_FLUSH, 0, NULL, 0), 0);
    assert_true(file_blocks(f->path) <= blocks + 64);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 8 * MIB, buffer, 2 * MIB), 0);
    for (i = 0; i < 2 * MIB; i++)
        assert_int_equal(buffer[i], 0);
    block_close(block);
    free(buffer);
}

static void sparse_stays_sparse(void **state)
{
    sparse_run(*state, false);
}

static void sparse_stays_sparse_with_threads(void **state)
{
    sparse_run(*state, true);
}

/* ---- requests ---- */

static void bad_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    uint8_t buffer[2048] = {0};
    struct block *block;
    struct waiter w = {.iov = {{.iov_base = buffer, .iov_len = 512}}, .request = {.iov_count = 1}};

    fixture_make_image(f, MIB, 0);
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    assert_false(block_read_only(block));
    assert_int_equal(fixture_do(f, block, BLOCK_READ, MIB - 512, buffer, 512), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, MIB, buffer, 0), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, MIB - 512, buffer, 1024), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, MIB, buffer, 512), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, UINT64_MAX - 511, buffer, 512), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, UINT64_MAX - 511, buffer, 1024), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, buffer, 100), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 7, buffer, 512), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, MIB - 512, NULL, 1024), -EINVAL);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 512, NULL, UINT64_MAX - 511),
                     -EINVAL);
    /* A length that is not what the iovecs hold. */
    waiter_submit(f, block, &w, BLOCK_READ, 0, 1024);
    loop_run(f->loop);
    assert_int_equal(w.result, -EINVAL);
    w.iov[0].iov_len = SIZE_MAX;
    w.iov[1] = (struct iovec){.iov_base = buffer, .iov_len = 513};
    w.request.iov_count = 2;
    waiter_submit(f, block, &w, BLOCK_READ, 0, 512);
    loop_run(f->loop);
    assert_int_equal(w.result, -EINVAL);
    block_close(block);

    options.read_only = true;
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    assert_true(block_read_only(block));
    assert_false(block_can_discard(block));
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, 0, buffer, 512), -EROFS);
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, 0, NULL, 512), -EROFS);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 0, NULL, 512), -EROFS);
    assert_int_equal(fixture_do(f, block, BLOCK_FLUSH, 0, NULL, 0), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, buffer, 512), 0);
    /* Somebody makes the file shorter: an error, and neither a hang nor old bytes. */
    assert_int_equal(truncate(f->path, MIB / 2), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, MIB / 2, buffer, 512), -EIO);
    block_close(block);
}

/* More pieces than one system call takes. */
static void many_pieces_are_taken(void **state)
{
    enum { COUNT = 3000 };
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    struct iovec *iov = calloc(COUNT, sizeof(*iov));
    uint8_t *buffer = malloc(COUNT * 512), *back = malloc(COUNT * 512);
    struct block *block;
    unsigned i;

    assert_true(iov && buffer && back);
    fixture_make_image(f, 2 * MIB, 0);
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    for (i = 0; i < COUNT; i++) {
        memset(buffer + i * 512, (int)i, 512);
        iov[i] = (struct iovec){.iov_base = buffer + i * 512, .iov_len = 512};
    }
    for (i = 0; i < 2; i++) {
        struct waiter w = {.request = {.iov_count = COUNT}};

        /* The waiter's own iovecs are too few. */
        w.fixture = f;
        w.request.operation = BLOCK_WRITE;
        w.request.length = COUNT * 512;
        w.request.iov = iov;
        w.request.done = waiter_done;
        f->pending++;
        block_submit(block, &w.request);
        loop_run(f->loop);
        assert_int_equal(w.result, 0);
    }
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, back, COUNT * 512), 0);
    assert_memory_equal(buffer, back, COUNT * 512);
    block_close(block);
    free(back);
    free(buffer);
    free(iov);
}

int main(void)
{
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        DISK_TEST(wrong_files_are_named),
        DISK_TEST(permission_is_asked_for),
        DISK_TEST(other_formats_are_told),
        DISK_TEST(images_of_qemu_are_told),
        DISK_TEST(one_process_excludes_itself),
        DISK_TEST(another_process_is_named),
        DISK_TEST(qemu_is_excluded),
        DISK_TEST(forbidden_uring_is_done_without),
        DISK_TEST(sparse_stays_sparse),
        DISK_TEST(sparse_stays_sparse_with_threads),
        DISK_TEST(bad_requests_are_refused),
        DISK_TEST(many_pieces_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
