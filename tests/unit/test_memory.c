/* SPDX-License-Identifier: Apache-2.0 */
/* The guest-physical address space: the map, checked copies, pins, devices' widths, tracking. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"
#include "device_fixture.h"
#include "memory/memory.h"

#define RAM_BASE 0x80000000ull
#define RAM_SIZE 0x10000ull
#define NEXT     (RAM_BASE + RAM_SIZE) /* a second block without a gap */
#define ROM_BASE 0x1000ull
#define IO_BASE  0x10000000ull

/* AddressSanitizer would end the test at an allocation that the C library just refuses. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* A device of 64 bytes that remembers its accesses. */
struct chip {
    uint8_t bytes[64];
    unsigned reads, writes;
    uint64_t offsets[8];
    unsigned width;
};

struct fixture {
    struct address_space *as;
    struct chip chip[4]; /* chip i takes the width 1 << i only */
    struct chip all;     /* takes every width */
    struct ram *protected_ram[8];
    uint64_t protected_page[8];
    unsigned protected_count;
    struct memory_listener listener;
};

static uint64_t chip_read(void *ctx, uint64_t offset, unsigned width)
{
    struct chip *chip = ctx;
    uint64_t value = 0;

    assert_true(offset % width == 0 && offset + width <= sizeof(chip->bytes));
    chip->offsets[chip->reads++ % 8] = offset;
    chip->width = width;
    memcpy(&value, chip->bytes + offset, width);
    /* What is beyond the width is the device's business and must not reach the guest. */
    return width == 8 ? value : value | ~0ull << 8 * width;
}

static void chip_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct chip *chip = ctx;

    assert_true(offset % width == 0 && offset + width <= sizeof(chip->bytes));
    assert_true(width == 8 || value >> 8 * width == 0);
    chip->offsets[chip->writes++ % 8] = offset;
    chip->width = width;
    memcpy(chip->bytes + offset, &value, width);
}

static const struct io_ops chip_ops[5] = {
    {.widths = 1, .read = chip_read, .write = chip_write},
    {.widths = 2, .read = chip_read, .write = chip_write},
    {.widths = 4, .read = chip_read, .write = chip_write},
    {.widths = 8, .read = chip_read, .write = chip_write},
    {.widths = 15, .read = chip_read, .write = chip_write},
};

static void on_protect(void *ctx, struct ram *ram, uint64_t page)
{
    struct fixture *f = ctx;

    f->protected_ram[f->protected_count % 8] = ram;
    f->protected_page[f->protected_count++ % 8] = page;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int r;

    *state = f;
    r = address_space_new(&f->as) || memory_add_ram(f->as, "ram", RAM_BASE, RAM_SIZE, true, NULL) ||
        memory_add_ram(f->as, "next", NEXT, PAGE_SIZE, true, NULL) ||
        memory_add_ram(f->as, "rom", ROM_BASE, 2 * PAGE_SIZE, false, NULL);
    for (unsigned i = 0; i < 4 && !r; i++)
        r = memory_add_io(f->as, "chip", IO_BASE + 0x100 * i, 64, &chip_ops[i], &f->chip[i], NULL);
    if (!r)
        r = memory_add_io(f->as, "all", IO_BASE + 0x400, 64, &chip_ops[4], &f->all, NULL);
    f->listener = (struct memory_listener){.write_protect = on_protect, .ctx = f};
    memory_listen(f->as, &f->listener);
    return r;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    address_space_free(f->as);
    free(f);
    return 0;
}

static struct ram *ram_at(struct fixture *f, gpa addr)
{
    return memory_find(f->as, addr)->ram;
}

static void test_find(void **state)
{
    struct fixture *f = *state;

    assert_null(memory_find(f->as, 0));
    assert_null(memory_find(f->as, ROM_BASE - 1));
    assert_int_equal(memory_find(f->as, ROM_BASE)->base, ROM_BASE);
    assert_int_equal(memory_find(f->as, ROM_BASE + 2 * PAGE_SIZE - 1)->base, ROM_BASE);
    assert_null(memory_find(f->as, ROM_BASE + 2 * PAGE_SIZE));
    assert_ptr_equal(memory_find(f->as, IO_BASE + 0x23f)->ctx, &f->chip[2]);
    assert_null(memory_find(f->as, IO_BASE + 0x240));
    assert_int_equal(memory_find(f->as, NEXT - 1)->base, RAM_BASE);
    assert_int_equal(memory_find(f->as, NEXT)->base, NEXT);
    assert_null(memory_find(f->as, NEXT + PAGE_SIZE));
    assert_null(memory_find(f->as, UINT64_MAX));
    assert_int_equal(memory_main_ram(f->as)->base, RAM_BASE);
}

static void test_bad_ranges(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    static const struct {
        gpa base;
        uint64_t size;
    } bad[] = {
        {RAM_BASE, PAGE_SIZE},                 /* begins with another */
        {RAM_BASE + PAGE_SIZE, PAGE_SIZE},     /* inside */
        {RAM_BASE - PAGE_SIZE, 2 * PAGE_SIZE}, /* reaches in */
        {NEXT, 2 * PAGE_SIZE},                 /* reaches out */
        {0, RAM_BASE * 2},                     /* around */
        {RAM_BASE + 1, PAGE_SIZE},             /* no whole pages */
        {0x90000000, 100},
        {0x90000000, 0},
        {-(uint64_t)PAGE_SIZE, 2 * PAGE_SIZE}, /* wraps around */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_true(memory_add_ram(f->as, "bad", bad[i].base, bad[i].size, true, &error) < 0);
        assert_non_null(error.message);
        error_release(&error);
    }
    assert_true(memory_add_io(f->as, "bad", IO_BASE + 32, 64, &chip_ops[0], NULL, &error) < 0);
    error_release(&error);
    assert_true(memory_add_io(f->as, "bad", UINT64_MAX - 3, 64, &chip_ops[0], NULL, &error) < 0);
    error_release(&error);
    assert_true(memory_add_ram(f->as, "huge", 1ull << 48, 1ull << 60, true, &error) < 0);
    assert_non_null(error.message);
    error_release(&error);
    /* And the map is as it was. */
    test_find(state);
    /* The last bytes of the space are a place. */
    assert_int_equal(memory_add_io(f->as, "last", UINT64_MAX - 63, 64, &chip_ops[4], &f->all, NULL),
                     0);
    assert_non_null(memory_find(f->as, UINT64_MAX));
}

static void test_many_ranges(void **state)
{
    struct fixture *f = *state;
    unsigned count = 0;
    struct error error = ERROR_INIT;

    /* In any order; a full map is an error with words and not an overrun. */
    while (count < 200 && !memory_add_io(f->as, "io", 0x20000000 + (count * 37 % 211) * 0x1000, 64,
                                         &chip_ops[4], &f->all, &error))
        count++;
    assert_true(count > 20 && count < 200);
    assert_non_null(error.message);
    error_release(&error);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(memory_find(f->as, 0x20000000 + (i * 37 % 211) * 0x1000 + 63)->base,
                         0x20000000 + (i * 37 % 211) * 0x1000);
}

static void test_copy(void **state)
{
    struct fixture *f = *state;
    uint8_t in[64], out[64];

    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i + 1);
    /* Every alignment and length, also across the seam of the two blocks. */
    for (gpa addr = NEXT - 32; addr < NEXT + 8; addr++)
        for (unsigned len = 0; len < 40; len++) {
            memset(out, 0xee, sizeof(out));
            assert_int_equal(memory_write(f->as, addr, in, len), 0);
            assert_int_equal(memory_read(f->as, addr, out, len), 0);
            assert_memory_equal(out, in, len);
            assert_int_equal(out[len], 0xee);
        }
    assert_int_equal(memory_write(f->as, RAM_BASE, in, 1), 0);
    assert_int_equal(memory_main_ram(f->as)->host[0], 1);
}

static void test_copy_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[64];

    memset(bytes, 0x55, sizeof(bytes));
    /* The first byte that is not there makes all of it fail, and nothing is copied. */
    assert_int_equal(memory_write(f->as, NEXT + PAGE_SIZE - 8, bytes, 9), -EFAULT);
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(memory_read(f->as, NEXT + PAGE_SIZE - 8, bytes, 8), 0);
    assert_int_equal(load_le64(bytes), 0);
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(memory_read(f->as, NEXT + PAGE_SIZE - 8, bytes, 9), -EFAULT);
    assert_int_equal(bytes[0], 0xee);
    assert_int_equal(memory_read(f->as, RAM_BASE, bytes, UINT64_MAX), -EFAULT);
    assert_int_equal(memory_read(f->as, UINT64_MAX, bytes, 2), -EFAULT);
    assert_int_equal(memory_read(f->as, IO_BASE, bytes, 1), -EFAULT); /* a device */
    assert_int_equal(f->chip[0].reads, 0);
    /* ROM is read, not written, but by the loader. */
    assert_int_equal(memory_write(f->as, ROM_BASE, bytes, 1), -EFAULT);
    assert_int_equal(memory_load(f->as, ROM_BASE, "rom", 3), 0);
    assert_int_equal(memory_load(f->as, ROM_BASE + 2 * PAGE_SIZE - 1, "xx", 2), -EFAULT);
    assert_int_equal(memory_read(f->as, ROM_BASE, bytes, 3), 0);
    assert_memory_equal(bytes, "rom", 3);
}

static void test_pin(void **state)
{
    struct fixture *f = *state;
    struct span span;
    struct ram *ram = memory_main_ram(f->as);

    assert_int_equal(memory_pin(f->as, RAM_BASE + 10, 20, true, &span), 0);
    assert_ptr_equal(span.host, ram->host + 10);
    assert_int_equal(span.len, 20);
    memory_unpin(f->as, &span);
    assert_int_equal(ram->flags[0], PAGE_DIRTY);
    assert_int_equal(memory_pin(f->as, RAM_BASE + PAGE_SIZE, RAM_SIZE - PAGE_SIZE, false, &span),
                     0);
    memory_unpin(f->as, &span);
    assert_int_equal(ram->flags[1], 0); /* it was for reading */
    assert_int_equal(memory_pin(f->as, RAM_BASE, 0, false, &span), -EFAULT);
    assert_int_equal(memory_pin(f->as, RAM_BASE, RAM_SIZE + 1, false, &span), -EFAULT);
    assert_int_equal(memory_pin(f->as, RAM_BASE + 5, UINT64_MAX, false, &span), -EFAULT);
    assert_int_equal(memory_pin(f->as, NEXT - 1, 2, false, &span), -EFAULT); /* two blocks */
    assert_int_equal(memory_pin(f->as, ROM_BASE, 1, true, &span), -EFAULT);
    assert_int_equal(memory_pin(f->as, ROM_BASE, 1, false, &span), 0);
    memory_unpin(f->as, &span);
    assert_int_equal(memory_pin(f->as, IO_BASE, 1, false, &span), -EFAULT);
}

static void test_io_widths(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++) {
        struct chip *chip = &f->chip[i];
        const struct range *range = memory_find(f->as, IO_BASE + 0x100 * i);
        unsigned takes = 1u << i;

        for (unsigned k = 0; k < 64; k++)
            chip->bytes[k] = (uint8_t)(k + 1);
        for (unsigned width = 1; width <= 8; width *= 2) {
            uint64_t value = 0x1234, expected = 0;

            chip->reads = 0;
            if (width < takes) {
                /* Narrower than any register: a bus error, and the device is not touched. */
                assert_int_equal(memory_io_read(range, range->base + 16, width, &value), -EFAULT);
                assert_int_equal(memory_io_write(range, range->base + 16, width, 0), -EFAULT);
                assert_int_equal(chip->reads + chip->writes, 0);
                assert_int_equal(value, 0x1234);
                continue;
            }
            memcpy(&expected, chip->bytes + 16, width);
            assert_int_equal(memory_io_read(range, range->base + 16, width, &value), 0);
            assert_int_equal(value, expected);
            assert_int_equal(chip->reads, width / takes);
            assert_int_equal(chip->width, takes);
            for (unsigned k = 0; k < width / takes; k++) /* upwards */
                assert_int_equal(chip->offsets[k], 16 + k * takes);
            chip->writes = 0;
            assert_int_equal(memory_io_write(range, range->base + 32, width, 0x8877665544332211),
                             0);
            assert_int_equal(chip->writes, width / takes);
            expected = 0x8877665544332211;
            assert_memory_equal(chip->bytes + 32, &expected, width);
            assert_int_equal(chip->bytes[32 + width], 33 + width);
            chip->writes = 0;
            memset(chip->bytes + 32, 0, 8);
            for (unsigned k = 32; k < 40; k++)
                chip->bytes[k] = (uint8_t)(k + 1);
        }
    }
}

static void test_io_edges(void **state)
{
    struct fixture *f = *state;
    const struct range *range = memory_find(f->as, IO_BASE + 0x400), *four, *one;
    uint64_t value;

    assert_int_equal(memory_io_read(range, range->base + 56, 8, &value), 0);
    assert_int_equal(memory_io_read(range, range->base + 60, 8, &value), -EFAULT); /* reaches out */
    assert_int_equal(memory_io_write(range, range->base + 63, 2, 0), -EFAULT);
    /* Not aligned: a device sees aligned accesses only, or none. */
    f->all.reads = f->all.writes = 0;
    assert_int_equal(memory_io_read(range, range->base + 2, 4, &value),
                     memory_io_write(range, range->base + 2, 4, 0));
    four = memory_find(f->as, IO_BASE + 0x200);
    assert_int_equal(memory_io_read(four, four->base + 2, 4, &value), -EFAULT);
    assert_int_equal(memory_io_read(four, four->base + 4, 8, &value), 0);
    /* To a device of bytes every address is aligned. */
    one = memory_find(f->as, IO_BASE);
    assert_int_equal(memory_io_read(one, one->base + 3, 4, &value), 0);
    /* RAM is no device. */
    assert_int_equal(memory_io_read(memory_find(f->as, RAM_BASE), RAM_BASE, 4, &value), -EFAULT);
    assert_int_equal(memory_io_write(memory_find(f->as, RAM_BASE), RAM_BASE, 4, 0), -EFAULT);
}

static void test_code_pages(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as);
    uint32_t gen;
    uint8_t byte = 1;

    gen = memory_mark_code(f->as, ram, 3);
    assert_int_equal(f->protected_count, 1);
    assert_ptr_equal(f->protected_ram[0], ram);
    assert_int_equal(f->protected_page[0], 3);
    assert_true(ram->flags[3] & PAGE_CODE);
    assert_int_equal(memory_mark_code(f->as, ram, 3), gen); /* known: nobody is told again */
    assert_int_equal(f->protected_count, 1);

    /* Writes beside it leave the generation, one into it moves it. */
    assert_int_equal(memory_write(f->as, RAM_BASE + 2 * PAGE_SIZE, &byte, 1), 0);
    assert_int_equal(memory_write(f->as, RAM_BASE + 4 * PAGE_SIZE, &byte, 1), 0);
    assert_int_equal(ram->code_gen[3], gen);
    assert_int_equal(memory_write(f->as, RAM_BASE + 4 * PAGE_SIZE - 1, &byte, 1), 0);
    assert_int_not_equal(ram->code_gen[3], gen);
    assert_int_equal(ram->flags[3], PAGE_DIRTY);
    /* Marked again, everybody is told again. */
    gen = memory_mark_code(f->as, ram, 3);
    assert_int_equal(f->protected_count, 2);
    /* A write over many pages, and one that ends where the page begins. */
    memory_note_write(ram, 0, 3 * PAGE_SIZE);
    assert_int_equal(ram->code_gen[3], gen);
    memory_note_write(ram, 3 * PAGE_SIZE - 1, 2);
    assert_int_not_equal(ram->code_gen[3], gen);
    gen = memory_mark_code(f->as, ram, 0);
    memory_note_write(ram, 0, 0); /* nothing is nothing */
    assert_int_equal(ram->code_gen[0], gen);
    memory_note_write(ram, 0, RAM_SIZE);
    assert_int_not_equal(ram->code_gen[0], gen);
    for (uint64_t i = 0; i < RAM_SIZE / PAGE_SIZE; i++)
        assert_int_equal(ram->flags[i], PAGE_DIRTY);
}

struct second_marker {
    struct fixture *f;
    pthread_t thread;
    bool early; /* it was answered while the listeners were being told */
    _Atomic bool done;
    struct memory_listener listener;
};

static void *mark_too(void *arg)
{
    struct second_marker *second = arg;

    (void)memory_mark_code(second->f->as, memory_main_ram(second->f->as), 3);
    atomic_store(&second->done, true);
    return NULL;
}

static void start_second(void *ctx, struct ram *ram, uint64_t page)
{
    struct second_marker *second = ctx;

    assert_int_equal(thread_start(&second->thread, "second", mark_too, second), 0);
    usleep(50000);
    second->early = atomic_load(&second->done);
}

/* Whoever marks a page that another marks just now may read the code only when everybody has been
 * told: until then it is written by cached pointers that nobody knows of. */
static void test_code_page_marked_twice(void **state)
{
    struct second_marker second = {.f = *state};

    second.listener = (struct memory_listener){.write_protect = start_second, .ctx = &second};
    memory_listen(second.f->as, &second.listener);
    (void)memory_mark_code(second.f->as, memory_main_ram(second.f->as), 3);
    pthread_join(second.thread, NULL);
    assert_false(second.early);
    assert_true(second.done);
    assert_int_equal(second.f->protected_count, 1);
}

#define WRITER_ROUNDS 100000u

struct writer {
    struct fixture *f;
    _Atomic unsigned *round; /* the writers' go */
    _Atomic unsigned done;
    _Atomic uint32_t generation;
    unsigned unmoved;
};

/* Both go on at the same moment; on a busy host the other may not even be running. */
static void spin_until(_Atomic unsigned *value, unsigned wanted)
{
    for (unsigned i = 0; atomic_load(value) < wanted; i++)
        if (i > 10000)
            sched_yield();
}

static void *write_rounds(void *arg)
{
    struct writer *writer = arg;
    struct ram *ram = memory_main_ram(writer->f->as);

    for (unsigned i = 1; i <= WRITER_ROUNDS; i++) {
        spin_until(writer->round, i);
        memory_note_write(ram, 3 * PAGE_SIZE, 1);
        writer->unmoved += atomic_load(&ram->code_gen[3]) == atomic_load(&writer->generation);
        atomic_store(&writer->done, i);
    }
    return NULL;
}

/* Two write to a page with code at once: to both the generation has moved when they are through,
 * whichever of them moved it (M4). */
static void test_code_page_written_twice(void **state)
{
    struct fixture *f = *state;
    _Atomic unsigned round = 0;
    struct writer writer[2] = {{.f = f, .round = &round}, {.f = f, .round = &round}};
    pthread_t thread;

    assert_int_equal(thread_start(&thread, "writer", write_rounds, &writer[1]), 0);
    for (unsigned i = 1; i <= WRITER_ROUNDS; i++) {
        struct ram *ram = memory_main_ram(f->as);
        uint32_t generation = memory_mark_code(f->as, ram, 3);

        atomic_store(&writer[1].generation, generation);
        atomic_store(&round, i);
        memory_note_write(ram, 3 * PAGE_SIZE, 1);
        writer[0].unmoved += atomic_load(&ram->code_gen[3]) == generation;
        spin_until(&writer[1].done, i);
    }
    pthread_join(thread, NULL);
    assert_int_equal(writer[0].unmoved + writer[1].unmoved, 0);
}

static void test_clear(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as);
    uint8_t byte = 0x5a;
    uint32_t gen;

    assert_int_equal(memory_write(f->as, RAM_BASE + 5 * PAGE_SIZE, &byte, 1), 0);
    gen = memory_mark_code(f->as, ram, 5);
    memory_clear(f->as);
    assert_int_equal(ram->host[5 * PAGE_SIZE], 0);
    assert_int_not_equal(ram->code_gen[5], gen); /* M4 */
}

/* Another process that is handed the fd sees the same bytes. */
static void test_shared(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = ram_at(f, NEXT);
    struct stat st;
    char got[4];

    assert_int_equal(fstat(ram->fd, &st), 0);
    assert_int_equal(st.st_size, PAGE_SIZE);
    assert_int_equal(memory_write(f->as, NEXT + 100, "abc", 4), 0);
    assert_int_equal(pread(ram->fd, got, 4, 100), 4);
    assert_memory_equal(got, "abc", 4);
}

static void test_free_nothing(void **state)
{
    address_space_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_find),
        TEST(test_bad_ranges),
        TEST(test_many_ranges),
        TEST(test_copy),
        TEST(test_copy_refused),
        TEST(test_pin),
        TEST(test_io_widths),
        TEST(test_io_edges),
        TEST(test_code_pages),
        TEST(test_clear),
        TEST(test_shared),
        TEST(test_code_page_marked_twice),
        TEST(test_code_page_written_twice),
        cmocka_unit_test(test_free_nothing),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
