/* SPDX-License-Identifier: Apache-2.0 */
/* Pages given back to the host: which, what they are then, and what is told of it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_fixture.h"
#include "memory/memory.h"

#define RAM_BASE 0x80000000ull
#define RAM_SIZE 0x10000ull
#define NEXT     (RAM_BASE + RAM_SIZE) /* a second block without a gap */
#define ROM_BASE 0x1000ull
#define IO_BASE  0x10000000ull

struct fixture {
    struct address_space *as;
};

static const struct io_ops no_ops;

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    return address_space_new(&f->as) ||
           memory_add_ram(f->as, "ram", RAM_BASE, RAM_SIZE, true, NULL) ||
           memory_add_ram(f->as, "next", NEXT, PAGE_SIZE, true, NULL) ||
           memory_add_ram(f->as, "rom", ROM_BASE, PAGE_SIZE, false, NULL) ||
           memory_add_io(f->as, "chip", IO_BASE, PAGE_SIZE, &no_ops, NULL, NULL);
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

static uint64_t blocks_of(const struct ram *ram)
{
    struct stat st;

    assert_int_equal(fstat(ram->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* Fills the block with `byte`, as if it had been written long ago. */
static void fill(struct ram *ram, int byte)
{
    memset(ram->host, byte, ram->size);
    for (uint64_t i = 0; i < ram->size / PAGE_SIZE; i++)
        ram->flags[i] = 0;
}

/* Whole pages go, and what is beside them stays. */
static void whole_pages(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as);
    uint64_t resident;

    memory_clear(f->as);
    assert_int_equal(memory_resident(f->as), 0);
    fill(ram, 0x5a);
    assert_int_equal(memory_resident(f->as), RAM_SIZE);
    assert_int_equal(memory_discard(f->as, RAM_BASE + 2 * PAGE_SIZE - 1, 3 * PAGE_SIZE), 0);
    assert_int_equal(blocks_of(ram), RAM_SIZE - 2 * PAGE_SIZE);
    for (uint64_t i = 0; i < RAM_SIZE; i++)
        assert_int_equal(ram->host[i], i / PAGE_SIZE - 2 < 2 ? 0 : 0x5a);
    for (uint64_t i = 0; i < RAM_SIZE / PAGE_SIZE; i++)
        assert_int_equal(ram->flags[i], i - 2 < 2 ? PAGE_DIRTY : 0);
    /* The same pages once more, and one of them used again in between. */
    assert_int_equal(blocks_of(ram), RAM_SIZE); /* to read them was to use them */
    ram->host[2 * PAGE_SIZE] = 1;
    assert_int_equal(memory_discard(f->as, RAM_BASE + 2 * PAGE_SIZE, 2 * PAGE_SIZE), 0);
    assert_int_equal(blocks_of(ram), RAM_SIZE - 2 * PAGE_SIZE);
    assert_int_equal(ram->host[2 * PAGE_SIZE], 0);

    /* No whole page in it: nothing. */
    fill(ram, 0x5a);
    assert_int_equal(memory_discard(f->as, RAM_BASE, 0), 0);
    assert_int_equal(memory_discard(f->as, RAM_BASE, PAGE_SIZE - 1), 0);
    assert_int_equal(memory_discard(f->as, RAM_BASE + 1, PAGE_SIZE - 1), 0);
    assert_int_equal(memory_discard(f->as, RAM_BASE + 1, 2 * PAGE_SIZE - 2), 0);
    assert_int_equal(blocks_of(ram), RAM_SIZE);
    assert_int_equal(ram->flags[0] | ram->flags[1], 0);

    /* From one block into the next. */
    fill(ram_at(f, NEXT), 1);
    resident = memory_resident(f->as);
    assert_int_equal(memory_discard(f->as, NEXT - 2 * PAGE_SIZE, 3 * PAGE_SIZE), 0);
    assert_int_equal(memory_resident(f->as), resident - 3 * PAGE_SIZE);
    assert_int_equal(ram_at(f, NEXT)->host[0], 0);
    assert_int_equal(ram_at(f, NEXT)->flags[0], PAGE_DIRTY);
}

static void refused(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as), *rom = ram_at(f, ROM_BASE);

    fill(ram, 0x5a);
    fill(ram_at(f, NEXT), 0x5a);
    fill(rom, 0x5a);
    assert_int_equal(memory_discard(f->as, ROM_BASE, PAGE_SIZE), -EFAULT);
    assert_int_equal(memory_discard(f->as, IO_BASE, PAGE_SIZE), -EFAULT);
    assert_int_equal(memory_discard(f->as, 0x40000000, PAGE_SIZE), -EFAULT);
    /* Partly in memory, at either end, and around the end of all addresses. */
    assert_int_equal(memory_discard(f->as, NEXT, 2 * PAGE_SIZE), -EFAULT);
    assert_int_equal(memory_discard(f->as, RAM_BASE - PAGE_SIZE, 2 * PAGE_SIZE), -EFAULT);
    assert_int_equal(memory_discard(f->as, RAM_BASE, UINT64_MAX), -EFAULT);
    assert_int_equal(memory_discard(f->as, UINT64_MAX, 2), -EFAULT);
    assert_int_equal(memory_discard(f->as, -(uint64_t)PAGE_SIZE, PAGE_SIZE), -EFAULT);
    for (uint64_t i = 0; i < RAM_SIZE; i++)
        assert_int_equal(ram->host[i], 0x5a);
    assert_int_equal(ram_at(f, NEXT)->host[0], 0x5a);
    assert_int_equal(rom->host[0], 0x5a);
    assert_int_equal(ram->flags[0] | rom->flags[0] | ram_at(f, NEXT)->flags[0], 0);
}

/* M2 and M4: code that was there is not there any more. */
static void code_pages(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as);
    uint32_t gen[4];

    fill(ram, 0x13);
    for (unsigned i = 0; i < 4; i++)
        gen[i] = memory_mark_code(f->as, ram, i);
    assert_int_equal(memory_discard(f->as, RAM_BASE + PAGE_SIZE, 2 * PAGE_SIZE), 0);
    for (unsigned i = 0; i < 4; i++) {
        bool gone = i == 1 || i == 2;

        assert_int_equal(ram->code_gen[i] != gen[i], gone);
        assert_int_equal(ram->flags[i], gone ? PAGE_DIRTY : PAGE_CODE);
    }
    /* Also a page that the host holds no memory for. */
    gen[1] = memory_mark_code(f->as, ram, 1);
    assert_int_equal(memory_discard(f->as, RAM_BASE + PAGE_SIZE, PAGE_SIZE), 0);
    assert_int_not_equal(ram->code_gen[1], gen[1]);
}

/* Under a device's pin only bytes are lost, and the file is still the same memory. */
static void under_a_pin(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as);
    struct span span;
    char got[4];

    fill(ram, 0x5a);
    assert_int_equal(memory_pin(f->as, RAM_BASE + PAGE_SIZE, PAGE_SIZE, true, &span), 0);
    assert_int_equal(memory_span_address(&span), RAM_BASE + PAGE_SIZE);
    memcpy(span.host, "old", 4);
    assert_int_equal(memory_discard(f->as, RAM_BASE, 3 * PAGE_SIZE), 0);
    assert_int_equal(span.host[0], 0);
    memcpy(span.host, "new", 4);
    memory_unpin(f->as, &span);
    assert_int_equal(memory_read(f->as, RAM_BASE + PAGE_SIZE, got, 4), 0);
    assert_memory_equal(got, "new", 4);
    assert_int_equal(pread(ram->fd, got, 4, PAGE_SIZE), 4);
    assert_memory_equal(got, "new", 4);
}

/* A file that the host's kernel does not punch is told of, and what it may have done is a write. */
static void host_refuses(void **state)
{
    struct fixture *f = *state;
    struct ram *ram = memory_main_ram(f->as);
    int memory = ram->fd;

    fill(ram, 0x5a);
    ram->fd = 1 << 20; /* no such descriptor */
    assert_int_equal(memory_discard(f->as, RAM_BASE, PAGE_SIZE), -EBADF);
    assert_int_equal(memory_resident(f->as),
                     blocks_of(ram_at(f, NEXT)) + blocks_of(ram_at(f, ROM_BASE)));
    ram->fd = memory;
    assert_int_equal(ram->flags[0], PAGE_DIRTY);
    assert_int_equal(ram->host[0], 0x5a);
}

/* Memory that the host may merge: private, given back in the same way, and counted. */
static void mergeable(void **state)
{
    struct address_space *as;
    struct ram *ram;
    uint32_t generation;

    assert_int_equal(address_space_new(&as), 0);
    memory_make_mergeable(as);
    assert_int_equal(memory_add_ram(as, "ram", RAM_BASE, RAM_SIZE, true, NULL), 0);
    ram = memory_main_ram(as);
    assert_int_equal(ram->fd, -1);
    assert_int_equal(memory_resident(as), 0);
    fill(ram, 0x5a);
    assert_int_equal(memory_resident(as), RAM_SIZE);
    generation = memory_mark_code(as, ram, 2);
    assert_int_equal(memory_discard(as, RAM_BASE + PAGE_SIZE + 1, 3 * PAGE_SIZE), 0);
    assert_int_equal(memory_resident(as), RAM_SIZE - 2 * PAGE_SIZE);
    assert_int_equal(ram->host[2 * PAGE_SIZE - 1], 0x5a);
    assert_int_equal(ram->host[2 * PAGE_SIZE], 0);
    assert_int_equal(ram->host[4 * PAGE_SIZE], 0x5a);
    assert_true(ram->code_gen[2] != generation);
    memory_clear(as);
    assert_int_equal(memory_resident(as), 0);
    assert_int_equal(ram->host[0], 0);
    address_space_free(as);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(code_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(under_a_pin, setup, teardown),
        cmocka_unit_test_setup_teardown(host_refuses, setup, teardown),
        cmocka_unit_test(mergeable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
