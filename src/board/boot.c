/* SPDX-License-Identifier: Apache-2.0 */
#include "board/boot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"

/* ---- judging ---- */

static bool starts_with(const uint8_t *header, size_t size, size_t offset, const char *magic,
                        size_t length)
{
    return size >= offset + length && !memcmp(header + offset, magic, length);
}

/* What people give by mistake, each with its remedy. */
static const struct {
    size_t offset;
    size_t length;
    const char *magic;
    const char *words;
} mistakes[] = {
    {0, 2, "\x1f\x8b", "is compressed with gzip; decompress it with: zcat FILE > Image"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "is compressed with xz; decompress it with: xzcat FILE > Image"},
    {0, 4, "\x28\xb5\x2f\xfd", "is compressed with zstd; decompress it with: zstdcat FILE > Image"},
    {0x38, 4, "ARM\x64", "is a kernel for arm64, and this machine is riscv64"},
    {0x202, 4, "HdrS", "is a kernel for x86, and this machine is riscv64"},
    {4, 4, "zimg", "is a compressed EFI kernel; boot it through firmware, or give its Image"},
    {0, 2, "#!", "is a script, not a kernel"},
    {0, 4, "QFI\xfb", "is a qcow2 disk image, not a kernel; give it with --disk"},
};

static int elf_segments(const uint8_t *header, size_t size, uint64_t file_size,
                        struct boot_layout *layout, struct error *error)
{
    Elf64_Ehdr ehdr;

    if (size < sizeof(ehdr))
        return error_set(error, ENOEXEC, "is a truncated ELF file");
    memcpy(&ehdr, header, sizeof(ehdr));
    if (ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
        le16toh(ehdr.e_machine) != EM_RISCV)
        return error_set(error, ENOEXEC,
                         "is an ELF file for another machine (number %u), not for riscv64",
                         le16toh(ehdr.e_machine));
    if (le16toh(ehdr.e_phentsize) != sizeof(Elf64_Phdr) || le64toh(ehdr.e_phoff) > size ||
        (size - le64toh(ehdr.e_phoff)) / sizeof(Elf64_Phdr) < le16toh(ehdr.e_phnum))
        return error_set(error, ENOEXEC, "is an ELF file with a bad program header table");
    layout->entry = le64toh(ehdr.e_entry);
    for (unsigned i = 0; i < le16toh(ehdr.e_phnum); i++) {
        struct boot_segment *segment = &layout->segments[layout->segment_count];
        Elf64_Phdr phdr;
        uint64_t end;

        memcpy(&phdr, header + le64toh(ehdr.e_phoff) + i * sizeof(phdr), sizeof(phdr));
        if (le32toh(phdr.p_type) != PT_LOAD || !phdr.p_memsz)
            continue;
        if (layout->segment_count == BOOT_SEGMENTS_MAX)
            return error_set(error, ENOEXEC, "is an ELF file with more than %u segments",
                             BOOT_SEGMENTS_MAX);
        segment->file_offset = le64toh(phdr.p_offset);
        segment->file_size = le64toh(phdr.p_filesz);
        segment->memory_size = le64toh(phdr.p_memsz);
        segment->address = le64toh(phdr.p_paddr);
        if (segment->file_size > segment->memory_size || segment->file_offset > file_size ||
            file_size - segment->file_offset < segment->file_size ||
            __builtin_add_overflow(segment->address, segment->memory_size, &end))
            return error_set(error, ENOEXEC, "is an ELF file with a segment outside of it");
        layout->segment_count++;
    }
    if (!layout->segment_count)
        return error_set(error, ENOEXEC, "is an ELF file with nothing to load");
    return 0;
}

int boot_identify(const uint8_t *header, size_t size, uint64_t file_size,
                  struct boot_layout *layout, struct error *error)
{
    struct boot_segment *whole = &layout->segments[0];

    memset(layout, 0, sizeof(*layout));
    if (!file_size || !size)
        return error_set(error, ENOEXEC, "is empty");
    if (starts_with(header, size, 0, ELFMAG, SELFMAG)) {
        layout->format = BOOT_ELF;
        return elf_segments(header, size, file_size, layout, error);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(mistakes); i++)
        if (starts_with(header, size, mistakes[i].offset, mistakes[i].magic, mistakes[i].length))
            return error_set(error, ENOEXEC, "%s", mistakes[i].words);
    layout->segment_count = 1;
    whole->file_size = file_size;
    whole->memory_size = file_size;
    /* boot-image-header.rst: magic2 at 56; text_offset at 8, image_size at 16, flags at 24 whose
     * bit 0 says big-endian. */
    if (starts_with(header, size, 56, "RSC\x05", 4)) {
        uint64_t image_size = load_le64(header + 16);

        layout->format = BOOT_LINUX_IMAGE;
        if (load_le64(header + 24) & 1)
            return error_set(error, ENOEXEC, "is a big-endian kernel, and this machine is not");
        if (image_size >> 32)
            return error_set(error, ENOEXEC, "claims a memory size of %llu MiB",
                             (unsigned long long)(image_size >> 20));
        if (image_size > whole->memory_size)
            whole->memory_size = image_size;
    }
    return 0;
}

/* ---- loading ---- */

int boot_open(struct boot_file *file, const char *path, struct error *error)
{
    struct stat st;

    *file = (struct boot_file){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file->fd < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    if (fstat(file->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        boot_close(file);
        return error_set(error, EINVAL, "cannot load \"%s\": not a regular file", path);
    }
    return 0;
}

void boot_close(struct boot_file *file)
{
    if (!file || file->fd < 0)
        return;
    close(file->fd);
    file->fd = -1;
}

/* Now, since it may have been written to. */
static int boot_size(const struct boot_file *file, uint64_t *size, struct error *error)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return error_set(error, errno, "cannot read \"%s\": %s", file->path, error_words(errno));
    *size = (uint64_t)st.st_size;
    return 0;
}

/* Reads [offset, offset + size) of the file into guest RAM. Straight system calls: a sanitizer
 * would take the guest's pages for memory that hospes shares with its own threads. */
static int boot_read(const struct address_space *as, int fd, const char *path, uint64_t offset,
                     uint64_t size, gpa to, struct error *error)
{
    struct span span;
    uint64_t done = 0;
    int r = 0;

    if (!size)
        return 0;
    if (memory_pin(as, to, size, true, &span))
        return error_set(error, ENOMEM, "cannot load \"%s\": no memory at 0x%llx", path,
                         (unsigned long long)to);
    while (done < size && !r) {
        long n = syscall(SYS_pread64, fd, span.host + done, size - done, offset + done);

        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0)
            r = error_set(error, EIO, "cannot load \"%s\": the file became shorter", path);
        else if (errno != EINTR)
            r = error_set(error, errno, "cannot read \"%s\": %s", path, error_words(errno));
    }
    memory_unpin(as, &span);
    return r;
}

static int boot_load_segments(const struct address_space *as, int fd, const char *path,
                              uint64_t file_size, gpa base, gpa limit, struct boot_loaded *loaded,
                              struct error *error)
{
    uint8_t header[BOOT_HEADER_SIZE];
    struct boot_layout layout;
    ssize_t n = pread(fd, header, sizeof(header), 0);
    int r;

    if (n < 0)
        return error_set(error, errno, "cannot read \"%s\": %s", path, error_words(errno));
    r = boot_identify(header, (size_t)n, file_size, &layout, error);
    if (r) {
        error_wrap(error, "cannot boot \"%s\"", path);
        return r;
    }
    *loaded = (struct boot_loaded){.start = UINT64_MAX};
    for (unsigned i = 0; i < layout.segment_count; i++) {
        struct boot_segment *segment = &layout.segments[i];

        if (layout.format != BOOT_ELF)
            segment->address = base;
        if (segment->address >= limit || limit - segment->address < segment->memory_size)
            return error_set(error, ENOMEM,
                             "cannot load \"%s\": %llu MiB at 0x%llx do not fit into the machine; "
                             "use more with --memory",
                             path, (unsigned long long)((segment->memory_size >> 20) + 1),
                             (unsigned long long)segment->address);
        r = boot_read(as, fd, path, segment->file_offset, segment->file_size, segment->address,
                      error);
        if (r)
            return r;
        if (segment->address < loaded->start)
            loaded->start = segment->address;
        if (segment->address + segment->memory_size > loaded->end)
            loaded->end = segment->address + segment->memory_size;
    }
    loaded->entry = layout.format == BOOT_ELF ? layout.entry : base + layout.entry;
    return 0;
}

int boot_load(const struct address_space *as, const struct boot_file *file, gpa base, gpa limit,
              struct boot_loaded *loaded, struct error *error)
{
    uint64_t size = 0;
    int r = boot_size(file, &size, error);

    return r ? r : boot_load_segments(as, file->fd, file->path, size, base, limit, loaded, error);
}

int boot_load_top(const struct address_space *as, const struct boot_file *file, gpa floor,
                  gpa limit, struct boot_loaded *loaded, struct error *error)
{
    uint64_t size = 0;
    int r = boot_size(file, &size, error);
    gpa start;

    if (r)
        return r;
    if (!size || limit < floor || limit - floor < size + PAGE_SIZE)
        return error_set(error, size ? ENOMEM : ENOEXEC, "cannot load \"%s\": %s", file->path,
                         size ? "it does not fit into the machine; use more with --memory"
                              : "it is empty");
    start = round_down(limit - size, PAGE_SIZE);
    r = boot_read(as, file->fd, file->path, 0, size, start, error);
    *loaded = (struct boot_loaded){.entry = start, .start = start, .end = start + size};
    return r;
}
