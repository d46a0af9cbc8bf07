/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random requests against a model in memory: every engine, with and without an overlay, on files
 * and on a block device, several requests under way at a time, iovecs of odd sizes, and an engine
 * that does everything in bits and pieces.
 */
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "base/bits.h"
#include "block_faulty.h"
#include "block_fixture.h"
#include "storage/block_open.h"

#define DISK_SIZE (3u << 20) /* not a power of two, and ends inside a word of the overlay's map */
#define SIZE      (DISK_SIZE + 512 * 37)
#define AT_ONCE   8
#define ROUNDS    400

struct random {
    uint64_t state;
};

/* xorshift64: enough to scatter requests, and the same each time. */
static uint64_t random_next(struct random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return random->state;
}

static uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_next(random) % limit;
}

struct run {
    struct fixture *f;
    struct block *block;
    struct random random;
    uint8_t *model;
    uint8_t *known; /* 0: a discard came by, so the sector may read as anything */
    uint8_t *buffers[AT_ONCE];
    struct waiter waiters[AT_ONCE];
};

/* Cuts the buffer into up to eight pieces, some of them empty. */
static void run_cut(struct run *run, struct waiter *w, uint8_t *buffer, uint64_t length)
{
    unsigned count = 1 + (unsigned)random_below(&run->random, ARRAY_SIZE(w->iov));
    unsigned i;

    for (i = 0; i < count; i++) {
        uint64_t part = i + 1 == count ? length : random_below(&run->random, length + 1);

        w->iov[i] = (struct iovec){.iov_base = buffer, .iov_len = part};
        buffer += part;
        length -= part;
    }
    w->request.iov_count = count;
}

static void run_check(const struct run *run, const uint8_t *got, uint64_t offset, uint64_t length)
{
    uint64_t i;

    for (i = 0; i < length; i += 512)
        if (run->known[(offset + i) / 512])
            assert_memory_equal(got + i, run->model + offset + i, 512);
}

/* One batch: requests of disjoint ranges, so that the model needs no order among them. */
static void run_batch(struct run *run, bool with_discard)
{
    uint64_t slice = round_down(SIZE / AT_ONCE, 512);
    uint64_t shift = random_below(&run->random, SIZE / 512) * 512;
    unsigned i;

    for (i = 0; i < AT_ONCE; i++) {
        struct waiter *w = &run->waiters[i];
        uint64_t length = (1 + random_below(&run->random, slice / 512)) * 512;
        uint64_t offset = (i * slice + shift) % SIZE;
        uint64_t j;

        if (random_below(&run->random, 3))
            length = (1 + random_below(&run->random, 16)) * 512;
        if (offset + length > SIZE)
            length = SIZE - offset;
        w->request.unmap = random_below(&run->random, 2);
        run_cut(run, w, run->buffers[i], length);
        switch (random_below(&run->random, with_discard ? 6 : 5)) {
        case 0:
        case 1:
            memset(run->buffers[i], 0xee, length);
            waiter_submit(run->f, run->block, w, BLOCK_READ, offset, length);
            break;
        case 2:
        case 3:
            for (j = 0; j < length; j += 8)
                store_le64(run->buffers[i] + j, random_next(&run->random));
            memcpy(run->model + offset, run->buffers[i], length);
            memset(run->known + offset / 512, 1, length / 512);
            waiter_submit(run->f, run->block, w, BLOCK_WRITE, offset, length);
            break;
        case 4:
            memset(run->model + offset, 0, length);
            memset(run->known + offset / 512, 1, length / 512);
            waiter_submit(run->f, run->block, w, BLOCK_WRITE_ZEROES, offset, length);
            break;
        case 5:
            memset(run->known + offset / 512, 0, length / 512);
            waiter_submit(run->f, run->block, w, BLOCK_DISCARD, offset, length);
            break;
        }
    }
    assert_int_equal(loop_run(run->f->loop), 0);
    for (i = 0; i < AT_ONCE; i++) {
        struct block_request *request = &run->waiters[i].request;

        assert_int_equal(run->waiters[i].result, 0);
        assert_int_equal(run->waiters[i].calls, 1);
        if (request->operation == BLOCK_READ)
            run_check(run, run->buffers[i], request->offset, request->length);
    }
}

static void file_read_all(const char *path, uint8_t *buffer)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, buffer, SIZE, 0), SIZE);
    close(fd);
}

/* `name`: of the engine that is to be tested, NULL for any. `engine`: NULL for the usual one. The
 * image is at f->path; options->path is that or a device over it. */
static void random_run(struct fixture *f, const struct block_options *options,
                       struct io_engine *engine, const char *name)
{
    struct run run = {.f = f, .random = {.state = 0x9e3779b97f4a7c15ull}};
    uint8_t *whole = malloc(SIZE), *before = malloc(SIZE);
    unsigned i;

    run.model = malloc(SIZE);
    run.known = malloc(SIZE / 512);
    assert_true(whole && before && run.model && run.known);
    for (i = 0; i < AT_ONCE; i++) {
        run.buffers[i] = malloc(SIZE / AT_ONCE);
        assert_non_null(run.buffers[i]);
    }
    file_read_all(f->path, before);
    memcpy(run.model, before, SIZE);
    memset(run.known, 1, SIZE / 512);

    assert_int_equal(block_open_with(&run.block, f->loop, options, engine, NULL, NULL), 0);
    if (name)
        assert_string_equal(block_engine_name(run.block), name);
    assert_int_equal(block_size(run.block), SIZE);
    for (i = 0; i < ROUNDS; i++)
        run_batch(&run, i > ROUNDS / 2);
    assert_int_equal(fixture_do(f, run.block, BLOCK_READ, 0, whole, SIZE), 0);
    run_check(&run, whole, 0, SIZE);
    assert_int_equal(fixture_do(f, run.block, BLOCK_FLUSH, 0, NULL, 0), 0);
    block_close(run.block);

    file_read_all(f->path, whole);
    if (options->ephemeral)
        assert_memory_equal(whole, before, SIZE);
    else
        run_check(&run, whole, 0, SIZE);
    for (i = 0; i < AT_ONCE; i++)
        free(run.buffers[i]);
    free(run.known);
    free(run.model);
    free(before);
    free(whole);
}

static bool host_has_uring(struct loop *loop)
{
    struct io_engine *engine;

    if (uring_new(&engine, loop))
        return false;
    io_engine_free(engine);
    return true;
}

static void random_uring(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);

    if (!host_has_uring(f->loop)) {
        print_message("skipped: this host permits no io_uring\n");
        skip();
    }
    fixture_make_image(f, SIZE, SIZE / 2);
    random_run(f, &options, NULL, "io_uring");
}

static void random_threads(void **state)
{
    struct block_options options = fixture_options(*state);

    options.no_uring = true;
    fixture_make_image(*state, SIZE, SIZE / 2);
    random_run(*state, &options, NULL, "threads");
}

static void random_ephemeral(void **state)
{
    struct block_options options = fixture_options(*state);

    options.ephemeral = true;
    fixture_make_image(*state, SIZE, SIZE / 2);
    random_run(*state, &options, NULL, NULL);
}

static void random_ephemeral_threads(void **state)
{
    struct block_options options = fixture_options(*state);

    options.ephemeral = true;
    options.no_uring = true;
    fixture_make_image(*state, SIZE, SIZE / 2);
    random_run(*state, &options, NULL, "threads");
}

/* Interrupts, wants to be asked again, or moves a part that ends anywhere, also inside a sector.
 * Nothing that clears a range in one call is there. */
static int64_t rule_pieces(struct faulty *faulty, const struct io *io)
{
    struct random random = {.state = faulty->state};

    faulty->state = random_next(&random);
    if (io->kind == IO_ALLOCATE)
        return -EOPNOTSUPP;
    switch (faulty->state % 8) {
    case 0:
        return -EINTR;
    case 1:
        return -EAGAIN;
    case 2:
        return UINT32_MAX;
    default:
        return 1 + (int64_t)(faulty->state >> 8) % 100000;
    }
}

static void random_pieces(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);

    fixture_make_image(f, SIZE, SIZE / 2);
    random_run(f, &options, &faulty_new(f->loop, rule_pieces)->engine, "faulty");
}

static void random_ephemeral_pieces(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);

    options.ephemeral = true;
    fixture_make_image(f, SIZE, SIZE / 2);
    random_run(f, &options, &faulty_new(f->loop, rule_pieces)->engine, "faulty");
}

/* A loop device over the image (loop(4)); -1: this host gives none. */
static int device_new(const struct fixture *f, char *path, size_t size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    int image = open(f->path, O_RDWR | O_CLOEXEC);
    /* Gone with the last descriptor, also when the test fails. */
    const struct loop_config config = {.fd = (uint32_t)image,
                                       .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int device;

    snprintf(path, size, "/dev/loop%d", number);
    device = number < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) < 0) {
        close(device);
        device = -1;
    }
    if (control >= 0)
        close(control);
    close(image);
    return device;
}

static void random_device(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    struct error error = ERROR_INIT;
    struct block *block;
    char path[32];
    int device;

    fixture_make_image(f, SIZE, SIZE / 2);
    device = device_new(f, path, sizeof(path));
    if (device < 0) {
        print_message("skipped: this host gives no loop device\n");
        skip();
    }
    options.path = path;
    random_run(f, &options, NULL, NULL);
    options.no_uring = true;
    random_run(f, &options, NULL, "threads");

    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    assert_true(block_can_discard(block));
    block_close(block);
    /* No medium: an error that says so. */
    ioctl(device, LOOP_CLR_FD);
    close(device);
    assert_int_not_equal(block_open(&block, f->loop, &options, NULL, &error), 0);
    assert_non_null(strstr(error.message, path));
    error_release(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_uring, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_threads, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_ephemeral, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_ephemeral_threads, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_pieces, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_ephemeral_pieces, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(random_device, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
