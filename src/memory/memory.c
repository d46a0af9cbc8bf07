/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"

#define RANGES_MAX 64
/* Inaccessible bytes before and after each RAM block: nothing of hospes's own is adjacent. */
#define GUARD_SIZE (1u << 20)

struct address_space {
    struct range ranges[RANGES_MAX]; /* M1; fixed once CPUs run */
    unsigned count;
    struct mutex lock;
    struct memory_listener *listeners GUARDED_BY(lock);
    bool mergeable; /* RAM that is added is private */
};

int address_space_new(struct address_space **out)
{
    struct address_space *as = calloc(1, sizeof(*as));

    if (!as)
        return -ENOMEM;
    mutex_init(&as->lock);
    *out = as;
    return 0;
}

void memory_make_mergeable(struct address_space *as)
{
    as->mergeable = true;
}

static void ram_free(struct ram *ram)
{
    if (!ram)
        return;
    if (ram->host)
        munmap(ram->host - GUARD_SIZE, ram->size + 2 * (uint64_t)GUARD_SIZE);
    if (ram->fd >= 0)
        close(ram->fd);
    free((void *)ram->flags);
    free((void *)ram->code_gen);
    free(ram->blocks);
    mutex_release(&ram->lock);
    free(ram);
}

void address_space_free(struct address_space *as)
{
    if (!as)
        return;
    for (unsigned i = 0; i < as->count; i++)
        ram_free(as->ranges[i].ram);
    mutex_release(&as->lock);
    free(as);
}

/* Finds the place of a new range; -EEXIST on overlap. */
static int range_place(const struct address_space *as, gpa base, uint64_t size, unsigned *place)
{
    unsigned i = 0;
    uint64_t end;

    if (!size || __builtin_add_overflow(base, size - 1, &end))
        return -EINVAL;
    if (as->count == RANGES_MAX)
        return -ENOSPC;
    while (i < as->count && as->ranges[i].base < base)
        i++;
    if (i && as->ranges[i - 1].base + (as->ranges[i - 1].size - 1) >= base)
        return -EEXIST;
    if (i < as->count && as->ranges[i].base <= end)
        return -EEXIST;
    *place = i;
    return 0;
}

static int range_add(struct address_space *as, const struct range *range, struct error *error)
{
    unsigned place = 0;
    int r = range_place(as, range->base, range->size, &place);

    if (r)
        return error_set(error, -r, "cannot map \"%s\" at 0x%llx: %s", range->name,
                         (unsigned long long)range->base,
                         r == -EEXIST ? "the range overlaps another" : error_words(-r));
    memmove(&as->ranges[place + 1], &as->ranges[place],
            (as->count - place) * sizeof(as->ranges[0]));
    as->ranges[place] = *range;
    as->count++;
    return 0;
}

/* At the place that was reserved for it. */
static bool ram_map(struct ram *ram, const char *name, uint8_t *at, bool mergeable)
{
    int protection = PROT_READ | PROT_WRITE, flags = MAP_FIXED | MAP_NORESERVE;

    if (mergeable) {
        if (mmap(at, ram->size, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
            MAP_FAILED)
            return false;
        /* Where the host has no KSM it is memory like any other. Huge pages would have to be
         * split before any of their pages could be merged. */
        madvise(at, ram->size, MADV_MERGEABLE);
        return true;
    }
    ram->fd = memfd_create(name, MFD_CLOEXEC);
    if (ram->fd < 0 || ftruncate(ram->fd, (off_t)ram->size) < 0 ||
        mmap(at, ram->size, protection, flags | MAP_SHARED, ram->fd, 0) == MAP_FAILED)
        return false;
    madvise(at, ram->size, MADV_HUGEPAGE);
    return true;
}

static struct ram *ram_new(const char *name, gpa base, uint64_t fixed, uint64_t size, bool writable,
                           bool mergeable)
{
    struct ram *ram = calloc(1, sizeof(*ram));
    uint64_t pages = size >> PAGE_SHIFT;
    uint8_t *whole;

    if (!ram)
        return NULL;
    mutex_init(&ram->lock);
    ram->base = base;
    ram->size = size;
    ram->fixed = fixed;
    ram->writable = writable;
    ram->fd = -1;
    ram->flags = calloc(pages, sizeof(*ram->flags));
    ram->code_gen = calloc(pages, sizeof(*ram->code_gen));
    if (fixed < size)
        ram->blocks = calloc((size - fixed) >> RAM_BLOCK_SHIFT, sizeof(*ram->blocks));
    if (!ram->flags || !ram->code_gen || (fixed < size && !ram->blocks))
        goto fail;
    whole = mmap(NULL, size + 2 * (uint64_t)GUARD_SIZE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (whole == MAP_FAILED)
        goto fail;
    if (!ram_map(ram, name, whole + GUARD_SIZE, mergeable)) {
        munmap(whole, size + 2 * (uint64_t)GUARD_SIZE);
        goto fail;
    }
    ram->host = whole + GUARD_SIZE;
    /* A core dump of hospes is for finding our bugs; the guest's memory is its owner's. */
    madvise(ram->host, size, MADV_DONTDUMP);
    return ram;
fail:
    ram_free(ram);
    return NULL;
}

static int ram_add(struct address_space *as, const char *name, gpa base, uint64_t fixed,
                   uint64_t size, bool writable, struct error *error)
{
    struct range range = {.base = base, .size = size, .name = name};
    int r;

    range.ram = ram_new(name, base, fixed, size, writable, as->mergeable);
    if (!range.ram)
        return error_set(error, ENOMEM,
                         "cannot reserve %llu MiB of memory for \"%s\"; use less "
                         "with --memory",
                         (unsigned long long)(size >> 20), name);
    r = range_add(as, &range, error);
    if (r)
        ram_free(range.ram);
    return r;
}

int memory_add_ram(struct address_space *as, const char *name, gpa base, uint64_t size,
                   bool writable, struct error *error)
{
    if (!size || (base | size) % PAGE_SIZE)
        return error_set(error, EINVAL, "memory \"%s\" is not made of whole pages", name);
    return ram_add(as, name, base, size, size, writable, error);
}

int memory_add_pluggable_ram(struct address_space *as, const char *name, gpa base, uint64_t fixed,
                             uint64_t size, struct error *error)
{
    if (!fixed || size <= fixed || (base | fixed | size) % RAM_BLOCK_SIZE)
        return error_set(error, EINVAL, "memory \"%s\" is not made of whole blocks", name);
    return ram_add(as, name, base, fixed, size, true, error);
}

int memory_add_io(struct address_space *as, const char *name, gpa base, uint64_t size,
                  const struct io_ops *ops, void *ctx, struct error *error)
{
    struct range range = {.base = base, .size = size, .name = name, .ops = ops, .ctx = ctx};

    return range_add(as, &range, error);
}

void memory_listen(struct address_space *as, struct memory_listener *listener)
{
    mutex_lock(&as->lock);
    listener->next = as->listeners;
    as->listeners = listener;
    mutex_unlock(&as->lock);
}

void memory_unlisten(struct address_space *as, struct memory_listener *listener)
{
    mutex_lock(&as->lock);
    for (struct memory_listener **at = &as->listeners; *at; at = &(*at)->next)
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    mutex_unlock(&as->lock);
}

const struct range *memory_find(const struct address_space *as, gpa addr)
{
    unsigned low = 0, high = as->count;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct range *range = &as->ranges[mid];

        if (addr < range->base)
            high = mid;
        else if (addr - range->base >= range->size)
            low = mid + 1;
        else
            return range;
    }
    return NULL;
}

bool memory_is_ram(const struct address_space *as, gpa addr)
{
    const struct range *range = memory_find(as, addr);

    return range && range->ram && ram_has(range->ram, addr - range->base);
}

struct ram *memory_main_ram(const struct address_space *as)
{
    struct ram *best = NULL;

    for (unsigned i = 0; i < as->count; i++) {
        struct ram *ram = as->ranges[i].ram;

        if (ram && ram->writable && (!best || ram->size > best->size))
            best = ram;
    }
    return best;
}

/* ---- copies ---- */

/* The piece of [addr, addr + len) that lies in the RAM range at addr; NULL when there is none. */
static struct ram *ram_piece(const struct address_space *as, gpa addr, uint64_t len,
                             uint64_t *offset, uint64_t *piece)
{
    const struct range *range = memory_find(as, addr);

    if (!range || !range->ram)
        return NULL;
    *offset = addr - range->base;
    *piece = range->size - *offset < len ? range->size - *offset : len;
    return range->ram;
}

static int memory_check(const struct address_space *as, gpa addr, uint64_t len, bool write)
{
    uint64_t offset, piece;

    while (len) {
        struct ram *ram = ram_piece(as, addr, len, &offset, &piece);

        if (!ram || (write && !ram->writable) || !ram_has_all(ram, offset, piece))
            return -EFAULT;
        addr += piece;
        len -= piece;
    }
    return 0;
}

int memory_read(const struct address_space *as, gpa addr, void *to, uint64_t len)
{
    uint64_t offset, piece;
    uint8_t *out = to;

    if (memory_check(as, addr, len, false))
        return -EFAULT;
    for (; len; len -= piece, addr += piece, out += piece) {
        struct ram *ram = ram_piece(as, addr, len, &offset, &piece);

        guest_copy_in(out, ram->host + offset, piece);
    }
    return 0;
}

static void memory_put(const struct address_space *as, gpa addr, const void *from, uint64_t len)
{
    uint64_t offset, piece;
    const uint8_t *in = from;

    for (; len; len -= piece, addr += piece, in += piece) {
        struct ram *ram = ram_piece(as, addr, len, &offset, &piece);

        guest_copy_out(ram->host + offset, in, piece);
        memory_note_write(ram, offset, piece);
    }
}

int memory_write(const struct address_space *as, gpa addr, const void *from, uint64_t len)
{
    if (memory_check(as, addr, len, true))
        return -EFAULT;
    memory_put(as, addr, from, len);
    return 0;
}

int memory_load(const struct address_space *as, gpa addr, const void *from, uint64_t len)
{
    if (memory_check(as, addr, len, false))
        return -EFAULT;
    memory_put(as, addr, from, len);
    return 0;
}

static int ram_punch(struct ram *ram, uint64_t offset, uint64_t len)
{
    if (ram->fd < 0)
        return madvise(ram->host + offset, len, MADV_DONTNEED) < 0 ? -errno : 0;
    if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) <
        0)
        return -errno;
    return 0;
}

/* What is not there has no content, and pages without number that nobody ever looked at. */
static void ram_note_all(struct ram *ram)
{
    memory_note_write(ram, 0, ram->fixed);
    for (uint64_t at = ram->fixed; at < ram->size; at += RAM_BLOCK_SIZE)
        if (ram_has(ram, at))
            memory_note_write(ram, at, RAM_BLOCK_SIZE);
}

int memory_reclaim(const struct address_space *as, gpa addr, uint64_t len)
{
    uint64_t offset = 0, piece = 0;
    struct ram *ram = ram_piece(as, addr, len, &offset, &piece);
    int r;

    if (!ram || piece != len || offset < ram->fixed || (addr | len) % PAGE_SIZE)
        return -EINVAL;
    r = ram_punch(ram, offset, len);
    memory_note_write(ram, offset, len);
    return r;
}

void memory_clear(struct address_space *as)
{
    for (unsigned i = 0; i < as->count; i++) {
        struct ram *ram = as->ranges[i].ram;

        if (!ram)
            continue;
        if (ram_punch(ram, 0, ram->size))
            memset(ram->host, 0, ram->fixed);
        ram_note_all(ram);
    }
}

int memory_discard(const struct address_space *as, gpa addr, uint64_t len)
{
    uint64_t before = -addr % PAGE_SIZE, offset = 0, piece = 0;

    if (memory_check(as, addr, len, true))
        return -EFAULT;
    /* Blocks are made of whole pages, so what is left is that in each of them. */
    len = len > before ? round_down(len - before, PAGE_SIZE) : 0;
    for (addr += before; len; addr += piece, len -= piece) {
        struct ram *ram = ram_piece(as, addr, len, &offset, &piece);
        int r = ram_punch(ram, offset, piece);

        memory_note_write(ram, offset, piece);
        if (r)
            return r;
    }
    return 0;
}

/* Of private memory, in bytes. */
static uint64_t private_resident(const struct ram *ram)
{
    unsigned char pages[4096];
    uint64_t sum = 0, step = sizeof(pages) * PAGE_SIZE;

    for (uint64_t at = 0; at < ram->size; at += step) {
        uint64_t size = ram->size - at < step ? ram->size - at : step;

        if (mincore(ram->host + at, size, pages))
            return sum;
        for (uint64_t i = 0; i < size / PAGE_SIZE; i++)
            sum += pages[i] & 1 ? PAGE_SIZE : 0;
    }
    return sum;
}

uint64_t memory_resident(const struct address_space *as)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < as->count; i++) {
        struct stat status;

        if (as->ranges[i].ram && as->ranges[i].ram->fd < 0)
            sum += private_resident(as->ranges[i].ram);
        else if (as->ranges[i].ram && !fstat(as->ranges[i].ram->fd, &status))
            sum += (uint64_t)status.st_blocks * 512; /* the unit of st_blocks: stat(3type) */
    }
    return sum;
}

int memory_pin(const struct address_space *as, gpa addr, uint64_t len, bool write,
               struct span *span)
{
    uint64_t offset, piece;
    struct ram *ram;

    if (!len)
        return -EFAULT;
    ram = ram_piece(as, addr, len, &offset, &piece);
    if (!ram || piece != len || (write && !ram->writable) || !ram_hold(ram, offset, len))
        return -EFAULT;
    *span = (struct span){.host = ram->host + offset, .len = len, .ram = ram, .write = write};
    return 0;
}

void memory_unpin(const struct address_space *as, struct span *span)
{
    uint64_t offset = (uint64_t)(span->host - span->ram->host);

    if (span->write)
        memory_note_write(span->ram, offset, span->len);
    ram_let_go(span->ram, offset, span->len);
    span->host = NULL;
}

gpa memory_span_address(const struct span *span)
{
    return span->ram->base + (uint64_t)(span->host - span->ram->host);
}

/*
 * Word by word with relaxed atomics, and not by memcpy(): a sanitizer watches memcpy() wherever it
 * is called from, and the guest may write the same words at the same time.
 */
GUEST_ACCESS void guest_copy_in(void *to, const void *guest, uint64_t len)
{
    const uint8_t *in = guest;
    uint8_t *out = to;

    for (; len && (uintptr_t)in % 8; len--)
        *out++ = __atomic_load_n(in++, __ATOMIC_RELAXED);
    for (; len >= 8; len -= 8, in += 8, out += 8) {
        uint64_t word = __atomic_load_n((const uint64_t *)(const void *)in, __ATOMIC_RELAXED);

        memcpy(out, &word, 8);
    }
    for (; len; len--)
        *out++ = __atomic_load_n(in++, __ATOMIC_RELAXED);
}

GUEST_ACCESS void guest_copy_out(void *guest, const void *from, uint64_t len)
{
    const uint8_t *in = from;
    uint8_t *out = guest;

    for (; len && (uintptr_t)out % 8; len--)
        __atomic_store_n(out++, *in++, __ATOMIC_RELAXED);
    for (; len >= 8; len -= 8, in += 8, out += 8) {
        uint64_t word;

        memcpy(&word, in, 8);
        __atomic_store_n((uint64_t *)(void *)out, word, __ATOMIC_RELAXED);
    }
    for (; len; len--)
        __atomic_store_n(out++, *in++, __ATOMIC_RELAXED);
}

/* ---- devices ---- */

/* The widest access that the device takes, at most `width`; 0 when none. */
static unsigned io_width(const struct io_ops *ops, unsigned width)
{
    while (width && !(ops->widths & width))
        width >>= 1;
    return width;
}

static int io_check(const struct range *range, gpa addr, unsigned width, unsigned *step)
{
    uint64_t offset = addr - range->base;

    if (!range->ops || range->size - offset < width)
        return -EFAULT;
    *step = io_width(range->ops, width);
    if (!*step || offset % *step)
        return -EFAULT;
    return 0;
}

int memory_io_read(const struct range *range, gpa addr, unsigned width, uint64_t *value)
{
    uint64_t offset = addr - range->base, v = 0;
    unsigned step;
    int r = io_check(range, addr, width, &step);

    if (r)
        return r;
    for (unsigned i = 0; i < width; i += step) {
        uint64_t part = range->ops->read(range->ctx, offset + i, step);

        if (step < 8)
            part &= (1ull << (8 * step)) - 1;
        v |= part << (8 * i);
    }
    *value = v;
    return 0;
}

int memory_io_write(const struct range *range, gpa addr, unsigned width, uint64_t value)
{
    uint64_t offset = addr - range->base;
    unsigned step;
    int r = io_check(range, addr, width, &step);

    if (r)
        return r;
    for (unsigned i = 0; i < width; i += step) {
        uint64_t part = value >> (8 * i);

        if (step < 8)
            part &= (1ull << (8 * step)) - 1;
        range->ops->write(range->ctx, offset + i, step, part);
    }
    return 0;
}

/* ---- tracking ---- */

uint32_t memory_mark_code(struct address_space *as, struct ram *ram, uint64_t page)
{
    uint32_t generation;
    uint8_t old;

    /* Under the lock also where the flag is set already: whoever set it may still be telling the
     * listeners, and until all know, the page is written through pointers that nobody counts. */
    mutex_lock(&as->lock);
    mutex_lock(&ram->lock);
    generation = atomic_load(&ram->code_gen[page]);
    old = atomic_fetch_or(&ram->flags[page], PAGE_CODE);
    mutex_unlock(&ram->lock);
    if (!(old & PAGE_CODE))
        for (struct memory_listener *l = as->listeners; l; l = l->next)
            l->write_protect(l->ctx, ram, page);
    mutex_unlock(&as->lock);
    return generation;
}

void memory_note_write(struct ram *ram, uint64_t offset, uint64_t len)
{
    uint64_t page = offset >> PAGE_SHIFT, last = (offset + len - 1) >> PAGE_SHIFT;

    if (!len)
        return;
    for (; page <= last; page++) {
        /* A read-modify-write also where nothing changes: it orders the stored bytes before the
         * look at the flag, as memory_mark_code() orders its flag before it reads the bytes.
         * Whichever comes first, the other sees it. */
        uint8_t flags = atomic_fetch_or(&ram->flags[page], PAGE_DIRTY);

        if (!(flags & PAGE_CODE))
            continue;
        /* The generation goes first: who finds the flag clear writes on without a word. Nobody
         * marks the page in between, and is left with a new generation and no flag. */
        mutex_lock(&ram->lock);
        if (atomic_load(&ram->flags[page]) & PAGE_CODE) {
            uint64_t n = atomic_load_explicit(&ram->code_writes, memory_order_relaxed);

            atomic_fetch_add(&ram->code_gen[page], 1);
            atomic_store_explicit(&ram->code_written[n % RAM_CODE_WRITES], page,
                                  memory_order_relaxed);
            atomic_store_explicit(&ram->code_writes, n + 1, memory_order_release);
            atomic_fetch_and(&ram->flags[page], (uint8_t)~PAGE_CODE);
        }
        mutex_unlock(&ram->lock);
    }
}
