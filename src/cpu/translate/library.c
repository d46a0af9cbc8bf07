/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/library.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "cpu/translate/library_parts.h"

/* ---- of which build ---- */

/* The linker's --build-id, a hash of all that was linked: elf(5), NT_GNU_BUILD_ID. */
static const uint8_t *build_of_notes(const uint8_t *notes, size_t size)
{
    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)notes;
        size_t name = round_up(note->n_namesz, 4), all = sizeof(*note) + name;

        all += round_up(note->n_descsz, 4);
        if (all > size)
            return NULL;
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
            !memcmp(notes + sizeof(*note), "GNU", 4) && note->n_descsz >= LIBRARY_BUILD_SIZE)
            return notes + sizeof(*note) + name;
        notes += all;
        size -= all;
    }
    return NULL;
}

/* The first object is the program. */
static int look_at_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
    const uint8_t **build = ctx;

    for (unsigned i = 0; i < info->dlpi_phnum && !*build; i++)
        if (info->dlpi_phdr[i].p_type == PT_NOTE)
            *build = build_of_notes((const uint8_t *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
                                    info->dlpi_phdr[i].p_memsz);
    return 1;
}

const uint8_t *library_build(void)
{
    const uint8_t *build = NULL;

    dl_iterate_phdr(look_at_program, (void *)&build);
    return build;
}

struct hash128 library_runtime_hash(const struct host_runtime *runtime)
{
    return hash128(runtime->parts, sizeof(runtime->parts), 0);
}

/* ---- the file ---- */

static bool header_is_sane(const struct library_header *h)
{
    return !memcmp(h->magic, library_magic, sizeof(library_magic)) && h->pages <= LIBRARY_PAGES &&
           h->units <= LIBRARY_UNITS && h->accesses <= LIBRARY_ACCESSES &&
           h->records <= LIBRARY_UNITS && h->in_line <= LIBRARY_IN_LINE && h->cold <= LIBRARY_COLD;
}

struct library {
    int fd;
    size_t size;
    const uint8_t *data;
    struct library_layout layout;
};

const struct library_header *library_header(const struct library *library)
{
    return (const void *)library->data;
}

const struct library_page *library_page(const struct library *library, uint32_t page)
{
    return (const struct library_page *)(const void *)(library->data + library->layout.pages) +
           page;
}

const struct library_unit *library_unit(const struct library *library, uint32_t unit)
{
    return (const struct library_unit *)(const void *)(library->data + library->layout.units) +
           unit;
}

const struct host_access *library_accesses(const struct library *library,
                                           const struct library_unit *unit)
{
    return (const struct host_access *)(const void *)(library->data + library->layout.accesses) +
           unit->access;
}

const struct library_record *library_records(const struct library *library,
                                             const struct library_unit *unit)
{
    return (const struct library_record *)(const void *)(library->data + library->layout.records) +
           unit->record;
}

const void *library_bytes(const struct library *library, uint32_t page)
{
    return library->data + library->layout.bytes +
           (uint64_t)library_page(library, page)->bytes * LIBRARY_PAGE_SIZE;
}

/* Behind all of the code before it. */
static bool unit_is_sane(const struct library *library, const struct library_unit *unit,
                         const struct library_unit *before)
{
    const struct library_header *h = library_header(library);
    uint64_t start = before ? (uint64_t)before->start + before->size : LIBRARY_AT;
    uint64_t cold = before ? (uint64_t)before->cold_start + before->cold_size : LIBRARY_COLD_AT;

    return unit->start >= start && unit->cold_start >= cold && unit->size &&
           (uint64_t)unit->start + unit->size <= (uint64_t)LIBRARY_AT + h->in_line &&
           (uint64_t)unit->cold_start + unit->cold_size <= (uint64_t)LIBRARY_COLD_AT + h->cold &&
           unit->entry > unit->start && unit->entry - unit->start < unit->size &&
           (uint64_t)unit->access + unit->access_count <= h->accesses &&
           (uint64_t)unit->record + unit->record_count <= h->records &&
           unit->place < LIBRARY_PAGE_SIZE;
}

static bool page_is_sane(const struct library *library, uint32_t number)
{
    const struct library_header *h = library_header(library);
    const struct library_page *page = library_page(library, number);

    if (page->bytes >= h->pages || (uint64_t)page->first + page->count > h->units ||
        (number && library_key_compare(&library_page(library, number - 1)->key, &page->key) >= 0))
        return false;
    for (uint32_t i = 0; i < page->count; i++)
        if (library_unit(library, page->first + i)->page != number)
            return false;
    return true;
}

/* What a damaged file could lead astray; that its code is right can nobody see from it. */
static bool contents_are_sane(const struct library *library)
{
    const struct library_header *h = library_header(library);

    for (uint32_t i = 0; i < h->units; i++)
        if (!unit_is_sane(library, library_unit(library, i),
                          i ? library_unit(library, i - 1) : NULL))
            return false;
    for (uint32_t i = 0; i < h->pages; i++)
        if (!page_is_sane(library, i))
            return false;
    return true;
}

static int check_file(int fd, const char *path, struct stat *status, struct error *error)
{
    if (fstat(fd, status) < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    if (!S_ISREG(status->st_mode))
        return error_set(error, EINVAL, "\"%s\" is not a file", path);
    if ((status->st_uid != 0 && status->st_uid != geteuid()) || (status->st_mode & 022))
        return error_set(error, EPERM,
                         "\"%s\" is code that others could have written; it is not used", path);
    return 0;
}

static int check_contents(const struct library *library, const char *path, struct error *error)
{
    const struct library_header *h = library_header(library);
    const uint8_t *build = library_build();

    if (library->size < sizeof(*h) || memcmp(h->magic, library_magic, sizeof(library_magic)) != 0)
        return error_set(error, EINVAL, "\"%s\" is no library of translated code", path);
    if (!build || memcmp(h->build, build, LIBRARY_BUILD_SIZE) != 0)
        return error_set(error, ESTALE, "\"%s\" was made by another build of hospes", path);
    if (!header_is_sane(h) || library_layout(h).end != library->size)
        return error_set(error, EINVAL, "\"%s\" is damaged", path);
    return 0;
}

int library_open(struct library **out, const char *path, struct error *error)
{
    struct library *library = calloc(1, sizeof(*library));
    struct stat status;
    int r;

    if (!library)
        return error_set(error, ENOMEM, "no memory for \"%s\"", path);
    library->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (library->fd < 0)
        r = error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    else
        r = check_file(library->fd, path, &status, error);
    if (!r && status.st_size < (off_t)sizeof(struct library_header))
        r = error_set(error, EINVAL, "\"%s\" is no library of translated code", path);
    if (!r) {
        void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, library->fd, 0);

        if (data == MAP_FAILED) {
            r = error_set(error, errno, "cannot map \"%s\": %s", path, error_words(errno));
        } else {
            library->data = data;
            library->size = (size_t)status.st_size;
        }
    }
    r = r ? r : check_contents(library, path, error);
    if (!r) {
        library->layout = library_layout(library_header(library));
        if (!contents_are_sane(library))
            r = error_set(error, EINVAL, "\"%s\" is damaged", path);
    }
    if (r) {
        library_close(library);
        return r;
    }
    *out = library;
    return 0;
}

void library_close(struct library *library)
{
    if (!library)
        return;
    if (library->data)
        munmap((void *)(uintptr_t)library->data, library->size);
    if (library->fd >= 0)
        close(library->fd);
    free(library);
}

uint32_t library_find(const struct library *library, const void *bytes)
{
    struct hash128 key = hash128(bytes, LIBRARY_PAGE_SIZE, 0);
    uint32_t low = 0, high = library_header(library)->pages;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = library_key_compare(&library_page(library, mid)->key, &key);

        if (!order)
            return memcmp(library_bytes(library, mid), bytes, LIBRARY_PAGE_SIZE) ? LIBRARY_NONE
                                                                                 : mid;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return LIBRARY_NONE;
}

uint32_t library_unit_find(const struct library *library, uint32_t number, unsigned place)
{
    const struct library_page *page = library_page(library, number);
    uint32_t low = page->first, high = page->first + page->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        unsigned at = library_unit(library, mid)->place;

        if (at == place)
            return mid;
        if (at < place)
            low = mid + 1;
        else
            high = mid;
    }
    return LIBRARY_NONE;
}

uint32_t library_unit_at(const struct library *library, uint32_t offset)
{
    bool in_line = offset < LIBRARY_COLD_AT;
    uint32_t low = 0, high = library_header(library)->units;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const struct library_unit *unit = library_unit(library, mid);
        uint32_t start = in_line ? unit->start : unit->cold_start;
        uint32_t size = in_line ? unit->size : unit->cold_size;

        if (offset < start)
            high = mid;
        else if (offset - start >= size)
            low = mid + 1;
        else
            return mid;
    }
    return LIBRARY_NONE;
}

static int map_part(const struct library *library, const uint8_t *at, uint64_t from, size_t size)
{
    void *wanted = (void *)(uintptr_t)at;

    if (!size)
        return 0;
    /* In two steps: a machine that is confined may do it so (host/jail_filter.c). */
    if (mmap(wanted, size, PROT_READ, MAP_SHARED | MAP_FIXED, library->fd, (off_t)from) ==
            MAP_FAILED ||
        mprotect(wanted, size, PROT_READ | PROT_EXEC) < 0)
        return -errno;
    madvise(wanted, size, MADV_DONTFORK);
    madvise(wanted, size, MADV_DONTDUMP);
    return 0;
}

int library_map(const struct library *library, const uint8_t *run)
{
    const struct library_header *h = library_header(library);
    int r = map_part(library, run + LIBRARY_AT, library->layout.in_line, h->in_line);

    return r ? r : map_part(library, run + LIBRARY_COLD_AT, library->layout.cold, h->cold);
}
