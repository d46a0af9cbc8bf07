/* SPDX-License-Identifier: Apache-2.0 */
/* Judging and loading of kernels and firmware, by files made here byte by byte. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bits.h"
#include "board/boot.h"

#define RAM  0x80000000ull
#define SIZE (8ull << 20)

static int identify(const uint8_t *header, size_t size, struct boot_layout *layout, char *words,
                    size_t room)
{
    struct error error = ERROR_INIT;
    int r = boot_identify(header, size, size, layout, &error);

    snprintf(words, room, "%s", error.message ? error.message : "");
    error_release(&error);
    return r;
}

static void test_image_header(void **state)
{
    uint8_t header[128] = {0};
    struct boot_layout layout;
    char words[256];

    memcpy(header + 56, "RSC\x05", 4);
    store_le64(header + 8, 0x200000);
    store_le64(header + 16, 0x12345); /* larger than the file: bss */
    assert_int_equal(identify(header, sizeof(header), &layout, words, sizeof(words)), 0);
    assert_int_equal(layout.format, BOOT_LINUX_IMAGE);
    assert_int_equal(layout.segment_count, 1);
    assert_int_equal(layout.segments[0].file_size, sizeof(header));
    assert_int_equal(layout.segments[0].memory_size, 0x12345);

    store_le64(header + 24, 1);
    assert_int_equal(identify(header, sizeof(header), &layout, words, sizeof(words)), -ENOEXEC);
    assert_non_null(strstr(words, "big-endian"));
    store_le64(header + 24, 0);
    store_le64(header + 16, 1ull << 40);
    assert_int_equal(identify(header, sizeof(header), &layout, words, sizeof(words)), -ENOEXEC);
}

static void test_mistakes(void **state)
{
    static const struct {
        size_t offset;
        const char *bytes;
        size_t length;
        const char *expected;
    } cases[] = {
        {0, "\x1f\x8b\x08", 3, "gzip"},
        {0,
         "\xfd"
         "7zXZ\0",
         6, "xz"},
        {0, "\x28\xb5\x2f\xfd", 4, "zstd"},
        {0x38, "ARM\x64", 4, "arm64"},
        {0x202, "HdrS", 4, "x86"},
        {0, "#!/bin/sh", 9, "script"},
        {0, "QFI\xfb", 4, "qcow2"},
    };
    struct boot_layout layout;
    char words[256];

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t header[1024] = {0};

        memcpy(header + cases[i].offset, cases[i].bytes, cases[i].length);
        assert_int_equal(identify(header, sizeof(header), &layout, words, sizeof(words)), -ENOEXEC);
        assert_non_null(strstr(words, cases[i].expected));
    }
    assert_int_equal(identify((const uint8_t *)"", 0, &layout, words, sizeof(words)), -ENOEXEC);
}

/* An ELF file with one segment of 16 bytes at RAM + 0x1000, entered 4 bytes in. */
static size_t make_elf(uint8_t *out, uint16_t machine)
{
    Elf64_Ehdr ehdr = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = machine,
        .e_entry = RAM + 0x1004,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 1,
    };
    Elf64_Phdr phdr = {
        .p_type = PT_LOAD,
        .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
        .p_paddr = RAM + 0x1000,
        .p_vaddr = 0xffffffff80000000,
        .p_filesz = 16,
        .p_memsz = 64,
    };

    memcpy(out, &ehdr, sizeof(ehdr));
    memcpy(out + sizeof(ehdr), &phdr, sizeof(phdr));
    memcpy(out + phdr.p_offset, "sixteen bytes!!!", 16);
    return phdr.p_offset + 16;
}

static void test_elf(void **state)
{
    uint8_t file[512] = {0};
    struct boot_layout layout;
    char words[256];
    size_t size = make_elf(file, EM_RISCV);

    assert_int_equal(identify(file, size, &layout, words, sizeof(words)), 0);
    assert_int_equal(layout.format, BOOT_ELF);
    assert_int_equal(layout.entry, RAM + 0x1004);
    assert_int_equal(layout.segment_count, 1);
    assert_int_equal(layout.segments[0].address, RAM + 0x1000);
    assert_int_equal(layout.segments[0].memory_size, 64);

    make_elf(file, EM_AARCH64);
    assert_int_equal(identify(file, size, &layout, words, sizeof(words)), -ENOEXEC);
    assert_non_null(strstr(words, "another machine"));
}

/* Each field of the headers set to wild values: an error or a layout inside the file. */
static void test_elf_hostile(void **state)
{
    static const uint64_t wild[] = {0,          1,          0x7f,       0xffff,     0x80000000,
                                    0xffffffff, 1ull << 40, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};
    unsigned accepted = 0, refused = 0;

    for (size_t at = 16; at < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); at += 4)
        for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
            uint8_t file[512] = {0};
            struct boot_layout layout;
            char words[256];
            size_t size = make_elf(file, EM_RISCV);

            store_le64(file + at, wild[i]);
            if (identify(file, size, &layout, words, sizeof(words))) {
                refused++;
                continue;
            }
            accepted++;
            for (unsigned s = 0; s < layout.segment_count; s++) {
                const struct boot_segment *segment = &layout.segments[s];

                assert_true(segment->file_offset <= size);
                assert_true(segment->file_size <= size - segment->file_offset);
                assert_true(segment->file_size <= segment->memory_size);
                assert_true(segment->address + segment->memory_size >= segment->address);
            }
        }
    assert_true(accepted > 10);
    assert_true(refused > 10);
}

static void write_file(char *path, const void *data, size_t size)
{
    int fd;

    strcpy(path, "/tmp/hospes-boot-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static struct address_space *make_memory(void)
{
    struct address_space *as = NULL;
    struct error error = ERROR_INIT;

    assert_int_equal(address_space_new(&as), 0);
    assert_int_equal(memory_add_ram(as, "ram", RAM, SIZE, true, &error), 0);
    return as;
}

static int load(const struct address_space *as, const char *path, gpa limit,
                struct boot_loaded *loaded, struct error *error)
{
    struct boot_file file;
    int r = boot_open(&file, path, error);

    if (!r)
        r = boot_load(as, &file, RAM, limit, loaded, error);
    boot_close(&file);
    assert_int_equal(file.fd, -1);
    return r;
}

static int load_top(const struct address_space *as, const char *path, gpa limit,
                    struct boot_loaded *loaded, struct error *error)
{
    struct boot_file file;
    int r = boot_open(&file, path, error);

    if (!r)
        r = boot_load_top(as, &file, RAM, limit, loaded, error);
    boot_close(&file);
    return r;
}

/* What is loaded at a reboot is what was there when the machine was built. */
static void test_load_again(void **state)
{
    struct address_space *as = make_memory();
    struct error error = ERROR_INIT;
    struct boot_loaded loaded;
    struct boot_file file;
    char path[64], back[6];

    write_file(path, "first", 5);
    assert_int_equal(boot_open(&file, path, &error), 0);
    unlink(path);
    for (unsigned i = 0; i < 2; i++) {
        memory_clear(as);
        assert_int_equal(boot_load_top(as, &file, RAM, RAM + SIZE, &loaded, &error), 0);
        assert_int_equal(memory_read(as, loaded.start, back, 5), 0);
        assert_memory_equal(back, "first", 5);
    }
    boot_close(&file);
    address_space_free(as);
}

static void test_load(void **state)
{
    struct address_space *as = make_memory();
    struct error error = ERROR_INIT;
    struct boot_loaded loaded;
    uint8_t file[512] = {0}, back[16];
    size_t size = make_elf(file, EM_RISCV);
    char path[64];

    write_file(path, file, size);
    assert_int_equal(load(as, path, RAM + SIZE, &loaded, &error), 0);
    assert_int_equal(loaded.entry, RAM + 0x1004);
    assert_int_equal(loaded.start, RAM + 0x1000);
    assert_int_equal(loaded.end, RAM + 0x1040);
    assert_int_equal(memory_read(as, RAM + 0x1000, back, 16), 0);
    assert_memory_equal(back, "sixteen bytes!!!", 16);

    /* No room below the limit: an error that names the file and the remedy. */
    assert_int_equal(load(as, path, RAM + 0x1010, &loaded, &error), -ENOMEM);
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.message, "--memory"));
    error_release(&error);
    unlink(path);

    assert_int_equal(load(as, path, RAM + SIZE, &loaded, &error), -ENOENT);
    assert_non_null(strstr(error.message, path));
    error_release(&error);
    assert_int_equal(load(as, "/", RAM + SIZE, &loaded, &error), -EINVAL);
    error_release(&error);
    address_space_free(as);
}

static void test_load_top(void **state)
{
    struct address_space *as = make_memory();
    struct error error = ERROR_INIT;
    struct boot_loaded loaded;
    char path[64], back[5];

    write_file(path, "hello", 5);
    assert_int_equal(load_top(as, path, RAM + SIZE, &loaded, &error), 0);
    assert_int_equal(loaded.start % PAGE_SIZE, 0);
    assert_int_equal(loaded.end, loaded.start + 5);
    assert_true(loaded.end <= RAM + SIZE);
    assert_int_equal(memory_read(as, loaded.start, back, 5), 0);
    assert_memory_equal(back, "hello", 5);
    assert_int_equal(load_top(as, path, RAM + 16, &loaded, &error), -ENOMEM);
    error_release(&error);
    unlink(path);
    address_space_free(as);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_header), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_elf),          cmocka_unit_test(test_elf_hostile),
        cmocka_unit_test(test_load),         cmocka_unit_test(test_load_top),
        cmocka_unit_test(test_load_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
