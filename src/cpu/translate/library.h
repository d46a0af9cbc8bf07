/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library: translated code of pages that machines of one image have in common, made once by a
 * machine that nobody else had a say in, and mapped by others, which can read and execute it and
 * never write. Its units have no links but within their page, and no addresses (struct
 * host_shared), so that all machines execute the same pages of the host's memory. They are for what
 * is executed now and then: what is executed often gets a unit of the machine's own.
 *
 * The file, which is of one build of hospes and trusted as hospes itself is:
 *
 *   struct library_header
 *   pages      struct library_page, by hash, ascending
 *   units      struct library_unit, page by page, in the order of their code
 *   accesses   struct host_access, unit by unit
 *   records    struct library_record, unit by unit
 *   bytes      4096 of each page, from a page boundary
 *   code       what is in line, then what is not, each from a page boundary
 *
 * A page's code is for these bytes: who takes it has compared them all.
 */
#ifndef HOSPES_CPU_TRANSLATE_LIBRARY_H
#define HOSPES_CPU_TRANSLATE_LIBRARY_H

#include "base/hash.h"
#include "cpu/library.h"
#include "cpu/translate/host.h"

/* Where things are, from the first address of the machine's code memory on. */
enum {
    LIBRARY_AT = 512 << 20, /* code memory that has more has no library */
    LIBRARY_IN_LINE = 160 << 20,
    LIBRARY_COLD_AT = LIBRARY_AT + LIBRARY_IN_LINE,
    LIBRARY_COLD = 96 << 20,
    LIBRARY_WORDS_AT = LIBRARY_COLD_AT + LIBRARY_COLD, /* a host_word a unit, the machine's own */
    LIBRARY_UNITS = 1 << 20,
    LIBRARY_RECORDS_AT = LIBRARY_WORDS_AT + 16 * LIBRARY_UNITS, /* the machine's own, too */
    LIBRARY_RECORDS_SIZE = 64 << 20,
    LIBRARY_SPAN = LIBRARY_RECORDS_AT + LIBRARY_RECORDS_SIZE,
    LIBRARY_PAGES = 1 << 16,
    LIBRARY_ACCESSES = 1 << 23,
    LIBRARY_PAGE_SIZE = 4096,
    LIBRARY_BUILD_SIZE = 20,
};

#define LIBRARY_NONE UINT32_MAX

struct library_header {
    uint8_t magic[8];
    uint8_t build[LIBRARY_BUILD_SIZE];
    uint32_t pages, units, accesses, records;
    uint32_t in_line, cold; /* bytes of code */
    uint32_t zero;
    struct hash128 runtime; /* of where the shared code is to which it leads */
};

struct library_page {
    struct hash128 key;
    uint32_t bytes;        /* which of the pages' bytes are its own */
    uint32_t first, count; /* units */
    uint32_t zero;
};

struct library_unit {
    uint32_t start, entry, size, cold_start, cold_size; /* as in struct unit */
    uint32_t page, access, record;                      /* the first of each */
    uint16_t access_count, record_count;
    uint16_t place; /* offset in the page, which is even, and 1 more for windowed code */
    uint8_t loops, zero;
};

/* An instruction that the guest's side does itself: bytes into the page, and how many of the unit's
 * there are up to it. */
struct library_record {
    uint16_t at, count;
};

_Static_assert(sizeof(struct host_word) == 16, "LIBRARY_RECORDS_AT is behind the words");

/* NULL: this build has no name by which a library could be known, or the emitter's code differs
 * from run to run. LIBRARY_BUILD_SIZE bytes. */
const uint8_t *library_build(void);
/* Of a runtime that is made. */
struct hash128 library_runtime_hash(const struct host_runtime *runtime);

const struct library_header *library_header(const struct library *library);

/* The number of the page with these bytes, or LIBRARY_NONE. */
uint32_t library_find(const struct library *library, const void *bytes);
const struct library_page *library_page(const struct library *library, uint32_t page);
const void *library_bytes(const struct library *library, uint32_t page);
/* The number of the page's unit at the place, or LIBRARY_NONE. */
uint32_t library_unit_find(const struct library *library, uint32_t page, unsigned place);
const struct library_unit *library_unit(const struct library *library, uint32_t unit);
/* The unit whose code holds the offset, or LIBRARY_NONE. */
uint32_t library_unit_at(const struct library *library, uint32_t offset);
const struct host_access *library_accesses(const struct library *library,
                                           const struct library_unit *unit);
const struct library_record *library_records(const struct library *library,
                                             const struct library_unit *unit);
/* Maps the code, to execute, at LIBRARY_AT from `run` on. Returns 0 or -errno. */
int library_map(const struct library *library, const uint8_t *run) MUST_CHECK;

/* ---- making one ---- */

struct library_maker {
    struct library_header header;
    struct library_page *pages;
    struct library_unit *units;
    struct host_access *accesses;
    struct library_record *records;
    uint8_t *bytes;
    struct code_memory memory; /* to compile into; nobody executes it */
    unsigned page_room, unit_room, access_room, record_room, bytes_room;
};

/* -ENOMEM; -ENOTSUP: see library_build(). */
int library_maker_init(struct library_maker *maker, const struct host_runtime *runtime) MUST_CHECK;
void library_maker_release(struct library_maker *maker);
/* Each returns -ENOMEM, or -ENOSPC when a library is full. */
int library_add_page(struct library_maker *maker, const void *bytes) MUST_CHECK;
/* Of the page that was added last; what was compiled into maker->memory. */
int library_add_unit(struct library_maker *maker, const struct library_unit *unit,
                     const struct host_unit *compiled,
                     const struct library_record *records) MUST_CHECK;
/* Takes the page back that was added last, with all of its units. */
void library_drop_page(struct library_maker *maker);
/* Sorts, and writes the file. */
int library_write(struct library_maker *maker, int fd) MUST_CHECK;

#endif
