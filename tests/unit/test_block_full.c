/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong below a disk: a host that is full and has room again, calls that the file system
 * does not know, errors, and a disk that is closed with requests under way.
 */
#include <sys/mount.h>

#include "block_faulty.h"
#include "block_fixture.h"
#include "namespace.h"
#include "storage/block_open.h"

#define MIB (1u << 20)

static struct block *open_faulty(struct fixture *f, struct faulty **faulty, bool ephemeral,
                                 int64_t (*rule)(struct faulty *faulty, const struct io *io))
{
    struct block_options options = fixture_options(f);
    struct block *block;

    options.ephemeral = ephemeral;
    fixture_make_image(f, MIB, 0);
    *faulty = faulty_new(f->loop, rule);
    assert_int_equal(block_open_with(&block, f->loop, &options, &(*faulty)->engine, NULL, NULL), 0);
    return block;
}

/* ---- a full host ---- */

/* `state`: bytes that still fit. Half a write may. */
static int64_t rule_room(struct faulty *faulty, const struct io *io)
{
    uint64_t room = faulty->state;
    uint64_t wanted = 0;
    unsigned i;

    if (io->kind == IO_ALLOCATE && io->mode & FALLOC_FL_ZERO_RANGE)
        return -EDQUOT;
    if (io->kind == IO_ALLOCATE)
        return -ENOSPC;
    if (io->kind != IO_WRITE)
        return UINT32_MAX;
    if (!room)
        return -ENOSPC;
    for (i = 0; i < io->iov_count; i++)
        wanted += io->iov[i].iov_len;
    if (wanted > room)
        wanted = room;
    faulty->state -= wanted;
    return (int64_t)wanted;
}

static void full_run(struct fixture *f, bool ephemeral)
{
    enum { WRITES = 4, SIZE = 8192 };
    struct waiter w[WRITES] = {0};
    uint8_t buffers[WRITES][SIZE], back[SIZE];
    struct faulty *faulty;
    struct block *block = open_faulty(f, &faulty, ephemeral, rule_room);
    unsigned i;

    faulty->state = SIZE + 700; /* the second write stops inside a sector */
    f->stop_when_full = true;
    for (i = 0; i < WRITES; i++) {
        memset(buffers[i], (int)i + 1, SIZE);
        w[i].iov[0] = (struct iovec){.iov_base = buffers[i], .iov_len = SIZE};
        w[i].request.iov_count = 1;
        waiter_submit(f, block, &w[i], BLOCK_WRITE, i * SIZE, SIZE);
    }
    assert_int_equal(loop_run(f->loop), 1);
    /* Called once for all three, and the guest was told nothing. */
    assert_int_equal(f->full_calls, 1);
    assert_int_equal(f->pending, 3);
    assert_int_equal(w[0].result, 0);
    if (ephemeral)
        assert_int_equal(access(f->full_path, W_OK), 0);
    else
        assert_string_equal(f->full_path, f->path);
    /* Reading goes on. */
    assert_int_equal(f->pending, 3);
    f->pending = 0;
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, back, SIZE), 0);
    f->pending = 3;
    assert_memory_equal(back, buffers[0], SIZE);

    /* Room for one more only: full again, and said again. */
    faulty->state = SIZE;
    block_resume(block);
    assert_int_equal(f->full_calls, 1); /* not from inside */
    assert_int_equal(loop_run(f->loop), 1);
    assert_int_equal(f->full_calls, 2);
    assert_int_equal(f->pending, 2);

    faulty->state = UINT32_MAX;
    block_resume(block);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(f->full_calls, 2);
    for (i = 0; i < WRITES; i++) {
        assert_int_equal(w[i].result, 0);
        assert_int_equal(w[i].calls, 1);
        assert_int_equal(fixture_do(f, block, BLOCK_READ, i * SIZE, back, SIZE), 0);
        assert_memory_equal(back, buffers[i], SIZE);
    }
    /* With nothing kept this does nothing. */
    block_resume(block);
    block_close(block);
}

static void full_host_loses_nothing(void **state)
{
    full_run(*state, false);
}

static void full_host_loses_nothing_ephemeral(void **state)
{
    full_run(*state, true);
}

static void full_host_is_told_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct faulty *faulty;
    struct block *block = open_faulty(f, &faulty, false, rule_room);
    struct waiter w = {0};

    /* A discard is a hint; zeroes are kept, also when a quota is the reason. */
    faulty->state = 0;
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, 0, NULL, 4096), 0);
    assert_int_equal(f->full_calls, 0);
    f->stop_when_full = true;
    waiter_submit(f, block, &w, BLOCK_WRITE_ZEROES, 0, 4096);
    assert_int_equal(loop_run(f->loop), 1);
    assert_int_equal(f->full_calls, 1);
    assert_int_equal(w.calls, 0);
    /* Closing gives up on it. */
    block_close(block);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.result, -ECANCELED);
}

/* A real file system without room: a small tmpfs in a mount namespace of our own. */
static void full_file_system_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct block_options options = fixture_options(f);
    uint8_t *buffer = malloc(MIB), *back = malloc(MIB);
    char ballast[128];
    struct waiter w = {.iov = {{.iov_base = buffer, .iov_len = MIB}}, .request = {.iov_count = 1}};
    struct block *block;
    int fd;

    assert_true(buffer && back);
    if (!namespace_enter(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", f->directory, "tmpfs", 0, "size=1536k") < 0) {
        print_message("skipped: this host permits no mount namespace\n");
        free(back);
        free(buffer);
        skip();
    }
    fixture_make_image(f, 8 * MIB, 0);
    snprintf(ballast, sizeof(ballast), "%s/ballast", f->directory);
    fd = open(ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fallocate(fd, 0, 0, MIB), 0);
    close(fd);

    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    memset(buffer, 0x3c, MIB);
    f->stop_when_full = true;
    waiter_submit(f, block, &w, BLOCK_WRITE, 0, MIB);
    assert_int_equal(loop_run(f->loop), 1);
    assert_int_equal(f->full_calls, 1);
    assert_int_equal(w.calls, 0);
    unlink(ballast);
    block_resume(block);
    assert_int_equal(loop_run(f->loop), 0);
    assert_int_equal(w.result, 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, back, MIB), 0);
    assert_memory_equal(back, buffer, MIB);
    block_close(block);
    unlink(f->path);
    umount2(f->directory, MNT_DETACH);
    free(back);
    free(buffer);
}

/* ---- calls that fail ---- */

/* `state`: the code to fail every call that clears a range with. */
static int64_t rule_no_clearing(struct faulty *faulty, const struct io *io)
{
    return io->kind == IO_ALLOCATE ? -(int64_t)faulty->state : UINT32_MAX;
}

static void clearing_falls_back(void **state)
{
    struct fixture *f = *state;
    uint8_t *buffer = malloc(MIB);
    struct faulty *faulty;
    struct block *block = open_faulty(f, &faulty, false, rule_no_clearing);
    unsigned i;

    assert_non_null(buffer);
    memset(buffer, 0xff, MIB);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, 0, buffer, MIB), 0);
    /* Not this range: asked again for the next. */
    faulty->state = EINVAL;
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 512, NULL, 1024), 0);
    assert_int_equal(faulty->calls[IO_ALLOCATE], 2);
    /* Not this file: asked once for each way, whatever comes. */
    faulty->state = EOPNOTSUPP;
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 4096, NULL, 512 * 1000), 0);
    assert_int_equal(faulty->calls[IO_ALLOCATE], 4);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 4096, NULL, 512), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, 0, NULL, MIB), 0);
    assert_int_equal(faulty->calls[IO_ALLOCATE], 4);

    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, buffer, MIB), 0);
    for (i = 0; i < MIB; i++) {
        bool zero = (i >= 512 && i < 1536) || (i >= 4096 && i < 4096 + 512000);

        assert_int_equal(buffer[i], zero ? 0 : 0xff);
    }
    block_close(block);
    free(buffer);
}

/* `state`: the code for everything. */
static int64_t rule_fail(struct faulty *faulty, const struct io *io)
{
    return -(int64_t)faulty->state;
}

static void errors_reach_the_guest(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[512] = {0};
    struct faulty *faulty;
    struct block *block = open_faulty(f, &faulty, false, rule_fail);

    faulty->state = EIO;
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 0, buffer, 512), -EIO);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, 0, buffer, 512), -EIO);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE_ZEROES, 0, NULL, 512), -EIO);
    assert_int_equal(fixture_do(f, block, BLOCK_DISCARD, 0, NULL, 512), -EIO);
    assert_int_equal(fixture_do(f, block, BLOCK_FLUSH, 0, NULL, 0), -EIO);
    /* What a flush could not write is lost: never tried again behind the guest's back. */
    faulty->state = ENOSPC;
    assert_int_equal(fixture_do(f, block, BLOCK_FLUSH, 0, NULL, 0), -ENOSPC);
    assert_int_equal(f->full_calls, 0);
    block_close(block);
}

/* A write that fails is not in the overlay, the next that does not is. */
static void failed_write_leaves_the_base(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[1024], back[1024];
    struct block_options options = fixture_options(f);
    struct faulty *faulty = faulty_new(f->loop, rule_fail);
    struct block *block;

    options.ephemeral = true;
    fixture_make_image(f, MIB, MIB);
    assert_int_equal(block_open_with(&block, f->loop, &options, &faulty->engine, NULL, NULL), 0);
    memset(buffer, 0xcc, sizeof(buffer));
    faulty->state = EIO;
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, 512, buffer, 1024), -EIO);
    faulty->rule = rule_no_clearing;
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 512, back, 1024), 0);
    assert_int_equal(back[0], 2);
    assert_int_equal(back[512], 3);
    assert_int_equal(fixture_do(f, block, BLOCK_WRITE, 1024, buffer, 512), 0);
    assert_int_equal(fixture_do(f, block, BLOCK_READ, 512, back, 1024), 0);
    assert_int_equal(back[0], 2);
    assert_int_equal(back[512], 0xcc);
    block_close(block);
}

/* ---- closing ---- */

struct chain {
    struct waiter w;
    struct block *block;
    unsigned again; /* how often done() submits once more */
    unsigned done;
};

static void chain_done(struct block_request *request, int result)
{
    struct chain *chain = container_of(request, struct chain, w.request);

    assert_true(!result || result == -ECANCELED);
    chain->done++;
    chain->w.result = result;
    if (chain->again) {
        chain->again--;
        block_submit(chain->block, request);
    }
}

static void close_run(struct fixture *f, bool no_uring, bool ephemeral)
{
    enum { REQUESTS = 300, SIZE = 16384 }; /* more than the ring holds */
    struct block_options options = fixture_options(f);
    struct chain *chains = calloc(REQUESTS, sizeof(*chains));
    uint8_t *buffer = calloc(REQUESTS, SIZE);
    struct block *block;
    unsigned i;

    assert_true(chains && buffer);
    options.no_uring = no_uring;
    options.ephemeral = ephemeral;
    fixture_make_image(f, REQUESTS * SIZE, 0);
    assert_int_equal(block_open(&block, f->loop, &options, NULL, NULL), 0);
    for (i = 0; i < REQUESTS; i++) {
        struct chain *chain = &chains[i];

        chain->block = block;
        chain->again = i % 3;
        chain->w.iov[0] = (struct iovec){.iov_base = buffer + i * SIZE, .iov_len = SIZE};
        chain->w.request = (struct block_request){
            .operation = i % 16 == 15 ? BLOCK_FLUSH
                         : i % 2      ? BLOCK_READ
                                      : BLOCK_WRITE,
            .offset = i * SIZE,
            .length = i % 16 == 15 ? 0 : SIZE,
            .iov = chain->w.iov,
            .iov_count = 1,
            .done = chain_done,
        };
        block_submit(block, &chain->w.request);
    }
    block_close(block);
    for (i = 0; i < REQUESTS; i++) {
        /* What was under way ended, what came later was turned away. */
        assert_int_equal(chains[i].done, 1 + i % 3);
        assert_int_equal(chains[i].w.result, i % 3 ? -ECANCELED : 0);
    }
    free(buffer);
    free(chains);
}

static void close_waits_for_what_is_under_way(void **state)
{
    close_run(*state, false, false);
    close_run(*state, false, true);
}

static void close_waits_with_threads(void **state)
{
    close_run(*state, true, false);
    close_run(*state, true, true);
}

int main(void)
{
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        DISK_TEST(full_host_loses_nothing),
        DISK_TEST(full_host_loses_nothing_ephemeral),
        DISK_TEST(full_host_is_told_as_it_is),
        DISK_TEST(clearing_falls_back),
        DISK_TEST(errors_reach_the_guest),
        DISK_TEST(failed_write_leaves_the_base),
        DISK_TEST(close_waits_for_what_is_under_way),
        DISK_TEST(close_waits_with_threads),
        DISK_TEST(full_file_system_loses_nothing), /* last: changes the namespace */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
