/* SPDX-License-Identifier: Apache-2.0 */
#include "board/htif.h"

#include <elf.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/thread.h"

#define LOOK_NS 5000000u /* between two looks */

/* More than any test program has; a hostile file costs no more than this. */
#define SECTIONS_MAX 4096u
#define SYMBOLS_MAX  (1u << 20)
#define STRINGS_MAX  (64u << 20)

/* Fields of the word. */
#define HTIF_DEVICE(word)  ((word) >> 56)
#define HTIF_COMMAND(word) ((word) >> 48 & 0xff)
#define HTIF_PAYLOAD(word) ((word)&0xffffffffffff)

enum { HTIF_SYSCALL = 0, HTIF_CONSOLE = 1, HTIF_CONSOLE_PUT = 1 };

static void htif_look(void *ctx)
{
    struct htif *htif = ctx;
    uint64_t raw, word, none = 0;

    if (memory_read(htif->memory, htif->tohost, &raw, sizeof(raw)))
        return;
    word = le64toh(raw);
    if (HTIF_DEVICE(word) == HTIF_SYSCALL && word & 1) {
        htif->ended(htif->ctx, HTIF_PAYLOAD(word) >> 1);
        return;
    }
    if (HTIF_DEVICE(word) == HTIF_CONSOLE && HTIF_COMMAND(word) == HTIF_CONSOLE_PUT) {
        uint8_t byte = (uint8_t)word;

        stream_write(htif->console, &byte, 1);
    }
    /* Taken, or not served: either way the program may go on. */
    if (word && memory_write(htif->memory, htif->tohost, &none, sizeof(none)))
        return;
    timer_set(&htif->timer, monotonic_ns() + LOOK_NS);
}

void htif_init(struct htif *htif, struct loop *loop, const struct address_space *memory,
               struct stream *console, void (*ended)(void *ctx, uint64_t code), void *ctx)
{
    *htif = (struct htif){.memory = memory, .console = console, .ended = ended, .ctx = ctx};
    timer_init(&htif->timer, loop, htif_look, htif);
}

void htif_start(struct htif *htif, gpa tohost)
{
    htif->tohost = tohost;
    timer_set(&htif->timer, monotonic_ns() + LOOK_NS);
}

void htif_stop(struct htif *htif)
{
    timer_cancel(&htif->timer);
}

/* ---- the symbol ---- */

/* Reads `count` elements of `size` bytes at `offset`; NULL when they are not all there. */
static void *table_read(int fd, uint64_t offset, uint64_t count, uint64_t size, uint64_t max)
{
    uint64_t bytes = count * size;
    void *table;

    if (!count || count > max || offset > (uint64_t)INT64_MAX - bytes)
        return NULL;
    table = malloc(bytes);
    if (table && pread(fd, table, bytes, (off_t)offset) != (ssize_t)bytes) {
        free(table);
        table = NULL;
    }
    return table;
}

static bool symbols_search(int fd, const Elf64_Shdr *symbols, const Elf64_Shdr *strings,
                           const char *name, uint64_t *value)
{
    uint64_t count = le64toh(symbols->sh_size) / sizeof(Elf64_Sym);
    uint64_t length = le64toh(strings->sh_size);
    Elf64_Sym *table =
        table_read(fd, le64toh(symbols->sh_offset), count, sizeof(Elf64_Sym), SYMBOLS_MAX);
    char *text = table_read(fd, le64toh(strings->sh_offset), length, 1, STRINGS_MAX);
    bool found = false;

    for (uint64_t i = 0; table && text && i < count && !found; i++) {
        uint64_t at = le32toh(table[i].st_name);

        found =
            at < length && length - at > strlen(name) && !memcmp(text + at, name, strlen(name) + 1);
        if (found)
            *value = le64toh(table[i].st_value);
    }
    free(table);
    free(text);
    return found;
}

bool htif_symbol(int fd, const char *name, uint64_t *value)
{
    Elf64_Shdr *sections = NULL;
    Elf64_Ehdr ehdr;
    bool found = false;
    unsigned count;

    if (pread(fd, &ehdr, sizeof(ehdr), 0) == sizeof(ehdr) &&
        !memcmp(ehdr.e_ident, ELFMAG, SELFMAG) && ehdr.e_ident[EI_CLASS] == ELFCLASS64 &&
        ehdr.e_ident[EI_DATA] == ELFDATA2LSB && le16toh(ehdr.e_shentsize) == sizeof(Elf64_Shdr))
        sections = table_read(fd, le64toh(ehdr.e_shoff), le16toh(ehdr.e_shnum), sizeof(Elf64_Shdr),
                              SECTIONS_MAX);
    count = sections ? le16toh(ehdr.e_shnum) : 0;
    /* A file has one symbol table (System V gABI, "Sections", SHT_SYMTAB), and a hostile one that
     * claims more is not searched for minutes. */
    for (unsigned i = 0; i < count; i++) {
        unsigned strings = le32toh(sections[i].sh_link);

        if (le32toh(sections[i].sh_type) != SHT_SYMTAB)
            continue;
        if (strings < count)
            found = symbols_search(fd, &sections[i], &sections[strings], name, value);
        break;
    }
    free(sections);
    return found;
}
